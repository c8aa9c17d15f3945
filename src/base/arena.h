#pragma once
/* Memory that is freed together: the one way to own memory that outlives a function.
 *
 * An arena hands out zeroed, 16-byte aligned memory and frees all of it in arena_done(). It never returns NULL: out of
 * memory panics (the process restarts, its state is durable). A `limit` (bytes, 0 = none) does not fail an allocation
 * either; it raises a sticky mark that owners test with arena_over() at their next safe point.
 * Not thread-safe; an arena belongs to one thread at a time. */
#include "base/str.h"

/* What the memory of many arenas comes to. Each chunk counts towards the account that was in charge when it was made,
 * and those above it, until it is freed, whoever owns it then; so an account lives on until its last chunk has gone. */
struct account {
    struct account *above; /* counts the same; NULL: none */
    size_t bytes;
    size_t users; /* its owner, chunks, and accounts below it */
};
struct account *account_new(struct account *above);
/* The owner has no more use for it. NULL is fine. */
void account_close(struct account *a);
/* The calling thread's chunks count towards `a` (NULL: nobody's account) from now on; returns what was in charge. */
struct account *account_charge(struct account *a);

struct arena_chunk;
struct arena {
    struct arena_chunk *chunk; /* newest first */
    size_t used;               /* bytes handed out, in all */
    size_t limit;              /* soft; 0 = none */
};

void arena_init(struct arena *a, size_t limit);
/* Frees everything; the arena is then empty and may be used again. An all-zero arena is valid too. */
void arena_done(struct arena *a);
static inline bool arena_over(const struct arena *a)
{
    return a->limit && a->used > a->limit;
}

/* For an empty arena: the next `n` bytes will lie in one chunk of just that size. */
void arena_reserve(struct arena *a, size_t n);
void *arena_alloc(struct arena *a, size_t n) __attribute__((malloc, alloc_size(2), returns_nonnull));
/* Room for `count` items of `size` bytes; panics when the product overflows. */
void *arena_calloc(struct arena *a, size_t count, size_t size) __attribute__((malloc, returns_nonnull));
#define ARENA_NEW(a, type) ((type *)arena_alloc((a), sizeof(type)))

/* Copies; the copy is NUL-terminated behind its length. */
struct str arena_str(struct arena *a, struct str s);
char *arena_cstr(struct arena *a, struct str s);
struct str arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
