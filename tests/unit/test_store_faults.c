/* The store when things break: I/O errors at every call, commits of unknown outcome, full disks, owners killed at
 * random, places that cannot be written. Always the same two questions: is anything that was acknowledged gone, and is
 * anything acknowledged that is not there. */
#include "unit/store_fixture.h"

#include "base/clock.h"
#include "base/rng.h"

#include <signal.h>

/* ---- commits of unknown outcome, by failpoint ---- */

/* The third commit is told as an I/O error; `kept` says what really became of it. */
static int unknown(const char *file, bool kept)
{
    struct fixture f = {.event = eventfd(0, EFD_CLOEXEC)};
    struct err err;
    EXPECT(store_open(file, STORE_OWN, &f.store, &err) == RC_OK);
    store_on_ready(f.store, fixture_wake, &f.event);
    for (unsigned i = 0; i < 5; i++) {
        store_submit(f.store, numbered(i), fixture_done, &f);
        fixture_wait(&f, (int)i + 1);
        EXPECT(f.last == (i < 2 ? RC_OK : RC_COMMIT_UNKNOWN));
    }
    EXPECT(store_commit(f.store, numbered(5), &err) == RC_COMMIT_UNKNOWN);
    store_close(f.store);
    EXPECT(store_open(file, STORE_OWN, &f.store, &err) == RC_OK);
    unsigned there = count_numbered(f.store);
    EXPECT(there == (kept ? 3 : 2));
    EXPECT(store_commit(f.store, numbered(2), &err) == RC_OK); /* insert-once makes asking again safe */
    EXPECT(store_commit(f.store, numbered(3), &err) == RC_OK);
    EXPECT(count_numbered(f.store) == 4);
    EXPECT(store_check(f.store, &err) == RC_OK);
    store_close(f.store);
    return 0;
}
static int child_kept(const char *file)
{
    return unknown(file, true);
}
static int child_lost(const char *file)
{
    return unknown(file, false);
}
static void test_commit_unknown(void **state)
{
    struct fixture *f = *state;
    char second[160];
    snprintf(second, sizeof second, "%s/second.db", f->dir);
    join(spawn("kept", f->file, "store.commit.unknown=3", NULL));
    join(spawn("lost", second, "store.commit.lost=3", NULL));
}

/* ---- a full disk, by failpoint ---- */

static struct store_batch *taken;
static void take_it_back(void *ctx, enum rc rc, const struct err *err)
{
    struct fixture *f = ctx;
    fixture_done(f, rc, err);
    if (rc == RC_DISK_FULL && !taken) {
        taken = store_take_back(f->store);
        EXPECT(store_take_back(f->store) == NULL);
    }
}
static int child_full(const char *file)
{
    struct fixture f = {.event = eventfd(0, EFD_CLOEXEC)};
    struct err err;
    EXPECT(store_open(file, STORE_OWN, &f.store, &err) == RC_OK);
    store_on_ready(f.store, fixture_wake, &f.event);
    EXPECT(store_commit(f.store, numbered(0), &err) == RC_OK);
    store_submit(f.store, numbered(1), take_it_back, &f); /* the second commit finds no room */
    usleep(50000);
    store_submit(f.store, numbered(2), take_it_back, &f); /* by somebody who does not know that yet */
    fixture_wait(&f, 2);
    EXPECT(f.last == RC_DISK_FULL && taken);
    EXPECT(count_numbered(f.store) == 1);
    store_submit(f.store, taken, fixture_done, &f);
    fixture_wait(&f, 3);
    EXPECT(f.last == RC_OK);
    EXPECT(count_numbered(f.store) == 2);
    EXPECT(store_take_back(f.store) == NULL);
    store_close(f.store);
    return 0;
}
static void test_full_disk_is_not_the_end(void **state)
{
    struct fixture *f = *state;
    join(spawn("full", f->file, "store.commit.full=2", NULL));
}

/* ---- a full disk, for real ---- */

