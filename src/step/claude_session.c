/* claude_session: a conversation by name that goes on in later steps and in later runs.
 *
 *   session:read ─▶ prompt ─▶ turns, with what was said before ─▶ session:append ─▶ end
 *
 * What was read is in the journal, so a resumed run asks with the same history; what was said is added once, under a
 * key of the run and the step. Steps that use one session at the same time each go on from what was there when they
 * began. */
#include "step/model.h"

extern const struct step_type step_claude_conversation;

struct talk {
    struct str name;
    bool persist, fresh;
    int64_t max_turns, turns; /* turns: after this one */
};

static bool prepare(struct frame *f, struct model_state *s)
{
    struct talk *t = ARENA_NEW(&f->arena, struct talk);
    const struct val *c = VAL_GET(s->config, "session_config");
    struct str name, id;
    bool goes_on;
    s->own = t;
    c = val_is(c, VAL_OBJECT) ? c : &val_empty_object;
    if (!frame_text(f, s->config, "session_name", STR(""), &name) ||
        !frame_text(f, s->config, "session_id", STR(""), &id))
        return false;
    name = name.n ? name : id;
    if (!frame_text(f, c, "session_id", name, &name) || !frame_text(f, c, "session_name", name, &t->name) ||
        !frame_bool(f, c, "persist", t->name.n > 0, &t->persist) ||
        !frame_bool(f, s->config, "continue_session", true, &goes_on) ||
        !frame_int(f, c, "max_session_turns", INT64_MAX, 1, INT64_MAX, &t->max_turns) ||
        !frame_int(f, c, "max_turns", t->max_turns, 1, INT64_MAX, &t->max_turns))
        return false;
    t->fresh = !goes_on;
    if (!t->name.n)
        t->name = f->def->name;
    s->session = t->name;
    s->session_own = !t->persist;
    s->session_fresh = t->fresh;
    s->session_max = t->max_turns;
    return true;
}

static void answered(struct frame *f, struct model_state *s, const struct val *result)
{
    const struct talk *t = s->own;
    const struct val *c = VAL_GET(s->config, "session_config");
    struct val_map m = val_map_new(&f->arena);
    VAL_MAP_SET(&m, "session_id", val_str(t->name));
    VAL_MAP_SET(&m, "session_name", val_str(t->name));
    VAL_MAP_SET(&m, "session_persisted", val_bool(t->persist));
    VAL_MAP_SET(&m, "turn", val_int(s->session_turns));
    VAL_MAP_SET(&m, "checkpoint_frequency", val_int(val_get_int(c, STR("checkpoint_frequency"), 1)));
    VAL_MAP_SET(&m, "continue_on_restart", val_true);
    const struct val *with = model_with(f, result, "session_id", val_str(t->name));
    step_ok(f, model_with(f, with, "claude_session_metadata", val_map_done(&m)));
}

static const struct model_kind kind = {.preset = "analysis", .prepare = prepare, .answered = answered};

static void enter(struct frame *f)
{
    model_enter(f, &kind);
}

/* There, or written with a slip, which was reported. */
static bool has_prompt(const struct step_def *s)
{
    for (size_t i = 0; i < s->source->obj.n; i++)
        if (s->source->obj.m[i].key.n < 64 && str_distance(s->source->obj.m[i].key, STR("prompt"), 2) <= 2)
            return true;
    return false;
}

static void check(const struct step_def *s, struct problems *ps)
{
    model_check(s, ps);
    if (!has_prompt(s))
        problem_add(
            ps, false, s->line, s->col,
            "step `%.*s` (claude_session) has no `prompt`; expected one, or `conversation`, a list of exchanges",
            STR_ARG(s->name));
}

static const struct step_key keys[] = {
    {"prompt", KEY_PROMPT, .doc = "What is asked: text, or a list of parts. This, or `conversation`."},
    CLAUDE_OTHER_KEYS,
    PRESET_KEY("analysis"),
    {"conversation", KEY_DATA, .choices = "exchanges",
     .doc = "Several exchanges, one after the other: a list of {prompt, turn, …} with the keys of this step, or of "
            "prompts."},
    {"session_config", KEY_OBJECT, .choices = "session_config",
     .doc = "{session_name, persist (true where it has a name), max_turns (exchanges in all), description}; "
            "continue_on_restart and checkpoint_frequency change nothing: every exchange is kept."},
    {"session_name", KEY_TEMPLATE,
     .doc = "Name of the conversation; without any it is the step's own, within the run."},
    {"session_id", KEY_TEMPLATE, .doc = "As session_name."},
    {"continue_session", KEY_BOOL, .fallback = "true", .doc = "false begins the conversation anew."},
    {"checkpoint_dir", KEY_TEMPLATE, .doc = "Accepted and without effect."},
    {0}};

const struct step_type step_claude_session = {.name = "claude_session",
                                              .doc = "Asks Claude in a conversation that goes on in later runs.",
                                              .keys = keys,
                                              .provider = "claude",
                                              .result_doc = MODEL_RESULT "|session_id|claude_session_metadata",
                                              .talks = true,
                                              .variant_key = "conversation",
                                              .variant = &step_claude_conversation,
                                              .check = check,
                                              .enter = enter,
                                              .child_done = model_child_done};
