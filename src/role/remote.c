/* Calls are numbered by the link's owner, this side; a run's effect numbers mean nothing outside of it. A call whose
 * result was told stays until it is durable, because only then the other side is told to forget it. */
#include "role/remote.h"

#include "base/map.h"
#include "base/panic.h"
#include "data/json.h"
#include "role/channel.h"

#include <stdlib.h>

struct remote_call {
    struct remote_call *prev, *next; /* of the port */
    struct remote_port *port;
    uint64_t number, effect;
    bool sent, told, cancelled;
    struct buf body; /* until it is sent */
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
    uint64_t next;
    size_t in_flight;
    ev_id losing;
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

static void send_call(struct remote_call *c)
{
    struct remote *r = c->port->remote;
    if (!r->channel || c->sent)
        return;
    channel_send(r->channel, FRAME_CALL, c->number, buf_str(&c->body));
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
    struct remote_call *c = map_get(&r->calls, key_of(&f->id));
    if (!c || c->told)
        return; /* of a run that has ended meanwhile */
    if (f->type == FRAME_REPLY)
        on_reply(c, f->body);
    else if (f->type == FRAME_UNKNOWN)
        tell_class(c, EFFECT_UNKNOWN, "nothing is known of it");
}

/* Whoever held them is dead. They are told one by one: each may end its run, and free its port. */
static void lose(void *ctx)
{
    struct remote *r = ctx;
    r->losing = 0;
    for (struct remote_port *p = r->ports; p; p = p->next)
        for (struct remote_call *c = p->first; c; c = c->next)
            if (c->sent && !c->told) {
                r->losing = ev_timer(r->loop, 0, lose, r); /* before the callback, which may come back here */
                tell_class(c, "interrupted", "the process that carried it out has died");
                return;
            }
    for (struct remote_port *p = r->ports; p && r->channel; p = p->next)
        for (struct remote_call *c = p->first; c; c = c->next)
            send_call(c);
}

static void on_closed(void *ctx, const char *why)
{
    struct remote *r = ctx;
    (void)why;
    channel_free(r->channel);
    r->channel = NULL;
    for (struct remote_port *p = r->ports; p; p = p->next)
        for (struct remote_call *c = p->first, *next; c; c = next) {
            next = c->next;
            if (c->told)
                call_free(c); /* nobody holds it any more */
        }
    ev_cancel(r->loop, r->losing);
    r->losing = ev_timer(r->loop, 0, lose, r);
}

static const struct channel_ops channel_ops = {on_message, on_closed};

void remote_link(struct remote *r, int fd)
{
    if (r->channel)
        on_closed(r, "replaced");
    r->channel = channel_new(r->loop, fd, &channel_ops, r);
    if (!r->losing)
        r->losing = ev_timer(r->loop, 0, lose, r); /* sends what waits */
}

bool remote_linked(const struct remote *r)
{
    return r->channel != NULL;
}

size_t remote_in_flight(const struct remote *r)
{
    return r->in_flight;
}

struct remote *remote_new(struct ev_loop *loop)
{
    struct remote *r = calloc(1, sizeof *r);
    CHECK(r);
    r->loop = loop;
    return r;
}

void remote_free(struct remote *r)
{
    if (!r)
        return;
    CHECK(!r->ports);
    channel_free(r->channel);
    ev_cancel(r->loop, r->losing);
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
    if (c->next)
        c->next->prev = c;
    p->first = c;
    map_put(&r->calls, key_of(&c->number), c);
    map_put(&p->by_effect, key_of(&c->effect), c);
    write_call(p, e, &c->body);
    CHECK(!c->body.overflow); /* its parts are within the journal's bounds, which are smaller */
    if (!r->losing)
        send_call(c);
}

static void port_cancel(struct port *port, uint64_t effect)
{
    struct remote_port *p = (struct remote_port *)port;
    struct remote_call *c = map_get(&p->by_effect, key_of(&effect));
    if (!c || c->told || c->cancelled)
        return;
    c->cancelled = true;
    if (c->sent && p->remote->channel)
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

struct port *remote_port(struct remote *r, struct str run, const struct val *where)
{
    struct remote_port *p = calloc(1, sizeof *p);
    CHECK(p);
    p->port = (struct port){port_start, port_cancel, port_kept};
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
