/* Operators, by precedence climbing, and the ways in: parsing, walking the paths, folding constants.
 *
 * From low to high: `? :`, `||`, or, and, not, comparisons (which do not chain), + -, * / %, unary minus. The word
 * operators are recognised only behind an operand. `!` and `not` bind alike, so `!a == b` is `not (a == b)`.
 *
 * `||` is the default operator. A comparison on its left can only be true or false, never unknown, so there `||` would
 * be dead text; authors who write `a == 1 || b == 2` mean `or`, and get it (OP_LOGIC).
 *
 * Two bounds keep recursion harmless: EXPR_DEPTH_MAX while parsing, EXPR_HEIGHT_MAX for the tree, which evaluation and
 * expr_each_path() descend. */
#include "data/expr_parse.h"
#include "data/regex.h"

#include "base/panic.h"

enum rc parse_advance(struct parser *p)
{
    p->prev_end = p->tok.to;
    return lex_next(&p->lx, &p->tok);
}

enum rc parse_unexpected(const struct parser *p, const char *expected)
{
    if (p->tok.kind == TK_END)
        return FAIL_HERE(p, "the expression ends too early; expected %s", expected);
    size_t n = p->tok.to - p->tok.from;
    struct str s = {p->lx.text.p + p->tok.from, n > 40 ? 40 : n};
    return FAIL_HERE(p, "unexpected `%.*s`%s; expected %s", STR_ARG(s), n > 40 ? "…" : "", expected);
}

enum rc parse_expect(struct parser *p, int punct, const char *expected)
{
    return is_punct(p, punct) ? parse_advance(p) : parse_unexpected(p, expected);
}

/* Counts a level of nesting; the caller lowers p->depth again. */
static enum rc parse_enter(struct parser *p)
{
    if (++p->depth > EXPR_DEPTH_MAX)
        return FAIL_HERE(p, "the expression is nested more than %d levels deep; split it", EXPR_DEPTH_MAX);
    return RC_OK;
}

struct expr *expr_node(struct lexer *l, enum node_kind kind)
{
    struct expr *n = ARENA_NEW(l->a, struct expr);
    n->kind = (uint8_t)kind;
    n->height = 1;
    n->line = l->known ? l->line : 0;
    n->col = lex_col(l);
    n->src = str_n(l->text.p + l->pos, 0);
    return n;
}

bool expr_raise(struct expr *n, const struct expr *child)
{
    if (child && child->height >= n->height)
        n->height = (uint16_t)(child->height + 1);
    return n->height <= EXPR_HEIGHT_MAX;
}

struct expr *parse_open(struct parser *p, enum node_kind kind)
{
    struct expr *n = expr_node(&p->lx, kind);
    n->line = p->lx.known ? p->tok.line : 0;
    n->col = p->tok.col;
    n->src = str_n(p->lx.text.p + p->tok.from, 0);
    return n;
}
struct expr *parse_open_at(struct parser *p, enum node_kind kind, const struct expr *first)
{
    struct expr *n = parse_open(p, kind);
    n->line = first->line;
    n->col = first->col;
    n->src = first->src;
    n->a = first;
    return n;
}
enum rc parse_close(struct parser *p, struct expr *n)
{
    const char *end = p->lx.text.p + p->prev_end;
    n->src.n = end > n->src.p ? (size_t)(end - n->src.p) : 0;
    bool fits = expr_raise(n, n->a);
    switch (n->kind) {
    case N_GET:
    case N_EACH:
    case N_PATH:
    case N_ITEM:
        for (size_t i = 0; i < n->nseg; i++)
            fits = expr_raise(n, n->seg[i].index) && fits;
        break;
    case N_ARRAY:
    case N_OBJECT:
    case N_CALL:
        for (size_t i = 0; i < n->n; i++)
            fits = expr_raise(n, n->list[i]) && fits;
        break;
    case N_CONST:
    case N_LOCAL:
        break;
    default:
        fits = expr_raise(n, n->b) && fits;
        fits = expr_raise(n, n->c) && fits;
    }
    if (!fits)
        return FAIL_HERE(p, "the expression has more than %d operators in a row or inside one another; split it",
                         EXPR_HEIGHT_MAX);
    return RC_OK;
}

void parse_push(struct parser *p, struct nodes *l, const struct expr *e)
{
    if (l->n == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 4;
        const struct expr **v = arena_calloc(p->lx.a, cap, sizeof *v);
        if (l->n)
            memcpy(v, l->v, l->n * sizeof *v);
        l->v = v;
        l->cap = cap;
    }
    l->v[l->n++] = e;
}

