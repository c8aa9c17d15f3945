/* doctor: is everything here that Treadle needs, and is anything left lying about?
 *
 * Every check is one line: `ok`, `note` (works, but worth knowing) or `BROKEN`, with the remedy. Checks do what runs do
 * (write and sync a file, load libcurl, make a namespace) instead of reading what the system says about itself. Values
 * of variables are never shown, only whether they are set. */
#include "base/clock.h"
#include "cli/commands.h"
#include "cli/explain.h"
#include "cli/human.h"
#include "cli/old_env.h"
#include "cli/remove.h"
#include "cli/seen_run.h"
#include "cli/session.h"
#include "executor/cgroup.h"
#include "executor/probe.h"
#include "executor/tier.h"
#include "http/fetch_curl.h"
#include "llm/provider.h"
#include "store/store_version.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <linux/openat2.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SYNCS = 5, SLOW_SYNC_US = 50000, FEW_FILES = 1024, STALE_SHOWN = 10 };
static const int64_t SPACE_NEEDED = 64 << 20, SPACE_WANTED = (int64_t)1 << 30;

enum verdict { OK, NOTE, BROKEN };
struct doctor {
    size_t broken, notes;
};

static void say(struct doctor *d, enum verdict v, const char *what, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
static void say(struct doctor *d, enum verdict v, const char *what, const char *fmt, ...)
{
    static const char *const names[] = {"ok", "note", "BROKEN"};
    char text[4096];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    d->broken += v == BROKEN;
    d->notes += v == NOTE;
    printf("%-6s  %-16s  %s\n", names[v], what, text);
}

/* ---- the disk ---- */

static int microseconds_up(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* What a commit costs: the median of a few. */
static bool sync_latency(const char *dir, int64_t *ret_us)
{
    char path[2200];
    int64_t took[SYNCS];
    snprintf(path, sizeof path, "%s/.doctor-%d", dir, (int)getpid());
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool ok = fd >= 0;
    for (int i = 0; i < SYNCS && ok; i++) {
        char block[4096] = {0};
        int64_t start = clock_mono_us();
        ok = pwrite(fd, block, sizeof block, i * (off_t)sizeof block) == (ssize_t)sizeof block && fdatasync(fd) == 0;
        took[i] = clock_mono_us() - start;
    }
    int e = errno;
    if (fd >= 0) {
        close(fd);
        unlink(path);
    }
    errno = e;
    if (ok) {
        qsort(took, SYNCS, sizeof *took, microseconds_up);
        *ret_us = took[SYNCS / 2];
    }
    return ok;
}

static void check_space(struct doctor *d, const char *dir)
{
    struct statvfs fs;
    if (statvfs(dir, &fs) != 0)
        return;
    int64_t bytes = (int64_t)fs.f_bavail * (int64_t)fs.f_frsize;
    enum verdict v = bytes < SPACE_NEEDED ? BROKEN : bytes < SPACE_WANTED ? NOTE : OK;
    say(d, v, "disk space", "%s free%s", human_size(bytes).z, v == OK ? "" : "; treadle prune deletes old runs");
    if (fs.f_files && fs.f_favail < 1000)
        say(d, NOTE, "inodes", "only %llu left", (unsigned long long)fs.f_favail);
}

static void check_home(struct doctor *d)
{
    char dir[2100];
    struct err err;
    struct home_run r;
    int64_t us;
    if (home_dir(dir, sizeof dir, &err) != RC_OK) {
        say(d, BROKEN, "state directory", "%s", err.msg);
        return;
    }
    if (access(dir, F_OK) != 0) { /* making a run's directory makes the others */
        if (home_run(STR("doctor"), &r, &err) != RC_OK || home_run_create(&r, &err) != RC_OK) {
            say(d, BROKEN, "state directory", "%s", err.msg);
            return;
        }
        rmdir(r.dir);
    }
    if (!sync_latency(dir, &us)) {
        say(d, BROKEN, "state directory", "%s cannot be written: %s; set TREADLE_HOME to a directory that can", dir,
            strerror(errno));
        return;
    }
    bool slow = us > SLOW_SYNC_US;
    say(d, slow ? NOTE : OK, "state directory", "%s, a sync takes %.1f ms%s", dir, (double)us / 1000,
        slow ? ": every commit waits for one; a local disk is faster" : "");
    check_space(d, dir);
}

/* ---- libraries and keys ---- */

static void check_libraries(struct doctor *d)
{
    const struct fetch_curl *curl;
    struct err err;
    say(d, OK, "database",
        "%s; a journal has one writer, so the damage that racing writers do before 3.51.3 cannot occur",
        store_version());
    if (fetch_curl_load(&curl, &err) == RC_OK)
        say(d, OK, "libcurl", "%s", curl->curl_version_info(CURLVERSION_NOW)->version);
    else
        say(d, BROKEN, "libcurl", "%s", err.msg);
}

static void check_keys(struct doctor *d)
{
    old_environment_keys(false);
    static const char *const names[] = {"anthropic", "gemini", "openai"};
    size_t set = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const struct provider *p = provider_by_name(str_c(names[i]));
        const char *key = p ? getenv(p->key_env) : NULL, *base = p ? getenv(p->base_env) : NULL;
        bool has_key = key && *key, has_base = base && *base;
        if (!p)
            continue;
        set += has_key || has_base;
        say(d, has_key || has_base ? OK : NOTE, names[i], "%s is %s%s%s", p->key_env, has_key ? "set" : "not set",
            has_base ? ", address from " : "", has_base ? p->base_env : "");
    }
    if (!set)
        say(d, NOTE, "providers", "no key is set: only --mock and --replay will work with model steps");
}

/* ---- the kernel ---- */

static void check_sandbox(struct doctor *d)
{
    struct err err;
    enum sandbox_tier chosen = SANDBOX_DEFAULT;
    fflush(stdout);
    if (tier_settle(&chosen, &err) != RC_OK) {
        say(d, BROKEN, "sandbox", "%s", err.msg);
        return;
    }
    for (enum sandbox_tier t = SANDBOX_STRICT; t <= SANDBOX_STANDARD; t++) {
        char what[32];
        bool is_chosen = t == chosen;
        snprintf(what, sizeof what, "sandbox %s", tier_name(t));
        if (sandbox_probe(t, &err) == RC_OK)
            say(d, OK, what, "available%s", is_chosen ? ", and chosen" : "");
        else
            say(d, is_chosen ? BROKEN : NOTE, what, "%s", err.msg);
    }
    char why[160];
    cgroup_settle();
    int group = cgroup_base(why, sizeof why);
    if (group >= 0) {
        close(group);
        say(d, OK, "control groups", "available: the kernel bounds memory and processes of each command");
    } else {
        say(d, NOTE, "control groups",
            "%s: what commands use is looked at ten times a second, and those that use more than they may are ended",
            why);
    }
    if (chosen == SANDBOX_NONE)
        say(d, NOTE, "sandbox none", "is chosen by TREADLE_SANDBOX: commands have all your files and the network");
}

static void check_kernel(struct doctor *d)
{
    struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    long fd = syscall(SYS_openat2, root, ".", &how, sizeof how);
    if (fd >= 0)
        say(d, OK, "openat2", "available: file tools stay inside the workspace");
    else
        say(d, BROKEN, "openat2", "%s: file tools need it (Linux 5.6, and a container that does not forbid it)",
            strerror(errno));
    if (fd >= 0)
        close((int)fd);
    if (root >= 0)
        close(root);
    long pidfd = syscall(SYS_pidfd_open, getpid(), 0);
    if (pidfd >= 0)
        close((int)pidfd);
    else
        say(d, BROKEN, "pidfd_open", "%s: watching commands needs it (Linux 5.3)", strerror(errno));
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (abi > 0)
        say(d, OK, "Landlock", "available, version %ld", abi);
    else
        say(d, NOTE, "Landlock", "not available (%s): sandbox strict does without its second border", strerror(errno));
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0)
        say(d, files.rlim_max < FEW_FILES ? NOTE : OK, "open files", "%llu, at most %llu%s",
            (unsigned long long)files.rlim_cur, (unsigned long long)files.rlim_max,
            files.rlim_max < FEW_FILES ? ": fewer calls at a time; ulimit -n raises it" : "");
}

