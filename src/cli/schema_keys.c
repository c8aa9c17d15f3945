/* One key, one table: their JSON Schemas.
 *
 * A row of a table says what its key may be (flow/step.h, flow/range.h); here that is said once more in the words of
 * JSON Schema. tests/scenario/test_schema_differential.py holds the two against each other. */
#include "cli/schema_keys.h"

#include "base/panic.h"
#include "data/transform.h"
#include "flow/range.h"

/* ---- pieces ---- */

struct val piece(struct maker *k, const char *text)
{
    struct val v;
    struct err err;
    if (json_parse(&k->a, str_c(text), &JSON_LIMITS_DEFAULT, &v, &err) != RC_OK)
        PANIC("a piece of the schema is no JSON: %s", err.msg);
    return v;
}

struct val piece_reference(struct maker *k, const char *name)
{
    return piece(k, arena_printf(&k->a, "{\"$ref\":\"#/definitions/%s\"}", name).p);
}

void piece_define(struct maker *k, const char *name, struct val schema)
{
    val_map_set(&k->defs, arena_str(&k->a, str_c(name)), schema);
}

struct val piece_texts(struct maker *k, const char *bars)
{
    struct val_list l = val_list_new(&k->a);
    struct str rest = str_c(bars), one;
    while (str_word(&rest, '|', &one))
        val_list_push(&l, val_str(one));
    return val_list_done(&l);
}

struct val piece_any(struct maker *k, const char *others, struct val last)
{
    struct val any = piece(k, others);
    struct val_list l = val_list_new(&k->a);
    for (size_t i = 0; val_at(&any, i); i++)
        val_list_push(&l, *val_at(&any, i));
    val_list_push(&l, last);
    struct val_map m = val_map_new(&k->a);
    VAL_MAP_SET(&m, "anyOf", val_list_done(&l));
    return val_map_done(&m);
}

static struct val with_hole(struct maker *k, struct val one, bool holes)
{
    return holes ? piece_any(k, "[{\"$ref\":\"#/definitions/hole\"}]", one) : one;
}

static struct val enumeration(struct maker *k, struct val names)
{
    struct val_map m = val_map_new(&k->a);
    VAL_MAP_SET(&m, "enum", names);
    return val_map_done(&m);
}

struct val piece_names(struct maker *k, const char *(*name)(size_t))
{
    struct val_list l = val_list_new(&k->a);
    for (size_t i = 0; name(i); i++)
        val_list_push(&l, val_str(str_c(name(i))));
    return enumeration(k, val_list_done(&l));
}

/* ---- values by kind ---- */

static struct val plain_number(double x)
{
    return x == floor(x) && fabs(x) < 1e18 ? val_int((int64_t)x) : val_double(x);
}

static struct val list_of(struct maker *k, struct val one)
{
    struct val_map m = val_map_new(&k->a);
    VAL_MAP_SET(&m, "type", VAL_LIT("array"));
    VAL_MAP_SET(&m, "items", one);
    return val_map_done(&m);
}

/* {type, minimum, maximum} of a plain number; a duration or a size may be text with a unit as well. */
static struct val number(struct maker *k, const struct step_key *row, bool holes)
{
    struct key_range r = key_range(row);
    struct val_map n = val_map_new(&k->a);
    bool whole = row->kind == KEY_INT || row->kind == KEY_INTS;
    VAL_MAP_SET(&n, "type", whole ? VAL_LIT("integer") : VAL_LIT("number"));
    if (isfinite(r.least))
        val_map_set(&n, r.above ? STR("exclusiveMinimum") : STR("minimum"), plain_number(r.least));
    if (isfinite(r.most))
        VAL_MAP_SET(&n, "maximum", plain_number(r.most));
    struct val one = val_map_done(&n);
    struct val_list any = val_list_new(&k->a);
    val_list_push(&any, one);
    if (row->kind == KEY_DURATION)
        val_list_push(&any, piece_reference(k, r.above ? "some_time" : "time"));
    if (row->kind == KEY_SIZE)
        val_list_push(&any, piece_reference(k, r.least > 0 ? "some_bytes" : "bytes"));
    if (row->kind == KEY_INTS)
        val_list_push(&any, list_of(k, with_hole(k, one, holes)));
    if (holes)
        val_list_push(&any, piece_reference(k, "hole"));
    if (any.n == 1)
        return one;
    struct val_map m = val_map_new(&k->a);
    VAL_MAP_SET(&m, "anyOf", val_list_done(&any));
    return val_map_done(&m);
}

