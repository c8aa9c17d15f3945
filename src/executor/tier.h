#pragma once
/* The tier of confinement that an executor uses, and what its commands may see. */
#include "base/arena.h"
#include "base/err.h"
#include "executor/beneath.h"
#include "executor/launch_plan.h"

/* "strict", "standard" or "none". */
const char *tier_name(enum sandbox_tier tier);
/* By name; RC_USAGE. */
enum rc tier_parse(const char *name, enum sandbox_tier *ret, struct err *err) MUST_CHECK;
/* SANDBOX_DEFAULT becomes what TREADLE_SANDBOX says, else strict. RC_USAGE when it says something else. */
enum rc tier_settle(enum sandbox_tier *tier, struct err *err) MUST_CHECK;

/* The places of an executor's commands (launch_plan.h), but for the directory of each: strings in `a`. PATH's
 * directories and those of TREADLE_SANDBOX_READ may be read besides the system's. `state` is a directory that holds
 * journals; absolute. RC_USAGE when the workspace cannot be confined to. */
enum rc tier_places(enum sandbox_tier tier, const struct beneath *workspace, const char *state, struct arena *a,
                    struct str **places, size_t *n, struct err *err) MUST_CHECK;

/* Treadle's state lies in the workspace: a command must have the workspace itself, in which alone the state is hidden.
 */
bool tier_state_inside(const struct str *places);

/* Why a tier is not to be had, and what to do about it. */
enum rc tier_refused(struct err *err, enum sandbox_tier tier, const char *stage, int error);
