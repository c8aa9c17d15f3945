#pragma once
/* The shards: libcurl multi handles driven by the event loop. Used by fetch.c only.
 *
 * Why several: libcurl walks the connections of a host for every transfer, so one multi handle with thousands of them
 * costs more per request the busier it is. Transfers fill one shard before the next is used, so that a few requests at
 * a time share few connections. */
#include "ev/loop.h"
#include "http/fetch_curl.h"

struct fetch_multi;
struct fetch_multi_ops { /* called outside of libcurl, from the loop */
    /* The transfer ended; it is already out of its shard. */
    void (*ended)(void *ctx, CURL *easy, CURLcode code);
    /* After a batch of input: time to hand on what libcurl's callbacks left. */
    void (*settled)(void *ctx);
};

struct fetch_multi *fetch_multi_new(struct ev_loop *l, const struct fetch_curl *curl, unsigned shards,
                                    const struct fetch_multi_ops *ops, void *ctx);
void fetch_multi_free(struct fetch_multi *m); /* no transfer may be left */
/* The shard for the next transfer. */
unsigned fetch_multi_pick(const struct fetch_multi *m);
/* What this module sets on every handle (how sockets are opened and closed). */
void fetch_multi_prepare(struct fetch_multi *m, CURL *easy);
/* False when libcurl refuses (memory). */
bool fetch_multi_add(struct fetch_multi *m, unsigned shard, CURL *easy);
void fetch_multi_remove(struct fetch_multi *m, unsigned shard, CURL *easy);
