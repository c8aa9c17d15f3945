/* Who has a file open for writing: seen, waited for without looking again and again, and not for ever. */
#include "base/arena.h"
#include "executor/writers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[] = "/tmp/test_writers.XXXXXX";
static int at;

static int set_up(void **state)
{
    (void)state;
    if (!mkdtemp(dir))
        return -1;
    at = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return at < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    unlinkat(at, "f", 0);
    unlinkat(at, "pipe", 0);
    close(at);
    return rmdir(dir);
}

static int open_file(int flags)
{
    int fd = openat(at, "f", flags | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    return fd;
}

static void nobody(void **state)
{
    (void)state;
    int patience = WRITERS_PATIENCE_ALL_MS, fd = open_file(O_RDWR);
    close(fd);
    fd = open_file(O_RDONLY); /* readers do not count */
    assert_false(has_writers(at, "f", &patience));
    assert_false(has_writers(at, "missing", &patience));
    assert_int_equal(mkfifoat(at, "pipe", 0600), 0);
    assert_false(has_writers(at, "pipe", &patience));
    assert_int_equal(patience, WRITERS_PATIENCE_ALL_MS);
    close(fd);
}

static long times_slept(void)
{
    struct rusage u;
    assert_int_equal(getrusage(RUSAGE_THREAD, &u), 0);
    return u.ru_nvcsw;
}

static void somebody_who_stays(void **state)
{
    (void)state;
    int patience = WRITERS_PATIENCE_ALL_MS, fd = open_file(O_WRONLY);
    long slept = times_slept();
    assert_true(has_writers(at, "f", &patience));
    slept = times_slept() - slept;
    assert_in_range(slept, 1, 15);
    assert_true(patience <= WRITERS_PATIENCE_ALL_MS - WRITERS_PATIENCE_MS);
    for (int i = 0; i < 10 && patience > 0; i++)
        assert_true(has_writers(at, "f", &patience));
    assert_true(patience <= 0); /* from then on nothing is waited for */
    slept = times_slept();
    for (int i = 0; i < 100; i++)
        assert_true(has_writers(at, "f", &patience));
    assert_in_range(times_slept() - slept, 0, 20);
    close(fd);
}

static void somebody_who_has_mapped_it(void **state)
{
    (void)state;
    int patience = WRITERS_PATIENCE_MS, fd = open_file(O_RDWR);
    assert_int_equal(ftruncate(fd, 4096), 0);
    void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_ptr_not_equal(p, MAP_FAILED);
    close(fd);
    assert_true(has_writers(at, "f", &patience));
    assert_int_equal(munmap(p, 4096), 0);
    patience = WRITERS_PATIENCE_MS;
    assert_false(has_writers(at, "f", &patience));
}

/* Each is waited for, however soon he closes it after it was seen to be open. */
static void somebody_who_ends(void **state)
{
    (void)state;
    size_t seen = 0, tries = 0;
    for (; tries < 200 && seen < 20; tries++) {
        int patience = 10000, fd = open_file(O_WRONLY);
        pid_t pid = fork();
        if (pid == 0) {
            usleep((useconds_t)(tries * 37 % 5000));
            _exit(0);
        }
        close(fd);
        bool held = has_writers(at, "f", &patience);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        seen += !held && patience < 10000;
        if (held)
            assert_true(patience <= 10000 - WRITERS_PATIENCE_MS); /* a busy machine */
    }
    assert_true(seen >= 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody),
        cmocka_unit_test(somebody_who_stays),
        cmocka_unit_test(somebody_who_has_mapped_it),
        cmocka_unit_test(somebody_who_ends),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
