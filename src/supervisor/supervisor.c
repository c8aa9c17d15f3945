/* A poll() loop over the children's descriptors and their deadlines.
 *
 *   OFF ──start──▶ STARTING ──READY──▶ UP ──terminate──▶ STOPPING
 *    ▲                │                 │ death               │
 *    └──── CLEAN ◀────┴─────────────────┴─────────────────────┘
 *
 * CLEAN: the process is dead, and what it left behind is given a moment to end by itself (launchers kill their trees
 * when the executor's pipe closes), then killed. Only when nothing is left does the policy hear of the exit: so no
 * restart ever meets the remains of the life before. */
#include "supervisor/supervisor.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/panic.h"
#include "supervisor/notify.h"
#include "supervisor/process.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    UNITS_MAX = 64,
    READY_MS = 30000,
    ABORT_GRACE_MS = 2000, /* from SIGABRT to SIGKILL: time to write a core */
    ORPHANS_GRACE_MS = 2000,
    ORPHANS_LOOK_MS = 10,
    DELAY_FIRST_MS = 100,
    DELAY_MOST_MS = 30000,
    OBITUARIES_MAX = 16,
};

enum unit_state { OFF, STARTING, UP, STOPPING, CLEAN };
enum deadline { DUE_READY, DUE_PING, DUE_PONG, DUE_KILL, DUE_AGAIN, DUE_LOOK, DEADLINES };

struct supervisor;
struct unit {
    struct supervisor *s;
    const struct node_spec *spec;
    struct unit *parent;
    size_t index; /* among the parent's children */
    struct unit **children;
    /* a group */
    struct sup *policy;
    struct sup_child_spec *specs;
    bool starting; /* the parent waits for sup_started() */
    bool finished; /* ended; the parent is told by the loop, for the policy may be on the stack */
    /* a role */
    enum unit_state state;
    struct process process;
    bool hello, hung, was_up, asked;
    unsigned failures; /* starts in a row that never became ready */
    uint32_t ping;
    uint64_t started_turn;
    int64_t due[DEADLINES], started_ms, orphans_until;
    enum sup_reason reason;
};

struct obituary {
    bool charged;
    size_t n;
    char text[CONTROL_TEXT_MAX];
};

struct supervisor {
    const struct supervisor_options *o;
    struct unit *root, *units[UNITS_MAX];
    size_t nunits;
    int signals;
    bool ended, stopping, upgrade;
    enum supervisor_end end;
    struct obituary *obituaries[OBITUARIES_MAX]; /* for the role that is told; the oldest are given up */
    size_t nobituaries;
    int64_t watchdog_ms, watchdog_due;
    uint64_t turns;
};

static struct unit *find_role(struct supervisor *s, const char *name)
{
    for (size_t i = 0; i < s->nunits; i++)
        if (s->units[i]->spec->role && strcmp(s->units[i]->spec->name, name) == 0)
            return s->units[i];
    return NULL;
}

static int64_t ready_ms(const struct role_spec *r)
{
    return r->ready_ms ? r->ready_ms : READY_MS;
}

/* ---- talking to a role ---- */

static void hang(struct unit *u, const char *why);

static void say(struct unit *u, const struct control_message *m)
{
    struct err err;
    if (u->process.control < 0)
        return;
    enum rc rc = control_send(u->process.control, m, &err);
    if (rc == RC_BUSY)
        hang(u, "does not read its control socket");
}

static void hand(struct unit *u, enum control_kind kind, const char *name, int fd)
{
    say(u, &(struct control_message){.kind = kind, .text = str_c(name), .fd = fd});
}

static void link_up(struct unit *u, struct unit *peer)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0) {
        log_line(LOG_ERROR, "no link between %s and %s: %s", u->spec->name, peer->spec->name, strerror(errno));
        return;
    }
    hand(u, CONTROL_PEER, peer->spec->name, pair[0]);
    hand(peer, CONTROL_PEER, u->spec->name, pair[1]);
    close(pair[0]);
    close(pair[1]);
}

