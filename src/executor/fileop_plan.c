/* A plan as a value: what stands in the journal from before the first change until the last.
 *
 * Entries are short lists instead of objects, since there may be tens of thousands. A plan that is read back is checked
 * for its form only: it was written by us, and every path in it is opened beneath the workspace all the same. */
#include "base/rng.h"
#include "executor/fileop_int.h"

#include <stdio.h>

struct str plan_id(struct arena *a)
{
    return arena_printf(a, "%016llx", (unsigned long long)rng_entropy());
}

struct val stamp_val(struct arena *a, const struct stamp *s)
{
    if (!s->there)
        return val_null;
    return val_str(arena_printf(a, "%llu %lld %lld %lld", (unsigned long long)s->ino, (long long)s->size,
                                (long long)s->sec, (long long)s->nsec));
}

bool stamp_read(const struct val *v, struct stamp *ret)
{
    *ret = (struct stamp){0};
    if (val_is(v, VAL_NULL))
        return true;
    unsigned long long ino;
    long long size, sec, nsec;
    char text[100];
    if (!val_is(v, VAL_STR) || v->s.n >= sizeof text)
        return false;
    memcpy(text, v->s.p, v->s.n);
    text[v->s.n] = 0;
    if (sscanf(text, "%llu %lld %lld %lld", &ino, &size, &sec, &nsec) != 4)
        return false;
    *ret = (struct stamp){true, ino, size, sec, nsec};
    return true;
}

static struct val names_val(struct arena *a, const struct str *v, size_t n)
{
    struct val_list l = val_list_new(a);
    for (size_t i = 0; i < n; i++)
        val_list_push(&l, val_str(v[i]));
    return val_list_done(&l);
}

static bool names_read(struct arena *a, const struct val *v, struct str **ret, size_t *n)
{
    if (!val_is(v, VAL_ARRAY))
        return false;
    *ret = arena_calloc(a, v->arr.n ? v->arr.n : 1, sizeof **ret);
    for (*n = 0; *n < v->arr.n; ++*n) {
        if (v->arr.v[*n].type != VAL_STR || !v->arr.v[*n].s.n)
            return false;
        (*ret)[*n] = v->arr.v[*n].s;
    }
    return true;
}

struct val plan_val(struct arena *a, const struct plan *p)
{
    struct val_list items = val_list_new(a);
    for (size_t i = 0; i < p->n; i++) {
        const struct item *it = &p->item[i];
        struct val_list l = val_list_new(a);
        val_list_push(&l, val_str(arena_printf(a, "%c", (char)it->kind)));
        val_list_push(&l, val_str(it->from));
        val_list_push(&l, val_str(it->to));
        val_list_push(&l, stamp_val(a, &it->stamp));
        val_list_push(&l, stamp_val(a, &it->before));
        val_list_push(&items, val_list_done(&l));
    }
    struct val_map m = val_map_new(a);
    VAL_MAP_SET(&m, "id", val_str(p->id));
    VAL_MAP_SET(&m, "dirs", names_val(a, p->dirs, p->ndirs));
    VAL_MAP_SET(&m, "rmdirs", names_val(a, p->rmdirs, p->nrmdirs));
    VAL_MAP_SET(&m, "items", val_list_done(&items));
    VAL_MAP_SET(&m, "times", val_bool(p->times));
    if (p->after.n)
        VAL_MAP_SET(&m, "after", val_str(p->after));
    VAL_MAP_SET(&m, "result", p->result);
    return val_map_done(&m);
}

static bool item_read(const struct val *v, struct item *it)
{
    const struct val *kind = val_at(v, 0), *from = val_at(v, 1), *to = val_at(v, 2);
    if (!val_is(kind, VAL_STR) || kind->s.n != 1 || !memchr("cmxdw", kind->s.p[0], 5) || !val_is(from, VAL_STR) ||
        !from->s.n || !val_is(to, VAL_STR) || !stamp_read(val_at(v, 3), &it->stamp) ||
        !stamp_read(val_at(v, 4), &it->before) || !it->stamp.there)
        return false;
    it->kind = (enum item_kind)kind->s.p[0];
    it->from = from->s;
    it->to = to->s;
    return it->kind == ITEM_DELETE || it->to.n;
}

enum rc plan_read(struct arena *a, const struct val *v, struct plan *ret, struct err *err)
{
    const struct val *items = VAL_GET(v, "items"), *result = VAL_GET(v, "result");
    struct plan p = {.id = val_get_str(v, STR("id"), STR("")),
                     .times = val_get_bool(v, STR("times"), false),
                     .after = val_get_str(v, STR("after"), STR(""))};
    bool ok = p.id.n == 16 && val_is(items, VAL_ARRAY) && result &&
              names_read(a, VAL_GET(v, "dirs"), &p.dirs, &p.ndirs) &&
              names_read(a, VAL_GET(v, "rmdirs"), &p.rmdirs, &p.nrmdirs);
    for (size_t i = 0; ok && i < p.id.n; i++)
        ok = memchr("0123456789abcdef", p.id.p[i], 16) != NULL;
    if (ok) {
        p.item = arena_calloc(a, items->arr.n ? items->arr.n : 1, sizeof *p.item);
        for (; ok && p.n < items->arr.n; p.n++)
            ok = item_read(&items->arr.v[p.n], &p.item[p.n]);
        p.result = *result;
    }
    if (!ok)
        return err_set(err, RC_CORRUPT, "the plan of this operation is damaged");
    *ret = p;
    return RC_OK;
}