/* ---- operators ---- */

enum level { LEVEL_DEFAULT = 1, LEVEL_OR, LEVEL_AND, LEVEL_NOT, LEVEL_COMPARE, LEVEL_ADD, LEVEL_MUL };

struct binary {
    const char *word; /* NULL: punctuation */
    int punct;
    uint8_t level, kind, op;
};
static const struct binary binaries[] = {
    {NULL, P_OR, LEVEL_DEFAULT, N_DEFAULT, OP_NONE},
    {"or", 0, LEVEL_OR, N_OR, OP_NONE},
    {"and", 0, LEVEL_AND, N_AND, OP_NONE},
    {NULL, P_AND, LEVEL_AND, N_AND, OP_NONE},
    {NULL, P_EQ, LEVEL_COMPARE, N_COMPARE, OP_EQ},
    {NULL, P_NE, LEVEL_COMPARE, N_COMPARE, OP_NE},
    {NULL, '<', LEVEL_COMPARE, N_COMPARE, OP_LT},
    {NULL, P_LE, LEVEL_COMPARE, N_COMPARE, OP_LE},
    {NULL, '>', LEVEL_COMPARE, N_COMPARE, OP_GT},
    {NULL, P_GE, LEVEL_COMPARE, N_COMPARE, OP_GE},
    {"contains", 0, LEVEL_COMPARE, N_COMPARE, OP_CONTAINS},
    {"in", 0, LEVEL_COMPARE, N_COMPARE, OP_IN},
    {"not_in", 0, LEVEL_COMPARE, N_COMPARE, OP_NOT_IN},
    {"starts_with", 0, LEVEL_COMPARE, N_COMPARE, OP_STARTS},
    {"ends_with", 0, LEVEL_COMPARE, N_COMPARE, OP_ENDS},
    {"matches", 0, LEVEL_COMPARE, N_COMPARE, OP_MATCHES},
    {"between", 0, LEVEL_COMPARE, N_BETWEEN, OP_NONE},
    {"exists", 0, LEVEL_COMPARE, N_EXISTS, OP_NONE},
    {"empty", 0, LEVEL_COMPARE, N_EMPTY, OP_NONE},
    {NULL, '+', LEVEL_ADD, N_ARITH, OP_ADD},
    {NULL, '-', LEVEL_ADD, N_ARITH, OP_SUB},
    {NULL, '*', LEVEL_MUL, N_ARITH, OP_MUL},
    {NULL, '/', LEVEL_MUL, N_ARITH, OP_DIV},
    {NULL, '%', LEVEL_MUL, N_ARITH, OP_MOD},
};

static const struct binary *find_binary(const struct token *t)
{
    if (t->kind != TK_NAME && t->kind != TK_PUNCT)
        return NULL;
    for (size_t i = 0; i < sizeof binaries / sizeof *binaries; i++) {
        const struct binary *b = &binaries[i];
        if (b->word ? t->kind == TK_NAME && str_is(t->name, b->word) : t->kind == TK_PUNCT && t->punct == b->punct)
            return b;
    }
    return NULL;
}

/* Can the node only be true or false? */
bool expr_is_logic(const struct expr *n)
{
    switch (n->kind) {
    case N_NOT:
    case N_COMPARE:
    case N_BETWEEN:
    case N_AND:
    case N_OR:
    case N_EXISTS:
    case N_EMPTY:
        return true;
    case N_DEFAULT:
        return n->op == OP_LOGIC;
    case N_CALL:
        return n->fn->flags & FN_BOOL;
    default:
        return false;
    }
}

/* A pattern that is known now is checked now. */
static enum rc check_pattern(struct parser *p, const struct expr *pattern)
{
    if (pattern->kind != N_CONST || pattern->val.type != VAL_STR)
        return RC_OK;
    struct regex *re = NULL;
    struct err why;
    if (regex_compile(pattern->val.s, false, &re, &why) != RC_OK)
        return lex_fail(&p->lx, p->lx.known ? pattern->line : 1, pattern->col, "%s", why.msg);
    regex_free(re);
    return RC_OK;
}

