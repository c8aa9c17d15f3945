#pragma once
/* What the step types that ask a model share; each of them is a table of keys and a few hooks over this.
 *
 * A step asks in this order: its options are settled (model_options.c) and pinned together with its keys, its prompt is
 * assembled (agent/prompt.h), the conversation runs (agent/agent.h), and what comes of it goes through the type's
 * hooks. All state lives in the attempt's arena. */
#include "agent/agent.h"
#include "agent/prompt.h"
#include "flow/keys.h"
#include "step/codebase.h"
#include "step/mocked.h"
#include "step/network.h"

enum { MODEL_TURNS_MAX = KEY_TURNS_MAX };

struct model_state {
    const struct model_kind *kind;
    const struct val *config; /* the step's keys and settled options, evaluated; pinned */
    struct agent_options options;
    struct str preset; /* applied one, or empty */
    struct agent *agent;
    struct prompt *prompt;
    struct str asked; /* the prompt, once it is complete */
    bool asking;
    struct str session;       /* the conversation that the step belongs to, or empty; set by `prepare` */
    bool session_own;         /* it ends with the run */
    struct str joined;        /* its name, where the step's type has none of its own; or empty */
    bool session_fresh;       /* which begins anew */
    int64_t session_max;      /* exchanges that it may have */
    int64_t session_turns;    /* that it has, this one included once the answer is in */
    const struct val *result; /* the answer, while it is being added to the session */
    void *own;                /* of the type */
};

/* What a step type adds. Every hook may be NULL. */
struct model_kind {
    const char *preset; /* used where nobody names one; NULL: the type has no presets */
    bool appends;       /* a preset's further instructions go behind the system prompt */
    /* After the options were read, before the prompt is assembled. False: the step has failed. */
    bool (*prepare)(struct frame *f, struct model_state *s);
    /* What is added to the prompt once it is complete; in the frame's arena. */
    struct str (*finish_prompt)(struct frame *f, struct model_state *s, struct str prompt);
    /* The answer is in; leads to step_ok, now or later. */
    void (*answered)(struct frame *f, struct model_state *s, const struct val *result);
    /* It failed; leads to step_ok or step_fail. */
    void (*failed)(struct frame *f, struct model_state *s, const struct failure *why);
};

void model_enter(struct frame *f, const struct model_kind *kind);
void model_child_done(struct frame *f, struct frame *child);
static inline struct model_state *model_of(struct frame *f)
{
    return f->type_state;
}
/* The result with one more field. In the frame's arena. */
struct val *model_with(struct frame *f, const struct val *result, const char *field, struct val v);

/* model_options.c */
/* The step's keys over the options of claude_options or token_budget, of the preset, of the workflow and of the
 * environment: one object. NULL: the step has failed. */
const struct val *model_settle(struct frame *f, const struct model_kind *kind, const struct val *config);
/* Reads a settled object. False: the step has failed. */
bool model_read(struct frame *f, const struct model_kind *kind, const struct val *settled, struct agent_options *o);
/* A tool of Claude Code that is not there: accepted and left out. */
bool model_tool_absent(struct str name);
/* Reads a retry_config block. False: the step has failed. */
bool model_read_retry(struct frame *f, const struct val *block, struct retry_policy *ret);

/* model_check.c: `check` of the types: names of models, tools and options that are written as constants. */
void model_check(const struct step_def *s, struct problems *ps);
/* The same for a retry_config block alone. NULL is fine. */
void model_check_retry(const struct val *block, struct problems *ps);

/* `check` of a key that holds a schema as data/schema_short.h takes it, and how a step reads it. False: the step has
 * failed. */
void model_check_schema(const struct val *written, const char *key, struct problems *ps);
bool model_read_schema(struct frame *f, const struct val *written, const struct val **ret);

/* The fields of any model step's result. */
#define MODEL_RESULT "success|text|data|model|provider|stop_reason|turns|usage|cost_usd|degraded|error"

/* Rows that all model types have. */
#define PROMPT_KEY                                                                                \
    {                                                                                             \
        "prompt", KEY_PROMPT, .required = true, .doc = "What is asked: text, or a list of parts." \
    }
#define MODEL_KEYS(temperature_) PROMPT_KEY, MODEL_OTHER_KEYS(temperature_)
#define MODEL_OTHER_KEYS(temperature_)                                                                              \
    CODEBASE_KEY, {"system", KEY_TEMPLATE, .doc = "The system prompt."},                                            \
        {"temperature", KEY_NUMBER, KEY_FROM_TO(0, (temperature_)), .doc = "Sampling temperature."},                \
        {"max_tokens", KEY_INT, KEY_FROM_TO(1, INT32_MAX), .doc = "Longest answer, in tokens."},                    \
        {"top_p", KEY_NUMBER, KEY_FROM_TO(0, 1), .doc = "Nucleus sampling."},                                       \
        {"top_k", KEY_INT, KEY_FROM_TO(1, INT32_MAX), .doc = "Sample from the k likeliest."},                       \
        {"stop", KEY_STRINGS, .doc = "Texts at which the answer ends."},                                            \
        {"effort", KEY_ENUM, .choices = "low|medium|high|xhigh|max", .doc = "How hard the model thinks."},          \
        {"tools", KEY_STRINGS, .doc = "Tools the model may use: Read, Write, Edit, Bash, Glob, Grep.",              \
         .alias_of = "allowed_tools"},                                                                              \
        {"allowed_tools", KEY_STRINGS, .fallback = "none",                                                          \
         .doc = "Tools the model may use: Read, Write, Edit, Bash, Glob, Grep. All act inside the workspace."},     \
        {"max_turns", KEY_INT, .fallback = "50", KEY_FROM_TO(1, MODEL_TURNS_MAX),                                   \
         .doc = "Most calls of the model in this step, tool rounds included."},                                     \
        NETWORK_KEY, MOCKED_KEYS,                                                                                   \
        {"workspace", KEY_ENUM, .choices = "shared|isolated", .fallback = "shared",                                 \
         .doc = "`isolated`: the tools act in a copy of the workspace, and what they changed is taken over at the " \
                "step's good end."},                                                                                \
    {                                                                                                               \
        "cwd", KEY_TEMPLATE, .fallback = "the workspace",                                                           \
                             .doc = "Directory that tools start in, inside the workspace."                          \
    }

/* Rows of the Claude family. */
#define CLAUDE_KEYS PROMPT_KEY, CLAUDE_OTHER_KEYS
#define CLAUDE_OTHER_KEYS                                                                                           \
    MODEL_OTHER_KEYS(1),                                                                                            \
        {"model", KEY_TEMPLATE, .fallback = "sonnet", .doc = "haiku, sonnet, opus, or a full model name."},         \
    {                                                                                                               \
        "claude_options", KEY_OBJECT,                                                                               \
            .choices = "claude_options",                                                                            \
            .doc = "The same options as a block, and more: [options of Claude](steps-models.md#options-of-claude)." \
    }
#define PRESET_KEY(fallback_)                                                                                 \
    {                                                                                                         \
        "preset", KEY_ENUM,                                                                                   \
            .choices = "development|production|analysis|chat|test", .fallback = (fallback_),                  \
            .doc = "A set of tools, model and manner; see [presets](steps-models.md#presets). What the step " \
                   "says itself goes before it."                                                              \
    }
