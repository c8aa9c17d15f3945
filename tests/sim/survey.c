/* What the random workflows are made of: every step type, at every depth, and what may be said on a step. A simulation
 * proves nothing about what its generator never writes, so the absence of anything here fails the test. */
#include "flow/keys.h"

#include <stdio.h>

/* What a list of steps is to the step around it. */
enum context {
    CONTEXT_WORKFLOW,
    CONTEXT_FOR,     /* in turns */
    CONTEXT_FOR_PAR, /* side by side */
    CONTEXT_WHILE,
    CONTEXT_SWITCH,
    CONTEXT_BRANCH,
    CONTEXT_CALLED,
    CONTEXT_HANDLER,
    CONTEXT_GRAPH, /* one of any of these that runs by depends_on */
    CONTEXTS
};
static const char *const contexts[CONTEXTS] = {"workflow", "for_loop", "..parallel", "while_loop", "switch",
                                               "parallel", "pipeline", "on_error",   "a graph"};

static struct {
    uint64_t at[64][DEPTH_MOST + 1]; /* by the type's place in steps.def, and the number of bodies around it */
    uint64_t in[64][CONTEXTS];
    uint64_t written[64]; /* by the place in `spellings` */
} seen;

/* Options, and what makes types do different things. */
static const char *const spellings[] = {"condition:",
                                        "retry:",
                                        "timeout:",
                                        "on_error: continue",
                                        "on_error: {goto:",
                                        "on_error:\n",
                                        "depends_on:",
                                        "on_interrupt:",
                                        "output_to_file",
                                        "output_schema",
                                        "budget:",
                                        "parallel: true",
                                        "break_on_error",
                                        "break_condition",
                                        "continue_condition",
                                        "strategy: one_for_one",
                                        "strategy: one_for_all",
                                        "strategy: rest_for_one",
                                        "fail: collect",
                                        "action: load",
                                        "on_not_found",
                                        "pipeline_file:",
                                        "inherit_context: true",
                                        "{{file:",
                                        "codebase_context",
                                        "task_template",
                                        "tasks:\n",
                                        "scope: local",
                                        "operation: copy",
                                        "operation: delete",
                                        "operation: list",
                                        "operation: wait",
                                        "on_timeout:",
                                        "schema:",
                                        "allowed_tools",
                                        "type: \"{{",
                                        "default:\n",
                                        "max_parallel",
                                        "until:",
                                        "fallback_action:",
                                        "on_timeout: graceful",
                                        "on_timeout: retry",
                                        "prune_results:",
                                        "error_context_fields",
                                        "performance_budgets:",
                                        "stream_process",
                                        "stream_mode: true",
                                        "loop.parent.item",
                                        "operation: join",
                                        "operation: group_by",
                                        "operation: flatten",
                                        "on_interrupt: fail",
                                        "action_on_exceed: continue",
                                        "action_on_exceed: pause",
                                        "action_on_exceed: abort",
                                        "cache: {key: one}"};
enum { SPELLINGS = sizeof spellings / sizeof *spellings };

/* ---- keys ---- */

/* Keys of steps, and of the blocks in them, that were written: "type.key" or "block.key" -> its row. A key that is new
 * in a table wants a line in extras.c, or in what generate.c writes. */
static struct map keys_written;
static struct arena keys_arena;

/* Blocks that are described by tables of their own. */
static const struct {
    const char *name; /* of the key that holds one, wherever it is */
    const struct step_key *keys;
} blocks[] = {{"retry", retry_keys},
              {"cache", cache_keys},
              {"restart", restart_keys},
              {"budget", budget_keys},
              {"limits", limit_keys},
              {"config", call_config_keys},
              {"prompt", prompt_part_keys},
              {"performance_budgets", performance_budgets_keys},
              {"memory_limits", memory_limits_keys},
              {"graceful_timeout", graceful_timeout_keys},
              {"on_budget_exceeded", on_budget_exceeded_keys},
              {"prune_results", prune_results_keys}};
enum { BLOCKS = sizeof blocks / sizeof *blocks };

static void note_keys(const char *owner, const struct step_key *table, const struct val *v);

static void note_key(const char *owner, const struct step_key *row, const struct val *v)
{
    struct str name = arena_printf(&keys_arena, "%s.%s", owner, row->name);
    if (!map_get(&keys_written, name))
        map_put(&keys_written, name, (void *)row);
    for (size_t i = 0; i < BLOCKS; i++)
        if (strcmp(blocks[i].name, row->name) == 0)
            note_keys(blocks[i].name, blocks[i].keys, v);
}

static void note_keys(const char *owner, const struct step_key *table, const struct val *v)
{
    for (size_t i = 0; val_is(v, VAL_ARRAY) && i < v->arr.n; i++)
        note_keys(owner, table, &v->arr.v[i]);
    for (size_t i = 0; val_is(v, VAL_OBJECT) && i < v->obj.n; i++) {
        const struct step_key *row = key_find(table, v->obj.m[i].key);
        if (row)
            note_key(owner, key_canonical(table, row), &v->obj.m[i].val);
    }
}

static bool keys_of_table(const char *owner, const struct step_key *table)
{
    bool all = true;
    for (const struct step_key *k = table; k->name; k++) {
        struct str name = arena_printf(&keys_arena, "%s.%s", owner, k->name);
        if (k->alias_of || map_get(&keys_written, name))
            continue;
        printf("the key %.*s was never generated\n", STR_ARG(name));
        all = false;
    }
    return all;
}

