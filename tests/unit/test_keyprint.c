/* Keys that are known by their fingerprints alone: in which texts they are found, and in which not; by which pieces a
 * text may come; and what a fingerprint says to whoever has it. */
#include "../keyprint_reference.h"
#include "base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define SHORT "0123456789abcdef0123"
static const struct {
    const char *text, *after; /* NULL: as it was */
} cases[] = {
    {"", NULL},
    {"0123456789abcdef012", NULL},
    {SHORT, "[secret SHORT]"},
    {"x" SHORT "x", "x[secret SHORT]x"},
    {"KEY=" SHORT "\nnext", "KEY=[secret SHORT]\nnext"},
    {SHORT SHORT, "[secret SHORT][secret SHORT]"},
    {"123456789abcdef" SHORT, "123456789abcdef[secret SHORT]"},
    {"0123456789abcdeg0123", NULL},
    {"3031323334353637383961626364656630313233", "[secret SHORT]"},
    {"a3031323334353637383961626364656630313233", "a[secret SHORT]"},
    {"MDEyMzQ1Njc4OWFiY2RlZjAxMjM=", "[secret SHORT]="},
    {"eDAxMjM0NTY3ODlhYmNkZWYwMTIz", "e[secret SHORT]"}, /* "x" before it: a character that is partly the key's goes */
    {"eHgwMTIzNDU2Nzg5YWJjZGVmMDEyMw==", "eH[secret SHORT]=="},
    {"<with!odd$characters%in&it>", "<[secret ODD]>"},
    {"with!odd$characters%in&i", NULL},
    {"of MDEyMzQ1Njc4OWFi\nY2RlZjAxMjM=\n", "of [secret SHORT]=\n"},
    {"30313233343536373839616263\r\n64656630313233\r\n", "[secret SHORT]\r\n"},
    {"0123456789abcdef\n0123", NULL},
    {"MDEyMzQ1Njc4OWFi\n\n\nY2RlZjAxMjM=", NULL},
    {"four words and \xc3\xa9 of it", "[secret SPACED]"},
    {"aaaaaaaaaaaaaaaaaaaaaaa", NULL},
    {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "[secret SAME][secret SAME]aa"},
};

static void test_texts(void **state)
{
    struct arena a = {0};
    (void)state;
    reference_use();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct str text = str_c(cases[i].text), got = keyprints_cover(&a, text);
        const char *want = cases[i].after ? cases[i].after : cases[i].text;
        if (!str_is(got, want))
            print_message("%s -> %.*s, not %s\n", cases[i].text, STR_ARG(got), want);
        assert_true(str_is(got, want));
        assert_true(cases[i].after || got.p == text.p);
        assert_true(str_eq(reference_cover(&a, text, true), got));
        for (size_t cut = 0; cut < 30; cut++) {
            const char n = (char)cut;
            assert_true(str_eq(reference_stream(&a, text, true, str_n(&n, 1)), got));
        }
    }
    arena_done(&a);
}

static void test_where(void **state)
{
    size_t at;
    const char *name;
    (void)state;
    reference_use();
    assert_false(keyprints_find(STR("nothing"), &at, &name));
    assert_true(keyprints_find(STR("two: with!odd$characters%in&it, " SHORT), &at, &name));
    assert_int_equal(at, 5);
    assert_string_equal(name, "ODD");
    keyprints_use(&(struct keyprints){.n = 0});
    assert_false(keyprints_used());
    assert_false(keyprints_find(STR(SHORT), &at, &name));
}

/* Texts of words, keys, halves of keys and what is long without being one. */
static void random_text(struct rng *r, struct buf *b)
{
    static const char letters[] = "abcdefABCDEF0123456789+/-_=. \n\"\\!";
    for (uint64_t n = rng_below(r, 25); n; n--) {
        struct str key = str_c(reference_keys[rng_below(r, REFERENCE_KEYS)].key);
        switch (rng_below(r, 7)) {
        case 0:
        case 1:
            reference_put(b, key, (unsigned)rng_below(r, REFERENCE_FORMS));
            break;
        case 2:
            key = str_from(key, rng_below(r, key.n));
            reference_put(b, str_n(key.p, rng_below(r, key.n + 1)), (unsigned)rng_below(r, REFERENCE_FORMS));
            break;
        case 3:
            reference_lines(b, key, (unsigned)rng_below(r, REFERENCE_FORMS));
            break;
        case 4:
            for (uint64_t k = rng_below(r, 6000); k; k--)
                buf_addc(b, letters[rng_below(r, 26)]);
            break;
        default:
            for (uint64_t k = rng_below(r, 30); k; k--)
                buf_addc(b, letters[rng_below(r, sizeof letters - 1)]);
        }
    }
}

