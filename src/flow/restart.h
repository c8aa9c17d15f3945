#pragma once
/* When members of a group are started again: the strategies and the restart intensity of OTP's supervisors.
 *
 * Pure: times come from the caller, in milliseconds, and never go backwards. As in OTP the intensity is the group's,
 * not the member's; one failure counts once, however many members are started again for it; and the restart that
 * exceeds `intensity` within `period_ms` is the one that is not made. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum restart_strategy {
    RESTART_ONE_FOR_ONE,  /* only the member that failed */
    RESTART_ONE_FOR_ALL,  /* all members, those that had ended well too */
    RESTART_REST_FOR_ONE, /* it and those after it */
};

enum { RESTART_INTENSITY_MAX = 1000 };

struct restart_policy {
    enum restart_strategy strategy;
    int64_t intensity, period_ms;
};

/* The restarts within the period. `at` has room for intensity + 1 times and belongs to the caller. */
struct restart_log {
    int64_t *at; /* oldest first */
    size_t n;
};

/* A member failed at `now`. True: it is to be started again; false: that would be more than the policy allows. Either
 * way the failure is counted. */
bool restart_allowed(const struct restart_policy *p, struct restart_log *log, int64_t now);
/* The members, of `n`, that are started again because member `failed` has failed: neighbours, under every strategy. */
struct restart_span {
    size_t first, last;
};
struct restart_span restart_span(enum restart_strategy s, size_t failed, size_t n);
