/* claude_batch: many questions of a kind, so many at a time, with one report on all of them. */
#include "step/model.h"
#include "step/tasks.h"

enum { REPORT_MAX = 64 << 20, DEFAULT_PARALLEL = 3 };

/* A task is a claude step that has a preset by itself. */
static const struct model_kind task_kind = {.preset = "development"};

static void task_enter(struct frame *f)
{
    model_enter(f, &task_kind);
}

static const struct step_key task_keys[] = {CLAUDE_KEYS, PRESET_KEY("development"), {0}};

static const struct step_type task_type = {.name = "claude",
                                           .doc = "A task of claude_batch.",
                                           .keys = task_keys,
                                           .provider = "claude",
                                           .result_doc = MODEL_RESULT,
                                           .check = model_check,
                                           .makes_key = true,
                                           .enter = task_enter,
                                           .child_done = model_child_done};

static const char *status_of(const struct task *t)
{
    bool timeout = !t->ok && str_is(val_get_str(&t->result->val, STR("class"), STR("")), "timeout");
    return t->ok ? "success" : timeout ? "timeout" : "error";
}

static struct val task_result(struct arena *a, const struct task *t)
{
    struct val_map m = val_map_new(a);
    VAL_MAP_SET(&m, "task_id", val_str(t->id));
    VAL_MAP_SET(&m, "status", val_str(str_c(status_of(t))));
    if (t->ok) {
        VAL_MAP_SET(&m, "result", t->result->val);
    } else {
        VAL_MAP_SET(&m, "error", val_str(val_get_str(&t->result->val, STR("message"), STR(""))));
        VAL_MAP_SET(&m, "error_class", val_str(val_get_str(&t->result->val, STR("class"), STR(""))));
    }
    VAL_MAP_SET(&m, "file", t->file.n ? val_str(t->file) : val_null);
    VAL_MAP_SET(&m, "execution_time_ms", val_int(t->took_ms));
    return val_map_done(&m);
}

static void head(struct buf *b, const struct task *t)
{
    buf_printf(b, "\n\n---\n\n## Task: %.*s\n**File**: %.*s\n**Status**: ", STR_ARG(t->id),
               STR_ARG(t->file.n ? t->file : STR("N/A")));
    if (t->ok)
        buf_addz(b, "Success\n\n");
    else
        buf_printf(b, "%s\n**Error**: ", strcmp(status_of(t), "timeout") ? "ERROR" : "TIMEOUT");
}

static bool report(struct frame *f, struct tasks *t)
{
    if (!t->text.max) {
        buf_init(&t->text, REPORT_MAX);
        buf_printf(&t->text, "# Batch Processing Results\n\n**Total Tasks**: %zu\n**Successful**: %zu\n**Failed**: %zu",
                   t->n, t->n - t->failed, t->failed);
    }
    return tasks_text(f, t, true, head);
}

static struct val metadata(struct frame *f, const struct tasks *t)
{
    struct arena *a = &f->arena;
    struct val_map m = val_map_new(a), breakdown = val_map_new(a);
    struct val_list files = val_list_new(a);
    int64_t timeouts = 0;
    for (size_t i = 0; i < t->n; i++) {
        timeouts += strcmp(status_of(&t->v[i]), "timeout") == 0;
        if (t->v[i].file.n)
            val_list_push(&files, val_str(t->v[i].file));
    }
    VAL_MAP_SET(&breakdown, "successful", val_int((int64_t)(t->n - t->failed)));
    VAL_MAP_SET(&breakdown, "failed", val_int((int64_t)t->failed - timeouts));
    VAL_MAP_SET(&breakdown, "timeout", val_int(timeouts));
    VAL_MAP_SET(&m, "step_name", val_str(f->def->name));
    VAL_MAP_SET(&m, "total_tasks", val_int((int64_t)t->n));
    VAL_MAP_SET(&m, "task_breakdown", val_map_done(&breakdown));
    VAL_MAP_SET(&m, "files_processed", val_list_done(&files));
    return val_map_done(&m);
}

