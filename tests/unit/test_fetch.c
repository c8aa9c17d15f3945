/* The network transport against a server, in threads of this process, that sends exactly the bytes it is told and then
 * closes, resets or stays silent. */
#include "base/buf.h"
#include "base/clock.h"
#include "http/fetch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define SECRET "sk-very-secret-key"
#define LIT(text)                 \
    {                             \
        "" text, sizeof(text) - 1 \
    } /* a struct str in a static table */

/* ---- the server ---- */

enum ending { KEEP, FIN, RST, HANG };

struct play { /* what every request gets */
    struct str reply;
    enum ending ending;
    int delay_ms;    /* before the reply; negative: up to that, by chance */
    int pace_ms;     /* between single bytes; 0: all at once */
    size_t at_once;  /* bytes before the pace begins */
    bool echo;       /* the reply's body is the request's (with content-length) */
    int silent_from; /* the n-th request of a connection, from 1, is answered by closing; 0: none */
};

enum { MAX_CLIENTS = 512 };

static struct {
    int listener;
    uint16_t port;
    pthread_t thread;
    pthread_mutex_t lock;
    struct play play;
    int fds[MAX_CLIENTS]; /* of connections; -1: ended */
    int nfds, live, requests, gone;
    char last[8192]; /* request */
    size_t last_n;
} server = {.lock = PTHREAD_MUTEX_INITIALIZER};

static size_t request_size(const char *p, size_t n)
{
    const char *end = memmem(p, n, "\r\n\r\n", 4);
    if (!end)
        return 0;
    const char *length = memmem(p, n, "Content-Length: ", 16);
    size_t size = (size_t)(end - p) + 4 + (length ? strtoul(length + 16, NULL, 10) : 0);
    return n >= size ? size : 0;
}

static bool send_all(int fd, struct str s, int pace_ms)
{
    while (s.n) {
        ssize_t n = send(fd, s.p, pace_ms ? 1 : s.n, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        s = str_from(s, (size_t)n);
        if (pace_ms)
            usleep((useconds_t)pace_ms * 1000);
    }
    return true;
}

static void wait_for_end(int fd)
{
    char c[256];
    while (recv(fd, c, sizeof c, 0) > 0)
        ;
}

/* Answers one request; false when the connection is to end. */
static bool answer(int fd, struct play play, const char *p, size_t n, int nth)
{
    if (play.silent_from && nth >= play.silent_from)
        return false;
    if (play.delay_ms)
        usleep((useconds_t)(play.delay_ms > 0 ? play.delay_ms : (int)(clock_mono_us() * 7919 % -play.delay_ms)) * 1000);
    char head[128];
    struct str reply = play.reply;
    if (play.echo) {
        const char *body = (const char *)memmem(p, n, "\r\n\r\n", 4) + 4;
        reply = str_n(body, (size_t)(p + n - body));
        snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", reply.n);
        if (!send_all(fd, str_c(head), 0))
            return false;
    }
    if (!send_all(fd, str_n(reply.p, play.at_once), 0) || !send_all(fd, str_from(reply, play.at_once), play.pace_ms))
        return false;
    if (play.ending == HANG)
        wait_for_end(fd);
    if (play.ending == RST) {
        struct linger hard = {.l_onoff = 1};
        usleep(2000); /* lets the client read what was sent; a reset may otherwise overtake it */
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    }
    return play.ending == KEEP;
}

static void *client_main(void *ctx)
{
    int slot = (int)(intptr_t)ctx, fd = server.fds[slot];
    char *in = malloc(1 << 20);
    size_t n = 0;
    ssize_t got;
    for (int nth = 1; (got = recv(fd, in + n, (1 << 20) - n, 0)) > 0;) {
        n += (size_t)got;
        size_t size = request_size(in, n);
        if (!size)
            continue;
        pthread_mutex_lock(&server.lock);
        server.requests++;
        server.last_n = size < sizeof server.last ? size : sizeof server.last - 1;
        memcpy(server.last, in, server.last_n);
        server.last[server.last_n] = 0;
        struct play play = server.play;
        pthread_mutex_unlock(&server.lock);
        if (!answer(fd, play, in, size, nth++))
            break;
        n = 0;
    }
    free(in);
    pthread_mutex_lock(&server.lock);
    server.fds[slot] = -1;
    close(fd);
    server.gone++;
    server.live--;
    pthread_mutex_unlock(&server.lock);
    return NULL;
}

static void *accept_main(void *ctx)
{
    (void)ctx;
    for (int fd; (fd = accept(server.listener, NULL, NULL)) >= 0;) {
        pthread_mutex_lock(&server.lock);
        if (server.nfds == MAX_CLIENTS)
            abort();
        int slot = server.nfds++;
        server.fds[slot] = fd;
        server.live++;
        pthread_mutex_unlock(&server.lock);
        pthread_t thread;
        if (pthread_create(&thread, NULL, client_main, (void *)(intptr_t)slot))
            abort();
        pthread_detach(thread);
    }
    return NULL;
}

static int listen_here(uint16_t *port, int backlog)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof addr;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&addr, size), 0);
    assert_int_equal(listen(fd, backlog), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &size), 0);
    *port = ntohs(addr.sin_port);
    return fd;
}

