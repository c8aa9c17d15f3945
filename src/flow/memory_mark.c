/* A mark tells once in a life of the run. It clears whenever more than its part is taken, so that what was read again
 * since does not stay either. */
#include "flow/memory_mark.h"

#include "flow/instance.h"
#include "flow/run_int.h"
#include "flow/shelf.h"

static const struct {
    const char *name;
    enum memory_action action;
} actions[] = {
    {"log_warning", MEMORY_TELL},   {"log_error", MEMORY_TELL},        {"clear_caches", MEMORY_CLEAR},
    {"trigger_gc", MEMORY_CLEAR},   {"return_error", MEMORY_FAIL},     {"terminate_execution", MEMORY_FAIL},
    {"cleanup_all", MEMORY_ALWAYS}, {"pause_execution", MEMORY_NEVER}, {"await_cleanup", MEMORY_NEVER},
};

bool memory_action_at(size_t i, struct str *ret_name, enum memory_action *ret)
{
    if (i >= sizeof actions / sizeof *actions)
        return false;
    *ret_name = str_c(actions[i].name);
    *ret = actions[i].action;
    return true;
}

bool memory_action_find(struct str name, enum memory_action *ret)
{
    struct str one;
    for (size_t i = 0; memory_action_at(i, &one, ret); i++)
        if (str_eq(one, name))
            return true;
    return false;
}

int64_t memory_mark_percent(struct str key)
{
    int64_t n = 0;
    bool good = str_starts(key, STR("at_")) && str_ends(key, STR("_percent")) && key.n > 11 &&
                str_to_i64(str_n(key.p + 3, key.n - 11), &n);
    return good ? n : 0;
}

static void pass(struct frame *f, struct instance *i, size_t nth, const struct val *mark)
{
    if (i->account->bytes <= (size_t)val_get_int(mark, STR("bytes"), INT64_MAX))
        return;
    if (val_get_bool(mark, STR("clears"), false))
        shelf_clear(f->run);
    if (!val_get_bool(mark, STR("tells"), false) || (i->told & 1u << nth))
        return;
    i->told |= 1u << nth;
    struct str why = arena_printf(&f->run->scratch, "workflow `%.*s` takes more than %lld %% of its %lld MB of memory",
                                  STR_ARG(i->workflow->name), (long long)val_get_int(mark, STR("percent"), 0),
                                  (long long)(val_get_int(mark, STR("of"), 0) >> 20));
    frame_event(i->step, EVENT_NOTE, why.p, NULL);
}

void memory_step_ended(const struct frame *step)
{
    const struct val *names = step->instance->clears;
    for (size_t i = 0; val_at(names, i); i++)
        if (val_is(val_at(names, i), VAL_STR) && str_eq(val_at(names, i)->s, step->def->name)) {
            shelf_clear(step->run);
            return;
        }
}

void memory_marks_pass(struct frame *f)
{
    for (struct instance *i = f->instance; i; i = i->parent)
        for (size_t k = 0; k < 32 && val_at(i->marks, k); k++)
            pass(f, i, k, val_at(i->marks, k));
}
