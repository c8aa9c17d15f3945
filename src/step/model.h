#pragma once
/* What the step types that ask a model share; each of them is a table of keys over this. */
#include "flow/frame.h"

/* `check` of the types: names of models and tools that are written as constants. */
void model_check(const struct step_def *s, struct problems *ps);
enum { MODEL_TURNS_MAX = 10000 };

void model_enter(struct frame *f);
void model_child_done(struct frame *f, struct frame *child);
/* The fields of any model step's result. */
#define MODEL_RESULT "success|text|data|model|provider|stop_reason|turns|usage|cost_usd|degraded|error"

/* Rows that all model types have. */
#define MODEL_KEYS                                                                                                    \
    {"prompt", KEY_PROMPT, .required = true, .doc = "What is asked: text, or a list of parts."},                      \
        {"system", KEY_TEMPLATE, .doc = "The system prompt."},                                                        \
        {"temperature", KEY_NUMBER, .doc = "Sampling temperature."},                                                  \
        {"max_tokens", KEY_INT, .doc = "Longest answer, in tokens."},                                                 \
        {"top_p", KEY_NUMBER, .doc = "Nucleus sampling."}, {"top_k", KEY_INT, .doc = "Sample from the k likeliest."}, \
        {"stop", KEY_STRINGS, .doc = "Texts at which the answer ends."},                                              \
        {"effort", KEY_ENUM, .choices = "low|medium|high|xhigh|max", .doc = "How hard the model thinks."},            \
        {"tools", KEY_STRINGS, .doc = "Tools the model may use: Read, Write, Edit, Bash, Glob, Grep.",                \
         .alias_of = "allowed_tools"},                                                                                \
        {"allowed_tools", KEY_STRINGS, .fallback = "none",                                                            \
         .doc = "Tools the model may use: Read, Write, Edit, Bash, Glob, Grep. All act inside the workspace."},       \
        {"max_turns",                                                                                                 \
         KEY_INT,                                                                                                     \
         .fallback = "50",                                                                                            \
         .least = 1,                                                                                                  \
         .most = MODEL_TURNS_MAX,                                                                                     \
         .doc = "Most calls of the model in this step, tool rounds included."},                                       \
    {                                                                                                                 \
        "cwd", KEY_TEMPLATE, .fallback = "the workspace",                                                             \
                             .doc = "Directory that tools start in, inside the workspace."                            \
    }
