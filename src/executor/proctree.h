#pragma once
/* All processes that descend from this one: found through /proc, ended, proved gone.
 *
 * For single-threaded processes that are child subreapers (or the init of a PID namespace): whatever they started,
 * however it forked away, is a descendant until it is dead. */
#include <stdbool.h>
#include <stdint.h>

/* Sends `signo` to every descendant that is found now. Returns how many there were, zombies included. */
int proctree_signal(int signo);
/* Kills all descendants, again and again, until waitpid() says that there is no child left. A process that cannot die
 * (stuck in the kernel) makes this wait, which is what its callers want: they hold the lock that says "not dead yet".
 */
void proctree_kill(void);

struct proctree_usage {
    uint64_t bytes; /* of memory that they have in use */
    uint64_t tasks; /* threads */
};
/* What all descendants use now. Memory that several share is counted for each at first; only when that comes to more
 * than `enough` bytes, and they are not too many anyway, it is counted once, which takes longer. */
struct proctree_usage proctree_usage(uint64_t enough, uint64_t enough_tasks);
/* The same at first sight, at a cost that grows with the tree alone and not with the machine: shared memory is counted
 * for each. False: the tree is large, or was seen to move under the eye, so that some of it may be missing; or this
 * kernel has no lists of children. True is no proof: what moved unseen is missing until a later look. */
bool proctree_glance(struct proctree_usage *ret);
