/* serve: the service. This file is the part before the supervisor: what is to be listened on, what is to be kept
 * secret, and the tree of processes.
 *
 * Keys, and whatever else of the environment is not for all, are moved into sealed memory files, and the program
 * executes itself anew without them, so that not even /proc shows them to anybody. Egress gets the file with the keys,
 * the executor that with the variables that commands may be given, the others fingerprints of the keys. The second life
 * becomes the supervisor. When it is told to start anew (SIGHUP, after the program's file was replaced), it executes
 * the file again, with the same sockets open: connections queue meanwhile. */
#include "base/clock.h"
#include "base/keyprint.h"
#include "base/log.h"
#include "base/panic.h"
#include "cli/commands.h"
#include "cli/home.h"
#include "cli/listen.h"
#include "cli/offered.h"
#include "cli/old_env.h"
#include "cli/sealed.h"
#include "cli/service_ask.h"
#include "cli/session.h"
#include "cli/tokens.h"
#include "executor/cgroup.h"
#include "executor/probe.h"
#include "executor/tier.h"
#include "flow/limits.h"
#include "ipc/control.h"
#include "llm/provider.h"
#include "supervisor/notify.h"
#include "supervisor/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { SOCKETS_MAX = 8, ROLE_ARGS = 16, LIMITS_TEXT_SIZE = 256, PREDECESSOR_MS = 2000 };

/* The first life tells the second which descriptors are what. */
static const char handed_env[] = "TREADLE_SERVE_HANDED"; /* "secrets=5 variables=6 prints=7 control=8 listen=9" */

/* ---- the first life ---- */

static const char *const providers[] = {"anthropic", "gemini", "openai"};
enum { NPROVIDERS = sizeof providers / sizeof *providers };

/* Of a provider that is asked at its usual address, which nobody answers without one. */
static void tell_missing_keys(void)
{
    for (size_t i = 0; i < NPROVIDERS; i++) {
        const struct provider *p = provider_by_name(str_c(providers[i]));
        const char *key = getenv(p->key_env), *base = getenv(p->base_env);
        if ((!key || !*key) && provider_needs_key(p, str_c(base && *base ? base : p->default_base)))
            fprintf(stderr, "treadle: no key for %s: steps that ask it fail; set %s and start the service again\n",
                    p->mock_name, p->key_env);
    }
}

/* A name that is listed and not set is a slip of the pen more often than not. */
static void tell_offered(struct str names)
{
    while (names.n) {
        size_t n = str_find(names, STR(" "));
        char name[OFFERED_SIZE];
        snprintf(name, sizeof name, "%.*s", (int)(n < names.n ? n : names.n), names.p);
        const char *v = getenv(name);
        fprintf(stderr,
                v && *v ? "treadle: workflows that are sent may give commands the secret %s\n"
                        : "treadle: warning: the secret %s, which workflows that are sent may name, is not set\n",
                name);
        names = n < names.n ? str_from(names, n + 1) : STR("");
    }
}

static void keep_open(int fd)
{
    fcntl(fd, F_SETFD, 0);
}

/* Who may connect is settled before anything is started: nobody comes from elsewhere without a token, and no token
 * travels where others can read it. */
static enum rc open_sockets(const struct args *args, bool tokens, int *fds, size_t *n, struct err *err)
{
    bool elsewhere = tokens && args_get(args, "behind-proxy");
    size_t from_systemd = notify_listen_fds();
    enum rc rc = RC_OK;
    for (size_t i = 0; rc == RC_OK && i < from_systemd && *n < SOCKETS_MAX; i++) {
        fds[(*n)++] = 3 + (int)i;
        fcntl(3 + (int)i, F_SETFL, O_NONBLOCK);
        rc = listen_check(3 + (int)i, elsewhere, err);
    }
    const char *v;
    for (int i = 0; rc == RC_OK && (v = args_nth(args, "listen", i)); i++) {
        if (*n == SOCKETS_MAX)
            return err_set(err, RC_USAGE, "at most %d sockets", SOCKETS_MAX);
        rc = listen_at(v, elsewhere, &fds[*n], err);
        *n += rc == RC_OK;
    }
    if (rc == RC_OK && !*n) {
        rc = listen_at("", elsewhere, &fds[0], err);
        *n = rc == RC_OK;
    }
    return rc;
}

