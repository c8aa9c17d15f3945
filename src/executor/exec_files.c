/* Prompt files are the user's own and named by the workflow, so they may lie anywhere; only what is asked of the
 * workspace, which models write to, goes beneath. A file must be regular, of bounded size and UTF-8 in every case.
 *
 * A workflow that came over the network is nobody's own: all that it names lies beneath the directory of workflows or
 * the workspace, by whatever path or link, or is refused. Neither does it learn what there is elsewhere: nothing is
 * looked at by name before the kernel has resolved it beneath. */
#include "executor/exec_files.h"

#include "executor/decode.h"
#include "executor/files.h"
#include "executor/read_many.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

enum { READ_MAX = 4 << 20, OUTPUT_MAX = 256 << 20, OUTPUT_MODE = 0644 };

struct how {
    size_t max;
    struct str encoding;
};

/* Reads and closes. */
static enum rc read_text(int fd, struct str path, const struct how *how, struct arena *a, struct val *ret,
                         const char **code, struct err *err)
{
    struct str text;
    enum rc rc = file_slurp(fd, how->max, a, &text, err);
    close(fd);
    if (rc)
        return err_wrap(err, "%.*s", STR_ARG(path));
    if (decode_text(a, text, how->encoding, &text, err) != RC_OK) {
        struct str what = arena_str(a, str_c(err->msg));
        *code = "not_text";
        return err_set(err, RC_INVALID, "%.*s %.*s", STR_ARG(path), STR_ARG(what));
    }
    struct sha256 hash = sha256_of(text);
    struct sha256_hex hex = sha256_hex(&hash);
    struct val_map m = val_map_new(a);
    VAL_MAP_SET(&m, "text", val_str(text));
    VAL_MAP_SET(&m, "path", val_str(path));
    VAL_MAP_SET(&m, "sha256", val_str(arena_str(a, str_c(hex.z))));
    *ret = val_map_done(&m);
    return RC_OK;
}

/* Anywhere. The look before the opening is for devices, which act on being opened. */
static enum rc open_plain(const char *path, int *fd, struct err *err)
{
    struct stat st;
    int error = 0;
    *fd = -1;
    if (stat(path, &st) != 0)
        error = errno;
    else if (S_ISREG(st.st_mode) && (*fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)) < 0)
        error = errno;
    if (error == ENOENT || error == ENOTDIR)
        return err_set(err, RC_NOT_FOUND, "%s does not exist", path);
    if (error)
        return err_set(err, RC_IO, "%s: %s", path, strerror(error));
    if (*fd >= 0 && fstat(*fd, &st) == 0 && S_ISREG(st.st_mode))
        return RC_OK;
    if (*fd >= 0)
        close(*fd);
    return err_set(err, RC_INVALID, "%s is not a regular file", path);
}

static enum rc read_beneath(struct str path, const struct how *how, const struct beneath *workspace, struct arena *a,
                            struct val *ret, const char **code, struct err *err)
{
    struct str rel;
    struct stat st;
    int fd;
    enum rc rc = beneath_relative(workspace, a, STR("."), path, &rel, err);
    if (rc == RC_OK)
        rc = beneath_open_file(workspace, rel, O_RDONLY, &fd, &st, err);
    if (rc == RC_INVALID)
        *code = "outside";
    if (rc)
        return rc;
    struct str full = arena_printf(a, "%.*s/%.*s", STR_ARG(workspace->path), STR_ARG(rel));
    return read_text(fd, full, how, a, ret, code, err);
}

/* A file that the run itself has named: below one of the directories, wherever links lead. */
static enum rc read_below(struct str path, const struct how *how, const char *const dirs[3], struct arena *a,
                          struct val *ret, const char **code, struct err *err)
{
    enum rc rc = RC_NOT_FOUND;
    bool outside = true;
    for (int i = 0; i < 3 && rc == RC_NOT_FOUND; i++) {
        struct beneath dir;
        if (!dirs[i] || beneath_init(&dir, a, dirs[i], false, err) != RC_OK)
            continue;
        *code = NULL;
        rc = read_beneath(path, how, &dir, a, ret, code, err);
        beneath_done(&dir);
        if (*code && str_is(str_c(*code), "outside")) /* of this one; it may be named absolutely, and lie in the next */
            rc = RC_NOT_FOUND;
        else
            outside = false;
    }
    if (rc != RC_NOT_FOUND)
        return rc;
    *code = outside ? "outside" : NULL;
    return err_set(err, outside ? RC_INVALID : RC_NOT_FOUND, "%.*s %s neither below %s%s%s%s%s%s", STR_ARG(path),
                   outside ? "lies" : "was found", dirs[0] ? dirs[0] : "none", dirs[1] ? " nor below " : "",
                   dirs[1] ? dirs[1] : "", dirs[2] ? " nor below " : "", dirs[2] ? dirs[2] : "",
                   outside ? "; only the workflow's own words and inputs may name files elsewhere" : "");
}

