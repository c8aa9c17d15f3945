/* Templates are expressions in disguise: text with holes becomes one N_TEXT node, a lone hole its expression itself.
 *
 * The end of a hole is found by parsing what is in it, never by searching for `}}`, so that literals may contain
 * braces. Two inherited spellings are understood beside expressions: `{{#if x}} … {{else}} … {{/if}}`, where an unknown
 * or missing x is false, and `{{file:PATH}}`, whose PATH may have holes of its own; it becomes the path `file:` · PATH,
 * and the caller's scope decides what that means.
 *
 * A template without holes is a constant: evaluating it allocates nothing. In a tree, so is every subtree without
 * holes; such parts are borrowed from the value the tree was made of, which must live as long. */
#include "data/template.h"

#include "data/expr_int.h"

#include <stdio.h>

enum {
    TEXT_MAX = 16 << 20,
    PARTS_MAX = 20000,
    BLOCK_MAX = 20, /* {{#if}} inside {{#if}} */
    TREE_MAX = 200, /* levels of a value tree */
};

struct tmpl {
    const struct expr *e; /* NULL: constant */
    struct val constant;
};

/* ---- parsing ---- */

struct parts {
    const struct expr **v;
    size_t n, cap;
    size_t holes;
    bool block; /* an {{#if}} is among them */
};

static enum rc parts_push(struct lexer *l, struct parts *p, const struct expr *e)
{
    if (p->n == PARTS_MAX)
        return lex_fail(l, l->line, lex_col(l), "a template may have at most %d parts", PARTS_MAX);
    if (p->n == p->cap) {
        size_t cap = p->cap ? p->cap * 2 : 4;
        const struct expr **v = arena_calloc(l->a, cap, sizeof *v);
        if (p->n)
            memcpy(v, p->v, p->n * sizeof *v);
        p->v = v;
        p->cap = cap;
    }
    p->v[p->n++] = e;
    return RC_OK;
}

static enum rc push_text(struct lexer *l, struct parts *p, struct str s)
{
    if (s.n == 0)
        return RC_OK;
    struct expr *n = expr_node(l, N_CONST);
    n->val = val_str(s);
    return parts_push(l, p, n);
}

static enum rc join_parts(struct lexer *l, const struct lexer *start, const struct parts *p, const struct expr **ret)
{
    struct expr *n = expr_node(l, N_TEXT);
    n->line = start->known ? start->line : 0;
    n->col = lex_col(start);
    n->src = str_n(start->text.p + start->pos, l->pos - start->pos);
    n->list = p->v;
    n->n = p->n;
    *ret = n;
    for (size_t i = 0; i < p->n; i++)
        if (!expr_raise(n, p->v[i]))
            return lex_fail(l, start->line, lex_col(start), "the template is nested too deeply");
    return RC_OK;
}

static struct str rest_of(const struct lexer *l)
{
    return str_from(l->text, l->pos);
}
static bool at_word(const struct lexer *l, const char *z)
{
    struct str rest = rest_of(l), word = str_c(z);
    return str_starts(rest, word) && (rest.n == word.n || !lex_name_char(rest.p[word.n]));
}
static void skip_space(struct lexer *l)
{
    while (l->pos < l->text.n && (l->text.p[l->pos] == ' ' || (l->text.p[l->pos] >= '\t' && l->text.p[l->pos] <= '\r')))
        lex_skip(l, 1);
}

static enum rc unclosed(const struct lexer *at)
{
    return lex_fail(at, at->line, lex_col(at), "this {{ is never closed; expected }} (a literal {{ is written {{{{)");
}

