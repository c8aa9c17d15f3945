#pragma once
/* What `treadle serve` finds in its environment, put where only those can read it who are to have it: sealed memory
 * files, one for each. */
#include "base/str.h"

struct sealed {
    int egress;   /* keys, addresses of providers, proxies: NAME=VALUE, each followed by NUL */
    int commands; /* the same of all other variables that are not harmless: for commands whose steps list them */
    int prints;   /* struct keyprints */
};
/* Is the variable one that egress alone gets? */
bool sealed_for_calls(struct str name);
/* Takes all of that out of the environment. `without`: the name of a key that has no fingerprint, or NULL. False: errno
 * says why. */
bool sealed_make(struct sealed *ret, const char **without);
