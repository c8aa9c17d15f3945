/* The loader: what valid workflows mean, what broken ones are told, and that hostile ones stay within bounds.
 *
 * The broken ones are files in tests/scenario/broken. Each begins with what must be reported, one line a problem:
 *   # expect: LINE:COL: what is wrong || what was expected
 * Nothing else may be reported as an error. */
#include "data/json.h"
#include "flow/keys.h"
#include "load_util.h"

#include <setjmp.h>

#include <cmocka.h>
#include <dirent.h>
#include <time.h>

static struct workflow *load_ok(const char *text)
{
    if (!load_any(str_c(text)))
        fail_msg("does not load:\n%s", buf_str(&loaded.shown).p);
    return loaded.w;
}

static struct workflow *load_clean(const char *text)
{
    load_ok(text);
    if (loaded.ps.n)
        fail_msg("loads with warnings:\n%s", buf_str(&loaded.shown).p);
    return loaded.w;
}

static const struct step_def *step(const char *name)
{
    for (size_t i = 0; i < loaded.w->nall; i++)
        if (str_is(loaded.w->all[i]->name, name))
            return loaded.w->all[i];
    fail_msg("no step %s", name);
    return NULL;
}

static bool is_text(const struct val *v, const char *z)
{
    return val_is(v, VAL_STR) && str_is(v->s, z);
}

static struct str read_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    char *p = malloc(1 << 20);
    assert_non_null(p);
    size_t n = fread(p, 1, 1 << 20, f);
    fclose(f);
    return str_n(p, n);
}

/* ---- broken workflows ---- */

/* The header line at `*text`: where, what and the remedy. False when there is no more. */
static bool next_expected(struct str *text, unsigned *line, unsigned *col, struct str *what, struct str *remedy)
{
    size_t end = str_find(*text, STR("\n")), bars;
    struct str row = str_n(text->p, end);
    int n = 0;
    if (end == SIZE_MAX || !str_starts(row, STR("# expect: ")) ||
        sscanf(row.p, "# expect: %u:%u: %n", line, col, &n) != 2 || n == 0)
        return false;
    *text = str_from(*text, end + 1);
    bars = str_find(row, STR(" || "));
    assert_true(bars != SIZE_MAX);
    *what = str_n(row.p + n, bars - (size_t)n);
    *remedy = str_from(row, bars + 4);
    return true;
}

static const char *check_broken(struct str text)
{
    struct str rest = text, what, remedy;
    unsigned line, col;
    size_t i = 0, count = 0;
    if (str_find(text, STR("# reads other files\n")) != SIZE_MAX) /* the program does; see test_broken.py */
        return load_any(text) ? NULL : "it does not load by itself";
    if (load_any(text))
        return "it loads";
    for (; next_expected(&rest, &line, &col, &what, &remedy); i++, count++) {
        while (i < loaded.ps.n && loaded.ps.v[i].warning)
            i++;
        if (i >= loaded.ps.n)
            return "fewer problems than expected";
        const struct problem *p = &loaded.ps.v[i];
        if (p->line != line || p->col != col)
            return "another place";
        size_t at = str_find(p->text, what);
        if (at == SIZE_MAX)
            return "another diagnosis";
        if (str_find(str_from(p->text, at), remedy) == SIZE_MAX)
            return "another remedy";
    }
    if (count == 0)
        return "no `# expect:` line";
    return loaded.ps.errors == count ? NULL : "more problems than expected";
}

static void test_broken(void **state)
{
    (void)state;
    const char *source = getenv("TREADLE_SOURCE_DIR");
    char path[4096];
    snprintf(path, sizeof path, "%s/tests/scenario/broken", source ? source : "../..");
    DIR *d = opendir(path);
    assert_non_null(d);
    size_t dir = strlen(path), count = 0, failed = 0;
    for (struct dirent *e; (e = readdir(d));) {
        if (!str_ends(str_c(e->d_name), STR(".yaml")))
            continue;
        snprintf(path + dir, sizeof path - dir, "/%s", e->d_name);
        struct str text = read_file(path);
        const char *wrong = check_broken(text);
        if (wrong) {
            print_error("%s: %s; reported:\n%s\n", e->d_name, wrong, buf_str(&loaded.shown).p);
            failed++;
        }
        free((void *)text.p);
        count++;
    }
    closedir(d);
    assert_int_equal(failed, 0);
    assert_true(count >= 130);
}

/* ---- what valid ones mean ---- */

static const char repair[] =
    "workflow:\n"
    "  name: repair\n"
    "  description: Makes the tests pass\n"
    "  inputs:\n"
    "    project: {type: string, required: true, description: \"where\"}\n"
    "    rounds:  {type: integer, default: 3}\n"
    "  variables: {seen: [], score: 0}\n"
    "  output: \"{{ steps.report.text }}\"\n"
    "  workspace_dir: ./work\n"
    "  output_dir: ./out\n"
    "  defaults: {timeout: 10m, retry: {max_attempts: 4, delay: 2s}, claude_options: {max_turns: 3}}\n"
    "  budget: {usd: 1.00, tokens: 500000}\n"
    "  secrets: [GITHUB_TOKEN]\n"
    "  env: [HOME]\n"
    "  limits: {wall: 2h, frames: 100000, memory: 512MB, journal: 1GB, max_parallel: 64, max_depth: 10}\n"
    "  steps:\n"
    "    - name: scan\n"
    "      type: bash\n"
    "      run: \"ls {{ quote([inputs.project, env.HOME, workflow.name, run.id, timestamp]) }}\"\n"
    "      timeout: 5s\n"
    "      on_error: {goto: report}\n"
    "    - name: each\n"
    "      type: for_loop\n"
    "      iterator: file\n"
    "      data_source: steps.scan.stdout\n"
    "      steps:\n"
    "        - name: look\n"
    "          type: claude\n"
    "          prompt: \"{{ loop.file }} {{ file }} {{ loop.index + 1 }} {{ loop.first }} {{ loop.total }}\"\n"
    "          retry: {max_attempts: 2, backoff: linear, jitter: false, on: [timeout, rate_limit]}\n"
    "        - name: note\n"
    "          type: set_variable\n"
    "          variables: {seen: \"{{ state.seen + [file] }}\", last: \"{{ steps.look.text }}\"}\n"
    "        - name: cells\n"
    "          type: for_loop\n"
    "          data_source: \"{{ [1, 2] }}\"\n"
    "          steps:\n"
    "            - {name: deep, type: test_echo, value: \"{{ loop.parent.file }} {{ item }} {{ steps.look }}\"}\n"
    "    - name: improve\n"
    "      type: while_loop\n"
    "      condition: \"steps.test.exit_code != 0 and state.score < 90\"\n"
    "      max_iterations: \"{{ inputs.rounds }}\"\n"
    "      steps:\n"
    "        - name: fix\n"
    "          type: claude\n"
    "          condition: {and: [\"steps.test.exit_code != 0\", {not: \"steps.test.exit_code == 2\"}]}\n"
    "          prompt: [{type: previous_response, step: test, extract: stdout}]\n"
    "        - name: test\n"
    "          type: command\n"
    "          run: [make, test]\n"
    "          on_error: continue\n"
    "    - name: report\n"
    "      type: llm\n"
    "      model: openai/x\n"
    "      prompt: \"{{ steps.improve.iterations }} {{ last || 'none' }}\"\n"
    "      on_error:\n"
    "        steps:\n"
    "          - {name: tell, type: test_echo, value: \"{{ error.message }} {{ steps.scan.exit_code }}\"}\n"
    "      output_to_file: \"report_{{ run.id }}.md\"\n"
    "      output_schema: {type: object}\n"
    "      on_interrupt: hold\n"
    "      budget: {usd: 0.2}\n";

