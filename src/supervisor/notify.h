#pragma once
/* systemd's side of a service: readiness and watchdog messages, and sockets that it has opened for us. Does nothing
 * where the environment does not ask for it. */
#include <stddef.h>
#include <stdint.h>

/* Sends `state` ("READY=1", "STOPPING=1", "WATCHDOG=1", "STATUS=…") to $NOTIFY_SOCKET. */
void notify_state(const char *state);
/* How often "WATCHDOG=1" is to be sent (half of what systemd allows), or 0. */
int64_t notify_watchdog_ms(void);
/* How many descriptors systemd has passed, from 3 on (LISTEN_PID is ours). They are made close-on-exec. */
size_t notify_listen_fds(void);
