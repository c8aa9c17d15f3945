#pragma once
/* stream_process of file_ops where the processor is made of steps: a file in, chunk by chunk through the steps, and the
 * file of what they said out. */
#include "flow/frame.h"

/* The step goes this way; `config`: its keys, `options` included. Its children are handed to stream_child_done(). */
void stream_enter(struct frame *f, const struct val *config);
void stream_child_done(struct frame *f, struct frame *child);

/* What stands around the processor's steps, once for each chunk. */
extern const struct step_type stream_chunk;
