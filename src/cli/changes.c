/* Paths in the undo log have attempt numbers ("fix~2/exec:1"); what people name has none. What was taken back before
 * another attempt is no change any more. */
#include "cli/changes.h"

#include "base/buf.h"

#include <stdio.h>

struct str run_changes_path(struct arena *a, struct str frame)
{
    struct buf plain;
    buf_init(&plain, frame.n + 1);
    while (frame.n) {
        size_t slash = str_find(frame, STR("/"));
        struct str part = slash == SIZE_MAX ? frame : str_n(frame.p, slash);
        frame = str_from(frame, part.n + 1);
        int64_t attempt;
        size_t tilde = str_find(part, STR("~"));
        if (tilde != SIZE_MAX && str_to_i64(str_from(part, tilde + 1), &attempt))
            part.n = tilde;
        if (plain.n)
            buf_addc(&plain, '/');
        buf_add(&plain, part);
    }
    struct str ret = arena_str(a, buf_str(&plain));
    buf_done(&plain);
    return ret;
}

struct choosing {
    struct run_changes *c;
    struct str step;
    struct arena *a;
};

static void add_uncertain(struct choosing *x, const struct undo *u, struct str path)
{
    struct run_changes *c = x->c;
    if (c->nuncertain == c->cap) {
        size_t cap = c->cap ? c->cap * 2 : 8;
        struct uncertain *v = arena_calloc(x->a, cap, sizeof *v);
        if (c->nuncertain)
            memcpy(v, c->uncertain, c->nuncertain * sizeof *v);
        c->uncertain = v, c->cap = cap;
    }
    c->uncertain[c->nuncertain++] = (struct uncertain){path, u->untracked, u->changes.n > 0};
}

static bool concerns(void *ctx, const struct undo *u)
{
    struct choosing *x = ctx;
    struct str path = run_changes_path(x->a, u->frame);
    bool below = !x->step.n || str_eq(path, x->step) ||
                 (str_starts(path, x->step) && path.n > x->step.n && path.p[x->step.n] == '/');
    if (below && u->untracked.n)
        add_uncertain(x, u, path);
    return below;
}

enum rc run_changes_read(const struct home_run *h, struct str step, struct arena *a, struct run_changes *ret,
                         struct err *err)
{
    char dir[sizeof h->dir + 16];
    struct choosing x = {ret, step, a};
    *ret = (struct run_changes){0};
    snprintf(dir, sizeof dir, "%s/snapshots", h->dir);
    enum rc rc = snapshots_read(&ret->s, dir, err);
    if (rc) {
        snapshots_done(&ret->s);
        return rc == RC_NOT_FOUND ? RC_OK : rc;
    }
    ret->open = true;
    return undo_fold(&ret->s, a, concerns, &x, true, &ret->net, err);
}

void run_changes_done(struct run_changes *c)
{
    if (c->open)
        snapshots_done(&c->s);
}
