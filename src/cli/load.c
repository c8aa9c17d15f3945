/* Problems go to standard error in the form that editors and terminals make clickable: file:line:column. */
#include "cli/load.h"

#include "base/buf.h"
#include "cli/session.h"

#include <stdio.h>

enum { WORKFLOW_MAX = 64 << 20 };

int load_workflow_text(struct str text, const char *file, bool warn, struct workflow **ret)
{
    struct arena a = {0};
    struct problems ps = {.a = &a};
    struct buf out;
    buf_init(&out, (size_t)4 << 20);
    *ret = workflow_load(text, str_c(file), &ps);
    if (!*ret || warn)
        problems_print(&out, str_c(file), text, &ps);
    fwrite(out.p ? out.p : "", 1, out.n, stderr);
    buf_done(&out);
    arena_done(&a);
    return *ret ? EXIT_OK : EXIT_USAGE;
}

int load_workflow(const char *path, bool warn, struct workflow **ret)
{
    struct arena a = {0};
    struct str text;
    struct err err;
    int code = read_file(path, WORKFLOW_MAX, &a, &text, &err) == RC_OK ? load_workflow_text(text, path, warn, ret)
                                                                       : fail(EXIT_USAGE, "%s", err.msg);
    arena_done(&a);
    return code;
}
