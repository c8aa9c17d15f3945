/* Places and messages: from what parsers count to what the author sees in an editor.
 *
 * The YAML reader says where a scalar begins; the expression parser counts inside the text that the scalar means. In
 * between lie an opening quote, the header line of a block scalar and its indentation, and folded lines. This file
 * bridges the gap: texts are handed to parsers with the place of their first character, and places that come back are
 * moved by the indentation of the block they are in. A place in a folded text is found by walking on over the lines
 * that were joined. Wrong places are a nuisance, never a fault: nothing here can fail. */
#include "data/expr.h"
#include "flow/compose.h"
#include "flow/habits.h"
#include "flow/load_int.h"

#include <stdio.h>

struct clip clip(struct str s)
{
    struct clip c;
    size_t n = s.n, max = sizeof c.z - sizeof "…";
    if (n > max) {
        n = str_utf8_valid(str_n(s.p, max));
        memcpy(c.z + n, "…", sizeof "…");
    } else {
        c.z[n] = 0;
    }
    for (size_t i = 0; i < n; i++)
        c.z[i] = (unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f ? ' ' : s.p[i];
    return c;
}

/* ---- places ---- */

enum {
    FOLDED_MAX = 1000, /* lines that a place is looked for on, in a text that is folded over them */
    MEASURED = 1024 /* lines whose length is kept, by the remainder of their numbers: those of one text do not meet */
};

static void places_init(struct places *p, struct arena *a, struct str text)
{
    uint32_t lines = 1;
    for (size_t i = 0; i < text.n; i++)
        lines += text.p[i] == '\n';
    uint32_t *start = arena_calloc(a, (size_t)lines + 2, sizeof *start), line = 1;
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] == '\n')
            start[++line] = (uint32_t)i + 1;
    *p = (struct places){.text = text,
                         .start = start,
                         .shift = arena_calloc(a, (size_t)lines + 2, sizeof *p->shift),
                         .lines = lines,
                         .measured = arena_calloc(a, MEASURED, sizeof *p->measured)};
}

void places_init_all(struct places *p, struct arena *a, const struct source *sources, size_t n)
{
    places_init(p, a, sources[0].text);
    p->more = arena_calloc(a, n, sizeof *p->more);
    p->nmore = n - 1;
    for (size_t i = 1; i < n; i++)
        places_init(&p->more[i - 1], a, sources[i].text);
}

/* The places of the file that the line is of. */
static struct places *of_file(struct places *p, uint32_t line)
{
    size_t i = PLACE_FILE(line);
    return i && i <= p->nmore ? &p->more[i - 1] : p;
}

/* The text of line `n` (from 1), without its end. */
static struct str line_text(const struct places *p, uint32_t n)
{
    if (n < 1 || n > p->lines)
        return STR("");
    size_t from = p->start[n], to = n == p->lines ? p->text.n : p->start[n + 1] - 1;
    if (to > from && p->text.p[to - 1] == '\r')
        to--;
    return str_n(p->text.p + from, to - from);
}

static size_t indent_of(struct str line)
{
    size_t n = 0;
    while (n < line.n && line.p[n] == ' ')
        n++;
    return n;
}

static size_t characters(struct str s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++)
        n += ((unsigned char)s.p[i] & 0xc0) != 0x80;
    return n;
}

