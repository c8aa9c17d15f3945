/* fork: a new run that has everything another one did before a step, and does that step and what follows anew.
 *
 * The records of the source are copied as they are, so the new run owns its whole history and the source may be
 * deleted. Then one record says which steps no longer count; from there on it is a resume like any other. The copy is
 * made in a directory that no command looks into and gets its name when it is complete: a fork exists whole or not at
 * all. */
#include "base/clock.h"
#include "base/panic.h"
#include "base/sha256.h"
#include "cli/changes.h"
#include "cli/commands.h"
#include "cli/fork_workspace.h"
#include "cli/inputs.h"
#include "cli/load.h"
#include "cli/old_env.h"
#include "cli/past_run.h"
#include "cli/places.h"
#include "cli/remove.h"
#include "cli/run_options.h"
#include "cli/seen_run.h"
#include "data/json.h"
#include "executor/session_file.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

enum { BATCH_RECORDS = 512, BATCH_BYTES = 4 << 20 };

struct fork {
    const struct args *args;
    struct session source; /* holds what the journal says, and the arena of all this */
    struct past_run past;
    struct seen_run seen;
    struct workflow *old, *new;
    struct home_run home, part; /* the new run; where it is made */
    struct called_files files;  /* of the workflows that the new one calls */
    struct val inputs, voids;
    struct str path; /* --workflow FILE, absolute; or empty */
    struct str file, workspace, output_dir, workflow_dir, workflow_sha256;
    /* copying */
    struct store *to;
    struct store_batch *batch;
    size_t bytes;
    enum rc rc;
    struct err *err;
};

/* ---- what the new run is to be ---- */

static bool before(const struct workflow *w, struct str step, struct str name)
{
    const struct step_def *from = list_find(w->root, step), *d = list_find(w->root, name);
    return d && d->index < from->index;
}

/* What stands before STEP in the new workflow keeps its results; nothing else of either workflow does. */
static void choose_voids(struct fork *f, struct str step)
{
    struct arena *a = &f->source.arena;
    struct val_list l = val_list_new(a);
    const struct workflow *both[] = {f->new, f->old};
    for (int k = 0; k < 2; k++)
        for (size_t i = 0; i < both[k]->root->n; i++) {
            struct str name = both[k]->root->steps[i]->name;
            if (before(f->new, step, name) || (k && list_find(f->new->root, name)))
                continue;
            val_list_push(&l, val_str(arena_str(a, name)));
        }
    f->voids = val_list_done(&l);
}

static void tell_differences(const struct fork *f, struct str step)
{
    for (size_t i = 0; i < f->new->root->n; i++) {
        const struct step_def *d = f->new->root->steps[i], *was = list_find(f->old->root, d->name);
        if (before(f->new, step, d->name) && was && !past_run_same_step(d, was))
            fprintf(stderr, "note: step `%.*s` differs in %.*s but keeps its result: it comes before `%.*s`\n",
                    STR_ARG(d->name), STR_ARG(f->new->file), STR_ARG(step));
    }
}

static bool declared(const struct workflow *w, struct str name)
{
    for (size_t i = 0; i < w->ninputs; i++)
        if (str_eq(w->inputs[i].name, name))
            return true;
    return w->ninputs == 0;
}

static enum rc choose_inputs(struct fork *f, struct err *err)
{
    struct arena *a = &f->source.arena;
    struct val_map m = val_map_new(a);
    const struct val *was = &f->source.inputs;
    for (size_t i = 0; was->type == VAL_OBJECT && i < was->obj.n; i++) {
        struct str name = was->obj.m[i].key;
        if (declared(f->new, name))
            val_map_set(&m, name, was->obj.m[i].val);
        else
            fprintf(stderr, "note: input `%.*s` is left out: the workflow no longer declares it\n", STR_ARG(name));
    }
    const char *given;
    enum rc rc = RC_OK;
    for (int i = 0; rc == RC_OK && (given = args_nth(f->args, "set", i)); i++)
        rc = input_read(f->new, "set", given, a, &m, err);
    struct val v = val_map_done(&m);
    if (rc == RC_OK)
        rc = workflow_inputs(f->new, &v, a, &f->inputs, err);
    return rc == RC_OK ? workflow_names_known(f->new, &f->inputs, "--set ", err) : rc;
}

