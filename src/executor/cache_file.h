#pragma once
/* EXEC_CACHE: results of steps, kept for later runs. On a pool thread.
 *
 *   DIR/WORKFLOW/ENTRY.json   {until_ms, kept_ms, step, run, result}; ENTRY is a hash
 *   DIR/WORKFLOW/.lock        held while one is written or removed; has the count and the bytes of all, roughly
 *
 * An entry is replaced in one step, so a reader sees a whole one. What is kept of one workflow is bounded; the oldest
 * entries make room. */
#include "base/arena.h"
#include "base/err.h"
#include "data/val.h"

enum { CACHE_ENTRY_MAX = 16 << 20, CACHE_ENTRIES_MAX = 10000, CACHE_BYTES_MAX = 256 << 20 };

/* {op: find, workflow, entry, ttl_ms, last_resort?} -> {found: false} or {found: true, kept_ms, run, result}
 * {op: keep, workflow, entry, ttl_ms, step, run, result, max_bytes?: of the workflow's entries} -> {bytes}
 * RC_LIMIT: the result is larger than CACHE_ENTRY_MAX. With `keeps_only` nothing is found, but as a last resort: when
 * the work has been tried and has failed. */
enum rc exec_cache(const struct val *req, const char *dir, bool keeps_only, struct arena *a, struct val *ret,
                   struct err *err) MUST_CHECK;

/* Removes (or with `dry` only counts) the entries of all workflows that have run out, or were kept before
 * `older_ms` (0: none). What is in use just now is left for another time. */
struct cache_pruned {
    size_t n;
    int64_t bytes;
};
struct cache_pruned cache_prune(const char *dir, int64_t older_ms, bool dry);
