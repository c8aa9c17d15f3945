/* What is wrong with a model step can mostly be seen before it runs, and before it has cost anything: names of tools,
 * of providers, and, as a warning because servers have models of their own, of Claude's models.
 *
 * Only constants are looked at; texts with holes are judged when the step starts. */
#include "agent/content.h"
#include "data/schema.h"
#include "data/schema_short.h"
#include "data/tool_schemas.h"
#include "flow/keys.h"
#include "flow/range.h"
#include "step/model.h"

enum {
    NEAR = 2, /* letters that a slip changes, at the most */
    LLM_TEMPERATURE_MAX = 2
};

struct near {
    struct str want, name;
    unsigned distance;
};

static void near_try(struct near *n, struct str candidate)
{
    unsigned d = n->want.n < 64 ? str_distance(n->want, candidate, NEAR) : NEAR + 1;
    if (d <= NEAR && (!n->name.n || d < n->distance)) {
        n->name = candidate;
        n->distance = d;
    }
}

/* "did you mean `x`?", or the expectation. */
static const char *hint(struct problems *ps, const struct near *n, const char *expected)
{
    return n->name.n ? arena_printf(ps->a, "did you mean `%.*s`?", STR_ARG(n->name)).p : expected;
}

static int shown(struct str s)
{
    return (int)str_utf8_valid(str_n(s.p, s.n < 60 ? s.n : 60));
}

static bool is_constant(const struct val *v)
{
    return val_is(v, VAL_STR) && str_find(v->s, STR("{{")) == SIZE_MAX;
}

/* ---- tools ---- */

static void check_tool(const struct val *v, struct problems *ps)
{
    if (!is_constant(v) || tool_schemas_get(v->s).n || str_is(v->s, "Search"))
        return;
    if (model_tool_absent(v->s)) {
        problem_add(
            ps, true, v->line, v->col,
            "there is no tool `%.*s` here, and the step does without; expected Read, Write, Edit, Bash, Glob or "
            "Grep",
            shown(v->s), v->s.p);
        return;
    }
    static const char *const names[] = {"Read", "Write", "Edit", "Bash", "Glob", "Grep"};
    struct near near = {.want = v->s};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        near_try(&near, str_c(names[i]));
    problem_add(ps, false, v->line, v->col, "unknown tool `%.*s`; %s", shown(v->s), v->s.p,
                hint(ps, &near, "expected Read, Write, Edit, Bash, Glob or Grep"));
}

static void check_tools(const struct val *v, struct problems *ps)
{
    check_tool(v, ps);
    for (size_t i = 0; val_is(v, VAL_ARRAY) && i < v->arr.n; i++)
        check_tool(&v->arr.v[i], ps);
}

/* ---- models ---- */

static void check_claude_model(const struct val *at, struct str model, struct problems *ps)
{
    static const char *const names[] = {"haiku", "sonnet", "opus", "fable"};
    struct str family = model, large = STR("[1m]");
    if (str_ends(family, large))
        family.n -= large.n;
    struct near near = {.want = family};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (str_is(family, names[i]))
            return;
        near_try(&near, str_c(names[i]));
    }
    if (!str_starts(model, STR("claude-")))
        problem_add(ps, true, at->line, at->col, "unknown model `%.*s`; %s", shown(model), model.p,
                    hint(ps, &near, "expected haiku, sonnet, opus, or a full name that begins with claude-"));
}

static void check_llm_model(const struct val *v, const struct step_def *s, struct problems *ps)
{
    static const char expected[] = "expected PROVIDER/MODEL with the provider anthropic, gemini or openai (any "
                                   "OpenAI-compatible server: openai/NAME with OPENAI_BASE_URL)";
    static const char *const names[] = {"anthropic", "claude", "gemini", "google", "openai"};
    size_t slash = str_find(v->s, STR("/"));
    struct str said = val_get_str(s->source, STR("provider"), STR(""));
    if (said.n && (slash == SIZE_MAX || str_is(said, "openai"))) {
        if (str_is(said, "claude") || str_is(said, "anthropic"))
            check_claude_model(v, v->s, ps);
        return;
    }
    if (slash == SIZE_MAX || slash == 0 || slash + 1 == v->s.n) {
        problem_add(ps, false, v->line, v->col, "`model` is `%.*s`; %s", shown(v->s), v->s.p, expected);
        return;
    }
    struct str provider = str_n(v->s.p, slash);
    struct near near = {.want = provider};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (str_is(provider, names[i])) {
            if (i < 2)
                check_claude_model(v, str_from(v->s, slash + 1), ps);
            return;
        }
        near_try(&near, str_c(names[i]));
    }
    problem_add(ps, false, v->line, v->col, "unknown provider `%.*s`; %s", shown(provider), provider.p,
                hint(ps, &near, expected));
}

static void check_model(const struct step_def *s, const struct val *v, struct problems *ps)
{
    if (!is_constant(v))
        return;
    if (!s->type->provider)
        check_llm_model(v, s, ps);
    else if (strcmp(s->type->provider, "claude") == 0)
        check_claude_model(v, v->s, ps);
}

