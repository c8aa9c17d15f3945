/* Random workflows: every step type, nested, with retries, conditions, timeouts and error handling. Written as YAML, so
 * that the loader is in the loop too. The result of each step must not depend on timing: parallel branches do not write
 * the same variables, and what is read was written before. */
#include "base/buf.h"
#include "base/rng.h"

#include <stdio.h>

enum { DEPTH_MOST = 5, NAMES_MANY = 50 };

struct generator {
    struct rng rng, own; /* own: whether something works in a copy of the workspace; that changes no result */
    struct rng more;     /* extras.c */
    struct buf out;
    unsigned names;
    bool serial;    /* the same workflow, with everything in turns */
    bool beside;    /* what is being written may run beside itself, in workflows that are called too */
    unsigned depth; /* of the step that is being written */
    bool dive;      /* straight down: bodies in bodies, as deep as they go */
    bool called;    /* in a workflow that is called: what is around it is not known by name there */
    bool session;   /* the model step that is being written is a claude_session */
};

static void steps(struct generator *g, unsigned in, unsigned depth, unsigned count, bool parallel);

static uint64_t pick(struct generator *g, uint64_t n)
{
    return rng_below(&g->rng, n);
}

static void isolated(struct generator *g, unsigned in, uint64_t n)
{
    if (rng_below(&g->own, n) == 0)
        buf_printf(&g->out, "%*sworkspace: isolated\n", (int)in, "");
}

static void line(struct generator *g, unsigned indent, const char *text)
{
    buf_printf(&g->out, "%*s%s\n", (int)indent, "", text);
}

/* Its first step is an effect, so a crash can come between the failure and the handler's end; or it is any steps. */
static void handler(struct generator *g, unsigned in)
{
    line(g, in, "on_error:");
    line(g, in, "  steps:");
    if (pick(g, 3) == 0 && g->depth < DEPTH_MOST && g->names < NAMES_MANY)
        steps(g, in + 4, g->depth + 1, 1 + (unsigned)pick(g, 2), false);
    else if (pick(g, 3))
        line(g, in, "    - {name: tell, type: command, run: tell, on_interrupt: retry}");
    line(g, in, "    - {name: mend, type: test_echo, value: \"{{ error.class }}\"}");
}

/* What becomes of the result. What steps side by side leave is read by nobody. */
static void outcome(struct generator *g, unsigned in, bool parallel)
{
    if (pick(g, 8) == 0)
        buf_printf(&g->out, "%*soutput_to_global: %s_%u\n%*sclear_vars: [loops_%u]\n", (int)in, "",
                   parallel ? "side" : "kept", g->names % 3, (int)in, "", g->names);
    if (pick(g, 12) == 0)
        line(g, in, pick(g, 2) ? "expected_outputs: {success: true}" : "expected_outputs: {a: \"{{ inputs.file }}\"}");
    if (pick(g, 8) == 0)
        line(g, in, "error_output: why");
    if (pick(g, 8) == 0 && !g->beside) /* side by side whoever ends first would answer for the others */
        line(g, in,
             pick(g, 6) == 0   ? "cache: {enabled: false}"
             : pick(g, 6) == 0 ? "cache: {key: k, scope: workflow}"
             : pick(g, 3)      ? "cache: {key: \"{{ inputs.file }}\", conditions: [inputs.yes]}"
                               : "cache: {key: \"{{ length(steps.many.iterations || []) }}\", ttl: 1d, "
                                 "conditions: \"length(steps.many.iterations || []) >= 0\"}");
}

