/* schema: the workflow language as a JSON Schema, for editors.
 *
 * It is made from the tables that the loader reads by (schema_keys.c), so it knows exactly the keys that this program
 * knows. It is looser than `treadle validate` where a schema cannot follow (names, expressions, what calls for another
 * key). It is stricter only where the validator has a notice: the outermost level without `workflow`, and unknown
 * options, which are a slip of the pen more often than not. */
#include "base/buf.h"
#include "base/panic.h"
#include "cli/commands.h"
#include "cli/said.h"
#include "cli/schema_keys.h"
#include "cli/session.h"
#include "data/schema_short.h"
#include "flow/memory_mark.h"

/* Digits are counted, so that what is far too long (ten years, 2^50 bytes) is seen. */
#define DIGITS(n) "[0-9]{1," #n "}([.][0-9]+)?\\\\s*"
#define TIME      "^\\\\s*(" DIGITS(12) "ms|" DIGITS(9) "s?|" DIGITS(7) "m|" DIGITS(5) "h|" DIGITS(4) "d)\\\\s*$"
#define BYTES                                                                                      \
    "^\\\\s*(" DIGITS(16) "[bB]?|" DIGITS(13) "[kK][iI]?[bB]|" DIGITS(10) "[mM][iI]?[bB]|" DIGITS( \
        7) "[gG][iI]?[bB]|" DIGITS(4) "[tT][iI]?[bB])\\\\s*$"

/* ---- definitions ---- */

static void add_names(struct val_list *l, const struct step_key *keys)
{
    for (; keys->name; keys++)
        val_list_push(l, val_str(str_c(keys->name)));
}

/* {propertyNames: {enum: …}} for an object with the keys of a step of the type, and those of `more` between bars. */
static struct val keys_of(struct maker *k, const char *type, const char *more)
{
    struct val_list names = val_list_new(&k->a);
    struct val_map one_of = val_map_new(&k->a), m = val_map_new(&k->a);
    struct val others = piece_texts(k, more);
    add_names(&names, step_type_find(str_c(type))->keys);
    add_names(&names, step_common_keys);
    for (size_t i = 0; val_at(&others, i); i++)
        val_list_push(&names, *val_at(&others, i));
    VAL_MAP_SET(&one_of, "enum", val_list_done(&names));
    VAL_MAP_SET(&m, "propertyNames", val_map_done(&one_of));
    return val_map_done(&m);
}

/* {prompt, turn, …} with the keys of claude_session, or a prompt. */
static void define_exchanges(struct maker *k)
{
    struct val_map item = val_map_new(&k->a), all = val_map_new(&k->a);
    struct val keys = keys_of(k, "claude_session", "turn");
    VAL_MAP_SET(&item, "type", VAL_LIT("object"));
    val_map_merge(&item, &keys);
    VAL_MAP_SET(&all, "type", VAL_LIT("array"));
    VAL_MAP_SET(&all, "minItems", val_int(1));
    VAL_MAP_SET(&all, "items", piece_any(k, "[{\"type\":\"string\"}]", val_map_done(&item)));
    piece_define(k, "exchanges", val_map_done(&all));
}

/* A task with an id and without a type has the keys of a claude step; other forms are as the loader takes them. */
static void define_tasks(struct maker *k)
{
    struct val_map task = val_map_new(&k->a);
    VAL_MAP_SET(
        &task, "if",
        piece(k, "{\"type\":\"object\",\"anyOf\":[{\"required\":[\"id\"]},{\"required\":[\"task_id\"]},{\"required\":["
                 "\"name\"]}],\"not\":{\"required\":[\"type\"]}}"));
    VAL_MAP_SET(&task, "then", keys_of(k, "claude", "task_id|file"));
    piece_define(k, "task", val_map_done(&task));
    piece_define(k, "tasks",
                 piece(k, "{\"anyOf\":[{\"type\":\"string\"},{\"type\":\"array\",\"minItems\":1,\"items\":{\"$ref\":"
                          "\"#/definitions/task\"}}]}"));
}

