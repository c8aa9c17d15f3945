/* A model provider for tests and benchmarks: speaks Anthropic, Gemini and OpenAI over HTTP/1.1 on 127.0.0.1, answers
 * from a script, fails on demand, and counts every call. tools/README.md says how to use it.
 *
 * One thread, one epoll, one small struct a connection, a wheel of millisecond slots for delays: it must not be the
 * bottleneck of what is measured against it. A reply is built whole when its request is read and then sent in pieces;
 * where it stops (a cut, a hang) is a byte count.
 *
 * What the ledger says is what a test may rely on: `start` is written before the first byte of the reply can leave,
 * `finish` when the kernel took the last one. Everything is bounded: connections, heads, bodies, keys, events. */
#include "fake_provider/ledger.h"
#include "fake_provider/wire.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

enum { WHEEL = 4096, BATCH = 512, MAX_CONNECTIONS = 20000, MAX_HEAD = 64 << 10, MAX_BODY = 64 << 20, READ_SIZE = 4096 };

enum state { READING, DELAYED, SENDING, PACED, HUNG };

struct conn {
    int fd;
    enum state state;
    bool writable_armed, close_after, continued;
    struct buf in, out;
    size_t request_size; /* bytes of `in` that the present request takes */
    size_t sent, limit;  /* of `out`; it may be sent up to `limit` now */
    struct pieces pieces;
    size_t piece;
    size_t stop_at; /* of `out`: then cut or hang; SIZE_MAX: never */
    bool cut, reset;
    int64_t pace_ms;
    struct tally *tally; /* NULL: not counted */
    uint64_t generation, seq;
    int64_t nth;
    struct conn *prev, *next; /* in the wheel */
    int64_t due;              /* ms; 0: not in the wheel */
};

struct http {
    struct str method, path, query;
    bool keep_alive, expect;
    size_t length;
    bool has_length, chunked, has_version;
    struct str key;
};

static struct {
    int epfd, listener;
    int64_t delay_ms;
    struct str required_key;
    struct script script;
    struct ledger ledger;
    struct conn *wheel[WHEEL];
    int64_t wheel_time; /* every slot before it is done */
    size_t timers, conns;
} g;
static volatile sig_atomic_t stopping;

/* ---- the wheel ---- */

static void wheel_add(struct conn *c, int64_t ms)
{
    c->due = (clock_mono_us() + 999) / 1000 + (ms > 0 ? ms : 0);
    if (c->due < g.wheel_time)
        c->due = g.wheel_time;
    struct conn **slot = &g.wheel[c->due % WHEEL];
    c->prev = NULL;
    c->next = *slot;
    if (c->next)
        c->next->prev = c;
    *slot = c;
    g.timers++;
}

static void wheel_del(struct conn *c)
{
    if (!c->due)
        return;
    *(c->prev ? &c->prev->next : &g.wheel[c->due % WHEEL]) = c->next;
    if (c->next)
        c->next->prev = c->prev;
    c->due = 0;
    g.timers--;
}

/* How long epoll may sleep. */
static int wheel_wait(void)
{
    if (!g.timers)
        return -1;
    int64_t now = clock_mono_ms();
    for (int64_t t = g.wheel_time; t < g.wheel_time + WHEEL; t++)
        for (struct conn *c = g.wheel[t % WHEEL]; c; c = c->next)
            if (c->due <= t)
                return t > now ? (int)(t - now) : 0;
    return WHEEL / 2;
}

static void on_due(struct conn *c);

static void wheel_run(void)
{
    int64_t now = clock_mono_ms();
    if (now - g.wheel_time > WHEEL)
        g.wheel_time = now - WHEEL; /* all slots, once */
    for (; g.wheel_time <= now; g.wheel_time++) {
        struct conn **slot = &g.wheel[g.wheel_time % WHEEL];
        for (struct conn *c = *slot, *next; c; c = next) {
            next = c->next;
            if (c->due > now)
                continue;
            wheel_del(c);
            on_due(c);
        }
    }
}

