/* What a command costs: from the request to the answer for /bin/true, in each tier. The least that could be is a fork,
 * an exec and a wait, which is measured first. */
#include "base/clock.h"
#include "executor/launcher.h"

#include "../tests/executor_util.h"

#include <spawn.h>
#include <sys/wait.h>

enum { N = 300 };

static int up(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void report(const char *what, int64_t us[N])
{
    qsort(us, N, sizeof *us, up);
    printf("%-20s median %.2f ms, 90 %% %.2f ms, 99 %% %.2f ms\n", what, (double)us[N / 2] / 1000,
           (double)us[N * 9 / 10] / 1000, (double)us[N * 99 / 100] / 1000);
}

static void bare(void)
{
    int64_t us[N];
    char name[] = "/bin/true", *argv[] = {name, NULL};
    for (int i = 0; i < N; i++) {
        pid_t pid;
        int64_t begin = clock_mono_us();
        CHECK(posix_spawn(&pid, name, NULL, NULL, argv, environ) == 0);
        CHECK(waitpid(pid, NULL, 0) == pid);
        us[i] = clock_mono_us() - begin;
    }
    report("bare", us);
}

static void tier(const char *name, enum sandbox_tier t, bool no_namespaces)
{
    struct util u;
    int64_t us[N];
    util_begin_in(&u, t, no_namespaces, 0);
    for (int i = 0; i < N; i++) {
        int64_t begin = clock_mono_us();
        struct answer a = util_do(&u, EXEC_COMMAND, "{'argv':['/bin/true']}");
        us[i] = clock_mono_us() - begin;
        CHECK(a.ok);
    }
    util_end(&u);
    report(name, us);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "__launch") == 0)
        return launcher_main(proxy_main);
    bare();
    tier("none, no namespaces", SANDBOX_NONE, true);
    tier("none", SANDBOX_NONE, false);
    tier("standard", SANDBOX_STANDARD, false);
    tier("strict", SANDBOX_STRICT, false);
    return 0;
}
