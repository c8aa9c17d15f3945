/* The engine itself walks the workflow, so the plan has the order, the loops and the conditions of a real run. What it
 * asks for is answered here: models by the mock (which builds their requests as for the network), commands with an
 * empty success, files and lists of them with what is there now, people and signals with the first thing that is
 * allowed. Time is made up: when nothing else is left to do, the next timer strikes. Its records go nowhere.
 *
 * Real answers may lead elsewhere: the plan is that of the made-up ones, and where those do not suffice (a template
 * reads a field that no real answer gave), it ends there and says so. Tokens are counted as four bytes each. */
#include "cli/dry_run.h"

#include "base/buf.h"
#include "base/clock.h"
#include "cli/said.h"
#include "data/json.h"
#include "data/yaml.h"
#include "executor/fileop.h"
#include "flow/frame.h"
#include "flow/run.h"
#include "flow/units.h"
#include "flow/wait.h"
#include "llm/mock.h"
#include "llm/prices.h"
#include "role/egress.h"
#include "role/port_mock.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum {
    EFFECTS_MAX = 10000,
    PROMPT_SHOWN = 300,
    FILE_MAX = 4 << 20,
    CHUNK_SHOWN = 64 << 10,
    COMMAND_MAX = 16 << 20, /* no kernel takes arguments of that size */
    REPLY_TOKENS = 500,
    BYTES_A_TOKEN = 4
};

struct answer { /* of an effect that is not a model's, until its turn */
    struct answer *next;
    uint64_t id;
    bool ok;
    struct val result;
};
struct alarm {
    struct alarm *next;
    uint64_t id;
    int64_t at;
};

struct call { /* of a model, until it is answered */
    struct call *next;
    uint64_t id;
    struct str path, provider, model, prompt;
    struct val system;
    struct usage usage;
};

struct dry {
    struct session *s;
    struct ev_loop *loop;
    struct egress *egress;
    struct run *run;
    struct arena *a;
    struct str label, label_of; /* what a run would say of the effect that is asked for next; its path */
    ev_id turn;
    int64_t now;
    uint64_t random;
    struct answer *answers, **answers_end;
    struct alarm *alarms;
    struct call *planned;
    size_t calling, effects;
    struct val_list plan;
    int64_t calls, input_tokens, output_tokens, commands, files;
    double cost;
    bool cost_unknown, too_many;
};

static void schedule(struct dry *d);

/* ---- what would be done, as lines and as values ---- */

static struct str one_line(struct dry *d, struct str s, size_t max)
{
    struct str cut = s.n > max ? str_n(s.p, str_utf8_valid(str_n(s.p, max))) : s;
    char *z = arena_alloc(d->a, cut.n + 4);
    for (size_t i = 0; i < cut.n; i++)
        z[i] = (unsigned char)cut.p[i] < 0x20 || cut.p[i] == 0x7f ? ' ' : cut.p[i];
    memcpy(z + cut.n, "…", 3);
    return str_n(z, cut.n + (cut.n < s.n ? 3 : 0));
}

static void show(struct dry *d, struct str path, const char *what, struct str detail, struct val entry)
{
    val_list_push(&d->plan, entry);
    if (d->s->json)
        return;
    struct str line = one_line(d, detail, PROMPT_SHOWN);
    printf("  %-28.*s %-9s %.*s\n", STR_ARG(path), what, STR_ARG(line));
}

static struct val entry(struct dry *d, struct str path, const char *kind, const char *key, struct val v)
{
    struct val_map m = val_map_new(d->a);
    VAL_MAP_SET(&m, "path", val_str(path));
    VAL_MAP_SET(&m, "kind", val_str(str_c(kind)));
    if (key)
        val_map_set(&m, str_c(key), v);
    return val_map_done(&m);
}

/* ---- models ---- */

static struct str last_text(struct dry *d, const struct val *request)
{
    const struct val *messages = VAL_GET(request, "messages");
    struct str text = STR("");
    const struct val *last = messages && messages->type == VAL_ARRAY && messages->arr.n
                                 ? VAL_GET(&messages->arr.v[messages->arr.n - 1], "content")
                                 : NULL;
    for (size_t i = 0; val_at(last, i); i++)
        text = arena_printf(d->a, "%.*s%s%.*s", STR_ARG(text), text.n ? "\n" : "",
                            STR_ARG(val_get_str(val_at(last, i), STR("text"), STR(""))));
    return text;
}

