/* Value trees: access, comparison, copies and builders.
 *
 * Objects keep their members in the order written. Up to 16 of them a lookup is a scan, which beats hashing; a larger
 * object has an index: `index[0]` is a mask, then follow mask + 1 slots of open addressing with linear probing, 0 for a
 * free slot and position + 1 for a used one. Never more than half of the slots are used. Keys come from outside, so the
 * hash is SipHash-1-3 under a key drawn once per process: nobody can aim keys at one slot. The index is not visible in
 * any output, so the random key does not make runs differ.
 *
 * Trees can be deep: a workflow may wrap a variable in a list once per loop iteration. Nothing here recurses; what is
 * still to be visited lies on an explicit stack (`struct todo`) that moves to the heap when it outgrows its first room.
 */
#include "data/val.h"

#include "base/hash.h"
#include "base/panic.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { SCAN_MAX = 16, LIST_MIN = 8, TODO_MIN = 64 };

const struct val val_null = {.type = VAL_NULL}, val_true = {.type = VAL_BOOL, .b = true},
                 val_false = {.type = VAL_BOOL, .b = false}, val_empty_object = {.type = VAL_OBJECT},
                 val_empty_array = {.type = VAL_ARRAY};

const char *val_type_name(const struct val *v)
{
    static const char *const names[] = {
        [VAL_NULL] = "null",     [VAL_BOOL] = "boolean", [VAL_INT] = "integer", [VAL_BIGINT] = "integer",
        [VAL_DOUBLE] = "number", [VAL_STR] = "string",   [VAL_ARRAY] = "array", [VAL_OBJECT] = "object",
    };
    return v ? names[v->type] : "null";
}

/* ---- the index of large objects ---- */

/* The slot that holds `key`, or the free one where it belongs. */
static size_t slot_find(const uint32_t *index, const struct member *m, struct str key)
{
    const uint32_t *slot = index + 1;
    size_t mask = index[0], i = hash_keyed(key) & mask;
    while (slot[i] && !str_eq(m[slot[i] - 1].key, key))
        i = (i + 1) & mask;
    return i;
}

static size_t index_words(const uint32_t *index)
{
    return (size_t)index[0] + 2;
}

static const struct member *find(const struct member *m, size_t n, const uint32_t *index, struct str key)
{
    if (index) {
        uint32_t at = index[1 + slot_find(index, m, key)];
        return at ? &m[at - 1] : NULL;
    }
    for (size_t i = 0; i < n; i++)
        if (str_eq(m[i].key, key))
            return &m[i];
    return NULL;
}

/* ---- access ---- */

const struct member *val_member(const struct val *v, struct str key)
{
    return val_is(v, VAL_OBJECT) ? find(v->obj.m, v->obj.n, v->obj.index, key) : NULL;
}

const struct val *val_get(const struct val *v, struct str key)
{
    const struct member *m = val_member(v, key);
    return m ? &m->val : NULL;
}

const struct val *val_at(const struct val *v, size_t i)
{
    return val_is(v, VAL_ARRAY) && i < v->arr.n ? &v->arr.v[i] : NULL;
}

struct str val_get_str(const struct val *v, struct str key, struct str fallback)
{
    const struct val *got = val_get(v, key);
    return val_is(got, VAL_STR) ? got->s : fallback;
}

int64_t val_get_int(const struct val *v, struct str key, int64_t fallback)
{
    const struct val *got = val_get(v, key);
    return val_is(got, VAL_INT) ? got->i : fallback;
}

bool val_get_bool(const struct val *v, struct str key, bool fallback)
{
    const struct val *got = val_get(v, key);
    return val_is(got, VAL_BOOL) ? got->b : fallback;
}

static double bigint_to_double(struct str s)
{
    char room[128], *z = s.n < sizeof room ? room : malloc(s.n + 1);
    if (!z)
        PANIC("out of memory (%zu bytes)", s.n);
    memcpy(z, s.p, s.n);
    z[s.n] = 0;
    double d = strtod(z, NULL); /* digits only: no locale can change their meaning */
    if (z != room)
        free(z);
    return d;
}

double val_to_double(const struct val *v, double fallback)
{
    if (!val_is_number(v))
        return fallback;
    return v->type == VAL_INT ? (double)v->i : v->type == VAL_DOUBLE ? v->d : bigint_to_double(v->s);
}

