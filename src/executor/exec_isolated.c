/* Isolated workspaces: copies that a branch, an iteration or a step works in.
 *
 *   RUN/snapshots/places/HASH/copy    the directory itself           HASH/name   which it is
 *                             base    the snapshot that it is a copy of
 *                             undo, views   as the workspace's own (snapshot.h)
 *                             merged  it has been taken over; the copy goes, the record of what was done in it stays
 *
 * A copy is made beside its name and renamed when it is whole and on the disk, so a crash leaves none or all of it.
 * What was changed in it is what differs from `base`; it is recorded in the log of the workspace around it and then
 * made there by the same means as a command's changes, so taking over goes on after a crash, and is taken back like
 * anything else. */
#include "executor/exec_workspace_int.h"

#include "base/panic.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { IDLE_MAX = 16 };

enum { NAME_SIZE_MAX = 4096 };

struct workspace_place {
    char z[24];
};
/* `name` as a directory. */
static struct workspace_place workspace_place(struct str name)
{
    struct workspace_place p;
    struct sha256 h = sha256_of(name);
    struct sha256_hex x = sha256_hex(&h);
    snprintf(p.z, sizeof p.z, "%.16s", x.z);
    return p;
}

static enum rc write_file(int dir, const char *name, struct str text, struct err *err)
{
    int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool ok = fd >= 0 && write(fd, text.p, text.n) == (ssize_t)text.n && fsync(fd) == 0;
    enum rc rc = ok ? RC_OK : objects_error(err, str_c(name));
    if (fd >= 0)
        close(fd);
    return rc;
}