/* Files that file_ops deletes, or checks; and what it does with each piece of one, unless that is a step. */
static void define_files(struct maker *k)
{
    struct val_map each = val_map_new(&k->a);
    piece_define(k, "chosen_files",
                 piece(k, "{\"anyOf\":[{\"$ref\":\"#/definitions/chosen_file\"},"
                          "{\"type\":\"array\",\"items\":{\"$ref\":\"#/definitions/chosen_file\"}}]}"));
    piece_define(k, "chosen_file",
                 piece(k, "{\"anyOf\":[{\"type\":\"string\"},{\"$ref\":\"#/definitions/file_source\"},"
                          "{\"$ref\":\"#/definitions/file_criteria\"}]}"));
    VAL_MAP_SET(&each, "type", piece(k, "[\"string\",\"object\"]"));
    VAL_MAP_SET(&each, "if",
                piece(k, "{\"required\":[\"type\"],\"properties\":{\"type\":{\"enum\":[\"identity\",\"uppercase\","
                         "\"lowercase\",\"trim\",\"replace\"]}}}"));
    VAL_MAP_SET(&each, "then", piece_any(k, "[{\"type\":\"string\"}]", piece_reference(k, "processor")));
    piece_define(k, "each", val_map_done(&each));
}

static const char *memory_action(size_t i)
{
    struct str name = {0};
    enum memory_action a;
    return memory_action_at(i, &name, &a) ? name.p : NULL;
}

