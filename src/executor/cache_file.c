/* The lock file has what is there in two numbers, so that keeping an entry does not have to look at all others. They
 * are only about right (an entry that is replaced is counted twice); when they say that a bound is passed, the
 * directory is looked at, what is over is removed with some to spare, and they are right again.
 *
 * How long an entry is good is said by who asks: the step may have got another `ttl` since. `until_ms` is what the step
 * that kept it said, and for prune; it stands first, to be found without reading the rest. */
#include "executor/cache_file.h"

#include "base/clock.h"
#include "data/json.h"
#include "executor/files.h"
#include "executor/kept.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

static const char first_key[] = "{\"until_ms\":";

struct totals {
    int64_t n, bytes;
};

/* ---- the directory ---- */

struct listed {
    char name[80];
    int64_t kept_ns, bytes;
};
struct listing {
    struct listed *v;
    size_t n, cap;
    int64_t bytes;
};

static int by_age(const void *a, const void *b)
{
    const struct listed *x = a, *y = b;
    return x->kept_ns < y->kept_ns ? -1 : x->kept_ns > y->kept_ns ? 1 : strcmp(x->name, y->name);
}

static bool is_entry(const char *name)
{
    return name[0] != '.' && strlen(name) < 80 && str_ends(str_c(name), STR(".json"));
}

/* Oldest first. What cannot be read is not there. */
static void list(int dir, struct listing *l)
{
    *l = (struct listing){0};
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    struct stat st;
    for (struct dirent *e; d && (e = readdir(d));) {
        if (!is_entry(e->d_name) || fstatat(dir, e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode))
            continue;
        if (l->n == l->cap) {
            size_t cap = l->cap ? 2 * l->cap : 64;
            struct listed *more = realloc(l->v, cap * sizeof *more);
            if (!more)
                break;
            l->v = more;
            l->cap = cap;
        }
        struct listed *x = &l->v[l->n++];
        snprintf(x->name, sizeof x->name, "%s", e->d_name);
        x->kept_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
        x->bytes = st.st_size;
        l->bytes += st.st_size;
    }
    if (d)
        closedir(d);
    else if (fd >= 0)
        close(fd);
    if (l->n)
        qsort(l->v, l->n, sizeof *l->v, by_age);
}

static bool read_totals(int lock, struct totals *t)
{
    char text[64] = "";
    ssize_t n = pread(lock, text, sizeof text - 1, 0);
    long long count, bytes;
    if (n <= 0 || sscanf(text, "%lld %lld", &count, &bytes) != 2 || count < 0 || bytes < 0)
        return false;
    *t = (struct totals){count, bytes};
    return true;
}

/* Numbers that cannot be written are counted anew by the next. */
static void write_totals(int lock, const struct totals *t)
{
    char text[64];
    int n = snprintf(text, sizeof text, "%lld %lld\n", (long long)t->n, (long long)t->bytes);
    if (ftruncate(lock, 0) == 0 && pwrite(lock, text, (size_t)n, 0) != n)
        (void)!ftruncate(lock, 0);
}

/* Within nine tenths of the bounds, but for `keep`. */
static void make_room(int dir, int64_t max_bytes, const char *keep, struct totals *t)
{
    struct listing l;
    list(dir, &l);
    *t = (struct totals){(int64_t)l.n, l.bytes};
    for (size_t i = 0; i < l.n; i++) {
        if (t->bytes <= max_bytes / 10 * 9 && t->n <= CACHE_ENTRIES_MAX / 10 * 9)
            break;
        if (strcmp(l.v[i].name, keep) != 0 && unlinkat(dir, l.v[i].name, 0) == 0) {
            t->n--;
            t->bytes -= l.v[i].bytes;
        }
    }
    free(l.v);
}

/* ---- one entry ---- */

static bool entry_name(const struct val *req, struct arena *a, struct str *ret)
{
    struct str entry = val_get_str(req, STR("entry"), STR(""));
    return entry.n <= 64 && kept_name(a, entry, ".json", ret);
}

static enum rc find(const struct beneath *home, struct str name, int64_t ttl_ms, struct arena *a, struct val *ret,
                    struct err *err)
{
    struct val_map m = val_map_new(a);
    struct stat st;
    struct str text;
    struct val v;
    int fd;
    VAL_MAP_SET(&m, "found", val_false);
    *ret = val_map_done(&m);
    enum rc rc = beneath_open_file(home, name, O_RDONLY, &fd, &st, err);
    if (rc == RC_NOT_FOUND)
        return RC_OK;
    if (rc != RC_OK)
        return rc;
    rc = file_slurp(fd, CACHE_ENTRY_MAX + 4096, a, &text, err);
    close(fd);
    if (rc != RC_OK)
        return rc;
    int64_t now = clock_wall_ms();
    if (json_parse(a, text, &JSON_LIMITS_DEFAULT, &v, err) != RC_OK || !VAL_GET(&v, "result"))
        return RC_OK; /* somebody has damaged it: as good as none */
    int64_t kept = val_get_int(&v, STR("kept_ms"), 0);
    if (kept > now || now - kept >= ttl_ms)
        return RC_OK;
    m = val_map_new(a);
    VAL_MAP_SET(&m, "found", val_true);
    VAL_MAP_SET(&m, "kept_ms", val_int(kept));
    VAL_MAP_SET(&m, "run", val_str(val_get_str(&v, STR("run"), STR(""))));
    VAL_MAP_SET(&m, "result", *VAL_GET(&v, "result"));
    *ret = val_map_done(&m);
    return RC_OK;
}

