/* From what a workflow names to entries of the file system: paths, patterns, directories, lists of them.
 *
 * Paths are resolved once, by the kernel, and turned into paths without symbolic links; from then on every directory is
 * opened by such a path with links forbidden. A link that is put in between makes that fail, it does not lead
 * elsewhere. Within directories links are entries of their own and never followed. Order is by name, so the same
 * everywhere. */
#include "base/clock.h"
#include "data/regex.h"
#include "executor/fileop_int.h"
#include "executor/globmatch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- paths as texts ---- */

static const char *const guarded[] = {".git", ".hg", ".svn", ".jj"};

static bool is_guarded_name(struct str name)
{
    for (size_t i = 0; i < sizeof guarded / sizeof *guarded; i++)
        if (str_is(name, guarded[i]))
            return true;
    return false;
}

bool fileop_is_guarded(struct str path)
{
    while (path.n) {
        size_t slash = str_find(path, STR("/"));
        struct str part = slash == SIZE_MAX ? path : str_n(path.p, slash);
        if (is_guarded_name(part))
            return true;
        path = str_from(path, part.n + 1);
    }
    return false;
}

bool path_within(struct str dir, struct str path)
{
    if (str_is(dir, "."))
        return true;
    return str_starts(path, dir) && (path.n == dir.n || path.p[dir.n] == '/');
}

struct str path_below(struct arena *a, struct str dir, struct str name)
{
    if (!name.n)
        return dir;
    return str_is(dir, ".") || !dir.n ? arena_str(a, name) : arena_printf(a, "%.*s/%.*s", STR_ARG(dir), STR_ARG(name));
}

void path_split(struct str path, struct str *dir, struct str *name)
{
    size_t i = path.n;
    while (i && path.p[i - 1] != '/')
        i--;
    *name = str_from(path, i);
    while (i && path.p[i - 1] == '/')
        i--;
    *dir = i ? str_n(path.p, i) : STR(".");
}

struct str fileop_absolute(struct fileop *op, struct str path)
{
    if (str_is(path, "."))
        return op->root->path;
    return arena_printf(op->arena, "%.*s/%.*s", STR_ARG(op->root->path), STR_ARG(path));
}

bool fileop_is_pattern(struct str text)
{
    for (size_t i = 0; i < text.n; i++)
        if (memchr("*?[{", text.p[i], 4))
            return true;
    return false;
}

enum rc fileop_no_file(const struct fileop *op, struct str source, const char *operation, struct err *err)
{
    if (!fileop_is_pattern(source))
        return fileop_missing(op, source, err);
    return err_set(err, RC_NOT_FOUND,
                   "%.*s does not exist; %s takes one file, so for a pattern put it into a for_loop over the files of "
                   "`operation: list`",
                   STR_ARG(source), operation);
}

/* ---- stamps and entries ---- */

struct stamp stamp_of(const struct stat *st)
{
    return (struct stamp){true, st->st_ino, S_ISREG(st->st_mode) ? st->st_size : 0, st->st_mtim.tv_sec,
                          st->st_mtim.tv_nsec};
}

bool stamp_eq(const struct stamp *a, const struct stamp *b)
{
    return a->there == b->there &&
           (!a->there || (a->ino == b->ino && a->size == b->size && a->sec == b->sec && a->nsec == b->nsec));
}

static enum rc entries_add(struct entries *l, struct str path, struct str rel, const struct stat *st, struct err *err)
{
    if (l->n == FILEOP_FILES_MAX)
        return err_set(err, RC_LIMIT, "more than %d files; narrow the pattern, or use a command", FILEOP_FILES_MAX);
    if (l->n == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 16;
        struct entry *more = arena_calloc(l->a, cap, sizeof *more);
        if (l->n)
            memcpy(more, l->v, l->n * sizeof *more);
        l->v = more, l->cap = cap;
    }
    l->v[l->n++] = (struct entry){arena_str(l->a, path), arena_str(l->a, rel), *st};
    l->bytes += S_ISREG(st->st_mode) ? st->st_size : 0;
    if (l->bytes > FILEOP_BYTES_MAX)
        return err_set(err, RC_LIMIT, "more than %lld GB in all", (long long)(FILEOP_BYTES_MAX >> 30));
    return RC_OK;
}

