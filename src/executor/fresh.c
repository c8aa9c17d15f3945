/* Whoever sweeps takes only files that it can lock. It may come between the moment that a file is there and that its
 * writer has the lock; such a writer finds it taken, or its file without a name, and begins again with another. */
#include "executor/fresh.h"

#include "executor/objects.h"

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

enum rc fresh_open(int dir, const char *below, const char *what, struct fresh *ret, struct err *err)
{
    struct stat st;
    errno = 0;
    for (int i = 0; i < TRIES; i++) {
        snprintf(ret->name, sizeof ret->name, "%s" PREFIX "%d-%u", below, (int)getpid(), atomic_fetch_add(&last, 1));
        ret->fd = openat(dir, ret->name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (ret->fd < 0 && errno != EEXIST)
            break;
        if (ret->fd >= 0 && flock(ret->fd, LOCK_EX | LOCK_NB) == 0 && fstat(ret->fd, &st) == 0 && st.st_nlink)
            return RC_OK;
        if (ret->fd >= 0)
            close(ret->fd);
        ret->fd = -1;
    }
    return objects_error(err, str_c(what));
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
        int left = openat(fd, e->d_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        if (left >= 0 && flock(left, LOCK_EX | LOCK_NB) == 0)
            (void)unlinkat(fd, e->d_name, 0);
        if (left >= 0)
            close(left);
    }
    if (d)
        closedir(d);
}
