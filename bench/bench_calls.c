/* What a model call costs in the HTTP client: N POSTs of a small Anthropic request at C in flight, against the fake
 * provider with a fixed delay. Once through the transport that Treadle uses (http/fetch), once with nothing but libcurl
 * (the same number of multi handles on one epoll): the difference is ours.
 *
 *     bench_calls [--calls N] [--in-flight C] [--delay MS] [--url URL] [--mode fetch|curl|both] [--stream]
 *
 * Without --url it starts `fake_provider` from its own directory. "ideal" is calls / in-flight * delay. */
#include "base/clock.h"
#include "base/panic.h"
#include "http/fetch.h"
#include "http/fetch_curl.h"

#include <errno.h>
#include <libgen.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SHARDS = 32 };

static struct {
    int64_t calls, in_flight, delay_ms;
    char url[256];
    bool stream;
    struct ev_loop *loop;
    struct transport *transport;
    int64_t started, ok, failed;
    size_t bytes;
} b = {.calls = 10000, .in_flight = 1000, .delay_ms = 100};

static char body[4096];

static void make_body(void)
{
    char filler[1500];
    memset(filler, 'x', sizeof filler - 1);
    filler[sizeof filler - 1] = 0;
    snprintf(
        body, sizeof body,
        "{\"model\":\"claude-fake\",\"max_tokens\":1000,\"stream\":%s,\"system\":\"[[key:bench]] %s\","
        "\"messages\":[{\"role\":\"user\",\"content\":\"A question of some length.\\nThe answer is forty-two.\"}]}",
        b.stream ? "true" : "false", filler);
}

static int64_t cpu_us(const struct rusage *u)
{
    return (int64_t)(u->ru_utime.tv_sec + u->ru_stime.tv_sec) * 1000000 + u->ru_utime.tv_usec + u->ru_stime.tv_usec;
}

static void measure(const char *name, void (*run)(void))
{
    b.started = b.ok = b.failed = 0;
    b.bytes = 0;
    struct rusage before, after;
    getrusage(RUSAGE_SELF, &before);
    int64_t start = clock_mono_us();
    run();
    double wall = (double)(clock_mono_us() - start) / 1e6;
    getrusage(RUSAGE_SELF, &after);
    double ideal = (double)b.calls / (double)b.in_flight * (double)b.delay_ms / 1000;
    printf("%-6s %lld calls, %lld in flight: %.3f s wall (ideal %.3f), %.0f calls/s, %.1f us CPU a call "
           "(%.1f user), peak RSS %ld MB, %lld failed, %zu bytes a reply\n",
           name, (long long)b.calls, (long long)b.in_flight, wall, ideal, (double)b.calls / wall,
           (double)(cpu_us(&after) - cpu_us(&before)) / (double)b.calls,
           (double)((after.ru_utime.tv_sec - before.ru_utime.tv_sec) * 1000000 + after.ru_utime.tv_usec -
                    before.ru_utime.tv_usec) /
               (double)b.calls,
           after.ru_maxrss / 1024, (long long)b.failed, b.ok ? b.bytes / (size_t)b.ok : 0);
}

/* ---- through the transport ---- */

static void next_call(void);

static void on_head(void *ctx, int status, const struct http_header *headers, size_t n)
{
    (void)ctx, (void)headers, (void)n;
    if (status != 200)
        b.failed++;
}

static void on_data(void *ctx, struct str chunk)
{
    (void)ctx;
    b.bytes += chunk.n;
}

static void on_done(void *ctx, enum rc rc, const struct err *err)
{
    (void)ctx;
    if (rc && b.failed++ == 0)
        fprintf(stderr, "first failure: %s\n", err->msg);
    b.ok += !rc;
    if (b.ok + b.failed == b.calls)
        ev_stop(b.loop);
    else
        next_call();
}

static void next_call(void)
{
    static const struct http_sink sink = {on_head, on_data, on_done};
    static const struct http_header headers[] = {
        {{"content-type", 12}, {"application/json", 16}},
        {{"x-api-key", 9}, {"bench", 5}},
        {{"anthropic-version", 17}, {"2026-10-21", 10}},
    };
    if (b.started >= b.calls)
        return;
    b.started++;
    struct http_request req = {
        .method = STR("POST"), .url = str_c(b.url), .headers = headers, .nheaders = 3, .body = str_c(body)};
    b.transport->ops->start(b.transport, &req, NULL, &sink, NULL);
}

