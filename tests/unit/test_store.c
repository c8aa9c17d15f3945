/* The store as its users see it: batches, insert-once, reading, blobs, copies, owners and readers, versions. What
 * happens when things break is in test_store_faults.c. */
#include "unit/store_fixture.h"

#include <fcntl.h>
#include <signal.h>

struct list {
    int n;
    struct record r[64];
    struct arena a;
    int stop_at;
};
static bool collect(void *ctx, const struct record *r)
{
    struct list *l = ctx;
    CHECK(l->n < 64);
    l->r[l->n] = *r;
    l->r[l->n].path = arena_str(&l->a, r->path);
    l->r[l->n++].data = arena_str(&l->a, r->data);
    return l->n != l->stop_at;
}
static struct list read_all(struct store *s, uint64_t after)
{
    struct list l = {0};
    struct err err;
    assert_int_equal(store_each_record(s, RUN, after, collect, &l, &err), RC_OK);
    return l;
}

static void test_records_come_back(void **state)
{
    struct fixture *f = *state;
    fixture_open(f);
    struct store_batch *b = store_batch_new();
    struct record r = {.kind = RECORD_RUN, .path = STR(""), .attempt = 0, .time_ms = -5, .data = STR("{\"a\":1}")};
    store_batch_record(b, RUN, &r);
    r = (struct record){.kind = RECORD_DONE, .path = STR("a/\xc3\xa4"), .attempt = UINT32_MAX, .time_ms = INT64_MAX};
    store_batch_record(b, RUN, &r);
    r.path = STR("other");
    store_batch_record(b, STR("another run"), &r);
    assert_int_equal(store_batch_size(b), 3);
    must_commit(f->store, b);
    for (int again = 0; again < 2; again++) {
        struct list l = read_all(f->store, 0);
        assert_int_equal(l.n, 2);
        assert_true(l.r[0].seq > 0 && l.r[1].seq > l.r[0].seq);
        assert_int_equal(l.r[0].kind, RECORD_RUN);
        assert_int_equal(l.r[0].time_ms, -5);
        assert_true(str_is(l.r[0].data, "{\"a\":1}") && l.r[0].path.n == 0);
        assert_true(str_is(l.r[1].path, "a/\xc3\xa4") && l.r[1].data.n == 0);
        assert_true(l.r[1].attempt == UINT32_MAX && l.r[1].time_ms == INT64_MAX);
        struct list rest = read_all(f->store, l.r[0].seq), none = read_all(f->store, UINT64_MAX);
        assert_int_equal(rest.n, 1);
        assert_int_equal(none.n, 0);
        arena_done(&l.a), arena_done(&rest.a);
        fixture_close(f);
        fixture_open(f);
    }
}

static void test_insert_once(void **state)
{
    static const struct {
        enum record_kind kind;
        int stored; /* of two with the same key */
    } table[] = {{RECORD_RUN, 1},   {RECORD_OPEN, 1},   {RECORD_INTENT, 1}, {RECORD_RESULT, 1}, {RECORD_DONE, 1},
                 {RECORD_WRITE, 2}, {RECORD_RESUME, 2}, {RECORD_NOTE, 2},   {RECORD_END, 2}};
    struct fixture *f = *state;
    fixture_open(f);
    uint64_t seq = 0;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        for (int same_batch = 0; same_batch < 2; same_batch++) {
            const char *path = same_batch ? "x" : "y";
            struct store_batch *b = store_batch_new();
            add(b, table[i].kind, path, 1, STR("\"first\""));
            if (!same_batch) {
                must_commit(f->store, b);
                b = store_batch_new();
            }
            add(b, table[i].kind, path, 1, STR("\"second\""));
            must_commit(f->store, b);
            struct list l = read_all(f->store, seq);
            assert_int_equal(l.n, table[i].stored);
            assert_true(str_is(l.r[0].data, "\"first\""));
            seq = l.r[l.n - 1].seq;
            arena_done(&l.a);
        }
    struct store_batch *b = store_batch_new(); /* each part of the key counts */
    add(b, RECORD_DONE, "x", 2, STR("1"));
    add(b, RECORD_DONE, "x/", 1, STR("2"));
    struct record r = {.kind = RECORD_DONE, .path = STR("x"), .attempt = 1};
    store_batch_record(b, STR("another run"), &r);
    must_commit(f->store, b);
    struct list l = read_all(f->store, seq);
    assert_int_equal(l.n, 2);
    arena_done(&l.a);
}

