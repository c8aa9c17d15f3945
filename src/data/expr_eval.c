/* The evaluator: a walk over the tree, one function a kind of node.
 *
 * Hostile values are expected: results of models reach expressions. What an evaluation may use is counted in
 * expr_bound.c; the tree's height bounds the recursion.
 *
 * An unknown name is RC_NOT_FOUND. It ends the evaluation except under `||`, exists and empty, which catch exactly that
 * code; everything else that goes wrong (types, limits) is never swallowed. */
#include "data/expr_int.h"

#include "base/panic.h"

#include <math.h>
#include <stdio.h>

static enum rc ev(struct ev *c, const struct expr *n, struct val *ret);

/* ---- names and fields ---- */

/* "a.b[2]" of the first `n` keys, for messages. */
static struct shown show_keys(const struct expr *node, const struct val *key, size_t n)
{
    struct shown out;
    char *z = out.z, *end = z + 80;
    bool base = node->kind != N_PATH && node->kind != N_ITEM;
    *z = 0;
    if (base)
        z += snprintf(z, 40, "%.30s", show_src(node->a).z);
    for (size_t i = 0; i < n && end - z > 4; i++) {
        char text[40];
        if (key[i].type == VAL_STR)
            show_text(text, sizeof text, key[i].s);
        int w = key[i].type == VAL_STR ? snprintf(z, (size_t)(end - z), "%s%s", i || base ? "." : "", text)
                                       : snprintf(z, (size_t)(end - z), "[%lld]", (long long)key[i].i);
        z += w < end - z ? w : end - z - 1;
    }
    out.z[str_utf8_valid(str_c(out.z))] = 0;
    return out;
}

static struct str nearest_field(const struct val *obj, struct str name)
{
    unsigned best = 2 + (unsigned)(name.n > 5); /* a third of a short name is another name */
    struct str found = {0};
    for (size_t i = 0; i < obj->obj.n && i < 200; i++) {
        unsigned d = str_distance(obj->obj.m[i].key, name, best);
        if (d < best && d < name.n)
            best = d, found = obj->obj.m[i].key;
    }
    return found;
}

/* "; it has a, b, …": what could have been meant. */
static const char *fields_of(struct ev *c, const struct val *obj)
{
    enum { SHOWN = 8 };
    struct str list = STR("");
    for (size_t i = 0; i < obj->obj.n && i < SHOWN; i++) {
        char name[40];
        show_text(name, sizeof name, obj->obj.m[i].key);
        list = arena_printf(c->a, "%.*s%s%s", STR_ARG(list), i ? ", " : "; it has ", name);
    }
    return arena_printf(c->a, "%.*s%s", STR_ARG(list), obj->obj.n > SHOWN ? ", …" : "").p;
}

/* Says why `key[i]` is not in `v`. */
static enum rc no_field(struct ev *c, const struct expr *n, const struct val *v, const struct val *key, size_t i)
{
    struct shown where = show_keys(n, key, i), what = show_val(&key[i]);
    const struct val *k = &key[i];
    if (v->type == VAL_OBJECT && k->type == VAL_STR) {
        const struct val *data = val_get(v, STR("data")); /* of a result, whose fields are looked for in it too */
        struct str near = nearest_field(v, k->s);
        if (!near.n && val_is(data, VAL_OBJECT))
            near = nearest_field(data, k->s);
        if (near.n)
            return ev_fail(c, n, RC_NOT_FOUND, "`%s` has no field %s; did you mean `%.40s`?", where.z, what.z,
                           arena_cstr(c->a, near));
        return ev_fail(c, n, RC_NOT_FOUND, "`%s` has no field %s%s", where.z, what.z, fields_of(c, v));
    }
    if (v->type == VAL_ARRAY && k->type == VAL_INT)
        return ev_fail(c, n, RC_NOT_FOUND, "index %s is out of range: `%s` has %zu item%s", what.z, where.z, v->arr.n,
                       v->arr.n == 1 ? "" : "s");
    if (v->type == VAL_STR && k->type == VAL_INT)
        return ev_fail(c, n, RC_NOT_FOUND, "index %s is out of range: `%s` has %zu characters", what.z, where.z,
                       text_length(v->s));
    if (v->type == VAL_ARRAY)
        return ev_fail(c, n, RC_NOT_FOUND, "`%s` is an array and has no field %s; pick an item ([0]) or all ([*])",
                       where.z, what.z);
    return ev_fail(c, n, RC_NOT_FOUND, "`%s` is %s and has no %s %s", where.z, show_type(v),
                   k->type == VAL_STR ? "field" : "item", what.z);
}

