/* Files are merged as maps: what a file says itself wins over what it includes, later includes over earlier ones, and
 * all of it over what it extends. Maps are merged key by key, everything else is replaced as a whole (lists too: half a
 * list of steps means nothing). `$if` chooses among parts of a map by the environment, and is decided once, here.
 *
 * Paths are relative to the file that names them. A file that leads back to itself is reported with the chain. */
#include "flow/compose.h"

#include "base/dollar.h"
#include "data/expr.h"
#include "data/json.h"
#include "data/yaml.h"
#include "flow/load_int.h"

#include <stdio.h>

#define REPORT(c, v, ...) problem_add((c)->ps, false, (v)->line, (v)->col, __VA_ARGS__)

struct chain {
    const struct chain *up;
    struct str path;
    unsigned depth;
};

/* ---- merging ---- */

static struct val keep_place(struct val v, const struct val *from)
{
    v.line = from->line;
    v.col = from->col;
    return v;
}

static struct val merge(struct arena *a, const struct val *below, const struct val *above)
{
    if (below->type != VAL_OBJECT || above->type != VAL_OBJECT)
        return *above;
    struct val_map m = val_map_new(a);
    val_map_reserve(&m, below->obj.n + above->obj.n);
    for (size_t i = 0; i < above->obj.n; i++) {
        const struct member *k = &above->obj.m[i];
        const struct val *other = val_get(below, k->key);
        val_map_add(&m, k->key, other ? merge(a, other, &k->val) : k->val, k->line, k->col);
    }
    for (size_t i = 0; i < below->obj.n; i++) {
        const struct member *k = &below->obj.m[i];
        val_map_add(&m, k->key, k->val, k->line, k->col); /* false where it is there */
    }
    return keep_place(val_map_done(&m), above);
}

static struct val without(struct arena *a, const struct val *v, const char *const *keys, size_t n)
{
    struct val_map m = val_map_new(a);
    for (size_t i = 0; i < v->obj.n; i++) {
        bool drop = false;
        for (size_t k = 0; k < n; k++)
            drop |= str_is(v->obj.m[i].key, keys[k]);
        if (!drop)
            val_map_add(&m, v->obj.m[i].key, v->obj.m[i].val, v->obj.m[i].line, v->obj.m[i].col);
    }
    return keep_place(val_map_done(&m), v);
}

/* ---- files ---- */

/* dir(of) · path, with `.` and `x/..` taken out. */
static struct str join(struct arena *a, struct str of, struct str path)
{
    size_t dir = of.n;
    while (dir && of.p[dir - 1] != '/')
        dir--;
    struct str whole = path.n && path.p[0] == '/' ? path : arena_printf(a, "%.*s%.*s", (int)dir, of.p, STR_ARG(path));
    struct str parts[256];
    size_t n = 0;
    for (struct str rest = whole; rest.n;) {
        size_t slash = str_find(rest, STR("/"));
        struct str one = str_n(rest.p, slash < rest.n ? slash : rest.n);
        rest = slash < rest.n ? str_from(rest, slash + 1) : STR("");
        if (str_is(one, "..") && n && !str_is(parts[n - 1], ".."))
            n--;
        else if (one.n && !str_is(one, ".") && n < 256)
            parts[n++] = one;
    }
    struct str out = whole.n && whole.p[0] == '/' ? STR("/") : STR("");
    for (size_t i = 0; i < n; i++)
        out = arena_printf(a, "%.*s%s%.*s", STR_ARG(out), i ? "/" : "", STR_ARG(parts[i]));
    return out;
}

static struct val in_file(struct arena *a, const struct val *v, uint32_t file)
{
    struct val out = *v;
    if (v->type == VAL_ARRAY) {
        struct val_list l = val_list_new(a);
        for (size_t i = 0; i < v->arr.n; i++)
            val_list_push(&l, in_file(a, &v->arr.v[i], file));
        out = val_list_done(&l);
    } else if (v->type == VAL_OBJECT) {
        struct val_map m = val_map_new(a);
        val_map_reserve(&m, v->obj.n);
        for (size_t i = 0; i < v->obj.n; i++)
            val_map_add(&m, v->obj.m[i].key, in_file(a, &v->obj.m[i].val, file), v->obj.m[i].line | file,
                        v->obj.m[i].col);
        out = val_map_done(&m);
    }
    out.line = v->line | file;
    out.col = v->col;
    return out;
}

