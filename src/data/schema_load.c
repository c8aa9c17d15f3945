/* Loading a schema: every keyword's value is checked for its shape, every schema within it is entered into a table by
 * its address, references are resolved, and schemas that would judge one value for ever are refused.
 *
 * In this order, because a reference may point anywhere: at a place that no keyword makes a schema (it is walked when
 * first referred to), at an anchor further down, into a part with an $id of its own. References that leave the schema
 * are refused: what a check means must not depend on what some address answers today.
 *
 * A cycle of references is fine where each round goes deeper into the value (a tree of nodes). It is refused where it
 * leads back to the same schema with the same value; with those gone, every check ends. Nesting, the length of such
 * chains and the number of schemas are bounded, so recursion here is bounded too. */
#include "data/schema_int.h"

#include <stdio.h>

enum { WHITE, GREY, BLACK };

struct reference {
    struct node *node;
    struct str text, place;
    const struct val *resource;
    struct reference *next;
    bool dynamic;
};
struct loader {
    struct schema *s;
    struct err *err;
    struct reference *pending;
    struct map ids, anchors; /* an absolute address, or an anchor after the address of its resource -> the schema */
    const struct node *via;  /* in the search for cycles: the schema whose $ref was followed last */
};
/* A schema, or a part of a keyword's value, on the walk. */
struct step {
    const struct val *v, *resource;
    const struct spot *spot;
    unsigned depth;
};

/* ---- the table of keywords ---- */

static const struct keyword keywords[] = {
#define X(name, shape, applies, check) {{name, sizeof(name) - 1}, SHAPE_##shape, APPLIES_##applies, check},
#include "data/schema_keywords.def"
#undef X
};
enum { KEYWORDS = sizeof keywords / sizeof *keywords };

const struct keyword *schema_keyword(struct str name)
{
    size_t from = 0, to = KEYWORDS;
    while (from < to) {
        size_t middle = (from + to) / 2;
        int order = str_cmp(name, keywords[middle].name);
        if (order == 0)
            return &keywords[middle];
        if (order < 0)
            to = middle;
        else
            from = middle + 1;
    }
    return NULL;
}

/* ---- nodes ---- */

static struct str address(const struct val *const *at)
{
    return str_n((const char *)at, sizeof *at);
}

struct node *schema_node(const struct schema *s, const struct val *at)
{
    return map_get(&s->by_place, address(&at));
}

static struct node *node_make(struct schema *s, const struct val *at)
{
    struct node *n = schema_node(s, at);
    if (n)
        return n;
    n = ARENA_NEW(s->a, struct node);
    n->at = at;
    n->next = s->nodes;
    s->nodes = n;
    map_put(&s->by_place, address(&n->at), n);
    return n;
}

void schema_unload(struct schema *s)
{
    for (struct node *n = s->nodes; n; n = n->next)
        regex_free(n->regex);
    map_done(&s->by_place);
    map_done(&s->dynamics);
    *s = (struct schema){0};
}

/* ---- the walk ---- */

static bool bad(struct loader *l, const struct step *st, const char *expected)
{
    struct str place = spot_text(l->s->a, st->spot), is = schema_shown(l->s->a, st->v);
    err_set(l->err, RC_INVALID, "%.*s: is %.*s; expected %s", STR_ARG(place), STR_ARG(is), expected);
    return false;
}

static bool walk(struct loader *l, const struct step *st);

static bool walk_children(struct loader *l, const struct step *st, bool (*visit)(struct loader *, const struct step *))
{
    size_t n = st->v->type == VAL_ARRAY ? st->v->arr.n : st->v->obj.n;
    for (size_t i = 0; i < n; i++) {
        bool list = st->v->type == VAL_ARRAY;
        struct spot spot = {.up = st->spot,
                            .kind = list ? SPOT_INDEX : SPOT_KEY,
                            .key = list ? STR("") : st->v->obj.m[i].key,
                            .index = i};
        struct step child = *st;
        child.v = list ? &st->v->arr.v[i] : &st->v->obj.m[i].val;
        child.spot = &spot;
        if (!visit(l, &child))
            return false;
    }
    return true;
}

