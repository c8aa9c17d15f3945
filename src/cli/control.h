#pragma once
/* The control socket of a running run: how other commands reach the process that owns it.
 *
 * A Unix socket in the run's directory (0700). One request a connection: an object as a line of JSON, answered by
 * {"ok": true} or {"error": text, "class": name}. The requests: {do: "cancel"}; {do: "answer", path, answer} and
 * {do: "signal", name, data, id, by}, which are answered when what they brought is durable. */
#include "base/err.h"
#include "data/val.h"

enum { CONTROL_REQUEST_MAX = 4 << 20 }; /* bytes of a request */

struct ev_loop;
struct control;
struct control_request;
/* `cb` gets each request and answers it by control_reply(), at once or later. Never fails the run: without a socket the
 * run goes on, and `err` says why. */
struct control *control_new(struct ev_loop *l, const char *run_dir,
                            void (*cb)(void *ctx, struct control_request *q, const struct val *request), void *ctx,
                            struct err *err);
void control_free(struct control *c); /* removes the socket, drops requests that were not answered; NULL is fine */
/* `err` NULL: it is done. The request is gone afterwards. */
void control_reply(struct control_request *q, const struct err *err);

/* Asks the owner of the run in `run_dir`. RC_IO: nobody listens there, or it does not answer (and may
 * have done it all the same). Any other error is the owner's. */
enum rc control_ask(const char *run_dir, const struct val *request, struct err *err) MUST_CHECK;
