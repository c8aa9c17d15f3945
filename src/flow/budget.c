/* Money and tokens: may another call of a model begin, and who has spent what.
 *
 * What a call cost is known when it ends, and counts for the run and for every step around it; of each, the journal
 * gives back what earlier lives have spent. A budget is asked before a call, so it is exceeded by what was in flight at
 * most. Where a step's own is spent, or that of a workflow it calls, the step fails; where the run's is, the run waits
 * for somebody to raise it, ends, or only says so. */
#include "flow/step_int.h"

#include "base/fault.h"
#include "flow/units.h"

#include <stdio.h>

static bool over_budget(struct frame *f, const char *why)
{
    struct run *r = f->run;
    switch (r->workflow->over_budget) {
    case OVER_BUDGET_CONTINUE:
        if (!r->told_budget)
            frame_event(f, EVENT_NOTE, why, NULL);
        r->told_budget = true;
        return true;
    case OVER_BUDGET_ABORT:
        if (!r->error)
            r->error = error_box(RC_BUDGET, STR(""), str_c(why), f->attempt, f->path);
        frame_cancel(r->root);
        return false;
    case OVER_BUDGET_PAUSE:
        break;
    }
    frame_hold(f, why);
    f->failing.rc = RC_BUDGET;
    return false;
}

struct spending budget_recalled(const struct past *p)
{
    struct spending nothing = {0};
    return fault_hit("budget.forgotten") ? nothing : p->spent; /* a seeded bug for the simulation to catch */
}

void steps_count_usage(struct frame *f, const struct val *result)
{
    for (f = f->parent; f; f = f->parent)
        if (f->ops == &step_ops && f->state)
            spending_add(&step_state_of(f)->spent, result);
}

static bool bounded_in_dollars(const struct frame *f)
{
    if (f->run->budget.usd >= 0)
        return true;
    for (const struct frame *p = f->parent; p; p = p->parent)
        if (p->ops == &step_ops && p->def->budget.usd >= 0)
            return true;
    for (const struct instance *i = f->instance; i->parent; i = i->parent)
        if (i->workflow->budget.usd >= 0)
            return true;
    return false;
}

void frame_unpriced(struct frame *f, const struct val *result)
{
    struct run *r = f->run;
    if (r->told_price || !val_is(VAL_GET(result, "usage"), VAL_OBJECT) || val_is_number(VAL_GET(result, "cost_usd")) ||
        !bounded_in_dollars(f))
        return;
    r->told_price = true;
    struct str model = val_get_str(result, STR("model"), STR("this model"));
    frame_event(f, EVENT_NOTE,
                arena_printf(&r->scratch,
                             "the price of %.*s is not known, so no budget in dollars counts it; bound `tokens`, or "
                             "give its price in TREADLE_PRICES",
                             (int)(model.n < 100 ? model.n : 100), model.p)
                    .p,
                NULL);
}

/* False: the step has failed. Its handler, which then runs, is not bound by what it has spent itself. */
static bool within(struct frame *step, const struct budget *b, const char *whose)
{
    const struct spending *s = &step_state_of(step)->spent;
    if (step->failing_set)
        return true;
    if ((b->usd < 0 || s->usd < b->usd) && (b->tokens < 0 || s->tokens < b->tokens))
        return true;
    struct str why = arena_printf(&step->arena,
                                  "the budget of %s is spent (%s, %lld tokens); raise it and resume with "
                                  "--workflow FILE",
                                  whose, units_usd(s->usd).z, (long long)s->tokens);
    step_fail(step, &(struct failure){.rc = RC_BUDGET, .message = why, .final = true, .below = true});
    return false;
}

/* Of the steps around, and of the workflows that they call. */
static bool within_budgets_around(struct frame *f)
{
    for (struct frame *p = f->parent; p; p = p->parent)
        if (p->ops == &step_ops &&
            !within(p, &p->def->budget, arena_printf(&p->arena, "step `%.*s`", STR_ARG(p->def->name)).p))
            return false;
    for (const struct instance *i = f->instance; i->parent; i = i->parent)
        if (!within(i->step, &i->workflow->budget,
                    arena_printf(&f->arena, "workflow `%.*s`", STR_ARG(i->workflow->name)).p))
            return false;
    return true;
}

bool frame_budget(struct frame *f)
{
    const struct run *r = f->run;
    const struct budget *b = &r->budget;
    const struct run_totals *t = &r->totals;
    char why[200];
    if (!within_budgets_around(f))
        return false;
    if (b->usd >= 0 && t->cost_usd >= b->usd)
        snprintf(why, sizeof why, "the budget of %s is spent (%s); raise %s", units_usd(b->usd).z,
                 units_usd(t->cost_usd).z,
                 r->workflow->budget.usd < 0 ? "PIPELINE_MAX_COST and resume"
                                             : "workflow.budget and resume with --workflow FILE");
    else if (b->tokens >= 0 && t->input_tokens + t->output_tokens >= b->tokens)
        snprintf(why, sizeof why,
                 "the budget of %lld tokens is spent; raise workflow.budget and resume with --workflow FILE",
                 (long long)b->tokens);
    else
        return true;
    return over_budget(f, why);
}
