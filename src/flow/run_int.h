#pragma once
/* What the files of the engine share and nobody else sees: the run, its past, its queue. */
#include "base/buf.h"
#include "base/map.h"
#include "data/json.h"
#include "flow/instance.h"

struct spending {
    double usd;
    int64_t tokens;
};

/* What the journal says about one path, folded. Owned by run->past. */
struct past {
    struct past *parent, *first, *prev, *next; /* tree by path */
    struct str path;
    uint32_t last_attempt; /* highest ever, void ones included */
    uint32_t current;      /* attempt under way or ended; 0: none that counts */
    uint32_t dones;        /* RECORD_DONE seen, void ones included */
    uint32_t failures;     /* failed results since the start or the last resume */
    uint32_t intent_attempt, result_attempt, open_attempt;
    uint64_t intent_seq, result_seq;
    int64_t intent_ms, result_ms;
    struct past_error *errors; /* failed attempts at an effect, the newest ones */
    size_t nerrors;
    struct box *open, *intent, *result, *done;
    struct box *late; /* {type, name} of a step where they are templates */
    bool done_ok, begun, held;
    bool broken;                /* a child of this attempt ended with a break */
    bool fresh;                 /* failed by itself before the last resume: needs a new attempt */
    struct map vars;            /* name -> struct past_var: variables living in this list */
    uint8_t *passed;            /* a bit for each iteration of this attempt that has ended well, */
    size_t passed_cap, npassed; /* bytes of it; bits that are set */
    int64_t passed_steps;       /* entered in them (frame.steps); 0 once the loop's frame has them */
    struct spending spent;      /* on calls below, in all attempts */
    int64_t began_ms;           /* run->worked_ms when the time of the attempt under way began; */
    int64_t paused_ms;          /* run->worked_ms when something of it was held or all of it began to wait, */
    bool paused;                /* since when in that life its time stands still */
    bool resting;               /* it waits for its turn in the workspace, and then it begins anew */
    struct box *newest;         /* {step: result}: the newest ones of such iterations, where they see them */
};
struct past_error {
    uint32_t attempt;
    int64_t took_ms;
    struct box *box; /* of the RESULT */
};
struct past_var {
    struct box *values; /* an object that has it */
    size_t n;
    char name[];
};

struct void_path {
    struct str path;
    uint64_t seq;
    uint64_t forked_seq; /* records before it belong to the run that this one was forked from */
};

enum queued { QUEUED_NO, QUEUED_ENTER, QUEUED_CHILD, QUEUED_DRAINED, QUEUED_MORE, QUEUED_TURN, QUEUED_CACHE };

enum { ROOM_FOR_TEXTS = 80 };
enum { RUN_MAGIC = 0x72756e31, FRAME_MAGIC = 0x66726d31 };

/* wait.c: what waits for answers, and signals that nobody has taken. */
struct waits {
    struct wait_state *first, *last; /* approvals and signals, in the order in which they began to wait */
    struct map by_path;              /* approvals: path -> frame */
    struct map channels;             /* name of a signal -> struct channel */
    struct channel *dirty;           /* where something may have to be matched */
    struct map ids;                  /* id of a signal -> anything */
    size_t nsignals, bytes, approvals;
    uint32_t numbers; /* the highest number of a signal */
    uint64_t order;
    enum run_stay stay;
};

