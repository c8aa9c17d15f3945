/* The first line is a list of operations, the rest the data. What is refused has a message; what runs gives the same in
 * one go and in slices, or the same error; a result can be written and read back. */
#include "base/buf.h"
#include "base/panic.h"
#include "data/json.h"
#include "data/transform.h"

enum { INPUT_MAX = 4096, WORK_MAX = 400000, SLICE = 700 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char rows[] = "[{\"id\":1,\"k\":\"a\",\"n\":2,\"t\":[1,2]},{\"id\":2,\"k\":\"b\",\"n\":1.5,\"t\":[]},"
                           "{\"id\":2,\"k\":\"a\",\"n\":null,\"s\":\" <b>x</b> \"},7,\"x\",null]";

static enum rc resolve(void *ctx, const struct val *key, size_t nkeys, struct arena *a, const struct val **ret,
                       size_t *ret_used, struct err *err)
{
    (void)nkeys, (void)a;
    *ret = ctx;
    *ret_used = 1;
    return str_is(key[0].s, "rows") ? RC_OK : err_set(err, RC_NOT_FOUND, "unknown name");
}

static void tell(void *ctx, uint32_t line, uint32_t col, const char *text)
{
    (void)line, (void)col;
    CHECK(*text && str_utf8_valid(str_c(text)) == strlen(text));
    *(bool *)ctx = true;
}

static enum rc ask(void *ctx, const struct expr_path *path, bool local, struct err *err)
{
    (void)ctx, (void)local, (void)err;
    CHECK(path->n >= 1 && path->seg[0].name.p);
    return RC_OK;
}

/* The result as text, or the error's. *done is false where the work was too much for a fuzzer's patience. */
static struct str run(const struct transform *t, const struct val *input, struct val *other, uint64_t slice,
                      struct arena *a, bool *done)
{
    struct expr_scope scope = {.resolve = resolve, .ctx = other, .now_ms = 1735603200000};
    struct arena mine = {0};
    struct transform_run *r = transform_begin(t, input, &scope, &mine);
    struct err err;
    bool more = true;
    enum rc rc = RC_OK;
    for (uint64_t spent = 0; rc == RC_OK && more && spent < WORK_MAX; spent += slice)
        rc = transform_work(r, slice, &more, &err);
    *done = rc != RC_OK || !more;
    struct str text = STR("");
    if (rc != RC_OK) {
        CHECK(rc == RC_EXPRESSION || rc == RC_NOT_FOUND || rc == RC_INVALID || rc == RC_SCHEMA || rc == RC_LIMIT);
        CHECK(*err.msg && str_utf8_valid(str_c(err.msg)) == strlen(err.msg));
        text = arena_printf(a, "%s: %s", rc_name(rc), err.msg);
    } else if (*done && val_depth(transform_result(r)) < 120) {
        struct val again;
        text = json_text(a, transform_result(r));
        CHECK(json_parse(a, text, NULL, &again, &err) == RC_OK);
    }
    transform_end(r);
    arena_done(&mine);
    return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > INPUT_MAX)
        return 0;
    struct arena a = {0};
    struct err err = {0};
    struct val operations, input, other;
    const struct transform *t;
    struct str text = {(const char *)data, size};
    size_t end = str_find(text, STR("\n"));
    struct str first = str_n(text.p, end < size ? end : size), second = str_from(text, first.n + 1);
    CHECK(json_parse(&a, str_c(rows), NULL, &other, &err) == RC_OK);
    if (json_parse(&a, second, NULL, &input, &err) != RC_OK)
        input = other;
    if (json_parse(&a, first, NULL, &operations, &err) == RC_OK) {
        bool told = false, whole, sliced;
        (void)!transform_parse(&a, &operations, true, tell, &told, &t);
        told = false;
        bool good = transform_parse(&a, &operations, false, tell, &told, &t) == RC_OK;
        CHECK(good == !told);
        if (good) {
            CHECK(transform_each_path(t, ask, NULL, &err) == RC_OK);
            struct str one = run(t, &input, &other, WORK_MAX, &a, &whole),
                       two = run(t, &input, &other, SLICE, &a, &sliced);
            CHECK(!whole || !sliced || str_eq(one, two));
        }
    }
    arena_done(&a);
    return 0;
}
