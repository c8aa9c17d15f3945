/* Fitting a JSON Schema to what a provider's structured output takes; the table is schema_keywords.def.
 *
 * Whatever is dropped here is still checked against the full schema when the answer is in; fitting only has to give the
 * model as much of it as the provider lets through, and must never send what is refused with 400 or what would forbid
 * answers that the schema wants (closing an object that is meant to be free-form). When that cannot be done the caller
 * asks for the schema in the prompt.
 *
 * The schema comes from outside. The walk is bounded by depth and by a number of nodes counted with references
 * followed; a schema that exceeds them is not expressible, and so is a recursive one where recursion is refused. */
#include "llm/wire.h"

#include "data/json.h"

enum { MAX_DEPTH = 64, MAX_NODES = 20000, MAX_HINT = 1000 };

enum kind { PLAIN, ONE, MANY, NAMED };
enum fate { DROP, KEEP, HINT, LOSE };

static const struct keyword {
    const char *name;
    enum kind kind;
    enum fate fate[3]; /* by dialect */
} keywords[] = {
#define X(name_, kind_, anthropic_, gemini_, openai_) {name_, kind_, {anthropic_, gemini_, openai_}},
#include "llm/schema_keywords.def"
#undef X
};

struct fit {
    struct arena *a;
    const struct val *root;
    enum wire_dialect dialect;
    unsigned nodes;
    bool failed;
};

static const struct keyword *keyword_find(struct str name)
{
    for (size_t i = 0; i < sizeof keywords / sizeof *keywords; i++) {
        if (str_is(name, keywords[i].name))
            return &keywords[i];
    }
    return NULL;
}

static struct val lose(struct fit *f)
{
    f->failed = true;
    return val_null;
}

static bool is_object_type(const struct val *schema)
{
    const struct val *type = VAL_GET(schema, "type");
    if (val_is(type, VAL_STR))
        return str_is(type->s, "object");
    for (size_t i = 0; val_is(type, VAL_ARRAY) && i < type->arr.n; i++) {
        if (val_is(&type->arr.v[i], VAL_STR) && str_is(type->arr.v[i].s, "object"))
            return true;
    }
    return !type && VAL_GET(schema, "properties");
}

/* Where "#/$defs/name" or "#/definitions/name" points to; NULL for other references. */
static const struct val *ref_target(const struct fit *f, struct str ref)
{
    static const char *const places[] = {"$defs", "definitions"};
    for (size_t i = 0; i < 2; i++) {
        struct str prefix = arena_printf(f->a, "#/%s/", places[i]);
        if (str_starts(ref, prefix))
            return val_get(val_get(f->root, str_c(places[i])), str_from(ref, prefix.n));
    }
    return NULL;
}

/* Whether following references from `v` comes to an end. */
static bool ends(struct fit *f, const struct val *v, unsigned depth)
{
    if (depth == 0 || ++f->nodes > MAX_NODES)
        return false;
    if (v->type == VAL_ARRAY) {
        for (size_t i = 0; i < v->arr.n; i++) {
            if (!ends(f, &v->arr.v[i], depth - 1))
                return false;
        }
    }
    for (size_t i = 0; v->type == VAL_OBJECT && i < v->obj.n; i++) {
        const struct member *m = &v->obj.m[i];
        if (str_is(m->key, "$defs") || str_is(m->key, "definitions"))
            continue;
        if (str_is(m->key, "$ref") && val_is(&m->val, VAL_STR)) {
            const struct val *target = ref_target(f, m->val.s);
            if (!target || !ends(f, target, depth - 1))
                return false;
        } else if (!ends(f, &m->val, depth - 1)) {
            return false;
        }
    }
    return true;
}

static struct val fit_one(struct fit *f, const struct val *schema, unsigned depth);

