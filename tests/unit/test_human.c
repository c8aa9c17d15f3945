/* What people get to read, and that nothing in it can command a terminal. */
#include "cli/human.h"
#include "cli/view_tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void durations(void **state)
{
    (void)state;
    static const struct {
        int64_t ms;
        const char *text;
    } rows[] = {{-5, "0ms"},
                {0, "0ms"},
                {999, "999ms"},
                {1000, "1.0s"},
                {59999, "59.9s"},
                {60000, "1m00s"},
                {3599999, "59m59s"},
                {3600000, "1h00m"},
                {86399999, "23h59m"},
                {86400000, "1d00h"},
                {INT64_MAX, "106751991167d07h"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_string_equal(human_duration(rows[i].ms).z, rows[i].text);
}

static void numbers(void **state)
{
    (void)state;
    assert_string_equal(human_count(0).z, "0");
    assert_string_equal(human_count(999).z, "999");
    assert_string_equal(human_count(1000).z, "1.00k");
    assert_string_equal(human_count(12345).z, "12.3k");
    assert_string_equal(human_count(123456789).z, "123M");
    assert_string_equal(human_size(1023).z, "1023 B");
    assert_string_equal(human_size(1024).z, "1.00 KB");
    assert_string_equal(human_size((int64_t)3 << 30).z, "3.00 GB");
    assert_string_equal(human_cost(0.01234).z, "$0.0123");
    assert_string_equal(human_cost(0).z, "$0.00");
    assert_string_equal(human_cost(0.5).z, "$0.50");
    assert_string_equal(human_cost(0.0004).z, "$0.0004");
    assert_string_equal(human_cost(0.0000412).z, "$0.000041");
    assert_string_equal(human_cost(0.00996).z, "$0.01");
    assert_string_equal(human_cost(12.345).z, "$12.35");
    assert_string_equal(human_cost(1234.5).z, "$1234");
    assert_string_equal(human_spent(0.5, false).z, "$0.50");
    assert_string_equal(human_spent(0.5, true).z, "$0.50 + unknown");
    assert_string_equal(human_spent(0, true).z, "price unknown");
}

static void lines(void **state)
{
    (void)state;
    static const struct {
        struct str in;
        size_t columns;
        const char *out;
    } rows[] = {
        {STR("plain"), 0, "plain"},
        {STR("plain"), 5, "plain"},
        {STR("plain text"), 5, "plai…"},
        {STR("a\033[31mb\r\nc\td"), 0, "a [31mb  c d"},
        {STR("x\xc2\x9b"
             "31my"), /* CSI as one character */
         0, "x 31my"},
        {STR("a\xe2\x80\xae"
             "b"), /* right to left from here */
         0, "a b"},
        {STR("bad\xff\xfe"
             "end"),
         0, "bad??end"},
        {STR("cut\xe2\x82"), 0, "cut??"},
        {STR("日本語"), 6, "日本語"},
        {STR("日本語"), 5, "日本…"},
        {STR("日本語"), 4, "日…"},
        {STR(""), 3, ""},
        {STR("a\0b"), 0, "a b"},
    };
    struct arena a = {0};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct str s = human_line(&a, rows[i].in, rows[i].columns);
        assert_string_equal(s.p, rows[i].out);
        if (rows[i].columns)
            assert_true(human_columns(s) <= rows[i].columns);
    }
    assert_string_equal(human_lines(&a, STR("a\nb\033\n\nc\n"), 2).p, "  a\n  b \n  \n  c");
    arena_done(&a);
}

/* Every byte there is, in one line. */
static void no_byte_gets_through(void **state)
{
    (void)state;
    struct arena a = {0};
    char all[256 * 2];
    for (int i = 0; i < 256; i++) {
        all[2 * i] = (char)i;
        all[2 * i + 1] = 'x';
    }
    struct str s = human_line(&a, str_n(all, sizeof all), 0);
    assert_int_equal(str_utf8_valid(s), s.n);
    for (size_t i = 0; i < s.n; i++)
        assert_true((unsigned char)s.p[i] >= 0x20 && s.p[i] != 0x7f);
    arena_done(&a);
}

static struct view_fact tell(struct view_tree *t, enum event_kind kind, const char *path, const char *detail,
                             int64_t ms)
{
    return view_tree_event(
        t, &(struct event){.kind = kind, .path = str_c(path), .type = STR("x"), .detail = str_c(detail)}, ms);
}

static void steps_under_way(void **state)
{
    (void)state;
    struct view_tree t;
    view_tree_init(&t);
    tell(&t, EVENT_STARTED, "each", "", 0);
    tell(&t, EVENT_STARTED, "each/0/a", "", 10);
    tell(&t, EVENT_STARTED, "each/1/a", "", 10);
    struct view_fact f = tell(&t, EVENT_CALL, "each/0/a/turn:1/tool:2", "Edit x.c", 20);
    assert_string_equal(f.step->path, "each/0/a");
    assert_string_equal(f.step->label, "Edit x.c");
    struct view_step *each = f.step->parent;
    assert_string_equal(each->path, "each");
    assert_int_equal(each->running, 2);
    assert_int_equal(view_tree_items_done(each), 0);
    f = tell(&t, EVENT_RETRY, "each/1/a", "odd; next attempt in 9 s; next attempt in 2.5 s", 100);
    assert_int_equal(f.step->retry_ms, 2600);
    assert_string_equal(f.step->trouble, "odd");
    tell(&t, EVENT_STARTED, "each/1/a", "", 2600);
    assert_int_equal(f.step->retry_ms, 0);
    f = tell(&t, EVENT_CALL, "each/1/a~2/exec:1", "$ make", 2700);
    assert_string_equal(f.step->path, "each/1/a");
    f = tell(&t, EVENT_FINISHED, "each/0/a", "", 3010);
    assert_int_equal(f.took_ms, 3000);
    assert_false(f.top);
    assert_int_equal(f.step->calls, 1);
    assert_int_equal(view_tree_items_done(each), 1);
    tell(&t, EVENT_STARTED, "each/2/a", "", 3011);
    assert_int_equal(view_tree_items_done(each), 1);
    tell(&t, EVENT_FAILED, "each/2/a", "no", 3012);
    assert_int_equal(each->failed, 1);
    assert_int_equal(t.active, 2);
    struct arena a = {0};
    struct val_map m = val_map_new(&a);
    VAL_MAP_SET(&m, "total_items", val_int(12));
    struct val total = val_map_done(&m);
    view_tree_event(&t, &(struct event){.kind = EVENT_NOTE, .path = STR("each"), .data = &total}, 3500);
    assert_int_equal(each->total, 12);
    arena_done(&a);
    f = tell(&t, EVENT_FAILED, "each", "no", 4000); /* with a step still below it */
    assert_true(f.top);
    assert_int_equal(f.step->calls, 2);
    assert_int_equal(t.active, 0);
    assert_null(view_tree_next(&t.top));
    f = tell(&t, EVENT_FINISHED, "unheard/of", "", 5000);
    assert_null(f.step);
    assert_int_equal(f.took_ms, -1);
    tell(&t, EVENT_STARTED, "left", "", 5000);
    view_tree_done(&t);
}

static void wrapping(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        size_t columns;
        const char *out;
    } rows[] = {
        {"", 20, ""},
        {"short\n\nlines", 20, "short\n\nlines"},
        {"one two three", 8, "one two\n  three"},
        {"  one two three", 9, "  one two\n    three"},
        {"abcdefghij", 4, "abcd\n  ef\n  gh\n  ij"},
        {"日本語", 4, "日本\n  語"},
        {"              deep", 8, "    deep"},
        {"wide 日", 1, "w\ni\nd\ne\n日"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct arena a = {0};
        struct str s = human_wrap(&a, str_c(rows[i].in), rows[i].columns);
        if (!str_is(s, rows[i].out))
            fail_msg("row %zu: got \"%.*s\"", i, STR_ARG(s));
        arena_done(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(durations),
                                       cmocka_unit_test(numbers),
                                       cmocka_unit_test(lines),
                                       cmocka_unit_test(wrapping),
                                       cmocka_unit_test(no_byte_gets_through),
                                       cmocka_unit_test(steps_under_way)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
