/* Treadle's side of a command.
 *
 * The launcher is started with posix_spawn (vfork inside): its cost does not grow with Treadle's memory. All
 * descriptors are close-on-exec from birth, so of two commands started by different threads neither gets the other's
 * life-line. What the launcher needs is first moved above the numbers it will have there, so that no dup2 in the child
 * overwrites a descriptor that is still to be copied.
 *
 * Standard input is a file in memory, written before the start: there is nothing to feed while running, hence nothing
 * to deadlock on, and no SIGPIPE from a command that does not read. Output is drained without end, kept within limits.
 *
 * The end is the end of the launcher, which exits only when the tree is dead. Whatever is in the pipes then is all
 * there will ever be, so they are read until empty, not until end-of-file: somebody outside may have got a copy of the
 * write end. A launcher that does not follow an order to stop within STOP_MS loses its life-line, which means "now"; it
 * is never killed, because it is the one that knows when the tree is dead. */
#include "executor/command.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/keyprint.h"
#include "base/panic.h"
#include "executor/capture.h"
#include "executor/tier.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { GRACE_MS = 500, STOP_MS = 5000, CHUNK = 64 << 10, CHUNKS_A_TURN = 8, HIGH_FD = 16, COMMAND_MAGIC = 0x434d4421 };

struct stream {
    struct command *command;
    int fd;
    ev_id id;
    struct keyprint_stream keys; /* in front of the text: a capture may cut one in two */
    struct capture text;
};

struct command {
    uint32_t magic;
    struct ev_loop *loop;
    struct arena *arena;
    void (*done)(void *ctx, const struct command_outcome *o);
    void *ctx;
    struct stream out, errors;
    int lifeline, report;
    pid_t pid;
    ev_id child, timer;
    int64_t started_ms;
    bool timed_out, stopped, flooded;
    int64_t output_left;
    enum sandbox_tier tier;
    char argv0[256]; /* for messages */
};

/* ---- the plan ---- */

/* At the number it gets in the launcher, or above all of them. */
static int above(int fd)
{
    if (fd < 0 || fd >= HIGH_FD)
        return fd;
    int high = fcntl(fd, F_DUPFD_CLOEXEC, HIGH_FD), err = errno;
    close(fd);
    errno = err;
    return high;
}

/* A memory file with that content, positioned at its start. */
static int memory_file(const char *name, struct str content)
{
    int fd = above(memfd_create(name, MFD_CLOEXEC));
    if (fd >= 0 && (!fd_write_all(fd, content) || lseek(fd, 0, SEEK_SET) < 0)) {
        int err = errno;
        close(fd);
        errno = err;
        return -1;
    }
    return fd;
}

static void put_strings(char **at, const struct str *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        memcpy(*at, s[i].p ? s[i].p : "", s[i].n);
        *at += s[i].n;
        *(*at)++ = 0;
    }
}

static size_t size_of(const struct str *s, size_t n, size_t sum)
{
    for (size_t i = 0; i < n && sum <= LAUNCH_MAX_PLAN; i++)
        sum += s[i].n + 1;
    return sum;
}

static int plan_file(const struct command_spec *spec, struct err *err)
{
    const struct {
        const struct str *s;
        size_t n;
    } parts[] = {
        {spec->argv, spec->argc}, {spec->env, spec->envc}, {spec->places, spec->nplaces}, {spec->hosts, spec->nhosts}};
    size_t bytes = 0;
    bool too_many = false;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        bytes = size_of(parts[i].s, parts[i].n, bytes);
        too_many |= parts[i].n > LAUNCH_MAX_STRINGS;
    }
    struct launch_header h = {.magic = LAUNCH_MAGIC,
                              .tier = spec->tier,
                              .flags = spec->flags,
                              .argc = (uint32_t)spec->argc,
                              .envc = (uint32_t)spec->envc,
                              .placec = (uint32_t)spec->nplaces,
                              .hostc = (uint32_t)spec->nhosts,
                              .grace_ms = GRACE_MS,
                              .memory = spec->memory,
                              .processes = spec->processes,
                              .bytes = (uint32_t)bytes};
    if (bytes + sizeof h > LAUNCH_MAX_PLAN || too_many) {
        err_set(err, RC_LIMIT, "the command and its environment are too long");
        return -1;
    }
    char *text = malloc(sizeof h + bytes);
    if (!text)
        PANIC("out of memory (%zu bytes)", bytes);
    memcpy(text, &h, sizeof h);
    char *at = text + sizeof h;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        put_strings(&at, parts[i].s, parts[i].n);
    int fd = memory_file("treadle-plan", str_n(text, sizeof h + bytes));
    if (fd < 0)
        err_set(err, RC_IO, "cannot prepare a command: %s", strerror(errno));
    explicit_bzero(text, sizeof h + bytes); /* it may name secrets */
    free(text);
    return fd;
}

