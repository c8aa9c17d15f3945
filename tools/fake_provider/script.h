#pragma once
/* The script: a list of rules, the first that matches a call says how it is answered. Part of fake_provider.c. */
#include "call.h"
#include "data/regex.h"

#include <stdio.h>
#include <stdlib.h>

struct rule {
    const struct val *v; /* as written */
    struct regex *regex;
    int64_t used;
};

struct script {
    struct arena arena;
    struct val root;
    struct rule *rules;
    size_t n;
};

struct answer {
    struct str text;
    const struct val *tool_calls; /* or NULL */
    struct str stop_reason;       /* in Anthropic's words; empty: what fits */
    int64_t input_tokens, output_tokens, cache_read, cache_write;
    int64_t delay_ms, pace_ms;
    size_t chunk; /* bytes of text a streamed event */
    int64_t status;
    struct str body; /* instead of a made-up one; p == NULL: none */
    struct str content_type;
    const struct val *headers; /* more of them, or NULL */
    double retry_after;        /* seconds; negative: none */
    bool cut, reset, hang, malformed;
    int64_t stop_after; /* bytes of the body before `cut` or `hang`; -1: not even a status line */
    const struct val *stream_error;
};

static const char *const rule_keys[] = {
    "provider",  "contains", "regex",  "turn",       "nth",         "key",          "model",
    "times",     "text",     "json",   "tool_calls", "stop_reason", "usage",        "delay_ms",
    "chunk",     "pace_ms",  "status", "body",       "headers",     "retry_after",  "content_type",
    "cut_after", "cut",      "hang",   "hang_after", "malformed",   "stream_error", "comment",
};

static enum rc rule_check(const struct val *v, size_t i, struct err *err)
{
    if (!val_is(v, VAL_OBJECT))
        return err_set(err, RC_INVALID, "rule %zu is no object", i + 1);
    for (size_t k = 0; k < v->obj.n; k++) {
        bool known = false;
        for (size_t j = 0; j < sizeof rule_keys / sizeof *rule_keys; j++)
            known |= str_is(v->obj.m[k].key, rule_keys[j]);
        if (!known)
            return err_set(err, RC_INVALID, "rule %zu: unknown key \"%.*s\"", i + 1, STR_ARG(v->obj.m[k].key));
    }
    return RC_OK;
}

/* Kept until the program ends. */
static enum rc script_load(struct script *s, struct str text, struct err *err)
{
    enum rc rc = json_parse(&s->arena, text, &JSON_LIMITS_DEFAULT, &s->root, err);
    if (rc)
        return rc;
    const struct val *list = s->root.type == VAL_OBJECT ? VAL_GET(&s->root, "rules") : &s->root;
    if (!val_is(list, VAL_ARRAY))
        return err_set(err, RC_INVALID, "the script must be a list of rules, or {\"rules\": list}");
    s->rules = arena_calloc(&s->arena, list->arr.n + 1, sizeof *s->rules);
    for (s->n = 0; s->n < list->arr.n; s->n++) {
        struct rule *r = &s->rules[s->n];
        r->v = &list->arr.v[s->n];
        if ((rc = rule_check(r->v, s->n, err)))
            return rc;
        const struct val *regex = VAL_GET(r->v, "regex");
        if (val_is(regex, VAL_STR) && (rc = regex_compile(regex->s, false, &r->regex, err)))
            return err_wrap(err, "rule %zu", s->n + 1);
    }
    return RC_OK;
}

static bool is_provider(struct str wanted, enum provider_kind p)
{
    return str_is(wanted, provider_names[p]) || (p == ANTHROPIC && str_is(wanted, "claude"));
}

static bool int_matches(const struct val *rule, struct str key, int64_t have)
{
    const struct val *v = val_get(rule, key);
    return !v || (v->type == VAL_INT && v->i == have);
}

static bool rule_matches(const struct rule *r, const struct call *c, int64_t nth, struct regex_match *m)
{
    const struct val *provider = VAL_GET(r->v, "provider"), *contains = VAL_GET(r->v, "contains"),
                     *key = VAL_GET(r->v, "key"), *model = VAL_GET(r->v, "model"), *times = VAL_GET(r->v, "times");
    struct err err;
    if (provider && !(provider->type == VAL_STR && is_provider(provider->s, c->provider)))
        return false;
    if (contains && !(contains->type == VAL_STR && str_find(c->last_text, contains->s) != SIZE_MAX))
        return false;
    if (key && !(key->type == VAL_STR && str_eq(key->s, c->marker)))
        return false;
    if (model && !(model->type == VAL_STR && str_eq(model->s, c->model)))
        return false;
    if (times && times->type == VAL_INT && r->used >= times->i)
        return false;
    if (!int_matches(r->v, STR("turn"), c->turn) || !int_matches(r->v, STR("nth"), nth))
        return false;
    return !r->regex || (regex_search(r->regex, c->last_text, 0, m, &err) == RC_OK && m->found);
}

