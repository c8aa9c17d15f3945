/* What a role says on its standard error is passed on and kept without keys, in whatever pieces it comes. */
#include "base/keyprint.h"
#include "base/panic.h"
#include "supervisor/process.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define KEY "0123456789abcdef0123"

static void program(char *path, const char *text)
{
    int fd = mkstemp(path);
    assert_true(fd >= 0 && dprintf(fd, "#!/bin/sh\n%s\n", text) > 0);
    assert_int_equal(fchmod(fd, 0700), 0);
    close(fd);
}

static void test_last_words(void **state)
{
    char path[] = "/tmp/treadle-test-role-XXXXXX";
    struct process p;
    struct err err;
    int code, status;
    (void)state;
    program(
        path,
        "printf 'begin 0123456789' >&2; sleep 0.05; echo 'abcdef0123 end' >&2\n"
        "i=0; while [ $i -lt 100 ]; do echo 'a line of what was before, and that is forgotten' >&2; i=$((i+1)); done\n"
        "printf 'the last words: 0123456789abcdef' >&2; sleep 0.05; printf 0123 >&2");
    assert_int_equal(process_start(&p, path, "role", NULL, &err), RC_OK);
    while (p.errors >= 0) {
        struct pollfd wait = {.fd = p.errors, .events = POLLIN};
        assert_true(poll(&wait, 1, 20000) > 0);
        process_read_errors(&p);
    }
    process_reap(&p, &code, &status);
    assert_int_equal(status, 0);
    assert_true(str_ends(str_n(p.tail, p.tail_n), STR("\nthe last words: [secret KEY]")));
    assert_int_equal(str_find(str_n(p.tail, p.tail_n), STR("0123")), SIZE_MAX);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_last_words)};
    struct keyprints prints;
    keyprints_begin(&prints);
    CHECK(keyprints_add(&prints, "KEY", STR(KEY)));
    keyprints_use(&prints);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
