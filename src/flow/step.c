/* A step being executed, as it is the same for all step types: its attempts, its children, its resuming. (Their time:
 * step_time.c.)
 *
 *   enter ─ ended before? ─ condition ─▶ attempt ─ files, cache ─▶ type->enter … its end (step_end.c)
 *                                           ▲                                        │
 *                                           └──────── the next, after a wait ────────┘
 *
 * A step's first attempt gives its children paths below its own; attempt N below `path~N`, so a loop that is tried
 * again does not meet the iterations of the try before. The condition is asked once, when the step is first entered; a
 * step with any trace in the journal was entered. Likewise a step whose handler has begun has failed.
 *
 * Whatever evaluates something may find that a part of it has left memory. The step then seems to fail, but what is
 * missing is fetched (flow/shelf.h), and the phase says what is done again. */
#include "flow/step_int.h"

#include "base/panic.h"
#include "flow/shelf.h"

#include <stdio.h>

struct hole_files *frame_files(const struct frame *f)
{
    return f->ops == &step_ops && f->state ? &((struct step_state *)f->state)->files : NULL;
}

struct cache_use *frame_cache_use(struct frame *f)
{
    return &step_state_of(f)->cache;
}

static void drop_type_state(struct frame *f)
{
    if (f->type_state && f->def->type->free_state)
        f->def->type->free_state(f->type_state);
    f->type_state = NULL;
    list_drop_results(f->inner, f->inner_results);
    f->inner_results = NULL;
    if (step_state_of(f)->child)
        frame_free(step_state_of(f)->child);
    step_state_of(f)->child = NULL;
}

static void set_base(struct frame *f)
{
    f->base = f->attempt == 1 ? f->path : arena_printf(&f->arena, "%.*s~%u", STR_ARG(f->path), f->attempt);
}

static void enter_type(struct frame *f)
{
    step_state_of(f)->phase = PHASE_ENTER;
    f->def->type->enter(f);
}

void frame_files_read(struct frame *f)
{
    step_state_of(f)->phase = PHASE_CACHE;
    if (f->def->cache)
        cache_begin(f, enter_type);
    else
        enter_type(f);
}

static void enter_there(struct frame *f)
{
    struct step_state *s = step_state_of(f);
    s->phase = PHASE_FILES;
    if (f->def->reads_files && !frame_pinned(f))
        frame_read_files(f, &s->files);
    else
        frame_files_read(f);
}

/* Of steps with steps inside the lists are isolated, not they themselves. */
static void enter_attempt(struct frame *f)
{
    if (step_type_asks(f->def->type) && isolate_wanted(f->def))
        isolate_open(f, enter_there);
    else
        enter_there(f);
}

static void start_attempt(struct frame *f)
{
    struct step_state *s = step_state_of(f);
    if (!frame_settle_late(f))
        return;
    if (f->def->output_to_file && !workflow_names_directory(f->run->workflow)) { /* a step that the run has come upon */
        step_failf(f, RC_INVALID, NO_NAMED_DIRECTORY, arena_cstr(&f->run->scratch, f->run->workflow->name));
        return;
    }
    s->has_config = s->parting = false;
    s->pinned = NULL;
    s->sets = s->also = NULL;
    s->measured = 0;
    s->cache = (struct cache_use){0};
    f->failing_set = false;
    f->leave = LEAVE_NO;
    drop_type_state(f);
    set_base(f);
    step_time_begin(f);
    frame_event(f, EVENT_STARTED, NULL, NULL);
    if (f->again && (workspace_may_write(f->def->type) || f->def->handler)) /* the handler's steps count as its own */
        workspace_restore(f, enter_attempt);
    else
        enter_attempt(f);
}

static void skip(struct frame *f)
{
    struct arena *a = &f->run->scratch;
    struct val_map m = val_map_new(a);
    VAL_MAP_SET(&m, "success", val_true);
    VAL_MAP_SET(&m, "skipped", val_true);
    struct str cond = f->def->condition->text;
    VAL_MAP_SET(&m, "reason", val_str(arena_printf(a, "condition is false: %.*s", STR_ARG(cond))));
    struct val v = val_map_done(&m);
    f->skipped = true;
    frame_event(f, EVENT_SKIPPED, arena_str(a, cond).p, NULL);
    struct err err;
    if (!step_end_well(f, box_new(&v), "skipped", &err))
        frame_fail(f, &err);
}

