#pragma once
/* The parser's state and small steps, shared by expr_parse.c (operators) and expr_term.c (names, literals, calls).
 *
 * A parser lives on the stack of one call; the nodes it makes live in the lexer's arena. After an error it is unusable.
 */
#include "data/expr_int.h"

/* Names that parsing knows inside a lambda (`name`) or a quoted condition (`item`). */
struct pframe {
    struct str name[2];
    size_t n;
    bool item;
    struct pframe *up;
};

struct parser {
    struct lexer lx;
    struct token tok; /* the current one */
    size_t prev_end;  /* where the one before ended */
    unsigned depth;
    struct pframe *frame;
};

/* Growing array of nodes. */
struct nodes {
    const struct expr **v;
    size_t n, cap;
};

/* Fails at the current token. */
#define FAIL_HERE(p, ...) lex_fail(&(p)->lx, (p)->tok.line, (p)->tok.col, __VA_ARGS__)

static inline bool is_punct(const struct parser *p, int punct)
{
    return p->tok.kind == TK_PUNCT && p->tok.punct == punct;
}
static inline bool is_word(const struct parser *p, const char *z)
{
    return p->tok.kind == TK_NAME && str_is(p->tok.name, z);
}

enum rc parse_advance(struct parser *p) MUST_CHECK;
/* "unexpected X; expected Y" at the current token. */
enum rc parse_unexpected(const struct parser *p, const char *expected) MUST_CHECK;
/* Goes over a token that must be there. */
enum rc parse_expect(struct parser *p, int punct, const char *expected) MUST_CHECK;
/* A node that begins at the current token; one that begins where `first` does, which becomes its `a`. */
struct expr *parse_open(struct parser *p, enum node_kind kind);
struct expr *parse_open_at(struct parser *p, enum node_kind kind, const struct expr *first);
/* The node ends before the current token; its children are complete. */
enum rc parse_close(struct parser *p, struct expr *n) MUST_CHECK;
void parse_push(struct parser *p, struct nodes *l, const struct expr *e);

/* A whole expression (expr_parse.c), and an operand with all that is written behind it (expr_term.c). */
enum rc parse_expr(struct parser *p, const struct expr **ret) MUST_CHECK;
enum rc parse_term(struct parser *p, const struct expr **ret) MUST_CHECK;
/* A function that is the spelling of an operator: makes the operator's node. */
enum rc parse_operator_call(struct parser *p, const struct expr_fn *fn, struct expr *n,
                            const struct nodes *args) MUST_CHECK;
