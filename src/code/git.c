/* Questions to `git`, read-only, about a repository that is not to be trusted.
 *
 * Its configuration can name programs that git would run: file system monitors, hooks, pagers, external diffs, filters
 * and text conversions. Nothing outside the workspace's own .git/config is read, what can be switched off by name is,
 * and every filter that the configuration declares is overridden with nothing. `.git` must be a directory of the
 * workspace; a file or link that leads elsewhere is not followed. Standard error is not shown to anybody; output and
 * time are bounded. */
#include "code/query.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    OUTPUT_MAX = 64 << 20,
    ARGS_MAX = 300,
    ENV_MAX = 480,
    FILTERS_MAX = 200,
    PATHS_MAX = 200,
    GIT_MS = 60000,
    DEFAULT_COMMITS = 10
};

struct git {
    struct code *c;
    const char *args[ARGS_MAX];
    size_t n;
    const char *env[ENV_MAX]; /* overrides of the repository's configuration */
    size_t nenv;
    struct buf out;
};

/* ---- running it ---- */

static void arg(struct git *g, const char *a)
{
    if (g->n < ARGS_MAX - 1)
        g->args[g->n++] = a;
}

static void arg_str(struct git *g, const char *prefix, struct str s)
{
    arg(g, arena_printf(g->c->arena, "%s%.*s", prefix, STR_ARG(s)).p);
}

static void args(struct git *g, const char *const *list)
{
    for (; *list; list++)
        arg(g, *list);
}

static bool read_output(int fd, struct buf *out, int64_t deadline)
{
    for (;;) {
        int64_t left = deadline - clock_mono_ms();
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (left <= 0)
            return false;
        int ready = poll(&p, 1, left > 1000 ? 1000 : (int)left);
        if (ready <= 0)
            continue;
        char *at = buf_reserve(out, 65536);
        ssize_t n = at ? fd_read(fd, at, 65536) : -1;
        if (n <= 0)
            return n == 0;
        out->n += (size_t)n;
    }
}

static enum rc start(struct git *g, int out, pid_t *pid, struct err *err)
{
    static const char *const fixed[] = {"PATH=/usr/local/bin:/usr/bin:/bin",
                                        "HOME=/nonexistent",
                                        "LC_ALL=C",
                                        "GIT_CONFIG_NOSYSTEM=1",
                                        "GIT_CONFIG_GLOBAL=/dev/null",
                                        "GIT_ATTR_NOSYSTEM=1",
                                        "GIT_DIR=.git",
                                        "GIT_WORK_TREE=.",
                                        "GIT_OPTIONAL_LOCKS=0",
                                        "GIT_TERMINAL_PROMPT=0",
                                        "GIT_NO_LAZY_FETCH=1",
                                        "GIT_ALLOW_PROTOCOL=none",
                                        "GIT_PAGER=cat",
                                        "TZ=UTC",
                                        NULL};
    const char *env[ENV_MAX + sizeof fixed / sizeof *fixed];
    size_t n = 0;
    for (; fixed[n]; n++)
        env[n] = fixed[n];
    for (size_t i = 0; i < g->nenv; i++)
        env[n++] = g->env[i];
    env[n] = NULL;
    posix_spawn_file_actions_t a;
    posix_spawn_file_actions_init(&a);
    posix_spawn_file_actions_addopen(&a, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&a, out, 1);
    posix_spawn_file_actions_addopen(&a, 2, "/dev/null", O_WRONLY, 0);
    g->args[g->n] = NULL;
    int rc = posix_spawnp(pid, "git", &a, NULL, (char *const *)(uintptr_t)g->args, (char *const *)(uintptr_t)env);
    posix_spawn_file_actions_destroy(&a);
    if (rc == ENOENT)
        return err_set(err, RC_NOT_FOUND, "the program `git` is not installed");
    return rc ? err_set(err, RC_IO, "git cannot be started: %s", strerror(rc)) : RC_OK;
}

