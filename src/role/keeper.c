/* Calls live in one map by key, attempt and phase, whatever their state:
 *
 *   WAITING ──room──▶ RUNNING ──done──▶ KEPT ──KEPT message, or the run is forgotten──▶ gone
 *
 * A call is attached to the newest link that asked for it, under that link's number; a link that ends detaches its
 * calls and stops none. */
#include "role/keeper.h"

#include "base/fault.h"
#include "base/log.h"
#include "base/map.h"
#include "base/panic.h"
#include "base/rng.h"
#include "data/json.h"
#include "role/channel.h"

#include <stdio.h>
#include <stdlib.h>

enum call_state { WAITING, RUNNING, KEPT };
struct held {
    struct keeper *keeper;
    struct held *prev, *next; /* all, in order of arrival */
    struct arena arena;
    struct val body;
    struct keeper_call call;
    enum call_state state;
    bool cancelled, forgotten;
    char name[80];   /* key, attempt and phase: its place in the map */
    uint64_t number; /* of the link; 0: attached to none */
    struct buf reply;
};

/* Runs of which something is known here: so that they can be named when the engine has died before it said FORGET. */
struct kept_run {
    size_t calls;
    size_t n;
    char id[];
};

struct keeper {
    struct ev_loop *loop;
    char life[33];
    const struct keeper_ops *ops;
    void *ctx;
    struct channel *channel;
    struct map calls, numbers; /* by name; by number of the present link */
    struct map runs;           /* id -> kept_run */
    struct held *first, *last;
    size_t waiting, running, kept_bytes;
    uint64_t next_id;
};

static struct str number_key(const uint64_t *n)
{
    return str_n((const char *)n, sizeof *n);
}

static void detach(struct held *h)
{
    if (h->number)
        map_del(&h->keeper->numbers, number_key(&h->number));
    h->number = 0;
}

static void held_free(struct held *h)
{
    struct keeper *k = h->keeper;
    detach(h);
    map_del(&k->calls, str_c(h->name));
    *(h->prev ? &h->prev->next : &k->first) = h->next;
    *(h->next ? &h->next->prev : &k->last) = h->prev;
    ((struct kept_run *)map_get(&k->runs, h->call.run))->calls--;
    k->waiting -= h->state == WAITING;
    if (h->state == KEPT)
        k->kept_bytes -= h->reply.n;
    buf_done(&h->reply);
    arena_done(&h->arena);
    free(h);
}

static void attach(struct held *h, uint64_t number)
{
    detach(h);
    h->number = number;
    map_put(&h->keeper->numbers, number_key(&h->number), h);
}

static void tell(struct held *h)
{
    struct keeper *k = h->keeper;
    if (k->channel && h->number)
        channel_send(k->channel, FRAME_REPLY, h->number, buf_str(&h->reply));
}

static void start_more(struct keeper *k);

/* A run that was forgotten, once the last of its calls has ended. */
static void forget(struct keeper *k, struct str run)
{
    struct kept_run *r = map_get(&k->runs, run);
    if (!r || r->calls)
        return;
    map_del(&k->runs, run);
    if (k->ops->forget)
        k->ops->forget(k->ctx, str_n(r->id, r->n));
    free(r);
}

static void count_run(struct keeper *k, struct str run)
{
    struct kept_run *r = map_get(&k->runs, run);
    if (!r) {
        r = calloc(1, sizeof *r + run.n + 1);
        CHECK(r);
        r->n = run.n;
        if (run.n)
            memcpy(r->id, run.p, run.n);
        map_put(&k->runs, str_n(r->id, r->n), r);
    }
    r->calls++;
}

/* An outcome that does not fit is an error, which does. */
static void write_outcome(struct buf *b, bool ok, const struct val *result)
{
    buf_init(b, frame_body_max(FRAME_REPLY));
    buf_addz(b, ok ? "{\"ok\":" : "{\"error\":");
    json_write(b, result, JSON_COMPACT);
    buf_addc(b, '}');
    if (!b->overflow)
        return;
    buf_clear(b);
    buf_addz(b, "{\"error\":{\"class\":\"limit\",\"code\":\"too_large\",\"message\":\"the outcome is too large to be "
                "passed on\"}}");
}