static enum rc read_base(int dir, struct sha256 *ret, struct err *err)
{
    char text[65] = "";
    int fd = openat(dir, "base", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    bool ok = fd >= 0 && read(fd, text, 64) == 64 && sha256_read(str_n(text, 64), ret);
    if (fd >= 0)
        close(fd);
    return ok ? RC_OK : err_set(err, RC_CORRUPT, "the copy of the workspace has lost what it is a copy of");
}

/* ---- making one ---- */

/* Under the mutex of `w`. */
static enum rc fill(struct workspace *w, int dir, struct str name, const atomic_bool *cancel, struct sha256 *ret,
                    struct err *err)
{
    struct scan copy;
    struct stat st = {0};
    enum rc rc = snapshot_take(&w->s, cancel, ret, err);
    struct sha256_hex x = sha256_hex(ret);
    if (rc == RC_OK && (mkdirat(dir, "copy", 0700) != 0 || fstat(w->root.fd, &st) != 0))
        rc = objects_error(err, STR("a copy of the workspace"));
    int fd = rc ? -1 : openat(dir, "copy", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (rc == RC_OK && fd < 0)
        rc = objects_error(err, STR("a copy of the workspace"));
    if (rc == RC_OK && (rc = scan_copy(&w->s.scan, &w->s.objects, fd, cancel, &copy, err)) == RC_OK)
        scan_done(&copy);
    if (rc == RC_OK && fchmod(fd, st.st_mode & 07777) != 0)
        rc = objects_error(err, STR("a copy of the workspace"));
    if (rc == RC_OK)
        rc = write_file(dir, "base", str_n(x.z, 64), err);
    if (rc == RC_OK)
        rc = write_file(dir, "name", name, err);
    if (rc == RC_OK && syncfs(dir) != 0)
        rc = objects_error(err, STR("a copy of the workspace"));
    if (fd >= 0)
        close(fd);
    return rc;
}

static enum rc make(struct workspace *w, int places, const char *place, struct str name, const atomic_bool *cancel,
                    struct sha256 *ret, struct err *err)
{
    char fresh[40];
    snprintf(fresh, sizeof fresh, ".%s", place);
    overlay_remove(places, fresh);
    if (mkdirat(places, fresh, 0700) != 0)
        return objects_error(err, str_c(fresh));
    int dir = openat(places, fresh, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    enum rc rc = dir < 0 ? objects_error(err, str_c(fresh)) : fill(w, dir, name, cancel, ret, err);
    if (dir >= 0)
        close(dir);
    if (rc == RC_OK && (renameat(places, fresh, places, place) != 0 || fsync(places) != 0))
        rc = objects_error(err, str_c(place));
    if (rc)
        overlay_remove(places, fresh);
    return rc;
}

static enum rc open_places(const struct workspace *w, int *ret, struct err *err)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/" WORKSPACE_PLACES, w->run_dir);
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return objects_error(err, str_c(path));
    *ret = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    return *ret < 0 ? objects_error(err, str_c(path)) : RC_OK;
}

enum rc workspace_isolate(struct workspace *w, struct str name, const atomic_bool *cancel, struct sha256 *ret,
                          struct err *err)
{
    struct workspace_place place = workspace_place(name);
    int places = -1;
    *ret = (struct sha256){0};
    pthread_mutex_lock(&w->mutex);
    enum rc rc = workspace_open(w, err);
    if (rc == RC_OK)
        rc = open_places(w, &places, err);
    int dir = rc ? -1 : openat(places, place.z, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (rc == RC_OK)
        rc = dir >= 0 ? read_base(dir, ret, err) : make(w, places, place.z, name, cancel, ret, err);
    pthread_mutex_unlock(&w->mutex);
    if (dir >= 0)
        close(dir);
    if (places >= 0)
        close(places);
    return rc ? err_wrap(err, "an isolated workspace") : RC_OK;
}

/* ---- using one ---- */

static pthread_mutex_t list = PTHREAD_MUTEX_INITIALIZER; /* of the isolated ones of all runs, and of their users */

static enum rc open_copy(struct workspace *main, struct str name, struct workspace **ret, struct err *err)
{
    char path[4096];
    struct workspace_place place = workspace_place(name);
    struct beneath root;
    struct arena a = {0};
    snprintf(path, sizeof path, "%s/" WORKSPACE_PLACES "/%s/copy", main->run_dir, place.z);
    enum rc rc = beneath_init(&root, &a, path, false, err);
    if (rc) {
        beneath_done(&root);
        arena_done(&a);
        return err_wrap(err, "the isolated workspace of %.*s", STR_ARG(name));
    }
    struct workspace *w = workspace_alloc(main->run_dir, &root);
    w->arena = a;
    w->name = strndup(name.p, name.n);
    if (!w->name || asprintf(&w->dir, "%s/" WORKSPACE_PLACES "/%s", main->run_dir, place.z) < 0)
        PANIC("out of memory");
    w->shown = main->root.path;
    w->no_views = main->no_views;
    w->no_layers = main->no_layers;
    *ret = w;
    return RC_OK;
}

/* Of those that nobody uses, so many stay open that a few branches need not be looked at anew at each step. */
static void close_idle(struct workspace *main)
{
    size_t idle = 0;
    for (struct workspace *w = main->next, *next; w; w = next) {
        next = w->next;
        if (!w->users && ++idle > IDLE_MAX)
            workspace_unlink(main, w);
    }
}

enum rc workspace_find(struct workspace *main, struct str name, struct workspace **ret, struct err *err)
{
    struct workspace *w = NULL;
    enum rc rc = RC_OK;
    pthread_mutex_lock(&list);
    for (struct workspace **at = &main->next; *at && !w; at = &(*at)->next)
        if (str_is(name, (*at)->name)) {
            w = *at;
            *at = w->next;
            break;
        }
    if (!w)
        rc = open_copy(main, name, &w, err);
    if (w) {
        w->next = main->next;
        main->next = w;
        w->users++;
        *ret = w;
    }
    pthread_mutex_unlock(&list);
    return rc;
}

void workspace_let_go(struct workspace *main, struct workspace *w)
{
    if (w == main || !w)
        return;
    pthread_mutex_lock(&list);
    w->users--;
    close_idle(main);
    pthread_mutex_unlock(&list);
}

/* The copy has gone. */
static void forget(struct workspace *main, struct workspace *w)
{
    pthread_mutex_lock(&list);
    if (!--w->users)
        workspace_unlink(main, w);
    pthread_mutex_unlock(&list);
}

/* ---- taking over ---- */

/* What was changed in the copy since it was made. */
static enum rc changes_of(struct workspace *copy, struct undo *u, struct err *err)
{
    struct sha256 now;
    int dir = open(copy->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    pthread_mutex_lock(&copy->mutex);
    enum rc rc = dir < 0 ? objects_error(err, str_c(copy->dir)) : read_base(dir, &u->snapshot, err);
    if (rc == RC_OK)
        rc = workspace_open(copy, err);
    if (rc == RC_OK)
        rc = snapshot_take(&copy->s, NULL, &now, err);
    if (rc == RC_OK)
        rc = tree_diff(&copy->s.objects, &u->snapshot, &now, STR(""), &u->changes, err);
    pthread_mutex_unlock(&copy->mutex);
    if (dir >= 0)
        close(dir);
    return rc;
}

static bool is_merged(const char *dir)
{
    char path[4200];
    snprintf(path, sizeof path, "%s/merged", dir);
    return access(path, F_OK) == 0;
}

/* The mark comes first: without it a crash in between would leave a copy with half of its files, to be taken over. */
static enum rc forget_copy(const char *place_dir, struct err *err)
{
    int dir = open(place_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return objects_error(err, str_c(place_dir));
    enum rc rc = write_file(dir, "merged", STR(""), err);
    if (rc == RC_OK && fsync(dir) != 0)
        rc = objects_error(err, str_c(place_dir));
    if (rc == RC_OK)
        overlay_remove(dir, "copy");
    close(dir);
    return rc;
}

enum rc workspace_merge(struct workspace *main, struct workspace *w, const struct val *req, size_t *changed,
                        struct err *err)
{
    struct str name = val_get_str(req, STR("target"), STR(""));
    struct arena a = {0};
    struct workspace *copy = NULL;
    char dir[4096];
    struct workspace_place place = workspace_place(name);
    struct undo u = {
        .frame = val_get_str(req, STR("frame"), name), .attempt = 1, .untracked = STR(""), .changes.a = &a};
    snprintf(dir, sizeof dir, "%s/" WORKSPACE_PLACES "/%s", main->run_dir, place.z);
    if (is_merged(dir))
        return RC_OK;
    enum rc rc = workspace_find(main, name, &copy, err);
    if (rc == RC_OK)
        rc = changes_of(copy, &u, err);
    pthread_mutex_lock(&w->mutex);
    if (rc == RC_OK)
        rc = workspace_open(w, err);
    if (rc == RC_OK)
        rc = workspace_apply(w, &u, val_get_bool(req, STR("force"), false), err);
    if (rc == RC_OK && u.changes.n && syncfs(w->root.fd) != 0)
        rc = objects_error(err, STR("the workspace"));
    pthread_mutex_unlock(&w->mutex);
    *changed = u.changes.n;
    if (rc == RC_OK)
        rc = forget_copy(dir, err);
    else if (rc == RC_CONFLICT)
        err_wrap(err, "the copy is %s/copy", dir);
    if (copy && rc == RC_OK)
        forget(main, copy);
    else
        workspace_let_go(main, copy);
    arena_done(&a);
    return rc;
}
