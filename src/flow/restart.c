/* OTP's rule (supervisor.erl, add_restart): push the time of this restart, drop those older than the period, and give
 * up when more than `intensity` are left. A time exactly one period ago still counts. */
#include "flow/restart.h"

#include "base/panic.h"

#include <string.h>

bool restart_allowed(const struct restart_policy *p, struct restart_log *log, int64_t now)
{
    size_t old = 0;
    while (old < log->n && log->at[old] < now - p->period_ms)
        old++;
    log->n -= old;
    memmove(log->at, log->at + old, log->n * sizeof *log->at);
    CHECK((int64_t)log->n <= p->intensity); /* nobody asks after "no" */
    log->at[log->n++] = now;
    return (int64_t)log->n <= p->intensity;
}

struct restart_span restart_span(enum restart_strategy s, size_t failed, size_t n)
{
    CHECK(failed < n);
    switch (s) {
    case RESTART_ONE_FOR_ONE:
        return (struct restart_span){failed, failed};
    case RESTART_ONE_FOR_ALL:
        return (struct restart_span){0, n - 1};
    case RESTART_REST_FOR_ONE:
        return (struct restart_span){failed, n - 1};
    }
    PANIC("restart strategy %d", (int)s);
}
