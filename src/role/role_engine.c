/* The engine process: the journal's owner, with a host of runs; requests come from the gateway.
 *
 * When the process dies of a fault, a handler writes into the panic page which frame was being executed; which run it
 * was stands there already. */
#include "base/clock.h"
#include "base/log.h"
#include "base/panic.h"
#include "data/json.h"
#include "flow/limits.h"
#include "role/channel.h"
#include "role/host.h"
#include "role/roles.h"

#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { DRAIN_MS = 20000, PREDECESSOR_MS = 2000 };

struct early {
    struct early *next;
    char *run, *step, *how, *words;
    bool charged;
};

struct state {
    struct role *role;
    struct store *store;
    struct host *host;
    struct channel *gateway;
    uint64_t link; /* counts the gateway's lives: answers to an earlier one are dropped */
    struct early *obituaries, **last;
};

static struct state *state_of(struct role *r)
{
    if (!r->state) {
        struct state *s = calloc(1, sizeof *s);
        CHECK(s);
        s->role = r;
        s->last = &s->obituaries;
        r->state = s;
    }
    return r->state;
}

/* ---- the gateway ---- */

struct question {
    struct state *state;
    uint64_t id, link;
};

static void on_answer(void *ctx, int status, const struct val *body)
{
    struct question *q = ctx;
    struct state *s = q->state;
    if (s->gateway && s->link == q->link) {
        struct arena a = {0};
        struct val_map m = val_map_new(&a);
        VAL_MAP_SET(&m, "status", val_int(status));
        VAL_MAP_SET(&m, "body", *body);
        struct val v = val_map_done(&m);
        channel_send(s->gateway, FRAME_ANSWER, q->id, json_text(&a, &v));
        arena_done(&a);
    }
    free(q);
}

static void on_message(void *ctx, const struct frame *f)
{
    struct state *s = ctx;
    struct arena a = {0};
    struct val request;
    struct err err;
    if (f->type != FRAME_ASK || json_parse(&a, f->body, &JSON_LIMITS_DEFAULT, &request, &err) != RC_OK) {
        log_line(LOG_ERROR, "the gateway sends what is no request");
        arena_done(&a);
        return;
    }
    struct question *q = calloc(1, sizeof *q);
    CHECK(q);
    *q = (struct question){s, f->id, s->link};
    host_ask(s->host, &request, on_answer, q);
    arena_done(&a);
}

static void on_closed(void *ctx, const char *why)
{
    struct state *s = ctx;
    log_line(LOG_INFO, "the link to the gateway has ended: %s", why);
    channel_free(s->gateway);
    s->gateway = NULL;
}

static const struct channel_ops gateway_ops = {on_message, on_closed};

static void peer(struct role *r, struct str name, int fd)
{
    struct state *s = r->state;
    if (str_is(name, "egress")) {
        remote_link(host_egress(s->host), fd);
    } else if (str_is(name, "executor")) {
        remote_link(host_executor(s->host), fd);
    } else {
        channel_free(s->gateway);
        s->link++;
        s->gateway = channel_new(r->loop, fd, &gateway_ops, s);
    }
}

/* ---- deaths ---- */

static void obituary(struct role *r, struct str run, struct str step, struct str how, struct str words, bool charged)
{
    struct state *s = state_of(r);
    if (s->host) { /* of another role, while this one lives */
        host_obituary(s->host, run, step, how, words, charged);
        return;
    }
    struct early *e = calloc(1, sizeof *e);
    CHECK(e);
    e->run = strndup(run.p, run.n);
    e->step = strndup(step.p, step.n);
    e->how = strndup(how.p, how.n);
    e->words = strndup(words.p, words.n);
    e->charged = charged;
    CHECK(e->run && e->step && e->how && e->words);
    *s->last = e;
    s->last = &e->next;
}

