#pragma once
/* What a command says, in both its forms: lines for people on standard error, and with --json one object on standard
 * output, whatever happens. There is one of it in a process. */
#include "data/val.h"
#include "flow/def.h"

/* A line "treadle: error: …" at once; the first one is the message of the object. */
void said_error(const char *message);
/* Problems of a workflow in the form that editors and terminals make clickable: file:line:column. */
void said_problems(struct str file, struct str text, const struct problems *ps);
void said_problem(struct str file, uint32_t line, uint32_t col, bool warning, const char *text);
/* A file that cannot be read is a problem without a line, and an error like any other. EXIT_USAGE. */
int said_unreadable(const char *file, const char *why);
/* {file, line, column, message, severity} of all so far, up to a bound; in `a`. */
struct val said_places(struct arena *a, bool warnings);

/* Text on standard output. Whether it could be written is told at the end (said_whole). */
void said_write(struct str s);
/* The command's one object, on standard output. `code`, or EXIT_ENVIRONMENT when it is too large. */
int said_json(const struct val *v, int code);
struct away_reader;
/* The same of a value of which parts have left memory (flow/away.h): each is read, written and let go of. The exit code
 * is also EXIT_ENVIRONMENT when one cannot be read; what is on standard output is then no whole object. */
int said_json_from(const struct val *v, const struct away_reader *r, int code);
/* Standard output has something else on it, such as objects by the line. */
void said_output(void);
/* {class, message, places?} of a command that failed; in `a`. */
struct val said_failure(struct arena *a, int code);
/* At the end, when --json was asked for: {"error": {class, message, places?}} if the command failed and nothing is on
 * standard output yet. */
void said_end(int code);
/* Writes out what was said on standard output so far. False: it cannot be written; said_whole() tells. */
bool said_flush(void);
/* At the very end of every command: its exit code, or, with a message, EXIT_ENVIRONMENT when something of standard
 * output could not be written. A reader that has read enough (`treadle ps | head`) is no error. */
int said_whole(int code);
