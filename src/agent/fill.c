/* One pass from left to right; a condition's texts are passed over once, written or not. A condition whose name has no
 * value is still followed to its end, so that its {endif} does not end another one. A line that holds nothing but a
 * mark of a condition leaves no empty line behind. */
#include "agent/fill.h"

#include "base/buf.h"

enum { DEPTH_MAX = 20 };

struct filler {
    const struct fill *f;
    struct str text;
    size_t pos;
    struct buf out;
    struct err *err;
};

enum stop { STOP_END, STOP_ELSE, STOP_ENDIF };
struct test {
    struct str name, want;
    enum { TEST_TRUE, TEST_EQUAL, TEST_OTHER } kind;
};

size_t fill_name_length(struct str s)
{
    size_t n = 0;
    while (n < s.n &&
           (s.p[n] == '_' || ((s.p[n] | 32) >= 'a' && (s.p[n] | 32) <= 'z') || (n && s.p[n] >= '0' && s.p[n] <= '9')))
        n++;
    return n;
}

static struct fill_value *value_of(const struct fill *f, struct str name)
{
    for (size_t i = 0; i < f->nown; i++)
        if (str_eq(f->own[i].name, name))
            return &f->own[i];
    for (size_t i = 0; i < f->nshared; i++)
        if (str_eq(f->shared[i].name, name))
            return &f->shared[i];
    return NULL;
}

static unsigned line_of(const struct filler *x, size_t pos)
{
    unsigned line = 1;
    for (size_t i = 0; i < pos; i++)
        line += x->text.p[i] == '\n';
    return line;
}

static void skip_space(struct str *s)
{
    while (s->n && (s->p[0] == ' ' || s->p[0] == '\t'))
        *s = str_from(*s, 1);
}

/* `{if NAME}`, `{if NAME == "x"}`, `{if NAME != 'x'}`: its bytes, or 0. */
static size_t read_if(struct str at, struct test *t)
{
    struct str s = at;
    if (!str_starts(s, STR("{if ")))
        return 0;
    s = str_from(s, 4);
    skip_space(&s);
    t->name = str_n(s.p, fill_name_length(s));
    t->kind = TEST_TRUE;
    s = str_from(s, t->name.n);
    skip_space(&s);
    if (str_starts(s, STR("==")) || str_starts(s, STR("!="))) {
        t->kind = s.p[0] == '=' ? TEST_EQUAL : TEST_OTHER;
        s = str_from(s, 2);
        skip_space(&s);
        char quote = s.n ? s.p[0] : 0;
        if (quote != '"' && quote != '\'')
            return 0;
        s = str_from(s, 1);
        size_t n = 0;
        while (n < s.n && s.p[n] != quote && s.p[n] != '\n')
            n++;
        if (n == s.n || s.p[n] != quote)
            return 0;
        t->want = str_n(s.p, n);
        s = str_from(s, n + 1);
        skip_space(&s);
    }
    return t->name.n && s.n && s.p[0] == '}' ? (size_t)(s.p + 1 - at.p) : 0;
}

static bool holds(const struct test *t, const struct fill_value *v)
{
    struct str text = v ? v->text : STR("");
    if (t->kind == TEST_TRUE)
        return text.n && !str_is(text, "false") && !str_is(text, "0");
    return str_eq(text, t->want) == (t->kind == TEST_EQUAL);
}

static void put(struct filler *x, struct str s, bool on)
{
    if (on)
        buf_add(&x->out, s);
}

/* Passes over a mark of `n` bytes, and over the end of its line when it stands alone in it. */
static void pass_mark(struct filler *x, size_t n)
{
    size_t from = x->pos, to = x->pos + n;
    while (from && (x->text.p[from - 1] == ' ' || x->text.p[from - 1] == '\t'))
        from--;
    while (to < x->text.n && (x->text.p[to] == ' ' || x->text.p[to] == '\t' || x->text.p[to] == '\r'))
        to++;
    x->pos += n;
    if ((from == 0 || x->text.p[from - 1] == '\n') && to < x->text.n && x->text.p[to] == '\n')
        x->pos = to + 1;
}

static enum rc pass(struct filler *x, bool on, unsigned depth, enum stop *stop);

