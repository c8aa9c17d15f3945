#include "duration.h"

#include <limits.h>
#include <stdio.h>

static const struct {
    char letter;
    long seconds;
} units[] = {{'d', 86400}, {'h', 3600}, {'m', 60}, {'s', 1}};

static long unit_seconds(char letter)
{
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (units[i].letter == letter)
            return units[i].seconds;
    return 0;
}

bool duration_parse(const char *text, long *seconds)
{
    long total = 0;
    if (!*text)
        return false;
    while (*text) {
        long value = 0, unit;
        if (*text < '0' || *text > '9')
            return false;
        for (; *text >= '0' && *text <= '9'; text++)
            value = value * 10 + (*text - '0');
        unit = unit_seconds(*text);
        if (!unit)
            return false;
        total = value * unit;
        text++;
    }
    *seconds = total;
    return true;
}

size_t duration_format(long seconds, char *out, size_t size)
{
    size_t n = 0;
    if (seconds == 0)
        return (size_t)snprintf(out, size, "0s");
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (seconds > units[i].seconds) {
            long count = seconds / units[i].seconds;
            n += (size_t)snprintf(n < size ? out + n : NULL, n < size ? size - n : 0, "%ld%c", count, units[i].letter);
            seconds -= count * units[i].seconds;
        }
    }
    return n;
}
