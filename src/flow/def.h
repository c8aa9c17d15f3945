#pragma once
/* A loaded workflow: what a YAML file means, checked and compiled, before anything runs.
 *
 * A `struct workflow` owns one arena with everything in it and is immutable after load; runs share it by counting
 * references. Nothing here knows how a step is executed: that is flow/step.h and step/. */
#include "data/template.h"

struct step_type;
struct list_def;
struct places;

/* A condition: an expression, a constant, or and/or/not over conditions. */
struct cond {
    enum { COND_CONST, COND_EXPR, COND_AND, COND_OR, COND_NOT } kind;
    bool constant;
    const struct expr *expr;
    const struct cond *const *sub; /* AND, OR: n; NOT: 1 */
    size_t n;
    struct str text; /* as written, for messages ("skipped because … is false") */
};

struct retry_policy {
    bool set;             /* written in the workflow (step or defaults) */
    int64_t max_attempts; /* 1 = no retry */
    enum { BACKOFF_EXPONENTIAL, BACKOFF_LINEAR, BACKOFF_FIXED } backoff;
    int64_t delay_ms, max_delay_ms;
    double factor;       /* exponential: of a delay over the one before; 0: 2 */
    bool jitter, longer; /* longer: each attempt has `factor` times the time of the one before */
    uint64_t on;         /* bit per enum rc; 0 = the default set */
};

/* Adds the classes of errors that `name` stands for in `retry.on`, or in an older spelling of it, to *on. False:
 * unknown. */
bool retry_class(struct str name, uint64_t *on);
/* Would a first failure of that class be tried again? */
bool retry_would(const struct retry_policy *p, enum rc rc);

enum on_error { ON_ERROR_FAIL, ON_ERROR_CONTINUE, ON_ERROR_GOTO, ON_ERROR_STEPS };
enum on_interrupt { ON_INTERRUPT_DEFAULT, ON_INTERRUPT_RETRY, ON_INTERRUPT_HOLD, ON_INTERRUPT_FAIL };

struct budget {
    double usd;     /* < 0: none */
    int64_t tokens; /* < 0: none */
};

/* One of the lists of a KEY_BRANCHES key. */
struct branch {
    struct str name; /* its key */
    uint32_t line, col;
    const struct list_def *list;
};

/* One of a step's `variables`: evaluated wherever it is read. */
struct step_variable {
    struct str name;
    const struct tmpl_tree *value;
};

/* A step's `cache` (flow/cache.h). */
struct cache_def {
    const struct tmpl_tree *values; /* {key?, ttl?}, templates; or NULL */
    bool has_key;                   /* else the type says what makes the key */
    bool by_workspace;              /* a result is good in the workspace only that it was made in */
    bool unsaid;                    /* by the workflow's defaults */
    int64_t ttl_ms;                 /* where `values` says none; 0: the default */
    const struct cond *const *conditions;
    size_t nconditions;
};

/* What a workflow says for all its steps. */
struct cache_defaults {
    bool results, off; /* every model step without tools uses the cache; no step does */
    int64_t ttl_ms;    /* 0: not said */
    int64_t max_bytes; /* of all that is kept; 0: not said */
};

struct step_def {
    struct str name, description;
    const struct step_type *type;
    struct str type_name;        /* as written (an alias keeps its own) */
    const struct list_def *list; /* the list it stands in */
    const struct workflow *workflow;
    size_t index; /* in that list */
    uint32_t line, col;
    const struct val *source; /* the step as written: compared when a run is resumed with another file */

    const struct cond *condition; /* NULL: always */
    const size_t *depends_on;     /* indices in the list */
    size_t ndepends;
    int64_t timeout_ms;      /* 0: none */
    struct str timeout_code; /* of the error when it strikes; empty: the class's */
    int64_t warn_ms;         /* of an attempt: then people are told that it is still at work; 0: never */
    bool timeout_ends_run;   /* when it strikes */
    bool timeout_goes_on;    /* then the list goes on, with what there is of a result */
    struct retry_policy retry;
    enum on_error on_error;
    size_t goto_index;              /* ON_ERROR_GOTO: a later step of the same list */
    const struct list_def *handler; /* ON_ERROR_STEPS */
    enum on_interrupt on_interrupt;
    const struct tmpl *output_to_file; /* NULL: no */
    const struct val *output_schema;   /* NULL: none */
    struct str output_to_global;       /* the variable that its value becomes, or empty */
    const struct str *clear_vars;      /* variables, or paths in them, that become null with its good end */
    size_t nclear_vars;
    struct str error_output; /* a second name of `error` where it failed and the list goes on, or empty */
    struct budget budget;
    const struct cache_def *cache;         /* NULL: its result is not kept */
    bool cache_said;                       /* it says whether it is */
    const struct step_variable *variables; /* of the step: read as step.variables.x */
    size_t nvariables;
    const struct step_variable *expected; /* expected_outputs */
    size_t nexpected;
    struct str timer;      /* metadata.timer_start, or empty */
    struct str value_name; /* the field of the result that is its value, a name of its own; or empty */

