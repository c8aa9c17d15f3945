/* The core schema is a handful of regular expressions; each is a short function here. Values that JSON cannot express
 * (infinities, NaN) are refused instead of turned into text: silently changing a type is how a workflow goes wrong. */
#include "data/yaml_scalar.h"

#include "data/decimal.h"

#include <math.h>

/* A hexadecimal or octal literal longer than this is a mistake, and its conversion would take quadratic time. */
enum { RADIX_DIGITS_MAX = 1000, CHUNK = 1000000000, CHUNK_DIGITS = 9 };

struct word {
    const char *text;
    const struct val *v;
};
static const struct word words[] = {
    {"", &val_null},       {"~", &val_null},      {"null", &val_null},   {"Null", &val_null},
    {"NULL", &val_null},   {"true", &val_true},   {"True", &val_true},   {"TRUE", &val_true},
    {"false", &val_false}, {"False", &val_false}, {"FALSE", &val_false},
};

static const struct val *word_value(struct str s)
{
    for (size_t i = 0; s.n <= 5 && i < sizeof words / sizeof *words; i++)
        if (str_is(s, words[i].text))
            return words[i].v;
    return NULL;
}

static bool is_non_finite(struct str s)
{
    static const char *const names[] = {".inf", ".Inf", ".INF", ".nan", ".NaN", ".NAN"};
    size_t n = sizeof names / sizeof *names;
    bool sign = s.n && (s.p[0] == '-' || s.p[0] == '+');
    for (size_t i = 0; i < (sign ? n / 2 : n); i++)
        if (str_is(str_from(s, sign), names[i]))
            return true;
    return false;
}

static size_t count_digits(struct str s, size_t i)
{
    size_t from = i;
    while (i < s.n && s.p[i] >= '0' && s.p[i] <= '9')
        i++;
    return i - from;
}

enum form { TEXT, INTEGER, FLOAT };

/* [-+]?[0-9]+ is an integer, [-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)? otherwise a float. */
static enum form decimal_form(struct str s)
{
    size_t i = s.n && (s.p[0] == '-' || s.p[0] == '+');
    size_t whole = count_digits(s, i), fraction = 0;
    i += whole;
    if (whole && i == s.n)
        return INTEGER;
    if (i < s.n && s.p[i] == '.') {
        fraction = count_digits(s, ++i);
        i += fraction;
    }
    if (!whole && !fraction)
        return TEXT;
    if (i < s.n && (s.p[i] == 'e' || s.p[i] == 'E')) {
        i++;
        i += i < s.n && (s.p[i] == '-' || s.p[i] == '+');
        size_t exponent = count_digits(s, i);
        if (!exponent)
            return TEXT;
        i += exponent;
    }
    return i == s.n ? FLOAT : TEXT;
}

static struct val decimal_integer(struct arena *a, struct str s)
{
    int64_t i;
    if (str_to_i64(s, &i))
        return val_int(i);
    bool neg = s.p[0] == '-';
    s = str_from(s, neg || s.p[0] == '+');
    while (s.n > 1 && s.p[0] == '0')
        s = str_from(s, 1);
    if (str_to_i64(s, &i) && i <= INT64_MAX) /* only leading zeros made it long */
        return val_int(neg ? -i : i);
    struct str text = neg ? arena_printf(a, "-%.*s", STR_ARG(s)) : s;
    return str_to_i64(text, &i) ? val_int(i) : (struct val){.type = VAL_BIGINT, .s = text};
}

static int digit_value(char c)
{
    int low = c | 0x20;
    return c >= '0' && c <= '9' ? c - '0' : low >= 'a' && low <= 'f' ? low - 'a' + 10 : 99;
}

/* 0o17 or 0x1F: *ret_radix and true. */
static bool radix_form(struct str s, unsigned *ret_radix)
{
    if (s.n < 3 || s.p[0] != '0' || (s.p[1] != 'o' && s.p[1] != 'x'))
        return false;
    *ret_radix = s.p[1] == 'o' ? 8 : 16;
    for (size_t i = 2; i < s.n; i++)
        if (digit_value(s.p[i]) >= (int)*ret_radix)
            return false;
    return true;
}

static enum rc radix_integer(struct arena *a, struct str s, unsigned radix, struct val *ret, struct err *err)
{
    if (s.n > RADIX_DIGITS_MAX)
        return err_set(err, RC_INVALID, "an integer of %zu digits; expected at most %d in this notation", s.n - 2,
                       RADIX_DIGITS_MAX - 2);
    uint32_t chunk[RADIX_DIGITS_MAX * 4 / 29 + 1] = {0}; /* base 10^9, lowest first; 10^9 > 2^29 */
    size_t used = 1;
    for (size_t i = 2; i < s.n; i++) {
        uint64_t carry = (uint64_t)digit_value(s.p[i]);
        for (size_t k = 0; k < used; k++) {
            carry += (uint64_t)chunk[k] * radix;
            chunk[k] = (uint32_t)(carry % CHUNK);
            carry /= CHUNK;
        }
        if (carry)
            chunk[used++] = (uint32_t)carry;
    }
    struct str text = arena_printf(a, "%u", chunk[used - 1]);
    while (--used)
        text = arena_printf(a, "%.*s%0*u", STR_ARG(text), CHUNK_DIGITS, chunk[used - 1]);
    *ret = decimal_integer(a, text);
    return RC_OK;
}

enum rc yaml_scalar(struct arena *a, struct str text, struct val *ret, struct err *err)
{
    const struct val *word = word_value(text);
    unsigned radix;
    if (word) {
        *ret = *word;
        return RC_OK;
    }
    if (is_non_finite(text))
        return err_set(err, RC_INVALID,
                       "%.*s is no value that a workflow can hold; expected a finite number, or quotes", STR_ARG(text));
    if (radix_form(text, &radix))
        return radix_integer(a, text, radix, ret, err);
    switch (decimal_form(text)) {
    case INTEGER:
        *ret = decimal_integer(a, text);
        break;
    case FLOAT:
        *ret = val_double(decimal_read(text));
        if (!isfinite(ret->d))
            return err_set(err, RC_INVALID, "a number too large for a double; expected a smaller one, or quotes");
        break;
    case TEXT:
        *ret = val_str(text);
        break;
    }
    return RC_OK;
}
