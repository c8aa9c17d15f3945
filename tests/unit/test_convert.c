/* Conversions: what each format means, what is refused and where, and that what is written reads back. */
#include "base/rng.h"
#include "data/convert.h"
#include "data/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct convert_options plain = {0};

static struct str write_as(struct arena *a, enum convert_format f, const struct val *v, const struct convert_options *o)
{
    struct buf b;
    struct err err;
    buf_init(&b, (size_t)64 << 20);
    if (convert_write(f, v, o, &b, &err))
        fail_msg("%s: %s: %s", convert_format_name(f), json_text(a, v).p, err.msg);
    struct str s = arena_str(a, buf_str(&b));
    buf_done(&b);
    return s;
}

static struct val json(struct arena *a, const char *text)
{
    struct val v;
    struct err err;
    if (json_parse(a, str_c(text), NULL, &v, &err))
        fail_msg("%s: %s", text, err.msg);
    return v;
}

/* A text in some format and what it is as JSON. */
static const struct {
    enum convert_format format;
    const char *text, *json;
} meanings[] = {
    {CONVERT_CSV, "id,name\n1,apple\n2,\"pear, green\"\n",
     "[{\"id\":\"1\",\"name\":\"apple\"},{\"id\":\"2\",\"name\":\"pear, green\"}]"},
    {CONVERT_CSV, "a,b\r\n\"x \"\"y\"\"\",\"two\r\nlines\"\r\n", "[{\"a\":\"x \\\"y\\\"\",\"b\":\"two\\r\\nlines\"}]"},
    {CONVERT_CSV,
     "\xEF\xBB\xBF"
     "a\n1\n\n2",
     "[{\"a\":\"1\"},{\"a\":\"2\"}]"},
    {CONVERT_CSV, "a,b\n,\n\"\",x\n", "[{\"a\":\"\",\"b\":\"\"},{\"a\":\"\",\"b\":\"x\"}]"},
    {CONVERT_CSV, "a\n5\" pipe\n", "[{\"a\":\"5\\\" pipe\"}]"},
    {CONVERT_CSV, "a,b\r1,2\r", "[{\"a\":\"1\",\"b\":\"2\"}]"},
    {CONVERT_CSV, "", "[]"},
    {CONVERT_CSV, "a,b\n", "[]"},
    {CONVERT_JSON, "\xEF\xBB\xBF[1, 2.5, null]", "[1,2.5,null]"},
    {CONVERT_JSONL, "{\"a\": 1}\n\n[2]\n\"x\"", "[{\"a\":1},[2],\"x\"]"},
    {CONVERT_JSONL, "", "[]"},
    {CONVERT_YAML, "k: v\nl:\n  - 1\n  - two\n", "{\"k\":\"v\",\"l\":[1,\"two\"]}"},
    {CONVERT_XML, "<a/>", "{\"a\":null}"},
    {CONVERT_XML, "<a> x </a>", "{\"a\":\" x \"}"},
    {CONVERT_XML, "<?xml version='1.0'?>\n<r>\n <i n='1'>x</i>\n <i n='2'/>\n <j>y</j>\n</r>",
     "{\"r\":{\"i\":[{\"@n\":\"1\",\"#text\":\"x\"},{\"@n\":\"2\"}],\"j\":\"y\"}}"},
    {CONVERT_XML, "<a>x<b>y</b>z</a>", "{\"a\":{\"b\":\"y\",\"#text\":\"xz\"}}"},
    {CONVERT_XML, "<a><![CDATA[<&>]]>&lt;&#65;<!-- no --></a>", "{\"a\":\"<&><A\"}"},
    {CONVERT_XML, "<n:a xmlns:n='u'/>", "{\"n:a\":{\"@xmlns:n\":\"u\"}}"},
    {CONVERT_XML, "<_x0031_a_x0020_b/>", "{\"1a b\":null}"},
    {CONVERT_XML, "<_x00g_/>", "{\"_x00g_\":null}"},
    {CONVERT_XML, "<?xml version='1.0' encoding='ISO-8859-1'?><a>\xE9</a>", "{\"a\":\"é\"}"},
};

