#pragma once
/* From what the YAML scanner says to what a person should change. */
#include "base/err.h"

struct yaml_problem {
    const char *file;
    struct str text;     /* the whole document */
    const char *problem; /* the scanner's words; NULL when it had none */
    const char *context; /* "while parsing a block mapping", or NULL */
    uint32_t line, col;  /* of the problem, from 1 */
    uint32_t context_line, context_col;
};

/* Fills `err` with "file:line:col: what is wrong; what was expected". Returns RC_INVALID. */
enum rc yaml_problem_report(const struct yaml_problem *p, struct err *err);

/* Does an unquoted template begin at line:col? */
bool yaml_problem_is_template(struct str text, uint32_t line, uint32_t col);
/* The report for a template that stands unquoted at line:col and is therefore no text in YAML. */
enum rc yaml_problem_template(const char *file, struct str text, uint32_t line, uint32_t col, struct err *err);
