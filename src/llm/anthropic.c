/* Requests to the Anthropic Messages API.
 *
 * API version 2026-10-21 refuses temperature, top_p and top_k for every model, and newer models refuse them on the
 * older version too. So a request that sets them goes out as 2023-06-01 when its model still honours them, and without
 * them, with a warning, when not. What a model takes is in claude_models.def. A name that is no claude-… is some other
 * server that speaks this protocol: it gets the old version, the plain features, and its sampling parameters.
 *
 * Assistant content is echoed as it came (signatures are bound to it), with one exception: an empty text block, which
 * the API sends but does not take back. Tool results come first in their message, as the API demands. */
#include "llm/anthropic.h"

#include "llm/wire.h"

static const char default_base[] = "https://api.anthropic.com";

static const struct {
    const char *alias, *id;
} aliases[] = {
    {"haiku", "claude-haiku-5-5"},
    {"sonnet", "claude-sonnet-5-5"},
    {"opus", "claude-opus-5-5"},
    {"fable", "claude-fable-5-2"},
};

struct claude_model {
    const char *prefix;
    int64_t max_output, default_output;
    bool sampling, structured, effort;
};
static const struct claude_model models[] = {
#define X(prefix_, max_, default_, sampling_, structured_, effort_) \
    {prefix_, max_, default_, sampling_, structured_, effort_},
#include "llm/claude_models.def"
#undef X
};
static const struct claude_model other_server = {"", INT32_MAX, 8192, true, false, false};

/* "haiku", "sonnet", "opus", "fable" -> the current model of that family; other names as they are. Claude Code's
 * `[1m]` asks for a window of a million tokens, which all current models have. */
static struct str anthropic_model_id(struct str name)
{
    if (str_ends(name, STR("[1m]")))
        name.n -= 4;
    for (size_t i = 0; i < sizeof aliases / sizeof *aliases; i++) {
        if (str_is(name, aliases[i].alias))
            return str_c(aliases[i].id);
    }
    return name;
}

static const struct claude_model *model_find(struct str id)
{
    const struct claude_model *best = &other_server;
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        if (str_starts(id, str_c(models[i].prefix)) && strlen(models[i].prefix) > strlen(best->prefix))
            best = &models[i];
    }
    return best;
}

/* ---- messages ---- */

static struct val text_block(struct arena *a, struct str text)
{
    struct val_map m = val_map_new(a);
    VAL_MAP_SET(&m, "type", VAL_LIT("text"));
    VAL_MAP_SET(&m, "text", val_str(text));
    return val_map_done(&m);
}

static struct val result_block(struct arena *a, const struct val *block)
{
    struct val_map m = val_map_new(a);
    VAL_MAP_SET(&m, "type", VAL_LIT("tool_result"));
    VAL_MAP_SET(&m, "tool_use_id", *VAL_GET(block, "id"));
    VAL_MAP_SET(&m, "content", *VAL_GET(block, "text"));
    if (val_get_bool(block, STR("is_error"), false))
        VAL_MAP_SET(&m, "is_error", val_true);
    return val_map_done(&m);
}

static void add_user(struct wire *w, const struct wire_message *m, struct val_list *blocks)
{
    if (!m->content) {
        if (m->text.n)
            val_list_push(blocks, text_block(w->a, m->text));
        return;
    }
    for (int results = 1; results >= 0; results--) {
        for (size_t i = 0; i < m->content->arr.n; i++) {
            const struct val *b = &m->content->arr.v[i];
            bool is_result = str_is(VAL_GET(b, "type")->s, "tool_result");
            if (results && is_result)
                val_list_push(blocks, result_block(w->a, b));
            else if (!results && !is_result && VAL_GET(b, "text")->s.n)
                val_list_push(blocks, text_block(w->a, VAL_GET(b, "text")->s));
        }
    }
}

static bool is_own_raw(const struct val *raw)
{
    if (!val_is(raw, VAL_ARRAY))
        return false;
    for (size_t i = 0; i < raw->arr.n; i++) {
        if (!val_is(VAL_GET(&raw->arr.v[i], "type"), VAL_STR))
            return false;
    }
    return true;
}

