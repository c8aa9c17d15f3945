/* The store thread: the only writer. It takes everything that is queued, commits it in one transaction, hands the
 * outcome back, and uses idle moments for what nobody should wait for: checkpoints and the ballast.
 *
 * Outcomes. RC_OK: synced. A failure that SQLite rolled back (no space, above all) fails the batches of that
 * transaction and those that were submitted before their owner knew of it (the same `epoch`): later records may lean
 * on earlier ones, so what is stored stays a prefix of what was submitted. An I/O error is different: after a failed
 * sync nobody can tell what is on the disk, and asking again may get a wrong answer from the page cache. The thread
 * then fails everything, for ever, with RC_COMMIT_UNKNOWN; only closing and opening again (which re-reads and re-syncs)
 * gets out of that.
 *
 * Checkpoints. Copying the WAL into the journal takes milliseconds, so it is done when nothing was submitted for a
 * while; a WAL of wal_hard pages is copied between two commits. That is early, for a WAL that is written over again
 * syncs about twice as fast as one that grows: the file system has no new size and blocks to write. */
#include "base/clock.h"
#include "base/fault.h"
#include "base/panic.h"
#include "store/store_internal.h"

#include <signal.h>
#include <time.h>

enum { CHECKPOINT_BUSY_MS = 50, SLOW_DISK_NS = 20000000, LARGE_WAL = 32768 };

static int remember_wal_pages(void *ctx, sqlite3 *db, const char *name, int pages)
{
    (void)db, (void)name;
    ((struct writer *)ctx)->wal_pages = pages;
    return SQLITE_OK;
}

/* The failure that the whole group shares. `code` is what SQLite said; `unknown` when the commit may have happened. */
static void fail_group(struct store *s, int code, bool unknown)
{
    struct writer *w = &s->writer;
    sql_fail(w->conn.db, code, &w->failure, "writing the journal");
    if (unknown || (code & 0xff) == SQLITE_IOERR) {
        w->broken = true;
        w->failure.rc = RC_COMMIT_UNKNOWN;
    } else if (w->failure.rc == RC_CORRUPT) {
        w->broken = true;
    }
    for (size_t i = 0; i < STORE_RUN_CACHE; i++)
        w->runs[i].key = 0;
    if (!sqlite3_get_autocommit(w->conn.db) && sqlite3_exec(w->conn.db, "ROLLBACK", NULL, NULL, NULL) != SQLITE_OK &&
        !sqlite3_get_autocommit(w->conn.db)) {
        w->broken = true;
        w->failure.rc = RC_COMMIT_UNKNOWN;
    }
    if (w->failure.rc == RC_DISK_FULL)
        ballast_drop(s);
}

static int step(struct writer *w, enum statement which)
{
    struct err err;
    sqlite3_stmt *st = sql_get(&w->conn, which, &err);
    if (!st)
        return sqlite3_extended_errcode(w->conn.db);
    int code = sqlite3_step(st);
    sqlite3_reset(st);
    return code == SQLITE_DONE ? SQLITE_OK : code;
}

/* COMMIT, or what a test wants to have happened instead. The fault points `store.kill.before` and `store.kill.after`
 * end the process on the two sides of it; `store.commit.slow` makes it a slow disk's. */
static int commit(struct writer *w)
{
    if (fault_hit("store.commit.slow"))
        nanosleep(&(struct timespec){.tv_nsec = SLOW_DISK_NS}, NULL);
    if (fault_hit("store.kill.before"))
        raise(SIGKILL);
    int fault = fault_hit("store.commit.full")   ? SQLITE_FULL
                : fault_hit("store.commit.lost") ? SQLITE_IOERR_FSYNC
                                                 : SQLITE_OK;
    if (fault) {
        sqlite3_exec(w->conn.db, "ROLLBACK", NULL, NULL, NULL);
        return fault;
    }
    int code = step(w, ST_COMMIT);
    if (fault_hit("store.kill.after"))
        raise(SIGKILL);
    return code == SQLITE_OK && fault_hit("store.commit.unknown") ? SQLITE_IOERR_FSYNC : code;
}

/* One transaction for the batches from `first` up to, not including, `end`. False: `failure` says why. */
static bool commit_group(struct store *s, struct store_batch *first, struct store_batch *end)
{
    struct writer *w = &s->writer;
    int code = step(w, ST_BEGIN);
    for (struct store_batch *b = first; b != end && code == SQLITE_OK; b = b->next)
        code = write_batch(w, b);
    bool committing = code == SQLITE_OK;
    if (committing)
        code = commit(w);
    if (code == SQLITE_OK)
        return true;
    /* BUSY and FULL are refusals, before the commit frame was complete; anything else at COMMIT could mean anything. */
    fail_group(s, code, committing && (code & 0xff) != SQLITE_FULL && (code & 0xff) != SQLITE_BUSY);
    return false;
}