/* One step into a value. False when there is nothing. */
static bool field(const struct val *v, const struct val *key, struct val *ret)
{
    if (key->type == VAL_STR) {
        const struct val *got = val_get(v, key->s);
        if (got) {
            *ret = *got;
            return true;
        }
        if (!str_is(key->s, "length"))
            return false;
        size_t n = v->type == VAL_ARRAY ? v->arr.n : v->type == VAL_OBJECT ? v->obj.n : 0;
        *ret = val_int((int64_t)(v->type == VAL_STR ? text_length(v->s) : n));
        return v->type == VAL_ARRAY || v->type == VAL_OBJECT || v->type == VAL_STR;
    }
    int64_t i = key->i;
    if (v->type == VAL_ARRAY) {
        if (i < 0)
            i += (int64_t)v->arr.n;
        if (i < 0 || (size_t)i >= v->arr.n)
            return false;
        *ret = v->arr.v[i];
        return true;
    }
    if (v->type != VAL_STR)
        return false;
    size_t n = text_length(v->s);
    if (i < 0)
        i += (int64_t)n;
    if (i < 0 || (size_t)i >= n)
        return false;
    size_t from = text_offset(v->s, (size_t)i), to = from + text_offset(str_from(v->s, from), 1);
    *ret = val_str(str_n(v->s.p + from, to - from));
    return true;
}

/* Follows key[from..] into `v`. */
static enum rc follow(struct ev *c, const struct expr *n, struct val v, const struct val *key, size_t from,
                      size_t nkeys, struct val *ret)
{
    for (size_t i = from; i < nkeys; i++) {
        struct val next;
        TRY(expr_spend(c, n, 1 + (v.type == VAL_STR ? v.s.n / 256 : 0)));
        if (!field(&v, &key[i], &next)) {
            bool name = v.type == VAL_OBJECT && key[i].type == VAL_STR && c->scope->lacking;
            const struct val *other = name ? c->scope->lacking(c->scope->ctx, &v, key, i, c->a) : NULL;
            size_t own = n->kind == N_EACH ? from : 0; /* where the keys of the node itself begin */
            if (!other && !c->null_safe)
                return no_field(c, n, &v, key + own, i - own);
            next = other ? *other : val_null;
        }
        v = next;
    }
    *ret = v;
    return RC_OK;
}

/* The keys of a node with segments. *null is set when a computed key is null under conditions' rules. */
static enum rc keys_of(struct ev *c, const struct expr *n, const struct val **ret, bool *null)
{
    *null = false;
    *ret = n->keys;
    if (n->keys)
        return RC_OK;
    struct val *key = arena_calloc(c->a, n->nseg, sizeof *key);
    TRY(ev_charge(c, n, n->nseg * sizeof *key));
    for (size_t i = 0; i < n->nseg; i++) {
        if (!n->seg[i].index) {
            key[i] = val_str(n->seg[i].name);
            continue;
        }
        TRY(ev(c, n->seg[i].index, &key[i]));
        if (key[i].type == VAL_NULL && c->null_safe)
            *null = true;
        else if (key[i].type != VAL_STR && key[i].type != VAL_INT)
            return ev_fail(c, n->seg[i].index, RC_EXPRESSION, "an index must be an integer or a string: `%s` is %s",
                           show_src(n->seg[i].index).z, show_val(&key[i]).z);
    }
    *ret = key;
    return RC_OK;
}

static enum rc ev_path(struct ev *c, const struct expr *n, struct val *ret)
{
    const struct val *key, *v = NULL;
    bool null;
    TRY(keys_of(c, n, &key, &null));
    if (null) {
        *ret = val_null;
        return RC_OK;
    }
    size_t used = 1;
    enum rc rc = c->scope->resolve(c->scope->ctx, key, n->nseg, c->a, &v, &used, c->err);
    if (rc != RC_OK) {
        if (n->line) {
            char msg[sizeof c->err->msg];
            memcpy(msg, c->err->msg, sizeof msg);
            err_set(c->err, rc, "%u:%u: %s", n->line, n->col, msg);
        }
        return rc;
    }
    CHECK(used >= 1 && used <= n->nseg);
    return follow(c, n, v ? *v : val_null, key, used, n->nseg, ret);
}

