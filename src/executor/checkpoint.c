/* Of the workspace, regular files are kept, within bounds: beyond them nothing is saved at all, because half a
 * workspace would be worse than an error. Restoring writes the files that were kept and leaves all others alone. */
#include "executor/checkpoint.h"

#include "base/clock.h"
#include "base/map.h"
#include "data/json.h"
#include "executor/files.h"
#include "executor/kept.h"
#include "executor/walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum { FILES_MAX = 10000, FILE_MAX = 64 << 20, ALL_MAX = 512 << 20, STATE_MAX = 64 << 20 };

struct checkpoint {
    struct tool_call *call;
    struct arena *a;
    struct beneath home; /* of the workflow */
    struct str name, file;
    int lock;
    const char **code;
    struct err *err;
};

/* ---- the place ---- */

static bool over(void *call)
{
    return tool_over(call);
}

static enum rc put(struct checkpoint *c, struct str rel, struct str content)
{
    struct place p;
    enum rc rc = beneath_locate(&c->home, c->a, rel, true, &p, c->err);
    if (rc != RC_OK)
        return rc;
    rc = place_put(&p, c->a, content, 0600, c->err);
    place_done(&p);
    return rc;
}

/* RC_NOT_FOUND. */
static enum rc get(struct checkpoint *c, struct str rel, size_t max, struct arena *a, struct str *ret)
{
    struct stat st;
    int fd;
    enum rc rc = beneath_open_file(&c->home, rel, O_RDONLY, &fd, &st, c->err);
    if (rc != RC_OK)
        return rc;
    rc = file_slurp(fd, max, a, ret, c->err);
    close(fd);
    return rc;
}

/* ---- the workspace ---- */

struct keeping {
    struct checkpoint *c;
    struct val_list files;
    int64_t bytes;
    size_t n;
    enum rc rc;
};

static enum rc keep_content(struct checkpoint *c, int fd, struct arena *scratch, struct sha256_hex *ret, size_t *bytes)
{
    struct str content;
    enum rc rc = file_slurp(fd, FILE_MAX, scratch, &content, c->err);
    if (rc != RC_OK)
        return rc;
    struct sha256 h = sha256_of(content);
    *ret = sha256_hex(&h);
    *bytes = content.n;
    struct str rel = arena_printf(scratch, "objects/%s", ret->z);
    struct stat st;
    if (fstatat(c->home.fd, rel.p, &st, AT_SYMLINK_NOFOLLOW) == 0 && (size_t)st.st_size == content.n)
        return RC_OK;
    struct arena *kept = c->a;
    c->a = scratch;
    rc = put(c, rel, content);
    c->a = kept;
    return rc;
}