static void tell_obituaries(struct unit *u)
{
    struct supervisor *s = u->s;
    for (size_t i = 0; i < s->nobituaries; i++) {
        struct obituary *o = s->obituaries[i];
        say(u, &(struct control_message){
                   .kind = CONTROL_OBITUARY, .number = o->charged, .text = str_n(o->text, o->n), .fd = -1});
        free(o);
    }
    s->nobituaries = 0;
}

static void welcome(struct unit *u)
{
    static const enum control_kind kinds[] = {[HAND_LISTEN] = CONTROL_LISTEN,
                                              [HAND_SECRETS] = CONTROL_SECRETS,
                                              [HAND_PAGE] = CONTROL_PAGE,
                                              [HAND_PRINTS] = CONTROL_PRINTS};
    const struct supervisor_options *o = u->s->o;
    u->hello = true;
    for (size_t i = 0; i < o->nhanded; i++)
        if (strcmp(o->handed[i].role, u->spec->name) == 0)
            hand(u, kinds[o->handed[i].what], o->handed[i].name, o->handed[i].fd);
    if (o->told && strcmp(o->told, u->spec->name) == 0)
        tell_obituaries(u);
    for (size_t i = 0; i < o->nlinks; i++) {
        const struct link_spec *l = &o->links[i];
        bool is_a = strcmp(l->a, u->spec->name) == 0, is_b = strcmp(l->b, u->spec->name) == 0;
        struct unit *peer = is_a || is_b ? find_role(u->s, is_a ? l->b : l->a) : NULL;
        if (peer && peer->hello)
            link_up(u, peer);
    }
    say(u, &(struct control_message){.kind = CONTROL_GO, .fd = -1});
}

static void hear(struct unit *u)
{
    char room[CONTROL_TEXT_MAX];
    struct control_message m;
    struct err err;
    for (int i = 0; i < 64; i++) {
        enum rc rc = control_receive(u->process.control, room, &m, &err);
        if (rc == RC_BUSY)
            return;
        if (rc == RC_NOT_FOUND || rc == RC_IO) { /* it is dying; its pidfd tells when it is dead */
            close(u->process.control);
            u->process.control = -1;
            return;
        }
        if (rc != RC_OK) {
            hang(u, err.msg);
            return;
        }
        if (m.fd >= 0)
            close(m.fd); /* children hand nothing up */
        if (m.kind == CONTROL_HELLO && !u->hello) {
            welcome(u);
        } else if (m.kind == CONTROL_READY && u->state == STARTING && u->hello) {
            const struct role_spec *r = u->spec->role;
            u->state = UP;
            u->was_up = true;
            u->failures = 0;
            u->due[DUE_READY] = 0;
            if (r->heartbeat_ms)
                u->due[DUE_PING] = clock_mono_ms() + r->heartbeat_ms / 2;
            log_line(LOG_INFO, "%s (pid %d) is ready after %lld ms", u->spec->name, (int)u->process.pid,
                     (long long)(clock_mono_ms() - u->started_ms));
            sup_started(u->parent->policy, u->index, true);
        } else if (m.kind == CONTROL_PONG && m.number == u->ping) {
            u->due[DUE_PONG] = 0;
        }
    }
}

/* ---- starting and stopping a role ---- */

static void start_role(struct unit *u)
{
    struct err err;
    const struct role_spec *r = u->spec->role;
    u->hello = u->hung = u->was_up = u->asked = false;
    memset(u->due, 0, sizeof u->due);
    u->started_ms = clock_mono_ms();
    u->started_turn = u->s->turns;
    if (u->s->stopping || process_start(&u->process, u->s->o->self, u->spec->name, r->args, &err) != RC_OK) {
        if (!u->s->stopping)
            log_line(LOG_ERROR, "%s", err.msg);
        u->failures++;
        sup_started(u->parent->policy, u->index, false);
        return;
    }
    log_line(LOG_DEBUG, "%s starts (pid %d)", u->spec->name, (int)u->process.pid);
    u->state = STARTING;
    u->due[DUE_READY] = u->started_ms + ready_ms(r);
}

