/* All or nothing, over plain renames.
 *
 *   verify    every path is still as the plan says
 *   stage     new content is written beside where it will be (`.treadle-ID-N.tmp`), and synced (many by syncfs)
 *   commit    one rename for each entry: put the new file in place (exchanged with the old one, if there is one), move
 *             a file, or put what is to be deleted under its temporary name
 *   clean up  only when every entry is committed and the directories are synced: old versions and deleted files go
 *
 * So an error before the clean-up can be undone (each rename backwards), and after a crash the two cases can be told
 * apart: if any entry is not committed, nothing has been cleaned up yet and everything can be undone; if all are, only
 * cleaning up is left. What is whose is told by inode, size and time (a rename changes none of them), and for a copy by
 * comparing it with its source. A path that fits neither before nor after belongs to somebody else and stays. */
#include "base/fault.h"
#include "base/panic.h"
#include "executor/fileop_int.h"
#include "executor/files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct txn {
    struct fileop *op;
    struct plan *p;
    fileop_writer write;
    struct str dir_path[2]; /* the directories used last: of `from`, of `to` */
    char dir_text[2][PATH_MAX];
    int dir[2];
    bool sync_each;           /* copies one by one; else the file system, once */
    bool dir_made[64 * 1024]; /* by position in plan.dirs: made by us */
    struct err *err;
};
enum { DIRS_MAX = sizeof((struct txn *)0)->dir_made };
enum side { FROM, TO };
enum { SYNC_EACH_MAX = 64 };

static enum rc fail(struct txn *t, struct str path)
{
    return beneath_error(t->err, errno, path);
}

/* The directory of `path` and its last name. */
static enum rc at(struct txn *t, enum side side, struct str path, int *dir, char name[NAME_MAX + 1])
{
    struct str d, n;
    path_split(path, &d, &n);
    if (!n.n || n.n > NAME_MAX)
        return err_set(t->err, RC_CORRUPT, "%.*s does not name a file", STR_ARG(path));
    memcpy(name, n.p, n.n);
    name[n.n] = 0;
    if (t->dir[side] < 0 || !str_eq(t->dir_path[side], d)) {
        int fd;
        enum rc rc = beneath_directory(t->op->root, d, &fd, t->err);
        if (rc)
            return rc;
        if (t->dir[side] >= 0)
            close(t->dir[side]);
        CHECK(d.n < sizeof t->dir_text[side]); /* or it could not have been opened */
        memcpy(t->dir_text[side], d.p, d.n);
        t->dir[side] = fd, t->dir_path[side] = str_n(t->dir_text[side], d.n);
    }
    *dir = t->dir[side];
    return RC_OK;
}

static enum rc look(struct txn *t, enum side side, struct str path, struct stamp *ret)
{
    char name[NAME_MAX + 1];
    int dir = -1;
    struct stat st;
    *ret = (struct stamp){0};
    enum rc rc = at(t, side, path, &dir, name);
    if (rc)
        return rc == RC_NOT_FOUND ? RC_OK : rc; /* without its directory there is no file */
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
        *ret = stamp_of(&st);
    else if (errno != ENOENT)
        return fail(t, path);
    return RC_OK;
}

/* Where the new, the old or the deleted file of an entry waits: in the directory of `to`, or of what is deleted. */
static struct str waiting(struct txn *t, const struct item *it, struct arena *a)
{
    struct str dir, name;
    path_split(it->kind == ITEM_DELETE ? it->from : it->to, &dir, &name);
    struct str own = arena_printf(a, ".treadle-%.*s-%zu.tmp", STR_ARG(t->p->id), (size_t)(it - t->p->item));
    return path_below(a, dir, own);
}

static bool copies(const struct item *it)
{
    return it->kind == ITEM_COPY || it->kind == ITEM_ACROSS || it->kind == ITEM_WRITE;
}

/* ---- verify ---- */

static enum rc foreign(struct txn *t, struct str path)
{
    return err_set(t->err, RC_EXISTS, "%.*s was changed by somebody else meanwhile", STR_ARG(path));
}

