/* A call goes: canonical request ─▶ provider's codec ─▶ transport ─▶ reply parser ─▶ canonical reply.
 *
 * The transport is the network, a mock or a recording; nothing above it can tell. A request is built when the call
 * comes off the queue, so ten thousand waiting calls hold only their canonical form. Keys live in `config`, taken from
 * the environment at the start and deleted there, so no child can inherit them. */
#include "role/egress.h"

#include "base/map.h"
#include "base/panic.h"
#include "data/val_cover.h"
#include "http/fetch.h"
#include "llm/mock.h"
#include "llm/provider.h"
#include "llm/replay.h"

#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>

enum { DEFAULT_CALLS = 2000, DESCRIPTORS_KEPT = 128, PROVIDERS = 3 };

static const char *const provider_names[PROVIDERS] = {"anthropic", "gemini", "openai"};

struct call {
    struct egress *egress;
    struct call *next; /* in the queue */
    uint64_t id, transport_id;
    ev_id cancel_timer;
    const struct provider *provider;
    struct reply_parser *parser;
    struct arena arena;
    struct val request;
    uint32_t attempt;
    struct str step;
    struct val_list warnings;
    bool queued;
    void (*done)(void *ctx, uint64_t id, bool ok, const struct val *result);
    void *ctx;
};

struct egress {
    struct ev_loop *loop;
    struct transport *transport;
    enum egress_mode mode;
    struct arena arena;
    struct provider_config config[PROVIDERS];
    struct map calls; /* id -> call; keys lie in the calls */
    struct call *head, **tail;
    unsigned in_flight, max_calls;
};

/* ---- set-up ---- */

static struct str from_env(struct arena *a, const char *name)
{
    const char *v = name ? getenv(name) : NULL;
    return v && *v ? arena_str(a, str_c(v)) : str_n("", 0);
}

const char *egress_keyprints(struct keyprints *ret)
{
    const char *without = NULL;
    keyprints_begin(ret);
    for (size_t i = 0; i < PROVIDERS; i++) {
        const struct provider *p = provider_by_name(str_c(provider_names[i]));
        const char *key = p ? getenv(p->key_env) : NULL;
        if (key && *key && !keyprints_add(ret, p->key_env, str_c(key)))
            without = p->key_env;
    }
    return without;
}

void egress_know_keys(void)
{
    struct keyprints prints;
    (void)egress_keyprints(&prints);
    keyprints_use(&prints);
}

static void read_config(struct egress *g, bool keys_stay)
{
    egress_know_keys(); /* while they are there: they are kept out of what is asked, answered and logged here */
    for (size_t i = 0; i < PROVIDERS; i++) {
        const struct provider *p = provider_by_name(str_c(provider_names[i]));
        CHECK(p);
        struct str base = from_env(&g->arena, p->base_env);
        while (base.n && base.p[base.n - 1] == '/')
            base.n--;
        g->config[i].base_url = base.n ? base : str_c(p->default_base);
        g->config[i].api_key = from_env(&g->arena, p->key_env);
        if (!keys_stay)
            unsetenv(p->key_env);
    }
}

/* Each call wants a socket. */
static unsigned affordable(unsigned wanted)
{
    struct rlimit l;
    if (getrlimit(RLIMIT_NOFILE, &l) != 0)
        return wanted;
    if (l.rlim_cur < l.rlim_max) {
        l.rlim_cur = l.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &l) != 0)
            getrlimit(RLIMIT_NOFILE, &l);
    }
    rlim_t room = l.rlim_cur > 2 * DESCRIPTORS_KEPT ? l.rlim_cur - DESCRIPTORS_KEPT : DESCRIPTORS_KEPT;
    return room < wanted ? (unsigned)room : wanted;
}

static enum rc make_transport(struct egress *g, const struct egress_options *o, struct err *err)
{
    enum rc rc = RC_OK;
    if (o->mode == EGRESS_MOCK)
        rc = mock_new(o->loop, o->fixtures, &g->transport, err);
    else if (o->mode == EGRESS_REPLAY)
        rc = replay_new(o->loop, o->replay_file, &g->transport, err);
    else
        g->transport = fetch_new(o->loop, &(struct fetch_options){0});
    if (rc != RC_OK || !o->record_file)
        return rc;
    struct transport *inner = g->transport;
    g->transport = NULL;
    return record_new(inner, o->record_file, &g->transport, err);
}

