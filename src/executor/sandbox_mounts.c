/* The strict world: a root of its own that holds only what a command may see.
 *
 * A temporary file system becomes the root and the old root a directory of it, from which the pieces are bound one by
 * one: the system read-only, chosen entries of /etc (not those with passwords or host keys), the workspace. Then the
 * old root is let go of. What was not bound does not exist inside: the user's home, journals, other workspaces, the
 * socket of a container service, /run, /sys.
 *
 * The workspace is bound from the current directory, that is from the descriptor with which Treadle opened it, and not
 * by its name, which somebody could have given to something else since. Should Treadle's own state lie inside of it, an
 * empty directory covers that. All sources are named below the old root: a path that leads through an absolute link
 * finds the new root instead, and can reach only what is there already.
 *
 * Everything written to the root, the home and /tmp is in memory (a quarter of the machine's at most), private, and
 * gone with the command. The order matters: mounts are refused once a process is under Landlock. */
#include "executor/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* sys/mount.h and linux/mount.h cannot be included together in this C library. */
extern int mount(const char *source, const char *target, const char *type, unsigned long flags, const void *data);
extern int umount2(const char *target, int flags);
enum { DETACH = 2 };

#define OLD "/.old"

const char *const sandbox_system_dirs[] = {"/usr",    "/bin", "/sbin", "/lib", "/lib32", "/lib64",
                                           "/libx32", "/opt", "/nix",  "/gnu", "/snap",  NULL};
const char *const sandbox_etc[] = {"alternatives",
                                   "bash.bashrc",
                                   "bash_completion.d",
                                   "ca-certificates",
                                   "ca-certificates.conf",
                                   "crypto-policies",
                                   "debian_version",
                                   "default/locale",
                                   "environment",
                                   "fonts",
                                   "gai.conf",
                                   "gitconfig",
                                   "group",
                                   "gss",
                                   "host.conf",
                                   "hostname",
                                   "hosts",
                                   "inputrc",
                                   "java",
                                   "java-11-openjdk",
                                   "java-17-openjdk",
                                   "java-21-openjdk",
                                   "ld.so.cache",
                                   "ld.so.conf",
                                   "ld.so.conf.d",
                                   "locale.alias",
                                   "locale.conf",
                                   "localtime",
                                   "login.defs",
                                   "lsb-release",

                                   "magic",
                                   "mailcap",
                                   "manpath.config",
                                   "mime.types",
                                   "mke2fs.conf",
                                   "mtab",
                                   "nanorc",
                                   "networks",

                                   "nsswitch.conf",
                                   "openal",
                                   "OpenCL",
                                   "os-release",
                                   "passwd",
                                   "perl",
                                   "pki/ca-trust",
                                   "pki/java",
                                   "pki/tls/certs",
                                   "pki/tls/cert.pem",
                                   "pki/tls/openssl.cnf",
                                   "profile",
                                   "profile.d",
                                   "protocols",
                                   "python3",
                                   "python3.11",
                                   "R",
                                   "resolv.conf",
                                   "rpc",
                                   "services",
                                   "sgml",
                                   "shells",
                                   "skel",
                                   "ssl/cert.pem",
                                   "ssl/certs",
                                   "ssl/openssl.cnf",
                                   "subversion",
                                   "terminfo",
                                   "timezone",
                                   "vim",
                                   "vulkan",
                                   "wgetrc",
                                   "xattr.conf",
                                   "xdg",
                                   "xml",
                                   NULL};
const char *const sandbox_devices[] = {"null", "zero", "full", "random", "urandom", "tty", NULL};

static bool make_directories(const char *path)
{
    char p[PATH_MAX];
    if (snprintf(p, sizeof p, "%s", path) >= (int)sizeof p) {
        errno = ENAMETOOLONG;
        return false;
    }
    for (char *s = p + 1;; s++) {
        if (*s && *s != '/')
            continue;
        char was = *s;
        *s = 0;
        if (mkdir(p, 0755) < 0 && errno != EEXIST && errno != EROFS)
            return false;
        *s = was;
        if (!was)
            return true;
    }
}

