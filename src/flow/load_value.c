/* Single values: each reader takes one member, reports what is wrong with it at its place, and says whether it is
 * usable. Blocks with keys of their own (budget, limits, retry) are read through their tables in load_keys.c.
 *
 * YAML guesses types from the look of plain scalars, so the commonest mistake is text that became a number or a
 * boolean; the messages therefore name what YAML made of it and tell to put it in quotes. */
#include "data/expr.h"
#include "flow/load_int.h"
#include "flow/range.h"

#include <math.h>

static bool wrong(struct loader *l, const struct member *m, const char *expected)
{
    BAD(l, &m->val, "`%s` is %s; expected %s", clip(m->key).z, load_found(&m->val), expected);
    return false;
}

bool load_text(struct loader *l, const struct member *m, struct str *ret)
{
    if (m->val.type == VAL_STR) {
        *ret = m->val.s;
        return true;
    }
    bool scalar = m->val.type != VAL_NULL && m->val.type != VAL_ARRAY && m->val.type != VAL_OBJECT;
    return wrong(l, m, scalar ? "text: put it in quotes" : "text");
}

bool load_bool(struct loader *l, const struct member *m, bool *ret)
{
    if (m->val.type != VAL_BOOL)
        return wrong(l, m, "true or false");
    *ret = m->val.b;
    return true;
}

/* ---- numbers, each by the row of its key ---- */

bool load_number(struct loader *l, const struct step_key *table, const struct member *m, double *ret)
{
    struct err err;
    if (key_number(m->key, key_ranged(table, key_find(table, m->key)), &m->val, ret, &err) == RC_OK)
        return true;
    if (m->val.type == VAL_STR && str_find(m->val.s, STR("{{")) != SIZE_MAX)
        BAD(l, &m->val, "`%s` cannot be a template, for it counts before the step starts; expected a number",
            clip(m->key).z);
    else
        BAD(l, &m->val, "%s", err.msg);
    return false;
}

bool load_int(struct loader *l, const struct step_key *table, const struct member *m, int64_t *ret)
{
    double d;
    if (!load_number(l, table, m, &d))
        return false;
    *ret = m->val.i;
    return true;
}

bool load_duration(struct loader *l, const struct step_key *table, const struct member *m, int64_t *ret_ms)
{
    double d;
    if (!load_number(l, table, m, &d))
        return false;
    *ret_ms = key_ms(key_find(table, m->key), d);
    return true;
}

static bool load_size(struct loader *l, const struct step_key *table, const struct member *m, int64_t *ret)
{
    double d;
    if (!load_number(l, table, m, &d))
        return false;
    *ret = (int64_t)d;
    return true;
}

bool load_object(struct loader *l, const struct member *m)
{
    return m->val.type == VAL_OBJECT || wrong(l, m, "a map");
}

static bool variable_name(struct str s)
{
    if (s.n == 0 || s.n > LOAD_NAME_MAX || (s.p[0] >= '0' && s.p[0] <= '9'))
        return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'))
            return false;
    }
    return true;
}

bool load_names(struct loader *l, const struct member *m, const struct str **ret, size_t *n)
{
    const struct val *v = &m->val;
    if (v->type != VAL_STR && v->type != VAL_ARRAY)
        return wrong(l, m, "a list of names of environment variables");
    size_t count = v->type == VAL_STR ? 1 : v->arr.n;
    if (count > LOAD_NAMES_MAX) {
        BAD(l, v, "%zu names in `%s`; expected at most %d", count, clip(m->key).z, LOAD_NAMES_MAX);
        return false;
    }
    struct str *names = arena_calloc(l->a, count ? count : 1, sizeof *names);
    *n = 0;
    for (size_t i = 0; i < count; i++) {
        const struct val *item = v->type == VAL_STR ? v : &v->arr.v[i];
        if (item->type != VAL_STR || !variable_name(item->s))
            BAD(l, item, "`%s` in `%s` is no name of an environment variable; expected letters, digits and `_`",
                item->type == VAL_STR ? clip(item->s).z : load_found(item), clip(m->key).z);
        else
            names[(*n)++] = item->s;
    }
    *ret = names;
    return true;
}

/* ---- blocks ---- */