/* ---- the start ---- */

/* The launcher's descriptors, by number. */
struct ends {
    int fd[LAUNCH_FD_END];
};

static void ends_close(struct ends *e)
{
    for (int i = 0; i < LAUNCH_FD_END; i++)
        if (e->fd[i] >= 0)
            close(e->fd[i]);
}

static bool open_pipe(int *ours, int *theirs)
{
    int p[2];
    if (pipe2(p, O_CLOEXEC) < 0)
        return false;
    *ours = p[0];
    *theirs = above(p[1]);
    return fcntl(p[0], F_SETFL, O_NONBLOCK) == 0 && *theirs >= 0;
}

static bool open_ends(struct command *c, const struct command_spec *spec, struct ends *e, struct err *err)
{
    int life[2];
    e->fd[LAUNCH_FD_PLAN] = plan_file(spec, err);
    if (e->fd[LAUNCH_FD_PLAN] < 0)
        return false;
    e->fd[0] =
        spec->input.n ? memory_file("treadle-stdin", spec->input) : above(open("/dev/null", O_RDONLY | O_CLOEXEC));
    bool ok = e->fd[0] >= 0 && open_pipe(&c->out.fd, &e->fd[1]) && open_pipe(&c->errors.fd, &e->fd[2]) &&
              open_pipe(&c->report, &e->fd[LAUNCH_FD_REPORT]) &&
              (e->fd[LAUNCH_FD_CWD] = fcntl(spec->cwd_fd, F_DUPFD_CLOEXEC, HIGH_FD)) >= 0 &&
              (e->fd[LAUNCH_FD_LOCK] = fcntl(spec->lock_fd, F_DUPFD_CLOEXEC, HIGH_FD)) >= 0 &&
              (e->fd[LAUNCH_FD_WORKSPACE] = fcntl(spec->workspace_fd, F_DUPFD_CLOEXEC, HIGH_FD)) >= 0 &&
              (e->fd[LAUNCH_FD_VIEW] =
                   fcntl(spec->flags & LAUNCH_VIEW ? spec->view_fd : spec->cwd_fd, F_DUPFD_CLOEXEC, HIGH_FD)) >= 0 &&
              (e->fd[LAUNCH_FD_CGROUP] =
                   fcntl(spec->flags & LAUNCH_CGROUP ? spec->cgroup_fd : spec->cwd_fd, F_DUPFD_CLOEXEC, HIGH_FD)) >= 0;
    if (ok && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, life) == 0) {
        c->lifeline = life[0];
        e->fd[LAUNCH_FD_LIFELINE] = above(life[1]);
    }
    if (e->fd[LAUNCH_FD_LIFELINE] < 0)
        err_set(err, RC_IO, "cannot prepare a command: %s", strerror(errno));
    return e->fd[LAUNCH_FD_LIFELINE] >= 0;
}

static int spawn(pid_t *pid, const char *program, const struct ends *e)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    sigset_t none, all;
    char name[] = "treadle", sub[] = "__launch";
    char *argv[] = {name, sub, NULL}, *env[] = {NULL};
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &all);
    posix_spawnattr_setflags(&attr, (short)(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID));
    int rc = 0;
    for (int i = 0; i < LAUNCH_FD_END && rc == 0; i++)
        rc = posix_spawn_file_actions_adddup2(&actions, e->fd[i], i);
    if (rc == 0)
        rc = posix_spawn(pid, program, &actions, &attr, argv, env);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attr);
    return rc;
}

/* The small launcher, unless it takes what only treadle itself has, or the system lets nothing in memory be executed.
 */
static int spawn_launcher(pid_t *pid, const struct command_spec *spec, const struct ends *e)
{
    bool small = spec->launcher && !(spec->flags & (LAUNCH_PROXY | LAUNCH_INTERNAL));
    return small && spawn(pid, spec->launcher, e) == 0 ? 0 : spawn(pid, spec->self, e);
}

