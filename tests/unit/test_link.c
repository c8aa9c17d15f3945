/* A link between the engine's end (role/remote.c) and the end that carries effects out (role/keeper.c), whose processes
 * die at the worst moments: what was said before a death counts, and what is answered about it is true. */
#include "base/panic.h"
#include "data/json.h"
#include "role/channel.h"
#include "role/keeper.h"
#include "role/remote.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { CALLS = 16 };

static struct bench {
    struct ev_loop *loop;
    struct keeper *keeper;
    struct remote *remote;
    struct port *port;
    bool over; /* what the engine says of every run */
    /* what the keeper's side was asked to do */
    struct {
        uint64_t id;
        char path[20];
        port_done *done;
        void *ctx;
    } call[CALLS];
    size_t ncalls;
    char log[400]; /* what happened, in order */
} b;

static void note(const char *what, struct str of)
{
    size_t n = strlen(b.log);
    snprintf(b.log + n, sizeof b.log - n, "%s %.*s; ", what, STR_ARG(of));
}

static void op_start(void *ctx, const struct keeper_call *c, port_done *done, void *done_ctx)
{
    (void)ctx;
    assert_true(b.ncalls < CALLS);
    note("start", c->path);
    snprintf(b.call[b.ncalls].path, sizeof b.call[0].path, "%.*s", STR_ARG(c->path));
    b.call[b.ncalls].id = c->id;
    b.call[b.ncalls].done = done;
    b.call[b.ncalls++].ctx = done_ctx;
}

static void op_cancel(void *ctx, const struct keeper_call *c)
{
    (void)ctx;
    note("cancel", c->path);
}

static void op_forget(void *ctx, struct str run)
{
    (void)ctx;
    note("forget", run);
}

static bool op_takes(int64_t kind)
{
    return kind == EFFECT_COMMAND;
}

static const struct keeper_ops ops = {op_takes, op_start, op_cancel, op_forget};

static void finish(const char *path, bool ok, const char *json)
{
    struct arena a = {0};
    struct val v;
    struct err err;
    assert_int_equal(json_parse(&a, str_c(json), &JSON_LIMITS_DEFAULT, &v, &err), RC_OK);
    for (size_t i = b.ncalls; i-- > 0;)
        if (strcmp(b.call[i].path, path) == 0) {
            b.call[i].done(b.call[i].ctx, b.call[i].id, ok, &v);
            arena_done(&a);
            return;
        }
    fail_msg("%s does not run", path);
}

static void told(void *ctx, uint64_t effect, bool ok, const struct val *result)
{
    char text[40];
    (void)ctx;
    snprintf(text, sizeof text, "%llu %s", (unsigned long long)effect, ok ? "ok" : "");
    note(text, ok ? STR("") : val_get_str(result, STR("class"), STR("?")));
}

static bool wanted(void *ctx, struct str run)
{
    (void)ctx;
    note("held", run);
    return !b.over;
}

static void stop(void *ctx)
{
    (void)ctx;
    ev_stop(b.loop);
}

/* All that can happen without anybody doing something. */
static void turn(void)
{
    for (int i = 0; i < 20; i++) {
        ev_timer(b.loop, 0, stop, NULL);
        ev_run(b.loop);
    }
}

static void expect(const char *log)
{
    turn();
    assert_string_equal(b.log, log);
    b.log[0] = 0;
}

static void new_keeper(void)
{
    keeper_free(b.keeper);
    b.keeper = keeper_new(b.loop, &ops, NULL);
    b.ncalls = 0;
}

static void new_engine(void)
{
    if (b.remote) {
        remote_port_free(b.port, false);
        remote_free(b.remote);
    }
    b.remote = remote_new(b.loop, wanted, NULL);
    struct val where = val_empty_object;
    b.port = remote_port(b.remote, STR("run"), &where);
}

static void link_up(void)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    keeper_link(b.keeper, pair[0]);
    remote_link(b.remote, pair[1]);
}

static int begin(void **state)
{
    (void)state;
    b = (struct bench){.loop = ev_loop_new()};
    new_keeper();
    new_engine();
    link_up();
    turn();
    return 0;
}

static int end(void **state)
{
    (void)state;
    remote_port_free(b.port, false);
    remote_free(b.remote);
    keeper_free(b.keeper);
    ev_loop_free(b.loop);
    return 0;
}

struct want {
    const char *path, *life;
    bool adopt, reach;
};

static void call(uint64_t id, struct want w)
{
    static const struct val request = {.type = VAL_OBJECT};
    b.port->start(b.port,
                  &(struct effect){.id = id,
                                   .kind = EFFECT_COMMAND,
                                   .path = str_c(w.path),
                                   .key = str_c(w.path),
                                   .attempt = 1,
                                   .adopt = w.adopt,
                                   .reach = w.reach,
                                   .life = str_c(w.life ? w.life : ""),
                                   .request = &request},
                  told, NULL);
}

static const char *life(void)
{
    static char text[4][40];
    static int turn_of;
    struct str s = b.port->life(b.port);
    assert_non_null(s.p);
    turn_of = (turn_of + 1) % 4;
    snprintf(text[turn_of], sizeof text[0], "%.*s", STR_ARG(s));
    return text[turn_of];
}

