/* Where a list of tasks comes from data (a template, files), each item becomes {id, prompt, file} and the definition in
 * `task_template` is done for it, with `item` (as it was) and `task` (in that form) as names. What comes from data is
 * only ever text in a prompt or the name of a file: tools, models and options are the author's.
 *
 *   enter ─┬─ pinned ─────────────────────────────────┐
 *          ├─ the tasks are written ── begin ── pin ──┼─▶ start ─▶ tasks … ─▶ end
 *          ├─ files ─ listed ─┐                       │
 *          └─ a list ─────────┴─ begin ─ name ─ pin ──┘
 *
 * What tasks are called is read for some at a time, since an id may read much: a text of a model is parsed for a field
 * of it, an iteration is fetched. A journal in which the list is pinned without ids is of an earlier version. */
#include "step/tasks.h"

#include "agent/prompt.h"
#include "base/map.h"
#include "base/panic.h"
#include "data/json.h"
#include "flow/keys.h"
#include "flow/range.h"
#include "flow/shelf.h"

#include <stdio.h>
#include <stdlib.h>

enum { TASKS_MAX = 10000, PARALLEL_MAX = 10000, PROMPT_MAX = 16 << 20, LIST_TAG = PROMPT_TAG };
enum { NAME_SLICE = 64, NAME_BYTES = 1 << 20 }; /* ids at a time; fewer when reading them has taken so much memory */

static struct tasks *tasks_of(struct frame *f)
{
    return f->type_state;
}

/* ---- items ---- */

static struct str item_id(struct arena *a, const struct val *item, size_t i)
{
    static const char *const keys[] = {"id", "task_id", "name"};
    for (size_t k = 0; k < sizeof keys / sizeof *keys; k++) {
        const struct val *v = val_get(item, str_c(keys[k]));
        if (val_is(v, VAL_STR) && v->s.n && v->s.n < 200)
            return v->s;
        if (val_is(v, VAL_INT))
            return json_text(a, v);
    }
    return arena_printf(a, "task_%zu", i + 1);
}

/* A prompt in data is text; of a list of parts, their texts. */
static struct str item_prompt(struct arena *a, const struct val *v)
{
    if (!v || v->type == VAL_NULL)
        return STR("");
    if (v->type == VAL_STR)
        return v->s;
    if (v->type != VAL_ARRAY)
        return json_text(a, v);
    struct buf b;
    buf_init(&b, PROMPT_MAX);
    for (size_t i = 0; i < v->arr.n; i++) {
        const struct val *p = &v->arr.v[i];
        struct str text = p->type == VAL_STR ? p->s : val_get_str(p, STR("content"), STR(""));
        if (b.n && text.n)
            buf_addz(&b, "\n\n");
        buf_add(&b, text);
    }
    struct str s = arena_str(a, buf_str(&b));
    buf_done(&b);
    return s;
}

/* {item, task: {…, id, prompt, file}} */
static struct val item_locals(struct arena *a, const struct val *item, size_t i)
{
    struct val_map task = val_map_new(a), m = val_map_new(a);
    if (item->type == VAL_OBJECT)
        val_map_merge(&task, item);
    const struct val *file = VAL_GET(item, "file");
    VAL_MAP_SET(&task, "id", val_str(item_id(a, item, i)));
    VAL_MAP_SET(&task, "prompt", val_str(item_prompt(a, item->type == VAL_OBJECT ? VAL_GET(item, "prompt") : item)));
    VAL_MAP_SET(&task, "file", val_is(file, VAL_STR) ? *file : val_null);
    VAL_MAP_SET(&task, "index", val_int((int64_t)i));
    VAL_MAP_SET(&m, "item", *item);
    VAL_MAP_SET(&m, "task", val_map_done(&task));
    return val_map_done(&m);
}

/* ---- the plan: {group, options, items: [locals] | null, ids: [text] | null} ---- */

static bool max_parallel(struct frame *f, const struct val *options, int64_t otherwise, size_t n, int64_t *ret)
{
    int64_t all = n ? (int64_t)n : 1;
    if (!frame_int(f, options, "max_parallel", otherwise ? otherwise : all, 1, PARALLEL_MAX, ret))
        return false;
    int64_t ceiling = frame_limits(f)->max_parallel;
    if (ceiling && *ret > ceiling)
        *ret = ceiling;
    return true;
}

