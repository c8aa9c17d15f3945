/* show: one run, as a tree of its steps, and in words why it stopped and what to do about it.
 *
 * The journal is read with one pass; a living run shows what is committed. Long lists (a loop of a thousand items) are
 * shortened to what failed, works or waits, unless --all. */
#include "base/clock.h"
#include "cli/commands.h"
#include "cli/digest.h"
#include "cli/explain.h"
#include "cli/human.h"
#include "cli/said.h"
#include "cli/seen_run.h"
#include "cli/session.h"
#include "data/json.h"
#include "flow/units.h"
#include "role/reread.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* LONG_LIST: lines of one list at the most, and as many of those that failed, work or wait. */
enum { NAME_MIN = 12, NAME_MAX = 48, SHORT_LIST = 12, LONG_LIST = 50, MESSAGE_COLUMNS = 160, INDENT = 2 };

struct show {
    struct seen_run run;
    struct digest *digest;
    struct workflow *workflow; /* NULL when the pinned text cannot be loaded here */
    struct arena arena;
    struct val_list deaths; /* of the service's processes while they executed it */
    struct err *err;
    enum rc rc;
    bool all, color;
    size_t name_columns, columns; /* columns: of the terminal; 0: it is none */
    int64_t now_ms;
};

static void add_death(struct show *s, const struct record *r)
{
    struct val v;
    struct err ignored;
    if (str_find(r->data, STR("\"obituary\"")) == SIZE_MAX ||
        json_parse(&s->arena, r->data, &JSON_LIMITS_DEFAULT, &v, &ignored) != RC_OK || !VAL_GET(&v, "obituary"))
        return;
    struct val_map m = val_map_new(&s->arena);
    VAL_MAP_SET(&m, "time_ms", val_int(r->time_ms));
    const struct val *o = VAL_GET(&v, "obituary");
    for (size_t i = 0; i < o->obj.n; i++)
        val_map_set(&m, o->obj.m[i].key, o->obj.m[i].val);
    struct val death = val_map_done(&m), copy = val_copy(&s->arena, &death);
    val_list_push(&s->deaths, copy);
}

static bool add(void *ctx, const struct record *r)
{
    struct show *s = ctx;
    if (r->kind == RECORD_NOTE)
        add_death(s, r);
    s->rc = digest_add(s->digest, r, s->err);
    return s->rc == RC_OK;
}

static enum rc load(struct show *s, struct err *err)
{
    struct store *store = NULL;
    struct str text;
    struct err ignored;
    s->err = err;
    enum rc rc = store_open(s->run.home.journal, STORE_READ, &store, err);
    if (rc == RC_OK)
        rc = store_each_record(store, str_c(s->run.home.id), 0, add, s, err);
    if (rc == RC_OK)
        rc = s->rc;
    if (rc == RC_OK && store_blob(store, s->digest->workflow_sha256, &s->arena, &text, &ignored) == RC_OK) {
        struct problems ps = {.a = &s->arena};
        s->workflow = workflow_load(text, s->digest->file, &ps);
    }
    if (store)
        store_close(store);
    digest_count(s->digest);
    return rc;
}

/* ---- the tree ---- */

static const char *colored(const struct show *s, const char *code)
{
    return s->color ? code : "";
}

/* Columns for a text that begins behind `before` others; `most` where the output is no terminal (0: any number). */
static size_t room(const struct show *s, size_t before, size_t most)
{
    size_t left = s->columns > before + 1 ? s->columns - before : 1;
    return !s->columns || (most && most < left) ? most : left;
}

static const char *mark(const struct show *s, const struct digest_node *n, const char **color)
{
    const char *status = digest_status(n, s->run.status);
    *color = "";
    switch (n->status) {
    case NODE_OK:
        *color = "\033[32m";
        return "✓";
    case NODE_SKIPPED:
        *color = "\033[2m";
        return "-";
    case NODE_CONTINUED:
        *color = "\033[33m";
        return "!";
    case NODE_FAILED:
        *color = "\033[31m";
        return "✗";
    case NODE_WAITING:
    case NODE_HELD:
        *color = "\033[33m";
        return "?";
    case NODE_VOID:
        return "·";
    default:
        *color = "\033[36m";
        return str_is(str_c(status), "running") || str_is(str_c(status), "retrying") ? "▸" : "◦";
    }
}

