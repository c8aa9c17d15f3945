/* GNU conventions: --name VALUE, --name=VALUE, -x VALUE, `--` ends the options; options may stand anywhere. */
#include "cli/args.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct option help_option = {"help", 'h', NULL, "Show this help.", false};

static const struct option *find(const struct command *c, struct str name, char letter)
{
    for (const struct option *o = c->options; o && o->name; o++)
        if (name.p ? str_is(name, o->name) : o->letter && o->letter == letter)
            return o;
    if (name.p ? str_is(name, "help") : letter == 'h')
        return &help_option;
    return NULL;
}

static enum rc unknown(const struct command *c, const char *given, struct str name, struct err *err)
{
    const char *nearest = NULL;
    unsigned best = 3;
    for (const struct option *o = c->options; o && o->name; o++) {
        unsigned d = str_distance(name, str_c(o->name), best);
        if (d < best) {
            best = d;
            nearest = o->name;
        }
    }
    return err_set(err, RC_USAGE, "unknown option %s%s%s%s see treadle %s --help", given,
                   nearest ? "; did you mean --" : "", nearest ? nearest : "", nearest ? "?" : ";", c->name);
}

/* Whether the next word is meant for an option whose value may be left out. */
static bool may_take(const struct command *c, const char *next)
{
    return next && next[0] != '-' && !(c->assignments && strchr(next, '='));
}

static enum rc take(const struct command *c, const struct option *o, const char *inline_value, char **next,
                    struct args *ret, int *used, struct err *err)
{
    const char *value = inline_value;
    *used = 0;
    if (!o->value && inline_value)
        return err_set(err, RC_USAGE, "--%s takes no value", o->name);
    if (o->value && !value && o->optional) {
        if (may_take(c, *next) && access(*next, R_OK) == 0 && ret->nwords >= c->min_words) {
            value = *next;
            *used = 1;
        } else if (may_take(c, *next) && ret->nwords >= c->max_words) { /* it can be nothing else */
            return err_set(err, RC_USAGE, "--%s: cannot read %s: %s; what follows --%s may be a file, an option%s",
                           o->name, *next, strerror(errno), o->name, c->assignments ? " or NAME=VALUE" : "");
        }
    } else if (o->value && !value) {
        if (!*next)
            return err_set(err, RC_USAGE, "--%s needs a value: --%s %s", o->name, o->name, o->value);
        if ((*next)[0] == '-' && (*next)[1] == '-' && find(c, str_c(*next + 2), 0))
            return err_set(err, RC_USAGE, "--%s needs a value: --%s %s; what follows it is the option %s", o->name,
                           o->name, o->value, *next);
        value = *next;
        *used = 1;
    }
    if (ret->ngiven == ARGS_MAX)
        return err_set(err, RC_USAGE, "more than %d options", ARGS_MAX);
    ret->given[ret->ngiven].option = o;
    ret->given[ret->ngiven++].value = value;
    return RC_OK;
}

static enum rc option(const struct command *c, char **argv, struct args *ret, bool *want_help, int *used,
                      struct err *err)
{
    const char *word = argv[0], *eq = NULL;
    const struct option *o;
    if (word[1] == '-') {
        struct str name = str_c(word + 2);
        size_t at = str_find(name, STR("="));
        if (at != SIZE_MAX) {
            eq = name.p + at + 1;
            name.n = at;
        }
        o = find(c, name, 0);
        if (!o)
            return unknown(c, word, name, err);
    } else {
        o = find(c, str_n(NULL, 0), word[1]);
        if (!o)
            return unknown(c, word, str_c(word + 1), err);
        if (word[2])
            eq = word + 2;
    }
    if (o == &help_option) {
        *want_help = true;
        *used = 0;
        return RC_OK;
    }
    return take(c, o, eq, argv + 1, ret, used, err);
}

/* `run --mock fixtures.yaml flow.yaml` takes the first word for the workflow; tell how it is meant to be written. */
static enum rc unexpected(const struct command *c, const char *word, const struct args *a, struct err *err)
{
    const struct option *o = NULL;
    for (int k = 0; k < a->ngiven && !o; k++)
        o = a->given[k].option->optional && !a->given[k].value ? a->given[k].option : NULL;
    if (o)
        return err_set(err, RC_USAGE, "unexpected argument `%s`; to give --%s a file, write --%s=FILE", word, o->name,
                       o->name);
    return err_set(err, RC_USAGE, "unexpected argument `%s`; usage: treadle %s %s", word, c->name, c->usage);
}

/* "STEP is missing": the first word of the usage that nothing stands for. */
static enum rc missing(const struct command *c, int given, struct err *err)
{
    const char *word = c->usage;
    for (int i = 0; i < given; i++)
        word += strcspn(word, " ") + strspn(word + strcspn(word, " "), " ");
    int n = (int)strcspn(word, " .");
    bool run = str_is(str_n(word, (size_t)n), "RUN");
    return err_set(err, RC_USAGE, "%.*s is missing; usage: treadle %s %s%s", n, word, c->name, c->usage,
                   run ? ", where `last` is the newest run" : "");
}

enum rc args_parse(const struct command *c, int argc, char **argv, struct args *ret, bool *want_help, struct err *err)
{
    bool options = true;
    *want_help = false;
    ret->nwords = ret->ngiven = 0;
    for (int i = 0; i < argc; i++) {
        if (options && str_is(str_c(argv[i]), "--")) {
            options = false;
        } else if (options && argv[i][0] == '-' && argv[i][1]) {
            int used = 0;
            enum rc rc = option(c, argv + i, ret, want_help, &used, err);
            if (rc != RC_OK)
                return rc;
            i += used;
        } else if (c->max_words >= 0 && ret->nwords >= c->max_words && !(c->assignments && strchr(argv[i], '='))) {
            return unexpected(c, argv[i], ret, err);
        } else if (ret->nwords == ARGS_MAX) {
            return err_set(err, RC_USAGE, "more than %d arguments; give them in several commands", ARGS_MAX);
        } else {
            ret->words[ret->nwords++] = argv[i];
        }
    }
    if (!*want_help && ret->nwords < c->min_words)
        return missing(c, ret->nwords, err);
    return RC_OK;
}

const char *args_nth(const struct args *a, const char *name, int i)
{
    for (int k = 0; k < a->ngiven; k++)
        if (str_is(str_c(name), a->given[k].option->name) && i-- == 0)
            return a->given[k].value ? a->given[k].value : "";
    return NULL;
}

const char *args_get(const struct args *a, const char *name)
{
    const char *last = NULL;
    for (int k = 0; k < a->ngiven; k++)
        if (str_is(str_c(name), a->given[k].option->name))
            last = a->given[k].value ? a->given[k].value : "";
    return last;
}

static void show_option(const struct option *o)
{
    char left[64];
    char letter[8] = "    ";
    if (o->letter)
        snprintf(letter, sizeof letter, "-%c, ", o->letter);
    const char *open = o->optional ? "[=" : " ", *close = o->optional ? "]" : "";
    snprintf(left, sizeof left, "%s--%s%s%s%s", letter, o->name, o->value ? open : "", o->value ? o->value : "",
             o->value ? close : "");
    printf("  %-30s %s\n", left, o->help);
}

void args_help(const struct command *c)
{
    printf("treadle %s - %s\n\nUsage: treadle %s %s\n", c->name, c->summary, c->name, c->usage);
    if (c->details)
        printf("\n%s\n", c->details);
    printf("\nOptions:\n");
    for (const struct option *o = c->options; o && o->name; o++)
        show_option(o);
    show_option(&help_option);
}