void load_budget(struct loader *l, const struct member *m, struct budget *ret)
{
    if (val_is_number(&m->val)) {
        BAD(l, &m->val, "`%s` is %s; expected {usd: …} or {tokens: …}", clip(m->key).z, load_found(&m->val));
        return;
    }
    if (!load_object(l, m))
        return;
    for (size_t i = 0; i < m->val.obj.n; i++) {
        const struct member *k = &m->val.obj.m[i];
        if (str_is(k->key, "usd"))
            (void)load_number(l, budget_keys, k, &ret->usd);
        else if (str_is(k->key, "tokens"))
            (void)load_int(l, budget_keys, k, &ret->tokens);
        else
            load_unknown_key(l, k, "`budget`", budget_keys, NULL);
    }
}

void load_limits(struct loader *l, const struct member *m, struct run_limits *ret)
{
    if (!load_object(l, m))
        return;
    for (size_t i = 0; i < m->val.obj.n; i++) {
        const struct member *k = &m->val.obj.m[i];
        if (str_is(k->key, "wall"))
            (void)load_duration(l, limit_keys, k, &ret->wall_ms);
        else if (str_is(k->key, "frames"))
            (void)load_int(l, limit_keys, k, &ret->frames);
        else if (str_is(k->key, "memory"))
            (void)load_size(l, limit_keys, k, &ret->memory);
        else if (str_is(k->key, "journal"))
            (void)load_size(l, limit_keys, k, &ret->journal);
        else if (str_is(k->key, "output"))
            (void)load_size(l, limit_keys, k, &ret->output);
        else if (str_is(k->key, "workspace"))
            (void)load_size(l, limit_keys, k, &ret->workspace);
        else if (str_is(k->key, "max_parallel"))
            (void)load_int(l, limit_keys, k, &ret->max_parallel);
        else if (str_is(k->key, "max_depth"))
            (void)load_int(l, limit_keys, k, &ret->max_depth);
        else
            load_unknown_key(l, k, "`limits`", limit_keys, NULL);
    }
}

static void load_retry_class(struct loader *l, const struct val *v, bool old, uint64_t *on)
{
    if (v->type != VAL_STR) {
        BAD(l, v, "a class of errors is %s; expected a name such as timeout or rate_limit", load_found(v));
        return;
    }
    if (retry_class(v->s, on))
        return;
    struct nearest near = {.want = v->s};
    uint64_t any = 0;
    for (int i = 0; i < RC_COUNT; i++)
        if (retry_class(str_c(rc_name((enum rc)i)), &any))
            nearest_try(&near, str_c(rc_name((enum rc)i)));
    nearest_try(&near, STR("any"));
    /* older workflows list words to be looked for in messages */
    problem_add(l->ps, old, v->line, v->col, "unknown class of errors `%s`; %s", clip(v->s).z,
                load_hint(l, &near, "expected any, or names such as timeout, rate_limit, overloaded, network, server"));
}

void load_retry_on(struct loader *l, const struct member *m, uint64_t *on)
{
    bool old = !str_is(m->key, "on");
    *on = 0;
    if (m->val.type == VAL_STR)
        load_retry_class(l, &m->val, old, on);
    else if (m->val.type == VAL_ARRAY)
        for (size_t i = 0; i < m->val.arr.n; i++)
            load_retry_class(l, &m->val.arr.v[i], old, on);
    else
        wrong(l, m, "a list of classes of errors, such as [timeout, rate_limit]");
}

static void retry_backoff(struct loader *l, const struct member *m, struct retry_policy *ret)
{
    struct str s;
    if (!load_text(l, m, &s))
        return;
    if (str_is(s, "exponential"))
        ret->backoff = BACKOFF_EXPONENTIAL;
    else if (str_is(s, "linear"))
        ret->backoff = BACKOFF_LINEAR;
    else if (str_is(s, "fixed") || str_is(s, "constant"))
        ret->backoff = BACKOFF_FIXED;
    else
        BAD(l, &m->val, "unknown backoff `%s`; expected exponential, linear or fixed", clip(s).z);
}

struct retry_policy load_retry_default(void)
{
    return (struct retry_policy){.max_attempts = 1,
                                 .backoff = BACKOFF_EXPONENTIAL,
                                 .delay_ms = 1000,
                                 .max_delay_ms = 30000,
                                 .factor = 2,
                                 .jitter = true};
}

void load_retries(struct loader *l, const struct step_key *table, const struct member *m, struct retry_policy *ret)
{
    if (load_int(l, table, m, &ret->max_attempts))
        ret->max_attempts++;
    ret->set = true;
}