static void server_start(struct play play)
{
    server.play = play;
    server.nfds = server.live = server.requests = server.gone = 0;
    server.listener = listen_here(&server.port, 1024);
    assert_int_equal(pthread_create(&server.thread, NULL, accept_main, NULL), 0);
}

static int server_read(const int *field)
{
    pthread_mutex_lock(&server.lock);
    int value = *field;
    pthread_mutex_unlock(&server.lock);
    return value;
}

static void server_stop(void)
{
    shutdown(server.listener, SHUT_RDWR);
    pthread_join(server.thread, NULL);
    close(server.listener);
    pthread_mutex_lock(&server.lock);
    for (int i = 0; i < server.nfds; i++)
        if (server.fds[i] >= 0)
            shutdown(server.fds[i], SHUT_RDWR);
    pthread_mutex_unlock(&server.lock);
    while (server_read(&server.live))
        usleep(500);
}

/* ---- the client ---- */

enum cancel_at { NEVER, IN_HEAD, IN_DATA };

struct ask {
    uint64_t id;
    enum cancel_at cancel_at;
    uint64_t cancel_other; /* cancelled in done() */
    int chain;             /* more requests to start from done() */
    struct http_request req;

    int heads, status, dones;
    enum rc rc;
    char msg[600], headers[2048];
    struct buf body;
    bool inside; /* start() runs */
};

static struct ev_loop *loop;
static struct transport *transport;
static char url[256];

static struct http_header plain_headers[] = {
    {LIT("Content-Type"), LIT("application/json")},
    {LIT("x-api-key"), LIT(SECRET)},
};

static const struct http_sink sink;

static void ask_start(struct ask *a)
{
    if (!a->req.method.n)
        a->req.method = STR("POST");
    if (!a->req.url.n)
        a->req.url = str_c(url);
    if (!a->req.headers) {
        a->req.headers = plain_headers;
        a->req.nheaders = 2;
    }
    if (!a->body.max)
        buf_init(&a->body, 1 << 24);
    a->inside = true;
    a->id = transport->ops->start(transport, &a->req, NULL, &sink, a);
    a->inside = false;
    assert_true(a->id != 0);
}

static void on_head(void *ctx, int status, const struct http_header *headers, size_t n)
{
    struct ask *a = ctx;
    assert_false(a->inside);
    assert_int_equal(a->heads++, 0);
    a->status = status;
    size_t used = 0;
    for (size_t i = 0; i < n && used < sizeof a->headers; i++)
        used += (size_t)snprintf(a->headers + used, sizeof a->headers - used, "%.*s=%.*s;", STR_ARG(headers[i].name),
                                 STR_ARG(headers[i].value));
    if (a->cancel_at == IN_HEAD)
        transport->ops->cancel(transport, a->id);
}

static void on_data(void *ctx, struct str chunk)
{
    struct ask *a = ctx;
    assert_int_equal(a->heads, 1);
    assert_true(a->cancel_at != IN_HEAD && chunk.n);
    buf_add(&a->body, chunk);
    if (a->cancel_at == IN_DATA)
        transport->ops->cancel(transport, a->id);
}

