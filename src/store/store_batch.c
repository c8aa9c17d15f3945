/* Batches: operations in an arena of their own, in the order in which they were added. Sizes are checked here, so that
 * nothing oversized reaches SQLite; the failure itself waits for the submit, where somebody listens. */
#include "base/panic.h"
#include "data/val_cover.h"
#include "store/store_internal.h"

#include <stdlib.h>

enum { BATCH_MAGIC = 0x42617463 };

struct store_batch *store_batch_new(void)
{
    struct store_batch *b = calloc(1, sizeof *b);
    if (!b)
        PANIC("out of memory");
    b->magic = BATCH_MAGIC;
    b->last = &b->first;
    return b;
}

void store_batch_free(struct store_batch *b)
{
    if (!b)
        return;
    CHECK_OBJ(b, BATCH_MAGIC);
    arena_done(&b->arena);
    free(b->err);
    b->magic = 0;
    free(b);
}

size_t store_batch_size(const struct store_batch *b)
{
    return b->count;
}

/* Room for one more operation, or NULL when a text of `n` bytes is too much for it. */
static struct op *add(struct store_batch *b, enum op_type type, size_t longest_text, size_t data)
{
    CHECK_OBJ(b, BATCH_MAGIC);
    if (longest_text > STORE_TEXT_MAX || data > STORE_DATA_MAX)
        b->too_large = true;
    if (b->too_large)
        return NULL;
    struct op *op = ARENA_NEW(&b->arena, struct op);
    op->type = type;
    *b->last = op;
    b->last = &op->next;
    b->count++;
    return op;
}

static size_t longer(size_t a, size_t b)
{
    return a > b ? a : b;
}

void store_batch_record(struct store_batch *b, struct str run, const struct record *r)
{
    struct op *op = add(b, OP_RECORD, longer(run.n, r->path.n), r->data.n);
    if (!op)
        return;
    op->run = arena_str(&b->arena, run);
    op->record = *r;
    op->record.path = arena_str(&b->arena, r->path);
    op->record.data = arena_str(&b->arena, json_covered(&b->arena, r->data));
}

void store_batch_run(struct store_batch *b, const struct run_row *row)
{
    size_t most = 0;
    const struct str text[] = {row->id,   row->workflow, row->status,  row->workspace,
                               row->file, row->error,    row->service, row->idem};
    for (size_t i = 0; i < sizeof text / sizeof *text; i++)
        most = longer(most, text[i].n);
    struct op *op = add(b, OP_RUN, most, 0);
    if (!op)
        return;
    struct run_row *to = &op->row;
    *to = *row;
    struct str *copy[] = {&to->id,   &to->workflow, &to->status,  &to->workspace,
                          &to->file, &to->error,    &to->service, &to->idem};
    for (size_t i = 0; i < sizeof copy / sizeof *copy; i++)
        *copy[i] = arena_str(&b->arena, *copy[i]);
}

void store_batch_blob(struct store_batch *b, struct str data)
{
    struct op *op = add(b, OP_BLOB, 0, data.n);
    if (op)
        op->blob = arena_str(&b->arena, data);
}

void batch_list_add(struct batch_list *l, struct store_batch *b)
{
    b->next = NULL;
    if (l->last)
        l->last->next = b;
    else
        l->first = b;
    l->last = b;
}

void batch_fail(struct store_batch *b, const struct err *err)
{
    b->rc = err->rc;
    if (!b->err && !(b->err = malloc(sizeof *b->err)))
        PANIC("out of memory");
    *b->err = *err;
}