static void bury(struct state *s)
{
    while (s->obituaries) {
        struct early *e = s->obituaries;
        s->obituaries = e->next;
        if (s->host)
            host_obituary(s->host, str_c(e->run), str_c(e->step), str_c(e->how), str_c(e->words), e->charged);
        free(e->run);
        free(e->step);
        free(e->how);
        free(e->words);
        free(e);
    }
    s->last = &s->obituaries;
}

static struct role *the_role;
static const struct run *volatile the_run;

/* The last thing that a dying process does: which frame was it? Whatever it reads may be broken; then it dies of that,
 * and the page names the run all the same. */
static void on_fault(int signo)
{
    const struct run *run = the_run;
    if (run)
        role_executing_what(the_role, run_executing(run));
    raise(signo);
}

static void executing(void *ctx, struct str id, const struct run *run)
{
    struct state *s = ctx;
    the_run = run;
    role_executing(s->role, id);
}

static void watch_faults(struct role *r)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
    the_role = r;
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        sigaction(faults[i], &(struct sigaction){.sa_handler = on_fault, .sa_flags = (int)SA_RESETHAND}, NULL);
}

static void failed(void *ctx, const struct err *err)
{
    struct state *s = ctx;
    log_line(LOG_ERROR, "the journal cannot be used any more: %s: %s", rc_text(err->rc), err->msg);
    role_end(s->role, 4);
}

static int64_t number(const struct role *r, const char *name)
{
    int64_t n = 0;
    const char *v = role_option(r, name);
    return v && str_to_i64(str_c(v), &n) && n > 0 ? n : 0;
}

static enum rc begin(struct role *r, struct err *err)
{
    struct state *s = state_of(r);
    const char *db = role_option(r, "db"), *home = role_option(r, "home");
    if (!db || !home)
        return err_set(err, RC_USAGE, "--db and --home are missing");
    const char *limits_given = role_option(r, "limits"), *offered = role_option(r, "secrets");
    struct run_limits limits = {0};
    enum rc rc = limits_parse_all(&limits, str_c(limits_given ? limits_given : ""), err);
    if (rc != RC_OK)
        return rc;
    for (int64_t until = clock_mono_ms() + PREDECESSOR_MS;;) {
        rc = store_open(db, STORE_OWN, &s->store, err);
        if (rc != RC_BUSY || clock_mono_ms() >= until)
            break;
        /* An engine that was killed a moment ago has it yet. */
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    if (rc == RC_BUSY)
        return err_set(err, RC_BUSY,
                       "%s is in use by another `treadle serve`; stop that one first, or give this one "
                       "another file with --db",
                       db);
    if (rc == RC_OK)
        rc = host_new(&(struct host_options){.loop = r->loop,
                                             .store = s->store,
                                             .home = home,
                                             .mock = role_option(r, "mock") != NULL,
                                             .offered = str_c(offered ? offered : ""),
                                             .max_running = (unsigned)number(r, "max-running"),
                                             .max_per_group = (unsigned)number(r, "max-per-workflow"),
                                             .limits = limits,
                                             .executing = executing,
                                             .failed = failed,
                                             .ctx = s},
                      &s->host, err);
    if (rc != RC_OK)
        return err_wrap(err, "%s", db);
    watch_faults(r);
    bury(s);
    host_begin(s->host);
    return RC_OK;
}

static void idle(void *ctx)
{
    role_end(((struct state *)ctx)->role, 0);
}

static void too_long(void *ctx)
{
    host_drain(((struct state *)ctx)->host, idle);
}

static void stop(struct role *r)
{
    struct state *s = r->state;
    host_drain(s->host, idle);
    ev_timer(r->loop, DRAIN_MS, too_long, s);
}

static void end(struct role *r)
{
    struct state *s = r->state;
    if (!s)
        return;
    host_free(s->host);
    channel_free(s->gateway);
    s->host = NULL;
    bury(s);
    if (s->store)
        store_close(s->store);
    free(s);
}

const struct role_def role_engine = {
    .name = "engine", .begin = begin, .peer = peer, .obituary = obituary, .stop = stop, .end = end};