/* ---- walking ---- */

struct walker {
    struct fileop *op;
    const struct selection *s;
    struct entries *out;
    size_t seen;
    struct err *err;
};

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static enum rc names_of(struct walker *w, DIR *d, struct arena *a, const char ***ret, size_t *n)
{
    enum { SEEN_MAX = 1000000 };
    size_t cap = 64;
    const char **v = arena_calloc(a, cap, sizeof *v);
    struct dirent *de;
    *n = 0;
    while ((de = readdir(d))) {
        if (strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0)
            continue;
        if (++w->seen > SEEN_MAX)
            return err_set(w->err, RC_LIMIT, "more than %d entries had to be looked at", SEEN_MAX);
        if (*n == cap) {
            const char **more = arena_calloc(a, cap * 2, sizeof *more);
            memcpy(more, v, cap * sizeof *more);
            v = more, cap *= 2;
        }
        v[(*n)++] = arena_cstr(a, str_c(de->d_name));
    }
    qsort(v, *n, sizeof *v, by_name);
    *ret = v;
    return RC_OK;
}

/* Patterns are tried on the name, the path below the directory, and the path in the workspace. */
static bool excluded(const struct selection *s, struct str own, struct str below, struct str name)
{
    for (size_t i = 0; i < s->nexclude; i++)
        if (glob_match(s->exclude[i], below) || glob_match(s->exclude[i], name) || glob_match(s->exclude[i], own))
            return true;
    return false;
}

static enum rc wanted(struct walker *w, struct str rel, struct str name, const struct stat *st, bool *ret)
{
    const struct selection *s = w->s;
    struct regex_match m = {.found = true};
    enum rc rc = RC_OK;
    *ret = !s->glob || glob_match(s->glob, rel);
    if (*ret && s->regex)
        rc = regex_search(s->regex, name, 0, &m, w->err);
    *ret &= m.found;
    if (s->before_ms && (int64_t)st->st_mtim.tv_sec * 1000 + st->st_mtim.tv_nsec / 1000000 >= s->before_ms)
        *ret = false;
    return rc;
}

static enum rc walk(struct walker *w, int dir, struct str path, struct str rel, unsigned depth);

static enum rc walk_entry(struct walker *w, int dir, struct str path, struct str rel, const char *name, unsigned depth)
{
    const struct selection *s = w->s;
    struct arena scratch = {0};
    struct str n = str_c(name);
    struct str own = path_below(&scratch, path, n), below = path_below(&scratch, rel, n);
    struct stat st;
    bool is_dir, take = false;
    enum rc rc = RC_OK;
    bool temporary = str_starts(n, STR(".treadle-")) && str_ends(n, STR(".tmp"));
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0 || temporary || (name[0] == '.' && !s->hidden) ||
        (s->skip.n && path_within(s->skip, own)))
        goto done; /* gone meanwhile, or not asked for */
    is_dir = S_ISDIR(st.st_mode);
    if (is_guarded_name(n) && !s->everything) {
        if (s->all)
            rc = err_set(w->err, RC_INVALID,
                         "%.*s belongs to version control and is left alone; name what stands beside it", STR_ARG(own));
        goto done;
    }
    if (excluded(s, own, below, n))
        goto done;
    if (!S_ISREG(st.st_mode) && !is_dir && !S_ISLNK(st.st_mode) && !s->everything) {
        if (s->all)
            rc = err_set(w->err, RC_INVALID, "%.*s is neither a file nor a directory nor a link", STR_ARG(own));
        goto done;
    }
    if (!is_dir || s->directories)
        rc = wanted(w, below, n, &st, &take);
    if (rc == RC_OK && take)
        rc = entries_add(w->out, own, below, &st, w->err);
    if (rc == RC_OK && is_dir && s->recursive && (!s->glob || glob_may_enter(s->glob, below))) {
        int sub = depth < FILEOP_DEPTH_MAX ? openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
        if (depth == FILEOP_DEPTH_MAX)
            rc = err_set(w->err, RC_LIMIT, "%.*s: directories nest too deeply", STR_ARG(own));
        else if (sub < 0)
            rc = err_set(w->err, RC_IO, "%.*s: %s", STR_ARG(own), strerror(errno));
        else
            rc = walk(w, sub, own, below, depth + 1);
    }
