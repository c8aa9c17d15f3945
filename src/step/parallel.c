/* parallel: named branches, each a list of steps, beside one another.
 *
 * A branch is a list frame under its own name. Without a restart policy a failed branch either ends the step (`fail:
 * fast`) or is one of the results (`fail: collect`); with one it is started again (step/group.h). The plan is pinned
 * before the first branch starts. */
#include "base/panic.h"
#include "step/group.h"
#include "step/turns.h"

#include <stdlib.h>

enum { MAX_PARALLEL = 10000 };

static const struct step_key keys[] = {
    {"branches", KEY_BRANCHES, .required = true, .doc = "Names and lists of steps that run beside one another."},
    {"max_parallel", KEY_INT, .fallback = "all", KEY_FROM_TO(1, MAX_PARALLEL),
     .doc = "How many branches at a time, at the most; they start in the order written."},
    {"max_concurrent", KEY_INT, .doc = "Another spelling of `max_parallel`.", .alias_of = "max_parallel"},
    {"fail", KEY_ENUM, .choices = "fast|collect", .fallback = "fast",
     .doc = "What a branch that fails for good does: stop the others and fail the step, or stand among the results "
            "(then the step fails when all have failed)."},
    {"workspace", KEY_ENUM, .choices = "shared|isolated", .fallback = "shared",
     .doc = "`isolated`: each branch works in a copy of the workspace of its own, and what it changed is taken over at "
            "its good end."},
    GROUP_KEYS,
    {0}};

struct branches {
    struct group *group;
    bool collect;
    size_t failed;
    struct box **results; /* by branch: {ok, results | error} */
    size_t n;
};

static struct frame *start_branch(struct frame *f, size_t i, const char *segment)
{
    struct frame *list = frame_list(f, segment, i, f->def->branches[i].list, NULL, NULL);
    frame_isolate(list);
    return list;
}

static const char *branch_segment(struct frame *f, size_t i)
{
    return arena_cstr(&f->arena, f->def->branches[i].name);
}

static void forget(struct frame *f, size_t first, size_t last)
{
    struct branches *b = f->type_state;
    for (size_t i = first; i <= last; i++) {
        box_unref(b->results[i]);
        b->results[i] = NULL;
    }
}

static const struct group_ops ops = {
    .kind = GROUP_OF_LISTS, .start = start_branch, .segment = branch_segment, .forget = forget};

static const struct val *compute_plan(struct frame *f)
{
    const struct val *c = frame_config(f, false);
    struct group_plan plan = {.n = f->def->nbranches};
    struct str fail;
    if (!c || !frame_int(f, c, "max_parallel", (int64_t)plan.n, 1, MAX_PARALLEL, &plan.max_parallel) ||
        !frame_text(f, c, "fail", STR("fast"), &fail) || !group_policy(f, c, &plan))
        return NULL;
    int64_t ceiling = frame_limits(f)->max_parallel;
    if (ceiling && plan.max_parallel > ceiling)
        plan.max_parallel = ceiling;
    struct val_map m = val_map_new(&f->arena);
    VAL_MAP_SET(&m, "group", group_plan_val(&f->arena, &plan));
    VAL_MAP_SET(&m, "collect", val_bool(str_is(fail, "collect")));
    struct val *v = ARENA_NEW(&f->arena, struct val);
    *v = val_map_done(&m);
    return frame_pin(f, v) ? v : NULL;
}

static void finish(struct frame *f, struct branches *b)
{
    if (b->failed == b->n) {
        step_fail(f, &(struct failure){.rc = RC_STEP,
                                       .message = arena_printf(&f->arena, "all %zu branches failed", b->n),
                                       .below = true});
        return;
    }
    struct val_map all = val_map_new(&f->arena), m = val_map_new(&f->arena);
    for (size_t i = 0; i < b->n; i++)
        if (b->results[i]) /* after a break or continue in one branch, others are missing */
            val_map_set(&all, f->def->branches[i].name, b->results[i]->val);
    VAL_MAP_SET(&m, "success", val_bool(b->failed == 0));
    VAL_MAP_SET(&m, "branches", val_map_done(&all));
    struct val v = val_map_done(&m);
    step_ok_stop(f, &v);
}

