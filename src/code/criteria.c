/* Criteria come from workflows, where templates make of them what they like: each is brought into one form, or refused
 * with what was expected. Null and empty text count as absent, so that a variable that is not set yet asks for all. */
#include "code/query.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { LIST_MAX = 10000 };

static char type_of(const char *table, struct str key)
{
    struct str rest = str_c(table), one;
    while (str_word(&rest, '|', &one))
        if (one.n > 2 && str_eq(str_n(one.p, one.n - 2), key))
            return one.p[one.n - 1];
    return 0;
}

/* ---- one value ---- */

static bool number_of(const struct val *v, double *ret)
{
    if (val_is_number(v)) {
        *ret = val_to_double(v, 0);
        return true;
    }
    char text[40], *end;
    if (!val_is(v, VAL_STR) || !v->s.n || v->s.n >= sizeof text)
        return false;
    memcpy(text, v->s.p, v->s.n);
    text[v->s.n] = 0;
    *ret = strtod(text, &end);
    return *end == 0 && end != text && isfinite(*ret);
}

static bool read_size(const struct val *v, int64_t *ret)
{
    static const struct {
        const char *unit;
        double bytes;
    } units[] = {{"KB", 1024}, {"MB", 1048576}, {"GB", 1073741824}, {"B", 1}, {"k", 1024}, {"M", 1048576}};
    struct val rest = *v;
    double d, scale = 1;
    for (size_t i = 0; v->type == VAL_STR && i < sizeof units / sizeof *units && scale == 1; i++)
        if (str_ends(v->s, str_c(units[i].unit))) {
            scale = units[i].bytes;
            rest.s = str_trim(str_n(v->s.p, v->s.n - strlen(units[i].unit)));
            break;
        }
    if (!number_of(&rest, &d) || d < 0 || d * scale > 9e15)
        return false;
    *ret = (int64_t)(d * scale);
    return true;
}

/* "7 days", "3 months ago", "2h": so long before now. */
static bool read_ago(struct str s, int64_t now_ms, int64_t *ret)
{
    static const struct {
        const char *unit;
        int64_t seconds;
    } units[] = {{"second", 1},    {"minute", 60},     {"hour", 3600},     {"day", 86400},
                 {"week", 604800}, {"month", 2629746}, {"year", 31556952}, {"s", 1},
                 {"m", 60},        {"h", 3600},        {"d", 86400}};
    char text[64], unit[24] = "";
    double n;
    if (s.n >= sizeof text)
        return false;
    memcpy(text, s.p, s.n);
    text[s.n] = 0;
    if (sscanf(text, "%lf %23[a-z]", &n, unit) != 2 || n < 0 || n > 1e6)
        return false;
    size_t len = strlen(unit);
    if (len > 1 && unit[len - 1] == 's')
        unit[len - 1] = 0;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (strcmp(unit, units[i].unit) == 0) {
            *ret = now_ms - (int64_t)(n * (double)units[i].seconds * 1000);
            return true;
        }
    return false;
}

/* 2024-01-01, 2024-01-01T10:00:00(.5)(Z|+01:00) */
static bool read_date(struct str s, int64_t *ret)
{
    struct tm t = {0};
    char text[64], sign = 0;
    int year, month, n = 0, hours = 0, minutes = 0;
    if (s.n >= sizeof text || s.n < 10)
        return false;
    memcpy(text, s.p, s.n);
    text[s.n] = 0;
    if (sscanf(text, "%4d-%2d-%2d%n", &year, &month, &t.tm_mday, &n) != 3 || month < 1 || month > 12 || t.tm_mday < 1 ||
        t.tm_mday > 31)
        return false;
    t.tm_year = year - 1900, t.tm_mon = month - 1;
    const char *p = text + n;
    if (*p == 'T' || *p == ' ') {
        if (sscanf(++p, "%2d:%2d%n", &t.tm_hour, &t.tm_min, &n) != 2)
            return false;
        p += n;
        if (*p == ':' && sscanf(p, ":%2d%n", &t.tm_sec, &n) == 1)
            p += n;
        if (*p == '.')
            for (p++; isdigit((unsigned char)*p);)
                p++;
        if ((*p == '+' || *p == '-') && sscanf(p, "%c%2d:%2d%n", &sign, &hours, &minutes, &n) == 3)
            p += n;
        else if (*p == 'Z')
            p++;
    }
    if (*p)
        return false;
    int64_t shift = ((int64_t)hours * 60 + minutes) * 60 * (sign == '-' ? -1 : 1);
    *ret = ((int64_t)timegm(&t) - shift) * 1000;
    return true;
}

static bool read_time(const struct val *v, int64_t *ret)
{
    double d;
    int64_t now_ms = (int64_t)time(NULL) * 1000;
    if (val_is(v, VAL_STR) && (read_date(str_trim(v->s), ret) || read_ago(str_trim(v->s), now_ms, ret)))
        return true;
    if (!number_of(v, &d) || d < 0 || d > 1e14)
        return false;
    *ret = (int64_t)(d > 1e11 ? d : d * 1000); /* a number is seconds, or milliseconds where seconds would be absurd */
    return true;
}

/* A text, a list of texts, or of objects with a `path`, as other queries give them. */
static bool read_list(struct code *c, const struct val *v, struct val_list *l)
{
    if (v->type == VAL_STR) {
        val_list_push(l, *v);
        return true;
    }
    if (v->type == VAL_OBJECT && val_is(VAL_GET(v, "path"), VAL_STR)) {
        val_list_push(l, *VAL_GET(v, "path"));
        return true;
    }
    if (v->type != VAL_ARRAY || v->arr.n > LIST_MAX)
        return false;
    for (size_t i = 0; i < v->arr.n; i++)
        if (v->arr.v[i].type == VAL_ARRAY || !read_list(c, &v->arr.v[i], l))
            return false;
    return true;
}

