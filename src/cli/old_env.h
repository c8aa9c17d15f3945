#pragma once
/* Environment variables of older installations, PIPELINE_*, where they mean something that Treadle says otherwise.
 *
 * Before anything reads the environment, and while there is one thread. */
#include <stdbool.h>

/* Puts what they mean into the variables of today, where those are not set; unless `quiet`, says on standard error
 * which have no effect, and what is so instead. */
void old_environment(bool quiet);