/* What a step did, in a few words: "3 turns", "iterations 40/50, 2 failed", "2 attempts". */
static struct str deeds(struct show *s, const struct digest_node *n)
{
    struct buf b;
    buf_init(&b, 4096);
    size_t turns = 0, tools = 0, items = 0, items_ok = 0, items_failed = 0, all = n->items > 0 ? (size_t)n->items : 0;
    for (const struct digest_node *c = n->first; c; c = c->next) {
        if (c->effect && str_starts(c->name, STR("turn:"))) {
            turns++;
            for (const struct digest_node *t = c->first; t; t = t->next)
                tools++;
        }
        int64_t index;
        if (!c->effect && str_to_i64(c->name, &index)) {
            items++;
            items_ok += c->status == NODE_OK;
            items_failed += c->status == NODE_FAILED;
        }
    }
    const char *status = digest_status(n, s->run.status);
    if (n->status != NODE_OK && n->status != NODE_FAILED)
        buf_printf(&b, "  %s", status);
    if (n->cached)
        buf_addz(&b, "  from the cache");
    if (n->attempts > 1)
        buf_printf(&b, "  %u attempts", n->attempts);
    if (turns)
        buf_printf(&b, "  %zu turn%s", turns, turns == 1 ? "" : "s");
    if (tools)
        buf_printf(&b, "  %zu tool call%s", tools, tools == 1 ? "" : "s");
    if (items)
        buf_printf(&b, "  %zu/%zu iterations done", items_ok, items > all ? items : all);
    if (n->at_limit)
        buf_addz(&b, "  ended at max_iterations");
    if (items_failed)
        buf_printf(&b, ", %zu failed", items_failed);
    if (n->calls)
        buf_printf(&b, "  %s in, %s out, %s", human_count(n->input_tokens).z, human_count(n->output_tokens).z,
                   human_spent(n->cost_usd, n->cost_unknown).z);
    struct str ret = arena_str(&s->arena, buf_str(&b));
    buf_done(&b);
    return ret;
}

static void print_node(struct show *s, const struct digest_node *n, unsigned depth)
{
    const char *color;
    const char *sign = mark(s, n, &color);
    size_t left = depth * INDENT;
    size_t columns = s->name_columns > left + 4 ? s->name_columns - left : 4;
    struct str name = human_line(&s->arena, n->effect && n->label.n ? n->label : n->name, columns);
    struct str type = digest_type(n, s->workflow);
    char took[48] = "";
    int64_t end = n->ended_ms ? n->ended_ms : s->run.owner ? s->now_ms : s->digest->last_ms;
    if (n->started_ms && end > n->started_ms && n->status != NODE_VOID)
        snprintf(took, sizeof took, "%s", human_duration(end - n->started_ms).z);
    struct str what = deeds(s, n);
    struct str rest = arena_printf(&s->arena, "%*s  %-14.*s %8s%.*s", (int)(columns - human_columns(name)), "",
                                   STR_ARG(type), took, STR_ARG(what));
    while (rest.n && rest.p[rest.n - 1] == ' ')
        rest.n--;
    size_t used = 2 + left + 2 + human_columns(name);
    if (s->columns)
        rest = human_line(&s->arena, rest, s->columns > used ? s->columns - used : 1);
    printf("  %*s%s%s%s %.*s%.*s\n", (int)left, "", colored(s, color), sign, *color ? colored(s, "\033[0m") : "",
           STR_ARG(name), STR_ARG(rest));
    bool leaf =
        n->status == NODE_FAILED || n->status == NODE_HELD || n->status == NODE_RETRYING || n->status == NODE_CONTINUED;
    for (const struct digest_node *c = n->first; c && leaf; c = c->next)
        leaf = c->status != n->status; /* told there */
    struct str said = leaf ? n->message : digest_turn_wait(s->digest, n);
    if (said.n)
        printf("  %*s  %.*s\n", (int)left, "",
               STR_ARG(human_line(&s->arena, said, room(s, left + 4, MESSAGE_COLUMNS))));
}

