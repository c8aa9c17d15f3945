/* How much a workspace may hold is asked after each step that may have written there, before it ends well: by the
 * bounds of the calls around it, the nearest first, then by that of its workflow, or of the run. Each answer is an
 * effect of the step, part of the journal as every answer from outside. A bound of a call is for what that call has as
 * its workspace: a directory of its own, a copy, or all of its caller's. */
#include "flow/run_int.h"

#include "flow/instance.h"
#include "flow/step_int.h"

struct files_bound {
    int64_t most;
    struct str root;          /* what is measured; empty: all */
    const struct instance *i; /* the workflow whose call bounds it, or NULL */
};

/* The n-th, from 0; false: there are not so many. */
static bool nth_bound(const struct frame *f, unsigned n, struct files_bound *ret)
{
    for (const struct instance *i = f->instance; i; i = i->parent) {
        if (!i->max_files || n--)
            continue;
        *ret = (struct files_bound){i->max_files, i->root, i};
        return true;
    }
    int64_t own = f->instance->workflow->limits.workspace;
    *ret = (struct files_bound){.most = own ? own : f->run->workflow->limits.workspace};
    return n == 0 && ret->most;
}

bool files_measure(struct frame *f)
{
    unsigned n = step_state_of(f)->measured;
    struct files_bound b;
    if (!workspace_writes(f) || !nth_bound(f, n, &b))
        return false;
    struct val_map m = val_map_new(&f->arena);
    struct val *request = ARENA_NEW(&f->arena, struct val);
    VAL_MAP_SET(&m, "action", VAL_LIT("measure"));
    VAL_MAP_SET(&m, "max", val_int(b.most));
    if (b.root.n)
        VAL_MAP_SET(&m, "below", val_str(b.root));
    *request = val_map_done(&m);
    frame_effect(f, arena_printf(&f->arena, "size:%u", n + 1).p, TAG_SIZE,
                 &(struct effect_plan){.kind = EFFECT_WORKSPACE,
                                       .request = request,
                                       .on_interrupt = ON_INTERRUPT_RETRY,
                                       .label = "measure the workspace"});
    return true;
}

static struct str too_much(struct frame *f, const struct files_bound *b)
{
    struct arena *a = &f->arena;
    long long n = (long long)b->most;
    struct str most = arena_printf(a, n >> 20 ? "%lld MB" : "%lld bytes", n >> 20 ? n >> 20 : n);
    if (!b->i)
        return arena_printf(a,
                            "the workspace has more than %.*s of files after this step (limits.workspace, or "
                            "workspace_config.max_size_mb); remove what is not needed, or allow more",
                            STR_ARG(most));
    return arena_printf(a,
                        "the workspace of workflow `%.*s` has more than %.*s of files after this step (`workspace: "
                        "{max_size_mb}` in `config` of step `%.*s`); remove what is not needed, or allow more",
                        STR_ARG(b->i->workflow->name), STR_ARG(most), STR_ARG(b->i->step->def->name));
}

void step_measured(struct frame *f, const struct frame *c)
{
    struct files_bound b;
    bool known = nth_bound(f, step_state_of(f)->measured, &b);
    if (!c->ok) {
        step_fail_as(f, c);
    } else if (known && val_get_int(child_result(c), STR("bytes"), 0) > b.most) {
        step_fail(f, &(struct failure){
                         .rc = RC_LIMIT, .code = STR("workspace_size"), .message = too_much(f, &b), .final = true});
    } else {
        step_state_of(f)->measured++;
        step_take_ok(f);
    }
}
