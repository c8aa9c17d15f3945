/* What kind of project it is, what it is built with, and where its programs begin: by its manifests, of which only the
 * parts are read that say so. Manifests that are programs (mix.exs, Gemfile, build.gradle, setup.py) are read as text.
 */
#include "code/query.h"

#include "data/json.h"

#include <ctype.h>

enum { MANIFEST_MAX = 2 << 20, PACKAGES_MAX = 20000, CONTEXT_COMMITS = 5 };

struct package {
    struct package *next;
    struct str name, version;
    bool dev;
    const char *ecosystem;
    struct str manifest;
};
struct project {
    struct code *c;
    struct package *first, **last;
    size_t n;
};

static void add(struct project *p, const char *ecosystem, struct str manifest, struct str name, struct str version,
                bool dev)
{
    name = str_trim(name), version = str_trim(version);
    if (!name.n || p->n == PACKAGES_MAX || str_utf8_valid(name) != name.n || str_utf8_valid(version) != version.n)
        return;
    struct package *x = ARENA_NEW(p->c->arena, struct package);
    *x = (struct package){.name = arena_str(p->c->arena, name),
                          .version = arena_str(p->c->arena, version),
                          .dev = dev,
                          .ecosystem = ecosystem,
                          .manifest = manifest};
    *p->last = x;
    p->last = &x->next;
    p->n++;
}

/* ---- reading lines ---- */

static bool next_line(struct str *text, struct str *line)
{
    if (!text->n)
        return false;
    size_t n = str_find(*text, STR("\n"));
    *line = str_trim(str_n(text->p, n < text->n ? n : text->n));
    *text = n < text->n ? str_from(*text, n + 1) : STR("");
    return true;
}

/* The text of the next quoted string, and what follows it; empty when there is none. */
static struct str quoted(struct str *s)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->p[i] == '"' || s->p[i] == '\'') {
            struct str rest = str_from(*s, i + 1);
            size_t end = str_find(rest, str_n(s->p + i, 1));
            if (end >= rest.n)
                break;
            *s = str_from(rest, end + 1);
            return str_n(rest.p, end);
        }
    *s = STR("");
    return STR("");
}

static struct str before_any(struct str s, const char *stops)
{
    size_t n = 0;
    while (n < s.n && !strchr(stops, s.p[n]))
        n++;
    return str_n(s.p, n);
}

/* ---- manifests ---- */

static void package_json(struct project *p, struct str path, struct str text)
{
    static const char *const lists[] = {"dependencies", "peerDependencies", "optionalDependencies", "devDependencies"};
    struct json_limits limits = JSON_LIMITS_DEFAULT;
    struct arena scratch = {0};
    struct val v;
    struct err err;
    if (json_parse(&scratch, text, &limits, &v, &err) == RC_OK)
        for (int i = 0; i < 4; i++) {
            const struct val *l = val_get(&v, str_c(lists[i]));
            for (size_t k = 0; val_is(l, VAL_OBJECT) && k < l->obj.n; k++)
                add(p, "npm", path, l->obj.m[k].key, l->obj.m[k].val.type == VAL_STR ? l->obj.m[k].val.s : STR(""),
                    i == 3);
        }
    arena_done(&scratch);
}

/* name[extra] >= 1.0 ; marker */
static void requirement(struct project *p, struct str path, struct str line, bool dev)
{
    line = str_trim(before_any(line, "#;"));
    struct str name = before_any(line, " [<>=!~@(,");
    if (!name.n || name.p[0] == '-')
        return;
    struct str rest = str_from(line, name.n);
    if (rest.n && rest.p[0] == '[') {
        size_t end = str_find(rest, STR("]"));
        rest = end < rest.n ? str_from(rest, end + 1) : STR("");
    }
    add(p, "pypi", path, name, rest, dev);
}

static void requirements(struct project *p, struct str path, struct str text)
{
    bool dev = str_find(path, STR("dev")) != SIZE_MAX || str_find(path, STR("test")) != SIZE_MAX;
    for (struct str line; next_line(&text, &line);)
        requirement(p, path, line, dev);
}

