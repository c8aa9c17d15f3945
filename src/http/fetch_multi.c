/* libcurl's multi_socket interface on an epoll descriptor of our own, which the event loop watches.
 *
 * Why not one libuv handle a socket: libcurl takes a kept-alive connection's socket back after every reply and asks for
 * it again at the next request. Here the kernel's registration is simply left in place (`armed`) and touched only when
 * something unwanted arrives or the wanted events change, so that a request on a warm connection costs no epoll_ctl at
 * all. libcurl opens and closes sockets through our callbacks, so the table by fd cannot go stale.
 *
 * No callback of libcurl reaches the user from inside libcurl: its functions must not be re-entered. While `busy`,
 * fetch.c only collects; `ended` and `settled` come when libcurl has returned. The timer callback only sets a timer,
 * for the same reason.
 *
 * The epoll descriptor is watched only while transfers run, so idle connections do not keep the loop alive. */
#include "http/fetch_multi.h"

#include "base/panic.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

enum {
    BATCH = 256,     /* events taken at a time */
    SHARD_FILL = 24, /* transfers in a shard before the next one is used */
    MAX_IDLE = 1024, /* connections kept by a shard: never less than its transfers, or nothing is reused */
    MAX_AGE_S = 60,  /* an idle connection older than this is not used again */
};

struct shard {
    struct fetch_multi *owner;
    CURLM *multi; /* NULL until used */
    ev_id timer;
    unsigned active;
    bool touched;
};

struct sock {
    struct shard *shard; /* who wants events; NULL: nobody now */
    uint32_t want;       /* EPOLLIN | EPOLLOUT */
    uint32_t armed;      /* what the kernel has; 0: not registered */
    bool ours;           /* opened by on_open(), so on_close() will tell of its end */
};

struct fetch_multi {
    struct ev_loop *loop;
    const struct fetch_curl *curl;
    const struct fetch_multi_ops *ops;
    void *ctx;
    int epfd;
    ev_id watch; /* of epfd */
    unsigned active, nshards;
    bool busy;          /* inside libcurl */
    struct sock *socks; /* by fd */
    size_t nsocks;
    struct shard shards[];
};

static void *must(void *p)
{
    if (!p)
        PANIC("out of memory");
    return p;
}

/* ---- sockets ---- */

static struct sock *sock_at(struct fetch_multi *m, int fd)
{
    CHECK(fd >= 0);
    if ((size_t)fd >= m->nsocks) {
        size_t n = (size_t)fd + (size_t)fd / 2 + 64;
        m->socks = must(realloc(m->socks, n * sizeof *m->socks));
        memset(m->socks + m->nsocks, 0, (n - m->nsocks) * sizeof *m->socks);
        m->nsocks = n;
    }
    return &m->socks[fd];
}

static void sock_arm(struct fetch_multi *m, int fd, struct sock *s, uint32_t events)
{
    if (s->armed == events)
        return;
    struct epoll_event e = {.events = events, .data.fd = fd};
    int op = !s->armed ? EPOLL_CTL_ADD : events ? EPOLL_CTL_MOD : EPOLL_CTL_DEL;
    int rc = epoll_ctl(m->epfd, op, fd, &e);
    if (rc && op == EPOLL_CTL_ADD && errno == EEXIST)
        rc = epoll_ctl(m->epfd, EPOLL_CTL_MOD, fd, &e);
    else if (rc && op == EPOLL_CTL_MOD && errno == ENOENT)
        rc = epoll_ctl(m->epfd, EPOLL_CTL_ADD, fd, &e);
    if (rc && op != EPOLL_CTL_DEL)
        PANIC("cannot watch a socket: %s", strerror(errno));
    s->armed = events;
}

/* A warm connection goes from reading (the last reply) to writing (the next request) at once, and curl asks for
 * EPOLLOUT only when the kernel's buffer is full: what is armed mostly is what is wanted again. */
static int on_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *assigned)
{
    (void)easy, (void)assigned;
    struct shard *shard = ctx;
    struct sock *s = sock_at(shard->owner, fd);
    if (what == CURL_POLL_REMOVE) {
        s->shard = NULL;
        s->want = 0;
        if (!s->ours) /* the resolver's wake-up pipe: closed behind our back */
            sock_arm(shard->owner, fd, s, 0);
        return 0;
    }
    s->shard = shard;
    s->want = (what & CURL_POLL_IN ? EPOLLIN : 0) | (what & CURL_POLL_OUT ? EPOLLOUT : 0);
    sock_arm(shard->owner, fd, s, s->want);
    return 0;
}

static curl_socket_t on_open(void *ctx, curlsocktype purpose, struct curl_sockaddr *a)
{
    (void)purpose;
    int fd = socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
    if (fd < 0)
        return CURL_SOCKET_BAD;
    *sock_at(ctx, fd) = (struct sock){.ours = true};
    return fd;
}

static int on_close(void *ctx, curl_socket_t fd)
{
    struct fetch_multi *m = ctx;
    *sock_at(m, fd) = (struct sock){0}; /* close() also ends the kernel's registration */
    return close(fd);
}

static void collect(struct fetch_multi *m, struct shard *shard)
{
    int left;
    CURLMsg *msg;
    while ((msg = m->curl->curl_multi_info_read(shard->multi, &left))) {
        if (msg->msg != CURLMSG_DONE)
            continue;
        CURL *easy = msg->easy_handle;
        CURLcode code = msg->data.result;
        fetch_multi_remove(m, (unsigned)(shard - m->shards), easy);
        m->ops->ended(m->ctx, easy, code);
    }
}