/* It uses every key, also those that this version only warns of. */
static struct workflow *load_repair(void)
{
    load_ok(repair);
    for (size_t i = 0; i < loaded.ps.n; i++)
        if (str_find(loaded.ps.v[i].text, STR(" in this version")) == SIZE_MAX)
            fail_msg("loads with other warnings:\n%s", buf_str(&loaded.shown).p);
    assert_int_equal(loaded.ps.n, 0);
    return loaded.w;
}

static void test_workflow_keys(void **state)
{
    (void)state;
    struct workflow *w = load_repair();
    assert_true(str_is(w->name, "repair") && str_is(w->description, "Makes the tests pass"));
    assert_true(str_eq(w->text, str_c(repair)));
    assert_true(str_is(w->workspace_dir, "./work") && str_is(w->output_dir, "./out"));
    assert_int_equal(w->ninputs, 2);
    assert_true(str_is(w->inputs[1].name, "rounds") && w->inputs[1].type == VAL_INT && w->inputs[1].fallback->i == 3);
    assert_true(w->inputs[0].required && str_is(w->inputs[0].description, "where"));
    assert_true(w->budget.usd == 1.0 && w->budget.tokens == 500000);
    assert_true(w->nenv == 1 && str_is(w->env[0], "HOME") && w->nsecrets == 1 && str_is(w->secrets[0], "GITHUB_TOKEN"));
    assert_int_equal(w->limits.wall_ms, 7200000);
    assert_int_equal(w->limits.frames, 100000);
    assert_int_equal(w->limits.memory, 512 << 20);
    assert_int_equal(w->limits.journal, 1 << 30);
    assert_int_equal(w->limits.max_parallel, 64);
    assert_int_equal(w->limits.max_depth, 10);
    assert_int_equal(VAL_GET(VAL_GET(w->defaults, "claude_options"), "max_turns")->i, 3);
    assert_non_null(w->output);
    assert_int_equal(w->root->n, 4);
    assert_int_equal(w->nall, 11);
    assert_ptr_equal(workflow_ref(w), w);
    workflow_unref(w);
}

static void test_step_keys(void **state)
{
    (void)state;
    load_repair();
    const struct step_def *scan = step("scan"), *look = step("look"), *each = step("each"), *report = step("report"),
                          *fix = step("fix"), *test = step("test"), *improve = step("improve");
    assert_true(str_is(scan->type_name, "bash") && strcmp(scan->type->name, "command") == 0);
    assert_true(scan->line == 17 && scan->col == 7 && scan->index == 0 && scan->list == loaded.w->root);
    assert_int_equal(scan->timeout_ms, 5000);
    assert_int_equal(scan->on_error, ON_ERROR_GOTO);
    assert_int_equal(scan->goto_index, report->index);
    assert_int_equal(look->timeout_ms, 600000); /* from defaults */
    assert_true(scan->retry.set && scan->retry.max_attempts == 4 && scan->retry.delay_ms == 2000);
    assert_true(look->retry.max_attempts == 2 && look->retry.backoff == BACKOFF_LINEAR && !look->retry.jitter);
    assert_int_equal(look->retry.on, 1u << RC_TIMEOUT | 1u << RC_RATE_LIMIT);
    assert_int_equal(each->timeout_ms, 0); /* defaults are for leaves: attempts would multiply */
    assert_true(!each->retry.set && each->retry.max_attempts == 1);
    const struct list_def *body = each->lists[step_key_slot(each->type, "steps")];
    assert_true(body->n == 3 && body->owner == each && str_is(body->iterator, "file") && !body->graph);
    assert_ptr_equal(list_find(body, STR("note")), body->steps[1]);
    assert_null(list_find(body, STR("fix")));
    assert_true(str_is(step("deep")->list->iterator, "item")); /* the default of the key */
    assert_int_equal(improve->conds[step_key_slot(improve->type, "condition")]->kind, COND_EXPR);
    assert_null(improve->condition);
    assert_true(fix->condition->kind == COND_AND && fix->condition->n == 2 && fix->condition->sub[1]->kind == COND_NOT);
    assert_int_equal(test->on_error, ON_ERROR_CONTINUE);
    assert_int_equal(report->on_error, ON_ERROR_STEPS);
    assert_true(report->handler->n == 1 && report->handler->owner == report);
    assert_int_equal(report->on_interrupt, ON_INTERRUPT_HOLD);
    assert_true(report->output_to_file && report->output_schema && report->budget.usd == 0.2);
    assert_true(report->budget.tokens == -1 && scan->budget.usd == -1);
    assert_true(is_text(VAL_GET(scan->source, "name"), "scan"));
}

/* ---- evaluation of a configuration ---- */

