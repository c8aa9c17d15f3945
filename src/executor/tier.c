/* Strict unless somebody says otherwise. What cannot be had is refused, never replaced by less: the person who starts
 * Treadle chooses a weaker tier by name, and the journal says of each command which one it had.
 *
 * The places are settled once, from Treadle's own environment: a workflow, a model or a file in the workspace has no
 * say in them. Names in PATH are shown as they are called there; what lies behind links is looked up here, outside. */
#include "executor/tier.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_READ = 256 };

static const char *const names[] = {[SANDBOX_DEFAULT] = "default",
                                    [SANDBOX_STRICT] = "strict",
                                    [SANDBOX_STANDARD] = "standard",
                                    [SANDBOX_NONE] = "none"};

const char *tier_name(enum sandbox_tier tier)
{
    return names[tier];
}

enum rc tier_parse(const char *name, enum sandbox_tier *ret, struct err *err)
{
    for (enum sandbox_tier t = SANDBOX_STRICT; t <= SANDBOX_NONE; t++)
        if (str_is(str_c(name), names[t])) {
            *ret = t;
            return RC_OK;
        }
    return err_set(err, RC_USAGE, "there is no sandbox `%s`; expected strict, standard or none", name);
}

enum rc tier_settle(enum sandbox_tier *tier, struct err *err)
{
    const char *env = getenv("TREADLE_SANDBOX");
    if (*tier != SANDBOX_DEFAULT)
        return RC_OK;
    *tier = SANDBOX_STRICT;
    return env && *env && tier_parse(env, tier, err) != RC_OK ? err_wrap(err, "TREADLE_SANDBOX") : RC_OK;
}

static bool within(struct str dir, struct str path)
{
    return dir.n && str_starts(path, dir) && (path.n == dir.n || dir.n == 1 || path.p[dir.n] == '/');
}

static struct str real_or_empty(const char *path, struct arena *a)
{
    char real[PATH_MAX];
    return path && path[0] == '/' && realpath(path, real) ? arena_str(a, str_c(real)) : STR("");
}

struct places {
    struct str v[LAUNCH_PLACES + 2 * MAX_READ];
    size_t n;
};

/* A directory is shown whole, so none that holds the home or the journals (with `said`: none but by intent). */
static void add_directory(struct places *p, struct str name, bool said, struct arena *a)
{
    char *path = arena_cstr(a, name);
    struct str real = real_or_empty(path, a);
    while (name.n > 1 && name.p[name.n - 1] == '/')
        name.n--;
    bool whole = within(real, p->v[LAUNCH_PLACE_HOME]) || within(real, p->v[LAUNCH_PLACE_STATE]);
    if (real.n < 2 || (whole && !said) || p->n + 2 > sizeof p->v / sizeof *p->v)
        return;
    p->v[p->n++] = arena_str(a, name);
    p->v[p->n++] = real;
}

static void add_list(struct places *p, const char *env, bool said, struct arena *a)
{
    const char *list = getenv(env);
    while (list && *list) {
        size_t n = strcspn(list, ":");
        add_directory(p, str_n(list, n), said, a);
        list += n + (list[n] == ':');
    }
}

enum rc tier_places(enum sandbox_tier tier, const struct beneath *workspace, const char *state, struct arena *a,
                    struct str **places, size_t *n, struct err *err)
{
    struct places *p = ARENA_NEW(a, struct places);
    char link[64], real[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", workspace->fd);
    ssize_t len = readlink(link, real, sizeof real);
    if (len <= 0 || len == sizeof real)
        return err_set(err, RC_IO, "the workspace's path cannot be read: %s", strerror(errno));
    struct str ws = arena_str(a, str_n(real, (size_t)len)), home = str_c(getenv("HOME"));
    p->v[LAUNCH_PLACE_WORKSPACE] = ws;
    p->v[LAUNCH_PLACE_ALIAS] = workspace->path;
    p->v[LAUNCH_PLACE_CWD] = STR(".");
    p->v[LAUNCH_PLACE_HOME] = home.n > 1 && home.p[0] == '/' ? arena_str(a, home) : STR("");
    p->v[LAUNCH_PLACE_STATE] = real_or_empty(state, a);
    struct stat st = {0};
    if (p->v[LAUNCH_PLACE_STATE].n && stat(p->v[LAUNCH_PLACE_STATE].p, &st) != 0)
        return err_set(err, RC_IO, "%s: %s", p->v[LAUNCH_PLACE_STATE].p, strerror(errno));
    p->v[LAUNCH_PLACE_STATE_ID] =
        arena_printf(a, "%llu:%llu", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
    p->n = LAUNCH_PLACES;
    *places = p->v;
    if (tier != SANDBOX_NONE) {
        if (ws.n == 1)
            return err_set(err, RC_USAGE,
                           "the workspace is the root directory, so nothing is left to confine commands to; choose "
                           "another --workspace, or --sandbox none");
        if (str_eq(ws, p->v[LAUNCH_PLACE_STATE]))
            return err_set(err, RC_USAGE,
                           "the workspace is the directory of Treadle's own state; choose another --workspace");
        if (tier == SANDBOX_STANDARD && within(ws, p->v[LAUNCH_PLACE_STATE]))
            return err_set(err, RC_USAGE,
                           "Treadle's state (%.*s) lies in the workspace, which --sandbox standard cannot hide; set "
                           "TREADLE_HOME to another place",
                           STR_ARG(p->v[LAUNCH_PLACE_STATE]));
        add_list(p, "PATH", false, a);
        add_list(p, "TREADLE_SANDBOX_READ", true, a);
    }
    *n = p->n;
    return RC_OK;
}

bool tier_state_inside(const struct str *places)
{
    return within(places[LAUNCH_PLACE_WORKSPACE], places[LAUNCH_PLACE_STATE]);
}

enum rc tier_refused(struct err *err, enum sandbox_tier tier, const char *stage, int error)
{
    if (error == ESTALE)
        return err_set(err, RC_IO,
                       "the directory of Treadle's state, which lies in the workspace, was moved while the run uses it "
                       "(%s); put it back, or better set TREADLE_HOME to a place outside",
                       stage);
    /* ENOSPC of unshare is no matter of disks */
    const char *why = error == ENOSPC ? "their number is limited by user.max_user_namespaces" : strerror(error);
    if (tier == SANDBOX_STRICT)
        return err_set(err, RC_IO,
                       "this system does not let commands be confined (sandbox strict, %s: %s). Allow user namespaces "
                       "(sysctl kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns, or the "
                       "container's seccomp profile), or choose less with --sandbox standard or none",
                       stage, why);
    return err_set(err, RC_IO,
                   "this system does not let commands be confined (sandbox standard, %s: %s). It needs Linux 5.19 with "
                   "Landlock; otherwise choose --sandbox none, in a machine or container that you could lose",
                   stage, strerror(error));
}
