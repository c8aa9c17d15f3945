/* The network transport: one request is one libcurl transfer.
 *
 * A request lives in one allocation (struct, URL origin, body) and is named by slot and generation, as in ev/loop.
 * Its stations: waiting for its host name (fetch_hosts), in a shard (fetch_multi), finished. What libcurl's callbacks
 * deliver is only collected (head, data) and the request put on the `ready` list; deliver() hands it to the sink when
 * libcurl has returned. So a sink may start and cancel requests freely, and many small chunks become one.
 *
 * Time: one timer a request stands for the whole exchange, the wait for a byte and the wait for the name; it looks at
 * `last` when it fires instead of being set anew with every chunk. (libcurl's own low-speed check wakes each transfer
 * every second.) Only the connect timeout is libcurl's, which divides it between the addresses of a host.
 *
 * At most once: when a kept-alive connection dies before the first byte of the reply, libcurl would send the request
 * again by itself. on_send() is called before each sending and refuses the second: whether a call was made twice is for
 * the caller's retry policy to decide and to record.
 *
 * A cut reply is never RC_OK: libcurl checks Content-Length and the last chunk. A body that ends with its connection
 * (neither header) cannot be checked here; the wire codecs want their own end mark.
 *
 * Secrets: error texts are made of the origin (scheme, host, port) and of system or TLS messages, nothing else. */
#include "http/fetch.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/panic.h"
#include "http/fetch_curl.h"
#include "http/fetch_hosts.h"
#include "http/fetch_multi.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    SLOT_BITS = 24,
    SPARE_HANDLES = 256,
    MAX_HEAD = 256 * 1024,
    MAX_HEADERS = 512,
    MAX_URL = 8192,
    MAX_HOST = 255,
    MAX_ORIGIN = 300, /* what fits an error text */
    MAX_HEADER = 64 * 1024,
    RECEIVE_BUFFER = 16 * 1024,
    DEFAULT_SHARDS = 32,
    MAX_SHARDS = 64,
    DEFAULT_CONNECT_MS = 10 * 1000,
    DEFAULT_TIMEOUT_MS = 600 * 1000,
    DEFAULT_IDLE_MS = 120 * 1000,
    MAX_TIME_MS = 24 * 3600 * 1000,
};
static const size_t DEFAULT_MAX_REPLY = (size_t)64 << 20;

struct request {
    struct fetch *owner;
    struct request *prev, *next; /* in `ready`; NULL: not there */
    uint64_t id;
    struct http_sink sink;
    void *ctx;

    CURL *easy;
    bool added; /* in a shard; until then waits for its host name */
    unsigned shard;
    struct curl_slist *headers, *resolve;
    struct fetch_waiter waiter;

    ev_id timer;
    int64_t connect_ms, timeout_ms, idle_ms; /* as wanted */
    int64_t started, last;                   /* clock_mono_ms() */
    curl_off_t uploaded;                     /* when `timer` last looked */
    bool sent;

    int status;
    struct buf head, data;
    bool head_whole, head_given;
    size_t received, max_reply;

    bool finished;
    struct err err; /* .rc is the outcome; also set when a callback of libcurl gives up */
    char origin[MAX_ORIGIN];
    char curl_text[CURL_ERROR_SIZE];
    size_t body_size;
    char body[];
};

struct target {
    char url[MAX_URL], host[MAX_HOST + 1], origin[MAX_ORIGIN];
    unsigned port;
    bool https;
};

struct fetch {
    struct transport base;
    struct ev_loop *loop;
    unsigned nshards;
    char *ca_file, *proxy;
    const struct fetch_curl *curl; /* NULL until the first start() */
    struct fetch_multi *multi;
    struct fetch_hosts *hosts;
    struct request **slots; /* by index; NULL: free */
    uint64_t *generation;
    uint32_t *free_slots;
    size_t nslots, nfree;
    struct request *ready_first, *ready_last;
    struct target target; /* of the last request: mostly the next one's too */
    CURL *spare[SPARE_HANDLES];
    unsigned nspare;
    bool delivering;
};

static void *must(void *p)
{
    if (!p)
        PANIC("out of memory");
    return p;
}

