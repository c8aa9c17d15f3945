#pragma once
/* The directory of the workspace that a called workflow has for its own: made before its first step, and removed after
 * its end where the step says so and it was made for this call.
 *
 * Both are effects of the step that calls, and change the workspace in their turn. */
#include "flow/frame.h"

struct call_place {
    struct str root; /* its path in the caller's workspace; empty: there is none */
    bool made;       /* it was not there before */
    void (*go_on)(struct frame *f);
};
/* Makes the directory that the plan names, then calls go_on(). False: it names none. */
bool call_place_open(struct frame *f, struct call_place *p, const struct val *plan, void (*go_on)(struct frame *f));
/* What an earlier life has made of that. */
void call_place_recall(struct frame *f, struct call_place *p);
/* Removes it, if the plan says so of such an end, then calls go_on(). False: it stays. */
bool call_place_close(struct frame *f, struct call_place *p, const struct val *plan, bool well,
                      void (*go_on)(struct frame *f));
/* Is the child one of these effects? Then call_place_done() goes on. */
bool call_place_is(const struct frame *child);
void call_place_done(struct frame *f, struct call_place *p, const struct frame *child);