static void on_done(void *ctx, enum rc rc, const struct err *err)
{
    struct ask *a = ctx;
    assert_false(a->inside);
    assert_true(a->cancel_at == NEVER);
    a->dones++;
    a->rc = rc;
    snprintf(a->msg, sizeof a->msg, "%s", rc ? err->msg : "");
    assert_null(strstr(a->msg, SECRET));
    transport->ops->cancel(transport, a->id); /* too late: harmless */
    if (a->cancel_other)
        transport->ops->cancel(transport, a->cancel_other);
    if (a->chain-- > 0) {
        a->heads = 0;
        ask_start(a);
    }
}

static const struct http_sink sink = {on_head, on_data, on_done};

static void open_client(void)
{
    loop = ev_loop_new();
    transport = fetch_new(loop, &(struct fetch_options){.shards = 4});
    snprintf(url, sizeof url, "http://127.0.0.1:%d/v1/x?key=" SECRET, server.port);
}

static void close_client(void)
{
    transport->ops->free(transport);
    ev_loop_free(loop);
}

/* One exchange from beginning to end. The caller frees a->body. */
static void exchange(struct ask *a)
{
    open_client();
    ask_start(a);
    ev_run(loop); /* ends by itself: idle connections do not keep it */
    close_client();
    assert_int_equal(a->dones, a->cancel_at ? 0 : 1);
}

static void against(struct play play, struct ask *a)
{
    server_start(play);
    exchange(a);
    server_stop();
}

#define assert_body(a, text)                    \
    do {                                        \
        buf_addc(&(a)->body, 0);                \
        assert_string_equal((a)->body.p, text); \
        buf_done(&(a)->body);                   \
    } while (0)

/* ---- whole replies ---- */