    const struct tmpl *late_type; /* its type is a template, known when it starts; else NULL */
    const struct tmpl *late_name; /* so is its name: a second one, beside `name` */
    struct str late_name_text;    /* as written */
    bool inputs_read;             /* somebody reads steps.NAME.inputs of it */
    bool reads_files;             /* some {{file:PATH}} stands in its configuration */

    const struct tmpl_tree *config;      /* the type's keys that may hold templates: evaluates to an object */
    const struct val *data;              /* the type's keys that are taken literally: an object */
    const struct cond *const *conds;     /* by slot of the type's KEY_COND keys; NULL where absent */
    const struct list_def *const *lists; /* by slot of the type's KEY_STEPS keys; NULL where absent */
    struct workflow *child;              /* the workflow that the step calls, where it is known before a run; NULL */
    const struct branch *branches; /* of the type's KEY_BRANCHES key, as written; each list has this step as owner */
    size_t nbranches;
    bool task_template; /* the one branch is done for each item of a list that the run computes: sees item and task */
};

struct list_def {
    const struct step_def *const *steps;
    const size_t *by_name; /* indices ordered by name, for list_find */
    size_t n;
    const size_t *by_value; /* indices of the steps with a value_name, ordered by it */
    size_t nvalues;
    bool graph;            /* some step has depends_on */
    bool keeps_last;       /* some step's body can be read after it (step_type.keeps_last) */
    const uint64_t *reach; /* graph: a row of (n + 63) / 64 words a step, a bit for all it depends on, indirectly too */
    const struct step_def *owner; /* the step whose body this is; NULL for the workflow's own list */
    struct str iterator;          /* the loop's named iterator inside this body, or empty */
};

struct input_def {
    struct str name, description;
    enum val_type type; /* VAL_NULL: any; VAL_DOUBLE: any number */
    bool required;
    const struct val *fallback; /* NULL: none */
    const struct val *choices;  /* array of the values that are allowed, or NULL */
};

/* What is read and neither declared nor set here (flow/wanted.c): inputs.x, a bare name, a variable of a caller. */
enum wanted_kind { WANTED_INPUT, WANTED_BARE, WANTED_VARIABLE };
struct wanted_input {
    enum wanted_kind kind;
    struct str name;
    uint32_t line, col; /* where it is read first */
};

struct run_limits {
    int64_t wall_ms, frames, memory, journal, output, max_parallel, max_depth; /* 0: none */
    int64_t workspace; /* bytes of files in it, looked at after each step that may have written there */
};

struct file_ref {
    struct str path; /* as written */
    const struct step_def *step;
    uint32_t line, col;
};

/* What a model call does when the run's budget is spent. */
enum over_budget { OVER_BUDGET_PAUSE, OVER_BUDGET_CONTINUE, OVER_BUDGET_ABORT };

struct workflow {
    uint32_t refs;
    struct arena arena;
    struct str name, description, file; /* file: as given, for messages */
    struct str text;              /* the whole source, as pinned, all files of it; empty inside a step of another */
    const struct source *sources; /* those files, this one first */
    size_t nsources;
    struct str path;            /* what tells its file from others; empty where it was not read from one */
    struct str dir;             /* its file's directory; empty when unknown */
    bool found;                 /* come upon in a run: its files may be a model's, and lead nowhere outside */
    bool inherits_functions;    /* those that its caller declares */
    struct workflow **children; /* those that steps of it call and that are known, itself not; a reference each */
    size_t nchildren;
    const struct input_def *inputs;
    size_t ninputs;
    const struct tmpl_tree *variables; /* evaluates to an object */
    const struct tmpl_tree *output;    /* NULL: all results */
    bool keeps_variables;              /* some step sets variables of scope session: those of earlier runs are known */
    struct str workspace_dir, output_dir; /* empty: defaults */
    bool workspace_must_exist;            /* `treadle run` makes none */
    bool outputs_by_step;                 /* output_to_file is below a directory with the step's name */
    struct organized {
        bool by_date, by_workflow, by_execution;
    } organized;                /* and that below others, by the run */
    const struct val *defaults; /* the `defaults` object, or an empty one */
    const struct val *source;   /* all keys of the workflow as written */
    struct budget budget;
    enum over_budget over_budget;
    const struct str *env, *secrets; /* names */
    size_t nenv, nsecrets;
    const struct wanted_input *wanted; /* what must be given */
    size_t nwanted;
    bool names_open; /* steps may come to set variables of which nothing here says the names */
    struct run_limits limits;
    struct cache_defaults cache;
    const struct list_def *root;
    const struct step_def *const *all; /* every step, for lookups */
    size_t nall;
    struct places *places; /* of its files, for steps that are read late */
    struct retry_policy default_retry;
    int64_t default_timeout_ms;
    bool default_continue;
    const struct file_ref *files; /* prompt files with a name that is known before a run */
    size_t nfiles;
};