/* `end`: a later step of the same list that on_error may go to, or 0. */
static void options(struct generator *g, unsigned in, bool leaf, bool parallel, unsigned end)
{
    static const char *const conditions[] = {
        "condition: \"inputs.yes\"",
        "condition: \"not inputs.yes\"",
        "condition: {and: [inputs.yes, {not: \"inputs.file == 'x'\"}]}",
        "condition: {or: [\"not inputs.yes\", {and: [inputs.yes, {not: inputs.yes}]}]}",
        "condition: {or: [\"length(steps.many.iterations || []) > 99\", inputs.yes]}",
        "condition: {not: {or: [inputs.yes, false]}}"};
    if (pick(g, 20) == 0)
        line(g, in,
             pick(g, 2) ? "condition: \"length(steps.many.iterations || []) < 99\""
                        : "condition: \"(steps.fork.deep.a.c[2] || 0) < 99 and (steps.base.text || 0) != 1\"");
    else if (pick(g, 5) == 0)
        line(g, in, conditions[pick(g, 6)]);
    if (pick(g, 4) == 0)
        line(g, in, "retry: {max_attempts: 3, delay: 100ms}");
    if (pick(g, 3) == 0)
        line(g, in, "on_error: continue");
    else if (end && pick(g, 2) == 0)
        buf_printf(&g->out, "%*son_error: {goto: s%u}\n", (int)in, "", end);
    else if (pick(g, 3) == 0 && !parallel)
        handler(g, in);
    if (leaf && pick(g, 2))
        line(g, in, "timeout: 60s");
    outcome(g, in, parallel);
}

/* Ways out of a loop. What a break stops in a parallel loop is a matter of time, so there are only continues. */
static void way_out(struct generator *g, unsigned in, bool parallel)
{
    static const char *const when[] = {"loop.index == 1", "loop.index > 1", "not inputs.yes"};
    if (pick(g, 3))
        return;
    buf_printf(&g->out, "%*s- {name: out%u, type: %s, condition: \"%s\"}\n", (int)in, "", ++g->names,
               parallel || pick(g, 2) ? "continue" : "break", when[pick(g, 3)]);
}

static void loop_conditions(struct generator *g, unsigned in, bool parallel)
{
    if (!parallel && pick(g, 4) == 0)
        line(g, in,
             pick(g, 2) ? "break_condition: \"loop.index == 2\""
                        : "break_condition: \"loop.index == 2 and length(steps.many.iterations || []) >= 0\"");
    if (pick(g, 4) == 0)
        line(g, in,
             pick(g, 2) ? "continue_condition: \"loop.index == 1\""
                        : "continue_condition: \"(steps.many.iterations[loop.index].index || 0) == 1\"");
}

/* A restart policy, within a period that no trial outlasts. True: what it restarts must run in turns, so that their
 * order cannot depend on time; side by side only the strategy that lets the others be. */
static bool restarts(struct generator *g, unsigned in)
{
    static const char *const strategies[] = {"one_for_one", "one_for_all", "rest_for_one"};
    uint64_t kind = pick(g, 3);
    buf_printf(&g->out, "%*sstrategy: %s\n%*srestart: {intensity: %d, period: 3000d}\n", (int)in, "", strategies[kind],
               (int)in, "", (int)pick(g, 4));
    return kind != 0;
}

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
    buf_printf(&g->out, "%*scondition: \"loops_%u < %d%s\"\n%*smax_iterations: 6\n%*ssteps:\n", (int)in, "", id,
               1 + (int)pick(g, 3), pick(g, 3) ? "" : " and length(steps.many.results || []) < 100", (int)in, "",
               (int)in, "");
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