static void test_a_call(void **state)
{
    (void)state;
    call(1, (struct want){.path = "a", .life = life()});
    expect("start a; ");
    finish("a", true, "1");
    expect("1 ok ; ");
    b.port->kept(b.port, 1);
    turn();
    assert_int_equal(remote_in_flight(b.remote), 0);
}

/* The engine dies, and another asks: about what runs, what has ended, what never came, and what another process had. */
static void test_what_a_new_engine_hears(void **state)
{
    (void)state;
    const char *one = life();
    call(1, (struct want){.path = "runs", .life = one});
    call(2, (struct want){.path = "over", .life = one});
    expect("start runs; start over; ");
    new_engine();
    finish("over", true, "1");
    link_up();
    expect("held run; ");
    assert_string_equal(life(), one);
    call(1, (struct want){.path = "runs", .life = one, .adopt = true});
    call(2, (struct want){.path = "over", .life = one, .adopt = true});
    call(3, (struct want){.path = "lost", .life = one, .adopt = true});
    call(4, (struct want){.path = "other", .life = "another", .adopt = true});
    call(5, (struct want){.path = "old", .life = NULL, .adopt = true});
    expect("2 ok ; 3  never; 4  unknown; 5  unknown; ");
    finish("runs", true, "1");
    expect("1 ok ; ");
}

/* What the dead engine had sent and nobody had read counts, before anything of the new one. */
static void test_what_the_dead_engine_had_sent(void **state)
{
    (void)state;
    const char *one = life();
    call(1, (struct want){.path = "a", .life = one});
    call(2, (struct want){.path = "b", .life = one}); /* in the socket; the loop has not turned */
    assert_int_equal(b.ncalls, 0);
    new_engine();
    link_up();
    call(1, (struct want){.path = "a", .life = one, .adopt = true});
    expect("start a; start b; held run; ");
    finish("a", true, "1");
    expect("1 ok ; ");
}

/* What egress had sent before it died is a reply like any other, also when the next life is there before it is read. */
static void test_what_the_dead_keeper_had_sent(void **state)
{
    (void)state;
    call(1, (struct want){.path = "a", .life = life()});
    call(2, (struct want){.path = "b", .life = life()});
    expect("start a; start b; ");
    finish("a", true, "1"); /* in the socket */
    new_keeper();
    link_up();
    expect("1 ok ; 2  interrupted; ");
}

/* A call belongs to the process that its intent names: it waits for no other. */
static void test_a_call_for_the_dead(void **state)
{
    (void)state;
    const char *one = life();
    new_keeper();
    turn();
    assert_false(remote_linked(b.remote));
    assert_null(b.port->life(b.port).p);
    call(1, (struct want){.path = "a", .life = one});
    call(2, (struct want){.path = "b"});
    call(3, (struct want){.path = "c", .life = one});
    call(4, (struct want){.path = "d", .reach = true});
    b.port->cancel(b.port, 3);
    expect("3  cancelled; ");
    link_up();
    expect("4 ok ; 1  never; start b; ");
    assert_string_not_equal(life(), one);
    call(5, (struct want){.path = "e", .reach = true});
    expect("5 ok ; ");
    finish("b", true, "1");
    expect("2 ok ; ");
}

static void test_cancelled_while_nobody_is_there(void **state)
{
    (void)state;
    new_keeper();
    turn();
    call(1, (struct want){.path = "a", .reach = true});
    b.port->cancel(b.port, 1);
    expect("1  cancelled; ");
}

/* An engine that dies between a run's end and saying so leaves nothing behind for good. */
static void test_runs_that_are_over_are_forgotten(void **state)
{
    (void)state;
    call(1, (struct want){.path = "a", .life = life()});
    call(2, (struct want){.path = "b", .life = life()});
    turn();
    finish("a", true, "1");
    b.log[0] = 0;
    new_engine();
    b.over = true;
    link_up();
    expect("held run; cancel b; ");
    finish("b", false, "{\"class\": \"cancelled\"}");
    expect("forget run; ");
    new_engine();
    link_up();
    expect("");
}

/* Its run was given up, and is resumed while it is still being stopped. */
static void test_a_forgotten_call_is_asked_about(void **state)
{
    (void)state;
    call(1, (struct want){.path = "a", .life = life()});
    turn();
    remote_port_free(b.port, true);
    struct val where = val_empty_object;
    b.port = remote_port(b.remote, STR("run"), &where);
    expect("start a; cancel a; ");
    call(2, (struct want){.path = "a", .life = NULL, .adopt = true});
    turn();
    finish("a", false, "{\"class\": \"cancelled\"}");
    expect("2  cancelled; ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_call, begin, end),
        cmocka_unit_test_setup_teardown(test_what_a_new_engine_hears, begin, end),
        cmocka_unit_test_setup_teardown(test_what_the_dead_engine_had_sent, begin, end),
        cmocka_unit_test_setup_teardown(test_what_the_dead_keeper_had_sent, begin, end),
        cmocka_unit_test_setup_teardown(test_a_call_for_the_dead, begin, end),
        cmocka_unit_test_setup_teardown(test_cancelled_while_nobody_is_there, begin, end),
        cmocka_unit_test_setup_teardown(test_runs_that_are_over_are_forgotten, begin, end),
        cmocka_unit_test_setup_teardown(test_a_forgotten_call_is_asked_about, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
