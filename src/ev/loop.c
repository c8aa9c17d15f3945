/* The event loop over libuv.
 *
 * Every registration is a slot in a pool; its `ev_id` is the slot's index and a generation that grows each time the
 * slot is given back. A late ev_cancel() therefore finds either its own registration or nothing. Slots live in chunks
 * that never move, because libuv keeps pointers into them, and are freed only with the loop.
 *
 * One-shot registrations give their slot back before the callback runs, so a callback may cancel itself, start others
 * or free its context; code that comes after a user's callback touches no slot without looking its id up again.
 *
 * Phases of a libuv turn: timers, pending, idle, prepare, (sleep), poll, check, closing. The turn-end hook sits in
 * prepare: everything that a turn can run lies between two prepares, and the sleep is computed after it, so nothing
 * that the hook starts is slept over. Zero timers are a queue of our own, drained in idle, since libuv runs a zero
 * timer that is started by a timer in the same pass and so can starve input; what is queued in one turn becomes due
 * after the hook. While anything is queued the idle handle is active and libuv does not sleep.
 *
 * libuv allows one poll handle a descriptor. Readers and writers of one fd share a `struct watch`, found through a
 * table by fd. libuv stops a poll handle at EPOLLERR: we tell both sides (their read or write then sees the error) and
 * poll again. Regular files cannot be polled; they are reported ready each turn, as poll(2) does.
 *
 * Failure: what cannot be set up (memory, descriptors for the loop itself) panics; a process without its loop is of no
 * use. A missing pidfd falls back to looking every 10 ms. */
#include "ev/loop.h"

#include "base/panic.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

enum {
    SLOT_BITS = 24, /* of an id; the other 40 are the generation, which cannot wrap in practice */
    CHUNK_SLOTS = 64,
    CHILD_POLL_MS = 10,
};

enum kind { FREE, SOON, TIMER, FD, SIGNAL, CHILD, WORK };

struct link { /* circular, with a head that holds nothing */
    struct link *prev, *next;
};

struct slot {
    struct ev_loop *loop;
    uint64_t gen;
    uint32_t index;
    uint8_t kind;        /* enum kind */
    bool uv_timer_ready; /* `uv.timer` is initialised (and stays so while the slot waits in free_timers) */
    bool dropped;        /* WORK: cancelled while it ran */
    void *ctx;
    union {
        void (*plain)(void *ctx);
        void (*signal)(void *ctx, int signo);
        void (*child)(void *ctx, int status);
    } cb;
    union {
        struct link link;       /* SOON: in `soon` or `due` */
        struct slot *next_free; /* FREE */
        struct {                /* FD */
            struct watch *watch;
            int side;
        } fd;
        struct { /* CHILD */
            pid_t pid;
            int pidfd; /* or -1 */
            ev_id inner;
        } child;
        void (*work)(void *ctx); /* WORK */
    } u;
    union {
        uv_handle_t handle;
        uv_timer_t timer;
        uv_signal_t signal;
        uv_work_t work;
    } uv;
};

enum { READ_SIDE, WRITE_SIDE, SIDES };
static const int side_events[SIDES] = {UV_READABLE, UV_WRITABLE};

struct watch {
    uv_poll_t poll; /* first: freed through it */
    struct ev_loop *loop;
    int fd;
    bool always; /* a regular file */
    ev_id id[SIDES];
    ev_id tick; /* `always`: the zero timer that drives it */
};

struct ev_waker {
    uv_async_t async; /* first */
    struct ev_loop *loop;
    struct ev_waker *prev, *next;
    void (*cb)(void *ctx);
    void *ctx;
    bool closed;   /* the loop is done with `async` */
    bool released; /* ev_waker_free() was called: free when closed */
};

struct ev_loop {
    uv_loop_t uv;
    uv_prepare_t prepare;
    uv_idle_t idle;
    struct slot **chunks;
    size_t nchunks;
    struct slot *free_timers, *free_slots;
    struct link soon, due;
    struct watch **watches; /* by fd */
    size_t nwatches;
    struct ev_waker *wakers;
    void (*hook)(void *ctx);
    void *hook_ctx;
    bool running, stopping;
};

/* ---- slots ---- */

static void *must(void *p)
{
    if (!p)
        PANIC("out of memory");
    return p;
}

static ev_id slot_id(const struct slot *s)
{
    return s->gen << SLOT_BITS | s->index;
}

