#pragma once
/* Where Treadle keeps its state: $TREADLE_HOME, else $XDG_STATE_HOME/treadle, else ~/.local/state/treadle.
 *
 *   runs/ID/journal.db (+ -wal, -shm, .lock, .ballast)   the run's journal
 *   runs/ID/exec.lock                                    held while a command of the run may live
 *   checkpoints/WORKFLOW/…                               executor/checkpoint.h
 *   runs/ID/control.sock                                 asks the run's living owner
 *   service.db                                           the journal of all runs of treadle serve
 *   service.db.sock                                      asks the living service
 *   services/HASH                                        links to journals that --db of treadle serve named       */
#include "base/arena.h"
#include "base/err.h"

struct home_run {
    char id[80];
    char dir[3072];
    char journal[3200];
    bool of_service; /* the journal is a service's, with all of its runs */
};

/* RC_IO when no directory can be determined or made. */
enum rc home_dir(char *ret, size_t size, struct err *err) MUST_CHECK;
/* The same, made (0700) with what is above it. */
enum rc home_make(char *ret, size_t size, struct err *err) MUST_CHECK;
/* The journals of services that there have been, the usual one first, while `cb` says true. */
enum rc home_services(bool (*cb)(void *ctx, const char *journal), void *ctx, struct err *err) MUST_CHECK;
/* Makes another one known to it. */
enum rc home_service_add(const char *journal, struct err *err) MUST_CHECK;
/* The service's usual journal, whether there is one or not. */
enum rc home_service(char *ret, size_t size, struct err *err) MUST_CHECK;
/* The paths of run `id`. RC_USAGE when the id is no file name of ours ([A-Za-z0-9_.-]+, at most 64). */
enum rc home_run(struct str id, struct home_run *ret, struct err *err) MUST_CHECK;
/* Of a run that is to be: called `id`, or (NULL) by the time. RC_USAGE. */
enum rc home_run_named(const char *id, struct home_run *ret, struct err *err) MUST_CHECK;
/* Makes the run's directory (0700). RC_EXISTS. */
enum rc home_run_create(struct home_run *r, struct err *err) MUST_CHECK;
/* A run with a journal of its own, as the user names it: the id, a unique beginning of it, or `last`. RC_NOT_FOUND
 * names the nearest; RC_USAGE: it is one of the service's, which only the service changes. */
enum rc home_find(struct str name, struct home_run *ret, struct err *err) MUST_CHECK;
/* Calls `cb` for each run's id, newest first; false stops. */
enum rc home_each(bool (*cb)(void *ctx, const struct home_run *r), void *ctx, struct err *err) MUST_CHECK;
