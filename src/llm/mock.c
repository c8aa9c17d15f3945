/* The transport: one timer per call, behind which the whole reply is delivered event by event.
 *
 * A reply is made when the call starts, so what fixtures count and match follows the order of the calls, whatever their
 * delays. Nothing here depends on the clock or on chance: ids are hashes of step, turn and position, so that a resumed
 * run gets what the first one got. */
#include "llm/mock.h"

#include "base/panic.h"
#include "data/json.h"
#include "llm/mock_fixture.h"
#include "llm/mock_reply.h"

#include <stdio.h>
#include <stdlib.h>

enum { MAX_REPLY = 64 << 20, MAX_SUBSTITUTED = 16 << 20, MAX_DEPTH = 64 };
enum { DEFAULT_TIMEOUT_MS = 600000 };

struct mock {
    struct transport transport;
    struct ev_loop *loop;
    struct mock_fixtures fixtures;
    uint64_t last_id;
    struct call *calls;
};

struct call {
    struct mock *mock;
    struct call *next, **link;
    uint64_t id;
    ev_id timer;
    const struct http_sink *sink;
    void *ctx;
    struct arena a;
    /* what will come of it */
    int status;
    struct http_header header[4];
    size_t nheaders;
    struct buf body;
    enum rc outcome;
    const char *why;
    bool delivering, cancelled;
};

/* ---- captures ---- */

struct captures {
    const struct regex_match *m;
    struct arena *a;
};

static struct str substitute(struct captures c, struct str s)
{
    if (!c.m->found || !s.n || !memchr(s.p, '$', s.n))
        return s;
    struct buf b;
    buf_init(&b, MAX_SUBSTITUTED);
    for (size_t i = 0; i < s.n; i++) {
        char next = i + 1 < s.n ? s.p[i + 1] : 0;
        if (s.p[i] == '$' && next == '$') {
            buf_addc(&b, '$');
            i++;
        } else if (s.p[i] == '$' && next >= '0' && next <= '9' && (unsigned)(next - '0') < c.m->ngroups) {
            buf_add(&b, c.m->group[next - '0']);
            i++;
        } else {
            buf_addc(&b, s.p[i]);
        }
    }
    struct str text = arena_str(c.a, buf_str(&b));
    buf_done(&b);
    return text;
}

static struct val substitute_all(struct captures c, const struct val *v, unsigned depth)
{
    if (v->type == VAL_STR)
        return val_str(substitute(c, v->s));
    if (depth && v->type == VAL_ARRAY) {
        struct val_list l = val_list_new(c.a);
        for (size_t i = 0; i < v->arr.n; i++)
            val_list_push(&l, substitute_all(c, &v->arr.v[i], depth - 1));
        return val_list_done(&l);
    }
    if (depth && v->type == VAL_OBJECT) {
        struct val_map m = val_map_new(c.a);
        for (size_t i = 0; i < v->obj.n; i++)
            val_map_set(&m, v->obj.m[i].key, substitute_all(c, &v->obj.m[i].val, depth - 1));
        return val_map_done(&m);
    }
    return *v;
}

/* ---- making an answer ---- */

static struct str last_line(struct str text)
{
    text = str_trim(text);
    for (size_t i = text.n; i > 0; i--) {
        if (text.p[i - 1] == '\n')
            return str_trim(str_from(text, i));
    }
    return text;
}

static struct str make_id(struct arena *a, const struct mock_request *r, const struct mock_call *call, size_t n)
{
    static const char *const prefixes[][2] = {{"msg", "toolu"}, {"resp", "call"}, {"chatcmpl", "call"}};
    size_t p = str_is(str_c(r->provider->name), "anthropic") ? 0 : str_is(str_c(r->provider->name), "gemini") ? 1 : 2;
    uint64_t h = str_hash(call->step, (uint64_t)call->turn * 4096 + n);
    return arena_printf(a, "%s_%016llx", prefixes[p][n != 0], (unsigned long long)h);
}

static struct val answer_calls(struct arena *a, const struct val *calls, const struct mock_request *r,
                               const struct mock_call *call, struct captures captures)
{
    struct val_list out = val_list_new(a);
    for (size_t i = 0; val_is(calls, VAL_ARRAY) && i < calls->arr.n; i++) {
        struct val c = substitute_all(captures, &calls->arr.v[i], MAX_DEPTH);
        const struct val *input = VAL_GET(&c, "input");
        struct val_map m = val_map_new(a);
        VAL_MAP_SET(&m, "id", val_str(val_get_str(&c, STR("id"), make_id(a, r, call, i + 1))));
        VAL_MAP_SET(&m, "name", *VAL_GET(&c, "name"));
        VAL_MAP_SET(&m, "input", input ? *input : val_empty_object);
        val_list_push(&out, val_map_done(&m));
    }
    return val_list_done(&out);
}

static struct str default_text(struct arena *a, enum mock_default otherwise, const struct mock_call *call,
                               const struct val *schema)
{
    if (otherwise == MOCK_SCHEMA && schema) {
        struct val v = mock_instance(a, schema);
        return json_text(a, &v);
    }
    return last_line(call->last_message);
}