/* ---- names ---- */

static struct request *find(const struct fetch *f, uint64_t id)
{
    size_t i = id & ((1u << SLOT_BITS) - 1);
    return i < f->nslots && f->slots[i] && f->slots[i]->id == id ? f->slots[i] : NULL;
}

static void slots_grow(struct fetch *f)
{
    size_t n = f->nslots ? f->nslots * 2 : 64;
    CHECK(n <= 1u << SLOT_BITS);
    f->slots = must(realloc(f->slots, n * sizeof *f->slots));
    f->generation = must(realloc(f->generation, n * sizeof *f->generation));
    f->free_slots = must(realloc(f->free_slots, n * sizeof *f->free_slots));
    for (size_t i = n; i-- > f->nslots;) {
        f->slots[i] = NULL;
        f->generation[i] = 1;
        f->free_slots[f->nfree++] = (uint32_t)i;
    }
    f->nslots = n;
}

static void name_request(struct fetch *f, struct request *r)
{
    if (!f->nfree)
        slots_grow(f);
    uint32_t i = f->free_slots[--f->nfree];
    f->slots[i] = r;
    r->id = f->generation[i]++ << SLOT_BITS | i;
}

/* ---- the list of what has something to hand on ---- */

static void ready_add(struct request *r)
{
    struct fetch *f = r->owner;
    if (r->prev || f->ready_first == r)
        return;
    r->prev = f->ready_last;
    *(r->prev ? &r->prev->next : &f->ready_first) = r;
    f->ready_last = r;
}

static void ready_del(struct request *r)
{
    struct fetch *f = r->owner;
    if (!r->prev && f->ready_first != r)
        return;
    *(r->prev ? &r->prev->next : &f->ready_first) = r->next;
    *(r->next ? &r->next->prev : &f->ready_last) = r->prev;
    r->prev = r->next = NULL;
}

/* ---- the end of a request ---- */

/* Out of the shard, the handle kept for others. */
static void drop_transfer(struct request *r)
{
    struct fetch *f = r->owner;
    fetch_hosts_forget(&r->waiter);
    if (!r->easy)
        return;
    if (r->added)
        fetch_multi_remove(f->multi, r->shard, r->easy);
    r->added = false;
    if (f->nspare < SPARE_HANDLES) {
        f->curl->curl_easy_reset(r->easy);
        f->spare[f->nspare++] = r->easy;
    } else
        f->curl->curl_easy_cleanup(r->easy);
    r->easy = NULL;
}

static void release(struct request *r)
{
    struct fetch *f = r->owner;
    drop_transfer(r);
    ready_del(r);
    ev_cancel(f->loop, r->timer);
    if (r->headers)
        f->curl->curl_slist_free_all(r->headers);
    if (r->resolve)
        f->curl->curl_slist_free_all(r->resolve);
    buf_done(&r->head);
    buf_done(&r->data);
    size_t i = r->id & ((1u << SLOT_BITS) - 1);
    f->slots[i] = NULL;
    f->free_slots[f->nfree++] = (uint32_t)i;
    free(r);
}

static void finish(struct request *r)
{
    drop_transfer(r);
    r->finished = true;
    ready_add(r);
}

/* ---- handing on ---- */

static size_t split_head(char *p, size_t n, struct http_header *headers)
{
    size_t count = 0;
    for (char *end = p + n, *next; p < end && count < MAX_HEADERS; p = next) {
        char *eol = memchr(p, '\n', (size_t)(end - p));
        next = eol ? eol + 1 : end;
        char *colon = memchr(p, ':', (size_t)(next - p));
        if (!colon || colon == p || *p == ' ' || *p == '\t')
            continue;
        for (char *c = p; c < colon; c++)
            if (*c >= 'A' && *c <= 'Z')
                *c = (char)(*c - 'A' + 'a');
        headers[count].name = str_n(p, (size_t)(colon - p));
        headers[count++].value = str_trim(str_n(colon + 1, (size_t)(next - colon - 1)));
    }
    return count;
}

