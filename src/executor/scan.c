/* A file is trusted to be as it was hashed when inode, size, mode and times are the same and its change time is older
 * than the moment before it was read. That last condition is git's rule for files that change within one tick of the
 * clock: a write after the reading gets a change time that is not older than that moment, however fast it came, so a
 * file that was changed in the same tick is read again. The change time cannot be set by programs. A directory's names
 * are trusted by the same rule, on file systems that are known to keep such times for directories.
 *
 * What is known hangs in a tree of its own, directory by directory, so that looking again is a walk along two sorted
 * lists: no path is built, nothing is looked up. A directory in which nothing has changed keeps its hash.
 *
 * Before anything is read for the first time the whole tree is counted: one that is too large costs only its stats. */
#include "executor/scan_int.h"

#include "base/buf.h"
#include "base/panic.h"
#include "executor/fs_kind.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { READ_TRIES = 4 };

bool scan_is_guarded(const char *name)
{
    static const char *const guarded[] = {".git", ".hg", ".svn", ".jj"};
    for (size_t i = 0; i < sizeof guarded / sizeof *guarded; i++)
        if (strcmp(name, guarded[i]) == 0)
            return true;
    return false;
}

/* ---- stamps ---- */

static int64_t scan_ns(struct timespec t)
{
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t scan_tick(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME_COARSE, &t);
    return scan_ns(t);
}

struct stamp scan_stamp(const struct stat *st, int64_t seen)
{
    return (struct stamp){.ino = st->st_ino,
                          .dev = st->st_dev,
                          .size = st->st_size,
                          .mtime_ns = scan_ns(st->st_mtim),
                          .ctime_ns = scan_ns(st->st_ctim),
                          .seen_ns = seen};
}

static bool stamp_holds(const struct stamp *k, const struct stat *st)
{
    return k->ctime_ns < k->seen_ns && k->ino == st->st_ino && k->dev == st->st_dev && k->size == st->st_size &&
           k->mtime_ns == scan_ns(st->st_mtim) && k->ctime_ns == scan_ns(st->st_ctim);
}

/* ---- what is at a path ---- */

static bool same_stat(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size && a->st_mode == b->st_mode &&
           scan_ns(a->st_mtim) == scan_ns(b->st_mtim) && scan_ns(a->st_ctim) == scan_ns(b->st_ctim);
}

/* A file that goes on changing while it is read is taken as it is in the end. */
static enum rc look_file(struct objects *o, int dir, const char *name, struct stat *st, int64_t *seen, struct node *ret,
                         struct err *err)
{
    struct stat after;
    for (int tries = 0; tries < READ_TRIES; tries++) {
        *seen = scan_tick();
        int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        if (fd < 0)
            return objects_error(err, str_c(name));
        enum rc rc = RC_OK;
        if (fstat(fd, st) != 0 || !S_ISREG(st->st_mode))
            rc = err_set(err, RC_BUSY, "%s changes while it is looked at", name);
        if (rc == RC_OK)
            rc = o ? object_keep(o, fd, &ret->hash, err) : object_hash(fd, &ret->hash, err);
        bool stable = rc == RC_OK && fstat(fd, &after) == 0 && same_stat(st, &after);
        close(fd);
        if (rc || stable)
            return rc;
    }
    return RC_OK;
}

static enum rc look_link(struct objects *o, int dir, const char *name, struct node *ret, struct err *err)
{
    char target[PATH_MAX];
    ssize_t n = readlinkat(dir, name, target, sizeof target);
    if (n < 0 || n == (ssize_t)sizeof target)
        return objects_error(err, str_c(name));
    struct str t = str_n(target, (size_t)n);
    ret->hash = sha256_of(t);
    ret->mode = 0;
    return o ? object_put(o, t, &ret->hash, err) : RC_OK;
}

static enum node_type type_of(mode_t mode)
{
    return S_ISREG(mode) ? NODE_FILE : S_ISLNK(mode) ? NODE_LINK : S_ISDIR(mode) ? NODE_DIR : NODE_OTHER;
}

static enum rc look_at(struct objects *o, int dir, const char *name, struct stat *st, int64_t *seen, struct node *ret,
                       struct err *err)
{
    *ret = (struct node){.type = type_of(st->st_mode), .mode = st->st_mode & 07777};
    *seen = scan_tick();
    enum rc rc = ret->type == NODE_FILE   ? look_file(o, dir, name, st, seen, ret, err)
                 : ret->type == NODE_LINK ? look_link(o, dir, name, ret, err)
                                          : RC_OK;
    if (ret->type == NODE_FILE) {
        ret->mode = st->st_mode & 07777;
        ret->mtime_ns = scan_ns(st->st_mtim);
    }
    return rc;
}

enum rc node_look(struct objects *o, int dir, const char *name, struct node *ret, struct err *err)
{
    struct stat st;
    int64_t seen;
    *ret = (struct node){0};
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT || errno == ENOTDIR ? RC_OK : objects_error(err, str_c(name));
    return look_at(o, dir, name, &st, &seen, ret, err);
}

