/* The child's side of ipc/control.h. */
#include "role/role.h"

#include "base/fd.h"
#include "base/keyprint.h"
#include "base/log.h"
#include "base/panic.h"
#include "role/roles.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

static const struct role_def *const defs[] = {&role_engine, &role_egress, &role_executor, &role_gateway};

enum { EARLY_MAX = 8, VARIABLES_MAX = 8 << 20 };

static struct process { /* one a process */
    struct role role;
    struct {
        char name[32];
        int fd;
    } early[EARLY_MAX]; /* links that came before the role began */
    size_t nearly;
    ev_id watch;
    struct panic_page *page;
    bool begun, ended;
    int code;
} self;

static void say(enum control_kind kind, uint32_t number)
{
    struct err err;
    if (control_send(CONTROL_FD, &(struct control_message){.kind = kind, .number = number, .fd = -1}, &err) != RC_OK)
        log_line(LOG_DEBUG, "%s: the supervisor cannot be told: %s", self.role.def->name, err.msg);
}

static void role_ready(struct role *r)
{
    log_line(LOG_DEBUG, "%s has begun", r->def->name);
    say(CONTROL_READY, 0);
}

void role_end(struct role *r, int code)
{
    if (self.ended)
        return;
    self.ended = true;
    self.code = code;
    ev_stop(r->loop);
}

void role_executing(struct role *r, struct str run)
{
    (void)r;
    struct panic_page *p = self.page;
    if (!p)
        return;
    if (run.n >= sizeof p->run)
        run.n = sizeof p->run - 1;
    p->run[0] = p->text[0] = 0;
    if (!run.n)
        return;
    memcpy(p->run + 1, run.p + 1, run.n - 1);
    p->run[run.n] = 0;
    p->run[0] = run.p[0]; /* last: until then the page names no run */
}

void role_executing_what(struct role *r, struct str what)
{
    (void)r;
    struct panic_page *p = self.page;
    if (!p || !what.n)
        return;
    if (what.n >= sizeof p->text)
        what.n = sizeof p->text - 1;
    memcpy(p->text, what.p, what.n);
    p->text[what.n] = 0;
}

const char *role_option(const struct role *r, const char *name)
{
    for (int i = 0; i + 1 < r->nargs; i++)
        if (strncmp(r->args[i], "--", 2) == 0 && strcmp(r->args[i] + 2, name) == 0)
            return r->args[i + 1];
    return NULL;
}

enum rc role_variables(struct role *r, struct err *err)
{
    struct buf b;
    buf_init(&b, VARIABLES_MAX);
    bool all = r->secrets < 0 || (lseek(r->secrets, 0, SEEK_SET) == 0 && fd_read_all(r->secrets, &b));
    for (char *at = b.p, *end = b.p + b.n; all && at < end;) {
        size_t n = strlen(at) + 1;
        char *eq = strchr(at, '=');
        if (eq) {
            *eq = 0;
            setenv(at, eq + 1, 1);
        }
        at += n;
    }
    if (b.p)
        explicit_bzero(b.p, b.cap);
    buf_done(&b);
    if (r->secrets >= 0)
        close(r->secrets);
    r->secrets = -1;
    return all ? RC_OK : err_set(err, RC_IO, "the variables that are for this role alone cannot be read");
}

