#pragma once
/* The turns of this process's runs in their workspaces, one of which writes there at a time, other processes' runs
 * included.
 *
 * Runs of this process that want the same workspace stand in one queue, whose first one waits among other processes
 * (executor/turn_lock.h). Nothing blocks; while somebody waits, a timer looks again. All on the loop's thread. */
#include "ev/loop.h"
#include "flow/io.h"

struct turns;
struct seat; /* of one run */

/* `state_dir`: whose processes know of each other. `within`: the runs in whose commands this process was started
 * (TREADLE_WITHIN: ids with `:` between them); NULL: none. */
enum rc turns_new(struct ev_loop *loop, const char *state_dir, const char *within, struct turns **ret,
                  struct err *err) MUST_CHECK;
void turns_free(struct turns *t); /* after its seats */

/* `granted` comes on the loop, after an ask that was not answered at once. Texts are copied. */
struct seat *seat_new(struct turns *t, struct str workspace, struct str run, void (*granted)(void *ctx), void *ctx);
/* Leaves at once what it has or waits for. */
void seat_free(struct seat *s);
/* As io.turn_ask. */
bool seat_ask(struct seat *s, struct turn_holder *who);
/* The turn is to be left, or is not waited for any more. A number for seat_left(), when others may have it; 0: that is
 * not needed. */
uint64_t seat_leave(struct seat *s);
void seat_left(struct seat *s, uint64_t number);
