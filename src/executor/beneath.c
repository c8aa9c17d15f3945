/* openat2 does the work; what is here turns names into relative ones and errno into sentences.
 *
 * beneath_locate() finds the directory entry that an atomic replacement must rename onto. It lets the kernel resolve
 * the name (links included), asks /proc what was reached, and opens the parent of that again, this time with no link
 * allowed at all. If somebody moved things in between, the second step fails or the caller's check of the content
 * does; nothing outside is ever reached, since both steps are beneath.
 *
 * RESOLVE_BENEATH answers EAGAIN when a rename raced with a `..`; that is tried again a bounded number of times. A
 * kernel without openat2 (before 5.6) gives ENOSYS, and everything here fails: there is no second-best way. */
#include "executor/beneath.h"

#include "base/panic.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { RETRIES = 64, MAX_COMPONENTS = 256 };

static int openat2_retry(int dir, const char *path, int flags, mode_t mode, uint64_t resolve)
{
    struct open_how how = {.flags = (uint64_t)(flags | O_CLOEXEC), .mode = mode, .resolve = resolve};
    for (int i = 0;; i++) {
        long fd = syscall(SYS_openat2, dir, path, &how, sizeof how);
        if (fd >= 0 || (errno != EAGAIN && errno != EINTR) || i == RETRIES)
            return (int)fd;
    }
}

static const uint64_t inside = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;

static enum rc explain(struct err *err, int error, struct str path)
{
    switch (error) {
    case ENOENT:
        return err_set(err, RC_NOT_FOUND, "%.*s does not exist", STR_ARG(path));
    case ENOTDIR:
        return err_set(err, RC_NOT_FOUND, "%.*s: a part of the path is not a directory", STR_ARG(path));
    case EXDEV:
        return err_set(err, RC_INVALID, "%.*s leads out of the directory that may be used", STR_ARG(path));
    case ELOOP:
        return err_set(err, RC_INVALID, "%.*s: a symbolic link in it cannot be followed", STR_ARG(path));
    case EISDIR:
        return err_set(err, RC_INVALID, "%.*s is a directory", STR_ARG(path));
    case ENXIO: /* a FIFO without reader, a socket */
        return err_set(err, RC_INVALID, "%.*s is not a regular file", STR_ARG(path));
    case ENAMETOOLONG:
        return err_set(err, RC_INVALID, "the path is too long");
    case EACCES:
    case EPERM:
        return err_set(err, RC_IO, "%.*s: permission denied", STR_ARG(path));
    case ENOSPC:
    case EDQUOT:
        return err_set(err, RC_DISK_FULL, "%.*s: %s", STR_ARG(path), strerror(error));
    default:
        return err_set(err, RC_IO, "%.*s: %s", STR_ARG(path), strerror(error));
    }
}

/* ---- the directory ---- */

static bool make_directories(char *path)
{
    for (char *p = path + 1;; p++) {
        if (*p && *p != '/')
            continue;
        char was = *p;
        *p = 0;
        bool ok = mkdir(path, 0755) == 0 || errno == EEXIST || errno == EISDIR;
        int error = errno;
        *p = was;
        errno = error;
        if (!ok || !was)
            return ok;
    }
}

enum rc beneath_init(struct beneath *b, struct arena *a, const char *path, bool create, struct err *err)
{
    *b = (struct beneath){.fd = -1};
    if (!path || path[0] != '/')
        return err_set(err, RC_INVALID, "%s is not an absolute path", path ? path : "(none)");
    struct str s = str_c(path);
    while (s.n > 1 && s.p[s.n - 1] == '/')
        s.n--;
    char *own = arena_cstr(a, s);
    b->path = str_c(own);
    if (create && !make_directories(own))
        return explain(err, errno, b->path);
    b->fd = open(own, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return b->fd < 0 ? explain(err, errno, b->path) : RC_OK;
}

void beneath_done(struct beneath *b)
{
    if (b->fd >= 0)
        close(b->fd);
    b->fd = -1;
}

/* The absolute path of an open file as the kernel knows it now, or an empty str. */
static struct str real_path(int fd, char out[PATH_MAX])
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, out, PATH_MAX);
    return n <= 0 || n == PATH_MAX ? str_n("", 0) : str_n(out, (size_t)n);
}

/* ---- names ---- */

/* Takes directory `root` off `path`: true when `path` is it or lies below, textually. */
static bool strip_root(struct str root, struct str path, struct str *rest)
{
    if (!root.n || !str_starts(path, root))
        return false;
    struct str r = str_from(path, root.n);
    if (root.n > 1 && r.n && r.p[0] != '/')
        return false;
    while (r.n && r.p[0] == '/')
        r = str_from(r, 1);
    *rest = r;
    return true;
}

