/* Commands hold the workspace's turn (flow/workspace.h), so a parallel loop of nothing else takes as long as one that
 * is not parallel. Its author finds that out by the clock, or is told here. Where a model is asked or something is
 * waited for beside the commands, going side by side does help, and nothing is said. */
#include "step/turns.h"

#include <string.h>

enum work { WORK_NONE, WORK_IN_TURN, WORK_BESIDE };
enum { DEPTH_MAX = 32 };

static enum work work_of_list(const struct list_def *l, unsigned depth);

static enum work more(enum work a, enum work b)
{
    return a > b ? a : b;
}

static enum work work_of(const struct step_def *d, unsigned depth)
{
    static const char *const idle[] = {"set_variable", "data_transform", "test_echo", "break", "continue"};
    for (size_t i = 0; i < sizeof idle / sizeof *idle; i++)
        if (strcmp(d->type->name, idle[i]) == 0)
            return WORK_NONE;
    if (VAL_GET(d->source, "workspace") || d->late_type || depth > DEPTH_MAX)
        return WORK_BESIDE;
    if (strcmp(d->type->name, "command") == 0)
        return WORK_IN_TURN;
    enum work w = WORK_NONE;
    bool has_steps = false;
    size_t slot = 0;
    for (const struct step_key *k = d->type->keys; d->lists && k->name; k++)
        if (k->kind == KEY_STEPS && !k->alias_of) {
            const struct list_def *l = d->lists[slot++];
            has_steps |= l != NULL;
            w = l ? more(w, work_of_list(l, depth + 1)) : w;
        }
    for (size_t i = 0; i < d->nbranches; i++) {
        has_steps = true;
        w = more(w, work_of_list(d->branches[i].list, depth + 1));
    }
    return has_steps && !step_type_asks(d->type) && !d->type->boundary ? w : WORK_BESIDE;
}

static enum work work_of_list(const struct list_def *l, unsigned depth)
{
    enum work w = WORK_NONE;
    for (size_t i = 0; i < l->n; i++)
        w = more(w, work_of(l->steps[i], depth));
    return w;
}

bool turns_only(const struct list_def *l)
{
    return l && work_of_list(l, 0) == WORK_IN_TURN;
}

void turns_warn(const struct step_def *d, const struct val *v, struct problems *ps)
{
    if (!VAL_GET(d->source, "workspace"))
        problem_add(
            ps, true, v->line, v->col,
            "the commands in `%.*s` share a workspace and take turns in it, so they run one after the other all "
            "the same; with `workspace: isolated` each works in a copy of its own, side by side, and "
            "`workspace: shared` says that turns are meant",
            STR_ARG(d->name));
}
