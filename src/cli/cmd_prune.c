/* prune: deletes old runs by rule. It says what it would free before it does it, and what it freed after. Results that
 * steps have kept (`cache`) go when they have run out or by --older-than, without a question: they are only ever worth
 * the time that it takes to make them again.
 *
 * Runs that are not over are left alone, for they can be gone on with; --all takes those nobody works on as well. A run
 * that is going on is never touched. */
#include "base/clock.h"
#include "cli/commands.h"
#include "cli/human.h"
#include "cli/remove.h"
#include "cli/seen_run.h"
#include "cli/session.h"
#include "executor/cache_file.h"
#include "flow/units.h"

#include <stdio.h>
#include <unistd.h>

static const int64_t DEFAULT_AGE_MS = 30 * 24 * 3600 * (int64_t)1000;

struct rules {
    int64_t age_ms, keep, max_size; /* -1: no such rule */
    bool all;
};

static enum rc read_rules(const struct args *args, struct rules *r, struct err *err)
{
    const char *age = args_get(args, "older-than"), *keep = args_get(args, "keep"), *size = args_get(args, "max-size");
    *r = (struct rules){-1, -1, -1, args_get(args, "all") != NULL};
    struct val v = val_str(str_c(age));
    if (age && units_duration(&v, &r->age_ms, err) != RC_OK)
        return err_wrap(err, "--older-than");
    v = val_str(str_c(size));
    if (size && units_size(&v, &r->max_size, err) != RC_OK)
        return err_wrap(err, "--max-size");
    if (keep && (!str_to_i64(str_c(keep), &r->keep) || r->keep < 0))
        return err_set(err, RC_USAGE, "--keep: `%s` is no number of runs", keep);
    if (!age && !keep && !size)
        r->age_ms = DEFAULT_AGE_MS;
    return RC_OK;
}

struct plan {
    struct arena arena;
    struct seen_run *runs;
    bool *goes;
    int64_t *bytes, freed, stays;
    size_t n, count;
};

/* Newest first; what stays counts towards --keep and --max-size, whatever the reason that it stays. */
static void choose(struct plan *p, const struct rules *r)
{
    int64_t now = clock_wall_ms(), kept = 0;
    for (size_t i = 0; i < p->n; i++) {
        const struct seen_run *s = &p->runs[i];
        p->bytes[i] = seen_run_size(&s->home);
        bool old = (r->age_ms >= 0 && now - s->row.updated_ms > r->age_ms) || (r->keep >= 0 && kept >= r->keep) ||
                   (r->max_size >= 0 && p->stays + p->bytes[i] > r->max_size);
        bool may = !s->owner && (r->all || (!seen_run_open(s) && !s->problem));
        p->goes[i] = old && may;
        if (p->goes[i]) {
            p->count++;
            p->freed += p->bytes[i];
        } else {
            kept++;
            p->stays += p->bytes[i];
        }
    }
}

static void tell(const struct plan *p)
{
    int64_t now = clock_wall_ms();
    size_t widest = 0;
    for (size_t i = 0; i < p->n; i++)
        if (p->goes[i] && strlen(p->runs[i].home.id) > widest)
            widest = strlen(p->runs[i].home.id);
    for (size_t i = 0; i < p->n; i++)
        if (p->goes[i])
            printf("%-*s  %-11s  %7s old  %8s\n", (int)widest, p->runs[i].home.id, p->runs[i].status,
                   human_duration(now - p->runs[i].row.updated_ms).z, human_size(p->bytes[i]).z);
}

static bool confirmed(const struct args *args, const struct plan *p, int *code)
{
    if (args_get(args, "yes"))
        return true;
    if (!isatty(STDIN_FILENO)) {
        *code =
            fail(EXIT_USAGE, "nobody is there to ask; add --yes to delete %zu runs, or --dry-run to look", p->count);
        return false;
    }
    fprintf(stderr, "delete %zu run%s (%s)? [y/N] ", p->count, p->count == 1 ? "" : "s", human_size(p->freed).z);
    char answer[16] = "";
    return fgets(answer, sizeof answer, stdin) && (answer[0] == 'y' || answer[0] == 'Y');
}

static int carry_out(struct plan *p)
{
    int code = EXIT_OK;
    size_t n = 0;
    int64_t bytes = 0;
    for (size_t i = 0; i < p->n; i++) {
        struct err err;
        if (!p->goes[i])
            continue;
        if (remove_run(&p->runs[i].home, &err) == RC_OK) {
            n++;
            bytes += p->bytes[i];
        } else {
            code = fail(EXIT_ENVIRONMENT, "%s", err.msg);
        }
    }
    remove_seeds();
    printf("removed %zu run%s, freed %s\n", n, n == 1 ? "" : "s", human_size(bytes).z);
    return code;
}

