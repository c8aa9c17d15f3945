/* The parser of event streams: any bytes in any chunks give the same events, and nothing larger than the limit.
 *
 * The first byte chooses the chunk size; the rest is the stream. */
#include "base/panic.h"
#include "llm/sse.h"

enum { LIMIT = 200 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum rc collect(void *ctx, struct str name, struct str data, struct err *err)
{
    struct buf *b = ctx;
    (void)err;
    CHECK(name.n <= LIMIT && data.n <= LIMIT);
    buf_add(b, name);
    buf_addc(b, 0);
    buf_add(b, data);
    buf_addc(b, 1);
    return RC_OK;
}

static enum rc run(struct str stream, size_t chunk, struct buf *events, bool *unfinished)
{
    struct sse s;
    struct err err;
    enum rc rc = RC_OK;
    sse_init(&s, LIMIT);
    buf_init(events, (size_t)8 << 20);
    while (stream.n && rc == RC_OK) {
        size_t n = chunk < stream.n ? chunk : stream.n;
        rc = sse_feed(&s, str_n(stream.p, n), collect, events, &err);
        stream = str_from(stream, n);
    }
    *unfinished = sse_unfinished(&s);
    sse_done(&s);
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > (size_t)1 << 20)
        return 0;
    struct str stream = str_n((const char *)data + 1, size - 1);
    struct buf whole, pieces;
    bool one, other;
    enum rc a = run(stream, SIZE_MAX, &whole, &one);
    enum rc b = run(stream, (size_t)data[0] % 16 + 1, &pieces, &other);
    CHECK(a == b);
    CHECK(str_eq(buf_str(&whole), buf_str(&pieces)));
    CHECK(a != RC_OK || one == other);
    buf_done(&whole);
    buf_done(&pieces);
    return 0;
}
