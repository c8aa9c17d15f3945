#pragma once
/* What the files of the expression language share: tokens, the syntax tree, the function table and the evaluator's
 * context. Nobody but expr*.c and template.c includes this.
 *
 * Everything here is owned by an arena: tokens and nodes by the one that was parsed into, values by the one that is
 * evaluated into. Nodes are immutable once their parser has returned. Errors are `struct err` with RC_EXPRESSION for
 * what the author wrote, RC_NOT_FOUND for names and RC_LIMIT for bounds. */
#include "data/expr.h"
#include "data/json.h"
#include "data/number.h"

struct regex;

enum {
    EXPR_TEXT_MAX = 64 << 10,    /* bytes of one expression */
    EXPR_DEPTH_MAX = 100,        /* brackets, conditionals and signs inside one another */
    EXPR_HEIGHT_MAX = 500,       /* levels of the tree, a long chain of operators included: bounds recursion */
    EXPR_SEGS_MAX = 32,          /* parts of one path */
    EXPR_NEST_MAX = 100,         /* levels of lists and objects in a value that an expression builds */
    EXPR_VALUE_DEPTH_MAX = 1000, /* levels of values that are compared or hashed */
    EXPR_FUEL = 1000000,
};
#define EXPR_BYTES ((size_t)64 << 20)

/* ---- tokens ---- */

enum tk { TK_END, TK_NAME, TK_NUMBER, TK_STRING, TK_PUNCT };

/* Punctuation, one code each; single characters are themselves. */
enum { P_EQ = 256, P_NE, P_LE, P_GE, P_AND, P_OR, P_ARROW };

struct token {
    enum tk kind;
    int punct;
    size_t from, to; /* bytes of the text */
    uint32_t line, col;
    struct str name; /* TK_NAME */
    struct val val;  /* TK_NUMBER, TK_STRING */
};

struct lexer {
    struct arena *a;
    struct str text;
    size_t pos;
    uint32_t line, col0; /* of text[line_start]; col0 counts from 1 */
    size_t line_start;
    bool known; /* the place in the file is known: messages name it */
    struct err *err;
};

