/* From what an import says to the files that are meant: each language's rules, as far as the files themselves tell.
 * Nothing is run or configured: search paths that only a build knows are guessed at from where things lie (a module's
 * path below any directory above the importing file, or below src, lib and include), which finds what people write.
 *
 * Two indexes serve all: files by their name, and by their directory. */
#include "code/graph.h"

#include "data/json.h"

#include <stdio.h>
#include <stdlib.h>

enum { MANIFEST_MAX = 1 << 20, TRIES_MAX = 64 };

struct entry {
    struct entry *next;
    struct code_file *file;
};
struct place_of { /* a package declared by a manifest */
    struct place_of *next;
    struct str name, dir;
};

struct resolver {
    struct code *c;
    struct map by_name, by_dir; /* -> struct entry */
    struct map modules;         /* Elixir: module -> struct entry */
    struct place_of *go, *crates, *npm;
};

/* ---- indexes ---- */

static void index_add(struct resolver *r, struct map *m, struct str key, struct code_file *f)
{
    struct entry *e = ARENA_NEW(r->c->arena, struct entry), *first = map_get(m, key);
    *e = (struct entry){.file = f};
    if (!first) {
        map_put(m, key, e);
        return;
    }
    e->next = first->next; /* behind the first, which stays where the map has it */
    first->next = e;
}

static struct place_of *place_add(struct resolver *r, struct place_of *list, struct str name, struct str dir)
{
    struct place_of *p = ARENA_NEW(r->c->arena, struct place_of);
    *p = (struct place_of){.next = list, .name = arena_str(r->c->arena, str_trim(name)), .dir = dir};
    return p;
}

/* The value of the first line `KEY VALUE` or `KEY = "VALUE"`, after a line `section` if there is one. */
static struct str line_value(struct str text, const char *section, const char *key)
{
    bool in = section[0] == 0;
    while (text.n) {
        size_t nl = str_find(text, STR("\n"));
        struct str line = str_trim(str_n(text.p, nl < text.n ? nl : text.n));
        if (section[0] && line.n && line.p[0] == '[')
            in = str_is(line, section);
        if (in && str_starts(line, str_c(key))) {
            struct str v = str_trim(str_from(line, strlen(key)));
            if (v.n && v.p[0] == '=')
                v = str_trim(str_from(v, 1));
            if (v.n >= 2 && (v.p[0] == '"' || v.p[0] == '\'')) {
                size_t end = str_find(str_from(v, 1), str_n(v.p, 1));
                return end < v.n ? str_n(v.p + 1, end) : STR("");
            }
            return v;
        }
        text = nl < text.n ? str_from(text, nl + 1) : STR("");
    }
    return STR("");
}

static void read_manifest(struct resolver *r, struct code_file *f)
{
    struct str name = path_name(f->path), dir = path_dir(f->path), text;
    struct arena scratch = {0};
    struct err err;
    bool go = str_is(name, "go.mod"), cargo = str_is(name, "Cargo.toml"), npm = str_is(name, "package.json");
    if ((go || cargo || npm) && files_read(&r->c->root, f->path, MANIFEST_MAX, &scratch, &text, &err) == RC_OK) {
        struct str found = go      ? line_value(text, "", "module ")
                           : cargo ? line_value(text, "[package]", "name")
                                   : STR("");
        struct json_limits limits = JSON_LIMITS_DEFAULT;
        struct val v;
        if (npm && json_parse(&scratch, text, &limits, &v, &err) == RC_OK)
            found = val_get_str(&v, STR("name"), STR(""));
        if (found.n && str_utf8_valid(found) == found.n) {
            struct place_of **list = go ? &r->go : cargo ? &r->crates : &r->npm;
            *list = place_add(r, *list, found, dir);
        }
    }
    arena_done(&scratch);
}

struct resolver *resolver_new(struct code *c)
{
    struct resolver *r = ARENA_NEW(c->arena, struct resolver);
    r->c = c;
    for (size_t i = 0; i < c->files.n; i++) {
        struct code_file *f = &c->files.v[i];
        if (f->lang) {
            index_add(r, &r->by_name, path_name(f->path), f);
            index_add(r, &r->by_dir, path_dir(f->path), f);
        } else {
            read_manifest(r, f);
        }
    }
    return r;
}

