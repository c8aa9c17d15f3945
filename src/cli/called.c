/* A file is known by its resolved path, so one that is reached by two names is one workflow, and a circle is seen. It
 * is looked for beside the file that names it, then in the current directory. */
#include "cli/called.h"

#include "base/panic.h"
#include "base/sha256.h"
#include "cli/home.h"
#include "cli/session.h"
#include "store/store.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

enum { CALLED_TEXT_MAX = 32 << 20 };

struct str called_directory(struct str path)
{
    while (path.n && path.p[path.n - 1] != '/')
        path.n--;
    return str_n(path.p, path.n > 1 ? path.n - 1 : path.n);
}

/* How people know the file: relative to where they are, if it is below. */
static struct str shown(struct arena *a, struct str path)
{
    char here[PATH_MAX];
    size_t n = getcwd(here, sizeof here) ? strlen(here) : 0;
    bool below = n > 1 && path.n > n + 1 && memcmp(path.p, here, n) == 0 && path.p[n] == '/';
    return arena_str(a, below ? str_from(path, n + 1) : path);
}

/* False when there is no such file. */
static bool place(const char *path, struct arena *a, struct workflow_text *ret)
{
    char *real = realpath(path, NULL);
    if (!real)
        return false;
    ret->path = arena_str(a, str_c(real));
    ret->dir = called_directory(ret->path);
    ret->file = shown(a, ret->path);
    free(real);
    return true;
}

enum rc called_place(const char *file, struct arena *a, struct workflow_text *ret, struct err *err)
{
    enum rc rc = RC_OK;
    if (!place(file, a, ret)) { /* a pipe: it lies nowhere */
        rc = absolute_path(str_c(file), a, &ret->path, err);
        ret->dir = called_directory(ret->path);
    }
    ret->file = arena_str(a, str_c(file));
    return rc;
}

static enum rc find_stored(struct str name, struct arena *a, struct workflow_text *ret, struct err *err)
{
    char home[PATH_MAX];
    bool good = name.n && name.p[0] != '.' && !memchr(name.p, '/', name.n) && !memchr(name.p, 0, name.n);
    if (!good)
        return err_set(err, RC_INVALID,
                       "`%.*s` cannot be the name of a stored workflow; expected that of a file in "
                       "$TREADLE_HOME/workflows, without .yaml",
                       STR_ARG(name));
    enum rc rc = home_dir(home, sizeof home, err);
    if (rc != RC_OK)
        return rc;
    const char *path = arena_printf(a, "%s/workflows/%.*s.yaml", home, STR_ARG(name)).p;
    return place(path, a, ret) ? RC_OK
                               : err_set(err, RC_NOT_FOUND, "there is no stored workflow `%.*s`; expected a file %s",
                                         STR_ARG(name), path);
}

static enum rc find_file(struct str from, struct str name, struct arena *a, struct workflow_text *ret, struct err *err)
{
    const char *plain = arena_cstr(a, name);
    if (memchr(name.p, 0, name.n) || !name.n)
        return err_set(err, RC_INVALID, "that is no name of a file");
    if (name.p[0] != '/' && place(arena_printf(a, "%.*s/%s", STR_ARG(from), plain).p, a, ret))
        return RC_OK;
    if (place(plain, a, ret))
        return RC_OK;
    if (name.p[0] == '/')
        return err_set(err, RC_NOT_FOUND, "there is no file %s; expected a workflow", plain);
    return err_set(err, RC_NOT_FOUND,
                   "there is no file `%s`; expected a workflow, beside this one (%.*s) or in the current directory",
                   plain, STR_ARG(from));
}

static enum rc pinned(const struct called_files *f, struct str from, struct str name, bool stored,
                      struct workflow_text *ret, struct err *err)
{
    for (size_t i = 0; i < f->n; i++) {
        const struct called_file *c = &f->v[i];
        if (c->stored == stored && str_eq(c->name, name) && (stored || str_eq(c->from, from))) {
            *ret = c->t;
            return RC_OK;
        }
    }
    return err_set(err, RC_CORRUPT, "the journal does not hold the workflow `%.*s`", STR_ARG(name));
}

