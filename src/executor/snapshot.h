#pragma once
/* Snapshots of a run's workspace: content-addressed, private, outside of it.
 *
 *   DIR/objects/, packs/   contents of files, targets of links, lists of directories (objects.h)
 *   DIR/seen               what is known of the workspace, for the next process (seed.h)
 *   DIR/undo/NUMBER        what an effect changed, in the order of the effects (undo_log.h)
 *   DIR/views/NUMBER/      what a running command writes (overlay.h)
 *
 * A snapshot is the hash of the list of the workspace's root (tree.h); a file that has not changed since it was last
 * looked at costs a stat (scan.h). One thread at a time. */
#include "executor/scan.h"
#include "executor/seed.h"

enum { TREES_CACHED = 8 };
struct cached_tree {
    struct sha256 id;
    uint64_t used;
    struct arena arena;
    const struct tree *tree;
};

struct snapshots {
    struct beneath dir;       /* DIR */
    struct beneath workspace; /* borrowed; fd -1: it is only read what was recorded */
    struct str shown;         /* of an isolated workspace: where commands see it; borrowed */
    struct objects objects;
    struct scan scan;
    struct seed seed; /* its state_dir is the caller's to set, after snapshots_init(); see seed.h */
    struct arena arena;
    uint32_t last_undo, last_view;
    struct cached_tree cached[TREES_CACHED];
    uint64_t uses;
};

/* `dir` is absolute and is made, as is `store`, which holds the objects. */
enum rc snapshots_init(struct snapshots *s, const char *dir, const char *store, const struct beneath *workspace,
                       struct err *err) MUST_CHECK;
/* What was recorded, for reading only, whoever may be writing there. RC_NOT_FOUND. */
enum rc snapshots_read(struct snapshots *s, const char *dir, const char *store, struct err *err) MUST_CHECK;
void snapshots_done(struct snapshots *s);

/* Takes one. RC_LIMIT, RC_CANCELLED, RC_IO. */
enum rc snapshot_take(struct snapshots *s, const atomic_bool *cancel, struct sha256 *ret, struct err *err) MUST_CHECK;
/* The paths of version control directories in a snapshot, in `a`. */
enum rc snapshot_guarded(struct snapshots *s, const struct sha256 *id, struct arena *a, struct str **ret, size_t *n,
                         struct err *err) MUST_CHECK;
/* What the snapshot has at `path`; NODE_NONE when there is nothing. */
enum rc snapshot_lookup(struct snapshots *s, const struct sha256 *id, struct str path, struct node *ret,
                        struct err *err) MUST_CHECK;
