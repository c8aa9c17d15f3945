/* The owner is asked for before the row is read: an owner that ends in between has written its last row by then, so a
 * row that still says "running" without an owner really was left behind by a crash. */
#include "cli/seen_run.h"

#include "base/log.h"
#include "base/panic.h"
#include "data/json.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct read_row {
    struct arena *a;
    struct seen_run *r;
    bool found;
};

static bool copy_row(void *ctx, const struct run_row *row)
{
    struct read_row *c = ctx;
    if (!str_is(row->id, c->r->home.id))
        return true;
    struct run_row *to = &c->r->row;
    *to = *row;
    struct str *texts[] = {&to->id, &to->workflow, &to->status, &to->workspace, &to->file, &to->error};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        *texts[i] = arena_str(c->a, *texts[i]);
    c->found = true;
    return false;
}

static void set_status(struct seen_run *r)
{
    r->status = str_is(r->row.status, "running") && !r->owner ? "interrupted" : r->row.status.p;
}

struct first_note {
    struct arena *a;
    struct str *mode;
};

/* A run's journal begins with the note of its first session, so this is one record. */
static bool first_record(void *ctx, const struct record *record)
{
    const struct first_note *n = ctx;
    struct arena scratch = {0};
    struct val v;
    struct err ignored;
    if (record->kind == RECORD_NOTE && json_parse(&scratch, record->data, &JSON_LIMITS_DEFAULT, &v, &ignored) == RC_OK)
        *n->mode = arena_str(n->a, val_get_str(VAL_GET(&v, "session"), STR("mode"), STR("")));
    arena_done(&scratch);
    return false;
}

static void set_mode(struct seen_run *r, struct store *s, struct arena *a)
{
    struct err err;
    struct first_note n = {a, &r->mode};
    if (store_each_record(s, str_c(r->home.id), 0, first_record, &n, &err) != RC_OK)
        log_line(LOG_WARN, "%s: %s", r->home.journal, err.msg);
}

void seen_run_read(const struct home_run *h, struct arena *a, struct seen_run *ret)
{
    struct store *s = NULL;
    struct err err;
    *ret = (struct seen_run){.home = *h, .owner = store_owner(h->journal)};
    struct read_row c = {.a = a, .r = ret};
    if (store_open(h->journal, STORE_READ, &s, &err) != RC_OK || store_each_run(s, copy_row, &c, &err) != RC_OK) {
        ret->status = "unreadable";
        ret->problem = arena_str(a, str_c(err.msg)).p;
    } else if (!c.found) {
        ret->status = ret->owner ? "starting" : "interrupted";
    } else {
        set_status(ret);
        set_mode(ret, s, a);
    }
    if (s)
        store_close(s);
    ret->row.id = arena_str(a, str_c(h->id));
    if (!ret->row.created_ms) {
        struct stat st;
        if (stat(h->journal, &st) == 0)
            ret->row.created_ms = ret->row.updated_ms = (int64_t)st.st_mtime * 1000;
    }
}

bool seen_run_open(const struct seen_run *r)
{
    static const char *const open[] = {"running", "starting", "waiting", "interrupted", "queued", "quarantined"};
    for (size_t i = 0; i < sizeof open / sizeof *open; i++)
        if (str_is(str_c(r->status), open[i]))
            return true;
    return false;
}

struct all {
    struct arena *a;
    struct seen_run *v;
    size_t n, cap;
};

static struct seen_run *add_room(struct all *l)
{
    if (l->n == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 32;
        struct seen_run *v = realloc(l->v, cap * sizeof *v);
        if (!v)
            PANIC("out of memory");
        l->v = v;
        l->cap = cap;
    }
    return &l->v[l->n++];
}

static bool add(void *ctx, const struct home_run *h)
{
    struct all *l = ctx;
    seen_run_read(h, l->a, add_room(l));
    return true;
}

/* ---- of the service ---- */

struct of_service {
    struct all *all;
    const char *journal;
    struct store *store;
    int owner;
};

static bool add_row(void *ctx, const struct run_row *row)
{
    struct of_service *o = ctx;
    struct home_run h;
    struct err ignored;
    if (home_run(row->id, &h, &ignored) != RC_OK)
        return true;
    snprintf(h.journal, sizeof h.journal, "%s", o->journal);
    h.of_service = true;
    struct seen_run *r = add_room(o->all);
    *r = (struct seen_run){.home = h, .owner = str_is(row->status, "running") ? o->owner : 0};
    copy_row(&(struct read_row){.a = o->all->a, .r = r}, row);
    set_status(r);
    set_mode(r, o->store, o->all->a);
    return true;
}

