/* Which files a question is about, and what is in them. A file that cannot be looked into (too large, no text, too
 * slow to parse) is left out and named in `skipped_files`; a language whose grammar is missing fails the question, for
 * an answer without its files would be wrong without saying so. */
#include "code/query.h"

#include "base/clock.h"
#include "executor/globmatch.h"

#include <stdlib.h>

enum { SKIPPED_MAX = 1000 };

char *code_at;

enum rc code_in_time(struct code *c, struct err *err)
{
    if (clock_mono_ms() < c->deadline_ms)
        return RC_OK;
    return err_set(err, RC_TIMEOUT,
                   "the code query took too long; ask about fewer files, or give the step a longer "
                   "`timeout`");
}

enum rc code_scan(struct code *c, struct err *err)
{
    if (c->scanned)
        return RC_OK;
    enum rc rc = files_scan(&c->root, c->deadline_ms, c->arena, &c->files, err);
    if (rc)
        return rc;
    c->scanned = true;
    if (c->files.cut)
        return err_set(err, RC_LIMIT, "the workspace was not seen whole: %s", c->files.cut);
    return RC_OK;
}

/* ---- choosing ---- */

static bool is_pattern(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (strchr("*?[{", s.p[i]))
            return true;
    return false;
}

/* Is there a file, or a directory with files? The list is in the order of paths, but not bytewise: a plain look. */
static bool exists(struct code *c, struct str path)
{
    if (files_get(&c->files, path) || str_is(path, "."))
        return true;
    for (size_t i = 0; i < c->files.n; i++) {
        struct str p = c->files.v[i].path;
        if (p.n > path.n && p.p[path.n] == '/' && str_starts(p, path))
            return true;
    }
    return false;
}

static enum rc not_there(struct code *c, struct str path, struct err *err)
{
    struct str name = path_name(path), near = {0};
    unsigned best = 4;
    for (size_t i = 0; i < c->files.n; i++) {
        unsigned d = str_distance(path_name(c->files.v[i].path), name, best);
        if (d < best)
            best = d, near = c->files.v[i].path;
    }
    if (near.n)
        return err_set(err, RC_NOT_FOUND, "there is no file `%.*s` in the workspace; did you mean `%.*s`?",
                       STR_ARG(path), STR_ARG(near));
    return err_set(err, RC_NOT_FOUND, "there is no file `%.*s` in the workspace, or it is ignored", STR_ARG(path));
}

static enum rc add_glob(struct code *c, struct str pattern, const struct glob **list, size_t *n, struct err *err)
{
    if (*n == GLOBS_MAX)
        return err_set(err, RC_LIMIT, "there are more than %d patterns", GLOBS_MAX);
    if (str_find(pattern, STR("/")) == SIZE_MAX) /* *.py means anywhere, as people write it */
        pattern = arena_printf(c->arena, "**/%.*s", STR_ARG(pattern));
    return glob_compile(c->arena, pattern, &list[(*n)++], err);
}

static enum rc add_in(struct code *c, struct selection *s, struct str path, bool must_exist, struct err *err)
{
    bool pattern = is_pattern(path);
    path = files_clean(&c->root, c->arena, path);
    if (!pattern && must_exist && !exists(c, path))
        return not_there(c, path, err);
    if (s->nin < GLOBS_MAX)
        s->in_text[s->nin] = pattern ? STR("") : path;
    if (!pattern && str_find(path, STR("/")) == SIZE_MAX && must_exist) { /* a name given as a path is one */
        if (s->nin == GLOBS_MAX)
            return err_set(err, RC_LIMIT, "there are more than %d patterns", GLOBS_MAX);
        s->in[s->nin++] = NULL;
        return RC_OK;
    }
    return add_glob(c, path, s->in, &s->nin, err);
}

enum rc select_read(struct code *c, const struct val *crit, bool with_pattern, struct selection *ret, struct err *err)
{
    struct strs file = crit_list(c, crit, "in_file"), files = crit_list(c, crit, "in_files"),
                pattern = with_pattern ? crit_list(c, crit, "pattern") : (struct strs){0},
                out = crit_list(c, crit, "exclude_patterns"), langs = crit_list(c, crit, "language");
    *ret = (struct selection){.no_tests = crit_bool(crit, "exclude_tests", false)};
    enum rc rc = code_scan(c, err);
    for (size_t i = 0; rc == RC_OK && i < file.n; i++)
        rc = add_in(c, ret, file.v[i], true, err);
    for (size_t i = 0; rc == RC_OK && i < files.n; i++)
        rc = add_in(c, ret, files.v[i], true, err);
    for (size_t i = 0; rc == RC_OK && i < pattern.n; i++)
        rc = add_in(c, ret, pattern.v[i], false, err);
    for (size_t i = 0; rc == RC_OK && i < out.n; i++)
        rc = add_glob(c, files_clean(&c->root, c->arena, out.v[i]), ret->out, &ret->nout, err);
    for (size_t i = 0; rc == RC_OK && i < langs.n; i++) {
        unsigned bits = lang_by_name(langs.v[i]);
        ret->langs |= bits;
        if (!bits)
            rc = err_set(err, RC_INVALID,
                         "`language` `%.*s` is not known; expected one of elixir, python, javascript, "
                         "typescript, go, rust, c, java, ruby",
                         STR_ARG(langs.v[i]));
    }
    return rc;
}

static bool is_below(struct str dir, struct str path)
{
    return str_is(dir, ".") || (path.n > dir.n && path.p[dir.n] == '/' && str_starts(path, dir));
}

