/* for_loop: does its steps once for each item, one after another or several at a time.
 *
 * What is looped over is computed once, when the loop is entered, and pinned with it, so that a change of variables
 * inside the loop (or a crash) never changes the list under it. An iteration is a list frame `N` below the loop, from
 * 0.
 *
 * A break stops what runs beside it; what has ended by then is the result.
 *
 * Iterations do not stay: when one ends, the journal has it, and the loop only counts. Its result says where they are
 * (flow/away.h); the few of a small loop are put on the run's shelf, so that whoever reads them next need not fetch
 * them.
 *
 * With a restart policy the iterations are members of a group (step/group.h), which remembers each of them. */
#include "data/json.h"
#include "flow/away.h"
#include "flow/shelf.h"
#include "step/group.h"
#include "step/turns.h"

#include <stdio.h>
#include <stdlib.h>

enum { DEFAULT_PARALLEL = 8, MAX_PARALLEL = 10000, MAX_MEMBERS = 1 << 20 };

static const struct step_key keys[] = {
    {"iterator", KEY_STRING, .choices = "variable_name", .fallback = "item",
     .doc = "Name of the current item inside the loop: loop.NAME or NAME."},
    {"as", KEY_STRING, .choices = "variable_name", .doc = "Another spelling of `iterator`.", .alias_of = "iterator"},
    {"data_source", KEY_ANY, .required = true,
     .doc = "A list, an object (items are {key, value}), a template, an expression such as range(1, 10) or "
            "steps.scan.files, or previous_response:STEP.field."},
    {"over", KEY_ANY, .doc = "Another spelling of `data_source`.", .alias_of = "data_source"},
    {"steps", KEY_STEPS, .required = true, .doc = "What is done for each item."},
    {"parallel", KEY_BOOL, .fallback = "false", .doc = "Several items at a time."},
    {"max_parallel", KEY_INT, .fallback = "8", KEY_FROM_TO(1, MAX_PARALLEL),
     .doc = "How many at a time, at the most (with parallel)."},
    {"max_concurrent", KEY_INT, .doc = "Another spelling of `max_parallel`.", .alias_of = "max_parallel"},
    {"max_iterations", KEY_INT, KEY_FROM(0), .doc = "Only the first so many items."},
    {"break_condition", KEY_COND,
     .doc = "Asked after each iteration, about it (its steps and loop.*): whether it was the last one."},
    {"continue_condition", KEY_COND,
     .doc = "Asked before each iteration, about it (loop.* and what is around): whether it is skipped."},
    {"workspace", KEY_ENUM, .choices = "shared|isolated", .fallback = "shared",
     .doc = "`isolated`: each iteration works in a copy of the workspace of its own, and what it changed is taken over "
            "at its good end."},
    {"ordered_results", KEY_BOOL, .fallback = "true",
     .doc = "Results are always in the order of the items; no effect."},
    {"memory_limit", KEY_SIZE,
     .doc = "How much of its results may stay in memory; what is more is read from the journal when it is asked for. "
            "There is a small limit anyway."},
    {"break_on_error", KEY_BOOL, .fallback = "true",
     .doc =
         "Whether a failed iteration ends the loop (what runs beside it is stopped) and fails the step. With false the "
         "step fails only when every iteration has failed."},
    GROUP_KEYS,
    {0}};

struct loop {
    const struct val *plan; /* the pinned object */
    size_t n;               /* items */
    size_t next, ok, failed, running;
    int64_t max_parallel;
    bool break_on_error;
    bool broken;          /* a resumed run knows that a break was met: what had ended counts, nothing else is started */
    bool leaving;         /* a break was met: what runs is being stopped */
    struct box *kept;     /* the iterations so far, while they are few; else NULL: the journal has them */
    struct val_list list; /* of them, in the order of their ends */
    int64_t memory_limit;
    struct box *last_error;
    struct group *group; /* where what fails is started again: it knows instead of the numbers above; else NULL */
};

static struct val pairs_of(struct arena *a, const struct val *object)
{
    struct val_list l = val_list_new(a);
    for (size_t i = 0; i < object->obj.n; i++) {
        struct val_map m = val_map_new(a);
        VAL_MAP_SET(&m, "key", val_str(object->obj.m[i].key));
        VAL_MAP_SET(&m, "value", object->obj.m[i].val);
        val_list_push(&l, val_map_done(&m));
    }
    return val_list_done(&l);
}

