/* Recording is a flat list of entries under one mutex. Replaying keeps, per file, the bytes that are certainly on the
 * disk and the list of changes that are not; a sync moves the one into the other.
 *
 * Names and contents are apart, as on a real disk: a file that was removed and made again is another inode, and which
 * of the two its name leads to after a crash is decided by how much of the directory's history survived (a prefix of
 * it; at least up to the last name that was synced, as SQLite syncs the directory with a new WAL). */
#include "crash/crash_vfs.h"

#include "base/panic.h"
#include "base/rng.h"

#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SECTOR = 512, NAMES = 16, INODES = 256 };

enum change { WRITE, TRUNCATE, SYNC, CREATE, DELETE, SYNC_DIRECTORY };
struct entry {
    enum change change;
    int inode; /* DELETE and CREATE too: which inode the name leads to */
    uint64_t offset, size;
    unsigned char *data;
};
struct bytes {
    unsigned char *p;
    uint64_t n, cap;
};
struct inode {
    int name;
    struct bytes base; /* what was on the disk when it was first seen */
};
struct crash_log {
    sqlite3_vfs vfs, *real;
    pthread_mutex_t mutex;       /* of the entries */
    pthread_mutex_t names_mutex; /* of names, current, inodes; taken first */
    struct entry *entries;
    uint64_t n, cap, writes, syncs;
    char *names[NAMES];
    int current[NAMES]; /* the inode each name leads to, or -1 */
    struct inode inodes[INODES];
    int inode_count;
    const char *synced; /* crash_vfs_assume(): a directory, or NULL */
};
struct crash_file {
    sqlite3_file file;
    struct crash_log *log;
    int inode; /* -1: a temporary file, not recorded */
    sqlite3_file *real;
};

static void *must_alloc(void *p)
{
    if (!p)
        PANIC("out of memory");
    return p;
}

static void record(struct crash_log *l, struct entry e, const void *data)
{
    if (data) {
        e.data = must_alloc(malloc(e.size ? e.size : 1));
        memcpy(e.data, data, e.size);
    }
    pthread_mutex_lock(&l->mutex);
    if (l->n == l->cap) {
        l->cap = l->cap ? l->cap * 2 : 1024;
        l->entries = must_alloc(realloc(l->entries, l->cap * sizeof *l->entries));
    }
    l->entries[l->n++] = e;
    l->writes += e.change == WRITE || e.change == TRUNCATE;
    l->syncs += e.change == SYNC;
    pthread_mutex_unlock(&l->mutex);
}

uint64_t crash_vfs_position(struct crash_log *l)
{
    pthread_mutex_lock(&l->mutex);
    uint64_t n = l->n;
    pthread_mutex_unlock(&l->mutex);
    return n;
}
uint64_t crash_vfs_writes(struct crash_log *l)
{
    return l->writes;
}
uint64_t crash_vfs_syncs(struct crash_log *l)
{
    return l->syncs;
}

uint64_t crash_vfs_next_sync(const struct crash_log *l, uint64_t position)
{
    while (position < l->n && l->entries[position].change != SYNC)
        position++;
    return position;
}

/* ---- recording ---- */

static struct crash_file *of(sqlite3_file *f)
{
    return (struct crash_file *)f;
}
static int f_close(sqlite3_file *f)
{
    return of(f)->real->pMethods->xClose(of(f)->real);
}
static int f_read(sqlite3_file *f, void *to, int n, sqlite3_int64 at)
{
    return of(f)->real->pMethods->xRead(of(f)->real, to, n, at);
}
static int f_write(sqlite3_file *f, const void *from, int n, sqlite3_int64 at)
{
    if (of(f)->inode >= 0)
        record(of(f)->log, (struct entry){WRITE, of(f)->inode, (uint64_t)at, (uint64_t)n, NULL}, from);
    return of(f)->real->pMethods->xWrite(of(f)->real, from, n, at);
}
static int f_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    if (of(f)->inode >= 0)
        record(of(f)->log, (struct entry){TRUNCATE, of(f)->inode, 0, (uint64_t)size, NULL}, NULL);
    return of(f)->real->pMethods->xTruncate(of(f)->real, size);
}
static int f_sync(sqlite3_file *f, int flags)
{
    int code = of(f)->real->pMethods->xSync(of(f)->real, flags);
    if (of(f)->inode >= 0 && code == SQLITE_OK)
        record(of(f)->log, (struct entry){SYNC, of(f)->inode, 0, 0, NULL}, NULL);
    return code;
}
static int f_size(sqlite3_file *f, sqlite3_int64 *size)
{
    return of(f)->real->pMethods->xFileSize(of(f)->real, size);
}
static int f_lock(sqlite3_file *f, int level)
{
    return of(f)->real->pMethods->xLock(of(f)->real, level);
}
static int f_unlock(sqlite3_file *f, int level)
{
    return of(f)->real->pMethods->xUnlock(of(f)->real, level);
}
static int f_reserved(sqlite3_file *f, int *ret)
{
    return of(f)->real->pMethods->xCheckReservedLock(of(f)->real, ret);
}
static int f_control(sqlite3_file *f, int op, void *arg)
{
    return of(f)->real->pMethods->xFileControl(of(f)->real, op, arg);
}
static int f_sector(sqlite3_file *f)
{
    return of(f)->real->pMethods->xSectorSize(of(f)->real);
}
static int f_device(sqlite3_file *f)
{
    return of(f)->real->pMethods->xDeviceCharacteristics(of(f)->real);
}
static int f_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **ret)
{
    return of(f)->real->pMethods->xShmMap(of(f)->real, page, size, extend, ret);
}
static int f_shm_lock(sqlite3_file *f, int offset, int n, int flags)
{
    return of(f)->real->pMethods->xShmLock(of(f)->real, offset, n, flags);
}
static void f_shm_barrier(sqlite3_file *f)
{
    of(f)->real->pMethods->xShmBarrier(of(f)->real);
}
static int f_shm_unmap(sqlite3_file *f, int remove)
{
    return of(f)->real->pMethods->xShmUnmap(of(f)->real, remove);
}