static void keep(struct called_files *f, const struct called_file *c)
{
    if (f->n == f->cap) {
        size_t cap = f->cap ? 2 * f->cap : 8;
        struct called_file *v = arena_calloc(f->a, cap, sizeof *v);
        if (f->n)
            memcpy(v, f->v, f->n * sizeof *v);
        f->v = v;
        f->cap = cap;
    }
    f->v[f->n++] = *c;
}

enum rc called_read(void *ctx, struct str from, struct str name, bool stored, struct arena *a,
                    struct workflow_text *ret, struct err *err)
{
    struct called_files *f = ctx;
    struct err none;
    (void)a;
    if (pinned(f, from, name, stored, ret, &none) == RC_OK) /* read once, whatever happens to it meanwhile */
        return RC_OK;
    if (f->pinned) {
        *err = none;
        return err->rc;
    }
    struct called_file c = {arena_str(f->a, from), arena_str(f->a, name), stored, {.path = {0}}};
    enum rc rc = stored ? find_stored(name, f->a, &c.t, err) : find_file(from, name, f->a, &c.t, err);
    if (rc == RC_OK)
        rc = read_file(arena_cstr(f->a, c.t.path), CALLED_TEXT_MAX, f->a, &c.t.text, err);
    if (rc != RC_OK)
        return rc;
    keep(f, &c);
    *ret = c.t;
    return RC_OK;
}

/* ---- in a journal ---- */

static struct str hash(struct arena *a, struct str text)
{
    struct sha256 h = sha256_of(text);
    struct sha256_hex x = sha256_hex(&h);
    return arena_str(a, str_c(x.z));
}

struct val called_val(const struct called_files *f, struct arena *a)
{
    struct val_list l = val_list_new(a);
    for (size_t i = 0; i < f->n; i++) {
        const struct called_file *c = &f->v[i];
        struct val_map m = val_map_new(a);
        VAL_MAP_SET(&m, "from", val_str(c->from));
        VAL_MAP_SET(&m, "name", val_str(c->name));
        VAL_MAP_SET(&m, "stored", val_bool(c->stored));
        VAL_MAP_SET(&m, "path", val_str(c->t.path));
        VAL_MAP_SET(&m, "file", val_str(c->t.file));
        VAL_MAP_SET(&m, "dir", val_str(c->t.dir));
        VAL_MAP_SET(&m, "sha256", val_str(hash(a, c->t.text)));
        val_list_push(&l, val_map_done(&m));
    }
    struct val_map m = val_map_new(a);
    VAL_MAP_SET(&m, "root", val_str(f->root_path));
    VAL_MAP_SET(&m, "files", val_list_done(&l));
    return val_map_done(&m);
}

void called_put(const struct called_files *f, struct store_batch *b)
{
    for (size_t i = 0; i < f->n; i++)
        store_batch_blob(b, f->v[i].t.text);
}

static struct str text_of(const struct val *v, const char *key)
{
    return val_get_str(v, str_c(key), STR(""));
}

enum rc called_from(struct called_files *f, const struct val *v, struct store *store, struct err *err)
{
    const struct val *list = VAL_GET(v, "files");
    f->n = 0;
    f->root_path = text_of(v, "root");
    f->pinned = true;
    for (size_t i = 0; val_at(list, i); i++) {
        const struct val *one = val_at(list, i);
        struct called_file c = {.from = text_of(one, "from"),
                                .name = text_of(one, "name"),
                                .stored = val_get_bool(one, STR("stored"), false)};
        c.t.path = text_of(one, "path");
        c.t.file = text_of(one, "file");
        c.t.dir = text_of(one, "dir");
        enum rc rc = store_blob(store, text_of(one, "sha256"), f->a, &c.t.text, err);
        if (rc != RC_OK)
            return rc;
        keep(f, &c);
    }
    return RC_OK;
}
