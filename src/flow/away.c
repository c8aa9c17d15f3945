/* Reading back what has left memory.
 *
 * An iteration's end is a record of its own (DONE of its list), with its index as the last part of its path; the items
 * are what the loop pinned when it began (OPEN of the step). Of several ends at one path (it failed, the run was
 * resumed) the last counts. Iterations that a break stopped have none, and are not in the list: nor were they in the
 * result. Where the loop starts again what fails (step/group.h), the records of its restarts say how often each
 * iteration was started, and only its last time counts: `l/3~2` after one.
 *
 * Nesting: an iteration may hold the result of a loop inside it, which is away in turn. What is loaded is loaded whole.
 * The journal is not trusted: a place that does not exist, or loops inside one another without end, are RC_CORRUPT. */
#include "flow/away.h"

#include "base/panic.h"
#include "data/json.h"

#include <stdlib.h>

enum { NESTED_MAX = 256, DEPTH_MAX = 512, PART_OF_KEEP = 8, LEAVE_DEPTH_MAX = 64, SOME = 64, SOME_BYTES = 1 << 18 };

/* ---- results of steps ---- */

bool away_leave(struct arena *a, const struct val *v, struct str path, uint32_t end, size_t keep, struct val *ret)
{
    if (str_find(path, STR("#")) != SIZE_MAX || val_weight(v) <= keep || val_depth(v) > LEAVE_DEPTH_MAX)
        return false; /* what is nested deeper stays, so that whoever contains it is refused if that is too deep */
    struct str whole = arena_printf(a, "#%u#%.*s", end, STR_ARG(path));
    struct val_map m = val_map_new(a);
    if (v->type == VAL_OBJECT && v->obj.n * sizeof *v->obj.m <= keep + 1024) {
        for (size_t i = 0; i < v->obj.n; i++) {
            struct str key = arena_str(a, v->obj.m[i].key);
            bool large = val_weight(&v->obj.m[i].val) > keep / PART_OF_KEEP;
            struct val part = {.away = true, .s = whole};
            if (large)
                part.s = arena_printf(a, "%.*s#%.*s", STR_ARG(whole), STR_ARG(key));
            val_map_set(&m, key, large ? part : val_copy(a, &v->obj.m[i].val));
        }
        *ret = val_map_done(&m);
    } else {
        *ret = (struct val){.away = true, .s = whole};
    }
    return true;
}

bool away_leave_all(struct arena *a, const struct val *v, struct str path, uint32_t end, size_t keep, struct val *ret)
{
    if (str_find(path, STR("#")) != SIZE_MAX || val_weight(v) <= keep || val_depth(v) > LEAVE_DEPTH_MAX)
        return false;
    *ret = (struct val){.away = true, .s = arena_printf(a, "#%u#%.*s", end, STR_ARG(path))};
    return true;
}

bool away_of_result(struct str of, struct str *ret_whole, struct str *ret_member)
{
    *ret_whole = of;
    *ret_member = (struct str){0};
    size_t number = of.n && of.p[0] == '#' ? str_find(str_from(of, 1), STR("#")) : SIZE_MAX;
    if (number == SIZE_MAX) {
        size_t count = str_find(of, STR("#"));
        *ret_whole = count == SIZE_MAX ? of : str_n(of.p, count);
        return false;
    }
    size_t path = number + 2, more = str_find(str_from(of, path), STR("#"));
    if (more != SIZE_MAX) {
        *ret_whole = str_n(of.p, path + more);
        *ret_member = str_from(of, path + more + 1);
    }
    return true;
}

const struct val *away_part(const struct val *whole, struct str member)
{
    return member.p ? val_get(whole, member) : whole;
}

/* ---- iterations of loops ---- */

bool away_of_iterations(struct str of, int64_t *ret_count)
{
    size_t at = str_find(of, STR("#"));
    return at != SIZE_MAX && at && str_to_i64(str_from(of, at + 1), ret_count) && *ret_count >= 0;
}

struct str away_one(struct arena *a, struct str loop, int64_t index)
{
    return arena_printf(a, "@%lld@%.*s", (long long)index, STR_ARG(loop));
}

