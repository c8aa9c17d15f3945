/* command: runs a program in the workspace and judges it by its exit code.
 *
 * The process itself is one effect, `exec:1` below the step. One that was running when Treadle stopped may have done
 * half its work. What it changed in the workspace is taken back; where it had no network it is then simply run again,
 * and else the run holds for a person, unless `on_interrupt` says what to do (frame_command()). */
#include "base/buf.h"
#include "data/json.h"
#include "flow/frame.h"
#include "flow/units.h"
#include "step/mocked.h"
#include "step/network.h"

#include <stdio.h>

static const struct step_key keys[] = {
    {"run", KEY_ANY, .required = true,
     .doc = "A text for /bin/sh, or a list of a program and its arguments (started without a shell)."},
    {"command", KEY_ANY, .doc = "Another spelling of `run`.", .alias_of = "run"},
    {"cwd", KEY_TEMPLATE, .fallback = "the workspace", .doc = "Directory to start in, inside the workspace."},
    {"env", KEY_OBJECT, .doc = "Environment variables added to the small set that commands get."},
    {"stdin", KEY_TEMPLATE, .doc = "Text given on standard input."},
    {"ok_exit", KEY_INTS, .fallback = "[0]", KEY_FROM_TO(0, 255), .doc = "Exit codes that count as success."},
    {"workspace", KEY_ENUM, .choices = "shared|isolated", .fallback = "shared",
     .doc =
         "`shared`: waits while another step writes to the workspace. `isolated`: works beside others in a view of its "
         "own, whose changes are taken over at its end; fails as `conflict` where others changed the same file."},
    {"output_limit", KEY_SIZE, .fallback = "1MB", KEY_FROM(1),
     .doc = "How much of standard output, and of standard error, is kept."},
    {"memory_limit", KEY_SIZE, .fallback = "half of the machine's", KEY_FROM(1),
     .doc = "How much memory the command and all that it starts may use together; more ends them."},
    {"process_limit", KEY_INT, .fallback = "4096", KEY_FROM_TO(1, 1 << 22),
     .doc = "How many processes and threads they may be; more ends them."},
    NETWORK_KEY,
    MOCKED_KEYS,
    {"secrets", KEY_STRINGS,
     .doc = "Names from the workflow's `secrets` whose values the command gets as environment variables."},
    {0}};

/* Only a text goes through a shell, where what a hole brings in is code like the rest. */
static void check(const struct step_def *s, struct problems *ps)
{
    network_check(VAL_GET(s->source, "network"), ps);
    mocked_check(s, ps);
    const struct val *run = VAL_GET(s->source, "run");
    run = run ? run : VAL_GET(s->source, "command");
    struct arena scratch = {0};
    const struct tmpl *t;
    struct err err;
    if (val_is(run, VAL_STR) && tmpl_parse(&scratch, run->s, run->line, run->col, &t, &err) == RC_OK) {
        enum tmpl_shell hole = tmpl_shell(t);
        if (hole == TMPL_SHELL_RAW)
            problem_add(ps, true, run->line, run->col,
                        "model or input text in a shell command can run anything; use {{ quote(...) }}, a list, `env` "
                        "or `stdin`");
        if (hole == TMPL_SHELL_QUOTED_TWICE)
            problem_add(ps, true, run->line, run->col,
                        "quote(...) brings its own quotes, and loses its effect inside others; write it outside of "
                        "quotes");
    }
    arena_done(&scratch);
}

/* Arguments are text for the program; numbers and booleans are written as JSON would. */
static bool text_list(struct frame *f, const struct val *v, struct val *ret)
{
    struct val_list l = val_list_new(&f->arena);
    for (size_t i = 0; i < v->arr.n; i++) {
        const struct val *one = &v->arr.v[i];
        if (one->type == VAL_NULL || one->type == VAL_ARRAY || one->type == VAL_OBJECT) {
            step_failf(f, RC_INVALID, "`run` item %zu is %s; expected text, a number or a boolean", i + 1,
                       val_type_name(one));
            return false;
        }
        val_list_push(&l, one->type == VAL_STR ? *one : val_str(json_text(&f->arena, one)));
    }
    *ret = val_list_done(&l);
    if (v->arr.n)
        return true;
    step_failf(f, RC_INVALID, "`run` is an empty list; expected a program and its arguments");
    return false;
}

/* Environment values are text for the program; numbers and booleans are written as JSON would. */
static struct val env_text(struct arena *a, const struct val *env)
{
    struct val_map m = val_map_new(a);
    for (size_t i = 0; i < env->obj.n; i++) {
        const struct member *e = &env->obj.m[i];
        struct buf b;
        buf_init(&b, (size_t)1 << 20);
        if (e->val.type != VAL_STR)
            json_write(&b, &e->val, JSON_COMPACT);
        val_map_set(&m, e->key, e->val.type == VAL_STR ? e->val : val_str(arena_str(a, buf_str(&b))));
        buf_done(&b);
    }
    return val_map_done(&m);
}

