#pragma once
/* What can be taken out of a text without asking anybody: code blocks, links, points, and the forms an extraction has.
 *
 * Pure text work on what a model said, bounded by the text's size. Everything is built in `a`; texts may be borrowed
 * from the one given. */
#include "base/arena.h"
#include "data/val.h"

/* Is it the name of a post-processing step, such as extract_links? */
bool content_step_known(struct str name);
const char *content_step_at(size_t i); /* names in order, NULL past the end */

struct content {
    struct str text;      /* as formatted, sections of what was found behind it unless it is JSON */
    struct val extracted; /* object: {links: [...], code_blocks: [{language, code}], …}, by post-processing step */
    struct val applied;   /* array of the names of the steps that did something known */
};
/* `format`: text, json, structured, summary or markdown. `names`: array of post-processing steps, or NULL.
 * `max_summary`: characters.
 */
struct content content_process(struct arena *a, struct str text, struct str format, const struct val *names,
                               int64_t max_summary);
