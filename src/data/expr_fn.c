/* The table of functions, and those over lists and objects.
 *
 * What a function may do is bounded by the context: an iteration costs fuel (expr_spend), what it builds is charged
 * first (ev_charge). Functions marked FN_GROWS are weighed afterwards by ev_call(). Lists that only choose among items
 * share them with their source. */
#include "data/expr_int.h"

#include "base/map.h"
#include "base/panic.h"

const struct expr_fn expr_fns[] = {
#define X(name_, least_, most_, form_, op_, flags_, impl_, ...) {name_, least_, most_, form_, op_, flags_, impl_},
#include "data/expr_functions.def"
#undef X
};
const size_t expr_nfns = sizeof expr_fns / sizeof *expr_fns;

const struct expr_fn *expr_fn_find(struct str name, const char **nearest)
{
    unsigned best = 2 + (unsigned)(name.n > 5); /* a third of a short name is another name */
    *nearest = NULL;
    for (size_t i = 0; i < expr_nfns; i++) {
        struct str is = str_c(expr_fns[i].name);
        if (str_eq(is, name))
            return &expr_fns[i];
        unsigned d = str_distance(is, name, best);
        if (d < best && d < name.n && d < is.n)
            best = d, *nearest = expr_fns[i].name;
    }
    return NULL;
}

enum rc fn_operator(struct ev *c, const struct expr *n, const struct val *arg, size_t argc, struct val *ret)
{
    (void)c, (void)arg, (void)argc, (void)ret;
    PANIC("%s() should have become an operator", n->fn->name);
}

/* ---- arguments ---- */

/* The first argument as an array; null counts as an empty one under conditions' rules. */
static enum rc need_list(struct ev *c, const struct expr *n, const struct val *v, struct val *ret)
{
    *ret = *v;
    if (v->type == VAL_ARRAY)
        return RC_OK;
    if (v->type == VAL_NULL && c->null_safe) {
        *ret = val_empty_array;
        return RC_OK;
    }
    return ev_fail(c, n->list[0], RC_EXPRESSION, "%s() needs an array: `%s` is %s%s", n->fn->name,
                   show_src(n->list[0]).z, show_val(v).z, v->type == VAL_OBJECT ? "; values(x) makes one" : "");
}

static enum rc need_object(struct ev *c, const struct expr *n, const struct val *arg, size_t i)
{
    if (arg[i].type == VAL_OBJECT)
        return RC_OK;
    return ev_fail(c, n->list[i], RC_EXPRESSION, "%s() needs an object: `%s` is %s", n->fn->name,
                   show_src(n->list[i]).z, show_val(&arg[i]).z);
}

static enum rc need_int(struct ev *c, const struct expr *n, const struct val *arg, size_t i, int64_t least,
                        int64_t *ret)
{
    *ret = arg[i].type == VAL_INT ? arg[i].i : 0;
    if (arg[i].type == VAL_INT && *ret >= least)
        return RC_OK;
    return ev_fail(c, n->list[i], RC_EXPRESSION, "%s() needs an integer%s: `%s` is %s", n->fn->name,
                   least > 0 ? " greater than 0" : "", show_src(n->list[i]).z, show_val(&arg[i]).z);
}

/* The second argument's value for an item, or the item where there is none. */
static enum rc item_value(struct ev *c, const struct expr *n, const struct val *list, size_t i, struct val *ret)
{
    TRY(expr_spend(c, n, 1));
    if (n->item != ITEM_NONE)
        return ev_item(c, n, &list->arr.v[i], i, ret);
    *ret = list->arr.v[i];
    return RC_OK;
}

static enum rc no_value_arg(struct ev *c, const struct expr *n, size_t argc)
{
    if (argc < 2 || n->item != ITEM_NONE)
        return RC_OK;
    return ev_fail(c, n->list[1], RC_EXPRESSION,
                   "%s() needs, second, a quoted expression about an item, such as 'size > 10', or (x) => x.size: "
                   "`%s` is neither",
                   n->fn->name, show_src(n->list[1]).z);
}