/* Whether the node tells something that its parent's line does not. */
static bool worth(const struct show *s, const struct digest_node *n)
{
    int64_t index;
    bool iteration = str_to_i64(n->name, &index) && n->parent->total > SHORT_LIST;
    return s->all || n->trouble || (!n->effect && !iteration);
}

static const struct digest_node *shown_after(const struct show *s, const struct digest_node *n, unsigned *depth)
{
    const struct digest_node *root = s->digest->root;
    if (n->first) {
        ++*depth;
        n = n->first;
    } else {
        while (n != root && !n->next) {
            n = n->parent;
            --*depth;
        }
        if (n == root)
            return NULL;
        n = n->next;
    }
    return n;
}

static void print_tree(struct show *s)
{
    unsigned depth = 0;
    const struct digest_node *root = s->digest->root, *n;
    s->name_columns = NAME_MIN;
    size_t widest = s->columns && s->columns / 2 < NAME_MAX ? s->columns / 2 : NAME_MAX;
    for (n = root; (n = shown_after(s, n, &depth));) {
        size_t w = human_columns(human_line(&s->arena, n->effect && n->label.n ? n->label : n->name, NAME_MAX)) +
                   (size_t)(depth - 1) * INDENT;
        if (worth(s, n) && w > s->name_columns)
            s->name_columns = w < widest ? w : widest;
    }
    depth = 0;
    const struct digest_node *hidden = NULL; /* nothing below it is shown */
    for (n = root; (n = shown_after(s, n, &depth));) {
        bool below = false;
        for (const struct digest_node *up = n; hidden && up && !below; up = up->parent)
            below = up == hidden;
        if (below)
            continue;
        hidden = NULL;
        struct digest_node *list = n->parent;
        bool tell = worth(s, n);
        bool fits = s->all || list->told < LONG_LIST || (n->trouble && list->told_trouble < LONG_LIST);
        list->left_out += tell && !fits;
        if (list->left_out && ((tell && fits) || !n->next)) {
            printf("  %*s… and %zu more (--all)\n", (int)((depth - 1) * INDENT), "", list->left_out);
            list->left_out = 0;
        }
        if (tell && fits)
            print_node(s, n, depth - 1);
        else
            hidden = n;
        list->told += tell && fits;
        list->told_trouble += tell && fits && n->trouble;
    }
    for (size_t i = 0; s->workflow && i < s->workflow->root->n; i++) {
        const struct step_def *d = s->workflow->root->steps[i];
        if (!map_get(&s->digest->nodes, d->name))
            printf("  · %.*s%*s  %.*s\n", STR_ARG(d->name),
                   (int)(d->name.n < s->name_columns ? s->name_columns - d->name.n : 0), "", STR_ARG(d->type_name));
    }
}

/* ---- the head ---- */

static void line(struct show *s, const char *what, struct str text)
{
    if (text.n)
        printf("  %-10s %.*s\n", what, STR_ARG(human_line(&s->arena, text, room(s, 13, 0))));
}