static struct ev_frame *frame_up(struct ev *c, unsigned up)
{
    struct ev_frame *f = c->frame;
    while (up-- && f)
        f = f->up;
    CHECK(f != NULL);
    return f;
}

/* A name in a quoted condition: a field of the item; `item`, the item itself; a lambda's parameter further out; or, for
 * names like steps.x and for items that have no fields, the caller's name. A field that this item lacks is null. */
static enum rc ev_item_path(struct ev *c, const struct expr *n, struct val *ret)
{
    const struct val *item = &frame_up(c, n->up)->item, *key;
    struct str head = n->seg[0].name;
    bool object = item->type == VAL_OBJECT, has = val_get(item, head) != NULL, null;
    if (!has && !str_is(head, "item")) {
        if (n->a->kind != N_PATH || !object || (n->nseg > 1 && expr_is_root(head)))
            return ev(c, n->a, ret);
        *ret = val_null;
        return RC_OK;
    }
    TRY(keys_of(c, n, &key, &null));
    if (null) {
        *ret = val_null;
        return RC_OK;
    }
    return follow(c, n, *item, key, has ? 0 : 1, n->nseg, ret);
}

static enum rc ev_get(struct ev *c, const struct expr *n, struct val *ret)
{
    struct val base;
    const struct val *key;
    bool null;
    TRY(ev(c, n->a, &base));
    TRY(keys_of(c, n, &key, &null));
    if (null) {
        *ret = val_null;
        return RC_OK;
    }
    return follow(c, n, base, key, 0, n->nseg, ret);
}

/* a[*].b as a path of its own for each item: how many keys lead to the item, the last of them to be set. */
static size_t keys_of_items(struct ev *c, const struct expr *n, const struct val *key, struct val **ret)
{
    size_t to = n->a->kind == N_PATH && n->a->keys ? n->a->nseg : 0;
    struct val *path = *ret = arena_calloc(c->a, to + 1 + n->nseg, sizeof *path);
    for (size_t i = 0; i < to; i++)
        path[i] = n->a->keys[i];
    for (size_t i = 0; i < n->nseg; i++)
        path[to + 1 + i] = key[i];
    return to + 1;
}

/* a[*].b: a missing b is null, but not missing everywhere (that is a wrong name). a[*].b[*].c flattens. */
static enum rc ev_each(struct ev *c, const struct expr *n, struct val *ret)
{
    struct val base;
    const struct val *key;
    bool null, known = false, strict = !c->null_safe;
    TRY(ev(c, n->a, &base));
    TRY(keys_of(c, n, &key, &null));
    if (null || (base.type == VAL_NULL && c->null_safe)) {
        *ret = val_null;
        return RC_OK;
    }
    if (base.type != VAL_ARRAY && base.type != VAL_OBJECT)
        return ev_fail(c, n, base.type == VAL_NULL ? RC_NOT_FOUND : RC_EXPRESSION,
                       "[*] needs an array or an object: `%s` is %s", show_src(n->a).z, show_val(&base).z);
    struct val_list out = val_list_new(c->a);
    size_t count = base.type == VAL_ARRAY ? base.arr.n : base.obj.n;
    struct val *path;
    size_t from = keys_of_items(c, n, key, &path);
    for (size_t i = 0; i < count; i++) {
        path[from - 1] = base.type == VAL_ARRAY ? val_int((int64_t)i) : val_str(base.obj.m[i].key);
        const struct val *item = base.type == VAL_ARRAY ? &base.arr.v[i] : &base.obj.m[i].val;
        bool flatten = n->a->kind == N_EACH && item->type == VAL_ARRAY;
        size_t inner = flatten ? item->arr.n : 1;
        for (size_t k = 0; k < inner; k++) {
            struct val got;
            TRY(expr_spend(c, n, 1));
            TRY(ev_charge(c, n, sizeof got * 2));
            enum rc rc = follow(c, n, flatten ? item->arr.v[k] : *item, path, from, from + n->nseg, &got);
            if (rc == RC_NOT_FOUND)
                got = val_null;
            else if (rc != RC_OK)
                return rc;
            else
                known = true;
            val_list_push(&out, got);
        }
    }
    if (strict && out.n && !known)
        return RC_NOT_FOUND; /* the last item's message stands */
    *ret = val_list_done(&out);
    return RC_OK;
}