/* Each callback may have cancelled the request: it is looked up again after each. */
static void deliver_one(struct fetch *f, struct request *r)
{
    uint64_t id = r->id;
    if (r->head_whole && !r->head_given) {
        struct http_header headers[MAX_HEADERS];
        struct buf head = r->head;
        r->head = (struct buf){0};
        r->head_given = true;
        r->sink.head(r->ctx, r->status, headers, split_head(head.p, head.n, headers));
        buf_done(&head);
        if (!(r = find(f, id)))
            return;
    }
    if (r->data.n) {
        struct buf data = r->data;
        buf_init(&r->data, r->max_reply);
        r->sink.data(r->ctx, buf_str(&data));
        buf_done(&data);
        if (!(r = find(f, id)))
            return;
    }
    if (!r->finished)
        return;
    struct http_sink sink = r->sink;
    struct err err = r->err;
    void *ctx = r->ctx;
    release(r);
    sink.done(ctx, err.rc, &err);
}

static void deliver(struct fetch *f)
{
    f->delivering = true;
    while (f->ready_first) {
        struct request *r = f->ready_first;
        ready_del(r);
        deliver_one(f, r);
    }
    f->delivering = false;
}

static void on_settled(void *ctx)
{
    deliver(ctx);
}

/* ---- failures ---- */

enum cause { NO_CAUSE, SYSTEM_CAUSE, CURL_CAUSE };

static const struct failure {
    CURLcode code;
    enum rc rc;
    enum cause cause;
    const char *before, *after; /* the origin */
} failures[] = {
    {CURLE_COULDNT_RESOLVE_PROXY, RC_NETWORK, NO_CAUSE, "the proxy of ", " has no address"},
    {CURLE_COULDNT_RESOLVE_HOST, RC_NETWORK, NO_CAUSE, "the host of ", " has no address"},
    {CURLE_COULDNT_CONNECT, RC_NETWORK, SYSTEM_CAUSE, "could not connect to ", ""},
    {CURLE_OPERATION_TIMEDOUT, RC_TIMEOUT, NO_CAUSE, "could not connect to ", " in time"},
    {CURLE_GOT_NOTHING, RC_NETWORK, NO_CAUSE, "", " closed the connection without a reply"},
    {CURLE_ABORTED_BY_CALLBACK, RC_NETWORK, NO_CAUSE, "", " closed the connection without a reply"},
    {CURLE_PARTIAL_FILE, RC_NETWORK, NO_CAUSE, "", " closed the connection in the middle of its reply"},
    {CURLE_RECV_ERROR, RC_NETWORK, CURL_CAUSE, "the connection to ", " broke while its reply was read"},
    {CURLE_SEND_ERROR, RC_NETWORK, CURL_CAUSE, "the connection to ", " broke while the request was sent"},
    {CURLE_UNSUPPORTED_PROTOCOL, RC_NETWORK, NO_CAUSE, "", " does not speak HTTP/1.1"},
    {CURLE_WEIRD_SERVER_REPLY, RC_NETWORK, NO_CAUSE, "", " sent something that is not HTTP"},
    {CURLE_SSL_CONNECT_ERROR, RC_NETWORK, CURL_CAUSE, "no secure connection to ", ""},
    {CURLE_PEER_FAILED_VERIFICATION, RC_NETWORK, CURL_CAUSE, "the certificate of ", " is not trusted"},
    {CURLE_SSL_CACERT_BADFILE, RC_NETWORK, CURL_CAUSE, "cannot check the certificate of ", ""},
};

