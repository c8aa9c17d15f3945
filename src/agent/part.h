#pragma once
/* The texts of prompt parts: what stands in a result, a session or a file becomes text for a model. Pure. */
#include "flow/frame.h"

enum { PART_TEXT_MAX = 64 << 20 };

/* A value as text: what a model said, else JSON. In the frame's arena. */
struct str part_value_text(struct frame *f, const struct val *v);
/* A name, and fields and indices of it: a.b[0]["c d"]; nothing that could be any other expression. */
bool part_is_path(struct str s);
/* The result of the step that the part names, or what `extract` selects of it: a path, or JSONPath. False: not there
 * yet, or the step has failed. */
bool part_previous(struct frame *f, const struct val *part, const char *label, struct val *ret);
/* The part's `transform`, `extract_with` and `max_length` applied to the value. False: the step has failed. */
bool part_transform(struct frame *f, const struct val *part, const char *label, const struct val *v, struct str *ret);
/* The first `max` characters. */
struct str part_cut(struct str s, int64_t max);
/* What was said in a session, as the part's include_last_n and filter choose. */
struct str part_session_text(struct frame *f, const struct val *part, const struct val *messages);
/* The parts of a component in a file of components: {group: {component: [parts]}}; `name` is "component" or
 * "group.component". False: the step has failed. */
bool part_component(struct frame *f, const char *label, struct str path, struct str text, struct str name,
                    const struct val **ret);
/* What the model is asked for a summary of `text`; *max: its characters. */
struct str part_summary_prompt(struct frame *f, const struct val *part, struct str text, int64_t *max);
/* Is a summary wanted that the text is not already? */
bool part_wants_summary(const struct val *part, struct str text);