static void test_meanings(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof meanings / sizeof *meanings; i++) {
        struct arena a = {0};
        struct val v;
        struct err err;
        if (convert_read(meanings[i].format, str_c(meanings[i].text), &plain, &a, &v, &err))
            fail_msg("%s: %s", meanings[i].text, err.msg);
        assert_string_equal(json_text(&a, &v).p, meanings[i].json);
        arena_done(&a);
    }
}

/* What is refused, and the words that say why. */
static const struct {
    enum convert_format format;
    const char *text, *words;
} refusals[] = {
    {CONVERT_CSV, "a,b\n1,2,3\n", "line 2: 3 fields; expected 2"},
    {CONVERT_CSV, "a,b\n1\n", "line 2: 1 fields; expected 2"},
    {CONVERT_CSV, "a\n\"x\ny", "line 2: the quote is never closed"},
    {CONVERT_CSV, "a\n\"x\ny\"z\n", "line 3: text behind a closing quote"},
    {CONVERT_CSV, "a,a\n", "line 1: the column name \"a\" occurs twice"},
    {CONVERT_CSV, "a\n\xFF\n", "byte 2 is not UTF-8"},
    {CONVERT_JSON, "{", "1:2"},
    {CONVERT_JSONL, "1\n{\n", "line 2"},
    {CONVERT_YAML, "a: [", "line 2:1"},
    {CONVERT_XML, "", "no well-formed XML"},
    {CONVERT_XML, "<a><b></a>", "line 1:"},
    {CONVERT_XML, "<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>", "a document type"},
    {CONVERT_XML, "<!DOCTYPE a SYSTEM 'file:///etc/passwd'><a/>", "a document type"},
    {CONVERT_XML, "<a>&x;</a>", "undefined entity"},
    {CONVERT_XML, "<a x='1' x='2'/>", "duplicate attribute"},
    {CONVERT_XML, "<a x='1' _x0078_='2'/>", "occurs twice"},
    {CONVERT_XML, "<a/><b/>", "line 1:5"},
};

static void test_refusals(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        struct arena a = {0};
        struct val v;
        struct err err;
        enum rc rc = convert_read(refusals[i].format, str_c(refusals[i].text), &plain, &a, &v, &err);
        if (rc != RC_INVALID || !strstr(err.msg, refusals[i].words))
            fail_msg("%s: %s", refusals[i].text, rc ? err.msg : "accepted");
        arena_done(&a);
    }
}

/* A value and how it is written. */
static const struct {
    enum convert_format format;
    unsigned indent;
    const char *json, *text;
} writings[] = {
    {CONVERT_CSV, 0, "[{\"id\":1,\"n\":\"x\"},{\"id\":2,\"n\":\"y,z\"}]", "id,n\n1,x\n2,\"y,z\""},
    {CONVERT_CSV, 0, "[{\"a\":null,\"b\":true},{\"c\":[1,\"x\"],\"a\":\"q\\\"\"}]",
     "a,b,c\n,true,\n\"q\"\"\",,\"[1,\"\"x\"\"]\""},
    {CONVERT_CSV, 0, "[[1,2],[\"a\\nb\",\"\"]]", "1,2\n\"a\nb\","},
    {CONVERT_CSV, 0, "{\"a\":\"\"}", "a\n\"\""},
    {CONVERT_CSV, 0, "[1,\"x\"]", "value\n1\nx"},
    {CONVERT_CSV, 0, "[]", ""},
    {CONVERT_JSON, 0, "{\"k\":\"v\",\"l\":[1,\"two\"]}", "{\"k\":\"v\",\"l\":[1,\"two\"]}"},
    {CONVERT_JSON, 3, "{\"k\":[1,{}]}", "{\n   \"k\": [\n      1,\n      {}\n   ]\n}"},
    {CONVERT_JSONL, 0, "[{\"a\":1},2]", "{\"a\":1}\n2\n"},
    {CONVERT_JSONL, 0, "{\"a\":1}", "{\"a\":1}\n"},
    {CONVERT_YAML, 0, "{\"a\":\"no\",\"b\":\"1:30\",\"c\":\"x\\ny\\n\",\"d\":[],\"e\":[1,\"1\",1.0,null,\"\"]}",
     "a: 'no'\nb: '1:30'\nc: |\n  x\n  y\nd: []\ne:\n- 1\n- '1'\n- 1.0\n- null\n- ''\n"},
    {CONVERT_XML, 2, "[{\"id\":1,\"n\":\"x\"},{\"id\":2}]",
     "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<root>\n  <item>\n    <id>1</id>\n    <n>x</n>\n  </item>\n  <item>\n"
     "    <id>2</id>\n  </item>\n</root>\n"},
    {CONVERT_XML, 0, "{\"r\":{\"@a\":\"<\\\"\\n\",\"#text\":\"a&b\",\"c d\":[1,null]}}",
     "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<r a=\"&lt;&quot;&#10;\">a&amp;b<c_x0020_d>1</c_x0020_d>"
     "<c_x0020_d/></r>\n"},
    {CONVERT_XML, 0, "7", "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<root>7</root>\n"},
};