enum rc beneath_relative(const struct beneath *b, struct arena *a, struct str cwd, struct str path, struct str *ret,
                         struct err *err)
{
    if ((path.n && memchr(path.p, 0, path.n)) || (cwd.n && memchr(cwd.p, 0, cwd.n)))
        return err_set(err, RC_INVALID, "a path must not hold a NUL character");
    if (path.n + cwd.n >= PATH_MAX - 2)
        return err_set(err, RC_INVALID, "the path is too long");
    if (path.n && path.p[0] == '/') {
        char text[PATH_MAX];
        struct str rest;
        if (!strip_root(b->path, path, &rest) && !strip_root(real_path(b->fd, text), path, &rest))
            return err_set(err, RC_INVALID, "%.*s is outside of %.*s", STR_ARG(path), STR_ARG(b->path));
        *ret = rest.n ? arena_str(a, rest) : STR(".");
        return RC_OK;
    }
    if (cwd.n && !str_is(cwd, ".") && path.n)
        *ret = arena_printf(a, "%.*s/%.*s", STR_ARG(cwd), STR_ARG(path));
    else
        *ret = arena_str(a, path.n ? path : cwd.n ? cwd : STR("."));
    return RC_OK;
}

static bool name_copy(char out[PATH_MAX], struct str s)
{
    if (s.n >= PATH_MAX || (s.n && memchr(s.p, 0, s.n)))
        return false;
    if (s.n)
        memcpy(out, s.p, s.n);
    out[s.n] = 0;
    if (!s.n)
        memcpy(out, ".", 2);
    return true;
}

enum rc beneath_open(const struct beneath *b, struct str rel, int flags, int *ret, struct err *err)
{
    char path[PATH_MAX];
    if (!name_copy(path, rel))
        return explain(err, ENAMETOOLONG, rel);
    /* O_NONBLOCK so that a FIFO cannot make us wait; openat2 does not allow it together with O_PATH. */
    int extra = flags & O_PATH ? 0 : O_NONBLOCK | O_NOCTTY;
    int fd = openat2_retry(b->fd, path, flags | extra, flags & O_CREAT ? 0600 : 0, inside);
    if (fd < 0)
        return explain(err, errno, rel);
    *ret = fd;
    return RC_OK;
}

enum rc beneath_open_file(const struct beneath *b, struct str rel, int flags, int *ret, struct stat *st,
                          struct err *err)
{
    /* Look before opening: opening a device can have effects of its own. */
    int probe;
    enum rc rc = beneath_open(b, rel, O_PATH, &probe, err);
    if (rc)
        return rc;
    bool ok = fstat(probe, st) == 0;
    close(probe);
    if (!ok)
        return explain(err, errno, rel);
    if (S_ISDIR(st->st_mode))
        return explain(err, EISDIR, rel);
    if (!S_ISREG(st->st_mode))
        return explain(err, ENXIO, rel);
    rc = beneath_open(b, rel, flags, ret, err);
    if (rc)
        return rc;
    if (fstat(*ret, st) == 0 && S_ISREG(st->st_mode))
        return RC_OK;
    close(*ret);
    return explain(err, ENXIO, rel);
}

enum rc beneath_directory(const struct beneath *b, struct str rel, int *ret, struct err *err)
{
    char path[PATH_MAX];
    if (!name_copy(path, rel))
        return explain(err, ENAMETOOLONG, rel);
    int fd = openat2_retry(b->fd, path, O_RDONLY | O_DIRECTORY, 0, inside | RESOLVE_NO_SYMLINKS);
    if (fd < 0)
        return explain(err, errno, rel);
    *ret = fd;
    return RC_OK;
}

enum rc beneath_path(const struct beneath *b, struct arena *a, int fd, struct str *ret, struct err *err)
{
    char root[PATH_MAX], text[PATH_MAX];
    struct str rest;
    if (!strip_root(real_path(b->fd, root), real_path(fd, text), &rest))
        return err_set(err, RC_IO, "a directory was moved while it was looked at");
    *ret = rest.n ? arena_str(a, rest) : STR(".");
    return RC_OK;
}

enum rc beneath_error(struct err *err, int error, struct str path)
{
    return explain(err, error, path);
}

/* ---- places ---- */

/* Makes the directories of `dir` one by one; each step is resolved from the root, so links and `..` mean what they
 * mean to the kernel and stay beneath. */
static bool make_beneath(const struct beneath *b, struct str dir)
{
    char path[PATH_MAX];
    unsigned components = 0;
    if (!name_copy(path, dir))
        return false;
    int parent = openat2_retry(b->fd, ".", O_RDONLY | O_DIRECTORY, 0, inside);
    for (size_t at = 0, end; parent >= 0 && at < dir.n; at = end) {
        while (at < dir.n && dir.p[at] == '/')
            at++;
        for (end = at; end < dir.n && dir.p[end] != '/';)
            end++;
        if (end == at)
            break;
        path[end] = 0;
        int next = openat2_retry(b->fd, path, O_RDONLY | O_DIRECTORY, 0, inside);
        if (next < 0 && errno == ENOENT && ++components <= MAX_COMPONENTS &&
            (mkdirat(parent, path + at, 0755) == 0 || errno == EEXIST))
            next = openat2_retry(b->fd, path, O_RDONLY | O_DIRECTORY, 0, inside);
        int error = errno;
        close(parent);
        errno = error;
        parent = next;
        path[end] = end < dir.n ? '/' : 0;
    }
    if (parent < 0)
        return false;
    close(parent);
    return true;
}

