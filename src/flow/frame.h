#pragma once
/* Frames: what is being executed inside a run, as step types and the agent loop see it.
 *
 * A frame is a small state machine in a tree. Four kinds exist: lists (list.c), steps (step.c, with a step type
 * inside), effects (effect.c) and waits for something from outside (wait.c). Each has a stable path, an arena of its
 * own, and ends exactly once. A frame never calls its parent: what happens is queued and run from run_work().
 *
 *              enter                      all children ended
 *    NEW ───────────────▶ RUNNING ──────────────────────────▶ ENDED
 *                          │  ▲ │ failure / timeout / cancel     ▲
 *               retry in n │  │ └──────▶ DRAINING ───────────────┤ last child ended
 *                          ▼  │                                  │
 *                        WAITING   AWAITING, HELD, PARKED ───────┘ (answer, cancel)
 */
#include "flow/run.h"
#include "flow/step.h"

struct run;
struct frame;
struct past;
struct instance;

/* Why something failed. Text is borrowed for the call it is passed to. */
struct failure {
    enum rc rc;
    struct str code, message;
    bool final;                /* do not retry: retries below were used up, or trying again cannot help */
    bool below;                /* it came from below: when the failed run is resumed, this very attempt goes on */
    bool goes_on;              /* where on_error is fail: the list goes on */
    const struct val *partial; /* object whose fields stand beside `error` when the step goes on, or NULL */
};
#define FAILURE(rc_, message_) (&(struct failure){.rc = (rc_), .message = (message_)})

enum frame_status {
    FRAME_NEW,
    FRAME_RUNNING,
    FRAME_WAITING,
    FRAME_AWAITING,
    FRAME_HELD,
    FRAME_PARKED,
    FRAME_DRAINING,
    FRAME_ENDED
};

struct frame_ops {
    size_t room;      /* bytes that such a frame takes as a rule: what waits in great numbers should waste nothing. With
                       * ROOM_FOR_TEXTS for its path and what a short configuration or wait comes to */
    const char *kind; /* "list", "step", "effect", "wait" */
    void (*enter)(struct frame *f);
    void (*child_done)(struct frame *f, struct frame *child);
    void (*effect_done)(struct frame *f, bool ok, const struct val *result);
    void (*timer)(struct frame *f);
    void (*more)(struct frame *f);    /* after frame_more() */
    void (*drained)(struct frame *f); /* the last child of a DRAINING frame has ended */
    void (*done)(struct frame *f);    /* frees what the arena does not own */
};

struct frame {
    uint32_t magic;
    enum frame_status status;
    struct run *run;
    struct frame *parent, *first, *last, *prev, *next; /* children in order of creation */
    size_t nchildren;
    const struct frame_ops *ops;
    struct instance *instance;  /* the workflow that it belongs to (flow/instance.h) */
    const struct step_def *def; /* steps: their definition; others: of the nearest step above, or NULL */
    struct arena arena;
    struct str path;            /* stable name */
    struct str base;            /* where children's paths begin: path, or path~N from the second attempt on */
    uint32_t attempt, failures; /* failures count towards retry.max_attempts */
    uint32_t end;               /* steps: the number of the record that has its result, if this life made it; else 0 */
    const struct past *past;    /* what the journal knows, or NULL */
    int64_t started_ms;
    void *state;            /* of the kind */
    void *type_state;       /* of the step type */
    int64_t steps;          /* entered in it, itself included */
    size_t tag;             /* the parent's: which child this is */
    uint64_t effect, timer; /* pending ones, 0 = none */
    uint32_t busy;          /* it and the frames below that have an effect, sleep or await an answer */
    bool ok, skipped, unlinked;
    bool late_known;         /* what is a template in its type and name has been settled */
    bool again;              /* steps: an attempt before this one did not succeed */
    struct turn *turn;       /* in the workspace; steps that wanted one (workspace.c) */
    struct isolate *isolate; /* a copy of the workspace that it works in, or NULL (isolate.c) */
    bool opaque;             /* names around it are not seen from inside: a workflow that was called */
    bool held_back;          /* ended; its parent will look at it again, and free it */
    enum leave leave;        /* ended well, and the nearest loop's iteration ends with it */
    struct box *result;      /* ENDED: the result, or the error object */
    struct failure failing;  /* DRAINING: what it ends with (text in the arena) */
    bool failing_set;
    struct frame *qnext; /* work queue */
    uint8_t queued;
    const struct val *fallback;   /* object whose fields stand beside `error` when a failure says none; or NULL */
    const struct list_def *inner; /* a loop's body whose newest results its own condition may read */
    struct box **inner_results;
    struct box *locals; /* steps: an object of names that only the step and what is below it see, or NULL */
    struct keep *keeps; /* what the shelf keeps for it (flow/shelf.h) */
};

