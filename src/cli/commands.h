#pragma once
/* Every command of the program, as one table; each lives in cli/cmd_NAME.c. */
#include "cli/args.h"

/* clang-format off */
#define COMMANDS(X)                                                     \
    X(run) X(resume) X(validate) X(migrate)                             \
    X(ps) X(show) X(logs) X(diff)                                       \
    X(cancel) X(approve) X(reject) X(signal)                            \
    X(fork) X(rm) X(prune) X(backup)                                    \
    X(doctor) X(schema) X(serve)
/* clang-format on */

#define X(name) extern const struct command command_##name;
COMMANDS(X)
#undef X
