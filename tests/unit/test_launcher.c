/* Commands through the real launcher, in namespaces and, again, the subreaper's way: outcomes, limits, and that nothing
 * is left over. This program is its own launcher (see main). */
#include "base/clock.h"
#include "executor/launcher.h"
#include "executor/launcher_image.h"
#include "executor_util.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/wait.h>

#include <cmocka.h>

static const char *pass;
static enum sandbox_tier tier;
static bool plain; /* this pass goes without namespaces */

static int setup(void **state)
{
    static struct util u;
    util_begin_in(&u, tier, plain, 0);
    *state = &u;
    return 0;
}

/* ---- outcomes ---- */

static const struct {
    const char *request;
    int exit_code;
    const char *signal, *out, *errors;
} outcomes[] = {
    {"{'shell':'true'}", 0, "null", "", ""},
    {"{'shell':'exit 7'}", 7, "null", "", ""},
    {"{'shell':'echo out; echo err >&2; exit 255'}", 255, "null", "out\n", "err\n"},
    {"{'shell':'kill -SEGV $$'}", -1, "SIGSEGV", "", ""},
    {"{'shell':'kill -KILL $$'}", -1, "SIGKILL", "", ""},
    {"{'shell':'kill -PIPE $$'}", -1, "SIGPIPE", "", ""},
    {"{'argv':['printf','%s|','a b','','c']}", 0, "null", "a b||c|", ""},
    {"{'argv':['/nonexistent/x']}", 127, "null", "", "/nonexistent/x: No such file or directory\n"},
    {"{'argv':['nonexistent-command']}", 127, "null", "", "nonexistent-command: No such file or directory\n"},
    {"{'argv':['/etc/passwd']}", 126, "null", "", "/etc/passwd: Permission denied\n"},
    {"{'argv':['/']}", 126, "null", "", "/: Permission denied\n"},
    {"{'argv':['cat'],'stdin':'from stdin'}", 0, "null", "from stdin", ""},
    {"{'argv':['cat']}", 0, "null", "", ""},
    {"{'shell':'cat /dev/stdin','stdin':'again'}", 0, "null", "again", ""},
    {"{'shell':'echo $FOO/$LD_X','env':{'FOO':'a=b','LD_X':''}}", 0, "null", "a=b/\n", ""},
    {"{'shell':'pwd; ls','cwd':'sub/dir'}", 0, "null", "PWD\nhere\n", ""},
    {"{'shell':'printf \\'a\\\\377b\\\\303\\'; printf \\'\\\\342\\\\202\\' >&2'}", 0, "null",
     "a\xEF\xBF\xBD"
     "b\xEF\xBF\xBD",
     "\xEF\xBF\xBD"},
    {"{'shell':'ulimit -c; ulimit -n'}", 0, "null", "0\n1024\n", ""},
    {"{'shell':'grep -E NoNewPrivs /proc/self/status'}", 0, "null", "NoNewPrivs:\t1\n", ""},
    {"{'shell':'grep -E SigBlk\\\\|SigIgn /proc/self/status'}", 0, "null",
     "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n", ""},
    {"{'shell':'ls /proc/self/fd | wc -l'}", 0, "null", "4\n", ""}, /* 0, 1, 2, and the one of ls itself */
};

static void test_outcomes(void **state)
{
    struct util *u = *state;
    char pwd[128];
    snprintf(pwd, sizeof pwd, "%s/sub/dir\nhere\n", u->ws);
    util_write(u->ws, "sub/dir/here", "");
    for (size_t i = 0; i < sizeof outcomes / sizeof *outcomes; i++) {
        struct answer a = util_do(u, EXEC_COMMAND, "%s", outcomes[i].request);
        const char *out = strncmp(outcomes[i].out, "PWD", 3) == 0 ? pwd : outcomes[i].out;
        if (!a.ok || util_int(&a, "exit_code") != outcomes[i].exit_code)
            print_message("%s -> %s\n", outcomes[i].request, json_text(&u->arena, &a.v).p);
        assert_true(a.ok);
        assert_int_equal(util_int(&a, "exit_code"), outcomes[i].exit_code);
        assert_string_equal(util_text(&a, "signal"), outcomes[i].signal);
        assert_string_equal(util_text(&a, "stdout"), out);
        assert_string_equal(util_text(&a, "stderr"), outcomes[i].errors);
        assert_false(util_true(&a, "timed_out"));
        assert_false(util_true(&a, "truncated"));
        assert_in_range(util_int(&a, "duration_ms"), 0, 5000);
    }
}