/* ---- for step types ---- */

/* The step's configuration with its templates evaluated; pinned in the journal at the first evaluation of this attempt
 * when `pin`. NULL: the step has failed already (expression error), return at once. Lives in the frame's arena. */
const struct val *frame_config(struct frame *f, bool pin);
/* For types that pin what they computed instead of the plain configuration: the object pinned for this attempt, or
 * NULL; and pinning one, which stays in the frame's arena (once an attempt, before its first child; false: the step has
 * failed). */
const struct val *frame_pinned(const struct frame *f);
bool frame_pin(struct frame *f, const struct val *object);
/* Records a decision that was taken after the first child had begun, under a segment of its own, once; false: the step
 * has failed. And what this or an earlier life recorded there before it ended, or of an effect, its result; or NULL. */
bool frame_record(struct frame *f, const char *segment, const struct val *object);
const struct val *frame_recorded(const struct frame *f, const char *segment);
/* Evaluates the templates in a value that the loader left alone, into the frame's arena; false: the step has failed. */
bool frame_fill(struct frame *f, struct val *v);
/* Evaluates text as an expression in this frame's scope, into the frame's arena; false: the step has failed. */
bool frame_expr(struct frame *f, struct str text, struct val *ret);
/* Evaluates text with holes as the step `def` below `f` would read it, with these locals; `a` has what that takes, and
 * the value. False: `f` has failed, or goes on once what it reads has come. */
bool frame_template(struct frame *f, const struct step_def *def, const struct val *locals, const struct tmpl *t,
                    struct arena *a, struct val *ret);
/* Does the text parse as one? */
bool frame_is_expr(const struct frame *f, struct str text);
/* Evaluates a condition in the frame's scope; on error the step has failed and false is returned. */
bool frame_cond(struct frame *f, const struct cond *c, bool *ret);
/* A scope for expressions standing in this frame. */
struct expr_scope frame_scope(struct frame *f, bool null_safe);
/* The workflow's `defaults` object. */
const struct val *frame_defaults(const struct frame *f);
/* The declaration of a function that models may call, by the workflow or, where it inherits them, by its callers; or
 * NULL. */
const struct val *frame_function(const struct frame *f, struct str name);
/* What calls around a step say of it to whom makes answers up: {response?, delay_ms?} in the frame's arena, or NULL. A
 * step is told by its name in the workflow that is called, or by its path (`plain`: the step's own) below the call. */
const struct val *frame_mock(struct frame *f, struct str plain);
/* Are answers made up in this life of the run? Another life may be told otherwise: who decides by it pins that. */
bool frame_mocked(const struct frame *f);
/* All variables that are known in the frame, {name: value}, built in `a`. */
struct val frame_all_variables(const struct frame *f, struct arena *a);
/* A key of the run's workflow as it was written, or NULL. */
const struct val *frame_workflow_key(const struct frame *f, const char *key);
/* A variable of the environment that the run was given, or empty. */
struct str frame_env(const struct frame *f, const char *name);
/* The session in which a step of the workflow has spoken last; empty: none has. */
struct str frame_newest_session(const struct frame *f);
/* The name of the workflow, and the run's id. */
struct str frame_workflow(const struct frame *f);
struct str frame_run(const struct frame *f);
/* The time that this attempt at the step has by its own `timeout`, in milliseconds; 0: any. */
int64_t frame_timeout(const struct frame *f);
/* Its `limits`. */
const struct run_limits *frame_limits(const struct frame *f);
extern const struct retry_policy retry_default_model;
const struct val *step_config_get(const struct val *config, const char *key);
/* Typed reads of a configuration; false: the step has failed already. */
bool frame_int(struct frame *f, const struct val *config, const char *key, int64_t fallback, int64_t min, int64_t max,
               int64_t *ret);
