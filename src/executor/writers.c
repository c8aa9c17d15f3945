/* A file is exchanged for another between the moment in which somebody opens it and the one in which he writes: then he
 * writes into what has no name any more, and it is lost. So before the old file is let go, one waits until all who
 * write have closed it.
 *
 * The kernel tells by a lease for reading, which it gives only while nobody can write; it is given back at once. When a
 * writer closes it, inotify tells; that comes a moment before the kernel counts him off, so one looks once more a
 * little later. Who has mapped the file has it open, too.
 *
 * Only where file systems are local is a refusal to be believed: NFS, CIFS and FUSE refuse for other reasons too, and
 * do not know of writers elsewhere. Nor is a lease given for another user's file, unless to root. In these places what
 * is written in that moment, by one who had the file open before, may be lost; what was written before is seen by all.
 */
#include "executor/writers.h"

#include "base/clock.h"
#include "executor/fs_kind.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <unistd.h>

enum { AFTER_EVENT_MS = 1, WITHOUT_EVENT_MS = 10 };

static bool is_held(int fd)
{
    /* Who opens it for writing while the lease is held sends a signal; this one does nothing. */
    (void)fcntl(fd, F_SETSIG, SIGURG);
    if (fcntl(fd, F_SETLEASE, F_RDLCK) != 0)
        return errno == EAGAIN;
    (void)fcntl(fd, F_SETLEASE, F_UNLCK);
    return false;
}

/* -1: there are too many of those already; then one looks again and again. */
static int watch_closing(int fd)
{
    char path[40];
    int watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (watch >= 0 && inotify_add_watch(watch, path, IN_CLOSE_WRITE) < 0) {
        close(watch);
        watch = -1;
    }
    return watch;
}

/* True: it was closed by somebody, at last. */
static bool wait_closing(int watch, int ms)
{
    struct pollfd p = {.fd = watch, .events = POLLIN};
    char events[4096];
    return poll(&p, 1, ms) > 0 && read(watch, events, sizeof events) > 0;
}

static bool wait_for_writers(int fd, int patience_ms)
{
    int watch = watch_closing(fd);
    int64_t end = clock_mono_ms() + patience_ms;
    bool closed = watch < 0, held = is_held(fd);
    for (int64_t left; held && (left = end - clock_mono_ms()) > 0; held = is_held(fd)) {
        int step = closed ? AFTER_EVENT_MS : WITHOUT_EVENT_MS;
        closed = wait_closing(watch, left < step ? (int)left : step) || watch < 0;
    }
    if (watch >= 0)
        close(watch);
    return held;
}

bool has_writers(int dir, const char *name, int *patience_ms)
{
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return false;
    bool held = (fs_kind(fd) & FS_LOCAL) && is_held(fd);
    if (held && *patience_ms > 0) {
        int64_t begun = clock_mono_ms();
        held = wait_for_writers(fd, *patience_ms < WRITERS_PATIENCE_MS ? *patience_ms : WRITERS_PATIENCE_MS);
        *patience_ms -= (int)(clock_mono_ms() - begun);
    }
    close(fd);
    return held;
}
