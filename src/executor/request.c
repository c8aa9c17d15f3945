/* What a command gets to see is decided here: its words, its directory (opened beneath the workspace), and an
 * environment that is built up from nothing. Treadle's own environment holds keys; of it only the names in `passed` go
 * on. */
#include "executor/request.h"

#include "base/buf.h"
#include "base/host_pattern.h"
#include "executor/capture.h"
#include "executor/tier.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { BASH_TIMEOUT_MS = 120000, BASH_TIMEOUT_MAX_MS = 600000, MAX_ENV = 4096, MAX_ARGS = 16384, MAX_HOSTS = 256 };
static const int64_t timeout_max_ms = (int64_t)366 * 86400 * 1000;

static const char *const passed[] = {"PATH", "HOME", "LANG", "TERM", "TZ", "TMPDIR", "USER"};
static const char default_path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/* ---- environment ---- */

static bool is_passed(struct str line)
{
    size_t eq = str_find(line, STR("="));
    struct str name = eq == SIZE_MAX ? str_n("", 0) : str_n(line.p, eq);
    for (size_t i = 0; i < sizeof passed / sizeof *passed; i++)
        if (str_is(name, passed[i]))
            return true;
    return str_starts(name, STR("LC_"));
}

struct env {
    struct str line[MAX_ENV];
    size_t n;
};

static void env_set(struct env *e, struct str name, struct str line)
{
    for (size_t i = 0; i < e->n; i++)
        if (str_starts(e->line[i], name) && e->line[i].n > name.n && e->line[i].p[name.n] == '=') {
            e->line[i] = line;
            return;
        }
    if (e->n < MAX_ENV)
        e->line[e->n++] = line;
}

static bool has_nul(struct str s)
{
    return s.n && memchr(s.p, 0, s.n);
}

static enum rc env_build(struct env *e, const struct val *extra, struct arena *a, struct err *err)
{
    env_set(e, STR("PATH"), str_c(default_path));
    for (char **p = environ; p && *p; p++) {
        struct str line = str_c(*p);
        if (is_passed(line))
            env_set(e, str_n(line.p, str_find(line, STR("="))), line);
    }
    if (extra && extra->type != VAL_NULL && extra->type != VAL_OBJECT)
        return err_set(err, RC_INVALID, "env must be an object, not %s", val_type_name(extra));
    for (size_t i = 0; val_is(extra, VAL_OBJECT) && i < extra->obj.n; i++) {
        const struct member *m = &extra->obj.m[i];
        if (!m->key.n || has_nul(m->key) || str_find(m->key, STR("=")) != SIZE_MAX)
            return err_set(err, RC_INVALID, "\"%.*s\" cannot be the name of an environment variable", STR_ARG(m->key));
        if (m->val.type != VAL_STR || has_nul(m->val.s))
            return err_set(err, RC_INVALID, "environment variable %.*s must be text without NUL characters",
                           STR_ARG(m->key));
        if (e->n == MAX_ENV)
            return err_set(err, RC_LIMIT, "there are too many environment variables");
        env_set(e, m->key, arena_printf(a, "%.*s=%.*s", STR_ARG(m->key), STR_ARG(m->val.s)));
    }
    return RC_OK;
}

/* ---- the parts ---- */

static enum rc words(const struct val *req, struct arena *a, struct command_spec *spec, struct err *err)
{
    const struct val *argv = VAL_GET(req, "argv"), *shell = VAL_GET(req, "shell");
    if (val_is(shell, VAL_STR) && (!argv || argv->type == VAL_NULL)) {
        struct str *w = arena_calloc(a, 3, sizeof *w);
        w[0] = STR("/bin/sh"), w[1] = STR("-c"), w[2] = shell->s;
        spec->argv = w, spec->argc = 3;
    } else if (val_is(argv, VAL_ARRAY) && (!shell || shell->type == VAL_NULL)) {
        if (!argv->arr.n || argv->arr.n > MAX_ARGS)
            return err_set(err, RC_INVALID, "argv must have from 1 to %d words", MAX_ARGS);
        struct str *w = arena_calloc(a, argv->arr.n, sizeof *w);
        for (size_t i = 0; i < argv->arr.n; i++) {
            if (argv->arr.v[i].type != VAL_STR)
                return err_set(err, RC_INVALID, "argv[%zu] must be text, not %s", i, val_type_name(&argv->arr.v[i]));
            w[i] = argv->arr.v[i].s;
        }
        spec->argv = w, spec->argc = argv->arr.n;
    } else {
        return err_set(err, RC_INVALID, "a command needs either argv (a list of texts) or shell (a text)");
    }
    for (size_t i = 0; i < spec->argc; i++)
        if (has_nul(spec->argv[i]))
            return err_set(err, RC_INVALID, "a command must not hold NUL characters");
    return spec->argv[0].n ? RC_OK : err_set(err, RC_INVALID, "the name of the program is empty");
}