struct workflow *workflow_ref(struct workflow *w);
void workflow_unref(struct workflow *w);

/* The workflow and all that it calls, directly or not, as far as they are known: each once, callers before what only
 * they call. In `a`. */
const struct workflow *const *workflow_all(const struct workflow *w, struct arena *a, size_t *n);

/* `by_workflow` wants outputs in a directory of the workflow's name, which is any text: can it be one's? */
bool workflow_names_directory(const struct workflow *w);
#define NO_NAMED_DIRECTORY                                                                                          \
    "`by_workflow` needs a directory of the name of the workflow, and `%s` can be none; expected a `name` without " \
    "`/` that is not `.` or `..`, or by_workflow: false"

/* The step as it is once its type is known; in `a`. RC_INVALID with the place. */
enum rc load_late(const struct workflow *w, const struct step_def *s, struct str type, struct arena *a,
                  const struct step_def **ret, struct err *err) MUST_CHECK;
/* Does the name of an environment variable (in capitals) say that it holds a credential? */
bool env_looks_secret(struct str name);
/* Is the environment variable one that templates may read? */
bool workflow_env_listed(const struct workflow *w, struct str name);
/* The step called `name` in the list, or NULL. */
const struct step_def *list_find(const struct list_def *l, struct str name);
/* The i-th step of the list, or the nearest before it, whose body can be read after it and has a step called `name`;
 * NULL when there is none. */
const struct step_def *list_find_last(const struct list_def *l, size_t i, struct str name);

