/* Replacement: write a neighbour, sync it, and swap it in.
 *
 * place_replace() exchanges the two names (RENAME_EXCHANGE) and looks at what it got: if that is not the content the
 * caller expects, somebody changed the file in the last moment, and the exchange is undone; likewise when somebody has
 * it open for writing (writers.h). A plain rename would have destroyed their version. A new file is put in place with
 * RENAME_NOREPLACE. Where a file system knows neither, the content is compared right before a plain rename.
 *
 * The neighbour's name follows from the final name and content, so that a crash leaves at most one, which the next
 * attempt or place_sweep() finds and removes. */
#include "executor/files.h"

#include "base/fd.h"
#include "executor/writers.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum { COMPARE_MAX = 256 << 20 };

enum rc file_slurp(int fd, size_t max, struct arena *a, struct str *ret, struct err *err)
{
    struct stat st;
    size_t guess = fstat(fd, &st) == 0 && st.st_size > 0 ? (size_t)st.st_size : 0;
    if (guess > max)
        return err_set(err, RC_LIMIT, "it is larger than %zu bytes", max);
    size_t cap = guess + 1, n = 0;
    char *p = arena_alloc(a, cap + 1);
    for (;;) {
        if (n == cap) { /* it grows while we read, or has no size (as files in /proc) */
            if (n > max)
                return err_set(err, RC_LIMIT, "it is larger than %zu bytes", max);
            char *q = arena_alloc(a, cap * 2 + 4096);
            memcpy(q, p, n);
            p = q, cap = cap * 2 + 4095;
        }
        ssize_t got = fd_read(fd, p + n, cap - n);
        if (got < 0)
            return err_set(err, RC_IO, "%s", strerror(errno));
        if (got == 0)
            break;
        n += (size_t)got;
    }
    if (n > max)
        return err_set(err, RC_LIMIT, "it is larger than %zu bytes", max);
    p[n] = 0;
    *ret = str_n(p, n);
    return RC_OK;
}

