#pragma once
/* A temporary directory for one command, where it cannot have a /tmp of its own. */
#include <stdbool.h>
#include <stddef.h>

/* Makes /tmp/treadle-XXXXXX; its path goes to `path`. False with errno. */
bool scratch_make(char *path, size_t size);
/* Removes it with all that is in it, following no link. What cannot be removed stays. */
void scratch_remove(const char *path);
