/* One walk makes the list, so that all questions of a request see the same files. What a file is (source, test,
 * configuration, document) is told by its name and place alone. */
#include "code/files.h"

#include "code/ignore.h"
#include "executor/files.h"
#include "executor/walk.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum { IGNORE_FILE_MAX = 256 << 10 };

const char *const file_type_names[] = {"source", "test", "config", "doc", "other"};

/* ---- parts of paths ---- */

struct str path_name(struct str path)
{
    const char *slash = path.n ? memrchr(path.p, '/', path.n) : NULL;
    return slash ? str_from(path, (size_t)(slash - path.p) + 1) : path;
}

struct str path_dir(struct str path)
{
    const char *slash = path.n ? memrchr(path.p, '/', path.n) : NULL;
    return slash ? str_n(path.p, (size_t)(slash - path.p)) : STR("");
}

static bool cut_end(struct str *s, const char *end)
{
    if (s->n <= strlen(end) || !str_ends(*s, str_c(end)))
        return false;
    s->n -= strlen(end);
    return true;
}

static bool cut_start(struct str *s, const char *start)
{
    if (s->n <= strlen(start) || !str_starts(*s, str_c(start)))
        return false;
    *s = str_from(*s, strlen(start));
    return true;
}

/* The name without its ending; with `test` whether it has the marks of a test, which are taken off. */
static struct str stem(struct str path, bool *test)
{
    static const char *const ends[] = {"_test",  "_spec", ".test", ".spec", "-test", "-spec",
                                       "_tests", "Tests", "Test",  "Spec",  "IT"};
    static const char *const starts[] = {"test_", "test-", "spec_"};
    struct str s = path_name(path);
    const char *dot = s.n > 1 ? memrchr(s.p + 1, '.', s.n - 1) : NULL;
    if (dot)
        s.n = (size_t)(dot - s.p);
    (void)cut_end(&s, ".d");
    *test = false;
    for (size_t i = 0; i < sizeof ends / sizeof *ends && !*test; i++)
        *test = cut_end(&s, ends[i]);
    for (size_t i = 0; i < sizeof starts / sizeof *starts && !*test; i++)
        *test = cut_start(&s, starts[i]);
    return s;
}

struct str path_subject(struct arena *a, struct str path)
{
    bool test;
    struct str s = stem(path, &test);
    char *p = arena_cstr(a, s);
    for (size_t i = 0; i < s.n; i++)
        p[i] = (char)tolower((unsigned char)p[i]);
    return str_n(p, s.n);
}

/* ---- what a file is ---- */

static bool in_list(struct str s, const char *const *list)
{
    for (; *list; list++)
        if (str_is(s, *list))
            return true;
    return false;
}

static bool any_part(struct str path, const char *const *list)
{
    for (struct str dir = path_dir(path); dir.n;) {
        size_t n = str_find(dir, STR("/"));
        if (in_list(str_n(dir.p, n < dir.n ? n : dir.n), list))
            return true;
        dir = n < dir.n ? str_from(dir, n + 1) : STR("");
    }
    return false;
}

static bool ends_in(struct str s, const char *const *list)
{
    for (; *list; list++)
        if (str_ends(s, str_c(*list)))
            return true;
    return false;
}

static enum file_type type_of(struct str path, enum lang lang)
{
    static const char *const test_dirs[] = {"test",    "tests",    "spec", "specs", "__tests__",
                                            "testing", "testdata", "e2e",  NULL};
    static const char *const config_names[] = {"mix.exs",          "setup.py",       "setup.cfg",
                                               "Makefile",         "GNUmakefile",    "Dockerfile",
                                               "Gemfile",          "Rakefile",       "CMakeLists.txt",
                                               "meson.build",      "go.mod",         "go.sum",
                                               "mix.lock",         "Cargo.lock",     "yarn.lock",
                                               "Gemfile.lock",     "poetry.lock",    "Procfile",
                                               "build.gradle",     "pom.xml",        "Pipfile",
                                               "requirements.txt", "conftest.py",    "build.gradle.kts",
                                               "settings.gradle",  "tox.ini",        ".gitignore",
                                               ".gitattributes",   ".editorconfig",  ".dockerignore",
                                               ".npmrc",           ".formatter.exs", NULL};
    static const char *const config_ends[] = {
        ".json",      ".yaml",       ".yml",        ".toml",       ".ini",     ".cfg",  ".conf",  ".env", ".config.js",
        ".config.ts", ".config.mjs", ".config.cjs", ".properties", ".gemspec", ".lock", ".cmake", NULL};
    static const char *const doc_ends[] = {".md", ".rst", ".txt", ".adoc", ".org", ".1", ".html", NULL};
    struct str name = path_name(path);
    bool test;
    (void)stem(path, &test);
    if (str_is(name, "conftest.py"))
        return FILE_TEST;
    if (in_list(name, config_names) || str_starts(name, STR(".env")) || ends_in(name, config_ends))
        return FILE_CONFIG;
    if (lang == LANG_ELIXIR && str_ends(name, STR(".exs")) && any_part(path, (const char *const[]){"config", NULL}))
        return FILE_CONFIG;
    if (lang != LANG_NONE)
        return test || any_part(path, test_dirs) ? FILE_TEST : FILE_SOURCE;
    if (ends_in(name, doc_ends) || str_starts(name, STR("README")) || str_starts(name, STR("LICENSE")))
        return FILE_DOC;
    return FILE_OTHER;
}

