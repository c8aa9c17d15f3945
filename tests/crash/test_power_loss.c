/* Power loss: nothing that the store acknowledged may be missing, whatever the disk had not yet synced.
 *
 * A run of 200 steps is recorded once on a disk that remembers (crash_vfs). Then the power fails: before every entry of
 * the record in turn, and at random entries with random losses and torn sectors. Each time the files are rebuilt as
 * they could be, opened by an ordinary owner, checked, read, and compared with what was acknowledged by then; every
 * batch must be there whole or not at all, and what is there must be a prefix of what was submitted.
 *
 * The same trial with `store.nosync` (no sync at all) must lose something, or the test would prove nothing.
 *
 * TREADLE_POWER_POINTS=N: random points (default 300). TREADLE_POWER_ALL=1: every entry instead of a sample.
 * TREADLE_POWER_SEED=N: another campaign. */
#include "crash/crash_vfs.c"

#include "base/clock.h"
#include "store/store_internal.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

enum { STEPS = 200, BATCHES = 2 * STEPS, SAMPLE = 250, TWICE = 100, SESSION = 100, LARGE = 30000 };

static const struct str run_id = {"20261123-083000-power", 21};

static struct trial {
    char dir[64], crashed[80], file[100], copy[100];
    struct crash_log *log;
    struct store *store;
    int event;
    int finished;
    _Atomic uint64_t woken_at;  /* position when the store said that something is durable */
    uint64_t acked_at[BATCHES]; /* from this position on, batch i must survive */
    unsigned char large[LARGE + BATCHES];
} t;

/* Batch 2i is step i's intent, batch 2i+1 its result and the end of its frame. Every tenth result is large. */
static int batch_records(int batch)
{
    return batch % 2 ? 2 : 1;
}
static struct record expected(int batch, int nth, char *text, size_t room)
{
    int step = batch / 2;
    size_t path = (size_t)snprintf(text, room, "work/%d/step", step);
    struct record r = {.kind = batch % 2 ? nth ? RECORD_DONE : RECORD_RESULT : RECORD_INTENT,
                       .path = str_n(text, path),
                       .attempt = 1,
                       .time_ms = 1790000000000 + batch};
    if (r.kind == RECORD_RESULT && step % 10 == 3) {
        r.data = str_n((const char *)t.large + batch, LARGE);
    } else {
        char *data = text + path + 1;
        int n = snprintf(data, room - path - 1, "{\"batch\":%d,\"nth\":%d,\"pad\":\"%0*d\"}", batch, nth,
                         1 + batch * 37 % 700, 7);
        r.data = str_n(data, (size_t)n);
    }
    return r;
}

static void wake(void *ctx)
{
    (void)ctx;
    t.woken_at = crash_vfs_position(t.log);
    uint64_t one = 1;
    CHECK(write(t.event, &one, sizeof one) == sizeof one);
}
static void finished(void *ctx, enum rc rc, const struct err *err)
{
    if (rc)
        PANIC("%s", err->msg);
    *(uint64_t *)ctx = t.woken_at;
    t.finished++;
}

static void submit(int batch)
{
    char text[1024];
    struct store_batch *b = store_batch_new();
    for (int i = 0; i < batch_records(batch); i++) {
        struct record r = expected(batch, i, text, sizeof text);
        store_batch_record(b, run_id, &r);
    }
    if (batch % 2) {
        struct run_row row = {
            .id = run_id, .workflow = STR("power"), .status = STR("running"), .steps_done = batch / 2};
        store_batch_run(b, &row);
    }
    store_submit(t.store, b, finished, &t.acked_at[batch]);
    while (t.finished <= batch) {
        struct pollfd p = {.fd = t.event, .events = POLLIN};
        CHECK(poll(&p, 1, 30000) == 1);
        uint64_t n;
        CHECK(read(t.event, &n, sizeof n) == sizeof n);
        store_deliver(t.store);
    }
}

/* Two owners one after the other, so that closing, removing the WAL and starting a new one are part of it; and pauses,
 * so that the WAL is checkpointed and started over in between. */
static void make_record(void)
{
    const char *shm = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(t.dir, sizeof t.dir, "%s/power-XXXXXX", shm);
    CHECK(mkdtemp(t.dir));
    snprintf(t.crashed, sizeof t.crashed, "%s/crashed", t.dir);
    CHECK(mkdir(t.crashed, 0700) == 0);
    memset(t.acked_at, 0, sizeof t.acked_at);
    snprintf(t.file, sizeof t.file, "%s/run.db", t.dir);
    snprintf(t.copy, sizeof t.copy, "%s/run.db", t.crashed);
    struct rng r;
    rng_seed(&r, 7);
    for (size_t i = 0; i < sizeof t.large; i++)
        t.large[i] = (unsigned char)('a' + rng_below(&r, 26));
    t.log = crash_vfs_new("crash");
    t.event = eventfd(0, EFD_CLOEXEC);
    t.finished = 0;
    store_tuning.wal_soft = 40;
    store_tuning.idle_ms = 1;
    struct err err;
    for (int batch = 0; batch < BATCHES; batch++) {
        if (batch % (2 * SESSION) == 0) {
            store_close(t.store);
            store_tuning.vfs = "crash";
            if (store_open(t.file, STORE_OWN, &t.store, &err))
                PANIC("%s", err.msg);
            store_on_ready(t.store, wake, NULL);
        }
        submit(batch);
        if (batch % 16 == 15)
            usleep(4000);
    }
    store_close(t.store);
    t.store = NULL;
    store_tuning.vfs = NULL;
    close(t.event);
}