/* `{{file:` was read. */
static enum rc parse_file(struct lexer *l, const struct lexer *open, const struct expr **ret)
{
    struct parts p = {0};
    const struct expr *e;
    skip_space(l);
    struct lexer start = *l;
    size_t from = l->pos;
    for (; !str_starts(rest_of(l), STR("}}")); lex_skip(l, 1)) {
        if (l->pos >= l->text.n)
            return unclosed(open);
        if (!str_starts(rest_of(l), STR("{{")))
            continue;
        TRY(push_text(l, &p, str_n(l->text.p + from, l->pos - from)));
        lex_skip(l, 2);
        TRY(expr_parse_hole(l, &e));
        TRY(parts_push(l, &p, e));
        p.holes++;
        from = l->pos;
        if (l->pos >= l->text.n || str_starts(rest_of(l), STR("}}")))
            break;
        l->pos--; /* the loop's step; what was before is no line end, it is a brace */
    }
    if (!str_starts(rest_of(l), STR("}}")))
        return unclosed(open);
    struct str tail = str_n(l->text.p + from, l->pos - from), path = str_trim(tail);
    if (p.holes == 0 && path.n == 0)
        return lex_fail(l, start.line, lex_col(&start), "expected the path of a file after file:");
    if (p.holes) {
        while (tail.n && (tail.p[tail.n - 1] == ' ' || tail.p[tail.n - 1] == '\n'))
            tail.n--;
        TRY(push_text(l, &p, tail));
        TRY(join_parts(l, &start, &p, &e));
    }
    struct lexer where = *open;
    *ret = expr_node_path(&where, STR("file:"), path, p.holes ? e : NULL);
    lex_skip(l, 2);
    return RC_OK;
}

enum stop { STOP_END, STOP_ELSE, STOP_IF, STOP_UNLESS };

static enum rc parse_parts(struct lexer *l, unsigned depth, struct parts *p, enum stop *stop);

/* `{{#` was read: the condition and both branches. */
static enum rc parse_if(struct lexer *l, const struct lexer *open, unsigned depth, const struct expr **ret)
{
    bool unless = at_word(l, "unless");
    enum stop stop;
    struct parts yes = {0}, no = {0};
    const struct expr *cond, *body;
    if (!unless && !at_word(l, "if"))
        return lex_fail(l, l->line, lex_col(l),
                        "unknown block; expected {{#if …}} or {{#unless …}} (lists are made "
                        "text with map() and join())");
    if (depth >= BLOCK_MAX)
        return lex_fail(l, l->line, lex_col(l), "more than %d blocks inside one another", BLOCK_MAX);
    lex_skip(l, unless ? 6 : 2);
    TRY(expr_parse_hole(l, &cond));
    struct lexer start = *l;
    TRY(parse_parts(l, depth + 1, &yes, &stop));
    TRY(join_parts(l, &start, &yes, &body));
    const struct expr *yes_text = body;
    start = *l;
    if (stop == STOP_ELSE)
        TRY(parse_parts(l, depth + 1, &no, &stop));
    if (stop != (unless ? STOP_UNLESS : STOP_IF))
        return lex_fail(l, open->line, lex_col(open), "this block is never closed; expected %s%s",
                        unless ? "{{/unless}}" : "{{/if}}",
                        stop == STOP_IF       ? ", found {{/if}}"
                        : stop == STOP_UNLESS ? ", found {{/unless}}"
                        : stop == STOP_ELSE   ? ", found a second {{else}}"
                                              : "");
    TRY(join_parts(l, &start, &no, &body));
    struct lexer where = *open;
    struct expr *soft = expr_node(&where, N_DEFAULT), *none = expr_node(&where, N_CONST),
                *n = expr_node(&where, N_COND);
    none->val = val_false;
    soft->src = cond->src;
    soft->a = cond;
    soft->b = none;
    n->a = soft;
    n->b = unless ? body : yes_text;
    n->c = unless ? yes_text : body;
    if (!expr_raise(soft, cond) || !expr_raise(n, soft) || !expr_raise(n, n->b) || !expr_raise(n, n->c))
        return lex_fail(l, open->line, lex_col(open), "the template is nested too deeply");
    *ret = n;
    return RC_OK;
}

