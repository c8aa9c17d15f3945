/* schema: the workflow language as a JSON Schema, for editors.
 *
 * It is made from the tables that the loader reads by, so it knows exactly the keys that this program knows. It is
 * looser than `treadle validate` where a schema cannot follow (names, expressions, what excludes what). It is stricter
 * only about older forms: the outermost level without `workflow`, and older words for the same thing (`constant` for
 * `fixed`), which editors need not offer. */
#include "base/buf.h"
#include "base/panic.h"
#include "cli/commands.h"
#include "cli/said.h"
#include "cli/session.h"
#include "data/json.h"
#include "data/transform.h"
#include "flow/keys.h"
#include "flow/range.h"

struct maker {
    struct arena a;
    struct val_map defs;
};

/* ---- pieces ---- */

/* A schema written as JSON here in the source. */
static struct val piece(struct maker *k, const char *text)
{
    struct val v;
    struct err err;
    if (json_parse(&k->a, str_c(text), &JSON_LIMITS_DEFAULT, &v, &err) != RC_OK)
        PANIC("a piece of the schema is no JSON: %s", err.msg);
    return v;
}

static struct val reference(struct maker *k, const char *name)
{
    return piece(k, arena_printf(&k->a, "{\"$ref\":\"#/$defs/%s\"}", name).p);
}

static void define(struct maker *k, const char *name, struct val schema)
{
    val_map_set(&k->defs, arena_str(&k->a, str_c(name)), schema);
}

static struct val texts(struct maker *k, const char *bars)
{
    struct val_list l = val_list_new(&k->a);
    struct str rest = str_c(bars), one;
    while (str_word(&rest, '|', &one))
        val_list_push(&l, val_str(one));
    return val_list_done(&l);
}

static struct val enumeration(struct maker *k, const struct step_key *row)
{
    struct val_map one = val_map_new(&k->a), m = val_map_new(&k->a);
    struct val_list any = val_list_new(&k->a);
    VAL_MAP_SET(&one, "enum", texts(k, row->choices));
    val_list_push(&any, val_map_done(&one));
    val_list_push(&any, reference(k, "hole"));
    VAL_MAP_SET(&m, "anyOf", val_list_done(&any));
    return val_map_done(&m);
}

static struct val names(struct maker *k, const char *(*name)(size_t))
{
    struct val_list l = val_list_new(&k->a);
    for (size_t i = 0; name(i); i++)
        val_list_push(&l, val_str(str_c(name(i))));
    struct val_map m = val_map_new(&k->a);
    VAL_MAP_SET(&m, "enum", val_list_done(&l));
    return val_map_done(&m);
}

static struct val plain_number(double x)
{
    return x == floor(x) && fabs(x) < 1e18 ? val_int((int64_t)x) : val_double(x);
}

/* {type: array, items: {anyOf: [one, hole]}} */
static struct val list_of(struct maker *k, struct val one)
{
    struct val_map m = val_map_new(&k->a), items = val_map_new(&k->a);
    struct val_list any = val_list_new(&k->a);
    val_list_push(&any, one);
    val_list_push(&any, reference(k, "hole"));
    VAL_MAP_SET(&items, "anyOf", val_list_done(&any));
    VAL_MAP_SET(&m, "type", VAL_LIT("array"));
    VAL_MAP_SET(&m, "items", val_map_done(&items));
    return val_map_done(&m);
}

/* {type, minimum, maximum} of a plain number; a duration or a size may be text with a unit as well. */
static struct val number(struct maker *k, const struct step_key *row)
{
    struct key_range r = key_range(row);
    struct val_map n = val_map_new(&k->a), m = val_map_new(&k->a);
    struct val_list any = val_list_new(&k->a);
    VAL_MAP_SET(&n, "type", row->kind == KEY_INT || row->kind == KEY_INTS ? VAL_LIT("integer") : VAL_LIT("number"));
    if (isfinite(r.least))
        val_map_set(&n, r.above ? STR("exclusiveMinimum") : STR("minimum"), plain_number(r.least));
    if (isfinite(r.most))
        VAL_MAP_SET(&n, "maximum", plain_number(r.most));
    struct val one = val_map_done(&n);
    val_list_push(&any, one);
    if (row->kind == KEY_DURATION)
        val_list_push(&any, reference(k, r.above ? "some_time" : "time"));
    if (row->kind == KEY_SIZE)
        val_list_push(&any, reference(k, r.least > 0 ? "some_bytes" : "bytes"));
    val_list_push(&any, reference(k, "hole"));
    if (row->kind == KEY_INTS)
        val_list_push(&any, list_of(k, one));
    VAL_MAP_SET(&m, "anyOf", val_list_done(&any));
    return val_map_done(&m);
}

