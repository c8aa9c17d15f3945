/* Jobs: from a request to exactly one `done`.
 *
 *      start -> [waiting] -> running (a command) -> done
 *                         -> working (a file job on a pool thread) -> done
 *                         -> refused (on the next turn) -> done
 *
 * A job owns an arena with its request and result. File jobs share nothing with the loop thread but the cancel flag
 * and the two directories, which do not change while there is a job; the mutex exists for executor_free() alone, which
 * must know when the last worker has let go. A cancelled file job is told through its flag and still finishes: what it
 * did is not undone, and the caller hears "cancelled" only when nothing can change any more.
 *
 * Commands get a shared lock on exec.lock that is taken here, before the launcher exists, on an open file of its own
 * that is passed on. So there is no moment at which a command could start without somebody holding the lock, however
 * the processes die. */
#include "executor/executor.h"

#include "base/clock.h"
#include "base/panic.h"
#include "executor/cgroup.h"
#include "executor/exec_code.h"
#include "executor/hint.h"
#include "executor/job.h"
#include "executor/launcher_image.h"
#include "executor/request.h"
#include "executor/tier.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { WITHIN_MAX = 2000, EXECUTOR_MAGIC = 0x45584543, MAX_COMMANDS = 64, FREE_WAIT_MS = 5000, LOCK_TRIES = 100 };

/* ------------------------------------------------------------------------------------------------ jobs */

static struct job *job_find(struct executor *x, uint64_t id)
{
    for (struct job *j = x->first; j; j = j->next)
        if (j->id == id)
            return j;
    return NULL;
}

static void job_unlink(struct job *j)
{
    struct executor *x = j->x;
    *(j->prev ? &j->prev->next : &x->first) = j->next;
    *(j->next ? &j->next->prev : &x->last) = j->prev;
}

static void job_free(struct job *j)
{
    overlay_done(&j->view); /* what is in it is swept up when the run goes on */
    workspace_let_go(j->x->changes, j->w);
    if (j->root.fd >= 0)
        close(j->root.fd);
    if (j->spec.cwd_fd >= 0)
        close(j->spec.cwd_fd);
    arena_done(&j->arena);
    free(j);
}

static void start_waiting(struct executor *x);

/* The one place where a job ends (apart from executor_free). The caller may start other jobs from `done`. */
static void job_done(struct job *j)
{
    struct executor *x = j->x;
    if (j->cancelled && !j->late) {
        err_set(&j->err, RC_CANCELLED, "cancelled");
        j->failed = true, j->code = NULL;
    }
    if (j->failed)
        j->result = result_error(&j->err, j->code, &j->arena);
    if (j->flooded)
        j->result = result_flooded(&j->result, j->flooded, &j->arena);
    j->result = redact(&x->secrets, &j->arena, &j->result);
    job_unlink(j);
    j->done(j->ctx, j->id, !j->failed, &j->result);
    job_free(j);
    start_waiting(x);
}

static void on_refused(void *ctx)
{
    struct job *j = ctx;
    j->event = 0;
    job_done(j);
}

/* Ends the job on the next turn, with j->err or j->result. */
static void job_refuse(struct job *j)
{
    j->state = JOB_REFUSED;
    j->event = ev_timer(j->x->loop, 0, on_refused, j);
}

static void job_fail(struct job *j)
{
    j->failed = true;
    job_refuse(j);
}

/* ------------------------------------------------------------------------------------------------ commands */

static int lock_shared(const char *path, struct err *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        err_set(err, RC_IO, "%s: %s", path, strerror(errno));
        return -1;
    }
    for (int i = 0; i < LOCK_TRIES; i++) {
        if (flock(fd, LOCK_SH | LOCK_NB) == 0)
            return fd;
        if (errno != EWOULDBLOCK && errno != EINTR)
            break;
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL); /* somebody asks whether we are dead: an instant */
    }
    err_set(err, errno == EWOULDBLOCK ? RC_BUSY : RC_IO, "%s: %s", path, strerror(errno));
    close(fd);
    return -1;
}