static enum rc choose_directories(struct fork *f, struct err *err)
{
    struct arena *a = &f->source.arena;
    const char *workspace = args_get(f->args, "workspace"), *output = args_get(f->args, "output-dir"),
               *file = args_get(f->args, "workflow");
    f->file = file ? arena_str(a, str_c(file)) : f->past.file;
    f->workspace = f->source.workspace;
    f->output_dir = f->source.output_dir;
    f->workflow_dir = f->source.workflow_dir;
    enum rc rc = workspace ? absolute_path(str_c(workspace), a, &f->workspace, err) : RC_OK;
    if (rc == RC_OK && output)
        rc = absolute_path(str_c(output), a, &f->output_dir, err);
    struct str whole = str_n("/", 1);
    if (rc == RC_OK && file)
        rc = absolute_path(str_c(file), a, &whole, err);
    if (rc == RC_OK && file)
        f->path = whole;
    while (whole.n > 1 && whole.p[whole.n - 1] != '/')
        whole.n--;
    if (file)
        f->workflow_dir = arena_str(a, str_n(whole.p, whole.n > 1 ? whole.n - 1 : 1));
    return rc;
}

static enum rc choose_home(struct fork *f, struct err *err)
{
    char name[90];
    enum rc rc = home_run_named(args_get(f->args, "run-id"), &f->home, err);
    if (rc != RC_OK)
        return rc;
    if (access(f->home.dir, F_OK) == 0)
        return err_set(err, RC_EXISTS, "there is a run %s already", f->home.id);
    f->part = f->home;
    size_t parent = strlen(f->home.dir) - strlen(f->home.id);
    snprintf(name, sizeof name, ".fork-%s", f->home.id);
    snprintf(f->part.dir, sizeof f->part.dir, "%.*s%s", (int)parent, f->home.dir, name);
    snprintf(f->part.journal, sizeof f->part.journal, "%.*s%s/journal.db", (int)parent, f->home.dir, name);
    return RC_OK;
}

/* ---- copying ---- */

static struct val run_value(struct fork *f, const struct val *was)
{
    struct arena *a = &f->source.arena;
    struct val_map m = val_map_new(a);
    val_map_merge(&m, was);
    VAL_MAP_SET(&m, "run_id", val_str(str_c(f->home.id)));
    VAL_MAP_SET(&m, "forked_from", val_str(str_c(f->source.home.id)));
    VAL_MAP_SET(&m, "workflow", val_str(f->new->name));
    VAL_MAP_SET(&m, "file", val_str(f->file));
    VAL_MAP_SET(&m, "inputs", f->inputs);
    VAL_MAP_SET(&m, "workspace", val_str(f->workspace));
    VAL_MAP_SET(&m, "output_dir", val_str(f->output_dir));
    VAL_MAP_SET(&m, "workflow_dir", val_str(f->workflow_dir));
    VAL_MAP_SET(&m, "started_ms", val_int(clock_wall_ms()));
    return val_map_done(&m);
}

static void put(struct fork *f, const struct record *r)
{
    store_batch_record(f->batch, str_c(f->home.id), r);
    f->bytes += r->data.n + r->path.n;
}

