#pragma once
/* What the files of the host share: host.c (lives), host_queue.c (who is next), host_ask*.c (requests). */
#include "base/map.h"
#include "role/called.h"
#include "role/engine.h"
#include "role/history.h"
#include "role/host.h"

enum hosted_state { HOSTED_QUEUED, HOSTED_RUNNING, HOSTED_WAITING, HOSTED_ENDED, HOSTED_QUARANTINED };
/* Where a workflow that came in a request says it lies; no stored one can have the name. What it reads is confined. */
#define HOST_REQUEST_PATH "/workflows/.request"

enum { CHARGES_MAX = 3, SERVICE_TEXT_MAX = 4000 };

/* A run that this service knows. Ended ones are only their row in the journal. */
struct hosted {
    struct host *host;
    struct hosted *prev, *next; /* queued ones of the group, in order; or none */
    enum hosted_state state;
    uint64_t order;
    int64_t priority, charges, due_ms; /* due_ms: a waiting run is looked at again then; 0: never */
    bool force, suspect;
    bool resuming; /* somebody has asked for it, and that is not durable yet */
    char *id, *group, *idem;
    char asked[33];          /* with an `idem`: what was asked for, hashed, or empty: not known */
    char outcome[65];        /* hash of the blob that tells it, or empty */
    struct carried *carried; /* while it is RUNNING */
    size_t answers;          /* applied and not durable yet */
};

/* What only a run that is carried on has. */
struct carried {
    struct carried *prev, *next;
    struct hosted *hosted;
    struct arena arena;
    struct workflow *workflow;
    struct history history;
    struct val env; /* run_env_add() */
    struct called_files files;
    struct engine *engine;
    struct port *model, *local;
    bool paused; /* the disk is full */
};

struct host {
    struct host_options o;
    struct driver *driver;
    struct remote *egress, *executor;
    struct turns *turns;
    struct map runs;   /* id -> hosted: all but the ended */
    struct map idems;  /* idempotency key -> hosted: of these; of the others the journal knows it */
    struct map groups; /* name -> group: that have queued or running runs */
    struct group **heap;
    size_t nheap, heap_cap;
    struct carried *carried;
    size_t ncarried;
    uint64_t order;
    int64_t due_at; /* when due_timer goes off */
    bool begun, draining, failed;
    void (*idle)(void *ctx);
    ev_id admit_timer, due_timer, suspect_timer;
};

struct hosted *host_find(const struct host *h, struct str id);
/* A new run of the host, waiting; the texts are copied. */
struct hosted *host_add(struct host *h, struct str id, struct str group, struct str idem, int64_t priority);
/* The run of that row. */
struct hosted *host_add_row(struct host *h, const struct run_row *row);
void host_forget(struct hosted *r); /* it has ended */

/* host_queue.c */
void host_queue(struct hosted *r);
void host_unqueue(struct hosted *r); /* its state is the caller's to change */
/* Of those that are queued and may have a place, whose turn it is; NULL: nobody's. */
struct hosted *host_next(const struct host *h);
void host_recount(const struct hosted *r); /* it is carried on now, or no more */
void host_queue_done(struct host *h);

/* Admission looks at the queue soon. */
void host_admit_soon(struct host *h);
/* {idem?, priority, group, charges, due_ms?} as the row's `service`. */
struct str host_service_text(const struct hosted *r, struct arena *a);
/* Makes an engine for a run that is not carried on, with its past, and does not start it. */
enum rc host_load(struct hosted *r, struct err *err) MUST_CHECK;
void host_start(struct hosted *r);