static const struct {
    const char *request, *class, *code;
} refused[] = {
    {"{}", "invalid", "bad_request"},
    {"{'shell':'x','argv':['y']}", "invalid", "bad_request"},
    {"{'argv':[]}", "invalid", "bad_request"},
    {"{'argv':[1]}", "invalid", "bad_request"},
    {"{'argv':['']}", "invalid", "bad_request"},
    {"{'argv':['a\\u0000b']}", "invalid", "bad_request"},
    {"{'shell':'x','stdin':1}", "invalid", "bad_request"},
    {"{'shell':'x','env':[]}", "invalid", "bad_request"},
    {"{'shell':'x','env':{'A=B':'1'}}", "invalid", "bad_request"},
    {"{'shell':'x','env':{'':'1'}}", "invalid", "bad_request"},
    {"{'shell':'x','env':{'A':1}}", "invalid", "bad_request"},
    {"{'shell':'x','env':{'A':'a\\u0000b'}}", "invalid", "bad_request"},
    {"{'shell':'x','network':'some'}", "invalid", "bad_request"},
    {"{'shell':'x','cwd':'missing'}", "not_found", "not_found"},
    {"{'shell':'x','cwd':'..'}", "invalid", "bad_request"},
    {"{'shell':'x','cwd':'/'}", "invalid", "bad_request"},
    {"{'shell':'x','cwd':'way-out'}", "invalid", "bad_request"},
    {"{'shell':'x','cwd':'file'}", "not_found", "not_found"},
    {"{'shell':'x','cwd':7}", "invalid", "bad_request"},
};

static void test_refused(void **state)
{
    struct util *u = *state;
    char link[128];
    util_write(u->ws, "file", "");
    snprintf(link, sizeof link, "%s/way-out", u->ws);
    assert_int_equal(symlink("../run", link), 0);
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct answer a = util_do(u, EXEC_COMMAND, "%s", refused[i].request);
        if (a.ok || strcmp(util_text(&a, "class"), refused[i].class) != 0)
            print_message("%s -> %s\n", refused[i].request, json_text(&u->arena, &a.v).p);
        assert_false(a.ok);
        assert_string_equal(util_text(&a, "class"), refused[i].class);
        assert_string_equal(util_text(&a, "code"), refused[i].code);
        assert_true(strlen(util_text(&a, "message")) > 5);
    }
}

static void test_environment(void **state)
{
    struct util *u = *state;
    setenv("ANTHROPIC_API_KEY", "sk-canary-1", 1);
    setenv("LD_LIBRARY_PATH", "/nowhere", 1);
    setenv("LC_TIME", "C", 1);
    struct answer a = util_do(u, EXEC_COMMAND, "{'shell':'env; cat /proc/*/environ','env':{'MINE':'1'}}");
    const char *out = util_text(&a, "stdout");
    assert_non_null(strstr(out, "MINE=1\n"));
    assert_non_null(strstr(out, "PATH="));
    assert_non_null(strstr(out, "LC_TIME=C\n"));
    assert_null(strstr(out, "LD_LIBRARY_PATH"));
    for (const char *ours = out; (ours = strstr(ours, "TREADLE_"));) { /* strict: it cannot meet the runs it is in */
        assert_true(tier != SANDBOX_STRICT && strncmp(ours, "TREADLE_WITHIN=", 15) == 0);
        ours += 15;
    }
    if (!plain) /* with a /proc of its own a command cannot even look at ours */
        assert_null(strstr(out, "canary"));
    unsetenv("ANTHROPIC_API_KEY");
    unsetenv("LD_LIBRARY_PATH");
    unsetenv("LC_TIME");
}

/* ---- output and input ---- */