static enum rc resolve_x(void *ctx, const struct val *key, size_t n, struct arena *a, const struct val **ret,
                         size_t *ret_used, struct err *err)
{
    static const struct val seven = {.type = VAL_INT, .i = 7};
    (void)ctx, (void)n, (void)a;
    if (!str_is(key[0].s, "x"))
        return err_set(err, RC_NOT_FOUND, "unknown");
    *ret = &seven;
    *ret_used = 1;
    return RC_OK;
}

static struct val config_of(const char *name)
{
    struct expr_scope scope = {.resolve = resolve_x};
    struct err err;
    struct val v;
    assert_int_equal(tmpl_tree_eval(step(name)->config, &scope, &loaded.a, &v, &err), RC_OK);
    return v;
}

static void test_prompt_parts(void **state)
{
    (void)state;
    load_clean("workflow:\n"
               "  name: w\n"
               "  variables: {x: 1}\n"
               "  steps:\n"
               "    - {name: s, type: test_echo}\n"
               "    - name: a\n"
               "      type: claude\n"
               "      prompt:\n"
               "        - {type: static, content: \"one {{ x }}\"}\n"
               "        - {type: dynamic, content: \"two\"}\n"
               "        - {type: static, content: \"{{{ {{ x }} {{{{ {\", raw: true}\n"
               "        - {type: file, path: \"notes/{{ x }}.md\"}\n"
               "        - {type: file, path: notes/fixed.md, condition: \"{{ x }} > 3\"}\n"
               "        - {type: previous_response, step: s, extract: \"a[0].b\", max_length: 10,\n"
               "           condition: {and: [\"x == 1\", \"steps.s exists\"]}}\n");
    struct val config = config_of("a");
    const struct val *p = VAL_GET(&config, "prompt");
    assert_int_equal(p->arr.n, 6);
    assert_true(is_text(VAL_GET(val_at(p, 0), "content"), "one 7"));
    assert_true(is_text(VAL_GET(val_at(p, 1), "type"), "static"));
    assert_true(is_text(VAL_GET(val_at(p, 2), "content"), "{{{ {{ x }} {{{{ {"));
    assert_true(is_text(VAL_GET(val_at(p, 3), "path"), "notes/7.md"));
    assert_true(is_text(VAL_GET(val_at(p, 4), "condition"), "{{ x }} > 3"));
    assert_true(is_text(val_at(VAL_GET(VAL_GET(val_at(p, 5), "condition"), "and"), 0), "x == 1"));
    assert_int_equal(loaded.w->nfiles, 1);
    assert_true(str_is(loaded.w->files[0].path, "notes/fixed.md") && loaded.w->files[0].step == step("a"));
    assert_int_equal(loaded.w->files[0].line, 13);
}

static void test_config(void **state)
{
    (void)state;
    load_clean("workflow:\n"
               "  name: w\n"
               "  variables: {x: 1}\n"
               "  steps:\n"
               "    - {name: a, type: bash, command: \"ls {{ quote(x) }}\", output_limit: 64KB, ok_exit: 3, env: {N: "
               "\"{{ x }}\"}}\n"
               "    - {name: b, type: claude, prompt: Hi, tools: [Read], max_turns: \"{{ x }}\", stop: end}\n"
               "    - name: c\n"
               "      type: for_loop\n"
               "      over: a:stdout\n"
               "      as: line\n"
               "      parallel: \"{{ x > 3 }}\"\n"
               "      steps:\n"
               "        - {name: d, type: test_echo, value: \"{{ line }}\"}\n");
    struct val a = config_of("a"), b = config_of("b"), c = config_of("c");
    assert_true(is_text(VAL_GET(&a, "run"), "ls 7") && !VAL_GET(&a, "command"));
    assert_true(val_eq(VAL_GET(&a, "ok_exit"), &(struct val){.type = VAL_INT, .i = 3}));
    assert_int_equal(VAL_GET(VAL_GET(&a, "env"), "N")->i, 7);
    assert_true(VAL_GET(&b, "allowed_tools") && VAL_GET(&b, "max_turns")->i == 7);
    assert_true(is_text(VAL_GET(&c, "data_source"), "a.stdout"));
    assert_true(VAL_GET(&c, "parallel")->b && !VAL_GET(&c, "iterator"));
    assert_true(is_text(VAL_GET(step("c")->data, "iterator"), "line"));
    assert_true(str_is(step("d")->list->iterator, "line"));
}

static void test_graph(void **state)
{
    (void)state;
    load_clean(
        "workflow:\n"
        "  name: w\n"
        "  steps:\n"
        "    - {name: last, type: test_echo, depends_on: [mid, first, mid], value: \"{{ steps.first }}\"}\n"
        "    - {name: first, type: test_echo}\n"
        "    - {name: mid, type: test_echo, depends_on: first}\n"
        "    - {name: end, type: test_echo, depends_on: [last], value: \"{{ steps.first }} {{ steps.mid }}\"}\n");
    const struct list_def *l = loaded.w->root;
    assert_true(l->graph);
    assert_int_equal(l->steps[0]->ndepends, 2);
    assert_int_equal(l->steps[0]->depends_on[0], 2);
    assert_int_equal(l->steps[0]->depends_on[1], 1);
    assert_int_equal(l->steps[1]->ndepends, 0);
    assert_int_equal(l->reach[3], 7); /* end: last, first, mid */
    assert_int_equal(l->reach[1], 0);
}

/* ---- older spellings ---- */

