/* Values to XML: the mapping of data/convert.h in the other direction.
 *
 * Elements are indented, except inside an element with text of its own, where every space would become part of that
 * text. Line ends and tabs that a reader would change (all of them in attributes, carriage returns anywhere) are
 * written as character references. Characters that XML 1.0 cannot hold at all are an error. */
#include "data/convert_int.h"

#include <stdio.h>

struct writer {
    struct buf *out;
    unsigned indent;
    struct err *err;
};

static bool in(uint32_t c, uint32_t from, uint32_t to)
{
    return c >= from && c <= to;
}

/* Characters of names that the fourth and the fifth edition of XML 1.0 agree on, of the most used scripts; what is
 * left out is escaped, and comes back. The colon is allowed between others only, as in a document. */
static bool name_start(uint32_t c)
{
    return in(c, 'a', 'z') || in(c, 'A', 'Z') || c == '_' || in(c, 0xC0, 0xD6) || in(c, 0xD8, 0xF6) ||
           in(c, 0xF8, 0x131) || in(c, 0x391, 0x3A1) || in(c, 0x3A3, 0x3CE) || in(c, 0x401, 0x40C) ||
           in(c, 0x40E, 0x44F) || in(c, 0x5D0, 0x5EA) || in(c, 0x3041, 0x3094) || in(c, 0x30A1, 0x30FA) ||
           in(c, 0x4E00, 0x9FA5) || in(c, 0xAC00, 0xD7A3);
}

static bool name_more(uint32_t c)
{
    return name_start(c) || c == '-' || c == '.' || in(c, '0', '9') || c == 0xB7;
}

/* `_x` could become the beginning of an escape, with what is written behind it, and is escaped itself. */
static void name_write(struct writer *w, struct str s)
{
    bool first = true;
    if (!s.n)
        buf_addz(w->out, "_"); /* an empty name cannot be told in XML */
    while (s.n) {
        size_t n;
        uint32_t c = convert_char(s, &n);
        bool prefix = c == ':' && !first && s.n > 1;
        bool good = (first ? name_start(c) : name_more(c)) || prefix;
        if (!good || str_starts(s, STR("_x")))
            buf_printf(w->out, "_x%04X_", (unsigned)c);
        else
            buf_add(w->out, str_n(s.p, n));
        first = false;
        s = str_from(s, n);
    }
}

static enum rc text_write(struct writer *w, struct str s, bool attribute)
{
    for (size_t n; s.n; s = str_from(s, n)) {
        uint32_t c = convert_char(s, &n);
        bool layout = c == '\t' || c == '\n' || c == '\r';
        if ((c < 0x20 && !layout) || c == 0xFFFE || c == 0xFFFF)
            return err_set(w->err, RC_INVALID, "the character U+%04X cannot stand in XML; remove it", (unsigned)c);
        if (c == '<')
            buf_addz(w->out, "&lt;");
        else if (c == '&')
            buf_addz(w->out, "&amp;");
        else if (c == '>')
            buf_addz(w->out, "&gt;");
        else if (c == '"' && attribute)
            buf_addz(w->out, "&quot;");
        else if (c == '\r' || (layout && attribute))
            buf_printf(w->out, "&#%u;", (unsigned)c);
        else
            buf_add(w->out, str_n(s.p, n));
    }
    return RC_OK;
}

static enum rc scalar_write(struct writer *w, const struct val *v, bool attribute)
{
    struct buf b;
    if (v->type == VAL_STR)
        return text_write(w, v->s, attribute);
    buf_init(&b, (size_t)1 << 20);
    convert_scalar(&b, v);
    enum rc rc = text_write(w, buf_str(&b), attribute);
    buf_done(&b);
    return rc;
}

static bool is_scalar(const struct val *v)
{
    return v->type != VAL_ARRAY && v->type != VAL_OBJECT;
}

static bool is_attribute(const struct member *m)
{
    return m->key.n > 1 && m->key.p[0] == '@';
}

static bool is_text(const struct member *m)
{
    return str_is(m->key, "#text");
}

