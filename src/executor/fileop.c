/* The table of operations, and what they share: how a plan is carried out and settled.
 *
 * Operations that only look (list, validate) have no phases; their request is answered as it is. */
#include "executor/fileop_int.h"

#include "data/json.h"

#include <stdio.h>
#include <unistd.h>

static enum rc copy(struct fileop *op, struct val *ret, struct err *err)
{
    return fileop_transfer(op, false, ret, err);
}

static enum rc move(struct fileop *op, struct val *ret, struct err *err)
{
    return fileop_transfer(op, true, ret, err);
}

static const struct {
    const char *name;
    enum rc (*run)(struct fileop *op, struct val *ret, struct err *err);
    bool phases;
} operations[] = {
    {"copy", copy, true},
    {"stream_copy", copy, true},
    {"move", move, true},
    {"delete", fileop_delete, true},
    {"make_directory", fileop_make_directory, true},
    {"remove_directory", fileop_remove_directory, true},
    {"list", fileop_list, false},
    {"validate", fileop_validate, false},
    {"convert", fileop_convert, true},
    {"stream_process", fileop_process, true},
    {"stream_index", fileop_stream_index, false},
    {"stream_read", fileop_stream_read, false},
    {"stream_keep", fileop_stream_keep, false},
    {"stream_join", fileop_stream_join, true},
};

enum rc fileop_run(struct fileop *op, struct val *ret, struct err *err)
{
    struct str name = val_get_str(op->request, STR("operation"), STR(""));
    bool has_plan = val_is(op->plan, VAL_OBJECT);
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++) {
        if (!str_is(name, operations[i].name))
            continue;
        if (!operations[i].phases && op->phase != TOOL_APPLY)
            return err_set(err, RC_INVALID, "%s changes nothing and needs no preparation", operations[i].name);
        if (operations[i].phases && (op->phase == TOOL_PREPARE) == has_plan)
            return err_set(err, RC_INVALID, "%s needs a plan, from prepare", operations[i].name);
        return operations[i].run(op, ret, err);
    }
    return err_set(err, RC_INVALID, "there is no operation %.*s", (int)(name.n < 60 ? name.n : 60), name.p);
}

enum rc fileop_over(struct fileop *op, struct err *err)
{
    if (atomic_load_explicit(op->cancel, memory_order_relaxed))
        return err_set(err, RC_CANCELLED, "cancelled");
    return RC_OK;
}

struct val fileop_planned(struct fileop *op, const struct plan *p)
{
    struct val_map m = val_map_new(op->arena);
    VAL_MAP_SET(&m, "plan", plan_val(op->arena, p));
    return val_map_done(&m);
}

/* Which files: from the plan, so that they need not stand in it twice. */
static struct val files_of(struct fileop *op, const struct plan *p)
{
    struct val_list l = val_list_new(op->arena);
    for (size_t i = 0; i < p->n; i++) {
        const struct item *it = &p->item[i];
        struct val_map m = val_map_new(op->arena);
        if (it->kind == ITEM_DELETE) {
            val_list_push(&l, val_str(fileop_absolute(op, it->from)));
            continue;
        }
        VAL_MAP_SET(&m, "source", val_str(fileop_absolute(op, it->from)));
        VAL_MAP_SET(&m, "destination", val_str(fileop_absolute(op, it->to)));
        VAL_MAP_SET(&m, "size", val_int(it->stamp.size));
        val_list_push(&l, val_map_done(&m));
    }
    return val_list_done(&l);
}

struct val fileop_result(struct fileop *op, const struct plan *p)
{
    if (!VAL_GET(&p->result, "count"))
        return p->result;
    struct val_map m = val_map_new(op->arena);
    val_map_merge(&m, &p->result);
    VAL_MAP_SET(&m, "files", files_of(op, p));
    return val_map_done(&m);
}

enum rc fileop_carry_out(struct fileop *op, fileop_writer write, struct val *ret, struct err *err)
{
    struct plan p;
    enum rc rc = plan_read(op->arena, op->plan, &p, err);
    if (rc)
        return rc;
    if (op->phase == TOOL_APPLY) {
        rc = txn_apply(op, &p, write, err);
        *ret = fileop_result(op, &p);
        return rc;
    }
    const char *outcome;
    struct str what = {0};
    struct val_map m = val_map_new(op->arena);
    rc = txn_settle(op, &p, &outcome, &what, err);
    if (rc)
        return rc;
    VAL_MAP_SET(&m, "outcome", val_str(str_c(outcome)));
    if (what.n)
        VAL_MAP_SET(&m, "path", val_str(what));
    VAL_MAP_SET(&m, "result", fileop_result(op, &p));
    *ret = val_map_done(&m);
    return RC_OK;
}
