#pragma once
/* Control groups (version 2): where this process may make some, the kernel itself bounds what a command and all that it
 * starts use together, from the first byte on, and kills all of it at once.
 *
 * Nothing here is needed: without a group what a tree uses is looked at from time to time (launcher.c). No threads but
 * the caller's; errors are told as "not here". */
#include "executor/launch_plan.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Makes room for groups: a process that is alone in its group moves into one below it, so that the kernel allows others
 * beside it. Once, before children are started, which then live there too. Elsewhere it does nothing. */
void cgroup_settle(void);
/* The group below which commands can have groups of their own; a descriptor for close(), or -1 and, in `why`, what is
 * missing. */
int cgroup_base(char *why, size_t size);

/* A command's own group. */
struct cgroup {
    int base, dir, memory_events, pids_events;
    char name[32];
};
/* Below `base`, which stays the caller's, with those bounds. False: it cannot be had, and nothing is left of it. */
bool cgroup_make(struct cgroup *g, int base, uint64_t memory, uint32_t processes);
/* Moves a process into it; what it starts afterwards is there too. */
bool cgroup_enter(const struct cgroup *g, pid_t pid);
/* Has a bound been met? memory_events and pids_events say POLLPRI when that may have changed. */
enum launch_limit cgroup_exceeded(const struct cgroup *g);
void cgroup_kill(const struct cgroup *g);
/* When all in it are dead, or will be in a moment. */
void cgroup_remove(struct cgroup *g);
