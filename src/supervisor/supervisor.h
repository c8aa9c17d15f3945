#pragma once
/* The supervising process: a tree of groups (supervisor/policy.h) whose leaves are child processes, the roles.
 *
 * A role is `SELF __role NAME ARGS…`, started by fork and exec, watched through a pidfd. It says HELLO on its control
 * socket (ipc/control.h), gets the links to its peers, its listening sockets and files, and says READY when it can
 * work. Its standard error is passed on, and its last part kept for the obituary.
 *
 * Additions to OTP: a role that misses its heartbeat gets SIGABRT, then SIGKILL; a role that dies before it was ever
 * ready waits before its next start, longer each time; and a role is restarted only when nothing that it left behind is
 * alive. This process opens no database, holds no keys, and parses nothing but its children's control messages. */
#include "base/err.h"
#include "supervisor/policy.h"

struct role_spec {
    const char *const *args; /* after the name; ends with NULL; may be NULL */
    int64_t ready_ms;        /* for HELLO and READY together; 0: 30,000 */
    int64_t heartbeat_ms;    /* a PING unanswered for so long is a hang; 0: none */
    int64_t shutdown_ms;     /* from STOP to SIGKILL; 0: brutal; < 0: no bound */
};

struct node_spec {
    const char *name;
    enum sup_restart restart;
    bool significant;
    const struct role_spec *role; /* NULL: a group, described by the rest */
    enum sup_strategy strategy;
    unsigned intensity;
    int64_t period_ms;
    enum sup_auto auto_shutdown;
    const struct node_spec *children;
    size_t nchildren;
};

struct link_spec {
    const char *a, *b; /* roles: both get one end of a fresh socket pair whenever one of them starts */
};
struct handed_spec {
    const char *role, *name;
    int fd; /* kept open here, so that it outlives the role */
    enum { HAND_LISTEN, HAND_SECRETS, HAND_PAGE, HAND_PRINTS } what;
};

struct supervisor_options {
    const char *self; /* the program to start */
    const struct node_spec *root;
    const struct link_spec *links;
    size_t nlinks;
    const struct handed_spec *handed;
    size_t nhanded;
    const char *told; /* the role that gets obituaries (of all roles) when it starts; or NULL */
};

enum supervisor_end {
    SUPERVISOR_STOPPED, /* SIGTERM or SIGINT */
    SUPERVISOR_UPGRADE, /* SIGHUP: everything is stopped in good order; start the program anew */
    SUPERVISOR_GAVE_UP, /* more deaths than the root bears */
    SUPERVISOR_FAILED   /* a role could not be started at the beginning */
};
/* Runs until the root has ended. Blocks SIGTERM, SIGINT, SIGHUP and SIGCHLD. RC_IO: nothing was started. */
enum rc supervisor_run(const struct supervisor_options *o, enum supervisor_end *ret, struct err *err) MUST_CHECK;