/* `$0`…`$9` are groups of the rule's regex, `$$` is a dollar. */
static struct str fill_in(struct arena *a, struct str text, const struct regex_match *m)
{
    if (!m->found || !memchr(text.p, '$', text.n))
        return text;
    struct buf out;
    buf_init(&out, (size_t)16 << 20);
    for (size_t i = 0; i < text.n; i++) {
        char next = text.p[i] == '$' && i + 1 < text.n ? text.p[i + 1] : 0;
        if (next >= '0' && next <= '9') {
            if ((unsigned)(next - '0') < m->ngroups && m->group[next - '0'].p)
                buf_add(&out, m->group[next - '0']);
            i++;
        } else {
            buf_addc(&out, text.p[i]);
            i += next == '$';
        }
    }
    text = arena_str(a, buf_str(&out));
    buf_done(&out);
    return text;
}

static struct str last_line(struct str text)
{
    text = str_trim(text);
    for (size_t i = text.n; i-- > 0;)
        if (text.p[i] == '\n')
            return str_trim(str_from(text, i + 1));
    return text;
}

static struct str text_or_json(struct arena *a, const struct val *v)
{
    return v->type == VAL_STR ? v->s : json_text(a, v);
}

static void answer_from_rule(struct arena *a, const struct val *v, const struct regex_match *m, struct answer *ret)
{
    const struct val *text = VAL_GET(v, "text"), *json = VAL_GET(v, "json"), *body = VAL_GET(v, "body"),
                     *usage = VAL_GET(v, "usage"), *hang = VAL_GET(v, "hang"), *cut = VAL_GET(v, "cut_after");
    if (text || json)
        ret->text = text ? fill_in(a, text_or_json(a, text), m) : json_text(a, json);
    ret->tool_calls = VAL_GET(v, "tool_calls");
    if (ret->tool_calls && !text && !json)
        ret->text = STR("");
    ret->stop_reason = val_get_str(v, STR("stop_reason"), STR(""));
    ret->input_tokens = val_get_int(usage, STR("input"), ret->input_tokens);
    ret->output_tokens = val_get_int(usage, STR("output"), -1);
    ret->cache_read = val_get_int(usage, STR("cache_read"), 0);
    ret->cache_write = val_get_int(usage, STR("cache_write"), 0);
    ret->delay_ms = val_get_int(v, STR("delay_ms"), ret->delay_ms);
    ret->pace_ms = val_get_int(v, STR("pace_ms"), 0);
    ret->chunk = (size_t)val_get_int(v, STR("chunk"), (int64_t)ret->chunk);
    ret->status = val_get_int(v, STR("status"), 200);
    ret->body = body ? text_or_json(a, body) : (struct str){NULL, 0};
    ret->content_type = val_get_str(v, STR("content_type"), STR(""));
    ret->headers = VAL_GET(v, "headers");
    ret->retry_after = val_to_double(VAL_GET(v, "retry_after"), -1);
    ret->malformed = val_get_bool(v, STR("malformed"), false);
    ret->stream_error = VAL_GET(v, "stream_error");
    ret->reset = str_is(val_get_str(v, STR("cut"), STR("fin")), "rst");
    ret->cut = cut || VAL_GET(v, "cut");
    ret->hang = val_truthy(hang) || VAL_GET(v, "hang_after");
    ret->stop_after = val_get_int(v, ret->cut ? STR("cut_after") : STR("hang_after"), -1);
}

/* How the `nth` call of its key is answered. Borrows from `a` and the script. */
static struct answer script_answer(struct script *s, struct arena *a, const struct call *c, int64_t nth,
                                   int64_t default_delay_ms)
{
    static const int64_t hour = 3600 * 1000;
    struct answer ret = {.text = last_line(c->last_text),
                         .delay_ms = default_delay_ms,
                         .chunk = 64,
                         .status = 200,
                         .retry_after = -1,
                         .stop_after = -1,
                         .output_tokens = -1,
                         .input_tokens = (int64_t)(c->last_text.n + c->system.n) / 4 + 1};
    for (size_t i = 0; i < s->n; i++) {
        struct regex_match m = {0};
        if (!rule_matches(&s->rules[i], c, nth, &m))
            continue;
        s->rules[i].used++;
        answer_from_rule(a, s->rules[i].v, &m, &ret);
        break;
    }
    if (ret.output_tokens < 0)
        ret.output_tokens = (int64_t)ret.text.n / 4 + 1;
    ret.delay_ms = ret.delay_ms < 0 ? 0 : ret.delay_ms > hour ? hour : ret.delay_ms;
    ret.pace_ms = ret.pace_ms < 0 ? 0 : ret.pace_ms > hour ? hour : ret.pace_ms;
    if (ret.status < 200 || ret.status > 599)
        ret.status = 500;
    size_t least = ret.text.n / 10000 + 1; /* bounds the number of events */
    if (ret.chunk < least)
        ret.chunk = least;
    return ret;
}