/* A step's name alone means what it said, not its result's fields: a model's list, or the JSON in its text. */
static void items_of_result(struct frame *f, struct val *ret)
{
    const struct val *data = VAL_GET(ret, "data"), *text = VAL_GET(ret, "text");
    struct val v;
    struct err err;
    if (!val_is(VAL_GET(ret, "success"), VAL_BOOL))
        return;
    if (val_is(data, VAL_ARRAY) || val_is(data, VAL_OBJECT))
        *ret = *data;
    else if (val_is(text, VAL_STR) && json_parse(&f->arena, text->s, &JSON_DATA, &v, &err) == RC_OK &&
             (v.type == VAL_ARRAY || v.type == VAL_OBJECT))
        *ret = v;
}

/* The author's text is an expression; `previous_response:a.b` is the old way to say steps.a.b, or names a query. */
static bool items_of_expression(struct frame *f, struct str text, struct val *ret)
{
    struct str old = STR("previous_response:");
    if (!frame_expr(f, text, ret))
        return false;
    if (str_starts(text, STR("steps.")))
        text = str_from(text, 6);
    else if (str_starts(text, old))
        text = str_from(text, old.n);
    if (ret->type == VAL_OBJECT && str_find(text, STR(".")) == SIZE_MAX && str_find(text, STR("[")) == SIZE_MAX)
        items_of_result(f, ret);
    return true;
}

/* What a template made is data, such as a model's answer: JSON, never code. */
static bool items_of_text(struct frame *f, struct str text, struct val *ret)
{
    struct err err;
    if (json_parse(&f->arena, text, &JSON_DATA, ret, &err) == RC_OK)
        return true;
    step_failf(f, RC_INVALID, "`data_source` is text that is no JSON (%s); expected a list or an object", err.msg);
    return false;
}

static bool is_template(const struct val *step)
{
    const struct val *v = VAL_GET(step, "data_source") ? VAL_GET(step, "data_source") : VAL_GET(step, "over");
    return val_is(v, VAL_STR) && str_find(v->s, STR("{{")) != SIZE_MAX;
}

static bool compute_items(struct frame *f, const struct val *source, struct val *ret)
{
    *ret = source ? *source : val_null;
    if (ret->type == VAL_STR) {
        struct str text = str_trim(ret->s);
        if (!(is_template(f->def->source) ? items_of_text : items_of_expression)(f, text, ret))
            return false;
    }
    if (ret->type == VAL_OBJECT)
        *ret = pairs_of(&f->arena, ret);
    if (ret->type == VAL_ARRAY)
        return true;
    step_failf(f, RC_INVALID, "`data_source` is %s; expected a list or an object", val_type_name(ret));
    return false;
}

/* `range(A, B)` and nothing more needs no list: {range: [A, B]} stands for it. False: it is something else. */
static bool compute_range(struct frame *f, const struct val *source, int64_t most, struct val_map *plan)
{
    struct str text = val_is(source, VAL_STR) && !is_template(f->def->source) ? str_trim(source->s) : str_n("", 0);
    struct val *ends = ARENA_NEW(&f->arena, struct val);
    if (!str_starts(text, STR("range(")) || !str_ends(text, STR(")")))
        return false;
    text = arena_printf(&f->arena, "[%.*s]", (int)(text.n - 7), text.p + 6);
    if (!frame_is_expr(f, text) || !frame_expr(f, text, ends))
        return false;
    if (ends->type != VAL_ARRAY || ends->arr.n != 2)
        return false;
    struct val_map m = val_map_new(&f->arena);
    VAL_MAP_SET(&m, "range", *ends);
    struct val v = val_map_done(&m);
    int64_t n = away_item_count(&v);
    if (n < 0)
        return false;
    struct val *cut = arena_calloc(&f->arena, 2, sizeof *cut);
    n = n < most ? n : most;
    cut[0] = n ? ends->arr.v[0] : val_int(0); /* there may be no number before the first */
    cut[1] = val_int(cut[0].i + (n - 1));
    VAL_MAP_SET(plan, "range", ((struct val){.type = VAL_ARRAY, .arr = {.v = cut, .n = 2}}));
    return true;
}