bool away_of_one(struct str of, struct str *ret_loop, int64_t *ret_index)
{
    size_t at = of.n && of.p[0] == '@' ? str_find(str_from(of, 1), STR("@")) : SIZE_MAX;
    if (at == SIZE_MAX || !str_to_i64(str_n(of.p + 1, at), ret_index) || *ret_index < 0)
        return false;
    *ret_loop = str_from(of, at + 2);
    return true;
}

/* ---- places ---- */

struct places {
    struct arena *a;
    struct val_list list;
    struct val at[DEPTH_MAX];
};

static void add_place(struct places *p, size_t depth, struct str of)
{
    struct val *at = arena_calloc(p->a, depth + 1, sizeof *at);
    if (depth)
        memcpy(at, p->at, depth * sizeof *at);
    struct val_map m = val_map_new(p->a);
    VAL_MAP_SET(&m, "at", ((struct val){.type = VAL_ARRAY, .arr = {.v = at, .n = depth}}));
    VAL_MAP_SET(&m, "of", val_str(of));
    val_list_push(&p->list, val_map_done(&m));
}

/* Recurses once a level; what is too deep to be recorded at all is left out. */
static void find_places(struct places *p, const struct val *v, size_t depth)
{
    if (v->away && v->type == VAL_NULL)
        add_place(p, depth, v->s);
    if (!v->away || depth >= DEPTH_MAX)
        return;
    for (size_t i = 0; v->type == VAL_ARRAY && i < v->arr.n; i++) {
        p->at[depth] = val_int((int64_t)i);
        find_places(p, &v->arr.v[i], depth + 1);
    }
    for (size_t i = 0; v->type == VAL_OBJECT && i < v->obj.n; i++) {
        p->at[depth] = val_str(v->obj.m[i].key);
        find_places(p, &v->obj.m[i].val, depth + 1);
    }
}

struct val away_places(struct arena *a, const struct val *v)
{
    if (!v->away)
        return val_null;
    struct places *p = ARENA_NEW(a, struct places);
    p->a = a;
    p->list = val_list_new(a);
    find_places(p, v, 0);
    return val_list_done(&p->list);
}

enum rc away_put(struct arena *a, struct val *v, const struct val *places, struct err *err)
{
    for (size_t i = 0; val_at(places, i); i++) {
        const struct val *at = VAL_GET(val_at(places, i), "at"), *to = v, *seg;
        for (size_t k = 0; to && (seg = val_at(at, k)); k++) {
            ((struct val *)to)->away = true; /* of a tree that was just read: nobody else has it */
            to = seg->type == VAL_STR                  ? val_get(to, seg->s)
                 : seg->type == VAL_INT && seg->i >= 0 ? val_at(to, (size_t)seg->i)
                                                       : NULL;
        }
        struct str of = val_get_str(val_at(places, i), STR("of"), STR(""));
        if (!to || to->type != VAL_NULL || !of.n)
            return err_set(err, RC_CORRUPT, "a record refers to a place that it does not have");
        struct val *mine = (struct val *)to;
        mine->away = true;
        mine->s = arena_str(a, of);
    }
    return RC_OK;
}

/* ---- loading ---- */

int64_t away_item_count(const struct val *plan)
{
    const struct val *items = VAL_GET(plan, "items"), *range = VAL_GET(plan, "range");
    const struct val *first = val_at(range, 0), *last = val_at(range, 1);
    int64_t n;
    if (val_is(items, VAL_ARRAY))
        return (int64_t)items->arr.n;
    if (!val_is(first, VAL_INT) || !val_is(last, VAL_INT) || __builtin_sub_overflow(last->i, first->i, &n))
        return -1;
    return n < 0 ? 0 : n >= AWAY_RANGE_MAX ? -1 : n + 1;
}

struct val away_item(const struct val *plan, int64_t index)
{
    const struct val *items = VAL_GET(plan, "items"), *first = val_at(VAL_GET(plan, "range"), 0);
    if (index < 0 || index >= away_item_count(plan))
        return val_null;
    return items ? items->arr.v[index] : val_int(first->i + index);
}

