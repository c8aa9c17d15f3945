/* Variables that steps set. They live in a list: the nearest one, or the workflow's own. A record names that list and
 * has the values; it is a record of its own, or a part of that of the step's end (step_sets). */
#include "flow/run_int.h"

#include "base/fault.h"

struct frame *frame_variables(const struct frame *f, bool local)
{
    struct frame *list = f->parent;
    local = local && !fault_hit("variables.shared"); /* a seeded bug for the simulation to catch */
    while (list->ops != &list_ops || (!local && list->parent && !list_of(list)->instance))
        list = list->parent;
    return list;
}

struct str frame_newest_session(const struct frame *f)
{
    const struct var *v = map_get(&list_of(frame_variables(f, false))->vars, STR(SCOPE_SESSION));
    return v && v->value->val.type == VAL_STR ? v->value->val.s : str_n("", 0);
}

struct val list_write(const struct frame *list, const struct val *values)
{
    struct val_map m = val_map_new(&list->run->scratch);
    VAL_MAP_SET(&m, "scope", val_str(list->path));
    VAL_MAP_SET(&m, "set", *values);
    return val_map_done(&m);
}

void list_set_all(struct frame *list, const struct val *values)
{
    for (size_t i = 0; i < values->obj.n; i++)
        list_var_set(list_of(list), values->obj.m[i].key, &values->obj.m[i].val);
}

bool frame_set_variables(struct frame *f, bool local, const struct val *values)
{
    struct frame *list = frame_variables(f, local);
    struct err err;
    struct val data = list_write(list, values);
    if (run_append_value(f->run, RECORD_WRITE, f->path, f->attempt, &data, &err) != RC_OK) {
        err_wrap(&err, "the variables");
        frame_fail(f, &err);
        return false;
    }
    list_set_all(list, values);
    return true;
}