static void forget_record(void)
{
    crash_vfs_free(t.log);
    const char *dirs[] = {t.crashed, t.dir};
    for (int i = 0; i < 2; i++) {
        char command[128];
        static const char *const suffix[] = {"", "-wal", "-shm", "-journal", ".lock", ".ballast"};
        for (size_t k = 0; k < sizeof suffix / sizeof *suffix; k++) {
            snprintf(command, sizeof command, "%s/run.db%s", dirs[i], suffix[k]);
            unlink(command);
        }
        rmdir(dirs[i]);
    }
}

struct reading {
    int batch, nth;
    bool wrong;
};
static bool compare(void *ctx, const struct record *r)
{
    struct reading *at = ctx;
    char text[1024];
    struct record want = at->batch < BATCHES ? expected(at->batch, at->nth, text, sizeof text) : (struct record){0};
    at->wrong = want.kind != r->kind || !str_eq(want.path, r->path) || !str_eq(want.data, r->data) ||
                want.attempt != r->attempt || want.time_ms != r->time_ms;
    if (++at->nth == batch_records(at->batch)) {
        at->batch++;
        at->nth = 0;
    }
    return !at->wrong;
}

static bool write_on(struct store *s)
{
    struct err err;
    struct record r = {.kind = RECORD_NOTE, .path = STR("work"), .data = STR("\"recovered\"")};
    struct store_batch *b = store_batch_new();
    store_batch_record(b, run_id, &r);
    return store_commit(s, b, &err) == RC_OK;
}

/* NULL, or what is wrong with the disk as it is in `t.crashed` after a power loss before entry `position`. */
static const char *examine(uint64_t position, bool go_on)
{
    static struct err err;
    struct store *s;
    if (store_open(t.copy, STORE_OWN, &s, &err))
        return err.msg;
    const char *wrong = NULL;
    struct reading at = {0};
    if (store_check(s, &err) || store_each_record(s, run_id, 0, compare, &at, &err))
        wrong = err.msg;
    else if (at.wrong)
        wrong = "a record differs";
    else if (at.nth)
        wrong = "half a batch";
    else if (at.batch < BATCHES && t.acked_at[at.batch] <= position)
        wrong = "an acknowledged batch is missing";
    else if (go_on && !write_on(s))
        wrong = "the store does not go on";
    store_close(s);
    return wrong;
}

struct point {
    uint64_t position, seed;
};
static int by_position(const void *a, const void *b)
{
    const struct point *x = a, *y = b;
    return (x->position > y->position) - (x->position < y->position);
}
static uint64_t from_environment(const char *name, uint64_t otherwise)
{
    int64_t n;
    return str_to_i64(str_c(getenv(name)), &n) && n >= 0 ? (uint64_t)n : otherwise;
}

/* Loses power at every point; returns how often something was wrong, and says where the first time. */
static uint64_t lose_power(struct point *points, uint64_t n, bool expected_well)
{
    uint64_t failed = 0;
    qsort(points, n, sizeof *points, by_position);
    struct crash_disk *disk = crash_disk_new(t.log);
    for (uint64_t i = 0; i < n; i++) {
        crash_disk_advance(disk, points[i].position);
        crash_disk_write(disk, points[i].seed, t.crashed);
        const char *wrong = examine(points[i].position, i % 16 == 0);
        failed += wrong != NULL;
        if (wrong && expected_well)
            fprintf(stderr, "power lost before entry %llu, seed %llu: %s\n", (unsigned long long)points[i].position,
                    (unsigned long long)points[i].seed, wrong);
    }
    crash_disk_free(disk);
    return failed;
}

static struct point *choose(uint64_t every, uint64_t random, uint64_t *n)
{
    uint64_t entries = crash_vfs_position(t.log);
    struct point *points = must_alloc(calloc(2 * (entries / every + 1) + random, sizeof *points));
    struct rng r;
    rng_seed(&r, from_environment("TREADLE_POWER_SEED", 1));
    *n = 0;
    for (uint64_t i = 0; i <= entries; i += every)
        points[(*n)++] = (struct point){i, rng_next(&r) % 8 ? rng_next(&r) : rng_below(&r, 2)};
    for (uint64_t i = 0; i < random; i++)
        points[(*n)++] = (struct point){rng_below(&r, entries + 1), rng_next(&r)};
    return points;
}

