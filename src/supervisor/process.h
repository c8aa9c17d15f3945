#pragma once
/* One child process of the supervisor: its start, what it says, its end, and what it leaves behind.
 *
 * Used by supervisor.c alone, from one thread, with non-blocking descriptors that its poll loop watches. */
#include "base/err.h"
#include "base/keyprint.h"
#include "ipc/control.h"

#include <sys/types.h>

enum { STDERR_KEPT = 2048 };

struct process {
    pid_t pid;                   /* 0: none */
    int pidfd, control, errors;  /* -1: none */
    struct keyprint_stream keys; /* in front of what follows: no key is shown or kept */
    char tail[STDERR_KEPT];      /* the end of what it wrote to standard error */
    size_t tail_n;
};

/* Starts `self __role NAME ARGS`, with the control socket as CONTROL_FD and /dev/null as standard input. */
enum rc process_start(struct process *p, const char *self, const char *name, const char *const *args,
                      struct err *err) MUST_CHECK;
/* Reads what it has written to standard error, keeps the end and passes all of it on. */
void process_read_errors(struct process *p);
/* After the pidfd became readable: how it ended (as waitid: `code` is CLD_EXITED, CLD_KILLED or CLD_DUMPED). Closes
 * everything. */
void process_reap(struct process *p, int *code, int *status);
void process_signal(const struct process *p, int signo); /* through the pidfd: never another process */

/* Children of this process that are none of `known` (they came to us when a role died): reaps the dead, kills the
 * living when `kill_them`. The number still there. */
size_t orphans_left(const pid_t *known, size_t n, bool kill_them);
