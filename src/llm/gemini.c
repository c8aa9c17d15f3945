/* Requests to the Gemini Developer API.
 *
 * The raw content of an assistant message is {parts: [...], continuationToken?}. Parts go back as they came: a function
 * call without its thoughtSignature is refused. A reply that stopped with CONTINUATION carries a token; such messages
 * at the end of the conversation are not sent, the token of the last one is, and the model goes on where it was.
 *
 * Function calls of older models have no id. The reply's codec makes one up for them (gemini_call_…); an id goes back
 * only if the call that it belongs to really had it. */
#include "llm/gemini.h"

#include "llm/wire.h"

#include <ctype.h>

static const char default_base[] = "https://generativelanguage.googleapis.com";

static bool is_own_raw(const struct val *raw)
{
    return val_is(VAL_GET(raw, "parts"), VAL_ARRAY);
}

static struct val text_part(struct arena *a, struct str text)
{
    struct val_map m = val_map_new(a);
    VAL_MAP_SET(&m, "text", val_str(text));
    return val_map_done(&m);
}

/* Whether one of the parts is a function call that has this id itself. */
static bool has_call(const struct val *parts, struct str id)
{
    for (size_t i = 0; val_is(parts, VAL_ARRAY) && i < parts->arr.n; i++) {
        if (str_eq(val_get_str(VAL_GET(&parts->arr.v[i], "functionCall"), STR("id"), (struct str){0}), id))
            return true;
    }
    return false;
}

static struct val response_part(struct wire *w, const struct val *block, const struct val *calls)
{
    struct val_map answer = val_map_new(w->a), response = val_map_new(w->a), part = val_map_new(w->a);
    struct str id = VAL_GET(block, "id")->s;
    bool is_error = val_get_bool(block, STR("is_error"), false);
    val_map_set(&answer, is_error ? STR("error") : STR("output"), *VAL_GET(block, "text"));
    if (has_call(calls, id))
        VAL_MAP_SET(&response, "id", val_str(id));
    VAL_MAP_SET(&response, "name", val_str(val_get_str(block, STR("name"), (struct str){0})));
    VAL_MAP_SET(&response, "response", val_map_done(&answer));
    VAL_MAP_SET(&part, "functionResponse", val_map_done(&response));
    return val_map_done(&part);
}

static void add_user(struct wire *w, const struct wire_message *m, const struct val *calls, struct val_list *parts)
{
    if (!m->content)
        val_list_push(parts, text_part(w->a, m->text));
    for (size_t i = 0; m->content && i < m->content->arr.n; i++) {
        const struct val *b = &m->content->arr.v[i];
        if (str_is(VAL_GET(b, "type")->s, "tool_result"))
            val_list_push(parts, response_part(w, b, calls));
        else
            val_list_push(parts, text_part(w->a, VAL_GET(b, "text")->s));
    }
}

/* Streams end with such a part; the API does not take it back. One that carries a signature is another matter. */
static bool is_empty_text(const struct val *part)
{
    const struct val *text = VAL_GET(part, "text");
    return val_is(text, VAL_STR) && text->s.n == 0 && part->obj.n == 1;
}

static void add_assistant(struct wire *w, const struct wire_message *m, struct val_list *parts)
{
    if (is_own_raw(m->raw)) {
        const struct val *own = VAL_GET(m->raw, "parts");
        for (size_t i = 0; i < own->arr.n; i++) {
            if (!is_empty_text(&own->arr.v[i]))
                val_list_push(parts, own->arr.v[i]);
        }
        return;
    }
    if (m->text.n)
        val_list_push(parts, text_part(w->a, m->text));
    for (size_t i = 0; val_is(m->calls, VAL_ARRAY) && i < m->calls->arr.n; i++) {
        const struct val *c = &m->calls->arr.v[i], *input = VAL_GET(c, "input");
        struct val_map call = val_map_new(w->a), part = val_map_new(w->a);
        VAL_MAP_SET(&call, "name", val_str(val_get_str(c, STR("name"), (struct str){0})));
        VAL_MAP_SET(&call, "args", input ? *input : val_empty_object);
        VAL_MAP_SET(&part, "functionCall", val_map_done(&call));
        val_list_push(parts, val_map_done(&part));
    }
}

