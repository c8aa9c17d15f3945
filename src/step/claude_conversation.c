/* claude_session with a `conversation`: several exchanges in one session, one after the other.
 *
 * The loader has made a claude_session step of each (flow/load_exchanges.c), so that each is recorded, tried again and
 * resumed like any other; what is left to do is to run them as a list and to answer with what was said last. */
#include "flow/frame.h"
#include "step/model.h"

extern const struct step_type step_claude_session;

enum { SLOT_CONVERSATION = 0 };

static void enter(struct frame *f)
{
    frame_list(f, "conversation", 0, f->def->lists[SLOT_CONVERSATION], NULL, NULL);
}

static void child_done(struct frame *f, struct frame *c)
{
    if (!child_ok(c)) {
        struct failure why = child_failure(c);
        why.message = arena_printf(&f->arena, "the conversation: %.*s", STR_ARG(why.message));
        step_fail(f, &why);
        return;
    }
    struct val results = list_results(c, &f->arena);
    struct val_list all = val_list_new(&f->arena);
    struct val_map m = val_map_new(&f->arena);
    const struct val *last = &val_empty_object;
    for (size_t i = 0; i < results.obj.n; i++) {
        val_list_push(&all, results.obj.m[i].val);
        if (!val_get_bool(&results.obj.m[i].val, STR("skipped"), false))
            last = &results.obj.m[i].val;
    }
    VAL_MAP_SET(&m, "success", val_true);
    val_map_merge(&m, last);
    VAL_MAP_SET(&m, "exchanges", val_list_done(&all));
    struct val v = val_map_done(&m);
    step_ok(f, &v);
}

static void check(const struct step_def *s, struct problems *ps)
{
    const struct member *prompt = val_member(s->source, STR("prompt"));
    if (prompt)
        problem_add(ps, false, prompt->line, prompt->col,
                    "`prompt` and `conversation` both say what is asked; expected one of them");
}

static const struct step_key keys[] = {
    {"prompt", KEY_DATA, .doc = "Said by the exchanges."},
    CLAUDE_OTHER_KEYS,
    PRESET_KEY("analysis"),
    {"session_config", KEY_OBJECT, .doc = "As of one exchange."},
    {"session_name", KEY_TEMPLATE, .doc = "As of one exchange."},
    {"session_id", KEY_TEMPLATE, .doc = "As session_name."},
    {"continue_session", KEY_BOOL, .doc = "false: the first exchange begins the conversation anew."},
    {"checkpoint_dir", KEY_TEMPLATE, .doc = "Accepted and without effect."},
    {"conversation", KEY_STEPS, .required = true, .doc = "The exchanges."},
    {0}};

const struct step_type step_claude_conversation = {.name = "claude_session",
                                                   .doc = "Several exchanges of a conversation.",
                                                   .keys = keys,
                                                   .result_doc =
                                                       MODEL_RESULT "|session_id|claude_session_metadata|exchanges|*",
                                                   .exchange = &step_claude_session,
                                                   .talks = true,
                                                   .acts = true,
                                                   .check = check,
                                                   .enter = enter,
                                                   .child_done = child_done};
