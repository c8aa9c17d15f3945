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
 * In tier strict the init makes the command's world (sandbox_mounts.c) before it starts it, and lives in it; the
 * command confines itself further on the way to its exec (sandbox_confine). Whatever of that cannot be had ends the
 * launch with a report that says so: nothing of the command has run then.
 *
 * Nothing here may touch stdio buffers or exit handlers: all ends are _exit(). */
#include "executor/launcher.h"

#include "base/clock.h"
#include "base/str.h"
#include "executor/cgroup.h"
#include "executor/launch_plan.h"
#include "executor/overlay.h"
#include "executor/proctree.h"
#include "executor/sandbox.h"
#include "executor/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    SPARE_ENV = 4 /* lines that the tier adds */,
    LOOK_MS = 100,
    LOOK_NEAR_MS = 20,
    LOOK_REST_MS = 1000,
    LOOK_ALL_MS = 2000
};
struct plan {
    struct launch_header h;
    char **argv, **env, **place, **host; /* NULL-terminated */
    char home[64], tmp[64];              /* the lines HOME= and TMPDIR= of tier standard */
    char scratch[48];                    /* tier standard: the command's temporary directory, or empty */
    struct sandbox_view view;
};

/* What the init and the launcher say to each other. LISTEN carries the descriptor of the proxy's socket. */
enum { SAY_GO = 'G', SAY_TERM = 'T', SAY_LISTEN = 'L' };

/* What a command says that could not be executed. */
struct no_exec {
    int err;
    bool confined; /* it is the program that could not be had, not the sandbox */
    char stage[48];
};

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
        p->h.argc > LAUNCH_MAX_STRINGS || p->h.envc > LAUNCH_MAX_STRINGS || p->h.placec < LAUNCH_PLACES ||
        p->h.placec > LAUNCH_MAX_STRINGS || p->h.hostc > LAUNCH_MAX_STRINGS)
        return false;
    p->argv = calloc(p->h.argc + 1u, sizeof *p->argv);
    p->env = calloc(p->h.envc + 1u + SPARE_ENV, sizeof *p->env);
    p->place = calloc(p->h.placec + 1u, sizeof *p->place);
    p->host = calloc(p->h.hostc + 1u, sizeof *p->host);
    char *at = text + sizeof p->h, *end = text + n;
    bool ok = p->argv && p->env && p->place && p->host && strings_split(&at, end, p->argv, p->h.argc) &&
              strings_split(&at, end, p->env, p->h.envc) && strings_split(&at, end, p->place, p->h.placec) &&
              strings_split(&at, end, p->host, p->h.hostc);
    p->view = (struct sandbox_view){.tier = (enum sandbox_tier)p->h.tier,
                                    .flags = p->h.flags,
                                    .memory = p->h.memory,
                                    .processes = p->h.processes,
                                    .place = (const char *const *)p->place,
                                    .nplaces = p->h.placec};
    return ok;
}

static void env_set(struct plan *p, char *line)
{
    size_t name = strcspn(line, "="), i = 0;
    for (; p->env[i]; i++)
        if (strncmp(p->env[i], line, name + 1) == 0)
            break;
    if (i < p->h.envc + (size_t)SPARE_ENV)
        p->env[i] = line;
}

