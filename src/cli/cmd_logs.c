/* logs: the journal, record by record, as lines; with -f for as long as somebody adds to it.
 *
 * Following is polling: a journal has no way to call its readers, and five looks a second at a file cost nothing. Each
 * look opens the journal anew. A reader that stayed would keep the owner from folding its WAL away at the end; and only
 * a fresh look makes sure that what a dead owner left really is on the disk before it is shown. */
#include "base/clock.h"
#include "cli/commands.h"
#include "cli/human.h"
#include "cli/said.h"
#include "cli/seen_run.h"
#include "cli/session.h"
#include "data/json.h"
#include "flow/away.h"
#include "flow/wait.h"
#include "store/store.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

enum { POLL_MS = 200, SUMMARY_COLUMNS = 120 };

struct logs {
    const struct home_run *run;
    bool json, ended;
    uint64_t seq;
    struct err *err;
    enum rc rc;
};

/* ---- one record, one line */

static struct str first_line(struct str s)
{
    s = str_trim(s);
    size_t end = str_find(s, STR("\n"));
    return end == SIZE_MAX ? s : str_n(s.p, end);
}

/* What a result says, in a few words: an answer, an exit code, whatever text there is. */
static struct str result_text(struct arena *a, const struct val *v)
{
    const struct val *usage = VAL_GET(v, "usage"), *exit_code = VAL_GET(v, "exit_code"), *text = VAL_GET(v, "text");
    if (v->type == VAL_STR)
        return first_line(v->s);
    if (val_is(exit_code, VAL_INT)) {
        struct str said = first_line(val_get_str(v, STR("stdout"), STR("")));
        return arena_printf(a, "exit code %lld%s%.*s", (long long)exit_code->i, said.n ? ": " : "", STR_ARG(said));
    }
    if (usage) {
        const struct val *cost = VAL_GET(v, "cost_usd");
        return arena_printf(a, "%s in, %s out, %s, %.*s: %.*s",
                            human_count(val_get_int(usage, STR("input_tokens"), 0) +
                                        val_get_int(usage, STR("cache_read_tokens"), 0) +
                                        val_get_int(usage, STR("cache_write_tokens"), 0))
                                .z,
                            human_count(val_get_int(usage, STR("output_tokens"), 0)).z,
                            val_is_number(cost) ? human_cost(val_to_double(cost, 0)).z : "no known price",
                            STR_ARG(val_get_str(v, STR("stop_reason"), STR("ended"))),
                            STR_ARG(first_line(val_get_str(v, STR("text"), STR("")))));
    }
    if (val_is(text, VAL_STR))
        return first_line(text->s);
    return v->type == VAL_NULL ? str_n("", 0) : json_text(a, v);
}

static struct str error_text(struct arena *a, const struct val *e)
{
    return arena_printf(a, "%.*s: %.*s", STR_ARG(val_get_str(e, STR("class"), STR("error"))),
                        STR_ARG(first_line(val_get_str(e, STR("message"), STR("")))));
}

/* `v`, with what the record leaves to other records (`refs`) named by them instead of missing. `at`: the rest of the
 * way to it. */
static struct val with_ref(struct arena *a, const struct val *v, const struct val *at, size_t i, struct str of)
{
    const struct val *key = val_at(at, i);
    if (!key) {
        struct str whole, member;
        if (!away_of_result(of, &whole, &member))
            return val_str(arena_printf(a, "(the records below %.*s)", STR_ARG(whole)));
        size_t path = str_find(str_from(whole, 1), STR("#")) + 2;
        return val_str(arena_printf(a, "(in the result of %.*s)", STR_ARG(str_from(whole, path))));
    }
    if (v->type == VAL_OBJECT && key->type == VAL_STR && val_get(v, key->s)) {
        struct val_map m = val_map_new(a);
        val_map_merge(&m, v);
        val_map_set(&m, key->s, with_ref(a, val_get(v, key->s), at, i + 1, of));
        return val_map_done(&m);
    }
    if (v->type == VAL_ARRAY && key->type == VAL_INT && key->i >= 0 && (size_t)key->i < v->arr.n) {
        struct val_list l = val_list_new(a);
        for (size_t k = 0; k < v->arr.n; k++)
            val_list_push(&l, k == (size_t)key->i ? with_ref(a, &v->arr.v[k], at, i + 1, of) : v->arr.v[k]);
        return val_list_done(&l);
    }
    return *v;
}

static const struct val *whole(struct arena *a, const struct val *ok, const struct val *refs)
{
    for (size_t i = 0; ok && val_at(refs, i); i++) {
        struct val *more = ARENA_NEW(a, struct val);
        *more =
            with_ref(a, ok, VAL_GET(val_at(refs, i), "at"), 0, val_get_str(val_at(refs, i), STR("of"), STR("another")));
        ok = more;
    }
    return ok;
}