static bool is_empty_text(const struct val *block)
{
    const struct val *text = VAL_GET(block, "text");
    return str_is(VAL_GET(block, "type")->s, "text") && val_is(text, VAL_STR) && text->s.n == 0;
}

static void add_assistant(struct wire *w, const struct wire_message *m, struct val_list *blocks)
{
    if (is_own_raw(m->raw)) {
        for (size_t i = 0; i < m->raw->arr.n; i++) {
            if (!is_empty_text(&m->raw->arr.v[i]))
                val_list_push(blocks, m->raw->arr.v[i]);
        }
        return;
    }
    if (m->text.n)
        val_list_push(blocks, text_block(w->a, m->text));
    for (size_t i = 0; val_is(m->calls, VAL_ARRAY) && i < m->calls->arr.n; i++) {
        struct val_map b = val_map_new(w->a);
        VAL_MAP_SET(&b, "type", VAL_LIT("tool_use"));
        val_map_merge(&b, &m->calls->arr.v[i]);
        val_list_push(blocks, val_map_done(&b));
    }
}

static void push_message(struct wire *w, struct val_list *out, bool assistant, struct val_list *blocks)
{
    if (blocks->n) {
        struct val_map m = val_map_new(w->a);
        VAL_MAP_SET(&m, "role", assistant ? VAL_LIT("assistant") : VAL_LIT("user"));
        VAL_MAP_SET(&m, "content", val_list_done(blocks));
        val_list_push(out, val_map_done(&m));
    }
    *blocks = val_list_new(w->a);
}

/* Messages of the same role in a row become one; empty ones vanish. */
static enum rc build_messages(struct wire *w)
{
    struct val_list out = val_list_new(w->a), blocks = val_list_new(w->a);
    bool assistant = false;
    for (size_t i = 0; i < wire_message_count(w); i++) {
        struct wire_message m;
        enum rc rc = wire_message(w, i, &m);
        if (rc != RC_OK)
            return rc;
        if (m.assistant != assistant)
            push_message(w, &out, assistant, &blocks);
        assistant = m.assistant;
        if (assistant)
            add_assistant(w, &m, &blocks);
        else
            add_user(w, &m, &blocks);
    }
    push_message(w, &out, assistant, &blocks);
    if (out.n == 0)
        return err_set(w->err, RC_INVALID, "the prompt is empty, which the provider refuses");
    VAL_MAP_SET(&w->body, "messages", val_list_done(&out));
    return RC_OK;
}

/* ---- parameters ---- */

static void build_tools(struct wire *w)
{
    struct val_list tools;
    if (!wire_tools(w, "input_schema", WIRE_ANTHROPIC, &tools))
        return;
    VAL_MAP_SET(&w->body, "tools", val_list_done(&tools));
    struct str choice = val_get_str(w->request, STR("tool_choice"), STR("auto"));
    if (!str_is(choice, "auto")) {
        struct val_map m = val_map_new(w->a);
        VAL_MAP_SET(&m, "type", val_str(choice));
        VAL_MAP_SET(&w->body, "tool_choice", val_map_done(&m));
    }
    /* A request with tools is a turn of a conversation that is sent again, longer, at the next turn. */
    if (str_starts(w->model, STR("claude-"))) {
        struct val_map m = val_map_new(w->a);
        VAL_MAP_SET(&m, "type", VAL_LIT("ephemeral"));
        VAL_MAP_SET(&w->body, "cache_control", val_map_done(&m));
    }
}

/* Returns whether the request now needs the old API version. */
static bool build_sampling(struct wire *w, const struct claude_model *model)
{
    static const char *const names[] = {"temperature", "top_p", "top_k"};
    bool sent = false, temperature = false;
    for (size_t i = 0; i < 3; i++) {
        struct val v;
        if (!wire_number(w, names[i], &v))
            continue;
        if (!model->sampling) {
            wire_warn(w, "%s was dropped: %.*s does not take it", names[i], STR_ARG(w->model));
        } else if (i == 1 && temperature) {
            wire_warn(w, "top_p was dropped: the API takes temperature or top_p, not both");
        } else {
            val_map_set(&w->body, str_c(names[i]), v);
            sent = true;
            temperature |= i == 0;
        }
    }
    return sent;
}

