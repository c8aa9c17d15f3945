#pragma once
/* OTP's supervisor as a pure state machine: what to start and to stop, and in which order, when children start, exit
 * or fail to start. No processes, no clock, no memory of its own beyond its children.
 *
 * The owner feeds in what happened (sup_start, sup_started, sup_exited, sup_stop) and carries out what the operations
 * ask for. Operations may answer at once, from inside the call. Every start() is answered by exactly one sup_started();
 * every terminate() leads to the child's sup_exited(), if that has not come yet. After ended() nothing happens any
 * more. Children are numbered in the order of their specification; they start in that order and stop in reverse.
 *
 * The meaning is that of Erlang/OTP 25's `supervisor` module (not simple_one_for_one), see policy.c for the places.
 * One addition, off by default: `delay`. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sup_strategy { SUP_ONE_FOR_ONE, SUP_ONE_FOR_ALL, SUP_REST_FOR_ONE };
enum sup_restart { SUP_PERMANENT, SUP_TRANSIENT, SUP_TEMPORARY };
enum sup_auto { SUP_AUTO_NEVER, SUP_AUTO_ANY, SUP_AUTO_ALL }; /* auto_shutdown, by significant children */
enum sup_reason { SUP_NORMAL, SUP_SHUTDOWN, SUP_ABNORMAL };   /* `shutdown`: on request; abnormal: anything else */

struct sup_child_spec {
    const char *id;
    enum sup_restart restart;
    bool significant; /* not for SUP_PERMANENT */
};
struct sup_spec {
    enum sup_strategy strategy;
    unsigned intensity; /* restarts within the period that are still borne */
    int64_t period_ms;
    enum sup_auto auto_shutdown;
    const struct sup_child_spec *children; /* borrowed */
    size_t nchildren;
};
struct sup_ops {
    int64_t (*now_ms)(void *ctx); /* monotonic */
    void (*start)(void *ctx, size_t child);
    void (*terminate)(void *ctx, size_t child);
    /* All children are gone. SUP_ABNORMAL: a child could not be started at the beginning. */
    void (*ended)(void *ctx, enum sup_reason reason);
    void (*up)(void *ctx); /* all children have been started for the first time; may be NULL */
    /* An addition to OTP, for one_for_one: how long to wait before this restart; sup_again() is called when the time
     * has come. NULL or 0: at once. */
    int64_t (*delay)(void *ctx, size_t child);
};

struct sup;
struct sup *sup_new(const struct sup_spec *spec, const struct sup_ops *ops, void *ctx);
void sup_free(struct sup *s);
void sup_start(struct sup *s);
void sup_started(struct sup *s, size_t child, bool ok);
/* Also for a child that was told to terminate: then only that it is gone counts. */
void sup_exited(struct sup *s, size_t child, enum sup_reason reason);
void sup_again(struct sup *s, size_t child); /* a delay() is over */
void sup_stop(struct sup *s);                /* ends it: ended(SUP_SHUTDOWN) */

/* For looking: is the child meant to be there? */
enum sup_child_state { SUP_CHILD_DOWN, SUP_CHILD_STARTING, SUP_CHILD_UP, SUP_CHILD_RESTARTING, SUP_CHILD_REMOVED };
enum sup_child_state sup_child_state(const struct sup *s, size_t child);