static struct slot *slot_at(const struct ev_loop *l, size_t index)
{
    return &l->chunks[index / CHUNK_SLOTS][index % CHUNK_SLOTS];
}

/* The live slot of that id, or NULL. */
static struct slot *slot_find(const struct ev_loop *l, ev_id id)
{
    size_t index = id & ((1u << SLOT_BITS) - 1);
    if (index >= l->nchunks * CHUNK_SLOTS)
        return NULL;
    struct slot *s = slot_at(l, index);
    return s->kind != FREE && slot_id(s) == id ? s : NULL;
}

static void slots_grow(struct ev_loop *l)
{
    size_t first = l->nchunks * CHUNK_SLOTS;
    CHECK(first + CHUNK_SLOTS <= 1u << SLOT_BITS);
    l->chunks = must(realloc(l->chunks, (l->nchunks + 1) * sizeof *l->chunks));
    struct slot *chunk = must(calloc(CHUNK_SLOTS, sizeof *chunk));
    l->chunks[l->nchunks++] = chunk;
    for (size_t i = CHUNK_SLOTS; i-- > 0;) {
        chunk[i].loop = l;
        chunk[i].index = (uint32_t)(first + i);
        chunk[i].gen = 1;
        chunk[i].u.next_free = l->free_slots;
        l->free_slots = &chunk[i];
    }
}

static struct slot *slot_new(struct ev_loop *l, enum kind kind, void *ctx)
{
    struct slot **list = kind == TIMER && l->free_timers ? &l->free_timers : &l->free_slots;
    if (!*list)
        slots_grow(l);
    struct slot *s = *list;
    *list = s->u.next_free;
    s->kind = (uint8_t)kind;
    s->ctx = ctx;
    s->dropped = false;
    return s;
}

/* The id dies now; the slot may still have a uv handle to close. */
static void slot_retire(struct slot *s)
{
    s->kind = FREE;
    s->gen++;
}

static void slot_recycle(struct slot *s)
{
    struct slot **list = s->uv_timer_ready ? &s->loop->free_timers : &s->loop->free_slots;
    s->u.next_free = *list;
    *list = s;
}

static void slot_closed(uv_handle_t *h)
{
    slot_recycle(h->data);
}

/* ---- zero timers ---- */

static void link_init(struct link *head)
{
    head->prev = head->next = head;
}

static void link_push(struct link *head, struct link *n)
{
    n->prev = head->prev;
    n->next = head;
    head->prev->next = n;
    head->prev = n;
}

static void link_del(struct link *n)
{
    n->prev->next = n->next;
    n->next->prev = n->prev;
}

static struct slot *link_slot(struct link *n)
{
    return (struct slot *)(void *)((char *)n - offsetof(struct slot, u.link));
}

static void on_idle(uv_idle_t *idle)
{
    struct ev_loop *l = idle->data;
    while (l->due.next != &l->due) {
        struct slot *s = link_slot(l->due.next);
        link_del(&s->u.link);
        slot_retire(s);
        void (*cb)(void *) = s->cb.plain;
        void *ctx = s->ctx;
        slot_recycle(s);
        cb(ctx);
    }
    if (l->soon.next == &l->soon)
        uv_idle_stop(&l->idle);
}

static void on_prepare(uv_prepare_t *prepare)
{
    struct ev_loop *l = prepare->data;
    if (l->hook)
        l->hook(l->hook_ctx);
    while (l->soon.next != &l->soon) {
        struct link *n = l->soon.next;
        link_del(n);
        link_push(&l->due, n);
    }
}

/* ---- timers ---- */

static void on_timer(uv_timer_t *timer)
{
    struct slot *s = timer->data;
    void (*cb)(void *) = s->cb.plain;
    void *ctx = s->ctx;
    slot_retire(s);
    slot_recycle(s);
    cb(ctx);
}

ev_id ev_timer(struct ev_loop *l, int64_t ms, void (*cb)(void *ctx), void *ctx)
{
    struct slot *s = slot_new(l, ms > 0 ? TIMER : SOON, ctx);
    s->cb.plain = cb;
    if (s->kind == SOON) {
        link_push(&l->soon, &s->u.link);
        uv_idle_start(&l->idle, on_idle);
        return slot_id(s);
    }
    if (!s->uv_timer_ready) {
        CHECK(uv_timer_init(&l->uv, &s->uv.timer) == 0);
        s->uv.timer.data = s;
        s->uv_timer_ready = true;
    }
    /* libuv counts from the start of its turn; count from now. (Moving libuv's own clock here instead would let timers
     * that restart one another starve the rest of the turn.) */
    uint64_t now = uv_hrtime() / 1000000, base = uv_now(&l->uv);
    CHECK(uv_timer_start(&s->uv.timer, on_timer, (uint64_t)ms + (now > base ? now - base : 0), 0) == 0);
    return slot_id(s);
}

