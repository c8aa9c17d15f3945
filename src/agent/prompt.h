#pragma once
/* What a model step is asked: its prompt, from text or from parts, with files, sessions and summaries as journaled
 * effects. */
#include "agent/agent.h"

struct prompt; /* in the frame's arena */

/* Starts to assemble the `prompt` of `config`. What parts need from outside becomes effects below the frame (tags from
 * PROMPT_TAG on, below 2 * PROMPT_TAG). Summaries are asked of the model of `o`, which must live as long. NULL: the
 * step has failed already. */
struct prompt *prompt_new(struct frame *f, const struct val *config, const struct agent_options *o);
enum { PROMPT_TAG = 1 << 20 };
/* The session that a claude_continue part goes on with; empty: there is no such part. False: not known yet, or the step
 * has failed. */
bool prompt_session(struct frame *f, struct prompt *p, struct str *ret);
/* The name of the run's newest session before this step. False: not known yet, or the step has failed. */
bool prompt_newest_session(struct frame *f, struct str *ret);
/* Starts what is still missing; true when nothing is. */
bool prompt_advance(struct frame *f, struct prompt *p);
/* A child with a tag of ours has ended. False: the step has failed. */
bool prompt_child(struct frame *f, struct prompt *p, struct frame *child);
/* The whole text, once prompt_advance() said true. In the frame's arena. */
struct str prompt_text(struct frame *f, struct prompt *p);
/* Replies of the model that were needed for it (summaries), for the step's sums: array. */
struct val prompt_replies(const struct prompt *p);
/* The effect that reads from the session `name`: first from the run's own of that name, if there is one. */
void prompt_read_session(struct frame *f, const char *segment, size_t tag, struct str name);