static void retry_key(struct loader *l, const struct member *k, struct retry_policy *ret)
{
    const struct step_key *row = key_find(retry_keys, k->key);
    const char *real = row ? key_canonical(retry_keys, row)->name : "";
    if (str_is(k->key, "max_attempts"))
        (void)load_int(l, retry_keys, k, &ret->max_attempts);
    else if (str_is(k->key, "max_retries"))
        load_retries(l, retry_keys, k, ret);
    else if (strcmp(real, "delay") == 0)
        (void)load_duration(l, retry_keys, k, &ret->delay_ms);
    else if (strcmp(real, "max_delay") == 0)
        (void)load_duration(l, retry_keys, k, &ret->max_delay_ms);
    else if (strcmp(real, "backoff") == 0)
        retry_backoff(l, k, ret);
    else if (str_is(k->key, "backoff_factor"))
        (void)load_number(l, retry_keys, k, &ret->factor);
    else if (strcmp(real, "jitter") == 0)
        (void)load_bool(l, k, &ret->jitter);
    else if (str_is(k->key, "increase_timeout"))
        (void)load_bool(l, k, &ret->longer);
    else if (strcmp(real, "on") == 0)
        load_retry_on(l, k, &ret->on);
    else if (str_is(k->key, "fallback_action"))
        WARN(l, &k->val, "`fallback_action` has no effect here; write on_error");
    else
        load_unknown_key(l, k, "`retry`", retry_keys, NULL);
}

void load_retry(struct loader *l, const struct member *m, struct retry_policy *ret)
{
    *ret = load_retry_default();
    ret->set = true;
    if (m->val.type == VAL_BOOL) {
        ret->max_attempts = m->val.b ? 3 : 1;
        return;
    }
    if (m->val.type == VAL_INT) {
        const struct member attempts = {STR("max_attempts"), m->val, m->line, m->col};
        (void)load_int(l, retry_keys, &attempts, &ret->max_attempts);
        return;
    }
    if (m->val.type != VAL_OBJECT) {
        wrong(l, m, "a number of attempts, or {max_attempts: …, delay: …, on: […]}");
        return;
    }
    ret->max_attempts = 3;
    bool delay_given = false, max_given = false;
    for (size_t i = 0; i < m->val.obj.n; i++) {
        const struct member *k = &m->val.obj.m[i];
        retry_key(l, k, ret);
        delay_given |= str_is(k->key, "delay") || str_is(k->key, "base_delay_ms");
        max_given |= str_is(k->key, "max_delay") || str_is(k->key, "max_delay_ms");
    }
    if (ret->max_delay_ms < ret->delay_ms) {
        if (delay_given && max_given)
            BAD(l, &m->val, "`max_delay` is shorter than `delay`; expected it to be at least as long");
        else if (delay_given)
            ret->max_delay_ms = ret->delay_ms;
        else
            ret->delay_ms = ret->max_delay_ms;
    }
}

/* ---- templates and conditions ---- */

static size_t bad_templates(struct loader *l, struct arena *scratch, const struct val *v)
{
    size_t bad = 0;
    if (v->type == VAL_ARRAY) {
        for (size_t i = 0; i < v->arr.n; i++)
            bad += bad_templates(l, scratch, &v->arr.v[i]);
    } else if (v->type == VAL_OBJECT) {
        for (size_t i = 0; i < v->obj.n; i++)
            bad += bad_templates(l, scratch, &v->obj.m[i].val);
    } else if (v->type == VAL_STR && str_find(v->s, STR("{{")) != SIZE_MAX) {
        struct err err;
        const struct tmpl *t;
        if (tmpl_parse(scratch, v->s, v->line, v->col, &t, &err) != RC_OK) {
            load_bad_err(l, v, &err);
            bad++;
        }
    }
    return bad;
}

const struct tmpl_tree *load_tree(struct loader *l, const struct val *v)
{
    struct val *placed = ARENA_NEW(l->a, struct val);
    *placed = places_content(&l->places, l->a, v);
    struct arena scratch = {0};
    size_t bad = bad_templates(l, &scratch, placed);
    arena_done(&scratch);
    const struct tmpl_tree *t;
    struct err err;
    if (bad)
        return NULL;
    if (tmpl_tree_parse(l->a, placed, &t, &err) == RC_OK)
        return t;
    load_bad_err(l, placed, &err);
    return NULL;
}

const struct cond *load_cond(struct loader *l, const struct val *v)
{
    struct val placed = places_content(&l->places, l->a, v);
    const struct cond *c;
    struct err err;
    if (cond_parse(l->a, &placed, &c, &err) == RC_OK)
        return c;
    load_bad_err(l, &placed, &err);
    return NULL;
}
