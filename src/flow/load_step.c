/* Steps and the lists they stand in.
 *
 * A list is read in three rounds: first every step gets its name and place, so that siblings can refer to one another
 * in any order; then each step's keys are read, which recurses into the lists inside; then depends_on and goto are
 * resolved. A step with a mistake stays in the list, so that one mistake does not make every reference to it another.
 */
#include "flow/compose.h"
#include "flow/habits.h"
#include "flow/load_int.h"

#include <stdlib.h>

/* ---- names ---- */

/* Words that an expression never reads as a name. (Roots such as `loop` may be names of steps: steps.loop.) */
static const char *const reserved[] = {"true", "false", "null", "and", "or", "not", "in", "not_in"};

static bool name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
           c == '-';
}

static struct str name_remedy(struct loader *l, struct str name)
{
    char z[LOAD_NAME_MAX + 1];
    size_t n = 0;
    for (size_t i = 0; i < name.n && n < LOAD_NAME_MAX; i++) {
        bool good = name_char(name.p[i]);
        if (good || (n && z[n - 1] != '_'))
            z[n++] = good ? name.p[i] : '_';
    }
    while (n && (z[n - 1] == '_' || z[n - 1] == '.'))
        n--;
    return arena_str(l->ps->a, n ? str_n(z, n) : STR("step_1"));
}

static bool name_check(struct loader *l, const struct val *v, struct str name)
{
    bool dots = true, good = name.n > 0;
    for (size_t i = 0; i < name.n; i++) {
        dots &= name.p[i] == '.';
        good &= name_char(name.p[i]);
    }
    if (!good || dots) {
        BAD(l, v, "`%s` cannot be the name of a step; expected only letters, digits, `_`, `-` and `.`, as in `%s`",
            clip(name).z, clip(name_remedy(l, name)).z);
        return false;
    }
    if (name.n > LOAD_NAME_MAX) {
        BAD(l, v, "the name of this step is %zu bytes long; expected at most %d", name.n, LOAD_NAME_MAX);
        return false;
    }
    for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
        if (str_is(name, reserved[i])) {
            BAD(l, v,
                "`%s` is a word of the language and cannot be the name of a step; expected another, as in `%s_step`",
                clip(name).z, clip(name).z);
            return false;
        }
    return true;
}

static void step_name(struct loader *l, struct step_def *s)
{
    const struct member *m = val_member(s->source, STR("name")), *id = val_member(s->source, STR("id"));
    if (m && id)
        problem_add(l->ps, false, id->line, id->col, "`id` and `name` mean the same; expected one of them, `name`");
    if (!m && id)
        load_older(l, id, "`name`");
    m = m ? m : id;
    if (!m) {
        BAD(l, s->source, "a step has no `name`; expected one, unique in its list");
        return;
    }
    struct str name;
    if (load_text(l, m, &name)) {
        s->name = name;
        if (str_find(name, STR("{{")) != SIZE_MAX) {
            load_late_name(l, s, &m->val);
            s->name = name = late_plain_name(l->a, name);
        }
        (void)name_check(l, &m->val, name);
    }
}

/* ---- types ---- */

/* Every type of the language; what step_type_find() does not know of them is to come. */
static const char *const language_types[] = {
    "claude",
    "gemini",
    "llm",
    "predict",
    "claude_smart",
    "claude_session",
    "claude_extract",
    "claude_batch",
    "claude_robust",
    "parallel_claude",
    "gemini_instructor",
    "command",
    "for_loop",
    "while_loop",
    "switch",
    "parallel",
    "pipeline",
    "break",
    "continue",
    "set_variable",
    "data_transform",
    "file_ops",
    "codebase_query",
    "checkpoint",
    "approval",
    "wait_signal",
    "sleep",
    "test_echo",
    "wait",
};

