/* Problems of a called workflow come before those of its caller, each with its own file. */
#include "cli/load.h"

#include "base/buf.h"
#include "base/map.h"
#include "cli/said.h"
#include "cli/session.h"
#include "flow/step.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { WORKFLOW_MAX = 64 << 20 };

struct loading {
    struct called_files *files;
    bool warn, silent;
};

static enum rc read_called(void *ctx, struct str dir, struct str name, bool stored, struct arena *a,
                           struct workflow_text *ret, struct err *err)
{
    return called_read(((struct loading *)ctx)->files, dir, name, stored, a, ret, err);
}

static void print_called(void *ctx, const struct workflow_text *t, const struct problems *ps)
{
    const struct loading *l = ctx;
    if (!l->silent && (ps->errors || l->warn))
        said_problems(t->file, t->text, ps);
}

/* What a called workflow extends and includes is recorded with it. */
static void pin_called(void *ctx, const struct workflow_text *t, struct str text)
{
    struct called_files *f = ((struct loading *)ctx)->files;
    for (size_t i = 0; i < f->n; i++)
        if (str_eq(f->v[i].t.path, t->path))
            f->v[i].t.text = arena_str(f->a, text);
}

/* ---- files that a workflow extends or includes ---- */

static enum rc read_beside(void *ctx, struct str path, struct arena *a, struct str *ret, struct err *err)
{
    (void)ctx;
    return read_file(arena_cstr(a, path), WORKFLOW_MAX, a, ret, err);
}

static const char *ask_environment(void *ctx, const char *name)
{
    (void)ctx;
    return getenv(name);
}

/* ---- prompt files ---- */

static bool is_there(struct str path, struct str dir, struct str workspace)
{
    struct arena a = {0};
    const char *plain = arena_cstr(&a, path);
    bool found = access(plain, R_OK) == 0;
    if (!found && plain[0] != '/')
        found = access(arena_printf(&a, "%.*s/%s", STR_ARG(dir), plain).p, R_OK) == 0 ||
                access(arena_printf(&a, "%.*s/%s", STR_ARG(workspace), plain).p, R_OK) == 0;
    arena_done(&a);
    return found;
}

static bool prompt_file_there(void *ctx, struct str path, struct str dir, struct str workspace)
{
    (void)ctx;
    return is_there(path, dir, workspace);
}

static int load_as(const struct workflow_text *t, struct loading l, struct workflow **ret)
{
    struct arena a = {0};
    struct problems ps = {.a = &a};
    struct called_files *files = l.files;
    files->root_path = arena_str(files->a, t->path);
    const struct load_files beside = {.read = read_beside, .env = ask_environment};
    *ret = workflow_load_with(t,
                              &(struct workflow_reader){.read = read_called,
                                                        .problems = print_called,
                                                        .pinned = pin_called,
                                                        .there = prompt_file_there,
                                                        .ctx = &l,
                                                        .files = &beside},
                              &ps);
    if (!l.silent && (!*ret || l.warn))
        said_problems(t->file, t->text, &ps);
    arena_done(&a);
    return *ret ? EXIT_OK : EXIT_USAGE;
}

static int load(const struct workflow_text *t, bool warn, struct called_files *files, struct workflow **ret)
{
    return load_as(t, (struct loading){.files = files, .warn = warn}, ret);
}

int load_workflow_text(struct str text, const char *file, bool warn, struct called_files *files, struct workflow **ret)
{
    struct str path = files->root_path;
    return load(&(struct workflow_text){path, str_c(file), called_directory(path), text}, warn, files, ret);
}

int load_workflow(const char *path, bool warn, struct called_files *files, struct workflow **ret)
{
    struct arena a = {0};
    struct workflow_text t;
    struct err err;
    int code;
    if (read_file(path, WORKFLOW_MAX, &a, &t.text, &err) != RC_OK)
        code = said_unreadable(path, err.msg);
    else if (called_place(path, &a, &t, &err) != RC_OK) /* a pipe, say */
        code = said_unreadable(path, err.msg);
    else
        code = load(&t, warn, files, ret);
    arena_done(&a);
    return code;
}

static bool same_called(const struct called_files *now, const struct called_files *pinned)
{
    struct workflow_text was;
    struct err none;
    for (size_t i = 0; i < now->n; i++) {
        const struct called_file *c = &now->v[i];
        if (called_find(pinned, c->from, c->name, c->stored, &was, &none) != RC_OK || !str_eq(was.text, c->t.text))
            return false;
    }
    return true;
}

static bool same_sources(const struct workflow *a, const struct workflow *b)
{
    bool same = a->nsources == b->nsources;
    for (size_t i = 0; same && i < a->nsources; i++)
        same = str_eq(a->sources[i].text, b->sources[i].text);
    return same;
}

bool load_changed(const char *path, const struct workflow *old, const struct called_files *pinned,
                  struct called_files *files, struct workflow **ret)
{
    struct arena a = {0};
    struct workflow_text t;
    struct err none;
    bool changed = false;
    *ret = NULL;
    if (read_file(path, WORKFLOW_MAX, &a, &t.text, &none) == RC_OK && called_place(path, &a, &t, &none) == RC_OK) {
        if (load_as(&t, (struct loading){.files = files, .silent = true}, ret) == EXIT_OK)
            changed = !same_sources(old, *ret) || !same_called(files, pinned);
        else
            changed = old->nsources && !str_eq(old->sources[0].text, t.text);
    }
    arena_done(&a);
    return changed;
}

struct str directory_of(struct str file)
{
    while (file.n && file.p[file.n - 1] != '/')
        file.n--;
    return file.n > 1 ? str_n(file.p, file.n - 1) : file.n ? file : STR(".");
}

/* `told`: places that were told already, since a file may be loaded twice, and is known by its name. */
static int check_own_files(const struct workflow *w, struct str dir, struct str workspace, bool warn, struct map *told,
                           struct arena *a)
{
    int code = EXIT_OK;
    for (size_t i = 0; i < w->nfiles; i++) {
        const struct file_ref *f = &w->files[i];
        uint32_t line = f->line;
        struct str file = workflow_place(w, &line);
        bool later = workflow_may_make_files(w, f->step);
        if (is_there(f->path, dir, workspace) || (later && !warn))
            continue;
        struct str place = arena_printf(a, "%.*s:%u:%u", STR_ARG(file), line, f->col);
        if (map_put(told, place, a))
            continue;
        char text[4096];
        snprintf(text, sizeof text, NO_PROMPT_FILE "%s", STR_ARG(f->path),
                 later ? "; expected a step before to make it" : "");
        said_problem(file, line, f->col, later, text);
        if (!later)
            code = EXIT_USAGE;
    }
    return code;
}

int check_files(const struct workflow *w, struct str dir, struct str workspace, bool warn)
{
    struct arena a = {0};
    struct map told = {0};
    size_t n;
    const struct workflow *const *all = workflow_all(w, &a, &n);
    int code = EXIT_OK;
    for (size_t i = 0; i < n; i++)
        if (check_own_files(all[i], i && all[i]->dir.n ? all[i]->dir : dir, workspace, warn, &told, &a) != EXIT_OK)
            code = EXIT_USAGE;
    map_done(&told);
    arena_done(&a);
    return code;
}