static struct val fit_children(struct fit *f, enum kind kind, const struct val *v, unsigned depth)
{
    if (kind == ONE)
        return fit_one(f, v, depth);
    if (kind == MANY && v->type == VAL_ARRAY) {
        struct val_list l = val_list_new(f->a);
        for (size_t i = 0; i < v->arr.n; i++)
            val_list_push(&l, fit_one(f, &v->arr.v[i], depth));
        return val_list_done(&l);
    }
    if (kind == NAMED && v->type == VAL_OBJECT) {
        struct val_map m = val_map_new(f->a);
        for (size_t i = 0; i < v->obj.n; i++)
            val_map_set(&m, v->obj.m[i].key, fit_one(f, &v->obj.m[i].val, depth));
        return val_map_done(&m);
    }
    return kind == PLAIN ? *v : lose(f);
}

/* Old drafts' `definitions` become `$defs`, and the references with them; oneOf becomes anyOf. */
static struct str new_name(struct str name)
{
    return str_is(name, "definitions") ? STR("$defs") : str_is(name, "oneOf") ? STR("anyOf") : name;
}
static struct val new_ref(struct fit *f, const struct val *v)
{
    struct str old = STR("#/definitions/");
    if (!val_is(v, VAL_STR) || !str_starts(v->s, old))
        return *v;
    struct str name = str_from(v->s, old.n);
    return val_str(arena_printf(f->a, "#/$defs/%.*s", STR_ARG(name)));
}

static void add_hint(struct fit *f, struct buf *hints, const struct member *m)
{
    struct str value = json_text(f->a, &m->val);
    buf_printf(hints, "%s%.*s: %.*s", hints->n ? ", " : "", STR_ARG(m->key), STR_ARG(value));
}

static void add_hints(struct fit *f, struct val_map *out, const struct val *schema, const struct buf *hints)
{
    if (hints->n == 0 || hints->overflow)
        return;
    struct str old = val_get_str(schema, STR("description"), (struct str){0});
    struct str now = arena_printf(f->a, "%.*s%s{%.*s}", STR_ARG(old), old.n ? " " : "", STR_ARG(buf_str(hints)));
    VAL_MAP_SET(out, "description", val_str(now));
}

/* All of its properties are required, as OpenAI's strict mode wants it. */
static bool all_required(const struct val *schema)
{
    const struct val *properties = VAL_GET(schema, "properties"), *required = VAL_GET(schema, "required");
    if (!val_is(properties, VAL_OBJECT))
        return false;
    for (size_t i = 0; i < properties->obj.n; i++) {
        struct val key = val_str(properties->obj.m[i].key);
        bool found = false;
        for (size_t k = 0; val_is(required, VAL_ARRAY) && k < required->arr.n && !found; k++)
            found = val_eq(&required->arr.v[k], &key);
        if (!found)
            return false;
    }
    return true;
}

/* Objects are closed where the provider demands it; one that is meant to have any keys cannot be. */
static void close_object(struct fit *f, struct val_map *out, const struct val *schema)
{
    const struct val *properties = VAL_GET(schema, "properties"), *more = VAL_GET(schema, "additionalProperties");
    bool closed = val_is(more, VAL_BOOL) && !more->b;
    bool empty = !val_is(properties, VAL_OBJECT) || properties->obj.n == 0;
    if (f->dialect == WIRE_GEMINI || !is_object_type(schema))
        return;
    if (empty && !closed)
        f->failed = true;
    if (f->dialect == WIRE_OPENAI && ((more && !closed) || !all_required(schema)))
        f->failed = true;
    VAL_MAP_SET(out, "additionalProperties", val_false);
}

static bool combines_closed_objects(const struct val *schema)
{
    const struct val *all = VAL_GET(schema, "allOf");
    return val_is(all, VAL_ARRAY) && (all->arr.n > 1 || VAL_GET(schema, "properties"));
}

