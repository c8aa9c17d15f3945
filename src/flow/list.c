/* A list of steps: the workflow's own, a loop's iteration, an error handler.
 *
 * In order unless some step has `depends_on`; then every step starts as soon as all it depends on have ended. The first
 * step that fails (and whose on_error lets it) stops the list, after what still runs has been stopped too.
 *
 * A step that ends with a break or a continue (itself, or because a list inside it did) ends the list well, after what
 * still runs beside it has been stopped. The list passes it on; the nearest loop takes it. It is part of the record of
 * every end on the way, so a resumed run leaves at the same place without asking anything again.
 *
 * A list that is a loop's iteration records its own end, so that a finished iteration is one entry for recovery. The
 * workflow's own list does not: the run's end says it. */
#include "flow/run_int.h"

#include "base/panic.h"
#include "flow/away.h"
#include "flow/memory_mark.h"
#include "flow/shelf.h"

#include <stdlib.h>

enum { STEP_WAITING, STEP_RUNNING, STEP_ENDED };
enum { TAG_KEPT = SIZE_MAX };

static void free_var(struct var *v)
{
    box_unref(v->value);
    free(v);
}

void list_var_set(struct list_state *l, struct str name, const struct val *v)
{
    struct var *var = map_get(&l->vars, name);
    if (!var) {
        var = calloc(1, sizeof *var + name.n + 1);
        if (!var)
            PANIC("out of memory");
        var->name = (char *)(var + 1);
        memcpy(var->name, name.p, name.n);
        var->n = name.n;
        map_put(&l->vars, str_n(var->name, var->n), var);
    }
    box_unref(var->value);
    var->value = box_new(v);
}

static void set_all(struct list_state *l, const struct val *object)
{
    for (size_t i = 0; val_is(object, VAL_OBJECT) && i < object->obj.n; i++)
        list_var_set(l, object->obj.m[i].key, &object->obj.m[i].val);
}

/* Initial variables: evaluated once, when the run starts; a resume evaluates them again from the same inputs. */
static bool init_root(struct frame *f, struct list_state *l)
{
    struct run *r = f->run;
    const struct tmpl_tree *variables = f->instance->workflow->variables;
    set_all(l, f->instance->begins);
    if (!variables)
        return true;
    struct expr_scope scope = frame_scope(f, false);
    scope.now_ms = r->started_ms; /* the same in every life of the run */
    struct val v;
    struct err err;
    l->starting = false;
    if (tmpl_tree_eval(variables, &scope, &r->scratch, &v, &err) != RC_OK) {
        l->starting = r->wanted.n != 0;
        if (l->starting)
            shelf_fetch(f);
        else
            frame_end(f, false, error_box(err.rc, STR("variables"), frame_message(f, &err), 1, STR("")));
        return false;
    }
    set_all(l, &v);
    return true;
}

static void start_step(struct frame *f, size_t i)
{
    struct list_state *l = list_of(f);
    const struct step_def *d = l->def->steps[i];
    char name[256];
    CHECK(d->name.n < sizeof name);
    memcpy(name, d->name.p, d->name.n);
    name[d->name.n] = 0;
    struct frame *s = frame_new(f->run, f, &step_ops, path_join(&f->run->scratch, f->base, name));
    s->def = d;
    s->tag = i;
    l->state[i] = STEP_RUNNING;
    run_queue(s, QUEUED_ENTER);
}

static bool ready(const struct list_state *l, size_t i)
{
    const struct step_def *d = l->def->steps[i];
    for (size_t k = 0; k < d->ndepends; k++)
        if (l->state[d->depends_on[k]] != STEP_ENDED)
            return false;
    return true;
}

static void finish(struct frame *f, bool ok, struct box *error);

static void advance(struct frame *f)
{
    struct list_state *l = list_of(f);
    if (!l->def->graph) {
        while (l->next < l->def->n && l->state[l->next] == STEP_ENDED)
            l->next++; /* skipped by a goto */
        if (l->next < l->def->n)
            start_step(f, l->next++);
        else
            finish(f, true, NULL);
        return;
    }
    bool any = f->first != NULL;
    for (size_t i = 0; i < l->def->n; i++)
        if (l->state[i] == STEP_WAITING && ready(l, i)) {
            start_step(f, i);
            any = true;
        }
    if (!any)
        finish(f, true, NULL);
}

