#pragma once
/* Runs commands and file tools for runs: what Treadle does to the machine it stands on.
 *
 * Requests and results are value trees (they will cross a socket when the executor is a process of its own).
 *
 * EXEC_COMMAND
 *     {argv: [text] | shell: text, cwd?: path in the workspace, env?: {NAME: text}, stdin?: text, timeout_ms?,
 *      output_limit?: bytes kept of each of stdout and stderr (1 MiB; at most 64 MiB), network?: "none" | "full" |
 *      [hosts], secrets?: [NAME] of our environment, which the command gets, output_left?: bytes that it may print in
 *      all; more stops it, and it ends as cancelled, with {output_bytes}}
 *  -> {exit_code (-1 if by signal), signal: "SIGKILL"… or null, stdout, stderr, duration_ms, timed_out, truncated,
 *      sandbox: the tier it had, bounded_by?: "cgroup", output_bytes: all that was printed, if it is truncated}
 *     What cannot be executed is a result with exit code 127 (not found) or 126. Of output beyond the limit the
 *     beginning and the end are kept, with a line that counts the rest between them. Output is valid UTF-8 always.
 *     When the command ends, what it left running is killed.
 *
 * EXEC_TOOL
 *     {tool: Read|Write|Edit|Bash|Glob|Grep, input: the model's, cwd?, phase?: prepare|apply|settle (apply),
 *      plan?: what prepare returned, timeout_ms?, output_limit?, env?, network?}   (the last two: Bash)
 *     apply -> {text, is_error}: what the model is told. Failures of the tool are results, not errors. With a plan the
 *         file must be as prepare found it, else nothing changes and is_error says so.
 *     prepare (Write, Edit) -> {plan: {path, before: sha256 or null, after: sha256, mode}} or {text, is_error: true}
 *         when the call cannot work; changes nothing
 *     settle (Write, Edit; after a crash; input is not needed)
 *         -> {outcome: "done" (the file is as `after`; with text and is_error as apply would have told)
 *             | "again" (as `before`) | "changed" (neither)}
 *
 * EXEC_READ    {path, base?: workflow|workspace|stored (workflow), dir?: of the workflow file, beneath?,
 *               max?: bytes (4 MiB, at most)} -> {text, path, sha256}
 *     A prompt's file part, a workflow that is called. base workflow: beside the workflow file, then in the current
 *     directory, then in the workspace; or absolute. With `beneath`: below one of the three, wherever links lead.
 *     (An executor may be told to leave out the current directory, or to read nothing but what is beneath; see below.)
 *     base workspace: inside the workspace only. base stored: the stored workflow PATH.yaml.
 *
 * EXEC_OUTPUT  {path, text} -> {path: absolute, bytes}; writes atomically inside the output directory, makes parents
 *
 *     A pattern (*, ?, [, {) or a directory (with a / at its end) gives the texts of all its files, a line `=== PATH
 * ===` before each, and {files: [path]}; `list: true` only the latter.
 *
 * EXEC_SESSION  {op: read|append, name, own?, key?, messages?, fresh?}: conversations, see session_file.h
 * EXEC_CACHE    {op: find|keep, workflow, entry, ttl_ms, result?, …}: results for later runs, see cache_file.h
 *
 * EXEC_CHECKPOINT  {action: save|load|keep|recall, workflow, name?, run?, state?: object, include_workspace?}
 *     save -> {saved_ms, workspace?: {files, bytes}}; replaces the workflow's checkpoint of that name (checkpoint.h)
 *     load -> {found: false} or {found: true, state, saved_ms, run, workspace?: {files, bytes} put back}
 *     keep -> {saved_ms}; puts `state` over what the workflow has kept for its later runs; recall -> as load
 *
 * EXEC_FILES   {operation, phase?, plan?, …}: whole operations on files, as described in fileop.h
 *
 *
 *     EXEC_COMMAND, EXEC_TOOL and EXEC_FILES of a run name themselves: {frame: path, attempt, phase, plan}. prepare
 * then takes a snapshot of the workspace, which stands in the plan; commands (and Bash) have the same three phases:
 *     prepare -> {plan: {snapshot, offline: it will have no network}}; apply, with the plan: with `view` (true, or
 *     "offline": if it is), in a view of its own where that can be had, and what it changed is taken over at its end
 *     (class conflict: somebody else changed the same file); settle, after a crash: takes back what it changed
 *     -> {outcome: "again" | "kept": nobody knows, why | "changed", path, offline};
 *     with `force`, files that somebody else has changed since stay as they are.
 *
 *     With `place` all of this (and EXEC_READ, EXEC_CODE, EXEC_CHECKPOINT) is in that isolated workspace; with `root`,
 * a directory of the workspace by its path there without links, it takes that for the workspace.
 *
 * EXEC_WORKSPACE  {action: rollback, attempts: [{step: path, attempt?} or {step: path, iterations: [first, last]}],
 *                 force?} -> {restored, untracked, why?}
 *     Takes back what effects below the steps changed in these attempts, and nothing else. Code changed: somebody else
 *     has changed one of these files since, nothing was done; with force they stay as they are.
 *
 * EXEC_WORKSPACE  {action: isolate, target} -> {snapshot}
 *     Makes an isolated workspace of that name, a copy of the one in which this is done; if it is there, nothing.
 *
 * EXEC_WORKSPACE  {action: merge, target, frame, force?} -> {changed}
 *     Takes over what was changed in it, all or nothing, and lets the copy go. Code changed: somebody else has changed
 *     one of these files since the copy was made; with force those stay as they are.
 *
 * EXEC_WORKSPACE  {action: measure, max, below?} -> {bytes, files} of that directory; no further once more than `max`
 *
 * EXEC_CODE    {queries: {NAME: {KIND: criteria}}, context?: true, timeout_ms?} -> {NAME: answer, …}
 *     Questions about the workspace's source code; see code/code.h. Only reads. A process of its own, as a command.
 *
 * An error is {class, code, message}, as everywhere. Codes: bad_request, outside, not_found, too_large, not_text, io,
 * start_failed, launcher_lost, sandbox, cancelled.
 *
 * No result and no error holds the value of a secret that was given to a command (redact.h).
 *
 * Commands are confined (docs/sandbox.md has the tiers): without `network` they have none, unless the tier is none.
 * Where the tier cannot be had they are refused with code "sandbox".
 *
 * Every child starts in a launcher (`treadle __launch`, see launcher.h): own session, PID namespace where allowed else
 * subreaper, PATH/HOME/LANG-like variables only. The launcher ends the whole tree when its pipe to us closes, and holds
 * a shared lock on DIR/exec.lock until the last process of the tree is gone. */
