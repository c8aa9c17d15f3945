#pragma once
/* Diagnostics for operators on standard error, one line each. Results and progress do not go through here.
 *
 * The level comes from TREADLE_LOG (error, warn, info, debug; default warn). Library code that returns an error does
 * not log it. Control characters in what is logged are shown escaped, so outside text cannot forge lines. */

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

void log_line(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
