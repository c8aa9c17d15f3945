/* Declared inputs: {type, required, default, description, enum} by name, or a type's name alone. */
#include "data/json.h"
#include "flow/load_int.h"

static bool input_type(struct loader *l, const struct val *v, bool alone, enum val_type *ret)
{
    static const struct {
        const char *name;
        enum val_type type;
    } types[] = {{"string", VAL_STR},
                 {"integer", VAL_INT},
                 {"number", VAL_DOUBLE},
                 {"boolean", VAL_BOOL},
                 {"array", VAL_ARRAY},
                 {"object", VAL_OBJECT},
                 {"any", VAL_NULL},
                 /* accepted spellings */
                 {"text", VAL_STR},
                 {"int", VAL_INT},
                 {"float", VAL_DOUBLE},
                 {"bool", VAL_BOOL},
                 {"list", VAL_ARRAY},
                 {"map", VAL_OBJECT}};
    static const char expected[] = "expected string, integer, number, boolean, array, object or any";
    static const char declared[] = "expected string, integer, number, boolean, array, object or any; or, for a value "
                                   "where none is given, {type: string, default: …}";
    if (v->type != VAL_STR) {
        BAD(l, v, "the type of an input is %s; %s", load_found(v), expected);
        return false;
    }
    struct nearest near = {.want = v->s};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (str_is(v->s, types[i].name)) {
            *ret = types[i].type;
            return true;
        }
        nearest_try(&near, str_c(types[i].name));
    }
    BAD(l, v, "unknown type `%s` of an input; %s", clip(v->s).z, load_hint(l, &near, alone ? declared : expected));
    return false;
}

static void input_choices(struct loader *l, const struct member *m, struct input_def *d)
{
    if (m->val.type == VAL_ARRAY && m->val.arr.n)
        d->choices = &m->val;
    else
        BAD(l, &m->val, "`enum` is %s; expected a list of the values that are allowed",
            m->val.type == VAL_ARRAY ? "an empty list" : load_found(&m->val));
}

static void input_key(struct loader *l, const struct member *k, struct input_def *d)
{
    if (str_is(k->key, "type"))
        (void)input_type(l, &k->val, false, &d->type);
    else if (str_is(k->key, "required"))
        (void)load_bool(l, k, &d->required);
    else if (str_is(k->key, "description"))
        (void)load_text(l, k, &d->description);
    else if (str_is(k->key, "default"))
        d->fallback = k->val.type == VAL_NULL ? NULL : &k->val;
    else if (str_is(k->key, "enum"))
        input_choices(l, k, d);
    else
        load_unknown_key(l, k, "an input", input_keys, NULL);
}

static void input_read(struct loader *l, const struct member *m, struct input_def *d)
{
    d->name = m->key;
    if (m->val.type == VAL_NULL)
        return; /* `name:` alone: any value */
    if (m->val.type == VAL_STR) {
        (void)input_type(l, &m->val, true, &d->type);
        return;
    }
    if (m->val.type != VAL_OBJECT) {
        const char *type = m->val.type == VAL_INT     ? "integer"
                           : m->val.type == VAL_BOOL  ? "boolean"
                           : m->val.type == VAL_ARRAY ? "array"
                                                      : "number";
        BAD(l, &m->val,
            "input `%s` is %s; expected a declaration such as {type: string, required: true}; or, with this as its "
            "value where none is given, {type: %s, default: …}",
            clip(m->key).z, load_found(&m->val), type);
        return;
    }
    for (size_t i = 0; i < m->val.obj.n; i++)
        input_key(l, &m->val.obj.m[i], d);
    if (!d->fallback)
        return;
    if (!input_type_fits(d->type, d->fallback)) {
        BAD(l, d->fallback, "the default of input `%s` is %s; expected what its type says: %s", clip(m->key).z,
            load_found(d->fallback), val_type_name(&(struct val){.type = (uint8_t)d->type}));
        return;
    }
    if (d->required)
        WARN(l, d->fallback, "input `%s` is required and has a default; expected one of the two", clip(m->key).z);
    for (size_t i = 0; d->choices && i < d->choices->arr.n; i++)
        if (val_eq(&d->choices->arr.v[i], d->fallback))
            return;
    if (d->choices)
        BAD(l, d->fallback, "the default of input `%s` is not in its `enum`; expected one of %s", clip(m->key).z,
            clip(json_text(l->a, d->choices)).z);
}

