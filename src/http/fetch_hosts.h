#pragma once
/* Host names to addresses, resolved once off the loop and kept for 60 seconds, as CURLOPT_RESOLVE wants them. */
#include "base/str.h"

#include <uv.h>

struct fetch_hosts;
struct fetch_host {
    const char *entry; /* "name:port:address,address"; borrowed until control returns to the loop */
};

/* Somebody who waits for a name. The caller embeds it; it must stay until `done` came or fetch_hosts_forget(). */
struct fetch_waiter {
    struct fetch_waiter *prev, *next; /* NULL: waits for nothing */
    /* From the loop. `host` is NULL when the name has no address; `why` then says it. Must not look names up. */
    void (*done)(struct fetch_waiter *w, const struct fetch_host *host, const char *why);
};

struct fetch_hosts *fetch_hosts_new(uv_loop_t *uv);
/* Nobody may be waiting. A lookup that runs ends by itself, within ev_loop_free() at the latest. */
void fetch_hosts_free(struct fetch_hosts *h);
/* 1 and *ret when the name is known; 0: `w` waits for it; else a libuv error: no name at all. */
int fetch_hosts_find(struct fetch_hosts *h, const char *name, unsigned port, struct fetch_waiter *w,
                     struct fetch_host *ret);
void fetch_hosts_forget(struct fetch_waiter *w);