static void push_content(struct wire *w, struct val_list *out, bool assistant, struct val_list *parts)
{
    if (parts->n) {
        struct val_map m = val_map_new(w->a);
        VAL_MAP_SET(&m, "role", assistant ? VAL_LIT("model") : VAL_LIT("user"));
        VAL_MAP_SET(&m, "parts", val_list_done(parts));
        val_list_push(out, val_map_done(&m));
    }
    *parts = val_list_new(w->a);
}

/* How many of the messages are sent: those at the end that wait for a continuation are not. */
static size_t before_continuation(struct wire *w)
{
    const struct val *messages = VAL_GET(w->request, "messages");
    size_t n = messages->arr.n;
    const struct val *token = NULL;
    while (n) {
        const struct val *t = VAL_GET(VAL_GET(&messages->arr.v[n - 1], "raw"), "continuationToken");
        if (!val_is(t, VAL_STR))
            break;
        token = token ? token : t;
        n--;
    }
    if (token && n)
        VAL_MAP_SET(&w->body, "continuationToken", *token);
    return n ? n : messages->arr.n;
}

static enum rc build_contents(struct wire *w)
{
    struct val_list out = val_list_new(w->a), parts = val_list_new(w->a);
    const struct val *calls = NULL; /* parts of the last assistant message */
    bool assistant = false;
    for (size_t i = 0, n = before_continuation(w); i < n; i++) {
        struct wire_message m;
        enum rc rc = wire_message(w, i, &m);
        if (rc != RC_OK)
            return rc;
        if (m.assistant != assistant)
            push_content(w, &out, assistant, &parts);
        assistant = m.assistant;
        if (assistant) {
            add_assistant(w, &m, &parts);
            calls = VAL_GET(m.raw, "parts");
        } else {
            add_user(w, &m, calls, &parts);
        }
    }
    push_content(w, &out, assistant, &parts);
    VAL_MAP_SET(&w->body, "contents", val_list_done(&out));
    return RC_OK;
}

/* ---- parameters ---- */

static bool build_tools(struct wire *w)
{
    struct val_list declarations, list = val_list_new(w->a);
    if (!wire_tools(w, "parametersJsonSchema", WIRE_GEMINI, &declarations))
        return false;
    struct val_map m = val_map_new(w->a);
    VAL_MAP_SET(&m, "functionDeclarations", val_list_done(&declarations));
    val_list_push(&list, val_map_done(&m));
    VAL_MAP_SET(&w->body, "tools", val_list_done(&list));
    if (str_is(val_get_str(w->request, STR("tool_choice"), STR("auto")), "none")) {
        struct val_map mode = val_map_new(w->a), config = val_map_new(w->a);
        VAL_MAP_SET(&mode, "mode", VAL_LIT("NONE"));
        VAL_MAP_SET(&config, "functionCallingConfig", val_map_done(&mode));
        VAL_MAP_SET(&w->body, "toolConfig", val_map_done(&config));
    }
    return true;
}

static void build_effort(struct wire *w, struct val_map *generation, bool second_generation)
{
    static const struct {
        const char *ours, *theirs;
    } levels[] = {
        {"none", "MINIMAL"}, {"minimal", "MINIMAL"}, {"low", "LOW"},  {"medium", "MEDIUM"},
        {"high", "HIGH"},    {"xhigh", "HIGH"},      {"max", "HIGH"},
    };
    struct str effort = val_get_str(w->request, STR("effort"), (struct str){0});
    if (effort.n == 0)
        return;
    for (size_t i = 0; !second_generation && i < sizeof levels / sizeof *levels; i++) {
        if (str_is(effort, levels[i].ours)) {
            struct val_map m = val_map_new(w->a);
            VAL_MAP_SET(&m, "thinkingLevel", val_str(str_c(levels[i].theirs)));
            VAL_MAP_SET(generation, "thinkingConfig", val_map_done(&m));
            return;
        }
    }
    wire_warn(w, "effort %.*s was dropped: %.*s does not take it", STR_ARG(effort), STR_ARG(w->model));
}

