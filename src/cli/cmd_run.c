/* run: a new run of a workflow file. */
#include "base/clock.h"
#include "base/dollar.h"
#include "base/sha256.h"
#include "cli/commands.h"
#include "cli/dry_run.h"
#include "cli/inputs.h"
#include "cli/load.h"
#include "cli/old_env.h"
#include "cli/run_options.h"
#include "cli/session.h"
#include "data/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { INPUT_DEPTH_MAX = 100 }; /* the journal's records wrap them, and must stay readable */

/* ---- inputs ---- */

static enum rc inputs_file(const char *path, struct arena *a, struct val_map *m, struct err *err)
{
    struct str text;
    struct val v;
    enum rc rc = read_file(path, INPUT_MAX, a, &text, err);
    if (rc != RC_OK)
        return rc;
    if (json_parse(a, text, &JSON_DATA, &v, err) != RC_OK)
        return err_wrap(err, "%s", path);
    if (v.type != VAL_OBJECT)
        return err_set(err, RC_USAGE, "%s holds %s; expected a JSON object of inputs", path, val_type_name(&v));
    val_map_merge(m, &v);
    return RC_OK;
}

static enum rc gather_inputs(const struct workflow *w, const struct args *args, struct arena *a, struct val *ret,
                             struct err *err)
{
    struct val_map m = val_map_new(a);
    enum rc rc = RC_OK;
    const char *v;
    for (int i = 0; rc == RC_OK && (v = args_nth(args, "inputs", i)); i++)
        rc = inputs_file(v, a, &m, err);
    for (int i = 0; rc == RC_OK && (v = args_nth(args, "input", i)); i++)
        rc = input_read(w, "input", v, a, &m, err);
    for (int i = 1; rc == RC_OK && i < args->nwords; i++)
        rc = input_word(w, args->words[i], a, &m, err);
    if (rc == RC_OK)
        input_environment(w, a, &m);
    struct val given = val_map_done(&m);
    if (rc == RC_OK)
        rc = workflow_inputs(w, &given, a, ret, err);
    if (rc == RC_OK)
        rc = workflow_names_known(w, ret, "--input ", err);
    if (rc == RC_OK && val_depth(ret) > INPUT_DEPTH_MAX)
        rc = err_set(err, RC_USAGE, "the inputs are nested more than %d levels deep", INPUT_DEPTH_MAX);
    return rc;
}

/* ---- directories ---- */

/* `${X}` and `${X:-text}` in a directory that the workflow names. */
static struct str expand(struct arena *a, struct str s)
{
    struct str out = STR("");
    for (struct dollar d; dollar_next(&s, &d);) {
        const char *v = getenv(arena_cstr(a, d.name));
        struct str text = v ? str_c(v) : d.fallback.p ? d.fallback : STR("");
        out = arena_printf(a, "%.*s%.*s%.*s", STR_ARG(out), STR_ARG(d.before), STR_ARG(text));
    }
    return arena_printf(a, "%.*s%.*s", STR_ARG(out), STR_ARG(s));
}

/* The command line, then the environment, then the workflow. */
static struct str directory(struct arena *a, const char *given, const char *variable, struct str written,
                            const char *fallback)
{
    const char *env = getenv(variable);
    return given ? str_c(given) : env && *env ? str_c(env) : written.n ? expand(a, written) : str_c(fallback);
}

static enum rc directories(struct session *s, const struct args *args, const char *file, struct err *err)
{
    const char *workspace = args_get(args, "workspace"), *output = args_get(args, "output-dir");
    const struct workflow *w = s->workflow;
    struct str ws = directory(&s->arena, workspace, "PIPELINE_WORKSPACE_DIR", w->workspace_dir, "./workspace");
    struct str out = directory(&s->arena, output, "PIPELINE_OUTPUT_DIR", w->output_dir, "./outputs");
    struct str f;
    enum rc rc = absolute_path(ws, &s->arena, &s->workspace, err);
    if (rc == RC_OK && w->workspace_must_exist && access(s->workspace.p, F_OK) != 0)
        rc = err_set(err, RC_INVALID, "there is no workspace %.*s, and workspace_config says that none is to be made",
                     STR_ARG(s->workspace));
    if (rc == RC_OK)
        rc = absolute_path(out, &s->arena, &s->output_dir, err);
    if (rc == RC_OK)
        rc = absolute_path(str_c(file), &s->arena, &f, err);
    if (rc != RC_OK)
        return rc;
    while (f.n > 1 && f.p[f.n - 1] != '/')
        f.n--;
    s->workflow_dir = arena_str(&s->arena, str_n(f.p, f.n > 1 ? f.n - 1 : 1));
    return RC_OK;
}

static int prepare(struct session *s, const struct args *args)
{
    struct err err;
    const char *file = args->words[0];
    struct sha256 h = sha256_of(s->workflow->text);
    struct sha256_hex x = sha256_hex(&h);
    s->workflow_sha256 = arena_str(&s->arena, str_c(x.z));
    s->created_ms = clock_wall_ms();
    if (gather_inputs(s->workflow, args, &s->arena, &s->inputs, &err) != RC_OK ||
        run_options_read(s, args, &err) != RC_OK || home_run_named(args_get(args, "run-id"), &s->home, &err) != RC_OK ||
        directories(s, args, file, &err) != RC_OK)
        return fail(exit_of(err.rc), "%s", err.msg);
    return EXIT_OK;
}

