/* The simulated world: its events, what has been done outside, and the disk with the invariants of the journal, which
 * are checked whenever something becomes durable. The other files of the world are included behind this one. */
#include "sim/world.h"

#include "base/panic.h"
#include "base/sha256.h"
#include "data/json.h"
#include "flow/step.h"
#include "flow/wait.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

__attribute__((format(printf, 2, 3))) static void violate(struct world *w, const char *fmt, ...)
{
    if (w->violation[0])
        return;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(w->violation, sizeof w->violation, fmt, ap);
    va_end(ap);
}

static uint64_t choose(struct world *w, uint64_t n)
{
    return rng_below(&w->choices, n);
}

static struct pending_event *add_event(struct world *w, enum world_event kind, int64_t delay)
{
    if (w->nevents == w->cap) {
        w->cap = w->cap ? w->cap * 2 : 64;
        w->events = realloc(w->events, w->cap * sizeof *w->events);
        CHECK(w->events);
    }
    struct pending_event *e = &w->events[w->nevents++];
    *e = (struct pending_event){.kind = kind, .at = w->now + delay, .order = ++w->order};
    return e;
}

static struct deed *deed_of(struct world *w, struct str path)
{
    struct deed *d = map_get(&w->deeds, path);
    if (!d) {
        d = ARENA_NEW(&w->arena, struct deed);
        snprintf(d->path, sizeof d->path, "%.*s", STR_ARG(path));
        map_put(&w->deeds, str_c(d->path), d);
        struct rng own;
        rng_seed(&own, str_hash(path, 7)); /* the same in every life and every trial */
        d->failures = rng_below(&own, 100) < w->failure_percent ? 1 + (unsigned)rng_below(&own, 2) : 0;
    }
    return d;
}

static void start_effect(void *ctx, const struct effect *e);
static void effect_fires(struct world *w, size_t i);
static void forget_durable(struct world *w, uint64_t batch);
static struct str life_of(void *ctx, enum effect_kind kind);
static void leave_in_order(struct world *w);
static void drop_event(struct world *w, size_t i);
static void executor_may_die(struct world *w);
static struct val session_result(struct world *w, struct arena *a, const struct pending_event *p, bool *ok);

static void note_answer(struct world *w, const struct record *r);
static void note_wait(struct world *w, const struct event *e);
static void turn_left(void *ctx, uint64_t number);
static void known_begins(struct world *w, const struct pending_event *p);
static bool known_cache(struct world *w, const struct pending_event *p, struct val_map *ret);
static bool is_shared_call(const struct pending_event *p);
static bool is_part_of(const char *path, const char *step);

/* ---- what paths say ---- */

/* The last segment, and what is before it. */
static struct str last_segment(struct str path, struct str *ret_rest)
{
    size_t i = path.n;
    while (i && path.p[i - 1] != '/')
        i--;
    *ret_rest = str_n(path.p, i ? i - 1 : 0);
    return str_from(path, i);
}

/* `s7~2` is an attempt at s7. */
static struct str plain_segment(struct str segment)
{
    size_t at = str_find(segment, STR("~"));
    return at == SIZE_MAX ? segment : str_n(segment.p, at);
}

/* A step as it is written, whether or not anything was loaded of it; names are given once. */
static const struct val *step_written(const struct val *in, struct str name)
{
    const struct val *found = NULL;
    if (in->type == VAL_OBJECT && str_eq(val_get_str(in, STR("name"), STR("")), name))
        return in;
    for (size_t i = 0; in->type == VAL_OBJECT && !found && i < in->obj.n; i++)
        found = step_written(&in->obj.m[i].val, name);
    for (size_t i = 0; in->type == VAL_ARRAY && !found && i < in->arr.n; i++)
        found = step_written(&in->arr.v[i], name);
    return found;
}

/* The step that the frame at `path` is an effect of. */
static const struct val *step_of_effect(const struct world *w, struct str path)
{
    struct str step, rest;
    (void)last_segment(path, &step);
    return step_written(w->workflow->source, plain_segment(last_segment(step, &rest)));
}

/* ---- the disk ---- */

static void key_of(const struct record *r, char *out, size_t size)
{
    snprintf(out, size, "%d %u %.*s", r->kind, r->attempt, STR_ARG(r->path));
}

static bool repeats(enum record_kind k)
{
    return k == RECORD_RESUME || k == RECORD_NOTE || k == RECORD_WRITE || k == RECORD_END;
}

static void take(void *ctx, const struct record *r)
{
    struct world *w = ctx;
    if (w->ndisk == w->disk_cap) {
        w->disk_cap = w->disk_cap ? w->disk_cap * 2 : 256;
        w->disk = realloc(w->disk, w->disk_cap * sizeof *w->disk);
        CHECK(w->disk);
    }
    struct world_record *d = &w->disk[w->ndisk++];
    d->r = *r;
    d->r.path = arena_str(&w->arena, r->path);
    d->r.data = arena_str(&w->arena, r->data);
    d->r.seq = ++w->seq;
    d->batch = w->batch + 1;
    w->frail += r->kind == RECORD_RESULT && str_starts(r->path, STR("frail/")) &&
                str_find(r->data, STR("\"interrupted\"")) != SIZE_MAX;
    w->rests += r->kind == RECORD_NOTE && str_starts(r->data, STR("{\"rests\":true"));
}