static void test_older(void **state)
{
    (void)state;
    struct workflow *w = load_ok("pipeline:\n"
                                 "  name: An older one\n"
                                 "  version: 1.0\n"
                                 "  global_vars: {n: 1}\n"
                                 "  resource_limits: {max_total_steps: 10, max_memory_mb: 64, max_cost_usd: 2}\n"
                                 "  safety: {sandbox_mode: true, max_nesting_depth: 4}\n"
                                 "  max_execution_time: 60\n"
                                 "  continue_on_error: true\n"
                                 "  retry_on_failure: true\n"
                                 "  retry_attempts: 4\n"
                                 "  checkpoint_enabled: true\n"
                                 "  steps:\n"
                                 "    - {id: a, type: command, command: ls, timeout_seconds: 5, max_retries: 2}\n"
                                 "    - {name: b, type: command, run: ls, continue_on_error: false, timeout_ms: 1500,\n"
                                 "       retry_config: {max_retries: 1, backoff_strategy: fixed, base_delay_ms: 250,\n"
                                 "                      retry_on: [connection_error, a word]}}\n"
                                 "    - {name: c, type: command, run: \"{{ global_vars.n }} {{ a.stdout }}\",\n"
                                 "       error_handler: [{name: h, type: test_echo}]}\n"
                                 "    - {name: d, type: command, run: ls, role: muscle, metadata: {x: 1}}\n");
    assert_true(str_is(w->name, "An older one") && w->limits.frames == 10 && w->limits.memory == 64 << 20);
    assert_true(w->limits.wall_ms == 60000 && w->limits.max_depth == 4 && w->budget.usd == 2.0);
    const struct step_def *a = step("a"), *b = step("b"), *c = step("c"), *d = step("d");
    assert_true(a->timeout_ms == 5000 && a->retry.max_attempts == 3 && a->on_error == ON_ERROR_CONTINUE);
    assert_true(b->timeout_ms == 1500 && b->retry.max_attempts == 2 && b->retry.backoff == BACKOFF_FIXED);
    assert_true(b->retry.delay_ms == 250 && b->retry.on == 1u << RC_NETWORK && b->on_error == ON_ERROR_FAIL);
    assert_true(c->on_error == ON_ERROR_STEPS && c->handler->n == 1);
    assert_true(d->retry.max_attempts == 5 && d->retry.set);
    static const char *const warnings[] = {"the root key `pipeline`",
                                           "`global_vars` is an older form; expected `variables`",
                                           "`sandbox_mode` of `safety`",
                                           "expected limits: {wall: …}",
                                           "`checkpoint_enabled` has no effect",
                                           "`id` is an older form; expected `name`",
                                           "expected `timeout`",
                                           "`max_retries` is an older form; expected `retry`",
                                           "expected `on_error`",
                                           "`timeout_ms` is an older form",
                                           "`retry_config` is an older form",
                                           "unknown class of errors `a word`",
                                           "in a shell command can run anything",
                                           "`error_handler` is an older form"};
    assert_int_equal(loaded.ps.n, sizeof warnings / sizeof *warnings);
    for (size_t i = 0; i < loaded.ps.n; i++)
        assert_true(str_find(loaded.ps.v[i].text, str_c(warnings[i])) != SIZE_MAX);
    load_ok("name: at_root\nsteps:\n  - {name: a, type: test_echo}\n");
    assert_true(str_is(loaded.w->name, "at_root") && loaded.ps.n == 1);
    load_ok("workflow: {name: beside}\nsteps:\n  - {name: a, type: test_echo}\n");
    assert_true(str_is(loaded.w->name, "beside") && loaded.ps.n == 1);
}

static void test_retry_forms(void **state)
{
    (void)state;
    static const struct {
        const char *yaml;
        int64_t attempts, delay, max_delay;
    } cases[] = {
        {"retry: 3", 3, 1000, 30000},
        {"retry: true", 3, 1000, 30000},
        {"retry: false", 1, 1000, 30000},
        {"retry: {}", 3, 1000, 30000},
        {"retry: {max_attempts: 1}", 1, 1000, 30000},
        {"retry: {delay: 40s}", 3, 40000, 40000},
        {"retry: {max_delay: 100ms}", 3, 100, 100},
        {"max_attempts: 6", 6, 1000, 30000},
        {"max_retries: 0", 1, 1000, 30000},
        {"description: x", 1, 1000, 30000},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[300];
        snprintf(text, sizeof text, "workflow: {name: w, steps: [{name: a, type: test_echo, %s}]}", cases[i].yaml);
        load_ok(text);
        const struct retry_policy *r = &step("a")->retry;
        if (r->max_attempts != cases[i].attempts || r->delay_ms != cases[i].delay ||
            r->max_delay_ms != cases[i].max_delay || !r->jitter || r->on)
            fail_msg("%s: %lld attempts", cases[i].yaml, (long long)r->max_attempts);
        assert_int_equal(r->set, i + 1 < sizeof cases / sizeof *cases);
    }
    load_clean("workflow: {name: w, steps: [{name: a, type: test_echo, retry: {on: any}}]}");
    uint64_t on = step("a")->retry.on;
    assert_true(on & 1ull << RC_COMMAND && on & 1ull << RC_INTERNAL && !(on & 1ull << RC_CANCELLED) && !(on & 1));
}

/* Every row of the common keys means something: a value of a wrong kind is noticed, whichever spelling it has. */
static void test_common_rows(void **state)
{
    (void)state;
    for (const struct step_key *k = step_common_keys; k->name; k++) {
        if (strcmp(k->name, "metadata") == 0 || strcmp(k->name, "role") == 0)
            continue; /* anything goes */
        char text[300];
        bool name = str_is(str_c(k->name), "name") || str_is(str_c(k->name), "id");
        bool type = str_is(str_c(k->name), "type");
        snprintf(text, sizeof text, "workflow: {name: w, steps: [{%s %s %s: [[1]]}]}", name ? "" : "name: a,",
                 type ? "" : "type: test_echo,", k->name);
        if (load_any(str_c(text)))
            fail_msg("%s: [[1]] is accepted", k->name);
    }
}

/* ---- warnings ---- */

