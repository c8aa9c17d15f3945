/* Chunks that double from 512 bytes to 64 KiB, so that ten thousand small arenas are cheap and a big one is not slow.
 * An allocation larger than a quarter of the next chunk gets a chunk of its own behind the current one, so that it does
 * not waste what is left there. */
#include "base/arena.h"

#include "base/panic.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { ALIGN = 16, CHUNK_MIN = 512, CHUNK_MAX = 64 << 10 };

struct arena_chunk {
    struct arena_chunk *next;
    struct account *account;
    size_t cap, used;
    _Alignas(ALIGN) char mem[];
};

static _Thread_local struct account *charged;

struct account *account_charge(struct account *a)
{
    struct account *before = charged;
    charged = a;
    return before;
}

struct account *account_new(struct account *above)
{
    struct account *a = calloc(1, sizeof *a);
    if (!a)
        PANIC("out of memory (%zu bytes)", sizeof *a);
    *a = (struct account){.above = above, .users = 1};
    if (above)
        above->users++;
    return a;
}

void account_close(struct account *a)
{
    while (a && --a->users == 0) {
        struct account *above = a->above;
        free(a);
        a = above;
    }
}

static size_t size_of(const struct arena_chunk *c)
{
    return sizeof *c + c->cap;
}

static void count(struct arena_chunk *c)
{
    c->account = charged;
    if (!charged)
        return;
    charged->users++;
    for (struct account *a = charged; a; a = a->above)
        a->bytes += size_of(c);
}

static void discount(const struct arena_chunk *c)
{
    for (struct account *a = c->account; a; a = a->above)
        a->bytes -= size_of(c);
    account_close(c->account);
}

void arena_init(struct arena *a, size_t limit)
{
    *a = (struct arena){.limit = limit};
}

void arena_done(struct arena *a)
{
    struct arena_chunk *c = a->chunk;
    while (c) {
        struct arena_chunk *next = c->next;
        discount(c);
        free(c);
        c = next;
    }
    *a = (struct arena){.limit = a->limit};
}

static struct arena_chunk *chunk_new(size_t cap)
{
    struct arena_chunk *c = calloc(1, sizeof *c + cap);
    if (!c)
        PANIC("out of memory (%zu bytes)", cap);
    c->cap = cap;
    count(c);
    return c;
}

void arena_reserve(struct arena *a, size_t n)
{
    CHECK(!a->chunk && n < (size_t)1 << 40);
    a->chunk = chunk_new((n + ALIGN - 1) & ~(size_t)(ALIGN - 1));
}

void *arena_alloc(struct arena *a, size_t n)
{
    CHECK(n < (size_t)1 << 40);
    n = (n + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    a->used += n;
    struct arena_chunk *c = a->chunk;
    if (!c || c->cap - c->used < n) {
        size_t cap = c ? c->cap * 2 : CHUNK_MIN;
        if (cap > CHUNK_MAX)
            cap = CHUNK_MAX;
        if (c && n > cap / 4) {
            struct arena_chunk *own = chunk_new(n);
            own->used = n;
            own->next = c->next;
            c->next = own;
            return own->mem;
        }
        struct arena_chunk *fresh = chunk_new(n > cap ? n : cap);
        fresh->next = c;
        a->chunk = c = fresh;
    }
    void *p = c->mem + c->used;
    c->used += n;
    return p;
}

void *arena_calloc(struct arena *a, size_t count, size_t size)
{
    size_t n;
    CHECK(!__builtin_mul_overflow(count, size, &n));
    return arena_alloc(a, n);
}

char *arena_cstr(struct arena *a, struct str s)
{
    char *p = arena_alloc(a, s.n + 1);
    if (s.n)
        memcpy(p, s.p, s.n);
    return p;
}

struct str arena_str(struct arena *a, struct str s)
{
    return (struct str){arena_cstr(a, s), s.n};
}

struct str arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    CHECK(n >= 0);
    char *p = arena_alloc(a, (size_t)n + 1);
    vsnprintf(p, (size_t)n + 1, fmt, again);
    va_end(again);
    va_end(ap);
    return (struct str){p, (size_t)n};
}
