/* Random steps that save, wait, handle files and compute. */
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
        {"operation: validate", "files: [{path: a.txt, must_exist: true}]"},
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
