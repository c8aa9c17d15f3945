/* Random steps that contain others: loops, cases, branches, and workflows that are called. */
static void body(struct generator *g, unsigned in, unsigned depth, bool parallel, bool side_by_side)
{
    line(g, in, "steps:");
    way_out(g, in + 2, side_by_side);
    steps(g, in + 2, depth + 1, 1 + (unsigned)pick(g, 3), parallel);
}

static void loop(struct generator *g, unsigned in, unsigned depth, bool parallel, unsigned end)
{
    bool par = pick(g, 2) == 0;
    line(g, in, "type: for_loop");
    buf_printf(&g->out, "%*sdata_source: \"range(1, %d)\"\n", (int)in, "", 1 + (int)pick(g, 4));
    bool in_turn = par && pick(g, 3) == 0 && restarts(g, in);
    if (par)
        buf_printf(&g->out, "%*sparallel: true\n%*smax_parallel: %d\n", (int)in, "", (int)in, "",
                   in_turn ? 1 : 1 + (int)pick(g, 4));
    if (pick(g, 3) == 0)
        line(g, in, "break_on_error: false");
    isolated(g, in, 4);
    loop_conditions(g, in, par);
    options(g, in, false, parallel || par, end);
    body(g, in, depth, parallel || par, par);
}

/* Beside others it counts in the result of a step of its body: variables would be those of all. */
static void while_loop(struct generator *g, unsigned in, unsigned depth, unsigned id, bool parallel)
{
    line(g, in, "type: while_loop");
    if (parallel || pick(g, 4) == 0) {
        buf_printf(&g->out, "%*scondition: \"steps.n%u < %d\"\n%*smax_iterations: 3\n%*ssteps:\n", (int)in, "", id,
                   1 + (int)pick(g, 5), (int)in, "", (int)in, "");
        buf_printf(&g->out, "%*s- {name: n%u, type: test_echo, value: \"{{ loop.index + 1 }}\"}\n", (int)in + 2, "",
                   id);
        way_out(g, in + 2, false);
        steps(g, in + 2, depth + 1, 1 + (unsigned)pick(g, 2), parallel);
        return;
    }
    int rounds = 1 + (int)pick(g, 3);
    buf_printf(&g->out, "%*scondition: \"loops_%u < %d%s\"\n%*smax_iterations: 6\n%*ssteps:\n", (int)in, "", id, rounds,
               pick(g, 3) ? "" : " and length(steps.many.results || []) < 100", (int)in, "", (int)in, "");
    buf_printf(&g->out, "%*s- {name: count_%u, type: set_variable, variables: {loops_%u: \"{{ loops_%u + 1 }}\"}}\n",
               (int)in + 2, "", id, id, id);
    way_out(g, in + 2, false);
    steps(g, in + 2, depth + 1, 1 + (unsigned)pick(g, 2), true);
}

/* Which case is taken is known to the loader in some, not in others; both have more than one list. */
static void choice(struct generator *g, unsigned in, unsigned depth, bool parallel, unsigned end)
{
    static const char *const chooses[] = {"inputs.yes", "inputs.file", "\"{{ inputs.file }}!\""};
    static const char *const cases[] = {"true", "\"f*\"", "other"};
    line(g, in, "type: switch");
    buf_printf(&g->out, "%*sexpression: %s\n%*scases:\n", (int)in, "", chooses[pick(g, 3)], (int)in, "");
    for (unsigned i = 0; i < 3; i++) {
        buf_printf(&g->out, "%*s%s:\n", (int)in + 2, "", cases[i]);
        steps(g, in + 4, depth + 1, 1 + (unsigned)pick(g, 2), parallel);
    }
    if (pick(g, 2)) {
        line(g, in, "default:");
        steps(g, in + 2, depth + 1, 1, parallel);
    }
    options(g, in, false, parallel, end);
}

