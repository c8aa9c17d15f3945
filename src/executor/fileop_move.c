/* Plans of copy, move and delete: where each entry goes, which directories are missing, what is in the way.
 *
 * One file goes to `destination`, or into it when that is a directory or ends with a slash. Several (a list, a pattern)
 * go into it: by their names, or with `preserve_structure` by their paths below the directory where the pattern begins.
 * A directory's content goes into it with its structure; of several sources each directory keeps its name. Whatever
 * would make two files one, or a file part of itself, is refused before anything changes. */
#include "base/map.h"
#include "executor/fileop_int.h"

#include <stdlib.h>

struct builder {
    struct fileop *op;
    struct plan p;
    size_t item_cap, dir_cap, rmdir_cap;
    struct map from, to; /* path -> item */
    struct map dirs;     /* path -> itself: known to exist or to be made */
    bool move, overwrite;
    struct found destination;
    struct err *err;
};

static void push(struct arena *a, struct str **v, size_t *n, size_t *cap, struct str s)
{
    if (*n == *cap) {
        size_t more_cap = *cap ? *cap * 2 : 16;
        struct str *more = arena_calloc(a, more_cap, sizeof *more);
        if (*n)
            memcpy(more, *v, *n * sizeof *more);
        *v = more, *cap = more_cap;
    }
    (*v)[(*n)++] = s;
}

static struct item *add_item(struct builder *b, struct item it)
{
    if (b->p.n == b->item_cap) {
        size_t cap = b->item_cap ? b->item_cap * 2 : 16;
        struct item *more = arena_calloc(b->op->arena, cap, sizeof *more);
        if (b->p.n)
            memcpy(more, b->p.item, b->p.n * sizeof *more);
        b->p.item = more, b->item_cap = cap;
    }
    b->p.item[b->p.n] = it;
    return &b->p.item[b->p.n++];
}

/* The directory and those above it, where they are missing. */
static enum rc need_dir(struct builder *b, struct str dir)
{
    struct str up, name;
    struct stat st;
    bool there;
    if (str_is(dir, ".") || map_get(&b->dirs, dir))
        return RC_OK;
    path_split(dir, &up, &name);
    enum rc rc = need_dir(b, up);
    if (rc == RC_OK)
        rc = fileop_stat(b->op, dir, &there, &st, b->err);
    if (rc)
        return rc;
    if (there && !S_ISDIR(st.st_mode))
        return err_set(b->err, RC_INVALID, "%.*s is not a directory", STR_ARG(dir));
    if (!there)
        push(b->op->arena, &b->p.dirs, &b->p.ndirs, &b->dir_cap, dir);
    map_put(&b->dirs, dir, b);
    return RC_OK;
}

static enum rc add_transfer(struct builder *b, const struct entry *e, struct str to)
{
    struct str dir, name;
    struct stat st;
    bool there;
    struct item it = {.kind = b->move ? ITEM_MOVE : ITEM_COPY, .from = e->path, .to = to, .stamp = stamp_of(&e->st)};
    if (str_eq(to, e->path))
        return err_set(b->err, RC_INVALID, "%.*s is source and destination at once", STR_ARG(to));
    if (map_put(&b->to, to, b))
        return err_set(b->err, RC_INVALID,
                       "two sources would become %.*s; use preserve_structure, or give them different names",
                       STR_ARG(to));
    if (fileop_is_guarded(to))
        return err_set(b->err, RC_INVALID, "%.*s belongs to version control and is left alone", STR_ARG(to));
    path_split(to, &dir, &name);
    enum rc rc = need_dir(b, dir);
    if (rc == RC_OK)
        rc = fileop_stat(b->op, to, &there, &st, b->err);
    if (rc)
        return rc;
    if (there && S_ISDIR(st.st_mode))
        return err_set(b->err, RC_INVALID, "%.*s is a directory; a file cannot take its place", STR_ARG(to));
    if (there && !b->overwrite)
        return err_set(b->err, RC_EXISTS, "%.*s exists already, and overwrite is false", STR_ARG(to));
    if (there)
        it.before = stamp_of(&st);
    map_put(&b->from, e->path, b);
    add_item(b, it);
    return RC_OK;
}

/* Renames work within a file system only. */
static enum rc across(struct builder *b, const struct entries *l)
{
    struct str at = b->destination.path, up, name;
    struct stat st = b->destination.st;
    bool there = b->destination.exists;
    while (!there && !str_is(at, ".")) {
        path_split(at, &up, &name);
        at = up;
        if (str_is(at, "."))
            break;
        enum rc rc = fileop_stat(b->op, at, &there, &st, b->err);
        if (rc)
            return rc;
    }
    if (!there && fstat(b->op->root->fd, &st) != 0)
        return err_set(b->err, RC_IO, "the workspace cannot be looked at");
    for (size_t i = 0, k = 0; i < l->n && b->p.n; i++)
        if (!S_ISDIR(l->v[i].st.st_mode) && k < b->p.n) {
            if (l->v[i].st.st_dev != st.st_dev)
                b->p.item[k].kind = ITEM_ACROSS;
            k++;
        }
    return RC_OK;
}