/* Room for `n` values, charged. */
static enum rc new_values(struct ev *c, const struct expr *n, size_t count, struct val **ret)
{
    *ret = NULL;
    if (count == 0)
        return RC_OK;
    TRY(ev_charge(c, n, count > SIZE_MAX / 64 ? SIZE_MAX : count * sizeof **ret));
    TRY(expr_spend(c, n, count / 8));
    *ret = arena_calloc(c->a, count, sizeof **ret);
    return RC_OK;
}
static struct val list_of(const struct val *v, size_t n)
{
    return (struct val){.type = VAL_ARRAY, .arr = {n ? v : NULL, n}};
}

/* ---- counting ---- */

enum rc fn_length(struct ev *c, const struct expr *n, const struct val *arg, size_t argc, struct val *ret)
{
    (void)argc;
    size_t len = 0;
    switch (arg->type) {
    case VAL_NULL:
        break;
    case VAL_ARRAY:
        len = arg->arr.n;
        break;
    case VAL_OBJECT:
        len = arg->obj.n;
        break;
    case VAL_STR:
        TRY(expr_spend(c, n, arg->s.n / 256));
        len = text_length(arg->s);
        break;
    default:
        return ev_fail(c, n->list[0], RC_EXPRESSION, "%s() needs an array, an object or a string: `%s` is %s",
                       n->fn->name, show_src(n->list[0]).z, show_val(arg).z);
    }
    *ret = val_int((int64_t)len);
    return RC_OK;
}

/* Counts the items for which the condition holds, stopping at `enough`. */
static enum rc count_if(struct ev *c, const struct expr *n, const struct val *arg, size_t argc, bool holds,
                        size_t enough, size_t *ret)
{
    struct val list, v;
    TRY(no_value_arg(c, n, argc));
    TRY(need_list(c, n, arg, &list));
    *ret = 0;
    for (size_t i = 0; i < list.arr.n && *ret < enough; i++) {
        TRY(item_value(c, n, &list, i, &v));
        *ret += val_truthy(&v) == holds;
    }
    return RC_OK;
}

enum rc fn_count(struct ev *c, const struct expr *n, const struct val *arg, size_t argc, struct val *ret)
{
    size_t count;
    if (argc == 1)
        return fn_length(c, n, arg, argc, ret);
    TRY(count_if(c, n, arg, argc, true, SIZE_MAX, &count));
    *ret = val_int((int64_t)count);
    return RC_OK;
}
enum rc fn_any(struct ev *c, const struct expr *n, const struct val *arg, size_t argc, struct val *ret)
{
    size_t count;
    TRY(count_if(c, n, arg, argc, true, 1, &count));
    *ret = val_bool(count > 0);
    return RC_OK;
}
enum rc fn_none(struct ev *c, const struct expr *n, const struct val *arg, size_t argc, struct val *ret)
{
    TRY(fn_any(c, n, arg, argc, ret));
    ret->b = !ret->b;
    return RC_OK;
}
enum rc fn_all(struct ev *c, const struct expr *n, const struct val *arg, size_t argc, struct val *ret)
{
    size_t count;
    TRY(count_if(c, n, arg, argc, false, 1, &count));
    *ret = val_bool(count == 0);
    return RC_OK;
}

static enum rc total(struct ev *c, const struct expr *n, const struct val *arg, size_t argc, struct val *sum,
                     int64_t *count)
{
    struct val list, v;
    TRY(no_value_arg(c, n, argc));
    TRY(need_list(c, n, arg, &list));
    *sum = val_int(0);
    *count = 0;
    for (size_t i = 0; i < list.arr.n; i++) {
        TRY(item_value(c, n, &list, i, &v));
        if (v.type == VAL_NULL)
            continue;
        TRY(ev_arith(c, n, OP_ADD, sum, &v, sum));
        (*count)++;
    }
    return RC_OK;
}

