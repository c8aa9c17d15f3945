/* Doubling growth; nothing clever. */
#include "base/buf.h"

#include "base/panic.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void buf_init(struct buf *b, size_t max)
{
    *b = (struct buf){.max = max < SIZE_MAX / 4 ? max : SIZE_MAX / 4};
}

void buf_done(struct buf *b)
{
    free(b->p);
    *b = (struct buf){.max = b->max};
}

char *buf_reserve(struct buf *b, size_t n)
{
    if (b->overflow || n > b->max || b->n > b->max - n) {
        b->overflow = true;
        return NULL;
    }
    size_t need = b->n + n + 1;
    if (need > b->cap) {
        size_t cap = b->cap ? b->cap * 2 : 64;
        while (cap < need)
            cap *= 2;
        if (cap > b->max + 1)
            cap = b->max + 1;
        char *p = realloc(b->p, cap);
        if (!p)
            PANIC("out of memory (%zu bytes)", cap);
        b->p = p;
        b->cap = cap;
    }
    return b->p + b->n;
}

void buf_add(struct buf *b, struct str s)
{
    char *at = buf_reserve(b, s.n);
    if (!at)
        return;
    if (s.n)
        memcpy(at, s.p, s.n);
    b->n += s.n;
    b->p[b->n] = 0;
}

void buf_addc(struct buf *b, char c)
{
    buf_add(b, (struct str){&c, 1});
}
void buf_addz(struct buf *b, const char *z)
{
    buf_add(b, str_c(z));
}

/* Everything is itself there, except the single quote, which ends them. */
void buf_add_shell_word(struct buf *b, struct str s)
{
    buf_addc(b, '\'');
    for (size_t at; !b->overflow && (at = str_find(s, STR("'"))) != SIZE_MAX; s = str_from(s, at + 1)) {
        buf_add(b, str_n(s.p, at));
        buf_addz(b, "'\\''");
    }
    buf_add(b, s);
    buf_addc(b, '\'');
}

void buf_add_shell_arg(struct buf *b, struct str s)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./=:,+@%^";
    bool quoted = s.n == 0;
    for (size_t i = 0; i < s.n && !quoted; i++)
        quoted = !memchr(plain, s.p[i], sizeof plain - 1);
    (quoted ? buf_add_shell_word : buf_add)(b, s);
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    CHECK(n >= 0);
    char *at = buf_reserve(b, (size_t)n);
    if (at) {
        vsnprintf(at, (size_t)n + 1, fmt, again);
        b->n += (size_t)n;
    }
    va_end(again);
    va_end(ap);
}

void buf_consume(struct buf *b, size_t n)
{
    CHECK(n <= b->n);
    if (!n)
        return;
    b->n -= n;
    memmove(b->p, b->p + n, b->n + 1); /* the NUL too */
}
