/* llhttp parses heads; this file owns connections, limits, bodies and times.
 *
 *   READING ──whole──▶ WAITING ──http_reply()──▶ WRITING ──▶ READING the next, or the end
 *      └──refused─────────────────────────────▶ WRITING ──▶ LINGERING ──▶ the end
 *
 * What arrives meanwhile stays in the socket, but for at most one piece that was read already. Who is refused in the
 * middle of a request still sends: closing at once would reset the connection, and the client might never see why. So
 * what comes is thrown away for a moment.
 *
 * llhttp 8.1 takes a CR without LF, or a LF without CR, for the end of a line of the head; others in front of us may
 * not. So the head is scanned for both, and refused, before it is parsed. Of chunks it does not even look at the CR; so
 * bodies are read here (http/chunks.h).
 *
 * When there are as many connections as may be, the one that has waited longest without a whole head is closed for a
 * new one: those who hold connections open cannot shut others out. */
#include "http/server.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/panic.h"
#include "http/chunks.h"

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
    CONNECTIONS = 1024,
    HEAD_MS = 10000, /* for the head to arrive */
    BODY_MS = 60000,
    IDLE_MS = 60000, /* between requests */
    WRITE_MS = 60000,
    LINGER_MS = 2000,
    RETRY_MS = 100, /* when there are no descriptors to be had */
    PIECE = 16 << 10,
    ANSWER_MAX = 256 << 20
};

struct field {
    size_t name, nname, value, nvalue; /* offsets in `head` */
};

struct http_exchange {
    struct connection *connection; /* NULL: the client is gone */
    struct http_server *server;
    struct http_exchange *prev, *next;
    struct buf head, body; /* head: target, names and values, one after another */
    struct buf more;       /* header lines of the answer */
    size_t target;
    struct field fields[FIELDS_MAX];
    size_t nfields;
    char method[16];
    bool local, keep_alive, head_only;
};

enum connection_state { READING, WAITING, WRITING, LINGERING };

struct connection {
    struct http_server *server;
    struct connection *prev, *next;
    int fd;
    enum connection_state state;
    int64_t since; /* when it began to wait for a head, or for the end */
    ev_id reading, writing, timer, next_turn;
    llhttp_t parser;
    struct buf scanned; /* the head so far, as it came */
    bool head_done, body_done, began_empty, naming, in_field, local, close_after, linger;
    bool chunked; /* the body; else it has `left` more bytes */
    size_t left;
    struct chunks chunks;
    struct http_exchange *exchange;
    struct buf out, rest; /* rest: bytes of the next request */
    size_t sent;
    struct http_refusal refused; /* what is wrong with the request */
};

struct http_server {
    struct http_server_options o;
    llhttp_settings_t settings;
    ev_id accepting, retry;
    struct connection *connections;
    struct http_exchange *exchanges;
    size_t open;
    bool draining;
};

static void accept_some(void *ctx);
static void read_some(void *ctx);
static void feed(struct connection *c, const char *bytes, size_t n);
static void refuse(struct connection *c);

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
    buf_init(&x->more, HEAD_MAX);
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
    buf_done(&x->more);
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

static bool is_word(struct str s, const char *word)
{
    return s.n == strlen(word) && strncasecmp(s.p, word, s.n) == 0;
}

