#pragma once
/* JSON Schema (draft 2020-12, what docs/schema.md lists) over value trees.
 *
 * Nothing is kept between calls, nothing borrowed outlives one. Depth and work are bounded by counters, not by time, so
 * a check has the same outcome on every machine. References stay inside the schema: nothing is ever fetched. */
#include "base/err.h"
#include "data/val.h"

enum { SCHEMA_REPORT_MAX = 20 }; /* violations reported of one value */

/* RC_OK, or RC_SCHEMA with every violation found (up to SCHEMA_REPORT_MAX, one a line: "/path: what; expected what"),
 * or RC_INVALID when the schema itself is wrong. Bounded in depth and work (RC_LIMIT). err->msg holds the lines that
 * fit, whole ones, and then how many more there are. Messages are built in `a`. */
enum rc schema_check(const struct val *schema, const struct val *v, struct arena *a, struct err *err) MUST_CHECK;
/* As schema_check; *report gets all lines of an RC_SCHEMA (in `a`), else err->msg. Empty when all is well. */
enum rc schema_report(const struct val *schema, const struct val *v, struct arena *a, struct str *report,
                      struct err *err) MUST_CHECK;
/* Is `schema` an object with members, none of which is a keyword? Then it accepts everything, which nobody means. */
bool schema_says_nothing(const struct val *schema);
/* RC_INVALID with the place when `schema` is no usable schema (unknown types, bad patterns, dangling $ref). */
enum rc schema_valid(const struct val *schema, struct err *err) MUST_CHECK;