static int64_t number(const char *file, const char *sql)
{
    sqlite3 *db;
    sqlite3_stmt *st;
    assert_int_equal(sqlite3_open_v2(file, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &st, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(st), SQLITE_ROW);
    int64_t n = sqlite3_column_int64(st, 0);
    sqlite3_finalize(st);
    sqlite3_close(db);
    return n;
}

static char *fill(size_t n, char c)
{
    char *p = malloc(n);
    CHECK(p);
    memset(p, c, n);
    return p;
}

static void test_large_data_is_stored_once(void **state)
{
    static const size_t sizes[] = {0, 1, STORE_INLINE_MAX, STORE_INLINE_MAX + 1, 1 << 20};
    struct fixture *f = *state;
    fixture_open(f);
    char *text = fill(1 << 20, 'x'), *other = fill(1 << 20, 'y');
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct store_batch *b = store_batch_new();
        add(b, RECORD_INTENT, "x", (uint32_t)i, str_n(text, sizes[i]));
        add(b, RECORD_RESULT, "x", (uint32_t)i, str_n(text, sizes[i]));
        add(b, RECORD_RESULT, "x", (uint32_t)i, str_n(other, sizes[i])); /* ignored; must leave no blob behind */
        store_batch_blob(b, str_n(text, sizes[i]));
        store_batch_blob(b, str_n(text, sizes[i]));
        must_commit(f->store, b);
    }
    struct list l = read_all(f->store, 0);
    assert_int_equal(l.n, 10);
    for (int i = 0; i < 10; i++)
        assert_true(str_eq(l.r[i].data, str_n(text, sizes[i / 2])));
    arena_done(&l.a);
    assert_int_equal(number(f->file, "SELECT count(*) FROM blob"), 5);
    assert_int_equal(number(f->file, "SELECT count(*) FROM record WHERE blob IS NOT NULL"), 4);
    struct err err;
    struct arena a = {0};
    struct sha256 h = sha256_of(str_n(text, 1 << 20));
    struct str got;
    assert_int_equal(store_blob(f->store, str_c(sha256_hex(&h).z), &a, &got, &err), RC_OK);
    assert_true(str_eq(got, str_n(text, 1 << 20)));
    h = sha256_of(STR(""));
    assert_int_equal(store_blob(f->store, str_c(sha256_hex(&h).z), &a, &got, &err), RC_OK);
    assert_int_equal(got.n, 0);
    h = sha256_of(STR("absent"));
    assert_int_equal(store_blob(f->store, str_c(sha256_hex(&h).z), &a, &got, &err), RC_NOT_FOUND);
    static const char *const bad[] = {"", "12", "../../etc/passwd",
                                      "G3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(store_blob(f->store, str_c(bad[i]), &a, &got, &err), RC_NOT_FOUND);
    must_check(f->store);
    arena_done(&a);
    free(text);
    free(other);
}

static bool last_run(void *ctx, const struct run_row *r)
{
    struct run_row *to = ctx;
    to->steps_done += r->steps_done;
    to->cost_usd += r->cost_usd;
    to->input_tokens += str_is(r->status, "succeeded") && str_is(r->error, "none") && str_is(r->file, "w.yaml");
    to->output_tokens++;
    return true;
}
static void test_run_rows_are_replaced(void **state)
{
    struct fixture *f = *state;
    fixture_open(f);
    for (int i = 0; i < 3; i++) {
        struct store_batch *b = store_batch_new();
        struct run_row row = {.id = i < 2 ? RUN : STR("second"),
                              .workflow = STR("w"),
                              .status = i ? STR("succeeded") : STR("running"),
                              .workspace = STR("/tmp"),
                              .file = STR("w.yaml"),
                              .error = i ? STR("none") : STR(""),
                              .cost_usd = 0.5,
                              .steps_done = i + 1};
        add(b, RECORD_NOTE, "", 1, STR("1")); /* a run that has records only is not listed */
        store_batch_record(b, STR("third"), &(struct record){.kind = RECORD_NOTE});
        store_batch_run(b, &row);
        must_commit(f->store, b);
    }
    struct run_row sum = {0};
    struct err err;
    assert_int_equal(store_each_run(f->store, last_run, &sum, &err), RC_OK);
    assert_int_equal(sum.output_tokens, 2);
    assert_int_equal(sum.input_tokens, 2);
    assert_int_equal(sum.steps_done, 5);
    assert_true(sum.cost_usd == 1.0);
}

static struct {
    int order[2000], n;
} callbacks;
static void note_order(void *ctx, enum rc rc, const struct err *err)
{
    (void)err;
    CHECK(rc == RC_OK);
    callbacks.order[callbacks.n++] = (int)(intptr_t)ctx;
}
static void test_callbacks_come_in_order(void **state)
{
    struct fixture *f = *state;
    fixture_open(f);
    for (int i = 0; i < 1000; i++)
        store_submit(f->store, numbered((unsigned)i), note_order, (void *)(intptr_t)i);
    store_submit(f->store, numbered(1000), fixture_done, f);
    must_commit(f->store, numbered(1001)); /* waits without delivering anybody else's */
    assert_int_equal(callbacks.n, 0);
    fixture_wait(f, 1);
    assert_int_equal(callbacks.n, 1000);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(callbacks.order[i], i);
    assert_int_equal(count_numbered(f->store), 1002);
    store_submit(f->store, numbered(1002), NULL, NULL); /* committed by close, without a callback */
    store_submit(f->store, numbered(1003), fixture_done, f);
    fixture_close(f);
    assert_int_equal(f->done, 1);
    fixture_open(f);
    assert_int_equal(count_numbered(f->store), 1004);
}

static void submit_next(void *ctx, enum rc rc, const struct err *err)
{
    struct fixture *f = ctx;
    fixture_done(ctx, rc, err);
    if (f->done < 5) {
        store_submit(f->store, numbered((unsigned)f->done), submit_next, f);
        if (f->done == 3)
            must_commit(f->store, numbered(4));
        store_deliver(f->store);
    }
}
static bool read_inside(void *ctx, const struct record *r)
{
    struct fixture *f = ctx;
    (void)r;
    f->done += (int)count_numbered(f->store);
    return f->done < 10;
}
static void test_callbacks_may_call_the_store(void **state)
{
    struct fixture *f = *state;
    fixture_open(f);
    store_submit(f->store, numbered(0), submit_next, f);
    fixture_wait(f, 5);
    struct err err;
    f->done = 0;
    assert_int_equal(store_each_record(f->store, RUN, 0, read_inside, f, &err), RC_OK);
    assert_int_equal(f->done, 10); /* five batches, seen twice, then it stopped */
    struct list l = {.stop_at = 1};
    assert_int_equal(store_each_record(f->store, RUN, 0, collect, &l, &err), RC_OK);
    assert_int_equal(l.n, 1);
    arena_done(&l.a);
}

static void wake_the_living(void *ctx)
{
    atomic_bool *alive = ctx;
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL); /* time for the owner to take the batch and go */
    CHECK(atomic_load(alive));
}

