/* A composer over libyaml's events: values, keys and anchors are put together here, so that every rule is ours.
 *
 * libyaml's own document loader accepts duplicate keys, expands aliases without bound and is quadratic in depth; the
 * event interface has none of that. Containers that are still open lie on a stack of their own, nothing recurses. An
 * alias shares the value of its anchor (values are immutable), but counts as if it were written out: nodes against
 * `max_nodes`, text against `max_size`, levels against `depth`, so neither time nor the size of anything made from the
 * tree can explode. Merge keys only fill in what a mapping does not say itself.
 *
 * libyaml allocates with malloc and can only fail there for want of memory, which panics like any other. */
#include "data/yaml.h"

#include "base/map.h"
#include "base/panic.h"
#include "data/yaml_problem.h"
#include "data/yaml_scalar.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <yaml.h>

enum { DIRECTIVES_MAX = 100 };
#define CORE_TAG "tag:yaml.org,2002:"

/* What a value costs when written out. */
struct cost {
    size_t nodes, bytes;
    unsigned height; /* levels of containers */
};

struct node {
    struct val v;
    struct cost cost;
};

struct anchor {
    struct node node;
    bool complete, foreign;
};

struct open { /* a container that is being read */
    bool object, flow, has_key, key_is_merge;
    uint32_t line, col, key_line, key_col;
    struct str key;
    struct cost cost;
    struct anchor *anchor;
    struct val_list list; /* elements; for an object the sources of its merge key */
    struct val_map map;
};

struct composer {
    struct arena *a;
    struct str text;
    const char *file;
    struct yaml_limits lim;
    struct map anchors; /* name -> struct anchor in the arena */
    const struct yaml_aliases *aliases;
    struct open *open;
    size_t depth, cap;
    struct cost total;
    bool done; /* the document's value is complete */
    struct val result;
    struct err *err;
};

__attribute__((format(printf, 5, 6))) static enum rc fail_at(struct composer *c, enum rc rc, uint32_t line,
                                                             uint32_t col, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    err_vset(c->err, rc, fmt, ap);
    va_end(ap);
    return err_wrap(c->err, "%s:%u:%u", c->file, line, col);
}

static uint32_t line_of(const yaml_event_t *e)
{
    return (uint32_t)e->start_mark.line + 1;
}
static uint32_t col_of(const yaml_event_t *e)
{
    return (uint32_t)e->start_mark.column + 1;
}

static enum rc charge(struct composer *c, const yaml_event_t *e, struct cost cost)
{
    c->total.nodes += cost.nodes;
    c->total.bytes += cost.bytes;
    if (c->total.nodes > c->lim.max_nodes)
        return fail_at(c, RC_LIMIT, line_of(e), col_of(e), "more than %zu values, aliases counted as written out",
                       c->lim.max_nodes);
    if (c->total.bytes > c->lim.max_size)
        return fail_at(c, RC_LIMIT, line_of(e), col_of(e),
                       "more than %zu bytes of text, aliases counted as written out", c->lim.max_size);
    if (c->depth + cost.height > c->lim.depth)
        return fail_at(c, RC_LIMIT, line_of(e), col_of(e), "more than %u levels of nesting", c->lim.depth);
    return RC_OK;
}

/* ---- anchors ---- */

static struct anchor *anchor_new(struct composer *c, const yaml_char_t *name)
{
    if (!name)
        return NULL;
    struct anchor *an = ARENA_NEW(c->a, struct anchor);
    map_put(&c->anchors, arena_str(c->a, str_c((const char *)name)),
            an); /* a name may be used again: the latest wins */
    return an;
}

static void anchor_complete(struct anchor *an, const struct node *n)
{
    if (an) {
        an->node = *n;
        an->complete = true;
    }
}

/* Of a value from elsewhere. It is as large as its own text allowed, and the walk costs no more than is charged. */
static struct cost cost_of(const struct val *v)
{
    struct cost sum = {.nodes = 1, .bytes = v->type == VAL_STR || v->type == VAL_BIGINT ? v->s.n : 0};
    bool array = v->type == VAL_ARRAY, object = v->type == VAL_OBJECT;
    sum.height = array || object;
    for (size_t i = 0; i < (array ? v->arr.n : object ? v->obj.n : 0); i++) {
        struct cost one = cost_of(array ? &v->arr.v[i] : &v->obj.m[i].val);
        sum.nodes += one.nodes;
        sum.bytes += one.bytes + (object ? v->obj.m[i].key.n : 0);
        if (one.height + 1 > sum.height)
            sum.height = one.height + 1;
    }
    return sum;
}