/* What makes each type do its own things. True: it is one of the Claude family. */
static bool model_type(struct generator *g, unsigned in)
{
    static const char *const plain[] = {
        "type: claude",        "type: gemini",         "type: claude_smart",      "type: claude_extract",
        "type: claude_robust", "type: claude_session", "type: gemini_instructor", "type: llm"};
    static const char *const fallbacks[] = {"skip", "fail", "simplified_prompt", "graceful_degradation",
                                            "cached_response"};
    uint64_t which = pick(g, 8);
    line(g, in, plain[which]);
    if (which == 7)
        line(g, in, "model: openai/sim");
    if (which == 2 && pick(g, 2))
        line(g, in, "preset: analysis");
    if (which == 3)
        line(g, in,
             pick(g, 2) ? "schema: {a: integer}" : "extraction_config: {format: markdown, include_metadata: true}");
    if (which == 4)
        buf_printf(&g->out, "%*sretry_config: {max_retries: %d, base_delay_ms: 50, fallback_action: %s}\n", (int)in, "",
                   3 + (int)pick(g, 3), fallbacks[pick(g, 5)]);
    if (which == 5)
        line(g, in, "session_config: {session_name: talk}");
    if (which == 6)
        line(g, in, pick(g, 2) ? "schema: {a: integer}" : "validation_mode: loose");
    if (which != 1 && which < 6 && pick(g, 4) == 0)
        line(g, in,
             pick(g, 2) ? "claude_options: {fallback_model: haiku, timeout_ms: 50000}"
                        : "claude_options: {session_id: talk}");
    g->session = which == 5;
    return which != 1 && which < 6;
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
        ", timeout_warning_seconds: 5, warn_at_depth: 1, memory_warning_mb: 1",
        ", performance_budgets: {step_duration_ms: 1}",
        ", workspace_isolation: true, inheritance: {global_vars: {exclude: unused}, functions: {inherit: true}}"};
    static const char *const dirs[] = {", workspace: {cleanup_on_success: true, max_size_mb: 5}",
                                       ", cleanup_on_success: true", ", cleanup_on_error: true",
                                       ", cleanup_on_success: true, cleanup_on_error: true, reuse_workspace: false"};
    bool inherits = pick(g, 2), outer = g->called;
    if (inherits || pick(g, 2)) {
        buf_printf(&g->out, "%*sconfig: {inherit_context: %s, max_total_steps: 100000%s", (int)in, "",
                   inherits ? "true" : "false", more[pick(g, 5)]);
        if (g->names % 7 == 0)
            buf_printf(&g->out, ", mock_mode: true, mock_responses: {s%u: made up}, mock_delays: {s%u: 50}",
                       g->names + 1, g->names + 1);
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

static void prompt(struct generator *g, unsigned in, bool claude)
{
    static const char *const parts[] = {
        "{type: claude_continue, session_id: talk, new_prompt: go on}",
        "{type: static, content: hello}, {type: file, path: \"{{ inputs.file }}\"}",
        "{type: file, path: p.md, inject_as: X}, {type: file, path: \"{{ inputs.file }}\", variables: {file: \"{{ "
        "inputs.file }}\"}, summary: true, summary_focus: all}, {type: session_context, session_id: talk}",
        "{type: static, content: \"{{ as it is }}\", raw: true}, {type: variable, name: unused}",
        "{type: session_context, session_id: talk, include_last_n: 2, filter: user}, {type: static, content: go on, "
        "condition: inputs.yes}",
        "{type: file, path: rows.csv, encoding: latin-1, transform: csv_to_table, max_length: 100}, {type: file, path: "
        "p.md, summary: true, max_summary_length: 3, summary_style: bullet_points}",
        "{type: file, path: parts.yaml, component: hi}, {type: static, content: hello}",
        /* what is not known in workflows that are called */
        "{type: previous_response, step: base, extract: text, max_length: 10}, {type: static, content: hello}",
        "{type: previous_response, step: base, extract_with: content_extractor, format: structured, post_processing: "
        "[extract_code_blocks], include_metadata: true}",
    };
    if (g->session && pick(g, 3) == 0) {
        line(g, in,
             pick(g, 2) ? "conversation: [hello, {turn: 2, prompt: \"{{ steps.turn_1.success }}\"}]"
                        : "conversation: [{prompt: hello, condition: \"not inputs.yes\"}, hello, hello]");
        return;
    }
    uint64_t first = claude ? 0 : 1, n = sizeof parts / sizeof *parts - (g->called ? 2 : 0);
    if (pick(g, 2) == 0)
        buf_printf(&g->out, "%*sprompt: [%s]\n", (int)in, "", parts[first + pick(g, n - first)]);
    else if (pick(g, 5) == 0)
        buf_printf(&g->out, "%*scodebase_context: true\n%*sprompt: \"hello {{ codebase.project_type }}\"\n", (int)in,
                   "", (int)in, "");
    else
        line(g, in, "prompt: \"hello\"");
}

static void model(struct generator *g, unsigned in, bool parallel, unsigned end)
{
    prompt(g, in, model_type(g, in));
    if (pick(g, 2))
        line(g, in, "allowed_tools: [Read, Write, Edit, Bash]");
    isolated(g, in, 5);
    if (pick(g, 4) == 0)
        line(g, in, "on_interrupt: retry");
    if (pick(g, 5) == 0)
        line(g, in, "output_to_file: \"out.txt\"");
    if (pick(g, 6) == 0)
        line(g, in, "output_schema: {type: object, required: [a]}");
    if (pick(g, 8) == 0)
        line(g, in, "budget: {usd: 0.0015}");
    options(g, in, true, parallel, end);
}

static void checkpoint(struct generator *g, unsigned in, unsigned depth, bool parallel, unsigned end, unsigned id)
{
    line(g, in, "type: checkpoint");
    if (pick(g, 2)) {
        buf_printf(&g->out, "%*sstate: {v_s%u: %u}\n", (int)in, "", id, id);
    } else {
        line(g, in, "action: load");
        uint64_t kind = pick(g, 4);
        if (kind == 0 && depth < DEPTH_MOST && g->names < NAMES_MANY) {
            line(g, in, "on_not_found:");
            steps(g, in + 2, depth + 1, 1, parallel);
        } else if (kind) {
            line(g, in, "on_not_found: [{name: init, type: test_echo, value: 1}]");
        }
    }
    if (pick(g, 4) == 0)
        line(g, in, "output_to_file: \"state.json\"");
    options(g, in, false, parallel, end);
}

/* What the world answers is a function of the place; where there is a deadline it never answers, so that no outcome
 * depends on who was faster. */
static void waits(struct generator *g, unsigned in, bool parallel, unsigned end, unsigned id)
{
    uint64_t kind = pick(g, 5);
    bool never = pick(g, 4) == 0;
    if (kind <= 1) {
        line(g, in, "type: approval");
        line(g, in, never ? "message: never" : "message: \"may {{ inputs.file }}?\"");
    } else if (kind <= 3) {
        line(g, in, "type: wait_signal");
        bool picky = pick(g, 2) == 0;
        buf_printf(&g->out, "%*ssignal: %s_%u\n", (int)in, "", never ? "never" : picky ? "go_if" : "go", id);
        if (picky)
            line(g, in, "schema: {type: object, required: [n]}");
    } else {
        line(g, in, "type: sleep");
        line(g, in, never ? "for: 10h" : pick(g, 2) ? "for: 30s" : "until: \"1970-01-01T00:20:00Z\"");
    }
    if (never)
        line(g, in, pick(g, 2) ? "timeout: 45s" : "timeout: 10m");
    if (never && kind <= 1 && pick(g, 2))
        line(g, in, "on_timeout: reject");
    options(g, in, false, parallel, end);
}

/* A file that goes through steps, chunk by chunk. */
static void stream(struct generator *g, unsigned in, bool parallel, unsigned end)
{
    static const char *const processors[] = {
        "{type: gemini, prompt: \"hello {{ chunk }}\"}",
        "{type: claude, prompt: \"hello {{ loop.index }}\", allowed_tools: [Write], on_error: continue}",
        "{type: command, run: make test, stdin: \"{{ chunk }}\", retry: {max_attempts: 2, delay: 10ms}}",
        "{type: test_echo, value: \"{{ chunk }}\", condition: \"loop.index != 1\"}",
        ("{steps: [{name: a, type: test_echo, value: \"{{ chunk }}\"}, "
         "{name: b, type: gemini, prompt: \"{{ steps.a }}\"}]}")};
    line(g, in, "type: file_ops");
    line(g, in, "operation: stream_process");
    line(g, in, "source: \"{{ inputs.file }}\"");
    buf_printf(&g->out, "%*sprocessor: %s\n", (int)in, "", processors[pick(g, 5)]);
    static const char *const chunks[] = {"chunk_size: 1KB", "chunk_lines: 1", "chunk_by: lines", "chunk_by: text"};
    buf_printf(&g->out, "%*smax_parallel: %d\n", (int)in, "", 1 + (int)pick(g, 3));
    line(g, in, chunks[pick(g, 4)]);
    options(g, in, false, parallel, end);
}

static void files(struct generator *g, unsigned in, bool parallel, unsigned end)
{
    if (pick(g, 5) == 0) {
        stream(g, in, parallel, end);
        return;
    }
    static const char *const operations[][4] = {
        {"operation: copy", "source: \"{{ inputs.file }}\"", "destination: there/", "overwrite: false"},
        {"operation: copy", "source: {pattern: \"*.txt\", older_than: 12h}", "destination: there/",
         "options: {recursive: true, preserve_structure: true, include_hidden: true}"},
        {"operation: move", "source: [a.txt, b.txt]", "destination: there/", "create_destination: false"},
        {"operation: stream_copy", "source: a.txt", "destination: b.txt", "preserve_timestamps: true"},
        {"operation: stream_copy", "source: src", "destination: there/", "preserve_structure: true"},
        {"operation: move", "source: \"*.c\"", "destination: there/", "exclude: [x.c]"},
        {"operation: copy", "source: \"*\"", "destination: there/", "include_hidden: true"},
        {"operation: delete", "path: \"{{ inputs.file }}\"", "dry_run: true"},
        {"operation: delete", "files: [\"*.tmp\", {pattern: \"*.o\"}]", "older_than: 7 days", "recursive: false"},
        {"operation: list", "path: \"{{ inputs.file }}\""},
        {"operation: list", "pattern: \"*.c\"", "pattern_type: glob", "details: true"},
        {"operation: list", "sort_by: size", "order: desc", "limit: 3"},
        {"operation: validate", "files: [{path: a.txt, criteria: {must_exist: true}}]"},
        {"operation: convert", "source: a.csv", "destination: a.json", "json_indent: 2"},
        {"operation: convert", "source: a.csv", "destination: a.yaml", "csv_headers: true"},
        {"operation: convert", "source: a.json", "destination: a.csv", "csv_delimiter: \";\""},
        {"operation: convert", "source: a", "destination: b", "format: csv_to_json"},
        {"operation: stream_process", "source: a.txt", "processor: replace", "pattern: a"},
        {"operation: stream_process", "source: a.txt", "processor: {type: replace, pattern: a}", "replacement: b"},
        {"operation: wait", "duration_seconds: 20"},
    };
    const char *const *lines = operations[pick(g, sizeof operations / sizeof *operations)];
    line(g, in, "type: file_ops");
    for (size_t i = 0; i < 4 && lines[i]; i++)
        line(g, in, lines[i]);
    options(g, in, true, parallel, end);
}

/* Groups of tasks, written or computed. */
static void tasks(struct generator *g, unsigned in, bool parallel, unsigned end)
{
    static const char *const written[] = {
        "prompt: hello", "prompt: hello",
        "prompt: hello, allowed_tools: [Read, Write], retry: {max_attempts: 3, delay: 10ms}",
        "type: pipeline, pipeline_file: sub.yaml, inputs: {n: 1}"};
    bool batch = pick(g, 2);
    line(g, in, batch ? "type: claude_batch" : "type: parallel_claude");
    bool in_turn = pick(g, 3) == 0 && restarts(g, in);
    if (in_turn || pick(g, 2))
        buf_printf(&g->out, "%*s%s: {%s: %d}\n", (int)in, "", batch ? "batch_config" : "parallel_config",
                   batch ? "max_parallel" : "max_workers", in_turn ? 1 : 1 + (int)pick(g, 3));
    if (pick(g, 5) == 0) {
        line(g, in, "task_generator: {type: file_list, pattern: \"*.c\", batch_size: 2}");
        line(g, in, "task_template: {id: \"t{{ task.index }}\", prompt: \"hello {{ task.file }}\"}");
    } else if (pick(g, 3) == 0) {
        buf_printf(&g->out, "%*stasks: \"{{ range(1, %d) }}\"\n", (int)in, "", 1 + (int)pick(g, 3));
        line(g, in, "task_template: {id: \"t{{ item }}\", prompt: \"hello {{ item }}\"}");
    } else {
        line(g, in, "tasks:");
        for (uint64_t i = 0, n = 1 + pick(g, 3); i < n; i++)
            buf_printf(&g->out, "%*s- {id: t%d, %s}\n", (int)in + 2, "", (int)i,
                       written[batch ? pick(g, 3) : pick(g, 4)]);
    }
    options(g, in, false, parallel, end);
}

/* Now and then so much that it takes several slices. */
static void transform(struct generator *g, unsigned in, bool parallel, unsigned end)
{
    static const char *const operations[] = {"{operation: filter, condition: \"item > 2\"}",
                                             "{operation: sort, order: desc}",
                                             "{operation: map, expression: \"{n: item, odd: item % 2}\"}",
                                             "{operation: unique}", "{operation: query, expression: \"$[?@ != 3]\"}"};
    line(g, in, "type: data_transform");
    if (pick(g, 6) == 0) {
        line(g, in, "input_source: rows.jsonl");
        if (pick(g, 2))
            line(g, in, "stream_mode: true");
    } else
        line(g, in, pick(g, 30) ? "input_source: \"range(1, 9)\"" : "input_source: \"range(1, 60000)\"");
    line(g, in, "operations:");
    for (uint64_t i = pick(g, 3); i; i--)
        buf_printf(&g->out, "%*s- %s\n", (int)in + 2, "", operations[pick(g, 5)]);
    line(g, in, "  - {operation: aggregate, function: count}");
    if (pick(g, 2))
        line(g, in, "output_to_file: \"out.txt\"");
    options(g, in, true, parallel, end);
}

/* In turns, until the money is spent: after the same call always. */
static void capped(struct generator *g, unsigned in, bool parallel, unsigned end)
{
    static const char *const budgets[] = {"{usd: 0.0015}", "{tokens: 40}", "{usd: 0.0005, tokens: 1000}"};
    line(g, in, "type: for_loop");
    buf_printf(&g->out, "%*sdata_source: [a, b, c, d, e]\n%*sbudget: %s\n", (int)in, "", (int)in, "",
               budgets[pick(g, 3)]);
    options(g, in, false, parallel, end);
    line(g, in, "steps: [{name: asked, type: gemini, prompt: hello}]");
}

static void compound(struct generator *g, unsigned in, unsigned depth, bool parallel, unsigned end, unsigned id)
{
    uint64_t kind = pick(g, 6);
    if (kind == 0)
        while_loop(g, in, depth, id, parallel);
    else if (kind == 1)
        loop(g, in, depth, parallel, end);
    else if (kind == 2)
        choice(g, in, depth, parallel, end);
    else if (kind == 3)
        branches(g, in, depth, end);
    else
        called(g, in, depth, parallel, end);
}

static void step_of(struct generator *g, unsigned in, unsigned depth, bool parallel, unsigned end, unsigned after)
{
    unsigned id = ++g->names;
    buf_printf(&g->out, "%*s- name: s%u\n", (int)in, "", id);
    in += 2;
    if (after)
        buf_printf(&g->out, "%*sdepends_on: [s%u]\n", (int)in, "", after);
    else
        line(g, in, "# needs no other"); /* as many lines as in turns: errors name them */
    if (g->dive && depth < DEPTH_MOST) {
        compound(g, in, depth, parallel, end, id);
        return;
    }
    g->dive = false;
    if (pick(g, 12) == 0) {
        checkpoint(g, in, depth, parallel, end, id);
        return;
    }
    if (pick(g, 8) == 0) {
        tasks(g, in, parallel, end);
        return;
    }
    if (pick(g, 6) == 0) {
        waits(g, in, parallel, end, id);
        return;
    }
    if (pick(g, 20) == 0) {
        capped(g, in, parallel, end);
        return;
    }
    if (pick(g, depth < 4 ? 14 : 7) == 0) {
        files(g, in, parallel, end);
        return;
    }
    if (pick(g, 9) == 0) {
        transform(g, in, parallel, end);
        return;
    }
    bool simple = depth >= DEPTH_MOST || g->names > NAMES_MANY || (depth >= 3 && pick(g, 3));
    uint64_t kind = pick(g, simple ? 6 : 12);
    if (kind <= 1) {
        model(g, in, parallel, end);
    } else if (kind == 2 && pick(g, 3) == 0) {
        line(g, in, "type: codebase_query");
        line(g, in, "queries: {q: {find_files: {pattern: \"{{ inputs.file }}\"}}}");
        if (pick(g, 3) == 0)
            line(g, in, "codebase_context: true");
        if (pick(g, 4) == 0)
            line(g, in, "output_to_file: \"q.json\"");
        options(g, in, true, parallel, end);
    } else if (kind == 2) {
        line(g, in, "type: command\n");
        line(g, in, "run: make test");
        if (pick(g, 2))
            line(g, in, "on_interrupt: retry");
        options(g, in, true, parallel, end);
    } else if (kind == 3) {
        line(g, in, "type: set_variable");
        buf_printf(&g->out, "%*svariables: {v%u: %u}\n", (int)in, "", id, id);
        if (parallel)
            line(g, in, "scope: local");
        else if (pick(g, 3) == 0)
            line(g, in, "scope: session");
        if (pick(g, 5) == 0)
            line(g, in, "output_to_file: \"vars.txt\"");
    } else if (kind == 4 && !parallel && pick(g, 3) == 0) {
        line(g, in, "type: test_echo");
        buf_printf(&g->out, "%*svalue: \"{{ kept_%d || 0 }}\"\n", (int)in, "", (int)pick(g, 3));
    } else if (kind == 4) {
        static const char *const values[] = {"value: \"{{ inputs.file }}\"",
                                             "value: \"a {{file:{{ inputs.file }}}} b\"",
                                             "value: \"{{ steps.many.iterations || inputs.file }}\"",
                                             "value: \"{{ steps.many.iterations[3].results.note.scope || 0 }}\"",
                                             "value: \"{{ steps.many.iterations[-1].item || 0 }}\"",
                                             "value: \"{{ length(steps.own.iterations || []) }}\"",
                                             "value: {base: \"{{ steps.base || 0 }}\"}",
                                             "value: \"{{ steps.base.text || 0 }}{{ steps.fork.deep.a.c[1] || 0 }}\"",
                                             "value: \"{{ steps.fork.results.deep.text || 0 }}\""};
        line(g, in, pick(g, 4) ? "type: test_echo" : "type: \"{{ 'test_' + 'echo' }}\"");
        line(g, in, values[pick(g, sizeof values / sizeof *values)]);
        if (pick(g, 12) == 0)
            line(g, in, "fail: true");
        options(g, in, true, parallel, end);
    } else if (kind == 5 || kind == 6) {
        model(g, in, parallel, end);
    } else if (kind == 11) {
        called(g, in, depth, parallel, end);
    } else if (kind == 10) {
        branches(g, in, depth, end);
    } else if (kind == 9) {
        choice(g, in, depth, parallel, end);
    } else if (kind == 7) {
        loop(g, in, depth, parallel, end);
    } else {
        while_loop(g, in, depth, id, parallel);
    }
}

static void step(struct generator *g, unsigned in, unsigned depth, bool parallel, unsigned end, unsigned after)
{
    unsigned outer = g->depth;
    size_t start = g->out.n;
    g->depth = depth;
    step_of(g, in, depth, parallel, end, after);
    g->depth = outer;
    add_extras(&g->out, start, in + 2, &g->more);
}

static void steps(struct generator *g, unsigned in, unsigned depth, unsigned count, bool parallel)
{
    unsigned end = 0, first = g->names + 1;
    bool graph = depth && pick(g, 4) == 0, beside = g->beside;
    if (!graph && pick(g, 3) == 0)
        end = ++g->names;
    g->beside |= parallel || graph;
    for (unsigned i = 0, last = 0; i < count; i++) { /* in a graph all may run at once, but for those that wait */
        unsigned after = graph && i && (i == 1 || pick(g, 2)) ? first : 0;
        if (graph && g->serial)
            after = last;
        last = g->names + 1;
        g->dive = g->dive || (!depth && (i == 0 || (i == 3 && pick(g, 2))));
        step(g, in, depth, parallel || graph, end, after);
    }
    g->beside = beside;
    if (end)
        buf_printf(&g->out, "%*s- {name: s%u, type: test_echo, value: end}\n", (int)in, "", end);
}

/* Limits of the whole run, which it meets early or never: what it would have done by then must not be a matter of time.
 */
static void run_bounds(struct generator *g, struct buf *head)
{
    static const char *const limits[] = {", wall: 500ms",  ", memory: 1KB",
                                         ", journal: 1KB", ", output: 2",
                                         ", max_depth: 2", ", wall: 30d, memory: 1GB, journal: 1GB, output: 1GB"};
    static const char *const defaults[] = {"{retry: {max_attempts: 2, delay: 10ms}}", "{timeout: 400s}",
                                           "{continue_on_error: true}", "{claude_model: haiku, claude_preset: chat}"};
    uint64_t kind = rng_below(&g->more, 40);
    if (kind == 0)
        buf_printf(head, ", frames: %d", 12 + (int)rng_below(&g->more, 16));
    else if (kind <= 6)
        buf_addz(head, limits[kind - 1]);
    buf_addz(head, "}\n");
    if (rng_below(&g->more, 8) == 0)
        buf_printf(head, "  defaults: %s\n", defaults[rng_below(&g->more, 4)]);
    if (rng_below(&g->more, 20) == 0)
        buf_addz(head, "  cost_limits: {max_cost_per_run: 0.001, action_on_exceed: continue}\n");
}

/* The text lives in *ret until buf_done. */
static void generate(uint64_t seed, bool serial, struct buf *ret)
{
    struct generator g = {.serial = serial};
    rng_seed(&g.rng, seed);
    rng_seed(&g.own, seed ^ 0x1501a7ed);
    rng_seed(&g.more, seed ^ 0x3779);
    buf_init(&g.out, (size_t)1 << 20);
    line(&g, 2, "steps:");
    line(&g, 4, "- {name: print, type: command, run: echo out, on_error: continue}");
    buf_addz(&g.out, "    - name: many\n      type: for_loop\n      data_source: \"range(1, 14)\"\n"
                     "      parallel: true\n      on_error: continue\n");
    if (pick(&g, 3))
        buf_addz(&g.out, "      break_on_error: false\n");
    buf_addz(&g.out,
             "      steps:\n"
             "        - {name: ask, type: gemini, prompt: hello}\n"
             "        - {name: note, type: set_variable, scope: local, variables: {x: \"{{ loop.index }}\"}}\n");
    buf_addz(&g.out,
             "    - name: own\n      type: for_loop\n      data_source: \"range(1, 5)\"\n      parallel: true\n"
             "      steps:\n"
             "        - {name: set, type: set_variable, scope: local, variables: {mine: \"{{ loop.index }}\"}}\n"
             "        - {name: rest, type: sleep, for: 1}\n"
             "        - {name: get, type: test_echo, value: \"{{ mine }}\"}\n");
    buf_addz(&g.out, /* results that others read when they have long left memory */
             "    - {name: base, type: gemini, prompt: hello, on_error: continue}\n"
             "    - name: fork\n      type: switch\n      expression: inputs.yes\n      cases:\n        true:\n"
             "          - {name: deep, type: test_echo, value: {a: {b: \"{{ inputs.file }}\", c: [1, 2, 3]}, "
             "text: \"{{ steps.base.text || 'none' }}\"}}\n");
    steps(&g, 4, 0, 6 + (unsigned)pick(&g, 6), false);
    struct buf head;
    buf_init(&head, (size_t)2 << 20);
    if (pick(&g, 2))
        buf_addz(&g.out, "  output: \"{{ steps.many.iterations[*].index || [] }}{{ steps.fork.deep || 0 }}\"\n");
    buf_printf(&head, "workflow:\n  limits: {max_parallel: %d", serial ? 1 : 1000);
    if (seed % 3 == 0)
        buf_addz(&head, ", workspace: 1MB");
    run_bounds(&g, &head);
    if (pick(&g, 3) == 0)
        buf_addz(&head, "  cache_config: {enabled: true}\n");
    buf_addz(
        &head,
        "  name: sim\n  secrets: [SIM_SECRET]\n  inputs: {yes: {type: boolean, default: true}, file: {type: string, "
        "default: f.txt}}\n  variables:\n    unused: 0\n");
    for (unsigned i = 1; i <= g.names; i++)
        buf_printf(&head, "    loops_%u: 0\n", i);
    buf_add(&head, buf_str(&g.out));
    buf_done(&g.out);
    *ret = head;
}
