/* A file counts with its length, however little of it is on the disk: what is bounded is what steps and people get to
 * read. What cannot be read is not counted. */
#include "executor/measure.h"

#include "base/clock.h"
#include "executor/walk.h"

#include <fcntl.h>

enum { MEASURE_MS = 60000 };

struct sum {
    int64_t bytes, files, max;
};

static bool add(void *ctx, const struct walk_file *f)
{
    struct sum *s = ctx;
    s->bytes += f->st->st_size;
    s->files++;
    return s->bytes <= s->max;
}

enum rc workspace_measure(const struct beneath *root, struct str below, int64_t max, const atomic_bool *cancel,
                          struct arena *a, struct val_map *m, struct err *err)
{
    struct sum s = {.max = max};
    struct tool_call call = {
        .arena = a, .root = root, .cwd = STR("."), .deadline_ms = clock_mono_ms() + MEASURE_MS, .cancel = cancel};
    struct walk w = {.call = &call, .file = add, .ctx = &s};
    int dir = -1;
    enum rc rc = below.n ? beneath_directory(root, below, &dir, err)
                         : beneath_open(root, STR("."), O_RDONLY | O_DIRECTORY, &dir, err);
    if (rc && !(below.n && rc == RC_NOT_FOUND)) /* what is gone holds nothing */
        return rc;
    if (rc == RC_OK)
        walk_run(&w, dir);
    if (atomic_load_explicit(cancel, memory_order_relaxed))
        return err_set(err, RC_CANCELLED, "cancelled");
    VAL_MAP_SET(m, "bytes", val_int(s.bytes));
    VAL_MAP_SET(m, "files", val_int(s.files));
    return RC_OK;
}