static enum rc verify(struct txn *t)
{
    for (size_t i = 0; i < t->p->n; i++) {
        struct item *it = &t->p->item[i];
        struct stamp now;
        enum rc rc = look(t, FROM, it->from, &now);
        if (rc)
            return rc;
        if (!stamp_eq(&now, &it->stamp))
            return foreign(t, it->from);
        if (it->kind == ITEM_DELETE)
            continue;
        rc = look(t, TO, it->to, &now);
        if (rc)
            return rc;
        if (!stamp_eq(&now, &it->before))
            return foreign(t, it->to);
        if ((rc = fileop_over(t->op, t->err)) != RC_OK)
            return rc;
    }
    return RC_OK;
}

/* ---- directories ---- */

static enum rc make_dirs(struct txn *t)
{
    for (size_t i = 0; i < t->p->ndirs; i++) {
        char name[NAME_MAX + 1];
        int dir = -1;
        enum rc rc = at(t, TO, t->p->dirs[i], &dir, name);
        if (rc)
            return rc;
        if (mkdirat(dir, name, 0755) == 0)
            t->dir_made[i] = true;
        else if (errno != EEXIST)
            return fail(t, t->p->dirs[i]);
    }
    return RC_OK;
}

/* Those that are not empty belong to somebody else by now. */
static void remove_dirs(struct txn *t, struct str *v, size_t n, bool made_only)
{
    for (size_t i = n; i--;) {
        char name[NAME_MAX + 1];
        int dir = -1;
        if ((!made_only || t->dir_made[i]) && at(t, TO, v[i], &dir, name) == RC_OK)
            (void)unlinkat(dir, name, AT_REMOVEDIR);
        if (fault_hit("fileop.rmdir"))
            _exit(99);
    }
}

static enum rc sync_dirs(struct txn *t)
{
    for (size_t i = 0; i < t->p->n; i++) {
        struct item *it = &t->p->item[i];
        for (int side = FROM; side <= TO; side++) {
            struct str path = side == FROM ? it->from : it->to, d, n;
            if (!path.n || (side == FROM && it->kind == ITEM_COPY))
                continue;
            path_split(path, &d, &n);
            if (t->dir[side] >= 0 && str_eq(t->dir_path[side], d) && i) /* the same as of the entry before */
                continue;
            char name[NAME_MAX + 1];
            int dir = -1;
            enum rc rc = at(t, (enum side)side, path, &dir, name);
            if (rc == RC_NOT_FOUND) /* after a crash: emptied, and removed by then */
                continue;
            if (rc)
                return rc;
            if (fsync(dir) != 0 && errno != EINVAL)
                return fail(t, d);
        }
    }
    for (size_t i = 0; i < t->p->ndirs; i++) {
        char name[NAME_MAX + 1];
        int dir = -1;
        if (at(t, TO, t->p->dirs[i], &dir, name) == RC_OK && fsync(dir) != 0 && errno != EINVAL)
            return fail(t, t->p->dirs[i]);
    }
    return RC_OK;
}

/* ---- stage ---- */

static enum rc stage_link(struct txn *t, const struct item *it, int from, const char *name, int to, const char *tmp)
{
    char text[PATH_MAX];
    ssize_t n = readlinkat(from, name, text, sizeof text - 1);
    if (n < 0)
        return fail(t, it->from);
    text[n] = 0;
    return symlinkat(text, to, tmp) == 0 ? RC_OK : fail(t, it->to);
}

