/* An object is written under a temporary name and renamed, so whoever dies in between leaves nothing under a hash. It
 * is not synced: what must survive a loss of power is named to object_sync() by who relies on it (undo_log.c). That
 * a name is there therefore proves nothing after a crash of the machine; only what this process put there, or what it
 * was told (objects_have()), is taken for granted, and anything else is written anew over it. */
#include "executor/objects.h"

#include "base/buf.h"
#include "base/panic.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { CHUNK = 128 << 10, NEW_TRIES = 100 };
static atomic_uint last_new; /* several stores of this process may have the same directory */

/* Where it is below DIR. */
struct object_name {
    char z[80];
};
static struct object_name object_name(const struct sha256 *id)
{
    struct object_name name;
    struct sha256_hex x = sha256_hex(id);
    snprintf(name.z, sizeof name.z, "objects/%.2s/%s", x.z, x.z + 2);
    return name;
}

enum rc objects_error(struct err *err, struct str path)
{
    return err_set(err, errno == ENOSPC || errno == EDQUOT ? RC_DISK_FULL : RC_IO, "%.*s: %s", STR_ARG(path),
                   strerror(errno));
}

static struct str key_of(const struct sha256 *id)
{
    return str_n((const char *)id->b, sizeof id->b);
}

bool objects_has(const struct objects *o, const struct sha256 *id)
{
    return map_get(&o->have, key_of(id));
}

/* It is known to be there from now on. */
static void objects_have(struct objects *o, const struct sha256 *id)
{
    if (objects_has(o, id))
        return;
    struct sha256 *kept = ARENA_NEW(&o->arena, struct sha256);
    *kept = *id;
    map_put(&o->have, key_of(kept), kept);
}

static enum rc make_dir(struct objects *o, const char *name, struct err *err)
{
    if (mkdirat(o->dir.fd, name, 0700) == 0 || errno == EEXIST)
        return RC_OK;
    return objects_error(err, str_c(name));
}

enum rc objects_init(struct objects *o, const char *dir, bool make, struct err *err)
{
    *o = (struct objects){.dir.fd = -1};
    if (make && mkdir(dir, 0700) != 0 && errno != EEXIST)
        return objects_error(err, str_c(dir));
    enum rc rc = beneath_init(&o->dir, &o->arena, dir, false, err);
    return rc == RC_OK && make ? make_dir(o, "objects", err) : rc;
}

void objects_done(struct objects *o)
{
    beneath_done(&o->dir);
    map_done(&o->have);
    arena_done(&o->arena);
}

/* ---- putting ---- */

struct fresh {
    int fd;
    char name[64];
};