struct run {
    uint32_t magic;
    struct workflow *workflow;
    const struct flow_io *io;
    void *io_ctx;
    struct arena arena, scratch; /* scratch is emptied after each transition */
    struct buf json;
    struct str id, workflow_sha256, workspace, output_dir, workflow_dir;
    /* own_limits: the workflow's, and where it says nothing, those of the environment; given_limits: of whoever carries
     * it on; limits: the lower ones (flow/limits.h). */
    struct run_limits limits, own_limits, given_limits;
    struct budget budget;
    /* env: of the start; life_env: what this life was given; variables: initial ones, evaluated */
    struct box *inputs, *env, *life_env, *variables;
    enum run_status status;
    bool started, force, mocked, inputs_found, stopping, aborting, cancelling;
    struct instance own;   /* workflow and inputs above, as those of frames */
    struct called *called; /* workflows that were read in the run, newest first (instance.c) */
    struct frame *root;
    struct str executing; /* path of the frame whose turn it is */
    struct frame *qhead, **qtail;
    struct frame *writing; /* whose turn it is in the workspace, or NULL */
    struct turn *turns;    /* who waits for one, in it or in a copy of it, in order */
    /* The run's own turn among the runs that work in its workspace. */
    enum { TURN_NONE, TURN_ASKED, TURN_HAS } turn;
    bool turn_used; /* somebody wrote: before another does, other runs are let in */
    struct turn_holder turn_holder;
    struct map flights;         /* entry of the cache -> who is making it, and who waits for it (flight.c) */
    bool walking;               /* a new life is still going through what the journal knows */
    struct map effects, timers; /* pending id -> frame; keys lie in the frames */
    uint64_t next_id;
    size_t sleeping, awaiting, held, parked; /* frames in these states; in flight = effects.n */
    size_t resting;                          /* steps whose time stands still */
    struct waits waits;
    struct run_totals totals;
    bool told_budget; /* that it is spent */
    bool told_price;  /* that it does not count some model's calls */
    unsigned nested;  /* variables of steps that are being evaluated */
    int64_t started_ms, journal_bytes, output_bytes;
    int64_t began_ms, resting_since, rested_ms; /* of this life: its beginning; when only answers could move it */
    bool over;                                  /* a limit: the run is being ended */
    struct str wanted; /* what the evaluation that just failed would have needed; empty: it failed for another reason */
    bool wanted_whole; /* with all that is in it (away_load()) */
    struct map shelf;  /* flow/shelf.h */
    struct shelved *shelf_newest, *shelf_oldest;
    size_t shelf_bytes, shelf_limit;
    size_t keep_bytes; /* run_options */
    bool answered;     /* workflow.output was evaluated: `output`, or `error` */
    uint64_t wall_timer;
    struct box *output, *error;
    /* recovery */
    struct map past;     /* path -> struct past */
    struct map voids;    /* path -> struct void_path */
    uint64_t resume_seq; /* of the newest resume after a failure: final errors before it are tried again */
    uint64_t force_seq, last_seq;
    uint64_t end_seq;     /* of the newest RECORD_END */
    bool open_outcome;    /* what effect_done() was told of an attempt has left no RESULT */
    int64_t worked_ms;    /* how long earlier lives carried the run on, as far as their records show */
    int64_t last_ms;      /* time of the newest record; */
    int64_t gap_ms;       /* and from there to the beginning of this life */
    bool carried;         /* somebody carried the run on when it was written */
    bool past_failed;     /* the newest RECORD_END says failed or cancelled */
    struct box *past_run; /* data of RECORD_RUN */
};

extern const struct frame_ops list_ops, step_ops, effect_ops, wait_ops;

/* run.c */
/* For data of a known size and shape. */
void run_append(struct run *r, enum record_kind kind, struct str path, uint32_t attempt, const struct val *data);
/* For data that holds values from outside: what could not be read back is not appended. RC_LIMIT. */
enum rc run_append_value(struct run *r, enum record_kind kind, struct str path, uint32_t attempt,
                         const struct val *data, struct err *err) MUST_CHECK;
void run_queue(struct frame *f, enum queued what);
static inline struct str run_id_key(const uint64_t *id) /* of run->effects and run->timers */
{
    return str_n((const char *)id, sizeof *id);
}
/* The root has ended. */
void run_finish(struct run *r);

/* frame.c */
/* An effect of its own is under way, with a new f->effect; and is not any more. The frame that it was of. */
void frame_effect_begins(struct frame *f);
struct frame *frame_effect_ended(struct run *r, uint64_t effect);
/* What the frame is on the queue for. */
void frame_turn(struct frame *f);
void frame_set_status(struct frame *f, enum frame_status s);
struct frame *frame_new(struct run *r, struct frame *parent, const struct frame_ops *ops, struct str path);
void frame_free(struct frame *f);
void frame_end(struct frame *f, bool ok, struct box *result); /* takes the reference */
void frame_end_cancelled(struct frame *f);                    /* unrecorded */
/* Stops what runs below `f`; drained() is called (queued) when nothing is left, at once if nothing was. */
void frame_drain(struct frame *f);
/* Stops this frame: it ends as failed with RC_CANCELLED, unrecorded. */
void frame_cancel(struct frame *f);
void frame_hold(struct frame *f, const char *why);
void frame_park(struct frame *f);
void frame_sleep(struct frame *f, int64_t ms);     /* timer() of the ops is called; status WAITING */
void frame_timer_set(struct frame *f, int64_t ms); /* status unchanged */
void frame_timer_clear(struct frame *f);
void frame_await(struct frame *f); /* status AWAITING */
struct str path_join(struct arena *a, struct str base, const char *segment);
const char *leave_name(enum leave l);        /* "break", "continue"; NULL for LEAVE_NO */
enum leave leave_of(const struct val *done); /* what a RECORD_DONE says of it */
int64_t run_now(const struct run *r);
/* The error object for what an expression in this frame said. */
struct box *frame_error(const struct frame *f, const struct err *err);
/* What the error says, with the file before its line. */
struct str frame_message(const struct frame *f, const struct err *err);
/* Long texts are cut, so that an error can always be recorded. */
struct box *error_box(enum rc rc, struct str code, struct str message, int64_t attempts, struct str step);
/* Ends the run as failed: no step can go on over a limit of the whole run. */
void run_over_limit(struct run *r, const char *code, struct str message);
/* The number in a variable of the environment that bounds runs: of this life where it has one above 0, else of the
 * start; 0: there is none. */
