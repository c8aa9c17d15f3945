/* Answers for the JSONPath compliance test suite: reads framed requests on standard input, one answer line each.
 *
 *   request   KIND LENGTH\n BYTES      answer
 *   value     a JSON document          `ok`; later queries are about it
 *   query     a JSONPath               `invalid MESSAGE`; `nodes JSON`: [[value, normalised path], …]; `error MESSAGE`
 * Anything else ends the program with status 2. Queries run in slices of SLICE steps, as in a workflow. */
#include "data/json.h"
#include "data/jsonpath.h"

#include <stdio.h>
#include <stdlib.h>

enum { REQUEST_MAX = 64 << 20, SLICE = 3 };

static enum rc run(const struct jsonpath *q, const struct val *root, struct arena *a, struct val *ret, struct err *err)
{
    struct jsonpath_run *r = jsonpath_run_new(q, root, a, JSONPATH_FUEL, true);
    struct val_list out = val_list_new(a);
    struct jsonpath_node n = {0};
    bool more = true;
    enum rc rc = RC_OK;
    while (rc == RC_OK && more) {
        uint64_t slice = SLICE;
        rc = jsonpath_next(r, &slice, &n, &more, err);
        if (rc != RC_OK || !n.v)
            continue;
        struct val_list pair = val_list_new(a);
        val_list_push(&pair, *n.v);
        val_list_push(&pair, val_str(jsonpath_path(a, &n)));
        val_list_push(&out, val_list_done(&pair));
        more = true;
    }
    jsonpath_run_free(r);
    *ret = val_list_done(&out);
    return rc;
}

static void answer_query(const struct val *root, struct str text)
{
    struct arena a = {0};
    struct err err;
    struct val nodes;
    const struct jsonpath *q;
    if (jsonpath_parse(&a, text, &q, &err) != RC_OK) {
        printf("invalid %s\n", err.msg);
    } else if (run(q, root, &a, &nodes, &err) != RC_OK) {
        printf("error %s\n", err.msg);
    } else {
        struct str json = json_text(&a, &nodes);
        printf("nodes %.*s\n", STR_ARG(json));
    }
    arena_done(&a);
}

int main(void)
{
    char kind[8], *bytes = malloc(REQUEST_MAX);
    struct arena a = {0};
    struct val root = val_null;
    struct err err;
    size_t n;
    int status = bytes ? 0 : 2;
    while (!status && scanf("%7s %zu", kind, &n) == 2) {
        if (getchar() != '\n' || n > REQUEST_MAX || fread(bytes, 1, n, stdin) != n) {
            status = 2;
        } else if (str_is(str_c(kind), "value")) {
            arena_done(&a);
            status = json_parse(&a, str_n(bytes, n), NULL, &root, &err) == RC_OK ? 0 : 2;
            printf(status ? "bad document\n" : "ok\n");
        } else if (str_is(str_c(kind), "query")) {
            answer_query(&root, str_n(bytes, n));
        } else {
            status = 2;
        }
    }
    arena_done(&a);
    free(bytes);
    return status;
}
