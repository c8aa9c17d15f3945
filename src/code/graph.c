/* All files of the languages in question are outlined, one after the other; then each import is resolved. Links are
 * kept in two orders: by who imports and by who is imported, so that both directions cost what they find. */
#include "code/graph.h"

#include <stdlib.h>

enum { LINKS_MAX = 2000000 };

struct building {
    struct code *c;
    struct link *v;
    size_t n, cap;
};

static unsigned with_relatives(unsigned langs)
{
    unsigned web = 1u << LANG_JAVASCRIPT | 1u << LANG_TYPESCRIPT | 1u << LANG_TSX;
    return langs & web ? langs | web : langs;
}

static bool same_link(const struct link *a, const struct link *b)
{
    return a->to == b->to && a->line == b->line && str_eq(a->target, b->target);
}

static void push(struct building *b, size_t first, const struct link *l)
{
    for (size_t i = b->n; l->how == 'u' && i-- > first;) /* mentions: one for each file that is meant */
        if (b->v[i].to == l->to)
            return;
    if (b->n == LINKS_MAX || (b->n > first && same_link(&b->v[b->n - 1], l)))
        return;
    if (b->n == b->cap) {
        size_t cap = b->cap ? b->cap * 2 : 256;
        struct link *more = arena_calloc(b->c->arena, cap, sizeof *more);
        if (b->n)
            memcpy(more, b->v, b->n * sizeof *more);
        b->v = more, b->cap = cap;
    }
    b->v[b->n++] = *l;
}

static void links_of(struct building *b, struct resolver *r, struct code_file *f, const struct outline *o)
{
    size_t first = b->n;
    struct resolved found;
    for (size_t i = 0; i < o->nimports; i++) {
        const struct import *x = &o->imports[i];
        resolve(r, f, o, x, &found);
        struct link l = {.from = f,
                         .target = x->target,
                         .package = found.package,
                         .names = x->names,
                         .line = x->line,
                         .how = x->how,
                         .stdlib = found.stdlib};
        for (size_t k = 0; k < found.n; k++) {
            l.to = found.file[k];
            if (l.to != f)
                push(b, first, &l);
        }
        if (!found.n && x->how != 'u')
            push(b, first, &l);
    }
}

static void index_links(struct code *c, struct graph *g)
{
    size_t n = c->files.n;
    uint32_t *out = arena_calloc(c->arena, n + 2, sizeof *out), *in = arena_calloc(c->arena, n + 2, sizeof *in);
    uint32_t *back = arena_calloc(c->arena, g->nlinks + 1, sizeof *back);
    for (size_t i = 0; i < g->nlinks; i++) {
        out[graph_index(c, g->links[i].from) + 1]++;
        if (g->links[i].to)
            in[graph_index(c, g->links[i].to) + 1]++;
    }
    for (size_t i = 0; i < n; i++)
        out[i + 1] += out[i], in[i + 1] += in[i];
    uint32_t *at = arena_calloc(c->arena, n + 1, sizeof *at);
    memcpy(at, in, n * sizeof *at);
    for (size_t i = 0; i < g->nlinks; i++)
        if (g->links[i].to)
            back[at[graph_index(c, g->links[i].to)]++] = (uint32_t)i;
    g->out = out, g->in = in, g->back = back;
}

enum rc graph_get(struct code *c, unsigned langs, const struct graph **ret, struct err *err)
{
    langs = with_relatives(langs | (c->graph ? c->graph->langs : 0));
    if (c->graph && c->graph->langs == langs) {
        *ret = c->graph;
        return RC_OK;
    }
    struct building b = {.c = c};
    const struct outline *o;
    enum rc rc = code_scan(c, err);
    struct resolver *r = resolver_new(c);
    for (size_t i = 0; rc == RC_OK && i < c->files.n; i++)
        if (langs & 1u << c->files.v[i].lang && (rc = code_outline(c, &c->files.v[i], &o, err)) == RC_OK && o)
            resolver_learn(r, &c->files.v[i], o);
    for (size_t i = 0; rc == RC_OK && i < c->files.n; i++)
        if (langs & 1u << c->files.v[i].lang && c->files.v[i].outline)
            links_of(&b, r, &c->files.v[i], c->files.v[i].outline);
    resolver_free(r);
    if (rc == RC_OK && b.n == LINKS_MAX)
        rc = err_set(err, RC_LIMIT, "there are more than %d imports", LINKS_MAX);
    if (rc)
        return rc;
    c->graph = ARENA_NEW(c->arena, struct graph);
    *c->graph = (struct graph){.langs = langs, .links = b.v, .nlinks = b.n};
    index_links(c, c->graph);
    *ret = c->graph;
    return RC_OK;
}

struct val link_val(struct code *c, const struct link *l, int64_t depth)
{
    struct val_map m = val_map_new(c->arena);
    VAL_MAP_SET(&m, "module", val_str(l->target));
    if (l->to)
        VAL_MAP_SET(&m, "path", val_str(l->to->path));
    else
        VAL_MAP_SET(&m, "package", val_str(l->package.n ? l->package : l->target));
    VAL_MAP_SET(&m, "external", val_bool(!l->to));
    if (!l->to)
        VAL_MAP_SET(&m, "stdlib", val_bool(l->stdlib));
    VAL_MAP_SET(&m, "file", val_str(l->from->path));
    VAL_MAP_SET(&m, "line", val_int(l->line));
    if (l->names.n)
        VAL_MAP_SET(&m, "names", strs_val(c, l->names));
    if (depth)
        VAL_MAP_SET(&m, "depth", val_int(depth));
    return val_map_done(&m);
}
