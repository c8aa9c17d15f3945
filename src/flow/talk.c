/* A step speaks in a session when its type does, when its claude_options name one, or when its prompt goes on with one.
 * What is before a step is what it may read: earlier steps of its list (in a graph: those that it depends on), and the
 * same of each list around, up to the workflow's own. */
#include "flow/talk.h"

#include "flow/step.h"

static bool continues(const struct val *prompt)
{
    for (size_t i = 0; val_at(prompt, i); i++)
        if (str_is(val_get_str(val_at(prompt, i), STR("type"), STR("")), "claude_continue"))
            return true;
    return false;
}

static bool talks(const struct step_def *s)
{
    const struct val *options = VAL_GET(s->source, "claude_options");
    return s->type && (s->type->talks || VAL_GET(options, "session_id") || VAL_GET(options, "resume_session") ||
                       continues(VAL_GET(s->source, "prompt")));
}

static bool before(const struct step_def *s, const struct step_def *at)
{
    const struct list_def *l = at->list;
    if (!l->graph)
        return s->index < at->index;
    return s != at && (l->reach[at->index * ((l->n + 63) / 64) + s->index / 64] >> (s->index % 64) & 1);
}

const struct step_def *step_talk_before(const struct step_def *at, const struct step_def *last)
{
    for (; at; at = at->list->owner) {
        size_t i = at->list->n;
        if (last && last->list != at->list)
            continue;
        if (last)
            i = last->index;
        last = NULL;
        while (i-- > 0) {
            const struct step_def *s = at->list->steps[i];
            if (before(s, at) && talks(s))
                return s;
        }
        if (at->list->owner && at->list->owner->type && at->list->owner->type->boundary)
            break;
    }
    return NULL;
}
