/* llhttp parses; this file owns connections, limits and times.
 *
 * A connection is READING one request, then WAITING for its answer, then WRITING it, and then reads the next or ends.
 * What arrives meanwhile stays in the socket. llhttp 8.1 takes a CR that is not followed by LF for the end of a header
 * line; so the head is scanned for one, and refused, before it is parsed. */
#include "http/server.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/panic.h"

#include <errno.h>
#include <llhttp/llhttp.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    HEAD_MAX = 16 << 10,
    FIELDS_MAX = 100,
    CONNECTIONS = 512,
    HEAD_MS = 10000, /* for the head to arrive */
    BODY_MS = 60000,
    IDLE_MS = 60000, /* between requests */
    WRITE_MS = 60000,
    PIECE = 16 << 10
};

struct field {
    size_t name, nname, value, nvalue; /* offsets in `head` */
};

struct http_exchange {
    struct connection *connection; /* NULL: the client is gone */
    struct http_server *server;
    struct http_exchange *prev, *next;
    struct buf head, body; /* head: target, names and values, one after another */
    size_t target;
    struct field fields[FIELDS_MAX];
    size_t nfields;
    char method[16];
    bool local, keep_alive;
};

struct connection {
    struct http_server *server;
    struct connection *prev, *next;
    int fd;
    ev_id reading, writing, timer;
    llhttp_t parser;
    struct buf scanned; /* the head so far, as it came */
    bool head_done, in_field, local, close_after;
    struct http_exchange *exchange;
    struct buf out, rest; /* rest: bytes of the next request */
    size_t sent;
    int refused; /* status of what is wrong with the request */
};

struct http_server {
    struct http_server_options o;
    llhttp_settings_t settings;
    ev_id accepting;
    struct connection *connections;
    struct http_exchange *exchanges;
    size_t open;
    bool draining;
};

static void accept_some(void *ctx);
static void read_some(void *ctx);
static void feed(struct connection *c, const char *bytes, size_t n);

/* ---- exchanges ---- */

static struct http_exchange *exchange_new(struct connection *c)
{
    struct http_exchange *x = calloc(1, sizeof *x);
    CHECK(x);
    x->connection = c;
    x->server = c->server;
    x->local = c->local;
    buf_init(&x->head, HEAD_MAX + 1);
    buf_init(&x->body, c->server->o.body_max);
    x->next = c->server->exchanges;
    if (x->next)
        x->next->prev = x;
    c->server->exchanges = x;
    return x;
}

static void exchange_free(struct http_exchange *x)
{
    if (!x)
        return;
    *(x->prev ? &x->prev->next : &x->server->exchanges) = x->next;
    if (x->next)
        x->next->prev = x->prev;
    buf_done(&x->head);
    buf_done(&x->body);
    free(x);
}

struct str http_method(const struct http_exchange *x)
{
    return str_c(x->method);
}

static struct str target_of(const struct http_exchange *x)
{
    return str_n(x->head.p ? x->head.p : "", x->target);
}

struct str http_path(const struct http_exchange *x)
{
    struct str t = target_of(x);
    size_t q = str_find(t, STR("?"));
    return q == SIZE_MAX ? t : str_n(t.p, q);
}

struct str http_query(const struct http_exchange *x)
{
    struct str t = target_of(x);
    size_t q = str_find(t, STR("?"));
    return q == SIZE_MAX ? str_n("", 0) : str_from(t, q + 1);
}

struct str http_header(const struct http_exchange *x, const char *name)
{
    size_t n = strlen(name);
    for (size_t i = 0; i < x->nfields; i++) {
        const struct field *f = &x->fields[i];
        if (f->nname == n && strncasecmp(x->head.p + f->name, name, n) == 0)
            return str_n(x->head.p + f->value, f->nvalue);
    }
    return str_n("", 0);
}

struct str http_body(const struct http_exchange *x)
{
    return buf_str(&x->body);
}

bool http_local(const struct http_exchange *x)
{
    return x->local;
}

/* ---- connections ---- */

static void connection_free(struct connection *c)
{
    struct http_server *s = c->server;
    ev_cancel(s->o.loop, c->reading);
    ev_cancel(s->o.loop, c->writing);
    ev_cancel(s->o.loop, c->timer);
    close(c->fd);
    *(c->prev ? &c->prev->next : &s->connections) = c->next;
    if (c->next)
        c->next->prev = c->prev;
    if (c->exchange && c->parser.data == NULL) /* handed out: the handler still answers it */
        c->exchange->connection = NULL;
    else
        exchange_free(c->exchange);
    buf_done(&c->out);
    buf_done(&c->rest);
    buf_done(&c->scanned);
    free(c);
    s->open--;
    if (!s->draining && !s->accepting)
        s->accepting = ev_readable(s->o.loop, s->o.fd, accept_some, s);
}

static void too_slow(void *ctx)
{
    struct connection *c = ctx;
    c->timer = 0;
    connection_free(c);
}

static void within(struct connection *c, int64_t ms)
{
    ev_cancel(c->server->o.loop, c->timer);
    c->timer = ms ? ev_timer(c->server->o.loop, ms, too_slow, c) : 0;
}