/* ---- what is left lying about ---- */

static void check_runs(struct doctor *d)
{
    struct arena a = {0};
    struct seen_run *v;
    struct err err;
    size_t n, shown = 0, stale = 0, bad = 0;
    if (seen_run_all(&a, &v, &n, &err) != RC_OK) {
        say(d, BROKEN, "runs", "%s", err.msg);
        n = 0;
    }
    for (size_t i = 0; i < n; i++) {
        if (v[i].problem) {
            bad++;
            say(d, BROKEN, "runs",
                "the journal of %s cannot be read: %s; put a copy that treadle backup made in place of %s, or delete "
                "the run with "
                "treadle rm %s",
                v[i].home.id, explain_problem(v[i].problem), v[i].home.journal, v[i].home.id);
        } else if (str_is(str_c(v[i].status), "interrupted")) {
            stale++;
            if (shown++ < STALE_SHOWN)
                say(d, NOTE, "runs", "%s was interrupted; %s: treadle %s %s", v[i].home.id,
                    v[i].row.workflow.n ? "go on with" : "nothing had happened, delete it with",
                    v[i].row.workflow.n ? "resume" : "rm", v[i].home.id);
        }
    }
    if (stale > STALE_SHOWN)
        say(d, NOTE, "runs", "%zu more were interrupted; treadle ps lists them", stale - STALE_SHOWN);
    if (!stale && !bad)
        say(d, OK, "runs", "%zu, none of them left behind", n);
    size_t rubbish = remove_leftovers(true);
    if (rubbish)
        say(d, NOTE, "leftovers", "%zu directories of runs that never began; treadle prune removes them", rubbish);
    arena_done(&a);
}

static int run(const struct command *c, const struct args *args)
{
    (void)c, (void)args;
    struct doctor d = {0};
    check_sandbox(&d); /* while there is one thread */
    check_kernel(&d);
    check_home(&d);
    check_libraries(&d);
    check_keys(&d);
    check_runs(&d);
    if (d.broken)
        printf("\n%zu thing%s broken\n", d.broken, d.broken == 1 ? " is" : "s are");
    else
        printf("\nready%s\n", d.notes ? "; the notes tell what could be better" : "");
    return d.broken ? EXIT_ENVIRONMENT : EXIT_OK;
}

static const struct option options[] = {OPTION_END};

const struct command command_doctor = {
    .name = "doctor",
    .usage = "",
    .summary = "check that everything Treadle needs is there and works",
    .details =
        "Tries what runs need: a state directory that can be written and synced, libraries, namespaces, keys\n"
        "(only whether they are set). Lists runs that were left behind. Exit code 4 when something is broken.\n\n"
        "Examples:\n"
        "  treadle doctor",
    .options = options,
    .max_words = 0,
    .run = run,
};
