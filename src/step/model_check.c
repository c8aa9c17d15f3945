/* What is wrong with a model step can mostly be seen before it runs, and before it has cost anything: names of tools,
 * of providers, and, as a warning because servers have models of their own, of Claude's models.
 *
 * Only constants are looked at; texts with holes are judged when the step starts. */
#include "data/tool_schemas.h"
#include "step/model.h"

enum { NEAR = 2 }; /* letters that a slip changes, at the most */

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
    if (!is_constant(v) || tool_schemas_get(v->s).n)
        return;
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

static void check_llm_model(const struct val *v, struct problems *ps)
{
    static const char expected[] = "expected PROVIDER/MODEL with the provider anthropic, gemini or openai (any "
                                   "OpenAI-compatible server: openai/NAME with OPENAI_BASE_URL)";
    static const char *const names[] = {"anthropic", "claude", "gemini", "google", "openai"};
    size_t slash = str_find(v->s, STR("/"));
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

static void check_model(const struct step_type *type, const struct val *v, struct problems *ps)
{
    if (!is_constant(v))
        return;
    if (!type->provider)
        check_llm_model(v, ps);
    else if (strcmp(type->provider, "claude") == 0)
        check_claude_model(v, v->s, ps);
}

void model_check(const struct step_def *s, struct problems *ps)
{
    const struct val *block = VAL_GET(s->source, "claude_options"), *turns = VAL_GET(block, "max_turns");
    check_model(s->type, VAL_GET(s->source, "model"), ps);
    check_model(s->type, VAL_GET(block, "model"), ps);
    check_tools(VAL_GET(s->source, "allowed_tools"), ps);
    check_tools(VAL_GET(s->source, "tools"), ps);
    check_tools(VAL_GET(block, "allowed_tools"), ps);
    if (val_is(turns, VAL_INT) && (turns->i < 1 || turns->i > MODEL_TURNS_MAX))
        problem_add(ps, false, turns->line, turns->col, "`max_turns` is out of range; expected an integer from 1 to %d",
                    MODEL_TURNS_MAX);
}
