#pragma once
/* The hash for tables whose keys come from outside: keyed, so that nobody can aim at one slot.
 *
 * The same text gives the same hash for as long as the process lives, and another one in the next. Thread-safe. */
#include "base/str.h"

uint64_t hash_keyed(struct str s);
