#pragma once
/* Server-sent events, taken apart incrementally: bytes in, whole events out, whatever the chunk boundaries.
 *
 * Lines end with LF, CRLF or CR; a byte order mark at the start is skipped; comments and the fields `id` and `retry`
 * are ignored; several `data` lines are joined with LF. An event counts only once its blank line has arrived: what a
 * cut stream left unfinished is never reported. Names and data are borrowed for the call. Bytes are not checked to be
 * UTF-8; whoever reads the data does that. */
#include "base/buf.h"
#include "base/err.h"

struct sse {
    struct buf line; /* of an unfinished line only */
    struct buf name, data;
    size_t max_event;
    unsigned bom; /* bytes of a byte order mark seen so far; 3: decided */
    bool after_cr, has_data;
};

/* `max_event`: bytes of one line, and of one event's data. */
void sse_init(struct sse *s, size_t max_event);
void sse_done(struct sse *s);

/* Stops at the first code other than RC_OK from `event` and returns it; the rest of the chunk is then lost, and the
 * parser is not to be fed again. RC_LIMIT: a line or an event is too large. */
enum rc sse_feed(struct sse *s, struct str chunk,
                 enum rc (*event)(void *ctx, struct str name, struct str data, struct err *err), void *ctx,
                 struct err *err) MUST_CHECK;
/* Whether the stream so far ends inside an event. */
bool sse_unfinished(const struct sse *s);
