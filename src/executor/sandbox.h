#pragma once
/* What narrows the world of a command: namespaces, capabilities, resource limits.
 *
 * For the launcher's processes only; all of them are single-threaded. */
#include "executor/launch_plan.h"

#include <stdbool.h>
#include <sys/types.h>

/* Forks the inner init of a command's tree: in a PID namespace of its own (with private mounts and IPC, on request
 * without a network) when the kernel allows it to root or through a user namespace, else as a plain child. Returns as
 * fork() does; -1 with errno when isolation that `flags` insists on cannot be had. In the parent *iso says what it
 * became, and the child must be let go on by the parent (for which they need a pipe of their own): its user ids are
 * mapped only once this has returned there. */
pid_t sandbox_fork(uint32_t flags, enum launch_isolation *iso);
/* In the init of a namespace, once let go: a /proc that shows this namespace only, a loopback that is up. What cannot
 * be done is left as it is. */
void sandbox_settle(uint32_t flags);
/* In the process that will exec: limits, no_new_privs, and of root's capabilities only those that programs in
 * containers usually have. False with errno when no_new_privs cannot be set. */
bool sandbox_confine(void);
