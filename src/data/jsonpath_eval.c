/* Running a query: a machine that hands out one node at a time.
 *
 * A stack of frames stands for the way from the root to where the machine is. A frame applies one segment to one node,
 * selector by selector, and remembers where it is among the node's children; what it selects gets a frame for the next
 * segment, and behind the last segment it is the next result. A descendant segment has frames of a second kind, which
 * visit the node itself and then its children. Handing out depth first gives the order of RFC 9535, because a segment's
 * nodelist is the concatenation of what its input nodes give, in order. So nothing is collected between segments, the
 * machine can stop anywhere and go on later, and a test of existence stops at the first node.
 *
 * Queries inside of filters run on the same stack, above the frame that asks, and have left it when the answer is
 * there. Recursion follows only the nesting of filters (bounded by the parser) and of values that are compared (bounded
 * here). Fuel is spent for every frame, child, expression, comparison and length of text. */
#include "data/iregexp.h"
#include "data/jsonpath_int.h"
#include "data/number.h"
#include "data/regex.h"

#include "base/panic.h"

#include <stdlib.h>

enum {
    COMPARE_DEPTH_MAX = 1000,
    FRAMES_MAX = 1 << 20,
    PATTERNS = 8,         /* compiled at one time */
    UNITS_PER_FUEL = 32,  /* of a search for a pattern */
    COMPILE_COST = 200,   /* of a pattern, and its bytes */
    BYTES_PER_FUEL = 256, /* of text that is compared or counted */
};

struct jsonpath_place {
    const struct jsonpath_place *up; /* NULL: the root */
    bool named;
    struct str name;
    size_t index;
};

struct frame {
    const struct jsonpath *q;
    struct jsonpath_node node;
    size_t seg, sel, pos;
    bool visit; /* of a descendant segment: the node itself, then its children */
};

struct pattern {
    struct buf text;  /* as written; the first byte says which function */
    struct regex *re; /* NULL: no I-Regexp */
};

enum { RUN_MAGIC = 0x6a707274 };
struct jsonpath_run {
    uint32_t magic;
    struct arena *a;
    const struct val *root;
    bool places;
    uint64_t fuel, *slice;
    struct frame *f;
    size_t n, cap;
    struct pattern pattern[PATTERNS];
    size_t next_pattern;
    struct err *err;
};

static enum rc spend(struct jsonpath_run *r, uint64_t units)
{
    *r->slice -= *r->slice > units ? units : *r->slice;
    if (units < r->fuel) {
        r->fuel -= units;
        return RC_OK;
    }
    r->fuel = 0;
    return err_set(r->err, RC_LIMIT, "the JSONPath takes too many steps; make it more precise, or work on less data");
}

static enum rc push(struct jsonpath_run *r, const struct jsonpath *q, size_t seg, bool visit, struct jsonpath_node node)
{
    if (r->n == r->cap) {
        size_t cap = r->cap ? r->cap * 2 : 16;
        if (cap > FRAMES_MAX)
            return err_set(r->err, RC_LIMIT, "the JSONPath goes too deep into the value");
        struct frame *f = realloc(r->f, cap * sizeof *f);
        if (!f)
            PANIC("out of memory (JSONPath)");
        r->f = f;
        r->cap = cap;
    }
    bool descend = visit && seg < q->n && q->seg[seg].descendant;
    r->f[r->n++] = (struct frame){.q = q, .node = node, .seg = seg, .visit = descend};
    return RC_OK;
}

/* ---- children ---- */

static size_t nchildren(const struct val *v)
{
    return v->type == VAL_ARRAY ? v->arr.n : v->type == VAL_OBJECT ? v->obj.n : 0;
}

static struct jsonpath_node child(struct jsonpath_run *r, const struct jsonpath_node *n, size_t i)
{
    bool named = n->v->type == VAL_OBJECT;
    struct jsonpath_node c = {.v = named ? &n->v->obj.m[i].val : &n->v->arr.v[i]};
    if (r->places) {
        struct jsonpath_place *place = ARENA_NEW(r->a, struct jsonpath_place);
        place->up = n->place;
        place->named = named;
        place->index = i;
        if (named)
            place->name = n->v->obj.m[i].key;
        c.place = place;
    }
    return c;
}

