/* A page is one short read: it ends after so many runs, found or looked at, and says where the next one begins. So no
 * reader holds the journal's log, however many runs there are and however few have the status that is asked for. */
#include "api/list.h"

enum { PAGE = 50, PAGE_MAX = 200, LOOKED_AT_MAX = 5000, NAME_MAX_BYTES = 80 };

struct page {
    struct arena *a;
    struct val_list runs;
    struct str status, before, last; /* last: of those looked at */
    int64_t limit, looked;
    bool more;
};

static bool add(void *ctx, const struct run_row *row)
{
    struct page *p = ctx;
    if ((int64_t)p->runs.n == p->limit || p->looked == LOOKED_AT_MAX) {
        p->more = true;
        return false;
    }
    p->looked++;
    p->last = arena_str(p->a, row->id);
    if (p->status.n && !str_eq(p->status, row->status))
        return true;
    struct val_map m = val_map_new(p->a), u = val_map_new(p->a);
    VAL_MAP_SET(&m, "run_id", val_str(p->last));
    VAL_MAP_SET(&m, "workflow", val_str(arena_str(p->a, row->workflow)));
    VAL_MAP_SET(&m, "status", val_str(arena_str(p->a, row->status)));
    VAL_MAP_SET(&m, "created_ms", val_int(row->created_ms));
    VAL_MAP_SET(&m, "updated_ms", val_int(row->updated_ms));
    VAL_MAP_SET(&m, "steps_done", val_int(row->steps_done));
    if (row->error.n) {
        struct val_map e = val_map_new(p->a);
        VAL_MAP_SET(&e, "message", val_str(arena_str(p->a, row->error)));
        VAL_MAP_SET(&m, "error", val_map_done(&e));
    }
    VAL_MAP_SET(&u, "input_tokens", val_int(row->input_tokens));
    VAL_MAP_SET(&u, "output_tokens", val_int(row->output_tokens));
    VAL_MAP_SET(&u, "cost_usd", val_double(row->cost_usd));
    VAL_MAP_SET(&m, "usage", val_map_done(&u));
    val_list_push(&p->runs, val_map_done(&m));
    return true;
}

/* Statuses and ids need no escapes. */
static enum rc read_query(struct page *p, struct str query, struct err *err)
{
    static const char *const statuses[] = {"queued", "running",   "waiting",     "succeeded",
                                           "failed", "cancelled", "interrupted", "quarantined"};
    while (query.n) {
        size_t end = str_find(query, STR("&"));
        struct str one = end == SIZE_MAX ? query : str_n(query.p, end);
        size_t eq = str_find(one, STR("="));
        struct str name = eq == SIZE_MAX ? one : str_n(one.p, eq), v = eq == SIZE_MAX ? STR("") : str_from(one, eq + 1);
        bool known = false;
        query = end == SIZE_MAX ? STR("") : str_from(query, end + 1);
        if (str_is(name, "limit") && str_to_i64(v, &p->limit) && p->limit >= 1 && p->limit <= PAGE_MAX)
            continue;
        for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++)
            known |= str_is(v, statuses[i]);
        if (str_is(name, "status") && known)
            p->status = v;
        else if (str_is(name, "before") && v.n && v.n <= NAME_MAX_BYTES)
            p->before = v;
        else if (one.n)
            return err_set(err, RC_INVALID,
                           "`%.*s` in the query; expected limit=1…200, before=RUN (the `next` of the page before) or "
                           "status=queued, running, waiting, succeeded, failed, cancelled, interrupted or quarantined",
                           (int)(one.n < 60 ? one.n : 60), one.p);
    }
    return RC_OK;
}

enum rc list_runs(struct store *s, struct str query, struct arena *a, struct val *ret, struct err *err)
{
    struct page p = {.a = a, .runs = val_list_new(a), .limit = PAGE};
    struct run_row row;
    enum rc rc = read_query(&p, query, err);
    if (rc == RC_OK && p.before.n && (rc = store_run(s, p.before, a, &row, err)) == RC_NOT_FOUND)
        rc = err_set(err, RC_INVALID, "no run is called `%.*s`; expected before=RUN with the `next` of the page before",
                     STR_ARG(p.before));
    if (rc == RC_OK)
        rc = store_each_run_back(s, p.before, add, &p, err);
    struct val_map m = val_map_new(a);
    VAL_MAP_SET(&m, "runs", val_list_done(&p.runs));
    if (p.more)
        VAL_MAP_SET(&m, "next", val_str(p.last));
    *ret = val_map_done(&m);
    return rc;
}