static void test_writings(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof writings / sizeof *writings; i++) {
        struct arena a = {0};
        struct val v = json(&a, writings[i].json);
        struct convert_options o = {.indent = writings[i].indent};
        assert_string_equal(write_as(&a, writings[i].format, &v, &o).p, writings[i].text);
        arena_done(&a);
    }
}

static const struct {
    enum convert_format format;
    const char *json, *words;
} unwritable[] = {
    {CONVERT_CSV, "7", "expected a list of objects"},
    {CONVERT_CSV, "[1, {}]", "different kinds"},
    {CONVERT_CSV, "[[1], [1, 2]]", "row 2 has 2 fields"},
    {CONVERT_CSV, "[{}]", "no columns"},
    {CONVERT_XML, "\"\\u0001\"", "U+0001"},
    {CONVERT_XML, "{\"a\": {\"@x\": [1]}}", "must be a scalar"},
};

static void test_unwritable(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof unwritable / sizeof *unwritable; i++) {
        struct arena a = {0};
        struct val v = json(&a, unwritable[i].json);
        struct buf b;
        struct err err;
        buf_init(&b, 1 << 20);
        enum rc rc = convert_write(unwritable[i].format, &v, &plain, &b, &err);
        if (rc != RC_INVALID || !strstr(err.msg, unwritable[i].words))
            fail_msg("%s: %s", unwritable[i].json, rc ? err.msg : "written");
        buf_done(&b);
        arena_done(&a);
    }
}

static void test_csv_options(void **state)
{
    (void)state;
    struct arena a = {0};
    struct val names = json(&a, "[\"x\",\"y\"]"), v;
    struct err err;
    struct convert_options o = {.delimiter = ';', .columns = &names};
    assert_int_equal(convert_read(CONVERT_CSV, STR("1;2,5\n"), &o, &a, &v, &err), RC_OK);
    assert_string_equal(json_text(&a, &v).p, "[{\"x\":\"1\",\"y\":\"2,5\"}]");
    v = json(&a, "[{\"y\":1,\"z\":9,\"x\":\"a;b\"}]");
    assert_string_equal(write_as(&a, CONVERT_CSV, &v, &o).p, "x;y\n\"a;b\";1");
    o = (struct convert_options){.delimiter = '\t', .no_headers = true};
    assert_int_equal(convert_read(CONVERT_CSV, STR("a\tb\n1\t2\n"), &o, &a, &v, &err), RC_OK);
    assert_string_equal(json_text(&a, &v).p, "[[\"a\",\"b\"],[\"1\",\"2\"]]");
    assert_string_equal(write_as(&a, CONVERT_CSV, &v, &o).p, "a\tb\n1\t2");
    arena_done(&a);
}

static void test_bounds(void **state)
{
    (void)state;
    struct arena a = {0};
    struct err err;
    struct val v;
    struct buf b;
    buf_init(&b, 1 << 20);
    for (int i = 0; i < 200; i++)
        buf_addz(&b, "<a>");
    assert_int_equal(convert_read(CONVERT_XML, buf_str(&b), &plain, &a, &v, &err), RC_LIMIT);
    buf_clear(&b);
    for (int i = 0; i < 100; i++)
        buf_addc(&b, '[');
    for (int i = 0; i < 100; i++)
        buf_addc(&b, ']');
    assert_int_equal(convert_read(CONVERT_JSON, buf_str(&b), &plain, &a, &v, &err), RC_LIMIT);
    v = json(&a, buf_str(&b).p);
    struct buf out;
    buf_init(&out, 100);
    assert_int_equal(convert_write(CONVERT_XML, &v, &plain, &out, &err), RC_LIMIT);
    v = json(&a,
             "[\"0123456789012345678901234567890123456789\", \"01234567890123456789012345678901234567890123456789\", "
             "\"01234567890123456789\"]");
    for (int f = 0; f < CONVERT_COUNT; f++) {
        buf_clear(&out);
        assert_int_equal(convert_write((enum convert_format)f, &v, &plain, &out, &err), RC_LIMIT);
    }
    buf_done(&out);
    buf_done(&b);
    arena_done(&a);
}