/* `{{- x }}` and `{{~ x }}` trim white space elsewhere, and `{{{ x }}}` escapes nothing. */
static enum rc check_braces(const struct lexer *l, const struct lexer *open)
{
    struct str rest = rest_of(l);
    char mark = rest.p[0], next = rest.n > 1 ? rest.p[1] : 0;
    if ((mark == '-' && (next == ' ' || next == '\n' || next == '\t')) || mark == '~')
        return lex_fail(l, open->line, lex_col(open), "`{{%c` trims no white space here; write {{ x }}%s", mark,
                        mark == '-' ? ", or {{ -x }} for a negative" : "");
    size_t end = str_find(rest, STR("}}"));
    struct str name = mark == '{' && end != SIZE_MAX ? str_trim(str_n(rest.p + 1, end - 1)) : STR("");
    bool path = name.n > 0;
    for (size_t i = 0; i < name.n; i++)
        path = path && (lex_name_char(name.p[i]) || name.p[i] == '.');
    if (path)
        return lex_fail(l, open->line, lex_col(open), "a hole has two braces; write {{ %.*s }}",
                        (int)(name.n < 60 ? name.n : 60), name.p);
    return RC_OK;
}

/* What stands after `{{`: an end of a block (*stop), or a hole that is added to `p`. */
static enum rc parse_hole(struct lexer *l, unsigned depth, struct parts *p, enum stop *stop)
{
    struct lexer open = *l;
    const struct expr *e;
    lex_skip(l, 2);
    if (str_find(rest_of(l), STR("}}")) == SIZE_MAX)
        return unclosed(&open);
    struct lexer inside = *l;
    TRY(check_braces(l, &open));
    skip_space(l);
    bool end = str_starts(rest_of(l), STR("/"));
    if (end || (depth && at_word(l, "else"))) {
        lex_skip(l, end ? 1 : 4);
        bool known = !end || at_word(l, "if") || at_word(l, "unless"), unless = end && at_word(l, "unless");
        if (end && known)
            lex_skip(l, unless ? 6 : 2);
        skip_space(l);
        if (!end && (at_word(l, "if") || at_word(l, "unless")))
            return lex_fail(l, open.line, lex_col(&open),
                            "there is no {{else if}}; write another {{#if …}} … {{/if}} behind {{else}}, or "
                            "{{ a ? x : b ? y : z }}");
        if (!known || !depth || !str_starts(rest_of(l), STR("}}")))
            return lex_fail(l, open.line, lex_col(&open),
                            "this closes no block; expected an expression, or {{#if …}} "
                            "before {{else}} and {{/if}}");
        lex_skip(l, 2);
        *stop = !end ? STOP_ELSE : unless ? STOP_UNLESS : STOP_IF;
        return RC_OK;
    }
    if (str_starts(rest_of(l), STR("#"))) {
        lex_skip(l, 1);
        TRY(parse_if(l, &open, depth, &e));
        p->block = true;
    } else if (str_starts(rest_of(l), STR("file:"))) {
        lex_skip(l, 5);
        TRY(parse_file(l, &open, &e));
    } else {
        *l = inside;
        TRY(expr_parse_hole(l, &e));
    }
    p->holes++;
    return parts_push(l, p, e);
}

static enum rc parse_parts(struct lexer *l, unsigned depth, struct parts *p, enum stop *stop)
{
    *stop = STOP_END;
    while (l->pos < l->text.n && *stop == STOP_END) {
        struct str rest = rest_of(l);
        size_t at = str_find(rest, STR("{{"));
        if (at == SIZE_MAX) {
            TRY(push_text(l, p, rest));
            lex_skip(l, rest.n);
            break;
        }
        TRY(push_text(l, p, str_n(rest.p, at)));
        lex_skip(l, at);
        if (str_starts(rest_of(l), STR("{{{{"))) {
            TRY(push_text(l, p, str_n(l->text.p + l->pos, 2)));
            lex_skip(l, 4);
            continue;
        }
        TRY(parse_hole(l, depth, p, stop));
    }
    return RC_OK;
}

/* The text of parts that are all constant. */
static struct val constant_text(struct arena *a, const struct parts *p)
{
    size_t n = 0, at = 0;
    for (size_t i = 0; i < p->n; i++)
        n += p->v[i]->val.s.n;
    char *out = arena_alloc(a, n + 1);
    for (size_t i = 0; i < p->n; i++) {
        memcpy(out + at, p->v[i]->val.s.p, p->v[i]->val.s.n);
        at += p->v[i]->val.s.n;
    }
    return val_str(str_n(out, n));
}

