/* Turns in workspaces among runs and processes: who has one, who is next, what becomes of it when its holder dies. */
#include "base/clock.h"
#include "executor/turn_lock.h"
#include "role/turns.h"

#include "executor_util.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char home[] = "/tmp/treadle-turns-XXXXXX";
static char workspace[64], link_to_it[64];
static int dir = -1;
static struct turn_lock a, b, c;
static char who[TURN_WHO_SIZE];

static void lock_init(struct turn_lock *l, const char *run)
{
    turn_lock_init(l, dir, workspace, run, home);
}

static int set_up(void **state)
{
    (void)state;
    struct err err;
    memcpy(home + strlen(home) - 6, "XXXXXX", 6);
    assert_non_null(mkdtemp(home));
    snprintf(workspace, sizeof workspace, "%s/ws", home);
    snprintf(link_to_it, sizeof link_to_it, "%s/link", home);
    assert_int_equal(mkdir(workspace, 0700), 0);
    assert_int_equal(symlink("ws", link_to_it), 0);
    assert_int_equal(turn_dir_open(home, &dir, &err), RC_OK);
    lock_init(&a, "a");
    lock_init(&b, "b");
    lock_init(&c, "c");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    close(dir);
    util_remove_tree(home);
    return 0;
}

static void has(struct turn_lock *l)
{
    assert_true(turn_lock_try(l, who));
}

static void waits(struct turn_lock *l, const char *for_what)
{
    assert_false(turn_lock_try(l, who));
    assert_string_equal(who, for_what);
}

static void test_in_the_order_of_asking(void **state)
{
    (void)state;
    assert_false(turn_lock_wanted(&a));
    has(&a);
    waits(&b, "run a is writing there");
    waits(&c, "other runs come first");
    assert_true(turn_lock_wanted(&a));
    turn_lock_leave(&a);
    waits(&a, "other runs come first"); /* whoever had it stands at the end */
    waits(&c, "other runs come first");
    has(&b);
    turn_lock_leave(&b);
    waits(&a, "other runs come first");
    turn_lock_leave(&c); /* gives up */
    has(&a);
    turn_lock_leave(&a);
    assert_false(turn_lock_wanted(&b));
}

/* Whatever path leads there. */
static void test_same_directory(void **state)
{
    (void)state;
    turn_lock_init(&b, dir, link_to_it, "b", home);
    has(&a);
    waits(&b, "run a is writing there");
    turn_lock_init(&c, dir, home, "c", home);
    has(&c); /* another one */
    turn_lock_leave(&c);
    turn_lock_leave(&b);
    turn_lock_leave(&a);
}

