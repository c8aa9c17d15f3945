/* Steps in the modern form: the tree, and beside it the edits that make the text say so.
 *
 * Spellings come from the tables that the loader reads by; only those that count in another unit, or say the same thing
 * in another shape, are written out here. */
#include "data/schema_short.h"
#include "flow/migrate_int.h"

static struct val keep_place(struct val v, const struct val *from)
{
    v.line = from->line;
    v.col = from->col;
    return v;
}

static void add(struct val_map *m, const struct member *k, const char *name, struct val v)
{
    val_map_add(m, name ? str_c(name) : k->key, v, k->line, k->col);
}

/* ---- numbers in other units ---- */

static void milliseconds(struct migration *g, struct val_map *m, const struct member *k, const char *name)
{
    if (k->val.type != VAL_INT || k->val.i < 0) {
        add(m, k, NULL, k->val);
        return;
    }
    struct str text = arena_printf(g->a, "%lldms", (long long)k->val.i);
    edit_key(g, k, name);
    edit_scalar(g, &k->val, text);
    add(m, k, name, val_str(text));
}

static struct val attempts_object(struct migration *g, int64_t n)
{
    struct val_map o = val_map_new(g->a);
    VAL_MAP_SET(&o, "max_attempts", val_int(n));
    return val_map_done(&o);
}

/* `more`: attempts that the number does not count. */
static void attempts(struct migration *g, struct val_map *m, const struct member *k, int64_t more)
{
    if (k->val.type != VAL_INT || k->val.i < 0 || k->val.i > 1000) {
        add(m, k, NULL, k->val);
        return;
    }
    edit_key(g, k, "retry");
    edit_scalar(g, &k->val, arena_printf(g->a, "{max_attempts: %lld}", (long long)(k->val.i + more)));
    add(m, k, "retry", attempts_object(g, k->val.i + more));
}

static struct val retry(struct migration *g, const struct val *v)
{
    struct val_map m = val_map_new(g->a);
    if (v->type != VAL_OBJECT)
        return *v;
    for (size_t i = 0; i < v->obj.n; i++) {
        const struct member *k = &v->obj.m[i];
        if (str_is(k->key, "max_retries") && k->val.type == VAL_INT && !VAL_GET(v, "max_attempts")) {
            edit_key(g, k, "max_attempts");
            edit_scalar(g, &k->val, arena_printf(g->a, "%lld", (long long)k->val.i + 1));
            add(&m, k, "max_attempts", val_int(k->val.i + 1));
        } else if (str_is(k->key, "backoff_strategy") && !VAL_GET(v, "backoff")) {
            edit_key(g, k, "backoff");
            add(&m, k, "backoff", k->val);
        } else if (str_is(k->key, "base_delay_ms") && !VAL_GET(v, "delay")) {
            milliseconds(g, &m, k, "delay");
        } else if (str_is(k->key, "max_delay_ms") && !VAL_GET(v, "max_delay")) {
            milliseconds(g, &m, k, "max_delay");
        } else {
            add(&m, k, NULL, k->val);
        }
    }
    return keep_place(val_map_done(&m), v);
}

/* ---- keys of every step ---- */

static struct val on_error(struct migration *g, const struct val *v)
{
    if (v->type == VAL_ARRAY)
        return migrate_steps(g, v);
    const struct val *steps = VAL_GET(v, "steps");
    if (v->type != VAL_OBJECT || v->obj.n != 1 || !steps)
        return *v;
    struct val_map m = val_map_new(g->a);
    add(&m, &v->obj.m[0], NULL, migrate_steps(g, steps));
    return keep_place(val_map_done(&m), v);
}

/* The two trees differ in the names of keys alone. */
static void renamed_keys(struct migration *g, const struct val *was, const struct val *is)
{
    for (size_t i = 0; was->type == VAL_ARRAY && i < was->arr.n; i++)
        renamed_keys(g, &was->arr.v[i], &is->arr.v[i]);
    for (size_t i = 0; was->type == VAL_OBJECT && i < was->obj.n; i++) {
        const struct member *a = &was->obj.m[i], *b = &is->obj.m[i];
        if (!str_eq(a->key, b->key))
            edit_key(g, a, arena_cstr(g->a, b->key));
        renamed_keys(g, &a->val, &b->val);
    }
}

