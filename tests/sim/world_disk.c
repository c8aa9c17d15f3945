/* The world's disk as a journal to read from: what has left the engine's memory comes from the records that are
 * durable. */
#include "sim/world.h"

#include "base/panic.h"

#include <stdlib.h>

static int by_path(const void *a, const void *b)
{
    const struct record *x = *(const struct record *const *)a, *y = *(const struct record *const *)b;
    int order = str_cmp(x->path, y->path);
    return order ? order : (x->attempt > y->attempt) - (x->attempt < y->attempt);
}

static enum rc read_disk(void *ctx, enum record_kind kind, struct str path, bool below,
                         bool (*cb)(void *ctx, const struct record *r), void *cb_ctx, struct err *err)
{
    struct world *w = ctx;
    (void)err;
    const struct record **found = calloc(w->ndisk + 1, sizeof *found);
    CHECK(found);
    size_t n = 0;
    for (size_t i = 0; i < w->ndisk; i++) {
        const struct record *r = &w->disk[i].r;
        bool under = str_starts(r->path, path) && r->path.n > path.n + 1 && r->path.p[path.n] == '/' &&
                     str_find(str_from(r->path, path.n + 1), STR("/")) == SIZE_MAX;
        if (r->kind == kind && w->disk[i].batch <= w->durable && (below ? under : str_eq(r->path, path)))
            found[n++] = r;
    }
    qsort(found, n, sizeof *found, by_path);
    for (size_t i = 0; i < n && cb(cb_ctx, found[i]); i++)
        ;
    free(found);
    return RC_OK;
}

struct away_reader world_reader(struct world *w)
{
    return (struct away_reader){w, read_disk};
}
