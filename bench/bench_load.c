/* How loading a workflow grows: microseconds of processor time for each of N and of 8 N things in one file, and their
 * ratio, which is about 1 where the cost is linear and 8 where each looks at each.
 *
 *     bench_load [N]
 *
 * "steps" is a chain of steps that read the step before. "inputs" reads that many undeclared inputs in conditions and
 * in texts (what a run wants has to be gathered from both); "line" has all expressions in one line of the file (whose
 * characters must not be counted again for each place); "mistakes" names that many steps and values which do not exist
 * (each is compared with what there is, to tell the nearest). */
#include "base/buf.h"
#include "base/panic.h"
#include "flow/def.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ROUNDS = 3, FACTOR = 8 };

static void steps(struct buf *b, long n)
{
    buf_addz(b, "workflow:\n  name: w\n  steps:\n    - {name: s0, type: test_echo, value: 1}\n");
    for (long i = 1; i < n; i++)
        buf_printf(b, "    - {name: s%ld, type: test_echo, value: \"{{ steps.s%ld.result }}\"}\n", i, i - 1);
}

static void inputs(struct buf *b, long n)
{
    buf_addz(b, "workflow:\n  name: w\n  steps:\n");
    for (long at = 0; at < n; at += 1000) {
        buf_printf(b, "    - name: s%ld\n      type: test_echo\n      condition: |\n        [1", at);
        for (long i = 0; i < 250; i++)
            buf_printf(b, ",\n        inputs.c%ld", i);
        buf_addz(b, "] is not empty\n      value: |\n");
        for (long i = 0; i < 750; i++)
            buf_printf(b, "        {{ inputs.n%ld }}\n", i);
    }
}

static void line(struct buf *b, long n)
{
    buf_addz(b, "workflow: {name: w, variables: {x: 1}, steps: [{name: a, type: test_echo, value: [1");
    for (long i = 0; i < n; i++)
        buf_addz(b, ", '{{ state.x + 1 }}'");
    buf_addz(b, "]}]}\n");
}

static void mistakes(struct buf *b, long n)
{
    buf_addz(b, "workflow:\n  name: w\n  steps:\n");
    for (long i = 0; i < n; i++)
        buf_printf(b, "    - {name: s%ld, type: test_echo, value: \"{{ nope%ld }} {{ steps.x%ld || 1 }}\"}\n", i, i, i);
}

static const struct shape {
    const char *name;
    void (*write)(struct buf *b, long n);
} shapes[] = {{"steps", steps}, {"inputs", inputs}, {"line", line}, {"mistakes", mistakes}};

/* Of this thread, so that what else the machine does does not count. */
static double cpu_us(void)
{
    struct timespec t;
    CHECK(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t) == 0);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* Microseconds for each of the `n`, the best of some rounds. */
static double cost(const struct shape *s, long n)
{
    struct buf b;
    buf_init(&b, (size_t)32 << 20);
    s->write(&b, n);
    double best = 0;
    for (int i = 0; i < ROUNDS; i++) {
        struct arena a = {0};
        struct problems ps = {.a = &a};
        double start = cpu_us();
        struct workflow *w = workflow_load(buf_str(&b), STR("bench.yaml"), &ps);
        double took = cpu_us() - start;
        CHECK(w);
        workflow_unref(w);
        arena_done(&a);
        best = i == 0 || took < best ? took : best;
    }
    buf_done(&b);
    return best / (double)n;
}

int main(int argc, char **argv)
{
    long n = argc > 1 ? strtol(argv[1], NULL, 10) : 5000;
    CHECK(n >= 1000 && n <= 5000);
    printf("%-9s %10ld x %9ld x  ratio\n", "", n, FACTOR * n);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        double one = cost(&shapes[i], n), many = cost(&shapes[i], FACTOR * n);
        printf("%-9s %9.2f us %8.2f us  %5.2f\n", shapes[i].name, one, many, many / one);
    }
    return 0;
}