static void test_output_limit(void **state)
{
    struct util *u = *state;
    struct answer a = util_do(u, EXEC_COMMAND,
                              "{'shell':'echo first; head -c 50000000 /dev/zero | tr \\\\\\\\0 x; echo last; "
                              "echo small >&2','output_limit':1000}");
    const char *out = util_text(&a, "stdout");
    assert_true(util_true(&a, "truncated"));
    assert_int_equal(util_int(&a, "exit_code"), 0);
    assert_in_range(strlen(out), 1000, 1100);
    assert_memory_equal(out, "first\nxxx", 9);
    assert_string_equal(out + strlen(out) - 6, "xlast\n");
    assert_non_null(strstr(out, "\n[... 49999011 bytes left out ...]\n")); /* 50,000,011 bytes in all */
    assert_string_equal(util_text(&a, "stderr"), "small\n");
}

/* One process, and many that share nothing: ended with all they started. Many that share one block: not. */
static void test_memory_limit(void **state)
{
    struct util *u = *state;
    struct answer a = util_do(u, EXEC_COMMAND,
                              "{'argv':['/usr/bin/python3','-c','import time; b = []\\nfor i in range(3000): "
                              "b.append(bytearray(1 << 20))\\ntime.sleep(60)'],'memory_limit':100000000}");
    assert_string_equal(util_text(&a, "limit"), "memory");
    assert_string_equal(util_text(&a, "signal"), "SIGKILL");
    assert_in_range(util_int(&a, "duration_ms"), 1, 30000);
    a = util_do(u, EXEC_COMMAND,
                "{'argv':['/usr/bin/python3','-c','import os, time\\nfor i in range(8):\\n  if os.fork() == 0:\\n    "
                "b = bytearray(20 << 20); time.sleep(60)\\ntime.sleep(60)'],'memory_limit':100000000}");
    assert_string_equal(util_text(&a, "limit"), "memory");
    a = util_do(
        u, EXEC_COMMAND,
        "{'argv':['/usr/bin/python3','-c','import os, time\\nb = bytearray(50 << 20)\\nfor i in range(8):\\n  if "
        "os.fork() == 0:\\n    time.sleep(1); os._exit(0)\\nfor i in range(8): os.wait()\\n"
        "print(len(b))'],'memory_limit':200000000}");
    assert_string_equal(util_text(&a, "stdout"), "52428800\n");
    assert_null(val_get(&a.v, STR("limit")));
}

static void test_process_limit(void **state)
{
    struct util *u = *state;
    struct answer a =
        util_do(u, EXEC_COMMAND,
                "{'shell':'i=0; while [ $i -lt 60 ]; do sleep 60 & i=$((i+1)); done; wait','process_limit':40}");
    assert_string_equal(util_text(&a, "limit"), "processes");
    assert_in_range(util_int(&a, "duration_ms"), 1, 30000);
    /* A bomb that stops by itself after 2,047: where there is no namespace, root's may outrun who ends it. */
    a = util_do(
        u, EXEC_COMMAND,
        "{'shell':'b() { [ $1 -gt 0 ] && { b $(($1-1)) & b $(($1-1)) & }; sleep 60; }; b 10','process_limit':200}");
    assert_string_equal(util_text(&a, "limit"), "processes");
    assert_in_range(util_int(&a, "duration_ms"), 1, 30000);
}

static void test_big_input(void **state)
{
    struct util *u = *state;
    size_t n = 8 << 20;
    char *text = malloc(n + 64);
    int at = snprintf(text, 64, "{'shell':'head -c 3; true','stdin':'");
    memset(text + at, 'y', n);
    snprintf(text + at + n, 8, "'}");
    struct answer a;
    util_start(u, &a, EXEC_COMMAND, text);
    util_wait(u);
    assert_string_equal(util_text(&a, "stdout"), "yyy");
    memcpy(text, "{'shell':'wc  -c    ','stdin':'     ", (size_t)at);
    util_start(u, &a, EXEC_COMMAND, text);
    util_wait(u);
    assert_int_equal(strtol(util_text(&a, "stdout"), NULL, 10), n + 5);
    free(text);
}

/* ---- the end ---- */

/* Fills "m-<pid>-<n>", a text that no other process has. */
static void fresh_mark(char mark[64])
{
    static int n;
    snprintf(mark, 64, "treadle-mark-%d-%d", (int)getpid(), ++n);
}

