#pragma once
/* What the files of the transformer share; nobody else includes this.
 *
 *   transform_parse.c   operations as written  ->  struct op
 *   transform_run.c     the machine: which value an operation works on, where its result goes, names, fuel
 *   transform_ops.c     the operations, a step at a time
 *   transform_agg.c     sums, means and their like
 *   transform_path.c    a.b[0].c[*]
 *
 * Everything is allocated in arenas, but for tables, which the run frees. */
#include "base/buf.h"
#include "base/map.h"
#include "data/jsonpath.h"
#include "data/template.h"
#include "data/transform.h"

/* ---- paths ---- */

struct tpath_seg {
    enum { SEG_NAME, SEG_INDEX, SEG_ALL } kind;
    struct str name;
    int64_t index;
};
struct tpath {
    struct str text;
    const struct tpath_seg *seg;
    size_t n;
    bool many;                /* has [*]: yields a list */
    const struct jsonpath *q; /* begins with $; then nothing of the above */
};
enum rc tpath_parse(struct arena *a, struct str text, struct tpath *ret, struct err *err) MUST_CHECK;
/* NULL where there is nothing. What has to be made (a list of [*]) is made in `a`; *cost is how much was looked at. */
const struct val *tpath_get(const struct tpath *p, const struct val *v, struct arena *a, uint64_t *cost);
/* A copy of `v` with `value` at the path, which exists and is not `many`. */
struct val tpath_set(const struct tpath *p, const struct val *v, struct val value, struct arena *a);

/* ---- operations ---- */

enum op_kind {
    OP_FILTER,
    OP_MAP,
    OP_AGGREGATE,
    OP_JOIN,
    OP_GROUP_BY,
    OP_SORT,
    OP_UNIQUE,
    OP_FLATTEN,
    OP_QUERY,
    OP_TRANSFORM,
    OP_VALIDATE,
    OP_SANITIZE,
    OP_COUNT
};

enum agg_fn {
    AGG_SUM,
    AGG_AVERAGE,
    AGG_MIN,
    AGG_MAX,
    AGG_COUNT,
    AGG_COUNT_DISTINCT,
    AGG_STD_DEV,
    AGG_VARIANCE,
    AGG_FIRST,
    AGG_LAST,
    AGG_UNIQUE,
    AGG_NONE
};
const char *agg_name(enum agg_fn fn);
/* The function of that name, or AGG_NONE with the nearest name. */
enum agg_fn agg_find(struct str name, const char **nearest);

/* Code as written: an expression, a text with holes, or a value. */
struct code {
    const struct expr *expr;
    const struct tmpl *tmpl;
    struct val value;
};
struct field_code {
    struct str name;
    struct code code;
};
struct sort_key {
    struct tpath path;
    bool desc;
};
struct group_agg {
    struct str name;
    enum agg_fn fn;
    const struct expr *of; /* NULL: the item */
};
enum join_kind { JOIN_LEFT, JOIN_RIGHT, JOIN_INNER, JOIN_OUTER };
enum word { WORD_NONE, WORD_UPPER, WORD_LOWER };
enum { RULE_TAGS = 1, RULE_ESCAPE = 2, RULE_TRIM = 4 };

struct op {
    enum op_kind kind;
    uint32_t line, col;
    struct str as;
    bool has_field, has_key;
    struct tpath field, key;               /* key: of group_by, value_field of aggregate, join_key's left side */
    const struct expr *condition, *source; /* source: right_source or input_source */
    struct code code;                      /* map, transform */
    const struct field_code *fields;       /* map written as a map */
    size_t nfields;
    enum word word;
    const struct val *mapping;
    struct sort_key *by;
    size_t nby;
    enum agg_fn fn;
    bool has_group;
    struct tpath group, right; /* aggregate's group_by; the key in the rows of right_source */
    const struct group_agg *aggs;
    size_t naggs;
    enum join_kind join;
    const struct jsonpath *query;
    const struct val *schema, *expected;
    unsigned rules;
    struct str format; /* output_format of aggregate */
};
struct transform {
    const struct op *op;
    size_t n;
};
extern const char *const op_names[OP_COUNT];

