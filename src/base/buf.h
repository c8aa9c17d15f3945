#pragma once
/* A growing byte buffer with a mandatory ceiling.
 *
 * Every buffer states how large it may become. Appending past that (or past memory) sets `overflow`, which stays set:
 * later appends do nothing, and the owner tests it once, at the end. What is in the buffer up to then stays readable.
 * The bytes are followed by a NUL that does not count. */
#include "base/str.h"

struct buf {
    char *p;
    size_t n, cap, max;
    bool overflow;
};

void buf_init(struct buf *b, size_t max);
void buf_done(struct buf *b); /* frees; safe on an all-zero struct */
static inline void buf_clear(struct buf *b)
{
    b->n = 0, b->overflow = false;
    if (b->p)
        b->p[0] = 0;
}
static inline struct str buf_str(const struct buf *b)
{
    return (struct str){b->p ? b->p : "", b->n};
}

void buf_add(struct buf *b, struct str s);
void buf_addc(struct buf *b, char c);
void buf_addz(struct buf *b, const char *z);
/* In single quotes: to a shell one word, whatever is in it (it must hold no NUL). */
void buf_add_shell_word(struct buf *b, struct str s);
/* The same as people write it: in quotes only where something in it has a meaning to a shell. */
void buf_add_shell_arg(struct buf *b, struct str s);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Makes room for `n` more bytes and returns where they go, or NULL (overflow is then set). Caller adds to b->n. */
char *buf_reserve(struct buf *b, size_t n);
/* Drops the first `n` bytes. */
void buf_consume(struct buf *b, size_t n);