static void build_max_tokens(struct wire *w, const struct claude_model *model)
{
    int64_t max = val_get_int(w->request, STR("max_tokens"), 0);
    if (max <= 0)
        max = model->default_output;
    if (max > model->max_output) {
        wire_warn(w, "max_tokens was lowered from %lld to %lld, the most that %.*s can write", (long long)max,
                  (long long)model->max_output, STR_ARG(w->model));
        max = model->max_output;
    }
    VAL_MAP_SET(&w->body, "max_tokens", val_int(max));
}

/* output_config and system: the schema is in one or the other. */
static void build_output(struct wire *w, const struct claude_model *model)
{
    struct str system = val_get_str(w->request, STR("system"), (struct str){0});
    struct str effort = val_get_str(w->request, STR("effort"), (struct str){0});
    const struct val *schema = VAL_GET(w->request, "schema");
    struct val_map config = val_map_new(w->a);
    if (effort.n && model->effort)
        VAL_MAP_SET(&config, "effort", val_str(effort));
    else if (effort.n)
        wire_warn(w, "effort was dropped: %.*s does not take it", STR_ARG(w->model));
    if (val_is(schema, VAL_OBJECT)) {
        struct val fitted;
        if (model->structured && wire_schema(w->a, schema, WIRE_ANTHROPIC, &fitted)) {
            struct val_map format = val_map_new(w->a);
            VAL_MAP_SET(&format, "type", VAL_LIT("json_schema"));
            VAL_MAP_SET(&format, "schema", fitted);
            VAL_MAP_SET(&config, "format", val_map_done(&format));
        } else {
            system = wire_ask_for_schema(w->a, system, schema);
        }
    }
    if (system.n)
        VAL_MAP_SET(&w->body, "system", val_str(system));
    if (config.n)
        VAL_MAP_SET(&w->body, "output_config", val_map_done(&config));
}

static enum rc build_headers(struct wire *w, bool old_version)
{
    struct str key = w->config ? w->config->api_key : (struct str){0};
    enum rc rc = wire_header(w, "anthropic-version", old_version ? STR("2023-06-01") : STR("2026-10-21"));
    if (rc != RC_OK || key.n == 0)
        return rc;
    if (!str_starts(key, STR("sk-ant-oat"))) /* an OAuth token goes into Authorization only */
        return wire_header(w, "x-api-key", key);
    struct str bearer = arena_printf(w->a, "Bearer %.*s", STR_ARG(key));
    return wire_header(w, "authorization", bearer);
}

enum rc anthropic_build(const struct val *request, const struct provider_config *config, struct arena *a,
                        struct http_request *ret, struct val_list *warnings, struct err *err)
{
    struct wire w;
    enum rc rc = wire_init(&w, request, config, a, warnings, err);
    if (rc != RC_OK)
        return rc;
    w.model = anthropic_model_id(w.model);
    const struct claude_model *model = model_find(w.model);
    VAL_MAP_SET(&w.body, "model", val_str(w.model));
    build_max_tokens(&w, model);
    build_output(&w, model);
    if ((rc = build_messages(&w)) != RC_OK)
        return rc;
    build_tools(&w);
    bool old_version = build_sampling(&w, model) || model == &other_server;
    const struct val *stop = VAL_GET(request, "stop");
    if (val_is(stop, VAL_ARRAY) && stop->arr.n)
        VAL_MAP_SET(&w.body, "stop_sequences", *stop);
    VAL_MAP_SET(&w.body, "stream", val_true);
    rc = build_headers(&w, old_version);
    return rc == RC_OK ? wire_finish(&w, wire_url(&w, default_base, STR("/v1/messages")), ret) : rc;
}
