/* What stands around the engine while it runs, in the order of coming and going.
 *
 * The first Ctrl-C suspends: nothing new starts, what is in flight (and will be paid for anyway) may end. The second,
 * or half a minute, stops what is left at once. Either way the journal is complete and `treadle resume` goes on. */
#include "cli/session.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/panic.h"
#include "cli/ask.h"
#include "cli/control.h"
#include "cli/load.h"
#include "cli/places.h"
#include "cli/remove.h"
#include "cli/said.h"
#include "cli/view.h"
#include "data/json.h"
#include "data/val_cover.h"
#include "data/yaml.h"
#include "executor/cgroup.h"
#include "flow/step.h"
#include "role/egress.h"
#include "role/engine.h"
#include "role/history.h"
#include "role/outcome.h"
#include "role/port_mock.h"
#include "role/reread.h"
#include "role/run_env.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { GRACE_INT_MS = 30000, GRACE_TERM_MS = 5000, PROVE_DEAD_MS = 10000 };

int fail(enum exit_code code, const char *fmt, ...)
{
    char msg[4096];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(msg, sizeof msg, fmt, ap);
    va_end(ap);
    said_error(msg);
    return (int)code;
}

enum exit_code exit_of(enum rc rc)
{
    switch (rc) {
    case RC_OK:
        return EXIT_OK;
    case RC_INVALID:
    case RC_USAGE:
    case RC_NOT_FOUND:
    case RC_EXISTS:
    case RC_EXPRESSION:
    case RC_SCHEMA:
        return EXIT_USAGE;
    default:
        return EXIT_ENVIRONMENT;
    }
}

enum rc read_file(const char *path, size_t max, struct arena *a, struct str *ret, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return err_set(err, RC_NOT_FOUND, "cannot read %s: %s", path, strerror(errno));
    struct buf b;
    buf_init(&b, max);
    enum rc rc = RC_OK;
    if (!fd_read_all(fd, &b))
        rc = b.overflow ? err_set(err, RC_LIMIT, "%s is larger than %zu bytes", path, max)
                        : err_set(err, RC_NOT_FOUND, "cannot read %s: %s", path, strerror(errno));
    close(fd);
    if (rc == RC_OK)
        *ret = arena_str(a, buf_str(&b));
    buf_done(&b);
    return rc;
}

enum rc absolute_path(struct str path, struct arena *a, struct str *ret, struct err *err)
{
    char cwd[4096];
    if (path.n && path.p[0] == '/') {
        *ret = arena_str(a, path);
        return RC_OK;
    }
    if (!getcwd(cwd, sizeof cwd))
        return err_set(err, RC_IO, "cannot tell the current directory: %s", strerror(errno));
    while (str_starts(path, STR("./")))
        path = str_from(path, 2);
    *ret = path.n && !str_is(path, ".") ? arena_printf(a, "%s/%.*s", cwd, STR_ARG(path)) : arena_str(a, str_c(cwd));
    return RC_OK;
}

/* ---- the pieces ---- */

struct live {
    struct session *s;
    struct ev_loop *loop;
    struct driver *driver;
    struct turns *turns;
    struct egress *egress;
    struct executor *executor;
    struct port *model, *local, *mocked; /* mocked: in front of local where answers are made up, or NULL */
    struct mock_fixtures fixtures;
    struct engine *engine;
    struct view *view;
    struct control *control;
    struct ask *ask;
    int interrupts;
    bool fresh;  /* the run's directory was made just now, and nothing is recorded in it */
    bool checks; /* nothing will be begun: it is only to be seen whether it could */
};

/* What scripted models say must not mix with real conversations, and a replay must begin as its recording did. */
/* What outlives runs: made-up answers have places of their own, repeated ones leave nothing but in their run. */
static const char *kept_in(struct session *s, const char *home, const char *what, const char *mock)
{
    return arena_printf(&s->arena, "%s/%s%s", s->mode == SESSION_REPLAY ? s->home.dir : home, what,
                        s->mode == SESSION_MOCK ? mock : "")
        .p;
}