/* Names in TREADLE_PRIVATE_HOSTS (the operator's, not the workflow's) may have private addresses: marked for the
 * proxy. */
static bool may_be_private(struct str host)
{
    const char *list = getenv("TREADLE_PRIVATE_HOSTS");
    while (list && *list) {
        size_t n = strcspn(list, ", ");
        if (n == host.n && str_eq(str_n(list, n), host))
            return true;
        list += n + (list[n] != 0);
    }
    return false;
}

static enum rc hosts(const struct val *list, struct arena *a, struct command_spec *spec, struct err *err)
{
    if (!list->arr.n || list->arr.n > MAX_HOSTS)
        return err_set(err, RC_INVALID, "network must name from 1 to %d hosts", MAX_HOSTS);
    struct str *v = arena_calloc(a, list->arr.n, sizeof *v);
    for (size_t i = 0; i < list->arr.n; i++) {
        const struct val *h = &list->arr.v[i];
        if (h->type != VAL_STR || !host_pattern_valid(h->s))
            return err_set(err, RC_INVALID,
                           "network[%zu] is no host; expected \"example.org\", \"example.org:8080\" or "
                           "\"*.example.org\"",
                           i);
        size_t colon = str_find(h->s, STR(":"));
        bool private = may_be_private(colon == SIZE_MAX ? h->s : str_n(h->s.p, colon));
        v[i] = arena_printf(a, "%s%.*s", private ? "!" : "", STR_ARG(h->s));
    }
    spec->hosts = v, spec->nhosts = list->arr.n;
    return RC_OK;
}

