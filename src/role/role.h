#pragma once
/* A role as a process of its own (`treadle __role NAME`): its side of the supervisor's control socket.
 *
 * role_main() says HELLO, takes what it is handed, calls begin() when the supervisor says GO, and says READY once that
 * has succeeded. PINGs are answered from the event loop, so a loop that is stuck is noticed. stop()
 * asks for an end in good order, which the role reports with role_end(); when the supervisor is gone, the process ends
 * at once. All callbacks come from the loop. */
#include "ev/loop.h"
#include "ipc/control.h"

struct role {
    struct ev_loop *loop;
    const struct role_def *def;
    char **args; /* after the name */
    int nargs;
    int secrets; /* descriptor of the sealed file with keys, or -1 */
    void *state; /* the role's own */
};

struct role_def {
    const char *name;
    enum rc (*begin)(struct role *r, struct err *err);
    void (*peer)(struct role *r, struct str name, int fd);      /* takes the descriptor; after begin() */
    void (*listening)(struct role *r, struct str name, int fd); /* takes it; before begin(). May be NULL */
    /* How another life, of this role or of one beside it, ended: the run (or empty), the step, how, its last words.
     * `charged`: by a fault while that run was executed. May be NULL. */
    void (*obituary)(struct role *r, struct str run, struct str step, struct str how, struct str words, bool charged);
    void (*stop)(struct role *r);
    void (*end)(struct role *r); /* frees; may come without begin() */
};

/* What the role was handed as secrets, NAME=VALUE each followed by NUL, into the environment of this process, which is
 * not the one that /proc shows. Closes r->secrets. */
enum rc role_variables(struct role *r, struct err *err) MUST_CHECK;
int role_main(int argc, char **argv);
void role_end(struct role *r, int code);
/* For the obituary, should this process die now: which run is being executed (empty: none), and what of it. Cheap. */
void role_executing(struct role *r, struct str run);
void role_executing_what(struct role *r, struct str what); /* safe in a signal handler */
/* The value of `--NAME VALUE` among the arguments, or NULL. */
const char *role_option(const struct role *r, const char *name);
