/* Of what keyprint.c finds, from left to right: the match that begins first, of several the longest, and on behind it.
 *
 * In a stream, whether a key begins at a place is known when so much has come behind it that none could be unfinished:
 * that is so before the open end. Up to there the decisions are those of the whole text, since they look at nothing to
 * the left but where the last key ended; so they are made, and the rest waits. */
#include "base/keyprint_int.h"

#include "base/buf.h"
#include "base/panic.h"

#include <stdio.h>
#include <stdlib.h>

/* Puts out `s`, but what may only be decided later; returns how much of it that leaves at the end. */
static size_t put(struct str s, bool joined, size_t open, struct keyprint_proved *proved, keyprint_out *out, void *ctx)
{
    struct keymatches m = {0};
    size_t at = 0, decided = s.n - open;
    keyprints_scan(s, joined, proved, &m);
    for (size_t i = 0; i < m.n && m.v[i].begin < decided; i++) {
        char text[80];
        if (m.v[i].begin < at)
            continue;
        if (m.v[i].begin > at)
            out(ctx, s.p + at, m.v[i].begin - at);
        int n = snprintf(text, sizeof text, "[secret %s]", m.v[i].print->name);
        out(ctx, text, (size_t)n);
        at = m.v[i].end;
    }
    free(m.v);
    if (decided > at) {
        out(ctx, s.p + at, decided - at);
        at = decided;
    }
    return s.n - at;
}

static void into_buf(void *ctx, const char *bytes, size_t n)
{
    buf_add(ctx, str_n(bytes, n));
}

struct str keyprints_cover(struct arena *a, struct str s)
{
    size_t at;
    const char *name;
    struct keyprint_proved proved[KEYPRINT_PROVED] = {{0}};
    struct buf b;
    if (!keyprints_find(s, &at, &name))
        return s;
    buf_init(&b, SIZE_MAX);
    (void)put(s, true, 0, proved, into_buf, &b);
    explicit_bzero(proved, sizeof proved);
    CHECK(!b.overflow);
    s = arena_str(a, buf_str(&b));
    buf_done(&b);
    return s;
}

bool keyprints_find(struct str s, size_t *at, const char **name)
{
    struct keymatches m = {0};
    struct keyprint_proved proved[KEYPRINT_PROVED] = {{0}};
    if (s.n < KEYPRINT_LEAST || !keyprints_used())
        return false;
    keyprints_scan(s, true, proved, &m);
    explicit_bzero(proved, sizeof proved);
    bool any = m.n > 0;
    if (any)
        *at = m.v[0].begin, *name = m.v[0].print->name;
    free(m.v);
    return any;
}

static void hold(struct keyprint_stream *s, const char *bytes, size_t n)
{
    if (s->n + n > s->cap) {
        s->cap = 2 * (s->n + n);
        s->held = realloc(s->held, s->cap);
        CHECK(s->held);
    }
    if (n)
        memcpy(s->held + s->n, bytes, n);
    s->n += n;
}

void keyprint_stream_add(struct keyprint_stream *s, const char *bytes, size_t n, keyprint_out *out, void *ctx)
{
    if (!n)
        return;
    if (!keyprints_used() && !s->n) {
        out(ctx, bytes, n);
        return;
    }
    struct str all = str_n(bytes, n);
    if (s->n) {
        hold(s, bytes, n);
        all = str_n(s->held, s->n);
    }
    size_t left = put(all, !s->lines, keyprints_open_end(all, !s->lines), s->proved, out, ctx);
    if (s->n) {
        memmove(s->held, s->held + s->n - left, left);
        s->n = left;
    } else {
        hold(s, bytes + n - left, left);
    }
}

void keyprint_stream_end(struct keyprint_stream *s, keyprint_out *out, void *ctx)
{
    if (s->n && out)
        (void)put(str_n(s->held, s->n), !s->lines, 0, s->proved, out, ctx);
    if (s->held)
        explicit_bzero(s->held, s->cap);
    free(s->held);
    explicit_bzero(s->proved, sizeof s->proved);
    *s = (struct keyprint_stream){.lines = s->lines};
}
