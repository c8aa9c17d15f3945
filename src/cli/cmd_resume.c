/* resume: goes on with a run that stopped, was interrupted, waits, or failed.
 *
 * The journal says which workflow the run is pinned to. With --workflow the run goes on under another file: the steps
 * before the first one that differs keep their results, that one and those after it start anew. */
#include "base/clock.h"
#include "base/sha256.h"
#include "cli/commands.h"
#include "cli/load.h"
#include "cli/old_env.h"
#include "cli/past_run.h"
#include "cli/run_options.h"
#include "cli/seen_run.h"
#include "cli/service_ask.h"

#include <stdio.h>

/* A file with another name that keeps no step is a mistake, not a version. Says what will be done, and paid for, again.
 */
static int compare(struct session *s, const struct workflow *old, const struct workflow *new, const char *file)
{
    past_run_differences(s, old, new);
    bool keeps_none = s->nvoids && s->nvoids >= old->root->n;
    if (keeps_none && !str_eq(old->name, new->name))
        return fail(EXIT_USAGE,
                    "%s is workflow `%.*s`, which shares no first step with `%.*s` of run %s; expected a version of it",
                    file, STR_ARG(new->name), STR_ARG(old->name), s->home.id);
    if (s->nvoids && !s->quiet)
        fprintf(stderr, "the workflow differs from step `%.*s` on: that one and what comes after it start anew\n",
                STR_ARG(s->voids[0]));
    return EXIT_OK;
}

/* Whoever mends the file and says `resume` may expect that the mended one is meant. */
static void tell_changed(const struct session *s, const struct workflow *old, const struct past_run *past)
{
    struct session changed = {0}; /* for the names of its steps */
    struct called_files called = {.a = &changed.arena};
    struct workflow *now = NULL;
    if (!s->quiet && past->path.n && load_changed(past->path.p, old, &s->files, &called, &now)) {
        struct str from = STR("");
        if (now)
            past_run_differences(&changed, old, now);
        if (changed.nvoids)
            from = arena_printf(&changed.arena, " from step `%.*s` on", STR_ARG(changed.voids[0]));
        fprintf(stderr,
                "note: %s has changed%.*s; the run goes on with what it was pinned to. To take the new version: "
                "treadle resume %s --workflow %s, or treadle fork for a run beside this one\n",
                past->path.p, STR_ARG(from), s->home.id, past->path.p);
    }
    if (now)
        workflow_unref(now);
    arena_done(&changed.arena);
}

/* What the new version declares is filled in from its defaults. */
static int take_inputs(struct session *s, bool new_version)
{
    struct err err;
    struct val given = s->inputs;
    if (workflow_inputs(s->workflow, &given, &s->arena, &s->inputs, &err) == RC_OK &&
        (!new_version || workflow_names_known(s->workflow, &s->inputs, "treadle fork with --set ", &err) == RC_OK))
        return EXIT_OK;
    return fail(EXIT_USAGE, "the run's inputs do not suit the new version: %s", err.msg);
}

static int prepare(struct session *s, const struct args *args, struct past_run *past)
{
    struct err err;
    const char *file = args_get(args, "workflow");
    struct workflow *old = NULL;
    s->quiet = args_get(args, "quiet") != NULL;
    int code = past_run_load(past, s, &err) == RC_OK ? EXIT_OK : fail(exit_of(err.rc), "%s", err.msg);
    if (code == EXIT_OK)
        code = load_workflow_text(past->workflow_text, past->file.p, false, &s->files, &old);
    if (code == EXIT_OK && file) {
        s->files = (struct called_files){.a = &s->arena};
        code = load_workflow(file, true, &s->files, &s->workflow);
        if (code == EXIT_OK && absolute_path(str_c(file), &s->arena, &s->new_path, &err) != RC_OK)
            s->new_path = str_n("", 0);
    }
    if (code == EXIT_OK && !file) {
        s->workflow = workflow_ref(old);
        tell_changed(s, old, past);
    }
    if (code == EXIT_OK && file)
        code = compare(s, old, s->workflow, file);
    if (code == EXIT_OK)
        code = take_inputs(s, file != NULL);
    if (code == EXIT_OK && run_options_read(s, args, &err) != RC_OK)
        code = fail(exit_of(err.rc), "%s", err.msg);
    if (code == EXIT_OK && args_get(args, "live"))
        s->mode = SESSION_LIVE;
    s->force = args_get(args, "force") != NULL;
    s->resume = true;
    workflow_unref(old);
    return code;
}

/* Which carries it on itself, under the workflow and in the mode that it began with. */
static bool resume_in_service(const struct args *args, int *code)
{
    static const char *const own[] = {"workflow", "live", "mock", "replay", "record"};
    struct arena a = {0};
    struct val_map m = val_map_new(&a);
    struct home_run r;
    struct err err;
    if (seen_run_find(str_c(args->words[0]), &r, &err) != RC_OK || !r.of_service)
        return false;
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (args_get(args, own[i])) {
            *code = fail(EXIT_USAGE,
                         "run %s is one of the service, which goes on with what it was started with; --%s is for runs "
                         "of treadle run",
                         r.id, own[i]);
            return true;
        }
    VAL_MAP_SET(&m, "force", val_bool(args_get(args, "force") != NULL));
    struct val body = val_map_done(&m);
    bool did = service_did(args->words[0], "resume", &body, "goes on in the service; treadle show follows it", code);
    arena_done(&a);
    return did;
}

static int run(const struct command *c, const struct args *args)
{
    (void)c;
    struct session s = {0};
    struct past_run past = {0};
    struct err err;
    int code;
    if (resume_in_service(args, &code))
        return code;
    old_environment(OLD_ENV_RUN, args_get(args, "quiet"));
    if (home_find(str_c(args->words[0]), &s.home, &err) != RC_OK ||
        store_open(s.home.journal, STORE_OWN, &s.store, &err) != RC_OK) {
        code = fail(err.rc == RC_NOT_FOUND ? EXIT_USAGE : EXIT_ENVIRONMENT, "%s", err.msg);
    } else {
        code = prepare(&s, args, &past);
        if (code == EXIT_OK && past.ended_well && !s.nvoids) {
            fprintf(stderr,
                    "run %s has succeeded already; nothing is left to do (treadle fork makes a new run of it)\n",
                    s.home.id);
            code = session_tell(&s);
        } else if (code == EXIT_OK) {
            code = session_run(&s);
        }
    }
    if (s.store)
        store_close(s.store);
    if (s.workflow)
        workflow_unref(s.workflow);
    arena_done(&s.arena);
    return code;
}

static const struct option options[] = {
    {"workflow", 0, "FILE", "Go on under another version of the workflow, from the first step that differs.", false},
    {"force", 'f', NULL, "Do again what is held because it was interrupted.", false},
    {"live", 0, NULL, "Use the real providers, though the run began with --mock or --replay.", false},
    RUN_OPTIONS,
    OPTION_END};

const struct command command_resume = {
    .name = "resume",
    .usage = "RUN [options]",
    .summary = "go on where a run stopped, was interrupted, or failed",
    .details =
        "RUN is a run's id, a unique beginning of it, or `last`. Finished steps are not done again. A failed step is\n"
        "tried again. The run goes on with the workflow, inputs and mode (--mock, --replay) that it was started "
        "with.\n\n"
        "Examples:\n"
        "  treadle resume last\n"
        "  treadle resume last --workflow fixed.yaml   after mending step 7: steps 1 to 6 keep their results\n"
        "  treadle resume last --force                 run an interrupted command again",
    .options = options,
    .min_words = 1,
    .max_words = 1,
    .run = run,
};
