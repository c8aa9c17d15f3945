/* Addresses are numbers: a name might come to mean another machine's interface tomorrow. What systemd hands over is
 * judged as what was asked for. */
#include "cli/listen.h"

#include "base/clock.h"
#include "base/panic.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { BACKLOG = 512, PREDECESSOR_MS = 2000 };

union address {
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    struct sockaddr_un un;
    struct sockaddr_storage room;
};

static enum rc listen_unix(const char *path, int *ret, struct err *err)
{
    union address sa = {.un.sun_family = AF_UNIX};
    if (!*path || strlen(path) >= sizeof sa.un.sun_path)
        return err_set(err, RC_USAGE, "--listen unix:%s: the path must have 1 to %zu bytes", path,
                       sizeof sa.un.sun_path - 1);
    memcpy(sa.un.sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct stat st;
    if (fd >= 0 && stat(path, &st) == 0 && S_ISSOCK(st.st_mode) && connect(fd, &sa.any, sizeof sa.un) != 0 &&
        errno == ECONNREFUSED)
        unlink(path); /* of a service that is no more */
    mode_t old = umask(0177);
    bool good = fd >= 0 && bind(fd, &sa.any, sizeof sa.un) == 0 && listen(fd, BACKLOG) == 0;
    umask(old);
    if (good) {
        *ret = fd;
        return RC_OK;
    }
    err_set(err, errno == EADDRINUSE ? RC_BUSY : RC_IO, "cannot listen on %s: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    return err->rc;
}

/* "", "8080", ":8080", "127.0.0.1:8080", "localhost:8080", "[::1]:8080" */
static bool read_address(const char *text, union address *ret, socklen_t *length)
{
    char host[64] = "127.0.0.1";
    int64_t port = LISTEN_PORT;
    struct str s = str_c(text), rest = s;
    bool v6 = s.n && s.p[0] == '[';
    size_t colon = v6 ? str_find(s, STR("]:")) : str_find(s, STR(":"));
    if (v6 && colon == SIZE_MAX)
        return false;
    if (colon != SIZE_MAX) {
        struct str name = v6 ? str_n(s.p + 1, colon - 1) : str_n(s.p, colon);
        if (name.n >= sizeof host)
            return false;
        if (name.n && !str_is(name, "localhost"))
            snprintf(host, sizeof host, "%.*s", STR_ARG(name));
        rest = str_from(s, colon + 1 + v6);
    }
    if ((rest.n || colon != SIZE_MAX) && (!str_to_i64(rest, &port) || port < 0 || port > 65535))
        return false;
    *ret = (union address){0};
    if (v6) {
        ret->in6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
        *length = sizeof ret->in6;
        return inet_pton(AF_INET6, host, &ret->in6.sin6_addr) == 1;
    }
    ret->in = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    *length = sizeof ret->in;
    return inet_pton(AF_INET, host, &ret->in.sin_addr) == 1;
}

static bool is_local(const union address *sa)
{
    if (sa->any.sa_family == AF_INET)
        return ntohl(sa->in.sin_addr.s_addr) >> 24 == 127;
    if (sa->any.sa_family == AF_INET6)
        return IN6_IS_ADDR_LOOPBACK(&sa->in6.sin6_addr);
    return sa->any.sa_family == AF_UNIX;
}

static enum rc too_open(const char *what, const char *name, struct err *err)
{
    return err_set(
        err, RC_USAGE,
        "%s%s: other machines can reach that, so it needs a token (--token-file FILE or TREADLE_TOKEN), and, "
        "as nothing is encrypted here, a proxy that speaks TLS in front of it (then say --behind-proxy). Or "
        "listen on 127.0.0.1 or unix:PATH",
        what, name);
}

static enum rc listen_tcp(const char *text, bool elsewhere, int *ret, struct err *err)
{
    union address sa;
    socklen_t length;
    int on = 1;
    if (!read_address(text, &sa, &length))
        return err_set(err, RC_USAGE,
                       "--listen %s: expected [ADDRESS:]PORT with an address in numbers, as in 7433, 127.0.0.1:7433 or "
                       "[::1]:7433, or unix:PATH",
                       text);
    if (!elsewhere && !is_local(&sa))
        return too_open("--listen ", text, err);
    int fd = socket(sa.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (fd >= 0 && sa.any.sa_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on); /* `[::]` is not also every IPv4 address */
    if (fd >= 0 && bind(fd, &sa.any, length) == 0 && listen(fd, BACKLOG) == 0) {
        *ret = fd;
        return RC_OK;
    }
    err_set(err, errno == EADDRINUSE ? RC_BUSY : RC_IO, "cannot listen on %s: %s%s", *text ? text : "127.0.0.1:7433",
            strerror(errno),
            errno == EADDRINUSE ? " (is another treadle serve running? --listen chooses another)" : "");
    if (fd >= 0)
        close(fd);
    return err->rc;
}

/* A service that was killed a moment ago may not have let go of the address yet: its gateway dies after it. */
enum rc listen_at(const char *where, bool elsewhere, int *ret, struct err *err)
{
    int64_t until = clock_mono_ms() + PREDECESSOR_MS;
    for (;;) {
        enum rc rc =
            strncmp(where, "unix:", 5) == 0 ? listen_unix(where + 5, ret, err) : listen_tcp(where, elsewhere, ret, err);
        if (rc != RC_BUSY || clock_mono_ms() >= until)
            return rc;
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
}

static union address address_of(int fd)
{
    union address sa = {0};
    socklen_t length = sizeof sa;
    if (getsockname(fd, &sa.any, &length) != 0)
        sa.any.sa_family = AF_UNSPEC;
    return sa;
}

enum rc listen_check(int fd, bool elsewhere, struct err *err)
{
    union address sa = address_of(fd);
    char room[200];
    if (elsewhere || is_local(&sa))
        return RC_OK;
    return too_open("a socket that was handed over, ", listen_name(fd, room, sizeof room).p, err);
}

struct str listen_name(int fd, char *room, size_t size)
{
    union address sa = address_of(fd);
    char host[INET6_ADDRSTRLEN] = "?";
    if (sa.any.sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &sa.in6.sin6_addr, host, sizeof host);
        snprintf(room, size, "http://[%s]:%d", host, ntohs(sa.in6.sin6_port));
    } else if (sa.any.sa_family == AF_INET) {
        inet_ntop(AF_INET, &sa.in.sin_addr, host, sizeof host);
        snprintf(room, size, "http://%s:%d", host, ntohs(sa.in.sin_port));
    } else if (sa.any.sa_family == AF_UNIX) {
        snprintf(room, size, "unix:%s", sa.un.sun_path);
    } else {
        snprintf(room, size, "a socket of another kind");
    }
    return str_c(room);
}
