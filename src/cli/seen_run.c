/* The owner is asked for before the row is read: an owner that ends in between has written its last row by then, so a
 * row that still says "running" without an owner really was left behind by a crash. */
#include "cli/seen_run.h"

#include "base/panic.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

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
    } else if (str_is(ret->row.status, "running") && !ret->owner) {
        ret->status = "interrupted";
    } else {
        ret->status = ret->row.status.p;
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
    static const char *const open[] = {"running", "starting", "waiting", "interrupted"};
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

static bool add(void *ctx, const struct home_run *h)
{
    struct all *l = ctx;
    if (l->n == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 32;
        struct seen_run *v = realloc(l->v, cap * sizeof *v);
        if (!v)
            PANIC("out of memory");
        l->v = v;
        l->cap = cap;
    }
    seen_run_read(h, l->a, &l->v[l->n++]);
    return true;
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

int64_t seen_run_size(const struct home_run *h)
{
    int64_t bytes = 0;
    DIR *d = opendir(h->dir);
    for (struct dirent *e; d && (e = readdir(d));) {
        struct stat st;
        if (e->d_name[0] != '.' && fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
            bytes += (int64_t)st.st_blocks * 512;
    }
    if (d)
        closedir(d);
    return bytes;
}