static enum rc slice_bound(struct ev *c, const struct expr *e, int64_t *room, const int64_t **ret)
{
    struct val v;
    *ret = NULL;
    if (!e)
        return RC_OK;
    TRY(ev(c, e, &v));
    if (v.type == VAL_NULL)
        return RC_OK;
    if (v.type != VAL_INT)
        return ev_fail(c, e, RC_EXPRESSION, "the bound of a slice must be an integer: `%s` is %s", show_src(e).z,
                       show_val(&v).z);
    *room = v.i;
    *ret = room;
    return RC_OK;
}

static enum rc ev_slice_node(struct ev *c, const struct expr *n, struct val *ret)
{
    struct val base;
    int64_t room[2];
    const int64_t *from, *to;
    TRY(ev(c, n->a, &base));
    TRY(slice_bound(c, n->b, &room[0], &from));
    TRY(slice_bound(c, n->c, &room[1], &to));
    if (base.type == VAL_NULL && c->null_safe) {
        *ret = val_null;
        return RC_OK;
    }
    return ev_slice(c, n, &base, from, to, ret);
}

/* ---- building ---- */

static enum rc ev_array(struct ev *c, const struct expr *n, struct val *ret)
{
    struct val *v = arena_calloc(c->a, n->n ? n->n : 1, sizeof *v);
    TRY(ev_charge(c, n, n->n * sizeof *v));
    for (size_t i = 0; i < n->n; i++)
        TRY(ev(c, n->list[i], &v[i]));
    *ret = (struct val){.type = VAL_ARRAY, .arr = {v, n->n}};
    return ev_check(c, n, ret);
}

static enum rc ev_object(struct ev *c, const struct expr *n, struct val *ret)
{
    struct val_map m = val_map_new(c->a);
    for (size_t i = 0; i + 1 < n->n; i += 2) {
        struct val key = {0}, value = {0};
        TRY(ev(c, n->list[i], &key));
        if (key.type != VAL_STR)
            return ev_fail(c, n->list[i], RC_EXPRESSION, "a key must be a string: `%s` is %s", show_src(n->list[i]).z,
                           show_val(&key).z);
        TRY(ev(c, n->list[i + 1], &value));
        TRY(ev_charge(c, n, 2 * sizeof(struct member)));
        val_map_set(&m, key.s, value);
    }
    *ret = val_map_done(&m);
    return ev_check(c, n, ret);
}

/* A number of many zeros is read more easily, and counted right, with an exponent: 1.0e10. */
static size_t number_text(double d, char *out, size_t room)
{
    size_t n = json_double_text(d, out), from = n && out[0] == '-', digits;
    if (!isfinite(d) || n < from + 2 || memchr(out, 'e', n) || memcmp(out + n - 2, ".0", 2) != 0)
        return n;
    for (digits = n - 2; digits > from + 1 && out[digits - 1] == '0';)
        digits--;
    size_t kept = digits - from, zeros = n - 2 - digits, exponent = kept + zeros - 1;
    size_t len = kept + 1 + (kept == 1) + 1 + (exponent < 10 ? 1 : 2);
    if (2 * len >= n - from)
        return n;
    char rest[32];
    size_t nrest = kept > 1 ? kept - 1 : 1;
    memcpy(rest, kept > 1 ? out + from + 1 : "0", nrest);
    int more = snprintf(out + from + 1, room - from - 1, ".%.*se%zu", (int)nrest, rest, exponent);
    CHECK(more > 0 && from + 1 + (size_t)more < room);
    return from + 1 + (size_t)more;
}

