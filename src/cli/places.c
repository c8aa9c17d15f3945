/* An output directory that cannot be written to would otherwise be found out when the first answer is to be written,
 * which has been paid for by then. The file that is tried has no name, so nobody sees it; where the file system has no
 * such files, the permissions must do. */
#include "cli/places.h"

#include "executor/beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum rc places_workspace(struct str path, struct err *err)
{
    struct arena a = {0};
    struct beneath b;
    enum rc rc = beneath_init(&b, &a, arena_cstr(&a, path), true, err);
    beneath_done(&b);
    arena_done(&a);
    return rc == RC_OK ? rc : err_wrap(err, "the workspace cannot be used");
}

static bool writes(const struct workflow *w)
{
    struct arena a = {0};
    size_t n;
    const struct workflow *const *all = workflow_all(w, &a, &n);
    bool any = false;
    for (size_t k = 0; k < n; k++)
        for (size_t i = 0; !any && i < all[k]->nall; i++)
            any = all[k]->all[i]->output_to_file;
    arena_done(&a);
    return any;
}

static enum rc try_file(int dir, struct str path, struct err *err)
{
    int fd = openat(dir, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
    if (fd >= 0) {
        close(fd);
        return RC_OK;
    }
    bool unknown = errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL || errno == ENOENT;
    if (unknown && faccessat(dir, ".", W_OK | X_OK, AT_EACCESS) == 0)
        return RC_OK;
    return err_set(err, RC_IO, "%.*s: no file can be made in it: %s", STR_ARG(path), strerror(errno));
}

enum rc places_output(const struct workflow *w, struct str path, struct err *err)
{
    if (!writes(w))
        return RC_OK;
    struct arena a = {0};
    struct beneath b;
    enum rc rc = beneath_init(&b, &a, arena_cstr(&a, path), true, err);
    if (rc == RC_OK)
        rc = try_file(b.fd, path, err);
    beneath_done(&b);
    arena_done(&a);
    return rc == RC_OK ? rc : err_wrap(err, "the output directory cannot be used");
}
