#pragma once
/* Capital and small letters: Latin, Greek and Cyrillic, whose pairs keep their length in UTF-8. */
#include "base/str.h"

/* `s` with its letters changed, into `out`, which holds s.n bytes and may be s.p. What is no UTF-8 stays as it is. */
void letters_change(struct str s, bool up, char *out);
