#pragma once
/* Time of day and time that only goes forward, both in whole milliseconds. The pure engine must not call these: it asks
 * `flow/io.h`. */
#include <stdint.h>

int64_t clock_wall_ms(void); /* since 1970-01-01 UTC */
int64_t clock_mono_ms(void); /* since some start; never goes back */
int64_t clock_mono_us(void);