static void on_done(void *ctx, uint64_t id, bool ok, const struct val *result)
{
    struct held *h = ctx;
    struct keeper *k = h->keeper;
    CHECK(h->call.id == id && h->state == RUNNING);
    k->running--;
    h->state = KEPT;
    if (h->forgotten) {
        struct arena a = {0};
        struct str run = arena_str(&a, h->call.run);
        held_free(h);
        forget(k, run);
        arena_done(&a);
    } else {
        write_outcome(&h->reply, ok, result);
        k->kept_bytes += h->reply.n;
        tell(h);
    }
    start_more(k);
}

static void start_more(struct keeper *k)
{
    for (struct held *h = k->first, *next; h && k->waiting && k->kept_bytes < KEEP_BYTES; h = next) {
        next = h->next;
        if (h->state != WAITING)
            continue;
        k->waiting--;
        k->running++;
        h->state = RUNNING;
        k->ops->start(k->ctx, &h->call, on_done, h);
    }
}

/* ---- what the engine says ---- */

static struct held *add(struct keeper *k, const char *name, struct arena *arena, const struct val *body)
{
    struct held *h = calloc(1, sizeof *h);
    CHECK(h);
    h->keeper = k;
    h->arena = *arena; /* with the body in it */
    h->body = *body;
    snprintf(h->name, sizeof h->name, "%s", name);
    h->call = (struct keeper_call){.id = ++k->next_id,
                                   .kind = (enum effect_kind)val_get_int(&h->body, STR("kind"), 0),
                                   .attempt = (uint32_t)val_get_int(&h->body, STR("attempt"), 1),
                                   .run = val_get_str(&h->body, STR("run"), STR("")),
                                   .path = val_get_str(&h->body, STR("path"), STR("")),
                                   .key = val_get_str(&h->body, STR("key"), STR("")),
                                   .request = VAL_GET(&h->body, "request"),
                                   .where = VAL_GET(&h->body, "where")};
    h->prev = k->last;
    *(k->last ? &k->last->next : &k->first) = h;
    k->last = h;
    map_put(&k->calls, str_c(h->name), h);
    count_run(k, h->call.run);
    k->waiting++;
    return h;
}

/* What is said of a call that is not known. FRAME_TYPE_COUNT: nothing, it is to be started. */
static enum frame_type unknown_call(const struct keeper *k, const struct val *body)
{
    struct str life = val_get_str(body, STR("life"), STR(""));
    bool adopt = val_get_bool(body, STR("adopt"), false), own = str_is(life, k->life);
    if (adopt)
        return own ? FRAME_NEVER : FRAME_UNKNOWN;
    return life.n && !own ? FRAME_NEVER : FRAME_TYPE_COUNT;
}

/* {run, path, key, attempt, kind, adopt, life, request, where} */
static void on_call(struct keeper *k, uint64_t number, struct str text)
{
    struct arena a = {0};
    struct val body;
    struct err err;
    char name[80];
    enum rc rc = json_parse(&a, text, &JSON_LIMITS_DEFAULT, &body, &err);
    if (rc != RC_OK || !VAL_GET(&body, "request") || !k->ops->takes(val_get_int(&body, STR("kind"), -1))) {
        log_line(LOG_ERROR, "a call that cannot be read: %s", rc ? err.msg : "it is not for this role");
        channel_send(k->channel, FRAME_UNKNOWN, number, STR(""));
        arena_done(&a);
        return;
    }
    struct str key = val_get_str(&body, STR("key"), STR(""));
    /* What preparing an effect brought must not be taken for what the effect itself did. */
    struct str phase = val_get_str(VAL_GET(&body, "request"), STR("phase"), STR(""));
    snprintf(name, sizeof name, "%.*s %lld %.*s", key.n > 48 ? 48 : (int)key.n, key.p,
             (long long)val_get_int(&body, STR("attempt"), 1), phase.n > 8 ? 8 : (int)phase.n, phase.p);
    struct held *h = map_get(&k->calls, str_c(name));
    enum frame_type answer = h ? FRAME_TYPE_COUNT : unknown_call(k, &body);
    if (answer != FRAME_TYPE_COUNT) {
        channel_send(k->channel, answer, number, STR(""));
        arena_done(&a);
        return;
    }
    if (h)
        arena_done(&a);
    else
        h = add(k, name, &a, &body);
    attach(h, number);
    h->forgotten = false; /* its run goes on after all */
    if (h->state == KEPT)
        tell(h);
    start_more(k);
}

