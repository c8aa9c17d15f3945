/* Directories, limits, models and the cache's size are read where they are used, with a workflow's own words over them;
 * those of whom a variable of today has the same meaning become that one. A sandbox is only made stronger this way:
 * whoever wants none has to say so in Treadle's own words. Nothing here makes a run do less than it was asked for: that
 * `TEST_MODE=mock` once saved money is told, but answers are made up only where that is said to Treadle. */
#include "cli/old_env.h"

#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>

extern char **environ;

#define OF_EACH_RUN "each run of the service has directories of its own"

static const struct old_variable all[] = {
    {"ANTHROPIC_API_KEY", OLD_VARIABLE_COUNTS, "the key of `claude` steps", NULL},
    {"CLAUDE_API_KEY", OLD_VARIABLE_BECOMES, "as `ANTHROPIC_API_KEY` where that is not set", NULL},
    {"GEMINI_API_KEY", OLD_VARIABLE_COUNTS, "the key of `gemini` steps", NULL},
    {"CLAUDE_MODEL", OLD_VARIABLE_COUNTS, "the model of `claude` steps where nothing else names one", NULL},
    {"GEMINI_MODEL", OLD_VARIABLE_COUNTS, "the same for `gemini` steps", NULL},
    {"GEMINI_TIMEOUT_MS", OLD_VARIABLE_COUNTS, "the time of each call of `gemini` steps that have no `timeout`", NULL},
    {"PIPELINE_WORKSPACE_DIR", OLD_VARIABLE_COUNTS, "as `--workspace`", OF_EACH_RUN},
    {"PIPELINE_OUTPUT_DIR", OLD_VARIABLE_COUNTS, "as `--output-dir`", OF_EACH_RUN},
    {"PIPELINE_TIMEOUT", OLD_VARIABLE_COUNTS, "as `limits.wall`, in seconds, where the workflow has none", NULL},
    {"PIPELINE_MAX_STEPS", OLD_VARIABLE_COUNTS, "as `limits.frames` where the workflow has none", NULL},
    {"PIPELINE_MAX_DEPTH", OLD_VARIABLE_COUNTS, "as `limits.max_depth` where the workflow has none", NULL},
    {"PIPELINE_MAX_WORKERS", OLD_VARIABLE_COUNTS, "as `limits.max_parallel` where the workflow has none", NULL},
    {"PIPELINE_MAX_MEMORY_MB", OLD_VARIABLE_COUNTS, "as `limits.memory`, in MB, where the workflow has none", NULL},
    {"PIPELINE_MEMORY_LIMIT", OLD_VARIABLE_COUNTS, "the same", NULL},
    {"PIPELINE_MAX_COST", OLD_VARIABLE_COUNTS, "as `budget.usd` where the workflow has none", NULL},
    {"PIPELINE_CACHE_SIZE", OLD_VARIABLE_COUNTS, "as `cache_config.max_size_mb` where the workflow has none", NULL},
    {"PIPELINE_LOG_LEVEL", OLD_VARIABLE_BECOMES, "as `TREADLE_LOG`", NULL},
    {"PIPELINE_DEBUG", OLD_VARIABLE_BECOMES, "`true` is `TREADLE_LOG=debug`", NULL},
    {"PIPELINE_SANDBOX_MODE", OLD_VARIABLE_BECOMES, "`true` and `strict` are `TREADLE_SANDBOX=strict`; no other value",
     NULL},
    {"PIPELINE_CHECKPOINT_DIR", OLD_VARIABLE_TOLD,
     "every run is recorded below $TREADLE_HOME, and treadle resume goes on", NULL},
    {"PIPELINE_TRACE", OLD_VARIABLE_TOLD, "treadle logs has every step of a run", NULL},
    {"PIPELINE_SAFETY_DEBUG", OLD_VARIABLE_TOLD,
     "treadle doctor says what confines commands; treadle logs has the limits that were met", NULL},
    {"FORCE_MOCK_GEMINI", OLD_VARIABLE_TOLD, "write --mock", NULL},
    {"TEST_MODE", OLD_VARIABLE_TOLD, "write --mock for made-up answers", NULL},
    {"DEBUG", OLD_VARIABLE_OF_OTHERS, "TREADLE_LOG=debug says more; treadle logs has every step of a run", NULL},
    {"VERBOSE", OLD_VARIABLE_OF_OTHERS, "the same", NULL},
    {"AWS_*", OLD_VARIABLE_OF_OTHERS, "models are asked at their makers', with the keys above", NULL},
    {"GOOGLE_APPLICATION_CREDENTIALS", OLD_VARIABLE_OF_OTHERS, "the same", NULL},
};

