#pragma once
/* "did you mean": the name most like one that is not known, and what to say about names that are none.
 *
 * Lists of names are texts with bars between them, "a|b|c". Texts that are returned live in the arena. */
#include "flow/keys.h"

/* The candidate most like `want`: try all of them, then read `name` (empty when none is near). */
struct nearest {
    struct str want, name;
    unsigned distance;
};
void nearest_try(struct nearest *n, struct str candidate);
void nearest_try_words(struct nearest *n, const char *bars);
/* "did you mean `x`?", or `rest` when nothing is near. */
const char *nearest_hint(struct arena *a, const struct nearest *n, const char *rest);
/* "expected one of: a, b, c", of words or of the keys in a table. */
const char *nearest_expected(struct arena *a, const char *bars);
const char *nearest_expected_keys(struct arena *a, const struct step_key *table);
