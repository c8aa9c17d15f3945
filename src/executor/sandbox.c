/* Namespaces first, limits last, in the order in which the kernel lets them be had.
 *
 * The PID namespace is what makes death certain: when its init ends, for whatever reason, the kernel kills everything
 * in it and lets nobody fork on the way. In tier strict everybody gets one inside a user namespace, in which they are
 * still themselves: a user has his one id, root all that he has outside, so that the files of others in a workspace
 * stay within his reach; but no capability there counts for anything outside. In tier none root gets a PID namespace
 * directly, and where none is to be had the caller falls back to a child subreaper (proctree.c), except for requests
 * that need a namespace (no network): these fail closed.
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
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_CAPABILITY = 63 };
enum { FILES_SOFT = 1024, FILES_HARD = 65536, CPU_SECONDS = 86400, BACKLOG = 64 };
#define FILE_BYTES ((rlim_t)64 << 30)

/* A list of what is kept, so that capabilities invented later are dropped. */
static const unsigned char keep_caps[] = {
    CAP_CHOWN,  CAP_DAC_OVERRIDE, CAP_FSETID,  CAP_FOWNER,           CAP_NET_RAW,    CAP_SETGID,
    CAP_SETUID, CAP_SETFCAP,      CAP_SETPCAP, CAP_NET_BIND_SERVICE, CAP_SYS_CHROOT, CAP_KILL,
};
/* Without what would give files privileges that count outside, and without what reaches other users' processes. */
static const unsigned char keep_confined[] = {
    CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FSETID, CAP_FOWNER, CAP_SETGID, CAP_SETUID, CAP_SETPCAP, CAP_NET_BIND_SERVICE,
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

/* The ids that this process has, each mapped to itself. */
static bool map_all(const char *own, const char *path)
{
    char text[4096], map[8192];
    size_t n = 0;
    FILE *f = fopen(own, "re");
    bool ok = f != NULL;
    while (f && fgets(text, sizeof text, f)) {
        unsigned long inside, outside, count;
        if (sscanf(text, "%lu %lu %lu", &inside, &outside, &count) == 3 && n < sizeof map - 64)
            n += (size_t)snprintf(map + n, sizeof map - n, "%lu %lu %lu\n", inside, inside, count);
    }
    if (f)
        (void)fclose(f);
    return ok && n && write_file(path, map);
}

static bool map_ids(pid_t child)
{
    char uids[64], gids[64], path[64], map[64];
    snprintf(uids, sizeof uids, "/proc/%d/uid_map", (int)child);
    snprintf(gids, sizeof gids, "/proc/%d/gid_map", (int)child);
    if (geteuid() == 0 && map_all("/proc/self/uid_map", uids))
        return map_all("/proc/self/gid_map", gids);
    snprintf(path, sizeof path, "/proc/%d/setgroups", (int)child);
    if (!write_file(path, "deny") && errno != ENOENT)
        return false;
    snprintf(map, sizeof map, "%u %u 1", geteuid(), geteuid());
    if (!write_file(uids, map))
        return false;
    snprintf(map, sizeof map, "%u %u 1", getegid(), getegid());
    return write_file(gids, map);
}

/* fork() with namespaces: the C library has no wrapper that copies the stack. The process has one thread, so nothing
 * of the C library's state needs repair in the child. */
static pid_t fork_into(unsigned long ns)
{
    return (pid_t)syscall(SYS_clone, ns | SIGCHLD, NULL, NULL, NULL, 0L);
}

/* A user namespace that is of no use without its ids: then it is ended again. */
static pid_t fork_mapped(unsigned long ns)
{
    pid_t pid = fork_into(ns | CLONE_NEWUSER);
    if (pid <= 0 || map_ids(pid))
        return pid;
    int err = errno;
    kill(pid, SIGKILL);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
    }
    errno = err;
    return -1;
}