/* The only part that is not white space, if that is a hole. */
static const struct expr *lone_hole(const struct parts *p)
{
    const struct expr *hole = NULL;
    if (p->holes != 1 || p->block)
        return NULL;
    for (size_t i = 0; i < p->n; i++) {
        bool text = p->v[i]->kind == N_CONST && p->v[i]->src.n == 0;
        if (!text)
            hole = p->v[i];
        else if (str_trim(p->v[i]->val.s).n)
            return NULL;
    }
    return hole;
}

enum rc tmpl_parse(struct arena *a, struct str text, uint32_t line, uint32_t col, const struct tmpl **ret,
                   struct err *err)
{
    struct lexer l = lex_start(a, text, line, col, err);
    struct tmpl *t = ARENA_NEW(a, struct tmpl);
    struct parts p = {0};
    enum stop stop;
    if (text.n > TEXT_MAX)
        return lex_fail(&l, l.line, l.col0, "a template may have at most %d MiB", TEXT_MAX >> 20);
    *ret = t;
    l.text = arena_str(a, l.text);
    t->constant = val_str(l.text);
    if (str_find(l.text, STR("{{")) == SIZE_MAX)
        return RC_OK;
    size_t valid = str_utf8_valid(l.text);
    if (valid < l.text.n) {
        lex_skip(&l, valid);
        return lex_fail(&l, l.line, lex_col(&l), "the text is not valid UTF-8");
    }
    struct lexer start = l;
    TRY(parse_parts(&l, 0, &p, &stop));
    if (p.holes == 0) {
        t->constant = constant_text(a, &p);
        return RC_OK;
    }
    t->e = lone_hole(&p);
    return t->e ? RC_OK : join_parts(&l, &start, &p, &t->e);
}

bool tmpl_is_constant(const struct tmpl *t)
{
    return t->e == NULL;
}

enum rc tmpl_eval(const struct tmpl *t, struct expr_scope *scope, struct arena *a, struct val *ret, struct err *err)
{
    if (t->e)
        return expr_eval(t->e, scope, a, ret, err);
    *ret = t->constant;
    return RC_OK;
}

enum rc tmpl_each_path(const struct tmpl *t,
                       enum rc (*cb)(void *ctx, const struct expr_path *path, bool soft, struct err *err), void *ctx,
                       struct err *err)
{
    return t->e ? expr_each_path(t->e, cb, ctx, err) : RC_OK;
}

/* ---- text for a shell ---- */

/* Calls that yield no text of their arguments. */
static const char *const plain_calls[] = {"quote", "length", "len", "count", "round", "floor", "ceil", "abs",
                                          "hash",  "bool",   "now", "date",  "any",   "all",   "none"};

static bool shell_plain(const struct expr *n)
{
    switch (n->kind) {
    case N_CONST:
    case N_NEG:
    case N_NOT:
    case N_COMPARE:
    case N_BETWEEN:
    case N_AND:
    case N_OR:
    case N_EXISTS:
    case N_EMPTY:
        return true;
    case N_ARITH:
        return n->op != OP_ADD || (shell_plain(n->a) && shell_plain(n->b));
    case N_DEFAULT:
        return n->op == OP_LOGIC || (shell_plain(n->a) && shell_plain(n->b));
    case N_COND:
        return shell_plain(n->b) && shell_plain(n->c);
    case N_PATH: {
        size_t last = n->nseg - 1;
        for (size_t i = 1; i < last; i++)
            if (n->seg[i].index || !str_is(n->seg[i].name, "parent"))
                return false;
        return last > 0 && str_is(n->seg[0].name, "loop") && !n->seg[last].index &&
               (str_is(n->seg[last].name, "index") || str_is(n->seg[last].name, "total"));
    }
    case N_CALL:
        for (size_t i = 0; i < sizeof plain_calls / sizeof *plain_calls; i++)
            if (strcmp(n->fn->name, plain_calls[i]) == 0)
                return true;
        return false;
    default:
        return false;
    }
}

/* How far a shell has come in a text: the quotes and brackets that are open, outermost first. */
struct shell_text {
    char open[16];
    size_t n;
    bool lost; /* too deep, or a here-document: no longer known */
    char last; /* the character before, ' ' at the start; 0 after one that a backslash protects */
    bool comment;
};