/* What hides from a naive kill: another session, orphaned twice, deaf to TERM, its pipe held open. */
static const char *const hard_to_kill[] = {
    "sleep 1000 & echo started",
    "(setsid sh -c 'trap \"\" TERM HUP INT; while :; do sleep 1; done' &) ; echo started",
    "(setsid sh -c '(setsid sleep 1000 >/dev/null 2>&1 &)' &) ; sleep 0.05; echo started",
    "for i in 1 2 3 4 5 6 7 8; do (setsid sleep 1000 &); done; echo started",
    "(sh -c 'kill -STOP $$; sleep 1000' &); sleep 0.05; echo started",
};

static struct val shell_request(struct util *u, const char *shell, const char *mark, int timeout_ms)
{
    struct val_map m = val_map_new(&u->arena), env = val_map_new(&u->arena);
    VAL_MAP_SET(&m, "shell", val_str(arena_str(&u->arena, str_c(shell))));
    VAL_MAP_SET(&env, "MARK", val_str(arena_str(&u->arena, str_c(mark))));
    VAL_MAP_SET(&m, "env", val_map_done(&env));
    if (timeout_ms)
        VAL_MAP_SET(&m, "timeout_ms", val_int(timeout_ms));
    return val_map_done(&m);
}

static uint64_t start_shell(struct util *u, struct answer *a, const char *shell, const char *mark, int timeout_ms)
{
    struct val req = shell_request(u, shell, mark, timeout_ms);
    *a = (struct answer){.u = u};
    u->pending++;
    executor_start(u->x, u->next_id, EXEC_COMMAND, &req, util_done, a);
    return u->next_id++;
}

enum { HARD = sizeof hard_to_kill / sizeof *hard_to_kill };

static void test_leftovers_die_with_the_command(void **state)
{
    struct util *u = *state;
    for (size_t i = 0; i < HARD; i++) {
        char mark[64];
        struct answer a;
        fresh_mark(mark);
        start_shell(u, &a, hard_to_kill[i], mark, 0);
        util_wait(u);
        assert_true(a.ok);
        assert_string_equal(util_text(&a, "stdout"), "started\n");
        assert_int_equal(util_int(&a, "exit_code"), 0);
        assert_int_equal(util_count_marked(mark), 0); /* at once: `done` means dead */
    }
}

static void test_timeout(void **state)
{
    struct util *u = *state;
    char mark[64];
    struct answer all[HARD];
    fresh_mark(mark);
    for (size_t i = 0; i < HARD; i++) {
        char shell[512];
        snprintf(shell, sizeof shell, "%s; trap '' TERM; while :; do sleep 1; done", hard_to_kill[i]);
        start_shell(u, &all[i], shell, mark, 1000);
    }
    util_wait(u);
    for (size_t i = 0; i < HARD; i++) {
        assert_true(all[i].ok);
        assert_true(util_true(&all[i], "timed_out"));
        assert_string_equal(util_text(&all[i], "signal"), "SIGKILL");
        assert_string_equal(util_text(&all[i], "stdout"), "started\n");
        assert_in_range(util_int(&all[i], "duration_ms"), 1000, 20000);
    }
    assert_int_equal(util_count_marked(mark), 0);
    /* One that obeys TERM may clean up. On a machine that is very busy half a second may not be enough for that. */
    bool cleaned = false;
    for (int i = 0; i < 10 && !cleaned; i++) {
        struct answer a;
        start_shell(u, &a, "trap 'echo cleaned; exit 3' TERM; sleep 1000 & wait", "x", 300 + 300 * i);
        util_wait(u);
        assert_true(util_true(&a, "timed_out"));
        cleaned = util_int(&a, "exit_code") == 3 && strcmp(util_text(&a, "stdout"), "cleaned\n") == 0;
    }
    assert_true(cleaned);
}

struct late_cancel {
    struct util *u;
    uint64_t id;
};

static void on_time_to_cancel(void *ctx)
{
    struct late_cancel *c = ctx;
    executor_cancel(c->u->x, c->id);
    executor_cancel(c->u->x, c->id);
    executor_cancel(c->u->x, 999999);
}

