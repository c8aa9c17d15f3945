/* One path is changed in one step: the new file is made beside it (`.treadle-HASH.new`), gets a second name when it is
 * complete (`.tmp`), the two are exchanged, and only then is the old one looked at. If it is not what was expected,
 * somebody was faster: they are exchanged back. Nor is one let go that somebody has open for writing (writers.h). So
 * there is no moment between looking and changing in which another's write could be lost. A crash between the two
 * exchanges leaves his file under the temporary name, which the next try finds and puts back.
 *
 * Several effects are taken back as one: for each path what was there before the first, where now is what the last
 * left. Removing goes from the deepest up, making from the top down. A directory that an effect made and in which
 * others have put something stays. */
#include "executor/undo.h"

#include "base/fault.h"
#include "executor/writers.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- one path ---- */

struct spot {
    struct str path;
    int dir;
    int *patience_ms; /* with writers, of all paths together */
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
    ret->patience_ms = NULL;
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
static enum rc sweep(struct spot *p, const struct node *from, const struct node *to, struct err *err)
{
    struct node left, now;
    (void)unlinkat(p->dir, p->new, 0);
    enum rc rc = node_look(NULL, p->dir, p->tmp, &left, err);
    if (rc || left.type == NODE_NONE)
        return rc;
    if (node_eq(&left, from) || node_eq(&left, to))
        return unlinkat(p->dir, p->tmp, 0) == 0 ? RC_OK : objects_error(err, p->path);
    rc = node_look(NULL, p->dir, p->name, &now, err);
    if (rc)
        return rc;
    if (!node_eq(&now, from) && !node_eq(&now, to))
        return foreign(err, p->path); /* both are others'; theirs under the temporary name stays there */
    if (renameat2(p->dir, p->tmp, p->dir, p->name, now.type == NODE_NONE ? RENAME_NOREPLACE : RENAME_EXCHANGE) != 0)
        return objects_error(err, p->path);
    if (now.type != NODE_NONE)
        (void)unlinkat(p->dir, p->tmp, 0);
    return RC_OK;
}

static enum rc stage_link(struct snapshots *s, struct spot *p, const struct node *to, struct err *err)
{
    struct arena a = {0};
    struct str target;
    enum rc rc = object_read(&s->objects, &to->hash, PATH_MAX - 1, &a, &target, err);
    if (rc == RC_OK && symlinkat(arena_cstr(&a, target), p->dir, p->new) != 0)
        rc = objects_error(err, p->path);
    arena_done(&a);
    return rc;
}

static enum rc stage_file(struct snapshots *s, struct spot *p, const struct node *to, struct err *err)
{
    struct stat old;
    int fd = openat(p->dir, p->new, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return objects_error(err, p->path);
    enum rc rc = object_write(&s->objects, &to->hash, fd, err);
    if (rc == RC_OK && fstatat(p->dir, p->name, &old, AT_SYMLINK_NOFOLLOW) == 0 &&
        (old.st_uid != geteuid() || old.st_gid != getegid()))
        (void)!fchown(fd, old.st_uid, old.st_gid); /* the same owner, where we may */
    if (rc == RC_OK && fchmod(fd, to->mode) != 0)
        rc = objects_error(err, p->path);
    if (rc == RC_OK && to->mtime_ns) {
        struct timespec t = {to->mtime_ns / 1000000000, to->mtime_ns % 1000000000};
        (void)futimens(fd, (struct timespec[]){t, t});
    }
    close(fd);
    return rc;
}

static enum rc stage(struct snapshots *s, struct spot *p, const struct node *to, struct err *err)
{
    (void)unlinkat(p->dir, p->new, 0);
    enum rc rc = to->type == NODE_LINK ? stage_link(s, p, to, err) : stage_file(s, p, to, err);
    if (rc == RC_OK && renameat2(p->dir, p->new, p->dir, p->tmp, RENAME_NOREPLACE) != 0)
        rc = objects_error(err, p->path);
    if (rc)
        (void)unlinkat(p->dir, p->new, 0);
    return rc;
}

/* What has been moved to the temporary name must be what was to go. */
static enum rc let_go(struct spot *p, const struct node *from, unsigned back, struct err *err)
{
    struct node old;
    bool held = has_writers(p->dir, p->tmp, p->patience_ms);
    enum rc rc = node_look(NULL, p->dir, p->tmp, &old, err);
    if (fault_hit("undo.kill.exchanged"))
        raise(SIGKILL);
    if (rc == RC_OK && node_eq(&old, from) && !held)
        return unlinkat(p->dir, p->tmp, 0) == 0 ? RC_OK : objects_error(err, p->path);
    if (renameat2(p->dir, p->tmp, p->dir, p->name, back) == 0 && back == RENAME_EXCHANGE)
        (void)unlinkat(p->dir, p->tmp, 0);
    if (rc == RC_OK && node_eq(&old, from))
        return err_set(err, RC_EXISTS, "%.*s is open for writing in another process", STR_ARG(p->path));
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
        return e == EEXIST || e == ENOENT ? foreign(err, p->path) : objects_error(err, p->path);
    }
    return new ? RC_OK : let_go(p, from, RENAME_EXCHANGE, err);
}

static enum rc take_away(struct spot *p, const struct node *from, struct err *err)
{
    if (from->type == NODE_DIR) /* what others have put into it keeps it */
        return unlinkat(p->dir, p->name, AT_REMOVEDIR) == 0 || errno == ENOTEMPTY || errno == EEXIST ||
                       errno == ENOENT || errno == ENOTDIR
                   ? RC_OK
                   : objects_error(err, p->path);
    if (renameat2(p->dir, p->name, p->dir, p->tmp, RENAME_NOREPLACE) != 0)
        return errno == ENOENT ? foreign(err, p->path) : objects_error(err, p->path);
    return let_go(p, from, RENAME_NOREPLACE, err);
}

enum rc undo_look(struct snapshots *s, struct str path, struct node *ret, struct err *err)
{
    struct spot p;
    *ret = (struct node){0};
    enum rc rc = spot_open(s, path, &p, err);
    if (rc == RC_OK)
        rc = node_look(&s->objects, p.dir, p.name, ret, err);
    spot_close(&p);
    return rc == RC_NOT_FOUND ? RC_OK : rc;
}

/* ---- all of them ---- */

struct step {
    const struct change *c;
    const struct node *from, *to;
    struct node now;
    bool skip;
    int *patience_ms;
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
        rc = sweep(&p, t->from, t->to, err);
    if (rc == RC_OK)
        rc = node_look(NULL, p.dir, p.name, &t->now, err);
    spot_close(&p);
    return rc == RC_NOT_FOUND || rc == RC_INVALID ? RC_OK : rc;
}

/* A directory cannot be exchanged for a file: what is to become the other kind goes first. */
static bool changes_kind(const struct step *t)
{
    return t->to->type != t->from->type && (t->to->type == NODE_DIR || t->from->type == NODE_DIR);
}

static bool fits(const struct step *t)
{
    if (node_eq(&t->now, t->to) || node_eq(&t->now, t->from))
        return true;
    if (t->now.type == NODE_NONE && changes_kind(t)) /* it was interrupted between the two */
        return true;
    /* A directory that is to be made and is there, or is to go and is not, is as good. */
    if (t->to->type == NODE_DIR && t->from->type == NODE_NONE)
        return t->now.type == NODE_DIR;
    return t->from->type == NODE_DIR && t->to->type == NODE_NONE && t->now.type == NODE_DIR;
}

static enum rc remove_one(struct snapshots *s, struct step *t, struct err *err)
{
    bool goes = t->now.type != NODE_NONE && (t->to->type == NODE_NONE || changes_kind(t));
    struct spot p;
    if (t->skip || !goes)
        return RC_OK;
    enum rc rc = spot_open(s, t->c->path, &p, err);
    p.patience_ms = t->patience_ms;
    if (rc == RC_OK)
        rc = take_away(&p, t->from, err);
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
    p.patience_ms = t->patience_ms;
    if (t->to->type != NODE_DIR)
        rc = put(s, &p, &t->now, t->to, err);
    else if (t->now.type != NODE_DIR && mkdirat(p.dir, p.name, 0700) != 0 && errno != EEXIST)
        rc = objects_error(err, p.path);
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
        rc = objects_error(err, p.path);
    spot_close(&p);
    return rc;
}

enum rc changes_apply(struct snapshots *s, const struct changes *c, bool back, bool force, struct str *conflict,
                      size_t *done, struct err *err)
{
    struct arena a = {0};
    struct step *t = arena_calloc(&a, c->n + 1, sizeof *t);
    enum rc rc = RC_OK;
    int patience_ms = WRITERS_PATIENCE_ALL_MS;
    *conflict = STR("");
    for (size_t i = 0; i < c->n; i++)
        t[i] = (struct step){.c = &c->v[i],
                             .patience_ms = &patience_ms,
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
