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

static void check_number(struct problems *ps, const struct member *m, const struct step_key *row)
{
    struct err err;
    double x;
    bool template = m->val.type == VAL_STR && str_find(m->val.s, STR("{{")) != SIZE_MAX;
    if (key_is_number(row->kind) && m->val.type != VAL_NULL && !template &&
        key_number(m->key, row, &m->val, &x, &err) != RC_OK)
        problem_add(ps, false, m->val.line, m->val.col, "%s", err.msg);
}

void nearest_check_keys(struct problems *ps, const struct val *object, const struct step_key *table, const char *owner)
{
    for (size_t i = 0; val_is(object, VAL_OBJECT) && i < object->obj.n; i++) {
        const struct member *m = &object->obj.m[i];
        struct nearest near = {.want = m->key};
        const struct step_key *row = key_find(table, m->key);
        if (row) {
            check_number(ps, m, key_ranged(table, row));
            continue;
        }
        for (const struct step_key *k = table; k->name; k++)
            nearest_try(&near, str_c(k->name));
        problem_add(ps, false, m->line, m->col, "unknown key `%s` of %s; %s", clip(m->key).z, owner,
                    nearest_hint(ps->a, &near, nearest_expected_keys(ps->a, table)));
    }
}