static void job_work(struct job *j);

static void view_end(struct job *j)
{
    j->discarded = j->failed || j->cancelled;
    j->stage = STAGE_END;
    job_work(j);
}

static void on_command(void *ctx, const struct command_outcome *o)
{
    struct job *j = ctx;
    j->command = NULL;
    j->x->running--;
    if (o->no_view && j->view.dir >= 0) { /* nothing of it has run */
        j->stage = STAGE_BEGIN;
        job_work(j);
        return;
    }
    if (o->end == COMMAND_FAILED || o->end == COMMAND_REFUSED) {
        j->failed = true, j->err = o->err, j->code = o->end == COMMAND_REFUSED ? "sandbox" : "start_failed";
    } else if (o->end == COMMAND_LOST) {
        j->failed = true;
        err_set(&j->err, RC_INTERRUPTED, "the launcher of the command was killed; how the command ended is not known");
    } else if (j->kind == EXEC_CODE) {
        j->failed = result_code(o, &j->arena, &j->result, &j->err) != RC_OK;
    } else {
        struct str hint = hint_of(&j->spec, o, &j->arena);
        j->result = j->bash ? result_bash(o, hint, j->spec.timeout_ms, &j->arena) : result_command(o, hint, &j->arena);
    }
    j->cancelled |= o->stopped || o->flooded;
    j->flooded = o->flooded ? o->printed : 0;
    if (j->stage == STAGE_RUN)
        view_end(j);
    else
        job_done(j);
}

static void command_run(struct job *j)
{
    struct executor *x = j->x;
    j->spec.lock_fd = lock_shared(x->lock_path, &j->err);
    if (j->spec.lock_fd < 0) {
        job_fail(j);
        return;
    }
    enum rc rc = command_start(x->loop, &j->spec, &j->arena, on_command, j, &j->command, &j->err);
    close(j->spec.lock_fd);
    if (j->stage != STAGE_RUN) { /* else it may have to start once more */
        close(j->spec.cwd_fd);
        j->spec.cwd_fd = -1;
    }
    if (rc) {
        j->code = rc == RC_LIMIT ? NULL : "start_failed";
        job_fail(j);
        return;
    }
    j->state = JOB_RUNNING;
    x->running++;
}

static void start_waiting(struct executor *x)
{
    for (struct job *j = x->first; j && x->running < x->max_commands; j = j->next)
        if (j->state == JOB_WAITING)
            command_run(j);
}

/* Its changes are kept track of: whoever asks has said by what they can be found, and had it prepared. */
static bool is_tracked(const struct job *j)
{
    return val_is(VAL_GET(&j->request, "frame"), VAL_STR) && val_is(VAL_GET(&j->request, "plan"), VAL_OBJECT);
}

/* An isolated workspace is shown where the workspace is, but in tier standard, which can move nothing. A directory of
 * the workspace is shown where it is, without what is around it. */
static bool command_places(struct job *j)
{
    struct executor *x = j->x;
    struct str *own, below = val_get_str(&j->request, STR("root"), STR(""));
    bool isolated = workspace_is_isolated(j->w);
    j->spec.places = x->places, j->spec.nplaces = x->nplaces;
    if (x->tier == SANDBOX_STANDARD && (isolated || below.n)) {
        if (tier_places(x->tier, job_root(j), x->state_dir, &j->arena, &own, &j->spec.nplaces, &j->err) != RC_OK)
            return false;
        j->spec.places = own;
    } else if (below.n) {
        own = arena_calloc(&j->arena, x->nplaces, sizeof *own);
        memcpy(own, x->places, x->nplaces * sizeof *own);
        static const enum launch_place moved[] = {LAUNCH_PLACE_WORKSPACE, LAUNCH_PLACE_ALIAS};
        for (size_t i = 0; i < sizeof moved / sizeof *moved; i++)
            if (own[moved[i]].n)
                own[moved[i]] = arena_printf(&j->arena, "%.*s/%.*s", STR_ARG(own[moved[i]]), STR_ARG(below));
        j->spec.places = own;
    }
    return true;
}