done:
    arena_done(&scratch);
    return rc;
}

/* Closes `dir`. */
static enum rc walk(struct walker *w, int dir, struct str path, struct str rel, unsigned depth)
{
    struct arena a = {0};
    DIR *d = fdopendir(dir);
    const char **name = NULL;
    size_t n = 0;
    if (!d) {
        close(dir);
        return err_set(w->err, RC_IO, "%.*s: %s", STR_ARG(path), strerror(errno));
    }
    enum rc rc = names_of(w, d, &a, &name, &n);
    for (size_t i = 0; i < n && rc == RC_OK; i++) {
        rc = walk_entry(w, dir, path, rel, name[i], depth);
        if (rc == RC_OK)
            rc = fileop_over(w->op, w->err);
    }
    closedir(d);
    arena_done(&a);
    return rc;
}

enum rc fileop_walk(struct fileop *op, struct str dir, const struct selection *s, struct entries *ret, struct err *err)
{
    struct walker w = {.op = op, .s = s, .out = ret, .err = err};
    int fd;
    ret->a = op->arena;
    enum rc rc = beneath_directory(op->root, dir, &fd, err);
    return rc ? rc : walk(&w, fd, dir, str_n("", 0), 0);
}

/* ---- what a path leads to ---- */

/* The directory that `rel` stands in, without links, and the rest, which does not exist. */
static enum rc find_new(struct fileop *op, struct str rel, struct found *ret, struct err *err)
{
    struct str dir, name, rest = str_n("", 0);
    for (;;) {
        path_split(rel, &dir, &name);
        if (!name.n || str_is(name, ".") || str_is(name, "..") || name.n > 255)
            return err_set(err, RC_INVALID, "%.*s does not name a file", STR_ARG(rel));
        rest = rest.n ? arena_printf(op->arena, "%.*s/%.*s", STR_ARG(name), STR_ARG(rest)) : arena_str(op->arena, name);
        int fd;
        enum rc rc = beneath_open(op->root, dir, O_PATH | O_DIRECTORY, &fd, err);
        if (rc == RC_NOT_FOUND && !str_is(dir, ".")) {
            rel = dir;
            continue;
        }
        struct str real;
        if (rc == RC_OK) {
            rc = beneath_path(op->root, op->arena, fd, &real, err);
            close(fd);
        }
        if (rc == RC_OK)
            ret->path = path_below(op->arena, real, rest);
        return rc;
    }
}

enum rc fileop_find(struct fileop *op, struct str path, bool follow, struct found *ret, struct err *err)
{
    struct str rel = {0}, dir, name, real;
    int fd;
    *ret = (struct found){0};
    enum rc rc = path.n ? beneath_relative(op->root, op->arena, STR("."), path, &rel, err)
                        : err_set(err, RC_INVALID, "a path is empty");
    if (rc)
        return rc;
    while (rel.n > 1 && rel.p[rel.n - 1] == '/')
        rel.n--;
    rc = beneath_open(op->root, rel, O_PATH | (follow ? 0 : O_NOFOLLOW), &fd, err);
    if (rc == RC_NOT_FOUND)
        return find_new(op, rel, ret, err);
    if (rc) {
        op->code = rc == RC_INVALID ? "outside" : NULL;
        return rc;
    }
    if (fstat(fd, &ret->st) != 0)
        rc = err_set(err, RC_IO, "%.*s: %s", STR_ARG(rel), strerror(errno));
    ret->exists = true;
    if (rc == RC_OK && !S_ISLNK(ret->st.st_mode))
        rc = beneath_path(op->root, op->arena, fd, &ret->path, err);
    close(fd);
    if (rc || !S_ISLNK(ret->st.st_mode))
        return rc;
    path_split(rel, &dir, &name); /* the link itself: its directory without links, and its name */
    if (str_is(name, ".") || str_is(name, ".."))
        return err_set(err, RC_INVALID, "%.*s does not name a file", STR_ARG(rel));
    rc = beneath_open(op->root, dir, O_PATH | O_DIRECTORY, &fd, err);
    if (rc)
        return rc;
    rc = beneath_path(op->root, op->arena, fd, &real, err);
    close(fd);
    ret->path = path_below(op->arena, real, name);
    return rc;
}

