/* The machine of all step types that ask a model: options, prompt, conversation, and the type's hooks in between.
 *
 * What is pinned is not the plain configuration but the settled options together with it: a run that is resumed where
 * CLAUDE_MODEL says something else, or by a version with other presets, goes on asking what it asked before. */
#include "step/model.h"

struct val *model_with(struct frame *f, const struct val *result, const char *field, struct val v)
{
    struct val_map m = val_map_new(&f->arena);
    val_map_merge(&m, result);
    val_map_set(&m, str_c(field), v);
    struct val *out = ARENA_NEW(&f->arena, struct val);
    *out = val_map_done(&m);
    return out;
}

static void answered(struct frame *f, const struct val *result)
{
    struct model_state *s = model_of(f);
    if (s->kind->answered)
        s->kind->answered(f, s, result);
    else
        step_ok(f, result);
}

static void failed(struct frame *f, const struct failure *why)
{
    struct model_state *s = model_of(f);
    if (s->kind->failed)
        s->kind->failed(f, s, why);
    else
        step_fail(f, why);
}

static void go_on(struct frame *f, struct model_state *s)
{
    if (!prompt_advance(f, s->prompt))
        return;
    s->asked = prompt_text(f, s->prompt);
    if (f->failing_set)
        return;
    if (s->kind->finish_prompt)
        s->asked = s->kind->finish_prompt(f, s, s->asked);
    s->asking = true;
    s->agent = agent_new(f, &s->options);
    agent_start(f, s->agent, s->asked);
}

static const struct val *settled_config(struct frame *f, const struct model_kind *kind)
{
    const struct val *pinned = frame_pinned(f);
    if (pinned)
        return pinned;
    const struct val *config = frame_config(f, false);
    const struct val *settled = config ? model_settle(f, kind, config) : NULL;
    return settled && frame_pin(f, settled) ? settled : NULL;
}

static void begin(struct frame *f, struct model_state *s)
{
    const struct model_kind *kind = s->kind;
    const struct val *config = settled_config(f, kind);
    if (!config)
        return;
    s->config = config;
    s->preset = val_get_str(config, STR("preset"), STR(""));
    s->options.answered = answered;
    s->options.failed = failed;
    if (!model_read(f, kind, config, &s->options) || (kind->prepare && !kind->prepare(f, s)))
        return;
    s->prompt = prompt_new(f, config);
    if (s->prompt)
        go_on(f, s);
}

void model_enter(struct frame *f, const struct model_kind *kind)
{
    struct model_state *s = ARENA_NEW(&f->arena, struct model_state);
    f->type_state = s;
    s->kind = kind;
    if (!codebase_ask(f)) /* its answer comes before the templates are evaluated */
        begin(f, s);
}

void model_child_done(struct frame *f, struct frame *child)
{
    struct model_state *s = model_of(f);
    if (codebase_is(child)) {
        if (codebase_take(f, child))
            begin(f, s);
    } else if (s->asking) {
        agent_child(f, s->agent, child);
    } else if (prompt_child(f, s->prompt, child)) {
        go_on(f, s);
    }
}