struct str http_header(const struct http_exchange *x, const char *name)
{
    for (size_t i = 0; i < x->nfields; i++) {
        const struct field *f = &x->fields[i];
        if (is_word(str_n(x->head.p + f->name, f->nname), name))
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

void http_answer_header(struct http_exchange *x, const char *name, const char *value)
{
    CHECK(!strpbrk(name, ":\r\n") && !strpbrk(value, "\r\n"));
    buf_printf(&x->more, "%s: %s\r\n", name, value);
}

/* ---- connections ---- */

static void connection_free(struct connection *c)
{
    struct http_server *s = c->server;
    ev_cancel(s->o.loop, c->reading);
    ev_cancel(s->o.loop, c->writing);
    ev_cancel(s->o.loop, c->timer);
    ev_cancel(s->o.loop, c->next_turn);
    close(c->fd);
    *(c->prev ? &c->prev->next : &s->connections) = c->next;
    if (c->next)
        c->next->prev = c->prev;
    if (c->exchange && c->state == WAITING) /* handed out: the handler still answers it */
        c->exchange->connection = NULL;
    else
        exchange_free(c->exchange);
    buf_done(&c->out);
    buf_done(&c->rest);
    buf_done(&c->scanned);
    free(c);
    s->open--;
    if (!s->draining && !s->accepting && s->o.fd >= 0)
        s->accepting = ev_readable(s->o.loop, s->o.fd, accept_some, s);
}

static void too_slow(void *ctx)
{
    struct connection *c = ctx;
    c->timer = 0;
    if (c->state == READING && c->scanned.n) {
        c->refused = (struct http_refusal){408, "the request did not come in time"};
        refuse(c);
    } else {
        connection_free(c);
    }
}

static void within(struct connection *c, int64_t ms)
{
    ev_cancel(c->server->o.loop, c->timer);
    c->timer = ms ? ev_timer(c->server->o.loop, ms, too_slow, c) : 0;
}

static void next_request(struct connection *c)
{
    llhttp_init(&c->parser, HTTP_REQUEST, &c->server->settings);
    c->parser.data = c;
    c->state = READING;
    c->since = clock_mono_ms();
    c->head_done = c->body_done = c->began_empty = c->naming = c->in_field = c->chunked = false;
    c->chunks = (struct chunks){0};
    c->refused = (struct http_refusal){0};
    buf_clear(&c->scanned);
    c->exchange = exchange_new(c);
    within(c, IDLE_MS);
}

/* In a turn of its own: who sends many requests at once waits behind others like everybody. */
static void feed_rest(void *ctx)
{
    struct connection *c = ctx;
    struct buf rest = c->rest;
    c->next_turn = 0;
    c->reading = ev_readable(c->server->o.loop, c->fd, read_some, c);
    buf_init(&c->rest, PIECE);
    feed(c, rest.p, rest.n);
    buf_done(&rest);
}

static void throw_away(void *ctx)
{
    struct connection *c = ctx;
    char bytes[PIECE];
    ssize_t n = recv(c->fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        connection_free(c);
}

static void linger(struct connection *c)
{
    c->state = LINGERING;
    c->since = clock_mono_ms();
    shutdown(c->fd, SHUT_WR);
    within(c, LINGER_MS);
    c->reading = ev_readable(c->server->o.loop, c->fd, throw_away, c);
}

static void write_some(void *ctx)
{
    struct connection *c = ctx;
    switch (fd_send_some(c->fd, buf_str(&c->out), &c->sent)) {
    case FD_FULL:
        if (!c->writing)
            c->writing = ev_writable(c->server->o.loop, c->fd, write_some, c);
        return;
    case FD_FAILED:
        connection_free(c);
        return;
    case FD_SENT:
        break;
    }
    ev_cancel(c->server->o.loop, c->writing);
    c->writing = 0;
    c->sent = 0;
    buf_done(&c->out); /* a large answer's memory does not stay with a connection that idles */
    buf_init(&c->out, ANSWER_MAX);
    if (c->close_after && c->linger && !c->server->draining) {
        linger(c);
    } else if (c->close_after) {
        connection_free(c);
    } else {
        next_request(c);
        if (c->rest.n)
            c->next_turn = ev_timer(c->server->o.loop, 0, feed_rest, c);
        else
            c->reading = ev_readable(c->server->o.loop, c->fd, read_some, c);
    }
}

const char *http_reason(int status)
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
                 {408, "Request Timeout"},
                 {409, "Conflict"},
                 {413, "Content Too Large"},
                 {415, "Unsupported Media Type"},
                 {417, "Expectation Failed"},
                 {421, "Misdirected Request"},
                 {422, "Unprocessable Content"},
                 {431, "Request Header Fields Too Large"},
                 {500, "Internal Server Error"},
                 {501, "Not Implemented"},
                 {503, "Service Unavailable"},
                 {505, "HTTP Version Not Supported"}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (table[i].status == status)
            return table[i].text;
    return "Other";
}

/* `x`: what it answers. */
static void send_reply(struct connection *c, const struct http_exchange *x, int status, const char *type,
                       struct str body)
{
    c->state = WRITING;
    c->close_after = !x->keep_alive || c->server->draining;
    buf_printf(&c->out,
               "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nCache-Control: no-store\r\n"
               "X-Content-Type-Options: nosniff\r\nConnection: %s\r\n",
               status, http_reason(status), type, body.n, c->close_after ? "close" : "keep-alive");
    buf_add(&c->out, buf_str(&x->more));
    buf_addz(&c->out, "\r\n");
    if (!x->head_only)
        buf_add(&c->out, body);
    CHECK(c->exchange == x);
    exchange_free(c->exchange);
    c->exchange = NULL;
    if (c->out.overflow) {
        connection_free(c);
        return;
    }
    within(c, WRITE_MS);
    write_some(c);
}

void http_reply(struct http_exchange *x, int status, const char *content_type, struct str body)
{
    if (x->connection)
        send_reply(x->connection, x, status, content_type, body);
    else
        exchange_free(x);
}

/* What is no request gets an answer, and the connection ends: nobody knows where the next one would begin. */
static void refuse(struct connection *c)
{
    const struct http_refusal *r = &c->refused;
    int status = r->status;
    char text[400];
    snprintf(text, sizeof text, "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%d%s%s%s}\n",
             http_reason(status), status, r->detail ? ",\"detail\":\"" : "", r->detail ? r->detail : "",
             r->detail ? "\"" : "");
    ev_cancel(c->server->o.loop, c->reading);
    c->reading = 0;
    c->exchange->keep_alive = false;
    c->linger = true;
    send_reply(c, c->exchange, status, "application/problem+json", str_c(text));
}

/* ---- llhttp's callbacks ---- */

static int wrong(struct connection *c, int status, const char *detail)
{
    if (!c->refused.status)
        c->refused = (struct http_refusal){status, detail};
    return HPE_USER;
}

static int too_long(struct connection *c)
{
    return wrong(c, 431, "a request's head has at most 16 KiB and 100 fields");
}

static int on_url(llhttp_t *p, const char *at, size_t n)
{
    struct connection *c = p->data;
    buf_add(&c->exchange->head, str_n(at, n));
    c->exchange->target += n;
    return c->exchange->head.overflow ? too_long(c) : 0;
}

static int on_field(llhttp_t *p, const char *at, size_t n)
{
    struct connection *c = p->data;
    struct http_exchange *x = c->exchange;
    struct field *last = x->nfields ? &x->fields[x->nfields - 1] : NULL;
    if (!c->in_field) { /* a new one; else the rest of its name */
        if (x->nfields == FIELDS_MAX)
            return too_long(c);
        last = &x->fields[x->nfields++];
        *last = (struct field){.name = x->head.n};
        c->in_field = true;
    }
    CHECK(last);
    buf_add(&x->head, str_n(at, n));
    last->nname += n;
    return x->head.overflow ? too_long(c) : 0;
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
    return x->head.overflow ? too_long(c) : 0;
}

/* White space around a value is no part of it; llhttp leaves out only what is before. */
static int on_value_end(llhttp_t *p)
{
    struct connection *c = p->data;
    struct http_exchange *x = c->exchange;
    struct field *last = &x->fields[x->nfields - 1];
    c->in_field = false;
    while (last->nvalue &&
           (x->head.p[last->value + last->nvalue - 1] == ' ' || x->head.p[last->value + last->nvalue - 1] == '\t'))
        last->nvalue--;
    return 0;
}

static size_t count_fields(const struct http_exchange *x, const char *name)
{
    size_t n = 0;
    for (size_t i = 0; i < x->nfields; i++)
        n += is_word(str_n(x->head.p + x->fields[i].name, x->fields[i].nname), name);
    return n;
}

/* A client that waits for leave to send its body. Nothing else is being written. */
static int leave_to_send(struct connection *c)
{
    struct str expect = http_header(c->exchange, "expect");
    if (!expect.n || c->parser.http_minor == 0)
        return 0;
    if (!is_word(expect, "100-continue"))
        return wrong(c, 417, "the only expectation that is met is 100-continue");
    struct str go = STR("HTTP/1.1 100 Continue\r\n\r\n");
    ssize_t sent = send(c->fd, go.p, go.n, MSG_NOSIGNAL | MSG_DONTWAIT);
    return sent == (ssize_t)go.n ? 0 : HPE_USER; /* a few bytes into an empty buffer: it is gone */
}

static const char too_large[] = "the body is larger than what is taken";

static int on_headers(llhttp_t *p)
{
    struct connection *c = p->data;
    struct http_exchange *x = c->exchange;
    const struct http_server_options *o = &c->server->o;
    c->head_done = true;
    const char *method = llhttp_method_name((llhttp_method_t)llhttp_get_method(p));
    x->head_only = strcmp(method, "HEAD") == 0;
    snprintf(x->method, sizeof x->method, "%s", x->head_only ? "GET" : method);
    if (p->http_major != 1 || p->http_minor > 1)
        return wrong(c, 505, "HTTP/1.1 and 1.0 are spoken here");
    if (count_fields(x, "host") > 1)
        return wrong(c, 400, "there is more than one Host field");
    struct str coding = http_header(x, "transfer-encoding");
    if (count_fields(x, "transfer-encoding") > 1 || (coding.n && !is_word(coding, "chunked")))
        return wrong(c, 501, "the only transfer coding is chunked");
    struct http_refusal r = o->admit ? o->admit(o->ctx, x) : (struct http_refusal){0};
    if (r.status)
        return wrong(c, r.status, r.detail);
    if (p->content_length > o->body_max && (p->flags & F_CONTENT_LENGTH))
        return wrong(c, 413, too_large);
    x->keep_alive = llhttp_should_keep_alive(p);
    c->chunked = coding.n > 0;
    c->left = (p->flags & F_CONTENT_LENGTH) ? (size_t)p->content_length : 0;
    within(c, BODY_MS);
    if (leave_to_send(c))
        return HPE_USER;
    return 1; /* no body, for the parser: it forgives too much in one */
}

static int on_message(llhttp_t *p)
{
    (void)p;
    return HPE_PAUSED; /* the head was all that it is to parse */
}

static bool in_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr("!#$%&'*+-.^_`|~", c));
}

