/* From bytes to the canonical reply, for all providers.
 *
 * Whether a body is a stream of events or one JSON value is seen from its first byte, not from the content type: `{`
 * and
 * `[` never begin a line of an event stream, and servers mislabel bodies.
 *
 * A reply is whole only if the codec saw the provider's end mark. Everything else is an error, chosen in this order:
 * what the codec or the core found wrong; an HTTP status that is no success; what the transport said; the missing end
 * mark. Once the end mark is there, a connection that breaks right behind it does no harm. */
#include "llm/reply.h"

#include "base/clock.h"
#include "base/panic.h"
#include "data/json.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    MAX_TOTAL = 64 << 20, /* bytes of one reply */
    MAX_EVENT = 16 << 20,
    MAX_ERROR_BODY = 1 << 20, /* of an error's body: the rest is ignored */
    MAX_PARTS = 4096,
    MAX_MESSAGE = 2000, /* bytes of a provider's message that are kept */
    MAX_EXCERPT = 300,  /* of a body that explains nothing */
    MAX_WORD = 200,
    EVENTS_ARENA = 16 << 10,
    MAX_WARNINGS = 32,
};

struct reply_parser *reply_new(const struct provider *p)
{
    struct reply_parser *r = calloc(1, sizeof *r);
    if (!r)
        PANIC("out of memory");
    r->provider = p;
    r->should_retry = -1;
    r->retry_after_ms = -1;
    sse_init(&r->sse, MAX_EVENT);
    buf_init(&r->body, MAX_TOTAL);
    buf_init(&r->text, MAX_TOTAL);
    buf_init(&r->refusal, MAX_TOTAL);
    r->warnings = val_list_new(&r->a);
    return r;
}

void reply_free(struct reply_parser *r)
{
    if (!r)
        return;
    for (size_t i = 0; i < r->nparts; i++) {
        buf_done(&r->part[i].text);
        buf_done(&r->part[i].signature);
    }
    free(r->part);
    sse_done(&r->sse);
    buf_done(&r->body);
    buf_done(&r->text);
    buf_done(&r->refusal);
    arena_done(&r->events_arena);
    arena_done(&r->a);
    free(r);
}

/* ---- for codecs ---- */

static struct str cut(struct str s, size_t max)
{
    if (s.n > max)
        s.n = max;
    s.n = str_utf8_valid(s);
    return s;
}

void reply_fail(struct reply_parser *r, enum rc rc, struct str code, const char *fmt, ...)
{
    if (r->failure.rc != RC_OK)
        return;
    char text[MAX_MESSAGE];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    r->failure = (struct reply_failure){
        .rc = rc,
        .code = arena_str(&r->a, cut(code, MAX_WORD)),
        .message = arena_str(&r->a, cut(str_c(text), sizeof text)),
        .retry_after_ms = -1,
    };
}

void reply_fail_status(struct reply_parser *r, enum rc rc, int status, struct str code, struct str message)
{
    struct str body = str_trim(cut(buf_str(&r->body), MAX_EXCERPT));
    struct str word = code.n ? code : status ? arena_printf(&r->a, "http_%d", status) : str_c(rc_name(rc));
    if (message.n)
        reply_fail(r, rc, word, "%.*s", STR_ARG(cut(message, MAX_MESSAGE)));
    else if (status && body.n)
        reply_fail(r, rc, word, "HTTP status %d: %.*s", status, STR_ARG(body));
    else if (status)
        reply_fail(r, rc, word, "HTTP status %d", status);
    else
        reply_fail(r, rc, word, "%s", rc_text(rc));
}

struct reply_part *reply_part_add(struct reply_parser *r, int64_t index, const struct val *start)
{
    if (r->nparts == MAX_PARTS) {
        reply_fail(r, RC_LIMIT, STR("too_many_parts"), "the reply has more than %d parts", MAX_PARTS);
        return NULL;
    }
    if (r->nparts == r->parts_cap) {
        r->parts_cap = r->parts_cap ? r->parts_cap * 2 : 8;
        r->part = reallocarray(r->part, r->parts_cap, sizeof *r->part);
        if (!r->part)
            PANIC("out of memory");
    }
    struct reply_part *p = &r->part[r->nparts++];
    *p = (struct reply_part){.index = index, .start = val_copy(&r->a, start), .notes = val_list_new(&r->a)};
    buf_init(&p->text, MAX_TOTAL);
    buf_init(&p->signature, MAX_EVENT);
    return p;
}

