#pragma once
/* What authors write out of habit from other workflow tools, and what it is here: for messages only, nothing of it is
 * accepted. */
#include "flow/keys.h"

/* What to write instead of a step type of that name, or NULL. */
const char *habit_type(struct str name);
/* The key of one of the two tables (NULL: none) that another tool calls `name`, or NULL. */
const char *habit_key(struct str name, const struct step_key *table, const struct step_key *table2);
