#pragma once
/* What the files of the loader share: its context, its messages and its parts, in the order they run.
 *
 * Nobody but load*.c, check*.c, cond.c and workflow.c includes this. Everything is allocated in the workflow's arena,
 * except problems, which go to the caller's. No function here stops at the first mistake: what is wrong is reported,
 * something harmless is put in its place, and the workflow is thrown away at the end. */
#include "base/map.h"
#include "data/transform.h"
#include "flow/def.h"
#include "flow/keys.h"
#include "flow/nearest.h"
#include "flow/range.h"

enum {
    LOAD_TEXT_MAX = 32 << 20,  /* bytes of a workflow */
    LOAD_DEPTH_MAX = 32,       /* lists of steps inside one another */
    LOAD_LIST_MAX = 200000,    /* steps of one list */
    LOAD_FILES_DEPTH_MAX = 50, /* files that call one another */
    LOAD_BRANCHES_MAX = 10000, /* lists of one map of lists */
    LOAD_GRAPH_MAX = 5000,     /* steps of a list with depends_on */
    LOAD_STEPS_MAX = 250000,   /* steps in all */
    LOAD_NAMES_MAX = 1000,     /* inputs; names in env or secrets */
    LOAD_PATH_MAX = 500,       /* bytes of a path into a variable */
    LOAD_NAME_MAX = 100,       /* bytes of a step's name */
    LOAD_ATTEMPTS_MAX = 1000,  /* retry.max_attempts */
    LOAD_FACTOR_MAX = 100,     /* retry.backoff_factor */
    LOAD_ADVICE_MAX = 3000000, /* names compared in search of near ones */
    COND_DEPTH_MAX = 32,       /* and/or/not inside one another */
};

/* A name or text cut to what a message can show. */
struct clip {
    char z[88];
};
struct clip clip(struct str s);

struct line_measure {
    uint32_t line, indent, n; /* spaces that it begins with, and characters in all */
};
/* Where text stands in the file, for places inside block and quoted scalars (load_place.c). */
struct places {
    struct str text;
    const uint32_t *start; /* offsets of the lines */
    uint16_t *shift;       /* by line: columns that the block scalar there is indented by; 0 outside */
    uint32_t lines;
    struct line_measure *measured; /* of lines that were looked at lately */
    uint32_t seen_line, seen_col;  /* character looked at last, */
    size_t seen_at;                /* and its byte in the line */
    struct places *more;           /* of the other files */
    size_t nmore;
};

/* Checked once all steps are known. */
struct later {
    /* LATER_TALK: `step` needs a session */
    enum { LATER_COND, LATER_STEP, LATER_TALK, LATER_TRANSFORM, LATER_VARIABLE, LATER_EXAMPLE } kind;
    const struct step_def *step;
    const struct cond *cond; /* LATER_COND: read in the scope of `step` */
    struct str name, field;  /* LATER_STEP: a step that `step` reads, and which field of its result; or a variable */
    uint32_t line, col;
    const struct transform *transform; /* LATER_TRANSFORM: read in the scope of `step` */
    const struct val *config;          /* LATER_EXAMPLE: the step's, with code blocks in its prompt */
};

/* A step that calls a workflow in a file. */
struct call_ref {
    struct step_def *step;
    const struct val *at; /* the file's name */
    bool stored;
    unsigned inherits;
};
/* A file being loaded, and the one that called it. */
struct open_file {
    struct str path, file;
    const struct open_file *up;
};
/* All files of one load. */
struct loaded_file {
    struct loaded_file *next;
    struct str path;
    unsigned inherits;
    struct workflow *w; /* a reference; NULL: it has mistakes */
    struct problems ps; /* those that were told */
};
struct loaded_files {
    struct loaded_file *first;
};