struct reply_part *reply_part_find(struct reply_parser *r, int64_t index)
{
    for (size_t i = r->nparts; i-- > 0;)
        if (r->part[i].index == index)
            return &r->part[i];
    return NULL;
}

void reply_text_add(struct reply_parser *r, struct buf *also, struct str text)
{
    buf_add(&r->text, text);
    if (also)
        buf_add(also, text);
    if (r->text.overflow || (also && also->overflow))
        reply_fail(r, RC_LIMIT, STR("too_large"), "the reply's text is larger than %d bytes", MAX_TOTAL);
}

void reply_warn(struct reply_parser *r, const char *fmt, ...)
{
    if (r->warnings.n >= MAX_WARNINGS)
        return;
    char text[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    val_list_push(&r->warnings, val_str(arena_str(&r->a, cut(str_c(text), sizeof text))));
}

void reply_keep(struct reply_parser *r, struct str *where, const struct val *v)
{
    if (val_is(v, VAL_STR) && !str_eq(*where, v->s))
        *where = arena_str(&r->a, v->s);
}

int64_t reply_count(const struct val *object, struct str key, int64_t fallback)
{
    int64_t n = val_get_int(object, key, -1);
    return n >= 0 && n < (int64_t)1 << 40 ? n : fallback;
}

bool reply_input(struct arena *a, struct str text, struct val *ret)
{
    if (str_trim(text).n == 0) {
        *ret = val_empty_object;
        return true;
    }
    struct val v;
    struct err ignored;
    if (json_parse(a, text, &JSON_LIMITS_DEFAULT, &v, &ignored) != RC_OK || v.type != VAL_OBJECT)
        return false;
    *ret = v;
    return true;
}

void reply_tool_call(struct reply_result *result, struct str id, struct str name, struct val input)
{
    struct val_map call = val_map_new(result->tool_calls.a);
    VAL_MAP_SET(&call, "id", val_str(id));
    VAL_MAP_SET(&call, "name", val_str(name));
    VAL_MAP_SET(&call, "input", input);
    val_list_push(&result->tool_calls, val_map_done(&call));
}

/* ---- receiving ---- */

static struct str header(const struct http_header *headers, size_t n, const char *name)
{
    struct str want = str_c(name);
    for (size_t i = 0; i < n; i++) {
        if (headers[i].name.n == want.n && strncasecmp(headers[i].name.p, want.p, want.n) == 0)
            return str_trim(headers[i].value);
    }
    return (struct str){0};
}

void reply_head(struct reply_parser *r, int status, const struct http_header *headers, size_t n)
{
    r->status = status;
    struct str id = header(headers, n, "request-id");
    r->request_id = arena_str(&r->a, cut(id.n ? id : header(headers, n, "x-request-id"), MAX_WORD));
    r->content_type = arena_str(&r->a, cut(header(headers, n, "content-type"), MAX_WORD));
    struct str retry = header(headers, n, "x-should-retry");
    r->should_retry = str_is(retry, "true") ? 1 : str_is(retry, "false") ? 0 : -1;
    /* A date is compared with the server's own clock when it tells it. */
    int64_t now = reply_http_date(header(headers, n, "date"));
    r->retry_after_ms = reply_decimal_ms(header(headers, n, "retry-after-ms"), 1);
    if (r->retry_after_ms <= 0)
        r->retry_after_ms = reply_retry_after(header(headers, n, "retry-after"), now >= 0 ? now : clock_wall_ms());
}

static enum rc take_event(void *ctx, struct str name, struct str data, struct err *err)
{
    struct reply_parser *r = ctx;
    (void)err;
    if (r->whole || r->failure.rc != RC_OK)
        return RC_OK;
    r->events++;
    const struct reply_ops *ops = r->provider->reply;
    if (ops->end_data && str_is(data, ops->end_data)) {
        r->whole = true;
        return RC_OK;
    }
    if (data.n == 0)
        return RC_OK;
    struct val v;
    struct err bad;
    if (r->events_arena.used > EVENTS_ARENA) /* one arena for many small events */
        arena_done(&r->events_arena);
    if (json_parse(&r->events_arena, data, &JSON_LIMITS_DEFAULT, &v, &bad) == RC_OK)
        ops->event(r, name, &v);
    else
        reply_fail(r, RC_BAD_REPLY, STR("malformed_event"), "an event of the reply is no JSON: %s", bad.msg);
    return RC_OK;
}

static bool is_error(const struct reply_parser *r)
{
    return r->status < 200 || r->status > 299;
}

static void sniff(struct reply_parser *r, struct str chunk)
{
    if (is_error(r)) {
        r->form = FORM_BODY;
        return;
    }
    for (size_t i = 0; i < chunk.n; i++) {
        char c = chunk.p[i];
        if (c == ' ' || c == '\t' || c == '\r' || c == '\n')
            continue;
        r->form = c == '{' || c == '[' ? FORM_BODY : FORM_EVENTS;
        return;
    }
}

static void take_stream(struct reply_parser *r, struct str bytes)
{
    struct err err;
    if (bytes.n && sse_feed(&r->sse, bytes, take_event, r, &err) != RC_OK)
        reply_fail(r, err.rc, STR("too_large"), "%s", err.msg);
}

void reply_data(struct reply_parser *r, struct str chunk)
{
    if (r->whole || r->failure.rc != RC_OK)
        return;
    r->total += chunk.n;
    if (r->total > MAX_TOTAL && !is_error(r)) {
        reply_fail(r, RC_LIMIT, STR("too_large"), "the reply is larger than %d bytes", MAX_TOTAL);
        return;
    }
    if (r->form == FORM_UNKNOWN)
        sniff(r, chunk);
    if (r->form == FORM_EVENTS) {
        take_stream(r, buf_str(&r->body)); /* white space that came before the form was seen */
        buf_clear(&r->body);
        take_stream(r, chunk);
        return;
    }
    if (is_error(r) && chunk.n > MAX_ERROR_BODY - r->body.n)
        chunk.n = MAX_ERROR_BODY - r->body.n;
    buf_add(&r->body, chunk);
}

struct str reply_text_so_far(const struct reply_parser *r)
{
    return buf_str(&r->text);
}

/* ---- the end ---- */

/* Whether `text` stops in the middle of a JSON value: inside a string, or with brackets still open. */
static bool json_is_cut(struct str text)
{
    size_t open = 0;
    bool quoted = false;
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (quoted && c == '\\')
            i++;
        else if (c == '"')
            quoted = !quoted;
        else if (!quoted && (c == '{' || c == '['))
            open++;
        else if (!quoted && (c == '}' || c == ']') && open)
            open--;
    }
    return quoted || open || str_trim(text).n == 0;
}

