/* A job is one value: it opens the journal for reading, which the owner's writing does not disturb, builds the value in
 * an arena of its own, and is freed when it has been told. */
#include "role/reread.h"

#include "base/panic.h"
#include "ev/loop.h"

#include <pthread.h>
#include <stdlib.h>

struct job {
    struct reread *owner;
    struct job *prev, *next;
    uint64_t id;
    ev_id work;
    bool worked; /* under the mutex */
    bool whole;
    char *file;
    struct arena arena;
    struct str run, of;
    struct val result;
    enum rc rc;
};

struct reread {
    struct ev_loop *loop;
    void (*done)(void *ctx, uint64_t id, bool ok, const struct val *result);
    void *ctx;
    pthread_mutex_t mutex;
    pthread_cond_t worked;
    struct job *jobs;
};

static enum rc each(void *ctx, enum record_kind kind, struct str path, bool below,
                    bool (*cb)(void *ctx, const struct record *r), void *cb_ctx, struct err *err)
{
    struct reread_source *s = ctx;
    return store_each_at(s->store, s->run, kind, path, below, cb, cb_ctx, err);
}

struct away_reader reread_from(struct reread_source *s)
{
    return (struct away_reader){.ctx = s, .each = each};
}

static void read_from(struct job *j, struct store *store, struct err *err)
{
    struct reread_source s = {store, j->run};
    struct away_reader r = reread_from(&s);
    j->rc = away_load(&r, j->of, j->whole, &j->arena, &j->result, err);
}

static void say_error(struct job *j, const struct err *err)
{
    struct val_map m = val_map_new(&j->arena);
    VAL_MAP_SET(&m, "class", val_str(str_c(rc_name(j->rc))));
    VAL_MAP_SET(&m, "message", val_str(arena_str(&j->arena, str_c(err->msg))));
    j->result = val_map_done(&m);
}

static void work(void *ctx)
{
    struct job *j = ctx;
    struct store *store = NULL;
    struct err err;
    j->rc = store_open(j->file, STORE_READ, &store, &err);
    if (j->rc == RC_OK)
        read_from(j, store, &err);
    store_close(store);
    if (j->rc != RC_OK)
        say_error(j, &err);
    pthread_mutex_lock(&j->owner->mutex);
    j->worked = true;
    pthread_cond_broadcast(&j->owner->worked);
    pthread_mutex_unlock(&j->owner->mutex);
}

static void job_free(struct job *j)
{
    *(j->prev ? &j->prev->next : &j->owner->jobs) = j->next;
    if (j->next)
        j->next->prev = j->prev;
    arena_done(&j->arena);
    free(j->file);
    free(j);
}

static void tell(void *ctx)
{
    struct job *j = ctx;
    j->owner->done(j->owner->ctx, j->id, j->rc == RC_OK, &j->result);
    job_free(j);
}

struct reread *reread_new(struct ev_loop *loop, void (*done)(void *ctx, uint64_t id, bool ok, const struct val *result),
                          void *ctx)
{
    struct reread *r = calloc(1, sizeof *r);
    if (!r)
        PANIC("out of memory");
    r->loop = loop;
    r->done = done;
    r->ctx = ctx;
    pthread_mutex_init(&r->mutex, NULL);
    pthread_cond_init(&r->worked, NULL);
    return r;
}

void reread_free(struct reread *r)
{
    if (!r)
        return;
    while (r->jobs) {
        struct job *j = r->jobs;
        pthread_mutex_lock(&r->mutex);
        while (r->loop && !j->worked)
            pthread_cond_wait(&r->worked, &r->mutex);
        pthread_mutex_unlock(&r->mutex);
        if (r->loop)
            ev_cancel(r->loop, j->work);
        job_free(j);
    }
    pthread_cond_destroy(&r->worked);
    pthread_mutex_destroy(&r->mutex);
    free(r);
}

void reread_start(struct reread *r, uint64_t id, const char *file, struct str run, struct str of, bool whole)
{
    struct job *j = calloc(1, sizeof *j);
    if (!j || (file && !(j->file = strdup(file))))
        PANIC("out of memory");
    j->owner = r;
    j->id = id;
    j->run = arena_str(&j->arena, run);
    j->of = arena_str(&j->arena, of);
    j->whole = whole;
    j->next = r->jobs;
    if (j->next)
        j->next->prev = j;
    r->jobs = j;
    if (r->loop)
        j->work = ev_work(r->loop, work, tell, j);
}

bool reread_now(struct reread *r, struct store *store)
{
    struct job *j = r->jobs;
    struct err err;
    if (!j || r->loop)
        return false;
    read_from(j, store, &err);
    if (j->rc != RC_OK)
        say_error(j, &err);
    tell(j);
    return true;
}
