#pragma once
/* What a model step is asked: its prompt, from text or from parts, with files read as journaled effects. */
#include "flow/frame.h"

struct prompt; /* in the frame's arena */

/* Starts to assemble the `prompt` of `config`. Parts of type `file` become effects below the frame (tags from
 * PROMPT_TAG on). NULL: the step has failed already. */
struct prompt *prompt_new(struct frame *f, const struct val *config);
enum { PROMPT_TAG = 1 << 20 };
/* Starts what is still missing; true when nothing is. */
bool prompt_advance(struct frame *f, struct prompt *p);
/* A child with a tag of ours has ended. False: the step has failed. */
bool prompt_child(struct frame *f, struct prompt *p, struct frame *child);
/* The whole text, once prompt_advance() said true. In the frame's arena. */
struct str prompt_text(struct frame *f, struct prompt *p);