/* What rows of tables name in `choices`, beside the blocks. */
static void define_values(struct maker *k)
{
    static const char *const values[][2] = {
        {"files", "{\"anyOf\":[{\"type\":\"string\",\"minLength\":1},"
                  "{\"type\":\"array\",\"items\":{\"type\":\"string\",\"minLength\":1}}]}"},
        {"hole", "{\"description\":\"A template, known when the step starts.\",\"type\":\"string\",\"pattern\":"
                 "\"^\\\\s*[{][{]([^{]|[{][^{])(.|\\\\n)*[}][}]\\\\s*$\"}"},
        {"time",
         "{\"description\":\"Text such as 250ms, 5s, 10m, 2h or 1d.\",\"type\":\"string\",\"pattern\":\"" TIME "\"}"},
        {"late_time",
         "{\"anyOf\":[{\"type\":\"number\",\"exclusiveMinimum\":0,\"maximum\":315360000},{\"$ref\":\"#/definitions/"
         "some_time\"},{\"type\":\"string\",\"pattern\":\"[{][{]\"}]}"},
        {"some_time", "{\"allOf\":[{\"$ref\":\"#/definitions/time\"},{\"pattern\":\"[1-9]\"}]}"},
        {"bytes",
         "{\"description\":\"Text such as 64KB, 10MB or 1GB.\",\"type\":\"string\",\"pattern\":\"" BYTES "\"}"},
        {"some_bytes", "{\"allOf\":[{\"$ref\":\"#/definitions/bytes\"},{\"pattern\":\"[1-9]\"}]}"},
        {"condition", "{\"anyOf\":[{\"type\":\"string\",\"minLength\":1},{\"type\":\"boolean\"},"
                      "{\"$ref\":\"#/definitions/conditions\"},"
                      "{\"type\":\"object\",\"minProperties\":1,\"maxProperties\":1,\"properties\":{\"and\":"
                      "{\"$ref\":\"#/definitions/conditions\"},\"or\":{\"$ref\":\"#/definitions/conditions\"},\"not\":"
                      "{\"$ref\":\"#/definitions/condition\"}},\"additionalProperties\":false}]}"},
        {"conditions", "{\"type\":\"array\",\"minItems\":1,\"items\":{\"$ref\":\"#/definitions/condition\"}}"},
        {"condition_or_list", "{\"anyOf\":[{\"$ref\":\"#/definitions/condition\"},{\"type\":\"array\"}]}"},
        {"steps", "{\"type\":\"array\",\"minItems\":1,\"items\":{\"$ref\":\"#/definitions/step\"}}"},
        {"on_error", "{\"anyOf\":[{\"enum\":[\"fail\",\"continue\"]},{\"$ref\":\"#/definitions/steps\"},"
                     "{\"type\":\"object\",\"required\":[\"goto\"],\"properties\":{\"goto\":{\"type\":\"string\"}},"
                     "\"additionalProperties\":false},{\"type\":\"object\",\"required\":[\"steps\"],\"properties\":"
                     "{\"steps\":{\"$ref\":\"#/definitions/steps\"}},\"additionalProperties\":false}]}"},
        {"variables", "{\"type\":[\"object\",\"null\"]}"},
        {"step_name", "{\"type\":\"string\",\"minLength\":1,\"maxLength\":100,\"pattern\":"
                      "\"^[^\\\\s/:~]+$|[{][{]\",\"patternErrorMessage\":\"expected only letters, digits, `_`, `-` and "
                      "`.`\"}"},
        {"variable_name",
         "{\"type\":\"string\",\"pattern\":\"^[^\\\\d\\\\s!-/:-@\\\\[-^`{-~][^\\\\s!-/:-@\\\\[-^`{-~]*$\","
         "\"patternErrorMessage\":\"expected a name of letters, digits and `_`\"}"},
        {"network",
         "{\"anyOf\":[{\"enum\":[\"none\",\"full\"]},{\"type\":\"string\",\"pattern\":\"[{][{]\"},{\"type\":\"array\","
         "\"minItems\":1,\"items\":{\"type\":\"string\"}}]}"},
        {"outputs", "{\"anyOf\":[{\"type\":\"object\"},{\"type\":\"string\",\"not\":{\"pattern\":\"[{][{]\"}},{"
                    "\"type\":\"array\",\"items\":{\"anyOf\":[{\"type\":"
                    "\"string\"},{\"type\":\"object\",\"minProperties\":1}]}}]}"},
        {"error", "{\"type\":[\"string\",\"object\"]}"},
        {"boolean", "{\"type\":[\"boolean\",\"null\"]}"},
        {"encoding", "{\"anyOf\":[{\"enum\":[\"utf-8\",\"ascii\",\"latin-1\",\"windows-1252\",\"utf-16\","
                     "\"utf-16le\",\"utf-16be\"]},{\"enum\":[\"utf8\",\"us-ascii\",\"latin1\",\"iso-8859-1\","
                     "\"cp1252\",\"utf16\"],\"doNotSuggest\":true},{\"type\":\"string\",\"pattern\":"
                     "\"[{][{]\"}]}"},
        {"any_schema", "{\"type\":[\"object\",\"boolean\"]}"},
        {"scalar", "{\"type\":[\"string\",\"number\",\"boolean\",\"null\"]}"},
        {"map", "{\"type\":\"object\"}"},
        {"schema_or_none", "{\"anyOf\":[{\"$ref\":\"#/definitions/schema\"},{\"type\":\"null\"}]}"},
        {"text", "{\"type\":\"string\",\"minLength\":1}"},
        {"directory", "{\"type\":\"string\",\"minLength\":1,\"not\":{\"pattern\":\"[{][{]\"},"
                      "\"errorMessage\":\"A fixed path is expected, without templates.\"}"},
        {"some", "{\"type\":\"array\",\"minItems\":1}"},
        {"answers", "{\"anyOf\":[{\"type\":\"string\"},{\"type\":\"array\",\"minItems\":1,\"maxItems\":50,"
                    "\"items\":{\"type\":\"string\"}}]}"},
        {"env_name", "{\"type\":\"string\",\"pattern\":\"^[A-Za-z_][A-Za-z0-9_]*$\"}"},
        {"env_names", "{\"anyOf\":[{\"$ref\":\"#/definitions/env_name\"},{\"type\":\"array\",\"items\":"
                      "{\"$ref\":\"#/definitions/env_name\"}}]}"},
        {"some_memory_actions", "{\"anyOf\":[{\"$ref\":\"#/definitions/memory_action\"},{\"type\":\"array\","
                                "\"items\":{\"$ref\":\"#/definitions/memory_action\"}}]}"},
        {"error_context_field", "{\"enum\":[\"input_data\",\"previous_results\",\"execution_metadata\"]}"},
        {"error_context_fields", "{\"anyOf\":[{\"type\":\"string\"},{\"type\":\"array\",\"items\":"
                                 "{\"$ref\":\"#/definitions/error_context_field\"}}]}"},
        {"queries", "{\"anyOf\":[{\"$ref\":\"#/definitions/hole\"},{\"type\":\"object\","
                    "\"additionalProperties\":{\"type\":[\"object\",\"string\"]}}]}"},
        {"input_type", "{\"anyOf\":[{\"enum\":[\"string\",\"integer\",\"number\",\"boolean\",\"array\","
                       "\"object\",\"any\"]},{\"enum\":[\"text\",\"int\",\"float\",\"bool\",\"list\","
                       "\"map\"],\"doNotSuggest\":true}]}"},
    };
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        piece_define(k, values[i][0], piece(k, values[i][1]));
    piece_define(k, "memory_action",
                 piece_any(k, "[{\"type\":\"string\",\"pattern\":\"[{][{]\"}]", piece_names(k, memory_action)));
    piece_define(k, "schema", piece_any(k, "[{\"type\":\"object\"}]", piece_names(k, schema_name_at)));
}

