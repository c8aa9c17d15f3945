/* The short form says only types: every key that is named must be there, others may. A map is told from a JSON Schema
 * by its words: `type` with the name of a type, or a keyword that only schemas have. */
#include "data/schema_short.h"

#include "base/panic.h"
#include "data/json.h"

enum { DEPTH_MAX = 32 };

static const struct {
    const char *name, *json;
} known[] = {
#define X(name_, json_) {#name_, json_},
#include "data/schema_names.def"
#undef X
};

const char *schema_name_at(size_t i)
{
    return i < sizeof known / sizeof *known ? known[i].name : NULL;
}

const struct val *schema_named(struct arena *a, struct str name)
{
    struct err err;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (str_is(name, known[i].name)) {
            struct val *v = ARENA_NEW(a, struct val);
            enum rc rc = json_parse(a, str_c(known[i].json), &JSON_LIMITS_DEFAULT, v, &err);
            CHECK(rc == RC_OK);
            return v;
        }
    return NULL;
}

/* Words for types, and what older workflows write for them. */
static const char *type_word(struct str s)
{
    static const char *const words[][2] = {
        {"string", "string"}, {"text", "string"},   {"str", "string"},      {"integer", "integer"}, {"int", "integer"},
        {"number", "number"}, {"float", "number"},  {"boolean", "boolean"}, {"bool", "boolean"},    {"array", "array"},
        {"list", "array"},    {"object", "object"}, {"map", "object"},      {"null", "null"},       {"any", ""},
    };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (str_is(s, words[i][0]))
            return words[i][1];
    return NULL;
}

static bool is_type(const struct val *v)
{
    if (val_is(v, VAL_ARRAY)) {
        for (size_t i = 0; i < v->arr.n; i++)
            if (!is_type(&v->arr.v[i]))
                return false;
        return v->arr.n > 0;
    }
    static const char *const names[] = {"string", "integer", "number", "boolean", "array", "object", "null"};
    for (size_t i = 0; val_is(v, VAL_STR) && i < sizeof names / sizeof *names; i++)
        if (str_is(v->s, names[i]))
            return true;
    return false;
}

/* `{type: string}` is a schema, `{type: string, name: string}` is an object with two fields. */
static bool is_json_schema(const struct val *v)
{
    static const char *const telling[] = {"$schema", "$ref", "$defs", "anyOf", "oneOf", "allOf", "enum", "const"};
    static const char *const beside[] = {
        "properties", "required",    "items",     "description", "title",    "additionalProperties",
        "minimum",    "maximum",     "minLength", "maxLength",   "minItems", "pattern",
        "maxItems",   "uniqueItems", "format",    "default",     "examples", "min_length",
        "max_length"};
    for (size_t i = 0; i < sizeof telling / sizeof *telling; i++)
        if (val_get(v, str_c(telling[i])))
            return true;
    if (v->obj.n == 0)
        return true;
    if (!VAL_GET(v, "type"))
        return val_is(VAL_GET(v, "properties"), VAL_OBJECT) || val_is(VAL_GET(v, "required"), VAL_ARRAY);
    if (!is_type(VAL_GET(v, "type")))
        return false;
    for (size_t i = 0; i < v->obj.n; i++) {
        bool keyword = str_is(v->obj.m[i].key, "type");
        for (size_t k = 0; k < sizeof beside / sizeof *beside && !keyword; k++)
            keyword = str_is(v->obj.m[i].key, beside[k]) &&
                      !(val_is(&v->obj.m[i].val, VAL_STR) && type_word(v->obj.m[i].val.s) && k != 3 && k != 4);
        if (!keyword)
            return false;
    }
    return true;
}

/* ---- older spellings ---- */

/* What stands under a keyword: 's' a schema, 'l' a list of schemas, 'm' a map of them, 0: none of the three. */
static char holds(struct str keyword)
{
    static const struct {
        const char *name;
        char kind;
    } keywords[] = {
        {"items", 's'}, {"contains", 's'},    {"additionalProperties", 's'},
        {"not", 's'},   {"if", 's'},          {"then", 's'},
        {"else", 's'},  {"allOf", 'l'},       {"anyOf", 'l'},
        {"oneOf", 'l'}, {"prefixItems", 'l'}, {"properties", 'm'},
        {"$defs", 'm'}, {"definitions", 'm'}, {"patternProperties", 'm'},
    };
    for (size_t i = 0; i < sizeof keywords / sizeof *keywords; i++)
        if (str_is(keyword, keywords[i].name))
            return keywords[i].kind;
    return 0;
}

static const char *modern_keyword(const struct val *schema, const struct member *m)
{
    const char *name = str_is(m->key, "min_length") ? "minLength" : str_is(m->key, "max_length") ? "maxLength" : NULL;
    return name && !val_get(schema, str_c(name)) ? name : NULL;
}

