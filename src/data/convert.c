/* The table of formats, and the two that are JSON.
 *
 * Depth and number of values are checked once, here, on what a reader made or a writer is given, except where a reader
 * itself would recurse or explode before (JSON and YAML have limits of their own, XML and CSV count as they go). */
#include "data/convert.h"

#include "data/convert_int.h"
#include "data/json.h"
#include "data/yaml.h"
#include "data/yaml_write.h"

static const char *const names[CONVERT_COUNT] = {"csv", "json", "jsonl", "xml", "yaml"};

enum convert_format convert_format_named(struct str name)
{
    for (int i = 0; i < CONVERT_COUNT; i++)
        if (str_is(name, names[i]))
            return (enum convert_format)i;
    return str_is(name, "yml") ? CONVERT_YAML : CONVERT_COUNT;
}

const char *convert_format_name(enum convert_format f)
{
    return f < CONVERT_COUNT ? names[f] : "none";
}

void convert_scalar(struct buf *out, const struct val *v)
{
    if (v->type == VAL_STR)
        buf_add(out, v->s);
    else if (v->type != VAL_NULL)
        json_write(out, v, JSON_COMPACT);
}

void convert_utf8(struct buf *out, uint32_t cp)
{
    if (cp < 0x80) {
        buf_addc(out, (char)cp);
        return;
    }
    int more = cp < 0x800 ? 1 : cp < 0x10000 ? 2 : 3;
    static const uint8_t lead[] = {0, 0xC0, 0xE0, 0xF0};
    buf_addc(out, (char)(lead[more] | cp >> 6 * more));
    while (more--)
        buf_addc(out, (char)(0x80 | (cp >> 6 * more & 0x3F)));
}

uint32_t convert_char(struct str s, size_t *n)
{
    unsigned char c = (unsigned char)s.p[0];
    *n = c < 0x80 ? 1 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
    uint32_t cp = *n == 1 ? c : c & (0x7Fu >> *n);
    for (size_t i = 1; i < *n && i < s.n; i++)
        cp = cp << 6 | ((unsigned char)s.p[i] & 0x3F);
    return cp;
}

/* ---- JSON ---- */

/* Two spaces a level become `indent`. In pretty JSON a line begins with nothing but indentation: strings have no raw
 * line ends. */
static void json_indented(struct buf *out, const struct val *v, unsigned indent)
{
    struct buf b;
    buf_init(&b, out->max);
    json_write(&b, v, JSON_PRETTY);
    out->overflow |= b.overflow;
    for (struct str rest = buf_str(&b); rest.n && !out->overflow;) {
        size_t spaces = 0, end = str_find(rest, STR("\n"));
        struct str line = end == SIZE_MAX ? rest : str_n(rest.p, end + 1);
        while (spaces < line.n && line.p[spaces] == ' ')
            spaces++;
        for (size_t i = 0; i < spaces / 2 * indent; i++)
            buf_addc(out, ' ');
        buf_add(out, str_from(line, spaces));
        rest = str_from(rest, line.n);
    }
    buf_done(&b);
}

static struct str without_mark(struct str text)
{
    return str_starts(text, STR("\xEF\xBB\xBF")) ? str_from(text, 3) : text;
}

static const struct json_limits json_limits = {
    .depth = CONVERT_DEPTH_MAX, .max_size = (size_t)256 << 20, .unique = true};

static enum rc jsonl_read(struct str text, struct arena *a, struct val *ret, struct err *err)
{
    struct val_list l = val_list_new(a);
    size_t number = 0;
    while (text.n) {
        size_t end = str_find(text, STR("\n"));
        struct str line = end == SIZE_MAX ? text : str_n(text.p, end);
        struct val v;
        text = str_from(text, line.n + 1);
        number++;
        if (!str_trim(line).n)
            continue;
        enum rc rc = json_parse(a, line, &json_limits, &v, err);
        if (rc)
            return err_wrap(err, "line %zu", number);
        if (l.n == CONVERT_NODES_MAX)
            return err_set(err, RC_LIMIT, "line %zu: more than %d values", number, CONVERT_NODES_MAX);
        val_list_push(&l, v);
    }
    *ret = val_list_done(&l);
    return RC_OK;
}

static void jsonl_write(const struct val *v, struct buf *out)
{
    bool list = v->type == VAL_ARRAY;
    for (size_t i = 0; i < (list ? v->arr.n : 1); i++) {
        json_write(out, list ? &v->arr.v[i] : v, JSON_COMPACT);
        buf_addc(out, '\n');
    }
}

/* ---- the front ---- */

static size_t count(const struct val *v, size_t limit)
{
    size_t n = 1;
    if (v->type == VAL_ARRAY)
        for (size_t i = 0; i < v->arr.n && n <= limit; i++)
            n += count(&v->arr.v[i], limit);
    if (v->type == VAL_OBJECT)
        for (size_t i = 0; i < v->obj.n && n <= limit; i++)
            n += count(&v->obj.m[i].val, limit);
    return n;
}

static enum rc bounded(const struct val *v, struct err *err)
{
    if (val_depth(v) > CONVERT_DEPTH_MAX)
        return err_set(err, RC_LIMIT, "more than %d levels of nesting", CONVERT_DEPTH_MAX);
    if (count(v, CONVERT_NODES_MAX) > CONVERT_NODES_MAX)
        return err_set(err, RC_LIMIT, "more than %d values", CONVERT_NODES_MAX);
    return RC_OK;
}

enum rc convert_read(enum convert_format f, struct str text, const struct convert_options *o, struct arena *a,
                     struct val *ret, struct err *err)
{
    static const struct yaml_limits yaml = {
        .depth = CONVERT_DEPTH_MAX, .max_size = (size_t)256 << 20, .max_nodes = CONVERT_NODES_MAX};
    enum rc rc = RC_OK;
    switch (f) {
    case CONVERT_CSV:
        return csv_read(without_mark(text), o, a, ret, err);
    case CONVERT_JSON:
        rc = json_parse(a, without_mark(text), &json_limits, ret, err);
        return rc ? rc : bounded(ret, err);
    case CONVERT_JSONL:
        rc = jsonl_read(without_mark(text), a, ret, err);
        return rc ? rc : bounded(ret, err);
    case CONVERT_XML:
        return xml_read(text, a, ret, err);
    case CONVERT_YAML:
        rc = yaml_parse(a, text, "line", &yaml, ret, err);
        if (rc && strncmp(err->msg, "line:", 5) == 0)
            err->msg[4] = ' '; /* as the other formats say it: "line 2:1: …" */
        return rc;
    case CONVERT_COUNT:
        break;
    }
    return err_set(err, RC_INVALID, "no such format");
}

enum rc convert_write(enum convert_format f, const struct val *v, const struct convert_options *o, struct buf *out,
                      struct err *err)
{
    enum rc rc = bounded(v, err);
    if (rc)
        return rc;
    switch (f) {
    case CONVERT_CSV:
        rc = csv_write(v, o, out, err);
        break;
    case CONVERT_JSON:
        if (o->indent)
            json_indented(out, v, o->indent);
        else
            json_write(out, v, JSON_COMPACT);
        break;
    case CONVERT_JSONL:
        jsonl_write(v, out);
        break;
    case CONVERT_XML:
        rc = xml_write(v, o, out, err);
        break;
    case CONVERT_YAML:
        yaml_write(out, v);
        break;
    case CONVERT_COUNT:
        return err_set(err, RC_INVALID, "no such format");
    }
    if (rc == RC_OK && out->overflow)
        return err_set(err, RC_LIMIT, "the result is larger than %zu bytes", out->max);
    return rc;
}
