/* Started by fork and exec only: between the two, nothing but system calls happens. Every descriptor but the four that
 * are meant is closed by the kernel at exec (close_range), whatever the rest of the program has open. */
#include "supervisor/process.h"

#include "base/panic.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ARGS_MAX = 16 };

static void keep(void *ctx, const char *bytes, size_t n)
{
    struct process *p = ctx;
    (void)!write(STDERR_FILENO, bytes, n); /* a log that nobody reads does not matter */
    if (n >= STDERR_KEPT) {
        bytes += n - STDERR_KEPT;
        n = STDERR_KEPT;
    }
    if (p->tail_n + n > STDERR_KEPT) {
        size_t drop = p->tail_n + n - STDERR_KEPT;
        memmove(p->tail, p->tail + drop, p->tail_n - drop);
        p->tail_n -= drop;
    }
    memcpy(p->tail + p->tail_n, bytes, n);
    p->tail_n += n;
}

void process_read_errors(struct process *p)
{
    char bytes[4096];
    for (int i = 0; i < 16; i++) { /* a flood must not hold the loop */
        ssize_t n = read(p->errors, bytes, sizeof bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n == 0) {
            keyprint_stream_end(&p->keys, keep, p);
            close(p->errors);
            p->errors = -1;
        }
        if (n <= 0)
            return;
        keyprint_stream_add(&p->keys, bytes, (size_t)n, keep, p);
    }
}

__attribute__((noreturn)) static void become(const char *self, char *const *argv, int control, int errors, pid_t parent)
{
    sigset_t none;
    sigemptyset(&none);
    /* Dies with the supervisor, whatever happens to it; checked, for the parent may be gone already. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(127);
    setsid();
    int null = open("/dev/null", O_RDWR);
    /* The control socket last: the number that it gets may be that of one of the others. */
    if (null < 0 || dup2(errors, STDERR_FILENO) < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 ||
        (control != CONTROL_FD && dup2(control, CONTROL_FD) < 0) || fcntl(CONTROL_FD, F_SETFD, 0) < 0)
        _exit(127);
    syscall(SYS_close_range, CONTROL_FD + 1, ~0U, 0);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execv(self, argv);
    _exit(127);
}

enum rc process_start(struct process *p, const char *self, const char *name, const char *const *args, struct err *err)
{
    char *argv[ARGS_MAX] = {(char *)(uintptr_t) "treadle", (char *)(uintptr_t) "__role", (char *)(uintptr_t)name};
    size_t n = 3;
    for (size_t i = 0; args && args[i]; i++) {
        CHECK(n < ARGS_MAX - 1);
        argv[n++] = (char *)(uintptr_t)args[i];
    }
    int control[2] = {-1, -1}, errors[2] = {-1, -1};
    pid_t parent = getpid(), pid = -1;
    *p = (struct process){.pidfd = -1, .control = -1, .errors = -1, .keys = {.lines = true}};
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, control) == 0 &&
        pipe2(errors, O_CLOEXEC) == 0 && (pid = fork()) == 0)
        become(self, argv, control[1], errors[1], parent);
    int failed = errno;
    if (control[1] >= 0)
        close(control[1]);
    if (errors[1] >= 0)
        close(errors[1]);
    if (pid < 0) {
        if (control[0] >= 0)
            close(control[0]);
        if (errors[0] >= 0)
            close(errors[0]);
        return err_set(err, RC_IO, "cannot start %s: %s", name, strerror(failed));
    }
    fcntl(errors[0], F_SETFL, O_NONBLOCK);
    p->pid = pid;
    p->control = control[0];
    p->errors = errors[0];
    p->pidfd = (int)syscall(SYS_pidfd_open, pid, 0); /* it is our child and not reaped: the pid cannot be another's */
    if (p->pidfd < 0)
        PANIC("pidfd_open: %s", strerror(errno));
    fcntl(p->pidfd, F_SETFD, FD_CLOEXEC);
    return RC_OK;
}

void process_signal(const struct process *p, int signo)
{
    if (p->pidfd >= 0)
        syscall(SYS_pidfd_send_signal, p->pidfd, signo, NULL, 0);
}

static void shut(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void process_reap(struct process *p, int *code, int *status)
{
    siginfo_t info = {0};
    while (waitid(P_PID, (id_t)p->pid, &info, WEXITED) < 0 && errno == EINTR)
        ;
    *code = info.si_code;
    *status = info.si_status;
    if (p->errors >= 0)
        process_read_errors(p);
    keyprint_stream_end(&p->keys, keep, p);
    shut(&p->errors);
    shut(&p->control);
    shut(&p->pidfd);
    p->pid = 0;
}

static bool is_known(const pid_t *known, size_t n, pid_t pid)
{
    for (size_t i = 0; i < n; i++)
        if (known[i] == pid)
            return true;
    return false;
}

size_t orphans_left(const pid_t *known, size_t n, bool kill_them)
{
    char path[64], text[16384];
    size_t left = 0;
    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? 0 : read(fd, text, sizeof text); /* more than fit are met the next time */
    if (fd >= 0)
        close(fd);
    for (struct str rest = str_n(text, got > 0 ? (size_t)got : 0); rest.n;) {
        size_t end = str_find(rest, STR(" "));
        int64_t pid;
        bool is_number = str_to_i64(end == SIZE_MAX ? rest : str_n(rest.p, end), &pid);
        rest = end == SIZE_MAX ? str_n("", 0) : str_from(rest, end + 1);
        if (!is_number || is_known(known, n, (pid_t)pid))
            continue;
        if (kill_them)
            kill((pid_t)pid, SIGKILL); /* ours, and not reaped: the pid is still its */
        if (waitpid((pid_t)pid, NULL, WNOHANG) != (pid_t)pid)
            left++;
    }
    return left;
}
