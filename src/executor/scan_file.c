/* A directory is its stamp and the hash of its list, and then its entries one after another, each with what is below
 * it. Numbers are as the machine has them: what is written here is never read by another one, for inodes and times of
 * change would mean nothing there. */
#include "executor/scan_file.h"

#include "base/buf.h"
#include "base/panic.h"
#include "executor/scan_int.h"

#include <limits.h>
#include <stdlib.h>

/* ---- writing ---- */

#define PUT(out, v) buf_add((out), str_n((const char *)&(v), sizeof(v)))

static void put_dir(const struct known_dir *k, struct buf *out)
{
    uint32_t n = 0;
    for (size_t i = 0; i < k->n; i++)
        n += k->v[i].node.type != NODE_NONE;
    uint8_t whole = k->whole && n == k->n;
    PUT(out, k->stamp);
    PUT(out, k->hash);
    PUT(out, whole);
    PUT(out, n);
    for (size_t i = 0; i < k->n && !out->overflow; i++) {
        const struct known *e = &k->v[i];
        uint8_t type = (uint8_t)e->node.type, below = e->dir != NULL;
        uint16_t mode = (uint16_t)e->node.mode;
        if (e->node.type == NODE_NONE)
            continue;
        PUT(out, type);
        PUT(out, below);
        PUT(out, mode);
        PUT(out, e->node.hash);
        PUT(out, e->node.mtime_ns);
        PUT(out, e->stamp);
        buf_add(out, str_n(e->name, strlen(e->name) + 1));
        if (below)
            put_dir(e->dir, out);
    }
}

void scan_write(const struct scan *s, struct buf *out)
{
    CHECK(s->known);
    put_dir(s->known, out);
}

/* ---- reading ---- */

struct reading {
    struct str text;
    size_t left; /* entries that may still come */
};

static bool take_bytes(struct reading *r, void *to, size_t n)
{
    if (r->text.n < n)
        return false;
    memcpy(to, r->text.p, n);
    r->text = str_from(r->text, n);
    return true;
}
#define TAKE(r, v) take_bytes((r), &(v), sizeof(v))

static bool take_name(struct reading *r, struct buf *names)
{
    const char *end = r->text.n ? memchr(r->text.p, 0, r->text.n) : NULL;
    size_t n = end ? (size_t)(end - r->text.p) : 0;
    if (!n || n > NAME_MAX || memchr(r->text.p, '/', n) ||
        (r->text.p[0] == '.' && (n == 1 || str_is(str_n(r->text.p, n), ".."))))
        return false;
    buf_add(names, str_n(r->text.p, n + 1));
    r->text = str_from(r->text, n + 1);
    return true;
}

static bool take_dir(struct reading *r, struct known_dir *k, unsigned depth);

static bool take_entry(struct reading *r, struct known *e, struct buf *names, unsigned depth)
{
    uint8_t type, below;
    uint16_t mode;
    if (!TAKE(r, type) || !TAKE(r, below) || !TAKE(r, mode) || !TAKE(r, e->node.hash) || !TAKE(r, e->node.mtime_ns) ||
        !TAKE(r, e->stamp) || !take_name(r, names) || type < NODE_FILE || type > NODE_OTHER || mode > 07777 ||
        below > 1 || (below && type != NODE_DIR))
        return false;
    e->node.type = (enum node_type)type;
    e->node.mode = mode;
    if (!below)
        return true;
    e->dir = scan_known_new();
    return take_dir(r, e->dir, depth + 1);
}

static bool take_dir(struct reading *r, struct known_dir *k, unsigned depth)
{
    uint8_t whole;
    uint32_t n;
    struct buf names;
    if (depth > SCAN_DEPTH_MAX || !TAKE(r, k->stamp) || !TAKE(r, k->hash) || !TAKE(r, whole) || !TAKE(r, n) ||
        n > r->left)
        return false;
    r->left -= n;
    k->whole = whole;
    k->v = calloc((size_t)n + 1, sizeof *k->v);
    CHECK(k->v);
    buf_init(&names, (size_t)SCAN_FILES_MAX * (NAME_MAX + 2));
    bool ok = true;
    while (ok && k->n < n)
        ok = take_entry(r, &k->v[k->n++], &names, depth);
    /* They lie one after another in a buffer that moved as it grew. */
    k->names = names.p;
    size_t at = 0;
    for (size_t i = 0; ok && i < k->n; at += strlen(k->names + at) + 1, i++) {
        k->v[i].name = k->names + at;
        ok = !i || strcmp(k->v[i - 1].name, k->v[i].name) < 0;
    }
    return ok;
}

bool scan_read(struct scan *s, struct str text)
{
    struct reading r = {.text = text, .left = SCAN_FILES_MAX};
    scan_known_free(s->known);
    s->known = scan_known_new();
    s->counted = take_dir(&r, s->known, 0) && !r.text.n;
    if (!s->counted) {
        scan_known_free(s->known);
        s->known = NULL;
    }
    return s->counted;
}

/* ---- what of it counts ---- */

static void check_dir(struct known_dir *k, bool (*has)(void *ctx, const struct sha256 *id), void *ctx)
{
    for (size_t i = 0; i < k->n; i++) {
        struct known *e = &k->v[i];
        if (e->dir)
            check_dir(e->dir, has, ctx);
        if ((e->node.type != NODE_FILE && e->node.type != NODE_LINK) || has(ctx, &e->node.hash))
            continue;
        e->node = (struct node){0};
        k->whole = false;
    }
    k->whole = k->whole && has(ctx, &k->hash);
}

void scan_check(struct scan *s, bool (*has)(void *ctx, const struct sha256 *id), void *ctx)
{
    if (s->known)
        check_dir(s->known, has, ctx);
}
