/* A file is exchanged for another between the moment in which somebody opens it and the one in which he writes: then he
 * writes into what has no name any more, and it is lost. So before the old file is let go, one waits until all who
 * write have closed it.
 *
 * The kernel tells by a lease for reading, which it gives only while nobody can write; it is given back at once. Only
 * where file systems are local is a refusal to be believed: NFS and CIFS refuse for other reasons too. */
#include "executor/writers.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

enum { TRIES = 50, TRY_NS = 1000000, MAGIC_XFS = 0x58465342, MAGIC_F2FS = (int)0xf2f52010 };

static bool is_local(int fd)
{
    static const long known[] = {EXT4_SUPER_MAGIC, BTRFS_SUPER_MAGIC,     MAGIC_XFS,  (long)(unsigned)MAGIC_F2FS,
                                 TMPFS_MAGIC,      OVERLAYFS_SUPER_MAGIC, RAMFS_MAGIC};
    struct statfs fs;
    if (fstatfs(fd, &fs) != 0)
        return false;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if ((unsigned)fs.f_type == (unsigned)known[i])
            return true;
    return false;
}

bool has_writers(int dir, const char *name)
{
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return false;
    bool open = is_local(fd);
    /* Who opens it for writing while the lease is held sends a signal; this one does nothing. */
    (void)fcntl(fd, F_SETSIG, SIGURG);
    for (int i = 0; open && i < TRIES; i++) {
        open = fcntl(fd, F_SETLEASE, F_RDLCK) != 0 && errno == EAGAIN;
        if (open)
            nanosleep(&(struct timespec){0, TRY_NS}, NULL);
    }
    (void)fcntl(fd, F_SETLEASE, F_UNLCK);
    close(fd);
    return open;
}
