/* The HTTP server over real sockets: what it takes, what it refuses and how it says so, and who is closed for whom. */
#include "http/chunks.h"
#include "http/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { BODY_MAX = 1000, CONNECTIONS = 8 };

static struct fixture {
    struct ev_loop *loop;
    struct http_server *server;
    struct sockaddr_in address;
    struct buf seen; /* "METHOD path?query [body]" of each request */
    struct http_refusal refusal;
    struct http_exchange *held; /* requests to /hold are answered later */
} f;

static void stop(void *ctx)
{
    (void)ctx;
    ev_stop(f.loop);
}

/* Some turns of the loop, so that what was sent is handled. */
static void turn(void)
{
    for (int i = 0; i < 4; i++) {
        ev_timer(f.loop, 0, stop, NULL);
        ev_run(f.loop);
    }
}

static struct http_refusal admit(void *ctx, struct http_exchange *x)
{
    (void)ctx;
    if (f.refusal.status == 401)
        http_answer_header(x, "WWW-Authenticate", "Bearer");
    return f.refusal;
}

static void request(void *ctx, struct http_exchange *x)
{
    (void)ctx;
    buf_printf(&f.seen, "%.*s %.*s?%.*s [%.*s]\n", STR_ARG(http_method(x)), STR_ARG(http_path(x)),
               STR_ARG(http_query(x)), STR_ARG(http_body(x)));
    if (str_is(http_path(x), "/hold"))
        f.held = x;
    else
        http_reply(x, 200, "text/plain", STR("good"));
}

static int setup(void **state)
{
    (void)state;
    f = (struct fixture){.loop = ev_loop_new()};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    f.address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof f.address;
    assert_true(bind(fd, (struct sockaddr *)&f.address, n) == 0 && listen(fd, 100) == 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&f.address, &n), 0);
    buf_init(&f.seen, 1 << 20);
    f.server = http_server_new(&(struct http_server_options){.loop = f.loop,
                                                             .fd = fd,
                                                             .body_max = BODY_MAX,
                                                             .connections = CONNECTIONS,
                                                             .admit = admit,
                                                             .request = request});
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    http_server_free(f.server);
    ev_loop_free(f.loop);
    buf_done(&f.seen);
    return 0;
}

static int client(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&f.address, sizeof f.address), 0);
    turn();
    return fd;
}

static void say(int fd, const char *text, size_t n)
{
    while (n) {
        ssize_t sent = send(fd, text, n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent > 0)
            text += sent, n -= (size_t)sent;
        else
            assert_int_equal(errno, EAGAIN);
        turn();
    }
}

/* What has come back, to the end if the server closed; `*closed` says whether it did. */
static const char *heard(int fd, bool *closed)
{
    static char room[1 << 16];
    size_t n = 0;
    *closed = false;
    turn();
    for (;;) {
        ssize_t got = recv(fd, room + n, sizeof room - 1 - n, MSG_DONTWAIT);
        *closed = got == 0;
        if (got <= 0)
            break;
        n += (size_t)got;
    }
    room[n] = 0;
    return room;
}

#define HOST     "Host: localhost\r\n"
#define LONG_100 "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"

