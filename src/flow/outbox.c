/* One queue of things waiting, each with the number of the batch it waits for. Batches are numbered from 1 and become
 * durable in order, so releasing is taking from the head while its number is small enough.
 *
 * The fault point `outbox.barrier` releases effects at once: the seeded bug that crash tests must catch. */
#include "flow/outbox.h"

#include "base/fault.h"
#include "base/panic.h"
#include "data/val.h"

#include <stdlib.h>

enum waiting_kind { WAIT_EFFECT, WAIT_EVENT, WAIT_CANCELLED };

struct waiting {
    struct waiting *next;
    enum waiting_kind kind;
    uint64_t batch;
    struct arena arena;
    struct effect effect;
    struct event event;
    struct val data;
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

static void *xcalloc(size_t n)
{
    void *p = calloc(1, n);
    if (!p)
        PANIC("out of memory (%zu bytes)", n);
    return p;
}

struct outbox *outbox_new(const struct outbox_ops *ops, void *ctx)
{
    struct outbox *o = xcalloc(sizeof *o);
    *o = (struct outbox){.ops = ops, .ctx = ctx};
    o->records_end = &o->records;
    o->tail = &o->head;
    return o;
}

static void waiting_free(struct waiting *w)
{
    arena_done(&w->arena);
    free(w);
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
    struct pending *p = xcalloc(sizeof *p + r->path.n + r->data.n);
    p->record = *r;
    memcpy(p->bytes, r->path.p, r->path.n);
    memcpy(p->bytes + r->path.n, r->data.p, r->data.n);
    p->record.path = str_n(p->bytes, r->path.n);
    p->record.data = str_n(p->bytes + r->path.n, r->data.n);
    *o->records_end = p;
    o->records_end = &p->next;
}

static struct waiting *wait_for(struct outbox *o, enum waiting_kind kind)
{
    struct waiting *w = xcalloc(sizeof *w);
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
    struct waiting *w = wait_for(o, WAIT_EFFECT);
    w->effect = *e;
    w->effect.path = arena_str(&w->arena, e->path);
    w->effect.key = arena_str(&w->arena, e->key);
    if (fault_hit("outbox.barrier"))
        jump_queue(o, w);
}

void outbox_event(struct outbox *o, const struct event *e)
{
    struct waiting *w = wait_for(o, WAIT_EVENT);
    w->event = *e;
    w->event.path = arena_str(&w->arena, e->path);
    w->event.type = arena_str(&w->arena, e->type);
    w->event.detail = arena_str(&w->arena, e->detail);
    if (e->data) {
        w->data = val_copy(&w->arena, e->data);
        w->event.data = &w->data;
    }
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
