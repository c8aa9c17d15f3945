/* When to try again. One table of defaults, one formula.
 *
 * The wait grows from `delay` (doubling, adding, or fixed) up to `max_delay`; with jitter a random quarter is taken
 * off, so that many calls that failed together do not return together. What the provider asks for (Retry-After) counts
 * as the least wait; a provider that asks for more than ten minutes is not waited for: the run fails with its words
 * instead of standing still unseen. */
#include "flow/run_int.h"

enum { RETRY_AFTER_MAX_MS = 10 * 60 * 1000 };

const struct retry_policy retry_default_model = {
    .max_attempts = 5,
    .backoff = BACKOFF_EXPONENTIAL,
    .delay_ms = 1000,
    .max_delay_ms = 60000,
    .jitter = true,
};

/* Classes that older workflows name otherwise. */
static const struct {
    const char *name;
    uint64_t on;
} old_classes[] = {
    {"connection_error", 1ull << RC_NETWORK},
    {"stream_interrupted", 1ull << RC_NETWORK},
    {"api_error", 1ull << RC_SERVER | 1ull << RC_OVERLOADED | 1ull << RC_BAD_REPLY},
    {"temporary_error", 1ull << RC_SERVER | 1ull << RC_OVERLOADED | 1ull << RC_NETWORK},
    {"stream_error", 1ull << RC_NETWORK},
    {"parsing_error", 1ull << RC_BAD_REPLY},
    {"api_timeout", 1ull << RC_TIMEOUT},
    {"authentication_error", 1ull << RC_AUTH},
    {"max_turns_exceeded", 1ull << RC_LIMIT},
    {"resource_limit", 1ull << RC_LIMIT},
    {"max_turns", 1ull << RC_LIMIT},
};

/* What ends a step for good whatever `on` says: success, and being told to stop. */
static const uint64_t never_retried = 1ull << RC_OK | 1ull << RC_CANCELLED | 1ull << RC_INTERRUPTED;

bool retry_class(struct str name, uint64_t *on)
{
    if (str_is(name, "any")) {
        *on |= ((1ull << RC_COUNT) - 1) & ~never_retried;
        return true;
    }
    for (size_t i = 0; i < sizeof old_classes / sizeof *old_classes; i++)
        if (str_is(name, old_classes[i].name)) {
            *on |= old_classes[i].on;
            return true;
        }
    enum rc rc = rc_from_name(name);
    if (rc == RC_COUNT || never_retried >> rc & 1)
        return false;
    *on |= 1ull << rc;
    return true;
}

/* A written policy without `on` means "whatever may go better next time". */
static bool hopeless(enum rc rc)
{
    switch (rc) {
    case RC_INVALID:
    case RC_USAGE:
    case RC_EXPRESSION:
    case RC_AUTH:
    case RC_BILLING:
    case RC_BUDGET:
    case RC_LIMIT:
    case RC_CONTEXT:
    case RC_INVALID_REQUEST:
    case RC_CANCELLED:
    case RC_REPLAY:
    case RC_INTERRUPTED: /* where somebody chose `on_interrupt: fail` */
    case RC_DISK_FULL:
        return true;
    default:
        return false;
    }
}

bool retry_would(const struct retry_policy *p, enum rc rc)
{
    return p->on ? p->on >> rc & 1 : p->set ? !hopeless(rc) : rc_retryable(rc);
}

int64_t retry_delay(const struct retry_policy *p, uint32_t failures, enum rc rc, int64_t retry_after_ms,
                    uint64_t random)
{
    if (!p || rc == RC_CANCELLED || (int64_t)failures >= p->max_attempts)
        return -1;
    if (!retry_would(p, rc))
        return -1;
    if (retry_after_ms > RETRY_AFTER_MAX_MS)
        return -1;
    int64_t d = p->delay_ms;
    for (uint32_t i = 1; i < failures && d < p->max_delay_ms; i++) {
        if (p->backoff == BACKOFF_EXPONENTIAL)
            d = (int64_t)((double)d * (p->factor >= 1 ? p->factor : 2));
        else if (p->backoff == BACKOFF_LINEAR)
            d += p->delay_ms;
    }
    if (d > p->max_delay_ms)
        d = p->max_delay_ms;
    if (p->jitter && d > 3)
        d -= (int64_t)(random % (uint64_t)(d / 4 + 1));
    return d > retry_after_ms ? d : retry_after_ms;
}