/* Real ones, and those of runs with scripted models. */
static void prune_cache(const struct rules *r, bool dry)
{
    static const char *const dirs[] = {"cache", "cache/.mock"};
    char home[2100], dir[2200];
    struct cache_pruned all = {0};
    struct err ignored; /* then there is nothing */
    int64_t before = r->age_ms >= 0 ? clock_wall_ms() - r->age_ms : 0;
    for (size_t i = 0; i < sizeof dirs / sizeof *dirs && home_dir(home, sizeof home, &ignored) == RC_OK; i++) {
        snprintf(dir, sizeof dir, "%s/%s", home, dirs[i]);
        struct cache_pruned done = cache_prune(dir, before, dry);
        all.n += done.n;
        all.bytes += done.bytes;
    }
    if (all.n)
        printf("%s %zu kept result%s of steps, %s\n", dry ? "would remove" : "removed", all.n, all.n == 1 ? "" : "s",
               human_size(all.bytes).z);
}

static int prune(const struct args *args, const struct rules *rules, struct plan *p)
{
    bool dry = args_get(args, "dry-run");
    int code = EXIT_OK;
    size_t rubbish = remove_leftovers(dry);
    if (rubbish)
        printf("%s %zu leftover director%s of runs that never began\n", dry ? "would remove" : "removed", rubbish,
               rubbish == 1 ? "y" : "ies");
    prune_cache(rules, dry);
    if (!p->count) {
        printf("nothing to remove: %zu run%s, %s\n", p->n, p->n == 1 ? "" : "s", human_size(p->stays).z);
        return EXIT_OK;
    }
    tell(p);
    char home[2100] = "";
    struct err ignored; /* the runs were found in it */
    if (home_dir(home, sizeof home, &ignored) != RC_OK)
        home[0] = 0;
    printf("%s %zu of %zu runs in %s, %s of %s\n", dry ? "would remove" : "to be removed:", p->count, p->n, home,
           human_size(p->freed).z, human_size(p->freed + p->stays).z);
    fflush(stdout);
    if (!dry && confirmed(args, p, &code))
        code = carry_out(p);
    return code;
}

static int run(const struct command *c, const struct args *args)
{
    (void)c;
    struct plan p = {0};
    struct rules rules;
    struct err err;
    int code;
    if (read_rules(args, &rules, &err) != RC_OK) {
        code = fail(EXIT_USAGE, "%s", err.msg);
    } else if (seen_run_all(&p.arena, &p.runs, &p.n, &err) != RC_OK) {
        code = fail(EXIT_ENVIRONMENT, "%s", err.msg);
    } else {
        p.goes = arena_calloc(&p.arena, p.n + 1, sizeof *p.goes);
        p.bytes = arena_calloc(&p.arena, p.n + 1, sizeof *p.bytes);
        choose(&p, &rules);
        code = prune(args, &rules, &p);
    }
    arena_done(&p.arena);
    return code;
}

static const struct option options[] = {
    {"older-than", 0, "AGE", "Runs that changed last so long ago: 12h, 30d (the default without other rules).", false},
    {"keep", 0, "N", "All but the newest N.", false},
    {"max-size", 0, "SIZE", "The oldest, until the rest takes no more than SIZE: 500MB, 1GB.", false},
    {"all", 0, NULL, "Also runs that wait or were interrupted (never those going on).", false},
    {"dry-run", 'n', NULL, "Only say what would go.", false},
    {"yes", 'y', NULL, "Do not ask.", false},
    OPTION_END};

const struct command command_prune = {
    .name = "prune",
    .usage = "[options]",
    .summary = "delete old runs by age, number or size",
    .details =
        "A run goes when any rule says so. Runs that are going on are never touched; those that wait or were\n"
        "interrupted only with --all. Workspaces are left alone. Results that steps have kept for later runs (`cache`) "
        "go\n"
        "when their time to live is over, or they are as old as --older-than says; conversations by name stay.\n\n"
        "Examples:\n"
        "  treadle prune --dry-run\n"
        "  treadle prune --older-than 7d --yes\n"
        "  treadle prune --keep 100 --max-size 1GB --yes",
    .options = options,
    .max_words = 0,
    .run = run,
};