static enum rc make_egress(struct live *l, struct err *err)
{
    static const enum egress_mode modes[] = {EGRESS_LIVE, EGRESS_MOCK, EGRESS_REPLAY};
    struct session *s = l->s;
    struct val fixtures;
    bool have = s->mode == SESSION_MOCK && s->fixtures.n;
    if (have) {
        enum rc rc = yaml_parse(&s->arena, s->fixtures, "fixtures", &YAML_LIMITS_DEFAULT, &fixtures, err);
        if (rc == RC_OK)
            rc = mock_fixtures_read(&l->fixtures, &fixtures, err); /* for commands; egress has a set of its own */
        if (rc != RC_OK)
            return rc;
    }
    return egress_new(&(struct egress_options){.loop = l->loop,
                                               .mode = modes[s->mode],
                                               .fixtures = have ? &fixtures : NULL,
                                               .replay_file = s->replay_file,
                                               .record_file = l->checks ? NULL : s->record_file,
                                               .keys_stay = l->checks},
                      &l->egress, err);
}

static void on_event(void *ctx, const struct event *e)
{
    struct live *l = ctx;
    view_event(l->view, e);
    ask_look(l->ask);
}

static void on_end(void *ctx)
{
    ev_stop(((struct live *)ctx)->loop);
}

static void on_pause(void *ctx, const char *why)
{
    struct live *l = ctx;
    if (why)
        view_say(l->view, true, "paused: %s (journal: %s)", why, l->s->home.journal);
    else
        view_say(l->view, true, "going on: the journal has room again");
}

static void done(void *ctx)
{
    control_reply(ctx, NULL);
}

/* What an answer brought counts when it is durable; so that is when it is confirmed. */
static void on_control(void *ctx, struct control_request *q, const struct val *v)
{
    struct live *l = ctx;
    struct run *run = engine_run(l->engine);
    struct str what = val_get_str(v, STR("do"), STR(""));
    struct arena a = {0};
    struct val clean = val_covered(&a, v);
    struct err err;
    enum rc rc = RC_OK;
    bool known;
    v = &clean;
    if (str_is(what, "cancel")) {
        view_say(l->view, false, "cancelled by treadle cancel");
        engine_cancel(l->engine);
    } else if (str_is(what, "answer")) {
        rc = run_answer(run, val_get_str(v, STR("path"), STR("")), VAL_GET(v, "answer"), &err);
    } else if (str_is(what, "signal")) {
        rc = run_signal(run, val_get_str(v, STR("name"), STR("")), VAL_GET(v, "data") ? VAL_GET(v, "data") : &val_null,
                        val_get_str(v, STR("id"), STR("")), val_get_str(v, STR("by"), STR("")), &known, &err);
    } else {
        rc = err_set(&err, RC_INVALID, "unknown request");
    }
    bool cancel = str_is(what, "cancel");
    arena_done(&a);
    if (rc != RC_OK)
        control_reply(q, &err);
    else if (cancel)
        control_reply(q, NULL);
    else
        engine_when_durable(l->engine, done, q);
}

static void grace_over(void *ctx)
{
    struct live *l = ctx;
    if (l->interrupts == 1) {
        l->interrupts++;
        engine_interrupt(l->engine);
    }
}

static void on_signal(void *ctx, int signo)
{
    struct live *l = ctx;
    l->interrupts++;
    if (l->interrupts == 1) {
        size_t n = run_totals(engine_run(l->engine)).in_flight;
        if (n)
            view_say(l->view, true, "suspending: waiting for %zu call%s in flight; press Ctrl-C again to stop at once",
                     n, n == 1 ? "" : "s");
        ev_timer(l->loop, signo == SIGINT ? GRACE_INT_MS : GRACE_TERM_MS, grace_over, l);
    }
    engine_interrupt(l->engine);
}

static void add_env(struct session *s, struct val_map *m, struct str name)
{
    const char *v = getenv(arena_cstr(&s->arena, name));
    if (v && *v && str_utf8_valid(str_c(v)) == strlen(v))
        val_map_set(m, arena_str(&s->arena, name), val_str(arena_str(&s->arena, str_c(v))));
}

static void add_envs(struct session *s, struct val_map *m)
{
    size_t n;
    const struct workflow *const *all = workflow_all(s->workflow, &s->arena, &n);
    for (size_t k = 0; k < n; k++)
        for (size_t i = 0; i < all[k]->nenv; i++)
            add_env(s, m, all[k]->env[i]);
}

/* What the workflow, and those that it calls, may read; and what steps use where it says nothing. */
const struct val *session_env(struct session *s)
{
    struct val_map m = val_map_new(&s->arena);
    add_envs(s, &m);
    run_env_add(&m, &s->arena, !s->resume);
    struct val *o = ARENA_NEW(&s->arena, struct val);
    *o = val_map_done(&m);
    *o = val_covered(&s->arena, o);
    return o;
}

