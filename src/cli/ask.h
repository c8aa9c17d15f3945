#pragma once
/* Approvals asked on the terminal, right where the run goes on.
 *
 * One question at a time, in the order in which the waits began; the drawing of a live view rests meanwhile. Answers
 * that come from elsewhere (`treadle approve`) take a question away. At the end of input, or where there is no
 * terminal in front of a person, nobody is asked, and the run ends as it would without one. */
#include "cli/view.h"

struct ask;
/* NULL: nobody can be asked here. */
struct ask *ask_new(struct ev_loop *l, struct view *v, struct run *r);
/* Something happened to the run: the question may be answered already, or there may be a new one. */
void ask_look(struct ask *a);
void ask_free(struct ask *a); /* NULL is fine */