enum rc place_read(const struct place *p, size_t max, struct arena *a, struct str *ret, struct err *err)
{
    int fd = openat(p->dir, p->name.p, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return err_set(err, errno == ENOENT ? RC_NOT_FOUND : RC_IO, "%.*s: %s", STR_ARG(p->path), strerror(errno));
    struct stat st;
    enum rc rc;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        rc = err_set(err, RC_INVALID, "it is not a regular file");
    else
        rc = file_slurp(fd, max, a, ret, err);
    close(fd);
    return rc ? err_wrap(err, "%.*s", STR_ARG(p->path)) : RC_OK;
}

static const char *neighbour(const struct place *p, struct arena *a, struct str content_hex)
{
    struct sha256 name = sha256_of(p->name);
    struct sha256_hex hex = sha256_hex(&name);
    return arena_printf(a, ".treadle-%.12s-%.*s.tmp", hex.z, content_hex.n < 16 ? (int)content_hex.n : 16,
                        content_hex.p)
        .p;
}

void place_sweep(const struct place *p, struct arena *a, struct str content_hex)
{
    for (size_t i = 0; i < content_hex.n; i++) /* it comes from a plan, and becomes part of a name */
        if (!memchr("0123456789abcdef", content_hex.p[i], 16))
            return;
    if (p->dir >= 0)
        (void)unlinkat(p->dir, neighbour(p, a, content_hex), 0);
}

static enum rc fail(struct err *err, const struct place *p)
{
    return err_set(err, rc_of_errno(errno), "%.*s: %s", STR_ARG(p->path), strerror(errno));
}

static enum rc neighbour_write(const struct place *p, const char *name, struct str content, mode_t mode,
                               struct err *err)
{
    int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    int fd = openat(p->dir, name, flags, 0600);
    if (fd < 0 && errno == EEXIST && unlinkat(p->dir, name, 0) == 0)
        fd = openat(p->dir, name, flags, 0600);
    if (fd < 0)
        return fail(err, p);
    if (p->exists && (p->st.st_uid != geteuid() || p->st.st_gid != getegid()))
        (void)!fchown(fd, p->st.st_uid, p->st.st_gid); /* before the mode: it would clear bits of it */
    bool ok = fd_write_all(fd, content) && fchmod(fd, mode & 07777) == 0 && fsync(fd) == 0;
    enum rc rc = ok ? RC_OK : fail(err, p);
    close(fd);
    if (!ok)
        (void)unlinkat(p->dir, name, 0);
    return rc;
}

/* RC_OK when the file `name` in p's directory has the expected content, RC_EXISTS when not. */
static enum rc compare(const struct place *p, const char *name, const struct sha256 *expect, struct err *err)
{
    struct arena a = {0};
    struct place q = *p;
    struct str text;
    q.name = str_c(name);
    enum rc rc = place_read(&q, COMPARE_MAX, &a, &text, err);
    if (rc == RC_OK) {
        struct sha256 now = sha256_of(text);
        rc = memcmp(&now, expect, sizeof now) == 0 ? RC_OK : RC_EXISTS;
    } else if (rc == RC_NOT_FOUND || rc == RC_INVALID || rc == RC_LIMIT) {
        rc = RC_EXISTS;
    }
    arena_done(&a);
    return rc == RC_EXISTS ? err_set(err, RC_EXISTS, "%.*s was changed by somebody else", STR_ARG(p->path)) : rc;
}

static enum rc swap_in(const struct place *p, const char *name, const struct sha256 *expect, struct err *err)
{
    const char *final = p->name.p;
    enum rc rc;
    if (!expect) {
        if (renameat2(p->dir, name, p->dir, final, RENAME_NOREPLACE) == 0)
            return RC_OK;
        if (errno == EINVAL) {
            if (faccessat(p->dir, final, F_OK, AT_SYMLINK_NOFOLLOW) != 0)
                return renameat(p->dir, name, p->dir, final) == 0 ? RC_OK : fail(err, p);
            errno = EEXIST;
        }
        if (errno == EEXIST)
            return err_set(err, RC_EXISTS, "%.*s was made by somebody else", STR_ARG(p->path));
        return fail(err, p);
    }
    if (renameat2(p->dir, name, p->dir, final, RENAME_EXCHANGE) == 0) {
        int patience_ms = WRITERS_PATIENCE_MS;
        bool held = has_writers(p->dir, name, &patience_ms);
        rc = compare(p, name, expect, err);
        if (rc == RC_OK && held)
            rc = err_set(err, RC_EXISTS, "%.*s is open for writing in another process", STR_ARG(p->path));
        if (rc && renameat2(p->dir, name, p->dir, final, RENAME_EXCHANGE) != 0)
            return fail(err, p);
        return rc;
    }
    if (errno == ENOENT)
        return err_set(err, RC_EXISTS, "%.*s was removed by somebody else", STR_ARG(p->path));
    if (errno != EINVAL)
        return fail(err, p);
    rc = compare(p, final, expect, err);
    if (rc)
        return rc;
    return renameat(p->dir, name, p->dir, final) == 0 ? RC_OK : fail(err, p);
}

static enum rc sync_directory(const struct place *p, struct err *err)
{
    return fsync(p->dir) == 0 || errno == EINVAL ? RC_OK : fail(err, p);
}

enum rc place_replace(const struct place *p, struct arena *a, struct str content, mode_t mode,
                      const struct sha256 *expect, struct err *err)
{
    struct sha256 hash = sha256_of(content);
    struct sha256_hex hex = sha256_hex(&hash);
    const char *name = neighbour(p, a, str_c(hex.z));
    enum rc rc = neighbour_write(p, name, content, mode, err);
    if (rc)
        return rc;
    rc = swap_in(p, name, expect, err);
    (void)unlinkat(p->dir, name, 0); /* ours when it failed, the old one when it was exchanged */
    return rc ? rc : sync_directory(p, err);
}

enum rc place_put(const struct place *p, struct arena *a, struct str content, mode_t mode, struct err *err)
{
    struct sha256 hash = sha256_of(content);
    struct sha256_hex hex = sha256_hex(&hash);
    const char *name = neighbour(p, a, str_c(hex.z));
    enum rc rc = neighbour_write(p, name, content, mode, err);
    if (rc)
        return rc;
    if (renameat(p->dir, name, p->dir, p->name.p) != 0) {
        rc = fail(err, p);
        (void)unlinkat(p->dir, name, 0);
        return rc;
    }
    return sync_directory(p, err);
}
