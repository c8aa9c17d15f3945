#pragma once
/* For tests of the executor: a temporary directory, requests written as JSON, and waiting for their results. */
#include "base/buf.h"
#include "base/panic.h"
#include "data/json.h"
#include "executor/executor.h"
#include "executor/probe.h"
#include "executor/tier.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static inline int util_remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st, (void)flag, (void)ftw;
    return remove(path);
}

static inline void util_remove_tree(const char *dir)
{
    (void)nftw(dir, util_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static inline void util_write(const char *dir, const char *name, const char *text)
{
    char path[8192];
    CHECK(snprintf(path, sizeof path, "%s/%s", dir, name) < (int)sizeof path);
    for (char *p = path + strlen(dir) + 1; (p = strchr(p, '/')); p++) {
        *p = 0;
        (void)mkdir(path, 0755);
        *p = '/';
    }
    FILE *f = fopen(path, "w");
    CHECK(f);
    CHECK(fputs(text, f) >= 0);
    CHECK(fclose(f) == 0);
}

/* The content of a file, or NULL; the caller frees. */
static inline char *util_read(const char *dir, const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    char *text = calloc(1, 1 << 20);
    ssize_t n = read(fd, text, (1 << 20) - 1);
    CHECK(n >= 0);
    close(fd);
    return text;
}

/* True when the bytes of the file hold `mark`. */
static inline bool util_file_has(const char *path, const char *mark)
{
    static char text[1 << 17];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t n = 0;
    ssize_t got = 0;
    while (fd >= 0 && n < sizeof text && (got = read(fd, text + n, sizeof text - n)) > 0)
        n += (size_t)got;
    if (fd >= 0)
        close(fd);
    return n && memmem(text, n, mark, strlen(mark));
}

/* Living processes (not zombies) whose environment or command line holds `mark`. */
static inline int util_count_marked(const char *mark)
{
    DIR *d = opendir("/proc");
    struct dirent *de;
    int count = 0;
    CHECK(d);
    while ((de = readdir(d))) {
        char path[320];
        if (de->d_name[0] < '1' || de->d_name[0] > '9' || (pid_t)strtol(de->d_name, NULL, 10) == getpid())
            continue;
        snprintf(path, sizeof path, "/proc/%s/environ", de->d_name);
        bool has = util_file_has(path, mark);
        snprintf(path, sizeof path, "/proc/%s/cmdline", de->d_name);
        count += has || util_file_has(path, mark);
    }
    closedir(d);
    return count;
}

struct util {
    char dir[64]; /* holds run/, ws/, out/, wf/ */
    char ws[80], run[80], out[80], wf[80];
    struct ev_loop *loop;
    struct executor *x;
    struct arena arena;
    uint64_t next_id;
    unsigned pending;
};

/* `no_namespaces` is for the tiers that do without. */
static inline void util_begin_in(struct util *u, enum sandbox_tier tier, bool no_namespaces, unsigned max_commands)
{
    struct err err;
    *u = (struct util){.next_id = 1};
    snprintf(u->dir, sizeof u->dir, "/tmp/treadle-test-XXXXXX");
    CHECK(mkdtemp(u->dir));
    snprintf(u->ws, sizeof u->ws, "%s/ws", u->dir);
    snprintf(u->run, sizeof u->run, "%s/run", u->dir);
    snprintf(u->out, sizeof u->out, "%s/out/deep", u->dir);
    snprintf(u->wf, sizeof u->wf, "%s/wf", u->dir);
    CHECK(mkdir(u->run, 0755) == 0 && mkdir(u->wf, 0755) == 0);
    u->loop = ev_loop_new();
    struct executor_options o = {.loop = u->loop,
                                 .run_dir = u->run,
                                 .workspace = u->ws,
                                 .output_dir = u->out,
                                 .workflow_dir = u->wf,
                                 .max_commands = max_commands,
                                 .tier = tier,
                                 .no_namespaces = no_namespaces};
    if (executor_new(&o, &u->x, &err) != RC_OK)
        PANIC("%s", err.msg);
}

/* Whether the system allows a tier; where it does not (many containers), that is said aloud. */
static inline bool util_allowed(enum sandbox_tier tier)
{
    struct err err;
    bool allowed = sandbox_probe(tier, &err) == RC_OK;
    if (!allowed)
        fprintf(stderr, "SKIPPED here, sandbox %s: %s\n", tier_name(tier), err.msg);
    return allowed;
}

/* In the strongest tier that the system allows. */
static inline void util_begin(struct util *u, unsigned max_commands)
{
    static enum sandbox_tier tier = SANDBOX_DEFAULT;
    if (tier == SANDBOX_DEFAULT)
        tier = util_allowed(SANDBOX_STRICT)     ? SANDBOX_STRICT
               : util_allowed(SANDBOX_STANDARD) ? SANDBOX_STANDARD
                                                : SANDBOX_NONE;
    util_begin_in(u, tier, tier != SANDBOX_STRICT, max_commands);
}

static inline void util_end(struct util *u)
{
    executor_free(u->x);
    ev_loop_free(u->loop);
    util_remove_tree(u->dir);
    arena_done(&u->arena);
}

/* For cmocka. */
static inline int util_setup(void **state)
{
    static struct util u;
    util_begin(&u, 0);
    *state = &u;
    return 0;
}

static inline int util_teardown(void **state)
{
    util_end(*state);
    return 0;
}

/* What became of one request. */
struct answer {
    struct util *u;
    bool came, ok;
    struct val v; /* in the util's arena */
};

static inline void util_done(void *ctx, uint64_t id, bool ok, const struct val *v)
{
    struct answer *a = ctx;
    (void)id;
    CHECK(!a->came);
    a->came = true, a->ok = ok;
    a->v = val_copy(&a->u->arena, v);
    if (--a->u->pending == 0)
        ev_stop(a->u->loop);
}

static inline struct val util_json(struct util *u, const char *text)
{
    struct json_limits limits = JSON_LIMITS_DEFAULT;
    struct val v;
    struct err err;
    if (json_parse(&u->arena, str_c(text), &limits, &v, &err) != RC_OK)
        PANIC("%s in %s", err.msg, text);
    return v;
}

/* In `json` a ' stands for a ". Returns the id. */
static inline uint64_t util_start(struct util *u, struct answer *a, enum exec_kind kind, const char *json)
{
    char *text = strdup(json);
    for (char *p = text; *p; p++)
        if (*p == '\'')
            *p = '"';
    struct val v = util_json(u, text);
    free(text);
    *a = (struct answer){.u = u};
    u->pending++;
    uint64_t id = u->next_id++;
    executor_start(u->x, id, kind, &v, util_done, a);
    CHECK(!a->came);
    return id;
}

static inline void util_wait(struct util *u)
{
    while (u->pending)
        ev_run(u->loop);
}

__attribute__((format(printf, 3, 4))) static inline struct answer util_do(struct util *u, enum exec_kind kind,
                                                                          const char *fmt, ...)
{
    char *text;
    struct answer a;
    va_list ap;
    va_start(ap, fmt);
    CHECK(vasprintf(&text, fmt, ap) >= 0);
    va_end(ap);
    util_start(u, &a, kind, text);
    free(text);
    util_wait(u);
    return a;
}

/* Fields of answers, as C strings in the util's arena. */
static inline const char *util_text(const struct answer *a, const char *name)
{
    const struct val *v = val_get(&a->v, str_c(name));
    if (val_is(v, VAL_STR))
        return arena_cstr(&a->u->arena, v->s);
    return v ? arena_cstr(&a->u->arena, json_text(&a->u->arena, v)) : "(absent)";
}

static inline int64_t util_int(const struct answer *a, const char *name)
{
    return val_get_int(&a->v, str_c(name), INT64_MIN);
}

static inline bool util_true(const struct answer *a, const char *name)
{
    return val_get_bool(&a->v, str_c(name), false);
}