enum rc ev_json(struct ev *c, const struct expr *n, const struct val *v, enum json_style style, struct str *ret)
{
    struct buf b;
    buf_init(&b, c->max - c->built);
    json_write(&b, v, style);
    enum rc rc = ev_charge(c, n, b.overflow ? SIZE_MAX : b.n);
    if (rc == RC_OK)
        rc = expr_spend(c, n, b.n / 64);
    if (rc == RC_OK)
        *ret = arena_str(c->a, buf_str(&b));
    buf_done(&b);
    return rc;
}

enum rc ev_text(struct ev *c, const struct expr *n, const struct val *v, struct str *ret)
{
    if (v->type == VAL_DOUBLE) {
        char z[64];
        *ret = arena_str(c->a, str_n(z, number_text(v->d, z, sizeof z)));
        return ev_charge(c, n, ret->n);
    }
    if (v->type == VAL_STR || v->type == VAL_NULL) {
        *ret = v->type == VAL_STR ? v->s : STR("");
        return RC_OK;
    }
    return ev_json(c, n, v, JSON_COMPACT, ret);
}

/* A template with holes. Two passes: sizes first, so that the text is built once. */
static enum rc ev_template(struct ev *c, const struct expr *n, struct val *ret)
{
    struct str *part = arena_calloc(c->a, n->n ? n->n : 1, sizeof *part);
    size_t total = 0;
    for (size_t i = 0; i < n->n; i++) {
        struct val v;
        TRY(ev(c, n->list[i], &v));
        TRY(ev_text(c, n->list[i], &v, &part[i]));
        TRY(ev_charge(c, n, part[i].n));
        total += part[i].n;
    }
    char *out = arena_alloc(c->a, total + 1), *p = out;
    for (size_t i = 0; i < n->n; i++) {
        if (part[i].n)
            memcpy(p, part[i].p, part[i].n);
        p += part[i].n;
    }
    *ret = val_str(str_n(out, total));
    return expr_spend(c, n, total / 256);
}

/* The value, or *known = false where a name in it is unknown. */
static enum rc ev_soft(struct ev *c, const struct expr *n, struct val *ret, bool *known)
{
    struct ev_frame *frame = c->frame;
    bool null_safe = c->null_safe;
    unsigned depth = c->depth;
    enum rc rc = ev(c, n, ret);
    *known = rc == RC_OK;
    c->frame = frame;
    c->null_safe = null_safe;
    c->depth = depth;
    return rc == RC_NOT_FOUND ? RC_OK : rc;
}

/* What is added to may be a variable that nothing has set yet: a counter or a list at its beginning. */
static enum rc ev_addend(struct ev *c, const struct expr *n, struct val *ret)
{
    struct str head = n->kind == N_PATH && n->nseg == 2 && n->seg[1].name.p ? n->seg[0].name : STR("");
    if (!str_is(head, "state") && !str_is(head, "global_vars") && !str_is(head, "variables"))
        return ev(c, n, ret);
    bool known;
    TRY(ev_soft(c, n, ret, &known));
    *ret = known ? *ret : val_null;
    return RC_OK;
}

/* The last item of the list at the path, which has `count` of them. */
static enum rc ev_last(struct ev *c, const struct expr *list, const struct val *key, int64_t count, struct val *ret)
{
    *ret = val_null;
    if (!count)
        return RC_OK;
    struct val *longer = arena_calloc(c->a, list->nseg + 1, sizeof *longer);
    memcpy(longer, key, list->nseg * sizeof *longer);
    longer[list->nseg] = val_int(count - 1);
    const struct val *v = NULL;
    size_t used = 1;
    TRY(c->scope->resolve(c->scope->ctx, longer, list->nseg + 1, c->a, &v, &used, c->err));
    return follow(c, list, v ? *v : val_null, longer, used, list->nseg + 1, ret);
}

/* A function of a path that needs no more than how many items or which fields are there, and for last(PATH) one item:
 * where the caller knows that without the whole. */
static enum rc ev_of_path(struct ev *c, const struct expr *n, struct val *ret, bool *done)
{
    const struct expr *path = n->list[0];
    const struct expr_scope *s = c->scope;
    bool last = n->fn->call == fn_last, keys = n->fn->call == fn_keys, null;
    const struct val *key;
    struct val names;
    int64_t count;
    *done = true;
    TRY(keys_of(c, path, &key, &null));
    if (!null && !keys && s->count && s->count(s->ctx, key, path->nseg, c->a, &count)) {
        *ret = val_int(count);
        return last ? ev_last(c, path, key, count, ret) : RC_OK;
    }
    if (!null && !last && s->fields && s->fields(s->ctx, key, path->nseg, c->a, &names)) {
        TRY(ev_charge(c, n, names.arr.n * sizeof names));
        *ret = keys ? names : val_int((int64_t)names.arr.n);
        return expr_spend(c, n, names.arr.n / 16);
    }
    *done = false;
    return RC_OK;
}