/* ---- round trips over random values ---- */

static struct str random_text(struct rng *r, struct arena *a, bool xml)
{
    static const char *const bits[] = {"a",          "b",
                                       " ",          ",",
                                       "\"",         "\n",
                                       "'",          ":",
                                       "- ",         "#",
                                       "é",          "1",
                                       "0",          "x",
                                       "_",          "<",
                                       "&",          "]]>",
                                       "\t",         "no",
                                       "~",          "?",
                                       "|",          "{",
                                       "%",          "😀",
                                       "*",          "!",
                                       ".",          "\r",
                                       "=",          "_x0041_",
                                       "\\",         "\xEF\xBB\xBF",
                                       "\xC2\x85",   "\xE2\x80\xA8",
                                       "2026-01-01", "\x01"};
    struct buf b;
    buf_init(&b, 1 << 16);
    size_t n = (size_t)rng_below(r, 6), kinds = sizeof bits / sizeof *bits - xml;
    while (n--)
        buf_addz(&b, bits[rng_below(r, kinds)]);
    struct str s = arena_str(a, buf_str(&b));
    buf_done(&b);
    return s;
}

static struct val random_scalar(struct rng *r, struct arena *a)
{
    switch (rng_below(r, 6)) {
    case 0:
        return val_null;
    case 1:
        return val_bool(rng_below(r, 2));
    case 2:
        return val_int((int64_t)rng_next(r) >> rng_below(r, 64));
    case 3:
        return val_double((double)(int64_t)rng_next(r) / (double)(1 + rng_below(r, 1000)));
    default:
        return val_str(random_text(r, a, false));
    }
}

static struct val random_value(struct rng *r, struct arena *a, unsigned depth)
{
    uint64_t kind = rng_below(r, depth ? 4 : 2);
    if (kind == 2) {
        struct val_list l = val_list_new(a);
        for (uint64_t n = rng_below(r, 4); n--;)
            val_list_push(&l, random_value(r, a, depth - 1));
        return val_list_done(&l);
    }
    if (kind == 3) {
        struct val_map m = val_map_new(a);
        for (uint64_t n = rng_below(r, 4); n--;)
            val_map_set(&m, random_text(r, a, false), random_value(r, a, depth - 1));
        return val_map_done(&m);
    }
    return random_scalar(r, a);
}

static void reads_back(struct arena *a, enum convert_format f, const struct val *v, const struct convert_options *o)
{
    struct str text = write_as(a, f, v, o);
    struct val again;
    struct err err;
    if (convert_read(f, text, o, a, &again, &err))
        fail_msg("%s\nof %s\n: %s", text.p, json_text(a, v).p, err.msg);
    if (!val_eq(v, &again))
        fail_msg("%s\nof %s\nread as %s", text.p, json_text(a, v).p, json_text(a, &again).p);
}

static void test_json_yaml_round_trip(void **state)
{
    (void)state;
    struct rng r;
    rng_seed(&r, 41);
    for (int i = 0; i < 20000; i++) {
        struct arena a = {0};
        struct val v = random_value(&r, &a, 5);
        struct convert_options o = {.indent = (unsigned)rng_below(&r, 4)};
        reads_back(&a, CONVERT_JSON, &v, &o);
        reads_back(&a, CONVERT_YAML, &v, &o);
        struct val_list l = val_list_new(&a);
        val_list_push(&l, v);
        struct val list = val_list_done(&l);
        reads_back(&a, CONVERT_JSONL, &list, &o);
        arena_done(&a);
    }
}