static void run_fetch(void)
{
    b.loop = ev_loop_new();
    b.transport = fetch_new(b.loop, &(struct fetch_options){.shards = SHARDS});
    for (int64_t i = 0; i < b.in_flight; i++)
        next_call();
    ev_run(b.loop);
    b.transport->ops->free(b.transport);
    ev_loop_free(b.loop);
}

/* ---- with libcurl alone ---- */

static struct {
    const struct fetch_curl *curl;
    CURLM *multi[SHARDS];
    int64_t timer[SHARDS]; /* when its time-out is due, ms; -1: none */
    int epfd;
    struct curl_slist *headers;
} k;

static size_t swallow(char *p, size_t size, size_t n, void *ctx)
{
    (void)p, (void)ctx;
    b.bytes += n * size;
    return n * size;
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *known)
{
    (void)easy;
    struct epoll_event e = {.data.u64 = (uint64_t)fd << 8 | (uint64_t)(intptr_t)ctx};
    e.events = (what & CURL_POLL_IN ? EPOLLIN : 0u) | (what & CURL_POLL_OUT ? EPOLLOUT : 0u);
    epoll_ctl(k.epfd, what == CURL_POLL_REMOVE ? EPOLL_CTL_DEL : known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &e);
    k.curl->curl_multi_assign(k.multi[(intptr_t)ctx], fd, what == CURL_POLL_REMOVE ? NULL : &k);
    return 0;
}

static int on_timer(CURLM *multi, long ms, void *ctx)
{
    (void)multi;
    k.timer[(intptr_t)ctx] = ms < 0 ? -1 : clock_mono_ms() + ms;
    return 0;
}

static void begin(CURL *easy, int shard)
{
    const struct fetch_curl *c = k.curl;
    if (!easy) {
        easy = c->curl_easy_init();
        CHECK(easy);
        c->curl_easy_setopt(easy, CURLOPT_URL, b.url);
        c->curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
        c->curl_easy_setopt(easy, CURLOPT_HTTPHEADER, k.headers);
        c->curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body);
        c->curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, 16384L);
        c->curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, swallow);
        c->curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    }
    b.started++;
    c->curl_multi_add_handle(k.multi[shard], easy);
}

static void collect(int shard)
{
    int left;
    for (CURLMsg *m; (m = k.curl->curl_multi_info_read(k.multi[shard], &left));) {
        CURL *easy = m->easy_handle;
        b.failed += m->data.result != CURLE_OK;
        b.ok += m->data.result == CURLE_OK;
        k.curl->curl_multi_remove_handle(k.multi[shard], easy);
        if (b.started < b.calls)
            begin(easy, shard);
        else
            k.curl->curl_easy_cleanup(easy);
    }
}

static int run_timers(void)
{
    int running;
    int64_t now = clock_mono_ms(), next = now + 1000;
    for (int i = 0; i < SHARDS; i++) {
        if (k.timer[i] >= 0 && k.timer[i] <= now) {
            k.timer[i] = -1;
            k.curl->curl_multi_socket_action(k.multi[i], CURL_SOCKET_TIMEOUT, 0, &running);
            collect(i);
        }
        if (k.timer[i] >= 0 && k.timer[i] < next)
            next = k.timer[i];
    }
    return next > now ? (int)(next - now) : 0;
}