static void print_head(struct show *s)
{
    const struct digest *d = s->digest;
    const struct digest_node *t = d->root;
    struct arena *a = &s->arena;
    const char *color = str_is(str_c(s->run.status), "succeeded") ? "\033[1;32m"
                        : str_is(str_c(s->run.status), "running") ? "\033[1;36m"
                                                                  : "\033[1;31m";
    printf("run %s  %s%s%s\n", s->run.home.id, colored(s, color), s->run.status, colored(s, "\033[0m"));
    line(s, "workflow", arena_printf(a, "%.*s (%.*s)", STR_ARG(d->workflow), STR_ARG(d->file)));
    int64_t end = s->run.owner ? s->now_ms : d->last_ms;
    line(s, "started",
         arena_printf(a, "%s, %s ago", human_time(d->started_ms).z, human_duration(s->now_ms - d->started_ms).z));
    line(s, "duration", str_c(human_duration(end - d->started_ms).z));
    if (d->resumes)
        line(s, "resumed",
             arena_printf(a, "%zu time%s, last %s", d->resumes, d->resumes == 1 ? "" : "s",
                          human_time(d->resumed_ms).z));
    if (d->forked_from.n)
        line(s, "fork of",
             arena_printf(a, "%.*s, of which %lld model call%s (%s) %s kept and counted here", STR_ARG(d->forked_from),
                          (long long)d->inherited_calls, d->inherited_calls == 1 ? "" : "s",
                          human_cost(d->inherited_usd).z, d->inherited_calls == 1 ? "is" : "are"));
    if (t->calls)
        line(s, "used",
             arena_printf(a, "%lld model call%s, %s tokens in, %s out, %s", (long long)t->calls,
                          t->calls == 1 ? "" : "s", human_count(t->input_tokens).z, human_count(t->output_tokens).z,
                          human_spent(t->cost_usd, t->cost_unknown).z));
    if (d->mode.n && !str_is(d->mode, "live"))
        line(s, "mode", d->mode);
    line(s, "workspace", d->workspace);
    line(s, "journal", str_c(s->run.home.journal));
    if (s->run.owner)
        line(s, "process", arena_printf(a, "%d", s->run.owner));
    printf("\n");
}

/* Why the service has put it aside, or may. */
static void print_deaths(struct show *s)
{
    struct val deaths = val_list_done(&s->deaths);
    for (size_t i = 0; i < deaths.arr.n; i++) {
        const struct val *d = &deaths.arr.v[i];
        struct str at = val_get_str(d, STR("executing"), STR("")), rest = val_get_str(d, STR("stderr"), STR(""));
        printf("%s  %s  %.*s%s%.*s%s\n", i ? "" : "\nprocesses that died while executing it:\n",
               human_time(val_get_int(d, STR("time_ms"), 0)).z, STR_ARG(val_get_str(d, STR("how"), STR(""))),
               at.n ? ", at `" : "", STR_ARG(at), at.n ? "`" : "");
        while (rest.n) {
            size_t end = str_find(rest, STR("\n"));
            struct str one = end == SIZE_MAX ? rest : str_n(rest.p, end);
            rest = end == SIZE_MAX ? str_n("", 0) : str_from(rest, end + 1);
            printf("      %.*s\n", STR_ARG(human_line(&s->arena, one, room(s, 6, MESSAGE_COLUMNS))));
        }
    }
    if (str_is(str_c(s->run.status), "quarantined"))
        printf("\n%.*s\n", STR_ARG(s->run.row.error));
}

static void print_text(struct show *s)
{
    print_head(s);
    print_tree(s);
    print_deaths(s);
    struct str words = explain_run(&s->run, s->digest, s->workflow, &s->arena);
    if (s->columns)
        words = human_wrap(&s->arena, words, s->columns);
    if (words.n)
        printf("\n%.*s\n", STR_ARG(words));
}

/* ---- JSON ---- */

static void set_text(struct val_map *m, struct str key, struct str text)
{
    if (text.n)
        val_map_set(m, key, val_str(text));
}

static struct val error_value(struct arena *a, const struct digest_node *n)
{
    struct val_map m = val_map_new(a);
    set_text(&m, STR("class"), n->error_class);
    set_text(&m, STR("code"), n->error_code);
    set_text(&m, STR("message"), n->message);
    set_text(&m, STR("step"), n->error_step);
    return val_map_done(&m);
}

