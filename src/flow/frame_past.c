/* What step types ask the journal of an earlier life about their children, and decisions that they record for the next.
 *
 * A type that makes its children one by one (a loop, a group of tasks) must know which it has made already, since the
 * order may have depended on what was outside. The answers come from the fold (recover.c), by path. */
#include "flow/run_int.h"

const struct past *past_below(const struct frame *f, const char *segment)
{
    return past_find(f->run, path_join(&f->run->scratch, f->base, segment));
}

bool frame_record(struct frame *f, const char *segment, const struct val *object)
{
    struct err err;
    struct val_map m = val_map_new(&f->run->scratch);
    VAL_MAP_SET(&m, "ok", *object);
    struct val data = val_map_done(&m);
    struct str path = path_join(&f->run->scratch, f->base, segment);
    if (run_append_value(f->run, RECORD_RESULT, path, 1, &data, &err) == RC_OK)
        return true;
    frame_fail(f, &err);
    return false;
}

const struct val *frame_recorded(const struct frame *f, const char *segment)
{
    const struct past *p = past_below(f, segment);
    return p && p->result ? VAL_GET(&p->result->val, "ok") : NULL;
}

bool frame_past_begun(const struct frame *f, const char *segment)
{
    const struct past *p = past_below(f, segment);
    int64_t index;
    return (p && (p->begun || p->done)) ||
           (str_to_i64(str_c(segment), &index) && index >= 0 && frame_past_passed(f, (size_t)index));
}

bool frame_past_ended(const struct frame *f, const char *segment)
{
    const struct past *p = past_below(f, segment);
    return p && p->done;
}

size_t frame_past_count(struct frame *f)
{
    struct past *p = past_find(f->run, f->base);
    if (!p)
        return 0;
    instance_add_steps(f, p->passed_steps);
    p->passed_steps = 0;
    return p->npassed;
}

bool frame_past_passed(const struct frame *f, size_t index)
{
    const struct past *p = past_find(f->run, f->base);
    return p && index / 8 < p->passed_cap && (p->passed[index / 8] >> index % 8 & 1);
}

void frame_past_forget(struct frame *f, size_t first, size_t last)
{
    struct past *p = past_find(f->run, f->base);
    if (p)
        past_forget(p, first, last);
}

const struct val *frame_past_newest(const struct frame *f)
{
    const struct past *p = past_find(f->run, f->base);
    return p && p->newest ? &p->newest->val : NULL;
}

bool frame_past_broken(const struct frame *f)
{
    const struct past *p = past_find(f->run, f->base);
    return p && p->broken;
}