enum rc egress_new(const struct egress_options *o, struct egress **ret, struct err *err)
{
    struct egress *g = calloc(1, sizeof *g);
    if (!g)
        PANIC("out of memory");
    g->loop = o->loop;
    g->mode = o->mode;
    g->tail = &g->head;
    g->max_calls = affordable(o->max_calls ? o->max_calls : DEFAULT_CALLS);
    read_config(g, o->keys_stay);
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); /* keys are in this memory: no core dumps, no tracing by our own children */
    enum rc rc = make_transport(g, o, err);
    if (rc != RC_OK) {
        egress_free(g);
        return rc;
    }
    *ret = g;
    return RC_OK;
}

static void call_free(struct call *c)
{
    struct egress *g = c->egress;
    map_del(&g->calls, str_n((const char *)&c->id, sizeof c->id));
    if (c->cancel_timer)
        ev_cancel(g->loop, c->cancel_timer);
    if (c->parser)
        reply_free(c->parser);
    arena_done(&c->arena);
    free(c);
}

void egress_free(struct egress *g)
{
    if (!g)
        return;
    struct map_entry *e;
    for (size_t i = 0; (e = map_next(&g->calls, &i));) {
        struct call *c = e->value;
        if (c->transport_id)
            g->transport->ops->cancel(g->transport, c->transport_id);
        call_free(c);
    }
    map_done(&g->calls);
    if (g->transport)
        g->transport->ops->free(g->transport);
    for (size_t i = 0; i < PROVIDERS; i++)
        if (g->config[i].api_key.n)
            explicit_bzero((char *)(uintptr_t)g->config[i].api_key.p, g->config[i].api_key.n);
    arena_done(&g->arena);
    free(g);
}

static const struct provider_config *config_of(const struct egress *g, const struct provider *p)
{
    for (size_t i = 0; i < PROVIDERS; i++)
        if (str_is(str_c(p->name), provider_names[i]))
            return &g->config[i];
    PANIC("provider %s has no configuration", p->name);
}

enum rc egress_ready(const struct egress *g, struct str name, struct err *err)
{
    const struct provider *p = provider_by_name(name);
    if (!p)
        return err_set(err, RC_INVALID, "there is no provider `%.*s`; expected anthropic, gemini or openai",
                       STR_ARG(name));
    const struct provider_config *c = config_of(g, p);
    if (g->mode != EGRESS_LIVE || c->api_key.n || !provider_needs_key(p, c->base_url))
        return RC_OK;
    return err_set(err, RC_AUTH, "the workflow asks %s, but %s is not set; set it, or try without a key: --mock",
                   p->mock_name, p->key_env);
}

/* ---- calls ---- */

static void start_more(struct egress *g);

static void finish(struct call *c, bool ok, const struct val *result)
{
    struct egress *g = c->egress;
    if (c->transport_id || c->parser)
        g->in_flight--;
    void (*done)(void *, uint64_t, bool, const struct val *) = c->done;
    void *ctx = c->ctx;
    done(ctx, c->id, ok, result);
    call_free(c);
    start_more(g);
}

static struct val error_value(struct arena *a, enum rc rc, struct str message)
{
    struct val_map m = val_map_new(a);
    VAL_MAP_SET(&m, "class", val_str(str_c(rc_name(rc))));
    VAL_MAP_SET(&m, "code", val_str(str_c(rc_name(rc))));
    VAL_MAP_SET(&m, "message", val_str(message));
    return val_map_done(&m);
}

static void on_head(void *ctx, int status, const struct http_header *headers, size_t n)
{
    reply_head(((struct call *)ctx)->parser, status, headers, n);
}

static void on_data(void *ctx, struct str chunk)
{
    reply_data(((struct call *)ctx)->parser, chunk);
}

static void on_done(void *ctx, enum rc rc, const struct err *err)
{
    struct call *c = ctx;
    struct val v;
    bool ok = reply_finish(c->parser, rc, err, &c->arena, &v);
    v = val_covered(&c->arena, &v); /* some providers tell a wrong key back */
    if (ok && c->warnings.n) {
        const struct val *more = VAL_GET(&v, "warnings");
        for (size_t i = 0; val_at(more, i); i++)
            val_list_push(&c->warnings, *val_at(more, i));
        struct val_map m = val_map_new(&c->arena);
        val_map_merge(&m, &v);
        VAL_MAP_SET(&m, "warnings", val_list_done(&c->warnings));
        v = val_map_done(&m);
    }
    finish(c, ok, &v);
}

static const struct http_sink sink = {on_head, on_data, on_done};

/* The text that fixtures match on: all text of the newest message, joined at once (the results of many tools are
 * long). */