/* An owner that looks by itself may have taken a batch, and be gone, before the store thread comes to waking it. */
static void test_nobody_is_woken_who_has_gone(void **state)
{
    struct fixture *f = *state;
    fixture_open(f);
    for (int i = 0; i < 100; i++) {
        atomic_bool alive = true;
        store_on_ready(f->store, wake_the_living, &alive);
        store_submit(f->store, numbered((unsigned)i), fixture_done, f);
        while (f->done <= i)
            store_deliver(f->store);
        if (i % 2)
            store_on_ready(f->store, NULL, NULL);
        atomic_store(&alive, false);
    }
    store_on_ready(f->store, NULL, NULL);
}

static void test_what_is_too_large_is_refused(void **state)
{
    struct fixture *f = *state;
    fixture_open(f);
    char *text = fill(STORE_TEXT_MAX + 2, 'x');
    text[STORE_TEXT_MAX + 1] = 0;
    struct store_batch *b = numbered(0);
    store_submit(f->store, b, fixture_done, f);
    b = numbered(1);
    add(b, RECORD_NOTE, text, 1, STR("1"));
    store_submit(f->store, b, fixture_done, f);
    store_submit(f->store, numbered(2), fixture_done, f); /* may lean on the one before: fails with it */
    fixture_wait(f, 1);
    fixture_wait(f, 3);
    assert_int_equal(f->last, RC_LIMIT);
    assert_int_equal(count_numbered(f->store), 1);
    must_commit(f->store, numbered(1));
    struct err err;
    b = store_batch_new();
    struct run_row row = {.id = RUN, .error = str_n(text, STORE_TEXT_MAX + 1)};
    store_batch_run(b, &row);
    assert_int_equal(store_commit(f->store, b, &err), RC_LIMIT);
    assert_int_equal(count_numbered(f->store), 2);
    text[STORE_TEXT_MAX] = 0;
    b = store_batch_new();
    add(b, RECORD_NOTE, text, 1, STR("2"));
    must_commit(f->store, b);
    free(text);
}

