/* Directories, limits and the cache's size are read where they are used, with a workflow's own words over them; those
 * of whom a variable of today has the same meaning become that one. A sandbox is only made stronger this way: whoever
 * wants none has to say so in Treadle's own words. */
#include "cli/old_env.h"

#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>

extern char **environ;

static const char *const read_elsewhere[] = {"PIPELINE_WORKSPACE_DIR", "PIPELINE_OUTPUT_DIR",   "PIPELINE_TIMEOUT",
                                             "PIPELINE_MAX_STEPS",     "PIPELINE_MAX_DEPTH",    "PIPELINE_MAX_WORKERS",
                                             "PIPELINE_MAX_MEMORY_MB", "PIPELINE_MEMORY_LIMIT", "PIPELINE_MAX_COST",
                                             "PIPELINE_CACHE_SIZE",    "PIPELINE_SANDBOX_MODE", "PIPELINE_LOG_LEVEL",
                                             "PIPELINE_DEBUG"};

static const struct {
    const char *name, *why;
} no_effect[] = {
    {"PIPELINE_CHECKPOINT_DIR", "every run is recorded below $TREADLE_HOME, and treadle resume goes on"},
    {"PIPELINE_TRACE", "treadle logs has every step of a run"},
    {"PIPELINE_SAFETY_DEBUG", "treadle doctor says what confines commands; treadle logs has the limits that were met"},
    {"FORCE_MOCK_GEMINI", "write --mock"},
};

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

static bool known(const char *name, size_t n)
{
    for (size_t i = 0; i < sizeof read_elsewhere / sizeof *read_elsewhere; i++)
        if (str_eq(str_n(name, n), str_c(read_elsewhere[i])))
            return true;
    for (size_t i = 0; i < sizeof no_effect / sizeof *no_effect; i++)
        if (str_eq(str_n(name, n), str_c(no_effect[i].name)))
            return true;
    return false;
}

void old_environment(bool quiet)
{
    sandbox(quiet);
    logging(quiet);
    for (size_t i = 0; i < sizeof no_effect / sizeof *no_effect; i++)
        if (value(no_effect[i].name))
            tell(quiet, no_effect[i].name, no_effect[i].why);
    for (char **e = environ; !quiet && *e; e++) {
        const char *end = strchr(*e, '=');
        if (end && end[1] && strncmp(*e, "PIPELINE_", 9) == 0 && !known(*e, (size_t)(end - *e)))
            fprintf(stderr, "treadle: note: %.*s is no variable that Treadle knows; docs/cli.md names those\n",
                    (int)(end - *e), *e);
    }
}