static void test_cancel(void **state)
{
    struct util *u = *state;
    static const int delays[] = {0, 1, 2, 3, 5, 10, 100};
    enum { N = sizeof delays / sizeof *delays };
    struct answer a[N];
    struct late_cancel c[N];
    char mark[64];
    fresh_mark(mark);
    for (size_t i = 0; i < N; i++) {
        c[i].u = u;
        c[i].id = start_shell(u, &a[i], "trap '' TERM; (setsid sleep 1000 &); sleep 1000", mark, 0);
        ev_timer(u->loop, delays[i], on_time_to_cancel, &c[i]);
    }
    util_wait(u);
    for (size_t i = 0; i < N; i++) {
        assert_false(a[i].ok);
        assert_string_equal(util_text(&a[i], "class"), "cancelled");
    }
    assert_int_equal(util_count_marked(mark), 0);
}

struct awaited {
    struct util *u;
    const char *mark;
    int count, signo;
};

static void stop_when_marked(void *ctx)
{
    struct awaited *w = ctx;
    if (util_count_marked(w->mark) >= w->count)
        ev_stop(w->u->loop);
    else
        ev_timer(w->u->loop, 10, stop_when_marked, w);
}

static void test_free_kills(void **state)
{
    struct util *u = *state;
    char mark[64];
    struct answer a[3];
    struct err err;
    fresh_mark(mark);
    for (int i = 0; i < 3; i++)
        start_shell(u, &a[i], "trap '' TERM; (setsid sleep 1000 &); echo; sleep 1000", mark, 0);
    struct awaited w = {u, mark, 6, 0};
    ev_timer(u->loop, 0, stop_when_marked, &w);
    ev_run(u->loop);
    assert_int_not_equal(util_count_marked(mark), 0);
    assert_int_equal(executor_prove_dead(u->run, 50, &err), RC_BUSY);
    executor_free(u->x);
    u->x = NULL;
    assert_int_equal(util_count_marked(mark), 0);
    assert_int_equal(executor_prove_dead(u->run, 0, &err), RC_OK);
    u->pending = 0;
    ev_run(u->loop);
    assert_false(a[0].came || a[1].came || a[2].came);
}

/* Finds the launchers that are children of this process. */
static int own_launchers(pid_t *pid, int max)
{
    char path[64], text[4096];
    int n = 0;
    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    ssize_t got = read(fd, text, sizeof text - 1);
    close(fd);
    text[got > 0 ? got : 0] = 0;
    for (char *p = text, *end; n < max && *p; p = end) {
        pid[n] = (pid_t)strtol(p, &end, 10);
        if (end == p)
            break;
        if (*end == ' ')
            end++;
        n++;
    }
    return n;
}

static void murder_when_marked(void *ctx)
{
    struct awaited *w = ctx;
    pid_t pid[8];
    if (util_count_marked(w->mark) < w->count) {
        ev_timer(w->u->loop, 10, murder_when_marked, w);
        return;
    }
    assert_int_equal(own_launchers(pid, 8), 1);
    kill(pid[0], w->signo);
}

static void test_launcher_is_killed(void **state)
{
    struct util *u = *state;
    static const int signals[] = {SIGKILL, SIGTERM};
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        char mark[64];
        struct answer a;
        struct err err;
        fresh_mark(mark);
        struct awaited w = {u, mark, 2, signals[i]};
        start_shell(u, &a, "trap '' TERM; (setsid sleep 1000 &); sleep 1000", mark, signals[i] == SIGKILL ? 0 : 1500);
        ev_timer(u->loop, 0, murder_when_marked, &w);
        util_wait(u);
        if (signals[i] == SIGKILL) {
            assert_false(a.ok);
            assert_string_equal(util_text(&a, "class"), "interrupted");
            assert_string_equal(util_text(&a, "code"), "launcher_lost");
        } else { /* all other signals are blocked in the launcher */
            assert_true(a.ok && util_true(&a, "timed_out"));
        }
        assert_int_equal(executor_prove_dead(u->run, 5000, &err), RC_OK); /* the init holds the lock until then */
        assert_int_equal(util_count_marked(mark), 0);
    }
}