/* Gives every batch of the list its outcome. */
static void commit_list(struct store *s, struct store_batch *b)
{
    struct writer *w = &s->writer;
    while (b) {
        if (w->broken || b->epoch == w->failed_epoch) {
            batch_fail(b, &w->failure);
            b = b->next;
            continue;
        }
        if (b->too_large) {
            err_set(&w->failure, RC_LIMIT, "a record is too large for the journal");
            w->failed_epoch = b->epoch;
            continue;
        }
        struct store_batch *end = b;
        uint64_t epoch = b->epoch;
        while (end && !end->too_large) {
            epoch = end->epoch;
            end = end->next;
        }
        if (commit_group(s, b, end)) {
            b = end;
            continue;
        }
        w->failed_epoch = epoch;
        for (; b != end; b = b->next)
            batch_fail(b, &w->failure);
    }
}

/* Puts the outcomes where their owners look, and wakes them. */
static void hand_back(struct store *s, struct store_batch *b)
{
    bool wake = false, waited = false;
    pthread_mutex_lock(&s->mutex);
    for (struct store_batch *next; b; b = next) {
        next = b->next;
        if (b->waited) {
            b->finished = waited = true; /* its owner may free it as soon as the mutex is ours no more */
            continue;
        }
        wake |= !s->finished.first;
        batch_list_add(&s->finished, b);
    }
    if (waited)
        pthread_cond_broadcast(&s->waited);
    if (wake && s->wake) /* with the mutex: who has taken these batches may let go of what is woken */
        s->wake(s->wake_ctx);
    pthread_mutex_unlock(&s->mutex);
}

static void checkpoint(struct writer *w)
{
    int in_wal = 0, copied = 0;
    bool large = w->wal_pages >= LARGE_WAL;
    /* PASSIVE waits for nobody; only a WAL that grows and grows is worth waiting for readers to let go of it. */
    sqlite3_busy_timeout(w->conn.db, CHECKPOINT_BUSY_MS);
    int code = sqlite3_wal_checkpoint_v2(
        w->conn.db, NULL, large ? SQLITE_CHECKPOINT_RESTART : SQLITE_CHECKPOINT_PASSIVE, &in_wal, &copied);
    sqlite3_busy_timeout(w->conn.db, STORE_BUSY_MS);
    if ((code & 0xff) == SQLITE_IOERR) {
        sql_fail(w->conn.db, code, &w->failure, "checkpointing the journal");
        w->failure.rc = RC_COMMIT_UNKNOWN;
        w->broken = true;
    }
    bool all = code == SQLITE_OK && in_wal == copied;
    if (all)
        w->wal_pages = 0;
    w->checkpoint_at = w->wal_pages + w->tuning.wal_soft;
}

/* How long the queue must stay empty before there is something to do, in milliseconds; -1: there is nothing. */
static int64_t idle_wait(const struct writer *w)
{
    if (w->broken || (w->ballast && w->wal_pages < w->checkpoint_at))
        return -1;
    int64_t ballast = w->ballast_next - clock_mono_ms();
    return w->wal_pages >= w->checkpoint_at || ballast < w->tuning.idle_ms ? w->tuning.idle_ms : ballast;
}

static void idle_work(struct store *s)
{
    if (s->writer.wal_pages >= s->writer.checkpoint_at)
        checkpoint(&s->writer);
    ballast_make(s);
}

/* Sleeps until something is queued, or for `ms` if that is not negative. */
static void sleep_for(struct store *s, int64_t ms)
{
    s->sleeping = true;
    if (ms >= 0) {
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        t.tv_sec += ms / 1000;
        t.tv_nsec += ms % 1000 * 1000000;
        t.tv_sec += t.tv_nsec / 1000000000;
        t.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&s->work, &s->mutex, &t);
    } else {
        pthread_cond_wait(&s->work, &s->mutex);
    }
    s->sleeping = false;
}

/* With the mutex held: what to do next. Empty: the store is closing, or it was an idle moment that has been used. */
static struct batch_list next_work(struct store *s)
{
    if (!s->queue.first && !s->stop) {
        int64_t ms = s->writer.committed ? idle_wait(&s->writer) : -1;
        sleep_for(s, ms);
        if (ms >= 0 && !s->queue.first && !s->stop) {
            pthread_mutex_unlock(&s->mutex);
            idle_work(s);
            pthread_mutex_lock(&s->mutex);
        }
    }
    struct batch_list list = s->queue;
    s->queue = (struct batch_list){0};
    return list;
}

void *store_thread_main(void *store)
{
    struct store *s = store;
    struct writer *w = &s->writer;
    sqlite3_wal_hook(w->conn.db, remember_wal_pages, w);
    w->checkpoint_at = w->tuning.wal_soft;
    pthread_mutex_lock(&s->mutex);
    for (;;) {
        struct batch_list list = next_work(s);
        if (!list.first && s->stop)
            break;
        if (!list.first)
            continue;
        pthread_mutex_unlock(&s->mutex);
        commit_list(s, list.first);
        hand_back(s, list.first);
        w->committed = true;
        if (!w->broken && w->wal_pages >= w->tuning.wal_hard && w->wal_pages >= w->checkpoint_at)
            checkpoint(w);
        pthread_mutex_lock(&s->mutex);
    }
    pthread_mutex_unlock(&s->mutex);
    return NULL;
}
