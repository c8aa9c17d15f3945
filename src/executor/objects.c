/* An object is written under a temporary name and renamed, so whoever dies in between leaves nothing under a hash. It
 * is not synced: what must survive a loss of power is named to object_sync() by who relies on it (undo_log.c). That
 * a name is there therefore proves nothing after a crash of the machine; only what this process put there, or what it
 * was told (object_find(), a pack that is trusted), is taken for granted, and anything else is written anew over it.
 *
 * Where many are put at once, all but the first few small ones go into one pack: making, naming and removing files is
 * what a first snapshot of many small files costs, and a file of ten bytes takes a block of four thousand. */
#include "executor/objects.h"

#include "base/buf.h"
#include "base/fault.h"
#include "base/panic.h"
#include "executor/fresh.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { CHUNK = 128 << 10, PACKED_MAX = 64 << 10, LOOSE_MAX = 32 };

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
    return err_set(err, rc_of_errno(errno), "%.*s: %s", STR_ARG(path), strerror(errno));
}

static enum rc changed(struct err *err, const struct sha256 *id)
{
    return err_set(err, RC_CORRUPT, "the snapshots are damaged: %.16s is not what it was", sha256_hex(id).z);
}

static struct str key_of(const struct sha256 *id)
{
    return str_n((const char *)id->b, sizeof id->b);
}

bool objects_has(const struct objects *o, const struct sha256 *id)
{
    if (map_get(&o->have, key_of(id)) || (o->filling && pack_has(o->filling, id)))
        return true;
    for (const struct pack *p = o->packs; p; p = p->next)
        if (p->trusted && pack_find(p, id))
            return true;
    return false;
}

