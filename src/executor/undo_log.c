/* An entry is written beside its name, synced, and renamed; what was there before the effect is synced with it. Of an
 * effect that worked in the workspace itself it is not known for certain what it changed. Its entry says so before it
 * begins, and is written once more when it has ended, with what differs from before: that is shown (`treadle diff`),
 * but never taken back, because some of it may be somebody else's. */
#include "executor/undo_log.h"

#include "base/buf.h"
#include "base/fault.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { ENTRY_MAX = 256 << 20, CHUNK = 128 << 10, SYNC_EACH_MAX = 64, PATHS_DEEP = 4096 };

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
    enum rc rc = fd < 0 ? objects_error(err, STR("undo/.entry")) : RC_OK;
    while (rc == RC_OK && text.n) {
        ssize_t n = write(fd, text.p, text.n);
        if (n < 0 && errno != EINTR)
            rc = objects_error(err, STR("undo/.entry"));
        if (n > 0)
            text = str_from(text, (size_t)n);
    }
    if (rc == RC_OK && (fsync(fd) != 0 || renameat(dir, ".entry", dir, name) != 0 || fsync(dir) != 0))
        rc = objects_error(err, STR("undo/.entry"));
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
        return objects_error(err, STR("undo"));
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
        return objects_error(err, str_c(name));
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
    uint32_t *v = NULL;
    size_t n = 0;
    enum rc rc = numbers(s, a, &v, &n, err);
    for (size_t i = 0; rc == RC_OK && i < n; i++) {
        struct undo u = {0};
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
        return syncfs(s->dir.fd) == 0 ? RC_OK : objects_error(err, STR("the snapshots"));
    enum rc rc = RC_OK;
    for (size_t i = 0; rc == RC_OK && i < c->n; i++)
        if (c->v[i].before.type == NODE_FILE || c->v[i].before.type == NODE_LINK)
            rc = object_sync(&s->objects, &c->v[i].before.hash, err);
    return rc;
}

enum rc undo_write(struct snapshots *s, struct undo *u, struct err *err)
{
    struct arena a = {0};
    struct buf b;
    uint32_t *v;
    size_t n = 0;
    char name[32];
    enum rc rc = s->last_undo || u->number ? RC_OK : numbers(s, &a, &v, &n, err);
    if (rc == RC_OK && n)
        s->last_undo = v[n - 1] & INT32_MAX;
    arena_done(&a);
    if (rc == RC_OK && !u->untracked.n)
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
    if (!u->number)
        u->number = ++s->last_undo;
    entry_name(u->number, name);
    int dir = undo_dir(s);
    rc = dir < 0      ? objects_error(err, STR("undo"))
         : b.overflow ? err_set(err, RC_LIMIT, "the command changed too many files to keep count of them")
                      : write_synced(dir, name, buf_str(&b), err);
    if (dir >= 0)
        close(dir);
    buf_done(&b);
    return rc;
}

static enum rc share_node(struct snapshots *from, struct snapshots *to, const struct node *n, struct err *err)
{
    return n->type == NODE_FILE || n->type == NODE_LINK ? object_share(&from->objects, &to->objects, &n->hash, err)
                                                        : RC_OK;
}

enum rc undo_share(struct snapshots *from, struct snapshots *to, const struct undo *u, struct err *err)
{
    static const struct sha256 none;
    struct undo copy = *u;
    enum rc rc = memcmp(&u->snapshot, &none, sizeof none) == 0
                     ? RC_OK
                     : tree_share(&from->objects, &to->objects, &u->snapshot, err);
    for (size_t i = 0; rc == RC_OK && i < u->changes.n; i++) {
        rc = share_node(from, to, &u->changes.v[i].before, err);
        if (rc == RC_OK)
            rc = share_node(from, to, &u->changes.v[i].after, err);
    }
    return rc ? rc : undo_write(to, &copy, err);
}

void undo_forget(struct snapshots *s, uint32_t number)
{
    char name[32];
    int dir = undo_dir(s);
    entry_name(number, name);
    if (dir < 0)
        return;
    (void)unlinkat(dir, name, 0);
    close(dir);
}

/* ---- what came of several ---- */

struct folding {
    struct undo_net *net;
    bool (*of)(void *ctx, const struct undo *u);
    void *ctx;
    struct arena *a;
    bool seen;
    struct map by_path; /* path -> struct change: before the first, after the last */
    size_t cap;
};

static void fold_changes(struct folding *f, const struct changes *c)
{
    for (size_t i = 0; i < c->n; i++) {
        struct change *known = map_get(&f->by_path, c->v[i].path);
        if (known) {
            known->after = c->v[i].after;
            continue;
        }
        known = ARENA_NEW(f->a, struct change);
        *known = c->v[i];
        map_put(&f->by_path, known->path, known);
    }
}