static bool records_end(const struct frame *f)
{
    const struct list_state *l = f->state;
    return f->path.n != 0 && (!l->instance || l->apart);
}

const char *leave_name(enum leave l)
{
    return l == LEAVE_BREAK ? "break" : l == LEAVE_CONTINUE ? "continue" : NULL;
}

enum leave leave_of(const struct val *done)
{
    struct str s = val_get_str(done, STR("leave"), STR(""));
    return str_is(s, "break") ? LEAVE_BREAK : str_is(s, "continue") ? LEAVE_CONTINUE : LEAVE_NO;
}

static enum rc record_end(struct frame *f, const char *key, struct val v, struct err *err)
{
    struct run *r = f->run;
    struct val refs = away_places(&r->scratch, &v);
    struct val_map m = val_map_new(&r->scratch);
    val_map_set(&m, str_c(key), v);
    if (f->leave)
        VAL_MAP_SET(&m, "leave", val_str(str_c(leave_name(f->leave))));
    if (f->skipped)
        VAL_MAP_SET(&m, "skipped", val_true);
    instance_record_steps(f, &m);
    if (list_of(f)->is_loop)
        VAL_MAP_SET(&m, "iteration", val_str(list_of(f)->loop.total < 0 ? STR("again") : STR("each")));
    else
        VAL_MAP_SET(&m, "list", val_true);
    if (refs.type != VAL_NULL)
        VAL_MAP_SET(&m, "refs", refs);
    struct val data = val_map_done(&m);
    return run_append_value(r, RECORD_DONE, f->path, (f->past ? f->past->dones : 0) + 1, &data, err);
}

/* A condition of the loop about this iteration. */
static bool ask(struct frame *f, const struct cond *c, bool *ret, struct box **failure)
{
    struct err err;
    struct expr_scope scope = frame_scope(f, true);
    if (cond_eval(c, &scope, &f->run->scratch, ret, &err) == RC_OK)
        return true;
    if (f->run->wanted.n) {
        shelf_fetch(f);
        return false;
    }
    *failure = frame_error(f, &err);
    return false;
}

static void finish_well(struct frame *f)
{
    finish(f, true, NULL);
}

static void finish(struct frame *f, bool ok, struct box *error)
{
    if (ok && isolate_close(f, finish_well))
        return;
    const struct cond *stop = list_of(f)->loop.stop;
    struct box *failure = ok ? NULL : box_ref(error);
    struct err err;
    bool last = false;
    if (ok && stop && f->leave != LEAVE_BREAK) {
        if (ask(f, stop, &last, &failure))
            f->leave = last ? LEAVE_BREAK : f->leave;
        else if (!failure)
            return; /* it must be fetched first, and then we are called again */
    }
    if (ok && !f->parent && !run_conclude(f->run)) {
        shelf_fetch(f);
        return;
    }
    ok = !failure;
    if (ok && records_end(f) && record_end(f, "ok", list_results(f, &f->run->scratch), &err) != RC_OK)
        failure = error_box(err.rc, STR(""), str_c(err.msg), f->attempt, f->path);
    if (failure && records_end(f) && record_end(f, "error", failure->val, &err) != RC_OK)
        PANIC("the end of %.*s: %s", STR_ARG(f->path), err.msg);
    frame_end(f, !failure, failure ? failure : box_new(NULL));
}

static void begin(struct frame *f)
{
    struct list_state *l = list_of(f);
    struct box *failure = NULL;
    bool begun = f->past && f->past->begun; /* then it was asked, and not to be skipped */
    l->entering = l->loop.skip && !begun;
    if (l->entering && !ask(f, l->loop.skip, &f->skipped, &failure)) {
        if (failure)
            finish(f, false, failure);
        box_unref(failure);
        return;
    }
    l->entering = false;
    if (f->skipped) {
        l->loop.stop = NULL; /* nothing was done that could have been the last */
        finish(f, true, NULL);
    } else if (l->isolated) {
        isolate_open(f, advance);
    } else {
        advance(f);
    }
}

/* A workflow with variables of scope session begins with those that earlier runs have kept. They are part of the
 * journal, as every answer from outside, so that each life of the run begins with the same. (`:` is in no step's name.)
 */
