#pragma once
/* The run's shelf: loops' iterations and steps' results that are in memory although no frame needs them right now.
 *
 * A loop that has ended puts its iterations here if they are few, a step its result; what was fetched from the journal
 * is put here too.
 * What has not been used for longest makes room for what is new, but nothing that a frame still waits to read (it has
 * fetched all it needs only when its evaluation succeeds). So the shelf's size is bounded by its limit, or by what one
 * evaluation reads. */
#include "flow/frame.h"

/* Bytes of a shelf when nothing else is said, and the part of it that one loop may fill while it runs. */
enum { SHELF_BYTES = 4 << 20, SHELF_PART = 4 };

/* The iterations of the loop's attempt `of`, or the result that it names (flow/away.h), or NULL. Borrowed, until
 * something is put on the shelf. */
struct box *shelf_get(struct run *r, struct str of);
/* What stays in memory of a step's result, which its end number `end` has recorded: takes a reference and gives one.
 * What does not is put on the shelf. */
struct box *shelf_leave(struct run *r, struct str path, uint32_t end, struct box *result);
/* What child_rest() lets a result keep in memory, where a list would keep so much of it. */
#define SHELF_REST(keep_bytes) ((keep_bytes) / 8)
/* Takes the reference; `weight` is in bytes. For a frame that needs it, the entry stays until shelf_release(). */
void shelf_put(struct run *r, struct str of, struct box *b, size_t weight, struct frame *keep_for);
void shelf_release(struct frame *f);
/* Drops all that no frame needs. */
void shelf_clear(struct run *r);
void shelf_free(struct run *r);
/* May a loop that has gathered so many bytes go on gathering? `limit` is its own; nothing ever leaves a shelf without
 * one (SIZE_MAX: there is no journal to read from). */
bool shelf_has_room(const struct run *r, size_t bytes, int64_t limit);

/* Asks for what the last evaluation wanted (run->wanted) in a child frame of `f`, whose parent is told when it is on
 * the shelf (or why not). */
struct frame *shelf_fetch(struct frame *f);
bool shelf_is_fetch(const struct frame *child);
