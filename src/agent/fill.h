#pragma once
/* The text of a prompt file with its places filled: `{NAME}`, and `{if NAME == "x"} … {else} … {endif}`.
 *
 * Values are put in as they are and never looked at again, so nothing that a model or a file said is a place. Pure;
 * bounded by the room that is given. */
#include "base/arena.h"
#include "base/err.h"

struct fill_value {
    struct str name, text;
    bool used; /* some place took it */
};
struct fill {
    struct fill_value *own, *shared; /* looked up in this order */
    size_t nown, nshared;
    bool closed; /* a condition about any other name is false; else it stands as written, and so do its texts */
    size_t max;  /* bytes of the result */
};

/* What is no place, or has no value, stands as written: braces of JSON and of code. RC_INVALID ("line N: what; what was
 * expected") for a condition that is never closed, RC_LIMIT. */
enum rc fill_text(struct arena *a, struct str text, const struct fill *f, struct str *ret, struct err *err) MUST_CHECK;
/* Bytes of the name that `s` begins with: letters, digits and `_`, no digit first. 0: none. */
size_t fill_name_length(struct str s);
