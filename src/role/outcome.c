/* One shape for what became of a run, wherever it is asked for. */
#include "role/outcome.h"

#include "data/val_cover.h"
#include "flow/units.h"

struct val outcome_usage(const struct run *run, struct arena *a)
{
    struct run_totals t = run_totals(run);
    struct val_map u = val_map_new(a);
    VAL_MAP_SET(&u, "calls", val_int(t.calls));
    VAL_MAP_SET(&u, "input_tokens", val_int(t.input_tokens));
    VAL_MAP_SET(&u, "output_tokens", val_int(t.output_tokens));
    VAL_MAP_SET(&u, "cache_read_tokens", val_int(t.cache_read_tokens));
    VAL_MAP_SET(&u, "cache_write_tokens", val_int(t.cache_write_tokens));
    VAL_MAP_SET(&u, "cost_usd", t.cost_unknown ? val_null : val_double(units_usd_sum(t.cost_usd)));
    return val_map_done(&u);
}

struct val outcome_of(const struct run *run, struct str id, struct arena *a)
{
    struct val_map m = val_map_new(a);
    VAL_MAP_SET(&m, "run_id", val_str(id));
    VAL_MAP_SET(&m, "status", val_str(str_c(run_status_name(run_status(run)))));
    VAL_MAP_SET(&m, "results", run_results(run, a));
    if (run_output(run))
        VAL_MAP_SET(&m, "output", *run_output(run));
    if (run_error(run))
        VAL_MAP_SET(&m, "error", *run_error(run));
    VAL_MAP_SET(&m, "usage", outcome_usage(run, a));
    struct val v = val_map_done(&m);
    return val_covered(a, &v); /* templates can put together what came in pieces */
}
