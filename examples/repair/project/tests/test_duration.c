/* Every test runs; a test ends at its first failed check, so mending one fault may bring the next to light. */
#include "duration.h"

#include <stdio.h>
#include <string.h>

static int failed;
static const char *test;

static bool parses(int line, const char *text, long expected)
{
    long got = -1;
    bool ok = duration_parse(text, &got);
    if (ok && got == expected)
        return true;
    failed++;
    printf("FAIL %s: tests/test_duration.c:%d: duration_parse(\"%s\") gave %ld, expected %ld\n", test, line, text, got,
           expected);
    return false;
}

static bool refuses(int line, const char *text)
{
    long got = -1;
    if (!duration_parse(text, &got))
        return true;
    failed++;
    printf("FAIL %s: tests/test_duration.c:%d: duration_parse(\"%s\") gave %ld, expected a refusal\n", test, line, text,
           got);
    return false;
}

static bool formats(int line, long seconds, const char *expected)
{
    char got[64] = "";
    size_t n = duration_format(seconds, got, sizeof got);
    if (strcmp(got, expected) == 0 && n == strlen(expected))
        return true;
    failed++;
    printf("FAIL %s: tests/test_duration.c:%d: duration_format(%ld) gave \"%s\", expected \"%s\"\n", test, line, seconds,
           got, expected);
    return false;
}

#define PARSES(text, expected) if (!parses(__LINE__, text, expected)) return
#define REFUSES(text) if (!refuses(__LINE__, text)) return
#define FORMATS(seconds, expected) if (!formats(__LINE__, seconds, expected)) return

static void one_part(void)
{
    PARSES("15s", 15);
    PARSES("2h", 7200);
    PARSES("0d", 0);
}

static void parts_add_up(void)
{
    PARSES("1h30m", 5400);
    PARSES("1d1s", 86401);
    PARSES("30m1h", 5400);
    REFUSES("106751991167301d");
    REFUSES("99999999999999999999s");
}

static void nonsense(void)
{
    REFUSES("");
    REFUSES("h");
    REFUSES("10");
    REFUSES("10x");
    REFUSES("1h-3m");
}

static void format_parts(void)
{
    FORMATS(0, "0s");
    FORMATS(61, "1m1s");
    FORMATS(60, "1m");
    FORMATS(5400, "1h30m");
    FORMATS(86400, "1d");
}

static void format_fits(void)
{
    char four[4];
    if (duration_format(93784, four, sizeof four) != 8 || strcmp(four, "1d2") != 0)
        printf("FAIL %s: tests/test_duration.c:%d: a short buffer got \"%s\"\n", test, __LINE__, four), failed++;
}

int main(void)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } tests[] = {{"one_part", one_part}, {"parts_add_up", parts_add_up}, {"nonsense", nonsense},
                 {"format_parts", format_parts}, {"format_fits", format_fits}};
    int n = (int)(sizeof tests / sizeof *tests);
    for (int i = 0; i < n; i++) {
        test = tests[i].name;
        tests[i].run();
    }
    printf("%d of %d tests passed\n", n - failed, n);
    return failed ? 1 : 0;
}
