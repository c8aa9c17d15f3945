#pragma once
/* The turn in a workspace among all runs of one state directory: a kernel lock, which dies with whoever holds it, and a
 * line of those who wait for it, in the order in which they came.
 *
 * Nothing here waits: whoever does not get the turn keeps his place in the line and tries again. One thread. Errors are
 * told as what the turn is waited for, since a state directory that is full or broken is a matter of time, too. */
#include "base/err.h"
#include "base/str.h"

enum { TURN_KEY_SIZE = 40, TURN_NUMBER_SIZE = 64, TURN_WHO_SIZE = 160 };

struct turn_lock {
    int dir;                 /* STATE/turns; borrowed */
    char key[TURN_KEY_SIZE]; /* of the workspace: its device and inode, whatever leads there */
    const char *run, *run_dir;
    int fd;     /* the lock, or -1 */
    int ticket; /* the place in the line, or -1 */
    char number[TURN_NUMBER_SIZE];
    int64_t left_ms; /* since when it is known that whoever wrote here died of it; 0: it is not */
};

/* Opens STATE/turns, which is made, and removes what nobody will come back for; for close(). */
enum rc turn_dir_open(const char *state_dir, int *ret, struct err *err) MUST_CHECK;
/* Where the directory was removed: makes it anew, under the same descriptor. Who has a turn keeps it, unknown to those
 * who come later. */
void turn_dir_renew(const char *state_dir, int dir);
/* `run` (an id) and `run_dir` are borrowed. Needs no end while it holds nothing. */
void turn_lock_init(struct turn_lock *l, int dir, const char *workspace, const char *run, const char *run_dir);
/* True: it has the turn, from now until turn_lock_leave(). False: who or what it waits for, in `who`. */
bool turn_lock_try(struct turn_lock *l, char who[TURN_WHO_SIZE]);
/* Takes a place in the line, as a try that fails does. */
void turn_lock_stand(struct turn_lock *l);
/* Who has the turn now; empty: nobody, or it cannot be known. */
void turn_lock_holder(const struct turn_lock *l, char run[TURN_WHO_SIZE]);
/* Does another one stand in the line? */
bool turn_lock_wanted(const struct turn_lock *l);
/* Leaves the turn, or the line. */
void turn_lock_leave(struct turn_lock *l);
