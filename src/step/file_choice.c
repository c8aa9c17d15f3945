/* What is not understood fails the step: a source that is wider than was meant may delete what should have stayed. */
#include "step/file_choice.h"

#include "flow/nearest.h"
#include "flow/range.h"
#include "flow/units.h"

static int shown(struct str s)
{
    return (int)str_utf8_valid(str_n(s.p, s.n < 60 ? s.n : 60));
}

/* ---- before a run ---- */

static void check_each(const struct val *v, const struct step_key *table, const char *owner, struct problems *ps)
{
    for (size_t i = 0; val_is(v, VAL_ARRAY) && i < v->arr.n; i++)
        key_check_object(ps, &v->arr.v[i], table, owner);
    key_check_object(ps, v, table, owner);
}

void file_sources_check(const struct val *v, struct problems *ps)
{
    check_each(v, file_source_keys, "a source", ps);
}

void file_criteria_check(const struct val *v, struct problems *ps)
{
    check_each(v, file_criteria_keys, "a file to validate", ps);
}

/* ---- sources ---- */

static bool age(const struct val *v, int64_t *ret_ms)
{
    static const struct {
        const char *word;
        int64_t ms;
    } words[] = {{"second", 1000},  {"sec", 1000},       {"minute", 60000},     {"min", 60000},       {"hour", 3600000},
                 {"day", 86400000}, {"week", 604800000}, {"month", 2592000000}, {"year", 31536000000}};
    struct err err;
    if (units_duration(v, ret_ms, &err) == RC_OK)
        return true;
    if (!val_is(v, VAL_STR))
        return false;
    struct str s = str_trim(v->s);
    int64_t n = 0;
    size_t i = 0;
    for (; i < s.n && i < 6 && s.p[i] >= '0' && s.p[i] <= '9'; i++)
        n = n * 10 + (s.p[i] - '0');
    struct str word = str_trim(str_from(s, i));
    if (word.n > 3 && word.p[word.n - 1] == 's')
        word.n--;
    for (size_t k = 0; i && k < sizeof words / sizeof *words; k++)
        if (str_is(word, words[k].word)) {
            *ret_ms = n * words[k].ms;
            return true;
        }
    return false;
}

/* Text or a list of text, as a list. */
static bool texts(struct frame *f, const struct val *v, const char *what, struct val_list *ret)
{
    bool list = val_is(v, VAL_ARRAY);
    for (size_t i = 0; v && v->type != VAL_NULL && i < (list ? v->arr.n : 1); i++) {
        const struct val *one = list ? &v->arr.v[i] : v;
        if (one->type != VAL_STR) {
            step_failf(f, RC_INVALID, "`%s` has %s; expected text, or a list of text", what, val_type_name(one));
            return false;
        }
        val_list_push(ret, *one);
    }
    return true;
}

struct filter { /* what narrows all sources */
    struct val_list exclude;
    int64_t older_ms;
};

static bool read_filter(struct frame *f, const struct val *v, struct filter *ret)
{
    const struct val *older = VAL_GET(v, "older_than");
    int64_t ms = 0;
    if (older && older->type != VAL_NULL) {
        if (!age(older, &ms)) {
            step_failf(f, RC_INVALID, "`older_than` is no length of time; expected for instance `7 days` or `12h`");
            return false;
        }
        ret->older_ms = ms > ret->older_ms ? ms : ret->older_ms;
    }
    return texts(f, VAL_GET(v, "exclude"), "exclude", &ret->exclude);
}

/* A misspelt `older_than` must not make more files be deleted than were meant. What has a path may be a row of data,
 * with fields of its own. */
static bool narrows_as_meant(struct frame *f, const struct val *v)
{
    for (size_t i = 0; !VAL_GET(v, "path") && i < v->obj.n; i++)
        if (!key_find(file_source_keys, v->obj.m[i].key)) {
            step_failf(f, RC_INVALID, "unknown key `%.*s` of a source; %s", shown(v->obj.m[i].key), v->obj.m[i].key.p,
                       nearest_expected_keys(&f->arena, file_source_keys));
            return false;
        }
    return true;
}

