/* rm: deletes runs that are named. Nothing is asked: who names a run means it. */
#include "cli/commands.h"
#include "cli/human.h"
#include "cli/remove.h"
#include "cli/seen_run.h"
#include "cli/session.h"

#include <stdio.h>

static int run(const struct command *c, const struct args *args)
{
    (void)c;
    int code = EXIT_OK;
    for (int i = 0; i < args->nwords; i++) {
        struct home_run h;
        struct err err;
        if (home_find(str_c(args->words[i]), &h, &err) != RC_OK) {
            code = fail(exit_of(err.rc), "%s", err.msg);
            continue;
        }
        int64_t bytes = seen_run_size(&h);
        if (remove_run(&h, &err) == RC_OK)
            printf("removed %s (%s)\n", h.id, human_size(bytes).z);
        else
            code = fail(err.rc == RC_BUSY ? EXIT_USAGE : EXIT_ENVIRONMENT, "%s", err.msg);
    }
    remove_seeds();
    return code;
}

static const struct option options[] = {OPTION_END};

const struct command command_rm = {
    .name = "rm",
    .usage = "RUN...",
    .summary = "delete runs: their journals, not their workspaces",
    .details =
        "Each RUN is a run's id, a unique beginning of it, or `last`. A run that is going on is refused. The\n"
        "workspace and the output directory are left alone.\n\n"
        "Examples:\n"
        "  treadle rm 20261123-083523-qb3ppc\n"
        "  treadle ps --all --json | jq -r '.runs[] | select(.status == \"failed\") | .run_id' | xargs treadle rm",
    .options = options,
    .min_words = 1,
    .max_words = -1,
    .run = run,
};