static void type_unknown(struct loader *l, const struct val *v, struct str name)
{
    if (problems_full(l->ps, false)) {
        BAD(l, v, "unknown step type `%s`", clip(name).z);
        return;
    }
    for (size_t i = 0; i < sizeof language_types / sizeof *language_types; i++)
        if (str_is(name, language_types[i])) {
            struct str have = STR("");
            for (size_t k = 0; step_type_at(k) && have.n < 400; k++)
                have = arena_printf(l->ps->a, "%.*s%s%s", STR_ARG(have), k ? ", " : "", step_type_at(k)->name);
            BAD(l, v, "step type `%s` is not available in this version; expected one of: %.*s", clip(name).z,
                STR_ARG(have));
            return;
        }
    const char *habit = habit_type(name);
    if (habit) {
        BAD(l, v, "unknown step type `%s`; expected `type: %s`", clip(name).z, habit);
        return;
    }
    struct nearest near = {.want = name};
    struct str list = STR("");
    for (size_t i = 0; step_type_at(i); i++) {
        const struct step_type *t = step_type_at(i);
        nearest_try(&near, str_c(t->name));
        nearest_try_words(&near, t->aliases);
        list = arena_printf(l->ps->a, "%.*s%s%s", STR_ARG(list), list.n ? ", " : "expected one of: ", t->name);
    }
    BAD(l, v, "unknown step type `%s`; %s", clip(name).z, load_hint(l, &near, list.p));
}

static void step_type_read(struct loader *l, struct step_def *s)
{
    const struct member *m = val_member(s->source, STR("type"));
    const struct step_type *group = s->list->owner ? s->list->owner->type : NULL;
    if (!m && group && (group->task || group->each)) {
        s->type = group->task ? group->task : group->each;
        s->type_name = str_c(s->type->name);
        return;
    }
    if (!m) {
        struct nearest near = {.want = STR("type")};
        for (size_t i = 0; i < s->source->obj.n; i++)
            nearest_try(&near, s->source->obj.m[i].key);
        m = near.name.n ? val_member(s->source, near.name) : NULL;
        problem_add(l->ps, false, m ? m->line : s->source->line, m ? m->col : s->source->col,
                    "step `%s` has no `type`%s%s%s; expected one, such as `type: claude` or `type: command`",
                    clip(s->name).z, m ? " but `" : "", m ? clip(m->key).z : "", m ? "`" : "");
        return;
    }
    if (!load_text(l, m, &s->type_name))
        return;
    if (str_find(s->type_name, STR("{{")) != SIZE_MAX) {
        load_late_type(l, s, &m->val);
        return;
    }
    s->type = step_type_of(s->type_name, s->source);
    if (!s->type)
        type_unknown(l, &m->val, s->type_name);
}

/* ---- one step ---- */

static bool is_leaf(const struct step_def *s)
{
    const struct step_type *t = s->type;
    if (t->each && s->nbranches)
        return false;
    for (const struct step_key *k = t->keys; k->name; k++)
        if (k->kind == KEY_STEPS || k->kind == KEY_BRANCHES || k->kind == KEY_TASKS)
            return false;
    return !t->boundary;
}

static void step_defaults(struct loader *l, struct step_def *s, const struct common *c)
{
    if (!c->on_error_set && l->continue_on_error)
        s->on_error = ON_ERROR_CONTINUE;
    if (!s->type || !is_leaf(s)) /* a loop's attempts would multiply with those of its steps */
        return;
    if (!c->timeout_set && !key_find(s->type->keys, STR("timeout")))
        s->timeout_ms = l->timeout_ms;
    if (!c->retry_set && l->retry.set)
        s->retry = l->retry;
    if (s->budget.usd < 0 && step_type_asks(s->type))
        s->budget.usd = l->step_usd;
}

/* What starts again the parts of a step that fail is asked for where there are no parts. */
static bool is_restart_policy(struct str key)
{
    return str_is(key, "restart") || str_is(key, "strategy");
}

static void unknown_key(struct loader *l, const struct step_def *s, const struct member *m)
{
    if (is_restart_policy(m->key))
        problem_add(
            l->ps, false, m->line, m->col,
            "`%s` has no meaning in step `%s` (%s), which does nothing side by side; expected `retry`, or one of "
            "parallel, for_loop with `parallel: true`, claude_batch and parallel_claude",
            clip(m->key).z, clip(s->name).z, s->type->name);
    else
        load_unknown_key(l, m, arena_printf(l->ps->a, "step `%s` (%s)", clip(s->name).z, s->type->name).p,
                         s->type->keys, step_common_keys);
}

