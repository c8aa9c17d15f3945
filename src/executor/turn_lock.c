/* Files in STATE/turns, of a workspace KEY (device and inode):
 *
 *   KEY             whoever holds a flock on it has the turn; in it: the run, and the run's directory
 *   KEY.TIME.PID.N  somebody waits since TIME, as long as he holds a flock on it
 *
 * The first file alone excludes; tickets only order. So a ticket that is overlooked for a moment costs somebody his
 * place, never two runs the workspace. As with a journal's lock (store/store_lock.c), the holder removes the file
 * before he lets go of it, and whoever has locked it looks whether it is still what the name leads to. Tickets whose
 * owner is dead are removed by whoever meets them.
 *
 * A lock that is free while the file is still there was its holder's when he died. His commands may live a moment
 * longer (launchers hold exec.lock until all is dead; in the service they outlive the engine), so their death is
 * waited for. Then he may come back at once, resumed or started anew by a supervisor, to take back what he had half
 * done; so he has a moment in which nobody else begins. When he comes he needs not stand in the line. */
#include "executor/turn_lock.h"

#include "base/clock.h"
#include "executor/executor.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { GRACE_MS = 2000, TRIES = 20, MARK_MAX = 4096 };

struct mark { /* in the file that is the lock */
    char text[MARK_MAX];
    const char *run, *run_dir; /* empty: nobody's */
};