/* TOML, as far as tables of dependencies go: `[table]`, `name = "1.0"`, `name = {version = "1.0"}`, and lists of texts
 * over several lines. */
static void toml(struct project *p, struct str path, struct str text, bool cargo)
{
    struct str table = {0};
    bool in_list = false, dev_list = false;
    for (struct str line; next_line(&text, &line);) {
        if (in_list) {
            struct str rest = line;
            for (struct str one = quoted(&rest); one.n; one = quoted(&rest))
                requirement(p, path, one, dev_list);
            in_list = !(line.n && line.p[0] == ']') && !str_ends(line, STR("]"));
            continue;
        }
        if (line.n && line.p[0] == '[') {
            table = before_any(str_from(line, 1), "]");
            if (cargo && str_starts(table, STR("dependencies.")))
                add(p, "cargo", path, str_from(table, 13), STR(""), false);
            continue;
        }
        struct str name = str_trim(before_any(line, "=")), value = str_from(line, before_any(line, "=").n);
        value = value.n ? str_trim(str_from(value, 1)) : value;
        if (!name.n || name.p[0] == '#' || !value.n)
            continue;
        if (name.p[0] == '"' || name.p[0] == '\'')
            name = quoted(&name);
        bool dev = str_find(table, STR("dev")) != SIZE_MAX || str_find(table, STR("test")) != SIZE_MAX;
        bool listed = !cargo && value.p[0] == '[' &&
                      ((str_is(table, "project") && str_is(name, "dependencies")) ||
                       str_is(table, "project.optional-dependencies") || str_is(table, "dependency-groups"));
        bool poetry = str_is(table, "tool.poetry.dependencies") || str_starts(table, STR("tool.poetry.group")) ||
                      str_is(table, "tool.poetry.dev-dependencies");
        if (listed) {
            struct str rest = value;
            dev_list = !str_is(name, "dependencies");
            for (struct str one = quoted(&rest); one.n; one = quoted(&rest))
                requirement(p, path, one, dev_list);
            in_list = str_find(value, STR("]")) == SIZE_MAX;
        } else if ((cargo && (str_ends(table, STR("dependencies")))) || (poetry && !str_is(name, "python"))) {
            struct str rest = value, at = value;
            size_t version = str_find(value, STR("version"));
            if (value.p[0] == '{')
                at = version < value.n ? str_from(value, version + 7) : STR("");
            rest = at;
            add(p, cargo ? "cargo" : "pypi", path, name, quoted(&rest), dev);
        }
    }
}

static void go_mod(struct project *p, struct str path, struct str text)
{
    bool in = false;
    for (struct str line; next_line(&text, &line);) {
        if (str_starts(line, STR("require (")))
            in = true;
        else if (in && str_is(line, ")"))
            in = false;
        else if (in || str_starts(line, STR("require "))) {
            struct str l = in ? line : str_from(line, 8), name = before_any(l, " \t");
            struct str version = before_any(str_trim(str_from(l, name.n)), " \t/");
            if (!str_starts(name, STR("//")))
                add(p, "go", path, name, version, false);
        }
    }
}

/* {:phoenix, "~> 1.7", only: [:dev, :test]} */
static void mix(struct project *p, struct str path, struct str text)
{
    size_t at = str_find(text, STR("deps do"));
    if (at == SIZE_MAX)
        return;
    text = str_from(text, at);
    for (struct str line; next_line(&text, &line) && !str_is(line, "end");) {
        if (!str_starts(line, STR("{:")))
            continue;
        struct str name = before_any(str_from(line, 2), ", }"), rest = str_from(line, 2 + name.n);
        bool only = str_find(rest, STR("only:")) != SIZE_MAX && str_find(rest, STR(":prod")) == SIZE_MAX;
        struct str word = str_trim(str_from(rest, rest.n > 0));
        add(p, "hex", path, name, word.n && word.p[0] == '"' ? quoted(&rest) : STR(""), only);
    }
}

