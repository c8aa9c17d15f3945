/* The event loop: order, the turn-end hook, re-entrant cancels, descriptors, children, signals, threads. */
#include "base/clock.h"
#include "ev/loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

struct fixture {
    struct ev_loop *l;
    ev_id id[4];
    int fd[2];
    int calls[4];
    int turns;
    char log[64];
    size_t n;
    bool once;
    struct ev_waker *waker;
};

static struct fixture *fresh(void)
{
    static struct fixture f;
    f = (struct fixture){.l = ev_loop_new(), .fd = {-1, -1}};
    return &f;
}

static void note(struct fixture *f, char c)
{
    assert_true(f->n + 1 < sizeof f->log);
    f->log[f->n++] = c;
}

static void log_a(void *ctx)
{
    note(ctx, 'a');
}
static void log_b(void *ctx)
{
    note(ctx, 'b');
}
static void log_c(void *ctx)
{
    note(ctx, 'c');
}
static void log_turn(void *ctx)
{
    struct fixture *f = ctx;
    f->turns++;
    if (f->n && f->log[f->n - 1] != '|')
        note(f, '|');
}
static void stop(void *ctx)
{
    ev_stop(((struct fixture *)ctx)->l);
}
static void never(void *ctx)
{
    (void)ctx;
    fail_msg("a cancelled callback ran");
}

/* ---- timers and turns ---- */

static void timers_run_in_order(void **state)
{
    (void)state;
    struct fixture *f = fresh();
    ev_timer(f->l, 20, log_c, f);
    ev_timer(f->l, 5, log_b, f);
    ev_timer(f->l, 0, log_a, f);
    ev_timer(f->l, 5, log_b, f);
    int64_t start = clock_mono_ms();
    ev_run(f->l);
    assert_string_equal(f->log, "abbc");
    assert_in_range(clock_mono_ms() - start, 19, 500);
    ev_loop_free(f->l);
}

static void slow_then_timer(void *ctx)
{
    struct fixture *f = ctx;
    usleep(30000);
    f->id[0] = ev_timer(f->l, 20, log_a, f);
    f->id[1] = (ev_id)clock_mono_ms();
}

static void a_timer_counts_from_the_call(void **state)
{
    (void)state;
    struct fixture *f = fresh();
    ev_timer(f->l, 1, slow_then_timer, f);
    ev_run(f->l);
    assert_in_range(clock_mono_ms() - (int64_t)f->id[1], 19, 500);
    ev_loop_free(f->l);
}

static void zero_from_hook(void *ctx)
{
    struct fixture *f = ctx;
    if (f->turns++ == 0)
        ev_timer(f->l, 0, log_a, f);
    if (f->n == 1 && !f->once) {
        f->once = true;
        ev_timer(f->l, 1, log_b, f);
    }
}

static void nothing_the_hook_starts_is_slept_over(void **state)
{
    (void)state;
    struct fixture *f = fresh();
    ev_on_turn_end(f->l, zero_from_hook, f);
    ev_id far = ev_timer(f->l, 3000, stop, f);
    ev_timer(f->l, 60, stop, f);
    int64_t start = clock_mono_ms();
    ev_run(f->l);
    assert_string_equal(f->log, "ab");
    assert_in_range(clock_mono_ms() - start, 50, 1000);
    ev_cancel(f->l, far);
    ev_loop_free(f->l);
}

static void hook_starts_last_timer(void *ctx)
{
    struct fixture *f = ctx;
    if (f->turns++ == 0)
        ev_timer(f->l, 5, log_a, f);
}

static void a_loop_with_only_a_hook_runs_it(void **state)
{
    (void)state;
    struct fixture *f = fresh();
    ev_on_turn_end(f->l, hook_starts_last_timer, f);
    ev_run(f->l);
    assert_string_equal(f->log, "a");
    ev_loop_free(f->l);
}