static void enter_again(struct frame *f, const struct past *p)
{
    f->attempt = p->fresh ? p->last_attempt + 1 : p->current;
    f->failures = p->failures;
    f->again = f->attempt > 1;
    set_base(f);
    if (!p->fresh && step_resume_handler(f))
        return;
    if (!p->fresh && p->result && p->result_attempt == p->current && p->current == p->last_attempt) {
        int64_t wait = val_get_int(&p->result->val, STR("retry_ms"), 0);
        int64_t left = past_wait_left(p, wait, run_now(f->run));
        f->attempt++;
        f->again = true;
        instance_recall_steps(f, &p->result->val);
        if (left > 0 && p->failures) {
            step_state_of(f)->waiting = true;
            frame_sleep(f, left);
            return;
        }
    }
    start_attempt(f);
}

/* metadata.timer_start: a variable of the run, set when the step is first entered. A step that a crash interrupts
 * before its first own record enters again, and its timer starts again with it. */
static bool start_timer(struct frame *f)
{
    struct str timer = f->def->timer;
    if (!timer.n)
        return true;
    struct val_map m = val_map_new(&f->run->scratch);
    val_map_set(&m, scope_timer_name(&f->run->scratch, timer), val_int(run_now(f->run)));
    struct val v = val_map_done(&m);
    return frame_set_variables(f, false, &v);
}

static void begin(struct frame *f)
{
    bool go = true;
    step_state_of(f)->phase = PHASE_CONDITION;
    if (f->def->condition && !frame_cond(f, f->def->condition, &go))
        f->failing.final |= f->failing_set; /* another attempt would begin without asking */
    else if (!go)
        skip(f);
    else if (start_timer(f))
        start_attempt(f);
}

static void step_enter(struct frame *f)
{
    f->state = ARENA_NEW(&f->arena, struct step_state);
    f->started_ms = run_now(f->run);
    const struct past *p = f->past;
    if (p)
        step_state_of(f)->spent = budget_recalled(p);
    if (p && p->done) {
        const struct val *ok = VAL_GET(&p->done->val, "ok");
        if (p->late)
            frame_register_late(f, val_get_str(VAL_GET(&p->late->val, "late"), STR("name"), STR("")));
        bool went_on = VAL_GET(&p->done->val, "goto") != NULL;
        instance_recall_steps(f, &p->done->val);
        f->skipped = VAL_GET(&p->done->val, "skipped") != NULL;
        f->leave = leave_of(&p->done->val);
        f->failing_set = went_on;
        f->failing.rc = RC_STEP;
        frame_end(f, ok && !went_on, box_new(ok ? ok : VAL_GET(&p->done->val, "error")));
        return;
    }
    if (!instance_count_step(f))
        return;
    if (p && p->begun && p->current) {
        enter_again(f, p);
        return;
    }
    if (p)
        f->attempt = p->last_attempt + 1;
    begin(f);
}

static void child_ended(struct frame *f, struct frame *c)
{
    struct step_state *s = step_state_of(f);
    s->phase = PHASE_CHILD;
    f->def->type->child_done(f, c);
    if (s->fetching && s->phase == PHASE_CHILD && !f->def->type->again) {
        s->child = c;
        c->held_back = true;
    }
}

/* What was fetched lies on the shelf. */
static void again(struct frame *f)
{
    struct step_state *s = step_state_of(f);
    struct frame *c = s->child;
    s->fetching = false;
    s->child = NULL;
    switch (s->phase) {
    case PHASE_CONDITION:
        begin(f);
        break;
    case PHASE_FILES:
        drop_type_state(f);
        frame_files_again(f, &s->files);
        break;
    case PHASE_CACHE:
        drop_type_state(f);
        frame_files_read(f);
        break;
    case PHASE_ENTER:
        drop_type_state(f);
        enter_type(f);
        break;
    case PHASE_CHILD:
        if (f->def->type->again)
            f->def->type->again(f);
        else
            child_ended(f, c);
        if (c && s->child != c)
            frame_free(c);
        break;
    case PHASE_OK:
        step_take_ok(f);
        break;
    }
    if (!s->fetching)
        shelf_release(f);
}

