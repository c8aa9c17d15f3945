/* The table stands at the end, since only then it is known; its hash names the file and is checked when it is read. The
 * contents have hashes of their own, which whoever reads one checks (objects.c): so a pack that a loss of power has
 * torn gives no wrong content, only an error. */
#include "executor/pack.h"

#include "base/buf.h"
#include "base/fault.h"
#include "base/map.h"
#include "base/panic.h"
#include "executor/fresh.h"
#include "executor/objects.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    ENTRY_SIZE = 32 + 8 + 8,
    TAIL_SIZE = 8 + 8 + 8 + 32,
    ENTRIES_MAX = 1 << 20,
    GATHERED = 1 << 20 /* bytes that are written at once */
};
static const char magic[8] = "TRPACK1\n";

/* ---- what is in one ---- */

bool pack_is_name(const char *name)
{
    struct str s = str_c(name);
    return s.n > 5 && s.n < PACK_NAME_SIZE && name[0] != '.' && str_ends(s, STR(".pack"));
}

static void name_of(const struct sha256 *table, char ret[PACK_NAME_SIZE])
{
    struct sha256_hex x = sha256_hex(table);
    snprintf(ret, PACK_NAME_SIZE, "%.32s.pack", x.z);
}

static int by_id(const void *a, const void *b)
{
    return memcmp(&((const struct pack_entry *)a)->id, &((const struct pack_entry *)b)->id, sizeof(struct sha256));
}

const struct pack_entry *pack_find(const struct pack *p, const struct sha256 *id)
{
    struct pack_entry key = {.id = *id};
    return p->n ? bsearch(&key, p->v, p->n, sizeof *p->v, by_id) : NULL;
}

void pack_free(struct pack *p)
{
    if (!p)
        return;
    free(p->v);
    free(p);
}

static bool read_at(int fd, char *to, size_t n, uint64_t at)
{
    while (n) {
        ssize_t k = pread(fd, to, n, (off_t)at);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return false;
        to += k, n -= (size_t)k, at += (uint64_t)k;
    }
    return true;
}

static uint64_t get64(const char *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return le64toh(v);
}

static void put64(struct buf *b, uint64_t v)
{
    v = htole64(v);
    buf_add(b, str_n((const char *)&v, sizeof v));
}

static bool entries_read(const char *table, size_t n, uint64_t size, struct pack *p)
{
    p->v = calloc(n + 1, sizeof *p->v);
    CHECK(p->v);
    for (p->n = 0; p->n < n; p->n++, table += ENTRY_SIZE) {
        struct pack_entry *e = &p->v[p->n];
        memcpy(e->id.b, table, sizeof e->id.b);
        e->at = get64(table + 32);
        e->n = get64(table + 40);
        if (e->at > size || e->n > size - e->at || (p->n && by_id(e - 1, e) >= 0))
            return false;
    }
    p->bytes = size;
    return true;
}

static bool table_read(int fd, const char *name, struct pack *p)
{
    char tail[TAIL_SIZE];
    struct stat st;
    struct sha256 want;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size < TAIL_SIZE ||
        !read_at(fd, tail, sizeof tail, (uint64_t)st.st_size - TAIL_SIZE) || memcmp(tail, magic, sizeof magic) != 0)
        return false;
    uint64_t n = get64(tail + 8), at = get64(tail + 16), end = (uint64_t)st.st_size - TAIL_SIZE;
    if (n > ENTRIES_MAX || at > end || end - at != n * ENTRY_SIZE)
        return false;
    memcpy(want.b, tail + 24, sizeof want.b);
    name_of(&want, p->name);
    char *table = malloc(n * ENTRY_SIZE + 1);
    CHECK(table);
    bool ok = strcmp(p->name, name) == 0 && read_at(fd, table, n * ENTRY_SIZE, at);
    if (ok) {
        struct sha256 got = sha256_of(str_n(table, n * ENTRY_SIZE));
        ok = memcmp(&got, &want, sizeof got) == 0 && entries_read(table, n, at, p);
    }
    free(table);
    return ok;
}

enum rc pack_read(int dir, const char *name, struct pack **ret, struct err *err)
{
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    *ret = NULL;
    if (fd < 0)
        return objects_error(err, str_c(name));
    struct pack *p = calloc(1, sizeof *p);
    CHECK(p);
    bool ok = table_read(fd, name, p);
    close(fd);
    if (!ok) {
        pack_free(p);
        return err_set(err, RC_CORRUPT, "a part of the snapshots, %s, is damaged", name);
    }
    *ret = p;
    return RC_OK;
}

/* ---- a new one ---- */

struct pack_writer {
    int dir;
    struct fresh file;
    struct buf out; /* not written yet */
    uint64_t at;
    struct map have; /* hash -> entry */
    struct arena arena;
    bool broken;
};

static void writer_free(struct pack_writer *w)
{
    if (w->file.fd >= 0)
        close(w->file.fd);
    buf_done(&w->out);
    map_done(&w->have);
    arena_done(&w->arena);
    free(w);
}

