/* One path is changed in one step: the new file is made beside it (`.treadle-HASH.new`), gets a second name when it is
 * complete (`.tmp`), the two are exchanged, and only then is the old one looked at. If it is not what was expected,
 * somebody was faster: they are exchanged back. So there is no moment between looking and changing in which another's
 * write could be lost, except through a descriptor that he keeps open to the old file. A crash between the two
 * exchanges leaves his file under the temporary name, which the next try finds and puts back.
 *
 * Several effects are taken back as one: for each path what was there before the first, where now is what the last
 * left. Removing goes from the deepest up, making from the top down. A directory that an effect made and in which
 * others have put something stays. */
#include "executor/undo.h"

#include "base/buf.h"
#include "base/fault.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ENTRY_MAX = 256 << 20, CHUNK = 128 << 10, SYNC_EACH_MAX = 64, PATHS_DEEP = 4096 };

void changes_add(struct changes *c, struct str path, const struct node *before, const struct node *after)
{
    if (node_eq(before, after))
        return;
    if (c->n == c->cap) {
        size_t cap = c->cap ? c->cap * 2 : 32;
        struct change *v = arena_calloc(c->a, cap, sizeof *v);
        if (c->n)
            memcpy(v, c->v, c->n * sizeof *v);
        c->v = v, c->cap = cap;
    }
    c->v[c->n++] = (struct change){.path = arena_str(c->a, path), .before = *before, .after = *after};
}

/* ---- one path ---- */

static enum rc io_error(struct err *err, struct str path)
{
    return err_set(err, errno == ENOSPC || errno == EDQUOT ? RC_DISK_FULL : RC_IO, "%.*s: %s", STR_ARG(path),
                   strerror(errno));
}

struct spot {
    struct str path;
    int dir;
    char name[NAME_MAX + 1], new[64], tmp[64];
};

/* RC_NOT_FOUND: its directory is missing. No part of the way is a link, so it stays beneath. */
static enum rc spot_open(struct snapshots *s, struct str path, struct spot *ret, struct err *err)
{
    size_t slash = path.n;
    while (slash && path.p[slash - 1] != '/')
        slash--;
    struct str name = str_from(path, slash), dir = slash ? str_n(path.p, slash - 1) : STR(".");
    ret->path = path;
    ret->dir = -1;
    if (!name.n || name.n > NAME_MAX)
        return err_set(err, RC_CORRUPT, "%.*s does not name a file", STR_ARG(path));
    memcpy(ret->name, name.p, name.n);
    ret->name[name.n] = 0;
    unsigned long long h = str_hash(path, 31);
    snprintf(ret->new, sizeof ret->new, ".treadle-%016llx.new", h);
    snprintf(ret->tmp, sizeof ret->tmp, ".treadle-%016llx.tmp", h);
    return beneath_directory(&s->workspace, dir, &ret->dir, err);
}

static void spot_close(struct spot *p)
{
    if (p->dir >= 0)
        close(p->dir);
}

static enum rc foreign(struct err *err, struct str path)
{
    return err_set(err, RC_EXISTS, "%.*s was changed by somebody else meanwhile", STR_ARG(path));
}

/* What a crash left beside it. A file under the second name has been exchanged, or is complete and about to be: ours is
 * removed, another's put back. */
static enum rc sweep(struct snapshots *s, struct spot *p, const struct node *from, const struct node *to,
                     struct err *err)
{
    struct node left, now;
    (void)unlinkat(p->dir, p->new, 0);
    enum rc rc = node_look(s, p->dir, p->tmp, false, &left, err);
    if (rc || left.type == NODE_NONE)
        return rc;
    if (node_eq(&left, from) || node_eq(&left, to))
        return unlinkat(p->dir, p->tmp, 0) == 0 ? RC_OK : io_error(err, p->path);
    rc = node_look(s, p->dir, p->name, false, &now, err);
    if (rc)
        return rc;
    if (!node_eq(&now, from) && !node_eq(&now, to))
        return foreign(err, p->path); /* both are others'; theirs under the temporary name stays there */
    if (renameat2(p->dir, p->tmp, p->dir, p->name, now.type == NODE_NONE ? RENAME_NOREPLACE : RENAME_EXCHANGE) != 0)
        return io_error(err, p->path);
    if (now.type != NODE_NONE)
        (void)unlinkat(p->dir, p->tmp, 0);
    return RC_OK;
}

