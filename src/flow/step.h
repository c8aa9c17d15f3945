#pragma once
/* The interface of a step type: its keys (one table for loader, schema and docs) and its state machine.
 *
 * To add a type: write step/NAME.c with one `const struct step_type step_NAME`, add a line to step/steps.def, an
 * example and a test. Callbacks come one at a time from run_work(), never from inside a call into flow/. A type's state
 * lives in `frame->state`, allocated in the frame's arena; it is rebuilt by walking the journal, so enter() must be
 * able to meet any past: it calls the same functions as on the first time, and those answer from the journal where it
 * already knows. */
#include "flow/def.h"

#include <math.h>

struct frame;

/* How a step or a list ended for the loop around it: in its turn, or by `continue` or `break`, which end the nearest
 * loop's iteration. Passed up by every list and step in between (frame.h). */
enum leave { LEAVE_NO, LEAVE_CONTINUE, LEAVE_BREAK };

enum key_kind {
    KEY_STRING,   /* text, taken literally */
    KEY_TEMPLATE, /* text with holes */
    KEY_ANY,      /* any value, strings in it are templates */
    KEY_DATA,     /* any value, literally */
    KEY_COND,     /* condition: expression, boolean, or and/or/not map; slot in step_def.conds */
    KEY_STEPS,    /* a list of steps; slot in step_def.lists */
    KEY_EACH,     /* what is done with each piece of something: literal, or steps (load_each.c); one such key a type */
    KEY_TASKS,    /* tasks of a group (load_tasks.c); step_def.branches, each with one step; one such key a type */
    KEY_BRANCHES, /* a map of names and lists of steps; step_def.branches; one such key a type */
    KEY_PROMPT,   /* text with holes, or a list of prompt parts */
    KEY_BOOL,     /* these may also be one whole template */
    KEY_INT,
    KEY_NUMBER,
    KEY_SECONDS, /* a number of them */
    KEY_MS,      /* of milliseconds */
    KEY_DURATION,
    KEY_SIZE,
    KEY_ENUM,       /* one of `choices` */
    KEY_STRINGS,    /* list of text (templates), or one text */
    KEY_INTS,       /* list of integers, or one */
    KEY_OPERATIONS, /* a list of operations on data (data/transform.h), literally */
    KEY_OBJECT      /* an object, strings in it are templates */
};
struct step_key {
    const char *name;
    enum key_kind kind;
    bool required;
    const char *choices;  /* KEY_ENUM: "a|b|c"; KEY_EACH: what is no step; others: the block (flow/keys.h) or definition
                             in the schema that it is */
    const char *fallback; /* as shown in docs; NULL: none */
    const char *doc;      /* one sentence */
    const char *alias_of; /* an accepted spelling: its value is stored under this name */
    /* What its number may be (flow/range.h); both 0: whatever the kind allows. KEY_INTS: each of them. */
    double least, most;
    bool above; /* more than `least`, not `least` itself */
    bool fixed; /* it counts before the step starts, and is no template even among keys that may be */
};
#define KEY_FROM(least_)           .least = (least_), .most = INFINITY
#define KEY_FROM_TO(least_, most_) .least = (least_), .most = (most_)
#define KEY_ABOVE(least_)          .least = (least_), .most = INFINITY, .above = true

#define EACH_NAME "chunk" /* what steps below a KEY_EACH key call the piece that they are for */

struct step_type {
    const char *name;
    const char *aliases;         /* "bash|shell" or NULL */
    const char *doc;             /* one sentence */
    const struct step_key *keys; /* ends with a NULL name */
    const char *provider;        /* model types: the default provider ("claude"), else NULL */
    const char *result_doc; /* names of the result's fields, "a|b|c": for checks of steps.X.field in messages only */
    const struct step_type *task;     /* a group of tasks: what a task is that does not say; else NULL */
    const struct step_type *each;     /* what does its KEY_EACH key for one piece; else NULL */
    const struct step_type *exchange; /* what the items of its KEY_STEPS are, which have no type (load_exchanges.c) */
    const char *variant_key;          /* a step that has this key is of the type `variant`, which has the same name */
    const struct step_type *variant;
    const char *parts; /* a key whose members' names are fields of the result, to be read by their names alone too */
    bool writes;       /* to the workspace; types with a provider or steps inside do anyway */
    bool makes_files;  /* its steps may leave files that prompts of others name; those with a model's tools do anyway */
    bool own_timeout;  /* hands the step's timeout to its effect, which keeps what there was until then */
    bool named_value;  /* its result has its value under `output_field`, or the step's own name */
    bool loop;         /* its KEY_STEPS body sees loop.*; break and continue inside end there */
    bool boundary;     /* what it contains is a workflow of its own: no break or continue passes it */
    bool talks;        /* its steps speak in a session; results have its name as `session_id` */
    bool makes_key;    /* calls frame_cache(), so that its `cache` needs no key */
    bool acts;         /* what it is for is not in its result, which therefore never comes from the cache */
    bool lets_go;      /* results of the steps right below it leave memory: child_rest() */
    bool keeps_last;   /* a loop whose body's steps can be read after it, as they were in the last iteration */
    enum leave leaves; /* its good end is a break or a continue */

    /* Extra checks after the keys were read; problems go to `ps`. May be NULL. */
    void (*check)(const struct step_def *s, struct problems *ps);

    /* The frame starts an attempt. Must lead, now or later, to exactly one step_ok() or step_fail(). */
    void (*enter)(struct frame *f);
    /* A child has ended; read it with child_result(). It is freed after the call. */
    void (*child_done)(struct frame *f, struct frame *child);
    /* Expressions may read what has left memory. The evaluation then fails (false, NULL) like one of a step that has
     * failed, and once all of it is there, what called it is called again: enter(), child_done() with the same child,
     * or instead of that child_done(), or of a more(), where it is not NULL, this. So evaluate first, and change things
     * then. */
    void (*again)(struct frame *f);
    /* Goes on with what frame_more() put off. NULL where that is never called. Without again(), an evaluation in it
     * that must be done again leads to enter(). */
    void (*more)(struct frame *f);
    /* What output_to_file writes, in the frame's arena; p NULL: the usual. May be NULL. */
    struct str (*file_text)(struct frame *f, const struct val *result, struct str path);
    /* The time of an attempt is over, and its children still run: what of a result there is, an object, in the frame's
     * arena; or NULL. May be NULL. */
    const struct val *(*unfinished)(struct frame *f);
    /* An attempt has failed (not: was cancelled), and nothing below runs any more. True: something is to be done before
     * what follows from that, which frame_failed() is then called for. May be NULL. */
    bool (*failed)(struct frame *f);
    /* Frees what `type_state` holds outside the arena, at the end of each attempt. May be NULL. */
    void (*free_state)(void *type_state);
};

/* By name or alias, NULL when unknown. */
const struct step_type *step_type_find(struct str name);
/* The same for a step as it is written, whose keys may make it one of the type's variant. */
const struct step_type *step_type_of(struct str name, const struct val *source);
/* Does it ask a model, which may use tools? `llm` has no provider of its own. */
bool step_type_asks(const struct step_type *t);
/* The i-th type in steps.def order, NULL past the end. */
const struct step_type *step_type_at(size_t i);

/* Keys that every step has; same table form. Slots of KEY_COND/KEY_STEPS here have fields of their own in step_def. */
extern const struct step_key step_common_keys[];
/* The slot of a KEY_COND or KEY_STEPS key among its kind in the type's table. */
size_t step_key_slot(const struct step_type *t, const char *key);
