#pragma once
/* A file of JSON lines of the workspace as lists of values: all of it at once, or chunk by chunk. */
#include "flow/frame.h"

/* Text with a value a line, into `a`; blank lines are none. `before`: lines of the file before it. False: the step has
 * failed. */
bool rows_parse(struct frame *f, struct str text, size_t before, struct arena *a, struct val *ret);

struct rows {
    struct str path, stamp;
    const struct val *ends; /* of the chunks, in bytes */
    int64_t begin;
    size_t next, lines; /* the chunk to be read next; lines that were read */
};
/* Asks where the chunks of the file end: of at most `lines` lines each (0: any number). The child is for rows_child().
 * What it says, and each chunk that is read, is in the journal. */
void rows_start(struct frame *f, struct rows *r, struct str path, int64_t lines);
/* Asks for the next chunk; false: there is none. */
bool rows_next(struct frame *f, struct rows *r);
/* A child has ended: *ret is a list, in `a`, of nothing when it was the index. False: the step has failed. */
bool rows_child(struct frame *f, struct rows *r, const struct frame *child, struct arena *a, struct val *ret);
