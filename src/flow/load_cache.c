/* `cache` of a step, and what `cache_config` and `defaults` say for all steps.
 *
 * `cache_config: {enabled: true}` and `defaults: {cache_results: true}` mean every step that can tell by itself what
 * its result depends on: those that ask a model. Whatever a step says goes before it. */
#include "flow/load_int.h"

struct cache_reading {
    struct cache_def *d;
    struct val_map values;
};

static void cache_conditions(struct loader *l, struct cache_def *d, const struct val *v)
{
    bool list = v->type == VAL_ARRAY;
    size_t n = list ? v->arr.n : 1;
    const struct cond **conds = arena_calloc(l->a, n + 1, sizeof *conds);
    for (size_t i = 0; i < n; i++) {
        const struct cond *c = load_cond(l, list ? &v->arr.v[i] : v);
        if (c)
            conds[d->nconditions++] = c;
    }
    d->conditions = conds;
}

static void cache_scope(struct loader *l, struct cache_def *d, const struct member *m)
{
    struct str v;
    if (!load_text(l, m, &v))
        return;
    if (str_is(v, "workflow") || str_is(v, "workspace"))
        d->by_workspace = str_is(v, "workspace");
    else
        BAD(l, &m->val, "`scope` of `cache` is `%s`; expected workflow or workspace", clip(v).z);
}

static bool is_hole(const struct val *v)
{
    return v->type == VAL_STR && str_find(v->s, STR("{{")) != SIZE_MAX;
}

static void cache_ttl(struct loader *l, struct cache_reading *r, const struct member *m)
{
    int64_t ms;
    if (is_hole(&m->val))
        val_map_add(&r->values, m->key, m->val, m->line, m->col);
    else if (load_duration(l, cache_keys, m, &ms))
        r->d->ttl_ms = ms;
}

static void cache_member(struct loader *l, struct cache_reading *r, const struct member *m)
{
    if (str_is(m->key, "key")) {
        r->d->has_key = true;
        val_map_add(&r->values, m->key, load_dollars(l, &m->val), m->line, m->col);
        if (m->val.type == VAL_NULL || (m->val.type == VAL_STR && !str_trim(m->val.s).n))
            BAD(l, &m->val,
                "`key` of `cache` is empty; expected what the result depends on, as in \"{{ inputs.file }}\"");
    } else if (str_is(m->key, "ttl")) {
        cache_ttl(l, r, m);
    } else if (str_is(m->key, "conditions")) {
        cache_conditions(l, r->d, &m->val);
    } else if (str_is(m->key, "scope")) {
        cache_scope(l, r->d, m);
    } else if (str_is(m->key, "enabled")) {
        bool on;
        (void)load_bool(l, m, &on);
    } else {
        load_unknown_key(l, m, "`cache`", cache_keys, NULL);
    }
}

/* Where a step's tools, commands and files are those of a workspace, its result is too. A model without tools only
 * says something. */
static bool of_workspace(const struct step_def *s)
{
    const struct val *options = VAL_GET(s->source, "claude_options");
    return !s->type || !s->type->makes_key || VAL_GET(s->source, "allowed_tools") || VAL_GET(s->source, "tools") ||
           VAL_GET(s->source, "preset") || VAL_GET(options, "allowed_tools");
}

void load_cache(struct loader *l, struct step_def *s, const struct member *m)
{
    const struct val *enabled = VAL_GET(&m->val, "enabled");
    bool off = val_is(enabled, VAL_BOOL) && !enabled->b;
    struct cache_reading r = {.d = ARENA_NEW(l->a, struct cache_def), .values = val_map_new(l->a)};
    r.d->by_workspace = of_workspace(s);
    if (m->val.type == VAL_BOOL) {
        off = !m->val.b;
    } else if (m->val.type != VAL_OBJECT) {
        BAD(l, &m->val, "`cache` is %s; expected {key: …, ttl: …, conditions: […]}, or true", load_found(&m->val));
        return;
    }
    for (size_t i = 0; m->val.type == VAL_OBJECT && i < m->val.obj.n; i++)
        cache_member(l, &r, &m->val.obj.m[i]);
    struct val values = val_map_done(&r.values);
    values.line = m->val.line;
    values.col = m->val.col;
    if (values.obj.n)
        r.d->values = load_tree(l, &values);
    s->cache_said = true;
    s->cache = off ? NULL : r.d;
}

static const struct cache_def *default_cache(struct loader *l, const struct step_def *s)
{
    const struct val *options = VAL_GET(s->source, "claude_options");
    if (!l->w->cache.results || !s->type->makes_key || s->type->talks || VAL_GET(options, "session_id") ||
        VAL_GET(options, "resume_session"))
        return NULL;
    struct cache_def *d = ARENA_NEW(l->a, struct cache_def);
    *d = (struct cache_def){.unsaid = true};
    return d;
}

void load_cache_settle(struct loader *l, struct step_def *s, struct arena *a)
{
    const struct member *m = val_member(s->source, STR("cache"));
    if (!s->cache_said)
        s->cache = default_cache(l, s);
    if (l->w->cache.off)
        s->cache = NULL;
    if (!s->cache)
        return;
    if (s->type->acts || s->type->talks) {
        problem_add(l->ps, true, m->line, m->col,
                    "`cache` has no effect on a step of type %s, which is there for what it does", s->type->name);
        s->cache = NULL;
        return;
    }
    if (!s->cache->has_key && !s->type->makes_key) {
        problem_add(l->ps, true, m->line, m->col,
                    "`cache` has no effect without a `key` on a step of type %s; expected what its result depends on, "
                    "as in {key: \"{{ inputs.file }}\"}",
                    s->type->name);
        s->cache = NULL;
        return;
    }
    struct cache_def *d = ARENA_NEW(a, struct cache_def);
    *d = *s->cache;
    if (!d->ttl_ms)
        d->ttl_ms = l->w->cache.ttl_ms;
    s->cache = d;
}

void load_cache_config(struct loader *l, const struct member *m)
{
    const struct member *unused = NULL;
    if (!load_object(l, m))
        return;
    for (size_t i = 0; i < m->val.obj.n; i++) {
        const struct member *k = &m->val.obj.m[i];
        bool on;
        if (str_is(k->key, "enabled") && load_bool(l, k, &on)) {
            l->w->cache.results |= on;
            l->w->cache.off = !on;
        } else if (str_is(k->key, "ttl")) {
            (void)load_duration(l, cache_config_keys, k, &l->w->cache.ttl_ms);
        } else if (str_is(k->key, "max_size_mb") && load_int(l, cache_config_keys, k, &l->w->cache.max_bytes)) {
            l->w->cache.max_bytes <<= 20;
        } else if (!key_find(cache_config_keys, k->key)) {
            if (!load_misspelt_key(l, k, m->key, cache_config_keys))
                unused = unused ? unused : k;
        }
    }
    if (unused)
        problem_add(l->ps, true, unused->line, unused->col,
                    "`%s` of `cache_config` has no effect; what a kept result depends on is said by `cache: {key: …}` "
                    "of its step",
                    clip(unused->key).z);
}
