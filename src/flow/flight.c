/* One at a time for each entry of the cache: steps of a run that would have the same result do not make it side by
 * side. The first of them leads; the others wait, and when it has ended look what is there.
 *
 *   flight_join ─ nobody leads ─▶ leads: looks, makes it, keeps it ─▶ flight_leave: the waiting look, all of them
 *        └─ somebody leads ─▶ waits                          └─ failed, or nothing is kept: the first of them leads
 *
 * Waiting is a place in a list: no slot, no process, and nothing in the journal but that no time passes (step_time.c).
 * So a new life has to find out by itself who led: whoever has looked already, by its records. Nobody else gets
 * anything before all that the journal knows has been gone through. Where the same result is asked for inside of a step
 * that makes it, waiting would never end; so only steps without steps inside wait or are waited for. */
#include "flow/cache.h"
#include "flow/run_int.h"

#include "base/fault.h"
#include "base/panic.h"

#include <stdlib.h>

struct flight {
    struct frame *leader;       /* or NULL */
    struct frame *first, *last; /* those that wait, in order (cache_use.next) */
    size_t n;
    char entry[];
};

/* Steps below it, which might ask for the very result that it makes. */
static bool has_steps(const struct step_def *d)
{
    bool has = d->nbranches || d->type->boundary || d->handler;
    for (const struct step_key *k = d->type->keys; k->name; k++)
        has |= k->kind == KEY_STEPS || k->kind == KEY_BRANCHES || k->kind == KEY_TASKS;
    return has;
}

static struct flight *flight_get(struct run *r, struct str entry)
{
    struct flight *g = map_get(&r->flights, entry);
    if (g)
        return g;
    g = calloc(1, sizeof *g + entry.n);
    if (!g)
        PANIC("out of memory");
    memcpy(g->entry, entry.p, entry.n);
    g->n = entry.n;
    map_put(&r->flights, str_n(g->entry, g->n), g);
    return g;
}

static void drop_if_empty(struct run *r, struct flight *g)
{
    if (g->leader || g->first)
        return;
    map_del(&r->flights, str_n(g->entry, g->n));
    free(g);
}

static struct frame *take_first(struct flight *g)
{
    struct frame *f = g->first;
    g->first = frame_cache_use(f)->next;
    if (!g->first)
        g->last = NULL;
    frame_cache_use(f)->waits = false;
    frame_cache_use(f)->next = NULL;
    return f;
}

static void lead(struct flight *g, struct frame *f)
{
    g->leader = f;
    frame_cache_use(f)->leads = true;
}

static void wait(struct flight *g, struct frame *f)
{
    struct cache_use *c = frame_cache_use(f);
    c->waits = true;
    c->next = NULL;
    if (g->last)
        frame_cache_use(g->last)->next = f;
    else
        g->first = f;
    g->last = f;
    frame_event(f, EVENT_NOTE, "waits for the result that another step is making", NULL);
}

bool flight_join(struct frame *f, bool looked)
{
    struct cache_use *c = frame_cache_use(f);
    struct run *r = f->run;
    if (has_steps(f->def) || fault_hit("flight.apart")) /* a seeded bug for the simulation to catch */
        return true;
    struct flight *g = flight_get(r, c->entry);
    if (looked || (!g->leader && !g->first && !r->walking)) {
        if (!g->leader)
            lead(g, f);
        return true;
    }
    wait(g, f);
    if (!r->qhead)
        r->io->wake(r->io_ctx);
    return false;
}

void flight_leave(struct frame *f)
{
    struct cache_use *c = f->ops == &step_ops && f->state ? frame_cache_use(f) : NULL;
    struct run *r = f->run;
    struct flight *g = c && (c->leads || c->waits) ? map_get(&r->flights, c->entry) : NULL;
    if (!g)
        return;
    if (c->waits) {
        struct frame *before = NULL;
        for (struct frame *w = g->first; w != f; w = frame_cache_use(w)->next)
            before = w;
        *(before ? &frame_cache_use(before)->next : &g->first) = c->next;
        if (g->last == f)
            g->last = before;
        c->waits = false;
    } else if (c->leads) {
        c->leads = false;
        g->leader = NULL;
        while (c->kept && g->first)
            run_queue(take_first(g), QUEUED_CACHE);
    }
    if (g->first && !r->qhead)
        r->io->wake(r->io_ctx);
    drop_if_empty(r, g);
}

bool flight_grant(struct run *r)
{
    struct map_entry *e;
    bool any = false;
    for (size_t i = 0; r->flights.n && (e = map_next(&r->flights, &i));) {
        struct flight *g = e->value;
        if (g->leader || !g->first)
            continue;
        struct frame *f = take_first(g);
        lead(g, f);
        run_queue(f, QUEUED_CACHE);
        any = true;
    }
    return any;
}

void flights_rest(const struct run *r)
{
    struct map_entry *e;
    for (size_t i = 0; r->flights.n && (e = map_next(&r->flights, &i));)
        for (struct frame *f = ((const struct flight *)e->value)->first; f; f = frame_cache_use(f)->next)
            steps_rest(f);
}

void flights_free(struct run *r)
{
    struct map_entry *e;
    for (size_t i = 0; (e = map_next(&r->flights, &i));)
        free(e->value);
    map_done(&r->flights);
}
