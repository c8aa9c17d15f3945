/* The step types claude, gemini and llm: how their keys become the agent's options.
 *
 * Options are merged from the general to the particular: the workflow's defaults, the type's option block
 * (`claude_options`, `token_budget`), the step's own keys. The result is pinned with the configuration. */
#include "step/model.h"

#include "agent/agent.h"
#include "agent/prompt.h"
#include "data/tool_schemas.h"

enum { DEFAULT_MAX_TURNS = 50 };

struct model_state {
    struct agent_options options;
    struct agent *agent;
    struct prompt *prompt;
    bool asking;
};

/* ---- options
 * --------------------------------------------------------------------------------------------------------- */

/* {key in a request, other spelling, where it may stand} */
static const struct {
    const char *name, *other;
} params[] = {{"temperature", NULL}, {"max_tokens", "max_output_tokens"},
              {"top_p", NULL},       {"top_k", NULL},
              {"stop", NULL},        {"effort", NULL},
              {"extra", NULL}};

static struct val merged_options(struct frame *f, const struct val *config)
{
    struct arena *a = &f->arena;
    const struct val *defaults = frame_defaults(f);
    struct val_map m = val_map_new(a);
    bool claude = str_is(str_c(f->def->type->provider ? f->def->type->provider : ""), "claude");
    const char *block = claude ? "claude_options" : "gemini_token_budget";
    if (val_is(val_get(defaults, str_c(block)), VAL_OBJECT))
        val_map_merge(&m, val_get(defaults, str_c(block)));
    const char *model = claude ? "claude_model" : "gemini_model";
    if (val_is(val_get(defaults, str_c(model)), VAL_STR) && f->def->type->provider)
        VAL_MAP_SET(&m, "model", *val_get(defaults, str_c(model)));
    static const char *const blocks[] = {"claude_options", "token_budget"};
    for (size_t i = 0; i < 2; i++)
        if (val_is(val_get(config, str_c(blocks[i])), VAL_OBJECT))
            val_map_merge(&m, val_get(config, str_c(blocks[i])));
    val_map_merge(&m, config);
    return val_map_done(&m);
}

static const struct val *build_params(struct frame *f, const struct val *options)
{
    struct val_map m = val_map_new(&f->arena);
    for (size_t i = 0; i < sizeof params / sizeof *params; i++) {
        const struct val *v = val_get(options, str_c(params[i].name));
        if (!v && params[i].other)
            v = val_get(options, str_c(params[i].other));
        if (v && v->type != VAL_NULL)
            val_map_set(&m, str_c(params[i].name), *v);
    }
    struct val *p = ARENA_NEW(&f->arena, struct val);
    *p = val_map_done(&m);
    return p;
}

static bool read_tools(struct frame *f, const struct val *options, const struct val **ret)
{
    const struct val *v = VAL_GET(options, "allowed_tools");
    *ret = NULL;
    if (!v || v->type == VAL_NULL)
        return true;
    struct val_list l = val_list_new(&f->arena);
    if (v->type == VAL_STR)
        val_list_push(&l, *v);
    for (size_t i = 0; v->type == VAL_ARRAY && i < v->arr.n; i++)
        val_list_push(&l, v->arr.v[i]);
    struct val *list = ARENA_NEW(&f->arena, struct val);
    *list = val_list_done(&l);
    for (size_t i = 0; i < list->arr.n; i++)
        if (!val_is(&list->arr.v[i], VAL_STR) || !tool_schemas_get(list->arr.v[i].s).n) {
            step_failf(f, RC_INVALID,
                       "`allowed_tools` item %zu is no tool; expected Read, Write, Edit, Bash, Glob or Grep", i + 1);
            return false;
        }
    *ret = list->arr.n ? list : NULL;
    return true;
}

/* "openai/qwen3" names the provider itself; claude and gemini steps have theirs. */
static bool split_model(struct frame *f, struct agent_options *o)
{
    o->provider = str_c(f->def->type->provider ? f->def->type->provider : "");
    size_t slash = str_find(o->model, STR("/"));
    if (o->provider.n)
        return true;
    if (slash == SIZE_MAX || slash == 0 || slash + 1 == o->model.n) {
        step_failf(f, RC_INVALID, "`model` is `%.*s`; expected PROVIDER/MODEL, as in openai/gpt-5.4-mini",
                   STR_ARG(o->model));
        return false;
    }
    o->provider = str_n(o->model.p, slash);
    o->model = str_from(o->model, slash + 1);
    return true;
}