enum rc fn_sum(struct ev *c, const struct expr *n, const struct val *arg, size_t argc, struct val *ret)
{
    int64_t count;
    return total(c, n, arg, argc, ret, &count);
}
enum rc fn_average(struct ev *c, const struct expr *n, const struct val *arg, size_t argc, struct val *ret)
{
    int64_t count;
    struct val sum;
    TRY(total(c, n, arg, argc, &sum, &count));
    *ret = val_null;
    struct val by = val_int(count);
    return count ? ev_arith(c, n, OP_DIV, &sum, &by, ret) : RC_OK;
}

static enum rc extreme(struct ev *c, const struct expr *n, const struct val *arg, size_t argc, int sign,
                       struct val *ret)
{
    struct val list = list_of(arg, argc), v;
    int cmp;
    if (argc == 1 && !val_is_number(arg))
        TRY(need_list(c, n, arg, &list));
    if (n->item != ITEM_NONE)
        TRY(need_list(c, n, arg, &list));
    *ret = val_null;
    for (size_t i = 0; i < list.arr.n; i++) {
        TRY(item_value(c, n, &list, i, &v));
        if (v.type == VAL_NULL)
            continue;
        if (ret->type == VAL_NULL) {
            TRY(ev_order(c, n, &v, &v, &cmp)); /* refuses what has no order, also when alone */
            *ret = v;
            continue;
        }
        TRY(ev_order(c, n, &v, ret, &cmp));
        if (cmp == sign)
            *ret = v;
    }
    return RC_OK;
}
enum rc fn_min(struct ev *c, const struct expr *n, const struct val *arg, size_t argc, struct val *ret)
{
    return extreme(c, n, arg, argc, -1, ret);
}
enum rc fn_max(struct ev *c, const struct expr *n, const struct val *arg, size_t argc, struct val *ret)
{
    return extreme(c, n, arg, argc, 1, ret);
}

/* ---- choosing ---- */

enum rc fn_filter(struct ev *c, const struct expr *n, const struct val *arg, size_t argc, struct val *ret)
{
    struct val list, v;
    (void)argc;
    TRY(need_list(c, n, arg, &list));
    struct val_list out = val_list_new(c->a);
    for (size_t i = 0; i < list.arr.n; i++) {
        TRY(item_value(c, n, &list, i, &v));
        if (!val_truthy(&v))
            continue;
        TRY(ev_charge(c, n, 2 * sizeof v));
        val_list_push(&out, list.arr.v[i]);
    }
    *ret = val_list_done(&out);
    return RC_OK;
}

enum rc fn_find(struct ev *c, const struct expr *n, const struct val *arg, size_t argc, struct val *ret)
{
    struct val list, v;
    (void)argc;
    TRY(need_list(c, n, arg, &list));
    *ret = val_null;
    for (size_t i = 0; i < list.arr.n; i++) {
        TRY(item_value(c, n, &list, i, &v));
        if (!val_truthy(&v))
            continue;
        *ret = list.arr.v[i];
        return RC_OK;
    }
    return RC_OK;
}

enum rc fn_map(struct ev *c, const struct expr *n, const struct val *arg, size_t argc, struct val *ret)
{
    struct val list, *out;
    (void)argc;
    TRY(need_list(c, n, arg, &list));
    TRY(new_values(c, n, list.arr.n, &out));
    for (size_t i = 0; i < list.arr.n; i++)
        TRY(item_value(c, n, &list, i, &out[i]));
    *ret = list_of(out, list.arr.n);
    return RC_OK;
}