/* The step that ends at path[i], `~N` taken off: its path, its attempt, and what comes below it. */
static struct str step_at(struct str path, size_t i, unsigned *attempt, struct str *below)
{
    struct str step = str_n(path.p, i);
    *below = str_from(path, i);
    *attempt = 1;
    for (size_t k = i; k-- > 0 && path.p[k] != '/';)
        if (path.p[k] == '~') {
            int64_t n = 0;
            CHECK(str_to_i64(str_n(path.p + k + 1, i - k - 1), &n));
            *attempt = (unsigned)n;
            step.n = k;
        }
    return step;
}

/* A new attempt at a step begins only when the one before it has ended, whatever crashed meanwhile. */
static void note_attempt(struct world *w, struct str path, size_t i, const struct record *r)
{
    unsigned attempt;
    struct str below, step = step_at(path, i, &attempt, &below);
    struct attempts *a = map_get(&w->attempts, step);
    if (!a) {
        a = ARENA_NEW(&w->arena, struct attempts);
        a->path = arena_str(&w->arena, step);
        map_put(&w->attempts, a->path, a);
    }
    bool own = below.n == 0;
    if (own && r->kind != RECORD_DONE)
        attempt = r->attempt;
    if (attempt > a->current) {
        if (a->current && !a->ended)
            violate(w, "attempt %u at %.*s began though attempt %u had not ended", attempt, STR_ARG(step), a->current);
        a->current = attempt;
        a->ended = false;
    }
    if (own && (r->kind == RECORD_RESULT || r->kind == RECORD_DONE))
        a->ended = true;
    if (own && r->kind == RECORD_DONE)
        a->handled = false;
    else if (str_starts(below, STR("/on_error:")))
        a->handled = true;
}

/* "a/0/b~2/turn:1" tells of attempt 1 at a and a/0, and of attempt 2 at a/0/b. */
static void note_attempts(struct world *w, const struct record *r)
{
    bool effect = r->kind == RECORD_INTENT || r->kind == RECORD_NOTE || map_get(&w->deeds, r->path);
    for (size_t i = 1; i < r->path.n; i++)
        if (r->path.p[i] == '/')
            note_attempt(w, r->path, i, r);
    if (r->path.n && !effect && r->kind != RECORD_WRITE)
        note_attempt(w, r->path, r->path.n, r);
}

/* What a handler does must not be followed by another try at the step that it handles the failure of. */
static void check_handlers(struct world *w, struct str path)
{
    for (size_t i = 1; i < path.n; i++) {
        if (path.p[i] != '/')
            continue;
        unsigned attempt;
        struct str below, step = step_at(path, i, &attempt, &below);
        const struct attempts *a = map_get(&w->attempts, step);
        if (a && a->handled && !str_starts(below, STR("/on_error:")))
            violate(w, "%.*s is done though the failure of %.*s is being handled", STR_ARG(path), STR_ARG(step));
    }
}

static void made_durable(struct world *w, uint64_t batch)
{
    for (size_t i = 0; i < w->ndisk; i++) {
        const struct record *r = &w->disk[i].r;
        if (w->disk[i].batch != batch)
            continue;
        note_attempts(w, r);
        note_answer(w, r);
        if (r->kind == RECORD_INTENT && map_get(&w->deeds, r->path))
            deed_of(w, r->path)->never = 0;
        char key[300];
        key_of(r, key, sizeof key);
        struct str k = arena_str(&w->arena, str_c(key));
        if (!repeats(r->kind) && map_put(&w->once, k, w))
            violate(w, "record written twice: %s", key);
        if (r->kind == RECORD_RESULT && str_find(r->data, STR("{\"ok\"")) == 0) {
            struct deed *d = map_get(&w->deeds, r->path);
            if (d)
                d->committed = true;
        }
    }
    w->durable = batch;
    forget_durable(w, batch);
    struct deed **at = &w->due;
    while (*at) {
        struct deed *d = *at;
        if (d->due > batch) {
            at = &d->next_due;
            continue;
        }
        if (!d->committed)
            violate(w, "the result of %s was not recorded", d->path);
        d->due = 0;
        *at = d->next_due;
    }
}

static bool intent_durable(const struct world *w, struct str path, uint32_t attempt)
{
    char key[300];
    key_of(&(struct record){.kind = RECORD_INTENT, .path = path, .attempt = attempt}, key, sizeof key);
    return map_get(&w->once, str_c(key)) != NULL;
}