struct loader {
    struct workflow *w;
    struct arena *a;
    struct problems *ps;
    struct places places;
    struct step_def **all;
    size_t nall, all_cap;
    struct later *later;
    size_t nlater, later_cap;
    struct file_ref *files;
    size_t nfiles, files_cap;
    struct map by_name;  /* any step of that name, the first met */
    uint64_t advice;     /* names that may still be compared for "did you mean" */
    struct map noticed;  /* unused keys that were warned about */
    struct map assigned; /* names that some set_variable step, or `variables`, sets: to the text itself */
    struct str **names;  /* the same, in the order met */
    size_t nnames, names_cap;
    struct val_map variables;     /* `variables` and `global_vars` */
    const struct step_def **late; /* steps whose name is a template */
    size_t nlate, late_cap;
    struct map timers;     /* names that some metadata.timer_start gives */
    struct str *found_env; /* environment variables that templates read without their being listed */
    size_t nfound_env, found_env_cap;
    struct wanted_input *wanted;
    size_t nwanted, wanted_cap;
    struct map wanted_names[WANTED_VARIABLE + 1]; /* the same, by kind */
    struct map asked;                             /* what conditions of steps read (wanted.c) */
    bool names_open;                              /* workflow.names_open */
    bool bare_inputs;     /* inputs may be read without `inputs.`, as in older workflows: none is declared */
    unsigned inherits;    /* enum inherits: names that are unknown here may be the caller's */
    bool inside;          /* a workflow written inside a step */
    bool in_run;          /* a step whose type has become known in a run */
    bool keeps_variables; /* workflow.keeps_variables */
    const struct workflow_reader *reader; /* or NULL */
    const struct open_file *open;
    struct loaded_files *loaded;
    struct call_ref *calls;
    size_t ncalls, calls_cap, children_cap;
    bool too_many; /* LOAD_STEPS_MAX was reported */
    /* from `defaults` and the old workflow-level keys */
    struct retry_policy retry;
    int64_t timeout_ms;
    double step_usd; /* a model step's budget; < 0: none */
    bool continue_on_error;
};

/* ---- problems (load_place.c) ---- */

#define BAD(l, v, ...)  problem_add((l)->ps, false, (v)->line, (v)->col, __VA_ARGS__)
#define WARN(l, v, ...) problem_add((l)->ps, true, (v)->line, (v)->col, __VA_ARGS__)
/* May `n` more names be compared? Large workflows with many mistakes get fewer hints, not slower answers. */
static inline bool load_advice(struct loader *l, size_t n)
{
    if (n > l->advice)
        return false;
    l->advice -= n;
    return true;
}
/* Of all files of a workflow; lines say which (flow/compose.h). */
void places_init_all(struct places *p, struct arena *a, const struct source *sources, size_t n);
/* The value with the places of its texts moved to where their content begins. */
struct val places_content(struct places *p, struct arena *a, const struct val *v);
/* Corrects a place that was counted inside such a text. */
void places_fix(struct places *p, uint32_t *line, uint32_t *col);
/* Does a comment stand there right behind a key, where its value could be? */
bool places_comment(struct places *p, uint32_t line);
/* Reports what a parser said about a text that stands at `v`; its message may begin with a place. */
void load_bad_err(struct loader *l, const struct val *v, const struct err *e);
/* "did you mean `x`?", or "expected `rest`" when nothing is near. */
const char *load_hint(struct loader *l, const struct nearest *n, const char *rest);
/* The key is not in any table: nearest name, or the names of `table`. `owner` says whose key. */
void load_unknown_key(struct loader *l, const struct member *m, const char *owner, const struct step_key *table,
                      const struct step_key *table2);
/* The same in blocks that may hold keys of others, where only what differs from one of the table in one letter is meant
 * to be it; false: it does not. */
bool load_misspelt_key(struct loader *l, const struct member *m, struct str owner, const struct step_key *table);
/* True when the key is one that has no effect here; warns, once a name. */
bool load_unused_key(struct loader *l, const struct member *m, const struct unused_key *table);

/* ---- values (load_value.c); false: reported ---- */

/* "text", "a list", …: the words for what was found. */
static inline const char *load_found(const struct val *v)
{
    return key_found(v);
}
bool load_text(struct loader *l, const struct member *m, struct str *ret);
bool load_bool(struct loader *l, const struct member *m, bool *ret);
/* Numbers, by the row that `table` has for the key: its kind, its unit and its range. */
bool load_int(struct loader *l, const struct step_key *table, const struct member *m, int64_t *ret);
bool load_number(struct loader *l, const struct step_key *table, const struct member *m, double *ret);
bool load_duration(struct loader *l, const struct step_key *table, const struct member *m, int64_t *ret_ms);
bool load_object(struct loader *l, const struct member *m);
/* Names of environment variables. */
bool load_names(struct loader *l, const struct member *m, const struct str **ret, size_t *n);
void load_budget(struct loader *l, const struct member *m, struct budget *ret);
void load_limits(struct loader *l, const struct member *m, struct run_limits *ret);
void load_retry(struct loader *l, const struct member *m, struct retry_policy *ret);
/* The classes of errors that a retry is for, in words of older workflows too. */
void load_retry_on(struct loader *l, const struct member *m, uint64_t *on);
void load_retries(struct loader *l, const struct step_key *table, const struct member *m, struct retry_policy *ret);
struct retry_policy load_retry_default(void);
/* Reports every template in `v` that does not parse; then compiles. NULL: reported. */
const struct tmpl_tree *load_tree(struct loader *l, const struct val *v);
const struct cond *load_cond(struct loader *l, const struct val *v);

