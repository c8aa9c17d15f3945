/* What a model step is asked with: options from many places, settled into one object, then read.
 *
 * The later one wins:
 *   the type's own preset < environment (CLAUDE_MODEL, GEMINI_MODEL) < defaults.claude_preset < defaults
 *   < the preset that the step names < its option block (claude_options, token_budget) < its own keys
 * A preset that the step did not ask for by name never hides what the workflow's author wrote elsewhere. */
#include "data/tool_schemas.h"
#include "flow/keys.h"
#include "flow/range.h"
#include "flow/units.h"
#include "step/model.h"

enum { DEFAULT_MAX_TURNS = 50, DELAY_MAX_MS = 24 * 3600 * 1000 };

#define GEMINI_USUAL "gemini-flash-latest"

static bool is_claude(const struct frame *f)
{
    struct str said = val_get_str(f->def->source, STR("provider"), STR("")); /* of an llm step */
    const char *p = f->def->type->provider;
    return p ? str_is(str_c(p), "claude") : str_is(said, "claude") || str_is(said, "anthropic");
}

/* ---- presets ---- */

static const struct preset {
    const char *name, *tools;
    int64_t max_turns;
    const char *model, *fallback_model;
    int64_t timeout_ms;
    const char *system, *appended;
} presets[] = {
#define X(name_, tools_, turns_, model_, fallback_, timeout_, system_, appended_) \
    {#name_, tools_, turns_, model_, fallback_, timeout_, system_, appended_},
#include "step/claude_presets.def"
#undef X
};

static const struct preset *preset_find(struct str name)
{
    for (size_t i = 0; i < sizeof presets / sizeof *presets; i++)
        if (str_is(name, presets[i].name))
            return &presets[i];
    return NULL;
}

static struct val bars(struct arena *a, const char *text)
{
    struct val_list l = val_list_new(a);
    struct str rest = str_c(text), one;
    while (str_word(&rest, '|', &one))
        val_list_push(&l, val_str(one));
    return val_list_done(&l);
}

static void set_text(struct val_map *m, const char *key, const char *text)
{
    if (*text)
        val_map_set(m, str_c(key), val_str(str_c(text)));
}

static bool apply_preset(struct frame *f, const struct model_kind *kind, struct str name, struct val_map *m)
{
    const struct preset *p = preset_find(name);
    if (!p) {
        step_failf(f, RC_INVALID, "unknown preset `%.*s`; expected development, production, analysis, chat or test",
                   STR_ARG(str_n(name.p, name.n < 60 ? name.n : 60)));
        return false;
    }
    VAL_MAP_SET(m, "preset", val_str(str_c(p->name)));
    VAL_MAP_SET(m, "allowed_tools", bars(&f->arena, p->tools));
    VAL_MAP_SET(m, "max_turns", val_int(p->max_turns));
    VAL_MAP_SET(m, "timeout_ms", val_int(p->timeout_ms));
    set_text(m, "system_prompt", p->system);
    if (kind->appends)
        set_text(m, "append_system_prompt", p->appended);
    set_text(m, "model", p->model);
    set_text(m, "fallback_model", p->fallback_model);
    return true;
}

/* What the workflow as a whole says: a preset by name, or by the mode of its environment where the step looks there. */
static struct str workflow_preset(struct frame *f, const struct val *config)
{
    const struct val *named = VAL_GET(frame_defaults(f), "claude_preset");
    if (val_is(named, VAL_STR))
        return named->s;
    if (!val_get_bool(config, STR("environment_aware"), false))
        return STR("");
    return val_get_str(frame_workflow_key(f, "environment"), STR("mode"), STR(""));
}

static bool settle_presets(struct frame *f, const struct model_kind *kind, const struct val *config, struct val_map *m)
{
    struct str theirs = workflow_preset(f, config);
    if (!kind->preset || val_is(VAL_GET(config, "preset"), VAL_STR)) /* one preset is applied, not a mixture */
        return true;
    if (!theirs.n && !apply_preset(f, kind, str_c(kind->preset), m))
        return false;
    struct str model = frame_env(f, "CLAUDE_MODEL");
    if (model.n)
        VAL_MAP_SET(m, "model", val_str(model));
    return !theirs.n || apply_preset(f, kind, theirs, m);
}

/* ---- settling ---- */

/* Every option under one name, so that the later one wins however it is spelt. */
static void merge(struct val_map *m, const struct val *object)
{
    static const char *const spellings[][2] = {{"system", "system_prompt"}, {"tools", "allowed_tools"},
                                               {"stop_sequences", "stop"},  {"max_output_tokens", "max_tokens"},
                                               {"stopSequences", "stop"},   {"maxOutputTokens", "max_tokens"},
                                               {"topP", "top_p"},           {"topK", "top_k"}};
    for (size_t i = 0; val_is(object, VAL_OBJECT) && i < object->obj.n; i++) {
        struct str key = object->obj.m[i].key;
        for (size_t k = 0; k < sizeof spellings / sizeof *spellings; k++)
            if (str_is(key, spellings[k][0]))
                key = str_c(spellings[k][1]);
        double seconds = str_is(key, "timeout_seconds") ? val_to_double(&object->obj.m[i].val, -1) : -1;
        if (seconds >= 0 && seconds < 1e12)
            VAL_MAP_SET(m, "timeout_ms", val_int((int64_t)(seconds * 1000)));
        else if (!str_is(key, "claude_options") && !str_is(key, "token_budget"))
            val_map_set(m, key, object->obj.m[i].val);
    }
}

static void settle_defaults(struct frame *f, struct val_map *m)
{
    static const char *const names[][2] = {{"claude_model", "model"},
                                           {"claude_fallback_model", "fallback_model"},
                                           {"claude_output_format", "output_format"}};
    const struct val *defaults = frame_defaults(f);
    bool claude = is_claude(f);
    const struct val *block = val_get(defaults, claude ? STR("claude_options") : STR("gemini_token_budget"));
    merge(m, block);
    if (!claude && val_is(VAL_GET(defaults, "gemini_model"), VAL_STR) && f->def->type->provider)
        VAL_MAP_SET(m, "model", *VAL_GET(defaults, "gemini_model"));
    for (size_t i = 0; claude && i < sizeof names / sizeof *names; i++) {
        const struct val *v = val_get(defaults, str_c(names[i][0]));
        if (val_is(v, VAL_STR) && !val_get(block, str_c(names[i][1])))
            val_map_set(m, str_c(names[i][1]), *v);
    }
}

/* What `defaults`, a preset and the step's own keys come to must be what the provider takes. */
static bool in_range(struct frame *f, struct val *settled)
{
    struct str model = val_get_str(settled, STR("model"), STR(""));
    bool named = !f->def->type->provider && (str_starts(model, STR("claude/")) || str_starts(model, STR("anthropic/")));
    struct err err;
    if (key_numbers(&f->arena, named || is_claude(f) ? claude_options_keys : token_budget_keys, f->def->source, settled,
                    &err) == RC_OK)
        return true;
    frame_fail(f, &err);
    return false;
}

const struct val *model_settle(struct frame *f, const struct model_kind *kind, const struct val *config)
{
    static const char *const blocks[] = {"claude_options", "token_budget"};
    struct val_map m = val_map_new(&f->arena);
    const struct val *named = VAL_GET(config, "preset");
    struct str env = frame_env(f, is_claude(f) ? "CLAUDE_MODEL" : "GEMINI_MODEL");
    int64_t ms;
    if (env.n && f->def->type->provider)
        VAL_MAP_SET(&m, "model", val_str(env));
    if (!is_claude(f) && f->def->type->provider && !frame_timeout(f) &&
        str_to_i64(frame_env(f, "GEMINI_TIMEOUT_MS"), &ms) && ms > 0 && ms <= UNITS_DURATION_MAX_MS)
        VAL_MAP_SET(&m, "timeout_ms", val_int(ms));
    if (!settle_presets(f, kind, config, &m))
        return NULL;
    settle_defaults(f, &m);
    if (val_is(named, VAL_STR) && !apply_preset(f, kind, named->s, &m))
        return NULL;
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        merge(&m, val_get(config, str_c(blocks[i])));
    merge(&m, config);
    struct val *settled = ARENA_NEW(&f->arena, struct val);
    *settled = val_map_done(&m);
    return in_range(f, settled) ? settled : NULL;
}

/* ---- reading ---- */

/* Keys that go into each request. */
static const char *const params[] = {"temperature", "max_tokens", "top_p", "top_k", "stop", "effort", "extra"};

static const struct val *build_params(struct frame *f, const struct val *options)
{
    struct val_map m = val_map_new(&f->arena);
    for (size_t i = 0; i < sizeof params / sizeof *params; i++) {
        const struct val *v = val_get(options, str_c(params[i]));
        bool one = val_is(v, VAL_STR) && strcmp(params[i], "stop") == 0; /* providers take a list */
        if (v && v->type != VAL_NULL)
            val_map_set(&m, str_c(params[i]), one ? (struct val){.type = VAL_ARRAY, .arr = {v, 1}} : *v);
    }
    struct val *p = ARENA_NEW(&f->arena, struct val);
    *p = val_map_done(&m);
    return p;
}

/* Names that Claude Code has and Treadle does not; model_check has told the author. */
bool model_tool_absent(struct str name)
{
    static const char *const names[] = {"Delete",   "MultiEdit", "NotebookEdit", "NotebookRead",
                                        "WebFetch", "WebSearch", "TodoWrite",    "Task",
                                        "LS",       "Skill",     "BashOutput"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (str_is(name, names[i]))
            return true;
    return str_starts(name, STR("mcp__"));
}

static bool listed(const struct val *list, struct str name)
{
    if (val_is(list, VAL_STR))
        return str_eq(list->s, name);
    for (size_t i = 0; val_at(list, i); i++)
        if (val_is(val_at(list, i), VAL_STR) && str_eq(val_at(list, i)->s, name))
            return true;
    return false;
}

static bool add_tool(struct frame *f, const struct val *v, size_t i, const struct val *denied, struct val_list *l)
{
    struct str name = val_is(v, VAL_STR) ? v->s : STR("");
    if (str_is(name, "Search")) /* an older name */
        name = STR("Grep");
    if (model_tool_absent(name) || listed(denied, name) || (str_is(name, "Grep") && listed(denied, STR("Search"))))
        return true;
    if (!tool_schemas_get(name).n) {
        step_failf(f, RC_INVALID, "`allowed_tools` item %zu is no tool; expected Read, Write, Edit, Bash, Glob or Grep",
                   i + 1);
        return false;
    }
    struct val seen = {.type = VAL_ARRAY, .arr = {l->v, l->n}};
    if (!listed(&seen, name))
        val_list_push(l, val_str(name));
    return true;
}

static bool read_tools(struct frame *f, const struct val *options, const struct val **ret)
{
    const struct val *v = VAL_GET(options, "allowed_tools"), *denied = VAL_GET(options, "disallowed_tools");
    *ret = NULL;
    if (!v || v->type == VAL_NULL)
        return true;
    struct val_list l = val_list_new(&f->arena);
    if (v->type == VAL_STR && !add_tool(f, v, 0, denied, &l))
        return false;
    for (size_t i = 0; v->type == VAL_ARRAY && i < v->arr.n; i++)
        if (!add_tool(f, &v->arr.v[i], i, denied, &l))
            return false;
    if (!l.n)
        return true;
    struct val *list = ARENA_NEW(&f->arena, struct val);
    *list = val_list_done(&l);
    *ret = list;
    return true;
}

/* "openai/qwen3" names the provider itself; claude and gemini steps have theirs, and an llm step may say `provider`. */
static bool split_model(struct frame *f, const struct val *options, struct agent_options *o)
{
    o->provider = str_c(f->def->type->provider ? f->def->type->provider : "");
    size_t slash = str_find(o->model, STR("/"));
    struct str said = val_get_str(options, STR("provider"), STR(""));
    if (o->provider.n)
        return true;
    if (said.n && (slash == SIZE_MAX || str_is(said, "openai"))) { /* names of other servers' models may have a slash */
        o->provider = said;
        if (!o->model.n)
            o->model = str_is(said, "gemini") ? STR(GEMINI_USUAL) : STR("sonnet");
        return true;
    }
    if (slash == SIZE_MAX || slash == 0 || slash + 1 == o->model.n) {
        step_failf(f, RC_INVALID, "`model` is `%.*s`; expected PROVIDER/MODEL, as in openai/gpt-5.4-mini",
                   STR_ARG(o->model));
        return false;
    }
    o->provider = str_n(o->model.p, slash);
    o->model = str_from(o->model, slash + 1);
    return true;
}

static struct str default_model(const struct frame *f, const struct model_kind *kind)
{
    if (!f->def->type->provider)
        return STR("");
    return !is_claude(f) ? STR(GEMINI_USUAL) : kind->preset ? STR("haiku") : STR("sonnet");
}

/* ./workspace/docs is written from where the workflow's author stands; tools stand in the workspace. */
static struct str in_workspace(struct frame *f, struct str cwd)
{
    const struct val *written = frame_workflow_key(f, "workspace_dir");
    struct str dir = val_is(written, VAL_STR) ? written->s : STR("workspace");
    while (str_starts(cwd, STR("./")))
        cwd = str_from(cwd, 2);
    while (str_starts(dir, STR("./")))
        dir = str_from(dir, 2);
    while (dir.n && dir.p[dir.n - 1] == '/')
        dir.n--;
    if (dir.n && str_eq(cwd, dir))
        return STR("");
    if (dir.n && str_starts(cwd, dir) && cwd.n > dir.n && cwd.p[dir.n] == '/')
        return str_from(cwd, dir.n + 1);
    return str_is(cwd, ".") ? STR("") : cwd;
}

bool model_read_retry(struct frame *f, const struct val *block, struct retry_policy *ret)
{
    *ret = retry_default_model;
    int64_t retries, delay = 1000, max = 60000;
    struct str backoff;
    if (!frame_int(f, block, "max_retries", ret->max_attempts - 1, 0, 1000, &retries) ||
        !frame_int(f, block, "base_delay_ms", delay, 0, DELAY_MAX_MS, &delay) ||
        !frame_int(f, block, "max_delay_ms", delay > max ? delay : max, 0, DELAY_MAX_MS, &max) ||
        !frame_text(f, block, "backoff_strategy", STR("exponential"), &backoff))
        return false;
    ret->max_attempts = retries + 1;
    ret->delay_ms = delay;
    ret->max_delay_ms = max > delay ? max : delay;
    ret->backoff = str_is(backoff, "linear")                                 ? BACKOFF_LINEAR
                   : str_is(backoff, "fixed") || str_is(backoff, "constant") ? BACKOFF_FIXED
                                                                             : BACKOFF_EXPONENTIAL;
    const struct val *on = VAL_GET(block, "retry_on") ? VAL_GET(block, "retry_on") : VAL_GET(block, "retry_conditions");
    for (size_t i = 0; val_at(on, i); i++)
        if (val_is(val_at(on, i), VAL_STR))
            (void)retry_class(val_at(on, i)->s, &ret->on); /* an unknown one was warned about at load */
    ret->set = true;
    return true;
}

/* What the step says goes before what its claude_options say, and that before what stands for all steps. */
static bool read_retry(struct frame *f, const struct val *options, struct agent_options *o)
{
    const struct val *own = VAL_GET(VAL_GET(f->def->source, "claude_options"), "retry_config");
    const struct val *block = VAL_GET(options, "retry_config");
    if (f->def->retry.set && !own) {
        o->retry = &f->def->retry;
        return true;
    }
    if (!val_is(block, VAL_OBJECT))
        return true;
    struct retry_policy *p = ARENA_NEW(&f->arena, struct retry_policy);
    o->retry = p;
    return model_read_retry(f, block, p);
}

bool model_read(struct frame *f, const struct model_kind *kind, const struct val *options, struct agent_options *o)
{
    struct str system, more;
    if (!read_tools(f, options, &o->tools) || !frame_text(f, options, "model", default_model(f, kind), &o->model) ||
        !frame_text(f, options, "fallback_model", STR(""), &o->fallback_model) ||
        !frame_text(f, options, "system_prompt", STR(""), &system) ||
        !frame_text(f, options, "append_system_prompt", STR(""), &more) ||
        !frame_text(f, options, "cwd", STR(""), &o->cwd) || !network_read(f, options, &o->network) ||
        !frame_int(f, options, "max_turns", DEFAULT_MAX_TURNS, 1, MODEL_TURNS_MAX, &o->max_turns) ||
        !frame_int(f, options, "timeout_ms", 0, 0, INT64_MAX / 4, &o->call_timeout_ms) || !split_model(f, options, o) ||
        !read_retry(f, options, o) || !mocked_read(f, options, &o->mock))
        return false;
    o->cwd = in_workspace(f, o->cwd);
    o->system = more.n && system.n ? arena_printf(&f->arena, "%.*s\n\n%.*s", STR_ARG(system), STR_ARG(more))
                : more.n           ? more
                                   : system;
    o->params = build_params(f, options);
    o->schema = f->def->output_schema;
    return true;
}
