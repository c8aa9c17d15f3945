/* The image is put into a file in memory, once in a process, and sealed: no process that got hold of a descriptor could
 * change what the next command is started with. */
#include "executor/launcher_image.h"

#ifdef TREADLE_LAUNCHER
#include "base/fd.h"
#include "base/str.h"
#include "executor/launch_plan.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

__asm__(".pushsection .rodata\n"
        ".balign 16\n"
        "treadle_launcher_begin: .incbin \"" TREADLE_LAUNCHER "\"\n"
        "treadle_launcher_end:\n"
        ".popsection\n");
extern const char treadle_launcher_begin[], treadle_launcher_end[];

/* Above the numbers that a launcher's descriptors have, which are put in place before it is executed. */
static int make(void)
{
    enum { SEALS = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE };
    struct str image = str_n(treadle_launcher_begin, (size_t)(treadle_launcher_end - treadle_launcher_begin));
    int fd = memfd_create("treadle-launcher", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -1;
    int high = fcntl(fd, F_DUPFD_CLOEXEC, LAUNCH_FD_END);
    close(fd);
    if (high >= 0 && fd_write_all(high, image) && fchmod(high, 0500) == 0 && fcntl(high, F_ADD_SEALS, SEALS) == 0)
        return high;
    if (high >= 0)
        close(high);
    return -1;
}

const char *launcher_image(void)
{
    static char path[32];
    static bool tried;
    if (!tried) {
        int fd = make();
        if (fd >= 0)
            snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        tried = true;
    }
    return *path && access(path, X_OK) == 0 ? path : NULL;
}
#else
#include <stddef.h>

const char *launcher_image(void)
{
    return NULL;
}
#endif
