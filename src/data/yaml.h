#pragma once
/* YAML 1.2 (core schema) to value trees, over libyaml's event parser.
 *
 * Every value and every key carries line and column. One document a file. Refused, with a position: duplicate keys,
 * non-text keys other than plain scalars (those become their text), unknown tags, more than `depth` levels, `max_size`
 * bytes, `max_nodes` nodes; aliases and merges count as if written out, in all three. Merge keys (`<<`) are honoured:
 * what a mapping says itself wins, then the first source; merged members stand after its own. Core schema only: `no`,
 * `on`, `0777` are text or decimal, never booleans or octal; `.inf`, `.nan` and floats beyond a double are errors. An
 * empty document is null. Columns count characters. A plain scalar that starts with `{{` and ends with `}}` would be a
 * flow mapping in YAML; the reader reports that case with the remedy (quote it). */
#include "base/err.h"
#include "data/val.h"

struct yaml_limits {
    unsigned depth;   /* default 64 */
    size_t max_size;  /* default 16 MiB */
    size_t max_nodes; /* default 1,000,000 */
};
#define YAML_LIMITS_DEFAULT ((struct yaml_limits){.depth = 64, .max_size = (size_t)16 << 20, .max_nodes = 1000000})

/* Values that aliases may name beside the anchors of the text, which go before them. */
struct yaml_aliases {
    void *ctx;
    /* NULL: there is none. What is given must live as long as the result. */
    const struct val *(*find)(void *ctx, struct str name);
    /* Told at the end, of each anchor of the text; may be NULL. */
    void (*anchor)(void *ctx, struct str name, const struct val *v);
};
enum rc yaml_parse_with(struct arena *a, struct str text, const char *file, const struct yaml_limits *limits,
                        const struct yaml_aliases *aliases, struct val *ret, struct err *err) MUST_CHECK;

/* `file` is used in messages only: "file:line:column: what is wrong; what was expected". Copies all into `a`. */
enum rc yaml_parse(struct arena *a, struct str text, const char *file, const struct yaml_limits *limits,
                   struct val *ret, struct err *err) MUST_CHECK;
