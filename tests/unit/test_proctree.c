/* What a glance at the tree of processes sees, and when it says that it may not have seen all. */
#include "executor/proctree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static int ready[2]; /* each process writes a byte when it is what it is to be, and then waits for its end */

static int begin(void **state)
{
    (void)state;
    return prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) || pipe(ready);
}

static int end(void **state)
{
    (void)state;
    close(ready[0]);
    close(ready[1]);
    proctree_kill();
    return 0;
}

static void say_ready(void)
{
    if (write(ready[1], "", 1) != 1)
        _exit(1);
}

static _Noreturn void stay(void)
{
    say_ready();
    for (;;)
        pause();
}

static void wait_ready(size_t n)
{
    char c;
    for (size_t i = 0; i < n; i++)
        assert_int_equal(read(ready[0], &c, 1), 1);
}

/* The glance, compared with the look at all processes. */
static struct proctree_usage seen(uint64_t tasks)
{
    struct proctree_usage u, all = proctree_usage(UINT64_MAX, UINT64_MAX);
    assert_true(proctree_glance(&u));
    assert_int_equal(u.tasks, tasks);
    assert_int_equal(all.tasks, tasks);
    assert_int_equal(u.bytes, all.bytes);
    return u;
}

static void nobody(void **state)
{
    (void)state;
    assert_int_equal(seen(0).bytes, 0);
}

static void a_chain_and_an_orphan(void **state)
{
    (void)state;
    enum { HELD = 32 << 20 };
    pid_t child = fork();
    if (child == 0) {
        if (fork() == 0) {
            char *p = mmap(NULL, HELD, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            if (p == MAP_FAILED)
                _exit(1);
            memset(p, 1, HELD);
            if (fork() == 0)
                stay();
            stay();
        }
        stay();
    }
    wait_ready(3);
    assert_true(seen(3).bytes > 2 * (uint64_t)HELD); /* counted for each */
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    seen(2);
}

static void *thread_with_child(void *arg)
{
    (void)arg;
    if (fork() == 0)
        stay();
    stay();
}

static void children_of_threads(void **state)
{
    (void)state;
    if (fork() == 0) {
        pthread_t t;
        for (int i = 0; i < 3; i++)
            if (pthread_create(&t, NULL, thread_with_child, NULL) != 0)
                _exit(1);
        stay();
    }
    wait_ready(7);
    seen(7);
}

/* It may have had children that are elsewhere now. */
static void the_dead(void **state)
{
    (void)state;
    struct proctree_usage u;
    pid_t child = fork();
    if (child == 0) {
        pid_t other = fork();
        siginfo_t si;
        if (other == 0)
            _exit(0);
        if (waitid(P_PID, (id_t)other, &si, WEXITED | WNOWAIT) != 0)
            _exit(1);
        stay();
    }
    wait_ready(1);
    assert_false(proctree_glance(&u));
}

static int go[2];

/* Each ends when it is told to; its two children, of which one is the next such, are then somebody else's. */
static _Noreturn void chain(int links)
{
    char c;
    do {
        if (fork() == 0)
            stay();
    } while (--links && fork() == 0);
    say_ready();
    _exit(read(go[0], &c, 1) != 1);
}

/* Who ends while the lists are read hides its children from the reader: they are behind what it has read by then. */
static void none_is_missed_while_others_end(void **state)
{
    (void)state;
    enum { ROUNDS = 30, LINKS = 20 };
    size_t looks = 0, counted = 0;
    for (int round = 0; round < ROUNDS; round++) {
        assert_int_equal(pipe(go), 0);
        if (fork() == 0)
            chain(LINKS);
        wait_ready(2 * LINKS);
        for (int gone = 0, told = 0; gone < LINKS; looks++) {
            struct proctree_usage u;
            if (told++ < LINKS)
                assert_int_equal(write(go[1], "", 1), 1);
            if (proctree_glance(&u)) {
                counted++;
                assert_true(u.tasks >= LINKS);
            }
            while (waitpid(-1, NULL, WNOHANG) > 0)
                gone++;
        }
        close(go[0]);
        close(go[1]);
        proctree_kill();
    }
    print_message("%zu of %zu glances counted\n", counted, looks);
}

static void too_many(void **state)
{
    (void)state;
    enum { MANY = 300 };
    struct proctree_usage u;
    for (int i = 0; i < MANY; i++)
        if (fork() == 0)
            stay();
    wait_ready(MANY);
    assert_false(proctree_glance(&u));
    assert_int_equal(proctree_usage(UINT64_MAX, UINT64_MAX).tasks, MANY);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, begin, end)
    const struct CMUnitTest tests[] = {
        T(nobody),   T(a_chain_and_an_orphan),          T(children_of_threads), T(the_dead),
        T(too_many), T(none_is_missed_while_others_end)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