static const char chunked[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nX-Request-ID:  r1 \r\n"
                              "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n7;x=y\r\n, world\r\n0\r\n\r\n";
static const char sized[] = "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nhello, world";

static void replies_arrive_whole(void **state)
{
    (void)state;
    static const struct {
        const char *reply;
        enum ending ending;
        int pace_ms, status;
        const char *headers, *body;
    } cases[] = {
        {chunked, KEEP, 0, 200, "content-type=text/event-stream;x-request-id=r1;transfer-encoding=chunked;",
         "hello, world"},
        {chunked, KEEP, 1, 200, "content-type=text/event-stream;x-request-id=r1;transfer-encoding=chunked;",
         "hello, world"},
        {sized, FIN, 0, 200, "content-length=12;", "hello, world"},
        {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nA: b\r\n"
         "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nTrailer: t\r\n\r\n",
         KEEP, 0, 200, "a=b;transfer-encoding=chunked;", "x"},
        {"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 2\r\n\r\nno", KEEP, 0, 302,
         "location=http://127.0.0.1:1/;content-length=2;", "no"},
        {"HTTP/1.1 529 Overloaded\r\nRetry-After: 3\r\nContent-Length: 0\r\n\r\n", KEEP, 0, 529,
         "retry-after=3;content-length=0;", ""},
        {"HTTP/1.0 200 OK\r\n\r\nto the end", FIN, 0, 200, "", "to the end"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ask a = {.req.body = STR("{}")};
        against((struct play){.reply = str_c(cases[i].reply), .ending = cases[i].ending, .pace_ms = cases[i].pace_ms},
                &a);
        assert_string_equal(a.msg, "");
        assert_int_equal(a.rc, RC_OK);
        assert_int_equal(a.status, cases[i].status);
        assert_string_equal(a.headers, cases[i].headers);
        assert_body(&a, cases[i].body);
        assert_int_equal(server.requests, 1);
    }
}

static void requests_arrive_as_asked(void **state)
{
    (void)state;
    char *large = malloc(200001);
    memset(large, 'x', 200000);
    large[200000] = 0;
    struct http_header headers[] = {{STR("content-type"), STR("a/b")}, {STR("x-empty"), STR("")}};
    struct ask a = {.req = {.body = STR("{\"a\":\0"
                                        "1}"),
                            .headers = headers,
                            .nheaders = 2}};
    a.req.body = str_n("{\"a\":\0"
                       "1}",
                       8);
    against((struct play){.reply = str_c(sized)}, &a);
    buf_done(&a.body);
    assert_ptr_equal(strstr(server.last, "POST /v1/x?key=" SECRET " HTTP/1.1\r\nHost: 127.0.0.1:"), server.last);
    assert_non_null(strstr(server.last, "\r\ncontent-type: a/b\r\n"));
    assert_non_null(strstr(server.last, "\r\nx-empty:\r\n"));
    assert_null(strcasestr(server.last, "expect"));
    assert_null(strcasestr(server.last, "encoding"));
    assert_memory_equal(server.last + server.last_n - 8, a.req.body.p, 8);

    struct ask b = {.req = {.method = STR("GET")}};
    against((struct play){.reply = str_c(sized)}, &b);
    assert_body(&b, "hello, world");
    assert_ptr_equal(strstr(server.last, "GET /"), server.last);
    assert_null(strcasestr(server.last, "content-length"));

    struct ask d = {.req = {.method = STR("DELETE")}};
    against((struct play){.reply = str_c(sized)}, &d);
    assert_body(&d, "hello, world");
    assert_ptr_equal(strstr(server.last, "DELETE /"), server.last);

    struct ask c = {.req.body = str_c(large)};
    against((struct play){.echo = true}, &c);
    assert_int_equal(c.rc, RC_OK);
    assert_body(&c, large);
    free(large);
}

/* ---- broken ones ---- */

/* At every byte; but for the last one of the chunked reply: libcurl takes "0 CRLF CR" for the end, and all is there. */
static void a_cut_reply_is_never_whole(void **state)
{
    (void)state;
    static const char *const replies[] = {chunked, sized};
    for (size_t i = 0; i < 2; i++)
        for (int ending = FIN; ending <= RST; ending++) {
            size_t n = strlen(replies[i]) - (replies[i] == chunked);
            server_start((struct play){0});
            for (size_t cut = 0; cut < n; cut++) {
                struct ask a = {.req.body = STR("{}")};
                pthread_mutex_lock(&server.lock);
                server.play = (struct play){.reply = str_n(replies[i], cut), .ending = (enum ending)ending};
                pthread_mutex_unlock(&server.lock);
                exchange(&a);
                buf_done(&a.body);
                if (a.rc != RC_NETWORK)
                    fail_msg("cut after %zu of %zu: %s %s", cut, n, rc_name(a.rc), a.msg);
            }
            assert_int_equal(server_read(&server.requests), (int)n); /* each was sent once */
            server_stop();
        }
}

static void a_request_is_sent_once_even_if_a_kept_connection_dies(void **state)
{
    (void)state;
    struct ask a = {.req.body = STR("{}"), .chain = 1};
    server_start((struct play){.reply = str_c(sized), .silent_from = 2});
    open_client();
    ask_start(&a);
    ev_run(loop);
    close_client();
    buf_done(&a.body);
    assert_int_equal(a.dones, 2);
    assert_int_equal(a.rc, RC_NETWORK);
    assert_non_null(strstr(a.msg, "closed the connection without a reply"));
    assert_int_equal(server_read(&server.requests), 2);
    server_stop();
}

static void failures_say_what_and_where(void **state)
{
    (void)state;
    static const struct {
        const char *reply;
        enum ending ending;
        struct http_request req;
        enum rc rc;
        const char *says;
    } cases[] = {
        {"",
         FIN,
         {.url = LIT("http://127.0.0.1:1/x?" SECRET)},
         RC_NETWORK,
         "could not connect to http://127.0.0.1:1 (connection refused)"},
        {"", FIN, {.url = LIT("http://[::1]:1/x")}, RC_NETWORK, "could not connect to http://[::1]:1 ("},
        {"",
         FIN,
         {.url = LIT("https://user:" SECRET "@127.0.0.1:1/")},
         RC_NETWORK,
         "could not connect to https://127.0.0.1:1 (connection refused)"},
        {"",
         FIN,
         {.url = LIT("http://no-such-host.invalid/")},
         RC_NETWORK,
         "the host of http://no-such-host.invalid has no address"},
        {"", FIN, {.url = LIT("ftp://127.0.0.1/x")}, RC_INVALID, "no http:// or https:// URL"},
        {"", FIN, {.url = LIT("file:///etc/passwd")}, RC_INVALID, "no http:// or https:// URL"},
        {"", FIN, {.url = LIT("127.0.0.1")}, RC_INVALID, "no http:// or https:// URL"},
        {"", FIN, {.url = LIT("http://a\0b/")}, RC_INVALID, "is no URL"},
        {"", FIN, {.method = LIT("GET /\r\nx: y")}, RC_INVALID, "the method of the request"},
        {"", FIN, {.timeout_ms = 0}, RC_NETWORK, "closed the connection without a reply"},
        {"",
         RST,
         {.timeout_ms = 0},
         RC_NETWORK,
         "broke while its reply was read (recv failure: connection reset by peer)"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n",
         FIN,
         {.timeout_ms = 0},
         RC_NETWORK,
         "in the middle of its reply"},
        {"SSH-2.0-OpenSSH\r\n", FIN, {.timeout_ms = 0}, RC_NETWORK, "does not speak HTTP/1.1"},
        {sized, KEEP, {.max_reply = 11}, RC_LIMIT, "has more than 11 bytes"},
        {"", HANG, {.idle_timeout_ms = 40}, RC_TIMEOUT, "sent nothing for 40 ms"},
        {"HTTP/1.1 200 OK\r\n", HANG, {.idle_timeout_ms = 40}, RC_TIMEOUT, "sent nothing for 40 ms"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
         HANG,
         {.idle_timeout_ms = 40},
         RC_TIMEOUT,
         "sent nothing for 40 ms"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
         HANG,
         {.timeout_ms = 40},
         RC_TIMEOUT,
         "no complete reply of http://127.0.0.1:"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ask a = {.req = cases[i].req};
        int64_t start = clock_mono_ms();
        against((struct play){.reply = str_c(cases[i].reply), .ending = cases[i].ending}, &a);
        buf_done(&a.body);
        if (a.rc != cases[i].rc || !strcasestr(a.msg, cases[i].says))
            fail_msg("case %zu: %s: %s", i, rc_name(a.rc), a.msg);
        if (a.rc == RC_TIMEOUT)
            assert_in_range(clock_mono_ms() - start, 38, 2000);
    }
}

static void a_header_cannot_smuggle_another(void **state)
{
    (void)state;
    struct http_header bad[] = {
        {STR("x"), STR("a\r\nx-evil: 1")}, {STR("x\r\ny"), STR("a")}, {STR("x: y"), STR("a")}, {STR(""), STR("a")},
        {STR("x"), STR("a\nb")},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct ask a = {.req = {.headers = &bad[i], .nheaders = 1}};
        against((struct play){.reply = str_c(sized)}, &a);
        buf_done(&a.body);
        assert_int_equal(a.rc, RC_INVALID);
        assert_int_equal(server.requests, 0);
    }
}

static void a_flood_of_headers_is_stopped(void **state)
{
    (void)state;
    struct buf reply;
    buf_init(&reply, 1 << 24);
    buf_addz(&reply, "HTTP/1.1 200 OK\r\n");
    for (int i = 0; i < 6000; i++)
        buf_printf(&reply, "x-%d: 0123456789012345678901234567890123456789012345678901234567890\r\n", i);
    buf_addz(&reply, "\r\n");
    struct ask a = {0};
    against((struct play){.reply = buf_str(&reply), .ending = FIN}, &a);
    buf_done(&reply);
    buf_done(&a.body);
    assert_int_equal(a.rc, RC_LIMIT);
    assert_int_equal(a.heads, 0);
}

/* A byte now and then is life, but not for longer than the whole may take. */
static void trickles_live_until_the_whole_timeout(void **state)
{
    (void)state;
    static const char head[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", chunk[] = "1\r\na\r\n";
    struct buf reply;
    buf_init(&reply, 4096);
    buf_addz(&reply, head);
    for (int i = 0; i < 9; i++)
        buf_addz(&reply, chunk);
    buf_addz(&reply, "0\r\n\r\n");
    struct play play = {.reply = buf_str(&reply), .at_once = strlen(head), .pace_ms = 10}; /* 590 ms at least */
    struct ask a = {.req = {.idle_timeout_ms = 400}};
    int64_t start = clock_mono_ms();
    against(play, &a);
    assert_string_equal(a.msg, "");
    assert_body(&a, "aaaaaaaaa");
    assert_true(clock_mono_ms() - start > 400);
    struct ask b = {.req = {.idle_timeout_ms = 400, .timeout_ms = 450}};
    start = clock_mono_ms();
    against(play, &b);
    buf_done(&b.body);
    buf_done(&reply);
    assert_non_null(strstr(b.msg, "no complete reply"));
    assert_int_equal(b.rc, RC_TIMEOUT);
    assert_in_range(clock_mono_ms() - start, 448, 2000);
}

static void connecting_times_out(void **state)
{
    (void)state;
    uint16_t port;
    int listener = listen_here(&port, 0), fill[8];
    struct sockaddr_in addr = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    for (int i = 0; i < 8; i++) { /* a full queue: further SYNs are dropped */
        fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        connect(fill[i], (struct sockaddr *)&addr, sizeof addr);
    }
    usleep(10000);
    char where[64];
    snprintf(where, sizeof where, "http://127.0.0.1:%d/", port);
    struct ask a = {.req = {.url = str_c(where), .connect_timeout_ms = 80}};
    int64_t start = clock_mono_ms();
    exchange(&a);
    buf_done(&a.body);
    assert_int_equal(a.rc, RC_TIMEOUT);
    assert_non_null(strstr(a.msg, "could not connect to http://127.0.0.1:"));
    assert_in_range(clock_mono_ms() - start, 70, 2000);
    for (int i = 0; i < 8; i++)
        close(fill[i]);
    close(listener);
}

/* ---- cancelling ---- */

static void wait_for_requests(int n)
{
    for (int i = 0; i < 2000 && server_read(&server.requests) < n; i++)
        usleep(1000);
    assert_int_equal(server_read(&server.requests), n);
}

static void stop_loop(void *ctx)
{
    (void)ctx;
    ev_stop(loop);
}

static void turn_for(int64_t ms)
{
    ev_timer(loop, ms, stop_loop, NULL);
    ev_run(loop);
}

/* on_done() fails for whoever asked to be cancelled; the server must see the connection end. */
static void cancel_works_in_every_phase(void **state)
{
    (void)state;
    static const struct play hangs[] = {
        {.reply = LIT(""), .ending = HANG},
        {.reply = LIT("HTTP/1.1 200 OK\r\n"), .ending = HANG},
        {.reply = LIT("HTTP/1.1 200 OK\r\n\r\nabc"), .ending = HANG},
    };
    for (size_t i = 0; i < 3; i++) { /* at once, on the way, in the middle */
        for (int64_t ms = 0; ms <= 20; ms += 5) {
            struct ask a = {.req.body = STR("{}")};
            server_start(hangs[i]);
            open_client();
            ask_start(&a);
            if (ms)
                turn_for(ms);
            transport->ops->cancel(transport, a.id);
            transport->ops->cancel(transport, a.id);
            ev_run(loop);
            assert_int_equal(a.dones, 0);
            for (int k = 0; k < 2000 && server_read(&server.live); k++)
                usleep(1000);
            assert_int_equal(server_read(&server.live), 0);
            close_client();
            server_stop();
            buf_done(&a.body);
        }
    }
    for (int at = IN_HEAD; at <= IN_DATA; at++) {
        struct ask a = {.cancel_at = (enum cancel_at)at};
        against((struct play){.reply = str_c(chunked)}, &a);
        assert_int_equal(a.heads, 1);
        buf_done(&a.body);
    }
}

static void a_callback_cancels_another_request(void **state)
{
    (void)state;
    struct ask first = {.req.body = STR("one")}, other = {.req.body = STR("two")};
    server_start((struct play){.echo = true, .delay_ms = 5});
    open_client();
    ask_start(&first);
    ask_start(&other);
    first.cancel_other = other.id;
    other.cancel_other = first.id;
    ev_run(loop);
    assert_int_equal(first.dones + other.dones, 1); /* whoever came first */
    close_client();
    server_stop();
    buf_done(&first.body);
    buf_done(&other.body);
}

static void cancel_while_the_name_is_looked_up_and_free_with_requests(void **state)
{
    (void)state;
    char where[64];
    struct ask a = {0}, b = {0}, c = {0}, d = {.req.url = STR("bad")};
    server_start((struct play){.ending = HANG});
    open_client();
    snprintf(where, sizeof where, "http://localhost:%d/", server.port);
    a.req.url = b.req.url = str_c(where);
    ask_start(&a);
    transport->ops->cancel(transport, a.id);
    ask_start(&b);
    ask_start(&c);
    ask_start(&d);
    close_client(); /* a lookup, a transfer and a failure on the way */
    assert_int_equal(a.dones + b.dones + c.dones + d.dones, 0);
    open_client();
    ask_start(&c);
    for (int i = 0; i < 2000 && server_read(&server.requests) < 1; i++)
        turn_for(1);
    close_client(); /* in the middle of an exchange */
    wait_for_requests(1);
    server_stop();
    assert_int_equal(c.dones, 0);
    buf_done(&a.body);
    buf_done(&b.body);
    buf_done(&c.body);
    buf_done(&d.body);
}

/* ---- many ---- */

static void names_are_resolved_and_connections_reused(void **state)
{
    (void)state;
    char where[64];
    struct addrinfo *found = NULL;
    if (getaddrinfo("localhost", NULL, NULL, &found) != 0) {
        print_message("SKIPPED: this machine does not know `localhost` (no /etc/hosts)\n");
        skip();
    }
    freeaddrinfo(found);
    struct ask a = {.chain = 9, .req.body = STR("x")};
    server_start((struct play){.echo = true});
    open_client();
    snprintf(where, sizeof where, "http://localhost:%d/", server.port);
    a.req.url = str_c(where);
    ask_start(&a);
    ev_run(loop);
    close_client();
    server_stop();
    assert_int_equal(a.dones, 10);
    assert_string_equal(a.msg, "");
    assert_body(&a, "xxxxxxxxxx");
    assert_int_equal(server.nfds, 1);
    assert_int_equal(server.requests, 10);
}

static void many_at_once_keep_their_replies_apart(void **state)
{
    (void)state;
    enum { MANY = 200, EACH = 4 };
    static struct ask asks[MANY];
    static char bodies[MANY][16];
    memset(asks, 0, sizeof asks);
    server_start((struct play){.echo = true, .delay_ms = -30});
    open_client();
    for (int i = 0; i < MANY; i++) {
        snprintf(bodies[i], sizeof bodies[i], "<%d>", i);
        asks[i].req.body = str_c(bodies[i]);
        asks[i].chain = EACH - 1;
        ask_start(&asks[i]);
    }
    ev_run(loop);
    close_client();
    server_stop();
    for (int i = 0; i < MANY; i++) {
        char expected[64];
        snprintf(expected, sizeof expected, "<%d><%d><%d><%d>", i, i, i, i);
        assert_string_equal(asks[i].msg, "");
        assert_int_equal(asks[i].dones, EACH);
        assert_body(&asks[i], expected);
    }
    assert_int_equal(server.requests, MANY * EACH);
    assert_true(server.nfds <= MANY + 20);
}

int main(void)
{
    alarm(120);
    unsetenv("HTTPS_PROXY");
    unsetenv("https_proxy");
    setenv("http_proxy", "http://127.0.0.1:1", 1); /* must not matter */
    setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replies_arrive_whole),
        cmocka_unit_test(requests_arrive_as_asked),
        cmocka_unit_test(a_cut_reply_is_never_whole),
        cmocka_unit_test(a_request_is_sent_once_even_if_a_kept_connection_dies),
        cmocka_unit_test(failures_say_what_and_where),
        cmocka_unit_test(a_header_cannot_smuggle_another),
        cmocka_unit_test(a_flood_of_headers_is_stopped),
        cmocka_unit_test(trickles_live_until_the_whole_timeout),
        cmocka_unit_test(connecting_times_out),
        cmocka_unit_test(cancel_works_in_every_phase),
        cmocka_unit_test(a_callback_cancels_another_request),
        cmocka_unit_test(cancel_while_the_name_is_looked_up_and_free_with_requests),
        cmocka_unit_test(names_are_resolved_and_connections_reused),
        cmocka_unit_test(many_at_once_keep_their_replies_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