/* A workspace that is not there yet, and so nobody's, has its path's hash for a name. */
void turn_lock_init(struct turn_lock *l, int dir, const char *workspace, const char *run, const char *run_dir)
{
    struct stat st;
    *l = (struct turn_lock){.dir = dir, .run = run, .run_dir = run_dir, .fd = -1, .ticket = -1};
    if (stat(workspace, &st) == 0)
        snprintf(l->key, sizeof l->key, "%llx-%llx", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
    else
        snprintf(l->key, sizeof l->key, "path-%016llx", (unsigned long long)str_hash(str_c(workspace), 0));
}

/* ---- the line ---- */

/* Is its owner alive? If not, it goes. */
static bool ticket_lives(int dir, const char *name)
{
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return false;
    bool lives = flock(fd, LOCK_SH | LOCK_NB) != 0;
    if (!lives)
        unlinkat(dir, name, 0);
    close(fd);
    return lives;
}

/* Does anybody stand in the line, in front of `number` (empty: anywhere)? */
static bool anyone_in_line(const struct turn_lock *l, const char *number)
{
    size_t n = strlen(l->key);
    int fd = openat(l->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    bool found = false;
    if (!d) {
        if (fd >= 0)
            close(fd);
        return false;
    }
    for (const struct dirent *e; !found && (e = readdir(d));)
        found = strncmp(e->d_name, l->key, n) == 0 && e->d_name[n] == '.' && strcmp(e->d_name, l->number) != 0 &&
                (!number[0] || strcmp(e->d_name, number) < 0) && ticket_lives(l->dir, e->d_name);
    closedir(d);
    return found;
}

static void leave_line(struct turn_lock *l)
{
    if (l->ticket < 0)
        return;
    unlinkat(l->dir, l->number, 0);
    close(l->ticket);
    l->ticket = -1;
    l->number[0] = 0;
}

static bool flock_soon(int fd)
{
    bool locked = false;
    for (int i = 0; i < TRIES && !locked; i++) { /* somebody may be looking whether it is locked */
        locked = flock(fd, LOCK_EX | LOCK_NB) == 0;
        if (!locked)
            nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
    }
    return locked;
}

static bool is_there(int dir, const char *name, int fd)
{
    struct stat a, b;
    return fstat(fd, &a) == 0 && fstatat(dir, name, &b, AT_SYMLINK_NOFOLLOW) == 0 && a.st_ino == b.st_ino &&
           a.st_dev == b.st_dev;
}

/* Without a ticket (the disk is full) one comes whenever nobody stands in the line. */
static void enter_line(struct turn_lock *l)
{
    static unsigned last;
    if (l->ticket >= 0 && is_there(l->dir, l->number, l->ticket))
        return;
    if (l->ticket < 0)
        snprintf(l->number, sizeof l->number, "%.36s.%013llx.%x.%x", l->key, (unsigned long long)clock_mono_ms(),
                 (unsigned)getpid(), ++last);
    else
        close(l->ticket);
    l->ticket = openat(l->dir, l->number, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (l->ticket >= 0 && !flock_soon(l->ticket))
        leave_line(l);
    if (l->ticket < 0)
        l->number[0] = 0;
}

/* ---- the turn ---- */

static void read_mark(int fd, struct mark *m)
{
    ssize_t n = fd < 0 ? 0 : pread(fd, m->text, sizeof m->text - 1, 0);
    m->text[n > 0 ? n : 0] = 0;
    char *end = strchr(m->text, '\n'), *second = end ? strchr(end + 1, '\n') : NULL;
    m->run = m->run_dir = "";
    if (!second) /* it was not written whole */
        return;
    *end = *second = 0;
    m->run = m->text;
    m->run_dir = end + 1;
}

static void write_mark(const struct turn_lock *l)
{
    char text[MARK_MAX];
    int n = snprintf(text, sizeof text, "%s\n%s\n", l->run, l->run_dir);
    /* On a full disk others do not know whose the turn is; it is his all the same. */
    if (n < 0 || (size_t)n >= sizeof text || ftruncate(l->fd, 0) != 0 || pwrite(l->fd, text, (size_t)n, 0) != n)
        (void)!ftruncate(l->fd, 0);
}

/* The lock is ours; may what its last holder has left be built upon? */
static bool is_settled(struct turn_lock *l, const struct mark *m, char who[TURN_WHO_SIZE])
{
    struct err ignored;
    if (!m->run[0] || strcmp(m->run, l->run) == 0)
        return true;
    if (executor_prove_dead(m->run_dir, 0, &ignored) != RC_OK) {
        snprintf(who, TURN_WHO_SIZE, "commands of run %.80s are still alive", m->run);
        l->left_ms = 0;
        return false;
    }
    int64_t now = clock_mono_ms();
    if (!l->left_ms)
        l->left_ms = now;
    snprintf(who, TURN_WHO_SIZE, "run %.80s died while it was writing there", m->run);
    return now - l->left_ms >= GRACE_MS;
}

static bool take(struct turn_lock *l, char who[TURN_WHO_SIZE])
{
    struct mark m;
    int fd = openat(l->dir, l->key, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool locked = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0;
    if (fd < 0)
        snprintf(who, TURN_WHO_SIZE, "its lock in the state directory cannot be had: %s", strerror(errno));
    read_mark(fd, &m);
    if (fd >= 0 && !locked && m.run[0])
        snprintf(who, TURN_WHO_SIZE, "run %.80s is writing there", m.run);
    if (locked && is_there(l->dir, l->key, fd) && is_settled(l, &m, who)) {
        l->fd = fd;
        write_mark(l);
        return true;
    }
    if (fd >= 0)
        close(fd);
    return false;
}

void turn_lock_holder(const struct turn_lock *l, char run[TURN_WHO_SIZE])
{
    struct mark m;
    int fd = openat(l->dir, l->key, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    bool held = fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) != 0;
    read_mark(fd, &m);
    snprintf(run, TURN_WHO_SIZE, "%s", held ? m.run : "");
    if (fd >= 0)
        close(fd);
}

/* Whoever died while he had the turn has it before those in the line. */
static bool comes_back(const struct turn_lock *l)
{
    struct mark m;
    int fd = openat(l->dir, l->key, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    read_mark(fd, &m);
    if (fd >= 0)
        close(fd);
    return strcmp(m.run, l->run) == 0;
}

bool turn_lock_try(struct turn_lock *l, char who[TURN_WHO_SIZE])
{
    snprintf(who, TURN_WHO_SIZE, "other runs come first");
    bool mine = (!anyone_in_line(l, l->number) || comes_back(l)) && take(l, who);
    if (mine) {
        leave_line(l);
        l->left_ms = 0;
    } else {
        enter_line(l);
    }
    return mine;
}

void turn_lock_stand(struct turn_lock *l)
{
    enter_line(l);
}

bool turn_lock_wanted(const struct turn_lock *l)
{
    return anyone_in_line(l, "");
}

void turn_lock_leave(struct turn_lock *l)
{
    leave_line(l);
    l->left_ms = 0;
    if (l->fd < 0)
        return;
    unlinkat(l->dir, l->key, 0);
    close(l->fd);
    l->fd = -1;
}

/* ---- the directory ---- */

/* A lock that nobody has, of a run that is no more: nobody will come back for it. */
static void sweep_mark(int dir, const char *name)
{
    struct mark m;
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    bool free = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 && is_there(dir, name, fd);
    read_mark(fd, &m);
    if (free && access(m.run_dir, F_OK) != 0 && (errno == ENOENT || errno == ENOTDIR))
        unlinkat(dir, name, 0);
    if (fd >= 0)
        close(fd);
}

static void sweep(int dir)
{
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    for (const struct dirent *e; d && (e = readdir(d));) {
        const char *dot = strchr(e->d_name, '.');
        if (!dot)
            sweep_mark(dir, e->d_name);
        else if (dot != e->d_name)
            (void)ticket_lives(dir, e->d_name);
    }
    if (d)
        closedir(d);
    else if (fd >= 0)
        close(fd);
}

enum rc turn_dir_open(const char *state_dir, int *ret, struct err *err)
{
    char path[4096];
    int n = snprintf(path, sizeof path, "%s/turns", state_dir);
    if (n < 0 || (size_t)n >= sizeof path)
        return err_set(err, RC_INVALID, "the path of the state directory is too long");
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return err_set(err, rc_of_errno(errno), "cannot make %s: %s", path, strerror(errno));
    *ret = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (*ret < 0)
        return err_set(err, RC_IO, "cannot open %s: %s", path, strerror(errno));
    sweep(*ret);
    return RC_OK;
}

void turn_dir_renew(const char *state_dir, int dir)
{
    struct stat st;
    struct err ignored; /* it will be tried again, and waiting runs tell that they cannot have their lock */
    int fd = -1;
    if (fstat(dir, &st) != 0 || st.st_nlink || turn_dir_open(state_dir, &fd, &ignored) != RC_OK)
        return;
    (void)!dup3(fd, dir, O_CLOEXEC);
    close(fd);
}
