#pragma once
/* Points in time as text: RFC 3339, milliseconds since 1970-01-01 UTC. */
#include "base/arena.h"

/* A date (midnight UTC) or a date and time; without a zone it is UTC. False when it is none. */
bool date_parse(struct str s, int64_t *ret_ms);
/* "2026-12-01T09:00:00Z", with a fraction where there is one; "?" beyond the years 0 to 9999. In `a`. */
struct str date_text(struct arena *a, int64_t ms);