static void describe(struct request *r, CURLcode code)
{
    struct failure f = {code, RC_NETWORK, CURL_CAUSE, "the exchange with ", " failed"};
    for (size_t i = 0; i < sizeof failures / sizeof *failures; i++)
        if (failures[i].code == code)
            f = failures[i];
    char cause[CURL_ERROR_SIZE] = "";
    long system = 0;
    if (f.cause == SYSTEM_CAUSE)
        r->owner->curl->curl_easy_getinfo(r->easy, CURLINFO_OS_ERRNO, &system);
    if (system)
        snprintf(cause, sizeof cause, "%s", strerror((int)system));
    else if (f.cause != NO_CAUSE)
        snprintf(cause, sizeof cause, "%s", r->curl_text[0] ? r->curl_text : r->owner->curl->curl_easy_strerror(code));
    size_t capitals = strcspn(cause + (cause[0] != 0), "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
    if (cause[0] >= 'A' && cause[0] <= 'Z' && capitals + 1 >= strcspn(cause, " "))
        cause[0] = (char)(cause[0] - 'A' + 'a'); /* a word of the sentence now, unless it is a name */
    for (char *c = cause; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = '?'; /* a certificate may say anything */
    err_set(&r->err, f.rc, cause[0] ? "%s%s%s (%s)" : "%s%s%s%s", f.before, r->origin, f.after, cause);
}

static void on_ended(void *ctx, CURL *easy, CURLcode code)
{
    struct request *r = NULL;
    struct fetch *f = ctx;
    f->curl->curl_easy_getinfo(easy, CURLINFO_PRIVATE, &r);
    r->added = false;
    if (code == CURLE_OK && !r->head_whole)
        code = CURLE_GOT_NOTHING;
    if (code != CURLE_OK && r->err.rc == RC_OK)
        describe(r, code);
    finish(r);
}

/* ---- libcurl's callbacks of a transfer: they only collect ---- */

static int on_send(void *ctx, char *remote, char *local, int remote_port, int local_port)
{
    (void)remote, (void)local, (void)remote_port, (void)local_port;
    struct request *r = ctx;
    if (r->sent)
        return CURL_PREREQFUNC_ABORT;
    r->sent = true;
    r->last = clock_mono_ms();
    return CURL_PREREQFUNC_OK;
}

/* One header line a call, beginning with the status line and ending with an empty one; then perhaps trailers. */
static size_t on_header(char *p, size_t size, size_t n, void *ctx)
{
    struct request *r = ctx;
    n *= size;
    struct str line = str_n(p, n);
    r->last = clock_mono_ms();
    if (r->head_whole)
        return n;
    if (str_starts(line, STR("HTTP/"))) {
        size_t space = str_find(line, STR(" "));
        int64_t status = 0;
        if (space == SIZE_MAX || n < space + 4 || !str_to_i64(str_n(p + space + 1, 3), &status))
            return 0;
        r->status = (int)status;
        buf_clear(&r->head);
    } else if (str_trim(line).n) {
        buf_add(&r->head, line);
    } else if (r->status >= 200) {
        r->head_whole = true;
        ready_add(r);
    }
    if (r->head.overflow) {
        err_set(&r->err, RC_LIMIT, "%s sent headers of more than %d bytes", r->origin, MAX_HEAD);
        return 0;
    }
    return n;
}

static size_t on_data(char *p, size_t size, size_t n, void *ctx)
{
    struct request *r = ctx;
    n *= size;
    r->last = clock_mono_ms();
    r->received += n;
    if (r->received > r->max_reply) {
        err_set(&r->err, RC_LIMIT, "the reply of %s has more than %zu bytes", r->origin, r->max_reply);
        return 0;
    }
    buf_add(&r->data, str_n(p, n));
    ready_add(r);
    return n;
}

/* ---- time ---- */

static void on_tick(void *ctx);

static void tick_at(struct request *r, int64_t now, int64_t when)
{
    int64_t end = r->started + r->timeout_ms;
    if (when > end)
        when = end;
    r->timer = ev_timer(r->owner->loop, when > now ? when - now : 1, on_tick, r);
}

static void give_up(struct request *r)
{
    finish(r);
    deliver(r->owner);
}

static void on_tick(void *ctx)
{
    struct request *r = ctx;
    int64_t now = clock_mono_ms();
    r->timer = 0;
    if (now >= r->started + r->timeout_ms) {
        err_set(&r->err, RC_TIMEOUT, "no complete reply of %s within %lld ms", r->origin, (long long)r->timeout_ms);
        give_up(r);
        return;
    }
    if (!r->added) { /* waits for its host name */
        if (now < r->started + r->connect_ms) {
            tick_at(r, now, r->started + r->connect_ms);
            return;
        }
        err_set(&r->err, RC_TIMEOUT, "the host of %s could not be looked up within %lld ms", r->origin,
                (long long)r->connect_ms);
        give_up(r);
        return;
    }
    curl_off_t uploaded = 0;
    r->owner->curl->curl_easy_getinfo(r->easy, CURLINFO_SIZE_UPLOAD_T, &uploaded);
    if (!r->sent || uploaded != r->uploaded)
        r->last = now; /* libcurl minds the connecting */
    r->uploaded = uploaded;
    if (now < r->last + r->idle_ms) {
        tick_at(r, now, r->last + r->idle_ms);
        return;
    }
    err_set(&r->err, RC_TIMEOUT, "%s sent nothing for %lld ms", r->origin, (long long)r->idle_ms);
    give_up(r);
}

/* ---- the beginning of a request ---- */

static void set_method(const struct fetch_curl *c, CURL *easy, struct str method, struct request *r)
{
    bool get = str_is(method, "GET"), head = str_is(method, "HEAD");
    if (r->body_size || str_is(method, "POST")) {
        c->curl_easy_setopt(easy, CURLOPT_POSTFIELDS, r->body);
        c->curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body_size);
    } else
        c->curl_easy_setopt(easy, head ? CURLOPT_NOBODY : CURLOPT_HTTPGET, 1L);
    if ((!get && !head && !str_is(method, "POST")) || (r->body_size && (get || head))) {
        char name[16];
        snprintf(name, sizeof name, "%.*s", STR_ARG(method));
        c->curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, name);
    }
}