static struct val operations(struct maker *k)
{
    struct val_map m = val_map_new(&k->a), item = val_map_new(&k->a), properties = val_map_new(&k->a);
    struct val required = val_str(STR("operation"));
    struct val_list l = val_list_new(&k->a);
    val_list_push(&l, required);
    VAL_MAP_SET(&properties, "operation", names(k, transform_operation));
    VAL_MAP_SET(&item, "type", val_str(STR("object")));
    VAL_MAP_SET(&item, "required", val_list_done(&l));
    VAL_MAP_SET(&item, "properties", val_map_done(&properties));
    VAL_MAP_SET(&item, "propertyNames", names(k, transform_key));
    VAL_MAP_SET(&m, "type", val_str(STR("array")));
    VAL_MAP_SET(&m, "items", val_map_done(&item));
    return val_map_done(&m);
}

static struct val of_kind(struct maker *k, const struct step_key *keys, const struct step_key *row)
{
    static const char *const kinds[] = {
        [KEY_STRING] = "{\"type\":\"string\"}",
        [KEY_TEMPLATE] = "{\"type\":\"string\"}",
        [KEY_ANY] = "{}",
        [KEY_DATA] = "{}",
        [KEY_COND] = "{\"$ref\":\"#/$defs/condition\"}",
        [KEY_STEPS] = "{\"$ref\":\"#/$defs/steps\"}",
        [KEY_EACH] = "{\"$ref\":\"#/$defs/each\"}",
        [KEY_TASKS] = "{\"$ref\":\"#/$defs/tasks\"}",
        [KEY_BRANCHES] = "{\"type\":\"object\",\"minProperties\":1,\"additionalProperties\":"
                         "{\"$ref\":\"#/$defs/steps\"}}",
        [KEY_PROMPT] = "{\"anyOf\":[{\"type\":\"string\"},{\"type\":\"array\",\"minItems\":1,\"items\":"
                       "{\"$ref\":\"#/$defs/prompt_part\"}}]}",
        [KEY_BOOL] = "{\"anyOf\":[{\"type\":\"boolean\"},{\"$ref\":\"#/$defs/hole\"}]}",
        [KEY_STRINGS] = "{\"anyOf\":[{\"type\":\"string\"},{\"type\":\"array\",\"items\":{\"type\":\"string\"}}]}",
        [KEY_OBJECT] = "{\"anyOf\":[{\"type\":\"object\"},{\"$ref\":\"#/$defs/hole\"}]}",
    };
    if (row->choices && row->kind != KEY_ENUM && row->kind != KEY_EACH)
        return reference(k, row->choices);
    if (row->kind == KEY_OPERATIONS)
        return operations(k);
    if (key_is_number(row->kind) || row->kind == KEY_INTS)
        return number(k, key_ranged(keys, row));
    return row->kind == KEY_ENUM ? enumeration(k, row) : piece(k, kinds[row->kind]);
}

/* ---- objects with keys ---- */

static struct val described(struct maker *k, const struct step_key *keys, const struct step_key *row)
{
    struct val_map m = val_map_new(&k->a);
    struct val kind = of_kind(k, keys, row);
    struct str doc = str_c(row->doc);
    if (row->fallback)
        doc = arena_printf(&k->a, "%s Default: %s.", row->doc, row->fallback);
    if (row->alias_of)
        doc = arena_printf(&k->a, "%s Another spelling of `%s`.", row->doc, row->alias_of);
    VAL_MAP_SET(&m, "description", val_str(doc));
    val_map_merge(&m, &kind);
    return val_map_done(&m);
}

static bool has(const struct val_map *m, const char *key)
{
    for (size_t i = 0; i < m->n; i++)
        if (str_is(m->m[i].key, key))
            return true;
    return false;
}

