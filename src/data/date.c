/* Reading is the expression language's, so that a date means the same everywhere. */
#include "data/date.h"

#include "data/expr_int.h"

#include <stdio.h>
#include <time.h>

bool date_parse(struct str s, int64_t *ret_ms)
{
    return expr_date(s, ret_ms);
}

struct str date_text(struct arena *a, int64_t ms)
{
    enum { YEAR_0 = -1900, YEAR_9999 = 8099 };
    int64_t part = (ms % 1000 + 1000) % 1000;
    time_t seconds = (time_t)((ms - part) / 1000);
    struct tm t;
    if (!gmtime_r(&seconds, &t) || t.tm_year < YEAR_0 || t.tm_year > YEAR_9999)
        return STR("?");
    char text[40];
    size_t n = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &t);
    if (part)
        snprintf(text + n, sizeof text - n, ".%03d", (int)part);
    return arena_printf(a, "%sZ", text);
}