/* ---- descriptors ---- */

static int watch_mask(const struct watch *w)
{
    return (w->id[READ_SIDE] ? UV_READABLE : 0) | (w->id[WRITE_SIDE] ? UV_WRITABLE : 0);
}

static void watch_closed(uv_handle_t *h)
{
    free(h);
}

static void watch_free(void *w)
{
    free(w);
}

static void watch_fire(struct watch *w, int events)
{
    ev_id ids[SIDES] = {w->id[READ_SIDE], w->id[WRITE_SIDE]};
    for (int side = 0; side < SIDES; side++) {
        struct slot *s = events & side_events[side] ? slot_find(w->loop, ids[side]) : NULL;
        if (s)
            s->cb.plain(s->ctx);
    }
}

static void on_poll(uv_poll_t *poll, int status, int events);

/* Polls for what is still wanted; the last one out closes it. `w` stays readable until the turn's closing phase. */
static void watch_update(struct watch *w)
{
    int mask = watch_mask(w);
    if (mask) {
        if (!w->always)
            CHECK(uv_poll_start(&w->poll, mask, on_poll) == 0);
        return;
    }
    w->loop->watches[w->fd] = NULL;
    if (!w->always)
        uv_close((uv_handle_t *)&w->poll, watch_closed);
    else {
        ev_cancel(w->loop, w->tick);
        w->tick = ev_timer(w->loop, 0, watch_free, w); /* it may be on the stack of watch_fire() */
    }
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct watch *w = poll->data;
    watch_fire(w, status < 0 ? UV_READABLE | UV_WRITABLE : events);
    if (status < 0 && watch_mask(w))
        watch_update(w);
}

static void on_tick(void *ctx)
{
    struct watch *w = ctx;
    w->tick = ev_timer(w->loop, 0, on_tick, w);
    watch_fire(w, UV_READABLE | UV_WRITABLE);
}

static struct watch *watch_get(struct ev_loop *l, int fd)
{
    CHECK(fd >= 0);
    if ((size_t)fd >= l->nwatches) {
        size_t n = (size_t)fd + 32;
        l->watches = must(realloc(l->watches, n * sizeof *l->watches));
        memset(l->watches + l->nwatches, 0, (n - l->nwatches) * sizeof *l->watches);
        l->nwatches = n;
    }
    struct watch *w = l->watches[fd];
    if (w)
        return w;
    w = must(calloc(1, sizeof *w));
    w->loop = l;
    w->fd = fd;
    int rc = uv_poll_init(&l->uv, &w->poll, fd);
    if (rc == UV_EPERM) {
        w->always = true;
        w->tick = ev_timer(l, 0, on_tick, w);
    } else if (rc)
        PANIC("cannot watch descriptor %d: %s", fd, uv_strerror(rc));
    w->poll.data = w;
    l->watches[fd] = w;
    return w;
}

static ev_id watch_add(struct ev_loop *l, int fd, int side, void (*cb)(void *ctx), void *ctx)
{
    struct watch *w = watch_get(l, fd);
    CHECK(!w->id[side]);
    struct slot *s = slot_new(l, FD, ctx);
    s->cb.plain = cb;
    s->u.fd.watch = w;
    s->u.fd.side = side;
    w->id[side] = slot_id(s);
    watch_update(w);
    return slot_id(s);
}

ev_id ev_readable(struct ev_loop *l, int fd, void (*cb)(void *ctx), void *ctx)
{
    return watch_add(l, fd, READ_SIDE, cb, ctx);
}

ev_id ev_writable(struct ev_loop *l, int fd, void (*cb)(void *ctx), void *ctx)
{
    return watch_add(l, fd, WRITE_SIDE, cb, ctx);
}

/* ---- signals ---- */

static void on_signal(uv_signal_t *signal, int signo)
{
    struct slot *s = signal->data;
    s->cb.signal(s->ctx, signo);
}

