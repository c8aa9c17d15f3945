#pragma once
/* A disk that remembers: an SQLite VFS that records every change, and rebuilds what a power loss could have left.
 *
 * crash_vfs_new() registers a VFS of that name over the default one (real files are written as usual) and records what
 * passes through it. crash_disk_*() replays the record up to a position and writes the files as they could be if power
 * had failed there: what was not synced may be there, missing, or torn at sector bounds, each write for itself, in any
 * order; names that were created or removed without a sync of their directory may not have been. */
#include <stdbool.h>
#include <stdint.h>

struct crash_log;
struct crash_disk;

struct crash_log *crash_vfs_new(const char *name);
void crash_vfs_free(struct crash_log *l);
/* Only what lies in `dir` under the same base name counts as synced of the files that are there already; the rest of
 * what they hold was written by a process that died before it could sync. Before the first open. */
void crash_vfs_assume(struct crash_log *l, const char *dir);
/* How many entries (writes, syncs, truncations, creations, removals) there are so far. Any thread. */
uint64_t crash_vfs_position(struct crash_log *l);
/* How many of them are writes or truncations. */
uint64_t crash_vfs_writes(struct crash_log *l);
uint64_t crash_vfs_syncs(struct crash_log *l);
/* The first sync at or after `position`; the end when there is none. The recording must be over. */
uint64_t crash_vfs_next_sync(const struct crash_log *l, uint64_t position);

/* The recording must be over. */
struct crash_disk *crash_disk_new(const struct crash_log *l);
void crash_disk_free(struct crash_disk *d);
/* Replays up to, not including, entry `position`; never backwards. */
void crash_disk_advance(struct crash_disk *d, uint64_t position);
/* Writes the files into `dir` under their base names. Seed 0: nothing that was not synced is there; 1: all of it. */
void crash_disk_write(const struct crash_disk *d, uint64_t seed, const char *dir);
