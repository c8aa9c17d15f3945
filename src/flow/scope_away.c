/* Where a path leads to what has left memory: as much of that is fetched as the path reads, and no more.
 *
 * An evaluation that comes upon something away fails, and run->wanted says what is to be fetched; then it is done
 * again (flow/away.h). Until then what is away seems to be null, which does not count. */
#include "flow/run_int.h"

#include "flow/away.h"
#include "flow/shelf.h"

enum rc scope_must_fetch(const struct run *r, struct err *err)
{
    struct str whole, member;
    return err_set(err, RC_INTERNAL, "%s %.*s %s left memory",
                   away_of_result(r->wanted, &whole, &member) ? "the result" : "the iterations of", STR_ARG(r->wanted),
                   away_of_result(r->wanted, &whole, &member) ? "has" : "have");
}

/* On the shelf, or to be fetched: `whole` then names what holds it, so that one fetch brings all of that. */
static enum rc take_off(struct frame *f, const struct val *away, struct str whole, const struct val **ret,
                        struct err *err)
{
    struct str of, member;
    (void)away_of_result(away->s, &of, &member);
    const struct box *b = shelf_get(f->run, of);
    if (b) {
        *ret = away_part(&b->val, member);
        return *ret ? RC_OK : err_set(err, RC_CORRUPT, "the result %.*s has no such part", STR_ARG(away->s));
    }
    if (!f->run->wanted.n) {
        f->run->wanted = whole.n ? whole : of;
        f->run->wanted_whole = whole.n > 0;
    }
    return scope_must_fetch(f->run, err);
}

const struct val *scope_there(const struct frame *f, const struct val *v)
{
    struct str whole, member;
    struct err err;
    while (v && v->away && v->type == VAL_NULL && away_of_result(v->s, &whole, &member))
        if (take_off((struct frame *)f, v, str_n("", 0), &v, &err) != RC_OK)
            return &val_null;
    return v;
}

static enum rc put_in(struct frame *f, const struct val *v, struct str whole, struct arena *a, struct val *ret,
                      struct err *err)
{
    *ret = *v;
    if (!v->away)
        return RC_OK;
    enum rc rc = RC_OK;
    ret->away = false;
    if (v->type == VAL_NULL) {
        const struct val *inner = NULL;
        struct str of, member;
        (void)away_of_result(v->s, &of, &member);
        rc = take_off(f, v, whole, &inner, err);
        return rc || !inner ? rc : put_in(f, inner, whole.n ? whole : of, a, ret, err);
    }
    if (v->type == VAL_ARRAY) {
        struct val *mine = arena_calloc(a, v->arr.n + 1, sizeof *mine);
        for (size_t i = 0; i < v->arr.n && !rc; i++)
            rc = put_in(f, &v->arr.v[i], whole, a, &mine[i], err);
        ret->arr.v = mine;
        return rc;
    }
    struct member *mine = arena_calloc(a, v->obj.n + 1, sizeof *mine);
    memcpy(mine, v->obj.m, v->obj.n * sizeof *mine);
    for (size_t i = 0; i < v->obj.n && !rc; i++)
        rc = put_in(f, &v->obj.m[i].val, whole, a, &mine[i].val, err);
    ret->obj.m = mine;
    return rc;
}

enum rc scope_whole(struct frame *f, const struct val *v, struct arena *a, struct val *ret, struct err *err)
{
    return put_in(f, v, str_n("", 0), a, ret, err);
}

/* One of a loop's iterations, or how many there are, without the others. `*ret` NULL: the whole list is wanted. */
static enum rc one_of(struct frame *f, const struct val *away, const struct val *key, struct arena *a,
                      const struct val **ret, struct err *err)
{
    struct str loop, member;
    int64_t count, i = key->type == VAL_INT ? key->i : -1;
    *ret = NULL;
    if (away_of_result(away->s, &loop, &member) || !away_of_iterations(away->s, &count))
        return RC_OK;
    if (key->type == VAL_STR && str_is(key->s, "length")) {
        struct val *length = ARENA_NEW(a, struct val);
        *length = val_int(count);
        *ret = length;
        return RC_OK;
    }
    i = key->type == VAL_INT && i < 0 ? i + count : i;
    if (key->type != VAL_INT || i < 0 || i >= count)
        return RC_OK;
    const struct box *all = shelf_get(f->run, loop);
    if (all) {
        *ret = val_at(&all->val, (size_t)i);
        return RC_OK;
    }
    struct str name = away_one(a, loop, i);
    const struct box *one = shelf_get(f->run, name);
    *ret = one ? &one->val : NULL;
    if (one)
        return RC_OK;
    f->run->wanted = name;
    f->run->wanted_whole = false;
    return scope_must_fetch(f->run, err);
}

/* Goes on along the path while parts of the value may be away, so that only what is read is fetched. */
enum rc scope_follow_away(struct frame *f, const struct val *key, size_t n, struct arena *a, const struct val **ret,
                          size_t *ret_used, struct err *err)
{
    const struct val *v = *ret, *next = v;
    struct str whole = {0}, member; /* what holds all that `v` is, if it was that which was looked for */
    enum rc rc = RC_OK;
    for (; next && v->away && !rc; v = next ? next : v) {
        const struct val *k = *ret_used < n ? &key[*ret_used] : &val_null;
        if (v->type == VAL_NULL) {
            rc = one_of(f, v, k, a, &next, err);
            *ret_used += next != NULL;
            if (!rc && !next) {
                (void)away_of_result(v->s, &whole, &member);
                rc = take_off(f, v, str_n("", 0), &next, err);
            }
            continue;
        }
        whole = *ret_used < n && (k->type == VAL_STR || k->type == VAL_INT) ? str_n("", 0) : whole;
        next = k->type == VAL_STR ? val_get(v, k->s) : k->type == VAL_INT && k->i >= 0 ? val_at(v, (size_t)k->i) : NULL;
        *ret_used += next != NULL;
    }
    if (rc || !v->away) {
        *ret = v;
        return rc;
    }
    struct val *all = ARENA_NEW(a, struct val);
    *ret = all;
    return put_in(f, v, whole, a, all, err);
}
