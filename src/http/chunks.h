#pragma once
/* The body of a request in chunks (RFC 9112, 7.1), decoded as it arrives, in whatever pieces.
 *
 * Strict: hexadecimal digits, CR LF where they belong, extensions skipped within a bound, no trailers. What one reader
 * of a stream would forgive and another not is how a request is hidden inside another. */
#include "base/buf.h"

struct chunks {
    enum { CHUNK_SIZE, CHUNK_EXT, CHUNK_SIZE_LF, CHUNK_DATA, CHUNK_CR, CHUNK_LF, CHUNK_LAST_CR, CHUNK_LAST_LF } state;
    uint64_t left; /* of this chunk */
    unsigned digits, skipped;
}; /* all zero at the beginning */

enum chunks_end { CHUNKS_MORE, CHUNKS_WHOLE, CHUNKS_WRONG };
/* Appends the data in `bytes` to `body` and says how many bytes it used; when the body is whole, the rest is not its.
 * A body that does not fit shows in `body->overflow`, and is CHUNKS_WRONG. */
enum chunks_end chunks_feed(struct chunks *c, struct str bytes, size_t *used, struct buf *body);