static int64_t tokens_of(struct dry *d, const struct val *v)
{
    if (!v)
        return 0;
    struct str s = v->type == VAL_STR ? v->s : json_text(d->a, v);
    return (int64_t)((s.n + BYTES_A_TOKEN - 1) / BYTES_A_TOKEN);
}

static void plan_call(struct dry *d, struct str path, const struct effect *e)
{
    const struct val *request = e->request;
    struct call *c = ARENA_NEW(d->a, struct call);
    int64_t most = val_get_int(request, STR("max_tokens"), REPLY_TOKENS);
    *c = (struct call){.next = d->planned,
                       .id = e->id,
                       .path = path,
                       .provider = arena_str(d->a, val_get_str(request, STR("provider"), STR(""))),
                       .model = arena_str(d->a, val_get_str(request, STR("model"), STR(""))),
                       .prompt = last_text(d, request),
                       .usage.output = most < REPLY_TOKENS ? most : REPLY_TOKENS};
    c->usage.input = tokens_of(d, VAL_GET(request, "messages")) + tokens_of(d, VAL_GET(request, "system")) +
                     tokens_of(d, VAL_GET(request, "tools")) + tokens_of(d, VAL_GET(request, "schema"));
    if (VAL_GET(request, "system"))
        c->system = val_copy(d->a, VAL_GET(request, "system"));
    d->planned = c;
}

/* Shown when the answer is there: it knows the model's whole name, and so its price. */
static void show_call(struct dry *d, const struct call *c)
{
    double usd = 0;
    bool known = price_of(c->provider, c->model, &c->usage, &usd);
    d->calls++;
    d->input_tokens += c->usage.input;
    d->output_tokens += c->usage.output;
    d->cost += known ? usd : 0;
    d->cost_unknown |= !known;
    struct val e = entry(d, c->path, "model", "provider", val_str(c->provider));
    struct val_map m = val_map_new(d->a);
    val_map_merge(&m, &e);
    VAL_MAP_SET(&m, "model", val_str(c->model));
    VAL_MAP_SET(&m, "prompt", val_str(c->prompt));
    if (c->system.type == VAL_STR)
        VAL_MAP_SET(&m, "system", c->system);
    VAL_MAP_SET(&m, "input_tokens", val_int(c->usage.input));
    VAL_MAP_SET(&m, "output_tokens", val_int(c->usage.output));
    VAL_MAP_SET(&m, "cost_usd", known ? val_double(usd) : val_null);
    struct str about = arena_printf(d->a, "%.*s, about %lld tokens in", STR_ARG(c->model), (long long)c->usage.input);
    if (known)
        about = arena_printf(d->a, "%.*s, %s", STR_ARG(about), units_usd(usd).z);
    show(d, c->path, "model", about, val_map_done(&m));
    if (!d->s->json && c->prompt.n)
        printf("      %.*s\n", STR_ARG(one_line(d, c->prompt, PROMPT_SHOWN)));
}

static void model_done(void *ctx, uint64_t id, bool ok, const struct val *result)
{
    struct dry *d = ctx;
    struct call **at = &d->planned;
    while ((*at)->id != id)
        at = &(*at)->next;
    struct call *c = *at;
    *at = c->next;
    if (ok) {
        c->model = arena_str(d->a, val_get_str(result, STR("model"), c->model));
        c->provider = arena_str(d->a, val_get_str(result, STR("provider"), c->provider));
    }
    show_call(d, c);
    d->calling--;
    run_effect_done(d->run, id, ok, result);
    schedule(d);
}

/* ---- everything else ---- */

static bool read_regular(const char *path, struct arena *a, struct str *ret)
{
    struct stat st;
    struct err err;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && read_file(path, FILE_MAX, a, ret, &err) == RC_OK &&
           str_utf8_valid(*ret) == ret->n;
}

/* The file that the request names under `key`. */
static struct val read_result(struct dry *d, const struct val *request, const char *key)
{
    struct str path = val_get_str(request, str_c(key), STR("")), text = STR("");
    const struct session *s = d->s;
    const char *places[] = {arena_printf(d->a, "%.*s/%.*s", STR_ARG(s->workflow_dir), STR_ARG(path)).p,
                            arena_cstr(d->a, path),
                            arena_printf(d->a, "%.*s/%.*s", STR_ARG(s->workspace), STR_ARG(path)).p};
    bool absolute = path.n && path.p[0] == '/';
    for (size_t i = absolute; i < (absolute ? 2 : 3) && !read_regular(places[i], d->a, &text); i++)
        ;
    struct val_map m = val_map_new(d->a);
    VAL_MAP_SET(&m, "text", val_str(text));
    VAL_MAP_SET(&m, "path", val_str(path));
    return val_map_done(&m);
}

