/* treadle: finds the command and hands over. Four names are not for people: `__launch` (executor/launcher.h) must come
 * first, before anything is set up, because it runs once for every command that a workflow starts; `__code`
 * (code/code.h) answers a codebase_query; `__role` (role/role.h) is a process of the service; `__complete`
 * (cli/complete.h) is what shells ask. */
#include "cli/commands.h"
#include "cli/complete.h"
#include "cli/said.h"
#include "cli/session.h"
#include "code/code.h"
#include "executor/launcher.h"
#include "role/role.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

static const struct command *const commands[] = {
#define X(name) &command_##name,
    COMMANDS(X)
#undef X
};
enum { NCOMMANDS = sizeof commands / sizeof *commands };

static void help(FILE *to)
{
    fprintf(to,
            "treadle %s - runs LLM workflows: durable, parallel, resumable\n\nUsage: treadle COMMAND [arguments]\n\n",
            TREADLE_VERSION);
    for (int i = 0; i < NCOMMANDS; i++)
        fprintf(to, "  %-10s %s\n", commands[i]->name, commands[i]->summary);
    fprintf(to, "\nFirst steps:\n"
                "  treadle run workflow.yaml --mock      try a workflow without keys or cost\n"
                "  treadle run workflow.yaml             run it\n"
                "  treadle resume last                   go on after a crash, a failure or Ctrl-C\n"
                "\ntreadle COMMAND --help tells more. State: $TREADLE_HOME (default ~/.local/state/treadle).\n");
}

static const struct command *find(struct str name)
{
    for (int i = 0; i < NCOMMANDS; i++)
        if (str_is(name, commands[i]->name))
            return commands[i];
    return NULL;
}

static int unknown(const char *word)
{
    const char *nearest = NULL;
    unsigned best = 3;
    for (int i = 0; i < NCOMMANDS; i++) {
        unsigned d = str_distance(str_c(word), str_c(commands[i]->name), best);
        if (d < best) {
            best = d;
            nearest = commands[i]->name;
        }
    }
    if (!nearest && access(word, R_OK) == 0 &&
        (str_ends(str_c(word), STR(".yaml")) || str_ends(str_c(word), STR(".yml"))))
        return fail(EXIT_USAGE, "there is no command `%s`; did you mean treadle run %s?", word, word);
    return fail(EXIT_USAGE, "there is no command `%s`%s%s%s treadle --help lists them", word,
                nearest ? "; did you mean " : "", nearest ? nearest : "", nearest ? "?" : ";");
}

static int obey(int argc, char **argv)
{
    struct str word = str_c(argc > 1 ? argv[1] : "");
    if (argc < 2) {
        help(stderr);
        return 2;
    }
    if (str_is(word, "--help") || str_is(word, "-h") || (str_is(word, "help") && argc == 2)) {
        help(stdout);
        return 0;
    }
    if (str_is(word, "--version") || str_is(word, "version")) {
        printf("treadle %s\n", TREADLE_VERSION);
        return 0;
    }
    bool asks_help = str_is(word, "help");
    const struct command *c = find(asks_help ? str_c(argv[2]) : word);
    if (!c)
        return unknown(asks_help ? argv[2] : argv[1]);
    static struct args args; /* large, and one is enough */
    bool want_help = asks_help;
    struct err err;
    if (!asks_help && args_parse(c, argc - 2, argv + 2, &args, &want_help, &err) != RC_OK) {
        return fail(EXIT_USAGE, "%s", err.msg);
    }
    if (want_help && !(c->help && args.nwords)) {
        args_help(c);
        return 0;
    }
    return want_help ? c->help(c, &args) : c->run(c, &args);
}

/* Also when the rest of the command line makes no sense: a script that asked for JSON reads JSON. */
static bool wants_json(int argc, char **argv)
{
    for (int i = 2; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--json") == 0)
            return true;
    return false;
}

/* Somebody closed a standard descriptor (`treadle ps >&-`): the next file to be opened, a journal say, would take its
 * place and get what is printed. What takes it instead can be neither read nor written. */
static void fill_descriptors(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) < 0)
            _exit(EXIT_ENVIRONMENT);
}

int main(int argc, char **argv)
{
    if (argc > 1 && str_is(str_c(argv[1]), "__launch")) {
        prctl(PR_SET_NAME, "treadle:launch"); /* not the name of the link to itself by which it was executed */
        return launcher_main(proxy_main);
    }
    if (argc == 2 && str_is(str_c(argv[1]), "__code")) {
        prctl(PR_SET_NAME, "treadle:code");
        return code_main();
    }
    if (argc > 1 && str_is(str_c(argv[1]), "__role"))
        return role_main(argc - 2, argv + 2);
    if (argc > 1 && str_is(str_c(argv[1]), "__complete"))
        return complete_main(argc - 2, argv + 2, commands, NCOMMANDS);
    fill_descriptors();
    /* A reader that goes away (`treadle ps | head`) is an error of write, not a death. */
    sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
    int code = obey(argc, argv);
    if (wants_json(argc, argv))
        said_end(code);
    return said_whole(code);
}
