#pragma once
/* Values that have left memory: the iterations of loops, and what is large in the results of other steps. They stay in
 * the journal until somebody asks for them.
 *
 * In memory such a part of a result is a null marked `away`, whose text says where it is: it names a loop's attempt
 * ("scan", "scan~2": the path that its iterations lie below; "scan#50" when these are the first fifty without a gap, so
 * that each can be found by itself, as "@7@scan"), or a step's result by the number and the path of its end
 * ("#1#test", and "#1#test#stdout" for one member of it; no path has a `#`). In a record it is a plain null, and beside
 * the value stands `refs`, which lists the places: [{at: ["iterations"], of: "scan"}]. So no value that somebody else
 * made can be taken for one.
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

/* ---- results of steps ---- */

enum { AWAY_KEEP = 4096 }; /* bytes of a result that stay in memory when nothing else is said */

/* A copy of `v`, the result that end number `end` of the step at `path` has recorded, in `a`; where it takes more than
 * `keep` bytes, without its large members, or with nothing at all. False: it is small, and nothing was copied. */
bool away_leave(struct arena *a, const struct val *v, struct str path, uint32_t end, size_t keep, struct val *ret);
/* The same with nothing of it, for what is one of very many. */
bool away_leave_all(struct arena *a, const struct val *v, struct str path, uint32_t end, size_t keep, struct val *ret);
/* Is it a part of a step's result? Then what names all of that result, and the member (p NULL: it is the whole). Of a
 * loop's iterations, the loop's attempt. */
bool away_of_result(struct str of, struct str *ret_whole, struct str *ret_member);
/* The part of the whole, or NULL. */
const struct val *away_part(const struct val *whole, struct str member);

/* ---- iterations of loops ---- */

/* Is each of them to be found by itself? Then how many there are. */
bool away_of_iterations(struct str of, int64_t *ret_count);
/* What names iteration `index` of the loop's attempt; and which one such a name means, false: it is none. */
struct str away_one(struct arena *a, struct str loop, int64_t index);
bool away_of_one(struct str of, struct str *ret_loop, int64_t *ret_index);

/* ---- reading ---- */

enum { AWAY_RANGE_MAX = 1 << 28 }; /* items of a range */

struct away_reader {
    void *ctx;
    /* Every durable record of the kind at the path, or else directly below it (one more part), in the order of paths
     * and, for one path, of attempts. `cb` returns false to stop; what it gets is borrowed for the call. */
    enum rc (*each)(void *ctx, enum record_kind kind, struct str path, bool below,
                    bool (*cb)(void *ctx, const struct record *r), void *cb_ctx, struct err *err);
};
/* What is away under `of`: a list of iterations or a result (never a member of it); of one iteration, a list of it and
 * some that follow, for readers go on. Iterations come whole; a result does if it is to be `whole`, else parts of it
 * may be away in turn, which all lie below its path. RC_CORRUPT, or what the reader says. */
enum rc away_load(const struct away_reader *r, struct str of, bool whole, struct arena *a, struct val *ret,
                  struct err *err) MUST_CHECK;
/* What belongs in the place of the away part `v` of a result; parts of it may be away in turn. */
enum rc away_take(const struct away_reader *r, const struct val *v, struct arena *a, struct val *ret,
                  struct err *err) MUST_CHECK;
/* Each of the iterations under `of`, of which away_of_iterations() has said that they can be found one by one, in
 * order; one at a time is in memory, and parts of its results may be away. `cb` returns false to stop. */
enum rc away_each(const struct away_reader *r, struct str of, bool (*cb)(void *ctx, const struct val *iteration),
                  void *ctx, struct err *err) MUST_CHECK;
/* `v` with all of that in its place. */
enum rc away_expand(const struct away_reader *r, const struct val *v, struct arena *a, struct val *ret,
                    struct err *err) MUST_CHECK;

/* What a loop pinned when it began: {items: [...]}, or {range: [first, last]} for consecutive integers, which need no
 * list. The number of items (-1: neither), and one of them. */
int64_t away_item_count(const struct val *plan);
struct val away_item(const struct val *plan, int64_t index);
/* One entry of a loop's `iterations`; `result` is the object of results, or the error. */
struct val away_iteration(struct arena *a, int64_t index, struct val item, bool ok, bool skipped, struct val result);
