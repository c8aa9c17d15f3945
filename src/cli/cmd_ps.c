/* ps: what runs, what waits, what ended lately. */
#include "base/clock.h"
#include "cli/commands.h"
#include "cli/human.h"
#include "cli/said.h"
#include "cli/seen_run.h"
#include "cli/session.h"
#include "data/json.h"

#include <stdio.h>
#include <unistd.h>

static const int64_t RECENT_MS = 24 * 3600 * (int64_t)1000;

static struct val row_value(struct arena *a, const struct seen_run *r)
{
    struct val_map m = val_map_new(a);
    VAL_MAP_SET(&m, "run_id", val_str(r->row.id));
    VAL_MAP_SET(&m, "workflow", val_str(r->row.workflow));
    VAL_MAP_SET(&m, "status", val_str(str_c(r->status)));
    VAL_MAP_SET(&m, "mode", r->mode.n ? val_str(r->mode) : val_null);
    VAL_MAP_SET(&m, "owner_pid", r->owner ? val_int(r->owner) : val_null);
    VAL_MAP_SET(&m, "file", val_str(r->row.file));
    VAL_MAP_SET(&m, "workspace", val_str(r->row.workspace));
    VAL_MAP_SET(&m, "directory", val_str(arena_str(a, str_c(r->home.dir))));
    VAL_MAP_SET(&m, "created_ms", val_int(r->row.created_ms));
    VAL_MAP_SET(&m, "updated_ms", val_int(r->row.updated_ms));
    VAL_MAP_SET(&m, "steps_done", val_int(r->row.steps_done));
    VAL_MAP_SET(&m, "input_tokens", val_int(r->row.input_tokens));
    VAL_MAP_SET(&m, "output_tokens", val_int(r->row.output_tokens));
    VAL_MAP_SET(&m, "cost_usd", val_double(r->row.cost_usd));
    struct str error = r->problem ? str_c(r->problem) : r->row.error;
    if (error.n)
        VAL_MAP_SET(&m, "error", val_str(error));
    return val_map_done(&m);
}

static int print_json(struct arena *a, const struct seen_run *v, const bool *shown, size_t n)
{
    struct val_list l = val_list_new(a);
    for (size_t i = 0; i < n; i++)
        if (shown[i])
            val_list_push(&l, row_value(a, &v[i]));
    struct val_map m = val_map_new(a);
    VAL_MAP_SET(&m, "runs", val_list_done(&l));
    struct val o = val_map_done(&m);
    return said_json(&o, EXIT_OK);
}

static struct str cell(struct arena *a, struct str s, size_t columns)
{
    struct str line = human_line(a, s, columns);
    return arena_printf(a, "%.*s%*s", STR_ARG(line), (int)(columns - human_columns(line)), "");
}

/* On a terminal nothing wraps: the directory is cut, or left out, and what is still too long ends at the edge. */
static void print_line(struct arena *a, struct str row, struct str directory)
{
    enum { DIRECTORY_MIN = 16 };
    size_t columns = human_terminal(STDOUT_FILENO), used = human_columns(row) + 2;
    if (!columns || used + DIRECTORY_MIN <= columns)
        row = arena_printf(a, "%.*s  %.*s", STR_ARG(row),
                           STR_ARG(human_line(a, directory, columns ? columns - used : 0)));
    printf("%.*s\n", STR_ARG(columns ? human_line(a, row, columns) : row));
}

/* What is waited for, and since when. */
static void print_wait(struct arena *a, const struct run_row *r, int64_t now)
{
    size_t columns = human_terminal(STDOUT_FILENO);
    struct str text = arena_printf(a, "  └ for %s: %.*s", human_duration(now - r->updated_ms).z, STR_ARG(r->error));
    printf("%.*s\n", STR_ARG(human_line(a, text, columns)));
}

/* As wide as what is in them, so that a line has room on a terminal. */
struct columns {
    size_t id, workflow, status, age, steps, tokens, cost;
};

/* What models have cost, as far as prices are known, or would have where a run began without them. */
static struct human cost_cell(const struct seen_run *r)
{
    struct human h = r->row.cost_usd > 0 ? human_cost(r->row.cost_usd) : (struct human){"-"};
    size_t n = strlen(h.z);
    if (r->mode.n && !str_is(r->mode, "live"))
        snprintf(h.z + n, sizeof h.z - n, " %.*s", STR_ARG(r->mode));
    return h;
}

static void widen(size_t *column, const char *text)
{
    size_t w = human_columns(str_c(text));
    *column = w > *column ? w : *column;
}