/* Fills what is free with zeros, but for `leave` bytes. */
static void fill_disk(const char *dir, size_t leave)
{
    char path[160], block[4096] = {0};
    snprintf(path, sizeof path, "%s/filler", dir);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    setbuf(file, NULL);
    long n = 0;
    while (fwrite(block, 1, sizeof block, file) == sizeof block)
        n += (long)sizeof block;
    assert_int_equal(ftruncate(fileno(file), n > (long)leave ? n - (long)leave : 0), 0);
    fclose(file);
}
static void wait_for_ballast(struct fixture *f)
{
    for (int i = 0; i < 500 && !exists(f->file, ".ballast"); i++)
        usleep(10000);
    assert_true(exists(f->file, ".ballast"));
}
static void one_full_cycle(struct fixture *f, unsigned *n)
{
    char path[160];
    snprintf(path, sizeof path, "%s/filler", f->dir);
    wait_for_ballast(f);
    fill_disk(f->dir, 64 << 10);
    enum rc rc = RC_OK;
    struct err err;
    for (int i = 0; i < 1000 && !rc; i++)
        if ((rc = store_commit(f->store, numbered(*n), &err)) == RC_OK)
            ++*n;
    assert_int_equal(rc, RC_DISK_FULL);
    assert_false(exists(f->file, ".ballast"));
    assert_int_equal(count_numbered(f->store), *n);
    must_commit(f->store, numbered((*n)++)); /* the ballast made room for this */
    unlink(path);
    for (int i = 0; i < 50; i++)
        must_commit(f->store, numbered((*n)++));
    must_check(f->store);
}
static void test_full_disk(void **state)
{
    struct fixture *f = *state;
    if (mount("tmpfs", f->dir, "tmpfs", 0, "size=6m") != 0) {
        print_message("SKIPPED test_full_disk: a small tmpfs cannot be mounted here\n");
        skip();
    }
    store_tuning.ballast_min_free = 2 << 20;
    store_tuning.idle_ms = 1;
    fixture_open(f);
    unsigned n = 0;
    must_commit(f->store, numbered(n++));
    for (int cycle = 0; cycle < 3; cycle++)
        one_full_cycle(f, &n);
    fixture_close(f);
    fill_disk(f->dir, 0); /* opening: reading and refusing work, nothing is damaged */
    struct err err;
    enum rc rc = store_open(f->file, STORE_OWN, &f->store, &err);
    assert_true(rc == RC_OK || rc == RC_DISK_FULL);
    if (!rc) {
        assert_int_equal(store_commit(f->store, numbered(n), &err), RC_DISK_FULL);
        store_close(f->store);
    }
    char path[160];
    snprintf(path, sizeof path, "%s/filler", f->dir);
    unlink(path);
    fixture_open(f);
    assert_int_equal(count_numbered(f->store), n);
    must_check(f->store);
    fixture_close(f);
    store_tuning = (struct store_tuning){.wal_soft = 500, .wal_hard = 500, .idle_ms = 20, .ballast_min_free = 16 << 20};
    assert_int_equal(umount(f->dir), 0);
}

/* ---- I/O errors at every call ---- */

enum victim { WRITE, SYNC, TRUNCATE, SHM_MAP, VICTIMS };
static struct {
    enum victim victim;
    int at, seen; /* the call that fails; calls seen */
    bool always;  /* and all after it */
    int code;
    sqlite3_vfs vfs, *real;
    sqlite3_io_methods real_methods, methods[2]; /* the journal's and the WAL's, which differ in how they lock */
    pthread_mutex_t mutex;
} io = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static bool strikes(enum victim v)
{
    pthread_mutex_lock(&io.mutex);
    bool hit = io.at && v == io.victim && (++io.seen == io.at || (io.always && io.seen > io.at));
    pthread_mutex_unlock(&io.mutex);
    return hit;
}
static int io_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
    if (!strikes(WRITE))
        return io.real_methods.xWrite(f, p, n, at);
    io.real_methods.xWrite(f, p, n / 2, at); /* a short write */
    return io.code;
}
static int io_sync(sqlite3_file *f, int flags)
{
    return strikes(SYNC) ? SQLITE_IOERR_FSYNC : io.real_methods.xSync(f, flags);
}
static int io_truncate(sqlite3_file *f, sqlite3_int64 n)
{
    return strikes(TRUNCATE) ? SQLITE_IOERR_TRUNCATE : io.real_methods.xTruncate(f, n);
}
static int io_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **p)
{
    return strikes(SHM_MAP) ? SQLITE_IOERR_SHMMAP : io.real_methods.xShmMap(f, page, size, extend, p);
}
/* The files are the real VFS's own; only the table through which SQLite calls them is ours. */
static int io_open(sqlite3_vfs *v, const char *name, sqlite3_file *f, int flags, int *out)
{
    (void)v;
    int code = io.real->xOpen(io.real, name, f, flags, out);
    if (code == SQLITE_OK && f->pMethods && flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL)) {
        sqlite3_io_methods *m = &io.methods[flags & SQLITE_OPEN_WAL ? 1 : 0];
        pthread_mutex_lock(&io.mutex);
        if (!m->iVersion) {
            *m = *f->pMethods;
            if (flags & SQLITE_OPEN_MAIN_DB)
                io.real_methods = *m;
            m->xWrite = io_write;
            m->xSync = io_sync;
            m->xTruncate = io_truncate;
            m->xShmMap = io_shm_map;
        }
        pthread_mutex_unlock(&io.mutex);
        f->pMethods = m;
    }
    return code;
}
static void register_io(void)
{
    sqlite3_initialize();
    io.real = sqlite3_vfs_find(NULL);
    io.vfs = *io.real;
    io.vfs.zName = "failing";
    io.vfs.pNext = NULL;
    io.vfs.xOpen = io_open;
    assert_int_equal(sqlite3_vfs_register(&io.vfs, 0), SQLITE_OK);
}