/* ---- connections ---- */

static void count(struct conn *c, enum outcome what)
{
    if (!c->tally || c->generation != g.ledger.generation)
        return;
    c->tally->count[what]++;
    if (what == STARTED) {
        if (++g.ledger.in_flight > g.ledger.peak_in_flight)
            g.ledger.peak_in_flight = g.ledger.in_flight;
    } else
        g.ledger.in_flight--;
    ledger_line(&g.ledger, c->tally, what, c->seq, c->nth);
    if (what != STARTED)
        c->tally = NULL;
}

static void conn_close(struct conn *c, enum outcome what)
{
    count(c, what);
    wheel_del(c);
    if (c->reset) {
        struct linger hard = {.l_onoff = 1};
        setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    }
    close(c->fd);
    buf_done(&c->in);
    buf_done(&c->out);
    pieces_done(&c->pieces);
    free(c);
    g.conns--;
}

static void arm(struct conn *c, bool writable)
{
    if (c->writable_armed == writable)
        return;
    struct epoll_event e = {.events = EPOLLIN | EPOLLRDHUP | (writable ? EPOLLOUT : 0u), .data.ptr = c};
    CHECK(epoll_ctl(g.epfd, EPOLL_CTL_MOD, c->fd, &e) == 0);
    c->writable_armed = writable;
}

/* Sends what may be sent. False when the connection is gone. */
static bool conn_send(struct conn *c)
{
    for (;;) {
        size_t end = c->limit < c->stop_at ? c->limit : c->stop_at;
        while (c->sent < end) {
            ssize_t n = send(c->fd, c->out.p + c->sent, end - c->sent, MSG_NOSIGNAL);
            if (n < 0 && errno == EAGAIN) {
                arm(c, true);
                return true;
            }
            if (n < 0) {
                conn_close(c, ABORTED);
                return false;
            }
            c->sent += (size_t)n;
        }
        arm(c, false);
        if (c->sent >= c->stop_at) {
            if (c->cut) {
                conn_close(c, CUT);
                return false;
            }
            c->state = HUNG;
            return true;
        }
        if (c->sent == c->out.n)
            break;
        /* Paced, and this piece is out. */
        c->state = PACED;
        wheel_add(c, c->pace_ms);
        return true;
    }
    count(c, COMPLETED);
    if (c->close_after) {
        conn_close(c, COMPLETED);
        return false;
    }
    buf_consume(&c->in, c->request_size);
    buf_clear(&c->out);
    pieces_done(&c->pieces);
    c->pieces = (struct pieces){0};
    c->state = READING;
    return true;
}

static void next_limit(struct conn *c)
{
    size_t head = c->out.n - c->pieces.bytes.n;
    c->limit = c->pace_ms && c->piece < c->pieces.n ? head + c->pieces.ends[c->piece++] : c->out.n;
}

static void conn_work(struct conn *c);

static void on_due(struct conn *c)
{
    if (c->state == PACED)
        next_limit(c);
    c->state = SENDING;
    if (conn_send(c) && c->state == READING && c->in.n)
        conn_work(c);
}

/* ---- replies ---- */

static const char *status_text(int64_t status)
{
    return status == 200 ? "OK" : status == 401 ? "Unauthorized" : status == 404 ? "Not Found" : "Scripted";
}

static void put_headers(struct buf *out, const struct answer *an, enum provider_kind p, uint64_t seq)
{
    static const char *const id_header[PROVIDERS] = {"request-id", "x-goog-request-id", "x-request-id"};
    buf_printf(out, "%s: req_%llu\r\n", id_header[p], (unsigned long long)seq);
    if (an->retry_after >= 0)
        buf_printf(out, "retry-after: %g\r\n", an->retry_after);
    for (size_t i = 0; val_is(an->headers, VAL_OBJECT) && i < an->headers->obj.n; i++) {
        const struct member *m = &an->headers->obj.m[i];
        if (m->val.type == VAL_STR && !memchr(m->key.p, '\n', m->key.n) && !memchr(m->val.s.p, '\n', m->val.s.n))
            buf_printf(out, "%.*s: %.*s\r\n", STR_ARG(m->key), STR_ARG(m->val.s));
    }
}