ev_id ev_signal(struct ev_loop *l, int signo, void (*cb)(void *ctx, int signo), void *ctx)
{
    struct slot *s = slot_new(l, SIGNAL, ctx);
    s->cb.signal = cb;
    CHECK(uv_signal_init(&l->uv, &s->uv.signal) == 0);
    s->uv.signal.data = s;
    int rc = uv_signal_start(&s->uv.signal, on_signal, signo);
    if (rc)
        PANIC("cannot watch signal %d: %s", signo, uv_strerror(rc));
    uv_unref(&s->uv.handle);
    return slot_id(s);
}

/* ---- children ---- */

static void child_release(struct slot *s)
{
    ev_cancel(s->loop, s->u.child.inner);
    if (s->u.child.pidfd >= 0)
        close(s->u.child.pidfd);
    slot_retire(s);
    slot_recycle(s);
}

static void on_child(void *ctx)
{
    struct slot *s = ctx;
    int status;
    pid_t got;
    while ((got = waitpid(s->u.child.pid, &status, WNOHANG)) < 0 && errno == EINTR)
        ;
    if (got == 0) {
        if (s->u.child.pidfd < 0)
            s->u.child.inner = ev_timer(s->loop, CHILD_POLL_MS, on_child, s);
        return;
    }
    void (*cb)(void *, int) = s->cb.child;
    void *user = s->ctx;
    child_release(s);
    cb(user, got < 0 ? -1 : status);
}

ev_id ev_child(struct ev_loop *l, pid_t pid, void (*cb)(void *ctx, int status), void *ctx)
{
    CHECK(pid > 0);
    struct slot *s = slot_new(l, CHILD, ctx);
    s->cb.child = cb;
    s->u.child.pid = pid;
    s->u.child.pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (s->u.child.pidfd >= 0)
        s->u.child.inner = ev_readable(l, s->u.child.pidfd, on_child, s);
    else
        s->u.child.inner = ev_timer(l, 0, on_child, s);
    return slot_id(s);
}

/* ---- work ---- */

static void on_work(uv_work_t *work)
{
    struct slot *s = work->data;
    s->u.work(s->ctx);
}

static void on_worked(uv_work_t *work, int status)
{
    struct slot *s = work->data;
    void (*cb)(void *) = s->cb.plain;
    void *ctx = s->ctx;
    bool dropped = s->dropped || status == UV_ECANCELED;
    if (!dropped)
        slot_retire(s);
    slot_recycle(s);
    if (!dropped)
        cb(ctx);
}

ev_id ev_work(struct ev_loop *l, void (*work)(void *ctx), void (*done)(void *ctx), void *ctx)
{
    struct slot *s = slot_new(l, WORK, ctx);
    s->cb.plain = done;
    s->u.work = work;
    s->uv.work.data = s;
    CHECK(uv_queue_work(&l->uv, &s->uv.work, on_work, on_worked) == 0);
    return slot_id(s);
}

/* ---- cancel ---- */

void ev_cancel(struct ev_loop *l, ev_id id)
{
    struct slot *s = slot_find(l, id);
    if (!s)
        return;
    enum kind kind = s->kind;
    if (kind == CHILD) {
        child_release(s);
        return;
    }
    slot_retire(s);
    switch (kind) {
    case SOON:
        link_del(&s->u.link);
        slot_recycle(s);
        if (l->soon.next == &l->soon && l->due.next == &l->due)
            uv_idle_stop(&l->idle);
        break;
    case TIMER:
        uv_timer_stop(&s->uv.timer);
        slot_recycle(s);
        break;
    case FD: {
        struct watch *w = s->u.fd.watch;
        w->id[s->u.fd.side] = 0;
        slot_recycle(s);
        watch_update(w);
        break;
    }
    case SIGNAL:
        uv_close(&s->uv.handle, slot_closed);
        break;
    case WORK: /* on_worked() gives the slot back, whether or not the work could still be prevented */
        s->dropped = true;
        uv_cancel((uv_req_t *)&s->uv.work);
        break;
    case CHILD:
    case FREE:
        break;
    }
}

/* ---- wakers ---- */

static void on_wake(uv_async_t *async)
{
    struct ev_waker *w = (struct ev_waker *)(void *)async;
    w->cb(w->ctx);
}

static void waker_closed(uv_handle_t *h)
{
    struct ev_waker *w = (struct ev_waker *)(void *)h;
    w->closed = true;
    if (w->released)
        free(w);
}