static const struct anchor *from_elsewhere(struct composer *c, struct str name)
{
    const struct val *v = c->aliases ? c->aliases->find(c->aliases->ctx, name) : NULL;
    if (!v)
        return NULL;
    struct anchor *an = ARENA_NEW(c->a, struct anchor);
    *an = (struct anchor){.node = {*v, cost_of(v)}, .complete = true};
    map_put(&c->anchors, arena_str(c->a, name), an); /* looked at once */
    an->foreign = true;
    return an;
}

static enum rc resolve_alias(struct composer *c, const yaml_event_t *e, struct node *ret)
{
    const char *name = (const char *)e->data.alias.anchor;
    const struct anchor *an = map_get(&c->anchors, str_c(name));
    an = an ? an : from_elsewhere(c, str_c(name));
    if (!an)
        return fail_at(c, RC_INVALID, line_of(e), col_of(e),
                       "the alias *%s has no anchor; expected &%s earlier in the file%s, or quotes around text", name,
                       name, c->aliases ? ", or in a file that it includes" : "");
    if (!an->complete)
        return fail_at(c, RC_INVALID, line_of(e), col_of(e),
                       "the alias *%s stands inside its own anchor; expected a value that ends before it", name);
    *ret = an->node;
    return charge(c, e, ret->cost);
}

/* ---- scalars ---- */

static const struct {
    const char *tag;
    enum val_type type;
} scalar_tags[] = {{CORE_TAG "str", VAL_STR},
                   {CORE_TAG "int", VAL_INT},
                   {CORE_TAG "float", VAL_DOUBLE},
                   {CORE_TAG "bool", VAL_BOOL},
                   {CORE_TAG "null", VAL_NULL}};

static enum rc fail_tag(struct composer *c, const yaml_event_t *e, const char *tag, const char *expected)
{
    bool core = strncmp(tag, CORE_TAG, sizeof CORE_TAG - 1) == 0;
    return fail_at(c, RC_INVALID, line_of(e), col_of(e), "unknown tag %s%.100s; expected %s", core ? "!!" : "",
                   tag + (core ? sizeof CORE_TAG - 1 : 0), expected);
}

static enum rc tagged_scalar(struct composer *c, const yaml_event_t *e, struct str text, struct val *ret)
{
    const char *tag = (const char *)e->data.scalar.tag;
    size_t i = 0, n = sizeof scalar_tags / sizeof *scalar_tags;
    while (i < n && strcmp(scalar_tags[i].tag, tag) != 0)
        i++;
    if (i == n)
        return fail_tag(c, e, tag, "none, one of !!str !!int !!float !!bool !!null, or quotes around text");
    enum val_type want = scalar_tags[i].type;
    if (want == VAL_STR) {
        *ret = val_str(text);
        return RC_OK;
    }
    enum rc rc = yaml_scalar(c->a, text, ret, c->err);
    if (rc)
        return err_wrap(c->err, "%s:%u:%u", c->file, line_of(e), col_of(e));
    if (want == VAL_DOUBLE && val_is_number(ret))
        *ret = val_double(val_to_double(ret, 0));
    if (ret->type != want && !(want == VAL_INT && ret->type == VAL_BIGINT))
        return fail_at(c, RC_INVALID, line_of(e), col_of(e),
                       "this value does not fit its tag !!%s; expected one that does", tag + sizeof CORE_TAG - 1);
    return RC_OK;
}

static struct str scalar_text(const yaml_event_t *e)
{
    return str_n((const char *)e->data.scalar.value, e->data.scalar.length);
}

static enum rc scalar_value(struct composer *c, const yaml_event_t *e, struct node *ret)
{
    struct str text = arena_str(c->a, scalar_text(e));
    bool plain = e->data.scalar.plain_implicit && !e->data.scalar.tag; /* libyaml calls `! 5` plain */
    const char *tag = (const char *)e->data.scalar.tag;
    ret->cost = (struct cost){.nodes = 1, .bytes = text.n};
    enum rc rc = RC_OK;
    if (tag && strcmp(tag, "!") != 0) {
        rc = tagged_scalar(c, e, text, &ret->v);
    } else if (plain) {
        if ((rc = yaml_scalar(c->a, text, &ret->v, c->err)))
            err_wrap(c->err, "%s:%u:%u", c->file, line_of(e), col_of(e));
    } else {
        ret->v = val_str(text);
    }
    ret->v.line = line_of(e);
    ret->v.col = col_of(e);
    return rc ? rc : charge(c, e, ret->cost);
}

