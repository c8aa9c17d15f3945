#pragma once
/* What a call costs in US dollars, from a table of list prices (prices.def) that a file can override.
 *
 * Prices are per million tokens. Unknown models have no price: the result is then null, never a guess. */
#include "data/val.h"

struct usage {
    int64_t input, output, cache_read, cache_write; /* tokens; input excludes the cached ones */
};
/* False when the model has no known price. */
bool price_of(struct str provider, struct str model, const struct usage *u, double *ret_usd);
