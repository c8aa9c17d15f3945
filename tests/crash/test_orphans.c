/* kill -9 of Treadle while its commands run: what they started must be dead within a second, and while anything of it
 * lives the lock must say so.
 *
 * A stand-in (this program, started as `standin`) runs commands through the executor that try to be missed: another
 * session, orphaned twice, deaf to TERM, stopped, forking all the time. It is killed at a random moment, in some rounds
 * together with all its launchers. All processes carry a mark in their environment, which is how they are found.
 *
 * The control starts the same commands without a launcher, and must find survivors; otherwise the rest proves nothing.
 * TREADLE_ORPHANS sets the number of rounds (20). */
#include "base/clock.h"
#include "base/rng.h"
#include "executor/launcher.h"
#include "executor_util.h"

#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>

enum { DEADLINE_MS = 1000, LATEST_KILL_MS = 150, MARK = 64 };

static const char *const commands[] = {
    "trap '' TERM HUP INT; while :; do sleep 1; done",
    "(setsid sh -c \"trap '' TERM HUP INT; while :; do sleep 1; done\" &); sleep 1000",
    "(setsid sh -c '(setsid sleep 1000 >/dev/null 2>&1 </dev/null &)' &); exec sleep 1000",
    "(sh -c 'kill -STOP $$; sleep 1000' &); sleep 1000",
    "for i in 1 2 3 4 5 6 7 8 9; do (setsid sleep 1000 &); done; exec setsid sleep 1000",
    "for i in 1 2 3; do (sh -c 'kill -STOP $$' &); done; (trap '' TERM; exec perl -e 'fork for 1..8; sleep 1000')",
    "while :; do (setsid sleep 1000 &); sleep 0.003; done", /* not in the control: nothing would end it */
};
enum { COMMANDS = sizeof commands / sizeof *commands };

/* ---- the stand-in ---- */

enum way { WAY_STRICT, WAY_NAMESPACES, WAY_STANDARD, WAY_SUBREAPER, WAYS, WAY_CONTROL = WAYS };
static const struct {
    enum sandbox_tier tier;
    bool no_namespaces;
} ways[WAYS] = {{SANDBOX_STRICT, false}, {SANDBOX_NONE, false}, {SANDBOX_STANDARD, true}, {SANDBOX_NONE, true}};

static void ignore_answer(void *ctx, uint64_t id, bool ok, const struct val *v)
{
    (void)ctx, (void)id, (void)ok, (void)v;
}

static int standin(enum way way, const char *dir, const char *mark)
{
    char ws[256], env_mark[MARK + 8];
    snprintf(ws, sizeof ws, "%s/ws", dir);
    snprintf(env_mark, sizeof env_mark, "MARK=%s", mark);
    if (way == WAY_CONTROL) {
        char *env[] = {env_mark, NULL};
        for (int i = 0; i < COMMANDS - 1; i++) {
            char sh[] = "/bin/sh", c[] = "-c", *text = strdup(commands[i]);
            char *argv[] = {sh, c, text, NULL};
            pid_t pid;
            if (posix_spawn(&pid, sh, NULL, NULL, argv, env) != 0)
                return 1;
            free(text);
        }
        pause();
        return 1;
    }
    struct ev_loop *loop = ev_loop_new();
    struct executor_options o = {.loop = loop,
                                 .run_dir = dir,
                                 .workspace = ws,
                                 .tier = ways[way].tier,
                                 .no_namespaces = ways[way].no_namespaces};
    struct executor *x;
    struct err err;
    struct arena a = {0};
    if (executor_new(&o, &x, &err) != RC_OK)
        return 1;
    for (int i = 0; i < COMMANDS; i++) {
        struct val_map m = val_map_new(&a), env = val_map_new(&a);
        VAL_MAP_SET(&env, "MARK", val_str(str_c(mark)));
        VAL_MAP_SET(&m, "env", val_map_done(&env));
        VAL_MAP_SET(&m, "shell", val_str(str_c(commands[i])));
        struct val request = val_map_done(&m);
        executor_start(x, (uint64_t)i + 1, EXEC_COMMAND, &request, ignore_answer, NULL);
    }
    ev_run(loop);
    return 1;
}

static pid_t start_standin(enum way way, const char *dir, const char *mark)
{
    char self[] = "/proc/self/exe", name[] = "standin", number[] = {(char)('0' + way), 0}, *d = strdup(dir),
         *m = strdup(mark);
    char *argv[] = {name, name, number, d, m, NULL};
    pid_t pid;
    assert_int_equal(posix_spawn(&pid, self, NULL, NULL, argv, environ), 0);
    free(d);
    free(m);
    return pid;
}

/* ---- a round ---- */

struct round {
    char dir[64], mark[MARK];
    pid_t pid;
};

static void round_begin(struct round *r, enum way way)
{
    static int n;
    snprintf(r->dir, sizeof r->dir, "/tmp/treadle-orphans-XXXXXX");
    assert_non_null(mkdtemp(r->dir));
    snprintf(r->mark, sizeof r->mark, "orphan-mark-%d-%d-x", (int)getpid(), ++n);
    r->pid = start_standin(way, r->dir, r->mark);
}

static void round_end(struct round *r)
{
    util_remove_tree(r->dir);
}

