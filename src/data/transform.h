#pragma once
/* Operations on data, one after another: filter, map, group, join and their like, over a value tree.
 *
 * A list of operations is parsed once into an arena. A run takes a value through them in slices of bounded work, so
 * that a hundred thousand items never hold up whoever drives it; every operation is linear in what it reads, or n log
 * n. Pure: names outside of the data come from the caller's scope. Values of the result borrow from the input, from
 * what the scope gave and from the run's arena. Errors: RC_EXPRESSION, RC_NOT_FOUND, RC_INVALID, RC_SCHEMA, RC_LIMIT;
 * the message begins with the operation ("operation 2 (sort): …"). */
#include "base/err.h"
#include "data/expr.h"
#include "data/val.h"

struct transform;

enum {
    TRANSFORM_OPERATIONS_MAX = 200,
    TRANSFORM_FUEL = 2000000000, /* of one run: about a minute */
    TRANSFORM_SLICE = 200000,    /* some milliseconds */
};
#define TRANSFORM_BYTES ((size_t)1 << 30) /* memory that a run may take for what it builds */

/* Every mistake is told to `report` (place as in the values); RC_INVALID when there was one. Strings in `operations`
 * that are conditions or expressions may hold `{{ }}`; others must have had their templates evaluated, or, with
 * `loose`, are not judged where they hold one. */
typedef void transform_report(void *ctx, uint32_t line, uint32_t col, const char *text);
enum rc transform_parse(struct arena *a, const struct val *operations, bool loose, transform_report *report, void *ctx,
                        const struct transform **ret) MUST_CHECK;
/* The names that the expressions read. `local` may be a field of an item; others are certainly the caller's. */
enum rc transform_each_path(const struct transform *t,
                            enum rc (*cb)(void *ctx, const struct expr_path *path, bool local, struct err *err),
                            void *ctx, struct err *err) MUST_CHECK;
/* True for the keys of an operation whose text is code of this language, which is evaluated for each item: templates in
 * them are not the caller's. */
bool transform_is_code(struct str key);

/* The names of the operations and of their keys, by number; NULL past the last. */
const char *transform_operation(size_t i);
const char *transform_key(size_t i);

struct transform_run;
/* `input` and everything that `outer` resolves to are borrowed for the run's life; so is `a`. */
struct transform_run *transform_begin(const struct transform *t, const struct val *input,
                                      const struct expr_scope *outer, struct arena *a);
/* Works for about `slice` units. *more: not done yet. */
enum rc transform_work(struct transform_run *r, uint64_t slice, bool *more, struct err *err) MUST_CHECK;
/* After transform_work() said RC_OK and no more. */
const struct val *transform_result(const struct transform_run *r);
void transform_end(struct transform_run *r); /* NULL is fine */

/* "list", "map", "number", "string", "boolean", "null": the words of results' metadata. */
const char *transform_type(const struct val *v);