/* '{{ x }}' == 'y' would compare the text of the template itself: never what was meant. */
static enum rc check_braces(struct parser *p, const struct expr *side)
{
    if (side->kind != N_CONST || side->val.type != VAL_STR || !str_starts(side->val.s, STR("{{")) ||
        !str_ends(side->val.s, STR("}}")))
        return RC_OK;
    struct str name = str_trim(str_n(side->val.s.p + 2, side->val.s.n >= 4 ? side->val.s.n - 4 : 0));
    return lex_fail(&p->lx, p->lx.known ? side->line : 1, side->col,
                    "text in quotes is no template here; write %.*s without quotes and braces", STR_ARG(name));
}

static enum rc check_compare(struct parser *p, struct expr *n)
{
    if (n->op == OP_MATCHES)
        TRY(check_pattern(p, n->b));
    if (n->op == OP_EQ || n->op == OP_NE) {
        TRY(check_braces(p, n->a));
        TRY(check_braces(p, n->b));
    }
    return RC_OK;
}

enum rc parse_operator_call(struct parser *p, const struct expr_fn *fn, struct expr *n, const struct nodes *args)
{
    n->op = fn->op;
    n->a = args->v[0];
    n->b = args->n > 1 ? args->v[1] : NULL;
    n->c = NULL;
    switch (fn->op) {
    case OP_EXISTS:
        n->kind = N_EXISTS;
        return RC_OK;
    case OP_EMPTY:
        n->kind = N_EMPTY;
        return RC_OK;
    case OP_BETWEEN:
        n->kind = N_BETWEEN;
        n->op = OP_NONE;
        n->c = args->v[2];
        return RC_OK;
    case OP_DEFAULT: /* coalesce(a, b, c): (a || b) || c */
        n->kind = N_DEFAULT;
        n->op = OP_NONE;
        for (size_t i = 2; i < args->n; i++) {
            struct expr *left = parse_open_at(p, N_DEFAULT, args->v[0]);
            *left = *n;
            TRY(parse_close(p, left));
            n->a = left;
            n->b = args->v[i];
            n->c = NULL;
        }
        return RC_OK;
    default:
        n->kind = N_COMPARE;
        return check_compare(p, n);
    }
}

static enum rc parse_binary(struct parser *p, int level, const struct expr **ret);

static enum rc parse_unary(struct parser *p, const struct expr **ret)
{
    bool minus = is_punct(p, '-'), negate = is_punct(p, '!') || is_word(p, "not");
    if (is_punct(p, '+'))
        return FAIL_HERE(p, "there is no unary +; remove it");
    if (!minus && !negate)
        return parse_term(p, ret);
    TRY(parse_enter(p));
    struct expr *n = parse_open(p, minus ? N_NEG : N_NOT);
    TRY(parse_advance(p));
    TRY(parse_unary(p, &n->a));
    p->depth--;
    *ret = n;
    TRY(parse_close(p, n));
    if (minus && n->a->kind == N_CONST && (n->a->val.type == VAL_INT || n->a->val.type == VAL_DOUBLE)) {
        struct val v = n->a->val; /* both cannot overflow: literals have no sign */
        n->a = NULL;
        n->kind = N_CONST;
        n->val = v.type == VAL_INT ? val_int(-v.i) : val_double(-v.d);
    }
    return RC_OK;
}

static enum rc parse_not(struct parser *p, const struct expr **ret)
{
    TRY(parse_enter(p));
    struct expr *n = parse_open(p, N_NOT);
    TRY(parse_advance(p));
    TRY(parse_binary(p, LEVEL_NOT, &n->a));
    p->depth--;
    *ret = n;
    return parse_close(p, n);
}

/* `is empty`, `is not null`, `not in`, `not contains`: the words before the operator proper. *ret is NULL when the
 * current token begins no operator. */
static enum rc parse_negated_word(struct parser *p, bool *negate, const struct binary **ret)
{
    *negate = false;
    *ret = NULL;
    bool is = is_word(p, "is");
    if (!is && !is_word(p, "not"))
        return RC_OK;
    struct parser q = *p;
    TRY(parse_advance(&q));
    if (is && is_word(&q, "not")) {
        *negate = true;
        TRY(parse_advance(&q));
    } else if (!is) {
        *negate = true;
    }
    const struct binary *b = find_binary(&q.tok);
    if (is && is_word(&q, "null")) {
        static const struct binary null_test = {NULL, 0, LEVEL_COMPARE, N_EXISTS, OP_NONE};
        *negate = !*negate;
        *p = q;
        *ret = &null_test;
        return RC_OK;
    }
    bool postfix = b && (b->kind == N_EXISTS || b->kind == N_EMPTY);
    if (!b || !b->word || b->level != LEVEL_COMPARE || b->op == OP_NOT_IN || (is && !postfix)) {
        const char *test = is && q.tok.kind == TK_NAME ? expr_foreign_test(q.tok.name) : NULL;
        if (test)
            return lex_fail(&q.lx, q.tok.line, q.tok.col, "there is no test `%.*s`; write %s%s%s", STR_ARG(q.tok.name),
                            *negate ? "not (" : "", test, *negate ? ")" : "");
        return lex_fail(&q.lx, q.tok.line, q.tok.col,
                        is ? "expected `empty` or `null` after `is`; to compare write =="
                           : "expected in, contains, matches, between, exists or empty "
                             "after `not`; to join conditions write `and not`");
    }
    *p = q;
    *ret = b;
    return RC_OK;
}