static void add_properties(struct maker *k, struct val_map *properties, const struct step_key *keys)
{
    for (const struct step_key *row = keys; row->name; row++)
        if (!has(properties, row->name))
            val_map_set(properties, str_c(row->name), described(k, keys, row));
}

static void add_unused(struct maker *k, struct val_map *properties, const struct unused_key *keys)
{
    for (const struct unused_key *row = keys; row && row->name; row++) {
        struct val_map m = val_map_new(&k->a);
        VAL_MAP_SET(&m, "description", val_str(arena_printf(&k->a, "Has no effect: %s.", row->why)));
        VAL_MAP_SET(&m, "deprecated", val_true);
        if (!has(properties, row->name))
            val_map_set(properties, str_c(row->name), val_map_done(&m));
    }
}

/* {anyOf: [{required: [run]}, {required: [command]}]}: a key under any of its spellings. */
static struct val one_spelling(struct maker *k, const struct step_key *keys, const char *name)
{
    struct val_list any = val_list_new(&k->a);
    for (const struct step_key *row = keys; row->name; row++) {
        if (strcmp(row->name, name) != 0 && !(row->alias_of && strcmp(row->alias_of, name) == 0))
            continue;
        struct val_map m = val_map_new(&k->a);
        VAL_MAP_SET(&m, "required", texts(k, row->name));
        val_list_push(&any, val_map_done(&m));
    }
    struct val_map m = val_map_new(&k->a);
    VAL_MAP_SET(&m, "anyOf", val_list_done(&any));
    return val_map_done(&m);
}

static void add_required(struct maker *k, struct val_list *all, const struct step_key *keys)
{
    for (const struct step_key *row = keys; row->name; row++)
        if (row->required && !row->alias_of)
            val_list_push(all, one_spelling(k, keys, row->name));
}

/* `more`: a second table whose keys go behind the first one's, or NULL. */
static struct val object(struct maker *k, const struct step_key *keys, const struct step_key *more,
                         const struct unused_key *unused)
{
    struct val_map properties = val_map_new(&k->a), m = val_map_new(&k->a);
    struct val_list all = val_list_new(&k->a);
    add_properties(k, &properties, keys);
    add_required(k, &all, keys);
    if (more) {
        add_properties(k, &properties, more);
        add_required(k, &all, more);
    }
    add_unused(k, &properties, unused);
    VAL_MAP_SET(&m, "type", VAL_LIT("object"));
    if (all.n)
        VAL_MAP_SET(&m, "allOf", val_list_done(&all));
    VAL_MAP_SET(&m, "properties", val_map_done(&properties));
    VAL_MAP_SET(&m, "patternProperties", piece(k, "{\"^[$](if|then|else)$\":{}}"));
    VAL_MAP_SET(&m, "additionalProperties", val_false);
    return val_map_done(&m);
}

/* ---- definitions ---- */

static struct val of_any(struct maker *k, const char *others, struct val last)
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

static void add_names(struct val_list *l, const struct step_key *keys)
{
    for (; keys->name; keys++)
        val_list_push(l, val_str(str_c(keys->name)));
}

/* {prompt, turn, …} with the keys of claude_session, or a prompt. */
static void define_exchanges(struct maker *k)
{
    struct val_list names = val_list_new(&k->a);
    struct val_map propertyNames = val_map_new(&k->a), item = val_map_new(&k->a), all = val_map_new(&k->a);
    add_names(&names, step_type_find(STR("claude_session"))->keys);
    add_names(&names, step_common_keys);
    val_list_push(&names, VAL_LIT("turn"));
    VAL_MAP_SET(&propertyNames, "enum", val_list_done(&names));
    VAL_MAP_SET(&item, "type", VAL_LIT("object"));
    VAL_MAP_SET(&item, "propertyNames", val_map_done(&propertyNames));
    VAL_MAP_SET(&all, "type", VAL_LIT("array"));
    VAL_MAP_SET(&all, "minItems", val_int(1));
    VAL_MAP_SET(&all, "items", of_any(k, "[{\"type\":\"string\"}]", val_map_done(&item)));
    define(k, "exchanges", val_map_done(&all));
}