static void branches(struct generator *g, unsigned in, unsigned depth, unsigned end)
{
    line(g, in, "type: parallel");
    if (pick(g, 2))
        line(g, in, "fail: collect");
    if ((pick(g, 4) && restarts(g, in)) || pick(g, 3) == 0)
        line(g, in, "max_parallel: 1");
    isolated(g, in, 3);
    options(g, in, false, true, end);
    line(g, in, "branches:");
    for (uint64_t i = 0, n = 1 + pick(g, 3); i < n; i++) {
        buf_printf(&g->out, "%*sb%d:\n", (int)in + 2, "", (int)i);
        steps(g, in + 4, depth + 1, 1 + (unsigned)pick(g, 2), true);
    }
}

/* A workflow whose time is over before its last step has an answer, since that never comes. */
static void in_time(struct generator *g, unsigned in)
{
    static const char *const then[] = {"on_timeout: graceful",
                                       "on_timeout: graceful, graceful_timeout: {return_partial_results: false, "
                                       "save_checkpoint: true, cleanup_resources: true}",
                                       "on_timeout: graceful, prune_results: {keep_fields: [n]}",
                                       "on_timeout: retry, retry_config: {max_attempts: 2, increase_timeout: true}, "
                                       "fallback_value: late",
                                       "performance_budgets: {total_duration_ms: 30000}, "
                                       "on_budget_exceeded: {action: error}, continue_on_error: true"};
    buf_printf(&g->out, "%*sconfig: {timeout_seconds: 90, %s}\n", (int)in, "", then[pick(g, 5)]);
    line(g, in, "pipeline:");
    line(g, in + 2, "steps:");
    line(g, in + 4, "- {name: first, type: test_echo, value: {n: 1, m: 2}}");
    line(g, in + 4,
         "- {name: loop, type: for_loop, data_source: [1, 2], steps: [{name: n, type: test_echo, value: 3}]}");
    line(g, in + 4, "- {name: wait, type: approval, message: never}");
}

/* A workflow that meets a bound of its call, always at the same place. What fills its memory is a variable, which every
 * life of the run has in memory; a step's result leaves it. */
static void bounded(struct generator *g, unsigned in)
{
    static const char *const bounds[] = {"{max_total_steps: 2, preserve_error_context: true, continue_on_error: true}",
                                         "{max_total_steps: 3, fallback_value: enough}",
                                         "{max_depth: 1, max_retries: 1, retry_on: [limit]}",
                                         "{memory_limit_mb: 1, memory_warning_mb: 1}",
                                         "{memory_limit_mb: 4, memory_actions: {at_25_percent: [log_warning, "
                                         "return_error], at_50_percent: clear_caches}}",
                                         "{memory_limits: {soft_limit_mb: 1, hard_limit_mb: 2}, "
                                         "memory_check_enabled: true}",
                                         "{performance_budgets: {memory_usage_mb: 1}, on_budget_exceeded: {action: "
                                         "error, notify: [me]}}"};
    buf_printf(&g->out, "%*sconfig: %s\n%*spipeline:\n%*ssteps:\n", (int)in, "", bounds[pick(g, 7)], (int)in, "",
               (int)in + 2, "");
    line(g, in + 4, "- {name: one, type: test_echo, value: 1}");
    line(g, in + 4, "- {name: two, type: gemini, prompt: hello, on_error: continue}");
    line(g, in + 4, "- {name: fill, type: set_variable, variables: {full: \"{{ range(1, 40000) }}\"}}");
    line(g, in + 4, "- {name: last, type: test_echo, value: \"{{ length(full) }}\"}");
}

