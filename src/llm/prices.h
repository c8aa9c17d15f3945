#pragma once
/* What a call costs in US dollars, from a table of list prices (prices.def) that a file can override.
 *
 * Prices are per million tokens. Unknown models have no price: the result is then null, never a guess.
 *
 * The file named by TREADLE_PRICES (JSON) adds to the table and overrides it:
 *   {"openai/qwen3": {"input": 0, "output": 0},
 *    "gemini/gemini-x": {"input": 2, "output": 12, "cache_read": 0.2, "cache_write": 0, "cache_write_1h": 0,
 *                        "above": [{"prompt": 200000, "input": 4, "output": 18}]}}
 * Provider names are anthropic, gemini, openai (or what provider_by_name() takes for them). Where a cache price is
 * missing, a call that used that cache has no known price. `above` has the prices of requests whose prompt is longer.
 */
#include "base/err.h"
#include "data/val.h"

struct usage {
    int64_t input, output, cache_read, cache_write; /* tokens; input excludes the cached ones */
    int64_t cache_write_1h;                         /* of cache_write: those kept for an hour */
};
/* False when the model has no known price. The first call reads TREADLE_PRICES; if that file cannot be used, every
 * price is unknown and the log says so once. Thread-safe. */
bool price_of(struct str provider, struct str model, const struct usage *u, double *ret_usd);
/* Reads a file of prices in place of TREADLE_PRICES; NULL: none. For start-up checks and tests; not while price_of()
 * runs on another thread. RC_IO, RC_INVALID; prices are then all unknown. */
enum rc prices_load(const char *path, struct err *err) MUST_CHECK;