/* What a block may be instead of a map. */
static const char *instead(const struct key_block *b)
{
    static const char *const others[][2] = {
        {"retry", "[{\"type\":\"integer\",\"minimum\":1,\"maximum\":1000},{\"type\":\"boolean\"}]"},
        {"cache", "[{\"type\":\"boolean\"}]"},
        {"defaults", "[{\"type\":\"null\"}]"},
        {"workspace_isolation", "[{\"type\":\"boolean\"},{\"$ref\":\"#/definitions/hole\"}]"},
        {"input", "[{\"type\":[\"string\",\"null\"]}]"},
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strcmp(others[i][0], b->name) == 0)
            return others[i][1];
    return b->hole ? "[{\"$ref\":\"#/definitions/hole\"}]" : NULL;
}

static void define_block(struct maker *k, const struct key_block *b)
{
    const struct key_table t = {b->keys, b->unused, .holes = b->holes || b->plain, .nulls = b->plain};
    struct val map = table_object(k, &t, NULL);
    piece_define(k, b->name, instead(b) ? piece_any(k, instead(b), map) : map);
}

/* ---- workflows ---- */

static const struct key_table workflow_table = {workflow_keys, workflow_unused_keys, .older = true,
                                                .shared = "workflow"};

/* A workflow written inside a step: as one of its own, but that it needs no name. */
static struct val inner_workflow(struct maker *k)
{
    struct val_map properties = val_map_new(&k->a), m = val_map_new(&k->a);
    VAL_MAP_SET(&properties, "workflow", piece_reference(k, "workflow"));
    table_properties(k, &properties, &workflow_table);
    VAL_MAP_SET(&m, "type", VAL_LIT("object"));
    VAL_MAP_SET(&m, "properties", val_map_done(&properties));
    VAL_MAP_SET(&m, "additionalProperties", val_false);
    return val_map_done(&m);
}