bool val_truthy(const struct val *v)
{
    if (!v)
        return false;
    switch ((enum val_type)v->type) {
    case VAL_NULL:
        return false;
    case VAL_BOOL:
        return v->b;
    case VAL_INT:
        return v->i != 0;
    case VAL_DOUBLE:
        return v->d != 0;
    case VAL_STR:
        return v->s.n != 0;
    case VAL_ARRAY:
        return v->arr.n != 0;
    case VAL_OBJECT:
        return v->obj.n != 0;
    case VAL_BIGINT:
        break;
    }
    return true;
}

/* ---- walks ---- */

struct item {
    const struct val *a, *b;
    size_t depth;
};
struct todo {
    struct item *at, room[TODO_MIN];
    size_t n, cap;
};

static void todo_init(struct todo *t)
{
    t->at = t->room;
    t->n = 0;
    t->cap = TODO_MIN;
}

static void todo_done(struct todo *t)
{
    if (t->at != t->room)
        free(t->at);
}

static void todo_push(struct todo *t, const struct val *a, const struct val *b, size_t depth)
{
    if (t->n == t->cap) {
        struct item *more = realloc(t->at == t->room ? NULL : t->at, t->cap * 2 * sizeof *more);
        if (!more)
            PANIC("out of memory (%zu values to visit)", t->cap);
        if (t->at == t->room)
            memcpy(more, t->room, sizeof t->room);
        t->at = more;
        t->cap *= 2;
    }
    t->at[t->n++] = (struct item){a, b, depth};
}

static bool is_container(const struct val *v)
{
    return v->type == VAL_ARRAY || v->type == VAL_OBJECT;
}

static size_t child_count(const struct val *v)
{
    return v->type == VAL_ARRAY ? v->arr.n : v->type == VAL_OBJECT ? v->obj.n : 0;
}

static const struct val *child(const struct val *v, size_t i)
{
    return v->type == VAL_ARRAY ? &v->arr.v[i] : &v->obj.m[i].val;
}

static bool int_eq_double(int64_t i, double d)
{
    /* Outside this range the conversion back would be undefined; inside it is exact for whole numbers. */
    return d >= -0x1p63 && d < 0x1p63 && d == trunc(d) && (int64_t)d == i;
}

static bool bigint_eq_double(struct str s, double d)
{
    char z[400]; /* the largest double has 309 digits; %.0f prints all of them exactly */
    if (!isfinite(d) || d != trunc(d))
        return false;
    int n = snprintf(z, sizeof z, "%.0f", d);
    return str_eq(s, str_n(z, (size_t)n));
}

static bool number_eq(const struct val *a, const struct val *b)
{
    if (b->type == VAL_DOUBLE && a->type != VAL_DOUBLE) {
        const struct val *swap = a;
        a = b;
        b = swap;
    }
    if (a->type == VAL_DOUBLE)
        return b->type == VAL_DOUBLE ? a->d == b->d
               : b->type == VAL_INT  ? int_eq_double(b->i, a->d)
                                     : bigint_eq_double(b->s, a->d);
    if (a->type != b->type)
        return false;
    return a->type == VAL_INT ? a->i == b->i : str_eq(a->s, b->s);
}

static bool leaf_eq(const struct val *a, const struct val *b)
{
    if (val_is_number(a) && val_is_number(b))
        return number_eq(a, b);
    if (a->type != b->type)
        return false;
    return a->type == VAL_BOOL ? a->b == b->b : a->type == VAL_STR ? str_eq(a->s, b->s) : a->type == VAL_NULL;
}

/* Compares one level; pairs of containers below it go on the list. */
static bool level_eq(struct todo *t, const struct val *a, const struct val *b)
{
    if (a->type != b->type || child_count(a) != child_count(b))
        return false;
    size_t n = child_count(a);
    for (size_t i = 0; i < n; i++) {
        const struct val *x = child(a, i), *y;
        if (b->type == VAL_ARRAY)
            y = &b->arr.v[i];
        else if (str_eq(b->obj.m[i].key, a->obj.m[i].key)) /* the same order is the usual case */
            y = &b->obj.m[i].val;
        else
            y = val_get(b, a->obj.m[i].key);
        if (!y)
            return false;
        if (is_container(x) && is_container(y))
            todo_push(t, x, y, 0);
        else if (!leaf_eq(x, y))
            return false;
    }
    return true;
}

