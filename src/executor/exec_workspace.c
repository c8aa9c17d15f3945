/* A workspace that cannot be kept (too large, or not readable) does not stop anything: effects then work in it
 * directly, and a record says that what they changed is not known. The engine decides what may follow from that. */
#include "executor/exec_workspace_int.h"

#include "base/fault.h"
#include "base/panic.h"
#include "executor/executor.h"
#include "executor/measure.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct workspace *workspace_alloc(const char *run_dir, const struct beneath *root)
{
    struct workspace *w = calloc(1, sizeof *w);
    if (!w || asprintf(&w->store, "%s/snapshots", run_dir) < 0 || !(w->run_dir = strdup(run_dir)))
        PANIC("out of memory");
    w->root = *root;
    pthread_mutex_init(&w->mutex, NULL);
    return w;
}

struct workspace *workspace_new(const char *run_dir, const char *state_dir, const struct beneath *root)
{
    struct workspace *w = workspace_alloc(run_dir, root);
    w->dir = strdup(w->store);
    w->state_dir = state_dir ? strdup(state_dir) : NULL;
    CHECK(w->dir && (w->state_dir || !state_dir));
    return w;
}

static void free_one(struct workspace *w)
{
    if (w->open)
        snapshots_done(&w->s);
    if (w->name)
        beneath_done(&w->root);
    pthread_mutex_destroy(&w->mutex);
    arena_done(&w->arena);
    free(w->name);
    free(w->dir);
    free(w->store);
    free(w->state_dir);
    free(w->run_dir);
    free(w);
}

void workspace_free(struct workspace *w)
{
    for (struct workspace *next; w; w = next) {
        next = w->next;
        free_one(w);
    }
}

void workspace_unlink(struct workspace *main, struct workspace *w)
{
    struct workspace **at = &main->next;
    while (*at && *at != w)
        at = &(*at)->next;
    CHECK(*at);
    *at = w->next;
    free_one(w);
}

const struct beneath *workspace_root(const struct workspace *w)
{
    return &w->root;
}

bool workspace_is_isolated(const struct workspace *w)
{
    return w->name != NULL;
}

enum rc workspace_open(struct workspace *w, struct err *err)
{
    struct err ignored;
    if (w->open)
        return RC_OK;
    enum rc rc = snapshots_init(&w->s, w->dir, w->store, &w->root, err);
    if (rc) {
        snapshots_done(&w->s);
        return rc;
    }
    w->open = true;
    w->s.shown = w->shown;
    w->s.seed.state_dir = w->state_dir;
    objects_sweep(&w->s.objects);
    if (executor_prove_dead(w->run_dir, 0, &ignored) == RC_OK)
        overlays_sweep(&w->s);
    return RC_OK;
}

