#pragma once
/* Tries whether a tier of confinement can be had here, by having it. */
#include "base/err.h"
#include "executor/launch_plan.h"

/* For a process with one thread. RC_IO with reason and remedy (tier_refused) when not. */
enum rc sandbox_probe(enum sandbox_tier tier, struct err *err) MUST_CHECK;
