/* Two processes between Treadle and a command, so that each can outlive the failure of the other.
 *
 *      Treadle --life-line--> launcher --control--> init --> the command and all that it starts
 *
 * The launcher watches the life-line. When Treadle's end of it closes (Treadle was killed, or has given up on the
 * command) it kills the init at once; a byte on it means "stop, with grace": TERM to everybody, then, some time later,
 * the same. The init is PID 1 of the command's namespace where there is one, else a subreaper; it starts the command,
 * reaps, and ends as soon as the command itself has ended, which is the end of the rest of the tree too. Only when the
 * init is reaped and no descendant is left does the launcher report and exit. In a PID namespace the kernel makes
 * that true (it reaps an init only after everything inside is dead); otherwise proctree_kill() does.
 *
 * Should the launcher be killed, its end of the control socket closes and the init ends everything. The init asks to
 * be continued then (PDEATHSIG), in case somebody has stopped it; the socket is what it relies on, because PDEATHSIG is
 * lost across some calls and says nothing about a parent that died before it was set. Both hold the lock of exec.lock
 * (one open file, locked by Treadle before this program started), so it is free only when both are gone.
 *
 * What is left open: somebody who kills the launcher and the init at the same moment from outside. With a namespace
 * the tree dies nevertheless, only not provably before the lock is free; without one it survives.
 *
 * Nothing here may touch stdio buffers or exit handlers: all ends are _exit(). */
#include "executor/launcher.h"

#include "base/clock.h"
#include "base/str.h"
#include "executor/launch_plan.h"
#include "executor/proctree.h"
#include "executor/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct plan {
    struct launch_header h;
    char **argv, **env; /* NULL-terminated */
};

/* What the init and the launcher say to each other. */
enum { SAY_GO = 'G', SAY_TERM = 'T' };

static struct launch_report report_make(enum launch_outcome outcome, int value, const char *stage)
{
    struct launch_report r = {.magic = LAUNCH_MAGIC, .outcome = outcome, .value = value};
    snprintf(r.stage, sizeof r.stage, "%s", stage);
    return r;
}

/* Smaller than PIPE_BUF: written whole or not at all. */
static bool report_send(int fd, const struct launch_report *r)
{
    return write(fd, r, sizeof *r) == (ssize_t)sizeof *r;
}

static struct launch_report report_of_status(int status)
{
    if (WIFSIGNALED(status))
        return report_make(LAUNCH_SIGNALED, WTERMSIG(status), "");
    return report_make(LAUNCH_EXITED, WEXITSTATUS(status), "");
}

/* ------------------------------------------------------------------------------------------------ the plan */

static bool strings_split(char **at, const char *end, char **out, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        char *zero = memchr(*at, 0, (size_t)(end - *at));
        if (!zero)
            return false;
        out[i] = *at;
        *at = zero + 1;
    }
    out[n] = NULL;
    return true;
}

static bool plan_read(struct plan *p)
{
    struct stat st;
    if (fstat(LAUNCH_FD_PLAN, &st) != 0 || st.st_size < (off_t)sizeof p->h || st.st_size > LAUNCH_MAX_PLAN)
        return false;
    size_t n = (size_t)st.st_size;
    char *text = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE, LAUNCH_FD_PLAN, 0);
    if (text == MAP_FAILED)
        return false;
    memcpy(&p->h, text, sizeof p->h);
    if (p->h.magic != LAUNCH_MAGIC || p->h.bytes != n - sizeof p->h || p->h.argc == 0 ||
        p->h.argc > LAUNCH_MAX_STRINGS || p->h.envc > LAUNCH_MAX_STRINGS)
        return false;
    p->argv = calloc(p->h.argc + 1u, sizeof *p->argv);
    p->env = calloc(p->h.envc + 1u, sizeof *p->env);
    char *at = text + sizeof p->h;
    return p->argv && p->env && strings_split(&at, text + n, p->argv, p->h.argc) &&
           strings_split(&at, text + n, p->env, p->h.envc);
}

/* ------------------------------------------------------------------------------------------------ the command */

/* posix_spawn leaves the two signals that the C library keeps for itself ignored; only the kernel's own call may touch
 * them. */
static void reset_private_signals(void)
{
    static const unsigned char by_default[64]; /* a kernel's struct sigaction, whatever its layout: SIG_DFL is 0 */
    for (int signo = 32; signo < 34; signo++)
        (void)syscall(SYS_rt_sigaction, signo, by_default, NULL, (size_t)8);
}

/* execvp() answers "permission denied" for a program that does not exist when a directory of PATH is closed to us. */
static bool is_in_path(const char *name)
{
    const char *dirs = getenv("PATH");
    while (dirs && *dirs) {
        char path[PATH_MAX];
        size_t n = strcspn(dirs, ":");
        if (snprintf(path, sizeof path, "%.*s/%s", (int)n, dirs, name) < (int)sizeof path && access(path, F_OK) == 0)
            return true;
        dirs += n + (dirs[n] == ':');
    }
    return false;
}

