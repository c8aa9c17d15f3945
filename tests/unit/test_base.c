/* The base library: arena, buf, fd, map, str, err, rng, sha256. */
#include "base/arena.h"
#include "base/buf.h"
#include "base/dollar.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/map.h"
#include "base/rng.h"
#include "base/sha256.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void assert_str(struct str got, const char *want)
{
    assert_int_equal(got.n, strlen(want));
    assert_memory_equal(got.p ? got.p : "", want, got.n);
}

/* ---- arena ---- */

static void arena_memory_is_zeroed_aligned_and_apart(void **state)
{
    (void)state;
    struct arena a;
    struct rng r;
    enum { N = 2000 };
    static unsigned char *p[N];
    static size_t n[N];
    arena_init(&a, 0);
    rng_seed(&r, 7);
    size_t sum = 0;
    for (size_t i = 0; i < N; i++) {
        n[i] = i % 97 == 0 ? 20000 + rng_below(&r, 200000) : rng_below(&r, 300);
        p[i] = arena_alloc(&a, n[i]);
        sum += n[i];
        assert_int_equal((uintptr_t)p[i] % 16, 0);
        for (size_t k = 0; k < n[i]; k++)
            assert_int_equal(p[i][k], 0);
        memset(p[i], (int)(i % 251) + 1, n[i]);
    }
    for (size_t i = 0; i < N; i++)
        for (size_t k = 0; k < n[i]; k++)
            assert_int_equal(p[i][k], i % 251 + 1);
    assert_true(a.used >= sum);
    arena_done(&a);
    assert_int_equal(a.used, 0);
    assert_non_null(arena_alloc(&a, 1)); /* usable again */
    arena_done(&a);
}

static void arena_limit_is_a_mark(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 1000);
    arena_alloc(&a, 900);
    assert_false(arena_over(&a));
    assert_non_null(arena_alloc(&a, 900));
    assert_true(arena_over(&a));
    arena_done(&a);
    assert_false(arena_over(&a));
    assert_int_equal(a.limit, 1000);
}

static void arena_text_is_terminated(void **state)
{
    (void)state;
    struct arena a = {0};
    struct str s = arena_str(&a, STR("a\0b"));
    assert_int_equal(s.n, 3);
    assert_memory_equal(s.p, "a\0b", 4);
    assert_string_equal(arena_cstr(&a, str_n("hello", 4)), "hell");
    assert_string_equal(arena_cstr(&a, (struct str){0}), "");
    s = arena_printf(&a, "%s-%d-%1000s", "x", 5, "y");
    assert_int_equal(s.n, 1004);
    assert_int_equal(s.p[1004], 0);
    arena_done(&a);
}

/* ---- buf ---- */

static void buf_grows_and_is_terminated(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 1 << 20);
    assert_string_equal(buf_str(&b).p, "");
    for (int i = 0; i < 1000; i++) {
        buf_addc(&b, 'a');
        buf_addz(&b, "bc");
        buf_printf(&b, "%d", i % 10);
        assert_int_equal(b.p[b.n], 0);
    }
    assert_int_equal(b.n, 4000);
    assert_true(str_starts(buf_str(&b), STR("abc0abc1")));
    buf_consume(&b, 3997);
    assert_str(buf_str(&b), "bc9");
    assert_int_equal(b.p[b.n], 0);
    buf_clear(&b);
    assert_int_equal(b.p[0], 0);
    buf_consume(&b, 0);
    assert_int_equal(b.n, 0);
    buf_done(&b);
    buf_done(&b);
}

static void buf_shell_words_are_one_word(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"", "''"},
        {"two words", "'two words'"},
        {"it's", "'it'\\''s'"},
        {"''", "''\\'''\\'''"},
        {"$(x) \\ \"\n", "'$(x) \\ \"\n'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf b;
        buf_init(&b, 100);
        buf_add_shell_word(&b, str_c(cases[i][0]));
        assert_str(buf_str(&b), cases[i][1]);
        buf_done(&b);
    }
    struct buf b;
    buf_init(&b, 4);
    buf_add_shell_word(&b, STR("''''''''"));
    assert_true(b.overflow);
    buf_done(&b);
}

