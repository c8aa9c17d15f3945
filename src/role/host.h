#pragma once
/* Many runs in one engine process: which are carried on, which wait for a place, which wait for somebody, and which are
 * put aside.
 *
 *   accepted ──▶ QUEUED ──admission──▶ running ──▶ ended
 *                  ▲                     │  ▲
 *                  │ answer, time, resume ▼  │
 *                  └───────────────── waiting   quarantined: charged with three crashes of the engine
 *
 * A run that is queued or waiting is a row in the journal file and a few bytes here; only a running one has an engine.
 * Places are counted from the runs that live, never kept as a number. All functions are called on the driver's loop. */
#include "flow/run.h"
#include "role/driver.h"
#include "role/remote.h"

struct host_options {
    struct ev_loop *loop;
    struct store *store;      /* STORE_OWN; the caller's */
    const char *home;         /* absolute; runs/ID is made below it, workflows/NAME.yaml are read from it */
    bool mock;                /* said in the journal; egress does it */
    unsigned max_running;     /* at once; 0: 200 */
    unsigned max_per_group;   /* of one workflow, or one concurrency key; 0: no bound */
    struct run_limits limits; /* of each run; 0: none (flow/limits.h) */
    struct str offered;       /* names, separated by spaces: secrets of workflows that are sent; of the caller */
    /* For the obituary: the run that is about to be executed; empty afterwards. `run` may be NULL (it is being loaded).
     */
    void (*executing)(void *ctx, struct str id, const struct run *run);
    void (*failed)(void *ctx, const struct err *err); /* the journal cannot be used: nothing may go on */
    void *ctx;
};
struct host;

/* Reads which runs there are. */
enum rc host_new(const struct host_options *o, struct host **ret, struct err *err) MUST_CHECK;
void host_free(struct host *h); /* runs that are carried on are dropped where they are */
struct remote *host_egress(struct host *h);
struct remote *host_executor(struct host *h);
/* A life of the engine ended; before host_begin(). `charged`: the run is charged with it. */
void host_obituary(struct host *h, struct str run, struct str step, struct str how, struct str words, bool charged);
/* Goes on with whatever was queued or running. */
void host_begin(struct host *h);
/* Nothing new starts; `idle` comes when no run is carried on any more. A second call stops at once what is in flight.
 */
void host_drain(struct host *h, void (*idle)(void *ctx));

/* A request, as the gateway passes it on: {do: "start" | "cancel" | "resume" | "approve" | "signal" | "state", …}.
 * `answer` comes once, now or later, never after host_free(): an HTTP status and a JSON object; of errors a problem
 * document (RFC 9457). What is answered is durable. */
typedef void host_answer(void *ctx, int status, const struct val *body);
void host_ask(struct host *h, const struct val *request, host_answer *answer, void *ctx);