static void action(struct fetch_multi *m, struct shard *shard, curl_socket_t fd, int bits)
{
    int running;
    m->busy = true;
    CURLMcode code = m->curl->curl_multi_socket_action(shard->multi, fd, bits, &running);
    m->busy = false;
    if (code)
        PANIC("libcurl: %s", m->curl->curl_multi_strerror(code));
}

static void on_events(void *ctx)
{
    struct fetch_multi *m = ctx;
    struct epoll_event events[BATCH];
    int n = epoll_wait(m->epfd, events, BATCH, 0);
    for (int i = 0; i < n; i++) {
        int fd = events[i].data.fd;
        struct sock *s = sock_at(m, fd);
        uint32_t got = events[i].events;
        if (!s->shard || !(got & (s->want | EPOLLERR | EPOLLHUP))) {
            if (s->armed)
                sock_arm(m, fd, s, s->want); /* an idle connection that the server closed, mostly */
            continue;
        }
        s->shard->touched = true;
        action(m, s->shard, fd,
               (got & EPOLLIN ? CURL_CSELECT_IN : 0) | (got & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
                   (got & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0));
    }
    for (unsigned i = 0; i < m->nshards; i++)
        if (m->shards[i].touched) {
            m->shards[i].touched = false;
            collect(m, &m->shards[i]);
        }
    m->ops->settled(m->ctx);
}

/* ---- timers ---- */

static void on_timeout(void *ctx)
{
    struct shard *shard = ctx;
    struct fetch_multi *m = shard->owner;
    shard->timer = 0;
    action(m, shard, CURL_SOCKET_TIMEOUT, 0);
    collect(m, shard);
    m->ops->settled(m->ctx);
}

static int on_timer(CURLM *multi, long ms, void *ctx)
{
    (void)multi;
    struct shard *shard = ctx;
    if (shard->timer)
        ev_cancel(shard->owner->loop, shard->timer);
    shard->timer = ms < 0 ? 0 : ev_timer(shard->owner->loop, ms, on_timeout, shard);
    return 0;
}

/* ---- transfers ---- */

static void shard_open(struct fetch_multi *m, struct shard *shard)
{
    if (shard->multi)
        return;
    const struct fetch_curl *c = m->curl;
    shard->multi = must(c->curl_multi_init());
    c->curl_multi_setopt(shard->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    c->curl_multi_setopt(shard->multi, CURLMOPT_SOCKETDATA, shard);
    c->curl_multi_setopt(shard->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    c->curl_multi_setopt(shard->multi, CURLMOPT_TIMERDATA, shard);
    c->curl_multi_setopt(shard->multi, CURLMOPT_MAXCONNECTS, (long)MAX_IDLE);
    c->curl_multi_setopt(shard->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
}

unsigned fetch_multi_pick(const struct fetch_multi *m)
{
    unsigned least = 0;
    for (unsigned i = 0; i < m->nshards; i++) {
        if (m->shards[i].active < SHARD_FILL)
            return i;
        if (m->shards[i].active < m->shards[least].active)
            least = i;
    }
    return least;
}

void fetch_multi_prepare(struct fetch_multi *m, CURL *easy)
{
    m->curl->curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open);
    m->curl->curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, m);
    m->curl->curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, on_close);
    m->curl->curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, m);
    m->curl->curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, (long)MAX_AGE_S);
}

bool fetch_multi_add(struct fetch_multi *m, unsigned shard, CURL *easy)
{
    CHECK(!m->busy);
    struct shard *s = &m->shards[shard];
    shard_open(m, s);
    if (m->curl->curl_multi_add_handle(s->multi, easy))
        return false;
    s->active++;
    if (m->active++ == 0)
        m->watch = ev_readable(m->loop, m->epfd, on_events, m);
    return true;
}

void fetch_multi_remove(struct fetch_multi *m, unsigned shard, CURL *easy)
{
    CHECK(!m->busy);
    struct shard *s = &m->shards[shard];
    CHECK(m->curl->curl_multi_remove_handle(s->multi, easy) == CURLM_OK);
    s->active--;
    if (--m->active == 0)
        ev_cancel(m->loop, m->watch);
}

struct fetch_multi *fetch_multi_new(struct ev_loop *l, const struct fetch_curl *curl, unsigned shards,
                                    const struct fetch_multi_ops *ops, void *ctx)
{
    struct fetch_multi *m = must(calloc(1, sizeof *m + shards * sizeof *m->shards));
    m->loop = l;
    m->curl = curl;
    m->ops = ops;
    m->ctx = ctx;
    m->nshards = shards;
    for (unsigned i = 0; i < shards; i++)
        m->shards[i].owner = m;
    m->epfd = epoll_create1(EPOLL_CLOEXEC);
    if (m->epfd < 0)
        PANIC("cannot make an epoll descriptor: %s", strerror(errno));
    return m;
}

void fetch_multi_free(struct fetch_multi *m)
{
    if (!m)
        return;
    CHECK(m->active == 0);
    for (unsigned i = 0; i < m->nshards; i++)
        if (m->shards[i].multi) {
            m->curl->curl_multi_cleanup(m->shards[i].multi);
            if (m->shards[i].timer)
                ev_cancel(m->loop, m->shards[i].timer);
        }
    close(m->epfd);
    free(m->socks);
    free(m);
}
