#pragma once
/* What the supervisor and its children say to each other: small messages over a sequenced-packet socket, with at most
 * one descriptor each.
 *
 *   child to supervisor    HELLO (version) · READY · PONG
 *   supervisor to child    PEER (a link to another role, with its descriptor) · LISTEN (a listening socket) · SECRETS
 *                          (a sealed file with keys) · PAGE (the panic page) · PRINTS (fingerprints of keys) · OBITUARY
 * (how an earlier life ended) · GO (that was all for now: begin) · PING · STOP (end in good order)
 *
 * `text` is the name of the role, socket or a line for people; it never exceeds CONTROL_TEXT_MAX bytes. Received
 * descriptors belong to the caller and are close-on-exec. */
#include "base/err.h"

#define CONTROL_MESSAGES(X) \
    X(HELLO) X(READY) X(PONG) X(PEER) X(LISTEN) X(SECRETS) X(PAGE) X(PRINTS) X(OBITUARY) X(GO) X(PING) X(STOP)

enum control_kind {
#define X(name) CONTROL_##name,
    CONTROL_MESSAGES(X)
#undef X
        CONTROL_KINDS
};
enum { CONTROL_VERSION = 1, CONTROL_TEXT_MAX = 4096, CONTROL_FD = 3 /* in every child */ };

struct control_message {
    enum control_kind kind;
    uint32_t number; /* HELLO: the version; PING, PONG: which; OBITUARY: 1 when the run it names is charged */
    struct str text;
    int fd; /* -1: none */
};

const char *control_kind_name(enum control_kind kind);
/* RC_BUSY: the other side does not read (the socket is full, and non-blocking). RC_IO. Borrows the descriptor. */
enum rc control_send(int fd, const struct control_message *m, struct err *err) MUST_CHECK;
/* One message into `room` (CONTROL_TEXT_MAX bytes). RC_BUSY: none is there. RC_NOT_FOUND: the other side is gone.
 * RC_CORRUPT: not one of ours, or of another version. */
enum rc control_receive(int fd, char *room, struct control_message *ret, struct err *err) MUST_CHECK;

/* The panic page: what a role was executing, for its obituary. A memory file that the child maps and the supervisor
 * reads after the death; both sides treat the content as hostile. */
struct panic_page {
    uint32_t magic, length; /* of text */
    char run[80], text[400];
};
enum { PANIC_PAGE_MAGIC = 0x70616765 };
