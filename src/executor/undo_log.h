#pragma once
/* What each effect of a run changed, on disk, and taking back what some of them did.
 *
 *   DIR/undo/NUMBER          in the order of the effects; NUMBER.undone when it has been taken back */
#include "executor/undo.h"

struct undo {
    uint32_t number;
    struct str frame; /* path of the effect's frame */
    uint32_t attempt;
    struct sha256 snapshot; /* before the effect; zero: none */
    struct str untracked;   /* why its changes are not known; empty: they are */
    struct changes changes; /* of an untracked one: what had changed when it had ended, by whomever */
    bool undone;
};
/* Records what the effect is about to change, or (untracked) that it may change anything; with a `number`, in the place
 * of that entry. */
enum rc undo_write(struct snapshots *s, struct undo *u, struct err *err) MUST_CHECK;
/* Puts an entry, with all that it names, into the log of another run, under its number. */
enum rc undo_share(struct snapshots *from, struct snapshots *to, const struct undo *u, struct err *err) MUST_CHECK;
/* There was nothing to record after all. */
void undo_forget(struct snapshots *s, uint32_t number);
/* Calls `cb` for each entry, the oldest first; false ends it. Entries are in `a`. */
enum rc undo_each(struct snapshots *s, struct arena *a, bool (*cb)(void *ctx, const struct undo *u), void *ctx,
                  struct err *err) MUST_CHECK;

/* What came of several effects together: for each path what was there before the first and after the last of them. */
struct undo_net {
    struct changes changes; /* in order of paths; in the arena, as all of this */
    uint32_t *entries;      /* their numbers */
    size_t n, untracked;    /* entries; of them those whose changes are not known */
    struct str why;         /* of one of those */
};
/* Of the effects that `of` says, unless they were taken back. `seen`: with what untracked ones seem to have changed. */
enum rc undo_fold(struct snapshots *s, struct arena *a, bool (*of)(void *ctx, const struct undo *u), void *ctx,
                  bool seen, struct undo_net *ret, struct err *err) MUST_CHECK;

struct attempt_at {
    struct str frame;
    uint32_t attempt; /* 0: any */
    bool iterations;  /* not of the frame, but of its iterations `first` to `last`, started once or again */
    int64_t first, last;
};
/* Takes back what attempts changed, together: at these very effects, or (`below`) at steps, that is, all effects below.
 * RC_EXISTS: a path was changed by somebody else; nothing was done. */
struct rollback {
    const struct attempt_at *of;
    size_t n;
    bool below, force;
    size_t restored, untracked; /* out: paths; effects whose changes are not known */
    struct str why, conflict;   /* out: of an untracked one; the path */
};
enum rc undo_rollback(struct snapshots *s, struct arena *a, struct rollback *r, struct err *err) MUST_CHECK;
