/* Terms: names with their paths, literals, calls.
 *
 * Most words of the language are no keywords: `empty`, `contains` or `in` may be fields, and mostly names; they are
 * operators only where an operator can stand. Names of functions are known here, so a call with a wrong name or a wrong
 * number of arguments never gets as far as a run.
 *
 * Lambdas and quoted conditions open a frame; a name inside is resolved now to a parameter, to a field of the item, or
 * to a path for the caller's scope. Evaluation pushes one frame where parsing did, so a parameter is named by how many
 * frames up it is. */
#include "base/map.h"
#include "data/expr_parse.h"

#include <stdio.h>

/* Words that can be neither a variable nor a parameter. */
static bool is_reserved(struct str s)
{
    return str_is(s, "and") || str_is(s, "or") || str_is(s, "not") || str_is(s, "in") || str_is(s, "not_in");
}

/* ---- paths ---- */

struct segs {
    struct expr_seg v[EXPR_SEGS_MAX];
    size_t n;
};

static enum rc segs_push(struct parser *p, struct segs *s, struct str name, const struct expr *index)
{
    if (s->n == EXPR_SEGS_MAX)
        return FAIL_HERE(p, "a path may have at most %d parts", EXPR_SEGS_MAX);
    s->v[s->n++] = (struct expr_seg){.name = index ? (struct str){0} : name, .index = index};
    return RC_OK;
}

/* Gives `n` its own copy of the segments, and the keys where all are constant. */
static void node_segs(struct arena *a, struct expr *n, const struct expr_seg *seg, size_t nseg)
{
    struct expr_seg *copy = arena_calloc(a, nseg ? nseg : 1, sizeof *copy);
    struct val *keys = arena_calloc(a, nseg ? nseg : 1, sizeof *keys);
    bool constant = true;
    for (size_t i = 0; i < nseg; i++) {
        copy[i] = seg[i];
        if (!seg[i].index)
            keys[i] = val_str(seg[i].name);
        else if (seg[i].index->kind == N_CONST)
            keys[i] = seg[i].index->val;
        else
            constant = false;
    }
    n->seg = copy;
    n->nseg = nseg;
    n->keys = constant ? keys : NULL;
}

const struct expr *expr_node_path(struct lexer *l, struct str head, struct str name, const struct expr *index)
{
    struct expr *n = expr_node(l, N_PATH);
    struct expr_seg seg[2] = {{.name = head}, {.name = index ? (struct str){0} : name, .index = index}};
    node_segs(l->a, n, seg, 2);
    expr_raise(n, index);
    return n;
}

/* What the name seg[0] means inside the frames from `f` outwards, which are `up` levels away. */
static enum rc resolve_head(struct parser *p, const struct expr *at, const struct pframe *f, unsigned up, bool items,
                            const struct segs *s, const struct expr **ret)
{
    for (; f; f = f->up, up++) {
        struct expr *n = NULL;
        if (f->item && items) {
            n = parse_open_at(p, N_ITEM, at);
            TRY(resolve_head(p, at, f->up, up + 1, false, s, &n->a));
            node_segs(p->lx.a, n, s->v, s->n);
        }
        for (uint16_t i = 0; i < f->n && !n; i++) {
            if (!str_eq(f->name[i], s->v[0].name))
                continue;
            n = parse_open_at(p, N_LOCAL, at);
            n->a = NULL;
            n->slot = i;
        }
        if (!n)
            continue;
        n->up = (uint16_t)up;
        *ret = n;
        TRY(parse_close(p, n));
        if (n->kind == N_ITEM || s->n == 1)
            return RC_OK;
        struct expr *get = parse_open_at(p, N_GET, n);
        node_segs(p->lx.a, get, s->v + 1, s->n - 1);
        *ret = get;
        return parse_close(p, get);
    }
    struct expr *n = parse_open_at(p, N_PATH, at);
    n->a = NULL;
    node_segs(p->lx.a, n, s->v, s->n);
    *ret = n;
    return parse_close(p, n);
}