/* Starts at the beginning of `text`, which stands at line:col of its file (0 = unknown) and outlives the nodes. */
struct lexer lex_start(struct arena *a, struct str text, uint32_t line, uint32_t col, struct err *err);
enum rc lex_next(struct lexer *l, struct token *ret) MUST_CHECK;
/* Moves over `n` bytes, counting lines. */
void lex_skip(struct lexer *l, size_t n);
uint32_t lex_col(const struct lexer *l);
/* Fails at a place: RC_EXPRESSION, "line:col: message". */
enum rc lex_fail(const struct lexer *l, uint32_t line, uint32_t col, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* May `c` stand in a name: at its start, or anywhere. */
bool lex_name_start(char c);
bool lex_name_char(char c);

/* ---- the tree ---- */

enum node_kind {
    N_CONST,   /* val */
    N_PATH,    /* seg */
    N_LOCAL,   /* a lambda's parameter: frame `up` levels out, `slot` */
    N_ITEM,    /* seg, in the item of frame `up`; `a` is what it means if the item lacks it */
    N_GET,     /* seg of the value of a */
    N_EACH,    /* seg of every item of a */
    N_SLICE,   /* a[b:c]; b and c may be NULL */
    N_NEG,     /* -a */
    N_NOT,     /* not a */
    N_ARITH,   /* a op b */
    N_COMPARE, /* a op b */
    N_BETWEEN, /* a between b and c */
    N_AND,     /* a and b */
    N_OR,      /* a or b */
    N_DEFAULT, /* a || b; op is OP_LOGIC where a can only be true or false */
    N_COND,    /* a ? b : c */
    N_EXISTS,  /* a exists */
    N_EMPTY,   /* a empty */
    N_ARRAY,   /* list */
    N_OBJECT,  /* list: key, value, key, value... */
    N_CALL,    /* fn(list); with `item` set, list[1] is evaluated once an item */
    N_TEXT,    /* list joined as text: what a template with holes is */
};

enum op {
    OP_NONE,
    OP_LOGIC,
    OP_ADD,
    OP_SUB,
    OP_MUL,
    OP_DIV,
    OP_MOD,
    OP_EQ,
    OP_NE,
    OP_LT,
    OP_LE,
    OP_GT,
    OP_GE,
    OP_CONTAINS,
    OP_IN,
    OP_NOT_IN,
    OP_STARTS,
    OP_ENDS,
    OP_MATCHES,
    OP_EXISTS,
    OP_EMPTY,
    OP_DEFAULT,
    OP_BETWEEN,
};

enum item_kind { ITEM_NONE, ITEM_LAMBDA, ITEM_STRING };

struct expr {
    uint8_t kind, op, item;
    bool time;         /* a point in time: what it is compared with may be written as a date */
    uint16_t height;   /* 1 + the largest of the children's */
    uint16_t up, slot; /* N_LOCAL, N_ITEM */
    uint32_t line, col;
    struct str src; /* as written, for messages */
    const struct expr *a;
    union {
        struct {
            const struct expr *b, *c;
        };
        struct {
            const struct expr_seg *seg;
            size_t nseg;
            const struct val *keys; /* all keys, if none is computed */
        };
        struct {
            const struct expr *const *list;
            size_t n;
            const struct expr_fn *fn;
        };
        struct val val;
    };
};

/* ---- functions ---- */

struct ev;
typedef enum rc fn_call(struct ev *c, const struct expr *n, const struct val *arg, size_t argc, struct val *ret);

enum fn_form {
    FN_EAGER,    /* all arguments are values */
    FN_ITEM,     /* the second argument is a condition or expression on each item of the first */
    FN_ITEM_OPT, /* it may be missing */
    FN_OPER,     /* another spelling of an operator */
};
enum {
    FN_GROWS = 1, /* may return something larger or deeper than its arguments */
    FN_TIME = 2,  /* returns a point in time */
    FN_BOOL = 4,  /* returns true or false, never null */
    FN_CLOCK = 8, /* depends on the time of day */
    FN_NULL = 16, /* wants to see a null first argument; the others yield null for it under conditions' rules */
};
struct expr_fn {
    const char *name;
    uint8_t min, max, form, op, flags;
    fn_call *call; /* not called for FN_OPER */
};
extern const struct expr_fn expr_fns[];
extern const size_t expr_nfns;
/* Names that stand for the run rather than for an item's field: steps, inputs, state... */
bool expr_is_root(struct str name);
/* NULL when there is none; *nearest then is the most similar name or NULL. */
const struct expr_fn *expr_fn_find(struct str name, const char **nearest);
/* What another language's operator or function is called here, or NULL. */
const char *expr_foreign_operator(struct str word);
const char *expr_foreign_function(struct str name);
/* The same of a word that stands before an operand there: `typeof x`. */
const char *expr_foreign_prefix(struct str word);
/* The same of a test behind `is`: `x is defined`. */
const char *expr_foreign_test(struct str word);

#define X(name, least, most, form, op, flags, impl, ...) fn_call impl;
#include "data/expr_functions.def"
#undef X

/* ---- parsing ---- */

/* Parses from `*l` up to `}}` and leaves `*l` behind it. */
enum rc expr_parse_hole(struct lexer *l, const struct expr **ret) MUST_CHECK;
/* A node of the given kind that stands at `l`; fields are zero. */
struct expr *expr_node(struct lexer *l, enum node_kind kind);
/* Sets n->height from a child. False when the tree gets too high. */
bool expr_raise(struct expr *n, const struct expr *child);
/* A path of one name and one key, constant or computed. */
const struct expr *expr_node_path(struct lexer *l, struct str head, struct str name, const struct expr *index);

/* ---- evaluation ---- */

struct expr_cache {
    struct {
        char *pattern;
        size_t n;
        struct regex *re;
    } slot[8];
    unsigned n;
};

struct ev_frame {
    struct val item, index;
    struct ev_frame *up;
};
struct ev {
    struct expr_scope *scope;
    struct arena *a;
    struct err *err;
    struct ev_frame *frame;
    size_t built, max; /* bytes of values, as charged */
    size_t start;      /* what the arena had handed out before */
    unsigned depth;    /* of values being compared or hashed */
    bool null_safe;
    struct expr_cache own, *cache;
};

/* A context for one evaluation; ev_end() releases what is not in the arena. */
void ev_begin(struct ev *c, struct expr_scope *scope, struct arena *a, struct err *err);
void ev_end(struct ev *c);

/* The second argument of `n` for one item. */
enum rc ev_item(struct ev *c, const struct expr *n, const struct val *item, size_t i, struct val *ret) MUST_CHECK;
/* "line:col: message" */
enum rc ev_fail(struct ev *c, const struct expr *n, enum rc code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* Burns fuel for work that is no node. RC_LIMIT. */
enum rc expr_spend(struct ev *c, const struct expr *n, size_t units) MUST_CHECK;
/* Counts bytes about to be built. RC_LIMIT. */
enum rc ev_charge(struct ev *c, const struct expr *n, size_t bytes) MUST_CHECK;
/* Before going one level deeper into a value (c->depth++ is done here, -- by the caller). RC_LIMIT. */
enum rc ev_deeper(struct ev *c, const struct expr *n) MUST_CHECK;
/* Refuses a list or object that is too large or too deep when written out. */
enum rc ev_check(struct ev *c, const struct expr *n, const struct val *v) MUST_CHECK;
enum rc ev_regex(struct ev *c, const struct expr *n, struct str pattern, const struct regex **ret) MUST_CHECK;
enum rc ev_eq(struct ev *c, const struct expr *n, const struct val *a, const struct val *b, bool *ret) MUST_CHECK;
/* -1, 0, 1, or EV_UNORDERED when either is null or not a number. Strings with strings, numbers with numbers, booleans
 * with booleans if `sorting`; otherwise RC_EXPRESSION. `what` names the sides in the message. */
enum { EV_UNORDERED = NUMBER_UNORDERED };
enum rc ev_order(struct ev *c, const struct expr *n, const struct val *a, const struct val *b, int *ret) MUST_CHECK;
enum rc ev_compare(struct ev *c, const struct expr *n, enum op op, const struct val *a, const struct val *b,
                   struct val *ret) MUST_CHECK;
enum rc ev_arith(struct ev *c, const struct expr *n, enum op op, const struct val *a, const struct val *b,
                 struct val *ret) MUST_CHECK;
/* The value as text: strings as they are, null as nothing, others as JSON. */
enum rc ev_text(struct ev *c, const struct expr *n, const struct val *v, struct str *ret) MUST_CHECK;
/* As JSON, counted. */
enum rc ev_json(struct ev *c, const struct expr *n, const struct val *v, enum json_style style,
                struct str *ret) MUST_CHECK;
/* from:to of a list or a string (in characters), negative from the end, NULL where not given. */
enum rc ev_slice(struct ev *c, const struct expr *n, const struct val *v, const int64_t *from, const int64_t *to,
                 struct val *ret) MUST_CHECK;
/* Milliseconds since 1970 of `2024-12-31`, `2024-12-31T10:00`, `…:30.5Z`, `…+02:00`. */
bool expr_date(struct str s, int64_t *ret);

/* Characters (code points) of UTF-8 text, and the byte where the i-th begins (s.n if there are fewer). */
size_t text_length(struct str s);
size_t text_offset(struct str s, size_t i);

/* A short description for messages: `"high"`, `3`, `an array of 2 items`. */
struct shown {
    char z[100];
};
struct shown show_val(const struct val *v);
/* Copies printably: control characters become blanks, and what does not fit ends in an ellipsis. */
void show_text(char *out, size_t room, struct str s);
struct shown show_src(const struct expr *n);
/* "a string", "a number", "null" */
const char *show_type(const struct val *v);
