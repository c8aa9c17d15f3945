/* Keys that every step has: what they say becomes fields of the step's definition.
 *
 * Two spellings of one thing in one step (timeout and timeout_seconds) contradict each other sooner or later; they are
 * refused. References to siblings are only noted here and resolved in load_graph.c. */
#include "data/schema.h"
#include "data/schema_short.h"
#include "flow/load_int.h"

static void on_error_steps(struct loader *l, struct step_def *s, const struct val *v, unsigned depth)
{
    s->on_error = ON_ERROR_STEPS;
    s->handler = load_list(l, v, s, STR(""), depth + 1);
}

static void on_error(struct loader *l, struct step_def *s, struct common *c, const struct member *m, unsigned depth)
{
    static const char expected[] = "expected fail, continue, {goto: STEP} or {steps: [...]}";
    const struct val *v = &m->val;
    const struct member *k = v->type == VAL_OBJECT && v->obj.n == 1 ? &v->obj.m[0] : NULL;
    if (v->type == VAL_STR && str_is(v->s, "fail")) {
        s->on_error = ON_ERROR_FAIL;
    } else if (v->type == VAL_STR && str_is(v->s, "continue")) {
        s->on_error = ON_ERROR_CONTINUE;
    } else if (v->type == VAL_ARRAY) {
        on_error_steps(l, s, v, depth);
    } else if (k && str_is(k->key, "steps")) {
        on_error_steps(l, s, &k->val, depth);
    } else if (k && str_is(k->key, "goto")) {
        struct str name;
        if (load_text(l, k, &name)) {
            s->on_error = ON_ERROR_GOTO;
            c->goto_step = k;
        }
    } else if (v->type == VAL_STR) {
        struct nearest near = {.want = v->s};
        nearest_try(&near, STR("fail"));
        nearest_try(&near, STR("continue"));
        BAD(l, v, "`on_error` is `%s`; %s", clip(v->s).z, load_hint(l, &near, expected));
    } else {
        BAD(l, v, "`on_error` is %s; %s", v->type == VAL_OBJECT ? "a map of something else" : load_found(v), expected);
    }
}

static void on_interrupt(struct loader *l, struct step_def *s, const struct member *m)
{
    struct str v;
    if (!load_text(l, m, &v))
        return;
    if (str_is(v, "retry"))
        s->on_interrupt = ON_INTERRUPT_RETRY;
    else if (str_is(v, "hold"))
        s->on_interrupt = ON_INTERRUPT_HOLD;
    else if (str_is(v, "fail"))
        s->on_interrupt = ON_INTERRUPT_FAIL;
    else
        BAD(l, &m->val, "`on_interrupt` is `%s`; expected retry, hold or fail", clip(v).z);
}

static void output_to_file(struct loader *l, struct step_def *s, const struct member *m)
{
    struct str path;
    if (!load_text(l, m, &path))
        return;
    bool up = str_is(path, "..") || str_starts(path, STR("../")) || str_ends(path, STR("/..")) ||
              str_find(path, STR("/../")) != SIZE_MAX;
    if (path.n == 0 || path.p[0] == '/' || up || memchr(path.p, 0, path.n)) {
        BAD(l, &m->val, "`output_to_file` is `%s`; expected a path inside output_dir, without a leading `/` and `..`",
            clip(path).z);
        return;
    }
    struct val path_or_holes = load_dollars(l, &m->val), v = places_content(&l->places, l->a, &path_or_holes);
    struct err err;
    if (tmpl_parse(l->a, v.s, v.line, v.col, &s->output_to_file, &err) != RC_OK)
        load_bad_err(l, &v, &err);
}

/* The part of a schema that a message "/properties/a: …" is about, as far as it can be followed. */
static const struct val *schema_part(const struct val *v, struct str msg)
{
    while (msg.n && msg.p[0] == '/') {
        size_t n = 1;
        while (n < msg.n && msg.p[n] != '/' && msg.p[n] != ':')
            n++;
        struct str key = str_n(msg.p + 1, n - 1);
        int64_t i;
        const struct val *inner =
            v->type == VAL_ARRAY && str_to_i64(key, &i) && i >= 0 ? val_at(v, (size_t)i) : val_get(v, key);
        if (!inner)
            return v;
        v = inner;
        msg = str_from(msg, n);
    }
    return v;
}

static void output_schema(struct loader *l, struct step_def *s, const struct member *m)
{
    struct err err;
    const struct member *old = NULL;
    const struct val *schema = m->val.type == VAL_OBJECT ? schema_respelt(l->a, &m->val, &old) : &m->val;
    if (old)
        WARN(l, &old->val, "`%s` is an older form; expected `%s`", clip(old->key).z,
             str_is(old->key, "min_length") ? "minLength" : "maxLength");
    if (m->val.type == VAL_STR) {
        s->output_schema = schema_named(l->a, m->val.s);
        struct nearest near = {.want = m->val.s};
        for (size_t i = 0; schema_name_at(i) && !s->output_schema; i++)
            nearest_try(&near, str_c(schema_name_at(i)));
        if (!s->output_schema)
            BAD(l, &m->val, "`output_schema` is text that names no known schema, `%s`; %s", clip(m->val.s).z,
                load_hint(l, &near,
                          "expected a JSON Schema such as {type: object, properties: {…}}, or a known name "
                          "such as analysis_result"));
    } else if (m->val.type != VAL_OBJECT)
        BAD(l, &m->val, "`output_schema` is %s; expected a JSON Schema such as {type: object, properties: {…}}",
            load_found(&m->val));
    else if (schema_valid(schema, &err) != RC_OK)
        BAD(l, schema_part(schema, str_c(err.msg)), "`output_schema`: %s", err.msg);
    else
        s->output_schema = schema;
    if (s->output_schema && schema_says_nothing(s->output_schema))
        WARN(
            l, &m->val,
            "`output_schema` has no keyword of JSON Schema and accepts everything; expected {type: object, properties: "
            "{%s: …}}",
            clip(s->output_schema->obj.m[0].key).z);
}