static void set_options(struct request *r, const char *url, bool https)
{
    struct fetch *f = r->owner;
    const struct fetch_curl *c = f->curl;
    CURL *easy = r->easy;
    c->curl_easy_setopt(easy, CURLOPT_PRIVATE, r);
    c->curl_easy_setopt(easy, CURLOPT_URL, url);
    c->curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    c->curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    c->curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    c->curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    c->curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, (long)RECEIVE_BUFFER);
    c->curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, (long)RECEIVE_BUFFER);
    c->curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    c->curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)r->connect_ms);
    c->curl_easy_setopt(easy, CURLOPT_PROXY, https && f->proxy ? f->proxy : "");
    c->curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    c->curl_easy_setopt(easy, CURLOPT_HTTPHEADER, r->headers);
    if (f->ca_file)
        c->curl_easy_setopt(easy, CURLOPT_CAINFO, f->ca_file);
    c->curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, r->curl_text);
    c->curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    c->curl_easy_setopt(easy, CURLOPT_HEADERDATA, r);
    c->curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_data);
    c->curl_easy_setopt(easy, CURLOPT_WRITEDATA, r);
    c->curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_send);
    c->curl_easy_setopt(easy, CURLOPT_PREREQDATA, r);
    fetch_multi_prepare(f->multi, easy);
}

static bool has_any(struct str s, const char *chars, size_t n)
{
    for (size_t i = 0; i < s.n; i++)
        if (memchr(chars, s.p[i], n))
            return true;
    return false;
}

static enum rc add_headers(struct request *r, const struct http_request *req, struct err *err)
{
    const struct fetch_curl *c = r->owner->curl;
    for (size_t i = 0; i <= req->nheaders; i++) {
        /* libcurl would wait up to a second for leave to send a larger body. */
        struct http_header h = i < req->nheaders ? req->headers[i] : (struct http_header){STR("Expect"), {"", 0}};
        if (!h.name.n || has_any(h.name, ":; \t\r\n", 7) || has_any(h.value, "\r\n", 3))
            return err_set(err, RC_INVALID, "header %zu of the request to %s is malformed", i + 1, r->origin);
        struct buf line;
        buf_init(&line, MAX_HEADER);
        buf_add(&line, h.name);
        if (i == req->nheaders)
            buf_addc(&line, ':'); /* "none" to libcurl */
        else if (!h.value.n)
            buf_addc(&line, ';'); /* "empty" to libcurl */
        else {
            buf_addz(&line, ": ");
            buf_add(&line, h.value);
        }
        bool fits = !line.overflow;
        if (fits)
            r->headers = must(c->curl_slist_append(r->headers, line.p));
        buf_done(&line);
        if (!fits)
            return err_set(err, RC_INVALID, "header %zu of the request to %s is too long", i + 1, r->origin);
    }
    return RC_OK;
}

