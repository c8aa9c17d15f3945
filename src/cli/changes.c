/* Paths in the undo log have attempt numbers ("fix~2/exec:1"); what people name has none. What was taken back before
 * another attempt is no change any more. */
#include "cli/changes.h"

#include "base/buf.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum { HOME_DIR_MAX = sizeof((struct home_run *)NULL)->dir };

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

/* ---- isolated workspaces ---- */

static struct str read_name(int places, const char *place, struct arena *a)
{
    char path[300], text[4096];
    snprintf(path, sizeof path, "%.200s/name", place);
    int fd = openat(places, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof text) : -1;
    if (fd >= 0)
        close(fd);
    return n > 0 ? arena_str(a, str_n(text, (size_t)n)) : STR("");
}

/* What was done inside of an isolated workspace is recorded there; around it, only what was taken over. The innermost
 * one around the step counts, and of several attempts the last. */
static bool find_place(const char *snapshots, struct str step, struct arena *a, char *ret, size_t size)
{
    char path[HOME_DIR_MAX + 40];
    struct str best = STR(""), best_plain = STR("");
    snprintf(path, sizeof path, "%s/places", snapshots);
    DIR *d = opendir(path);
    for (struct dirent *e; d && (e = readdir(d));) {
        struct str name = e->d_name[0] == '.' ? STR("") : read_name(dirfd(d), e->d_name, a);
        struct str plain = run_changes_path(a, name);
        bool around = plain.n && step.n > plain.n && str_starts(step, plain) && step.p[plain.n] == '/' &&
                      !str_starts(str_from(step, plain.n + 1), STR("place:"));
        bool later = plain.n > best_plain.n ||
                     (plain.n == best_plain.n && (name.n > best.n || (name.n == best.n && str_cmp(name, best) > 0)));
        if (!around || !later)
            continue;
        best = name, best_plain = plain;
        snprintf(ret, size, "%s/%s", path, e->d_name);
    }
    if (d)
        closedir(d);
    return best.n;
}

enum rc run_changes_read(const struct home_run *h, struct str step, struct arena *a, struct run_changes *ret,
                         struct err *err)
{
    char store[HOME_DIR_MAX + 16], place[HOME_DIR_MAX + 320];
    struct choosing x = {ret, step, a};
    *ret = (struct run_changes){0};
    snprintf(store, sizeof store, "%s/snapshots", h->dir);
    bool inside = step.n && find_place(store, step, a, place, sizeof place);
    enum rc rc = snapshots_read(&ret->s, inside ? place : store, store, err);
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