static void stop_here(void *ctx)
{
    note(ctx, 'x');
    stop(ctx);
}

static void the_hook_follows_the_last_callback(void **state)
{
    (void)state;
    struct fixture *f = fresh();
    assert_int_equal(pipe2(f->fd, O_CLOEXEC), 0);
    assert_int_equal(write(f->fd[1], "x", 1), 1);
    ev_on_turn_end(f->l, log_turn, f);
    ev_readable(f->l, f->fd[0], stop_here, f);
    ev_run(f->l);
    assert_string_equal(f->log, "x|");
    ev_loop_free(f->l);
    close(f->fd[0]);
    close(f->fd[1]);
}

static void again(void *ctx)
{
    struct fixture *f = ctx;
    f->calls[0]++;
    ev_timer(f->l, 0, again, f);
}

static void drain_and_stop(void *ctx)
{
    struct fixture *f = ctx;
    if (++f->calls[1] == 50)
        ev_stop(f->l);
}

/* A timer that restarts itself at once starves neither input nor the hook, and the hook comes between its calls. */
static void zero_timers_take_turns(void **state)
{
    (void)state;
    struct fixture *f = fresh();
    assert_int_equal(pipe2(f->fd, O_CLOEXEC), 0);
    assert_int_equal(write(f->fd[1], "x", 1), 1);
    ev_on_turn_end(f->l, log_turn, f);
    ev_timer(f->l, 0, again, f);
    ev_readable(f->l, f->fd[0], drain_and_stop, f);
    ev_run(f->l);
    assert_int_equal(f->calls[1], 50);
    assert_in_range(f->calls[0], 40, 60);
    assert_true(f->turns >= f->calls[0]);
    ev_loop_free(f->l);
    close(f->fd[0]);
    close(f->fd[1]);
}

/* ---- cancelling ---- */

static void cancel_two_others(void *ctx)
{
    struct fixture *f = ctx;
    note(f, 'k');
    for (int i = 0; i < 4; i++)
        ev_cancel(f->l, f->id[i]);
}

static void a_callback_may_cancel_all_of_its_turn(void **state)
{
    (void)state;
    static const int64_t delays[] = {0, 3};
    for (size_t i = 0; i < sizeof delays / sizeof *delays; i++) {
        struct fixture *f = fresh();
        f->id[0] = ev_timer(f->l, delays[i], cancel_two_others, f);
        f->id[1] = ev_timer(f->l, delays[i], never, f);
        f->id[2] = ev_timer(f->l, delays[i], never, f);
        f->id[3] = ev_timer(f->l, 4, never, f);
        ev_run(f->l);
        assert_string_equal(f->log, "k");
        ev_loop_free(f->l);
    }
}

static void a_late_cancel_hits_nobody_else(void **state)
{
    (void)state;
    struct fixture *f = fresh();
    ev_id old = ev_timer(f->l, 1, log_a, f);
    ev_run(f->l);
    ev_id fresh_id = ev_timer(f->l, 1, log_b, f); /* takes the same slot */
    assert_true(old != fresh_id && old && fresh_id);
    ev_cancel(f->l, old);
    ev_cancel(f->l, 0);
    ev_cancel(f->l, UINT64_MAX);
    ev_run(f->l);
    assert_string_equal(f->log, "ab");
    for (int i = 0; i < 100000; i++) { /* ids do not come back, slots do */
        ev_id id = ev_timer(f->l, i % 2, never, f);
        assert_true(id != old && id != fresh_id);
        ev_cancel(f->l, id);
        old = id;
    }
    ev_run(f->l);
    ev_loop_free(f->l);
}

/* ---- descriptors ---- */

static void on_read(void *ctx)
{
    struct fixture *f = ctx;
    char c;
    ssize_t n = read(f->fd[0], &c, 1);
    note(f, n == 1 ? 'r' : n == 0 ? 'e' : errno == EAGAIN ? '?' : 'E');
    if (n <= 0)
        ev_cancel(f->l, f->id[0]);
}

