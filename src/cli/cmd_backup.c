/* backup: consistent copies of journals, while their owners go on.
 *
 * The source is checked first (its structure, and every value against its hash): a copy of a damaged journal is no
 * backup, and the time to learn of damage is while older copies still exist. */
#include "cli/commands.h"
#include "cli/human.h"
#include "cli/session.h"
#include "store/store.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

static enum rc copy(const struct home_run *h, const char *to, struct err *err)
{
    struct store *s = NULL;
    enum rc rc = store_open(h->journal, STORE_READ, &s, err);
    if (rc == RC_OK)
        rc = store_check(s, err);
    if (rc == RC_OK)
        rc = store_backup(s, to, err);
    if (s)
        store_close(s);
    return rc;
}

static void tell(const char *id, const char *to)
{
    struct stat st = {0};
    if (stat(to, &st) == 0)
        printf("%s -> %s (%s)\n", id, to, human_size(st.st_size).z);
}

struct all {
    const char *dir;
    size_t n, failed;
};

static bool copy_one(void *ctx, const struct home_run *h)
{
    struct all *l = ctx;
    char to[4200];
    struct err err;
    int n = snprintf(to, sizeof to, "%s/%s.db", l->dir, h->id);
    if (n < 0 || (size_t)n >= sizeof to)
        return false;
    if (copy(h, to, &err) == RC_OK) {
        l->n++;
        tell(h->id, to);
    } else if (err.rc == RC_EXISTS) {
        fprintf(stderr, "%s is there already; left as it is\n", to);
    } else {
        l->failed++;
        fail(EXIT_ENVIRONMENT, "%s: %s", h->id, err.msg);
    }
    return true;
}

static int copy_all(const char *dir)
{
    struct all l = {.dir = dir};
    struct err err;
    if (mkdir(dir, 0700) != 0 && errno != EEXIST)
        return fail(EXIT_ENVIRONMENT, "cannot make %s: %s", dir, strerror(errno));
    if (home_each(copy_one, &l, &err) != RC_OK)
        return fail(EXIT_ENVIRONMENT, "%s", err.msg);
    printf("%zu run%s copied\n", l.n, l.n == 1 ? "" : "s");
    return l.failed ? EXIT_ENVIRONMENT : EXIT_OK;
}

static int run(const struct command *c, const struct args *args)
{
    const char *dir = args_get(args, "all");
    struct home_run h;
    struct err err;
    if (dir && args->nwords == 0)
        return copy_all(dir);
    if (dir || args->nwords != 2)
        return fail(EXIT_USAGE, "expected RUN FILE, or --all DIR; usage: treadle backup %s", c->usage);
    if (home_find(str_c(args->words[0]), &h, &err) != RC_OK)
        return fail(exit_of(err.rc), "%s", err.msg);
    if (copy(&h, args->words[1], &err) != RC_OK)
        return fail(err.rc == RC_EXISTS ? EXIT_USAGE : EXIT_ENVIRONMENT, "%s: %s", h.id, err.msg);
    tell(h.id, args->words[1]);
    return EXIT_OK;
}

static const struct option options[] = {
    {"all", 0, "DIR", "Copy every run, to DIR/ID.db; copies that are there already stay as they are.", false},
    OPTION_END};

const struct command command_backup = {
    .name = "backup",
    .usage = "RUN FILE | --all DIR",
    .summary = "copy a run's journal, also while it is going on",
    .details = "The journal is checked, then copied as of one moment. RUN is a run's id, a unique beginning of it, or "
               "`last`.\n"
               "To bring a copy back, make the directory $TREADLE_HOME/runs/ID and put it there as journal.db.\n\n"
               "Examples:\n"
               "  treadle backup last before-the-demo.db\n"
               "  treadle backup --all /backups/treadle-$(date +%F)",
    .options = options,
    .max_words = 2,
    .run = run,
};