static struct val statistics(struct arena *a, const struct tasks *t)
{
    int64_t total = 0, least = INT64_MAX, most = 0;
    for (size_t i = 0; i < t->n; i++) {
        total += t->v[i].took_ms;
        least = t->v[i].took_ms < least ? t->v[i].took_ms : least;
        most = t->v[i].took_ms > most ? t->v[i].took_ms : most;
    }
    struct val_map m = val_map_new(a);
    VAL_MAP_SET(&m, "total_execution_time_ms", val_int(total));
    VAL_MAP_SET(&m, "average_task_time_ms", val_int(t->n ? total / (int64_t)t->n : 0));
    VAL_MAP_SET(&m, "min_task_time_ms", val_int(t->n ? least : 0));
    VAL_MAP_SET(&m, "max_task_time_ms", val_int(most));
    return val_map_done(&m);
}

static void finish(struct frame *f, struct tasks *t)
{
    struct arena *a = &f->arena;
    struct val_map m = val_map_new(a);
    struct val_list l = val_list_new(a);
    bool consolidate;
    if (!frame_bool(f, t->options, "consolidate_results", true, &consolidate) || (consolidate && !report(f, t)))
        return;
    for (size_t i = 0; i < t->n; i++)
        val_list_push(&l, task_result(a, &t->v[i]));
    VAL_MAP_SET(&m, "success", val_bool(t->failed == 0));
    VAL_MAP_SET(&m, "batch_processed", val_true);
    VAL_MAP_SET(&m, "total_tasks", val_int((int64_t)t->n));
    VAL_MAP_SET(&m, "successful_tasks", val_int((int64_t)(t->n - t->failed)));
    VAL_MAP_SET(&m, "failed_tasks", val_int((int64_t)t->failed));
    VAL_MAP_SET(&m, "batch_results", val_list_done(&l));
    if (consolidate) {
        VAL_MAP_SET(&m, "text", val_str(buf_str(&t->text)));
        VAL_MAP_SET(&m, "claude_batch_metadata", metadata(f, t));
        VAL_MAP_SET(&m, "performance_statistics", statistics(a, t));
    }
    struct val v = val_map_done(&m);
    if (!t->text.overflow)
        step_ok(f, &v);
    else
        step_failf(f, RC_LIMIT,
                   "the report on all tasks is larger than %d bytes; consolidate_results: false leaves it out",
                   REPORT_MAX);
}

static void enter(struct frame *f)
{
    tasks_enter(f, DEFAULT_PARALLEL, false, finish);
}

static const struct step_key keys[] = {
    {"tasks", KEY_TASKS,
     .doc = "The tasks: {id, prompt, …} with the keys of a claude step, {file, prompt}, or prompts; or a template that "
            "gives "
            "a list. Also in batch_config."},
    {"prompt", KEY_PROMPT, .doc = "What every task's prompt begins with."},
    TASK_KEYS,
    {"batch_config", KEY_TASKS, .choices = "tasks_config",
     .doc = "{max_parallel (3), timeout_per_task, consolidate_results (true), tasks}."},
    {"model", KEY_TEMPLATE, .doc = "The model of all tasks."},
    {"claude_options", KEY_OBJECT, .choices = "claude_options",
     .doc = "Options for all tasks; a task's own go before them."},
    PRESET_KEY("development"),
    {0}};

const struct step_type step_claude_batch = {
    .name = "claude_batch",
    .doc = "Asks Claude many things of a kind, so many at a time.",
    .keys = keys,
    .result_doc = "success|batch_processed|total_tasks|successful_tasks|failed_tasks|batch_results|text|"
                  "claude_batch_metadata|performance_statistics|error",
    .task = &task_type,
    .lets_go = true,
    .check = tasks_check,
    .enter = enter,
    .child_done = tasks_child_done,
    .again = tasks_again,
    .more = tasks_again,
    .free_state = tasks_free};
