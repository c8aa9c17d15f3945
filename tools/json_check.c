/* Answers for comparisons with other JSON implementations: reads framed requests on standard input, one answer line
 * each.
 *
 *   request   KIND LENGTH\n BYTES      answer
 *   doc       a JSON document          `ok LENGTH\n TEXT\n`, TEXT in the spaced style, or `error MESSAGE\n`
 *   hex       16 hexadecimal digits    the bits of a double: `ok LENGTH\n TEXT\n`, TEXT its shortest decimal
 * Anything else ends the program with status 2. */
#include "base/buf.h"
#include "data/json.h"

#include <stdio.h>
#include <stdlib.h>

enum { REQUEST_MAX = 64 << 20 };

static void answer(struct str text)
{
    printf("ok %zu\n", text.n);
    fwrite(text.p, 1, text.n, stdout);
    putchar('\n');
}

static void answer_doc(struct str text)
{
    struct arena a = {0};
    struct err err;
    struct val v;
    if (json_parse(&a, text, NULL, &v, &err)) {
        printf("error %s\n", err.msg);
    } else {
        struct buf out;
        buf_init(&out, (size_t)1 << 30);
        json_write(&out, &v, JSON_SPACED);
        answer(buf_str(&out));
        buf_done(&out);
    }
    arena_done(&a);
}

static void answer_double(struct str hex)
{
    char z[17] = {0}, text[32];
    memcpy(z, hex.p, hex.n < 16 ? hex.n : 16);
    uint64_t bits = strtoull(z, NULL, 16);
    double d;
    memcpy(&d, &bits, sizeof d);
    answer(str_n(text, json_double_text(d, text)));
}

int main(void)
{
    char kind[8], *bytes = malloc(REQUEST_MAX);
    size_t n;
    int status = bytes ? 0 : 2;
    while (!status && scanf("%7s %zu", kind, &n) == 2) {
        if (getchar() != '\n' || n > REQUEST_MAX || fread(bytes, 1, n, stdin) != n)
            status = 2;
        else if (str_is(str_c(kind), "doc"))
            answer_doc(str_n(bytes, n));
        else if (str_is(str_c(kind), "hex"))
            answer_double(str_n(bytes, n));
        else
            status = 2;
    }
    if (fflush(stdout))
        status = 2;
    free(bytes);
    return status;
}
