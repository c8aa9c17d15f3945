/* checkpoint: keeps a named state of the workflow beyond the run, or brings one back.
 *
 * Saving sets the state's keys as variables too, and loading sets those that were saved: so a loop that goes on from
 * its checkpoint advances the same way in the run that saves it and in the run that loads it. */
#include "data/date.h"
#include "flow/frame.h"

#include "base/panic.h"

static const struct step_key keys[] = {
    {"action", KEY_ENUM, .choices = "save|load", .fallback = "save", .doc = "What to do."},
    {"checkpoint_name", KEY_TEMPLATE, .fallback = "the step's name", .doc = "Which checkpoint of this workflow."},
    {"state", KEY_OBJECT, .fallback = "{}", .doc = "What is saved: names and values, which become variables as well."},
    {"include_workspace", KEY_BOOL, .fallback = "false",
     .doc = "Keep the workspace's files with it; when loading, put them back (others stay as they are)."},
    {"on_not_found", KEY_STEPS, .doc = "What is done when there is none to load. Without it, the step fails."},
    {"compress", KEY_BOOL, .fallback = "false", .doc = "Accepted and without effect: equal contents are kept once."},
    {0}};

enum { SLOT_NOT_FOUND = 0, TAG_ACT = 0, TAG_NOT_FOUND = 1 };

static void check(const struct step_def *s, struct problems *ps)
{
    bool load = str_is(val_get_str(s->source, STR("action"), STR("save")), "load");
    const struct val *state = VAL_GET(s->source, "state");
    if (!load && s->lists && s->lists[SLOT_NOT_FOUND])
        problem_add(ps, false, s->line, s->col, "step `%.*s` saves; expected `on_not_found` only with `action: load`",
                    STR_ARG(s->name));
    if (load && state)
        problem_add(ps, false, state->line, state->col,
                    "`state` is only saved; expected none with `action: load`, whose result has what was saved");
}

static bool loads(struct frame *f)
{
    return str_is(val_get_str(frame_config(f, true), STR("action"), STR("save")), "load");
}

static struct str name_of(struct frame *f)
{
    struct str name = f->def->name;
    (void)frame_text(f, frame_config(f, true), "checkpoint_name", f->def->name, &name);
    return name;
}

static void enter(struct frame *f)
{
    const struct val *c = frame_config(f, true), *state = c ? VAL_GET(c, "state") : NULL;
    bool workspace;
    if (!c || !frame_bool(f, c, "include_workspace", false, &workspace))
        return;
    if (state && state->type != VAL_OBJECT) {
        step_failf(f, RC_INVALID, "`state` is %s; expected an object of names and values", val_type_name(state));
        return;
    }
    struct val_map m = val_map_new(&f->arena);
    VAL_MAP_SET(&m, "action", loads(f) ? VAL_LIT("load") : VAL_LIT("save"));
    VAL_MAP_SET(&m, "workflow", val_str(frame_workflow(f)));
    VAL_MAP_SET(&m, "run", val_str(frame_run(f)));
    VAL_MAP_SET(&m, "name", val_str(name_of(f)));
    VAL_MAP_SET(&m, "include_workspace", val_bool(workspace));
    if (state)
        VAL_MAP_SET(&m, "state", *state);
    struct val *request = ARENA_NEW(&f->arena, struct val);
    *request = val_map_done(&m);
    frame_effect(f, "act:1", TAG_ACT,
                 &(struct effect_plan){
                     .kind = EFFECT_CHECKPOINT,
                     .request = request,
                     .on_interrupt = ON_INTERRUPT_RETRY,
                     .label = arena_printf(&f->arena, "%s %.*s", loads(f) ? "load" : "save", STR_ARG(name_of(f))).p});
}

static void finish(struct frame *f, const struct val *done, const struct val *state, const struct val *results)
{
    struct arena *a = &f->arena;
    struct val_map m = val_map_new(a);
    bool load = loads(f);
    VAL_MAP_SET(&m, "success", val_true);
    VAL_MAP_SET(&m, "action", load ? VAL_LIT("load") : VAL_LIT("save"));
    VAL_MAP_SET(&m, "checkpoint_name", val_str(name_of(f)));
    if (load)
        VAL_MAP_SET(&m, "found", val_bool(val_get_bool(done, STR("found"), false)));
    if (VAL_GET(done, "saved_ms"))
        VAL_MAP_SET(&m, "saved_at", val_str(date_text(a, val_get_int(done, STR("saved_ms"), 0))));
    VAL_MAP_SET(&m, "state", *state);
    if (VAL_GET(done, "workspace"))
        VAL_MAP_SET(&m, "workspace", *VAL_GET(done, "workspace"));
    if (results)
        VAL_MAP_SET(&m, "results", *results);
    struct val v = val_map_done(&m);
    step_ok(f, &v);
}

static void acted(struct frame *f, const struct val *done)
{
    const struct val *saved = VAL_GET(frame_config(f, true), "state"),
                     *state = loads(f) ? VAL_GET(done, "state") : saved;
    if (loads(f) && !val_get_bool(done, STR("found"), false)) {
        if (f->def->lists[SLOT_NOT_FOUND])
            frame_list(f, "on_not_found", TAG_NOT_FOUND, f->def->lists[SLOT_NOT_FOUND], NULL, NULL);
        else
            step_failf(f, RC_NOT_FOUND, "there is no checkpoint `%.*s` of this workflow", STR_ARG(name_of(f)));
        return;
    }
    state = val_is(state, VAL_OBJECT) ? state : &val_empty_object;
    if (state->obj.n)
        step_sets(f, false, state);
    finish(f, done, state, NULL);
}

static void child_done(struct frame *f, struct frame *c)
{
    if (!child_ok(c)) {
        step_fail_as(f, c);
    } else if (c->tag == TAG_NOT_FOUND) {
        struct val results = list_results(c, &f->arena);
        finish(f, &val_empty_object, &val_empty_object, &results);
    } else {
        acted(f, child_result(c));
    }
}

const struct step_type step_checkpoint = {
    .name = "checkpoint",
    .doc = "Keeps a named state beyond the run, or brings one back.",
    .keys = keys,
    .result_doc = "success|action|checkpoint_name|found|saved_at|state|workspace|results|error",
    .check = check,
    .acts = true,
    .makes_files = true,
    .enter = enter,
    .child_done = child_done};