static void gemfile(struct project *p, struct str path, struct str text)
{
    bool dev = false;
    for (struct str line; next_line(&text, &line);) {
        bool spec = str_find(line, STR(".add_")) != SIZE_MAX && str_find(line, STR("dependency")) != SIZE_MAX;
        if (str_starts(line, STR("group ")))
            dev = str_find(line, STR(":development")) != SIZE_MAX || str_find(line, STR(":test")) != SIZE_MAX;
        else if (str_is(line, "end"))
            dev = false;
        else if (str_starts(line, STR("gem ")) || str_starts(line, STR("gem(")) || spec) {
            struct str rest = line, name = quoted(&rest);
            struct str word = str_trim(str_from(rest, rest.n > 0));
            bool version = word.n && (word.p[0] == '"' || word.p[0] == '\'');
            add(p, "gem", path, name, version ? quoted(&rest) : STR(""),
                dev || str_find(line, STR("development_dependency")) != SIZE_MAX);
        }
    }
}

static struct str element(struct str block, const char *open, const char *close)
{
    size_t from = str_find(block, str_c(open));
    if (from == SIZE_MAX)
        return STR("");
    block = str_from(block, from + strlen(open));
    size_t to = str_find(block, str_c(close));
    return to == SIZE_MAX ? STR("") : str_n(block.p, to);
}

static void pom(struct project *p, struct str path, struct str text)
{
    for (size_t at; (at = str_find(text, STR("<dependency>"))) != SIZE_MAX;) {
        text = str_from(text, at + 12);
        size_t end = str_find(text, STR("</dependency>"));
        struct str block = str_n(text.p, end < text.n ? end : text.n);
        struct str group = str_trim(element(block, "<groupId>", "</groupId>"));
        struct str name = str_trim(element(block, "<artifactId>", "</artifactId>"));
        if (name.n)
            add(p, "maven", path, arena_printf(p->c->arena, "%.*s:%.*s", STR_ARG(group), STR_ARG(name)),
                element(block, "<version>", "</version>"),
                str_is(str_trim(element(block, "<scope>", "</scope>")), "test"));
    }
}

static void gradle(struct project *p, struct str path, struct str text)
{
    static const char *const words[] = {"implementation", "api", "compileOnly", "runtimeOnly", "testImplementation",
                                        "testRuntimeOnly"};
    for (struct str line; next_line(&text, &line);)
        for (int i = 0; i < 6; i++) {
            char next = line.n > strlen(words[i]) ? line.p[strlen(words[i])] : 0;
            if (!str_starts(line, str_c(words[i])) || (next != ' ' && next != '('))
                continue;
            struct str rest = line, all = quoted(&rest);
            const char *colon = all.n ? memrchr(all.p, ':', all.n) : NULL;
            bool three = colon && memchr(all.p, ':', (size_t)(colon - all.p));
            struct str name = three ? str_n(all.p, (size_t)(colon - all.p)) : all;
            if (colon)
                add(p, "maven", path, name, three ? str_from(all, name.n + 1) : STR(""), i >= 4);
        }
}

static void read_packages(struct project *p)
{
    struct arena scratch = {0};
    struct err err;
    p->last = &p->first;
    for (size_t i = 0; i < p->c->files.n; i++) {
        const struct code_file *f = &p->c->files.v[i];
        struct str name = path_name(f->path), text;
        bool req = str_starts(name, STR("requirements")) && str_ends(name, STR(".txt"));
        static const char *const known[] = {"package.json", "pyproject.toml", "Cargo.toml",
                                            "go.mod",       "mix.exs",        "Gemfile",
                                            "pom.xml",      "build.gradle",   "build.gradle.kts"};
        bool wanted = req || str_ends(name, STR(".gemspec"));
        for (size_t k = 0; k < sizeof known / sizeof *known && !wanted; k++)
            wanted = str_is(name, known[k]);
        if (!wanted || f->size > MANIFEST_MAX ||
            files_read(&p->c->root, f->path, MANIFEST_MAX, &scratch, &text, &err) != RC_OK)
            continue;
        if (req)
            requirements(p, f->path, text);
        else if (str_is(name, "package.json"))
            package_json(p, f->path, text);
        else if (str_is(name, "pyproject.toml") || str_is(name, "Cargo.toml"))
            toml(p, f->path, text, name.p[0] == 'C');
        else if (str_is(name, "go.mod"))
            go_mod(p, f->path, text);
        else if (str_is(name, "mix.exs"))
            mix(p, f->path, text);
        else if (str_is(name, "pom.xml"))
            pom(p, f->path, text);
        else if (str_starts(name, STR("build.gradle")))
            gradle(p, f->path, text);
        else
            gemfile(p, f->path, text);
    }
    arena_done(&scratch);
}

