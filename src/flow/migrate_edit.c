/* Edits of a YAML text by the places that its values came from.
 *
 * No library keeps comments and layout when it writes YAML, so the text is patched: keys and scalars where they stand,
 * whole lines where a block moves. Where these simple views of YAML are wrong (an alias, an escaped key), the result is
 * no longer the tree that was meant, and migrate_text() says so instead of writing it. */
#include "flow/migrate_int.h"

#include <stdlib.h>

void edits_init(struct migration *g, struct arena *a, struct str text)
{
    uint32_t lines = 1;
    for (size_t i = 0; i < text.n; i++)
        lines += text.p[i] == '\n';
    *g = (struct migration){.a = a, .text = text, .lines = lines};
    g->start = arena_calloc(a, (size_t)lines + 3, sizeof *g->start);
    uint32_t line = 1;
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] == '\n')
            g->start[++line] = i + 1;
    g->start[lines + 1] = g->start[lines + 2] = text.n;
}

size_t edit_offset(const struct migration *g, uint32_t line, uint32_t col)
{
    if (!line || line > g->lines)
        return g->text.n;
    size_t at = g->start[line], end = g->start[line + 1];
    while (col > 1 && at < end) {
        do
            at++;
        while (at < end && ((unsigned char)g->text.p[at] & 0xc0) == 0x80);
        col--;
    }
    return at;
}

void edit_replace(struct migration *g, size_t from, size_t to, struct str with)
{
    if (g->n == g->cap) {
        g->cap = g->cap ? 2 * g->cap : 64;
        struct edit *more = arena_calloc(g->a, g->cap, sizeof *more);
        if (g->n)
            memcpy(more, g->edits, g->n * sizeof *more);
        g->edits = more;
    }
    g->edits[g->n] = (struct edit){from, to, with, g->n};
    g->n++;
}

void edit_key(struct migration *g, const struct member *m, const char *name)
{
    size_t at = edit_offset(g, m->line, m->col);
    if (at < g->text.n && (g->text.p[at] == '"' || g->text.p[at] == '\''))
        at++;
    if (at + m->key.n <= g->text.n && str_eq(str_n(g->text.p + at, m->key.n), m->key))
        edit_replace(g, at, at + m->key.n, arena_str(g->a, str_c(name)));
    g->changes++;
}

size_t edit_scalar_end(const struct migration *g, size_t from)
{
    const char *p = g->text.p;
    size_t at = from, n = g->text.n;
    if (at < n && (p[at] == '"' || p[at] == '\'')) {
        char quote = p[at++];
        while (at < n && p[at] != quote && p[at] != '\n')
            at += p[at] == '\\' && quote == '"' && at + 1 < n ? 2 : 1;
        return at < n ? at + 1 : n;
    }
    while (at < n && p[at] != '\n' && !(p[at] == '#' && at > from && p[at - 1] == ' '))
        at++;
    while (at > from && (p[at - 1] == ' ' || p[at - 1] == '\r' || p[at - 1] == '\t'))
        at--;
    return at;
}

size_t edit_value_end(const struct migration *g, size_t from)
{
    const char *p = g->text.p;
    size_t depth = 0, at = from;
    while (at < g->text.n) {
        char c = p[at];
        if ((c == '"' || c == '\'') && (at == from || strchr(" ,[{:", p[at - 1]))) {
            at = edit_scalar_end(g, at);
            continue;
        }
        if (!depth && (c == ',' || c == '}' || c == ']'))
            break;
        depth += c == '{' || c == '[';
        depth -= c == '}' || c == ']';
        at++;
        if (!depth && (c == '}' || c == ']') && (p[from] == '{' || p[from] == '['))
            return at;
    }
    while (at > from && strchr(" \n\r\t", p[at - 1]))
        at--;
    return at;
}

void edit_scalar(struct migration *g, const struct val *v, struct str with)
{
    size_t from = edit_offset(g, v->line, v->col), to = edit_scalar_end(g, from), flow = edit_value_end(g, from);
    edit_replace(g, from, flow < to ? flow : to, with);
}

bool edit_is_flow(const struct migration *g, const struct val *container)
{
    size_t at = edit_offset(g, container->line, container->col);
    return at < g->text.n && (g->text.p[at] == '{' || g->text.p[at] == '[');
}

size_t edit_indent(const struct migration *g, uint32_t line, bool *blank)
{
    size_t at = g->start[line], end = g->start[line + 1], n = 0;
    while (at + n < end && g->text.p[at + n] == ' ')
        n++;
    *blank = at + n >= end || g->text.p[at + n] == '\n' || g->text.p[at + n] == '\r';
    return n;
}

uint32_t edit_block_end(const struct migration *g, uint32_t line, uint32_t col, bool list)
{
    uint32_t n = line + 1, last = line + 1;
    for (; n <= g->lines; n++) {
        bool blank;
        size_t indent = edit_indent(g, n, &blank), at = g->start[n] + indent;
        if (blank)
            continue;
        bool item = list && indent + 1 == col && at + 1 < g->text.n && g->text.p[at] == '-' && g->text.p[at + 1] == ' ';
        if (indent < col && !item)
            break;
        last = n + 1;
    }
    return last;
}

void edit_shift(struct migration *g, uint32_t from, uint32_t to, size_t spaces)
{
    char *z = arena_alloc(g->a, spaces + 1);
    memset(z, ' ', spaces);
    for (uint32_t n = from; n < to && n <= g->lines; n++)
        if (g->start[n + 1] > g->start[n] && g->text.p[g->start[n]] != '\n' && g->text.p[g->start[n]] != '\r')
            edit_replace(g, g->start[n], g->start[n], str_n(z, spaces));
}

static int by_place(const void *a, const void *b)
{
    const struct edit *x = a, *y = b;
    bool x_adds = x->to == x->from, y_adds = y->to == y->from;
    if (x->from != y->from)
        return x->from < y->from ? -1 : 1;
    if (x_adds != y_adds)
        return x_adds ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

struct str edits_apply(struct migration *g)
{
    size_t grown = g->text.n, n = 0, at = 0;
    if (g->n)
        qsort(g->edits, g->n, sizeof *g->edits, by_place);
    for (size_t i = 0; i < g->n; i++)
        grown += g->edits[i].with.n;
    char *out = arena_alloc(g->a, grown + 1);
    for (size_t i = 0; i < g->n; i++) {
        const struct edit *e = &g->edits[i];
        if (e->from < at) /* inside of what was replaced, or met again through an alias */
            continue;
        memcpy(out + n, g->text.p + at, e->from - at);
        n += e->from - at;
        if (e->with.n)
            memcpy(out + n, e->with.p, e->with.n);
        n += e->with.n;
        at = e->to;
    }
    memcpy(out + n, g->text.p + at, g->text.n - at);
    return str_n(out, n + g->text.n - at);
}
