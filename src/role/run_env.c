#include "role/run_env.h"

#include <stdlib.h>

static const struct {
    const char *name;
    bool bound; /* read again in each life */
} all[] = {{"CLAUDE_MODEL", false},        {"GEMINI_MODEL", false},          {"GEMINI_TIMEOUT_MS", false},
           {"PIPELINE_TIMEOUT", true},     {"PIPELINE_MAX_STEPS", true},     {"PIPELINE_MAX_DEPTH", true},
           {"PIPELINE_MAX_WORKERS", true}, {"PIPELINE_MAX_MEMORY_MB", true}, {"PIPELINE_MEMORY_LIMIT", true},
           {"PIPELINE_MAX_COST", true},    {"PIPELINE_CACHE_SIZE", true}};

const char *run_env_name(size_t i)
{
    return i < sizeof all / sizeof *all ? all[i].name : NULL;
}

void run_env_add(struct val_map *m, struct arena *a, bool begins)
{
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        const char *v = begins || all[i].bound ? getenv(all[i].name) : NULL;
        if (v && *v && str_utf8_valid(str_c(v)) == strlen(v))
            val_map_set(m, str_c(all[i].name), val_str(arena_str(a, str_c(v))));
    }
}