struct val away_iteration(struct arena *a, int64_t index, struct val item, bool ok, bool skipped, struct val result)
{
    struct val_map m = val_map_new(a);
    val_map_reserve(&m, skipped ? 5 : 4);
    VAL_MAP_SET(&m, "index", val_int(index));
    VAL_MAP_SET(&m, "item", item);
    VAL_MAP_SET(&m, "success", val_bool(ok));
    if (skipped)
        VAL_MAP_SET(&m, "skipped", val_true);
    val_map_set(&m, ok ? STR("results") : STR("error"), result);
    return val_map_done(&m);
}

struct loaded {
    int64_t index;
    struct val done; /* the record's data */
};

struct load {
    struct arena *a;
    size_t prefix; /* bytes of the path before the index */
    struct loaded *v;
    size_t n, cap;
    struct val plan;  /* of the loop */
    int64_t *started; /* by index, how often the iteration was started again; NULL: none was */
    int64_t items;    /* of it */
    enum rc rc;
    struct err *err;
};

static enum rc parse(struct load *l, const struct record *r, struct val *ret)
{
    enum rc rc = json_parse(l->a, r->data, &JSON_LIMITS_DEFAULT, ret, l->err);
    const struct val *ok = rc ? NULL : VAL_GET(ret, "ok");
    if (!rc && ok && VAL_GET(ret, "refs"))
        rc = away_put(l->a, (struct val *)ok, VAL_GET(ret, "refs"), l->err);
    if (rc)
        err_wrap(l->err, "record %llu (%.*s)", (unsigned long long)r->seq, STR_ARG(r->path));
    return rc;
}

/* A restart includes neighbours: it is noted at both ends, and summed up when all are known. */
static bool add_restart(void *ctx, const struct record *r)
{
    struct load *l = ctx;
    struct val v;
    if (!str_starts(str_from(r->path, l->prefix), STR("restart:")))
        return true;
    l->rc = parse(l, r, &v);
    const struct val *again = l->rc ? NULL : VAL_GET(VAL_GET(&v, "ok"), "again");
    const struct val *first = val_at(again, 0), *last = val_at(again, 1);
    if (!val_is(first, VAL_INT) || !val_is(last, VAL_INT) || first->i < 0 || last->i < first->i || last->i >= l->items)
        return l->rc == RC_OK;
    if (!l->started)
        l->started = arena_calloc(l->a, (size_t)l->items + 1, sizeof *l->started);
    l->started[first->i]++;
    l->started[last->i + 1]--;
    return true;
}

static enum rc find_restarts(struct load *l, const struct away_reader *r, struct str of)
{
    if (!VAL_GET(&l->plan, "group"))
        return RC_OK;
    l->items = away_item_count(&l->plan);
    enum rc rc = r->each(r->ctx, RECORD_RESULT, of, true, add_restart, l, l->err);
    for (int64_t i = 1; l->started && i < l->items; i++)
        l->started[i] += l->started[i - 1];
    return rc ? rc : l->rc;
}

/* "3", or "3~2" where that is the last time that it was started. */
static bool index_of(const struct load *l, struct str name, int64_t *ret)
{
    int64_t started = 1;
    size_t tilde = str_find(name, STR("~"));
    if (tilde != SIZE_MAX && !str_to_i64(str_from(name, tilde + 1), &started))
        return false;
    if (!str_to_i64(tilde == SIZE_MAX ? name : str_n(name.p, tilde), ret) || *ret < 0)
        return false;
    return started == 1 + (l->started && *ret < l->items ? l->started[*ret] : 0);
}

static bool add_iteration(void *ctx, const struct record *r)
{
    struct load *l = ctx;
    int64_t index;
    if (!index_of(l, str_from(r->path, l->prefix), &index))
        return true; /* something else below the loop */
    bool again = l->n && l->v[l->n - 1].index == index;
    if (!again && l->n == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 64;
        struct loaded *v = arena_calloc(l->a, cap, sizeof *v);
        if (l->n)
            memcpy(v, l->v, l->n * sizeof *v);
        l->v = v;
        l->cap = cap;
    }
    struct loaded *to = again ? &l->v[l->n - 1] : &l->v[l->n++];
    to->index = index;
    l->rc = parse(l, r, &to->done);
    return l->rc == RC_OK;
}

struct open_of {
    struct load *load;
    uint32_t attempt;
};

