/* Glob: files whose path matches a pattern, the most recently changed first. */
#include "executor/tools.h"

#include "base/buf.h"
#include "executor/globmatch.h"
#include "executor/walk.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum { MAX_FOUND = 100000, MAX_SHOWN = 1000 };

struct found {
    struct str path;
    struct timespec changed;
};
struct globbing {
    struct tool_call *call;
    const struct glob *glob;
    struct found *found;
    size_t n, cap;
    bool full;
};

static bool on_enter(void *ctx, struct str path)
{
    const struct globbing *g = ctx;
    return glob_may_enter(g->glob, path);
}

static bool on_file(void *ctx, const struct walk_file *f)
{
    struct globbing *g = ctx;
    if (!glob_match(g->glob, f->path))
        return true;
    if (g->n == MAX_FOUND) {
        g->full = true;
        return false;
    }
    if (g->n == g->cap) {
        size_t cap = g->cap ? g->cap * 2 : 64;
        struct found *more = arena_calloc(g->call->arena, cap, sizeof *more);
        if (g->n)
            memcpy(more, g->found, g->n * sizeof *more);
        g->found = more, g->cap = cap;
    }
    g->found[g->n++] = (struct found){arena_str(g->call->arena, f->path), f->st->st_mtim};
    return true;
}

static int newest_first(const void *pa, const void *pb)
{
    const struct found *a = pa, *b = pb;
    if (a->changed.tv_sec != b->changed.tv_sec)
        return a->changed.tv_sec > b->changed.tv_sec ? -1 : 1;
    if (a->changed.tv_nsec != b->changed.tv_nsec)
        return a->changed.tv_nsec > b->changed.tv_nsec ? -1 : 1;
    return str_cmp(a->path, b->path);
}

static struct val present(struct tool_call *c, struct globbing *g, struct str path, const char *cut)
{
    struct buf b;
    buf_init(&b, c->output_limit + 4096);
    while (path.n > 1 && path.p[path.n - 1] == '/')
        path.n--;
    if (str_is(path, "."))
        path.n = 0;
    if (g->n)
        qsort(g->found, g->n, sizeof *g->found, newest_first);
    size_t shown = 0;
    for (; shown < g->n && shown < MAX_SHOWN; shown++) {
        if (b.n + path.n + g->found[shown].path.n + 2 > c->output_limit)
            break;
        buf_add(&b, path);
        if (path.n && path.p[path.n - 1] != '/')
            buf_addc(&b, '/');
        buf_add(&b, g->found[shown].path);
        buf_addc(&b, '\n');
    }
    if (g->n == 0)
        buf_addz(&b, "No files found\n");
    if (shown < g->n)
        buf_printf(&b, "(%zu more files are not shown; use a narrower pattern or path.)\n", g->n - shown);
    if (g->full)
        cut = "there are too many matches";
    if (cut)
        buf_printf(&b, "(The search stopped early: %s.)\n", cut);
    struct val ret = tool_text(c, arena_str(c->arena, buf_str(&b)));
    buf_done(&b);
    return ret;
}

struct val tool_glob(struct tool_call *c)
{
    struct val bad;
    struct str pattern, path, rel;
    struct err err;
    struct globbing g = {.call = c};
    int dir;
    if (!tool_arg_str(c, "pattern", true, &pattern, &bad) || !tool_arg_str(c, "path", false, &path, &bad))
        return bad;
    if (pattern.n && pattern.p[0] == '/' && !path.n) { /* an absolute pattern: what is before the root is taken off */
        if (beneath_relative(c->root, c->arena, STR("."), pattern, &pattern, &err))
            return tool_error(c, &err);
        path = c->root->path;
    }
    if (glob_compile(c->arena, pattern, &g.glob, &err) || beneath_relative(c->root, c->arena, c->cwd, path, &rel, &err))
        return tool_error(c, &err);
    if (beneath_open(c->root, rel, O_RDONLY | O_DIRECTORY, &dir, &err))
        return tool_error_at(c, rel, &err);
    struct walk w = {.call = c, .enter = on_enter, .file = on_file, .ctx = &g};
    walk_run(&w, dir);
    return present(c, &g, path, w.cut);
}