double run_bound(struct run *r, const char *name);
/* The variable that set the limit which has that offset in struct run_limits; NULL: the workflow did, or nobody. */
const char *run_bounded_by(struct run *r, size_t at);

/* Evaluates workflow.output; false: it needs what has left memory first. */
bool run_conclude(struct run *r);

/* frame_past.c */
const struct past *past_below(const struct frame *f, const char *segment);

/* frame_vars.c */
/* The list whose variables a step means. */
struct frame *frame_variables(const struct frame *f, bool local);
/* {scope, set}: what is recorded of variables, built in the run's scratch. */
struct val list_write(const struct frame *list, const struct val *values);
void list_set_all(struct frame *list, const struct val *values);

/* list.c */
struct list_state {
    const struct list_def *def;
    struct box **results;  /* by index in def; NULL: none yet */
    struct box **previous; /* of the loop's iteration before, borrowed from the loop; or NULL */
    uint8_t *state;        /* by index: waiting, running, ended */
    size_t next, ended;
    struct map late; /* name -> step_def: names that templates came to */
    struct map vars; /* name -> struct var; keys live in the var */
    bool is_loop;
    struct loop_scope loop;
    bool apart;                /* a called workflow that records its end itself */
    bool isolated;             /* works in a copy of the workspace */
    struct instance *instance; /* of the workflow that this list is the root of, when it was called; or NULL */
    struct box *error_var;     /* `error` inside an on_error handler, or NULL */
    struct box *failed;        /* there: the failed step's result */
    bool entering;             /* what is being fetched is for the question whether the iteration is skipped, */
    bool starting;             /* or for the variables of the workflow that was called */
};
struct var {
    char *name;
    size_t n;
    struct box *value;
};
void list_var_set(struct list_state *l, struct str name, const struct val *v);
/* The frame in which names are looked for next. */
static inline struct frame *frame_outward(const struct frame *f)
{
    return f->opaque ? NULL : f->parent;
}
static inline struct list_state *list_of(struct frame *f)
{
    return f->state;
}

/* effect.c */
/* Adds what a reply says that it cost to the run's totals; anything without `usage` costs nothing. */
void run_count_usage(struct run *r, const struct val *result);
/* The same for one sum. */
void spending_add(struct spending *s, const struct val *result);
bool effect_had_retries(const struct frame *f);

/* budget.c */
/* Adds what a call cost to what the steps around it have spent. */
void steps_count_usage(struct frame *f, const struct val *result);
/* Says, once a life, where a call that was answered has no known price and a budget in dollars is around it. */
void frame_unpriced(struct frame *f, const struct val *result);
/* What earlier lives have spent on calls below a step. */
struct spending budget_recalled(const struct past *p);

/* step_time.c: something below was worked on also between the earlier life and this one: the steps around it had less
 * time. */
void steps_count_gap(struct frame *f);
/* Is its time bounded here, and not by its effect? */
bool step_is_timed(const struct frame *f);
/* Has the attempt done its work? What still belongs to its end has no time of its own. */
bool step_is_done(const struct frame *f);
/* The step has all of its time again. */
void step_time_anew(struct frame *f);
/* It only waits, and nothing is left to do in the run: the time of the steps around it, and of a step that has any
 * itself, stands still as far as nothing else in them is at work. */
void steps_rest(struct frame *f);
/* It has something to do: their time goes on. */
void steps_work(struct frame *f);