static struct val operations(struct maker *k)
{
    struct val_map item = val_map_new(&k->a), properties = val_map_new(&k->a);
    VAL_MAP_SET(&properties, "operation", piece_names(k, transform_operation));
    VAL_MAP_SET(&item, "type", VAL_LIT("object"));
    VAL_MAP_SET(&item, "required", piece_texts(k, "operation"));
    VAL_MAP_SET(&item, "properties", val_map_done(&properties));
    VAL_MAP_SET(&item, "propertyNames", piece_names(k, transform_key));
    return list_of(k, val_map_done(&item));
}

static struct val of_kind(struct maker *k, const struct key_table *t, const struct step_key *row)
{
    static const char *const kinds[] = {
        [KEY_STRING] = "{\"type\":\"string\"}",
        [KEY_TEMPLATE] = "{\"type\":\"string\"}",
        [KEY_ANY] = "{}",
        [KEY_DATA] = "{}",
        [KEY_COND] = "{\"$ref\":\"#/definitions/condition\"}",
        [KEY_STEPS] = "{\"$ref\":\"#/definitions/steps\"}",
        [KEY_EACH] = "{\"$ref\":\"#/definitions/each\"}",
        [KEY_TASKS] = "{\"$ref\":\"#/definitions/tasks\"}",
        [KEY_BRANCHES] = "{\"type\":\"object\",\"minProperties\":1,\"additionalProperties\":"
                         "{\"$ref\":\"#/definitions/steps\"}}",
        [KEY_PROMPT] = "{\"anyOf\":[{\"type\":\"string\"},{\"type\":\"array\",\"minItems\":1,\"items\":"
                       "{\"$ref\":\"#/definitions/prompt_part\"}}]}",
        [KEY_BOOL] = "{\"type\":\"boolean\"}",
        [KEY_STRINGS] = "{\"anyOf\":[{\"type\":\"string\"},{\"type\":\"array\",\"items\":{\"type\":\"string\"}}]}",
        [KEY_OBJECT] = "{\"type\":\"object\"}",
    };
    bool holes = t->holes && !row->fixed && row->kind >= KEY_BOOL && row->kind <= KEY_OBJECT;
    if (row->choices && row->kind != KEY_ENUM && row->kind != KEY_EACH)
        return piece_reference(k, row->choices);
    if (row->kind == KEY_OPERATIONS)
        return operations(k);
    if (key_is_number(row->kind) || row->kind == KEY_INTS)
        return number(k, key_ranged(t->keys, row), holes);
    if (row->kind == KEY_ENUM)
        return with_hole(k, enumeration(k, piece_texts(k, row->choices)), holes);
    return with_hole(k, piece(k, kinds[row->kind]), holes && row->kind != KEY_STRINGS);
}

/* ---- keys ---- */

/* What the key is when it is not given, where that is a value and not a sentence. */
static bool default_value(struct maker *k, const struct step_key *row, struct val *ret)
{
    struct str s = str_c(row->fallback);
    struct err err;
    if (!s.n || row->kind == KEY_STEPS)
        return false;
    if (row->kind == KEY_BOOL || key_is_number(row->kind) || row->kind == KEY_INTS) {
        if (json_parse(&k->a, s, &JSON_LIMITS_DEFAULT, ret, &err) == RC_OK)
            return val_is_number(ret) || ret->type == VAL_BOOL;
        *ret = val_str(s);
        bool unit = row->kind == KEY_DURATION || row->kind == KEY_SIZE;
        return unit && s.p[0] >= '0' && s.p[0] <= '9' && str_find(s, STR(" ")) == SIZE_MAX;
    }
    *ret = val_str(s);
    return row->kind == KEY_ENUM &&
           str_find(arena_printf(&k->a, "|%s|", row->choices), arena_printf(&k->a, "|%s|", row->fallback)) != SIZE_MAX;
}

static void deprecate(struct val_map *m, struct str why)
{
    VAL_MAP_SET(m, "deprecated", val_true);
    VAL_MAP_SET(m, "deprecationMessage", val_str(why));
}

/* {description, …}; what is only a reference is wrapped, for nothing counts beside one. */
static struct val described(struct maker *k, const struct key_table *t, const struct step_key *row)
{
    struct val_map m = val_map_new(&k->a);
    struct val kind = of_kind(k, t, row), value;
    struct str doc = str_c(row->doc);
    if (row->fallback)
        doc = arena_printf(&k->a, "%s Default: %s.", row->doc, row->fallback);
    if (row->alias_of)
        doc = arena_printf(&k->a, "%s Another spelling of `%s`.", row->doc, row->alias_of);
    VAL_MAP_SET(&m, "description", val_str(doc));
    if (default_value(k, row, &value))
        VAL_MAP_SET(&m, "default", value);
    if (row->alias_of)
        VAL_MAP_SET(&m, "doNotSuggest", val_true);
    if (row->alias_of && t->older)
        deprecate(&m, arena_printf(&k->a, "An older form of `%s`.", row->alias_of));
    if (t->nulls && row->kind != KEY_ANY && row->kind != KEY_DATA)
        kind = piece_any(k, "[{\"type\":\"null\"}]", kind);
    if (VAL_GET(&kind, "$ref")) {
        struct val_list all = val_list_new(&k->a);
        val_list_push(&all, kind);
        VAL_MAP_SET(&m, "allOf", val_list_done(&all));
    } else {
        val_map_merge(&m, &kind);
    }
    return val_map_done(&m);
}

