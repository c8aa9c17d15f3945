#pragma once
/* `${NAME}` and `${NAME:-text}` in a text, one after the other. Allocates nothing. */
#include "base/str.h"

struct dollar {
    struct str before, name; /* the text in front of it */
    struct str fallback;     /* what stands behind `:-`; .p is NULL where nothing does */
};
/* The next one in *rest, which goes on behind it. False: there is none, and *rest is the text that remains. */
bool dollar_next(struct str *rest, struct dollar *ret);