static bool copy_record(void *ctx, const struct record *r)
{
    struct fork *f = ctx;
    struct record copy = *r;
    copy.seq = 0;
    if (r->kind == RECORD_RUN) {
        struct val was;
        f->rc = json_parse(&f->source.arena, r->data, &JSON_LIMITS_DEFAULT, &was, f->err);
        if (f->rc != RC_OK)
            return false;
        struct val now = run_value(f, &was);
        copy.data = json_text(&f->source.arena, &now);
    }
    put(f, &copy);
    if (store_batch_size(f->batch) >= BATCH_RECORDS || f->bytes >= BATCH_BYTES) {
        f->rc = store_commit(f->to, f->batch, f->err);
        f->batch = store_batch_new();
        f->bytes = 0;
    }
    return f->rc == RC_OK;
}

static void put_end(struct fork *f)
{
    struct arena *a = &f->source.arena;
    struct val_map m = val_map_new(a);
    VAL_MAP_SET(&m, "void", f->voids);
    VAL_MAP_SET(&m, "workflow_sha256", val_str(f->workflow_sha256));
    VAL_MAP_SET(&m, "forked_from", val_str(str_c(f->source.home.id)));
    VAL_MAP_SET(&m, "files", called_val(&f->files, a));
    if (f->path.n)
        VAL_MAP_SET(&m, "path", val_str(f->path));
    struct val v = val_map_done(&m);
    int64_t now = clock_wall_ms();
    put(f, &(struct record){
               .kind = RECORD_RESUME, .path = STR(""), .attempt = 1, .time_ms = now, .data = json_text(a, &v)});
    struct run_row row = f->seen.row;
    row.id = str_c(f->home.id);
    row.workflow = f->new->name;
    row.status = STR("interrupted"); /* until it is carried on */
    row.workspace = f->workspace;
    row.file = f->file;
    row.error = str_n("", 0);
    row.created_ms = row.updated_ms = now;
    store_batch_run(f->batch, &row);
    store_batch_blob(f->batch, f->old->text);
    store_batch_blob(f->batch, f->new->text);
    called_put(&f->source.files, f->batch);
    called_put(&f->files, f->batch);
}

/* The key of an exchange is its run and its frame. */
static bool exchange_kept(void *ctx, struct str key)
{
    const struct fork *f = ctx;
    struct arena a = {0};
    size_t space = str_find(key, STR(" "));
    struct str path = run_changes_path(&a, space == SIZE_MAX ? key : str_from(key, space + 1));
    size_t slash = str_find(path, STR("/"));
    path = slash == SIZE_MAX ? path : str_n(path.p, slash);
    bool kept = true;
    for (size_t i = 0; val_at(&f->voids, i); i++)
        kept &= !str_eq(val_at(&f->voids, i)->s, path);
    arena_done(&a);
    return kept;
}

/* What was said in the source's own conversations, but for the steps that are done anew. */
static enum rc copy_sessions(struct fork *f, struct err *err)
{
    char from[sizeof f->source.home.dir + 16], to[sizeof f->part.dir + 16];
    snprintf(from, sizeof from, "%s/sessions", f->source.home.dir);
    snprintf(to, sizeof to, "%s/sessions", f->part.dir);
    return session_copy_all(from, to, exchange_kept, f, err);
}

static enum rc copy(struct fork *f, struct err *err)
{
    f->err = err;
    enum rc rc = home_run_create(&f->part, err);
    if (rc == RC_OK)
        rc = store_open(f->part.journal, STORE_OWN, &f->to, err);
    if (rc != RC_OK)
        return rc;
    f->batch = store_batch_new();
    rc = store_each_record(f->source.store, str_c(f->source.home.id), 0, copy_record, f, err);
    if (rc == RC_OK)
        rc = f->rc;
    if (rc == RC_OK) {
        put_end(f);
        rc = store_commit(f->to, f->batch, err);
    } else {
        store_batch_free(f->batch);
    }
    store_close(f->to);
    struct fork_workspace w = {.source = &f->source.home,
                               .part = &f->part,
                               .was = f->source.workspace,
                               .now = f->workspace,
                               .step = str_c(args_get(f->args, "from")),
                               .voids = &f->voids,
                               .keep_files = args_get(f->args, "keep-files")};
    if (rc == RC_OK)
        rc = copy_sessions(f, err);
    if (rc == RC_OK)
        rc = fork_workspace_make(&w, &f->source.arena, err);
    if (rc == RC_OK && rename(f->part.dir, f->home.dir) != 0)
        rc = err_set(err, errno == ENOTEMPTY || errno == EEXIST ? RC_EXISTS : RC_IO, "%s: %s", f->home.dir,
                     strerror(errno));
    return rc;
}