enum rc fileop_stat(struct fileop *op, struct str path, bool *there, struct stat *ret, struct err *err)
{
    struct str dir, name;
    char z[NAME_MAX + 1];
    int fd;
    *there = false;
    path_split(path, &dir, &name);
    if (name.n > NAME_MAX)
        return beneath_error(err, ENAMETOOLONG, path);
    memcpy(z, name.p, name.n);
    z[name.n] = 0;
    enum rc rc = beneath_directory(op->root, dir, &fd, err);
    if (rc)
        return rc == RC_NOT_FOUND ? RC_OK : rc;
    *there = fstatat(fd, z, ret, AT_SYMLINK_NOFOLLOW) == 0;
    if (!*there && errno != ENOENT)
        rc = beneath_error(err, errno, path);
    close(fd);
    return rc;
}

/* ---- sources ---- */

static bool names_hidden(struct str pattern)
{
    return str_starts(pattern, STR(".")) ? !str_starts(pattern, STR("./")) && !str_starts(pattern, STR("../"))
                                         : str_find(pattern, STR("/.")) != SIZE_MAX;
}

static enum rc read_excludes(struct fileop *op, const struct val *v, struct selection *s, struct err *err)
{
    enum { MAX = 100 };
    if (!val_is(v, VAL_ARRAY) || !v->arr.n)
        return RC_OK;
    if (v->arr.n > MAX)
        return err_set(err, RC_INVALID, "more than %d patterns in exclude", MAX);
    s->exclude = arena_calloc(op->arena, v->arr.n, sizeof(struct glob *));
    for (size_t i = 0; i < v->arr.n; i++) {
        struct str text = val_is(&v->arr.v[i], VAL_STR) ? v->arr.v[i].s : STR("");
        enum rc rc = glob_compile(op->arena, text, &s->exclude[i], err);
        if (rc)
            return err_wrap(err, "exclude");
        s->nexclude++;
    }
    return RC_OK;
}

/* The directory where a pattern begins (its parts before the first with a special character), and the rest. */
static void pattern_split(struct arena *a, struct str pattern, struct str *dir, struct str *rest)
{
    size_t cut = 0;
    for (size_t i = 0; i < pattern.n && !memchr("*?[{\\", pattern.p[i], 5); i++)
        if (pattern.p[i] == '/')
            cut = i + 1;
    *dir = cut > 1 ? arena_str(a, str_n(pattern.p, cut - 1)) : STR(".");
    *rest = str_from(pattern, cut);
}

static enum rc by_pattern(struct fileop *op, struct str text, struct selection *s, struct sources *out,
                          struct source *src, struct err *err)
{
    struct str dir, rest, rel = text;
    if (text.n && text.p[0] == '/') { /* absolute: what is before the root is taken off */
        enum rc rc = beneath_relative(op->root, op->arena, STR("."), text, &rel, err);
        if (rc) {
            op->code = "outside";
            return rc;
        }
    }
    pattern_split(op->arena, rel, &dir, &rest);
    enum rc rc = glob_compile(op->arena, rest, &s->glob, err);
    if (rc)
        return rc;
    src->pattern = true;
    rc = fileop_find(op, dir, true, &src->at, err);
    if (rc || !src->at.exists || !S_ISDIR(src->at.st.st_mode))
        return rc;
    s->recursive = true;
    s->hidden |= names_hidden(rest);
    return fileop_walk(op, src->at.path, s, &out->entries, err);
}