bool val_eq(const struct val *a, const struct val *b)
{
    if (!a || !b)
        return a == b;
    if (!is_container(a) || !is_container(b))
        return leaf_eq(a, b);
    struct todo t;
    todo_init(&t);
    todo_push(&t, a, b, 0);
    bool eq = true;
    while (eq && t.n) {
        struct item it = t.at[--t.n];
        eq = level_eq(&t, it.a, it.b);
    }
    todo_done(&t);
    return eq;
}

/* `v` is a shallow copy: gives it text of its own and, for a container, children that are shallow copies in turn. */
static void own(struct arena *a, struct todo *t, struct val *v)
{
    if (v->type == VAL_STR || v->type == VAL_BIGINT || (v->type == VAL_NULL && v->away)) {
        v->s = arena_str(a, v->s);
    } else if (v->type == VAL_ARRAY && v->arr.n) {
        struct val *mine = arena_calloc(a, v->arr.n, sizeof *mine);
        memcpy(mine, v->arr.v, v->arr.n * sizeof *mine);
        v->arr.v = mine;
        todo_push(t, v, NULL, 0);
    } else if (v->type == VAL_OBJECT && v->obj.n) {
        struct member *mine = arena_calloc(a, v->obj.n, sizeof *mine);
        memcpy(mine, v->obj.m, v->obj.n * sizeof *mine);
        for (size_t i = 0; i < v->obj.n; i++)
            mine[i].key = arena_str(a, mine[i].key);
        v->obj.m = mine;
        if (v->obj.index) {
            uint32_t *index = arena_calloc(a, index_words(v->obj.index), sizeof *index);
            memcpy(index, v->obj.index, index_words(v->obj.index) * sizeof *index);
            v->obj.index = index;
        }
        todo_push(t, v, NULL, 0);
    }
}

struct val val_copy(struct arena *a, const struct val *v)
{
    struct val copy = v ? *v : val_null;
    struct todo t;
    todo_init(&t);
    own(a, &t, &copy);
    while (t.n) {
        const struct val *parent = t.at[--t.n].a;
        for (size_t i = 0, n = child_count(parent); i < n; i++)
            own(a, &t, (struct val *)child(parent, i)); /* made by own() above, not published yet */
    }
    todo_done(&t);
    return copy;
}

static size_t weight_of_one(const struct val *v)
{
    size_t n = 0;
    if (v->type == VAL_STR || v->type == VAL_BIGINT)
        n = v->s.n + 16;
    else if (v->type == VAL_ARRAY)
        n = v->arr.n * sizeof *v;
    else if (v->type == VAL_OBJECT) {
        n = v->obj.n * sizeof *v->obj.m + (v->obj.index ? index_words(v->obj.index) * sizeof *v->obj.index : 0);
        for (size_t i = 0; i < v->obj.n; i++)
            n += v->obj.m[i].key.n + 16;
    }
    return n;
}

size_t val_weight(const struct val *v)
{
    if (!v)
        return 0;
    struct todo t;
    todo_init(&t);
    size_t sum = sizeof *v + weight_of_one(v);
    if (is_container(v))
        todo_push(&t, v, NULL, 0);
    while (t.n) {
        const struct val *parent = t.at[--t.n].a;
        for (size_t i = 0, n = child_count(parent); i < n; i++) {
            const struct val *c = child(parent, i);
            sum += weight_of_one(c);
            if (is_container(c))
                todo_push(&t, c, NULL, 0);
        }
    }
    todo_done(&t);
    return sum;
}

size_t val_depth(const struct val *v)
{
    if (!v || !is_container(v))
        return 0;
    struct todo t;
    todo_init(&t);
    size_t deepest = 0;
    todo_push(&t, v, NULL, 1);
    while (t.n) {
        struct item it = t.at[--t.n];
        if (it.depth > deepest)
            deepest = it.depth;
        for (size_t i = 0, n = child_count(it.a); i < n; i++)
            if (is_container(child(it.a, i)))
                todo_push(&t, child(it.a, i), NULL, it.depth + 1);
    }
    todo_done(&t);
    return deepest;
}