static enum rc copy_all(int from, int to, struct str path, struct err *err)
{
    struct stat st;
    if (fstat(from, &st) != 0)
        return io_error(err, path);
    for (off_t left = st.st_size; left > 0;) {
        ssize_t n = copy_file_range(from, NULL, to, NULL, (size_t)left, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        left -= n;
    }
    char *piece = malloc(CHUNK);
    enum rc rc = piece ? RC_OK : err_set(err, RC_IO, "out of memory");
    while (rc == RC_OK) { /* file systems between which the kernel does not copy */
        ssize_t n = read(from, piece, CHUNK);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            rc = io_error(err, path);
        if (n <= 0)
            break;
        for (ssize_t done = 0; done < n && rc == RC_OK;) {
            ssize_t w = write(to, piece + done, (size_t)(n - done));
            if (w < 0 && errno != EINTR)
                rc = io_error(err, path);
            done += w > 0 ? w : 0;
        }
    }
    free(piece);
    return rc;
}

static enum rc stage_link(int object, struct spot *p, struct err *err)
{
    char target[PATH_MAX];
    ssize_t n = read(object, target, sizeof target - 1);
    if (n <= 0)
        return err_set(err, RC_CORRUPT, "the kept target of %.*s is damaged", STR_ARG(p->path));
    target[n] = 0;
    return symlinkat(target, p->dir, p->new) == 0 ? RC_OK : io_error(err, p->path);
}

static enum rc stage_file(int object, struct spot *p, const struct node *to, struct err *err)
{
    struct stat old;
    int fd = openat(p->dir, p->new, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return io_error(err, p->path);
    enum rc rc = copy_all(object, fd, p->path, err);
    if (rc == RC_OK && fstatat(p->dir, p->name, &old, AT_SYMLINK_NOFOLLOW) == 0 &&
        (old.st_uid != geteuid() || old.st_gid != getegid()))
        (void)!fchown(fd, old.st_uid, old.st_gid); /* the same owner, where we may */
    if (rc == RC_OK && fchmod(fd, to->mode) != 0)
        rc = io_error(err, p->path);
    if (rc == RC_OK && to->mtime_ns) {
        struct timespec t = {to->mtime_ns / 1000000000, to->mtime_ns % 1000000000};
        (void)futimens(fd, (struct timespec[]){t, t});
    }
    close(fd);
    return rc;
}

static enum rc stage(struct snapshots *s, struct spot *p, const struct node *to, struct err *err)
{
    int object;
    enum rc rc = object_open(s, &to->hash, &object, err);
    if (rc)
        return rc;
    (void)unlinkat(p->dir, p->new, 0);
    rc = to->type == NODE_LINK ? stage_link(object, p, err) : stage_file(object, p, to, err);
    close(object);
    if (rc == RC_OK && renameat2(p->dir, p->new, p->dir, p->tmp, RENAME_NOREPLACE) != 0)
        rc = io_error(err, p->path);
    if (rc)
        (void)unlinkat(p->dir, p->new, 0);
    return rc;
}

/* What has been moved to the temporary name must be what was to go. */
static enum rc let_go(struct snapshots *s, struct spot *p, const struct node *from, unsigned back, struct err *err)
{
    struct node old;
    enum rc rc = node_look(s, p->dir, p->tmp, false, &old, err);
    if (fault_hit("undo.kill.exchanged"))
        raise(SIGKILL);
    if (rc == RC_OK && node_eq(&old, from))
        return unlinkat(p->dir, p->tmp, 0) == 0 ? RC_OK : io_error(err, p->path);
    if (renameat2(p->dir, p->tmp, p->dir, p->name, back) == 0 && back == RENAME_EXCHANGE)
        (void)unlinkat(p->dir, p->tmp, 0);
    return rc ? rc : foreign(err, p->path);
}

static enum rc put(struct snapshots *s, struct spot *p, const struct node *from, const struct node *to, struct err *err)
{
    enum rc rc = stage(s, p, to, err);
    if (rc)
        return rc;
    bool new = from->type != NODE_FILE && from->type != NODE_LINK;
    if (renameat2(p->dir, p->tmp, p->dir, p->name, new ? RENAME_NOREPLACE : RENAME_EXCHANGE) != 0) {
        int e = errno;
        (void)unlinkat(p->dir, p->tmp, 0);
        errno = e;
        return e == EEXIST || e == ENOENT ? foreign(err, p->path) : io_error(err, p->path);
    }
    return new ? RC_OK : let_go(s, p, from, RENAME_EXCHANGE, err);
}

static enum rc take_away(struct snapshots *s, struct spot *p, const struct node *from, struct err *err)
{
    if (from->type == NODE_DIR) /* what others have put into it keeps it */
        return unlinkat(p->dir, p->name, AT_REMOVEDIR) == 0 || errno == ENOTEMPTY || errno == EEXIST ||
                       errno == ENOENT || errno == ENOTDIR
                   ? RC_OK
                   : io_error(err, p->path);
    if (renameat2(p->dir, p->name, p->dir, p->tmp, RENAME_NOREPLACE) != 0)
        return errno == ENOENT ? foreign(err, p->path) : io_error(err, p->path);
    return let_go(s, p, from, RENAME_NOREPLACE, err);
}

enum rc undo_look(struct snapshots *s, struct str path, struct node *ret, struct err *err)
{
    struct spot p;
    *ret = (struct node){0};
    enum rc rc = spot_open(s, path, &p, err);
    if (rc == RC_OK)
        rc = node_look(s, p.dir, p.name, true, ret, err);
    spot_close(&p);
    return rc == RC_NOT_FOUND ? RC_OK : rc;
}

/* ---- all of them ---- */

struct step {
    const struct change *c;
    const struct node *from, *to;
    struct node now;
    bool skip;
};

static int by_path(const void *a, const void *b)
{
    return str_cmp(((const struct step *)a)->c->path, ((const struct step *)b)->c->path);
}

/* Without its directory there is nothing at a path. */
static enum rc look(struct snapshots *s, struct step *t, struct err *err)
{
    struct spot p;
    enum rc rc = spot_open(s, t->c->path, &p, err);
    t->now = (struct node){0};
    if (rc == RC_OK)
        rc = sweep(s, &p, t->from, t->to, err);
    if (rc == RC_OK)
        rc = node_look(s, p.dir, p.name, false, &t->now, err);
    spot_close(&p);
    return rc == RC_NOT_FOUND || rc == RC_INVALID ? RC_OK : rc;
}

static bool fits(const struct step *t)
{
    if (node_eq(&t->now, t->to) || node_eq(&t->now, t->from))
        return true;
    /* A directory that is to be made and is there, or is to go and is not, is as good. */
    if (t->to->type == NODE_DIR && t->from->type == NODE_NONE)
        return t->now.type == NODE_DIR;
    return t->from->type == NODE_DIR && t->to->type == NODE_NONE && t->now.type == NODE_DIR;
}

static enum rc remove_one(struct snapshots *s, struct step *t, struct err *err)
{
    bool goes = t->now.type != NODE_NONE &&
                (t->to->type == NODE_NONE ||
                 (t->to->type != t->from->type && (t->to->type == NODE_DIR || t->from->type == NODE_DIR)));
    struct spot p;
    if (t->skip || !goes)
        return RC_OK;
    enum rc rc = spot_open(s, t->c->path, &p, err);
    if (rc == RC_OK)
        rc = take_away(s, &p, t->from, err);
    spot_close(&p);
    t->now = (struct node){0};
    return rc;
}

static enum rc make_one(struct snapshots *s, struct step *t, struct err *err)
{
    struct spot p;
    if (fault_hit("undo.kill.change"))
        raise(SIGKILL);
    if (t->skip || t->to->type == NODE_NONE)
        return RC_OK;
    enum rc rc = spot_open(s, t->c->path, &p, err);
    if (rc)
        return rc == RC_NOT_FOUND ? foreign(err, t->c->path) : rc;
    if (t->to->type != NODE_DIR)
        rc = put(s, &p, &t->now, t->to, err);
    else if (t->now.type != NODE_DIR && mkdirat(p.dir, p.name, 0700) != 0 && errno != EEXIST)
        rc = io_error(err, p.path);
    spot_close(&p);
    return rc;
}

/* Last and from the bottom up, since a directory may forbid writing into it. */
static enum rc mode_one(struct snapshots *s, struct step *t, struct err *err)
{
    struct spot p;
    if (t->skip || t->to->type != NODE_DIR)
        return RC_OK;
    enum rc rc = spot_open(s, t->c->path, &p, err);
    if (rc == RC_OK && fchmodat(p.dir, p.name, t->to->mode, 0) != 0)
        rc = io_error(err, p.path);
    spot_close(&p);
    return rc;
}

enum rc changes_apply(struct snapshots *s, const struct changes *c, bool back, bool force, struct str *conflict,
                      size_t *done, struct err *err)
{
    struct arena a = {0};
    struct step *t = arena_calloc(&a, c->n + 1, sizeof *t);
    enum rc rc = RC_OK;
    *conflict = STR("");
    for (size_t i = 0; i < c->n; i++)
        t[i] = (struct step){.c = &c->v[i],
                             .from = back ? &c->v[i].after : &c->v[i].before,
                             .to = back ? &c->v[i].before : &c->v[i].after};
    if (c->n)
        qsort(t, c->n, sizeof *t, by_path);
    for (size_t i = 0; rc == RC_OK && i < c->n; i++) {
        rc = look(s, &t[i], err);
        if (rc)
            break;
        t[i].skip = node_eq(&t[i].now, t[i].to);
        if (fits(&t[i]))
            continue;
        *conflict = t[i].c->path;
        t[i].skip = true;
        if (!force)
            rc = foreign(err, t[i].c->path);
    }
    size_t n = 0;
    for (size_t i = c->n; rc == RC_OK && i-- > 0;)
        if ((rc = remove_one(s, &t[i], err)) == RC_EXISTS)
            *conflict = t[i].c->path;
    for (size_t i = 0; rc == RC_OK && i < c->n; i++)
        if ((rc = make_one(s, &t[i], err)) == RC_EXISTS)
            *conflict = t[i].c->path;
    for (size_t i = c->n; rc == RC_OK && i-- > 0;) {
        rc = mode_one(s, &t[i], err);
        n += !t[i].skip;
    }
    if (done)
        *done = n;
    arena_done(&a);
    return rc;
}

/* ---- entries ---- */

static void put_node(struct buf *b, const struct node *n)
{
    struct sha256_hex x = sha256_hex(&n->hash);
    buf_printf(b, "%d %o %lld %s ", (int)n->type, (unsigned)n->mode, (long long)n->mtime_ns, x.z);
}

static bool take_word(struct str *text, char end, struct str *ret)
{
    const char *at = text->n ? memchr(text->p, end, text->n) : NULL;
    if (!at)
        return false;
    *ret = str_n(text->p, (size_t)(at - text->p));
    *text = str_from(*text, ret->n + 1);
    return true;
}

static bool take_node(struct str *text, struct node *n)
{
    struct str type, mode, time, hash;
    int64_t t, m = 0;
    if (!take_word(text, ' ', &type) || !take_word(text, ' ', &mode) || !take_word(text, ' ', &time) ||
        !take_word(text, ' ', &hash) || !str_to_i64(type, &t) || t < NODE_NONE || t > NODE_OTHER || mode.n > 4 ||
        !str_to_i64(time, &n->mtime_ns) || !sha256_read(hash, &n->hash))
        return false;
    for (size_t i = 0; i < mode.n; i++) {
        if (mode.p[i] < '0' || mode.p[i] > '7')
            return false;
        m = m * 8 + (mode.p[i] - '0');
    }
    n->type = (enum node_type)t;
    n->mode = (mode_t)m;
    return true;
}

static const char magic[] = "treadle-undo-1";

static bool path_is_sane(struct str path)
{
    return path.n && path.n < PATHS_DEEP && path.p[0] != '/' && path.p[path.n - 1] != '/';
}

static bool entry_parse(struct str text, struct arena *a, struct undo *u)
{
    struct str word, attempt, snapshot, path;
    int64_t n;
    *u = (struct undo){.changes.a = a};
    if (!take_word(&text, 0, &word) || !str_is(word, magic) || !take_word(&text, 0, &u->frame) ||
        !take_word(&text, 0, &attempt) || !str_to_i64(attempt, &n) || n < 1 || n > INT32_MAX ||
        !take_word(&text, 0, &snapshot) || !sha256_read(snapshot, &u->snapshot) || !take_word(&text, 0, &u->untracked))
        return false;
    u->attempt = (uint32_t)n;
    while (text.n) {
        struct node before = {0}, after = {0};
        if (!take_node(&text, &before) || !take_node(&text, &after) || !take_word(&text, 0, &path) ||
            !path_is_sane(path))
            return false;
        changes_add(&u->changes, path, &before, &after);
    }
    return true;
}

static enum rc write_synced(int dir, const char *name, struct str text, struct err *err)
{
    int fd = openat(dir, ".entry", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    enum rc rc = fd < 0 ? io_error(err, STR("undo/.entry")) : RC_OK;
    while (rc == RC_OK && text.n) {
        ssize_t n = write(fd, text.p, text.n);
        if (n < 0 && errno != EINTR)
            rc = io_error(err, STR("undo/.entry"));
        if (n > 0)
            text = str_from(text, (size_t)n);
    }
    if (rc == RC_OK && (fsync(fd) != 0 || renameat(dir, ".entry", dir, name) != 0 || fsync(dir) != 0))
        rc = io_error(err, STR("undo/.entry"));
    if (fd >= 0)
        close(fd);
    return rc;
}

static int undo_dir(struct snapshots *s)
{
    return openat(s->dir.fd, "undo", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
}

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a & INT32_MAX, y = *(const uint32_t *)b & INT32_MAX;
    return (x > y) - (x < y);
}

/* Numbers in order; the highest bit marks those that have been taken back. */
static enum rc numbers(struct snapshots *s, struct arena *a, uint32_t **ret, size_t *ret_n, struct err *err)
{
    int fd = undo_dir(s);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    uint32_t *v = NULL;
    size_t n = 0, cap = 0;
    if (!d) {
        if (fd >= 0)
            close(fd);
        return io_error(err, STR("undo"));
    }
    for (struct dirent *e; (e = readdir(d));) {
        struct str name = str_c(e->d_name);
        bool undone = str_ends(name, STR(".undone"));
        int64_t number;
        if (!str_to_i64(undone ? str_n(name.p, name.n - 7) : name, &number) || number < 1 || number > INT32_MAX)
            continue;
        if (n == cap) {
            uint32_t *more = arena_calloc(a, cap = cap ? cap * 2 : 64, sizeof *more);
            if (n)
                memcpy(more, v, n * sizeof *v);
            v = more;
        }
        v[n++] = (uint32_t)number | (undone ? 1u << 31 : 0);
    }
    closedir(d);
    if (n)
        qsort(v, n, sizeof *v, by_number);
    *ret = v, *ret_n = n;
    return RC_OK;
}

static void entry_name(uint32_t number, char name[32])
{
    snprintf(name, 32, "%08u%s", number & INT32_MAX, number >> 31 ? ".undone" : "");
}

static enum rc entry_read(struct snapshots *s, uint32_t number, struct arena *a, struct undo *ret, struct err *err)
{
    char name[32];
    struct buf b;
    entry_name(number, name);
    int dir = undo_dir(s), fd = dir < 0 ? -1 : openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (dir >= 0)
        close(dir);
    if (fd < 0)
        return io_error(err, str_c(name));
    buf_init(&b, ENTRY_MAX);
    ssize_t n = 1;
    while (n > 0) {
        char *at = buf_reserve(&b, CHUNK);
        n = at ? read(fd, at, CHUNK) : -1;
        b.n += n > 0 ? (size_t)n : 0;
    }
    close(fd);
    struct str text = arena_str(a, buf_str(&b));
    buf_done(&b);
    if (n < 0 || !entry_parse(text, a, ret))
        return err_set(err, RC_CORRUPT, "%.*s/undo/%s is damaged", STR_ARG(s->dir.path), name);
    ret->number = number & INT32_MAX;
    ret->undone = number >> 31;
    return RC_OK;
}

enum rc undo_each(struct snapshots *s, struct arena *a, bool (*cb)(void *ctx, const struct undo *u), void *ctx,
                  struct err *err)
{
    uint32_t *v;
    size_t n;
    enum rc rc = numbers(s, a, &v, &n, err);
    for (size_t i = 0; rc == RC_OK && i < n; i++) {
        struct undo u;
        rc = entry_read(s, v[i], a, &u, err);
        if (rc == RC_OK && !cb(ctx, &u))
            break;
    }
    return rc;
}

/* What was there before must outlive a loss of power together with the entry. */
static enum rc sync_contents(struct snapshots *s, const struct changes *c, struct err *err)
{
    if (c->n > SYNC_EACH_MAX)
        return syncfs(s->dir.fd) == 0 ? RC_OK : io_error(err, STR("the snapshots"));
    enum rc rc = RC_OK;
    for (size_t i = 0; rc == RC_OK && i < c->n; i++)
        if (c->v[i].before.type == NODE_FILE || c->v[i].before.type == NODE_LINK)
            rc = object_sync(s, &c->v[i].before.hash, err);
    return rc;
}

enum rc undo_write(struct snapshots *s, struct undo *u, struct err *err)
{
    struct arena a = {0};
    struct buf b;
    uint32_t *v;
    size_t n = 0;
    char name[32];
    enum rc rc = s->last_undo ? RC_OK : numbers(s, &a, &v, &n, err);
    if (rc == RC_OK && n)
        s->last_undo = v[n - 1] & INT32_MAX;
    arena_done(&a);
    if (rc == RC_OK)
        rc = sync_contents(s, &u->changes, err);
    if (rc)
        return rc;
    buf_init(&b, ENTRY_MAX);
    struct sha256_hex x = sha256_hex(&u->snapshot);
    buf_printf(&b, "%s%c%.*s%c%u%c%s%c%.*s%c", magic, 0, STR_ARG(u->frame), 0, u->attempt, 0, x.z, 0,
               STR_ARG(u->untracked), 0);
    for (size_t i = 0; i < u->changes.n; i++) {
        put_node(&b, &u->changes.v[i].before);
        put_node(&b, &u->changes.v[i].after);
        buf_add(&b, u->changes.v[i].path);
        buf_addc(&b, 0);
    }
    u->number = ++s->last_undo;
    entry_name(u->number, name);
    int dir = undo_dir(s);
    rc = dir < 0      ? io_error(err, STR("undo"))
         : b.overflow ? err_set(err, RC_LIMIT, "the command changed too many files to keep count of them")
                      : write_synced(dir, name, buf_str(&b), err);
    if (dir >= 0)
        close(dir);
    buf_done(&b);
    return rc;
}

/* ---- taking back ---- */

struct net {
    struct snapshots *s;
    struct arena *a;
    struct rollback *r;
    struct map by_path; /* path -> struct change: before the first, after the last */
    struct changes all;
    uint32_t *entries;
    size_t n, cap;
};

/* Is it the effect, or one below that attempt at the step? */
static bool is_of(const struct attempt_at *at, bool below, const struct undo *u)
{
    if (!below)
        return str_eq(u->frame, at->frame) && u->attempt == at->attempt;
    if (!str_starts(u->frame, at->frame))
        return false;
    struct str rest = str_from(u->frame, at->frame.n);
    int64_t k = 1;
    if (rest.n && rest.p[0] == '~') {
        size_t slash = str_find(rest, STR("/"));
        if (slash == SIZE_MAX || !str_to_i64(str_n(rest.p + 1, slash - 1), &k))
            return false;
        rest = str_from(rest, slash);
    }
    return rest.n && rest.p[0] == '/' && k == (int64_t)at->attempt;
}

static bool concerns(const struct rollback *r, const struct undo *u)
{
    for (size_t i = 0; i < r->n; i++)
        if (is_of(&r->of[i], r->below, u))
            return true;
    return false;
}

static bool collect(void *ctx, const struct undo *u)
{
    struct net *n = ctx;
    if (u->undone || !concerns(n->r, u))
        return true;
    if (u->untracked.n) {
        n->r->untracked++;
        n->r->why = arena_str(n->a, u->untracked);
    }
    for (size_t i = 0; i < u->changes.n; i++) {
        struct change *c = map_get(&n->by_path, u->changes.v[i].path);
        if (c) {
            c->after = u->changes.v[i].after;
            continue;
        }
        c = ARENA_NEW(n->a, struct change);
        *c = u->changes.v[i];
        map_put(&n->by_path, c->path, c);
    }
    if (n->n == n->cap) {
        uint32_t *more = arena_calloc(n->a, n->cap = n->cap ? n->cap * 2 : 16, sizeof *more);
        if (n->n)
            memcpy(more, n->entries, n->n * sizeof *more);
        n->entries = more;
    }
    n->entries[n->n++] = u->number;
    return true;
}

static enum rc mark_undone(struct net *n, struct err *err)
{
    int dir = undo_dir(n->s);
    enum rc rc = dir < 0 ? io_error(err, STR("undo")) : RC_OK;
    for (size_t i = n->n; rc == RC_OK && i-- > 0;) {
        char from[32], to[32];
        entry_name(n->entries[i], from);
        entry_name(n->entries[i] | 1u << 31, to);
        if (renameat(dir, from, dir, to) != 0)
            rc = io_error(err, str_c(from));
    }
    if (rc == RC_OK && fsync(dir) != 0)
        rc = io_error(err, STR("undo"));
    if (dir >= 0)
        close(dir);
    return rc;
}

enum rc undo_rollback(struct snapshots *s, struct arena *a, struct rollback *r, struct err *err)
{
    struct net n = {.s = s, .a = a, .r = r, .all.a = a};
    struct map_entry *e;
    enum rc rc = undo_each(s, a, collect, &n, err);
    for (size_t i = 0; rc == RC_OK && (e = map_next(&n.by_path, &i));) {
        const struct change *c = e->value;
        changes_add(&n.all, c->path, &c->before, &c->after);
    }
    map_done(&n.by_path);
    if (rc || !n.n || fault_hit("undo.skip")) /* a seeded bug for the campaign to catch */
        return rc;
    rc = changes_apply(s, &n.all, true, r->force, &r->conflict, &r->restored, err);
    if (rc == RC_OK && n.all.n && syncfs(s->workspace.fd) != 0)
        rc = io_error(err, STR("the workspace"));
    return rc ? rc : mark_undone(&n, err);
}