static struct str entry_text(const struct val *req, int64_t ttl_ms, struct arena *a)
{
    static const char *const copied[] = {"step", "run", "result"};
    int64_t now = clock_wall_ms();
    struct val_map m = val_map_new(a);
    VAL_MAP_SET(&m, "until_ms", val_int(now + ttl_ms));
    VAL_MAP_SET(&m, "kept_ms", val_int(now));
    for (size_t i = 0; i < sizeof copied / sizeof *copied; i++) {
        const struct val *v = val_get(req, str_c(copied[i]));
        if (v)
            val_map_set(&m, str_c(copied[i]), *v);
    }
    struct val v = val_map_done(&m);
    return json_text(a, &v);
}

static enum rc keep(const struct beneath *home, int lock, struct str name, const struct val *req, int64_t ttl_ms,
                    struct arena *a, struct val *ret, struct err *err)
{
    int64_t max = val_get_int(req, STR("max_bytes"), CACHE_BYTES_MAX);
    struct str text = entry_text(req, ttl_ms, a);
    struct totals t;
    struct place p;
    if (text.n > CACHE_ENTRY_MAX || (int64_t)text.n > max)
        return err_set(err, RC_LIMIT, "it is larger than %lld bytes",
                       (long long)(max < CACHE_ENTRY_MAX ? max : CACHE_ENTRY_MAX));
    enum rc rc = beneath_locate(home, a, name, false, &p, err);
    if (rc != RC_OK)
        return rc;
    rc = place_put(&p, a, text, 0600, err);
    place_done(&p);
    if (rc != RC_OK)
        return rc;
    bool known = read_totals(lock, &t);
    t.n = known ? t.n + 1 : 0;
    t.bytes = known ? t.bytes + (int64_t)text.n : 0;
    if (!known || t.n > CACHE_ENTRIES_MAX || t.bytes > max)
        make_room(home->fd, max, arena_cstr(a, name), &t);
    write_totals(lock, &t);
    struct val_map m = val_map_new(a);
    VAL_MAP_SET(&m, "bytes", val_int((int64_t)text.n));
    *ret = val_map_done(&m);
    return RC_OK;
}

enum rc exec_cache(const struct val *req, const char *dir, bool keeps_only, struct arena *a, struct val *ret,
                   struct err *err)
{
    int64_t ttl = val_get_int(req, STR("ttl_ms"), 0);
    bool keeps = str_is(val_get_str(req, STR("op"), STR("find")), "keep");
    struct beneath home;
    struct str name;
    int lock = -1;
    if (!entry_name(req, a, &name) || ttl <= 0 || (keeps && !VAL_GET(req, "result")))
        return err_set(err, RC_INVALID, "a cached result needs an entry and a time to live");
    enum rc rc = kept_open(&home, a, dir, val_get_str(req, STR("workflow"), STR("")), err);
    if (rc == RC_OK && !keeps && keeps_only && !val_get_bool(req, STR("last_resort"), false))
        ttl = 0;
    if (rc == RC_OK && keeps)
        rc = kept_lock(&home, NULL, NULL, &lock, err);
    if (rc == RC_OK)
        rc = keeps ? keep(&home, lock, name, req, ttl, a, ret, err) : find(&home, name, ttl, a, ret, err);
    if (lock >= 0)
        close(lock);
    beneath_done(&home);
    return rc;
}

/* ---- pruning ---- */

/* 0 where it cannot be told: then it is of no use. */
static int64_t until_of(int dir, const char *name)
{
    char text[64] = "";
    int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    ssize_t n = fd >= 0 ? pread(fd, text, sizeof text - 1, 0) : -1;
    if (fd >= 0)
        close(fd);
    size_t at = sizeof first_key - 1;
    if (n <= (ssize_t)at || memcmp(text, first_key, at) != 0)
        return 0;
    return strtoll(text + at, NULL, 10);
}

static void prune_workflow(int dir, int64_t older_ms, bool dry, struct cache_pruned *done)
{
    int64_t now = clock_wall_ms();
    int lock = openat(dir, ".lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    struct listing l = {0};
    if (lock >= 0 && flock(lock, LOCK_EX | LOCK_NB) == 0)
        list(dir, &l);
    struct totals t = {(int64_t)l.n, l.bytes};
    for (size_t i = 0; i < l.n; i++) {
        bool old = l.v[i].kept_ns / 1000000 < older_ms || until_of(dir, l.v[i].name) <= now;
        if (!old || (!dry && unlinkat(dir, l.v[i].name, 0) != 0))
            continue;
        t.n--;
        t.bytes -= l.v[i].bytes;
        done->n++;
        done->bytes += l.v[i].bytes;
    }
    if (l.n && !dry)
        write_totals(lock, &t);
    if (lock >= 0)
        close(lock);
    free(l.v);
}

struct cache_pruned cache_prune(const char *dir, int64_t older_ms, bool dry)
{
    struct cache_pruned done = {0};
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d));) {
        if (e->d_name[0] == '.')
            continue;
        int fd = openat(dirfd(d), e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
            continue;
        prune_workflow(fd, older_ms, dry, &done);
        close(fd);
    }
    if (d)
        closedir(d);
    return done;
}
