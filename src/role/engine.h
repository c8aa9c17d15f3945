#pragma once
/* The engine: drives one run with a real journal, real calls and real commands.
 *
 * It implements flow/io.h: what the run appends in one turn of the loop becomes one batch of the store; what the run
 * asks for is released by the outbox when the batch is durable. Effects of models go out through one port, the others
 * through another. */
#include "flow/run.h"
#include "role/driver.h"
#include "role/port.h"
#include "role/turns.h"

struct engine_options {
    struct driver *driver;      /* outlives the engine; NULL: only for looking, nothing ever happens */
    struct port *model, *local; /* outlive it too */
    struct turns *turns;        /* outlives it too; NULL: nobody else works in its workspace */
    struct workflow *workflow;
    struct run_options run;
    struct run_row row; /* what ps shows: id, workflow, workspace, file and created_ms are filled in; copied */
    /* Something happened that people may want to see; only what is durable already. May be NULL. */
    void (*on_event)(void *ctx, const struct event *e);
    /* The run cannot go on for now (disk full), or can again (NULL). May be NULL. */
    void (*on_pause)(void *ctx, const char *why);
    /* Once: the run has ended and all of it is durable, or the journal failed (engine_error). The engine may be freed
     * in it. */
    void (*on_end)(void *ctx);
    /* Before the batch with the run's end is handed over: what is added to it is durable with the end. Returns the
     * row's `service`, borrowed until the next call. May be NULL. */
    struct str (*on_last)(void *ctx, struct store_batch *b);
    /* Around the execution of the run itself, for obituaries. May be NULL. */
    void (*on_execute)(void *ctx, bool begins);
    void *ctx;
};
struct engine;

struct engine *engine_new(const struct engine_options *o);
/* After on_end, or when the loop will turn no more. Effects that are still out must have been dropped by their ports.
 */
void engine_free(struct engine *g);
struct run *engine_run(struct engine *g); /* for run_recover before engine_start, and for looking */
/* Before engine_start: what `b` holds becomes durable with the run's first records, or not at all. Taken over. */
void engine_begin_with(struct engine *g, struct store_batch *b);
/* Appends the start; the rest happens in ev_run(). */
void engine_start(struct engine *g);
/* For an engine without a driver: carries out one fetch (EFFECT_LOAD) that the run has asked for; false: there is none.
 */
bool engine_load_now(struct engine *g, struct store *store);
/* What made the journal unusable, or NULL. Nothing since the last durable batch counts; resume reads what is there. */
const struct err *engine_error(const struct engine *g);
/* Calls `done` from the loop when everything that the run has appended so far is durable; never when the journal fails
 * before. */
void engine_when_durable(struct engine *g, void (*done)(void *ctx), void *ctx);
/* First call: suspend (run.h). Second call: stop at once. */
void engine_interrupt(struct engine *g);
void engine_cancel(struct engine *g);
/* Something was done to its run: what that appended is taken at the end of this turn. */
void engine_touch(struct engine *g);
