/* The plain model steps: claude, gemini and llm differ in their keys and in who answers. */
#include "step/model.h"

static const struct model_kind plain = {0};

static void enter(struct frame *f)
{
    model_enter(f, &plain);
}

static const struct step_key claude_keys[] = {CLAUDE_KEYS, PRESET_KEY("none"), {0}};

const struct step_type step_claude = {.name = "claude",
                                      .doc = "Asks Claude, with tools if wanted.",
                                      .keys = claude_keys,
                                      .provider = "claude",
                                      .result_doc = MODEL_RESULT,
                                      .check = model_check,
                                      .enter = enter,
                                      .makes_key = true,
                                      .child_done = model_child_done};

static const struct step_key llm_keys[] = {
    MODEL_KEYS,
    {"model", KEY_TEMPLATE, .required = true,
     .doc = "PROVIDER/MODEL: anthropic, gemini, or openai (any OpenAI-compatible address, OPENAI_BASE_URL)."},
    {0}};

const struct step_type step_llm = {.name = "llm",
                                   .doc = "Asks any model by PROVIDER/MODEL.",
                                   .keys = llm_keys,
                                   .writes = true, /* with its tools; who answers is known late */
                                   .result_doc = MODEL_RESULT,
                                   .check = model_check,
                                   .enter = enter,
                                   .makes_key = true,
                                   .child_done = model_child_done};