/* The right side of the operator at the current token. */
static enum rc parse_right(struct parser *p, const struct binary *b, struct expr *n)
{
    TRY(parse_advance(p));
    switch (b->kind) {
    case N_EXISTS:
    case N_EMPTY:
        return RC_OK;
    case N_BETWEEN:
        TRY(parse_binary(p, LEVEL_ADD, &n->b));
        if (!is_word(p, "and") && !is_punct(p, P_AND))
            return parse_unexpected(p, "`and` and the upper bound of `between`");
        TRY(parse_advance(p));
        return parse_binary(p, LEVEL_ADD, &n->c);
    default:
        if (n->op == OP_SUB && is_punct(p, '}'))
            return FAIL_HERE(p, "`-}}` trims no white space here; write }} alone");
        return parse_binary(p, b->level + 1, &n->b);
    }
}

/* Behind the operand `left` stands no operator. If it is a word that is one elsewhere, say what it is here. */
static enum rc check_habit(struct parser *p, const struct expr *left)
{
    const char *instead = p->tok.kind == TK_NAME ? expr_foreign_operator(p->tok.name) : NULL;
    if (instead)
        return FAIL_HERE(p, "unknown operator `%.*s`; write %s", STR_ARG(p->tok.name), instead);
    bool operand = p->tok.kind == TK_NAME || p->tok.kind == TK_NUMBER || p->tok.kind == TK_STRING;
    instead = operand && left->kind == N_PATH && left->nseg == 1 ? expr_foreign_prefix(left->src) : NULL;
    if (instead) /* NOT x: it was taken for a name */
        return lex_fail(&p->lx, p->lx.known ? left->line : p->lx.line, left->col, "unknown operator `%.*s`; write %s",
                        STR_ARG(left->src), instead);
    return RC_OK;
}

static enum rc parse_binary(struct parser *p, int level, const struct expr **ret)
{
    bool negation = is_punct(p, '!') || is_word(p, "not"), compared = false;
    TRY(negation && level <= LEVEL_NOT ? parse_not(p, ret) : parse_unary(p, ret));
    for (;;) {
        bool negate = false;
        const struct binary *b = find_binary(&p->tok);
        if (!b && level <= LEVEL_COMPARE)
            TRY(parse_negated_word(p, &negate, &b));
        if (!b)
            return check_habit(p, *ret);
        if (b->level < level)
            return RC_OK;
        bool compare = b->level == LEVEL_COMPARE, postfix = b->kind == N_EXISTS || b->kind == N_EMPTY;
        if (compare && compared)
            return FAIL_HERE(p, "comparisons do not chain; join two with `and`, or write `x between a and b`");
        compared = compared || (compare && !postfix);
        struct expr *n = parse_open_at(p, (enum node_kind)b->kind, *ret);
        n->op = b->op;
        TRY(parse_right(p, b, n));
        if (n->kind == N_COMPARE)
            TRY(check_compare(p, n));
        if (n->kind == N_DEFAULT && expr_is_logic(n->a))
            n->op = OP_LOGIC;
        n->time = n->kind == N_ARITH && (n->op == OP_ADD || n->op == OP_SUB) && (n->a->time || n->b->time);
        TRY(parse_close(p, n));
        *ret = n;
        if (negate) {
            struct expr *not = parse_open_at(p, N_NOT, n);
            TRY(parse_close(p, not ));
            *ret = not ;
        }
    }
}

enum rc parse_expr(struct parser *p, const struct expr **ret)
{
    TRY(parse_enter(p));
    TRY(parse_binary(p, LEVEL_DEFAULT, ret));
    if (is_punct(p, '?')) {
        struct expr *n = parse_open_at(p, N_COND, *ret);
        TRY(parse_advance(p));
        TRY(parse_expr(p, &n->b));
        TRY(parse_expect(p, ':', "`:` and what holds otherwise"));
        TRY(parse_expr(p, &n->c));
        n->time = n->b->time && n->c->time;
        *ret = n;
        TRY(parse_close(p, n));
    }
    p->depth--;
    return RC_OK;
}

