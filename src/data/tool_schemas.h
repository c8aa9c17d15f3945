#pragma once
/* The tools that models can be given, as data: name, description, JSON Schema of the input. */
#include "base/str.h"

/* {"name", "description", "input_schema"} as JSON text for Read, Write, Edit, Bash, Glob or Grep; an empty str for any
 * other name. Static. */
struct str tool_schemas_get(struct str name);
/* The i-th of them, from 0; empty when there are no more. */
struct str tool_schemas_at(unsigned i);