static void recall(struct frame *f)
{
    struct val_map m = val_map_new(&f->arena);
    VAL_MAP_SET(&m, "action", VAL_LIT("recall"));
    VAL_MAP_SET(&m, "workflow", val_str(f->instance->workflow->name));
    struct val *request = ARENA_NEW(&f->arena, struct val);
    *request = val_map_done(&m);
    frame_effect(f, "variables:session", TAG_KEPT,
                 &(struct effect_plan){.kind = EFFECT_CHECKPOINT,
                                       .request = request,
                                       .on_interrupt = ON_INTERRUPT_RETRY,
                                       .label = "recall variables of the session"});
}

/* What this run has set itself comes over what the workflow begins with. */
static void set_past(struct frame *f)
{
    struct map_entry *e;
    for (size_t i = 0; f->past && (e = map_next(&f->past->vars, &i));)
        list_var_set(list_of(f), e->key, val_get(&((const struct past_var *)e->value)->values->val, e->key));
    begin(f);
}

static void recalled(struct frame *f, const struct frame *c)
{
    if (!c->ok) {
        finish(f, false, c->result);
        return;
    }
    set_all(list_of(f), VAL_GET(&c->result->val, "state"));
    set_past(f);
}

static void enter(struct frame *f);

static void fetched(struct frame *f, struct frame *c)
{
    if (!c->ok)
        finish(f, false, c->result);
    else if (list_of(f)->starting)
        enter(f);
    else if (list_of(f)->entering)
        begin(f);
    else
        finish(f, true, NULL);
    if (!f->last || !shelf_is_fetch(f->last))
        shelf_release(f);
}

static void enter(struct frame *f)
{
    struct list_state *l = list_of(f);
    l->results = arena_calloc(&f->arena, l->def->n + 1, sizeof(struct box *));
    l->state = arena_calloc(&f->arena, l->def->n + 1, 1);
    if ((!f->parent || l->instance) && !init_root(f, l))
        return;
    const struct past *p = f->past;
    if (p && p->done) { /* ended in an earlier life */
        instance_recall_steps(f, &p->done->val);
        if (p->done_ok) {
            f->leave = leave_of(&p->done->val);
            f->skipped = VAL_GET(&p->done->val, "skipped") != NULL;
            const struct val *results = VAL_GET(&p->done->val, "ok");
            for (size_t i = 0; i < l->def->n; i++) {
                const struct val *v = val_get(results, l->def->steps[i]->name);
                l->results[i] = v ? box_new(v) : NULL;
                l->state[i] = STEP_ENDED;
            }
            frame_end(f, true, box_new(NULL));
        } else {
            frame_end(f, false, box_new(VAL_GET(&p->done->val, "error")));
        }
        return;
    }
    if ((!f->parent || l->instance) && f->instance->workflow->keeps_variables)
        recall(f);
    else
        set_past(f);
}

static void drained(struct frame *f)
{
    if (f->leave && f->failing.rc == RC_OK) {
        f->status = FRAME_RUNNING; /* the end may need something fetched */
        finish(f, true, NULL);
        return;
    }
    struct box *e = error_box(f->failing.rc, f->failing.code, f->failing.message, f->attempt, f->path);
    if (list_of(f)->error_var && f->failing.rc != RC_CANCELLED) {
        box_unref(e);
        e = box_ref(list_of(f)->error_var);
    }
    if (f->failing.rc == RC_CANCELLED) {
        frame_end(f, false, e);
    } else {
        finish(f, false, e);
        box_unref(e);
    }
}

