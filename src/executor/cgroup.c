/* Where groups can be made. The kernel gives a group's controllers to its children only while no process is in it, so
 *
 *   GROUP                   ours by delegation (systemd: Delegate=), controllers on: the base
 *     treadle.main          where we have moved ourselves, and all that we start but commands
 *     treadle.PID           a command's, named for its launcher
 *
 * A process that shares its group with others leaves it as it is: they are not its to move. Whoever is not root may
 * also use a group further up that already has the controllers on and is his, such as the one that systemd gives the
 * programs of a user; root could use any, so root takes only what was made for him.
 *
 * Memory: at the bound the kernel kills all of the group (memory.oom.group), swap is none. Processes: one more cannot
 * be made; the launcher hears of that and ends the command, as it does without groups. */
#include "executor/cgroup.h"

#include "base/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#define MAIN_GROUP "treadle.main"
enum { MAGIC_CGROUP2 = 0x63677270, REMOVE_TRIES = 200 };

static bool read_at(int dir, const char *name, char *text, size_t size)
{
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);
    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = 0;
    return n >= 0;
}

static bool write_at(int dir, const char *name, const char *text)
{
    int fd = openat(dir, name, O_WRONLY | O_CLOEXEC);
    size_t n = strlen(text);
    bool ok = fd >= 0 && write(fd, text, n) == (ssize_t)n;
    int error = errno;
    if (fd >= 0)
        close(fd);
    errno = error;
    return ok;
}

static bool has_word(const char *text, const char *word)
{
    size_t n = strlen(word);
    for (const char *at = text; (at = strstr(at, word)); at += n)
        if ((at == text || at[-1] == ' ') && strchr(" \n", at[n]))
            return true;
    return false;
}

static bool bounds_children(int dir)
{
    char on[256];
    return read_at(dir, "cgroup.subtree_control", on, sizeof on) && has_word(on, "memory") && has_word(on, "pids");
}

/* "/sys/fs/cgroup/PATH" of this process's own group. */
static bool own_path(char *path, size_t size)
{
    static const char *const roots[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};
    char text[4096], *line = text;
    struct statfs fs;
    const char *root = NULL;
    for (size_t i = 0; i < sizeof roots / sizeof *roots && !root; i++)
        if (statfs(roots[i], &fs) == 0 && (unsigned long)fs.f_type == MAGIC_CGROUP2)
            root = roots[i];
    if (!root || !read_at(AT_FDCWD, "/proc/self/cgroup", text, sizeof text))
        return false;
    while (line && strncmp(line, "0::", 3) != 0)
        line = (line = strchr(line, '\n')) ? line + 1 : NULL;
    if (!line)
        return false;
    line[strcspn(line, "\n")] = 0;
    int n = snprintf(path, size, "%s%s", root, line + 3);
    return n > 0 && (size_t)n < size && !strstr(line, "/..");
}

static bool is_alone(int dir)
{
    char text[64], me[32];
    snprintf(me, sizeof me, "%d\n", (int)getpid());
    return read_at(dir, "cgroup.procs", text, sizeof text) && strcmp(text, me) == 0;
}

static bool is_main(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash && strcmp(slash + 1, MAIN_GROUP) == 0;
}

void cgroup_settle(void)
{
    char path[PATH_MAX];
    int dir = own_path(path, sizeof path) && !is_main(path) ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (dir < 0)
        return;
    if (is_alone(dir) && mkdirat(dir, MAIN_GROUP, 0755) == 0) {
        bool moved = write_at(dir, MAIN_GROUP "/cgroup.procs", "0");
        if (!moved || !write_at(dir, "cgroup.subtree_control", "+memory +pids")) {
            if (moved)
                (void)write_at(dir, "cgroup.procs", "0");
            unlinkat(dir, MAIN_GROUP, AT_REMOVEDIR);
        }
    }
    close(dir);
}