static void command_release(struct command *c)
{
    struct stream *streams[] = {&c->out, &c->errors};
    for (size_t i = 0; i < 2; i++) {
        ev_cancel(c->loop, streams[i]->id);
        if (streams[i]->fd >= 0)
            close(streams[i]->fd);
        keyprint_stream_end(&streams[i]->keys, NULL, NULL);
        capture_done(&streams[i]->text);
    }
    ev_cancel(c->loop, c->timer);
    ev_cancel(c->loop, c->child);
    if (c->lifeline >= 0)
        close(c->lifeline);
    if (c->report >= 0)
        close(c->report);
    c->magic = 0;
    free(c);
}

/* ---- while it runs ---- */

static void ask_to_stop(struct command *c);

static uint64_t printed(const struct command *c)
{
    return c->out.text.total + c->errors.text.total;
}

static void watch_flood(struct command *c)
{
    bool runs = c->child != 0; /* what is read after its end is part of its result */
    if (!runs || c->flooded || c->output_left < 0 || printed(c) <= (uint64_t)c->output_left)
        return;
    c->flooded = true;
    if (!c->stopped && !c->timed_out) /* else it has been asked already */
        ask_to_stop(c);
}

static void keep(void *ctx, const char *bytes, size_t n)
{
    capture_add(ctx, bytes, n);
}

/* Reads what is there, at most `chunks` pieces. False at the end of the stream. */
static bool stream_drain(struct stream *s, unsigned chunks)
{
    char piece[CHUNK];
    while (chunks--) {
        ssize_t n = read(s->fd, piece, sizeof piece);
        if (n > 0) {
            keyprint_stream_add(&s->keys, piece, (size_t)n, keep, &s->text);
            watch_flood(s->command);
            continue;
        }
        if (n < 0 && errno == EINTR)
            continue;
        return n < 0 && errno == EAGAIN;
    }
    return true;
}

static void on_output(void *ctx)
{
    struct stream *s = ctx;
    CHECK_OBJ(s->command, COMMAND_MAGIC);
    if (!stream_drain(s, CHUNKS_A_TURN)) {
        ev_cancel(s->command->loop, s->id);
        s->id = 0;
    }
}

static void on_overdue(void *ctx)
{
    struct command *c = ctx;
    c->timer = 0;
    close(c->lifeline);
    c->lifeline = -1;
    kill(c->pid, SIGCONT); /* not reaped yet, so the pid is still its own */
}

