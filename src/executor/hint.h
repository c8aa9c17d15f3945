#pragma once
/* Why a command failed that would have worked outside of its sandbox, and what to do about it. */
#include "base/arena.h"
#include "executor/command.h"

/* One sentence in `a`, or empty: only where the sandbox did keep the command from something, as its exit code and its
 * last words tell. A guess for people; nothing depends on it. */
struct str hint_of(const struct command_spec *spec, const struct command_outcome *o, struct arena *a);