static struct columns measure(struct arena *a, const struct seen_run *v, const bool *shown, size_t n, int64_t now)
{
    struct columns c = {2, 8, 6, 3, 5, 6, 4};
    char count[32];
    for (size_t i = 0; i < n; i++) {
        const struct run_row *r = &v[i].row;
        if (!shown[i])
            continue;
        size_t w = human_columns(human_line(a, r->workflow, 24));
        c.id = r->id.n > c.id ? r->id.n : c.id;
        c.workflow = w > c.workflow ? w : c.workflow;
        snprintf(count, sizeof count, "%lld", (long long)r->steps_done);
        widen(&c.status, v[i].status);
        widen(&c.age, human_duration(now - r->created_ms).z);
        widen(&c.steps, count);
        widen(&c.tokens, human_count(r->input_tokens + r->output_tokens).z);
        widen(&c.cost, cost_cell(&v[i]).z);
    }
    enum { WORKFLOW_MIN = 8, GAPS = 12 };
    size_t terminal = human_terminal(STDOUT_FILENO);
    size_t used = c.id + c.workflow + c.status + c.age + c.steps + c.tokens + c.cost + GAPS;
    size_t over = terminal && used > terminal ? used - terminal : 0, most = c.workflow - WORKFLOW_MIN;
    c.workflow -= over < most ? over : most;
    return c;
}

static void print_table(struct arena *a, const struct seen_run *v, const bool *shown, size_t n)
{
    int64_t now = clock_wall_ms();
    struct columns c = measure(a, v, shown, n, now);
    print_line(a,
               arena_printf(a, "%-*s  %-*s  %-*s  %*s  %*s  %*s  %*s", (int)c.id, "ID", (int)c.workflow, "WORKFLOW",
                            (int)c.status, "STATUS", (int)c.age, "AGE", (int)c.steps, "STEPS", (int)c.tokens, "TOKENS",
                            (int)c.cost, "COST"),
               STR("DIRECTORY"));
    for (size_t i = 0; i < n; i++) {
        const struct run_row *r = &v[i].row;
        if (!shown[i])
            continue;
        struct str row =
            arena_printf(a, "%.*s  %.*s  %-*s  %*s  %*lld  %*s  %*s", STR_ARG(cell(a, r->id, c.id)),
                         STR_ARG(cell(a, r->workflow, c.workflow)), (int)c.status, v[i].status, (int)c.age,
                         human_duration(now - r->created_ms).z, (int)c.steps, (long long)r->steps_done, (int)c.tokens,
                         human_count(r->input_tokens + r->output_tokens).z, (int)c.cost, cost_cell(&v[i]).z);
        print_line(a, row, str_c(v[i].home.dir));
        if (str_is(str_c(v[i].status), "waiting") && r->error.n)
            print_wait(a, r, now);
    }
}

static int run(const struct command *c, const struct args *args)
{
    (void)c;
    struct arena a = {0};
    struct seen_run *v;
    size_t n, hidden = 0;
    struct err err;
    int code = EXIT_OK;
    if (seen_run_all(&a, &v, &n, &err) != RC_OK) {
        code = fail(EXIT_ENVIRONMENT, "%s", err.msg);
    } else {
        int64_t now = clock_wall_ms();
        bool *shown = arena_calloc(&a, n + 1, sizeof *shown);
        for (size_t i = 0; i < n; i++) {
            shown[i] = args_get(args, "all") || seen_run_open(&v[i]) || now - v[i].row.updated_ms < RECENT_MS;
            hidden += !shown[i];
        }
        if (args_get(args, "json"))
            code = print_json(&a, v, shown, n);
        else if (n > hidden)
            print_table(&a, v, shown, n);
        if (!args_get(args, "json") && n == hidden)
            fprintf(stderr, "no runs%s\n", hidden ? " of the last 24 hours" : " yet; treadle run FILE starts one");
        if (hidden && !args_get(args, "json"))
            fprintf(stderr, "%zu older run%s not shown; treadle ps --all shows all\n", hidden, hidden == 1 ? "" : "s");
    }
    arena_done(&a);
    return code;
}

static const struct option options[] = {{"all", 'a', NULL, "Also runs that ended more than 24 hours ago.", false},
                                        {"json", 0, NULL, "One JSON object: {\"runs\": […]}.", false},
                                        OPTION_END};

const struct command command_ps = {
    .name = "ps",
    .usage = "[options]",
    .summary = "list runs: what works, waits, was interrupted, ended lately",
    .details =
        "Runs that are not over and those that ended in the last 24 hours, the newest first. A run whose process died\n"
        "is `interrupted`; treadle resume goes on with it. Beside the cost stands `mock` or `replay` where a run, or "
        "what\n"
        "it was forked from, began so: then nothing was paid, unless it went on with --live. A run that began live and "
        "went\n"
        "on with --mock has no such mark.\n\n"
        "Examples:\n"
        "  treadle ps\n"
        "  treadle ps --all --json | jq -r '.runs[] | select(.status == \"interrupted\") | .run_id'",
    .options = options,
    .max_words = 0,
    .run = run,
};
