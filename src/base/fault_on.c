/* The test half of fault.h: reads TREADLE_FAULT once, counts visits. Called from one thread or racing ones; the counts
 * are atomic so that "the third commit" means one commit. */
#include "base/fault.h"

#include "base/str.h"

#include <stdatomic.h>
#include <stdlib.h>

enum { MAX_FAULTS = 16 };
static struct {
    struct str name;
    int64_t at;
    atomic_long seen;
} faults[MAX_FAULTS];
static int count = -1;

static void load(void)
{
    count = 0;
    struct str s = str_c(getenv("TREADLE_FAULT"));
    while (s.n && count < MAX_FAULTS) {
        size_t comma = str_find(s, STR(","));
        struct str one = comma == SIZE_MAX ? s : str_n(s.p, comma);
        s = comma == SIZE_MAX ? str_n("", 0) : str_from(s, comma + 1);
        size_t eq = str_find(one, STR("="));
        int64_t at = 1;
        if (eq != SIZE_MAX && !str_to_i64(str_from(one, eq + 1), &at))
            continue;
        faults[count].name = eq == SIZE_MAX ? one : str_n(one.p, eq);
        faults[count].at = at;
        count++;
    }
}

bool fault_hit(const char *name)
{
    if (count < 0)
        load();
    for (int i = 0; i < count; i++)
        if (str_is(faults[i].name, name))
            return atomic_fetch_add(&faults[i].seen, 1) + 1 == faults[i].at || faults[i].at == 0;
    return false;
}
