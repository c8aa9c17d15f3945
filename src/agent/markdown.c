/* Headings go three levels down, what is deeper becomes points inside points; beyond POINTS_MAX levels it stays JSON. A
 * cell or a point is one line: line ends in it become spaces, and bars in a table are escaped. */
#include "agent/markdown.h"

#include "data/json.h"

enum { HEADINGS_MAX = 3, POINTS_MAX = 40, COLUMNS_MAX = 200 };

static bool flat(const struct val *v)
{
    return v->type != VAL_ARRAY && v->type != VAL_OBJECT;
}

static void scalar(struct buf *out, const struct val *v, bool cell)
{
    struct arena scratch = {0};
    struct str s = v->type == VAL_STR ? v->s : v->type == VAL_NULL ? STR("") : json_text(&scratch, v);
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '\n' || s.p[i] == '\r')
            buf_addc(out, ' ');
        else if (cell && s.p[i] == '|')
            buf_addz(out, "\\|");
        else
            buf_addc(out, s.p[i]);
    }
    arena_done(&scratch);
}

/* ---- tables ---- */

static void rule(struct buf *out, size_t columns)
{
    buf_addz(out, "|");
    for (size_t i = 0; i < columns; i++)
        buf_addz(out, " --- |");
    buf_addc(out, '\n');
}

static void cell(struct buf *out, const struct val *v)
{
    buf_addc(out, ' ');
    scalar(out, v ? v : &val_null, true);
    buf_addz(out, " |");
}

void markdown_table(struct buf *out, const struct val *rows)
{
    size_t columns = 0;
    for (size_t r = 0; val_at(rows, r); r++)
        if (val_is(val_at(rows, r), VAL_ARRAY) && val_at(rows, r)->arr.n > columns)
            columns = val_at(rows, r)->arr.n;
    for (size_t r = 0; val_at(rows, r) && !out->overflow; r++) {
        buf_addc(out, '|');
        for (size_t c = 0; c < columns; c++)
            cell(out, val_at(val_at(rows, r), c));
        buf_addc(out, '\n');
        if (r == 0)
            rule(out, columns);
    }
}

/* Objects of scalars with few names in all: rows of one table. */
static bool is_table(const struct val *v, struct val_map *columns)
{
    if (v->arr.n < 2)
        return false;
    for (size_t i = 0; i < v->arr.n; i++) {
        const struct val *row = &v->arr.v[i];
        if (row->type != VAL_OBJECT || !row->obj.n)
            return false;
        for (size_t k = 0; k < row->obj.n; k++) {
            if (!flat(&row->obj.m[k].val))
                return false;
            val_map_set(columns, row->obj.m[k].key, val_null);
        }
        if (columns->n > COLUMNS_MAX)
            return false;
    }
    return true;
}

static void table_of(struct buf *out, const struct val *v, const struct val_map *columns)
{
    buf_addc(out, '|');
    for (size_t c = 0; c < columns->n; c++) {
        struct val name = val_str(columns->m[c].key);
        cell(out, &name);
    }
    buf_addc(out, '\n');
    rule(out, columns->n);
    for (size_t i = 0; i < v->arr.n && !out->overflow; i++) {
        buf_addc(out, '|');
        for (size_t c = 0; c < columns->n; c++)
            cell(out, val_get(&v->arr.v[i], columns->m[c].key));
        buf_addc(out, '\n');
    }
}

/* ---- lists and headings ---- */

static void indent(struct buf *out, unsigned level)
{
    for (unsigned i = 0; i < level; i++)
        buf_addz(out, "  ");
}

static void points(struct buf *out, const struct val *v, unsigned level);

static void point(struct buf *out, const struct val *v, const struct str *name, unsigned level)
{
    indent(out, level);
    buf_addz(out, "- ");
    if (name)
        buf_printf(out, "**%.*s**:", STR_ARG(*name));
    if (flat(v)) {
        buf_addz(out, name ? " " : "");
        scalar(out, v, false);
        buf_addc(out, '\n');
    } else if (level >= POINTS_MAX) {
        json_write(out, v, JSON_COMPACT);
        buf_addc(out, '\n');
    } else {
        buf_addc(out, '\n');
        points(out, v, level + 1);
    }
}

static void points(struct buf *out, const struct val *v, unsigned level)
{
    if (flat(v)) {
        point(out, v, NULL, level);
        return;
    }
    for (size_t i = 0; v->type == VAL_ARRAY && i < v->arr.n && !out->overflow; i++)
        point(out, &v->arr.v[i], NULL, level);
    for (size_t i = 0; v->type == VAL_OBJECT && i < v->obj.n && !out->overflow; i++)
        point(out, &v->obj.m[i].val, &v->obj.m[i].key, level);
}

static void section(struct buf *out, const struct val *v, unsigned level)
{
    struct arena scratch = {0};
    struct val_map columns = val_map_new(&scratch);
    if (v->type == VAL_ARRAY && is_table(v, &columns)) {
        table_of(out, v, &columns);
    } else if (v->type != VAL_OBJECT || level > HEADINGS_MAX) {
        points(out, v, 0);
    } else {
        for (size_t i = 0; i < v->obj.n; i++)
            if (flat(&v->obj.m[i].val))
                point(out, &v->obj.m[i].val, &v->obj.m[i].key, 0);
        for (size_t i = 0; i < v->obj.n && !out->overflow; i++) {
            const struct member *m = &v->obj.m[i];
            if (flat(&m->val))
                continue;
            buf_addz(out, out->n ? "\n" : "");
            for (unsigned k = 0; k <= level; k++)
                buf_addc(out, '#');
            buf_printf(out, " %.*s\n\n", STR_ARG(m->key));
            section(out, &m->val, level + 1);
        }
    }
    arena_done(&scratch);
}

void markdown_write(struct buf *out, const struct val *v)
{
    if (v->type == VAL_STR)
        buf_add(out, v->s);
    else
        section(out, v, 1);
}
