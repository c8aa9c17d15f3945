#pragma once
/* How much memory a command and all that it starts may use, and how many processes it may be. */
#include "base/err.h"

struct command_limits {
    uint64_t memory;    /* bytes */
    uint32_t processes; /* threads count */
};
/* What this machine allows every command: TREADLE_COMMAND_MEMORY (bytes, or a number with KB, MB or GB) and
 * TREADLE_COMMAND_PROCESSES of the environment, else half of the machine's memory and SANDBOX_PROCESSES. RC_USAGE. */
enum rc limits_of_machine(struct command_limits *ret, struct err *err) MUST_CHECK;
