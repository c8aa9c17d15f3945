#pragma once
/* Who called how often, and how it ended: kept in memory, and line by line in files. Part of fake_provider.c. */
#include "base/clock.h"
#include "base/map.h"
#include "base/panic.h"
#include "base/sha256.h"
#include "call.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum outcome { STARTED, COMPLETED, ABORTED, CUT, OUTCOMES };
static const char *const outcome_names[OUTCOMES] = {"started", "completed", "aborted", "cut"};
static const char *const event_names[OUTCOMES] = {"start", "finish", "abort", "cut"};

enum { MAX_KEYS = 1000000 };

struct tally {
    struct str key;
    int64_t count[OUTCOMES];
};

struct ledger {
    struct arena arena;
    struct map map;
    uint64_t generation; /* grows with each reset: a call of before is not counted after */
    uint64_t seq;
    int64_t in_flight, peak_in_flight, unauthorized;
    int events_fd, requests_fd; /* or -1 */
};

static struct str ledger_key(struct arena *a, const struct call *c, struct str body)
{
    if (c->marker.n)
        return arena_printf(a, "%s:%.*s#%lld", provider_names[c->provider], STR_ARG(c->marker), (long long)c->turn);
    struct sha256 hash = sha256_of(body);
    return arena_printf(a, "%s:%s", provider_names[c->provider], sha256_hex(&hash).z);
}

static struct tally *ledger_tally(struct ledger *l, struct str key)
{
    struct tally *t = map_get(&l->map, key);
    if (t)
        return t;
    if (l->map.n >= MAX_KEYS) {
        t = map_get(&l->map, STR("(too many keys)"));
        if (t)
            return t;
        key = STR("(too many keys)");
    }
    t = ARENA_NEW(&l->arena, struct tally);
    t->key = arena_str(&l->arena, key);
    map_put(&l->map, t->key, t);
    return t;
}

static void write_all(int fd, struct str s)
{
    while (s.n) {
        ssize_t n = write(fd, s.p, s.n);
        if (n < 0 && errno != EINTR)
            PANIC("cannot write the ledger: %s", strerror(errno));
        s = str_from(s, n < 0 ? 0 : (size_t)n);
    }
}

/* One line, with one write(): what a killed program left is whole. */
static void ledger_line(struct ledger *l, const struct tally *t, enum outcome what, uint64_t seq, int64_t nth)
{
    if (l->events_fd < 0)
        return;
    struct timespec wall;
    clock_gettime(CLOCK_REALTIME, &wall);
    struct buf line;
    buf_init(&line, 4096);
    buf_printf(&line, "{\"event\":\"%s\",\"id\":%llu,\"key\":", event_names[what], (unsigned long long)seq);
    json_write_str(&line, t->key);
    buf_printf(&line, ",\"nth\":%lld,\"mono_us\":%lld,\"wall_us\":%lld}\n", (long long)nth, (long long)clock_mono_us(),
               (long long)wall.tv_sec * 1000000 + wall.tv_nsec / 1000);
    write_all(l->events_fd, buf_str(&line));
    buf_done(&line);
}

static void ledger_request(struct ledger *l, const struct call *c, struct str key, int64_t nth)
{
    if (l->requests_fd < 0)
        return;
    struct buf line;
    buf_init(&line, (size_t)128 << 20);
    buf_printf(&line, "{\"provider\":\"%s\",\"key\":", provider_names[c->provider]);
    json_write_str(&line, key);
    buf_printf(&line, ",\"turn\":%lld,\"nth\":%lld,\"body\":", (long long)c->turn, (long long)nth);
    json_write(&line, &c->root, JSON_COMPACT);
    buf_addz(&line, "}\n");
    write_all(l->requests_fd, buf_str(&line));
    buf_done(&line);
}

static int by_key(const void *a, const void *b)
{
    return str_cmp((*(struct tally *const *)a)->key, (*(struct tally *const *)b)->key);
}

static void ledger_write(const struct ledger *l, struct buf *out)
{
    struct tally **all = calloc(l->map.n + 1, sizeof *all);
    CHECK(all);
    size_t n = 0, at = 0;
    for (struct map_entry *e; (e = map_next(&l->map, &at));)
        all[n++] = e->value;
    qsort(all, n, sizeof *all, by_key);
    buf_addc(out, '{');
    for (size_t i = 0; i < n; i++) {
        buf_addz(out, i ? ",\n" : "");
        json_write_str(out, all[i]->key);
        for (int o = 0; o < OUTCOMES; o++)
            buf_printf(out, "%s\"%s\":%lld", o ? "," : ":{", outcome_names[o], (long long)all[i]->count[o]);
        buf_addc(out, '}');
    }
    buf_addz(out, "}\n");
    free(all);
}

static void ledger_reset(struct ledger *l)
{
    map_done(&l->map);
    arena_done(&l->arena);
    l->map = (struct map){0};
    l->generation++;
    l->in_flight = l->peak_in_flight = l->unauthorized = 0;
}