static void kill_role(struct unit *u)
{
    process_signal(&u->process, SIGKILL);
    process_signal(&u->process, SIGCONT); /* a stopped process dies all the same; its parent hears of it sooner */
    u->due[DUE_KILL] = 0;
}

static void stop_role(struct unit *u)
{
    const struct role_spec *r = u->spec->role;
    u->asked = true;
    if (u->state == CLEAN)
        return;
    u->state = STOPPING;
    if (r->shutdown_ms >= 0) /* without a bound, the heartbeat is all that notices a hang */
        u->due[DUE_PING] = u->due[DUE_PONG] = 0;
    if (r->shutdown_ms == 0) {
        kill_role(u);
        return;
    }
    say(u, &(struct control_message){.kind = CONTROL_STOP, .fd = -1});
    if (r->shutdown_ms > 0 && !u->due[DUE_KILL])
        u->due[DUE_KILL] = clock_mono_ms() + r->shutdown_ms;
}

static void hang(struct unit *u, const char *why)
{
    if (u->hung || u->state == CLEAN || u->state == OFF)
        return;
    log_line(LOG_ERROR, "%s (pid %d) hangs: %s", u->spec->name, (int)u->process.pid, why);
    u->hung = true;
    u->due[DUE_PING] = u->due[DUE_PONG] = u->due[DUE_READY] = 0;
    process_signal(&u->process, SIGABRT);
    u->due[DUE_KILL] = clock_mono_ms() + ABORT_GRACE_MS;
}

/* ---- its death ---- */

/* Of a fault of its own, as opposed to a kill from outside. */
static bool is_fault(const struct unit *u, int code, int status)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS, SIGTRAP};
    if (u->hung)
        return true;
    for (size_t i = 0; code != CLD_EXITED && i < sizeof faults / sizeof *faults; i++)
        if (status == faults[i])
            return true;
    return false;
}

/* A text of the page, up to its end or to the first character that is no plain one. */
static size_t plain(const char *text, size_t max)
{
    size_t n = 0;
    while (n < max && text[n] > ' ' && text[n] < 0x7f)
        n++;
    return n;
}

static bool read_page(struct unit *u, struct panic_page *page)
{
    const struct supervisor_options *o = u->s->o;
    for (size_t i = 0; i < o->nhanded; i++) {
        const struct handed_spec *h = &o->handed[i];
        if (h->what != HAND_PAGE || strcmp(h->role, u->spec->name) != 0)
            continue;
        static const struct panic_page blank;
        bool good = pread(h->fd, page, sizeof *page, 0) == (ssize_t)sizeof *page && page->magic == PANIC_PAGE_MAGIC;
        (void)!pwrite(h->fd, &blank, sizeof blank, 0);
        return good;
    }
    return false;
}

static void how_it_ended(const struct unit *u, pid_t pid, int code, int status, char *ret, size_t size)
{
    double seconds = (double)(clock_mono_ms() - u->started_ms) / 1000;
    if (code == CLD_EXITED)
        snprintf(ret, size, "%s (pid %d) exited with code %d after %.1f s", u->spec->name, (int)pid, status, seconds);
    else
        snprintf(ret, size, "%s (pid %d) was killed by SIG%s%s after %.1f s", u->spec->name, (int)pid,
                 sigabbrev_np(status) ? sigabbrev_np(status) : "?", u->hung ? " because it hung" : "", seconds);
}

static void write_obituary(struct unit *u, pid_t pid, int code, int status)
{
    struct supervisor *s = u->s;
    char how[200];
    how_it_ended(u, pid, code, status, how, sizeof how);
    log_line(LOG_ERROR, "%s", how);
    if (!s->o->told)
        return;
    struct panic_page page = {0};
    bool paged = read_page(u, &page);
    struct obituary *o = calloc(1, sizeof *o);
    CHECK(o);
    size_t run = paged ? plain(page.run, sizeof page.run) : 0, at = paged ? plain(page.text, sizeof page.text) : 0;
    o->charged = run && is_fault(u, code, status);
    int n = snprintf(o->text, sizeof o->text, "%.*s\n%.*s\n%s\n%.*s", (int)run, page.run, (int)at, page.text, how,
                     (int)u->process.tail_n, u->process.tail);
    o->n = n < 0 ? 0 : (size_t)n < sizeof o->text ? (size_t)n : sizeof o->text - 1;
    if (s->nobituaries == OBITUARIES_MAX) {
        free(s->obituaries[0]);
        memmove(s->obituaries, s->obituaries + 1, (OBITUARIES_MAX - 1) * sizeof *s->obituaries);
        s->nobituaries--;
    }
    s->obituaries[s->nobituaries++] = o;
    struct unit *told = find_role(s, s->o->told);
    if (told && told != u && told->hello && told->state == UP)
        tell_obituaries(told);
}

