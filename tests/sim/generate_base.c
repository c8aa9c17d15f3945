/* What the parts of the generator share: what may be said on any step, and how it is written.
 *
 * Random workflows hold every step type, nested, with retries, conditions, timeouts and error handling. They are
 * written as YAML, so that the loader is in the loop too. The result of each step must not depend on timing: parallel
 * branches do not write the same variables, and what is read was written before. Included first; then
 * generate_bodies.c, generate_models.c, generate_data.c, generate_known.c, and generate.c, which puts it all together.
 */
#include "base/buf.h"
#include "base/rng.h"

#include <stdio.h>

enum { DEPTH_MOST = 5, NAMES_MANY = 50 };

struct generator {
    struct rng rng, own; /* own: whether something works in a copy of the workspace; that changes no result */
    struct rng more;     /* extras.c */
    struct rng known;    /* generate_known.c */
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
    line(g, in,
         pick(g, 4) ? "    - {name: mend, type: test_echo, value: \"{{ error.class }}\"}"
                    : "    - {name: mend, type: test_echo, value: \"{{ length(steps) > 0 }}\"}");
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
    /* One pick a statement: in which order arguments are worked out is up to the compiler. */
    const char *type = parallel || pick(g, 2) ? "continue" : "break";
    buf_printf(&g->out, "%*s- {name: out%u, type: %s, condition: \"%s\"}\n", (int)in, "", ++g->names, type,
               when[pick(g, 3)]);
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