static void buf_shell_args_are_quoted_where_they_must(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"-la", "-la"}, {"", "''"}, {"a/b.c=d:e,f", "a/b.c=d:e,f"}, {"~", "'~'"}, {"it's", "'it'\\''s'"}, {"é", "'é'"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf b;
        buf_init(&b, 100);
        buf_add_shell_arg(&b, str_c(cases[i][0]));
        assert_str(buf_str(&b), cases[i][1]);
        buf_done(&b);
    }
    struct buf b;
    buf_init(&b, 100);
    buf_add_shell_arg(&b, STR("a\0b"));
    assert_true(str_eq(buf_str(&b), STR("'a\0b'")));
    buf_done(&b);
}

static void buf_overflow_sticks(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 10);
    buf_addz(&b, "0123456789");
    assert_false(b.overflow);
    buf_addc(&b, 'x');
    assert_true(b.overflow);
    assert_str(buf_str(&b), "0123456789");
    buf_consume(&b, 10);
    buf_addc(&b, 'x');
    assert_int_equal(b.n, 0);
    buf_clear(&b);
    buf_printf(&b, "%s", "0123456789a"); /* all or nothing */
    assert_true(b.overflow);
    assert_int_equal(b.n, 0);
    buf_clear(&b);
    assert_null(buf_reserve(&b, SIZE_MAX));
    buf_clear(&b);
    char *at = buf_reserve(&b, 10);
    assert_non_null(at);
    memcpy(at, "abcdefghij", 10);
    b.n += 10;
    assert_str(buf_str(&b), "abcdefghij");
    buf_done(&b);
}

/* ---- fd ---- */

/* What `text` gives when it is read through a pipe in two pieces, into a buffer of at most `max` bytes. */
static bool through_a_pipe(const char *text, size_t max, struct buf *b)
{
    int p[2];
    size_t half = strlen(text) / 2;
    assert_int_equal(pipe(p), 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(p[0]);
        bool good = fd_write_all(p[1], str_n(text, half)) && fd_write_all(p[1], str_c(text + half));
        _exit(!good);
    }
    close(p[1]);
    buf_init(b, max);
    bool good = fd_read_all(p[0], b);
    close(p[0]);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return good;
}

static void fd_reads_to_the_end_or_the_ceiling(void **state)
{
    (void)state;
    struct buf b;
    static char large[200001];
    memset(large, 'x', sizeof large - 1);
    assert_true(through_a_pipe("hello", 100, &b));
    assert_str(buf_str(&b), "hello");
    assert_int_equal(b.p[b.n], 0);
    buf_done(&b);
    assert_true(through_a_pipe("hello", 5, &b));
    assert_str(buf_str(&b), "hello");
    buf_done(&b);
    assert_true(through_a_pipe("", 5, &b));
    assert_int_equal(b.n, 0);
    buf_done(&b);
    assert_false(through_a_pipe("hello!", 5, &b));
    assert_true(b.overflow);
    buf_done(&b);
    assert_true(through_a_pipe(large, 1 << 20, &b));
    assert_str(buf_str(&b), large);
    buf_done(&b);
}

static void fd_says_what_went_wrong(void **state)
{
    (void)state;
    struct buf b;
    char piece[8];
    buf_init(&b, 100);
    assert_false(fd_read_all(-1, &b));
    assert_int_equal(errno, EBADF);
    assert_false(b.overflow);
    assert_false(fd_write_all(-1, STR("x")));
    assert_true(fd_write_all(-1, STR("")));
    int fd = memfd_create("test", MFD_CLOEXEC);
    assert_true(fd_write_all(fd, STR("0123456789")));
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    assert_int_equal(fd_read_full(fd, piece, 8), 8);
    assert_int_equal(fd_read_full(fd, piece, 8), 2);
    assert_int_equal(fd_read_full(fd, piece, 8), 0);
    close(fd);
    buf_done(&b);
}

/* ---- map ---- */

