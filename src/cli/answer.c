/* One try looks who owns the run, reads the journal (as its owner, if there is none), and then asks or writes. An owner
 * may come or go between the steps of a try: what then fails is tried again, a few seconds at most. */
#include "cli/answer.h"

#include "base/clock.h"
#include "cli/control.h"
#include "cli/digest.h"
#include "cli/human.h"
#include "cli/seen_run.h"
#include "cli/service_ask.h"
#include "cli/session.h"
#include "data/json.h"
#include "data/val_cover.h"
#include "flow/wait.h"
#include "role/egress.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { TRIES_MS = 10000, POLL_MS = 50, LISTED = 8 };

struct answering {
    struct home_run home;
    struct seen_run seen;
    struct arena arena;
    struct store *store;
    struct digest *digest;
    struct workflow *workflow;
    const char *id; /* of the signal to be sent */
    uint32_t numbers;
    size_t nsignals; /* not taken */
    int64_t bytes;
    bool known;      /* a signal with that id is there */
    struct map open; /* number of a signal that was not taken -> its weight */
    struct err err;
    enum rc rc;
};

/* ---- reading ---- */

struct kept {
    char key[16];
    size_t bytes;
};

static struct str number_key(struct arena *a, int64_t n)
{
    return arena_printf(a, "%lld", (long long)n);
}

static void note_signal(struct answering *x, const struct record *r, const struct val *v)
{
    struct kept *k = ARENA_NEW(&x->arena, struct kept);
    const struct val *data = VAL_GET(v, "data");
    snprintf(k->key, sizeof k->key, "%u", r->attempt);
    k->bytes = data ? val_weight(data) : 0;
    map_put(&x->open, str_c(k->key), k);
    x->nsignals++;
    x->bytes += (int64_t)k->bytes;
    x->numbers = r->attempt > x->numbers ? r->attempt : x->numbers;
    x->known |= x->id && str_is(val_get_str(v, STR("id"), STR("")), x->id);
}

static void note_taken(struct answering *x, const struct val *v)
{
    int64_t number = val_get_int(v, STR("signal"), 0);
    struct kept *k = number > 0 ? map_del(&x->open, number_key(&x->arena, number)) : NULL;
    if (!k)
        return;
    x->nsignals--;
    x->bytes -= (int64_t)k->bytes;
}

static bool look(void *ctx, const struct record *r)
{
    struct answering *x = ctx;
    if (r->kind == RECORD_SIGNAL || (r->kind == RECORD_RESULT && str_find(r->data, STR("\"signal\"")) != SIZE_MAX)) {
        struct arena a = {0};
        struct val v;
        x->rc = json_parse(&a, r->data, &JSON_LIMITS_DEFAULT, &v, &x->err);
        if (x->rc == RC_OK && r->kind == RECORD_SIGNAL)
            note_signal(x, r, &v);
        else if (x->rc == RC_OK)
            note_taken(x, &v);
        arena_done(&a);
    }
    if (x->rc == RC_OK)
        x->rc = digest_add(x->digest, r, &x->err);
    return x->rc == RC_OK;
}

static enum rc read_run(struct answering *x, enum store_mode mode)
{
    struct str text;
    struct err ignored;
    seen_run_read(&x->home, &x->arena, &x->seen);
    enum rc rc = store_open(x->home.journal, mode, &x->store, &x->err);
    if (rc == RC_OK)
        rc = store_each_record(x->store, str_c(x->home.id), 0, look, x, &x->err);
    rc = rc ? rc : x->rc;
    if (rc == RC_OK && store_blob(x->store, x->digest->workflow_sha256, &x->arena, &text, &ignored) == RC_OK) {
        struct problems ps = {.a = &x->arena};
        x->workflow = workflow_load(text, x->digest->file, &ps);
    }
    return rc;
}

static void reset(struct answering *x)
{
    struct answering fresh = {.home = x->home, .id = x->id};
    if (x->store)
        store_close(x->store);
    if (x->workflow)
        workflow_unref(x->workflow);
    digest_free(x->digest);
    map_done(&x->open);
    arena_done(&x->arena);
    *x = fresh;
}

/* ---- finding what waits ---- */

/* "loop/3/ask" of "loop/3/ask/wait:1". */
static struct str step_of(struct str wait_path)
{
    size_t n = wait_path.n;
    while (n && wait_path.p[n - 1] != '/')
        n--;
    return str_n(wait_path.p, n ? n - 1 : 0);
}