/* wait.c */
/* Gives signals to those who wait for them; true when some frame went on. */
bool waits_match(struct run *r);
/* Whether the run should not end although only answers can move it. */
bool waits_keep(const struct run *r);
struct box *waits_error(const struct run *r);
/* What the journal has of signals: one that arrived, and that a result has taken one. */
void waits_fold_signal(struct run *r, const struct record *rec, struct box *data);
void waits_fold_result(struct run *r, const struct val *data);
void waits_free(struct run *r);

/* late.c */
/* Settles what is a template in the step's type and name. False: the step has failed. */
bool frame_settle_late(struct frame *f);
void frame_register_late(struct frame *f, struct str name);

/* hole_files.c: the files of {{file:PATH}} in a step's configuration. */
enum { TAG_FILE = INT32_MAX };
struct hole_files {
    struct map texts;  /* path -> struct str */
    struct str wanted; /* the path that an evaluation has asked for and that is not there yet */
    size_t n;
};
/* Of the step; NULL when the frame is none. */
struct hole_files *frame_files(const struct frame *f);
/* Reads, one after another, what the configuration asks for; then frame_files_read(). */
void frame_read_files(struct frame *f, struct hole_files *files);
/* Goes on after something else that the configuration reads had to be fetched. */
void frame_files_again(struct frame *f, struct hole_files *files);
void frame_file_read(struct frame *f, struct hole_files *files, struct frame *child);
/* step.c: the step goes on to be entered. */
void frame_files_read(struct frame *f);
/* instance.c: may a step have chosen the path of a file that the step's templates name? See frame_path_found(). */
bool frame_hole_path_found(const struct frame *f, struct str path);
/* The text of a file, or NULL: it is asked for now. */
const struct val *hole_file(struct frame *f, struct str path, struct arena *a);
/* workspace.c */
enum { WORKSPACE_TAG = 0x77730000 };
/* What the last attempt at a step changed is taken back, then it is entered. */
void workspace_restore(struct frame *f, void (*enter)(struct frame *f));
void workspace_turn(struct frame *f); /* QUEUED_TURN */
/* Nothing else is to be done: gives a free turn to the first that waits for it. True: there was one. */
bool workspace_grant(struct run *r);
/* A frame is held: while a person is waited for, other runs may write. */
void workspace_held(const struct frame *f);
bool workspace_may_write(const struct step_type *t);
/* steps_rest() for all that wait for a turn. */
void workspace_rest(const struct run *r);
/* Has it the turn in the workspace, or in a copy of it? */
bool workspace_writes(const struct frame *f);
void workspace_restored(struct frame *f, struct frame *child);
/* It waits for a turn of somebody who waits for it. */
bool workspace_in_vain(const struct run *r);
/* It wants no more; safe for any frame. */
void workspace_leave(struct frame *f);
/* Its attempt has failed: a turn that it waits for is not wanted any more, one that it has stays. */
void workspace_wait_over(struct frame *f);

/* flight.c: nothing else is to be done: whoever waits for a result that nobody is making may make it. True: there was
 * somebody. */
bool flight_grant(struct run *r);
/* steps_rest() for all that wait. */
void flights_rest(const struct run *r);
void flights_free(struct run *r);

/* isolate.c: a copy of the workspace for a list or an attempt at a step, and what is below it. */
/* Does the step say that its lists, or it itself, work in copies? */
bool isolate_wanted(const struct step_def *d);
/* Makes one, then calls go_on(). */
void isolate_open(struct frame *f, void (*go_on)(struct frame *f));
/* True when there is one to be taken over: it is, then go_on() is called. */
bool isolate_close(struct frame *f, void (*go_on)(struct frame *f));
/* What becomes of it does not matter any more: the attempt has failed. */
void isolate_drop(struct frame *f);
/* Is the child one of its own effects? Then, if it ended well, isolate_done() goes on. */
bool isolate_is(const struct frame *child);
void isolate_done(struct frame *f, const struct frame *child);
/* Who writes to the workspace in which the frame works; NULL there: nobody. */
struct frame **isolate_writing(struct frame *f);
/* The request, with what says where it is to be carried out. */
struct val isolate_located(struct frame *f, enum effect_kind kind, struct val request);

/* scope_away.c */
/* `v` with all that has left memory in its place, built in `a`; fails with run->wanted set when it must be fetched. */
enum rc scope_whole(struct frame *f, const struct val *v, struct arena *a, struct val *ret, struct err *err);
/* A part of a result that is looked into, from the shelf where it has left memory; null, and run->wanted set, where it
 * must be fetched first. The iterations of a loop stay where they are. */
