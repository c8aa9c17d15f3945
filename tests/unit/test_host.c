/* A host of many runs: what it keeps of them, and who is next.
 *
 * The runs have no effects, so that no other process is needed: they end at once, or wait for a signal. */
#include "data/json.h"
#include "role/host_int.h"

#include <malloc.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static struct bench {
    char home[64];
    struct ev_loop *loop;
    struct store *store;
    struct host *host;
    size_t open; /* questions without an answer */
    int status;  /* of the last answer */
    char run[64], order[2000];
} b;

static void executing(void *ctx, struct str id, const struct run *run)
{
    (void)ctx;
    if (run || !id.n)
        return;
    const struct hosted *r = host_find(b.host, id); /* it is being loaded: its turn has come */
    size_t n = strlen(b.order);
    snprintf(b.order + n, sizeof b.order - n, "%s ", r->idem ? r->idem : "?");
}

static void failed(void *ctx, const struct err *err)
{
    (void)ctx;
    fail_msg("%s", err->msg);
}

static void open_host(unsigned running, unsigned per_group)
{
    struct err err;
    char file[100];
    snprintf(file, sizeof file, "%s/service.db", b.home);
    b.loop = ev_loop_new();
    if (store_open(file, STORE_OWN, &b.store, &err) != RC_OK ||
        host_new(&(struct host_options){.loop = b.loop,
                                        .store = b.store,
                                        .home = b.home,
                                        .max_running = running,
                                        .max_per_group = per_group,
                                        .executing = executing,
                                        .failed = failed},
                 &b.host, &err) != RC_OK)
        fail_msg("%s", err.msg);
}

static void close_host(void)
{
    host_free(b.host);
    store_close(b.store);
    ev_loop_free(b.loop);
}

static int begin(void **state)
{
    (void)state;
    b = (struct bench){.home = "/tmp/treadle-host.XXXXXX"};
    assert_non_null(mkdtemp(b.home));
    open_host(4, 0);
    return 0;
}

static int end(void **state)
{
    (void)state;
    char command[100];
    close_host();
    snprintf(command, sizeof command, "rm -rf %s", b.home);
    assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c): a test's own directory */
    return 0;
}

static void on_answer(void *ctx, int status, const struct val *body)
{
    (void)ctx;
    struct str id = val_get_str(body, STR("run_id"), STR(""));
    snprintf(b.run, sizeof b.run, "%.*s", STR_ARG(id));
    b.status = status;
    b.open--;
}

static void look(void *ctx)
{
    const bool *until_idle = ctx;
    bool busy = b.open;
    for (const struct carried *c = b.host->carried; c && *until_idle; c = c->next)
        busy = true;
    if (busy || (*until_idle && host_next(b.host)))
        ev_timer(b.loop, 1, look, ctx);
    else
        ev_stop(b.loop);
}

static void turn(bool until_idle)
{
    ev_timer(b.loop, 0, look, &until_idle);
    ev_run(b.loop);
}

