/* Problems go to standard error in the form that editors and terminals make clickable: file:line:column. Those of a
 * called workflow come before those of its caller, each with its own file. */
#include "cli/load.h"

#include "base/buf.h"
#include "cli/session.h"

#include <stdio.h>

enum { WORKFLOW_MAX = 64 << 20 };

struct loading {
    struct called_files *files;
    bool warn;
};

static void print(struct str file, struct str text, const struct problems *ps)
{
    struct buf out;
    buf_init(&out, (size_t)4 << 20);
    problems_print(&out, file, text, ps);
    fwrite(out.p ? out.p : "", 1, out.n, stderr);
    buf_done(&out);
}

static enum rc read_called(void *ctx, struct str dir, struct str name, bool stored, struct arena *a,
                           struct workflow_text *ret, struct err *err)
{
    return called_read(((struct loading *)ctx)->files, dir, name, stored, a, ret, err);
}

static void print_called(void *ctx, const struct workflow_text *t, const struct problems *ps)
{
    if (ps->errors || ((struct loading *)ctx)->warn)
        print(t->file, t->text, ps);
}

static int load(const struct workflow_text *t, bool warn, struct called_files *files, struct workflow **ret)
{
    struct arena a = {0};
    struct problems ps = {.a = &a};
    struct loading l = {files, warn};
    files->root_path = arena_str(files->a, t->path);
    *ret = workflow_load_with(t, &(struct workflow_reader){read_called, print_called, &l}, &ps);
    if (!*ret || warn)
        print(t->file, t->text, &ps);
    arena_done(&a);
    return *ret ? EXIT_OK : EXIT_USAGE;
}

int load_workflow_text(struct str text, const char *file, bool warn, struct called_files *files, struct workflow **ret)
{
    struct str path = files->root_path;
    return load(&(struct workflow_text){path, str_c(file), called_directory(path), text}, warn, files, ret);
}

int load_workflow(const char *path, bool warn, struct called_files *files, struct workflow **ret)
{
    struct arena a = {0};
    struct workflow_text t;
    struct err err;
    int code;
    if (read_file(path, WORKFLOW_MAX, &a, &t.text, &err) != RC_OK)
        code = fail(EXIT_USAGE, "%s", err.msg);
    else if (called_place(path, &a, &t, &err) != RC_OK) /* a pipe, say */
        code = fail(EXIT_USAGE, "%s", err.msg);
    else
        code = load(&t, warn, files, ret);
    arena_done(&a);
    return code;
}
