/* Commands tell at once, and in words, what is wrong; a script wants the same as one object, and wants it also when the
 * command line itself was wrong. So what was told is kept here until the end. */
#include "cli/said.h"

#include "base/buf.h"
#include "cli/session.h"
#include "data/json.h"
#include "flow/away.h"
#include "flow/compose.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

enum { PLACES_MAX = 1000, JSON_MAX = 1 << 30, PEN_BYTES = 1 << 16, DEPTH_MAX = 256 };

static struct {
    struct arena arena;
    struct str message;
    struct {
        struct str file, text;
        uint32_t line, col;
        bool warning;
    } places[PLACES_MAX];
    size_t nplaces;
    bool output;
    int errno_of_write; /* the first that standard output had */
} said;

void said_error(const char *message)
{
    fprintf(stderr, "treadle: error: %s\n", message);
    if (!said.message.n)
        said.message = arena_str(&said.arena, str_c(message));
}

static void keep(struct str file, uint32_t line, uint32_t col, bool warning, struct str text)
{
    if (said.nplaces == PLACES_MAX)
        return;
    said.places[said.nplaces].file = arena_str(&said.arena, file);
    said.places[said.nplaces].text = arena_str(&said.arena, text);
    said.places[said.nplaces].line = line;
    said.places[said.nplaces].col = col;
    said.places[said.nplaces++].warning = warning;
}

void said_problems(struct str file, struct str text, const struct problems *ps)
{
    struct buf out;
    buf_init(&out, (size_t)4 << 20);
    problems_print(&out, file, text, ps);
    fwrite(out.p ? out.p : "", 1, out.n, stderr);
    buf_done(&out);
    for (size_t i = 0; i < ps->n; i++) {
        size_t n = PLACE_FILE(ps->v[i].line);
        keep(n && n < ps->nsources ? ps->sources[n].name : file, PLACE_LINE(ps->v[i].line), ps->v[i].col,
             ps->v[i].warning, ps->v[i].text);
    }
}

void said_problem(struct str file, uint32_t line, uint32_t col, bool warning, const char *text)
{
    fprintf(stderr, "%.*s:%u:%u: %s: %s\n", STR_ARG(file), line, col, warning ? "warning" : "error", text);
    keep(file, line, col, warning, str_c(text));
}

int said_unreadable(const char *file, const char *why)
{
    keep(str_c(file), 0, 0, false, str_c(why));
    return fail(EXIT_USAGE, "%s", why);
}

struct val said_places(struct arena *a, bool warnings)
{
    struct val_list l = val_list_new(a);
    for (size_t i = 0; i < said.nplaces; i++) {
        struct val_map m = val_map_new(a);
        if (said.places[i].warning && !warnings)
            continue;
        VAL_MAP_SET(&m, "file", val_str(said.places[i].file));
        if (said.places[i].line) {
            VAL_MAP_SET(&m, "line", val_int(said.places[i].line));
            VAL_MAP_SET(&m, "column", val_int(said.places[i].col));
        }
        VAL_MAP_SET(&m, "message", val_str(said.places[i].text));
        VAL_MAP_SET(&m, "severity", said.places[i].warning ? VAL_LIT("warning") : VAL_LIT("error"));
        val_list_push(&l, val_map_done(&m));
    }
    return val_list_done(&l);
}

static void remember_errno(void)
{
    if (!said.errno_of_write)
        said.errno_of_write = errno;
}

void said_write(struct str s)
{
    if (fwrite(s.n ? s.p : "", 1, s.n, stdout) != s.n)
        remember_errno();
}

int said_json(const struct val *v, int code)
{
    struct buf b;
    buf_init(&b, JSON_MAX);
    json_write(&b, v, JSON_PRETTY);
    buf_addc(&b, '\n');
    said.output = true;
    if (b.overflow)
        code = fail(EXIT_ENVIRONMENT, "cannot write the result: it is larger than 1 GB");
    else
        said_write(buf_str(&b));
    buf_done(&b);
    return code;
}

/* ---- objects that are larger than memory ---- */

struct pen {
    const struct away_reader *r;
    struct buf text;
    struct err *err;
    unsigned level; /* of indentation */
    unsigned depth; /* of values that were taken from the journal, one in the other */
    size_t n;       /* items written in the list at hand */
    enum rc rc;
};

static void flush(struct pen *p)
{
    said_write(buf_str(&p->text));
    buf_clear(&p->text);
}

/* Not copied when it is long. */
static void add(struct pen *p, struct str s)
{
    if (s.n > PEN_BYTES) {
        flush(p);
        said_write(s);
    } else {
        buf_add(&p->text, s);
    }
}

static void new_line(struct pen *p)
{
    buf_addc(&p->text, '\n');
    for (unsigned i = 0; i < p->level; i++)
        buf_add(&p->text, STR("  "));
}

/* No line of JSON breaks but between tokens. */
static void put_whole(struct pen *p, const struct val *v)
{
    struct buf b;
    buf_init(&b, JSON_MAX);
    json_write(&b, v, JSON_PRETTY);
    p->rc = b.overflow ? err_set(p->err, RC_LIMIT, "a part of them is larger than 1 GB") : RC_OK;
    struct str rest = buf_str(&b);
    for (size_t end; (end = str_find(rest, STR("\n"))) != SIZE_MAX; rest = str_from(rest, end + 1)) {
        add(p, str_n(rest.p, end));
        new_line(p);
    }
    add(p, rest);
    buf_done(&b);
    if (p->text.n > PEN_BYTES)
        flush(p);
}

