#pragma once
/* The engine's whole view of the world: one vtable, implemented for real by role/engine and in memory by the
 * simulation.
 *
 * Nothing here blocks or calls back from inside. Order is a promise: whatever is asked for takes effect only after
 * every record appended before it is durable (flow/outbox.h does this for both implementations). */
#include "data/record.h"
#include "data/val.h"

enum effect_kind {
    EFFECT_MODEL,   /* a call to a model provider; request as in llm/provider.h plus {step, turn} */
    EFFECT_COMMAND, /* these as in executor/executor.h */
    EFFECT_TOOL,
    EFFECT_READ,
    EFFECT_OUTPUT,
    EFFECT_CHECKPOINT,
    EFFECT_SESSION,
    EFFECT_CACHE,
    EFFECT_FILES,
    EFFECT_CODE,
    EFFECT_WORKSPACE,
    EFFECT_LOAD /* {of, whole}: what has left memory under that path (away_load()); never recorded, ends soon */
};

struct effect {
    uint64_t id; /* of this run, never used again */
    enum effect_kind kind;
    struct str path; /* of the frame */
    uint32_t attempt;
    /* An earlier life began this very attempt and left no result: start nothing, but tell what became of it, once it is
     * known. Where nobody knows, the effect ends as an error of class EFFECT_UNKNOWN; where it is known that it never
     * began, and never will, as EFFECT_NEVER. */
    bool adopt;
    bool reach;     /* nothing is to be done: it ends well as soon as somebody is there who carries out effects */
    struct str key; /* idempotency key: the same for every attempt at this frame */
    /* The life (flow_io.life) that its intent names. Nobody else starts it: it ends as EFFECT_NEVER instead. For one
     * that is adopted: who can be believed when it says never. Empty: anybody starts it, and nobody is believed. */
    struct str life;
    const struct val *request; /* borrowed until the effect is reported done */
};

#define EFFECT_UNKNOWN "unknown" /* neither is ever recorded */
#define EFFECT_NEVER   "never"

/* What people watch. Shown only after the records before it are durable. */
enum event_kind {
    EVENT_STARTED,
    EVENT_FINISHED,
    EVENT_FAILED,
    EVENT_SKIPPED,
    EVENT_RETRY,
    EVENT_CALL,
    EVENT_HELD,
    EVENT_NOTE,
    EVENT_WAIT /* for something from outside; data: what for (flow/wait.h) */
};
struct event {
    enum event_kind kind;
    struct str path;
    struct str type;   /* of the step; "turn", "tool", … for frames below one */
    struct str detail; /* one line: an error, a wait, a tool's name and argument */
    int64_t time_ms;
    struct box *box;        /* holds the result or the error object, or NULL */
    const struct val *data; /* what is in it, or NULL; borrowed for the call */
};

enum { TURN_HOLDER_SIZE = 160 };
struct turn_holder { /* "run X is writing there", as people read it */
    char z[TURN_HOLDER_SIZE];
    bool in_vain; /* a command of that run started this one: it will leave only when this one has ended */
};

struct flow_io {
    int64_t (*now_ms)(void *ctx); /* wall clock */
    uint64_t (*random)(void *ctx);
    void (*append)(void *ctx, const struct record *r); /* copies */
    /* Ends in exactly one run_effect_done(), also after cancel. Class `interrupted`: whoever carried it out has died,
     * and it may have happened, in whole or in part. */
    void (*effect)(void *ctx, const struct effect *e);
    void (*cancel)(void *ctx, uint64_t effect);
    /* The life of whoever would carry out such an effect now: a name that no two processes have; borrowed for the call.
     * It stands in the intent, so that a later life of the engine can tell whether the same process is asked. Empty:
     * it dies with this engine. NULL in it: nobody is there at the moment (effect.reach). */
    struct str (*life)(void *ctx, enum effect_kind kind);
    /* One shot; ends in run_timer(run, timer). There is no cancel: stale timers are ignored by the run. */
    void (*timer)(void *ctx, uint64_t timer, int64_t delay_ms);
    void (*emit)(void *ctx, const struct event *e); /* copies, and takes a reference to the box */
    /* The run has work to do: call run_work() soon. */
    void (*wake)(void *ctx);
    /* The run wants to write to its workspace, where other runs may work too: one of them has the turn. True: it has
     * it now; else run_turn() comes when it is its turn. `who`: who writes there now, or empty; in the buffer. Not
     * asked again before it was left; the turn that it leaves may be given back to it at once when nobody waits. */
    bool (*turn_ask)(void *ctx, struct turn_holder *who);
    /* It wants it no more, or has it and leaves it: others have it when all that was appended before is durable, for
     * what a later life would do again must not meet what they changed. */
    void (*turn_leave)(void *ctx);
};
