/* cancel: ends a run, whether somebody carries it on or not.
 *
 * A living owner is asked through its control socket and does it itself, for only it may write the journal and only it
 * can reach what is in flight. Without one the journal is taken over, what a dead owner started is proved dead, and the
 * end is written here. */
#include "base/clock.h"
#include "cli/commands.h"
#include "cli/control.h"
#include "cli/seen_run.h"
#include "cli/service_ask.h"
#include "cli/session.h"
#include "executor/executor.h"

#include <stdio.h>
#include <time.h>

enum { WAIT_MS = 30000, POLL_MS = 50, PROVE_DEAD_MS = 10000 };

static int already(const struct seen_run *r)
{
    if (str_is(str_c(r->status), "cancelled")) {
        printf("run %s was cancelled already\n", r->home.id);
        return EXIT_OK;
    }
    if (r->problem)
        return fail(EXIT_ENVIRONMENT, "the journal of %s cannot be read: %s", r->home.id, r->problem);
    return fail(EXIT_USAGE, "run %s has ended already: %s", r->home.id, r->status);
}

static enum rc write_end(const struct seen_run *r, struct store *s, struct err *err)
{
    struct run_row row = r->row;
    row.status = STR("cancelled");
    row.updated_ms = clock_wall_ms();
    struct store_batch *b = store_batch_new();
    store_batch_record(b, row.id,
                       &(struct record){.kind = RECORD_END,
                                        .path = STR(""),
                                        .attempt = 1,
                                        .time_ms = row.updated_ms,
                                        .data = STR("{\"status\":\"cancelled\"}")});
    store_batch_run(b, &row);
    return store_commit(s, b, err);
}

static int take_over(const struct seen_run *r)
{
    struct store *s = NULL;
    struct err err;
    int code = EXIT_OK;
    if (store_open(r->home.journal, STORE_OWN, &s, &err) != RC_OK ||
        executor_prove_dead(r->home.dir, PROVE_DEAD_MS, &err) != RC_OK || write_end(r, s, &err) != RC_OK)
        code = fail(EXIT_ENVIRONMENT, "run %s cannot be cancelled: %s", r->home.id, err.msg);
    if (s)
        store_close(s);
    if (code == EXIT_OK)
        printf("run %s is cancelled\n", r->home.id);
    return code;
}

static int await_end(const struct seen_run *r, struct arena *a)
{
    struct seen_run now = *r;
    int64_t until = clock_mono_ms() + WAIT_MS;
    while (store_owner(r->home.journal) && clock_mono_ms() < until)
        nanosleep(&(struct timespec){.tv_nsec = POLL_MS * 1000000L}, NULL);
    seen_run_read(&r->home, a, &now);
    if (now.owner)
        printf("run %s was asked to stop and is still at it (process %d)\n", r->home.id, now.owner);
    else if (str_is(str_c(now.status), "cancelled"))
        printf("run %s is cancelled\n", r->home.id);
    else if (seen_run_open(&now))
        return take_over(&now); /* it died on the way */
    else
        printf("run %s had ended before it could be cancelled: %s\n", r->home.id, now.status);
    return EXIT_OK;
}

static int run(const struct command *c, const struct args *args)
{
    (void)c;
    struct arena a = {0};
    struct seen_run r;
    struct home_run h;
    struct err err;
    int code;
    struct val_map m = val_map_new(&a);
    VAL_MAP_SET(&m, "do", VAL_LIT("cancel"));
    struct val cancel = val_map_done(&m);
    if (service_did(args->words[0], "cancel", &val_empty_object, "is cancelled", &code)) {
        /* told */
    } else if (home_find(str_c(args->words[0]), &h, &err) != RC_OK) {
        code = fail(exit_of(err.rc), "%s", err.msg);
    } else {
        seen_run_read(&h, &a, &r);
        if (!seen_run_open(&r))
            code = already(&r);
        else if (r.owner && control_ask(h.dir, &cancel, &err) == RC_OK)
            code = await_end(&r, &a);
        else if (r.owner && store_owner(h.journal))
            code = fail(EXIT_ENVIRONMENT,
                        "process %d, which carries run %s on, cannot be asked: %s; kill -INT %d stops it", r.owner,
                        h.id, err.msg, r.owner);
        else if (r.owner)
            code = await_end(&r, &a); /* it ended while we looked */
        else
            code = take_over(&r);
    }
    arena_done(&a);
    return code;
}

static const struct option options[] = {OPTION_END};

const struct command command_cancel = {
    .name = "cancel",
    .usage = "RUN",
    .summary = "end a run, with everything it has in flight",
    .details =
        "RUN is a run's id, a unique beginning of it, or `last`. Requests are given up, commands are killed with all\n"
        "they started. Finished steps keep their results; treadle resume goes on all the same.\n\n"
        "Examples:\n"
        "  treadle cancel last",
    .options = options,
    .min_words = 1,
    .max_words = 1,
    .run = run,
};