enum rc project_dependencies(struct code *c, bool dev, struct val *ret, struct err *err)
{
    struct project p = {.c = c};
    struct val_list l = val_list_new(c->arena);
    enum rc rc = code_scan(c, err);
    if (rc == RC_OK)
        read_packages(&p);
    for (const struct package *x = p.first; x; x = x->next) {
        if (x->dev && !dev)
            continue;
        struct val_map m = val_map_new(c->arena);
        VAL_MAP_SET(&m, "name", val_str(x->name));
        VAL_MAP_SET(&m, "version", val_str(x->version));
        VAL_MAP_SET(&m, "ecosystem", val_str(str_c(x->ecosystem)));
        VAL_MAP_SET(&m, "dev", val_bool(x->dev));
        VAL_MAP_SET(&m, "manifest", val_str(x->manifest));
        val_list_push(&l, val_map_done(&m));
    }
    *ret = val_list_done(&l);
    return rc;
}

enum rc query_get_dependencies(struct code *c, const struct val *crit, struct val *ret, struct err *err)
{
    return project_dependencies(c, crit_bool(crit, "include_dev", true), ret, err);
}

/* ---- kind, language, framework ---- */

static const struct manifest {
    const char *file, *type;
} manifests[] = {{"mix.exs", "elixir"},
                 {"Cargo.toml", "rust"},
                 {"go.mod", "go"},
                 {"package.json", "javascript"},
                 {"pyproject.toml", "python"},
                 {"setup.py", "python"},
                 {"requirements.txt", "python"},
                 {"Pipfile", "python"},
                 {"setup.cfg", "python"},
                 {"pom.xml", "java"},
                 {"build.gradle", "java"},
                 {"build.gradle.kts", "java"},
                 {"Gemfile", "ruby"},
                 {"CMakeLists.txt", "c"},
                 {"meson.build", "c"},
                 {"configure.ac", "c"},
                 {"Makefile", "c"}};

/* Numbers of files by language, tests left out where there is anything else. */
static struct str main_language(struct code *c, struct val *ret_counts)
{
    struct str names[LANG_COUNT];
    int64_t counts[LANG_COUNT] = {0};
    size_t n = 0, best = 0;
    struct val_map m = val_map_new(c->arena);
    for (size_t i = 0; i < c->files.n; i++) {
        if (!c->files.v[i].lang)
            continue;
        struct str name = str_c(lang_name(c->files.v[i].lang));
        size_t k = 0;
        while (k < n && !str_eq(names[k], name))
            k++;
        if (k == n)
            names[n++] = name;
        counts[k]++;
    }
    for (size_t k = 0; k < n; k++) {
        val_map_set(&m, names[k], val_int(counts[k]));
        best = counts[k] > counts[best] ? k : best;
    }
    *ret_counts = val_map_done(&m);
    return n ? names[best] : STR("unknown");
}

static const struct manifest *main_manifest(struct code *c)
{
    for (size_t i = 0; i < sizeof manifests / sizeof *manifests; i++)
        if (files_get(&c->files, str_c(manifests[i].file)))
            return &manifests[i];
    return NULL;
}