static void step_keys(struct loader *l, struct step_def *s, struct common *c, unsigned depth)
{
    for (size_t i = 0; i < s->source->obj.n; i++) {
        const struct member *m = &s->source->obj.m[i];
        if (s->type && key_find(s->type->keys, m->key))
            continue;
        const struct step_key *row = key_find(step_common_keys, m->key);
        if (row)
            load_common_key(l, s, c, row, m, depth);
        else if (s->type && s->type != &step_late && !load_unused_key(l, m, step_unused_keys))
            unknown_key(l, s, m);
    }
    if (s->type == &step_late)
        load_late_keys(l, s);
    else if (s->type)
        load_type_keys(l, s, depth);
    if (s->type && s->type->boundary)
        load_call(l, s, c, depth);
    step_defaults(l, s, c);
    load_outcome_check(l, s);
    if (s->type && s->type != &step_late)
        load_cache_settle(l, s, l->a);
}

static bool says(const struct step_def *s, const char *const *keys)
{
    for (; *keys; keys++)
        if (val_get(s->source, str_c(*keys)))
            return true;
    return false;
}

/* The defaults for steps that contain no others were given to it, since it might have come to be one. */
static void late_call(struct loader *l, struct step_def *s, unsigned depth)
{
    static const char *const timeouts[] = {"timeout", "timeout_seconds", "timeout_ms", NULL};
    static const char *const retries[] = {"retry", "max_retries", "retry_config", "max_attempts", NULL};
    static const char *const errors[] = {"on_error", "continue_on_error", "error_handler", NULL};
    const struct common c = {
        .timeout_set = says(s, timeouts), .retry_set = says(s, retries), .on_error_set = says(s, errors)};
    if (!c.timeout_set)
        s->timeout_ms = 0;
    if (!c.retry_set)
        s->retry = load_retry_default();
    load_call(l, s, &c, depth);
}

void load_late_type_keys(struct loader *l, struct step_def *s, unsigned depth)
{
    for (size_t i = 0; i < s->source->obj.n; i++) {
        const struct member *m = &s->source->obj.m[i];
        if (!key_find(s->type->keys, m->key) && !key_find(step_common_keys, m->key) &&
            !load_unused_key(l, m, step_unused_keys))
            unknown_key(l, s, m);
    }
    load_type_keys(l, s, depth);
    if (s->type->boundary)
        late_call(l, s, depth);
    load_cache_settle(l, s, l->a);
}

static void all_push(struct loader *l, struct step_def *s)
{
    if (l->nall == l->all_cap) {
        size_t cap = l->all_cap ? 2 * l->all_cap : 32;
        struct step_def **v = arena_calloc(l->a, cap, sizeof *v);
        if (l->nall)
            memcpy(v, l->all, l->nall * sizeof *v);
        l->all = v;
        l->all_cap = cap;
    }
    l->all[l->nall++] = s;
    const struct step_type *group = s->list->owner ? s->list->owner->type : NULL;
    if ((!group || !group->each || group->each != s->type) && !map_get(&l->by_name, s->name))
        map_put(&l->by_name, s->name, s);
}

static struct step_def *step_new(struct loader *l, const struct val *v, const struct list_def *list, size_t index)
{
    struct step_def *s = ARENA_NEW(l->a, struct step_def);
    v = load_modern_step(l, v);
    *s = (struct step_def){.list = list,
                           .workflow = l->w,
                           .index = index,
                           .line = v->line,
                           .col = v->col,
                           .source = v,
                           .retry = load_retry_default(),
                           .budget = {.usd = -1, .tokens = -1}};
    step_name(l, s);
    step_type_read(l, s);
    return s;
}

/* ---- lists ---- */

static int by_name(const void *a, const void *b, void *ctx)
{
    struct step_def *const *steps = ctx;
    size_t i = *(const size_t *)a, k = *(const size_t *)b;
    int order = str_cmp(steps[i]->name, steps[k]->name);
    return order ? order : i < k ? -1 : i > k;
}