/* Sends (or holds back, as `an` says) the body in c->pieces. */
static void reply_begin(struct conn *c, const struct answer *an, enum provider_kind p, const char *type)
{
    buf_printf(&c->out, "HTTP/1.1 %lld %s\r\ncontent-type: %s\r\n", (long long)an->status, status_text(an->status),
               type);
    put_headers(&c->out, an, p, c->seq);
    if (c->pieces.chunked)
        buf_addz(&c->out, "transfer-encoding: chunked\r\n");
    else
        buf_printf(&c->out, "content-length: %zu\r\n", c->pieces.bytes.n);
    buf_addz(&c->out, c->close_after ? "connection: close\r\n\r\n" : "\r\n");
    size_t head = c->out.n;
    buf_add(&c->out, buf_str(&c->pieces.bytes));
    c->sent = c->piece = 0;
    c->cut = an->cut;
    c->reset = an->cut && an->reset;
    c->pace_ms = an->pace_ms;
    c->stop_at = !an->cut && !an->hang ? SIZE_MAX : an->stop_after < 0 ? 0 : head + (size_t)an->stop_after;
    if ((an->cut || an->hang) && c->stop_at > c->out.n)
        c->stop_at = c->out.n;
    next_limit(c);
    if (an->delay_ms > 0) {
        c->state = DELAYED;
        wheel_add(c, an->delay_ms);
    } else
        c->state = SENDING;
}

static void reply_plain(struct conn *c, enum provider_kind p, int64_t status, struct str body)
{
    struct answer an = {.status = status, .retry_after = -1, .stop_after = -1};
    buf_init(&c->pieces.bytes, (size_t)512 << 20);
    buf_add(&c->pieces.bytes, body);
    reply_begin(c, &an, p, "application/json");
}

static void reply_error(struct conn *c, enum provider_kind p, int64_t status, struct str message)
{
    struct call call = {.provider = p};
    struct buf body;
    buf_init(&body, 1 << 16);
    put_error(&body, &call, status, error_type(p, status), message);
    reply_plain(c, p, status, buf_str(&body));
    buf_done(&body);
}

static void answer_call(struct conn *c, struct call *call, struct str body)
{
    struct arena a = {0};
    struct err err;
    c->seq = ++g.ledger.seq;
    if (call_read(&a, body, call, &err)) {
        reply_error(c, call->provider, 400, str_c(err.msg));
        arena_done(&a);
        return;
    }
    struct str key = ledger_key(&a, call, body);
    c->tally = ledger_tally(&g.ledger, key);
    c->generation = g.ledger.generation;
    c->nth = c->tally->count[STARTED] + 1;
    ledger_request(&g.ledger, call, key, c->nth);
    count(c, STARTED);
    struct answer an = script_answer(&g.script, &a, call, c->nth, g.delay_ms);
    const char *type = wire_body(&a, &c->pieces, call, &an, c->seq);
    if (an.content_type.n && !memchr(an.content_type.p, '\n', an.content_type.n))
        type = arena_cstr(&a, an.content_type);
    reply_begin(c, &an, call->provider, type);
    arena_done(&a);
}

