/* Dependencies in both directions, over the graph of imports.
 *
 * What a file needs may be asked without a grammar of any other language than its own (and its relatives). Tests count
 * as dependents only where they are wanted. Cycles are found with Tarjan's algorithm, without recursion: each group of
 * files that reach each other is one answer, shown as a shortest cycle through its first file. */
#include "code/graph.h"

#include <stdlib.h>

static unsigned langs_of(struct code_file **f, size_t n)
{
    unsigned langs = 0;
    for (size_t i = 0; i < n; i++)
        langs |= f[i]->lang ? 1u << f[i]->lang : 0;
    return langs;
}

/* Breadth first from the files given; `each` gets every link once, with its distance. */
struct sweep {
    struct code *c;
    const struct graph *g;
    bool backwards, with_tests;
    int64_t max_depth;
    void (*each)(void *ctx, const struct link *l, int64_t depth, bool first);
    void *ctx;
};

static void sweep(const struct sweep *s, struct code_file **from, size_t n)
{
    size_t total = s->c->files.n, head = 0, tail = 0;
    uint32_t *queue = calloc(total + 1, sizeof *queue);
    int32_t *depth = calloc(total + 1, sizeof *depth);
    for (size_t i = 0; queue && depth && i < n; i++) {
        size_t at = graph_index(s->c, from[i]);
        if (!depth[at])
            queue[tail++] = (uint32_t)at, depth[at] = 1;
    }
    while (queue && depth && head < tail) {
        size_t at = queue[head++];
        const uint32_t *bounds = s->backwards ? s->g->in : s->g->out;
        if (depth[at] > s->max_depth)
            break;
        for (uint32_t k = bounds[at]; k < bounds[at + 1]; k++) {
            const struct link *l = &s->g->links[s->backwards ? s->g->back[k] : k];
            const struct code_file *next = s->backwards ? l->from : l->to;
            if (next && next->type == FILE_TEST && s->backwards && !s->with_tests)
                continue;
            size_t to = next ? graph_index(s->c, next) : total;
            bool first = next && !depth[to];
            if (first)
                depth[to] = depth[at] + 1, queue[tail++] = (uint32_t)to;
            s->each(s->ctx, l, depth[at], first);
        }
    }
    free(queue);
    free(depth);
}

/* ---- find_dependencies ---- */

struct needs {
    struct code *c;
    struct val_list list;
    struct map packages; /* outside: each once */
    bool stdlib, external;
};

static void on_need(void *ctx, const struct link *l, int64_t depth, bool first)
{
    struct needs *n = ctx;
    if (l->to ? !first : !n->external || (l->stdlib && !n->stdlib))
        return;
    struct str name = l->package.n ? l->package : l->target;
    if (!l->to && map_put(&n->packages, name, n))
        return;
    val_list_push(&n->list, link_val(n->c, l, depth));
}

enum rc query_find_dependencies(struct code *c, const struct val *crit, struct val *ret, struct err *err)
{
    struct code_file **of;
    size_t nof;
    const struct graph *g = NULL;
    bool all = crit_bool(crit, "include_transitive", false);
    struct needs n = {.c = c,
                      .list = val_list_new(c->arena),
                      .stdlib = crit_bool(crit, "include_stdlib", false),
                      .external = crit_bool(crit, "include_external", true)};
    enum rc rc = select_named(c, crit, "for_file", NULL, &of, &nof, err);
    if (rc == RC_OK && !nof)
        return project_dependencies(c, true, ret, err);
    if (rc == RC_OK)
        rc = graph_get(c, langs_of(of, nof), &g, err);
    if (rc == RC_OK)
        sweep(&(struct sweep){.c = c,
                              .g = g,
                              .max_depth = crit_int(crit, "max_depth", all ? INT32_MAX - 1 : 1),
                              .each = on_need,
                              .ctx = &n},
              of, nof);
    map_done(&n.packages);
    *ret = val_list_done(&n.list);
    return rc;
}

/* ---- find_dependents ---- */

struct users {
    struct code *c;
    struct val_list list, tests;
    const struct link **found;
    int64_t *depth;
    size_t n;
};

static void on_user(void *ctx, const struct link *l, int64_t depth, bool first)
{
    struct users *u = ctx;
    if (!first)
        return;
    u->found[u->n] = l;
    u->depth[u->n++] = depth;
}