static bool build_request(struct frame *f, const struct val *c, struct val *ret)
{
    struct arena *a = &f->arena;
    struct val_map m = val_map_new(a);
    const struct val *run = VAL_GET(c, "run"), *limit = VAL_GET(c, "output_limit");
    if (val_is(run, VAL_STR)) {
        VAL_MAP_SET(&m, "shell", *run);
    } else if (val_is(run, VAL_ARRAY)) {
        struct val argv;
        if (!text_list(f, run, &argv))
            return false;
        VAL_MAP_SET(&m, "argv", argv);
    } else {
        step_failf(f, RC_INVALID, "`run` is %s; expected text or a list of text", val_type_name(run));
        return false;
    }
    if (VAL_GET(c, "cwd"))
        VAL_MAP_SET(&m, "cwd", *VAL_GET(c, "cwd"));
    if (val_is(VAL_GET(c, "env"), VAL_OBJECT))
        VAL_MAP_SET(&m, "env", env_text(a, VAL_GET(c, "env")));
    if (VAL_GET(c, "stdin"))
        VAL_MAP_SET(&m, "stdin", *VAL_GET(c, "stdin"));
    int64_t bytes = 1 << 20;
    struct err err;
    if (limit && units_size(limit, &bytes, &err) != RC_OK) {
        step_failf(f, RC_INVALID, "`output_limit`: %s", err.msg);
        return false;
    }
    VAL_MAP_SET(&m, "output_limit", val_int(bytes));
    limit = VAL_GET(c, "memory_limit");
    if (limit && units_size(limit, &bytes, &err) != RC_OK) {
        step_failf(f, RC_INVALID, "`memory_limit`: %s", err.msg);
        return false;
    }
    if (limit)
        VAL_MAP_SET(&m, "memory_limit", val_int(bytes));
    if (VAL_GET(c, "process_limit"))
        VAL_MAP_SET(&m, "process_limit", *VAL_GET(c, "process_limit"));
    if (frame_timeout(f))
        VAL_MAP_SET(&m, "timeout_ms", val_int(frame_timeout(f)));
    const struct val *network, *mock;
    if (!network_read(f, c, &network) || !mocked_read(f, c, &mock))
        return false;
    if (mock)
        VAL_MAP_SET(&m, "mock", *mock);
    if (network)
        VAL_MAP_SET(&m, "network", *network);
    if (VAL_GET(c, "secrets"))
        VAL_MAP_SET(&m, "secrets", *VAL_GET(c, "secrets"));
    *ret = val_map_done(&m);
    return true;
}

/* The text for the shell, or the words as somebody would write them for one: as in a plan. */
static const char *label_of(struct frame *f, const struct val *request)
{
    const struct val *shell = VAL_GET(request, "shell");
    const struct val *argv = VAL_GET(request, "argv");
    enum { SHOWN = 60, WORD_MAX = 4 * (SHOWN + 1) + 3 /* all quotes, and a space */ };
    struct buf words;
    buf_init(&words, SHOWN + WORD_MAX);
    for (size_t i = 0; !shell && val_at(argv, i) && words.n <= SHOWN; i++) {
        struct str word = val_at(argv, i)->s;
        if (i)
            buf_addc(&words, ' ');
        buf_add_shell_arg(&words, str_n(word.p, word.n <= SHOWN ? word.n : SHOWN + 1));
    }
    struct str text = shell ? str_trim(shell->s) : arena_str(&f->arena, buf_str(&words));
    buf_done(&words);
    size_t line = str_find(text, STR("\n")), whole = text.n;
    if (line != SIZE_MAX)
        text = str_n(text.p, line);
    if (text.n > SHOWN)
        text = str_n(text.p, SHOWN);
    text.n = str_utf8_valid(text);
    return arena_printf(&f->arena, "$ %.*s%s", STR_ARG(text), text.n < whole ? "…" : "").p;
}

static bool is_isolated(struct frame *f)
{
    return str_is(val_get_str(frame_config(f, true), STR("workspace"), STR("")), "isolated");
}

static void run(struct frame *f, void *ctx)
{
    struct val *request = ctx;
    struct val_map m = val_map_new(&f->arena);
    struct effect_plan plan = {.kind = EFFECT_COMMAND, .request = request, .label = label_of(f, request)};
    val_map_merge(&m, request);
    frame_command(f, VAL_GET(request, "network"), is_isolated(f), &plan, &m);
    *request = val_map_done(&m);
    frame_effect(f, "exec:1", 0, &plan);
}