static enum rc group_add(struct ev *c, const struct expr *n, struct map *groups, struct val_list *order,
                         const struct val *key, const struct val *item)
{
    struct str name = STR("null");
    if (key->type != VAL_NULL)
        TRY(ev_text(c, n, key, &name));
    struct val_list *group = map_get(groups, name);
    TRY(ev_charge(c, n, 2 * sizeof *item));
    if (!group) {
        TRY(ev_charge(c, n, 3 * sizeof(struct member)));
        group = ARENA_NEW(c->a, struct val_list);
        *group = val_list_new(c->a);
        map_put(groups, name, group);
        val_list_push(order, val_str(name));
    }
    val_list_push(group, *item);
    return RC_OK;
}

enum rc fn_group_by(struct ev *c, const struct expr *n, const struct val *arg, size_t argc, struct val *ret)
{
    struct val list, key;
    (void)argc;
    TRY(need_list(c, n, arg, &list));
    struct map groups = {0};
    struct val_list order = val_list_new(c->a);
    enum rc rc = RC_OK;
    for (size_t i = 0; i < list.arr.n && rc == RC_OK; i++) {
        rc = item_value(c, n, &list, i, &key);
        if (rc == RC_OK)
            rc = group_add(c, n, &groups, &order, &key, &list.arr.v[i]);
    }
    struct val_map out = val_map_new(c->a);
    for (size_t i = 0; i < order.n && rc == RC_OK; i++) {
        struct val_list *group = map_get(&groups, order.v[i].s);
        val_map_set(&out, order.v[i].s, val_list_done(group));
    }
    map_done(&groups);
    if (rc == RC_OK)
        *ret = val_map_done(&out);
    return rc;
}

/* ---- order ---- */

struct keyed {
    struct val key;
    const struct val *item;
};

/* Should `b` stand before `a`? Nulls stand last. */
static enum rc out_of_order(struct ev *c, const struct expr *n, const struct keyed *a, const struct keyed *b, bool desc,
                            bool *ret)
{
    int cmp;
    *ret = a->key.type == VAL_NULL && b->key.type != VAL_NULL;
    if (a->key.type == VAL_NULL || b->key.type == VAL_NULL)
        return RC_OK;
    TRY(ev_order(c, n, &a->key, &b->key, &cmp));
    *ret = desc ? cmp == -1 : cmp == 1;
    return RC_OK;
}

/* Bottom-up merge sort: stable, no recursion, and a comparison may fail. *v and *tmp may change places. */
static enum rc merge_sort(struct ev *c, const struct expr *n, struct keyed **v, struct keyed **tmp, size_t count,
                          bool desc)
{
    for (size_t width = 1; width < count; width *= 2) {
        for (size_t from = 0; from < count; from += 2 * width) {
            size_t mid = from + width < count ? from + width : count;
            size_t to = mid + width < count ? mid + width : count, i = from, j = mid;
            for (size_t k = from; k < to; k++) {
                bool swap = i >= mid;
                if (!swap && j < to)
                    TRY(out_of_order(c, n, &(*v)[i], &(*v)[j], desc, &swap));
                (*tmp)[k] = swap ? (*v)[j++] : (*v)[i++];
            }
        }
        TRY(expr_spend(c, n, count / 8));
        struct keyed *swap = *v;
        *v = *tmp;
        *tmp = swap;
    }
    return RC_OK;
}

static enum rc sort_direction(struct ev *c, const struct expr *n, const struct val *arg, size_t argc, bool *desc)
{
    *desc = false;
    if (argc == 2 && arg[1].type != VAL_NULL)
        TRY(no_value_arg(c, n, argc));
    if (argc < 3)
        return RC_OK;
    *desc = arg[2].type == VAL_STR && str_is(arg[2].s, "desc");
    if (*desc || (arg[2].type == VAL_STR && str_is(arg[2].s, "asc")))
        return RC_OK;
    return ev_fail(c, n->list[2], RC_EXPRESSION, "sort() needs 'asc' or 'desc', third: `%s` is %s",
                   show_src(n->list[2]).z, show_val(&arg[2]).z);
}