static void gone(struct unit *u)
{
    bool starting = !u->was_up && !u->asked;
    u->state = OFF;
    u->hello = false;
    memset(u->due, 0, sizeof u->due);
    if (starting) {
        u->failures++;
        sup_started(u->parent->policy, u->index, false);
    } else {
        sup_exited(u->parent->policy, u->index, u->reason);
    }
}

static void look_for_orphans(struct unit *u)
{
    pid_t known[UNITS_MAX];
    size_t n = 0;
    for (size_t i = 0; i < u->s->nunits; i++)
        if (u->s->units[i]->process.pid)
            known[n++] = u->s->units[i]->process.pid;
    int64_t now = clock_mono_ms();
    if (orphans_left(known, n, now >= u->orphans_until) == 0)
        gone(u);
    else
        u->due[DUE_LOOK] = now + ORPHANS_LOOK_MS;
}

static void died(struct unit *u)
{
    int code, status;
    pid_t pid = u->process.pid;
    bool ready = u->was_up;
    process_reap(&u->process, &code, &status);
    u->reason = u->asked ? SUP_SHUTDOWN : code == CLD_EXITED && status == 0 ? SUP_NORMAL : SUP_ABNORMAL;
    if (u->reason == SUP_ABNORMAL || !ready)
        write_obituary(u, pid, code, status);
    u->state = CLEAN;
    u->hello = false;
    memset(u->due, 0, sizeof u->due);
    u->orphans_until = clock_mono_ms() + ORPHANS_GRACE_MS;
    look_for_orphans(u);
}

/* ---- the policy's operations; ctx is the group ---- */

static int64_t op_now(void *ctx)
{
    (void)ctx;
    return clock_mono_ms();
}

static const struct sup_ops ops;

static void start_group(struct unit *u)
{
    sup_free(u->policy);
    u->policy = sup_new(&(struct sup_spec){.strategy = u->spec->strategy,
                                           .intensity = u->spec->intensity,
                                           .period_ms = u->spec->period_ms,
                                           .auto_shutdown = u->spec->auto_shutdown,
                                           .children = u->specs,
                                           .nchildren = u->spec->nchildren},
                        &ops, u);
    u->starting = true;
    sup_start(u->policy);
}

static void op_start(void *ctx, size_t i)
{
    struct unit *u = ((struct unit *)ctx)->children[i];
    if (u->spec->role)
        start_role(u);
    else
        start_group(u);
}

static void op_terminate(void *ctx, size_t i)
{
    struct unit *u = ((struct unit *)ctx)->children[i];
    if (u->spec->role)
        stop_role(u);
    else
        sup_stop(u->policy);
}

static void op_up(void *ctx)
{
    struct unit *u = ctx;
    u->starting = false;
    if (u->parent) {
        sup_started(u->parent->policy, u->index, true);
        return;
    }
    log_line(LOG_INFO, "ready");
    notify_state("READY=1");
    u->s->watchdog_ms = notify_watchdog_ms();
    u->s->watchdog_due = clock_mono_ms();
}

static void op_ended(void *ctx, enum sup_reason reason)
{
    struct unit *u = ctx;
    struct supervisor *s = u->s;
    u->reason = reason;
    if (u->parent) {
        u->finished = true;
        return;
    }
    s->ended = true;
    s->end = s->upgrade    ? SUPERVISOR_UPGRADE
             : s->stopping ? SUPERVISOR_STOPPED
             : u->starting ? SUPERVISOR_FAILED
                           : SUPERVISOR_GAVE_UP;
}

