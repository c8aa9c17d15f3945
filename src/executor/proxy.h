#pragma once
/* The way to the network for a command that may speak to some hosts only: an HTTP proxy.
 *
 * A process of its own, between launcher and network; the command has a network namespace in which there is nothing but
 * this socket. */
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Serves until the launcher (the parent) is gone or kills it. Takes the listening socket. Does not return. */
typedef void proxy_fn(pid_t launcher, int listen_fd, const char *const *hosts, size_t n);
proxy_fn proxy_main __attribute__((noreturn));

/* ---- what it decides by (for tests) ---- */
