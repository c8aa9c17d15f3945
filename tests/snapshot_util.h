#pragma once
/* For tests of what is recorded of workspaces: a directory with a workspace and a store, and trees written as texts.
 *
 * A tree is one entry a word, in order of paths: `a.txt:644:content`, `dir/:755`, `link->target`. */
#include "executor/snapshot.h"

#include "base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <unistd.h>

struct place_of_test {
    char dir[40], root[60], store[60];
    struct arena arena;
    struct beneath workspace;
    struct snapshots s;
    struct err err;
};

#define OK(p, call)                                                  \
    do {                                                             \
        if ((call) != RC_OK)                                         \
            fail_msg("%s:%d: %s", __FILE__, __LINE__, (p)->err.msg); \
    } while (0)

static inline void test_reopen(struct place_of_test *p)
{
    snapshots_done(&p->s);
    OK(p, snapshots_init(&p->s, p->store, p->store, &p->workspace, &p->err));
}

static inline void test_begin(struct place_of_test *p)
{
    *p = (struct place_of_test){.dir = "/tmp/test_snapshot.XXXXXX"};
    umask(022);
    assert_non_null(mkdtemp(p->dir));
    snprintf(p->root, sizeof p->root, "%s/ws", p->dir);
    snprintf(p->store, sizeof p->store, "%s/store", p->dir);
    assert_int_equal(mkdir(p->root, 0755), 0);
    OK(p, beneath_init(&p->workspace, &p->arena, p->root, false, &p->err));
    OK(p, snapshots_init(&p->s, p->store, p->store, &p->workspace, &p->err));
}

static inline int test_remove_one(const char *path, const struct stat *st, int type, struct FTW *f)
{
    (void)st, (void)type, (void)f;
    return remove(path);
}

static inline void test_end(struct place_of_test *p)
{
    snapshots_done(&p->s);
    beneath_done(&p->workspace);
    arena_done(&p->arena);
    assert_int_equal(nftw(p->dir, test_remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

/* Writes a file (0644), making its directory, in the directory `root`. */
static inline void test_write(const char *root, const char *name, const char *text)
{
    char path[900];
    snprintf(path, sizeof path, "%s/%s", root, name);
    for (char *slash = path + strlen(root) + 1; (slash = strchr(slash, '/')); *slash++ = '/') {
        *slash = 0;
        assert_true(mkdir(path, 0755) == 0 || errno == EEXIST);
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
}

static inline int test_by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static inline void test_list(const char *root, const char *rel, struct buf *out)
{
    char path[400], own[300], text[300];
    struct dirent **v;
    snprintf(path, sizeof path, "%s/%s", root, rel);
    int n = scandir(path, &v, NULL, test_by_name);
    assert_true(n >= 0);
    for (int i = 0; i < n; i++) {
        const char *name = v[i]->d_name;
        struct stat st;
        bool dots = strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
        snprintf(own, sizeof own, "%s%.200s", rel, name);
        snprintf(path, sizeof path, "%s/%s", root, own);
        free(v[i]);
        if (dots)
            continue;
        assert_int_equal(lstat(path, &st), 0);
        buf_printf(out, "%s%s", out->n ? " " : "", own);
        if (S_ISLNK(st.st_mode)) {
            ssize_t k = readlink(path, text, sizeof text - 1);
            buf_printf(out, "->%.*s", (int)k, text);
        } else if (S_ISDIR(st.st_mode)) {
            buf_printf(out, "/:%o", st.st_mode & 07777u);
            snprintf(path, sizeof path, "%s/", own);
            test_list(root, path, out);
        } else {
            int fd = open(path, O_RDONLY | O_CLOEXEC);
            ssize_t k = fd < 0 ? -1 : read(fd, text, sizeof text);
            assert_true(k >= 0);
            close(fd);
            buf_printf(out, ":%o:%.*s", st.st_mode & 07777u, (int)k, text);
        }
    }
    free(v);
}

static inline void test_tree(const char *root, const char *expected)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    test_list(root, "", &b);
    assert_string_equal(b.n ? b.p : "", expected);
    buf_done(&b);
}

static inline struct sha256 test_take(struct place_of_test *p)
{
    struct sha256 id;
    OK(p, snapshot_take(&p->s, NULL, &id, &p->err));
    return id;
}

/* `+path`, `-path`, `~path` for what came, went, and is another, in order. */
static inline void test_changes(const struct changes *c, const char *expected)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    for (size_t i = 0; i < c->n; i++)
        buf_printf(&b, "%s%c%.*s", i ? " " : "",
                   c->v[i].before.type == NODE_NONE  ? '+'
                   : c->v[i].after.type == NODE_NONE ? '-'
                                                     : '~',
                   STR_ARG(c->v[i].path));
    assert_string_equal(b.n ? b.p : "", expected);
    buf_done(&b);
}