static bool parent_of(const char *path)
{
    char p[PATH_MAX];
    if (snprintf(p, sizeof p, "%s", path) >= (int)sizeof p)
        return false;
    char *slash = strrchr(p, '/');
    if (!slash || slash == p)
        return true;
    *slash = 0;
    return make_directories(p);
}

static bool harden(const char *path, uint64_t attributes)
{
    struct mount_attr a = {.attr_set = attributes};
    return syscall(SYS_mount_setattr, AT_FDCWD, path, AT_RECURSIVE, &a, sizeof a) == 0;
}

/* `source` is below the old root, or ".". */
static bool bind_on(const char *source, const char *target, uint64_t attributes)
{
    return mount(source, target, NULL, MS_BIND | MS_REC, NULL) == 0 && harden(target, attributes);
}

#define READ_ONLY (MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)

/* Shows what is at `from` (a path in the old root) as `to`. What is not there is not shown. */
static bool show(const char *from, const char *to)
{
    char source[PATH_MAX], link[PATH_MAX];
    struct stat st, seen;
    if (snprintf(source, sizeof source, OLD "%s", from) >= (int)sizeof source || lstat(source, &st) != 0)
        return true;
    if (S_ISLNK(st.st_mode)) {
        ssize_t n = readlink(source, link, sizeof link - 1);
        link[n > 0 ? n : 0] = 0;
        bool to_system = strncmp(link, "usr/", 4) == 0 || strncmp(link, "/usr/", 5) == 0 ||
                         strncmp(link, "../usr/", 7) == 0 || strncmp(link, "/etc/", 5) == 0;
        if (to_system)
            return !parent_of(to) || symlink(link, to) == 0 || errno == EEXIST || errno == EROFS;
        if (stat(source, &st) != 0)
            return true;
    }
    if (stat(to, &seen) == 0 && seen.st_dev == st.st_dev && seen.st_ino == st.st_ino)
        return true; /* inside of what is there already */
    if (S_ISDIR(st.st_mode)) {
        if (!make_directories(to))
            return false;
    } else {
        int fd = parent_of(to) ? open(to, O_WRONLY | O_CREAT | O_CLOEXEC, 0444) : -1;
        if (fd < 0)
            return errno == EROFS;
        close(fd);
    }
    return bind_on(source, to, READ_ONLY);
}

static bool new_root(void)
{
    static const char *const on[] = {"/tmp", "/run", "/mnt", "/usr"};
    bool mounted = false;
    if (mount(NULL, "/", NULL, MS_PRIVATE | MS_REC, NULL) != 0)
        return false;
    for (size_t i = 0; i < sizeof on / sizeof *on && !mounted; i++) {
        mounted = mount("tmpfs", on[i], "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=25%,nr_inodes=1m") == 0;
        if (!mounted)
            continue;
        char old[64];
        snprintf(old, sizeof old, "%s" OLD, on[i]);
        if (mkdir(old, 0700) != 0 || syscall(SYS_pivot_root, on[i], old) != 0)
            return false;
    }
    return mounted;
}