/* Whether, and how, iterations are started again. A loop that goes through its items in turn has nothing to choose. */
static bool compute_policy(struct frame *f, const struct val *config, bool parallel, struct group_plan *plan)
{
    if (!group_policy(f, config, plan))
        return false;
    if (!plan->restarts || parallel)
        return true;
    step_failf(f, RC_INVALID,
               "`restart` and `strategy` need `parallel: true`; without it, `retry` tries the loop again");
    return false;
}

static bool members_fit(struct frame *f, int64_t n)
{
    if (n <= MAX_MEMBERS)
        return true;
    step_failf(f, RC_LIMIT,
               "%lld items; a loop with `restart` has at most %d: take them in pieces (chunk()), or give the steps "
               "inside a `retry` instead",
               (long long)n, MAX_MEMBERS);
    return false;
}

/* The pinned object: {items or range, max_parallel, break_on_error, memory_limit?, group?}. */
static const struct val *compute_plan(struct frame *f)
{
    const struct val *c = frame_config(f, false);
    bool parallel, break_on_error;
    int64_t max_parallel, max_iterations, memory_limit;
    struct group_plan group;
    struct val items;
    if (!c || !frame_bool(f, c, "parallel", false, &parallel) || !compute_policy(f, c, parallel, &group) ||
        !frame_bool(f, c, "break_on_error", true, &break_on_error) ||
        !frame_int(f, c, "max_parallel", DEFAULT_PARALLEL, 1, MAX_PARALLEL, &max_parallel) ||
        !frame_int(f, c, "max_iterations", INT64_MAX, 0, INT64_MAX, &max_iterations) ||
        !frame_size(f, c, "memory_limit", INT64_MAX, &memory_limit))
        return NULL;
    struct val_map m = val_map_new(&f->arena);
    if (!compute_range(f, VAL_GET(c, "data_source"), max_iterations, &m)) {
        if (f->failing_set || !compute_items(f, VAL_GET(c, "data_source"), &items))
            return NULL;
        if ((int64_t)items.arr.n > max_iterations)
            items.arr.n = (size_t)max_iterations;
        VAL_MAP_SET(&m, "items", items);
    }
    int64_t ceiling = frame_limits(f)->max_parallel;
    if (ceiling && max_parallel > ceiling)
        max_parallel = ceiling;
    VAL_MAP_SET(&m, "max_parallel", val_int(parallel ? max_parallel : 1));
    VAL_MAP_SET(&m, "break_on_error", val_bool(break_on_error));
    if (memory_limit < INT64_MAX)
        VAL_MAP_SET(&m, "memory_limit", val_int(memory_limit));
    group.max_parallel = parallel ? max_parallel : 1;
    if (group.restarts)
        VAL_MAP_SET(&m, "group", group_plan_val(&f->arena, &group));
    struct val *plan = ARENA_NEW(&f->arena, struct val);
    *plan = val_map_done(&m);
    if (group.restarts && !members_fit(f, away_item_count(plan)))
        return NULL;
    return frame_pin(f, plan) ? plan : NULL;
}

static int by_index(const void *a, const void *b)
{
    int64_t x = val_get_int(a, STR("index"), 0), y = val_get_int(b, STR("index"), 0);
    return (x > y) - (x < y);
}

static void finish(struct frame *f, struct loop *l)
{
    size_t n = l->n;
    if (l->group) {
        group_count(l->group, &l->ok, &l->failed);
    } else if (l->failed && !l->ok && !l->break_on_error) {
        struct str message = val_get_str(&l->last_error->val, STR("message"), STR(""));
        step_fail(f,
                  &(struct failure){.rc = RC_STEP,
                                    .message = arena_printf(&f->arena, "all %zu iterations failed; the last one: %.*s",
                                                            l->failed, STR_ARG(message)),
                                    .below = true});
        return;
    }
    struct val iterations = val_empty_array;
    if (l->ok || l->failed)
        iterations = (struct val){.away = true, .s = f->base};
    if (!l->group && iterations.away && l->ok + l->failed == n)
        iterations.s = arena_printf(&f->arena, "%.*s#%zu", STR_ARG(f->base), n);
    if (l->kept) {
        if (l->list.n)
            qsort(l->list.v, l->list.n, sizeof *l->list.v, by_index);
        size_t weight = l->kept->arena.used;
        l->kept->val = val_list_done(&l->list);
        shelf_put(f->run, f->base, l->kept, weight, NULL);
        l->kept = NULL;
    }
    struct val_map m = val_map_new(&f->arena);
    VAL_MAP_SET(&m, "success", val_bool(!l->failed));
    VAL_MAP_SET(&m, "total_items", val_int((int64_t)n));
    VAL_MAP_SET(&m, "completed_items", val_int((int64_t)l->ok));
    VAL_MAP_SET(&m, "iterations", iterations);
    struct val v = val_map_done(&m);
    step_ok(f, &v);
}

