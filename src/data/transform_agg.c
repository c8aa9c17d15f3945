/* Sums, means, extremes, spreads: fed one value after another. Nulls are left out.
 *
 * Sums of integers are integers as long as they fit. Mean and variance are Welford's, so that large values do not
 * cancel each other out; variance and standard deviation are those of the population. Of nothing, sum, average, min and
 * max are 0, first and last null. */
#include "data/transform_int.h"

#include <math.h>

static const struct {
    const char *name;
    enum agg_fn fn;
} names[] = {
    {"sum", AGG_SUM},           {"average", AGG_AVERAGE},
    {"avg", AGG_AVERAGE},       {"mean", AGG_AVERAGE},
    {"min", AGG_MIN},           {"max", AGG_MAX},
    {"count", AGG_COUNT},       {"count_distinct", AGG_COUNT_DISTINCT},
    {"std_dev", AGG_STD_DEV},   {"stddev", AGG_STD_DEV},
    {"variance", AGG_VARIANCE}, {"first", AGG_FIRST},
    {"last", AGG_LAST},         {"unique", AGG_UNIQUE},
};

const char *agg_name(enum agg_fn fn)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].fn == fn)
            return names[i].name;
    return "aggregate";
}

enum agg_fn agg_find(struct str name, const char **nearest)
{
    unsigned best = 1 + (unsigned)(name.n / 4);
    *nearest = NULL;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (str_is(name, names[i].name))
            return names[i].fn;
        unsigned d = str_distance(name, str_c(names[i].name), best);
        if (d <= best && (!*nearest || d < best)) {
            best = d;
            *nearest = names[i].name;
        }
    }
    return AGG_NONE;
}

struct agg *agg_new(struct transform_run *r, enum agg_fn fn)
{
    struct agg *g = ARENA_NEW(r->a, struct agg);
    g->fn = fn;
    g->whole = true;
    g->list = val_list_new(r->a);
    if (fn == AGG_UNIQUE || fn == AGG_COUNT_DISTINCT)
        g->seen = t_table(r);
    return g;
}

static enum rc add_number(struct transform_run *r, struct agg *g, const struct val *v)
{
    double d = val_to_double(v, 0);
    if (!val_is_number(v))
        return t_fail(r, RC_EXPRESSION, "needs numbers, but there is a %s; filter the list first", transform_type(v));
    g->whole = g->whole && v->type == VAL_INT && !__builtin_add_overflow(g->isum, v->i, &g->isum);
    g->sum += d;
    double delta = d - g->mean;
    g->mean += delta / (double)g->n;
    g->m2 += delta * (d - g->mean);
    return RC_OK;
}

static enum rc add_extreme(struct transform_run *r, struct agg *g, const struct val *v)
{
    int cmp = 0;
    if (g->best) {
        enum rc rc = t_order(r, v, g->best, &cmp);
        if (rc != RC_OK)
            return rc;
    }
    if (!g->best || (g->fn == AGG_MIN ? cmp < 0 : cmp > 0))
        g->best = v;
    return RC_OK;
}

enum rc agg_add(struct transform_run *r, struct agg *g, const struct val *v)
{
    if (v->type == VAL_NULL)
        return RC_OK;
    g->n++;
    switch (g->fn) {
    case AGG_SUM:
    case AGG_AVERAGE:
    case AGG_STD_DEV:
    case AGG_VARIANCE:
        return add_number(r, g, v);
    case AGG_MIN:
    case AGG_MAX:
        return add_extreme(r, g, v);
    case AGG_FIRST:
        g->best = g->best ? g->best : v;
        return RC_OK;
    case AGG_LAST:
        g->best = v;
        return RC_OK;
    case AGG_UNIQUE:
    case AGG_COUNT_DISTINCT: {
        struct str key = t_key(r, v);
        if (!map_get(&g->seen->map, key)) {
            map_put(&g->seen->map, key, g);
            if (g->fn == AGG_UNIQUE)
                val_list_push(&g->list, *v);
        }
        return t_spend(r, 1 + key.n / 64);
    }
    case AGG_COUNT:
    case AGG_NONE:
        break;
    }
    return RC_OK;
}

struct val agg_value(struct agg *g)
{
    double n = (double)g->n;
    switch (g->fn) {
    case AGG_SUM:
        return g->whole ? val_int(g->isum) : val_double(g->sum);
    case AGG_AVERAGE:
        return g->n ? val_double(g->sum / n) : val_int(0);
    case AGG_VARIANCE:
        return g->n ? val_double(g->m2 / n) : val_int(0);
    case AGG_STD_DEV:
        return g->n ? val_double(sqrt(g->m2 / n)) : val_int(0);
    case AGG_MIN:
    case AGG_MAX:
        return g->best ? *g->best : val_int(0);
    case AGG_FIRST:
    case AGG_LAST:
        return g->best ? *g->best : val_null;
    case AGG_COUNT:
        return val_int(g->n);
    case AGG_COUNT_DISTINCT:
        return val_int((int64_t)g->seen->map.n);
    case AGG_UNIQUE:
        return val_list_done(&g->list);
    case AGG_NONE:
        break;
    }
    return val_null;
}
