/* sd_notify(3) and sd_listen_fds(3), as their manual pages describe the protocol: small enough not to link a library
 * into the one process that must survive everybody's bugs. */
#include "supervisor/notify.h"

#include "base/str.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { LISTEN_FDS_START = 3, LISTEN_FDS_MAX = 16 };

void notify_state(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    size_t n = path ? strlen(path) : 0;
    if (n < 2 || n >= sizeof sa.sun_path || (path[0] != '/' && path[0] != '@'))
        return;
    memcpy(sa.sun_path, path, n);
    if (path[0] == '@')
        sa.sun_path[0] = 0;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
    (void)!sendto(fd, state, strlen(state), MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&sa, length);
    close(fd);
}

static int64_t number(const char *name)
{
    int64_t n;
    const char *v = getenv(name);
    return v && str_to_i64(str_c(v), &n) ? n : -1;
}

int64_t notify_watchdog_ms(void)
{
    int64_t us = number("WATCHDOG_USEC"), pid = number("WATCHDOG_PID");
    return us < 2000 || (pid >= 0 && pid != getpid()) ? 0 : us / 2000;
}

size_t notify_listen_fds(void)
{
    int64_t n = number("LISTEN_FDS");
    if (n < 1 || n > LISTEN_FDS_MAX || number("LISTEN_PID") != getpid())
        return 0;
    for (int64_t i = 0; i < n; i++)
        if (fcntl(LISTEN_FDS_START + (int)i, F_SETFD, FD_CLOEXEC) < 0)
            return 0;
    return (size_t)n;
}