/* "FILE:LINE:COL: what" as a problem at that place. */
static void yaml_problem(struct composed *c, size_t n, const struct err *err)
{
    struct str msg = str_c(err->msg);
    unsigned line = 1, col = 1;
    int used = 0;
    if (str_starts(msg, c->sources[n].name) &&
        sscanf(msg.p + c->sources[n].name.n, ":%u:%u: %n", &line, &col, &used) == 2)
        msg = str_from(msg, c->sources[n].name.n + (size_t)used);
    if (!line || line > PLACE_LINE(UINT32_MAX))
        line = 1;
    problem_add(c->ps, false, line | (uint32_t)n << PLACE_SHIFT, col ? col : 1, "%.*s", STR_ARG(msg));
}

/* ---- names that a file gives to those that include it ---- */

/* An alias may name an anchor of an included file, or a part of its `components`. Which files those are stands in the
 * file with the alias; so that is read once without them, what it names is read, and then it is read again. */
struct named {
    struct val v;
    size_t file; /* whose places are still to be put in; 0: none */
};
struct reading {
    struct composed *c;
    size_t n;
    bool guess;  /* aliases that are not known yet stand for anything */
    bool missed; /* and there was one */
};

static const struct val *find_name(void *ctx, struct str name)
{
    static const struct val anything = {.type = VAL_OBJECT};
    struct reading *r = ctx;
    struct named *x = map_get(&r->c->names, name);
    if (x && x->file)
        x->v = in_file(r->c->a, &x->v, (uint32_t)x->file << PLACE_SHIFT);
    if (x)
        x->file = 0;
    r->missed |= !x;
    return x ? &x->v : r->guess ? &anything : NULL;
}

static void add_name(struct composed *c, struct str name, const struct val *v, size_t file)
{
    struct named *x = ARENA_NEW(c->a, struct named);
    *x = (struct named){*v, file};
    map_put(&c->names, arena_str(c->a, name), x);
}

/* Of the main file nobody else can see them. */
static void tell_anchor(void *ctx, struct str name, const struct val *v)
{
    struct reading *r = ctx;
    if (r->n && !r->missed)
        add_name(r->c, name, v, r->n);
}

static void add_components(struct composed *c, const struct val *root)
{
    const struct val *all = VAL_GET(root, "components");
    for (size_t i = 0; val_is(all, VAL_OBJECT) && i < all->obj.n; i++)
        if (!map_get(&c->names, all->obj.m[i].key))
            add_name(c, all->obj.m[i].key, &all->obj.m[i].val, 0);
}

/* False: reported. */
static bool parse_once(struct reading *r, struct val *ret)
{
    struct composed *c = r->c;
    struct yaml_limits limits = {.depth = 100, .max_size = LOAD_TEXT_MAX, .max_nodes = 4000000};
    struct yaml_aliases aliases = {r, find_name, tell_anchor};
    struct err err;
    struct val v;
    if (yaml_parse_with(c->a, c->sources[r->n].text, arena_cstr(c->a, c->sources[r->n].name), &limits, &aliases, &v,
                        &err) != RC_OK) {
        yaml_problem(c, r->n, &err);
        return false;
    }
    *ret = r->n ? in_file(c->a, &v, (uint32_t)r->n << PLACE_SHIFT) : v;
    return true;
}

static void load_under(struct composed *c, const struct val *names, const struct chain *at, struct val *all);
static const struct val *root_of(const struct val *doc);

static void load_named(struct composed *c, const struct val *doc, const struct chain *at)
{
    const struct val *maps[] = {root_of(doc), doc};
    struct val ignored = val_empty_object;
    for (size_t i = 0; i < (maps[0] == doc ? 1u : 2u); i++) {
        load_under(c, VAL_GET(maps[i], "extends"), at, &ignored);
        load_under(c, VAL_GET(maps[i], "include"), at, &ignored);
    }
}

