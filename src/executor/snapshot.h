#pragma once
/* Snapshots of a workspace: content-addressed, private, outside of it.
 *
 *   DIR/objects/ab/cdef…   contents of files, targets of links, and lists of directories, each once, by SHA-256
 *   DIR/undo/NUMBER        what an effect changed, in the order of the effects (undo.h)
 *   DIR/views/NUMBER/      what a running command writes (overlay.h)
 *
 * A snapshot is the hash of the list of the workspace's root. A file that has not changed since it was last looked at
 * costs a stat. Modes, links and empty directories are kept; names of one file become copies of it. Left alone, that is
 * neither kept nor put back: what is inside of version control directories, devices, sockets and pipes, and owners,
 * times and extended attributes.
 *
 * One thread at a time. */
#include "base/map.h"
#include "base/sha256.h"
#include "executor/beneath.h"

#include <stdatomic.h>

enum node_type { NODE_NONE, NODE_FILE, NODE_LINK, NODE_DIR, NODE_OTHER };
/* What is, was or will be at a path. */
struct node {
    enum node_type type;
    mode_t mode;        /* 07777; links: 0 */
    struct sha256 hash; /* of the content, the target, or the list (directories, where it is known) */
    int64_t mtime_ns;   /* of files, where it is known: 0 is unknown */
};
/* The same thing? Of directories only the mode counts, of other things nothing is known. */
bool node_eq(const struct node *a, const struct node *b);

struct tree;
enum { TREES_CACHED = 8 };
struct cached_tree {
    struct sha256 id;
    uint64_t used;
    struct arena arena;
    const struct tree *tree;
};

struct snapshots {
    struct beneath dir;       /* of the store */
    struct beneath workspace; /* borrowed */
    struct arena arena;
    struct map known; /* path -> struct known: files as they were when they were hashed */
    struct map have;  /* hashes that are surely in the store */
    uint32_t last_undo, last_view;
    bool scanned;
    struct cached_tree cached[TREES_CACHED];
    uint64_t uses;
};
/* What is larger is not kept whole: RC_LIMIT. */
enum { SNAPSHOT_FILES_MAX = 50000, SNAPSHOT_DEPTH_MAX = 64 };
#define SNAPSHOT_BYTES_MAX ((int64_t)1 << 30)

/* `dir` is absolute and is made when something is first kept. */
enum rc snapshots_init(struct snapshots *s, const char *dir, const struct beneath *workspace,
                       struct err *err) MUST_CHECK;
void snapshots_done(struct snapshots *s);

/* Takes one. `left_alone`: entries of other kinds that were met; may be NULL. RC_LIMIT, RC_CANCELLED, RC_IO. */
enum rc snapshot_take(struct snapshots *s, const atomic_bool *cancel, struct sha256 *ret, size_t *left_alone,
                      struct err *err) MUST_CHECK;
/* The paths of version control directories in a snapshot, in `a`. */
enum rc snapshot_guarded(struct snapshots *s, const struct sha256 *id, struct arena *a, struct str **ret, size_t *n,
                         struct err *err) MUST_CHECK;

/* One directory of a snapshot. */
struct tree_entry {
    struct str name;
    struct node node;
};
struct tree {
    struct tree_entry *v; /* in order of names */
    size_t n;
};
enum rc tree_read(struct snapshots *s, const struct sha256 *id, struct arena *a, struct tree *ret,
                  struct err *err) MUST_CHECK;
const struct tree_entry *tree_find(const struct tree *t, struct str name);
/* What the snapshot has at `path`; NODE_NONE when there is nothing. */
enum rc snapshot_lookup(struct snapshots *s, const struct sha256 *id, struct str path, struct node *ret,
                        struct err *err) MUST_CHECK;

/* What is at `name` in `dir` now; contents are kept when `keep`, else only hashed. */
enum rc node_look(struct snapshots *s, int dir, const char *name, bool keep, struct node *ret,
                  struct err *err) MUST_CHECK;
/* Opens what is kept. RC_CORRUPT: it is not. */
enum rc object_open(struct snapshots *s, const struct sha256 *id, int *ret, struct err *err) MUST_CHECK;
enum rc object_put(struct snapshots *s, struct str content, struct sha256 *ret, struct err *err) MUST_CHECK;
/* Makes sure that it survives a loss of power. */
enum rc object_sync(struct snapshots *s, const struct sha256 *id, struct err *err) MUST_CHECK;
/* Is it the name of a version control directory? */
bool snapshot_is_guarded(const char *name);