static void fd_sends_what_fits_and_then_the_rest(void **state)
{
    (void)state;
    enum { SIZE = 4 << 20 };
    int p[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, p), 0);
    char *text = malloc(SIZE), *got = malloc(SIZE);
    for (size_t i = 0; i < SIZE; i++)
        text[i] = (char)(i * 7 % 251);
    size_t sent = 0, read = 0;
    enum fd_sent how;
    int times = 0;
    while ((how = fd_send_some(p[1], str_n(text, SIZE), &sent)) == FD_FULL) {
        assert_true(sent > read && sent < SIZE);
        read += (size_t)fd_read_full(p[0], got + read, sent - read);
        times++;
    }
    assert_int_equal(how, FD_SENT);
    assert_int_equal(sent, SIZE);
    assert_true(times > 1);
    assert_int_equal(fd_read_full(p[0], got + read, SIZE - read), (ssize_t)(SIZE - read));
    assert_memory_equal(got, text, SIZE);
    free(text);
    free(got);

    assert_true(fd_send_all(p[1], STR("end")));
    errno = ENOENT;
    fd_close(-1);
    fd_close(p[0]);
    assert_int_equal(errno, ENOENT);
    sent = 0; /* nobody reads any more: an error, and no signal */
    assert_int_equal(fd_send_some(p[1], STR("x"), &sent), FD_FAILED);
    assert_int_equal(sent, 0);
    assert_false(fd_send_all(p[1], STR("x")));
    fd_close(p[1]);
    assert_false(fd_send_all(p[1], STR("x")));
}

static void map_behaves_like_a_table(void **state)
{
    (void)state;
    enum { KEYS = 300, STEPS = 50000 };
    static char names[KEYS][8];
    static int marks[KEYS], *model[KEYS];
    struct map m = {0};
    struct rng r;
    rng_seed(&r, 3);
    for (int i = 0; i < KEYS; i++)
        snprintf(names[i], sizeof names[i], "k%d", i);
    memset(model, 0, sizeof model);
    size_t n = 0;
    for (int i = 0; i < STEPS; i++) {
        size_t k = rng_below(&r, KEYS);
        struct str key = str_c(names[k]);
        assert_ptr_equal(map_get(&m, key), model[k]);
        if (rng_below(&r, 2)) {
            assert_ptr_equal(map_put(&m, key, &marks[k]), model[k]);
            n += !model[k];
            model[k] = &marks[k];
        } else {
            assert_ptr_equal(map_del(&m, key), model[k]);
            n -= model[k] != NULL;
            model[k] = NULL;
        }
        assert_int_equal(m.n, n);
    }
    struct map_entry *e;
    size_t seen = 0;
    for (size_t i = 0; (e = map_next(&m, &i)); seen++)
        assert_ptr_equal(e->value, map_get(&m, e->key));
    assert_int_equal(seen, n);
    map_done(&m);
    assert_null(map_get(&m, STR("k1")));
    assert_null(map_del(&m, STR("k1")));
    map_put(&m, (struct str){0}, &marks[0]); /* the empty key is a key */
    assert_ptr_equal(map_get(&m, STR("")), &marks[0]);
    map_done(&m);
}

/* ---- str ---- */

static void str_basics(void **state)
{
    (void)state;
    assert_true(str_cmp(STR("a"), STR("b")) < 0);
    assert_true(str_cmp(STR("ab"), STR("a")) > 0);
    assert_true(str_cmp(STR("\xff"), STR("a")) > 0);
    assert_int_equal(str_cmp(STR("a\0b"), STR("a\0b")), 0);
    assert_int_equal(str_find(STR("hello"), STR("llo")), 2);
    assert_true(str_find(STR("hello"), STR("lo!")) == SIZE_MAX);
    assert_int_equal(str_find(STR(""), STR("")), 0);
    assert_str(str_trim(STR(" \t\r\n a b \v\f")), "a b");
    assert_str(str_trim(STR("  ")), "");
    assert_str(str_from(STR("abc"), 1), "bc");
    assert_str(str_from(STR("abc"), 9), "");
    assert_true(str_ends(STR("abc"), STR("bc")) && !str_ends(STR("c"), STR("bc")) && str_ends(STR(""), STR("")));
}