/* Only comes back by _exit(). `fail` is closed by a successful exec; otherwise errno goes into it. */
static void command_main(const struct plan *p, int fail)
{
    enum { FAIL_FD = 3 };
    sigset_t none;
    sigemptyset(&none);
    int err = 0;
    setsid();
    reset_private_signals();
    if (dup2(fail, FAIL_FD) < 0 || fcntl(FAIL_FD, F_SETFD, FD_CLOEXEC) < 0 || close_range(FAIL_FD + 1, ~0u, 0) < 0)
        err = errno;
    else if (!sandbox_confine() || sigprocmask(SIG_SETMASK, &none, NULL) < 0)
        err = errno;
    if (err == 0) {
        environ = p->env;
        execvp(p->argv[0], p->argv);
        err = errno;
        if (err == EACCES && !strchr(p->argv[0], '/') && !is_in_path(p->argv[0]))
            err = ENOENT;
    }
    (void)!write(FAIL_FD, &err, sizeof err);
    _exit(127);
}

static pid_t command_start(const struct plan *p, int *fail)
{
    int pipe_fd[2];
    if (pipe2(pipe_fd, O_CLOEXEC) < 0)
        return -1;
    pid_t pid = fork();
    if (pid == 0)
        command_main(p, pipe_fd[1]);
    close(pipe_fd[1]);
    *fail = pipe_fd[0];
    return pid;
}

/* ------------------------------------------------------------------------------------------------ the init */

struct init {
    const struct plan *plan;
    enum launch_isolation iso;
    int control, signals, report;
    pid_t command;
};

static void stdio_close(void)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; fd < 3; fd++)
        if (null < 0 || dup2(null, fd) < 0)
            close(fd);
    if (null > 2)
        close(null);
}

/* Reaps whatever died. True when the command itself was among it. */
static bool init_reap(const struct init *in, int *status)
{
    bool ended = false;
    int st;
    pid_t pid;
    while ((pid = waitpid(-1, &st, WNOHANG | __WALL)) > 0)
        if (pid == in->command)
            ended = true, *status = st;
    return ended;
}

static void init_term(const struct init *in)
{
    if (in->iso == LAUNCH_ISO_SUBREAPER)
        (void)proctree_signal(SIGTERM);
    else
        (void)kill(-1, SIGTERM);
}

/* The rest of the tree. In a namespace it dies with us, and the launcher gets no word of our end before. If there is
 * no launcher any more, we are the last holder of the lock and have to see to it ourselves. */
static void init_end_tree(const struct init *in, bool launcher_lives)
{
    if (in->iso == LAUNCH_ISO_SUBREAPER) {
        proctree_kill();
        return;
    }
    while (!launcher_lives) {
        (void)kill(-1, SIGKILL);
        int status;
        if (waitpid(-1, &status, __WALL) < 0 && errno == ECHILD)
            return;
    }
}

static void init_main(struct init *in)
{
    char c;
    prctl(PR_SET_PDEATHSIG, SIGCONT, 0, 0, 0);
    close(LAUNCH_FD_LIFELINE);
    close(LAUNCH_FD_REPORT);
    if (in->iso == LAUNCH_ISO_SUBREAPER)
        prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    if (recv(in->control, &c, 1, 0) != 1 || c != SAY_GO)
        _exit(1);
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); /* not to be traced by what we start; the id mapping needed it until now */
    if (in->iso != LAUNCH_ISO_SUBREAPER)
        sandbox_settle(in->plan->h.flags);

    int fail = -1, err = 0, status = 0;
    in->command = command_start(in->plan, &fail);
    struct launch_report r = report_make(LAUNCH_FAILED, errno, "fork");
    if (in->command < 0) {
        report_send(in->report, &r);
        _exit(1);
    }
    stdio_close();
    struct pollfd fds[2] = {{.fd = in->control, .events = POLLIN}, {.fd = in->signals, .events = POLLIN}};
    while (!init_reap(in, &status)) {
        if (poll(fds, 2, -1) < 0)
            continue;
        struct signalfd_siginfo si;
        if (fds[1].revents)
            (void)!read(in->signals, &si, sizeof si);
        if (!fds[0].revents)
            continue;
        if (recv(in->control, &c, 1, 0) <= 0) {
            init_end_tree(in, false);
            _exit(1);
        }
        if (c == SAY_TERM)
            init_term(in);
    }
    r = report_of_status(status);
    if (read(fail, &err, sizeof err) == (ssize_t)sizeof err)
        r = report_make(LAUNCH_NO_EXEC, err, "exec");
    init_end_tree(in, true);
    report_send(in->report, &r);
    _exit(0);
}

/* ------------------------------------------------------------------------------------------------ the launcher */

