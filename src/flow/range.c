/* Ranges of numbers.
 *
 * A number that the author wrote is judged when the workflow is loaded, one that a template makes when the step starts;
 * both by the same row and with the same words. What a kind of number cannot be (a negative time, a size beyond 2^50)
 * needs no row to say so. A bound is compared as a double: all bounds are small enough to be exact. */
#include "flow/range.h"

#include "data/json.h"
#include "flow/load_int.h"
#include "flow/nearest.h"
#include "flow/units.h"

#include <math.h>
#include <stdio.h>

enum { BLOCKS_DEPTH_MAX = 8 }; /* blocks inside one another; tables do not come near */

static struct key_range of_kind(enum key_kind kind)
{
    static const double ten_years = 315360000;
    switch (kind) {
    case KEY_SECONDS:
    case KEY_DURATION:
        return (struct key_range){0, ten_years, false};
    case KEY_MS:
        return (struct key_range){0, ten_years * 1000, false};
    case KEY_SIZE:
        return (struct key_range){0, 1125899906842624.0, false};
    default:
        return (struct key_range){-INFINITY, INFINITY, false};
    }
}

static bool says(const struct step_key *row)
{
    return row->least < 0 || row->most > 0;
}

const struct step_key *key_ranged(const struct step_key *table, const struct step_key *row)
{
    const struct step_key *real = key_canonical(table, row);
    return says(row) || real->kind != row->kind ? row : real;
}

struct key_range key_range(const struct step_key *row)
{
    struct key_range kind = of_kind(row->kind), r = {row->least, row->most, row->above};
    if (!says(row))
        return kind;
    r.least = r.least < kind.least ? kind.least : r.least;
    r.most = r.most > kind.most ? kind.most : r.most;
    return r;
}

/* ---- words ---- */

const char *key_found(const struct val *v)
{
    static const char *const names[] = {
        [VAL_NULL] = "empty",      [VAL_BOOL] = "a boolean", [VAL_INT] = "an integer", [VAL_BIGINT] = "an integer",
        [VAL_DOUBLE] = "a number", [VAL_STR] = "text",       [VAL_ARRAY] = "a list",   [VAL_OBJECT] = "a map",
    };
    return names[v->type];
}

static const char *kind_words(enum key_kind kind)
{
    return kind == KEY_INT       ? "an integer"
           : kind == KEY_SECONDS ? "a number of seconds"
           : kind == KEY_MS      ? "a number of milliseconds"
           : kind == KEY_SIZE    ? "a size in bytes"
           : kind == KEY_NUMBER  ? "a number"
                                 : "a duration in seconds";
}

struct words {
    char z[80];
};

/* " from 0 to 2": behind "an integer". */
static struct words bounds_words(const struct key_range *r)
{
    struct words w = {{0}};
    const char *from = r->above ? "above" : "from";
    if (isfinite(r->least) && isfinite(r->most))
        (void)snprintf(w.z, sizeof w.z, r->above ? " %s %.16g, at most %.16g" : " %s %.16g to %.16g", from, r->least,
                       r->most);
    else if (isfinite(r->least))
        (void)snprintf(w.z, sizeof w.z, r->above ? " %s %.16g" : " %s %.16g on", from, r->least);
    else if (isfinite(r->most))
        (void)snprintf(w.z, sizeof w.z, " up to %.16g", r->most);
    return w;
}

struct str key_range_text(struct arena *a, const struct step_key *row)
{
    struct key_range r = key_range(row), kind = of_kind(row->kind);
    bool most = r.most < kind.most && r.most < INT32_MAX, least = isfinite(r.least);
    if (!says(row))
        return STR("");
    if (most && least && !r.above)
        return arena_printf(a, "%.16g to %.16g", r.least, r.most);
    if (most && least)
        return arena_printf(a, "above %.16g, at most %.16g", r.least, r.most);
    if (least && (r.above || r.least > kind.least))
        return arena_printf(a, "%s %.16g", r.above ? "above" : "from", r.least);
    return most ? arena_printf(a, "up to %.16g", r.most) : STR("");
}