/* ---- of a workflow that came over the network ---- */

/* The same, where nothing else is allowed. `dir` (of the file that names it; may be empty) must itself lie beneath. */
static enum rc confined_name(const struct beneath *root, struct str dir, struct str path, struct arena *a,
                             struct str *ret, struct err *err)
{
    struct str base = STR(".");
    if (dir.n && path.p[0] != '/' && beneath_relative(root, a, STR("."), dir, &base, err) != RC_OK)
        return err->rc;
    return beneath_relative(root, a, base, path, ret, err);
}

static bool is_directory_beneath(const struct beneath *root, struct str rel)
{
    struct err err;
    int fd;
    if (beneath_open(root, rel, O_PATH | O_DIRECTORY, &fd, &err) != RC_OK)
        return false;
    close(fd);
    return true;
}

static enum rc refuse_confined(struct str path, const struct exec_places *places, bool outside, const char **code,
                               struct err *err)
{
    *code = outside ? "outside" : NULL;
    return err_set(err, outside ? RC_INVALID : RC_NOT_FOUND,
                   "%.*s %s neither in the run's workspace (%.*s) nor among the stored workflows (%s), and a workflow "
                   "that was sent to the service reads nothing else; send the text as an input, or put the file there",
                   (int)(path.n < 200 ? path.n : 200), path.p, outside ? "lies" : "was found",
                   STR_ARG(places->workspace->path), places->workflow_dir ? places->workflow_dir : "none");
}

/* First where the naming file lies, then in the directory of workflows, then in the workspace. */
static enum rc read_confined(const struct val *req, struct str path, struct str dir, const struct how *how,
                             const struct exec_places *places, struct arena *a, struct val *ret, const char **code,
                             struct err *err)
{
    struct beneath workflows = {.fd = -1};
    const struct beneath *roots[2] = {NULL, places->workspace};
    bool list = val_get_bool(req, STR("list"), false), empty = false, led_out = false, named = false;
    enum rc rc = RC_NOT_FOUND;
    if (places->workflow_dir && beneath_init(&workflows, a, places->workflow_dir, false, err) == RC_OK)
        roots[0] = &workflows;
    for (int i = 0; i < 4 && rc == RC_NOT_FOUND; i++) {
        const struct beneath *root = roots[i % 2];
        struct str rel = {0};
        if (!root || (i < 2 && !dir.n) || confined_name(root, i < 2 ? dir : STR(""), path, a, &rel, err) != RC_OK)
            continue;
        *code = NULL;
        if (list || read_is_pattern(path) || path.p[path.n - 1] == '/' || is_directory_beneath(root, rel))
            rc = read_many(rel, (const char *const[2]){root->path.p, NULL}, true, list, how->encoding, a, ret, err);
        else
            rc = read_beneath(rel, how, root, a, ret, code, err);
        named = true;
        if (*code && str_is(str_c(*code), "outside"))
            rc = RC_NOT_FOUND, led_out = true;
        if (rc == RC_OK && list && !val_at(VAL_GET(ret, "files"), 0)) /* an empty list counts when all are */
            rc = RC_NOT_FOUND, empty = true;
    }
    beneath_done(&workflows);
    if (rc == RC_NOT_FOUND && empty)
        return RC_OK;
    return rc == RC_NOT_FOUND ? refuse_confined(path, places, led_out || !named, code, err) : rc;
}

/* ---- the doors ---- */

/* NAME.yaml among the stored workflows. */
static enum rc read_stored(struct str name, const struct how *how, const char *stored_dir, struct arena *a,
                           struct val *ret, const char **code, struct err *err)
{
    const char *const dirs[3] = {stored_dir, NULL, NULL};
    if (memchr(name.p, '/', name.n) || name.p[0] == '.')
        return err_set(err, RC_INVALID, "`%.*s` cannot be the name of a stored workflow", STR_ARG(name));
    enum rc rc = read_below(arena_printf(a, "%.*s.yaml", STR_ARG(name)), how, dirs, a, ret, code, err);
    return rc == RC_NOT_FOUND ? err_set(err, rc, "there is no stored workflow `%.*s`; expected %s/%.*s.yaml",
                                        STR_ARG(name), stored_dir ? stored_dir : "none", STR_ARG(name))
                              : rc;
}

/* Where the path is first found, is it a directory? */
static bool is_directory(struct str path, const char *const *dirs, struct arena *a)
{
    static const char *const root[] = {"", NULL};
    struct stat st;
    if (path.p[path.n - 1] == '/')
        return true;
    for (const char *const *d = path.p[0] == '/' ? root : dirs; *d; d++)
        if (stat(arena_printf(a, "%s%s%.*s", *d, (*d)[0] ? "/" : "", STR_ARG(path)).p, &st) == 0)
            return S_ISDIR(st.st_mode);
    return false;
}

