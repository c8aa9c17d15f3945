/* The workspace of the simulated world: a few files, what each effect that wrote to them changed, and taking that back;
 * and copies of it, which branches, iterations and models work in.
 *
 * Invariant, asked when an effect that writes begins: nothing is left of what an earlier attempt at it, or at a step
 * around it, changed (files_begin). An effect that dies on the way leaves any part of its changes, as the executor may.
 */
#include "sim/world.h"

#include "flow/frame.h"

#include <stdio.h>
#include <stdlib.h>

enum { FILES = 7, CHANGES_MAX = 3 /* by one command */ };

struct site { /* the workspace, or a copy of it */
    char name[200];
    uint64_t content[FILES], base[FILES]; /* base: of a copy, what it was made of */
    bool merged;
    struct site *next;
};

struct entry {
    struct site *site;
    char frame[200];
    uint32_t attempt;
    bool undone;
    size_t n;
    struct {
        unsigned file;
        uint64_t before, after;
    } change[FILES];
    struct entry *next;
};

struct workspace_model {
    struct site sites; /* the workspace first */
    uint64_t versions;
    struct entry *first, **last;
    uint64_t undone, refused;
};

static struct workspace_model *files_of(struct world *w)
{
    if (!w->workspace) {
        w->workspace = ARENA_NEW(&w->arena, struct workspace_model);
        w->workspace->last = &w->workspace->first;
    }
    return w->workspace;
}

/* Where a request is to be carried out. */
static struct site *site_of(struct world *w, struct str name)
{
    struct site *s = &files_of(w)->sites;
    while (s && !str_is(name, s->name))
        s = s->next;
    if (!s && !w->violation[0])
        snprintf(w->violation, sizeof w->violation, "there is no isolated workspace %.*s", STR_ARG(name));
    return s ? s : &files_of(w)->sites;
}

static struct site *site_asked(struct world *w, const struct val *request)
{
    return site_of(w, val_get_str(request, STR("place"), STR("")));
}

static bool writes(const struct pending_event *p)
{
    struct str tool = val_get_str(&p->request->val, STR("tool"), STR(""));
    return p->effect == EFFECT_COMMAND || (p->effect == EFFECT_TOOL && str_is(tool, "Bash"));
}

/* Below iterations of the loop? */
static bool files_iterated(struct str frame, struct str loop, int64_t first, int64_t last)
{
    char base[240];
    for (int64_t i = first; i <= last; i++) {
        snprintf(base, sizeof base, "%.*s/%lld", STR_ARG(loop), (long long)i);
        if (str_starts(frame, str_c(base)) && (frame.p[strlen(base)] == '/' || frame.p[strlen(base)] == '~'))
            return true;
    }
    return false;
}

/* Below attempt `attempt` at the step (0: any)? */
static bool files_below(struct str frame, struct str step, uint32_t attempt)
{
    char base[240];
    if (!attempt)
        return str_starts(frame, step) && (frame.p[step.n] == '/' || frame.p[step.n] == '~');
    if (attempt == 1)
        snprintf(base, sizeof base, "%.*s/", STR_ARG(step));
    else
        snprintf(base, sizeof base, "%.*s~%u/", STR_ARG(step), attempt);
    return str_starts(frame, str_c(base));
}

/* "" or what is still there of an earlier attempt that it should not meet. */
static const struct entry *files_left(struct world *w, const struct site *s, struct str path, uint32_t attempt)
{
    for (const struct entry *e = files_of(w)->first; e; e = e->next) {
        struct str frame = str_c(e->frame);
        if (e->undone || e->site != s)
            continue;
        if (str_eq(frame, path) && e->attempt < attempt)
            return e;
        for (size_t i = 0; i < path.n; i++) {
            if (path.p[i] != '~')
                continue;
            int64_t n = 0;
            size_t end = i + 1;
            while (end < path.n && path.p[end] != '/')
                end++;
            if (str_to_i64(str_n(path.p + i + 1, end - i - 1), &n) && n > 1 &&
                files_below(frame, str_n(path.p, i), (uint32_t)n - 1))
                return e;
        }
    }
    return NULL;
}

