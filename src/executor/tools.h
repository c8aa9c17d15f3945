#pragma once
/* The file tools that models call: Read, Write, Edit, Glob, Grep. (Bash is a command; executor.c runs it.)
 *
 * A tool runs on a pool thread, touches nothing but its call, and is bounded in time, files and bytes. What goes wrong
 * with the call is told to the model as a result with is_error; nothing here is an error of the run. */
#include "executor/beneath.h"

#include "data/val.h"

#include <stdatomic.h>

enum tool_phase { TOOL_PREPARE, TOOL_APPLY, TOOL_SETTLE };

struct tool_call {
    struct arena *arena;        /* of the call: request and result live in it */
    const struct beneath *root; /* the workspace */
    struct str cwd;             /* relative to it, "." at least; checked to be a directory */
    const struct val *input;    /* the model's; any value */
    const struct val *plan;     /* what prepare returned, or NULL */
    enum tool_phase phase;
    int64_t deadline_ms;       /* monotonic */
    size_t output_limit;       /* bytes of text, for Glob and Grep */
    const atomic_bool *cancel; /* set from the loop: give up soon */
};

/* The result of tool `name` in this phase, built in the call's arena. False when there is no such file tool. */
bool tool_run(struct str name, struct tool_call *c, struct val *ret);

/* For the tools themselves. */
struct val tool_result(struct tool_call *c, bool is_error, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* {text, is_error: true} with the error's message. */
struct val tool_error(struct tool_call *c, const struct err *err);
/* The same about the file `rel`; one that does not exist comes with the nearest name in its directory. */
struct val tool_error_at(struct tool_call *c, struct str rel, const struct err *err);
struct val tool_text(struct tool_call *c, struct str text);
/* Parameters. False, with *bad set to the result, when a required one is missing or one has a wrong type. */
bool tool_arg_str(struct tool_call *c, const char *name, bool required, struct str *ret, struct val *bad);
bool tool_arg_int(struct tool_call *c, const char *name, int64_t min, int64_t max, int64_t fallback, int64_t *ret,
                  struct val *bad);
bool tool_arg_bool(struct tool_call *c, const char *name, bool *ret, struct val *bad);
/* True when it is time to give up (cancelled, or past the deadline). */
bool tool_over(const struct tool_call *c);
/* A reason for the model why a search stopped early, or NULL. */
const char *tool_over_reason(const struct tool_call *c);

struct val tool_read(struct tool_call *c);
struct val tool_write(struct tool_call *c);
struct val tool_edit(struct tool_call *c);
struct val tool_glob(struct tool_call *c);
struct val tool_grep(struct tool_call *c);