/* A task with an id and without a type has the keys of a claude step; other forms are as the loader takes them. */
static void define_tasks(struct maker *k)
{
    struct val_list names = val_list_new(&k->a);
    struct val_map propertyNames = val_map_new(&k->a), then = val_map_new(&k->a), task = val_map_new(&k->a);
    add_names(&names, step_type_find(STR("claude"))->keys);
    add_names(&names, step_common_keys);
    val_list_push(&names, VAL_LIT("task_id"));
    val_list_push(&names, VAL_LIT("file"));
    VAL_MAP_SET(&propertyNames, "enum", val_list_done(&names));
    VAL_MAP_SET(&then, "propertyNames", val_map_done(&propertyNames));
    VAL_MAP_SET(
        &task, "if",
        piece(k, "{\"type\":\"object\",\"anyOf\":[{\"required\":[\"id\"]},{\"required\":[\"task_id\"]},{\"required\":["
                 "\"name\"]}],\"not\":{\"required\":[\"type\"]}}"));
    VAL_MAP_SET(&task, "then", val_map_done(&then));
    define(k, "task", val_map_done(&task));
    define(k, "tasks",
           piece(k, "{\"anyOf\":[{\"type\":\"string\"},{\"type\":\"object\"},{\"type\":\"array\",\"items\":{\"$ref\":"
                    "\"#/$defs/task\"}}]}"));
}

/* Files that file_ops deletes, or checks; and what it does with each piece of one, unless that is a step. */
static void define_files(struct maker *k)
{
    struct val_map each = val_map_new(&k->a);
    define(k, "chosen_files",
           piece(k, "{\"anyOf\":[{\"$ref\":\"#/$defs/chosen_file\"},"
                    "{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/chosen_file\"}}]}"));
    define(k, "chosen_file",
           piece(k, "{\"anyOf\":[{\"type\":\"string\"},{\"$ref\":\"#/$defs/file_source\"},"
                    "{\"$ref\":\"#/$defs/file_criteria\"}]}"));
    VAL_MAP_SET(&each, "type", piece(k, "[\"string\",\"object\"]"));
    VAL_MAP_SET(&each, "if",
                piece(k, "{\"required\":[\"type\"],\"properties\":{\"type\":{\"enum\":[\"identity\",\"uppercase\","
                         "\"lowercase\",\"trim\",\"replace\"]}}}"));
    VAL_MAP_SET(&each, "then", of_any(k, "[{\"type\":\"string\"}]", reference(k, "processor")));
    define(k, "each", val_map_done(&each));
}

static void define_values(struct maker *k)
{
    define(k, "files",
           piece(k, "{\"description\":\"Workflow files, relative to this one.\",\"anyOf\":[{\"type\":\"string\"},"
                    "{\"type\":\"array\",\"items\":{\"type\":\"string\"}}]}"));
    define(k, "hole", piece(k, "{\"type\":\"string\",\"pattern\":\"[{][{]\"}"));
    define(k, "time",
           piece(k, "{\"description\":\"Text such as 250ms, 5s, 10m, 2h or 1d.\",\"type\":\"string\",\"pattern\":"
                    "\"^\\\\s*[0-9]+([.][0-9]+)?\\\\s*(ms|s|m|h|d)?\\\\s*$\"}"));
    define(k, "some_time", piece(k, "{\"$ref\":\"#/$defs/time\",\"pattern\":\"[1-9]\"}"));
    define(k, "bytes",
           piece(k, "{\"description\":\"Text such as 64KB, 10MB or 1GB.\",\"type\":\"string\",\"pattern\":"
                    "\"^\\\\s*[0-9]+([.][0-9]+)?\\\\s*([kKmMgGtT]?[iI]?[bB])?\\\\s*$\"}"));
    define(k, "some_bytes", piece(k, "{\"$ref\":\"#/$defs/bytes\",\"pattern\":\"[1-9]\"}"));
    define(k, "condition", piece(k, "{\"type\":[\"string\",\"boolean\",\"object\",\"array\"]}"));
    define(k, "steps", piece(k, "{\"type\":\"array\",\"minItems\":1,\"items\":{\"$ref\":\"#/$defs/step\"}}"));
    define(k, "on_error",
           piece(k, "{\"anyOf\":[{\"enum\":[\"fail\",\"continue\"]},{\"$ref\":\"#/$defs/steps\"},"
                    "{\"type\":\"object\",\"required\":[\"goto\"],\"properties\":{\"goto\":{\"type\":\"string\"}},"
                    "\"additionalProperties\":false},{\"type\":\"object\",\"required\":[\"steps\"],\"properties\":"
                    "{\"steps\":{\"$ref\":\"#/$defs/steps\"}},\"additionalProperties\":false}]}"));
}

