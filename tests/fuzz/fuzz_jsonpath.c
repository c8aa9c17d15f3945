/* The first line is a JSONPath, the rest a value. A query gives the same nodes in one go and in slices, each at a
 * normalised path that is a query for exactly that node; or it ends at a limit. */
#include "base/buf.h"
#include "base/panic.h"
#include "data/json.h"
#include "data/jsonpath.h"

enum { INPUT_MAX = 4096, FUEL = 100000, CHECKED = 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char otherwise[] =
    "{\"a\":[1,2.5,\"x\",null,{\"b\":[true,{\"a\":\"ab\"}]},[]],\"o\":{\"p\":\"pq\",\"a\":0}}";

static void check_message(const struct err *err)
{
    struct str s = str_c(err->msg);
    CHECK(s.n > 0 && str_utf8_valid(s) == s.n);
}

/* The node's path selects that node and nothing else. */
static void check_path(const struct val *root, const struct jsonpath_node *n, struct arena *a)
{
    const struct jsonpath *q;
    struct err err;
    struct jsonpath_node same, none;
    uint64_t slice = UINT64_MAX;
    bool more;
    CHECK(jsonpath_parse(a, jsonpath_path(a, n), &q, &err) == RC_OK && jsonpath_is_singular(q));
    struct jsonpath_run *r = jsonpath_run_new(q, root, a, FUEL, false);
    CHECK(jsonpath_next(r, &slice, &same, &more, &err) == RC_OK && same.v == n->v);
    CHECK(jsonpath_next(r, &slice, &none, &more, &err) == RC_OK && !none.v && !more);
    jsonpath_run_free(r);
}

static void check_query(const struct jsonpath *q, const struct val *root, struct arena *a)
{
    struct err err = {0}, err2 = {0};
    struct jsonpath_run *whole = jsonpath_run_new(q, root, a, FUEL, false),
                        *sliced = jsonpath_run_new(q, root, a, FUEL, true);
    for (size_t i = 0;; i++) {
        struct jsonpath_node one, two;
        uint64_t all = UINT64_MAX;
        bool more, stays;
        enum rc rc = jsonpath_next(whole, &all, &one, &more, &err), rc2;
        do {
            uint64_t little = 3;
            rc2 = jsonpath_next(sliced, &little, &two, &stays, &err2);
        } while (rc2 == RC_OK && !two.v && stays);
        CHECK(rc == rc2 && (rc == RC_OK || rc == RC_LIMIT));
        if (rc != RC_OK) {
            check_message(&err);
            break;
        }
        CHECK(one.v == two.v);
        if (!one.v)
            break;
        CHECK(!jsonpath_is_singular(q) || i == 0);
        if (i < CHECKED)
            check_path(root, &two, a);
    }
    jsonpath_run_free(whole);
    jsonpath_run_free(sliced);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > INPUT_MAX)
        return 0;
    struct arena a = {0};
    struct err err = {0};
    struct val root;
    const struct jsonpath *q;
    struct str text = {(const char *)data, size};
    size_t end = str_find(text, STR("\n"));
    struct str first = str_n(text.p, end < size ? end : size), second = str_from(text, first.n + 1);
    if (jsonpath_parse(&a, first, &q, &err) != RC_OK) {
        check_message(&err);
    } else {
        if (jsonpath_check_patterns(q, &err) != RC_OK)
            check_message(&err);
        if (json_parse(&a, second, NULL, &root, &err) != RC_OK)
            CHECK(json_parse(&a, str_c(otherwise), NULL, &root, &err) == RC_OK);
        check_query(q, &root, &a);
    }
    arena_done(&a);
    return 0;
}