static void take_page(int fd)
{
    void *at = mmap(NULL, sizeof(struct panic_page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (at == MAP_FAILED)
        return;
    self.page = at;
    *self.page = (struct panic_page){.magic = PANIC_PAGE_MAGIC};
}

/* Without them no key would be found, so a role that was to have them and cannot read them does not begin. */
static bool take_prints(int fd)
{
    struct keyprints p;
    bool whole = pread(fd, &p, sizeof p, 0) == (ssize_t)sizeof p;
    close(fd);
    if (whole)
        keyprints_use(&p);
    return whole;
}

static struct str line_of(struct str *rest)
{
    size_t n = str_find(*rest, STR("\n"));
    struct str line = n == SIZE_MAX ? *rest : str_n(rest->p, n);
    *rest = n == SIZE_MAX ? str_from(*rest, rest->n) : str_from(*rest, n + 1);
    return line;
}

static void obituary(const struct control_message *m)
{
    struct str rest = m->text, run = line_of(&rest), step = line_of(&rest), how = line_of(&rest);
    if (self.role.def->obituary)
        self.role.def->obituary(&self.role, run, step, how, rest, m->number == 1);
}

static void begin(void)
{
    struct err err;
    if (self.begun)
        return;
    self.begun = true;
    if (self.role.def->begin(&self.role, &err) == RC_OK) {
        for (size_t i = 0; i < self.nearly; i++)
            self.role.def->peer(&self.role, str_c(self.early[i].name), self.early[i].fd);
        self.nearly = 0;
        role_ready(&self.role);
        return;
    }
    fprintf(stderr, "treadle: %s: %s\n", self.role.def->name, err.msg);
    role_end(&self.role, 4);
}

static void handle(const struct control_message *m)
{
    struct role *r = &self.role;
    int fd = m->fd;
    switch (m->kind) {
    case CONTROL_PEER:
        if (fd >= 0 && self.begun) {
            r->def->peer(r, m->text, fd);
            fd = -1;
        } else if (fd >= 0 && self.nearly < EARLY_MAX) {
            snprintf(self.early[self.nearly].name, sizeof self.early[0].name, "%.*s", STR_ARG(m->text));
            self.early[self.nearly++].fd = fd;
            fd = -1;
        }
        break;
    case CONTROL_LISTEN:
        if (fd >= 0 && r->def->listening) {
            r->def->listening(r, m->text, fd);
            fd = -1;
        }
        break;
    case CONTROL_SECRETS:
        if (r->secrets < 0) {
            r->secrets = fd;
            fd = -1;
        }
        break;
    case CONTROL_PAGE:
        if (fd >= 0 && !self.page) {
            take_page(fd);
            fd = -1;
        }
        break;
    case CONTROL_PRINTS:
        if (fd >= 0 && !take_prints(fd)) {
            fprintf(stderr, "treadle: %s: the fingerprints of keys cannot be read\n", r->def->name);
            role_end(r, 4);
        }
        fd = -1;
        break;
    case CONTROL_OBITUARY:
        obituary(m);
        break;
    case CONTROL_GO:
        begin();
        break;
    case CONTROL_PING:
        say(CONTROL_PONG, m->number);
        break;
    case CONTROL_STOP:
        if (self.begun)
            r->def->stop(r);
        else
            role_end(r, 0);
        break;
    default:
        break;
    }
    if (fd >= 0)
        close(fd);
}

static void readable(void *ctx)
{
    (void)ctx;
    char room[CONTROL_TEXT_MAX];
    struct control_message m;
    struct err err;
    for (int i = 0; i < 32 && !self.ended; i++) {
        enum rc rc = control_receive(CONTROL_FD, room, &m, &err);
        if (rc == RC_BUSY)
            return;
        if (rc != RC_OK) { /* the supervisor is gone: what is durable is all that counts */
            role_end(&self.role, 1);
            return;
        }
        handle(&m);
    }
}

int role_main(int argc, char **argv)
{
    for (size_t i = 0; i < sizeof defs / sizeof *defs; i++)
        if (argc > 0 && strcmp(argv[0], defs[i]->name) == 0)
            self.role.def = defs[i];
    if (!self.role.def || fcntl(CONTROL_FD, F_GETFD) < 0) {
        fprintf(stderr, "treadle: __role is for the supervisor of treadle serve\n");
        return 2;
    }
    fcntl(CONTROL_FD, F_SETFD, FD_CLOEXEC);
    char name[16]; /* all that the kernel keeps */
    snprintf(name, sizeof name, "treadle:%s", argv[0]);
    prctl(PR_SET_NAME, name);
    sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
    self.role.args = argv + 1;
    self.role.nargs = argc - 1;
    self.role.secrets = -1;
    self.role.loop = ev_loop_new();
    say(CONTROL_HELLO, CONTROL_VERSION);
    self.watch = ev_readable(self.role.loop, CONTROL_FD, readable, NULL);
    ev_run(self.role.loop);
    self.role.def->end(&self.role);
    ev_cancel(self.role.loop, self.watch);
    ev_loop_free(self.role.loop);
    return self.code;
}