static void on_cancel(struct keeper *k, uint64_t number)
{
    struct held *h = map_get(&k->numbers, number_key(&number));
    if (!h || h->cancelled || h->state == KEPT)
        return;
    h->cancelled = true;
    if (h->state == RUNNING) {
        k->ops->cancel(k->ctx, &h->call);
        return;
    }
    struct member class = {.key = STR("class"), .val = VAL_LIT("cancelled")};
    struct val v = {.type = VAL_OBJECT, .obj = {.m = &class, .n = 1}};
    k->waiting--;
    k->running++;
    h->state = RUNNING;
    on_done(h, h->call.id, false, &v);
}

/* What still runs of it is stopped; the engine does not wait for that. */
static void on_forget(struct keeper *k, struct str run)
{
    for (struct held *h = k->first, *next; h; h = next) {
        next = h->next;
        if (!str_eq(h->call.run, run))
            continue;
        if (h->state == RUNNING) {
            detach(h);
            if (!h->cancelled)
                k->ops->cancel(k->ctx, &h->call);
            h->cancelled = h->forgotten = true;
        } else {
            held_free(h);
        }
    }
    forget(k, run);
    start_more(k);
}

static void on_message(void *ctx, const struct frame *f)
{
    struct keeper *k = ctx;
    struct held *h;
    switch (f->type) {
    case FRAME_CALL:
        on_call(k, f->id, f->body);
        break;
    case FRAME_CANCEL:
        on_cancel(k, f->id);
        break;
    case FRAME_KEPT:
        h = map_get(&k->numbers, number_key(&f->id));
        if (h && h->state == KEPT)
            held_free(h);
        start_more(k);
        break;
    case FRAME_FORGET:
        on_forget(k, f->body);
        break;
    default:
        log_line(LOG_ERROR, "the engine sends %s, which is not for this role", frame_type_name(f->type));
    }
}

static void drop_link(struct keeper *k)
{
    channel_free(k->channel);
    k->channel = NULL;
    for (struct held *h = k->first, *next; h; h = next) {
        next = h->next;
        detach(h);
        if (h->state == KEPT && fault_hit("keeper.lose"))
            held_free(h);
    }
}

static void on_closed(void *ctx, const char *why)
{
    struct keeper *k = ctx;
    log_line(LOG_INFO, "the link to the engine has ended: %s; %zu calls run, %zu bytes are kept", why, k->running,
             k->kept_bytes);
    drop_link(k);
}

static const struct channel_ops channel_ops = {on_message, on_closed};

void keeper_link(struct keeper *k, int fd)
{
    if (k->channel && channel_drain(k->channel)) /* the engine at its other end is dead: this is all that it said */
        drop_link(k);
    k->channel = channel_new(k->loop, fd, &channel_ops, k);
    channel_send(k->channel, FRAME_LIFE, 0, str_c(k->life));
    struct map_entry *e;
    for (size_t i = 0; (e = map_next(&k->runs, &i));) {
        const struct kept_run *r = e->value;
        channel_send(k->channel, FRAME_HELD, 0, str_n(r->id, r->n));
    }
}

struct keeper *keeper_new(struct ev_loop *loop, const struct keeper_ops *ops, void *ctx)
{
    struct keeper *k = calloc(1, sizeof *k);
    CHECK(k);
    *k = (struct keeper){.loop = loop, .ops = ops, .ctx = ctx};
    snprintf(k->life, sizeof k->life, "%016llx%016llx", (unsigned long long)rng_entropy(),
             (unsigned long long)rng_entropy());
    return k;
}

void keeper_free(struct keeper *k)
{
    if (!k)
        return;
    drop_link(k);
    while (k->first)
        held_free(k->first);
    struct map_entry *e;
    for (size_t i = 0; (e = map_next(&k->runs, &i));)
        free(e->value);
    map_done(&k->runs);
    map_done(&k->calls);
    map_done(&k->numbers);
    free(k);
}
