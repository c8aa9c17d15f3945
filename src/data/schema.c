/* Judging a value by a schema: one schema after the other, keyword by keyword, with all violations noted.
 *
 * schema_apply() is the only way down. It takes fuel for every schema it applies, and counts depth, so neither a deep
 * value nor a schema that multiplies (nested oneOf in a recursive definition) can hold up a run: RC_LIMIT. Whoever
 * needs only yes or no (`not`, `if`, `contains`) applies without a list of violations, and the first one ends it.
 *
 * unevaluatedItems and unevaluatedProperties ask what the other keywords have judged, in the schema and in those that
 * it applies to the same value. Only a schema under such a question keeps marks, one for each item or member; marks
 * of a schema that failed are dropped. The two run last, whatever their place. */
#include "data/schema.h"

#include "base/panic.h"
#include "data/json.h"
#include "data/schema_int.h"

#include <stdarg.h>
#include <stdio.h>

enum { MESSAGE_COST = 300, MARKING_COST = 4 }; /* mostly for the memory that they take until the check ends */

/* ---- limits ---- */

bool schema_give_up(struct check *c, enum rc rc, const char *why)
{
    if (!c->rc)
        c->rc = err_set(c->err, rc, "%s", why);
    return false;
}

bool schema_charge(struct check *c, uint64_t steps)
{
    if (c->rc)
        return false;
    if (steps > c->fuel)
        return schema_give_up(c, RC_LIMIT, "checking the value against its schema takes too many steps");
    c->fuel -= steps;
    return true;
}

/* ---- violations ---- */

bool schema_wants(const struct at *at)
{
    return at->found && !at->found->more;
}

/* Adds to the list, unless it says the same already (two schemas may find the same wrong). False: it is full. */
bool schema_found_add(struct found *f, struct violation *v)
{
    for (const struct violation *old = f->first; old; old = old->next)
        if (str_eq(old->text, v->text))
            return true;
    if (f->n == f->max) {
        f->more = true;
        return false;
    }
    v->next = NULL;
    if (f->last)
        f->last->next = v;
    else
        f->first = v;
    f->last = v;
    f->n++;
    return true;
}

bool schema_fail(struct check *c, const struct at *at, enum misfit misfit, const char *fmt, ...)
{
    struct err why;
    va_list ap;
    if (!schema_charge(c, MESSAGE_COST))
        return false;
    va_start(ap, fmt);
    err_vset(&why, RC_SCHEMA, fmt, ap);
    va_end(ap);
    struct violation *v = ARENA_NEW(c->a, struct violation);
    struct str place = spot_text(c->a, at->spot);
    v->text = arena_printf(c->a, "%.*s: %s", STR_ARG(place), why.msg);
    v->spot = at->spot;
    v->up = at->spot ? at->spot->up : NULL;
    v->misfit = misfit;
    schema_found_add(at->found, v);
    return false;
}

/* ---- applying ---- */

static bool applies(enum applies to, const struct val *v)
{
    switch (to) {
    case APPLIES_ANY:
        return true;
    case APPLIES_ARRAY:
        return v->type == VAL_ARRAY;
    case APPLIES_NUMBER:
        return val_is_number(v);
    case APPLIES_OBJECT:
        return v->type == VAL_OBJECT;
    case APPLIES_TEXT:
        return v->type == VAL_STR;
    }
    return false;
}

static bool is_late(const struct keyword *kw)
{
    return kw->check == schema_kw_unevaluated_items || kw->check == schema_kw_unevaluated_properties;
}

/* All keywords, or all of the late ones. */
static bool apply_keywords(struct check *c, const struct at *at, bool late)
{
    bool ok = true;
    for (size_t i = 0; i < at->schema->obj.n; i++) {
        const struct member *m = &at->schema->obj.m[i];
        const struct keyword *kw = schema_keyword(m->key);
        if (!kw || !kw->check || is_late(kw) != late || !applies(kw->applies, at->v) || kw->check(c, at, &m->val))
            continue;
        ok = false;
        if (c->rc || !schema_wants(at))
            break;
    }
    return ok;
}

static size_t children(const struct val *v)
{
    return v->type == VAL_ARRAY ? v->arr.n : v->type == VAL_OBJECT ? v->obj.n : 0;
}

/* As apply_keywords, with marks of its own that count for the caller only if the value passes. */
static bool apply_marking(struct check *c, const struct at *at)
{
    size_t n = children(at->v);
    struct at own = *at;
    if (!schema_charge(c, MARKING_COST + n / 8))
        return false;
    own.seen = arena_calloc(c->a, n ? n : 1, sizeof *own.seen);
    bool ok = apply_keywords(c, &own, false);
    if (!c->rc && (ok || schema_wants(at)))
        ok &= apply_keywords(c, &own, true);
    for (size_t i = 0; ok && at->seen && i < n; i++)
        at->seen[i] |= own.seen[i];
    return ok;
}

static bool apply_schema(struct check *c, const struct at *at)
{
    if (!c->s->unevaluated || !children(at->v))
        return apply_keywords(c, at, false);
    bool asks = VAL_GET(at->schema, "unevaluatedItems") || VAL_GET(at->schema, "unevaluatedProperties");
    return at->seen || asks ? apply_marking(c, at) : apply_keywords(c, at, false);
}