/* Without a service, or when its journal cannot be read, there are none. */
static bool add_service(void *ctx, const char *journal)
{
    struct store *s = NULL;
    struct err err;
    struct of_service o = {.all = ctx, .journal = journal, .owner = store_owner(journal)};
    enum rc rc = store_open(journal, STORE_READ, &s, &err);
    o.store = s;
    if (rc == RC_OK)
        rc = store_each_run(s, add_row, &o, &err);
    if (rc != RC_OK && rc != RC_NOT_FOUND)
        log_line(LOG_WARN, "%s: %s", journal, err.msg);
    if (s)
        store_close(s);
    return true;
}

struct search {
    struct str name;
    size_t hits;
    int64_t newest_ms;
    char id[80], journal[3200];
    const char *in;
};

/* Of a service whose runs are all there are. */
static bool newest(struct search *s, const struct run_row *row)
{
    if (!s->hits || row->updated_ms > s->newest_ms) {
        s->newest_ms = row->updated_ms;
        snprintf(s->id, sizeof s->id, "%.*s", STR_ARG(row->id));
        snprintf(s->journal, sizeof s->journal, "%s", s->in);
    }
    s->hits = 1;
    return true;
}

static bool match(void *ctx, const struct run_row *row)
{
    struct search *s = ctx;
    if (str_is(s->name, "last"))
        return newest(s, row);
    bool exact = str_eq(row->id, s->name);
    if (!exact && !(s->name.n && str_starts(row->id, s->name)))
        return true;
    s->hits = exact ? 1 : s->hits + 1;
    snprintf(s->id, sizeof s->id, "%.*s", STR_ARG(row->id));
    snprintf(s->journal, sizeof s->journal, "%s", s->in);
    return !exact;
}

static bool search_in(void *ctx, const char *journal)
{
    struct search *s = ctx;
    struct store *store = NULL;
    struct err ignored;
    s->in = journal;
    if (store_open(journal, STORE_READ, &store, &ignored) == RC_OK) {
        (void)!store_each_run(store, match, s, &ignored);
        store_close(store);
    }
    return !(s->hits == 1 && str_is(s->name, s->id));
}

enum rc seen_run_find(struct str name, struct home_run *ret, struct err *err)
{
    struct search s = {.name = name};
    struct err ignored;
    enum rc rc = home_find(name, ret, err);
    if (rc == RC_OK || home_services(search_in, &s, &ignored) != RC_OK || s.hits != 1)
        return rc;
    rc = home_run(str_c(s.id), ret, err);
    snprintf(ret->journal, sizeof ret->journal, "%s", s.journal);
    ret->of_service = true;
    return rc;
}

static int newest_first(const void *a, const void *b)
{
    const struct seen_run *x = a, *y = b;
    if (x->row.created_ms != y->row.created_ms)
        return (x->row.created_ms < y->row.created_ms) - (x->row.created_ms > y->row.created_ms);
    return strcmp(y->home.id, x->home.id);
}

enum rc seen_run_all(struct arena *a, struct seen_run **ret, size_t *ret_n, struct err *err)
{
    struct all l = {.a = a};
    enum rc rc = home_each(add, &l, err);
    if (rc == RC_OK)
        rc = home_services(add_service, &l, err);
    struct seen_run *v = arena_calloc(a, l.n + 1, sizeof *v);
    if (l.n) {
        memcpy(v, l.v, l.n * sizeof *v);
        qsort(v, l.n, sizeof *v, newest_first);
    }
    free(l.v);
    *ret = v;
    *ret_n = l.n;
    return rc;
}

enum { DEPTH_MAX = 100 };

static int64_t size_below(int dir, const char *name, int depth)
{
    int64_t bytes = 0;
    int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (!d && fd >= 0)
        close(fd);
    for (struct dirent *e; d && (e = readdir(d));) {
        struct stat st;
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
            fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        bool is_dir = S_ISDIR(st.st_mode);
        bytes += (int64_t)st.st_blocks * 512 / (is_dir || !st.st_nlink ? 1 : (int64_t)st.st_nlink);
        if (is_dir && depth < DEPTH_MAX)
            bytes += size_below(fd, e->d_name, depth + 1);
    }
    if (d)
        closedir(d);
    return bytes;
}

int64_t seen_run_size(const struct home_run *h)
{
    return size_below(AT_FDCWD, h->dir, 0);
}