static void build_generation(struct wire *w, bool tools, struct str *system)
{
    static const struct {
        const char *ours, *theirs;
    } numbers[] = {
        {"temperature", "temperature"},
        {"top_p", "topP"},
        {"top_k", "topK"},
        {"max_tokens", "maxOutputTokens"},
    };
    struct val_map m = val_map_new(w->a);
    bool second_generation = str_starts(w->model, STR("gemini-2"));
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        struct val v;
        if (wire_number(w, numbers[i].ours, &v))
            val_map_set(&m, str_c(numbers[i].theirs), v);
    }
    const struct val *stop = VAL_GET(w->request, "stop"), *schema = VAL_GET(w->request, "schema");
    if (val_is(stop, VAL_ARRAY) && stop->arr.n)
        VAL_MAP_SET(&m, "stopSequences", *stop);
    if (val_is(schema, VAL_OBJECT)) {
        struct val fitted;
        bool together = !tools || !second_generation; /* the second generation takes tools or JSON answers, not both */
        if (together && wire_schema(w->a, schema, WIRE_GEMINI, &fitted)) {
            VAL_MAP_SET(&m, "responseMimeType", VAL_LIT("application/json"));
            VAL_MAP_SET(&m, "responseJsonSchema", fitted);
        } else {
            *system = wire_ask_for_schema(w->a, *system, schema);
        }
    }
    build_effort(w, &m, second_generation);
    if (m.n)
        VAL_MAP_SET(&w->body, "generationConfig", val_map_done(&m));
}

/* The model's name as one segment of the path, whatever it holds. */
static struct str path_segment(struct arena *a, struct str name)
{
    static const char hex[] = "0123456789ABCDEF";
    char *p = arena_calloc(a, name.n + 1, 3), *out = p;
    for (size_t i = 0; i < name.n; i++) {
        unsigned char c = (unsigned char)name.p[i];
        if (c < 128 && (isalnum(c) || c == '-' || c == '_' || c == '.')) {
            *out++ = (char)c;
        } else {
            *out++ = '%';
            *out++ = hex[c >> 4];
            *out++ = hex[c & 15];
        }
    }
    return str_n(p, (size_t)(out - p));
}

enum rc gemini_build(const struct val *request, const struct provider_config *config, struct arena *a,
                     struct http_request *ret, struct val_list *warnings, struct err *err)
{
    struct wire w;
    enum rc rc = wire_init(&w, request, config, a, warnings, err);
    if (rc != RC_OK)
        return rc;
    if (str_starts(w.model, STR("models/")))
        w.model = str_from(w.model, 7);
    struct str system = val_get_str(request, STR("system"), (struct str){0});
    if ((rc = build_contents(&w)) != RC_OK)
        return rc;
    bool tools = build_tools(&w);
    build_generation(&w, tools, &system);
    if (system.n) {
        struct val_list parts = val_list_new(a);
        struct val_map m = val_map_new(a);
        val_list_push(&parts, text_part(a, system));
        VAL_MAP_SET(&m, "parts", val_list_done(&parts));
        VAL_MAP_SET(&w.body, "systemInstruction", val_map_done(&m));
    }
    if (config && config->api_key.n && (rc = wire_header(&w, "x-goog-api-key", config->api_key)) != RC_OK)
        return rc;
    struct str model = path_segment(a, w.model);
    struct str path = arena_printf(a, "/v1beta/models/%.*s:streamGenerateContent?alt=sse", STR_ARG(model));
    return wire_finish(&w, wire_url(&w, default_base, path), ret);
}