static void child_done(struct frame *f, struct frame *c)
{
    struct list_state *l = list_of(f);
    if (shelf_is_fetch(c)) {
        fetched(f, c);
        return;
    }
    if (c->tag == TAG_KEPT) {
        recalled(f, c);
        return;
    }
    if (isolate_is(c)) {
        if (c->ok)
            isolate_done(f, c);
        else
            finish(f, false, c->result);
        return;
    }
    l->state[c->tag] = STEP_ENDED;
    l->ended++;
    if (!c->ok) {
        if (c->def->on_error == ON_ERROR_GOTO && c->failing_set && c->failing.rc != RC_CANCELLED) {
            /* step_end.c recorded the step as ended with its error; go on where it says */
            box_unref(l->results[c->tag]);
            l->results[c->tag] = box_ref(c->result);
            for (size_t i = c->tag + 1; i < c->def->goto_index; i++)
                l->state[i] = STEP_ENDED;
            l->next = c->def->goto_index;
            advance(f);
            return;
        }
        box_unref(l->error_var);
        l->error_var = box_ref(c->result);
        f->failing = (struct failure){.rc = RC_STEP, .message = STR("a step failed")};
        if (f->first)
            frame_drain(f);
        else
            finish(f, false, l->error_var);
        return;
    }
    struct box *result = box_ref(c->result);
    l->results[c->tag] = c->end ? shelf_leave(f->run, c->path, c->end, result) : result;
    memory_step_ended(c);
    f->leave = c->leave;
    if (!f->leave)
        advance(f);
    else if (f->first)
        frame_drain(f);
    else
        finish(f, true, NULL);
}

static void done(struct frame *f)
{
    struct list_state *l = list_of(f);
    for (size_t i = 0; l->results && i < l->def->n; i++)
        box_unref(l->results[i]);
    struct map_entry *e;
    for (size_t i = 0; (e = map_next(&l->vars, &i));)
        free_var(e->value);
    map_done(&l->vars);
    map_done(&l->late);
    if (l->is_loop)
        box_unref(l->loop.item);
    box_unref(l->error_var);
    box_unref(l->failed);
    if (l->instance)
        instance_done(l->instance);
}

static void no_effect(struct frame *f, bool ok, const struct val *result)
{
    (void)ok, (void)result;
    PANIC("list %.*s has no effects", STR_ARG(f->path));
}

static void no_timer(struct frame *f)
{
    PANIC("list %.*s has no timers", STR_ARG(f->path));
}

const struct frame_ops list_ops = {.kind = "list",
                                   .room = sizeof(struct frame) + sizeof(struct list_state) + ROOM_FOR_TEXTS,
                                   .enter = enter,
                                   .child_done = child_done,
                                   .effect_done = no_effect,
                                   .timer = no_timer,
                                   .drained = drained,
                                   .done = done};

struct frame *frame_list(struct frame *parent, const char *segment, size_t tag, const struct list_def *def,
                         const struct loop_scope *loop, struct box **previous)
{
    struct run *r = parent->run;
    struct frame *f = frame_new(r, parent, &list_ops, path_join(&r->scratch, parent->base, segment));
    f->tag = tag;
    struct list_state *l = ARENA_NEW(&f->arena, struct list_state);
    l->def = def;
    l->previous = previous;
    if (loop) {
        l->is_loop = true;
        l->loop = *loop;
        if (l->loop.item)
            box_ref(l->loop.item);
    }
    f->state = l;
    run_queue(f, QUEUED_ENTER);
    return f;
}

struct val list_results(const struct frame *list, struct arena *a)
{
    const struct list_state *l = list->state;
    struct val_map m = val_map_new(a);
    for (size_t i = 0; l->results && i < l->def->n; i++)
        if (l->results[i])
            val_map_set(&m, l->def->steps[i]->name, l->results[i]->val);
    return val_map_done(&m);
}

struct box **list_take_results(struct frame *list, struct box **over)
{
    struct list_state *l = list_of(list);
    struct box **taken = over ? over : calloc(l->def->n + 1, sizeof *taken);
    if (!taken)
        PANIC("out of memory");
    for (size_t i = 0; l->results && i < l->def->n; i++)
        if (l->results[i]) {
            box_unref(taken[i]);
            taken[i] = box_ref(l->results[i]);
        }
    return taken;
}

struct box **list_boxes(const struct list_def *def, const struct val *results)
{
    struct box **taken = calloc(def->n + 1, sizeof *taken);
    if (!taken)
        PANIC("out of memory");
    for (size_t i = 0; i < def->n; i++) {
        const struct val *v = val_get(results, def->steps[i]->name);
        taken[i] = v ? box_new(v) : NULL;
    }
    return taken;
}

void list_drop_results(const struct list_def *def, struct box **results)
{
    for (size_t i = 0; results && i < def->n; i++)
        box_unref(results[i]);
    free(results);
}