#include "data/val.h"
#include "ev/loop.h"
#include "executor/launch_plan.h"

enum exec_kind {
    EXEC_COMMAND,
    EXEC_TOOL,
    EXEC_READ,
    EXEC_OUTPUT,
    EXEC_CHECKPOINT,
    EXEC_FILES,
    EXEC_CODE,
    EXEC_SESSION,
    EXEC_CACHE,
    EXEC_WORKSPACE
};

struct executor_options {
    struct ev_loop *loop;
    const char *run_dir;      /* absolute; exec.lock lives here */
    const char *workspace;    /* absolute; created if missing */
    const char *output_dir;   /* absolute; created when first written to */
    const char *workflow_dir; /* absolute; where relative prompt files are looked for first */
    bool not_here;            /* they are not looked for in the current directory: it is a service's */
    bool confined;            /* they are read beneath workflow_dir or the workspace, and nowhere else */
    const char *state_dir;    /* absolute; has the stored workflows, and is hidden from commands. NULL: there is none */
    const char *sessions_dir; /* absolute; where conversations are kept. NULL: nowhere */
    const char *cache_dir;    /* absolute; where results are kept for later runs. NULL: nowhere */
    bool cache_keeps_only;    /* steps do their work though its result is kept: a recording must have everything */
    const char *checkpoints_dir; /* absolute; where named states are kept. NULL: nowhere */
    const char *self;            /* program to start as launcher; NULL: this one, or launcher_image() */
    unsigned max_commands;       /* at once; 0: 64. More wait */
    const struct str *secrets;   /* names of environment variables whose values no result may hold */
    size_t nsecrets;
    struct str offered;     /* with `confined`: commands may be given those of these names, separated by spaces, only */
    enum sandbox_tier tier; /* how far commands are confined */
    bool no_namespaces;     /* always the subreaper's way of ending a tree; for tests of it. Not with strict */
};
/* What is said of a secret, twice %.*s, that is none of `offered`. */
#define EXECUTOR_NOT_OFFERED                                                                                       \
    "workflows that are sent to the service may not name the secret %.*s; whoever runs the service can let them, " \
    "with "                                                                                                        \
    "`treadle serve --secret %.*s` (or TREADLE_SECRETS), or store the workflow"
struct executor;
enum rc executor_new(const struct executor_options *o, struct executor **ret, struct err *err) MUST_CHECK;
/* Kills what runs and waits (bounded: 5 s) until it is gone. Not from inside of a `done`. */
void executor_free(struct executor *x);

/* `done` comes exactly once from the loop, also after executor_cancel (then as error class cancelled, once the process
 * tree is dead). `result` is borrowed for the call; `ok` tells whether it is a result or an error object. The request
 * is copied. `id` is the caller's, unique among live ones. */
void executor_start(struct executor *x, uint64_t id, enum exec_kind kind, const struct val *request,
                    void (*done)(void *ctx, uint64_t id, bool ok, const struct val *result), void *ctx);
void executor_cancel(struct executor *x, uint64_t id);

/* Before a run is resumed: waits until no launcher of an earlier owner lives (exclusive lock on run_dir/exec.lock).
 * RC_BUSY after `timeout_ms`. */
enum rc executor_prove_dead(const char *run_dir, int64_t timeout_ms, struct err *err) MUST_CHECK;
