/* The gateway's front: bytes of a connection, in any pieces, through the HTTP server and the routes.
 *
 * The first byte chooses how the stream is cut and when the engine answers; the rest is what a client sends. However it
 * is cut, the server answers the same; each answer is well-formed; and what it takes for a request's parts is what a
 * second, strict reader of the format takes for them, so no two readers of one stream can be made to see different
 * requests. With FUZZ_SHOW in the environment both ways are printed. */
#include "api/api.h"
#include "base/buf.h"
#include "base/panic.h"
#include "data/json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BODY_MAX = 4096, SENT_MAX = 32 << 10, LOG_MAX = 8 << 20, IDLE_TURNS = 3, PIECES_MAX = 300 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct session {
    struct ev_loop *loop;
    struct api *api;
    struct http_server *server;
    struct str rest; /* not sent yet */
    size_t piece;
    bool later, tokens; /* the engine answers in a later turn; tokens are asked for */
    int fd, idle;
    struct buf seen, replies; /* requests as handed out, and asked of the engine; what came back */
    uint64_t question[64];
    size_t nquestions;
};

/* ---- the engine's side ---- */

static void answer_one(struct session *s, uint64_t id)
{
    static const char *const answers[] = {"{\"status\":202,\"body\":{\"run_id\":\"r\",\"status\":\"queued\"}}",
                                          "{\"status\":422,\"body\":{\"title\":\"no\"}}", "{}", "[", ""};
    if (id % 6 == 5)
        api_engine_lost(s->api);
    else
        api_answer(s->api, id, str_c(answers[id % 6]));
}

static bool ask(void *ctx, uint64_t id, const struct val *request)
{
    struct session *s = ctx;
    buf_addz(&s->seen, "ask ");
    json_write(&s->seen, request, JSON_COMPACT);
    buf_addc(&s->seen, '\n');
    CHECK(request->type == VAL_OBJECT);
    if (s->nquestions == sizeof s->question / sizeof *s->question)
        return false;
    s->question[s->nquestions++] = id;
    return true;
}

static void answer_all(struct session *s)
{
    size_t n = s->nquestions;
    s->nquestions = 0;
    for (size_t i = 0; i < n; i++)
        answer_one(s, s->question[i]);
}

/* ---- the server's side ---- */

static void note(struct session *s, const char *what, struct http_exchange *x)
{
    struct str body = http_body(x), host = http_header(x, "host");
    buf_printf(&s->seen, "%s %.*s|%.*s|%.*s|%.*s|%zu:", what, STR_ARG(http_method(x)), STR_ARG(http_path(x)),
               STR_ARG(http_query(x)), STR_ARG(host), body.n);
    buf_add(&s->seen, body);
    buf_addc(&s->seen, '\n');
}

static struct http_refusal admit(void *ctx, struct http_exchange *x)
{
    CHECK(http_body(x).n == 0);
    return api_admit(((struct session *)ctx)->api, x);
}

static void request(void *ctx, struct http_exchange *x)
{
    struct session *s = ctx;
    CHECK(http_body(x).n <= BODY_MAX);
    note(s, "request", x);
    api_request(s->api, x);
}

/* ---- the client's side ---- */

static void receive(struct session *s)
{
    char room[4096];
    ssize_t n;
    while ((n = recv(s->fd, room, sizeof room, MSG_DONTWAIT)) > 0) {
        buf_add(&s->replies, str_n(room, (size_t)n));
        s->idle = 0;
    }
}

static void turn(void *ctx)
{
    struct session *s = ctx;
    bool full = false;
    if (s->rest.n) {
        size_t n = s->piece < s->rest.n ? s->piece : s->rest.n;
        ssize_t sent = send(s->fd, s->rest.p, n, MSG_NOSIGNAL | MSG_DONTWAIT);
        full = sent < 0 && errno == EAGAIN; /* the server does not read while a request waits for the engine */
        if (sent > 0)
            s->rest = str_from(s->rest, (size_t)sent);
        else if (!full)
            s->rest.n = 0; /* it has hung up */
        s->idle = 0;
    }
    if (s->nquestions && (!s->later || !s->rest.n || full)) {
        answer_all(s);
        s->idle = 0;
    }
    receive(s);
    if (++s->idle > IDLE_TURNS)
        ev_stop(s->loop);
    else
        ev_timer(s->loop, 0, turn, s);
}