void load_inputs(struct loader *l, const struct member *m)
{
    if (m->val.type == VAL_NULL || !load_object(l, m))
        return;
    if (l->w->inputs) {
        problem_add(l->ps, false, m->line, m->col,
                    "`inputs` and `input` mean the same; expected one of them, `inputs`");
        return;
    }
    if (m->val.obj.n > LOAD_NAMES_MAX) {
        BAD(l, &m->val, "%zu inputs; expected at most %d", m->val.obj.n, LOAD_NAMES_MAX);
        return;
    }
    bool old = str_is(m->key, "input"); /* values, not declarations */
    l->bare_inputs |= old;
    struct input_def *d = arena_calloc(l->a, m->val.obj.n ? m->val.obj.n : 1, sizeof *d);
    for (size_t i = 0; i < m->val.obj.n; i++)
        if (old)
            d[i] = (struct input_def){.name = m->val.obj.m[i].key, .fallback = &m->val.obj.m[i].val};
        else
            input_read(l, &m->val.obj.m[i], &d[i]);
    l->w->inputs = d;
    l->w->ninputs = m->val.obj.n;
}

/* ---- as a JSON Schema ---- */

static bool in_array(const struct val *list, struct str name)
{
    for (size_t i = 0; val_at(list, i); i++)
        if (val_is(val_at(list, i), VAL_STR) && str_eq(val_at(list, i)->s, name))
            return true;
    return false;
}

static void input_of_schema(struct loader *l, const struct member *m, bool required, struct input_def *d)
{
    static const char *const keys[] = {"type", "default", "description", "enum"};
    struct val_map one = val_map_new(l->a);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const struct member *k = val_member(&m->val, str_c(keys[i]));
        if (k && !(i == 0 && k->val.type != VAL_STR)) /* a list of types: any of them */
            val_map_add(&one, k->key, k->val, k->line, k->col);
    }
    if (required && !VAL_GET(&m->val, "default"))
        VAL_MAP_SET(&one, "required", val_true);
    struct member as = *m;
    as.val = val_map_done(&one);
    as.val.line = m->val.line;
    as.val.col = m->val.col;
    input_read(l, &as, d);
}

void load_input_schema(struct loader *l, const struct member *m)
{
    const struct val *properties = VAL_GET(&m->val, "properties"), *required = VAL_GET(&m->val, "required");
    if (!load_object(l, m))
        return;
    if (!val_is(properties, VAL_OBJECT)) {
        BAD(l, &m->val,
            "`input_schema` has no `properties`; expected a JSON Schema such as {type: object, properties: "
            "{topic: {type: string}}}");
        return;
    }
    if (l->w->inputs) {
        problem_add(l->ps, false, m->line, m->col,
                    "`inputs` and `input_schema` mean the same; expected one of them, `inputs`");
        return;
    }
    if (properties->obj.n > LOAD_NAMES_MAX) {
        BAD(l, properties, "%zu inputs; expected at most %d", properties->obj.n, LOAD_NAMES_MAX);
        return;
    }
    struct input_def *d = arena_calloc(l->a, properties->obj.n + 1, sizeof *d);
    for (size_t i = 0; i < properties->obj.n; i++)
        input_of_schema(l, &properties->obj.m[i], in_array(required, properties->obj.m[i].key), &d[i]);
    l->w->inputs = d;
    l->w->ninputs = properties->obj.n;
}
