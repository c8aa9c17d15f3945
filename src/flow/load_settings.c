/* Blocks of older workflows about performance and directories. What of them has a meaning here is another spelling of
 * `cache_config`, `limits`, `defaults` and the directories, or a setting of its own; for the rest the notice says what
 * is so instead. */
#include "flow/load_int.h"

const struct step_key performance_keys[] = {
    {"cache_enabled", KEY_BOOL, .doc = "As cache_config.enabled."},
    {"cache_ttl_seconds", KEY_SECONDS, KEY_ABOVE(0), .doc = "As cache_config.ttl."},
    {"cache_size_mb", KEY_INT, KEY_FROM_TO(1, 1 << 20), .doc = "As cache_config.max_size_mb."},
    {"parallel_execution", KEY_BOOL, .fallback = "true", .doc = "false: as limits.max_parallel: 1."},
    {"max_parallel_workers", KEY_INT, KEY_FROM_TO(1, 100000), .doc = "As limits.max_parallel."},
    {"step_timeout_default", KEY_SECONDS, KEY_ABOVE(0), .doc = "As defaults.timeout, in seconds."},
    {0},
};

const struct step_key workspace_config_keys[] = {
    {"create_if_missing", KEY_BOOL, .fallback = "true", .doc = "false: `treadle run` refuses where there is none."},
    {"max_size_mb", KEY_INT, KEY_FROM_TO(1, 1 << 20), .doc = "As limits.workspace."},
    {0},
};

const struct step_key output_config_keys[] = {
    {"organize_by_step", KEY_BOOL, .fallback = "false",
     .doc = "Whether each output_to_file is in a directory with the name of its step."},
    {0},
};

const struct step_key directories_keys[] = {
    {"structure", KEY_OBJECT, .doc = "{workspace, outputs}: as workspace_dir and output_dir."},
    {"organize", KEY_OBJECT, .choices = "organize", .doc = "How output_dir is divided; see below."},
    {0},
};

const struct step_key organize_keys[] = {
    {"by_date", KEY_BOOL, .fallback = "false",
     .doc = "Whether outputs lie below a directory with the day of the run's start."},
    {"by_workflow", KEY_BOOL, .fallback = "false",
     .doc = "Whether (below that) one with the workflow's name, which then has no `/`."},
    {"by_execution", KEY_BOOL, .fallback = "false", .doc = "Whether (below that) one with the run's id."},
    {0},
};

static const char stay[] =
    "a run never removes its workspace, which others may use too; a call removes a directory that was made for it: "
    "`config: {workspace_dir: …, cleanup_on_success: true}`";

static const char compress[] =
    "files are written as they are; a step of type command can compress one: `run: gzip FILE`";

static const struct unused_key unused[] = {
    {"performance.cache_strategy", "results are found by a hash of what they depend on"},
    {"performance.queue_size", "what waits costs next to nothing, and is bounded by limits.frames"},
    {"performance.batch_small_operations", "what is recorded at the same time is written in one go"},
    {"performance.batch_size", "what is recorded at the same time is written in one go"},
    {"performance.lazy_loading", "files are read when a step needs them"},
    {"performance.stream_large_files", "files are copied piece by piece, however large"},
    {"performance.api_timeout", "write `claude_options: {timeout_ms: …}` in `defaults`"},
    {"performance.file_operation_timeout", "write `timeout` on the step"},
    {"workspace_config.cleanup_on_success", stay},
    {"workspace_config.cleanup_on_error", stay},
    {"workspace_config.preserve_structure", "files stay where steps put them"},
    {"output_config.create_subdirs", "directories are made where an output_to_file needs them"},
    {"output_config.compress_large_files", compress},
    {"output_config.compression_threshold_mb", compress},
    {"directories.cleanup", "treadle prune removes old runs; outputs stay"},
    {0},
};

static void performance(struct loader *l, const struct member *m)
{
    struct workflow *w = l->w;
    bool on;
    if (str_is(m->key, "cache_enabled") && load_bool(l, m, &on)) {
        w->cache.results |= on;
        w->cache.off |= !on;
    } else if (str_is(m->key, "cache_ttl_seconds")) {
        (void)load_duration(l, performance_keys, m, w->cache.ttl_ms ? &(int64_t){0} : &w->cache.ttl_ms);
    } else if (str_is(m->key, "cache_size_mb")) {
        int64_t mb;
        if (load_int(l, performance_keys, m, &mb) && !w->cache.max_bytes)
            w->cache.max_bytes = mb << 20;
    } else if (str_is(m->key, "parallel_execution") && load_bool(l, m, &on)) {
        if (!on)
            w->limits.max_parallel = 1;
    } else if (str_is(m->key, "max_parallel_workers")) {
        (void)load_int(l, performance_keys, m, w->limits.max_parallel ? &(int64_t){0} : &w->limits.max_parallel);
    } else if (str_is(m->key, "step_timeout_default")) {
        (void)load_duration(l, performance_keys, m, l->timeout_ms ? &(int64_t){0} : &l->timeout_ms);
    }
}

