/* Durations and sizes: a number, or digits and a unit.
 *
 * Both go through one small reader, because they differ only in their table of units and in their bound. Values are
 * computed as doubles: the bounds (ten years in ms, 2^50 bytes) lie far below 2^53, so whole numbers stay exact and
 * fractions ("1.5h", 0.25) are rounded once, at the end. Whatever is not understood is refused with the forms that
 * would have been; nothing is guessed. */
#include "flow/units.h"

#include <math.h>
#include <stdio.h>

struct unit {
    const char *name;
    double factor;
};
struct units {
    const char *what, *forms;
    const struct unit *unit; /* ends with a NULL name */
    double plain;            /* factor of a bare number */
    double max;
    const char *max_text;
    bool any_case;
};

static const struct unit duration_units[] = {{"ms", 1}, {"s", 1e3}, {"m", 60e3}, {"h", 3600e3}, {"d", 86400e3}, {0}};
static const struct unit size_units[] = {
    {"b", 1},
    {"kb", 1024.0},
    {"kib", 1024.0},
    {"mb", 1024.0 * 1024},
    {"mib", 1024.0 * 1024},
    {"gb", 1024.0 * 1024 * 1024},
    {"gib", 1024.0 * 1024 * 1024},
    {"tb", 1024.0 * 1024 * 1024 * 1024},
    {"tib", 1024.0 * 1024 * 1024 * 1024},
    {0},
};
static const struct units durations = {"duration",     "a number of seconds, or text such as 250ms, 5s, 10m, 2h or 1d",
                                       duration_units, 1e3,
                                       315360000e3,    "10 years",
                                       false};
static const struct units sizes = {
    "size", "a number of bytes, or text such as 64KB, 10MB or 1GB", size_units, 1, 1125899906842624.0, "2^50 bytes",
    true};

static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool same(struct str s, const char *z, bool any_case)
{
    if (s.n != strlen(z))
        return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (any_case && c >= 'A' && c <= 'Z')
            c = (char)(c - 'A' + 'a');
        if (c != z[i])
            return false;
    }
    return true;
}

/* Text as a number times its unit's factor. False when it is no such text. */
static bool read_text(const struct units *u, struct str s, double *ret)
{
    s = str_trim(s);
    size_t i = 0;
    double number = 0, place = 1;
    for (; i < s.n && i < 18 && digit(s.p[i]); i++)
        number = number * 10 + (s.p[i] - '0');
    if (i == 0)
        return false;
    if (i + 1 < s.n && s.p[i] == '.' && digit(s.p[i + 1]))
        for (i++; i < s.n && i < 36 && digit(s.p[i]); i++)
            number += (s.p[i] - '0') * (place /= 10);
    struct str unit = str_trim(str_from(s, i));
    double factor = unit.n == 0 ? u->plain : 0;
    for (const struct unit *k = u->unit; k->name; k++)
        if (same(unit, k->name, u->any_case))
            factor = k->factor;
    *ret = number * factor;
    return factor != 0;
}

static enum rc read_units(const struct units *u, const struct val *v, int64_t *ret, struct err *err)
{
    double d = -1;
    if (val_is(v, VAL_STR)) {
        if (!read_text(u, v->s, &d))
            return err_set(err, RC_INVALID, "`%.*s` is no %s; expected %s", (int)(v->s.n < 60 ? v->s.n : 60),
                           v->s.p ? v->s.p : "", u->what, u->forms);
    } else if (val_is_number(v)) {
        d = val_to_double(v, 0) * u->plain;
    } else {
        return err_set(err, RC_INVALID, "a %s cannot be of type %s; expected %s", u->what, val_type_name(v), u->forms);
    }
    if (!(d >= 0))
        return err_set(err, RC_INVALID, "a %s cannot be negative; expected %s", u->what, u->forms);
    if (d > u->max)
        return err_set(err, RC_INVALID, "the %s is too large; expected at most %s", u->what, u->max_text);
    *ret = (int64_t)llround(d);
    return RC_OK;
}

enum rc units_duration(const struct val *v, int64_t *ret_ms, struct err *err)
{
    return read_units(&durations, v, ret_ms, err);
}

enum rc units_size(const struct val *v, int64_t *ret_bytes, struct err *err)
{
    return read_units(&sizes, v, ret_bytes, err);
}

struct usd units_usd(double usd)
{
    enum { CENTS = 2, DECIMALS_MAX = 12 };
    struct usd u;
    int decimals = usd >= 100 ? 0 : usd >= 1 ? CENTS : 4;
    if (usd > 0 && usd < 0.01)
        decimals = usd > 1e-11 ? 1 - (int)floor(log10(usd)) : DECIMALS_MAX;
    int n = snprintf(u.z, sizeof u.z, "$%.*f", decimals, usd);
    for (; decimals > CENTS && u.z[n - 1] == '0'; decimals--)
        u.z[--n] = 0;
    return u;
}

double units_usd_sum(double usd)
{
    return round(usd * 1e9) / 1e9;
}