static enum rc ev_call(struct ev *c, const struct expr *n, struct val *ret)
{
    struct val few[4], *arg = few;
    bool part = n->fn->call == fn_length || n->fn->call == fn_count || n->fn->call == fn_last || n->fn->call == fn_keys;
    if (part && n->n == 1 && n->list[0]->kind == N_PATH) {
        bool done;
        TRY(ev_of_path(c, n, ret, &done));
        if (done)
            return RC_OK;
    }
    if (n->n > 4) {
        TRY(ev_charge(c, n, n->n * sizeof *arg));
        arg = arena_calloc(c->a, n->n, sizeof *arg);
    }
    for (size_t i = 0; i < n->n; i++) {
        if (i == 1 && n->item != ITEM_NONE)
            arg[i] = val_null;
        else if (i == 0 && n->fn->flags & FN_GROWS && n->fn->flags & FN_NULL) /* append, concat, merge */
            TRY(ev_addend(c, n->list[i], &arg[i]));
        else
            TRY(ev(c, n->list[i], &arg[i]));
    }
    if (c->null_safe && n->n && arg[0].type == VAL_NULL && !(n->fn->flags & FN_NULL)) {
        *ret = val_null;
        return RC_OK;
    }
    TRY(n->fn->call(c, n, arg, n->n, ret));
    return n->fn->flags & FN_GROWS ? ev_check(c, n, ret) : RC_OK;
}

enum rc ev_item(struct ev *c, const struct expr *n, const struct val *item, size_t i, struct val *ret)
{
    struct ev_frame f = {.item = *item, .index = val_int((int64_t)i), .up = c->frame};
    bool null_safe = c->null_safe;
    c->frame = &f;
    c->null_safe = null_safe || n->item == ITEM_STRING;
    enum rc rc = ev(c, n->list[1], ret);
    c->null_safe = null_safe;
    c->frame = f.up;
    return rc;
}

/* ---- logic ---- */

static enum rc ev_default(struct ev *c, const struct expr *n, struct val *ret)
{
    bool known = false;
    *ret = val_null;
    TRY(ev_soft(c, n->a, ret, &known));
    if (known && ret->type != VAL_NULL && (n->op != OP_LOGIC || val_truthy(ret)))
        return RC_OK;
    return ev(c, n->b, ret);
}

static bool is_empty(const struct val *v)
{
    return v->type == VAL_NULL || (v->type == VAL_STR && v->s.n == 0) || (v->type == VAL_ARRAY && v->arr.n == 0) ||
           (v->type == VAL_OBJECT && v->obj.n == 0);
}

static enum rc ev_between(struct ev *c, const struct expr *n, struct val *ret)
{
    struct val v, low, high, above, below;
    TRY(ev(c, n->a, &v));
    TRY(ev(c, n->b, &low));
    TRY(ev(c, n->c, &high));
    TRY(ev_compare(c, n, OP_GE, &v, &low, &above));
    struct expr upper = *n; /* so that a message names the upper bound */
    upper.b = n->c;
    TRY(ev_compare(c, &upper, OP_LE, &v, &high, &below));
    *ret = val_bool(above.b && below.b);
    return RC_OK;
}

static enum rc ev_neg(struct ev *c, const struct expr *n, struct val *ret)
{
    TRY(ev(c, n->a, ret));
    if (ret->type == VAL_DOUBLE) {
        *ret = val_double(-ret->d);
        return RC_OK;
    }
    if (ret->type == VAL_BIGINT) {
        bool minus = ret->s.n && ret->s.p[0] == '-';
        struct str s = minus ? str_from(ret->s, 1) : arena_printf(c->a, "-%.*s", STR_ARG(ret->s));
        int64_t i;
        *ret = str_to_i64(s, &i) ? val_int(i) : (struct val){.type = VAL_BIGINT, .s = s};
        return ev_charge(c, n, s.n);
    }
    int64_t i;
    if (ret->type != VAL_INT)
        return ev_fail(c, n, RC_EXPRESSION, "cannot negate %s: `%s` is %s", show_type(ret), show_src(n->a).z,
                       show_val(ret).z);
    if (__builtin_sub_overflow((int64_t)0, ret->i, &i))
        return ev_fail(c, n, RC_EXPRESSION, "integer overflow in `%s`", show_src(n).z);
    *ret = val_int(i);
    return RC_OK;
}

