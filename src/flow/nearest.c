/* How near is near enough depends on the length of what was written: of three letters one may differ, and a name with
 * nothing in common is never proposed. */
#include "flow/nearest.h"

#include "flow/load_int.h"

void nearest_try(struct nearest *n, struct str candidate)
{
    unsigned limit = n->want.n <= 5 ? 1 : n->want.n <= 8 ? 2 : 3; /* of three letters, one; a swap counts as one */
    if (n->want.n > 64 || candidate.n > 64 || candidate.n == 0)
        return;
    if (n->name.n && n->distance <= limit)
        limit = n->distance - 1;
    if (candidate.n > n->want.n + limit || n->want.n > candidate.n + limit)
        return;
    unsigned d = str_distance(n->want, candidate, limit);
    if (d > limit || d >= candidate.n || d >= n->want.n) /* nothing in common */
        return;
    n->distance = d;
    n->name = candidate;
}

void nearest_try_words(struct nearest *n, const char *bars)
{
    struct str list = str_c(bars), one;
    while (str_word(&list, '|', &one))
        nearest_try(n, one);
}

const char *nearest_hint(struct arena *a, const struct nearest *n, const char *rest)
{
    return n->name.n ? arena_printf(a, "did you mean `%s`?", clip(n->name).z).p : rest;
}

const char *nearest_expected(struct arena *a, const char *bars)
{
    struct str list = str_c(bars), one, text = STR("");
    while (str_word(&list, '|', &one))
        text = arena_printf(a, "%.*s%s%.*s", STR_ARG(text), text.n ? ", " : "expected one of: ", STR_ARG(one));
    return text.p;
}

const char *nearest_expected_keys(struct arena *a, const struct step_key *table)
{
    struct str text = STR("");
    for (; table->name; table++)
        if (!table->alias_of)
            text = arena_printf(a, "%.*s%s%s", STR_ARG(text), text.n ? ", " : "expected one of: ", table->name);
    return text.p;
}
