/* What the journal costs: latency of one commit at a time from a poll loop against bare SQLite, throughput of large
 * batches, the rate at a million records, and a cold start.
 *
 * usage: bench_store [DIRECTORY]   (default: the current one; it must be on the disk that matters) */
#include "base/clock.h"
#include "base/panic.h"
#include "store/store.h"

#include <poll.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

enum { COMMITS = 1000, ROUNDS = 7, PER_COMMIT = 3, BULK = 100000, BATCH = 1000, MANY = 1000000 };

static const char data[] = "{\"text\":\"The quick brown fox jumps over the lazy dog\",\"tokens\":12,\"ok\":true}";

static void must(enum rc rc, const struct err *err)
{
    if (rc)
        PANIC("%s", err->msg);
}

struct bench {
    char file[4096];
    struct store *store;
    int event;
    unsigned finished;
    unsigned next; /* number of the next record */
};

static void wake(void *ctx)
{
    uint64_t one = 1;
    CHECK(write(*(int *)ctx, &one, sizeof one) == sizeof one);
}
static void finished(void *ctx, enum rc rc, const struct err *err)
{
    must(rc, err);
    (*(unsigned *)ctx)++;
}

static void set_file(struct bench *b, const char *dir, const char *name)
{
    snprintf(b->file, sizeof b->file, "%s/bench-store-%d-%s.db", dir, (int)getpid(), name);
}
static void open_store(struct bench *b, const char *dir, const char *name)
{
    struct err err;
    set_file(b, dir, name);
    b->finished = b->next = 0;
    b->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    must(store_open(b->file, STORE_OWN, &b->store, &err), &err);
    store_on_ready(b->store, wake, &b->event);
}
static void close_store(struct bench *b)
{
    struct err err;
    store_close(b->store);
    must(store_unlink(b->file, &err), &err);
    close(b->event);
}

/* One turn of the loop: sleep until the store has something, then take it. */
static void turn(struct bench *b)
{
    struct pollfd p = {.fd = b->event, .events = POLLIN};
    CHECK(poll(&p, 1, 10000) == 1);
    uint64_t n;
    CHECK(read(b->event, &n, sizeof n) == sizeof n);
    store_deliver(b->store);
}

/* The n-th record of a run: three to a step, as a run without trouble writes them. */
static struct record nth(unsigned n, char *path, size_t room)
{
    int len = snprintf(path, room, "review/%u/fix/turn:%u", n / 30, n / 3 % 10);
    return (struct record){.kind = (enum record_kind)(RECORD_INTENT + n % 3),
                           .path = str_n(path, (size_t)len),
                           .attempt = 1,
                           .time_ms = 1790000000000 + n,
                           .data = str_n(data, sizeof data - 1)};
}
static struct store_batch *make_batch(struct bench *b, unsigned records, unsigned scatter)
{
    struct store_batch *batch = store_batch_new();
    for (unsigned i = 0; i < records; i++, b->next++) {
        char path[64];
        struct record r = nth(b->next, path, sizeof path);
        if (scatter) { /* paths in no order at all: the worst for the index */
            int len = snprintf(path, sizeof path, "%08x/step", b->next * 2654435761u);
            r.path = str_n(path, (size_t)len);
            r.kind = RECORD_DONE;
        }
        store_batch_record(batch, STR("20261123-083000-bench"), &r);
    }
    return batch;
}

struct bare {
    sqlite3 *db;
    sqlite3_stmt *begin, *insert, *commit;
    unsigned next;
};

static void sql(sqlite3 *db, const char *text)
{
    if (sqlite3_exec(db, text, NULL, NULL, NULL) != SQLITE_OK)
        PANIC("%s: %s", text, sqlite3_errmsg(db));
}

