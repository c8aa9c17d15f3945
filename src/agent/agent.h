#pragma once
/* The conversation of one model step: turns, tool calls, corrections of answers, the result.
 *
 * An agent lives in its step's frame and ends by calling `answered` or `failed` once, from inside agent_start() or
 * agent_child(), with no children of its own left; where those are NULL it ends the step. */
#include "flow/frame.h"

struct agent;

struct agent_options {
    struct str provider, model, system, cwd;
    struct str fallback_model;        /* asked instead from the first overload of `model` on; or empty */
    const struct val *params;         /* object: temperature, max_tokens, … as in a canonical request */
    const struct val *tools;          /* array of names that are allowed, or NULL */
    const struct val *network;        /* what commands of tool Bash may reach (executor.h), or NULL */
    const struct val *functions;      /* definitions {name, description, input_schema} of functions that end the
                                       * conversation: their calls are the answer; or NULL */
    const struct val *history;        /* messages that were said before, or NULL; */
    struct str history_sha256;        /* and what tells them from others, where somebody knows it; or empty */
    const struct val *schema;         /* of the answer, or NULL */
    const struct val *mock;           /* what made-up answers are (step/mocked.h), or NULL */
    bool loose;                       /* an answer that does not fit after the corrections is kept, with `violations` */
    const struct retry_policy *retry; /* of each call; NULL: the default for model calls */
    int64_t max_turns, call_timeout_ms;                          /* the latter: 0: none */
    const char *prefix;                                          /* of its segments ("fallback/"), or NULL */
    void (*answered)(struct frame *f, const struct val *result); /* result: as language.md says, in the frame's arena */
    void (*failed)(struct frame *f, const struct failure *why);
};

/* `o` must live as long as the frame's attempt. */
struct agent *agent_new(struct frame *f, const struct agent_options *o);
/* Says `prompt` and asks for the first turn. */
void agent_start(struct frame *f, struct agent *g, struct str prompt);
/* A child with a tag below PROMPT_TAG (agent/prompt.h) has ended. */
void agent_child(struct frame *f, struct agent *g, struct frame *child);
/* Adds what a reply cost that was asked for before the conversation, to the result's sums. */
void agent_count(struct agent *g, const struct val *reply);
/* "review~2/0/look" -> "review/0/look", "batch/again:2/a" -> "batch/a": which attempt it is, or which time that a group
 * started it, must not matter to a fixture or a recording. */
struct str agent_plain_path(struct arena *a, struct str path);
/* What went wrong in the calls so far: [{attempt, error, class}], the oldest first. Borrowed from the agent. */
struct val agent_errors(const struct agent *g);
/* What was said: the messages of this conversation without the history, the last answer included. Borrowed. */
struct val agent_messages(const struct agent *g);