static struct mock_answer make_answer(struct call *c, const struct mock_fixture *x, const struct mock_request *r,
                                      const struct mock_call *call, const struct val *schema,
                                      const struct regex_match *groups)
{
    struct captures captures = {groups, &c->a};
    const struct val *reply = x ? x->reply : NULL, *usage = VAL_GET(reply, "usage");
    const struct val *text = VAL_GET(reply, "text"), *json = VAL_GET(reply, "json");
    struct mock_answer answer = {.id = make_id(&c->a, r, call, 0), .model = r->model};
    answer.tool_calls = answer_calls(&c->a, VAL_GET(reply, "tool_calls"), r, call, captures);
    if (!reply) {
        answer.text = default_text(&c->a, c->mock->fixtures.otherwise, call, schema);
    } else if (json) {
        struct val v = substitute_all(captures, json, MAX_DEPTH);
        answer.text = json_text(&c->a, &v);
    } else if (text) {
        answer.text = substitute(captures, text->s);
    }
    bool calls = answer.tool_calls.arr.n != 0;
    answer.stop_reason = val_get_str(reply, STR("stop_reason"), calls ? STR("tool_use") : STR("end_turn"));
    size_t output = answer.text.n + (calls ? json_text(&c->a, &answer.tool_calls).n : 0);
    answer.usage = (struct usage){
        .input = val_get_int(usage, STR("input_tokens"), r->prompt_tokens),
        .output = val_get_int(usage, STR("output_tokens"), (int64_t)(output / 4) + 1),
        .cache_read = val_get_int(usage, STR("cache_read_tokens"), 0),
        .cache_write = val_get_int(usage, STR("cache_write_tokens"), 0),
    };
    return answer;
}

/* ---- what the caller brought along ---- */

/* As a fixture that matches this one call. */
static struct mock_fixture brought(struct arena *a, const struct val *mock)
{
    const struct val *error = VAL_GET(mock, "error"), *response = VAL_GET(mock, "response");
    struct mock_fixture x = {.retry_after_ms = -1, .cut_after = -1};
    if (error) {
        x.status = val_get_int(error, STR("status"), 400);
        x.code = val_get_str(error, STR("code"), (struct str){0});
        x.message = val_get_str(error, STR("message"), STR("an error that mock_error asked for"));
        return x;
    }
    struct val_map m = val_map_new(a);
    if (val_is(response, VAL_STR))
        VAL_MAP_SET(&m, "text", *response);
    else
        VAL_MAP_SET(&m, "json", response ? *response : val_null);
    struct val *reply = ARENA_NEW(a, struct val);
    *reply = val_map_done(&m);
    x.reply = reply;
    return x;
}

/* ---- a call's outcome ---- */

static void add_header(struct call *c, const char *name, struct str value)
{
    CHECK(c->nheaders < sizeof c->header / sizeof *c->header);
    c->header[c->nheaders++] = (struct http_header){str_c(name), value};
}

static void set_error(struct call *c, const struct provider *p, int status, struct str code, struct str message)
{
    c->status = status;
    add_header(c, "content-type", STR("application/json"));
    add_header(c, "request-id", STR("req_mock"));
    mock_write_error(p, status, code, message, &c->a, &c->body);
}

static void set_network(struct call *c, enum rc outcome, const char *why)
{
    c->status = 0;
    c->outcome = outcome;
    c->why = why;
}

static void set_failure(struct call *c, const struct mock_fixture *x, const struct provider *p)
{
    static const struct {
        enum rc rc;
        const char *why;
    } networks[] = {
        [MOCK_NET_RESET] = {RC_NETWORK, "connection reset by peer (as the fixture says)"},
        [MOCK_NET_REFUSED] = {RC_NETWORK, "connection refused (as the fixture says)"},
        [MOCK_NET_TIMEOUT] = {RC_TIMEOUT, "timed out (as the fixture says)"},
        [MOCK_NET_HANG] = {RC_TIMEOUT, "no answer within the time limit (as the fixture says)"},
    };
    if (x->network != MOCK_NET_OK) {
        set_network(c, networks[x->network].rc, networks[x->network].why);
        return;
    }
    set_error(c, p, (int)x->status, x->code, x->message.n ? x->message : STR("an error that a fixture asked for"));
    if (x->retry_after_ms >= 0)
        add_header(c, "retry-after-ms", arena_printf(&c->a, "%lld", (long long)x->retry_after_ms));
}

