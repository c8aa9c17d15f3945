#pragma once
/* Whether somebody still has a file open for writing that has just lost its name. Blocks, for pool threads. */
#include <stdbool.h>

enum { WRITERS_PATIENCE_MS = 50, WRITERS_PATIENCE_ALL_MS = 200 };
/* True: the regular file `name` in `dir` is open for writing in some process, and was during all that time: as long as
 * there is patience (of a whole operation on many files; what it takes is taken off), 50 ms at most. False: nobody has
 * it open, it is no regular file, or nobody can tell. Call it when no one can find the file any more, and look at what
 * the file holds afterwards: until it answers, a writer may have gone on. */
bool has_writers(int dir, const char *name, int *patience_ms);