/* Reads a file's YAML; its number is put into every place. False: reported. */
static bool parse_file(struct composed *c, size_t n, const struct chain *at)
{
    struct reading r = {.c = c, .n = n, .guess = true};
    struct val *doc = &c->docs[n];
    size_t before = c->ps->errors;
    if (!parse_once(&r, doc))
        return false;
    if (r.missed) {
        load_named(c, doc, at);
        r.guess = r.missed = false;
        if (c->ps->errors > before || !parse_once(&r, doc))
            return false;
    }
    if (n)
        add_components(c, root_of(doc));
    return c->read[n] = true;
}

static struct val resolve(struct composed *c, const struct val *root, const struct chain *at);
static struct val resolve_doc(struct composed *c, const struct val *doc, const struct chain *at);

static const struct val *root_of(const struct val *doc)
{
    const struct val *root = VAL_GET(doc, "workflow");
    root = root ? root : VAL_GET(doc, "pipeline");
    return root ? root : doc;
}

static void report_circle(struct composed *c, const struct val *v, const struct chain *at, struct str path)
{
    struct str text = path;
    for (const struct chain *x = at; x; x = x->up) {
        text = arena_printf(c->a, "%.*s -> %.*s", STR_ARG(x->path), STR_ARG(text));
        if (str_eq(x->path, path))
            break;
    }
    REPORT(c, v, "files lead to one another in a circle: %.*s; expected one of them not to", STR_ARG(text));
}

/* In a file without `workflow` its keys are the workflow's; those that begin with x- or `.` are there for their
 * anchors, as beside `workflow`. */
static struct val bare_keys(struct arena *a, const struct val *root)
{
    struct val_map m = val_map_new(a);
    for (size_t i = 0; i < root->obj.n; i++) {
        const struct member *k = &root->obj.m[i];
        if (!str_starts(k->key, STR("x-")) && !str_starts(k->key, STR(".")))
            val_map_add(&m, k->key, k->val, k->line, k->col);
    }
    return keep_place(val_map_done(&m), root);
}

/* The number of the source with that path; SOURCES_MAX: it is new. */
static size_t find_source(const struct composed *c, struct str path)
{
    for (size_t i = 1; i < c->n; i++)
        if (str_eq(c->sources[i].name, path))
            return i;
    return SOURCES_MAX;
}

/* The map of the workflow in a file that another names; false: reported. */
static bool load_file(struct composed *c, const struct val *name, const struct chain *at, struct val *ret)
{
    struct err err;
    if (name->type != VAL_STR || !name->s.n) {
        REPORT(c, name, "the name of a file is %s; expected text", load_found(name));
        return false;
    }
    struct str path = join(c->a, at->path, name->s);
    for (const struct chain *x = at; x; x = x->up)
        if (str_eq(x->path, path)) {
            report_circle(c, name, at, path);
            return false;
        }
    struct chain next = {at, path, at->depth + 1};
    size_t n = find_source(c, path);
    if (n < SOURCES_MAX) {
        if (c->read[n])
            *ret = resolve_doc(c, &c->docs[n], &next);
        return c->read[n];
    }
    if (at->depth >= SOURCES_DEPTH_MAX || c->n >= SOURCES_MAX) {
        REPORT(c, name, "too many files; expected at most %d, and %d in a row", SOURCES_MAX, SOURCES_DEPTH_MAX);
        return false;
    }
    n = c->n;
    c->sources[n].name = path;
    if (!c->files || !c->files->read) {
        REPORT(c, name, "%s cannot be read here; expected a file beside this one, named relative to it", clip(path).z);
        return false;
    }
    if (c->files->read(c->files->ctx, path, c->a, &c->sources[n].text, &err) != RC_OK) {
        REPORT(c, name, "%s; expected a file beside this one, named relative to it", err.msg);
        return false;
    }
    c->n++;
    c->used = true;
    if (!parse_file(c, n, &next))
        return false;
    const struct val *doc = &c->docs[n];
    if (root_of(doc)->type != VAL_OBJECT) {
        problem_add(c->ps, false, (uint32_t)n << PLACE_SHIFT | 1, 1,
                    "this file is %s; expected a map of a workflow's keys",
                    doc->type == VAL_NULL ? "empty" : load_found(doc));
        return c->read[n] = false;
    }
    if (root_of(doc) == doc)
        c->docs[n] = bare_keys(c->a, doc);
    *ret = resolve_doc(c, doc, &next);
    return true;
}