static const char *default_model(const char *provider)
{
    return str_is(str_c(provider), "gemini") ? "gemini-flash-latest" : "sonnet";
}

static bool read_options(struct frame *f, const struct val *config, struct agent_options *o)
{
    struct val *options = ARENA_NEW(&f->arena, struct val);
    *options = merged_options(f, config);
    struct str system, more, fallback = str_c(f->def->type->provider ? default_model(f->def->type->provider) : "");
    if (!read_tools(f, options, &o->tools) || !frame_text(f, options, "model", fallback, &o->model) ||
        !frame_text(f, options, VAL_GET(options, "system") ? "system" : "system_prompt", STR(""), &system) ||
        !frame_text(f, options, "append_system_prompt", STR(""), &more) ||
        !frame_text(f, options, "cwd", STR(""), &o->cwd) ||
        !frame_int(f, options, "max_turns", DEFAULT_MAX_TURNS, 1, MODEL_TURNS_MAX, &o->max_turns) || !split_model(f, o))
        return false;
    o->system = more.n && system.n ? arena_printf(&f->arena, "%.*s\n\n%.*s", STR_ARG(system), STR_ARG(more))
                : more.n           ? more
                                   : system;
    o->params = build_params(f, options);
    return true;
}

/* ---- the machine
 * ------------------------------------------------------------------------------------------------------- */

static void go_on(struct frame *f, struct model_state *s)
{
    if (!prompt_advance(f, s->prompt))
        return;
    struct str prompt = prompt_text(f, s->prompt);
    if (f->failing_set)
        return;
    s->asking = true;
    agent_start(f, s->agent, prompt);
}

void model_enter(struct frame *f)
{
    const struct val *config = frame_config(f, true);
    if (!config)
        return;
    struct model_state *s = ARENA_NEW(&f->arena, struct model_state);
    f->type_state = s;
    if (!read_options(f, config, &s->options))
        return;
    s->agent = agent_new(f, &s->options);
    s->prompt = prompt_new(f, config);
    if (s->prompt)
        go_on(f, s);
}

void model_child_done(struct frame *f, struct frame *child)
{
    struct model_state *s = f->type_state;
    if (s->asking)
        agent_child(f, s->agent, child);
    else if (prompt_child(f, s->prompt, child))
        go_on(f, s);
}

/* ---- the types
 * ----------------------------------------------------------------------------------------------------------- */

static const struct step_key claude_keys[] = {
    MODEL_KEYS,
    {"model", KEY_TEMPLATE, .fallback = "sonnet", .doc = "haiku, sonnet, opus, or a full model name."},
    {"claude_options", KEY_OBJECT,
     .doc = "The same options as a block: model, max_turns, allowed_tools, system_prompt, append_system_prompt, cwd, "
            "max_tokens, …"},
    {0}};

const struct step_type step_claude = {.name = "claude",
                                      .doc = "Asks Claude, with tools if wanted.",
                                      .keys = claude_keys,
                                      .provider = "claude",
                                      .result_doc = MODEL_RESULT,
                                      .check = model_check,
                                      .enter = model_enter,
                                      .child_done = model_child_done};

static const struct step_key gemini_keys[] = {
    MODEL_KEYS,
    {"model", KEY_TEMPLATE, .fallback = "gemini-flash-latest", .doc = "A Gemini model's name."},
    {"token_budget", KEY_OBJECT, .doc = "The same options as a block: max_output_tokens, temperature, top_p, top_k."},
    {0}};

const struct step_type step_gemini = {.name = "gemini",
                                      .doc = "Asks Gemini.",
                                      .keys = gemini_keys,
                                      .provider = "gemini",
                                      .result_doc = MODEL_RESULT,
                                      .check = model_check,
                                      .enter = model_enter,
                                      .child_done = model_child_done};

static const struct step_key llm_keys[] = {
    MODEL_KEYS,
    {"model", KEY_TEMPLATE, .required = true,
     .doc = "PROVIDER/MODEL: anthropic, gemini, or openai (any OpenAI-compatible address, OPENAI_BASE_URL)."},
    {0}};

const struct step_type step_llm = {.name = "llm",
                                   .doc = "Asks any model by PROVIDER/MODEL.",
                                   .keys = llm_keys,
                                   .result_doc = MODEL_RESULT,
                                   .check = model_check,
                                   .enter = model_enter,
                                   .child_done = model_child_done};