static void next_request(struct connection *c)
{
    llhttp_init(&c->parser, HTTP_REQUEST, &c->server->settings);
    c->parser.data = c; /* NULL while a request is handed out */
    c->head_done = c->in_field = false;
    c->refused = 0;
    buf_clear(&c->scanned);
    c->exchange = exchange_new(c);
    within(c, IDLE_MS);
}

static void write_some(void *ctx)
{
    struct connection *c = ctx;
    while (c->sent < c->out.n) {
        ssize_t n = send(c->fd, c->out.p + c->sent, c->out.n - c->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) {
            if (!c->writing)
                c->writing = ev_writable(c->server->o.loop, c->fd, write_some, c);
            return;
        }
        if (n < 0) {
            connection_free(c);
            return;
        }
        c->sent += (size_t)n;
    }
    ev_cancel(c->server->o.loop, c->writing);
    c->writing = 0;
    c->sent = 0;
    buf_clear(&c->out);
    if (c->close_after) {
        connection_free(c);
        return;
    }
    next_request(c);
    c->reading = ev_readable(c->server->o.loop, c->fd, read_some, c);
    if (c->rest.n) {
        struct buf rest = c->rest;
        buf_init(&c->rest, PIECE);
        feed(c, rest.p, rest.n);
        buf_done(&rest);
    }
}

static const char *reason(int status)
{
    static const struct {
        int status;
        const char *text;
    } table[] = {{200, "OK"},
                 {202, "Accepted"},
                 {400, "Bad Request"},
                 {401, "Unauthorized"},
                 {403, "Forbidden"},
                 {404, "Not Found"},
                 {405, "Method Not Allowed"},
                 {409, "Conflict"},
                 {413, "Content Too Large"},
                 {415, "Unsupported Media Type"},
                 {421, "Misdirected Request"},
                 {422, "Unprocessable Content"},
                 {431, "Request Header Fields Too Large"},
                 {500, "Internal Server Error"},
                 {503, "Service Unavailable"}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (table[i].status == status)
            return table[i].text;
    return "Other";
}

static void send_reply(struct connection *c, int status, const char *type, struct str body, bool keep_alive)
{
    c->close_after = !keep_alive || c->server->draining;
    buf_printf(&c->out,
               "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nCache-Control: no-store\r\n"
               "X-Content-Type-Options: nosniff\r\nConnection: %s\r\n\r\n",
               status, reason(status), type, body.n, c->close_after ? "close" : "keep-alive");
    buf_add(&c->out, body);
    if (c->out.overflow) {
        connection_free(c);
        return;
    }
    within(c, WRITE_MS);
    write_some(c);
}

void http_reply(struct http_exchange *x, int status, const char *content_type, struct str body)
{
    struct connection *c = x->connection;
    bool keep = x->keep_alive;
    if (c)
        c->exchange = NULL;
    exchange_free(x);
    if (c)
        send_reply(c, status, content_type, body, keep);
}

/* What is no request gets an answer, and the connection ends: nobody knows where the next one would begin. */
static void refuse(struct connection *c, int status)
{
    char text[200];
    snprintf(text, sizeof text, "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%d}\n", reason(status), status);
    exchange_free(c->exchange);
    c->exchange = NULL;
    ev_cancel(c->server->o.loop, c->reading);
    c->reading = 0;
    send_reply(c, status, "application/problem+json", str_c(text), false);
}

/* ---- llhttp's callbacks ---- */

static int wrong(struct connection *c, int status)
{
    if (!c->refused)
        c->refused = status;
    return HPE_USER;
}

static int on_url(llhttp_t *p, const char *at, size_t n)
{
    struct connection *c = p->data;
    buf_add(&c->exchange->head, str_n(at, n));
    c->exchange->target += n;
    return c->exchange->head.overflow ? wrong(c, 431) : 0;
}

static int on_field(llhttp_t *p, const char *at, size_t n)
{
    struct connection *c = p->data;
    struct http_exchange *x = c->exchange;
    struct field *last = x->nfields ? &x->fields[x->nfields - 1] : NULL;
    if (!c->in_field) { /* a new one; else the rest of its name */
        if (x->nfields == FIELDS_MAX)
            return wrong(c, 431);
        last = &x->fields[x->nfields++];
        *last = (struct field){.name = x->head.n};
        c->in_field = true;
    }
    CHECK(last);
    buf_add(&x->head, str_n(at, n));
    last->nname += n;
    return x->head.overflow ? wrong(c, 431) : 0;
}

static int on_value(llhttp_t *p, const char *at, size_t n)
{
    struct connection *c = p->data;
    struct http_exchange *x = c->exchange;
    CHECK(x->nfields);
    struct field *last = &x->fields[x->nfields - 1];
    if (!last->value)
        last->value = x->head.n;
    buf_add(&x->head, str_n(at, n));
    last->nvalue += n;
    return x->head.overflow ? wrong(c, 431) : 0;
}

static int on_value_end(llhttp_t *p)
{
    ((struct connection *)p->data)->in_field = false;
    return 0;
}

static int on_headers(llhttp_t *p)
{
    struct connection *c = p->data;
    struct http_exchange *x = c->exchange;
    c->head_done = true;
    snprintf(x->method, sizeof x->method, "%s", llhttp_method_name((llhttp_method_t)llhttp_get_method(p)));
    if (p->content_length > c->server->o.body_max && (p->flags & F_CONTENT_LENGTH))
        return wrong(c, 413);
    within(c, BODY_MS);
    return 0;
}

static int on_body(llhttp_t *p, const char *at, size_t n)
{
    struct connection *c = p->data;
    buf_add(&c->exchange->body, str_n(at, n));
    return c->exchange->body.overflow ? wrong(c, 413) : 0;
}

static int on_message(llhttp_t *p)
{
    struct connection *c = p->data;
    c->exchange->keep_alive = llhttp_should_keep_alive(p);
    return HPE_PAUSED; /* one at a time */
}

/* A CR without LF, or too much, in the head as it came. */
static int scan_head(struct connection *c, const char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char before = c->scanned.n ? c->scanned.p[c->scanned.n - 1] : 0;
        if (before == '\r' && bytes[i] != '\n')
            return 400;
        if (bytes[i] == 0)
            return 400;
        if (c->scanned.n >= HEAD_MAX)
            return 431;
        buf_addc(&c->scanned, bytes[i]);
        if (str_ends(buf_str(&c->scanned), STR("\r\n\r\n")))
            return 0;
    }
    return 0;
}