static void test_csv_round_trip(void **state)
{
    (void)state;
    struct rng r;
    rng_seed(&r, 42);
    for (int i = 0; i < 20000; i++) {
        struct arena a = {0};
        struct convert_options o = {.delimiter = ",;\t|"[rng_below(&r, 4)]};
        struct val_list names = val_list_new(&a), rows = val_list_new(&a);
        size_t columns = 1 + (size_t)rng_below(&r, 4);
        bool objects = rng_below(&r, 2);
        o.no_headers = !objects;
        for (size_t c = 0; c < columns; c++) {
            struct str tail = random_text(&r, &a, false);
            val_list_push(&names, val_str(arena_printf(&a, "%.*s%zu", STR_ARG(tail), c)));
        }
        for (uint64_t n = 1 + rng_below(&r, 4); n--;) {
            struct val_map m = val_map_new(&a);
            struct val_list l = val_list_new(&a);
            for (size_t c = 0; c < columns; c++) {
                struct val v = val_str(random_text(&r, &a, false));
                val_map_set(&m, names.v[c].s, v);
                val_list_push(&l, v);
            }
            val_list_push(&rows, objects ? val_map_done(&m) : val_list_done(&l));
        }
        struct val v = val_list_done(&rows);
        reads_back(&a, CONVERT_CSV, &v, &o);
        arena_done(&a);
    }
}

static void random_xml(struct rng *r, struct arena *a, struct buf *b, unsigned depth)
{
    static const char *const names[] = {"a", "b", "c-d", "n:e", "_x0020_", "_x", "é", "item", "_x005F_x0041_"};
    const char *name = names[rng_below(r, 9)];
    buf_printf(b, "<%s", name);
    for (uint64_t n = rng_below(r, 3); n--;)
        buf_printf(b, " k%d='v&#10;&lt; %d'", (int)n, (int)rng_below(r, 9));
    if (rng_below(r, 4) == 0) {
        buf_addz(b, "/>");
        return;
    }
    buf_addc(b, '>');
    for (uint64_t n = rng_below(r, 5); n--;) {
        if (depth && rng_below(r, 2)) {
            random_xml(r, a, b, depth - 1);
        } else {
            struct str s = random_text(r, a, true);
            for (size_t i = 0; i < s.n; i++)
                if (s.p[i] == '<' || s.p[i] == '&' || s.p[i] == '>' || s.p[i] == '\r')
                    buf_printf(b, "&#%d;", s.p[i]);
                else
                    buf_addc(b, s.p[i]);
        }
    }
    buf_printf(b, "</%s>", name);
}

static void test_xml_round_trip(void **state)
{
    (void)state;
    struct rng r;
    rng_seed(&r, 43);
    for (int i = 0; i < 20000; i++) {
        struct arena a = {0};
        struct buf b;
        struct val v;
        struct err err;
        buf_init(&b, 1 << 20);
        random_xml(&r, &a, &b, 4);
        if (convert_read(CONVERT_XML, buf_str(&b), &plain, &a, &v, &err))
            fail_msg("%s: %s", b.p, err.msg);
        struct convert_options o = {.indent = (unsigned)rng_below(&r, 3)};
        reads_back(&a, CONVERT_XML, &v, &o);
        buf_done(&b);
        arena_done(&a);
    }
}

/* Any value can be written as XML or refused; what is written is well-formed. */
static void test_any_value_as_xml(void **state)
{
    (void)state;
    struct rng r;
    size_t written = 0;
    rng_seed(&r, 44);
    for (int i = 0; i < 20000; i++) {
        struct arena a = {0};
        struct buf b;
        struct err err;
        struct val v = random_value(&r, &a, 4), again;
        buf_init(&b, 1 << 20);
        if (convert_write(CONVERT_XML, &v, &plain, &b, &err) == RC_OK) {
            written++;
            if (convert_read(CONVERT_XML, buf_str(&b), &plain, &a, &again, &err))
                fail_msg("%s\nof %s: %s", b.p, json_text(&a, &v).p, err.msg);
        }
        buf_done(&b);
        arena_done(&a);
    }
    assert_true(written > 10000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_meanings),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_writings),
        cmocka_unit_test(test_unwritable),
        cmocka_unit_test(test_csv_options),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_json_yaml_round_trip),
        cmocka_unit_test(test_csv_round_trip),
        cmocka_unit_test(test_xml_round_trip),
        cmocka_unit_test(test_any_value_as_xml),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
