#pragma once
/* The engine role: drives one run with a real journal, real calls and real commands.
 *
 * It implements flow/io.h: what the run appends in one turn of the loop becomes one batch of the store; what the run
 * asks for is released by the outbox when the batch is durable. Effects of models go to egress, the others to the
 * executor. */
#include "ev/loop.h"
#include "executor/executor.h"
#include "flow/run.h"
#include "role/egress.h"
#include "store/store.h"

struct engine_options {
    struct ev_loop *loop;
    struct store *store; /* owned elsewhere, STORE_OWN; closed by the caller after engine_free */
    struct egress *egress;
    struct executor *executor;
    struct workflow *workflow;
    struct run_options run;
    struct run_row row; /* what ps shows: id, workflow, workspace, file and created_ms are filled in; copied */
    /* Something happened that people may want to see; only what is durable already. May be NULL. */
    void (*on_event)(void *ctx, const struct event *e);
    /* The run cannot go on for now (disk full), or can again (NULL). May be NULL. */
    void (*on_pause)(void *ctx, const char *why);
    void *ctx;
};
struct engine;

struct engine *engine_new(const struct engine_options *o);
void engine_free(struct engine *g);
struct run *engine_run(struct engine *g); /* for run_recover before engine_start, and for looking */
/* Before engine_start: what `b` holds becomes durable with the run's first records, or not at all. Taken over. */
void engine_begin_with(struct engine *g, struct store_batch *b);
/* Appends the start; the rest happens in ev_run(), which returns when the run has ended and all of it is durable, or
 * when the journal failed (engine_error). */
void engine_start(struct engine *g);
/* What made the journal unusable, or NULL. Nothing since the last durable batch counts; resume reads what is there. */
const struct err *engine_error(const struct engine *g);
/* First call: suspend (run.h). Second call: stop at once. */
void engine_interrupt(struct engine *g);
void engine_cancel(struct engine *g);