static bool is_main(struct str path, enum file_type type)
{
    static const char *const aside[] = {"examples", "example",  "docs",      "doc",        "scripts",   "tools",
                                        "bench",    "benches",  "benchmark", "benchmarks", "vendor",    "third_party",
                                        "contrib",  "fixtures", "samples",   "migrations", "generated", NULL};
    return type == FILE_SOURCE && !any_part(path, aside);
}

/* ---- the walk ---- */

struct scan {
    const struct beneath *root;
    struct arena *arena;
    struct code_files *files;
    struct ignore *ignore;
    size_t cap;
    bool full;
};

enum rc files_read(const struct beneath *root, struct str path, size_t max, struct arena *a, struct str *ret,
                   struct err *err)
{
    struct stat st;
    int fd;
    enum rc rc = beneath_open_file(root, path, O_RDONLY, &fd, &st, err);
    if (rc)
        return rc;
    rc = file_slurp(fd, max, a, ret, err);
    close(fd);
    return rc ? err_wrap(err, "%.*s", STR_ARG(path)) : RC_OK;
}

static void read_ignore(struct scan *s, struct str dir)
{
    struct arena scratch = {0};
    struct str text;
    struct err err;
    struct str path = dir.n ? arena_printf(&scratch, "%.*s/.gitignore", STR_ARG(dir)) : STR(".gitignore");
    if (files_read(s->root, path, IGNORE_FILE_MAX, &scratch, &text, &err) == RC_OK)
        ignore_add(s->ignore, dir, text);
    arena_done(&scratch);
}

struct beside {
    const struct beneath *root;
    struct str dir;
};

static bool lies_beside(void *ctx, const char *file)
{
    const struct beside *b = ctx;
    struct arena scratch = {0};
    struct err err;
    int fd = -1;
    struct str path = b->dir.n ? arena_printf(&scratch, "%.*s/%s", STR_ARG(b->dir), file) : str_c(file);
    bool there = beneath_open(b->root, path, O_PATH, &fd, &err) == RC_OK;
    if (there)
        close(fd);
    arena_done(&scratch);
    return there;
}

static bool on_enter(void *ctx, struct str path)
{
    struct scan *s = ctx;
    struct beside b = {.root = s->root, .dir = path_dir(path)};
    if (ignore_tool_directory(path_name(path), lies_beside, &b) || ignore_match(s->ignore, path, true))
        return false;
    read_ignore(s, path);
    return true;
}

static bool on_file(void *ctx, const struct walk_file *f)
{
    struct scan *s = ctx;
    struct code_files *l = s->files;
    if (str_utf8_valid(f->path) != f->path.n || ignore_match(s->ignore, f->path, false))
        return true;
    if (l->n == CODE_FILES_MAX) {
        s->full = true;
        return false;
    }
    if (l->n == s->cap) {
        s->cap = s->cap ? s->cap * 2 : 256;
        struct code_file *more = realloc(l->v, s->cap * sizeof *more);
        if (!more)
            return false;
        l->v = more;
    }
    struct code_file *x = &l->v[l->n++];
    enum lang lang = lang_of(f->path);
    *x = (struct code_file){.path = arena_str(s->arena, f->path),
                            .size = f->st->st_size,
                            .mtime_ms = (int64_t)f->st->st_mtim.tv_sec * 1000 + f->st->st_mtim.tv_nsec / 1000000,
                            .lang = lang};
    x->type = type_of(x->path, lang);
    x->main = is_main(x->path, x->type);
    return true;
}

enum rc files_scan(const struct beneath *root, int64_t deadline_ms, struct arena *a, struct code_files *ret,
                   struct err *err)
{
    atomic_bool never = false;
    struct tool_call call = {.root = root, .deadline_ms = deadline_ms, .cancel = &never};
    struct scan s = {.root = root, .arena = a, .files = ret, .ignore = ignore_new(a)};
    struct walk w = {.call = &call, .enter = on_enter, .file = on_file, .ctx = &s};
    int dir;
    enum rc rc = beneath_open(root, STR("."), O_RDONLY | O_DIRECTORY, &dir, err);
    if (rc)
        return rc;
    read_ignore(&s, STR(""));
    walk_run(&w, dir);
    if (s.full)
        return err_set(err, RC_LIMIT, "there are more than %d files in the workspace", CODE_FILES_MAX);
    ret->cut = w.cut;
    ret->unreadable = w.unreadable;
    for (size_t i = 0; i < ret->n; i++)
        map_put(&ret->by_path, ret->v[i].path, &ret->v[i]);
    return RC_OK;
}

void files_done(struct code_files *f)
{
    map_done(&f->by_path);
    free(f->v);
    *f = (struct code_files){0};
}

struct code_file *files_get(const struct code_files *f, struct str path)
{
    return map_get(&f->by_path, path);
}

struct str files_clean(const struct beneath *root, struct arena *a, struct str path)
{
    struct err err;
    struct str rel;
    if (beneath_relative(root, a, STR("."), path, &rel, &err) == RC_OK)
        path = rel;
    while (str_starts(path, STR("./")))
        path = str_from(path, 2);
    while (path.n > 1 && path.p[path.n - 1] == '/')
        path.n--;
    return path;
}
