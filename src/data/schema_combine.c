/* The keywords that apply other schemas: to the same value (allOf, if, $ref …) or to its parts (properties, items …).
 *
 * When a value fits no alternative, the reader wants the one that was meant. It is taken to be the only one whose kind
 * is right: of "a string, or null, or this object" an object with a wrong member is judged as the object; of several
 * kinds of objects, as the one whose mark it bears. Otherwise the first violation of each alternative is told. */
#include "data/schema_int.h"

enum { ALTERNATIVES_TOLD_MAX = 4, NAMES_TOLD_MAX = 10 };

/* ---- the same value ---- */

bool schema_kw_ref(struct check *c, const struct at *at, const struct val *arg)
{
    (void)arg;
    const struct node *n = schema_node(c->s, at->schema);
    return n && n->target ? schema_apply_here(c, at, n->target)
                          : schema_give_up(c, RC_INTERNAL, "a reference of the schema was not resolved");
}

/* Of the resources on the way to here, the outermost that has a dynamic anchor of the name says what is meant. */
bool schema_kw_dynamic_ref(struct check *c, const struct at *at, const struct val *arg)
{
    (void)arg;
    const struct node *n = schema_node(c->s, at->schema);
    if (!n || !n->dynamic)
        return schema_give_up(c, RC_INTERNAL, "a reference of the schema was not resolved");
    const struct val *meant = n->dynamic;
    for (const struct dynamic_scope *s = at->scope; s && n->dynamic_name.n; s = s->up) {
        if (!schema_charge(c, 1))
            return false;
        const struct val *there = map_get(&c->s->dynamics, schema_anchor_key(c->a, s->resource, n->dynamic_name));
        meant = there ? there : meant;
    }
    return schema_apply_here(c, at, meant);
}

bool schema_kw_all_of(struct check *c, const struct at *at, const struct val *arg)
{
    bool ok = true;
    for (size_t i = 0; i < arg->arr.n && (ok || schema_wants(at)); i++)
        ok &= schema_apply_here(c, at, &arg->arr.v[i]);
    return ok;
}

/* Is the value of the alternative's kind, with something wrong inside or in detail? `strict`: its members must not be
 * marked as another alternative's either (a `kind` with another `const`). */
static bool right_kind(const struct at *at, const struct found *f, bool strict)
{
    for (const struct violation *v = f->first; v; v = v->next) {
        bool here = v->spot == at->spot, below = v->spot && v->up == at->spot;
        if ((here && v->misfit) || (strict && below && v->misfit == MISFIT_CHOICE))
            return false;
    }
    return true;
}

/* The position of the only alternative of the right kind, or SIZE_MAX. */
static size_t meant_one(const struct at *at, const struct found *why, size_t n, bool strict)
{
    size_t meant = n == 1 ? 0 : SIZE_MAX, candidates = 0;
    for (size_t i = 0; i < n; i++)
        if (right_kind(at, &why[i], strict)) {
            meant = i;
            candidates++;
        }
    return candidates > 1 ? SIZE_MAX : meant;
}

static void take_over(struct found *to, const struct found *from)
{
    for (struct violation *v = from->first, *next; v; v = next) {
        next = v->next;
        if (!schema_found_add(to, v))
            return;
    }
}

/* Tells why no alternative fits: applies them again, this time with lists of what is wrong. The price is bounded: a
 * value at depth d is looked at d times, not 2^d times, because the first look is without lists all the way down. */
static bool none_fits(struct check *c, const struct at *at, const char *keyword, const struct val *list)
{
    size_t n = list->arr.n;
    if (c->rc || !schema_wants(at))
        return false;
    struct found *why = arena_calloc(c->a, n, sizeof *why);
    for (size_t i = 0; i < n; i++) {
        struct at branch = *at;
        why[i].max = at->found->max;
        branch.found = &why[i];
        branch.seen = NULL;
        if (schema_apply_here(c, &branch, &list->arr.v[i]) || c->rc)
            return false;
    }
    size_t meant = meant_one(at, why, n, false);
    if (meant == SIZE_MAX)
        meant = meant_one(at, why, n, true);
    if (meant != SIZE_MAX) {
        take_over(at->found, &why[meant]);
        return false;
    }
    struct str is = schema_shown(c->a, at->v), place = spot_text(c->a, at->spot);
    struct str same = arena_printf(c->a, "%.*s: is %.*s; expected ", STR_ARG(place), STR_ARG(is));
    struct buf b;
    buf_init(&b, 1 << 16);
    for (size_t i = 0; i < n && i < ALTERNATIVES_TOLD_MAX; i++) {
        struct str text = why[i].first->text; /* what this violation begins with need not be said again */
        text = str_from(text, str_starts(text, same) ? same.n : 0);
        buf_printf(&b, "%s(%zu) %.*s", i ? "; " : "", i + 1, STR_ARG(text));
    }
    if (n > ALTERNATIVES_TOLD_MAX)
        buf_addz(&b, "; …");
    SCHEMA_FAIL(c, at, "is %.*s; expected one of %zu alternatives (%s): %.*s", STR_ARG(is), n, keyword,
                STR_ARG(buf_str(&b)));
    buf_done(&b);
    return false;
}

