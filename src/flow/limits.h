#pragma once
/* Bounds of a run: read from texts, and held while it is carried on.
 *
 * Two may set them: the workflow (or the environment that the run began with), and whoever carries the run on, such as
 * the operator of a service (run_options.limits); the lower one counts. */
#include "flow/def.h"

struct run;

/* "NAME=VALUE" as on a command line, into *l: memory, frames, wall, journal, output; VALUE may be `none`. RC_USAGE. */
enum rc limits_parse(struct run_limits *l, struct str text, struct err *err) MUST_CHECK;
/* What such texts would be, one after another with blanks between; limits_parse_all() reads them back. */
struct str limits_text(const struct run_limits *l, struct arena *a);
enum rc limits_parse_all(struct run_limits *l, struct str text, struct err *err) MUST_CHECK;

/* The member at that offset. */
static inline int64_t *limits_at(struct run_limits *l, size_t at)
{
    return (int64_t *)((char *)l + at);
}

/* limits.c, for run.c: after run_new()'s options and the environment are known. */
void limits_take(struct run *r);
/* Ends the run as failed when it is over one of its limits, other than that of memory; after each turn. */
void limits_hold(struct run *r);
/* Its values take more memory than they may. */
void limits_memory(struct run *r);
/* The time that it may be carried on begins to run, or goes on; see limits.wall. */
void limits_begin(struct run *r);
/* The timer of limits.wall has gone off. */
void limits_wall(struct run *r);
/* Only answers or other runs can move it now, or no longer: nobody's work. */
void limits_rest(struct run *r, bool rests);
/* Bytes of output that steps may still make; INT64_MAX: any number. */
int64_t limits_output_left(const struct run *r);