static bool take_items(void *ctx, const struct record *r)
{
    struct open_of *o = ctx;
    struct val v;
    if (r->attempt != o->attempt)
        return true;
    o->load->rc = parse(o->load, r, &v);
    const struct val *plan = o->load->rc ? NULL : VAL_GET(&v, "config");
    if (plan)
        o->load->plan = *plan;
    return false;
}

static int by_index(const void *a, const void *b)
{
    int64_t x = ((const struct loaded *)a)->index, y = ((const struct loaded *)b)->index;
    return (x > y) - (x < y);
}

/* "a/b~3": step a/b, attempt 3. */
static struct str step_of(struct str of, uint32_t *ret_attempt)
{
    *ret_attempt = 1;
    for (size_t i = of.n; i-- > 0 && of.p[i] != '/';) {
        int64_t k;
        if (of.p[i] == '~' && str_to_i64(str_from(of, i + 1), &k) && k > 0 && k < UINT32_MAX) {
            *ret_attempt = (uint32_t)k;
            return str_n(of.p, i);
        }
    }
    return of;
}

static enum rc load_level(const struct away_reader *r, struct str of, unsigned level, struct arena *a, struct val *ret,
                          struct err *err);

/* What was loaded last: the members of one result stand side by side. */
struct last {
    struct str whole;
    struct val v;
};

static enum rc load_part(const struct away_reader *r, struct str of, unsigned level, struct last *last, struct arena *a,
                         struct val *ret, struct err *err)
{
    struct str whole, member;
    if (!away_of_result(of, &whole, &member))
        return load_level(r, whole, level, a, ret, err);
    if (!last->whole.n || !str_eq(last->whole, whole)) {
        enum rc rc = load_level(r, whole, level, a, &last->v, err);
        if (rc)
            return rc;
        last->whole = whole;
    }
    const struct val *part = away_part(&last->v, member);
    if (!part)
        return err_set(err, RC_CORRUPT, "the result %.*s has no such part", STR_ARG(of));
    *ret = *part;
    return RC_OK;
}

static enum rc expand(const struct away_reader *r, const struct val *v, unsigned level, struct last *last,
                      struct arena *a, struct val *ret, struct err *err)
{
    *ret = *v;
    if (!v->away)
        return RC_OK;
    if (v->type == VAL_NULL)
        return load_part(r, v->s, level + 1, last, a, ret, err);
    struct last own = {0};
    ret->away = false;
    enum rc rc = RC_OK;
    if (v->type == VAL_ARRAY) {
        struct val *mine = arena_calloc(a, v->arr.n, sizeof *mine);
        for (size_t i = 0; i < v->arr.n && !rc; i++)
            rc = expand(r, &v->arr.v[i], level, &own, a, &mine[i], err);
        ret->arr.v = mine;
    } else {
        struct member *mine = arena_calloc(a, v->obj.n, sizeof *mine);
        memcpy(mine, v->obj.m, v->obj.n * sizeof *mine);
        for (size_t i = 0; i < v->obj.n && !rc; i++)
            rc = expand(r, &v->obj.m[i].val, level, &own, a, &mine[i].val, err);
        ret->obj.m = mine;
    }
    return rc;
}

struct end_of {
    struct load *load;
    uint32_t number; /* 0: the last one */
    struct val done;
};

static bool take_end(void *ctx, const struct record *r)
{
    struct end_of *e = ctx;
    if (e->number && r->attempt != e->number)
        return true;
    e->load->rc = parse(e->load, r, &e->done);
    return !e->load->rc && !e->number;
}

/* The result that has a number, as it was recorded. */
static enum rc find_result(const struct away_reader *r, struct str of, struct arena *a, struct val *ret,
                           struct err *err)
{
    struct load l = {.a = a, .err = err};
    struct end_of e = {.load = &l};
    size_t number = str_find(str_from(of, 1), STR("#"));
    int64_t n;
    if (!str_to_i64(str_n(of.p + 1, number), &n) || n < 1 || n > UINT32_MAX)
        return err_set(err, RC_CORRUPT, "`%.*s` is no place of a result", STR_ARG(of));
    e.number = (uint32_t)n;
    enum rc rc = r->each(r->ctx, RECORD_DONE, str_from(of, number + 2), false, take_end, &e, err);
    if (rc || l.rc)
        return rc ? rc : l.rc;
    const struct val *ok = VAL_GET(&e.done, "ok");
    if (!ok)
        return err_set(err, RC_CORRUPT, "the journal has no result %.*s", STR_ARG(of));
    *ret = *ok;
    return RC_OK;
}

