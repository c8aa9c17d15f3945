/*      call_place_open ─▶ its turn in the workspace ─▶ place:dir ─▶ go_on … call_place_close ─▶ its turn ─▶ place:clean
 * ─▶ go_on
 *
 * What exists already is never removed. A removal that fails fails a call that has ended well; one that has failed
 * already goes on with the failure that it has. */
#include "step/pipeline_place.h"

enum { TAG_MAKE = 0x64697200, TAG_CLEAN };

#define MAKE  "place:dir"
#define CLEAN "place:clean"

static void effect(struct frame *f, const char *operation, struct str path, bool fresh, size_t tag, const char *label)
{
    struct val_map m = val_map_new(&f->arena);
    VAL_MAP_SET(&m, "operation", val_str(str_c(operation)));
    VAL_MAP_SET(&m, "path", val_str(path));
    if (fresh)
        VAL_MAP_SET(&m, "fresh", val_true);
    struct val *request = ARENA_NEW(&f->arena, struct val);
    *request = val_map_done(&m);
    frame_effect(f, tag == TAG_MAKE ? MAKE : CLEAN, tag,
                 &(struct effect_plan){.kind = EFFECT_FILES,
                                       .request = request,
                                       .on_interrupt = ON_INTERRUPT_RETRY,
                                       .two_phase = true,
                                       .label = arena_printf(&f->arena, "%s %.*s", label, STR_ARG(path)).p});
}

static void make(struct frame *f, void *ctx)
{
    const struct val *plan = ctx;
    effect(f, "make_directory", val_get_str(plan, STR("dir"), STR("")), val_get_bool(plan, STR("fresh"), false),
           TAG_MAKE, "make the directory");
}

bool call_place_open(struct frame *f, struct call_place *p, const struct val *plan, void (*go_on)(struct frame *f))
{
    if (!VAL_GET(plan, "dir"))
        return false;
    p->go_on = go_on;
    if (frame_recorded(f, MAKE)) /* in an earlier life */
        make(f, (struct val *)plan);
    else
        frame_workspace(f, make, (struct val *)plan);
    return true;
}

void call_place_recall(struct frame *f, struct call_place *p)
{
    const struct val *made = frame_recorded(f, MAKE);
    p->root = val_get_str(made, STR("path"), STR(""));
    p->made = val_get_bool(made, STR("created"), false);
}

static void clean(struct frame *f, void *ctx)
{
    const struct call_place *p = ctx;
    effect(f, "remove_directory", p->root, false, TAG_CLEAN, "remove the directory");
}

bool call_place_close(struct frame *f, struct call_place *p, const struct val *plan, bool well,
                      void (*go_on)(struct frame *f))
{
    if (!p->root.n || !p->made || !val_get_bool(plan, well ? STR("cleans") : STR("cleans_failed"), false))
        return false;
    p->go_on = go_on;
    if (frame_recorded(f, CLEAN))
        clean(f, p);
    else
        frame_workspace(f, clean, p);
    return true;
}

bool call_place_is(const struct frame *child)
{
    return child->tag == TAG_MAKE || child->tag == TAG_CLEAN;
}

void call_place_done(struct frame *f, struct call_place *p, const struct frame *child)
{
    const struct val *r = child_result(child);
    frame_workspace_leave(f);
    if (child->tag == TAG_CLEAN) /* a good end may still fail, over its output file */
        p->made = false;
    if (child_ok(child) && child->tag == TAG_MAKE) {
        p->root = arena_str(&f->arena, val_get_str(r, STR("path"), STR("")));
        p->made = val_get_bool(r, STR("created"), false);
    } else if (!child_ok(child) && f->failing_set) {
        struct str why = val_get_str(r, STR("message"), STR(""));
        frame_event(f, EVENT_NOTE, arena_printf(frame_scratch(f), "its directory is still there: %.*s", STR_ARG(why)).p,
                    NULL);
    } else if (!child_ok(child)) {
        struct failure why = child_failure(child);
        why.message = arena_printf(&f->arena, "`workspace_dir`: %.*s", STR_ARG(why.message));
        step_fail(f, &why);
        return;
    }
    p->go_on(f);
}
