#pragma once
/* A link to another role: messages of ipc/frame.h over a socket, on an event loop.
 *
 * Messages arrive in order, each in a callback whose body is borrowed for the call. What is sent is buffered without
 * blocking; a peer that does not read for long makes the buffer reach CHANNEL_OUT_MAX, and the link is given up.
 * `closed` comes once, when the peer is gone, the link was given up, or it said something that is no message; not from
 * inside channel_send(), and not after channel_free(). */
#include "ev/loop.h"
#include "ipc/frame.h"

enum { CHANNEL_OUT_MAX = 1 << 30 };

struct channel;
struct channel_ops {
    void (*message)(void *ctx, const struct frame *f); /* may free the channel */
    void (*closed)(void *ctx, const char *why);
};
/* Takes the descriptor over. */
struct channel *channel_new(struct ev_loop *loop, int fd, const struct channel_ops *ops, void *ctx);
void channel_free(struct channel *c); /* NULL is fine */
/* False: the peer is gone, and will not have got this message. */
bool channel_send(struct channel *c, enum frame_type type, uint64_t id, struct str body);
/* Takes what has arrived by now, before the channel is given up; false: a callback has freed it. */
bool channel_drain(struct channel *c);