/* What a tool, a written file, or whatever a step type may ask for one day, comes to when it goes well. */
static struct val plain_result(struct dry *d, const struct val *request)
{
    struct val_map m = val_map_new(d->a);
    VAL_MAP_SET(&m, "success", val_true);
    VAL_MAP_SET(&m, "path", val_str(arena_str(d->a, val_get_str(request, STR("path"), STR("")))));
    VAL_MAP_SET(&m, "bytes", val_int((int64_t)val_get_str(request, STR("text"), STR("")).n));
    VAL_MAP_SET(&m, "text", VAL_LIT(""));
    VAL_MAP_SET(&m, "is_error", val_false);
    return val_map_done(&m);
}

/* What a list of files looks like where none can be had. */
static struct val no_files(struct dry *d, const struct val *request)
{
    static const char *const kept[] = {"operation", "source", "destination", "path", "pattern", "format", "processor"};
    struct val_map m = val_map_new(d->a);
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        if (val_get(request, str_c(kept[i])))
            val_map_set(&m, str_c(kept[i]), val_copy(d->a, val_get(request, str_c(kept[i]))));
    bool checks = str_is(val_get_str(request, STR("operation"), STR("")), "validate");
    VAL_MAP_SET(&m, "status", val_str(str_c(checks ? "all_valid" : "completed")));
    VAL_MAP_SET(&m, "count", val_int(0));
    VAL_MAP_SET(&m, "bytes", val_int(0));
    val_map_set(&m, checks ? STR("results") : STR("files"), val_empty_array);
    return val_map_done(&m);
}

/* Looking does nothing, so a list of files is that of the workspace as it is now. */
static struct val files_result(struct dry *d, const struct val *request)
{
    struct beneath root;
    struct val v = no_files(d, request);
    struct err ignored;
    if (!str_is(val_get_str(request, STR("operation"), STR("")), "list") ||
        beneath_init(&root, d->a, arena_cstr(d->a, d->s->workspace), false, &ignored) != RC_OK)
        return v;
    static const atomic_bool never;
    struct fileop op = {.arena = d->a, .root = &root, .request = request, .phase = TOOL_APPLY, .cancel = &never};
    if (fileop_run(&op, &v, &ignored) != RC_OK)
        v = no_files(d, request);
    beneath_done(&root);
    return v;
}

/* Questions about code: nothing is found. */
static struct val code_result(struct dry *d, const struct val *request)
{
    struct val_map m = val_map_new(d->a);
    const struct val *queries = VAL_GET(request, "queries");
    for (size_t i = 0; val_is(queries, VAL_OBJECT) && i < queries->obj.n; i++) {
        const struct val *q = &queries->obj.m[i].val;
        bool list = val_is(q, VAL_OBJECT) && q->obj.n && !val_is(&q->obj.m[0].val, VAL_BOOL);
        val_map_set(&m, arena_str(d->a, queries->obj.m[i].key), list ? val_empty_array : val_empty_object);
    }
    return val_map_done(&m);
}

/* A file that is processed in chunks is one chunk here, with what it says now. */
static struct val stream_result(struct dry *d, const struct val *request)
{
    struct val_map m = val_map_new(d->a);
    struct val_list ends = val_list_new(d->a);
    struct val file = read_result(d, request, "source");
    struct str text = val_get_str(&file, STR("text"), STR(""));
    text.n = text.n < CHUNK_SHOWN ? text.n : CHUNK_SHOWN;
    text.n = str_utf8_valid(text);
    val_list_push(&ends, val_int((int64_t)text.n));
    VAL_MAP_SET(&m, "stamp", VAL_LIT(""));
    VAL_MAP_SET(&m, "ends", val_list_done(&ends));
    VAL_MAP_SET(&m, "text", val_str(text));
    return val_map_done(&m);
}