static struct val respelt(struct arena *a, const struct val *v, char kind, unsigned depth, const struct member **old)
{
    if (depth > DEPTH_MAX || (v->type != VAL_OBJECT && v->type != VAL_ARRAY))
        return *v;
    struct val out;
    if (v->type == VAL_ARRAY) {
        struct val_list l = val_list_new(a);
        for (size_t i = 0; i < v->arr.n; i++)
            val_list_push(&l, kind == 'l' ? respelt(a, &v->arr.v[i], 's', depth + 1, old) : v->arr.v[i]);
        out = val_list_done(&l);
    } else {
        struct val_map map = val_map_new(a);
        for (size_t i = 0; i < v->obj.n; i++) {
            const struct member *m = &v->obj.m[i];
            const char *modern = kind == 's' ? modern_keyword(v, m) : NULL;
            char inner = kind == 'm' ? 's' : kind == 's' ? holds(m->key) : 0;
            if (modern && !*old)
                *old = m;
            val_map_add(&map, modern ? str_c(modern) : m->key,
                        inner ? respelt(a, &m->val, inner, depth + 1, old) : m->val, m->line, m->col);
        }
        out = val_map_done(&map);
    }
    out.line = v->line;
    out.col = v->col;
    return out;
}

const struct val *schema_respelt(struct arena *a, const struct val *schema, const struct member **old)
{
    struct val *v = ARENA_NEW(a, struct val);
    *old = NULL;
    *v = respelt(a, schema, 's', 0, old);
    return *old ? v : schema;
}

/* ---- the short form ---- */

static enum rc expand(struct arena *a, const struct val *v, unsigned depth, struct val *ret, struct err *err);

static enum rc expand_object(struct arena *a, const struct val *v, unsigned depth, struct val_map *m, struct err *err)
{
    struct val_map properties = val_map_new(a);
    struct val_list required = val_list_new(a);
    for (size_t i = 0; i < v->obj.n; i++) {
        struct val inner = val_null;
        enum rc rc = expand(a, &v->obj.m[i].val, depth + 1, &inner, err);
        if (rc != RC_OK)
            return err_wrap(err, "%.*s", STR_ARG(v->obj.m[i].key));
        val_map_set(&properties, v->obj.m[i].key, inner);
        val_list_push(&required, val_str(v->obj.m[i].key));
    }
    VAL_MAP_SET(m, "type", VAL_LIT("object"));
    VAL_MAP_SET(m, "properties", val_map_done(&properties));
    VAL_MAP_SET(m, "required", val_list_done(&required));
    return RC_OK;
}

static enum rc expand(struct arena *a, const struct val *v, unsigned depth, struct val *ret, struct err *err)
{
    struct val_map m = val_map_new(a);
    enum rc rc = RC_OK;
    if (depth > DEPTH_MAX)
        return err_set(err, RC_INVALID, "the schema is nested more than %d levels deep", DEPTH_MAX);
    if (v->type == VAL_STR) {
        const char *word = type_word(str_trim(v->s));
        if (!word)
            return err_set(err, RC_INVALID,
                           "`%.*s` is no type; expected string, integer, number, boolean, array or object",
                           STR_ARG(str_n(v->s.p, v->s.n < 60 ? v->s.n : 60)));
        if (*word)
            VAL_MAP_SET(&m, "type", val_str(str_c(word)));
    } else if (v->type == VAL_OBJECT && is_json_schema(v)) {
        const struct member *old;
        *ret = *schema_respelt(a, v, &old);
        return RC_OK;
    } else if (v->type == VAL_OBJECT) {
        rc = expand_object(a, v, depth, &m, err);
    } else if (v->type == VAL_ARRAY && v->arr.n <= 1) {
        VAL_MAP_SET(&m, "type", VAL_LIT("array"));
        struct val items = val_null;
        if (v->arr.n && (rc = expand(a, &v->arr.v[0], depth + 1, &items, err)) == RC_OK)
            VAL_MAP_SET(&m, "items", items);
    } else {
        return err_set(err, RC_INVALID, "%s is no type; expected a word such as string, a map, or a list of one item",
                       val_type_name(v));
    }
    *ret = val_map_done(&m);
    return rc;
}

enum rc schema_from(struct arena *a, const struct val *written, const struct val **ret, struct err *err)
{
    if (written->type == VAL_STR) {
        *ret = schema_named(a, written->s);
        return *ret ? RC_OK
                    : err_set(err, RC_INVALID,
                              "no schema is called `%.*s`; expected analysis_result, code_analysis, test_results, "
                              "api_response, file_operation or documentation, or a schema",
                              STR_ARG(str_n(written->s.p, written->s.n < 60 ? written->s.n : 60)));
    }
    if (written->type != VAL_OBJECT)
        return err_set(err, RC_INVALID, "a schema is %s; expected a map or the name of a known schema",
                       val_type_name(written));
    struct val *v = ARENA_NEW(a, struct val);
    *ret = v;
    return expand(a, written, 0, v, err);
}
