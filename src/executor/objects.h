#pragma once
/* Contents, each once, by SHA-256: what snapshots consist of.
 *
 *   DIR/objects/ab/cdef…   one of them
 *   DIR/packs/HASH.pack    many small ones (pack.h)
 *
 * Complete from the moment that it has its name, and never changed (mode 0400): so several stores may share a file, and
 * removing one of them takes nothing from the others. Whatever is read is compared with its hash. Several processes may
 * put into the same directory. One thread at a time. */
#include "base/map.h"
#include "executor/beneath.h"
#include "executor/pack.h"

struct objects {
    struct beneath dir;
    int packs_dir;
    struct arena arena;
    struct map have;   /* hashes that are surely there, as files of their own */
    struct map shared; /* lists that came with all that they name (tree.h) */
    struct pack *packs;
    struct pack_writer *filling;
    bool many;       /* between objects_many() and objects_settle() */
    unsigned nloose; /* since then */
    char *piece;
};
/* `dir` is absolute; with `make` it is made. RC_NOT_FOUND, RC_IO. */
enum rc objects_init(struct objects *o, const char *dir, bool make, struct err *err) MUST_CHECK;
void objects_done(struct objects *o);
/* Removes what writers who died have left in it; for a store that was opened with `make`. */
void objects_sweep(struct objects *o);
/* Is it known to be there? */
bool objects_has(const struct objects *o, const struct sha256 *id);

enum rc object_put(struct objects *o, struct str content, struct sha256 *ret, struct err *err) MUST_CHECK;
/* What is left to read of `fd`, a file; shares its blocks where the file system can. */
enum rc object_keep(struct objects *o, int fd, struct sha256 *ret, struct err *err) MUST_CHECK;
/* Only the hash of what is left to read. */
enum rc object_hash(int fd, struct sha256 *ret, struct err *err) MUST_CHECK;
/* Many may be put from now on; until objects_settle() others do not see them. If that fails, what was put in between
 * is lost. */
void objects_many(struct objects *o);
enum rc objects_settle(struct objects *o, struct err *err) MUST_CHECK;

/* How large it is. RC_CORRUPT: it is not there. */
enum rc object_size(struct objects *o, const struct sha256 *id, int64_t *ret, struct err *err) MUST_CHECK;
/* All of it, in `a`. RC_LIMIT: it is larger than `max`. RC_CORRUPT: it is not there, or not what it was. */
enum rc object_read(struct objects *o, const struct sha256 *id, size_t max, struct arena *a, struct str *ret,
                    struct err *err) MUST_CHECK;
/* Writes it to the empty file `to`, sharing blocks where the file system can. RC_CORRUPT as above; `to` then holds
 * something else. */
enum rc object_write(struct objects *o, const struct sha256 *id, int to, struct err *err) MUST_CHECK;
/* Makes sure that it survives a loss of power. */
enum rc object_sync(struct objects *o, const struct sha256 *id, struct err *err) MUST_CHECK;

/* Puts into `to` what is in `from`: the same file where that can be, since it is never changed. */
enum rc object_share(struct objects *from, struct objects *to, const struct sha256 *id, struct err *err) MUST_CHECK;
/* The pack is in DIR/packs; it is the store's from now on. */
void objects_add_pack(struct objects *o, struct pack *p);
/* Is it there as a file of its own, known to be complete by whoever asks? Then it is surely there from now on. */
bool object_find(struct objects *o, const struct sha256 *id);
/* Gives `to` the very file that `from` has for it. RC_NOT_FOUND: it has none, or in a pack; RC_EXISTS: `to` has one of
 * that name, for whose content nobody vouches; RC_IO: it cannot be. */
enum rc object_link(struct objects *from, struct objects *to, const struct sha256 *id, struct err *err) MUST_CHECK;
/* What errno says about `path`: RC_DISK_FULL or RC_IO. */
enum rc objects_error(struct err *err, struct str path);
