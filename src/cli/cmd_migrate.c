/* migrate: a workflow in the modern form of the language, on standard output or in its place. */
#include "base/buf.h"
#include "base/fd.h"
#include "cli/commands.h"
#include "cli/load.h"
#include "cli/session.h"
#include "flow/migrate.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WORKFLOW_MAX = 32 << 20 };

/* Whole or not at all: a new file beside the old one takes its name. */
static int replace_file(const char *path, struct str text, struct arena *a)
{
    struct stat st;
    char *beside = arena_cstr(a, arena_printf(a, "%s.migrated", path));
    int fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return fail(EXIT_ENVIRONMENT, "cannot write %s: %s", beside, strerror(errno));
    bool good = stat(path, &st) == 0 && fchmod(fd, st.st_mode & 07777) == 0;
    good = good && fd_write_all(fd, text) && fsync(fd) == 0;
    good = close(fd) == 0 && good;
    if (good && rename(beside, path) == 0)
        return EXIT_OK;
    int why = errno;
    unlink(beside);
    return fail(EXIT_ENVIRONMENT, "cannot write %s: %s", path, strerror(why));
}

static int run(const struct command *c, const struct args *args)
{
    (void)c;
    struct arena a = {0};
    struct str text = {0}, modern = {0};
    struct err err;
    struct workflow *w = NULL;
    size_t changes = 0;
    const char *path = args->words[0];
    int code = EXIT_OK;
    if (read_file(path, WORKFLOW_MAX, &a, &text, &err) != RC_OK ||
        migrate_text(&a, text, path, &modern, &changes, &err) != RC_OK)
        code = fail(EXIT_USAGE, "%s", err.msg);
    else if (args_get(args, "write") && changes)
        code = replace_file(path, modern, &a);
    else if (!args_get(args, "write") && (fwrite(modern.p, 1, modern.n, stdout) != modern.n || fflush(stdout) != 0))
        code = fail(EXIT_ENVIRONMENT, "cannot write the workflow: %s", strerror(errno));
    if (code == EXIT_OK) {
        fprintf(stderr, "%s: %zu older form%s rewritten\n", path, changes, changes == 1 ? "" : "s");
        struct called_files called = {.a = &a};
        struct workflow_text place = {0};
        if (called_place(path, &a, &place, &err) == RC_OK)
            called.root_path = place.path;
        code = load_workflow_text(modern, path, true, &called, &w);
        if (code == EXIT_OK)
            workflow_unref(w);
    }
    arena_done(&a);
    return code;
}

static const struct option options[] = {{"write", 0, NULL, "Change the file instead of printing it.", false},
                                        OPTION_END};

const struct command command_migrate = {
    .name = "migrate",
    .usage = "FILE",
    .summary = "print a workflow in the modern form of the language",
    .details =
        "Older roots, spellings and shapes are rewritten where they stand; comments and layout stay. The result\n"
        "means the same, which is checked before it is printed. What is left to mend is told as by validate: exit\n"
        "code 2 where that includes a mistake.\n\n"
        "Examples:\n"
        "  treadle migrate old.yaml > new.yaml\n"
        "  treadle migrate old.yaml --write",
    .options = options,
    .min_words = 1,
    .max_words = 1,
    .run = run,
};
