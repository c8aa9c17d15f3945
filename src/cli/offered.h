#pragma once
/* Which variables of the service's environment a workflow that is sent to it may name in `secrets`: what the operator
 * lists with --secret or in TREADLE_SECRETS, and none where nothing is listed. */
#include "base/err.h"
#include "cli/args.h"

enum { OFFERED_SIZE = 4096 };

/* The names, separated by spaces, into `room` of OFFERED_SIZE bytes. RC_USAGE: one is no name, or of a key that no
 * command can have. */
enum rc offered_read(const struct args *args, char *room, struct err *err) MUST_CHECK;
