#pragma once
/* Between keyprint.c, which finds keys, and keyprint_text.c, which takes them out. */
#include "base/keyprint.h"

struct keymatch {
    size_t begin, end;
    const struct keyprint *print;
};
struct keymatches {
    struct keymatch *v; /* malloc'ed */
    size_t n, cap;
};
/* Every window of `s` that holds a key of the process's set, by their beginnings, at equal ones the longest first.
 * `joined`: also such as are encoded over several lines. `proved`: KEYPRINT_PROVED, zero at first; what was found out
 * about a part of this text is kept there. */
void keyprints_scan(struct str s, bool joined, struct keyprint_proved *proved, struct keymatches *ret);
/* How much of the end of `s` could be the beginning of a key. */
size_t keyprints_open_end(struct str s, bool joined);