void resolver_free(struct resolver *r)
{
    map_done(&r->by_name);
    map_done(&r->by_dir);
    map_done(&r->modules);
}

void resolver_learn(struct resolver *r, struct code_file *f, const struct outline *o)
{
    for (size_t i = 0; f->lang == LANG_ELIXIR && i < o->nitems; i++) {
        const struct item *x = &o->items[i];
        if (x->kind == ITEM_FUNCTION)
            continue;
        struct str name =
            x->owner.n ? arena_printf(r->c->arena, "%.*s.%.*s", STR_ARG(x->owner), STR_ARG(x->name)) : x->name;
        index_add(r, &r->modules, name, f);
    }
}

/* ---- looking up ---- */

static void hit(struct resolved *ret, struct code_file *f)
{
    for (size_t i = 0; i < ret->n; i++)
        if (ret->file[i] == f)
            return;
    if (f && ret->n < RESOLVED_MAX)
        ret->file[ret->n++] = f;
}

/* Takes off what `..` and `.` say; false when it leads out. */
static bool normal(struct arena *a, struct str path, struct str *ret)
{
    char *out = arena_alloc(a, path.n + 1);
    size_t n = 0;
    while (path.n) {
        size_t cut = str_find(path, STR("/"));
        struct str part = str_n(path.p, cut < path.n ? cut : path.n);
        path = cut < path.n ? str_from(path, cut + 1) : STR("");
        if (!part.n || str_is(part, "."))
            continue;
        if (str_is(part, "..")) {
            if (!n)
                return false;
            while (n && out[n - 1] != '/')
                n--;
            n -= n > 0;
            continue;
        }
        if (n)
            out[n++] = '/';
        memcpy(out + n, part.p, part.n);
        n += part.n;
    }
    *ret = str_n(out, n);
    return true;
}

/* DIR/PATH + one of the endings ("" first, say). */
static bool try_path(struct resolver *r, struct str dir, struct str path, const char *const *endings,
                     struct resolved *ret)
{
    struct arena scratch = {0};
    struct str full, joined = dir.n ? arena_printf(&scratch, "%.*s/%.*s", STR_ARG(dir), STR_ARG(path)) : path;
    struct code_file *f = NULL;
    if (normal(&scratch, joined, &full))
        for (; *endings && !f; endings++)
            f = files_get(&r->c->files, arena_printf(&scratch, "%.*s%s", STR_ARG(full), *endings));
    arena_done(&scratch);
    if (f)
        hit(ret, f);
    return f != NULL;
}

/* Below the importing file's directory, any directory above it, and their usual subdirectories. */
static bool try_upwards(struct resolver *r, struct code_file *from, struct str path, const char *const *endings,
                        const char *const *below, struct resolved *ret)
{
    struct str dir = path_dir(from->path);
    for (int tries = 0; tries < TRIES_MAX; tries++) {
        if (try_path(r, dir, path, endings, ret))
            return true;
        for (const char *const *b = below; *b; b++) {
            struct arena scratch = {0};
            struct str sub = dir.n ? arena_printf(&scratch, "%.*s/%s", STR_ARG(dir), *b) : str_c(*b);
            bool found = try_path(r, sub, path, endings, ret);
            arena_done(&scratch);
            if (found)
                return true;
        }
        if (!dir.n)
            return false;
        dir = path_dir(dir);
    }
    return false;
}

/* The only file of the workspace whose path ends in this one; none when there are several. */
static struct code_file *only_with_ending(struct resolver *r, struct str path)
{
    struct code_file *found = NULL;
    for (struct entry *e = map_get(&r->by_name, path_name(path)); e; e = e->next) {
        struct str p = e->file->path;
        if (!str_eq(p, path) && !(p.n > path.n && p.p[p.n - path.n - 1] == '/' && str_ends(p, path)))
            continue;
        if (found)
            return NULL;
        found = e->file;
    }
    return found;
}

static struct str with_slashes(struct arena *a, struct str s, const char *sep)
{
    char *out = arena_alloc(a, s.n + 1);
    size_t n = 0, skip = strlen(sep);
    for (size_t i = 0; i < s.n;) {
        if (str_starts(str_from(s, i), str_c(sep))) {
            out[n++] = '/';
            i += skip;
        } else {
            out[n++] = s.p[i++];
        }
    }
    return str_n(out, n);
}

