/* src/supervisor/supervisor.c with real children, played by tests/otp/processes.py.
 *
 *   supervisor_trace SOCKET HEARTBEAT_MS STRATEGY INTENSITY PERIOD_S AUTO_SHUTDOWN CHILDREN   (see traces.py)
 *
 * Each child is this program again. It speaks ipc/control.h with the supervisor, and with the player over the Unix
 * socket: it says `+a PID` when it starts and `-a` when it is told to stop, and does what it is answered: ready, fail,
 * gone, ignore, exit, error, segv, hang. At the end `!` or `!abnormal` is printed. */
#include "base/panic.h"
#include "base/str.h"
#include "ipc/control.h"
#include "supervisor/supervisor.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { CHILDREN_MAX = 8, STUBBORN_MS = 200, OBEDIENT_MS = 600000 };

/* ---- a child ---- */

static void tell(enum control_kind kind, uint32_t number)
{
    struct err err;
    if (control_send(CONTROL_FD, &(struct control_message){.kind = kind, .number = number, .fd = -1}, &err) != RC_OK)
        _exit(9);
}

static void obey(const char *word)
{
    if (strcmp(word, "ready") == 0)
        tell(CONTROL_READY, 0);
    else if (strcmp(word, "fail") == 0)
        _exit(3);
    else if (strcmp(word, "gone") == 0 || strcmp(word, "exit") == 0)
        _exit(0);
    else if (strcmp(word, "error") == 0)
        _exit(1);
    else if (strcmp(word, "segv") == 0)
        raise(SIGSEGV);
    while (strcmp(word, "hang") == 0)
        pause();
}

static int child(const char *name, const char *path)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    struct pollfd fds[] = {{.fd = CONTROL_FD, .events = POLLIN}, {.fd = -1, .events = POLLIN}};
    char room[CONTROL_TEXT_MAX], word[32];
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    tell(CONTROL_HELLO, CONTROL_VERSION);
    for (;;) {
        struct control_message m;
        struct err err;
        if (poll(fds, 2, -1) < 0)
            return 9;
        if (fds[1].revents) {
            ssize_t n = read(fds[1].fd, word, sizeof word - 1);
            if (n <= 0)
                return 9;
            word[n] = 0;
            obey(word);
        }
        if (!fds[0].revents)
            continue;
        enum rc rc = control_receive(CONTROL_FD, room, &m, &err);
        if (rc == RC_BUSY)
            continue;
        if (rc != RC_OK)
            return 9;
        if (m.kind == CONTROL_GO) {
            snprintf(sa.sun_path, sizeof sa.sun_path, "%s", path);
            fds[1].fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
            if (connect(fds[1].fd, (struct sockaddr *)&sa, sizeof sa) != 0 ||
                dprintf(fds[1].fd, "+%s %d", name, (int)getpid()) < 0)
                return 9;
        } else if (m.kind == CONTROL_STOP) {
            dprintf(fds[1].fd, "-%s", name);
        } else if (m.kind == CONTROL_PING) {
            tell(CONTROL_PONG, m.number);
        }
    }
}

/* ---- the supervisor ---- */

static int64_t number(const char *text)
{
    int64_t n;
    CHECK(str_to_i64(str_c(text), &n));
    return n;
}

static const char *const names[CHILDREN_MAX] = {"a", "b", "c", "d", "e", "f", "g", "h"};

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "__role") == 0)
        return child(argv[2], argv[3]);
    CHECK(argc == 8);
    const char *const args[] = {argv[1], NULL};
    struct role_spec roles[CHILDREN_MAX];
    struct node_spec nodes[CHILDREN_MAX];
    size_t n = 0;
    for (const char *c = argv[7]; *c; c++) {
        if (*c == '*') {
            nodes[n - 1].significant = true;
        } else if (strchr("!~^", *c)) {
            roles[n - 1].shutdown_ms = *c == '!' ? 0 : *c == '~' ? -1 : STUBBORN_MS;
        } else {
            CHECK(n < CHILDREN_MAX);
            roles[n] = (struct role_spec){.args = args, .heartbeat_ms = number(argv[2]), .shutdown_ms = OBEDIENT_MS};
            nodes[n] = (struct node_spec){.name = names[n],
                                          .role = &roles[n],
                                          .restart = *c == 'p'   ? SUP_PERMANENT
                                                     : *c == 't' ? SUP_TRANSIENT
                                                                 : SUP_TEMPORARY};
            n++;
        }
    }
    const struct node_spec root = {.name = "root",
                                   .strategy = strcmp(argv[3], "one_for_one") == 0   ? SUP_ONE_FOR_ONE
                                               : strcmp(argv[3], "one_for_all") == 0 ? SUP_ONE_FOR_ALL
                                                                                     : SUP_REST_FOR_ONE,
                                   .intensity = (unsigned)number(argv[4]),
                                   .period_ms = number(argv[5]) * 1000,
                                   .auto_shutdown = strcmp(argv[6], "never") == 0             ? SUP_AUTO_NEVER
                                                    : strcmp(argv[6], "any_significant") == 0 ? SUP_AUTO_ANY
                                                                                              : SUP_AUTO_ALL,
                                   .children = nodes,
                                   .nchildren = n};
    enum supervisor_end end;
    struct err err;
    CHECK(supervisor_run(&(struct supervisor_options){.self = "/proc/self/exe", .root = &root}, &end, &err) == RC_OK);
    printf(end == SUPERVISOR_FAILED ? "!abnormal\n" : "!\n");
    return 0;
}