/* One byte of the head; false: refused. Each line ends in CR LF, and each but the first begins with a name and a colon.
 * One empty line may come before a request. */
static bool scan_byte(struct connection *c, char byte)
{
    struct buf *b = &c->scanned;
    bool after_cr = b->n && b->p[b->n - 1] == '\r';
    if (after_cr != (byte == '\n') || byte == 0)
        wrong(c, 400, "each line of the head must end in CR LF");
    else if (b->n >= HEAD_MAX)
        too_long(c);
    else if (c->naming && byte == ':' && b->p[b->n - 1] != '\n')
        c->naming = false;
    else if (c->naming && !in_name(byte) && byte != '\n' && !(byte == '\r' && b->p[b->n - 1] == '\n'))
        wrong(c, 400, "each field of the head must begin with its name and a colon");
    else if (byte == '\n')
        c->naming = true;
    if (c->refused.status)
        return false;
    buf_addc(b, byte);
    if (b->n > 2 || byte != '\n')
        return true;
    if (c->began_empty)
        wrong(c, 400, "there is more than one empty line before the request");
    c->began_empty = true;
    c->naming = false;
    buf_clear(b);
    return !c->refused.status;
}

/* Takes bytes of the head until it is whole (then they end in an empty line), or refused; how many it used. */
static size_t scan_head(struct connection *c, const char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!scan_byte(c, bytes[i]) || str_ends(buf_str(&c->scanned), STR("\r\n\r\n")))
            return i + 1;
    return n;
}