static struct frame *start_iteration(struct frame *f, size_t i, const char *segment)
{
    const struct loop *l = f->type_state;
    struct val value = away_item(l->plan, (int64_t)i);
    struct box *item = box_new(&value);
    struct loop_scope scope = {.iterator = f->def->lists[0]->iterator,
                               .item = item,
                               .index = (int64_t)i,
                               .total = (int64_t)l->n,
                               .stop = f->def->conds[0],
                               .skip = f->def->conds[1]};
    struct frame *c = frame_list(f, segment, i, f->def->lists[0], &scope, NULL);
    frame_isolate(c);
    box_unref(item);
    return c;
}

static void start_more(struct frame *f)
{
    struct loop *l = f->type_state;
    if (l->group) {
        group_start(l->group);
        if (group_done(l->group))
            finish(f, l);
        return;
    }
    for (; l->next < l->n && (int64_t)l->running < l->max_parallel; l->next++) {
        char segment[24];
        snprintf(segment, sizeof segment, "%zu", l->next);
        if (frame_past_passed(f, l->next) || (l->broken && !frame_past_ended(f, segment)))
            continue;
        start_iteration(f, l->next, segment);
        l->running++;
    }
    if (!l->running)
        finish(f, l);
}

/* ---- iterations that are started again when they fail ---- */

static const char *iteration_segment(struct frame *f, size_t i)
{
    return arena_printf(&f->arena, "%zu", i).p;
}

/* Of those in memory; the journal's are told apart by its records of restarts. */
static void forget(struct frame *f, size_t first, size_t last)
{
    struct loop *l = f->type_state;
    size_t n = 0;
    for (size_t i = 0; l->kept && i < l->list.n; i++) {
        int64_t index = val_get_int(&l->list.v[i], STR("index"), -1);
        if (index < (int64_t)first || index > (int64_t)last)
            l->list.v[n++] = l->list.v[i];
    }
    l->list.n = l->kept ? n : l->list.n;
}

static const struct group_ops ops = {.kind = GROUP_OF_ITERATIONS,
                                     .start = start_iteration,
                                     .segment = iteration_segment,
                                     .forget = forget,
                                     .passed = frame_past_passed};

static void free_loop(void *state)
{
    struct loop *l = state;
    box_unref(l->kept);
    l->kept = NULL;
    box_unref(l->last_error);
    l->last_error = NULL;
}

static bool make_group(struct frame *f, struct loop *l)
{
    struct group_plan plan = {.n = l->n};
    if (!members_fit(f, (int64_t)l->n)) /* a journal that we did not write */
        return false;
    group_plan_read(VAL_GET(l->plan, "group"), &plan);
    l->group = group_new(f, &plan, &ops);
    if (l->group && l->broken)
        group_leave(l->group);
    return l->group != NULL;
}

static void enter(struct frame *f)
{
    const struct val *plan = frame_pinned(f);
    if (!plan)
        plan = compute_plan(f);
    if (!plan)
        return;
    struct loop *l = ARENA_NEW(&f->arena, struct loop);
    int64_t n = away_item_count(plan);
    l->plan = plan;
    l->n = (size_t)n;
    if (n < 0) { /* a journal that we did not write */
        step_failf(f, RC_CORRUPT, "the journal holds no list for this loop");
        return;
    }
    l->max_parallel = val_get_int(plan, STR("max_parallel"), 1);
    if (l->max_parallel < 1)
        l->max_parallel = 1;
    l->break_on_error = val_get_bool(plan, STR("break_on_error"), true);
    l->memory_limit = val_get_int(plan, STR("memory_limit"), INT64_MAX);
    l->ok = frame_past_count(f);
    if (!l->ok) { /* else some are in the journal only */
        l->kept = box_empty();
        l->list = val_list_new(&l->kept->arena);
    }
    l->broken = frame_past_broken(f);
    f->type_state = l;
    frame_total(f, l->n);
    if (VAL_GET(plan, "group") && !make_group(f, l))
        return;
    start_more(f);
}

