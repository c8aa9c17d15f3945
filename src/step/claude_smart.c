/* claude_smart: Claude with a preset's tools, model and manner. */
#include "step/model.h"

static void answered(struct frame *f, struct model_state *s, const struct val *result)
{
    struct val_map m = val_map_new(&f->arena);
    VAL_MAP_SET(&m, "preset_applied", val_str(s->preset));
    VAL_MAP_SET(&m, "environment_aware", val_bool(val_get_bool(s->config, STR("environment_aware"), false)));
    VAL_MAP_SET(&m, "optimization_applied", val_true);
    step_ok(f, model_with(f, result, "claude_smart_metadata", val_map_done(&m)));
}

static const struct model_kind kind = {.preset = "development", .appends = true, .answered = answered};

static void enter(struct frame *f)
{
    model_enter(f, &kind);
}

static const struct step_key keys[] = {
    CLAUDE_KEYS,
    PRESET_KEY("development"),
    {"environment_aware", KEY_BOOL, .fallback = "false",
     .doc = "Without a preset, take the one that `environment.mode` of the workflow names."},
    {0}};

const struct step_type step_claude_smart = {.name = "claude_smart",
                                            .doc = "Asks Claude with a preset of tools, model and manner.",
                                            .keys = keys,
                                            .provider = "claude",
                                            .result_doc = MODEL_RESULT "|claude_smart_metadata",
                                            .check = model_check,
                                            .enter = enter,
                                            .makes_key = true,
                                            .child_done = model_child_done};
