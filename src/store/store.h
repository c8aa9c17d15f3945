#pragma once
/* The journal on disk: append-only records of runs, in one SQLite file with one owner process.
 *
 * The owner holds a kernel lock (flock on FILE.lock) that dies with it; a second owner gets RC_BUSY with the holder's
 * pid. Readers open read-only, never checkpoint, and may come from any process at any time. Writing goes through a
 * queue to one store thread, which commits everything that waits in one transaction (WAL, synchronous=FULL). A batch is
 * durable when its callback says RC_OK; callbacks come in order, on the caller's thread, from store_deliver(). An I/O
 * error at commit is RC_COMMIT_UNKNOWN: nothing may be acknowledged, every later batch fails the same way, and the
 * owner must close, reopen and re-read. A full disk is RC_DISK_FULL: nothing was written; the batch may be submitted
 * again once there is room (a ballast file is given up so that the pause itself can be recorded). Data above 16 KiB is
 * stored once by its SHA-256, out of line; readers do not notice.
 *
 * A handle belongs to one thread: all functions that take it are called there, and only `wake` comes from another. */
#include "base/arena.h"
#include "base/err.h"
#include "data/record.h"

struct run_row {                       /* the summary that `ps` shows */
    struct str id, workflow, status;   /* running waiting succeeded failed cancelled interrupted quarantined */
    struct str workspace, file, error; /* directory, workflow file as given, one line */
    int64_t created_ms, updated_ms;
    int64_t input_tokens, output_tokens;
    double cost_usd;
    int64_t steps_done;
    struct str service; /* what a service remembers (JSON); empty: unchanged */
    struct str idem;    /* the key that whoever started it gave; empty: unchanged. Not read */
};

struct store;
enum store_mode { STORE_OWN, STORE_READ };
enum {
    STORE_SEMANTICS = RECORD_SEMANTICS, /* a journal marked with a higher number is RC_VERSION */
    STORE_TEXT_MAX = 8192,              /* bytes of a run id, path or summary text */
    STORE_DATA_MAX = 256 << 20          /* bytes of a record's data or a blob */
};

/* STORE_OWN creates the file (0600, its directory must exist), migrates it, takes the lock. RC_BUSY, RC_IO, RC_CORRUPT,
 * RC_VERSION (written by a newer Treadle), RC_NOT_FOUND (STORE_READ and no file), RC_DISK_FULL. */
enum rc store_open(const char *file, enum store_mode mode, struct store **ret, struct err *err) MUST_CHECK;
/* Commits what was submitted, joins the thread, checkpoints (owner), drops the lock. No callbacks any more. A cleanly
 * closed journal is one file, unless a reader still has it open. */
void store_close(struct store *s);
const char *store_file(const struct store *s);
/* Deletes a journal with all that belongs to it (-wal, -shm, .lock, .ballast). RC_BUSY when it has an owner. */
enum rc store_unlink(const char *file, struct err *err) MUST_CHECK;
/* The pid that holds the lock of `file`, or 0. For messages only: it may be gone by the time it is read. */
int store_owner(const char *file);

/* A batch: what must become durable together. Owned by the caller until submitted. */
struct store_batch;
struct store_batch *store_batch_new(void);
void store_batch_free(struct store_batch *b);
/* Copies. A second record with the same (run, path, kind, attempt) is ignored: the first one counts (insert once),
 * except for RECORD_RESUME, RECORD_NOTE, RECORD_WRITE and RECORD_END, which may repeat. */
void store_batch_record(struct store_batch *b, struct str run, const struct record *r);
/* Inserts or replaces the summary row. */
void store_batch_run(struct store_batch *b, const struct run_row *row);
/* Pinned content (a workflow, a prompt file), by hash; idempotent. */
void store_batch_blob(struct store_batch *b, struct str data);
size_t store_batch_size(const struct store_batch *b); /* operations in it */
/* What exceeds STORE_TEXT_MAX or STORE_DATA_MAX makes the whole batch fail with RC_LIMIT when it is submitted. */

/* `wake` is called from the store thread whenever store_deliver() has something to deliver (owner only; set before the
 * first submit). It must not call the store. After store_on_ready(s, NULL, NULL) it is not called any more, and no call
 * is under way. */
void store_on_ready(struct store *s, void (*wake)(void *ctx), void *ctx);
/* Takes the batch over. `done` (may be NULL) comes from store_deliver(). When a batch fails, those submitted before its
 * callback came fail too, so that what is stored is always a prefix of what was submitted. */
void store_submit(struct store *s, struct store_batch *b, void (*done)(void *ctx, enum rc rc, const struct err *err),
                  void *ctx);
void store_deliver(struct store *s);
/* Inside a `done` that was told RC_DISK_FULL: the batch, for the caller to submit again later (or to free). */
struct store_batch *store_take_back(struct store *s);
/* Submits and waits: for commands without a loop. The batch is freed whatever comes of it. Callbacks of earlier batches
 * still come from store_deliver(). */
enum rc store_commit(struct store *s, struct store_batch *b, struct err *err) MUST_CHECK;

/* Reading (any mode, the calling thread; on an owner only what is committed is seen). Callbacks return false to stop;
 * what they get is borrowed for the call. */
enum rc store_each_record(struct store *s, struct str run, uint64_t after_seq,
                          bool (*cb)(void *ctx, const struct record *r), void *ctx, struct err *err) MUST_CHECK;
/* Only those of one kind (a kind that is inserted once) at the path, or else directly below it: one more part behind a
 * `/`. In the order of path and attempt. */
enum rc store_each_at(struct store *s, struct str run, enum record_kind kind, struct str path, bool below,
                      bool (*cb)(void *ctx, const struct record *r), void *ctx, struct err *err) MUST_CHECK;
enum rc store_each_run(struct store *s, bool (*cb)(void *ctx, const struct run_row *r), void *ctx,
                       struct err *err) MUST_CHECK;
/* The newest first, beginning behind the run `before` (empty: with the newest), while `cb` says true. */
enum rc store_each_run_back(struct store *s, struct str before, bool (*cb)(void *ctx, const struct run_row *r),
                            void *ctx, struct err *err) MUST_CHECK;
/* Owner only: those that have not ended; and the id of the run that was given that key, in `a`, or RC_NOT_FOUND. */
enum rc store_each_open_run(struct store *s, bool (*cb)(void *ctx, const struct run_row *r), void *ctx,
                            struct err *err) MUST_CHECK;
enum rc store_run_given(struct store *s, struct str idem, struct arena *a, struct str *ret, struct err *err) MUST_CHECK;
/* The summary of one run, copied into `a`. RC_NOT_FOUND. */
enum rc store_run(struct store *s, struct str run, struct arena *a, struct run_row *ret, struct err *err) MUST_CHECK;
/* The content with that SHA-256 (hex), copied into `a`. RC_NOT_FOUND. */
enum rc store_blob(struct store *s, struct str sha256_hex, struct arena *a, struct str *ret,
                   struct err *err) MUST_CHECK;
/* A consistent copy (backup API), while the owner goes on. `to` must not exist. */
enum rc store_backup(struct store *s, const char *to, struct err *err) MUST_CHECK;
/* PRAGMA integrity_check, and every blob against its hash; RC_CORRUPT with the first findings. */
enum rc store_check(struct store *s, struct err *err) MUST_CHECK;