static struct val frameworks(struct code *c)
{
    static const struct {
        const char *package, *name;
    } known[] = {{"phoenix", "phoenix"},
                 {"next", "next"},
                 {"nuxt", "nuxt"},
                 {"@nestjs/core", "nestjs"},
                 {"@angular/core", "angular"},
                 {"vue", "vue"},
                 {"svelte", "svelte"},
                 {"react", "react"},
                 {"express", "express"},
                 {"fastify", "fastify"},
                 {"koa", "koa"},
                 {"django", "django"},
                 {"Django", "django"},
                 {"fastapi", "fastapi"},
                 {"flask", "flask"},
                 {"Flask", "flask"},
                 {"rails", "rails"},
                 {"sinatra", "sinatra"},
                 {"hanami", "hanami"},
                 {"github.com/gin-gonic/gin", "gin"},
                 {"github.com/labstack/echo/v4", "echo"},
                 {"github.com/gofiber/fiber/v2", "fiber"},
                 {"github.com/go-chi/chi/v5", "chi"},
                 {"actix-web", "actix"},
                 {"axum", "axum"},
                 {"rocket", "rocket"},
                 {"warp", "warp"}};
    struct project p = {.c = c};
    struct val_list l = val_list_new(c->arena);
    read_packages(&p);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        for (const struct package *x = p.first; x; x = x->next)
            if (str_is(x->name, known[i].package)) {
                val_list_push(&l, val_str(str_c(known[i].name)));
                break;
            }
    for (const struct package *x = p.first; x; x = x->next)
        if (str_starts(x->name, STR("org.springframework"))) {
            val_list_push(&l, VAL_LIT("spring"));
            break;
        }
    return val_list_done(&l);
}

static void set_framework(struct code *c, struct val_map *m)
{
    struct val all = frameworks(c);
    VAL_MAP_SET(m, "framework", all.arr.n ? all.arr.v[0] : val_null);
    VAL_MAP_SET(m, "frameworks", all);
}

static void set_language(struct code *c, struct val_map *m)
{
    struct val counts;
    struct str language = main_language(c, &counts);
    VAL_MAP_SET(m, "language", val_str(language));
    VAL_MAP_SET(m, "languages", counts);
}

static void set_type(struct code *c, struct val_map *m)
{
    const struct manifest *x = main_manifest(c);
    struct val counts;
    VAL_MAP_SET(m, "type", val_str(x ? str_c(x->type) : main_language(c, &counts)));
    VAL_MAP_SET(m, "manifest", x ? val_str(str_c(x->file)) : val_null);
}

enum rc query_get_project_type(struct code *c, const struct val *crit, struct val *ret, struct err *err)
{
    (void)crit;
    enum rc rc = code_scan(c, err);
    struct val_map m = val_map_new(c->arena);
    set_type(c, &m);
    set_language(c, &m);
    set_framework(c, &m);
    *ret = val_map_done(&m);
    return rc;
}

enum rc query_get_language(struct code *c, const struct val *crit, struct val *ret, struct err *err)
{
    (void)crit;
    enum rc rc = code_scan(c, err);
    struct val_map m = val_map_new(c->arena);
    set_language(c, &m);
    *ret = val_map_done(&m);
    return rc;
}

enum rc query_get_framework(struct code *c, const struct val *crit, struct val *ret, struct err *err)
{
    (void)crit;
    enum rc rc = code_scan(c, err);
    struct val_map m = val_map_new(c->arena);
    set_framework(c, &m);
    *ret = val_map_done(&m);
    return rc;
}

/* ---- entry points ---- */

static void entry(struct code *c, struct val_list *l, struct str path, const char *kind, struct str name)
{
    for (size_t i = 0; i < l->n; i++)
        if (str_eq(val_get_str(&l->v[i], STR("path"), STR("")), path))
            return;
    struct val_map m = val_map_new(c->arena);
    VAL_MAP_SET(&m, "path", val_str(path));
    VAL_MAP_SET(&m, "kind", val_str(str_c(kind)));
    VAL_MAP_SET(&m, "name", val_str(name));
    val_list_push(l, val_map_done(&m));
}