/* How many of the alternatives fit; first[0] and first[1] are the first two. Stops at `enough` unless all are to be
 * marked. */
static size_t fitting(struct check *c, const struct at *at, const struct val *list, size_t enough, size_t first[2])
{
    size_t fit = 0;
    struct at branch = *at;
    branch.found = NULL;
    for (size_t i = 0; i < list->arr.n && !c->rc && (fit < enough || at->seen); i++)
        if (schema_apply_here(c, &branch, &list->arr.v[i])) {
            if (fit < 2)
                first[fit] = i;
            fit++;
        }
    return fit;
}

bool schema_kw_any_of(struct check *c, const struct at *at, const struct val *arg)
{
    size_t first[2];
    return fitting(c, at, arg, 1, first) ? !c->rc : none_fits(c, at, "anyOf", arg);
}

bool schema_kw_one_of(struct check *c, const struct at *at, const struct val *arg)
{
    size_t first[2], fit = fitting(c, at, arg, 2, first);
    if (c->rc || fit == 1)
        return !c->rc;
    if (!fit)
        return none_fits(c, at, "oneOf", arg);
    struct str is = schema_wants(at) ? schema_shown(c->a, at->v) : STR("");
    return SCHEMA_FAIL(c, at, "is %.*s, which fits alternatives %zu and %zu; expected exactly one (oneOf)", STR_ARG(is),
                       first[0] + 1, first[1] + 1);
}

/* Yes or no. What a passing schema has judged counts in `if`, not in `not`. */
static bool fits(struct check *c, const struct at *at, const struct val *schema, bool marks)
{
    struct at quiet = *at;
    quiet.found = NULL;
    if (!marks)
        quiet.seen = NULL;
    return schema_apply_here(c, &quiet, schema);
}

bool schema_kw_not(struct check *c, const struct at *at, const struct val *arg)
{
    if (!fits(c, at, arg, false))
        return !c->rc;
    struct str is = schema_wants(at) ? schema_shown(c->a, at->v) : STR("");
    return SCHEMA_FAIL(c, at, "is %.*s, which fits the schema under `not`; expected anything else", STR_ARG(is));
}

bool schema_kw_if(struct check *c, const struct at *at, const struct val *arg)
{
    const struct val *next = fits(c, at, arg, true) ? VAL_GET(at->schema, "then") : VAL_GET(at->schema, "else");
    return !c->rc && (!next || schema_apply_here(c, at, next));
}

/* ---- members ---- */

static bool apply_member(struct check *c, const struct at *at, const struct val *schema, const struct member *m)
{
    struct spot spot = {.up = at->spot, .kind = SPOT_KEY, .key = m->key};
    if (at->seen)
        at->seen[m - at->v->obj.m] = true;
    return schema_apply_child(c, at, schema, &m->val, &spot);
}

bool schema_kw_properties(struct check *c, const struct at *at, const struct val *arg)
{
    bool ok = true;
    for (size_t i = 0; i < arg->obj.n && (ok || schema_wants(at)); i++) {
        const struct member *m = val_member(at->v, arg->obj.m[i].key);
        if (!schema_charge(c, 1))
            return false;
        if (m)
            ok &= apply_member(c, at, &arg->obj.m[i].val, m);
    }
    return ok;
}

bool schema_kw_pattern_properties(struct check *c, const struct at *at, const struct val *arg)
{
    bool ok = true;
    for (size_t p = 0; p < arg->obj.n; p++)
        for (size_t i = 0; i < at->v->obj.n && (ok || schema_wants(at)); i++)
            if (schema_matches(c, schema_node(c->s, &arg->obj.m[p].val), at->v->obj.m[i].key))
                ok &= apply_member(c, at, &arg->obj.m[p].val, &at->v->obj.m[i]);
    return ok && !c->rc;
}

/* `"a", "b" or "c"`: the names in an object of properties. */
static struct str names_of(struct arena *a, const struct val *properties)
{
    struct buf b;
    size_t n = val_is(properties, VAL_OBJECT) ? properties->obj.n : 0;
    buf_init(&b, 1 << 16);
    for (size_t i = 0; i < n && i < NAMES_TOLD_MAX; i++) {
        struct str key = properties->obj.m[i].key;
        if (i)
            buf_addz(&b, i + 1 == n ? " or " : ", ");
        struct str text = schema_shown(a, &(struct val){.type = VAL_STR, .s = key});
        buf_add(&b, str_n(text.p, text.n - (sizeof " (string)" - 1)));
    }
    if (n > NAMES_TOLD_MAX)
        buf_addz(&b, " and so on");
    struct str text = n ? arena_str(a, buf_str(&b)) : STR("no other");
    buf_done(&b);
    return text;
}

static bool refuse_member(struct check *c, const struct at *at, const struct member *m)
{
    struct spot spot = {.up = at->spot, .kind = SPOT_KEY, .key = m->key};
    struct at there = *at;
    there.spot = &spot;
    if (!schema_wants(at))
        return false;
    struct str names = names_of(c->a, VAL_GET(at->schema, "properties"));
    return SCHEMA_FAIL(c, &there, "is not allowed here; expected %.*s", STR_ARG(names));
}

