#pragma once
/* Doubles to decimal text and back, exactly: the shortest text that reads back, and correctly rounded reading. */
#include "base/str.h"

/* The value digits * 10^exp. */
struct decimal {
    uint64_t digits; /* at most 17 digits, no trailing zero */
    int exp;
};

/* The shortest decimal that reads back as `d`; among several, the one closest to it (ties to even). `d` is finite and
 * greater than 0. */
struct decimal decimal_shortest(double d);

/* Reads all of `text`, which the caller has checked to be [+-]digits[.digits][(e|E)[+-]digits] with at least one digit
 * before or after the point. Rounded to nearest even; infinite when too large. Independent of the locale. */
double decimal_read(struct str text);