static void test_queue(void **state)
{
    struct util u;
    (void)state;
    util_begin_in(&u, tier, plain, 2);
    struct answer a[6];
    uint64_t last = 0;
    for (int i = 0; i < 6; i++)
        last = start_shell(&u, &a[i], "echo + >> log; sleep 0.1; echo - >> log", "x", 0);
    executor_cancel(u.x, last);
    util_wait(&u);
    for (int i = 0; i < 5; i++)
        assert_true(a[i].ok);
    assert_false(a[5].ok);
    char *log = util_read(u.ws, "log");
    int running = 0, most = 0, started = 0;
    for (const char *c = log; *c; c++) {
        running += *c == '+' ? 1 : *c == '-' ? -1 : 0;
        started += *c == '+';
        most = running > most ? running : most;
    }
    assert_int_equal(started, 5); /* the last one never was */
    assert_int_equal(running, 0);
    assert_in_range(most, 1, 2);
    free(log);
    util_end(&u);
}

static void test_network_none(void **state)
{
    struct util *u = *state;
    struct answer a = util_do(u, EXEC_COMMAND, "{'argv':['cat','/proc/net/dev'],'network':'none'}");
    if (tier == SANDBOX_STANDARD) { /* no namespace: the socket is what is refused */
        a = util_do(u, EXEC_COMMAND,
                    "{'argv':['perl','-MSocket','-e','for my $f (PF_UNIX, PF_INET, PF_INET6) "
                    "{ print socket(my $s, $f, SOCK_DGRAM, 0) ? 1 : 0 }'],'network':'none'}");
        assert_true(a.ok);
        assert_string_equal(util_text(&a, "stdout"), "000");
        return;
    }
    if (plain) {
        assert_false(a.ok);
        assert_string_equal(util_text(&a, "code"), "start_failed");
        return;
    }
    assert_true(a.ok);
    int lines = 0;
    for (const char *p = util_text(&a, "stdout"); (p = strchr(p, ':')); p++)
        lines++;
    assert_int_equal(lines, 1); /* "lo:" */
    a = util_do(u, EXEC_COMMAND, "{'shell':'grep -c . /proc/net/if_inet6 /proc/net/route; true','network':'none'}");
    assert_true(a.ok);
}

/* The control is the pass without confinement, where all of it works. */
static void test_confined(void **state)
{
    struct util *u = *state;
    static const char *const attempts[] = {
        "cat ../run/journal",      "ls ../run | grep journal",
        "echo x > ../run/journal", "cat /proc/self/root$PWD/../run/journal",
        "echo x > ../outside/it",  "ln ../run/journal mine",
        "cat way-out/journal",     "cat /etc/shadow",
    };
    char outside[128], link[128];
    util_write(u->run, "journal", "canary");
    snprintf(outside, sizeof outside, "%s/outside", u->dir);
    snprintf(link, sizeof link, "%s/way-out", u->ws);
    assert_int_equal(mkdir(outside, 0777), 0);
    assert_int_equal(symlink(u->run, link), 0);
    for (size_t i = 0; i < sizeof attempts / sizeof *attempts; i++) {
        if (strstr(attempts[i], "shadow") && geteuid() != 0)
            continue;
        struct answer a = util_do(u, EXEC_COMMAND, "{'shell':'%s'}", attempts[i]);
        assert_true(a.ok);
        bool worked = util_int(&a, "exit_code") == 0;
        if (worked != (tier == SANDBOX_NONE))
            print_message("%s: %s\n", attempts[i], json_text(&u->arena, &a.v).p);
        assert_int_equal(worked, tier == SANDBOX_NONE);
        assert_string_equal(util_text(&a, "sandbox"), tier == SANDBOX_STRICT     ? "strict"
                                                      : tier == SANDBOX_STANDARD ? "standard"
                                                                                 : "none");
    }
}