static enum rc find_users(struct code *c, struct code_file **of, size_t nof, bool tests, int64_t max_depth,
                          struct users *u, struct err *err)
{
    const struct graph *g = NULL;
    enum rc rc = graph_get(c, langs_of(of, nof), &g, err);
    *u = (struct users){.c = c};
    u->found = arena_calloc(c->arena, c->files.n + 1, sizeof *u->found);
    u->depth = arena_calloc(c->arena, c->files.n + 1, sizeof *u->depth);
    if (rc == RC_OK)
        sweep(&(struct sweep){.c = c,
                              .g = g,
                              .backwards = true,
                              .with_tests = tests,
                              .max_depth = max_depth,
                              .each = on_user,
                              .ctx = u},
              of, nof);
    return rc;
}

static struct val user_val(struct code *c, const struct link *l, int64_t depth)
{
    struct val_map m = val_map_new(c->arena);
    VAL_MAP_SET(&m, "path", val_str(l->from->path));
    VAL_MAP_SET(&m, "line", val_int(l->line));
    VAL_MAP_SET(&m, "module", val_str(l->target));
    VAL_MAP_SET(&m, "uses", val_str(l->to->path));
    VAL_MAP_SET(&m, "test", val_bool(l->from->type == FILE_TEST));
    VAL_MAP_SET(&m, "depth", val_int(depth));
    return val_map_done(&m);
}

static struct val by_directory(struct code *c, const struct val *list)
{
    struct groups g = {.c = c};
    for (size_t i = 0; i < list->arr.n; i++) {
        struct str dir = path_dir(val_get_str(&list->arr.v[i], STR("path"), STR("")));
        groups_add(&g, dir.n ? dir : STR("."), list->arr.v[i]);
    }
    return groups_done(&g);
}

enum rc query_find_dependents(struct code *c, const struct val *crit, struct val *ret, struct err *err)
{
    struct code_file **of;
    size_t nof;
    struct users u = {0};
    bool all = crit_bool(crit, "include_transitive", false);
    enum rc rc = select_named(c, crit, "of_file", NULL, &of, &nof, err);
    if (rc == RC_OK && !nof)
        return err_set(err, RC_INVALID, "`of_file` is missing: dependents of what?");
    if (rc == RC_OK)
        rc = find_users(c, of, nof, crit_bool(crit, "include_tests", false),
                        crit_int(crit, "max_depth", all ? INT32_MAX - 1 : 1), &u, err);
    struct val_list l = val_list_new(c->arena);
    for (size_t i = 0; i < u.n; i++)
        val_list_push(&l, user_val(c, u.found[i], u.depth[i]));
    *ret = val_list_done(&l);
    if (crit_bool(crit, "group_by_directory", false))
        *ret = by_directory(c, ret);
    return rc;
}

/* ---- tests of a file, impact ---- */

static enum rc tests_of(struct code *c, struct code_file **of, size_t nof, struct val *ret, struct err *err)
{
    struct users u = {0};
    struct map seen = {0};
    struct val_list l = val_list_new(c->arena);
    enum rc rc = langs_of(of, nof) ? find_users(c, of, nof, true, INT32_MAX - 1, &u, err) : RC_OK;
    for (size_t i = 0; rc == RC_OK && i < c->files.n; i++) {
        struct code_file *f = &c->files.v[i];
        bool named = false;
        for (size_t k = 0; k < nof && f->type == FILE_TEST && !named; k++)
            named = files_same_subject(f, of[k]);
        if (!named)
            continue;
        struct val_map m = val_map_new(c->arena);
        VAL_MAP_SET(&m, "path", val_str(f->path));
        VAL_MAP_SET(&m, "why", VAL_LIT("name"));
        VAL_MAP_SET(&m, "depth", val_int(0));
        val_list_push(&l, val_map_done(&m));
        map_put(&seen, f->path, f);
    }
    for (size_t i = 0; rc == RC_OK && i < u.n; i++) {
        const struct code_file *f = u.found[i]->from;
        if (f->type != FILE_TEST || map_get(&seen, f->path))
            continue;
        struct val_map m = val_map_new(c->arena);
        VAL_MAP_SET(&m, "path", val_str(f->path));
        VAL_MAP_SET(&m, "why", VAL_LIT("imports"));
        VAL_MAP_SET(&m, "depth", val_int(u.depth[i]));
        val_list_push(&l, val_map_done(&m));
    }
    map_done(&seen);
    *ret = val_list_done(&l);
    return rc;
}