static struct str first_part(struct str s, const char *stop)
{
    size_t n = str_find(s, str_c(stop));
    return n < s.n ? str_n(s.p, n) : s;
}

/* ---- the languages ---- */

static void python(struct resolver *r, struct code_file *from, const struct import *i, struct resolved *ret)
{
    static const char *const endings[] = {".py", "/__init__.py", ".pyi", "/__init__.pyi", NULL};
    static const char *const below[] = {"src", "lib", "python", NULL};
    struct arena scratch = {0};
    struct str t = i->target, dir = path_dir(from->path);
    size_t dots = 0;
    while (dots < t.n && t.p[dots] == '.')
        dots++;
    struct str path = with_slashes(&scratch, str_from(t, dots), ".");
    for (size_t k = 1; k < dots; k++)
        dir = path_dir(dir);
    for (size_t k = 0; k < i->names.n; k++) { /* from package import module */
        struct str sub =
            path.n ? arena_printf(&scratch, "%.*s/%.*s", STR_ARG(path), STR_ARG(i->names.v[k])) : i->names.v[k];
        if (dots)
            (void)try_path(r, dir, sub, endings, ret);
        else
            (void)try_upwards(r, from, sub, endings, below, ret);
    }
    if (dots && path.n)
        (void)try_path(r, dir, path, endings, ret);
    else if (dots && !ret->n)
        (void)try_path(r, dir, STR("__init__"), (const char *const[]){".py", ".pyi", NULL}, ret);
    else if (!dots)
        (void)try_upwards(r, from, path, endings, below, ret);
    ret->package = first_part(t, ".");
    arena_done(&scratch);
}

static void web(struct resolver *r, struct code_file *from, const struct import *i, struct resolved *ret)
{
    static const char *const endings[] = {
        "",     ".ts",       ".tsx",       ".d.ts",     ".js",        ".jsx",       ".mjs",        ".cjs", ".mts",
        ".cts", "/index.ts", "/index.tsx", "/index.js", "/index.jsx", "/index.mjs", "/index.d.ts", NULL};
    static const char *const typed[] = {".ts", ".tsx", ".mts", ".d.ts", NULL};
    static const char *const below[] = {"src", "app", NULL};
    struct str t = first_part(i->target, "?");
    if (str_starts(t, STR("."))) {
        if (!try_path(r, path_dir(from->path), t, endings, ret) &&
            str_ends(t, STR(".js"))) /* TypeScript: ./x.js is x.ts */
            (void)try_path(r, path_dir(from->path), str_n(t.p, t.n - 3), typed, ret);
        return;
    }
    if (str_starts(t, STR("@/")) || str_starts(t, STR("~/"))) {
        (void)try_upwards(r, from, str_from(t, 2), endings, below, ret);
        return;
    }
    for (struct place_of *p = r->npm; p && !ret->n; p = p->next) /* a package of the same workspace */
        if (str_starts(t, p->name) && (t.n == p->name.n || t.p[p->name.n] == '/')) {
            struct str rest = t.n > p->name.n ? str_from(t, p->name.n + 1) : STR("index");
            struct arena scratch = {0};
            struct str src = p->dir.n ? arena_printf(&scratch, "%.*s/src", STR_ARG(p->dir)) : STR("src");
            (void)(try_path(r, p->dir, rest, endings, ret) || try_path(r, src, rest, endings, ret));
            arena_done(&scratch);
        }
    size_t slash = str_find(t, STR("/"));
    if (slash < t.n && t.p[0] == '@') { /* @scope/name */
        size_t second = str_find(str_from(t, slash + 1), STR("/"));
        slash = second < t.n ? slash + 1 + second : t.n;
    }
    ret->package = slash < t.n ? str_n(t.p, slash) : t;
}

