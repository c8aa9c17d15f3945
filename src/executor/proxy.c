/* CONNECT and plain HTTP requests, for listed hosts.
 *
 * One process accepts; each connection gets a child of its own, which reads one request, decides, resolves, connects,
 * and then copies bytes both ways. So the blocking resolver stops nobody, and what a hostile request might do to the
 * parser it does to its own connection. All are single-threaded, without privileges they could lose, under the filter
 * of system calls, and die with the launcher.
 *
 * What is checked is what is used: the name is taken by its length (a NUL in the request refuses it), brought to lower
 * case once, compared, and given to the resolver; its addresses are checked, and the checked address is connected to.
 * Of a plain request the Host line is written anew. What cannot be seen from here: which name a TLS client says inside
 * of its connection, and so which of several sites on one address it means. */
#include "executor/proxy.h"

#include "base/host_pattern.h"
#include "executor/sandbox.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    MAX_CHILDREN = 64,
    HEAD_MAX = 16 << 10,
    NAME_MAX_ = 253,
    IDLE_MS = 10 * 60 * 1000,
    HEAD_MS = 30 * 1000,
    CONNECT_MS = 20 * 1000,
    CHUNK = 32 << 10
};

/* ---- names ---- */

/* `hosts` as in base/host_pattern.h; a "!" in front lets a name have private addresses. */
static bool proxy_host_allowed(const char *const *hosts, size_t n, struct str name, uint16_t port, bool *private_too)
{
    bool allowed = false;
    *private_too = false;
    for (size_t i = 0; i < n; i++) {
        bool private = hosts[i][0] == '!';
        if (!host_pattern_matches(str_c(hosts[i] + private), name, port))
            continue;
        allowed = true;
        *private_too |= private;
    }
    return allowed;
}

/* ---- addresses ---- */

struct range {
    unsigned char at[16];
    unsigned bits;
};
static const struct range private4[] = {
    {{0}, 8},
    {{10}, 8},
    {{100, 64}, 10},
    {{127}, 8},
    {{169, 254}, 16},
    {{172, 16}, 12},
    {{192, 0, 0}, 24},
    {{192, 0, 2}, 24},
    {{192, 88, 99}, 24},
    {{192, 168}, 16},
    {{198, 18}, 15},
    {{198, 51, 100}, 24},
    {{203, 0, 113}, 24},
    {{224}, 3}, /* multicast, reserved, broadcast */
};
/* All but global unicast (2000::/3), and of that what stands for something else. */
static const struct range private6[] = {
    {{0x20, 0x01, 0x00}, 23},       /* protocol assignments, Teredo */
    {{0x20, 0x01, 0x0d, 0xb8}, 32}, /* documentation */
    {{0x20, 0x02}, 16},             /* 6to4 */
    {{0x3f, 0xff}, 20},             /* documentation */
};

static bool in_range(const unsigned char *a, const struct range *r)
{
    unsigned whole = r->bits / 8, rest = r->bits % 8;
    return memcmp(a, r->at, whole) == 0 && (!rest || (a[whole] ^ r->at[whole]) >> (8 - rest) == 0);
}

/* The address does not belong to the public internet: loopback, private, link-local, multicast, …, also inside of
 * IPv6. `address` is 4 or 16 bytes. */
static bool proxy_address_private(const unsigned char *address, size_t n)
{
    static const unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    static const unsigned char nat64[12] = {0, 0x64, 0xff, 0x9b};
    if (n == 16 && (memcmp(address, mapped, 12) == 0 || memcmp(address, nat64, 12) == 0))
        address += 12, n = 4;
    if (n == 4) {
        for (size_t i = 0; i < sizeof private4 / sizeof *private4; i++)
            if (in_range(address, &private4[i]))
                return true;
        return false;
    }
    if (n != 16 || (address[0] & 0xe0) != 0x20)
        return true;
    for (size_t i = 0; i < sizeof private6 / sizeof *private6; i++)
        if (in_range(address, &private6[i]))
            return true;
    return false;
}

static bool is_private(const struct sockaddr *a)
{
    if (a->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, a, sizeof in);
        return proxy_address_private((const unsigned char *)&in.sin_addr, 4);
    }
    struct sockaddr_in6 in;
    memcpy(&in, a, sizeof in);
    return a->sa_family != AF_INET6 || proxy_address_private((const unsigned char *)&in.sin6_addr, 16);
}

/* ---- one connection ---- */

struct request {
    char head[HEAD_MAX + 1];
    size_t got, end; /* bytes read; of the head with its empty line */
    char name[NAME_MAX_ + 1];
    unsigned port;
    bool tunnel;
    size_t method;   /* its length */
    struct str path; /* of a plain request */
};