/* Takes the URL apart with libcurl's own parser, so that both see the same host. The result is f->target. */
static enum rc parse_url(struct fetch *f, struct str text, struct err *err)
{
    struct target *t = &f->target;
    if (t->url[0] && str_is(text, t->url))
        return RC_OK;
    t->url[0] = 0;
    if (text.n >= sizeof t->url || has_any(text, "", 1))
        return err_set(err, RC_INVALID, "the address of the provider is no URL");
    char url[MAX_URL];
    memcpy(url, text.p, text.n);
    url[text.n] = 0;
    const struct fetch_curl *c = f->curl;
    CURLU *u = must(c->curl_url());
    char *scheme = NULL, *host = NULL, *port = NULL;
    enum rc rc = RC_OK;
    if (c->curl_url_set(u, CURLUPART_URL, url, 0) || c->curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) ||
        c->curl_url_get(u, CURLUPART_HOST, &host, 0) || c->curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) ||
        (strcmp(scheme, "http") && strcmp(scheme, "https")) || strlen(host) > MAX_HOST) {
        rc = err_set(err, RC_INVALID, "the address of the provider is no http:// or https:// URL");
    } else {
        t->https = !strcmp(scheme, "https");
        t->port = (unsigned)strtoul(port, NULL, 10);
        bool usual = t->port == (t->https ? 443 : 80);
        snprintf(t->host, sizeof t->host, "%s", host);
        snprintf(t->origin, sizeof t->origin, "%s://%s%s%s", scheme, host, usual ? "" : ":", usual ? "" : port);
        memcpy(t->url, url, text.n + 1);
    }
    c->curl_free(scheme);
    c->curl_free(host);
    c->curl_free(port);
    c->curl_url_cleanup(u);
    return rc;
}

static bool is_address(const char *host)
{
    unsigned char bytes[16];
    return host[0] == '[' || inet_pton(AF_INET, host, bytes) == 1;
}

static enum rc begin_transfer(struct request *r, const struct fetch_host *host, struct err *err)
{
    struct fetch *f = r->owner;
    if (host) {
        r->resolve = must(f->curl->curl_slist_append(NULL, host->entry));
        f->curl->curl_easy_setopt(r->easy, CURLOPT_RESOLVE, r->resolve);
    }
    r->shard = fetch_multi_pick(f->multi);
    r->added = fetch_multi_add(f->multi, r->shard, r->easy);
    return r->added ? RC_OK : err_set(err, RC_NETWORK, "libcurl could not begin the request to %s", r->origin);
}

static void on_failed(void *ctx)
{
    struct request *r = ctx;
    r->timer = 0;
    give_up(r);
}

/* Reported on the next turn: never from inside start(), nor from inside the cache of host names. */
static void fail_soon(struct request *r)
{
    ev_cancel(r->owner->loop, r->timer);
    r->timer = ev_timer(r->owner->loop, 0, on_failed, r);
}

static void on_host(struct fetch_waiter *w, const struct fetch_host *host, const char *why)
{
    struct request *r = (struct request *)(void *)((char *)w - offsetof(struct request, waiter));
    if (!host)
        err_set(&r->err, RC_NETWORK, "the host of %s has no address (%s)", r->origin, why);
    if (!host || begin_transfer(r, host, &r->err))
        fail_soon(r);
}

static const struct fetch_multi_ops multi_ops = {on_ended, on_settled};

static enum rc open_network(struct fetch *f, struct err *err)
{
    if (f->curl)
        return RC_OK;
    enum rc rc = fetch_curl_load(&f->curl, err);
    if (rc)
        return rc;
    f->multi = fetch_multi_new(f->loop, f->curl, f->nshards, &multi_ops, f);
    f->hosts = fetch_hosts_new(ev_uv(f->loop));
    return RC_OK;
}

