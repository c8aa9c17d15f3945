/* A job on a pool thread looks at its own request and at the executor's directories. It ends by returning; told to stop
 * by `cancel` it may return early, and what it has done by then stays. */
#include "executor/job.h"

#include "base/clock.h"
#include "base/panic.h"
#include "executor/cache_file.h"
#include "executor/checkpoint.h"
#include "executor/exec_files.h"
#include "executor/fileop.h"
#include "executor/request.h"
#include "executor/session_file.h"
#include "executor/tier.h"
#include "executor/tools.h"

#include <fcntl.h>
#include <unistd.h>

enum {
    CHECKPOINT_MS = 10 * 60 * 1000, /* a workspace may be large */
    TOOL_TIME_MS = 60000,           /* of a file tool, unless the request says less */
};

static enum rc read_phase(struct job *j, enum tool_phase *phase)
{
    static const char *const names[] = {"prepare", "apply", "settle"};
    struct str s = val_get_str(&j->request, STR("phase"), STR("apply"));
    for (int i = 0; i < 3; i++)
        if (str_is(s, names[i])) {
            *phase = (enum tool_phase)i;
            return RC_OK;
        }
    return err_set(&j->err, RC_INVALID, "phase must be prepare, apply or settle");
}

static enum rc tool_job(struct job *j)
{
    struct str name = val_get_str(&j->request, STR("tool"), str_n("", 0));
    int64_t timeout = val_get_int(&j->request, STR("timeout_ms"), TOOL_TIME_MS);
    const struct val *input = VAL_GET(&j->request, "input");
    struct tool_call c = {.arena = &j->arena,
                          .root = job_root(j),
                          .plan = VAL_GET(&j->request, "plan"),
                          .cancel = &j->cancel,
                          .deadline_ms =
                              clock_mono_ms() + (timeout > 0 && timeout < TOOL_TIME_MS ? timeout : TOOL_TIME_MS),
                          .output_limit = request_output_limit(&j->request, TOOL_OUTPUT_LIMIT)};
    int fd;
    enum rc rc = read_phase(j, &c.phase);
    c.input = c.phase == TOOL_SETTLE ? &val_empty_object : input; /* only the plan counts then */
    if (rc == RC_OK)
        rc = request_cwd(&j->request, job_root(j), &j->arena, &c.cwd, &j->err);
    if (rc)
        return rc;
    rc = beneath_open(job_root(j), c.cwd, O_PATH | O_DIRECTORY, &fd, &j->err);
    if (rc == RC_OK)
        close(fd);
    else if (rc != RC_NOT_FOUND || !str_is(name, "Write")) /* which makes the directories that it needs */
        return err_wrap(&j->err, "working directory");
    if (!tool_run(name, &c, &j->result))
        return err_set(&j->err, RC_INVALID, "there is no tool %.*s", STR_ARG(name));
    return RC_OK;
}

static enum rc checkpoint_job(struct job *j)
{
    struct executor *x = j->x;
    struct tool_call c = {.arena = &j->arena,
                          .root = job_root(j),
                          .cwd = STR("."),
                          .deadline_ms = clock_mono_ms() + CHECKPOINT_MS,
                          .cancel = &j->cancel};
    return exec_checkpoint(&j->request, x->checkpoints_dir, &c, &j->result, &j->code, &j->err);
}

static enum rc files_job(struct job *j)
{
    struct fileop op = {.arena = &j->arena,
                        .root = job_root(j),
                        .run_dir = j->x->run_dir,
                        .request = &j->request,
                        .plan = VAL_GET(&j->request, "plan"),
                        .cancel = &j->cancel};
    enum rc rc = read_phase(j, &op.phase);
    if (rc)
        return rc;
    rc = fileop_run(&op, &j->result, &j->err);
    j->code = op.code;
    return rc;
}

static bool settles_command(const struct job *j)
{
    return j->kind == EXEC_COMMAND || str_is(val_get_str(&j->request, STR("tool"), STR("")), "Bash");
}

