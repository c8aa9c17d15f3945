#pragma once
/* The one run that most tests of the engine move, `g`, and their teardown, `done`. Includes rig.c: once in a program.
 */
#include "unit/rig.h"

#include "unit/rig.c"

static struct rig g;

static int done(void **state)
{
    (void)state;
    rig_done(&g);
    return 0;
}