static void dies_with(struct turn_lock *l)
{
    pid_t pid = fork();
    if (pid == 0) {
        turn_lock_try(l, who);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* Who died while it wrote comes back before all others, and they do not wait for ever. */
static void test_death_of_the_holder(void **state)
{
    (void)state;
    dies_with(&a);
    waits(&b, "run a died while it was writing there");
    has(&a);
    turn_lock_leave(&a);
    has(&b);
    turn_lock_leave(&b);
    dies_with(&a);
    waits(&b, "run a died while it was writing there");
    b.left_ms -= 1000; /* the machine may be slow: nowhere near the end */
    waits(&b, "run a died while it was writing there");
    b.left_ms -= 2000;
    has(&b);
    waits(&a, "run b is writing there");
    turn_lock_leave(&b);
    turn_lock_leave(&a);
}

/* Nobody begins while what it had started may still write. */
static void test_its_commands_live_on(void **state)
{
    (void)state;
    char path[80];
    snprintf(path, sizeof path, "%s/exec.lock", home);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(flock(fd, LOCK_SH), 0);
    dies_with(&a);
    for (int i = 0; i < 3; i++)
        waits(&b, "commands of run a are still alive");
    close(fd);
    waits(&b, "run a died while it was writing there");
    turn_lock_leave(&b);
}

static void test_death_in_the_line(void **state)
{
    (void)state;
    has(&a);
    dies_with(&b);
    waits(&c, "run a is writing there");
    turn_lock_leave(&a);
    has(&c);
    turn_lock_leave(&c);
}

/* What the dead have left goes when nobody can come back for it. */
static void test_rubbish(void **state)
{
    (void)state;
    struct err err;
    int again;
    char gone[80];
    struct stat st;
    snprintf(gone, sizeof gone, "%s/gone", home);
    dies_with(&a); /* its run is still there */
    assert_int_equal(turn_dir_open(home, &again, &err), RC_OK);
    assert_int_equal(fstatat(dir, a.key, &st, 0), 0);
    close(again);
    has(&a);
    turn_lock_leave(&a);
    a.run_dir = gone;
    dies_with(&a);
    assert_int_equal(fstatat(dir, a.key, &st, 0), 0);
    assert_int_equal(turn_dir_open(home, &again, &err), RC_OK);
    assert_int_equal(fstatat(dir, a.key, &st, 0), -1);
    close(again);
    a.run_dir = gone;
    has(&a); /* what is held stays */
    assert_int_equal(turn_dir_open(home, &again, &err), RC_OK);
    assert_int_equal(fstatat(dir, a.key, &st, 0), 0);
    close(again);
    turn_lock_leave(&a);
}

/* ---- seats ---- */

struct sitting {
    struct seat *seat;
    struct ev_loop *loop;
    unsigned granted;
};

static void granted(void *ctx)
{
    struct sitting *s = ctx;
    s->granted++;
    ev_stop(s->loop);
}

static void too_late(void *ctx)
{
    ev_stop(ctx);
}

static void wait_for(struct ev_loop *loop, const struct sitting *s)
{
    ev_id id = ev_timer(loop, 10000, too_late, loop);
    ev_run(loop);
    ev_cancel(loop, id);
    assert_int_equal(s->granted, 1);
}

static void leave(struct sitting *s)
{
    uint64_t number = seat_leave(s->seat);
    assert_int_not_equal(number, 0);
    seat_left(s->seat, number);
    s->granted = 0;
}

static void test_seats(void **state)
{
    (void)state;
    struct ev_loop *loop = ev_loop_new();
    struct turns *here, *there;
    struct err err;
    struct turn_holder holder;
    struct sitting s[3];
    assert_int_equal(turns_new(loop, home, NULL, &here, &err), RC_OK);
    assert_int_equal(turns_new(loop, home, NULL, &there, &err), RC_OK);
    for (size_t i = 0; i < 3; i++) {
        s[i] = (struct sitting){.loop = loop};
        s[i].seat = seat_new(i == 2 ? there : here, str_c(workspace), str_n(&"xyz"[i], 1), granted, &s[i]);
    }
    assert_true(seat_ask(s[0].seat, &holder));
    uint64_t number = seat_leave(s[0].seat);
    assert_true(seat_ask(s[0].seat, &holder)); /* nobody wants it: it has it again, */
    seat_left(s[0].seat, number);              /* and that is of no importance any more */
    assert_false(seat_ask(s[2].seat, &holder));
    assert_string_equal(holder.z, "run x is writing there");
    assert_false(seat_ask(s[1].seat, &holder));

    number = seat_leave(s[0].seat);
    assert_false(seat_ask(s[0].seat, &holder)); /* now it stands behind the others */
    assert_string_equal(holder.z, "other runs come first");
    assert_int_equal(s[2].granted + s[1].granted, 0);
    seat_left(s[0].seat, number);
    wait_for(loop, &s[2]); /* the other process was first */
    assert_int_equal(s[0].granted + s[1].granted, 0);
    leave(&s[2]);
    wait_for(loop, &s[1]);
    assert_int_equal(seat_leave(s[0].seat), 0); /* it gives up */
    assert_false(seat_ask(s[0].seat, &holder));
    assert_false(seat_ask(s[2].seat, &holder));
    seat_free(s[1].seat); /* its run has ended */
    wait_for(loop, &s[0]);
    seat_free(s[0].seat);
    wait_for(loop, &s[2]);
    seat_free(s[2].seat);
    turns_free(here);
    turns_free(there);
    ev_loop_free(loop);
}

/* Somebody tidies up in the state directory. */
static void test_directory_removed(void **state)
{
    (void)state;
    char path[64];
    struct ev_loop *loop = ev_loop_new();
    struct turns *turns;
    struct err err;
    struct turn_holder holder;
    struct sitting s[2];
    assert_int_equal(turns_new(loop, home, NULL, &turns, &err), RC_OK);
    for (size_t i = 0; i < 2; i++) {
        s[i] = (struct sitting){.loop = loop};
        s[i].seat = seat_new(turns, str_c(workspace), str_n(&"xy"[i], 1), granted, &s[i]);
    }
    assert_true(seat_ask(s[0].seat, &holder));
    snprintf(path, sizeof path, "%s/turns", home);
    util_remove_tree(path);
    assert_false(seat_ask(s[1].seat, &holder));
    assert_string_equal(holder.z, "run x is writing there");
    ev_timer(loop, 50, too_late, loop);
    ev_run(loop);
    assert_int_equal(s[1].granted, 0); /* a new file excludes nobody, but who has the turn is known here */
    leave(&s[0]);
    wait_for(loop, &s[1]);
    assert_int_equal(access(path, F_OK), 0);
    seat_free(s[1].seat);
    util_remove_tree(path);
    assert_false(seat_ask(s[0].seat, &holder)); /* not at once */
    wait_for(loop, &s[0]);
    seat_free(s[0].seat);
    turns_free(turns);
    ev_loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_in_the_order_of_asking, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_same_directory, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_death_of_the_holder, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_its_commands_live_on, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_death_in_the_line, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_rubbish, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_seats, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_directory_removed, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
