#pragma once
/* Which files a file_ops step is about: its sources, with what narrows them, and files with the criteria that they are
 * to meet.
 *
 * Their many spellings are a matter of the language, so they are brought into one form here: a path, a pattern,
 * {pattern, exclude, older_than}, or a list of these in which an entry with neither path nor pattern narrows all the
 * others; a path, or {path or pattern, criteria}. */
#include "flow/frame.h"

/* Before a run: keys that mean nothing, where they are written out. */
void file_sources_check(const struct val *v, struct problems *ps);
void file_criteria_check(const struct val *v, struct problems *ps);
/* [{path or pattern, exclude: [text], older_than_ms?}], of the configuration too; in the frame's arena. False: the step
 * has failed. */
bool file_sources(struct frame *f, const struct val *config, const struct val *v, struct val *ret) MUST_CHECK;
/* [{path or pattern, …, criteria: {…}}], sizes in bytes. */
bool file_criteria(struct frame *f, const struct val *v, struct val *ret) MUST_CHECK;
