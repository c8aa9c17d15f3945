/* Myers' algorithm in its linear-space form: from both ends at once until the ways meet, then the two halves by
 * themselves. Lines are compared by numbers that equal lines share. What is alike at both ends is taken off first,
 * which for most changes is nearly everything. The number of differences that is searched through is limited: where two
 * stretches differ by more, all of one is said to have become all of the other, which is true, only longer. */
#include "data/textdiff.h"

#include "base/arena.h"
#include "base/map.h"

enum { CONTEXT = 3, DIFFERENCES_MAX = 1000 };

struct text {
    struct str *lines;
    uint32_t *id; /* equal lines have the same */
    bool *changed;
    size_t n;
};

struct job {
    struct arena arena;
    struct text a, b;
    struct map ids; /* line -> its number + 1, as a pointer */
    int64_t *forth, *back;
    bool coarse;
};

/* ---- lines ---- */

static void read_text(struct job *j, struct str s, struct text *t)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++)
        n += s.p[i] == '\n';
    n += s.n && s.p[s.n - 1] != '\n';
    t->lines = arena_calloc(&j->arena, n + 1, sizeof *t->lines);
    t->id = arena_calloc(&j->arena, n + 1, sizeof *t->id);
    t->changed = arena_calloc(&j->arena, n + 1, sizeof *t->changed);
    while (s.n) {
        const char *end = memchr(s.p, '\n', s.n);
        struct str line = str_n(s.p, end ? (size_t)(end - s.p) + 1 : s.n);
        uint32_t *id = map_get(&j->ids, line);
        if (!id) {
            id = ARENA_NEW(&j->arena, uint32_t);
            *id = (uint32_t)j->ids.n;
            map_put(&j->ids, line, id);
        }
        t->lines[t->n] = line;
        t->id[t->n++] = *id;
        s = str_from(s, line.n);
    }
}

/* ---- the shortest way ---- */

struct span { /* a stretch of each text */
    size_t a, a_end, b, b_end;
};
struct meeting { /* a piece in the middle that is alike (it may be empty) */
    size_t a, b, a_end, b_end;
};

/* How far one gets on diagonal k (lines of `a` less lines of `b`) with one more difference; -1: not at all. */
static int64_t step(const int64_t *v, int64_t k, int64_t n, int64_t m)
{
    int64_t right = v[k - 1] >= 0 && v[k - 1] < n ? v[k - 1] + 1 : -1;
    int64_t down = v[k + 1] >= 0 && v[k + 1] - k <= m ? v[k + 1] : -1;
    return right > down ? right : down;
}

/* Where a shortest way through the box comes from the front and from the end; false: it is too long. */
static bool meet(struct job *j, const struct span *x, struct meeting *ret)
{
    int64_t n = (int64_t)(x->a_end - x->a), m = (int64_t)(x->b_end - x->b), delta = n - m;
    int64_t most = (n + m + 1) / 2 < DIFFERENCES_MAX ? (n + m + 1) / 2 : DIFFERENCES_MAX;
    int64_t *f = j->forth + DIFFERENCES_MAX + 2, *r = j->back + DIFFERENCES_MAX + 2;
    for (int64_t k = -most - 1; k <= most + 1; k++)
        f[k] = r[k] = -1;
    for (int64_t d = 0; d <= most; d++) {
        for (int64_t k = -d; k <= d; k += 2) {
            int64_t at = d ? step(f, k, n, m) : 0, i = at;
            while (i >= 0 && i < n && i - k < m && j->a.id[x->a + (size_t)i] == j->b.id[x->b + (size_t)(i - k)])
                i++;
            f[k] = i;
            int64_t other = delta - k; /* the same diagonal, counted from the end */
            if (at >= 0 && (delta & 1) && other >= -d && other <= d && r[other] >= 0 && i + r[other] >= n) {
                *ret = (struct meeting){x->a + (size_t)at, x->b + (size_t)(at - k), x->a + (size_t)i,
                                        x->b + (size_t)(i - k)};
                return true;
            }
        }
        for (int64_t k = -d; k <= d; k += 2) {
            int64_t at = d ? step(r, k, n, m) : 0, i = at;
            while (i >= 0 && i < n && i - k < m &&
                   j->a.id[x->a_end - 1 - (size_t)i] == j->b.id[x->b_end - 1 - (size_t)(i - k)])
                i++;
            r[k] = i;
            int64_t other = delta - k;
            if (at >= 0 && !(delta & 1) && other >= -d && other <= d && f[other] >= 0 && i + f[other] >= n) {
                *ret = (struct meeting){x->a_end - (size_t)i, x->b_end - (size_t)(i - k), x->a_end - (size_t)at,
                                        x->b_end - (size_t)(at - k)};
                return true;
            }
        }
    }
    return false;
}

