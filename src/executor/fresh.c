/* Whoever sweeps takes only files that it can lock. It may come between the moment that a file is there and that its
 * writer has the lock; such a writer finds it taken, or its file without a name, and begins again with another.
 *
 * Locks want a descriptor that may write, for on NFS they are records' locks underneath. */
#include "executor/fresh.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define PREFIX ".new-"
enum { TRIES = 100 };
static atomic_uint last; /* several stores of this process may have the same directory */

/* 1: the new file is locked; 0: whoever sweeps has it, or had it; -1: errno says why it cannot be. */
static int lock_new(int fd)
{
    struct stat st;
    if (flock(fd, LOCK_EX | LOCK_NB) != 0)
        return errno == EWOULDBLOCK ? 0 : -1;
    if (fstat(fd, &st) != 0)
        return -1;
    errno = EWOULDBLOCK; /* it was taken, if it has no name any more */
    return st.st_nlink > 0;
}

enum rc fresh_open(int dir, const char *below, const char *what, struct fresh *ret, struct err *err)
{
    int locked = 0;
    for (int i = 0; i < TRIES && locked == 0; i++) {
        snprintf(ret->name, sizeof ret->name, "%s" PREFIX "%d-%u", below, (int)getpid(), atomic_fetch_add(&last, 1));
        ret->fd = openat(dir, ret->name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (ret->fd < 0 && errno == EEXIST)
            continue;
        if (ret->fd < 0)
            break;
        locked = lock_new(ret->fd);
        if (locked > 0)
            return RC_OK;
        int error = errno;
        if (locked < 0)
            (void)unlinkat(dir, ret->name, 0);
        close(ret->fd);
        errno = error;
    }
    ret->fd = -1;
    return err_set(err, rc_of_errno(errno), "%s: %s", what, strerror(errno));
}

void fresh_sweep(int dir, const char *below)
{
    int fd = openat(dir, *below ? below : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (!d && fd >= 0)
        close(fd);
    for (struct dirent *e; d && (e = readdir(d));) {
        if (!str_starts(str_c(e->d_name), STR(PREFIX)))
            continue;
        int left = openat(fd, e->d_name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        if (left < 0) /* whole, and not to be written any more, but without its name */
            left = openat(fd, e->d_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        if (left >= 0 && flock(left, LOCK_EX | LOCK_NB) == 0)
            (void)unlinkat(fd, e->d_name, 0);
        if (left >= 0)
            close(left);
    }
    if (d)
        closedir(d);
}