static struct str last_message(struct arena *a, const struct val *request)
{
    const struct val *messages = VAL_GET(request, "messages");
    const struct val *last =
        val_is(messages, VAL_ARRAY) && messages->arr.n ? val_at(messages, messages->arr.n - 1) : NULL;
    const struct val *content = VAL_GET(last, "content");
    size_t n = 0;
    for (size_t i = 0; val_at(content, i); i++)
        n += val_get_str(val_at(content, i), STR("text"), STR("")).n + 1;
    char *text = arena_alloc(a, n + 1), *end = text;
    for (size_t i = 0; val_at(content, i); i++) {
        struct str t = val_get_str(val_at(content, i), STR("text"), STR(""));
        if (end != text)
            *end++ = '\n';
        if (t.n)
            memcpy(end, t.p, t.n);
        end += t.n;
    }
    return str_n(text, (size_t)(end - text));
}

static void fail_later(struct call *c);

static void begin(struct call *c)
{
    struct egress *g = c->egress;
    struct http_request http = {0};
    struct err err;
    c->warnings = val_list_new(&c->arena);
    c->parser = reply_new(c->provider);
    g->in_flight++;
    if (c->provider->build(&c->request, config_of(g, c->provider), &c->arena, &http, &c->warnings, &err) != RC_OK) {
        c->request = error_value(&c->arena, err.rc, arena_str(&c->arena, str_c(err.msg)));
        fail_later(c);
        return;
    }
    struct call_info info = {.step = c->step,
                             .provider = str_c(c->provider->mock_name),
                             .last_message = last_message(&c->arena, &c->request),
                             .schema = VAL_GET(&c->request, "schema"),
                             .mock = VAL_GET(&c->request, "mock"),
                             .turn = (unsigned)val_get_int(&c->request, STR("turn"), 1),
                             .attempt = c->attempt};
    c->transport_id = g->transport->ops->start(g->transport, &http, &info, &sink, c);
}

static void start_more(struct egress *g)
{
    while (g->head && g->in_flight < g->max_calls) {
        struct call *c = g->head;
        g->head = c->next;
        if (!g->head)
            g->tail = &g->head;
        c->queued = false;
        begin(c);
    }
}

static void report_failure(void *ctx)
{
    struct call *c = ctx;
    c->cancel_timer = 0;
    struct val v = c->request; /* fail_later's caller left the error there */
    finish(c, false, &v);
}

static void fail_later(struct call *c)
{
    c->cancel_timer = ev_timer(c->egress->loop, 0, report_failure, c);
}

void egress_start(struct egress *g, const struct effect *e,
                  void (*done)(void *ctx, uint64_t id, bool ok, const struct val *result), void *ctx)
{
    struct call *c = calloc(1, sizeof *c);
    if (!c)
        PANIC("out of memory");
    c->egress = g;
    c->id = e->id;
    c->attempt = e->attempt;
    c->done = done;
    c->ctx = ctx;
    map_put(&g->calls, str_n((const char *)&c->id, sizeof c->id), c);
    struct str name = val_get_str(e->request, STR("provider"), STR(""));
    c->provider = provider_by_name(name);
    if (!c->provider) {
        c->request =
            error_value(&c->arena, RC_INVALID, arena_printf(&c->arena, "there is no provider `%.*s`", STR_ARG(name)));
        fail_later(c);
        return;
    }
    struct err err;
    if (egress_ready(g, name, &err) != RC_OK) { /* nothing is sent that can only be refused */
        c->request = error_value(&c->arena, err.rc, arena_str(&c->arena, str_c(err.msg)));
        fail_later(c);
        return;
    }
    struct val clean = val_covered(&c->arena, e->request);
    c->request = val_copy(&c->arena, &clean);
    c->step = val_get_str(&c->request, STR("step"), STR(""));
    c->queued = true;
    *g->tail = c;
    g->tail = &c->next;
    start_more(g);
}

static void unqueue(struct egress *g, struct call *c)
{
    struct call **at = &g->head;
    while (*at && *at != c)
        at = &(*at)->next;
    CHECK(*at);
    *at = c->next;
    if (!*at)
        g->tail = at;
    c->queued = false;
}

void egress_cancel(struct egress *g, uint64_t id)
{
    struct call *c = map_get(&g->calls, str_n((const char *)&id, sizeof id));
    if (!c || c->cancel_timer)
        return;
    if (c->queued)
        unqueue(g, c);
    else
        g->transport->ops->cancel(g->transport, c->transport_id);
    c->request = error_value(&c->arena, RC_CANCELLED, STR("cancelled"));
    fail_later(c);
}