/* The last name of a path as it was written, or as it is where that says nothing. */
static struct str name_as_written(struct str text, struct str path)
{
    struct str dir, name;
    while (text.n > 1 && text.p[text.n - 1] == '/')
        text.n--;
    path_split(text, &dir, &name);
    if (!name.n || str_is(name, ".") || str_is(name, ".."))
        path_split(path, &dir, &name);
    return name;
}

static enum rc by_path(struct fileop *op, struct str text, struct selection *s, bool all, struct sources *out,
                       struct source *src, struct err *err)
{
    const struct found *at = &src->at;
    src->name = name_as_written(text, at->path);
    if (fileop_is_guarded(at->path))
        return err_set(err, RC_INVALID, "%.*s belongs to version control and is left alone", STR_ARG(at->path));
    if (!S_ISDIR(at->st.st_mode)) {
        if (!S_ISREG(at->st.st_mode) && !S_ISLNK(at->st.st_mode))
            return err_set(err, RC_INVALID, "%.*s is neither a file nor a directory", STR_ARG(at->path));
        if (s->before_ms && (int64_t)at->st.st_mtim.tv_sec * 1000 >= s->before_ms)
            return RC_OK;
        return entries_add(&out->entries, at->path, src->name, &at->st, err);
    }
    src->directory = true;
    s->recursive = val_get_bool(op->request, STR("recursive"), true);
    s->hidden = val_get_bool(op->request, STR("include_hidden"), true);
    s->directories = s->recursive;
    s->all = all;
    s->skip = str_n("", 0);
    return fileop_walk(op, at->path, s, &out->entries, err);
}

static enum rc one_source(struct fileop *op, const struct val *v, bool follow, bool all, struct sources *out,
                          struct source *src, struct err *err)
{
    struct str path = val_get_str(v, STR("path"), STR("")), pattern = val_get_str(v, STR("pattern"), STR(""));
    int64_t older = val_get_int(v, STR("older_than_ms"), 0);
    struct selection s = {.hidden = val_get_bool(op->request, STR("include_hidden"), false), .skip = out->skip};
    if (older > 0)
        s.before_ms = clock_wall_ms() - older;
    enum rc rc = read_excludes(op, VAL_GET(v, "exclude"), &s, err);
    if (rc)
        return rc;
    if (!path.n && pattern.n) {
        out->many = true;
        return by_pattern(op, pattern, &s, out, src, err);
    }
    rc = fileop_find(op, path, follow, &src->at, err);
    if (rc)
        return rc;
    if (src->at.exists) {
        out->many |= S_ISDIR(src->at.st.st_mode);
        return by_path(op, path, &s, all, out, src, err);
    }
    if (!fileop_is_pattern(path))
        return fileop_missing(op, path, err);
    out->many = true;
    return by_pattern(op, path, &s, out, src, err);
}

enum rc fileop_sources(struct fileop *op, bool follow, bool all, struct sources *ret, struct err *err)
{
    enum { MAX = 10000 };
    const struct val *list = VAL_GET(op->request, "sources");
    if (!val_is(list, VAL_ARRAY) || !list->arr.n || list->arr.n > MAX)
        return err_set(err, RC_INVALID, "there must be from 1 to %d sources", MAX);
    ret->v = arena_calloc(op->arena, list->arr.n, sizeof *ret->v);
    ret->entries.a = op->arena;
    ret->many |= list->arr.n > 1;
    for (size_t i = 0; i < list->arr.n; i++) {
        struct source *src = &ret->v[ret->n++];
        src->from = ret->entries.n;
        enum rc rc = one_source(op, &list->arr.v[i], follow, all, ret, src, err);
        if (rc)
            return rc;
        src->n = ret->entries.n - src->from;
    }
    return RC_OK;
}