enum rc fn_sort(struct ev *c, const struct expr *n, const struct val *arg, size_t argc, struct val *ret)
{
    struct val list, *out;
    bool desc;
    TRY(sort_direction(c, n, arg, argc, &desc));
    TRY(need_list(c, n, arg, &list));
    size_t count = list.arr.n;
    TRY(new_values(c, n, count, &out));
    TRY(ev_charge(c, n, count * 2 * sizeof(struct keyed)));
    struct keyed *v = arena_calloc(c->a, count + 1, sizeof *v), *tmp = arena_calloc(c->a, count + 1, sizeof *tmp);
    for (size_t i = 0; i < count; i++) {
        TRY(item_value(c, n, &list, i, &v[i].key));
        v[i].item = &list.arr.v[i];
    }
    TRY(merge_sort(c, n, &v, &tmp, count, desc));
    for (size_t i = 0; i < count; i++)
        out[i] = *v[i].item;
    *ret = list_of(out, count);
    return RC_OK;
}

/* Equal values hash alike: numbers by their double, objects without order. */
static enum rc hash_val(struct ev *c, const struct expr *n, const struct val *v, uint64_t *ret)
{
    TRY(expr_spend(c, n, 1));
    TRY(ev_deeper(c, n));
    uint64_t h = 1, sub;
    double d;
    switch (v->type) {
    case VAL_NULL:
    case VAL_BOOL:
        h = 2u + (v->type == VAL_BOOL) + (v->type == VAL_BOOL && v->b);
        break;
    case VAL_STR:
        TRY(expr_spend(c, n, v->s.n / 256));
        h = str_hash(v->s, 5);
        break;
    case VAL_ARRAY:
        for (size_t i = 0; i < v->arr.n; i++) {
            TRY(hash_val(c, n, &v->arr.v[i], &sub));
            h = (h ^ sub) * 0x9e3779b97f4a7c15u;
        }
        break;
    case VAL_OBJECT:
        for (size_t i = 0; i < v->obj.n; i++) {
            TRY(hash_val(c, n, &v->obj.m[i].val, &sub));
            h += str_hash(v->obj.m[i].key, sub);
        }
        break;
    default:
        d = val_to_double(v, 0) + 0.0; /* -0.0 becomes 0.0 */
        h = str_hash(str_n((const char *)&d, sizeof d), 7);
    }
    c->depth--;
    *ret = h;
    return RC_OK;
}

enum rc fn_unique(struct ev *c, const struct expr *n, const struct val *arg, size_t argc, struct val *ret)
{
    struct val list, *out, *key;
    TRY(no_value_arg(c, n, argc));
    TRY(need_list(c, n, arg, &list));
    size_t count = list.arr.n, kept = 0, cap = 4;
    while (cap < 2 * count)
        cap *= 2;
    TRY(new_values(c, n, count, &out));
    TRY(new_values(c, n, count, &key));
    TRY(ev_charge(c, n, cap * sizeof(uint32_t)));
    uint32_t *slot = arena_calloc(c->a, cap, sizeof *slot); /* position in out + 1 */
    for (size_t i = 0; i < count; i++) {
        struct val v;
        uint64_t h;
        bool same = false;
        TRY(item_value(c, n, &list, i, &v));
        TRY(hash_val(c, n, &v, &h));
        size_t at = h & (cap - 1);
        for (; slot[at] && !same; at = (at + 1) & (cap - 1))
            TRY(ev_eq(c, n, &key[slot[at] - 1], &v, &same));
        if (same)
            continue;
        key[kept] = v;
        out[kept++] = list.arr.v[i];
        slot[at] = (uint32_t)kept;
    }
    *ret = list_of(out, kept);
    return RC_OK;
}