/* RFC 9535 §2.3.4.2: which is the k-th index of a slice; false past the end. */
static bool slice_index(const struct jp_selector *s, size_t count, size_t k, size_t *ret)
{
    int64_t len = (int64_t)count, step = s->step;
    if (step == 0 || count == 0)
        return false;
    int64_t from = s->has_from ? (s->from >= 0 ? s->from : len + s->from) : step > 0 ? 0 : len - 1;
    int64_t to = s->has_to ? (s->to >= 0 ? s->to : len + s->to) : step > 0 ? len : -1;
    int64_t low = step > 0 ? 0 : -1, high = step > 0 ? len : len - 1;
    from = from < low ? low : from > high ? high : from;
    to = to < low ? low : to > high ? high : to;
    uint64_t room = step > 0 ? (to > from ? (uint64_t)(to - from) : 0) : from > to ? (uint64_t)(from - to) : 0;
    uint64_t by = step > 0 ? (uint64_t)step : 0 - (uint64_t)step;
    if (room == 0 || k > (room - 1) / by)
        return false;
    *ret = (size_t)(step > 0 ? from + (int64_t)(k * by) : from - (int64_t)(k * by));
    return true;
}

static enum rc holds(struct jsonpath_run *r, const struct jp_expr *e, const struct val *item, bool *ret);

/* Looks at the next candidate of the frame's selector: *ret is the child if it is selected. *end: there is none. The
 * stack may move. */
static enum rc select_next(struct jsonpath_run *r, size_t at, struct jsonpath_node *ret, bool *end)
{
    const struct frame f = r->f[at];
    const struct jp_selector *s = &f.q->seg[f.seg].sel[f.sel];
    const struct val *v = f.node.v;
    const struct member *m;
    size_t i = f.pos, count = nchildren(v);
    bool found = false;
    r->f[at].pos++;
    switch (s->kind) {
    case SEL_NAME:
        m = i == 0 ? val_member(v, s->name) : NULL;
        *end = !m;
        i = m ? (size_t)(m - v->obj.m) : 0;
        break;
    case SEL_INDEX: {
        int64_t k = s->from < 0 ? s->from + (int64_t)count : s->from;
        *end = i > 0 || v->type != VAL_ARRAY || k < 0 || (uint64_t)k >= count;
        i = *end ? 0 : (size_t)k;
        break;
    }
    case SEL_SLICE:
        *end = v->type != VAL_ARRAY || !slice_index(s, count, i, &i);
        break;
    default:
        *end = i >= count;
    }
    found = !*end;
    if (found && s->kind == SEL_FILTER)
        TRY(holds(r, s->filter, v->type == VAL_OBJECT ? &v->obj.m[i].val : &v->arr.v[i], &found));
    if (found)
        *ret = child(r, &f.node, i);
    return RC_OK;
}

/* One step of the frame on top: it selects a node, or visits one, or ends. */
static enum rc step(struct jsonpath_run *r)
{
    size_t at = r->n - 1;
    const struct frame f = r->f[at];
    struct jsonpath_node next = {0};
    bool end = false;
    if (f.visit) { /* first the node itself, then what is below */
        r->f[at].pos++;
        if (f.pos == 0)
            return push(r, f.q, f.seg, false, f.node);
        if (f.pos <= nchildren(f.node.v))
            return push(r, f.q, f.seg, true, child(r, &f.node, f.pos - 1));
        r->n--;
        return RC_OK;
    }
    TRY(select_next(r, at, &next, &end));
    if (next.v)
        return push(r, f.q, f.seg + 1, true, next);
    if (end) {
        r->f[at].pos = 0;
        if (++r->f[at].sel == f.q->seg[f.seg].n)
            r->n--;
    }
    return RC_OK;
}

/* The next result of the frames above `base`; ret->v is NULL when there is none, or with `yields` when the slice is
 * used up and frames remain. */
static enum rc advance(struct jsonpath_run *r, size_t base, bool yields, struct jsonpath_node *ret)
{
    *ret = (struct jsonpath_node){0};
    while (r->n > base && !(yields && *r->slice == 0)) {
        const struct frame *top = &r->f[r->n - 1];
        TRY(spend(r, 1));
        if (top->seg == top->q->n) {
            *ret = top->node;
            r->n--;
            return RC_OK;
        }
        TRY(step(r));
    }
    return RC_OK;
}

