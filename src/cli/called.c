/* A file is known by its resolved path, so one that is reached by two names is one workflow, and a circle is seen. It
 * is looked for beside the file that names it, then in the current directory. */
#include "cli/called.h"

#include "cli/home.h"
#include "cli/session.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

enum { CALLED_TEXT_MAX = 32 << 20 };

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

/* Names with slashes lie in directories of it; none begins with a dot, so none leads out. */
static bool stored_name(struct str name)
{
    bool begins = true;
    for (size_t i = 0; i < name.n; i++) {
        if (!name.p[i] || (begins && (name.p[i] == '.' || name.p[i] == '/')))
            return false;
        begins = name.p[i] == '/';
    }
    return name.n && !begins;
}

static enum rc find_stored(struct str name, struct arena *a, struct workflow_text *ret, struct err *err)
{
    char home[PATH_MAX];
    if (!stored_name(name))
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

enum rc called_read(void *ctx, struct str from, struct str name, bool stored, struct arena *a,
                    struct workflow_text *ret, struct err *err)
{
    struct called_files *f = ctx;
    struct err none;
    (void)a;
    if (called_find(f, from, name, stored, ret, &none) == RC_OK) /* read once, whatever happens to it meanwhile */
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
    called_keep(f, &c);
    *ret = c.t;
    return RC_OK;
}
