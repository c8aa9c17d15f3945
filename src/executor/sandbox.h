#pragma once
/* What narrows the world of a command: namespaces, mounts, capabilities, Landlock, system calls, resource limits.
 *
 * For the launcher's processes only; all of them are single-threaded. Functions that return false leave errno and,
 * where they have it, a word in *stage that says what could not be had: the caller refuses the command with them. */
#include "executor/launch_plan.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { SANDBOX_PROCESSES = 4096 }; /* of a command */

/* What a command may see. Strings as in launch_plan.h. */
struct sandbox_view {
    enum sandbox_tier tier;
    uint32_t flags; /* enum launch_flags */
    const char *const *place;
    const char *tmp;    /* standard: the command's own temporary directory */
    uint32_t processes; /* that it may be; 0: as many as may be at all */
    uint64_t memory;    /* bytes that the command may use; strict: its /tmp is no larger, either */
    size_t nplaces;     /* LAUNCH_PLACES and two for each directory that may be read */
};

/* Forks the inner init of a command's tree: in a PID namespace of its own (with private mounts and IPC, on request
 * without a network) when the kernel allows it to root or through a user namespace, else as a plain child. Tier strict
 * has a user namespace always and no "else"; tier standard has no namespaces. Returns as fork() does; -1 with errno
 * when isolation that is insisted on cannot be had. In the parent *iso says what it became, and the child must be let
 * go on by the parent (for which they need a pipe of their own): its user ids are mapped only once this has returned
 * there. */
pid_t sandbox_fork(enum sandbox_tier tier, uint32_t flags, enum launch_isolation *iso);
/* In the init of a namespace, once let go, tier none: a /proc that shows this namespace only, a loopback that is up.
 * What cannot be done is left as it is. */
void sandbox_settle(uint32_t flags);
/* The same for tier strict: a root of its own with the system (read-only), the workspace (the current directory when
 * this is called), an empty home, /tmp, /dev and /proc. Ends in the command's directory. */
bool sandbox_world(const struct sandbox_view *v, const char **stage);
/* In the process that will exec: limits, no_new_privs, and of root's capabilities only those that programs in
 * containers usually have; then Landlock and the filter of system calls, as far as the tier has them. */
bool sandbox_confine(const struct sandbox_view *v, const char **stage);
/* In the init of tier strict: a network of its own, with nothing but a loopback. The kernel takes longer for that than
 * for all the other namespaces together, so a helper makes it while the world is made; network_enter() waits for it,
 * and enters. False with errno. */
struct network {
    pid_t helper;
    int fd;
};
bool network_begin(struct network *n);
bool network_enter(const struct network *n);
/* Descriptor of the socket that programs inside reach as their proxy: listening on the loopback. -1 with errno. */
int sandbox_listen(void);

/* ---- parts of sandbox_confine() (sandbox_landlock.c, sandbox_seccomp.c) ---- */

/* Version of Landlock in this kernel, 0 when there is none. */
int landlock_abi(void);
/* What standard cannot do without: below, renaming across directories is always refused. */
enum { LANDLOCK_ABI_NEEDED = 2, LANDLOCK_ABI_SCOPES = 6 };
bool landlock_confine(const struct sandbox_view *v);
bool seccomp_confine(const struct sandbox_view *v);

/* ---- what belongs to the system (sandbox_mounts.c) ---- */

/* Directories whose contents every command may read, and entries of /etc (a name with a slash at its end is a
 * directory). NULL at the end. */
extern const char *const sandbox_system_dirs[], *const sandbox_etc[], *const sandbox_devices[];