static struct val node_value(struct show *s, const struct digest_node *n, struct val children)
{
    struct arena *a = &s->arena;
    struct val_map m = val_map_new(a);
    VAL_MAP_SET(&m, "name", val_str(n->name));
    VAL_MAP_SET(&m, "path", val_str(n->path));
    set_text(&m, STR("type"), n->effect ? STR("effect") : digest_type(n, s->workflow));
    set_text(&m, STR("label"), n->label);
    VAL_MAP_SET(&m, "status", val_str(str_c(digest_status(n, s->run.status))));
    VAL_MAP_SET(&m, "attempts", val_int(n->attempts ? n->attempts : 1));
    if (n->cached)
        VAL_MAP_SET(&m, "cached", val_true);
    if (n->at_limit)
        VAL_MAP_SET(&m, "max_iterations_reached", val_true);
    VAL_MAP_SET(&m, "started_ms", n->started_ms ? val_int(n->started_ms) : val_null);
    VAL_MAP_SET(&m, "ended_ms", n->ended_ms ? val_int(n->ended_ms) : val_null);
    if (n->calls) {
        VAL_MAP_SET(&m, "calls", val_int(n->calls));
        VAL_MAP_SET(&m, "input_tokens", val_int(n->input_tokens));
        VAL_MAP_SET(&m, "output_tokens", val_int(n->output_tokens));
        VAL_MAP_SET(&m, "cost_usd", n->cost_unknown ? val_null : val_double(units_usd_sum(n->cost_usd)));
    }
    if (n->message.n)
        VAL_MAP_SET(&m, "error", error_value(a, n));
    set_text(&m, STR("waits"), digest_turn_wait(s->digest, n));
    if (children.arr.n)
        VAL_MAP_SET(&m, "steps", children);
    return val_map_done(&m);
}

/* The children's lists are built from below: a node's value is made when all below it has been. */
static struct val tree_value(struct show *s)
{
    struct level {
        const struct digest_node *next;
        struct val_list list;
    } *stack = NULL;
    size_t depth = 0, cap = 0;
    const struct digest_node *n = s->digest->root;
    struct val whole = val_empty_array;
    for (;;) {
        if (n) { /* down */
            if (depth == cap) {
                size_t bigger = cap ? cap * 2 : 16;
                struct level *more = arena_calloc(&s->arena, bigger, sizeof *more);
                if (depth)
                    memcpy(more, stack, depth * sizeof *more);
                stack = more;
                cap = bigger;
            }
            stack[depth++] = (struct level){n, val_list_new(&s->arena)};
            n = n->first;
            continue;
        }
        struct level *l = &stack[--depth];
        struct val children = val_list_done(&l->list);
        const struct digest_node *done = l->next;
        if (!depth) {
            whole = children;
            break;
        }
        val_list_push(&stack[depth - 1].list, node_value(s, done, children));
        n = done->next;
    }
    return whole;
}

/* Large results and the iterations of loops are read while they are written, one at a time. */
static int write_whole(struct show *s, const struct val *v)
{
    struct store *store = NULL;
    struct err err;
    if (store_open(s->run.home.journal, STORE_READ, &store, &err) != RC_OK)
        return fail(EXIT_ENVIRONMENT, "the journal of %s cannot be read: %s", s->run.home.id, err.msg);
    struct reread_source source = {store, str_c(s->run.home.id)};
    struct away_reader r = reread_from(&source);
    int code = said_json_from(v, &r, EXIT_OK);
    store_close(store);
    return code;
}

