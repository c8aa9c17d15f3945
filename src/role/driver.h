#pragma once
/* What the runs of one process share: an event loop, a journal file, and the turn in which all that they appended is
 * handed to the store together.
 *
 * The driver owns the loop's turn-end hook and the store's wake-up; the loop and the store are the caller's, and
 * outlive it. Engines join and leave by themselves (role/engine.h). */
#include "ev/loop.h"
#include "store/store.h"

struct driver;
struct driven { /* one engine's place; part of it */
    struct driven *prev, *next;
    bool touched;
    void (*turn)(struct driven *d); /* may leave the driver, and end itself */
};

struct driver *driver_new(struct ev_loop *loop, struct store *store);
void driver_free(struct driver *d); /* nothing may be joined any more */
struct ev_loop *driver_loop(struct driver *d);
struct store *driver_store(struct driver *d);
/* Something happened: its turn() is called at the end of this turn of the loop, which turns once more for it. */
void driver_touch(struct driver *d, struct driven *e);
void driver_join(struct driver *d, struct driven *e);
void driver_leave(struct driver *d, struct driven *e);