struct ev_waker *ev_waker_new(struct ev_loop *l, void (*cb)(void *ctx), void *ctx)
{
    struct ev_waker *w = must(calloc(1, sizeof *w));
    int rc = uv_async_init(&l->uv, &w->async, on_wake);
    if (rc)
        PANIC("cannot make a waker: %s", uv_strerror(rc));
    w->loop = l;
    w->cb = cb;
    w->ctx = ctx;
    w->next = l->wakers;
    if (w->next)
        w->next->prev = w;
    l->wakers = w;
    return w;
}

void ev_wake(struct ev_waker *w)
{
    uv_async_send(&w->async);
}

static void waker_detach(struct ev_waker *w)
{
    if (w->prev)
        w->prev->next = w->next;
    else
        w->loop->wakers = w->next;
    if (w->next)
        w->next->prev = w->prev;
    w->loop = NULL;
    uv_close((uv_handle_t *)&w->async, waker_closed);
}

void ev_waker_free(struct ev_waker *w)
{
    if (!w)
        return;
    w->released = true;
    if (w->loop)
        waker_detach(w);
    else if (w->closed)
        free(w);
}

/* ---- the loop ---- */

struct ev_loop *ev_loop_new(void)
{
    struct ev_loop *l = must(calloc(1, sizeof *l));
    int rc = uv_loop_init(&l->uv);
    if (rc)
        PANIC("cannot make an event loop: %s", uv_strerror(rc));
    link_init(&l->soon);
    link_init(&l->due);
    uv_idle_init(&l->uv, &l->idle);
    l->idle.data = l;
    uv_prepare_init(&l->uv, &l->prepare);
    l->prepare.data = l;
    uv_prepare_start(&l->prepare, on_prepare);
    uv_unref((uv_handle_t *)&l->prepare);
    return l;
}

static void check_closing(uv_handle_t *h, void *arg)
{
    (void)arg;
    if (!uv_is_closing(h))
        PANIC("a %s handle is open at the end of its loop", uv_handle_type_name(h->type));
}

void ev_loop_free(struct ev_loop *l)
{
    if (!l)
        return;
    CHECK(!l->running);
    l->hook = NULL;
    /* Closing a watch may start a zero timer that frees it: descriptors first, and that timer is not cancelled. */
    for (size_t i = 0; i < l->nchunks * CHUNK_SLOTS; i++)
        if (slot_at(l, i)->kind == CHILD || slot_at(l, i)->kind == FD)
            ev_cancel(l, slot_id(slot_at(l, i)));
    for (size_t i = 0; i < l->nchunks * CHUNK_SLOTS; i++) {
        struct slot *s = slot_at(l, i);
        if (s->kind != FREE && !(s->kind == SOON && s->cb.plain == watch_free))
            ev_cancel(l, slot_id(s));
    }
    for (size_t i = 0; i < l->nchunks * CHUNK_SLOTS; i++)
        if (slot_at(l, i)->uv_timer_ready)
            uv_close(&slot_at(l, i)->uv.handle, NULL);
    while (l->wakers)
        waker_detach(l->wakers);
    uv_close((uv_handle_t *)&l->prepare, NULL);
    while (l->due.next != &l->due || l->soon.next != &l->soon) {
        struct link *n = l->due.next != &l->due ? l->due.next : l->soon.next;
        link_del(n);
        watch_free(link_slot(n)->ctx);
    }
    uv_close((uv_handle_t *)&l->idle, NULL);
    uv_walk(&l->uv, check_closing, NULL);
    /* Waits for the work that runs. A stop that came too late for ev_run() makes the first call return at once. */
    while (uv_run(&l->uv, UV_RUN_DEFAULT) != 0)
        ;
    CHECK(uv_loop_close(&l->uv) == 0);
    for (size_t i = 0; i < l->nchunks; i++)
        free(l->chunks[i]);
    free(l->chunks);
    free(l->watches);
    free(l);
}

void ev_run(struct ev_loop *l)
{
    CHECK(!l->running);
    l->running = true;
    do {
        uv_run(&l->uv, UV_RUN_DEFAULT);
        on_prepare(&l->prepare); /* the last turn's end; it may start something */
    } while (!l->stopping && uv_loop_alive(&l->uv));
    l->stopping = l->running = false;
}

void ev_stop(struct ev_loop *l)
{
    l->stopping = true;
    uv_stop(&l->uv);
}

void *ev_uv(struct ev_loop *l)
{
    return &l->uv;
}

void ev_on_turn_end(struct ev_loop *l, void (*cb)(void *ctx), void *ctx)
{
    l->hook = cb;
    l->hook_ctx = ctx;
}