static const char *outcome(struct arena *a, const struct record *r, const struct val *v, struct str *summary)
{
    const struct val *ok = whole(a, VAL_GET(v, "ok"), VAL_GET(v, "refs")), *error = VAL_GET(v, "error");
    int64_t wait = val_get_int(v, STR("retry_ms"), -1);
    if (error) {
        *summary = error_text(a, error);
        if (wait >= 0)
            *summary = arena_printf(a, "%.*s; next attempt in %s", STR_ARG(*summary), human_duration(wait).z);
        return wait >= 0 ? "retry" : "failed";
    }
    if (val_get_bool(v, STR("skipped"), false)) {
        *summary = val_get_str(ok, STR("reason"), STR(""));
        return "skipped";
    }
    *summary = ok ? result_text(a, ok) : str_n("", 0);
    if (val_get_bool(v, STR("continued"), false) || val_get_bool(v, STR("goto"), false)) {
        *summary = error_text(a, VAL_GET(ok, "error"));
        return "went on";
    }
    const struct val *set = val_get(VAL_GET(v, "write"), STR("set"));
    if (set) {
        *summary = json_text(a, set);
        return "set";
    }
    return r->kind == RECORD_DONE ? "done" : "result";
}

static const char *note(struct arena *a, const struct val *v, struct str *summary)
{
    const struct val *session = VAL_GET(v, "session");
    if (session) {
        *summary = arena_printf(a, "process %lld, %.*s", (long long)val_get_int(session, STR("pid"), 0),
                                STR_ARG(val_get_str(session, STR("mode"), STR("live"))));
        return "process";
    }
    if (VAL_GET(v, "held")) {
        *summary = val_get_str(v, STR("held"), STR(""));
        return "held";
    }
    if (VAL_GET(v, "stopping"))
        *summary = STR("nothing new is begun");
    else if (VAL_GET(v, "rests"))
        *summary = val_get_bool(v, STR("rests"), false) ? STR("all in it waits: its time stands still")
                                                        : STR("its time goes on");
    else if (VAL_GET(v, "turn"))
        *summary = val_get_str(v, STR("why"),
                               str_is(val_get_str(v, STR("turn"), STR("")), "waits")
                                   ? STR("waits for its turn in the workspace")
                                   : STR("has its turn in the workspace"));
    else
        *summary = json_text(a, v);
    return "note";
}

static const char *describe(struct arena *a, const struct record *r, const struct val *v, struct str *summary)
{
    switch (r->kind) {
    case RECORD_RUN:
        *summary =
            arena_printf(a, "workflow %.*s (%.*s), inputs %.*s", STR_ARG(val_get_str(v, STR("workflow"), STR("?"))),
                         STR_ARG(val_get_str(v, STR("file"), STR("?"))),
                         STR_ARG(json_text(a, VAL_GET(v, "inputs") ? VAL_GET(v, "inputs") : &val_null)));
        return "start";
    case RECORD_OPEN:
        *summary = json_text(a, VAL_GET(v, "config") ? VAL_GET(v, "config") : v);
        return "enter";
    case RECORD_SIGNAL:
        *summary = arena_printf(a, "%.*s %.*s", STR_ARG(val_get_str(v, STR("signal"), STR("?"))),
                                STR_ARG(json_text(a, VAL_GET(v, "data") ? VAL_GET(v, "data") : &val_null)));
        return "signal";
    case RECORD_INTENT:
        if (VAL_GET(v, "wait")) {
            *summary = wait_text(VAL_GET(v, "wait"), a);
            return "wait";
        }
        *summary = val_get_str(v, STR("label"), STR(""));
        if (r->attempt > 1)
            *summary = arena_printf(a, "%.*s (attempt %u)", STR_ARG(*summary), r->attempt);
        return "call";
    case RECORD_RESULT:
    case RECORD_DONE:
        return outcome(a, r, v, summary);
    case RECORD_WRITE:
        *summary = json_text(a, VAL_GET(v, "set") ? VAL_GET(v, "set") : v);
        return "set";
    case RECORD_RESUME:
        if (VAL_GET(v, "void"))
            *summary = arena_printf(a, "these steps anew: %.*s", STR_ARG(json_text(a, VAL_GET(v, "void"))));
        else if (val_get_bool(v, STR("force"), false))
            *summary = STR("what was interrupted is done again");
        return "resume";
    case RECORD_NOTE:
        return note(a, v, summary);
    case RECORD_END:
        *summary = val_get_str(v, STR("status"), STR("?"));
        if (VAL_GET(v, "error"))
            *summary = arena_printf(a, "%.*s; %.*s", STR_ARG(*summary), STR_ARG(error_text(a, VAL_GET(v, "error"))));
        return "end";
    }
    return "?";
}

