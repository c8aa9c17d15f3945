/* The same steps as in a launch, around a process that does nothing, with an empty directory as its workspace. What the
 * system says about itself would have to be believed; this is known. */
#include "executor/probe.h"

#include "executor/sandbox.h"
#include "executor/scratch.h"
#include "executor/tier.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

struct answer {
    int error;
    char stage[48];
};

static void say(int fd, int error, const char *stage)
{
    struct answer a = {.error = error};
    snprintf(a.stage, sizeof a.stage, "%s", stage);
    (void)!write(fd, &a, sizeof a);
    _exit(0);
}

static void inside(int fd, const struct sandbox_view *v)
{
    const char *stage = "start";
    char go;
    if (read(fd, &go, 1) != 1)
        _exit(1);
    if ((v->tier == SANDBOX_STRICT && !sandbox_world(v, &stage)) || !sandbox_confine(v, &stage))
        say(fd, errno ? errno : EPERM, stage);
    say(fd, 0, "");
}

/* In a process of its own: the current directory is that of the whole process. */
static void outside(int fd, enum sandbox_tier tier, const char *dir)
{
    const char *place[LAUNCH_PLACES] = {dir, dir, ".", "", "", ""};
    struct sandbox_view v = {
        .tier = tier, .flags = LAUNCH_NO_NETWORK, .place = place, .tmp = dir, .nplaces = LAUNCH_PLACES};
    enum launch_isolation iso;
    struct answer a = {.error = EPIPE};
    int pair[2], status;
    if (chdir(dir) != 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        say(fd, errno, "start");
    pid_t pid = sandbox_fork(tier, v.flags, &iso);
    if (pid == 0) {
        close(pair[0]);
        inside(pair[1], &v);
    }
    if (pid < 0)
        say(fd, errno, "namespaces");
    close(pair[1]);
    if (write(pair[0], "", 1) != 1 || read(pair[0], &a, sizeof a) != (ssize_t)sizeof a)
        a.error = EPIPE;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    say(fd, a.error, a.stage);
}

enum rc sandbox_probe(enum sandbox_tier tier, struct err *err)
{
    char dir[64];
    int pair[2];
    struct answer a = {.error = 0};
    if (tier == SANDBOX_NONE)
        return RC_OK;
    if (!scratch_make(dir, sizeof dir))
        return err_set(err, RC_IO, "no temporary directory can be made: %s", strerror(errno));
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
        scratch_remove(dir);
        return err_set(err, RC_IO, "%s", strerror(errno));
    }
    pid_t pid = fork();
    if (pid == 0)
        outside(pair[1], tier, dir);
    close(pair[1]);
    if (pid < 0 || read(pair[0], &a, sizeof a) != (ssize_t)sizeof a)
        a.error = EPIPE;
    close(pair[0]);
    while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
    }
    scratch_remove(dir);
    a.stage[sizeof a.stage - 1] = 0;
    return a.error ? tier_refused(err, tier, a.stage, a.error) : RC_OK;
}