struct launcher {
    int control, signals, inner_report;
    pid_t init;
    enum launch_isolation iso;
    int64_t kill_at; /* monotonic ms; -1: nobody asked for an end */
};

static void watch_lifeline(struct launcher *l, uint32_t grace_ms)
{
    char c;
    ssize_t n = recv(LAUNCH_FD_LIFELINE, &c, 1, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        l->kill_at = 0;
    } else if (l->kill_at < 0) {
        l->kill_at = clock_mono_ms() + grace_ms;
        c = SAY_TERM;
        (void)send(l->control, &c, 1, MSG_NOSIGNAL);
    }
}

/* Until the init is reaped. As a subreaper we may inherit others when it is killed; they are swept up afterwards. */
static void launcher_watch(struct launcher *l, uint32_t grace_ms)
{
    struct pollfd fds[2] = {{.fd = LAUNCH_FD_LIFELINE, .events = POLLIN}, {.fd = l->signals, .events = POLLIN}};
    for (;;) {
        int timeout = -1;
        if (l->kill_at >= 0) {
            int64_t left = l->kill_at - clock_mono_ms();
            if (left <= 0) {
                kill(l->init, SIGKILL);
                fds[0].fd = -1;
            }
            timeout = left <= 0 ? -1 : (int)left;
        }
        if (poll(fds, 2, timeout) < 0)
            continue;
        struct signalfd_siginfo si;
        if (fds[1].revents) {
            (void)!read(l->signals, &si, sizeof si);
            int status;
            pid_t pid;
            while ((pid = waitpid(-1, &status, WNOHANG | __WALL)) > 0)
                if (pid == l->init)
                    return;
        }
        if (fds[0].revents)
            watch_lifeline(l, grace_ms);
    }
}

static int fail(const char *stage)
{
    struct launch_report r = report_make(LAUNCH_FAILED, errno, stage);
    return report_send(LAUNCH_FD_REPORT, &r) ? 0 : 1;
}

/* Descriptors beyond the agreed ones are an accident of whoever started Treadle; they end here. */
static bool take_descriptors(void)
{
    for (int fd = 0; fd < LAUNCH_FD_END; fd++)
        if (fcntl(fd, F_GETFD) < 0)
            return false;
    for (int fd = LAUNCH_FD_LIFELINE; fd < LAUNCH_FD_END; fd++)
        fcntl(fd, F_SETFD, FD_CLOEXEC);
    return close_range(LAUNCH_FD_END, ~0u, 0) == 0;
}

static int launcher_open(struct launcher *l, int *init_control, int *init_report)
{
    int control[2], inner[2];
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    sigset_t chld;
    sigemptyset(&chld);
    sigaddset(&chld, SIGCHLD);
    l->signals = signalfd(-1, &chld, SFD_CLOEXEC | SFD_NONBLOCK);
    if (l->signals < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, control) < 0 ||
        pipe2(inner, O_CLOEXEC | O_NONBLOCK) < 0)
        return -1;
    l->control = control[0], *init_control = control[1];
    l->inner_report = inner[0], *init_report = inner[1];
    return 0;
}

static int launcher_run(struct plan *plan)
{
    struct launcher l = {.kill_at = -1};
    int init_control = -1, init_report = -1;
    if (!take_descriptors())
        return 2;
    if (!plan_read(plan))
        return fail("plan");
    setsid(); /* fails when we lead a session already: just as good */
    if (fchdir(LAUNCH_FD_CWD) < 0)
        return fail("directory");
    close(LAUNCH_FD_CWD);
    close(LAUNCH_FD_PLAN);
    if (launcher_open(&l, &init_control, &init_report) < 0)
        return fail("descriptors");
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);

    pid_t init = sandbox_fork(plan->h.flags, &l.iso);
    if (init < 0)
        return fail("isolation");
    if (init == 0) {
        close(l.control);
        close(l.inner_report);
        init_main(&(struct init){
            .plan = plan, .iso = l.iso, .control = init_control, .signals = l.signals, .report = init_report});
    }
    l.init = init;
    close(init_control);
    close(init_report);
    stdio_close();
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    watch_lifeline(&l, plan->h.grace_ms);
    char go = SAY_GO;
    if (l.kill_at < 0) /* else Treadle is dead or has changed its mind: nothing is started */
        (void)send(l.control, &go, 1, MSG_NOSIGNAL);
    launcher_watch(&l, plan->h.grace_ms);
    proctree_kill();

    struct launch_report r;
    if (read(l.inner_report, &r, sizeof r) != (ssize_t)sizeof r)
        r = report_make(LAUNCH_SIGNALED, SIGKILL, "");
    r.isolation = l.iso;
    return report_send(LAUNCH_FD_REPORT, &r) ? 0 : 1;
}

int launcher_main(int argc, char **argv)
{
    (void)argc, (void)argv;
    struct plan plan = {0};
    int rc = launcher_run(&plan);
    free(plan.argv);
    free(plan.env);
    return rc;
}
