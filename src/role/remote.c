/* Calls are numbered by the link's owner, this side; a run's effect numbers mean nothing outside of it. A call whose
 * result was told stays until it is durable, because only then the other side is told to forget it. */
#include "role/remote.h"

#include "base/map.h"
#include "base/panic.h"
#include "data/json.h"
#include "role/channel.h"

#include <stdio.h>
#include <stdlib.h>

struct remote_call {
    struct remote_call *prev, *next; /* of the port */
    struct remote_port *port;
    uint64_t number, effect;
    bool sent, lost, told, cancelled, adopt, reach;
    struct buf body; /* until it is sent */
    char life[33];   /* who alone may start it; or empty */
    port_done *done;
    void *ctx;
};

struct remote_port {
    struct port port;
    struct remote *remote;
    struct arena arena;
    struct str run;
    struct val where;
    struct remote_port *prev, *next;
    struct remote_call *first;
    struct map by_effect; /* effect -> call */
};

struct remote {
    struct ev_loop *loop;
    struct channel *channel;
    struct remote_port *ports;
    struct map calls; /* number -> call */
    char life[33];    /* of the peer, once it has said so; or empty */
    uint64_t next;
    size_t in_flight;
    ev_id settling;
    bool (*wanted)(void *ctx, struct str run);
    void *ctx;
};

static struct str key_of(const uint64_t *n)
{
    return str_n((const char *)n, sizeof *n);
}

static void call_free(struct remote_call *c)
{
    struct remote_port *p = c->port;
    map_del(&p->remote->calls, key_of(&c->number));
    map_del(&p->by_effect, key_of(&c->effect));
    *(c->prev ? &c->prev->next : &p->first) = c->next;
    if (c->next)
        c->next->prev = c->prev;
    p->remote->in_flight -= c->sent && !c->told;
    buf_done(&c->body);
    free(c);
}

/* It will not be sent any more: it is told here what became of it. */
static const char *settled(const struct remote_call *c)
{
    const struct remote *r = c->port->remote;
    if (c->told || c->sent || c->adopt)
        return NULL;
    if (c->cancelled)
        return "cancelled";
    if (!r->life[0])
        return NULL;
    return c->reach ? "" : c->life[0] && strcmp(c->life, r->life) != 0 ? EFFECT_NEVER : NULL;
}

static void send_call(struct remote_call *c)
{
    struct remote *r = c->port->remote;
    if (!r->life[0] || c->sent || c->told || !channel_send(r->channel, FRAME_CALL, c->number, buf_str(&c->body)))
        return;
    buf_done(&c->body);
    c->sent = true;
    r->in_flight++;
    if (c->cancelled)
        channel_send(r->channel, FRAME_CANCEL, c->number, STR(""));
}

static void tell(struct remote_call *c, bool ok, const struct val *v)
{
    c->port->remote->in_flight -= c->sent && !c->told;
    c->told = true;
    c->done(c->ctx, c->effect, ok, v);
}

static void tell_class(struct remote_call *c, const char *class, const char *message)
{
    struct member m[] = {{.key = STR("class"), .val = val_str(str_c(class))},
                         {.key = STR("message"), .val = val_str(str_c(message))}};
    struct val v = {.type = VAL_OBJECT, .obj = {.m = m, .n = 2}};
    tell(c, false, &v);
}

/* ---- the link ---- */

static void settle_soon(struct remote *r);

static void on_reply(struct remote_call *c, struct str text)
{
    struct arena a = {0};
    struct val v;
    struct err err;
    if (json_parse(&a, text, &JSON_LIMITS_DEFAULT, &v, &err) != RC_OK)
        tell_class(c, "internal", err.msg);
    else if (VAL_GET(&v, "ok"))
        tell(c, true, VAL_GET(&v, "ok"));
    else if (VAL_GET(&v, "error"))
        tell(c, false, VAL_GET(&v, "error"));
    else
        tell_class(c, "internal", "a reply without an outcome");
    arena_done(&a);
}