pid_t sandbox_fork(enum sandbox_tier tier, uint32_t flags, enum launch_isolation *iso)
{
    unsigned long ns = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC;
    *iso = LAUNCH_ISO_SUBREAPER;
    if (tier == SANDBOX_STANDARD)
        return fork();
    if (tier == SANDBOX_STRICT && (flags & LAUNCH_SUBREAPER)) {
        errno = EPERM;
        return -1;
    }
    if (tier == SANDBOX_STRICT) {
        *iso = LAUNCH_ISO_USERNS;
        return fork_mapped(ns | CLONE_NEWUTS | CLONE_NEWCGROUP);
    }
    if (flags & LAUNCH_NO_NETWORK)
        ns |= CLONE_NEWNET;
    if (!(flags & LAUNCH_SUBREAPER)) {
        *iso = LAUNCH_ISO_PIDNS;
        pid_t pid = fork_into(ns);
        if (pid >= 0)
            return pid;
        *iso = LAUNCH_ISO_USERNS;
        pid = fork_mapped(ns);
        if (pid >= 0)
            return pid;
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

/* Shares the table of descriptors with the init, and puts the namespace in the place of /proc there. */
__attribute__((noreturn)) static void network_main(int proc)
{
    int fd = unshare(CLONE_NEWNET) == 0 ? openat(proc, "self/ns/net", O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0 || dup3(fd, proc, O_CLOEXEC) < 0)
        _exit(errno);
    close(fd);
    loopback_up();
    _exit(0);
}

bool network_begin(struct network *n)
{
    n->fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
    n->helper = n->fd < 0 ? -1 : fork_into(CLONE_FILES);
    if (n->helper == 0)
        network_main(n->fd);
    return n->helper > 0;
}

bool network_enter(const struct network *n)
{
    int status = 0;
    while (waitpid(n->helper, &status, 0) < 0 && errno == EINTR) {
    }
    errno = WIFEXITED(status) ? WEXITSTATUS(status) : ESRCH;
    bool ok = status == 0 && setns(n->fd, CLONE_NEWNET) == 0;
    int err = errno;
    close(n->fd);
    errno = err;
    return ok;
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

static bool in_list(unsigned cap, const unsigned char *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (list[i] == cap)
            return true;
    return false;
}

static void drop_capabilities(enum sandbox_tier tier)
{
    bool confined = tier != SANDBOX_NONE;
    const unsigned char *keep = confined ? keep_confined : keep_caps;
    size_t n = confined ? sizeof keep_confined : sizeof keep_caps;
    for (unsigned cap = 0; cap <= MAX_CAPABILITY; cap++)
        if (!in_list(cap, keep, n) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
            return; /* there are no more; or none is ours to drop, and then none is ours to use */
}

/* In a user namespace of its own a command is counted apart; elsewhere with all else that its user runs. Somewhat above
 * what the launcher allows, so that it is seen to be exceeded, and so that there is little to end then. */
static rlim_t process_limit(const struct sandbox_view *v)
{
    if (v->tier != SANDBOX_STRICT || !v->processes)
        return SANDBOX_PROCESSES;
    return v->processes + v->processes / 4 + 16;
}

bool sandbox_confine(const struct sandbox_view *v, const char **stage)
{
    limit(RLIMIT_CORE, 0, 0);
    limit(RLIMIT_NOFILE, FILES_SOFT, FILES_HARD);
    if (v->tier != SANDBOX_NONE) {
        limit(RLIMIT_NPROC, process_limit(v), process_limit(v));
        limit(RLIMIT_FSIZE, FILE_BYTES, FILE_BYTES);
        limit(RLIMIT_CPU, CPU_SECONDS, CPU_SECONDS);
    }
    *stage = "limits";
    drop_capabilities(v->tier);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return false;
    if (v->tier == SANDBOX_NONE)
        return true;
    *stage = "Landlock";
    if (!landlock_confine(v))
        return false;
    *stage = "the filter of system calls";
    return seccomp_confine(v);
}

int sandbox_listen(void)
{
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons(LAUNCH_PROXY_PORT), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof at) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    int err = errno;
    if (fd >= 0)
        close(fd);
    errno = err;
    return -1;
}