static void free_branches(void *state)
{
    struct branches *b = state;
    for (size_t i = 0; b->results && i < b->n; i++)
        box_unref(b->results[i]);
    free(b->results);
    b->results = NULL;
}

static void enter(struct frame *f)
{
    const struct val *v = frame_pinned(f);
    if (!v)
        v = compute_plan(f);
    if (!v)
        return;
    struct group_plan plan = {.n = f->def->nbranches};
    group_plan_read(VAL_GET(v, "group"), &plan);
    struct branches *b = ARENA_NEW(&f->arena, struct branches);
    b->collect = val_get_bool(v, STR("collect"), false);
    b->n = plan.n;
    b->results = calloc(plan.n + 1, sizeof *b->results);
    if (!b->results)
        PANIC("out of memory");
    f->type_state = b;
    b->group = group_new(f, &plan, &ops);
    if (b->group)
        group_start(b->group);
}

static struct box *branch_box(const struct frame *c)
{
    struct box *b = box_empty();
    struct val_map m = val_map_new(&b->arena);
    struct val inner = child_ok(c) ? list_results(c, &b->arena) : *child_result(c);
    VAL_MAP_SET(&m, "ok", val_bool(child_ok(c)));
    val_map_set(&m, child_ok(c) ? STR("results") : STR("error"), val_copy(&b->arena, &inner));
    b->val = val_map_done(&m);
    return b;
}

static void child_done(struct frame *f, struct frame *c)
{
    struct branches *b = f->type_state;
    enum group_event e = group_child_done(b->group, c);
    if (e == GROUP_GAVE_UP)
        return;
    if (e == GROUP_FAILED && !b->collect) {
        struct failure why = child_failure(c);
        why.message = arena_printf(&f->arena, "branch `%.*s`: %.*s", STR_ARG(f->def->branches[c->tag].name),
                                   STR_ARG(why.message));
        step_fail(f, &why);
        return;
    }
    if (e != GROUP_AGAIN) {
        b->failed += e == GROUP_FAILED;
        b->results[c->tag] = branch_box(c);
    }
    if (e == GROUP_OK && child_leave(c)) { /* for the loop around: nothing else of this iteration is wanted */
        finish(f, b);
        return;
    }
    group_start(b->group);
    if (group_done(b->group))
        finish(f, b);
}

/* ---- checks before a run ---- */

/* A branch's name becomes a part of paths, and a field of the result. */
static bool plain(struct str name)
{
    bool dots = true;
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
                    c == '-' || c == '.';
        if (!good)
            return false;
        dots &= c == '.';
    }
    return name.n > 0 && name.n <= 100 && !dots;
}

static void check(const struct step_def *d, struct problems *ps)
{
    for (size_t i = 0; i < d->nbranches; i++) {
        const struct branch *b = &d->branches[i];
        if (!plain(b->name))
            problem_add(ps, false, b->line, b->col,
                        "`%.*s` cannot be the name of a branch; expected at most 100 letters, digits, `_`, `-` and `.`",
                        (int)str_utf8_valid(str_n(b->name.p, b->name.n < 60 ? b->name.n : 60)), b->name.p);
    }
    size_t in_turn = 0;
    for (size_t i = 0; i < d->nbranches; i++)
        in_turn += turns_only(d->branches[i].list);
    const struct val *branches = VAL_GET(d->source, "branches");
    if (in_turn > 1 && in_turn == d->nbranches && branches)
        turns_warn(d, branches, ps);
}

const struct step_type step_parallel = {.name = "parallel",
                                        .doc = "Does several lists of steps beside one another.",
                                        .keys = keys,
                                        .result_doc = "success|branches|error",
                                        .check = check,
                                        .enter = enter,
                                        .child_done = child_done,
                                        .free_state = free_branches};