static void test_one_owner(void **state)
{
    struct fixture *f = *state;
    struct err err;
    struct store *s;
    int out;
    char c;
    pid_t pid = spawn("own", f->file, NULL, &out);
    assert_int_equal(read(out, &c, 1), 1);
    assert_int_equal(store_owner(f->file), pid);
    assert_int_equal(store_open(f->file, STORE_OWN, &s, &err), RC_BUSY);
    char text[32];
    snprintf(text, sizeof text, "process %d", (int)pid);
    assert_non_null(strstr(err.msg, text));
    assert_int_equal(store_unlink(f->file, &err), RC_BUSY);
    s = must_read(f->file); /* readers do not mind */
    assert_int_equal(count_numbered(s), 1);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    close(out);
    assert_int_equal(store_owner(f->file), 0);
    assert_int_equal(count_numbered(s), 1); /* a reader survives the owner, and its successor */
    fixture_open(f);
    assert_int_equal(store_owner(f->file), getpid());
    must_commit(f->store, numbered(1));
    assert_int_equal(count_numbered(s), 2);
    struct store *second;
    assert_int_equal(store_open(f->file, STORE_OWN, &second, &err), RC_BUSY);
    store_close(s);
}

/* A child that owns the journal, says so, and stays. */
static int child_own(const char *file)
{
    struct store *s;
    struct err err;
    EXPECT(store_open(file, STORE_OWN, &s, &err) == RC_OK);
    EXPECT(store_commit(s, numbered(0), &err) == RC_OK);
    EXPECT(write(1, "x", 1) == 1);
    pause();
    return 1;
}

static mode_t mode_of(const char *file, const char *suffix)
{
    char path[256];
    struct stat st;
    snprintf(path, sizeof path, "%s%s", file, suffix);
    assert_int_equal(stat(path, &st), 0);
    return st.st_mode & 07777;
}
/* What a child of the owner is between fork and exec: it holds the lock, and outlives the owner for a moment. */
static void leave_an_heir(const char *file)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct owner_lock l;
        struct err err;
        CHECK(lock_take(file, &l, &err) == RC_OK);
        if (fork() == 0)
            usleep(50000);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void test_an_heir_is_no_owner(void **state)
{
    struct fixture *f = *state;
    leave_an_heir(f->file);
    assert_int_equal(store_owner(f->file), 0);
    leave_an_heir(f->file);
    struct owner_lock l;
    struct err err;
    assert_int_equal(lock_take(f->file, &l, &err), RC_OK);
    lock_drop(&l);
}

