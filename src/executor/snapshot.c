/* The lists that were read last are kept, since operations on many files look up neighbours. */
#include "executor/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum rc snapshot_take(struct snapshots *s, const atomic_bool *cancel, struct sha256 *ret, struct err *err)
{
    bool first = !s->scan.known && s->seed.state_dir;
    if (first)
        seed_take(&s->seed, &s->scan, &s->objects);
    enum rc rc = scan_take(&s->scan, &s->objects, cancel, ret, NULL, err);
    if (first && rc == RC_OK)
        seed_leave(&s->seed, &s->scan, &s->objects);
    return rc;
}

/* ---- reading one ---- */

static enum rc tree_cached(struct snapshots *s, const struct sha256 *id, const struct tree **ret, struct err *err)
{
    for (size_t i = 0; i < TREES_CACHED; i++)
        if (s->cached[i].used && memcmp(&s->cached[i].id, id, sizeof *id) == 0) {
            s->cached[i].used = ++s->uses;
            *ret = s->cached[i].tree;
            return RC_OK;
        }
    struct cached_tree *c = &s->cached[0];
    for (size_t i = 1; i < TREES_CACHED; i++)
        if (s->cached[i].used < c->used)
            c = &s->cached[i];
    arena_done(&c->arena);
    *c = (struct cached_tree){.id = *id};
    struct tree *t = ARENA_NEW(&c->arena, struct tree);
    enum rc rc = tree_read(&s->objects, id, &c->arena, t, err);
    if (rc == RC_OK)
        c->used = ++s->uses, c->tree = t;
    *ret = t;
    return rc;
}

enum rc snapshot_lookup(struct snapshots *s, const struct sha256 *id, struct str path, struct node *ret,
                        struct err *err)
{
    struct sha256 dir = *id;
    *ret = (struct node){0};
    while (path.n) {
        const char *slash = memchr(path.p, '/', path.n);
        struct str name = slash ? str_n(path.p, (size_t)(slash - path.p)) : path;
        const struct tree *t;
        enum rc rc = tree_cached(s, &dir, &t, err);
        if (rc)
            return rc;
        const struct tree_entry *e = tree_find(t, name);
        struct node found = e ? e->node : (struct node){0};
        if (!slash)
            *ret = found;
        if (!slash || found.type != NODE_DIR)
            return RC_OK;
        dir = found.hash;
        path = str_from(path, name.n + 1);
    }
    return RC_OK;
}

struct guarded {
    struct arena *a;
    struct str *v;
    size_t n, cap;
};

static enum rc find_guarded(struct snapshots *s, const struct sha256 *id, struct str path, struct guarded *g,
                            struct err *err)
{
    struct arena a = {0};
    struct tree t;
    enum rc rc = tree_read(&s->objects, id, &a, &t, err);
    for (size_t i = 0; rc == RC_OK && i < t.n; i++) {
        const struct tree_entry *e = &t.v[i];
        struct str own = path.n ? arena_printf(&a, "%.*s/%.*s", STR_ARG(path), STR_ARG(e->name)) : e->name;
        if (e->node.type == NODE_DIR) {
            rc = find_guarded(s, &e->node.hash, own, g, err);
        } else if (e->node.type == NODE_OTHER && scan_is_guarded(arena_cstr(&a, e->name))) {
            if (g->n == g->cap) {
                size_t cap = g->cap ? g->cap * 2 : 8;
                struct str *v = arena_calloc(g->a, cap, sizeof *v);
                if (g->n)
                    memcpy(v, g->v, g->n * sizeof *v);
                g->v = v, g->cap = cap;
            }
            g->v[g->n++] = arena_str(g->a, own);
        }
    }
    arena_done(&a);
    return rc;
}

enum rc snapshot_guarded(struct snapshots *s, const struct sha256 *id, struct arena *a, struct str **ret, size_t *n,
                         struct err *err)
{
    struct guarded g = {.a = a};
    enum rc rc = find_guarded(s, id, STR(""), &g, err);
    *ret = g.v, *n = g.n;
    return rc;
}

/* ---- life ---- */

static void prepare(struct snapshots *s, const struct beneath *workspace)
{
    *s = (struct snapshots){.dir.fd = -1, .objects.dir.fd = -1, .workspace.fd = -1, .seed.from = -1};
    if (workspace)
        s->workspace = *workspace;
    scan_init(&s->scan, s->workspace.fd);
}

enum rc snapshots_init(struct snapshots *s, const char *dir, const char *store, const struct beneath *workspace,
                       struct err *err)
{
    static const char *const parts[] = {"undo", "views"};
    prepare(s, workspace);
    enum rc rc = objects_init(&s->objects, store, true, err);
    if (rc == RC_OK && mkdir(dir, 0700) != 0 && errno != EEXIST)
        rc = objects_error(err, str_c(dir));
    if (rc == RC_OK)
        rc = beneath_init(&s->dir, &s->arena, dir, false, err);
    for (size_t i = 0; rc == RC_OK && i < sizeof parts / sizeof *parts; i++)
        if (mkdirat(s->dir.fd, parts[i], 0700) != 0 && errno != EEXIST)
            rc = objects_error(err, str_c(parts[i]));
    return rc;
}

enum rc snapshots_read(struct snapshots *s, const char *dir, const char *store, struct err *err)
{
    prepare(s, NULL);
    enum rc rc = objects_init(&s->objects, store, false, err);
    return rc ? rc : beneath_init(&s->dir, &s->arena, dir, false, err);
}

void snapshots_done(struct snapshots *s)
{
    for (size_t i = 0; i < TREES_CACHED; i++)
        arena_done(&s->cached[i].arena);
    if (s->seed.from >= 0)
        close(s->seed.from);
    scan_done(&s->scan);
    objects_done(&s->objects);
    beneath_done(&s->dir);
    arena_done(&s->arena);
}