static void test_nothing_acknowledged_is_lost(void **state)
{
    (void)state;
    make_record();
    uint64_t entries = crash_vfs_position(t.log), random = from_environment("TREADLE_POWER_POINTS", 300), n;
    uint64_t every = from_environment("TREADLE_POWER_ALL", 0) ? 1 : entries / SAMPLE + 1;
    struct point *points = choose(every, random, &n);
    int64_t start = clock_mono_ms();
    uint64_t failed = lose_power(points, n, true);
    printf("power loss: %d steps, %llu writes, %llu syncs; %llu of %llu indices and %llu random points in %.1f s: "
           "%llu failures (95 %% bound %.2g)\n",
           STEPS, (unsigned long long)crash_vfs_writes(t.log), (unsigned long long)crash_vfs_syncs(t.log),
           (unsigned long long)(n - random), (unsigned long long)(entries + 1), (unsigned long long)random,
           (double)(clock_mono_ms() - start) / 1000, (unsigned long long)failed, 3.0 / (double)n);
    free(points);
    forget_record();
    assert_int_equal(failed, 0);
}

/* Counts whole batches; more than none is wrong when they are not the expected ones. */
static int read_batches(const char *file, struct store **s)
{
    struct err err;
    struct reading at = {0};
    if (store_open(file, STORE_OWN, s, &err) || store_each_record(*s, run_id, 0, compare, &at, &err))
        fail_msg("%s", err.msg);
    assert_false(at.wrong);
    return at.batch;
}

/* A process dies (its writes live on in the page cache), its successor opens and reads, and then the power fails: what
 * the successor has read it may have acted upon, so it must still be there, synced or not by the one that died. */
static void test_what_a_successor_read_is_not_lost(void **state)
{
    (void)state;
    make_record();
    char synced[80], after[80], copy[100], synced_file[100];
    snprintf(synced, sizeof synced, "%s/synced", t.dir);
    snprintf(after, sizeof after, "%s/after", t.dir);
    snprintf(copy, sizeof copy, "%s/run.db", after);
    snprintf(synced_file, sizeof synced_file, "%s/run.db", synced);
    CHECK(mkdir(synced, 0700) == 0 && mkdir(after, 0700) == 0);
    uint64_t entries = crash_vfs_position(t.log), unsynced = 0;
    struct crash_disk *disk = crash_disk_new(t.log);
    for (uint64_t i = 0; i < TWICE; i++) {
        crash_disk_advance(disk, crash_vfs_next_sync(t.log, entries * (i + 1) / (TWICE + 1)));
        crash_disk_write(disk, 1, t.crashed);
        crash_disk_write(disk, 0, synced);
        struct crash_log *second = crash_vfs_new("second");
        crash_vfs_assume(second, synced);
        store_tuning.vfs = "second";
        struct store *s;
        int read = read_batches(t.copy, &s);
        uint64_t position = crash_vfs_position(second);
        store_close(s);
        store_tuning.vfs = NULL;
        struct crash_disk *later = crash_disk_new(second);
        crash_disk_advance(later, position);
        crash_disk_write(later, 0, after);
        crash_disk_free(later);
        crash_vfs_free(second);
        int left = read_batches(copy, &s);
        store_close(s);
        assert_true(left >= read);
        unsynced += read > read_batches(synced_file, &s); /* how often it mattered */
        store_close(s);
    }
    crash_disk_free(disk);
    printf(
        "power loss after recovery: %d points, at %llu the dead process had not synced all that was read, 0 failures\n",
        TWICE, (unsigned long long)unsynced);
    assert_true(unsynced > 0);
    char command[256];
    snprintf(command, sizeof command, "rm -rf '%s' '%s'", synced, after);
    CHECK(system(command) == 0);
    forget_record();
}

static void test_without_syncs_something_is_lost(void **state)
{
    (void)state;
    fflush(stdout);
    pid_t pid = fork(); /* faults are chosen once a process, and no thread is running yet */
    assert_true(pid >= 0);
    if (pid == 0) {
        setenv("TREADLE_FAULT", "store.nosync=0", 1);
        make_record();
        uint64_t n;
        struct point *points = choose(UINT64_MAX, 100, &n);
        uint64_t failed = lose_power(points, n, false);
        printf("control without syncs: %llu of %llu points lost or damaged something\n", (unsigned long long)failed,
               (unsigned long long)n);
        fflush(stdout);
        forget_record();
        _exit(failed ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_syncs_something_is_lost),
        cmocka_unit_test(test_nothing_acknowledged_is_lost),
        cmocka_unit_test(test_what_a_successor_read_is_not_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