/* ---- the names in a directory ---- */

void scan_known_free(struct known_dir *k)
{
    if (!k)
        return;
    for (size_t i = 0; i < k->n; i++)
        scan_known_free(k->v[i].dir);
    free(k->v);
    free(k->names);
    free(k);
}

struct known_dir *scan_known_new(void)
{
    struct known_dir *k = calloc(1, sizeof *k);
    CHECK(k);
    return k;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct known *)a)->name, ((const struct known *)b)->name);
}

/* Names lie one after another in a buffer until all are there, because it moves as it grows. */
static enum rc read_names(int dir, struct buf *names, size_t *n, struct err *err)
{
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (!d) {
        enum rc rc = objects_error(err, STR("a directory of the workspace"));
        if (fd >= 0)
            close(fd);
        return rc;
    }
    *n = 0;
    for (struct dirent *e; *n <= SCAN_FILES_MAX && (e = readdir(d));) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        buf_add(names, str_n(e->d_name, strlen(e->d_name) + 1));
        ++*n;
    }
    closedir(d);
    return RC_OK;
}

/* Takes what is known of a name from the old list into the new one. True: they have the same names. */
static bool carry_over(struct known_dir *k, struct known *v, size_t n)
{
    size_t carried = 0;
    for (size_t i = 0, old = 0; i < n; i++) {
        while (old < k->n && strcmp(k->v[old].name, v[i].name) < 0)
            old++;
        if (old == k->n || strcmp(k->v[old].name, v[i].name) != 0)
            continue;
        const char *name = v[i].name;
        v[i] = k->v[old];
        v[i].name = name;
        k->v[old].dir = NULL;
        carried++;
    }
    return carried == n && n == k->n;
}

static enum rc list_again(int dir, struct known_dir *k, struct err *err)
{
    struct buf names;
    size_t n = 0;
    buf_init(&names, (size_t)SCAN_FILES_MAX * (NAME_MAX + 2));
    enum rc rc = read_names(dir, &names, &n, err);
    if (rc) {
        buf_done(&names);
        return rc;
    }
    struct known *v = calloc(n + 1, sizeof *v);
    CHECK(v);
    for (size_t i = 0, at = 0; i < n; at += strlen(names.p + at) + 1)
        v[i++].name = names.p + at;
    if (n)
        qsort(v, n, sizeof *v, by_name);
    k->whole &= carry_over(k, v, n);
    for (size_t i = 0; i < k->n; i++)
        scan_known_free(k->v[i].dir);
    free(k->v);
    free(k->names);
    k->v = v, k->n = n, k->names = names.p;
    return RC_OK;
}

/* ---- the walk ---- */

struct taking {
    struct objects *o;
    const atomic_bool *cancel;
    size_t files, looked, left_alone;
    int64_t bytes;
    uint64_t dev; /* whose directories have times; 0: none */
    bool counting;
    struct buf path; /* of the directory */
    struct err *err;
};

static enum rc within_bounds(const struct taking *t)
{
    if (t->files > SCAN_FILES_MAX)
        return err_set(t->err, RC_LIMIT, "the workspace has more than %d files", SCAN_FILES_MAX);
    if (t->bytes > SCAN_BYTES_MAX)
        return err_set(t->err, RC_LIMIT, "the workspace is larger than %lld MB", (long long)(SCAN_BYTES_MAX >> 20));
    if (t->cancel && atomic_load(t->cancel))
        return err_set(t->err, RC_CANCELLED, "cancelled");
    return RC_OK;
}

static enum rc trouble(const struct taking *t, const char *name)
{
    char path[PATH_MAX + NAME_MAX + 2];
    int e = errno;
    snprintf(path, sizeof path, "%.*s%s%s", (int)t->path.n, t->path.p ? t->path.p : "", t->path.n ? "/" : "", name);
    errno = e;
    return objects_error(t->err, str_c(path));
}

static enum rc take_dir(struct taking *t, int dir, unsigned depth, struct known_dir *k);