/* A workflow written inside a step: as one of its own, but that it needs no name. */
static struct val inner_workflow(struct maker *k)
{
    struct val_map properties = val_map_new(&k->a), m = val_map_new(&k->a);
    VAL_MAP_SET(&properties, "workflow", reference(k, "workflow"));
    add_properties(k, &properties, workflow_keys);
    add_unused(k, &properties, workflow_unused_keys);
    VAL_MAP_SET(&m, "type", VAL_LIT("object"));
    VAL_MAP_SET(&m, "properties", val_map_done(&properties));
    VAL_MAP_SET(&m, "additionalProperties", val_false);
    return val_map_done(&m);
}

/* What must be there may come from a file that this one extends or includes, named inside the map or beside it. */
static void define_workflow(struct maker *k)
{
    struct val whole = object(k, workflow_keys, NULL, workflow_unused_keys);
    struct val_map m = val_map_new(&k->a), must = val_map_new(&k->a);
    for (size_t i = 0; i < whole.obj.n; i++)
        val_map_set(str_is(whole.obj.m[i].key, "allOf") ? &must : &m, whole.obj.m[i].key, whole.obj.m[i].val);
    define(k, "workflow", val_map_done(&m));
    define(k, "whole_workflow",
           of_any(k, "[{\"required\":[\"extends\"]},{\"required\":[\"include\"]}]", val_map_done(&must)));
}

/* What a block may be instead of a map. */
static const char *instead(const char *name)
{
    static const char *const others[][2] = {
        {"retry", "[{\"type\":\"integer\",\"minimum\":1,\"maximum\":1000},{\"type\":\"boolean\"}]"},
        {"cache", "[{\"type\":\"boolean\"}]"},
        {"workspace_isolation", "[{\"type\":\"boolean\"},{\"$ref\":\"#/$defs/hole\"}]"},
        {"input", "[{\"type\":[\"string\",\"null\"]}]"},
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strcmp(others[i][0], name) == 0)
            return others[i][1];
    return NULL;
}

static bool may_be_hole(const struct key_block *b)
{
    return b->plain || b->keys == call_config_keys || b->keys == tasks_config_keys;
}

static void define_block(struct maker *k, const struct key_block *b)
{
    struct val map = object(k, b->keys, NULL, b->unused);
    if (b->open) {
        struct val_map m = val_map_new(&k->a);
        for (size_t i = 0; i < map.obj.n; i++)
            if (!str_is(map.obj.m[i].key, "additionalProperties"))
                val_map_set(&m, map.obj.m[i].key, map.obj.m[i].val);
        map = val_map_done(&m);
    }
    if (instead(b->name))
        map = of_any(k, instead(b->name), map);
    else if (may_be_hole(b))
        map = of_any(k, "[{\"$ref\":\"#/$defs/hole\"}]", map);
    define(k, b->name, map);
}

static void define_blocks(struct maker *k)
{
    define(k, "inner_workflow", inner_workflow(k));
    for (size_t i = 0; key_block_at(i); i++)
        define_block(k, key_block_at(i));
    define(k, "inputs",
           piece(k, "{\"type\":[\"object\",\"null\"],\"additionalProperties\":"
                    "{\"$ref\":\"#/$defs/input\"}}"));
    define_workflow(k);
    define_tasks(k);
    define_exchanges(k);
}

static struct val names_of(struct maker *k, const struct step_type *t)
{
    return texts(k, t->aliases ? arena_printf(&k->a, "%s|%s", t->name, t->aliases).p : t->name);
}

