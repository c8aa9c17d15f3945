/* tempo: adds up durations. `tempo 1h30m 45m` prints 2h15m. */
#include "duration.h"

#include <stdio.h>

int main(int argc, char **argv)
{
    long total = 0, one;
    char text[64];
    for (int i = 1; i < argc; i++) {
        if (!duration_parse(argv[i], &one)) {
            fprintf(stderr, "tempo: `%s` is no duration; expected something like 1h30m\n", argv[i]);
            return 2;
        }
        total += one;
    }
    duration_format(total, text, sizeof text);
    puts(text);
    return 0;
}
