/* The way to end a process tree where there is no PID namespace.
 *
 * The calling process is a subreaper, so descendants can change session, group and parent but cannot leave the tree:
 * an orphan becomes our child. One pass over /proc reads every parent pid; from that table the descendants follow. A
 * process may fork between the pass and its kill, so passes repeat until waitpid() reports ECHILD: with no children
 * left there are no descendants left. A pass first stops what it finds, so that a fork bomb cannot outrun it.
 *
 * Counting happens ten times a second for each command, and then all processes of the machine would be read for each:
 * proctree_glance() goes down from the top by the kernel's lists of children. Such a list is not a moment's: what exits
 * while it is read may hide a sibling, and whose parent exits moves to another list that has been read already. Most of
 * that takes a process that was listed, or a thread, and is dead afterwards. So every process is looked at again after
 * its lists were read; if one is gone, a zombie, or has not the threads whose lists were read, the glance does not
 * count. What it still misses are the children of a process that ended, and that its parent took notice of, after ours
 * were listed and before that parent's were: nobody who was listed is dead then. The next glance finds them, among
 * ours, unless it happens again; so whoever glances also looks at all processes now and then (LOOK_ALL_MS in
 * launcher.c).
 *
 * A pid found in /proc might belong to a stranger by the time the signal is sent. Therefore signals go through a pidfd
 * that is opened first, and the parent is looked up again after that: what still has its parent in our tree is ours. */
#include "executor/proctree.h"

#include "base/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MAX_PROCESSES = 1 << 16 };

struct entry {
    pid_t pid, ppid;
    bool ours, dead; /* dead: a zombie, at least its first thread */
    uint64_t pages, tasks;
};
struct table {
    struct entry *e;
    size_t n, cap;
};

/* What one read gives of a file of /proc, as a string; -1: nothing. */
static ssize_t read_file(const char *path, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);
    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = 0;
    return n;
}

/* The parent, threads and resident pages from /proc/PID/stat, whose second field is a name in parentheses that may
 * itself hold anything. */
static bool read_stat(pid_t pid, struct entry *ret)
{
    char path[64], text[1024], state;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    if (read_file(path, text, sizeof text) <= 0)
        return false;
    const char *end = strrchr(text, ')');
    long threads, pages;
    int parent;
    if (!end ||
        sscanf(end + 1, " %c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %ld %*d %*u %*u %ld",
               &state, &parent, &threads, &pages) != 4)
        return false;
    *ret = (struct entry){.pid = pid,
                          .ppid = parent,
                          .dead = state == 'Z' || state == 'X',
                          .tasks = (uint64_t)threads,
                          .pages = (uint64_t)pages};
    return true;
}

static int by_pid(const void *a, const void *b)
{
    pid_t x = ((const struct entry *)a)->pid, y = ((const struct entry *)b)->pid;
    return x < y ? -1 : x > y;
}

static void table_load(struct table *t)
{
    DIR *d = opendir("/proc");
    struct dirent *de;
    t->n = 0;
    while (d && (de = readdir(d)) && t->n < MAX_PROCESSES) {
        int64_t pid;
        struct entry e;
        if (!str_to_i64(str_c(de->d_name), &pid) || pid <= 0)
            continue;
        if (!read_stat((pid_t)pid, &e)) /* zombies stay in: of a "zombie" leader other threads may live on */
            continue;
        if (t->n == t->cap) {
            size_t cap = t->cap ? t->cap * 2 : 256;
            struct entry *p = realloc(t->e, cap * sizeof *p);
            if (!p)
                break; /* the next pass, with fewer processes, sees the rest */
            t->e = p, t->cap = cap;
        }
        t->e[t->n++] = e;
    }
    if (d)
        closedir(d);
    if (t->n)
        qsort(t->e, t->n, sizeof *t->e, by_pid);
}

static struct entry *table_find(const struct table *t, pid_t pid)
{
    struct entry key = {.pid = pid};
    return t->n ? bsearch(&key, t->e, t->n, sizeof *t->e, by_pid) : NULL;
}

/* Marks descendants until nothing more changes: pids wrap around, so parents may come after their children. */
static void table_mark(struct table *t, pid_t root)
{
    for (bool more = true; more;) {
        more = false;
        for (size_t i = 0; i < t->n; i++) {
            struct entry *e = &t->e[i];
            if (e->ours || e->pid == root)
                continue;
            const struct entry *parent = e->ppid == root ? NULL : table_find(t, e->ppid);
            if (e->ppid == root || (parent && parent->ours))
                e->ours = more = true;
        }
    }
}