static const struct exchange_case {
    const char *what, *sent, *status, *seen; /* seen: NULL when the handler must not see it */
    bool closed;
} cases[] = {
    {"plain", "GET /a?b HTTP/1.1\r\n" HOST "\r\n", "200", "GET /a?b []\n", false},
    {"HEAD is a GET", "HEAD /a HTTP/1.1\r\n" HOST "\r\n", "200", "GET /a? []\n", false},
    {"a body", "POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", "200", "POST /a? [abc]\n", false},
    {"any bytes in it", "POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\na\rb", "200", "POST /a? [a\rb]\n", false},
    {"chunks", "POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nab\r\n1 \r\nc\r\n0\r\n\r\n", "200",
     "POST /a? [abc]\n", false},
    {"one empty line before", "\r\nGET /a HTTP/1.1\r\n" HOST "\r\n", "200", "GET /a? []\n", false},
    {"two", "\r\n\r\nGET /a HTTP/1.1\r\n" HOST "\r\n", "400", NULL, true},
    {"HTTP/1.0 ends", "GET /a HTTP/1.0\r\n\r\n", "200", "GET /a? []\n", true},
    {"on request too", "GET /a HTTP/1.1\r\nConnection: close\r\n\r\n", "200", "GET /a? []\n", true},
    {"no request", "what?\r\n\r\n", "400", NULL, true},
    {"HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", NULL, NULL, true},
    {"a version to come", "GET / HTTP/1.2\r\n\r\n", NULL, NULL, true},
    {"LF alone", "GET /a HTTP/1.1\nHost: a\n\n", "400", NULL, true},
    {"CR alone", "GET /a HTTP/1.1\r\nHost: a\rX: b\r\n\r\n", "400", NULL, true},
    {"a folded line", "GET /a HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", "400", NULL, true},
    {"a field without a name", "GET /a HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", "400", NULL, true},
    {"a space before the colon", "GET /a HTTP/1.1\r\nHost : a\r\n\r\n", "400", NULL, true},
    {"two hosts", "GET /a HTTP/1.1\r\n" HOST "host: b\r\n\r\n", "400", NULL, true},
    {"two lengths", "POST /a HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "400", NULL, true},
    {"length and chunks", "POST /a HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400",
     NULL, true},
    {"another coding", "POST /a HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "501", NULL, true},
    {"two codings", "POST /a HTTP/1.1\r\nTransfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "501",
     NULL, true},
    {"trailers", "POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nHost: b\r\n\r\n", "400", NULL, true},
    {"a chunk without CR", "POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nat\n0\r\n\r\n", "400", NULL,
     true},
    {"a negative chunk", "POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n\r\n", "400", NULL, true},
    {"a huge chunk",
     "POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n7fffffff\r\n" LONG_100 LONG_100 LONG_100 LONG_100 LONG_100
         LONG_100 LONG_100 LONG_100 LONG_100 LONG_100 "x",
     "413", NULL, true},
    {"a large body", "POST /a HTTP/1.1\r\nContent-Length: 1001\r\n\r\n", "413", NULL, true},
    {"another expectation", "POST /a HTTP/1.1\r\nExpect: more\r\nContent-Length: 3\r\n\r\n", "417", NULL, true},
};

/* In one piece and byte by byte: the same. */
static void test_exchanges(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int bytewise = 0; bytewise < 2; bytewise++) {
            const struct exchange_case *c = &cases[i];
            bool closed;
            char wanted[40];
            int fd = client();
            buf_clear(&f.seen);
            for (size_t at = 0; bytewise && at < strlen(c->sent); at++)
                say(fd, c->sent + at, 1);
            if (!bytewise)
                say(fd, c->sent, strlen(c->sent));
            const char *got = heard(fd, &closed);
            snprintf(wanted, sizeof wanted, "HTTP/1.1 %s ", c->status ? c->status : "");
            if (strncmp(got, wanted, c->status ? strlen(wanted) : 9) != 0)
                fail_msg("%s (%d): %s", c->what, bytewise, got);
            if (closed != c->closed)
                fail_msg("%s (%d): closed: %d", c->what, bytewise, closed);
            if (!str_is(buf_str(&f.seen), c->seen ? c->seen : ""))
                fail_msg("%s (%d): seen: %s", c->what, bytewise, f.seen.p);
            close(fd);
            turn();
        }
    assert_int_equal(http_server_open(f.server), 0);
}

static size_t count(const char *text, const char *what)
{
    size_t n = 0;
    for (const char *at = text; (at = strstr(at, what)); at++)
        n++;
    return n;
}

/* As many as fit into one piece: answered in order, from a flat stack. */
static void test_pipelined(void **state)
{
    (void)state;
    enum { N = 700 };
    static char text[N * 40];
    size_t n = 0;
    bool closed;
    for (int i = 0; i < N; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "GET /%d HTTP/1.1\r\n\r\n", i);
    int fd = client();
    say(fd, text, n);
    size_t answers = 0;
    for (int i = 0; i < 2 * N && answers < N; i++)
        answers += count(heard(fd, &closed), "HTTP/1.1 200 OK");
    assert_int_equal(answers, N);
    assert_non_null(strstr(f.seen.p, "GET /0? []\nGET /1? []\nGET /2? []\n"));
    assert_non_null(strstr(f.seen.p, "GET /698? []\nGET /699? []\n"));
    close(fd);
}

static void test_refused_by_the_head(void **state)
{
    (void)state;
    bool closed;
    int fd = client();
    f.refusal = (struct http_refusal){401, "no"};
    static const char head[] = "POST /a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 900\r\n\r\n";
    say(fd, head, strlen(head)); /* no byte of the body is waited for */
    const char *got = heard(fd, &closed);
    assert_true(strncmp(got, "HTTP/1.1 401 ", 13) == 0);
    assert_non_null(strstr(got, "\r\nWWW-Authenticate: Bearer\r\n"));
    assert_non_null(strstr(got, "\"detail\":\"no\"}"));
    assert_null(strstr(got, "100 Continue"));
    assert_true(closed && !f.seen.n);
    /* What it sends all the same is thrown away; a reset would take the answer from it. */
    static char body[900];
    assert_int_equal(send(fd, body, sizeof body, MSG_NOSIGNAL), sizeof body);
    turn();
    int error = 0;
    socklen_t n = sizeof error;
    assert_true(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n) == 0 && error == 0);
    assert_int_equal(http_server_open(f.server), 1);
    close(fd);
    turn();
    assert_int_equal(http_server_open(f.server), 0);
}