/* One that is read from a file, before the run or in it; or a stored one. */
static void called_file(struct generator *g, unsigned in, unsigned depth)
{
    static const char *const files[] = {"pipeline_file: sub.yaml", "pipeline_file: \"sub{{ '.yaml' }}\"",
                                        "pipeline_ref: sub"};
    static const char *const outputs[] = {"outputs: ask", "outputs: [ask, {path: ask.text, as: said}]",
                                          "outputs: {said: ask}"};
    uint64_t which = pick(g, 3);
    line(g, in, files[which]);
    if (which == 2 && pick(g, 2))
        line(g, in, "version: \"1.0\"");
    buf_printf(&g->out, "%*sinputs: {n: %d}\n", (int)in, "", (int)pick(g, 4));
    if (pick(g, 3) == 0)
        line(g, in, outputs[pick(g, 3)]);
    if (pick(g, 6) == 0)
        line(g, in,
             pick(g, 2) ? "mock_response: {ask: {text: hi}, said: hi}" : "mock_error: {message: no, code: made_up}");
    if (pick(g, 3) == 0) /* how deep it may call itself */
        buf_printf(&g->out, "%*sconfig: {max_depth: %d, inherit_providers: false, inherit_functions: true}\n", (int)in,
                   "", 2 + (int)depth + (int)pick(g, 3));
}

/* Variables of a workflow written inside are its own: in it nothing runs beside, as far as names go. */
static void called(struct generator *g, unsigned in, unsigned depth, bool parallel, unsigned end)
{
    line(g, in, g->names % 4 ? "type: pipeline" : "type: \"{{ 'pipe' + 'line' }}\"");
    options(g, in, false, parallel, end);
    if (pick(g, 3) == 0) {
        called_file(g, in, depth);
        return;
    }
    if (pick(g, 5) == 0) {
        in_time(g, in);
        return;
    }
    if (pick(g, 6) == 0) {
        bounded(g, in);
        return;
    }
    static const char *const more[] = {
        "", ", prune_results: {remove_fields: [text, model]}, error_context_fields: [input_data, execution_metadata]",
        (", timeout_warning_seconds: 5, warn_at_depth: 1, memory_warning_mb: 1, gc_threshold_mb: 1, "
         "auto_cleanup: {threshold_mb: 1}"),
        ", performance_budgets: {step_duration_ms: 1}",
        ", workspace_isolation: true, inheritance: {global_vars: {exclude: unused}, functions: {inherit: true}}"};
    static const char *const dirs[] = {", workspace: {cleanup_on_success: true, max_size_mb: 5}",
                                       ", cleanup_on_success: true",
                                       ", cleanup_on_error: true, immediate_timeout: {skip_cleanup: true}",
                                       ", cleanup_on_success: true, cleanup_on_error: true, reuse_workspace: false"};
    bool inherits = pick(g, 2), outer = g->called;
    if (inherits || pick(g, 2)) {
        buf_printf(&g->out, "%*sconfig: {inherit_context: %s, max_total_steps: 100000%s", (int)in, "",
                   inherits ? "true" : "false", more[pick(g, 5)]);
        if (g->names % 7 == 0)
            buf_printf(
                &g->out,
                ", mock_mode: true, mock_responses: {s%u: made up}, mock_delays: {s%u: 50}, gc_after_steps: [s%u]",
                g->names + 1, g->names + 1, g->names + 1);
        if (!parallel && g->names % 2) /* beside others of the same name it could be removed under their feet */
            buf_printf(&g->out, ", workspace_dir: \"own/{{ step.name }}\"%s", dirs[g->names / 2 % 4]);
        buf_printf(&g->out, "}\n");
    }
    if (!inherits)
        line(g, in, "inputs: {yes: \"{{ inputs.yes }}\"}");
    g->called = true;
    if (pick(g, 3) == 0)
        buf_printf(&g->out, "%*soutputs: [s%u]\n", (int)in, "", g->names + 1);
    line(g, in, "pipeline:");
    line(g, in + 2, "inputs: {yes: {type: boolean, required: true}, file: {type: string, default: f.txt}}");
    line(g, in + 2, "secrets: [SIM_SECRET]");
    unsigned first = g->names + 1;
    line(g, in + 2, "steps:");
    steps(g, in + 4, depth + 1, 1 + (unsigned)pick(g, 3), false);
    line(g, in + 2, "variables:");
    line(g, in + 4, "unused: 0");
    for (unsigned i = first; i <= g->names; i++)
        buf_printf(&g->out, "%*sloops_%u: 0\n", (int)in + 4, "", i);
    g->called = outer;
}
