/* The bound of the machine holds for all: a workflow may ask for less, never for more. */
#include "executor/limits.h"

#include "executor/sandbox.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { LEAST_MEMORY = 1 << 20 };

/* A file with one number, such as a cgroup's; 0 when it has none ("max"). */
static uint64_t number_in(const char *path)
{
    char text[64];
    int64_t n = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof text);
    if (fd >= 0)
        close(fd);
    return got > 0 && str_to_i64(str_trim(str_n(text, (size_t)got)), &n) && n > 0 ? (uint64_t)n : 0;
}

/* Bytes of memory that this machine, or the container that this is, has. */
static uint64_t machine_memory(void)
{
    static const char *const bounds[] = {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"};
    uint64_t all = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    for (size_t i = 0; i < sizeof bounds / sizeof *bounds; i++) {
        uint64_t bound = number_in(bounds[i]);
        if (bound && bound < all)
            all = bound;
    }
    return all;
}

static bool read_size(struct str s, uint64_t *ret)
{
    static const char *const units[] = {"KB", "MB", "GB"};
    int64_t n;
    unsigned shift = 0;
    for (unsigned i = 0; i < 3 && !shift; i++)
        if (str_ends(s, str_c(units[i]))) {
            shift = (i + 1) * 10;
            s.n -= 2;
        }
    if (!str_to_i64(s, &n) || n <= 0 || n > INT64_MAX >> 30)
        return false;
    *ret = (uint64_t)n << shift;
    return *ret >= LEAST_MEMORY;
}

enum rc limits_of_machine(struct command_limits *ret, struct err *err)
{
    const char *memory = getenv("TREADLE_COMMAND_MEMORY"), *processes = getenv("TREADLE_COMMAND_PROCESSES");
    int64_t n;
    *ret = (struct command_limits){.memory = machine_memory() / 2, .processes = SANDBOX_PROCESSES};
    if (memory && *memory && !read_size(str_c(memory), &ret->memory))
        return err_set(err, RC_USAGE, "TREADLE_COMMAND_MEMORY is `%s`; expected a size of 1MB or more, such as 4GB",
                       memory);
    if (processes && *processes) {
        if (!str_to_i64(str_c(processes), &n) || n < 1 || n > 1 << 22)
            return err_set(err, RC_USAGE, "TREADLE_COMMAND_PROCESSES is `%s`; expected a number, such as 500",
                           processes);
        ret->processes = (uint32_t)n;
    }
    return RC_OK;
}
