/* Whatever is accepted can be written as JSON and read back as an equal value; whatever is refused has a place. Limits
 * are small so that inputs reach them. */
#include "base/panic.h"
#include "data/json.h"
#include "data/yaml.h"

#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_place(const char *msg)
{
    unsigned line, col;
    int at = 0;
    CHECK(sscanf(msg, "f.yaml:%u:%u: %n", &line, &col, &at) == 2 && at > 0 && msg[at]);
    CHECK(line > 0 && col > 0);
    CHECK(str_utf8_valid(str_c(msg)) == strlen(msg));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct yaml_limits limits = {.depth = 20, .max_size = 100000, .max_nodes = 5000};
    struct arena a = {0};
    struct err err = {0};
    struct val v, again;
    struct str text = {(const char *)data, size};
    if (yaml_parse(&a, text, "f.yaml", &limits, &v, &err) == RC_OK) {
        CHECK(val_depth(&v) <= limits.depth);
        struct str out = json_text(&a, &v);
        CHECK(json_parse(&a, out, NULL, &again, &err) == RC_OK);
        CHECK(val_eq(&v, &again));
        CHECK(str_eq(out, json_text(&a, &again)));
        struct val copy = val_copy(&a, &v);
        CHECK(val_eq(&v, &copy));
    } else {
        CHECK(err.rc == RC_INVALID || err.rc == RC_LIMIT);
        check_place(err.msg);
    }
    arena_done(&a);
    return 0;
}