/* Version 2: no memory-mapped reads or writes of the files themselves. */
static const sqlite3_io_methods methods = {
    2,         f_close,  f_read,   f_write,   f_truncate, f_sync,        f_size,      f_lock, f_unlock, f_reserved,
    f_control, f_sector, f_device, f_shm_map, f_shm_lock, f_shm_barrier, f_shm_unmap, NULL,   NULL};

static int name_index(struct crash_log *l, const char *name)
{
    for (int i = 0; i < NAMES; i++) {
        if (!l->names[i]) {
            l->names[i] = must_alloc(strdup(name));
            l->current[i] = -1;
        }
        if (strcmp(l->names[i], name) == 0)
            return i;
    }
    PANIC("too many files");
}

void crash_vfs_assume(struct crash_log *l, const char *dir)
{
    l->synced = dir;
}

/* Reads the file of that base name in the directory of what is synced. */
static struct bytes read_synced(const struct crash_log *l, const char *name)
{
    struct bytes b = {0};
    char path[4096];
    const char *base = strrchr(name, '/');
    snprintf(path, sizeof path, "%s/%s", l->synced, base ? base + 1 : name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return b;
    b.n = b.cap = (uint64_t)lseek(fd, 0, SEEK_END);
    b.p = must_alloc(malloc(b.n + 1));
    CHECK(pread(fd, b.p, b.n, 0) == (ssize_t)b.n);
    close(fd);
    return b;
}

/* The inode of a file that is being opened; what is in it already counts as synced when it was never seen before. */
static int find_inode_locked(struct crash_log *l, const char *name, sqlite3_file *real)
{
    int i = name_index(l, name);
    if (l->current[i] >= 0)
        return l->current[i];
    CHECK(l->inode_count < INODES);
    int inode = l->current[i] = l->inode_count++;
    l->inodes[inode].name = i;
    sqlite3_int64 size = 0;
    real->pMethods->xFileSize(real, &size);
    struct bytes now = {must_alloc(malloc((size_t)size + 1)), (uint64_t)size, (uint64_t)size};
    CHECK(size == 0 || real->pMethods->xRead(real, now.p, (int)size, 0) == SQLITE_OK);
    l->inodes[inode].base = l->synced ? read_synced(l, name) : now;
    record(l, (struct entry){CREATE, inode, 0, 0, NULL}, NULL);
    if (l->inodes[inode].base.n)
        record(l, (struct entry){SYNC, inode, 0, 0, NULL}, NULL);
    if (l->synced) {
        record(l, (struct entry){WRITE, inode, 0, now.n, NULL}, now.p);
        record(l, (struct entry){TRUNCATE, inode, 0, now.n, NULL}, NULL);
        free(now.p);
    }
    return inode;
}

static int find_inode(struct crash_log *l, const char *name, sqlite3_file *real)
{
    pthread_mutex_lock(&l->names_mutex);
    int inode = find_inode_locked(l, name, real);
    pthread_mutex_unlock(&l->names_mutex);
    return inode;
}

static int v_open(sqlite3_vfs *v, const char *name, sqlite3_file *f, int flags, int *out)
{
    struct crash_log *l = v->pAppData;
    struct crash_file *cf = of(f);
    memset(cf, 0, sizeof *cf);
    cf->log = l;
    cf->inode = -1;
    cf->real = (sqlite3_file *)(cf + 1);
    int code = l->real->xOpen(l->real, name, cf->real, flags, out);
    if (!cf->real->pMethods)
        return code;
    cf->file.pMethods = &methods;
    if (code == SQLITE_OK && name && flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL))
        cf->inode = find_inode(l, name, cf->real);
    return code;
}
static int v_delete(sqlite3_vfs *v, const char *name, int sync_directory)
{
    struct crash_log *l = v->pAppData;
    pthread_mutex_lock(&l->names_mutex);
    int i = name_index(l, name);
    int code = l->real->xDelete(l->real, name, sync_directory);
    if (code == SQLITE_OK && l->current[i] >= 0) {
        record(l, (struct entry){DELETE, l->current[i], 0, 0, NULL}, NULL);
        if (sync_directory)
            record(l, (struct entry){SYNC_DIRECTORY, 0, 0, 0, NULL}, NULL);
        l->current[i] = -1;
    }
    pthread_mutex_unlock(&l->names_mutex);
    return code;
}
static int v_access(sqlite3_vfs *v, const char *name, int flags, int *ret)
{
    struct crash_log *l = v->pAppData;
    return l->real->xAccess(l->real, name, flags, ret);
}
static int v_full(sqlite3_vfs *v, const char *name, int n, char *out)
{
    struct crash_log *l = v->pAppData;
    return l->real->xFullPathname(l->real, name, n, out);
}
static int v_random(sqlite3_vfs *v, int n, char *out)
{
    struct crash_log *l = v->pAppData;
    return l->real->xRandomness(l->real, n, out);
}
static int v_sleep(sqlite3_vfs *v, int us)
{
    struct crash_log *l = v->pAppData;
    return l->real->xSleep(l->real, us);
}
static int v_time(sqlite3_vfs *v, double *out)
{
    struct crash_log *l = v->pAppData;
    return l->real->xCurrentTime(l->real, out);
}
static int v_error(sqlite3_vfs *v, int n, char *out)
{
    struct crash_log *l = v->pAppData;
    return l->real->xGetLastError(l->real, n, out);
}

