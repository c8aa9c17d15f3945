#pragma once
/* Strict JSON (RFC 8259) text to value trees and back.
 *
 * Reading: UTF-8 checked; one value, white space around it; no comments, trailing commas, NaN or lone surrogates.
 * Integers are exact: int64, or VAL_BIGINT beyond; a number with fraction or exponent is a double (an overflow to
 * infinity is an error). A key that an object has twice is an error where the text is somebody's data (JSON_DATA): each
 * program would read another value. In what machines say to one another the last value wins, at the first one's place.
 * Positions in errors are line:column, both from 1, columns counted in bytes. Writing: doubles as the shortest text
 * that reads back, in the form Python's repr gives (1.0, 1e+16, 5e-324); non-finite doubles as null. Text is escaped
 * minimally (", \, controls); everything else is written as UTF-8. */
#include "base/buf.h"
#include "base/err.h"
#include "data/val.h"

struct json_limits {
    unsigned depth;  /* default 128 */
    size_t max_size; /* bytes of text; default 256 MiB */
    bool unique;     /* a key twice in an object is RC_INVALID, with both places */
};
#define JSON_LIMITS_DEFAULT ((struct json_limits){.depth = 128, .max_size = (size_t)256 << 20})
/* What a person, a workflow, a file or a model gives. */
#define JSON_DATA ((struct json_limits){.depth = 128, .max_size = (size_t)256 << 20, .unique = true})

/* Everything in *ret, text included, is copied into `a`. On error *ret is untouched. RC_INVALID, RC_LIMIT. */
enum rc json_parse(struct arena *a, struct str text, const struct json_limits *limits, struct val *ret,
                   struct err *err) MUST_CHECK;

enum json_style {
    JSON_COMPACT, /* {"a":1,"b":[1,2]} */
    JSON_SPACED,  /* {"a": 1, "b": [1, 2]}: as Python's json.dumps */
    JSON_PRETTY   /* two spaces a level, a newline after the last line is the caller's */
};
void json_write(struct buf *out, const struct val *v, enum json_style style);
/* `s` as a JSON string with its quotes. */
void json_write_str(struct buf *out, struct str s);
/* JSON text in the arena; compact. */
struct str json_text(struct arena *a, const struct val *v);
/* Compact, keys sorted bytewise at every level: equal values give equal bytes. For hashes. */
struct str json_canonical(struct arena *a, const struct val *v);

/* Shortest text that reads back, Python's repr. `out` holds at least 32 bytes; returns the length. */
size_t json_double_text(double d, char *out);
