/* One queue of things waiting, each with the number of the batch it waits for. Batches are numbered from 1 and become
 * durable in order, so releasing is taking from the head while its number is small enough.
 *
 * The fault point `outbox.barrier` releases effects at once: the seeded bug that crash tests must catch. */
#include "flow/outbox.h"

#include "base/fault.h"
#include "base/panic.h"
#include "data/val.h"

#include <stdlib.h>

enum waiting_kind { WAIT_EFFECT, WAIT_EVENT, WAIT_CANCELLED, WAIT_LEFT };

struct waiting {
    struct waiting *next;
    enum waiting_kind kind;
    uint64_t batch;
    union {
        struct effect effect;
        struct event event;
        uint64_t turn;
    };
    char text[]; /* what they point to; a large result is not copied, for its box cannot change */
};
struct pending {
    struct pending *next;
    struct record record;
    char bytes[];
};
struct outbox {
    const struct outbox_ops *ops;
    void *ctx;
    struct pending *records, **records_end;
    struct waiting *head, **tail;
    uint64_t sealed, durable;
    bool releasing;
};

static void *xmalloc(size_t n)
{
    void *p = malloc(n);
    if (!p)
        PANIC("out of memory (%zu bytes)", n);
    return p;
}

struct outbox *outbox_new(const struct outbox_ops *ops, void *ctx)
{
    struct outbox *o = xmalloc(sizeof *o);
    *o = (struct outbox){.ops = ops, .ctx = ctx};
    o->records_end = &o->records;
    o->tail = &o->head;
    return o;
}

static void waiting_free(struct waiting *w)
{
    if (w->kind == WAIT_EVENT)
        box_unref(w->event.box);
    free(w);
}

static struct str put(char **at, struct str s)
{
    char *p = *at;
    if (s.n)
        memcpy(p, s.p, s.n);
    p[s.n] = 0;
    *at += s.n + 1;
    return str_n(p, s.n);
}

void outbox_free(struct outbox *o)
{
    if (!o)
        return;
    while (o->records) {
        struct pending *p = o->records;
        o->records = p->next;
        free(p);
    }
    while (o->head) {
        struct waiting *w = o->head;
        o->head = w->next;
        waiting_free(w);
    }
    free(o);
}

void outbox_append(struct outbox *o, const struct record *r)
{
    struct pending *p = xmalloc(sizeof *p + r->path.n + r->data.n + 2);
    char *at = p->bytes;
    p->next = NULL;
    p->record = *r;
    p->record.path = put(&at, r->path);
    p->record.data = put(&at, r->data);
    *o->records_end = p;
    o->records_end = &p->next;
}

static struct waiting *wait_for(struct outbox *o, enum waiting_kind kind, size_t text)
{
    struct waiting *w = xmalloc(sizeof *w + text);
    w->next = NULL;
    w->kind = kind;
    w->batch = o->sealed + (o->records != NULL);
    *o->tail = w;
    o->tail = &w->next;
    return w;
}

/* The seeded bug: what should wait goes first. */
static void jump_queue(struct outbox *o, struct waiting *w)
{
    struct waiting **at = &o->head;
    while (*at != w)
        at = &(*at)->next;
    *at = NULL;
    o->tail = at;
    w->batch = 0;
    w->next = o->head;
    o->head = w;
    if (o->tail == &o->head)
        o->tail = &w->next;
}

void outbox_effect(struct outbox *o, const struct effect *e)
{
    struct waiting *w = wait_for(o, WAIT_EFFECT, e->path.n + e->key.n + e->life.n + 3);
    char *at = w->text;
    w->effect = *e;
    w->effect.path = put(&at, e->path);
    w->effect.key = put(&at, e->key);
    w->effect.life = put(&at, e->life);
    if (fault_hit("outbox.barrier"))
        jump_queue(o, w);
}

void outbox_event(struct outbox *o, const struct event *e)
{
    struct waiting *w = wait_for(o, WAIT_EVENT, e->path.n + e->type.n + e->detail.n + 3);
    char *at = w->text;
    w->event = *e;
    w->event.path = put(&at, e->path);
    w->event.type = put(&at, e->type);
    w->event.detail = put(&at, e->detail);
    if (e->box)
        box_ref(e->box);
}

void outbox_leave(struct outbox *o, uint64_t turn)
{
    wait_for(o, WAIT_LEFT, 0)->turn = turn;
}

bool outbox_cancel(struct outbox *o, uint64_t effect)
{
    for (struct waiting *w = o->head; w; w = w->next)
        if (w->kind == WAIT_EFFECT && w->effect.id == effect) {
            w->kind = WAIT_CANCELLED;
            return true;
        }
    return false;
}

uint64_t outbox_seal(struct outbox *o, void (*take)(void *ctx, const struct record *r), void *ctx)
{
    if (!o->records)
        return 0;
    while (o->records) {
        struct pending *p = o->records;
        take(ctx, &p->record);
        o->records = p->next;
        free(p);
    }
    o->records_end = &o->records;
    return ++o->sealed;
}

void outbox_release(struct outbox *o)
{
    if (o->releasing)
        return; /* a callback asked for more: the loop below sees it */
    o->releasing = true;
    while (o->head && o->head->batch <= o->durable) {
        struct waiting *w = o->head;
        o->head = w->next;
        if (!o->head)
            o->tail = &o->head;
        if (w->kind == WAIT_EFFECT)
            o->ops->start(o->ctx, &w->effect);
        else if (w->kind == WAIT_EVENT)
            o->ops->show(o->ctx, &w->event);
        else if (w->kind == WAIT_LEFT)
            o->ops->left(o->ctx, w->turn);
        else
            o->ops->cancelled(o->ctx, w->effect.id);
        waiting_free(w);
    }
    o->releasing = false;
}

void outbox_committed(struct outbox *o, uint64_t batch)
{
    CHECK(batch == o->durable + 1 && batch <= o->sealed);
    o->durable = batch;
    outbox_release(o);
}

uint64_t outbox_pending(const struct outbox *o)
{
    return o->sealed - o->durable;
}
bool outbox_empty(const struct outbox *o)
{
    return !o->records && !o->head && o->sealed == o->durable;
}