static void shell_push(struct shell_text *s, char c)
{
    if (s->n == sizeof s->open)
        s->lost = true;
    else
        s->open[s->n++] = c;
}

static void shell_char(struct shell_text *s, char c)
{
    char in = s->n ? s->open[s->n - 1] : '(', last = s->last;
    s->last = c;
    if (s->comment) {
        s->comment = c != '\n';
    } else if (in == '\'') {
        s->n -= c == '\'';
    } else if (last == '\\') {
        s->last = 0;
    } else if (in == '"') {
        if (c == '"')
            s->n--;
        else if (c == '(' && last == '$')
            shell_push(s, c);
    } else if (c == '\'' || c == '"' || c == '(') {
        shell_push(s, c);
    } else if (c == ')') {
        s->n -= s->n > 0;
    } else if (c == '#' && (last == ' ' || last == '\t' || last == '\n' || last == ';')) {
        s->comment = true;
    } else if (c == '<' && last == '<') {
        s->lost = true;
    }
}

static enum tmpl_shell shell_walk(const struct expr *n, struct shell_text *s)
{
    enum tmpl_shell found = TMPL_SHELL_SAFE;
    if (n->kind == N_CONST && n->val.type == VAL_STR) {
        for (size_t i = 0; i < n->val.s.n; i++)
            shell_char(s, n->val.s.p[i]);
    } else if (n->kind == N_TEXT) {
        for (size_t i = 0; i < n->n && found == TMPL_SHELL_SAFE; i++)
            found = shell_walk(n->list[i], s);
    } else if (n->kind == N_COND) {
        struct shell_text other = *s;
        found = shell_walk(n->c, &other);
        if (found == TMPL_SHELL_SAFE)
            found = shell_walk(n->b, s);
    } else if (!shell_plain(n)) {
        found = TMPL_SHELL_RAW;
    } else if (n->kind == N_CALL && strcmp(n->fn->name, "quote") == 0) {
        if (!s->lost && s->n && s->open[s->n - 1] != '(')
            found = TMPL_SHELL_QUOTED_TWICE;
    }
    return found;
}

enum tmpl_shell tmpl_shell(const struct tmpl *t)
{
    struct shell_text s = {.last = ' '};
    return !t->e || t->e->kind == N_ARRAY ? TMPL_SHELL_SAFE : shell_walk(t->e, &s);
}

/* ---- trees ---- */

struct tmpl_tree {
    const struct val *v;      /* what it was made of */
    const struct tmpl *t;     /* a string with holes */
    struct val constant;      /* when nothing below has holes */
    struct tmpl_tree **child; /* of an array or object with holes below */
};

static bool is_constant(const struct tmpl_tree *t)
{
    return !t->t && !t->child;
}
static size_t children(const struct val *v)
{
    return v->type == VAL_ARRAY ? v->arr.n : v->type == VAL_OBJECT ? v->obj.n : 0;
}
static const struct val *child_of(const struct val *v, size_t i)
{
    return v->type == VAL_ARRAY ? &v->arr.v[i] : &v->obj.m[i].val;
}
/* "key: " or "[3]: " in front of a message that has no position of its own. */
static enum rc at_child(const struct val *v, size_t i, enum rc rc, struct err *err)
{
    if (rc == RC_OK || child_of(v, i)->line)
        return rc;
    if (v->type == VAL_ARRAY)
        return err_wrap(err, "[%zu]", i);
    return err_wrap(err, "%.*s", v->obj.m[i].key.n > 60 ? 60 : (int)v->obj.m[i].key.n, v->obj.m[i].key.p);
}

/* The value `t` with children replaced. */
static struct val rebuild(struct arena *a, const struct val *v, const struct val *child)
{
    size_t n = children(v);
    struct val out;
    if (v->type == VAL_ARRAY) {
        out = (struct val){.type = VAL_ARRAY, .arr = {child, n}};
    } else {
        struct val_map m = val_map_new(a);
        for (size_t i = 0; i < n; i++)
            val_map_add(&m, v->obj.m[i].key, child[i], v->obj.m[i].line, v->obj.m[i].col);
        out = val_map_done(&m);
    }
    out.line = v->line;
    out.col = v->col;
    return out;
}

