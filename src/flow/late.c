/* Steps whose type or name is a template, when they start. What the templates come to is recorded before anything
 * follows from it (a NOTE of the step), and read from the journal in later lives; then the step's definition is
 * replaced by one with the keys of its type (flow/load_late.c). */
#include "flow/run_int.h"

static bool eval_late(struct frame *f, const struct tmpl *t, const char *what, struct str *ret)
{
    struct err err;
    struct expr_scope scope = frame_scope(f, false);
    struct val v;
    *ret = STR("");
    if (!t)
        return true;
    if (tmpl_eval(t, &scope, &f->run->scratch, &v, &err) != RC_OK) {
        frame_fail(f, &err);
        return false;
    }
    if (v.type == VAL_STR && v.s.n && v.s.n <= 200) {
        *ret = v.s;
        return true;
    }
    step_failf(f, RC_INVALID, "the %s of this step comes to %s; expected text", what, val_type_name(&v));
    return false;
}

/* Once a step: what they come to is recorded before anything follows from it. False: the step has failed. */
static bool settle_late(struct frame *f, struct str *ret_type, struct str *ret_name)
{
    if (f->past && f->past->late) {
        const struct val *v = VAL_GET(&f->past->late->val, "late");
        *ret_type = val_get_str(v, STR("type"), STR(""));
        *ret_name = val_get_str(v, STR("name"), STR(""));
        return true;
    }
    if (!eval_late(f, f->def->late_type, "type", ret_type) || !eval_late(f, f->def->late_name, "name", ret_name))
        return false;
    struct val_map late = val_map_new(&f->run->scratch), m = val_map_new(&f->run->scratch);
    VAL_MAP_SET(&late, "type", val_str(*ret_type));
    VAL_MAP_SET(&late, "name", val_str(*ret_name));
    VAL_MAP_SET(&m, "late", val_map_done(&late));
    struct val data = val_map_done(&m);
    run_append(f->run, RECORD_NOTE, f->path, f->attempt, &data);
    return true;
}

void frame_register_late(struct frame *f, struct str name)
{
    if (!name.n || !f->parent || f->parent->ops != &list_ops)
        return;
    struct map *m = &list_of(f->parent)->late;
    map_put(m, arena_str(&f->parent->arena, name), (void *)f->def);
}

/* False: the step has failed. */
bool frame_settle_late(struct frame *f)
{
    struct str type, name;
    struct err err;
    const struct step_def *d;
    if (!(f->def->late_type || f->def->late_name) || f->late_known)
        return true;
    if (!settle_late(f, &type, &name))
        return false;
    frame_register_late(f, name);
    f->late_known = true;
    if (!f->def->late_type)
        return true;
    if (load_late(f->instance->workflow, f->def, type, &f->arena, &d, &err) != RC_OK) {
        f->failing.final = true;
        frame_fail(f, &err);
        return false;
    }
    f->def = d;
    return true;
}
