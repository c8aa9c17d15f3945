/* Rules as git has them: the last one that matches decides, `!` takes back, a slash anywhere but at the end ties the
 * pattern to the file's directory, a slash at the end means directories only. Patterns go through the same matcher as
 * the Glob tool, whose braces git does not have. */
#include "code/ignore.h"

#include "executor/globmatch.h"

enum { MAX_RULES = 10000 };

struct rule {
    const struct glob *glob;
    struct str dir; /* paths below it only */
    bool negated, directory;
};
struct ignore {
    struct arena *arena;
    struct rule *rules;
    size_t n, cap;
};

struct ignore *ignore_new(struct arena *a)
{
    struct ignore *g = ARENA_NEW(a, struct ignore);
    g->arena = a;
    return g;
}

static void add_rule(struct ignore *g, const struct rule *r)
{
    if (g->n == MAX_RULES)
        return;
    if (g->n == g->cap) {
        size_t cap = g->cap ? g->cap * 2 : 32;
        struct rule *more = arena_calloc(g->arena, cap, sizeof *more);
        if (g->n)
            memcpy(more, g->rules, g->n * sizeof *more);
        g->rules = more, g->cap = cap;
    }
    g->rules[g->n++] = *r;
}

static void add_line(struct ignore *g, struct str dir, struct str line)
{
    struct rule r = {.dir = dir};
    struct err err;
    while (line.n && (line.p[line.n - 1] == ' ' || line.p[line.n - 1] == '\t' || line.p[line.n - 1] == '\r'))
        line.n--;
    if (!line.n || line.p[0] == '#')
        return;
    if (line.p[0] == '!')
        r.negated = true, line = str_from(line, 1);
    if (line.n && line.p[line.n - 1] == '/')
        r.directory = true, line.n--;
    bool tied = str_find(line, STR("/")) != SIZE_MAX;
    if (line.n && line.p[0] == '/')
        line = str_from(line, 1);
    if (!line.n)
        return;
    struct str pattern = tied ? line : arena_printf(g->arena, "**/%.*s", STR_ARG(line));
    if (glob_compile(g->arena, pattern, &r.glob, &err) == RC_OK)
        add_rule(g, &r);
}

void ignore_add(struct ignore *g, struct str dir, struct str text)
{
    dir = arena_str(g->arena, dir);
    while (text.n) {
        size_t n = str_find(text, STR("\n"));
        add_line(g, dir, str_n(text.p, n < text.n ? n : text.n));
        text = n < text.n ? str_from(text, n + 1) : STR("");
    }
}

bool ignore_match(const struct ignore *g, struct str path, bool directory)
{
    for (size_t i = g->n; i--;) {
        const struct rule *r = &g->rules[i];
        struct str rest = path;
        if (r->directory && !directory)
            continue;
        if (r->dir.n) {
            if (!str_starts(path, r->dir) || path.n <= r->dir.n || path.p[r->dir.n] != '/')
                continue;
            rest = str_from(path, r->dir.n + 1);
        }
        if (glob_match(r->glob, rest))
            return !r->negated;
    }
    return false;
}

bool ignore_tool_directory(struct str name, bool (*has)(void *ctx, const char *file), void *ctx)
{
    static const struct {
        const char *name, *beside; /* manifest that must lie beside it, or NULL */
    } known[] = {
        {"node_modules", NULL},
        {"bower_components", NULL},
        {"__pycache__", NULL},
        {".venv", NULL},
        {".tox", NULL},
        {".nox", NULL},
        {".mypy_cache", NULL},
        {".pytest_cache", NULL},
        {".ruff_cache", NULL},
        {".eggs", NULL},
        {".elixir_ls", NULL},
        {".gradle", NULL},
        {".bundle", NULL},
        {".next", NULL},
        {".nuxt", NULL},
        {".cache", NULL},
        {".ccls-cache", NULL},
        {"_build", "mix.exs"},
        {"deps", "mix.exs"},
        {"cover", "mix.exs"},
        {"target", "Cargo.toml"},
        {"target", "pom.xml"},
        {"build", "build.gradle"},
        {"build", "build.gradle.kts"},
        {"vendor", "go.mod"},
        {"vendor", "Gemfile"},
        {"venv", "requirements.txt"},
        {"venv", "pyproject.toml"},
        {"venv", "setup.py"},
        {"dist", "package.json"},
        {"dist", "pyproject.toml"},
        {"coverage", "package.json"},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (str_is(name, known[i].name) && (!known[i].beside || has(ctx, known[i].beside)))
            return true;
    return false;
}