/* `[` was read: a key, a position, a slice or `*`. What it is becomes a segment or, with *ret, a new base. */
static enum rc parse_bracket(struct parser *p, const struct expr *base, struct segs *s, struct expr **slice, bool *each)
{
    TRY(parse_advance(p));
    if (is_punct(p, '*')) {
        *each = true;
        TRY(parse_advance(p));
        return parse_expect(p, ']', "`]` after `[*`");
    }
    if (is_punct(p, '?'))
        return FAIL_HERE(p, "there are no JSONPath filters here; write filter(list, 'size > 10')");
    if (is_punct(p, ']'))
        return FAIL_HERE(p, "the brackets are empty; write [*] for all items, [0] for the first, [-1] for the last");
    const struct expr *from = NULL, *to = NULL;
    if (!is_punct(p, ':'))
        TRY(parse_expr(p, &from));
    if (is_punct(p, ':')) {
        TRY(parse_advance(p));
        if (!is_punct(p, ']') && !is_punct(p, ':'))
            TRY(parse_expr(p, &to));
        if (is_punct(p, ':'))
            return FAIL_HERE(p, "a slice has no step; write x[from:to], and reverse(x) for the other way round");
        TRY(parse_expect(p, ']', "`]`"));
        *slice = parse_open_at(p, N_SLICE, base);
        (*slice)->b = from;
        (*slice)->c = to;
        return RC_OK;
    }
    if (from->kind == N_CONST && from->val.type != VAL_STR && from->val.type != VAL_INT)
        return lex_fail(&p->lx, p->tok.line, p->tok.col, "%s cannot be an index; expected an integer or a string",
                        show_type(&from->val));
    TRY(parse_expect(p, ']', "`]`"));
    bool name = from->kind == N_CONST && from->val.type == VAL_STR;
    return segs_push(p, s, name ? from->val.s : STR(""), name ? NULL : from);
}

/* The current token begins the name of a step, which may have hyphens: run-tests. */
static void take_hyphens(struct parser *p)
{
    struct lexer *l = &p->lx;
    size_t from = p->tok.from;
    while (l->pos < l->text.n &&
           (lex_name_char(l->text.p[l->pos]) ||
            (l->text.p[l->pos] == '-' && l->pos + 1 < l->text.n && lex_name_char(l->text.p[l->pos + 1]))))
        l->pos++;
    p->tok.to = l->pos;
    p->tok.name = str_n(l->text.p + from, l->pos - from);
}

/* `.` was the current token: a field. */
static enum rc parse_field(struct parser *p, const struct expr *base, struct segs *s)
{
    TRY(parse_advance(p));
    if (p->tok.kind == TK_NAME) {
        if (!base && s->n == 1 && str_is(s->v[0].name, "steps"))
            take_hyphens(p);
        TRY(segs_push(p, s, p->tok.name, NULL));
        return parse_advance(p);
    }
    if (p->tok.kind == TK_NUMBER && p->tok.val.type == VAL_INT) { /* list.0 */
        struct expr *n = parse_open(p, N_CONST);
        n->val = p->tok.val;
        TRY(segs_push(p, s, STR(""), n));
        return parse_advance(p);
    }
    if (is_punct(p, '{') && p->lx.pos < p->lx.text.n && p->lx.text.p[p->lx.pos] == '{') {
        const struct expr *index; /* steps.{{ name }}.text */
        lex_skip(&p->lx, 1);
        TRY(parse_advance(p));
        TRY(parse_expr(p, &index));
        if (!is_punct(p, '}') || p->lx.pos >= p->lx.text.n || p->lx.text.p[p->lx.pos] != '}')
            return parse_unexpected(p, "`}}`");
        lex_skip(&p->lx, 1);
        p->tok.to++;
        TRY(segs_push(p, s, STR(""), index));
        return parse_advance(p);
    }
    if (is_punct(p, '*'))
        return FAIL_HERE(p, "all items are written [*], without the dot");
    if (p->tok.kind == TK_STRING)
        return FAIL_HERE(p, "a field in quotes is written [\"name\"], without the dot");
    return parse_unexpected(p, "the name of a field after `.`");
}

