/* The launcher's part of a view (overlay.h). The layers are named by descriptors, so no path needs to be escaped; they
 * are opened here and not passed on, because overlayfs takes only what was opened in its own namespace. The mount
 * covers the workspace at its own path, so the command sees it where it always is. In a user namespace overlayfs keeps
 * its notes in user attributes, since trusted ones are not for it. */
#include "executor/overlay.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PLAN_MAX = 1 << 20 };

static bool read_plan(int view_dir, char *plan, size_t size, size_t *n)
{
    int fd = openat(view_dir, "plan", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t got = fd < 0 ? -1 : read(fd, plan, size);
    if (fd >= 0)
        close(fd);
    *n = got > 0 ? (size_t)got : 0;
    return got > 0 && plan[got - 1] == 0;
}

/* In the view, beneath its root. */
static int open_below(int root, const char *path, int flags)
{
    return openat(root, path, flags | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* Flags that a mount from outside has may be locked, and are kept. */
static bool only_read(const char *path)
{
    struct statvfs st;
    unsigned long flags = MS_REMOUNT | MS_BIND | MS_RDONLY;
    if (statvfs(path, &st) != 0)
        return false;
    flags |= st.f_flag & ST_NOSUID ? MS_NOSUID : 0;
    flags |= st.f_flag & ST_NODEV ? MS_NODEV : 0;
    flags |= st.f_flag & ST_NOEXEC ? MS_NOEXEC : 0;
    flags |= st.f_flag & ST_NOATIME ? MS_NOATIME : 0;
    flags |= st.f_flag & ST_RELATIME ? MS_RELATIME : 0;
    return mount(NULL, path, NULL, flags, NULL) == 0;
}

static bool show_guarded(int real, int shown, const char *path, bool read_only)
{
    char from[64], to[64];
    int a = open_below(real, path, O_PATH), b = open_below(shown, path, O_PATH);
    if (a < 0 && errno == ENOENT && read_only) { /* it has gone from the workspace that this one is a copy of */
        if (b >= 0)
            close(b);
        return true;
    }
    snprintf(from, sizeof from, "/proc/self/fd/%d", a);
    snprintf(to, sizeof to, "/proc/self/fd/%d", b);
    bool ok = a >= 0 && b >= 0 && mount(from, to, NULL, MS_BIND | (read_only ? 0 : MS_REC), NULL) == 0;
    if (ok && read_only) { /* what was mounted is above `b` */
        close(b);
        b = open_below(shown, path, O_PATH);
        snprintf(to, sizeof to, "/proc/self/fd/%d", b);
        ok = b >= 0 && only_read(to);
    }
    int e = errno;
    if (a >= 0)
        close(a);
    if (b >= 0)
        close(b);
    errno = e;
    return ok;
}

struct plan {
    const char *how, *guarded, *view, *workspace, *shown, *cwd, *root;
    const char *paths, *end;
};

static bool split(const char *text, size_t n, struct plan *p)
{
    const char **parts[] = {&p->how, &p->guarded, &p->view, &p->workspace, &p->shown, &p->cwd, &p->root};
    p->end = text + n;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (text >= p->end)
            return false;
        *parts[i] = text;
        text += strlen(text) + 1;
    }
    p->paths = text;
    return true;
}

static bool mount_layers(const struct plan *p, int view, bool user_namespace)
{
    char options[200];
    int lower = open(p->workspace, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int upper = open_below(view, "upper", O_PATH), work = open_below(view, "work", O_PATH);
    /* volatile: a view is used once, so nothing need be synced when it goes. */
    snprintf(options, sizeof options,
             "lowerdir=/proc/self/fd/%d,upperdir=/proc/self/fd/%d,workdir=/proc/self/fd/%d,volatile%s", lower, upper,
             work, user_namespace ? ",userxattr" : "");
    bool ok = lower >= 0 && upper >= 0 && work >= 0 &&
              mount("treadle", p->shown, "overlay", MS_NOSUID | MS_NODEV, options) == 0;
    int e = errno, fds[] = {lower, upper, work};
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    errno = e;
    return ok;
}

static bool mount_copy(const struct plan *p, int view)
{
    char from[64];
    int copy = open_below(view, "copy", O_PATH);
    snprintf(from, sizeof from, "/proc/self/fd/%d", copy);
    bool ok = copy >= 0 && mount(from, p->shown, NULL, MS_BIND, NULL) == 0;
    int e = errno;
    if (copy >= 0)
        close(copy);
    errno = e;
    return ok;
}

/* What others have put in its place meanwhile is not followed. */
static bool enter_root(const char *root)
{
    struct open_how how = {.flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
    int fd = (int)syscall(SYS_openat2, AT_FDCWD, root, &how, sizeof how);
    bool ok = fd >= 0 && fchdir(fd) == 0;
    int e = errno;
    if (fd >= 0)
        close(fd);
    errno = e;
    return ok;
}

bool overlay_mount(int view_dir, bool user_namespace, bool in_cwd)
{
    static char text[PLAN_MAX];
    struct plan p = {0};
    size_t n;
    if (!read_plan(view_dir, text, sizeof text, &n))
        return false;
    if (!split(text, n, &p)) {
        errno = EINVAL;
        return false;
    }
    bool copy = strcmp(p.how, OVERLAY_COPY) == 0, read_only = strcmp(p.guarded, OVERLAY_READ) == 0;
    int real = open(p.shown, O_PATH | O_DIRECTORY | O_CLOEXEC), view = open(p.view, O_PATH | O_DIRECTORY | O_CLOEXEC);
    /* Nothing of it may show outside of this namespace. */
    bool ok = real >= 0 && view >= 0 && mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL) == 0 &&
              (copy ? mount_copy(&p, view) : mount_layers(&p, view, user_namespace));
    int shown = ok ? open(p.shown, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
    for (const char *path = p.paths; ok && shown >= 0 && path < p.end; path += strlen(path) + 1)
        ok = show_guarded(real, shown, path, read_only);
    ok = ok && shown >= 0 && fchdir(shown) == 0 && (in_cwd ? chdir(p.cwd) == 0 : enter_root(p.root));
    int e = errno, fds[] = {real, view, shown};
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    errno = e;
    return ok;
}