static void list_names(struct loader *l, struct list_def *list, struct step_def **steps)
{
    size_t *order = arena_calloc(l->a, list->n ? list->n : 1, sizeof *order);
    for (size_t i = 0; i < list->n; i++)
        order[i] = i;
    qsort_r(order, list->n, sizeof *order, by_name, steps);
    list->by_name = order;
    for (size_t i = 1; i < list->n; i++) {
        const struct step_def *first = steps[order[i - 1]], *s = steps[order[i]];
        if (s->name.n == 0 || !str_eq(first->name, s->name))
            continue;
        const struct val *at = VAL_GET(s->source, "name");
        BAD(l, at ? at : s->source,
            "another step of this list is called `%s` (line %u); expected a name of its own, as in `%s_%zu`",
            clip(s->name).z, PLACE_LINE(first->line), clip(s->name).z, i + 1);
    }
}

static int by_value(const void *a, const void *b, void *ctx)
{
    struct step_def *const *steps = ctx;
    size_t i = *(const size_t *)a, k = *(const size_t *)b;
    int order = str_cmp(steps[i]->value_name, steps[k]->value_name);
    return order ? order : i < k ? -1 : i > k;
}

static void list_values(struct loader *l, struct list_def *list, struct step_def **steps)
{
    size_t n = 0;
    for (size_t i = 0; i < list->n; i++)
        n += steps[i]->value_name.n > 0;
    size_t *order = arena_calloc(l->a, n ? n : 1, sizeof *order);
    for (size_t i = 0; i < list->n; i++)
        if (steps[i]->value_name.n)
            order[list->nvalues++] = i;
    qsort_r(order, n, sizeof *order, by_value, steps);
    list->by_value = order;
}

static bool list_shape(struct loader *l, const struct val *v, const struct step_def *owner, unsigned depth)
{
    if (v->type != VAL_ARRAY) {
        BAD(l, v, "`steps` is %s; expected a list of steps, each beginning with `- name:`", load_found(v));
        return false;
    }
    if (v->arr.n == 0) {
        BAD(l, v, "the list of steps is empty; expected at least one step");
        return false;
    }
    if (depth >= LOAD_DEPTH_MAX) {
        BAD(l, v, "steps are nested too deeply in `%s`; expected at most %d levels", owner ? clip(owner->name).z : "",
            LOAD_DEPTH_MAX);
        return false;
    }
    if (v->arr.n > LOAD_LIST_MAX) {
        BAD(l, v, "a list of %zu steps; expected at most %d", v->arr.n, LOAD_LIST_MAX);
        return false;
    }
    if (l->nall + v->arr.n > LOAD_STEPS_MAX) {
        if (!l->too_many)
            BAD(l, v, "the workflow has too many steps; expected at most %d in all", LOAD_STEPS_MAX);
        l->too_many = true;
        return false;
    }
    return true;
}

const struct list_def *load_list(struct loader *l, const struct val *v, const struct step_def *owner,
                                 struct str iterator, unsigned depth)
{
    struct list_def *list = ARENA_NEW(l->a, struct list_def);
    *list = (struct list_def){.owner = owner, .iterator = iterator};
    size_t room = list_shape(l, v, owner, depth) ? v->arr.n : 0;
    struct step_def **steps = arena_calloc(l->a, room + 1, sizeof *steps);
    for (size_t i = 0; i < room; i++) {
        const struct val *item = &v->arr.v[i];
        if (item->type == VAL_OBJECT)
            steps[list->n] = step_new(l, item, list, list->n), list->n++;
        else
            BAD(l, item, "a step is %s; expected a map with `name` and `type`", load_found(item));
    }
    list->steps = (const struct step_def *const *)steps;
    list_names(l, list, steps);
    struct common *common = arena_calloc(l->a, list->n + 1, sizeof *common);
    for (size_t i = 0; i < list->n; i++) {
        all_push(l, steps[i]);
        step_keys(l, steps[i], &common[i], depth);
        list->keeps_last |= steps[i]->type && steps[i]->type->keeps_last;
    }
    list_values(l, list, steps);
    load_graph(l, list, common);
    return list;
}
