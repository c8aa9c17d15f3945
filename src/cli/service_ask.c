/* One request a connection, in HTTP: what comes until its end is the answer. */
#include "cli/service_ask.h"

#include "base/buf.h"
#include "base/fd.h"
#include "cli/local_socket.h"
#include "cli/seen_run.h"
#include "cli/session.h"
#include "data/json.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { ANSWER_MAX = 1 << 20, ANSWER_TIMEOUT_S = 30, BACKLOG = 64, PATH_BYTES = 4200 };

static void socket_path(const char *journal, char path[PATH_BYTES])
{
    snprintf(path, PATH_BYTES, "%s.sock", journal);
}

static bool somebody_listens(const struct sockaddr_un *sa)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool yes = fd >= 0 && connect(fd, (const struct sockaddr *)sa, sizeof *sa) == 0;
    fd_close(fd);
    return yes;
}

enum rc service_listen(const char *journal, int *ret, struct err *err)
{
    struct sockaddr_un sa;
    char path[PATH_BYTES];
    socket_path(journal, path);
    int dir = local_socket_address(path, &sa), fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    enum rc rc = RC_OK;
    mode_t old = umask(0177);
    if (dir >= 0 && somebody_listens(&sa))
        rc = err_set(err, RC_BUSY,
                     "%s is in use by another `treadle serve`; stop that one first, or give this one another file with "
                     "--db",
                     journal);
    else if (dir < 0 || fd < 0 || (unlink(sa.sun_path) != 0 && errno != ENOENT) ||
             bind(fd, (struct sockaddr *)&sa, sizeof sa) != 0 || listen(fd, BACKLOG) != 0)
        rc = err_set(err, RC_IO, "cannot listen on %s.sock: %s", journal, strerror(errno));
    umask(old);
    fd_close(dir);
    if (rc == RC_OK)
        *ret = fd;
    else
        fd_close(fd);
    return rc;
}

/* "HTTP/1.1 202 …", a head that we need nothing of, and the body. */
static enum rc read_answer(struct str text, struct arena *a, struct val *ret, struct err *err)
{
    size_t head = str_find(text, STR("\r\n\r\n"));
    int64_t status = 0;
    if (text.n < 12 || head == SIZE_MAX || !str_to_i64(str_n(text.p + 9, 3), &status))
        return err_set(err, RC_IO, "the service does not answer, and may have done it all the same");
    struct str body = arena_str(a, str_from(text, head + 4));
    if (json_parse(a, body, &JSON_LIMITS_DEFAULT, ret, err) != RC_OK)
        return err_set(err, RC_IO, "the service's answer cannot be read");
    if (status < 300)
        return RC_OK;
    return err_set(err, status < 500 ? RC_INVALID : RC_IO, "%.*s",
                   STR_ARG(val_get_str(ret, STR("detail"), STR("the service refuses"))));
}

static enum rc not_running(const struct home_run *r, struct err *err)
{
    char usual[2200];
    struct err ignored;
    bool other = home_service(usual, sizeof usual, &ignored) == RC_OK && strcmp(usual, r->journal) != 0;
    return err_set(err, RC_NOT_FOUND,
                   "it is a run of the service, which is not running; start it with treadle serve%s%s",
                   other ? " --db " : "", other ? r->journal : "");
}

static enum rc ask(const struct home_run *r, const char *what, const struct val *body, struct arena *a, struct val *ret,
                   struct err *err)
{
    char path[PATH_BYTES];
    struct buf answer;
    struct str text = json_text(a, body);
    struct str request = arena_printf(a,
                                      "POST /v1/runs/%s/%s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                                      "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%.*s",
                                      r->id, what, text.n, STR_ARG(text));
    socket_path(r->journal, path);
    int fd = local_socket_connect(path, ANSWER_TIMEOUT_S);
    enum rc rc;
    buf_init(&answer, ANSWER_MAX);
    if (fd < 0)
        rc = not_running(r, err);
    else if (!fd_send_all(fd, request) || !fd_read_all(fd, &answer))
        rc = err_set(err, RC_IO, "the service does not answer, and may have done it all the same");
    else
        rc = read_answer(buf_str(&answer), a, ret, err);
    buf_done(&answer);
    fd_close(fd);
    return rc;
}

bool service_did(const char *name, const char *what, const struct val *body, const char *done, int *code)
{
    struct home_run r = {0};
    struct arena a = {0};
    struct val answer;
    struct err err;
    if (seen_run_find(str_c(name), &r, &err) != RC_OK || !r.of_service)
        return false;
    enum rc rc = ask(&r, what, body, &a, &answer, &err);
    if (rc == RC_OK) {
        printf("run %s%s %s\n", r.id, strchr(done, ':') || strncmp(done, "signal", 6) == 0 ? ":" : "", done);
        *code = EXIT_OK;
    } else {
        *code = fail(rc == RC_INVALID ? EXIT_USAGE : EXIT_ENVIRONMENT, "run %s: %s", r.id, err.msg);
    }
    arena_done(&a);
    return true;
}
