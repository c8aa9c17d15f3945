#pragma once
/* A warning before a run: what is to be done side by side will be done in turn. */
#include "flow/step.h"

/* Does all work of the list consist in commands in the shared workspace, where one step works at a time, without
 * anybody having said `workspace`? */
bool turns_only(const struct list_def *l);
/* Warns at `v`, a part of the group `d` whose members do no other work, unless the group says `workspace` itself. */
void turns_warn(const struct step_def *d, const struct val *v, struct problems *ps);