static void objects_have(struct objects *o, const struct sha256 *id)
{
    if (map_get(&o->have, key_of(id)))
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
    *o = (struct objects){.dir.fd = -1, .packs_dir = -1};
    if (make && mkdir(dir, 0700) != 0 && errno != EEXIST)
        return objects_error(err, str_c(dir));
    enum rc rc = beneath_init(&o->dir, &o->arena, dir, false, err);
    if (rc == RC_OK && make && (rc = make_dir(o, "objects", err)) == RC_OK)
        rc = make_dir(o, "packs", err);
    if (rc == RC_OK)
        o->packs_dir = openat(o->dir.fd, "packs", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (rc == RC_OK && make && o->packs_dir < 0)
        rc = objects_error(err, STR("packs"));
    return rc;
}

void objects_sweep(struct objects *o)
{
    fresh_sweep(o->dir.fd, "objects/");
    fresh_sweep(o->packs_dir, "");
}

void objects_done(struct objects *o)
{
    pack_drop(o->filling);
    for (struct pack *p = o->packs, *next; p; p = next) {
        next = p->next;
        pack_free(p);
    }
    o->filling = NULL;
    o->packs = NULL;
    if (o->packs_dir >= 0)
        close(o->packs_dir);
    o->packs_dir = -1;
    beneath_done(&o->dir);
    map_done(&o->have);
    map_done(&o->shared);
    free(o->piece);
    o->piece = NULL;
    arena_done(&o->arena);
}

/* Where a piece of a content is while it goes through. */
static char *piece_of(struct objects *o)
{
    if (!o->piece)
        o->piece = malloc(CHUNK);
    CHECK(o->piece);
    return o->piece;
}

/* ---- packs ---- */

static struct pack *pack_named(const struct objects *o, const char *name)
{
    struct pack *p = o->packs;
    while (p && strcmp(p->name, name) != 0)
        p = p->next;
    return p;
}

void objects_add_pack(struct objects *o, struct pack *p)
{
    struct pack *known = pack_named(o, p->name);
    if (known) {
        known->trusted |= p->trusted;
        pack_free(p);
        return;
    }
    p->next = o->packs;
    o->packs = p;
}

/* Those that this store has not read yet; what cannot be read is left out. */
static void find_packs(struct objects *o)
{
    int fd = o->packs_dir < 0 ? -1 : openat(o->packs_dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (!d && fd >= 0)
        close(fd);
    for (struct dirent *e; d && (e = readdir(d));) {
        struct pack *p;
        struct err ignored; /* what is in it is missed, and said to be missing, when it is wanted */
        if (pack_is_name(e->d_name) && !pack_named(o, e->d_name) &&
            pack_read(o->packs_dir, e->d_name, &p, &ignored) == RC_OK)
            objects_add_pack(o, p);
    }
    if (d)
        closedir(d);
}

void objects_many(struct objects *o)
{
    CHECK(!o->many);
    o->many = true;
    o->nloose = 0;
}

enum rc objects_settle(struct objects *o, struct err *err)
{
    struct pack_writer *w = o->filling;
    struct pack *p = NULL;
    CHECK(o->many);
    o->many = false;
    o->filling = NULL;
    enum rc rc = w ? pack_seal(w, &p, err) : RC_OK;
    if (p)
        objects_add_pack(o, p);
    return rc;
}

/* ---- putting ---- */

static void drop(struct objects *o, struct fresh *f)
{
    (void)unlinkat(o->dir.fd, f->name, 0);
    close(f->fd);
}

/* Gives it its name. It is locked until then, or it would be swept. */
static enum rc settle(struct objects *o, struct fresh *f, const struct sha256 *id, struct err *err)
{
    struct object_name name = object_name(id);
    char dir[16];
    enum rc rc = RC_OK;
    if (fault_hit("objects.kill.unnamed"))
        raise(SIGKILL);
    bool moved = fchmod(f->fd, 0400) == 0 && renameat(o->dir.fd, f->name, o->dir.fd, name.z) == 0;
    if (!moved && errno == ENOENT) {
        snprintf(dir, sizeof dir, "%.10s", name.z);
        rc = make_dir(o, dir, err);
        moved = rc == RC_OK && renameat(o->dir.fd, f->name, o->dir.fd, name.z) == 0;
    }
    if (!moved) {
        rc = rc ? rc : objects_error(err, str_c(name.z));
        drop(o, f);
        return rc;
    }
    close(f->fd);
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

static enum rc put_loose(struct objects *o, struct str content, const struct sha256 *id, struct err *err)
{
    struct fresh f;
    enum rc rc = fresh_open(o->dir.fd, "objects/", "a snapshot", &f, err);
    if (rc)
        return rc;
    rc = write_all(f.fd, content, err);
    if (rc == RC_OK)
        return settle(o, &f, id, err);
    drop(o, &f);
    return rc;
}

enum rc object_put(struct objects *o, struct str content, struct sha256 *ret, struct err *err)
{
    *ret = sha256_of(content);
    if (objects_has(o, ret))
        return RC_OK;
    if (!o->many || content.n > PACKED_MAX || (!o->filling && o->nloose++ < LOOSE_MAX))
        return put_loose(o, content, ret, err);
    enum rc rc = o->filling ? RC_OK : pack_begin(o->packs_dir, &o->filling, err);
    return rc ? rc : pack_add(o->filling, content, ret, err);
}

static enum rc read_some(int fd, char *to, size_t n, size_t *ret, struct err *err)
{
    for (*ret = 0; *ret < n;) {
        ssize_t k = read(fd, to + *ret, n - *ret);
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return objects_error(err, STR("a file of the workspace"));
        if (k == 0)
            break;
        *ret += (size_t)k;
    }
    return RC_OK;
}

/* Hashes what `from` holds from where it stands, `n` bytes of it at most, and writes it to `to` unless that is -1. */
static enum rc digest(int from, int64_t n, int to, char *piece, struct sha256 *ret, struct err *err)
{
    enum rc rc = RC_OK;
    struct sha256_stream *h = sha256_new();
    for (size_t got = 1; rc == RC_OK && got && n > 0; n -= (int64_t)got) {
        rc = read_some(from, piece, n < CHUNK ? (size_t)n : CHUNK, &got, err);
        sha256_add(h, str_n(piece, got));
        if (rc == RC_OK && to >= 0)
            rc = write_all(to, str_n(piece, got), err);
    }
    *ret = sha256_end(h);
    return rc;
}

enum rc object_hash(int fd, struct sha256 *ret, struct err *err)
{
    char *piece = malloc(CHUNK);
    CHECK(piece);
    enum rc rc = digest(fd, INT64_MAX, -1, piece, ret, err);
    free(piece);
    return rc;
}

static enum rc keep_large(struct objects *o, int fd, struct sha256 *ret, struct err *err)
{
    struct fresh f;
    enum rc rc = fresh_open(o->dir.fd, "objects/", "a snapshot", &f, err);
    if (rc)
        return rc;
    /* Where the file system can, the blocks are shared, and the clone is what is hashed. */
    bool cloned = ioctl(f.fd, FICLONE, fd) == 0;
    rc = digest(cloned ? f.fd : fd, INT64_MAX, cloned ? -1 : f.fd, piece_of(o), ret, err);
    if (rc == RC_OK && !objects_has(o, ret))
        return settle(o, &f, ret, err);
    drop(o, &f);
    return rc;
}

enum rc object_keep(struct objects *o, int fd, struct sha256 *ret, struct err *err)
{
    size_t n;
    enum rc rc = read_some(fd, piece_of(o), PACKED_MAX + 1, &n, err);
    if (rc)
        return rc;
    if (n <= PACKED_MAX)
        return object_put(o, str_n(o->piece, n), ret, err);
    return lseek(fd, -(off_t)n, SEEK_CUR) < 0 ? objects_error(err, STR("a file of the workspace"))
                                              : keep_large(o, fd, ret, err);
}

/* ---- reading ---- */

struct found {
    int fd; /* stands at its first byte */
    int64_t n;
    struct pack *pack; /* NULL: a file of its own */
};

static struct pack *pack_with(const struct objects *o, const struct sha256 *id, const struct pack_entry **e)
{
    struct pack *p = o->packs;
    while (p && !(*e = pack_find(p, id)))
        p = p->next;
    return p;
}

static enum rc open_packed(const struct objects *o, struct pack *p, const struct pack_entry *e, struct found *ret,
                           struct err *err)
{
    *ret = (struct found){.n = (int64_t)e->n, .pack = p};
    ret->fd = openat(o->packs_dir, p->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (ret->fd >= 0 && lseek(ret->fd, (off_t)e->at, SEEK_SET) >= 0)
        return RC_OK;
    enum rc rc = objects_error(err, str_c(p->name));
    if (ret->fd >= 0)
        close(ret->fd);
    return rc;
}

/* One that is not known may have come since the packs were read, or never have been asked for. */
static enum rc object_open(struct objects *o, const struct sha256 *id, struct found *ret, struct err *err)
{
    struct object_name name = object_name(id);
    const struct pack_entry *e = NULL;
    struct stat st;
    struct pack *p = pack_with(o, id, &e);
    *ret = (struct found){.fd = -1};
    if (!p) {
        ret->fd = openat(o->dir.fd, name.z, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (ret->fd >= 0 && fstat(ret->fd, &st) == 0) {
            ret->n = st.st_size;
            return RC_OK;
        }
        if (ret->fd >= 0 || errno != ENOENT)
            return objects_error(err, str_c(name.z));
        find_packs(o);
        p = pack_with(o, id, &e);
    }
    return p ? open_packed(o, p, e, ret, err) : err_set(err, RC_CORRUPT, "the snapshots lack %s", name.z);
}

enum rc object_size(struct objects *o, const struct sha256 *id, int64_t *ret, struct err *err)
{
    struct found f;
    enum rc rc = object_open(o, id, &f, err);
    if (rc)
        return rc;
    *ret = f.n;
    close(f.fd);
    return RC_OK;
}

enum rc object_read(struct objects *o, const struct sha256 *id, size_t max, struct arena *a, struct str *ret,
                    struct err *err)
{
    struct found f;
    size_t n = 0;
    *ret = STR("");
    enum rc rc = object_open(o, id, &f, err);
    if (rc)
        return rc;
    if (f.n < 0 || (uint64_t)f.n > max)
        rc = err_set(err, RC_LIMIT, "a kept file is larger than %zu bytes", max);
    char *text = rc ? NULL : arena_alloc(a, (size_t)f.n + 1);
    if (rc == RC_OK)
        rc = read_some(f.fd, text, (size_t)f.n, &n, err);
    close(f.fd);
    if (rc)
        return rc;
    *ret = str_n(text, n);
    struct sha256 got = sha256_of(*ret);
    return memcmp(&got, id, sizeof got) == 0 ? RC_OK : changed(err, id);
}

enum rc object_write(struct objects *o, const struct sha256 *id, int to, struct err *err)
{
    struct found f;
    struct sha256 got;
    enum rc rc = object_open(o, id, &f, err);
    if (rc)
        return rc;
    bool cloned = !f.pack && f.n > PACKED_MAX && ioctl(to, FICLONE, f.fd) == 0;
    rc = digest(f.fd, f.n, cloned ? -1 : to, piece_of(o), &got, err);
    close(f.fd);
    return rc == RC_OK && memcmp(&got, id, sizeof got) != 0 ? changed(err, id) : rc;
}

enum rc object_sync(struct objects *o, const struct sha256 *id, struct err *err)
{
    struct found f;
    enum rc rc = object_open(o, id, &f, err);
    if (rc)
        return rc;
    if (!f.pack || !f.pack->synced) {
        if (fsync(f.fd) != 0 || (f.pack && fsync(o->packs_dir) != 0))
            rc = objects_error(err, STR("a snapshot"));
        else if (f.pack)
            f.pack->synced = true;
    }
    close(f.fd);
    return rc;
}

/* ---- in several stores ---- */

bool object_find(struct objects *o, const struct sha256 *id)
{
    struct object_name name = object_name(id);
    if (faccessat(o->dir.fd, name.z, F_OK, AT_SYMLINK_NOFOLLOW) != 0)
        return false;
    objects_have(o, id);
    return true;
}

enum rc object_link(struct objects *from, struct objects *to, const struct sha256 *id, struct err *err)
{
    struct object_name name = object_name(id);
    char dir[16];
    snprintf(dir, sizeof dir, "%.10s", name.z);
    for (int tries = 0; tries < 2; tries++) {
        if (fault_hit("store.no_links"))
            return err_set(err, RC_IO, "links cannot be made");
        if (linkat(from->dir.fd, name.z, to->dir.fd, name.z, 0) == 0) {
            objects_have(to, id);
            return RC_OK;
        }
        if (errno == EEXIST)
            return err_set(err, RC_EXISTS, "%s is there already", name.z);
        if (errno != ENOENT || tries || faccessat(from->dir.fd, name.z, F_OK, AT_SYMLINK_NOFOLLOW) != 0)
            break;
        enum rc rc = make_dir(to, dir, err);
        if (rc)
            return rc;
    }
    return errno == ENOENT ? err_set(err, RC_NOT_FOUND, "%s is not there", name.z) : objects_error(err, str_c(name.z));
}

/* All of the pack comes with it. */
static enum rc share_pack(struct objects *from, struct objects *to, const struct pack *p, struct err *err)
{
    struct pack *own;
    if (pack_named(to, p->name))
        return RC_OK;
    enum rc rc = pack_share(from->packs_dir, to->packs_dir, p, err);
    if (rc != RC_OK && rc != RC_EXISTS)
        return rc;
    bool vouched = rc == RC_OK && p->trusted;
    rc = pack_read(to->packs_dir, p->name, &own, err);
    if (rc)
        return rc;
    own->trusted = vouched;
    objects_add_pack(to, own);
    return RC_OK;
}

enum rc object_share(struct objects *from, struct objects *to, const struct sha256 *id, struct err *err)
{
    struct found f;
    struct sha256 got = *id;
    if (objects_has(to, id))
        return RC_OK;
    enum rc rc = object_open(from, id, &f, err); /* reads the packs, if it is in one that is not known */
    if (rc)
        return rc;
    if (f.pack)
        rc = share_pack(from, to, f.pack, err);
    else if ((rc = object_link(from, to, id, err)) == RC_EXISTS)
        rc = RC_OK;
    else if (rc)
        rc = object_keep(to, f.fd, &got, err);
    close(f.fd);
    return rc == RC_OK && memcmp(&got, id, sizeof got) != 0 ? changed(err, id) : rc;
}