/* All files of the package but its tests. */
static void go(struct resolver *r, struct code_file *from, const struct import *i, struct resolved *ret)
{
    struct arena scratch = {0};
    (void)from;
    for (struct place_of *m = r->go; m; m = m->next) {
        struct str rest;
        if (!str_starts(i->target, m->name) || (i->target.n > m->name.n && i->target.p[m->name.n] != '/'))
            continue;
        rest = i->target.n > m->name.n ? str_from(i->target, m->name.n + 1) : STR("");
        struct str dir = !m->dir.n ? rest
                         : rest.n  ? arena_printf(&scratch, "%.*s/%.*s", STR_ARG(m->dir), STR_ARG(rest))
                                   : m->dir;
        for (struct entry *e = map_get(&r->by_dir, dir); e; e = e->next)
            if (e->file->lang == LANG_GO && !str_ends(e->file->path, STR("_test.go")))
                hit(ret, e->file);
    }
    arena_done(&scratch);
    ret->package = i->target;
}

/* The directory in which the children of the module of this file lie: a/mod.rs, a/lib.rs, a/main.rs -> a; a/b.rs -> a/b
 */
static struct str rust_dir(struct str path)
{
    struct str name = path_name(path);
    if (str_is(name, "mod.rs") || str_is(name, "lib.rs") || str_is(name, "main.rs"))
        return path_dir(path);
    return str_n(path.p, path.n - 3);
}

/* As much of a::b::c as is a file. */
static bool rust_path(struct resolver *r, struct str dir, struct str path, struct resolved *ret)
{
    static const char *const endings[] = {".rs", "/mod.rs", NULL};
    struct arena scratch = {0};
    path = with_slashes(&scratch, path, "::");
    bool found = false;
    while (path.n && !found) {
        found = try_path(r, dir, path, endings, ret);
        path = path_dir(path);
    }
    arena_done(&scratch);
    return found;
}

static void rust(struct resolver *r, struct code_file *from, const struct import *i, struct resolved *ret)
{
    static const char *const roots[] = {"lib.rs", "main.rs", NULL};
    struct arena scratch = {0};
    struct str t = i->target, here = rust_dir(from->path), head = first_part(t, "::");
    struct str rest = head.n < t.n ? str_from(t, head.n + 2) : STR("");
    if (i->how == 'm') {
        (void)rust_path(r, here, t, ret);
    } else if (str_is(head, "self")) {
        (void)rust_path(r, here, rest, ret);
    } else if (str_is(head, "super")) {
        struct str dir = path_dir(here);
        while (str_starts(rest, STR("super::")))
            rest = str_from(rest, 7), dir = path_dir(dir);
        (void)rust_path(r, dir, rest, ret);
    } else if (str_is(head, "crate")) { /* the nearest directory above with a lib.rs or main.rs */
        struct str dir = path_dir(from->path);
        struct resolved root = {0};
        while (!try_path(r, dir, STR("lib.rs"), (const char *const[]){"", NULL}, &root) &&
               !try_path(r, dir, STR("main.rs"), (const char *const[]){"", NULL}, &root) && dir.n)
            dir = path_dir(dir);
        if (!rust_path(r, dir, rest, ret) && root.n)
            hit(ret, root.file[0]);
    } else if (!rust_path(r, here, t, ret)) {
        for (struct place_of *p = r->crates; p && !ret->n; p = p->next) {
            struct str name = p->name;
            bool same = name.n == head.n;
            for (size_t k = 0; same && k < name.n; k++)
                same = name.p[k] == head.p[k] || (name.p[k] == '-' && head.p[k] == '_');
            struct str src = p->dir.n ? arena_printf(&scratch, "%.*s/src", STR_ARG(p->dir)) : STR("src");
            if (same && !rust_path(r, src, rest, ret))
                for (const char *const *x = roots; *x && !ret->n; x++)
                    (void)try_path(r, src, str_c(*x), (const char *const[]){"", NULL}, ret);
        }
        ret->package = head;
    }
    bool inside = str_is(head, "self") || str_is(head, "super") || str_is(head, "crate");
    if (inside && !ret->n)
        hit(ret, from); /* a module inside this file */
    arena_done(&scratch);
}

static void c_include(struct resolver *r, struct code_file *from, const struct import *i, struct resolved *ret)
{
    static const char *const as_is[] = {"", NULL};
    static const char *const below[] = {"include", "src", "lib", NULL};
    if (i->how == '"' && try_path(r, path_dir(from->path), i->target, as_is, ret))
        return;
    if (i->how == '<' && is_stdlib(LANG_C, i->target))
        return;
    if (!try_upwards(r, from, i->target, as_is, below, ret))
        hit(ret, only_with_ending(r, i->target));
    ret->package = i->target;
}