static void tell(const int *fds, size_t n, size_t ntokens, enum sandbox_tier tier, const char *mock)
{
    struct err err;
    char room[200];
    if (mock)
        fprintf(stderr, "treadle: mock: no model is asked; answers %s%s\n", *mock ? "come from " : "are made up", mock);
    for (size_t i = 0; i < n; i++)
        fprintf(stderr, "treadle: listening on %s%s\n", listen_name(fds[i], room, sizeof room).p,
                ntokens ? ", for who has a token" : "");
    if (tier == SANDBOX_NONE)
        fprintf(stderr, "treadle: sandbox none: commands have all that this user has\n");
    else if (sandbox_probe(tier, &err) == RC_OK)
        fprintf(stderr, "treadle: sandbox %s confines commands\n", tier_name(tier));
    else
        fprintf(stderr, "treadle: warning: steps with commands will fail: %s\n", err.msg);
}

static char **own_argv(void)
{
    static char text[64 << 10];
    static char *argv[ARGS_MAX + 2];
    int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    size_t count = 0;
    for (char *at = text; n > 0 && at < text + n && count < ARGS_MAX + 1; at += strlen(at) + 1)
        argv[count++] = at;
    return argv;
}

static int execute_again(const char *program, const char *handed)
{
    setenv(handed_env, handed, 1);
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_PID");
    execv(program, own_argv());
    return fail(EXIT_ENVIRONMENT, "cannot execute %s: %s", program, strerror(errno));
}

/* What no run may use up, whatever its workflow says: one of them must not cost all others the engine, or the disk. */
static enum rc limits_of(const struct args *args, struct run_limits *ret, struct err *err)
{
    enum rc rc = RC_OK;
    const char *v;
    *ret = (struct run_limits){.memory = (int64_t)1 << 30, .journal = (int64_t)4 << 30, .output = (int64_t)4 << 30};
    for (int i = 0; rc == RC_OK && (v = args_nth(args, "limit", i)); i++)
        rc = limits_parse(ret, str_c(v), err);
    return rc;
}

/* The absolute name of the journal, whose directory must be there. */
static enum rc journal_of(const struct args *args, char *ret, size_t size, struct err *err)
{
    const char *given = args_get(args, "db"), *slash = given ? strrchr(given, '/') : NULL;
    if (!given)
        return home_service(ret, size, err);
    char dir[4096];
    snprintf(dir, sizeof dir, "%.*s", slash ? (int)(slash - given) + 1 : 1, slash ? given : ".");
    char *real = realpath(dir, NULL);
    if (!real)
        return err_set(err, RC_IO, "%s: %s", dir, strerror(errno));
    snprintf(ret, size, "%s/%s", strcmp(real, "/") == 0 ? "" : real, slash ? slash + 1 : given);
    free(real);
    return RC_OK;
}

/* The journal is made known to `ps` and its like, and a socket beside it takes what they ask. A service that was killed
 * a moment ago may have both yet. */
static enum rc open_control(const struct args *args, int *ret, struct err *err)
{
    char home[2100], journal[4200];
    enum rc rc = home_make(home, sizeof home, err);
    if (rc == RC_OK)
        rc = journal_of(args, journal, sizeof journal, err);
    if (rc == RC_OK)
        rc = home_service_add(journal, err);
    for (int64_t until = clock_mono_ms() + PREDECESSOR_MS; rc == RC_OK;) {
        rc = service_listen(journal, ret, err);
        if (rc != RC_BUSY || clock_mono_ms() >= until)
            break;
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
        rc = RC_OK;
    }
    return rc;
}