enum rc pack_begin(int dir, struct pack_writer **ret, struct err *err)
{
    struct pack_writer *w = calloc(1, sizeof *w);
    CHECK(w);
    *w = (struct pack_writer){.dir = dir, .file.fd = -1};
    buf_init(&w->out, 4 * (size_t)GATHERED + (size_t)ENTRIES_MAX * ENTRY_SIZE);
    enum rc rc = fresh_open(dir, "", "a part of the snapshots", &w->file, err);
    *ret = rc ? NULL : w;
    if (rc)
        writer_free(w);
    return rc;
}

static struct str key_of(const struct sha256 *id)
{
    return str_n((const char *)id->b, sizeof id->b);
}

bool pack_has(const struct pack_writer *w, const struct sha256 *id)
{
    return map_get(&w->have, key_of(id));
}

static enum rc write_out(struct pack_writer *w, struct err *err)
{
    struct str text = buf_str(&w->out);
    while (text.n) {
        ssize_t n = write(w->file.fd, text.p, text.n);
        if (n < 0 && errno != EINTR) {
            w->broken = true;
            return objects_error(err, STR("a part of the snapshots"));
        }
        if (n > 0)
            text = str_from(text, (size_t)n);
    }
    buf_clear(&w->out);
    return RC_OK;
}

enum rc pack_add(struct pack_writer *w, struct str content, const struct sha256 *id, struct err *err)
{
    CHECK(content.n <= GATHERED);
    if (w->have.n >= ENTRIES_MAX)
        return err_set(err, RC_LIMIT, "there are more than %d contents to keep", (int)ENTRIES_MAX);
    struct pack_entry *e = ARENA_NEW(&w->arena, struct pack_entry);
    *e = (struct pack_entry){.id = *id, .at = w->at, .n = content.n};
    map_put(&w->have, key_of(&e->id), e);
    w->at += content.n;
    buf_add(&w->out, content);
    return w->out.n >= GATHERED ? write_out(w, err) : RC_OK;
}

static struct pack *finished(const struct pack_writer *w)
{
    struct pack *p = calloc(1, sizeof *p);
    struct map_entry *e;
    CHECK(p);
    p->v = calloc(w->have.n + 1, sizeof *p->v);
    CHECK(p->v);
    for (size_t i = 0; (e = map_next(&w->have, &i));)
        p->v[p->n++] = *(const struct pack_entry *)e->value;
    if (p->n)
        qsort(p->v, p->n, sizeof *p->v, by_id);
    p->bytes = w->at;
    p->trusted = true;
    return p;
}

enum rc pack_seal(struct pack_writer *w, struct pack **ret, struct err *err)
{
    *ret = NULL;
    enum rc rc = w->broken ? err_set(err, RC_IO, "a part of the snapshots could not be written") : write_out(w, err);
    if (rc) {
        pack_drop(w);
        return rc;
    }
    struct pack *p = finished(w);
    for (size_t i = 0; i < p->n; i++) {
        buf_add(&w->out, key_of(&p->v[i].id));
        put64(&w->out, p->v[i].at);
        put64(&w->out, p->v[i].n);
    }
    struct sha256 table = sha256_of(buf_str(&w->out));
    buf_add(&w->out, str_n(magic, sizeof magic));
    put64(&w->out, p->n);
    put64(&w->out, p->bytes);
    buf_add(&w->out, key_of(&table));
    CHECK(!w->out.overflow);
    name_of(&table, p->name);
    rc = write_out(w, err);
    if (rc == RC_OK && (fchmod(w->file.fd, 0400) != 0 || renameat(w->dir, w->file.name, w->dir, p->name) != 0))
        rc = objects_error(err, str_c(p->name));
    if (rc) {
        pack_free(p);
        pack_drop(w);
        return rc;
    }
    writer_free(w);
    *ret = p;
    return RC_OK;
}

void pack_drop(struct pack_writer *w)
{
    if (!w)
        return;
    (void)unlinkat(w->dir, w->file.name, 0);
    writer_free(w);
}

/* ---- in several directories ---- */

static enum rc copy_pack(int from, int to, const struct pack *p, struct err *err)
{
    struct pack_writer *w;
    enum rc rc = pack_begin(to, &w, err);
    if (rc)
        return rc;
    int in = openat(from, p->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    bool ok = in >= 0;
    char *piece = ok ? buf_reserve(&w->out, GATHERED) : NULL;
    for (ssize_t n = 1; ok && piece && n;) {
        n = read(in, piece, GATHERED);
        ok = n >= 0 || errno == EINTR;
        if (n > 0) {
            w->out.n = (size_t)n;
            if (write_out(w, err) != RC_OK)
                ok = false;
        }
    }
    if (!ok || fchmod(w->file.fd, 0400) != 0 || renameat(w->dir, w->file.name, w->dir, p->name) != 0) {
        rc = objects_error(err, str_c(p->name));
        pack_drop(w);
    } else {
        writer_free(w);
    }
    if (in >= 0)
        close(in);
    return rc;
}

enum rc pack_share(int from, int to, const struct pack *p, struct err *err)
{
    bool links = !fault_hit("store.no_links");
    if (links && linkat(from, p->name, to, p->name, 0) == 0)
        return RC_OK;
    if (links && errno == EEXIST)
        return err_set(err, RC_EXISTS, "%s is there already", p->name);
    if (links && errno == ENOENT)
        return err_set(err, RC_NOT_FOUND, "%s is gone", p->name);
    return copy_pack(from, to, p, err);
}