static void test_warnings(void **state)
{
    (void)state;
    static const struct {
        const char *head, *step, *want; /* want: part of the only warning, or NULL */
    } cases[] = {
        {"", "value: \"{{ steps.nope.x || 1 }}\"", "unknown step `nope`"},
        {"", "value: \"{{ exists(steps.nope.x) }}\"", "unknown step `nope`"},
        {"", "value: \"{{ state.nope || 1 }}\"", NULL},
        {"", "value: \"{{ nope || 1 }}\"", NULL},
        {"", "value: \"{{ steps.c.stdot }}\"", "has no field `stdot`; did you mean `stdout`?"},
        {"", "value: \"{{ steps.c.stdot || 1 }}\"", NULL},
        {"", "value: \"{{ steps.c.error.message }} {{ steps.c.skipped }} {{ steps.c.result.stdout }}\"", NULL},
        {"", "value: \"{{ steps.m.anything.at.all }}\"", NULL},
        {"", "value: \"{{ steps['c'].stdout }}\"", NULL},
        {"", "value: \"{{ steps[state.x || 'c'].stdout }}\"", NULL},
        {"", "value: \"{{ filter(steps.m.data, 'score > 3 and loop.x == 1') }}\"", NULL},
        {"", "value: \"{{ map([1], (v) => v.size) }}\"", NULL},
        {"", "value: \"{{ topic }}\"", "`topic` is looked for among the inputs"},
        {"input: {topic: cats}, ", "value: \"{{ topic }}\"", "`input` is an older form; expected `inputs`"},
        {"inputs: {topic: string}, ", "value: \"{{ topic }}{{ topic }}\"", "expected inputs.topic"},
        {"", "value: \"{{ BUILD_MODE }}{{ BUILD_MODE }}\"", "expected it in the list `env`"},
        {"env: [BUILD_MODE], ", "value: \"{{ BUILD_MODE }}\"", NULL},
        {"", "value: \"{{ global_vars.of_a_caller }}\"", "or in those of a workflow that calls this one"},
        {"", "value: 1, condition: \"state.counted_nowhere > 1\"", "is set nowhere in this workflow"},
        {"version: 1, ", "value: \"{{ workflow.version }} {{ config.version }} {{ environment.mode }} {{ date }}\"",
         NULL},
        {"", "metadata: {timer_start: t}, value: \"{{ timer.t.elapsed_ms }}\"", NULL},
        {"", "variables: {v: 1}, value: \"{{ step.variables.v }} {{ v }} {{ step.name }}\"", NULL},
        {"", "cache: {ttl: 3}, value: 1", "`cache` has no effect without a `key`"},
        {"", "cache: {key: x, ttl: 3, conditions: [true, \"1 < 2\"], scope: workflow}, value: 1", NULL},
        {"cache_config: {enabled: true, ttl: 3, max_size_mb: 1, strategy: content_hash}, ", "value: 1", NULL},
        {"cache_config: {cache_keys: [file_content]}, ", "value: 1", "`cache_keys` of `cache_config` has no effect"},
        {"defaults: {cache_results: true, cache_ttl: 60}, ", "value: 1", NULL},
        {"", "stream: true, value: 1", "`stream` has no effect"},
        {"telemetry: {enabled: true}, ", "value: 1", "`telemetry` has no effect"},
        {"inputs: {n: {type: integer, required: true, default: 3}}, ", "value: 1", "is required and has a default"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[600];
        snprintf(
            text, sizeof text,
            "workflow: {name: w, %ssteps: [{name: c, type: command, run: ls}, {name: m, type: claude, prompt: Hi}, "
            "{name: a, type: test_echo, %s}]}",
            cases[i].head, cases[i].step);
        load_ok(text);
        bool good =
            cases[i].want ? loaded.ps.n == 1 && strstr(buf_str(&loaded.shown).p, cases[i].want) : loaded.ps.n == 0;
        if (!good)
            fail_msg("%s: expected %s, reported:\n%s", cases[i].step, cases[i].want, buf_str(&loaded.shown).p);
    }
}

/* What holes of a shell text are warned about, and names of models. */
static void test_constants(void **state)
{
    (void)state;
    static const char raw[] = "can run anything; use {{ quote(...) }}", twice[] = "brings its own quotes";
    static const struct {
        const char *step, *want;
    } cases[] = {
        {"type: command, run: \"ls {{ inputs.p }}\"", raw},
        {"type: bash, command: \"{{ inputs.p }}\"", raw},
        {"type: command, run: \"ls {{ upper(quote(inputs.p)) }}\"", raw},
        {"type: command, run: \"ls {{ inputs.p + quote(inputs.p) }}\"", raw},
        {"type: command, run: \"ls {{ inputs.p || 'x' }}\"", raw},
        {"type: command, run: \"{{#if inputs.p}}ls {{ inputs.p }}{{/if}}\"", raw},
        {"type: command, run: \"{{#if inputs.p}}ls {{else}}{{ inputs.p }}{{/if}}\"", raw},
        {"type: command, run: \"ls {{ quote(inputs.p) }} {{ inputs.p }}\"", raw},
        {"type: command, run: \"ls {{ quote(inputs.p) }} {{ 1 + 2 }} {{ 'x' }} {{ length(inputs.p) * 2 }}\"", NULL},
        {"type: command, run: \"ls {{ inputs.p == 'a' ? '-a' : quote(inputs.p) }}\"", NULL},
        {"type: command, run: \"{{#if inputs.p}}ls {{ quote(inputs.p) }}{{/if}}\"", NULL},
        {"type: command, run: [ls, \"{{ inputs.p }}\"], stdin: \"{{ inputs.p }}\", env: {P: \"{{ inputs.p }}\"}", NULL},
        {"type: command, run: \"{{ ['ls', inputs.p] }}\"", NULL},
        {"type: for_loop, over: [1], steps: [{name: i, type: command, run: \"ls {{ loop.index }} {{ loop.total }}\"}]",
         NULL},
        {"type: for_loop, over: [1], steps: [{name: i, type: command, run: \"ls {{ loop.item }}\"}]", raw},
        {"type: command, run: \"ls '{{ quote(inputs.p) }}'\"", twice},
        {"type: command, run: \"echo \\\"a {{ quote(inputs.p) }}\\\"\"", twice},
        {"type: command, run: \"echo \\\"$(cat {{ quote(inputs.p) }})\\\" it\\\\'s {{ quote(inputs.p) }}\"", NULL},
        {"type: command, run: \"echo \\\"$(cat)\\\" \\\"{{ quote(inputs.p) }}\\\"\"", twice},
        {"type: command, run: \"# don't\\nls 'a' {{ quote(inputs.p) }}\"", NULL},
        {"type: claude, prompt: x, model: sonet", "unknown model `sonet`; did you mean `sonnet`?"},
        {"type: claude, prompt: x, model: gpt-5", "expected haiku, sonnet, opus, or a full name"},
        {"type: claude, prompt: x, claude_options: {model: opsu}", "did you mean `opus`?"},
        {"type: claude, prompt: x, model: \"opus[1m]\"", NULL},
        {"type: claude, prompt: x, model: claude-opus-7", NULL},
        {"type: claude, prompt: x, model: \"{{ inputs.p }}\", allowed_tools: \"{{ inputs.p }}\"", NULL},
        {"type: llm, prompt: x, model: claude/haiku", NULL},
        {"type: llm, prompt: x, model: google/gemini-x", NULL},
        {"type: llm, prompt: x, model: openai/a/b", NULL},
        {"type: llm, prompt: x, model: anthropic/hiku", "did you mean `haiku`?"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[600];
        snprintf(text, sizeof text, "workflow: {name: w, inputs: {p: {type: string}}, steps: [{name: a, %s}]}",
                 cases[i].step);
        load_ok(text);
        bool good =
            cases[i].want ? loaded.ps.n == 1 && strstr(buf_str(&loaded.shown).p, cases[i].want) : loaded.ps.n == 0;
        if (!good)
            fail_msg("%s: expected %s, reported:\n%s", cases[i].step, cases[i].want, buf_str(&loaded.shown).p);
    }
}

/* ---- how problems are shown ---- */

static void test_print(void **state)
{
    (void)state;
    load_any(
        STR("workflow:\n  name: w\n  telemetry: {}\n  steps:\n    - {name: é, value: \"{{ x\", typ: test_echo}\n"));
    assert_string_equal(
        buf_str(&loaded.shown).p,
        "test.yaml:3:3: warning: `telemetry` has no effect; the engine needs no such setting\n"
        "      telemetry: {}\n"
        "      ^\n"
        "test.yaml:5:14: error: `é` cannot be the name of a step; expected only letters, digits, `_`, `-` and `.`, "
        "as in `step_1`\n"
        "        - {name: é, value: \"{{ x\", typ: test_echo}\n"
        "                 ^\n"
        "test.yaml:5:32: error: step `é` has no `type` but `typ`; expected one, such as `type: claude` or "
        "`type: command`\n"
        "        - {name: é, value: \"{{ x\", typ: test_echo}\n"
        "                                  ^\n"
        "test.yaml: 2 errors, 1 warning\n");
    struct problems ps = {.a = &loaded.a};
    problem_add(&ps, false, 2, 300, "far %s", "right");
    problem_add(&ps, false, 9, 1, "behind the end");
    problem_add(&ps, false, 1, 3, "a \x1b[31m in it");
    problem_add(&ps, true, 0, 0, "no place");
    problems_sort(&ps);
    struct buf text, out;
    buf_init(&text, 1000);
    buf_init(&out, 10000);
    buf_addz(&text, "\ta\x1b[31m\r\n");
    for (int i = 0; i < 400; i++)
        buf_addc(&text, (char)('a' + i % 26));
    problems_print(&out, STR("f\n"), buf_str(&text), &ps);
    assert_true(str_find(buf_str(&out), STR("\x1b")) == SIZE_MAX);
    assert_true(
        str_starts(buf_str(&out), STR("f?: warning: no place\nf?:1:3: error: a ?[31m in it\n     a?[31m\n      ^\n")));
    assert_true(str_ends(buf_str(&out), STR("f?:9:1: error: behind the end\nf?: 3 errors, 1 warning\n")));
    assert_true(out.n < 1000); /* the long line is cut */
    buf_done(&text);
    buf_done(&out);
    struct problems none = {.a = &loaded.a};
    buf_init(&out, 100);
    problems_print(&out, STR("f"), STR(""), &none);
    assert_int_equal(out.n, 0);
    buf_done(&out);
}

/* ---- bounds ---- */

static void test_many_problems(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, (size_t)4 << 20);
    buf_addz(&b, "workflow:\n  name: w\n  steps:\n");
    for (int i = 0; i < 4000; i++)
        buf_printf(&b, "    - {name: s%d, type: claude, promtp: x, aaa: 1, bbb: \"{{ steps.x }}\"}\n", i);
    assert_null(load_any(buf_str(&b)));
    assert_true(loaded.ps.errors >= 4000 * 2);
    assert_true(loaded.ps.n <= 500 && loaded.a.used < 8 << 20);
    assert_true(str_find(buf_str(&loaded.shown), STR("more errors")) != SIZE_MAX);
    buf_clear(&b);
    buf_addz(&b, "workflow:\n  name: w\n  steps:\n");
    for (int i = 0; i < 4000; i++)
        buf_printf(&b, "    - {name: s%d, type: test_echo, value: \"{{ steps.x || 1 }}\"}\n", i);
    buf_addz(&b, "    - {name: last, type: test_echo, value: \"{{ steps.y }}\"}\n");
    assert_null(load_any(buf_str(&b)));
    assert_int_equal(loaded.ps.errors, 1); /* warnings leave room for errors */
    assert_int_equal(loaded.ps.n, PROBLEMS_WARNINGS_MAX + 1);
    assert_true(str_find(loaded.ps.v[loaded.ps.n - 1].text, STR("unknown step `y`")) != SIZE_MAX);
    buf_done(&b);
}

static void test_large(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, (size_t)16 << 20);
    buf_addz(&b, "workflow:\n  name: w\n  steps:\n    - {name: s0, type: test_echo}\n");
    for (int i = 1; i < 5000; i++) /* a graph in which everything depends on everything before */
        buf_printf(&b, "    - {name: s%d, type: test_echo, depends_on: s%d, value: \"{{ steps.s%d }}\"}\n", i, i - 1,
                   i / 2);
    assert_non_null(load_any(buf_str(&b)));
    assert_int_equal(loaded.w->nall, 5000);
    for (int i = 0; i < 5000; i += 77) {
        char name[20];
        snprintf(name, sizeof name, "s%d", i);
        assert_int_equal(list_find(loaded.w->root, str_c(name))->index, i);
    }
    buf_addz(&b, "    - {name: one_more, type: test_echo}\n");
    assert_null(load_any(buf_str(&b)));
    assert_non_null(strstr(buf_str(&loaded.shown).p, "a list of 5001 steps with `depends_on`; expected at most 5000"));
    buf_clear(&b);
    b.max = (size_t)40 << 20;
    for (int i = 0; i < 33 << 20; i++)
        buf_addc(&b, '#');
    assert_null(load_any(buf_str(&b)));
    assert_int_equal(loaded.ps.n, 1);
    buf_done(&b);
}