static struct val fit_one(struct fit *f, const struct val *schema, unsigned depth)
{
    if (depth == 0 || ++f->nodes > MAX_NODES)
        return lose(f);
    if (schema->type == VAL_BOOL && f->dialect == WIRE_GEMINI)
        return *schema;
    if (schema->type != VAL_OBJECT || (f->dialect != WIRE_GEMINI && schema->obj.n == 0))
        return lose(f);
    if (combines_closed_objects(schema))
        return lose(f);
    struct val_map out = val_map_new(f->a);
    struct buf hints;
    buf_init(&hints, MAX_HINT);
    for (size_t i = 0; i < schema->obj.n && !f->failed; i++) {
        const struct member *m = &schema->obj.m[i];
        const struct keyword *k = keyword_find(m->key);
        enum fate fate = k ? k->fate[f->dialect] : f->dialect == WIRE_OPENAI ? LOSE : DROP;
        bool replaced = f->dialect != WIRE_GEMINI && str_is(m->key, "additionalProperties");
        if (fate == LOSE)
            f->failed = true;
        else if (fate == HINT)
            add_hint(f, &hints, m);
        else if (fate == KEEP && str_is(m->key, "$ref"))
            val_map_set(&out, m->key, new_ref(f, &m->val));
        else if (fate == KEEP && !replaced)
            val_map_set(&out, new_name(m->key), fit_children(f, k->kind, &m->val, depth - 1));
    }
    if (f->dialect == WIRE_GEMINI && val_is(VAL_GET(schema, "const"), VAL_STR)) {
        struct val_list only = val_list_new(f->a);
        val_list_push(&only, *VAL_GET(schema, "const"));
        VAL_MAP_SET(&out, "enum", val_list_done(&only));
    }
    add_hints(f, &out, schema, &hints);
    buf_done(&hints);
    close_object(f, &out, schema);
    return val_map_done(&out);
}

bool wire_schema(struct arena *a, const struct val *schema, enum wire_dialect dialect, struct val *ret)
{
    struct fit f = {.a = a, .root = schema, .dialect = dialect};
    if (!val_is(schema, VAL_OBJECT))
        return false;
    if (dialect == WIRE_ANTHROPIC && !ends(&f, schema, MAX_DEPTH))
        return false;
    if (dialect == WIRE_OPENAI && !is_object_type(schema))
        return false;
    f.nodes = 0;
    struct val v = fit_one(&f, schema, MAX_DEPTH);
    if (f.failed)
        return false;
    *ret = v;
    return true;
}

static struct val tool_schema(struct arena *a, const struct val *schema, enum wire_dialect dialect)
{
    struct val fitted;
    if (dialect == WIRE_GEMINI && wire_schema(a, schema, dialect, &fitted))
        return fitted;
    if (val_is(schema, VAL_OBJECT) && schema->obj.n)
        return *schema;
    struct val_map m = val_map_new(a);
    VAL_MAP_SET(&m, "type", VAL_LIT("object"));
    VAL_MAP_SET(&m, "properties", val_empty_object);
    return val_map_done(&m);
}

bool wire_tools(const struct wire *w, const char *schema_key, enum wire_dialect dialect, struct val_list *ret)
{
    const struct val *tools = VAL_GET(w->request, "tools");
    *ret = val_list_new(w->a);
    for (size_t i = 0; val_is(tools, VAL_ARRAY) && i < tools->arr.n; i++) {
        const struct val *t = &tools->arr.v[i];
        struct val_map m = val_map_new(w->a);
        VAL_MAP_SET(&m, "name", val_str(val_get_str(t, STR("name"), (struct str){0})));
        VAL_MAP_SET(&m, "description", val_str(val_get_str(t, STR("description"), (struct str){0})));
        val_map_set(&m, str_c(schema_key), tool_schema(w->a, VAL_GET(t, "input_schema"), dialect));
        val_list_push(ret, val_map_done(&m));
    }
    return ret->n > 0;
}

struct str wire_ask_for_schema(struct arena *a, struct str system, const struct val *schema)
{
    struct str wish = STR("Answer with one JSON value that fits this JSON Schema, and nothing else: no explanation, no "
                          "code fence.\n");
    struct str parts[] = {system, system.n ? STR("\n\n") : STR(""), wish, json_text(a, schema)};
    size_t n = 0, at = 0;
    for (size_t i = 0; i < 4; i++)
        n += parts[i].n;
    char *text = arena_alloc(a, n + 1);
    for (size_t i = 0; i < 4; i++) {
        if (parts[i].n)
            memcpy(text + at, parts[i].p, parts[i].n);
        at += parts[i].n;
    }
    return str_n(text, n);
}
