/* Diffs of texts: known ones, and for random ones that they lead from one to the other and are as short as can be. */
#include "data/textdiff.h"

#include "base/arena.h"
#include "base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void known(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to, *hunks;
        size_t added, removed;
    } cases[] = {
        {"", "", "", 0, 0},
        {"a\n", "a\n", "", 0, 0},
        {"", "a\nb\n", "@@ -0,0 +1,2 @@\n+a\n+b\n", 2, 0},
        {"a\n", "", "@@ -1 +0,0 @@\n-a\n", 0, 1},
        {"a\nb\nc\n", "a\nx\nc\n", "@@ -1,3 +1,3 @@\n a\n-b\n+x\n c\n", 1, 1},
        {"a\nb", "a\nb\n", "@@ -1,2 +1,2 @@\n a\n-b\n\\ No newline at end of file\n+b\n", 1, 1},
        {"1\n2\n3\n4\n5\n6\n7\n8\n", "1\n2\n3\n4\n5\n6\n7\n8\n9\n", "@@ -6,3 +6,4 @@\n 6\n 7\n 8\n+9\n", 1, 0},
        /* seven lines between two changes are two hunks, six are one */
        {"x\n1\n2\n3\n4\n5\n6\n7\ny\n", "X\n1\n2\n3\n4\n5\n6\n7\nY\n",
         "@@ -1,4 +1,4 @@\n-x\n+X\n 1\n 2\n 3\n@@ -6,4 +6,4 @@\n 5\n 6\n 7\n-y\n+Y\n", 2, 2},
        {"x\n1\n2\n3\n4\n5\n6\ny\n", "X\n1\n2\n3\n4\n5\n6\nY\n",
         "@@ -1,8 +1,8 @@\n-x\n+X\n 1\n 2\n 3\n 4\n 5\n 6\n-y\n+Y\n", 2, 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf b;
        struct textdiff got;
        buf_init(&b, 1 << 20);
        textdiff(str_c(cases[i].from), str_c(cases[i].to), &b, &got);
        if (!str_is(buf_str(&b), cases[i].hunks))
            fail_msg("case %zu: %s", i, b.p ? b.p : "");
        assert_int_equal(got.added, cases[i].added);
        assert_int_equal(got.removed, cases[i].removed);
        buf_done(&b);
    }
}

static struct str line_of(struct str *s)
{
    const char *end = s->n ? memchr(s->p, '\n', s->n) : NULL;
    struct str line = str_n(s->p, end ? (size_t)(end - s->p) + 1 : s->n);
    *s = str_from(*s, line.n);
    return line;
}

/* What patch would make of `from`; every context and removed line must be there. */
static struct str patched(struct arena *a, struct str from, struct str hunks)
{
    struct buf out;
    size_t at = 0;
    buf_init(&out, 1 << 20);
    while (hunks.n) {
        struct str line = line_of(&hunks);
        size_t start = 0, count = 1;
        if (str_starts(line, STR("@@ -"))) {
            char head[80];
            snprintf(head, sizeof head, "%.*s", STR_ARG(line));
            int fields = sscanf(head, "@@ -%zu,%zu", &start, &count);
            assert_true(fields >= 1);
            for (size_t want = count ? start - 1 : start; at < want; at++)
                buf_add(&out, line_of(&from));
            continue;
        }
        char sign = line.p[0];
        line = str_from(line, 1);
        if (str_starts(hunks, STR("\\ No newline"))) {
            (void)line_of(&hunks);
            line.n--;
        }
        if (sign != '+') {
            struct str own = line_of(&from);
            if (!str_eq(own, line))
                fail_msg("`%.*s` is not `%.*s`", STR_ARG(own), STR_ARG(line));
            at++;
        }
        if (sign != '-')
            buf_add(&out, line);
    }
    buf_add(&out, from);
    struct str ret = arena_str(a, buf_str(&out));
    buf_done(&out);
    return ret;
}

/* The length of the longest common subsequence of lines, by the definition. */
static size_t common(struct str a, struct str b)
{
    static size_t len[64][64];
    struct str x[64], y[64];
    size_t n = 0, m = 0;
    while (a.n)
        x[n++] = line_of(&a);
    while (b.n)
        y[m++] = line_of(&b);
    for (size_t i = 0; i <= n; i++)
        for (size_t k = 0; k <= m; k++)
            len[i][k] = !i || !k                        ? 0
                        : str_eq(x[i - 1], y[k - 1])    ? len[i - 1][k - 1] + 1
                        : len[i - 1][k] > len[i][k - 1] ? len[i - 1][k]
                                                        : len[i][k - 1];
    return len[n][m];
}

static struct str random_text(struct arena *a, struct rng *r, size_t most)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    size_t n = (size_t)(rng_next(r) % (most + 1)), letters = 1 + (size_t)(rng_next(r) % 6);
    for (size_t i = 0; i < n; i++)
        buf_printf(&b, "%c%s", (char)('a' + rng_next(r) % letters), i + 1 < n || rng_next(r) % 4 ? "\n" : "");
    struct str ret = arena_str(a, buf_str(&b));
    buf_done(&b);
    return ret;
}

static void random_ones(void **state)
{
    (void)state;
    struct rng r;
    rng_seed(&r, 11);
    for (int i = 0; i < 20000; i++) {
        struct arena a = {0};
        struct buf b;
        struct textdiff got;
        struct str from = random_text(&a, &r, 40), to = random_text(&a, &r, 40), rest = from;
        buf_init(&b, 1 << 20);
        textdiff(from, to, &b, &got);
        struct str made = patched(&a, from, buf_str(&b));
        if (!str_eq(made, to))
            fail_msg("%d: from\n%.*s\nto\n%.*s\nby\n%s", i, STR_ARG(from), STR_ARG(to), b.p);
        size_t lines = 0;
        while (rest.n)
            (void)line_of(&rest), lines++;
        assert_int_equal(lines - got.removed, common(from, to));
        assert_false(got.coarse);
        buf_done(&b);
        arena_done(&a);
    }
}

static void much_that_differs(void **state)
{
    (void)state;
    struct arena a = {0};
    struct buf from, to, b;
    struct textdiff got;
    buf_init(&from, 1 << 22);
    buf_init(&to, 1 << 22);
    buf_init(&b, 1 << 23);
    for (int i = 0; i < 60000; i++) {
        buf_printf(&from, "a%d\n", i % 7 ? i : 0);
        buf_printf(&to, "b%d\n", i % 5 ? i : 0);
    }
    textdiff(buf_str(&from), buf_str(&to), &b, &got);
    assert_true(got.coarse);
    assert_int_equal(got.added, 60000);
    struct buf whole;
    buf_init(&whole, 1 << 23);
    textdiff(buf_str(&to), buf_str(&to), &whole, &got);
    assert_int_equal(whole.n, 0);
    buf_done(&whole);
    buf_done(&from);
    buf_done(&to);
    buf_done(&b);
    arena_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known),
        cmocka_unit_test(random_ones),
        cmocka_unit_test(much_that_differs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