static void test_pieces(void **state)
{
    (void)state;
    reference_use();
    for (uint64_t seed = 1; seed <= 25; seed++) {
        struct arena a = {0};
        struct rng r;
        struct buf b;
        char cuts[8];
        rng_seed(&r, seed);
        buf_init(&b, 1 << 22);
        random_text(&r, &b);
        for (size_t i = 0; i < sizeof cuts; i++)
            cuts[i] = (char)rng_next(&r);
        struct str want = reference_cover(&a, buf_str(&b), true);
        bool whole = str_eq(keyprints_cover(&a, buf_str(&b)), want);
        struct str some = str_n(cuts, 1 + rng_below(&r, 8)), lines = reference_cover(&a, buf_str(&b), false);
        bool pieces = str_eq(reference_stream(&a, buf_str(&b), true, some), want) &&
                      str_eq(reference_stream(&a, buf_str(&b), false, some), lines);
        if (!whole || !pieces)
            print_message("seed %llu\n", (unsigned long long)seed);
        assert_true(whole && pieces);
        buf_done(&b);
        arena_done(&a);
    }
}

/* A text of nothing but keys, byte by byte: each piece is looked at anew, and no key proved anew. */
static void test_many_keys_in_small_pieces(void **state)
{
    struct arena a = {0};
    struct buf b, want;
    const char one = 0;
    (void)state;
    reference_use();
    buf_init(&b, 1 << 20);
    buf_init(&want, 1 << 20);
    for (size_t i = 0; i < 1000; i++) {
        buf_addz(&b, SHORT);
        buf_addz(&want, "[secret SHORT]");
    }
    assert_true(str_eq(reference_stream(&a, buf_str(&b), true, str_n(&one, 1)), buf_str(&want)));
    buf_done(&b);
    buf_done(&want);
    arena_done(&a);
}

/* A line is let out at once: nothing is kept back behind it. */
static void test_lines_do_not_wait(void **state)
{
    struct keyprint_stream s = {.lines = true};
    struct buf b;
    (void)state;
    reference_use();
    keyprints_use(&(struct keyprints){.n = 0}); /* of keys with spaces this does not hold */
    struct keyprints p;
    keyprints_begin(&p);
    assert_true(keyprints_add(&p, "SHORT", STR(SHORT)));
    keyprints_use(&p);
    buf_init(&b, 1000);
    keyprint_stream_add(&s, "a line\nKEY=01234567", 19, reference_keep, &b);
    assert_string_equal(b.p, "a line\nKEY="); /* `=` is of no key of letters and digits, so only the rest waits */
    keyprint_stream_add(&s, "89abcdef0123\n", 13, reference_keep, &b);
    assert_string_equal(b.p, "a line\nKEY=[secret SHORT]\n");
    keyprint_stream_end(&s, reference_keep, &b);
    assert_string_equal(b.p, "a line\nKEY=[secret SHORT]\n");
    buf_done(&b);
}

static void test_which_keys_have_one(void **state)
{
    static char key[KEYPRINT_MOST + 1];
    struct keyprints p, other;
    (void)state;
    memset(key, 'k', sizeof key);
    keyprints_begin(&p);
    assert_false(keyprints_add(&p, "K", str_n(key, KEYPRINT_LEAST - 1)));
    assert_false(keyprints_add(&p, "K", str_n(key, KEYPRINT_MOST + 1)));
    assert_int_equal(p.n, 0);
    for (size_t i = 0; i < KEYPRINTS_MAX; i++)
        assert_true(keyprints_add(&p, "K", str_n(key, KEYPRINT_MOST)));
    assert_false(keyprints_add(&p, "K", str_n(key, KEYPRINT_MOST)));
    keyprints_begin(&other);
    assert_true(keyprints_add(&other, "K", str_n(key, KEYPRINT_MOST)));
    assert_memory_not_equal(&p.v[0].proof, &other.v[0].proof, sizeof p.v[0].proof); /* another salt */
    assert_true(p.v[0].hint < 1 << 20);       /* no more of the hash than is said */
    for (size_t i = 0; i + 4 < sizeof p; i++) /* nor any of the key itself */
        assert_memory_not_equal((const char *)&p + i, "kkkk", 4);
}

/* What is handed over by another process is looked at before it is believed. */
static void test_no_set(void **state)
{
    struct keyprints good, p;
    (void)state;
    keyprints_begin(&good);
    assert_true(keyprints_add(&good, "K", STR(SHORT)));
    for (int i = 0; i < 5; i++) {
        p = good;
        if (i == 0)
            p.magic ^= 1;
        if (i == 1)
            p.n = KEYPRINTS_MAX + 1;
        if (i == 2)
            p.v[0].length = KEYPRINT_MOST + 1;
        if (i == 3)
            p.v[0].length = 0;
        if (i == 4)
            memset(p.v[0].name, 'x', sizeof p.v[0].name);
        keyprints_use(&p);
        assert_false(keyprints_used());
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_texts),
                                       cmocka_unit_test(test_where),
                                       cmocka_unit_test(test_pieces),
                                       cmocka_unit_test(test_many_keys_in_small_pieces),
                                       cmocka_unit_test(test_lines_do_not_wait),
                                       cmocka_unit_test(test_which_keys_have_one),
                                       cmocka_unit_test(test_no_set)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