static bool path_fits(struct str path, struct str name)
{
    if (str_eq(path, name))
        return true;
    return path.n > name.n && str_ends(path, name) && path.p[path.n - name.n - 1] == '/';
}

static bool is_approval(const struct digest_node *n)
{
    return n->wait && str_is(val_get_str(n->wait, STR("for"), STR("")), "approval");
}

static bool named(const struct digest_node *n, struct str name)
{
    return is_approval(n) && (path_fits(step_of(n->path), name) || path_fits(step_of(n->record_path), name));
}

/* What else could be meant, nearest first for one, all for a few. */
static struct str candidates(struct answering *x, struct str name)
{
    struct str list = STR(""), nearest = STR("");
    unsigned best = 4;
    size_t n = 0;
    for (const struct digest_node *at = x->digest->root; (at = digest_next(at, x->digest->root));) {
        if (!is_approval(at) || !digest_waits(at))
            continue;
        struct str step = human_line(&x->arena, step_of(at->path), 0);
        unsigned far = step.n < 200 && name.n < 200 ? str_distance(name, step, best) : best;
        nearest = far < best ? step : nearest;
        best = far < best ? far : best;
        if (n++ < LISTED)
            list = arena_printf(&x->arena, "%.*s%s%.*s", STR_ARG(list), list.n ? ", " : "", STR_ARG(step));
    }
    if (best < 4)
        return arena_printf(&x->arena, "did you mean `%.*s`?", STR_ARG(nearest));
    if (!n)
        return STR("it waits for no approval");
    return n > LISTED ? arena_printf(&x->arena, "expected one of: %.*s, and %zu more", STR_ARG(list), n - LISTED)
                      : arena_printf(&x->arena, "expected one of: %.*s", STR_ARG(list));
}

static enum rc not_open(struct answering *x, struct str name)
{
    if (!seen_run_open(&x->seen))
        return err_set(&x->err, RC_INVALID, "run %s has ended: %s", x->home.id, x->seen.status);
    return err_set(&x->err, RC_NOT_FOUND, "nothing waits for an approval at `%.*s`; %.*s", STR_ARG(name),
                   STR_ARG(candidates(x, name)));
}

/* *ret_answered: it was answered already, and this way. */
static enum rc find_approval(struct answering *x, struct str name, struct str choice, const struct digest_node **ret,
                             bool *ret_answered)
{
    const struct digest_node *waits = NULL, *answered = NULL;
    size_t n = 0, was = 0;
    for (const struct digest_node *at = x->digest->root; (at = digest_next(at, x->digest->root));) {
        if (!named(at, name))
            continue;
        if (str_eq(step_of(at->path), name) || str_eq(step_of(at->record_path), name)) { /* exactly meant */
            waits = digest_waits(at) ? at : NULL;
            answered = at->answer ? at : NULL;
            n = waits != NULL;
            was = answered != NULL;
            break;
        }
        if (digest_waits(at)) {
            waits = n++ ? waits : at;
        } else if (at->answer) {
            answered = was++ ? answered : at;
        }
    }
    *ret = waits;
    *ret_answered = false;
    if (n > 1)
        return err_set(&x->err, RC_INVALID, "`%.*s` may be several that wait; %.*s", STR_ARG(name),
                       STR_ARG(candidates(x, STR(""))));
    if (n == 1 && seen_run_open(&x->seen))
        return RC_OK;
    if (was != 1)
        return not_open(x, name);
    struct str before = val_get_str(answered->answer, STR("choice"), STR(""));
    *ret_answered = str_eq(before, choice);
    *ret = answered;
    return *ret_answered ? RC_OK
                         : err_set(&x->err, RC_EXISTS, "%.*s was answered already: %.*s, by %.*s",
                                   STR_ARG(step_of(answered->path)), STR_ARG(before),
                                   STR_ARG(val_get_str(answered->answer, STR("by"), STR("?"))));
}

/* ---- writing, where nobody owns the run ---- */

static enum rc write_record(struct answering *x, const struct record *r, struct str note)
{
    struct run_row row = x->seen.row;
    row.status = row.status.n ? row.status : STR("running");
    row.updated_ms = r->time_ms;
    row.error = note;
    struct store_batch *b = store_batch_new();
    store_batch_record(b, str_c(x->home.id), r);
    store_batch_run(b, &row);
    return store_commit(x->store, b, &x->err);
}