static void test_files(void **state)
{
    struct fixture *f = *state;
    static const char *const all[] = {"", "-wal", "-shm", ".lock", ".ballast"};
    store_tuning.ballast_min_free = 0;
    mode_t old = umask(0);
    fixture_open(f);
    must_commit(f->store, numbered(0));
    char path[256];
    struct stat st = {0};
    snprintf(path, sizeof path, "%s.ballast", f->file);
    for (int i = 0; i < 500 && (stat(path, &st) != 0 || st.st_blocks * 512 < STORE_BALLAST); i++)
        usleep(10000); /* the store thread makes it when it is idle */
    umask(old);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        assert_int_equal(mode_of(f->file, all[i]), 0600);
    assert_true(st.st_blocks * 512 >= STORE_BALLAST);
    fixture_close(f);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        assert_int_equal(exists(f->file, all[i]), i == 0);
    struct store *s = must_read(f->file);
    assert_int_equal(count_numbered(s), 1);
    store_close(s);
    fixture_open(f);
    fixture_close(f); /* tidies up after the reader */
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        assert_int_equal(exists(f->file, all[i]), i == 0);
    struct err err;
    assert_int_equal(store_unlink(f->file, &err), RC_OK);
    assert_int_equal(rmdir(f->dir), 0);
    assert_int_equal(mkdir(f->dir, 0700), 0);
}

static void write_file(const char *path, const void *p, size_t n)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, p, n), n);
    close(fd);
}
static void run_sql(const char *file, const char *sql)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}
static enum rc open_both(const char *file)
{
    struct store *s = NULL;
    struct err err;
    enum rc read = store_open(file, STORE_READ, &s, &err);
    assert_null(s);
    enum rc own = store_open(file, STORE_OWN, &s, &err);
    assert_null(s);
    assert_false(exists(file, ".lock"));
    assert_int_equal(read, own);
    return own;
}
static void test_what_is_no_journal_of_ours_is_refused(void **state)
{
    struct fixture *f = *state;
    struct err err;
    struct store *s;
    assert_int_equal(store_open(f->file, STORE_READ, &s, &err), RC_NOT_FOUND);
    assert_int_equal(store_open("/tmp/no/such/directory/run.db", STORE_OWN, &s, &err), RC_IO);
    assert_int_equal(store_open(f->dir, STORE_OWN, &s, &err), RC_IO);
    assert_int_equal(symlink("elsewhere.db", f->file), 0); /* two names, two locks, one journal */
    assert_int_equal(open_both(f->file), RC_IO);
    assert_int_equal(unlink(f->file), 0);
    char *text = fill(8192, 'x');
    write_file(f->file, text, 8192);
    assert_int_equal(open_both(f->file), RC_CORRUPT);
    unlink(f->file);
    run_sql(f->file, "CREATE TABLE a(b)");
    assert_int_equal(open_both(f->file), RC_CORRUPT);
    unlink(f->file);
    fixture_open(f);
    must_commit(f->store, numbered(0));
    fixture_close(f);
    run_sql(f->file, "PRAGMA user_version = 99");
    assert_int_equal(open_both(f->file), RC_VERSION);
    run_sql(f->file, "PRAGMA user_version = 3; UPDATE meta SET value = 99 WHERE key = 'semantics'");
    assert_int_equal(open_both(f->file), RC_VERSION);
    run_sql(f->file, "UPDATE meta SET value = 1 WHERE key = 'semantics'");
    fixture_open(f);
    assert_int_equal(count_numbered(f->store), 1);
    fixture_close(f); /* what is carried on here is none of an older Treadle's any more */
    run_sql(f->file, "CREATE TEMP TABLE ours(n CHECK (n = 2)); "
                     "INSERT INTO ours SELECT value FROM meta WHERE key = 'semantics'");
    write_file(f->file, "", 0); /* an empty file is a new journal */
    fixture_open(f);
    assert_int_equal(count_numbered(f->store), 0);
    free(text);
}

