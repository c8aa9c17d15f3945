#pragma once
/* Messages between roles on a stream socket: a fixed head (type, number, length) and a body of bytes.
 *
 * Bodies are opaque here (roles put JSON into them). A head that is not ours, of another version, of an unknown type,
 * or whose body would exceed what its type allows is RC_CORRUPT: the reader gives the connection up. */
#include "base/buf.h"
#include "base/err.h"

/* X(name, most bytes of a body, who says it, what) */
#define FRAME_TYPES(X)                                                                       \
    X(CALL, 256 << 20, "engine", "do this effect, or tell what became of it")                \
    X(CANCEL, 0, "engine", "stop the call of that number")                                   \
    X(KEPT, 0, "engine", "the reply of that number is durable and may be forgotten")         \
    X(FORGET, 4096, "engine", "whatever is kept for that run may be forgotten")              \
    X(REPLY, 256 << 20, "egress, executor", "what came of the call")                         \
    X(UNKNOWN, 0, "egress, executor", "nothing is known of the effect that was asked about") \
    X(NEVER, 0, "egress, executor", "it has not begun, and will not")                        \
    X(LIFE, 64, "egress, executor", "first on a link: the name of this process's life")      \
    X(ASK, 64 << 20, "gateway", "a request about runs")                                      \
    X(ANSWER, 64 << 20, "engine", "its answer")                                              \
    X(HELD, 4096, "egress, executor", "after LIFE, for each run of which something is held: its id")

enum frame_type {
#define X(name, max, who, what) FRAME_##name,
    FRAME_TYPES(X)
#undef X
        FRAME_TYPE_COUNT
};
enum { FRAME_VERSION = 1, FRAME_HEAD = 24 };

struct frame {
    enum frame_type type;
    uint64_t id;
    struct str body;
};

const char *frame_type_name(enum frame_type t);
size_t frame_body_max(enum frame_type t);
/* Appends the message; the body must be within the type's bound. */
void frame_write(struct buf *out, const struct frame *f);
/* The first message of `bytes`: RC_OK with its length in `used` (body borrowed), RC_BUSY when it is not whole yet (then
 * `used` is how many bytes it needs in all, as far as that is known), RC_CORRUPT. */
enum rc frame_read(struct str bytes, size_t *used, struct frame *ret, struct err *err) MUST_CHECK;
