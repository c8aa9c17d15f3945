#pragma once
/* For fuzzers of formats: what a reader accepts can be written again and then reads as the same value; everything else
 * is an error that says so. */
#include "base/panic.h"
#include "data/convert.h"

static inline void round_trip(enum convert_format format, const uint8_t *data, size_t size)
{
    struct arena a = {0};
    struct buf b;
    struct err err = {0};
    struct val v, again;
    struct convert_options o = {0};
    if (size) /* the first byte chooses */
        o = (struct convert_options){
            .delimiter = ",;\t|"[data[0] & 3], .no_headers = data[0] & 4, .indent = data[0] >> 6};
    struct str text = {(const char *)data + 1, size ? size - 1 : 0};
    if (convert_read(format, text, &o, &a, &v, &err) == RC_OK) {
        buf_init(&b, (size_t)1 << 30);
        if (v.type != VAL_ARRAY || v.arr.n) {
            CHECK(convert_write(format, &v, &o, &b, &err) == RC_OK);
            CHECK(convert_read(format, buf_str(&b), &o, &a, &again, &err) == RC_OK);
            CHECK(val_eq(&v, &again));
        }
        buf_done(&b);
    } else {
        CHECK(err.rc == RC_INVALID || err.rc == RC_LIMIT);
    }
    arena_done(&a);
}