static void load_under(struct composed *c, const struct val *names, const struct chain *at, struct val *all)
{
    const struct val *list = names && names->type == VAL_ARRAY ? names->arr.v : names;
    size_t n = !names ? 0 : names->type == VAL_ARRAY ? names->arr.n : 1;
    for (size_t i = 0; i < n; i++) {
        struct val one;
        if (load_file(c, &list[i], at, &one))
            *all = merge(c->a, all, &one);
    }
}

static struct val resolve(struct composed *c, const struct val *root, const struct chain *at)
{
    static const char *const keys[] = {"extends", "include"};
    if (root->type != VAL_OBJECT || !(VAL_GET(root, "extends") || VAL_GET(root, "include")))
        return *root;
    struct val below = val_empty_object, own = without(c->a, root, keys, 2);
    load_under(c, VAL_GET(root, "extends"), at, &below);
    load_under(c, VAL_GET(root, "include"), at, &below);
    return merge(c->a, &below, &own);
}

/* The workflow's map in a document; `extends` and `include` may also stand beside `workflow`. */
static struct val resolve_doc(struct composed *c, const struct val *doc, const struct chain *at)
{
    const struct val *root = root_of(doc);
    struct val inner = resolve(c, root, at), below = val_empty_object;
    if (root == doc || inner.type != VAL_OBJECT || !(VAL_GET(doc, "extends") || VAL_GET(doc, "include")))
        return inner;
    load_under(c, VAL_GET(doc, "extends"), at, &below);
    load_under(c, VAL_GET(doc, "include"), at, &below);
    return merge(c->a, &below, &inner);
}

/* ---- $if ---- */

struct question {
    struct composed *c;
    const struct val *environment; /* the workflow's block, or NULL */
};

static const struct val *ask_env(struct composed *c, struct str name)
{
    for (size_t i = 0; i < c->env.n; i++)
        if (str_eq(c->env.m[i].key, name))
            return &c->env.m[i].val;
    const char *z = c->files && c->files->env && !env_looks_secret(name) && name.n < 200
                        ? c->files->env(c->files->ctx, arena_cstr(c->a, name))
                        : NULL;
    bool good = z && str_utf8_valid(str_c(z)) == strlen(z);
    c->used = true;
    val_map_set(&c->env, arena_str(c->a, name), good ? val_str(arena_str(c->a, str_c(z))) : val_null);
    return ask_env(c, name);
}

static enum rc resolve_name(void *ctx, const struct val *key, size_t n, struct arena *a, const struct val **ret,
                            size_t *used, struct err *err)
{
    struct question *q = ctx;
    (void)a;
    struct str head = key[0].s, name = n > 1 && key[1].type == VAL_STR ? key[1].s : STR("");
    *used = n > 1 ? 2 : 1;
    if (str_is(head, "env") && n > 1) {
        *ret = ask_env(q->c, name);
    } else if (str_is(head, "environment")) {
        const struct val *v = n > 1 ? val_get(q->environment, name) : VAL_GET(q->environment, "mode");
        *ret = v ? v : &val_null;
    } else if (n == 1 && head.n && head.p[0] >= 'A' && head.p[0] <= 'Z') {
        *ret = ask_env(q->c, head);
    } else {
        return err_set(err, RC_NOT_FOUND, "`%.*s` is not known to `$if`; expected env.NAME or environment.mode",
                       STR_ARG(head));
    }
    return RC_OK;
}