static int first_life(const struct args *args)
{
    int fds[SOCKETS_MAX] = {0}, tokens, control;
    size_t n = 0, ntokens;
    enum sandbox_tier tier = SANDBOX_DEFAULT;
    const char *wanted = args_get(args, "sandbox");
    struct run_limits limits;
    char offered[OFFERED_SIZE];
    struct err err;
    if (limits_of(args, &limits, &err) != RC_OK || offered_read(args, offered, &err) != RC_OK ||
        (wanted && tier_parse(wanted, &tier, &err) != RC_OK) || tier_settle(&tier, &err) != RC_OK ||
        tokens_read(args_get(args, "token-file"), &tokens, &ntokens, &err) != RC_OK ||
        open_sockets(args, ntokens > 0, fds, &n, &err) != RC_OK || open_control(args, &control, &err) != RC_OK)
        return fail(exit_of(err.rc) == EXIT_USAGE && err.rc != RC_BUSY ? EXIT_USAGE : EXIT_ENVIRONMENT, "%s", err.msg);
    if (!args_get(args, "mock"))
        tell_missing_keys();
    tell_offered(str_c(offered));
    struct sealed sealed;
    const char *without;
    if (!sealed_make(&sealed, &without))
        return fail(EXIT_ENVIRONMENT, "no memory file for the keys: %s", strerror(errno));
    char handed[256];
    int at = snprintf(handed, sizeof handed, "secrets=%d variables=%d prints=%d control=%d", sealed.egress,
                      sealed.commands, sealed.prints, control);
    keep_open(sealed.egress);
    keep_open(sealed.commands);
    keep_open(sealed.prints);
    keep_open(control);
    if (without)
        fprintf(stderr,
                "treadle: warning: %s has not %d to %d characters: where a command or a file shows it, it will not be "
                "taken out\n",
                without, KEYPRINT_LEAST, KEYPRINT_MOST);
    if (tokens >= 0) {
        keep_open(tokens);
        at += snprintf(handed + at, sizeof handed - (size_t)at, " tokens=%d", tokens);
    }
    for (size_t i = 0; i < n; i++) {
        keep_open(fds[i]);
        at += snprintf(handed + at, sizeof handed - (size_t)at, " listen=%d", fds[i]);
    }
    tell(fds, n, ntokens, tier, args_get(args, "mock"));
    return execute_again("/proc/self/exe", handed);
}

/* ---- the second life ---- */

struct given {
    int secrets, variables, prints, tokens, control, listen[SOCKETS_MAX]; /* tokens: -1 when nobody needs one */
    size_t n;
    char text[256];
};

static bool read_given(struct given *g)
{
    const char *v = getenv(handed_env);
    if (!v || strlen(v) >= sizeof g->text)
        return false;
    snprintf(g->text, sizeof g->text, "%s", v);
    unsetenv(handed_env);
    g->secrets = g->variables = g->prints = g->tokens = g->control = -1;
    for (struct str rest = str_c(g->text); rest.n;) {
        size_t end = str_find(rest, STR(" "));
        struct str word = end == SIZE_MAX ? rest : str_n(rest.p, end);
        size_t eq = str_find(word, STR("="));
        int64_t fd;
        if (eq == SIZE_MAX || !str_to_i64(str_from(word, eq + 1), &fd) || fcntl((int)fd, F_SETFD, FD_CLOEXEC) < 0)
            return false;
        if (str_starts(word, STR("secrets=")))
            g->secrets = (int)fd;
        else if (str_starts(word, STR("variables=")))
            g->variables = (int)fd;
        else if (str_starts(word, STR("prints=")))
            g->prints = (int)fd;
        else if (str_starts(word, STR("tokens=")))
            g->tokens = (int)fd;
        else if (str_starts(word, STR("control=")))
            g->control = (int)fd;
        else if (g->n < SOCKETS_MAX)
            g->listen[g->n++] = (int)fd;
        rest = end == SIZE_MAX ? str_n("", 0) : str_from(rest, end + 1);
    }
    return g->secrets >= 0 && g->variables >= 0 && g->prints >= 0 && g->n;
}

static int64_t number_option(const struct args *args, const char *name, int64_t fallback)
{
    int64_t n = fallback;
    const char *v = args_get(args, name);
    return v && str_to_i64(str_c(v), &n) && n >= 0 ? n : fallback;
}

struct role_args {
    const char *v[ROLE_ARGS];
    size_t n;
};

static void add_option(struct role_args *a, const char *name, const char *value)
{
    CHECK(a->n + 2 < ROLE_ARGS);
    if (!value)
        return;
    a->v[a->n++] = name;
    a->v[a->n++] = value;
}

static enum rc limits_as_text(const struct args *args, char *room, struct err *err)
{
    struct run_limits limits;
    struct arena a = {0};
    enum rc rc = limits_of(args, &limits, err);
    if (rc == RC_OK)
        snprintf(room, LIMITS_TEXT_SIZE, "%.*s", STR_ARG(limits_text(&limits, &a)));
    arena_done(&a);
    return rc;
}

static void raise_descriptors(void)
{
    struct rlimit l;
    if (getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur < l.rlim_max) {
        l.rlim_cur = l.rlim_max;
        setrlimit(RLIMIT_NOFILE, &l);
    }
}

