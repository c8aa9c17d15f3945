#pragma once
/* Reads and writes of file descriptors for which neither a signal nor a short count is the caller's business.
 *
 * Descriptors block, but for fd_send_some(). On failure errno says why. */
#include "base/buf.h"

#include <sys/types.h>

/* As read(), after a signal once more. */
ssize_t fd_read(int fd, void *p, size_t n);
/* Until `n` bytes or the end of the file have come: their number, or -1. */
ssize_t fd_read_full(int fd, void *p, size_t n);
/* Appends all until the end of the file. False with b->overflow set: there is more than the buffer may hold. */
bool fd_read_all(int fd, struct buf *b);
bool fd_write_all(int fd, struct str s);
/* To a socket that blocks; a peer that is gone is an error, no signal. */
bool fd_send_all(int fd, struct str s);
/* What a socket takes at once of `s` from `*sent` on, which counts it. FD_FULL: the rest once it is writable. */
enum fd_sent { FD_SENT, FD_FULL, FD_FAILED };
enum fd_sent fd_send_some(int fd, struct str s, size_t *sent);
/* Unless there is none (-1); errno stays what it was. */
void fd_close(int fd);
