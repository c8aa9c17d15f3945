#pragma once
/* I-Regexps (RFC 9485), the regular expressions of JSONPath, as PCRE2 writes them.
 *
 * An I-Regexp is a small common part of all dialects: no \d or \w, no lookaround, no back references. */
#include "base/buf.h"
#include "base/err.h"

/* Appends the PCRE2 pattern to `out`; `whole`: it must match all of a text, not a part of it. RC_INVALID with the place
 * when `pattern` is no I-Regexp, RC_LIMIT when it is larger than what is allowed here. */
enum rc iregexp_translate(struct str pattern, bool whole, struct buf *out, struct err *err) MUST_CHECK;
