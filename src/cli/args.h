#pragma once
/* Command lines: one table of options a command, from which parsing, help and completion are made. */
#include "base/err.h"

struct option {
    const char *name;  /* without the dashes */
    char letter;       /* 0: none */
    const char *value; /* what the argument is called in help; NULL: a switch */
    const char *help;
    bool optional; /* the value may be left out; it is then only taken as --name=VALUE or from a next word that is a
                      file, and no NAME=VALUE where the command takes such words */
};
#define OPTION_END   \
    {                \
        .name = NULL \
    }

struct args;
struct command {
    const char *name;
    const char *usage;   /* behind the name: "FILE [options]" */
    const char *summary; /* one line */
    const char *details; /* paragraphs and examples for --help; may be NULL */
    const struct option *options;
    int min_words, max_words; /* positional; max < 0: any number */
    bool assignments;         /* words with a `=` may stand behind the last one: NAME=VALUE */
    int (*run)(const struct command *c, const struct args *args);
    int (*help)(const struct command *c, const struct args *args); /* --help with words given; may be NULL */
};

enum { ARGS_MAX = 512 };
struct args {
    const char *words[ARGS_MAX]; /* positional */
    int nwords;
    struct {
        const struct option *option;
        const char *value; /* NULL for switches */
    } given[ARGS_MAX];
    int ngiven;
};

/* RC_USAGE with the nearest option. `want_help`: --help was there. */
enum rc args_parse(const struct command *c, int argc, char **argv, struct args *ret, bool *want_help,
                   struct err *err) MUST_CHECK;
/* The last value of the option ("" for a switch that was given); NULL when it was not. */
const char *args_get(const struct args *a, const char *name);
/* The i-th value of a repeated option; NULL past the end. */
const char *args_nth(const struct args *a, const char *name, int i);
void args_help(const struct command *c);