/* Opens, writes and closes with one thing failing; returns how many batches were acknowledged. */
static unsigned write_while_failing(struct fixture *f, bool *unknown_seen)
{
    struct err err;
    struct store *s;
    unsigned acked = 0;
    store_tuning.vfs = "failing";
    if (store_open(f->file, STORE_OWN, &s, &err) == RC_OK) {
        bool sticky = false;
        for (unsigned i = 0; i < 12; i++) {
            enum rc rc = store_commit(s, numbered(acked), &err);
            assert_true(rc == RC_OK || rc == RC_COMMIT_UNKNOWN || rc == RC_DISK_FULL);
            assert_true(!sticky || rc == RC_COMMIT_UNKNOWN);
            sticky |= rc == RC_COMMIT_UNKNOWN;
            acked += rc == RC_OK;
            if (i == 6)
                usleep(4000); /* a checkpoint */
        }
        *unknown_seen |= sticky;
        store_close(s);
    }
    store_tuning.vfs = NULL;
    return acked;
}

static void test_io_errors(void **state)
{
    static const struct {
        enum victim victim;
        int code, calls;
    } table[] = {
        {WRITE, SQLITE_IOERR_WRITE, 80}, {WRITE, SQLITE_FULL, 80}, {SYNC, 0, 24}, {TRUNCATE, 0, 3}, {SHM_MAP, 0, 6}};
    struct fixture *f = *state;
    register_io();
    store_tuning.wal_soft = 4;
    store_tuning.idle_ms = 1;
    unsigned trials = 0, unknowns = 0;
    for (size_t row = 0; row < sizeof table / sizeof *table; row++)
        for (int at = 1; at <= table[row].calls; at++)
            for (int always = 0; always < 2; always++) {
                struct err err;
                bool unknown_seen = false;
                io.victim = table[row].victim, io.code = table[row].code, io.always = always;
                io.seen = 0, io.at = at;
                unsigned acked = write_while_failing(f, &unknown_seen);
                io.at = 0;
                fixture_open(f);
                unsigned there = count_numbered(f->store);
                assert_true(there >= acked && there <= acked + 1);
                assert_true(there == acked || unknown_seen);
                must_commit(f->store, numbered(there));
                must_check(f->store);
                fixture_close(f);
                assert_int_equal(store_unlink(f->file, &err), RC_OK);
                trials++;
                unknowns += unknown_seen;
            }
    print_message("%u trials, %u with a commit of unknown outcome\n", trials, unknowns);
    assert_true(unknowns > 20);
    sqlite3_vfs_unregister(&io.vfs);
}

/* ---- kill -9 ---- */

static void tell(void *ctx, enum rc rc, const struct err *err)
{
    (void)ctx, (void)err;
    EXPECT(rc == RC_OK);
    EXPECT(write(1, "x", 1) == 1);
}
/* Goes on with the journal for ever, several batches in flight, one byte to standard output for each that is durable.
 */