static void test_leave_to_send(void **state)
{
    (void)state;
    bool closed;
    int fd = client();
    static const char head[] = "POST /a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    say(fd, head, strlen(head));
    assert_string_equal(heard(fd, &closed), "HTTP/1.1 100 Continue\r\n\r\n");
    say(fd, "ab", 2);
    assert_true(strncmp(heard(fd, &closed), "HTTP/1.1 200 ", 13) == 0);
    assert_string_equal(f.seen.p, "POST /a? [ab]\n");
    close(fd);
}

static bool is_closed(int fd)
{
    char c;
    return recv(fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) == 0 || errno == ECONNRESET;
}

/* The connections are all taken by clients that say nothing, or only half of something: the longest waiting go. */
static void test_idle_ones_make_room(void **state)
{
    (void)state;
    int fds[3 * CONNECTIONS];
    bool closed;
    int held = client();
    say(held, "GET /hold HTTP/1.1\r\n\r\n", 22);
    assert_non_null(f.held);
    for (size_t i = 0; i < 3 * CONNECTIONS; i++) {
        fds[i] = client();
        if (i % 2)
            say(fds[i], "GET /a HT", 9);
    }
    assert_int_equal(http_server_open(f.server), CONNECTIONS);
    size_t gone = 0;
    for (size_t i = 0; i < 3 * CONNECTIONS; i++)
        gone += is_closed(fds[i]);
    assert_int_equal(gone, 3 * CONNECTIONS - (CONNECTIONS - 1));
    assert_false(is_closed(fds[3 * CONNECTIONS - 1]));
    int honest = client();
    say(honest, "GET /b HTTP/1.1\r\n\r\n", 19);
    assert_true(strncmp(heard(honest, &closed), "HTTP/1.1 200 ", 13) == 0);
    /* Who waits for an answer is not idle. */
    http_reply(f.held, 200, "text/plain", STR("at last"));
    assert_non_null(strstr(heard(held, &closed), "at last"));
    for (size_t i = 0; i < 3 * CONNECTIONS; i++)
        close(fds[i]);
    close(held);
    close(honest);
}

