#pragma once
/* Progress on standard error: a live view on a terminal, plain lines elsewhere, nothing when quiet. */
#include "flow/run.h"

struct ev_loop;
struct view;
struct view_options {
    struct ev_loop *loop;
    const struct run *run; /* for totals */
    struct str workflow, run_id;
    bool quiet;
    bool unpaid; /* all answers of the run are made up, or repeated */
};
struct view *view_new(const struct view_options *o);
void view_event(struct view *v, const struct event *e);
/* A line that stays (a warning, what Ctrl-C does). Shown even when quiet if `always`. */
void view_say(struct view *v, bool always, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Lines that stay, as they are. */
void view_lines(struct view *v, struct str clean);
/* Asks for a line of input: nothing is drawn, and what is said waits, until it is called with an empty text (the line
 * was typed) or with "\n" (nobody is to type any more). */
void view_prompt(struct view *v, struct str prompt);
/* The last words: status, time, tokens, cost, what to do next. Then frees. */
void view_end(struct view *v, enum run_status status, const struct val *error);
