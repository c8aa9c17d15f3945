/* A packet is a fixed head and the text. The kernel keeps packets whole and carries the descriptor. */
#include "ipc/control.h"

#include "base/panic.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONTROL_MAGIC = 0x74636d31 };

struct head {
    uint32_t magic, version, kind, number, length;
};

const char *control_kind_name(enum control_kind kind)
{
    static const char *const names[] = {
#define X(name) #name,
        CONTROL_MESSAGES(X)
#undef X
    };
    CHECK(kind < CONTROL_KINDS);
    return names[kind];
}

enum rc control_send(int fd, const struct control_message *m, struct err *err)
{
    CHECK(m->text.n <= CONTROL_TEXT_MAX);
    struct head h = {CONTROL_MAGIC, CONTROL_VERSION, m->kind, m->number, (uint32_t)m->text.n};
    struct iovec io[] = {{&h, sizeof h}, {(void *)(uintptr_t)m->text.p, m->text.n}};
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(sizeof(int))];
    } c = {0};
    struct msghdr msg = {.msg_iov = io, .msg_iovlen = 2};
    if (m->fd >= 0) {
        msg.msg_control = c.room;
        msg.msg_controllen = sizeof c.room;
        struct cmsghdr *head = CMSG_FIRSTHDR(&msg);
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(head), &m->fd, sizeof(int));
    }
    ssize_t n;
    do {
        n = sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    if (n >= 0)
        return RC_OK;
    return err_set(err, errno == EAGAIN || errno == ENOBUFS ? RC_BUSY : RC_IO, "%s: %s", control_kind_name(m->kind),
                   strerror(errno));
}

/* More than one descriptor is nothing we ever send: all are closed. */
static int take_fd(struct msghdr *msg, bool *odd)
{
    int fd = -1;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n; i++) {
            int one;
            memcpy(&one, CMSG_DATA(c) + i * sizeof(int), sizeof one);
            if (fd >= 0) {
                *odd = true;
                close(one);
            } else {
                fd = one;
            }
        }
    }
    return fd;
}

enum rc control_receive(int fd, char *room, struct control_message *ret, struct err *err)
{
    struct head h;
    struct iovec io[] = {{&h, sizeof h}, {room, CONTROL_TEXT_MAX}};
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(4 * sizeof(int))];
    } c;
    struct msghdr msg = {.msg_iov = io, .msg_iovlen = 2, .msg_control = c.room, .msg_controllen = sizeof c.room};
    ssize_t n;
    do {
        n = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    } while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN)
        return err_set(err, RC_BUSY, "no message");
    if (n < 0 && errno != ECONNRESET)
        return err_set(err, RC_IO, "control socket: %s", strerror(errno));
    if (n <= 0)
        return err_set(err, RC_NOT_FOUND, "the other side of the control socket is gone");
    bool odd = false;
    int got = take_fd(&msg, &odd);
    if (odd || (size_t)n < sizeof h || h.magic != CONTROL_MAGIC || h.version != CONTROL_VERSION ||
        h.kind >= CONTROL_KINDS || h.length != (size_t)n - sizeof h || (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) {
        if (got >= 0)
            close(got);
        return err_set(err, RC_CORRUPT, "a control message that is none of ours");
    }
    *ret = (struct control_message){
        .kind = (enum control_kind)h.kind, .number = h.number, .text = str_n(room, h.length), .fd = got};
    return RC_OK;
}