static bool devices(void)
{
    static const struct {
        const char *to, *name;
    } links[] = {{"/proc/self/fd", "/dev/fd"},
                 {"/proc/self/fd/0", "/dev/stdin"},
                 {"/proc/self/fd/1", "/dev/stdout"},
                 {"/proc/self/fd/2", "/dev/stderr"},
                 {"pts/ptmx", "/dev/ptmx"}};
    if (mkdir("/dev", 0755) != 0 || mkdir("/dev/shm", 01777) != 0 || mkdir("/dev/pts", 0755) != 0)
        return false;
    (void)chmod("/dev/shm", 01777);
    for (size_t i = 0; sandbox_devices[i]; i++) {
        char from[64], to[64];
        snprintf(from, sizeof from, OLD "/dev/%s", sandbox_devices[i]);
        snprintf(to, sizeof to, "/dev/%s", sandbox_devices[i]);
        int fd = open(to, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
        if (fd < 0)
            return false;
        close(fd);
        if (mount(from, to, NULL, MS_BIND, NULL) != 0)
            return false;
    }
    for (size_t i = 0; i < sizeof links / sizeof *links; i++)
        if (symlink(links[i].to, links[i].name) != 0)
            return false;
    /* Terminals of its own, where the kernel grants them; few commands want any. */
    (void)mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0600");
    return true;
}

static bool system_parts(void)
{
    char path[PATH_MAX];
    for (size_t i = 0; sandbox_system_dirs[i]; i++)
        if (!show(sandbox_system_dirs[i], sandbox_system_dirs[i]))
            return false;
    for (size_t i = 0; sandbox_etc[i]; i++) {
        snprintf(path, sizeof path, "/etc/%s", sandbox_etc[i]);
        if (!show(path, path))
            return false;
    }
    return mkdir("/tmp", 01777) == 0 && chmod("/tmp", 01777) == 0 && mkdir("/proc", 0555) == 0 &&
           mkdir("/run", 0755) == 0 && mkdir("/var", 0755) == 0 && symlink("/tmp", "/var/tmp") == 0 &&
           symlink("/run", "/var/run") == 0;
}

static bool below(const char *dir, const char *path)
{
    size_t n = strlen(dir);
    return *dir && strncmp(dir, path, n) == 0 && (path[n] == '/' || !path[n] || n == 1);
}

/* An empty directory over Treadle's state, if it can be seen at all. */
static bool hide(const char *path)
{
    struct stat st;
    if (!*path || lstat(path, &st) != 0)
        return true;
    return S_ISDIR(st.st_mode) &&
           mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0555,size=64k,nr_inodes=64") == 0;
}

static bool enter(const char *cwd)
{
    struct open_how how = {.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
    int fd = (int)syscall(SYS_openat2, AT_FDCWD, *cwd ? cwd : ".", &how, sizeof how);
    bool ok = fd >= 0 && fchdir(fd) == 0;
    int err = errno;
    if (fd >= 0)
        close(fd);
    errno = err;
    return ok;
}

static bool workspace(const struct sandbox_view *v)
{
    const char *path = v->place[LAUNCH_PLACE_WORKSPACE], *alias = v->place[LAUNCH_PLACE_ALIAS];
    struct stat st;
    if (!make_directories(path) || !bind_on(".", path, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV) || chdir(path) != 0)
        return false;
    bool needed = *alias && strcmp(alias, path) != 0 && lstat(alias, &st) != 0;
    return !needed || !parent_of(alias) || symlink(path, alias) == 0 || errno == EEXIST || errno == EROFS;
}

/* Which of the two lies inside the other decides what covers what. */
static bool workspace_and_state(const struct sandbox_view *v)
{
    const char *state = v->place[LAUNCH_PLACE_STATE];
    bool inside = below(v->place[LAUNCH_PLACE_WORKSPACE], state);
    return (inside || hide(state)) && workspace(v) && (!inside || hide(state));
}

static bool empty_home(const char *home)
{
    struct stat st;
    if (!*home || lstat(home, &st) == 0)
        return true;
    return make_directories(home) && (chmod(home, 0700) == 0 || errno == ENOENT);
}

static bool readable_places(const struct sandbox_view *v)
{
    const char *ws = v->place[LAUNCH_PLACE_WORKSPACE];
    for (size_t i = LAUNCH_PLACES; i + 1 < v->nplaces; i += 2)
        if (!below(ws, v->place[i]) && !show(v->place[i + 1], v->place[i]))
            return false;
    return true;
}

static bool world(const struct sandbox_view *v, const char **stage)
{
    *stage = "a root of its own";
    if (!new_root())
        return false;
    *stage = "system directories";
    if (!system_parts())
        return false;
    *stage = "/dev";
    if (!devices())
        return false;
    *stage = "/proc";
    if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, NULL) != 0)
        return false;
    *stage = "an empty home";
    if (!empty_home(v->place[LAUNCH_PLACE_HOME]))
        return false;
    *stage = "directories to read";
    if (!readable_places(v))
        return false;
    *stage = "the workspace";
    if (!workspace_and_state(v))
        return false;
    *stage = "letting go of the old root";
    if (umount2(OLD, DETACH) != 0 || rmdir(OLD) != 0)
        return false;
    *stage = "the working directory";
    return enter(v->place[LAUNCH_PLACE_CWD]);
}

bool sandbox_world(const struct sandbox_view *v, const char **stage)
{
    mode_t mask = umask(022);
    bool ok = world(v, stage);
    umask(mask);
    return ok;
}
