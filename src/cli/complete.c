/* Completion from the tables that the command line is parsed by, so that it cannot lag behind.
 *
 * Only what is cheap is looked up: runs by the names of their directories, no journal is opened. Whatever goes wrong,
 * there is just nothing to offer. */
#include "cli/complete.h"

#include "cli/home.h"

#include <stdio.h>

enum { RUNS_MAX = 200 };

static void offer(const char *typed, const char *before, const char *name)
{
    struct str word = str_c(typed), lead = str_c(before);
    if (str_starts(word, lead) ? str_starts(str_c(name), str_from(word, lead.n)) : str_starts(lead, word))
        printf("%s%s\n", before, name);
}

struct offered {
    const char *typed;
    size_t n;
};

static bool offer_run(void *ctx, const struct home_run *r)
{
    struct offered *o = ctx;
    offer(o->typed, "", r->id);
    return ++o->n < RUNS_MAX;
}

static void offer_runs(const char *typed)
{
    struct offered o = {.typed = typed};
    struct err err;
    offer(typed, "", "last");
    (void)!home_each(offer_run, &o, &err);
}

static void offer_value(const char *typed, const struct option *o)
{
    static const char *const tiers[] = {"strict", "standard", "none"};
    for (size_t i = 0; str_is(str_c(o->value), "TIER") && i < sizeof tiers / sizeof *tiers; i++)
        offer(typed, "", tiers[i]);
}

static const struct option *option_of(const struct command *c, const char *word)
{
    for (const struct option *o = c->options; o && o->name; o++)
        if (word[1] == '-' ? str_is(str_c(word + 2), o->name) : o->letter == word[1] && !word[2])
            return o;
    return NULL;
}

/* Whether the usage says that the word number `n`, from 0, is a run: "RUN [STEP] [options]", "RUN...". */
static bool is_run(const struct command *c, int n)
{
    struct str rest = str_c(c->usage);
    bool run = false;
    for (int i = 0; i <= n && rest.n; i++) {
        size_t end = str_find(rest, STR(" "));
        struct str word = str_n(rest.p, end < rest.n ? end : rest.n);
        run = str_is(word, "RUN");
        if (str_is(word, "RUN..."))
            return true;
        rest = end < rest.n ? str_from(rest, end + 1) : STR("");
        if (i < n && !rest.n)
            run = false;
    }
    return run;
}

static void offer_word(const struct command *c, int argc, char **argv)
{
    const char *typed = argv[argc - 1];
    const struct option *waiting = NULL; /* for its value */
    int nwords = 0;
    for (int i = 0; i < argc - 1; i++) {
        if (str_is(str_c(argv[i]), "=")) /* bash makes a word of it */
            continue;
        bool value = waiting != NULL;
        waiting = !value && argv[i][0] == '-' && argv[i][1] ? option_of(c, argv[i]) : NULL;
        if (waiting && (!waiting->value || waiting->optional))
            waiting = NULL;
        nwords += !value && argv[i][0] != '-';
    }
    if (waiting) {
        offer_value(str_is(str_c(typed), "=") ? "" : typed, waiting);
    } else if (typed[0] == '-') {
        for (const struct option *o = c->options; o && o->name; o++)
            offer(typed, "--", o->name);
        offer(typed, "--", "help");
    } else if (is_run(c, nwords)) {
        offer_runs(typed);
    }
}

int complete_main(int argc, char **argv, const struct command *const *commands, size_t ncommands)
{
    if (argc < 1)
        return 0;
    bool help = str_is(str_c(argv[0]), "help");
    if (argc == 1 || (argc == 2 && help)) {
        for (size_t i = 0; i < ncommands; i++)
            offer(argv[argc - 1], "", commands[i]->name);
        if (argc == 1 && argv[0][0] == '-') {
            offer(argv[0], "--", "help");
            offer(argv[0], "--", "version");
        } else if (argc == 1) {
            offer(argv[0], "", "help");
        }
        return 0;
    }
    for (size_t i = 0; i < ncommands; i++)
        if (str_is(str_c(argv[0]), commands[i]->name))
            offer_word(commands[i], argc - 1, argv + 1);
    return 0;
}