static void test_damage_is_found(void **state)
{
    struct fixture *f = *state;
    struct err err;
    char *text = fill(20000, 'x');
    fixture_open(f);
    for (unsigned i = 0; i < 100; i++)
        must_commit(f->store, numbered(i));
    struct store_batch *b = store_batch_new();
    add(b, RECORD_NOTE, "x", 1, str_n(text, 20000));
    must_commit(f->store, b);
    must_check(f->store);
    fixture_close(f);
    int fd = open(f->file, O_RDWR); /* one bit of the large data, where SQLite itself does not look */
    char page[4096];
    bool changed = false;
    for (off_t at = 0; !changed && pread(fd, page, sizeof page, at) == sizeof page; at += (off_t)sizeof page)
        if (memcmp(page + 100, "xxxxxxxx", 8) == 0 && page[4000] == 'x')
            changed = pwrite(fd, "y", 1, at + 100) == 1;
    close(fd);
    assert_true(changed);
    fixture_open(f);
    assert_int_equal(store_check(f->store, &err), RC_CORRUPT);
    struct list l = {0};
    assert_int_equal(store_each_record(f->store, STR("none"), 0, collect, &l, &err), RC_OK);
    struct numbered_scan scan = {0};
    assert_int_equal(store_each_record(f->store, RUN, 200, scan_one, &scan, &err), RC_CORRUPT);
    fixture_close(f);
    struct stat st;
    assert_int_equal(stat(f->file, &st), 0);
    fd = open(f->file, O_RDWR); /* a page of the records */
    assert_int_equal(pwrite(fd, text, 4096, st.st_size - 4096), 4096);
    close(fd);
    struct store *s = must_read(f->file);
    assert_int_equal(store_check(s, &err), RC_CORRUPT);
    store_close(s);
    free(text);
}

static void test_rubbish_beside_a_new_journal_is_ignored(void **state)
{
    struct fixture *f = *state;
    char path[256], aside[600];
    fixture_open(f);
    must_commit(f->store, numbered(0));
    snprintf(path, sizeof path, "%s-wal", f->file);
    snprintf(aside, sizeof aside, "%s/wal", f->dir);
    assert_int_equal(link(path, aside), 0); /* a WAL whose journal somebody deleted */
    fixture_close(f);
    snprintf(aside, sizeof aside, "cp %s/wal %s-wal && rm %s && touch %s.new", f->dir, f->file, f->file, f->file);
    assert_int_equal(system(aside), 0);
    fixture_open(f);
    assert_int_equal(count_numbered(f->store), 0);
    must_check(f->store);
    assert_false(exists(f->file, ".new"));
}

/* ---- concurrency ---- */

struct reader {
    pthread_t thread;
    const char *file;
    atomic_bool *stop;
    int reads;
    unsigned most;
    bool wrong;
};
static void *read_on(void *arg)
{
    struct reader *r = arg;
    while (!atomic_load(r->stop)) {
        struct store *s;
        struct err err;
        struct numbered_scan scan = {0};
        if (store_open(r->file, STORE_READ, &s, &err)) {
            r->wrong = true;
            break;
        }
        for (int i = 0; i < 5; i++) {
            scan = (struct numbered_scan){0};
            r->wrong |= store_each_record(s, RUN, 0, scan_one, &scan, &err) != RC_OK || scan.wrong || scan.records % 2;
            r->reads++;
        }
        r->wrong |= scan.records / 2 < r->most;
        r->most = scan.records / 2;
        store_close(s);
    }
    return NULL;
}
static int child_read(const char *file)
{
    atomic_bool stop = false;
    struct reader r = {.file = file, .stop = &stop};
    EXPECT(pthread_create(&r.thread, NULL, read_on, &r) == 0);
    usleep(300000);
    stop = true;
    pthread_join(r.thread, NULL);
    EXPECT(!r.wrong && r.reads > 0);
    return 0;
}
static void test_readers_see_whole_batches(void **state)
{
    struct fixture *f = *state;
    store_tuning.wal_soft = 20; /* checkpoints among the reads */
    store_tuning.idle_ms = 1;
    fixture_open(f);
    must_commit(f->store, numbered(0));
    pid_t pid = spawn("read", f->file, NULL, NULL);
    atomic_bool stop = false;
    struct reader r[2];
    for (int i = 0; i < 2; i++) {
        r[i] = (struct reader){.file = f->file, .stop = &stop};
        assert_int_equal(pthread_create(&r[i].thread, NULL, read_on, &r[i]), 0);
    }
    unsigned n = 1;
    for (int burst = 0; burst < 60; burst++) {
        int target = f->done + 10;
        for (int i = 0; i < 10; i++)
            store_submit(f->store, numbered(n++), fixture_done, f);
        fixture_wait(f, target);
        if (burst % 10 == 0)
            assert_int_equal(count_numbered(f->store), n);
        if (burst % 4 == 0)
            usleep(3000);
    }
    stop = true;
    for (int i = 0; i < 2; i++) {
        pthread_join(r[i].thread, NULL);
        assert_false(r[i].wrong);
        assert_true(r[i].reads > 0);
    }
    join(pid);
    must_check(f->store);
}

