/* Reads in pieces into one buffer that grows to the largest message under way and shrinks afterwards. */
#include "role/channel.h"

#include "base/fd.h"
#include "base/panic.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CHANNEL_MAGIC = 0x6368616e, PIECE = 64 << 10, IN_MAX = (257 << 20), KEEP = 1 << 20, MESSAGES_A_TURN = 256 };

struct channel {
    uint32_t magic;
    struct ev_loop *loop;
    int fd;
    struct buf in, out;
    size_t in_used, sent; /* handled of `in`, written of `out` */
    ev_id reading, writing, later;
    const struct channel_ops *ops;
    void *ctx;
    bool broken;
    bool *freed; /* set while a callback runs */
    const char *why;
};

static void give_up(void *ctx)
{
    struct channel *c = ctx;
    c->later = 0;
    c->ops->closed(c->ctx, c->why);
}

static void lost(struct channel *c, const char *why)
{
    if (c->why)
        return;
    c->why = why;
    ev_cancel(c->loop, c->reading);
    ev_cancel(c->loop, c->writing);
    c->reading = c->writing = 0;
    c->later = ev_timer(c->loop, 0, give_up, c);
}

/* False: the channel is no more. */
static bool handle(struct channel *c, bool *more)
{
    bool freed = false;
    for (int i = 0; i < MESSAGES_A_TURN; i++) {
        struct frame f;
        struct err err;
        size_t used;
        struct str rest = str_from(buf_str(&c->in), c->in_used);
        enum rc rc = frame_read(rest, &used, &f, &err);
        if (rc == RC_BUSY) {
            buf_consume(&c->in, c->in_used);
            c->in_used = 0;
            if (!c->in.n && c->in.cap > KEEP) {
                buf_done(&c->in);
                buf_init(&c->in, IN_MAX);
            }
            *more = false;
            return true;
        }
        if (rc != RC_OK) {
            lost(c, "it sent what is no message");
            *more = false;
            return true;
        }
        c->in_used += used;
        c->freed = &freed;
        c->ops->message(c->ctx, &f);
        if (freed)
            return false;
        c->freed = NULL;
        if (c->why)
            return true;
    }
    *more = true;
    return true;
}

static void readable(void *ctx);

static void again(void *ctx)
{
    struct channel *c = ctx;
    c->later = 0;
    bool more;
    if (!handle(c, &more) || c->why)
        return;
    if (more)
        c->later = ev_timer(c->loop, 0, again, c);
    else
        c->reading = ev_readable(c->loop, c->fd, readable, c);
}

static void readable(void *ctx)
{
    struct channel *c = ctx;
    for (int i = 0; i < 16; i++) {
        char *room = buf_reserve(&c->in, PIECE);
        if (!room) {
            lost(c, "it sent more than a message may hold");
            return;
        }
        ssize_t n = recv(c->fd, room, PIECE, MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n <= 0) {
            bool more = true; /* what came before the end counts */
            while (more && !c->why)
                if (!handle(c, &more))
                    return;
            lost(c, "it has closed the link");
            return;
        }
        c->in.n += (size_t)n;
        if (n < PIECE)
            break;
    }
    bool more;
    if (!handle(c, &more) || !more || c->why)
        return;
    ev_cancel(c->loop, c->reading); /* there is enough to do for now */
    c->reading = 0;
    c->later = ev_timer(c->loop, 0, again, c);
}

bool channel_drain(struct channel *c)
{
    CHECK_OBJ(c, CHANNEL_MAGIC);
    for (bool more = true, ended = false; !c->why && (more || !ended);) {
        if (!handle(c, &more))
            return false;
        char *room = more || c->why ? NULL : buf_reserve(&c->in, PIECE);
        if (!room)
            continue;
        ssize_t n = recv(c->fd, room, PIECE, MSG_DONTWAIT);
        if (n > 0)
            c->in.n += (size_t)n, more = true;
        else
            ended = n == 0 || errno != EINTR;
    }
    return true;
}

static void flush(struct channel *c);

static void writable(void *ctx)
{
    struct channel *c = ctx;
    flush(c);
}

static void flush(struct channel *c)
{
    switch (fd_send_some(c->fd, buf_str(&c->out), &c->sent)) {
    case FD_FULL:
        if (!c->writing)
            c->writing = ev_writable(c->loop, c->fd, writable, c);
        if (c->sent > KEEP) {
            buf_consume(&c->out, c->sent);
            c->sent = 0;
        }
        return;
    case FD_FAILED: /* the reading side may still have something for us, and then the end */
        c->broken = true;
        break;
    case FD_SENT:
        break;
    }
    if (c->writing) {
        ev_cancel(c->loop, c->writing);
        c->writing = 0;
    }
    c->sent = 0;
    if (c->out.cap > KEEP) {
        buf_done(&c->out);
        buf_init(&c->out, CHANNEL_OUT_MAX);
    } else {
        buf_clear(&c->out);
    }
}

struct channel *channel_new(struct ev_loop *loop, int fd, const struct channel_ops *ops, void *ctx)
{
    struct channel *c = calloc(1, sizeof *c);
    if (!c)
        PANIC("out of memory");
    *c = (struct channel){.magic = CHANNEL_MAGIC, .loop = loop, .fd = fd, .ops = ops, .ctx = ctx};
    buf_init(&c->in, IN_MAX);
    buf_init(&c->out, CHANNEL_OUT_MAX);
    c->reading = ev_readable(loop, fd, readable, c);
    return c;
}

void channel_free(struct channel *c)
{
    if (!c)
        return;
    CHECK_OBJ(c, CHANNEL_MAGIC);
    if (c->freed)
        *c->freed = true;
    ev_cancel(c->loop, c->reading);
    ev_cancel(c->loop, c->writing);
    ev_cancel(c->loop, c->later);
    close(c->fd);
    buf_done(&c->in);
    buf_done(&c->out);
    c->magic = 0;
    free(c);
}

bool channel_send(struct channel *c, enum frame_type type, uint64_t id, struct str body)
{
    CHECK_OBJ(c, CHANNEL_MAGIC);
    if (c->why || c->broken)
        return false;
    bool alone = c->out.n == 0; /* then what breaks now has not passed this message on whole */
    frame_write(&c->out, &(struct frame){.type = type, .id = id, .body = body});
    if (c->out.overflow)
        lost(c, "it does not read what it is sent");
    else if (!c->writing)
        flush(c);
    return !(alone && c->broken);
}
