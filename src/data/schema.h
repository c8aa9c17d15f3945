#pragma once
/* JSON Schema (draft 2020-12, the subset listed in docs/language.md) over value trees. */
#include "base/err.h"
#include "data/val.h"

/* RC_OK, or RC_SCHEMA with every violation found (up to 20, one a line: "/path: what; what was expected"), or
 * RC_INVALID when the schema itself is wrong. Bounded in depth and work (RC_LIMIT). Messages are built in `a`. */
enum rc schema_check(const struct val *schema, const struct val *v, struct arena *a, struct err *err) MUST_CHECK;
/* RC_INVALID with the place when `schema` is no usable schema (unknown types, bad patterns, dangling $ref). */
enum rc schema_valid(const struct val *schema, struct err *err) MUST_CHECK;