static struct engine *make_engine(struct live *l)
{
    struct session *s = l->s;
    return engine_new(&(struct engine_options){.driver = l->driver,
                                               .turns = l->turns,
                                               .model = l->model,
                                               .local = l->mocked ? l->mocked : l->local,
                                               .workflow = s->workflow,
                                               .run = {.id = str_c(s->home.id),
                                                       .inputs = &s->inputs,
                                                       .env = session_env(s),
                                                       .workflow_sha256 = s->workflow_sha256,
                                                       .workspace = s->workspace,
                                                       .output_dir = s->output_dir,
                                                       .workflow_dir = s->workflow_dir,
                                                       .force = s->force,
                                                       .mocked = s->mode == SESSION_MOCK,
                                                       .stay = s->stay},
                                               .row = {.id = str_c(s->home.id),
                                                       .workflow = s->workflow->name,
                                                       .workspace = s->workspace,
                                                       .file = s->workflow->file,
                                                       .created_ms = s->created_ms},
                                               .on_event = on_event,
                                               .on_pause = on_pause,
                                               .on_end = on_end,
                                               .ctx = l});
}

/* ---- the journal before the engine ---- */

static struct val session_note(struct session *s)
{
    static const char *const modes[] = {"live", "mock", "replay"};
    struct val_map m = val_map_new(&s->arena), o = val_map_new(&s->arena);
    VAL_MAP_SET(&m, "mode", val_str(str_c(modes[s->mode])));
    if (s->mode == SESSION_MOCK && s->fixtures.n)
        VAL_MAP_SET(&m, "fixtures", val_str(s->fixtures));
    if (s->replay_file)
        VAL_MAP_SET(&m, "replay", val_str(str_c(s->replay_file)));
    if (s->files.n)
        VAL_MAP_SET(&m, "files", called_val(&s->files, &s->arena));
    VAL_MAP_SET(&m, "pid", val_int(getpid()));
    VAL_MAP_SET(&o, "session", val_map_done(&m));
    return val_map_done(&o);
}

/* What a later resume needs besides the run's own records. */
static struct store_batch *prologue(struct session *s)
{
    struct store_batch *b = store_batch_new();
    struct val note = session_note(s);
    store_batch_blob(b, s->workflow->text);
    called_put(&s->files, b);
    store_batch_record(b, str_c(s->home.id),
                       &(struct record){.kind = RECORD_NOTE,
                                        .attempt = 1,
                                        .path = STR(""),
                                        .time_ms = clock_wall_ms(),
                                        .data = json_text(&s->arena, &note)});
    if (s->nvoids || s->new_workflow) {
        struct val_list l = val_list_new(&s->arena);
        for (size_t i = 0; i < s->nvoids; i++)
            val_list_push(&l, val_str(s->voids[i]));
        struct val_map m = val_map_new(&s->arena);
        VAL_MAP_SET(&m, "void", val_list_done(&l));
        VAL_MAP_SET(&m, "workflow_sha256", val_str(s->workflow_sha256));
        VAL_MAP_SET(&m, "path", val_str(s->new_path));
        struct val v = val_map_done(&m);
        store_batch_record(b, str_c(s->home.id),
                           &(struct record){.kind = RECORD_RESUME,
                                            .attempt = 1,
                                            .path = STR(""),
                                            .time_ms = clock_wall_ms(),
                                            .data = json_text(&s->arena, &v)});
    }
    return b;
}

static enum rc recover(struct live *l, struct err *err)
{
    struct session *s = l->s;
    return history_feed(s->store, str_c(s->home.id), engine_run(l->engine), s->voids, s->nvoids, err);
}

/* ---- how it ended ---- */

/* The same shape when the journal failed. Results that may not be durable are not shown: resume tells them. */
static struct val failure_object(struct live *l, struct run *run, const struct err *err)
{
    struct arena *a = &l->s->arena;
    struct val_map m = val_map_new(a), e = val_map_new(a);
    VAL_MAP_SET(&e, "class", val_str(str_c(rc_name(err->rc))));
    VAL_MAP_SET(&e, "code", VAL_LIT("journal"));
    VAL_MAP_SET(&e, "message", val_str(str_c(err->msg)));
    VAL_MAP_SET(&m, "run_id", val_str(str_c(l->s->home.id)));
    VAL_MAP_SET(&m, "status", val_str(str_c(run_status_name(RUN_INTERRUPTED))));
    VAL_MAP_SET(&m, "results", val_empty_object);
    VAL_MAP_SET(&m, "error", val_map_done(&e));
    VAL_MAP_SET(&m, "usage", outcome_usage(run, a));
    return val_map_done(&m);
}

