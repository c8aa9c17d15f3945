/* multipleOf: numbers divided exactly, whatever kinds meet.
 *
 * Comparisons (data/number.h) take a double for what it is in binary. Divisions take it for what was written (its
 * shortest decimal): 0.3 is a multiple of 0.1 although no double is a tenth. Both then are digits times a power of ten,
 * and whether one divides the other is long division, digit by digit; its price in fuel grows with both lengths. */
#include "data/decimal.h"
#include "data/schema_int.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

enum { INT_DIGITS = 24, WORD_DIGITS = 19 };

/* ---- divisibility ---- */

/* |v| as digits * 10^exp without zeros at the end; zero has no digits. `room` holds INT_DIGITS bytes. */
struct digits {
    struct str s;
    int64_t exp;
};

static struct digits digits_of(const struct val *v, char *room)
{
    struct digits d = {0};
    if (v->type == VAL_BIGINT) {
        d.s = v->s.n && v->s.p[0] == '-' ? str_from(v->s, 1) : v->s;
    } else {
        struct decimal dec = {0};
        if (v->type == VAL_DOUBLE && v->d != 0)
            dec = decimal_shortest(fabs(v->d));
        uint64_t word = v->type == VAL_DOUBLE ? dec.digits : v->i < 0 ? 0 - (uint64_t)v->i : (uint64_t)v->i;
        d.exp = dec.exp;
        d.s = str_n(room, (size_t)snprintf(room, INT_DIGITS, "%" PRIu64, word));
    }
    while (d.s.n && d.s.p[d.s.n - 1] == '0') {
        d.s.n--;
        d.exp++;
    }
    return d;
}

/* Is a * 10^zeros divisible by b, which fits a word? */
static bool word_divides(struct str a, uint64_t zeros, struct str b)
{
    uint64_t by = 0, rest = 0;
    for (size_t i = 0; i < b.n; i++)
        by = by * 10 + (uint64_t)(b.p[i] - '0');
    for (uint64_t i = 0; i < a.n + zeros; i++) {
        unsigned digit = i < a.n ? (unsigned)(a.p[i] - '0') : 0;
        rest = (uint64_t)(((unsigned __int128)rest * 10 + digit) % by);
    }
    return rest == 0;
}

/* The same for a longer b: `rest` are n digits, the highest first, of a number below 10 * b; b.n + 1 bytes. */
static bool rest_at_least(const unsigned char *rest, struct str b)
{
    if (rest[0])
        return true;
    for (size_t i = 0; i < b.n; i++)
        if (rest[i + 1] != b.p[i] - '0')
            return rest[i + 1] > b.p[i] - '0';
    return true;
}

static void rest_subtract(unsigned char *rest, struct str b)
{
    int borrow = 0;
    for (size_t i = b.n; i > 0; i--) {
        int d = rest[i] - (b.p[i - 1] - '0') - borrow;
        borrow = d < 0;
        rest[i] = (unsigned char)(d < 0 ? d + 10 : d);
    }
    rest[0] = (unsigned char)(rest[0] - borrow);
}

static bool long_divides(struct arena *scratch, struct str a, uint64_t zeros, struct str b)
{
    unsigned char *rest = arena_alloc(scratch, b.n + 1);
    for (uint64_t i = 0; i < a.n + zeros; i++) {
        memmove(rest, rest + 1, b.n);
        rest[b.n] = (unsigned char)(i < a.n ? a.p[i] - '0' : 0);
        while (rest_at_least(rest, b))
            rest_subtract(rest, b);
    }
    for (size_t i = 0; i <= b.n; i++)
        if (rest[i])
            return false;
    return true;
}

bool schema_number_multiple(struct check *c, const struct val *v, const struct val *of)
{
    char room_a[INT_DIGITS], room_b[INT_DIGITS];
    if (number_cmp(v, v) != 0)
        return false;
    if (v->type == VAL_INT && of->type == VAL_INT)
        return v->i % of->i == 0;
    struct digits a = digits_of(v, room_a), b = digits_of(of, room_b);
    if (!a.s.n)
        return true;
    if (a.exp < b.exp) /* of ends in more zeros than v: not even divisible by the power of ten */
        return false;
    uint64_t zeros = (uint64_t)(a.exp - b.exp);
    if (!schema_charge(c, 1 + (a.s.n + zeros) * (1 + b.s.n / WORD_DIGITS * 8)))
        return false;
    return b.s.n <= WORD_DIGITS ? word_divides(a.s, zeros, b.s) : long_divides(c->a, a.s, zeros, b.s);
}