static void start(struct frame *f, struct tasks *t);

/* The plan is complete. */
static void pin(struct frame *f, struct tasks *t)
{
    struct val_map m = val_map_new(&f->arena);
    struct val *plan = ARENA_NEW(&f->arena, struct val), ids = val_null;
    if (t->ids)
        ids = (struct val){.type = VAL_ARRAY, .arr = {.v = t->ids, .n = t->named}};
    val_map_merge(&m, t->plan);
    VAL_MAP_SET(&m, "ids", ids);
    *plan = val_map_done(&m);
    t->plan = plan;
    if (frame_pin(f, plan))
        start(f, t);
}

static struct str clipped(struct str s)
{
    return str_n(s.p, str_utf8_valid(str_n(s.p, s.n < 200 ? s.n : 200)));
}

/* Where results go by their tasks' ids, one of two with the same id would be lost. Data may well call two things the
 * same, and nothing that was paid for should fail for it: a later one gets the first number that is free. */
static void tell_apart(struct frame *f, struct tasks *t)
{
    struct map seen = {0};
    struct str note = STR("");
    size_t *of, *last = arena_calloc(frame_scratch(f), t->named + 1, sizeof *last); /* number, by the first task */
    for (size_t i = 0; i < t->named; i++)
        if (!map_get(&seen, t->ids[i].s))
            map_put(&seen, t->ids[i].s, &last[i]);
    for (size_t i = 0; i < t->named; i++) {
        struct str own = t->ids[i].s, id;
        if ((of = map_get(&seen, own)) == &last[i])
            continue;
        *of += !*of;
        do
            id = arena_printf(&f->arena, "%.*s_%zu", STR_ARG(own), ++*of);
        while (map_get(&seen, id));
        map_put(&seen, id, &last[i]);
        t->ids[i] = val_str(id);
        if (!note.n)
            note = arena_printf(frame_scratch(f), "several tasks are called `%.*s`; the second is called `%.*s`",
                                STR_ARG(clipped(own)), STR_ARG(clipped(id)));
    }
    map_done(&seen);
    if (note.n)
        frame_event(f, EVENT_NOTE, note.p, NULL);
}

static void name_more(struct frame *f, struct tasks *t)
{
    const struct val *items = VAL_GET(t->plan, "items");
    struct arena work = {0};
    for (size_t n = 0; n < NAME_SLICE && work.used < NAME_BYTES && t->named < items->arr.n; n++) {
        const struct val *one = &items->arr.v[t->named];
        struct val v = val_str(val_get_str(VAL_GET(one, "task"), STR("id"), STR("")));
        if (t->id && !frame_template(f, f->def->branches[0].list->steps[0], one, t->id, &work, &v)) {
            if (t->fetching <= t->named) /* what those before it read need not stay */
                shelf_release(f);
            t->fetching = t->named + 1;
            arena_done(&work);
            return;
        }
        t->ids[t->named++] = val_str(v.type == VAL_STR ? arena_str(&f->arena, v.s) : json_text(&f->arena, &v));
    }
    arena_done(&work);
    if (t->named < items->arr.n) {
        frame_more(f);
        return;
    }
    shelf_release(f);
    if (t->by_id)
        tell_apart(f, t);
    if (frame_pinned(f))
        start(f, t);
    else
        pin(f, t);
}

/* In other turns, in which what has been read so far is kept when more must be fetched. */
static void name_tasks(struct frame *f, struct tasks *t)
{
    const struct val *id = VAL_GET(f->def->data, "task_id"), *items = VAL_GET(t->plan, "items");
    struct err err;
    if (val_is(id, VAL_STR) && id->s.n && tmpl_parse(&f->arena, id->s, id->line, id->col, &t->id, &err) != RC_OK) {
        frame_fail(f, &err);
        return;
    }
    t->ids = arena_calloc(&f->arena, items->arr.n + 1, sizeof *t->ids);
    frame_more(f);
}

