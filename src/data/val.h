#pragma once
/* The one value tree: YAML, JSON, step results, variables, requests and replies are all made of it.
 *
 * A value is immutable once it is published and belongs to an arena (its text and children included). Functions borrow
 * values; to keep one beyond its arena, val_copy() it into another, or put it in a `box`. A `struct val` is 40 bytes
 * and is passed by value where it is built, by const pointer where it is read. `line`/`col` (from 1; 0 = unknown) tell
 * where a value stood in its source. */
#include "base/arena.h"

enum val_type { VAL_NULL, VAL_BOOL, VAL_INT, VAL_BIGINT, VAL_DOUBLE, VAL_STR, VAL_ARRAY, VAL_OBJECT };

struct member;
struct val {
    uint8_t type; /* enum val_type */
    bool away; /* VAL_NULL: it has left memory, and `s` says where it is (flow/away.h). Containers: it has such parts */
    uint32_t line, col;
    union {
        bool b;
        int64_t i;
        double d; /* finite, or one of the non-finite values that only arithmetic makes; JSON writes those as null */
        struct str s; /* VAL_STR: UTF-8. VAL_BIGINT: canonical decimal digits of an integer that does not fit int64 */
        struct {
            const struct val *v;
            size_t n;
        } arr;
        struct {
            const struct member *m; /* in the order written; keys are unique */
            size_t n;
            const uint32_t *index; /* open-addressing slots for n > 16, else NULL; see val.c */
        } obj;
    };
};
struct member {
    struct str key;
    struct val val;
    uint32_t line, col; /* of the key */
};

extern const struct val val_null, val_true, val_false, val_empty_object, val_empty_array;

static inline struct val val_bool(bool b)
{
    return (struct val){.type = VAL_BOOL, .b = b};
}
static inline struct val val_int(int64_t i)
{
    return (struct val){.type = VAL_INT, .i = i};
}
static inline struct val val_double(double d)
{
    return (struct val){.type = VAL_DOUBLE, .d = d};
}
/* Borrows the text. */
static inline struct val val_str(struct str s)
{
    return (struct val){.type = VAL_STR, .s = s};
}
#define VAL_LIT(lit) val_str(STR(lit))

static inline bool val_is(const struct val *v, enum val_type t)
{
    return v && v->type == t;
}
static inline bool val_is_number(const struct val *v)
{
    return v && (v->type == VAL_INT || v->type == VAL_BIGINT || v->type == VAL_DOUBLE);
}
/* "string", "integer", "number", "boolean", "array", "object", "null": the words used in messages. */
const char *val_type_name(const struct val *v);

/* Object access; NULL when `v` is NULL, no object, or lacks the key. */
const struct val *val_get(const struct val *v, struct str key);
const struct member *val_member(const struct val *v, struct str key);
#define VAL_GET(v, lit) val_get((v), STR(lit))
/* Array access; NULL when out of range or no array. */
const struct val *val_at(const struct val *v, size_t i);
/* Convenience for optional fields: the fallback when absent or of another type. */
struct str val_get_str(const struct val *v, struct str key, struct str fallback);
int64_t val_get_int(const struct val *v, struct str key, int64_t fallback);
bool val_get_bool(const struct val *v, struct str key, bool fallback);
/* Any number as a double; `fallback` otherwise. */
double val_to_double(const struct val *v, double fallback);

/* Deep equality. 1 == 1.0; objects compare without order; strings bytewise. */
bool val_eq(const struct val *a, const struct val *b);
/* Truth as conditions see it: null, false, 0, "", [] and {} are false. */
bool val_truthy(const struct val *v);
/* Deep copy into `a`. */
struct val val_copy(struct arena *a, const struct val *v);
/* Bytes a deep copy would take, roughly; for limits. */
size_t val_weight(const struct val *v);
/* Levels of arrays and objects: 0 for a scalar, 1 for [], 2 for [[]]. What is to be stored as JSON must stay within the
 * depth that its reader allows. */
size_t val_depth(const struct val *v);

/* Builders. They own nothing but scratch in the arena; finish with _done, which yields the value. */
struct val_list {
    struct arena *a;
    struct val *v;
    size_t n, cap;
    bool away;
};
static inline struct val_list val_list_new(struct arena *a)
{
    return (struct val_list){.a = a};
}
void val_list_push(struct val_list *l, struct val v);
struct val val_list_done(struct val_list *l);

struct val_map {
    struct arena *a;
    struct member *m;
    size_t n, cap;
    uint32_t *index;
    size_t index_cap;
    bool away;
};
static inline struct val_map val_map_new(struct arena *a)
{
    return (struct val_map){.a = a};
}
/* Replaces the value of a key that is there already (it keeps its place). Key and value are borrowed from the arena. */
void val_map_set(struct val_map *m, struct str key, struct val v);
/* Makes room for `n` members in all, so that exactly as much is allocated. */
void val_map_reserve(struct val_map *m, size_t n);
#define VAL_MAP_SET(m, lit, v) val_map_set((m), STR(lit), (v))
/* As val_map_set, but false (and no change) when the key is there; sets the member's position. */
bool val_map_add(struct val_map *m, struct str key, struct val v, uint32_t line, uint32_t col);
/* Sets every member of object `src`. */
void val_map_merge(struct val_map *m, const struct val *src);
struct val val_map_done(struct val_map *m);

/* A value with an arena of its own, shared by counting: what results and variables are kept in. Not thread-safe. */
struct box {
    uint32_t refs;
    struct arena arena;
    struct val val;
};
/* A box holding a deep copy of `v` (or null when v is NULL), with one reference. */
struct box *box_new(const struct val *v);
/* An empty box (val is null) to build in: fill box->arena, then box->val. One reference. */
struct box *box_empty(void);
struct box *box_ref(struct box *b);
void box_unref(struct box *b); /* NULL is fine */
