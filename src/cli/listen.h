#pragma once
/* Listening sockets of `treadle serve`: from its options or from systemd, and who may reach them. */
#include "base/err.h"

enum { LISTEN_PORT = 7433 };

/* `where`: [ADDRESS:]PORT, [IPv6]:PORT, unix:PATH, or "" for the default. A non-blocking socket of the caller's.
 * `elsewhere`: other machines may reach it, too. RC_USAGE, RC_BUSY (somebody has it), RC_IO. */
enum rc listen_at(const char *where, bool elsewhere, int *ret, struct err *err) MUST_CHECK;
/* The same judgement of a socket that somebody else made: RC_USAGE when it is not a Unix socket or of the loopback. */
enum rc listen_check(int fd, bool elsewhere, struct err *err) MUST_CHECK;
/* As in "http://127.0.0.1:7433" or "unix:/run/treadle.sock". */
struct str listen_name(int fd, char *room, size_t size);
