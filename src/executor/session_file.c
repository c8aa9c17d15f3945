/* The file is only ever appended to, one write and one fsync an exchange, so a reader sees whole exchanges. */
#include "executor/session_file.h"

#include "base/buf.h"
#include "base/sha256.h"
#include "data/json.h"
#include "executor/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { SESSION_MAX = 64 << 20, LOCK_TRIES = 3000, TRY_NS = 10000000 };

struct session {
    int fd;
    const char *path;
    struct str text; /* whole lines */
    size_t lines;
    struct val_list messages;
    int64_t turns;
    bool has_key;
};

static bool plain(struct str name)
{
    return str_portable(name) && name.n <= 100 && name.p[0] != '.';
}

/* Any text may be a name; what cannot be a file's becomes its hash. */
static const char *file_of(struct arena *a, const char *dir, struct str name)
{
    struct sha256 h = sha256_of(name);
    struct sha256_hex x = sha256_hex(&h);
    return plain(name) ? arena_printf(a, "%s/%.*s.jsonl", dir, STR_ARG(name)).p
                       : arena_printf(a, "%s/~%s.jsonl", dir, x.z).p;
}

static enum rc make_dirs(struct arena *a, const char *dir, struct err *err)
{
    char *p = (char *)arena_cstr(a, str_c(dir));
    for (char *c = p + 1;; c++) {
        char was = *c;
        if (was && was != '/')
            continue;
        *c = 0;
        if (mkdir(p, 0700) != 0 && errno != EEXIST)
            return err_set(err, rc_of_errno(errno), "%s: %s", p, strerror(errno));
        *c = was;
        if (!was)
            return RC_OK;
    }
}

static enum rc open_locked(struct session *s, int flags, struct err *err)
{
    s->fd = open(s->path, flags | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600);
    if (s->fd < 0)
        return err_set(err, errno == ENOENT ? RC_NOT_FOUND : rc_of_errno(errno), "%s: %s", s->path, strerror(errno));
    for (int i = 0; i < LOCK_TRIES; i++) {
        if (flock(s->fd, LOCK_EX | LOCK_NB) == 0)
            return RC_OK;
        nanosleep(&(struct timespec){0, TRY_NS}, NULL);
    }
    return err_set(err, RC_BUSY, "%s is in use by another process", s->path);
}

static enum rc fold_line(struct session *s, struct arena *a, struct str line, struct str key, struct err *err)
{
    struct val v;
    s->lines++;
    if (json_parse(a, line, &JSON_LIMITS_DEFAULT, &v, err) != RC_OK || !val_is(VAL_GET(&v, "messages"), VAL_ARRAY))
        return err_set(err, RC_CORRUPT, "line %zu of %s is no exchange of a session; mend or remove it", s->lines,
                       s->path);
    const struct val *messages = VAL_GET(&v, "messages");
    if (val_get_bool(&v, STR("fresh"), false)) {
        s->messages = val_list_new(a);
        s->turns = 0;
    }
    for (size_t i = 0; val_at(messages, i); i++)
        val_list_push(&s->messages, *val_at(messages, i));
    s->turns++;
    s->has_key |= key.n && str_eq(val_get_str(&v, STR("key"), STR("")), key);
    return RC_OK;
}

static enum rc slurp(struct session *s, struct arena *a, struct err *err)
{
    enum rc rc = file_slurp(s->fd, SESSION_MAX, a, &s->text, err);
    if (rc != RC_OK)
        return err_wrap(err, "%s", s->path);
    size_t end = s->text.n;
    while (end && s->text.p[end - 1] != '\n')
        end--;
    s->text.n = end;
    return RC_OK;
}

/* Whoever adds an exchange must know how many there are and whether that one is among them, but not what they say: only
 * lines in which the key, or a beginning, could stand are looked at. */
static bool matters(struct str line, struct str key)
{
    return str_find(line, key) != SIZE_MAX || str_find(line, STR("\"fresh\"")) != SIZE_MAX;
}

/* `key`: of an exchange that is to be added; p NULL: all is to be known. */
static enum rc fold(struct session *s, struct arena *a, struct str key, struct err *err)
{
    struct val v = val_str(key);
    struct str quoted = key.p ? json_text(a, &v) : key;
    enum rc rc = RC_OK;
    for (struct str rest = s->text; rest.n && rc == RC_OK;) {
        size_t n = str_find(rest, STR("\n"));
        struct str line = str_n(rest.p, n);
        if (!key.p || matters(line, quoted))
            rc = fold_line(s, a, line, key, err);
        else
            s->lines++, s->turns++;
        rest = str_from(rest, n + 1);
    }
    return rc;
}

