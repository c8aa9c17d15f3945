/* The plain model steps: claude, gemini and llm differ in their keys and in who answers. */
#include "flow/keys.h"
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
    MODEL_KEYS(2),
    {"model", KEY_TEMPLATE,
     .doc = "PROVIDER/MODEL: anthropic, gemini, or openai (any OpenAI-compatible address, OPENAI_BASE_URL); or beside "
            "`provider`, the model alone."},
    {"provider", KEY_ENUM, .choices = "claude|anthropic|gemini|openai",
     .doc =
         "Who answers, where `model` does not say: then claude or gemini with its usual model, or any with a model."},
    {0}};

/* A key that was meant may be there under a name that is none, which has been told. */
static bool misspelt(const struct step_def *s)
{
    for (size_t i = 0; i < s->source->obj.n; i++)
        if (!key_find(s->type->keys, s->source->obj.m[i].key) && !key_find(step_common_keys, s->source->obj.m[i].key))
            return true;
    return false;
}

static void llm_check(const struct step_def *s, struct problems *ps)
{
    const struct val *model = VAL_GET(s->source, "model"), *provider = VAL_GET(s->source, "provider");
    bool openai = val_is(provider, VAL_STR) && str_is(provider->s, "openai");
    if (model || (provider && !openai))
        model_check(s, ps);
    else if (!misspelt(s))
        problem_add(ps, false, s->line, s->col, "step `%.*s` (llm) has no `model`; expected one: %s", STR_ARG(s->name),
                    openai ? "the name that the server has for it"
                           : "PROVIDER/MODEL: anthropic, gemini, or openai (any OpenAI-compatible address, "
                             "OPENAI_BASE_URL), as in openai/gpt-5.4-mini");
}

const struct step_type step_llm = {.name = "llm",
                                   .doc = "Asks any model by PROVIDER/MODEL.",
                                   .keys = llm_keys,
                                   .writes = true, /* with its tools; who answers is known late */
                                   .result_doc = MODEL_RESULT,
                                   .check = llm_check,
                                   .enter = enter,
                                   .makes_key = true,
                                   .child_done = model_child_done};