/* ---- blocks of options ---- */

static void check_output_format(const struct val *v, struct problems *ps)
{
    static const char *const names[] = {"text", "json", "stream_json", "stream-json"};
    if (!is_constant(v))
        return;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (str_is(v->s, names[i]))
            return;
    problem_add(ps, true, v->line, v->col, "unknown output_format `%.*s`; expected text, json or stream_json",
                shown(v->s), v->s.p);
}

void model_check_retry(const struct val *block, struct problems *ps)
{
    const struct val *on = VAL_GET(block, "retry_on") ? VAL_GET(block, "retry_on") : VAL_GET(block, "retry_conditions");
    uint64_t bits = 0;
    for (size_t i = 0; val_at(on, i); i++)
        if (is_constant(val_at(on, i)) && !retry_class(val_at(on, i)->s, &bits))
            problem_add(ps, true, val_at(on, i)->line, val_at(on, i)->col,
                        "unknown class of errors `%.*s`; expected any, or names such as timeout, rate_limit, api_error",
                        shown(val_at(on, i)->s), val_at(on, i)->s.p);
}

/* ---- schemas ---- */

void model_check_schema(const struct val *written, const char *key, struct problems *ps)
{
    struct arena scratch = {0};
    const struct val *schema;
    struct err err;
    if (written && written->type != VAL_NULL &&
        (schema_from(&scratch, written, &schema, &err) != RC_OK || schema_valid(schema, &err) != RC_OK))
        problem_add(ps, false, written->line, written->col, "`%s`: %s", key, err.msg);
    arena_done(&scratch);
}

bool model_read_schema(struct frame *f, const struct val *written, const struct val **ret)
{
    struct err err;
    if (schema_from(&f->arena, written, ret, &err) == RC_OK && schema_valid(*ret, &err) == RC_OK)
        return true;
    step_failf(f, RC_INVALID, "the schema: %s", err.msg);
    return false;
}

/* What an extraction in a prompt part looks for. */
static void check_post_processing(const struct val *prompt, struct problems *ps)
{
    for (size_t i = 0; val_at(prompt, i); i++) {
        const struct val *names = VAL_GET(val_at(prompt, i), "post_processing");
        struct val one = {.type = VAL_ARRAY, .arr = {names, 1}};
        names = is_constant(names) ? &one : names;
        for (size_t k = 0; val_at(names, k); k++) {
            const struct val *v = val_at(names, k);
            struct near near = {.want = val_is(v, VAL_STR) ? v->s : STR("")};
            if (!is_constant(v) || content_step_known(v->s))
                continue;
            for (size_t n = 0; content_step_at(n); n++)
                near_try(&near, str_c(content_step_at(n)));
            problem_add(ps, false, v->line, v->col, "unknown post-processing step `%.*s`; %s", shown(v->s), v->s.p,
                        hint(ps, &near, "expected one such as extract_links, extract_code_blocks or generate_summary"));
        }
    }
}

/* An `llm` step's table has the widest range; the provider that it names may have a narrower one. */
static void check_temperature(const struct step_def *s, struct problems *ps)
{
    struct str model = val_get_str(s->source, STR("model"), STR(""));
    struct str said = val_get_str(s->source, STR("provider"), STR(""));
    const struct val *v = VAL_GET(s->source, "temperature");
    struct err err;
    double x;
    if (s->type->provider || !val_is_number(v) ||
        !(str_starts(model, STR("anthropic/")) || str_starts(model, STR("claude/")) || str_is(said, "anthropic") ||
          str_is(said, "claude")))
        return;
    const struct step_key *row = key_find(claude_options_keys, STR("temperature"));
    if (key_number(STR("temperature"), row, v, &x, &err) != RC_OK && x <= LLM_TEMPERATURE_MAX && x >= 0)
        problem_add(ps, false, v->line, v->col, "%s (Claude's range)", err.msg);
}

void model_check(const struct step_def *s, struct problems *ps)
{
    const struct val *block = VAL_GET(s->source, "claude_options");
    check_post_processing(VAL_GET(s->source, "prompt"), ps);
    check_temperature(s, ps);
    codebase_check(s, ps);
    mocked_check(s, ps);
    check_model(s, VAL_GET(s->source, "model"), ps);
    check_model(s, VAL_GET(block, "model"), ps);
    check_model(s, VAL_GET(block, "fallback_model"), ps);
    check_tools(VAL_GET(s->source, "allowed_tools"), ps);
    network_check(VAL_GET(s->source, "network"), ps);
    check_tools(VAL_GET(s->source, "tools"), ps);
    check_tools(VAL_GET(block, "allowed_tools"), ps);
    check_tools(VAL_GET(block, "tools"), ps);
    check_output_format(VAL_GET(block, "output_format"), ps);
    model_check_retry(VAL_GET(block, "retry_config"), ps);
}