static struct str target(struct builder *b, const struct sources *all, const struct source *src, const struct entry *e,
                         bool into, bool structure, bool flat)
{
    struct str dir, name, to = b->destination.path;
    if (!into)
        return to;
    path_split(e->rel, &dir, &name);
    if (src->directory && all->n > 1)
        to = path_below(b->op->arena, to, src->name);
    if (src->directory ? flat : !structure)
        return path_below(b->op->arena, to, name);
    return path_below(b->op->arena, to, e->rel);
}

static enum rc place_source(struct builder *b, const struct sources *all, const struct source *src, bool into)
{
    const struct val *keep = VAL_GET(b->op->request, "preserve_structure");
    bool structure = val_is(keep, VAL_BOOL) && keep->b, flat = val_is(keep, VAL_BOOL) && !keep->b;
    enum rc rc = RC_OK;
    if (src->directory) {
        if (path_within(src->at.path, b->destination.path))
            return err_set(b->err, RC_INVALID, "the destination %.*s lies inside of its source %.*s",
                           STR_ARG(b->destination.path), STR_ARG(src->at.path));
        rc = need_dir(b, all->n > 1 ? path_below(b->op->arena, b->destination.path, src->name) : b->destination.path);
        if (b->move && val_get_bool(b->op->request, STR("recursive"), true))
            push(b->op->arena, &b->p.rmdirs, &b->p.nrmdirs, &b->rmdir_cap, src->at.path);
    }
    for (size_t i = src->from; i < src->from + src->n && rc == RC_OK; i++) {
        const struct entry *e = &all->entries.v[i];
        struct str to = target(b, all, src, e, into, structure, flat);
        if (!S_ISDIR(e->st.st_mode)) {
            if (map_get(&b->from, e->path))
                rc = err_set(b->err, RC_INVALID, "%.*s is named by two sources", STR_ARG(e->path));
            else
                rc = add_transfer(b, e, to);
            continue;
        }
        if (!flat)
            rc = need_dir(b, to);
        if (b->move)
            push(b->op->arena, &b->p.rmdirs, &b->p.nrmdirs, &b->rmdir_cap, e->path);
    }
    return rc;
}

static struct val path_of(struct fileop *op, const struct sources *s)
{
    const struct val *given = VAL_GET(op->request, "source");
    if (s->n == 1 && !s->v[0].pattern)
        return val_str(fileop_absolute(op, s->v[0].at.path));
    return given ? *given : val_null;
}

static struct val result_of(struct builder *b, const struct sources *s, const char *status)
{
    struct fileop *op = b->op;
    struct val_map m = val_map_new(op->arena);
    struct str name = val_get_str(op->request, STR("operation"), STR(""));
    VAL_MAP_SET(&m, "operation", val_str(name));
    VAL_MAP_SET(&m, "source", path_of(op, s));
    VAL_MAP_SET(&m, "destination",
                val_str(fileop_absolute(op, !s->many && b->p.n ? b->p.item[0].to : b->destination.path)));
    if (str_is(name, "stream_copy"))
        VAL_MAP_SET(&m, "method", VAL_LIT("streaming"));
    VAL_MAP_SET(&m, "status", val_str(str_c(status)));
    if (s->many) {
        VAL_MAP_SET(&m, "count", val_int((int64_t)b->p.n));
        VAL_MAP_SET(&m, "bytes", val_int(s->entries.bytes));
    }
    return val_map_done(&m);
}

/* The plan, or at once the result when nothing is to be done. */
static void finish(struct builder *b, bool dry_run, struct val *ret)
{
    map_done(&b->from);
    map_done(&b->to);
    map_done(&b->dirs);
    b->p.id = plan_id(b->op->arena);
    if (dry_run || (!b->p.n && !b->p.ndirs && !b->p.nrmdirs))
        *ret = fileop_result(b->op, &b->p);
    else
        *ret = fileop_planned(b->op, &b->p);
}

static enum rc check_destination(struct builder *b, const struct sources *s, bool into)
{
    struct str dir, name;
    struct stat st;
    bool there = b->destination.exists;
    if (there && s->many && !S_ISDIR(b->destination.st.st_mode))
        return err_set(b->err, RC_INVALID, "%.*s is not a directory, and there are several sources",
                       STR_ARG(b->destination.path));
    if (val_get_bool(b->op->request, STR("create_destination"), true) || there)
        return RC_OK;
    path_split(b->destination.path, &dir, &name);
    if (!into && str_is(dir, "."))
        return RC_OK;
    enum rc rc = into ? RC_OK : fileop_stat(b->op, dir, &there, &st, b->err);
    if (rc || there)
        return rc;
    return err_set(b->err, RC_NOT_FOUND, "the directory %.*s does not exist, and create_destination is false",
                   STR_ARG(into ? b->destination.path : dir));
}