static struct val output_schema(struct migration *g, const struct val *v)
{
    const struct member *old = NULL;
    const struct val *modern = v->type == VAL_OBJECT ? schema_respelt(g->a, v, &old) : v;
    if (old)
        renamed_keys(g, v, modern);
    return *modern;
}

static void common_key(struct migration *g, struct val_map *m, const struct member *k)
{
    if (str_is(k->key, "output_schema")) {
        add(m, k, NULL, output_schema(g, &k->val));
    } else if (str_is(k->key, "on_error")) {
        add(m, k, NULL, on_error(g, &k->val));
    } else if (str_is(k->key, "retry")) {
        add(m, k, NULL, retry(g, &k->val));
    } else if (str_is(k->key, "retry_config")) {
        edit_key(g, k, "retry");
        add(m, k, "retry", retry(g, &k->val));
    } else if (str_is(k->key, "timeout_seconds") || str_is(k->key, "retry_on_error") || str_is(k->key, "id")) {
        const char *name = str_is(k->key, "id") ? "name" : str_is(k->key, "retry_on_error") ? "retry" : "timeout";
        edit_key(g, k, name);
        add(m, k, name, k->val);
    } else if (str_is(k->key, "timeout_ms")) {
        milliseconds(g, m, k, "timeout");
    } else if (str_is(k->key, "max_retries")) {
        attempts(g, m, k, 1);
    } else if (str_is(k->key, "max_attempts")) {
        attempts(g, m, k, 0);
    } else if (str_is(k->key, "continue_on_error") && k->val.type == VAL_BOOL) {
        edit_key(g, k, "on_error");
        edit_scalar(g, &k->val, k->val.b ? STR("continue") : STR("fail"));
        add(m, k, "on_error", val_str(k->val.b ? STR("continue") : STR("fail")));
    } else if (str_is(k->key, "error_handler") && k->val.type == VAL_ARRAY) {
        edit_key(g, k, "on_error");
        add(m, k, "on_error", migrate_steps(g, &k->val));
    } else {
        add(m, k, NULL, k->val);
    }
}

/* ---- {variable: x, value: …} ---- */

static struct str as_key(struct migration *g, struct str name)
{
    bool plain = name.n > 0;
    for (size_t i = 0; i < name.n; i++)
        plain &= ((name.p[i] | 32) >= 'a' && (name.p[i] | 32) <= 'z') ||
                 (i && (name.p[i] == '_' || (name.p[i] >= '0' && name.p[i] <= '9')));
    return plain || !name.n ? name : arena_printf(g->a, "\"%.*s\"", STR_ARG(name));
}

static void drop_flow_pair(struct migration *g, const struct val *map, const struct member *k)
{
    size_t from = edit_offset(g, k->line, k->col), to = edit_value_end(g, edit_offset(g, k->val.line, k->val.col));
    if (k != &map->obj.m[map->obj.n - 1]) {
        to = edit_offset(g, k[1].line, k[1].col);
    } else {
        while (from && g->text.p[from] != ',')
            from--;
    }
    edit_replace(g, from, to, STR(""));
}

static void variable_text(struct migration *g, const struct val *step, const struct member *name,
                          const struct member *value)
{
    struct str key = as_key(g, name->val.s);
    size_t at = edit_offset(g, value->line, value->col), v = edit_offset(g, value->val.line, value->val.col);
    if (edit_is_flow(g, step)) {
        edit_replace(g, at, at + value->key.n, STR("variables"));
        edit_replace(g, v, v, arena_printf(g->a, "{%.*s: ", STR_ARG(key)));
        size_t end = edit_value_end(g, v);
        edit_replace(g, end, end, STR("}"));
        drop_flow_pair(g, step, name);
        return;
    }
    uint32_t end = edit_block_end(g, value->line, value->col, value->val.type == VAL_ARRAY);
    size_t old = edit_offset(g, name->line, name->col);
    if (name->line + 1 == value->line) {
        edit_replace(g, old, edit_scalar_end(g, edit_offset(g, name->val.line, name->val.col)), STR("variables:"));
        edit_replace(g, at, at + value->key.n, arena_printf(g->a, "  %.*s", STR_ARG(key)));
    } else {
        edit_replace(g, g->start[name->line], g->start[name->line + 1], STR(""));
        edit_replace(g, at, at + value->key.n,
                     arena_printf(g->a, "variables:\n%*s%.*s", (int)value->col + 1, "", STR_ARG(key)));
    }
    edit_shift(g, value->line + 1, end, 2);
}