/* Turns what was read so far into one node: a name's path, or segments of `base`. */
static enum rc path_close(struct parser *p, const struct expr *at, const struct expr *base, struct segs *s,
                          const struct expr **ret)
{
    if (!base)
        TRY(resolve_head(p, at, p->frame, 0, true, s, ret));
    else if (s->n == 0)
        *ret = base;
    else {
        struct expr *n = parse_open_at(p, N_GET, base);
        node_segs(p->lx.a, n, s->v, s->n);
        *ret = n;
        TRY(parse_close(p, n));
    }
    s->n = 0;
    return RC_OK;
}

/* Objects of other languages that only hold functions. */
static bool is_library(struct str name)
{
    static const char *const names[] = {"Math", "JSON", "Object",   "Array", "Number", "String", "Date",
                                        "math", "json", "datetime", "re",    "string", "random", "os"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (str_is(name, names[i]))
            return true;
    return false;
}

/* `x.f(` was read. */
static enum rc no_method(struct parser *p, const struct segs *s)
{
    const char *nearest = NULL, *instead = NULL;
    struct str method = s->n ? s->v[s->n - 1].name : STR("");
    const struct expr_fn *fn = method.n ? expr_fn_find(method, &nearest) : NULL;
    if (method.n && !fn)
        instead = expr_foreign_function(method);
    if (instead && !strpbrk(instead, " (.[{"))
        fn = expr_fn_find(str_c(instead), &nearest);
    else if (!instead && !fn && nearest)
        fn = expr_fn_find(str_c(nearest), &nearest);
    if (fn && s->n == 2 && is_library(s->v[0].name))
        return FAIL_HERE(p, "there are no methods; write %s(…) instead of %.*s.%.*s(…)", fn->name,
                         STR_ARG(s->v[0].name), STR_ARG(method));
    if (fn) {
        const char *args = fn->max == 0 ? "" : fn->max == 1 ? "x" : "x, …";
        return FAIL_HERE(p, "there are no methods; write %s(%s) instead of x.%.*s(%s)", fn->name, args, STR_ARG(method),
                         fn->max > 1 ? "…" : "");
    }
    if (instead)
        return FAIL_HERE(p, "there are no methods; write %s instead of x.%.*s()", instead, STR_ARG(method));
    return FAIL_HERE(p, "there are no methods; expected a function of it, such as length(x) or upper(x)");
}

/* Fields, indexes, slices and [*] behind `base`, or behind the name in s->v[0] when base is NULL. */
static enum rc parse_postfix(struct parser *p, const struct expr *at, const struct expr *base, struct segs *s,
                             const struct expr **ret)
{
    struct expr *each = NULL; /* collects the segments after [*] */
    for (;;) {
        if (is_punct(p, '.')) {
            TRY(parse_field(p, base, s));
            continue;
        }
        if (is_punct(p, '(') && p->tok.from == p->prev_end)
            return no_method(p, s);
        if (is_punct(p, '[')) {
            struct expr *slice = NULL;
            bool star = false;
            TRY(parse_bracket(p, at, s, &slice, &star));
            if (!slice && !star)
                continue;
            if (each) {
                node_segs(p->lx.a, each, s->v, s->n);
                s->n = 0;
                TRY(parse_close(p, each));
                base = each;
            } else {
                TRY(path_close(p, at, base, s, &base));
            }
            each = star ? parse_open_at(p, N_EACH, base) : NULL;
            if (slice) {
                slice->a = base;
                TRY(parse_close(p, slice));
                base = slice;
            }
            continue;
        }
        break;
    }
    if (!each)
        return path_close(p, at, base, s, ret);
    node_segs(p->lx.a, each, s->v, s->n);
    *ret = each;
    return parse_close(p, each);
}

/* ---- literals ---- */

/* Lists and objects of constants become one constant. */
static void fold(struct parser *p, struct expr *n)
{
    for (size_t i = 0; i < n->n; i++)
        if (n->list[i]->kind != N_CONST)
            return;
    struct val v;
    if (n->kind == N_ARRAY) {
        struct val_list l = val_list_new(p->lx.a);
        for (size_t i = 0; i < n->n; i++)
            val_list_push(&l, n->list[i]->val);
        v = val_list_done(&l);
    } else {
        struct val_map m = val_map_new(p->lx.a);
        for (size_t i = 0; i + 1 < n->n; i += 2)
            val_map_set(&m, n->list[i]->val.s, n->list[i + 1]->val);
        v = val_map_done(&m);
    }
    n->kind = N_CONST;
    n->val = v;
}

static enum rc parse_array(struct parser *p, const struct expr **ret)
{
    struct expr *n = parse_open(p, N_ARRAY);
    struct nodes l = {0};
    TRY(parse_advance(p));
    while (!is_punct(p, ']')) {
        const struct expr *e;
        TRY(parse_expr(p, &e));
        parse_push(p, &l, e);
        if (!is_punct(p, ','))
            break;
        TRY(parse_advance(p));
    }
    TRY(parse_expect(p, ']', "`,` or `]`"));
    n->list = l.v;
    n->n = l.n;
    TRY(parse_close(p, n));
    fold(p, n);
    *ret = n;
    return RC_OK;
}

static enum rc parse_key(struct parser *p, const struct expr **ret)
{
    struct expr *key = parse_open(p, N_CONST);
    if (p->tok.kind == TK_NAME)
        key->val = val_str(p->tok.name);
    else if (p->tok.kind == TK_STRING)
        key->val = p->tok.val;
    else if (is_punct(p, '[')) { /* {[name]: value}: a computed key */
        TRY(parse_advance(p));
        TRY(parse_expr(p, ret));
        return parse_expect(p, ']', "`]` after a computed key");
    } else {
        return parse_unexpected(p, "a key (a name or text) or `}`");
    }
    *ret = key;
    TRY(parse_advance(p));
    return parse_close(p, key);
}

/* A written key that the object already has: as in JSON, nobody could say which of the two was meant. */
static enum rc check_key(struct parser *p, struct map *keys, const struct expr *key)
{
    if (key->kind != N_CONST)
        return RC_OK; /* one that is known only then replaces what was there */
    if (key->val.type != VAL_STR)
        return FAIL_HERE(p, "the key `%.*s` is %s; expected a string", STR_ARG(key->src), show_type(&key->val));
    if (map_put(keys, key->val.s, p))
        return lex_fail(&p->lx, p->lx.known ? key->line : p->lx.line, key->col,
                        "the key `%.*s` stands twice in this object; expected it once",
                        (int)(key->val.s.n < 60 ? key->val.s.n : 60), key->val.s.p);
    return RC_OK;
}

static enum rc parse_members(struct parser *p, struct map *keys, struct nodes *l)
{
    while (!is_punct(p, '}')) {
        const struct expr *key, *value;
        TRY(parse_key(p, &key));
        TRY(parse_expect(p, ':', "`:` after the key"));
        TRY(parse_expr(p, &value));
        TRY(check_key(p, keys, key));
        parse_push(p, l, key);
        parse_push(p, l, value);
        if (!is_punct(p, ','))
            break;
        TRY(parse_advance(p));
    }
    return RC_OK;
}

static enum rc parse_object(struct parser *p, const struct expr **ret)
{
    struct expr *n = parse_open(p, N_OBJECT);
    struct nodes l = {0};
    TRY(parse_advance(p));
    struct map keys = {0};
    enum rc rc = parse_members(p, &keys, &l);
    map_done(&keys);
    TRY(rc);
    TRY(parse_expect(p, '}', "`,` or `}`"));
    n->list = l.v;
    n->n = l.n;
    TRY(parse_close(p, n));
    fold(p, n);
    *ret = n;
    return RC_OK;
}

/* ---- calls ---- */

/* Is the current token the beginning of `x =>` or `(x) =>` or `(x, i) =>`? */
static enum rc at_lambda(const struct parser *p, bool *ret)
{
    struct parser q = *p;
    *ret = false;
    if (is_punct(&q, '(')) {
        for (;;) {
            TRY(parse_advance(&q));
            if (q.tok.kind != TK_NAME)
                return RC_OK;
            TRY(parse_advance(&q));
            if (!is_punct(&q, ','))
                break;
        }
        if (!is_punct(&q, ')'))
            return RC_OK;
    } else if (q.tok.kind != TK_NAME) {
        return RC_OK;
    }
    TRY(parse_advance(&q));
    *ret = is_punct(&q, P_ARROW);
    return RC_OK;
}

static enum rc parse_lambda(struct parser *p, const struct expr **ret)
{
    struct pframe f = {.up = p->frame};
    bool parens = is_punct(p, '(');
    if (parens)
        TRY(parse_advance(p));
    for (;;) {
        if (f.n == 2)
            return FAIL_HERE(p, "a lambda takes the item and its index; expected `)` after two names");
        if (is_reserved(p->tok.name))
            return parse_unexpected(p, "a name that is no operator");
        f.name[f.n++] = p->tok.name;
        TRY(parse_advance(p));
        if (!parens || !is_punct(p, ','))
            break;
        TRY(parse_advance(p));
    }
    if (parens)
        TRY(parse_expect(p, ')', "`)`"));
    TRY(parse_expect(p, P_ARROW, "`=>`"));
    p->frame = &f;
    TRY(parse_expr(p, ret));
    p->frame = f.up;
    return RC_OK;
}

/* A condition in quotes: the text of the current token is an expression about the item. */
static enum rc parse_quoted(struct parser *p, const struct expr **ret)
{
    struct pframe f = {.item = true, .up = p->frame};
    struct parser q = {.depth = p->depth, .frame = &f};
    q.lx = lex_start(p->lx.a, p->tok.val.s, p->lx.known ? p->tok.line : 0, p->tok.col + 1, p->lx.err);
    TRY(lex_next(&q.lx, &q.tok));
    TRY(parse_expr(&q, ret));
    if (q.tok.kind != TK_END)
        return parse_unexpected(&q, "an operator, or the end of the quoted condition");
    return parse_advance(p);
}

/* The second argument of a function over lists. `*item` stays ITEM_NONE when it is an ordinary value. */
static enum rc parse_item_arg(struct parser *p, const struct expr_fn *fn, const struct expr *list, uint8_t *item,
                              const struct expr **ret)
{
    bool lambda;
    TRY(at_lambda(p, &lambda));
    if (lambda) {
        *item = ITEM_LAMBDA;
        return parse_lambda(p, ret);
    }
    bool text_list = list->kind == N_CONST && list->val.type == VAL_STR; /* min('a', 'b') compares texts */
    if (p->tok.kind == TK_STRING && !(fn->form == FN_ITEM_OPT && text_list)) {
        struct parser q = *p;
        TRY(parse_advance(&q));
        if (is_punct(&q, ')') || (is_punct(&q, ',') && fn->max <= 3)) {
            *item = ITEM_STRING;
            return parse_quoted(p, ret);
        }
    }
    if (fn->form == FN_ITEM)
        return FAIL_HERE(p,
                         "%s() needs, second, a quoted expression about an item, such as 'size > 10', or (x) => x.size",
                         fn->name);
    return parse_expr(p, ret);
}

static enum rc parse_arity(struct parser *p, const struct expr_fn *fn, const struct expr *at, size_t n)
{
    if (n >= fn->min && (n <= fn->max || fn->max == UINT8_MAX))
        return RC_OK;
    char want[60];
    if (fn->max == UINT8_MAX)
        snprintf(want, sizeof want, "at least %u", fn->min);
    else if (fn->min == fn->max)
        snprintf(want, sizeof want, "%u", fn->min);
    else
        snprintf(want, sizeof want, "%u to %u", fn->min, fn->max);
    return lex_fail(&p->lx, p->lx.known ? at->line : 1, at->col, "%s() was given %zu argument%s; expected %s", fn->name,
                    n, n == 1 ? "" : "s", want);
}

/* The name was read and `(` is the current token. */
static enum rc parse_call(struct parser *p, struct expr *n, struct str name, uint32_t line, uint32_t col,
                          const struct expr **ret)
{
    const char *nearest;
    const struct expr_fn *fn = expr_fn_find(name, &nearest);
    const char *habit = fn ? NULL : expr_foreign_function(name);
    if (habit)
        return lex_fail(&p->lx, line, col, "unknown function `%.*s`; write %s", STR_ARG(name), habit);
    if (!fn && nearest)
        return lex_fail(&p->lx, line, col, "unknown function `%.*s`; did you mean `%s`?", STR_ARG(name), nearest);
    if (!fn)
        return lex_fail(&p->lx, line, col, "unknown function `%.*s`; docs/expressions.md lists those there are",
                        STR_ARG(name));
    struct nodes args = {0};
    TRY(parse_advance(p));
    while (!is_punct(p, ')')) {
        const struct expr *e = NULL;
        bool lambda = false;
        if (args.n == 1 && (fn->form == FN_ITEM || fn->form == FN_ITEM_OPT))
            TRY(parse_item_arg(p, fn, args.v[0], &n->item, &e));
        else
            TRY(at_lambda(p, &lambda));
        if (lambda)
            return FAIL_HERE(p, "a lambda cannot stand here; it is the second argument of functions over lists");
        if (!e)
            TRY(parse_expr(p, &e));
        parse_push(p, &args, e);
        if (!is_punct(p, ','))
            break;
        TRY(parse_advance(p));
    }
    TRY(parse_expect(p, ')', "`,` or `)`"));
    TRY(parse_arity(p, fn, n, args.n));
    if (fn->form == FN_OPER) {
        TRY(parse_operator_call(p, fn, n, &args));
    } else {
        n->list = args.v;
        n->n = args.n;
        n->fn = fn;
        n->time = fn->flags & FN_TIME;
    }
    *ret = n;
    return parse_close(p, n);
}

/* ---- operands ---- */

/* `previous_response:STEP`, an old spelling of a step's result: the path `previous_response:` · STEP. */
static bool at_previous(const struct parser *p)
{
    const struct lexer *l = &p->lx;
    return is_word(p, "previous_response") && l->pos + 1 < l->text.n && l->text.p[l->pos] == ':' &&
           lex_name_start(l->text.p[l->pos + 1]);
}

static enum rc parse_previous(struct parser *p, struct segs *s)
{
    struct lexer *l = &p->lx;
    TRY(segs_push(p, s, STR("previous_response:"), NULL));
    lex_skip(l, 1);
    p->tok.from = l->pos;
    take_hyphens(p);
    return segs_push(p, s, p->tok.name, NULL);
}

static enum rc parse_name(struct parser *p, const struct expr **ret)
{
    static const struct {
        const char *z;
        const struct val *v;
    } words[] = {{"true", &val_true}, {"false", &val_false}, {"null", &val_null}};
    struct expr *n = parse_open(p, N_CONST);
    struct segs s = {.n = 0};
    struct str name = p->tok.name;
    uint32_t line = p->tok.line, col = p->tok.col;
    if (is_reserved(name))
        return parse_unexpected(p, "a value");
    if (at_previous(p)) {
        TRY(parse_previous(p, &s));
        TRY(parse_advance(p));
        return parse_postfix(p, n, NULL, &s, ret);
    }
    TRY(parse_advance(p));
    if (is_punct(p, '(')) {
        const struct expr *call = NULL;
        n->kind = N_CALL;
        TRY(parse_call(p, n, name, line, col, &call));
        return parse_postfix(p, call, call, &s, ret);
    }
    if (is_punct(p, P_ARROW))
        return lex_fail(&p->lx, line, col,
                        "a lambda cannot stand here; it is the second argument of functions over lists");
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (str_is(name, words[i].z)) {
            n->val = *words[i].v;
            *ret = n;
            return parse_close(p, n);
        }
    TRY(segs_push(p, &s, name, NULL));
    return parse_postfix(p, n, NULL, &s, ret);
}

/* `@` is the item of the nearest quoted condition. */
static enum rc parse_item(struct parser *p, const struct expr **ret)
{
    uint16_t up = 0;
    const struct pframe *f = p->frame;
    for (; f && !f->item; f = f->up)
        up++;
    if (!f)
        return FAIL_HERE(p,
                         "`@` is the item in a quoted condition, such as filter(list, '@ > 3'); it means nothing here");
    struct expr *n = parse_open(p, N_LOCAL);
    n->up = up;
    *ret = n;
    TRY(parse_advance(p));
    return parse_close(p, n);
}

/* `(expr)`, or `{{ expr }}`, which conditions may be written with. */
static enum rc parse_group(struct parser *p, const struct expr **ret)
{
    bool braces = is_punct(p, '{');
    struct expr *n = parse_open(p, N_CONST);
    if (braces) {
        lex_skip(&p->lx, 1);
        p->tok.to++;
    }
    TRY(parse_advance(p));
    const struct expr *inner;
    TRY(parse_expr(p, &inner));
    struct expr *whole = parse_open_at(p, N_CONST, inner);
    *whole = *inner; /* the same node, but its text begins with the bracket */
    whole->line = n->line, whole->col = n->col, whole->src = n->src;
    *ret = whole;
    if (!braces) {
        if (is_punct(p, ','))
            return FAIL_HERE(p, "there are no tuples; a list is written [a, b]");
        TRY(parse_expect(p, ')', "`)`"));
        whole->src.n = (size_t)(p->lx.text.p + p->prev_end - whole->src.p);
        return RC_OK;
    }
    if (!is_punct(p, '}') || p->lx.pos >= p->lx.text.n || p->lx.text.p[p->lx.pos] != '}')
        return lex_fail(&p->lx, p->lx.known ? n->line : p->lx.line, n->col, "this `{{` is never closed; expected `}}`");
    lex_skip(&p->lx, 1);
    p->tok.to++;
    TRY(parse_advance(p));
    whole->src.n = (size_t)(p->lx.text.p + p->prev_end - whole->src.p);
    return RC_OK;
}

static enum rc parse_primary(struct parser *p, const struct expr **ret)
{
    if (p->tok.kind == TK_NUMBER || p->tok.kind == TK_STRING) {
        struct expr *n = parse_open(p, N_CONST);
        n->val = p->tok.val;
        *ret = n;
        TRY(parse_advance(p));
        return parse_close(p, n);
    }
    if (p->tok.kind != TK_PUNCT)
        return parse_unexpected(p, "a value");
    switch (p->tok.punct) {
    case '(':
        return parse_group(p, ret);
    case '[':
        return parse_array(p, ret);
    case '{':
        if (p->lx.pos < p->lx.text.n && p->lx.text.p[p->lx.pos] == '{')
            return parse_group(p, ret);
        return parse_object(p, ret);
    case '@':
        return parse_item(p, ret);
    case '/':
        return FAIL_HERE(p, "a regular expression stands in quotes, as in x matches 'a+'");
    case '.':
        return parse_unexpected(p, "a value (a path begins with a name, a number with a digit)");
    default:
        return parse_unexpected(p, "a value");
    }
}

enum rc parse_term(struct parser *p, const struct expr **ret)
{
    if (p->tok.kind == TK_NAME)
        return parse_name(p, ret);
    struct segs s = {.n = 0};
    const struct expr *base = NULL;
    TRY(parse_primary(p, &base));
    return parse_postfix(p, base, base, &s, ret);
}
