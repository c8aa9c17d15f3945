#pragma once
/* Looking at a directory tree again and again: what has not changed since costs a stat.
 *
 * Modes, links and empty directories are seen; names of one file are so many files. Left alone (NODE_OTHER): what is
 * inside of version control directories, devices, sockets and pipes; and owners, times and extended attributes.
 *
 * One thread at a time. */
#include "executor/tree.h"

#include <stdatomic.h>

struct known_dir;
struct scan {
    int fd; /* of the tree's root; borrowed */
    struct known_dir *known;
    bool counted;           /* it has been within bounds */
    size_t entries, looked; /* by the last scan_take(): met; of them files and links that were read */
};
void scan_init(struct scan *s, int fd);
void scan_done(struct scan *s);

/* What is larger is not kept at all: RC_LIMIT. */
enum { SCAN_FILES_MAX = 50000, SCAN_DEPTH_MAX = 64 };
#define SCAN_BYTES_MAX ((int64_t)1 << 30)

/* The tree as it is, its contents kept in `o`. `left_alone` counts entries of other kinds that were met; may be NULL.
 * RC_LIMIT, RC_CANCELLED, RC_IO. */
enum rc scan_take(struct scan *s, struct objects *o, const atomic_bool *cancel, struct sha256 *ret, size_t *left_alone,
                  struct err *err) MUST_CHECK;

/* Fills the empty directory `to` with the tree as scan_take() has just seen it, from what is kept in `o`, with the
 * files' times; version control directories are made, and stay empty. What is then known of it goes to `ret`, whose
 * `fd` is `to`. */
enum rc scan_copy(const struct scan *s, struct objects *o, int to, const atomic_bool *cancel, struct scan *ret,
                  struct err *err) MUST_CHECK;

/* What is at `name` in `dir` now; contents are kept in `o`, or, where that is NULL, only hashed. */
enum rc node_look(struct objects *o, int dir, const char *name, struct node *ret, struct err *err) MUST_CHECK;
/* Is it the name of a version control directory? */
bool scan_is_guarded(const char *name);