static void entries_of_npm(struct code *c, struct val_list *l, const struct code_file *f)
{
    struct json_limits limits = JSON_LIMITS_DEFAULT;
    struct str text, dir = path_dir(f->path);
    struct val v;
    struct err err;
    if (files_read(&c->root, f->path, MANIFEST_MAX, c->arena, &text, &err) != RC_OK ||
        json_parse(c->arena, text, &limits, &v, &err) != RC_OK)
        return;
    static const char *const keys[] = {"main", "module", "browser", "bin"};
    for (int i = 0; i < 4; i++) {
        const struct val *x = val_get(&v, str_c(keys[i]));
        for (size_t k = 0; x && k < (x->type == VAL_OBJECT ? x->obj.n : 1); k++) {
            const struct val *one = x->type == VAL_OBJECT ? &x->obj.m[k].val : x;
            if (one->type != VAL_STR)
                continue;
            struct str path = dir.n ? arena_printf(c->arena, "%.*s/%.*s", STR_ARG(dir), STR_ARG(one->s)) : one->s;
            path = files_clean(&c->root, c->arena, path);
            if (files_get(&c->files, path))
                entry(c, l, path, i == 3 ? "program" : "library",
                      x->type == VAL_OBJECT ? x->obj.m[k].key : val_get_str(&v, STR("name"), path_name(path)));
        }
    }
}

enum rc query_find_entry_points(struct code *c, const struct val *crit, struct val *ret, struct err *err)
{
    static const char *const programs[] = {"main.go",   "main.rs",          "main.c",  "__main__.py", "main.py",
                                           "manage.py", "app.py",           "wsgi.py", "asgi.py",     "application.ex",
                                           "Main.java", "Application.java", "main.ts", "main.js",     "server.js",
                                           "server.ts", "config.ru",        "main.rb"};
    static const char *const libraries[] = {"lib.rs", "index.js", "index.ts", "index.tsx", "mod.ts"};
    struct str dir = crit_text(crit, "in_directory");
    struct val_list l = val_list_new(c->arena);
    enum rc rc = code_scan(c, err);
    dir = dir.n ? files_clean(&c->root, c->arena, dir) : STR(".");
    for (size_t i = 0; rc == RC_OK && i < c->files.n; i++) {
        const struct code_file *f = &c->files.v[i];
        struct str name = path_name(f->path), parent = path_name(path_dir(f->path));
        if (!str_is(dir, ".") && !(str_starts(f->path, dir) && f->path.n > dir.n && f->path.p[dir.n] == '/'))
            continue;
        if (str_is(name, "package.json"))
            entries_of_npm(c, &l, f);
        if (f->type == FILE_TEST)
            continue;
        for (size_t k = 0; k < sizeof programs / sizeof *programs; k++)
            if (str_is(name, programs[k]))
                entry(c, &l, f->path, "program", parent.n ? parent : name);
        if (str_ends(f->path, STR(".rs")) && str_is(parent, "bin"))
            entry(c, &l, f->path, "program", str_n(name.p, name.n - 3));
        if ((str_is(parent, "bin") || str_is(parent, "exe")) && !f->lang && f->type == FILE_OTHER)
            entry(c, &l, f->path, "program", name);
        for (size_t k = 0; k < sizeof libraries / sizeof *libraries && f->main; k++)
            if (str_is(name, libraries[k]) && (!path_dir(f->path).n || str_is(parent, "src")))
                entry(c, &l, f->path, "library", parent.n ? parent : name);
    }
    *ret = val_list_done(&l);
    return rc;
}

/* ---- for prompts ---- */

enum rc project_context(struct code *c, struct val *ret, struct err *err)
{
    struct val structure = val_null, packages = val_null, git = val_null, none = val_empty_object;
    enum rc rc = code_scan(c, err);
    struct val_map m = val_map_new(c->arena), kind = val_map_new(c->arena);
    if (rc == RC_OK)
        rc = query_get_structure(c, &none, &structure, err);
    if (rc == RC_OK)
        rc = project_dependencies(c, true, &packages, err);
    if (rc == RC_OK)
        rc = query_get_git_info(c, &none, &git, err);
    if (rc)
        return rc;
    set_type(c, &kind);
    struct val k = val_map_done(&kind);
    VAL_MAP_SET(&m, "project_type", *VAL_GET(&k, "type"));
    set_language(c, &m);
    set_framework(c, &m);
    VAL_MAP_SET(&m, "structure", structure);
    VAL_MAP_SET(&m, "dependencies", packages);
    VAL_MAP_SET(&m, "git_info", git);
    *ret = val_map_done(&m);
    return RC_OK;
}