enum rc exec_read(const struct val *req, const struct exec_places *places, struct arena *a, struct val *ret,
                  const char **code, struct err *err)
{
    struct str path = val_get_str(req, STR("path"), str_n("", 0)), dir = val_get_str(req, STR("dir"), str_n("", 0));
    struct str base = val_get_str(req, STR("base"), STR("workflow"));
    const struct beneath *workspace = places->workspace;
    const char *workflow_dir = dir.n ? arena_cstr(a, dir) : places->workflow_dir;
    int64_t max = val_get_int(req, STR("max"), READ_MAX);
    char here[PATH_MAX];
    if (!path.n || memchr(path.p, 0, path.n) || path.n >= PATH_MAX || memchr(dir.p, 0, dir.n))
        return err_set(err, RC_INVALID, "path must be the name of a file");
    if (max <= 0 || max > READ_MAX)
        max = READ_MAX;
    struct how how = {.max = (size_t)max, .encoding = val_get_str(req, STR("encoding"), STR(""))};
    if (str_is(base, "workspace"))
        return read_beneath(path, &how, workspace, a, ret, code, err);
    if (str_is(base, "stored"))
        return read_stored(path, &how, places->stored_dir, a, ret, code, err);
    if (!str_is(base, "workflow"))
        return err_set(err, RC_INVALID, "base must be workflow, workspace or stored");
    if (places->confined)
        return read_confined(req, path, dir, &how, places, a, ret, code, err);

    const char *dirs[2] = {workflow_dir, places->not_here ? NULL : getcwd(here, sizeof here)};
    bool beneath = val_get_bool(req, STR("beneath"), false), list = val_get_bool(req, STR("list"), false);
    const char *all[4];
    size_t n = 0;
    for (size_t i = 0; i < 2; i++)
        if (dirs[i])
            all[n++] = dirs[i];
    all[n++] = arena_cstr(a, workspace->path);
    all[n] = NULL;
    if (list || read_is_pattern(path) || is_directory(path, all, a))
        return read_many(path, all, beneath, list, how.encoding, a, ret, err);
    if (beneath)
        return read_below(path, &how, (const char *const[3]){dirs[0], dirs[1], workspace->path.p}, a, ret, code, err);
    if (path.p[0] == '/')
        dirs[0] = "", dirs[1] = NULL;
    for (int i = 0; i < 2; i++) {
        int fd;
        if (!dirs[i])
            continue;
        struct str full = arena_printf(a, "%s%s%.*s", dirs[i], dirs[i][0] ? "/" : "", STR_ARG(path));
        enum rc rc = open_plain(full.p, &fd, err);
        if (rc == RC_OK)
            return read_text(fd, full, &how, a, ret, code, err);
        if (rc != RC_NOT_FOUND || path.p[0] == '/')
            return rc;
    }
    if (read_beneath(path, &how, workspace, a, ret, code, err) == RC_OK)
        return RC_OK;
    if (err->rc != RC_NOT_FOUND && !*code)
        return err->rc;
    if (err->rc == RC_INVALID && str_is(str_c(*code), "not_text"))
        return err->rc;
    *code = NULL; /* that it leads out of the workspace says nothing to somebody who did not name the workspace */
    return err_set(err, RC_NOT_FOUND, "%.*s was found neither beside the workflow (%s) nor in %s%s%.*s", STR_ARG(path),
                   workflow_dir ? workflow_dir : "none", dirs[1] ? dirs[1] : "", dirs[1] ? " nor in " : "",
                   STR_ARG(workspace->path));
}

enum rc exec_output(const struct val *req, const struct beneath *output, struct arena *a, struct val *ret,
                    const char **code, struct err *err)
{
    const struct val *path = VAL_GET(req, "path"), *text = VAL_GET(req, "text");
    struct place place;
    struct str rel;
    if (!val_is(path, VAL_STR) || !path->s.n || !val_is(text, VAL_STR))
        return err_set(err, RC_INVALID, "an output needs a path and a text");
    if (text->s.n > OUTPUT_MAX)
        return err_set(err, RC_LIMIT, "the output is larger than %d bytes", OUTPUT_MAX);
    enum rc rc = beneath_relative(output, a, STR("."), path->s, &rel, err);
    if (rc == RC_OK)
        rc = beneath_locate(output, a, rel, true, &place, err);
    if (rc == RC_INVALID)
        *code = "outside";
    if (rc)
        return err_wrap(err, "output directory");
    rc = place_put(&place, a, text->s, place.exists ? place.st.st_mode & 07777 : OUTPUT_MODE, err);
    place_done(&place);
    if (rc)
        return rc;
    struct val_map m = val_map_new(a);
    VAL_MAP_SET(&m, "path", val_str(arena_printf(a, "%.*s/%.*s", STR_ARG(output->path), STR_ARG(place.path))));
    VAL_MAP_SET(&m, "bytes", val_int((int64_t)text->s.n));
    *ret = val_map_done(&m);
    return RC_OK;
}