struct crash_log *crash_vfs_new(const char *name)
{
    struct crash_log *l = must_alloc(calloc(1, sizeof *l));
    pthread_mutex_init(&l->mutex, NULL);
    pthread_mutex_init(&l->names_mutex, NULL);
    CHECK(sqlite3_initialize() == SQLITE_OK);
    l->real = sqlite3_vfs_find(NULL);
    l->vfs = (sqlite3_vfs){.iVersion = 1,
                           .szOsFile = (int)sizeof(struct crash_file) + l->real->szOsFile,
                           .mxPathname = l->real->mxPathname,
                           .zName = name,
                           .pAppData = l,
                           .xOpen = v_open,
                           .xDelete = v_delete,
                           .xAccess = v_access,
                           .xFullPathname = v_full,
                           .xRandomness = v_random,
                           .xSleep = v_sleep,
                           .xCurrentTime = v_time,
                           .xGetLastError = v_error};
    CHECK(sqlite3_vfs_register(&l->vfs, 0) == SQLITE_OK);
    return l;
}

void crash_vfs_free(struct crash_log *l)
{
    sqlite3_vfs_unregister(&l->vfs);
    for (uint64_t i = 0; i < l->n; i++)
        free(l->entries[i].data);
    for (int i = 0; i < NAMES; i++)
        free(l->names[i]);
    for (int i = 0; i < l->inode_count; i++)
        free(l->inodes[i].base.p);
    free(l->entries);
    pthread_mutex_destroy(&l->mutex);
    pthread_mutex_destroy(&l->names_mutex);
    free(l);
}

/* ---- replaying ---- */

struct crash_disk {
    const struct crash_log *log;
    uint64_t position;
    struct {
        struct bytes durable;
        uint64_t *pending; /* entries that no sync has covered */
        uint64_t n, cap;
    } inode[INODES];
    uint64_t *names; /* CREATE and DELETE entries in order */
    uint64_t name_count, name_cap, names_durable;
};

struct crash_disk *crash_disk_new(const struct crash_log *l)
{
    struct crash_disk *d = must_alloc(calloc(1, sizeof *d));
    d->log = l;
    return d;
}
void crash_disk_free(struct crash_disk *d)
{
    for (int i = 0; i < INODES; i++) {
        free(d->inode[i].durable.p);
        free(d->inode[i].pending);
    }
    free(d->names);
    free(d);
}

static void resize(struct bytes *b, uint64_t n)
{
    if (n > b->cap) {
        b->cap = n * 2;
        b->p = must_alloc(realloc(b->p, b->cap));
    }
    if (n > b->n)
        memset(b->p + b->n, 0, n - b->n);
    b->n = n;
}
static void put(struct bytes *b, uint64_t offset, const unsigned char *p, uint64_t n)
{
    if (offset + n > b->n)
        resize(b, offset + n);
    memcpy(b->p + offset, p, n);
}