/* Leaves of the text what an earlier reading saw. */
static enum rc as_it_was(struct session *s, const struct val *plan, struct err *err)
{
    int64_t bytes = val_get_int(plan, STR("bytes"), -1);
    if (bytes >= 0 && (size_t)bytes <= s->text.n) {
        s->text.n = (size_t)bytes;
        struct sha256 h = sha256_of(s->text);
        struct sha256_hex x = sha256_hex(&h);
        if (str_is(val_get_str(plan, STR("sha256"), STR("")), x.z))
            return RC_OK;
    }
    return err_set(err, RC_CONFLICT, "the session in %s has been changed since this step read it", s->path);
}

static enum rc put(struct session *s, struct str line, struct err *err)
{
    if (s->text.n + line.n > SESSION_MAX)
        return err_set(err, RC_LIMIT, "%s would be larger than %d bytes; begin another session", s->path, SESSION_MAX);
    if (ftruncate(s->fd, (off_t)s->text.n) != 0)
        return err_set(err, RC_IO, "%s: %s", s->path, strerror(errno));
    for (size_t done = 0; done < line.n;) {
        ssize_t n = pwrite(s->fd, line.p + done, line.n - done, (off_t)(s->text.n + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return err_set(err, rc_of_errno(errno), "%s: %s", s->path, strerror(errno));
        done += (size_t)n;
    }
    return fsync(s->fd) == 0 ? RC_OK : err_set(err, RC_IO, "%s: %s", s->path, strerror(errno));
}

static enum rc append(struct session *s, const struct val *req, struct arena *a, struct err *err)
{
    struct val_map m = val_map_new(a);
    if (s->has_key) /* a crash came after it */
        return RC_OK;
    VAL_MAP_SET(&m, "key", *VAL_GET(req, "key"));
    if (val_get_bool(req, STR("fresh"), false))
        VAL_MAP_SET(&m, "fresh", val_true);
    VAL_MAP_SET(&m, "messages", *VAL_GET(req, "messages"));
    struct val v = val_map_done(&m);
    struct str text = json_text(a, &v);
    s->turns = val_get_bool(req, STR("fresh"), false) ? 1 : s->turns + 1;
    return put(s, arena_printf(a, "%.*s\n", STR_ARG(text)), err);
}

static enum rc sync_dir(const char *dir, struct err *err)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    return ok ? RC_OK : err_set(err, RC_IO, "%s: %s", dir, strerror(errno));
}

/* Whose session it is, and its file. `plan`: as it was found before, or NULL. */
static const char *find_file(const struct val *req, const struct val *plan, struct str name, struct arena *a,
                             const char **dir, const char *run_dir, bool *own)
{
    const struct val *v = VAL_GET(plan ? plan : req, "own");
    const char *run_sessions = arena_printf(a, "%s/sessions", run_dir).p;
    *own = v && val_truthy(v);
    if (*own && v->type == VAL_STR && access(file_of(a, run_sessions, name), F_OK) != 0)
        *own = false;
    if (*own)
        *dir = run_sessions;
    return file_of(a, *dir, name);
}

static enum rc add_to(struct session *s, const struct val *req, const char *dir, struct arena *a, struct err *err)
{
    enum rc rc = make_dirs(a, dir, err);
    if (rc == RC_OK)
        rc = open_locked(s, O_RDWR | O_CREAT, err);
    if (rc == RC_OK)
        rc = slurp(s, a, err);
    if (rc == RC_OK)
        rc = fold(s, a, val_get_str(req, STR("key"), STR("")), err);
    if (rc == RC_OK)
        rc = append(s, req, a, err);
    return rc == RC_OK ? sync_dir(dir, err) : rc;
}

static enum rc read_from(struct session *s, const struct val *plan, struct arena *a, struct err *err)
{
    enum rc rc = open_locked(s, O_RDONLY, err);
    if (rc == RC_OK)
        rc = slurp(s, a, err);
    else if (rc == RC_NOT_FOUND && val_get_int(plan, STR("bytes"), 0) == 0) /* nobody has said anything yet */
        rc = RC_OK;
    else if (rc == RC_NOT_FOUND)
        rc = err_set(err, rc, "the session in %s is gone", s->path);
    if (rc == RC_OK && plan)
        rc = as_it_was(s, plan, err);
    return rc == RC_OK ? fold(s, a, str_n(NULL, 0), err) : rc;
}

enum rc exec_session(const struct val *req, const char *dir, const char *run_dir, struct arena *a, struct val *ret,
                     struct err *err)
{
    struct str name = val_get_str(req, STR("name"), STR("")), key = val_get_str(req, STR("key"), STR(""));
    bool adds = str_is(val_get_str(req, STR("op"), STR("read")), "append"), own;
    bool again = str_is(val_get_str(req, STR("phase"), STR("")), "again");
    const struct val *plan = again ? VAL_GET(req, "plan") : NULL;
    if (!dir || !name.n || (adds && (!key.n || !val_is(VAL_GET(req, "messages"), VAL_ARRAY))) || (again && !plan))
        return err_set(err, RC_INVALID, "a session needs a name, and an exchange a key and messages");
    struct session s = {.fd = -1, .messages = val_list_new(a)};
    s.path = find_file(req, plan, name, a, &dir, run_dir, &own);
    enum rc rc = adds ? add_to(&s, req, dir, a, err) : read_from(&s, plan, a, err);
    if (s.fd >= 0)
        close(s.fd);
    if (rc != RC_OK)
        return rc;
    struct val_map m = val_map_new(a);
    VAL_MAP_SET(&m, "turns", val_int(s.turns));
    VAL_MAP_SET(&m, "name", val_str(name));
    VAL_MAP_SET(&m, "own", val_bool(own));
    if (!adds) {
        struct sha256 h = sha256_of(s.text);
        struct sha256_hex x = sha256_hex(&h);
        VAL_MAP_SET(&m, "bytes", val_int((int64_t)s.text.n));
        VAL_MAP_SET(&m, "sha256", val_str(arena_str(a, str_c(x.z))));
        VAL_MAP_SET(&m, "messages", val_list_done(&s.messages));
    }
    *ret = val_map_done(&m);
    return RC_OK;
}

/* ---- copies ---- */

struct copying {
    bool (*keep)(void *ctx, struct str key);
    void *ctx;
};

static enum rc copy_lines(const struct copying *c, struct session *from, struct session *to, struct arena *a,
                          struct err *err)
{
    struct buf kept;
    buf_init(&kept, SESSION_MAX);
    for (struct str rest = from->text; rest.n;) {
        struct val v;
        struct err ignored; /* whoever reads it is told of such a line */
        size_t n = str_find(rest, STR("\n")) + 1;
        struct str line = str_n(rest.p, n);
        if (json_parse(a, line, &JSON_LIMITS_DEFAULT, &v, &ignored) != RC_OK ||
            c->keep(c->ctx, val_get_str(&v, STR("key"), STR(""))))
            buf_add(&kept, line);
        rest = str_from(rest, n);
    }
    enum rc rc = kept.n ? open_locked(to, O_RDWR | O_CREAT, err) : RC_OK;
    if (rc == RC_OK && kept.n)
        rc = put(to, buf_str(&kept), err);
    buf_done(&kept);
    return rc;
}

static enum rc copy_file(const struct copying *c, const char *from, const char *to, struct err *err)
{
    struct arena a = {0};
    struct session s = {.fd = -1, .path = from}, t = {.fd = -1, .path = to};
    enum rc rc = open_locked(&s, O_RDONLY, err);
    if (rc == RC_OK)
        rc = slurp(&s, &a, err);
    if (rc == RC_OK)
        rc = copy_lines(c, &s, &t, &a, err);
    if (s.fd >= 0)
        close(s.fd);
    if (t.fd >= 0)
        close(t.fd);
    arena_done(&a);
    return rc;
}

enum rc session_copy_all(const char *from, const char *to, bool (*keep)(void *ctx, struct str key), void *ctx,
                         struct err *err)
{
    struct copying c = {keep, ctx};
    struct arena a = {0};
    DIR *d = opendir(from);
    if (!d)
        return errno == ENOENT ? RC_OK : err_set(err, RC_IO, "%s: %s", from, strerror(errno));
    enum rc rc = make_dirs(&a, to, err);
    for (struct dirent *e; rc == RC_OK && (e = readdir(d));)
        if (str_ends(str_c(e->d_name), STR(".jsonl")))
            rc = copy_file(&c, arena_printf(&a, "%s/%s", from, e->d_name).p, arena_printf(&a, "%s/%s", to, e->d_name).p,
                           err);
    closedir(d);
    if (rc == RC_OK)
        rc = sync_dir(to, err);
    arena_done(&a);
    return rc;
}
