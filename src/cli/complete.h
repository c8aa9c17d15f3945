#pragma once
/* What can stand at the cursor, for shells: `treadle __complete WORD...` prints one candidate a line. */
#include "cli/args.h"

/* The words behind `treadle`, up to the cursor; the last one, which may be empty, is what is being typed. Nothing is
 * printed where a file's name may stand: shells know those themselves. */
int complete_main(int argc, char **argv, const struct command *const *commands, size_t ncommands);