/* Processor seconds to load 40 steps that read 9,001 inputs each, and `conditions` more in a condition. */
static double seconds_to_load(int conditions)
{
    struct buf b;
    buf_init(&b, (size_t)16 << 20);
    buf_addz(&b, "workflow:\n  name: w\n  steps:\n");
    for (int i = 0; i < 40; i++) {
        buf_printf(&b, "    - name: s%d\n      type: test_echo\n      condition: |\n        [1", i);
        for (int k = 0; k < conditions; k++)
            buf_printf(&b, ",\n        inputs.c%d", k);
        buf_addz(&b, "] is not empty\n      value: |\n");
        for (int k = 0; k < 9000; k++)
            buf_printf(&b, "        {{ inputs.n%d }}\n", k);
        buf_addz(&b, "        {{ inputs.c2999 }}\n");
    }
    clock_t begin = clock();
    if (!load_any(buf_str(&b)))
        fail_msg("%s", buf_str(&loaded.shown).p);
    clock_t took = clock() - begin;
    buf_done(&b);
    return (double)took / CLOCKS_PER_SEC;
}

/* Whether a condition asks for an input takes no time that grows with how much both read: 3,000 more that are read so
 * cost about what their share of the text does, and twenty times all of it if each looked at each. */
static void test_wanted_is_bounded(void **state)
{
    (void)state;
    double without = seconds_to_load(0), with = seconds_to_load(3000);
    if (with > 4 * without)
        fail_msg("%.2f s with conditions, %.2f s without", with, without);
    assert_int_equal(loaded.w->nwanted, 1000);
    for (size_t i = 0; i < loaded.w->nwanted; i++)
        assert_int_equal(loaded.w->wanted[i].name.p[0], 'n');
}

