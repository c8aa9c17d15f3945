#pragma once
/* The event loop: timers, file descriptors, signals, children, work on other threads. The only door to libuv outside
 * `http/`.
 *
 * One thread runs a loop; every callback comes from ev_run() on that thread, never from inside the call that asked for
 * it. Handles are pooled inside the loop and named by `ev_id` (never 0, never used again), so a late cancel of a
 * finished handle is harmless: ev_cancel() of an unknown id does nothing, and after it returns the callback will not be
 * called. */
#include "base/err.h"

#include <sys/types.h>

struct ev_loop;
typedef uint64_t ev_id;

struct ev_loop *ev_loop_new(void);
void ev_loop_free(struct ev_loop *l); /* cancels what is left; no callbacks */
/* Runs until ev_stop(), or until nothing is left to wait for. The turn-end hook runs once more before it returns. Not
 * from inside a callback. */
void ev_run(struct ev_loop *l);
void ev_stop(struct ev_loop *l);
/* The underlying uv_loop_t *, for `http/` only. */
void *ev_uv(struct ev_loop *l);

/* Called once per loop turn, after the callbacks of that turn and before it sleeps: where a turn's records are
 * committed together. One hook a loop; NULL removes it. */
void ev_on_turn_end(struct ev_loop *l, void (*cb)(void *ctx), void *ctx);

/* Once, after `ms` milliseconds (0: next turn, that is, after the turn-end hook and what else is ready). */
ev_id ev_timer(struct ev_loop *l, int64_t ms, void (*cb)(void *ctx), void *ctx);
/* Whenever `fd` is readable (writable): level-triggered; end of file and errors count as both. The fd stays the
 * caller's, becomes non-blocking, and has at most one of each; cancel before closing it. A regular file is always
 * ready. */
ev_id ev_readable(struct ev_loop *l, int fd, void (*cb)(void *ctx), void *ctx);
ev_id ev_writable(struct ev_loop *l, int fd, void (*cb)(void *ctx), void *ctx);
/* Whenever the signal arrives. Does not keep ev_run() alive. */
ev_id ev_signal(struct ev_loop *l, int signo, void (*cb)(void *ctx, int signo), void *ctx);
/* When the child `pid` (of this process) has ended; it is reaped here. `status` as from waitpid, -1 when `pid` is no
 * unreaped child. Uses a pidfd. After a cancel the child is not reaped. */
ev_id ev_child(struct ev_loop *l, pid_t pid, void (*cb)(void *ctx, int status), void *ctx);
/* Runs `work` on a pool thread, then `done` on the loop. Cannot be cancelled once it runs: `done` is then dropped, so
 * what `ctx` points to must be freed by `done` or outlive the loop; `work` must be bounded in time. */
ev_id ev_work(struct ev_loop *l, void (*work)(void *ctx), void (*done)(void *ctx), void *ctx);
void ev_cancel(struct ev_loop *l, ev_id id);

/* From any thread, until ev_loop_free(): makes `cb` run on the loop soon. Several calls may become one callback. A
 * waker keeps ev_run() alive until it is freed (on the loop's thread; also after ev_loop_free()). */
struct ev_waker;
struct ev_waker *ev_waker_new(struct ev_loop *l, void (*cb)(void *ctx), void *ctx);
void ev_wake(struct ev_waker *w);
void ev_waker_free(struct ev_waker *w);
