/* Operations on data: their mistakes, all of them, at their places.
 *
 * What an expression in them reads is checked when all steps are known. A bare name may be a field of an item, which
 * nobody can know before the run; names that begin with steps., inputs. or the like are somebody's, and are checked. */
#include "flow/load_int.h"

struct telling {
    struct loader *l;
    const struct val *whole;
};

static void tell(void *ctx, uint32_t line, uint32_t col, const char *text)
{
    const struct telling *t = ctx;
    if (!line) {
        line = t->whole->line;
        col = t->whole->col;
    } else {
        places_fix(&t->l->places, &line, &col);
    }
    problem_add(t->l->ps, false, line, col, "%s", text);
}

void load_operations(struct loader *l, const struct step_def *s, const struct val *v)
{
    struct val *placed = ARENA_NEW(l->a, struct val);
    *placed = places_content(&l->places, l->a, v);
    struct telling t = {l, v};
    const struct transform *transform;
    if (v->type == VAL_STR && str_find(v->s, STR("{{")) != SIZE_MAX) {
        BAD(l, v, "`operations` is a template; expected a list of operations");
        return;
    }
    if (transform_parse(l->a, placed, true, tell, &t, &transform) == RC_OK)
        load_later(l, &(struct later){.kind = LATER_TRANSFORM, .step = s, .transform = transform});
}