static int run(const struct command *c, const struct args *args)
{
    (void)c;
    struct session s = {0};
    s.files.a = &s.arena;
    old_environment(OLD_ENV_RUN, args_get(args, "quiet"));
    int code = load_workflow(args->words[0], !args_get(args, "quiet"), &s.files, &s.workflow);
    if (code == EXIT_OK) {
        code = prepare(&s, args);
        if (code == EXIT_OK)
            code = args_get(args, "dry-run") ? dry_run(&s) : session_run(&s);
        workflow_unref(s.workflow);
    }
    arena_done(&s.arena);
    return code;
}

static void help_wanted(const struct workflow *w, const struct wanted_input *x)
{
    uint32_t line = x->line;
    struct str file = workflow_place(w, &line);
    printf("  %-20.*s any, required: read at %.*s:%u:%u\n", STR_ARG(x->name), STR_ARG(file), line, x->col);
}

/* treadle run --help FILE: what this workflow wants to be given. */
static int help(const struct command *c, const struct args *args)
{
    struct workflow *w;
    struct arena called = {0};
    int code = load_workflow(args->words[0], false, &(struct called_files){.a = &called}, &w);
    arena_done(&called);
    if (code != EXIT_OK)
        return code;
    printf("%.*s%s%.*s\n\nUsage: treadle run %s", STR_ARG(w->name), w->description.n ? " - " : "",
           STR_ARG(w->description), args->words[0]);
    for (size_t i = 0; i < w->ninputs; i++)
        printf(w->inputs[i].required ? " --input %.*s=VALUE" : " [--input %.*s=VALUE]", STR_ARG(w->inputs[i].name));
    for (size_t i = 0; i < w->nwanted; i++)
        if (w->wanted[i].kind == WANTED_INPUT)
            printf(" --input %.*s=VALUE", STR_ARG(w->wanted[i].name));
    printf("\n%s", w->ninputs ? "\nInputs:\n" : "\nThis workflow declares no inputs.\n");
    for (size_t i = 0; i < w->nwanted; i++)
        if (w->wanted[i].kind == WANTED_INPUT)
            help_wanted(w, &w->wanted[i]);
    for (size_t i = 0; i < w->ninputs; i++) {
        const struct input_def *in = &w->inputs[i];
        struct val sample = {.type = (uint8_t)in->type};
        struct arena a = {0};
        struct str fallback = in->fallback ? json_text(&a, in->fallback) : str_n("", 0);
        struct str choices = in->choices ? json_text(&a, in->choices) : str_n("", 0);
        printf("  %-20.*s %s%s%s%.*s%s%.*s%s%.*s\n", STR_ARG(in->name),
               in->type == VAL_NULL ? "any" : val_type_name(&sample), in->required ? ", required" : "",
               in->fallback ? ", default " : "", STR_ARG(fallback), choices.n ? ", one of " : "", STR_ARG(choices),
               in->description.n ? ": " : "", STR_ARG(in->description));
        arena_done(&a);
    }
    workflow_unref(w);
    printf("\ntreadle %s --help lists the options.\n", c->name);
    return EXIT_OK;
}

static const struct option options[] = {
    {"input", 'i', "NAME=VALUE", "An input; NAME=@FILE reads it from a file. May be repeated.", false},
    {"inputs", 0, "FILE.json", "Inputs from a JSON object.", false},
    {"workspace", 'w', "DIR", "Directory that tools and commands may touch (default ./workspace).", false},
    {"output-dir", 'o', "DIR", "Where output_to_file goes (default ./outputs).", false},
    {"run-id", 0, "ID", "Name of the run (default: made from the time).", false},
    {"dry-run", 0, NULL, "Print the plan with made-up answers; do nothing.", false},
    RUN_OPTIONS,
    OPTION_END};

const struct command command_run = {
    .name = "run",
    .usage = "FILE [NAME=VALUE]... [options]",
    .summary = "run a workflow",
    .details =
        "Runs FILE and records every step durably: kill it anywhere, `treadle resume` goes on where it stopped and\n"
        "pays for no finished answer twice.\n\n"
        "With --json standard output is one JSON object: run_id, status, results, output, error, usage. Without it,\n"
        "standard output is the workflow's `output`, if it declares one. Progress goes to standard error.\n\n"
        "Exit code: 0 succeeded, 1 failed, 2 wrong usage or invalid workflow, 3 waiting for a person, a signal\n"
        "or money, 4 journal, key or environment unusable, 130 interrupted.\n\n"
        "Examples:\n"
        "  treadle run repair.yaml project=src\n"
        "  treadle run repair.yaml --mock            no key, no cost: answers are made up\n"
        "  treadle run repair.yaml --record r.jsonl  keep the answers; --replay r.jsonl needs no network\n"
        "  treadle run --help repair.yaml            the inputs that this workflow takes",
    .options = options,
    .min_words = 1,
    .max_words = 1,
    .assignments = true,
    .run = run,
    .help = help,
};
