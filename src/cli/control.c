/* Unix socket names are short (108 bytes) and run directories need not be, so both sides go through
 * /proc/self/fd/N/control.sock, where N is the directory. */
#include "cli/control.h"

#include "data/json.h"
#include "ev/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { REQUEST_MAX = 1024, ANSWER_TIMEOUT_S = 10 };

struct control {
    struct ev_loop *loop;
    int dir, listener;
    ev_id watch;
    const char *(*cb)(void *ctx, struct str what);
    void *ctx;
};

static int open_dir(const char *run_dir, struct sockaddr_un *sa)
{
    int dir = open(run_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    *sa = (struct sockaddr_un){.sun_family = AF_UNIX};
    snprintf(sa->sun_path, sizeof sa->sun_path, "/proc/self/fd/%d/control.sock", dir);
    return dir;
}

static void answer(struct control *c, int fd, struct str line)
{
    struct arena a = {0};
    struct val v;
    struct err err;
    const char *problem = "expected {\"do\": \"cancel\"}";
    if (json_parse(&a, line, &JSON_LIMITS_DEFAULT, &v, &err) == RC_OK && val_is(VAL_GET(&v, "do"), VAL_STR))
        problem = c->cb(c->ctx, VAL_GET(&v, "do")->s);
    char text[256];
    int n = problem ? snprintf(text, sizeof text, "{\"error\":\"%s\"}\n", problem)
                    : snprintf(text, sizeof text, "{\"ok\":true}\n");
    (void)!write(fd, text, (size_t)n); /* an asker that is gone does not matter */
    arena_done(&a);
}

/* The asker is our own user and sends one short line at once: a bounded wait on the loop is shorter than a state
 * machine. */
static void incoming(void *ctx)
{
    struct control *c = ctx;
    int fd = accept4(c->listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
        return;
    struct timeval tv = {.tv_usec = 200000};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof tv);
    char line[REQUEST_MAX];
    ssize_t n = recv(fd, line, sizeof line, 0);
    if (n > 0)
        answer(c, fd, str_n(line, (size_t)n));
    close(fd);
}

struct control *control_new(struct ev_loop *l, const char *run_dir, const char *(*cb)(void *ctx, struct str what),
                            void *ctx, struct err *err)
{
    struct sockaddr_un sa;
    int dir = open_dir(run_dir, &sa), fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct control *c = calloc(1, sizeof *c);
    if (dir >= 0 && fd >= 0 && c) {
        unlinkat(dir, "control.sock", 0); /* of an owner that died: we hold the lock now */
        if (bind(fd, (struct sockaddr *)&sa, sizeof sa) == 0 && fchmodat(dir, "control.sock", 0600, 0) == 0 &&
            listen(fd, 8) == 0) {
            *c = (struct control){.loop = l, .dir = dir, .listener = fd, .cb = cb, .ctx = ctx};
            c->watch = ev_readable(l, fd, incoming, c);
            return c;
        }
    }
    err_set(err, RC_IO, "no control socket in %s: %s", run_dir, strerror(errno));
    free(c);
    if (dir >= 0)
        close(dir);
    if (fd >= 0)
        close(fd);
    return NULL;
}

void control_free(struct control *c)
{
    if (!c)
        return;
    ev_cancel(c->loop, c->watch);
    unlinkat(c->dir, "control.sock", 0);
    close(c->listener);
    close(c->dir);
    free(c);
}

static enum rc exchange(int fd, const char *what, struct err *err)
{
    char text[REQUEST_MAX];
    struct timeval tv = {.tv_sec = ANSWER_TIMEOUT_S};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
    int n = snprintf(text, sizeof text, "{\"do\": \"%s\"}\n", what);
    if (send(fd, text, (size_t)n, MSG_NOSIGNAL) != n)
        return err_set(err, RC_IO, "the run's process cannot be asked: %s", strerror(errno));
    ssize_t got = recv(fd, text, sizeof text, 0);
    if (got <= 0)
        return err_set(err, RC_IO, "the run's process does not answer");
    struct arena a = {0};
    struct val v;
    enum rc rc = json_parse(&a, str_n(text, (size_t)got), &JSON_LIMITS_DEFAULT, &v, err);
    if (rc == RC_OK && VAL_GET(&v, "error"))
        rc = err_set(err, RC_INVALID, "%.*s", STR_ARG(val_get_str(&v, STR("error"), STR("refused"))));
    arena_done(&a);
    return rc;
}

enum rc control_ask(const char *run_dir, const char *what, struct err *err)
{
    struct sockaddr_un sa;
    int dir = open_dir(run_dir, &sa), fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    enum rc rc;
    if (dir < 0 || fd < 0 || connect(fd, (struct sockaddr *)&sa, sizeof sa) != 0)
        rc = err_set(err, RC_NOT_FOUND, "nobody listens in %s: %s", run_dir, strerror(errno));
    else
        rc = exchange(fd, what, err);
    if (fd >= 0)
        close(fd);
    if (dir >= 0)
        close(dir);
    return rc;
}
