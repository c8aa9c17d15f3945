#pragma once
/* The program between Treadle and every command it starts: makes sure that nothing a command started outlives Treadle
 * or the command's own end. Called by main() only.
 *
 * It exists twice: as the hidden sub-command `treadle __launch`, and as a program of its own that links nothing
 * (launcher_alone.c) and is carried inside of treadle (launcher_image.h), because most of what starting a command would
 * cost otherwise is the loading of libraries that it has no use for. */
#include "executor/proxy.h"

/* Everything is expected on the descriptors of launch_plan.h; there are no arguments. Never returns to the caller's
 * loop: the result is the exit code (0: a report was written, 1: it could not be, 2: not started by Treadle).
 * `proxy` is proxy_main(), or NULL for a program that has none: it fails plans with LAUNCH_PROXY. */
int launcher_main(proxy_fn *proxy);
