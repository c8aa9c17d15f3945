/* The time, so that names sort as runs began, and random letters, so that two that begin in one second differ. */
#include "role/run_id.h"

#include "base/rng.h"

#include <stdint.h>
#include <stdio.h>
#include <time.h>

void run_id_new(char *ret, size_t size)
{
    static const char letters[] = "abcdefghijkmnpqrstuvwxyz23456789"; /* none that look alike */
    time_t now = time(NULL);
    struct tm tm;
    char when[32] = "";
    if (gmtime_r(&now, &tm))
        strftime(when, sizeof when, "%Y%m%d-%H%M%S", &tm);
    uint64_t x = rng_entropy();
    char tail[7] = {0};
    for (int i = 0; i < 6; i++, x /= 32)
        tail[i] = letters[x % 32];
    snprintf(ret, size, "%s-%s", when, tail);
}
