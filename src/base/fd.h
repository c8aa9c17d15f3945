#pragma once
/* Whole reads and writes of file descriptors that block: neither a signal nor a short count is the caller's business.
 *
 * On failure errno says why. */
#include "base/buf.h"

#include <sys/types.h>

/* As read(), after a signal once more. */
ssize_t fd_read(int fd, void *p, size_t n);
/* Until `n` bytes or the end of the file have come: their number, or -1. */
ssize_t fd_read_full(int fd, void *p, size_t n);
/* Appends all until the end of the file. False with b->overflow set: there is more than the buffer may hold. */
bool fd_read_all(int fd, struct buf *b);
bool fd_write_all(int fd, struct str s);