static void ask(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void ask(const char *format, ...)
{
    struct arena a = {0};
    struct val v;
    struct err err;
    char text[2000];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    if (json_parse(&a, str_c(text), &JSON_LIMITS_DEFAULT, &v, &err) != RC_OK)
        fail_msg("%s: %s", err.msg, text);
    b.open++;
    host_ask(b.host, &v, on_answer, NULL);
    arena_done(&a);
}

#define ECHO  "workflow: {name: w, steps: [{name: e, type: test_echo, value: 1}]}"
#define WAITS "workflow: {name: w, steps: [{name: e, type: wait_signal, signal: go}]}"
#define FAILS "workflow: {name: w, steps: [{name: e, type: test_echo, fail: true}]}"

static void start(const char *workflow, const char *key, const char *group, int priority)
{
    ask("{\"do\": \"start\", \"workflow_yaml\": \"%s\", \"idempotency_key\": \"%s\", \"concurrency_key\": \"%s\", "
        "\"priority\": %d}",
        workflow, key, group, priority);
}

/* Without the pages of the journal that SQLite keeps, which are bounded. */
static size_t memory(void)
{
    return mallinfo2().uordblks - (size_t)sqlite3_memory_used();
}

/* Clients name groups and keys as they like, for as long as the service lives. */
static void test_ended_runs_leave_nothing(void **state)
{
    (void)state;
    char key[40], first[64] = "";
    size_t before = 0;
    host_begin(b.host);
    for (unsigned i = 0; i < 1200; i++) {
        snprintf(key, sizeof key, "key-%u", i);
        start(i % 2 ? ECHO : FAILS, key, key, 0);
        if (i % 100 == 99)
            turn(true);
        if (i == 0) {
            turn(true);
            snprintf(first, sizeof first, "%s", b.run);
        }
        if (i == 199)
            before = memory();
    }
    turn(true);
    assert_int_equal(b.host->runs.n, 0);
    assert_int_equal(b.host->groups.n, 0);
    assert_int_equal(b.host->idems.n, 0);
    size_t after = memory();
    if (after > before + (128 << 10)) /* pages of the journal have heads */
        fail_msg("1,000 runs have left %zu bytes", after - before);
    start(FAILS, "key-0", "key-0", 0); /* the key is found in the journal all the same */
    turn(true);
    assert_int_equal(b.status, 200);
    assert_string_equal(b.run, first);
    assert_int_equal(b.host->runs.n, 0);
}

static void test_waiting_runs_keep_no_group(void **state)
{
    (void)state;
    char key[40];
    host_begin(b.host);
    for (unsigned i = 0; i < 100; i++) {
        snprintf(key, sizeof key, "key-%u", i);
        start(WAITS, key, key, 0);
    }
    turn(true);
    assert_int_equal(b.host->runs.n, 100);
    assert_int_equal(b.host->idems.n, 100);
    assert_int_equal(b.host->groups.n, 0);
    close_host();
    open_host(4, 0);
    assert_int_equal(b.host->runs.n, 100);
    assert_int_equal(b.host->idems.n, 100);
    host_begin(b.host);
    start(WAITS, "key-7", "key-7", 0);
    turn(true);
    assert_int_equal(b.status, 200);
    assert_int_equal(b.host->runs.n, 100);
}

static void test_who_is_next(void **state)
{
    (void)state;
    static const struct {
        const char *key, *group;
        int priority;
    } t[] = {{"a1", "a", 0}, {"a2", "a", 0}, {"a3", "a", 5}, {"b1", "b", 0}, {"c1", "c", -1},
             {"b2", "b", 0}, {"c2", "c", 9}, {"d1", "d", 5}, {"a4", "a", 0}};
    close_host();
    open_host(1, 0);
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        start(ECHO, t[i].key, t[i].group, t[i].priority);
        turn(false);
    }
    assert_int_equal(b.host->nheap, 4);
    host_begin(b.host);
    turn(true);
    assert_string_equal(b.order, "c2 a3 d1 a1 a2 b1 b2 a4 c1 ");
    assert_int_equal(b.host->nheap, 0);
}

/* Of thousands of groups, each in turn, none is looked at more than it must be. */
static void test_many_groups(void **state)
{
    (void)state;
    char key[40];
    int64_t last[7] = {0};
    for (unsigned i = 0; i < 2000; i++) {
        snprintf(key, sizeof key, "%u", i);
        start(WAITS, key, key, (int)(i * 7919 % 7));
    }
    turn(false);
    assert_int_equal(b.host->nheap, 2000);
    for (unsigned n = 0; n < 2000; n++) {
        struct hosted *r = host_next(b.host);
        assert_non_null(r);
        int64_t i = 0;
        size_t p = (size_t)r->priority;
        assert_true(str_to_i64(str_c(r->idem), &i));
        assert_true(n == 0 || i >= last[p]);
        last[p] = i;
        for (size_t higher = p + 1; higher < 7; higher++)
            assert_true(last[higher] >= 1993);
        host_unqueue(r);
        r->state = HOSTED_WAITING;
    }
    assert_null(host_next(b.host));
    assert_int_equal(b.host->groups.n, 0);
}

/* A run that has failed is resumed once, however often it is asked for, and keeps its key. */
static void test_resumed_once(void **state)
{
    (void)state;
    char id[64];
    host_begin(b.host);
    start(FAILS, "one", "", 0);
    turn(true);
    snprintf(id, sizeof id, "%s", b.run);
    b.order[0] = 0;
    ask("{\"do\": \"resume\", \"run\": \"%s\"}", id);
    ask("{\"do\": \"resume\", \"run\": \"%s\"}", id); /* before the first is durable */
    assert_int_equal(b.status, 409);
    turn(true);
    assert_int_equal(b.status, 202);
    assert_string_equal(b.order, "one ");
    assert_int_equal(b.host->runs.n, 0);
    start(FAILS, "one", "", 0);
    turn(true);
    assert_int_equal(b.status, 200);
    assert_string_equal(b.run, id);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_ended_runs_leave_nothing, begin, end),
        cmocka_unit_test_setup_teardown(test_waiting_runs_keep_no_group, begin, end),
        cmocka_unit_test_setup_teardown(test_who_is_next, begin, end),
        cmocka_unit_test_setup_teardown(test_many_groups, begin, end),
        cmocka_unit_test_setup_teardown(test_resumed_once, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