/* Operations on files tell apart by themselves what a crash has left; what is added here is the way back for later. */
static enum rc change_job(struct job *j)
{
    enum tool_phase phase = TOOL_APPLY;
    enum rc rc = read_phase(j, &phase);
    if (rc == RC_OK && settles_command(j)) {
        struct val plan;
        struct val_map own = val_map_new(&j->arena), m = val_map_new(&j->arena);
        if (phase == TOOL_SETTLE)
            return workspace_settle(j->w, &j->request, &j->arena, &j->result, &j->err);
        VAL_MAP_SET(&own, "offline", val_bool(request_offline(&j->request, j->x->tier)));
        plan = val_map_done(&own);
        rc = workspace_prepare(j->w, &plan, &j->cancel, &j->arena, &plan, &j->err);
        if (rc == RC_OK)
            VAL_MAP_SET(&m, "plan", plan);
        j->result = val_map_done(&m);
        return rc;
    }
    if (rc == RC_OK)
        rc = j->kind == EXEC_TOOL ? tool_job(j) : files_job(j);
    const struct val *plan = VAL_GET(&j->result, "plan");
    if (rc || !val_is(VAL_GET(&j->request, "frame"), VAL_STR))
        return rc;
    if (phase == TOOL_PREPARE && val_is(plan, VAL_OBJECT)) {
        struct val whole;
        rc = workspace_prepare(j->w, plan, &j->cancel, &j->arena, &whole, &j->err);
        struct val_map m = val_map_new(&j->arena);
        if (rc == RC_OK)
            VAL_MAP_SET(&m, "plan", whole);
        j->result = val_map_done(&m);
        return rc;
    }
    bool done = phase == TOOL_SETTLE ? str_is(val_get_str(&j->result, STR("outcome"), STR("")), "done")
                                     : !val_get_bool(&j->result, STR("is_error"), false);
    if (!done || !VAL_GET(VAL_GET(&j->request, "plan"), "snapshot") || phase == TOOL_PREPARE)
        return rc;
    return workspace_note(j->w, &j->request, &j->err);
}

/* A command's view is made, or what it changed there is taken over. */
enum rc job_view(struct job *j)
{
    struct str cwd;
    if (j->stage == STAGE_END)
        return workspace_end(j->w, &j->request, &j->view, j->discarded, &j->err);
    enum rc rc = beneath_path(workspace_root(j->w), &j->arena, j->spec.cwd_fd, &cwd, &j->err);
    bool no_view = (j->spec.flags & LAUNCH_SUBREAPER) || tier_state_inside(j->spec.places);
    return rc ? rc : workspace_begin(j->w, &j->request, cwd, no_view, &j->view, &j->err);
}

enum rc job_act(struct job *j)
{
    struct executor *x = j->x;
    if (atomic_load(&j->cancel))
        return err_set(&j->err, RC_CANCELLED, "cancelled");
    switch (j->kind) {
    case EXEC_COMMAND:
    case EXEC_TOOL:
    case EXEC_FILES:
        return change_job(j);
    case EXEC_WORKSPACE:
        return workspace_request(x->changes, j->w, &j->request, &j->cancel, &j->arena, &j->result, &j->code, &j->err);
    case EXEC_READ:
        return exec_read(&j->request,
                         &(struct exec_places){x->workflow_dir, x->stored_dir, job_root(j), x->not_here, x->confined},
                         &j->arena, &j->result, &j->code, &j->err);
    case EXEC_CHECKPOINT:
        return checkpoint_job(j);
    case EXEC_SESSION:
        return exec_session(&j->request, x->sessions_dir, x->run_dir, &j->arena, &j->result, &j->err);
    case EXEC_CACHE:
        return exec_cache(&j->request, x->cache_dir, x->cache_keeps_only, &j->arena, &j->result, &j->err);
    case EXEC_OUTPUT:
        return exec_output(&j->request, &x->output, &j->arena, &j->result, &j->code, &j->err);
    case EXEC_CODE: /* always a command */
        break;
    }
    PANIC("a job of kind %d is no file job", (int)j->kind);
}
