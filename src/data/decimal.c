/* Two algorithms over one table.
 *
 * Writing follows Giulietti, "The Schubfach way to render doubles" (2020): with k chosen so that the rounding interval
 * of the double is at least 10^k and less than 10^(k+1) wide, the shortest decimal is among four candidates, and three
 * multiplications by a 128-bit power of ten decide which. Reading multiplies the first 19 digits by the same power of
 * ten (as Lemire's "Number parsing at a gigabyte per second", 2021, does) and takes the result unless the known error
 * of that product could change the rounding; then, and for subnormal or huge results, the C library decides.
 *
 * The table holds ceil(10^e / 2^s) with s such that the top one of 128 bits is set, for every e that either needs. It
 * is computed when first used, with plain long arithmetic (tens of microseconds), instead of 700 lines of constants
 * that nobody can check. */
#include "data/decimal.h"

#include "base/panic.h"

#include <locale.h>
#include <pthread.h>
#include <stdlib.h>

typedef unsigned __int128 u128;

enum { POW_MIN = -342, POW_MAX = 324, WORDS = 22 };
static u128 pow10_table[POW_MAX - POW_MIN + 1];
static locale_t c_locale;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* The top 128 bits of a long number; `inexact_below`: the number itself was rounded down. */
static u128 top_bits(const uint64_t *w, bool inexact_below)
{
    int hi = WORDS - 1;
    while (hi > 0 && !w[hi])
        hi--;
    int lz = __builtin_clzll(w[hi]);
    uint64_t a = w[hi], b = hi > 0 ? w[hi - 1] : 0, c = hi > 1 ? w[hi - 2] : 0;
    u128 top = ((u128)a << 64 | b) << lz;
    bool rest = inexact_below;
    if (lz) {
        top |= c >> (64 - lz);
        c <<= lz;
    }
    rest |= c != 0;
    for (int i = hi - 3; i >= 0; i--)
        rest |= w[i] != 0;
    return top + rest;
}

static void fill_table(void)
{
    uint64_t w[WORDS] = {1};
    for (int e = 0; e <= POW_MAX; e++) {
        pow10_table[e - POW_MIN] = top_bits(w, false);
        u128 carry = 0;
        for (int i = 0; i < WORDS; i++) {
            carry += (u128)w[i] * 10;
            w[i] = (uint64_t)carry;
            carry >>= 64;
        }
        CHECK(!carry);
    }
    /* 2^1344 / 10^342 still has more than 128 bits. Dividing the rounded quotient again loses nothing. */
    memset(w, 0, sizeof w);
    w[WORDS - 1] = 1;
    for (int e = -1; e >= POW_MIN; e--) {
        u128 rem = 0;
        for (int i = WORDS - 1; i >= 0; i--) {
            rem = rem << 64 | w[i];
            w[i] = (uint64_t)(rem / 10);
            rem %= 10;
        }
        pow10_table[e - POW_MIN] = top_bits(w, true);
    }
    c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    CHECK(c_locale);
}

static u128 pow10_bits(int e)
{
    pthread_once(&once, fill_table);
    return pow10_table[e - POW_MIN];
}

/* floor(log2(10^e)), exact for |e| <= 1233. */
static int log2_pow10(int e)
{
    return (e * 1741647) >> 19;
}

/* ---- writing ---- */

/* g * x / 2^128, rounded down with the lowest bit set if anything was cut off ("to odd"). The table entry may be one
 * too large, hence > 1. */
static uint64_t mul_to_odd(u128 g, uint64_t x)
{
    u128 low = (u128)(uint64_t)g * x, high = (u128)(uint64_t)(g >> 64) * x + (uint64_t)(low >> 64);
    return (uint64_t)(high >> 64) | ((uint64_t)high > 1);
}

static struct decimal strip_zeros(uint64_t digits, int exp)
{
    while (digits % 10 == 0)
        digits /= 10, exp++;
    return (struct decimal){digits, exp};
}

