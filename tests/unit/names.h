#pragma once
/* Names for expressions and templates under test: the fields of one object, written as JSON. */
#include "data/expr.h"
#include "data/json.h"

static struct arena names_arena;
static struct val names;

static inline int names_set(const char *json)
{
    struct err err;
    return json_parse(&names_arena, str_c(json), &JSON_LIMITS_DEFAULT, &names, &err) != RC_OK;
}

static inline int names_free(void **state)
{
    (void)state;
    arena_done(&names_arena);
    return 0;
}

static inline enum rc names_resolve(void *ctx, const struct val *key, size_t nkeys, struct arena *a,
                                    const struct val **ret, size_t *ret_used, struct err *err)
{
    (void)ctx, (void)nkeys, (void)a;
    const struct val *v = val_get(&names, key[0].s);
    if (!v)
        return err_set(err, RC_NOT_FOUND, "unknown name `%.*s`", STR_ARG(key[0].s));
    *ret = v;
    *ret_used = 1;
    return RC_OK;
}