/* ---- in order ---- */

static int load_both(struct fork *f)
{
    const char *file = args_get(f->args, "workflow");
    int code = load_workflow_text(f->past.workflow_text, f->past.file.p, false, &f->source.files, &f->old);
    f->files = (struct called_files){.a = &f->source.arena};
    if (code == EXIT_OK && file)
        return load_workflow(file, true, &f->files, &f->new);
    if (code == EXIT_OK)
        f->new = workflow_ref(f->old);
    f->files = f->source.files;
    return code;
}

static enum rc open_source(struct fork *f, struct err *err)
{
    struct session *s = &f->source;
    enum rc rc = home_find(str_c(f->args->words[0]), &s->home, err);
    if (rc != RC_OK)
        return rc;
    seen_run_read(&s->home, &s->arena, &f->seen);
    if (f->seen.owner)
        return err_set(err, RC_USAGE, "run %s is carried on by process %d; wait for it, or treadle cancel %s first",
                       s->home.id, f->seen.owner, s->home.id);
    rc = store_open(s->home.journal, STORE_READ, &s->store, err);
    return rc == RC_OK ? past_run_load(&f->past, s, err) : rc;
}

/* What would stop it at once is found before files of the workspace are touched. */
static int can_begin(struct fork *f)
{
    struct err err;
    struct session s = {.home = f->source.home,
                        .workflow = f->new,
                        .resume = true,
                        .new_workflow = f->new != f->old,
                        .inputs = f->inputs,
                        .workspace = f->workspace,
                        .output_dir = f->output_dir,
                        .workflow_dir = f->workflow_dir,
                        .mode = f->source.mode,
                        .fixtures = f->source.fixtures,
                        .replay_file = f->source.replay_file,
                        .files = f->files};
    int code;
    if (run_options_read(&s, f->args, &err) != RC_OK) {
        code = fail(exit_of(err.rc), "%s", err.msg);
    } else {
        if (args_get(f->args, "live"))
            s.mode = SESSION_LIVE;
        code = session_check(&s);
    }
    arena_done(&s.arena);
    return code;
}

static int make(struct fork *f)
{
    struct err err;
    struct str step = str_c(args_get(f->args, "from"));
    if (open_source(f, &err) != RC_OK)
        return fail(exit_of(err.rc), "%s", err.msg);
    int code = load_both(f);
    if (code != EXIT_OK)
        return code;
    struct session names = {0}; /* for the message only */
    enum rc rc = past_run_void_from(&names, f->new, step, &err);
    arena_done(&names.arena);
    if (rc != RC_OK || choose_inputs(f, &err) != RC_OK || choose_directories(f, &err) != RC_OK ||
        choose_home(f, &err) != RC_OK)
        return fail(exit_of(err.rc), "%s", err.msg);
    if (places_workspace(f->workspace, &err) != RC_OK || places_output(f->new, f->output_dir, &err) != RC_OK)
        return fail(EXIT_ENVIRONMENT, "%s", err.msg);
    choose_voids(f, step);
    if (f->new != f->old)
        tell_differences(f, step);
    struct sha256 h = sha256_of(f->new->text);
    struct sha256_hex x = sha256_hex(&h);
    f->workflow_sha256 = arena_str(&f->source.arena, str_c(x.z));
    code = can_begin(f);
    if (code != EXIT_OK)
        return code;
    if (copy(f, &err) == RC_OK)
        return EXIT_OK;
    struct err ignored;
    if (remove_run(&f->part, &ignored) != RC_OK) /* prune finds it later */
        (void)ignored;
    return fail(exit_of(err.rc), "run %s cannot be forked: %s", f->source.home.id, err.msg);
}

