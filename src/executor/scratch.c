/* Removing goes through descriptors, one level at a time: names in there were chosen by a command, and a directory may
 * be swapped for a link at any moment (by others: the command itself is dead by then). Depth is bounded; what is deeper
 * stays, in a directory that the system cleans like all of /tmp. */
#include "executor/scratch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_DEPTH = 200 };

bool scratch_make(char *path, size_t size)
{
    static const char pattern[] = "/tmp/treadle-XXXXXX";
    if (size < sizeof pattern) {
        errno = ENAMETOOLONG;
        return false;
    }
    memcpy(path, pattern, sizeof pattern);
    if (mkdtemp(path))
        return true;
    path[0] = 0;
    return false;
}

/* Also one that was closed to its owner. */
static int open_directory(int dir, const char *name)
{
    char path[64];
    int fd = openat(dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -1;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int sub = chmod(path, 0700) == 0 ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    close(fd);
    return sub;
}

static void empty(int fd, int depth) /* takes the descriptor */
{
    DIR *d = fdopendir(fd);
    struct dirent *e;
    if (!d) {
        close(fd);
        return;
    }
    while ((e = readdir(d))) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        if (unlinkat(dirfd(d), e->d_name, 0) == 0 || depth == MAX_DEPTH)
            continue;
        int sub = open_directory(dirfd(d), e->d_name);
        if (sub >= 0)
            empty(sub, depth + 1);
        (void)unlinkat(dirfd(d), e->d_name, AT_REMOVEDIR);
    }
    closedir(d);
}

void scratch_remove(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0)
        empty(fd, 0);
    (void)rmdir(path);
}