/* ---- ways in ---- */

static enum rc check_text(const struct lexer *l, struct str text)
{
    size_t valid = str_utf8_valid(text);
    if (valid == text.n)
        return RC_OK;
    struct lexer q = *l;
    lex_skip(&q, valid);
    return lex_fail(&q, q.line, lex_col(&q), "the text is not valid UTF-8");
}

enum rc expr_parse(struct arena *a, struct str text, uint32_t line, uint32_t col, const struct expr **ret,
                   struct err *err)
{
    struct parser p = {.lx = lex_start(a, text, line, col, err)};
    if (text.n > EXPR_TEXT_MAX)
        return lex_fail(&p.lx, p.lx.line, p.lx.col0, "an expression may have at most %d KiB", EXPR_TEXT_MAX >> 10);
    TRY(check_text(&p.lx, text));
    p.lx.text = arena_str(a, text);
    TRY(parse_advance(&p));
    if (p.tok.kind == TK_END)
        return FAIL_HERE(&p, "the expression is empty; expected a value");
    const struct expr *e;
    TRY(parse_expr(&p, &e));
    if (p.tok.kind != TK_END)
        return parse_unexpected(&p, "an operator or the end of the expression");
    *ret = e;
    return RC_OK;
}

enum rc expr_parse_hole(struct lexer *l, const struct expr **ret)
{
    struct parser p = {.lx = *l};
    TRY(parse_advance(&p));
    if (is_punct(&p, '}'))
        return FAIL_HERE(&p, "`{{ }}` is empty; expected an expression, or write {{{{ for a literal {{");
    TRY(parse_expr(&p, ret));
    if (!is_punct(&p, '}') || p.lx.pos >= p.lx.text.n || p.lx.text.p[p.lx.pos] != '}')
        return parse_unexpected(&p, "an operator or `}}`");
    lex_skip(&p.lx, 1);
    if (p.lx.pos - l->pos > EXPR_TEXT_MAX)
        return lex_fail(l, l->line, lex_col(l), "an expression may have at most %d KiB", EXPR_TEXT_MAX >> 10);
    *l = p.lx;
    return RC_OK;
}

/* ---- what an expression refers to ---- */

/* What is evaluated before the part at hand and decides about it: the condition of `? :`, the left side of and, or. */
struct guard {
    const struct expr *asks;
    const struct guard *up;
};
struct walk {
    enum rc (*cb)(void *ctx, const struct expr_path *path, bool soft, struct err *err);
    void *ctx;
    struct err *err;
    const struct guard *guards;
    unsigned looks; /* nodes of guards that may still be looked at */
    bool impure;    /* collects: something that is not known before running */
};
enum { GUARD_LOOKS_MAX = 200000 };

/* Is one of the paths the beginning of the other, or the same? */
static bool same_thing(const struct expr *a, const struct expr *b)
{
    for (size_t i = 0; i < a->nseg && i < b->nseg; i++)
        if (a->seg[i].index || b->seg[i].index || !str_eq(a->seg[i].name, b->seg[i].name))
            return false;
    return true;
}

/* Does `n` ask whether `path` is there? */
static bool asks_for(struct walk *w, const struct expr *n, const struct expr *path, bool asking)
{
    if (!n || w->looks == 0)
        return false;
    w->looks--;
    switch (n->kind) {
    case N_CONST:
    case N_LOCAL:
    case N_ITEM:
        return false;
    case N_PATH:
        return asking && same_thing(n, path);
    case N_GET:
    case N_EACH:
        return asks_for(w, n->a, path, asking);
    case N_ARRAY:
    case N_OBJECT:
    case N_CALL:
    case N_TEXT:
        for (size_t i = 0; i < n->n; i++)
            if (asks_for(w, n->list[i], path, asking))
                return true;
        return false;
    default:
        asking |= n->kind == N_DEFAULT || n->kind == N_EXISTS || n->kind == N_EMPTY;
        return asks_for(w, n->a, path, asking) || asks_for(w, n->b, path, asking) || asks_for(w, n->c, path, asking);
    }
}

static bool is_guarded(struct walk *w, const struct expr *path)
{
    for (const struct guard *g = w->guards; g; g = g->up)
        if (asks_for(w, g->asks, path, false))
            return true;
    return false;
}

