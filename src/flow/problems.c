/* Problems of one load: collected, ordered by place, and shown with the line they are about.
 *
 * Authors get all of them at once, so a file is corrected in one go. The number kept is bounded: a hostile file must
 * not turn a megabyte of nonsense into gigabytes of advice. What is not kept is still counted, so a file with problems
 * can never pass as one without. Text in messages comes partly from outside; control characters never reach a terminal.
 */
#include "base/buf.h"
#include "base/panic.h"
#include "flow/compose.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { TEXT_MAX = 900, SHOW_MAX = 110 };

/* Is there no room for another? Errors and warnings have room of their own, so neither hides the other. */
bool problems_full(const struct problems *p, bool warning)
{
    size_t errors = p->errors < PROBLEMS_ERRORS_MAX ? p->errors : PROBLEMS_ERRORS_MAX;
    return warning ? p->n - errors >= PROBLEMS_WARNINGS_MAX : p->errors >= PROBLEMS_ERRORS_MAX;
}

void problem_add(struct problems *p, bool warning, uint32_t line, uint32_t col, const char *fmt, ...)
{
    bool full = problems_full(p, warning);
    if (full) {
        p->errors += !warning;
        return;
    }
    if (p->n == p->cap) {
        size_t cap = p->cap ? 2 * p->cap : 16;
        struct problem *v = arena_calloc(p->a, cap, sizeof *v);
        if (p->n)
            memcpy(v, p->v, p->n * sizeof *v);
        p->v = v;
        p->cap = cap;
    }
    char z[TEXT_MAX];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(z, sizeof z, fmt, args);
    va_end(args);
    CHECK(n >= 0);
    struct str text = {z, (size_t)n < sizeof z ? (size_t)n : sizeof z - 1};
    text.n = str_utf8_valid(text);
    p->v[p->n++] = (struct problem){line, col, arena_str(p->a, text), warning};
    p->errors += !warning;
}

static bool same(const struct problem *a, const struct problem *b)
{
    return a->line == b->line && a->col == b->col && a->warning == b->warning && str_eq(a->text, b->text);
}

void problems_drop(struct problems *p, const struct problems *told)
{
    size_t n = 0;
    for (size_t i = 0; i < p->n; i++) {
        bool again = false;
        for (size_t k = 0; k < told->n && !again; k++)
            again = same(&p->v[i], &told->v[k]);
        if (again)
            p->errors -= !p->v[i].warning;
        else
            p->v[n++] = p->v[i];
    }
    p->n = n;
}

/* What stands once in the file may have been read for several steps, such as the tasks of a group. */
static void drop_repeated(struct problems *p)
{
    size_t n = 0;
    for (size_t i = 0; i < p->n; i++) {
        const struct problem *x = &p->v[i];
        bool again = false;
        for (size_t k = n; k-- > 0 && p->v[k].line == x->line && p->v[k].col == x->col && !again;)
            again = same(&p->v[k], x);
        if (again)
            p->errors -= !x->warning;
        else
            p->v[n++] = *x;
    }
    p->n = n;
}

void problems_sort(struct problems *p)
{
    for (size_t i = 1; i < p->n; i++) { /* they come nearly sorted, and are few */
        struct problem x = p->v[i];
        size_t k = i;
        for (; k > 0 && (p->v[k - 1].line > x.line || (p->v[k - 1].line == x.line && p->v[k - 1].col > x.col)); k--)
            p->v[k] = p->v[k - 1];
        p->v[k] = x;
    }
    drop_repeated(p);
}

static bool control(char c)
{
    return (unsigned char)c < 0x20 || c == 0x7f;
}

static void add_shown(struct buf *out, struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        buf_addc(out, control(s.p[i]) ? '?' : s.p[i]);
}

/* The line `want` (from 1) of the text, searched from where the last search ended. */
struct cursor {
    struct str rest;
    uint32_t line;
};
static bool line_at(struct cursor *c, uint32_t want, struct str *ret)
{
    for (;;) {
        size_t n = str_find(c->rest, STR("\n"));
        if (c->line == want) {
            *ret = str_n(c->rest.p, n == SIZE_MAX ? c->rest.n : n);
            if (ret->n && ret->p[ret->n - 1] == '\r')
                ret->n--;
            return true;
        }
        if (n == SIZE_MAX || c->line > want)
            return false;
        c->rest = str_from(c->rest, n + 1);
        c->line++;
    }
}

static bool continuation(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

/* The line with a caret below its column `col` (bytes, from 1); a long line is cut to the part around it. */
static void show_line(struct buf *out, struct str line, uint32_t col)
{
    size_t at = col ? col - 1 : 0, from = 0;
    if (at > line.n)
        at = line.n;
    if (line.n > SHOW_MAX && at > SHOW_MAX / 2)
        from = at - SHOW_MAX / 2;
    while (from > 0 && from < line.n && continuation(line.p[from]))
        from--;
    struct str shown = str_from(line, from);
    const char *tail = "";
    if (shown.n > SHOW_MAX) {
        shown.n = SHOW_MAX;
        tail = "...";
    }
    shown.n = str_utf8_valid(shown);
    buf_addz(out, from ? "    ..." : "    ");
    for (size_t i = 0; i < shown.n; i++)
        buf_addc(out, shown.p[i] == '\t' ? ' ' : control(shown.p[i]) ? '?' : shown.p[i]);
    buf_addz(out, tail);
    buf_addz(out, from ? "\n       " : "\n    ");
    for (size_t i = from; i < at; i++)
        if (i >= line.n || !continuation(line.p[i]))
            buf_addc(out, ' ');
    buf_addz(out, "^\n");
}

void problems_print(struct buf *out, struct str file, struct str text, const struct problems *p)
{
    const struct source given = {file, text}, *src = p->nsources ? p->sources : &given;
    size_t nsrc = p->nsources ? p->nsources : 1, seen = 0;
    struct cursor c = {src[0].text, 1};
    size_t warnings = 0, shown_errors = 0;
    for (size_t i = 0; i < p->n; i++) {
        const struct problem *x = &p->v[i];
        size_t n = PLACE_FILE(x->line) < nsrc ? PLACE_FILE(x->line) : 0;
        uint32_t at = PLACE_LINE(x->line);
        add_shown(out, n ? src[n].name : file);
        if (at)
            buf_printf(out, ":%u:%u", at, x->col);
        buf_printf(out, ": %s: ", x->warning ? "warning" : "error");
        add_shown(out, x->text);
        buf_addc(out, '\n');
        if (x->warning)
            warnings++;
        else
            shown_errors++;
        if (n != seen || c.line > at)
            c = (struct cursor){src[n].text, 1};
        seen = n;
        struct str line;
        if (at && line_at(&c, at, &line))
            show_line(out, line, x->col);
    }
    if (p->errors > shown_errors)
        buf_printf(out, "… and %zu more errors\n", p->errors - shown_errors);
    if (!p->n && !p->errors)
        return;
    add_shown(out, file);
    buf_printf(out, ": %zu error%s", p->errors, p->errors == 1 ? "" : "s");
    if (warnings)
        buf_printf(out, ", %zu warning%s", warnings, warnings == 1 ? "" : "s");
    buf_addc(out, '\n');
}