static void put(struct pen *p, const struct val *v);

static bool put_item(void *ctx, const struct val *v)
{
    struct pen *p = ctx;
    if (p->n++)
        buf_addc(&p->text, ',');
    new_line(p);
    size_t n = p->n; /* of this list; there may be others in the item */
    put(p, v);
    p->n = n;
    return p->rc == RC_OK;
}

/* A journal that somebody else made may have a list in itself. */
static bool too_deep(struct pen *p)
{
    if (p->depth < DEPTH_MAX)
        return false;
    p->rc = err_set(p->err, RC_CORRUPT, "results inside one another without end");
    return true;
}

static void put_away(struct pen *p, const struct val *v)
{
    struct arena a = {0};
    struct val taken;
    int64_t count;
    struct str of, member;
    if (too_deep(p))
        return;
    p->depth++;
    if (!away_of_result(v->s, &of, &member) && away_of_iterations(v->s, &count) && count) {
        p->n = 0;
        p->level++;
        buf_addc(&p->text, '[');
        enum rc rc = away_each(p->r, v->s, put_item, p, p->err);
        p->rc = rc ? rc : p->rc;
        p->level--;
        new_line(p);
        buf_addc(&p->text, ']');
    } else if ((p->rc = away_take(p->r, v, &a, &taken, p->err)) == RC_OK) {
        put(p, &taken);
    }
    p->depth--;
    arena_done(&a);
}

/* Recurses where something is away: as deep as workflows are nested. */
static void put(struct pen *p, const struct val *v)
{
    if (!v->away || v->type == VAL_NULL) {
        (v->away ? put_away : put_whole)(p, v);
        return;
    }
    bool list = v->type == VAL_ARRAY;
    size_t n = list ? v->arr.n : v->obj.n;
    buf_addc(&p->text, list ? '[' : '{');
    p->level++;
    for (size_t i = 0; i < n && !p->rc; i++) {
        if (i)
            buf_addc(&p->text, ',');
        new_line(p);
        if (!list) {
            json_write_str(&p->text, v->obj.m[i].key);
            buf_add(&p->text, STR(": "));
        }
        put(p, list ? &v->arr.v[i] : &v->obj.m[i].val);
    }
    p->level--;
    new_line(p);
    buf_addc(&p->text, list ? ']' : '}');
}

int said_json_from(const struct val *v, const struct away_reader *r, int code)
{
    struct err err;
    struct pen p = {.r = r, .err = &err};
    buf_init(&p.text, JSON_MAX);
    said.output = true;
    put(&p, v);
    buf_addc(&p.text, '\n');
    said_write(buf_str(&p.text));
    if (p.rc || p.text.overflow)
        code = fail(EXIT_ENVIRONMENT, "the results cannot be read back from the journal: %s",
                    p.rc ? err.msg : "a part of them is larger than 1 GB");
    buf_done(&p.text);
    return code;
}

/* After an error within a longer output the last write may go well; then nothing says any more what it was, but a pipe
 * without readers can be told. */
static bool reader_gone(int error)
{
    struct pollfd p = {.fd = STDOUT_FILENO, .events = POLLOUT};
    return error == EPIPE || (!error && poll(&p, 1, 0) == 1 && (p.revents & (POLLERR | POLLHUP)));
}

bool said_flush(void)
{
    bool failed = ferror(stdout);
    if (fflush(stdout) != 0)
        remember_errno();
    return !failed && !ferror(stdout);
}

int said_whole(int code)
{
    if (said_flush())
        return code;
    int error = said.errno_of_write;
    if (reader_gone(error))
        return code;
    return fail(EXIT_ENVIRONMENT, "cannot write the result to standard output%s%s", error ? ": " : "",
                error ? strerror(error) : "");
}

void said_output(void)
{
    said.output = true;
}

struct val said_failure(struct arena *a, int code)
{
    struct val_map e = val_map_new(a);
    struct val places = said_places(a, false);
    struct str message = said.message;
    bool mistakes = false;
    for (size_t i = 0; i < said.nplaces; i++)
        mistakes |= said.places[i].line && !said.places[i].warning;
    if (!message.n && places.arr.n)
        message = val_get_str(&places.arr.v[0], STR("message"), STR(""));
    if (!message.n)
        message = STR("the command failed; standard error says why");
    VAL_MAP_SET(&e, "class",
                code != EXIT_USAGE ? VAL_LIT("environment")
                : mistakes         ? VAL_LIT("invalid")
                                   : VAL_LIT("usage"));
    VAL_MAP_SET(&e, "message", val_str(message));
    if (mistakes)
        VAL_MAP_SET(&e, "places", places);
    return val_map_done(&e);
}

void said_end(int code)
{
    if (code == EXIT_OK || said.output)
        return;
    struct arena a = {0};
    struct val_map m = val_map_new(&a);
    VAL_MAP_SET(&m, "error", said_failure(&a, code));
    struct val v = val_map_done(&m);
    (void)said_json(&v, code);
    arena_done(&a);
}
