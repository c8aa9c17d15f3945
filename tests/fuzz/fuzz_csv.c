/* What the CSV reader accepts can be written again and then reads as the same value; everything else is an error. */
#include "base/panic.h"
#include "data/convert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
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
    if (convert_read(CONVERT_CSV, text, &o, &a, &v, &err) == RC_OK) {
        buf_init(&b, (size_t)1 << 30);
        if (v.type != VAL_ARRAY || v.arr.n) {
            CHECK(convert_write(CONVERT_CSV, &v, &o, &b, &err) == RC_OK);
            CHECK(convert_read(CONVERT_CSV, buf_str(&b), &o, &a, &again, &err) == RC_OK);
            CHECK(val_eq(&v, &again));
        }
        buf_done(&b);
    } else {
        CHECK(err.rc == RC_INVALID || err.rc == RC_LIMIT);
    }
    arena_done(&a);
    return 0;
}