enum rc query_find_tests(struct code *c, const struct val *crit, struct val *ret, struct err *err)
{
    struct code_file **of;
    size_t nof;
    enum rc rc = select_named(c, crit, "for_file", "of_file", &of, &nof, err);
    if (rc == RC_OK && !nof)
        return err_set(err, RC_INVALID, "`for_file` is missing: tests of what?");
    return rc ? rc : tests_of(c, of, nof, ret, err);
}

enum rc query_analyze_impact(struct code *c, const struct val *crit, struct val *ret, struct err *err)
{
    struct code_file **of;
    size_t nof;
    struct users u = {0};
    struct val tests = val_empty_array;
    bool with_tests = crit_bool(crit, "include_tests", true);
    enum rc rc = select_named(c, crit, "file", "of_file", &of, &nof, err);
    if (rc == RC_OK && !nof)
        return err_set(err, RC_INVALID, "`file` is missing: the impact of what?");
    if (rc == RC_OK)
        rc = find_users(c, of, nof, false, crit_int(crit, "max_depth", 3), &u, err);
    if (rc == RC_OK && with_tests)
        rc = tests_of(c, of, nof, &tests, err);
    struct val_list direct = val_list_new(c->arena), far = direct;
    for (size_t i = 0; i < u.n; i++)
        val_list_push(u.depth[i] == 1 ? &direct : &far, val_str(u.found[i]->from->path));
    struct val_list names = val_list_new(c->arena);
    for (size_t i = 0; i < tests.arr.n; i++)
        val_list_push(&names, *VAL_GET(&tests.arr.v[i], "path"));
    int64_t score = (int64_t)(3 * direct.n + far.n + 2 * names.n);
    struct val_map m = val_map_new(c->arena);
    VAL_MAP_SET(&m, "directly_affected", val_list_done(&direct));
    VAL_MAP_SET(&m, "potentially_affected", val_list_done(&far));
    VAL_MAP_SET(&m, "test_files", val_list_done(&names));
    VAL_MAP_SET(&m, "impact_score", val_int(score));
    *ret = val_map_done(&m);
    return rc;
}

/* ---- cycles ---- */

struct tarjan {
    struct code *c;
    const struct graph *g;
    const uint8_t *inside; /* by file: takes part */
    uint32_t *index, *low, *stack, *calls, *edge, *group;
    size_t nstack, ncalls;
    uint32_t next, ngroups;
};

static bool is_edge(const struct tarjan *t, const struct link *l)
{
    return l->to && t->inside[graph_index(t->c, l->to)];
}

static void enter_file(struct tarjan *t, uint32_t v)
{
    t->index[v] = t->low[v] = ++t->next;
    t->stack[t->nstack++] = v;
    t->calls[t->ncalls++] = v;
    t->edge[v] = t->g->out[v];
}

static void leave_file(struct tarjan *t, uint32_t v)
{
    t->ncalls--;
    if (t->ncalls && t->low[t->calls[t->ncalls - 1]] > t->low[v])
        t->low[t->calls[t->ncalls - 1]] = t->low[v];
    if (t->low[v] != t->index[v])
        return;
    t->ngroups++;
    for (uint32_t w = UINT32_MAX; w != v;) {
        w = t->stack[--t->nstack];
        t->group[w] = t->ngroups;
    }
}

static void groups_from(struct tarjan *t, uint32_t root)
{
    enter_file(t, root);
    while (t->ncalls) {
        uint32_t v = t->calls[t->ncalls - 1];
        if (t->edge[v] == t->g->out[v + 1]) {
            leave_file(t, v);
            continue;
        }
        const struct link *l = &t->g->links[t->edge[v]++];
        if (!is_edge(t, l))
            continue;
        uint32_t w = (uint32_t)graph_index(t->c, l->to);
        if (!t->index[w])
            enter_file(t, w);
        else if (!t->group[w] && t->low[v] > t->index[w])
            t->low[v] = t->index[w];
    }
}

