#pragma once
/* What is known of a directory tree, as a text that another process can go on with: for this machine, as long as it
 * runs. */
#include "executor/scan.h"

struct buf;
/* Sets the buffer's overflow when it is too large. */
void scan_write(const struct scan *s, struct buf *out);
/* The tree is `s`'s from then on. False: the text is damaged, or of another kind; nothing is known then. */
bool scan_read(struct scan *s, struct str text);
/* Calls `has` for each content and list that it names; what it says is not there counts as not known, so that it will
 * be looked at again. */
void scan_check(struct scan *s, bool (*has)(void *ctx, const struct sha256 *id), void *ctx);