/* `${X}` and `${X:-text}` as an expression says them. */
static struct str plain_names(struct arena *a, struct str s)
{
    struct str out = STR("");
    for (struct dollar d; dollar_next(&s, &d);)
        out = d.fallback.p ? arena_printf(a, "%.*s%.*s(env.%.*s || \"%.*s\")", STR_ARG(out), STR_ARG(d.before),
                                          STR_ARG(d.name), STR_ARG(d.fallback))
                           : arena_printf(a, "%.*s%.*senv.%.*s", STR_ARG(out), STR_ARG(d.before), STR_ARG(d.name));
    return arena_printf(a, "%.*s%.*s", STR_ARG(out), STR_ARG(s));
}

static bool decide(struct question *q, const struct val *cond)
{
    struct composed *c = q->c;
    const struct expr *e;
    struct val v;
    struct err err;
    if (cond->type == VAL_BOOL)
        return cond->b;
    if (cond->type != VAL_STR) {
        REPORT(c, cond, "`$if` is %s; expected a condition on the environment, such as env.CI == \"true\"",
               load_found(cond));
        return false;
    }
    struct str text = str_trim(plain_names(c->a, cond->s));
    if (str_starts(text, STR("{{")) && str_ends(text, STR("}}")))
        text = str_n(text.p + 2, text.n - 4);
    struct expr_scope scope = {.resolve = resolve_name, .ctx = q, .null_safe = true};
    if (expr_parse(c->a, text, 0, 0, &e, &err) == RC_OK && expr_eval(e, &scope, c->a, &v, &err) == RC_OK)
        return val_truthy(&v);
    REPORT(c, cond, "`$if`: %s", err.msg);
    return false;
}

static bool has_if(const struct val *v)
{
    return v->type == VAL_OBJECT && VAL_GET(v, "$if");
}

/* False: nothing is left of it. */
static bool choose(struct question *q, const struct val *v, struct val *ret);

static struct val choose_list(struct question *q, const struct val *v)
{
    struct val_list l = val_list_new(q->c->a);
    for (size_t i = 0; i < v->arr.n; i++) {
        struct val one;
        if (!choose(q, &v->arr.v[i], &one))
            continue;
        bool spread = has_if(&v->arr.v[i]) && one.type == VAL_ARRAY;
        for (size_t k = 0; spread && k < one.arr.n; k++)
            val_list_push(&l, one.arr.v[k]);
        if (!spread)
            val_list_push(&l, one);
    }
    return keep_place(val_list_done(&l), v);
}

static struct val choose_map(struct question *q, const struct val *v)
{
    struct val_map m = val_map_new(q->c->a);
    for (size_t i = 0; i < v->obj.n; i++) {
        struct val one;
        if (choose(q, &v->obj.m[i].val, &one))
            val_map_add(&m, v->obj.m[i].key, one, v->obj.m[i].line, v->obj.m[i].col);
    }
    return keep_place(val_map_done(&m), v);
}

static bool choose(struct question *q, const struct val *v, struct val *ret)
{
    static const char *const keys[] = {"$if", "$then", "$else"};
    struct arena *a = q->c->a;
    if (has_if(v)) {
        const struct val *branch = decide(q, VAL_GET(v, "$if")) ? VAL_GET(v, "$then") : VAL_GET(v, "$else");
        struct val rest = without(a, v, keys, 3), inner;
        bool some = branch && choose(q, branch, &inner);
        if (rest.obj.n == 0) {
            *ret = some ? inner : val_null;
            return some;
        }
        rest = choose_map(q, &rest);
        *ret = some ? merge(a, &rest, &inner) : rest;
        return true;
    }
    *ret = v->type == VAL_ARRAY ? choose_list(q, v) : v->type == VAL_OBJECT ? choose_map(q, v) : *v;
    return true;
}

static bool any_if(const struct val *v)
{
    if (has_if(v))
        return true;
    for (size_t i = 0; v->type == VAL_ARRAY && i < v->arr.n; i++)
        if (any_if(&v->arr.v[i]))
            return true;
    for (size_t i = 0; v->type == VAL_OBJECT && i < v->obj.n; i++)
        if (any_if(&v->obj.m[i].val))
            return true;
    return false;
}

