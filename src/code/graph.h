#pragma once
/* Who imports whom: every import of the workspace, resolved to files of it where that can be done. */
#include "code/query.h"

struct link {
    struct code_file *from, *to; /* to NULL: outside the workspace */
    struct str target;           /* as written */
    struct str package;          /* outside: its package; else empty */
    struct strs names;
    uint32_t line;
    char how; /* as struct import's */
    bool stdlib;
};
struct graph {
    unsigned langs;
    const struct link *links; /* ordered by `from` */
    size_t nlinks;
    const uint32_t *out;  /* by file: where its links begin; files.n + 1 entries */
    const uint32_t *in;   /* by file: where those that lead to it begin in `back`; files.n + 1 entries */
    const uint32_t *back; /* indices of links */
};

/* For files of the languages given (bits) and those that they can import. Built once for them. */
enum rc graph_get(struct code *c, unsigned langs, const struct graph **ret, struct err *err) MUST_CHECK;
static inline size_t graph_index(const struct code *c, const struct code_file *f)
{
    return (size_t)(f - c->files.v);
}
/* {module, path?, …}; `depth` 0: not shown. */
struct val link_val(struct code *c, const struct link *l, int64_t depth);

/* ---- resolve.c ---- */

struct resolver;
struct resolver *resolver_new(struct code *c);
void resolver_free(struct resolver *r);
/* The modules of an outlined file, for languages whose module names say nothing about files. */
void resolver_learn(struct resolver *r, struct code_file *f, const struct outline *o);
enum { RESOLVED_MAX = 256 };
struct resolved {
    struct code_file *file[RESOLVED_MAX];
    size_t n;
    bool stdlib;
    struct str package;
};
void resolve(struct resolver *r, struct code_file *from, const struct outline *o, const struct import *i,
             struct resolved *ret);
/* stdlib.c: does it come with the language? */
bool is_stdlib(enum lang l, struct str target);