/* A workflow that came over the network may be a stranger's: it gets what the operator lists, and nothing else. */
static enum rc only_offered(const struct job *j, struct err *err)
{
    const struct val *v = VAL_GET(&j->request, "secrets");
    struct val one = {.type = VAL_ARRAY, .arr = {v, 1}};
    v = val_is(v, VAL_STR) ? &one : v;
    for (size_t i = 0; j->x->confined && !j->bash && val_at(v, i); i++) {
        struct str name = val_at(v, i)->type == VAL_STR ? val_at(v, i)->s : STR("");
        if (!str_has_word(j->x->offered, ' ', name))
            return err_set(err, RC_INVALID, EXECUTOR_NOT_OFFERED, (int)(name.n < 100 ? name.n : 100), name.p,
                           (int)(name.n < 100 ? name.n : 100), name.p);
    }
    return RC_OK;
}

static void command_accept(struct job *j)
{
    struct executor *x = j->x;
    j->spec.tier = x->tier;
    j->spec.cgroup_fd = x->cgroup;
    j->spec.within = x->tier == SANDBOX_STRICT ? NULL : x->within;
    if (!command_places(j) || only_offered(j, &j->err) != RC_OK) {
        job_fail(j);
        return;
    }
    j->spec.workspace_fd = job_root(j)->fd;
    enum rc rc = j->bash ? request_bash(&j->request, job_root(j), &j->arena, &j->spec, &j->err)
                 : j->kind == EXEC_CODE
                     ? request_code(&j->request, job_root(j), x->self, &j->arena, &j->spec, &j->err)
                     : request_command(&j->request, job_root(j), &j->arena, &x->secrets, &j->spec, &j->err);
    if (rc == RC_INVALID_REQUEST) { /* the model's mistake, to be told to the model */
        struct val_map m = val_map_new(&j->arena);
        VAL_MAP_SET(&m, "text", val_str(arena_str(&j->arena, str_c(j->err.msg))));
        VAL_MAP_SET(&m, "is_error", val_true);
        j->result = val_map_done(&m);
        job_refuse(j);
    } else if (rc) {
        job_fail(j);
    } else {
        request_limits(&j->request, &x->limits, &j->spec);
        j->spec.self = x->self, j->spec.launcher = x->launcher;
        j->spec.flags |= x->launch_flags;
        if (is_tracked(j)) {
            j->stage = STAGE_BEGIN;
            job_work(j);
            return;
        }
        j->state = JOB_WAITING;
        start_waiting(x);
    }
}

/* ------------------------------------------------------------------------------------------------ pool threads */

static void on_worked(void *ctx);
static void on_view(void *ctx);
static void view_work(void *ctx);
static void work(void *ctx);

static void job_work(struct job *j)
{
    struct executor *x = j->x;
    j->state = JOB_WORKING;
    pthread_mutex_lock(&x->mutex);
    j->worked = false;
    x->working++;
    pthread_mutex_unlock(&x->mutex);
    j->event = j->stage ? ev_work(x->loop, view_work, on_view, j) : ev_work(x->loop, work, on_worked, j);
}

static void let_go(struct job *j)
{
    struct executor *x = j->x;
    pthread_mutex_lock(&x->mutex);
    j->worked = true;
    x->working--;
    pthread_cond_signal(&x->let_go);
    pthread_mutex_unlock(&x->mutex);
}

/* On a pool thread. What the command itself said about its end stands, unless its changes could not be taken over. */
static void view_work(void *ctx)
{
    struct job *j = ctx;
    struct err said = j->err;
    if (job_view(j) != RC_OK)
        j->failed = true, j->code = NULL;
    else
        j->err = said;
    let_go(j);
}

