/* The first line is a schema, the rest a value. A usable schema gives an answer, an unusable one never; a report has
 * lines of the promised form; whether violations are wanted or not makes no difference to yes or no. */
#include "base/buf.h"
#include "base/panic.h"
#include "data/json.h"
#include "data/schema.h"

enum { INPUT_MAX = 4096 }; /* more of the same only takes longer */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct val wrapped(struct arena *a, struct str keyword, struct val schema, bool list)
{
    struct val_map m = val_map_new(a);
    struct val_list l = val_list_new(a);
    val_list_push(&l, schema);
    val_map_set(&m, keyword, list ? val_list_done(&l) : schema);
    return val_map_done(&m);
}

/* Every line is "place: words"; places begin with a slash, or where the end of a long one was kept. */
static void check_report(struct str report, const struct err *err)
{
    size_t lines = 0;
    CHECK(report.n && str_utf8_valid(report) == report.n && str_utf8_valid(str_c(err->msg)) == strlen(err->msg));
    for (struct str rest = report; rest.n; lines++) {
        size_t end = str_find(rest, STR("\n"));
        struct str line = str_n(rest.p, end < rest.n ? end : rest.n);
        bool more = lines == SCHEMA_REPORT_MAX && str_is(line, "(and more)");
        CHECK(more ||
              ((str_starts(line, STR("/")) || str_starts(line, STR("…"))) && str_find(line, STR(": ")) != SIZE_MAX &&
               str_find(line, STR("; expected")) != SIZE_MAX) ||
              line.n > 500);
        rest = str_from(rest, line.n + 1);
    }
    CHECK(lines >= 1 && lines <= SCHEMA_REPORT_MAX + 1);
}

/* Only for schemas without references, which would mean another place in a larger schema. */
static void check_wrapped(struct arena *a, struct val schema, const struct val *v, enum rc rc)
{
    static const struct {
        const char *keyword;
        bool list, opposite;
    } wraps[] = {{"not", false, true}, {"anyOf", true, false}, {"oneOf", true, false}, {"allOf", true, false}};
    struct err err;
    for (size_t i = 0; i < sizeof wraps / sizeof *wraps; i++) {
        struct val outer = wrapped(a, str_c(wraps[i].keyword), schema, wraps[i].list);
        if (schema_valid(&outer, &err)) /* nested too deep now */
            continue;
        enum rc got = schema_check(&outer, v, a, &err);
        CHECK(got == RC_LIMIT || (got == rc) == !wraps[i].opposite);
        struct val_map m = val_map_new(a);
        val_map_merge(&m, &outer);
        VAL_MAP_SET(&m, "unevaluatedProperties", val_true);
        struct val marking = val_map_done(&m);
        enum rc again = schema_check(&marking, v, a, &err);
        CHECK(again == RC_LIMIT || got == RC_LIMIT || again == got);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > INPUT_MAX)
        return 0;
    struct arena a = {0};
    struct err err = {0};
    struct val schema, v;
    struct str text = {(const char *)data, size}, report;
    size_t end = str_find(text, STR("\n"));
    struct str first = str_n(text.p, end < size ? end : size), second = str_from(text, first.n + 1);
    if (json_parse(&a, first, NULL, &schema, &err) == RC_OK && json_parse(&a, second, NULL, &v, &err) == RC_OK) {
        enum rc valid = schema_valid(&schema, &err), rc = schema_report(&schema, &v, &a, &report, &err);
        CHECK(valid == RC_OK ? rc == RC_OK || rc == RC_SCHEMA || rc == RC_LIMIT : rc == RC_INVALID);
        CHECK((rc == RC_OK) == !report.n);
        if (rc == RC_SCHEMA)
            check_report(report, &err);
        if ((rc == RC_OK || rc == RC_SCHEMA) && str_find(first, STR("ref")) == SIZE_MAX &&
            str_find(first, STR("\\u")) == SIZE_MAX)
            check_wrapped(&a, schema, &v, rc);
        struct val same = wrapped(&a, STR("const"), v, false);
        rc = schema_check(&same, &v, &a, &err);
        CHECK(rc == RC_OK || rc == RC_LIMIT);
    }
    arena_done(&a);
    return 0;
}
