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
#include <sys/utsname.h>
#include <unistd.h>

/* sys/mount.h and linux/mount.h cannot be included together in this C library. */
extern int mount(const char *source, const char *target, const char *type, unsigned long flags, const void *data);
extern int umount2(const char *target, int flags);
enum { DETACH = 2 };

#define OLD   "/.old"
#define EMPTY "mode=0555,size=64k,nr_inodes=64"

const char *const sandbox_system_dirs[] = {"/usr",    "/bin", "/sbin", "/lib", "/lib32", "/lib64",
                                           "/libx32", "/opt", "/nix",  "/gnu", "/snap",  NULL};
const char *const sandbox_etc[] = {"alternatives",
                                   "bash.bashrc",
                                   "ca-certificates",
                                   "crypto-policies",
                                   "default/locale",
                                   "fonts",
                                   "gai.conf",
                                   "gitconfig",
                                   "group",
                                   "host.conf",
                                   "hostname",
                                   "hosts",
                                   "java-11-openjdk",
                                   "java-17-openjdk",
                                   "java-21-openjdk",
                                   "ld.so.cache",
                                   "ld.so.conf",
                                   "ld.so.conf.d",
                                   "locale.alias",
                                   "localtime",
                                   "lsb-release",

                                   "magic",
                                   "mime.types",

                                   "nsswitch.conf",
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
                                   "resolv.conf",
                                   "services",
                                   "shells",
                                   "ssl/cert.pem",
                                   "ssl/certs",
                                   "ssl/openssl.cnf",
                                   "terminfo",
                                   "timezone",
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
    struct stat st;
    if (snprintf(p, sizeof p, "%s", path) >= (int)sizeof p)
        return false;
    char *slash = strrchr(p, '/');
    if (!slash || slash == p)
        return true;
    *slash = 0;
    return stat(p, &st) == 0 || make_directories(p);
}

static bool harden(const char *path, uint64_t attributes)
{
    struct mount_attr a = {.attr_set = attributes};
    return syscall(SYS_mount_setattr, AT_FDCWD, path, AT_RECURSIVE, &a, sizeof a) == 0;
}

#define READ_ONLY (MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)

static bool make(const char *path, bool directory)
{
    return (directory ? mkdir(path, 0755) : mknod(path, S_IFREG | 0444, 0)) == 0;
}

/* Something to mount a thing of that kind on. */
static bool mount_point(const char *path, bool directory)
{
    struct stat st;
    if (make(path, directory) || (errno == ENOENT && parent_of(path) && make(path, directory)))
        return true;
    return (errno == EEXIST || errno == EROFS) && stat(path, &st) == 0;
}

/* Is it a link to something that is shown as well, so that the link itself will do? */
static bool links_to_system(const char *source, char link[PATH_MAX])
{
    static const char *const to[] = {"usr/", "/usr/", "../usr/", "/etc/"};
    ssize_t n = readlink(source, link, PATH_MAX - 1);
    link[n > 0 ? n : 0] = 0;
    for (size_t i = 0; i < sizeof to / sizeof *to; i++)
        if (strncmp(link, to[i], strlen(to[i])) == 0)
            return true;
    return false;
}

/* Shows what is at `from` (a path in the old root) as `to`, with all that is mounted below. What is not there is not
 * shown. */
static bool show(const char *from, const char *to, bool *mounted)
{
    char source[PATH_MAX], link[PATH_MAX];
    struct stat st;
    *mounted = false;
    if (snprintf(source, sizeof source, OLD "%s", from) >= (int)sizeof source || lstat(source, &st) != 0)
        return true;
    if (S_ISLNK(st.st_mode) && links_to_system(source, link))
        return parent_of(to) && (symlink(link, to) == 0 || errno == EEXIST || errno == EROFS);
    if (S_ISLNK(st.st_mode) && stat(source, &st) != 0)
        return true;
    *mounted = mount_point(to, S_ISDIR(st.st_mode)) && mount(source, to, NULL, MS_BIND | MS_REC, NULL) == 0;
    return *mounted;
}

static bool show_read_only(const char *from, const char *to)
{
    bool mounted;
    return show(from, to, &mounted) && (!mounted || harden(to, READ_ONLY));
}

/* Of a quarter of the machine's memory and what the command may use, the lesser. */
static void root_options(uint64_t memory, char *ret, size_t size)
{
    uint64_t quarter = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE) / 4;
    snprintf(ret, size, "mode=0755,nr_inodes=1m,size=%llu",
             (unsigned long long)(memory && memory < quarter ? memory : quarter));
}

