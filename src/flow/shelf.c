/* A map of entries by what names them (flow/away.h), in a list by last use. */
#include "flow/run_int.h"

#include "base/panic.h"
#include "flow/away.h"
#include "flow/shelf.h"

#include <stdlib.h>

struct shelved {
    struct shelved *prev, *next; /* towards the newest, towards the oldest */
    struct box *box;
    size_t weight;
    unsigned kept; /* by so many frames */
    size_t n;
    char of[];
};

struct keep {
    struct keep *next;
    struct shelved *entry;
};

static struct str name_of(const struct shelved *e)
{
    return str_n(e->of, e->n);
}

static void take_out(struct run *r, struct shelved *e)
{
    *(e->prev ? &e->prev->next : &r->shelf_newest) = e->next;
    *(e->next ? &e->next->prev : &r->shelf_oldest) = e->prev;
}

static void put_first(struct run *r, struct shelved *e)
{
    e->prev = NULL;
    e->next = r->shelf_newest;
    *(e->next ? &e->next->prev : &r->shelf_oldest) = e;
    r->shelf_newest = e;
}

static void drop(struct run *r, struct shelved *e)
{
    take_out(r, e);
    map_del(&r->shelf, name_of(e));
    r->shelf_bytes -= e->weight;
    box_unref(e->box);
    free(e);
}

static void shrink(struct run *r, size_t limit)
{
    for (struct shelved *e = r->shelf_oldest, *newer; e && r->shelf_bytes > limit; e = newer) {
        newer = e->prev;
        if (!e->kept)
            drop(r, e);
    }
}

static void make_room(struct run *r)
{
    shrink(r, r->shelf_limit);
}

void shelf_clear(struct run *r)
{
    if (r->shelf_limit != SIZE_MAX) /* else there is no journal to read from */
        shrink(r, 0);
}

struct box *shelf_get(struct run *r, struct str of)
{
    struct shelved *e = map_get(&r->shelf, of);
    if (!e)
        return NULL;
    take_out(r, e);
    put_first(r, e);
    return e->box;
}

void shelf_put(struct run *r, struct str of, struct box *b, size_t weight, struct frame *keep_for)
{
    struct shelved *e = map_get(&r->shelf, of);
    if (e) {
        take_out(r, e);
        box_unref(e->box);
        r->shelf_bytes -= e->weight;
    } else {
        e = calloc(1, sizeof *e + of.n + 1);
        if (!e)
            PANIC("out of memory");
        memcpy(e->of, of.p, of.n);
        e->n = of.n;
        map_put(&r->shelf, name_of(e), e);
    }
    e->box = b;
    e->weight = weight;
    r->shelf_bytes += weight;
    put_first(r, e);
    if (keep_for) {
        struct keep *k = ARENA_NEW(&keep_for->arena, struct keep);
        *k = (struct keep){.next = keep_for->keeps, .entry = e};
        keep_for->keeps = k;
        e->kept++;
    }
    make_room(r);
}

struct box *shelf_leave(struct run *r, struct str path, uint32_t end, struct box *result)
{
    struct box *rest = box_empty();
    if (!away_leave(&rest->arena, &result->val, path, end, r->keep_bytes, &rest->val)) {
        box_unref(rest);
        return result;
    }
    struct str of = arena_printf(&r->scratch, "#%u#%.*s", end, STR_ARG(path));
    shelf_put(r, of, result, result->arena.used, NULL);
    return rest;
}

struct box *child_rest(const struct frame *c)
{
    struct run *r = c->run;
    if (!c->ok || !c->end)
        return box_ref(c->result); /* an error; or an earlier life has seen it end */
    struct box *rest = box_empty();
    if (!away_leave_all(&rest->arena, &c->result->val, c->path, c->end, SHELF_REST(r->keep_bytes), &rest->val)) {
        box_unref(rest);
        return box_ref(c->result);
    }
    shelf_put(r, rest->val.s, box_ref(c->result), c->result->arena.used, NULL);
    return rest;
}

void shelf_release(struct frame *f)
{
    if (!f->keeps)
        return;
    for (struct keep *k = f->keeps; k; k = k->next)
        k->entry->kept--;
    f->keeps = NULL;
    make_room(f->run);
}

void shelf_free(struct run *r)
{
    while (r->shelf_oldest)
        drop(r, r->shelf_oldest);
    map_done(&r->shelf);
}

bool shelf_has_room(const struct run *r, size_t bytes, int64_t limit)
{
    return r->shelf_limit == SIZE_MAX || (bytes <= r->shelf_limit / SHELF_PART && (int64_t)bytes <= limit);
}

/* ---- fetching ---- */

struct fetch {
    struct str of;
    struct val request;
};

static void enter(struct frame *f)
{
    struct run *r = f->run;
    struct fetch *s = f->state;
    frame_effect_begins(f);
    r->io->effect(r->io_ctx, &(struct effect){.id = f->effect,
                                              .kind = EFFECT_LOAD,
                                              .path = f->path,
                                              .attempt = 1,
                                              .key = STR(""),
                                              .request = &s->request});
}

/* One iteration comes with some that follow it, which nobody has asked for yet. */
static void put_fetched(struct frame *f, struct str of, const struct val *v)
{
    struct str loop;
    int64_t first;
    bool one = away_of_one(of, &loop, &first);
    for (size_t i = one && v->type == VAL_ARRAY ? v->arr.n : 0; i-- > 1;) {
        struct box *b = box_new(&v->arr.v[i]);
        shelf_put(f->run, away_one(&f->run->scratch, loop, first + (int64_t)i), b, b->arena.used, NULL);
    }
    struct box *b = box_new(one ? val_at(v, 0) : v);
    shelf_put(f->run, of, b, b->arena.used, f->parent);
}

static void effect_done(struct frame *f, bool ok, const struct val *result)
{
    struct fetch *s = f->state;
    if (ok) {
        put_fetched(f, s->of, result);
        frame_end(f, true, box_new(NULL));
    } else if (f->run->aborting && f->status != FRAME_DRAINING) {
        frame_park(f);
    } else {
        frame_end(f, false,
                  f->status == FRAME_DRAINING
                      ? error_box(RC_CANCELLED, STR(""), STR("cancelled"), 1, f->path)
                      : error_box(RC_IO, STR("journal"), val_get_str(result, STR("message"), STR("")), 1, f->path));
    }
}

static void no_child(struct frame *f, struct frame *c)
{
    (void)c;
    PANIC("%.*s has no children", STR_ARG(f->path));
}

static void no_timer(struct frame *f)
{
    PANIC("%.*s has no timers", STR_ARG(f->path));
}

static const struct frame_ops fetch_ops = {
    .kind = "load", .enter = enter, .child_done = no_child, .effect_done = effect_done, .timer = no_timer};

struct frame *shelf_fetch(struct frame *f)
{
    struct run *r = f->run;
    struct frame *c = frame_new(r, f, &fetch_ops, path_join(&r->scratch, f->path, "load"));
    struct fetch *s = ARENA_NEW(&c->arena, struct fetch);
    struct val_map m = val_map_new(&c->arena);
    s->of = arena_str(&c->arena, r->wanted);
    r->wanted = str_n("", 0);
    VAL_MAP_SET(&m, "of", val_str(s->of));
    if (r->wanted_whole)
        VAL_MAP_SET(&m, "whole", val_true);
    s->request = val_map_done(&m);
    c->state = s;
    r->totals.frames--; /* nothing of the workflow's */
    run_queue(c, QUEUED_ENTER);
    return c;
}

bool shelf_is_fetch(const struct frame *child)
{
    return child->ops == &fetch_ops;
}