struct decimal decimal_shortest(double d)
{
    uint64_t bits;
    memcpy(&bits, &d, sizeof bits);
    uint64_t frac = bits & (((uint64_t)1 << 52) - 1);
    int biased = (int)(bits >> 52 & 0x7ff);
    CHECK(biased != 0x7ff && bits << 1 && !(bits >> 63));
    uint64_t c = biased ? frac | (uint64_t)1 << 52 : frac; /* d = c * 2^q */
    int q = biased ? biased - 1075 : -1074;
    if (q <= 0 && q > -53 && (c & (((uint64_t)1 << -q) - 1)) == 0)
        return strip_zeros(c >> -q, 0);
    bool odd = c & 1;
    bool closer_below = frac == 0 && biased > 1; /* the neighbour below a power of two is only half as far away */
    int k = (q * 1262611 - (closer_below ? 524031 : 0)) >> 22;
    int h = q + log2_pow10(-k) + 1;
    u128 g = pow10_bits(-k);
    uint64_t lower = mul_to_odd(g, (4 * c - 2 + closer_below) << h) + odd;
    uint64_t exact = mul_to_odd(g, (4 * c) << h);
    uint64_t upper = mul_to_odd(g, (4 * c + 2) << h) - odd;
    uint64_t s = exact / 4; /* all in units of a quarter of 10^k */
    if (s >= 10) {
        uint64_t tens = s / 10;
        bool down = lower <= 40 * tens, up = 40 * tens + 40 <= upper;
        if (down != up)
            return strip_zeros(tens + up, k + 1);
    }
    bool down = lower <= 4 * s, up = 4 * s + 4 <= upper;
    if (down == up)
        up = exact > 4 * s + 2 || (exact == 4 * s + 2 && (s & 1));
    return strip_zeros(s + up, k);
}

/* ---- reading ---- */

static const double small_pow10[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                     1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

/* The bits of w * 10^e, or false when this way cannot tell. */
static bool round_product(uint64_t w, int e, uint64_t *ret)
{
    if (e < POW_MIN || e > 308)
        return false;
    int lz = __builtin_clzll(w);
    uint64_t x = w << lz;
    u128 g = pow10_bits(e);
    u128 t = (u128)(uint64_t)(g >> 64) * x + (uint64_t)(((u128)(uint64_t)g * x) >> 64);
    int exp = log2_pow10(e) + 64 - lz; /* of the leading bit, were it bit 127 */
    if (!(uint64_t)(t >> 127)) {
        t <<= 1;
        exp--;
    }
    if (exp < -1022 || exp > 1022)
        return false;
    u128 half = (u128)1 << 74, rest = t & (half * 2 - 1);
    /* t is wrong by less than 2 in its last place, which matters only next to the middle between two doubles. */
    if (rest + 2 > half && rest < half + 2)
        return false;
    *ret = ((uint64_t)(exp + 1022) << 52) + (uint64_t)(t >> 75) + (rest > half);
    return true;
}

static double read_slowly(struct str text)
{
    pthread_once(&once, fill_table);
    char room[128], *z = text.n < sizeof room ? room : malloc(text.n + 1);
    if (!z)
        PANIC("out of memory (%zu bytes)", text.n);
    memcpy(z, text.p, text.n);
    z[text.n] = 0;
    double d = strtod_l(z, NULL, c_locale);
    if (z != room)
        free(z);
    return d;
}

struct scan {
    uint64_t w; /* the first 19 significant digits */
    int64_t exp;
    bool neg, cut;
};

static struct scan scan_number(struct str text)
{
    struct scan s = {0};
    const char *p = text.p, *end = p + text.n;
    if (*p == '-' || *p == '+')
        s.neg = *p++ == '-';
    int taken = 0;
    bool point = false;
    for (; p < end && *p != 'e' && *p != 'E'; p++) {
        if (*p == '.') {
            point = true;
            continue;
        }
        unsigned digit = (unsigned)(*p - '0');
        s.exp -= point;
        if (taken < 19) {
            s.w = s.w * 10 + digit;
            taken += s.w != 0;
        } else {
            s.exp++;
            s.cut |= digit != 0;
        }
    }
    if (p < end) {
        bool neg = *++p == '-';
        int64_t e = 0;
        if (*p == '-' || *p == '+')
            p++;
        for (; p < end; p++)
            if (e < 1000000000)
                e = e * 10 + (*p - '0');
        s.exp += neg ? -e : e;
    }
    return s;
}

double decimal_read(struct str text)
{
    struct scan s = scan_number(text);
    if (!s.w)
        return s.neg ? -0.0 : 0.0;
    double d;
    if (!s.cut && s.w <= (uint64_t)1 << 53 && s.exp >= -22 && s.exp <= 22) { /* both factors and so the result exact */
        d = s.exp < 0 ? (double)s.w / small_pow10[-s.exp] : (double)s.w * small_pow10[s.exp];
        return s.neg ? -d : d;
    }
    uint64_t bits, above;
    if (s.exp < POW_MIN || s.exp > 308 || !round_product(s.w, (int)s.exp, &bits))
        return read_slowly(text);
    if (s.cut && (!round_product(s.w + 1, (int)s.exp, &above) || above != bits))
        return read_slowly(text);
    memcpy(&d, &bits, sizeof d);
    return s.neg ? -d : d;
}
