/* The launcher's part of a view (overlay.h). The layers are named by descriptors, so no path needs to be escaped; they
 * are opened here and not passed on, because overlayfs takes only what was opened in its own namespace. The mount
 * covers the workspace at its own path, so the command sees it where it always is. In a user namespace overlayfs keeps
 * its notes in user attributes, since trusted ones are not for it. */
#include "executor/overlay.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
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

static bool show_guarded(int real, int shown, const char *path)
{
    char from[64], to[64];
    int a = open_below(real, path, O_PATH), b = open_below(shown, path, O_PATH);
    snprintf(from, sizeof from, "/proc/self/fd/%d", a);
    snprintf(to, sizeof to, "/proc/self/fd/%d", b);
    bool ok = a >= 0 && b >= 0 && mount(from, to, NULL, MS_BIND | MS_REC, NULL) == 0;
    int e = errno;
    if (a >= 0)
        close(a);
    if (b >= 0)
        close(b);
    errno = e;
    return ok;
}

static bool mount_over(const char *workspace, int real, int upper, int work, bool user_namespace)
{
    char options[200];
    snprintf(options, sizeof options,
             "lowerdir=/proc/self/fd/%d,upperdir=/proc/self/fd/%d,workdir=/proc/self/fd/%d,volatile%s", real, upper,
             work, user_namespace ? ",userxattr" : "");
    /* volatile: a view is used once, so nothing need be synced when it goes. */
    /* Nothing of it may show outside of this namespace. */
    return mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL) == 0 &&
           mount("treadle", workspace, "overlay", MS_NOSUID | MS_NODEV, options) == 0;
}

bool overlay_mount(int view_dir, bool user_namespace, bool in_cwd)
{
    static char plan[PLAN_MAX];
    size_t n;
    if (!read_plan(view_dir, plan, sizeof plan, &n))
        return false;
    const char *end = plan + n, *layers = plan, *workspace = layers + strlen(layers) + 1;
    const char *cwd = workspace < end ? workspace + strlen(workspace) + 1 : end;
    if (cwd >= end) {
        errno = EINVAL;
        return false;
    }
    int real = open(workspace, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int own = open(layers, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int upper = open_below(own, "upper", O_PATH), work = open_below(own, "work", O_PATH);
    bool ok = real >= 0 && upper >= 0 && work >= 0 && mount_over(workspace, real, upper, work, user_namespace);
    int shown = ok ? open(workspace, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
    for (const char *p = cwd + strlen(cwd) + 1; ok && shown >= 0 && p < end; p += strlen(p) + 1)
        ok = show_guarded(real, shown, p);
    ok = ok && shown >= 0 && fchdir(shown) == 0 && (!in_cwd || chdir(cwd) == 0);
    int e = errno;
    int fds[] = {real, own, upper, work, shown};
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    errno = e;
    return ok;
}