/* *changed: the constant differs from `v`, because a {{{{ was undone. */
static enum rc tree_parse(struct arena *a, const struct val *v, unsigned depth, struct tmpl_tree **ret, bool *changed,
                          struct err *err)
{
    struct tmpl_tree *t = *ret = ARENA_NEW(a, struct tmpl_tree);
    t->v = v;
    t->constant = *v;
    *changed = false;
    if (depth > TREE_MAX)
        return err_set(err, RC_LIMIT, "%u:%u: the value is nested more than %d levels deep", v->line, v->col, TREE_MAX);
    if (v->type == VAL_STR && str_find(v->s, STR("{{")) != SIZE_MAX) {
        TRY(tmpl_parse(a, v->s, v->line, v->col, &t->t, err));
        if (!tmpl_is_constant(t->t))
            return RC_OK;
        t->constant.s = t->t->constant.s;
        t->t = NULL;
        *changed = true;
        return RC_OK;
    }
    size_t n = children(v), holes = 0;
    if (n == 0)
        return RC_OK;
    t->child = arena_calloc(a, n, sizeof(struct tmpl_tree *));
    for (size_t i = 0; i < n; i++) {
        bool child_changed;
        TRY(at_child(v, i, tree_parse(a, child_of(v, i), depth + 1, &t->child[i], &child_changed, err), err));
        *changed = *changed || child_changed;
        holes += !is_constant(t->child[i]);
    }
    if (holes)
        return RC_OK;
    if (*changed) {
        struct val *child = arena_calloc(a, n, sizeof *child);
        for (size_t i = 0; i < n; i++)
            child[i] = t->child[i]->constant;
        t->constant = rebuild(a, v, child);
    }
    t->child = NULL;
    return RC_OK;
}

enum rc tmpl_tree_parse(struct arena *a, const struct val *v, const struct tmpl_tree **ret, struct err *err)
{
    struct tmpl_tree *t;
    bool changed;
    TRY(tree_parse(a, v, 0, &t, &changed, err));
    *ret = t;
    return RC_OK;
}

static enum rc tree_eval(const struct tmpl_tree *t, struct expr_scope *scope, struct arena *a, struct val *ret,
                         struct err *err)
{
    if (t->t) {
        TRY(tmpl_eval(t->t, scope, a, ret, err));
        ret->line = t->v->line;
        ret->col = t->v->col;
        return RC_OK;
    }
    *ret = t->constant;
    if (!t->child)
        return RC_OK;
    size_t n = children(t->v);
    struct val *child = arena_calloc(a, n, sizeof *child);
    for (size_t i = 0; i < n; i++)
        TRY(at_child(t->v, i, tree_eval(t->child[i], scope, a, &child[i], err), err));
    *ret = rebuild(a, t->v, child);
    return RC_OK;
}

enum rc tmpl_tree_eval(const struct tmpl_tree *t, struct expr_scope *scope, struct arena *a, struct val *ret,
                       struct err *err)
{
    struct val v;
    TRY(tree_eval(t, scope, a, &v, err));
    if (t->child) { /* several large values may have come together */
        struct expr whole = {.kind = N_TEXT, .line = t->v->line, .col = t->v->col, .src = STR("the value")};
        struct ev c;
        ev_begin(&c, scope, a, err);
        enum rc rc = ev_check(&c, &whole, &v);
        ev_end(&c);
        TRY(rc);
    }
    *ret = v;
    return RC_OK;
}

enum rc tmpl_tree_each_path(const struct tmpl_tree *t,
                            enum rc (*cb)(void *ctx, const struct expr_path *path, bool soft, struct err *err),
                            void *ctx, struct err *err)
{
    if (t->t)
        return tmpl_each_path(t->t, cb, ctx, err);
    for (size_t i = 0; t->child && i < children(t->v); i++)
        TRY(tmpl_tree_each_path(t->child[i], cb, ctx, err));
    return RC_OK;
}