/* The output is in g->out; *code is git's exit code. */
static enum rc run(struct git *g, int *code, struct err *err)
{
    int fd[2], status = 0;
    pid_t pid;
    int64_t deadline = clock_mono_ms() + GIT_MS;
    deadline = deadline < g->c->deadline_ms ? deadline : g->c->deadline_ms;
    buf_clear(&g->out);
    if (pipe2(fd, O_CLOEXEC) != 0)
        return err_set(err, RC_IO, "git cannot be started: %s", strerror(errno));
    enum rc rc = start(g, fd[1], &pid, err);
    close(fd[1]);
    if (rc == RC_OK) {
        bool whole = read_output(fd[0], &g->out, deadline);
        if (!whole)
            kill(pid, SIGKILL);
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
            ;
        if (!whole)
            rc = g->out.overflow ? err_set(err, RC_LIMIT, "git says more than %d MB", OUTPUT_MAX >> 20)
                                 : err_set(err, RC_TIMEOUT, "git takes too long");
    }
    close(fd[0]);
    *code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return rc;
}

static const char *const safe[] = {"git", "--no-pager", "--no-replace-objects", "--literal-pathspecs", NULL};
static const char *const safe_globs[] = {"git", "--no-pager", "--no-replace-objects", "--glob-pathspecs", NULL};
static const char *const settings[] = {"-c", "safe.directory=*",
                                       "-c", "core.fsmonitor=false",
                                       "-c", "core.hooksPath=/dev/null",
                                       "-c", "core.attributesFile=/dev/null",
                                       "-c", "core.excludesFile=/dev/null",
                                       "-c", "diff.external=",
                                       "-c", "log.showSignature=false",
                                       "-c", "core.quotePath=false",
                                       "-c", "protocol.allow=never",
                                       "-c", "core.untrackedCache=false",
                                       "-c", "color.ui=false",
                                       "-c", "status.relativePaths=false",
                                       "-c", "status.renames=false",
                                       "-c", "diff.renames=false",
                                       "-c", "log.mailmap=false",
                                       "-c", "submodule.recurse=false",
                                       "-c", "diff.ignoreSubmodules=all",
                                       "-c", "diff.orderFile=/dev/null",
                                       NULL};

/* Programs that the repository's configuration wants to have run on files: overridden one by one. */
static enum rc disarm(struct git *g, struct err *err)
{
    struct git q = {.c = g->c};
    int code = -1;
    buf_init(&q.out, OUTPUT_MAX);
    args(&q, safe);
    args(&q, settings);
    args(&q,
         (const char *const[]){"config", "-z", "--name-only", "--get-regexp", "^(filter|diff|merge)\\..*\\.", NULL});
    enum rc rc = run(&q, &code, err);
    struct arena *a = g->c->arena;
    struct str rest = buf_str(&q.out);
    size_t seen = 0;
    for (; rc == RC_OK && rest.n && seen < FILTERS_MAX; seen++) {
        struct str key = str_n(rest.p, strnlen(rest.p, rest.n));
        rest = str_from(rest, key.n + 1);
        const char *value = str_ends(key, STR(".required")) ? "false" : "";
        g->env[g->nenv++] = arena_printf(a, "GIT_CONFIG_KEY_%zu=%.*s", seen, STR_ARG(key)).p;
        g->env[g->nenv++] = arena_printf(a, "GIT_CONFIG_VALUE_%zu=%s", seen, value).p;
    }
    g->env[g->nenv++] = arena_printf(a, "GIT_CONFIG_COUNT=%zu", seen).p;
    buf_done(&q.out);
    if (rc == RC_OK && rest.n)
        rc = err_set(err, RC_LIMIT, "the repository's configuration declares more than %d filters", FILTERS_MAX);
    return rc;
}

