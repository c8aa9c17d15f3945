/* One small object a connection, in each direction: the owner answers when what was asked is durable. */
#include "cli/control.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "cli/local_socket.h"
#include "data/json.h"
#include "ev/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ANSWER_TIMEOUT_S = 30, RECEIVE_MS = 200, REQUESTS_MAX = 64, PATH_BYTES = 4200 };

struct control_request {
    struct control *control;
    struct control_request *prev, *next;
    int fd;
};

struct control {
    struct ev_loop *loop;
    int dir, listener;
    ev_id watch;
    struct control_request *first;
    size_t n;
    void (*cb)(void *ctx, struct control_request *q, const struct val *request);
    void *ctx;
};

static void socket_path(const char *run_dir, char path[PATH_BYTES])
{
    snprintf(path, PATH_BYTES, "%s/control.sock", run_dir);
}

static void request_free(struct control_request *q)
{
    *(q->prev ? &q->prev->next : &q->control->first) = q->next;
    if (q->next)
        q->next->prev = q->prev;
    q->control->n--;
    close(q->fd);
    free(q);
}

void control_reply(struct control_request *q, const struct err *err)
{
    struct arena a = {0};
    struct val_map m = val_map_new(&a);
    if (err) {
        VAL_MAP_SET(&m, "error", val_str(str_n(err->msg, str_utf8_valid(str_c(err->msg)))));
        VAL_MAP_SET(&m, "class", val_str(str_c(rc_name(err->rc))));
    } else {
        VAL_MAP_SET(&m, "ok", val_true);
    }
    struct val v = val_map_done(&m);
    struct str text = json_text(&a, &v);
    text = arena_printf(&a, "%.*s\n", STR_ARG(text));
    (void)!send(q->fd, text.p, text.n, MSG_NOSIGNAL); /* an asker that is gone does not matter */
    arena_done(&a);
    request_free(q);
}

/* Reads to the end of the line, or of the time. */
static bool receive(int fd, struct buf *b)
{
    int64_t until = clock_mono_ms() + RECEIVE_MS;
    while (clock_mono_ms() <= until && !b->overflow) {
        char part[16 << 10];
        ssize_t n = recv(fd, part, sizeof part, 0);
        if (n <= 0)
            return false;
        buf_add(b, str_n(part, (size_t)n));
        if (part[n - 1] == '\n')
            return !b->overflow;
    }
    return false;
}

/* The asker is our own user and sends its line at once: a bounded wait on the loop is shorter than a state machine. */
static void incoming(void *ctx)
{
    struct control *c = ctx;
    int fd = accept4(c->listener, NULL, NULL, SOCK_CLOEXEC);
    struct control_request *q = fd < 0 || c->n >= REQUESTS_MAX ? NULL : calloc(1, sizeof *q);
    if (!q) {
        fd_close(fd);
        return;
    }
    struct timeval tv = {.tv_usec = RECEIVE_MS * 1000};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof tv);
    *q = (struct control_request){.control = c, .next = c->first, .fd = fd};
    if (q->next)
        q->next->prev = q;
    c->first = q;
    c->n++;
    struct buf b;
    struct arena a = {0};
    struct val v;
    struct err err;
    buf_init(&b, CONTROL_REQUEST_MAX);
    if (!receive(fd, &b))
        request_free(q);
    else if (json_parse(&a, str_trim(buf_str(&b)), &JSON_LIMITS_DEFAULT, &v, &err) != RC_OK)
        control_reply(q, &err);
    else
        c->cb(c->ctx, q, &v);
    buf_done(&b);
    arena_done(&a);
}

struct control *control_new(struct ev_loop *l, const char *run_dir,
                            void (*cb)(void *ctx, struct control_request *q, const struct val *request), void *ctx,
                            struct err *err)
{
    struct sockaddr_un sa;
    char path[PATH_BYTES];
    socket_path(run_dir, path);
    int dir = local_socket_address(path, &sa), fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
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
    fd_close(dir);
    fd_close(fd);
    return NULL;
}

void control_free(struct control *c)
{
    if (!c)
        return;
    while (c->first)
        request_free(c->first);
    ev_cancel(c->loop, c->watch);
    unlinkat(c->dir, "control.sock", 0);
    close(c->listener);
    close(c->dir);
    free(c);
}

static enum rc exchange(int fd, const struct val *request, struct arena *a, struct err *err)
{
    char text[4096];
    struct str line = json_text(a, request);
    line = arena_printf(a, "%.*s\n", STR_ARG(line));
    if (!fd_send_all(fd, line))
        return err_set(err, RC_IO, "the run's process cannot be asked: %s", strerror(errno));
    ssize_t got = recv(fd, text, sizeof text, 0);
    if (got <= 0)
        return err_set(err, RC_IO, "the run's process does not answer, and may have done it all the same");
    struct val v;
    enum rc rc = json_parse(a, str_trim(str_n(text, (size_t)got)), &JSON_LIMITS_DEFAULT, &v, err);
    if (rc != RC_OK || !VAL_GET(&v, "error"))
        return rc;
    rc = rc_from_name(val_get_str(&v, STR("class"), STR("")));
    return err_set(err, rc == RC_OK || rc == RC_COUNT || rc == RC_IO ? RC_INVALID : rc, "%.*s",
                   STR_ARG(val_get_str(&v, STR("error"), STR("refused"))));
}

enum rc control_ask(const char *run_dir, const struct val *request, struct err *err)
{
    struct arena a = {0};
    char path[PATH_BYTES];
    socket_path(run_dir, path);
    int fd = local_socket_connect(path, ANSWER_TIMEOUT_S);
    enum rc rc = fd < 0 ? err_set(err, RC_IO, "nobody listens in %s: %s", run_dir, strerror(errno))
                        : exchange(fd, request, &a, err);
    arena_done(&a);
    fd_close(fd);
    return rc;
}
