#pragma once
/* The hidden sub-command `treadle __launch`: between Treadle and every command it starts.
 *
 * It makes sure that nothing a command started outlives Treadle or the command's own end. Called by main() only. */

/* Everything is expected on the descriptors of launch_plan.h; there are no arguments. Never returns to the caller's
 * loop: the result is the exit code (0: a report was written, 1: it could not be, 2: not started by Treadle). */
int launcher_main(int argc, char **argv);