static enum rc load_result(const struct away_reader *r, struct str of, unsigned level, struct arena *a, struct val *ret,
                           struct err *err)
{
    struct val found;
    struct last last = {0};
    enum rc rc = find_result(r, of, a, &found, err);
    return rc ? rc : expand(r, &found, level, &last, a, ret, err);
}

static struct str path_of_result(struct str whole)
{
    return str_from(whole, str_find(str_from(whole, 1), STR("#")) + 2);
}

/* Where the results in it are, so that whoever takes one after another comes to an end. */
static bool all_below(const struct val *v, struct str path)
{
    struct str whole, member;
    bool below = true;
    if (!v->away)
        return true;
    if (v->type == VAL_NULL && away_of_result(v->s, &whole, &member))
        return path_of_result(whole).n > path.n;
    for (size_t i = 0; v->type == VAL_ARRAY && i < v->arr.n && below; i++)
        below = all_below(&v->arr.v[i], path);
    for (size_t i = 0; v->type == VAL_OBJECT && i < v->obj.n && below; i++)
        below = all_below(&v->obj.m[i].val, path);
    return below;
}

static enum rc load_top(const struct away_reader *r, struct str of, struct arena *a, struct val *ret, struct err *err)
{
    enum rc rc = find_result(r, of, a, ret, err);
    if (rc || all_below(ret, path_of_result(of)))
        return rc;
    return err_set(err, RC_CORRUPT, "the result %.*s refers to what is not below it", STR_ARG(of));
}

static struct val iteration_of(struct arena *a, const struct load *l, int64_t index, const struct val *done,
                               const struct val *result)
{
    return away_iteration(a, index, away_item(&l->plan, index), VAL_GET(done, "ok") != NULL,
                          VAL_GET(done, "skipped") != NULL, *result);
}

static enum rc load_iterations(const struct away_reader *r, struct str of, unsigned level, struct arena *a,
                               struct val *ret, struct err *err)
{
    struct load l = {.a = a, .prefix = of.n + 1, .err = err};
    struct open_of o = {.load = &l};
    struct last last = {0};
    struct str step = step_of(of, &o.attempt);
    enum rc rc = r->each(r->ctx, RECORD_OPEN, step, false, take_items, &o, err);
    if (!rc && !l.rc)
        rc = find_restarts(&l, r, of);
    if (!rc && !l.rc)
        rc = r->each(r->ctx, RECORD_DONE, of, true, add_iteration, &l, err);
    if (rc || l.rc)
        return rc ? rc : l.rc;
    if (l.n)
        qsort(l.v, l.n, sizeof *l.v, by_index);
    struct val *list = arena_calloc(a, l.n + 1, sizeof *list);
    for (size_t i = 0; i < l.n; i++) {
        const struct val *done = &l.v[i].done, *ok = VAL_GET(done, "ok"), *error = VAL_GET(done, "error");
        struct val result = ok ? val_null : error ? *error : val_null;
        if (ok && (rc = expand(r, ok, level, &last, a, &result, err)))
            return rc;
        list[i] = iteration_of(a, &l, l.v[i].index, done, &result);
    }
    *ret = (struct val){.type = VAL_ARRAY, .arr = {.v = list, .n = l.n}};
    return RC_OK;
}

static enum rc load_plan(const struct away_reader *r, struct str loop, struct load *l, struct err *err)
{
    struct open_of o = {.load = l};
    struct str step = step_of(loop, &o.attempt);
    enum rc rc = r->each(r->ctx, RECORD_OPEN, step, false, take_items, &o, err);
    return rc ? rc : l->rc;
}