enum rc fn_reverse(struct ev *c, const struct expr *n, const struct val *arg, size_t argc, struct val *ret)
{
    struct val list, *out;
    (void)argc;
    if (arg->type == VAL_STR) {
        struct str s = arg->s;
        TRY(ev_charge(c, n, s.n));
        TRY(expr_spend(c, n, s.n / 256));
        char *p = arena_alloc(c->a, s.n + 1);
        for (size_t i = 0; i < s.n;) {
            size_t len = text_offset(str_from(s, i), 1);
            memcpy(p + s.n - i - len, s.p + i, len);
            i += len;
        }
        *ret = val_str(str_n(p, s.n));
        return RC_OK;
    }
    TRY(need_list(c, n, arg, &list));
    TRY(new_values(c, n, list.arr.n, &out));
    for (size_t i = 0; i < list.arr.n; i++)
        out[list.arr.n - 1 - i] = list.arr.v[i];
    *ret = list_of(out, list.arr.n);
    return RC_OK;
}

enum rc fn_first(struct ev *c, const struct expr *n, const struct val *arg, size_t argc, struct val *ret)
{
    struct val list;
    (void)argc;
    TRY(need_list(c, n, arg, &list));
    *ret = list.arr.n ? list.arr.v[0] : val_null;
    return RC_OK;
}
enum rc fn_last(struct ev *c, const struct expr *n, const struct val *arg, size_t argc, struct val *ret)
{
    struct val list;
    (void)argc;
    TRY(need_list(c, n, arg, &list));
    *ret = list.arr.n ? list.arr.v[list.arr.n - 1] : val_null;
    return RC_OK;
}

enum rc fn_slice(struct ev *c, const struct expr *n, const struct val *arg, size_t argc, struct val *ret)
{
    int64_t from, to = 0;
    TRY(need_int(c, n, arg, 1, INT64_MIN, &from));
    bool end = argc > 2 && arg[2].type != VAL_NULL;
    if (end)
        TRY(need_int(c, n, arg, 2, INT64_MIN, &to));
    return ev_slice(c, n, arg, &from, end ? &to : NULL, ret);
}

enum rc fn_index_of(struct ev *c, const struct expr *n, const struct val *arg, size_t argc, struct val *ret)
{
    struct val list;
    bool same = false;
    (void)argc;
    *ret = val_null;
    if (arg->type == VAL_STR && arg[1].type == VAL_STR) {
        TRY(expr_spend(c, n, arg->s.n / 64));
        size_t at = str_find(arg->s, arg[1].s);
        if (at != SIZE_MAX)
            *ret = val_int((int64_t)text_length(str_n(arg->s.p, at)));
        return RC_OK;
    }
    TRY(need_list(c, n, arg, &list));
    for (size_t i = 0; i < list.arr.n && !same; i++) {
        TRY(ev_eq(c, n, &list.arr.v[i], &arg[1], &same));
        if (same)
            *ret = val_int((int64_t)i);
    }
    return RC_OK;
}

/* ---- building ---- */

enum rc fn_chunk(struct ev *c, const struct expr *n, const struct val *arg, size_t argc, struct val *ret)
{
    struct val list, *out;
    int64_t size;
    (void)argc;
    TRY(need_list(c, n, arg, &list));
    TRY(need_int(c, n, arg, 1, 1, &size));
    size_t per = (size_t)size, count = list.arr.n / per + (list.arr.n % per != 0);
    TRY(new_values(c, n, count, &out));
    for (size_t i = 0; i < count; i++) {
        size_t left = list.arr.n - i * per;
        out[i] = list_of(list.arr.v + i * per, left < per ? left : per);
    }
    *ret = list_of(out, count);
    return RC_OK;
}

