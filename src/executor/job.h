#pragma once
/* A job, and what it does on a pool thread: between executor.c, which starts and ends jobs on the loop thread, and
 * job.c.
 *
 * A job belongs to the loop thread, but while it is JOB_WORKING to the worker, apart from `cancel`. */
#include "executor/command.h"
#include "executor/exec_workspace.h"
#include "executor/executor.h"
#include "executor/limits.h"
#include "executor/overlay.h"
#include "executor/redact.h"

#include <pthread.h>
#include <stdatomic.h>

enum job_state { JOB_WAITING, JOB_RUNNING, JOB_WORKING, JOB_REFUSED };

struct job {
    struct job *prev, *next;
    struct executor *x;
    struct workspace *w; /* where it acts */
    struct beneath root; /* a directory of it that is all it sees; fd -1: it sees all of it */
    uint64_t id;
    enum exec_kind kind;
    enum job_state state;
    bool bash;
    struct arena arena;
    struct val request;
    void (*done)(void *ctx, uint64_t id, bool ok, const struct val *result);
    void *ctx;
    /* commands */
    struct command_spec spec;
    struct command *command;
    /* Commands whose changes are kept track of: a view is made, the command runs in it, what it changed is taken over.
     */
    enum { STAGE_NONE, STAGE_BEGIN, STAGE_RUN, STAGE_END } stage;
    bool discarded, late; /* late: cancelled when all was over */
    uint64_t flooded;     /* bytes that it had printed when it was stopped for that */
    struct overlay view;
    /* file jobs */
    ev_id event; /* of the work, or of the turn that reports a refusal */
    atomic_bool cancel;
    bool worked; /* the worker has let go (under the mutex) */
    /* the outcome */
    bool cancelled, failed;
    struct err err;
    const char *code;
    struct val result;
};

struct executor {
    uint32_t magic;
    struct ev_loop *loop;
    struct arena arena;
    const char *lock_path, *state_dir, *workflow_dir, *run_dir, *checkpoints_dir, *sessions_dir, *cache_dir,
        *stored_dir, *self, *launcher, *output_dir, *within;
    bool cache_keeps_only, not_here, confined;
    struct beneath workspace, output;
    enum sandbox_tier tier;
    int cgroup; /* below which commands have groups, or -1 */
    struct command_limits limits;
    struct str *places; /* of commands, see launch_plan.h */
    size_t nplaces;
    struct str offered;      /* confined: the only secrets that commands may have */
    struct redactor secrets; /* that have been, or may have been, given to commands of this run */
    struct workspace *changes;
    unsigned max_commands, running;
    uint32_t launch_flags;
    struct job *first, *last; /* in order of their start */
    pthread_mutex_t mutex;
    pthread_cond_t let_go;
    unsigned working; /* workers that have not let go yet (under the mutex) */
};

/* What it takes for the workspace. */
static inline const struct beneath *job_root(const struct job *j)
{
    return j->root.fd >= 0 ? &j->root : workspace_root(j->w);
}

/* Both on a pool thread, with errors in j->err, and in j->code where the kind has one. This: all of a file job; its
 * result is in j->result. */
enum rc job_act(struct job *j) MUST_CHECK;
/* A command's view is made, or what it changed there is taken over. */
enum rc job_view(struct job *j) MUST_CHECK;