static void sleep_ms(int64_t ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

/* Until something besides the stand-in carries the mark. */
static void wait_for_commands(const struct round *r)
{
    for (int64_t begin = clock_mono_ms(); util_count_marked(r->mark) < 2 && clock_mono_ms() - begin < 10000;)
        sleep_ms(2);
}

/* The children of a process, killed. */
static void kill_children(pid_t pid)
{
    char path[64], text[4096];
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)pid, (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = 0;
    char *p = text, *end;
    for (long child; (child = strtol(p, &end, 10)) > 0; p = end)
        kill((pid_t)child, SIGKILL);
}

/* A second, for a machine that has a processor for everybody; in proportion when more are in the queue. */
static int64_t deadline_ms(void)
{
    double load = 0;
    double share = getloadavg(&load, 1) == 1 ? load / (double)sysconf(_SC_NPROCESSORS_ONLN) : 1;
    return (int64_t)(DEADLINE_MS * (share > 1 ? share : 1));
}

/* Milliseconds from the kill until nothing marked is left; negative when the deadline passed. */
static int64_t murder(struct round *r, bool launchers_too)
{
    int64_t begin = clock_mono_ms();
    if (launchers_too) {
        kill(r->pid, SIGSTOP);
        kill_children(r->pid);
    }
    kill(r->pid, SIGKILL);
    assert_int_equal(waitpid(r->pid, NULL, 0), r->pid);
    while (util_count_marked(r->mark) > 0) {
        if (clock_mono_ms() - begin > deadline_ms())
            return -1;
        sleep_ms(2);
    }
    return clock_mono_ms() - begin;
}

/* While anything lives the lock is held: once it can be had, nothing may be found. */
static void lock_tells_the_truth(struct round *r, bool launchers_too)
{
    struct err err;
    if (launchers_too) {
        kill(r->pid, SIGSTOP);
        kill_children(r->pid);
    }
    kill(r->pid, SIGKILL);
    assert_int_equal(waitpid(r->pid, NULL, 0), r->pid);
    assert_int_equal(executor_prove_dead(r->dir, deadline_ms(), &err), RC_OK);
    assert_int_equal(util_count_marked(r->mark), 0);
}

static void test_no_orphans(void **state)
{
    const char *text = getenv("TREADLE_ORPHANS");
    long rounds = text ? strtol(text, NULL, 10) : 20;
    struct rng rng;
    uint64_t seed = rng_entropy();
    int64_t worst = 0, sum = 0;
    long timed = 0, seen = 0;
    (void)state;
    rng_seed(&rng, seed);
    print_message("seed %llu\n", (unsigned long long)seed);
    for (long i = 0; i < rounds; i++) {
        struct round r;
        bool launchers_too = i / WAYS % 4 == 3;
        round_begin(&r, (enum way)(i % WAYS));
        if (i % 7) /* else the kill may come before anything is started */
            wait_for_commands(&r);
        sleep_ms((int64_t)rng_below(&rng, LATEST_KILL_MS));
        seen += util_count_marked(r.mark) > 1; /* one is the stand-in */
        if (i % 5 == 4) {
            lock_tells_the_truth(&r, launchers_too);
        } else {
            int64_t ms = murder(&r, launchers_too);
            if (ms < 0)
                fail_msg("round %ld: %d processes alive after %lld ms", i, util_count_marked(r.mark),
                         (long long)deadline_ms());
            worst = ms > worst ? ms : worst;
            sum += ms;
            timed++;
        }
        round_end(&r);
    }
    print_message(
        "%ld kills, %ld of them with commands running: 0 survivors; dead after %lld ms on average, %lld ms at "
        "worst (95%% bound on the chance of a survivor: %.4f)\n",
        rounds, seen, (long long)(timed ? sum / timed : 0), (long long)worst, 3.0 / (double)rounds);
    assert_true(seen * 2 > rounds);
}

/* Ends what a control left behind. */
static void kill_marked(const char *mark)
{
    for (int pass = 0; pass < 50 && util_count_marked(mark) > 0; pass++) {
        DIR *d = opendir("/proc");
        assert_non_null(d);
        for (struct dirent *de; (de = readdir(d));) {
            char path[320];
            long pid = strtol(de->d_name, NULL, 10);
            snprintf(path, sizeof path, "/proc/%s/environ", de->d_name);
            if (pid > 1 && pid != getpid() && util_file_has(path, mark))
                kill((pid_t)pid, SIGKILL);
        }
        closedir(d);
        sleep_ms(10);
    }
    assert_int_equal(util_count_marked(mark), 0);
}

static void test_control(void **state)
{
    struct round r;
    (void)state;
    round_begin(&r, WAY_CONTROL);
    wait_for_commands(&r);
    sleep_ms(LATEST_KILL_MS);
    int64_t ms = murder(&r, false);
    int survivors = util_count_marked(r.mark);
    kill_marked(r.mark);
    round_end(&r);
    print_message("control without launchers: %d survivors\n", survivors);
    assert_true(ms < 0 && survivors > 0);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "__launch") == 0)
        return launcher_main(proxy_main);
    if (argc == 5 && strcmp(argv[1], "standin") == 0)
        return standin((enum way)(argv[2][0] - '0'), argv[3], argv[4]);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_control), cmocka_unit_test(test_no_orphans)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
