#pragma once
/* One command under its launcher: start, feed, listen, stop, outcome.
 *
 * Loop thread only. A `struct command` is freed by itself right after its `done`, or by command_kill(). */
#include "base/arena.h"
#include "base/err.h"
#include "ev/loop.h"
#include "executor/launch_plan.h"

struct command_spec {
    const struct str *argv; /* at least one; no NUL inside */
    size_t argc;
    const struct str *env; /* "NAME=VALUE", complete: nothing is inherited */
    size_t envc;
    int cwd_fd;       /* directory; stays the caller's */
    int workspace_fd; /* directory; stays the caller's */
    int lock_fd;      /* exec.lock, locked; stays the caller's */
    int view_fd;      /* with LAUNCH_VIEW: the view's directory (overlay.h); stays the caller's */
    struct str input;
    int64_t timeout_ms;  /* 0: none */
    uint64_t memory;     /* bytes that it and all it starts may use together */
    uint32_t processes;  /* that they may be, threads counted */
    size_t output_limit; /* bytes kept of each of stdout and stderr */
    int64_t output_left; /* bytes that it may print in all before it is stopped; negative: any number */
    int cgroup_fd;       /* with LAUNCH_CGROUP: cgroup_base(); stays the caller's */
    uint32_t flags;      /* enum launch_flags */
    enum sandbox_tier tier;
    const char *within;       /* the runs in whose commands it is, for TREADLE_WITHIN; NULL: it cannot meet them */
    const struct str *places; /* at least LAUNCH_PLACES, see launch_plan.h */
    size_t nplaces;
    const struct str *hosts; /* that LAUNCH_PROXY lets the command reach */
    size_t nhosts;
    const char *self;     /* program to start as launcher: treadle */
    const char *launcher; /* the small one that is preferred where it will do, or NULL */
};
enum command_end {
    COMMAND_ENDED,   /* exit_code or signal say how */
    COMMAND_FAILED,  /* it did not start: err */
    COMMAND_REFUSED, /* the same, because its tier cannot be had here */
    COMMAND_LOST     /* the launcher was killed from outside; how the command ended is not known */
};
struct command_outcome {
    enum command_end end;
    struct err err;
    int exit_code, signal; /* -1 if by signal; 0 if not */
    struct str out, errors;
    enum launch_limit limit;            /* it was killed for exceeding this */
    bool no_view;                       /* COMMAND_FAILED, because there can be no view here */
    bool timed_out, truncated, stopped; /* stopped: command_stop() was called before it ended */
    bool flooded;                       /* it was stopped because it printed more than output_left */
    uint64_t printed;                   /* bytes, kept or not */
    int64_t duration_ms;
    bool cgroup;            /* a control group bounded it */
    uint32_t isolation;     /* enum launch_isolation */
    enum sandbox_tier tier; /* that it had */
};
struct command;

/* `done` comes once from the loop when the whole tree is dead; texts in it are in `a`, which must live until then.
 * RC_LIMIT (text too long for the system), RC_IO. */
enum rc command_start(struct ev_loop *loop, const struct command_spec *spec, struct arena *a,
                      void (*done)(void *ctx, const struct command_outcome *o), void *ctx, struct command **ret,
                      struct err *err) MUST_CHECK;
/* Asks for the end: TERM, a short grace, KILL. `done` comes when it is over. */
void command_stop(struct command *c);
/* Lets go of it: the launcher kills everything at once. No `done` any more. Returns the launcher's pid, which the
 * caller has to wait for. */
pid_t command_kill(struct command *c);