static void line(struct writer *w, int depth)
{
    if (!w->indent || depth < 0)
        return;
    buf_addc(w->out, '\n');
    for (unsigned i = 0; i < w->indent * (unsigned)depth; i++)
        buf_addc(w->out, ' ');
}

static enum rc element(struct writer *w, struct str name, const struct val *v, int depth);

/* A child, or as many as its list has. */
static enum rc children(struct writer *w, struct str name, const struct val *v, int depth)
{
    enum rc rc = RC_OK;
    if (v->type != VAL_ARRAY) {
        line(w, depth);
        return element(w, name, v, depth);
    }
    for (size_t i = 0; i < v->arr.n && rc == RC_OK; i++) {
        line(w, depth);
        rc = element(w, name, &v->arr.v[i], depth);
    }
    return rc;
}

static enum rc content(struct writer *w, const struct val *v, int depth)
{
    enum rc rc = RC_OK;
    if (v->type == VAL_ARRAY)
        return children(w, STR("item"), v, depth);
    for (size_t i = 0; i < v->obj.n && rc == RC_OK; i++) {
        const struct member *m = &v->obj.m[i];
        if (is_text(m))
            rc = scalar_write(w, &m->val, false);
        else if (!is_attribute(m))
            rc = children(w, m->key, &m->val, depth);
    }
    return rc;
}

static enum rc attributes(struct writer *w, const struct val *v)
{
    enum rc rc = RC_OK;
    for (size_t i = 0; v->type == VAL_OBJECT && i < v->obj.n && rc == RC_OK; i++) {
        const struct member *m = &v->obj.m[i];
        if ((is_attribute(m) || is_text(m)) && !is_scalar(&m->val))
            return err_set(w->err, RC_INVALID, "\"%.*s\" is %s; an attribute or text in XML must be a scalar",
                           (int)(m->key.n < 60 ? m->key.n : 60), m->key.p, val_type_name(&m->val));
        if (!is_attribute(m))
            continue;
        buf_addc(w->out, ' ');
        name_write(w, str_from(m->key, 1));
        buf_addz(w->out, "=\"");
        rc = scalar_write(w, &m->val, true);
        buf_addc(w->out, '"');
    }
    return rc;
}

static enum rc element(struct writer *w, struct str name, const struct val *v, int depth)
{
    bool nested = false, text = false;
    buf_addc(w->out, '<');
    name_write(w, name);
    enum rc rc = attributes(w, v);
    for (size_t i = 0; v->type == VAL_OBJECT && i < v->obj.n; i++) {
        text |= is_text(&v->obj.m[i]);
        nested |= !is_text(&v->obj.m[i]) && !is_attribute(&v->obj.m[i]) &&
                  !(v->obj.m[i].val.type == VAL_ARRAY && !v->obj.m[i].val.arr.n);
    }
    nested |= v->type == VAL_ARRAY && v->arr.n;
    if (rc || (!nested && !text && (v->type == VAL_NULL || !is_scalar(v)))) {
        buf_addz(w->out, "/>");
        return rc;
    }
    buf_addc(w->out, '>');
    int inner = text || depth < 0 ? -1 : depth + 1; /* -1: no layout from here on */
    rc = is_scalar(v) ? scalar_write(w, v, false) : content(w, v, inner);
    if (nested && inner >= 0)
        line(w, depth);
    buf_addz(w->out, "</");
    name_write(w, name);
    buf_addc(w->out, '>');
    return rc;
}

static bool is_document(const struct val *v)
{
    return v->type == VAL_OBJECT && v->obj.n == 1 && v->obj.m[0].val.type != VAL_ARRAY && !is_attribute(&v->obj.m[0]) &&
           !is_text(&v->obj.m[0]);
}

enum rc xml_write(const struct val *v, const struct convert_options *o, struct buf *out, struct err *err)
{
    struct writer w = {.out = out, .indent = o->indent, .err = err};
    buf_addz(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    bool document = is_document(v);
    enum rc rc = element(&w, document ? v->obj.m[0].key : STR("root"), document ? &v->obj.m[0].val : v, 0);
    buf_addc(out, '\n');
    return rc;
}
