#pragma once
/* The agent loop: a model is asked, its tool calls are carried out, their results go back, until it answers.
 *
 * Every turn and every tool call is an effect frame of its own below the step (`turn:N`, `turn:N/tool:K`), so a crash
 * costs at most the call that was in flight. Model steps share this; they differ in the options that they put in. */
#include "flow/frame.h"

struct agent_options {
    struct str provider, model; /* canonical or mock name of the provider */
    struct str system;          /* or empty */
    const struct val *params;   /* object merged into each request: temperature, max_tokens, … */
    const struct val *tools;    /* array of allowed tool names, or NULL */
    struct str cwd;             /* of the tools; or empty */
    int64_t max_turns;
};
struct agent;

/* In the frame's arena. `o` is borrowed for as long as the agent lives (keep it in the frame's arena). */
struct agent *agent_new(struct frame *f, const struct agent_options *o);
/* The first turn, with this prompt. */
void agent_start(struct frame *f, struct agent *g, struct str prompt);
/* A child with a tag below PROMPT_TAG has ended. Ends in step_ok or step_fail sooner or later. */
void agent_child(struct frame *f, struct agent *g, struct frame *child);
