/* A directory is opened with O_PATH alone: its name must be reachable, and nothing in it readable. */
#include "cli/local_socket.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

enum { PATH_BYTES = 4200 };

int local_socket_address(const char *path, struct sockaddr_un *ret)
{
    char directory[PATH_BYTES];
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    int n = snprintf(directory, sizeof directory, "%.*s", slash ? (int)(slash - path) + 1 : 1, slash ? path : ".");
    if (n >= (int)sizeof directory) {
        errno = ENAMETOOLONG;
        return -1;
    }
    int dir = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return -1;
    *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
    n = snprintf(ret->sun_path, sizeof ret->sun_path, "/proc/self/fd/%d/%s", dir, name);
    if (n < (int)sizeof ret->sun_path)
        return dir;
    fd_close(dir);
    errno = ENAMETOOLONG;
    return -1;
}

int local_socket_connect(const char *path, int timeout_s)
{
    struct sockaddr_un sa;
    struct timeval tv = {.tv_sec = timeout_s};
    int dir = local_socket_address(path, &sa), fd = dir < 0 ? -1 : socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv) != 0 ||
                    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof tv) != 0 ||
                    connect(fd, (struct sockaddr *)&sa, sizeof sa) != 0)) {
        fd_close(fd);
        fd = -1;
    }
    fd_close(dir);
    return fd;
}