static void on_view(void *ctx)
{
    struct job *j = ctx;
    struct executor *x = j->x;
    j->event = 0;
    if (j->stage == STAGE_END) {
        j->late = !j->failed && !j->discarded;
        job_done(j);
    } else if (j->failed) {
        job_done(j);
    } else if (j->cancelled && j->view.dir >= 0) {
        view_end(j);
    } else {
        j->stage = STAGE_RUN;
        if (j->view.dir >= 0) {
            j->spec.view_fd = j->view.dir;
            j->spec.flags |= LAUNCH_VIEW;
        } else {
            j->spec.flags &= ~(uint32_t)LAUNCH_VIEW;
        }
        j->state = JOB_WAITING;
        if (j->cancelled)
            job_refuse(j);
        else
            start_waiting(x);
    }
}

static void work(void *ctx)
{
    struct job *j = ctx;
    enum rc rc = job_act(j);
    j->failed = rc != RC_OK;
    j->late = rc == RC_OK && j->kind == EXEC_WORKSPACE; /* done is done, whoever wants it no more */
    let_go(j);
}

static void on_worked(void *ctx)
{
    struct job *j = ctx;
    j->event = 0;
    job_done(j);
}

static void file_accept(struct job *j)
{
    struct executor *x = j->x;
    if (j->kind == EXEC_OUTPUT && x->output.fd < 0 &&
        beneath_init(&x->output, &x->arena, x->output_dir, true, &j->err) != RC_OK) {
        err_wrap(&j->err, "output directory");
        job_fail(j);
        return;
    }
    job_work(j);
}

/* ------------------------------------------------------------------------------------------------ the front */

/* It was made when its workflow was called, and is named without links; so it is the same directory, or there is none.
 */
static bool job_open_root(struct job *j)
{
    struct str below = val_get_str(&j->request, STR("root"), STR(""));
    const struct beneath *all = workspace_root(j->w);
    if (!below.n)
        return true;
    if (beneath_directory(all, below, &j->root.fd, &j->err) != RC_OK) {
        j->root.fd = -1;
        err_wrap(&j->err, "the workspace of the called workflow");
        return false;
    }
    j->root.path = arena_printf(&j->arena, "%.*s/%.*s", STR_ARG(all->path), STR_ARG(below));
    return true;
}

void executor_start(struct executor *x, uint64_t id, enum exec_kind kind, const struct val *request,
                    void (*done)(void *ctx, uint64_t id, bool ok, const struct val *result), void *ctx)
{
    CHECK_OBJ(x, EXECUTOR_MAGIC);
    CHECK(!job_find(x, id));
    struct job *j = calloc(1, sizeof *j);
    if (!j)
        PANIC("out of memory");
    j->x = x, j->id = id, j->kind = kind, j->done = done, j->ctx = ctx;
    j->spec.cwd_fd = j->spec.lock_fd = j->view.dir = j->root.fd = -1;
    j->w = x->changes;
    j->request = val_copy(&j->arena, request);
    j->prev = x->last;
    *(x->last ? &x->last->next : &x->first) = j;
    x->last = j;
    struct str place = val_get_str(request, STR("place"), STR(""));
    if (place.n && workspace_find(x->changes, place, &j->w, &j->err) != RC_OK) {
        job_fail(j);
        return;
    }
    if (!job_open_root(j)) {
        job_fail(j);
        return;
    }
    bool apply = str_is(val_get_str(request, STR("phase"), STR("apply")), "apply");
    j->bash = kind == EXEC_TOOL && str_is(val_get_str(request, STR("tool"), str_n("", 0)), "Bash") && apply;
    if ((kind == EXEC_COMMAND && apply) || kind == EXEC_CODE || j->bash)
        command_accept(j);
    else
        file_accept(j);
}