/* A directory of the workspace, and not one that borrows its content from elsewhere. */
static bool is_repository(struct code *c)
{
    struct err err;
    struct stat st;
    int fd;
    if (fstatat(c->root.fd, ".git", &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISDIR(st.st_mode) ||
        fstatat(c->root.fd, ".git/commondir", &st, AT_SYMLINK_NOFOLLOW) == 0 ||
        beneath_open(&c->root, STR(".git/HEAD"), O_RDONLY, &fd, &err) != RC_OK)
        return false;
    close(fd);
    return true;
}

static enum rc begin(struct code *c, struct git *g, bool globs, struct err *err)
{
    *g = (struct git){.c = c};
    buf_init(&g->out, OUTPUT_MAX);
    if (!is_repository(c))
        return err_set(err, RC_NOT_FOUND, "the workspace is no git repository: it has no directory .git of its own");
    args(g, globs ? safe_globs : safe);
    args(g, settings);
    return disarm(g, err);
}

static enum rc ask(struct git *g, const char *const *command, struct err *err)
{
    int code = -1;
    args(g, command);
    enum rc rc = run(g, &code, err);
    if (rc == RC_OK && code)
        rc = err_set(err, RC_TOOL, "git ended with exit code %d", code);
    return rc;
}

static enum rc paths(struct git *g, const struct val *crit, struct err *err)
{
    struct strs l = crit_list(g->c, crit, "for_files");
    if (l.n > PATHS_MAX)
        return err_set(err, RC_LIMIT, "`for_files` has more than %d entries; use patterns", PATHS_MAX);
    arg(g, "--");
    for (size_t i = 0; i < l.n; i++)
        arg_str(g, "", files_clean(&g->c->root, g->c->arena, l.v[i]));
    return RC_OK;
}

/* ---- reading what it says ---- */

static struct str field(struct str *rest, char stop)
{
    const char *p = rest->n ? memchr(rest->p, stop, rest->n) : NULL;
    struct str one = p ? str_n(rest->p, (size_t)(p - rest->p)) : *rest;
    *rest = p ? str_from(*rest, one.n + 1) : STR("");
    return one;
}

static struct val text(struct code *c, struct str s)
{
    s.n = str_utf8_valid(s);
    return val_str(arena_str(c->arena, s));
}

/* A repository without a commit yet has no log: no commits, not an error. */
static enum rc has_commits(struct code *c, bool *ret, struct err *err)
{
    struct git g;
    int code = -1;
    enum rc rc = begin(c, &g, false, err);
    args(&g, (const char *const[]){"rev-parse", "--quiet", "--verify", "HEAD", NULL});
    if (rc == RC_OK)
        rc = run(&g, &code, err);
    *ret = rc == RC_OK && code == 0;
    buf_done(&g.out);
    return rc;
}

static enum rc commits(struct code *c, const struct val *crit, int64_t count, struct val *ret, struct err *err)
{
    struct git g = {0};
    struct val_list l = val_list_new(c->arena);
    bool any;
    int64_t since = crit_int(crit, "since", -1);
    enum rc rc = has_commits(c, &any, err);
    if (rc == RC_OK && any && (rc = begin(c, &g, true, err)) == RC_OK) {
        args(&g, (const char *const[]){"log", "-z", "--no-color", "--no-ext-diff", "--no-textconv",
                                       "--format=%H%x1f%h%x1f%an%x1f%ae%x1f%aI%x1f%s", NULL});
        arg(&g, arena_printf(c->arena, "--max-count=%lld", (long long)count).p);
        if (since >= 0)
            arg(&g, arena_printf(c->arena, "--since=@%lld", (long long)(since / 1000)).p);
        rc = paths(&g, crit, err);
        rc = rc ? rc : ask(&g, (const char *const[]){NULL}, err);
    }
    struct str rest = buf_str(&g.out);
    while (rc == RC_OK && rest.n) {
        struct str one = field(&rest, 0);
        struct val_map m = val_map_new(c->arena);
        VAL_MAP_SET(&m, "hash", text(c, field(&one, 0x1f)));
        VAL_MAP_SET(&m, "short", text(c, field(&one, 0x1f)));
        VAL_MAP_SET(&m, "author", text(c, field(&one, 0x1f)));
        VAL_MAP_SET(&m, "email", text(c, field(&one, 0x1f)));
        VAL_MAP_SET(&m, "date", text(c, field(&one, 0x1f)));
        VAL_MAP_SET(&m, "message", text(c, one));
        val_list_push(&l, val_map_done(&m));
    }
    buf_done(&g.out);
    *ret = val_list_done(&l);
    return rc;
}

enum rc query_get_recent_commits(struct code *c, const struct val *crit, struct val *ret, struct err *err)
{
    return commits(c, crit, crit_int(crit, "count", DEFAULT_COMMITS), ret, err);
}

/* ---- status ---- */

struct status {
    struct val_list staged, modified, deleted, untracked, conflicted;
    struct str branch, commit, upstream;
    int64_t ahead, behind;
};

static void header(struct code *c, struct status *s, struct str line)
{
    long long ahead = 0, behind = 0;
    if (str_starts(line, STR("# branch.head ")))
        s->branch = text(c, str_from(line, 14)).s;
    else if (str_starts(line, STR("# branch.oid ")))
        s->commit = text(c, str_from(line, 13)).s;
    else if (str_starts(line, STR("# branch.upstream ")))
        s->upstream = text(c, str_from(line, 18)).s;
    else if (str_starts(line, STR("# branch.ab ")) &&
             sscanf(arena_cstr(c->arena, line), "# branch.ab +%lld -%lld", &ahead, &behind) == 2)
        s->ahead = ahead, s->behind = behind;
}

/* 1 XY sub mH mI mW hH hI path;  u XY … path;  ? path */
static void entry(struct code *c, struct status *s, struct str line)
{
    if (line.n < 4)
        return;
    char kind = line.p[0], x = line.p[2], y = line.p[3];
    struct str path = str_from(line, 2);
    if (kind == '?') {
        val_list_push(&s->untracked, text(c, path));
        return;
    }
    for (int skip = kind == 'u' ? 9 : 7; skip--;)
        (void)field(&path, ' ');
    if (kind == 'u') {
        val_list_push(&s->conflicted, text(c, path));
    } else if (kind == '1' || kind == '2') {
        if (x != '.')
            val_list_push(&s->staged, text(c, path));
        if (y == 'D')
            val_list_push(&s->deleted, text(c, path));
        else if (y != '.')
            val_list_push(&s->modified, text(c, path));
    }
}

static enum rc status(struct code *c, struct status *s, struct err *err)
{
    struct git g;
    struct val_list none = val_list_new(c->arena);
    *s = (struct status){.staged = none, .modified = none, .deleted = none, .untracked = none, .conflicted = none};
    enum rc rc = begin(c, &g, false, err);
    if (rc == RC_OK)
        rc = ask(&g,
                 (const char *const[]){"status", "--porcelain=v2", "--branch", "-z", "--untracked-files=all",
                                       "--ignore-submodules=all", "--no-renames", NULL},
                 err);
    struct str rest = buf_str(&g.out);
    while (rc == RC_OK && rest.n) {
        struct str line = field(&rest, 0);
        if (str_starts(line, STR("# ")))
            header(c, s, line);
        else
            entry(c, s, line);
    }
    buf_done(&g.out);
    return rc;
}

static enum rc status_val(struct code *c, struct val_map *m, struct err *err)
{
    struct status s;
    if (!is_repository(c)) {
        VAL_MAP_SET(m, "is_repository", val_false);
        VAL_MAP_SET(m, "branch", val_null);
        VAL_MAP_SET(m, "commit", val_null);
        VAL_MAP_SET(m, "clean", val_null);
        VAL_MAP_SET(m, "status", VAL_LIT("not a git repository"));
        return RC_OK;
    }
    enum rc rc = status(c, &s, err);
    if (rc)
        return rc;
    bool clean = !(s.staged.n + s.modified.n + s.deleted.n + s.untracked.n + s.conflicted.n);
    bool no_commit = str_is(s.commit, "(initial)"), detached = str_is(s.branch, "(detached)");
    VAL_MAP_SET(m, "is_repository", val_true);
    VAL_MAP_SET(m, "branch", detached ? val_null : val_str(s.branch));
    VAL_MAP_SET(m, "commit", no_commit ? val_null : val_str(s.commit));
    VAL_MAP_SET(m, "upstream", s.upstream.n ? val_str(s.upstream) : val_null);
    VAL_MAP_SET(m, "ahead", val_int(s.ahead));
    VAL_MAP_SET(m, "behind", val_int(s.behind));
    VAL_MAP_SET(m, "clean", val_bool(clean));
    VAL_MAP_SET(m, "status", clean ? VAL_LIT("clean") : VAL_LIT("changed"));
    VAL_MAP_SET(m, "staged", val_list_done(&s.staged));
    VAL_MAP_SET(m, "modified", val_list_done(&s.modified));
    VAL_MAP_SET(m, "deleted", val_list_done(&s.deleted));
    VAL_MAP_SET(m, "untracked", val_list_done(&s.untracked));
    VAL_MAP_SET(m, "conflicted", val_list_done(&s.conflicted));
    return RC_OK;
}

enum rc query_get_git_status(struct code *c, const struct val *crit, struct val *ret, struct err *err)
{
    struct val_map m = val_map_new(c->arena);
    (void)crit;
    enum rc rc = status_val(c, &m, err);
    *ret = val_map_done(&m);
    return rc;
}

enum rc query_get_git_info(struct code *c, const struct val *crit, struct val *ret, struct err *err)
{
    struct val_map m = val_map_new(c->arena);
    struct val list = val_empty_array;
    enum rc rc = status_val(c, &m, err);
    if (rc == RC_OK && is_repository(c))
        rc = commits(c, crit, 5, &list, err);
    VAL_MAP_SET(&m, "recent_commits", list);
    VAL_MAP_SET(&m, "last_commit", list.arr.n ? list.arr.v[0] : val_null);
    *ret = val_map_done(&m);
    return rc;
}

/* ---- changes ---- */

struct change {
    struct str path;
    const char *status;
    int64_t added, deleted; /* -1: not known */
};
struct changes {
    struct code *c;
    struct map by_path; /* -> struct change */
    struct val_list order;
};

static struct change *change(struct changes *l, struct str path, const char *status)
{
    struct change *x = map_get(&l->by_path, path);
    if (!x && str_utf8_valid(path) == path.n && path.n) {
        x = ARENA_NEW(l->c->arena, struct change);
        *x = (struct change){.path = arena_str(l->c->arena, path), .status = status, .added = -1, .deleted = -1};
        map_put(&l->by_path, x->path, x);
        val_list_push(&l->order, val_str(x->path));
    }
    return x;
}

static const char *status_word(char s)
{
    return s == 'A' ? "added" : s == 'D' ? "deleted" : s == 'R' ? "renamed" : s == 'U' ? "conflicted" : "modified";
}

/* A revision named by a workflow: must be a commit, and is handed on as its hash. */
static enum rc revision(struct code *c, struct str name, struct str *ret, struct err *err)
{
    struct git g;
    int code = -1;
    enum rc rc = begin(c, &g, false, err);
    args(&g, (const char *const[]){"rev-parse", "--quiet", "--verify", "--end-of-options", NULL});
    arg_str(&g, "", arena_printf(c->arena, "%.*s^{commit}", STR_ARG(name)));
    if (rc == RC_OK)
        rc = run(&g, &code, err);
    if (rc == RC_OK && code)
        rc = err_set(err, RC_NOT_FOUND, "there is no commit `%.*s`", STR_ARG(name));
    *ret = arena_str(c->arena, str_trim(buf_str(&g.out)));
    buf_done(&g.out);
    return rc;
}

static enum rc since_commit(struct changes *l, const struct val *crit, struct str base, bool stats, struct err *err)
{
    struct git g;
    enum rc rc = begin(l->c, &g, true, err);
    args(&g, (const char *const[]){"diff", "-z", "--no-color", "--no-ext-diff", "--no-textconv", "--no-renames",
                                   "--ignore-submodules=all", NULL});
    arg(&g, stats ? "--numstat" : "--name-status");
    arg_str(&g, "", base);
    rc = rc ? rc : paths(&g, crit, err);
    if (rc == RC_OK)
        rc = ask(&g, (const char *const[]){NULL}, err);
    struct str rest = buf_str(&g.out);
    while (rc == RC_OK && rest.n) {
        struct str first = field(&rest, 0);
        if (!stats) {
            struct str path = field(&rest, 0);
            (void)change(l, path, status_word(first.n ? first.p[0] : 'M'));
            continue;
        }
        struct str added = field(&first, '\t'), deleted = field(&first, '\t');
        struct change *x = change(l, first, "modified");
        if (x && (!str_to_i64(added, &x->added) || !str_to_i64(deleted, &x->deleted)))
            x->added = x->deleted = -1; /* binary */
    }
    buf_done(&g.out);
    return rc;
}

static enum rc since_time(struct changes *l, const struct val *crit, int64_t since, struct err *err)
{
    struct git g;
    enum rc rc = begin(l->c, &g, true, err);
    args(&g, (const char *const[]){"log", "-z", "--no-color", "--no-ext-diff", "--no-textconv", "--no-renames",
                                   "--format=", "--name-status", NULL});
    arg(&g, arena_printf(l->c->arena, "--since=@%lld", (long long)(since / 1000)).p);
    rc = rc ? rc : paths(&g, crit, err);
    if (rc == RC_OK)
        rc = ask(&g, (const char *const[]){NULL}, err);
    struct str rest = buf_str(&g.out);
    while (rc == RC_OK && rest.n) {
        struct str word = str_trim(field(&rest, 0));
        if (word.n == 1)
            (void)change(l, field(&rest, 0), status_word(word.p[0]));
    }
    buf_done(&g.out);
    return rc;
}

static void uncommitted(struct changes *l, const struct status *s)
{
    const struct {
        const struct val_list *list;
        const char *status;
    } parts[] = {{&s->deleted, "deleted"},
                 {&s->conflicted, "conflicted"},
                 {&s->modified, "modified"},
                 {&s->staged, "staged"},
                 {&s->untracked, "untracked"}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        for (size_t k = 0; k < parts[i].list->n; k++)
            (void)change(l, parts[i].list->v[k].s, parts[i].status);
}

static struct val changes_val(struct changes *l, bool stats)
{
    struct val_list out = val_list_new(l->c->arena);
    for (size_t i = 0; i < l->order.n; i++) {
        const struct change *x = map_get(&l->by_path, l->order.v[i].s);
        struct val_map m = val_map_new(l->c->arena);
        VAL_MAP_SET(&m, "path", val_str(x->path));
        VAL_MAP_SET(&m, "status", val_str(str_c(x->status)));
        if (stats) {
            VAL_MAP_SET(&m, "additions", x->added >= 0 ? val_int(x->added) : val_null);
            VAL_MAP_SET(&m, "deletions", x->deleted >= 0 ? val_int(x->deleted) : val_null);
        }
        val_list_push(&out, val_map_done(&m));
    }
    map_done(&l->by_path);
    return val_list_done(&out);
}

enum rc query_get_changed_files(struct code *c, const struct val *crit, struct val *ret, struct err *err)
{
    struct changes l = {.c = c, .order = val_list_new(c->arena)};
    struct str commit = crit_text(crit, "since_commit"), base = STR("HEAD");
    int64_t since = crit_int(crit, "since", -1);
    bool stats = crit_bool(crit, "include_stats", false), any = false;
    struct status s;
    enum rc rc = has_commits(c, &any, err);
    if (rc == RC_OK && commit.n)
        rc = revision(c, commit, &base, err);
    if (rc == RC_OK && any && since >= 0 && !commit.n)
        rc = since_time(&l, crit, since, err);
    if (rc == RC_OK && any && (commit.n || since < 0))
        rc = since_commit(&l, crit, base, false, err);
    if (rc == RC_OK && any && stats)
        rc = since_commit(&l, crit, base, true, err);
    if (rc == RC_OK && !crit_list(c, crit, "for_files").n && (rc = status(c, &s, err)) == RC_OK)
        uncommitted(&l, &s);
    *ret = changes_val(&l, stats);
    return rc;
}

/* ---- people, frequency ---- */

struct tally {
    struct str key, second;
    int64_t n;
};

static int most_first(const void *pa, const void *pb)
{
    const struct tally *a = *(const struct tally *const *)pa, *b = *(const struct tally *const *)pb;
    return a->n != b->n ? (a->n > b->n ? -1 : 1) : str_cmp(a->key, b->key);
}

/* Counts equal keys; the list is ordered by number. */
struct tallies {
    struct code *c;
    struct map by_key;
    struct tally **v;
    size_t n, cap;
};

static void count(struct tallies *t, struct str key, struct str second)
{
    struct tally *x = map_get(&t->by_key, key);
    if (!x && str_utf8_valid(key) == key.n && key.n) {
        if (t->n == t->cap) {
            size_t cap = t->cap ? t->cap * 2 : 64;
            struct tally **more = arena_calloc(t->c->arena, cap, sizeof *more);
            if (t->n)
                memcpy(more, t->v, t->n * sizeof(struct tally *));
            t->v = more, t->cap = cap;
        }
        x = t->v[t->n++] = ARENA_NEW(t->c->arena, struct tally);
        *x = (struct tally){.key = arena_str(t->c->arena, key), .second = text(t->c, second).s};
        map_put(&t->by_key, x->key, x);
    }
    if (x)
        x->n++;
}

static void tallied(struct tallies *t)
{
    map_done(&t->by_key);
    if (t->n)
        qsort(t->v, t->n, sizeof *t->v, most_first);
}

static enum rc log_lines(struct code *c, const struct val *crit, int64_t since, const char *const *what, struct git *g,
                         struct err *err)
{
    bool any = false;
    enum rc rc = has_commits(c, &any, err);
    *g = (struct git){.c = c};
    if (rc || !any)
        return rc;
    rc = begin(c, g, true, err);
    args(g, (const char *const[]){"log", "-z", "--no-color", "--no-ext-diff", "--no-textconv", "--no-renames", NULL});
    args(g, what);
    if (since >= 0)
        arg(g, arena_printf(c->arena, "--since=@%lld", (long long)(since / 1000)).p);
    rc = rc ? rc : paths(g, crit, err);
    return rc ? rc : ask(g, (const char *const[]){NULL}, err);
}

enum rc query_get_contributors(struct code *c, const struct val *crit, struct val *ret, struct err *err)
{
    struct git g;
    struct tallies t = {.c = c};
    struct val_list l = val_list_new(c->arena);
    bool counts = crit_bool(crit, "include_commit_count", true);
    enum rc rc =
        log_lines(c, crit, crit_int(crit, "since", -1), (const char *const[]){"--format=%ae%x1f%an", NULL}, &g, err);
    struct str rest = buf_str(&g.out);
    while (rc == RC_OK && rest.n) {
        struct str line = field(&rest, 0), email = field(&line, 0x1f);
        count(&t, email, line);
    }
    tallied(&t);
    for (size_t i = 0; i < t.n; i++) {
        struct val_map m = val_map_new(c->arena);
        VAL_MAP_SET(&m, "name", val_str(t.v[i]->second));
        VAL_MAP_SET(&m, "email", val_str(t.v[i]->key));
        if (counts)
            VAL_MAP_SET(&m, "commits", val_int(t.v[i]->n));
        val_list_push(&l, val_map_done(&m));
    }
    buf_done(&g.out);
    *ret = val_list_done(&l);
    return rc;
}

enum rc query_get_change_frequency(struct code *c, const struct val *crit, struct val *ret, struct err *err)
{
    struct git g = {0};
    struct tallies t = {.c = c};
    struct val_list l = val_list_new(c->arena);
    struct str period = crit_text(crit, "time_period");
    int64_t min = crit_int(crit, "minimum_changes", 1), limit = crit_int(crit, "limit", INT64_MAX), since = -1;
    enum rc rc = RC_OK;
    if (period.n) {
        struct val given = val_str(period), time;
        rc = criteria_read(c, "since:d", &given, &time, err);
        since = crit_int(&time, "since", -1);
    }
    if (rc == RC_OK)
        rc = log_lines(c, crit, since, (const char *const[]){"--format=", "--name-only", NULL}, &g, err);
    struct str rest = buf_str(&g.out);
    while (rc == RC_OK && rest.n)
        count(&t, str_trim(field(&rest, 0)), STR(""));
    tallied(&t);
    for (size_t i = 0; i < t.n && (int64_t)l.n < limit && t.v[i]->n >= min; i++) {
        struct val_map m = val_map_new(c->arena);
        VAL_MAP_SET(&m, "path", val_str(t.v[i]->key));
        VAL_MAP_SET(&m, "changes", val_int(t.v[i]->n));
        val_list_push(&l, val_map_done(&m));
    }
    buf_done(&g.out);
    *ret = val_list_done(&l);
    return rc;
}