/* Nor do the places of very many names in one line, whose characters are counted once. */
static void test_long_line(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, (size_t)16 << 20);
    buf_addz(&b, "workflow: {name: w, variables: {x: 1}, steps: [{name: a, type: test_echo, value: [1");
    for (int i = 0; i < 150000; i++)
        buf_addz(&b, ", '{{ state.x + 1 }}'");
    buf_addz(&b, ", 'é', '{{ state.y }}'");
    size_t col = str_find(buf_str(&b), STR("state.y")); /* counted from 0, and one character of two bytes before it */
    buf_addz(&b, "]}]}\n");
    clock_t begin = clock();
    assert_null(load_any(buf_str(&b)));
    assert_true(clock() - begin < 8 * CLOCKS_PER_SEC);
    assert_int_equal(loaded.ps.errors, 1);
    assert_int_equal(loaded.ps.v[0].line, 1);
    assert_int_equal(loaded.ps.v[0].col, col);
    buf_done(&b);
}

/* Which steps may make the prompt file that another reads. */
static void test_steps_that_make_files(void **state)
{
    (void)state;
    static const struct {
        const char *step;
        bool makes;
    } t[] = {
        {"type: test_echo", false},
        {"type: test_echo, output_to_file: p.md", true},
        {"type: command, run: 'true'", true},
        {"type: file_ops, operation: copy, source: a, destination: b", true},
        {"type: checkpoint, action: load, checkpoint_name: c", true},
        {"type: pipeline, pipeline: {name: i, steps: [{name: a, type: test_echo}]}", true},
        {"type: claude, prompt: p", false},
        {"type: claude, prompt: p, allowed_tools: [Write]", true},
        {"type: claude_smart, preset: development, prompt: p", true},
        {"type: llm, model: openai/m, prompt: p", false},
        {"type: llm, model: openai/m, prompt: p, tools: [Write]", true},
        {"type: set_variable, variables: {v: 1}", false},
        {"type: for_loop, data_source: [1], steps: [{name: i, type: test_echo}]", false},
        {"type: for_loop, data_source: [1], steps: [{name: i, type: command, run: 'true'}]", true},
        {"type: sleep, for: 1s", false},
        {"type: '{{ inputs.t }}'", true}, /* whatever it comes to be */
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        char yaml[512];
        snprintf(yaml, sizeof yaml,
                 "workflow:\n  name: w\n  steps:\n    - {name: s, %s}\n    - {name: r, type: command, run: 'true'}\n",
                 t[i].step);
        const struct workflow *w = load_any(str_c(yaml));
        if (!w)
            fail_msg("%s: %s", t[i].step, buf_str(&loaded.shown).p);
        if (workflow_may_make_files(w, list_find(w->root, STR("r"))) != t[i].makes)
            fail_msg("%s", t[i].step);
    }
}

/* Mistakes in a large workflow take no time that grows with their number times its size. */
static void test_advice_is_bounded(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, (size_t)16 << 20);
    buf_addz(&b, "workflow:\n  name: w\n  steps:\n");
    for (int i = 0; i < 60000; i++)
        buf_printf(&b, "    - {name: s%d, type: test_echo, value: \"{{ nope%d }} {{ steps.x%d || 1 }}\"}\n", i, i, i);
    clock_t begin = clock();
    load_any(buf_str(&b));
    assert_true(loaded.ps.n >= PROBLEMS_WARNINGS_MAX);
    assert_true(clock() - begin < 8 * CLOCKS_PER_SEC); /* 0.5 s; minutes if every name looked at every other */
    buf_clear(&b);
    buf_addz(&b, "workflow:\n  name: w\n  inputs: {");
    for (int i = 0; i < 1001; i++)
        buf_printf(&b, "i%d: string, ", i);
    buf_addz(&b, "}\n  env: [");
    for (int i = 0; i < 1001; i++)
        buf_printf(&b, "E%d, ", i);
    buf_addz(&b, "]\n  steps: [{name: a, type: test_echo}]\n");
    assert_null(load_any(buf_str(&b)));
    assert_non_null(strstr(buf_str(&loaded.shown).p, "1001 inputs; expected at most 1000"));
    assert_non_null(strstr(buf_str(&loaded.shown).p, "1001 names in `env`; expected at most 1000"));
    buf_done(&b);
}

static void test_deep(void **state)
{
    (void)state;
    for (int levels = 31; levels <= 33; levels++) {
        struct buf b;
        buf_init(&b, 1 << 20);
        buf_addz(&b, "workflow: {name: w, steps: [");
        for (int i = 1; i < levels; i++)
            buf_printf(&b, "{name: l%d, type: for_loop, data_source: [1], steps: [", i);
        buf_addz(&b, "{name: x, type: test_echo, value: \"{{ loop.parent.item }}\"}");
        for (int i = 1; i < levels; i++)
            buf_addz(&b, "]}");
        buf_addz(&b, "]}");
        struct workflow *w = load_any(buf_str(&b));
        assert_int_equal(w != NULL, levels <= 32);
        if (!w)
            assert_non_null(strstr(buf_str(&loaded.shown).p, "nested too deeply in `l32`; expected at most 32 levels"));
        buf_done(&b);
    }
}

