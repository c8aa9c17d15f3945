#pragma once
/* Regular expressions: PCRE2 (UTF-8, Unicode classes) with match, depth and heap limits, so no pattern can hang a run.
 */
#include "base/err.h"
#include "data/val.h"

struct regex; /* owned by the arena it was compiled for (freed with regex_free, or via the cache below) */

/* RC_INVALID with PCRE2's message and offset. Caller frees. */
enum rc regex_compile(struct str pattern, bool ignore_case, struct regex **ret, struct err *err) MUST_CHECK;
void regex_free(struct regex *r);

enum { REGEX_GROUPS = 32 };
struct regex_match {
    bool found;
    unsigned ngroups;               /* group 0 is the whole match */
    struct str group[REGEX_GROUPS]; /* borrowed from the subject; p == NULL for a group that took no part */
};
/* Searches from byte `from`. RC_LIMIT when a limit stopped it, RC_INVALID for bad UTF-8 or when `from` is past the end
 * or inside a character. The whole subject is checked for valid UTF-8 only when `from` is 0, so that going through all
 * matches is linear: with another `from` the subject must be one that was checked, and unchanged. */
enum rc regex_search(const struct regex *r, struct str subject, size_t from, struct regex_match *ret,
                     struct err *err) MUST_CHECK;
/* The same for many searches that share one allowance: at most *units are spent, and what was spent is taken off. A
 * unit is about the time that one character takes; a single search never spends more than regex_search() would. */
enum rc regex_search_within(const struct regex *r, struct str subject, size_t from, uint64_t *units,
                            struct regex_match *ret, struct err *err) MUST_CHECK;
