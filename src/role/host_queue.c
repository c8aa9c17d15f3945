/* Who is next: runs that wait for a place, in the order in which they get one.
 *
 * Queued runs stand in groups (of one workflow, or one concurrency key), in the order of their priority and age. Of the
 * groups that have any, a heap has the one on top whose first run is next: not a group that has all the places it may
 * have, suspects last, then by priority, then the group with the fewest running, then the oldest. How many of a group
 * run is counted from the runs that are carried on, whenever one comes or goes. A group that has neither queued nor
 * running ones is gone, for clients name groups as they like. */
#include "role/host_int.h"

#include "base/panic.h"

#include <stdlib.h>

struct group { /* of one workflow, or one concurrency key */
    char *name;
    struct hosted *first, *last; /* queued */
    size_t running;
    size_t at; /* in the heap, if any is queued */
};

static bool run_before(const struct hosted *a, const struct hosted *b)
{
    if (a->suspect != b->suspect)
        return b->suspect;
    return a->priority != b->priority ? a->priority > b->priority : a->order < b->order;
}

static bool is_full(const struct host *h, const struct group *g)
{
    return h->o.max_per_group && g->running >= h->o.max_per_group;
}

static bool group_before(const struct host *h, const struct group *a, const struct group *b)
{
    const struct hosted *x = a->first, *y = b->first;
    if (is_full(h, a) != is_full(h, b))
        return is_full(h, b);
    if (x->suspect != y->suspect)
        return y->suspect;
    if (x->priority != y->priority)
        return x->priority > y->priority;
    return a->running != b->running ? a->running < b->running : x->order < y->order;
}

/* ---- the heap ---- */

static void put_at(struct host *h, size_t at, struct group *g)
{
    h->heap[at] = g;
    g->at = at;
}

/* The group may have become better or worse than its place says. */
static void sift(struct host *h, struct group *g)
{
    size_t at = g->at;
    for (; at && group_before(h, g, h->heap[(at - 1) / 2]); at = (at - 1) / 2)
        put_at(h, at, h->heap[(at - 1) / 2]);
    for (size_t below; (below = 2 * at + 1) < h->nheap; at = below) {
        below += below + 1 < h->nheap && group_before(h, h->heap[below + 1], h->heap[below]);
        if (!group_before(h, h->heap[below], g))
            break;
        put_at(h, at, h->heap[below]);
    }
    put_at(h, at, g);
}

static void heap_add(struct host *h, struct group *g)
{
    if (h->nheap == h->heap_cap) {
        h->heap_cap = h->heap_cap ? 2 * h->heap_cap : 16;
        h->heap = realloc(h->heap, h->heap_cap * sizeof *h->heap);
        CHECK(h->heap);
    }
    put_at(h, h->nheap++, g);
    sift(h, g);
}

static void heap_remove(struct host *h, const struct group *g)
{
    struct group *last = h->heap[--h->nheap];
    if (last == g)
        return;
    put_at(h, g->at, last);
    sift(h, last);
}

/* ---- groups ---- */

static struct group *group_of(struct host *h, const struct hosted *r)
{
    struct group *g = map_get(&h->groups, str_c(r->group));
    if (!g) {
        size_t n = strlen(r->group) + 1;
        g = calloc(1, sizeof *g + n);
        CHECK(g);
        g->name = (char *)(g + 1);
        memcpy(g->name, r->group, n);
        map_put(&h->groups, str_c(g->name), g);
    }
    return g;
}

static void drop_if_unused(struct host *h, struct group *g)
{
    if (g->first || g->running)
        return;
    map_del(&h->groups, str_c(g->name));
    free(g);
}

void host_unqueue(struct hosted *r)
{
    struct host *h = r->host;
    struct group *g = group_of(h, r);
    CHECK(r->state == HOSTED_QUEUED);
    struct hosted *first = g->first;
    *(r->prev ? &r->prev->next : &g->first) = r->next;
    *(r->next ? &r->next->prev : &g->last) = r->prev;
    r->prev = r->next = NULL;
    if (!g->first)
        heap_remove(h, g);
    else if (first != g->first)
        sift(h, g);
    drop_if_unused(h, g);
}

void host_queue(struct hosted *r)
{
    struct host *h = r->host;
    struct group *g = group_of(h, r);
    struct hosted *after = g->last;
    CHECK(r->state != HOSTED_QUEUED && !r->carried);
    r->state = HOSTED_QUEUED;
    r->due_ms = 0;
    while (after && run_before(r, after))
        after = after->prev;
    bool was_empty = !g->first;
    r->prev = after;
    r->next = after ? after->next : g->first;
    *(r->prev ? &r->prev->next : &g->first) = r;
    *(r->next ? &r->next->prev : &g->last) = r;
    if (was_empty)
        heap_add(h, g);
    else if (g->first == r)
        sift(h, g);
    host_admit_soon(h);
}

struct hosted *host_next(const struct host *h)
{
    return h->nheap && !is_full(h, h->heap[0]) ? h->heap[0]->first : NULL;
}

void host_recount(const struct hosted *r)
{
    struct host *h = r->host;
    struct group *g = group_of(h, r);
    g->running = 0;
    for (const struct carried *c = h->carried; c; c = c->next)
        g->running += strcmp(c->hosted->group, g->name) == 0;
    if (g->first)
        sift(h, g);
    drop_if_unused(h, g);
}

void host_queue_done(struct host *h)
{
    struct map_entry *e;
    for (size_t i = 0; (e = map_next(&h->groups, &i));)
        free(e->value);
    map_done(&h->groups);
    free(h->heap);
}