static enum rc ev_logic(struct ev *c, const struct expr *n, struct val *ret)
{
    struct val v;
    bool known, truth;
    switch (n->kind) {
    case N_NOT:
        TRY(ev(c, n->a, &v));
        truth = !val_truthy(&v);
        break;
    case N_EXISTS:
        TRY(ev_soft(c, n->a, &v, &known));
        truth = known && v.type != VAL_NULL;
        break;
    case N_EMPTY:
        TRY(ev_soft(c, n->a, &v, &known));
        truth = !known || is_empty(&v);
        break;
    default:
        TRY(ev(c, n->a, &v));
        truth = val_truthy(&v);
        if (truth == (n->kind == N_AND)) {
            TRY(ev(c, n->b, &v));
            truth = val_truthy(&v);
        }
    }
    *ret = val_bool(truth);
    return RC_OK;
}

static enum rc ev_binary(struct ev *c, const struct expr *n, struct val *ret)
{
    struct val a, b;
    if (n->kind == N_ARITH && n->op == OP_ADD) {
        TRY(ev_addend(c, n->a, &a));
        TRY(ev_addend(c, n->b, &b));
        return ev_arith(c, n, OP_ADD, &a, &b, ret);
    }
    TRY(ev(c, n->a, &a));
    TRY(ev(c, n->b, &b));
    if (n->kind == N_ARITH)
        return ev_arith(c, n, (enum op)n->op, &a, &b, ret);
    return ev_compare(c, n, (enum op)n->op, &a, &b, ret);
}

static enum rc ev(struct ev *c, const struct expr *n, struct val *ret)
{
    TRY(expr_spend(c, n, 1));
    switch ((enum node_kind)n->kind) {
    case N_CONST:
        *ret = n->val;
        return RC_OK;
    case N_PATH:
        return ev_path(c, n, ret);
    case N_LOCAL: {
        struct ev_frame *f = frame_up(c, n->up);
        *ret = n->slot ? f->index : f->item;
        return RC_OK;
    }
    case N_ITEM:
        return ev_item_path(c, n, ret);
    case N_GET:
        return ev_get(c, n, ret);
    case N_EACH:
        return ev_each(c, n, ret);
    case N_SLICE:
        return ev_slice_node(c, n, ret);
    case N_NEG:
        return ev_neg(c, n, ret);
    case N_ARITH:
    case N_COMPARE:
        return ev_binary(c, n, ret);
    case N_BETWEEN:
        return ev_between(c, n, ret);
    case N_NOT:
    case N_AND:
    case N_OR:
    case N_EXISTS:
    case N_EMPTY:
        return ev_logic(c, n, ret);
    case N_DEFAULT:
        return ev_default(c, n, ret);
    case N_COND: {
        struct val v;
        TRY(ev(c, n->a, &v));
        return ev(c, val_truthy(&v) ? n->b : n->c, ret);
    }
    case N_ARRAY:
        return ev_array(c, n, ret);
    case N_OBJECT:
        return ev_object(c, n, ret);
    case N_CALL:
        return ev_call(c, n, ret);
    case N_TEXT:
        return ev_template(c, n, ret);
    }
    PANIC("unknown node %u", n->kind);
}

enum rc expr_eval(const struct expr *e, struct expr_scope *scope, struct arena *a, struct val *ret, struct err *err)
{
    struct ev c;
    struct err inner; /* what `||` and exists swallowed stays out of the caller's sight */
    struct val v;
    ev_begin(&c, scope, a, &inner);
    enum rc rc = ev(&c, e, &v);
    ev_end(&c);
    if (rc == RC_OK)
        *ret = v;
    else
        *err = inner;
    return rc;
}
