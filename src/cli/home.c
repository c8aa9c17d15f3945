/* The state directory lies outside of every workspace, so that no tool of a run can reach a journal. */
#include "cli/home.h"

#include "base/sha256.h"
#include "role/run_id.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ID_MAX = 64, RUNS_MAX = 1000000 };

static enum rc make_dirs(char *path, struct err *err)
{
    for (char *c = path + 1;; c++) {
        if (*c != '/' && *c)
            continue;
        char kept = *c;
        *c = 0;
        int failed = mkdir(path, 0700) != 0 && errno != EEXIST;
        int e = errno;
        *c = kept;
        if (failed)
            return err_set(err, RC_IO, "cannot make the state directory %s: %s; set TREADLE_HOME to a writable one",
                           path, strerror(e));
        if (!kept)
            return RC_OK;
    }
}

enum rc home_dir(char *ret, size_t size, struct err *err)
{
    const char *home = getenv("TREADLE_HOME"), *xdg = getenv("XDG_STATE_HOME"), *user = getenv("HOME");
    char cwd[2048] = "";
    int n;
    if (home && *home) {
        bool absolute = home[0] == '/';
        if (!absolute && !getcwd(cwd, sizeof cwd))
            return err_set(err, RC_IO, "cannot tell the current directory: %s", strerror(errno));
        n = snprintf(ret, size, "%s%s%s", cwd, absolute ? "" : "/", home);
    } else if (xdg && xdg[0] == '/') {
        n = snprintf(ret, size, "%s/treadle", xdg);
    } else if (user && user[0] == '/') {
        n = snprintf(ret, size, "%s/.local/state/treadle", user);
    } else {
        return err_set(err, RC_IO,
                       "neither TREADLE_HOME, XDG_STATE_HOME nor HOME is set; set TREADLE_HOME to a directory");
    }
    if (n < 0 || (size_t)n + 16 >= size || n > 2048)
        return err_set(err, RC_IO, "the state directory's name is too long");
    return RC_OK;
}

enum rc home_make(char *ret, size_t size, struct err *err)
{
    enum rc rc = home_dir(ret, size, err);
    return rc == RC_OK ? make_dirs(ret, err) : rc;
}

