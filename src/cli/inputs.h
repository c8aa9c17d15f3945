#pragma once
/* Inputs of a run as they are given on a command line. */
#include "data/val.h"
#include "flow/def.h"

enum { INPUT_MAX = 16 << 20 }; /* bytes of one input, or of a file of inputs */

/* NAME=TEXT or NAME=@FILE into `m`, read as the workflow's declaration says; `option` is named in messages. RC_USAGE,
 * RC_NOT_FOUND, RC_LIMIT. */
enum rc input_read(const struct workflow *w, const char *option, const char *given, struct arena *a, struct val_map *m,
                   struct err *err) MUST_CHECK;