/* A text for the shell; or words. */
static struct str command_text(struct dry *d, const struct val *request)
{
    const struct val *shell = VAL_GET(request, "shell"), *argv = VAL_GET(request, "argv");
    if (val_is(shell, VAL_STR))
        return shell->s;
    struct buf b;
    buf_init(&b, COMMAND_MAX);
    for (size_t i = 0; val_is(val_at(argv, i), VAL_STR); i++) {
        if (i)
            buf_addc(&b, ' ');
        buf_add_shell_arg(&b, val_at(argv, i)->s);
    }
    struct str text = arena_str(d->a, buf_str(&b));
    buf_done(&b);
    return text;
}

/* What a run says when it asks; what changes files is first asked for a plan, without a word. */
static struct str label_of(struct dry *d, struct str path, const struct val *request)
{
    struct str from = val_get_str(request, STR("source"), STR("")),
               to = val_get_str(request, STR("destination"), val_get_str(request, STR("path"), STR("")));
    if (str_eq(path, d->label_of))
        return d->label;
    struct str what = val_get_str(request, STR("operation"), val_get_str(request, STR("action"), STR("")));
    return arena_printf(d->a, "%.*s%s%.*s%s%.*s", STR_ARG(what), from.n ? " " : "", STR_ARG(from),
                        !to.n    ? ""
                        : from.n ? " to "
                                 : " ",
                        STR_ARG(to));
}

static struct val answer_to(struct dry *d, struct str path, const struct effect *e)
{
    const struct val *r = e->request;
    struct str file = arena_str(d->a, val_get_str(r, STR("path"), STR("")));
    if (e->kind == EFFECT_COMMAND) {
        struct str text = arena_str(d->a, command_text(d, r));
        d->commands++;
        show(d, path, "command", text, entry(d, path, "command", "command", val_str(text)));
        return port_mock_outcome(VAL_GET(r, "mock"), d->a);
    }
    if (e->kind == EFFECT_READ) {
        show(d, path, "read", file, entry(d, path, "read", "file", val_str(file)));
        return read_result(d, r, "path");
    }
    if (e->kind == EFFECT_OUTPUT) {
        d->files++;
        show(d, path, "write", file, entry(d, path, "write", "file", val_str(file)));
        return plain_result(d, r);
    }
    struct val what = val_copy(d->a, r);
    show(d, path, "effect", label_of(d, path, r), entry(d, path, "effect", "request", what));
    if (e->kind == EFFECT_CODE)
        return code_result(d, r);
    if (e->kind == EFFECT_FILES && !str_starts(val_get_str(r, STR("operation"), STR("")), STR("stream_")))
        return files_result(d, r);
    if (str_starts(val_get_str(r, STR("operation"), STR("")), STR("stream_")))
        return stream_result(d, r);
    return plain_result(d, r);
}

/* ---- the run's world ---- */

static int64_t io_now(void *ctx)
{
    return ((struct dry *)ctx)->now;
}

static uint64_t io_random(void *ctx)
{
    struct dry *d = ctx;
    return d->random = d->random * 6364136223846793005u + 1442695040888963407u;
}

static void io_append(void *ctx, const struct record *r)
{
    (void)ctx, (void)r;
}

static void io_effect(void *ctx, const struct effect *e)
{
    struct dry *d = ctx;
    struct str path = arena_str(d->a, e->path);
    struct answer *x = ARENA_NEW(d->a, struct answer);
    if (++d->effects > EFFECTS_MAX && !d->too_many) {
        d->too_many = true;
        run_cancel(d->run);
    }
    if (e->kind == EFFECT_MODEL && !d->too_many) {
        plan_call(d, path, e);
        d->calling++;
        egress_start(d->egress, e, model_done, d);
        return;
    }
    *x = (struct answer){.id = e->id, .ok = !d->too_many};
    x->result = d->too_many ? port_mock_outcome(NULL, d->a) : answer_to(d, path, e);
    *d->answers_end = x;
    d->answers_end = &x->next;
    schedule(d);
}

static void io_cancel(void *ctx, uint64_t effect)
{
    egress_cancel(((struct dry *)ctx)->egress, effect);
}

static void io_timer(void *ctx, uint64_t id, int64_t ms)
{
    struct dry *d = ctx;
    struct alarm *x = ARENA_NEW(d->a, struct alarm), **at = &d->alarms;
    *x = (struct alarm){.id = id, .at = d->now + ms};
    while (*at && (*at)->at <= x->at)
        at = &(*at)->next;
    x->next = *at;
    *at = x;
}

