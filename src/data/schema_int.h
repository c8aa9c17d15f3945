#pragma once
/* What the files of the schema checker share; nobody else includes this.
 *
 * schema_load() walks the schema once, refuses what is wrong and resolves its references; schema_apply() then judges a
 * value by the schema as it stands, trusting its shapes. Everything here lives in the arena of one call. */
#include "base/buf.h"
#include "base/err.h"
#include "base/map.h"
#include "data/number.h"
#include "data/regex.h"

enum {
    SCHEMA_NESTING_MAX = 128,  /* levels of schemas within schemas */
    SCHEMA_CHAIN_MAX = 256,    /* schemas that judge one value through references and combinations */
    SCHEMA_COUNT_MAX = 100000, /* schemas in a schema */
    SCHEMA_DEPTH_MAX = 1024,   /* schemas being applied at one time */
    SCHEMA_FUEL = 10000000,    /* steps of one check: about a second */
    SCHEMA_SHOWN = 60,         /* bytes of a text that messages show */
};

/* A way from the root to a place, for messages: into the value, or into the schema. */
struct spot {
    const struct spot *up;                                    /* NULL at the root */
    enum { SPOT_KEY, SPOT_INDEX, SPOT_NAME, SPOT_TEXT } kind; /* SPOT_NAME: the key itself; SPOT_TEXT: as it stands */
    struct str key;
    size_t index;
};
/* "/items/3/name" in the arena; "/" for the root. */
struct str spot_text(struct arena *a, const struct spot *spot);
/* A value in a few words: `"abc" (string)`, `3 items (array)`. */
struct str schema_shown(struct arena *a, const struct val *v);

/* The absolute address that `reference` (without a fragment) means where `base` holds. A relative base makes a relative
 * address. */
struct str schema_uri(struct arena *a, struct str base, struct str reference);

/* What was learned about a value inside the schema: a schema with a $ref, a pattern's text, a schema under a pattern.
 */
struct node {
    const struct val *at;
    const struct val *target;   /* of the $ref in the schema at `at` */
    const struct val *dynamic;  /* of the $dynamicRef in it, as far as the schema's text tells */
    struct str dynamic_name;    /* the anchor that an outer resource may have instead; or empty */
    struct str place;           /* of the $ref or $dynamicRef */
    const struct val *resource; /* the schema with an $id, or the root, that a schema belongs to */
    struct str uri;             /* of the schema at `at` when it has an $id: the absolute address */
    struct regex *regex;        /* compiled from the string at `at`, or of the key whose value is at `at` */
    bool schema;                /* has been walked as a schema */
    uint8_t colour;             /* of the search for cycles */
    unsigned chain;             /* the longest chain of schemas for one value that starts here, once searched */
    struct node *next;
};
struct schema {
    struct arena *a;
    const struct val *root;
    struct map by_place; /* address of a value -> node */
    struct node *nodes;  /* newest first */
    size_t count;        /* schemas walked */
    struct map dynamics; /* schema_anchor_key() of a $dynamicAnchor -> the schema */
    bool unevaluated;    /* unevaluatedItems or unevaluatedProperties occur */
    bool dynamic;        /* $dynamicRef occurs */
};
/* The name of an anchor, which counts in one resource only. */
struct str schema_anchor_key(struct arena *a, const struct val *resource, struct str name);

/* Fills *s; undo with schema_unload() in every case. RC_INVALID with the place. */
enum rc schema_load(struct schema *s, struct arena *a, const struct val *root, struct err *err) MUST_CHECK;
void schema_unload(struct schema *s);
struct node *schema_node(const struct schema *s, const struct val *at); /* NULL when there is none */

/* How much a violation says about which of several alternatives was not meant. */
enum misfit {
    MISFIT_NONE,  /* nothing: a detail is wrong */
    MISFIT_TYPE,  /* the value is of another kind altogether */
    MISFIT_CHOICE /* it, or what it is marked by, is another of several choices */
};

/* Violations found so far, in a list that ends at a maximum. */
struct violation {
    struct violation *next;
    struct str text;
    const struct spot *spot, *up; /* the place and the one above; only compared, never followed */
    enum misfit misfit;
};
struct found {
    struct violation *first, *last;
    unsigned n, max;
    bool more; /* at least one was left out */
};
/* False: the list is full. */
bool schema_found_add(struct found *f, struct violation *v);