/* The workflow's output for people and pipes: text as it is. */
static int write_output(const struct val *v)
{
    if (v->type != VAL_STR)
        return said_json(v, EXIT_OK);
    bool line = v->s.n && v->s.p[v->s.n - 1] == '\n';
    said_write(v->s);
    if (!line)
        said_write(STR("\n"));
    return EXIT_OK;
}

static int write_result(struct live *l, struct run *run)
{
    if (!l->s->json && run_status(run) == RUN_SUCCEEDED && run_output(run)) {
        struct val output = val_covered(&l->s->arena, run_output(run));
        return write_output(&output);
    }
    if (!l->s->json)
        return EXIT_OK;
    /* Everything in the journal is durable by now, so what has left memory can be read back. */
    struct val v = outcome_of(run, str_c(l->s->home.id), &l->s->arena);
    struct reread_source source = {l->s->store, str_c(l->s->home.id)};
    struct away_reader r = reread_from(&source);
    return said_json_from(&v, &r, EXIT_OK);
}

static int ended(struct live *l)
{
    struct run *run = engine_run(l->engine);
    const struct err *journal = engine_error(l->engine);
    if (journal) {
        view_say(l->view, true, "stopped: %s: %s", rc_text(journal->rc), journal->msg);
        view_say(l->view, true, "nothing that was reported is lost; go on with: treadle resume %s", l->s->home.id);
        view_end(l->view, RUN_INTERRUPTED, NULL);
        l->view = NULL;
        if (l->s->json) {
            struct val v = failure_object(l, run, journal);
            (void)said_json(&v, EXIT_ENVIRONMENT);
        }
        return EXIT_ENVIRONMENT;
    }
    enum run_status status = run_status(run);
    view_end(l->view, status, run_error(run));
    l->view = NULL;
    if (write_result(l, run) != EXIT_OK)
        return EXIT_ENVIRONMENT;
    static const enum exit_code codes[] = {
        [RUN_RUNNING] = EXIT_ENVIRONMENT, [RUN_WAITING] = EXIT_WAITING,      [RUN_SUCCEEDED] = EXIT_OK,
        [RUN_FAILED] = EXIT_RUN_FAILED,   [RUN_CANCELLED] = EXIT_RUN_FAILED, [RUN_INTERRUPTED] = EXIT_INTERRUPTED};
    return (int)codes[status];
}

/* ---- in order ---- */

static struct str provider_of(const struct step_def *d)
{
    if (d->type->provider)
        return str_c(d->type->provider);
    if (!str_is(str_c(d->type->name), "llm"))
        return str_n("", 0);
    struct str model = val_get_str(d->source, STR("model"), STR("")),
               said = val_get_str(d->source, STR("provider"), STR(""));
    size_t slash = str_find(model, STR("/"));
    if (str_is(said, "openai") || (said.n && slash == SIZE_MAX))
        return said;
    bool computed = str_find(model, STR("{{")) != SIZE_MAX;
    return slash == SIZE_MAX || computed ? str_n("", 0) : str_n(model.p, slash);
}

static int check_providers(const struct workflow *w, const struct egress *g)
{
    struct err err;
    for (size_t i = 0; i < w->nall; i++) {
        const struct step_def *d = w->all[i];
        struct str p = provider_of(d);
        if (!p.n || egress_ready(g, p, &err) == RC_OK)
            continue;
        uint32_t line = d->line;
        struct str file = workflow_place(w, &line);
        return fail(err.rc == RC_AUTH ? EXIT_ENVIRONMENT : EXIT_USAGE, "%.*s:%u:%u: step `%.*s`: %s", STR_ARG(file),
                    line, d->col, STR_ARG(d->name), err.msg);
    }
    return EXIT_OK;
}

static int check_all_providers(struct session *s, const struct egress *g)
{
    size_t n;
    const struct workflow *const *all = workflow_all(s->workflow, &s->arena, &n);
    int code = EXIT_OK;
    for (size_t i = 0; i < n && code == EXIT_OK; i++)
        code = check_providers(all[i], g);
    return code;
}