static int second_life(const struct args *args, struct given *g)
{
    char home[2100], db[4200], self[4096];
    struct err err;
    if (home_make(home, sizeof home, &err) != RC_OK || journal_of(args, db, sizeof db, &err) != RC_OK)
        return fail(EXIT_ENVIRONMENT, "%s", err.msg);
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    self[n > 0 ? n : 0] = 0;
    int page = memfd_create("treadle-panic-page", MFD_CLOEXEC);
    if (page < 0 || ftruncate(page, sizeof(struct panic_page)) != 0)
        return fail(EXIT_ENVIRONMENT, "no memory file: %s", strerror(errno));
    prctl(PR_SET_NAME, "treadle"); /* it was executed by another name, that of the link to itself */
    struct keyprints prints;       /* for what the roles say on their standard error */
    if (pread(g->prints, &prints, sizeof prints, 0) != (ssize_t)sizeof prints)
        return fail(EXIT_ENVIRONMENT, "the fingerprints of keys cannot be read");
    keyprints_use(&prints);
    raise_descriptors();
    struct role_args engine = {0}, egress = {0}, executor = {0}, gateway = {0};
    const char *mock = args_get(args, "mock");
    add_option(&engine, "--db", db);
    add_option(&engine, "--home", home);
    add_option(&engine, "--mock", mock);
    add_option(&engine, "--max-running", args_get(args, "max-running"));
    add_option(&engine, "--max-per-workflow", args_get(args, "max-per-workflow"));
    char limits[LIMITS_TEXT_SIZE];
    if (limits_as_text(args, limits, &err) != RC_OK)
        return fail(EXIT_USAGE, "%s", err.msg);
    add_option(&engine, "--limits", limits);
    char offered[OFFERED_SIZE];
    if (offered_read(args, offered, &err) != RC_OK)
        return fail(EXIT_USAGE, "%s", err.msg);
    add_option(&engine, "--secrets", offered);
    add_option(&executor, "--secrets", offered);
    add_option(&egress, "--mock", mock);
    add_option(&executor, "--sandbox", args_get(args, "sandbox"));
    add_option(&gateway, "--db", db);
    const struct role_spec egress_spec = {.args = egress.v, .heartbeat_ms = 10000, .shutdown_ms = 5000};
    const struct role_spec executor_spec = {.args = executor.v, .heartbeat_ms = 10000, .shutdown_ms = 10000};
    const struct role_spec engine_spec = {
        .args = engine.v, .ready_ms = 60000, .heartbeat_ms = 10000, .shutdown_ms = 30000};
    const struct role_spec gateway_spec = {.args = gateway.v, .heartbeat_ms = 10000, .shutdown_ms = 5000};
    const struct node_spec roles[] = {{.name = "egress", .role = &egress_spec},
                                      {.name = "executor", .role = &executor_spec},
                                      {.name = "engine", .role = &engine_spec},
                                      {.name = "gateway", .role = &gateway_spec}};
    const struct node_spec root = {.name = "treadle",
                                   .strategy = SUP_ONE_FOR_ONE,
                                   .intensity = (unsigned)number_option(args, "restart-intensity", 10),
                                   .period_ms = number_option(args, "restart-period", 60) * 1000,
                                   .children = roles,
                                   .nchildren = 4};
    static const struct link_spec links[] = {{"engine", "egress"}, {"engine", "executor"}, {"engine", "gateway"}};
    struct handed_spec handed[SOCKETS_MAX + 8] = {
        {"egress", "keys", g->secrets, HAND_SECRETS},  {"executor", "variables", g->variables, HAND_SECRETS},
        {"engine", "prints", g->prints, HAND_PRINTS},  {"executor", "prints", g->prints, HAND_PRINTS},
        {"gateway", "prints", g->prints, HAND_PRINTS}, {"engine", "page", page, HAND_PAGE}};
    size_t nhanded = 6;
    if (g->tokens >= 0)
        handed[nhanded++] = (struct handed_spec){"gateway", "tokens", g->tokens, HAND_SECRETS};
    if (g->control >= 0)
        handed[nhanded++] = (struct handed_spec){"gateway", "control", g->control, HAND_LISTEN};
    for (size_t i = 0; i < g->n; i++)
        handed[nhanded++] = (struct handed_spec){"gateway", "http", g->listen[i], HAND_LISTEN};
    enum supervisor_end end;
    cgroup_settle();
    if (supervisor_run(&(struct supervisor_options){.self = "/proc/self/exe",
                                                    .root = &root,
                                                    .links = links,
                                                    .nlinks = 3,
                                                    .handed = handed,
                                                    .nhanded = nhanded,
                                                    .told = "engine"},
                       &end, &err) != RC_OK)
        return fail(EXIT_ENVIRONMENT, "%s", err.msg);
    switch (end) {
    case SUPERVISOR_STOPPED:
        return EXIT_OK;
    case SUPERVISOR_UPGRADE:
        keep_open(g->secrets);
        keep_open(g->variables);
        keep_open(g->prints);
        if (g->tokens >= 0)
            keep_open(g->tokens);
        if (g->control >= 0)
            keep_open(g->control);
        for (size_t i = 0; i < g->n; i++)
            keep_open(g->listen[i]);
        return execute_again(self, g->text);
    case SUPERVISOR_GAVE_UP:
        return fail(EXIT_ENVIRONMENT, "a process of the service died too often; its last words are above. Runs are "
                                      "where they were: start the service again to go on");
    default:
        return fail(EXIT_ENVIRONMENT, "the service cannot start; the reason is above");
    }
}

