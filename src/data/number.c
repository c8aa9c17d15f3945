/* Comparing without converting: a double is not rounded to an integer nor an integer to a double, so 2^53 + 1 is more
 * than 2^53 written as a double, and integers of hundreds of digits have their place among them. */
#include "data/number.h"

#include <math.h>
#include <stdio.h>

enum { DOUBLE_DIGITS = 400 };

/* Canonical digits with an optional minus. */
static int digits_cmp(struct str a, struct str b)
{
    bool minus_a = a.n && a.p[0] == '-', minus_b = b.n && b.p[0] == '-';
    if (minus_a != minus_b)
        return minus_a ? -1 : 1;
    int order = a.n != b.n ? (a.n < b.n ? -1 : 1) : str_cmp(a, b);
    order = (order > 0) - (order < 0);
    return minus_a ? -order : order;
}

static int int_cmp_double(int64_t i, double d)
{
    if (d >= 0x1p63)
        return -1;
    if (d < -0x1p63)
        return 1;
    double whole = trunc(d);
    int64_t w = (int64_t)whole;
    return i != w ? (i < w ? -1 : 1) : d > whole ? -1 : d < whole ? 1 : 0;
}

static int bigint_cmp_double(struct str s, double d)
{
    char z[DOUBLE_DIGITS];
    bool minus = s.n && s.p[0] == '-';
    if (fabs(d) < 0x1p63) /* the integer is beyond that, or it would be an int64 */
        return minus ? -1 : 1;
    int n = snprintf(z, sizeof z, "%.0f", d); /* all doubles that large are whole */
    return digits_cmp(s, str_n(z, (size_t)n));
}

int number_cmp(const struct val *a, const struct val *b)
{
    if (!val_is_number(a) || !val_is_number(b) || (a->type == VAL_DOUBLE && !isfinite(a->d)) ||
        (b->type == VAL_DOUBLE && !isfinite(b->d)))
        return NUMBER_UNORDERED;
    if (a->type == VAL_DOUBLE && b->type == VAL_DOUBLE)
        return (a->d > b->d) - (a->d < b->d);
    if (a->type == VAL_DOUBLE)
        return -number_cmp(b, a);
    if (b->type == VAL_DOUBLE)
        return a->type == VAL_INT ? int_cmp_double(a->i, b->d) : bigint_cmp_double(a->s, b->d);
    if (a->type == VAL_INT && b->type == VAL_INT)
        return (a->i > b->i) - (a->i < b->i);
    if (a->type == VAL_BIGINT && b->type == VAL_BIGINT)
        return digits_cmp(a->s, b->s);
    if (a->type == VAL_BIGINT)
        return a->s.n && a->s.p[0] == '-' ? -1 : 1;
    return -number_cmp(b, a);
}

bool number_whole(const struct val *v)
{
    return v->type == VAL_INT || v->type == VAL_BIGINT ||
           (v->type == VAL_DOUBLE && isfinite(v->d) && v->d == trunc(v->d));
}
