#pragma once
/* Environment variables that older documents name: which of them count here, as what, and what is so instead of the
 * others.
 *
 * Before anything reads the environment, and while there is one thread. */
#include <stdbool.h>

enum old_env_of { OLD_ENV_RUN, OLD_ENV_SERVICE };
/* Puts what they mean into the variables of today, where those are not set; unless `quiet`, says on standard error
 * which have no effect, and what is so instead. */
void old_environment(enum old_env_of whose, bool quiet);
/* The first half alone, for keys: where commands only look. */
void old_environment_keys(bool quiet);

/* The table of docs/older-files.md, in order; `name` NULL past the end. */
struct old_variable {
    const char *name; /* what ends with `*` stands for all that begin so */
    enum {
        OLD_VARIABLE_COUNTS,   /* read where it is used */
        OLD_VARIABLE_BECOMES,  /* a variable of today */
        OLD_VARIABLE_TOLD,     /* no effect, and a note */
        OLD_VARIABLE_OF_OTHERS /* no effect; other programs have reasons of their own to set it */
    } how;
    const char *what;       /* it counts as, or what is so instead */
    const char *in_service; /* a note there, although it counts in `treadle run`; or NULL */
};
const struct old_variable *old_variable_at(unsigned i);