static enum rc begin(struct request *r, const struct http_request *req, struct err *err)
{
    struct fetch *f = r->owner;
    const struct target *t = &f->target;
    enum rc rc = open_network(f, err);
    if (!rc)
        rc = parse_url(f, req->url, err);
    if (rc)
        return rc;
    memcpy(r->origin, t->origin, sizeof r->origin);
    if ((rc = add_headers(r, req, err)))
        return rc;
    if (!req->method.n || req->method.n > 15 || has_any(req->method, " \t\r\n", 5))
        return err_set(err, RC_INVALID, "the method of the request to %s is malformed", r->origin);
    r->easy = f->nspare ? f->spare[--f->nspare] : must(f->curl->curl_easy_init());
    set_options(r, t->url, t->https);
    set_method(f->curl, r->easy, req->method, r);
    if (is_address(t->host) || (t->https && f->proxy))
        return begin_transfer(r, NULL, err);
    struct fetch_host host;
    int found = fetch_hosts_find(f->hosts, t->host, t->port, &r->waiter, &host);
    if (found < 0)
        return err_set(err, RC_NETWORK, "the host of %s has no address (%s)", r->origin, uv_strerror(found));
    return found ? begin_transfer(r, &host, err) : RC_OK;
}

static int64_t time_or(int64_t ms, int64_t fallback)
{
    return ms <= 0 ? fallback : ms > MAX_TIME_MS ? MAX_TIME_MS : ms;
}

static uint64_t fetch_start(struct transport *t, const struct http_request *req, const struct call_info *info,
                            const struct http_sink *sink, void *ctx)
{
    (void)info;
    struct fetch *f = (struct fetch *)t;
    struct request *r = must(malloc(sizeof *r + req->body.n + 1));
    *r = (struct request){.owner = f, .sink = *sink, .ctx = ctx, .body_size = req->body.n};
    if (req->body.n)
        memcpy(r->body, req->body.p, req->body.n);
    r->connect_ms = time_or(req->connect_timeout_ms, DEFAULT_CONNECT_MS);
    r->timeout_ms = time_or(req->timeout_ms, DEFAULT_TIMEOUT_MS);
    r->idle_ms = time_or(req->idle_timeout_ms, DEFAULT_IDLE_MS);
    r->max_reply = req->max_reply ? req->max_reply : DEFAULT_MAX_REPLY;
    r->waiter.done = on_host;
    r->started = r->last = clock_mono_ms();
    buf_init(&r->head, MAX_HEAD);
    buf_init(&r->data, r->max_reply);
    name_request(f, r);
    if (begin(r, req, &r->err))
        fail_soon(r);
    else
        tick_at(r, r->started, r->started + (r->added ? r->idle_ms : r->connect_ms));
    return r->id;
}

static void fetch_cancel(struct transport *t, uint64_t id)
{
    struct request *r = find((struct fetch *)t, id);
    if (r)
        release(r);
}

static void fetch_free(struct transport *t)
{
    struct fetch *f = (struct fetch *)t;
    CHECK(!f->delivering);
    for (size_t i = 0; i < f->nslots; i++)
        if (f->slots[i])
            release(f->slots[i]);
    while (f->nspare)
        f->curl->curl_easy_cleanup(f->spare[--f->nspare]);
    fetch_multi_free(f->multi);
    fetch_hosts_free(f->hosts);
    free(f->slots);
    free(f->generation);
    free(f->free_slots);
    free(f->ca_file);
    free(f->proxy);
    free(f);
}

static const struct transport_ops ops = {fetch_start, fetch_cancel, fetch_free};

struct transport *fetch_new(struct ev_loop *l, const struct fetch_options *o)
{
    struct fetch *f = must(calloc(1, sizeof *f));
    f->base.ops = &ops;
    f->loop = l;
    f->nshards = !o || !o->shards ? DEFAULT_SHARDS : o->shards < MAX_SHARDS ? o->shards : MAX_SHARDS;
    f->ca_file = o && o->ca_file ? must(strdup(o->ca_file)) : NULL;
    const char *proxy = getenv("HTTPS_PROXY");
    if (!proxy)
        proxy = getenv("https_proxy");
    f->proxy = proxy && *proxy ? must(strdup(proxy)) : NULL;
    return &f->base;
}