/* What must be there may come from a file that this one extends or includes, named inside the map or beside it. */
static void define_workflow(struct maker *k)
{
    struct val whole = table_object(k, &workflow_table, NULL);
    struct val_map m = val_map_new(&k->a), must = val_map_new(&k->a);
    for (size_t i = 0; i < whole.obj.n; i++)
        val_map_set(str_is(whole.obj.m[i].key, "required") ? &must : &m, whole.obj.m[i].key, whole.obj.m[i].val);
    piece_define(k, "workflow", val_map_done(&m));
    piece_define(k, "whole_workflow",
                 piece_any(k, "[{\"required\":[\"extends\"]},{\"required\":[\"include\"]}]", val_map_done(&must)));
}

/* ---- maps whose `type` says which keys they have ---- */

/* {if: {type is one of `names`}, then: `name`}: editors then offer the keys of the type that is written, and tell what
 * is wrong with those alone. */
static struct val case_of(struct maker *k, struct val names, const char *name)
{
    struct val_map type = val_map_new(&k->a), at = val_map_new(&k->a), iff = val_map_new(&k->a), m = val_map_new(&k->a);
    VAL_MAP_SET(&type, "enum", names);
    VAL_MAP_SET(&at, "type", val_map_done(&type));
    VAL_MAP_SET(&iff, "properties", val_map_done(&at));
    VAL_MAP_SET(&iff, "required", piece_texts(k, "type"));
    VAL_MAP_SET(&m, "if", val_map_done(&iff));
    VAL_MAP_SET(&m, "then", piece_reference(k, name));
    return val_map_done(&m);
}

static struct val by_type(struct maker *k, struct val type, struct val_list *cases)
{
    struct val_map properties = val_map_new(&k->a), m = val_map_new(&k->a);
    VAL_MAP_SET(&properties, "type", type);
    VAL_MAP_SET(&m, "type", VAL_LIT("object"));
    VAL_MAP_SET(&m, "required", piece_texts(k, "type"));
    VAL_MAP_SET(&m, "properties", val_map_done(&properties));
    VAL_MAP_SET(&m, "allOf", val_list_done(cases));
    return val_map_done(&m);
}

/* The keys of a block that a part of this kind takes. */
static struct val part_object(struct maker *k, const struct key_block *block, const struct part_kind *kind)
{
    const struct key_table t = {block->keys, block->unused, .holes = true, .shared = "part"};
    struct val_map properties = val_map_new(&k->a);
    table_properties(k, &properties, &t);
    struct val all = val_map_done(&properties);
    struct val_map some = val_map_new(&k->a), m = val_map_new(&k->a);
    for (size_t i = 0; i < all.obj.n; i++) {
        struct str key = all.obj.m[i].key;
        bool takes = !key_find(block->keys, key) || str_is(key, "type") || str_is(key, "condition") ||
                     str_find(str_c(kind->keys), arena_printf(&k->a, "|%.*s|", STR_ARG(key))) != SIZE_MAX;
        if (takes)
            val_map_set(&some, key, all.obj.m[i].val);
    }
    if (kind->needs)
        VAL_MAP_SET(&m, "required", piece_texts(k, kind->needs));
    VAL_MAP_SET(&m, "properties", val_map_done(&some));
    VAL_MAP_SET(&m, "additionalProperties", val_false);
    return val_map_done(&m);
}

static void define_parts(struct maker *k)
{
    const struct key_block *block = key_block("prompt_part");
    struct val_list cases = val_list_new(&k->a);
    const struct part_kind *kind;
    for (size_t i = 0; (kind = part_kind_at(i)); i++) {
        const char *name = arena_printf(&k->a, "part_%s", kind->name).p;
        piece_define(k, name, part_object(k, block, kind));
        val_list_push(&cases, case_of(k, piece_texts(k, i ? kind->name : "static|dynamic"), name));
    }
    const struct step_key *type = key_find(block->keys, STR("type"));
    struct val_map words = val_map_new(&k->a); /* no template: it says which keys there may be */
    VAL_MAP_SET(&words, "description", val_str(str_c(type->doc)));
    VAL_MAP_SET(&words, "enum", piece_texts(k, type->choices));
    piece_define(k, "prompt_part", by_type(k, val_map_done(&words), &cases));
}

