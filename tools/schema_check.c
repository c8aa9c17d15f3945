/* Answers for the JSON Schema test suite: reads framed requests on standard input, one answer line each.
 *
 *   request   KIND LENGTH\n BYTES      answer
 *   schema    a JSON Schema            `ok`, or `invalid MESSAGE`; later values are judged by it
 *   value     a JSON document          `ok`; `violates LENGTH\n REPORT`; `error MESSAGE`
 * Anything else ends the program with status 2. */
#include "data/json.h"
#include "data/schema.h"

#include <stdio.h>
#include <stdlib.h>

enum { REQUEST_MAX = 64 << 20 };

static void answer_schema(struct arena *a, struct str text, struct val *ret)
{
    struct err err;
    *ret = val_true;
    if (json_parse(a, text, NULL, ret, &err) || schema_valid(ret, &err))
        printf("invalid %s\n", err.msg);
    else
        printf("ok\n");
}

static void answer_value(const struct val *schema, struct str text)
{
    struct arena a = {0};
    struct err err;
    struct val v;
    struct str report;
    enum rc rc = json_parse(&a, text, NULL, &v, &err);
    if (!rc)
        rc = schema_report(schema, &v, &a, &report, &err);
    if (!rc)
        printf("ok\n");
    else if (rc == RC_SCHEMA)
        printf("violates %zu\n%.*s\n", report.n, STR_ARG(report));
    else
        printf("error %s\n", err.msg);
    arena_done(&a);
}

int main(void)
{
    char kind[8], *bytes = malloc(REQUEST_MAX);
    struct arena a = {0};
    struct val schema = val_true;
    size_t n;
    int status = bytes ? 0 : 2;
    while (!status && scanf("%7s %zu", kind, &n) == 2) {
        if (getchar() != '\n' || n > REQUEST_MAX || fread(bytes, 1, n, stdin) != n) {
            status = 2;
        } else if (str_is(str_c(kind), "schema")) {
            arena_done(&a);
            answer_schema(&a, str_n(bytes, n), &schema);
        } else if (str_is(str_c(kind), "value")) {
            answer_value(&schema, str_n(bytes, n));
        } else {
            status = 2;
        }
    }
    if (fflush(stdout))
        status = 2;
    arena_done(&a);
    free(bytes);
    return status;
}