static bool is_string(struct loader *l, const struct step *st)
{
    return st->v->type == VAL_STR || bad(l, st, "a string");
}

static bool is_type(struct str s)
{
    static const char *const names[] = {"string", "integer", "number", "boolean", "object", "array", "null"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (str_is(s, names[i]))
            return true;
    return false;
}

static bool is_type_name(struct loader *l, const struct step *st)
{
    if (st->v->type == VAL_STR && is_type(st->v->s))
        return true;
    return bad(l, st, "string, integer, number, boolean, object, array or null");
}

static bool is_names(struct loader *l, const struct step *st)
{
    return st->v->type == VAL_ARRAY ? walk_children(l, st, is_string) : bad(l, st, "an array of property names");
}

static bool is_dependency(struct loader *l, const struct step *st)
{
    return st->v->type == VAL_ARRAY ? is_names(l, st) : walk(l, st);
}

/* Compiles for the value at `st`: its own text, or the key it stands under. */
static bool is_regex(struct loader *l, const struct step *st, struct str pattern)
{
    struct node *n = node_make(l->s, st->v);
    struct err why;
    if (n->regex || schema_pattern_compile(pattern, false, &n->regex, &why) == RC_OK)
        return true;
    struct str place = spot_text(l->s->a, st->spot);
    err_set(l->err, RC_INVALID, "%.*s: %s", STR_ARG(place), why.msg);
    return false;
}

static bool is_pattern_member(struct loader *l, const struct step *st)
{
    return is_regex(l, st, st->spot->key) && walk(l, st);
}

static bool is_count(const struct val *v)
{
    return number_whole(v) && number_cmp(v, &(struct val){.type = VAL_INT}) >= 0;
}

struct str schema_anchor_key(struct arena *a, const struct val *resource, struct str name)
{
    char *key = arena_alloc(a, sizeof resource + name.n + 1);
    memcpy(key, &resource, sizeof resource);
    if (name.n)
        memcpy(key + sizeof resource, name.p, name.n);
    return str_n(key, sizeof resource + name.n);
}

static bool add_anchor(struct loader *l, const struct step *st, const struct val *schema)
{
    if (st->v->type != VAL_STR || st->v->s.n == 0 || memchr(st->v->s.p, '#', st->v->s.n))
        return bad(l, st, "a name without `#`");
    map_put(&l->anchors, schema_anchor_key(l->s->a, st->resource, st->v->s), (void *)schema);
    return true;
}

static bool add_dynamic_anchor(struct loader *l, const struct step *st, const struct val *schema)
{
    if (!add_anchor(l, st, schema))
        return false;
    map_put(&l->s->dynamics, schema_anchor_key(l->s->a, st->resource, st->v->s), (void *)schema);
    return true;
}

static bool add_reference(struct loader *l, const struct step *st, const struct val *schema, bool dynamic)
{
    if (st->v->type != VAL_STR)
        return bad(l, st, "a reference such as \"#/$defs/name\"");
    struct reference *r = ARENA_NEW(l->s->a, struct reference);
    struct node *n = node_make(l->s, schema);
    *r = (struct reference){n, st->v->s, spot_text(l->s->a, st->spot), st->resource, l->pending, dynamic};
    if (!dynamic || !n->place.n)
        n->place = r->place;
    l->s->dynamic |= dynamic;
    l->pending = r;
    return true;
}

static bool schemas_in(struct loader *l, const struct step *st, enum val_type type, const char *expected,
                       bool (*visit)(struct loader *, const struct step *))
{
    bool empty_list = type == VAL_ARRAY && st->v->type == VAL_ARRAY && st->v->arr.n == 0;
    return st->v->type == type && !empty_list ? walk_children(l, st, visit) : bad(l, st, expected);
}

/* `st` is the value of a keyword in `schema`. */
static bool walk_keyword(struct loader *l, const struct step *st, enum shape shape, const struct val *schema)
{
    const struct val *v = st->v;
    switch (shape) {
    case SHAPE_ANCHOR:
        return add_anchor(l, st, schema);
    case SHAPE_DYNAMIC_ANCHOR:
        return add_dynamic_anchor(l, st, schema);
    case SHAPE_BOOLEAN:
        return v->type == VAL_BOOL || bad(l, st, "true or false");
    case SHAPE_COUNT:
        return is_count(v) || bad(l, st, "a whole number, 0 or greater");
    case SHAPE_DYNAMIC_REF:
        return add_reference(l, st, schema, true);
    case SHAPE_DEPENDENCIES:
        return schemas_in(l, st, VAL_OBJECT, "an object of schemas or lists of names", is_dependency);
    case SHAPE_ITEMS:
        return v->type == VAL_ARRAY ? bad(l, st, "one schema (a schema for each place is written as `prefixItems`)")
                                    : walk(l, st);
    case SHAPE_LIST:
        return v->type == VAL_ARRAY || bad(l, st, "an array of values");
    case SHAPE_NAMES:
        return is_names(l, st);
    case SHAPE_NAMES_MAP:
        return schemas_in(l, st, VAL_OBJECT, "an object of lists of property names", is_names);
    case SHAPE_NUMBER:
        return (val_is_number(v) && number_cmp(v, v) == 0) || bad(l, st, "a number");
    case SHAPE_PATTERN:
        return is_string(l, st) && is_regex(l, st, v->s);
    case SHAPE_PATTERN_MAP:
        return schemas_in(l, st, VAL_OBJECT, "an object of schemas by pattern", is_pattern_member);
    case SHAPE_POSITIVE:
        return number_cmp(v, &(struct val){.type = VAL_INT}) == 1 || bad(l, st, "a number greater than 0");
    case SHAPE_REF:
        return add_reference(l, st, schema, false);
    case SHAPE_REFUSED:
        return bad(l, st, "`$dynamicRef`, which 2020-12 has in its place");
    case SHAPE_SCHEMA:
        return walk(l, st);
    case SHAPE_SCHEMAS:
        return schemas_in(l, st, VAL_ARRAY, "an array of at least one schema", walk);
    case SHAPE_SCHEMA_MAP:
        return schemas_in(l, st, VAL_OBJECT, "an object of schemas", walk);
    case SHAPE_ID:
    case SHAPE_STRING:
        return is_string(l, st);
    case SHAPE_TYPES:
        return v->type == VAL_ARRAY && v->arr.n ? walk_children(l, st, is_type_name) : is_type_name(l, st);
    case SHAPE_WHATEVER:
        break;
    }
    return true;
}

/* The address of a schema with an $id, "" for a root without. */
static struct str address_of(const struct loader *l, const struct val *resource)
{
    const struct node *n = schema_node(l->s, resource);
    return n ? n->uri : STR("");
}

static void add_id(struct loader *l, const struct val *schema, const struct val *outer)
{
    struct str id = val_get_str(schema, STR("$id"), STR(""));
    size_t hash = str_find(id, STR("#"));
    struct node *n = node_make(l->s, schema);
    n->uri = schema_uri(l->s->a, address_of(l, outer), str_n(id.p, hash < id.n ? hash : id.n));
    map_put(&l->ids, n->uri, (void *)schema);
}

/* The schema that references in `v` start from: `v` itself when it has an $id. */
static const struct val *resource_at(const struct val *v, const struct val *resource)
{
    struct str id = val_get_str(v, STR("$id"), STR(""));
    return id.n && id.p[0] != '#' ? v : resource;
}

static bool walk(struct loader *l, const struct step *st)
{
    struct schema *s = l->s;
    if (st->v->type == VAL_STR && is_type(st->v->s))
        return bad(l, st, "a schema, as in {type: string}");
    if (st->v->type != VAL_OBJECT && st->v->type != VAL_BOOL)
        return bad(l, st, "a schema (an object, true or false)");
    struct node *n = node_make(s, st->v);
    if (n->schema)
        return true;
    n->schema = true;
    n->resource = resource_at(st->v, st->resource);
    if (st->depth > SCHEMA_NESTING_MAX || ++s->count > SCHEMA_COUNT_MAX) {
        struct str place = spot_text(s->a, st->spot);
        err_set(l->err, RC_INVALID, "%.*s: expected at most %d levels of schemas and %d schemas", STR_ARG(place),
                SCHEMA_NESTING_MAX, SCHEMA_COUNT_MAX);
        return false;
    }
    if (st->v->type == VAL_BOOL)
        return true;
    struct step inner = {.resource = n->resource, .depth = st->depth + 1};
    if (inner.resource == st->v)
        add_id(l, st->v, st->resource);
    for (size_t i = 0; i < st->v->obj.n; i++) {
        const struct member *m = &st->v->obj.m[i];
        const struct keyword *kw = schema_keyword(m->key);
        struct spot spot = {.up = st->spot, .kind = SPOT_KEY, .key = m->key};
        inner.v = &m->val;
        inner.spot = &spot;
        if (kw && !walk_keyword(l, &inner, kw->shape, st->v))
            return false;
        if (str_starts(m->key, STR("unevaluated")))
            s->unevaluated = true;
    }
    return true;
}

/* ---- references ---- */

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static struct str percent_decoded(struct arena *a, struct str s)
{
    char *out = arena_alloc(a, s.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        bool code = s.p[i] == '%' && i + 2 < s.n && hex_digit(s.p[i + 1]) >= 0 && hex_digit(s.p[i + 2]) >= 0;
        out[n++] = code ? (char)(hex_digit(s.p[i + 1]) * 16 + hex_digit(s.p[i + 2])) : s.p[i];
        i += code ? 2 : 0;
    }
    return str_n(out, n);
}

static struct str pointer_token(struct arena *a, struct str s)
{
    char *out = arena_alloc(a, s.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        bool escape = s.p[i] == '~' && i + 1 < s.n && (s.p[i + 1] == '0' || s.p[i + 1] == '1');
        out[n++] = !escape ? s.p[i] : s.p[i + 1] == '1' ? '/' : '~';
        i += escape;
    }
    return str_n(out, n);
}

/* Follows "/a/0/b" from `v`; *resource becomes that of the place it ends at. NULL when there is no such place. */
static const struct val *follow(struct arena *a, const struct val *v, struct str pointer, const struct val **resource)
{
    while (v && pointer.n) {
        pointer = str_from(pointer, 1);
        const char *slash = memchr(pointer.p, '/', pointer.n);
        size_t n = slash ? (size_t)(slash - pointer.p) : pointer.n;
        struct str token = pointer_token(a, str_n(pointer.p, n));
        int64_t i;
        *resource = resource_at(v, *resource);
        if (v->type == VAL_ARRAY)
            v = str_to_i64(token, &i) && i >= 0 ? val_at(v, (size_t)i) : NULL;
        else
            v = val_get(v, token);
        pointer = str_from(pointer, n);
    }
    return v;
}

static const struct val *find_resource(const struct loader *l, const struct reference *r, struct str uri)
{
    if (!uri.n)
        return r->resource;
    return map_get(&l->ids, schema_uri(l->s->a, address_of(l, r->resource), uri));
}

static bool dangling(struct loader *l, const struct reference *r, const char *why)
{
    struct str text = schema_shown(l->s->a, &(struct val){.type = VAL_STR, .s = r->text});
    err_set(l->err, RC_INVALID, "%.*s: is %.*s; %s", STR_ARG(r->place), STR_ARG(text), why);
    return false;
}

static bool resolve(struct loader *l, const struct reference *r)
{
    size_t hash = str_find(r->text, STR("#")), n = hash < r->text.n ? hash : r->text.n;
    struct str fragment = percent_decoded(l->s->a, str_from(r->text, n + 1));
    const struct val *resource = find_resource(l, r, str_n(r->text.p, n)), *target = NULL;
    if (!resource)
        return dangling(l, r, "expected a place in this schema, such as \"#/$defs/name\": nothing is fetched");
    if (!fragment.n || fragment.p[0] == '/') {
        target = follow(l->s->a, resource, fragment, &resource);
    } else {
        target = map_get(&l->anchors, schema_anchor_key(l->s->a, resource, fragment));
    }
    if (!target)
        return dangling(l, r, "there is no such place in this schema");
    if (target->type != VAL_OBJECT && target->type != VAL_BOOL)
        return dangling(l, r, "that place holds no schema");
    if (r->dynamic) {
        r->node->dynamic = target;
        if (fragment.n && map_get(&l->s->dynamics, schema_anchor_key(l->s->a, resource, fragment)) == target)
            r->node->dynamic_name = fragment;
    } else {
        r->node->target = target;
    }
    struct spot spot = {.kind = SPOT_TEXT, .key = fragment};
    struct step st = {.v = target, .resource = resource, .spot = &spot};
    return walk(l, &st);
}

/* ---- cycles ---- */

/* Only a reference can close a circle, so the last one followed is named. */
static bool endless(struct loader *l, const char *why)
{
    struct str place = l->via ? l->via->place : STR("/");
    err_set(l->err, RC_INVALID, "%.*s: %s", STR_ARG(place), why);
    return false;
}

static bool search(struct loader *l, const struct val *schema, unsigned depth);

/* The next link of the chain that goes through `n`. */
static bool search_on(struct loader *l, struct node *n, const struct val *schema, unsigned depth)
{
    if (!search(l, schema, depth + 1))
        return false;
    const struct node *next = schema_node(l->s, schema);
    if (next && next->chain + 1 > n->chain)
        n->chain = next->chain + 1;
    return n->chain <= SCHEMA_CHAIN_MAX || endless(l, "is one of too many references and combinations in a row");
}

static bool search_list(struct loader *l, struct node *n, const struct val *v, unsigned depth)
{
    for (size_t i = 0; v->type == VAL_OBJECT && i < v->obj.n; i++)
        if (v->obj.m[i].val.type == VAL_OBJECT && !search_on(l, n, &v->obj.m[i].val, depth))
            return false;
    for (size_t i = 0; v->type == VAL_ARRAY && i < v->arr.n; i++)
        if (!search_on(l, n, &v->arr.v[i], depth))
            return false;
    return true;
}

static bool search_keywords(struct loader *l, struct node *n, unsigned depth)
{
    static const char *const one[] = {"not", "if", "then", "else"};
    static const char *const many[] = {"allOf", "anyOf", "oneOf", "dependentSchemas", "dependencies"};
    for (size_t i = 0; i < sizeof one / sizeof *one; i++) {
        const struct val *v = val_get(n->at, str_c(one[i]));
        if (v && !search_on(l, n, v, depth))
            return false;
    }
    for (size_t i = 0; i < sizeof many / sizeof *many; i++) {
        const struct val *v = val_get(n->at, str_c(many[i]));
        if (v && !search_list(l, n, v, depth))
            return false;
    }
    return true;
}

/* Goes to every schema that judges the same value as `schema` does. */
static bool search(struct loader *l, const struct val *schema, unsigned depth)
{
    struct node *n = schema_node(l->s, schema);
    if (!n || schema->type != VAL_OBJECT || n->colour == BLACK)
        return true;
    if (n->colour == GREY)
        return endless(l, "leads back to the same schema without going into the value; a check would never end");
    if (depth > SCHEMA_CHAIN_MAX)
        return endless(l, "is one of too many references and combinations in a row");
    n->colour = GREY;
    if (n->target) {
        const struct node *before = l->via;
        l->via = n;
        if (!search_on(l, n, n->target, depth))
            return false;
        l->via = before;
    }
    if (n->dynamic) { /* which other schema it leads to is known in a check only, which is bounded in depth */
        const struct node *before = l->via;
        l->via = n;
        if (!search_on(l, n, n->dynamic, depth))
            return false;
        l->via = before;
    }
    if (!search_keywords(l, n, depth))
        return false;
    n->colour = BLACK;
    return true;
}

static bool load(struct loader *l, const struct val *root)
{
    struct step st = {.v = root, .resource = root};
    if (!walk(l, &st))
        return false;
    while (l->pending) {
        const struct reference *r = l->pending;
        l->pending = r->next;
        if (!resolve(l, r))
            return false;
    }
    for (const struct node *n = l->s->nodes; n; n = n->next)
        if (n->schema && !search(l, n->at, 0))
            return false;
    return true;
}

enum rc schema_load(struct schema *s, struct arena *a, const struct val *root, struct err *err)
{
    *s = (struct schema){.a = a, .root = root};
    struct loader l = {.s = s, .err = err};
    bool ok = load(&l, root);
    map_done(&l.ids);
    map_done(&l.anchors);
    return ok ? RC_OK : err->rc;
}