/* What the tier needs before there is a child. */
static bool plan_prepare(struct plan *p, const char **stage)
{
    if (p->h.tier == SANDBOX_NONE)
        return true;
    snprintf(p->tmp, sizeof p->tmp, "TMPDIR=/tmp");
    if (p->h.tier == SANDBOX_STANDARD) {
        *stage = "a temporary directory";
        if (!scratch_make(p->scratch, sizeof p->scratch))
            return false;
        snprintf(p->tmp, sizeof p->tmp, "TMPDIR=%s", p->scratch);
        snprintf(p->home, sizeof p->home, "HOME=%s", p->scratch);
        p->view.tmp = p->scratch;
        env_set(p, p->home);
    }
    env_set(p, p->tmp);
    return true;
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

struct start {
    const struct plan *plan;
    int fail; /* closed by a successful exec; otherwise a struct no_exec goes into it */
};

static int command_main(void *start)
{
    const struct plan *p = ((struct start *)start)->plan;
    int fail = ((struct start *)start)->fail;
    enum { FAIL_FD = 3 };
    sigset_t none;
    const char *stage = "descriptors";
    struct no_exec no = {.err = 0};
    sigemptyset(&none);
    setsid();
    reset_private_signals();
    if (dup2(fail, FAIL_FD) < 0 || fcntl(FAIL_FD, F_SETFD, FD_CLOEXEC) < 0 || close_range(FAIL_FD + 1, ~0u, 0) < 0 ||
        !sandbox_confine(&p->view, &stage) || sigprocmask(SIG_SETMASK, &none, NULL) < 0) {
        no.err = errno;
        snprintf(no.stage, sizeof no.stage, "%s", stage);
    } else {
        environ = p->env;
        execvp(p->argv[0], p->argv);
        no.err = errno, no.confined = true;
        if (no.err == EACCES && !strchr(p->argv[0], '/') && !is_in_path(p->argv[0]))
            no.err = ENOENT;
    }
    (void)!write(FAIL_FD, &no, sizeof no);
    return 127;
}

/* As posix_spawn does it: until its exec the child lives in our memory, on a stack of its own, and we wait; so nothing
 * is copied. What it does to itself there (limits, capabilities, Landlock, the filter) belongs to the process alone. */
static pid_t command_start(const struct plan *p, int *fail)
{
    enum { STACK = 256 << 10 };
    static char stack[STACK] __attribute__((aligned(16)));
    int pipe_fd[2];
    if (pipe2(pipe_fd, O_CLOEXEC) < 0)
        return -1;
    struct start start = {.plan = p, .fail = pipe_fd[1]};
    pid_t pid = clone(command_main, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, &start);
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

/* The socket of the proxy is made in here, where the command can reach it, and served from outside. */
static bool send_listener(const struct init *in)
{
    char c = SAY_LISTEN;
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {.bytes = {0}};
    struct iovec io = {.iov_base = &c, .iov_len = 1};
    struct msghdr m = {
        .msg_iov = &io, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
    int fd = sandbox_listen();
    if (fd < 0)
        return false;
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);
    h->cmsg_level = SOL_SOCKET, h->cmsg_type = SCM_RIGHTS, h->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(h), &fd, sizeof fd);
    bool ok = sendmsg(in->control, &m, MSG_NOSIGNAL) == 1;
    close(fd);
    return ok;
}

static bool init_settle(const struct init *in, const char **stage)
{
    const struct plan *p = in->plan;
    bool strict = p->h.tier == SANDBOX_STRICT;
    bool apart = strict && (p->h.flags & LAUNCH_NO_NETWORK);
    struct network network;
    *stage = "a network of its own";
    if (apart && !network_begin(&network))
        return false;
    if (strict && !sandbox_world(&p->view, stage))
        return false; /* the helper ends with us, PID 1 of its namespace */
    *stage = "a network of its own";
    if (apart && !network_enter(&network))
        return false;
    *stage = "the proxy's socket";
    if ((p->h.flags & LAUNCH_PROXY) && !send_listener(in))
        return false;
    if (!strict && in->iso != LAUNCH_ISO_SUBREAPER)
        sandbox_settle(p->h.flags);
    return true;
}

/* What the command was told to be, or why it is not. */
static struct launch_report report_of_command(int fail, int status)
{
    struct no_exec no;
    if (read(fail, &no, sizeof no) != (ssize_t)sizeof no)
        return report_of_status(status);
    no.stage[sizeof no.stage - 1] = 0;
    return no.confined ? report_make(LAUNCH_NO_EXEC, no.err, "exec") : report_make(LAUNCH_REFUSED, no.err, no.stage);
}

/* When the machine runs out of memory, the kernel is to take what a workflow started, not who carries on the others.
 * Inherited by all that is started from here. */
static void die_first(void)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        (void)!write(fd, "1000", 4);
        close(fd);
    }
}

static void init_main(struct init *in)
{
    char c;
    const char *stage = "";
    prctl(PR_SET_PDEATHSIG, SIGCONT, 0, 0, 0);
    close(LAUNCH_FD_LIFELINE);
    close(LAUNCH_FD_REPORT);
    close(LAUNCH_FD_CGROUP);
    if (in->iso == LAUNCH_ISO_SUBREAPER)
        prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    if (recv(in->control, &c, 1, 0) != 1 || c != SAY_GO)
        _exit(1);
    die_first();
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); /* not to be traced by what we start; the id mapping needed it until now */
    struct launch_report r;
    bool strict = in->plan->h.tier == SANDBOX_STRICT;
    if ((in->plan->h.flags & LAUNCH_VIEW) &&
        (in->iso == LAUNCH_ISO_SUBREAPER || !overlay_mount(LAUNCH_FD_VIEW, in->iso == LAUNCH_ISO_USERNS, !strict))) {
        r = report_make(LAUNCH_FAILED, errno, LAUNCH_STAGE_VIEW);
        report_send(in->report, &r);
        _exit(1);
    }
    close(LAUNCH_FD_VIEW);
    if (!init_settle(in, &stage)) {
        r = report_make(LAUNCH_REFUSED, errno, stage);
        report_send(in->report, &r);
        _exit(1);
    }
    int fail = -1, status = 0;
    in->command = command_start(in->plan, &fail);
    r = report_make(LAUNCH_FAILED, errno, "fork");
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
    r = report_of_command(fail, status);
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
    int64_t look_at; /* monotonic ms: when to look next at what the tree uses */
    int64_t all_at;  /* monotonic ms: when to look for it among all processes of the machine */
    enum launch_limit exceeded;
    struct cgroup group;
    bool grouped; /* the kernel bounds it, and we need not look */
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

