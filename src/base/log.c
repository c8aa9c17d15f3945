/* One write() a line, so that lines of several processes do not mix. */
#include "base/log.h"

#include "base/keyprint.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char *const names[] = {"error", "warn", "info", "debug"};

static enum log_level threshold(void)
{
    static int level = -1;
    if (level < 0) {
        level = LOG_WARN;
        struct str want = str_c(getenv("TREADLE_LOG"));
        for (int i = 0; i < 4; i++)
            if (str_is(want, names[i]))
                level = i;
    }
    return (enum log_level)level;
}

void log_line(enum log_level level, const char *fmt, ...)
{
    if (level > threshold())
        return;
    char whole[4096], msg[1024], line[1100];
    struct arena a = {0};
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(whole, sizeof whole, fmt, ap);
    va_end(ap);
    snprintf(msg, sizeof msg, "%.*s", STR_ARG(keyprints_cover(&a, str_c(whole)))); /* before it is cut */
    arena_done(&a);
    for (char *c = msg; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '?';
    int n = snprintf(line, sizeof line, "treadle: %s: %s\n", names[level], msg);
    ssize_t unused = write(STDERR_FILENO, line, (size_t)n);
    (void)unused; /* nowhere left to complain */
}