static void finish_body(struct reply_parser *r, struct arena *scratch, enum rc rc, const struct err *err)
{
    struct val v;
    struct err bad;
    if (r->body.overflow) {
        reply_fail(r, RC_LIMIT, STR("too_large"), "the reply is larger than %d bytes", MAX_TOTAL);
    } else if (json_parse(scratch, buf_str(&r->body), &JSON_LIMITS_DEFAULT, &v, &bad) == RC_OK) {
        r->provider->reply->body(r, &v);
    } else if (rc != RC_OK) {
        reply_fail(r, rc, str_c(rc_name(rc)), "%s", err->msg);
    } else if (json_is_cut(buf_str(&r->body))) {
        reply_fail(r, RC_NETWORK, STR("cut"), "the reply was cut off after %zu bytes", r->total);
    } else {
        reply_fail(r, RC_BAD_REPLY, STR("malformed_body"), "the reply's body is no JSON: %s", bad.msg);
    }
}

static void finish_error(struct reply_parser *r, struct arena *scratch)
{
    struct val v;
    struct err bad;
    bool json = json_parse(scratch, buf_str(&r->body), &JSON_LIMITS_DEFAULT, &v, &bad) == RC_OK;
    r->provider->reply->error(r, r->status, json && v.type == VAL_OBJECT ? &v : NULL);
    CHECK(r->failure.rc != RC_OK);
}

/* What is missing when neither codec nor status say so. */
static void finish_cut(struct reply_parser *r, enum rc rc, const struct err *err)
{
    if (rc != RC_OK)
        reply_fail(r, rc, str_c(rc_name(rc)), "%s", err->msg);
    else if (r->status == 0)
        reply_fail(r, RC_NETWORK, STR("no_reply"), "the connection ended without a reply");
    else if (r->events == 0 && r->total && str_find(r->content_type, STR("event-stream")) == SIZE_MAX)
        reply_fail(r, RC_BAD_REPLY, STR("not_a_model"),
                   "what answered is no model provider (content type %.*s); check the base address",
                   STR_ARG(r->content_type.n ? r->content_type : STR("unknown")));
    else
        reply_fail(r, RC_NETWORK, STR("cut"), "the reply ended after %zu bytes without its end mark", r->total);
}

