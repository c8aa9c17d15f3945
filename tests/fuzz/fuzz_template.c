/* Any text as a template, alone and in a tree. It must be refused with a message or be evaluated within its bounds;
 * text whose {{ are doubled must come back as it was. */
#include "base/panic.h"
#include "data/json.h"
#include "data/template.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FUEL = 20000, BYTES = 256 << 10, MEMORY = 96 << 20 };

static enum rc resolve(void *ctx, const struct val *key, size_t nkeys, struct arena *a, const struct val **ret,
                       size_t *ret_used, struct err *err)
{
    (void)nkeys, (void)a;
    *ret = val_get(ctx, key[0].s);
    *ret_used = 1;
    return *ret ? RC_OK : err_set(err, RC_NOT_FOUND, "unknown name");
}

static enum rc check_path(void *ctx, const struct expr_path *path, bool soft, struct err *err)
{
    (void)ctx, (void)soft, (void)err;
    CHECK(path->n >= 1 && path->seg[0].name.p);
    return RC_OK;
}

static void check_failure(enum rc rc, const struct err *err)
{
    struct str s = str_c(err->msg);
    CHECK(rc == RC_EXPRESSION || rc == RC_NOT_FOUND || rc == RC_LIMIT);
    CHECK(s.n > 0 && str_utf8_valid(s) == s.n);
}

static void check_alone(struct arena *a, struct str text, struct val *root)
{
    struct err err;
    struct val v;
    const struct tmpl *t;
    struct expr_scope scope = {.resolve = resolve, .ctx = root, .fuel = FUEL, .max_bytes = BYTES};
    enum rc rc = tmpl_parse(a, text, 7, 3, &t, &err);
    if (rc == RC_OK) {
        CHECK(tmpl_each_path(t, check_path, NULL, &err) == RC_OK);
        size_t before = a->used;
        rc = tmpl_eval(t, &scope, a, &v, &err);
        CHECK(a->used - before < MEMORY);
        CHECK(!tmpl_is_constant(t) || (rc == RC_OK && a->used == before));
        CHECK(str_find(text, STR("{{")) != SIZE_MAX || str_eq(v.s, text));
    }
    if (rc != RC_OK)
        check_failure(rc, &err);
}

static void check_tree(struct arena *a, struct str text, struct val *root)
{
    struct err err;
    struct val v, list[3] = {val_str(text), val_int(1), VAL_LIT("{{ x }}")};
    struct val tree = {.type = VAL_ARRAY, .arr = {list, 3}};
    const struct tmpl_tree *t;
    struct expr_scope scope = {.resolve = resolve, .ctx = root, .null_safe = true, .fuel = FUEL, .max_bytes = BYTES};
    enum rc rc = tmpl_tree_parse(a, &tree, &t, &err);
    if (rc == RC_OK)
        rc = tmpl_tree_eval(t, &scope, a, &v, &err);
    if (rc == RC_OK)
        CHECK(v.arr.n == 3 && v.arr.v[2].i == 5);
    else
        check_failure(rc, &err);
}

static void check_escaped(struct arena *a, struct str text)
{
    struct err err;
    struct val v;
    struct buf b;
    const struct tmpl *t;
    struct expr_scope scope = {.resolve = resolve};
    if (str_utf8_valid(text) != text.n)
        return;
    buf_init(&b, 2 * text.n + 1);
    struct str rest = text;
    for (size_t at; (at = str_find(rest, STR("{{"))) != SIZE_MAX; rest = str_from(rest, at + 2)) {
        buf_add(&b, str_n(rest.p, at));
        buf_addz(&b, "{{{{");
    }
    buf_add(&b, rest);
    if (tmpl_parse(a, buf_str(&b), 0, 0, &t, &err) == RC_OK) {
        CHECK(tmpl_is_constant(t));
        CHECK(tmpl_eval(t, &scope, a, &v, &err) == RC_OK && str_eq(v.s, text));
    } else {
        CHECK(text.n > 10000); /* too many parts */
    }
    buf_done(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a = {0};
    struct err err;
    struct val root;
    struct str text = {size ? (const char *)data : "", size};
    CHECK(json_parse(&a, STR("{\"x\":5,\"name\":\"bob\",\"nul\":null,\"list\":[1,{\"a\":2}],\"file:\":{\"a\":\"A\"}}"),
                     &JSON_LIMITS_DEFAULT, &root, &err) == RC_OK);
    check_alone(&a, text, &root);
    check_tree(&a, text, &root);
    check_escaped(&a, text);
    arena_done(&a);
    return 0;
}