static void enter(struct frame *f)
{
    const struct val *c = frame_config(f, true);
    struct val *request = ARENA_NEW(&f->arena, struct val);
    if (!c || !build_request(f, c, request))
        return;
    if (is_isolated(f))
        run(f, request);
    else
        frame_workspace(f, run, request);
}

static bool exit_is_ok(const struct val *config, const struct val *code)
{
    const struct val *ok = VAL_GET(config, "ok_exit");
    if (val_is(ok, VAL_ARRAY)) {
        for (size_t i = 0; i < ok->arr.n; i++)
            if (val_eq(&ok->arr.v[i], code))
                return true;
        return false;
    }
    struct val zero = val_int(0);
    return val_eq(ok ? ok : &zero, code);
}

/* The last lines of what the command said, for the message. */
static struct str tail(struct str s, size_t max)
{
    s = str_trim(s);
    if (s.n > max)
        s = str_from(s, s.n - max);
    while (s.n && ((unsigned char)s.p[0] & 0xC0) == 0x80)
        s = str_from(s, 1);
    return s;
}

/* A schema speaks of what the command says, if that is data; else of the result as a whole. */
static void add_data(struct frame *f, struct str said, struct val_map *m)
{
    struct val v;
    struct err err;
    said = str_trim(said);
    if (said.n && (*said.p == '{' || *said.p == '[') && json_parse(&f->arena, said, &JSON_DATA, &v, &err) == RC_OK)
        VAL_MAP_SET(m, "data", v);
}

static void child_done(struct frame *f, struct frame *child)
{
    if (!child_ok(child)) {
        step_fail_as(f, child);
        return;
    }
    const struct val *r = child_result(child), *code = VAL_GET(r, "exit_code");
    const struct val *c = frame_config(f, true);
    bool timed_out = val_get_bool(r, STR("timed_out"), false), ok = !timed_out && exit_is_ok(c, code);
    struct val_map m = val_map_new(&f->arena);
    VAL_MAP_SET(&m, "success", val_bool(ok));
    val_map_merge(&m, r);
    VAL_MAP_SET(&m, "success", val_bool(ok));
    if (ok && f->def->output_schema)
        add_data(f, val_get_str(r, STR("stdout"), STR("")), &m);
    struct val result = val_map_done(&m);
    if (ok) {
        step_ok(f, &result);
        return;
    }
    char code_text[32];
    struct arena *a = &f->arena;
    struct str said = val_get_str(r, STR("stderr"), STR(""));
    if (!str_trim(said).n)
        said = val_get_str(r, STR("stdout"), STR(""));
    said = tail(said, 400);
    struct str signal = val_get_str(r, STR("signal"), STR("")), msg;
    struct str limit = val_get_str(r, STR("limit"), STR("")), hint = val_get_str(r, STR("hint"), STR(""));
    const char *colon = said.n ? ": " : "";
    if (limit.n)
        msg = arena_printf(
            a, "it and all it started %s; raise `%s_limit` of the step, or TREADLE_COMMAND_%s of the machine",
            str_is(limit, "memory") ? "used more memory than they may" : "were more processes than they may be",
            str_is(limit, "memory") ? "memory" : "process", str_is(limit, "memory") ? "MEMORY" : "PROCESSES");
    else if (timed_out)
        msg = arena_printf(a, "no result within %g s (timeout)", (double)frame_timeout(f) / 1000);
    else if (signal.n)
        msg = arena_printf(a, "killed by %.*s%s%.*s", STR_ARG(signal), colon, STR_ARG(said));
    else
        msg = arena_printf(a, "exit code %lld%s%.*s%s%.*s", (long long)(code ? code->i : -1), colon, STR_ARG(said),
                           hint.n ? "; " : "", STR_ARG(hint));
    snprintf(code_text, sizeof code_text, "exit_%lld", (long long)(code ? code->i : -1));
    step_fail(f, &(struct failure){.rc = limit.n     ? RC_LIMIT
                                         : timed_out ? RC_TIMEOUT
                                                     : RC_COMMAND,
                                   .code = limit.n     ? limit
                                           : timed_out ? STR("timeout")
                                                       : str_c(code_text),
                                   .message = str_n(msg.p, str_utf8_valid(msg)),
                                   .partial = &result});
}

const struct step_type step_command = {
    .name = "command",
    .writes = true,
    .makes_files = true,
    .aliases = "bash",
    .doc = "Runs a program in the workspace.",
    .keys = keys,
    .result_doc =
        "success|exit_code|signal|stdout|stderr|duration_ms|timed_out|truncated|output_bytes|sandbox|limit|hint|data|"
        "error",
    .own_timeout = true,
    .check = check,
    .enter = enter,
    .child_done = child_done};
