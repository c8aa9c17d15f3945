#pragma once
/* Many small contents in one file, each by its SHA-256, so that twenty thousand of them cost one name on the disk.
 *
 *   DIR/HASH.pack    the contents, one after another; a table of them, in order of their hashes; the table's hash
 *
 * Complete from the moment that it has its name, which is its table's hash, and never changed (mode 0400): several
 * stores may have one and the same file. One thread at a time. */
#include "base/err.h"
#include "base/sha256.h"

#include <stddef.h>

enum { PACK_NAME_SIZE = 40 };
struct pack_entry {
    struct sha256 id;
    uint64_t at, n; /* bytes in the file */
};
struct pack {
    struct pack *next; /* the owner's */
    char name[PACK_NAME_SIZE];
    struct pack_entry *v; /* in order of hashes */
    size_t n;
    uint64_t bytes; /* of contents; */
    uint64_t used;  /* of them in use, where somebody counts (seed.c) */
    bool trusted;   /* all of it is surely there: this process, or one since the machine has started, wrote it */
    bool synced;    /* it survives a loss of power */
};
/* `dir` is an open directory. RC_CORRUPT: it is no pack, or not whole; RC_IO. */
enum rc pack_read(int dir, const char *name, struct pack **ret, struct err *err) MUST_CHECK;
void pack_free(struct pack *p);
/* NULL: it is not in there. */
const struct pack_entry *pack_find(const struct pack *p, const struct sha256 *id);
bool pack_is_name(const char *name);
/* Gives another directory the same file; where that cannot be, a copy of it. RC_EXISTS: it has one of that name, for
 * whose contents nobody vouches. RC_NOT_FOUND: the pack is gone. */
enum rc pack_share(int from, int to, const struct pack *p, struct err *err) MUST_CHECK;

/* One that is being made. After an error it can only be dropped. */
struct pack_writer;
enum rc pack_begin(int dir, struct pack_writer **ret, struct err *err) MUST_CHECK;
bool pack_has(const struct pack_writer *w, const struct sha256 *id);
/* Not one that it has. RC_DISK_FULL, RC_IO. */
enum rc pack_add(struct pack_writer *w, struct str content, const struct sha256 *id, struct err *err) MUST_CHECK;
/* Gives it its name, or drops it. */
enum rc pack_seal(struct pack_writer *w, struct pack **ret, struct err *err) MUST_CHECK;
void pack_drop(struct pack_writer *w);
