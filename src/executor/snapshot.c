/* A file is trusted to be as it was hashed when inode, size, mode and times are the same and its change time is older
 * than the moment before it was read. That last condition is git's rule for files that change within one tick of the
 * clock: a write after the reading gets a change time that is not older than that moment, however fast it came, so a
 * file that was changed in the same tick is read again. The change time cannot be set by programs.
 *
 * A directory's list is a text, one entry after another: type, mode, hash, name, NUL. Lists are hashed bottom up, so an
 * unchanged directory is found by its hash and not written again.
 *
 * Before anything is read, the whole tree is counted: a workspace that is too large costs only its stats. */
#include "executor/snapshot.h"

#include "base/buf.h"
#include "base/panic.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { CHUNK = 128 << 10, TREE_MAX = 64 << 20, LINE_HEAD = 1 + 4 + 64, READ_TRIES = 4 };

struct known {
    uint64_t ino, dev;
    int64_t size, mtime_ns, ctime_ns, seen_ns;
    struct sha256 hash;
};

bool node_eq(const struct node *a, const struct node *b)
{
    if (a->type != b->type)
        return false;
    if (a->type == NODE_NONE || a->type == NODE_OTHER)
        return true;
    return a->mode == b->mode && (a->type == NODE_DIR || memcmp(&a->hash, &b->hash, sizeof a->hash) == 0);
}

bool snapshot_is_guarded(const char *name)
{
    static const char *const guarded[] = {".git", ".hg", ".svn", ".jj"};
    for (size_t i = 0; i < sizeof guarded / sizeof *guarded; i++)
        if (strcmp(name, guarded[i]) == 0)
            return true;
    return false;
}

static int64_t ns_of(struct timespec t)
{
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* The clock that the kernel takes inodes' times from. */
static int64_t tick(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME_COARSE, &t);
    return ns_of(t);
}

static enum rc io_error(struct err *err, struct str path)
{
    return err_set(err, errno == ENOSPC || errno == EDQUOT ? RC_DISK_FULL : RC_IO, "%.*s: %s", STR_ARG(path),
                   strerror(errno));
}

/* ---- objects ---- */

static void object_name(const struct sha256 *id, char name[80])
{
    struct sha256_hex x = sha256_hex(id);
    snprintf(name, 80, "objects/%.2s/%s", x.z, x.z + 2);
}

static bool have(struct snapshots *s, const struct sha256 *id)
{
    return map_get(&s->have, str_n((const char *)id->b, sizeof id->b)) != NULL;
}

static void note_have(struct snapshots *s, const struct sha256 *id)
{
    if (have(s, id))
        return;
    struct sha256 *kept = ARENA_NEW(&s->arena, struct sha256);
    *kept = *id;
    map_put(&s->have, str_n((const char *)kept->b, sizeof kept->b), kept);
}

static enum rc make_dir(struct snapshots *s, const char *name, struct err *err)
{
    if (mkdirat(s->dir.fd, name, 0700) == 0 || errno == EEXIST)
        return RC_OK;
    return io_error(err, str_c(name));
}

