/* Lists are compared side by side, in order of names, and only where their hashes differ: the cost of a difference is
 * that of the directories in which something changed. */
#include "executor/tree.h"

#include "base/buf.h"

#include <limits.h>
#include <stdio.h>

enum { LINE_HEAD = 1 + 4 + 64 };

bool node_eq(const struct node *a, const struct node *b)
{
    if (a->type != b->type)
        return false;
    if (a->type == NODE_NONE || a->type == NODE_OTHER)
        return true;
    return a->mode == b->mode && (a->type == NODE_DIR || memcmp(&a->hash, &b->hash, sizeof a->hash) == 0);
}

void changes_add(struct changes *c, struct str path, const struct node *before, const struct node *after)
{
    if (node_eq(before, after))
        return;
    if (c->n == c->cap) {
        size_t cap = c->cap ? c->cap * 2 : 32;
        struct change *v = arena_calloc(c->a, cap, sizeof *v);
        if (c->n)
            memcpy(v, c->v, c->n * sizeof *v);
        c->v = v, c->cap = cap;
    }
    c->v[c->n++] = (struct change){.path = arena_str(c->a, path), .before = *before, .after = *after};
}

/* ---- one list ---- */

void tree_add(struct buf *b, const struct node *n, struct str name)
{
    static const char types[] = {[NODE_FILE] = 'f', [NODE_LINK] = 'l', [NODE_DIR] = 'd', [NODE_OTHER] = 'o'};
    struct sha256_hex x = sha256_hex(&n->hash);
    char head[LINE_HEAD + 1];
    snprintf(head, sizeof head, "%c%04o%s", types[n->type], n->mode & 07777u, x.z);
    buf_add(b, str_n(head, LINE_HEAD));
    buf_add(b, name);
    buf_addc(b, 0);
}

static bool entry_read(struct str line, struct tree_entry *e)
{
    static const char types[] = "?fldo";
    const char *type = line.n > LINE_HEAD ? strchr(types + 1, line.p[0]) : NULL;
    if (!type || !*type || !sha256_read(str_n(line.p + 5, 64), &e->node.hash))
        return false;
    e->node.type = (enum node_type)(type - types);
    e->node.mode = 0;
    for (int i = 1; i < 5; i++) {
        if (line.p[i] < '0' || line.p[i] > '7')
            return false;
        e->node.mode = e->node.mode * 8 + (mode_t)(line.p[i] - '0');
    }
    e->name = str_from(line, LINE_HEAD);
    return !memchr(e->name.p, '/', e->name.n) && !str_is(e->name, ".") && !str_is(e->name, "..");
}

enum rc tree_read(struct objects *o, const struct sha256 *id, struct arena *a, struct tree *ret, struct err *err)
{
    struct str text;
    *ret = (struct tree){0};
    enum rc rc = object_read(o, id, TREE_MAX, a, &text, err);
    if (rc)
        return rc;
    size_t most = 0;
    for (size_t i = 0; i < text.n; i++)
        most += !text.p[i];
    ret->v = arena_calloc(a, most + 1, sizeof *ret->v);
    while (text.n) {
        const char *end = memchr(text.p, 0, text.n);
        if (!end || !entry_read(str_n(text.p, (size_t)(end - text.p)), &ret->v[ret->n]))
            return err_set(err, RC_CORRUPT, "a snapshot is damaged");
        ret->n++;
        text = str_from(text, (size_t)(end - text.p) + 1);
    }
    return RC_OK;
}

const struct tree_entry *tree_find(const struct tree *t, struct str name)
{
    size_t low = 0, high = t->n;
    while (low < high) {
        size_t mid = (low + high) / 2;
        int c = str_cmp(name, t->v[mid].name);
        if (c == 0)
            return &t->v[mid];
        if (c < 0)
            high = mid;
        else
            low = mid + 1;
    }
    return NULL;
}

/* ---- two of them ---- */

struct diff {
    struct objects *o;
    struct changes *out;
    struct buf path;
    struct err *err;
};

static enum rc lists(struct diff *d, const struct sha256 *from, const struct sha256 *to);

static enum rc entry(struct diff *d, struct str name, const struct node *before, const struct node *after)
{
    size_t at = d->path.n;
    if (before->type == NODE_OTHER || after->type == NODE_OTHER)
        return RC_OK;
    if (at)
        buf_addc(&d->path, '/');
    buf_add(&d->path, name);
    enum rc rc =
        d->path.overflow ? err_set(d->err, RC_CORRUPT, "a snapshot has a path of more than %d bytes", PATH_MAX) : RC_OK;
    if (rc == RC_OK) {
        changes_add(d->out, buf_str(&d->path), before, after);
        rc = lists(d, before->type == NODE_DIR ? &before->hash : NULL, after->type == NODE_DIR ? &after->hash : NULL);
    }
    d->path.n = at;
    return rc;
}

static enum rc lists(struct diff *d, const struct sha256 *from, const struct sha256 *to)
{
    static const struct node none;
    struct arena a = {0};
    struct tree x = {0}, y = {0};
    if ((!from && !to) || (from && to && memcmp(from, to, sizeof *from) == 0))
        return RC_OK;
    enum rc rc = from ? tree_read(d->o, from, &a, &x, d->err) : RC_OK;
    if (rc == RC_OK && to)
        rc = tree_read(d->o, to, &a, &y, d->err);
    for (size_t i = 0, k = 0; rc == RC_OK && (i < x.n || k < y.n);) {
        int c = i == x.n ? 1 : k == y.n ? -1 : str_cmp(x.v[i].name, y.v[k].name);
        rc = entry(d, c <= 0 ? x.v[i].name : y.v[k].name, c <= 0 ? &x.v[i].node : &none, c >= 0 ? &y.v[k].node : &none);
        i += c <= 0;
        k += c >= 0;
    }
    arena_done(&a);
    return rc;
}

enum rc tree_diff(struct objects *o, const struct sha256 *from, const struct sha256 *to, struct str at,
                  struct changes *ret, struct err *err)
{
    struct diff d = {.o = o, .out = ret, .err = err};
    buf_init(&d.path, PATH_MAX);
    buf_add(&d.path, at);
    enum rc rc = lists(&d, from, to);
    buf_done(&d.path);
    return rc;
}

/* That a list is there does not say that all is there that it names: it may have come in a pack. */
enum rc tree_share(struct objects *from, struct objects *to, const struct sha256 *id, struct err *err)
{
    struct arena a = {0};
    struct tree t;
    struct str key = str_n((const char *)id->b, sizeof id->b);
    if (map_get(&to->shared, key))
        return RC_OK;
    enum rc rc = tree_read(from, id, &a, &t, err);
    for (size_t i = 0; rc == RC_OK && i < t.n; i++) {
        const struct node *n = &t.v[i].node;
        if (n->type == NODE_DIR)
            rc = tree_share(from, to, &n->hash, err);
        else if (n->type == NODE_FILE || n->type == NODE_LINK)
            rc = object_share(from, to, &n->hash, err);
    }
    arena_done(&a);
    if (rc == RC_OK && (rc = object_share(from, to, id, err)) == RC_OK)
        map_put(&to->shared, arena_str(&to->arena, key), to);
    return rc;
}
