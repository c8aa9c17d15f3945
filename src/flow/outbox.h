#pragma once
/* The barrier: holds back effects, timers' owners aside, events, and turns that are left, until every record appended
 * before them is durable.
 *
 * Both implementations of flow/io.h (role/engine and the simulation) put everything a run asks for through an outbox,
 * so that "intent before effect" is one piece of code and not a habit. Use: append and ask as the run does;
 * outbox_seal() takes what was appended since the last seal as one batch with a number; when that batch is durable,
 * outbox_committed(number) releases what waited for it. Batches become durable in order. */
#include "flow/io.h"

struct outbox;

struct outbox_ops {
    void (*start)(void *ctx, const struct effect *e);
    void (*show)(void *ctx, const struct event *e);
    void (*cancelled)(void *ctx, uint64_t effect); /* of an effect that never started */
    void (*left)(void *ctx, uint64_t turn);
};
struct outbox *outbox_new(const struct outbox_ops *ops, void *ctx);
void outbox_free(struct outbox *o);

void outbox_append(struct outbox *o, const struct record *r); /* copies */
void outbox_effect(struct outbox *o, const struct effect *e); /* borrows the request until started */
void outbox_event(struct outbox *o, const struct event *e);   /* copies; keeps the box */
void outbox_leave(struct outbox *o, uint64_t turn);           /* the number of a turn, for left() */
/* True when the effect had not been started: it is dropped, and cancelled() is called by the next outbox_committed or
 * outbox_release. */
bool outbox_cancel(struct outbox *o, uint64_t effect);

/* Hands each record appended since the last seal to `take`, in order. Returns the batch's number, or 0 when there was
 * nothing to commit (what waits is then released by outbox_release). */
uint64_t outbox_seal(struct outbox *o, void (*take)(void *ctx, const struct record *r), void *ctx);
void outbox_committed(struct outbox *o, uint64_t batch);
/* Releases whatever waits for no uncommitted record. */
void outbox_release(struct outbox *o);
/* Batches sealed and not yet durable; records not yet sealed. */
uint64_t outbox_pending(const struct outbox *o);
bool outbox_empty(const struct outbox *o);
