#pragma once
/* Exact order of numbers, whatever kinds meet: int64, integers of any size, doubles (taken for what they are in
 * binary). */
#include "data/val.h"

/* -1, 0, 1, or NUMBER_UNORDERED when either is no number or not finite. */
enum { NUMBER_UNORDERED = 2 };
int number_cmp(const struct val *a, const struct val *b);
/* Is it a whole number, of whatever kind? */
bool number_whole(const struct val *v);