static void on_message(void *ctx, const struct frame *f)
{
    struct remote *r = ctx;
    uint64_t number = f->id;
    if (f->type == FRAME_LIFE && !r->life[0]) {
        snprintf(r->life, sizeof r->life, "%.*s", STR_ARG(f->body));
        settle_soon(r); /* sends what waits */
        return;
    }
    if (f->type == FRAME_HELD) {
        if (r->wanted && !r->wanted(r->ctx, f->body))
            channel_send(r->channel, FRAME_FORGET, 0, f->body);
        return;
    }
    struct remote_call *c = map_get(&r->calls, key_of(&number));
    if (!c || c->told)
        return; /* of a run that has ended meanwhile */
    if (f->type == FRAME_REPLY) {
        on_reply(c, f->body);
        return;
    }
    tell_class(c, f->type == FRAME_NEVER ? EFFECT_NEVER : EFFECT_UNKNOWN, "it has no outcome there");
    c = map_get(&r->calls, key_of(&number));
    if (c)
        call_free(c); /* nothing is held of it */
}

/* The first call whose fate is known here: the process that it was sent to is dead (`lost`), or it was never sent and
 * never will be. */
static struct remote_call *find_settled(struct remote *r, bool *lost)
{
    for (struct remote_port *p = r->ports; p; p = p->next)
        for (struct remote_call *c = p->first; c; c = c->next) {
            *lost = c->lost && !c->told;
            if (*lost || settled(c))
                return c;
        }
    return NULL;
}

/* They are told one by one: each may end its run, and free its port. */
static void settle(void *ctx)
{
    struct remote *r = ctx;
    bool lost;
    r->settling = 0;
    struct remote_call *c = find_settled(r, &lost);
    if (c) {
        uint64_t number = c->number;
        const char *class = lost ? "interrupted" : settled(c);
        settle_soon(r); /* before the callback, which may come back here */
        if (!class[0])
            tell(c, true, &val_null);
        else
            tell_class(c, class, lost ? "the process that carried it out has died" : "it was not begun");
        c = map_get(&r->calls, key_of(&number));
        if (c)
            call_free(c); /* nobody holds it */
        return;
    }
    for (struct remote_port *p = r->ports; p && r->life[0]; p = p->next)
        for (c = p->first; c; c = c->next)
            send_call(c);
}

static void settle_soon(struct remote *r)
{
    if (!r->settling)
        r->settling = ev_timer(r->loop, 0, settle, r);
}

static void on_closed(void *ctx, const char *why)
{
    struct remote *r = ctx;
    (void)why;
    channel_free(r->channel);
    r->channel = NULL;
    r->life[0] = 0;
    for (struct remote_port *p = r->ports; p; p = p->next)
        for (struct remote_call *c = p->first, *next; c; c = next) {
            next = c->next;
            if (c->told)
                call_free(c); /* nobody holds it any more */
            else
                c->lost = c->sent;
        }
    settle_soon(r);
}

static const struct channel_ops channel_ops = {on_message, on_closed};

void remote_link(struct remote *r, int fd)
{
    if (r->channel && channel_drain(r->channel))
        on_closed(r, "replaced");
    r->channel = channel_new(r->loop, fd, &channel_ops, r);
}

bool remote_linked(const struct remote *r)
{
    return r->life[0] != 0;
}

size_t remote_in_flight(const struct remote *r)
{
    return r->in_flight;
}

struct remote *remote_new(struct ev_loop *loop, bool (*wanted)(void *ctx, struct str run), void *ctx)
{
    struct remote *r = calloc(1, sizeof *r);
    CHECK(r);
    *r = (struct remote){.loop = loop, .wanted = wanted, .ctx = ctx};
    return r;
}

void remote_free(struct remote *r)
{
    if (!r)
        return;
    CHECK(!r->ports);
    channel_free(r->channel);
    ev_cancel(r->loop, r->settling);
    map_done(&r->calls);
    free(r);
}

/* ---- the port ---- */

