/* The last words of a process. Writes with dprintf straight to fd 2: buffers and locks cannot be trusted here. */
#include "base/panic.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void panic_at(const char *file, int line, const char *func, const char *fmt, ...)
{
    char msg[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(msg, sizeof msg, fmt, ap);
    va_end(ap);
    dprintf(STDERR_FILENO, "treadle: internal error at %s:%d (%s): %s\n", file, line, func, msg);
    abort();
}