static enum rc write_answer(struct answering *x, const struct digest_node *n, const struct val *answer)
{
    struct val ok;
    int64_t now = clock_wall_ms();
    enum rc rc = wait_decide(n->wait, answer, now, &x->arena, &ok, &x->err);
    if (rc != RC_OK)
        return rc;
    struct val_map m = val_map_new(&x->arena);
    VAL_MAP_SET(&m, "ok", ok);
    struct val data = val_map_done(&m);
    return write_record(
        x,
        &(struct record){.kind = RECORD_RESULT,
                         .path = n->record_path,
                         .attempt = n->record_attempt,
                         .time_ms = now,
                         .data = json_text(&x->arena, &data)},
        arena_printf(&x->arena, "answered at %.*s; treadle resume %s goes on", STR_ARG(step_of(n->path)), x->home.id));
}

/* As flow/wait.c does it: those who wait now may refuse it; if nobody does, it is kept. */
static enum rc those_accept(struct answering *x, struct str name, const struct val *data)
{
    enum rc rc = RC_OK;
    struct err other;
    for (const struct digest_node *at = x->digest->root; (at = digest_next(at, x->digest->root));) {
        if (!digest_waits(at) || !str_eq(val_get_str(at->wait, STR("signal"), STR("")), name))
            continue;
        enum rc one = wait_accepts(at->wait, data, &x->arena, rc ? &other : &x->err);
        if (one == RC_OK)
            return RC_OK;
        rc = rc ? rc : one;
    }
    return rc;
}

static enum rc write_signal(struct answering *x, struct str name, const struct val *data, struct str id, struct str by)
{
    struct val v;
    if (!seen_run_open(&x->seen))
        return err_set(&x->err, RC_INVALID, "run %s has ended: %s", x->home.id, x->seen.status);
    enum rc rc = x->workflow ? wait_signal_known(x->workflow, name, &x->err) : RC_OK;
    rc = rc ? rc : those_accept(x, name, data);
    rc = rc ? rc : wait_signal_record(name, data, id, by, &x->arena, &v, &x->err);
    if (rc == RC_OK && (x->nsignals >= WAIT_SIGNALS_MAX || x->bytes + (int64_t)val_weight(data) > WAIT_BYTES_MAX))
        rc = err_set(&x->err, RC_LIMIT, "%zu signals are waiting to be taken already; expected at most %d, or %d MB",
                     x->nsignals, WAIT_SIGNALS_MAX, WAIT_BYTES_MAX >> 20);
    if (rc != RC_OK)
        return rc;
    return write_record(
        x,
        &(struct record){.kind = RECORD_SIGNAL,
                         .path = STR(""),
                         .attempt = x->numbers + 1,
                         .time_ms = clock_wall_ms(),
                         .data = json_text(&x->arena, &v)},
        arena_printf(&x->arena, "signal %.*s has come; treadle resume %s goes on", STR_ARG(name), x->home.id));
}

/* ---- the front ---- */

struct saying {       /* what is to be said to the run */
    const char *name; /* of a step, or of a signal */
    const struct val *answer;
    bool signal;
    const char *id, *by;
    bool was_there, taken_over; /* out */
    struct str where;
};

static struct val request_of(struct answering *x, const struct saying *w, const struct digest_node *n)
{
    struct val_map m = val_map_new(&x->arena);
    VAL_MAP_SET(&m, "do", w->signal ? VAL_LIT("signal") : VAL_LIT("answer"));
    if (w->signal) {
        VAL_MAP_SET(&m, "name", val_str(str_c(w->name)));
        VAL_MAP_SET(&m, "data", *w->answer);
        VAL_MAP_SET(&m, "id", val_str(str_c(w->id ? w->id : "")));
        VAL_MAP_SET(&m, "by", val_str(str_c(w->by)));
    } else {
        VAL_MAP_SET(&m, "path", val_str(n->record_path));
        VAL_MAP_SET(&m, "answer", *w->answer);
    }
    return val_map_done(&m);
}

/* RC_BUSY: try again. */
static enum rc try_once(struct answering *x, struct saying *w)
{
    const struct digest_node *n = NULL;
    bool owned = store_owner(x->home.journal) != 0;
    x->digest = digest_new();
    enum rc rc = read_run(x, owned ? STORE_READ : STORE_OWN);
    if (rc != RC_OK)
        return rc;
    if (!w->signal)
        rc = find_approval(x, str_c(w->name), val_get_str(w->answer, STR("choice"), STR("")), &n, &w->was_there);
    else
        w->was_there = x->known;
    if (n)
        w->where = human_line(&x->arena, step_of(n->path), 0);
    if (rc != RC_OK || (w->was_there && !(w->signal && owned)))
        return rc;
    w->taken_over = !owned;
    if (owned) {
        struct val request = request_of(x, w, n);
        rc = control_ask(x->home.dir, &request, &x->err);
        return rc == RC_IO && !store_owner(x->home.journal) ? RC_BUSY : rc;
    }
    return w->signal ? write_signal(x, str_c(w->name), w->answer, str_c(w->id ? w->id : ""), str_c(w->by))
                     : write_answer(x, n, w->answer);
}

