/* Requests to OpenAI's chat completions.
 *
 * One codec for the official service and for the many servers that imitate it; they differ in what they take:
 * `max_completion_tokens` is the official name, `max_tokens` everybody else's; the official reasoning models refuse
 * sampling parameters, others take even top_k. Which one is meant is seen from the base address.
 *
 * The raw content of an assistant message is that message: {role, content, refusal?, tool_calls?}. */
#include "llm/openai.h"

#include "data/json.h"
#include "llm/wire.h"

static const char default_base[] = "https://api.openai.com/v1";
static const char official_host[] = "https://api.openai.com";

static struct val message(struct arena *a, const char *role, struct val content)
{
    struct val_map m = val_map_new(a);
    VAL_MAP_SET(&m, "role", val_str(str_c(role)));
    VAL_MAP_SET(&m, "content", content);
    return val_map_done(&m);
}

static void add_user(struct wire *w, const struct wire_message *m, struct val_list *out)
{
    if (!m->content) {
        val_list_push(out, message(w->a, "user", val_str(m->text)));
        return;
    }
    struct val_list texts = val_list_new(w->a);
    for (size_t i = 0; i < m->content->arr.n; i++) {
        const struct val *b = &m->content->arr.v[i];
        if (str_is(VAL_GET(b, "type")->s, "tool_result")) {
            struct val_map r = val_map_new(w->a);
            VAL_MAP_SET(&r, "role", VAL_LIT("tool"));
            VAL_MAP_SET(&r, "tool_call_id", *VAL_GET(b, "id"));
            VAL_MAP_SET(&r, "content", *VAL_GET(b, "text"));
            val_list_push(out, val_map_done(&r));
        } else {
            struct val_map t = val_map_new(w->a);
            VAL_MAP_SET(&t, "type", VAL_LIT("text"));
            VAL_MAP_SET(&t, "text", *VAL_GET(b, "text"));
            val_list_push(&texts, val_map_done(&t));
        }
    }
    if (texts.n == 1) /* the plain form is what every server understands */
        val_list_push(out, message(w->a, "user", *VAL_GET(&texts.v[0], "text")));
    else if (texts.n)
        val_list_push(out, message(w->a, "user", val_list_done(&texts)));
}

static struct val foreign_calls(struct wire *w, const struct val *calls)
{
    struct val_list out = val_list_new(w->a);
    for (size_t i = 0; i < calls->arr.n; i++) {
        const struct val *c = &calls->arr.v[i], *input = VAL_GET(c, "input");
        struct val_map f = val_map_new(w->a), m = val_map_new(w->a);
        VAL_MAP_SET(&f, "name", val_str(val_get_str(c, STR("name"), (struct str){0})));
        VAL_MAP_SET(&f, "arguments", val_str(json_text(w->a, input ? input : &val_empty_object)));
        VAL_MAP_SET(&m, "id", val_str(val_get_str(c, STR("id"), (struct str){0})));
        VAL_MAP_SET(&m, "type", VAL_LIT("function"));
        VAL_MAP_SET(&m, "function", val_map_done(&f));
        val_list_push(&out, val_map_done(&m));
    }
    return val_list_done(&out);
}

static void add_assistant(struct wire *w, const struct wire_message *m, struct val_list *out)
{
    if (val_is(VAL_GET(m->raw, "role"), VAL_STR)) {
        val_list_push(out, *m->raw);
        return;
    }
    bool calls = val_is(m->calls, VAL_ARRAY) && m->calls->arr.n;
    struct val_map r = val_map_new(w->a);
    VAL_MAP_SET(&r, "role", VAL_LIT("assistant"));
    VAL_MAP_SET(&r, "content", calls && m->text.n == 0 ? val_null : val_str(m->text));
    if (calls)
        VAL_MAP_SET(&r, "tool_calls", foreign_calls(w, m->calls));
    val_list_push(out, val_map_done(&r));
}

static enum rc build_messages(struct wire *w, struct str system)
{
    struct val_list out = val_list_new(w->a);
    if (system.n)
        val_list_push(&out, message(w->a, "system", val_str(system)));
    for (size_t i = 0; i < wire_message_count(w); i++) {
        struct wire_message m;
        enum rc rc = wire_message(w, i, &m);
        if (rc != RC_OK)
            return rc;
        if (m.assistant)
            add_assistant(w, &m, &out);
        else
            add_user(w, &m, &out);
    }
    VAL_MAP_SET(&w->body, "messages", val_list_done(&out));
    return RC_OK;
}

/* ---- parameters ---- */