/* Collected problems of one load: all of them, in the order of their place. */
struct problem {
    uint32_t line, col;
    struct str text; /* "what is wrong; what was expected", remedy included */
    bool warning;
};
/* One of the files of a workflow. */
struct source {
    struct str name, text;
};
/* Where a load finds other files and the environment, for workflows that extend or include others. */
struct load_files {
    void *ctx;
    enum rc (*read)(void *ctx, struct str path, struct arena *a, struct str *ret, struct err *err);
    const char *(*env)(void *ctx, const char *name); /* NULL: not set */
};
struct problems {
    struct arena *a;
    const struct source *sources; /* of the last load: lines say which by their upper bits (flow/compose.h) */
    size_t nsources;
    struct problem *v;
    size_t n, cap, errors;
};
/* What goes beyond this is only counted (errors) or dropped (warnings). */
enum { PROBLEMS_ERRORS_MAX = 300, PROBLEMS_WARNINGS_MAX = 100 };
bool problems_full(const struct problems *p, bool warning);
void problem_add(struct problems *p, bool warning, uint32_t line, uint32_t col, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
/* Orders by place (stable). workflow_load() has done it. */
void problems_sort(struct problems *p);
/* Drops what was told of the same file before: it may be loaded once more for a caller that lets it see other names. */
void problems_drop(struct problems *p, const struct problems *told);
/* For people: "FILE:LINE:COL: error: TEXT", the line of the source with a caret under the place, and a last line that
 * counts. Control characters are shown as `?`. Writes nothing when there are no problems. */
struct buf;
void problems_print(struct buf *out, struct str file, struct str text, const struct problems *p);

/* Loads and checks a workflow. Problems go into `ps` (its arena is the caller's); returns NULL when there is any error
 * among them. `file` is for messages. Pure: missing prompt files are looked for by the caller (workflow.files). One
 * reference. */
struct workflow *workflow_load(struct str text, struct str file, struct problems *ps);
/* Where the text of a workflow comes from. */
struct workflow_text {
    struct str path; /* the same for the same file, whatever it was called by */
    struct str file; /* for messages */
    struct str dir;  /* where names in it are relative to */
    struct str text;
};
/* Reads what steps name. `stored`: by the name of a stored workflow. All texts are put into `a`. `problems` is called
 * for each file that was loaded, also without problems. */
struct workflow_reader {
    enum rc (*read)(void *ctx, struct str dir, struct str name, bool stored, struct arena *a, struct workflow_text *ret,
                    struct err *err);
    void (*problems)(void *ctx, const struct workflow_text *t, const struct problems *ps); /* or NULL */
    /* Is the file of a prompt there, for a workflow in `dir` with that workspace? NULL: it is not asked. */
    bool (*there)(void *ctx, struct str path, struct str dir, struct str workspace);
    /* A file turned out to be made of several: the text to record in place of its own. */
    void (*pinned)(void *ctx, const struct workflow_text *t, struct str text);
    void *ctx;
    const struct load_files *files; /* for what files extend and include; NULL: nothing */
};
/* What is said about one that is not: a format for its path. */
#define NO_PROMPT_FILE \
    "prompt file `%.*s` cannot be read; looked beside the workflow, in the current directory and in the workspace"
/* May a step of the workflow other than `reader` make a file that it reads? */
bool workflow_may_make_files(const struct workflow *w, const struct step_def *reader);
/* The same, and loads and checks the files of workflows that it calls. */
struct workflow *workflow_load_with(const struct workflow_text *t, const struct workflow_reader *r,
                                    struct problems *ps);
/* What a workflow that is called sees of its caller, for the checks of its names: flags. */
enum inherits { INHERITS_NAMES = 1, INHERITS_FUNCTIONS = 2 };
/* By the `config` of the step that calls it; what is still a template may come to be either. */
unsigned call_inherits(const struct val *config);
/* What a block of settings {claude: {model, temperature, max_tokens}, gemini: {…}} says, as keys of `defaults`. */
void providers_defaults(struct arena *a, const struct val *providers, struct val_map *ret);
/* Loads a workflow that a run has come upon; `inherits`: enum inherits. `files` (or NULL): what it
 * extends and includes. */
struct workflow *workflow_load_called(const struct workflow_text *t, unsigned inherits, const struct load_files *files,
                                      struct problems *ps);
/* The file and line that a line number stands for, which may come from another file than workflow.file. */
struct str workflow_place(const struct workflow *w, uint32_t *line);
/* A condition as written (text, boolean, or a map), for those that a step type keeps in its configuration, such as
 * `condition` of a prompt part. RC_INVALID or RC_EXPRESSION, "line:col: what; what was expected". */
enum rc cond_parse(struct arena *a, const struct val *v, const struct cond **ret, struct err *err) MUST_CHECK;
/* Evaluates a condition. Unknown fields of known things are null in it. */
enum rc cond_eval(const struct cond *c, struct expr_scope *scope, struct arena *a, bool *ret,
                  struct err *err) MUST_CHECK;
/* The paths an expression in the condition reads. */
enum rc cond_each_path(const struct cond *c,
                       enum rc (*cb)(void *ctx, const struct expr_path *path, bool soft, struct err *err), void *ctx,
                       struct err *err) MUST_CHECK;
/* Given inputs against the declared ones: defaults filled in, types checked, unknown ones refused. RC_USAGE. */
enum rc workflow_inputs(const struct workflow *w, const struct val *given, struct arena *a, struct val *ret,
                        struct err *err) MUST_CHECK;
/* Is there something for all that a run of it must be given? `inputs`: as workflow_inputs() made them; `option`: what
 * gives one, such as "--input ". RC_USAGE with all that is missing, and the places. */
enum rc workflow_names_known(const struct workflow *w, const struct val *inputs, const char *option,
                             struct err *err) MUST_CHECK;
/* The same of a workflow that is called, as far as inputs.x goes: its caller's variables may be its own. */
enum rc workflow_call_known(const struct workflow *w, const struct val *inputs, struct err *err) MUST_CHECK;
/* What gives the undeclared inputs that every run must be given, as far as one message goes: "--input a=… --input b=…
 * and 7 more", or nothing. `option`: as above. In `a`. */
struct str workflow_wanted_options(const struct workflow *w, const char *option, struct arena *a);
/* Is it one that the workflow declares? Any is, where none is declared. */
bool workflow_takes_input(const struct workflow *w, struct str name);
/* What the command line's `NAME=TEXT` means for input `name`: read as its declared type (JSON for arrays and objects);
 * text where it is a string or not declared. RC_USAGE. */
enum rc workflow_input_text(const struct workflow *w, struct str name, struct str text, struct arena *a,
                            struct val *ret, struct err *err) MUST_CHECK;