/* From here on it is a run that was stopped before STEP. */
static int carry_on(struct fork *f)
{
    struct session s = {.home = f->home, .workflow = f->new, .resume = true};
    struct past_run past = {0};
    struct err err;
    int code;
    s.force = args_get(f->args, "force") != NULL;
    if (store_open(s.home.journal, STORE_OWN, &s.store, &err) != RC_OK || past_run_load(&past, &s, &err) != RC_OK ||
        run_options_read(&s, f->args, &err) != RC_OK) {
        code = fail(exit_of(err.rc), "%s", err.msg);
    } else {
        s.files = f->files;
        if (args_get(f->args, "live"))
            s.mode = SESSION_LIVE;
        code = session_run(&s);
    }
    if (s.store)
        store_close(s.store);
    arena_done(&s.arena);
    return code;
}

static int run(const struct command *c, const struct args *args)
{
    if (!args_get(args, "from"))
        return fail(EXIT_USAGE, "--from STEP is missing; usage: treadle fork %s", c->usage);
    struct fork f = {.args = args};
    struct err err;
    old_environment(OLD_ENV_RUN, args_get(args, "quiet"));
    struct session options = {0}; /* wrong options are told before anything is made */
    enum rc rc = run_options_read(&options, args, &err);
    arena_done(&options.arena);
    int code = rc == RC_OK ? make(&f) : fail(exit_of(rc), "%s", err.msg);
    if (f.source.store)
        store_close(f.source.store);
    if (code == EXIT_OK)
        code = carry_on(&f);
    if (f.new)
        workflow_unref(f.new);
    if (f.old)
        workflow_unref(f.old);
    arena_done(&f.source.arena);
    return code;
}

static const struct option options[] = {
    {"from", 0, "STEP", "The first step that is done anew: one of the workflow's own list.", false},
    {"workflow", 0, "FILE", "Another version of the workflow.", false},
    {"set", 0, "NAME=VALUE", "Change an input; NAME=@FILE reads it from a file. May be repeated.", false},
    {"workspace", 'w', "DIR", "Another workspace; a new one is filled as RUN's was before STEP.", false},
    {"keep-files", 0, NULL, "Leave the files of the workspace as they are now.", false},
    {"output-dir", 'o', "DIR", "Another directory for output_to_file.", false},
    {"run-id", 0, "ID", "The new run's id.", false},
    {"force", 'f', NULL, "Do again what is held because it was interrupted.", false},
    {"live", 0, NULL, "Use the real providers, though the run began with --mock or --replay.", false},
    RUN_OPTIONS,
    OPTION_END};

const struct command command_fork = {
    .name = "fork",
    .usage = "RUN --from STEP [options]",
    .summary = "a new run that keeps what came before a step and does the rest anew",
    .details =
        "RUN is a run's id, a unique beginning of it, or `last`. The steps before STEP keep their results; they are\n"
        "neither executed nor paid for again. RUN itself stays as it is.\n\n"
        "The new run finds the workspace as it was before STEP: what STEP and those behind it had changed there is "
        "taken\n"
        "back, and nothing else. If somebody has changed one of these files since, nothing is done, and a message "
        "names\n"
        "it. With --workspace DIR the workspace of RUN is left alone: if DIR is missing or empty it is filled with "
        "the\n"
        "workspace as it was before STEP; if there is something in it, it is used as it is. Version control "
        "directories\n"
        "are never touched and not copied.\n\n"
        "Examples:\n"
        "  treadle fork last --from review\n"
        "  treadle fork last --from review --workflow sharper.yaml --set tone=harsh",
    .options = options,
    .min_words = 1,
    .max_words = 1,
    .run = run,
};