bool schema_kw_additional_properties(struct check *c, const struct at *at, const struct val *arg)
{
    const struct val *named = VAL_GET(at->schema, "properties"), *patterns = VAL_GET(at->schema, "patternProperties");
    bool ok = true;
    for (size_t i = 0; i < at->v->obj.n && (ok || schema_wants(at)); i++) {
        const struct member *m = &at->v->obj.m[i];
        bool known = val_get(named, m->key);
        for (size_t p = 0; !known && patterns && p < patterns->obj.n; p++)
            known = schema_matches(c, schema_node(c->s, &patterns->obj.m[p].val), m->key);
        if (!schema_charge(c, 1))
            return false;
        if (known)
            continue;
        ok &= arg->type == VAL_BOOL && !arg->b ? refuse_member(c, at, m) : apply_member(c, at, arg, m);
    }
    return ok;
}

bool schema_kw_property_names(struct check *c, const struct at *at, const struct val *arg)
{
    bool ok = true;
    for (size_t i = 0; i < at->v->obj.n && (ok || schema_wants(at)); i++) {
        struct val name = val_str(at->v->obj.m[i].key);
        struct spot spot = {.up = at->spot, .kind = SPOT_NAME, .key = name.s};
        ok &= schema_apply_child(c, at, arg, &name, &spot);
    }
    return ok;
}

bool schema_kw_dependencies(struct check *c, const struct at *at, const struct val *arg)
{
    bool ok = true;
    for (size_t i = 0; i < arg->obj.n && (ok || schema_wants(at)); i++) {
        const struct member *m = &arg->obj.m[i];
        if (!schema_charge(c, 1))
            return false;
        if (!val_get(at->v, m->key))
            continue;
        if (m->val.type == VAL_ARRAY)
            ok &= schema_kw_required(c, at, &m->val);
        else
            ok &= schema_apply_here(c, at, &m->val);
    }
    return ok;
}

bool schema_kw_unevaluated_properties(struct check *c, const struct at *at, const struct val *arg)
{
    bool ok = true;
    for (size_t i = 0; i < at->v->obj.n && (ok || schema_wants(at)); i++) {
        if (at->seen && at->seen[i])
            continue;
        const struct member *m = &at->v->obj.m[i];
        ok &= arg->type == VAL_BOOL && !arg->b ? refuse_member(c, at, m) : apply_member(c, at, arg, m);
    }
    return ok;
}

/* ---- items ---- */

static bool apply_item(struct check *c, const struct at *at, const struct val *schema, size_t i)
{
    struct spot spot = {.up = at->spot, .kind = SPOT_INDEX, .index = i};
    if (at->seen)
        at->seen[i] = true;
    return schema_apply_child(c, at, schema, &at->v->arr.v[i], &spot);
}

bool schema_kw_prefix_items(struct check *c, const struct at *at, const struct val *arg)
{
    bool ok = true;
    for (size_t i = 0; i < at->v->arr.n && i < arg->arr.n && (ok || schema_wants(at)); i++)
        ok &= apply_item(c, at, &arg->arr.v[i], i);
    return ok;
}

bool schema_kw_items(struct check *c, const struct at *at, const struct val *arg)
{
    const struct val *prefix = VAL_GET(at->schema, "prefixItems");
    bool ok = true;
    for (size_t i = prefix ? prefix->arr.n : 0; i < at->v->arr.n && (ok || schema_wants(at)); i++)
        ok &= apply_item(c, at, arg, i);
    return ok;
}

bool schema_kw_unevaluated_items(struct check *c, const struct at *at, const struct val *arg)
{
    bool ok = true;
    for (size_t i = 0; i < at->v->arr.n && (ok || schema_wants(at)); i++)
        if (!at->seen || !at->seen[i])
            ok &= apply_item(c, at, arg, i);
    return ok;
}

bool schema_kw_contains(struct check *c, const struct at *at, const struct val *arg)
{
    const struct val *min = VAL_GET(at->schema, "minContains"), *max = VAL_GET(at->schema, "maxContains");
    size_t fit = 0;
    for (size_t i = 0; i < at->v->arr.n && !c->rc; i++) {
        struct at item = *at;
        item.found = NULL;
        item.seen = NULL;
        if (!apply_item(c, &item, arg, i))
            continue;
        fit++;
        if (at->seen)
            at->seen[i] = true;
    }
    struct val count = val_int((int64_t)fit), one = val_int(1);
    if (c->rc)
        return false;
    if (number_cmp(&count, min ? min : &one) < 0)
        return SCHEMA_FAIL(c, at, "has %zu that fit the schema under `contains`; expected at least %.0f", fit,
                           val_to_double(min, 1));
    if (max && number_cmp(&count, max) > 0)
        return SCHEMA_FAIL(c, at, "has %zu that fit the schema under `contains`; expected at most %.0f", fit,
                           val_to_double(max, 0));
    return true;
}
