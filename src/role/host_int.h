#pragma once
/* What the files of the host share: host.c (places, lives), host_ask.c (requests). */
#include "base/map.h"
#include "role/called.h"
#include "role/engine.h"
#include "role/history.h"
#include "role/host.h"

enum hosted_state { HOSTED_QUEUED, HOSTED_RUNNING, HOSTED_WAITING, HOSTED_ENDED, HOSTED_QUARANTINED };
enum { CHARGES_MAX = 3, SERVICE_TEXT_MAX = 4000 };

/* A run that this service knows. Ended ones are only their row in the journal. */
struct hosted {
    struct host *host;
    struct hosted *prev, *next; /* queued ones of the group, in order; or none */
    enum hosted_state state;
    uint64_t order;
    int64_t priority, charges, due_ms; /* due_ms: a waiting run is looked at again then; 0: never */
    bool force, suspect;
    char *id, *group, *idem;
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
    struct called_files files;
    struct engine *engine;
    struct port *model, *local;
    bool paused; /* the disk is full */
};

struct group { /* of one workflow, or one concurrency key */
    char *name;
    struct hosted *first, *last; /* queued, by priority, then order */
    size_t running;              /* scratch of admission: counted anew each time */
};

struct host {
    struct host_options o;
    struct driver *driver;
    struct remote *egress, *executor;
    struct arena arena;
    struct map runs;   /* id -> hosted: all but the ended */
    struct map idems;  /* idempotency key -> id (text in the arena) */
    struct map groups; /* name -> group */
    struct carried *carried;
    uint64_t order;
    bool begun, draining, failed;
    void (*idle)(void *ctx);
    ev_id admit_timer, due_timer, suspect_timer;
};

struct hosted *host_find(const struct host *h, struct str id);
/* A new run of the host; the texts are copied. */
struct hosted *host_add(struct host *h, struct str id, struct str group, struct str idem, int64_t priority);
void host_forget(struct hosted *r); /* it has ended */
void host_queue(struct hosted *r);
void host_unqueue(struct hosted *r); /* its state is the caller's to change */
/* {idem?, priority, group, charges, due_ms?} as the row's `service`. */
struct str host_service_text(const struct hosted *r, struct arena *a);
/* Makes an engine for a run that is not carried on, with its past, and does not start it. */
enum rc host_load(struct hosted *r, struct err *err) MUST_CHECK;
void host_start(struct hosted *r);
/* The row's status, at once, by a batch of its own; `error` may be empty. */
void host_write_status(struct hosted *r, const char *status, struct str error);