bool select_has(const struct selection *s, const struct code_file *f)
{
    bool in = s->nin == 0;
    if ((s->no_tests && f->type == FILE_TEST) || (s->langs && !(s->langs & 1u << f->lang)))
        return false;
    for (size_t i = 0; i < s->nin && !in; i++)
        in = (s->in[i] && glob_match(s->in[i], f->path)) ||
             (s->in_text[i].n && (str_eq(s->in_text[i], f->path) || is_below(s->in_text[i], f->path)));
    for (size_t i = 0; i < s->nout && in; i++)
        in = !glob_match(s->out[i], f->path);
    return in;
}

enum rc select_named(struct code *c, const struct val *crit, const char *key, const char *other,
                     struct code_file ***ret, size_t *n, struct err *err)
{
    struct strs names = crit_list(c, crit, key);
    enum rc rc = code_scan(c, err);
    if (!names.n && other) {
        names = crit_list(c, crit, other);
        if (!names.n && crit_text(crit, other).n) {
            struct str *one = ARENA_NEW(c->arena, struct str);
            *one = crit_text(crit, other);
            names = (struct strs){one, 1};
        }
    }
    if (!names.n && crit_text(crit, key).n) {
        struct str *one = ARENA_NEW(c->arena, struct str);
        *one = crit_text(crit, key);
        names = (struct strs){one, 1};
    }
    struct code_file **list = arena_calloc(c->arena, names.n + 1, sizeof *list);
    *n = 0;
    for (size_t i = 0; rc == RC_OK && i < names.n; i++) {
        struct str path = files_clean(&c->root, c->arena, names.v[i]);
        struct code_file *f = files_get(&c->files, path);
        if (f)
            list[(*n)++] = f;
        else
            rc = not_there(c, path, err);
    }
    *ret = list;
    return rc;
}

/* ---- looking into ---- */

static void skip(struct code *c, const struct code_file *f, const struct err *why)
{
    if (c->skipped.n == SKIPPED_MAX)
        return;
    struct val_map m = val_map_new(c->arena);
    VAL_MAP_SET(&m, "path", val_str(f->path));
    VAL_MAP_SET(&m, "reason", val_str(arena_str(c->arena, str_c(why->msg))));
    val_list_push(&c->skipped, val_map_done(&m));
}

bool code_enter(struct code *c, const struct code_file *f)
{
    struct err err;
    for (size_t i = 0; i < c->deadly.n; i++)
        if (str_eq(c->deadly.v[i], f->path)) {
            err_set(&err, RC_TOOL, "its parser crashed");
            skip(c, f, &err);
            return false;
        }
    if (code_at && f->path.n < CODE_AT_SIZE) {
        memcpy(code_at, f->path.p, f->path.n);
        code_at[f->path.n] = 0;
    }
    return true;
}

void code_leave(void)
{
    if (code_at)
        code_at[0] = 0;
}

enum rc code_outline(struct code *c, struct code_file *f, const struct outline **ret, struct err *err)
{
    *ret = NULL;
    if (f->lang == LANG_NONE)
        return RC_OK;
    if (!f->outlined) {
        struct arena scratch = {0};
        struct str text;
        enum rc rc = code_in_time(c, err);
        if (rc)
            return rc;
        f->outlined = true;
        if (!code_enter(c, f))
            return RC_OK;
        rc = files_read(&c->root, f->path, OUTLINE_FILE_MAX, &scratch, &text, err);
        if (rc == RC_OK)
            rc = outline_make(f->lang, text, c->arena, &f->outline, err);
        else if (rc == RC_NOT_FOUND)
            rc = RC_IO; /* gone since the list was made */
        arena_done(&scratch);
        code_leave();
        if (rc == RC_NOT_FOUND || rc == RC_VERSION) {
            f->outlined = false;
            return rc;
        }
        if (rc)
            skip(c, f, err);
    }
    *ret = f->outline;
    return RC_OK;
}

struct str code_text(struct code *c, struct code_file *f, struct arena *a)
{
    struct str text;
    struct err err;
    if (files_read(&c->root, f->path, OUTLINE_FILE_MAX, a, &text, &err) == RC_OK)
        return text;
    skip(c, f, &err);
    return STR("");
}

bool name_fits(struct str wish, struct str name)
{
    size_t w = 0, n = 0, star = SIZE_MAX, mark = 0;
    if (!wish.n)
        return true;
    while (n < name.n) { /* the classic two-finger match */
        if (w < wish.n && wish.p[w] == '*') {
            star = w++, mark = n;
        } else if (w < wish.n && (wish.p[w] == '?' || wish.p[w] == name.p[n])) {
            w++, n++;
        } else if (star != SIZE_MAX) {
            w = star + 1, n = ++mark;
        } else {
            return false;
        }
    }
    while (w < wish.n && wish.p[w] == '*')
        w++;
    return w == wish.n;
}

/* ---- showing ---- */

struct val strs_val(struct code *c, struct strs l)
{
    struct val_list v = val_list_new(c->arena);
    for (size_t i = 0; i < l.n; i++)
        val_list_push(&v, val_str(l.v[i]));
    return val_list_done(&v);
}

struct group {
    struct group *next;
    struct str name;
    struct val_list list;
};

void groups_add(struct groups *g, struct str name, struct val v)
{
    struct group *x = map_get(&g->by_name, name);
    if (!x) {
        x = ARENA_NEW(g->c->arena, struct group);
        *x = (struct group){.name = name, .list = val_list_new(g->c->arena)};
        *(g->last ? &g->last->next : &g->first) = x;
        g->last = x;
        map_put(&g->by_name, name, x);
    }
    val_list_push(&x->list, v);
}

struct val groups_done(struct groups *g)
{
    struct val_map m = val_map_new(g->c->arena);
    for (struct group *x = g->first; x; x = x->next)
        val_map_set(&m, x->name, val_list_done(&x->list));
    map_done(&g->by_name);
    return val_map_done(&m);
}