/* ---- filters ---- */

/* Up to `max` nodes of a query: their number, and the first. */
static enum rc nodes(struct jsonpath_run *r, const struct jsonpath *q, const struct val *item, uint64_t max,
                     uint64_t *count, const struct val **first)
{
    size_t base = r->n;
    struct jsonpath_node n = {.v = q->relative ? item : r->root};
    bool places = r->places;
    r->places = false;
    *count = 0;
    *first = NULL;
    enum rc rc = push(r, q, 0, true, n);
    while (rc == RC_OK && *count < max) {
        rc = advance(r, base, false, &n);
        if (rc != RC_OK || !n.v)
            break;
        *first = (*count)++ ? *first : n.v;
    }
    r->n = base;
    r->places = places;
    return rc;
}

static enum rc equal(struct jsonpath_run *r, const struct val *a, const struct val *b, unsigned depth, bool *ret)
{
    *ret = false;
    TRY(spend(r, 1));
    if (depth > COMPARE_DEPTH_MAX)
        return err_set(r->err, RC_LIMIT, "the JSONPath compares values nested more than %d levels deep",
                       COMPARE_DEPTH_MAX);
    if (val_is_number(a) || a->type != b->type) {
        *ret = number_cmp(a, b) == 0;
        return RC_OK;
    }
    if (a->type == VAL_ARRAY && a->arr.n == b->arr.n) {
        *ret = true;
        for (size_t i = 0; i < a->arr.n && *ret; i++)
            TRY(equal(r, &a->arr.v[i], &b->arr.v[i], depth + 1, ret));
    } else if (a->type == VAL_OBJECT && a->obj.n == b->obj.n) {
        *ret = true;
        for (size_t i = 0; i < a->obj.n && *ret; i++) {
            const struct val *other = val_get(b, a->obj.m[i].key);
            *ret = false;
            if (other)
                TRY(equal(r, &a->obj.m[i].val, other, depth + 1, ret));
        }
    } else if (a->type == VAL_STR) {
        *ret = str_eq(a->s, b->s);
        return spend(r, a->s.n / BYTES_PER_FUEL);
    } else {
        *ret = a->type == VAL_NULL || (a->type == VAL_BOOL && a->b == b->b);
    }
    return RC_OK;
}

/* a < b: numbers, or texts by their code points; false for everything else. */
static enum rc less(struct jsonpath_run *r, const struct val *a, const struct val *b, bool *ret)
{
    *ret = false;
    if (a->type == VAL_STR && b->type == VAL_STR) {
        *ret = str_cmp(a->s, b->s) < 0; /* UTF-8 orders as code points do */
        return spend(r, a->s.n / BYTES_PER_FUEL);
    }
    *ret = number_cmp(a, b) == -1;
    return RC_OK;
}

static size_t characters(struct str s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++)
        n += ((unsigned char)s.p[i] & 0xC0) != 0x80;
    return n;
}

/* Compiled for this text, kept for the next items; NULL when it is no I-Regexp. */
static enum rc compiled(struct jsonpath_run *r, struct str text, bool whole, const struct regex **ret)
{
    char mark = whole ? 'm' : 's';
    for (size_t i = 0; i < PATTERNS; i++) {
        struct str known = buf_str(&r->pattern[i].text);
        if (known.n == text.n + 1 && known.p[0] == mark && str_eq(str_from(known, 1), text)) {
            *ret = r->pattern[i].re;
            return RC_OK;
        }
    }
    TRY(spend(r, COMPILE_COST + text.n));
    struct pattern *p = &r->pattern[r->next_pattern++ % PATTERNS];
    regex_free(p->re);
    buf_done(&p->text);
    *p = (struct pattern){0};
    struct buf b;
    struct err why;
    buf_init(&b, 8 * JSONPATH_TEXT_MAX);
    enum rc rc = iregexp_translate(text, whole, &b, &why);
    if (rc == RC_OK)
        rc = regex_compile(buf_str(&b), false, &p->re, &why);
    buf_done(&b);
    if (rc == RC_LIMIT)
        return err_set(r->err, rc, "the JSONPath uses %s", why.msg);
    buf_init(&p->text, text.n + 1);
    buf_addc(&p->text, mark);
    buf_add(&p->text, text);
    *ret = p->re;
    return RC_OK;
}