/* What replays and recordings keep, they keep here. */
void workspace_remove(const char *run_dir)
{
    static const char *const trees[] = {"snapshots", "sessions", "cache", "checkpoints", "pieces"};
    int fd = open(run_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    for (size_t i = 0; i < sizeof trees / sizeof *trees; i++)
        overlay_remove(fd, trees[i]);
    close(fd);
}

/* ---- before ---- */

enum rc workspace_prepare(struct workspace *w, const struct val *plan, const atomic_bool *cancel, struct arena *a,
                          struct val *ret, struct err *err)
{
    struct sha256 id;
    struct val_map m = val_map_new(a);
    val_map_merge(&m, plan);
    pthread_mutex_lock(&w->mutex);
    enum rc rc = workspace_open(w, err);
    if (rc == RC_OK)
        rc = snapshot_take(&w->s, cancel, &id, err);
    pthread_mutex_unlock(&w->mutex);
    if (rc == RC_CANCELLED)
        return rc;
    if (rc == RC_OK) {
        struct sha256_hex x = sha256_hex(&id);
        VAL_MAP_SET(&m, "snapshot", val_str(arena_str(a, str_c(x.z))));
    } else {
        VAL_MAP_SET(&m, "snapshot", val_null);
        VAL_MAP_SET(&m, "why", val_str(arena_str(a, str_n(err->msg, str_utf8_valid(str_c(err->msg))))));
    }
    *ret = val_map_done(&m);
    return RC_OK;
}

static struct undo entry_of(const struct val *req)
{
    int64_t attempt = val_get_int(req, STR("attempt"), 1);
    return (struct undo){.frame = val_get_str(req, STR("frame"), STR("")),
                         .attempt = attempt > 0 && attempt < INT32_MAX ? (uint32_t)attempt : 1};
}

static bool snapshot_of(const struct val *req, struct sha256 *ret)
{
    return sha256_read(val_get_str(VAL_GET(req, "plan"), STR("snapshot"), STR("")), ret);
}

static bool was_offline(const struct val *req)
{
    return val_get_bool(VAL_GET(req, "plan"), STR("offline"), false);
}

/* In an isolated workspace a command has a view always: that is how it comes to be where the workspace is. */
static bool wants_view(const struct workspace *w, const struct val *req)
{
    return w->name || val_get_bool(req, STR("view"), false) ||
           (str_is(val_get_str(req, STR("view"), STR("")), "offline") && was_offline(req));
}

static struct str why_untracked(const struct workspace *w, const struct val *req)
{
    return !wants_view(w, req) ? STR("the command worked in the workspace itself")
           : w->no_views       ? STR("commands cannot be given a view of their own here")
                               : val_get_str(VAL_GET(req, "plan"), STR("why"), STR("there was no snapshot"));
}

/* A copy is made of what the workspace is now, which may be more than was planned with. */
static enum rc make_view(struct workspace *w, const struct sha256 *planned, struct str cwd, struct str root,
                         struct overlay *ret, struct err *err)
{
    struct sha256 now = *planned;
    bool copy = w->no_layers || fault_hit("view.no_layers");
    enum rc rc = copy ? snapshot_take(&w->s, NULL, &now, err) : RC_OK;
    return rc ? rc : overlay_new(&w->s, &now, cwd, root, copy, ret, err);
}

enum rc workspace_begin(struct workspace *w, const struct val *req, struct str cwd, bool no_view, struct overlay *ret,
                        struct err *err)
{
    struct undo u = entry_of(req);
    pthread_mutex_lock(&w->mutex);
    w->no_views |= no_view;
    if (ret->dir >= 0) { /* it could not be mounted */
        w->no_views |= ret->copied;
        w->no_layers = true;
        overlay_drop(&w->s, ret);
    }
    enum rc rc = workspace_open(w, err);
    if (rc == RC_OK && snapshot_of(req, &u.snapshot) && wants_view(w, req) && !w->no_views) {
        rc = make_view(w, &u.snapshot, cwd, val_get_str(req, STR("root"), STR(".")), ret, err);
    } else if (rc == RC_OK) {
        u.untracked = why_untracked(w, req);
        rc = undo_write(&w->s, &u, err);
        ret->entry = u.number;
    }
    pthread_mutex_unlock(&w->mutex);
    return rc;
}

/* ---- after ---- */

/* For those who look at what the run did. That it fails costs nobody anything but this. */
static void note_seen(struct workspace *w, const struct val *req, uint32_t entry)
{
    struct arena a = {0};
    struct undo u = entry_of(req);
    struct sha256 now;
    struct err ignored;
    u.number = entry;
    u.untracked = why_untracked(w, req);
    u.changes.a = &a;
    if (snapshot_of(req, &u.snapshot) && snapshot_take(&w->s, NULL, &now, &ignored) == RC_OK &&
        tree_diff(&w->s.objects, &u.snapshot, &now, STR(""), &u.changes, &ignored) == RC_OK) {
        if (!u.changes.n)
            undo_forget(&w->s, entry);
        else if (undo_write(&w->s, &u, &ignored) != RC_OK)
            (void)ignored;
    }
    arena_done(&a);
}

static enum rc conflict(struct err *err, struct str path)
{
    return err_set(err, RC_CONFLICT,
                   "%.*s was changed by somebody else while this ran, and is left as he made it; nothing that this "
                   "changed was taken over",
                   (int)(path.n < 300 ? path.n : 300), path.p);
}

enum rc workspace_apply(struct workspace *w, struct undo *u, bool force, struct err *err)
{
    struct str path = STR("");
    enum rc rc = u->changes.n ? undo_write(&w->s, u, err) : RC_OK;
    if (rc == RC_OK && u->changes.n)
        rc = changes_apply(&w->s, &u->changes, false, force, &path, NULL, err);
    if (rc == RC_OK || force)
        return rc;
    struct err second;
    struct attempt_at own = {.frame = u->frame, .attempt = u->attempt};
    struct rollback r = {.of = &own, .n = 1, .force = true};
    if (undo_rollback(&w->s, u->changes.a, &r, &second) != RC_OK)
        err_wrap(err, "%s", second.msg);
    return rc == RC_EXISTS ? conflict(err, path) : rc;
}

static enum rc take_over(struct workspace *w, const struct val *req, struct overlay *v, struct err *err)
{
    struct arena a = {0};
    struct undo u = entry_of(req);
    size_t skipped = 0;
    u.changes.a = &a;
    u.snapshot = v->base;
    enum rc rc = overlay_changes(&w->s, v, &u.changes, &skipped, err);
    if (rc == RC_OK)
        rc = workspace_apply(w, &u, false, err);
    if (rc == RC_OK && !w->name)
        rc = overlay_guarded(&w->s, v, err);
    arena_done(&a);
    return rc;
}

enum rc workspace_end(struct workspace *w, const struct val *req, struct overlay *v, bool discard, struct err *err)
{
    enum rc rc = RC_OK;
    pthread_mutex_lock(&w->mutex);
    if (v->dir < 0)
        note_seen(w, req, v->entry);
    else if (!discard)
        rc = take_over(w, req, v, err);
    if (v->dir >= 0)
        overlay_drop(&w->s, v);
    pthread_mutex_unlock(&w->mutex);
    return rc;
}

/* ---- operations on files ---- */

struct noting {
    struct workspace *w;
    struct undo *u;
    const struct val *plan;
    struct str root; /* below which its paths are; or empty */
    struct map seen;
    struct err *err;
};

static struct str whole_path(const struct noting *n, struct str path)
{
    bool top = !path.n || str_is(path, ".");
    return !n->root.n || top ? path : arena_printf(n->u->changes.a, "%.*s/%.*s", STR_ARG(n->root), STR_ARG(path));
}

/* By its path in the whole workspace. */
static enum rc note_path(struct noting *n, struct str path)
{
    struct node before, after;
    if (!path.n || str_is(path, ".") || map_put(&n->seen, arena_str(n->u->changes.a, path), n))
        return RC_OK;
    size_t slash = path.n;
    while (slash && path.p[slash - 1] != '/')
        slash--;
    enum rc rc = slash ? note_path(n, str_n(path.p, slash - 1)) : RC_OK; /* its directories may be new too */
    if (rc == RC_OK)
        rc = snapshot_lookup(&n->w->s, &n->u->snapshot, path, &before, n->err);
    if (rc == RC_OK)
        rc = undo_look(&n->w->s, path, &after, n->err);
    const struct val *plan = n->plan, *hash = VAL_GET(plan, "after");
    if (rc == RC_OK && str_eq(path, whole_path(n, val_get_str(plan, STR("path"), STR("")))) && val_is(hash, VAL_STR)) {
        /* it is known what was written, whatever somebody has made of it since */
        after = (struct node){.type = NODE_FILE, .mode = (mode_t)(val_get_int(plan, STR("mode"), 0644) & 07777)};
        if (!sha256_read(hash->s, &after.hash))
            rc = err_set(n->err, RC_CORRUPT, "the plan names no content");
    }
    if (rc == RC_OK && before.type != NODE_OTHER && after.type != NODE_OTHER)
        changes_add(&n->u->changes, path, &before, &after);
    return rc;
}

static enum rc note_list(struct noting *n, const struct val *list)
{
    enum rc rc = RC_OK;
    for (size_t i = 0; rc == RC_OK && val_at(list, i); i++)
        if (val_is(val_at(list, i), VAL_STR))
            rc = note_path(n, whole_path(n, val_at(list, i)->s));
    return rc;
}

enum rc workspace_note(struct workspace *w, const struct val *req, struct err *err)
{
    struct arena a = {0};
    struct undo u = entry_of(req);
    const struct val *plan = VAL_GET(req, "plan"), *items = VAL_GET(plan, "items");
    struct noting n = {.w = w, .u = &u, .plan = plan, .root = val_get_str(req, STR("root"), STR("")), .err = err};
    u.changes.a = &a;
    pthread_mutex_lock(&w->mutex);
    enum rc rc = workspace_open(w, err);
    if (rc == RC_OK && !snapshot_of(req, &u.snapshot)) {
        u.untracked = val_get_str(plan, STR("why"), STR("there was no snapshot"));
        rc = undo_write(&w->s, &u, err);
    } else if (rc == RC_OK) {
        rc = note_path(&n, whole_path(&n, val_get_str(plan, STR("path"), STR(""))));
        for (size_t i = 0; rc == RC_OK && val_at(items, i); i++) {
            const struct val *from = val_at(val_at(items, i), 1), *to = val_at(val_at(items, i), 2);
            rc = note_path(&n, whole_path(&n, val_is(from, VAL_STR) ? from->s : STR("")));
            if (rc == RC_OK)
                rc = note_path(&n, whole_path(&n, val_is(to, VAL_STR) ? to->s : STR("")));
        }
        if (rc == RC_OK && (rc = note_list(&n, VAL_GET(plan, "dirs"))) == RC_OK)
            rc = note_list(&n, VAL_GET(plan, "rmdirs"));
        if (rc == RC_OK && u.changes.n)
            rc = undo_write(&w->s, &u, err);
    }
    pthread_mutex_unlock(&w->mutex);
    map_done(&n.seen);
    arena_done(&a);
    return rc;
}

/* ---- taking back ---- */

static enum rc roll_back(struct workspace *w, struct arena *a, struct rollback *r, struct err *err)
{
    pthread_mutex_lock(&w->mutex);
    enum rc rc = workspace_open(w, err);
    if (rc == RC_OK)
        rc = undo_rollback(&w->s, a, r, err);
    pthread_mutex_unlock(&w->mutex);
    return rc;
}

static struct val text_val(struct arena *a, struct str s)
{
    s.n = str_utf8_valid(s);
    return val_str(arena_str(a, s));
}

enum rc workspace_settle(struct workspace *w, const struct val *req, struct arena *a, struct val *ret, struct err *err)
{
    struct undo u = entry_of(req);
    struct attempt_at own = {.frame = u.frame, .attempt = u.attempt};
    struct rollback r = {.of = &own, .n = 1, .force = val_get_bool(req, STR("force"), false)};
    struct val_map m = val_map_new(a);
    enum rc rc = roll_back(w, a, &r, err);
    if (rc == RC_EXISTS) {
        VAL_MAP_SET(&m, "outcome", VAL_LIT("changed"));
        VAL_MAP_SET(&m, "path", text_val(a, r.conflict));
    } else if (rc) {
        return rc;
    } else {
        VAL_MAP_SET(&m, "outcome", r.untracked ? VAL_LIT("kept") : VAL_LIT("again"));
        if (r.untracked)
            VAL_MAP_SET(&m, "why", text_val(a, r.why));
        VAL_MAP_SET(&m, "offline", val_bool(was_offline(req)));
    }
    *ret = val_map_done(&m);
    return RC_OK;
}

static bool attempt_of(const struct val *v, struct attempt_at *ret)
{
    const struct val *attempt = VAL_GET(v, "attempt"), *iterations = VAL_GET(v, "iterations");
    const struct val *first = val_at(iterations, 0), *last = val_at(iterations, 1);
    *ret = (struct attempt_at){.frame = val_get_str(v, STR("step"), STR("")), .iterations = iterations != NULL};
    if (iterations && (!val_is(first, VAL_INT) || !val_is(last, VAL_INT)))
        return false;
    if (attempt && (attempt->type != VAL_INT || attempt->i < 1 || attempt->i >= INT32_MAX))
        return false;
    ret->attempt = attempt ? (uint32_t)attempt->i : 0;
    ret->first = iterations ? first->i : 0;
    ret->last = iterations ? last->i : 0;
    return ret->frame.n != 0;
}

static enum rc request_rollback(struct workspace *w, const struct val *req, struct arena *a, struct val_map *m,
                                struct err *err)
{
    const struct val *list = VAL_GET(req, "attempts");
    struct rollback r = {.below = true, .force = val_get_bool(req, STR("force"), false)};
    bool sane = val_is(list, VAL_ARRAY);
    struct attempt_at *of = arena_calloc(a, sane ? list->arr.n + 1 : 1, sizeof *of);
    for (; sane && r.n < list->arr.n; r.n++)
        sane = attempt_of(&list->arr.v[r.n], &of[r.n]);
    r.of = of;
    if (!sane)
        return err_set(
            err, RC_INVALID,
            "expected {action: rollback, attempts: [{step, attempt?} or {step, iterations: [first, last]}]}");
    enum rc rc = roll_back(w, a, &r, err);
    VAL_MAP_SET(m, "restored", val_int((int64_t)r.restored));
    VAL_MAP_SET(m, "untracked", val_int((int64_t)r.untracked));
    if (r.untracked)
        VAL_MAP_SET(m, "why", text_val(a, r.why));
    return rc;
}

enum rc workspace_request(struct workspace *main, struct workspace *w, const struct val *req, const atomic_bool *cancel,
                          struct arena *a, struct val *ret, const char **code, struct err *err)
{
    struct str action = val_get_str(req, STR("action"), STR("")), target = val_get_str(req, STR("target"), STR(""));
    struct val_map m = val_map_new(a);
    struct sha256 id;
    size_t changed = 0;
    enum rc rc;
    if (str_is(action, "rollback")) {
        rc = request_rollback(w, req, a, &m, err);
    } else if (str_is(action, "measure")) {
        rc = workspace_measure(&w->root, val_get_str(req, STR("below"), STR("")), val_get_int(req, STR("max"), 0),
                               cancel, a, &m, err);
    } else if (str_is(action, "isolate") && target.n) {
        rc = workspace_isolate(w, target, cancel, &id, err);
        struct sha256_hex x = sha256_hex(&id);
        VAL_MAP_SET(&m, "snapshot", val_str(arena_str(a, str_c(rc ? "" : x.z))));
    } else if (str_is(action, "merge") && target.n) {
        rc = workspace_merge(main, w, req, &changed, err);
        VAL_MAP_SET(&m, "changed", val_int((int64_t)changed));
    } else {
        rc = err_set(err, RC_INVALID, "expected an action: rollback or measure, or isolate or merge with a target");
    }
    if (rc == RC_EXISTS || rc == RC_CONFLICT)
        *code = "changed";
    *ret = val_map_done(&m);
    return rc;
}