static bool has(const struct val_map *m, const char *key)
{
    for (size_t i = 0; i < m->n; i++)
        if (str_is(m->m[i].key, key))
            return true;
    return false;
}

void table_properties(struct maker *k, struct val_map *properties, const struct key_table *t)
{
    for (const struct step_key *row = t->keys; row->name; row++) {
        const char *shared = t->shared ? arena_printf(&k->a, "%s_%s", t->shared, row->name).p : NULL;
        if (has(properties, row->name))
            continue;
        if (shared && !has(&k->defs, shared))
            piece_define(k, shared, described(k, t, row));
        val_map_set(properties, str_c(row->name), shared ? piece_reference(k, shared) : described(k, t, row));
    }
    for (const struct unused_key *row = t->unused; row && row->name; row++) {
        struct val_map m = val_map_new(&k->a);
        struct str why = arena_printf(&k->a, "Has no effect: %s.", row->why);
        VAL_MAP_SET(&m, "description", val_str(why));
        deprecate(&m, why);
        if (!has(properties, row->name))
            val_map_set(properties, str_c(row->name), val_map_done(&m));
    }
}

/* ---- rules ---- */

static bool spells(const struct step_key *row, const char *name)
{
    return strcmp(row->name, name) == 0 || (row->alias_of && strcmp(row->alias_of, name) == 0);
}

static struct val requires(struct maker *k, const char *bars)
{
    struct val_map m = val_map_new(&k->a);
    VAL_MAP_SET(&m, "required", piece_texts(k, bars));
    return val_map_done(&m);
}

/* Not two keys that mean the same. */
static void add_once(struct maker *k, struct val_list *all, const struct step_key *keys, const char *name)
{
    struct val_list pairs = val_list_new(&k->a);
    for (const struct step_key *one = keys; one->name; one++)
        for (const struct step_key *two = one + 1; spells(one, name) && two->name; two++)
            if (spells(two, name))
                val_list_push(&pairs, requires(k, arena_printf(&k->a, "%s|%s", one->name, two->name).p));
    if (!pairs.n)
        return;
    struct val_map any = val_map_new(&k->a), m = val_map_new(&k->a);
    VAL_MAP_SET(&any, "anyOf", val_list_done(&pairs));
    VAL_MAP_SET(&m, "not", val_map_done(&any));
    VAL_MAP_SET(&m, "errorMessage",
                val_str(arena_printf(&k->a, "Two of these keys mean the same; expected only `%s`.", name)));
    val_list_push(all, val_map_done(&m));
}

void table_rules(struct maker *k, struct val_list *required, struct val_list *all, const struct key_table *t)
{
    for (const struct step_key *row = t->keys; row->name; row++) {
        struct val_list any = val_list_new(&k->a);
        if (row->alias_of)
            continue;
        for (const struct step_key *one = t->keys; one->name; one++)
            if (spells(one, row->name))
                val_list_push(&any, requires(k, one->name));
        if (row->required && any.n == 1) {
            val_list_push(required, val_str(str_c(row->name)));
        } else if (row->required) {
            struct val_map m = val_map_new(&k->a);
            VAL_MAP_SET(&m, "anyOf", val_list_done(&any));
            val_list_push(all, val_map_done(&m));
        }
        if (t->once)
            add_once(k, all, t->keys, row->name);
    }
}

struct val table_object(struct maker *k, const struct key_table *t, const struct key_table *more)
{
    struct val_map properties = val_map_new(&k->a), m = val_map_new(&k->a);
    struct val_list required = val_list_new(&k->a), all = val_list_new(&k->a);
    VAL_MAP_SET(&m, "type", VAL_LIT("object"));
    table_properties(k, &properties, t);
    table_rules(k, &required, &all, t);
    if (more)
        table_properties(k, &properties, more);
    if (required.n)
        VAL_MAP_SET(&m, "required", val_list_done(&required));
    if (all.n)
        VAL_MAP_SET(&m, "allOf", val_list_done(&all));
    VAL_MAP_SET(&m, "properties", val_map_done(&properties));
    VAL_MAP_SET(&m, "patternProperties", piece(k, "{\"^[$](if|then|else)$\":{}}"));
    VAL_MAP_SET(&m, "additionalProperties", val_false);
    return val_map_done(&m);
}
