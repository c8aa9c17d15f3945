#pragma once
/* What the questions share: the request under way, their criteria, and the files they choose. */
#include "code/outline.h"
#include "data/val.h"

struct glob;
struct graph;
struct code {
    struct arena *arena; /* everything answered lives here */
    struct beneath root;
    struct code_files files;
    bool scanned;
    int64_t deadline_ms;
    struct val_list skipped; /* files that could not be looked into */
    struct strs deadly;      /* files at which an earlier try died */
    struct graph *graph;     /* graph.c, once asked for */
};

/* ---- criteria.c ---- */

/* The criteria of a question in one form: an object with only known keys, lists as arrays of text, points in time as
 * milliseconds, sizes as bytes. `table` is the third column of code_queries.def. RC_INVALID. */
enum rc criteria_read(struct code *c, const char *table, const struct val *given, struct val *ret,
                      struct err *err) MUST_CHECK;
/* Absent ones: an empty list or text, the fallback, false. */
struct strs crit_list(struct code *c, const struct val *crit, const char *key);
struct str crit_text(const struct val *crit, const char *key);
int64_t crit_int(const struct val *crit, const char *key, int64_t fallback);
bool crit_bool(const struct val *crit, const char *key, bool fallback);

/* ---- select.c ---- */

struct code_file;
/* Lists the workspace's files, once. */
enum rc code_scan(struct code *c, struct err *err) MUST_CHECK;

enum { GLOBS_MAX = 64 };
struct selection {
    const struct glob *in[GLOBS_MAX], *out[GLOBS_MAX];
    struct str in_text[GLOBS_MAX]; /* a directory or file as well as a pattern */
    size_t nin, nout;
    unsigned langs; /* 0: any */
    bool no_tests;
};
/* From in_file, in_files, pattern (if `with_pattern`), exclude_patterns, exclude_tests, language. RC_NOT_FOUND when a
 * file that is named does not exist. */
enum rc select_read(struct code *c, const struct val *crit, bool with_pattern, struct selection *ret,
                    struct err *err) MUST_CHECK;
bool select_has(const struct selection *s, const struct code_file *f);
/* Files named by a criterion, of which each must exist. */
enum rc select_named(struct code *c, const struct val *crit, const char *key, const char *other,
                     struct code_file ***ret, size_t *n, struct err *err) MUST_CHECK;
/* The outline, made at the first call; NULL in *ret when the file had to be skipped. Fails for want of a grammar, and
 * past the deadline. */
enum rc code_outline(struct code *c, struct code_file *f, const struct outline **ret, struct err *err) MUST_CHECK;
/* The text of a file, or an empty one when it had to be skipped. In `a`. */
struct str code_text(struct code *c, struct code_file *f, struct arena *a);
/* Does the name match: equal, or a pattern with `*` and `?`? An empty wish matches all. */
bool name_fits(struct str wish, struct str name);
enum rc code_in_time(struct code *c, struct err *err) MUST_CHECK;
struct val strs_val(struct code *c, struct strs l);

/* Values under names, lists of them, in the order of the names' first use. */
struct groups {
    struct code *c;
    struct map by_name; /* -> struct group */
    struct group *first, *last;
};
void groups_add(struct groups *g, struct str name, struct val v);
struct val groups_done(struct groups *g);

/* ---- the questions: one function for each row of code_queries.def ---- */

typedef enum rc query_fn(struct code *c, const struct val *crit, struct val *ret, struct err *err);
#define X(kind, field, criteria, doc) query_fn query_##kind;
#include "data/code_queries.def"
#undef X

/* The whole request; `ret` is what `ok` holds. */
enum rc code_answer(struct code *c, const struct val *request, struct val *ret, struct err *err) MUST_CHECK;

/* ---- project.c: what a model step's `codebase` holds ---- */
enum rc project_context(struct code *c, struct val *ret, struct err *err) MUST_CHECK;
/* The packages that manifests declare. */
enum rc project_dependencies(struct code *c, bool dev, struct val *ret, struct err *err) MUST_CHECK;

/* ---- query_files.c: are these two about the same thing (user.ex and user_test.exs)? ---- */
bool files_same_subject(const struct code_file *a, const struct code_file *b);

/* The file that is being parsed, NUL-terminated: in memory that outlives this process. NULL: nobody wants to know. */
enum { CODE_AT_SIZE = 4200 };
extern char *code_at;
/* Before and after a parser sees the file. False: it is one that must be left out; it is noted as skipped. */
bool code_enter(struct code *c, const struct code_file *f);
void code_leave(void);
