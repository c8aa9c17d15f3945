/* What the reader accepts, the writer writes in every style so that it reads back as an equal value; writing that again
 * gives the same bytes. Equal values have one canonical text. */
#include "base/buf.h"
#include "base/panic.h"
#include "data/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct str written(struct arena *a, const struct val *v, enum json_style style)
{
    struct buf b;
    buf_init(&b, (size_t)1 << 30);
    json_write(&b, v, style);
    CHECK(!b.overflow);
    struct str s = arena_str(a, buf_str(&b));
    buf_done(&b);
    return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a = {0};
    struct err err = {0};
    struct val v, again;
    struct str text = {(const char *)data, size};
    if (json_parse(&a, text, NULL, &v, &err) == RC_OK) {
        struct str canonical = json_canonical(&a, &v);
        for (enum json_style style = JSON_COMPACT; style <= JSON_PRETTY; style++) {
            struct str out = written(&a, &v, style);
            CHECK(json_parse(&a, out, NULL, &again, &err) == RC_OK);
            CHECK(val_eq(&v, &again));
            CHECK(str_eq(out, written(&a, &again, style)));
            CHECK(str_eq(canonical, json_canonical(&a, &again)));
        }
        CHECK(json_parse(&a, canonical, NULL, &again, &err) == RC_OK);
        CHECK(val_eq(&v, &again));
        struct val copy = val_copy(&a, &v);
        CHECK(val_eq(&copy, &v) && val_weight(&copy) == val_weight(&v) && val_depth(&v) <= 128);
    } else {
        CHECK(err.rc == RC_INVALID || err.rc == RC_LIMIT);
        CHECK(str_utf8_valid(str_c(err.msg)) == strlen(err.msg));
    }
    arena_done(&a);
    return 0;
}