static void answer_own(struct conn *c, const struct http *h)
{
    struct buf body;
    buf_init(&body, (size_t)512 << 20);
    int64_t status = 200;
    if (str_is(h->path, "/__ledger"))
        ledger_write(&g.ledger, &body);
    else if (str_is(h->path, "/__stats"))
        buf_printf(&body,
                   "{\"calls\":%llu,\"in_flight\":%lld,\"peak_in_flight\":%lld,\"connections\":%zu,"
                   "\"unauthorized\":%lld}\n",
                   (unsigned long long)g.ledger.seq, (long long)g.ledger.in_flight, (long long)g.ledger.peak_in_flight,
                   g.conns, (long long)g.ledger.unauthorized);
    else if (str_is(h->path, "/__reset") && str_is(h->method, "POST")) {
        ledger_reset(&g.ledger);
        for (size_t i = 0; i < g.script.n; i++)
            g.script.rules[i].used = 0;
        buf_addz(&body, "{}\n");
    } else {
        status = 404;
        buf_addz(&body, "{\"error\":{\"type\":\"not_found_error\",\"message\":\"no such route\"}}\n");
    }
    reply_plain(c, OPENAI, status, buf_str(&body));
    buf_done(&body);
}

/* ---- requests ---- */

static bool find_call(const struct http *h, struct call *call)
{
    struct str path = h->path, models = STR("/v1beta/models/");
    *call = (struct call){0};
    if (!str_is(h->method, "POST"))
        return false;
    if (str_is(path, "/v1/messages"))
        call->provider = ANTHROPIC;
    else if (str_is(path, "/v1/chat/completions") || str_is(path, "/chat/completions"))
        call->provider = OPENAI;
    else if (str_starts(path, models)) {
        bool stream = str_ends(path, STR(":streamGenerateContent"));
        if (!stream && !str_ends(path, STR(":generateContent")))
            return false;
        call->provider = GEMINI;
        call->stream = stream;
        call->json_array = stream && str_find(h->query, STR("alt=sse")) == SIZE_MAX;
        struct str model = str_from(path, models.n);
        call->model = str_n(model.p, str_find(model, STR(":")));
    } else
        return false;
    return true;
}

static bool name_is(struct str s, const char *name)
{
    return s.n == strlen(name) && strncasecmp(s.p, name, s.n) == 0;
}

static void parse_header(struct http *h, struct str name, struct str value)
{
    int64_t n;
    if (name_is(name, "content-length")) {
        h->has_length = str_to_i64(value, &n) && n >= 0 && n <= MAX_BODY;
        h->length = h->has_length ? (size_t)n : SIZE_MAX;
    } else if (name_is(name, "transfer-encoding"))
        h->chunked = true;
    else if (name_is(name, "connection"))
        h->keep_alive = !name_is(value, "close");
    else if (name_is(name, "expect"))
        h->expect = true;
    else if (name_is(name, "anthropic-version"))
        h->has_version = true;
    else if (name_is(name, "x-api-key") || name_is(name, "x-goog-api-key"))
        h->key = value;
    else if (name_is(name, "authorization") && value.n > 7 && strncasecmp(value.p, "Bearer ", 7) == 0)
        h->key = str_trim(str_from(value, 7));
}

/* False when it is no HTTP. `head` ends before the empty line. */
static bool parse_head(struct http *h, struct str head)
{
    *h = (struct http){.keep_alive = true};
    size_t eol = str_find(head, STR("\r\n"));
    struct str line = str_n(head.p, eol == SIZE_MAX ? head.n : eol);
    size_t sp = str_find(line, STR(" "));
    static const size_t version = sizeof " HTTP/1.1" - 1;
    if (sp == SIZE_MAX || line.n < sp + 1 + version || !str_ends(line, STR(" HTTP/1.1")))
        return false;
    h->method = str_n(line.p, sp);
    h->path = str_n(line.p + sp + 1, line.n - sp - 1 - version);
    size_t q = str_find(h->path, STR("?"));
    if (q != SIZE_MAX) {
        h->query = str_from(h->path, q + 1);
        h->path.n = q;
    }
    while (eol != SIZE_MAX) {
        head = str_from(head, eol + 2);
        eol = str_find(head, STR("\r\n"));
        line = str_n(head.p, eol == SIZE_MAX ? head.n : eol);
        size_t colon = str_find(line, STR(":"));
        if (colon != SIZE_MAX)
            parse_header(h, str_n(line.p, colon), str_trim(str_from(line, colon + 1)));
    }
    size_t in_query = str_find(h->query, STR("key="));
    if (!h->key.n && in_query != SIZE_MAX)
        h->key = str_from(h->query, in_query + 4);
    return true;
}