static void write_call(struct remote_port *p, const struct effect *e, struct buf *b)
{
    struct arena a = {0};
    struct val_map m = val_map_new(&a);
    VAL_MAP_SET(&m, "run", val_str(p->run));
    VAL_MAP_SET(&m, "path", val_str(e->path));
    VAL_MAP_SET(&m, "key", val_str(e->key));
    VAL_MAP_SET(&m, "attempt", val_int(e->attempt));
    VAL_MAP_SET(&m, "kind", val_int(e->kind));
    if (e->adopt)
        VAL_MAP_SET(&m, "adopt", val_true);
    if (e->life.n)
        VAL_MAP_SET(&m, "life", val_str(e->life));
    VAL_MAP_SET(&m, "request", *e->request);
    VAL_MAP_SET(&m, "where", p->where);
    struct val v = val_map_done(&m);
    buf_init(b, frame_body_max(FRAME_CALL));
    json_write(b, &v, JSON_COMPACT);
    arena_done(&a);
}

static void port_start(struct port *port, const struct effect *e, port_done *done, void *ctx)
{
    struct remote_port *p = (struct remote_port *)port;
    struct remote *r = p->remote;
    struct remote_call *c = calloc(1, sizeof *c);
    CHECK(c);
    *c = (struct remote_call){
        .next = p->first, .port = p, .number = ++r->next, .effect = e->id, .done = done, .ctx = ctx};
    c->adopt = e->adopt;
    c->reach = e->reach;
    snprintf(c->life, sizeof c->life, "%.*s", STR_ARG(e->life));
    if (c->next)
        c->next->prev = c;
    p->first = c;
    map_put(&r->calls, key_of(&c->number), c);
    map_put(&p->by_effect, key_of(&c->effect), c);
    if (!c->reach)
        write_call(p, e, &c->body);
    CHECK(!c->body.overflow); /* its parts are within the journal's bounds, which are smaller */
    if (settled(c))
        settle_soon(r);
    else if (!r->settling) /* else in its turn */
        send_call(c);
}

static void port_cancel(struct port *port, uint64_t effect)
{
    struct remote_port *p = (struct remote_port *)port;
    struct remote_call *c = map_get(&p->by_effect, key_of(&effect));
    if (!c || c->told || c->cancelled)
        return;
    c->cancelled = true;
    if (settled(c))
        settle_soon(p->remote);
    else if (c->sent && p->remote->channel)
        channel_send(p->remote->channel, FRAME_CANCEL, c->number, STR(""));
}

static void port_kept(struct port *port, uint64_t effect)
{
    struct remote_port *p = (struct remote_port *)port;
    struct remote_call *c = map_get(&p->by_effect, key_of(&effect));
    if (!c || !c->told)
        return;
    if (p->remote->channel)
        channel_send(p->remote->channel, FRAME_KEPT, c->number, STR(""));
    call_free(c);
}

static struct str port_life(const struct port *port)
{
    const struct remote *r = ((const struct remote_port *)port)->remote;
    return r->life[0] ? str_c(r->life) : (struct str){0};
}

struct port *remote_port(struct remote *r, struct str run, const struct val *where)
{
    struct remote_port *p = calloc(1, sizeof *p);
    CHECK(p);
    p->port = (struct port){port_start, port_cancel, port_kept, port_life};
    p->remote = r;
    p->run = arena_str(&p->arena, run);
    p->where = val_copy(&p->arena, where);
    p->next = r->ports;
    if (p->next)
        p->next->prev = p;
    r->ports = p;
    return &p->port;
}

void remote_port_free(struct port *port, bool forget)
{
    struct remote_port *p = (struct remote_port *)port;
    if (!p)
        return;
    struct remote *r = p->remote;
    while (p->first)
        call_free(p->first);
    if (forget && r->channel)
        channel_send(r->channel, FRAME_FORGET, 0, p->run);
    *(p->prev ? &p->prev->next : &r->ports) = p->next;
    if (p->next)
        p->next->prev = p->prev;
    map_done(&p->by_effect);
    arena_done(&p->arena);
    free(p);
}
