#pragma once
/* How one text became another, line by line, as a unified diff. */
#include "base/buf.h"

struct textdiff {
    size_t added, removed; /* lines */
    bool coarse;           /* they differ so much that no shortest way was looked for */
};
/* Adds hunks (`@@ -1,3 +1,4 @@` and lines with three lines of context; no file names) to `out`, unless that is NULL.
 * Takes time and memory in proportion to the texts, with a bounded factor. */
void textdiff(struct str from, struct str to, struct buf *out, struct textdiff *ret);
