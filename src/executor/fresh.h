#pragma once
/* Files that get their name when they are whole: until then each has one that says so, and a lock.
 *
 * The lock dies with the process, and tells what somebody still writes from what a writer who died has left. Any number
 * of threads and processes may make and sweep in the same directory. */
#include "base/err.h"

enum { FRESH_NAME_SIZE = 64 };
struct fresh {
    int fd;
    char name[FRESH_NAME_SIZE]; /* below the directory that it was made in */
};
/* A new, empty, locked file (mode 0600) in `below` ("objects/", or "") of the open directory. The caller renames or
 * removes it, then closes it. RC_DISK_FULL, RC_IO; `what` is what it is to be, for the message. */
enum rc fresh_open(int dir, const char *below, const char *what, struct fresh *ret, struct err *err) MUST_CHECK;
/* Removes what writers who died have left there. */
void fresh_sweep(int dir, const char *below);