/* Readers that open while owners open, recover and close: the moments at which files appear and go. */
static void test_owners_come_and_go_among_readers(void **state)
{
    struct fixture *f = *state;
    fixture_open(f);
    must_commit(f->store, numbered(0));
    fixture_close(f);
    pid_t pid = spawn("read", f->file, NULL, NULL);
    atomic_bool stop = false;
    struct reader r = {.file = f->file, .stop = &stop};
    assert_int_equal(pthread_create(&r.thread, NULL, read_on, &r), 0);
    for (unsigned i = 1; i < 100; i++) {
        fixture_open(f);
        must_commit(f->store, numbered(i));
        fixture_close(f);
    }
    stop = true;
    pthread_join(r.thread, NULL);
    assert_true(!r.wrong && r.reads > 0);
    join(pid);
}

static void test_backup_while_writing(void **state)
{
    struct fixture *f = *state;
    char to[160];
    struct err err;
    fixture_open(f);
    unsigned n = 0;
    for (int copy = 0; copy < 10; copy++) {
        for (int i = 0; i < 50; i++)
            store_submit(f->store, numbered(n++), fixture_done, f);
        unsigned durable = (unsigned)f->done;
        snprintf(to, sizeof to, "%s/copy%d.db", f->dir, copy);
        assert_int_equal(store_backup(f->store, to, &err), RC_OK);
        assert_int_equal(mode_of(to, ""), 0600);
        struct store *s = must_read(to);
        must_check(s);
        unsigned copied = count_numbered(s);
        assert_true(copied >= durable && copied <= n);
        store_close(s);
        fixture_wait(f, (int)n);
    }
    assert_int_equal(store_backup(f->store, to, &err), RC_EXISTS);
    struct store *s; /* a copy is a journal in its own right */
    assert_int_equal(store_open(to, STORE_OWN, &s, &err), RC_OK);
    must_commit(s, numbered(count_numbered(s)));
    must_check(s);
    store_close(s);
    assert_int_equal(store_backup(f->store, "/tmp/no/such/directory/copy.db", &err), RC_IO);
}

static void test_checkpoints_bound_the_wal(void **state)
{
    struct fixture *f = *state;
    char path[256];
    struct stat st;
    store_tuning.wal_soft = 20;
    store_tuning.wal_hard = 200;
    fixture_open(f);
    for (unsigned i = 0; i < 1000; i++) /* never idle for long enough */
        must_commit(f->store, numbered(i));
    snprintf(path, sizeof path, "%s-wal", f->file);
    assert_int_equal(stat(path, &st), 0);
    assert_true(st.st_size < 300 * 4200);
    assert_int_equal(count_numbered(f->store), 1000);
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[2], "own") == 0)
        return child_own(argv[3]);
    if (argc == 4 && strcmp(argv[2], "read") == 0)
        return child_read(argv[3]);
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        T(test_records_come_back),
        T(test_insert_once),
        T(test_large_data_is_stored_once),
        T(test_run_rows_are_replaced),
        T(test_callbacks_come_in_order),
        T(test_callbacks_may_call_the_store),
        T(test_nobody_is_woken_who_has_gone),
        T(test_what_is_too_large_is_refused),
        T(test_one_owner),
        T(test_an_heir_is_no_owner),
        T(test_files),
        T(test_what_is_no_journal_of_ours_is_refused),
        T(test_damage_is_found),
        T(test_rubbish_beside_a_new_journal_is_ignored),
        T(test_readers_see_whole_batches),
        T(test_owners_come_and_go_among_readers),
        T(test_backup_while_writing),
        T(test_checkpoints_bound_the_wal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
