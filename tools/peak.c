/* peak FILE COMMAND [ARG]...: runs a command and writes the most memory it had, in KiB, to FILE; ends as it did.
 *
 * For tests and measurements of memory. What a process reports of its child includes what it had itself when it forked,
 * so a large one (Python) cannot see a small one; this one is small. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct rusage used;
    int status;
    if (argc < 3) {
        fprintf(stderr, "usage: peak FILE COMMAND [ARG]...\n");
        return 2;
    }
    pid_t pid = fork();
    if (pid == 0) {
        execvp(argv[2], argv + 2);
        fprintf(stderr, "peak: cannot run %s: %s\n", argv[2], strerror(errno));
        _exit(127);
    }
    while (pid > 0 && wait4(pid, &status, 0, &used) < 0 && errno == EINTR)
        ;
    FILE *f = pid > 0 ? fopen(argv[1], "w") : NULL;
    if (!f || fprintf(f, "%ld\n", used.ru_maxrss) < 0 || fclose(f) != 0) {
        fprintf(stderr, "peak: cannot write %s: %s\n", argv[1], strerror(errno));
        return 2;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