static enum rc stage_file(struct txn *t, struct item *it, int from_dir, const char *name, int to_dir, const char *tmp)
{
    struct stat st, after;
    int from = openat(from_dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (from < 0)
        return fail(t, it->from);
    int to = openat(to_dir, tmp, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (to < 0) {
        enum rc rc = fail(t, it->to);
        close(from);
        return rc;
    }
    it->state = ITEM_STAGED;
    enum rc rc = fstat(from, &st) == 0 ? RC_OK : fail(t, it->from);
    struct stamp now = stamp_of(&st);
    if (rc == RC_OK && !stamp_eq(&now, &it->stamp))
        rc = foreign(t, it->from);
    if (rc == RC_OK && (rc = (it->kind == ITEM_WRITE ? t->write : file_copy)(t->op, from, to, t->err)) != RC_OK)
        err_wrap(t->err, "%.*s", STR_ARG(it->to));
    if (rc == RC_OK && (fstat(from, &after) != 0 || (now = stamp_of(&after), !stamp_eq(&now, &it->stamp))))
        rc = foreign(t, it->from);
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, st.st_mtim};
    if (rc == RC_OK &&
        (fchmod(to, st.st_mode & 0777) != 0 || ((t->p->times || it->kind == ITEM_ACROSS) && futimens(to, times) != 0) ||
         (t->sync_each && fsync(to) != 0) || fstat(to, &after) != 0))
        rc = fail(t, it->to);
    it->mine = rc == RC_OK ? after.st_ino : 0;
    close(from);
    close(to);
    return rc;
}

static enum rc stage(struct txn *t, struct item *it)
{
    struct arena a = {0};
    char name[NAME_MAX + 1], tmp[NAME_MAX + 1];
    int from, to;
    struct stat st;
    enum rc rc = at(t, FROM, it->from, &from, name);
    if (rc == RC_OK)
        rc = at(t, TO, waiting(t, it, &a), &to, tmp);
    if (rc == RC_OK && fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        rc = fail(t, it->from);
    if (rc == RC_OK && S_ISLNK(st.st_mode)) {
        rc = stage_link(t, it, from, name, to, tmp);
        if (rc == RC_OK) {
            it->state = ITEM_STAGED;
            it->mine = fstatat(to, tmp, &st, AT_SYMLINK_NOFOLLOW) == 0 ? st.st_ino : 0;
        }
    } else if (rc == RC_OK) {
        rc = stage_file(t, it, from, name, to, tmp);
    }
    arena_done(&a);
    return rc;
}

/* Many small files are synced together, by file system: one by one each would wait for the disk. */
static enum rc sync_copies(struct txn *t)
{
    enum { DEVICES = 8 };
    dev_t synced[DEVICES];
    size_t n = 0;
    for (size_t i = 0; i < t->p->n; i++) {
        char name[NAME_MAX + 1];
        int dir = -1;
        struct stat st;
        size_t k = 0;
        if (t->p->item[i].state != ITEM_STAGED)
            continue;
        enum rc rc = at(t, TO, t->p->item[i].to, &dir, name);
        if (rc)
            return rc;
        if (fstat(dir, &st) != 0)
            return fail(t, t->p->item[i].to);
        while (k < n && synced[k] != st.st_dev)
            k++;
        if (k < n)
            continue;
        if (syncfs(dir) != 0)
            return fail(t, t->p->item[i].to);
        if (n < DEVICES)
            synced[n++] = st.st_dev;
    }
    return RC_OK;
}

/* ---- commit and undo ---- */

/* Renames without replacing anything; `over`: exchanges. */
static enum rc put(struct txn *t, struct str from, struct str to, bool over)
{
    char a[NAME_MAX + 1], b[NAME_MAX + 1];
    int from_dir, to_dir;
    enum rc rc = at(t, FROM, from, &from_dir, a);
    if (rc == RC_OK)
        rc = at(t, TO, to, &to_dir, b);
    if (rc)
        return rc;
    if (renameat2(from_dir, a, to_dir, b, over ? RENAME_EXCHANGE : RENAME_NOREPLACE) == 0)
        return RC_OK;
    if (errno == EEXIST)
        return foreign(t, to);
    if (errno == EXDEV)
        return err_set(t->err, RC_IO, "%.*s lies on another mount than %.*s; copy it, then delete it", STR_ARG(to),
                       STR_ARG(from));
    return fail(t, errno == ENOENT ? from : to);
}

static enum rc drop(struct txn *t, enum side side, struct str path)
{
    char name[NAME_MAX + 1];
    int dir = -1;
    enum rc rc = at(t, side, path, &dir, name);
    if (rc)
        return rc;
    return unlinkat(dir, name, 0) == 0 || errno == ENOENT ? RC_OK : fail(t, path);
}

static enum rc commit(struct txn *t, struct item *it)
{
    struct arena a = {0};
    struct str tmp = waiting(t, it, &a);
    bool over = it->before.there;
    struct stamp got;
    enum rc rc;
    if (copies(it))
        rc = put(t, tmp, it->to, over);
    else if (it->kind == ITEM_MOVE)
        rc = put(t, it->from, it->to, over);
    else
        rc = put(t, it->from, tmp, false);
    if (rc == RC_OK) {
        it->state = ITEM_COMMITTED;
        /* what was taken away must be what was there when the plan was made, to the last moment */
        if (it->kind == ITEM_DELETE && (rc = look(t, FROM, tmp, &got)) == RC_OK && !stamp_eq(&got, &it->stamp))
            rc = foreign(t, it->from);
        if (over && (rc = look(t, FROM, copies(it) ? tmp : it->from, &got)) == RC_OK && !stamp_eq(&got, &it->before))
            rc = foreign(t, it->to);
    }
    arena_done(&a);
    return rc;
}

/* Back to what was before this entry. */
static enum rc undo(struct txn *t, struct item *it)
{
    struct arena a = {0};
    struct str tmp = waiting(t, it, &a);
    bool over = it->before.there;
    struct stamp now;
    enum rc rc = RC_OK;
    if (it->state == ITEM_COMMITTED) {
        if (copies(it)) {
            if (it->mine && (rc = look(t, TO, it->to, &now)) == RC_OK && now.ino != it->mine)
                rc = foreign(t, it->to);
            if (rc == RC_OK) /* it waits under its temporary name again, for the removal below */
                rc = over ? put(t, tmp, it->to, true) : put(t, it->to, tmp, false);
        } else if (it->kind == ITEM_MOVE) {
            rc = over ? put(t, it->from, it->to, true) : put(t, it->to, it->from, false);
        } else {
            rc = put(t, tmp, it->from, false);
        }
    }
    if (rc == RC_OK && copies(it) && it->state != ITEM_PENDING)
        rc = drop(t, TO, tmp);
    if (rc == RC_OK)
        it->state = ITEM_PENDING;
    arena_done(&a);
    return rc;
}

/* Undoes everything that was done. `why` is kept; what could not be undone is added to it. */
static void roll_back(struct txn *t, struct err *why)
{
    struct err first = {0}, *own = t->err;
    struct err one;
    size_t left = 0;
    t->err = &one;
    for (size_t i = t->p->n; i--;) {
        struct item *it = &t->p->item[i];
        if (it->state != ITEM_STAGED && it->state != ITEM_COMMITTED)
            continue;
        if (undo(t, it) != RC_OK && left++ == 0)
            first = one;
    }
    remove_dirs(t, t->p->dirs, t->p->ndirs, true);
    t->err = own;
    if (left)
        err_wrap(why, "%zu entries could not be put back (%.200s)", left, first.msg);
}

/* ---- clean up ---- */

static enum rc clean_up(struct txn *t)
{
    struct arena a = {0};
    enum rc rc = RC_OK;
    for (size_t i = 0; i < t->p->n && rc == RC_OK; i++) {
        struct item *it = &t->p->item[i];
        struct stamp now;
        if (it->state != ITEM_COMMITTED)
            continue;
        if (it->kind == ITEM_DELETE || (copies(it) && it->before.there))
            rc = drop(t, TO, waiting(t, it, &a));
        else if (it->kind == ITEM_MOVE && it->before.there && (rc = look(t, FROM, it->from, &now)) == RC_OK &&
                 stamp_eq(&now, &it->before)) /* the old version, which the exchange left there */
            rc = drop(t, FROM, it->from);
        if (it->kind == ITEM_ACROSS && rc == RC_OK && (rc = look(t, FROM, it->from, &now)) == RC_OK &&
            stamp_eq(&now, &it->stamp))
            rc = drop(t, FROM, it->from);
        it->state = ITEM_CLEANED;
        arena_done(&a);
        if (fault_hit("fileop.clean"))
            _exit(99);
    }
    remove_dirs(t, t->p->rmdirs, t->p->nrmdirs, false);
    return rc;
}

/* ---- the whole ---- */

static struct txn *txn_new(struct fileop *op, struct plan *p, struct err *err)
{
    struct txn *t = ARENA_NEW(op->arena, struct txn);
    t->op = op, t->p = p, t->err = err;
    t->dir[FROM] = t->dir[TO] = -1;
    return t;
}

static void txn_done(struct txn *t)
{
    for (int side = FROM; side <= TO; side++)
        if (t->dir[side] >= 0)
            close(t->dir[side]);
}

enum rc txn_apply(struct fileop *op, struct plan *p, fileop_writer write, struct err *err)
{
    struct txn *t = txn_new(op, p, err);
    size_t copied = 0;
    for (size_t i = 0; i < p->n; i++)
        copied += copies(&p->item[i]);
    t->write = write;
    t->sync_each = copied <= SYNC_EACH_MAX;
    enum rc rc = p->ndirs > DIRS_MAX ? err_set(err, RC_LIMIT, "more than %d directories", DIRS_MAX) : verify(t);
    if (rc == RC_OK)
        rc = make_dirs(t);
    for (size_t i = 0; i < p->n && rc == RC_OK; i++)
        if (copies(&p->item[i]) && (rc = stage(t, &p->item[i])) == RC_OK)
            rc = fileop_over(op, err);
    if (rc == RC_OK && !t->sync_each)
        rc = sync_copies(t);
    for (size_t i = 0; i < p->n && rc == RC_OK; i++) {
        rc = commit(t, &p->item[i]);
        if (fault_hit("fileop.commit"))
            _exit(99);
        if (rc == RC_OK && fault_hit("fileop.fail"))
            rc = err_set(err, RC_IO, "%.*s: Input/output error", STR_ARG(p->item[i].from));
        if (rc == RC_OK)
            rc = fileop_over(op, err);
    }
    if (rc == RC_OK)
        rc = sync_dirs(t);
    if (rc)
        roll_back(t, err);
    else
        rc = clean_up(t);
    txn_done(t);
    return rc;
}

/* ---- after a crash ---- */

static enum rc same_content(struct txn *t, const struct item *it, bool *ret)
{
    char a[NAME_MAX + 1], b[NAME_MAX + 1], text[2][PATH_MAX];
    int from_dir, to_dir;
    struct stat st;
    *ret = false;
    enum rc rc = at(t, FROM, it->from, &from_dir, a);
    if (rc == RC_OK)
        rc = at(t, TO, it->to, &to_dir, b);
    if (rc)
        return rc;
    if (fstatat(to_dir, b, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return fail(t, it->to);
    if (S_ISLNK(st.st_mode)) {
        ssize_t n = readlinkat(from_dir, a, text[0], PATH_MAX), m = readlinkat(to_dir, b, text[1], PATH_MAX);
        *ret = n > 0 && n == m && memcmp(text[0], text[1], (size_t)n) == 0;
        return RC_OK;
    }
    if (!S_ISREG(st.st_mode))
        return RC_OK;
    int to = openat(to_dir, b, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC), from = -1;
    if (to < 0)
        return fail(t, it->to);
    if (it->kind == ITEM_WRITE) {
        struct sha256_hex hex;
        rc = file_hash(t->op, to, &hex, t->err);
        *ret = rc == RC_OK && str_is(t->p->after, hex.z);
    } else {
        from = openat(from_dir, a, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        if (from < 0)
            rc = errno == ENOENT ? RC_OK : fail(t, it->from); /* gone: there is nothing to compare with */
        else
            rc = file_compare(t->op, from, to, t->err);
        *ret = rc == RC_OK && from >= 0;
    }
    if (from >= 0)
        close(from);
    close(to);
    return rc == RC_EXISTS ? RC_OK : rc;
}

/* A copy: `to` now, and what waits beside it. */
static enum rc settle_copy(struct txn *t, struct item *it, const struct stamp *to, const struct stamp *tmp)
{
    bool same = false;
    if (stamp_eq(to, &it->before)) {
        it->state = tmp->there ? ITEM_STAGED : ITEM_PENDING;
        return RC_OK;
    }
    it->state = ITEM_FOREIGN;
    if (!to->there || (it->before.there ? tmp->there && !stamp_eq(tmp, &it->before) : tmp->there))
        return RC_OK;
    if (it->kind == ITEM_ACROSS && !it->before.there) {
        struct stamp from;
        enum rc rc = look(t, FROM, it->from, &from);
        if (rc)
            return rc;
        if (!stamp_eq(&from, &it->stamp) && to->size == it->stamp.size && to->sec == it->stamp.sec &&
            to->nsec == it->stamp.nsec) { /* its source has gone already; a copy keeps size and time */
            it->state = ITEM_COMMITTED;
            return RC_OK;
        }
    }
    enum rc rc = same_content(t, it, &same);
    if (same)
        it->state = ITEM_COMMITTED;
    return rc;
}

static enum rc settle_item(struct txn *t, struct item *it)
{
    struct arena a = {0};
    struct stamp from, to = {0}, tmp;
    enum rc rc = look(t, FROM, it->from, &from);
    if (rc == RC_OK && it->kind != ITEM_DELETE)
        rc = look(t, TO, it->to, &to);
    if (rc == RC_OK)
        rc = look(t, TO, waiting(t, it, &a), &tmp);
    if (rc == RC_OK && copies(it))
        rc = settle_copy(t, it, &to, &tmp);
    else if (rc == RC_OK && it->kind == ITEM_DELETE)
        it->state = stamp_eq(&tmp, &it->stamp)    ? ITEM_COMMITTED
                    : tmp.there                   ? ITEM_FOREIGN
                    : stamp_eq(&from, &it->stamp) ? ITEM_PENDING
                    : from.there                  ? ITEM_FOREIGN
                                                  : ITEM_CLEANED;
    else if (rc == RC_OK)
        it->state = stamp_eq(&to, &it->stamp)                                   ? ITEM_COMMITTED
                    : stamp_eq(&from, &it->stamp) && stamp_eq(&to, &it->before) ? ITEM_PENDING
                                                                                : ITEM_FOREIGN;
    arena_done(&a);
    return rc;
}

/* Which of its paths is not ours any more. */
static struct str foreign_path(struct txn *t, const struct item *it)
{
    struct stamp from;
    if (it->kind == ITEM_DELETE)
        return it->from;
    if (it->kind != ITEM_MOVE || look(t, FROM, it->from, &from) != RC_OK || !from.there)
        return it->to;
    return stamp_eq(&from, &it->stamp) ? it->to : it->from;
}

enum rc txn_settle(struct fileop *op, struct plan *p, const char **outcome, struct str *what, struct err *err)
{
    struct txn *t = txn_new(op, p, err);
    size_t counts[ITEM_FOREIGN + 1] = {0};
    enum rc rc = RC_OK;
    *outcome = "again";
    for (size_t i = 0; i < p->n && rc == RC_OK; i++) {
        struct item *it = &p->item[i];
        rc = settle_item(t, it);
        counts[it->state]++;
        if (it->state == ITEM_FOREIGN && !what->n)
            *what = foreign_path(t, it);
    }
    if (rc == RC_OK && counts[ITEM_COMMITTED] + counts[ITEM_CLEANED] == p->n) {
        *outcome = "done";
        rc = make_dirs(t); /* when there is nothing but directories */
        if (rc == RC_OK)
            rc = sync_dirs(t);
        if (rc == RC_OK)
            rc = clean_up(t);
    } else if (rc == RC_OK) {
        for (size_t i = 0; i < p->ndirs && i < DIRS_MAX; i++)
            t->dir_made[i] = true; /* or empty anyway */
        struct err back = {0};
        roll_back(t, &back);
        if (counts[ITEM_FOREIGN] || back.msg[0])
            *outcome = "changed";
    }
    txn_done(t);
    return rc;
}
