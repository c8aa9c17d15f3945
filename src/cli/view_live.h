#pragma once
/* Progress drawn in place on a terminal: what is finished scrolls up, what is active is redrawn below. */
#include "cli/view.h"
#include "cli/view_tree.h"

struct view_live;
/* NULL when standard error is no terminal that can be drawn on. `tree` is the caller's, and fed by it. */
struct view_live *view_live_new(const struct view_options *o, const struct view_tree *tree, int64_t started_ms);
/* Takes the drawing away and frees; NULL is fine. */
void view_live_free(struct view_live *l);
/* A line (without newline, already clean) that stays, above what is drawn. */
void view_live_line(struct view_live *l, struct str line);
/* The tree has changed: draws soon. */
void view_live_dirty(struct view_live *l);
/* Takes the drawing away, puts out the lines that wait and then `prompt`, and rests until it is called with an empty
 * one. */
void view_live_prompt(struct view_live *l, struct str prompt);
/* Escape sequences of the terminal, empty without colours. */
enum view_color { COLOR_NONE, COLOR_GOOD, COLOR_BAD, COLOR_WARN, COLOR_DIM, COLOR_BUSY };
const char *view_live_color(const struct view_live *l, enum view_color c);
/* Columns that a line may take. */
size_t view_live_columns(const struct view_live *l);
