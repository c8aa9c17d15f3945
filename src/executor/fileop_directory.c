/* The directory that is a called workflow's own: made when it begins, removed when it has ended, if it was made then.
 *
 * Both are plans of directories and deletions like any other, so a crash in between is settled as theirs is, and what
 * was made or removed is in the record of what the run changed. Only the removal looks into version control
 * directories: everything below a directory that the workflow itself has brought is its own. */
#include "executor/fileop_int.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static bool is_empty(int fd)
{
    DIR *d = fdopendir(fd);
    struct dirent *e;
    size_t n = 0;
    if (!d) {
        close(fd);
        return false;
    }
    while (!n && (e = readdir(d)))
        n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    closedir(d);
    return !n;
}

static enum rc must_be_empty(struct fileop *op, struct str path, struct err *err)
{
    int fd;
    enum rc rc = beneath_directory(op->root, path, &fd, err);
    if (rc == RC_OK && !is_empty(fd))
        rc = err_set(err, RC_EXISTS,
                     "%.*s is there already and is not empty, and `reuse_workspace` is false; remove it, name another "
                     "directory, or write `reuse_workspace: true`",
                     STR_ARG(path));
    return rc;
}

/* It, and what is missing above it. */
static enum rc missing(struct fileop *op, struct str path, struct plan *p, struct err *err)
{
    struct stat st;
    bool there = true;
    enum rc rc = RC_OK;
    size_t parts = 1;
    for (size_t i = 0; i < path.n; i++)
        parts += path.p[i] == '/';
    p->dirs = arena_calloc(op->arena, parts, sizeof *p->dirs);
    for (size_t i = 1; i <= path.n && rc == RC_OK; i++) {
        struct str part = str_n(path.p, i);
        if (i < path.n && path.p[i] != '/')
            continue;
        rc = there ? fileop_stat(op, part, &there, &st, err) : RC_OK;
        if (rc == RC_OK && there && !S_ISDIR(st.st_mode))
            rc = err_set(err, RC_INVALID, "%.*s is not a directory", STR_ARG(part));
        if (!there)
            p->dirs[p->ndirs++] = part;
    }
    return rc;
}

enum rc fileop_make_directory(struct fileop *op, struct val *ret, struct err *err)
{
    struct found at;
    struct plan p = {.id = plan_id(op->arena)};
    struct val_map m = val_map_new(op->arena);
    if (op->phase != TOOL_PREPARE)
        return fileop_carry_out(op, NULL, ret, err);
    enum rc rc = fileop_find(op, val_get_str(op->request, STR("path"), STR("")), false, &at, err);
    if (rc)
        return rc;
    if (at.exists && S_ISLNK(at.st.st_mode))
        return err_set(err, RC_INVALID, "%.*s is a symbolic link; expected a directory of the workspace itself",
                       STR_ARG(at.path));
    if (str_is(at.path, "."))
        return err_set(err, RC_INVALID, "the workspace itself is no directory of its own; expected one below it");
    if (fileop_is_guarded(at.path))
        return err_set(err, RC_INVALID, "%.*s belongs to version control and is left alone", STR_ARG(at.path));
    rc = missing(op, at.path, &p, err);
    if (rc == RC_OK && !p.ndirs && val_get_bool(op->request, STR("fresh"), false))
        rc = must_be_empty(op, at.path, err);
    VAL_MAP_SET(&m, "path", val_str(at.path));
    VAL_MAP_SET(&m, "created", val_bool(p.ndirs > 0));
    p.result = val_map_done(&m);
    *ret = p.ndirs ? fileop_planned(op, &p) : p.result;
    return rc;
}

static enum rc plan_removal(struct fileop *op, struct str path, struct plan *p, struct err *err)
{
    struct selection s = {.recursive = true, .hidden = true, .directories = true, .everything = true};
    struct entries all = {.a = op->arena};
    enum rc rc = fileop_walk(op, path, &s, &all, err);
    p->item = arena_calloc(op->arena, all.n + 1, sizeof *p->item);
    p->rmdirs = arena_calloc(op->arena, all.n + 1, sizeof *p->rmdirs);
    p->rmdirs[p->nrmdirs++] = path;
    for (size_t i = 0; i < all.n; i++)
        if (S_ISDIR(all.v[i].st.st_mode))
            p->rmdirs[p->nrmdirs++] = all.v[i].path;
        else
            p->item[p->n++] = (struct item){
                .kind = ITEM_DELETE, .from = all.v[i].path, .to = STR(""), .stamp = stamp_of(&all.v[i].st)};
    return rc;
}

enum rc fileop_remove_directory(struct fileop *op, struct val *ret, struct err *err)
{
    struct plan p = {.id = plan_id(op->arena)};
    struct val_map m = val_map_new(op->arena);
    struct str path = val_get_str(op->request, STR("path"), STR(""));
    struct stat st;
    bool there;
    if (op->phase != TOOL_PREPARE)
        return fileop_carry_out(op, NULL, ret, err);
    enum rc rc = fileop_stat(op, path, &there, &st, err);
    there = there && S_ISDIR(st.st_mode); /* what is there instead is somebody else's */
    if (rc == RC_OK && there)
        rc = plan_removal(op, path, &p, err);
    VAL_MAP_SET(&m, "path", val_str(path));
    VAL_MAP_SET(&m, "removed", val_int((int64_t)p.n));
    p.result = val_map_done(&m);
    *ret = there ? fileop_planned(op, &p) : p.result;
    return rc;
}
