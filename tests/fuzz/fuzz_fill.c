/* Any text as a prompt file with places, after a first line that says what the places are: `NAME=text` between bars.
 * What comes out is bounded, made of the text and the values alone, and the same each time; a text without braces comes
 * back as it was. */
#include "agent/fill.h"
#include "base/panic.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { VALUES_MAX = 8, OUT_MAX = 64 << 10 };

static size_t read_values(struct str line, struct fill_value *v)
{
    size_t n = 0;
    while (line.n && n < VALUES_MAX) {
        size_t bar = str_find(line, STR("|")), eq;
        struct str one = str_n(line.p, bar < line.n ? bar : line.n);
        eq = str_find(one, STR("="));
        if (eq != SIZE_MAX)
            v[n++] = (struct fill_value){.name = str_n(one.p, eq), .text = str_from(one, eq + 1)};
        line = str_from(line, one.n + 1);
    }
    return n;
}

static void check(struct arena *a, struct str text, struct fill *f)
{
    struct str got, again;
    struct err err;
    enum rc rc = fill_text(a, text, f, &got, &err);
    CHECK(rc == RC_OK || rc == RC_INVALID || rc == RC_LIMIT);
    if (rc != RC_OK) {
        struct str said = str_c(err.msg);
        CHECK(said.n > 0);
        return;
    }
    CHECK(got.n <= f->max);
    CHECK(str_find(text, STR("{")) != SIZE_MAX || str_eq(got, text));
    bool used = false;
    for (size_t i = 0; i < f->nown; i++)
        used |= f->own[i].used;
    for (size_t i = 0; i < f->nshared; i++)
        used |= f->shared[i].used;
    CHECK(!used || str_find(text, STR("{")) != SIZE_MAX);
    CHECK(fill_text(a, text, f, &again, &err) == RC_OK && str_eq(got, again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a = {0};
    struct str all = str_n((const char *)data, size);
    size_t end = str_find(all, STR("\n"));
    struct str line = str_n(all.p, end < all.n ? end : all.n);
    struct fill_value v[VALUES_MAX] = {0};
    size_t n = read_values(line, v), own = n / 2;
    for (int closed = 0; closed < 2; closed++) {
        struct fill f = {v, v + own, own, n - own, closed != 0, OUT_MAX};
        check(&a, str_from(all, line.n + 1), &f);
    }
    arena_done(&a);
    return 0;
}
