#pragma once
/* Durations and sizes as workflows write them. */
#include "base/err.h"
#include "data/val.h"

static const int64_t UNITS_DURATION_MAX_MS = 315360000000; /* ten years, the longest duration of the language */

/* A number is seconds (fractions allowed); text is `250ms 5s 10m 2h 1d`. Result in milliseconds, 0 … 10 years.
 * RC_INVALID. */
enum rc units_duration(const struct val *v, int64_t *ret_ms, struct err *err) MUST_CHECK;
/* A number is bytes; text is `64KB 10MB 1GB` (powers of 1024). 0 … 2^50. RC_INVALID. */
enum rc units_size(const struct val *v, int64_t *ret_bytes, struct err *err) MUST_CHECK;

/* An amount of money for people: "$12.35", "$0.50", and what is smaller with two digits that say something: "$0.00041".
 */
struct usd {
    char z[32];
};
struct usd units_usd(double usd);
/* A sum of prices in whole billionths of a dollar: without the last digits, which only adding doubles has made. */
double units_usd_sum(double usd);