static void apply(struct bytes *b, const struct entry *e)
{
    if (e->change == WRITE)
        put(b, e->offset, e->data, e->size);
    else
        resize(b, e->size);
}

/* A write of which some sectors arrived. Sectors are those of the disk, not of the write. */
static void tear(struct bytes *b, const struct entry *e, struct rng *r)
{
    bool prefix = rng_below(r, 2); /* the usual way; the other is any subset */
    uint64_t end = e->offset + e->size, cut = e->offset + rng_below(r, e->size + 1);
    for (uint64_t at = e->offset; at < end;) {
        uint64_t next = (at / SECTOR + 1) * SECTOR;
        if (next > end)
            next = end;
        if (prefix ? next <= cut : rng_below(r, 2))
            put(b, at, e->data + (at - e->offset), next - at);
        at = next;
    }
}

static void append(uint64_t **list, uint64_t *n, uint64_t *cap, uint64_t value)
{
    if (*n == *cap) {
        *cap = *cap ? *cap * 2 : 64;
        *list = must_alloc(realloc(*list, *cap * sizeof **list));
    }
    (*list)[(*n)++] = value;
}

void crash_disk_advance(struct crash_disk *d, uint64_t position)
{
    CHECK(position >= d->position && position <= d->log->n);
    for (; d->position < position; d->position++) {
        const struct entry *e = &d->log->entries[d->position];
        switch (e->change) {
        case WRITE:
        case TRUNCATE:
            append(&d->inode[e->inode].pending, &d->inode[e->inode].n, &d->inode[e->inode].cap, d->position);
            break;
        case SYNC:
            for (uint64_t i = 0; i < d->inode[e->inode].n; i++)
                apply(&d->inode[e->inode].durable, &d->log->entries[d->inode[e->inode].pending[i]]);
            d->inode[e->inode].n = 0;
            for (uint64_t i = d->names_durable; i < d->name_count; i++)
                if (d->log->entries[d->names[i]].inode == e->inode && d->log->entries[d->names[i]].change == CREATE)
                    d->names_durable = i + 1;
            break;
        case CREATE:
            if (d->log->inodes[e->inode].base.n)
                put(&d->inode[e->inode].durable, 0, d->log->inodes[e->inode].base.p, d->log->inodes[e->inode].base.n);
            append(&d->names, &d->name_count, &d->name_cap, d->position);
            break;
        case DELETE:
            append(&d->names, &d->name_count, &d->name_cap, d->position);
            break;
        case SYNC_DIRECTORY:
            d->names_durable = d->name_count;
            break;
        }
    }
}

/* What could be in the inode. */
static struct bytes survive(const struct crash_disk *d, int inode, uint64_t seed, struct rng *r)
{
    struct bytes b = {0};
    const struct bytes *durable = &d->inode[inode].durable;
    if (durable->n)
        put(&b, 0, durable->p, durable->n);
    uint64_t keep = rng_below(r, 101); /* percent: some losses are mild, some terrible */
    for (uint64_t i = 0; i < d->inode[inode].n; i++) {
        const struct entry *e = &d->log->entries[d->inode[inode].pending[i]];
        if (seed == 0)
            continue;
        if (seed == 1 || rng_below(r, 100) < keep)
            apply(&b, e);
        else if (e->change == WRITE && rng_below(r, 3) == 0)
            tear(&b, e, r);
    }
    return b;
}

void crash_disk_write(const struct crash_disk *d, uint64_t seed, const char *dir)
{
    struct rng r;
    rng_seed(&r, seed);
    uint64_t unsure = d->name_count - d->names_durable;
    uint64_t history = seed == 0   ? d->names_durable
                       : seed == 1 ? d->name_count
                                   : d->names_durable + rng_below(&r, unsure + 1);
    int leads_to[NAMES];
    for (int i = 0; i < NAMES; i++)
        leads_to[i] = -1;
    for (uint64_t i = 0; i < history; i++) {
        const struct entry *e = &d->log->entries[d->names[i]];
        leads_to[d->log->inodes[e->inode].name] = e->change == CREATE ? e->inode : -1;
    }
    for (int i = 0; i < NAMES && d->log->names[i]; i++) {
        const char *base = strrchr(d->log->names[i], '/');
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", dir, base ? base + 1 : d->log->names[i]);
        unlink(path);
        if (leads_to[i] < 0)
            continue;
        struct bytes b = survive(d, leads_to[i], seed, &r);
        int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        CHECK(fd >= 0);
        CHECK(write(fd, b.p ? (const void *)b.p : "", b.n) == (ssize_t)b.n);
        close(fd);
        free(b.p);
    }
}
