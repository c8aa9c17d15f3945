#pragma once
/* `cache` of a step: its result is that of an earlier run, where one is kept under the same key.
 *
 *   cache:key     what was decided, recorded once an attempt: {entry, ttl_ms}, or {} where the cache is not used
 *   cache:find    looks for it        found: the step ends with it
 *   cache:keep    behind a good end: keeps it for later
 *
 * Of several steps of a run that would keep the same entry only one at a time does its work (flight.c).
 *
 * step.c asks here before it enters a step's type, step_end.c before it records the step's end. */
#include "flow/frame.h"

/* Of an attempt at a step; in its state. */
struct cache_use {
    struct str entry; /* where its result is kept; empty: it does not use the cache */
    int64_t ttl_ms;
    bool asks; /* the type is to say what makes the key */
    bool hit;
    bool kept;                 /* there is something to be found now */
    bool leads, waits;         /* flight.c */
    struct frame *next;        /* which waits behind it */
    const struct val *request; /* of cache:keep, while there is a result to be kept */
    void (*go_on)(struct frame *f);
};

enum { CACHE_TAG = 0x63610000 };
static inline bool cache_is(const struct frame *child)
{
    return child->tag == CACHE_TAG || child->tag == CACHE_TAG + 1;
}

/* Decides, and looks; go_on() comes now, later, or (found, failed) not at all. An evaluation may have to be done again
 * when something has been fetched: it is called again then. */
void cache_begin(struct frame *f, void (*go_on)(struct frame *f));
/* A child that cache_is() has ended: the search. */
void cache_found(struct frame *f, struct frame *child);
/* The step has `result`, whole; where that is to be kept there is a request from now on, for cache_keep(). When its
 * child has ended, cache_kept() says false where the step has failed instead. */
void cache_take(struct frame *f, const struct val *result);
void cache_keep(struct frame *f);
bool cache_kept(struct frame *f, struct frame *child);
static inline bool cache_keeps(const struct cache_use *c)
{
    return c->entry.n && !c->hit;
}

/* flight.c: true: it may look, and do the work; false: another does it, and cache_turn() is called later. `looked`: it
 * has looked in an earlier life. */
bool flight_join(struct frame *f, bool looked);
/* It has ended, or its attempt has; safe for any frame. */
void flight_leave(struct frame *f);
void cache_turn(struct frame *f);

/* step.c */
struct cache_use *frame_cache_use(struct frame *f);