static void hand_out(struct connection *c)
{
    struct http_server *s = c->server;
    ev_cancel(s->o.loop, c->reading);
    c->reading = 0;
    within(c, 0);
    c->state = WAITING;
    s->o.request(s->o.ctx, c->exchange);
}

static bool parse_head(struct connection *c)
{
    struct buf *b = &c->scanned;
    enum llhttp_errno e = llhttp_execute(&c->parser, b->p, b->n);
    if (e == HPE_PAUSED && c->head_done && llhttp_get_error_pos(&c->parser) == b->p + b->n)
        return true;
    if (!c->refused.status)
        wrong(c, 400, "this is no request of HTTP/1.1");
    return false;
}

/* Bytes of the body, up to its end; how many it used. */
static size_t take_body(struct connection *c, struct str bytes)
{
    struct buf *body = &c->exchange->body;
    size_t used = 0;
    if (c->chunked) {
        enum chunks_end end = chunks_feed(&c->chunks, bytes, &used, body);
        c->body_done = end == CHUNKS_WHOLE;
        if (end == CHUNKS_WRONG && !body->overflow)
            wrong(c, 400, "the chunks of the body are not well-formed, or have trailers");
    } else {
        used = bytes.n < c->left ? bytes.n : c->left;
        buf_add(body, str_n(bytes.p, used));
        c->left -= used;
        c->body_done = !c->left;
    }
    if (body->overflow)
        wrong(c, 413, too_large);
    return used;
}

