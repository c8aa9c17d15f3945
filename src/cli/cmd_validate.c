/* validate: everything that can be told without running, for each file given. */
#include "cli/commands.h"
#include "cli/load.h"
#include "cli/said.h"
#include "cli/session.h"

#include <stdio.h>

/* {valid, problems}. The problem of a file that cannot be read has no line; then there is an `error` too, as of every
 * command that could not do what it was asked. */
static int tell(int code)
{
    struct arena a = {0};
    struct val_map m = val_map_new(&a);
    VAL_MAP_SET(&m, "valid", val_bool(code == EXIT_OK));
    struct val problems = said_places(&a, true);
    VAL_MAP_SET(&m, "problems", problems);
    for (size_t i = 0; i < problems.arr.n; i++)
        if (!VAL_GET(&problems.arr.v[i], "line"))
            VAL_MAP_SET(&m, "error", said_failure(&a, code));
    struct val v = val_map_done(&m);
    code = said_json(&v, code);
    arena_done(&a);
    return code;
}

static void valid(const char *file, const struct workflow *w)
{
    struct arena a = {0};
    struct str options = workflow_wanted_options(w, "--input ", &a);
    printf("%s: workflow `%.*s` is valid (%zu step%s)%s%.*s\n", file, STR_ARG(w->name), w->nall,
           w->nall == 1 ? "" : "s", options.n ? "; a run needs " : "", STR_ARG(options));
    arena_done(&a);
}

static int run(const struct command *c, const struct args *args)
{
    (void)c;
    int code = EXIT_OK;
    bool json = args_get(args, "json");
    for (int i = 0; i < args->nwords; i++) {
        struct workflow *w;
        struct arena called = {0};
        int one = load_workflow(args->words[i], true, &(struct called_files){.a = &called}, &w);
        bool loaded = one == EXIT_OK;
        if (loaded)
            one = check_files(w, directory_of(str_c(args->words[i])),
                              w->workspace_dir.n ? w->workspace_dir : STR("./workspace"), true);
        arena_done(&called);
        if (one == EXIT_OK && !json && !args_get(args, "quiet"))
            valid(args->words[i], w);
        if (loaded)
            workflow_unref(w);
        if (one > code)
            code = one;
    }
    return json ? tell(code) : code;
}

static const struct option options[] = {{"quiet", 'q', NULL, "Say nothing about valid files.", false},
                                        {"json", 0, NULL, "One JSON object: {\"valid\", \"problems\"}.", false},
                                        OPTION_END};

const struct command command_validate = {
    .name = "validate",
    .usage = "FILE...",
    .summary = "check workflows without running them",
    .details = "Reports every mistake with its file:line:column, what was expected, and the nearest valid name.\n"
               "Exit code 0 when all files are valid, 2 otherwise.\n\n"
               "Examples:\n  treadle validate workflows/*.yaml",
    .options = options,
    .min_words = 1,
    .max_words = -1,
    .run = run,
};