struct check {
    struct schema *s;
    struct arena *a; /* for the time of the check */
    uint64_t fuel;
    enum rc rc; /* why the check was given up, else RC_OK; everything fails quickly then */
    struct err *err;
};
/* The resources whose schemas are being applied, the innermost first: what a $dynamicRef looks through. */
struct dynamic_scope {
    const struct val *resource;
    const struct dynamic_scope *up;
};
/* One value being judged by one schema. */
struct at {
    const struct val *schema, *v;
    const struct spot *spot;
    struct found *found; /* NULL: nobody wants to know why */
    bool *seen;          /* by position: items or members that were judged; NULL when nobody asks */
    unsigned depth;
    const struct dynamic_scope *scope; /* kept only where the schema has a $dynamicRef */
};

typedef bool schema_kw(struct check *c, const struct at *at, const struct val *arg);
enum shape {
    SHAPE_ANCHOR,
    SHAPE_BOOLEAN,
    SHAPE_COUNT,
    SHAPE_DYNAMIC_ANCHOR,
    SHAPE_DYNAMIC_REF,
    SHAPE_DEPENDENCIES,
    SHAPE_ID,
    SHAPE_ITEMS,
    SHAPE_LIST,
    SHAPE_NAMES,
    SHAPE_NAMES_MAP,
    SHAPE_NUMBER,
    SHAPE_PATTERN,
    SHAPE_PATTERN_MAP,
    SHAPE_POSITIVE,
    SHAPE_REF,
    SHAPE_REFUSED,
    SHAPE_SCHEMA,
    SHAPE_SCHEMAS,
    SHAPE_SCHEMA_MAP,
    SHAPE_STRING,
    SHAPE_TYPES,
    SHAPE_WHATEVER
};
enum applies { APPLIES_ANY, APPLIES_ARRAY, APPLIES_NUMBER, APPLIES_OBJECT, APPLIES_TEXT };
struct keyword {
    struct str name;
    enum shape shape;
    enum applies applies;
    schema_kw *check;
};
/* NULL when the keyword means nothing here. */
const struct keyword *schema_keyword(struct str name);

/* Judges the same value by another schema, a part of it by another schema. */
bool schema_apply_here(struct check *c, const struct at *at, const struct val *schema);
bool schema_apply_child(struct check *c, const struct at *at, const struct val *schema, const struct val *child,
                        const struct spot *spot);
/* Takes `steps` from the fuel. False: it is used up, the check is given up. */
bool schema_charge(struct check *c, uint64_t steps);
/* Does the node's pattern occur in the text? False too when the check was given up. */
bool schema_matches(struct check *c, const struct node *n, struct str text);
bool schema_give_up(struct check *c, enum rc rc, const char *why);

/* Notes a violation; always false. The arguments are not evaluated when nobody wants to know. */
#define SCHEMA_FAIL(c, at, ...)           (schema_wants(at) ? schema_fail((c), (at), MISFIT_NONE, __VA_ARGS__) : false)
#define SCHEMA_MISFIT(c, at, misfit, ...) (schema_wants(at) ? schema_fail((c), (at), (misfit), __VA_ARGS__) : false)
bool schema_wants(const struct at *at);
bool schema_fail(struct check *c, const struct at *at, enum misfit misfit, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* Is v a whole multiple of `of` (> 0)? Decimal: 0.3 is a multiple of 0.1. */
bool schema_number_multiple(struct check *c, const struct val *v, const struct val *of);

/* The PCRE2 spelling of a pattern in ECMA-262's; `strict` refuses what ECMA-262 does not have. */
enum rc schema_pattern_compile(struct str pattern, bool strict, struct regex **ret, struct err *err) MUST_CHECK;

typedef bool schema_format(struct str text);
/* What is expected of texts of that format ("a date such as 2026-11-23"), or NULL when the format is unknown. */
const char *schema_format_expected(struct str format);
bool schema_format_fits(struct str format, struct str text);
bool schema_is_hostname(struct str text), schema_is_idn_hostname(struct str text);

schema_kw schema_kw_additional_properties, schema_kw_all_of, schema_kw_any_of, schema_kw_const, schema_kw_contains,
    schema_kw_dependencies, schema_kw_dynamic_ref, schema_kw_enum, schema_kw_exclusive_maximum,
    schema_kw_exclusive_minimum, schema_kw_format, schema_kw_if, schema_kw_items, schema_kw_max_items,
    schema_kw_max_length, schema_kw_max_properties, schema_kw_maximum, schema_kw_min_items, schema_kw_min_length,
    schema_kw_min_properties, schema_kw_minimum, schema_kw_multiple_of, schema_kw_not, schema_kw_one_of,
    schema_kw_pattern, schema_kw_pattern_properties, schema_kw_prefix_items, schema_kw_properties,
    schema_kw_property_names, schema_kw_ref, schema_kw_required, schema_kw_type, schema_kw_unevaluated_items,
    schema_kw_unevaluated_properties, schema_kw_unique_items;