static void tell_parent(struct unit *u)
{
    bool starting = u->starting;
    u->finished = u->starting = false;
    if (starting)
        sup_started(u->parent->policy, u->index, false);
    else
        sup_exited(u->parent->policy, u->index, u->reason);
}

static int64_t op_delay(void *ctx, size_t i)
{
    struct unit *u = ((struct unit *)ctx)->children[i];
    if (!u->spec->role || !u->failures)
        return 0;
    int64_t ms = u->failures > 9 ? DELAY_MOST_MS : (int64_t)DELAY_FIRST_MS << (u->failures - 1);
    u->due[DUE_AGAIN] = clock_mono_ms() + (ms < DELAY_MOST_MS ? ms : DELAY_MOST_MS);
    return ms;
}

static const struct sup_ops ops = {op_now, op_start, op_terminate, op_ended, op_up, op_delay};

/* ---- deadlines ---- */

static void fire(struct unit *u, enum deadline d)
{
    const struct role_spec *r = u->spec->role;
    int64_t now = clock_mono_ms();
    u->due[d] = 0;
    switch (d) {
    case DUE_READY:
        hang(u, "was not ready in time");
        break;
    case DUE_PING:
        u->ping++;
        if (!u->due[DUE_PONG])
            u->due[DUE_PONG] = now + r->heartbeat_ms;
        u->due[DUE_PING] = now + r->heartbeat_ms / 2;
        say(u, &(struct control_message){.kind = CONTROL_PING, .number = u->ping, .fd = -1});
        break;
    case DUE_PONG:
        hang(u, "missed its heartbeat");
        break;
    case DUE_KILL:
        kill_role(u);
        break;
    case DUE_AGAIN:
        sup_again(u->parent->policy, u->index);
        break;
    case DUE_LOOK:
        look_for_orphans(u);
        break;
    case DEADLINES:
        break;
    }
}

static void fire_due(struct supervisor *s)
{
    int64_t now = clock_mono_ms();
    for (size_t i = 0; i < s->nunits && !s->ended; i++)
        for (int d = 0; d < DEADLINES && !s->ended; d++)
            if (s->units[i]->due[d] && s->units[i]->due[d] <= now)
                fire(s->units[i], (enum deadline)d);
    if (s->watchdog_ms && s->watchdog_due <= now) {
        notify_state("WATCHDOG=1");
        s->watchdog_due = now + s->watchdog_ms;
    }
}

static int wait_ms(const struct supervisor *s)
{
    int64_t next = INT64_MAX;
    for (size_t i = 0; i < s->nunits; i++)
        for (int d = 0; d < DEADLINES; d++)
            if (s->units[i]->due[d] && s->units[i]->due[d] < next)
                next = s->units[i]->due[d];
    if (s->watchdog_ms && s->watchdog_due < next)
        next = s->watchdog_due;
    for (size_t i = 0; i < s->nunits; i++)
        if (s->units[i]->finished)
            next = 1;
    if (next == INT64_MAX)
        return -1;
    int64_t left = next - clock_mono_ms();
    return left < 0 ? 0 : left > 60000 ? 60000 : (int)left;
}

/* ---- the loop ---- */

static void on_signal(struct supervisor *s)
{
    struct signalfd_siginfo info;
    while (read(s->signals, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGCHLD)
            continue;
        if (s->stopping) { /* asked twice: at once */
            for (size_t i = 0; i < s->nunits; i++)
                if (s->units[i]->state == STOPPING || s->units[i]->state == STARTING || s->units[i]->state == UP)
                    kill_role(s->units[i]);
            continue;
        }
        s->stopping = true;
        s->upgrade = info.ssi_signo == SIGHUP;
        log_line(LOG_INFO, s->upgrade ? "stopping, to start the program anew" : "stopping");
        notify_state(s->upgrade ? "RELOADING=1" : "STOPPING=1");
        for (size_t i = 0; i < s->nunits; i++)
            if (s->units[i]->state == STARTING)
                kill_role(s->units[i]);
        sup_stop(s->root->policy);
    }
}