static void on_write(void *ctx)
{
    struct fixture *f = ctx;
    note(f, 'w');
    ev_cancel(f->l, f->id[1]);
    assert_int_equal(write(f->fd[1], "xy", 2), 2);
    close(f->fd[1]);
}

static void both_sides_of_one_descriptor(void **state)
{
    (void)state;
    struct fixture *f = fresh();
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, f->fd), 0);
    f->id[0] = ev_readable(f->l, f->fd[0], on_read, f);
    f->id[1] = ev_writable(f->l, f->fd[0], on_write, f);
    ev_run(f->l);
    assert_string_equal(f->log, "wrre");
    close(f->fd[0]);
    ev_loop_free(f->l);
}

static void cancel_both_sides(void *ctx)
{
    struct fixture *f = ctx;
    note(f, 'k');
    ev_cancel(f->l, f->id[0]);
    ev_cancel(f->l, f->id[1]);
    close(f->fd[0]);
    /* The number comes back at once, for another watch. */
    int fd[2];
    assert_int_equal(pipe2(fd, O_CLOEXEC), 0);
    assert_int_equal(fd[0], f->fd[0]);
    assert_int_equal(write(fd[1], "z", 1), 1);
    close(fd[1]);
    f->id[0] = ev_readable(f->l, fd[0], on_read, f);
}

static void a_reader_may_cancel_the_writer_and_reuse_the_number(void **state)
{
    (void)state;
    struct fixture *f = fresh();
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, f->fd), 0);
    assert_int_equal(write(f->fd[1], "x", 1), 1);
    f->id[0] = ev_readable(f->l, f->fd[0], cancel_both_sides, f);
    f->id[1] = ev_writable(f->l, f->fd[0], never, f);
    ev_run(f->l);
    assert_string_equal(f->log, "kre");
    close(f->fd[0]);
    close(f->fd[1]);
    ev_loop_free(f->l);
}

static void on_broken(void *ctx)
{
    struct fixture *f = ctx;
    note(f, write(f->fd[1], "x", 1) < 0 && errno == EPIPE ? 'P' : '?');
    if (f->n == 3)
        ev_cancel(f->l, f->id[0]);
}

/* EPOLLERR stops libuv's handle; the watch goes on. */
static void an_error_counts_as_ready_each_turn(void **state)
{
    (void)state;
    struct fixture *f = fresh();
    signal(SIGPIPE, SIG_IGN);
    assert_int_equal(pipe2(f->fd, O_CLOEXEC), 0);
    f->id[0] = ev_writable(f->l, f->fd[1], on_broken, f);
    close(f->fd[0]);
    ev_run(f->l);
    assert_string_equal(f->log, "PPP");
    close(f->fd[1]);
    ev_loop_free(f->l);
}

static void a_regular_file_is_always_ready(void **state)
{
    (void)state;
    struct fixture *f = fresh();
    FILE *file = tmpfile();
    fputs("ab", file);
    rewind(file);
    f->fd[0] = fileno(file);
    f->id[0] = ev_readable(f->l, f->fd[0], on_read, f);
    ev_run(f->l);
    assert_string_equal(f->log, "rre");
    f->id[0] = ev_readable(f->l, f->fd[0], never, f);
    f->id[1] = ev_writable(f->l, f->fd[0], never, f);
    ev_loop_free(f->l);
    fclose(file);
}

/* ---- children and signals ---- */

static void on_exit_status(void *ctx, int status)
{
    struct fixture *f = ctx;
    f->calls[0] = status;
    f->calls[1]++;
}

static pid_t spawn(int how)
{
    pid_t pid = fork();
    if (pid == 0) {
        if (how == 1000)
            pause();
        if (how >= 100)
            usleep(20000);
        _exit(how % 100);
    }
    assert_true(pid > 0);
    return pid;
}

