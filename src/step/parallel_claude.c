/* parallel_claude: several questions at once; each task is a claude step, or whatever type it names. */
#include "step/model.h"
#include "step/tasks.h"

enum { COMBINED_MAX = 64 << 20 };

extern const struct step_type step_claude;

static void head(struct buf *b, const struct task *t)
{
    buf_printf(b, "%s===[%.*s]===\n%s", b->n ? "\n\n" : "", STR_ARG(t->id), t->ok ? "" : "error: ");
}

static void finish(struct frame *f, struct tasks *t)
{
    struct arena *a = &f->arena;
    struct val_map results = val_map_new(a), m = val_map_new(a);
    if (!t->text.max)
        buf_init(&t->text, COMBINED_MAX);
    if (!tasks_text(f, t, false, head))
        return;
    for (size_t i = 0; i < t->n; i++) {
        struct val_map one = val_map_new(a);
        VAL_MAP_SET(&one, "ok", val_bool(t->v[i].ok));
        val_map_set(&one, t->v[i].ok ? STR("result") : STR("error"), t->v[i].result->val);
        val_map_set(&results, t->v[i].id, val_map_done(&one));
    }
    VAL_MAP_SET(&m, "success", val_bool(t->failed == 0));
    VAL_MAP_SET(&m, "results", val_map_done(&results));
    VAL_MAP_SET(&m, "combined_results", val_str(buf_str(&t->text)));
    struct val v = val_map_done(&m);
    if (!t->text.overflow)
        step_ok(f, &v);
    else
        step_failf(f, RC_LIMIT, "the texts of all tasks are larger than %d bytes together", COMBINED_MAX);
}

static void enter(struct frame *f)
{
    tasks_enter(f, 0, true, finish);
}

static const struct step_key keys[] = {
    {"tasks", KEY_TASKS,
     .doc =
         "The tasks: {id, prompt, …} with the keys of a claude step (or of the `type` it names), {ID: {prompt}}, {ID: "
         "\"prompt\"}; or a template that gives a list."},
    {"parallel_tasks", KEY_TASKS, .doc = "Another spelling of `tasks`.", .alias_of = "tasks"},
    TASK_KEYS,
    {"parallel_config", KEY_TASKS, .choices = "tasks_config", .doc = "{max_workers, timeout_per_task, retry_failed}."},
    {"claude_options", KEY_OBJECT, .choices = "claude_options",
     .doc = "Options for all tasks; a task's own go before them."},
    {"preset", KEY_ENUM, .choices = "development|production|analysis|chat|test", .doc = "A preset for all tasks."},
    {0}};

const struct step_type step_parallel_claude = {.name = "parallel_claude",
                                               .doc = "Asks Claude several things at once.",
                                               .keys = keys,
                                               .result_doc = "success|results|combined_results|error|*",
                                               .task = &step_claude,
                                               .lets_go = true,
                                               .check = tasks_check,
                                               .enter = enter,
                                               .child_done = tasks_child_done,
                                               .again = tasks_again,
                                               .more = tasks_again,
                                               .free_state = tasks_free};