static void io_emit(void *ctx, const struct event *e)
{
    struct dry *d = ctx;
    struct str path = arena_str(d->a, e->path), detail = arena_str(d->a, e->detail);
    if (e->kind == EVENT_SKIPPED)
        show(d, path, "skipped", arena_printf(d->a, "%.*s is false", STR_ARG(detail)),
             entry(d, path, "skipped", "condition", val_str(detail)));
    else if (e->kind == EVENT_STARTED)
        show(d, path, "step", arena_str(d->a, e->type),
             entry(d, path, "step", "type", val_str(arena_str(d->a, e->type))));
    else if (e->kind == EVENT_CALL)
        d->label = detail, d->label_of = path;
    else if (e->kind == EVENT_FINISHED && val_get_int(e->data, STR("total_items"), -1) == 0)
        show(d, path, "note", STR("no items with these answers: its steps are not in this plan"),
             entry(d, path, "note", "note", VAL_LIT("no items")));
    else if (e->kind == EVENT_WAIT)
        show(d, path, "wait", detail, entry(d, path, "wait", "for", val_str(detail)));
}

static void io_wake(void *ctx)
{
    schedule(ctx);
}

static const struct flow_io dry_io = {.now_ms = io_now,
                                      .random = io_random,
                                      .append = io_append,
                                      .effect = io_effect,
                                      .cancel = io_cancel,
                                      .timer = io_timer,
                                      .emit = io_emit,
                                      .wake = io_wake};

/* ---- turns ---- */

struct waiting {
    struct str path, signal;
    struct val answer;
    bool found, approval;
};

static void first_wait(void *ctx, const struct run_wait *w)
{
    struct waiting *x = ctx;
    if (x->found)
        return;
    x->found = true;
    x->path = w->path;
    x->approval = str_is(val_get_str(w->wait, STR("for"), STR("")), "approval");
    x->signal = val_get_str(w->wait, STR("signal"), STR(""));
    const struct val *v = x->approval ? val_at(VAL_GET(w->wait, "choices"), 0) : VAL_GET(w->wait, "schema");
    x->answer = v ? *v : val_null;
}

/* Somebody gives the first answer that is asked for. False: nobody is. */
static bool answer_wait(struct dry *d)
{
    struct waiting w = {0};
    struct err err;
    bool known;
    run_each_wait(d->run, first_wait, &w);
    if (!w.found)
        return false;
    if (w.approval) {
        struct val_map m = val_map_new(d->a);
        VAL_MAP_SET(&m, "choice", val_copy(d->a, &w.answer));
        struct val v = val_map_done(&m);
        return run_answer(d->run, arena_str(d->a, w.path), &v, &err) == RC_OK;
    }
    struct val data = w.answer.type == VAL_OBJECT ? mock_instance(d->a, &w.answer) : val_null;
    return run_signal(d->run, arena_str(d->a, w.signal), &data, STR(""), STR("dry run"), &known, &err) == RC_OK;
}

static void strike(struct dry *d)
{
    struct alarm *x = d->alarms;
    d->alarms = x->next;
    d->now = x->at > d->now ? x->at : d->now;
    run_timer(d->run, x->id);
}

static void turn(void *ctx)
{
    struct dry *d = ctx;
    d->turn = 0;
    if (run_status(d->run) != RUN_RUNNING)
        return;
    bool more = run_work(d->run, 1000);
    struct answer *x = d->answers;
    if (more || run_status(d->run) != RUN_RUNNING) {
        schedule(d);
        return;
    }
    if (x) {
        d->answers = x->next;
        if (!d->answers)
            d->answers_end = &d->answers;
        run_effect_done(d->run, x->id, x->ok, &x->result);
    } else if (!d->calling && !answer_wait(d)) {
        if (!d->alarms)
            return;
        strike(d);
    }
    if (!d->calling || d->answers)
        schedule(d);
}

static void schedule(struct dry *d)
{
    if (!d->turn)
        d->turn = ev_timer(d->loop, 0, turn, d);
}

/* ---- the whole ---- */

static struct val totals(struct dry *d)
{
    struct val_map m = val_map_new(d->a);
    VAL_MAP_SET(&m, "calls", val_int(d->calls));
    VAL_MAP_SET(&m, "input_tokens", val_int(d->input_tokens));
    VAL_MAP_SET(&m, "output_tokens", val_int(d->output_tokens));
    VAL_MAP_SET(&m, "cost_usd", d->cost_unknown ? val_null : val_double(units_usd_sum(d->cost)));
    VAL_MAP_SET(&m, "commands", val_int(d->commands));
    VAL_MAP_SET(&m, "files", val_int(d->files));
    return val_map_done(&m);
}

