#pragma once
/* Seeded pseudo-random numbers (xoshiro256**): reproducible from one 64-bit seed. Not for secrets. */
#include <stdint.h>

struct rng {
    uint64_t s[4];
};

void rng_seed(struct rng *r, uint64_t seed);
uint64_t rng_next(struct rng *r);
/* Uniform in [0, n); n must not be 0. */
uint64_t rng_below(struct rng *r, uint64_t n);
/* Uniform in [0, 1). */
double rng_unit(struct rng *r);
/* A seed from the kernel. */
uint64_t rng_entropy(void);