static void java(struct resolver *r, struct code_file *from, const struct import *i, struct resolved *ret)
{
    struct arena scratch = {0};
    struct str t = i->target;
    (void)from;
    if (i->how == 's') { /* a static member: its class */
        const char *dot = memrchr(t.p, '.', t.n);
        t = dot ? str_n(t.p, (size_t)(dot - t.p)) : t;
    }
    struct str path = with_slashes(&scratch, t, ".");
    if (i->how == '*') {
        for (size_t k = 0; k < r->c->files.n; k++) {
            struct str dir = path_dir(r->c->files.v[k].path);
            if (r->c->files.v[k].lang == LANG_JAVA &&
                (str_eq(dir, path) || (dir.n > path.n && dir.p[dir.n - path.n - 1] == '/' && str_ends(dir, path))))
                hit(ret, &r->c->files.v[k]);
        }
    }
    while (!ret->n && i->how != '*' && path.n) { /* a.b.Outer.Inner: Outer.java */
        hit(ret, only_with_ending(r, arena_printf(&scratch, "%.*s.java", STR_ARG(path))));
        struct str name = path_name(path);
        if (!name.n || name.p[0] < 'A' || name.p[0] > 'Z')
            break;
        path = path_dir(path);
    }
    const char *dot = i->how == '*' || !t.n ? NULL : memrchr(t.p, '.', t.n);
    struct str pkg = dot ? str_n(t.p, (size_t)(dot - t.p)) : t;
    ret->package = arena_str(r->c->arena, pkg);
    arena_done(&scratch);
}

static void ruby(struct resolver *r, struct code_file *from, const struct import *i, struct resolved *ret)
{
    static const char *const endings[] = {".rb", "", NULL};
    static const char *const below[] = {"lib", "app", "test", "spec", NULL};
    if (i->how == 'r' || str_starts(i->target, STR("."))) {
        (void)try_path(r, path_dir(from->path), i->target, endings, ret);
        return;
    }
    (void)try_upwards(r, from, i->target, endings, below, ret);
    ret->package = first_part(i->target, "/");
}

/* An alias used by its last part means the whole: `alias A.B` makes `B.C` into A.B.C. */
static void elixir(struct resolver *r, struct code_file *from, const struct outline *o, const struct import *i,
                   struct resolved *ret)
{
    struct arena scratch = {0};
    struct str t = i->target, head = first_part(t, ".");
    (void)from;
    for (size_t k = 0; k < o->nimports && i->how == 'u'; k++) {
        const struct import *a = &o->imports[k];
        if (a->how != 'a')
            continue;
        const char *dot = memrchr(a->target.p, '.', a->target.n);
        struct str last = dot ? str_from(a->target, (size_t)(dot - a->target.p) + 1) : a->target;
        if (str_eq(last, head) && a->target.n > head.n) {
            t = arena_printf(&scratch, "%.*s%.*s", STR_ARG(a->target), STR_ARG(str_from(t, head.n)));
            break;
        }
    }
    for (struct entry *e = map_get(&r->modules, t); e; e = e->next)
        hit(ret, e->file);
    ret->package = head;
    arena_done(&scratch);
}

void resolve(struct resolver *r, struct code_file *from, const struct outline *o, const struct import *i,
             struct resolved *ret)
{
    *ret = (struct resolved){0};
    switch (from->lang) {
    case LANG_PYTHON:
        python(r, from, i, ret);
        break;
    case LANG_JAVASCRIPT:
    case LANG_TYPESCRIPT:
    case LANG_TSX:
        web(r, from, i, ret);
        break;
    case LANG_GO:
        go(r, from, i, ret);
        break;
    case LANG_RUST:
        rust(r, from, i, ret);
        break;
    case LANG_C:
        c_include(r, from, i, ret);
        break;
    case LANG_JAVA:
        java(r, from, i, ret);
        break;
    case LANG_RUBY:
        ruby(r, from, i, ret);
        break;
    case LANG_ELIXIR:
        elixir(r, from, o, i, ret);
        break;
    case LANG_NONE:
    case LANG_COUNT:
        break;
    }
    if (!ret->n)
        ret->stdlib = is_stdlib(from->lang, i->target);
}
