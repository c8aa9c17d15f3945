/* Namespaces first, limits last, in the order in which the kernel lets them be had.
 *
 * The PID namespace is what makes death certain: when its init ends, for whatever reason, the kernel kills everything
 * in it and lets nobody fork on the way. Root gets one directly. Others get it inside a user namespace in which they
 * are still themselves (one id mapped to itself), so files they create belong to them. Where neither is allowed the
 * caller falls back to a child subreaper (proctree.c), except for requests that need a namespace (no network): these
 * fail closed.
 *
 * The user namespace is made by clone, not unshare: the launcher itself stays outside, so that a refused id mapping
 * costs a child and not the launcher's own identity. The current directory must be set before: clone moves it into
 * the private mounts, while a descriptor would keep pointing to the old ones (getcwd would then fail).
 *
 * A fresh /proc is not decoration: through the old one a command could read the environment and memory of Treadle
 * itself. So that root cannot simply unmount it again, the command keeps only the capabilities in `keep_caps`. */
#include "executor/sandbox.h"

#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FILES_SOFT = 1024, FILES_HARD = 65536 };

/* A list of what is kept, so that capabilities invented later are dropped. */
static const unsigned char keep_caps[] = {
    CAP_CHOWN,  CAP_DAC_OVERRIDE, CAP_FSETID,  CAP_FOWNER,           CAP_NET_RAW,    CAP_SETGID,
    CAP_SETUID, CAP_SETFCAP,      CAP_SETPCAP, CAP_NET_BIND_SERVICE, CAP_SYS_CHROOT, CAP_KILL,
};

static bool write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    size_t n = strlen(text);
    bool ok = write(fd, text, n) == (ssize_t)n;
    close(fd);
    return ok;
}

static bool map_ids(pid_t child)
{
    char path[64], map[64];
    snprintf(path, sizeof path, "/proc/%d/setgroups", (int)child);
    if (!write_file(path, "deny") && errno != ENOENT)
        return false;
    snprintf(path, sizeof path, "/proc/%d/uid_map", (int)child);
    snprintf(map, sizeof map, "%u %u 1", geteuid(), geteuid());
    if (!write_file(path, map))
        return false;
    snprintf(path, sizeof path, "/proc/%d/gid_map", (int)child);
    snprintf(map, sizeof map, "%u %u 1", getegid(), getegid());
    return write_file(path, map);
}

/* fork() with namespaces: the C library has no wrapper that copies the stack. The process has one thread, so nothing
 * of the C library's state needs repair in the child. */
static pid_t fork_into(unsigned long ns)
{
    return (pid_t)syscall(SYS_clone, ns | SIGCHLD, NULL, NULL, NULL, 0L);
}

pid_t sandbox_fork(uint32_t flags, enum launch_isolation *iso)
{
    unsigned long ns = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC;
    if (flags & LAUNCH_NO_NETWORK)
        ns |= CLONE_NEWNET;
    if (!(flags & LAUNCH_SUBREAPER)) {
        *iso = LAUNCH_ISO_PIDNS;
        pid_t pid = fork_into(ns);
        if (pid >= 0)
            return pid;
        *iso = LAUNCH_ISO_USERNS;
        pid = fork_into(ns | CLONE_NEWUSER);
        if (pid == 0 || (pid > 0 && map_ids(pid)))
            return pid;
        if (pid > 0) {
            int err = errno;
            kill(pid, SIGKILL);
            while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
            }
            errno = err;
        }
    }
    if (flags & LAUNCH_NO_NETWORK) {
        errno = flags & LAUNCH_SUBREAPER ? EPERM : errno;
        return -1;
    }
    *iso = LAUNCH_ISO_SUBREAPER;
    return fork();
}

static void loopback_up(void)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    struct ifreq r = {.ifr_name = "lo"};
    if (ioctl(fd, SIOCGIFFLAGS, &r) == 0) {
        r.ifr_flags = (short)(r.ifr_flags | IFF_UP);
        (void)ioctl(fd, SIOCSIFFLAGS, &r);
    }
    close(fd);
}

void sandbox_settle(uint32_t flags)
{
    /* Our mounts must not show outside; mounts made outside may show here. */
    /* In a chroot, / is no mount of its own; then it is enough that /proc is, and lets nothing out. */
    if (mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL) == 0 || mount(NULL, "/proc", NULL, MS_PRIVATE, NULL) == 0)
        (void)mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    if (flags & LAUNCH_NO_NETWORK)
        loopback_up();
}

static void limit(int what, rlim_t soft, rlim_t hard)
{
    struct rlimit r;
    if (getrlimit((__rlimit_resource_t)what, &r) != 0)
        return;
    if (r.rlim_max > hard)
        r.rlim_max = hard;
    r.rlim_cur = soft < r.rlim_max ? soft : r.rlim_max;
    (void)setrlimit((__rlimit_resource_t)what, &r);
}

bool sandbox_confine(void)
{
    limit(RLIMIT_CORE, 0, 0);
    limit(RLIMIT_NOFILE, FILES_SOFT, FILES_HARD);
    for (unsigned cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++) {
        bool keep = false;
        for (size_t i = 0; i < sizeof keep_caps; i++)
            keep |= keep_caps[i] == cap;
        if (!keep)
            (void)prctl(PR_CAPBSET_DROP, cap, 0, 0, 0); /* not ours to drop means not ours to use */
    }
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
}
