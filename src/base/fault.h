#pragma once
/* Named points where a test may make something go wrong.
 *
 * In the shipped binary fault_hit() is always false (fault_off.c). The binary `treadle-faults`, built for tests only,
 * links fault_on.c: there TREADLE_FAULT="name=N[,name=N…]" makes the N-th visit (from 1; 0 = every visit) of a point
 * true. What then happens is written at the point itself. */
#include <stdbool.h>

bool fault_hit(const char *name);