static enum rc value(struct jsonpath_run *r, const struct jp_expr *e, const struct val *item, struct val *room,
                     const struct val **ret);

static enum rc matches(struct jsonpath_run *r, const struct jp_expr *e, const struct val *item, bool *ret)
{
    struct val room[2];
    const struct val *text, *pattern;
    const struct regex *re = NULL;
    struct regex_match m;
    struct err why;
    *ret = false;
    TRY(value(r, e->a, item, &room[0], &text));
    TRY(value(r, e->b, item, &room[1], &pattern));
    if (!val_is(text, VAL_STR) || !val_is(pattern, VAL_STR))
        return RC_OK;
    TRY(compiled(r, pattern->s, e->fn == JP_MATCH, &re));
    if (!re)
        return RC_OK;
    uint64_t units = r->fuel < UINT64_MAX / UNITS_PER_FUEL ? r->fuel * UNITS_PER_FUEL : UINT64_MAX, left = units;
    if (regex_search_within(re, text->s, 0, &left, &m, &why) != RC_OK)
        return err_set(r->err, RC_LIMIT, "%s() in the JSONPath: %s", jp_fns[e->fn].name, why.msg);
    *ret = m.found;
    return spend(r, 1 + (units - left) / UNITS_PER_FUEL + text->s.n / BYTES_PER_FUEL);
}

/* A literal, the one node of a query, or what a function gives; NULL is the RFC's Nothing. `room` holds made values. */
static enum rc value(struct jsonpath_run *r, const struct jp_expr *e, const struct val *item, struct val *room,
                     const struct val **ret)
{
    uint64_t count;
    TRY(spend(r, 1));
    *ret = NULL;
    if (e->kind == JP_LITERAL) {
        *ret = &e->literal;
        return RC_OK;
    }
    if (e->kind == JP_QUERY)
        return nodes(r, e->query, item, 1, &count, ret);
    if (e->fn == JP_VALUE_OF) {
        TRY(nodes(r, e->a->query, item, 2, &count, ret));
        *ret = count == 1 ? *ret : NULL;
        return RC_OK;
    }
    if (e->fn == JP_COUNT) {
        TRY(nodes(r, e->a->query, item, UINT64_MAX, &count, ret));
    } else {
        const struct val *of;
        struct val made;
        TRY(value(r, e->a, item, &made, &of));
        if (!val_is(of, VAL_STR) && !val_is(of, VAL_ARRAY) && !val_is(of, VAL_OBJECT))
            return RC_OK;
        if (of->type == VAL_STR)
            TRY(spend(r, of->s.n / BYTES_PER_FUEL));
        count = of->type == VAL_STR ? characters(of->s) : nchildren(of);
    }
    *room = val_int((int64_t)count);
    *ret = room;
    return RC_OK;
}

static enum rc compare(struct jsonpath_run *r, const struct jp_expr *e, const struct val *item, bool *ret)
{
    struct val room[2];
    const struct val *a, *b;
    bool same, below = false;
    TRY(value(r, e->a, item, &room[0], &a));
    TRY(value(r, e->b, item, &room[1], &b));
    if (a && b && (e->op == JP_LT || e->op == JP_LE))
        TRY(less(r, a, b, &below));
    else if (a && b && (e->op == JP_GT || e->op == JP_GE))
        TRY(less(r, b, a, &below));
    same = !a && !b;
    if (a && b && !below && e->op != JP_LT && e->op != JP_GT)
        TRY(equal(r, a, b, 0, &same));
    if (e->op == JP_LT || e->op == JP_GT)
        *ret = below;
    else
        *ret = e->op == JP_NE ? !same : same || below;
    return RC_OK;
}