static bool new_root(uint64_t memory)
{
    static const char *const on[] = {"/tmp", "/run", "/mnt", "/usr"};
    bool mounted = false;
    char options[80];
    root_options(memory, options, sizeof options);
    if (mount(NULL, "/", NULL, MS_PRIVATE | MS_REC, NULL) != 0)
        return false;
    for (size_t i = 0; i < sizeof on / sizeof *on && !mounted; i++) {
        mounted = mount("tmpfs", on[i], "tmpfs", MS_NOSUID | MS_NODEV, options) == 0;
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
        if (mknod(to, S_IFREG | 0666, 0) != 0 || mount(from, to, NULL, MS_BIND, NULL) != 0)
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
    bool mounted;
    for (size_t i = 0; sandbox_system_dirs[i]; i++)
        if (!show_read_only(sandbox_system_dirs[i], sandbox_system_dirs[i]))
            return false;
    /* Many small things: made read-only together, for which their directory must be a mount. */
    if (mkdir("/etc", 0755) != 0 || mount("/etc", "/etc", NULL, MS_BIND, NULL) != 0)
        return false;
    for (size_t i = 0; sandbox_etc[i]; i++) {
        snprintf(path, sizeof path, "/etc/%s", sandbox_etc[i]);
        if (!show(path, path, &mounted))
            return false;
    }
    if (!harden("/etc", READ_ONLY))
        return false;
    return mkdir("/tmp", 01777) == 0 && chmod("/tmp", 01777) == 0 && mkdir("/proc", 0555) == 0 &&
           mkdir("/run", 0755) == 0 && mkdir("/var", 0755) == 0 && symlink("/tmp", "/var/tmp") == 0 &&
           symlink("/run", "/var/run") == 0;
}

static bool below(const char *dir, const char *path)
{
    size_t n = strlen(dir);
    return *dir && strncmp(dir, path, n) == 0 && (path[n] == '/' || !path[n] || n == 1);
}

static bool is_directory(int fd, const char *id)
{
    struct stat st;
    char found[64];
    if (fstat(fd, &st) != 0 || !S_ISDIR(st.st_mode))
        return false;
    snprintf(found, sizeof found, "%llu:%llu", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
    return strcmp(found, id) == 0;
}

/* An empty directory over Treadle's state. Inside of the workspace a command before this one may have moved it, or put
 * another in its place, to find it under its new name now: so it must be there and be the same, and what is covered is
 * what was looked at. */
static bool hide_inside(const char *path, const char *id)
{
    char name[64];
    int fd = open(path, O_PATH | O_NOFOLLOW | O_DIRECTORY | O_CLOEXEC);
    bool same = fd >= 0 && is_directory(fd, id);
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    bool ok = same && mount("tmpfs", name, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, EMPTY) == 0;
    int err = same ? errno : ESTALE;
    if (fd >= 0)
        close(fd);
    errno = err;
    return ok;
}

/* The same where it may be among what is read, or where the workspace is inside of it. */
static bool hide_outside(const char *path)
{
    struct stat st;
    if (!*path || lstat(path, &st) != 0)
        return true;
    return S_ISDIR(st.st_mode) && mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, EMPTY) == 0;
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
    if (!make_directories(path) || mount(".", path, NULL, MS_BIND | MS_REC, NULL) != 0 ||
        !harden(path, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV) || chdir(path) != 0)
        return false;
    bool needed = *alias && strcmp(alias, path) != 0 && lstat(alias, &st) != 0;
    return !needed || !parent_of(alias) || symlink(path, alias) == 0 || errno == EEXIST || errno == EROFS;
}

/* Which of the two lies inside the other decides what covers what. */
static bool workspace_and_state(const struct sandbox_view *v)
{
    const char *state = v->place[LAUNCH_PLACE_STATE];
    bool inside = *state && below(v->place[LAUNCH_PLACE_WORKSPACE], state);
    return inside ? workspace(v) && hide_inside(state, v->place[LAUNCH_PLACE_STATE_ID])
                  : hide_outside(state) && workspace(v);
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
    struct stat have, want;
    char source[PATH_MAX];
    for (size_t i = LAUNCH_PLACES; i + 1 < v->nplaces; i += 2) {
        if (snprintf(source, sizeof source, OLD "%s", v->place[i + 1]) >= (int)sizeof source)
            continue;
        bool there = stat(v->place[i], &have) == 0 && stat(source, &want) == 0 && have.st_dev == want.st_dev &&
                     have.st_ino == want.st_ino;
        if (!there && !below(ws, v->place[i]) && !show_read_only(v->place[i + 1], v->place[i]))
            return false;
    }
    return true;
}

/* Numbers for processes are counted for each namespace from Linux 6.14 on. That bounds even root, for whom a limit of
 * processes does not count. On older kernels the same file is the whole machine's and must be left alone. */
static void bound_processes(void)
{
    struct utsname u;
    int major = 0, minor = 0;
    if (uname(&u) != 0 || sscanf(u.release, "%d.%d", &major, &minor) != 2 || major < 6 || (major == 6 && minor < 14))
        return;
    int fd = open("/proc/sys/kernel/pid_max", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return; /* then there is the limit of the user's processes alone */
    dprintf(fd, "%d", SANDBOX_PROCESSES);
    close(fd);
}

static bool own_proc(void)
{
    enum { FLAGS = MS_NOSUID | MS_NODEV | MS_NOEXEC };
    if (mount("proc", "/proc", "proc", FLAGS, NULL) != 0)
        return false;
    bound_processes();
    return mount(NULL, "/proc", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | FLAGS, NULL) == 0;
}

static bool world(const struct sandbox_view *v, const char **stage)
{
    *stage = "a root of its own";
    if (!new_root(v->memory))
        return false;
    *stage = "system directories";
    if (!system_parts())
        return false;
    *stage = "/dev";
    if (!devices())
        return false;
    *stage = "/proc";
    if (!own_proc())
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
