#pragma once
/* The hidden sub-command `treadle __launch`: between Treadle and every command it starts.
 *
 * It makes sure that nothing a command started outlives Treadle or the command's own end. Called by main() only. */

/* argv after "__launch". Never returns to the caller's loop: the result is the exit code. */
int launcher_main(int argc, char **argv);
