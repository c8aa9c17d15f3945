/* What it costs to look for keys in text: nanoseconds a byte, and how often memcpy() and memchr() (for a byte that is
 * not there) go over the same bytes meanwhile, in the same process. Three keys, of the lengths that providers give.
 *
 *     bench_keyprint [MEGABYTES]
 *
 * "prose" has words of the usual length; "code" is this program's own source, repeated; "base64" is one line without a
 * gap, "lines" the same in lines of 76. */
#include "base/buf.h"
#include "base/keyprint.h"
#include "base/panic.h"
#include "base/rng.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 5 };

static struct rng rng;

static void letters(char *p, size_t n)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < n; i++)
        p[i] = digits[rng_below(&rng, 64)];
}

/* As keys are: letters, digits, `-` and `_`. */
static void plain(char *p, size_t n)
{
    letters(p, n);
    for (size_t i = 0; i < n; i++)
        p[i] = p[i] == '+' ? '-' : p[i] == '/' ? '_' : p[i];
}

static void prose(char *p, size_t n)
{
    for (size_t i = 0; i < n;) {
        size_t word = 1 + rng_below(&rng, 9);
        for (; word && i < n; word--)
            p[i++] = (char)('a' + rng_below(&rng, 26));
        if (i < n)
            p[i++] = rng_below(&rng, 12) ? ' ' : '\n';
    }
}

static void lines(char *p, size_t n)
{
    letters(p, n);
    for (size_t i = 76; i < n; i += 77)
        p[i] = '\n';
}

static void code(char *p, size_t n)
{
    char text[16 << 10];
    int fd = open(__FILE__, O_RDONLY | O_CLOEXEC);
    ssize_t have = fd < 0 ? 0 : read(fd, text, sizeof text);
    if (have <= 0) {
        prose(p, n);
    } else {
        for (size_t i = 0; i < n; i++)
            p[i] = text[i % (size_t)have];
    }
    if (fd >= 0)
        close(fd);
}

static const struct kind {
    const char *name;
    void (*make)(char *p, size_t n);
} kinds[] = {{"prose", prose}, {"code", code}, {"lines", lines}, {"base64", letters}};

static char *text, *copy;
static size_t size;

static void do_copy(void)
{
    memcpy(copy, text, size);
    __asm__ volatile("" ::"r"(copy) : "memory");
}

static void do_chr(void)
{
    const volatile void *at = memchr(text, 0, size);
    CHECK(!at);
}

static void do_find(void)
{
    size_t at;
    const char *name;
    CHECK(!keyprints_find(str_n(text, size), &at, &name));
}

static void swallow(void *ctx, const char *bytes, size_t n)
{
    (void)bytes;
    *(size_t *)ctx += n;
}

static void do_stream(void)
{
    struct keyprint_stream s = {0};
    size_t n = 0;
    for (size_t at = 0; at < size; at += 4096)
        keyprint_stream_add(&s, text + at, size - at < 4096 ? size - at : 4096, swallow, &n);
    keyprint_stream_end(&s, swallow, &n);
    CHECK(n == size);
}

/* Of this thread, so that what else the machine does does not count. */
static int64_t cpu_ns(void)
{
    struct timespec t;
    CHECK(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t) == 0);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Nanoseconds a byte, the best of some rounds. */
static double cost(void (*what)(void))
{
    int64_t best = INT64_MAX;
    for (int i = 0; i < ROUNDS; i++) {
        int64_t start = cpu_ns();
        what();
        int64_t took = cpu_ns() - start;
        best = took < best ? took : best;
    }
    return (double)best / (double)size;
}

int main(int argc, char **argv)
{
    static const size_t lengths[] = {108, 39, 164};
    char key[200];
    struct keyprints p;
    long megabytes = argc > 1 ? strtol(argv[1], NULL, 10) : 16;
    size = (size_t)(megabytes > 0 && megabytes < 1000 ? megabytes : 16) << 20;
    text = malloc(size);
    copy = malloc(size);
    CHECK(text && copy);
    rng_seed(&rng, 1);
    keyprints_begin(&p);
    for (size_t i = 0; i < 3; i++) {
        plain(key, lengths[i]);
        CHECK(keyprints_add(&p, "KEY", str_n(key, lengths[i])));
    }
    keyprints_use(&p);
    printf("%-8s %10s %10s %10s %10s   %s\n", "text", "memcpy", "memchr", "find", "stream", "find : memchr, memcpy");
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        kinds[i].make(text, size);
        double c = cost(do_copy), m = cost(do_chr), f = cost(do_find), s = cost(do_stream);
        printf("%-8s %7.3f ns %7.3f ns %7.3f ns %7.3f ns   %.1f, %.1f\n", kinds[i].name, c, m, f, s, f / m, f / c);
    }
    return 0;
}
