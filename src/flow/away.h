#pragma once
/* Values that have left memory: the iterations of loops, which stay in the journal until somebody asks for them.
 *
 * In memory such a part of a result is a null marked `away`, whose text names the loop's attempt ("scan", "scan~2": the
 * path that its iterations lie below). In a record it is a plain null, and beside the value stands `refs`, which lists
 * the places: [{at: ["iterations"], of: "scan"}]. So no value that somebody else made can be taken for one.
 *
 * Everything here is pure; who reads the journal comes in through `struct away_reader`. Values are built in the given
 * arena and share what they can with their source. */
#include "base/err.h"
#include "data/record.h"
#include "data/val.h"

/* For a record with `v` in it: the list of places, or null when nothing in it is away. */
struct val away_places(struct arena *a, const struct val *v);
/* The inverse, in a value that was just read and belongs to the caller. RC_CORRUPT when a place does not exist. */
enum rc away_put(struct arena *a, struct val *v, const struct val *places, struct err *err) MUST_CHECK;

enum { AWAY_RANGE_MAX = 1 << 28 }; /* items of a range */

struct away_reader {
    void *ctx;
    /* Every durable record of the kind at the path, or else directly below it (one more part), in the order of paths
     * and, for one path, of attempts. `cb` returns false to stop; what it gets is borrowed for the call. */
    enum rc (*each)(void *ctx, enum record_kind kind, struct str path, bool below,
                    bool (*cb)(void *ctx, const struct record *r), void *cb_ctx, struct err *err);
};
/* What is away under `of`: the list of iterations, whole. RC_CORRUPT, or what the reader says. */
enum rc away_load(const struct away_reader *r, struct str of, struct arena *a, struct val *ret,
                  struct err *err) MUST_CHECK;
/* `v` with all of that in its place. */
enum rc away_expand(const struct away_reader *r, const struct val *v, struct arena *a, struct val *ret,
                    struct err *err) MUST_CHECK;

/* What a loop pinned when it began: {items: [...]}, or {range: [first, last]} for consecutive integers, which need no
 * list. The number of items (-1: neither), and one of them. */
int64_t away_item_count(const struct val *plan);
struct val away_item(const struct val *plan, int64_t index);
/* One entry of a loop's `iterations`; `result` is the object of results, or the error. */
struct val away_iteration(struct arena *a, int64_t index, struct val item, bool ok, bool skipped, struct val result);
