/* One reading of the key for all, so that a host which validation let pass is never refused later, but for what only a
 * template's value can bring in. */
#include "step/network.h"

#include "base/host_pattern.h"
#include "flow/frame.h"

enum { SHOWN = 80, HOSTS_MAX = 256 };

static const char expected[] = "expected none, full, or a list of hosts such as [example.org, \"*.example.org:8080\"]";

static int shown(struct str s)
{
    return s.n > SHOWN ? SHOWN : (int)s.n;
}

static bool is_template(const struct val *v)
{
    return val_is(v, VAL_STR) && str_find(v->s, STR("{{")) != SIZE_MAX;
}

/* NULL when it is fine, else what is wrong. */
static const struct val *wrong(const struct val *v)
{
    if (val_is(v, VAL_STR))
        return str_is(v->s, "none") || str_is(v->s, "full") ? NULL : v;
    if (!val_is(v, VAL_ARRAY) || !v->arr.n || v->arr.n > HOSTS_MAX)
        return v;
    for (size_t i = 0; i < v->arr.n; i++)
        if (!is_template(&v->arr.v[i]) && !(val_is(&v->arr.v[i], VAL_STR) && host_pattern_valid(v->arr.v[i].s)))
            return &v->arr.v[i];
    return NULL;
}

void network_check(const struct val *v, struct problems *ps)
{
    const struct val *bad = v && !is_template(v) ? wrong(v) : NULL;
    if (val_is(bad, VAL_STR))
        problem_add(ps, false, bad->line, bad->col, "`network` is `%.*s`; %s", shown(bad->s), bad->s.p, expected);
    else if (bad)
        problem_add(ps, false, bad->line, bad->col, "`network` is %s; %s", val_type_name(bad), expected);
}

bool network_read(struct frame *f, const struct val *config, const struct val **ret)
{
    *ret = VAL_GET(config, "network");
    const struct val *bad = *ret ? wrong(*ret) : NULL;
    if (val_is(bad, VAL_STR))
        step_failf(f, RC_INVALID, "`network` is `%.*s`; %s", shown(bad->s), bad->s.p, expected);
    else if (bad)
        step_failf(f, RC_INVALID, "`network` is %s; %s", val_type_name(bad), expected);
    return !bad;
}
