#pragma once
/* Inputs of a run as they are given on a command line. */
#include "data/val.h"
#include "flow/def.h"

enum { INPUT_MAX = 16 << 20 }; /* bytes of one input, or of a file of inputs */

/* A word NAME=TEXT behind the workflow: as an input, and where none is called NAME, as one called so in lower case
 * (CODE_FILE=x is `code_file`). RC_USAGE and the like, as below. */
enum rc input_word(const struct workflow *w, const char *given, struct arena *a, struct val_map *m,
                   struct err *err) MUST_CHECK;
/* What an undeclared input that the workflow reads by its bare name is in the environment, under its name or the same
 * in capitals; nothing that looks like a credential. */
void input_environment(const struct workflow *w, struct arena *a, struct val_map *m);
/* NAME=TEXT or NAME=@FILE into `m`, read as the workflow's declaration says; `option` is named in messages. RC_USAGE,
 * RC_NOT_FOUND, RC_LIMIT. */
enum rc input_read(const struct workflow *w, const char *option, const char *given, struct arena *a, struct val_map *m,
                   struct err *err) MUST_CHECK;