/* A new file in the store, to be filled and given its name by object_settle(). */
static enum rc object_new(struct snapshots *s, int *ret, struct err *err)
{
    *ret = openat(s->dir.fd, "objects/.new", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    return *ret < 0 ? io_error(err, STR("objects/.new")) : RC_OK;
}

static enum rc object_settle(struct snapshots *s, const struct sha256 *id, struct err *err)
{
    char name[80], dir[16];
    object_name(id, name);
    snprintf(dir, sizeof dir, "%.10s", name);
    enum rc rc = make_dir(s, dir, err);
    if (rc)
        return rc;
    if (renameat(s->dir.fd, "objects/.new", s->dir.fd, name) != 0)
        return io_error(err, str_c(name));
    note_have(s, id);
    return RC_OK;
}

enum rc object_put(struct snapshots *s, struct str content, struct sha256 *ret, struct err *err)
{
    int fd;
    *ret = sha256_of(content);
    if (have(s, ret))
        return RC_OK;
    enum rc rc = object_new(s, &fd, err);
    if (rc)
        return rc;
    while (rc == RC_OK && content.n) {
        ssize_t n = write(fd, content.p, content.n);
        if (n < 0 && errno != EINTR)
            rc = io_error(err, STR("a snapshot"));
        if (n > 0)
            content = str_from(content, (size_t)n);
    }
    close(fd);
    return rc ? rc : object_settle(s, ret, err);
}

enum rc object_open(struct snapshots *s, const struct sha256 *id, int *ret, struct err *err)
{
    char name[80];
    object_name(id, name);
    *ret = openat(s->dir.fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (*ret >= 0)
        return RC_OK;
    return errno == ENOENT ? err_set(err, RC_CORRUPT, "the snapshots lack %s", name) : io_error(err, str_c(name));
}

enum rc object_sync(struct snapshots *s, const struct sha256 *id, struct err *err)
{
    int fd;
    enum rc rc = object_open(s, id, &fd, err);
    if (rc)
        return rc;
    if (fsync(fd) != 0)
        rc = io_error(err, STR("a snapshot"));
    close(fd);
    return rc;
}

/* Hashes what `from` holds, and writes it to `to` unless that is -1. */
static enum rc digest(int from, int to, struct sha256 *ret, struct err *err)
{
    enum rc rc = RC_OK;
    char *piece = malloc(CHUNK);
    struct sha256_stream *h = sha256_new();
    CHECK(piece);
    for (;;) {
        ssize_t n = read(from, piece, CHUNK);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            rc = io_error(err, STR("a file of the workspace"));
        if (n <= 0)
            break;
        sha256_add(h, str_n(piece, (size_t)n));
        for (ssize_t done = 0; to >= 0 && done < n && rc == RC_OK;) {
            ssize_t w = write(to, piece + done, (size_t)(n - done));
            if (w < 0 && errno != EINTR)
                rc = io_error(err, STR("a snapshot"));
            done += w > 0 ? w : 0;
        }
        if (rc)
            break;
    }
    *ret = sha256_end(h);
    free(piece);
    return rc;
}

static enum rc keep_content(struct snapshots *s, int fd, struct sha256 *ret, struct err *err)
{
    int to;
    enum rc rc = object_new(s, &to, err);
    if (rc)
        return rc;
    /* Where the file system can, the blocks are shared, and the clone is what is hashed. */
    bool cloned = ioctl(to, FICLONE, fd) == 0;
    rc = cloned ? digest(to, -1, ret, err) : digest(fd, to, ret, err);
    close(to);
    if (rc)
        return rc;
    if (have(s, ret)) {
        (void)unlinkat(s->dir.fd, "objects/.new", 0);
        return RC_OK;
    }
    return object_settle(s, ret, err);
}

/* ---- what is at a path ---- */

static bool same_stat(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size && a->st_mode == b->st_mode &&
           ns_of(a->st_mtim) == ns_of(b->st_mtim) && ns_of(a->st_ctim) == ns_of(b->st_ctim);
}

/* A file that goes on changing while it is read is taken as it is in the end. */
static enum rc look_file(struct snapshots *s, int dir, const char *name, bool keep, struct stat *st, int64_t *seen,
                         struct node *ret, struct err *err)
{
    struct stat after;
    for (int tries = 0; tries < READ_TRIES; tries++) {
        *seen = tick();
        int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        if (fd < 0)
            return io_error(err, str_c(name));
        enum rc rc = RC_OK;
        if (fstat(fd, st) != 0 || !S_ISREG(st->st_mode))
            rc = err_set(err, RC_BUSY, "%s changes while it is looked at", name);
        if (rc == RC_OK)
            rc = keep ? keep_content(s, fd, &ret->hash, err) : digest(fd, -1, &ret->hash, err);
        bool stable = rc == RC_OK && fstat(fd, &after) == 0 && same_stat(st, &after);
        close(fd);
        if (rc || stable)
            return rc;
    }
    return RC_OK;
}

static enum rc look_link(struct snapshots *s, int dir, const char *name, bool keep, struct node *ret, struct err *err)
{
    char target[PATH_MAX];
    ssize_t n = readlinkat(dir, name, target, sizeof target);
    if (n < 0 || n == (ssize_t)sizeof target)
        return io_error(err, str_c(name));
    struct str t = str_n(target, (size_t)n);
    ret->hash = sha256_of(t);
    ret->mode = 0;
    return keep ? object_put(s, t, &ret->hash, err) : RC_OK;
}

static enum node_type type_of(mode_t mode)
{
    return S_ISREG(mode) ? NODE_FILE : S_ISLNK(mode) ? NODE_LINK : S_ISDIR(mode) ? NODE_DIR : NODE_OTHER;
}

static enum rc look_at(struct snapshots *s, int dir, const char *name, bool keep, struct stat *st, int64_t *seen,
                       struct node *ret, struct err *err)
{
    ret->type = type_of(st->st_mode);
    ret->mode = st->st_mode & 07777;
    enum rc rc = ret->type == NODE_FILE   ? look_file(s, dir, name, keep, st, seen, ret, err)
                 : ret->type == NODE_LINK ? look_link(s, dir, name, keep, ret, err)
                                          : RC_OK;
    if (ret->type == NODE_FILE) {
        ret->mode = st->st_mode & 07777;
        ret->mtime_ns = ns_of(st->st_mtim);
    }
    return rc;
}

enum rc node_look(struct snapshots *s, int dir, const char *name, bool keep, struct node *ret, struct err *err)
{
    struct stat st;
    int64_t seen;
    *ret = (struct node){0};
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT || errno == ENOTDIR ? RC_OK : io_error(err, str_c(name));
    return look_at(s, dir, name, keep, &st, &seen, ret, err);
}

/* ---- the walk ---- */

struct names {
    struct arena arena;
    const char **v;
    size_t n, cap;
};

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static enum rc names_of(int dir, struct names *l, struct err *err)
{
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (!d) {
        enum rc rc = io_error(err, STR("a directory of the workspace"));
        if (fd >= 0)
            close(fd);
        return rc;
    }
    for (struct dirent *e; (e = readdir(d));) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        if (l->n == l->cap) {
            size_t cap = l->cap ? l->cap * 2 : 64;
            const char **v = arena_calloc(&l->arena, cap, sizeof *v);
            if (l->n)
                memcpy(v, l->v, l->n * sizeof *v);
            l->v = v, l->cap = cap;
        }
        l->v[l->n++] = arena_cstr(&l->arena, str_c(e->d_name));
        if (l->n > SNAPSHOT_FILES_MAX)
            break;
    }
    closedir(d);
    if (l->n)
        qsort(l->v, l->n, sizeof *l->v, by_name);
    return RC_OK;
}

struct taking {
    struct snapshots *s;
    const atomic_bool *cancel;
    size_t files, left_alone;
    int64_t bytes;
    bool counting;
    struct buf path;
    struct err *err;
};

static enum rc within_bounds(const struct taking *t)
{
    if (t->files > SNAPSHOT_FILES_MAX)
        return err_set(t->err, RC_LIMIT, "the workspace has more than %d files", SNAPSHOT_FILES_MAX);
    if (t->bytes > SNAPSHOT_BYTES_MAX)
        return err_set(t->err, RC_LIMIT, "the workspace is larger than %lld MB", (long long)(SNAPSHOT_BYTES_MAX >> 20));
    if (t->cancel && atomic_load(t->cancel))
        return err_set(t->err, RC_CANCELLED, "cancelled");
    return RC_OK;
}

static enum rc take_file(struct taking *t, int dir, const char *name, struct stat *st, struct node *ret)
{
    struct known *k = map_get(&t->s->known, buf_str(&t->path));
    if (k && k->ino == st->st_ino && k->dev == st->st_dev && k->size == st->st_size &&
        k->mtime_ns == ns_of(st->st_mtim) && k->ctime_ns == ns_of(st->st_ctim) && k->ctime_ns < k->seen_ns) {
        ret->hash = k->hash;
        ret->mode = st->st_mode & 07777;
        return RC_OK;
    }
    int64_t seen = 0;
    enum rc rc = look_at(t->s, dir, name, true, st, &seen, ret, t->err);
    if (rc)
        return rc;
    if (!k) {
        k = ARENA_NEW(&t->s->arena, struct known);
        map_put(&t->s->known, arena_str(&t->s->arena, buf_str(&t->path)), k);
    }
    *k = (struct known){.ino = st->st_ino,
                        .dev = st->st_dev,
                        .size = st->st_size,
                        .mtime_ns = ns_of(st->st_mtim),
                        .ctime_ns = ns_of(st->st_ctim),
                        .seen_ns = seen,
                        .hash = ret->hash};
    return RC_OK;
}

static void tree_add(struct buf *b, const struct node *n, const char *name)
{
    static const char types[] = {[NODE_FILE] = 'f', [NODE_LINK] = 'l', [NODE_DIR] = 'd', [NODE_OTHER] = 'o'};
    struct sha256_hex x = sha256_hex(&n->hash);
    char head[LINE_HEAD + 1];
    snprintf(head, sizeof head, "%c%04o%s", types[n->type], n->mode & 07777u, x.z);
    buf_add(b, str_n(head, LINE_HEAD));
    buf_add(b, str_n(name, strlen(name) + 1));
}

static enum rc take_dir(struct taking *t, int dir, unsigned depth, struct sha256 *ret);

static enum rc take_entry(struct taking *t, int dir, const char *name, unsigned depth, struct buf *out)
{
    struct stat st;
    struct node node = {0};
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ? RC_OK : io_error(t->err, buf_str(&t->path)); /* gone meanwhile */
    node.type = type_of(st.st_mode);
    node.mode = st.st_mode & 07777;
    bool guarded = node.type == NODE_DIR && snapshot_is_guarded(name);
    if (guarded)
        node.type = NODE_OTHER;
    t->files++;
    if (node.type == NODE_FILE)
        t->bytes += st.st_size;
    t->left_alone += node.type == NODE_OTHER && !guarded;
    enum rc rc = within_bounds(t);
    if (rc)
        return rc;
    if (node.type == NODE_DIR) {
        int sub = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (depth >= SNAPSHOT_DEPTH_MAX)
            rc = err_set(t->err, RC_LIMIT, "directories nest more than %d deep", SNAPSHOT_DEPTH_MAX);
        else if (sub < 0)
            rc = io_error(t->err, buf_str(&t->path));
        else
            rc = take_dir(t, sub, depth + 1, &node.hash);
        if (sub >= 0)
            close(sub);
    } else if (!t->counting && node.type == NODE_FILE) {
        rc = take_file(t, dir, name, &st, &node);
    } else if (!t->counting && node.type == NODE_LINK) {
        rc = look_link(t->s, dir, name, true, &node, t->err);
    }
    if (rc == RC_OK && !t->counting)
        tree_add(out, &node, name);
    return rc;
}

static enum rc take_dir(struct taking *t, int dir, unsigned depth, struct sha256 *ret)
{
    struct names l = {0};
    struct buf out;
    buf_init(&out, TREE_MAX);
    enum rc rc = names_of(dir, &l, t->err);
    size_t at = t->path.n;
    for (size_t i = 0; rc == RC_OK && i < l.n; i++) {
        if (at)
            buf_addc(&t->path, '/');
        buf_addz(&t->path, l.v[i]);
        if (t->path.overflow)
            rc = err_set(t->err, RC_LIMIT, "a path is longer than %d bytes", PATH_MAX);
        else
            rc = take_entry(t, dir, l.v[i], depth, &out);
        t->path.n = at;
    }
    if (rc == RC_OK && !t->counting)
        rc = object_put(t->s, buf_str(&out), ret, t->err);
    buf_done(&out);
    arena_done(&l.arena);
    return rc;
}

enum rc snapshot_take(struct snapshots *s, const atomic_bool *cancel, struct sha256 *ret, size_t *left_alone,
                      struct err *err)
{
    struct taking t = {.s = s, .cancel = cancel, .counting = !s->scanned, .err = err};
    enum rc rc = RC_OK;
    for (int pass = s->scanned; pass < 2 && rc == RC_OK; pass++) {
        t.counting = pass == 0;
        t.files = t.left_alone = 0, t.bytes = 0;
        buf_init(&t.path, PATH_MAX);
        rc = take_dir(&t, s->workspace.fd, 0, ret);
        buf_done(&t.path);
    }
    s->scanned = rc == RC_OK;
    if (left_alone)
        *left_alone = t.left_alone;
    return rc;
}

/* ---- reading one ---- */

static bool entry_read(struct str line, struct tree_entry *e)
{
    static const char types[] = "?fldo";
    const char *type = line.n > LINE_HEAD ? strchr(types + 1, line.p[0]) : NULL;
    if (!type || !*type || !sha256_read(str_n(line.p + 5, 64), &e->node.hash))
        return false;
    e->node.type = (enum node_type)(type - types);
    e->node.mode = 0;
    for (int i = 1; i < 5; i++) {
        if (line.p[i] < '0' || line.p[i] > '7')
            return false;
        e->node.mode = e->node.mode * 8 + (mode_t)(line.p[i] - '0');
    }
    e->name = str_from(line, LINE_HEAD);
    return !memchr(e->name.p, '/', e->name.n) && !str_is(e->name, ".") && !str_is(e->name, "..");
}

enum rc tree_read(struct snapshots *s, const struct sha256 *id, struct arena *a, struct tree *ret, struct err *err)
{
    struct buf b;
    int fd;
    *ret = (struct tree){0};
    enum rc rc = object_open(s, id, &fd, err);
    if (rc)
        return rc;
    buf_init(&b, TREE_MAX);
    for (;;) {
        char *at = buf_reserve(&b, CHUNK);
        ssize_t n = at ? read(fd, at, CHUNK) : -1;
        if (n < 0 && at && errno == EINTR)
            continue;
        if (n < 0)
            rc = at ? io_error(err, STR("a snapshot")) : err_set(err, RC_CORRUPT, "a snapshot is damaged");
        if (n <= 0)
            break;
        b.n += (size_t)n;
    }
    close(fd);
    struct str text = arena_str(a, buf_str(&b));
    buf_done(&b);
    size_t most = 0;
    for (size_t i = 0; i < text.n; i++)
        most += !text.p[i];
    ret->v = arena_calloc(a, most + 1, sizeof *ret->v);
    while (rc == RC_OK && text.n) {
        const char *end = memchr(text.p, 0, text.n);
        if (!end || !entry_read(str_n(text.p, (size_t)(end - text.p)), &ret->v[ret->n]))
            return err_set(err, RC_CORRUPT, "a snapshot is damaged");
        ret->n++;
        text = str_from(text, (size_t)(end - text.p) + 1);
    }
    return rc;
}

const struct tree_entry *tree_find(const struct tree *t, struct str name)
{
    size_t low = 0, high = t->n;
    while (low < high) {
        size_t mid = (low + high) / 2;
        int c = str_cmp(name, t->v[mid].name);
        if (c == 0)
            return &t->v[mid];
        if (c < 0)
            high = mid;
        else
            low = mid + 1;
    }
    return NULL;
}

/* The lists read last: operations on many files look up neighbours. */
static enum rc tree_cached(struct snapshots *s, const struct sha256 *id, const struct tree **ret, struct err *err)
{
    for (size_t i = 0; i < TREES_CACHED; i++)
        if (s->cached[i].used && memcmp(&s->cached[i].id, id, sizeof *id) == 0) {
            s->cached[i].used = ++s->uses;
            *ret = s->cached[i].tree;
            return RC_OK;
        }
    struct cached_tree *c = &s->cached[0];
    for (size_t i = 1; i < TREES_CACHED; i++)
        if (s->cached[i].used < c->used)
            c = &s->cached[i];
    arena_done(&c->arena);
    *c = (struct cached_tree){.id = *id};
    struct tree *t = ARENA_NEW(&c->arena, struct tree);
    enum rc rc = tree_read(s, id, &c->arena, t, err);
    if (rc == RC_OK)
        c->used = ++s->uses, c->tree = t;
    *ret = t;
    return rc;
}

enum rc snapshot_lookup(struct snapshots *s, const struct sha256 *id, struct str path, struct node *ret,
                        struct err *err)
{
    struct sha256 dir = *id;
    *ret = (struct node){0};
    while (path.n) {
        const char *slash = memchr(path.p, '/', path.n);
        struct str name = slash ? str_n(path.p, (size_t)(slash - path.p)) : path;
        const struct tree *t;
        enum rc rc = tree_cached(s, &dir, &t, err);
        if (rc)
            return rc;
        const struct tree_entry *e = tree_find(t, name);
        struct node found = e ? e->node : (struct node){0};
        if (!slash)
            *ret = found;
        if (!slash || found.type != NODE_DIR)
            return RC_OK;
        dir = found.hash;
        path = str_from(path, name.n + 1);
    }
    return RC_OK;
}

struct guarded {
    struct arena *a;
    struct str *v;
    size_t n, cap;
};

static enum rc find_guarded(struct snapshots *s, const struct sha256 *id, struct str path, struct guarded *g,
                            struct err *err)
{
    struct arena a = {0};
    struct tree t;
    enum rc rc = tree_read(s, id, &a, &t, err);
    for (size_t i = 0; rc == RC_OK && i < t.n; i++) {
        const struct tree_entry *e = &t.v[i];
        struct str own = path.n ? arena_printf(&a, "%.*s/%.*s", STR_ARG(path), STR_ARG(e->name)) : e->name;
        if (e->node.type == NODE_DIR) {
            rc = find_guarded(s, &e->node.hash, own, g, err);
        } else if (e->node.type == NODE_OTHER && snapshot_is_guarded(arena_cstr(&a, e->name))) {
            if (g->n == g->cap) {
                size_t cap = g->cap ? g->cap * 2 : 8;
                struct str *v = arena_calloc(g->a, cap, sizeof *v);
                if (g->n)
                    memcpy(v, g->v, g->n * sizeof *v);
                g->v = v, g->cap = cap;
            }
            g->v[g->n++] = arena_str(g->a, own);
        }
    }
    arena_done(&a);
    return rc;
}

enum rc snapshot_guarded(struct snapshots *s, const struct sha256 *id, struct arena *a, struct str **ret, size_t *n,
                         struct err *err)
{
    struct guarded g = {.a = a};
    enum rc rc = find_guarded(s, id, STR(""), &g, err);
    *ret = g.v, *n = g.n;
    return rc;
}

/* ---- life ---- */

enum rc snapshots_init(struct snapshots *s, const char *dir, const struct beneath *workspace, struct err *err)
{
    static const char *const parts[] = {"objects", "undo", "views"};
    *s = (struct snapshots){.dir.fd = -1, .workspace = *workspace};
    enum rc rc = RC_OK;
    if (mkdir(dir, 0700) != 0 && errno != EEXIST)
        rc = io_error(err, str_c(dir));
    if (rc == RC_OK)
        rc = beneath_init(&s->dir, &s->arena, dir, false, err);
    for (size_t i = 0; rc == RC_OK && i < sizeof parts / sizeof *parts; i++)
        rc = make_dir(s, parts[i], err);
    return rc;
}

void snapshots_done(struct snapshots *s)
{
    for (size_t i = 0; i < TREES_CACHED; i++)
        arena_done(&s->cached[i].arena);
    beneath_done(&s->dir);
    map_done(&s->known);
    map_done(&s->have);
    arena_done(&s->arena);
}