static bool wait_fd(int fd, short events, int ms)
{
    struct pollfd p = {.fd = fd, .events = events};
    int n;
    do
        n = poll(&p, 1, ms);
    while (n < 0 && errno == EINTR);
    return n > 0;
}

static bool send_all(int fd, const char *p, size_t n)
{
    while (n) {
        ssize_t w = send(fd, p, n, MSG_NOSIGNAL);
        if (w < 0 && errno == EAGAIN && wait_fd(fd, POLLOUT, IDLE_MS))
            continue;
        if (w < 0 && errno == EINTR)
            continue;
        if (w <= 0)
            return false;
        p += w, n -= (size_t)w;
    }
    return true;
}

static void refuse(int fd, const char *status, const char *why, const char *name)
{
    char body[600], text[1000];
    int n = snprintf(body, sizeof body, "treadle: %s%s%s\n", why, *name ? ": " : "", name);
    n = snprintf(text, sizeof text,
                 "HTTP/1.1 %s\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: close"
                 "\r\n\r\n%s",
                 status, n, body);
    (void)send_all(fd, text, (size_t)n);
    _exit(0);
}

static bool read_head(int fd, struct request *r)
{
    while (r->got < HEAD_MAX) {
        if (!wait_fd(fd, POLLIN, HEAD_MS))
            return false;
        ssize_t n = recv(fd, r->head + r->got, HEAD_MAX - r->got, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        r->got += (size_t)n;
        char *end = memmem(r->head, r->got, "\r\n\r\n", 4);
        if (end) {
            r->end = (size_t)(end - r->head) + 4;
            return !memchr(r->head, 0, r->end);
        }
    }
    return false;
}

/* The request line; false when it is none of ours. */
static bool parse(struct request *r)
{
    static const char scheme[] = "http://";
    const char *line = r->head, *eol = memmem(r->head, r->end, "\r\n", 2);
    const char *s1 = memchr(line, ' ', (size_t)(eol - line));
    const char *s2 = s1 ? memchr(s1 + 1, ' ', (size_t)(eol - s1 - 1)) : NULL;
    if (!s2 || (size_t)(eol - s2) != 9 || (memcmp(s2, " HTTP/1.1", 9) != 0 && memcmp(s2, " HTTP/1.0", 9) != 0))
        return false;
    struct str at = str_n(s1 + 1, (size_t)(s2 - s1 - 1)), name;
    r->method = (size_t)(s1 - line);
    r->tunnel = r->method == 7 && memcmp(line, "CONNECT", 7) == 0;
    if (!r->tunnel) {
        if (at.n < sizeof scheme || strncasecmp(at.p, scheme, sizeof scheme - 1) != 0)
            return false;
        at = str_from(at, sizeof scheme - 1);
        size_t slash = str_find(at, STR("/"));
        r->path = slash == SIZE_MAX ? str_from(at, at.n) : str_from(at, slash);
        at.n -= r->path.n;
    }
    if (!host_split(at, &name, &r->port) || !host_name_valid(name) || (r->tunnel && !r->port))
        return false;
    r->port = r->port ? r->port : 80;
    name = host_bare(name);
    for (size_t i = 0; i < name.n; i++)
        r->name[i] = (char)tolower((unsigned char)name.p[i]);
    r->name[name.n] = 0;
    return true;
}

static int connect_to(const struct addrinfo *a)
{
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), error = 0;
    socklen_t n = sizeof error;
    if (fd >= 0 && (connect(fd, a->ai_addr, a->ai_addrlen) == 0 ||
                    (errno == EINPROGRESS && wait_fd(fd, POLLOUT, CONNECT_MS) &&
                     getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n) == 0 && error == 0)))
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

static int reach(int client, const struct request *r, bool private_too)
{
    char port[12];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV}, *list = NULL;
    bool closed = false;
    int fd = -1;
    snprintf(port, sizeof port, "%u", r->port);
    if (getaddrinfo(r->name, port, &hints, &list) != 0)
        refuse(client, "502 Bad Gateway", "the name of this host cannot be resolved", r->name);
    for (const struct addrinfo *a = list; a && fd < 0; a = a->ai_next) {
        if (!private_too && is_private(a->ai_addr))
            closed = true;
        else
            fd = connect_to(a);
    }
    if (fd < 0 && closed)
        refuse(client, "403 Forbidden", "this host has a private address", r->name);
    if (fd < 0)
        refuse(client, "502 Bad Gateway", "this host does not answer", r->name);
    return fd;
}