static void ask_to_stop(struct command *c)
{
    char stop = 'T';
    (void)send(c->lifeline, &stop, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    ev_cancel(c->loop, c->timer);
    c->timer = ev_timer(c->loop, STOP_MS, on_overdue, c);
}

static void on_timeout(void *ctx)
{
    struct command *c = ctx;
    CHECK_OBJ(c, COMMAND_MAGIC);
    c->timer = 0;
    c->timed_out = true;
    if (!c->flooded)
        ask_to_stop(c);
}

void command_stop(struct command *c)
{
    CHECK_OBJ(c, COMMAND_MAGIC);
    if (c->stopped)
        return;
    c->stopped = true;
    if (!c->timed_out && !c->flooded) /* else it has been asked already */
        ask_to_stop(c);
}

pid_t command_kill(struct command *c)
{
    CHECK_OBJ(c, COMMAND_MAGIC);
    pid_t pid = c->pid;
    command_release(c);
    return pid;
}

/* ---- the end ---- */

/* As a shell words it: what could not be executed is a result (126, 127), not an error of Treadle. */
static void no_exec(struct command *c, int error, struct command_outcome *o)
{
    char message[400];
    o->exit_code = error == ENOENT ? 127 : 126;
    int n = snprintf(message, sizeof message, "%s: %s\n", c->argv0, strerror(error));
    capture_add(&c->errors.text, message, (size_t)n);
}

static void read_report(struct command *c, int status, struct command_outcome *o)
{
    struct launch_report r = {0};
    o->end = COMMAND_ENDED;
    ssize_t n = read(c->report, &r, sizeof r);
    if (n != (ssize_t)sizeof r || r.magic != LAUNCH_MAGIC) {
        o->end = COMMAND_LOST;
        if (WIFEXITED(status) && WEXITSTATUS(status)) {
            o->end = COMMAND_FAILED;
            err_set(&o->err, RC_INTERNAL, "the launcher could not start (exit code %d)", WEXITSTATUS(status));
        }
        return;
    }
    r.stage[sizeof r.stage - 1] = 0;
    o->isolation = r.isolation;
    o->cgroup = r.cgroup;
    switch ((enum launch_outcome)r.outcome) {
    case LAUNCH_EXITED:
        o->exit_code = r.value;
        break;
    case LAUNCH_SIGNALED:
        o->exit_code = -1, o->signal = r.value;
        break;
    case LAUNCH_LIMIT:
        o->exit_code = -1, o->signal = SIGKILL, o->limit = (enum launch_limit)r.value;
        break;
    case LAUNCH_NO_EXEC:
        no_exec(c, r.value, o);
        break;
    case LAUNCH_REFUSED:
        o->end = COMMAND_REFUSED;
        tier_refused(&o->err, c->tier, r.stage, r.value);
        break;
    case LAUNCH_FAILED:
    default:
        o->end = COMMAND_FAILED;
        o->no_view = strcmp(r.stage, LAUNCH_STAGE_VIEW) == 0;
        err_set(&o->err, RC_IO, "a command could not be started (%s): %s", r.stage, strerror(r.value));
        break;
    }
}

static void on_launcher_end(void *ctx, int status)
{
    struct command *c = ctx;
    CHECK_OBJ(c, COMMAND_MAGIC);
    struct command_outcome o = {.timed_out = c->timed_out, .stopped = c->stopped, .tier = c->tier};
    c->child = 0;
    /* Bounded: no living process writes any more, and a pipe holds no more than this (the size is the system's limit
     * for unprivileged users; a copy of the pipe given to strangers must not keep us). */
    enum { PIPE_CHUNKS = (1 << 20) / CHUNK + 1 };
    (void)stream_drain(&c->out, PIPE_CHUNKS);
    (void)stream_drain(&c->errors, PIPE_CHUNKS);
    keyprint_stream_end(&c->out.keys, keep, &c->out.text);
    keyprint_stream_end(&c->errors.keys, keep, &c->errors.text);
    read_report(c, status, &o);
    o.flooded = c->flooded;
    o.printed = printed(c);
    o.duration_ms = clock_mono_ms() - c->started_ms;
    o.out = capture_text(&c->out.text, c->arena);
    o.errors = capture_text(&c->errors.text, c->arena);
    o.truncated = capture_truncated(&c->out.text) || capture_truncated(&c->errors.text);
    void (*done)(void *, const struct command_outcome *) = c->done;
    void *done_ctx = c->ctx;
    command_release(c);
    done(done_ctx, &o);
}

enum rc command_start(struct ev_loop *loop, const struct command_spec *spec, struct arena *a,
                      void (*done)(void *ctx, const struct command_outcome *o), void *ctx, struct command **ret,
                      struct err *err)
{
    CHECK(spec->argc > 0);
    struct command *c = calloc(1, sizeof *c);
    struct ends e;
    if (!c)
        PANIC("out of memory");
    memset(&e, 0xff, sizeof e);
    *c = (struct command){.magic = COMMAND_MAGIC,
                          .loop = loop,
                          .arena = a,
                          .done = done,
                          .ctx = ctx,
                          .tier = spec->tier,
                          .lifeline = -1,
                          .report = -1,
                          .out = {.command = c, .fd = -1},
                          .errors = {.command = c, .fd = -1},
                          .output_left = spec->output_left,
                          .started_ms = clock_mono_ms()};
    capture_init(&c->out.text, spec->output_limit);
    capture_init(&c->errors.text, spec->output_limit);
    snprintf(c->argv0, sizeof c->argv0, "%.*s", STR_ARG(spec->argv[0]));
    if (!open_ends(c, spec, &e, err)) {
        ends_close(&e);
        command_release(c);
        return err->rc;
    }
    int rc = spawn_launcher(&c->pid, spec, &e);
    ends_close(&e);
    if (rc) {
        command_release(c);
        return err_set(err, RC_IO, "cannot start %s: %s", spec->self, strerror(rc));
    }
    c->out.id = ev_readable(loop, c->out.fd, on_output, &c->out);
    c->errors.id = ev_readable(loop, c->errors.fd, on_output, &c->errors);
    c->child = ev_child(loop, c->pid, on_launcher_end, c);
    if (spec->timeout_ms > 0)
        c->timer = ev_timer(loop, spec->timeout_ms, on_timeout, c);
    *ret = c;
    return RC_OK;
}