static const struct step_variable *named_trees(struct loader *l, const struct member *m, size_t *ret_n)
{
    if (!load_object(l, m))
        return NULL;
    struct step_variable *v = arena_calloc(l->a, m->val.obj.n + 1, sizeof *v);
    for (size_t i = 0; i < m->val.obj.n; i++) {
        v[*ret_n] = (struct step_variable){m->val.obj.m[i].key, load_tree(l, &m->val.obj.m[i].val)};
        *ret_n += v[*ret_n].value != NULL;
    }
    return v;
}

static void step_metadata(struct loader *l, struct step_def *s, const struct member *m)
{
    const struct val *timer = VAL_GET(&m->val, "timer_start");
    if (val_is(timer, VAL_STR) && str_find(timer->s, STR("{{")) == SIZE_MAX)
        s->timer = timer->s;
    else if (timer)
        BAD(l, timer, "`timer_start` is %s; expected the name of a timer", load_found(timer));
    if (s->timer.n)
        map_put(&l->timers, s->timer, s);
}

/* Timeouts, retries and on_error have several spellings: true when this is the first of them in the step. */
static bool once(struct loader *l, bool *set, const struct member *m, const char *meaning)
{
    if (*set)
        problem_add(l->ps, false, m->line, m->col,
                    "`%s` says again what another key of this step says; expected only `%s`", clip(m->key).z, meaning);
    bool first = !*set;
    *set = true;
    return first;
}

static void retry_spelling(struct loader *l, struct step_def *s, const struct member *m)
{
    bool on = false;
    if (str_is(m->key, "max_retries")) {
        s->retry = load_retry_default();
        load_retries(l, step_common_keys, m, &s->retry);
    } else if (str_is(m->key, "retry_on_error")) {
        if (load_bool(l, m, &on)) {
            s->retry.max_attempts = on ? 3 : 1;
            s->retry.set = true;
        }
    } else if (str_is(m->key, "max_attempts")) {
        s->retry.set = true;
        (void)load_int(l, step_common_keys, m, &s->retry.max_attempts);
    } else {
        load_retry(l, m, &s->retry);
    }
}

static void on_error_spelling(struct loader *l, struct step_def *s, struct common *c, const struct member *m,
                              unsigned depth)
{
    bool on = false;
    if (str_is(m->key, "error_handler"))
        on_error_steps(l, s, &m->val, depth);
    else if (str_is(m->key, "continue_on_error")) {
        if (load_bool(l, m, &on))
            s->on_error = on ? ON_ERROR_CONTINUE : ON_ERROR_FAIL;
    } else {
        on_error(l, s, c, m, depth);
    }
}

void load_common_key(struct loader *l, struct step_def *s, struct common *c, const struct step_key *row,
                     const struct member *m, unsigned depth)
{
    struct str key = str_c(key_canonical(step_common_keys, row)->name);
    if (row->alias_of)
        load_older(l, m, arena_printf(l->ps->a, "`%s`", row->alias_of).p);
    if (str_is(key, "description"))
        (void)load_text(l, m, &s->description);
    else if (str_is(key, "condition"))
        s->condition = load_cond(l, &m->val);
    else if (str_is(key, "depends_on"))
        c->depends_on = m;
    else if (str_is(key, "on_interrupt"))
        on_interrupt(l, s, m);
    else if (str_is(key, "output_to_file"))
        output_to_file(l, s, m);
    else if (str_is(key, "output_schema"))
        output_schema(l, s, m);
    else if (load_outcome_key(l, s, key, m))
        return;
    else if (str_is(key, "cache"))
        load_cache(l, s, m);
    else if (str_is(key, "budget"))
        load_budget(l, m, &s->budget);
    else if (str_is(key, "variables"))
        s->variables = named_trees(l, m, &s->nvariables);
    else if (str_is(key, "expected_outputs"))
        s->expected = named_trees(l, m, &s->nexpected);
    else if (str_is(key, "metadata"))
        step_metadata(l, s, m);
    else if (str_is(key, "timeout")) {
        if (once(l, &c->timeout_set, m, "timeout"))
            (void)load_duration(l, step_common_keys, m, &s->timeout_ms);
    } else if (str_is(key, "retry")) {
        if (once(l, &c->retry_set, m, "retry"))
            retry_spelling(l, s, m);
    } else if (str_is(key, "on_error")) {
        if (once(l, &c->on_error_set, m, "on_error"))
            on_error_spelling(l, s, c, m, depth);
    }
}