/* The journal has the iteration; it stays in memory too while there are few. */
static void gather(struct frame *f, struct loop *l, struct frame *c)
{
    if (!l->kept)
        return;
    struct arena *a = &l->kept->arena;
    struct val result = child_ok(c) ? list_results(c, &c->arena) : *child_result(c);
    struct val item = away_item(l->plan, (int64_t)c->tag);
    val_list_push(&l->list, away_iteration(a, (int64_t)c->tag, val_copy(a, &item), child_ok(c), c->skipped,
                                           val_copy(a, &result)));
    if (shelf_has_room(f->run, a->used, l->memory_limit))
        return;
    box_unref(l->kept);
    l->kept = NULL;
}

/* Ended by itself, while the loop is being left: nothing is decided by it any more. */
static void late(struct frame *f, struct loop *l, struct frame *c)
{
    if (!child_ok(c) && child_failure(c).rc == RC_CANCELLED) /* stopped */
        return;
    l->ok += child_ok(c);
    l->failed += !child_ok(c);
    gather(f, l, c);
}

static void failed(struct frame *f, struct loop *l, struct frame *c)
{
    l->failed++;
    box_unref(l->last_error);
    l->last_error = box_new(child_result(c));
    if (!l->break_on_error)
        return;
    struct failure why = child_failure(c);
    why.message = arena_printf(&f->arena, "iteration %zu: %.*s", c->tag, STR_ARG(why.message));
    step_fail(f, &why);
}

/* A break counts although a restart is being prepared: it is recorded, and the restart is not. */
static void member_done(struct frame *f, struct loop *l, struct frame *c)
{
    if (child_ok(c) && child_leave(c) == LEAVE_BREAK)
        group_leave(l->group);
    bool stopped = !child_ok(c) && child_failure(c).rc == RC_CANCELLED;
    if (group_is_member(l->group, c) && !stopped)
        gather(f, l, c);
    if (group_child_done(l->group, c) != GROUP_GAVE_UP)
        start_more(f);
}

static void child_done(struct frame *f, struct frame *c)
{
    struct loop *l = f->type_state;
    if (l->group) {
        member_done(f, l, c);
        return;
    }
    l->running--;
    if (l->leaving || l->broken) {
        late(f, l, c);
    } else {
        gather(f, l, c);
        if (child_ok(c))
            l->ok++;
        else
            failed(f, l, c);
        l->leaving = child_ok(c) && child_leave(c) == LEAVE_BREAK;
        if (l->leaving) {
            l->next = l->n;
            frame_cancel_children(f);
        }
    }
    if (!f->failing_set)
        start_more(f);
}

/* ---- checks before a run ---- */

static void check(const struct step_def *d, struct problems *ps)
{
    static const char *const keys_of_groups[] = {"strategy", "restart"};
    const struct val *parallel = VAL_GET(d->source, "parallel");
    if (val_is(parallel, VAL_BOOL) && parallel->b && turns_only(d->lists[0]))
        turns_warn(d, parallel, ps);
    for (size_t i = 0; i < sizeof keys_of_groups / sizeof *keys_of_groups; i++) {
        const struct member *m = val_member(d->source, str_c(keys_of_groups[i]));
        if (m && (!parallel || (parallel->type == VAL_BOOL && !parallel->b)))
            problem_add(ps, false, m->line, m->col,
                        "`%s` has no meaning in a loop that goes through its items in turn; expected `parallel: true`, "
                        "or `retry`, which tries the whole loop again",
                        keys_of_groups[i]);
    }
}

const struct step_type step_for_loop = {.name = "for_loop",
                                        .doc = "Does its steps once for each item.",
                                        .keys = keys,
                                        .result_doc = "success|total_items|completed_items|iterations|error",
                                        .loop = true,
                                        .check = check,
                                        .enter = enter,
                                        .child_done = child_done,
                                        .free_state = free_loop};