static void run(struct session *s, struct str stream, size_t piece)
{
    static struct sha256 token;
    int pair[2];
    token = sha256_of(STR("token"));
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
    s->loop = ev_loop_new();
    s->rest = stream;
    s->piece = piece;
    s->fd = pair[0];
    buf_init(&s->seen, LOG_MAX);
    buf_init(&s->replies, LOG_MAX);
    s->api = api_new(&(struct api_options){
        .loop = s->loop, .db = "/nonexistent/fuzz.db", .tokens = &token, .ntokens = s->tokens, .ask = ask, .ctx = s});
    s->server = http_server_new(&(struct http_server_options){
        .loop = s->loop, .fd = -1, .body_max = BODY_MAX, .admit = admit, .request = request, .ctx = s});
    http_server_adopt(s->server, pair[1], false);
    ev_timer(s->loop, 0, turn, s);
    ev_run(s->loop);
    CHECK(!s->rest.n && s->nquestions == 0 && http_server_open(s->server) <= 1);
    http_server_free(s->server);
    api_free(s->api);
    receive(s);
    close(s->fd);
    ev_loop_free(s->loop);
    CHECK(!s->seen.overflow && !s->replies.overflow);
}

/* ---- what must be true of it ---- */

static size_t length_of(struct str head)
{
    size_t at = str_find(head, STR("\r\nContent-Length: "));
    CHECK(at != SIZE_MAX);
    struct str digits = str_from(head, at + 18);
    int64_t n;
    digits.n = str_find(digits, STR("\r\n"));
    CHECK(str_to_i64(digits, &n) && n >= 0);
    return (size_t)n;
}

/* Whole answers, each with a body of JSON of the length it says; `heads`: how many of them answer HEAD. */
static void check_replies(struct str all, bool heads)
{
    while (all.n) {
        struct arena a = {0};
        struct val v;
        struct err err;
        CHECK(str_starts(all, STR("HTTP/1.1 ")));
        size_t head = str_find(all, STR("\r\n\r\n"));
        CHECK(head != SIZE_MAX);
        bool go_on = str_starts(all, STR("HTTP/1.1 100 "));
        size_t body = go_on ? 0 : length_of(str_n(all.p, head + 2));
        all = str_from(all, head + 4);
        if (heads && (!all.n || str_starts(all, STR("HTTP/1.1 "))))
            continue;
        CHECK(all.n >= body);
        CHECK(go_on || json_parse(&a, str_n(all.p, body), &JSON_LIMITS_DEFAULT, &v, &err) == RC_OK);
        all = str_from(all, body);
        arena_done(&a);
    }
}

static bool is_digits(struct str s, const char *digits)
{
    for (size_t i = 0; i < s.n; i++)
        if (!strchr(digits, s.p[i]) || !s.p[i])
            return false;
    return s.n > 0 && s.n < 10;
}

/* A body in chunks, in the plain form of RFC 9112, without trailers; extensions are skipped. */
static bool read_chunks(struct str *at, struct buf *body)
{
    for (;;) {
        size_t line = str_find(*at, STR("\r\n"));
        if (line == SIZE_MAX)
            return false;
        struct str size = str_n(at->p, line);
        size_t semicolon = str_find(size, STR(";"));
        if (semicolon != SIZE_MAX)
            size.n = semicolon;
        while (size.n && (size.p[size.n - 1] == ' ' || size.p[size.n - 1] == '\t'))
            size.n--;
        if (!is_digits(size, "0123456789abcdefABCDEF"))
            return false;
        char digits[12];
        memcpy(digits, size.p, size.n);
        digits[size.n] = 0;
        size_t n = strtoul(digits, NULL, 16);
        *at = str_from(*at, line + 2);
        if (at->n < n + 2 || memcmp(at->p + n, "\r\n", 2) != 0)
            return false;
        buf_add(body, str_n(at->p, n));
        *at = str_from(*at, n + 2);
        if (!n)
            return true;
    }
}

/* One field of the head: false when it is not of the plain form. */
static bool read_field(struct str line, struct str *name, struct str *value)
{
    size_t colon = str_find(line, STR(":"));
    if (colon == SIZE_MAX || colon == 0)
        return false;
    *name = str_n(line.p, colon);
    *value = str_from(line, colon + 1);
    while (value->n && (value->p[0] == ' ' || value->p[0] == '\t'))
        *value = str_from(*value, 1);
    while (value->n && (value->p[value->n - 1] == ' ' || value->p[value->n - 1] == '\t'))
        value->n--;
    return true;
}

