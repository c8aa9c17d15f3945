/* signal: gives a run what a `wait_signal` step waits for, now or later. */
#include "cli/answer.h"
#include "cli/commands.h"
#include "cli/session.h"

static int run(const struct command *c, const struct args *args)
{
    (void)c;
    struct arena a = {0};
    struct val data;
    int code = EXIT_USAGE;
    if (answer_data(args->nwords > 2 ? args->words[2] : NULL, "the signal's data", &a, &data))
        code =
            answer_signal(args->words[0], args->words[1], &data, args_get(args, "id"), answer_by(args_get(args, "by")));
    arena_done(&a);
    return code;
}

static const struct option options[] = {{"id", 0, "ID", "Sent again with the same id, it counts once.", false},
                                        {"by", 0, "NAME", "Who sends it (default: the user's name); recorded.", false},
                                        OPTION_END};

const struct command command_signal = {
    .name = "signal",
    .usage = "RUN NAME [JSON] [options]",
    .summary = "send a run a signal that a step waits for",
    .details =
        "RUN is a run's id, a unique beginning of it, or `last`. The signal is durable when this command ends with\n"
        "exit code 0. The step that began to wait for NAME first takes it, and if it has a `schema` that the data "
        "does\n"
        "not fit, the next one; if nobody waits yet it is kept (a thousand at most). Each signal is taken once. A\n"
        "script that may send it twice gives it an id.\n\n"
        "Examples:\n"
        "  treadle signal last paid '{\"amount\": 12.5}'\n"
        "  treadle signal last paid '{\"amount\": 12.5}' --id invoice-4711",
    .options = options,
    .min_words = 2,
    .max_words = 3,
    .run = run,
};