/* The head is parsed when it is whole, so it does not matter in which pieces it comes. */
static void feed(struct connection *c, const char *bytes, size_t n)
{
    struct str rest = str_n(bytes, n);
    if (!c->head_done) {
        if (!c->scanned.n)
            within(c, HEAD_MS);
        rest = str_from(rest, scan_head(c, bytes, n));
        if (!c->refused.status && !str_ends(buf_str(&c->scanned), STR("\r\n\r\n")))
            return;
        if (!c->refused.status)
            parse_head(c);
    }
    if (!c->refused.status)
        rest = str_from(rest, take_body(c, rest));
    if (c->refused.status) {
        refuse(c);
    } else if (c->body_done) {
        buf_add(&c->rest, rest);
        hand_out(c);
    }
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

/* Makes room for a new connection; false: all are at work. */
static bool close_longest_waiting(struct http_server *s)
{
    struct connection *oldest = NULL;
    for (struct connection *c = s->connections; c; c = c->next)
        if ((c->state == LINGERING || (c->state == READING && !c->head_done)) && (!oldest || c->since <= oldest->since))
            oldest = c;
    if (oldest)
        connection_free(oldest);
    return oldest != NULL;
}

static void accept_again(void *ctx)
{
    struct http_server *s = ctx;
    s->retry = 0;
    if (!s->accepting && !s->draining)
        s->accepting = ev_readable(s->o.loop, s->o.fd, accept_some, s);
}

static void stop_accepting(struct http_server *s)
{
    ev_cancel(s->o.loop, s->accepting);
    s->accepting = 0;
}

void http_server_adopt(struct http_server *s, int fd, bool local)
{
    struct connection *c = calloc(1, sizeof *c);
    CHECK(c);
    *c = (struct connection){.server = s, .next = s->connections, .fd = fd, .local = local};
    if (c->next)
        c->next->prev = c;
    s->connections = c;
    s->open++;
    buf_init(&c->out, ANSWER_MAX);
    buf_init(&c->rest, PIECE);
    buf_init(&c->scanned, HEAD_MAX + 1);
    next_request(c);
    c->reading = ev_readable(s->o.loop, fd, read_some, c);
}

static void accept_some(void *ctx)
{
    struct http_server *s = ctx;
    for (int i = 0; i < 64; i++) {
        struct sockaddr_storage from = {0};
        socklen_t length = sizeof from;
        int fd = accept4(s->o.fd, (struct sockaddr *)&from, &length, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0) {
            if (s->open >= s->o.connections && !close_longest_waiting(s)) {
                http_server_adopt(s, fd, from.ss_family == AF_UNIX);
                stop_accepting(s); /* the rest wait in the kernel's queue */
                return;
            }
            http_server_adopt(s, fd, from.ss_family == AF_UNIX);
        } else if (errno != EINTR && errno != ECONNABORTED) {
            if (errno == EAGAIN || close_longest_waiting(s))
                return;
            stop_accepting(s); /* no descriptors, no memory: it would be readable again at once */
            if (!s->retry)
                s->retry = ev_timer(s->o.loop, RETRY_MS, accept_again, s);
            return;
        }
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
    s->settings.on_message_complete = on_message;
    if (o->fd >= 0)
        s->accepting = ev_readable(o->loop, o->fd, accept_some, s);
    return s;
}

void http_server_drain(struct http_server *s)
{
    s->draining = true;
    stop_accepting(s);
    for (struct connection *c = s->connections, *next; c; c = next) {
        next = c->next;
        if (c->state == LINGERING || (c->state == READING && !c->scanned.n)) /* between requests */
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
    stop_accepting(s);
    ev_cancel(s->o.loop, s->retry);
    if (s->o.fd >= 0)
        close(s->o.fd);
    free(s);
}