static void children_are_reaped(void **state)
{
    (void)state;
    static const struct {
        int how;
        bool kill, wait_first;
        int status;
    } cases[] = {{7, 0, 0, 7 << 8}, {0, 0, 1, 0}, {103, 0, 0, 3 << 8}, {1000, 1, 0, SIGKILL}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct fixture *f = fresh();
        pid_t pid = spawn(cases[i].how);
        if (cases[i].wait_first) { /* a zombie already */
            siginfo_t info;
            assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
        }
        ev_child(f->l, pid, on_exit_status, f);
        if (cases[i].kill)
            kill(pid, SIGKILL);
        ev_run(f->l);
        assert_int_equal(f->calls[1], 1);
        assert_int_equal(f->calls[0], cases[i].status);
        assert_int_equal(waitpid(pid, NULL, WNOHANG), -1);
        ev_loop_free(f->l);
    }
}

static void no_child_and_cancelled_child(void **state)
{
    (void)state;
    struct fixture *f = fresh();
    ev_id nobody = ev_child(f->l, getppid(), on_exit_status, f);
    pid_t pid = spawn(4);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    ev_child(f->l, pid, on_exit_status, f);
    ev_timer(f->l, 50, stop, f);
    ev_run(f->l);
    assert_int_equal(f->calls[0], -1);
    assert_int_equal(f->calls[1], 1);
    ev_cancel(f->l, nobody);

    f->calls[1] = 0;
    pid = spawn(5);
    ev_cancel(f->l, ev_child(f->l, pid, on_exit_status, f));
    ev_run(f->l);
    assert_int_equal(f->calls[1], 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid); /* ours to reap again */
    ev_loop_free(f->l);
}

static void on_signal(void *ctx, int signo)
{
    struct fixture *f = ctx;
    assert_int_equal(signo, SIGUSR1);
    if (++f->calls[0] == 1)
        raise(SIGUSR1);
    else
        ev_cancel(f->l, f->id[0]);
}

static void raise_usr1(void *ctx)
{
    (void)ctx;
    raise(SIGUSR1);
}

static void signals_arrive_and_keep_nobody(void **state)
{
    (void)state;
    struct fixture *f = fresh();
    f->id[0] = ev_signal(f->l, SIGUSR1, on_signal, f);
    f->id[1] = ev_signal(f->l, SIGUSR2, on_signal, f);
    ev_run(f->l); /* returns: only signals are left */
    ev_timer(f->l, 1, raise_usr1, f);
    ev_timer(f->l, 100, log_a, f);
    ev_run(f->l);
    assert_int_equal(f->calls[0], 2);
    ev_loop_free(f->l);
}

/* ---- threads ---- */

static void work(void *ctx)
{
    struct fixture *f = ctx;
    usleep(5000);
    __atomic_add_fetch(&f->calls[0], 1, __ATOMIC_SEQ_CST);
}

static void work_done(void *ctx)
{
    ((struct fixture *)ctx)->calls[1]++;
}

static void work_runs_elsewhere_and_ends_here(void **state)
{
    (void)state;
    struct fixture *f = fresh();
    for (int i = 0; i < 20; i++)
        ev_work(f->l, work, work_done, f);
    ev_run(f->l);
    assert_int_equal(f->calls[0], 20);
    assert_int_equal(f->calls[1], 20);

    f->calls[0] = f->calls[1] = 0;
    ev_id ids[40];
    for (int i = 0; i < 40; i++)
        ids[i] = ev_work(f->l, work, work_done, f);
    usleep(8000);
    for (int i = 0; i < 40; i++)
        ev_cancel(f->l, ids[i]);
    ev_run(f->l);
    assert_int_equal(f->calls[1], 0);
    assert_true(f->calls[0] < 40); /* what had not begun never does */
    for (int i = 0; i < 8; i++)
        ev_work(f->l, work, work_done, f);
    ev_loop_free(f->l); /* waits for those that run, drops `done` */
    assert_int_equal(f->calls[1], 0);
}