/* `items`: an array, or NULL where the tasks are written. */
static void begin(struct frame *f, struct tasks *t, const struct val *config, const struct val *items)
{
    struct arena *a = &f->arena;
    struct group_plan plan = {.n = items ? items->arr.n : f->def->nbranches};
    const struct val *options = VAL_GET(config, "options");
    struct val_list l = val_list_new(a);
    if (plan.n > TASKS_MAX) {
        step_failf(f, RC_LIMIT, "the list of tasks has %zu items; expected at most %d", plan.n, TASKS_MAX);
        return;
    }
    if (!max_parallel(f, options, t->default_parallel, plan.n, &plan.max_parallel) || !group_policy(f, config, &plan))
        return;
    for (size_t i = 0; items && i < plan.n; i++)
        val_list_push(&l, item_locals(a, &items->arr.v[i], i));
    struct val_map m = val_map_new(a);
    VAL_MAP_SET(&m, "group", group_plan_val(a, &plan));
    VAL_MAP_SET(&m, "options", options ? *options : val_empty_object);
    VAL_MAP_SET(&m, "items", items ? val_list_done(&l) : val_null);
    struct val *v = ARENA_NEW(a, struct val);
    *v = val_map_done(&m);
    t->plan = v;
    if (items)
        name_tasks(f, t);
    else
        pin(f, t);
}

static bool items_of(struct frame *f, const struct val *v, struct val *ret)
{
    struct err err;
    *ret = *v;
    if (v->type == VAL_STR && json_parse(&f->arena, str_trim(v->s), &JSON_DATA, ret, &err) != RC_OK) {
        step_failf(f, RC_INVALID, "the tasks are text that is no JSON (%s); expected a list", err.msg);
        return false;
    }
    if (ret->type == VAL_OBJECT && val_is(VAL_GET(ret, "tasks"), VAL_ARRAY))
        *ret = *VAL_GET(ret, "tasks");
    if (ret->type == VAL_ARRAY)
        return true;
    step_failf(f, RC_INVALID, "the tasks are %s; expected a list", val_type_name(ret));
    return false;
}

/* ---- task_generator ---- */

static void list_files(struct frame *f, struct tasks *t, const struct val *generator)
{
    struct str pattern;
    if (!frame_text(f, generator, "pattern", STR(""), &pattern))
        return;
    struct val_map m = val_map_new(&f->arena);
    VAL_MAP_SET(&m, "path", val_str(pattern));
    VAL_MAP_SET(&m, "list", val_true);
    struct val *request = ARENA_NEW(&f->arena, struct val);
    *request = val_map_done(&m);
    t->listing = true;
    frame_effect(f, "files:1", LIST_TAG,
                 &(struct effect_plan){.kind = EFFECT_READ,
                                       .request = request,
                                       .on_interrupt = ON_INTERRUPT_RETRY,
                                       .label = arena_printf(&f->arena, "list %.*s", STR_ARG(pattern)).p});
}

static void listed(struct frame *f, struct tasks *t, struct frame *child)
{
    struct arena *a = &f->arena;
    const struct val *config = frame_config(f, false);
    int64_t size;
    if (!child_ok(child)) {
        step_fail_as(f, child);
        return;
    }
    const struct val *files = VAL_GET(child_result(child), "files");
    if (!config || !frame_int(f, VAL_GET(config, "generator"), "batch_size", 1, 1, TASKS_MAX, &size))
        return;
    struct val_list items = val_list_new(a), batch = val_list_new(a);
    for (size_t i = 0; val_at(files, i); i++) {
        val_list_push(&batch, val_copy(a, val_at(files, i)));
        if ((int64_t)batch.n < size && val_at(files, i + 1))
            continue;
        struct val_map m = val_map_new(a);
        VAL_MAP_SET(&m, "file", batch.v[0]);
        VAL_MAP_SET(&m, "files", val_list_done(&batch));
        val_list_push(&items, val_map_done(&m));
        batch = val_list_new(a);
    }
    struct val *list = ARENA_NEW(a, struct val);
    *list = val_list_done(&items);
    t->listing = false;
    begin(f, t, config, list);
}

/* ---- running ---- */

