/* Landlock: what the process and all its children may open, for the rest of their lives, by the kernel's own walk.
 *
 * In the strict world it is the second border (everything there may be read; only the workspace and the temporary
 * places may be written). In standard it is the only one, and then it has gaps that its documentation names: names,
 * sizes and modes of files can be seen, modes and times of the user's own files be changed.
 *
 * Debian's headers stop at the first version of 2021, so newer rights are written out here; what the running kernel
 * does not know yet is left away. */
#include "executor/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FS_REFER     (1ull << 13) /* 2 */
#define FS_TRUNCATE  (1ull << 14) /* 3 */
#define NET_ALL      3ull         /* 4: bind and connect, TCP */
#define FS_IOCTL_DEV (1ull << 15) /* 5 */
#define SCOPE_ALL    3ull         /* 6: abstract Unix sockets, signals */

#define FILE_READ  (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_EXECUTE)
#define FILE_WRITE (LANDLOCK_ACCESS_FS_WRITE_FILE | FS_TRUNCATE)
#define READ       (FILE_READ | LANDLOCK_ACCESS_FS_READ_DIR)
#define NODES      (LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_BLOCK)
#define FIRST      ((LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1)
#define WRITE      (((FIRST | FS_REFER | FS_TRUNCATE) & ~NODES))
#define DEVICE     (LANDLOCK_ACCESS_FS_READ_FILE | FILE_WRITE | FS_IOCTL_DEV)

struct ruleset_attr {
    uint64_t fs, net, scoped;
};
struct rules {
    int fd;
    uint64_t handled;
    bool failed;
};

int landlock_abi(void)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    return abi > 0 ? (int)abi : 0;
}

/* What is missing needs no rule. */
static void allow(struct rules *r, const char *path, uint64_t access)
{
    if (!path || !*path)
        return;
    int fd = open(path, O_PATH | O_CLOEXEC);
    struct stat st;
    if (fd < 0)
        return;
    if (fstat(fd, &st) == 0) {
        access &= r->handled;
        if (!S_ISDIR(st.st_mode)) /* rights of directories are refused for files */
            access &= FILE_READ | FILE_WRITE | FS_IOCTL_DEV;
        struct landlock_path_beneath_attr a = {.allowed_access = access, .parent_fd = fd};
        if (syscall(SYS_landlock_add_rule, r->fd, LANDLOCK_RULE_PATH_BENEATH, &a, 0) != 0)
            r->failed = true;
    } else {
        r->failed = true;
    }
    close(fd);
}

static void allow_system(struct rules *r, const struct sandbox_view *v)
{
    char path[256];
    for (size_t i = 0; sandbox_system_dirs[i]; i++)
        allow(r, sandbox_system_dirs[i], READ);
    for (size_t i = 0; sandbox_etc[i]; i++) {
        snprintf(path, sizeof path, "/etc/%s", sandbox_etc[i]);
        allow(r, path, READ);
    }
    allow(r, "/proc", READ);
    for (size_t i = LAUNCH_PLACES; i + 1 < v->nplaces; i += 2)
        allow(r, v->place[i + 1], READ);
}

bool landlock_confine(const struct sandbox_view *v)
{
    int abi = landlock_abi();
    char path[64];
    if (v->tier == SANDBOX_STANDARD && abi < LANDLOCK_ABI_NEEDED) {
        errno = ENOSYS;
        return false;
    }
    if (!abi)
        return true; /* strict: the mounts stand alone */
    struct ruleset_attr attr = {.fs = FIRST};
    attr.fs |= abi >= 2 ? FS_REFER : 0;
    attr.fs |= abi >= 3 ? FS_TRUNCATE : 0;
    attr.fs |= abi >= 5 ? FS_IOCTL_DEV : 0;
    attr.net = abi >= 4 && v->tier == SANDBOX_STANDARD && (v->flags & LAUNCH_NO_NETWORK) ? NET_ALL : 0;
    attr.scoped = abi >= LANDLOCK_ABI_SCOPES ? SCOPE_ALL : 0;
    struct rules r = {.handled = attr.fs};
    r.fd = (int)syscall(SYS_landlock_create_ruleset, &attr, abi >= 6 ? sizeof attr : abi >= 4 ? 16u : 8u, 0);
    if (r.fd < 0)
        return false;
    if (v->tier == SANDBOX_STRICT) {
        allow(&r, "/", READ);
        allow(&r, "/tmp", WRITE);
        allow(&r, "/dev/shm", WRITE);
        allow(&r, "/dev/pts", DEVICE);
        allow(&r, v->place[LAUNCH_PLACE_HOME], WRITE);
    } else {
        allow_system(&r, v);
        allow(&r, v->tmp, WRITE);
    }
    allow(&r, v->place[LAUNCH_PLACE_WORKSPACE], WRITE);
    for (size_t i = 0; sandbox_devices[i]; i++) {
        snprintf(path, sizeof path, "/dev/%s", sandbox_devices[i]);
        allow(&r, path, DEVICE);
    }
    if (v->flags & LAUNCH_INTERNAL)
        allow(&r, "/proc/self/exe", READ);
    bool ok = !r.failed && syscall(SYS_landlock_restrict_self, r.fd, 0) == 0;
    int err = errno;
    close(r.fd);
    errno = err;
    return ok;
}