static bool fold(void *ctx, const struct undo *u)
{
    struct folding *f = ctx;
    struct undo_net *n = f->net;
    if (u->undone || !f->of(f->ctx, u))
        return true;
    if (u->untracked.n) {
        n->untracked++;
        n->why = u->untracked;
    }
    if (!u->untracked.n || f->seen)
        fold_changes(f, &u->changes);
    if (n->n == f->cap) {
        uint32_t *more = arena_calloc(f->a, f->cap = f->cap ? f->cap * 2 : 16, sizeof *more);
        if (n->n)
            memcpy(more, n->entries, n->n * sizeof *more);
        n->entries = more;
    }
    n->entries[n->n++] = u->number;
    return true;
}

static int by_path(const void *a, const void *b)
{
    return str_cmp(((const struct change *)a)->path, ((const struct change *)b)->path);
}

enum rc undo_fold(struct snapshots *s, struct arena *a, bool (*of)(void *ctx, const struct undo *u), void *ctx,
                  bool seen, struct undo_net *ret, struct err *err)
{
    struct folding f = {.net = ret, .of = of, .ctx = ctx, .a = a, .seen = seen};
    struct map_entry *e;
    *ret = (struct undo_net){.changes.a = a};
    enum rc rc = undo_each(s, a, fold, &f, err);
    for (size_t i = 0; rc == RC_OK && (e = map_next(&f.by_path, &i));) {
        const struct change *c = e->value;
        changes_add(&ret->changes, c->path, &c->before, &c->after);
    }
    if (ret->changes.n)
        qsort(ret->changes.v, ret->changes.n, sizeof *ret->changes.v, by_path);
    map_done(&f.by_path);
    return rc;
}

/* ---- taking back ---- */

/* "~2/x": leaves "/x" and the number; without one it is 1. */
static bool take_number(struct str *rest, int64_t *ret)
{
    *ret = 1;
    if (rest->n && rest->p[0] == '~') {
        size_t slash = str_find(*rest, STR("/"));
        if (slash == SIZE_MAX || !str_to_i64(str_n(rest->p + 1, slash - 1), ret))
            return false;
        *rest = str_from(*rest, slash);
    }
    return rest->n && rest->p[0] == '/';
}

/* Is it the effect, or one below that attempt at the step, or below one of the iterations? */
static bool is_of(const struct attempt_at *at, bool below, const struct undo *u)
{
    if (!below)
        return str_eq(u->frame, at->frame) && u->attempt == at->attempt;
    if (!str_starts(u->frame, at->frame))
        return false;
    struct str rest = str_from(u->frame, at->frame.n);
    int64_t k, index;
    if (!at->iterations)
        return take_number(&rest, &k) && (!at->attempt || k == (int64_t)at->attempt);
    size_t n = 1;
    while (n < rest.n && rest.p[n] != '/' && rest.p[n] != '~')
        n++;
    if (!rest.n || rest.p[0] != '/' || !str_to_i64(str_n(rest.p + 1, n - 1), &index) || index < at->first ||
        index > at->last)
        return false;
    rest = str_from(rest, n);
    return take_number(&rest, &k);
}

static bool concerns(void *ctx, const struct undo *u)
{
    const struct rollback *r = ctx;
    for (size_t i = 0; i < r->n; i++)
        if (is_of(&r->of[i], r->below, u))
            return true;
    return false;
}

static enum rc mark_undone(struct snapshots *s, const struct undo_net *n, struct err *err)
{
    int dir = undo_dir(s);
    enum rc rc = dir < 0 ? objects_error(err, STR("undo")) : RC_OK;
    for (size_t i = n->n; rc == RC_OK && i-- > 0;) {
        char from[32], to[32];
        entry_name(n->entries[i], from);
        entry_name(n->entries[i] | 1u << 31, to);
        if (renameat(dir, from, dir, to) != 0)
            rc = objects_error(err, str_c(from));
    }
    if (rc == RC_OK && fsync(dir) != 0)
        rc = objects_error(err, STR("undo"));
    if (dir >= 0)
        close(dir);
    return rc;
}

enum rc undo_rollback(struct snapshots *s, struct arena *a, struct rollback *r, struct err *err)
{
    struct undo_net net;
    enum rc rc = undo_fold(s, a, concerns, r, false, &net, err);
    r->untracked = net.untracked;
    r->why = net.why;
    if (rc || !net.n || fault_hit("undo.skip")) /* a seeded bug for the campaign to catch */
        return rc;
    rc = changes_apply(s, &net.changes, true, r->force, &r->conflict, &r->restored, err);
    if (rc == RC_OK && net.changes.n && syncfs(s->workspace.fd) != 0)
        rc = objects_error(err, STR("the workspace"));
    return rc ? rc : mark_undone(s, &net, err);
}
