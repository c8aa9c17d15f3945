/* A small cache of resolved host names.
 *
 * libcurl's own resolver starts a thread for every transfer that needs a name, even when hundreds start together for
 * the same one. Here each name is looked up once, on libuv's pool, and everybody who wants it meanwhile waits in a
 * list. Failures are not kept: the retry policy above decides when to ask again.
 *
 * Entries are bounded: names come from configuration, but a list of MCP servers may be long. The oldest entry that
 * nobody waits for makes room. An entry whose lookup runs when its cache is freed is orphaned (`owner` NULL) and frees
 * itself when the lookup ends. */
#include "http/fetch_hosts.h"

#include "base/buf.h"
#include "base/panic.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>

enum { KEEP_MS = 60 * 1000, MAX_HOSTS = 64, MAX_ADDRESSES = 8, MAX_ENTRY = 1024 };

struct host {
    uv_getaddrinfo_t req;
    struct fetch_hosts *owner;
    struct host *next; /* newest first */
    char *key;         /* name:port */
    struct buf entry;
    uint64_t expires; /* uv_hrtime() in ms; 0: never resolved */
    bool busy;
    struct fetch_waiter waiters; /* head */
};

struct fetch_hosts {
    uv_loop_t *uv;
    struct host *list;
};

static void *must(void *p)
{
    if (!p)
        PANIC("out of memory");
    return p;
}

static uint64_t now_ms(void)
{
    return uv_hrtime() / 1000000;
}

static void host_free(struct host *h)
{
    buf_done(&h->entry);
    free(h->key);
    free(h);
}

struct fetch_hosts *fetch_hosts_new(uv_loop_t *uv)
{
    struct fetch_hosts *h = must(calloc(1, sizeof *h));
    h->uv = uv;
    return h;
}

void fetch_hosts_free(struct fetch_hosts *hosts)
{
    if (!hosts)
        return;
    for (struct host *h = hosts->list, *next; h; h = next) {
        next = h->next;
        CHECK(h->waiters.next == &h->waiters);
        h->owner = NULL;
        if (h->busy)
            uv_cancel((uv_req_t *)&h->req);
        else
            host_free(h);
    }
    free(hosts);
}

void fetch_hosts_forget(struct fetch_waiter *w)
{
    if (!w->next)
        return;
    w->prev->next = w->next;
    w->next->prev = w->prev;
    w->prev = w->next = NULL;
}

/* "name:port:address,[address]" */
static unsigned entry_write(struct host *h, const struct addrinfo *list)
{
    unsigned n = 0;
    buf_clear(&h->entry);
    buf_printf(&h->entry, "%s:", h->key);
    for (const struct addrinfo *a = list; a && n < MAX_ADDRESSES; a = a->ai_next) {
        char text[64];
        if (a->ai_family == AF_INET && uv_ip4_name((const void *)a->ai_addr, text, sizeof text) == 0)
            buf_printf(&h->entry, "%s%s", n++ ? "," : "", text);
        else if (a->ai_family == AF_INET6 && uv_ip6_name((const void *)a->ai_addr, text, sizeof text) == 0)
            buf_printf(&h->entry, "%s[%s]", n++ ? "," : "", text);
    }
    return h->entry.overflow ? 0 : n;
}

static void on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *list)
{
    struct host *h = req->data;
    h->busy = false;
    bool ok = status == 0 && entry_write(h, list) > 0;
    uv_freeaddrinfo(list);
    if (!h->owner) {
        host_free(h);
        return;
    }
    h->expires = ok ? now_ms() + KEEP_MS : 0;
    const char *why = ok ? NULL : status ? uv_strerror(status) : "it has no usable address";
    while (h->waiters.next != &h->waiters) {
        struct fetch_waiter *w = h->waiters.next;
        fetch_hosts_forget(w);
        w->done(w, ok ? &(struct fetch_host){h->entry.p} : NULL, why);
    }
}

static void make_room(struct fetch_hosts *hosts)
{
    size_t n = 0;
    struct host **oldest = NULL;
    for (struct host **p = &hosts->list; *p; p = &(*p)->next, n++)
        if (!(*p)->busy)
            oldest = p;
    if (n < MAX_HOSTS || !oldest)
        return;
    struct host *h = *oldest;
    *oldest = h->next;
    host_free(h);
}

static struct host *host_get(struct fetch_hosts *hosts, const char *name, unsigned port)
{
    struct buf key;
    buf_init(&key, MAX_ENTRY / 2);
    buf_printf(&key, "%s:%u", name, port);
    struct host *h = hosts->list;
    while (h && !str_is(buf_str(&key), h->key))
        h = h->next;
    if (h) {
        buf_done(&key);
        return h;
    }
    make_room(hosts);
    h = must(calloc(1, sizeof *h));
    h->owner = hosts;
    h->key = must(strndup(key.p, key.n));
    h->req.data = h;
    h->waiters.prev = h->waiters.next = &h->waiters;
    buf_init(&h->entry, MAX_ENTRY);
    h->next = hosts->list;
    hosts->list = h;
    buf_done(&key);
    return h;
}

int fetch_hosts_find(struct fetch_hosts *hosts, const char *name, unsigned port, struct fetch_waiter *w,
                     struct fetch_host *ret)
{
    struct host *h = host_get(hosts, name, port);
    if (h->expires > now_ms()) {
        *ret = (struct fetch_host){h->entry.p};
        return 1;
    }
    if (!h->busy) {
        struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
        int rc = uv_getaddrinfo(hosts->uv, &h->req, on_resolved, name, NULL, &hints);
        if (rc)
            return rc; /* a name that cannot be one */
        h->busy = true;
    }
    w->prev = h->waiters.prev;
    w->next = &h->waiters;
    w->prev->next = h->waiters.prev = w;
    return 0;
}