/* ---- parts ---- */

/* load.c */
void load_later(struct loader *l, const struct later *x);
void load_assigned(struct loader *l, struct str name);
/* Warns where `what`, "the variable", has a name that alone means something else: it can be read as WAY.NAME only. */
void load_taken_name(struct loader *l, const char *what, const char *way, struct str name, uint32_t line, uint32_t col);
/* Is it a name that templates can read as it stands? (load_type.c) */
bool load_plain_name(struct str name);
/* An environment variable that a template reads by its bare name. */
void load_found_env(struct loader *l, struct str name);
/* The path of a directory that the workflow names. */
void load_directory(struct loader *l, const struct member *m, struct str *ret);
/* load_settings.c: false: it is another key. */
bool load_settings(struct loader *l, const struct member *m);
/* With all steps: outputs of a run of this workflow must have a directory to lie in. */
void load_named_directory(struct loader *l);
/* load_old.c: the workflow's keys of older files. */
void load_old_key(struct loader *l, const struct member *m);
/* What blocks such as `providers` say about models, as keys of `defaults`. */
void load_old_defaults(struct loader *l, const struct val *root, struct val_map *ret);
/* load_step.c: a list of steps. Never NULL; what is no step is left out. */
const struct list_def *load_list(struct loader *l, const struct val *v, const struct step_def *owner,
                                 struct str iterator, unsigned depth);
/* load_late.c: steps whose type or name is a template. */
void load_late_type(struct loader *l, struct step_def *s, const struct val *v);
void load_late_name(struct loader *l, struct step_def *s, const struct val *v);
void load_late_keys(struct loader *l, struct step_def *s);
/* The name of such a step in paths and results: make_{{ inputs.lang }} is make_inputs_lang. */
struct str late_plain_name(struct arena *a, struct str name);
/* May a step come to be called so? */
bool late_matches(const struct loader *l, struct str name);
/* load_step.c: the keys of the type of a step whose other keys have been read. */
void load_late_type_keys(struct loader *l, struct step_def *s, unsigned depth);
extern const struct step_type step_late;
/* load_dialect.c: the step in its modern form; `step` itself when it is. */
const struct val *load_modern_step(struct loader *l, const struct val *step);
/* The value with `${X}` in its texts turned into holes. */
struct val load_dollars(struct loader *l, const struct val *v);
/* Tells, once a spelling, what the key is called today. */
void load_older(struct loader *l, const struct member *m, const char *modern);
/* load_common.c: keys that every step has. */
struct common {
    const struct member *depends_on, *goto_step; /* read when all names of the list are known */
    bool timeout_set, retry_set, on_error_set;
};
void load_common_key(struct loader *l, struct step_def *s, struct common *c, const struct step_key *row,
                     const struct member *m, unsigned depth);
/* load_outcome.c: what becomes of a result; false: it is another key. And once all keys of the step are read. */
bool load_outcome_key(struct loader *l, struct step_def *s, struct str key, const struct member *m);
void load_outcome_check(struct loader *l, const struct step_def *s);
/* load_cache.c: `cache` of a step; then, once all its keys are read, what is so in the end, allocated in `a`. */
void load_cache(struct loader *l, struct step_def *s, const struct member *m);
void load_cache_settle(struct loader *l, struct step_def *s, struct arena *a);
void load_cache_config(struct loader *l, const struct member *m);
/* load_call.c: a step that calls a workflow; and the files that such steps name, once all steps are read. */
void load_call(struct loader *l, struct step_def *s, const struct common *c, unsigned depth);
void load_called_files(struct loader *l);
/* load_call_blocks.c: checks a block in its `config`; false: the row is of none. */
bool load_call_block(struct loader *l, const struct step_key *row, const struct member *m);
/* load_call_config.c: its `config`; and that with `${X}` in its paths turned into holes. */
struct val load_call_paths(struct loader *l, const struct val *config);
void load_call_config(struct loader *l, struct step_def *s, const struct common *c);
/* load.c: a workflow written inside another, called `name` unless it says otherwise; and one in another file. NULL:
 * reported. The caller gets a reference. */
