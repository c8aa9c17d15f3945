/* Loops around read(), write() and send(), written once. */
#include "base/fd.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

ssize_t fd_read(int fd, void *p, size_t n)
{
    ssize_t got;
    do
        got = read(fd, p, n);
    while (got < 0 && errno == EINTR);
    return got;
}

ssize_t fd_read_full(int fd, void *p, size_t n)
{
    size_t got = 0;
    while (got < n) {
        ssize_t k = fd_read(fd, (char *)p + got, n - got);
        if (k < 0)
            return -1;
        if (k == 0)
            break;
        got += (size_t)k;
    }
    return (ssize_t)got;
}

bool fd_read_all(int fd, struct buf *b)
{
    enum { PIECE = 64 << 10 };
    for (;;) {
        size_t want = b->max - b->n < PIECE ? b->max - b->n : PIECE;
        char one; /* asks whether there is more than the buffer may hold */
        char *at = want ? buf_reserve(b, want) : &one;
        if (!at)
            return false;
        ssize_t n = fd_read(fd, at, want ? want : 1);
        if (n <= 0)
            return n == 0;
        if (!want) {
            b->overflow = true;
            return false;
        }
        b->n += (size_t)n;
        b->p[b->n] = 0;
    }
}

bool fd_write_all(int fd, struct str s)
{
    while (s.n) {
        ssize_t n = write(fd, s.p, s.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        s = str_from(s, (size_t)n);
    }
    return true;
}

static bool send_from(int fd, struct str s, size_t *sent, int flags)
{
    while (*sent < s.n) {
        ssize_t n = send(fd, s.p + *sent, s.n - *sent, flags);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        *sent += (size_t)n;
    }
    return true;
}

enum fd_sent fd_send_some(int fd, struct str s, size_t *sent)
{
    if (send_from(fd, s, sent, MSG_NOSIGNAL | MSG_DONTWAIT))
        return FD_SENT;
    return errno == EAGAIN ? FD_FULL : FD_FAILED;
}

bool fd_send_all(int fd, struct str s)
{
    size_t sent = 0;
    return send_from(fd, s, &sent, MSG_NOSIGNAL);
}

void fd_close(int fd)
{
    int was = errno;
    if (fd >= 0)
        close(fd);
    errno = was;
}