/* The same tables, through SQLite alone, in this thread. */
static void open_bare(struct bare *b, const char *file)
{
    struct store *s;
    struct err err;
    must(store_open(file, STORE_OWN, &s, &err), &err);
    store_close(s);
    CHECK(sqlite3_open(file, &b->db) == SQLITE_OK);
    sql(b->db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0;"
               "INSERT INTO run(id) VALUES('20261123-083000-bench')");
    CHECK(sqlite3_prepare_v2(b->db, "BEGIN IMMEDIATE", -1, &b->begin, NULL) == SQLITE_OK);
    CHECK(sqlite3_prepare_v2(b->db, "COMMIT", -1, &b->commit, NULL) == SQLITE_OK);
    CHECK(sqlite3_prepare_v2(b->db,
                             "INSERT INTO record(run, kind, attempt, time_ms, path, data) VALUES(1,?1,?2,?3,?4,?5)", -1,
                             &b->insert, NULL) == SQLITE_OK);
    b->next = 0;
}
static void close_bare(struct bare *b)
{
    sqlite3_finalize(b->begin);
    sqlite3_finalize(b->insert);
    sqlite3_finalize(b->commit);
    sqlite3_close(b->db);
}
static void step(sqlite3_stmt *st)
{
    CHECK(sqlite3_step(st) == SQLITE_DONE);
    sqlite3_reset(st);
}
static void commit_bare(struct bare *b)
{
    step(b->begin);
    for (int i = 0; i < PER_COMMIT; i++) {
        char path[64];
        struct record r = nth(b->next++, path, sizeof path);
        sqlite3_bind_int(b->insert, 1, r.kind);
        sqlite3_bind_int64(b->insert, 2, r.attempt);
        sqlite3_bind_int64(b->insert, 3, r.time_ms);
        sqlite3_bind_text(b->insert, 4, path, (int)r.path.n, SQLITE_STATIC);
        sqlite3_bind_text(b->insert, 5, r.data.p, (int)r.data.n, SQLITE_STATIC);
        step(b->insert);
    }
    step(b->commit);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}
static double median(double *v, size_t n)
{
    qsort(v, n, sizeof *v, by_value);
    return v[n / 2];
}

/* Both do 1,000 commits a round on a new file, and take turns in going first, so that a disk with moods has them for
 * both alike. Neither checkpoints in between: a WAL that is reused syncs faster than one that grows. */
static double bare_round(struct bench *b, const char *dir)
{
    struct bare bare;
    set_file(b, dir, "bare");
    open_bare(&bare, b->file);
    int64_t t = clock_mono_us();
    for (int i = 0; i < COMMITS; i++)
        commit_bare(&bare);
    double us = (double)(clock_mono_us() - t) / COMMITS;
    close_bare(&bare);
    struct err err;
    must(store_unlink(b->file, &err), &err);
    return us;
}

static double store_round(struct bench *b, const char *dir)
{
    open_store(b, dir, "latency");
    int64_t t = clock_mono_us();
    for (int i = 0; i < COMMITS; i++) {
        unsigned before = b->finished;
        store_submit(b->store, make_batch(b, PER_COMMIT, 0), finished, &b->finished);
        while (b->finished == before)
            turn(b);
    }
    double us = (double)(clock_mono_us() - t) / COMMITS;
    close_store(b);
    return us;
}

static void bench_latency(struct bench *b, const char *dir)
{
    double ratio[ROUNDS], bare[ROUNDS], store[ROUNDS];
    for (int i = 0; i < ROUNDS; i++) {
        if (i % 2)
            bare[i] = bare_round(b, dir);
        store[i] = store_round(b, dir);
        if (!(i % 2))
            bare[i] = bare_round(b, dir);
        ratio[i] = store[i] / bare[i];
    }
    double middle = median(ratio, ROUNDS); /* sorts, too */
    printf("commit of %d records, median of %d x %d: bare SQLite %.0f us, store %.0f us, ratio %.2f (%.2f to %.2f)\n",
           PER_COMMIT, ROUNDS, COMMITS, median(bare, ROUNDS), median(store, ROUNDS), middle, ratio[0],
           ratio[ROUNDS - 1]);
}