static int run(const struct command *c, const struct args *args)
{
    (void)c;
    struct given g = {0};
    bool second = read_given(&g);
    if (!second)
        old_environment(OLD_ENV_SERVICE, false);
    if (!getenv("TREADLE_LOG"))
        setenv("TREADLE_LOG", "info", 1);
    return second ? second_life(args, &g) : first_life(args);
}

static const struct option options[] = {
    {"listen", 'l', "ADDRESS", "[ADDRESS:]PORT (default 127.0.0.1:7433; port 0: a free one) or unix:PATH. Repeatable.",
     false},
    {"token-file", 0, "FILE", "Ask clients for one of the tokens in FILE (one a line), or for $TREADLE_TOKEN.", false},
    {"behind-proxy", 0, NULL, "Listen on other addresses than the loopback: a proxy that speaks TLS is in front.",
     false},
    {"sandbox", 0, "TIER", "How far commands are confined: strict (default), standard or none.", false},
    {"secret", 0, "NAME", "A variable that workflows which are sent may name as a secret. Repeatable.", false},
    {"db", 0, "PATH", "The journal of all runs (default $TREADLE_HOME/service.db).", false},
    {"mock", 0, "FIXTURES", "Answer instead of the models, as treadle run --mock does.", true},
    {"max-running", 0, "N", "Runs carried on at once (default 200); more wait in a queue.", false},
    {"max-per-workflow", 0, "N", "The same for one workflow, or one concurrency_key (default: no bound).", false},
    {"limit", 0, "NAME=VALUE",
     "Most that a run may use: memory (1GB), journal, output (4GB), frames, wall. "
     "Repeatable.",
     false},
    {"restart-intensity", 0, "N", "How many deaths of processes are borne within the period (default 10).", false},
    {"restart-period", 0, "SECONDS", "The period (default 60).", false},
    OPTION_END};

const struct command command_serve = {
    .name = "serve",
    .usage = "[options]",
    .summary = "carry on runs as a service, over HTTP",
    .details =
        "Starts supervised processes: an engine (runs and their journal), egress (model calls, the only holder of "
        "keys),\n"
        "an executor (commands and files) and a gateway (HTTP). Each may crash; it is started again, and no finished\n"
        "answer is paid for twice. SIGTERM stops in good order, SIGHUP starts a replaced program anew; either way "
        "every\n"
        "run goes on at the next start.\n\n"
        "  POST /run_pipeline   {\"workflow_yaml\": \"…\", \"inputs\": {…}, \"idempotency_key\": \"…\", \"wait\": "
        "true}\n"
        "  GET  /v1/runs        runs, the newest first; /v1/runs/ID: one, with its results\n"
        "  GET  /healthz, /readyz\n\n"
        "With a token (at least 20 characters, e.g. of `openssl rand -hex 32`) requests need the header\n"
        "`Authorization: Bearer TOKEN`; without one only this machine may ask. Beyond the loopback both a token and\n"
        "--behind-proxy are needed. Commands are confined as --sandbox or $TREADLE_SANDBOX says (docs/sandbox.md).\n\n"
        "Workflows named by `workflow` are $TREADLE_HOME/workflows/NAME.yaml. Under systemd: readiness, watchdog and\n"
        "socket activation are spoken (see treadle.service).\n\n"
        "Exit code: 0 stopped on request, 2 wrong usage, 4 the environment or the journal is unusable.\n\n"
        "Examples:\n"
        "  treadle serve --mock\n"
        "  treadle serve --listen unix:/run/treadle/http.sock --max-running 50\n"
        "  curl -s localhost:7433/run_pipeline -H 'Content-Type: application/json' -d '{\"workflow\": \"repair\"}'",
    .options = options,
    .min_words = 0,
    .max_words = 0,
    .run = run,
};
