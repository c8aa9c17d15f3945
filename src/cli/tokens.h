#pragma once
/* The tokens that `treadle serve` asks its clients for: read once, at its start, and kept as hashes only. */
#include "base/err.h"

enum { TOKENS_MAX = 64, TOKEN_LEAST = 20 /* bytes; `openssl rand -hex 32` gives 64 */ };

/* From `path` (one a line; lines that begin with # do not count; NULL: no file) and from the variable TREADLE_TOKEN,
 * which is removed from the environment. The hashes, one after another, in a sealed memory file: `ret` (the caller's),
 * or -1 when there is no token; `n` says how many. RC_USAGE says what is wrong with a token or the file, never the
 * token. */
enum rc tokens_read(const char *path, int *ret, size_t *n, struct err *err) MUST_CHECK;
