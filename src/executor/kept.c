/* Names come from workflows and may be computed, so every name is made one that no other name is made, and none that
 * begins with a dot or a tilde: such names are ours. */
#include "executor/kept.h"

#include "base/clock.h"
#include "base/sha256.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

enum { LOCK_MS = 10000, POLL_MS = 10 };

bool kept_name(struct arena *a, struct str name, const char *suffix, struct str *ret)
{
    static const char hex[] = "0123456789ABCDEF";
    char out[KEPT_NAME_MAX * 3 + 1];
    size_t n = 0;
    if (!name.n || name.n > KEPT_NAME_MAX)
        return false;
    for (size_t i = 0; i < name.n; i++) {
        unsigned char c = (unsigned char)name.p[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
        if (plain) {
            out[n++] = (char)c;
        } else {
            out[n++] = '%';
            out[n++] = hex[c >> 4];
            out[n++] = hex[c & 15];
        }
    }
    *ret = arena_printf(a, "%.*s%s", (int)n, out, suffix);
    return true;
}

enum rc kept_open(struct beneath *home, struct arena *a, const char *dir, struct str workflow, struct err *err)
{
    struct str name;
    home->fd = -1;
    if (!dir || !workflow.n)
        return err_set(err, RC_INVALID, "there is no place for what this workflow keeps");
    if (!kept_name(a, workflow, "", &name)) { /* a long one */
        struct sha256 h = sha256_of(workflow);
        struct sha256_hex x = sha256_hex(&h);
        name = arena_printf(a, "~%s", x.z);
    }
    return beneath_init(home, a, arena_printf(a, "%s/%.*s", dir, STR_ARG(name)).p, true, err);
}

enum rc kept_lock(const struct beneath *home, bool (*over)(void *ctx), void *ctx, int *ret, struct err *err)
{
    *ret = openat(home->fd, ".lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (*ret < 0)
        return err_set(err, RC_IO, "%.*s/.lock: %s", STR_ARG(home->path), strerror(errno));
    int64_t until = clock_mono_ms() + LOCK_MS;
    while (flock(*ret, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return err_set(err, RC_IO, "%.*s/.lock: %s", STR_ARG(home->path), strerror(errno));
        if (clock_mono_ms() > until || (over && over(ctx)))
            return err_set(err, RC_BUSY, "another run holds what is kept of this workflow");
        nanosleep(&(struct timespec){.tv_nsec = POLL_MS * 1000000L}, NULL);
    }
    return RC_OK;
}
