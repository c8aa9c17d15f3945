#pragma once
/* What effects changed in the workspace, and taking it back: exactly that, and only where nobody else came after.
 *
 * An entry is durable before the first of its changes is made; so after a crash in between, the paths are each as
 * before or as after, and taking back can begin again as often as it is interrupted. */
#include "executor/snapshot.h"

struct change {
    struct str path;
    struct node before, after;
};
struct changes {
    struct arena *a; /* holds the paths */
    struct change *v;
    size_t n, cap;
};
void changes_add(struct changes *c, struct str path, const struct node *before, const struct node *after);

/* What is at a path of the workspace now; its content is kept. */
enum rc undo_look(struct snapshots *s, struct str path, struct node *ret, struct err *err) MUST_CHECK;

/* Makes the changes, or (`back`) takes them back. First all paths are looked at: if one is neither as before nor as
 * after, nothing is done (RC_EXISTS, *conflict in changes.a). With `force` such paths are left as they are. A path that
 * somebody changes in the very moment is put back as he left it: RC_EXISTS too, with a part of the changes made.
 * *done counts. */
enum rc changes_apply(struct snapshots *s, const struct changes *c, bool back, bool force, struct str *conflict,
                      size_t *done, struct err *err) MUST_CHECK;

struct undo {
    uint32_t number;
    struct str frame; /* path of the effect's frame */
    uint32_t attempt;
    struct sha256 snapshot; /* before the effect; zero: none */
    struct str untracked;   /* why its changes are not known; empty: they are */
    struct changes changes;
    bool undone;
};
/* Records what the effect is about to change, or (untracked) that it may change anything. */
enum rc undo_write(struct snapshots *s, struct undo *u, struct err *err) MUST_CHECK;
/* Calls `cb` for each entry, the oldest first; false ends it. Entries are in `a`. */
enum rc undo_each(struct snapshots *s, struct arena *a, bool (*cb)(void *ctx, const struct undo *u), void *ctx,
                  struct err *err) MUST_CHECK;

struct attempt_at {
    struct str frame;
    uint32_t attempt;
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
