#pragma once
/* Rewrites a workflow file into the modern form of the language, leaving everything else as it stands. */
#include "flow/def.h"

/* *ret: the text with its older forms replaced; comments and layout stay. *changes: how many places. Nothing is
 * promised by hope: the new text is read again and must be, value for value, what was meant to be written. RC_INVALID:
 * the file cannot be read (as yaml_parse says), or a form in it cannot be rewritten safely. */
enum rc migrate_text(struct arena *a, struct str text, const char *file, struct str *ret, size_t *changes,
                     struct err *err) MUST_CHECK;
