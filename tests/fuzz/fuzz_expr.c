/* Any text as an expression. It must be refused with a message or be evaluated within its bounds; what is known without
 * running must be what running gives, and twice the same input must give twice the same. */
#include "base/panic.h"
#include "data/expr.h"
#include "data/json.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char root_json[] =
    "{\"x\":5,\"f\":1.5,\"name\":\"bob\",\"nul\":null,\"big\":123456789012345678901234567890,\"list\":[1,2,3,\"ñ\"],"
    "\"files\":[{\"name\":\"a.py\",\"size\":3},{\"name\":\"b.c\",\"size\":30}],"
    "\"steps\":{\"a\":{\"text\":\"{\\\"k\\\": [1]}\",\"n\":[[1,[2]],{\"m\":{}}]}},\"inputs\":{\"limit\":10}}";
enum { FUEL = 20000, BYTES = 256 << 10, MEMORY = 96 << 20 };

static enum rc resolve(void *ctx, const struct val *key, size_t nkeys, struct arena *a, const struct val **ret,
                       size_t *ret_used, struct err *err)
{
    (void)a;
    for (size_t i = 0; i < nkeys; i++)
        CHECK(key[i].type == VAL_STR || key[i].type == VAL_INT);
    *ret = val_get(ctx, key[0].s);
    *ret_used = 1;
    return *ret ? RC_OK : err_set(err, RC_NOT_FOUND, "unknown name");
}

static enum rc check_path(void *ctx, const struct expr_path *path, bool soft, struct err *err)
{
    (void)ctx, (void)soft, (void)err;
    CHECK(path->n >= 1 && path->seg[0].name.p && !path->seg[0].index);
    for (size_t i = 0; i < path->n; i++)
        CHECK((path->seg[i].name.p == NULL) == (path->seg[i].index != NULL));
    return RC_OK;
}

static void check_message(const struct err *err)
{
    struct str s = str_c(err->msg);
    CHECK(s.n > 0 && str_utf8_valid(s) == s.n);
}

/* The value as text, or the error's. */
static struct str run(const struct expr *e, struct val *root, bool null_safe, struct arena *a, bool *failed)
{
    struct arena mine = {0};
    struct err err;
    struct val v;
    struct expr_scope scope = {.resolve = resolve,
                               .ctx = root,
                               .null_safe = null_safe,
                               .now_ms = 1735603200000,
                               .fuel = FUEL,
                               .max_bytes = BYTES};
    enum rc rc = expr_eval(e, &scope, &mine, &v, &err);
    CHECK(scope.fuel >= 1 && scope.fuel <= FUEL);
    CHECK(mine.used < MEMORY);
    *failed = rc != RC_OK;
    if (*failed) {
        CHECK(rc == RC_EXPRESSION || rc == RC_NOT_FOUND || rc == RC_LIMIT);
        check_message(&err);
    }
    struct str text = *failed ? arena_str(a, str_c(err.msg)) : json_text(a, &v);
    arena_done(&mine);
    return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a = {0}, ra = {0};
    struct err err;
    struct val root, constant;
    const struct expr *e;
    CHECK(json_parse(&ra, str_c(root_json), &JSON_LIMITS_DEFAULT, &root, &err) == RC_OK);
    if (expr_parse(&a, str_n((const char *)data, size), 7, 3, &e, &err) != RC_OK) {
        check_message(&err);
    } else {
        CHECK(expr_each_path(e, check_path, NULL, &err) == RC_OK);
        bool known = expr_constant(e, &a, &constant);
        for (int null_safe = 0; null_safe < 2; null_safe++) {
            bool failed, again;
            struct str first = run(e, &root, null_safe, &a, &failed), second = run(e, &root, null_safe, &a, &again);
            CHECK(failed == again && str_eq(first, second));
            CHECK(!known || failed || str_eq(first, json_text(&a, &constant)));
        }
    }
    arena_done(&a);
    arena_done(&ra);
    return 0;
}
