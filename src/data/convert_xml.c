/* XML to values, over libexpat, which checks that a document is well-formed and decodes it.
 *
 * Elements that are open lie on a stack of their own; a child is hung into its parent when it ends. A document type is
 * refused as soon as one begins: with it go entities (and everything that grows or reaches outside by them), default
 * attributes and notations. Comments and processing instructions are no data and are left out. White space between
 * elements is layout; of an element that has text only, every character counts. */
#include "base/panic.h"
#include "data/convert_int.h"

#include <expat.h>
#include <stdarg.h>
#include <stdio.h>

struct element {
    struct str name;
    struct val_map map;       /* attributes and children */
    struct val_list *repeats; /* by position in `map`: all values of a child that came again, else not started */
    size_t repeats_cap, children;
    struct buf text;
};

struct reader {
    XML_Parser parser;
    struct arena *a;
    struct element *open;
    size_t depth, nodes;
    size_t max_text;
    struct val root;
    struct err *err;
    bool failed;
};

__attribute__((format(printf, 3, 4))) static void fail(struct reader *r, enum rc rc, const char *fmt, ...)
{
    va_list ap;
    if (r->failed)
        return;
    va_start(ap, fmt);
    err_vset(r->err, rc, fmt, ap);
    va_end(ap);
    r->failed = true;
    err_wrap(r->err, "line %lu:%lu", (unsigned long)XML_GetCurrentLineNumber(r->parser),
             (unsigned long)XML_GetCurrentColumnNumber(r->parser) + 1);
    XML_StopParser(r->parser, XML_FALSE);
}

static bool charge(struct reader *r)
{
    if (++r->nodes <= CONVERT_NODES_MAX)
        return true;
    fail(r, RC_LIMIT, "more than %d values", CONVERT_NODES_MAX);
    return false;
}