static bool signal_one(const struct table *t, const struct entry *e, pid_t root, int signo)
{
    int fd = pidfd_open(e->pid, 0);
    if (fd < 0)
        return false;
    struct entry now;
    const struct entry *parent;
    bool ours = read_stat(e->pid, &now) && (now.ppid == root || ((parent = table_find(t, now.ppid)) && parent->ours));
    if (ours)
        (void)pidfd_send_signal(fd, signo, NULL, 0);
    close(fd);
    return ours;
}

int proctree_signal(int signo)
{
    struct table t = {0};
    pid_t root = getpid();
    int sent = 0;
    table_load(&t);
    table_mark(&t, root);
    for (size_t i = 0; i < t.n; i++)
        sent += t.e[i].ours && signal_one(&t, &t.e[i], root, signo);
    free(t.e);
    return sent;
}

/* "Pss:  1234 kB" of /proc/PID/smaps_rollup: each page divided by how many have it. */
static bool read_share(pid_t pid, uint64_t *bytes)
{
    char path[64], text[2048];
    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
    if (read_file(path, text, sizeof text) <= 0)
        return false;
    const char *at = strstr(text, "\nPss:");
    unsigned long kb;
    if (!at || sscanf(at, "\nPss: %lu", &kb) != 1)
        return false;
    *bytes = (uint64_t)kb << 10;
    return true;
}

struct proctree_usage proctree_usage(uint64_t enough, uint64_t enough_tasks)
{
    struct table t = {0};
    struct proctree_usage u = {0};
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), shared = 0;
    table_load(&t);
    table_mark(&t, getpid());
    for (size_t i = 0; i < t.n; i++)
        if (t.e[i].ours) {
            u.bytes += t.e[i].pages * page;
            u.tasks += t.e[i].tasks;
        }
    bool exactly = u.bytes > enough && u.tasks <= enough_tasks;
    for (size_t i = 0; exactly && i < t.n && shared <= enough; i++) {
        uint64_t bytes;
        struct entry now; /* it may have ended meanwhile, and then holds nothing */
        if (t.e[i].ours)
            shared += read_share(t.e[i].pid, &bytes) ? bytes : read_stat(t.e[i].pid, &now) ? now.pages * page : 0;
    }
    if (exactly)
        u.bytes = shared;
    free(t.e);
    return u;
}

/* ---- from the top ---- */

enum { GLANCE_MAX = 256 /* processes, and threads */ };
struct glance {
    pid_t pids[GLANCE_MAX];
    size_t n;
};

static bool add_children(struct glance *g, pid_t pid, pid_t thread)
{
    char path[64], text[4096], *end;
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)pid, (int)thread);
    ssize_t n = read_file(path, text, sizeof text);
    if (n < 0 || (size_t)n > sizeof text - 64) /* there may be more */
        return false;
    for (char *at = text;; at = end) {
        long child = strtol(at, &end, 10);
        if (end == at)
            return true;
        if (g->n == GLANCE_MAX)
            return false;
        g->pids[g->n++] = (pid_t)child;
    }
}

/* Of all threads, of which there are as many as that. */
static bool add_of_threads(struct glance *g, const struct entry *e)
{
    if (e->tasks == 1)
        return add_children(g, e->pid, e->pid);
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task", (int)e->pid);
    DIR *d = opendir(path);
    uint64_t seen = 0;
    bool ok = d;
    for (struct dirent *de; ok && (de = readdir(d));) {
        int64_t thread;
        if (str_to_i64(str_c(de->d_name), &thread))
            ok = add_children(g, e->pid, (pid_t)thread) && ++seen <= e->tasks;
    }
    if (d)
        closedir(d);
    return ok && seen == e->tasks;
}

bool proctree_glance(struct proctree_usage *ret)
{
    struct glance g = {.n = 0};
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    *ret = (struct proctree_usage){0};
    if (!add_children(&g, getpid(), getpid()))
        return false;
    for (size_t i = 0; i < g.n; i++) {
        struct entry before, after;
        if (!read_stat(g.pids[i], &before) || before.tasks > GLANCE_MAX - ret->tasks || !add_of_threads(&g, &before) ||
            !read_stat(g.pids[i], &after) || after.dead || after.tasks != before.tasks)
            return false;
        ret->bytes += after.pages * page;
        ret->tasks += after.tasks;
    }
    return true;
}

void proctree_kill(void)
{
    enum { STOP_PASSES = 8 };
    for (int pass = 0;; pass++) {
        int status;
        pid_t pid;
        while ((pid = waitpid(-1, &status, WNOHANG | __WALL)) > 0) {
        }
        if (pid < 0 && errno == ECHILD)
            return;
        if (pass < STOP_PASSES)
            proctree_signal(SIGSTOP);
        proctree_signal(SIGKILL);
        if (pass > 2)
            nanosleep(&(struct timespec){.tv_nsec = pass < 50 ? 500000 : 10000000}, NULL);
    }
}
