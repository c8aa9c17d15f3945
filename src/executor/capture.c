/* Head and tail: the first lines say what was run, the last ones how it ended; both are what people and models look
 * for in a long log. A cut never splits a character: bytes of one that is cut in two count as left out. */
#include "executor/capture.h"

#include "base/buf.h"
#include "base/panic.h"

#include <stdlib.h>

void capture_init(struct capture *c, size_t limit)
{
    *c = (struct capture){.limit = limit};
}

void capture_done(struct capture *c)
{
    free(c->head);
    free(c->tail);
    *c = (struct capture){.limit = c->limit};
}

static size_t head_limit(const struct capture *c)
{
    return c->limit - c->limit / 2;
}

static void head_add(struct capture *c, const char *p, size_t n)
{
    if (c->nhead + n > c->cap_head) {
        size_t cap = c->cap_head ? c->cap_head * 2 : 1024;
        while (cap < c->nhead + n)
            cap *= 2;
        char *q = realloc(c->head, cap);
        if (!q)
            PANIC("out of memory (%zu bytes)", cap);
        c->head = q, c->cap_head = cap;
    }
    memcpy(c->head + c->nhead, p, n);
    c->nhead += n;
}

static void tail_add(struct capture *c, const char *p, size_t n)
{
    size_t cap = c->limit / 2;
    if (cap == 0)
        return;
    if (!c->tail && !(c->tail = malloc(cap)))
        PANIC("out of memory (%zu bytes)", cap);
    if (n > cap)
        p += n - cap, n = cap;
    size_t first = n < cap - c->at ? n : cap - c->at;
    memcpy(c->tail + c->at, p, first);
    memcpy(c->tail, p + first, n - first);
    c->at = (c->at + n) % cap;
    c->ntail = c->ntail + n < cap ? c->ntail + n : cap;
}

void capture_add(struct capture *c, const char *p, size_t n)
{
    size_t room = head_limit(c) - c->nhead, head = n < room ? n : room;
    c->total += n;
    if (head)
        head_add(c, p, head);
    if (n > head)
        tail_add(c, p + head, n - head);
}

static bool is_continuation(char c)
{
    return ((unsigned char)c & 0xC0) == 0x80;
}

struct str text_whole(struct str s)
{
    for (size_t back = 1; back <= 3 && back <= s.n; back++) {
        unsigned char c = (unsigned char)s.p[s.n - back];
        if (is_continuation((char)c))
            continue;
        size_t need = c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : c >= 0xC0 ? 2 : 1;
        return need > back ? str_n(s.p, s.n - back) : s;
    }
    return s;
}

struct str capture_text(const struct capture *c, struct arena *a)
{
    size_t cap = c->limit / 2;
    char *tail = arena_alloc(a, c->ntail + 1);
    bool wrapped = cap && c->ntail == cap;
    if (c->ntail) {
        size_t start = wrapped ? c->at : 0, first = c->ntail - start;
        memcpy(tail, c->tail + start, first);
        memcpy(tail + first, c->tail, c->ntail - first);
    }
    struct str head = {c->head ? c->head : "", c->nhead}, end = {tail, c->ntail};
    if (capture_truncated(c)) {
        head = text_whole(head);
        for (int i = 0; i < 3 && end.n && is_continuation(end.p[0]); i++)
            end = str_from(end, 1);
    }
    struct buf b;
    buf_init(&b, c->limit + 128);
    buf_add(&b, head);
    if (capture_truncated(c))
        buf_printf(&b, "\n[... %llu bytes left out ...]\n", (unsigned long long)(c->total - head.n - end.n));
    buf_add(&b, end);
    CHECK(!b.overflow);
    struct str clean = text_clean(a, buf_str(&b));
    if (clean.p == buf_str(&b).p)
        clean = arena_str(a, clean);
    buf_done(&b);
    return clean;
}

/* Bytes at the start of `s` (which is not valid there) that one U+FFFD stands for: a lead byte and the bytes that could
 * have gone on from it, as Unicode recommends (3.9, "maximal subpart"). */
static size_t bad_part(struct str s)
{
    static const char *const fill[3] = {"\x80", "\x80\x80", "\x80\x80\x80"};
    /* A prefix is a possible beginning if some completion of it is valid; the extreme completions decide that. */
    for (size_t n = s.n < 3 ? s.n : 3; n > 1; n--) {
        for (size_t k = 0; k < 3 && n + k + 1 <= 4; k++) {
            char t[8];
            memcpy(t, s.p, n);
            memcpy(t + n, fill[k], k + 1);
            if (str_utf8_valid((struct str){t, n + k + 1}) >= n)
                return n;
        }
    }
    return 1;
}

struct str text_clean(struct arena *a, struct str s)
{
    size_t good = str_utf8_valid(s);
    if (good == s.n)
        return s;
    CHECK(s.n < SIZE_MAX / 3 - 1);
    size_t bad = 0;
    for (struct str rest = str_from(s, good); rest.n; rest = str_from(rest, str_utf8_valid(rest))) {
        rest = str_from(rest, bad_part(rest));
        bad++;
    }
    char *p = arena_alloc(a, s.n + bad * 3 + 1);
    size_t n = 0;
    while (s.n) {
        good = str_utf8_valid(s);
        memcpy(p + n, s.p, good);
        n += good;
        s = str_from(s, good);
        if (s.n) {
            memcpy(p + n, "\xEF\xBF\xBD", 3);
            n += 3;
            s = str_from(s, bad_part(s));
        }
    }
    return (struct str){p, n};
}
