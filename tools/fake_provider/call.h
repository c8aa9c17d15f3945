#pragma once
/* What a request of one of the three wire formats asks for, in common terms. Part of fake_provider.c. */
#include "data/json.h"

enum provider_kind { ANTHROPIC, GEMINI, OPENAI, PROVIDERS };
static const char *const provider_names[PROVIDERS] = {"anthropic", "gemini", "openai"};

struct call {
    enum provider_kind provider;
    bool stream;
    bool json_array;    /* Gemini's stream without alt=sse */
    bool include_usage; /* OpenAI's stream_options */
    int64_t choices;    /* OpenAI's n */
    struct str model, system, last_text;
    struct str marker; /* NAME of [[key:NAME]]; empty: none */
    int64_t turn;      /* assistant messages so far */
    struct val root;
};

/* The text of message content in any of the three forms: a string, or blocks with text, tool results, parts. */
static void add_text(struct buf *out, const struct val *content, unsigned depth)
{
    if (!content || depth > 8)
        return;
    if (content->type == VAL_STR) {
        if (out->n)
            buf_addc(out, '\n');
        buf_add(out, content->s);
    } else if (content->type == VAL_ARRAY) {
        for (size_t i = 0; i < content->arr.n; i++)
            add_text(out, &content->arr.v[i], depth + 1);
    } else if (content->type == VAL_OBJECT) {
        const struct val *answer = VAL_GET(content, "functionResponse");
        add_text(out, VAL_GET(content, "text"), depth + 1);
        add_text(out, VAL_GET(content, "content"), depth + 1);
        add_text(out, VAL_GET(content, "parts"), depth + 1);
        if (answer) {
            if (out->n)
                buf_addc(out, '\n');
            json_write(out, answer, JSON_COMPACT);
        }
    }
}

static struct str text_of(struct arena *a, const struct val *content)
{
    struct buf out;
    buf_init(&out, (size_t)64 << 20);
    add_text(&out, content, 0);
    struct str text = arena_str(a, buf_str(&out));
    buf_done(&out);
    return text;
}

static struct str find_marker(struct str text)
{
    static const size_t max_name = 200;
    size_t at = str_find(text, STR("[[key:"));
    if (at == SIZE_MAX)
        return STR("");
    struct str name = str_from(text, at + 6);
    size_t end = str_find(name, STR("]]"));
    return end == SIZE_MAX || end > max_name ? STR("") : str_n(name.p, end);
}

/* In the last user message, else in the system prompt, else in the newest earlier user message that has one: so all
 * turns of one conversation share the marker of its prompt. */
static void read_marker(struct arena *a, struct call *c, const struct val *messages)
{
    size_t n = messages && messages->type == VAL_ARRAY ? messages->arr.n : 0;
    bool newest = true;
    for (size_t i = n; i-- > 0 && !c->marker.n;) {
        struct str role = val_get_str(&messages->arr.v[i], STR("role"), STR("user"));
        if (!str_is(role, "user"))
            continue;
        c->marker = find_marker(text_of(a, &messages->arr.v[i]));
        if (newest && !c->marker.n)
            c->marker = find_marker(c->system);
        newest = false;
    }
    if (!c->marker.n)
        c->marker = find_marker(c->system);
}

/* `c->provider`, `stream`, `json_array` and Gemini's model come from the path; the rest is read here. */
static enum rc call_read(struct arena *a, struct str body, struct call *c, struct err *err)
{
    enum rc rc = json_parse(a, body, &JSON_LIMITS_DEFAULT, &c->root, err);
    if (rc)
        return rc;
    const struct val *root = &c->root;
    if (root->type != VAL_OBJECT)
        return err_set(err, RC_INVALID, "the request is no object");
    const struct val *messages = c->provider == GEMINI ? VAL_GET(root, "contents") : VAL_GET(root, "messages");
    if (!val_is(messages, VAL_ARRAY) || !messages->arr.n)
        return err_set(err, RC_INVALID, "%s: at least one is needed", c->provider == GEMINI ? "contents" : "messages");
    if (c->provider != GEMINI) {
        c->stream = val_get_bool(root, STR("stream"), false);
        c->model = val_get_str(root, STR("model"), STR(""));
        if (!c->model.n)
            return err_set(err, RC_INVALID, "model: is needed");
    }
    c->include_usage = val_get_bool(VAL_GET(root, "stream_options"), STR("include_usage"), false);
    c->choices = val_get_int(root, STR("n"), 1);
    if (c->choices < 1 || c->choices > 32)
        return err_set(err, RC_INVALID, "n: out of range");
    if (c->provider == ANTHROPIC && val_get_int(root, STR("max_tokens"), 0) < 1)
        return err_set(err, RC_INVALID, "max_tokens: is needed");
    const struct val *system = VAL_GET(root, "system");
    c->system = text_of(a, system ? system : VAL_GET(root, "systemInstruction"));
    for (size_t i = 0; i < messages->arr.n; i++) {
        struct str role = val_get_str(&messages->arr.v[i], STR("role"), STR("user"));
        if (str_is(role, "assistant") || str_is(role, "model"))
            c->turn++;
        else if (!c->system.n && (str_is(role, "system") || str_is(role, "developer")))
            c->system = text_of(a, &messages->arr.v[i]);
    }
    c->last_text = text_of(a, &messages->arr.v[messages->arr.n - 1]);
    read_marker(a, c, messages);
    return RC_OK;
}