static int hex_digit(char c)
{
    int low = c | 0x20;
    return c >= '0' && c <= '9' ? c - '0' : low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

/* `_x0020_` at the start of `s` stands for a character; 0: it is none of these. */
static size_t escape(struct str s, uint32_t *cp)
{
    size_t i = 2;
    if (!str_starts(s, STR("_x")))
        return 0;
    for (*cp = 0; i < s.n && i < 8 && hex_digit(s.p[i]) >= 0; i++)
        *cp = *cp << 4 | (uint32_t)hex_digit(s.p[i]);
    bool character = *cp < 0xD800 || (*cp > 0xDFFF && *cp <= 0x10FFFF);
    return i >= 6 && i < s.n && s.p[i] == '_' && character ? i + 1 : 0;
}

static struct str name_read(struct reader *r, const char *prefix, struct str s)
{
    struct buf b;
    uint32_t cp;
    buf_init(&b, s.n + 8);
    buf_addz(&b, prefix);
    while (s.n) {
        size_t n = escape(s, &cp);
        if (n)
            convert_utf8(&b, cp);
        else
            buf_addc(&b, s.p[0]), n = 1;
        s = str_from(s, n);
    }
    struct str ret = arena_str(r->a, buf_str(&b));
    buf_done(&b);
    return ret;
}

static void on_start(void *ctx, const XML_Char *name, const XML_Char **attributes)
{
    struct reader *r = ctx;
    if (r->failed || !charge(r))
        return;
    if (r->depth == CONVERT_DEPTH_MAX / 2) { /* an element and its list are two levels of a value */
        fail(r, RC_LIMIT, "more than %d levels of elements", CONVERT_DEPTH_MAX / 2);
        return;
    }
    struct element *e = &r->open[r->depth++];
    *e = (struct element){.name = name_read(r, "", str_c(name)), .map = val_map_new(r->a)};
    buf_init(&e->text, r->max_text);
    for (; *attributes && charge(r); attributes += 2)
        if (!val_map_add(&e->map, name_read(r, "@", str_c(attributes[0])),
                         val_str(arena_str(r->a, str_c(attributes[1]))), 0, 0))
            fail(r, RC_INVALID, "the attribute %.100s occurs twice", attributes[0]);
}

static void on_text(void *ctx, const XML_Char *p, int n)
{
    struct reader *r = ctx;
    if (!r->failed && r->depth && n > 0)
        buf_add(&r->open[r->depth - 1].text, str_n(p, (size_t)n));
}

static size_t position(const struct val_map *m, struct str key)
{
    struct val_map copy = *m;
    struct val object = val_map_done(&copy);
    const struct member *found = val_member(&object, key);
    return found ? (size_t)(found - object.obj.m) : SIZE_MAX;
}

static void add_child(struct reader *r, struct element *e, struct str name, struct val v)
{
    e->children++;
    if (val_map_add(&e->map, name, v, 0, 0))
        return;
    size_t i = position(&e->map, name);
    if (i >= e->repeats_cap) {
        struct val_list *more = arena_calloc(r->a, e->map.cap, sizeof *more);
        if (e->repeats_cap)
            memcpy(more, e->repeats, e->repeats_cap * sizeof *more);
        e->repeats = more, e->repeats_cap = e->map.cap;
    }
    struct val_list *l = &e->repeats[i];
    if (!l->a) {
        *l = val_list_new(r->a);
        val_list_push(l, e->map.m[i].val);
    }
    val_list_push(l, v);
}

static struct val element_value(struct reader *r, struct element *e)
{
    struct str text = buf_str(&e->text);
    if (!e->map.n)
        return text.n ? val_str(arena_str(r->a, text)) : val_null;
    for (size_t i = 0; i < e->repeats_cap; i++)
        if (e->repeats[i].a)
            e->map.m[i].val = val_list_done(&e->repeats[i]);
    if (e->children)
        text = str_trim(text);
    if (text.n)
        val_map_set(&e->map, STR("#text"), val_str(arena_str(r->a, text)));
    return val_map_done(&e->map);
}

static void on_end(void *ctx, const XML_Char *name)
{
    struct reader *r = ctx;
    (void)name;
    if (r->failed)
        return;
    struct element *e = &r->open[--r->depth];
    struct val v = element_value(r, e);
    struct str own = e->name;
    buf_done(&e->text);
    if (r->depth) {
        add_child(r, &r->open[r->depth - 1], own, v);
        return;
    }
    struct val_map m = val_map_new(r->a);
    val_map_set(&m, own, v);
    r->root = val_map_done(&m);
}

static void on_doctype(void *ctx, const XML_Char *name, const XML_Char *system, const XML_Char *public, int internal)
{
    (void)name, (void)system, (void)public, (void)internal;
    fail(ctx, RC_INVALID, "a document type (<!DOCTYPE …>) is not accepted; remove it");
}

enum rc xml_read(struct str text, struct arena *a, struct val *ret, struct err *err)
{
    struct element open[CONVERT_DEPTH_MAX / 2];
    struct reader r = {.a = a, .open = open, .max_text = text.n * 4 + 16, .root = val_null, .err = err};
    enum { PIECE = 1 << 20 };
    r.parser = XML_ParserCreate(NULL);
    if (!r.parser)
        PANIC("out of memory");
    XML_SetUserData(r.parser, &r);
    XML_SetElementHandler(r.parser, on_start, on_end);
    XML_SetCharacterDataHandler(r.parser, on_text);
    XML_SetStartDoctypeDeclHandler(r.parser, on_doctype);
    enum XML_Status status = XML_STATUS_OK;
    bool last = false;
    while (status == XML_STATUS_OK && !last) {
        size_t n = text.n < PIECE ? text.n : PIECE;
        last = n == text.n;
        status = XML_Parse(r.parser, text.p ? text.p : "", (int)n, last);
        text = str_from(text, n);
    }
    if (status != XML_STATUS_OK && !r.failed)
        fail(&r, RC_INVALID, "no well-formed XML: %s", XML_ErrorString(XML_GetErrorCode(r.parser)));
    while (r.depth)
        buf_done(&open[--r.depth].text);
    XML_ParserFree(r.parser);
    if (r.failed)
        return err->rc;
    *ret = r.root;
    return RC_OK;
}
