/* Which last words of a command are taken for a sandbox's doing. */
#include "executor/hint.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static struct str places[LAUNCH_PLACES];

static bool hinted(const char *errors, int code, uint32_t flags, enum sandbox_tier tier, const char *command)
{
    struct arena a = {0};
    struct str argv[] = {STR("/bin/sh"), STR("-c"), str_c(command)};
    struct command_spec spec = {
        .argv = argv, .argc = 3, .flags = flags, .tier = tier, .places = places, .nplaces = LAUNCH_PLACES};
    struct command_outcome o = {.exit_code = code, .errors = str_c(errors)};
    bool any = hint_of(&spec, &o, &a).n > 0;
    arena_done(&a);
    return any;
}

static void networks(void **state)
{
    (void)state;
    static const struct {
        const char *errors;
        int code;
        bool hint;
        const char *command;
    } rows[] = {
        {"curl: (6) Could not resolve host: example.org\n", 6, true, "x"},
        {"fatal: unable to access 'https://a/': Could not resolve host: a\n", 128, true, "x"},
        {"... [Errno -3] Temporary failure in name resolution ...\n", 1, true, "x"},
        {"npm error code EAI_AGAIN\n", 1, true, "x"},
        {"go: dial tcp: lookup proxy.example on [::1]:53\n", 1, true, "x"},
        {"connect: Network is unreachable\n", 2, true, "x"},
        {"", 6, true, "curl -s example.org"},
        {"", 4, true, "wget -q example.org"},
        {"", 6, false, "make"},
        {"", 5, false, "curl -s example.org"},
        {"curl: (6) Could not resolve host: example.org\n", 0, false, "x"},
        {"3 tests failed\n", 1, false, "x"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(hinted(rows[i].errors, rows[i].code, LAUNCH_NO_NETWORK, SANDBOX_STRICT, rows[i].command),
                         rows[i].hint);
        assert_false(hinted(rows[i].errors, rows[i].code, 0, SANDBOX_STRICT, rows[i].command));
        assert_false(hinted(rows[i].errors, rows[i].code, LAUNCH_NO_NETWORK, SANDBOX_NONE, rows[i].command));
    }
}

/* What is not there outside either is simply missing. */
static void programs(void **state)
{
    (void)state;
    static const char *const words[] = {"sh: 1: no-such-program: not found\n",
                                        ": not found\n",
                                        "sh: not found\n",
                                        "/etc/passwd: not found\n",
                                        "sh: 1: ../../bin/sh: not found\n",
                                        "\n\n",
                                        ""};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        assert_false(hinted(words[i], 127, LAUNCH_NO_NETWORK, SANDBOX_STRICT, "x"));
        assert_false(hinted(words[i], 126, 0, SANDBOX_STANDARD, "x"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(networks), cmocka_unit_test(programs)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
