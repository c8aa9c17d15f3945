#pragma once
/* A session: this process carrying a run from where it stands to its end, a stop, or a wait.
 *
 * `run`, `resume` and `fork` prepare one and hand it over. The session owns the loop, the journal, egress, the executor
 * and the engine, shows progress, obeys signals and the control socket, and says how it ended by the exit code. */
#include "cli/called.h"
#include "cli/home.h"
#include "data/val.h"
#include "executor/launch_plan.h"
#include "flow/run.h"

enum exit_code {
    EXIT_OK = 0,
    EXIT_RUN_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_WAITING = 3,
    EXIT_ENVIRONMENT = 4,
    EXIT_INTERRUPTED = 130
};

enum session_mode { SESSION_LIVE, SESSION_MOCK, SESSION_REPLAY };

struct session {
    struct home_run home;
    struct workflow *workflow;
    bool resume;                                    /* the journal exists; recover from it first */
    bool was_live;                                  /* it may have asked real models before */
    bool force;                                     /* do again what is held */
    struct val inputs;                              /* checked */
    struct str workspace, output_dir, workflow_dir; /* absolute */
    struct str workflow_sha256;
    int64_t created_ms;
    enum session_mode mode;
    struct str fixtures; /* SESSION_MOCK: text of the fixtures file, or empty */
    const char *replay_file, *record_file;
    bool json, quiet;
    enum sandbox_tier tier; /* SANDBOX_DEFAULT: as the environment says */
    enum run_stay stay;
    struct store *store;     /* STORE_OWN, when the journal exists; NULL: the session makes it */
    const struct str *voids; /* resume with another workflow: paths that no longer count */
    size_t nvoids;
    struct called_files files; /* of workflows that it calls; its arena is the session's */
    struct str new_path;       /* resume with another workflow: its file, absolute */
    bool new_workflow;         /* pinned from now on: workflow_sha256 differs from what the journal says */
    struct arena arena;        /* for whatever the caller put in */
};

/* Looks for what can be wrong before the first step (keys, prompt files), then runs it. Prints errors itself; returns
 * the exit code. Closes the store. */
int session_run(struct session *s);
/* Could it begin, with these keys, directories and means? Nothing is recorded, nothing remains. Prints what is wrong;
 * returns the exit code. `home` is of any run that is there. */
int session_check(struct session *s);
/* For a run that has succeeded: shows its result again as session_run() did, from the journal, which is not touched. */
int session_tell(struct session *s);

/* The environment variables that the workflow lists, as an object; in the session's arena. */
const struct val *session_env(struct session *s);

/* "treadle: error: …" on standard error; returns `code`. */
int fail(enum exit_code code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The exit code that an error means when nothing has run. */
enum exit_code exit_of(enum rc rc);
/* Reads a whole file of at most `max` bytes. RC_IO, RC_LIMIT. */
enum rc read_file(const char *path, size_t max, struct arena *a, struct str *ret, struct err *err) MUST_CHECK;
/* `path` made absolute against the current directory (not resolved). */
enum rc absolute_path(struct str path, struct arena *a, struct str *ret, struct err *err) MUST_CHECK;
