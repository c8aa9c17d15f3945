/* The answer comes from a process that parsed hostile files, so it is read as hostile text: as JSON, within limits. A
 * process that died instead of answering is an error of the request. */
#include "executor/exec_code.h"

#include "data/json.h"
#include "executor/request.h"

#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

enum { CODE_MS = 300000, CODE_MAX_MS = 3600000, CODE_GRACE_MS = 10000 };

/* The libraries beside the program: PREFIX/bin/treadle has PREFIX/lib/treadle. Found here, because inside a sandbox the
 * path of the program means nothing. */
static struct str library_directory(struct arena *a)
{
    char self[PATH_MAX], real[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    self[n > 0 ? n : 0] = 0;
    char *slash = strrchr(self, '/');
    if (!slash)
        return str_n("", 0);
    *slash = 0;
    struct str path = arena_printf(a, "%s/../lib/treadle", self);
    return realpath(path.p, real) ? arena_str(a, str_c(real)) : path;
}

enum rc request_code(const struct val *req, const struct beneath *workspace, const char *self, struct arena *a,
                     struct command_spec *spec, struct err *err)
{
    int64_t ms = val_get_int(req, STR("timeout_ms"), CODE_MS);
    struct str *words = arena_calloc(a, 2, sizeof *words), *env = arena_calloc(a, 2, sizeof *env);
    struct str library = library_directory(a), *places = arena_calloc(a, spec->nplaces + 2, sizeof *places);
    words[0] = str_c(self), words[1] = STR("__code");
    env[0] = STR("PATH=/usr/local/bin:/usr/bin:/bin");
    spec->argv = words, spec->argc = 2;
    env[1] = arena_printf(a, CODE_LIBRARY_ENV "=%.*s", STR_ARG(library));
    spec->env = env, spec->envc = 2;
    memcpy(places, spec->places, spec->nplaces * sizeof *places);
    places[spec->nplaces] = places[spec->nplaces + 1] = library;
    spec->places = places, spec->nplaces += 2;
    spec->input = json_text(a, req);
    ms = ms > 0 && ms < CODE_MAX_MS ? ms : CODE_MAX_MS;
    spec->timeout_ms = ms + CODE_GRACE_MS; /* it keeps the time itself, and says what took long */
    spec->output_limit = OUTPUT_LIMIT_MAX;
    spec->flags |= LAUNCH_INTERNAL | (spec->tier == SANDBOX_NONE ? 0 : LAUNCH_NO_NETWORK);
    return request_directory(req, workspace, a, spec, err);
}

static enum rc died(const struct command_outcome *o, struct err *err)
{
    struct str said = str_trim(o->errors);
    if (said.n > 300)
        said.n = str_utf8_valid(str_n(said.p, 300));
    if (o->timed_out)
        return err_set(err, RC_TIMEOUT, "the code query took too long %.*s", STR_ARG(said));
    return err_set(err, RC_TOOL, "the code query's process died (%s %d)%s%.*s", o->signal ? "signal" : "exit code",
                   o->signal ? o->signal : o->exit_code, said.n ? ": " : "", STR_ARG(said));
}

enum rc result_code(const struct command_outcome *o, struct arena *a, struct val *ret, struct err *err)
{
    struct json_limits limits = {.depth = 64, .max_size = OUTPUT_LIMIT_MAX};
    struct val v;
    if (o->timed_out || o->signal || o->exit_code)
        return died(o, err);
    if (o->truncated || json_parse(a, o->out, &limits, &v, err) != RC_OK)
        return err_set(err, RC_TOOL, "the answer of the code query cannot be read");
    const struct val *ok = VAL_GET(&v, "ok"), *error = VAL_GET(&v, "error");
    if (val_is(ok, VAL_OBJECT)) {
        *ret = *ok;
        return RC_OK;
    }
    enum rc rc = rc_from_name(val_get_str(error, STR("class"), STR("")));
    struct str message = val_get_str(error, STR("message"), STR("the code query failed"));
    return err_set(err, rc == RC_COUNT || rc == RC_OK ? RC_TOOL : rc, "%.*s", STR_ARG(message));
}
