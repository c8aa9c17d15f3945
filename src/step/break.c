/* break and continue: end the nearest loop, or its iteration.
 *
 * They do nothing but end well. The way out (past the steps that follow, up through the lists and steps in between) is
 * flow's: list.c and step.c pass `leave` on and record it with every end, so a resumed run leaves at the same place.
 */
#include "flow/frame.h"

static const struct step_key keys[] = {{0}};

static void enter(struct frame *f)
{
    struct val_map m = val_map_new(&f->arena);
    VAL_MAP_SET(&m, "success", val_true);
    struct val v = val_map_done(&m);
    step_ok(f, &v);
}

const struct step_type step_break = {.name = "break",
                                     .doc = "Ends the nearest loop around it.",
                                     .keys = keys,
                                     .result_doc = "success",
                                     .leaves = LEAVE_BREAK,
                                     .acts = true,
                                     .enter = enter};

const struct step_type step_continue = {.name = "continue",
                                        .doc = "Ends this iteration of the nearest loop around it.",
                                        .keys = keys,
                                        .result_doc = "success",
                                        .leaves = LEAVE_CONTINUE,
                                        .acts = true,
                                        .enter = enter};
