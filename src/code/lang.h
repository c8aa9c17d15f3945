#pragma once
/* Languages: which one a file is in, and loading its grammar.
 *
 * Grammars are shared objects of their own, opened when the first file of the language is parsed. */
#include "base/arena.h"
#include "base/err.h"

enum lang {
    LANG_NONE,
#define X(id, name, grammar, library, endings, names) LANG_##id,
#include "code/lang.def"
#undef X
    LANG_COUNT
};

/* By the file's name alone. */
enum lang lang_of(struct str path);
const char *lang_name(enum lang l); /* "typescript"; LANG_NONE: "" */
/* The languages of that name as bits `1 << lang`; 0 when there is none. "js", "ts" and the like are understood. */
unsigned lang_by_name(struct str name);

struct TSLanguage;
/* RC_NOT_FOUND with the remedy when the grammar is not installed; RC_VERSION when the library does not take it. */
enum rc lang_grammar(enum lang l, const struct TSLanguage **ret, struct err *err) MUST_CHECK;