/* ---- the way in ---- */

static struct val gather(struct composed *c, const struct val *doc, const struct chain *at)
{
    static const char *const keys[] = {"extends", "include"};
    const struct val *root = root_of(doc);
    if (root == doc)
        return resolve(c, doc, at);
    struct val inner = resolve_doc(c, doc, at), bare = without(c->a, doc, keys, 2);
    struct val_map m = val_map_new(c->a);
    for (size_t i = 0; i < bare.obj.n; i++) {
        const struct member *k = &bare.obj.m[i];
        bool is_root = str_is(k->key, "workflow") || str_is(k->key, "pipeline");
        val_map_add(&m, k->key, is_root ? inner : k->val, k->line, k->col);
    }
    return keep_place(val_map_done(&m), doc);
}

bool compose(struct composed *c, struct val *ret)
{
    struct chain at = {.path = c->sources[0].name};
    c->docs = arena_calloc(c->a, SOURCES_MAX, sizeof *c->docs);
    c->read = arena_calloc(c->a, SOURCES_MAX, sizeof *c->read);
    if (!parse_file(c, 0, &at))
        return false;
    *ret = c->docs[0];
    if (ret->type != VAL_OBJECT)
        return true;
    struct val whole = gather(c, ret, &at);
    struct question q = {.c = c, .environment = VAL_GET(root_of(&whole), "environment")};
    if (!any_if(&whole))
        *ret = whole;
    else if (!choose(&q, &whole, ret))
        *ret = val_empty_object;
    return true;
}

void compose_done(struct composed *c)
{
    map_done(&c->names);
}

/* ---- bundles ---- */

#define BUNDLE "treadle-bundle/1"

struct str bundle_write(const struct composed *c)
{
    if (!c->used)
        return c->sources[0].text;
    struct val_map m = val_map_new(c->a), env = c->env;
    struct val_list files = val_list_new(c->a);
    for (size_t i = 0; i < c->n; i++) {
        struct val_map f = val_map_new(c->a);
        VAL_MAP_SET(&f, "path", val_str(c->sources[i].name));
        VAL_MAP_SET(&f, "text", val_str(c->sources[i].text));
        val_list_push(&files, val_map_done(&f));
    }
    VAL_MAP_SET(&m, "bundle", VAL_LIT(BUNDLE));
    VAL_MAP_SET(&m, "env", val_map_done(&env));
    VAL_MAP_SET(&m, "files", val_list_done(&files));
    struct val v = val_map_done(&m);
    return json_text(c->a, &v);
}

static enum rc bundle_file(void *ctx, struct str path, struct arena *a, struct str *ret, struct err *err)
{
    const struct val *files = VAL_GET((const struct val *)ctx, "files");
    (void)a;
    for (size_t i = 0; val_at(files, i); i++)
        if (str_eq(val_get_str(val_at(files, i), STR("path"), STR("")), path)) {
            *ret = val_get_str(val_at(files, i), STR("text"), STR(""));
            return RC_OK;
        }
    return err_set(err, RC_NOT_FOUND, "%.*s is not among the files that the run is pinned to", STR_ARG(path));
}

static const char *bundle_env(void *ctx, const char *name)
{
    const struct val *v = val_get(VAL_GET((const struct val *)ctx, "env"), str_c(name));
    return val_is(v, VAL_STR) ? v->s.p : NULL;
}

bool bundle_read(struct arena *a, struct str text, struct source *main, struct load_files *files)
{
    struct val *v = ARENA_NEW(a, struct val);
    struct err err;
    if (!str_starts(text, STR("{\"bundle\":\"" BUNDLE "\"")) ||
        json_parse(a, text, &JSON_LIMITS_DEFAULT, v, &err) != RC_OK)
        return false;
    const struct val *first = val_at(VAL_GET(v, "files"), 0);
    if (!first)
        return false;
    main->name = val_get_str(first, STR("path"), STR("workflow.yaml"));
    main->text = val_get_str(first, STR("text"), STR(""));
    *files = (struct load_files){.ctx = v, .read = bundle_file, .env = bundle_env};
    return true;
}