/* ---- the machine ---- */

struct agg {
    enum agg_fn fn;
    int64_t n, isum;
    bool whole; /* all integers so far, and no overflow */
    double sum, mean, m2;
    const struct val *best; /* min, max, first, last */
    struct val_list list;   /* unique */
    struct table *seen;
};

/* A map from text to something, freed with the run. */
struct table {
    struct map map;
    struct table *next;
};

struct head {
    struct str name;
    bool field; /* some item has a field of that name */
};

struct group {
    struct str name;
    struct val_list items;
    struct agg *agg, **aggs; /* of aggregate; of group_by */
};

struct keyed {
    const struct val **key;
    const struct val *item;
};

enum { HEADS_MAX = 64, RUN_MAGIC_TRANSFORM = 0x7472666d };

struct transform_run {
    uint32_t magic;
    const struct transform *t;
    struct arena *a;
    const struct expr_scope *outer;
    struct expr_cache *cache;
    struct table *tables;
    struct err *err;
    uint64_t fuel, slice;
    size_t start; /* bytes of the arena before */
    struct val v; /* the running value */
    bool wrapped; /* {items, …} that `as` made of a list */
    size_t at;    /* operation */
    bool begun;

    /* of the operation */
    enum { FROM_WHOLE, FROM_FIELD, FROM_ITEMS, FROM_SOURCE } from;
    const struct val *target; /* what is worked on */
    size_t i, n;              /* of its items */
    unsigned phase;
    const struct tpath *item_key; /* `field` where it is a key of the items */
    struct val_list out;
    struct val_map map;
    struct table *index;
    struct group **groups;
    size_t ngroups, groups_cap;
    struct agg *agg;
    struct keyed *sorted, *spare;
    size_t width, from_at, mid_i, mid_j, mid_k;
    const struct val *rows; /* of right_source */
    bool *used;             /* of these rows */
    struct jsonpath_run *query;
    struct head head[HEADS_MAX];
    size_t nheads;

    /* the item that names are looked up in */
    const struct val *item, *item_value;
    struct val item_name;
    size_t item_index;
    bool has_item;
};

enum rc t_fail(struct transform_run *r, enum rc rc, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
enum rc t_spend(struct transform_run *r, uint64_t units) MUST_CHECK;
/* The i-th item of the target (of an object: the value, with its name as `key`), and its text for messages. */
const struct val *t_item(struct transform_run *r, size_t i);
/* Makes names be looked up in that item. */
void t_bind(struct transform_run *r, size_t i);
enum rc t_eval(struct transform_run *r, const struct expr *e, struct val *ret) MUST_CHECK;
enum rc t_code(struct transform_run *r, const struct code *c, struct val *ret) MUST_CHECK;
enum rc t_path(struct transform_run *r, const struct tpath *p, const struct val *v, const struct val **ret) MUST_CHECK;
struct table *t_table(struct transform_run *r);
const struct val *t_keep(struct transform_run *r, struct val v);
/* Equal values have equal texts. */
struct str t_key(struct transform_run *r, const struct val *v);
/* The name of the group that a value belongs to. */
struct str t_name(struct transform_run *r, const struct val *v);
/* -1, 0, 1 for two values that are not null. */
enum rc t_order(struct transform_run *r, const struct val *a, const struct val *b, int *ret) MUST_CHECK;

struct agg *agg_new(struct transform_run *r, enum agg_fn fn);
enum rc agg_add(struct transform_run *r, struct agg *g, const struct val *v) MUST_CHECK;
struct val agg_value(struct agg *g);

/* One bounded step of the operation; *done with its result in *ret. */
typedef enum rc op_step(struct transform_run *r, const struct op *o, bool *done, struct val *ret);
extern op_step *const op_steps[OP_COUNT];