/* It happens, or a part of it does. */
static void files_change(struct world *w, const struct pending_event *p, bool whole)
{
    struct workspace_model *m = files_of(w);
    struct entry *e = ARENA_NEW(&w->arena, struct entry);
    struct site *s = e->site = site_asked(w, &p->request->val);
    uint64_t h = str_hash(str_c(p->path), 37);
    snprintf(e->frame, sizeof e->frame, "%s", p->path);
    e->attempt = p->attempt;
    e->n = 1 + h % CHANGES_MAX;
    size_t made = whole ? e->n : (size_t)rng_below(&w->choices, e->n + 1);
    for (size_t i = 0; i < e->n; i++) {
        unsigned file = (unsigned)((h / 8 + i) % FILES);
        e->change[i].file = file;
        e->change[i].before = s->content[file];
        e->change[i].after = ++m->versions;
        if (i < made)
            s->content[file] = e->change[i].after;
    }
    *m->last = e;
    m->last = &e->next;
}

static bool files_concern(const struct entry *e, const struct site *s, const struct val *attempts, bool below)
{
    for (size_t i = 0; !e->undone && e->site == s && val_at(attempts, i); i++) {
        struct str of = val_get_str(val_at(attempts, i), STR("step"), STR(""));
        uint32_t attempt = (uint32_t)val_get_int(val_at(attempts, i), STR("attempt"), 0);
        const struct val *iterations = VAL_GET(val_at(attempts, i), "iterations");
        bool concerns = iterations
                            ? files_iterated(str_c(e->frame), of, val_at(iterations, 0)->i, val_at(iterations, 1)->i)
                        : below ? files_below(str_c(e->frame), of, attempt)
                                : str_is(of, e->frame) && e->attempt == attempt;
        if (concerns)
            return true;
    }
    return false;
}

/* False: somebody else has changed one of the files since. */
static bool files_undo(struct world *w, struct site *s, const struct val *attempts, bool below, bool force)
{
    struct workspace_model *m = files_of(w);
    uint64_t first[FILES], last[FILES];
    bool touched[FILES] = {false}, foreign = false;
    for (const struct entry *e = m->first; e; e = e->next)
        for (size_t i = 0; i < e->n && files_concern(e, s, attempts, below); i++) {
            unsigned file = e->change[i].file;
            if (!touched[file])
                first[file] = e->change[i].before;
            touched[file] = true;
            last[file] = e->change[i].after;
        }
    for (unsigned f = 0; f < FILES; f++)
        foreign |= touched[f] && s->content[f] != first[f] && s->content[f] != last[f];
    if (foreign && !force) {
        m->refused++;
        return false;
    }
    for (unsigned f = 0; f < FILES; f++)
        if (touched[f] && s->content[f] == last[f])
            s->content[f] = first[f];
    for (struct entry *e = m->first; e; e = e->next)
        if (files_concern(e, s, attempts, below)) {
            e->undone = true;
            m->undone++;
        }
    return true;
}

/* A snapshot before a command; and after a crash, what it did is taken back, or nobody knows what that was. */
static struct val command_phase(struct world *w, struct arena *a, const struct pending_event *p)
{
    struct val_map m = val_map_new(a), plan = val_map_new(a);
    if (str_is(val_get_str(&p->request->val, STR("phase"), STR("")), "prepare")) {
        VAL_MAP_SET(&plan, "snapshot", VAL_LIT("s"));
        VAL_MAP_SET(&plan, "offline", val_bool(str_hash(str_c(p->path), 7) % 2));
        VAL_MAP_SET(&m, "plan", val_map_done(&plan));
    } else {
        struct val own = rollback_attempt(a, str_c(p->path), p->attempt);
        struct val list = {.type = VAL_ARRAY, .arr = {&own, 1}};
        bool undone = files_undo(w, site_asked(w, &p->request->val), &list, false,
                                 val_get_bool(&p->request->val, STR("force"), false));
        VAL_MAP_SET(&m, "outcome", undone ? VAL_LIT("again") : VAL_LIT("changed"));
        VAL_MAP_SET(&m, "offline", val_bool(val_get_bool(VAL_GET(&p->request->val, "plan"), STR("offline"), false)));
    }
    return val_map_done(&m);
}

static struct val files_rollback(struct world *w, struct arena *a, const struct val *request, bool *ok)
{
    struct val_map m = val_map_new(a);
    bool force = val_get_bool(request, STR("force"), false);
    *ok = files_undo(w, site_asked(w, request), VAL_GET(request, "attempts"), true, force);
    if (*ok) {
        VAL_MAP_SET(&m, "restored", val_int(1));
    } else {
        VAL_MAP_SET(&m, "class", VAL_LIT("exists"));
        VAL_MAP_SET(&m, "code", VAL_LIT("changed"));
    }
    return val_map_done(&m);
}