/* ---- keys ---- */

static enum rc set_key(struct composer *c, const yaml_event_t *e, struct str key)
{
    struct open *o = &c->open[c->depth - 1];
    o->key = key;
    o->key_line = line_of(e);
    o->key_col = col_of(e);
    o->has_key = true;
    return charge(c, e, (struct cost){.bytes = key.n});
}

static enum rc scalar_key(struct composer *c, const yaml_event_t *e)
{
    struct open *o = &c->open[c->depth - 1];
    struct str text = arena_str(c->a, scalar_text(e));
    const char *tag = (const char *)e->data.scalar.tag;
    bool plain = e->data.scalar.plain_implicit && !e->data.scalar.tag; /* libyaml calls `! 5` plain */
    if (tag && strcmp(tag, "!") != 0 && strcmp(tag, CORE_TAG "str") != 0)
        return fail_tag(c, e, tag, "no tag on a key");
    if (plain && text.n == 0)
        return fail_at(c, RC_INVALID, line_of(e), col_of(e), "a key is missing before ':'; expected \"key: value\"");
    o->key_is_merge = plain && str_eq(text, STR("<<"));
    struct node n = {.v = val_str(text), .cost = {.nodes = 1, .bytes = text.n}};
    n.v.line = line_of(e);
    n.v.col = col_of(e);
    anchor_complete(anchor_new(c, e->data.scalar.anchor), &n);
    return set_key(c, e, text);
}

static enum rc alias_key(struct composer *c, const yaml_event_t *e)
{
    struct node n;
    enum rc rc = resolve_alias(c, e, &n);
    if (rc)
        return rc;
    if (n.v.type != VAL_STR)
        return fail_at(c, RC_INVALID, line_of(e), col_of(e), "this alias is of type %s; expected text as a key",
                       val_type_name(&n.v));
    c->open[c->depth - 1].key_is_merge = false;
    return set_key(c, e, n.v.s);
}

static enum rc fail_container_key(struct composer *c, const yaml_event_t *e)
{
    const struct open *o = &c->open[c->depth - 1];
    bool mapping = e->type == YAML_MAPPING_START_EVENT;
    if (mapping && o->flow && o->line == line_of(e) && o->col + 1 == col_of(e))
        return yaml_problem_template(c->file, c->text, o->line, o->col, c->err);
    if (mapping && yaml_problem_is_template(c->text, line_of(e), col_of(e)))
        return yaml_problem_template(c->file, c->text, line_of(e), col_of(e), c->err);
    return fail_at(c, RC_INVALID, line_of(e), col_of(e), "a %s as a key; expected text", mapping ? "mapping" : "list");
}

/* ---- containers ---- */

static enum rc open_container(struct composer *c, const yaml_event_t *e)
{
    bool object = e->type == YAML_MAPPING_START_EVENT;
    const char *tag = (const char *)(object ? e->data.mapping_start.tag : e->data.sequence_start.tag);
    if (tag && strcmp(tag, "!") != 0 && strcmp(tag, object ? CORE_TAG "map" : CORE_TAG "seq") != 0)
        return fail_tag(c, e, tag, object ? "none, or !!map" : "none, or !!seq");
    enum rc rc = charge(c, e, (struct cost){.nodes = 1, .height = 1});
    if (rc)
        return rc;
    if (c->depth == c->cap) {
        c->cap = c->cap ? c->cap * 2 : 16;
        c->open = reallocarray(c->open, c->cap, sizeof *c->open);
        if (!c->open)
            PANIC("out of memory (%zu levels of YAML)", c->cap);
    }
    c->open[c->depth++] = (struct open){
        .object = object,
        .flow = object ? e->data.mapping_start.style == YAML_FLOW_MAPPING_STYLE
                       : e->data.sequence_start.style == YAML_FLOW_SEQUENCE_STYLE,
        .line = line_of(e),
        .col = col_of(e),
        .cost = {.nodes = 1, .height = 1},
        .anchor = anchor_new(c, object ? e->data.mapping_start.anchor : e->data.sequence_start.anchor),
        .list = val_list_new(c->a),
        .map = val_map_new(c->a),
    };
    return RC_OK;
}

static void merge_from(struct val_map *map, const struct val *src)
{
    for (size_t i = 0; i < src->obj.n; i++) {
        const struct member *m = &src->obj.m[i];
        if (!val_map_add(map, m->key, m->val, m->line, m->col))
            continue; /* said nearer already */
    }
}