static const char *read_one(struct code *c, char type, const struct val *v, struct val *ret)
{
    double d;
    int64_t i;
    switch (type) {
    case 's':
        *ret = *v;
        return v->type == VAL_STR ? NULL : "text";
    case 'l': {
        struct val_list l = val_list_new(c->arena);
        if (!read_list(c, v, &l))
            return "text or a list of text";
        *ret = val_list_done(&l);
        return NULL;
    }
    case 'b':
        if (v->type != VAL_BOOL && !(v->type == VAL_STR && (str_is(v->s, "true") || str_is(v->s, "false"))))
            return "true or false";
        *ret = val_bool(v->type == VAL_BOOL ? v->b : str_is(v->s, "true"));
        return NULL;
    case 'i':
        if (!number_of(v, &d) || d < 0 || d > 1e9 || d != floor(d))
            return "a whole number, not below 0";
        *ret = val_int((int64_t)d);
        return NULL;
    case 'z':
        if (!read_size(v, &i))
            return "a number of bytes, or 10KB, 5MB";
        *ret = val_int(i);
        return NULL;
    default:
        if (!read_time(v, &i))
            return "a date such as 2026-01-31, a time such as 2026-01-31T10:00:00Z, seconds since 1970, or \"7 days\"";
        *ret = val_int(i);
        return NULL;
    }
}

static bool is_absent(const struct val *v)
{
    return v->type == VAL_NULL || (v->type == VAL_STR && !str_trim(v->s).n);
}

/* ---- all of them ---- */

static enum rc add_pair(struct code *c, const char *table, struct str key, const struct val *v, struct val_map *m,
                        struct err *err)
{
    struct val one;
    char type = type_of(table, key);
    if (!type)
        return err_set(err, RC_INVALID, "there is no criterion `%.*s`", STR_ARG(key));
    if (is_absent(v))
        return RC_OK;
    const char *expected = read_one(c, type, v, &one);
    if (expected)
        return err_set(err, RC_INVALID, "`%.*s` is %s; expected %s", STR_ARG(key), val_type_name(v), expected);
    struct val so_far = {.type = VAL_OBJECT, .obj = {.m = m->m, .n = m->n}};
    const struct val *before = val_get(&so_far, key);
    if (type == 'l' && before) { /* `- pattern: a` and `- pattern: b` */
        struct val_list both = val_list_new(c->arena);
        for (size_t i = 0; i < before->arr.n; i++)
            val_list_push(&both, before->arr.v[i]);
        for (size_t i = 0; i < one.arr.n; i++)
            val_list_push(&both, one.arr.v[i]);
        one = val_list_done(&both);
    }
    val_map_set(m, key, one);
    return RC_OK;
}

static enum rc add_object(struct code *c, const char *table, const struct val *v, struct val_map *m, struct err *err)
{
    enum rc rc = RC_OK;
    for (size_t i = 0; rc == RC_OK && i < v->obj.n; i++)
        rc = add_pair(c, table, v->obj.m[i].key, &v->obj.m[i].val, m, err);
    return rc;
}

enum rc criteria_read(struct code *c, const char *table, const struct val *given, struct val *ret, struct err *err)
{
    struct val_map m = val_map_new(c->arena);
    size_t colon = str_find(str_c(table), STR(":"));
    enum rc rc = RC_OK;
    if (given->type == VAL_OBJECT) {
        rc = add_object(c, table, given, &m, err);
    } else if (given->type == VAL_ARRAY && given->arr.n && given->arr.v[0].type == VAL_OBJECT) {
        for (size_t i = 0; rc == RC_OK && i < given->arr.n; i++) {
            if (given->arr.v[i].type != VAL_OBJECT)
                return err_set(err, RC_INVALID, "criterion %zu is %s; expected an object", i + 1,
                               val_type_name(&given->arr.v[i]));
            rc = add_object(c, table, &given->arr.v[i], &m, err);
        }
    } else if (given->type != VAL_BOOL && given->type != VAL_NULL && !(given->type == VAL_ARRAY && !given->arr.n)) {
        if (colon == SIZE_MAX)
            return err_set(err, RC_INVALID, "it takes no criteria, only `true`; found %s", val_type_name(given));
        rc = add_pair(c, table, str_n(table, colon), given, &m, err);
    }
    *ret = val_map_done(&m);
    return rc;
}

struct strs crit_list(struct code *c, const struct val *crit, const char *key)
{
    const struct val *v = val_get(crit, str_c(key));
    if (!val_is(v, VAL_ARRAY) || !v->arr.n)
        return (struct strs){0};
    struct str *l = arena_calloc(c->arena, v->arr.n, sizeof *l);
    for (size_t i = 0; i < v->arr.n; i++)
        l[i] = v->arr.v[i].s;
    return (struct strs){l, v->arr.n};
}

struct str crit_text(const struct val *crit, const char *key)
{
    return val_get_str(crit, str_c(key), STR(""));
}

int64_t crit_int(const struct val *crit, const char *key, int64_t fallback)
{
    return val_get_int(crit, str_c(key), fallback);
}

bool crit_bool(const struct val *crit, const char *key, bool fallback)
{
    return val_get_bool(crit, str_c(key), fallback);
}