void executor_cancel(struct executor *x, uint64_t id)
{
    CHECK_OBJ(x, EXECUTOR_MAGIC);
    struct job *j = job_find(x, id);
    if (!j)
        return;
    j->cancelled = true;
    atomic_store(&j->cancel, true);
    if (j->state == JOB_RUNNING)
        command_stop(j->command);
    else if (j->state == JOB_WAITING)
        job_refuse(j);
}

/* This run, and those in whose commands this process itself is. */
static const char *within_of(const char *run_dir, struct arena *a)
{
    const char *slash = strrchr(run_dir, '/'), *above = getenv("TREADLE_WITHIN");
    struct str list = str_c(above && strlen(above) < WITHIN_MAX ? above : "");
    return arena_printf(a, "%.*s%s%s", STR_ARG(list), list.n ? ":" : "", slash + 1).p;
}

enum rc executor_new(const struct executor_options *o, struct executor **ret, struct err *err)
{
    struct executor *x = calloc(1, sizeof *x);
    if (!x)
        PANIC("out of memory");
    x->magic = EXECUTOR_MAGIC;
    x->loop = o->loop;
    x->output.fd = x->workspace.fd = x->cgroup = -1;
    x->max_commands = o->max_commands ? o->max_commands : MAX_COMMANDS;
    x->launch_flags = o->no_namespaces ? LAUNCH_SUBREAPER : 0;
    pthread_mutex_init(&x->mutex, NULL);
    pthread_cond_init(&x->let_go, NULL);
    enum rc rc = RC_OK;
    if (!o->run_dir || o->run_dir[0] != '/')
        rc = err_set(err, RC_INVALID, "the run's directory is not absolute");
    if (rc == RC_OK)
        rc = beneath_init(&x->workspace, &x->arena, o->workspace, true, err);
    if (rc) {
        executor_free(x);
        return err_wrap(err, "workspace");
    }
    x->tier = o->tier;
    x->state_dir = arena_cstr(&x->arena, str_c(o->state_dir ? o->state_dir : o->run_dir));
    rc = tier_settle(&x->tier, err);
    if (rc == RC_OK)
        rc = limits_of_machine(&x->limits, err);
    if (rc == RC_OK)
        rc = tier_places(x->tier, &x->workspace, x->state_dir, &x->arena, &x->places, &x->nplaces, err);
    if (rc) {
        executor_free(x);
        return rc;
    }
    char why[160];
    x->cgroup = o->no_namespaces ? -1 : cgroup_base(why, sizeof why);
    x->launch_flags |= x->cgroup >= 0 ? LAUNCH_CGROUP : 0;
    x->changes = workspace_new(o->run_dir, o->state_dir, &x->workspace);
    x->lock_path = arena_printf(&x->arena, "%s/exec.lock", o->run_dir).p;
    x->self = arena_cstr(&x->arena, str_c(o->self ? o->self : "/proc/self/exe"));
    x->launcher = o->self ? NULL : launcher_image();
    x->output_dir = o->output_dir ? arena_cstr(&x->arena, str_c(o->output_dir)) : NULL;
    x->sessions_dir = o->sessions_dir ? arena_cstr(&x->arena, str_c(o->sessions_dir)) : NULL;
    x->cache_keeps_only = o->cache_keeps_only;
    x->not_here = o->not_here;
    x->confined = o->confined;
    x->run_dir = arena_cstr(&x->arena, str_c(o->run_dir));
    x->within = within_of(o->run_dir, &x->arena);
    x->cache_dir = o->cache_dir ? arena_cstr(&x->arena, str_c(o->cache_dir)) : NULL;
    x->checkpoints_dir = o->checkpoints_dir ? arena_cstr(&x->arena, str_c(o->checkpoints_dir)) : NULL;
    x->stored_dir = o->state_dir ? arena_printf(&x->arena, "%s/workflows", o->state_dir).p : NULL;
    x->workflow_dir = o->workflow_dir ? arena_cstr(&x->arena, str_c(o->workflow_dir)) : NULL;
    x->offered = arena_str(&x->arena, o->offered);
    /* One that it may not have is not looked for either: what is taken out would tell what it is. */
    for (size_t i = 0; i < o->nsecrets; i++)
        if (!o->confined || str_has_word(o->offered, ' ', o->secrets[i]))
            redact_add(&x->secrets, o->secrets[i], str_c(getenv(arena_cstr(&x->arena, o->secrets[i]))));
    *ret = x;
    return RC_OK;
}

