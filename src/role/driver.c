/* Only engines that were touched are visited, so a thousand runs that wait cost nothing. */
#include "role/driver.h"

#include "base/panic.h"

#include <stdlib.h>

struct driver {
    struct ev_loop *loop;
    struct store *store;
    struct ev_waker *waker;
    struct driven touched; /* a ring; `touched` is its head */
    ev_id kick;
};

static void ring_add(struct driven *head, struct driven *e)
{
    e->prev = head->prev;
    e->next = head;
    head->prev->next = e;
    head->prev = e;
}

static void ring_take(struct driven *e)
{
    e->prev->next = e->next;
    e->next->prev = e->prev;
    e->prev = e->next = NULL;
}

static void kicked(void *ctx)
{
    ((struct driver *)ctx)->kick = 0;
}

static void turn_end(void *ctx)
{
    struct driver *d = ctx;
    /* Whoever is touched during these turns is visited in the next one. */
    struct driven now = {.prev = &now, .next = &now};
    if (d->touched.next == &d->touched)
        return;
    now.next = d->touched.next;
    now.prev = d->touched.prev;
    now.next->prev = now.prev->next = &now;
    d->touched.next = d->touched.prev = &d->touched;
    while (now.next != &now) {
        struct driven *e = now.next;
        ring_take(e);
        e->touched = false;
        e->turn(e);
    }
}

static void store_ready(void *ctx)
{
    ev_wake(((struct driver *)ctx)->waker);
}

static void deliver(void *ctx)
{
    store_deliver(((struct driver *)ctx)->store);
}

struct driver *driver_new(struct ev_loop *loop, struct store *store)
{
    struct driver *d = calloc(1, sizeof *d);
    CHECK(d);
    *d = (struct driver){.loop = loop, .store = store};
    d->touched.prev = d->touched.next = &d->touched;
    d->waker = ev_waker_new(loop, deliver, d);
    store_on_ready(store, store_ready, d);
    ev_on_turn_end(loop, turn_end, d);
    return d;
}

void driver_free(struct driver *d)
{
    if (!d)
        return;
    CHECK(d->touched.next == &d->touched);
    ev_on_turn_end(d->loop, NULL, NULL);
    store_on_ready(d->store, NULL, NULL);
    ev_cancel(d->loop, d->kick);
    ev_waker_free(d->waker);
    free(d);
}

struct ev_loop *driver_loop(struct driver *d)
{
    return d->loop;
}
struct store *driver_store(struct driver *d)
{
    return d->store;
}

void driver_touch(struct driver *d, struct driven *e)
{
    if (!e->touched) {
        e->touched = true;
        ring_add(&d->touched, e);
    }
    if (!d->kick) /* makes sure that the loop turns once more */
        d->kick = ev_timer(d->loop, 0, kicked, d);
}

void driver_join(struct driver *d, struct driven *e)
{
    e->touched = false;
    driver_touch(d, e);
}

void driver_leave(struct driver *d, struct driven *e)
{
    (void)d;
    if (e->touched)
        ring_take(e);
    e->touched = false;
}