struct workflow *load_inner(struct loader *up, const struct val *v, struct str name, unsigned inherits, unsigned depth);
struct workflow *load_other(struct loader *up, const struct workflow_text *t, unsigned inherits);
/* load_type.c: the type's own keys; compiles the configuration. `depth` is of the step's list. */
void load_type_keys(struct loader *l, struct step_def *s, unsigned depth);
/* load_tasks.c: the tasks of a group become its branches; what the group itself needs is added to the two maps. */
void load_tasks(struct loader *l, struct step_def *s, struct val_map *config, struct val_map *data, unsigned depth);
/* load_each.c: a KEY_EACH key that holds steps becomes the one branch of `s`. False: it holds none, and is data. */
bool load_each(struct loader *l, struct step_def *s, const struct step_key *row, const struct val *v, unsigned depth);
/* load_exchanges.c: the exchanges of a conversation as a list of steps. */
const struct list_def *load_exchanges(struct loader *l, struct step_def *s, const struct val *v, unsigned depth);
/* An object with what is in either; `over` wins, and gives the place. */
struct val load_merged(struct arena *a, const struct val *under, const struct val *over);
/* A text that is one hole and nothing else, which may stand where a number, a boolean or an object is expected? */
bool load_whole_template(const struct val *v);
/* The value is one that the key of a table may have; false: reported. */
bool load_key_fits(struct loader *l, const struct step_key *table, const struct step_key *row, const struct member *m);
/* load_prompt.c: a file that the step reads; what is a template or a pattern is seen in the run only. */
void load_file_ref(struct loader *l, const struct step_def *s, struct str path, uint32_t line, uint32_t col);
/* A prompt, brought into one form. */
struct val load_prompt(struct loader *l, const struct step_def *s, const struct val *v);
/* Warns of statements of other template languages in texts. */
void load_foreign_statement(struct loader *l, const struct val *v);
/* load_example.c: holes in code blocks of a prompt that may be none; what they are is settled once all is known. */
void load_examples(struct loader *l, const struct step_def *s, const struct val *config);
void load_examples_settle(struct loader *l, struct step_def *s, const struct val *config);
/* load_transform.c: checks operations on data, and the names that they read. */
void load_operations(struct loader *l, const struct step_def *s, const struct val *v);
/* load_graph.c: depends_on and goto, once the list's steps exist. */
void load_graph(struct loader *l, struct list_def *list, const struct common *common);
/* For a graph: is step `b` reached from `a` over depends_on? */
bool list_depends(const struct list_def *list, size_t a, size_t b);
/* load_inputs.c */
void load_inputs(struct loader *l, const struct member *m);
void load_input_schema(struct loader *l, const struct member *m);
/* check.c: every name that is read anywhere. */
void check_names(struct loader *l);

/* Where an expression stands, for what it may read. */
enum where {
    WHERE_STEP,      /* in a step that is about to run */
    WHERE_REPEAT,    /* in the `condition` of the loop `at`: sees the body's results */
    WHERE_BODY,      /* in another condition of it, about one iteration: sees `loop` as well */
    WHERE_OUTPUT,    /* after all steps */
    WHERE_VARIABLES, /* before all steps */
};
struct reader {
    struct loader *l;
    const struct step_def *at; /* NULL: OUTPUT, VARIABLES */
    enum where where;
    uint32_t line, col; /* for paths whose place is unknown */
    bool cond;
};
/* check_scope.c: what is visible from there. */
enum sight { SIGHT_SEEN, SIGHT_SELF, SIGHT_LATER, SIGHT_NO_EDGE, SIGHT_BEFORE_ALL, SIGHT_ELSEWHERE, SIGHT_UNKNOWN };
enum sight scope_step(const struct reader *r, struct str name, const struct step_def **ret);
void scope_nearest_step(const struct reader *r, struct nearest *n);
/* The iterator of the loop `level` loops out (0: the nearest); false when there are not so many. */
bool scope_loop(const struct reader *r, size_t level, struct str *ret);
/* Is there a loop that a break there would end? */
bool scope_can_leave(const struct reader *r);
/* Is the name a variable, or the iterator of a loop around? */
bool scope_variable(const struct reader *r, struct str name);
void scope_nearest_variable(const struct reader *r, struct nearest *n);
/* Is there nothing of that name, nor nearly of that name, that a path could begin with? (check.c) */
bool check_unheard(const struct reader *r, struct str name);
/* Does it stand in the steps of some on_error? */
bool scope_handler(const struct reader *r);

/* check_root.c: names that the engine gives. */
bool root_known(struct str name);
void root_nearest(struct nearest *n);
/* Is it a name, of these or of inputs, steps and their like, that means little without a field? */
bool root_needs_field(struct str name);
/* Reports what is wrong with a path that begins with such a name; false: it does not. */
bool check_root(const struct reader *r, const struct expr_path *path, uint32_t line, uint32_t col);

/* wanted.c: what a run must be given; and does a condition of the step, or of one around it, read HEAD.NAME itself? */
void load_wanted(struct loader *l, struct wanted_input x);
bool wanted_guarded(const struct reader *r, enum wanted_kind kind, struct str name);
void load_wanted_done(struct loader *l);

/* workflow.c */
bool input_type_fits(enum val_type declared, const struct val *v);