static void dispatch(struct conn *c, const struct http *h, struct str body)
{
    struct call call;
    if (!find_call(h, &call)) {
        answer_own(c, h);
        return;
    }
    if (!h->key.n || (g.required_key.n && !str_eq(h->key, g.required_key))) {
        g.ledger.unauthorized++;
        reply_error(c, call.provider, 401, STR("invalid api key"));
    } else if (call.provider == ANTHROPIC && !h->has_version)
        reply_error(c, call.provider, 400, STR("anthropic-version: header is required"));
    else
        answer_call(c, &call, body);
}

/* Takes one request out of `in` if it is whole. False when it is not, or the connection is gone. */
static bool take_request(struct conn *c)
{
    struct str in = buf_str(&c->in);
    size_t head = str_find(in, STR("\r\n\r\n"));
    if (head == SIZE_MAX) {
        if (in.n > MAX_HEAD)
            conn_close(c, ABORTED);
        return false;
    }
    struct http h;
    if (!parse_head(&h, str_n(in.p, head)) || h.chunked || h.length > MAX_BODY) {
        c->close_after = true;
        c->request_size = in.n;
        reply_error(c, OPENAI, h.chunked ? 411 : 400, STR("this is no request that can be answered"));
        return conn_send(c) && c->state == READING;
    }
    size_t size = head + 4 + h.length;
    if (in.n < size) {
        if (h.expect && !c->continued)
            c->continued = send(c->fd, "HTTP/1.1 100 Continue\r\n\r\n", 25, MSG_NOSIGNAL) == 25;
        buf_reserve(&c->in, size - in.n);
        return false;
    }
    c->continued = false;
    c->request_size = size;
    c->close_after = !h.keep_alive;
    dispatch(c, &h, str_n(in.p + head + 4, h.length));
    return c->state != SENDING || conn_send(c);
}

static void conn_work(struct conn *c)
{
    while (c->state == READING && c->in.n)
        if (!take_request(c))
            return;
}

/* Reads all there is. False when the connection is gone. */
static bool conn_read(struct conn *c)
{
    for (;;) {
        size_t room = c->in.cap > c->in.n + READ_SIZE ? c->in.cap - c->in.n - 1 : READ_SIZE;
        char *p = buf_reserve(&c->in, room);
        ssize_t n = p ? recv(c->fd, p, room, 0) : 0;
        if (n < 0 && errno == EAGAIN)
            return true;
        if (n <= 0) {
            conn_close(c, ABORTED);
            return false;
        }
        c->in.n += (size_t)n;
        if ((size_t)n < room)
            return true;
    }
}

static void on_event(struct conn *c, uint32_t events)
{
    if (events & (EPOLLERR | EPOLLHUP | EPOLLRDHUP)) {
        conn_close(c, ABORTED);
        return;
    }
    if ((events & EPOLLIN) && !conn_read(c))
        return;
    if ((events & EPOLLOUT) && c->state == SENDING && !conn_send(c))
        return;
    conn_work(c);
}

static void on_accept(void)
{
    for (int i = 0; i < 64; i++) {
        int fd = accept4(g.listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno == EMFILE)
                usleep(1000);
            return;
        }
        if (g.conns >= MAX_CONNECTIONS) {
            close(fd);
            continue;
        }
        int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        struct conn *c = calloc(1, sizeof *c);
        CHECK(c);
        c->fd = fd;
        buf_init(&c->in, (size_t)MAX_BODY + 2 * MAX_HEAD);
        buf_init(&c->out, (size_t)512 << 20);
        struct epoll_event e = {.events = EPOLLIN | EPOLLRDHUP, .data.ptr = c};
        CHECK(epoll_ctl(g.epfd, EPOLL_CTL_ADD, fd, &e) == 0);
        g.conns++;
    }
}

