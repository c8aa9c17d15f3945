#pragma once
/* What a snapshot says is in a directory tree, and how two of them differ.
 *
 * A directory's list is an object: a text, one entry after another in order of names: type, mode, hash, name, NUL. A
 * snapshot is the hash of the root's list. So an unchanged directory is found by its hash, whatever is below it. */
#include "executor/objects.h"

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

struct change {
    struct str path;
    struct node before, after;
};
struct changes {
    struct arena *a; /* holds the paths */
    struct change *v;
    size_t n, cap;
};
/* Unless the two are the same. */
void changes_add(struct changes *c, struct str path, const struct node *before, const struct node *after);

/* One directory of a snapshot. */
struct tree_entry {
    struct str name;
    struct node node;
};
struct tree {
    struct tree_entry *v; /* in order of names */
    size_t n;
};
struct buf;
/* Adds an entry to a list; names come in order. */
void tree_add(struct buf *b, const struct node *n, struct str name);
/* A larger list is neither written nor read. */
enum { TREE_MAX = 64 << 20 };
enum rc tree_read(struct objects *o, const struct sha256 *id, struct arena *a, struct tree *ret,
                  struct err *err) MUST_CHECK;
const struct tree_entry *tree_find(const struct tree *t, struct str name);

/* What changed from one to the other, below `at` (in all paths); NULL is an empty directory. What is left alone in one
 * of them is no change. */
enum rc tree_diff(struct objects *o, const struct sha256 *from, const struct sha256 *to, struct str at,
                  struct changes *ret, struct err *err) MUST_CHECK;
/* Puts a snapshot with all that is in it from one store into another. */
enum rc tree_share(struct objects *from, struct objects *to, const struct sha256 *id, struct err *err) MUST_CHECK;
