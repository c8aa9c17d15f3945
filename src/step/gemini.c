/* gemini and gemini_instructor: Gemini's steps, with functions that the model may call, or with an answer of a given
 * form.
 *
 * A function is declared in the workflow (`gemini_functions`) or in the step and has no body here: that the model calls
 * it, and with what, is the answer, in `function_calls`. Its arguments are checked against its parameters and go back
 * to the model when they do not fit. */
#include "data/schema.h"
#include "step/model.h"

static struct val definition(struct arena *a, struct str name, const struct val *declared)
{
    const struct val *parameters = VAL_GET(declared, "parameters");
    struct val_map m = val_map_new(a), none = val_map_new(a);
    VAL_MAP_SET(&none, "type", VAL_LIT("object"));
    VAL_MAP_SET(&none, "properties", val_empty_object);
    VAL_MAP_SET(&m, "name", val_str(name));
    VAL_MAP_SET(&m, "description", val_str(val_get_str(declared, STR("description"), STR(""))));
    VAL_MAP_SET(&m, "input_schema", val_is(parameters, VAL_OBJECT) ? *parameters : val_map_done(&none));
    return val_map_done(&m);
}

/* An item of `functions`: a name, or a declaration of its own {name, description, parameters}. */
static bool add_function(struct frame *f, const struct val *item, size_t i, struct val_list *l)
{
    struct str name = val_is(item, VAL_STR) ? item->s : val_get_str(item, STR("name"), STR(""));
    const struct val *declared = frame_function(f, name);
    struct err err;
    if (!name.n) {
        step_failf(f, RC_INVALID,
                   "`functions` item %zu has no name; expected a name, or {name, description, parameters}", i + 1);
        return false;
    }
    if (val_is(item, VAL_OBJECT) && (VAL_GET(item, "parameters") || !declared))
        declared = item;
    if (!declared) {
        step_failf(f, RC_INVALID, "no function `%.*s` is declared; expected it in `gemini_functions` of the workflow",
                   STR_ARG(name));
        return false;
    }
    struct val d = definition(&f->arena, name, declared);
    if (schema_valid(VAL_GET(&d, "input_schema"), &err) != RC_OK) {
        step_failf(f, RC_INVALID, "the parameters of function `%.*s`: %s", STR_ARG(name), err.msg);
        return false;
    }
    val_list_push(l, d);
    return true;
}

static bool read_functions(struct frame *f, struct model_state *s)
{
    const struct val *v = VAL_GET(s->config, "functions");
    struct val_list l = val_list_new(&f->arena);
    if (val_is(v, VAL_STR) && !add_function(f, v, 0, &l))
        return false;
    for (size_t i = 0; val_at(v, i); i++)
        if (!add_function(f, val_at(v, i), i, &l))
            return false;
    if (!l.n)
        return true;
    struct val *list = ARENA_NEW(&f->arena, struct val);
    *list = val_list_done(&l);
    s->options.functions = list;
    return true;
}

/* ---- checks before a run ---- */

static void check_function(const struct val *item, const struct val *declared, struct problems *ps)
{
    struct str name = val_is(item, VAL_STR) ? item->s : val_get_str(item, STR("name"), STR(""));
    bool known = val_get(declared, name) || VAL_GET(item, "parameters") || VAL_GET(item, "description");
    if (known || !name.n || str_find(name, STR("{{")) != SIZE_MAX)
        return;
    const char *near = NULL;
    for (size_t i = 0; val_is(declared, VAL_OBJECT) && i < declared->obj.n; i++)
        if (name.n < 64 && str_distance(name, declared->obj.m[i].key, 2) <= 2)
            near = arena_printf(ps->a, "did you mean `%.*s`?", STR_ARG(declared->obj.m[i].key)).p;
    problem_add(ps, false, item->line, item->col, "no function `%.*s` is declared; %s",
                (int)(name.n < 60 ? name.n : 60), name.p,
                near ? near : "expected it in `gemini_functions` of the workflow, with its parameters");
}

static void check(const struct step_def *s, struct problems *ps)
{
    const struct val *functions = VAL_GET(s->source, "functions");
    const struct val *declared = VAL_GET(s->workflow->source, "gemini_functions");
    model_check(s, ps);
    if (s->workflow->inherits_functions) /* they may be the caller's */
        return;
    if (val_is(functions, VAL_STR))
        check_function(functions, declared, ps);
    for (size_t i = 0; val_at(functions, i); i++)
        check_function(val_at(functions, i), declared, ps);
}