/* Groups that dead launchers have left: the kernel refuses to remove what is in use. */
static void sweep(int base)
{
    int fd = openat(base, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    for (const struct dirent *e; d && (e = readdir(d));)
        if (strncmp(e->d_name, "treadle.", 8) == 0 && strcmp(e->d_name, MAIN_GROUP) != 0)
            unlinkat(base, e->d_name, AT_REMOVEDIR);
    if (d)
        closedir(d);
    else if (fd >= 0)
        close(fd);
}

static bool usable(int dir)
{
    return bounds_children(dir) && faccessat(dir, ".", W_OK, AT_EACCESS) == 0 &&
           faccessat(dir, "cgroup.procs", W_OK, AT_EACCESS) == 0;
}

int cgroup_base(char *why, size_t size)
{
    char path[PATH_MAX];
    if (!own_path(path, sizeof path)) {
        snprintf(why, size, "there are no control groups of version 2");
        return -1;
    }
    bool ours = is_main(path);
    for (char *slash; strcmp(path, "/sys/fs/cgroup") != 0 && (slash = strrchr(path, '/')) && (ours || geteuid());
         ours = false) {
        *slash = 0;
        int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (dir >= 0 && usable(dir)) {
            sweep(dir);
            return dir;
        }
        if (dir >= 0)
            close(dir);
    }
    snprintf(why, size, "no group is delegated to us (systemd: Delegate=memory pids)");
    return -1;
}

/* ---- a command's own ---- */

static int open_events(const struct cgroup *g, const char *name)
{
    return openat(g->dir, name, O_RDONLY | O_CLOEXEC);
}

static bool set_bounds(const struct cgroup *g, uint64_t memory, uint32_t processes)
{
    char bytes[32], tasks[32];
    snprintf(bytes, sizeof bytes, "%llu", (unsigned long long)memory);
    snprintf(tasks, sizeof tasks, "%u", processes);
    bool swap = write_at(g->dir, "memory.swap.max", "0") || errno == ENOENT; /* the kernel does not count it */
    return swap && write_at(g->dir, "memory.max", bytes) && write_at(g->dir, "memory.oom.group", "1") &&
           write_at(g->dir, "pids.max", tasks);
}

bool cgroup_make(struct cgroup *g, int base, uint64_t memory, uint32_t processes)
{
    *g = (struct cgroup){.base = base, .dir = -1, .memory_events = -1, .pids_events = -1};
    snprintf(g->name, sizeof g->name, "treadle.%d", (int)getpid());
    if (mkdirat(base, g->name, 0755) != 0)
        return false;
    g->dir = openat(base, g->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = g->dir >= 0 && set_bounds(g, memory, processes) &&
              (g->memory_events = open_events(g, "memory.events")) >= 0 &&
              (g->pids_events = open_events(g, "pids.events")) >= 0;
    if (!ok)
        cgroup_remove(g);
    return ok;
}

bool cgroup_enter(const struct cgroup *g, pid_t pid)
{
    char text[32];
    snprintf(text, sizeof text, "%d", (int)pid);
    return write_at(g->dir, "cgroup.procs", text);
}

/* "NAME 3" at the beginning of a line. */
static bool counts(int fd, const char *name)
{
    char text[512];
    ssize_t got = pread(fd, text, sizeof text - 1, 0);
    size_t n = strlen(name);
    text[got > 0 ? got : 0] = 0;
    for (char *line = text; line; line = (line = strchr(line, '\n')) ? line + 1 : NULL)
        if (strncmp(line, name, n) == 0 && line[n] == ' ')
            return strtoull(line + n, NULL, 10) != 0;
    return false;
}

enum launch_limit cgroup_exceeded(const struct cgroup *g)
{
    return counts(g->memory_events, "oom_kill") ? LAUNCH_LIMIT_MEMORY
           : counts(g->pids_events, "max")      ? LAUNCH_LIMIT_PROCESSES
                                                : LAUNCH_LIMIT_NONE;
}

void cgroup_kill(const struct cgroup *g)
{
    (void)write_at(g->dir, "cgroup.kill", "1"); /* Linux 5.14; proctree_kill() does it everywhere */
}

void cgroup_remove(struct cgroup *g)
{
    int *fds[] = {&g->dir, &g->memory_events, &g->pids_events};
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++) {
        if (*fds[i] >= 0)
            close(*fds[i]);
        *fds[i] = -1;
    }
    for (int i = 0; i < REMOVE_TRIES && unlinkat(g->base, g->name, AT_REMOVEDIR) != 0 && errno == EBUSY; i++)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}