static const char *outcome(const struct dry *d)
{
    return d->too_many                           ? "cut off"
           : run_status(d->run) == RUN_SUCCEEDED ? "complete"
           : run_status(d->run) == RUN_WAITING   ? "waiting"
                                                 : "failed";
}

static int print_json(struct dry *d)
{
    struct val_map m = val_map_new(d->a);
    VAL_MAP_SET(&m, "workflow", val_str(d->s->workflow->name));
    VAL_MAP_SET(&m, "dry_run", val_true);
    VAL_MAP_SET(&m, "status", val_str(str_c(outcome(d))));
    VAL_MAP_SET(&m, "plan", val_list_done(&d->plan));
    VAL_MAP_SET(&m, "totals", totals(d));
    if (run_error(d->run))
        VAL_MAP_SET(&m, "error", *run_error(d->run));
    struct val v = val_map_done(&m);
    return said_json(&v, EXIT_OK);
}

static int print_end(struct dry *d)
{
    const struct val *e = run_error(d->run);
    printf("In all: %lld call%s of models", (long long)d->calls, d->calls == 1 ? "" : "s");
    if (d->calls)
        printf(", about %lld tokens in and %lld out, %s%s", (long long)d->input_tokens, (long long)d->output_tokens,
               d->cost_unknown ? "of unknown price" : "about ", d->cost_unknown ? "" : units_usd(d->cost).z);
    if (d->commands)
        printf("; %lld command%s", (long long)d->commands, d->commands == 1 ? "" : "s");
    if (d->files)
        printf("; %lld file%s written", (long long)d->files, d->files == 1 ? "" : "s");
    printf(". Nothing of it was done.\n");
    if (d->too_many)
        printf("The plan is cut off after %d entries.\n", EFFECTS_MAX);
    else if (e)
        printf("The plan ends here%s: %.*s%s%.*s\n",
               run_status(d->run) == RUN_WAITING ? "" : ", for the answers are made up",
               STR_ARG(val_get_str(e, STR("step"), STR(""))), val_get_str(e, STR("step"), STR("")).n ? ": " : "",
               STR_ARG(val_get_str(e, STR("message"), STR(""))));
    return EXIT_OK;
}

static enum rc open_egress(struct dry *d, struct err *err)
{
    struct session *s = d->s;
    struct val fixtures;
    bool have = s->fixtures.n != 0;
    if (have && yaml_parse(d->a, s->fixtures, "fixtures", &YAML_LIMITS_DEFAULT, &fixtures, err) != RC_OK)
        return err->rc;
    return egress_new(
        &(struct egress_options){.loop = d->loop, .mode = EGRESS_MOCK, .fixtures = have ? &fixtures : NULL}, &d->egress,
        err);
}

int dry_run(struct session *s)
{
    struct dry d = {.s = s, .loop = ev_loop_new(), .a = &s->arena, .now = clock_wall_ms(), .random = 1};
    struct err err;
    d.answers_end = &d.answers;
    d.plan = val_list_new(d.a);
    if (open_egress(&d, &err) != RC_OK) {
        ev_loop_free(d.loop);
        return fail(exit_of(err.rc), "%s", err.msg);
    }
    struct run_options o = {.id = STR("dry-run"),
                            .inputs = &s->inputs,
                            .env = session_env(s),
                            .workflow_sha256 = s->workflow_sha256,
                            .workspace = s->workspace,
                            .output_dir = s->output_dir,
                            .workflow_dir = s->workflow_dir,
                            .mocked = true,
                            .shelf_bytes = SIZE_MAX, /* there is no journal to read from */
                            .stay = STAY_FOR_ANSWERS};
    d.run = run_new(s->workflow, &o, &dry_io, &d);
    if (!s->json)
        printf("Plan of workflow %.*s, with made-up answers:\n", STR_ARG(s->workflow->name));
    run_start(d.run);
    schedule(&d);
    ev_run(d.loop);
    int code = s->json ? print_json(&d) : print_end(&d);
    bool good = run_status(d.run) == RUN_SUCCEEDED || run_status(d.run) == RUN_WAITING || d.too_many;
    egress_free(d.egress);
    run_free(d.run);
    ev_loop_free(d.loop);
    return code != EXIT_OK || good ? code : (int)EXIT_RUN_FAILED;
}