static const struct model_kind gemini_kind = {.prepare = read_functions};

static void enter(struct frame *f)
{
    model_enter(f, &gemini_kind);
}

#define GEMINI_KEYS                                                                                                  \
    MODEL_KEYS(2), {"model", KEY_TEMPLATE, .fallback = "gemini-flash-latest", .doc = "A Gemini model's name."},      \
        {"token_budget", KEY_OBJECT, .choices = "token_budget",                                                      \
         .doc = "The same options as a block: max_output_tokens, temperature, top_p, top_k, stop."},                 \
        {"generation_config", KEY_OBJECT, .choices = "token_budget", .doc = "As token_budget.",                      \
         .alias_of = "token_budget"},                                                                                \
        {"system_instruction", KEY_TEMPLATE, .doc = "As system.", .alias_of = "system"},                             \
        {"system_prompt", KEY_TEMPLATE, .doc = "As system.", .alias_of = "system"},                                  \
        {"max_output_tokens", KEY_INT, .doc = "As max_tokens.", .alias_of = "max_tokens"},                           \
    {                                                                                                                \
        "functions", KEY_ANY,                                                                                        \
            .doc =                                                                                                   \
                "Functions that the model may call: names from `gemini_functions` of the workflow, or declarations " \
                "{name, description, parameters}."                                                                   \
    }

static const struct step_key gemini_keys[] = {GEMINI_KEYS, {0}};

const struct step_type step_gemini = {.name = "gemini",
                                      .doc = "Asks Gemini.",
                                      .keys = gemini_keys,
                                      .provider = "gemini",
                                      .result_doc = MODEL_RESULT "|function_calls",
                                      .check = check,
                                      .enter = enter,
                                      .makes_key = true,
                                      .child_done = model_child_done};

/* ---- gemini_instructor ---- */

/* What it answers when nobody says which form. */
static const struct val *usual_form(struct arena *a)
{
    static const char *const names[] = {"text", "analysis", "summary"};
    struct val_map types = val_map_new(a), properties = val_map_new(a), m = val_map_new(a);
    struct val_list required = val_list_new(a);
    VAL_MAP_SET(&types, "type", VAL_LIT("string"));
    struct val type = val_map_done(&types);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        val_map_set(&properties, str_c(names[i]), type);
    val_list_push(&required, VAL_LIT("text"));
    VAL_MAP_SET(&m, "type", VAL_LIT("object"));
    VAL_MAP_SET(&m, "properties", val_map_done(&properties));
    VAL_MAP_SET(&m, "required", val_list_done(&required));
    struct val *v = ARENA_NEW(a, struct val);
    *v = val_map_done(&m);
    return v;
}

static bool instructor_prepare(struct frame *f, struct model_state *s)
{
    const struct val *written = VAL_GET(s->config, "schema");
    s->options.loose = str_is(val_get_str(s->config, STR("validation_mode"), STR("strict")), "loose");
    if (!read_functions(f, s))
        return false;
    if (written && written->type != VAL_NULL)
        return model_read_schema(f, written, &s->options.schema);
    if (!s->options.schema && !s->options.functions)
        s->options.schema = usual_form(&f->arena);
    return true;
}

static const struct model_kind instructor_kind = {.prepare = instructor_prepare};

static void instructor_enter(struct frame *f)
{
    model_enter(f, &instructor_kind);
}

static void instructor_check(const struct step_def *s, struct problems *ps)
{
    check(s, ps);
    model_check_schema(VAL_GET(s->source, "schema"), "schema", ps);
}

static const struct step_key instructor_keys[] = {
    GEMINI_KEYS,
    {"schema", KEY_DATA, .choices = "schema_or_none", .fallback = "{text, analysis, summary}",
     .doc = "The form of the answer: a JSON Schema, the short form {name: string, tags: array}, or a known name."},
    {"validation_mode", KEY_ENUM, .choices = "strict|loose", .fallback = "strict",
     .doc = "What an answer that does not fit after the corrections is: an error, or kept with `violations`."},
    {0}};

const struct step_type step_gemini_instructor = {.name = "gemini_instructor",
                                                 .doc = "Asks Gemini for an answer of a given form.",
                                                 .keys = instructor_keys,
                                                 .provider = "gemini",
                                                 .result_doc = MODEL_RESULT "|function_calls|violations|*",
                                                 .check = instructor_check,
                                                 .enter = instructor_enter,
                                                 .makes_key = true,
                                                 .child_done = model_child_done};
