/* The handle: opening, the queue between the caller's thread and the store thread, closing.
 *
 * Two lists cross the threads under one mutex: `queue` (submitted) and `finished` (outcome known). Batches move whole;
 * nobody touches one that the other side has. The caller's side counts the failures it has been told of (`epoch`) and
 * stamps each batch with it, which lets the thread tell batches that were submitted in ignorance from those that
 * were not. */
#include "base/panic.h"
#include "store/store_internal.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

enum { CLOSE_CHECKPOINT_MS = 200 };

static enum rc start_thread(struct store *s, struct err *err)
{
    pthread_condattr_t clock;
    CHECK(pthread_condattr_init(&clock) == 0);
    CHECK(pthread_condattr_setclock(&clock, CLOCK_MONOTONIC) == 0);
    CHECK(pthread_mutex_init(&s->mutex, NULL) == 0);
    CHECK(pthread_cond_init(&s->work, &clock) == 0);
    CHECK(pthread_cond_init(&s->waited, NULL) == 0);
    pthread_condattr_destroy(&clock);
    sigset_t all, old; /* signals are for the thread that runs the loop */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int error = pthread_create(&s->thread, NULL, store_thread_main, s);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    s->started = error == 0;
    return error ? err_set(err, RC_IO, "starting a thread: %s", strerror(error)) : RC_OK;
}

static void free_handle(struct store *s)
{
    lock_drop(&s->lock);
    free(s->file);
    s->magic = 0;
    free(s);
}

static enum rc open_owner(struct store *s, struct err *err)
{
    if (lock_take(s->file, &s->lock, err))
        return err->rc;
    char *ballast = sql_path(s->file, ".ballast");
    s->writer.ballast = access(ballast, F_OK) == 0;
    free(ballast);
    enum rc rc = sql_open_owner(s->file, &s->writer.conn, err);
    if (rc == RC_DISK_FULL && s->writer.ballast) {
        ballast_drop(s);
        rc = sql_open_owner(s->file, &s->writer.conn, err);
    }
    if (!rc && (rc = start_thread(s, err)) != RC_OK)
        sql_close(&s->writer.conn, 0);
    return rc;
}

enum rc store_open(const char *file, enum store_mode mode, struct store **ret, struct err *err)
{
    struct store *s = calloc(1, sizeof *s);
    if (!s || !(s->file = strdup(file)))
        PANIC("out of memory");
    s->magic = STORE_MAGIC;
    s->mode = mode;
    s->epoch = 1;
    s->writer.tuning = store_tuning;
    *ret = NULL;
    enum rc rc = mode == STORE_OWN ? open_owner(s, err) : sql_open_reader(file, false, &s->read, err);
    if (rc)
        free_handle(s);
    else
        *ret = s;
    return rc;
}

static void free_list(struct batch_list *l)
{
    for (struct store_batch *b = l->first, *next; b; b = next) {
        next = b->next;
        store_batch_free(b);
    }
    *l = (struct batch_list){0};
}

const char *store_file(const struct store *s)
{
    return s->file;
}

void store_close(struct store *s)
{
    if (!s)
        return;
    CHECK_OBJ(s, STORE_MAGIC);
    if (s->started) {
        pthread_mutex_lock(&s->mutex);
        s->stop = true;
        pthread_cond_signal(&s->work);
        pthread_mutex_unlock(&s->mutex);
        pthread_join(s->thread, NULL);
        pthread_cond_destroy(&s->work);
        pthread_cond_destroy(&s->waited);
        pthread_mutex_destroy(&s->mutex);
    }
    free_list(&s->finished);
    free_list(&s->delivering);
    sql_close(&s->read, 0);
    if (s->mode == STORE_OWN) {
        /* After an I/O error the WAL is evidence: the next owner reads it, this one leaves it alone. */
        sql_close(&s->writer.conn, s->writer.broken ? 0 : CLOSE_CHECKPOINT_MS);
        ballast_drop(s);
    }
    free_handle(s);
}

void store_on_ready(struct store *s, void (*wake)(void *ctx), void *ctx)
{
    CHECK_OBJ(s, STORE_MAGIC);
    pthread_mutex_lock(&s->mutex);
    s->wake = wake;
    s->wake_ctx = ctx;
    pthread_mutex_unlock(&s->mutex);
}

static void enqueue(struct store *s, struct store_batch *b)
{
    CHECK_OBJ(s, STORE_MAGIC);
    CHECK(s->mode == STORE_OWN);
    b->epoch = s->epoch;
    pthread_mutex_lock(&s->mutex);
    batch_list_add(&s->queue, b);
    bool sleeping = s->sleeping;
    pthread_mutex_unlock(&s->mutex);
    if (sleeping)
        pthread_cond_signal(&s->work);
}

void store_submit(struct store *s, struct store_batch *b, void (*done)(void *ctx, enum rc rc, const struct err *err),
                  void *ctx)
{
    b->done = done;
    b->ctx = ctx;
    enqueue(s, b);
}

/* From now on a batch is submitted in knowledge of this failure. */
static void learn(struct store *s, const struct store_batch *b)
{
    if (b->rc && b->epoch == s->epoch)
        s->epoch++;
}

void store_deliver(struct store *s)
{
    CHECK_OBJ(s, STORE_MAGIC);
    if (s->mode != STORE_OWN)
        return;
    pthread_mutex_lock(&s->mutex);
    struct batch_list more = s->finished;
    s->finished = (struct batch_list){0};
    pthread_mutex_unlock(&s->mutex);
    for (struct store_batch *b = more.first, *next; b; b = next) {
        next = b->next;
        batch_list_add(&s->delivering, b);
    }
    /* A callback may submit, commit, or deliver: it then goes on with this same list, and the order holds. */
    for (struct store_batch *b; (b = s->delivering.first);) {
        s->delivering.first = b->next;
        if (!b->next)
            s->delivering.last = NULL;
        learn(s, b);
        struct store_batch *outer = s->in_callback;
        s->in_callback = b;
        static const struct err none;
        struct err *err = b->err;
        if (b->done)
            b->done(b->ctx, b->rc, err ? err : &none);
        if (s->in_callback == b)
            store_batch_free(b);
        else
            free(err); /* the batch was taken back, and may be on its way again */
        s->in_callback = outer;
    }
}

struct store_batch *store_take_back(struct store *s)
{
    CHECK_OBJ(s, STORE_MAGIC);
    struct store_batch *b = s->in_callback;
    if (!b || b->rc != RC_DISK_FULL)
        return NULL;
    s->in_callback = NULL;
    b->done = NULL;
    b->ctx = NULL;
    b->rc = RC_OK;
    b->err = NULL; /* the callback still reads it; store_deliver() frees it */
    b->next = NULL;
    return b;
}

enum rc store_commit(struct store *s, struct store_batch *b, struct err *err)
{
    b->waited = true;
    enqueue(s, b);
    pthread_mutex_lock(&s->mutex);
    while (!b->finished)
        pthread_cond_wait(&s->waited, &s->mutex);
    pthread_mutex_unlock(&s->mutex);
    learn(s, b);
    enum rc rc = b->rc;
    if (rc)
        *err = *b->err;
    store_batch_free(b);
    return rc;
}
