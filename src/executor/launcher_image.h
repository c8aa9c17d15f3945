#pragma once
/* The launcher's small program, carried inside of this one: cheaper to execute than this one itself.
 *
 * Loop thread only. */

/* A path by which children of this process can execute it, valid as long as this process lives. NULL where the build
 * carries none (sanitizers, no static C library) or the kernel lets no file in memory be executed: then
 * `treadle __launch` does the same, slower. */
const char *launcher_image(void);
