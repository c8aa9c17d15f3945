/* Depth first, each directory read whole and sorted before its entries are visited: the order, and with it what a
 * limit cuts off, is then the same on every machine. Open descriptors are bounded by the depth. */
#include "executor/walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum { MAX_DEPTH = 64, MAX_SEEN = 1000000, MAX_IN_ONE = 200000 };

struct listing {
    struct arena arena;
    const char **name; /* each with its d_type in the byte before it, so that sorting names is enough */
    size_t n, cap;
};

static const char *const skipped[] = {".git", ".hg", ".svn", ".jj"};

static bool is_skipped(const char *name)
{
    for (size_t i = 0; i < sizeof skipped / sizeof *skipped; i++)
        if (strcmp(name, skipped[i]) == 0)
            return true;
    return false;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void list_directory(struct walk *w, DIR *d, struct listing *l)
{
    struct dirent *de;
    while ((de = readdir(d))) {
        if (strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0)
            continue;
        if (l->n == MAX_IN_ONE || w->seen + l->n >= MAX_SEEN) {
            w->cut = "there are too many files";
            break;
        }
        if (l->n == l->cap) {
            size_t cap = l->cap ? l->cap * 2 : 64;
            const char **name = arena_calloc(&l->arena, cap, sizeof *name);
            if (l->n)
                memcpy(name, l->name, l->n * sizeof *name);
            l->name = name, l->cap = cap;
        }
        size_t n = strlen(de->d_name);
        char *copy = arena_alloc(&l->arena, n + 2);
        copy[0] = (char)de->d_type;
        memcpy(copy + 1, de->d_name, n + 1);
        l->name[l->n++] = copy + 1;
    }
    w->seen += l->n;
    if (l->n)
        qsort(l->name, l->n, sizeof *l->name, by_name);
}

static bool visit(struct walk *w, int dir, struct str path, unsigned depth);

static bool visit_entry(struct walk *w, int dir, struct str base, const char *name, unsigned depth)
{
    struct arena scratch = {0};
    unsigned char type = (unsigned char)name[-1];
    struct stat st;
    bool go_on = true;
    if (type != DT_UNKNOWN && type != DT_REG && type != DT_DIR)
        return true;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return true; /* gone meanwhile */
    struct str path = base.n ? arena_printf(&scratch, "%.*s/%s", STR_ARG(base), name) : str_c(name);
    if (S_ISREG(st.st_mode)) {
        struct walk_file f = {.path = path, .dir = dir, .name = name, .st = &st};
        go_on = w->file(w->ctx, &f);
    } else if (S_ISDIR(st.st_mode) && !is_skipped(name) && (!w->enter || w->enter(w->ctx, path))) {
        int sub = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (depth == MAX_DEPTH) {
            w->cut = "directories nest too deeply";
            if (sub >= 0)
                close(sub);
        } else if (sub >= 0) {
            go_on = visit(w, sub, path, depth + 1);
        } else {
            w->unreadable++;
        }
    }
    arena_done(&scratch);
    return go_on;
}

static bool visit(struct walk *w, int dir, struct str path, unsigned depth)
{
    struct listing l = {0};
    DIR *d = fdopendir(dir);
    bool go_on = true;
    if (!d) {
        close(dir);
        w->unreadable++;
        return true;
    }
    list_directory(w, d, &l);
    for (size_t i = 0; i < l.n && go_on; i++) {
        go_on = visit_entry(w, dir, path, l.name[i], depth);
        const char *over = go_on ? tool_over_reason(w->call) : NULL;
        if (over)
            w->cut = over, go_on = false;
    }
    closedir(d);
    arena_done(&l.arena);
    return go_on;
}

void walk_run(struct walk *w, int dir)
{
    w->cut = NULL;
    w->unreadable = 0;
    w->seen = 0;
    (void)visit(w, dir, str_n("", 0), 0);
}
