/* The parts of a request that do not depend on the provider.
 *
 * The canonical request is made by our own engine, but out of text that a workflow, a model or a client chose; so
 * shapes are checked and refused with RC_INVALID, and header values are refused when they could break out of their
 * line. A missing key is not an error here: the mock needs none, and the command line checks keys before the first
 * step. */
#include "llm/wire.h"

#include "base/panic.h"
#include "data/json.h"

#include <stdarg.h>
#include <stdio.h>

enum { MAX_BODY = 64 << 20, MAX_EXTRA_DEPTH = 32 };

#ifndef TREADLE_VERSION
#define TREADLE_VERSION "0"
#endif

enum rc wire_init(struct wire *w, const struct val *request, const struct provider_config *config, struct arena *a,
                  struct val_list *warnings, struct err *err)
{
    *w = (struct wire){.a = a, .request = request, .config = config, .warnings = warnings, .err = err};
    w->body = val_map_new(a);
    w->model = str_trim(val_get_str(request, STR("model"), (struct str){0}));
    if (!val_is(request, VAL_OBJECT))
        return err_set(err, RC_INVALID, "the model request is no object");
    if (w->model.n == 0)
        return err_set(err, RC_INVALID, "the model request names no model");
    const struct val *messages = VAL_GET(request, "messages");
    if (!val_is(messages, VAL_ARRAY) || messages->arr.n == 0)
        return err_set(err, RC_INVALID, "the model request has no messages");
    enum rc rc = wire_header(w, "content-type", STR("application/json"));
    if (rc == RC_OK)
        rc = wire_header(w, "accept", STR("text/event-stream, application/json"));
    if (rc == RC_OK)
        rc = wire_header(w, "user-agent", STR("treadle/" TREADLE_VERSION));
    return rc;
}

enum rc wire_header(struct wire *w, const char *name, struct str value)
{
    for (size_t i = 0; i < value.n; i++) {
        if ((unsigned char)value.p[i] < ' ' || value.p[i] == 0x7f)
            return err_set(w->err, RC_INVALID, "the %s header (the key?) has a control character", name);
    }
    CHECK(w->nheaders < sizeof w->header / sizeof *w->header);
    w->header[w->nheaders++] = (struct http_header){str_c(name), arena_str(w->a, value)};
    return RC_OK;
}

void wire_warn(struct wire *w, const char *fmt, ...)
{
    if (!w->warnings)
        return;
    char text[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    struct str s = str_c(text);
    s.n = str_utf8_valid(s);
    val_list_push(w->warnings, val_str(arena_str(w->warnings->a, s)));
}

static struct val merge(struct arena *a, const struct val *base, const struct val *over, unsigned depth)
{
    if (!val_is(base, VAL_OBJECT) || over->type != VAL_OBJECT || depth == 0)
        return *over;
    struct val_map m = val_map_new(a);
    val_map_merge(&m, base);
    for (size_t i = 0; i < over->obj.n; i++) {
        const struct member *o = &over->obj.m[i];
        val_map_set(&m, o->key, merge(a, val_get(base, o->key), &o->val, depth - 1));
    }
    return val_map_done(&m);
}

enum rc wire_finish(struct wire *w, struct str url, struct http_request *ret)
{
    struct val body = val_map_done(&w->body);
    const struct val *extra = VAL_GET(w->request, "extra");
    if (val_is(extra, VAL_OBJECT))
        body = merge(w->a, &body, extra, MAX_EXTRA_DEPTH);
    else if (extra && extra->type != VAL_NULL)
        return err_set(w->err, RC_INVALID, "\"extra\" of a model request must be an object, not %s",
                       val_type_name(extra));
    struct buf text;
    buf_init(&text, MAX_BODY);
    json_write(&text, &body, JSON_COMPACT);
    bool fits = !text.overflow;
    struct http_header *headers = arena_calloc(w->a, w->nheaders, sizeof *headers);
    memcpy(headers, w->header, w->nheaders * sizeof *headers);
    *ret = (struct http_request){
        .method = STR("POST"),
        .url = url,
        .headers = headers,
        .nheaders = w->nheaders,
        .body = fits ? arena_str(w->a, buf_str(&text)) : (struct str){0},
    };
    buf_done(&text);
    return fits ? RC_OK : err_set(w->err, RC_LIMIT, "the model request is larger than %d bytes", MAX_BODY);
}

struct str wire_url(struct wire *w, const char *default_base, struct str path)
{
    struct str base = w->config && w->config->base_url.n ? w->config->base_url : str_c(default_base);
    while (base.n && base.p[base.n - 1] == '/')
        base.n--;
    return arena_printf(w->a, "%.*s%.*s", STR_ARG(base), STR_ARG(path));
}

bool wire_base_is(const struct wire *w, const char *default_base)
{
    return !w->config || w->config->base_url.n == 0 || str_starts(w->config->base_url, str_c(default_base));
}

size_t wire_message_count(const struct wire *w)
{
    return VAL_GET(w->request, "messages")->arr.n;
}

static enum rc check_blocks(struct wire *w, size_t i, const struct val *content)
{
    for (size_t k = 0; k < content->arr.n; k++) {
        const struct val *b = &content->arr.v[k];
        struct str type = val_get_str(b, STR("type"), (struct str){0});
        bool result = str_is(type, "tool_result");
        if (!result && !str_is(type, "text"))
            return err_set(w->err, RC_INVALID,
                           "messages[%zu].content[%zu]: text or tool_result is wanted, not \"%.*s\"", i, k,
                           STR_ARG(type));
        if (!val_is(VAL_GET(b, "text"), VAL_STR) || (result && !val_is(VAL_GET(b, "id"), VAL_STR)))
            return err_set(w->err, RC_INVALID, "messages[%zu].content[%zu]: a %.*s needs %s", i, k, STR_ARG(type),
                           result ? "id and text" : "text");
    }
    return RC_OK;
}

enum rc wire_message(struct wire *w, size_t i, struct wire_message *ret)
{
    const struct val *m = val_at(VAL_GET(w->request, "messages"), i);
    struct str role = val_get_str(m, STR("role"), (struct str){0});
    const struct val *content = VAL_GET(m, "content");
    *ret = (struct wire_message){.assistant = str_is(role, "assistant")};
    if (ret->assistant) {
        ret->raw = VAL_GET(m, "raw");
        ret->calls = VAL_GET(m, "tool_calls");
        ret->text = val_get_str(m, STR("text"), val_is(content, VAL_STR) ? content->s : (struct str){0});
        return RC_OK;
    }
    if (!str_is(role, "user"))
        return err_set(w->err, RC_INVALID, "messages[%zu]: role user or assistant is wanted, not \"%.*s\"", i,
                       STR_ARG(role));
    if (val_is(content, VAL_STR)) {
        ret->text = content->s;
        return RC_OK;
    }
    if (!val_is(content, VAL_ARRAY))
        return err_set(w->err, RC_INVALID, "messages[%zu]: content must be text or a list of blocks, not %s", i,
                       val_type_name(content));
    ret->content = content;
    return check_blocks(w, i, content);
}

bool wire_number(const struct wire *w, const char *key, struct val *ret)
{
    const struct val *v = val_get(w->request, str_c(key));
    if (!val_is_number(v) || v->type == VAL_BIGINT)
        return false;
    *ret = *v;
    return true;
}