/* All are at work: more wait in the kernel, and are served when one ends. */
static void test_all_at_work(void **state)
{
    (void)state;
    int fds[CONNECTIONS + 2];
    struct http_exchange *held[CONNECTIONS + 2];
    bool closed;
    for (size_t i = 0; i < CONNECTIONS + 1; i++) { /* one above: it was accepted to see that there is no room */
        fds[i] = client();
        f.held = NULL;
        say(fds[i], "GET /hold HTTP/1.1\r\nConnection: close\r\n\r\n", 41);
        held[i] = f.held;
        assert_non_null(held[i]);
    }
    fds[CONNECTIONS + 1] = client();
    say(fds[CONNECTIONS + 1], "GET /b HTTP/1.1\r\n\r\n", 19);
    assert_string_equal(heard(fds[CONNECTIONS + 1], &closed), "");
    for (size_t i = 0; i < 2; i++) {
        http_reply(held[i], 200, "text/plain", STR(""));
        turn();
    }
    assert_true(strncmp(heard(fds[CONNECTIONS + 1], &closed), "HTTP/1.1 200 ", 13) == 0);
    for (size_t i = 2; i < CONNECTIONS + 1; i++)
        http_reply(held[i], 200, "text/plain", STR(""));
    for (size_t i = 0; i < CONNECTIONS + 2; i++)
        close(fds[i]);
}

/* No descriptor is left for a new connection: no busy loop, and it is served when there is one. */
static void test_no_descriptors(void **state)
{
    (void)state;
    int hoard[200];
    size_t n = 0;
    bool closed;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct rlimit before, few;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = before;
    few.rlim_cur = 200;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    while (n < 200 && (hoard[n] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
        n++;
    assert_true(n > 0 && errno == EMFILE);
    assert_int_equal(connect(fd, (struct sockaddr *)&f.address, sizeof f.address), 0);
    say(fd, "GET /b HTTP/1.1\r\n\r\n", 19);
    assert_int_equal(http_server_open(f.server), 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    while (n)
        close(hoard[--n]);
    ev_timer(f.loop, 300, stop, NULL);
    ev_run(f.loop);
    assert_true(strncmp(heard(fd, &closed), "HTTP/1.1 200 ", 13) == 0);
    close(fd);
}

static void test_chunks_at_every_split(void **state)
{
    (void)state;
    struct str all = STR("4;name=\"v\"\r\nabcd\r\n0a\r\n0123456789\r\n0\r\n\r\nrest");
    for (size_t split = 0; split <= all.n - 4; split++) {
        struct chunks c = {0};
        struct buf b;
        size_t used, more;
        buf_init(&b, 100);
        enum chunks_end end = chunks_feed(&c, str_n(all.p, split), &used, &b);
        assert_int_equal(end, split == all.n - 4 ? CHUNKS_WHOLE : CHUNKS_MORE);
        assert_int_equal(used, split);
        if (end == CHUNKS_MORE) {
            assert_int_equal(chunks_feed(&c, str_from(all, split), &more, &b), CHUNKS_WHOLE);
            assert_int_equal(used + more, all.n - 4);
        }
        assert_string_equal(b.p, "abcd0123456789");
        buf_done(&b);
    }
}

static void test_chunks_that_are_none(void **state)
{
    (void)state;
    static const char *const wrong[] = {"\r\n",         "g\r\n",       "1\n",           "1\r1",    "1\r\nab",
                                        "1\r\na\n",     "1\r\na\rb",   "0\r\nA: b\r\n", "0\r\n\n", "123456789\r\n",
                                        "1;\0x\r\na\r", " 1\r\na\r\n", "0x1\r\na\r\n",  "1x\r\n",  "+1\r\n"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct chunks c = {0};
        struct buf b;
        size_t used;
        buf_init(&b, 100);
        struct str s = i == 10 ? str_n(wrong[i], 3) : str_c(wrong[i]);
        if (chunks_feed(&c, s, &used, &b) != CHUNKS_WRONG)
            fail_msg("taken: case %zu", i);
        buf_done(&b);
    }
    static char endless[10000];
    memset(endless, 'x', sizeof endless);
    memcpy(endless, "1;", 2);
    struct chunks c = {0};
    struct buf b;
    size_t used;
    buf_init(&b, 100);
    assert_int_equal(chunks_feed(&c, str_n(endless, sizeof endless), &used, &b), CHUNKS_WRONG);
    buf_done(&b);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_exchanges),
        T(test_pipelined),
        T(test_refused_by_the_head),
        T(test_leave_to_send),
        T(test_idle_ones_make_room),
        T(test_all_at_work),
        T(test_no_descriptors),
        cmocka_unit_test(test_chunks_at_every_split),
        cmocka_unit_test(test_chunks_that_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
