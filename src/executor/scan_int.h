#pragma once
/* What is known of a directory tree: shared by scan.c, which looks at trees, and scan_copy.c, which makes copies of
 * them.
 */
#include "executor/scan.h"

#include <time.h>

/* By what something is recognised, and when it was looked at. */
struct stamp {
    uint64_t ino, dev;
    int64_t size, mtime_ns, ctime_ns, seen_ns;
};
struct known {
    const char *name; /* in the directory's `names` */
    struct node node; /* NODE_NONE: not known yet */
    struct stamp stamp;
    struct known_dir *dir; /* of a directory */
};
struct known_dir {
    struct stamp stamp;
    struct sha256 hash; /* of its list, if it is `whole` */
    bool whole;
    struct known *v; /* in order of names */
    size_t n;
    char *names;
};

/* The clock that the kernel takes inodes' times from. */
int64_t scan_tick(void);
struct stamp scan_stamp(const struct stat *st, int64_t seen);
struct known_dir *scan_known_new(void);
void scan_known_free(struct known_dir *k);
