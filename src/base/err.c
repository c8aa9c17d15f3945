/* Tables made from err.def, and messages that stay valid UTF-8 when they are cut. */
#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

static const struct {
    const char *name, *text;
    bool retryable;
} codes[RC_COUNT] = {
#define X(code, name_, retryable_, text_) [code] = {name_, text_, retryable_},
#include "base/err.def"
#undef X
};

const char *rc_name(enum rc rc)
{
    return rc < RC_COUNT ? codes[rc].name : "internal";
}
const char *rc_text(enum rc rc)
{
    return rc < RC_COUNT ? codes[rc].text : "unknown error";
}
bool rc_retryable(enum rc rc)
{
    return rc < RC_COUNT && codes[rc].retryable;
}

enum rc rc_of_errno(int error)
{
    return error == ENOSPC || error == EDQUOT ? RC_DISK_FULL : RC_IO;
}

enum rc rc_from_name(struct str name)
{
    for (unsigned i = 0; i < RC_COUNT; i++)
        if (str_is(name, codes[i].name))
            return (enum rc)i;
    return RC_COUNT;
}

static void cut_to_utf8(char *msg)
{
    msg[str_utf8_valid(str_c(msg))] = 0;
}

enum rc err_vset_at(struct err *e, enum rc code, const char *file, int line, const char *fmt, va_list ap)
{
    struct err new = {.rc = code, .file = file, .line = line};
    vsnprintf(new.msg, sizeof new.msg, fmt, ap);
    cut_to_utf8(new.msg);
    *e = new;
    return code;
}

enum rc err_set_at(struct err *e, enum rc code, const char *file, int line, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    err_vset_at(e, code, file, line, fmt, ap);
    va_end(ap);
    return code;
}

enum rc err_wrap(struct err *e, const char *fmt, ...)
{
    char with[sizeof e->msg];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(with, sizeof with, fmt, ap);
    va_end(ap);
    if (n < 0 || (size_t)n >= sizeof with)
        return e->rc;
    if (snprintf(with + n, sizeof with - (size_t)n, ": %s", e->msg) < 0)
        return e->rc;
    cut_to_utf8(with);
    memcpy(e->msg, with, sizeof with);
    return e->rc;
}
