#pragma once
/* Whether somebody still has a file open for writing that has just lost its name. Blocks for at most 50 ms. */
#include <stdbool.h>

/* True: the regular file `name` in `dir` is open for writing in some process, and was during all that time. False:
 * nobody has it open, it is no regular file, or its file system cannot tell. Call it when no one can find the file any
 * more, and look at what the file holds afterwards: until it answers, a writer may have gone on. */
bool has_writers(int dir, const char *name);