static void step_child_done(struct frame *f, struct frame *c)
{
    struct step_state *s = step_state_of(f);
    if (c == s->overdue) {
        s->overdue = NULL;
        if (c->ok)
            step_time_over(f);
        else
            step_fail_as(f, c);
        if (!s->overdue && !s->fetching)
            shelf_release(f);
        return;
    }
    if (shelf_is_fetch(c)) {
        if (c->ok)
            again(f);
        else
            step_fail_as(f, c);
        return;
    }
    if (c->tag == TAG_FILE && c->ops == &effect_ops) {
        s->phase = PHASE_FILES;
        frame_file_read(f, &s->files, c);
        return;
    }
    if (c->tag == TAG_OUTPUT && c->ops == &effect_ops) {
        step_output_written(f, c);
        return;
    }
    if (c->tag == TAG_SIZE && c->ops == &effect_ops) {
        step_measured(f, c);
        return;
    }
    if (cache_is(c) && c->ops == &effect_ops) {
        step_cache_ended(f, c);
        return;
    }
    if (c->tag == WORKSPACE_TAG && c->ops == &effect_ops) {
        workspace_restored(f, c);
        return;
    }
    if (isolate_is(c)) {
        if (c->ok)
            isolate_done(f, c);
        else
            step_fail_as(f, c);
        return;
    }
    if (c->tag == TAG_HANDLER && s->finishing) {
        step_handler_ended(f, c);
        return;
    }
    if (c->ops == &list_ops && !f->def->type->loop && !f->def->type->boundary && !f->def->type->each)
        f->leave = c->leave > f->leave ? c->leave : f->leave;
    child_ended(f, c);
}

static void step_timer(struct frame *f)
{
    if (step_state_of(f)->waiting) {
        step_state_of(f)->waiting = false;
        start_attempt(f);
        return;
    }
    step_time_passed(f);
}

static void step_more(struct frame *f)
{
    if (f->def->type->again) /* what has been done since it was entered is not done again */
        step_state_of(f)->phase = PHASE_CHILD;
    f->def->type->more(f);
}

static void step_drained(struct frame *f)
{
    if (!f->state) { /* cancelled before it was entered */
        frame_end_cancelled(f);
        return;
    }
    struct step_state *s = step_state_of(f);
    s->overdue = NULL;
    s->fetching = false; /* nothing below is left, nor what fetched */
    if (s->ending && !f->failing_set) {
        struct box *b = s->ok;
        s->ok = NULL;
        s->ending = false;
        f->status = FRAME_RUNNING;
        step_ok(f, &b->val);
        box_unref(b);
        return;
    }
    box_unref(s->ok);
    s->ok = NULL;
    s->ending = false;
    step_attempt_failed(f);
}

static void step_free(struct frame *f)
{
    box_unref(f->locals);
    f->locals = NULL;
    struct step_state *s = step_state_of(f);
    if (!s)
        return;
    box_unref(s->ok);
    box_unref(s->failure);
    map_done(&s->files.texts);
    drop_type_state(f);
}

static void no_effect(struct frame *f, bool ok, const struct val *result)
{
    (void)ok, (void)result;
    PANIC("step %.*s has no effects of its own", STR_ARG(f->path));
}

const struct frame_ops step_ops = {.kind = "step",
                                   .room = sizeof(struct frame) + sizeof(struct step_state) + 2 * ROOM_FOR_TEXTS,
                                   .enter = step_enter,
                                   .child_done = step_child_done,
                                   .effect_done = no_effect,
                                   .timer = step_timer,
                                   .more = step_more,
                                   .drained = step_drained,
                                   .done = step_free};

struct frame *frame_step(struct frame *parent, const char *segment, size_t tag, const struct step_def *def,
                         struct box *locals)
{
    struct run *r = parent->run;
    struct frame *f = frame_new(r, parent, &step_ops, path_join(&r->scratch, parent->base, segment));
    f->def = def;
    f->tag = tag;
    f->locals = locals ? box_ref(locals) : NULL;
    run_queue(f, QUEUED_ENTER);
    return f;
}
