#pragma once
/* The expression language: one for templates, conditions, loops and (later) transforms.
 *
 *   literals     1  2.5  "a"  'a'  true false null  [a, b]  {"k": v, k2: v}
 *   paths        inputs.x   steps.scan.files[0].name   list[-1]   a["key"]   loop.parent.item
 *   operators    ? :   ||   or   and   not   == != < <= > >=   contains matches in not_in starts_with ends_with
 *                between A and B   exists  empty (postfix)   + -   * / %   unary -   call f(x)   (low to high)
 *   `a || b`     a, or b when a is unknown, null or absent (an unknown name on the left is no error)
 *   `exists(p)`, `p exists`, `p empty`     ask about a path without failing
 *
 * Arithmetic is exact on integers (overflow is an error, `/` gives a double unless both are integers that divide
 * evenly,
 * `%` has the sign of the divisor), otherwise double. `+` joins strings and lists. Ordering compares numbers with
 * numbers and strings with strings; anything else with null is false. Types never convert silently: "1" == 1 is false.
 * Functions are listed in expr_functions.def (name, arity, meaning).
 *
 * An expression is parsed once, immutable afterwards, and shared freely. Evaluation burns fuel. */
#include "base/err.h"
#include "data/val.h"

struct expr; /* owned by the arena it was parsed into */

/* `line`,`col`: where the text stands in its file, for messages and for positions of its parts (0 = unknown). The
 * message starts with "line:col: " counted in that file when line > 0. RC_EXPRESSION. */
enum rc expr_parse(struct arena *a, struct str text, uint32_t line, uint32_t col, const struct expr **ret,
                   struct err *err) MUST_CHECK;

/* One segment of a path as written: `.name` or `["name"]` (constant), or an index whose value is computed. */
struct expr_seg {
    struct str name;          /* constant key; p == NULL when it is `index` */
    const struct expr *index; /* computed key or position */
};
struct expr_path {
    const struct expr_seg *seg; /* seg[0] is the head name */
    size_t n;
    uint32_t line, col;
};

/* What names mean is the caller's business. The evaluator offers the path with computed keys already evaluated
 * (`key[i]`: VAL_STR or VAL_INT); the callback resolves as many leading segments as it likes, at least the head.
 *   RC_OK         *ret is set (borrowed, must live until evaluation ends), *ret_used segments were resolved (>= 1)
 *   RC_NOT_FOUND  the name is unknown: err says what was looked for and the nearest name. An error for the expression,
 *                 except under `||`, exists and empty
 *   others        abort the evaluation
 * Remaining segments are looked up by the evaluator in the value: a missing field of an object or an index out of range
 * is RC_NOT_FOUND too; a field of a null value is null inside conditions (see `null_safe`). */
struct expr_scope {
    enum rc (*resolve)(void *ctx, const struct val *key, size_t nkeys, struct arena *a, const struct val **ret,
                       size_t *ret_used, struct err *err);
    /* May be NULL. How many items the list at the path has, where that is known without the list itself; false: it is
     * not, and the list is asked for. Whoever says so resolves the path with one more segment, an index, as well. */
    bool (*count)(void *ctx, const struct val *key, size_t nkeys, struct arena *a, int64_t *ret);
    /* May be NULL. The names of the fields of the object at the path, a list of texts, where they are known without the
     * object itself; false: they are not, and the object is asked for. */
    bool (*fields)(void *ctx, const struct val *key, size_t nkeys, struct arena *a, struct val *ret);
    /* May be NULL. What an object that has no field `key[at]`, a text, answers in its place, or NULL: it is missing.
     * The keys before are those that led to it, as far as the expression says. */
    const struct val *(*lacking)(void *ctx, const struct val *object, const struct val *key, size_t at,
                                 struct arena *a);
    void *ctx;
    bool null_safe;   /* conditions: unknown fields are null instead of errors (head names must still be known) */
    int64_t now_ms;   /* for now(), date arithmetic */
    unsigned fuel;    /* evaluation steps that are left; counted down; 0 on entry means 1,000,000 */
    size_t max_bytes; /* largest value that may be built; 0 means 64 MiB */
    struct expr_cache *cache; /* for one expression evaluated many times; NULL: none. See expr_cache_new */
};

/* Keeps compiled patterns between evaluations. Not shared between threads. */
struct expr_cache *expr_cache_new(void);
void expr_cache_free(struct expr_cache *c); /* NULL is fine */

/* *ret may borrow from what resolve() gave and from `a`; copy it to keep it. RC_EXPRESSION, RC_NOT_FOUND, RC_LIMIT. */
enum rc expr_eval(const struct expr *e, struct expr_scope *scope, struct arena *a, struct val *ret,
                  struct err *err) MUST_CHECK;

/* Calls `cb` for each path in `e`, for checks before a run. `soft` is true under `||`, exists and empty, and where
 * these were asked about the same path first: `x exists ? x : 1`. Stops and returns the first rc that is not RC_OK. */
enum rc expr_each_path(const struct expr *e,
                       enum rc (*cb)(void *ctx, const struct expr_path *path, bool soft, struct err *err), void *ctx,
                       struct err *err) MUST_CHECK;
/* What another language's name of a constant (`True`, `nil`) is here, or NULL: for messages about unknown names. */
const char *expr_foreign_name(struct str name);
/* True when `e` can only be true or false (or fail): a comparison, `and`, `exists`, … */
bool expr_is_logic(const struct expr *e);
/* The nodes of `text` that can be known without running: true and the value if `e` is constant. */
bool expr_constant(const struct expr *e, struct arena *a, struct val *ret);