/* Into l->a. *found: it has ended. */
static enum rc load_one(const struct away_reader *r, struct load *l, struct str loop, int64_t index, bool whole,
                        unsigned level, struct val *ret, bool *found, struct err *err)
{
    struct end_of e = {.load = l};
    struct last last = {0};
    struct str path = arena_printf(l->a, "%.*s/%lld", STR_ARG(loop), (long long)index);
    enum rc rc = r->each(r->ctx, RECORD_DONE, path, false, take_end, &e, err);
    const struct val *ok = VAL_GET(&e.done, "ok"), *error = VAL_GET(&e.done, "error");
    *found = ok || error;
    if (rc || l->rc || !*found)
        return rc ? rc : l->rc;
    struct val result = ok ? *ok : *error;
    if (ok && whole)
        rc = expand(r, ok, level, &last, l->a, &result, err);
    *ret = iteration_of(l->a, l, index, &e.done, &result);
    return rc;
}

static enum rc no_end(struct str loop, int64_t index, struct err *err)
{
    return err_set(err, RC_CORRUPT, "the journal has no end of iteration %lld of %.*s", (long long)index,
                   STR_ARG(loop));
}

static enum rc load_some(const struct away_reader *r, struct str loop, int64_t first, unsigned level, struct arena *a,
                         struct val *ret, struct err *err)
{
    struct load l = {.a = a, .err = err};
    struct val_list list = val_list_new(a);
    size_t before = a->used;
    enum rc rc = load_plan(r, loop, &l, err);
    int64_t n = rc ? 0 : away_item_count(&l.plan);
    bool found = true;
    for (int64_t i = first; i < n && list.n < SOME && (!list.n || a->used - before < SOME_BYTES); i++) {
        struct val one;
        rc = load_one(r, &l, loop, i, true, level, &one, &found, err);
        if (rc || !found)
            break;
        val_list_push(&list, one);
    }
    if (rc || !list.n)
        return rc ? rc : no_end(loop, first, err);
    *ret = val_list_done(&list);
    return RC_OK;
}

static enum rc load_level(const struct away_reader *r, struct str of, unsigned level, struct arena *a, struct val *ret,
                          struct err *err)
{
    struct str whole, member, loop;
    int64_t index;
    if (level <= NESTED_MAX && away_of_one(of, &loop, &index))
        return load_some(r, loop, index, level, a, ret, err);
    if (level > NESTED_MAX)
        return err_set(err, RC_CORRUPT, "results inside one another without end");
    return (away_of_result(of, &whole, &member) ? load_result : load_iterations)(r, of, level, a, ret, err);
}

enum rc away_load(const struct away_reader *r, struct str of, bool whole, struct arena *a, struct val *ret,
                  struct err *err)
{
    struct str name, member;
    if (!whole && away_of_result(of, &name, &member))
        return load_top(r, name, a, ret, err);
    return load_level(r, of, 0, a, ret, err);
}

enum rc away_take(const struct away_reader *r, const struct val *v, struct arena *a, struct val *ret, struct err *err)
{
    struct str whole, member;
    if (!away_of_result(v->s, &whole, &member))
        return away_expand(r, v, a, ret, err);
    enum rc rc = load_top(r, whole, a, ret, err);
    const struct val *part = rc ? NULL : away_part(ret, member);
    if (!rc && !part)
        return err_set(err, RC_CORRUPT, "the result %.*s has no such part", STR_ARG(v->s));
    *ret = rc ? val_null : *part;
    return rc;
}

enum rc away_expand(const struct away_reader *r, const struct val *v, struct arena *a, struct val *ret, struct err *err)
{
    struct last last = {0};
    return expand(r, v, 0, &last, a, ret, err);
}

enum rc away_each(const struct away_reader *r, struct str of, bool (*cb)(void *ctx, const struct val *iteration),
                  void *ctx, struct err *err)
{
    struct arena plan = {0};
    struct load l = {.a = &plan, .err = err};
    struct str loop, member;
    int64_t count = 0;
    bool more = true;
    CHECK(!away_of_result(of, &loop, &member) && away_of_iterations(of, &count));
    enum rc rc = load_plan(r, loop, &l, err);
    for (int64_t i = 0; i < count && more && !rc; i++) {
        struct arena one = {0};
        struct val v;
        bool found;
        l.a = &one;
        rc = load_one(r, &l, loop, i, false, 0, &v, &found, err);
        if (!rc && !found)
            rc = no_end(loop, i, err);
        more = rc || cb(ctx, &v);
        arena_done(&one);
    }
    arena_done(&plan);
    return rc;
}
