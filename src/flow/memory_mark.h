#pragma once
/* What is done when a called workflow takes some part of the memory that it may: `memory_actions` of a call.
 *
 * A plan has them as marks, [{bytes, percent, of, tells?, clears?}]; what ends the call early is no mark, but a lower
 * limit.
 */
#include "data/val.h"

struct frame;
struct instance;

enum memory_action {
    MEMORY_TELL,   /* a note */
    MEMORY_CLEAR,  /* what is in memory only for later readers leaves it */
    MEMORY_FAIL,   /* the call fails */
    MEMORY_ALWAYS, /* is so anyway */
    MEMORY_NEVER,  /* cannot be had */
};
/* Those that there are, one after another; false: no more. */
bool memory_action_at(size_t i, struct str *ret_name, enum memory_action *ret);
bool memory_action_find(struct str name, enum memory_action *ret);
/* at_75_percent: 75. */
int64_t memory_mark_percent(struct str key);

/* In front of a frame that is about to be entered or to go on: passes the marks of all workflows around it. */
void memory_marks_pass(struct frame *f);
/* The step has ended, and what its list keeps of it is what stays: clears where the call says so. */
void memory_step_ended(const struct frame *step);
