#pragma once
/* Takes the values of secrets out of whatever leaves the executor: raw, as JSON text, URL-encoded, in base64 (at any
 * alignment, both alphabets) and in hexadecimal digits. In their place stands "[secret NAME]". API keys that
 * the process knows by their fingerprints are taken out with them. */
#include "base/arena.h"
#include "base/err.h"
#include "data/val.h"

enum { SECRET_LEAST = 6 }; /* bytes: what is shorter would be found everywhere by chance */

struct redactor {
    struct arena arena;
    struct redaction *first;
};
/* `name` and `value` are copied; a value that is too short is not added. A name may come again, also with another
 * value. */
void redact_add(struct redactor *r, struct str name, struct str value);
void redact_done(struct redactor *r);

/* The value without secrets: `v` itself when there are none in it. In `a`. Keys of objects are looked at, too. */
struct val redact(const struct redactor *r, struct arena *a, const struct val *v);
struct str redact_text(const struct redactor *r, struct arena *a, struct str s);
