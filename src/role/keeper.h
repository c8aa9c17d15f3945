#pragma once
/* The side of a link that carries out effects: it keeps what came of them until the engine has committed it.
 *
 * A call is known by its key (the same in every life of the run) and its attempt. A life of the engine that asks again
 * for a call that runs, or has ended and is kept, gets its outcome: nothing is started twice. What is kept is bounded:
 * beyond KEEP_BYTES no new call is started until the engine has taken something.
 *
 * A keeper has a life: a name that no other has, told to the engine. Asked about a call whose intent names this very
 * life, and of which it knows nothing, it says that the call never began: whatever a dead engine had sent has been
 * taken or thrown away with its link before a new one is listened to, and what is known is forgotten only when the
 * outcome is recorded (KEPT) or the run has ended (FORGET). */
#include "data/val.h"
#include "ev/loop.h"
#include "role/port.h"

enum { KEEP_BYTES = 256 << 20 };

struct keeper_call {
    uint64_t id; /* the keeper's own, for start, done and cancel */
    enum effect_kind kind;
    uint32_t attempt;
    struct str run, path, key;
    const struct val *request; /* lives until the call ends */
    const struct val *where;   /* the run's directories, as the engine sent them */
};
struct keeper_ops {
    bool (*takes)(int64_t kind); /* whether effects of this kind (any number) are for this role; others are refused */
    /* Leads to exactly one done(), never from inside. */
    void (*start)(void *ctx, const struct keeper_call *c, port_done *done, void *done_ctx);
    void (*cancel)(void *ctx, const struct keeper_call *c);
    void (*forget)(void *ctx, struct str run); /* the run has ended; none of its calls is left. May be NULL */
};

struct keeper;
struct keeper *keeper_new(struct ev_loop *loop, const struct keeper_ops *ops, void *ctx);
void keeper_free(struct keeper *k);
/* A new link to the engine; one before it is given up. Takes the descriptor. */
void keeper_link(struct keeper *k, int fd);
