#pragma once
/* Reads back from journals what has left memory (flow/away.h): on a pool thread with a reader of its own for a run that
 * is alive, or at once for whoever has the store at hand and nothing else to do. */
#include "flow/away.h"
#include "store/store.h"

/* A reader of the run's records through a store that the caller owns; both outlive its use. */
struct reread_source {
    struct store *store;
    struct str run;
};
struct away_reader reread_from(struct reread_source *s);

struct ev_loop;
struct reread;
/* `done` comes once for each start, from the loop (or from reread_now): the value, or the error object {class,
 * message}; borrowed for the call. `loop` NULL: nothing happens by itself. */
struct reread *reread_new(struct ev_loop *loop, void (*done)(void *ctx, uint64_t id, bool ok, const struct val *result),
                          void *ctx);
/* Waits for what is being read; no `done` comes any more. */
void reread_free(struct reread *r);
/* What the run has away under `of`, as by away_load(). `file` is its journal, NULL without a loop. All are copied. */
void reread_start(struct reread *r, uint64_t id, const char *file, struct str run, struct str of, bool whole);
/* Without a loop: carries out one that was started; false when there is none. */
bool reread_now(struct reread *r, struct store *store);