static int print_json(struct show *s)
{
    const struct digest *d = s->digest;
    const struct digest_node *t = d->root;
    struct arena *a = &s->arena;
    struct val_map m = val_map_new(a), results = val_map_new(a), usage = val_map_new(a);
    VAL_MAP_SET(&m, "run_id", val_str(str_c(s->run.home.id)));
    VAL_MAP_SET(&m, "status", val_str(str_c(s->run.status)));
    for (const struct digest_node *n = t->first; n; n = n->next)
        if (n->result)
            val_map_set(&results, n->name, *n->result);
    VAL_MAP_SET(&m, "results", val_map_done(&results));
    if (d->output)
        VAL_MAP_SET(&m, "output", *d->output);
    if (d->error)
        VAL_MAP_SET(&m, "error", *d->error);
    VAL_MAP_SET(&usage, "calls", val_int(t->calls));
    VAL_MAP_SET(&usage, "input_tokens", val_int(t->input_tokens));
    VAL_MAP_SET(&usage, "output_tokens", val_int(t->output_tokens));
    VAL_MAP_SET(&usage, "cost_usd", t->cost_unknown ? val_null : val_double(units_usd_sum(t->cost_usd)));
    VAL_MAP_SET(&m, "usage", val_map_done(&usage));
    VAL_MAP_SET(&m, "workflow", val_str(d->workflow));
    VAL_MAP_SET(&m, "workflow_sha256", val_str(d->workflow_sha256));
    VAL_MAP_SET(&m, "file", val_str(d->file));
    set_text(&m, STR("mode"), d->mode);
    set_text(&m, STR("forked_from"), d->forked_from);
    VAL_MAP_SET(&m, "inputs", d->inputs);
    VAL_MAP_SET(&m, "workspace", val_str(d->workspace));
    VAL_MAP_SET(&m, "output_dir", val_str(d->output_dir));
    VAL_MAP_SET(&m, "journal", val_str(str_c(s->run.home.journal)));
    VAL_MAP_SET(&m, "owner_pid", s->run.owner ? val_int(s->run.owner) : val_null);
    VAL_MAP_SET(&m, "started_ms", val_int(d->started_ms));
    VAL_MAP_SET(&m, "last_ms", val_int(d->last_ms));
    VAL_MAP_SET(&m, "resumes", val_int((int64_t)d->resumes));
    VAL_MAP_SET(&m, "records", val_int((int64_t)d->records));
    VAL_MAP_SET(&m, "steps", tree_value(s));
    struct val deaths = val_list_done(&s->deaths);
    if (deaths.arr.n)
        VAL_MAP_SET(&m, "deaths", deaths);
    set_text(&m, STR("explanation"), explain_run(&s->run, d, s->workflow, a));
    struct val v = val_map_done(&m);
    return write_whole(s, &v);
}

static int run(const struct command *c, const struct args *args)
{
    (void)c;
    struct show s = {.digest = digest_new(), .all = args_get(args, "all"), .now_ms = clock_wall_ms()};
    struct home_run h;
    struct err err;
    int code = EXIT_OK;
    s.deaths = val_list_new(&s.arena);
    s.columns = human_terminal(STDOUT_FILENO);
    s.color = isatty(STDOUT_FILENO) && !(getenv("NO_COLOR") && *getenv("NO_COLOR"));
    if (seen_run_find(str_c(args->words[0]), &h, &err) != RC_OK) {
        code = fail(exit_of(err.rc), "%s", err.msg);
    } else {
        seen_run_read(&h, &s.arena, &s.run);
        if (load(&s, &err) != RC_OK)
            code = fail(EXIT_ENVIRONMENT, "the journal of %s cannot be read: %s; treadle doctor tells what to do", h.id,
                        explain_problem(err.msg));
        else if (args_get(args, "json"))
            code = print_json(&s);
        else if (!s.digest->begun)
            printf(s.run.owner ? "run %s is starting: nothing is committed yet\n"
                               : "run %s was stopped before its first commit: nothing has happened; treadle rm "
                                 "deletes it\n",
                   h.id);
        else
            print_text(&s);
    }
    if (s.workflow)
        workflow_unref(s.workflow);
    digest_free(s.digest);
    arena_done(&s.arena);
    return code;
}

static const struct option options[] = {
    {"all", 'a', NULL, "Every iteration, call and file access, however many.", false},
    {"json", 0, NULL, "One JSON object: status, results, usage, the tree of steps, the explanation.", false},
    OPTION_END};

const struct command command_show = {
    .name = "show",
    .usage = "RUN [options]",
    .summary = "what a run did, step by step, and why it stopped",
    .details =
        "RUN is a run's id, a unique beginning of it, or `last`. For a run that failed or waits it says why and what\n"
        "to do. Also works on runs that are going on, or whose process died.\n\n"
        "Examples:\n"
        "  treadle show last\n"
        "  treadle show last --json | jq .error",
    .options = options,
    .min_words = 1,
    .max_words = 1,
    .run = run,
};
