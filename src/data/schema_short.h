#pragma once
/* Schemas in words: known ones by name, and the short form of older workflows. */
#include "base/err.h"
#include "data/val.h"

/* The known schema of that name, or NULL. In `a`. */
const struct val *schema_named(struct arena *a, struct str name);
/* The i-th name, NULL past the end. */
const char *schema_name_at(size_t i);
/* The schema with min_length and max_length, as older workflows write them, in their own spelling; `*old` is the first
 * of them. `schema` itself, and NULL, when there is none. In `a`. */
const struct val *schema_respelt(struct arena *a, const struct val *schema, const struct member **old);
/* A schema from what stands in a workflow: a JSON Schema stays as it is; a text is a name; a map that is no JSON Schema
 * is the short form, {title: string, steps: [{name: string, uses: array}]}, where words are types. RC_INVALID: an
 * unknown name or word, or nesting beyond bounds. In `a`, borrowing from `written`. */
enum rc schema_from(struct arena *a, const struct val *written, const struct val **ret, struct err *err) MUST_CHECK;