static struct frame *start_task(struct frame *f, size_t i, const char *segment)
{
    bool each = f->def->task_template;
    const struct branch *b = &f->def->branches[each ? 0 : i];
    const struct val *locals = each ? val_at(VAL_GET(tasks_of(f)->plan, "items"), i) : NULL;
    struct box *box = locals ? box_new(locals) : NULL;
    struct frame *task = frame_step(f, segment, i, b->list->steps[0], box);
    box_unref(box);
    return task;
}

static const char *task_segment(struct frame *f, size_t i)
{
    if (f->def->task_template)
        return arena_printf(&f->arena, "%zu", i).p;
    return arena_cstr(&f->arena, f->def->branches[i].name);
}

static void forget(struct frame *f, size_t first, size_t last)
{
    struct tasks *t = tasks_of(f);
    for (size_t i = first; i <= last; i++) {
        t->failed -= t->v[i].result && !t->v[i].ok;
        box_unref(t->v[i].result);
        t->v[i].result = NULL;
    }
}

static const struct group_ops ops = {
    .kind = GROUP_OF_STEPS, .start = start_task, .segment = task_segment, .forget = forget};

static struct str written_file(const struct val *step)
{
    const struct val *prompt = VAL_GET(step, "prompt");
    for (size_t i = 0; val_at(prompt, i); i++)
        if (str_is(val_get_str(val_at(prompt, i), STR("type"), STR("")), "file"))
            return val_get_str(val_at(prompt, i), STR("path"), STR(""));
    return STR("");
}

static void start(struct frame *f, struct tasks *t)
{
    const struct val *items = VAL_GET(t->plan, "items"), *ids = VAL_GET(t->plan, "ids");
    bool each = f->def->task_template;
    struct group_plan plan = {.n = each ? (val_is(items, VAL_ARRAY) ? items->arr.n : 0) : f->def->nbranches};
    if (!f->def->nbranches || (each && !val_is(items, VAL_ARRAY))) { /* a journal that we did not write */
        step_failf(f, RC_CORRUPT, "the journal holds no tasks for this step");
        return;
    }
    group_plan_read(VAL_GET(t->plan, "group"), &plan);
    t->n = plan.n;
    t->options = VAL_GET(t->plan, "options");
    if (!plan.n) { /* a computed list may come to be empty: then all is done */
        t->finish(f, t);
        return;
    }
    t->v = calloc(plan.n, sizeof *t->v);
    if (!t->v)
        PANIC("out of memory");
    for (size_t i = 0; i < plan.n; i++) {
        const struct val *task = VAL_GET(val_at(items, i), "task"), *id = t->ids ? &t->ids[i] : val_at(ids, i);
        t->v[i].id = !each ? f->def->branches[i].name : val_is(id, VAL_STR) ? id->s : STR("");
        t->v[i].file =
            each ? val_get_str(task, STR("file"), STR("")) : written_file(f->def->branches[i].list->steps[0]->source);
    }
    t->group = group_new(f, &plan, &ops);
    if (t->group)
        group_start(t->group);
}

void tasks_enter(struct frame *f, int64_t default_parallel, bool by_id,
                 void (*finish)(struct frame *f, struct tasks *t))
{
    struct tasks *t = ARENA_NEW(&f->arena, struct tasks);
    f->type_state = t;
    t->finish = finish;
    t->by_id = by_id;
    t->default_parallel = default_parallel;
    t->plan = frame_pinned(f);
    if (t->plan) {
        if (f->def->task_template && val_is(VAL_GET(t->plan, "items"), VAL_ARRAY) &&
            !val_is(VAL_GET(t->plan, "ids"), VAL_ARRAY))
            name_tasks(f, t);
        else
            start(f, t);
        return;
    }
    const struct val *config = frame_config(f, false), *tasks = VAL_GET(config, "tasks");
    struct val items;
    if (!config)
        return;
    if (!f->def->task_template)
        begin(f, t, config, NULL);
    else if (!tasks)
        list_files(f, t, VAL_GET(config, "generator"));
    else if (items_of(f, tasks, &items))
        begin(f, t, config, &items);
}