/* ---- values ---- */

enum { NAME_SHOWN = 80 };

static enum rc out_of_range(struct str name, const struct step_key *row, double x, struct err *err)
{
    struct key_range r = key_range(row);
    bool time = row->kind == KEY_DURATION || row->kind == KEY_SECONDS || row->kind == KEY_MS;
    if (x < r.least && !(r.most < of_kind(row->kind).most))
        r.most = INFINITY; /* of no use to who wrote so little */
    struct words bounds = bounds_words(&r);
    if (time && !(x < 0) && x <= r.least)
        return err_set(err, RC_INVALID, "`%.*s` leaves no time; expected more than 0%s", STR_ARG(name),
                       row->kind == KEY_MS ? ", a millisecond at least" : "");
    if (x < 0 && !(r.least < 0) && row->kind != KEY_INT)
        return err_set(err, RC_INVALID, "`%.*s` is negative; expected %s%s", STR_ARG(name), kind_words(row->kind),
                       bounds.z);
    return err_set(err, RC_INVALID, "`%.*s` is out of range; expected %s%s", STR_ARG(name), kind_words(row->kind),
                   bounds.z);
}

/* Durations and sizes, which may be texts with a unit. */
static enum rc with_unit(struct str name, const struct step_key *row, const struct val *v, double *ret, struct err *err)
{
    int64_t n = 0;
    enum rc rc = row->kind == KEY_SIZE ? units_size(v, &n, err) : units_duration(v, &n, err);
    *ret = val_is_number(v) ? val_to_double(v, 0) : row->kind == KEY_SIZE ? (double)n : (double)n / 1000;
    return rc == RC_OK ? rc : err_wrap(err, "`%.*s`", STR_ARG(name));
}

enum rc key_number(struct str name, const struct step_key *row, const struct val *v, double *ret, struct err *err)
{
    struct key_range r = key_range(row);
    name = str_n(name.p, str_utf8_valid(str_n(name.p, name.n < NAME_SHOWN ? name.n : NAME_SHOWN)));
    if (row->kind == KEY_DURATION || row->kind == KEY_SIZE)
        TRY(with_unit(name, row, v, ret, err));
    else if (row->kind == KEY_INT ? v->type != VAL_INT && v->type != VAL_BIGINT : !val_is_number(v))
        return err_set(err, RC_INVALID, "`%.*s` is %s; expected %s", STR_ARG(name), key_found(v),
                       kind_words(row->kind));
    else
        *ret = val_to_double(v, 0);
    bool fits = *ret >= r.least && *ret <= r.most && !(r.above && *ret <= r.least);
    return fits && !(row->kind == KEY_INT && v->type == VAL_BIGINT) ? RC_OK : out_of_range(name, row, *ret, err);
}

int64_t key_ms(const struct step_key *row, double x)
{
    int64_t ms = (int64_t)llround(row->kind == KEY_MS ? x : x * 1000);
    return ms == 0 && x > 0 ? 1 : ms;
}

/* ---- evaluated objects ---- */

/* A template that is more than one hole makes text, and inputs that are not declared are text. */
static bool text_number(const struct step_key *row, struct val *v)
{
    struct val n;
    struct err err;
    struct arena scratch = {0};
    if (!val_is(v, VAL_STR) || row->kind == KEY_DURATION || row->kind == KEY_SIZE)
        return false;
    bool is = json_parse(&scratch, str_trim(v->s), &JSON_LIMITS_DEFAULT, &n, &err) == RC_OK &&
              (n.type == VAL_INT || n.type == VAL_DOUBLE);
    if (is)
        *v = n;
    arena_done(&scratch);
    return is;
}

/* A value is stored under its key's own name, and may have been written under another. */
static const struct member *as_written(const struct step_key *table, const struct val *written, struct str key)
{
    const struct member *m = val_member(written, key);
    for (const struct step_key *k = table; !m && k->name; k++)
        if (k->alias_of && str_is(key, k->alias_of))
            m = val_member(written, str_c(k->name));
    return m;
}

