#pragma once
/* Contents, each once, by SHA-256: what snapshots consist of.
 *
 *   DIR/objects/ab/cdef…   complete from the moment that it has its name, and never changed
 *
 * Several processes may put into the same directory. One thread at a time. */
#include "base/map.h"
#include "base/sha256.h"
#include "executor/beneath.h"

struct objects {
    struct beneath dir;
    struct arena arena;
    struct map have; /* hashes that are surely there */
};
/* `dir` is absolute; with `make` it is made. RC_NOT_FOUND, RC_IO. */
enum rc objects_init(struct objects *o, const char *dir, bool make, struct err *err) MUST_CHECK;
void objects_done(struct objects *o);
/* Is it known to be there? */
bool objects_has(const struct objects *o, const struct sha256 *id);

enum rc object_put(struct objects *o, struct str content, struct sha256 *ret, struct err *err) MUST_CHECK;
/* What is left to read of `fd`, a file; shares its blocks where the file system can. */
enum rc object_keep(struct objects *o, int fd, struct sha256 *ret, struct err *err) MUST_CHECK;
/* Only the hash of what is left to read. */
enum rc object_hash(int fd, struct sha256 *ret, struct err *err) MUST_CHECK;
/* RC_CORRUPT: it is not there. */
enum rc object_open(struct objects *o, const struct sha256 *id, int *ret, struct err *err) MUST_CHECK;
/* All of it, in `a`. RC_LIMIT: it is larger than `max`. */
enum rc object_read(struct objects *o, const struct sha256 *id, size_t max, struct arena *a, struct str *ret,
                    struct err *err) MUST_CHECK;
/* Makes sure that it survives a loss of power. */
enum rc object_sync(struct objects *o, const struct sha256 *id, struct err *err) MUST_CHECK;
/* Puts into `to` what is in `from`: the same file where that can be, since it is never changed. */
enum rc object_share(struct objects *from, struct objects *to, const struct sha256 *id, struct err *err) MUST_CHECK;
/* What errno says about `path`: RC_DISK_FULL or RC_IO. */
enum rc objects_error(struct err *err, struct str path);