static bool keys_surveyed(void)
{
    bool all = keys_of_table("step", step_common_keys);
    for (size_t i = 0; step_type_at(i); i++)
        all &= keys_of_table(step_type_at(i)->name, step_type_at(i)->keys);
    for (size_t i = 0; i < BLOCKS; i++)
        all &= keys_of_table(blocks[i].name, blocks[i].keys);
    return all;
}

/* Types of the tables only: what a task is may have one of its own, which is none of them. */
static size_t type_index(const struct step_type *t)
{
    size_t i = 0;
    while (step_type_at(i) && step_type_at(i) != t)
        i++;
    return i;
}

static size_t bodies_of(const struct step_type *t)
{
    size_t n = 0;
    for (const struct step_key *k = t->keys; k->name; k++)
        n += k->kind == KEY_STEPS && !k->alias_of;
    return n;
}

/* `called`: by a step, if the list is a workflow's own. */
static enum context context_of(const struct list_def *l, bool called)
{
    const struct step_def *owner = l->owner;
    if (!owner)
        return called ? CONTEXT_CALLED : CONTEXT_WORKFLOW;
    if (owner->handler == l)
        return CONTEXT_HANDLER;
    for (enum context c = CONTEXT_FOR; c < CONTEXT_GRAPH; c++)
        if (owner->type && strcmp(owner->type->name, contexts[c]) == 0)
            return c == CONTEXT_FOR && VAL_GET(owner->source, "parallel") ? CONTEXT_FOR_PAR : c;
    return CONTEXT_HANDLER; /* on_not_found */
}

static void survey_list(const struct list_def *l, unsigned depth)
{
    enum context context = context_of(l, depth > 0);
    for (size_t i = 0; i < l->n; i++) {
        const struct step_def *d = l->steps[i];
        if (depth <= DEPTH_MOST && !d->late_type)
            seen.at[type_index(d->type)][depth]++;
        if (!d->late_type) {
            note_keys(d->type->name, d->type->keys, d->source);
            note_keys("step", step_common_keys, d->source);
            seen.in[type_index(d->type)][context]++;
            seen.in[type_index(d->type)][CONTEXT_GRAPH] += l->graph;
        }
        for (size_t k = 0; d->lists && k < bodies_of(d->type); k++)
            if (d->lists[k])
                survey_list(d->lists[k], depth + 1);
        for (size_t k = 0; k < d->nbranches; k++)
            survey_list(d->branches[k].list, depth + 1);
        if (d->handler)
            survey_list(d->handler, depth + 1);
        if (d->child)
            survey_list(d->child->root, depth + 1);
    }
}

static void survey(const struct workflow *w, struct str text)
{
    survey_list(w->root, 0);
    note_keys("limits", limit_keys, VAL_GET(w->source, "limits"));
    for (size_t i = 0; i < SPELLINGS; i++)
        seen.written[i] += str_find(text, str_c(spellings[i])) != SIZE_MAX;
}

static void survey_print(void)
{
    printf("%-18s in as many bodies: 0", "step");
    for (unsigned d = 1; d <= DEPTH_MOST; d++)
        printf(" %7u", d);
    printf("\n");
    for (size_t i = 0; step_type_at(i); i++) {
        printf("%-34s", step_type_at(i)->name);
        for (unsigned d = 0; d <= DEPTH_MOST; d++)
            printf(" %7llu", (unsigned long long)seen.at[i][d]);
        printf("\n");
    }
    printf("%-20s in", "step");
    for (enum context c = 0; c < CONTEXTS; c++)
        printf(" %10s", contexts[c]);
    printf("\n");
    for (size_t i = 0; step_type_at(i); i++) {
        printf("%-22s", step_type_at(i)->name);
        for (enum context c = 0; c < CONTEXTS; c++)
            printf(" %10llu", (unsigned long long)seen.in[i][c]);
        printf("\n");
    }
}

/* A way out of a loop stands in its body. (A break in one that runs side by side is a matter of time.) */
static bool belongs(const struct step_type *t, enum context c)
{
    return !t->leaves || c == CONTEXT_FOR || c == CONTEXT_WHILE;
}

/* What has bodies itself needs room below. */
static unsigned deepest(const struct step_type *t)
{
    bool inner = bodies_of(t) || t->boundary;
    for (const struct step_key *k = t->keys; k->name; k++)
        inner |= k->kind == KEY_BRANCHES;
    return inner ? DEPTH_MOST - 1 : DEPTH_MOST;
}

/* `contexts_too`: there were seeds enough for that. */
static bool surveyed(bool contexts_too)
{
    bool all = true;
    for (size_t i = 0; step_type_at(i); i++)
        for (unsigned d = step_type_at(i)->leaves ? 1 : 0; d <= deepest(step_type_at(i)); d++)
            if (!seen.at[i][d]) {
                printf("no %s was generated inside %u bodies\n", step_type_at(i)->name, d);
                all = false;
            }
    for (size_t i = 0; step_type_at(i); i++)
        for (enum context c = 0; c < CONTEXTS; c++)
            if (contexts_too && !seen.in[i][c] && belongs(step_type_at(i), c)) {
                printf("no %s was generated in the context %s\n", step_type_at(i)->name, contexts[c]);
                all = false;
            }
    for (size_t i = 0; i < SPELLINGS; i++)
        if (!seen.written[i]) {
            printf("`%s` was never generated\n", spellings[i]);
            all = false;
        }
    all &= !contexts_too || keys_surveyed();
    return all;
}