static struct node close_container(struct composer *c)
{
    struct open *o = &c->open[--c->depth];
    struct node n = {.cost = o->cost};
    if (o->object) {
        for (size_t i = 0; i < o->list.n; i++)
            merge_from(&o->map, &o->list.v[i]);
        n.v = val_map_done(&o->map);
    } else {
        n.v = val_list_done(&o->list);
    }
    n.v.line = o->line;
    n.v.col = o->col;
    anchor_complete(o->anchor, &n);
    return n;
}

static enum rc deliver_merge(struct composer *c, struct open *o, const struct val *v)
{
    bool fits = v->type == VAL_OBJECT || v->type == VAL_ARRAY;
    for (size_t i = 0; v->type == VAL_ARRAY && i < v->arr.n; i++)
        fits &= v->arr.v[i].type == VAL_OBJECT;
    if (!fits)
        return fail_at(c, RC_INVALID, o->key_line, o->key_col,
                       "'<<' merges mappings; expected a mapping or a list of mappings");
    if (o->list.n)
        return fail_at(c, RC_INVALID, o->key_line, o->key_col,
                       "a second '<<' in one mapping; expected one: <<: [*a, *b]");
    if (v->type == VAL_OBJECT)
        val_list_push(&o->list, *v);
    else
        for (size_t i = 0; i < v->arr.n; i++)
            val_list_push(&o->list, v->arr.v[i]);
    return RC_OK;
}

static enum rc fail_duplicate(struct composer *c, const struct open *o)
{
    uint32_t first = 0;
    for (size_t i = 0; i < o->map.n && !first; i++)
        if (str_eq(o->map.m[i].key, o->key))
            first = o->map.m[i].line;
    return fail_at(c, RC_INVALID, o->key_line, o->key_col,
                   "the key \"%.*s\" stands here a second time (first at line %u); expected each key once",
                   o->key.n > 100 ? 100 : (int)o->key.n, o->key.p, first);
}

/* Hands a complete value to the container it stands in, or makes it the document's. */
static enum rc deliver(struct composer *c, const struct node *n)
{
    if (!c->depth) {
        c->result = n->v;
        c->done = true;
        return RC_OK;
    }
    struct open *o = &c->open[c->depth - 1];
    o->cost.nodes += n->cost.nodes;
    o->cost.bytes += n->cost.bytes + o->key.n;
    if (n->cost.height + 1 > o->cost.height)
        o->cost.height = n->cost.height + 1;
    if (!o->object) {
        val_list_push(&o->list, n->v);
        return RC_OK;
    }
    o->has_key = false;
    if (o->key_is_merge)
        return deliver_merge(c, o, &n->v);
    return val_map_add(&o->map, o->key, n->v, o->key_line, o->key_col) ? RC_OK : fail_duplicate(c, o);
}

/* ---- events ---- */

static enum rc handle_node(struct composer *c, const yaml_event_t *e)
{
    bool key = c->depth && c->open[c->depth - 1].object && !c->open[c->depth - 1].has_key;
    struct node n = {.v = val_null};
    enum rc rc;
    if (e->type == YAML_SCALAR_EVENT) {
        if (key)
            return scalar_key(c, e);
        struct anchor *an = anchor_new(c, e->data.scalar.anchor);
        rc = scalar_value(c, e, &n);
        anchor_complete(an, &n);
    } else if (e->type == YAML_ALIAS_EVENT) {
        if (key)
            return alias_key(c, e);
        rc = resolve_alias(c, e, &n);
    } else {
        return key ? fail_container_key(c, e) : open_container(c, e);
    }
    return rc ? rc : deliver(c, &n);
}

static enum rc handle(struct composer *c, const yaml_event_t *e)
{
    struct node n;
    switch (e->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (c->done)
            return fail_at(c, RC_INVALID, line_of(e), col_of(e), "a second document begins here; expected one a file");
        return RC_OK;
    case YAML_SCALAR_EVENT:
    case YAML_ALIAS_EVENT:
    case YAML_SEQUENCE_START_EVENT:
    case YAML_MAPPING_START_EVENT:
        return handle_node(c, e);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        n = close_container(c);
        return deliver(c, &n);
    default:
        return RC_OK;
    }
}