struct watched {
    struct unit *unit;
    enum { WATCH_SIGNALS, WATCH_DEATH, WATCH_CONTROL, WATCH_ERRORS } what;
};

static void turn(struct supervisor *s)
{
    struct pollfd fds[1 + 3 * UNITS_MAX];
    struct watched who[1 + 3 * UNITS_MAX];
    size_t n = 0;
    fds[n] = (struct pollfd){.fd = s->signals, .events = POLLIN};
    who[n++] = (struct watched){.what = WATCH_SIGNALS};
    for (size_t i = 0; i < s->nunits; i++) {
        const struct process *p = &s->units[i]->process;
        const int each[] = {p->control, p->errors, p->pidfd}; /* last words before death */
        for (int k = 0; k < 3; k++)
            if (p->pid && each[k] >= 0) {
                fds[n] = (struct pollfd){.fd = each[k], .events = POLLIN};
                who[n++] = (struct watched){s->units[i], k == 0 ? WATCH_CONTROL : k == 1 ? WATCH_ERRORS : WATCH_DEATH};
            }
    }
    if (poll(fds, n, wait_ms(s)) < 0 && errno != EINTR)
        PANIC("poll: %s", strerror(errno));
    s->turns++;
    for (size_t i = 0; i < n && !s->ended; i++) {
        struct unit *u = who[i].unit;
        if (!fds[i].revents || (u && u->started_turn == s->turns)) /* started just now: its descriptors are others */
            continue;
        if (who[i].what == WATCH_SIGNALS)
            on_signal(s);
        else if (who[i].what == WATCH_CONTROL && u->process.control == fds[i].fd)
            hear(u);
        else if (who[i].what == WATCH_ERRORS && u->process.errors == fds[i].fd)
            process_read_errors(&u->process);
        else if (who[i].what == WATCH_DEATH && u->process.pidfd == fds[i].fd)
            died(u);
    }
    if (!s->ended)
        fire_due(s);
    for (size_t i = s->nunits; i-- > 0 && !s->ended;) /* the innermost first */
        if (s->units[i]->finished)
            tell_parent(s->units[i]);
}

static struct unit *build(struct supervisor *s, const struct node_spec *spec, struct unit *parent, size_t index)
{
    struct unit *u = calloc(1, sizeof *u);
    CHECK(u && s->nunits < UNITS_MAX);
    s->units[s->nunits++] = u;
    *u = (struct unit){.s = s, .spec = spec, .parent = parent, .index = index};
    u->process = (struct process){.pidfd = -1, .control = -1, .errors = -1};
    if (spec->role)
        return u;
    u->children = calloc(spec->nchildren, sizeof(struct unit *));
    u->specs = calloc(spec->nchildren, sizeof *u->specs);
    CHECK(u->children && u->specs);
    for (size_t i = 0; i < spec->nchildren; i++) {
        const struct node_spec *c = &spec->children[i];
        u->specs[i] = (struct sup_child_spec){.id = c->name, .restart = c->restart, .significant = c->significant};
        u->children[i] = build(s, c, u, i);
    }
    return u;
}

enum rc supervisor_run(const struct supervisor_options *o, enum supervisor_end *ret, struct err *err)
{
    static struct supervisor s; /* one a process */
    sigset_t set;
    sigemptyset(&set);
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGCHLD};
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        sigaddset(&set, signals[i]);
    CHECK(!s.o && !o->root->role);
    s.o = o;
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    s.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (s.signals < 0)
        return err_set(err, RC_IO, "signalfd: %s", strerror(errno));
    s.root = build(&s, o->root, NULL, 0);
    start_group(s.root);
    while (!s.ended)
        turn(&s);
    close(s.signals);
    for (size_t i = 0; i < s.nunits; i++) {
        sup_free(s.units[i]->policy);
        free(s.units[i]->children);
        free(s.units[i]->specs);
        free(s.units[i]);
    }
    *ret = s.end;
    return RC_OK;
}
