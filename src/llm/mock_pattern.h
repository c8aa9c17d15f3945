#pragma once
/* A text that matches a simple regular expression. */
#include "base/arena.h"

/* Literals, classes, the usual escapes, groups (the first alternative), quantifiers, anchors. At least `min` characters
 * if repetition can give them. False for anything else; the result is checked against the pattern. In `a`. */
bool mock_pattern(struct arena *a, struct str pattern, size_t min, struct str *ret);