/* Judges at->v by at->schema. False: a violation was found (and noted in at->found), or the check was given up. */
static bool schema_apply(struct check *c, const struct at *at)
{
    if (at->depth > SCHEMA_DEPTH_MAX)
        return schema_give_up(c, RC_LIMIT, "the value and its schema are nested too deep to check");
    if (!schema_charge(c, 1))
        return false;
    if (at->schema->type == VAL_BOOL) {
        if (at->schema->b)
            return true;
        struct str is = schema_wants(at) ? schema_shown(c->a, at->v) : STR("");
        return SCHEMA_MISFIT(c, at, MISFIT_TYPE, "is %.*s; expected nothing here", STR_ARG(is));
    }
    const struct node *n = c->s->dynamic ? schema_node(c->s, at->schema) : NULL;
    if (!n || (at->scope && at->scope->resource == n->resource))
        return apply_schema(c, at);
    struct dynamic_scope scope = {n->resource, at->scope};
    struct at inside = *at;
    inside.scope = &scope;
    return apply_schema(c, &inside);
}

bool schema_apply_here(struct check *c, const struct at *at, const struct val *schema)
{
    struct at here = *at;
    here.schema = schema;
    here.depth++;
    return schema_apply(c, &here);
}

bool schema_apply_child(struct check *c, const struct at *at, const struct val *schema, const struct val *child,
                        const struct spot *spot)
{
    return schema_apply(c, &(struct at){.schema = schema,
                                        .v = child,
                                        .spot = spot,
                                        .found = at->found,
                                        .depth = at->depth + 1,
                                        .scope = at->scope});
}

/* ---- the interface ---- */

static struct str report_lines(struct arena *a, const struct found *f)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    for (const struct violation *v = f->first; v; v = v->next) {
        buf_add(&b, v->text);
        if (v->next)
            buf_addc(&b, '\n');
    }
    if (f->more)
        buf_addz(&b, "\n(and more)");
    struct str text = arena_str(a, buf_str(&b));
    buf_done(&b);
    return text;
}

/* The whole lines of the report that fit into an error message. */
static enum rc fail_with(const struct found *f, struct err *err)
{
    char text[sizeof err->msg];
    const size_t room = sizeof text - sizeof "\n(and 20 more)";
    size_t n = 0;
    unsigned lines = 0;
    for (const struct violation *v = f->first; v && n + (n > 0) + v->text.n <= room; v = v->next, lines++) {
        if (n)
            text[n++] = '\n';
        memcpy(text + n, v->text.p, v->text.n);
        n += v->text.n;
    }
    text[n] = 0;
    if (!lines) /* one long line is better cut than left out */
        return err_set(err, RC_SCHEMA, "%.*s", (int)(f->first->text.n < room ? f->first->text.n : room),
                       f->first->text.p);
    if (f->more)
        return err_set(err, RC_SCHEMA, "%s\n(and more)", text);
    if (lines < f->n)
        return err_set(err, RC_SCHEMA, "%s\n(and %u more)", text, f->n - lines);
    return err_set(err, RC_SCHEMA, "%s", text);
}

enum rc schema_report(const struct val *schema, const struct val *v, struct arena *a, struct str *report,
                      struct err *err)
{
    struct arena scratch = {0};
    struct schema s;
    struct found found = {.max = SCHEMA_REPORT_MAX};
    enum rc rc = schema_load(&s, &scratch, schema, err);
    if (rc) {
        err_wrap(err, "the schema");
    } else {
        struct check c = {.s = &s, .a = &scratch, .fuel = SCHEMA_FUEL, .err = err};
        bool ok = schema_apply(&c, &(struct at){.schema = schema, .v = v, .found = &found});
        CHECK(c.rc || ok == !found.n);
        rc = c.rc ? c.rc : ok ? RC_OK : fail_with(&found, err);
    }
    *report = rc == RC_OK ? STR("") : rc == RC_SCHEMA ? report_lines(a, &found) : arena_str(a, str_c(err->msg));
    schema_unload(&s);
    arena_done(&scratch);
    return rc;
}

enum rc schema_check(const struct val *schema, const struct val *v, struct arena *a, struct err *err)
{
    struct str report;
    return schema_report(schema, v, a, &report, err);
}

bool schema_says_nothing(const struct val *schema)
{
    static const char *const notes[] = {"title", "description", "default", "examples", "deprecated", "readOnly"};
    if (!val_is(schema, VAL_OBJECT) || !schema->obj.n)
        return false;
    for (size_t i = 0; i < schema->obj.n; i++) {
        struct str key = schema->obj.m[i].key;
        const struct val *v = &schema->obj.m[i].val;
        if (schema_keyword(key))
            return false;
        for (size_t k = 0; k < sizeof notes / sizeof *notes; k++)
            if (str_is(key, notes[k]) && v->type != VAL_OBJECT)
                return false;
    }
    return true;
}

enum rc schema_valid(const struct val *schema, struct err *err)
{
    struct arena scratch = {0};
    struct schema s;
    enum rc rc = schema_load(&s, &scratch, schema, err);
    schema_unload(&s);
    arena_done(&scratch);
    return rc;
}
