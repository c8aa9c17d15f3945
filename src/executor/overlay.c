/* What overlayfs leaves in the upper directory: files and links that are new or were written to, whole; directories in
 * which something changed; a device 0/0 where something was deleted; an attribute on directories that hide what was
 * below them. The walk goes through it side by side with the snapshot's lists, so its cost is that of what changed.
 *
 * A file that was opened for writing but is as before, byte for byte, is no change. */
#include "executor/overlay.h"

#include "base/buf.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { PLAN_MAX = 1 << 20, DEPTH_MAX = 200, VIEWS_MAX = 1 << 20 };

/* ---- a new one ---- */

static enum rc write_plan(struct snapshots *s, struct str cwd, struct str root, const struct overlay *v,
                          struct err *err)
{
    struct arena a = {0};
    struct buf b;
    struct str *guarded;
    size_t n = 0;
    struct str shown = s->shown.n ? s->shown : s->workspace.path;
    buf_init(&b, PLAN_MAX);
    enum rc rc = snapshot_guarded(s, &v->base, &a, &guarded, &n, err);
    if (rc == RC_OK) {
        buf_printf(&b, "%s%c%s%c%.*s/views/%u%c%.*s%c%.*s%c%.*s%c%.*s%c", v->copied ? OVERLAY_COPY : OVERLAY_LAYERS, 0,
                   s->shown.n ? OVERLAY_READ : OVERLAY_WRITE, 0, STR_ARG(s->dir.path), v->number, 0,
                   STR_ARG(s->workspace.path), 0, STR_ARG(shown), 0, STR_ARG(cwd), 0, STR_ARG(root), 0);
        for (size_t i = 0; i < n; i++)
            buf_printf(&b, "%.*s%c", STR_ARG(guarded[i]), 0);
        int fd = openat(v->dir, "plan", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (b.overflow)
            rc = err_set(err, RC_LIMIT, "there are too many version control directories");
        else if (fd < 0 || write(fd, b.p, b.n) != (ssize_t)b.n)
            rc = objects_error(err, STR("a view"));
        if (fd >= 0)
            close(fd);
    }
    buf_done(&b);
    arena_done(&a);
    return rc;
}

static int open_part(const struct overlay *v, const char *name)
{
    return openat(v->dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
}

/* The root of the view has the mode of the workspace's. */
static enum rc make_parts(struct snapshots *s, struct overlay *v, struct err *err)
{
    struct stat st;
    const char *root = v->copied ? "copy" : "upper";
    if (mkdirat(v->dir, root, 0700) != 0 || (!v->copied && mkdirat(v->dir, "work", 0700) != 0) ||
        fstat(s->workspace.fd, &st) != 0 || fchmodat(v->dir, root, st.st_mode & 07777, 0) != 0)
        return objects_error(err, STR("a view"));
    if (!v->copied)
        return RC_OK;
    int fd = open_part(v, root);
    if (fd < 0)
        return objects_error(err, STR("a view"));
    enum rc rc = scan_copy(&s->scan, &s->objects, fd, NULL, &v->scan, err);
    if (rc)
        close(fd);
    return rc;
}

enum rc overlay_new(struct snapshots *s, const struct sha256 *snapshot, struct str cwd, struct str root, bool copy,
                    struct overlay *ret, struct err *err)
{
    char name[40];
    *ret = (struct overlay){.dir = -1, .copied = copy, .base = *snapshot, .scan = {.fd = -1}};
    /* Those of an earlier life are there still if a command beside us ran when this workspace was opened. */
    for (bool made = false; !made;) {
        ret->number = ++s->last_view;
        snprintf(name, sizeof name, "views/%u", ret->number);
        made = mkdirat(s->dir.fd, name, 0700) == 0;
        if (!made && (errno != EEXIST || ret->number >= VIEWS_MAX))
            return objects_error(err, str_c(name));
    }
    ret->dir = openat(s->dir.fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    enum rc rc = ret->dir < 0 ? objects_error(err, str_c(name)) : make_parts(s, ret, err);
    if (rc == RC_OK)
        rc = write_plan(s, cwd, root, ret, err);
    if (rc)
        overlay_drop(s, ret);
    return rc;
}

/* ---- what was written ---- */

struct capture {
    struct snapshots *s;
    struct changes *out;
    struct buf path;
    size_t skipped;
    struct err *err;
};

static bool is_opaque(int dir)
{
    char v[4];
    return fgetxattr(dir, "trusted.overlay.opaque", v, sizeof v) > 0 ||
           fgetxattr(dir, "user.overlay.opaque", v, sizeof v) > 0;
}

static bool path_push(struct capture *c, const char *name)
{
    if (c->path.n)
        buf_addc(&c->path, '/');
    buf_addz(&c->path, name);
    return !c->path.overflow;
}

/* All that the snapshot has at the path is gone. */
static enum rc gone(struct capture *c, const struct node *before)
{
    static const struct node none;
    if (before->type == NODE_NONE || before->type == NODE_OTHER)
        return RC_OK;
    changes_add(c->out, buf_str(&c->path), before, &none);
    return before->type == NODE_DIR ? tree_diff(&c->s->objects, &before->hash, NULL, buf_str(&c->path), c->out, c->err)
                                    : RC_OK;
}

static enum rc capture_dir(struct capture *c, int dir, const struct sha256 *before, unsigned depth);

static enum rc capture_sub(struct capture *c, int dir, const char *name, const struct node *before,
                           const struct node *after, unsigned depth)
{
    enum rc rc = RC_OK;
    int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    bool had = before->type == NODE_DIR;
    if (fd < 0 || depth > DEPTH_MAX) {
        rc = fd < 0 ? objects_error(c->err, buf_str(&c->path))
                    : err_set(c->err, RC_LIMIT, "directories nest too deeply");
    } else if (had && is_opaque(fd)) { /* what was below it is gone; the directory itself is not */
        struct arena a = {0};
        struct tree t;
        size_t at = c->path.n;
        changes_add(c->out, buf_str(&c->path), before, after);
        rc = tree_read(&c->s->objects, &before->hash, &a, &t, c->err);
        for (size_t i = 0; rc == RC_OK && i < t.n; i++) {
            struct stat st;
            const char *below = arena_cstr(&a, t.v[i].name);
            if (fstatat(fd, below, &st, AT_SYMLINK_NOFOLLOW) != 0 && path_push(c, below))
                rc = gone(c, &t.v[i].node);
            c->path.n = at;
        }
        arena_done(&a);
        rc = rc ? rc : capture_dir(c, fd, &before->hash, depth + 1);
    } else {
        changes_add(c->out, buf_str(&c->path), before, after);
        rc = capture_dir(c, fd, had ? &before->hash : NULL, depth + 1);
    }
    if (fd >= 0)
        close(fd);
    return rc;
}

static enum rc capture_entry(struct capture *c, int dir, const char *name, const struct node *before, unsigned depth)
{
    struct stat st;
    struct node after;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return objects_error(c->err, buf_str(&c->path));
    if (S_ISCHR(st.st_mode) && st.st_rdev == makedev(0, 0))
        return gone(c, before);
    if (S_ISDIR(st.st_mode) && scan_is_guarded(name))
        return RC_OK;
    enum rc rc = node_look(&c->s->objects, dir, name, &after, c->err);
    if (rc)
        return rc;
    if (after.type == NODE_OTHER || before->type == NODE_OTHER) {
        c->skipped++;
        return RC_OK;
    }
    if (after.type == NODE_DIR) {
        if (before->type == NODE_FILE || before->type == NODE_LINK) {
            changes_add(c->out, buf_str(&c->path), before, &after);
            int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
            rc = fd < 0 ? objects_error(c->err, buf_str(&c->path)) : capture_dir(c, fd, NULL, depth + 1);
            if (fd >= 0)
                close(fd);
            return rc;
        }
        return capture_sub(c, dir, name, before, &after, depth);
    }
    if (before->type == NODE_DIR) { /* a file where a directory was: what was below it goes first */
        struct node now = after;
        size_t first = c->out->n;
        rc = gone(c, before);
        if (rc == RC_OK && c->out->n > first)
            c->out->v[first].after = now;
        return rc;
    }
    changes_add(c->out, buf_str(&c->path), before, &after);
    return RC_OK;
}

static enum rc capture_dir(struct capture *c, int dir, const struct sha256 *before, unsigned depth)
{
    struct arena a = {0};
    struct tree t = {0};
    enum rc rc = before ? tree_read(&c->s->objects, before, &a, &t, c->err) : RC_OK;
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    size_t at = c->path.n;
    if (!d && fd >= 0)
        close(fd);
    if (!d)
        rc = objects_error(c->err, buf_str(&c->path));
    for (struct dirent *e; rc == RC_OK && (e = readdir(d));) {
        static const struct node none;
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        const struct tree_entry *old = tree_find(&t, str_c(e->d_name));
        if (!path_push(c, e->d_name))
            rc = err_set(c->err, RC_LIMIT, "a path is longer than %d bytes", PATH_MAX);
        else
            rc = capture_entry(c, fd, e->d_name, old ? &old->node : &none, depth);
        c->path.n = at;
    }
    if (d)
        closedir(d);
    arena_done(&a);
    return rc;
}

static enum rc changes_of_copy(struct snapshots *s, struct overlay *v, struct changes *ret, size_t *skipped,
                               struct err *err)
{
    struct sha256 now;
    enum rc rc = scan_take(&v->scan, &s->objects, NULL, &now, skipped, err);
    return rc ? rc : tree_diff(&s->objects, &v->base, &now, STR(""), ret, err);
}

enum rc overlay_changes(struct snapshots *s, struct overlay *v, struct changes *ret, size_t *skipped, struct err *err)
{
    struct capture c = {.s = s, .out = ret, .err = err};
    if (v->copied)
        return changes_of_copy(s, v, ret, skipped, err);
    int upper = open_part(v, "upper");
    if (upper < 0)
        return objects_error(err, STR("a view"));
    struct err second;
    buf_init(&c.path, PATH_MAX);
    objects_many(&s->objects);
    enum rc rc = capture_dir(&c, upper, &v->base, 0);
    enum rc kept = objects_settle(&s->objects, rc ? &second : err);
    rc = rc ? rc : kept;
    buf_done(&c.path);
    close(upper);
    *skipped = c.skipped;
    return rc;
}

/* ---- version control directories ---- */

static enum rc copy_tree(int from, int to, unsigned depth, struct err *err);

static enum rc copy_file(int from, int to, const char *name, const struct stat *st, struct err *err)
{
    int in = openat(from, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    int out = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    bool ok = in >= 0 && out >= 0;
    for (off_t left = st->st_size; ok && left > 0;) {
        ssize_t n = copy_file_range(in, NULL, out, NULL, (size_t)left, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n == 0)
            break;
        ok = n > 0;
        left -= n > 0 ? n : 0;
    }
    ok = ok && fchmod(out, st->st_mode & 07777) == 0;
    enum rc rc = ok ? RC_OK : objects_error(err, str_c(name));
    if (in >= 0)
        close(in);
    if (out >= 0)
        close(out);
    return rc;
}

static enum rc copy_one(int from, int to, const char *name, unsigned depth, struct err *err)
{
    struct stat st;
    char target[PATH_MAX];
    if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return objects_error(err, str_c(name));
    if (S_ISREG(st.st_mode))
        return copy_file(from, to, name, &st, err);
    if (S_ISLNK(st.st_mode)) {
        ssize_t n = readlinkat(from, name, target, sizeof target - 1);
        target[n > 0 ? n : 0] = 0;
        return n > 0 && symlinkat(target, to, name) == 0 ? RC_OK : objects_error(err, str_c(name));
    }
    if (!S_ISDIR(st.st_mode))
        return RC_OK;
    if (mkdirat(to, name, st.st_mode & 07777) != 0)
        return objects_error(err, str_c(name));
    int in = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int out = openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    enum rc rc = in < 0 || out < 0 ? objects_error(err, str_c(name)) : copy_tree(in, out, depth + 1, err);
    if (in >= 0)
        close(in);
    if (out >= 0)
        close(out);
    return rc;
}

static enum rc copy_tree(int from, int to, unsigned depth, struct err *err)
{
    int fd = openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd >= 0 && depth < DEPTH_MAX ? fdopendir(fd) : NULL;
    enum rc rc = d ? RC_OK : objects_error(err, STR("a version control directory"));
    if (!d && fd >= 0)
        close(fd);
    for (struct dirent *e; rc == RC_OK && (e = readdir(d));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            rc = copy_one(from, to, e->d_name, depth, err);
    if (d)
        closedir(d);
    return rc;
}

/* `to` is the workspace's directory of the same path; -1: there is none. */
static enum rc move_guarded(int upper, int to, unsigned depth, struct err *err)
{
    int fd = openat(upper, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd >= 0 && depth < DEPTH_MAX ? fdopendir(fd) : NULL;
    enum rc rc = d ? RC_OK : objects_error(err, STR("a view"));
    if (!d && fd >= 0)
        close(fd);
    for (struct dirent *e; rc == RC_OK && (e = readdir(d));) {
        struct stat st;
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
            fstatat(upper, e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISDIR(st.st_mode))
            continue;
        if (scan_is_guarded(e->d_name)) {
            struct stat there;
            if (fstatat(to, e->d_name, &there, AT_SYMLINK_NOFOLLOW) != 0 &&
                renameat2(upper, e->d_name, to, e->d_name, RENAME_NOREPLACE) != 0)
                rc = copy_one(upper, to, e->d_name, depth, err);
            continue;
        }
        int sub = openat(upper, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        int below = openat(to, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (sub >= 0 && below >= 0)
            rc = move_guarded(sub, below, depth + 1, err);
        if (sub >= 0)
            close(sub);
        if (below >= 0)
            close(below);
    }
    if (d)
        closedir(d);
    return rc;
}

enum rc overlay_guarded(struct snapshots *s, const struct overlay *v, struct err *err)
{
    int upper = open_part(v, v->copied ? "copy" : "upper");
    enum rc rc = upper < 0 ? objects_error(err, STR("a view")) : move_guarded(upper, s->workspace.fd, 0, err);
    if (upper >= 0)
        close(upper);
    return rc;
}

/* ---- the end ---- */

static void remove_below(int dir, const char *name, unsigned depth)
{
    if (unlinkat(dir, name, 0) == 0 || depth > DEPTH_MAX + 8)
        return;
    struct stat st;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode) && (st.st_mode & 0700) != 0700)
        (void)!fchmodat(dir, name, 0700, 0); /* overlayfs's own directory has no rights at all */
    int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (!d && fd >= 0)
        close(fd);
    for (struct dirent *e; d && (e = readdir(d));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            remove_below(fd, e->d_name, depth + 1);
    if (d)
        closedir(d);
    (void)unlinkat(dir, name, AT_REMOVEDIR);
}

void overlay_done(struct overlay *v)
{
    if (v->dir >= 0)
        close(v->dir);
    v->dir = -1;
    if (v->copied && v->scan.fd >= 0) {
        close(v->scan.fd);
        scan_done(&v->scan);
    }
    v->copied = false;
}

void overlay_drop(struct snapshots *s, struct overlay *v)
{
    char name[40];
    overlay_done(v);
    snprintf(name, sizeof name, "views/%u", v->number);
    remove_below(s->dir.fd, name, 0);
}

void overlay_remove(int dir, const char *name)
{
    remove_below(dir, name, 0);
}

void overlays_sweep(struct snapshots *s)
{
    remove_below(s->dir.fd, "views", 0);
    (void)mkdirat(s->dir.fd, "views", 0700);
}