static struct val names_of(struct maker *k, const struct step_type *t)
{
    return piece_texts(k, t->aliases ? arena_printf(&k->a, "%s|%s", t->name, t->aliases).p : t->name);
}

static void define_steps(struct maker *k)
{
    const struct key_table common = {step_common_keys, step_unused_keys, .once = true, .older = true,
                                     .shared = "every"};
    struct val_list cases = val_list_new(&k->a), every = val_list_new(&k->a), docs = val_list_new(&k->a);
    struct val_list any = val_list_new(&k->a), required = val_list_new(&k->a);
    const struct step_type *t;
    table_rules(k, &required, &cases, &common); /* `type` is required in any case */
    for (size_t i = 0; (t = step_type_at(i)); i++) {
        const char *name = arena_printf(&k->a, "step_%s", t->name).p;
        const struct key_table own = {t->keys, NULL, .holes = true, .once = true};
        struct val keys = table_object(k, &own, &common), names = names_of(k, t);
        struct val_map whole = val_map_new(&k->a);
        VAL_MAP_SET(&whole, "description", val_str(str_c(t->doc)));
        val_map_merge(&whole, &keys);
        piece_define(k, name, val_map_done(&whole));
        for (size_t n = 0; val_at(&names, n); n++) {
            val_list_push(&every, *val_at(&names, n));
            val_list_push(&docs, val_str(str_c(t->doc)));
        }
        val_list_push(&cases, case_of(k, names, name));
    }
    struct val_map type = val_map_new(&k->a), known = val_map_new(&k->a);
    VAL_MAP_SET(&known, "enum", val_list_done(&every));
    VAL_MAP_SET(&known, "enumDescriptions", val_list_done(&docs));
    val_list_push(&any, val_map_done(&known));
    val_list_push(&any, piece_reference(k, "hole"));
    VAL_MAP_SET(&type, "description", VAL_LIT("What the step does; a template is known when the step starts."));
    VAL_MAP_SET(&type, "anyOf", val_list_done(&any));
    piece_define(k, "step", by_type(k, val_map_done(&type), &cases));
}

static struct val whole(struct maker *k)
{
    k->defs = val_map_new(&k->a);
    struct val head =
        piece(k, "{\"$schema\":\"http://json-schema.org/draft-07/schema#\",\"title\":\"Treadle workflow\","
                 "\"type\":\"object\",\"required\":[\"workflow\"],\"properties\":{\"workflow\":"
                 "{\"$ref\":\"#/definitions/workflow\"},\"extends\":{\"$ref\":\"#/definitions/files\"},\"include\":"
                 "{\"$ref\":\"#/definitions/files\"}},\"patternProperties\":{\"^(x-|[.]|[$](if|then|else)$)\":{}},"
                 "\"additionalProperties\":false,\"if\":{\"not\":{\"anyOf\":[{\"required\":[\"extends\"]},"
                 "{\"required\":[\"include\"]}]}},\"then\":{\"properties\":{\"workflow\":"
                 "{\"$ref\":\"#/definitions/whole_workflow\"}}}}");
    for (size_t i = 0; key_block_at(i); i++)
        if (key_block_at(i)->keys != prompt_part_keys)
            define_block(k, key_block_at(i));
    piece_define(k, "inner_workflow", inner_workflow(k));
    piece_define(k, "inputs",
                 piece(k, "{\"type\":[\"object\",\"null\"],\"additionalProperties\":"
                          "{\"$ref\":\"#/definitions/input\"}}"));
    define_workflow(k);
    define_tasks(k);
    define_exchanges(k);
    define_parts(k);
    define_steps(k);
    define_values(k);
    define_files(k);
    struct val_map m = val_map_new(&k->a);
    val_map_merge(&m, &head);
    VAL_MAP_SET(&m, "definitions", val_map_done(&k->defs));
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