static bool one_source(struct frame *f, const struct val *v, const struct filter *all, struct val_list *ret)
{
    struct arena *a = &f->arena;
    struct filter own = {.exclude = val_list_new(a), .older_ms = all->older_ms};
    struct val_map m = val_map_new(a);
    for (size_t i = 0; i < all->exclude.n; i++)
        val_list_push(&own.exclude, all->exclude.v[i]);
    if (v->type == VAL_STR) {
        VAL_MAP_SET(&m, "path", *v);
    } else if (v->type == VAL_OBJECT) {
        const struct val *path = VAL_GET(v, "path"), *pattern = VAL_GET(v, "pattern");
        if (!narrows_as_meant(f, v) || !read_filter(f, v, &own))
            return false;
        if (!path && !pattern)
            return true; /* it is a filter */
        if (val_is(path, VAL_STR))
            VAL_MAP_SET(&m, "path", *path);
        else if (val_is(pattern, VAL_STR))
            VAL_MAP_SET(&m, "pattern", *pattern);
    }
    if (!m.n) {
        step_failf(f, RC_INVALID, "a source is %s; expected a path, a pattern or {pattern: …}", val_type_name(v));
        return false;
    }
    VAL_MAP_SET(&m, "exclude", val_list_done(&own.exclude));
    if (own.older_ms)
        VAL_MAP_SET(&m, "older_than_ms", val_int(own.older_ms));
    val_list_push(ret, val_map_done(&m));
    return true;
}

bool file_sources(struct frame *f, const struct val *c, const struct val *v, struct val *ret)
{
    struct val_list l = val_list_new(&f->arena);
    struct filter all = {.exclude = val_list_new(&f->arena)};
    bool list = val_is(v, VAL_ARRAY);
    if (!read_filter(f, c, &all))
        return false;
    for (size_t i = 0; list && i < v->arr.n; i++) {
        const struct val *one = &v->arr.v[i];
        if (one->type == VAL_OBJECT && !VAL_GET(one, "path") && !VAL_GET(one, "pattern") && !read_filter(f, one, &all))
            return false;
    }
    for (size_t i = 0; v && i < (list ? v->arr.n : 1); i++)
        if (!one_source(f, list ? &v->arr.v[i] : v, &all, &l))
            return false;
    *ret = val_list_done(&l);
    if (ret->arr.n)
        return true;
    step_failf(f, RC_INVALID, "there is no path and no pattern");
    return false;
}

/* ---- files to validate ---- */

static bool size_of(struct frame *f, const struct val *v, const char *key, struct val_map *m)
{
    const struct val *size = val_get(v, str_c(key));
    int64_t bytes;
    struct err err;
    if (!size || size->type == VAL_NULL)
        return true;
    if (units_size(size, &bytes, &err)) {
        step_failf(f, RC_INVALID, "`%s`: %s", key, err.msg);
        return false;
    }
    val_map_set(m, str_c(key), val_int(bytes));
    return true;
}

static bool one_file(struct frame *f, const struct val *v, struct val_list *ret)
{
    struct val_map m = val_map_new(&f->arena), criteria = val_map_new(&f->arena);
    if (v->type == VAL_STR) {
        VAL_MAP_SET(&m, "path", *v);
    } else if (v->type == VAL_OBJECT &&
               (val_is(VAL_GET(v, "path"), VAL_STR) || val_is(VAL_GET(v, "pattern"), VAL_STR))) {
        val_map_merge(&m, v);
        for (size_t i = 0; i < v->obj.n; i++) {
            const struct member *o = &v->obj.m[i];
            if (!key_find(file_criteria_keys, o->key)) {
                step_failf(f, RC_INVALID, "unknown criterion `%.*s`; %s", shown(o->key), o->key.p,
                           nearest_expected_keys(&f->arena, file_criteria_keys));
                return false;
            }
            if (!str_is(o->key, "path") && !str_is(o->key, "pattern"))
                val_map_set(&criteria, o->key, o->val);
        }
    } else {
        step_failf(f, RC_INVALID, "a file to validate is %s; expected a path, or {path, criteria}", val_type_name(v));
        return false;
    }
    if (!size_of(f, v, "min_size", &m) || !size_of(f, v, "max_size", &m))
        return false;
    VAL_MAP_SET(&m, "criteria", val_map_done(&criteria));
    val_list_push(ret, val_map_done(&m));
    return true;
}

bool file_criteria(struct frame *f, const struct val *v, struct val *ret)
{
    struct val_list l = val_list_new(&f->arena);
    bool list = val_is(v, VAL_ARRAY);
    for (size_t i = 0; v && i < (list ? v->arr.n : 1); i++)
        if (!one_file(f, list ? &v->arr.v[i] : v, &l))
            return false;
    *ret = val_list_done(&l);
    if (ret->arr.n)
        return true;
    step_failf(f, RC_INVALID, "there is no file to validate");
    return false;
}