static void variable(struct migration *g, struct val_map *m, const struct val *step)
{
    const struct member *name = val_member(step, STR("variable")), *value = val_member(step, STR("value"));
    struct val_map one = val_map_new(g->a);
    val_map_set(&one, name->val.s, value->val);
    add(m, name, "variables", val_map_done(&one));
    variable_text(g, step, name, value);
    g->changes++;
}

/* ---- a step ---- */

static struct val branches(struct migration *g, const struct val *v)
{
    struct val_map m = val_map_new(g->a);
    if (v->type != VAL_OBJECT)
        return *v;
    for (size_t i = 0; i < v->obj.n; i++)
        add(&m, &v->obj.m[i], NULL, migrate_steps(g, &v->obj.m[i].val));
    return keep_place(val_map_done(&m), v);
}

static void own_key(struct migration *g, struct val_map *m, const struct step_type *t, const struct val *step,
                    const struct member *k)
{
    const struct step_key *row = key_find(t->keys, k->key), *real = key_canonical(t->keys, row);
    const char *name = real == row || val_get(step, str_c(real->name)) ? NULL : real->name;
    if (name)
        edit_key(g, k, name);
    add(m, k, name,
        real->kind == KEY_STEPS      ? migrate_steps(g, &k->val)
        : real->kind == KEY_BRANCHES ? branches(g, &k->val)
                                     : k->val);
}

static struct val migrate_step(struct migration *g, const struct val *step)
{
    const struct val *type = VAL_GET(step, "type");
    const struct step_type *t = val_is(type, VAL_STR) ? step_type_find(type->s) : NULL;
    bool one = t && strcmp(t->name, "set_variable") == 0 && val_is(VAL_GET(step, "variable"), VAL_STR) &&
               VAL_GET(step, "value") && !VAL_GET(step, "variables");
    bool options = t && key_find(t->keys, STR("claude_options")) && !key_find(t->keys, STR("options")) &&
                   !VAL_GET(step, "claude_options");
    bool file = t && strcmp(t->name, "data_transform") == 0 && !VAL_GET(step, "output_to_file");
    struct val_map m = val_map_new(g->a);
    for (size_t i = 0; i < step->obj.n; i++) {
        const struct member *k = &step->obj.m[i];
        if (one && str_is(k->key, "variable")) {
            variable(g, &m, step);
        } else if (one && str_is(k->key, "value")) {
            continue;
        } else if (options && str_is(k->key, "options")) {
            edit_key(g, k, "claude_options");
            add(&m, k, "claude_options", k->val);
        } else if (file && str_is(k->key, "output_file")) {
            edit_key(g, k, "output_to_file");
            add(&m, k, "output_to_file", k->val);
        } else if (t && key_find(t->keys, k->key)) {
            own_key(g, &m, t, step, k);
        } else {
            common_key(g, &m, k);
        }
    }
    return keep_place(val_map_done(&m), step);
}

struct val migrate_steps(struct migration *g, const struct val *list)
{
    struct val_list l = val_list_new(g->a);
    if (list->type != VAL_ARRAY)
        return *list;
    for (size_t i = 0; i < list->arr.n; i++)
        val_list_push(&l, list->arr.v[i].type == VAL_OBJECT ? migrate_step(g, &list->arr.v[i]) : list->arr.v[i]);
    return keep_place(val_list_done(&l), list);
}