enum rc fileop_transfer(struct fileop *op, bool move, struct val *ret, struct err *err)
{
    if (op->phase != TOOL_PREPARE)
        return fileop_carry_out(op, NULL, ret, err);
    struct builder b = {.op = op, .move = move, .err = err};
    struct sources s = {0};
    struct str text = val_get_str(op->request, STR("destination"), STR(""));
    b.overwrite = val_get_bool(op->request, STR("overwrite"), true);
    b.p.times = val_get_bool(op->request, STR("preserve_timestamps"), false);
    enum rc rc = fileop_find(op, text, true, &b.destination, err);
    if (rc == RC_OK && b.destination.exists && S_ISDIR(b.destination.st.st_mode))
        s.skip = str_is(b.destination.path, ".") ? s.skip : b.destination.path;
    if (rc == RC_OK)
        rc = fileop_sources(op, !move, move, &s, err);
    bool dir_there = b.destination.exists && S_ISDIR(b.destination.st.st_mode);
    bool into = s.many || str_ends(text, STR("/")) || dir_there;
    if (rc == RC_OK && !s.entries.n && !(s.n == 1 && s.v[0].directory))
        rc = err_set(err, RC_NOT_FOUND, "no file matches the source");
    if (rc == RC_OK)
        rc = check_destination(&b, &s, into);
    for (size_t i = 0; i < s.n && rc == RC_OK; i++)
        rc = place_source(&b, &s, &s.v[i], into);
    for (size_t i = 0; i < b.p.n && rc == RC_OK; i++)
        if (map_get(&b.from, b.p.item[i].to))
            rc = err_set(err, RC_INVALID, "%.*s is a source and would be overwritten", STR_ARG(b.p.item[i].to));
    if (rc == RC_OK && move)
        rc = across(&b, &s.entries);
    bool dry_run = val_get_bool(op->request, STR("dry_run"), false);
    if (rc == RC_OK)
        b.p.result = result_of(&b, &s, dry_run ? "dry_run" : "completed");
    finish(&b, dry_run, ret);
    return rc;
}

/* ---- delete ---- */

enum rc fileop_delete(struct fileop *op, struct val *ret, struct err *err)
{
    if (op->phase != TOOL_PREPARE)
        return fileop_carry_out(op, NULL, ret, err);
    struct builder b = {.op = op, .err = err};
    struct sources s = {0};
    enum rc rc = fileop_sources(op, false, true, &s, err);
    for (size_t i = 0; i < s.n && rc == RC_OK; i++) {
        const struct source *src = &s.v[i];
        if (src->directory && str_is(src->at.path, "."))
            rc = err_set(err, RC_INVALID, "the workspace itself cannot be deleted");
        if (src->directory && !map_put(&b.dirs, src->at.path, &b))
            push(op->arena, &b.p.rmdirs, &b.p.nrmdirs, &b.rmdir_cap, src->at.path);
    }
    for (size_t i = 0; i < s.entries.n && rc == RC_OK; i++) {
        const struct entry *e = &s.entries.v[i];
        if (map_put(&b.from, e->path, &b)) /* two patterns may name the same file */
            continue;
        if (S_ISDIR(e->st.st_mode))
            push(op->arena, &b.p.rmdirs, &b.p.nrmdirs, &b.rmdir_cap, e->path);
        else
            add_item(&b, (struct item){.kind = ITEM_DELETE, .from = e->path, .to = STR(""), .stamp = stamp_of(&e->st)});
    }
    bool dry_run = val_get_bool(op->request, STR("dry_run"), false);
    bool one = s.n == 1 && !s.v[0].pattern && !VAL_GET(op->request, "files");
    struct val_map m = val_map_new(op->arena);
    VAL_MAP_SET(&m, "operation", VAL_LIT("delete"));
    if (one)
        VAL_MAP_SET(&m, "path", val_str(fileop_absolute(op, s.v[0].at.path)));
    VAL_MAP_SET(&m, "status", val_str(dry_run ? STR("dry_run") : STR("completed")));
    if (!one) {
        VAL_MAP_SET(&m, "count", val_int((int64_t)b.p.n));
        VAL_MAP_SET(&m, "bytes", val_int(s.entries.bytes));
    }
    b.p.result = val_map_done(&m);
    finish(&b, dry_run, ret);
    return rc;
}