static int64_t own_time_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static bool is_near(const struct launch_header *h, const struct proctree_usage *u)
{
    return u->bytes > h->memory / 2 || u->tasks > h->processes / 2;
}

/* A glance tells only that all is well. Whether a bound is met says the look at all processes, which does not depend on
 * the same lists, and so is taken now and then in any case. */
static struct proctree_usage look(struct launcher *l, const struct launch_header *h)
{
    struct proctree_usage u;
    int64_t now = clock_mono_ms();
    if (now < l->all_at && proctree_glance(&u) && !is_near(h, &u))
        return u;
    l->all_at = now + LOOK_ALL_MS;
    return proctree_usage(h->memory, h->processes);
}

/* In a control group the kernel looks. But nobody who was not given one may make it, as in most containers; there what
 * the tree uses is looked at, by its only ancestor that is outside: ten times a second, more often when it comes near;
 * where there is much to look at, less often, so that the looking takes a tenth of a processor. What counts is its own
 * time: on the clock it may take long just because of what it looks for. */
static void watch_usage(struct launcher *l, const struct launch_header *h)
{
    if (l->grouped) {
        l->exceeded = l->exceeded ? l->exceeded : cgroup_exceeded(&l->group);
        l->kill_at = l->exceeded ? 0 : l->kill_at;
        return;
    }
    if (clock_mono_ms() < l->look_at || l->exceeded || !h->memory)
        return;
    int64_t begun = own_time_ms();
    struct proctree_usage u = look(l, h);
    int64_t rest = is_near(h, &u) ? LOOK_NEAR_MS : LOOK_MS, least = (own_time_ms() - begun) * 10;
    l->look_at = clock_mono_ms() + (rest > least ? rest : least < LOOK_REST_MS ? least : LOOK_REST_MS);
    if (u.tasks > h->processes)
        l->exceeded = LAUNCH_LIMIT_PROCESSES;
    else if (u.bytes > h->memory)
        l->exceeded = LAUNCH_LIMIT_MEMORY;
    if (l->exceeded)
        l->kill_at = 0;
}

/* Until the init is reaped. As a subreaper we may inherit others when it is killed; they are swept up afterwards. */
static void launcher_watch(struct launcher *l, const struct launch_header *h)
{
    struct pollfd fds[4] = {{.fd = LAUNCH_FD_LIFELINE, .events = POLLIN},
                            {.fd = l->signals, .events = POLLIN},
                            {.fd = l->grouped ? l->group.memory_events : -1, .events = POLLPRI},
                            {.fd = l->grouped ? l->group.pids_events : -1, .events = POLLPRI}};
    l->look_at = clock_mono_ms() + LOOK_NEAR_MS;
    l->all_at = clock_mono_ms() + LOOK_ALL_MS;
    for (;;) {
        watch_usage(l, h);
        int64_t now = clock_mono_ms(), until = l->exceeded || l->grouped || !h->memory ? INT64_MAX : l->look_at;
        if (l->kill_at >= 0 && l->kill_at <= now) {
            kill(l->init, SIGKILL);
            if (l->grouped)
                cgroup_kill(&l->group);
            fds[0].fd = fds[2].fd = fds[3].fd = -1;
            until = INT64_MAX;
        } else if (l->kill_at >= 0 && l->kill_at < until) {
            until = l->kill_at;
        }
        if (poll(fds, 4, until == INT64_MAX ? -1 : (int)(until - now)) < 0)
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
            watch_lifeline(l, h->grace_ms);
    }
}

/* The init waits to be let go: nothing has started outside of the group. */
static void enter_group(struct launcher *l, const struct launch_header *h)
{
    if (!(h->flags & LAUNCH_CGROUP) || !h->memory || !cgroup_make(&l->group, LAUNCH_FD_CGROUP, h->memory, h->processes))
        return;
    l->grouped = cgroup_enter(&l->group, l->init);
    if (!l->grouped)
        cgroup_remove(&l->group);
}