static void end(struct frame *f, struct tasks *t)
{
    if (t->failed < t->n) {
        t->finish(f, t);
        return;
    }
    struct str last = val_get_str(&t->v[t->n - 1].result->val, STR("message"), STR(""));
    step_fail(f, &(struct failure){
                     .rc = RC_STEP,
                     .message =
                         t->n == 1
                             ? arena_printf(&f->arena, "task `%.*s`: %.*s", STR_ARG(t->v[0].id), STR_ARG(last))
                             : arena_printf(&f->arena, "all %zu tasks failed; the last one: %.*s", t->n, STR_ARG(last)),
                     .below = true});
}

void tasks_child_done(struct frame *f, struct frame *child)
{
    struct tasks *t = tasks_of(f);
    if (t->listing) {
        listed(f, t, child);
        return;
    }
    enum group_event e = group_child_done(t->group, child);
    if (e == GROUP_GAVE_UP)
        return;
    if (e != GROUP_AGAIN) {
        struct task *one = &t->v[child->tag];
        int64_t took = child->started_ms ? frame_now(f) - child->started_ms : 0;
        one->took_ms = took > 0 ? took : 0;
        one->ok = child_ok(child);
        one->result = child_rest(child);
        t->failed += !one->ok;
    }
    group_start(t->group);
    if (group_done(t->group))
        end(f, t);
}

void tasks_again(struct frame *f)
{
    struct tasks *t = tasks_of(f);
    if (!t->group)
        name_more(f, t);
    else if (group_done(t->group))
        end(f, t);
}

void tasks_free(void *state)
{
    struct tasks *t = state;
    buf_done(&t->text);
    for (size_t i = 0; t->v && i < t->n; i++)
        box_unref(t->v[i].result);
    free(t->v);
    t->v = NULL;
}

/* ---- the text of all ---- */

static struct str answer_of(struct arena *a, const struct val *v, bool ok)
{
    const struct val *text = ok ? VAL_GET(v, "text") : VAL_GET(v, "message");
    return val_is(text, VAL_STR) ? text->s : json_text(a, v);
}

/* False: it must be fetched first. */
static bool tell(struct frame *f, struct tasks *t, const struct task *one,
                 void (*head)(struct buf *b, const struct task *t))
{
    const struct val *v = t->full ? NULL : frame_whole(f, &one->result->val);
    if (!t->full && !v)
        return false;
    struct str answer = v ? answer_of(frame_scratch(f), v, one->ok) : STR("");
    head(&t->text, one);
    t->full |= t->text.n + answer.n > TASKS_TEXT_MAX;
    if (t->full)
        buf_printf(&t->text, "(left out: this text holds at most %d MB; the step's result has every answer)",
                   TASKS_TEXT_MAX >> 20);
    else
        buf_add(&t->text, answer);
    shelf_release(f); /* what had to be fetched */
    return true;
}

bool tasks_text(struct frame *f, struct tasks *t, bool well_first, void (*head)(struct buf *b, const struct task *t))
{
    for (; t->told < (well_first ? 2 * t->n : t->n); t->told++) {
        const struct task *one = &t->v[t->told % t->n];
        bool turn = !well_first || one->ok == (t->told < t->n);
        if (turn && !tell(f, t, one, head))
            return false;
    }
    return true;
}

void tasks_check(const struct step_def *s, struct problems *ps)
{
    const struct val *g = VAL_GET(s->source, "task_generator"), *type = VAL_GET(g, "type");
    if (!g)
        return;
    key_check_object(ps, g, task_generator_keys, "`task_generator`");
    if (!val_is(VAL_GET(g, "pattern"), VAL_STR))
        problem_add(ps, false, g->line, g->col, "`task_generator` has no `pattern`; expected one such as src/**/*.c");
    if (val_is(type, VAL_STR) && !str_is(type->s, "file_list"))
        problem_add(ps, false, type->line, type->col, "unknown type `%.*s` of task_generator; expected file_list",
                    (int)(type->s.n < 60 ? type->s.n : 60), type->s.p);
    if (!VAL_GET(s->source, "task_template"))
        problem_add(ps, false, g->line, g->col, "`task_generator` makes items for a `task_template`; expected one");
}
