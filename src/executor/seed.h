#pragma once
/* A run's first look at its workspace begins with what an earlier run knew of it: unchanged files cost a stat and no
 * place on the disk.
 *
 *   DIR/seen             what this store's first look of a life saw, and the packs that have it (scan_file.h, pack.h)
 *   STATE/seeds/KEY      stores of runs that looked at the workspace KEY (device and inode), the last one first
 *
 * A seed is a cache: whatever is missing, damaged, of an earlier start of the machine, or somebody else's is left, and
 * the workspace is read. Nothing here fails. */
#include "executor/objects.h"
#include "executor/scan.h"

struct seed {
    const char *state_dir; /* absolute; borrowed. NULL: there are no seeds */
    int from;              /* where what is known came from: the store of another run; -1 */
    bool own;              /* or this one, in an earlier life */
};
/* Before the first scan_take(): what is known, and what is surely there. */
void seed_take(struct seed *seed, struct scan *scan, struct objects *o);
/* After it: for the next run. */
void seed_leave(struct seed *seed, const struct scan *scan, struct objects *o);
/* Forgets workspaces of which no run is left. */
void seeds_sweep(const char *state_dir);