static void split(struct str path, struct str *dir, struct str *name)
{
    size_t i = path.n;
    while (i && path.p[i - 1] != '/')
        i--;
    *name = str_from(path, i);
    while (i && path.p[i - 1] == '/')
        i--;
    *dir = i ? str_n(path.p, i) : STR(".");
}

/* Opens the parent of `real` (a path without links) and makes sure that the entry is still the file seen before. */
static enum rc place_existing(const struct beneath *b, struct arena *a, struct str rel, int seen, struct place *p,
                              struct err *err)
{
    char root_text[PATH_MAX], text[PATH_MAX], dir_name[PATH_MAX];
    struct str real, dir, name;
    if (!strip_root(real_path(b->fd, root_text), real_path(seen, text), &real) || !real.n)
        return err_set(err, RC_IO, "%.*s was moved while it was looked at", STR_ARG(rel));
    p->path = arena_str(a, real);
    split(p->path, &dir, &name);
    p->name = arena_str(a, name);
    if (!name_copy(dir_name, dir))
        return explain(err, ENAMETOOLONG, rel);
    p->dir = openat2_retry(b->fd, dir_name, O_RDONLY | O_DIRECTORY, 0, inside | RESOLVE_NO_SYMLINKS);
    struct stat now;
    if (p->dir < 0)
        return explain(err, errno, rel);
    if (fstatat(p->dir, p->name.p, &now, AT_SYMLINK_NOFOLLOW) == 0 && now.st_ino == p->st.st_ino &&
        now.st_dev == p->st.st_dev)
        return RC_OK;
    place_done(p);
    return err_set(err, RC_IO, "%.*s was moved while it was looked at", STR_ARG(rel));
}

static enum rc place_new(const struct beneath *b, struct arena *a, struct str rel, bool make_parents, struct place *p,
                         struct err *err)
{
    char dir_name[PATH_MAX], root_text[PATH_MAX], text[PATH_MAX];
    struct str dir, name, real;
    split(rel, &dir, &name);
    if (!name.n || str_is(name, ".") || str_is(name, "..") || name.n > NAME_MAX)
        return err_set(err, RC_INVALID, "%.*s does not name a file", STR_ARG(rel));
    p->name = arena_str(a, name);
    if (!name_copy(dir_name, dir))
        return explain(err, ENAMETOOLONG, rel);
    if (make_parents && !make_beneath(b, dir))
        return explain(err, errno, dir);
    p->dir = openat2_retry(b->fd, dir_name, O_RDONLY | O_DIRECTORY, 0, inside);
    if (p->dir < 0) {
        if (errno != ENOENT || make_parents)
            return explain(err, errno, dir);
        p->path = arena_str(a, rel);
        return RC_OK;
    }
    struct stat st;
    if (fstatat(p->dir, p->name.p, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        place_done(p);
        return err_set(err, RC_INVALID, "%.*s is a symbolic link that leads nowhere", STR_ARG(rel));
    }
    if (!strip_root(real_path(b->fd, root_text), real_path(p->dir, text), &real)) {
        place_done(p);
        return err_set(err, RC_IO, "%.*s was moved while it was looked at", STR_ARG(rel));
    }
    p->path = real.n ? arena_printf(a, "%.*s/%.*s", STR_ARG(real), STR_ARG(name)) : p->name;
    return RC_OK;
}

enum rc beneath_locate(const struct beneath *b, struct arena *a, struct str rel, bool make_parents, struct place *ret,
                       struct err *err)
{
    struct place p = {.dir = -1};
    int fd;
    enum rc rc = beneath_open(b, rel, O_PATH, &fd, err);
    if (rc == RC_NOT_FOUND && rel.n && rel.p[rel.n - 1] == '/')
        return err_set(err, RC_INVALID, "%.*s does not name a file", STR_ARG(rel));
    if (rc == RC_NOT_FOUND) {
        rc = place_new(b, a, rel, make_parents, &p, err);
    } else if (rc == RC_OK) {
        p.exists = true;
        if (fstat(fd, &p.st) != 0)
            rc = explain(err, errno, rel);
        else if (S_ISDIR(p.st.st_mode))
            rc = explain(err, EISDIR, rel);
        else if (!S_ISREG(p.st.st_mode))
            rc = explain(err, ENXIO, rel);
        else
            rc = place_existing(b, a, rel, fd, &p, err);
        close(fd);
    }
    if (rc == RC_OK)
        *ret = p;
    return rc;
}

void place_done(struct place *p)
{
    if (p->dir >= 0)
        close(p->dir);
    p->dir = -1;
}