static void *wake_thread(void *ctx)
{
    struct fixture *f = ctx;
    for (int i = 0; i < 1000; i++)
        ev_wake(f->waker);
    return NULL;
}

static void on_wake(void *ctx)
{
    struct fixture *f = ctx;
    f->calls[0]++;
    ev_waker_free(f->waker);
}

static void a_waker_wakes_until_freed(void **state)
{
    (void)state;
    struct fixture *f = fresh();
    f->waker = ev_waker_new(f->l, on_wake, f);
    struct ev_waker *left = ev_waker_new(f->l, never, f), *third = ev_waker_new(f->l, never, f);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, wake_thread, f), 0);
    pthread_join(thread, NULL);
    ev_timer(f->l, 20, stop, f);
    ev_run(f->l);
    assert_int_equal(f->calls[0], 1);
    ev_waker_free(third);
    ev_loop_free(f->l);
    ev_waker_free(left);
}

/* ---- the end ---- */

static void pid_never(void *ctx, int status)
{
    (void)ctx, (void)status;
    fail();
}

static void a_busy_loop_can_be_freed(void **state)
{
    (void)state;
    struct fixture *f = fresh();
    assert_int_equal(pipe2(f->fd, O_CLOEXEC), 0);
    pid_t pid = spawn(1000);
    for (int i = 0; i < 300; i++)
        ev_timer(f->l, i % 3 * 1000, never, f);
    ev_readable(f->l, f->fd[0], never, f);
    ev_writable(f->l, f->fd[1], never, f);
    ev_signal(f->l, SIGUSR1, pid_never, f);
    ev_child(f->l, pid, pid_never, f);
    ev_on_turn_end(f->l, never, f);
    ev_loop_free(f->l);
    ev_loop_free(NULL);
    close(f->fd[0]);
    close(f->fd[1]);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static void making_a_loop_is_cheap_and_leaks_no_descriptor(void **state)
{
    (void)state;
    int before = dup(0);
    int64_t start = clock_mono_us();
    for (int i = 0; i < 50; i++)
        ev_loop_free(ev_loop_new());
    int64_t each = (clock_mono_us() - start) / 50;
    print_message("a loop made and freed: %ld us\n", (long)each);
    assert_true(each < 2000); /* 0.3 ms is the aim; generous, for sanitizers and busy machines */
    close(before);
    int after = dup(0);
    assert_int_equal(before, after);
    close(after);
}

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(making_a_loop_is_cheap_and_leaks_no_descriptor),
        cmocka_unit_test(timers_run_in_order),
        cmocka_unit_test(a_timer_counts_from_the_call),
        cmocka_unit_test(nothing_the_hook_starts_is_slept_over),
        cmocka_unit_test(a_loop_with_only_a_hook_runs_it),
        cmocka_unit_test(the_hook_follows_the_last_callback),
        cmocka_unit_test(zero_timers_take_turns),
        cmocka_unit_test(a_callback_may_cancel_all_of_its_turn),
        cmocka_unit_test(a_late_cancel_hits_nobody_else),
        cmocka_unit_test(both_sides_of_one_descriptor),
        cmocka_unit_test(a_reader_may_cancel_the_writer_and_reuse_the_number),
        cmocka_unit_test(an_error_counts_as_ready_each_turn),
        cmocka_unit_test(a_regular_file_is_always_ready),
        cmocka_unit_test(children_are_reaped),
        cmocka_unit_test(no_child_and_cancelled_child),
        cmocka_unit_test(signals_arrive_and_keep_nobody),
        cmocka_unit_test(work_runs_elsewhere_and_ends_here),
        cmocka_unit_test(a_waker_wakes_until_freed),
        cmocka_unit_test(a_busy_loop_can_be_freed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