/* A shortest way from `v` back to itself within its group; the answer's list, or an empty one. */
static struct val cycle_through(struct tarjan *t, uint32_t v, size_t *length)
{
    size_t n = t->c->files.n, head = 0, tail = 0;
    uint32_t *queue = calloc(n + 1, sizeof *queue), *from = calloc(n + 1, sizeof *from), last = UINT32_MAX;
    struct val_list l = val_list_new(t->c->arena);
    if (queue)
        queue[tail++] = v;
    while (queue && from && head < tail && last == UINT32_MAX) {
        uint32_t at = queue[head++];
        for (uint32_t k = t->g->out[at]; k < t->g->out[at + 1]; k++) {
            const struct link *x = &t->g->links[k];
            uint32_t w = is_edge(t, x) ? (uint32_t)graph_index(t->c, x->to) : UINT32_MAX;
            if (w == v) {
                last = at;
                break;
            }
            if (w != UINT32_MAX && t->group[w] == t->group[v] && !from[w])
                from[w] = at + 1, queue[tail++] = w;
        }
    }
    *length = 0;
    if (last != UINT32_MAX) {
        uint32_t *way = queue; /* no longer needed */
        for (uint32_t at = last; at != v; at = from[at] - 1)
            way[(*length)++] = at;
        val_list_push(&l, val_str(t->c->files.v[v].path));
        for (size_t i = *length; i--;)
            val_list_push(&l, val_str(t->c->files.v[way[i]].path));
        ++*length;
    }
    free(queue);
    free(from);
    return val_list_done(&l);
}

static struct val cycles(struct tarjan *t, int64_t max, int64_t limit)
{
    struct val_list l = val_list_new(t->c->arena);
    uint32_t *size = arena_calloc(t->c->arena, t->ngroups + 1, sizeof *size);
    uint8_t *shown = arena_calloc(t->c->arena, t->ngroups + 1, 1);
    for (size_t v = 0; v < t->c->files.n; v++)
        size[t->group[v]]++;
    for (size_t v = 0; v < t->c->files.n && (int64_t)l.n < limit; v++) {
        uint32_t g = t->group[v];
        size_t length;
        if (!g || size[g] < 2 || shown[g])
            continue;
        struct val files = cycle_through(t, (uint32_t)v, &length);
        if (!length || (int64_t)length > max)
            continue; /* perhaps a shorter one goes through another file of the group */
        shown[g] = 1;
        struct val_map m = val_map_new(t->c->arena);
        VAL_MAP_SET(&m, "files", files);
        VAL_MAP_SET(&m, "length", val_int((int64_t)length));
        VAL_MAP_SET(&m, "group_size", val_int(size[g]));
        val_list_push(&l, val_map_done(&m));
    }
    return val_list_done(&l);
}

enum rc query_find_circular_dependencies(struct code *c, const struct val *crit, struct val *ret, struct err *err)
{
    struct str dir = crit_text(crit, "in_directory");
    dir = dir.n ? files_clean(&c->root, c->arena, dir) : STR(".");
    const struct graph *g = NULL;
    enum rc rc = code_scan(c, err);
    size_t n = c->files.n;
    uint8_t *inside = arena_calloc(c->arena, n + 1, 1);
    unsigned langs = 0;
    for (size_t i = 0; rc == RC_OK && i < n; i++) {
        struct str p = c->files.v[i].path;
        inside[i] = str_is(dir, ".") || (p.n > dir.n && p.p[dir.n] == '/' && str_starts(p, dir));
        langs |= inside[i] && c->files.v[i].lang ? 1u << c->files.v[i].lang : 0;
    }
    if (rc == RC_OK)
        rc = graph_get(c, langs, &g, err);
    if (rc)
        return rc;
    struct tarjan t = {.c = c, .g = g, .inside = inside};
    uint32_t **arrays[] = {&t.index, &t.low, &t.stack, &t.calls, &t.edge, &t.group};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        *arrays[i] = arena_calloc(c->arena, n + 1, sizeof **arrays[i]);
    for (size_t v = 0; v < n; v++)
        if (inside[v] && !t.index[v])
            groups_from(&t, (uint32_t)v);
    *ret = cycles(&t, crit_int(crit, "max_cycle_length", INT32_MAX), crit_int(crit, "limit", 1000));
    return code_in_time(c, err);
}
