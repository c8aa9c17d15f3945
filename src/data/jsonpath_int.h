#pragma once
/* The syntax tree of JSONPath, shared by its parser and its evaluator; nobody else includes this. */
#include "data/jsonpath.h"

enum jp_selector_kind { SEL_NAME, SEL_WILDCARD, SEL_INDEX, SEL_SLICE, SEL_FILTER };
struct jp_selector {
    enum jp_selector_kind kind;
    bool has_from, has_to;
    struct str name;
    int64_t from, to, step; /* SEL_INDEX: from */
    const struct jp_expr *filter;
};
struct jp_segment {
    bool descendant;
    const struct jp_selector *sel;
    size_t n;
};
struct jsonpath {
    bool relative; /* begins with @ */
    bool singular;
    const struct jp_segment *seg;
    size_t n;
};

/* What an expression yields: RFC 9535 §2.4.1. JP_QUERY is both nodes and, if singular, a value. */
enum jp_type { JP_VALUE, JP_LOGICAL, JP_NODES };

enum jp_kind {
    JP_OR, /* a b */
    JP_AND,
    JP_NOT,     /* a */
    JP_COMPARE, /* a op b */
    JP_EXISTS,  /* query */
    JP_QUERY,   /* query: a value (singular) or an argument */
    JP_LITERAL, /* literal */
    JP_CALL,    /* fn(a, b) */
};
enum jp_op { JP_EQ, JP_NE, JP_LT, JP_LE, JP_GT, JP_GE };
enum jp_fn { JP_LENGTH, JP_COUNT, JP_MATCH, JP_SEARCH, JP_VALUE_OF };
struct jp_expr {
    enum jp_kind kind;
    enum jp_op op;
    enum jp_fn fn;
    const struct jp_expr *a, *b;
    const struct jsonpath *query;
    struct val literal;
};

struct jp_fn_info {
    const char *name;
    enum jp_type result, arg[2];
    unsigned argc;
};
extern const struct jp_fn_info jp_fns[];