static enum rc holds(struct jsonpath_run *r, const struct jp_expr *e, const struct val *item, bool *ret)
{
    uint64_t count;
    const struct val *first;
    TRY(spend(r, 1));
    switch (e->kind) {
    case JP_OR:
    case JP_AND:
        for (enum jp_kind kind = e->kind; e->kind == kind; e = e->b) { /* a chain goes to the right */
            TRY(holds(r, e->a, item, ret));
            if (*ret == (kind == JP_OR))
                return RC_OK;
        }
        return holds(r, e, item, ret);
    case JP_NOT:
        TRY(holds(r, e->a, item, ret));
        *ret = !*ret;
        return RC_OK;
    case JP_COMPARE:
        return compare(r, e, item, ret);
    case JP_EXISTS:
        TRY(nodes(r, e->query, item, 1, &count, &first));
        *ret = count > 0;
        return RC_OK;
    case JP_CALL:
        return matches(r, e, item, ret);
    case JP_QUERY:
    case JP_LITERAL:
        break;
    }
    PANIC("an expression of kind %d is no condition", e->kind);
}

/* ---- ways in ---- */

struct jsonpath_run *jsonpath_run_new(const struct jsonpath *q, const struct val *root, struct arena *a, uint64_t fuel,
                                      bool places)
{
    struct jsonpath_run *r = calloc(1, sizeof *r);
    struct err err;
    if (!r)
        PANIC("out of memory (JSONPath)");
    r->magic = RUN_MAGIC;
    r->a = a;
    r->root = root;
    r->places = places;
    r->fuel = fuel;
    r->err = &err;
    CHECK(push(r, q, 0, true, (struct jsonpath_node){.v = root}) == RC_OK);
    return r;
}

void jsonpath_run_free(struct jsonpath_run *r)
{
    if (!r)
        return;
    CHECK_OBJ(r, RUN_MAGIC);
    for (size_t i = 0; i < PATTERNS; i++) {
        regex_free(r->pattern[i].re);
        buf_done(&r->pattern[i].text);
    }
    free(r->f);
    free(r);
}

enum rc jsonpath_next(struct jsonpath_run *r, uint64_t *slice, struct jsonpath_node *ret, bool *more, struct err *err)
{
    CHECK_OBJ(r, RUN_MAGIC);
    r->slice = slice;
    r->err = err;
    enum rc rc = advance(r, 0, true, ret);
    *more = rc == RC_OK && !ret->v && r->n > 0;
    return rc;
}

enum rc jsonpath_query(const struct jsonpath *q, const struct val *root, uint64_t fuel, struct arena *a,
                       struct val *ret, struct err *err)
{
    struct jsonpath_run *r = jsonpath_run_new(q, root, a, fuel, false);
    struct val_list out = val_list_new(a);
    uint64_t slice = UINT64_MAX;
    struct jsonpath_node n;
    bool more;
    enum rc rc;
    while ((rc = jsonpath_next(r, &slice, &n, &more, err)) == RC_OK && n.v)
        val_list_push(&out, *n.v);
    jsonpath_run_free(r);
    if (rc == RC_OK)
        *ret = val_list_done(&out);
    return rc;
}

/* RFC 9535 §2.7: names in single quotes, escaped only where that is needed. */
static void put_name(struct buf *b, struct str s)
{
    static const char special[] = "'\\\b\f\n\r\t", letter[] = "'\\bfnrt";
    buf_addz(b, "['");
    for (size_t i = 0; i < s.n; i++) {
        const char *at = s.p[i] ? strchr(special, s.p[i]) : NULL;
        if (at) {
            buf_addc(b, '\\');
            buf_addc(b, letter[at - special]);
        } else if ((unsigned char)s.p[i] < 0x20) {
            buf_printf(b, "\\u%04x", (unsigned)(unsigned char)s.p[i]);
        } else {
            buf_addc(b, s.p[i]);
        }
    }
    buf_addz(b, "']");
}

struct str jsonpath_path(struct arena *a, const struct jsonpath_node *n)
{
    struct buf b;
    size_t depth = 0;
    for (const struct jsonpath_place *p = n->place; p; p = p->up)
        depth++;
    const struct jsonpath_place **way = arena_calloc(a, depth + 1, sizeof *way);
    size_t at = depth;
    for (const struct jsonpath_place *p = n->place; p; p = p->up)
        way[--at] = p;
    buf_init(&b, (size_t)64 << 20);
    buf_addc(&b, '$');
    for (size_t i = 0; i < depth; i++) {
        if (way[i]->named)
            put_name(&b, way[i]->name);
        else
            buf_printf(&b, "[%zu]", way[i]->index);
    }
    struct str s = arena_str(a, buf_str(&b));
    buf_done(&b);
    return s;
}
