/* The part of a pattern before its first special character names a directory; below it names are sorted, so that the
 * same files give the same prompt. What is no text is named and left out. */
#include "executor/read_many.h"

#include "base/buf.h"
#include "executor/beneath.h"
#include "executor/decode.h"
#include "executor/files.h"
#include "executor/globmatch.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILES_MAX = 1000, ENTRIES_MAX = 50000, DEPTH_MAX = 32, BYTES_MAX = 4 << 20, FILE_MAX = 1 << 20 };

struct many {
    struct arena *a;
    const struct glob *glob; /* NULL: every file */
    struct str prefix;       /* what stands before the paths that are matched, with its `/` */
    struct val_list files;
    struct buf text;
    bool list_only;
    struct str encoding;
    size_t entries, left_out;
};

bool read_is_pattern(struct str path)
{
    for (size_t i = 0; i < path.n; i++)
        if (strchr("*?[{", path.p[i]))
            return true;
    return false;
}

static void take(struct many *m, int dir, const char *name, struct str shown)
{
    struct str text;
    struct err err;
    if (m->files.n == FILES_MAX || m->text.n > BYTES_MAX) {
        m->left_out++;
        return;
    }
    val_list_push(&m->files, val_str(shown));
    if (m->list_only)
        return;
    int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    enum rc rc = fd < 0 ? RC_IO : file_slurp(fd, FILE_MAX, m->a, &text, &err);
    if (fd >= 0)
        close(fd);
    buf_printf(&m->text, "%s=== %.*s ===\n", m->text.n ? "\n\n" : "", STR_ARG(shown));
    if (rc != RC_OK)
        buf_addz(&m->text, "(left out: cannot be read, or is too large)");
    else if (decode_text(m->a, text, m->encoding, &text, &err) != RC_OK || memchr(text.p, 0, text.n))
        buf_addz(&m->text, "(left out: no text)");
    else
        buf_add(&m->text, text);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Takes `fd`. Recursion is bounded by DEPTH_MAX. */
static void walk(struct many *m, int fd, struct str below, unsigned depth)
{
    DIR *d = fdopendir(fd);
    const char **names = arena_calloc(m->a, 1, sizeof *names);
    size_t n = 0, cap = 1;
    if (!d) {
        close(fd);
        return;
    }
    for (struct dirent *e; (e = readdir(d)) && m->entries < ENTRIES_MAX; m->entries++) {
        if (e->d_name[0] == '.')
            continue;
        if (n == cap) {
            const char **more = arena_calloc(m->a, 2 * cap, sizeof *more);
            memcpy(more, names, n * sizeof *names);
            names = more;
            cap *= 2;
        }
        names[n++] = arena_cstr(m->a, str_c(e->d_name));
    }
    qsort(names, n, sizeof *names, by_name);
    for (size_t i = 0; i < n; i++) {
        struct stat st;
        struct str path = below.n ? arena_printf(m->a, "%.*s/%s", STR_ARG(below), names[i]) : str_c(names[i]);
        if (fstatat(dirfd(d), names[i], &st, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        if (S_ISREG(st.st_mode) && (!m->glob || glob_match(m->glob, path)))
            take(m, dirfd(d), names[i], arena_printf(m->a, "%.*s%.*s", STR_ARG(m->prefix), STR_ARG(path)));
        else if (S_ISDIR(st.st_mode) && depth < DEPTH_MAX && (!m->glob || glob_may_enter(m->glob, path))) {
            int inner = openat(dirfd(d), names[i], O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
            if (inner >= 0)
                walk(m, inner, path, depth + 1);
        }
    }
    closedir(d);
}

static size_t prefix_length(struct str path)
{
    size_t n = 0;
    for (size_t i = 0; i < path.n && !strchr("*?[{", path.p[i]); i++)
        if (path.p[i] == '/')
            n = i + 1;
    return n;
}

static void look_below(struct many *m, const char *dir)
{
    const char *slash = dir[0] && m->prefix.n ? "/" : "";
    struct str at = arena_printf(m->a, "%s%s%.*s", dir, slash, STR_ARG(m->prefix));
    int fd = open(at.n ? at.p : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0)
        walk(m, fd, STR(""), 0);
}

static void look_beneath(struct many *m, const char *dir)
{
    struct beneath b;
    struct str rel;
    struct err err;
    int fd = -1;
    if (beneath_init(&b, m->a, dir, false, &err) != RC_OK)
        return;
    if (beneath_relative(&b, m->a, STR("."), m->prefix.n ? m->prefix : STR("."), &rel, &err) == RC_OK &&
        beneath_open(&b, rel, O_RDONLY | O_DIRECTORY, &fd, &err) == RC_OK)
        walk(m, fd, STR(""), 0);
    beneath_done(&b);
}

enum rc read_many(struct str path, const char *const *dirs, bool beneath, bool list_only, struct str encoding,
                  struct arena *a, struct val *ret, struct err *err)
{
    static const char *const root[] = {"", NULL};
    struct many m = {.a = a, .list_only = list_only, .encoding = encoding, .files = val_list_new(a)};
    enum rc rc = RC_OK;
    if (read_is_pattern(path)) {
        size_t n = prefix_length(path);
        m.prefix = str_n(path.p, n);
        rc = glob_compile(a, str_from(path, n), &m.glob, err);
    } else {
        while (path.n > 1 && path.p[path.n - 1] == '/')
            path.n--;
        m.prefix = arena_printf(a, "%.*s/", STR_ARG(path));
    }
    if (rc != RC_OK)
        return rc;
    buf_init(&m.text, BYTES_MAX + 2 * FILE_MAX);
    for (const char *const *d = !beneath && path.n && path.p[0] == '/' ? root : dirs; *d && !m.files.n; d++)
        (beneath ? look_beneath : look_below)(&m, *d);
    if (m.left_out)
        buf_printf(&m.text, "\n\n(%zu more files are left out)", m.left_out);
    struct val_map o = val_map_new(a);
    bool any = m.files.n > 0;
    VAL_MAP_SET(&o, "files", val_list_done(&m.files));
    VAL_MAP_SET(&o, "path", val_str(path));
    if (!list_only)
        VAL_MAP_SET(&o, "text", val_str(arena_str(a, buf_str(&m.text))));
    buf_done(&m.text);
    *ret = val_map_done(&o);
    return any || list_only ? RC_OK : err_set(err, RC_NOT_FOUND, "no file matches %.*s", STR_ARG(path));
}