static bool inside_character(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

/* The byte of line `n` that is its `col`-th character, or 0. Goes on from where it was the last time: a whole workflow
 * may stand in one line. */
static char char_at(struct places *p, uint32_t n, uint32_t col)
{
    struct str line = line_text(p, n);
    if (p->seen_line != n) {
        p->seen_line = n;
        p->seen_at = 0;
        p->seen_col = 1;
    }
    for (; p->seen_col < col && p->seen_at < line.n; p->seen_col++)
        do
            p->seen_at++;
        while (p->seen_at < line.n && inside_character(line.p[p->seen_at]));
    for (; p->seen_col > col && p->seen_at > 0; p->seen_col--)
        do
            p->seen_at--;
        while (p->seen_at > 0 && inside_character(line.p[p->seen_at]));
    return p->seen_at < line.n && p->seen_col == col ? line.p[p->seen_at] : 0;
}

static void place_block(struct places *p, struct val *v)
{
    uint32_t first = v->line + 1, n = first;
    struct str line = line_text(p, n);
    while (n < p->lines && str_trim(line).n == 0)
        line = line_text(p, ++n);
    size_t indent = indent_of(line);
    if (indent > UINT16_MAX)
        return;
    v->line = first;
    v->col = (uint32_t)indent + 1;
    for (size_t i = 0, at = first; i < v->s.n && at + 1 < p->lines; i++)
        if (v->s.p[i] == '\n')
            p->shift[++at] = (uint16_t)indent;
}

struct val places_content(struct places *p, struct arena *a, const struct val *v)
{
    struct val out = *v;
    if (v->type == VAL_ARRAY) {
        struct val_list l = val_list_new(a);
        for (size_t i = 0; i < v->arr.n; i++)
            val_list_push(&l, places_content(p, a, &v->arr.v[i]));
        out = val_list_done(&l);
    } else if (v->type == VAL_OBJECT) {
        struct val_map m = val_map_new(a);
        val_map_reserve(&m, v->obj.n);
        for (size_t i = 0; i < v->obj.n; i++) {
            const struct member *e = &v->obj.m[i];
            val_map_add(&m, e->key, places_content(p, a, &e->val), e->line, e->col);
        }
        out = val_map_done(&m);
    } else if (v->type == VAL_STR && v->line) {
        struct places *own = of_file(p, v->line);
        uint32_t file = v->line & ~PLACE_LINE(UINT32_MAX);
        out.line = PLACE_LINE(v->line);
        char c = char_at(own, out.line, v->col);
        if (c == '"' || c == '\'')
            out.col++;
        else if (c == '|' || c == '>')
            place_block(own, &out);
        out.line |= file;
        return out;
    }
    out.line = v->line;
    out.col = v->col;
    return out;
}

/* How long line `n` is. Counted once for all places in it, since it may be the whole file. */
static struct line_measure measure(struct places *p, uint32_t n)
{
    struct line_measure *m = &p->measured[n % MEASURED];
    if (m->line != n) {
        struct str line = line_text(p, n);
        *m = (struct line_measure){.line = n, .indent = (uint32_t)indent_of(line), .n = (uint32_t)characters(line)};
    }
    return *m;
}

static void fix(struct places *p, uint32_t *line, uint32_t *col)
{
    if (*line < 1 || *line > p->lines)
        return;
    *col += p->shift[*line];
    for (unsigned i = 0; i < FOLDED_MAX && *line < p->lines; i++) {
        uint32_t n = measure(p, *line).n;
        if (*col <= n + 1)
            return;
        *col -= n + 1;
        *col += measure(p, ++*line).indent;
    }
}

void places_fix(struct places *p, uint32_t *line, uint32_t *col)
{
    uint32_t file = *line & ~PLACE_LINE(UINT32_MAX), own = PLACE_LINE(*line);
    fix(of_file(p, *line), &own, col);
    *line = own | file;
}

bool places_comment(struct places *p, uint32_t line)
{
    struct str s = line_text(of_file(p, line), PLACE_LINE(line));
    return str_find(s, STR(": #")) != SIZE_MAX;
}

/* ---- messages ---- */

static bool read_number(const char **z, uint32_t *ret)
{
    const char *p = *z;
    uint64_t n = 0;
    while (*p >= '0' && *p <= '9' && n < UINT32_MAX)
        n = n * 10 + (uint64_t)(*p++ - '0');
    if (p == *z || *p != ':' || n == 0 || n > UINT32_MAX)
        return false;
    *z = p + 1;
    *ret = (uint32_t)n;
    return true;
}

void load_bad_err(struct loader *l, const struct val *v, const struct err *e)
{
    const char *z = e->msg;
    uint32_t line = v->line, col = v->col;
    if (read_number(&z, &line) && read_number(&z, &col) && *z == ' ') {
        z++;
        places_fix(&l->places, &line, &col);
    } else {
        z = e->msg;
        line = v->line;
        col = v->col;
    }
    problem_add(l->ps, false, line, col, "%s", z);
}

const char *load_hint(struct loader *l, const struct nearest *n, const char *rest)
{
    return nearest_hint(l->ps->a, n, rest);
}

static void add_names(struct loader *l, struct nearest *near, struct str *list, const struct step_key *table)
{
    for (const struct step_key *k = table; k && k->name; k++) {
        nearest_try(near, str_c(k->name));
        if (!k->alias_of && list->n < 300)
            *list = arena_printf(l->ps->a, "%.*s%s%s", STR_ARG(*list), list->n ? ", " : "", k->name);
    }
}

void load_unknown_key(struct loader *l, const struct member *m, const char *owner, const struct step_key *table,
                      const struct step_key *table2)
{
    struct nearest near = {.want = m->key};
    struct str list = STR(""), ignored = STR("");
    if (problems_full(l->ps, false)) {
        problem_add(l->ps, false, m->line, m->col, "unknown key `%s`", clip(m->key).z);
        return;
    }
    add_names(l, &near, &list, table);
    add_names(l, &near, &ignored, table2);
    const char *habit = habit_key(m->key, table, table2);
    if (habit)
        near.name = str_c(habit);
    const char *rest =
        list.n ? arena_printf(l->ps->a, "expected one of: %.*s", STR_ARG(list)).p : "it has no keys of its own";
    problem_add(l->ps, false, m->line, m->col, "unknown key `%s` of %s; %s", clip(m->key).z, owner,
                load_hint(l, &near, rest));
}

bool load_misspelt_key(struct loader *l, const struct member *m, struct str owner, const struct step_key *table)
{
    struct nearest near = {.want = m->key};
    for (const struct step_key *k = table; k->name; k++)
        nearest_try(&near, str_c(k->name));
    if (!near.name.n || near.distance > 1)
        return false;
    load_unknown_key(l, m, arena_printf(l->ps->a, "`%s`", clip(owner).z).p, table, NULL);
    return true;
}

bool load_unused_key(struct loader *l, const struct member *m, const struct unused_key *table)
{
    const struct unused_key *k = key_find_unused(table, m->key);
    if (!k)
        return false;
    static char mark;
    if (!map_put(&l->noticed, m->key, &mark))
        problem_add(l->ps, true, m->line, m->col, "`%s` has no effect%s%s", k->name, k->why[0] ? "; " : "", k->why);
    return true;
}
