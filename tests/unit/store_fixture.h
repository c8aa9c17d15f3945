#pragma once
/* What the tests of the store share: a directory, a poll loop around one owner, numbered records. Each test program
 * includes it once. */
#include "base/panic.h"
#include "store/store_internal.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define RUN STR("20261123-083000-test")

struct fixture {
    char dir[64], file[128];
    struct store *store;
    int event;
    int done;     /* callbacks so far */
    enum rc last; /* what the last one said */
    char message[600];
};

__attribute__((unused)) static void fixture_open(struct fixture *f);

__attribute__((unused)) static int fixture_setup(void **state)
{
    static struct store_tuning shipped; /* every test starts with it */
    if (!shipped.wal_soft)
        shipped = store_tuning;
    store_tuning = shipped;
    struct fixture *f = calloc(1, sizeof *f);
    CHECK(f);
    /* In memory: thousands of syncs would make the tests slow, and none of them tests the disk. */
    snprintf(f->dir, sizeof f->dir, "%s/store-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    CHECK(mkdtemp(f->dir));
    snprintf(f->file, sizeof f->file, "%s/run.db", f->dir);
    *state = f;
    return 0;
}

__attribute__((unused)) static int fixture_teardown(void **state)
{
    struct fixture *f = *state;
    if (f->store) {
        store_close(f->store);
        close(f->event);
    }
    char command[128];
    umount2(f->dir, MNT_DETACH); /* where a test mounted something and failed */
    snprintf(command, sizeof command, "rm -rf '%s'", f->dir);
    CHECK(system(command) == 0);
    free(f);
    return 0;
}

static void fixture_wake(void *ctx)
{
    uint64_t one = 1;
    CHECK(write(*(int *)ctx, &one, sizeof one) == sizeof one);
}

__attribute__((unused)) static void fixture_open(struct fixture *f)
{
    struct err err;
    f->event = eventfd(0, EFD_CLOEXEC);
    if (store_open(f->file, STORE_OWN, &f->store, &err))
        fail_msg("%s", err.msg);
    store_on_ready(f->store, fixture_wake, &f->event);
}

__attribute__((unused)) static void fixture_close(struct fixture *f)
{
    store_close(f->store);
    close(f->event);
    f->store = NULL;
}

__attribute__((unused)) static void fixture_done(void *ctx, enum rc rc, const struct err *err)
{
    struct fixture *f = ctx;
    f->done++;
    f->last = rc;
    CHECK((rc == RC_OK) == (err->rc == RC_OK));
    snprintf(f->message, sizeof f->message, "%s", err->msg);
}

/* Turns the loop until `done` callbacks have come. */
__attribute__((unused)) static void fixture_wait(struct fixture *f, int done)
{
    while (f->done < done) {
        struct pollfd p = {.fd = f->event, .events = POLLIN};
        CHECK(poll(&p, 1, 30000) == 1);
        uint64_t n;
        CHECK(read(f->event, &n, sizeof n) == sizeof n);
        store_deliver(f->store);
    }
}

__attribute__((unused)) static void add(struct store_batch *b, enum record_kind kind, const char *path,
                                        uint32_t attempt, struct str data)
{
    struct record r = {.kind = kind, .path = str_c(path), .attempt = attempt, .time_ms = 1, .data = data};
    store_batch_record(b, RUN, &r);
}

/* Batch `n`: an intent and a result whose data says `n`. They belong together. */
__attribute__((unused)) static struct store_batch *numbered(unsigned n)
{
    char path[32], data[32];
    snprintf(path, sizeof path, "work/%u", n);
    int len = snprintf(data, sizeof data, "%u", n);
    struct store_batch *b = store_batch_new();
    add(b, RECORD_INTENT, path, 1, str_n(data, (size_t)len));
    add(b, RECORD_RESULT, path, 1, str_n(data, (size_t)len));
    return b;
}

struct numbered_scan {
    unsigned records;
    uint64_t seq;
    bool wrong;
};
__attribute__((unused)) static bool scan_one(void *ctx, const struct record *r)
{
    struct numbered_scan *s = ctx;
    int64_t n = -1;
    s->wrong |= r->seq <= s->seq || !str_to_i64(r->data, &n) || n != s->records / 2 ||
                r->kind != (s->records % 2 ? RECORD_RESULT : RECORD_INTENT);
    s->seq = r->seq;
    s->records++;
    return !s->wrong;
}
/* How many numbered batches the journal has; fails unless they are whole and without a gap. */
__attribute__((unused)) static unsigned count_numbered(struct store *s)
{
    struct numbered_scan scan = {0};
    struct err err;
    if (store_each_record(s, RUN, 0, scan_one, &scan, &err))
        fail_msg("%s", err.msg);
    assert_false(scan.wrong);
    assert_int_equal(scan.records % 2, 0);
    return scan.records / 2;
}

__attribute__((unused)) static void must_commit(struct store *s, struct store_batch *b)
{
    struct err err;
    if (store_commit(s, b, &err))
        fail_msg("%s", err.msg);
}
__attribute__((unused)) static void must_check(struct store *s)
{
    struct err err;
    if (store_check(s, &err))
        fail_msg("%s", err.msg);
}
__attribute__((unused)) static struct store *must_read(const char *file)
{
    struct err err;
    struct store *s;
    if (store_open(file, STORE_READ, &s, &err))
        fail_msg("%s", err.msg);
    return s;
}
__attribute__((unused)) static bool exists(const char *file, const char *suffix)
{
    char path[256];
    snprintf(path, sizeof path, "%s%s", file, suffix);
    return access(path, F_OK) == 0;
}

/* This program again, in another process: `--child NAME FILE` with TREADLE_FAULT=`fault`; its standard output comes
 * through *out (if wanted). */
__attribute__((unused)) static pid_t spawn(const char *name, const char *file, const char *fault, int *out)
{
    int fd[2] = {-1, -1};
    if (out)
        CHECK(pipe(fd) == 0);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        if (out) {
            dup2(fd[1], 1);
            close(fd[0]);
            close(fd[1]);
        }
        setenv("TREADLE_FAULT", fault ? fault : "", 1);
        execl("/proc/self/exe", "test_store", "--child", name, file, (char *)NULL);
        _exit(127);
    }
    if (out) {
        close(fd[1]);
        *out = fd[0];
    }
    return pid;
}
/* Waits for a child that must have found everything as it should be. */
__attribute__((unused)) static void join(pid_t pid)
{
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}
/* For children: a failed expectation ends them. */
#define EXPECT(cond)                                                                             \
    do {                                                                                         \
        if (!(cond)) {                                                                           \
            fprintf(stderr, "%s:%d: in a child: %s does not hold\n", __FILE__, __LINE__, #cond); \
            _exit(1);                                                                            \
        }                                                                                        \
    } while (0)
