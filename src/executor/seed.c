/* Objects and packs are never changed, so another store gets the very files by link(2): the kernel counts who has them,
 * and removing runs in any order is safe. Where links cannot be made, packs are copied, and what is in neither is read
 * from the workspace again.
 *
 * What is known of a file is only as good as the content that it names. So the list of what was seen also names the
 * packs that its writer vouched for, and counts only while the machine runs: after a loss of power nobody knows what is
 * whole. A content that this store does not get counts as not known, and its file is read again. Thus a kill at any
 * point leaves contents that nobody names, or a list of which a part does not count; never a list that says too much.
 *
 * A pack is passed on while at least half of it is in use, the largest first and not more than a few dozen; what else
 * is in use is read from the workspace, into a new pack. So no run keeps much more than twice of what is there.
 *
 * Only file systems that this kernel alone writes to are trusted from one process to the next, and only stores of the
 * same user that nobody else can enter. */
#include "executor/seed.h"

#include "base/buf.h"
#include "base/fault.h"
#include "base/panic.h"
#include "executor/fs_kind.h"
#include "executor/scan_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    SEEN_MAX = 64 << 20,
    LIST_MAX = 64 << 10,
    PIECE = 64 << 10,
    STORES_MAX = 8,
    PACKS_MAX = 32,
    REREAD_PART = 16,
    BOOT_SIZE = 37
};

struct head {
    char magic[16], boot[BOOT_SIZE + 3];
    uint64_t dev, ino; /* of the workspace */
    uint64_t npacks;   /* names of PACK_NAME_SIZE follow, then the tree */
    struct sha256 rest;
};
static const char magic[16] = "treadle-seen-1\n";

static bool head_make(int workspace, struct head *ret)
{
    struct stat st;
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    *ret = (struct head){0};
    bool ok = fd >= 0 && read(fd, ret->boot, BOOT_SIZE) == BOOT_SIZE && fstat(workspace, &st) == 0;
    if (fd >= 0)
        close(fd);
    if (!ok)
        return false;
    memcpy(ret->magic, magic, sizeof magic);
    ret->dev = st.st_dev;
    ret->ino = st.st_ino;
    return true;
}

static bool read_file(int dir, const char *name, size_t max, struct buf *ret)
{
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    ssize_t n = fd >= 0 ? 1 : -1;
    buf_init(ret, max + PIECE);
    while (n > 0) {
        char *at = buf_reserve(ret, PIECE);
        n = at ? read(fd, at, PIECE) : -1;
        ret->n += n > 0 ? (size_t)n : 0;
    }
    if (fd >= 0)
        close(fd);
    return n == 0;
}