static int child_write(const char *file)
{
    struct fixture f = {.event = eventfd(0, EFD_CLOEXEC)};
    struct err err;
    store_tuning.wal_soft = 40;
    store_tuning.idle_ms = 1;
    EXPECT(store_open(file, STORE_OWN, &f.store, &err) == RC_OK);
    store_on_ready(f.store, fixture_wake, &f.event);
    unsigned n = count_numbered(f.store);
    for (;;) {
        int target = f.done + 4;
        for (int i = 0; i < 3; i++)
            store_submit(f.store, numbered(n++), tell, NULL);
        store_submit(f.store, numbered(n++), fixture_done, &f);
        store_submit(f.store, numbered(n++), tell, NULL);
        fixture_wait(&f, target - 3);
        EXPECT(write(1, "x", 1) == 1);
        if (n % 12 == 0)
            usleep(1500);
    }
}
static void test_kill_at_random(void **state)
{
    struct fixture *f = *state;
    struct rng r;
    rng_seed(&r, rng_entropy());
    unsigned before = 0, total = 0, unacknowledged = 0;
    const int kills = 40;
    for (int i = 0; i < kills; i++) {
        int out;
        pid_t pid = spawn("write", f->file, NULL, &out);
        unsigned acked = 0;
        char bytes[256];
        if (i % 4) /* otherwise it may die while it opens */
            acked += read(out, bytes, 1) == 1;
        usleep((useconds_t)rng_below(&r, 20000));
        assert_int_equal(kill(pid, SIGKILL), 0);
        waitpid(pid, NULL, 0);
        for (ssize_t n; (n = read(out, bytes, sizeof bytes)) > 0;)
            acked += (unsigned)n;
        close(out);
        if (i % 3 == 2) { /* the index of the WAL is gone too, as after a reboot or a copy */
            snprintf(bytes, sizeof bytes, "%s-shm", f->file);
            unlink(bytes);
        }
        unsigned there = before;
        if (i % 2 && exists(f->file, "")) { /* a reader comes first: nobody owns it, the WAL is as it was left */
            struct store *s = must_read(f->file);
            there = count_numbered(s);
            assert_int_equal(store_owner(f->file), 0);
            assert_true(there >= before + acked);
            store_close(s);
        }
        fixture_open(f);
        unsigned now = count_numbered(f->store);
        assert_true(now >= before + acked);
        assert_true(now >= there);
        must_check(f->store);
        fixture_close(f);
        unacknowledged += now > before + acked;
        total += acked;
        before = now;
    }
    print_message("%d kills, %u acknowledged batches, 0 lost; %u kills left more than was acknowledged\n", kills, total,
                  unacknowledged);
    assert_true(total > 0);
}

/* ---- a place where nothing can be written ---- */

static int child_reader(const char *file)
{
    EXPECT(setgid(65534) == 0 && setuid(65534) == 0);
    struct store *s;
    struct err err;
    EXPECT(store_open(file, STORE_OWN, &s, &err) == RC_IO);
    EXPECT(store_open(file, STORE_READ, &s, &err) == RC_OK);
    EXPECT(count_numbered(s) == 2);
    EXPECT(store_check(s, &err) == RC_OK);
    store_close(s);
    return 0;
}
static void test_reading_without_write_permission(void **state)
{
    struct fixture *f = *state;
    if (getuid() != 0) {
        print_message("SKIPPED test_reading_without_write_permission: needs root\n");
        skip();
    }
    char odd[160]; /* its name means something in a URI */
    snprintf(odd, sizeof odd, "%s/a%%20b?c#d.db", f->dir);
    snprintf(f->file, sizeof f->file, "%.120s", odd);
    fixture_open(f);
    must_commit(f->store, numbered(0));
    must_commit(f->store, numbered(1));
    fixture_close(f);
    assert_int_equal(chmod(f->dir, 0755), 0);
    assert_int_equal(chown(f->file, 65534, 65534), 0);
    join(spawn("reader", f->file, NULL, NULL));
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(const char *file);
    } children[] = {{"kept", child_kept},
                    {"lost", child_lost},
                    {"full", child_full},
                    {"write", child_write},
                    {"reader", child_reader}};
    for (size_t i = 0; argc == 4 && i < sizeof children / sizeof *children; i++)
        if (strcmp(argv[2], children[i].name) == 0)
            return children[i].run(argv[3]);
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {T(test_commit_unknown), T(test_full_disk_is_not_the_end),
                                       T(test_full_disk),      T(test_io_errors),
                                       T(test_kill_at_random), T(test_reading_without_write_permission)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
