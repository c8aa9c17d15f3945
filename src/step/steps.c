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

bool step_type_asks(const struct step_type *t)
{
    return t->provider || key_find(t->keys, STR("allowed_tools"));
}

const struct step_type *step_type_find(struct str name)
{
    for (size_t i = 0; step_type_at(i); i++)
        if (str_is(name, types[i]->name) || str_has_word(str_c(types[i]->aliases), '|', name))
            return types[i];
    return NULL;
}

const struct step_type *step_type_of(struct str name, const struct val *source)
{
    const struct step_type *t = step_type_find(name);
    return t && t->variant && val_get(source, str_c(t->variant_key)) ? t->variant : t;
}
