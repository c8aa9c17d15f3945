#pragma once
/* What surrounds effects that write to the workspace: a snapshot before, what they changed, and taking it back.
 *
 * On a pool thread, one call at a time. Requests carry `frame` and `attempt`, by which changes are found again. */
#include "data/val.h"
#include "executor/overlay.h"

/* Made when the first effect needs it. Frees isolated ones too. */
struct workspace;
/* `state_dir` of the run, in which later runs in the same workspace find what this one has seen; NULL: nowhere. */
struct workspace *workspace_new(const char *run_dir, const char *state_dir, const struct beneath *root);
void workspace_free(struct workspace *w);
const struct beneath *workspace_root(const struct workspace *w);
/* The isolated one with this name, as workspace_isolate() has made it in this life or an earlier one, until it is let
 * go of. RC_NOT_FOUND. From any thread. */
enum rc workspace_find(struct workspace *main, struct str name, struct workspace **ret, struct err *err) MUST_CHECK;
void workspace_let_go(struct workspace *main, struct workspace *w);
bool workspace_is_isolated(const struct workspace *w);

/* {snapshot: hash, or null where the workspace is too large or cannot be read, why?: then, view: whether commands can
 * be shown one of their own} to be recorded before the effect. `plan` is what it has for a plan of its own, or NULL. */
enum rc workspace_prepare(struct workspace *w, const struct val *plan, const atomic_bool *cancel, struct arena *a,
                          struct val *ret, struct err *err) MUST_CHECK;
/* Before a command: its view, or none (dir -1) where it must work in the workspace itself, which is then recorded. One
 * that is there already could not be mounted: the next best is made. */
enum rc workspace_begin(struct workspace *w, const struct val *req, struct str cwd, bool no_view, struct overlay *ret,
                        struct err *err) MUST_CHECK;
/* After it: takes over what it changed, all or nothing; with `discard` nothing. RC_CONFLICT: somebody else changed the
 * same files meanwhile, which are named. */
enum rc workspace_end(struct workspace *w, const struct val *req, struct overlay *v, bool discard,
                      struct err *err) MUST_CHECK;
/* After an operation on files that was done: keeps what was there before and what is there now. */
enum rc workspace_note(struct workspace *w, const struct val *req, struct err *err) MUST_CHECK;
/* After a crash, of a command: {outcome: "again" (nothing of it is left) | "kept" (nobody knows what it changed; why)
 * | "changed" (somebody else has changed the same file since; path), offline: whether it had no network}. */
enum rc workspace_settle(struct workspace *w, const struct val *req, struct arena *a, struct val *ret,
                         struct err *err) MUST_CHECK;
/* Removes what a run that is over has kept in its directory: snapshots, its own conversations. */
void workspace_remove(const char *run_dir);
/* EXEC_WORKSPACE, as in executor.h, in workspace `w` of the run with `main`. */
enum rc workspace_request(struct workspace *main, struct workspace *w, const struct val *req, const atomic_bool *cancel,
                          struct arena *a, struct val *ret, const char **code, struct err *err) MUST_CHECK;
/* Its parts (exec_isolated.c). */
enum rc workspace_isolate(struct workspace *w, struct str name, const atomic_bool *cancel, struct sha256 *ret,
                          struct err *err) MUST_CHECK;
enum rc workspace_merge(struct workspace *main, struct workspace *w, const struct val *req, size_t *changed,
                        struct err *err) MUST_CHECK;
/* Where isolated workspaces of a run are recorded, below its directory. */
#define WORKSPACE_PLACES "snapshots/places"
