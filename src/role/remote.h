#pragma once
/* The engine's end of a link to egress or the executor, when those are processes of their own: ports whose effects
 * travel as messages (ipc/frame.h) to a keeper (role/keeper.h).
 *
 * While there is no link, what is asked for waits. When a link ends, its peer has died: effects that were sent end as
 * class `interrupted`, because whether they happened is not known here; those that were not, and whose intent names the
 * dead one, as EFFECT_NEVER. Each link begins with the peer's life and with the runs of which it holds something: it is
 * told to forget those that `wanted` says are over, for the life of the engine before may have died before it did. */
#include "ev/loop.h"
#include "role/port.h"

struct remote;
struct remote *remote_new(struct ev_loop *loop, bool (*wanted)(void *ctx, struct str run), void *ctx);
void remote_free(struct remote *r); /* its ports first */
/* A new link; takes the descriptor. What came over the one before counts. */
void remote_link(struct remote *r, int fd);
bool remote_linked(const struct remote *r); /* and the peer has said who it is */
/* Calls that were sent and have no reply. */
size_t remote_in_flight(const struct remote *r);

/* The port of one run. `where` is sent with every call: the run's directories, for whoever acts in them. Both are
 * copied. */
struct port *remote_port(struct remote *r, struct str run, const struct val *where);
/* Its effects get no `done` any more. With `forget`, the other side is told that the run needs none of them. */
void remote_port_free(struct port *p, bool forget);