/* A copy, unless an earlier life has made it. */
static void files_isolate(struct world *w, const struct val *request)
{
    struct str name = val_get_str(request, STR("target"), STR(""));
    struct site **at = &files_of(w)->sites.next, *from = site_asked(w, request);
    while (*at && !str_is(name, (*at)->name))
        at = &(*at)->next;
    if (*at)
        return;
    *at = ARENA_NEW(&w->arena, struct site);
    snprintf((*at)->name, sizeof(*at)->name, "%.*s", STR_ARG(name));
    memcpy((*at)->content, from->content, sizeof from->content);
    memcpy((*at)->base, from->content, sizeof from->content);
}

/* False: somebody else has changed one of the files that were changed in the copy. */
static bool files_merge(struct world *w, const struct val *request)
{
    struct workspace_model *m = files_of(w);
    struct site *to = site_asked(w, request), *from = site_of(w, val_get_str(request, STR("target"), STR("")));
    bool force = val_get_bool(request, STR("force"), false), foreign = false;
    if (from->merged)
        return true;
    for (unsigned f = 0; f < FILES; f++)
        foreign |= from->content[f] != from->base[f] && to->content[f] != from->base[f];
    if (foreign && !force) {
        m->refused++;
        return false;
    }
    struct entry *e = ARENA_NEW(&w->arena, struct entry);
    snprintf(e->frame, sizeof e->frame, "%.*s", STR_ARG(val_get_str(request, STR("frame"), STR(""))));
    e->site = to;
    e->attempt = 1;
    for (unsigned f = 0; f < FILES; f++)
        if (from->content[f] != from->base[f] && to->content[f] == from->base[f]) {
            e->change[e->n].file = f;
            e->change[e->n].before = to->content[f];
            e->change[e->n++].after = to->content[f] = from->content[f];
        }
    *m->last = e;
    m->last = &e->next;
    from->merged = true;
    return true;
}

static struct val files_workspace(struct world *w, struct arena *a, const struct val *request, bool *ok)
{
    struct str action = val_get_str(request, STR("action"), STR(""));
    struct val_map m = val_map_new(a);
    if (str_is(action, "rollback"))
        return files_rollback(w, a, request, ok);
    *ok = true;
    if (str_is(action, "measure")) {
        VAL_MAP_SET(&m, "bytes", val_int(10));
        return val_map_done(&m);
    }
    if (str_is(action, "isolate"))
        files_isolate(w, request);
    else
        *ok = files_merge(w, request);
    VAL_MAP_SET(&m, "snapshot", VAL_LIT("s"));
    if (!*ok) {
        VAL_MAP_SET(&m, "class", VAL_LIT("conflict"));
        VAL_MAP_SET(&m, "code", VAL_LIT("changed"));
    }
    return val_map_done(&m);
}

/* Whatever is below a frame with a copy works in the innermost one; not so what handles its failure, or makes and
 * removes the directory that it has there. */
static void files_place(struct world *w, const struct pending_event *p)
{
    const struct site *inner = &files_of(w)->sites;
    struct str path = str_c(p->path);
    for (const struct site *s = inner->next; s; s = s->next) {
        struct str name = str_c(s->name), rest = str_from(path, name.n);
        if (str_starts(path, name) && str_starts(rest, STR("/")) && !str_starts(rest, STR("/on_error")) &&
            !str_is(rest, "/place:dir") && !str_is(rest, "/place:clean") && name.n > strlen(inner->name))
            inner = s;
    }
    if (inner != site_asked(w, &p->request->val) && !w->violation[0])
        snprintf(w->violation, sizeof w->violation, "%.*s works outside of the copy of %s", STR_ARG(path), inner->name);
}

static void files_begin(struct world *w, const struct pending_event *p)
{
    bool writing = p->effect == EFFECT_COMMAND || p->effect == EFFECT_TOOL || p->effect == EFFECT_FILES;
    const struct entry *left =
        writing ? files_left(w, site_asked(w, &p->request->val), str_c(p->path), p->attempt) : NULL;
    if (writing)
        files_place(w, p);
    if (left && !w->violation[0])
        snprintf(w->violation, sizeof w->violation, "%s attempt %u met what %s attempt %u had changed", p->path,
                 p->attempt, left->frame, left->attempt);
}

/* ---- files that tools write, one by one ---- */

struct file {
    char path[200];
    char hash[65];
};

static struct file *file_of(struct world *w, struct str path)
{
    struct file *f = map_get(&w->files, path);
    if (!f) {
        f = ARENA_NEW(&w->arena, struct file);
        snprintf(f->path, sizeof f->path, "%.*s", STR_ARG(path));
        map_put(&w->files, str_c(f->path), f);
    }
    return f;
}