static double insert(struct bench *b, unsigned records, unsigned scatter)
{
    int64_t t = clock_mono_us();
    unsigned batches = records / BATCH, target = b->finished + batches;
    for (unsigned i = 0; i < batches; i++) {
        store_submit(b->store, make_batch(b, BATCH, scatter), finished, &b->finished);
        while (b->finished + 8 < target - (batches - 1 - i)) /* at most 8 in flight */
            turn(b);
    }
    while (b->finished < target)
        turn(b);
    return records / ((double)(clock_mono_us() - t) / 1e6);
}

static void bench_throughput(struct bench *b, const char *dir)
{
    double rate[ROUNDS];
    for (int i = 0; i < ROUNDS; i++) {
        open_store(b, dir, "bulk");
        rate[i] = insert(b, BULK, 0);
        close_store(b);
    }
    printf("%d records in batches of %d: %.0f records/s (median of %d)\n", BULK, BATCH, median(rate, ROUNDS), ROUNDS);
}

static void bench_many(struct bench *b, const char *dir, unsigned scatter)
{
    open_store(b, dir, "many");
    printf("a million records, paths %s, rate of each 100,000:", scatter ? "at random" : "as a run makes them");
    for (int i = 0; i < MANY / BULK; i++) {
        printf(" %.0fk", insert(b, BULK, scatter) / 1000);
        fflush(stdout);
    }
    struct stat st;
    char wal[sizeof b->file + 8];
    snprintf(wal, sizeof wal, "%s-wal", b->file);
    CHECK(stat(wal, &st) == 0);
    printf("/s; WAL %.0f MB", (double)st.st_size / 1e6);
    int64_t t = clock_mono_us();
    store_close(b->store);
    CHECK(stat(b->file, &st) == 0);
    printf(", file %.0f bytes/record, close %.0f ms\n", (double)st.st_size / MANY, (double)(clock_mono_us() - t) / 1e3);
    struct err err;
    must(store_unlink(b->file, &err), &err);
    close(b->event);
}

static void bench_open(struct bench *b, const char *dir)
{
    double fresh[101], first[101], again[101], sync[101];
    size_t n = sizeof fresh / sizeof *fresh;
    for (size_t i = 0; i < n; i++) {
        int64_t t = clock_mono_us();
        open_store(b, dir, "open");
        fresh[i] = (double)(clock_mono_us() - t);
        struct err err;
        t = clock_mono_us();
        must(store_commit(b->store, make_batch(b, PER_COMMIT, 0), &err), &err);
        first[i] = (double)(clock_mono_us() - t);
        store_close(b->store);
        close(b->event);
        t = clock_mono_us();
        open_store(b, dir, "open");
        again[i] = (double)(clock_mono_us() - t);
        close_store(b);
        FILE *f = fopen(b->file, "w"); /* what syncing a new 40 KB file and its directory costs by itself */
        CHECK(f);
        static const char zero[40960];
        CHECK(fwrite(zero, 1, sizeof zero, f) == sizeof zero && fflush(f) == 0);
        t = clock_mono_us();
        CHECK(fdatasync(fileno(f)) == 0);
        sync[i] = (double)(clock_mono_us() - t);
        fclose(f);
        unlink(b->file);
    }
    printf(
        "open a new file %.0f us (two syncs in it; one is about %.0f us), first commit %.0f us, open again %.0f us\n",
        median(fresh, n), median(sync, n), median(first, n), median(again, n));
}

int main(int argc, char **argv)
{
    static struct bench b;
    const char *dir = argc > 1 ? argv[1] : ".";
    bench_open(&b, dir);
    bench_latency(&b, dir);
    bench_throughput(&b, dir);
    bench_many(&b, dir, 0);
    bench_many(&b, dir, 1);
    return 0;
}