/* What the workflow says by the names of today goes before. */
static void structure(struct loader *l, const struct member *m)
{
    if (!load_object(l, m))
        return;
    for (size_t i = 0; i < m->val.obj.n; i++) {
        const struct member *k = &m->val.obj.m[i];
        bool work = str_is(k->key, "workspace");
        if (!work && !str_is(k->key, "outputs")) {
            problem_add(l->ps, true, k->line, k->col,
                        "`%s` of `structure` has no effect; what Treadle keeps lies in $TREADLE_HOME", clip(k->key).z);
            continue;
        }
        if (!val_member(l->w->source, work ? STR("workspace_dir") : STR("output_dir")))
            load_directory(l, k, work ? &l->w->workspace_dir : &l->w->output_dir);
    }
}

static void organize(struct loader *l, const struct member *m)
{
    if (!load_object(l, m))
        return;
    for (size_t i = 0; i < m->val.obj.n; i++) {
        const struct member *k = &m->val.obj.m[i];
        struct organized *o = &l->w->organized;
        bool *on = str_is(k->key, "by_date")        ? &o->by_date
                   : str_is(k->key, "by_workflow")  ? &o->by_workflow
                   : str_is(k->key, "by_execution") ? &o->by_execution
                                                    : NULL;
        if (on)
            (void)load_bool(l, k, on);
        else
            load_unknown_key(l, k, "`organize`", organize_keys, NULL);
    }
}

static void workspace_size(struct loader *l, const struct member *m)
{
    int64_t mb;
    if (load_int(l, workspace_config_keys, m, &mb) && !l->w->limits.workspace)
        l->w->limits.workspace = mb << 20;
}

static void setting(struct loader *l, const struct member *block, const struct step_key *table, const struct member *m)
{
    struct str path = arena_printf(l->ps->a, "%.*s.%.*s", STR_ARG(block->key), STR_ARG(m->key));
    const struct unused_key *none = key_find_unused(unused, path);
    bool on = false;
    if (none)
        problem_add(l->ps, true, m->line, m->col, "`%s` of `%s` has no effect; %s", clip(m->key).z, clip(block->key).z,
                    none->why);
    else if (!key_find(table, m->key))
        load_unknown_key(l, m, arena_printf(l->ps->a, "`%s`", clip(block->key).z).p, table, NULL);
    else if (table == performance_keys)
        performance(l, m);
    else if (table == directories_keys && str_is(m->key, "organize"))
        organize(l, m);
    else if (table == directories_keys)
        structure(l, m);
    else if (str_is(m->key, "max_size_mb"))
        workspace_size(l, m);
    else if (!load_bool(l, m, &on))
        return;
    else if (table == output_config_keys)
        l->w->outputs_by_step = on;
    else
        l->w->workspace_must_exist = !on;
}

bool load_settings(struct loader *l, const struct member *m)
{
    static const struct {
        const char *name;
        const struct step_key *keys;
    } blocks[] = {{"performance", performance_keys},
                  {"workspace_config", workspace_config_keys},
                  {"output_config", output_config_keys},
                  {"directories", directories_keys}};
    const struct step_key *table = NULL;
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        table = str_is(m->key, blocks[i].name) ? blocks[i].keys : table;
    if (!table)
        return false;
    for (size_t i = 0; load_object(l, m) && i < m->val.obj.n; i++)
        setting(l, m, table, &m->val.obj.m[i]);
    return true;
}

static bool writes_output(struct loader *l)
{
    size_t n;
    const struct workflow *const *all = workflow_all(l->w, l->a, &n);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < all[i]->nall; k++)
            if (all[i]->all[k]->output_to_file)
                return true;
    return false;
}

void load_named_directory(struct loader *l)
{
    bool own = !l->inside && !l->w->found && !l->open->up;
    if (own && !workflow_names_directory(l->w) && writes_output(l))
        BAD(l, VAL_GET(VAL_GET(VAL_GET(l->w->source, "directories"), "organize"), "by_workflow"), NO_NAMED_DIRECTORY,
            clip(l->w->name).z);
}