static void print_line(struct arena *a, const struct record *r, const struct val *v)
{
    struct str summary = str_n("", 0);
    const char *kind = describe(a, r, v, &summary);
    struct str path = human_line(a, r->path, 0);
    summary = human_line(a, summary, SUMMARY_COLUMNS);
    printf("%s.%03d  %-*s%s%.*s%s%.*s\n", human_time(r->time_ms).z, (int)(r->time_ms % 1000),
           path.n || summary.n ? 7 : 0, kind, path.n ? "  " : "", STR_ARG(path), summary.n ? "  " : "",
           STR_ARG(summary));
}

static const char *const kinds[] = {
    [RECORD_RUN] = "run",   [RECORD_OPEN] = "open",    [RECORD_INTENT] = "intent", [RECORD_RESULT] = "result",
    [RECORD_DONE] = "done", [RECORD_WRITE] = "write",  [RECORD_RESUME] = "resume", [RECORD_NOTE] = "note",
    [RECORD_END] = "end",   [RECORD_SIGNAL] = "signal"};

static void print_json(struct arena *a, const struct record *r, const struct val *v)
{
    struct val_map m = val_map_new(a);
    VAL_MAP_SET(&m, "seq", val_int((int64_t)r->seq));
    VAL_MAP_SET(&m, "time_ms", val_int(r->time_ms));
    VAL_MAP_SET(&m, "kind", val_str(str_c(kinds[r->kind])));
    VAL_MAP_SET(&m, "path", val_str(r->path));
    VAL_MAP_SET(&m, "attempt", val_int(r->attempt));
    VAL_MAP_SET(&m, "data", *v);
    struct val o = val_map_done(&m);
    struct str text = json_text(a, &o);
    said_output();
    printf("%.*s\n", STR_ARG(text));
}

static bool show(void *ctx, const struct record *r)
{
    struct logs *l = ctx;
    struct arena a = {0};
    struct val v = val_null;
    l->rc = r->data.n ? json_parse(&a, r->data, &JSON_LIMITS_DEFAULT, &v, l->err) : RC_OK;
    if (l->rc == RC_OK)
        (l->json ? print_json : print_line)(&a, r, &v);
    else
        err_wrap(l->err, "record %llu", (unsigned long long)r->seq);
    arena_done(&a);
    l->seq = r->seq;
    l->ended = r->kind == RECORD_END;
    return l->rc == RC_OK && !ferror(stdout);
}

static enum rc look(struct logs *l)
{
    struct store *s = NULL;
    enum rc rc = store_open(l->run->journal, STORE_READ, &s, l->err);
    if (rc == RC_OK)
        rc = store_each_record(s, str_c(l->run->id), l->seq, show, l, l->err);
    if (s)
        store_close(s);
    return rc ? rc : l->rc;
}

static int follow(struct logs *l, bool follows)
{
    for (;;) {
        int owner = store_owner(l->run->journal); /* before looking: what it wrote last is then seen */
        if (look(l) != RC_OK)
            return fail(EXIT_ENVIRONMENT, "the journal of %s cannot be read: %s", l->run->id, l->err->msg);
        if (!said_flush())
            return EXIT_OK; /* main() tells, unless it is a reader that has seen enough */
        if (!follows || l->ended || !owner)
            return EXIT_OK;
        nanosleep(&(struct timespec){.tv_nsec = POLL_MS * 1000000L}, NULL);
    }
}

static int run(const struct command *c, const struct args *args)
{
    (void)c;
    struct home_run h;
    struct err err;
    if (seen_run_find(str_c(args->words[0]), &h, &err) != RC_OK)
        return fail(exit_of(err.rc), "%s", err.msg);
    struct logs l = {.run = &h, .json = args_get(args, "json"), .err = &err};
    return follow(&l, args_get(args, "follow"));
}

static const struct option options[] = {
    {"follow", 'f', NULL, "Go on until the run ends, or its process is gone.", false},
    {"json", 0, NULL, "One JSON object a line: {seq, time_ms, kind, path, attempt, data}, nothing shortened.", false},
    OPTION_END};

const struct command command_logs = {
    .name = "logs",
    .usage = "RUN [options]",
    .summary = "a run's journal, record by record",
    .details =
        "RUN is a run's id, a unique beginning of it, or `last`. Every line is durable already when it is shown.\n\n"
        "Examples:\n"
        "  treadle logs last -f\n"
        "  treadle logs last --json | jq 'select(.kind == \"result\") | .data.ok.text'",
    .options = options,
    .min_words = 1,
    .max_words = 1,
    .run = run,
};