static enum rc fail_parser(struct composer *c, const yaml_parser_t *p)
{
    if (p->error == YAML_MEMORY_ERROR)
        PANIC("out of memory (libyaml)");
    struct yaml_problem problem = {.file = c->file,
                                   .text = c->text,
                                   .problem = p->problem,
                                   .context = p->context,
                                   .line = (uint32_t)p->problem_mark.line + 1,
                                   .col = (uint32_t)p->problem_mark.column + 1};
    if (p->context) {
        problem.context_line = (uint32_t)p->context_mark.line + 1;
        problem.context_col = (uint32_t)p->context_mark.column + 1;
    }
    if (p->error == YAML_READER_ERROR) {
        problem.line = 1;
        problem.col = 1;
        for (size_t i = 0; i < p->problem_offset && i < c->text.n; i++) {
            problem.col++;
            if (c->text.p[i] == '\n')
                problem.line++, problem.col = 1;
        }
    }
    return yaml_problem_report(&problem, c->err);
}

static enum rc compose(struct composer *c, yaml_parser_t *p)
{
    for (;;) {
        yaml_event_t e;
        if (!yaml_parser_parse(p, &e))
            return fail_parser(c, p);
        bool end = e.type == YAML_STREAM_END_EVENT;
        enum rc rc = handle(c, &e);
        yaml_event_delete(&e);
        if (rc || end)
            return rc;
    }
}

/* libyaml compares every %TAG directive with all before it before it hands out an event: quadratic. Nobody needs many,
 * as no tag that they could name is accepted. */
static enum rc check_directives(struct composer *c)
{
    uint32_t line = 1, found = 0;
    for (struct str t = c->text; t.n; line++) {
        found += str_starts(t, STR("%TAG"));
        if (found > DIRECTIVES_MAX)
            return fail_at(c, RC_LIMIT, line, 1, "more than %d %%TAG directives", DIRECTIVES_MAX);
        size_t nl = str_find(t, STR("\n"));
        t = str_from(t, nl == SIZE_MAX ? t.n : nl + 1);
    }
    return RC_OK;
}

/* Sizes and encodings that need no parser to be refused. */
static enum rc check_text(struct composer *c)
{
    struct str t = c->text;
    if (t.n > c->lim.max_size)
        return fail_at(c, RC_LIMIT, 1, 1, "%zu bytes; expected at most %zu", t.n, c->lim.max_size);
    bool utf16 = str_starts(t, STR("\xff\xfe")) || str_starts(t, STR("\xfe\xff")) ||
                 (t.n >= 2 && ((t.p[0] == 0 && t.p[1] >= ' ') || (t.p[1] == 0 && t.p[0] >= ' ')));
    if (utf16)
        return fail_at(c, RC_INVALID, 1, 1, "this is UTF-16 text; expected UTF-8");
    size_t valid = str_utf8_valid(t);
    if (valid == t.n)
        return check_directives(c);
    uint32_t line = 1, col = 1;
    for (size_t i = 0; i < valid; i++) {
        col += ((unsigned char)t.p[i] & 0xc0) != 0x80;
        if (t.p[i] == '\n')
            line++, col = 1;
    }
    return fail_at(c, RC_INVALID, line, col, "byte 0x%02x is not valid UTF-8; expected UTF-8 text",
                   (unsigned char)t.p[valid]);
}

static void tell_anchors(const struct composer *c)
{
    struct map_entry *e;
    for (size_t i = 0; c->aliases && c->aliases->anchor && (e = map_next(&c->anchors, &i));) {
        const struct anchor *an = e->value;
        if (an->complete && !an->foreign)
            c->aliases->anchor(c->aliases->ctx, e->key, &an->node.v);
    }
}

enum rc yaml_parse(struct arena *a, struct str text, const char *file, const struct yaml_limits *limits,
                   struct val *ret, struct err *err)
{
    return yaml_parse_with(a, text, file, limits, NULL, ret, err);
}

enum rc yaml_parse_with(struct arena *a, struct str text, const char *file, const struct yaml_limits *limits,
                        const struct yaml_aliases *aliases, struct val *ret, struct err *err)
{
    struct yaml_limits lim = limits ? *limits : YAML_LIMITS_DEFAULT;
    if (str_starts(text, STR("\xef\xbb\xbf")))
        text = str_from(text, 3);
    struct composer c = {
        .a = a, .text = text, .file = file ? file : "YAML", .lim = lim, .aliases = aliases, .err = err};
    enum rc rc = check_text(&c);
    if (rc)
        return rc;
    yaml_parser_t p;
    if (!yaml_parser_initialize(&p))
        PANIC("out of memory (libyaml)");
    yaml_parser_set_encoding(&p, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&p, (const unsigned char *)(text.p ? text.p : ""), text.n);
    rc = compose(&c, &p);
    yaml_parser_delete(&p);
    if (!rc)
        tell_anchors(&c);
    map_done(&c.anchors);
    free(c.open);
    if (!rc)
        *ret = c.result;
    return rc;
}