static enum rc take_sub(struct taking *t, int dir, struct known *k, unsigned depth)
{
    if (depth >= SCAN_DEPTH_MAX)
        return err_set(t->err, RC_LIMIT, "directories nest more than %d deep", SCAN_DEPTH_MAX);
    int sub = openat(dir, k->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (sub < 0)
        return trouble(t, k->name);
    size_t at = t->path.n;
    if (at)
        buf_addc(&t->path, '/');
    buf_addz(&t->path, k->name);
    if (!k->dir)
        k->dir = scan_known_new();
    enum rc rc = t->path.overflow ? err_set(t->err, RC_LIMIT, "a path is longer than %d bytes", PATH_MAX)
                                  : take_dir(t, sub, depth + 1, k->dir);
    t->path.n = at;
    close(sub);
    return rc;
}

/* What is known of it becomes what it is; *changed: that was something else. */
static enum rc take_entry(struct taking *t, int dir, struct known *k, unsigned depth, bool *changed)
{
    struct stat st;
    struct node was = k->node;
    if (fstatat(dir, k->name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        if (errno != ENOENT)
            return trouble(t, k->name);
        k->node = (struct node){0}; /* gone meanwhile */
        *changed = true;
        return RC_OK;
    }
    struct node now = {.type = type_of(st.st_mode), .mode = S_ISLNK(st.st_mode) ? 0 : st.st_mode & 07777};
    bool guarded = now.type == NODE_DIR && scan_is_guarded(k->name);
    t->files++;
    if (now.type == NODE_FILE)
        t->bytes += st.st_size;
    t->left_alone += now.type == NODE_OTHER;
    enum rc rc = within_bounds(t);
    if (rc)
        return rc;
    if (now.type != NODE_DIR && k->dir) {
        scan_known_free(k->dir);
        k->dir = NULL;
    }
    if (now.type == NODE_DIR && !guarded) {
        rc = take_sub(t, dir, k, depth);
        if (rc || t->counting)
            return rc;
        now.hash = k->dir->hash;
    } else if (t->counting || (was.type == now.type && was.mode == now.mode && now.type != NODE_OTHER && !guarded &&
                               stamp_holds(&k->stamp, &st))) {
        return RC_OK;
    } else if (now.type == NODE_FILE || now.type == NODE_LINK) {
        int64_t seen = 0;
        t->looked++;
        rc = look_at(t->o, dir, k->name, &st, &seen, &now, t->err);
        if (rc)
            return rc;
        k->stamp = scan_stamp(&st, seen);
    } else {
        now.type = NODE_OTHER;
    }
    k->node = now;
    *changed |= was.type != now.type || was.mode != now.mode || memcmp(&was.hash, &now.hash, sizeof was.hash) != 0;
    return RC_OK;
}

static enum rc put_list(struct taking *t, struct known_dir *k)
{
    struct buf out;
    buf_init(&out, TREE_MAX);
    for (size_t i = 0; i < k->n; i++)
        if (k->v[i].node.type != NODE_NONE)
            tree_add(&out, &k->v[i].node, str_c(k->v[i].name));
    enum rc rc = out.overflow ? err_set(t->err, RC_LIMIT, "a directory has too many names")
                              : object_put(t->o, buf_str(&out), &k->hash, t->err);
    buf_done(&out);
    k->whole = rc == RC_OK;
    return rc;
}

static enum rc take_dir(struct taking *t, int dir, unsigned depth, struct known_dir *k)
{
    struct stat st;
    int64_t seen = scan_tick();
    if (fstat(dir, &st) != 0)
        return trouble(t, "");
    enum rc rc = RC_OK;
    if (st.st_dev != t->dev || !stamp_holds(&k->stamp, &st)) {
        rc = list_again(dir, k, t->err);
        k->stamp = rc ? (struct stamp){0} : scan_stamp(&st, seen);
    }
    bool changed = !k->whole;
    for (size_t i = 0; rc == RC_OK && i < k->n; i++)
        rc = take_entry(t, dir, &k->v[i], depth, &changed);
    k->whole = rc == RC_OK && !changed;
    return rc || !changed || t->counting ? rc : put_list(t, k);
}

enum rc scan_take(struct scan *s, struct objects *o, const atomic_bool *cancel, struct sha256 *ret, size_t *left_alone,
                  struct err *err)
{
    struct stat st;
    struct taking t = {.o = o, .cancel = cancel, .err = err};
    if (fstat(s->fd, &st) == 0 && (fs_kind(s->fd) & FS_DIRS_HAVE_TIMES))
        t.dev = st.st_dev;
    enum rc rc = RC_OK;
    if (!s->known)
        s->known = scan_known_new();
    objects_many(o);
    for (int pass = s->counted; pass < 2 && rc == RC_OK; pass++) {
        t.counting = pass == 0;
        t.files = t.looked = t.left_alone = 0, t.bytes = 0;
        buf_init(&t.path, PATH_MAX);
        rc = take_dir(&t, s->fd, 0, s->known);
        buf_done(&t.path);
    }
    struct err second;
    enum rc kept = objects_settle(o, rc ? &second : err);
    rc = rc ? rc : kept;
    s->counted = rc == RC_OK;
    s->entries = t.files;
    s->looked = t.looked;
    if (rc == RC_OK)
        *ret = s->known->hash;
    if (left_alone)
        *left_alone = t.left_alone;
    if (kept) { /* what is known names contents that are lost */
        scan_known_free(s->known);
        s->known = NULL;
    }
    return rc;
}

void scan_init(struct scan *s, int fd)
{
    *s = (struct scan){.fd = fd};
}

void scan_done(struct scan *s)
{
    scan_known_free(s->known);
    *s = (struct scan){.fd = -1};
}