static void build_tools(struct wire *w)
{
    struct val_list tools, out = val_list_new(w->a);
    if (!wire_tools(w, "parameters", WIRE_OPENAI, &tools))
        return;
    for (size_t i = 0; i < tools.n; i++) {
        struct val_map m = val_map_new(w->a);
        VAL_MAP_SET(&m, "type", VAL_LIT("function"));
        VAL_MAP_SET(&m, "function", tools.v[i]);
        val_list_push(&out, val_map_done(&m));
    }
    VAL_MAP_SET(&w->body, "tools", val_list_done(&out));
    struct str choice = val_get_str(w->request, STR("tool_choice"), STR("auto"));
    if (!str_is(choice, "auto"))
        VAL_MAP_SET(&w->body, "tool_choice", val_str(choice));
}

/* Strict where the schema can be strict; otherwise the server is told the schema and may follow it loosely. A schema
 * that is no object cannot be told at all. Returns the system text, with the schema in it in that case. */
static struct str build_schema(struct wire *w, struct str system)
{
    const struct val *schema = VAL_GET(w->request, "schema");
    if (!val_is(schema, VAL_OBJECT))
        return system;
    struct val fitted = *schema;
    bool strict = wire_schema(w->a, schema, WIRE_OPENAI, &fitted);
    if (!strict && !str_is(val_get_str(schema, STR("type"), (struct str){0}), "object"))
        return wire_ask_for_schema(w->a, system, schema);
    struct val_map s = val_map_new(w->a), format = val_map_new(w->a);
    VAL_MAP_SET(&s, "name", VAL_LIT("answer"));
    VAL_MAP_SET(&s, "strict", val_bool(strict));
    VAL_MAP_SET(&s, "schema", fitted);
    VAL_MAP_SET(&format, "type", VAL_LIT("json_schema"));
    VAL_MAP_SET(&format, "json_schema", val_map_done(&s));
    VAL_MAP_SET(&w->body, "response_format", val_map_done(&format));
    return system;
}

/* The official models that think before they answer: o1, o3, o4-mini, gpt-5… and later. */
static bool is_reasoning(struct str model)
{
    if (model.n >= 2 && model.p[0] == 'o' && model.p[1] >= '1' && model.p[1] <= '9')
        return true;
    return str_starts(model, STR("gpt-")) && model.n > 4 && model.p[4] >= '5' && model.p[4] <= '9';
}

static void build_numbers(struct wire *w, bool official)
{
    static const char *const names[] = {"temperature", "top_p", "top_k"};
    struct val v;
    struct str effort = val_get_str(w->request, STR("effort"), (struct str){0});
    bool reasons = official && is_reasoning(w->model) && !str_is(effort, "none");
    if (wire_number(w, "max_tokens", &v))
        val_map_set(&w->body, official ? STR("max_completion_tokens") : STR("max_tokens"), v);
    if (effort.n)
        VAL_MAP_SET(&w->body, "reasoning_effort", val_str(effort));
    for (size_t i = 0; i < 3; i++) {
        if (!wire_number(w, names[i], &v))
            continue;
        bool refused = i == 2 ? official : reasons && val_to_double(&v, 0) != 1;
        if (refused)
            wire_warn(w, "%s was dropped: %.*s does not take it", names[i], STR_ARG(w->model));
        else
            val_map_set(&w->body, str_c(names[i]), v);
    }
}

enum rc openai_build(const struct val *request, const struct provider_config *config, struct arena *a,
                     struct http_request *ret, struct val_list *warnings, struct err *err)
{
    struct wire w;
    enum rc rc = wire_init(&w, request, config, a, warnings, err);
    if (rc != RC_OK)
        return rc;
    VAL_MAP_SET(&w.body, "model", val_str(w.model));
    struct str system = build_schema(&w, val_get_str(request, STR("system"), (struct str){0}));
    if ((rc = build_messages(&w, system)) != RC_OK)
        return rc;
    build_tools(&w);
    build_numbers(&w, wire_base_is(&w, official_host));
    const struct val *stop = VAL_GET(request, "stop");
    if (val_is(stop, VAL_ARRAY) && stop->arr.n)
        VAL_MAP_SET(&w.body, "stop", *stop);
    VAL_MAP_SET(&w.body, "stream", val_true);
    struct val_map options = val_map_new(a);
    VAL_MAP_SET(&options, "include_usage", val_true);
    VAL_MAP_SET(&w.body, "stream_options", val_map_done(&options));
    if (config && config->api_key.n) {
        rc = wire_header(&w, "authorization", arena_printf(a, "Bearer %.*s", STR_ARG(config->api_key)));
        if (rc != RC_OK)
            return rc;
    }
    return wire_finish(&w, wire_url(&w, default_base, STR("/chat/completions")), ret);
}