const struct val *scope_there(const struct frame *f, const struct val *v);
/* Goes on along the path while parts of the value may be away. */
enum rc scope_follow_away(struct frame *f, const struct val *key, size_t n, struct arena *a, const struct val **ret,
                          size_t *ret_used, struct err *err);
/* Something is wanted: the error that says so. */
enum rc scope_must_fetch(const struct run *r, struct err *err);

/* scope.c */
enum rc scope_resolve(void *ctx, const struct val *key, size_t nkeys, struct arena *a, const struct val **ret,
                      size_t *ret_used, struct err *err);
/* expr_scope.count */
bool scope_count(void *ctx, const struct val *key, size_t nkeys, struct arena *a, int64_t *ret);
/* expr_scope.fields */
bool scope_fields(void *ctx, const struct val *key, size_t nkeys, struct arena *a, struct val *ret);
/* expr_scope.lacking */
const struct val *scope_lacking(void *ctx, const struct val *object, const struct val *key, size_t at, struct arena *a);
/* Is the name alone, in that frame, something that the author has called so, rather than the engine? */
bool scope_is_authors(struct frame *f, struct str name, struct arena *a);
/* The same for conditions: unset variables are null. */
enum rc scope_resolve_asking(void *ctx, const struct val *key, size_t nkeys, struct arena *a, const struct val **ret,
                             size_t *ret_used, struct err *err);
/* The variable's value seen from there, or NULL. */
/* What steps.NAME.key[1]… is where `result` is the result of that step; key[0] is its name. */
const struct val *scope_of_result(const struct frame *f, const struct step_def *def, const struct val *result,
                                  const struct val *key, size_t n, struct arena *a, size_t *ret_used);
/* flow/expect.c: whether the result holds what `expected_outputs` says. False: the step has failed. */
bool expect_met(struct frame *f, const struct val *result);
const struct val *scope_variable_of(const struct frame *from, struct str name);

/* scope_all.c: all results that are seen from there, by the names of their steps; all fields of a loop, and one. */
const struct val *scope_all_results(const struct frame *from, struct arena *a);
const struct val *scope_all_of_loop(const struct loop_scope *s, struct arena *a);
const struct val *scope_loop_field(const struct loop_scope *s, struct str name, struct arena *a);
/* In the list of an on_error: the result of the step called `name` that failed; else NULL. */
const struct val *scope_failed(const struct frame *f, struct str name);

/* scope_names.c */
#define SCOPE_TIMER   "timer:"   /* begins the names of variables that are timers */
#define SCOPE_SESSION "session:" /* the variable of the run that names its newest session */
enum { SCOPE_NESTED_MAX = 8 };   /* variables of a step that read variables of the step */
/* workflow.x, step.x, environment.x and the like; NULL: none of them. *used: parts of the key that it stands for. */
const struct val *scope_named(struct frame *f, const struct val *key, size_t n, struct arena *a, size_t *used);
/* Does the name take a field that it gives a meaning? */
bool scope_is_named(struct str head);
/* A variable of the step at hand, evaluated; NULL: it has no such variable, or it cannot be evaluated. */
const struct val *scope_step_variable(struct frame *f, struct str name, struct arena *a);
struct str scope_timer_name(struct arena *a, struct str timer);

/* recover.c */
struct past *past_find(const struct run *r, struct str path);
void past_free_all(struct run *r);
void past_reopen(struct run *r);
bool past_cancelled(const struct past *p);
/* Was some effect below that was to change the workspace under way when its last life ended? */
bool past_interrupted(const struct run *r, struct str path);
/* How long the attempt under way had been worked on when its last life ended. */
int64_t past_worked(const struct run *r, const struct past *p);
/* Iterations `first` to `last` of the loop have not ended well. */
void past_forget(struct past *loop, size_t first, size_t last);
/* Milliseconds left of a wait that began with the past's result. */
int64_t past_wait_left(const struct past *p, int64_t wait, int64_t now);

/* instance.c */
void called_free_all(struct run *r);

/* retry.c */
/* Milliseconds until the next attempt, or -1: no more. `explicit_only`: without a written policy there is no retry. */
int64_t retry_delay(const struct retry_policy *p, uint32_t failures, enum rc rc, int64_t retry_after_ms,
                    uint64_t random);
