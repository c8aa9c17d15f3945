/* A list (a branch, an iteration) or an attempt at a step that works in a copy of the workspace.
 *
 *      isolate_open ─▶ place:open ─▶ go_on … all that is below is located in the copy … isolate_close
 *          ─▶ its turn in the workspace around ─▶ place:merge ─▶ go_on
 *
 * Both ends are effects of the frame, so a resumed run goes on in the copy that is there, and takes it over once. They
 * happen in the workspace around it, which may be a copy itself. Whoever fails takes nothing over: another attempt has
 * another path, and so another copy. Turns are of one workspace; those in the copy do not wait for those outside. */
#include "flow/run_int.h"

#include "base/fault.h"
#include "base/panic.h"

enum { TAG_OPEN = 0x706c6163, TAG_MERGE };

struct isolate {
    struct str id; /* the frame's path, with the attempt: its name in the run */
    bool open;
    struct frame *writing;
    void (*go_on)(struct frame *f);
};

bool isolate_wanted(const struct step_def *d)
{
    return str_is(val_get_str(d->source, STR("workspace"), STR("")), "isolated");
}

bool isolate_is(const struct frame *child)
{
    return child->ops == &effect_ops && (child->tag == TAG_OPEN || child->tag == TAG_MERGE);
}

static struct isolate *isolate_of(const struct frame *f)
{
    for (; f; f = f->parent)
        if (f->isolate && f->isolate->open)
            return f->isolate;
    return NULL;
}

struct frame **isolate_writing(struct frame *f)
{
    struct isolate *p = isolate_of(f);
    return p ? &p->writing : &f->run->writing;
}

struct val isolate_located(struct frame *f, enum effect_kind kind, struct val request)
{
    const struct isolate *p = isolate_of(f);
    struct str root = f->instance->root;
    bool files = kind == EFFECT_COMMAND || kind == EFFECT_TOOL || kind == EFFECT_READ || kind == EFFECT_FILES ||
                 kind == EFFECT_CODE || kind == EFFECT_CHECKPOINT;
    bool there = p && (files || kind == EFFECT_WORKSPACE);
    bool below = files && root.n;
    if ((!there && !below) || fault_hit("isolate.outside")) /* a seeded bug for the simulation to catch */
        return request;
    struct val_map m = val_map_new(&f->arena);
    val_map_merge(&m, &request);
    if (there)
        VAL_MAP_SET(&m, "place", val_str(p->id));
    if (below)
        VAL_MAP_SET(&m, "root", val_str(root));
    return val_map_done(&m);
}

static void effect(struct frame *f, const char *action, const char *segment, size_t tag, const char *label)
{
    struct val_map m = val_map_new(&f->arena);
    VAL_MAP_SET(&m, "action", val_str(str_c(action)));
    VAL_MAP_SET(&m, "target", val_str(f->isolate->id));
    VAL_MAP_SET(&m, "frame", val_str(path_join(&f->arena, f->base, segment)));
    struct val *request = ARENA_NEW(&f->arena, struct val);
    *request = val_map_done(&m);
    frame_effect(f, segment, tag,
                 &(struct effect_plan){
                     .kind = EFFECT_WORKSPACE, .request = request, .on_interrupt = ON_INTERRUPT_RETRY, .label = label});
}

void isolate_open(struct frame *f, void (*go_on)(struct frame *f))
{
    f->isolate = ARENA_NEW(&f->arena, struct isolate);
    *f->isolate = (struct isolate){.id = arena_str(&f->arena, f->base), .go_on = go_on};
    effect(f, "isolate", "place:open", TAG_OPEN, "copy the workspace");
}

static void merge(struct frame *f, void *ctx)
{
    (void)ctx;
    effect(f, "merge", "place:merge", TAG_MERGE, "take over what was changed in the copy");
}

bool isolate_close(struct frame *f, void (*go_on)(struct frame *f))
{
    if (!f->isolate || !f->isolate->open)
        return false;
    workspace_leave(f);
    CHECK(!f->isolate->writing);
    f->isolate->open = false;
    f->isolate->go_on = go_on;
    if (frame_recorded(f, "place:merge")) /* in an earlier life */
        merge(f, NULL);
    else
        frame_workspace(f, merge, NULL);
    return true;
}

void isolate_drop(struct frame *f)
{
    if (f->isolate && f->isolate->open)
        workspace_leave(f);
    f->isolate = NULL;
}

void isolate_done(struct frame *f, const struct frame *child)
{
    struct isolate *p = f->isolate;
    if (child->tag == TAG_OPEN)
        p->open = true;
    else
        workspace_leave(f);
    p->go_on(f);
}

void frame_isolate(struct frame *list)
{
    CHECK(list->ops == &list_ops);
    list_of(list)->isolated = isolate_wanted(list->parent->def);
}