static void mark(struct text *t, size_t from, size_t end)
{
    for (; from < end; from++)
        t->changed[from] = true;
}

/* The halves of a box have half its differences, so this nests no deeper than their number can be halved. */
static void compare(struct job *j, struct span x)
{
    struct meeting at;
    while (x.a < x.a_end && x.b < x.b_end && j->a.id[x.a] == j->b.id[x.b])
        x.a++, x.b++;
    while (x.a < x.a_end && x.b < x.b_end && j->a.id[x.a_end - 1] == j->b.id[x.b_end - 1])
        x.a_end--, x.b_end--;
    bool simple = x.a == x.a_end || x.b == x.b_end;
    if (!simple && meet(j, &x, &at)) {
        compare(j, (struct span){x.a, at.a, x.b, at.b});
        compare(j, (struct span){at.a_end, x.a_end, at.b_end, x.b_end});
        return;
    }
    j->coarse |= !simple;
    mark(&j->a, x.a, x.a_end);
    mark(&j->b, x.b, x.b_end);
}

/* ---- hunks ---- */

static void put_line(struct buf *out, char sign, struct str line)
{
    buf_addc(out, sign);
    buf_add(out, line);
    if (!str_ends(line, STR("\n")))
        buf_addz(out, "\n\\ No newline at end of file\n");
}

static void put_range(struct buf *out, char sign, size_t from, size_t end)
{
    size_t n = end - from;
    buf_printf(out, "%c%zu", sign, n ? from + 1 : from);
    if (n != 1)
        buf_printf(out, ",%zu", n);
}

/* Lines from (i, k) to (i_end, k_end): unchanged ones are in both. */
static void put_hunk(const struct job *j, struct buf *out, struct span x)
{
    buf_addz(out, "@@ ");
    put_range(out, '-', x.a, x.a_end);
    buf_addc(out, ' ');
    put_range(out, '+', x.b, x.b_end);
    buf_addz(out, " @@\n");
    while (x.a < x.a_end || x.b < x.b_end) {
        if (x.a < x.a_end && j->a.changed[x.a])
            put_line(out, '-', j->a.lines[x.a++]);
        else if (x.b < x.b_end && j->b.changed[x.b])
            put_line(out, '+', j->b.lines[x.b++]);
        else
            put_line(out, ' ', j->a.lines[x.a++]), x.b++;
    }
}

static void put_hunks(const struct job *j, struct buf *out)
{
    struct span x = {0};
    for (;;) {
        while (x.a < j->a.n && !j->a.changed[x.a] && x.b < j->b.n && !j->b.changed[x.b])
            x.a++, x.b++;
        if (x.a == j->a.n && x.b == j->b.n)
            return;
        size_t before = x.a < CONTEXT ? x.a : CONTEXT, alike = 0;
        before = x.b < before ? x.b : before;
        struct span h = {x.a - before, x.a, x.b - before, x.b};
        while (alike <= 2 * CONTEXT && (x.a < j->a.n || x.b < j->b.n)) {
            bool gone = x.a < j->a.n && j->a.changed[x.a], new = x.b < j->b.n && j->b.changed[x.b];
            alike = gone || new ? 0 : alike + 1;
            x.a += gone || !new;
            x.b += !gone;
        }
        size_t trim = alike > CONTEXT ? alike - CONTEXT : 0; /* of what is alike behind it */
        h.a_end = x.a - trim, h.b_end = x.b - trim;
        put_hunk(j, out, h);
        x.a = h.a_end, x.b = h.b_end;
    }
}

void textdiff(struct str from, struct str to, struct buf *out, struct textdiff *ret)
{
    struct job j = {0};
    read_text(&j, from, &j.a);
    read_text(&j, to, &j.b);
    j.forth = arena_calloc(&j.arena, 2 * (DIFFERENCES_MAX + 2) + 1, sizeof *j.forth);
    j.back = arena_calloc(&j.arena, 2 * (DIFFERENCES_MAX + 2) + 1, sizeof *j.back);
    compare(&j, (struct span){0, j.a.n, 0, j.b.n});
    *ret = (struct textdiff){.coarse = j.coarse};
    for (size_t i = 0; i < j.a.n; i++)
        ret->removed += j.a.changed[i];
    for (size_t i = 0; i < j.b.n; i++)
        ret->added += j.b.changed[i];
    if (out)
        put_hunks(&j, out);
    map_done(&j.ids);
    arena_done(&j.arena);
}
