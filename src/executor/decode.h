#pragma once
/* Texts in other encodings as UTF-8. Pure. */
#include "base/arena.h"
#include "base/err.h"

/* `encoding`: utf-8 (or empty: then the text is given back as it is, checked), ascii, latin-1, windows-1252, utf-16 (by
 * its byte order mark, else little-endian), utf-16le, utf-16be, in any case and the usual spellings. A byte order mark
 * of UTF-16 is taken away. RC_INVALID: no such encoding, or no such text; the message says where. */
enum rc decode_text(struct arena *a, struct str text, struct str encoding, struct str *ret, struct err *err) MUST_CHECK;
