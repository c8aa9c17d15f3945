/* Random workflows: a random step, lists of them, and the whole around. What each kind of step says is in the files
 * included before (generate_base.c names them). */
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
    static const char *const when_spent[] = {"continue", "pause", "abort"};
    uint64_t spent = rng_below(&g->more, 20) == 0 ? 1 : rng_below(&g->known, 8) == 0 ? 2 + rng_below(&g->known, 2) : 0;
    if (spent) /* less than the first steps cost, whatever comes first */
        buf_printf(head, "  cost_limits: {max_cost_per_run: 0.001, action_on_exceed: %s}\n", when_spent[spent - 1]);
}

/* The text lives in *ret until buf_done. */
static void generate(uint64_t seed, bool serial, struct buf *ret)
{
    struct generator g = {.serial = serial};
    rng_seed(&g.rng, seed);
    rng_seed(&g.own, seed ^ 0x1501a7ed);
    rng_seed(&g.more, seed ^ 0x3779);
    rng_seed(&g.known, seed ^ 0x90d1);
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
    known_steps(&g, 4);
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
        "default: f.txt}}\n  variables:\n    unused: 0\n    rows: [{k: 1, v: 2}, {k: 3, v: 6}]\n");
    for (unsigned i = 1; i <= g.names; i++)
        buf_printf(&head, "    loops_%u: 0\n", i);
    buf_add(&head, buf_str(&g.out));
    buf_done(&g.out);
    *ret = head;
}