/* Less than what was asked for is never given instead. */
static void test_tier_cannot_be_had(void **state)
{
    (void)state;
    struct util u;
    util_begin_in(&u, SANDBOX_STRICT, true, 0);
    struct answer a = util_do(&u, EXEC_COMMAND, "{'shell':'echo ran > ran'}");
    assert_false(a.ok);
    assert_string_equal(util_text(&a, "code"), "sandbox");
    assert_non_null(strstr(util_text(&a, "message"), "--sandbox standard"));
    assert_null(util_read(u.ws, "ran"));
    util_end(&u);
}

static void test_namespace(void **state)
{
    struct util *u = *state;
    if (plain)
        return;
    struct answer a = util_do(u, EXEC_COMMAND,
                              "{'shell':'ls -d /proc/[0-9]* | wc -l; kill -9 1; umount /proc; "
                              "mount -t tmpfs x /mnt; readlink /proc/1/ns/pid'}");
    char self[64] = "";
    assert_true(readlink("/proc/self/ns/pid", self, sizeof self - 1) > 0);
    assert_true(a.ok);
    assert_true(strtol(util_text(&a, "stdout"), NULL, 10) < 6);
    assert_null(strstr(util_text(&a, "stdout"), self));
    assert_string_equal(util_text(&a, "signal"), "null");
}

/* Not for outside, but nothing may start that was not asked for properly. */
static void test_misuse(void **state)
{
    (void)state;
    pid_t pid = fork();
    if (pid == 0) {
        close_range(3, ~0u, 0);
        _exit(launcher_main(proxy_main));
    }
    int status;
    waitpid(pid, &status, 0);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 2);
}

/* The small launcher is sealed; where it cannot be executed, treadle itself does its work. */
static void test_image(void **state)
{
    struct util *u = *state;
    char built[4096];
    const char *path = launcher_image();
    snprintf(built, sizeof built, "%s/launcher", getenv("TREADLE_BINARY_DIR") ? getenv("TREADLE_BINARY_DIR") : ".");
    if (!path && access(built, F_OK) != 0) /* sanitizers */
        skip();
    assert_non_null(path);
    assert_ptr_equal(launcher_image(), path);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_int_equal(fd < 0 ? -1 : write(fd, "x", 1), -1);
    if (fd >= 0)
        close(fd);
    close((int)strtol(strrchr(path, '/') + 1, NULL, 10));
    assert_null(launcher_image());
    struct answer a = util_do(u, EXEC_COMMAND, "{'argv':['echo','started']}");
    assert_true(a.ok);
    assert_string_equal(util_text(&a, "stdout"), "started\n");
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "__launch") == 0)
        return launcher_main(proxy_main);
#define T(f) cmocka_unit_test_setup_teardown(f, setup, util_teardown)
    const struct CMUnitTest tests[] = {
        T(test_outcomes),
        T(test_refused),
        T(test_environment),
        T(test_output_limit),
        T(test_memory_limit),
        T(test_process_limit),
        T(test_big_input),
        T(test_leftovers_die_with_the_command),
        T(test_timeout),
        T(test_cancel),
        T(test_free_kills),
        T(test_launcher_is_killed),
        cmocka_unit_test(test_queue),
        T(test_network_none),
        T(test_confined),
        cmocka_unit_test(test_tier_cannot_be_had),
        T(test_namespace),
        cmocka_unit_test(test_misuse),
    };
    static const struct {
        const char *name;
        enum sandbox_tier tier;
        bool plain;
    } passes[] = {{"strict", SANDBOX_STRICT, false},
                  {"standard", SANDBOX_STANDARD, true},
                  {"none, namespaces", SANDBOX_NONE, false},
                  {"none, subreaper", SANDBOX_NONE, true}};
    int failed = 0;
    bool namespaces = util_allowed(SANDBOX_STRICT);
    for (size_t i = 0; i < sizeof passes / sizeof *passes; i++) {
        if (passes[i].plain ? !util_allowed(passes[i].tier) : !namespaces)
            continue;
        pass = passes[i].name, tier = passes[i].tier, plain = passes[i].plain;
        failed += _cmocka_run_group_tests(pass, tests, sizeof tests / sizeof *tests, NULL, NULL);
    }
    const struct CMUnitTest last[] = {T(test_image)};
    tier = SANDBOX_NONE, plain = true;
    return failed + _cmocka_run_group_tests("small launcher", last, 1, NULL, NULL);
}