/* ---- the program ---- */

static void on_stop(int signo)
{
    (void)signo;
    stopping = 1;
}

static int die(const char *what, const char *why)
{
    fprintf(stderr, "fake_provider: %s: %s\n", what, why);
    return 2;
}

static int listen_at(uint16_t port)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(port)};
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof addr;
    int on = 1;
    g.listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(g.listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(g.listener, (struct sockaddr *)&addr, size) || listen(g.listener, 4096) ||
        getsockname(g.listener, (struct sockaddr *)&addr, &size))
        return die("cannot listen", strerror(errno));
    g.epfd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL};
    CHECK(epoll_ctl(g.epfd, EPOLL_CTL_ADD, g.listener, &e) == 0);
    printf("listening on 127.0.0.1:%d\n", ntohs(addr.sin_port));
    fflush(stdout);
    return 0;
}

static int load_script(const char *path)
{
    struct buf text;
    struct err err = {0};
    buf_init(&text, (size_t)64 << 20);
    FILE *file = fopen(path, "r");
    if (!file)
        return die(path, strerror(errno));
    for (char *p; (p = buf_reserve(&text, 65536));) {
        size_t n = fread(p, 1, 65536, file);
        text.n += n;
        if (!n)
            break;
    }
    fclose(file);
    if (text.overflow || script_load(&g.script, buf_str(&text), &err))
        return die(path, text.overflow ? "too large" : err.msg);
    buf_done(&text);
    return 0;
}

static int open_log(const char *path, int *fd)
{
    *fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    return *fd < 0 ? die(path, strerror(errno)) : 0;
}

static void serve(void)
{
    sigset_t block, none;
    sigemptyset(&none);
    sigemptyset(&block);
    sigaddset(&block, SIGTERM);
    sigaddset(&block, SIGINT);
    sigprocmask(SIG_BLOCK, &block, NULL);
    signal(SIGTERM, on_stop);
    signal(SIGINT, on_stop);
    g.wheel_time = clock_mono_ms();
    while (!stopping) {
        struct epoll_event events[BATCH];
        int n = epoll_pwait(g.epfd, events, BATCH, wheel_wait(), &none);
        for (int i = 0; i < n; i++)
            if (events[i].data.ptr)
                on_event(events[i].data.ptr, events[i].events);
            else
                on_accept();
        wheel_run();
    }
}

static int usage(void)
{
    fputs("usage: fake_provider [--port N] [--delay MS] [--script FILE] [--ledger FILE] [--requests FILE]\n"
          "                     [--key KEY] [--parent]\n",
          stderr);
    return 2;
}

int main(int argc, char **argv)
{
    int64_t port = 0;
    g.ledger.events_fd = g.ledger.requests_fd = -1;
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    for (int i = 1; i < argc; i++) {
        struct str name = str_c(argv[i]), value = str_c(i + 1 < argc ? argv[i + 1] : "");
        int rc = 0;
        if (str_is(name, "--parent")) {
            prctl(PR_SET_PDEATHSIG, SIGTERM);
            continue;
        }
        if (++i >= argc)
            return usage();
        if (str_is(name, "--port"))
            rc = str_to_i64(value, &port) && port >= 0 && port < 65536 ? 0 : usage();
        else if (str_is(name, "--delay"))
            rc = str_to_i64(value, &g.delay_ms) && g.delay_ms >= 0 ? 0 : usage();
        else if (str_is(name, "--script"))
            rc = load_script(argv[i]);
        else if (str_is(name, "--ledger"))
            rc = open_log(argv[i], &g.ledger.events_fd);
        else if (str_is(name, "--requests"))
            rc = open_log(argv[i], &g.ledger.requests_fd);
        else if (str_is(name, "--key"))
            g.required_key = value;
        else
            return usage();
        if (rc)
            return rc;
    }
    if (listen_at((uint16_t)port))
        return 2;
    serve();
    return 0;
}