static void test_odd_bytes(void **state)
{
    (void)state;
    static const struct {
        const char *p;
        size_t n;
    } cases[] = {{"", 0},  {"\0", 1},     {"\xff\xfe", 2}, {"workflow:\n  name: \"a\\0b\"\n  steps: 1", 34},
                 {"{", 1}, {"&a [*a]", 7}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_null(load_any(str_n(cases[i].p, cases[i].n)));
        assert_true(loaded.ps.errors > 0 && loaded.ps.v[0].line > 0 && loaded.ps.v[0].col > 0);
    }
}

/* ---- inputs ---- */

static void test_inputs(void **state)
{
    (void)state;
    static const char text[] = "workflow:\n"
                               "  name: w\n"
                               "  inputs:\n"
                               "    project: {type: string, required: true}\n"
                               "    rounds: {type: integer, default: 3}\n"
                               "    ratio: number\n"
                               "    kind: {enum: [a, 2]}\n"
                               "    more:\n"
                               "  steps: [{name: a, type: test_echo}]\n";
    static const struct {
        const char *given, *want, *error;
    } cases[] = {
        {"{\"project\": \"p\"}", "{\"project\":\"p\",\"rounds\":3,\"ratio\":null,\"kind\":null,\"more\":null}", NULL},
        {"{\"project\": \"p\", \"ratio\": 2, \"kind\": 2, \"more\": [1], \"rounds\": 5}",
         "{\"project\":\"p\",\"ratio\":2,\"kind\":2,\"more\":[1],\"rounds\":5}", NULL},
        {"{}", NULL, "input `project` is required; give it with --input project="},
        {"{\"projct\": \"p\"}", NULL, "input `projct` is not declared by the workflow; did you mean `project`?"},
        {"{\"zzzzzzzz\": 1}", NULL, "declared: project, rounds, ratio, kind, more"},
        {"{\"project\": 3}", NULL, "input `project` is of type integer; expected string"},
        {"{\"project\": \"p\", \"rounds\": \"3\"}", NULL, "input `rounds` is of type string; expected integer"},
        {"{\"project\": \"p\", \"ratio\": true}", NULL, "expected number"},
        {"{\"project\": \"p\", \"kind\": \"c\"}", NULL, "expected one of [\"a\",2]"},
        {"[1]", NULL, "expected an object"},
    };
    struct workflow *w = load_clean(text);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct val given, got;
        struct err err = {0};
        assert_int_equal(json_parse(&loaded.a, str_c(cases[i].given), &JSON_LIMITS_DEFAULT, &given, &err), RC_OK);
        enum rc rc = workflow_inputs(w, &given, &loaded.a, &got, &err);
        if (cases[i].error ? rc != RC_USAGE || !strstr(err.msg, cases[i].error)
                           : rc != RC_OK || !str_is(json_text(&loaded.a, &got), cases[i].want))
            fail_msg("%s: rc %d %s", cases[i].given, (int)rc, err.msg);
    }
    struct val got;
    struct err err;
    assert_int_equal(workflow_inputs(w, NULL, &loaded.a, &got, &err), RC_USAGE);
    w = load_clean("workflow: {name: w, steps: [{name: a, type: test_echo}]}");
    struct val any = val_true;
    struct val_map m = val_map_new(&loaded.a);
    VAL_MAP_SET(&m, "whatever", any);
    struct val given = val_map_done(&m);
    assert_int_equal(workflow_inputs(w, &given, &loaded.a, &got, &err), RC_OK); /* none declared: anything goes */
    assert_true(val_eq(&got, &given));
    assert_int_equal(workflow_inputs(w, NULL, &loaded.a, &got, &err), RC_OK);
    assert_int_equal(got.obj.n, 0);
}

static void test_input_text(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text, *want; /* want NULL: refused */
    } cases[] = {
        {"s", "3", "\"3\""}, {"i", "3", "3"},
        {"i", "3.5", NULL},  {"i", "three", NULL},
        {"n", "2.5", "2.5"}, {"b", "true", "true"},
        {"b", "yes", NULL},  {"a", "[1]", "[1]"},
        {"a", "{}", NULL},   {"o", "{\"x\":1}", "{\"x\":1}"},
        {"o", "{x}", NULL},  {"v", "{}", "\"{}\""},
        {"w", "x", NULL},
    };
    struct workflow *w = load_clean("workflow: {name: w, inputs: {s: string, i: integer, n: number, b: boolean, "
                                    "a: array, o: object, v: any}, steps: [{name: a, type: test_echo}]}");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct val v;
        struct err err = {0};
        enum rc rc = workflow_input_text(w, str_c(cases[i].name), str_c(cases[i].text), &loaded.a, &v, &err);
        if (cases[i].want ? rc != RC_OK || !str_is(json_text(&loaded.a, &v), cases[i].want) : rc != RC_USAGE)
            fail_msg("%s=%s: rc %d %s", cases[i].name, cases[i].text, (int)rc, err.msg);
    }
}

static int teardown(void **state)
{
    (void)state;
    load_done();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_broken),
        cmocka_unit_test(test_workflow_keys),
        cmocka_unit_test(test_step_keys),
        cmocka_unit_test(test_prompt_parts),
        cmocka_unit_test(test_config),
        cmocka_unit_test(test_graph),
        cmocka_unit_test(test_older),
        cmocka_unit_test(test_retry_forms),
        cmocka_unit_test(test_common_rows),
        cmocka_unit_test(test_warnings),
        cmocka_unit_test(test_constants),
        cmocka_unit_test(test_print),
        cmocka_unit_test(test_many_problems),
        cmocka_unit_test(test_large),
        cmocka_unit_test(test_deep),
        cmocka_unit_test(test_advice_is_bounded),
        cmocka_unit_test(test_wanted_is_bounded),
        cmocka_unit_test(test_long_line),
        cmocka_unit_test(test_steps_that_make_files),
        cmocka_unit_test(test_odd_bytes),
        cmocka_unit_test(test_inputs),
        cmocka_unit_test(test_input_text),
    };
    return cmocka_run_group_tests(tests, NULL, teardown);
}
