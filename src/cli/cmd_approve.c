/* approve, reject: the answer to an `approval` step. Both are one command, but for the choice they make. */
#include "cli/answer.h"
#include "cli/commands.h"
#include "cli/session.h"

static int answer(const struct args *args, const char *choice)
{
    struct arena a = {0};
    struct val data;
    int code = EXIT_USAGE;
    const char *comment = args_get(args, "comment");
    if (answer_data(args_get(args, "data"), "--data", &a, &data)) {
        struct val_map m = val_map_new(&a);
        VAL_MAP_SET(&m, "choice", val_str(str_c(choice)));
        VAL_MAP_SET(&m, "by", val_str(str_c(answer_by(args_get(args, "by")))));
        VAL_MAP_SET(&m, "comment", val_str(str_c(comment ? comment : "")));
        VAL_MAP_SET(&m, "data", data);
        struct val v = val_map_done(&m);
        code = answer_approval(args->words[0], args->words[1], &v);
    }
    arena_done(&a);
    return code;
}

static int approve(const struct command *c, const struct args *args)
{
    (void)c;
    const char *choice = args_get(args, "choice");
    return answer(args, choice ? choice : "approve");
}

static int reject(const struct command *c, const struct args *args)
{
    (void)c;
    return answer(args, "reject");
}

#define SHARED                                                                                  \
    {"comment", 'm', "TEXT", "A word about it; the step's result has it as `comment`.", false}, \
        {"data", 0, "JSON", "Any value; the step's result has it as `data`.", false},           \
        {"by", 0, "NAME", "Who answers (default: the user's name).", false}, OPTION_END

static const struct option approve_options[] = {
    {"choice", 'c', "CHOICE", "The answer, where the step has choices of its own (default: approve).", false}, SHARED};
static const struct option reject_options[] = {SHARED};

const struct command command_approve = {
    .name = "approve",
    .usage = "RUN STEP [options]",
    .summary = "answer a step that asks for approval",
    .details =
        "RUN is a run's id, a unique beginning of it, or `last`. STEP is the path of the step that asks, as treadle\n"
        "show tells it, or an ending of it that no other shares (`review`, `3/review`). The answer is durable when\n"
        "this command ends with exit code 0. If a process carries the run on, it goes on at once; else treadle resume\n"
        "does. The same answer again is no error; another one is.\n\n"
        "Examples:\n"
        "  treadle approve last deploy\n"
        "  treadle approve last deploy --choice later --comment 'after the holidays'\n"
        "  treadle approve last 3/review --data '{\"limit\": 5}'",
    .options = approve_options,
    .min_words = 2,
    .max_words = 2,
    .run = approve,
};

const struct command command_reject = {
    .name = "reject",
    .usage = "RUN STEP [options]",
    .summary = "answer `reject` to a step that asks for approval",
    .details = "As treadle approve RUN STEP --choice reject.\n\n"
               "Examples:\n"
               "  treadle reject last deploy --comment 'not on a Friday'",
    .options = reject_options,
    .min_words = 2,
    .max_words = 2,
    .run = reject,
};