static enum rc walk(struct walk *w, const struct expr *n, bool soft);
static enum rc walk_guarded(struct walk *w, const struct expr *n, bool soft);

static enum rc walk_path(struct walk *w, const struct expr *n, bool soft)
{
    struct expr_path path = {.seg = n->seg, .n = n->nseg, .line = n->line, .col = n->col};
    return w->cb(w->ctx, &path, soft || is_guarded(w, n), w->err);
}

bool expr_is_root(struct str name)
{
    static const char *const roots[] = {"inputs", "steps",    "state", "loop",     "global_vars",
                                        "env",    "workflow", "run",   "variables"};
    for (size_t i = 0; i < sizeof roots / sizeof *roots; i++)
        if (str_is(name, roots[i]))
            return true;
    return false;
}

static enum rc walk_segs(struct walk *w, const struct expr *n, bool soft)
{
    for (size_t i = 0; i < n->nseg; i++)
        if (n->seg[i].index)
            TRY(walk(w, n->seg[i].index, soft));
    return RC_OK;
}

static enum rc walk(struct walk *w, const struct expr *n, bool soft)
{
    if (!n)
        return RC_OK;
    switch (n->kind) {
    case N_CONST:
    case N_LOCAL:
        return RC_OK;
    case N_PATH:
        w->impure = true;
        TRY(walk_path(w, n, soft));
        return walk_segs(w, n, soft);
    case N_ITEM: /* what it means outside is only known to be meant for the well-known first names */
        w->impure = w->impure || n->a->kind == N_PATH;
        if (n->a->kind == N_PATH && n->nseg > 1 && expr_is_root(n->seg[0].name))
            TRY(walk_path(w, n->a, true));
        return walk_segs(w, n, soft);
    case N_GET:
    case N_EACH:
        TRY(walk(w, n->a, soft));
        return walk_segs(w, n, soft);
    case N_ARRAY:
    case N_OBJECT:
    case N_CALL:
    case N_TEXT:
        if (n->kind == N_CALL && n->fn->flags & FN_CLOCK)
            w->impure = true;
        for (size_t i = 0; i < n->n; i++)
            TRY(walk(w, n->list[i], soft));
        return RC_OK;
    default:
        TRY(walk(w, n->a, soft || n->kind == N_DEFAULT || n->kind == N_EXISTS || n->kind == N_EMPTY));
        return walk_guarded(w, n, soft);
    }
}

static enum rc walk_guarded(struct walk *w, const struct expr *n, bool soft)
{
    const struct guard own = {n->a, w->guards}, *outer = w->guards;
    if (n->kind == N_COND || n->kind == N_AND || n->kind == N_OR)
        w->guards = &own;
    TRY(walk(w, n->b, soft));
    TRY(walk(w, n->c, soft));
    w->guards = outer;
    return RC_OK;
}

enum rc expr_each_path(const struct expr *e,
                       enum rc (*cb)(void *ctx, const struct expr_path *path, bool soft, struct err *err), void *ctx,
                       struct err *err)
{
    struct walk w = {.cb = cb, .ctx = ctx, .err = err, .looks = GUARD_LOOKS_MAX};
    return walk(&w, e, false);
}

static enum rc no_path(void *ctx, const struct expr_path *path, bool soft, struct err *err)
{
    (void)ctx, (void)path, (void)soft, (void)err;
    return RC_OK;
}

static enum rc no_name(void *ctx, const struct val *key, size_t nkeys, struct arena *a, const struct val **ret,
                       size_t *ret_used, struct err *err)
{
    (void)ctx, (void)nkeys, (void)a, (void)ret, (void)ret_used;
    return err_set(err, RC_NOT_FOUND, "unknown name `%.*s`", STR_ARG(key[0].s));
}

/* Constant means: no name, no clock, no error, and the same whether or not conditions' rules hold. */
bool expr_constant(const struct expr *e, struct arena *a, struct val *ret)
{
    struct err err;
    struct walk w = {.cb = no_path, .err = &err};
    if (walk(&w, e, false) != RC_OK || w.impure)
        return false;
    struct val v[2];
    for (int strict = 0; strict < 2; strict++) {
        struct expr_scope scope = {.resolve = no_name, .null_safe = !strict, .fuel = 20000, .max_bytes = 1 << 20};
        if (expr_eval(e, &scope, a, &v[strict], &err) != RC_OK)
            return false;
    }
    if (!val_eq(&v[0], &v[1]))
        return false;
    *ret = v[1];
    return true;
}
