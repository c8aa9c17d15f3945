/* Random steps that ask models: one, groups of them, and loops that ask until the money is spent. */
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
    if (which == 4) {
        int retries = 3 + (int)pick(g, 3);
        buf_printf(&g->out, "%*sretry_config: {max_retries: %d, base_delay_ms: 50, fallback_action: %s}\n", (int)in, "",
                   retries, fallbacks[pick(g, 5)]);
    }
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
        "{type: previous_response, step: base, extract: text, max_length: 10, prefix: \"So far:\"}, {type: static, "
        "content: hello}",
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
        line(g, in, "task_template: {id: \"t{{ item % 2 }}\", prompt: \"hello {{ item }}\"}");
    } else {
        line(g, in, "tasks:");
        for (uint64_t i = 0, n = 1 + pick(g, 3); i < n; i++)
            buf_printf(&g->out, "%*s- {id: t%d, %s}\n", (int)in + 2, "", (int)i,
                       written[batch ? pick(g, 3) : pick(g, 4)]);
    }
    options(g, in, false, parallel, end);
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