static void str_portable_names(void **state)
{
    (void)state;
    static const char *const good[] = {"a", "Z-9_.", ".", ".."}, *const bad[] = {"",     " ",        "a/b",
                                                                                 "a%2f", "\xc3\xa4", "a\n"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(str_portable(str_c(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(str_portable(str_c(bad[i])));
    assert_false(str_portable(str_n("a\0b", 3)));
}

static void str_utf8(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t valid;
    } cases[] = {{"", 0},
                 {"plain", 5},
                 {"\xc2\x80\xdf\xbf", 4},
                 {"\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf", 12},
                 {"\xf0\x90\x80\x80\xf4\x8f\xbf\xbf", 8},
                 {"a\x80", 1},     /* continuation alone */
                 {"a\xc0\xaf", 1}, /* overlong */
                 {"a\xc1\xbf", 1},
                 {"a\xe0\x9f\xbf", 1},
                 {"a\xf0\x8f\xbf\xbf", 1},
                 {"a\xed\xa0\x80", 1},     /* surrogate */
                 {"a\xf4\x90\x80\x80", 1}, /* above U+10FFFF */
                 {"a\xf5\x80\x80\x80", 1},
                 {"a\xff", 1},
                 {"ab\xe2\x82", 2}, /* cut */
                 {"ab\xc3(", 2}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(str_utf8_valid(str_c(cases[i].text)), cases[i].valid);
}

static void str_integers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool ok;
        int64_t value;
    } cases[] = {{"0", true, 0},
                 {"-0", true, 0},
                 {"+7", true, 7},
                 {"007", true, 7},
                 {"9223372036854775807", true, INT64_MAX},
                 {"-9223372036854775808", true, INT64_MIN},
                 {"9223372036854775808", false, 0},
                 {"-9223372036854775809", false, 0},
                 {"99999999999999999999", false, 0},
                 {"", false, 0},
                 {"-", false, 0},
                 {" 1", false, 0},
                 {"1 ", false, 0},
                 {"1a", false, 0},
                 {"0x1", false, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t v = 0;
        assert_int_equal(str_to_i64(str_c(cases[i].text), &v), cases[i].ok);
        assert_true(v == cases[i].value);
    }
}

static void str_distances(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        unsigned d;
    } cases[] = {{"", "", 0},
                 {"a", "", 1},
                 {"prompt", "prompt", 0},
                 {"promt", "prompt", 1},
                 {"pormpt", "prompt", 1},
                 {"kitten", "sitting", 3},
                 {"abc", "xyz", 3},
                 {"ca", "abc", 3},
                 {"a", "completely", 4}}; /* counting stops above the limit 3 */
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(str_distance(str_c(cases[i].a), str_c(cases[i].b), 3), cases[i].d);
        assert_int_equal(str_distance(str_c(cases[i].b), str_c(cases[i].a), 3), cases[i].d);
    }
    char lengthy[100];
    memset(lengthy, 'a', sizeof lengthy);
    assert_int_equal(str_distance(str_n(lengthy, 100), str_n(lengthy, 100), 5), 6); /* too long to bother */
}

/* ---- err ---- */

static void err_wraps_and_cuts(void **state)
{
    (void)state;
    struct err e;
    assert_int_equal(err_set(&e, RC_IO, "open: %s", "no such file"), RC_IO);
    assert_int_equal(err_wrap(&e, "run %d", 7), RC_IO);
    assert_string_equal(e.msg, "run 7: open: no such file");
    assert_non_null(e.file);
    char big[2000];
    for (size_t shift = 0; shift < 4; shift++) { /* a cut never leaves part of a character */
        memset(big, 'x', sizeof big - 1);
        big[sizeof big - 1] = 0;
        for (size_t i = shift; i + 3 < sizeof big; i += 3)
            memcpy(big + i, "€", 3);
        err_set(&e, RC_INVALID, "%s", big);
        assert_int_equal(str_utf8_valid(str_c(e.msg)), strlen(e.msg));
        assert_true(strlen(e.msg) > sizeof e.msg - 5);
        err_wrap(&e, "in front");
        assert_true(str_starts(str_c(e.msg), STR("in front: ")));
        assert_int_equal(str_utf8_valid(str_c(e.msg)), strlen(e.msg));
    }
}

static void err_names_round_trip(void **state)
{
    (void)state;
    for (unsigned i = 0; i < RC_COUNT; i++) {
        assert_int_equal(rc_from_name(str_c(rc_name((enum rc)i))), i);
        assert_true(strlen(rc_text((enum rc)i)) > 0);
    }
    assert_int_equal(rc_from_name(STR("nonsense")), RC_COUNT);
    assert_int_equal(rc_of_errno(ENOSPC), RC_DISK_FULL);
    assert_int_equal(rc_of_errno(EDQUOT), RC_DISK_FULL);
    assert_int_equal(rc_of_errno(ENOENT), RC_IO);
    assert_true(rc_retryable(RC_RATE_LIMIT) && rc_retryable(RC_NETWORK));
    assert_false(rc_retryable(RC_INVALID) || rc_retryable(RC_COUNT));
}

/* ---- rng and sha256 ---- */

static void rng_is_reproducible_and_in_range(void **state)
{
    (void)state;
    struct rng a, b;
    rng_seed(&a, 42);
    rng_seed(&b, 42);
    unsigned seen[7] = {0};
    for (int i = 0; i < 7000; i++) {
        assert_true(rng_next(&a) == rng_next(&b));
        seen[rng_below(&a, 7)]++;
        double u = rng_unit(&a);
        assert_true(u >= 0 && u < 1);
        rng_next(&b);
        rng_next(&b);
    }
    for (int i = 0; i < 7; i++)
        assert_in_range(seen[i], 800, 1200);
    rng_seed(&b, 43);
    assert_true(rng_next(&a) != rng_next(&b));
    assert_int_equal(rng_below(&a, 1), 0);
    assert_true(rng_entropy() != rng_entropy());
}

static void sha256_known_answers(void **state)
{
    (void)state;
    struct sha256 h = sha256_of(STR("abc"));
    assert_string_equal(sha256_hex(&h).z, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    h = sha256_of(STR(""));
    assert_string_equal(sha256_hex(&h).z, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

static void test_dollar(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out; /* each as before[name|fallback], then what remains */
    } rows[] = {
        {"", ""},
        {"plain $x {y}", "plain $x {y}"},
        {"a${X}b", "a[X]b"},
        {"${X:-text}${Y:-}", "[X|text][Y|]"},
        {"${}", "[]"},
        {"a${X} and ${open", "a[X] and ${open"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct str rest = str_c(rows[i].in);
        char got[100] = "";
        for (struct dollar d; dollar_next(&rest, &d);)
            snprintf(got + strlen(got), sizeof got - strlen(got), "%.*s[%.*s%s%.*s]", STR_ARG(d.before),
                     STR_ARG(d.name), d.fallback.p ? "|" : "", STR_ARG(d.fallback));
        snprintf(got + strlen(got), sizeof got - strlen(got), "%.*s", STR_ARG(rest));
        assert_string_equal(got, rows[i].out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arena_memory_is_zeroed_aligned_and_apart),
        cmocka_unit_test(arena_limit_is_a_mark),
        cmocka_unit_test(arena_text_is_terminated),
        cmocka_unit_test(buf_grows_and_is_terminated),
        cmocka_unit_test(buf_shell_words_are_one_word),
        cmocka_unit_test(buf_shell_args_are_quoted_where_they_must),
        cmocka_unit_test(buf_overflow_sticks),
        cmocka_unit_test(fd_reads_to_the_end_or_the_ceiling),
        cmocka_unit_test(fd_says_what_went_wrong),
        cmocka_unit_test(fd_sends_what_fits_and_then_the_rest),
        cmocka_unit_test(map_behaves_like_a_table),
        cmocka_unit_test(str_basics),
        cmocka_unit_test(str_portable_names),
        cmocka_unit_test(str_utf8),
        cmocka_unit_test(str_integers),
        cmocka_unit_test(str_distances),
        cmocka_unit_test(err_wraps_and_cuts),
        cmocka_unit_test(err_names_round_trip),
        cmocka_unit_test(rng_is_reproducible_and_in_range),
        cmocka_unit_test(sha256_known_answers),
        cmocka_unit_test(test_dollar),
    };
    return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
