/* One mebibyte in reserve beside the journal, given up when the disk is full, so that "paused: no space" can still be
 * written. Made only when the store is idle, never synced, gone after a clean close; losing it costs nothing but the
 * reserve. Real blocks, or it would not free any. */
#include "base/clock.h"
#include "store/store_internal.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { RETRY_MS = 1000 };

void ballast_make(struct store *s)
{
    struct writer *w = &s->writer;
    int64_t now = clock_mono_ms();
    if (w->ballast || now < w->ballast_next)
        return;
    w->ballast_next = now + RETRY_MS;
    struct statvfs v;
    if (statvfs(s->file, &v) != 0 || (int64_t)(v.f_bavail * v.f_frsize) < w->tuning.ballast_min_free)
        return;
    char *path = sql_path(s->file, ".ballast");
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    w->ballast = fd >= 0 && posix_fallocate(fd, 0, STORE_BALLAST) == 0;
    if (fd >= 0)
        close(fd);
    if (!w->ballast)
        unlink(path);
    free(path);
}

void ballast_drop(struct store *s)
{
    char *path = sql_path(s->file, ".ballast");
    unlink(path);
    free(path);
    s->writer.ballast = false;
    s->writer.ballast_next = clock_mono_ms() + RETRY_MS;
}