/* ------------------------------------------------------------------------------------------------ the end */

static bool wait_for_pid(pid_t pid, int64_t deadline)
{
    for (;;) {
        pid_t got = waitpid(pid, NULL, WNOHANG);
        if (got == pid || (got < 0 && errno != EINTR))
            return true;
        if (clock_mono_ms() >= deadline)
            return false;
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
}

static bool wait_for_workers(struct executor *x, int64_t deadline)
{
    bool gone;
    pthread_mutex_lock(&x->mutex);
    while (x->working && clock_mono_ms() < deadline) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += 50000000;
        if (until.tv_nsec >= 1000000000)
            until.tv_sec++, until.tv_nsec -= 1000000000;
        pthread_cond_timedwait(&x->let_go, &x->mutex, &until);
    }
    gone = x->working == 0;
    pthread_mutex_unlock(&x->mutex);
    return gone;
}

void executor_free(struct executor *x)
{
    if (!x)
        return;
    CHECK_OBJ(x, EXECUTOR_MAGIC);
    int64_t deadline = clock_mono_ms() + FREE_WAIT_MS;
    size_t n = 0;
    for (struct job *j = x->first; j; j = j->next) {
        atomic_store(&j->cancel, true);
        n += j->state == JOB_RUNNING;
    }
    /* First let go of all launchers, then wait: they kill in parallel. */
    pid_t *pids = calloc(n ? n : 1, sizeof *pids);
    if (!pids)
        PANIC("out of memory");
    n = 0;
    for (struct job *j = x->first; j; j = j->next) {
        if (j->state == JOB_RUNNING)
            pids[n++] = command_kill(j->command);
    }
    for (size_t i = 0; i < n; i++)
        (void)wait_for_pid(pids[i], deadline); /* if not: it holds the lock until it is done */
    free(pids);
    if (!wait_for_workers(x, deadline))
        return; /* a worker is stuck in the kernel and will look at `x` again: leave it to the end of the process */
    for (struct job *j = x->first, *next; j; j = next) {
        next = j->next;
        ev_cancel(x->loop, j->event);
        job_free(j);
    }
    workspace_free(x->changes);
    beneath_done(&x->workspace);
    beneath_done(&x->output);
    if (x->cgroup >= 0)
        close(x->cgroup);
    pthread_mutex_destroy(&x->mutex);
    pthread_cond_destroy(&x->let_go);
    redact_done(&x->secrets);
    arena_done(&x->arena);
    x->magic = 0;
    free(x);
}

enum rc executor_prove_dead(const char *run_dir, int64_t timeout_ms, struct err *err)
{
    char path[PATH_MAX];
    int n = snprintf(path, sizeof path, "%s/exec.lock", run_dir);
    if (n < 0 || (size_t)n >= sizeof path)
        return err_set(err, RC_INVALID, "the path of the run's directory is too long");
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return RC_OK; /* no command was ever started */
    if (fd < 0)
        return err_set(err, RC_IO, "%s: %s", path, strerror(errno));
    int64_t deadline = clock_mono_ms() + timeout_ms;
    enum rc rc = RC_OK;
    while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK && errno != EINTR) {
            rc = err_set(err, RC_IO, "%s: %s", path, strerror(errno));
            break;
        }
        if (clock_mono_ms() >= deadline) {
            rc = err_set(err, RC_BUSY, "commands of an earlier execution are still alive (they hold %s)", path);
            break;
        }
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    }
    close(fd);
    return rc;
}