static bool is_start(void *ctx, const struct record *r)
{
    *(bool *)ctx = r->kind == RECORD_RUN;
    return r->kind != RECORD_RUN;
}

/* A run of that name exists. If it was stopped before its first commit, nobody can resume it, and this is the start. */
static enum rc take_unborn(struct session *s, struct err *err)
{
    struct err other;
    bool started = false;
    if (store_open(s->home.journal, STORE_OWN, &s->store, &other) != RC_OK)
        return err->rc;
    if (store_each_record(s->store, str_c(s->home.id), 0, is_start, &started, &other) == RC_OK && !started)
        return RC_OK;
    store_close(s->store);
    s->store = NULL;
    return err->rc;
}

/* The journal of a new run is made only when nothing that can be tried before is wrong. */
static int make_journal(struct live *l)
{
    struct session *s = l->s;
    struct err err;
    if (s->store)
        return EXIT_OK;
    enum rc rc = home_run_create(&s->home, &err);
    l->fresh = rc == RC_OK;
    if (rc == RC_EXISTS)
        rc = take_unborn(s, &err);
    else if (rc == RC_OK)
        rc = store_open(s->home.journal, STORE_OWN, &s->store, &err);
    return rc == RC_OK ? EXIT_OK : fail(rc == RC_EXISTS ? EXIT_USAGE : EXIT_ENVIRONMENT, "%s", err.msg);
}

static int check_places(struct session *s)
{
    struct err err;
    if (places_workspace(s->workspace, &err) != RC_OK || places_output(s->workflow, s->output_dir, &err) != RC_OK)
        return fail(EXIT_ENVIRONMENT, "%s", err.msg);
    return EXIT_OK;
}

/* What can be wrong before anything is recorded. */
static int prepare(struct live *l)
{
    struct session *s = l->s;
    struct err err;
    if (make_egress(l, &err) != RC_OK)
        return fail(exit_of(err.rc), "%s", err.msg);
    if ((!s->resume || s->new_workflow) &&
        called_keyless(&s->files, s->workflow->file, s->workflow->text, &err) != RC_OK)
        return fail(EXIT_USAGE, "%s", err.msg);
    s->inputs = val_covered(&s->arena, &s->inputs);
    int code = check_all_providers(s, l->egress);
    if (code == EXIT_OK && !s->resume)
        code = check_files(s->workflow, s->workflow_dir, s->workspace, !s->quiet);
    if (code == EXIT_OK)
        code = check_places(s);
    return code;
}

static int make_executor(struct live *l)
{
    struct session *s = l->s;
    struct err err;
    char home[2100];
    size_t nsecrets;
    const struct str *secrets = called_secrets(s->workflow, &s->arena, &nsecrets);
    if (home_dir(home, sizeof home, &err) != RC_OK)
        return fail(EXIT_ENVIRONMENT, "%s", err.msg);
    cgroup_settle();
    if (executor_new(&(struct executor_options){.loop = l->loop,
                                                .run_dir = s->home.dir,
                                                .workspace = arena_cstr(&s->arena, s->workspace),
                                                .output_dir = arena_cstr(&s->arena, s->output_dir),
                                                .workflow_dir = arena_cstr(&s->arena, s->workflow_dir),
                                                .sessions_dir = kept_in(s, home, "sessions", "/mock"),
                                                .cache_dir = kept_in(s, home, "cache", "/.mock"),
                                                .cache_keeps_only = s->record_file != NULL,
                                                .checkpoints_dir = kept_in(s, home, "checkpoints", "/.mock"),
                                                .state_dir = home,
                                                .secrets = secrets,
                                                .nsecrets = nsecrets,
                                                .tier = s->tier},
                     &l->executor, &err) != RC_OK)
        return fail(EXIT_ENVIRONMENT, "%s", err.msg);
    return EXIT_OK;
}

