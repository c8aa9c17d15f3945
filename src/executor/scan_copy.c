/* The copy is made of the snapshot's objects, not of the files, so it is exactly what the snapshot says whoever writes
 * to the files meanwhile; where the file system can, blocks are shared. Nobody else has the copy yet, so all of it is
 * known without being looked at: only, the clock must have gone on since the last file was made, for else a change in
 * the same tick would not be seen. */
#include "executor/scan_int.h"

#include "base/panic.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

struct copying {
    struct objects *o;
    const atomic_bool *cancel;
    int64_t newest; /* change time of what was made */
    struct err *err;
};

static void stamp(struct copying *c, const struct stat *st, struct stamp *ret)
{
    *ret = scan_stamp(st, 0);
    if (ret->ctime_ns > c->newest)
        c->newest = ret->ctime_ns;
}

static enum rc copy_file(struct copying *c, const struct known *k, int to, struct known *ret)
{
    struct stat st;
    struct timespec t = {k->stamp.mtime_ns / 1000000000, k->stamp.mtime_ns % 1000000000};
    int out = openat(to, k->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    enum rc rc = out < 0 ? objects_error(c->err, str_c(k->name)) : object_write(c->o, &k->node.hash, out, c->err);
    if (rc == RC_OK &&
        (fchmod(out, k->node.mode) != 0 || futimens(out, (struct timespec[]){t, t}) != 0 || fstat(out, &st) != 0))
        rc = objects_error(c->err, str_c(k->name));
    if (rc == RC_OK)
        stamp(c, &st, &ret->stamp);
    if (out >= 0)
        close(out);
    return rc;
}

static enum rc copy_link(struct copying *c, const struct known *k, int to, struct known *ret)
{
    struct arena a = {0};
    struct stat st;
    struct str target;
    enum rc rc = object_read(c->o, &k->node.hash, PATH_MAX, &a, &target, c->err);
    if (rc == RC_OK &&
        (symlinkat(arena_cstr(&a, target), to, k->name) != 0 || fstatat(to, k->name, &st, AT_SYMLINK_NOFOLLOW) != 0))
        rc = objects_error(c->err, str_c(k->name));
    if (rc == RC_OK)
        stamp(c, &st, &ret->stamp);
    arena_done(&a);
    return rc;
}

static enum rc copy_dir(struct copying *c, const struct known_dir *k, int to, struct known_dir *ret);

static enum rc copy_sub(struct copying *c, const struct known *k, int to, struct known *ret)
{
    if (mkdirat(to, k->name, 0700) != 0)
        return objects_error(c->err, str_c(k->name));
    int sub = openat(to, k->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (sub < 0)
        return objects_error(c->err, str_c(k->name));
    ret->dir = scan_known_new();
    enum rc rc = copy_dir(c, k->dir, sub, ret->dir);
    struct stat st;
    if (rc == RC_OK && (fchmod(sub, k->node.mode) != 0 || fstat(sub, &st) != 0))
        rc = objects_error(c->err, str_c(k->name));
    if (rc == RC_OK)
        stamp(c, &st, &ret->dir->stamp);
    close(sub);
    return rc;
}

static enum rc copy_entry(struct copying *c, const struct known *k, int to, struct known *ret)
{
    if (c->cancel && atomic_load(c->cancel))
        return err_set(c->err, RC_CANCELLED, "cancelled");
    if (k->node.type == NODE_FILE)
        return copy_file(c, k, to, ret);
    if (k->node.type == NODE_LINK)
        return copy_link(c, k, to, ret);
    if (k->node.type == NODE_DIR)
        return copy_sub(c, k, to, ret);
    bool made =
        !scan_is_guarded(k->name) || (mkdirat(to, k->name, 0700) == 0 && fchmodat(to, k->name, k->node.mode, 0) == 0);
    return made ? RC_OK : objects_error(c->err, str_c(k->name));
}

/* Names are copied as a block, so a name keeps its place in it. */
static enum rc copy_dir(struct copying *c, const struct known_dir *k, int to, struct known_dir *ret)
{
    size_t bytes = 0;
    enum rc rc = RC_OK;
    for (size_t i = 0; i < k->n; i++)
        bytes += strlen(k->v[i].name) + 1;
    ret->names = malloc(bytes + 1);
    ret->v = calloc(k->n + 1, sizeof *ret->v);
    CHECK(ret->names && ret->v);
    char *at = ret->names;
    for (size_t i = 0; rc == RC_OK && i < k->n; i++) {
        const struct known *from = &k->v[i];
        bool guarded = from->node.type == NODE_OTHER && scan_is_guarded(from->name);
        if (from->node.type == NODE_NONE || (from->node.type == NODE_OTHER && !guarded))
            continue;
        struct known *own = &ret->v[ret->n++];
        own->node = from->node;
        size_t n = strlen(from->name) + 1;
        own->name = memcpy(at, from->name, n);
        at += n;
        rc = copy_entry(c, from, to, own);
    }
    ret->hash = k->hash;
    ret->whole = k->whole && ret->n == k->n;
    return rc;
}

static void seen(struct known_dir *k, int64_t now)
{
    k->stamp.seen_ns = now;
    for (size_t i = 0; i < k->n; i++) {
        k->v[i].stamp.seen_ns = now;
        if (k->v[i].dir)
            seen(k->v[i].dir, now);
    }
}

enum rc scan_copy(const struct scan *s, struct objects *o, int to, const atomic_bool *cancel, struct scan *ret,
                  struct err *err)
{
    struct copying c = {.o = o, .cancel = cancel, .err = err};
    struct stat st;
    scan_init(ret, to);
    CHECK(s->known);
    ret->known = scan_known_new();
    enum rc rc = copy_dir(&c, s->known, to, ret->known);
    if (rc == RC_OK && fstat(to, &st) == 0)
        stamp(&c, &st, &ret->known->stamp);
    while (rc == RC_OK && scan_tick() <= c.newest)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    if (rc == RC_OK)
        seen(ret->known, scan_tick());
    ret->counted = rc == RC_OK;
    if (rc)
        scan_done(ret);
    return rc;
}