static enum rc list_fits(struct str key, const struct step_key *row, const struct val *v, struct err *err)
{
    struct step_key one = *row;
    double x;
    one.kind = KEY_INT;
    if (v->type != VAL_ARRAY)
        return key_number(key, &one, v, &x, err);
    for (size_t i = 0; i < v->arr.n; i++)
        TRY(key_number(key, &one, &v->arr.v[i], &x, err));
    return RC_OK;
}

static enum rc at_place(const struct val *written, enum rc rc, struct err *err)
{
    return written && written->line ? err_wrap(err, "%u:%u", written->line, written->col) : rc;
}

static enum rc block_numbers(struct arena *a, const struct step_key *table, const struct val *written,
                             struct val *object, unsigned depth, struct err *err)
{
    struct val_map changed = val_map_new(a);
    for (size_t i = 0; i < object->obj.n; i++) {
        struct str key = object->obj.m[i].key;
        struct val v = object->obj.m[i].val;
        const struct step_key *row = key_find(table, key);
        const struct key_block *inner = row ? key_block_of(row) : NULL;
        const struct member *m = row ? as_written(table, written, key) : NULL;
        const struct val *at = m ? &m->val : NULL;
        struct str name = m ? m->key : key;
        bool other = false;
        if (row && key_is_number(row->kind) && v.type != VAL_NULL) {
            double x;
            other = text_number(row, &v);
            enum rc rc = key_number(name, key_ranged(table, row), &v, &x, err);
            if (rc != RC_OK)
                return at_place(at, rc, err);
            if (row->kind == KEY_MS && v.type == VAL_DOUBLE)
                v = val_int(key_ms(row, x)), other = true;
        } else if (row && row->kind == KEY_INTS && v.type != VAL_NULL) {
            enum rc rc = list_fits(name, row, &v, err);
            if (rc != RC_OK)
                return at_place(at, rc, err);
        } else if (inner && v.type == VAL_OBJECT && depth < BLOCKS_DEPTH_MAX) {
            const struct member *before = v.obj.m;
            TRY(block_numbers(a, inner->keys, at, &v, depth + 1, err));
            other = v.obj.m != before;
        }
        if (!other)
            continue;
        if (!changed.n)
            val_map_merge(&changed, object);
        val_map_set(&changed, key, v);
    }
    if (changed.n)
        *object = val_map_done(&changed);
    return RC_OK;
}

enum rc key_numbers(struct arena *a, const struct step_key *table, const struct val *written, struct val *object,
                    struct err *err)
{
    return object->type == VAL_OBJECT ? block_numbers(a, table, written, object, 0, err) : RC_OK;
}

static void check_number(struct problems *ps, const struct member *m, const struct step_key *row)
{
    struct err err;
    double x;
    bool template = m->val.type == VAL_STR && str_find(m->val.s, STR("{{")) != SIZE_MAX;
    if (key_is_number(row->kind) && m->val.type != VAL_NULL && !template &&
        key_number(m->key, row, &m->val, &x, &err) != RC_OK)
        problem_add(ps, false, m->val.line, m->val.col, "%s", err.msg);
}

void key_check_object(struct problems *ps, const struct val *object, const struct step_key *table, const char *owner)
{
    for (size_t i = 0; val_is(object, VAL_OBJECT) && i < object->obj.n; i++) {
        const struct member *m = &object->obj.m[i];
        struct nearest near = {.want = m->key};
        const struct step_key *row = key_find(table, m->key);
        if (row) {
            check_number(ps, m, key_ranged(table, row));
            continue;
        }
        for (const struct step_key *k = table; k->name; k++)
            nearest_try(&near, str_c(k->name));
        problem_add(ps, false, m->line, m->col, "unknown key `%s` of %s; %s", clip(m->key).z, owner,
                    nearest_hint(ps->a, &near, nearest_expected_keys(ps->a, table)));
    }
}