/* A new file in the store, to be filled and given its name by settle(), or removed by drop(). */
static enum rc fresh_open(struct objects *o, struct fresh *ret, struct err *err)
{
    for (int i = 0; i < NEW_TRIES; i++) {
        snprintf(ret->name, sizeof ret->name, "objects/.new-%d-%u", (int)getpid(), atomic_fetch_add(&last_new, 1));
        ret->fd = openat(o->dir.fd, ret->name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (ret->fd >= 0)
            return RC_OK;
        if (errno != EEXIST)
            break;
    }
    return objects_error(err, str_c(ret->name));
}

static void fresh_drop(struct objects *o, struct fresh *f)
{
    close(f->fd);
    (void)unlinkat(o->dir.fd, f->name, 0);
}

static enum rc fresh_settle(struct objects *o, struct fresh *f, const struct sha256 *id, struct err *err)
{
    struct object_name name = object_name(id);
    char dir[16];
    close(f->fd);
    bool moved = renameat(o->dir.fd, f->name, o->dir.fd, name.z) == 0;
    if (!moved && errno == ENOENT) {
        snprintf(dir, sizeof dir, "%.10s", name.z);
        enum rc rc = make_dir(o, dir, err);
        if (rc)
            return rc;
        moved = renameat(o->dir.fd, f->name, o->dir.fd, name.z) == 0;
    }
    if (!moved) {
        enum rc rc = objects_error(err, str_c(name.z));
        (void)unlinkat(o->dir.fd, f->name, 0);
        return rc;
    }
    objects_have(o, id);
    return RC_OK;
}

static enum rc write_all(int fd, struct str text, struct err *err)
{
    while (text.n) {
        ssize_t n = write(fd, text.p, text.n);
        if (n < 0 && errno != EINTR)
            return objects_error(err, STR("a snapshot"));
        if (n > 0)
            text = str_from(text, (size_t)n);
    }
    return RC_OK;
}

enum rc object_put(struct objects *o, struct str content, struct sha256 *ret, struct err *err)
{
    struct fresh f;
    *ret = sha256_of(content);
    if (objects_has(o, ret))
        return RC_OK;
    enum rc rc = fresh_open(o, &f, err);
    if (rc)
        return rc;
    rc = write_all(f.fd, content, err);
    if (rc == RC_OK)
        return fresh_settle(o, &f, ret, err);
    fresh_drop(o, &f);
    return rc;
}

/* Hashes what `from` holds, and writes it to `to` unless that is -1. */
static enum rc digest(int from, int to, struct sha256 *ret, struct err *err)
{
    enum rc rc = RC_OK;
    char *piece = malloc(CHUNK);
    struct sha256_stream *h = sha256_new();
    CHECK(piece);
    while (rc == RC_OK) {
        ssize_t n = read(from, piece, CHUNK);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            rc = objects_error(err, STR("a file of the workspace"));
        if (n <= 0)
            break;
        sha256_add(h, str_n(piece, (size_t)n));
        if (to >= 0)
            rc = write_all(to, str_n(piece, (size_t)n), err);
    }
    *ret = sha256_end(h);
    free(piece);
    return rc;
}

enum rc object_hash(int fd, struct sha256 *ret, struct err *err)
{
    return digest(fd, -1, ret, err);
}

enum rc object_keep(struct objects *o, int fd, struct sha256 *ret, struct err *err)
{
    struct fresh f;
    enum rc rc = fresh_open(o, &f, err);
    if (rc)
        return rc;
    /* Where the file system can, the blocks are shared, and the clone is what is hashed. */
    bool cloned = ioctl(f.fd, FICLONE, fd) == 0;
    rc = cloned ? digest(f.fd, -1, ret, err) : digest(fd, f.fd, ret, err);
    if (rc == RC_OK && !objects_has(o, ret))
        return fresh_settle(o, &f, ret, err);
    fresh_drop(o, &f);
    return rc;
}

/* ---- reading ---- */

enum rc object_open(struct objects *o, const struct sha256 *id, int *ret, struct err *err)
{
    struct object_name name = object_name(id);
    *ret = openat(o->dir.fd, name.z, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (*ret >= 0)
        return RC_OK;
    return errno == ENOENT ? err_set(err, RC_CORRUPT, "the snapshots lack %s", name.z)
                           : objects_error(err, str_c(name.z));
}

enum rc object_read(struct objects *o, const struct sha256 *id, size_t max, struct arena *a, struct str *ret,
                    struct err *err)
{
    struct buf b;
    int fd;
    *ret = STR("");
    enum rc rc = object_open(o, id, &fd, err);
    if (rc)
        return rc;
    buf_init(&b, max + CHUNK);
    for (;;) {
        char *at = buf_reserve(&b, CHUNK);
        ssize_t n = at ? read(fd, at, CHUNK) : 0;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            rc = objects_error(err, STR("a snapshot"));
        if (n <= 0)
            break;
        b.n += (size_t)n;
    }
    close(fd);
    if (rc == RC_OK && (b.overflow || b.n > max))
        rc = err_set(err, RC_LIMIT, "a kept file is larger than %zu bytes", max);
    if (rc == RC_OK)
        *ret = arena_str(a, buf_str(&b));
    buf_done(&b);
    return rc;
}

enum rc object_sync(struct objects *o, const struct sha256 *id, struct err *err)
{
    int fd;
    enum rc rc = object_open(o, id, &fd, err);
    if (rc)
        return rc;
    if (fsync(fd) != 0)
        rc = objects_error(err, STR("a snapshot"));
    close(fd);
    return rc;
}

enum rc object_share(struct objects *from, struct objects *to, const struct sha256 *id, struct err *err)
{
    struct object_name name = object_name(id);
    struct sha256 got;
    char dir[16];
    int fd;
    if (objects_has(to, id))
        return RC_OK;
    snprintf(dir, sizeof dir, "%.10s", name.z);
    enum rc rc = make_dir(to, dir, err);
    if (rc)
        return rc;
    if (linkat(from->dir.fd, name.z, to->dir.fd, name.z, 0) == 0 || errno == EEXIST) {
        objects_have(to, id);
        return RC_OK;
    }
    rc = object_open(from, id, &fd, err);
    if (rc)
        return rc;
    rc = object_keep(to, fd, &got, err);
    close(fd);
    if (rc == RC_OK && memcmp(&got, id, sizeof got) != 0)
        rc = err_set(err, RC_CORRUPT, "a kept content is not what it was");
    return rc;
}