static void proxy_env(struct env *e, struct arena *a)
{
    static const char *const names[] = {"http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        env_set(e, str_c(names[i]), arena_printf(a, "%s=http://127.0.0.1:%d", names[i], LAUNCH_PROXY_PORT));
    env_set(e, STR("no_proxy"), STR("no_proxy=localhost,127.0.0.1"));
    env_set(e, STR("NO_PROXY"), STR("NO_PROXY=localhost,127.0.0.1"));
}

bool request_offline(const struct val *req, enum sandbox_tier tier)
{
    const struct val *v = VAL_GET(req, "network");
    return !v || v->type == VAL_NULL ? tier != SANDBOX_NONE : v->type == VAL_STR && str_is(v->s, "none");
}

/* Nothing said means no network where commands are confined, and no restriction where they are not. */
static enum rc network(const struct val *req, struct env *e, struct arena *a, struct command_spec *spec,
                       struct err *err)
{
    const struct val *v = VAL_GET(req, "network");
    bool confined = spec->tier != SANDBOX_NONE;
    if (!v || v->type == VAL_NULL) {
        spec->flags |= confined ? LAUNCH_NO_NETWORK : 0;
        return RC_OK;
    }
    if (v->type == VAL_STR && str_is(v->s, "full"))
        return RC_OK;
    if (v->type == VAL_STR && str_is(v->s, "none")) {
        spec->flags |= LAUNCH_NO_NETWORK;
        return RC_OK;
    }
    if (v->type != VAL_ARRAY)
        return err_set(err, RC_INVALID, "network must be \"none\", \"full\" or a list of hosts");
    enum rc rc = hosts(v, a, spec, err);
    if (rc || !confined)
        return rc;
    if (spec->tier == SANDBOX_STANDARD)
        return err_set(err, RC_INVALID,
                       "a list of hosts in network needs --sandbox strict: standard can only take the network away or "
                       "leave it");
    spec->flags |= LAUNCH_NO_NETWORK | LAUNCH_PROXY;
    proxy_env(e, a);
    return RC_OK;
}

enum rc request_cwd(const struct val *req, const struct beneath *workspace, struct arena *a, struct str *ret,
                    struct err *err)
{
    const struct val *v = VAL_GET(req, "cwd");
    if (v && v->type != VAL_NULL && v->type != VAL_STR)
        return err_set(err, RC_INVALID, "cwd must be text, not %s", val_type_name(v));
    struct str path = val_is(v, VAL_STR) ? v->s : STR(".");
    return beneath_relative(workspace, a, STR("."), path, ret, err);
}

enum rc request_directory(const struct val *req, const struct beneath *workspace, struct arena *a,
                          struct command_spec *spec, struct err *err)
{
    struct str cwd = {0}, *places = arena_calloc(a, spec->nplaces, sizeof *places);
    enum rc rc = request_cwd(req, workspace, a, &cwd, err);
    if (rc == RC_OK && (rc = beneath_open(workspace, cwd, O_RDONLY | O_DIRECTORY, &spec->cwd_fd, err)) != RC_OK)
        return err_wrap(err, "working directory");
    if (rc)
        return rc;
    memcpy(places, spec->places, spec->nplaces * sizeof *places);
    spec->places = places;
    return beneath_path(workspace, a, spec->cwd_fd, &places[LAUNCH_PLACE_CWD], err);
}

size_t request_output_limit(const struct val *req, size_t fallback)
{
    int64_t n = val_get_int(req, STR("output_limit"), 0);
    return n <= 0 ? fallback : n < OUTPUT_LIMIT_MAX ? (size_t)n : OUTPUT_LIMIT_MAX;
}

void request_limits(const struct val *req, const struct command_limits *machine, struct command_spec *spec)
{
    int64_t memory = val_get_int(req, STR("memory_limit"), 0), processes = val_get_int(req, STR("process_limit"), 0);
    spec->memory = memory > 0 && (uint64_t)memory < machine->memory ? (uint64_t)memory : machine->memory;
    spec->processes = processes > 0 && processes < machine->processes ? (uint32_t)processes : machine->processes;
    spec->output_left = val_get_int(req, STR("output_left"), -1);
}

static int64_t request_timeout(const struct val *req)
{
    const struct val *v = VAL_GET(req, "timeout_ms");
    double ms = val_is_number(v) ? val_to_double(v, 0) : 0;
    if (!(ms > 0))
        return 0;
    return ms < 1 ? 1 : ms < (double)timeout_max_ms ? (int64_t)ms : timeout_max_ms;
}

/* Only these leave our environment for a command, by name and on request. */
static enum rc secrets(const struct val *req, struct env *e, struct redactor *r, struct arena *a, struct err *err)
{
    const struct val *v = VAL_GET(req, "secrets");
    const struct val *list = val_is(v, VAL_STR) ? v : val_is(v, VAL_ARRAY) ? v->arr.v : NULL;
    size_t n = val_is(v, VAL_STR) ? 1 : val_is(v, VAL_ARRAY) ? v->arr.n : 0;
    for (size_t i = 0; i < n; i++) {
        if (list[i].type != VAL_STR || !list[i].s.n || has_nul(list[i].s))
            return err_set(err, RC_INVALID, "secrets must be names of environment variables");
        struct str name = list[i].s, value = str_c(getenv(arena_cstr(a, name)));
        if (!value.n)
            return err_set(err, RC_INVALID, "the secret %.*s is not set in Treadle's environment", STR_ARG(name));
        if (value.n < SECRET_LEAST)
            return err_set(err, RC_INVALID,
                           "the secret %.*s is shorter than %d characters, and could not be kept out of results",
                           STR_ARG(name), SECRET_LEAST);
        redact_add(r, name, value);
        env_set(e, name, arena_printf(a, "%.*s=%.*s", STR_ARG(name), STR_ARG(value)));
    }
    return RC_OK;
}

/* What both kinds of request share; `spec` has its words already. */
static enum rc surroundings(const struct val *req, const struct beneath *workspace, struct arena *a, struct redactor *r,
                            struct command_spec *spec, struct err *err)
{
    struct env *e = ARENA_NEW(a, struct env);
    enum rc rc = network(req, e, a, spec, err);
    if (rc == RC_OK)
        rc = env_build(e, VAL_GET(req, "env"), a, err);
    if (rc == RC_OK && r)
        rc = secrets(req, e, r, a, err);
    if (spec->within)
        env_set(e, STR("TREADLE_WITHIN"), arena_printf(a, "TREADLE_WITHIN=%s", spec->within));
    spec->env = e->line, spec->envc = e->n;
    return rc ? rc : request_directory(req, workspace, a, spec, err);
}

enum rc request_command(const struct val *req, const struct beneath *workspace, struct arena *a, struct redactor *r,
                        struct command_spec *spec, struct err *err)
{
    const struct val *input = VAL_GET(req, "stdin");
    enum rc rc = words(req, a, spec, err);
    if (rc)
        return rc;
    if (input && input->type != VAL_NULL && input->type != VAL_STR)
        return err_set(err, RC_INVALID, "stdin must be text, not %s", val_type_name(input));
    if (val_is(input, VAL_STR))
        spec->input = input->s;
    spec->timeout_ms = request_timeout(req);
    spec->output_limit = request_output_limit(req, OUTPUT_LIMIT);
    return surroundings(req, workspace, a, r, spec, err);
}

enum rc request_bash(const struct val *req, const struct beneath *workspace, struct arena *a, struct command_spec *spec,
                     struct err *err)
{
    const struct val *input = VAL_GET(req, "input");
    const struct val *command = VAL_GET(input, "command"), *timeout = VAL_GET(input, "timeout");
    if (!val_is(command, VAL_STR) || !str_trim(command->s).n)
        return err_set(err, RC_INVALID_REQUEST, "The required parameter command (a string) is missing.");
    if (has_nul(command->s))
        return err_set(err, RC_INVALID_REQUEST, "The command must not hold NUL characters.");
    if (timeout && timeout->type != VAL_NULL && !(val_is_number(timeout) && val_to_double(timeout, 0) > 0))
        return err_set(err, RC_INVALID_REQUEST, "The parameter timeout must be a positive number of milliseconds.");
    struct str *w = arena_calloc(a, 3, sizeof *w);
    w[0] = STR("/bin/sh"), w[1] = STR("-c"), w[2] = command->s;
    spec->argv = w, spec->argc = 3;
    double ms = val_to_double(timeout, BASH_TIMEOUT_MS);
    spec->timeout_ms = ms < 1 ? 1 : ms < BASH_TIMEOUT_MAX_MS ? (int64_t)ms : BASH_TIMEOUT_MAX_MS;
    int64_t allowed = request_timeout(req);
    if (allowed && allowed < spec->timeout_ms)
        spec->timeout_ms = allowed;
    spec->output_limit = request_output_limit(req, TOOL_OUTPUT_LIMIT);
    return surroundings(req, workspace, a, NULL, spec, err);
}

/* ---- results ---- */

static struct str signal_name(int signo, struct arena *a)
{
    const char *name = sigabbrev_np(signo);
    return name ? arena_printf(a, "SIG%s", name) : arena_printf(a, "SIG%d", signo);
}

struct val result_command(const struct command_outcome *o, struct str hint, struct arena *a)
{
    struct val_map m = val_map_new(a);
    VAL_MAP_SET(&m, "exit_code", val_int(o->exit_code));
    VAL_MAP_SET(&m, "signal", o->signal ? val_str(signal_name(o->signal, a)) : val_null);
    VAL_MAP_SET(&m, "stdout", val_str(o->out));
    VAL_MAP_SET(&m, "stderr", val_str(o->errors));
    VAL_MAP_SET(&m, "duration_ms", val_int(o->duration_ms));
    VAL_MAP_SET(&m, "timed_out", val_bool(o->timed_out));
    VAL_MAP_SET(&m, "truncated", val_bool(o->truncated));
    if (o->truncated)
        VAL_MAP_SET(&m, "output_bytes", val_int((int64_t)o->printed));
    VAL_MAP_SET(&m, "sandbox", val_str(str_c(tier_name(o->tier))));
    if (o->cgroup)
        VAL_MAP_SET(&m, "bounded_by", VAL_LIT("cgroup"));
    if (o->limit)
        VAL_MAP_SET(&m, "limit", o->limit == LAUNCH_LIMIT_MEMORY ? VAL_LIT("memory") : VAL_LIT("processes"));
    if (hint.n)
        VAL_MAP_SET(&m, "hint", val_str(text_clean(a, hint)));
    return val_map_done(&m);
}

static struct str without_last_newlines(struct str s)
{
    while (s.n && (s.p[s.n - 1] == '\n' || s.p[s.n - 1] == '\r'))
        s.n--;
    return s;
}

static void paragraph(struct buf *b, struct str s)
{
    s = without_last_newlines(s);
    if (b->n && s.n)
        buf_addc(b, '\n');
    buf_add(b, s);
}

struct val result_bash(const struct command_outcome *o, struct str hint, int64_t timeout_ms, struct arena *a)
{
    struct buf b;
    bool failed = o->exit_code != 0 || o->timed_out;
    buf_init(&b, o->out.n + o->errors.n + hint.n + 256);
    if (o->timed_out)
        buf_printf(&b, "The command was stopped after %g seconds (timeout).", (double)timeout_ms / 1000);
    else if (o->limit)
        buf_printf(&b, "Killed: it and all it started %s",
                   o->limit == LAUNCH_LIMIT_MEMORY ? "used more memory than they may"
                                                   : "were more processes than may be");
    else if (o->signal)
        buf_printf(&b, "Killed by signal %.*s", STR_ARG(signal_name(o->signal, a)));
    else if (o->exit_code)
        buf_printf(&b, "Exit code %d", o->exit_code);
    paragraph(&b, o->out);
    paragraph(&b, o->errors);
    if (hint.n)
        paragraph(&b, text_clean(a, arena_printf(a, "(Sandbox: %.*s.)", STR_ARG(hint))));
    if (!b.n)
        buf_addz(&b, "(no output)");
    struct val_map m = val_map_new(a);
    VAL_MAP_SET(&m, "text", val_str(arena_str(a, buf_str(&b))));
    VAL_MAP_SET(&m, "is_error", val_bool(failed));
    if (o->truncated)
        VAL_MAP_SET(&m, "output_bytes", val_int((int64_t)o->printed));
    VAL_MAP_SET(&m, "sandbox", val_str(str_c(tier_name(o->tier))));
    if (o->cgroup)
        VAL_MAP_SET(&m, "bounded_by", VAL_LIT("cgroup"));
    buf_done(&b);
    return val_map_done(&m);
}

struct val result_flooded(const struct val *error, uint64_t printed, struct arena *a)
{
    struct val_map m = val_map_new(a);
    val_map_merge(&m, error);
    VAL_MAP_SET(&m, "output_bytes", val_int((int64_t)printed));
    return val_map_done(&m);
}

/* The code that goes with an error when nothing better is known. */
static const char *error_code(enum rc rc)
{
    switch (rc) {
    case RC_INVALID:
        return "bad_request";
    case RC_NOT_FOUND:
        return "not_found";
    case RC_LIMIT:
        return "too_large";
    case RC_CANCELLED:
        return "cancelled";
    case RC_INTERRUPTED:
        return "launcher_lost";
    default:
        return rc_name(rc);
    }
}

struct val result_error(const struct err *err, const char *code, struct arena *a)
{
    struct val_map m = val_map_new(a);
    VAL_MAP_SET(&m, "class", val_str(str_c(rc_name(err->rc))));
    VAL_MAP_SET(&m, "code", val_str(str_c(code ? code : error_code(err->rc))));
    VAL_MAP_SET(&m, "message", val_str(text_clean(a, arena_str(a, str_c(err->msg)))));
    return val_map_done(&m);
}
