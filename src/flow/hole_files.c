/* {{file:PATH}}: the text of a file in the middle of a template.
 *
 * Templates are evaluated at once, and files are read by an effect, later. So before a step with such holes is entered,
 * its configuration is evaluated to see which file it lacks; that one is read (and journaled, as a prompt's file part
 * is), and it is evaluated again, until nothing is missing. What is read belongs to the attempt: another one reads
 * anew, a resumed one is answered from the journal. */
#include "flow/run_int.h"

#include <stdio.h>

enum { FILES_MAX = 100 };

static void ask(struct frame *f, struct hole_files *files)
{
    struct arena *a = &f->arena;
    char segment[32];
    if (files->n >= FILES_MAX) {
        step_failf(f, RC_LIMIT, "the step reads more than %d files in its templates", FILES_MAX);
        return;
    }
    snprintf(segment, sizeof segment, "include:%zu", ++files->n);
    struct val_map m = val_map_new(a);
    VAL_MAP_SET(&m, "path", val_str(files->wanted));
    if (frame_dir(f).n)
        VAL_MAP_SET(&m, "dir", val_str(frame_dir(f)));
    if (frame_hole_path_found(f, files->wanted))
        VAL_MAP_SET(&m, "beneath", val_true);
    struct val *request = ARENA_NEW(a, struct val);
    *request = val_map_done(&m);
    frame_effect(f, segment, TAG_FILE,
                 &(struct effect_plan){.kind = EFFECT_READ,
                                       .request = request,
                                       .on_interrupt = ON_INTERRUPT_RETRY,
                                       .label = arena_printf(a, "read %.*s", STR_ARG(files->wanted)).p});
}

static void next(struct frame *f, struct hole_files *files)
{
    struct expr_scope scope = frame_scope(f, false);
    struct val v;
    struct err err;
    files->wanted = STR("");
    const struct tmpl_tree *keys = f->def->cache ? f->def->cache->values : NULL;
    enum rc rc = tmpl_tree_eval(f->def->config, &scope, &f->run->scratch, &v, &err);
    if (rc == RC_OK && keys)
        rc = tmpl_tree_eval(keys, &scope, &f->run->scratch, &v, &err);
    if (files->wanted.n)
        ask(f, files);
    else if (rc != RC_OK)
        frame_fail(f, &err);
    else
        frame_files_read(f);
}

void frame_read_files(struct frame *f, struct hole_files *files)
{
    map_done(&files->texts);
    *files = (struct hole_files){0};
    next(f, files);
}

void frame_files_again(struct frame *f, struct hole_files *files)
{
    next(f, files);
}

void frame_file_read(struct frame *f, struct hole_files *files, struct frame *child)
{
    if (!child_ok(child)) {
        step_fail_as(f, child);
        return;
    }
    struct str *text = ARENA_NEW(&f->arena, struct str);
    *text = arena_str(&f->arena, val_get_str(child_result(child), STR("text"), STR("")));
    map_put(&files->texts, files->wanted, text);
    next(f, files);
}

const struct val *hole_file(struct frame *f, struct str path, struct arena *a)
{
    struct frame *step = f;
    while (step && step->ops != &step_ops)
        step = step->parent;
    struct hole_files *files = step ? frame_files(step) : NULL;
    const struct str *text = files ? map_get(&files->texts, path) : NULL;
    if (text) {
        struct val *v = ARENA_NEW(a, struct val);
        *v = val_str(*text);
        return v;
    }
    if (files && !files->wanted.n)
        files->wanted = arena_str(&step->arena, path);
    return NULL;
}
