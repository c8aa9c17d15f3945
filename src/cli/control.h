#pragma once
/* The control socket of a running run: how `treadle cancel` reaches the process that owns it.
 *
 * A Unix socket in the run's directory (0700). One request a connection: a line of JSON {"do": "cancel"}, answered by
 * {"ok": true} or {"error": text}. Anything longer than a kilobyte is refused. */
#include "base/err.h"

struct ev_loop;
struct control;
/* `cb` returns NULL or what is wrong. Never fails the run: without a socket the run goes on, and `err` says why. */
struct control *control_new(struct ev_loop *l, const char *run_dir, const char *(*cb)(void *ctx, struct str what),
                            void *ctx, struct err *err);
void control_free(struct control *c); /* removes the socket; NULL is fine */

/* Asks the owner of the run in `run_dir`. RC_NOT_FOUND: nobody listens there. RC_INVALID: it refused. */
enum rc control_ask(const char *run_dir, const char *what, struct err *err) MUST_CHECK;