/* A condition that is none of ours: as written, with its places filled. */
static enum rc pass_foreign(struct filler *x, size_t n, bool on, unsigned depth)
{
    enum stop stop;
    put(x, str_n(x->text.p + x->pos, n), on);
    x->pos += n;
    for (;;) {
        enum rc rc = pass(x, on, depth + 1, &stop);
        if (rc != RC_OK || stop == STOP_END)
            return rc;
        struct str mark = stop == STOP_ELSE ? STR("{else}") : STR("{endif}");
        put(x, mark, on);
        x->pos += mark.n;
        if (stop == STOP_ENDIF)
            return RC_OK;
    }
}

static enum rc pass_if(struct filler *x, size_t n, const struct test *t, bool on, unsigned depth)
{
    struct fill_value *v = value_of(x->f, t->name);
    size_t start = x->pos;
    enum stop stop;
    if (depth >= DEPTH_MAX)
        return err_set(x->err, RC_INVALID, "line %u: more than %d conditions inside one another; expected fewer",
                       line_of(x, start), DEPTH_MAX);
    if (!v && !x->f->closed)
        return pass_foreign(x, n, on, depth);
    bool yes = holds(t, v);
    pass_mark(x, n);
    enum rc rc = pass(x, on && yes, depth + 1, &stop);
    if (rc == RC_OK && stop == STOP_ELSE) {
        pass_mark(x, STR("{else}").n);
        rc = pass(x, on && !yes, depth + 1, &stop);
    }
    if (rc == RC_OK && stop != STOP_ENDIF)
        rc = err_set(x->err, RC_INVALID, "line %u: this {if …} is never closed; expected {endif}", line_of(x, start));
    if (rc == RC_OK)
        pass_mark(x, STR("{endif}").n);
    return rc;
}

/* Bytes of `{NAME}` at `at`, when it has a value; a doubled brace is none. */
static size_t read_place(const struct filler *x, size_t at, struct fill_value **ret)
{
    struct str s = str_from(x->text, at + 1);
    size_t n = fill_name_length(s);
    if (!n || n == s.n || s.p[n] != '}')
        return 0;
    if (at && x->text.p[at - 1] == '{' && n + 1 < s.n && s.p[n + 1] == '}')
        return 0;
    *ret = value_of(x->f, str_n(s.p, n));
    return *ret ? n + 2 : 0;
}

/* Up to the end, or to an {else} or {endif} of the condition around, which is left to the caller. */
static enum rc pass(struct filler *x, bool on, unsigned depth, enum stop *stop)
{
    *stop = STOP_END;
    while (x->pos < x->text.n && !x->out.overflow) {
        struct str rest = str_from(x->text, x->pos);
        const char *brace = memchr(rest.p, '{', rest.n);
        size_t before = brace ? (size_t)(brace - rest.p) : rest.n, n;
        struct fill_value *v;
        struct test t = {0};
        struct str at = str_from(rest, before);
        bool ends = depth && (str_starts(at, STR("{endif}")) || str_starts(at, STR("{else}")));
        size_t mark = ends ? 0 : read_if(at, &t);
        size_t kept = before;
        put(x, str_n(rest.p, kept), on);
        x->pos += before;
        if (ends) {
            *stop = str_starts(at, STR("{else}")) ? STOP_ELSE : STOP_ENDIF;
            return RC_OK;
        }
        if (mark) {
            enum rc rc = pass_if(x, mark, &t, on, depth);
            if (rc != RC_OK)
                return rc;
        } else if (brace && (n = read_place(x, x->pos, &v)) > 0) {
            put(x, v->text, on);
            v->used = v->used || on;
            x->pos += n;
        } else if (brace) {
            put(x, STR("{"), on);
            x->pos++;
        }
    }
    return RC_OK;
}

enum rc fill_text(struct arena *a, struct str text, const struct fill *f, struct str *ret, struct err *err)
{
    struct filler x = {.f = f, .text = text, .err = err};
    enum stop stop;
    buf_init(&x.out, f->max);
    enum rc rc = pass(&x, true, 0, &stop);
    if (rc == RC_OK && x.out.overflow)
        rc = err_set(err, RC_LIMIT, "with its places filled it is larger than %zu bytes", f->max);
    if (rc == RC_OK)
        *ret = arena_str(a, buf_str(&x.out));
    buf_done(&x.out);
    return rc;
}