static bool may_retry(const struct reply_parser *r)
{
    enum rc rc = r->failure.rc;
    if (is_error(r) && r->should_retry >= 0 && rc != RC_BILLING && rc != RC_CONTEXT)
        return r->should_retry != 0;
    return rc_retryable(rc);
}

static struct val error_object(const struct reply_parser *r, struct arena *a)
{
    const struct reply_failure *f = &r->failure;
    struct val_map m = val_map_new(a);
    VAL_MAP_SET(&m, "class", val_str(str_c(rc_name(f->rc))));
    VAL_MAP_SET(&m, "code", val_str(arena_str(a, f->code)));
    VAL_MAP_SET(&m, "message", val_str(arena_str(a, f->message)));
    if (r->status && is_error(r))
        VAL_MAP_SET(&m, "status", val_int(r->status));
    int64_t wait = f->retry_after_ms > 0 ? f->retry_after_ms : r->retry_after_ms;
    if (wait > 0 && may_retry(r))
        VAL_MAP_SET(&m, "retry_after_ms", val_int(wait));
    if (r->request_id.n)
        VAL_MAP_SET(&m, "request_id", val_str(arena_str(a, r->request_id)));
    VAL_MAP_SET(&m, "retryable", val_bool(may_retry(r)));
    return val_map_done(&m);
}

static struct val usage_object(const struct usage *u, struct arena *a)
{
    struct val_map m = val_map_new(a);
    VAL_MAP_SET(&m, "input_tokens", val_int(u->input));
    VAL_MAP_SET(&m, "output_tokens", val_int(u->output));
    VAL_MAP_SET(&m, "cache_read_tokens", val_int(u->cache_read));
    VAL_MAP_SET(&m, "cache_write_tokens", val_int(u->cache_write));
    return val_map_done(&m);
}

static struct val reply_object(const struct reply_parser *r, const struct reply_result *made, struct arena *a)
{
    struct val_map m = val_map_new(a);
    struct str text = r->text.n || !r->refusal.n ? buf_str(&r->text) : buf_str(&r->refusal);
    VAL_MAP_SET(&m, "text", val_str(arena_str(a, text)));
    VAL_MAP_SET(&m, "raw", made->raw);
    struct val_list calls = made->tool_calls;
    VAL_MAP_SET(&m, "tool_calls", val_list_done(&calls));
    VAL_MAP_SET(&m, "stop_reason", val_str(str_c(made->stop_reason)));
    VAL_MAP_SET(&m, "model", val_str(arena_str(a, r->model)));
    VAL_MAP_SET(&m, "provider", val_str(str_c(r->provider->mock_name)));
    if (r->request_id.n)
        VAL_MAP_SET(&m, "request_id", val_str(arena_str(a, r->request_id)));
    if (r->warnings.n) {
        struct val_list warnings = r->warnings;
        struct val list = val_list_done(&warnings);
        VAL_MAP_SET(&m, "warnings", val_copy(a, &list));
    }
    VAL_MAP_SET(&m, "usage", usage_object(&r->usage, a));
    double usd;
    bool known = price_of(str_c(r->provider->name), r->model, &r->usage, &usd);
    VAL_MAP_SET(&m, "cost_usd", known ? val_double(usd) : val_null);
    return val_map_done(&m);
}

bool reply_finish(struct reply_parser *r, enum rc rc, const struct err *err, struct arena *a, struct val *ret)
{
    struct arena scratch;
    arena_init(&scratch, 0);
    if (r->failure.rc == RC_OK && r->status && is_error(r))
        finish_error(r, &scratch);
    else if (r->failure.rc == RC_OK && r->form == FORM_BODY)
        finish_body(r, &scratch, rc, err);
    if (r->failure.rc == RC_OK && !r->whole)
        finish_cut(r, rc, err);
    struct reply_result made = {.tool_calls = val_list_new(a), .raw = val_null};
    if (r->failure.rc == RC_OK)
        r->provider->reply->finish(r, a, &made);
    *ret = r->failure.rc == RC_OK ? reply_object(r, &made, a) : error_object(r, a);
    arena_done(&scratch);
    return r->failure.rc == RC_OK;
}