enum rc home_run(struct str id, struct home_run *ret, struct err *err)
{
    char home[2100];
    enum rc rc = home_dir(home, sizeof home, err);
    if (rc != RC_OK)
        return rc;
    bool good = id.n > 0 && id.n <= ID_MAX && id.p[0] != '.';
    for (size_t i = 0; i < id.n; i++) {
        char c = id.p[i];
        good &= (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
                c == '-';
    }
    if (!good)
        return err_set(err, RC_USAGE,
                       "`%.*s` cannot be a run's id; expected at most %d letters, digits, `_`, `-` or `.`", STR_ARG(id),
                       ID_MAX);
    snprintf(ret->id, sizeof ret->id, "%.*s", STR_ARG(id));
    snprintf(ret->dir, sizeof ret->dir, "%s/runs/%s", home, ret->id);
    snprintf(ret->journal, sizeof ret->journal, "%s/journal.db", ret->dir);
    ret->of_service = false;
    return RC_OK;
}

enum rc home_run_named(const char *id, struct home_run *ret, struct err *err)
{
    char fresh[80];
    run_id_new(fresh, sizeof fresh);
    if (id && strcmp(id, "last") == 0)
        return err_set(err, RC_USAGE, "`last` means the newest run, so no run can be called that");
    return home_run(str_c(id ? id : fresh), ret, err);
}

enum rc home_run_create(struct home_run *r, struct err *err)
{
    if (mkdir(r->dir, 0700) == 0)
        return RC_OK;
    if (errno == ENOENT) {
        char parent[3072];
        size_t n = strlen(r->dir) - strlen(r->id) - 1;
        snprintf(parent, sizeof parent, "%.*s", (int)n, r->dir);
        enum rc rc = make_dirs(parent, err);
        if (rc != RC_OK)
            return rc;
        if (mkdir(r->dir, 0700) == 0)
            return RC_OK;
    }
    if (errno == EEXIST)
        return err_set(err, RC_EXISTS, "there is a run %s already; treadle resume %s goes on with it", r->id, r->id);
    return err_set(err, rc_of_errno(errno), "cannot make %s: %s", r->dir, strerror(errno));
}

struct listed {
    char *id;
    int64_t changed; /* when its journal was last written, ns */
};
struct listing {
    struct listed *v;
    size_t n, cap;
};

static int newest_first(const void *a, const void *b)
{
    const struct listed *x = a, *y = b;
    return x->changed != y->changed ? (x->changed < y->changed) - (x->changed > y->changed) : strcmp(y->id, x->id);
}

static int64_t changed_ns(const char *runs, const char *name, const char *file, off_t least)
{
    char path[4096];
    struct stat st;
    snprintf(path, sizeof path, "%s/%s/%s", runs, name, file);
    if (stat(path, &st) != 0 || st.st_size < least)
        return -1;
    return (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
}

static void listing_add(struct listing *l, const char *runs, const char *name)
{
    int64_t changed = changed_ns(runs, name, "journal.db", 0), wal;
    if (changed < 0)
        return; /* somebody else's, or a run that never began */
    /* Where a living owner writes. Readers leave an empty one behind, which says nothing. */
    wal = changed_ns(runs, name, "journal.db-wal", 1);
    if (wal > changed)
        changed = wal;
    if (l->n == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 64;
        struct listed *v = realloc(l->v, cap * sizeof *v);
        if (!v)
            return;
        l->v = v;
        l->cap = cap;
    }
    char *id = strdup(name);
    if (id)
        l->v[l->n++] = (struct listed){id, changed};
}

static enum rc list(struct listing *l, struct err *err)
{
    char home[2100], runs[2200];
    enum rc rc = home_dir(home, sizeof home, err);
    if (rc != RC_OK)
        return rc;
    snprintf(runs, sizeof runs, "%s/runs", home);
    DIR *d = opendir(runs);
    if (!d)
        return errno == ENOENT ? RC_OK : err_set(err, RC_IO, "cannot read %s: %s", runs, strerror(errno));
    for (struct dirent *e; (e = readdir(d)) && l->n < RUNS_MAX;) {
        if (e->d_name[0] != '.')
            listing_add(l, runs, e->d_name);
    }
    closedir(d);
    if (l->n)
        qsort(l->v, l->n, sizeof *l->v, newest_first);
    return RC_OK;
}

static void listing_done(struct listing *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->v[i].id);
    free(l->v);
}

enum rc home_each(bool (*cb)(void *ctx, const struct home_run *r), void *ctx, struct err *err)
{
    struct listing l = {0};
    enum rc rc = list(&l, err);
    for (size_t i = 0; rc == RC_OK && i < l.n; i++) {
        struct home_run r;
        struct err ignored; /* a stray directory of somebody else */
        if (home_run(str_c(l.v[i].id), &r, &ignored) == RC_OK && !cb(ctx, &r))
            break;
    }
    listing_done(&l);
    return rc;
}

static enum rc pick(const struct listing *l, struct str name, struct home_run *ret, struct err *err)
{
    size_t hits = 0, hit = 0, nearest = SIZE_MAX;
    unsigned best = 4;
    for (size_t i = 0; i < l->n; i++) {
        struct str id = str_c(l->v[i].id);
        if (str_eq(id, name) || (str_is(name, "last") && i == 0))
            return home_run(id, ret, err);
        if (name.n && str_starts(id, name)) {
            hits++;
            hit = i;
        }
        unsigned d = str_distance(id, name, best);
        if (d < best) {
            best = d;
            nearest = i;
        }
    }
    if (hits == 1)
        return home_run(str_c(l->v[hit].id), ret, err);
    if (hits > 1)
        return err_set(err, RC_NOT_FOUND,
                       "%zu runs begin with `%.*s`; give more of the id (treadle ps --all lists them)", hits,
                       STR_ARG(name));
    return err_set(err, RC_NOT_FOUND, "there is no run `%.*s`%s%s%s treadle ps --all lists them", STR_ARG(name),
                   nearest != SIZE_MAX ? "; did you mean " : "", nearest != SIZE_MAX ? l->v[nearest].id : "",
                   nearest != SIZE_MAX ? "?" : ";");
}

enum rc home_service(char *ret, size_t size, struct err *err)
{
    char home[2100];
    enum rc rc = home_dir(home, sizeof home, err);
    if (rc == RC_OK)
        snprintf(ret, size, "%s/service.db", home);
    return rc;
}

enum rc home_service_add(const char *journal, struct err *err)
{
    char usual[2200], link[2300];
    struct sha256 h = sha256_of(str_c(journal));
    struct sha256_hex x = sha256_hex(&h);
    enum rc rc = home_service(usual, sizeof usual, err);
    if (rc != RC_OK || strcmp(usual, journal) == 0)
        return rc;
    snprintf(link, sizeof link, "%.*s/services", (int)(strrchr(usual, '/') - usual), usual);
    rc = make_dirs(link, err);
    if (rc != RC_OK)
        return rc;
    snprintf(link + strlen(link), sizeof link - strlen(link), "/%.16s", x.z);
    if (symlink(journal, link) != 0 && errno != EEXIST)
        return err_set(err, RC_IO, "cannot make %s: %s", link, strerror(errno));
    return RC_OK;
}

enum rc home_services(bool (*cb)(void *ctx, const char *journal), void *ctx, struct err *err)
{
    char journal[4096], links[2300], path[4096];
    enum rc rc = home_service(journal, sizeof journal, err);
    if (rc != RC_OK || !cb(ctx, journal))
        return rc;
    snprintf(links, sizeof links, "%.*s/services", (int)(strrchr(journal, '/') - journal), journal);
    DIR *d = opendir(links);
    for (struct dirent *e; d && (e = readdir(d));) {
        snprintf(path, sizeof path, "%s/%s", links, e->d_name);
        ssize_t n = e->d_name[0] == '.' ? -1 : readlink(path, journal, sizeof journal - 1);
        struct stat st;
        if (n <= 0)
            continue;
        journal[n] = 0;
        if (stat(journal, &st) == 0 && !cb(ctx, journal))
            break;
    }
    if (d)
        closedir(d);
    return RC_OK;
}

/* It has a directory and no journal, and there is a service's. */
static bool is_of_service(struct str name)
{
    struct home_run r;
    struct err ignored;
    char service[2200];
    struct stat st;
    return home_run(name, &r, &ignored) == RC_OK && home_service(service, sizeof service, &ignored) == RC_OK &&
           stat(service, &st) == 0 && stat(r.dir, &st) == 0 && stat(r.journal, &st) != 0;
}

enum rc home_find(struct str name, struct home_run *ret, struct err *err)
{
    struct listing l = {0};
    enum rc rc = list(&l, err);
    if (rc == RC_OK)
        rc = pick(&l, name, ret, err);
    listing_done(&l);
    if (rc == RC_NOT_FOUND && is_of_service(name))
        return err_set(err, RC_USAGE,
                       "%.*s is a run of the service, which alone changes it; treadle cancel, resume, approve, reject "
                       "and signal ask it to, or POST /v1/runs/%.*s/resume and the like; treadle show explains it",
                       STR_ARG(name), STR_ARG(name));
    return rc;
}
