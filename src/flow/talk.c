/* A step speaks in a session when its type does, when its claude_options name one, or when its prompt goes on with one.
 * Which of the steps inside another speaks last is known in the run only (flow/outcome.c keeps it).
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

bool step_talks(const struct step_def *s)
{
    const struct val *options = VAL_GET(s->source, "claude_options");
    return s->type && (s->type->talks || VAL_GET(options, "session_id") || VAL_GET(options, "resume_session") ||
                       continues(VAL_GET(s->source, "prompt")));
}

static bool list_talks(const struct list_def *l);

/* A workflow that is called has sessions of its own. */
static bool inside_talks(const struct step_def *s)
{
    size_t lists = 0;
    for (const struct step_key *k = s->type ? s->type->keys : NULL; k && k->name; k++)
        lists += k->kind == KEY_STEPS && !k->alias_of;
    if (!s->type || s->type->boundary)
        return false;
    for (size_t i = 0; s->lists && i < lists; i++)
        if (s->lists[i] && list_talks(s->lists[i]))
            return true;
    for (size_t i = 0; i < s->nbranches; i++)
        if (list_talks(s->branches[i].list))
            return true;
    return s->handler && list_talks(s->handler);
}

static bool list_talks(const struct list_def *l)
{
    for (size_t i = 0; i < l->n; i++)
        if (step_talks(l->steps[i]) || inside_talks(l->steps[i]))
            return true;
    return false;
}

bool step_talk_around(const struct step_def *at)
{
    for (const struct step_def *up = at->list->owner; up && !(up->type && up->type->boundary); up = up->list->owner)
        if (up->type && up->type->loop && inside_talks(up))
            return true;
    return false;
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
            if (before(s, at) && (step_talks(s) || inside_talks(s)))
                return s;
        }
        if (at->list->owner && at->list->owner->type && at->list->owner->type->boundary)
            break;
    }
    return NULL;
}