static int fail_as(enum launch_outcome outcome, const char *stage)
{
    struct launch_report r = report_make(outcome, errno, stage);
    return report_send(LAUNCH_FD_REPORT, &r) ? 0 : 1;
}

static int fail(const char *stage)
{
    return fail_as(LAUNCH_FAILED, stage);
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

/* The init says first where it listens; if it says nothing it has failed, and its report tells why. The proxy is a
 * child of ours and ends with the rest of the tree. */
static void proxy_begin(const struct launcher *l, const struct plan *plan, proxy_fn *proxy)
{
    char c;
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec io = {.iov_base = &c, .iov_len = 1};
    struct msghdr m = {
        .msg_iov = &io, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
    if (recvmsg(l->control, &m, MSG_CMSG_CLOEXEC) != 1 || c != SAY_LISTEN)
        return;
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);
    if (!h || h->cmsg_type != SCM_RIGHTS)
        return;
    int fd;
    memcpy(&fd, CMSG_DATA(h), sizeof fd);
    pid_t self = getpid();
    if (fork() == 0)
        proxy(self, fd, (const char *const *)plan->host, plan->h.hostc);
    close(fd);
}

static int launcher_run(struct plan *plan, proxy_fn *proxy)
{
    struct launcher l = {.kill_at = -1};
    int init_control = -1, init_report = -1;
    const char *stage = "";
    if (!take_descriptors())
        return 2;
    if (!plan_read(plan))
        return fail("plan");
    errno = ENOSYS;
    if ((plan->h.flags & LAUNCH_PROXY) && !proxy)
        return fail("proxy");
    setsid(); /* fails when we lead a session already: just as good */
    if (fchdir(plan->h.tier == SANDBOX_STRICT ? LAUNCH_FD_WORKSPACE : LAUNCH_FD_CWD) < 0)
        return fail("directory");
    if (!plan_prepare(plan, &stage))
        return fail_as(LAUNCH_REFUSED, stage);
    close(LAUNCH_FD_CWD);
    close(LAUNCH_FD_WORKSPACE);
    close(LAUNCH_FD_PLAN);
    if (launcher_open(&l, &init_control, &init_report) < 0)
        return fail("descriptors");
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);

    pid_t init = sandbox_fork(plan->view.tier, plan->h.flags, &l.iso);
    if (init < 0)
        return fail_as(plan->view.tier == SANDBOX_NONE ? LAUNCH_FAILED : LAUNCH_REFUSED, "namespaces");
    if (init == 0) {
        close(l.control);
        close(l.inner_report);
        init_main(&(struct init){
            .plan = plan, .iso = l.iso, .control = init_control, .signals = l.signals, .report = init_report});
    }
    l.init = init;
    enter_group(&l, &plan->h);
    close(init_control);
    close(init_report);
    stdio_close();
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    watch_lifeline(&l, plan->h.grace_ms);
    char go = SAY_GO;
    if (l.kill_at < 0) /* else Treadle is dead or has changed its mind: nothing is started */
        (void)send(l.control, &go, 1, MSG_NOSIGNAL);
    if (l.kill_at < 0 && (plan->h.flags & LAUNCH_PROXY))
        proxy_begin(&l, plan, proxy);
    (void)setpriority(PRIO_PROCESS, 0, -20); /* if we may: who counts must not wait behind those that are counted */
    launcher_watch(&l, &plan->h);
    watch_usage(&l, &plan->h);                /* the kernel may have killed all of it at once */
    if (l.exceeded == LAUNCH_LIMIT_PROCESSES) /* thousands want to run, and all shall be dead before one more forks */
        (void)sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){.sched_priority = 1});
    if (l.grouped)
        cgroup_kill(&l.group);
    proctree_kill();
    if (l.grouped)
        cgroup_remove(&l.group);

    struct launch_report r;
    if (read(l.inner_report, &r, sizeof r) != (ssize_t)sizeof r)
        r = report_make(LAUNCH_SIGNALED, SIGKILL, "");
    if (l.exceeded)
        r = report_make(LAUNCH_LIMIT, l.exceeded, "");
    r.isolation = l.iso;
    r.cgroup = l.grouped;
    return report_send(LAUNCH_FD_REPORT, &r) ? 0 : 1;
}

int launcher_main(proxy_fn *proxy)
{
    struct plan plan = {0};
    int rc = launcher_run(&plan, proxy);
    if (plan.scratch[0])
        scratch_remove(plan.scratch);
    free(plan.argv);
    free(plan.env);
    free(plan.place);
    free(plan.host);
    return rc;
}