static int set_up(struct live *l)
{
    struct session *s = l->s;
    struct err err;
    int code = prepare(l);
    if (code == EXIT_OK)
        code = make_journal(l);
    if (code != EXIT_OK)
        return code;
    if (s->resume && executor_prove_dead(s->home.dir, PROVE_DEAD_MS, &err) != RC_OK)
        return fail(EXIT_ENVIRONMENT, "%s", err.msg);
    code = make_executor(l);
    if (code != EXIT_OK)
        return code;
    char home[2100];
    if (home_dir(home, sizeof home, &err) != RC_OK)
        return fail(EXIT_ENVIRONMENT, "%s", err.msg);
    if (turns_new(l->loop, home, getenv("TREADLE_WITHIN"), &l->turns, &err) != RC_OK)
        return fail(EXIT_ENVIRONMENT, "%s", err.msg);
    l->model = port_to_egress(l->egress);
    l->local = port_to_executor(l->executor);
    l->mocked = s->mode == SESSION_MOCK ? port_mock(l->loop, &l->fixtures, l->local) : NULL;
    l->driver = driver_new(l->loop, s->store);
    l->engine = make_engine(l);
    if (s->resume && recover(l, &err) != RC_OK)
        return fail(EXIT_ENVIRONMENT, "the journal of %s cannot be used: %s", s->home.id, err.msg);
    return EXIT_OK;
}

/* What could not even begin leaves nothing that `treadle ps` would show, or `last` mean. */
static void forget(struct session *s)
{
    struct err err;
    if (remove_run(&s->home, &err) != RC_OK)
        fprintf(stderr, "treadle: %s is left behind: %s\n", s->home.dir, err.msg);
}

static void live_done(struct live *l)
{
    egress_free(l->egress);
    executor_free(l->executor);
    engine_free(l->engine);
    turns_free(l->turns);
    driver_free(l->driver);
    free(l->model);
    port_mock_free(l->mocked);
    mock_fixtures_done(&l->fixtures);
    free(l->local);
    ev_loop_free(l->loop);
}

int session_check(struct session *s)
{
    struct live l = {.s = s, .loop = ev_loop_new(), .checks = true};
    int code = prepare(&l);
    if (code == EXIT_OK)
        code = make_executor(&l);
    live_done(&l);
    return code;
}

int session_run(struct session *s)
{
    struct live l = {.s = s, .loop = ev_loop_new()};
    struct err err;
    int code = set_up(&l);
    bool began = code == EXIT_OK;
    if (began) {
        l.view = view_new(&(struct view_options){.loop = l.loop,
                                                 .run = engine_run(l.engine),
                                                 .workflow = s->workflow->name,
                                                 .run_id = str_c(s->home.id),
                                                 .quiet = s->quiet,
                                                 .unpaid = s->mode != SESSION_LIVE && !s->was_live});
        l.control = control_new(l.loop, s->home.dir, on_control, &l, &err);
        if (!l.control)
            view_say(l.view, false, "treadle cancel will not reach this run: %s", err.msg);
        l.ask = s->quiet ? NULL : ask_new(l.loop, l.view, engine_run(l.engine));
        if (l.ask && s->stay == STAY_NO)
            run_stay(engine_run(l.engine), STAY_FOR_APPROVALS);
        ev_signal(l.loop, SIGINT, on_signal, &l);
        ev_signal(l.loop, SIGTERM, on_signal, &l);
        ev_signal(l.loop, SIGHUP, on_signal, &l);
        engine_begin_with(l.engine, prologue(s));
        engine_start(l.engine);
        ev_run(l.loop);
        code = ended(&l);
    }
    ask_free(l.ask);
    control_free(l.control);
    live_done(&l);
    if (s->store)
        store_close(s->store);
    s->store = NULL;
    if (l.fresh && !began)
        forget(s);
    return code;
}

/* The run goes through its journal once more; what it appends stays in memory, for the loop never turns. */
int session_tell(struct session *s)
{
    struct live l = {.s = s};
    struct err err;
    int code;
    egress_know_keys(); /* the workflow's output is made anew */
    l.engine = make_engine(&l);
    struct run *run = engine_run(l.engine);
    if (recover(&l, &err) != RC_OK) {
        code = fail(EXIT_ENVIRONMENT, "the journal of %s cannot be used: %s", s->home.id, err.msg);
    } else {
        run_start(run);
        do
            while (run_status(run) == RUN_RUNNING && run_work(run, 1000))
                ;
        while (run_status(run) == RUN_RUNNING && engine_load_now(l.engine, s->store));
        code = run_status(run) == RUN_SUCCEEDED
                   ? write_result(&l, run)
                   : fail(EXIT_ENVIRONMENT, "the journal of %s says that it succeeded, but lacks results", s->home.id);
    }
    engine_free(l.engine);
    return code;
}