enum rc fn_concat(struct ev *c, const struct expr *n, const struct val *arg, size_t argc, struct val *ret)
{
    uint8_t type = VAL_NULL;
    size_t total_n = 0;
    for (size_t i = 0; i < argc; i++) {
        if (arg[i].type == VAL_NULL)
            continue;
        if ((arg[i].type != VAL_ARRAY && arg[i].type != VAL_STR) || (type != VAL_NULL && type != arg[i].type))
            return ev_fail(c, n->list[i], RC_EXPRESSION, "concat() joins arrays, or strings: `%s` is %s",
                           show_src(n->list[i]).z, show_val(&arg[i]).z);
        type = arg[i].type;
        total_n += type == VAL_STR ? arg[i].s.n : arg[i].arr.n;
    }
    if (type == VAL_STR) {
        TRY(ev_charge(c, n, total_n));
        TRY(expr_spend(c, n, total_n / 256));
        char *p = arena_alloc(c->a, total_n + 1);
        size_t at = 0;
        for (size_t i = 0; i < argc; i++)
            if (arg[i].type == VAL_STR && arg[i].s.n) {
                memcpy(p + at, arg[i].s.p, arg[i].s.n);
                at += arg[i].s.n;
            }
        *ret = val_str(str_n(p, total_n));
        return RC_OK;
    }
    struct val *out;
    size_t at = 0;
    TRY(new_values(c, n, total_n, &out));
    for (size_t i = 0; i < argc; i++)
        if (arg[i].type == VAL_ARRAY && arg[i].arr.n) {
            memcpy(out + at, arg[i].arr.v, arg[i].arr.n * sizeof *out);
            at += arg[i].arr.n;
        }
    *ret = list_of(out, total_n);
    return RC_OK;
}

enum rc fn_append(struct ev *c, const struct expr *n, const struct val *arg, size_t argc, struct val *ret)
{
    struct val list = val_empty_array, *out;
    if (arg->type != VAL_NULL) /* a list that is not there yet is empty */
        TRY(need_list(c, n, arg, &list));
    size_t count = list.arr.n + argc - 1;
    TRY(new_values(c, n, count, &out));
    if (list.arr.n)
        memcpy(out, list.arr.v, list.arr.n * sizeof *out);
    memcpy(out + list.arr.n, arg + 1, (argc - 1) * sizeof *out);
    *ret = list_of(out, count);
    return RC_OK;
}

enum rc fn_flatten(struct ev *c, const struct expr *n, const struct val *arg, size_t argc, struct val *ret)
{
    struct val list;
    (void)argc;
    TRY(need_list(c, n, arg, &list));
    struct val_list out = val_list_new(c->a);
    for (size_t i = 0; i < list.arr.n; i++) {
        const struct val *item = &list.arr.v[i];
        size_t inner = item->type == VAL_ARRAY ? item->arr.n : 1;
        TRY(expr_spend(c, n, 1 + inner / 8));
        TRY(ev_charge(c, n, inner > SIZE_MAX / 128 ? SIZE_MAX : inner * 2 * sizeof *item));
        for (size_t k = 0; k < inner; k++)
            val_list_push(&out, item->type == VAL_ARRAY ? item->arr.v[k] : *item);
    }
    *ret = val_list_done(&out);
    return RC_OK;
}

enum rc fn_range(struct ev *c, const struct expr *n, const struct val *arg, size_t argc, struct val *ret)
{
    int64_t from, to, step = 1;
    struct val *out;
    TRY(need_int(c, n, arg, 0, INT64_MIN, &from));
    TRY(need_int(c, n, arg, 1, INT64_MIN, &to));
    if (argc > 2)
        TRY(need_int(c, n, arg, 2, INT64_MIN, &step));
    if (step == 0)
        return ev_fail(c, n->list[2], RC_EXPRESSION, "the step of range() must not be 0");
    uint64_t span = step > 0 ? (uint64_t)to - (uint64_t)from : (uint64_t)from - (uint64_t)to;
    uint64_t by = step > 0 ? (uint64_t)step : 0 - (uint64_t)step;
    bool none = step > 0 ? from > to : from < to;
    uint64_t count = none ? 0 : span / by < SIZE_MAX / 64 ? span / by + 1 : SIZE_MAX / 64;
    TRY(new_values(c, n, (size_t)count, &out));
    for (size_t i = 0; i < count; i++)
        out[i] = val_int((int64_t)((uint64_t)from + (uint64_t)i * (uint64_t)step));
    *ret = list_of(out, (size_t)count);
    return RC_OK;
}