const struct old_variable *old_variable_at(unsigned i)
{
    static const struct old_variable end = {0};
    return i < sizeof all / sizeof *all ? &all[i] : &end;
}

static bool is_on(const char *v)
{
    return strcmp(v, "true") == 0 || strcmp(v, "1") == 0 || strcmp(v, "on") == 0;
}

static const char *value(const char *name)
{
    const char *v = getenv(name);
    return v && *v ? v : NULL;
}

static void tell(bool quiet, const char *name, const char *why)
{
    if (!quiet)
        fprintf(stderr, "treadle: note: %s has no effect; %s\n", name, why);
}

/* ---- what becomes a variable of today ---- */

static void sandbox(bool quiet)
{
    const char *v = value("PIPELINE_SANDBOX_MODE");
    if (!v || value("TREADLE_SANDBOX"))
        return;
    if (is_on(v) || strcmp(v, "strict") == 0)
        setenv("TREADLE_SANDBOX", "strict", 1);
    else
        tell(quiet, "PIPELINE_SANDBOX_MODE",
             "commands stay confined; another --sandbox or TREADLE_SANDBOX can be given");
}

static void logging(bool quiet)
{
    static const char *const levels[] = {"error", "warn", "info", "debug"};
    const char *v = value("PIPELINE_LOG_LEVEL"), *debug = value("PIPELINE_DEBUG");
    const char *level = debug && is_on(debug) ? "debug" : NULL;
    for (size_t i = 0; v && !level && i < sizeof levels / sizeof *levels; i++)
        if (strcmp(v, levels[i]) == 0)
            level = levels[i];
    if (v && !level && strcmp(v, "warning") == 0)
        level = "warn";
    if (v && !level)
        tell(quiet, "PIPELINE_LOG_LEVEL", "expected error, warn, info or debug");
    if (level && !value("TREADLE_LOG"))
        setenv("TREADLE_LOG", level, 1);
}

void old_environment_keys(bool quiet)
{
    const char *v = value("CLAUDE_API_KEY");
    if (!v || value("ANTHROPIC_API_KEY"))
        return;
    setenv("ANTHROPIC_API_KEY", v, 1);
    unsetenv("CLAUDE_API_KEY"); /* a key has one name, under which it is kept apart */
    if (!quiet)
        fprintf(stderr, "treadle: note: CLAUDE_API_KEY is used as ANTHROPIC_API_KEY; set that one\n");
}

/* ---- notes ---- */

/* Others mean other things by a name so plain. */
static bool meant(const struct old_variable *o, const char *v)
{
    return strcmp(o->name, "TEST_MODE") != 0 || strcmp(v, "mock") == 0 || strcmp(v, "mixed") == 0;
}

static void tell_of(const struct old_variable *o, enum old_env_of whose)
{
    const char *v = value(o->name);
    if (v && o->how == OLD_VARIABLE_TOLD && meant(o, v))
        tell(false, o->name, o->what);
    else if (v && whose == OLD_ENV_SERVICE && o->in_service)
        tell(false, o->name, o->in_service);
}

static bool known(struct str name)
{
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (str_is(name, all[i].name))
            return true;
    return false;
}

void old_environment(enum old_env_of whose, bool quiet)
{
    old_environment_keys(quiet);
    sandbox(quiet);
    logging(quiet);
    for (size_t i = 0; !quiet && i < sizeof all / sizeof *all; i++)
        tell_of(&all[i], whose);
    for (char **e = environ; !quiet && *e; e++) {
        const char *end = strchr(*e, '=');
        if (end && end[1] && strncmp(*e, "PIPELINE_", 9) == 0 && !known(str_n(*e, (size_t)(end - *e))))
            fprintf(stderr, "treadle: note: %.*s is no variable that Treadle knows; docs/older-files.md names those\n",
                    (int)(end - *e), *e);
    }
}