bool frame_bool(struct frame *f, const struct val *config, const char *key, bool fallback, bool *ret);
bool frame_text(struct frame *f, const struct val *config, const char *key, struct str fallback, struct str *ret);
bool frame_size(struct frame *f, const struct val *config, const char *key, int64_t fallback, int64_t *ret);
bool frame_duration(struct frame *f, const struct val *config, const char *key, int64_t fallback_ms, int64_t *ret_ms);

/* The attempt has succeeded; `result` is copied. Called once per attempt, with no children left. */
void step_ok(struct frame *f, const struct val *result);
/* The same while children still run: they are stopped first, unrecorded. */
void step_ok_stop(struct frame *f, const struct val *result);
/* Stops the children that run; each still ends, well or not, and child_done() is called. */
void frame_cancel_children(struct frame *f);
/* The attempt has failed; children that still run are stopped first. Text is copied. */
void step_fail(struct frame *f, const struct failure *why);
/* The attempt has failed because this child has. */
void step_fail_as(struct frame *f, const struct frame *child);
/* The attempt ends as this child has: the child_done() of a step that only waits for one thing. */
void step_end_as(struct frame *f, struct frame *child);
/* For types with `failed`: goes on. */
void frame_failed(struct frame *f);
/* In `failed`, before it does something that cannot be done without: the failure is recorded, so that a later life does
 * not go on with the attempt. When the failed run is resumed the step begins anew. False: it cannot be recorded. */