enum rc fn_keys(struct ev *c, const struct expr *n, const struct val *arg, size_t argc, struct val *ret)
{
    struct val *out;
    (void)argc;
    TRY(need_object(c, n, arg, 0));
    TRY(new_values(c, n, arg->obj.n, &out));
    for (size_t i = 0; i < arg->obj.n; i++)
        out[i] = val_str(arg->obj.m[i].key);
    *ret = list_of(out, arg->obj.n);
    return RC_OK;
}

enum rc fn_values(struct ev *c, const struct expr *n, const struct val *arg, size_t argc, struct val *ret)
{
    struct val *out;
    (void)argc;
    TRY(need_object(c, n, arg, 0));
    TRY(new_values(c, n, arg->obj.n, &out));
    for (size_t i = 0; i < arg->obj.n; i++)
        out[i] = arg->obj.m[i].val;
    *ret = list_of(out, arg->obj.n);
    return RC_OK;
}

enum rc fn_entries(struct ev *c, const struct expr *n, const struct val *arg, size_t argc, struct val *ret)
{
    struct val *out;
    (void)argc;
    TRY(need_object(c, n, arg, 0));
    TRY(new_values(c, n, arg->obj.n, &out));
    for (size_t i = 0; i < arg->obj.n; i++) {
        TRY(ev_charge(c, n, 4 * sizeof(struct member)));
        TRY(expr_spend(c, n, 1));
        struct val_map m = val_map_new(c->a);
        VAL_MAP_SET(&m, "key", val_str(arg->obj.m[i].key));
        VAL_MAP_SET(&m, "value", arg->obj.m[i].val);
        out[i] = val_map_done(&m);
    }
    *ret = list_of(out, arg->obj.n);
    return RC_OK;
}

enum rc fn_merge(struct ev *c, const struct expr *n, const struct val *arg, size_t argc, struct val *ret)
{
    struct val_map out = val_map_new(c->a);
    for (size_t i = 0; i < argc; i++) {
        if (arg[i].type == VAL_NULL)
            continue;
        TRY(need_object(c, n, arg, i));
        TRY(ev_charge(c, n, arg[i].obj.n * 3 * sizeof(struct member)));
        TRY(expr_spend(c, n, 1 + arg[i].obj.n / 4));
        val_map_merge(&out, &arg[i]);
    }
    *ret = val_map_done(&out);
    return RC_OK;
}

/* The fields of arg[0] that arg[1] names, or the others. */
static enum rc select_fields(struct ev *c, const struct expr *n, const struct val *arg, bool named, struct val *ret)
{
    TRY(need_object(c, n, arg, 0));
    if (arg[1].type != VAL_ARRAY)
        return ev_fail(c, n->list[1], RC_EXPRESSION, "%s() needs an array of names, second: `%s` is %s", n->fn->name,
                       show_src(n->list[1]).z, show_val(&arg[1]).z);
    struct val_map out = val_map_new(c->a);
    for (size_t i = 0; i < arg->obj.n; i++) {
        const struct member *m = &arg->obj.m[i];
        struct val key = val_str(m->key);
        bool found = false;
        for (size_t k = 0; k < arg[1].arr.n && !found; k++)
            TRY(ev_eq(c, n, &arg[1].arr.v[k], &key, &found));
        TRY(ev_charge(c, n, 3 * sizeof *m));
        if (found == named)
            val_map_set(&out, m->key, m->val);
    }
    *ret = val_map_done(&out);
    return RC_OK;
}
enum rc fn_pick(struct ev *c, const struct expr *n, const struct val *arg, size_t argc, struct val *ret)
{
    (void)argc;
    return select_fields(c, n, arg, true, ret);
}
enum rc fn_omit(struct ev *c, const struct expr *n, const struct val *arg, size_t argc, struct val *ret)
{
    (void)argc;
    return select_fields(c, n, arg, false, ret);
}
