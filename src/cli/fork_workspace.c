/* In the source's own workspace only those paths are touched that the steps to be done anew had changed, and only
 * where they are still as those steps left them; so nothing is lost of what a person, or another run, has done since.
 * What the steps had made of them is not lost either: the source keeps it (`treadle diff`).
 *
 * A new directory is filled from the snapshot that was taken before the first of these steps' effects, with what steps
 * that are kept changed later (in a graph they may have run beside). If these steps have changed nothing, the
 * workspace as it is now is what they would find. */
#include "cli/fork_workspace.h"

#include "cli/changes.h"
#include "cli/human.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>

struct making {
    const struct fork_workspace *f;
    struct arena *a;
    struct snapshots from, to;
    const struct undo *first; /* of the steps that are done anew */
    struct undo first_copy;
    size_t unknown; /* effects of theirs whose changes nobody knows */
    struct str unknown_path;
    enum rc rc;
    struct err *err;
};

static bool is_void(const struct making *m, struct str frame)
{
    struct str path = run_changes_path(m->a, frame);
    size_t slash = str_find(path, STR("/"));
    struct str step = slash == SIZE_MAX ? path : str_n(path.p, slash);
    for (size_t i = 0; val_at(m->f->voids, i); i++)
        if (str_eq(val_at(m->f->voids, i)->s, step))
            return true;
    return false;
}

static bool done_anew(void *ctx, const struct undo *u)
{
    return is_void(ctx, u->frame);
}

/* Steps that are kept, where they came after the first of the others. */
static bool kept_later(void *ctx, const struct undo *u)
{
    const struct making *m = ctx;
    return !is_void(m, u->frame) && u->number > m->first_copy.number;
}

static bool look_through(void *ctx, const struct undo *u)
{
    struct making *m = ctx;
    if (u->undone)
        return true;
    if (!is_void(m, u->frame)) {
        m->rc = undo_share(&m->from, &m->to, u, m->err);
        return m->rc == RC_OK;
    }
    if (!m->first) {
        m->first_copy = *u;
        m->first = &m->first_copy;
    }
    if (u->untracked.n && !u->changes.n) {
        m->unknown++;
        m->unknown_path = run_changes_path(m->a, u->frame);
    }
    return true;
}

static const char *plural(size_t n)
{
    return n == 1 ? "" : "s";
}

static enum rc restore(struct making *m)
{
    struct undo_net net;
    struct str path = STR("");
    size_t done = 0;
    enum rc rc = undo_fold(&m->from, m->a, done_anew, m, true, &net, m->err);
    if (rc == RC_OK)
        rc = changes_apply(&m->from, &net.changes, true, false, &path, &done, m->err);
    if (rc == RC_EXISTS) {
        struct str clean = human_line(m->a, path, 300);
        return err_set(m->err, RC_USAGE,
                       "%.*s is not as run %s left it: somebody has changed it since, so the workspace cannot be made "
                       "what it was before `%.*s`. --workspace DIR makes a new one of what it was; --keep-files goes "
                       "on with the files as they are",
                       STR_ARG(clean), m->f->source->id, STR_ARG(m->f->step));
    }
    if (rc == RC_OK && done)
        fprintf(stderr,
                "note: %zu path%s in %.*s %s again as before `%.*s`; treadle diff %s has what run %s made of %s\n",
                done, plural(done), STR_ARG(m->f->was), done == 1 ? "is" : "are", STR_ARG(m->f->step), m->f->source->id,
                m->f->source->id, done == 1 ? "it" : "them");
    return rc;
}

static bool is_empty(const char *path)
{
    DIR *d = opendir(path);
    size_t n = 0;
    if (!d)
        return errno == ENOENT;
    for (struct dirent *e; (e = readdir(d));)
        n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    closedir(d);
    return n == 0;
}

/* The tree that the first of the steps found, as changes of an empty directory. */
static enum rc found(struct making *m, struct changes *ret)
{
    struct sha256 id;
    struct err *err = m->err;
    static const struct sha256 none;
    if (m->first && memcmp(&m->first->snapshot, &none, sizeof none) == 0)
        return err_set(
            err, RC_USAGE,
            "there is no snapshot from before `%.*s` (the workspace was too large, or could not be read); copy "
            "a workspace to the new directory yourself",
            STR_ARG(m->f->step));
    enum rc rc = RC_OK;
    if (m->first)
        id = m->first->snapshot;
    else
        rc = snapshot_take(&m->from, NULL, &id, err);
    return rc ? rc : tree_diff(&m->from.objects, NULL, &id, STR(""), ret, err);
}

static enum rc fill(struct making *m)
{
    struct changes tree = {.a = m->a};
    struct undo_net later = {0};
    struct beneath there, was = m->from.workspace;
    struct str path;
    size_t n = 0;
    enum rc rc = found(m, &tree);
    if (rc == RC_OK && m->first)
        rc = undo_fold(&m->from, m->a, kept_later, m, true, &later, m->err);
    if (rc == RC_OK)
        rc = beneath_init(&there, m->a, arena_cstr(m->a, m->f->now), true, m->err);
    if (rc)
        return rc;
    m->from.workspace = there;
    rc = changes_apply(&m->from, &tree, false, false, &path, &n, m->err);
    if (rc == RC_OK)
        rc = changes_apply(&m->from, &later.changes, false, true, &path, NULL, m->err);
    m->from.workspace = was;
    beneath_done(&there);
    if (rc == RC_OK)
        fprintf(stderr,
                "note: %.*s is now as %.*s was before `%.*s` (%zu path%s), without version control directories\n",
                STR_ARG(m->f->now), STR_ARG(m->f->was), STR_ARG(m->f->step), n, plural(n));
    return rc;
}

static enum rc make(struct making *m)
{
    const struct fork_workspace *f = m->f;
    bool same = str_eq(f->was, f->now);
    enum rc rc = undo_each(&m->from, m->a, look_through, m, m->err);
    if (rc == RC_OK)
        rc = m->rc;
    if (rc || f->keep_files)
        return rc;
    if (m->unknown)
        fprintf(stderr, "note: it is not known what %.*s%s changed; %s\n", STR_ARG(m->unknown_path),
                m->unknown > 1 ? " and others" : "",
                same ? "that is not taken back" : "the new workspace is as it was before it");
    if (same)
        return restore(m);
    if (is_empty(arena_cstr(m->a, f->now)))
        return fill(m);
    fprintf(stderr, "note: %.*s is used as it is: only a directory that is empty is filled\n", STR_ARG(f->now));
    return RC_OK;
}

enum rc fork_workspace_make(const struct fork_workspace *f, struct arena *a, struct err *err)
{
    char from[sizeof f->source->dir + 16], to[sizeof f->part->dir + 16];
    struct beneath was = {.fd = -1}, now = {.fd = -1};
    struct making m = {.f = f, .a = a, .unknown_path = STR(""), .err = err};
    snprintf(from, sizeof from, "%s/snapshots", f->source->dir);
    snprintf(to, sizeof to, "%s/snapshots", f->part->dir);
    struct err missing;
    if (beneath_init(&was, a, arena_cstr(a, f->was), false, &missing) != RC_OK)
        return RC_OK; /* no workspace: nothing was ever written there */
    enum rc rc = snapshots_init(&m.from, from, from, &was, err);
    if (rc == RC_OK) {
        rc = snapshots_init(&m.to, to, to, &now, err);
        if (rc == RC_OK)
            rc = make(&m);
        snapshots_done(&m.to);
    }
    snapshots_done(&m.from);
    beneath_done(&was);
    return rc;
}
