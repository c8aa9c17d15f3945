/* The launcher as a program of its own. It is linked with the C library statically and with nothing else, so the kernel
 * maps one file and is done; treadle carries it inside (launcher_image.c). What needs the resolver's libraries, the
 * proxy, it leaves to `treadle __launch`. */
#include "executor/launcher.h"

#include <sys/prctl.h>

int main(void)
{
    prctl(PR_SET_NAME, "treadle:launch"); /* not the number of the descriptor by which it was executed */
    return launcher_main(NULL);
}
