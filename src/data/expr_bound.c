/* What an evaluation may use, and what it says when that is not enough or something else goes wrong.
 *
 * Every node, iteration and comparison burns fuel, every byte built is counted, and a list or object is weighed as it
 * will be when written out, not as it lies in memory: sharing makes [x, x] cheap to build and twice as large to store,
 * and a few nested lambdas would make it astronomical. Values that names resolve to were weighed when they were stored.
 *
 * Compiled patterns live in the context, not in the tree: a tree is immutable and shared between threads and belongs to
 * an arena, which frees without asking. */
#include "data/expr_int.h"

#include "base/panic.h"
#include "data/regex.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- messages ---- */

void show_text(char *out, size_t room, struct str s)
{
    size_t n = s.n, max = room - 4;
    if (n > max) {
        n = str_utf8_valid(str_n(s.p, max));
        memcpy(out + n, "…", sizeof "…");
    } else {
        out[n] = 0;
    }
    for (size_t i = 0; i < n; i++)
        out[i] = (unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7F ? ' ' : s.p[i];
}

struct shown show_src(const struct expr *n)
{
    struct shown out;
    show_text(out.z, 80, n->src);
    return out;
}

struct shown show_val(const struct val *v)
{
    struct shown out;
    char text[60];
    switch (v->type) {
    case VAL_STR:
        show_text(text, sizeof text, v->s);
        snprintf(out.z, sizeof out.z, "\"%s\"", text);
        break;
    case VAL_ARRAY:
        snprintf(out.z, sizeof out.z, "an array of %zu item%s", v->arr.n, v->arr.n == 1 ? "" : "s");
        break;
    case VAL_OBJECT:
        snprintf(out.z, sizeof out.z, "an object with %zu field%s", v->obj.n, v->obj.n == 1 ? "" : "s");
        break;
    case VAL_INT:
        snprintf(out.z, sizeof out.z, "%lld", (long long)v->i);
        break;
    case VAL_BIGINT:
        show_text(out.z, 40, v->s);
        break;
    case VAL_DOUBLE: {
        char d[32];
        size_t n = json_double_text(v->d, d);
        snprintf(out.z, sizeof out.z, "%.*s", (int)n, d);
        break;
    }
    case VAL_BOOL:
        snprintf(out.z, sizeof out.z, "%s", v->b ? "true" : "false");
        break;
    default:
        snprintf(out.z, sizeof out.z, "null");
    }
    return out;
}

const char *show_type(const struct val *v)
{
    static const char *const names[] = {
        [VAL_NULL] = "null",       [VAL_BOOL] = "a boolean", [VAL_INT] = "a number",   [VAL_BIGINT] = "a number",
        [VAL_DOUBLE] = "a number", [VAL_STR] = "a string",   [VAL_ARRAY] = "an array", [VAL_OBJECT] = "an object",
    };
    return names[v->type];
}

enum rc ev_fail(struct ev *c, const struct expr *n, enum rc code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    err_vset(c->err, code, fmt, ap);
    va_end(ap);
    return n->line ? err_wrap(c->err, "%u:%u", n->line, n->col) : code;
}

/* ---- bounds ---- */

enum { SLACK = 256 << 10 };

void ev_begin(struct ev *c, struct expr_scope *scope, struct arena *a, struct err *err)
{
    *c = (struct ev){
        .scope = scope,
        .a = a,
        .err = err,
        .max = scope->max_bytes ? scope->max_bytes : EXPR_BYTES,
        .start = a->used,
        .null_safe = scope->null_safe,
    };
    c->cache = scope->cache ? scope->cache : &c->own;
    if (!scope->fuel)
        scope->fuel = EXPR_FUEL;
}

static void cache_clear(struct expr_cache *cache)
{
    for (unsigned i = 0; i < cache->n; i++) {
        regex_free(cache->slot[i].re);
        free(cache->slot[i].pattern);
    }
    cache->n = 0;
}

void ev_end(struct ev *c)
{
    cache_clear(&c->own);
}

struct expr_cache *expr_cache_new(void)
{
    struct expr_cache *c = calloc(1, sizeof *c);
    if (!c)
        PANIC("out of memory (expressions)");
    return c;
}

void expr_cache_free(struct expr_cache *c)
{
    if (c)
        cache_clear(c);
    free(c);
}

/* Memory that nobody charged (growing lists, indexes of objects, what JSON is read into) is bounded here, generously.
 * Never leaves 0 fuel: that would mean a full tank to the next evaluation with this scope. */
enum rc expr_spend(struct ev *c, const struct expr *n, size_t units)
{
    if ((c->a->used - c->start) / 4 > c->max + SLACK)
        return ev_fail(c, n, RC_LIMIT, "`%s` needs too much memory", show_src(n).z);
    if (units < c->scope->fuel) {
        c->scope->fuel -= (unsigned)units;
        return RC_OK;
    }
    c->scope->fuel = 1;
    return ev_fail(c, n, RC_LIMIT, "`%s` takes too many steps; work on less data, or split the expression",
                   show_src(n).z);
}

enum rc ev_charge(struct ev *c, const struct expr *n, size_t bytes)
{
    if (bytes <= c->max && c->built <= c->max - bytes) {
        c->built += bytes;
        return RC_OK;
    }
    return ev_fail(c, n, RC_LIMIT, "`%s` builds more than %zu bytes", show_src(n).z, c->max);
}

enum rc ev_deeper(struct ev *c, const struct expr *n)
{
    if (++c->depth <= EXPR_VALUE_DEPTH_MAX)
        return RC_OK;
    return ev_fail(c, n, RC_LIMIT, "`%s` meets a value nested more than %d levels deep", show_src(n).z,
                   EXPR_VALUE_DEPTH_MAX);
}

struct weight {
    size_t bytes, nodes;
    unsigned depth;
};

/* False when `v` exceeds `max` bytes or EXPR_NEST_MAX levels. */
static bool weigh(const struct val *v, unsigned depth, size_t max, struct weight *w)
{
    if (depth > w->depth)
        w->depth = depth;
    w->nodes++;
    w->bytes += sizeof *v + (v->type == VAL_STR || v->type == VAL_BIGINT ? v->s.n : 0);
    if (w->bytes > max || depth > EXPR_NEST_MAX)
        return false;
    if (v->type == VAL_ARRAY)
        for (size_t i = 0; i < v->arr.n; i++)
            if (!weigh(&v->arr.v[i], depth + 1, max, w))
                return false;
    if (v->type == VAL_OBJECT)
        for (size_t i = 0; i < v->obj.n; i++) {
            w->bytes += v->obj.m[i].key.n;
            if (!weigh(&v->obj.m[i].val, depth + 1, max, w))
                return false;
        }
    return true;
}

enum rc ev_check(struct ev *c, const struct expr *n, const struct val *v)
{
    struct weight w = {0};
    if (v->type != VAL_ARRAY && v->type != VAL_OBJECT)
        return RC_OK;
    bool fits = weigh(v, 0, c->max, &w);
    TRY(expr_spend(c, n, w.nodes / 16));
    if (fits)
        return RC_OK;
    if (w.depth > EXPR_NEST_MAX)
        return ev_fail(c, n, RC_LIMIT, "`%s` is nested more than %d levels deep", show_src(n).z, EXPR_NEST_MAX);
    return ev_fail(c, n, RC_LIMIT, "`%s` would be larger than %zu bytes", show_src(n).z, c->max);
}

enum rc ev_regex(struct ev *c, const struct expr *n, struct str pattern, const struct regex **ret)
{
    enum { SLOTS = sizeof c->own.slot / sizeof *c->own.slot };
    struct expr_cache *cache = c->cache;
    for (unsigned i = 0; i < cache->n; i++)
        if (str_eq(str_n(cache->slot[i].pattern, cache->slot[i].n), pattern)) {
            *ret = cache->slot[i].re;
            return RC_OK;
        }
    struct err why;
    struct regex *re = NULL;
    TRY(expr_spend(c, n, 50 + pattern.n));
    if (pattern.n > EXPR_TEXT_MAX)
        return ev_fail(c, n, RC_LIMIT, "a regular expression may have at most %d KiB", EXPR_TEXT_MAX >> 10);
    if (regex_compile(pattern, false, &re, &why) != RC_OK)
        return ev_fail(c, n, RC_EXPRESSION, "%s", why.msg);
    unsigned slot = cache->n;
    if (slot == SLOTS) {
        regex_free(cache->slot[0].re);
        free(cache->slot[0].pattern);
        memmove(cache->slot, cache->slot + 1, sizeof cache->slot - sizeof *cache->slot);
        slot--;
    } else {
        cache->n++;
    }
    char *copy = malloc(pattern.n + 1);
    if (!copy)
        PANIC("out of memory (a pattern)");
    if (pattern.n)
        memcpy(copy, pattern.p, pattern.n);
    cache->slot[slot].pattern = copy;
    cache->slot[slot].n = pattern.n;
    cache->slot[slot].re = re;
    *ret = re;
    return RC_OK;
}
