/* Who owns a journal: a flock on FILE.lock, which the kernel drops when the owner dies, however it dies.
 *
 * The holder's pid is written into the file for messages; the lock decides, never the number. A clean owner removes the
 * file while it still holds the lock, so after locking one must look whether what one locked is still what the name
 * leads to. store_owner() asks by trying a shared lock for an instant; a would-be owner that meets such a question
 * tries again for a moment before it says "busy". A child of the owner between fork and exec holds the lock too, and
 * may outlive it by that moment: where the lock is held and the holder's number belongs to nobody, one waits longer. */
#include "base/panic.h"
#include "store/store_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { TRIES = 20, HEIR_TRIES = 300, TRY_NS = 1000000 };

static int read_pid(int fd)
{
    char text[16] = "";
    ssize_t n = pread(fd, text, sizeof text - 1, 0);
    int64_t pid;
    if (n <= 0 || !str_to_i64(str_trim(str_n(text, (size_t)n)), &pid) || pid <= 0 || pid > INT32_MAX)
        return 0;
    return (int)pid;
}

static bool is_gone(int pid)
{
    return pid > 0 && kill(pid, 0) != 0 && errno == ESRCH;
}

static void pause_briefly(void)
{
    nanosleep(&(struct timespec){0, TRY_NS}, NULL);
}

static bool same_file(int fd, const char *path)
{
    struct stat a, b;
    return fstat(fd, &a) == 0 && stat(path, &b) == 0 && a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

enum rc lock_take(const char *file, struct owner_lock *l, struct err *err)
{
    char *path = sql_path(file, ".lock");
    int pid = 0;
    for (int i = 0; i < TRIES || (i < HEIR_TRIES && is_gone(pid)); i++) {
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0) {
            err_set(err, rc_of_errno(errno), "%s: %s", path, strerror(errno));
            free(path);
            return err->rc;
        }
        bool locked = flock(fd, LOCK_EX | LOCK_NB) == 0;
        if (locked && same_file(fd, path)) {
            char text[16];
            int n = snprintf(text, sizeof text, "%d\n", (int)getpid());
            /* On a full disk the number may be missing from a message; the lock holds all the same. */
            if (ftruncate(fd, 0) != 0 || pwrite(fd, text, (size_t)n, 0) != n)
                (void)!ftruncate(fd, 0);
            *l = (struct owner_lock){fd, path};
            return RC_OK;
        }
        if (!locked)
            pid = read_pid(fd);
        close(fd);
        if (!locked)
            pause_briefly();
    }
    free(path);
    return err_set(err, RC_BUSY, "%s is in use by process %d, which carries the run on; treadle cancel ends it", file,
                   pid);
}

void lock_drop(struct owner_lock *l)
{
    if (!l->path)
        return;
    unlink(l->path);
    close(l->fd);
    free(l->path);
    *l = (struct owner_lock){-1, NULL};
}

int store_owner(const char *file)
{
    char *path = sql_path(file, ".lock");
    int pid = 0;
    for (int i = 0; i < HEIR_TRIES; i++) {
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        pid = fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) != 0 ? read_pid(fd) : 0;
        if (fd >= 0)
            close(fd);
        if (!is_gone(pid))
            break;
        pause_briefly();
    }
    free(path);
    return pid;
}

enum rc store_unlink(const char *file, struct err *err)
{
    struct owner_lock l;
    if (lock_take(file, &l, err))
        return err->rc;
    /* The journal goes first: what is left of an interrupted removal is then rubbish beside a missing file. */
    static const char *const suffix[] = {"", "-wal", "-shm", "-journal", ".new", ".ballast"};
    enum rc rc = RC_OK;
    for (size_t i = 0; i < sizeof suffix / sizeof *suffix; i++) {
        char *path = sql_path(file, suffix[i]);
        if (unlink(path) != 0 && errno != ENOENT && !rc)
            rc = err_set(err, RC_IO, "%s: %s", path, strerror(errno));
        free(path);
    }
    lock_drop(&l);
    return rc;
}