static bool is_name(struct str s, const char *name)
{
    return s.n == strlen(name) && strncasecmp(s.p, name, s.n) == 0;
}

/* The next request of the stream as this reader sees it, written as note() writes it. False: none, or an odd one. */
static bool read_request(struct str *at, struct buf *ret)
{
    size_t end = str_find(*at, STR("\r\n\r\n"));
    struct str head = str_n(at->p, end == SIZE_MAX ? 0 : end + 2), host = STR(""), length = STR(""), coding = STR("");
    size_t line = str_find(head, STR("\r\n"));
    if (end == SIZE_MAX || line == SIZE_MAX)
        return false;
    struct str first = str_n(head.p, line);
    size_t method = str_find(first, STR(" "));
    if (method == SIZE_MAX)
        return false;
    struct str target = str_from(first, method + 1);
    while (target.n && target.p[0] == ' ')
        target = str_from(target, 1);
    size_t space = str_find(target, STR(" "));
    if (space == SIZE_MAX)
        return false;
    target.n = space;
    for (struct str rest = str_from(head, line + 2); rest.n;) {
        struct str name, value;
        size_t n = str_find(rest, STR("\r\n"));
        if (n == SIZE_MAX || !read_field(str_n(rest.p, n), &name, &value))
            return false;
        if (is_name(name, "host"))
            host = value;
        if (is_name(name, "content-length"))
            length = value;
        if (is_name(name, "transfer-encoding"))
            coding = value;
        rest = str_from(rest, n + 2);
    }
    *at = str_from(*at, end + 4);
    struct buf body;
    buf_init(&body, SENT_MAX);
    bool good = true;
    if (coding.n) {
        good = is_name(coding, "chunked") && !length.n && read_chunks(at, &body);
    } else if (length.n) {
        int64_t n;
        good = is_digits(length, "0123456789") && str_to_i64(length, &n) && (size_t)n <= at->n;
        if (good) {
            buf_add(&body, str_n(at->p, (size_t)n));
            *at = str_from(*at, (size_t)n);
        }
    }
    size_t query = str_find(target, STR("?"));
    struct str path = query == SIZE_MAX ? target : str_n(target.p, query);
    struct str m = str_n(first.p, method);
    buf_printf(ret, "request %.*s|%.*s|%.*s|%.*s|%zu:", STR_ARG(str_is(m, "HEAD") ? STR("GET") : m), STR_ARG(path),
               STR_ARG(query == SIZE_MAX ? STR("") : str_from(target, query + 1)), STR_ARG(host), body.n);
    buf_add(ret, buf_str(&body));
    buf_addc(ret, '\n');
    buf_done(&body);
    return good;
}

/* Every request that was handed out is, in order, the one that the other reader finds in the stream. */
static void check_requests(struct str stream, struct str seen)
{
    while (seen.n) {
        if (!str_starts(seen, STR("request "))) {
            size_t n = str_find(seen, STR("\n"));
            CHECK(n != SIZE_MAX);
            seen = str_from(seen, n + 1);
            continue;
        }
        struct buf b;
        buf_init(&b, LOG_MAX);
        while (str_starts(stream, STR("\r\n"))) /* before a request */
            stream = str_from(stream, 2);
        CHECK(read_request(&stream, &b));
        CHECK(str_starts(seen, buf_str(&b)));
        seen = str_from(seen, b.n);
        buf_done(&b);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > SENT_MAX)
        return 0;
    struct str stream = str_n((const char *)data + 1, size - 1);
    bool later = data[0] & 1, tokens = data[0] & 2;
    struct session whole = {.later = later, .tokens = tokens}, pieces = whole;
    run(&whole, stream, SIZE_MAX);
    run(&pieces, stream, (size_t)(data[0] >> 2) % 40 + 1 + stream.n / PIECES_MAX);
    CHECK(str_eq(buf_str(&whole.seen), buf_str(&pieces.seen)));
    if (getenv("FUZZ_SHOW"))
        fprintf(stderr, "%s----\n%s====\n%s----\n%s", whole.seen.p, pieces.seen.p, whole.replies.p, pieces.replies.p);
    CHECK(str_eq(buf_str(&whole.replies), buf_str(&pieces.replies)));
    check_replies(buf_str(&whole.replies), str_find(stream, STR("HEAD ")) != SIZE_MAX);
    check_requests(stream, buf_str(&whole.seen));
    buf_done(&whole.seen);
    buf_done(&whole.replies);
    buf_done(&pieces.seen);
    buf_done(&pieces.replies);
    return 0;
}