static bool keep_file(void *ctx, const struct walk_file *f)
{
    struct keeping *k = ctx;
    struct checkpoint *c = k->c;
    struct arena scratch = {0};
    struct sha256_hex hash;
    size_t bytes = 0;
    int fd = openat(f->dir, f->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        k->rc = err_set(c->err, RC_IO, "%.*s: %s", STR_ARG(f->path), strerror(errno));
    else if (++k->n > FILES_MAX)
        k->rc = err_set(c->err, RC_LIMIT, "the workspace has more than %d files", FILES_MAX);
    else if (str_utf8_valid(f->path) != f->path.n)
        k->rc = err_set(c->err, RC_INVALID, "the workspace has a file whose name is no UTF-8 text");
    else
        k->rc = keep_content(c, fd, &scratch, &hash, &bytes);
    if (k->rc == RC_OK && (k->bytes += (int64_t)bytes) > ALL_MAX)
        k->rc = err_set(c->err, RC_LIMIT, "the workspace is larger than %d MB", ALL_MAX >> 20);
    if (k->rc == RC_OK) {
        struct val_map m = val_map_new(c->a);
        VAL_MAP_SET(&m, "path", val_str(arena_str(c->a, f->path)));
        VAL_MAP_SET(&m, "sha256", val_str(arena_str(c->a, str_c(hash.z))));
        VAL_MAP_SET(&m, "mode", val_int(f->st->st_mode & 0777));
        val_list_push(&k->files, val_map_done(&m));
    }
    if (fd >= 0)
        close(fd);
    arena_done(&scratch);
    return k->rc == RC_OK;
}

static struct val count_of(struct arena *a, size_t files, int64_t bytes)
{
    struct val_map m = val_map_new(a);
    VAL_MAP_SET(&m, "files", val_int((int64_t)files));
    VAL_MAP_SET(&m, "bytes", val_int(bytes));
    return val_map_done(&m);
}

static enum rc keep_workspace(struct checkpoint *c, struct val *ret_files, struct val *ret_count)
{
    struct keeping k = {.c = c, .files = val_list_new(c->a)};
    struct walk w = {.call = c->call, .file = keep_file, .ctx = &k};
    int dir;
    enum rc rc = beneath_open(c->call->root, STR("."), O_RDONLY | O_DIRECTORY, &dir, c->err);
    if (rc != RC_OK)
        return rc;
    walk_run(&w, dir);
    if (k.rc == RC_OK && (w.cut || w.unreadable))
        k.rc = err_set(c->err, RC_LIMIT, "the workspace cannot be kept whole: %s",
                       w.cut ? w.cut : "a directory cannot be read");
    *ret_files = val_list_done(&k.files);
    *ret_count = count_of(c->a, k.n, k.bytes);
    return k.rc;
}

static enum rc restore_file(struct checkpoint *c, const struct val *f, int64_t *bytes)
{
    struct arena scratch = {0};
    struct str path = val_get_str(f, STR("path"), STR("")), hash = val_get_str(f, STR("sha256"), STR("")),
               content = STR(""), rel;
    struct place p;
    bool sane = path.n && hash.n == 64 && !memchr(hash.p, '/', hash.n);
    enum rc rc = sane ? get(c, arena_printf(&scratch, "objects/%.*s", STR_ARG(hash)), FILE_MAX, &scratch, &content)
                      : err_set(c->err, RC_CORRUPT, "the checkpoint names no file");
    struct sha256 h = rc ? (struct sha256){0} : sha256_of(content);
    struct sha256_hex x = sha256_hex(&h);
    if (rc == RC_OK && !str_is(hash, x.z))
        rc = err_set(c->err, RC_CORRUPT, "the checkpoint's copy of %.*s is damaged", STR_ARG(path));
    if (rc == RC_OK)
        rc = beneath_relative(c->call->root, &scratch, STR("."), path, &rel, c->err);
    if (rc == RC_OK)
        rc = beneath_locate(c->call->root, &scratch, rel, true, &p, c->err);
    if (rc == RC_OK) {
        rc = place_put(&p, &scratch, content, (mode_t)(val_get_int(f, STR("mode"), 0644) & 0777), c->err);
        place_done(&p);
        *bytes += (int64_t)content.n;
    }
    arena_done(&scratch);
    return rc;
}

static enum rc restore_workspace(struct checkpoint *c, const struct val *files, struct val *ret_count)
{
    int64_t bytes = 0;
    enum rc rc = RC_OK;
    size_t i;
    for (i = 0; rc == RC_OK && val_at(files, i); i++)
        rc =
            tool_over(c->call) ? err_set(c->err, RC_CANCELLED, "cancelled") : restore_file(c, val_at(files, i), &bytes);
    *ret_count = count_of(c->a, i, bytes);
    return rc;
}

/* ---- contents that nobody names any more ---- */

static bool name_contents(struct checkpoint *c, const char *file, struct map *used)
{
    struct str text;
    struct val v;
    struct err other;
    if (get(c, str_c(file), STATE_MAX, c->a, &text) != RC_OK ||
        json_parse(c->a, text, &JSON_LIMITS_DEFAULT, &v, &other) != RC_OK)
        return false;
    const struct val *files = VAL_GET(&v, "files");
    for (size_t i = 0; val_at(files, i); i++)
        map_put(used, val_get_str(val_at(files, i), STR("sha256"), STR("")), c);
    return true;
}

static DIR *directory(struct checkpoint *c, const char *name)
{
    int fd = openat(c->home.fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (!d && fd >= 0)
        close(fd);
    return d;
}

/* What cannot be read names what it names: then nothing is removed. Failing to remove is no failure of saving. */
static void sweep(struct checkpoint *c)
{
    struct arena scratch = {0}, *kept = c->a;
    struct map used = {0};
    struct err other, *err = c->err;
    bool all = true;
    c->a = &scratch;
    c->err = &other;
    DIR *d = directory(c, ".");
    for (struct dirent *e; d && (e = readdir(d));)
        if (str_ends(str_c(e->d_name), STR(".json")))
            all &= name_contents(c, e->d_name, &used);
    DIR *objects = d && all ? directory(c, "objects") : NULL;
    for (struct dirent *e; objects && (e = readdir(objects));)
        if (e->d_name[0] != '.' && !map_get(&used, str_c(e->d_name)))
            (void)unlinkat(dirfd(objects), e->d_name, 0);
    if (objects)
        closedir(objects);
    if (d)
        closedir(d);
    map_done(&used);
    c->a = kept;
    c->err = err;
    arena_done(&scratch);
}

/* ---- saving and loading ---- */

static enum rc save(struct checkpoint *c, const struct val *req, struct val *ret)
{
    const struct val *state = VAL_GET(req, "state");
    struct val_map m = val_map_new(c->a), out = val_map_new(c->a);
    struct val files, count;
    enum rc rc = RC_OK;
    int64_t now = clock_wall_ms();
    VAL_MAP_SET(&m, "name", val_str(c->name));
    VAL_MAP_SET(&m, "run", val_str(val_get_str(req, STR("run"), STR(""))));
    VAL_MAP_SET(&m, "saved_ms", val_int(now));
    VAL_MAP_SET(&m, "state", val_is(state, VAL_OBJECT) ? *state : val_empty_object);
    VAL_MAP_SET(&out, "saved_ms", val_int(now));
    if (val_get_bool(req, STR("include_workspace"), false)) {
        rc = keep_workspace(c, &files, &count);
        if (rc != RC_OK)
            return rc;
        VAL_MAP_SET(&m, "files", files);
        VAL_MAP_SET(&out, "workspace", count);
    }
    struct val v = val_map_done(&m);
    struct str text = json_text(c->a, &v);
    if (text.n > STATE_MAX)
        return err_set(c->err, RC_LIMIT, "the state is larger than %d MB", STATE_MAX >> 20);
    rc = put(c, c->file, text);
    if (rc == RC_OK)
        sweep(c);
    *ret = val_map_done(&out);
    return rc;
}

static enum rc load(struct checkpoint *c, const struct val *req, struct val *ret)
{
    struct val_map out = val_map_new(c->a);
    struct str text;
    struct val v, count;
    enum rc rc = get(c, c->file, STATE_MAX, c->a, &text);
    if (rc == RC_NOT_FOUND) {
        VAL_MAP_SET(&out, "found", val_false);
        *ret = val_map_done(&out);
        return RC_OK;
    }
    if (rc == RC_OK && json_parse(c->a, text, &JSON_LIMITS_DEFAULT, &v, c->err) != RC_OK)
        rc = err_set(c->err, RC_CORRUPT, "the checkpoint `%.*s` is damaged", STR_ARG(c->name));
    if (rc != RC_OK)
        return rc;
    const struct val *state = VAL_GET(&v, "state"), *files = VAL_GET(&v, "files");
    VAL_MAP_SET(&out, "found", val_true);
    VAL_MAP_SET(&out, "state", val_is(state, VAL_OBJECT) ? *state : val_empty_object);
    VAL_MAP_SET(&out, "saved_ms", val_int(val_get_int(&v, STR("saved_ms"), 0)));
    VAL_MAP_SET(&out, "run", val_str(val_get_str(&v, STR("run"), STR(""))));
    if (val_get_bool(req, STR("include_workspace"), false) && files) {
        rc = restore_workspace(c, files, &count);
        VAL_MAP_SET(&out, "workspace", count);
    }
    *ret = val_map_done(&out);
    return rc;
}

/* Variables that runs leave to later ones are one state of the workflow, under a name that no checkpoint has. */
static enum rc keep_variables(struct checkpoint *c, const struct val *req, struct val *ret)
{
    struct val old, merged, request;
    enum rc rc = load(c, &val_empty_object, &old);
    if (rc != RC_OK)
        return rc;
    struct val_map m = val_map_new(c->a), r = val_map_new(c->a);
    val_map_merge(&m, VAL_GET(&old, "state") ? VAL_GET(&old, "state") : &val_empty_object);
    val_map_merge(&m, val_is(VAL_GET(req, "state"), VAL_OBJECT) ? VAL_GET(req, "state") : &val_empty_object);
    merged = val_map_done(&m);
    VAL_MAP_SET(&r, "run", val_str(val_get_str(req, STR("run"), STR(""))));
    VAL_MAP_SET(&r, "state", merged);
    request = val_map_done(&r);
    return save(c, &request, ret);
}

static enum rc open_home(struct checkpoint *c, const char *dir, struct str workflow)
{
    if (!c->file.n && !kept_name(c->a, c->name, ".json", &c->file))
        return err_set(c->err, RC_INVALID, "`%.*s` is no name of a checkpoint; expected 1 to %d bytes",
                       c->name.n < 80 ? (int)c->name.n : 80, c->name.p, KEPT_NAME_MAX);
    return kept_open(&c->home, c->a, dir, workflow, c->err);
}

enum rc exec_checkpoint(const struct val *req, const char *dir, struct tool_call *call, struct val *ret,
                        const char **code, struct err *err)
{
    struct checkpoint c = {.call = call,
                           .a = call->arena,
                           .home.fd = -1,
                           .name = val_get_str(req, STR("name"), STR("")),
                           .lock = -1,
                           .code = code,
                           .err = err};
    struct str action = val_get_str(req, STR("action"), STR("save"));
    bool recall = str_is(action, "recall"), variables = recall || str_is(action, "keep");
    if (variables) {
        c.name = STR("variables of the session");
        c.file = STR("~session.json"); /* `~` is in no other */
    }
    enum rc rc = open_home(&c, dir, val_get_str(req, STR("workflow"), STR("")));
    if (rc != RC_OK)
        return rc;
    rc = kept_lock(&c.home, over, call, &c.lock, err);
    if (rc == RC_OK)
        rc = recall || str_is(action, "load") ? load(&c, req, ret)
             : variables                      ? keep_variables(&c, req, ret)
                                              : save(&c, req, ret);
    if (rc != RC_OK)
        err_wrap(err, "checkpoint `%.*s`", STR_ARG(c.name));
    if (c.lock >= 0)
        close(c.lock);
    beneath_done(&c.home);
    return rc;
}