/* Decides what the call will get; returns after how long. */
static int64_t decide(struct call *c, const struct http_request *req, const struct call_info *info)
{
    struct mock_request r;
    struct err err;
    int64_t limit = req->timeout_ms ? req->timeout_ms : DEFAULT_TIMEOUT_MS;
    if (req->idle_timeout_ms && req->idle_timeout_ms < limit)
        limit = req->idle_timeout_ms;
    if (mock_request_read(req, &c->a, &r, &err) != RC_OK) {
        set_error(c, provider_by_name(STR("openai")), 400, (struct str){0}, arena_str(&c->a, str_c(err.msg)));
        return 0;
    }
    struct mock_call call = {
        .step = info->step,
        .provider = info->provider.n ? info->provider : str_c(r.provider->mock_name),
        .last_message = info->last_message.p ? info->last_message : r.last_message,
        .turn = info->turn,
        .attempt = info->attempt,
    };
    struct regex_match groups;
    struct mock_fixtures *f = &c->mock->fixtures;
    struct mock_fixture *x = mock_fixtures_match(f, &call, &groups), own;
    if (!x && (VAL_GET(info->mock, "response") || VAL_GET(info->mock, "error"))) {
        own = brought(&c->a, info->mock);
        groups = (struct regex_match){0};
        x = &own;
    }
    if (!x && f->otherwise == MOCK_FAIL) {
        set_error(c, r.provider, 400, (struct str){0}, mock_fixtures_explain(f, &call, &c->a));
        return 0;
    }
    int64_t delay = x ? x->delay_ms : 0;
    if (!x || x == &own)
        delay = val_get_int(info->mock, STR("delay_ms"), 0);
    if (x && (x->network != MOCK_NET_OK || x->status)) {
        set_failure(c, x, r.provider);
        delay = x->network == MOCK_NET_HANG ? limit : delay;
    } else {
        const struct val *schema = info->schema ? info->schema : r.schema;
        struct mock_answer answer = make_answer(c, x, &r, &call, schema, &groups);
        c->status = 200;
        add_header(c, "content-type", STR("text/event-stream"));
        add_header(c, "request-id", STR("req_mock"));
        mock_write_reply(r.provider, &answer, &c->a, &c->body);
        if (x && x->cut_after >= 0) {
            c->outcome = RC_NETWORK;
            c->why = "the connection broke (as the fixture says)";
            c->body.n = (size_t)x->cut_after < c->body.n ? (size_t)x->cut_after : c->body.n;
        }
    }
    if (delay >= limit) {
        set_network(c, RC_TIMEOUT, "no answer within the time limit");
        delay = limit;
    }
    return delay;
}

/* ---- delivering ---- */

static void call_free(struct call *c)
{
    *c->link = c->next;
    if (c->next)
        c->next->link = c->link;
    buf_done(&c->body);
    arena_done(&c->a);
    free(c);
}

static void deliver_body(struct call *c)
{
    struct str rest = buf_str(&c->body);
    while (rest.n && !c->cancelled) {
        size_t end = str_find(rest, STR("\n\n"));
        size_t n = end == SIZE_MAX ? rest.n : end + 2;
        c->sink->data(c->ctx, str_n(rest.p, n));
        rest = str_from(rest, n);
    }
}

static void on_timer(void *ctx)
{
    struct call *c = ctx;
    c->delivering = true;
    if (c->status) {
        c->sink->head(c->ctx, c->status, c->header, c->nheaders);
        if (!c->cancelled)
            deliver_body(c);
    }
    if (!c->cancelled && c->outcome == RC_OK) {
        c->sink->done(c->ctx, RC_OK, NULL);
    } else if (!c->cancelled) {
        struct err err;
        err_set(&err, c->outcome, "%s", c->why);
        c->sink->done(c->ctx, c->outcome, &err);
    }
    call_free(c);
}

static uint64_t mock_start(struct transport *t, const struct http_request *req, const struct call_info *info,
                           const struct http_sink *sink, void *ctx)
{
    struct mock *m = (struct mock *)t;
    struct call *c = calloc(1, sizeof *c);
    if (!c)
        PANIC("out of memory");
    *c = (struct call){.mock = m, .next = m->calls, .link = &m->calls, .id = ++m->last_id, .sink = sink, .ctx = ctx};
    if (c->next)
        c->next->link = &c->next;
    m->calls = c;
    buf_init(&c->body, MAX_REPLY);
    int64_t delay = decide(c, req, info);
    c->timer = ev_timer(m->loop, delay, on_timer, c);
    return c->id;
}

static void mock_cancel(struct transport *t, uint64_t id)
{
    struct mock *m = (struct mock *)t;
    for (struct call *c = m->calls; c; c = c->next) {
        if (c->id != id)
            continue;
        if (c->delivering) {
            c->cancelled = true;
        } else {
            ev_cancel(m->loop, c->timer);
            call_free(c);
        }
        return;
    }
}

static void mock_free(struct transport *t)
{
    struct mock *m = (struct mock *)t;
    while (m->calls) {
        ev_cancel(m->loop, m->calls->timer);
        call_free(m->calls);
    }
    mock_fixtures_done(&m->fixtures);
    free(m);
}

static const struct transport_ops mock_ops = {mock_start, mock_cancel, mock_free};

enum rc mock_new(struct ev_loop *l, const struct val *fixtures, struct transport **ret, struct err *err)
{
    struct mock *m = calloc(1, sizeof *m);
    if (!m)
        PANIC("out of memory");
    m->transport.ops = &mock_ops;
    m->loop = l;
    enum rc rc = mock_fixtures_read(&m->fixtures, fixtures, err);
    if (rc != RC_OK) {
        free(m);
        return rc;
    }
    *ret = &m->transport;
    return RC_OK;
}