/* One `if type is …, then …` for each type: editors then offer the keys of the type that is written. */
static void define_steps(struct maker *k)
{
    struct val_list all = val_list_new(&k->a), every = val_list_new(&k->a);
    const struct step_type *t;
    for (size_t i = 0; (t = step_type_at(i)); i++) {
        const char *name = arena_printf(&k->a, "step_%s", t->name).p;
        struct val own = object(k, t->keys, step_common_keys, step_unused_keys);
        struct val_map whole = val_map_new(&k->a), type = val_map_new(&k->a), at = val_map_new(&k->a),
                       iff = val_map_new(&k->a), branch = val_map_new(&k->a);
        VAL_MAP_SET(&whole, "description", val_str(str_c(t->doc)));
        val_map_merge(&whole, &own);
        define(k, name, val_map_done(&whole));
        struct val names = names_of(k, t);
        for (size_t n = 0; val_at(&names, n); n++)
            val_list_push(&every, *val_at(&names, n));
        VAL_MAP_SET(&type, "enum", names);
        VAL_MAP_SET(&at, "type", val_map_done(&type));
        VAL_MAP_SET(&iff, "properties", val_map_done(&at));
        VAL_MAP_SET(&iff, "required", texts(k, "type"));
        VAL_MAP_SET(&branch, "if", val_map_done(&iff));
        VAL_MAP_SET(&branch, "then", reference(k, name));
        val_list_push(&all, val_map_done(&branch));
    }
    struct val_map type = val_map_new(&k->a), properties = val_map_new(&k->a), m = val_map_new(&k->a);
    struct val_map known = val_map_new(&k->a);
    struct val_list any = val_list_new(&k->a);
    VAL_MAP_SET(&known, "enum", val_list_done(&every));
    val_list_push(&any, val_map_done(&known));
    val_list_push(&any, reference(k, "hole"));
    VAL_MAP_SET(&type, "description", VAL_LIT("What the step does; a template is known when the step starts."));
    VAL_MAP_SET(&type, "anyOf", val_list_done(&any));
    VAL_MAP_SET(&properties, "type", val_map_done(&type));
    VAL_MAP_SET(&m, "type", VAL_LIT("object"));
    VAL_MAP_SET(&m, "required", texts(k, "type"));
    VAL_MAP_SET(&m, "properties", val_map_done(&properties));
    VAL_MAP_SET(&m, "allOf", val_list_done(&all));
    define(k, "step", val_map_done(&m));
}

static struct val whole(struct maker *k)
{
    k->defs = val_map_new(&k->a);
    struct val head =
        piece(k, "{\"$schema\":\"https://json-schema.org/draft/2020-12/schema\",\"title\":\"Treadle workflow\","
                 "\"type\":\"object\",\"required\":[\"workflow\"],\"properties\":{\"workflow\":"
                 "{\"$ref\":\"#/$defs/workflow\"},\"extends\":{\"$ref\":\"#/$defs/files\"},\"include\":"
                 "{\"$ref\":\"#/$defs/files\"}},\"patternProperties\":{\"^(x-|[.]|[$](if|then|else)$)\":{}},"
                 "\"additionalProperties\":false,\"if\":{\"not\":{\"anyOf\":[{\"required\":[\"extends\"]},"
                 "{\"required\":[\"include\"]}]}},\"then\":{\"properties\":{\"workflow\":"
                 "{\"$ref\":\"#/$defs/whole_workflow\"}}}}");
    define_blocks(k);
    define_steps(k);
    define_values(k);
    define_files(k);
    struct val_map m = val_map_new(&k->a);
    val_map_merge(&m, &head);
    VAL_MAP_SET(&m, "$defs", val_map_done(&k->defs));
    return val_map_done(&m);
}

static int run(const struct command *c, const struct args *args)
{
    (void)c, (void)args;
    struct maker k = {0};
    struct val v = whole(&k);
    struct buf b;
    buf_init(&b, 16 << 20);
    json_write(&b, &v, JSON_PRETTY);
    buf_addc(&b, '\n');
    CHECK(!b.overflow);
    said_write(buf_str(&b));
    buf_done(&b);
    arena_done(&k.a);
    return EXIT_OK;
}

static const struct option options[] = {OPTION_END};

const struct command command_schema = {
    .name = "schema",
    .usage = "",
    .summary = "print the workflow language as a JSON Schema, for editors",
    .details = "Editors with a YAML language server complete and check keys by it. It knows the keys of this version; "
               "names and\n"
               "expressions are checked by treadle validate.\n\n"
               "Examples:\n"
               "  treadle schema > workflow.schema.json\n"
               "  # yaml-language-server: $schema=workflow.schema.json     as the first line of a workflow",
    .options = options,
    .max_words = 0,
    .run = run,
};
