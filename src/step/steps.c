/* The table of step types, made from steps.def. */
#include "flow/keys.h"
#include "flow/step.h"

#define X(name) extern const struct step_type step_##name;
#include "step/steps.def"
#undef X

static const struct step_type *const types[] = {
#define X(name) &step_##name,
#include "step/steps.def"
#undef X
};

const struct step_type *step_type_at(size_t i)
{
    return i < sizeof types / sizeof *types ? types[i] : NULL;
}

static bool in_aliases(const char *aliases, struct str name)
{
    struct str rest = str_c(aliases);
    while (rest.n) {
        size_t bar = str_find(rest, STR("|"));
        struct str one = bar == SIZE_MAX ? rest : str_n(rest.p, bar);
        if (str_eq(one, name))
            return true;
        rest = bar == SIZE_MAX ? str_n("", 0) : str_from(rest, bar + 1);
    }
    return false;
}

bool step_type_asks(const struct step_type *t)
{
    return t->provider || key_find(t->keys, STR("allowed_tools"));
}

const struct step_type *step_type_find(struct str name)
{
    for (size_t i = 0; step_type_at(i); i++)
        if (str_is(name, types[i]->name) || in_aliases(types[i]->aliases, name))
            return types[i];
    return NULL;
}

const struct step_type *step_type_of(struct str name, const struct val *source)
{
    const struct step_type *t = step_type_find(name);
    return t && t->variant && val_get(source, str_c(t->variant_key)) ? t->variant : t;
}