static void hand_out(struct connection *c)
{
    struct http_server *s = c->server;
    ev_cancel(s->o.loop, c->reading);
    c->reading = 0;
    within(c, 0);
    c->parser.data = NULL;
    s->o.request(s->o.ctx, c->exchange);
}

static void feed(struct connection *c, const char *bytes, size_t n)
{
    if (!c->head_done) {
        if (!c->scanned.n)
            within(c, HEAD_MS);
        int status = scan_head(c, bytes, n);
        if (status) {
            refuse(c, status);
            return;
        }
    }
    enum llhttp_errno e = llhttp_execute(&c->parser, bytes, n);
    if (e == HPE_OK)
        return;
    if (e == HPE_PAUSED) {
        const char *at = llhttp_get_error_pos(&c->parser);
        size_t used = at ? (size_t)(at - bytes) : n;
        if (used < n)
            buf_add(&c->rest, str_n(bytes + used, n - used));
        hand_out(c);
        return;
    }
    refuse(c, c->refused ? c->refused : 400);
}

static void read_some(void *ctx)
{
    struct connection *c = ctx;
    char bytes[PIECE];
    ssize_t n = recv(c->fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0)
        connection_free(c);
    else
        feed(c, bytes, (size_t)n);
}

static void accept_some(void *ctx)
{
    struct http_server *s = ctx;
    for (int i = 0; i < 64; i++) {
        if (s->open >= s->o.connections) { /* the rest wait in the kernel's queue */
            ev_cancel(s->o.loop, s->accepting);
            s->accepting = 0;
            return;
        }
        struct sockaddr_storage from = {0};
        socklen_t length = sizeof from;
        int fd = accept4(s->o.fd, (struct sockaddr *)&from, &length, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0)
            return;
        struct connection *c = calloc(1, sizeof *c);
        CHECK(c);
        *c = (struct connection){.server = s, .next = s->connections, .fd = fd, .local = from.ss_family == AF_UNIX};
        if (c->next)
            c->next->prev = c;
        s->connections = c;
        s->open++;
        buf_init(&c->out, (size_t)256 << 20);
        buf_init(&c->rest, PIECE);
        buf_init(&c->scanned, HEAD_MAX + 1);
        next_request(c);
        c->reading = ev_readable(s->o.loop, fd, read_some, c);
    }
}

struct http_server *http_server_new(const struct http_server_options *o)
{
    struct http_server *s = calloc(1, sizeof *s);
    CHECK(s);
    s->o = *o;
    if (!s->o.connections)
        s->o.connections = CONNECTIONS;
    llhttp_settings_init(&s->settings);
    s->settings.on_url = on_url;
    s->settings.on_header_field = on_field;
    s->settings.on_header_value = on_value;
    s->settings.on_header_value_complete = on_value_end;
    s->settings.on_headers_complete = on_headers;
    s->settings.on_body = on_body;
    s->settings.on_message_complete = on_message;
    s->accepting = ev_readable(o->loop, o->fd, accept_some, s);
    return s;
}

void http_server_drain(struct http_server *s)
{
    s->draining = true;
    ev_cancel(s->o.loop, s->accepting);
    s->accepting = 0;
    for (struct connection *c = s->connections, *next; c; c = next) {
        next = c->next;
        if (c->exchange && c->parser.data && !c->scanned.n) /* between requests */
            connection_free(c);
    }
}

size_t http_server_open(const struct http_server *s)
{
    return s->open;
}

void http_server_free(struct http_server *s)
{
    if (!s)
        return;
    s->draining = true;
    while (s->connections)
        connection_free(s->connections);
    while (s->exchanges)
        exchange_free(s->exchanges);
    ev_cancel(s->o.loop, s->accepting);
    close(s->o.fd);
    free(s);
}