/* ---- builders ---- */

void val_list_push(struct val_list *l, struct val v)
{
    if (l->n == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : LIST_MIN;
        struct val *more = arena_calloc(l->a, cap, sizeof *more);
        if (l->n)
            memcpy(more, l->v, l->n * sizeof *more);
        l->v = more;
        l->cap = cap;
    }
    l->v[l->n++] = v;
    l->away |= v.away;
}

struct val val_list_done(struct val_list *l)
{
    struct val v = {.type = VAL_ARRAY, .away = l->away, .arr = {.v = l->v, .n = l->n}};
    *l = (struct val_list){.a = l->a};
    return v;
}

void val_map_reserve(struct val_map *m, size_t n)
{
    if (n <= m->cap)
        return;
    CHECK(n < UINT32_MAX / 4);
    struct member *more = arena_calloc(m->a, n, sizeof *more);
    if (m->n)
        memcpy(more, m->m, m->n * sizeof *more);
    m->m = more;
    m->cap = n;
}

static void map_index(struct val_map *m, size_t want)
{
    size_t slots = 64;
    while (slots < want * 2)
        slots *= 2;
    m->index = arena_calloc(m->a, slots + 1, sizeof *m->index);
    m->index[0] = (uint32_t)(slots - 1);
    m->index_cap = slots / 2;
    for (size_t i = 0; i < m->n; i++)
        m->index[1 + slot_find(m->index, m->m, m->m[i].key)] = (uint32_t)i + 1;
}

/* The member with that key, or NULL after adding one. */
static struct member *map_add(struct val_map *m, struct str key, struct val v)
{
    if (m->index) {
        uint32_t at = m->index[1 + slot_find(m->index, m->m, key)];
        if (at)
            return &m->m[at - 1];
    } else {
        for (size_t i = 0; i < m->n; i++)
            if (str_eq(m->m[i].key, key))
                return &m->m[i];
    }
    if (m->n == m->cap)
        val_map_reserve(m, m->cap ? m->cap * 2 : LIST_MIN);
    m->m[m->n++] = (struct member){.key = key, .val = v};
    if (m->n > SCAN_MAX && m->n > m->index_cap)
        map_index(m, m->cap > m->n ? m->cap : m->n);
    else if (m->index)
        m->index[1 + slot_find(m->index, m->m, key)] = (uint32_t)m->n;
    return NULL;
}

void val_map_set(struct val_map *m, struct str key, struct val v)
{
    struct member *there = map_add(m, key, v);
    if (there)
        there->val = v;
    m->away |= v.away;
}

bool val_map_add(struct val_map *m, struct str key, struct val v, uint32_t line, uint32_t col)
{
    if (map_add(m, key, v))
        return false;
    m->away |= v.away;
    m->m[m->n - 1].line = line;
    m->m[m->n - 1].col = col;
    return true;
}

void val_map_merge(struct val_map *m, const struct val *src)
{
    if (!val_is(src, VAL_OBJECT))
        return;
    for (size_t i = 0; i < src->obj.n; i++)
        val_map_set(m, src->obj.m[i].key, src->obj.m[i].val);
}

struct val val_map_done(struct val_map *m)
{
    struct val v = {.type = VAL_OBJECT, .away = m->away, .obj = {.m = m->m, .n = m->n, .index = m->index}};
    *m = (struct val_map){.a = m->a};
    return v;
}

/* ---- boxes ---- */

struct box *box_empty(void)
{
    struct box *b = calloc(1, sizeof *b);
    if (!b)
        PANIC("out of memory (%zu bytes)", sizeof *b);
    b->refs = 1;
    return b;
}

struct box *box_new(const struct val *v)
{
    struct box *b = box_empty();
    b->val = val_copy(&b->arena, v);
    return b;
}

struct box *box_ref(struct box *b)
{
    CHECK(b->refs > 0 && b->refs < UINT32_MAX);
    b->refs++;
    return b;
}

void box_unref(struct box *b)
{
    if (!b)
        return;
    CHECK(b->refs > 0);
    if (--b->refs)
        return;
    arena_done(&b->arena);
    free(b);
}
