#ifndef DURATION_H
#define DURATION_H
/* Durations as people write them: a sum of parts such as "1d", "2h", "30m", "15s", from large to small or not. */
#include <stdbool.h>
#include <stddef.h>

/* Reads `text` into seconds. False, and *seconds unchanged, when it is no duration or too long for a long. */
bool duration_parse(const char *text, long *seconds);

/* Writes `seconds` in its largest units, "1h30m"; parts that are zero are left out, zero itself is "0s". Returns how
 * many characters that takes (as snprintf does); at most `size` bytes are written, the closing zero included. */
size_t duration_format(long seconds, char *out, size_t size);

#endif