static bool is_header(const char *line, size_t n, const char *name)
{
    size_t len = strlen(name);
    return n > len && strncasecmp(line, name, len) == 0 && (line[len] == ':' || line[len] == ' ' || line[len] == '\t');
}

/* The head of a plain request as the server gets it: its path, our Host, one request a connection. */
static bool forward_head(int server, const struct request *r)
{
    static const char *const dropped[] = {"Host", "Connection", "Keep-Alive", "Proxy-Connection",
                                          "Proxy-Authorization"};
    char start[NAME_MAX_ + 64];
    bool slash = r->path.n > 0;
    if (!send_all(server, r->head, r->method) || !send_all(server, " ", 1) || (!slash && !send_all(server, "/", 1)) ||
        !send_all(server, r->path.p, r->path.n))
        return false;
    int n = r->port == 80
                ? snprintf(start, sizeof start, " HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n", r->name)
                : snprintf(start, sizeof start, " HTTP/1.1\r\nHost: %s:%u\r\nConnection: close\r\n", r->name, r->port);
    if (!send_all(server, start, (size_t)n))
        return false;
    const char *at = (const char *)memmem(r->head, r->end, "\r\n", 2) + 2, *end = r->head + r->end - 2;
    while (at < end) {
        size_t len = (size_t)((const char *)memmem(at, (size_t)(end + 2 - at), "\r\n", 2) - at);
        bool drop = false;
        for (size_t i = 0; i < sizeof dropped / sizeof *dropped; i++)
            drop |= is_header(at, len, dropped[i]);
        if (!drop && !send_all(server, at, len + 2))
            return false;
        at += len + 2;
    }
    return send_all(server, "\r\n", 2);
}

static void copy_both_ways(int a, int b)
{
    static char piece[CHUNK];
    struct pollfd p[2] = {{.fd = a, .events = POLLIN}, {.fd = b, .events = POLLIN}};
    int fds[2] = {a, b}, open_ends = 2;
    while (open_ends) {
        int n = poll(p, 2, IDLE_MS);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return;
        for (int i = 0; i < 2; i++) {
            if (!p[i].revents)
                continue;
            ssize_t got = recv(fds[i], piece, sizeof piece, 0);
            if (got < 0 && (errno == EAGAIN || errno == EINTR))
                continue;
            if (got > 0 && !send_all(fds[!i], piece, (size_t)got))
                return;
            if (got <= 0) {
                shutdown(fds[!i], SHUT_WR);
                p[i].fd = -1;
                open_ends--;
            }
        }
    }
}

static void serve(int client, const char *const *hosts, size_t n)
{
    static struct request r;
    static const char established[] = "HTTP/1.1 200 Connection established\r\n\r\n";
    bool private_too;
    if (!read_head(client, &r) || !parse(&r))
        refuse(client, "400 Bad Request", "expected CONNECT host:port or an http:// address", "");
    if (!proxy_host_allowed(hosts, n, str_c(r.name), (uint16_t)r.port, &private_too))
        refuse(client, "403 Forbidden", "this step's `network` does not list the host or port", r.name);
    int server = reach(client, &r, private_too);
    bool ok = r.tunnel ? send_all(client, established, sizeof established - 1) : forward_head(server, &r);
    if (ok && send_all(server, r.head + r.end, r.got - r.end))
        copy_both_ways(client, server);
    _exit(0);
}

/* ---- the listener ---- */

static void confine(void)
{
    static const char *const nowhere[LAUNCH_PLACES] = {"", "", "", "", "", ""};
    const char *stage;
    struct sandbox_view v = {.tier = SANDBOX_STANDARD, .place = nowhere, .nplaces = LAUNCH_PLACES};
    if (landlock_abi() >= LANDLOCK_ABI_NEEDED)
        (void)sandbox_confine(&v, &stage); /* a second border: what the first keeps out cannot get here at all */
}

void proxy_main(pid_t launcher, int listen_fd, const char *const *hosts, size_t n)
{
    sigset_t none;
    unsigned children = 0;
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (getppid() != launcher)
        _exit(0);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (dup2(listen_fd, 3) < 0 || close_range(4, ~0u, 0) < 0)
        _exit(1);
    confine();
    for (;;) {
        while (children && waitpid(-1, NULL, children >= MAX_CHILDREN ? 0 : WNOHANG) > 0)
            children--;
        int client = accept4(3, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (client < 0 && errno != EINTR && errno != ECONNABORTED && errno != EMFILE && errno != ENFILE)
            _exit(0);
        if (client < 0)
            continue;
        pid_t pid = fork();
        if (pid == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
            close(3);
            serve(client, hosts, n);
        }
        children += pid > 0;
        close(client);
    }
}
