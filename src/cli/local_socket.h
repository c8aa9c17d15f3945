#pragma once
/* Sockets in the file system, under names of any length.
 *
 * The address of a socket holds 107 bytes of its name, so both ends go through /proc/self/fd/N/NAME, where N is the
 * directory. On failure errno says why. */
#include <sys/un.h>

/* The address of `path`: the descriptor of its directory, which keeps the address good until it is closed, or -1. */
int local_socket_address(const char *path, struct sockaddr_un *ret);
/* Connects; each later send or receive takes at most `timeout_s` seconds. A descriptor, or -1. */
int local_socket_connect(const char *path, int timeout_s);