static int report(const struct answering *x, const struct saying *w, enum rc rc)
{
    if (rc != RC_OK) {
        bool mine = exit_of(rc) == EXIT_USAGE || rc == RC_TIMEOUT || rc == RC_LIMIT;
        return fail(mine ? EXIT_USAGE : EXIT_ENVIRONMENT, "run %s: %s", x->home.id, x->err.msg);
    }
    if (w->signal)
        printf("run %s: signal %s %s\n", x->home.id, w->name, w->was_there ? "was there already" : "is recorded");
    else
        printf("run %s: %.*s: %.*s %s\n", x->home.id, STR_ARG(w->where),
               STR_ARG(val_get_str(w->answer, STR("choice"), STR(""))),
               w->was_there ? "had been answered already" : "is recorded");
    if (w->taken_over)
        printf("nobody carries the run on; treadle resume %s does\n", x->home.id);
    return EXIT_OK;
}

/* As POST /v1/runs/RUN/approve and /signal take it. */
static bool say_to_service(const char *run, const struct saying *w, int *code)
{
    struct arena a = {0};
    struct val_map m = val_map_new(&a);
    struct str done;
    if (w->signal) {
        VAL_MAP_SET(&m, "name", val_str(str_c(w->name)));
        VAL_MAP_SET(&m, "data", *w->answer);
        VAL_MAP_SET(&m, "by", val_str(str_c(w->by)));
        if (w->id)
            VAL_MAP_SET(&m, "id", val_str(str_c(w->id)));
        done = arena_printf(&a, "signal %s is recorded", w->name);
    } else {
        val_map_merge(&m, w->answer);
        VAL_MAP_SET(&m, "step", val_str(str_c(w->name)));
        done =
            arena_printf(&a, "%s: %.*s is recorded", w->name, STR_ARG(val_get_str(w->answer, STR("choice"), STR(""))));
    }
    struct val body = val_map_done(&m);
    bool did = service_did(run, w->signal ? "signal" : "approve", &body, arena_cstr(&a, done), code);
    arena_done(&a);
    return did;
}

static int say(const char *run, struct saying *w)
{
    struct answering x = {.id = w->id};
    struct err err;
    int told;
    if (say_to_service(run, w, &told))
        return told;
    if (home_find(str_c(run), &x.home, &err) != RC_OK)
        return fail(exit_of(err.rc), "%s", err.msg);
    int64_t until = clock_mono_ms() + TRIES_MS;
    enum rc rc;
    while ((rc = try_once(&x, w)) == RC_BUSY && clock_mono_ms() < until) {
        reset(&x);
        nanosleep(&(struct timespec){.tv_nsec = POLL_MS * 1000000L}, NULL);
    }
    int code = report(&x, w, rc);
    reset(&x);
    return code;
}

/* The journal that this goes to, or who owns it, may be written to by this process alone. */
static struct val without_keys(struct arena *a, const struct val *v)
{
    egress_know_keys();
    return val_covered(a, v);
}

int answer_approval(const char *run, const char *step, const struct val *answer)
{
    struct arena a = {0};
    struct val clean = without_keys(&a, answer);
    struct saying w = {.name = step, .answer = &clean};
    int code = say(run, &w);
    arena_done(&a);
    return code;
}

int answer_signal(const char *run, const char *name, const struct val *data, const char *id, const char *by)
{
    struct arena a = {0};
    struct val clean = without_keys(&a, data);
    struct saying w = {.name = name, .answer = &clean, .signal = true, .id = id, .by = by};
    int code = say(run, &w);
    arena_done(&a);
    return code;
}

const char *answer_by(const char *given)
{
    const char *user = getenv("USER");
    if (given)
        return given;
    if (user && *user)
        return user;
    const struct passwd *p = getpwuid(getuid());
    return p ? p->pw_name : "unknown";
}

bool answer_data(const char *text, const char *what, struct arena *a, struct val *ret)
{
    struct err err;
    *ret = val_null;
    if (!text || json_parse(a, str_c(text), &JSON_DATA, ret, &err) == RC_OK)
        return true;
    fail(EXIT_USAGE, "%s is no JSON: %s", what, err.msg);
    return false;
}
