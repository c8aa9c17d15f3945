/* Any text, with keys put in where a byte below 25 says which and in what form: what is found is what a search that
 * knows the keys finds, and the same in one piece as in many. The first byte says how many of the next are lengths of
 * pieces. */
#include "../keyprint_reference.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a = {0};
    struct buf b;
    if (!keyprints_used())
        reference_use();
    struct str all = str_n((const char *)data, size), cuts = str_n(all.p, 0);
    if (all.n) {
        size_t n = data[0] % 16;
        all = str_from(all, 1);
        cuts = str_n(all.p, n < all.n ? n : all.n);
        all = str_from(all, cuts.n);
    }
    buf_init(&b, 1 << 20);
    for (size_t i = 0; i < all.n; i++) {
        unsigned char c = (unsigned char)all.p[i];
        if (c < REFERENCE_KEYS * REFERENCE_FORMS && c != '\n')
            reference_put(&b, str_c(reference_keys[c % REFERENCE_KEYS].key), c / REFERENCE_KEYS);
        else if (c < 2 * REFERENCE_KEYS * REFERENCE_FORMS && c >= REFERENCE_KEYS * REFERENCE_FORMS && c != '"')
            reference_lines(&b, str_c(reference_keys[c % REFERENCE_KEYS].key), c / REFERENCE_KEYS % REFERENCE_FORMS);
        else
            buf_addc(&b, (char)c);
    }
    struct str text = buf_str(&b), want = reference_cover(&a, text, true);
    CHECK(str_eq(keyprints_cover(&a, text), want));
    CHECK(str_eq(reference_stream(&a, text, true, cuts), want));
    CHECK(str_eq(reference_stream(&a, text, false, cuts), reference_cover(&a, text, false)));
    buf_done(&b);
    arena_done(&a);
    return 0;
}