static void run_curl(void)
{
    struct err err;
    if (fetch_curl_load(&k.curl, &err))
        PANIC("%s", err.msg);
    const struct fetch_curl *c = k.curl;
    k.epfd = epoll_create1(EPOLL_CLOEXEC);
    k.headers = c->curl_slist_append(NULL, "content-type: application/json");
    k.headers = c->curl_slist_append(k.headers, "x-api-key: bench");
    k.headers = c->curl_slist_append(k.headers, "anthropic-version: 2026-10-21");
    k.headers = c->curl_slist_append(k.headers, "Expect:");
    for (intptr_t i = 0; i < SHARDS; i++) {
        k.timer[i] = -1;
        k.multi[i] = c->curl_multi_init();
        c->curl_multi_setopt(k.multi[i], CURLMOPT_SOCKETFUNCTION, on_socket);
        c->curl_multi_setopt(k.multi[i], CURLMOPT_SOCKETDATA, i);
        c->curl_multi_setopt(k.multi[i], CURLMOPT_TIMERFUNCTION, on_timer);
        c->curl_multi_setopt(k.multi[i], CURLMOPT_TIMERDATA, i);
        c->curl_multi_setopt(k.multi[i], CURLMOPT_MAXCONNECTS, 1024L);
    }
    for (int64_t i = 0; i < b.in_flight && i < b.calls; i++)
        begin(NULL, (int)(i % SHARDS));
    while (b.ok + b.failed < b.calls) {
        struct epoll_event events[256];
        int running, n = epoll_wait(k.epfd, events, 256, run_timers());
        for (int i = 0; i < n; i++) {
            int shard = (int)(events[i].data.u64 & 0xff);
            int bits = (events[i].events & EPOLLIN ? CURL_CSELECT_IN : 0) |
                       (events[i].events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
                       (events[i].events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);
            c->curl_multi_socket_action(k.multi[shard], (int)(events[i].data.u64 >> 8), bits, &running);
            collect(shard);
        }
    }
    for (int i = 0; i < SHARDS; i++)
        c->curl_multi_cleanup(k.multi[i]);
    c->curl_slist_free_all(k.headers);
    close(k.epfd);
}

/* ---- the provider ---- */

static pid_t start_provider(char *self)
{
    char path[4096], delay[32], line[128] = "";
    snprintf(path, sizeof path, "%s/fake_provider", dirname(self));
    snprintf(delay, sizeof delay, "%lld", (long long)b.delay_ms);
    int fd[2];
    CHECK(pipe(fd) == 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, fd[1], 1);
    posix_spawn_file_actions_addclose(&actions, fd[0]);
    char delay_flag[] = "--delay", parent_flag[] = "--parent";
    char *argv[] = {path, delay_flag, delay, parent_flag, NULL};
    pid_t pid;
    int rc = posix_spawn(&pid, path, &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(fd[1]);
    if (rc || read(fd[0], line, sizeof line - 1) <= 0) {
        fprintf(stderr, "cannot start %s: %s\n", path, strerror(rc ? rc : errno));
        exit(2);
    }
    close(fd[0]);
    const char *port = strrchr(line, ':');
    snprintf(b.url, sizeof b.url, "http://127.0.0.1:%ld/v1/messages", port ? strtol(port + 1, NULL, 10) : 0);
    return pid;
}

int main(int argc, char **argv)
{
    const char *mode = "both";
    for (int i = 1; i < argc; i++) {
        struct str name = str_c(argv[i]), value = str_c(i + 1 < argc ? argv[i + 1] : "");
        bool ok = true;
        if (str_is(name, "--stream")) {
            b.stream = true;
            continue;
        }
        if (str_is(name, "--calls"))
            ok = str_to_i64(value, &b.calls);
        else if (str_is(name, "--in-flight"))
            ok = str_to_i64(value, &b.in_flight);
        else if (str_is(name, "--delay"))
            ok = str_to_i64(value, &b.delay_ms);
        else if (str_is(name, "--url"))
            snprintf(b.url, sizeof b.url, "%s", argv[i + 1] ? argv[i + 1] : "");
        else if (str_is(name, "--mode"))
            mode = argv[i + 1];
        else
            ok = false;
        i++;
        if (!ok || i >= argc || b.calls < 1 || b.in_flight < 1) {
            fprintf(stderr, "usage: bench_calls [--calls N] [--in-flight C] [--delay MS] [--url URL]\n"
                            "                   [--mode fetch|curl|both] [--stream]\n");
            return 2;
        }
    }
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    make_body();
    pid_t provider = b.url[0] ? 0 : start_provider(argv[0]);
    if (strcmp(mode, "curl") != 0)
        measure("fetch", run_fetch);
    if (strcmp(mode, "fetch") != 0)
        measure("curl", run_curl);
    if (provider) {
        kill(provider, SIGTERM);
        waitpid(provider, NULL, 0);
    }
    return b.failed ? 1 : 0;
}
