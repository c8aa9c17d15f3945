#pragma once
/* JSONPath (RFC 9535): queries that select nodes of a value tree.
 *
 * A query is parsed once into an arena, immutable afterwards, and shared freely. Running one burns fuel and can be done
 * in slices, so that a large document never keeps the caller long. Nodes point into the queried value, which must
 * outlive them; nothing is copied. Patterns of match() and search() are I-Regexps with the limits of data/regex.h. */
#include "base/err.h"
#include "data/val.h"

struct jsonpath;

enum {
    JSONPATH_TEXT_MAX = 64 << 10,     /* bytes of a query */
    JSONPATH_NESTING_MAX = 50,        /* filters, parentheses and calls inside one another */
    JSONPATH_FUEL = 50 * 1000 * 1000, /* a reasonable allowance for one query: some seconds */
};

/* RC_INVALID with the place, "byte N: what; what was expected". */
enum rc jsonpath_parse(struct arena *a, struct str text, const struct jsonpath **ret, struct err *err) MUST_CHECK;
/* Can it select one node at most (only names and indexes)? */
bool jsonpath_is_singular(const struct jsonpath *q);
/* RC_INVALID when a pattern written in the query is no I-Regexp. RFC 9535 lets such a query run and match nothing,
 * which no author wants: call this where an author can still be told. */
enum rc jsonpath_check_patterns(const struct jsonpath *q, struct err *err) MUST_CHECK;

struct jsonpath_place;
struct jsonpath_node {
    const struct val *v; /* NULL: no more nodes */
    const struct jsonpath_place *place;
};
/* The normalised path of a node: $['a'][0]. Only where places were asked for. */
struct str jsonpath_path(struct arena *a, const struct jsonpath_node *n);

/* A query being run. `root` and the query are borrowed until _free. `fuel` bounds the whole of it: about a node a unit.
 * With `places` every node knows its path, which takes memory in `a` for each node that is met. */
struct jsonpath_run;
struct jsonpath_run *jsonpath_run_new(const struct jsonpath *q, const struct val *root, struct arena *a, uint64_t fuel,
                                      bool places);
void jsonpath_run_free(struct jsonpath_run *r); /* NULL is fine */
/* The next node, in the order of RFC 9535. Takes what it costs from *slice; when that is used up before a node is
 * found, *more is true and ret->v NULL: call again. (One item is judged as a whole, so a slice may be overrun.)
 * RC_LIMIT when the fuel is used up. After an error or the end only _free. */
enum rc jsonpath_next(struct jsonpath_run *r, uint64_t *slice, struct jsonpath_node *ret, bool *more,
                      struct err *err) MUST_CHECK;
/* All nodes at once, as an array of values that borrow from `root`. */
enum rc jsonpath_query(const struct jsonpath *q, const struct val *root, uint64_t fuel, struct arena *a,
                       struct val *ret, struct err *err) MUST_CHECK;