static bool write_file(int dir, const char *name, struct str text)
{
    char fresh[80];
    snprintf(fresh, sizeof fresh, ".%.60s-%d", name, (int)getpid());
    (void)unlinkat(dir, fresh, 0);
    int fd = openat(dir, fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool ok = fd >= 0;
    while (ok && text.n) {
        ssize_t n = write(fd, text.p, text.n);
        ok = n > 0 || errno == EINTR;
        text = str_from(text, n > 0 ? (size_t)n : 0);
    }
    if (fd >= 0)
        close(fd);
    if (fault_hit("seed.kill.written"))
        raise(SIGKILL);
    ok = ok && renameat(dir, fresh, dir, name) == 0;
    if (!ok)
        (void)unlinkat(dir, fresh, 0);
    return ok;
}

/* ---- which stores there are ---- */

static int open_list(const char *state_dir, bool make)
{
    char path[PATH_MAX];
    int n = snprintf(path, sizeof path, "%s/seeds", state_dir);
    if (n < 0 || (size_t)n >= sizeof path || (make && mkdir(path, 0700) != 0 && errno != EEXIST))
        return -1;
    return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
}

struct key {
    char z[40];
};
static struct key key_of(const struct head *h)
{
    struct key k;
    snprintf(k.z, sizeof k.z, "%llx-%llx", (unsigned long long)h->dev, (unsigned long long)h->ino);
    return k;
}

static bool take_line(struct str *text, struct str *ret)
{
    const char *end = text->n ? memchr(text->p, '\n', text->n) : NULL;
    if (!end)
        return false;
    *ret = str_n(text->p, (size_t)(end - text->p));
    *text = str_from(*text, ret->n + 1);
    return true;
}

/* A directory of ours that nobody else can enter. */
static int open_store(const char *state_dir, struct str path)
{
    char z[PATH_MAX];
    struct stat st;
    if (path.n >= sizeof z || !str_starts(path, str_c(state_dir)) || path.p[strlen(state_dir)] != '/')
        return -1;
    memcpy(z, path.p, path.n);
    z[path.n] = 0;
    int fd = open(z, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd >= 0 && (fstat(fd, &st) != 0 || st.st_uid != geteuid() || (st.st_mode & 077))) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static void enlist(const struct seed *seed, const struct objects *o, const struct head *h)
{
    struct buf was, now;
    struct key key = key_of(h);
    int dir = open_list(seed->state_dir, true);
    if (dir < 0 || memchr(o->dir.path.p, '\n', o->dir.path.n)) {
        if (dir >= 0)
            close(dir);
        return;
    }
    (void)read_file(dir, key.z, LIST_MAX, &was);
    buf_init(&now, LIST_MAX);
    buf_add(&now, o->dir.path);
    buf_addc(&now, '\n');
    struct str rest = buf_str(&was), line;
    for (int n = 1; n < STORES_MAX && take_line(&rest, &line);) {
        int fd = str_eq(line, o->dir.path) ? -1 : open_store(seed->state_dir, line);
        if (fd < 0)
            continue;
        close(fd);
        buf_add(&now, line);
        buf_addc(&now, '\n');
        n++;
    }
    if (!now.overflow && !str_eq(buf_str(&was), buf_str(&now)))
        (void)write_file(dir, key.z, buf_str(&now));
    buf_done(&was);
    buf_done(&now);
    close(dir);
}

/* ---- taking ---- */

struct taking {
    struct scan *scan;
    struct objects *o;
    struct objects other; /* of another run; only its directories are used */
    bool own;
    struct pack *packs; /* that the list vouches for */
    struct map counted;
    struct arena arena;
};

/* The list, when it is of this workspace and this start of the machine, and as it was written. */
static bool list_read(int store, const struct head *want, struct buf *text, struct head *h)
{
    if (!read_file(store, "seen", SEEN_MAX, text) || text->n < sizeof *h)
        return false;
    memcpy(h, text->p, sizeof *h);
    struct str rest = str_from(buf_str(text), sizeof *h);
    if (memcmp(h->magic, want->magic, sizeof h->magic) != 0 || memcmp(h->boot, want->boot, sizeof h->boot) != 0 ||
        h->dev != want->dev || h->ino != want->ino || h->npacks > rest.n / PACK_NAME_SIZE)
        return false;
    struct sha256 got = sha256_of(rest);
    return memcmp(&got, &h->rest, sizeof got) == 0;
}

static void read_packs(struct taking *t, struct str names)
{
    int dir = t->own ? t->o->packs_dir : t->other.packs_dir;
    for (; dir >= 0 && names.n >= PACK_NAME_SIZE; names = str_from(names, PACK_NAME_SIZE)) {
        struct pack *p;
        struct err ignored;
        if (!memchr(names.p, 0, PACK_NAME_SIZE) || !pack_is_name(names.p) ||
            pack_read(dir, names.p, &p, &ignored) != RC_OK)
            continue;
        p->next = t->packs;
        t->packs = p;
    }
}

/* Adds to what its pack has in use. */
static bool count(void *ctx, const struct sha256 *id)
{
    struct taking *t = ctx;
    const struct pack_entry *e = NULL;
    struct str key = str_n((const char *)id->b, sizeof id->b);
    struct pack *p = t->packs;
    while (p && !(e = pack_find(p, id)))
        p = p->next;
    if (p && !map_get(&t->counted, key)) {
        map_put(&t->counted, arena_str(&t->arena, key), p);
        p->used += e->n;
    }
    return true;
}

static int most_used(const void *a, const void *b)
{
    const struct pack *x = *(struct pack *const *)a, *y = *(struct pack *const *)b;
    return (x->used < y->used) - (x->used > y->used);
}

static void get_packs(struct taking *t)
{
    struct pack **v, *p;
    size_t n = 0, used = 0;
    for (p = t->packs; p; p = p->next)
        n++;
    v = arena_calloc(&t->arena, n + 1, sizeof(struct pack *));
    n = 0;
    for (p = t->packs; p; p = p->next)
        v[n++] = p;
    if (n)
        qsort(v, n, sizeof *v, most_used);
    t->packs = NULL;
    for (size_t i = 0; i < n; i++) {
        struct err ignored;
        bool worth = t->own || (used < PACKS_MAX && v[i]->used >= v[i]->bytes / 2);
        if (!worth || (!t->own && pack_share(t->other.packs_dir, t->o->packs_dir, v[i], &ignored) != RC_OK)) {
            pack_free(v[i]);
            continue;
        }
        used++;
        v[i]->trusted = true;
        objects_add_pack(t->o, v[i]);
        if (fault_hit("seed.kill.linked"))
            raise(SIGKILL);
    }
}

static bool get_content(void *ctx, const struct sha256 *id)
{
    struct taking *t = ctx;
    struct err ignored;
    if (objects_has(t->o, id))
        return true;
    if (!t->own)
        return object_link(&t->other, t->o, id, &ignored) == RC_OK;
    return object_find(t->o, id);
}

/* From a store: this one, or (`fd`) another one. */
static bool take_from(struct scan *scan, struct objects *o, int fd, const struct head *want)
{
    struct taking t = {.scan = scan, .o = o, .own = fd < 0, .other = {.dir.fd = fd, .packs_dir = -1}};
    struct buf text;
    struct head h;
    bool ok = list_read(t.own ? o->dir.fd : fd, want, &text, &h);
    if (ok) {
        struct str rest = str_from(buf_str(&text), sizeof h);
        size_t names = h.npacks * PACK_NAME_SIZE;
        ok = scan_read(scan, str_from(rest, names));
        if (ok && !t.own)
            t.other.packs_dir = openat(fd, "packs", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (ok)
            read_packs(&t, str_n(rest.p, names));
    }
    if (ok) {
        scan_check(scan, count, &t);
        get_packs(&t);
        scan_check(scan, get_content, &t);
    }
    buf_done(&text);
    if (t.other.packs_dir >= 0)
        close(t.other.packs_dir);
    map_done(&t.counted);
    arena_done(&t.arena);
    return ok;
}

static bool is_possible(const struct seed *seed, const struct scan *scan, const struct objects *o, struct head *want)
{
    return seed->state_dir && o->packs_dir >= 0 && (fs_kind(scan->fd) & FS_LOCAL) && head_make(scan->fd, want);
}

void seed_take(struct seed *seed, struct scan *scan, struct objects *o)
{
    struct head want;
    struct buf list;
    struct str rest, line;
    seed->from = -1;
    seed->own = false;
    if (!is_possible(seed, scan, o, &want) || (seed->own = take_from(scan, o, -1, &want)))
        return;
    struct key key = key_of(&want);
    int dir = open_list(seed->state_dir, false);
    if (dir < 0)
        return;
    (void)read_file(dir, key.z, LIST_MAX, &list);
    close(dir);
    rest = buf_str(&list);
    while (seed->from < 0 && take_line(&rest, &line)) {
        int fd = str_eq(line, o->dir.path) ? -1 : open_store(seed->state_dir, line);
        if (fd >= 0 && take_from(scan, o, fd, &want))
            seed->from = fd;
        else if (fd >= 0)
            close(fd);
    }
    buf_done(&list);
}

/* ---- leaving ---- */

static bool list_write(const struct scan *scan, const struct objects *o, struct head *h)
{
    struct buf text;
    buf_init(&text, SEEN_MAX);
    buf_add(&text, str_n((const char *)h, sizeof *h));
    for (const struct pack *p = o->packs; p; p = p->next)
        if (p->trusted) {
            buf_add(&text, str_n(p->name, sizeof p->name));
            h->npacks++;
        }
    scan_write(scan, &text);
    bool ok = !text.overflow;
    if (ok) {
        h->rest = sha256_of(str_from(buf_str(&text), sizeof *h));
        memcpy(text.p, h, sizeof *h);
        ok = write_file(o->dir.fd, "seen", buf_str(&text));
    }
    buf_done(&text);
    return ok;
}

/* The same list does as long as only little of it is old: what is, is read again by each run. */
static bool list_share(int from, const struct objects *o)
{
    static const char fresh[] = ".seen-link";
    (void)unlinkat(o->dir.fd, fresh, 0);
    bool ok = !fault_hit("store.no_links") && linkat(from, "seen", o->dir.fd, fresh, 0) == 0 &&
              renameat(o->dir.fd, fresh, o->dir.fd, "seen") == 0;
    (void)unlinkat(o->dir.fd, fresh, 0);
    return ok;
}

void seed_leave(struct seed *seed, const struct scan *scan, struct objects *o)
{
    struct head h;
    bool as_before = (seed->own || seed->from >= 0) && scan->looked <= scan->entries / REREAD_PART;
    bool possible = is_possible(seed, scan, o, &h);
    if (possible && !(as_before && (seed->own || list_share(seed->from, o))))
        possible = list_write(scan, o, &h);
    if (possible)
        enlist(seed, o, &h);
    if (seed->from >= 0)
        close(seed->from);
    seed->from = -1;
    seed->own = false;
}

void seeds_sweep(const char *state_dir)
{
    int list = open_list(state_dir, false), fd = list < 0 ? -1 : openat(list, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (!d && fd >= 0)
        close(fd);
    for (struct dirent *e; d && (e = readdir(d));) {
        struct buf text;
        struct str rest, line;
        bool any = false;
        if (str_is(str_c(e->d_name), ".") || str_is(str_c(e->d_name), ".."))
            continue;
        if (e->d_name[0] == '.') { /* of one who died, or is at it; then the next run does without */
            (void)unlinkat(list, e->d_name, 0);
            continue;
        }
        (void)read_file(list, e->d_name, LIST_MAX, &text);
        for (rest = buf_str(&text); !any && take_line(&rest, &line);) {
            int store = open_store(state_dir, line);
            any = store >= 0;
            if (any)
                close(store);
        }
        if (!any)
            (void)unlinkat(list, e->d_name, 0);
        buf_done(&text);
    }
    if (d)
        closedir(d);
    if (list >= 0)
        close(list);
}