bool frame_keep_failure(struct frame *f);
/* In enter(): has an earlier life recorded that? Then the step has failed, again. */
bool frame_failed_before(struct frame *f);
/* printf form of step_fail. */
void step_failf(struct frame *f, enum rc rc, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* For work that takes long: the type's more() is called in another turn of the loop. What was computed so far is kept
 * in type_state, and lost in a crash. */
void frame_more(struct frame *f);
/* What a step yields, when a name stands for all of it: of a data_transform (or whatever has an `output_field`) the
 * value, of a model step its data, or text; else the whole result. `name` is a step's, or an output field's. *ret is
 * NULL when there is none, and may be built in `a`. Fails when some of it has left memory: frame_fail() then fetches
 * it. */
enum rc frame_step_value(struct frame *f, struct str name, struct arena *a, const struct val **ret,
                         struct err *err) MUST_CHECK;
/* Fails the step with what an evaluation said. */
void frame_fail(struct frame *f, const struct err *err);

/* Child frames. `segment` ("3", "turn:2", "turn:2/tool:1") goes behind the frame's base. `tag` is for child_done. */
struct loop_scope {
    struct str iterator;  /* or empty */
    struct box *item;     /* one reference is taken */
    int64_t index, total; /* total < 0: unknown (while) */
    /* Asked in the iteration: before its first step whether it is skipped, after its last whether it was the last one
     * (it then ends as by break). NULL: no. What they say is recorded with the iteration's end. */
    const struct cond *skip, *stop;
};
struct frame *frame_list(struct frame *parent, const char *segment, size_t tag, const struct list_def *def,
                         const struct loop_scope *loop, struct box **previous_results);

/* A child that executes another workflow; its end is that of a list. `inputs` are those that workflow_inputs() made. */
struct call_plan {
    struct workflow *workflow;    /* a reference is taken */
    const struct val *inputs;     /* copied */
    struct str dir;               /* of the workflow's file; empty: the caller's */
    bool inherit_context;         /* names that are seen from `parent` are seen from inside too */
    bool inherit_providers;       /* `defaults` of the caller count where the workflow has none */
    bool inherit_functions;       /* and so do the functions that it declares */
    const struct val *variables;  /* of its caller that it begins with, besides its own; or NULL */
    const struct val *seen;       /* with inherit_context: {include?, exclude?}, names of its variables; or NULL */
    const struct val *defaults;   /* over its own `defaults`, or NULL */
    bool isolated;                /* works in a copy of the workspace, as frame_isolate() */
    const struct val *mocks;      /* {responses?, delays?}, by steps inside; or NULL */
    struct str root;              /* the directory of its caller's workspace that is its own; empty: all of that */
    bool apart;                   /* one of several calls of `parent`: see frame_call() */
    int64_t max_depth, max_steps; /* 0: not said */
    int64_t max_memory;           /* bytes, of the workflow and those that it calls; 0: not said */
    const struct val *marks;      /* of max_memory (flow/memory_mark.h), or NULL */
    const struct val *clears;     /* names of steps after which is cleared, or NULL (flow/memory_mark.h) */
    int64_t max_files;            /* bytes of files in its workspace; 0: not said */
    int64_t warn_memory;          /* with so many people are told; 0: they are not */
    int64_t step_ms;              /* each attempt at a step inside should take; 0: any time */
    enum over_bound { OVER_WARN, OVER_FAIL, OVER_END_RUN } over; /* what follows where it takes longer, */
    bool memory_ends_run;                                        /* or where max_memory is not enough */
};
/* The steps inside have paths right below `parent`, whose own end says how the call ended; those of a call apart have
 * paths below `segment`, and the call records its end. */
struct frame *frame_call(struct frame *parent, const char *segment, size_t tag, const struct call_plan *plan);
/* May this step call a workflow called `name`, which may not be deeper than `own_limit` (0: not said)? False: the step
 * has failed. */
bool frame_depth(struct frame *f, int64_t own_limit, struct str name);
/* Tells people where it is called at the depth `from` (0: none), or deeper. */
void frame_warn_depth(struct frame *f, int64_t from, struct str name);
/* Evaluates in an ended child's scope, where its steps and variables are known; for child_done(). */
bool child_eval(struct frame *child, const struct tmpl_tree *t, struct arena *a, struct val *ret,
                struct err *err) MUST_CHECK;
bool child_expr(struct frame *child, struct str text, struct arena *a, struct val *ret, struct err *err) MUST_CHECK;
/* Files that a workflow extends or includes, as far as they have been read. */
struct workflow_parts {
    struct val_map texts; /* by path */
    struct str wanted;    /* the path of one more; in the arena of `texts`. Empty: nothing is missing */
};
/* The workflow in a text that was read in the run, with one reference; NULL: the step has failed, or parts->wanted is
 * to be read first. A text is parsed once, however often it is called. */
struct workflow *frame_load_workflow(struct frame *f, const struct workflow_text *t, unsigned inherits,
                                     struct workflow_parts *parts);
/* The workspace of the workflow that it belongs to, as people know it; in `a`. */
struct str frame_workspace_path(const struct frame *f, struct arena *a);
/* Where files that the frame's workflow names are relative to; empty: the run's workflow_dir. */
struct str frame_dir(const struct frame *f);
/* Was its workflow come upon in the run? Then files that it names are read below the allowed directories only. */
bool frame_found(const struct frame *f);
/* The same of one path, whose template is `source` (NULL: unknown): may a step, a model say, have made it up? Only the
 * author, and who starts the run by its inputs, name files anywhere. */
bool frame_path_found(const struct frame *f, const struct val *source, struct str path);
/* May even who started the run not name files anywhere? */
bool frame_inputs_found(const struct frame *f);
/* The inputs of the workflow that the frame belongs to. */
const struct val *frame_inputs(const struct frame *f);
/* A step that stands alone, such as a task of a group. `locals` (or NULL): takes a reference. */
struct frame *frame_step(struct frame *parent, const char *segment, size_t tag, const struct step_def *def,
                         struct box *locals);

struct effect_plan {
    enum effect_kind kind;
    const struct val *request; /* in the parent's arena or longer */
    struct str grown; /* a hash of the request's `messages`, which grow from call to call: the intent's hash is made of
                       * it and of the rest, and so costs what is new. Empty: of the whole request. As long as it */
    const struct retry_policy *retry; /* NULL: one attempt */
    enum on_interrupt on_interrupt;   /* resolved: not DEFAULT */
    int64_t timeout_ms;               /* of one attempt, which then fails as `timeout`; 0: none */
    bool two_phase;                   /* Write, Edit: prepare first, settle after a crash */
    bool restores;                    /* commands: settling takes back what it changed, and then, if it was */
    enum on_interrupt on_restored;    /* without a network, this decides */
    bool settled;                     /* what failed of it was acted upon by something that has ended well: it is not
                                       * tried again when a run that had failed is resumed */
    const char *apart; /* a member of its result that the record leaves out, because it lies elsewhere and what is
                        * recorded tells what it was: a later life asks for it with phase `again`. Where it cannot be
                        * had any more as it was, the effect is held. NULL: none */
    const char *label; /* for events: "turn 2", "Edit src/x.c"; in the parent's arena or longer */
};
struct frame *frame_effect(struct frame *parent, const char *segment, size_t tag, const struct effect_plan *plan);

/* Stops a child; child_done() follows, once nothing of it is left. */
void frame_stop(struct frame *child);
/* A child that waits for something from outside, or for a time; it holds nothing meanwhile. `wait` is described in
 * flow/wait.h, without until_ms except for a time, and is copied; when the journal knows the child, what it says
 * counts instead. Ends with the answer as its result, or fails (RC_TIMEOUT). */
struct frame *frame_wait(struct frame *parent, const char *segment, size_t tag, const struct val *wait);
/* What the journal says that this child waits for; NULL: it was not begun. */
const struct val *frame_past_wait(const struct frame *f, const char *segment);

/* Of an effect frame: the attempts that failed, [{attempt, error, class, execution_time_ms}], the oldest first; only
 * the newest EFFECT_ERRORS_MAX. In the frame's arena. */
enum { EFFECT_ERRORS_MAX = 20 };
struct val effect_errors(const struct frame *f);

/* What stays in memory of the result of an ended child of a step whose type says `lets_go`: read it with frame_whole().
 * Gives a reference. */
struct box *child_rest(const struct frame *child);
/* `v`, a value from such a result, with all that has left memory, in the frame's scratch or somewhere until
 * shelf_release(). NULL: the step's type is called again when it has been fetched, or the step has failed. */
const struct val *frame_whole(struct frame *f, const struct val *v);
/* Reading an ended child (inside child_done). */
static inline bool child_ok(const struct frame *c)
{
    return c->ok;
}
static inline const struct val *child_result(const struct frame *c)
{
    return &c->result->val;
}
/* How an ended list left, for a loop (an iteration) and for a type that runs several lists at once: after a break or
 * continue in one of them it stops the others and ends well. All others need not ask: a step passes on what its list
 * said. */
static inline enum leave child_leave(const struct frame *c)
{
    return c->leave;
}
/* The error object of a failed child as a failure to pass on: `below`, and `final` if the child had retries. */
struct failure child_failure(const struct frame *c);
/* An ended list's results as {name: result}, built in `a`. */
struct val list_results(const struct frame *list, struct arena *a);
/* Puts an ended list's results over those of the iteration before, where it has any; the array is made when NULL. */
struct box **list_take_results(struct frame *list, struct box **over);
/* The same, from {name: result}. */
struct box **list_boxes(const struct list_def *def, const struct val *results);
void list_drop_results(const struct list_def *def, struct box **results);

/* Variables that the attempt's good end sets, `local` in the nearest list, else in the workflow's own: one record says
 * both, so that no crash comes in between, and an attempt that fails has set nothing. `values` is copied. */
void step_sets(struct frame *f, bool local, const struct val *values);
/* Sets variables at once, for what is below the step: only such as would have the same values if it were done again.
 * False: the step has failed. */
bool frame_set_variables(struct frame *f, bool local, const struct val *values);
/* True when the journal shows that a child with this segment was begun. */
bool frame_past_begun(const struct frame *f, const char *segment);
/* True when it shows that a child ended with a break, and that the child with this segment ended, well or not. */
bool frame_past_broken(const struct frame *f);
bool frame_past_ended(const struct frame *f, const char *segment);
/* Of a loop's attempt: how many of its iterations have ended well, whether the one with this index has, and, for loops
 * that see the iteration before, its newest results {step: result}, or NULL. Nothing else is known of them here. */
size_t frame_past_count(struct frame *f);
bool frame_past_passed(const struct frame *f, size_t index);
/* Iterations that are started again: that they have ended well counts no more. */
void frame_past_forget(struct frame *f, size_t first, size_t last);
const struct val *frame_past_newest(const struct frame *f);

/* For steps that write to the workspace, before they do: calls go_on(), now or later, when it is the step's turn, which
 * it keeps until it ends: one such step at a time works there. What the attempt before changed has been taken back. */
void frame_workspace(struct frame *f, void (*go_on)(struct frame *f, void *ctx), void *ctx);
/* The same for a step that contains others, to take back what they changed: before those that wait already. It keeps
 * the turn until it says so. */
void frame_workspace_first(struct frame *f, void (*go_on)(struct frame *f, void *ctx), void *ctx);
void frame_workspace_leave(struct frame *f);

/* For a list that frame_list() has just made: if the step says `workspace: isolated`, the list and all that is below it
 * work in a copy of the workspace, and what was changed there is taken over at the list's good end, all or nothing. */
void frame_isolate(struct frame *list);

/* Says of a command what a crash makes of it: the rest of *plan, and the key `view` of its request. What it changed in
 * the workspace can be taken back; what it did to the world cannot. So one without a network (`network`, or NULL, as in
 * executor.h) is done again, and others only when the step says so. */
void frame_command(const struct frame *f, const struct val *network, bool isolated, struct effect_plan *plan,
                   struct val_map *request);
/* A child that takes back what attempts changed in the workspace: a list of what rollback_attempt() gives. */
void frame_rollback(struct frame *f, const char *segment, size_t tag, const struct val *attempts);
enum { ROLLBACK_ALL = 0 }; /* of its attempts */
struct val rollback_attempt(struct arena *a, struct str path, int64_t attempt);
/* The same of iterations `first` to `last` of the loop's attempt `of`, as often as they were started. */
struct val rollback_iterations(struct arena *a, struct str of, size_t first, size_t last);

/* For types with `makes_key`, before they do what the cache would save: `asked` is all that their result depends on;
 * NULL: it must not come from the cache. go_on() comes now, later, or, when the step has ended with a kept result or
 * has failed, not at all. */
void frame_cache(struct frame *f, const struct val *asked, void (*go_on)(struct frame *f));

/* Room left in the run's or the step's budget; on false the frame was held with the reason. */
bool frame_budget(struct frame *f);
/* A number of tokens in a reply's `usage`: 0 where it is absent or absurd, so that sums cannot overflow. */
int64_t usage_tokens(const struct val *usage, struct str key);
/* Memory that lasts until the callback returns. */
struct arena *frame_scratch(struct frame *f);
/* The wall clock; whatever is made of it must be recorded. */
int64_t frame_now(const struct frame *f);
/* Tells people something. */
void frame_event(struct frame *f, enum event_kind kind, const char *detail, struct box *data);
/* For progress: how many items there will be below this frame. */
void frame_total(struct frame *f, size_t n);
