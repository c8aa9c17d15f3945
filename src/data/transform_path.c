/* Plain paths: names with dots, [0], [-1], [*], ["any name"]; or a JSONPath, which begins with $.
 *
 * Unlike in an expression a name may hold anything but dots and brackets, so `run-time.first name` needs no quotes. As
 * in expressions, a.b[*].c[*].d makes one flat list, and an item without the field gives null. */
#include "data/transform_int.h"

#include <stdio.h>

enum { SEGS_MAX = 64, JSONPATH_COST = 10000000 };

static enum rc bad(struct err *err, struct str text, const char *why)
{
    return err_set(err, RC_INVALID, "`%.*s` is no path: %s", text.n > 60 ? 60 : (int)text.n, text.p, why);
}

static enum rc bracket(struct str text, size_t *at, struct tpath_seg *seg, struct err *err)
{
    struct str rest = str_from(text, *at + 1);
    size_t end = str_find(rest, STR("]"));
    if (end == SIZE_MAX)
        return bad(err, text, "a [ without ]");
    struct str in = str_trim(str_n(rest.p, end));
    *at += end + 2;
    if (str_is(in, "*")) {
        seg->kind = SEG_ALL;
    } else if (str_to_i64(in, &seg->index)) {
        seg->kind = SEG_INDEX;
    } else if (in.n >= 2 && (in.p[0] == '"' || in.p[0] == '\'') && in.p[in.n - 1] == in.p[0]) {
        seg->kind = SEG_NAME;
        seg->name = str_n(in.p + 1, in.n - 2);
    } else {
        return bad(err, text, "expected a number, * or a name in quotes in [ ]");
    }
    return RC_OK;
}

enum rc tpath_parse(struct arena *a, struct str text, struct tpath *ret, struct err *err)
{
    *ret = (struct tpath){.text = arena_str(a, text)};
    text = str_trim(ret->text);
    bool plain = str_find(text, STR("?")) == SIZE_MAX && str_find(text, STR(":")) == SIZE_MAX &&
                 str_find(text, STR(",")) == SIZE_MAX && str_find(text, STR("..")) == SIZE_MAX;
    if (plain && text.n > 1 && text.p[0] == '$' && (text.p[1] == '.' || text.p[1] == '['))
        text = str_from(text, text.p[1] == '.' ? 2 : 1); /* the same as a plain path */
    if (text.n && text.p[0] == '$') {
        enum rc rc = jsonpath_parse(a, text, &ret->q, err);
        if (rc == RC_OK)
            ret->many = !jsonpath_is_singular(ret->q);
        return rc;
    }
    if (!text.n)
        return bad(err, text, "it is empty");
    struct tpath_seg *seg = arena_calloc(a, SEGS_MAX, sizeof *seg);
    for (size_t at = 0; at < text.n;) {
        if (ret->n == SEGS_MAX)
            return bad(err, text, "it has too many parts");
        struct tpath_seg *s = &seg[ret->n++];
        if (text.p[at] == '[') {
            enum rc rc = bracket(text, &at, s, err);
            if (rc != RC_OK)
                return rc;
            ret->many = ret->many || s->kind == SEG_ALL;
        } else {
            if (text.p[at] == '.' && ret->n > 1)
                at++;
            size_t from = at;
            while (at < text.n && text.p[at] != '.' && text.p[at] != '[')
                at++;
            s->kind = SEG_NAME;
            s->name = str_n(text.p + from, at - from);
            if (!s->name.n)
                return bad(err, text, "a name is missing between the dots");
            if (str_is(s->name, "*")) {
                s->kind = SEG_ALL;
                ret->many = true;
            }
        }
    }
    ret->seg = seg;
    return RC_OK;
}

static const struct val *field(const struct tpath_seg *s, const struct val *v)
{
    if (s->kind == SEG_INDEX) {
        int64_t n = v->type == VAL_ARRAY ? (int64_t)v->arr.n : 0, i = s->index < 0 ? s->index + n : s->index;
        return i >= 0 && i < n ? &v->arr.v[i] : NULL;
    }
    int64_t i;
    if (v->type == VAL_ARRAY && str_to_i64(s->name, &i))
        return i >= 0 ? val_at(v, (size_t)i) : NULL;
    return val_get(v, s->name);
}

/* The rest of a path behind [*]: everything that it leads to is added to `out`. */
static void gather(const struct tpath *p, size_t from, const struct val *v, struct val_list *out, uint64_t *cost)
{
    for (size_t i = from; v && i < p->n; i++) {
        if (p->seg[i].kind != SEG_ALL) {
            v = field(&p->seg[i], v);
            continue;
        }
        size_t n = v->type == VAL_ARRAY ? v->arr.n : v->type == VAL_OBJECT ? v->obj.n : 0;
        for (size_t k = 0; k < n; k++)
            gather(p, i + 1, v->type == VAL_ARRAY ? &v->arr.v[k] : &v->obj.m[k].val, out, cost);
        return;
    }
    ++*cost;
    val_list_push(out, v ? *v : val_null);
}

static const struct val *keep(struct arena *a, struct val v)
{
    struct val *p = ARENA_NEW(a, struct val);
    *p = v;
    return p;
}

static const struct val *query(const struct tpath *p, const struct val *v, struct arena *a, uint64_t *cost)
{
    struct jsonpath_run *r = jsonpath_run_new(p->q, v, a, JSONPATH_COST, false);
    struct val_list out = val_list_new(a);
    struct jsonpath_node n;
    struct err err;
    uint64_t slice = UINT64_MAX;
    bool more;
    const struct val *first = NULL;
    while (jsonpath_next(r, &slice, &n, &more, &err) == RC_OK && n.v) {
        first = first ? first : n.v;
        if (p->many)
            val_list_push(&out, *n.v);
    }
    jsonpath_run_free(r);
    *cost += UINT64_MAX - slice;
    return p->many ? keep(a, val_list_done(&out)) : first;
}

const struct val *tpath_get(const struct tpath *p, const struct val *v, struct arena *a, uint64_t *cost)
{
    if (p->q)
        return query(p, v, a, cost);
    for (size_t i = 0; v && i < p->n; i++) {
        ++*cost;
        if (p->seg[i].kind == SEG_ALL) {
            if (v->type != VAL_ARRAY && v->type != VAL_OBJECT)
                return NULL;
            struct val_list out = val_list_new(a);
            gather(p, i, v, &out, cost);
            return keep(a, val_list_done(&out));
        }
        v = field(&p->seg[i], v);
    }
    return v;
}

static struct val set_from(const struct tpath *p, size_t at, const struct val *v, struct val value, struct arena *a)
{
    if (at == p->n)
        return value;
    const struct val *old = field(&p->seg[at], v);
    struct val inner = set_from(p, at + 1, old ? old : &val_empty_object, value, a);
    if (v->type == VAL_ARRAY) {
        struct val *copy = arena_calloc(a, v->arr.n + 1, sizeof *copy);
        memcpy(copy, v->arr.v, v->arr.n * sizeof *copy);
        copy[old - v->arr.v] = inner;
        return (struct val){.type = VAL_ARRAY, .arr = {copy, v->arr.n}};
    }
    struct val_map m = val_map_new(a);
    val_map_merge(&m, v->type == VAL_OBJECT ? v : &val_empty_object);
    val_map_set(&m, p->seg[at].kind == SEG_NAME ? p->seg[at].name : p->text, inner);
    return val_map_done(&m);
}

struct val tpath_set(const struct tpath *p, const struct val *v, struct val value, struct arena *a)
{
    return set_from(p, 0, v, value, a);
}
