#pragma once
/* The one error type: a code from err.def, a message for people, and where it was raised.
 *
 * Functions that can fail return `enum rc` and take `struct err *err` last (never NULL). The place of failure fills it
 * with err_set(); callers add context in front with err_wrap(). An error is either returned or reported, never both. */
#include "base/str.h"

#include <stdarg.h>

enum rc {
#define X(code, name, retryable, text) code,
#include "base/err.def"
#undef X
    RC_COUNT
};

struct err {
    enum rc rc;
    char msg[600];
    const char *file; /* source place, for bug reports */
    int line;
};

#define MUST_CHECK __attribute__((warn_unused_result))

/* Fills `e` and returns `code`: `return err_set(err, RC_IO, "%s: %s", path, strerror(errno));` */
#define err_set(e, code, ...) err_set_at((e), (code), __FILE__, __LINE__, __VA_ARGS__)
enum rc err_set_at(struct err *e, enum rc code, const char *file, int line, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
/* The same for functions that are themselves called like printf(); arguments may lie in `e`. */
#define err_vset(e, code, fmt, ap) err_vset_at((e), (code), __FILE__, __LINE__, (fmt), (ap))
enum rc err_vset_at(struct err *e, enum rc code, const char *file, int line, const char *fmt, va_list ap)
    __attribute__((format(printf, 5, 0)));
/* Returns from the function what the call returns, unless that is RC_OK. */
#define TRY(call)                \
    do {                         \
        enum rc try_rc = (call); \
        if (try_rc != RC_OK)     \
            return try_rc;       \
    } while (0)
/* Puts "context: " in front of the message; returns the unchanged code. */
enum rc err_wrap(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

const char *rc_name(enum rc rc); /* "rate_limit" */
const char *rc_text(enum rc rc); /* "rate limited by the provider" */
bool rc_retryable(enum rc rc);
/* What the system's error number means for files: RC_DISK_FULL (also a quota), else RC_IO. */
enum rc rc_of_errno(int error);
/* The code with that name, or RC_COUNT. */
enum rc rc_from_name(struct str name);
