/* Frames that wait for something from outside: a person's choice, a signal, a time.
 *
 *   enter ─┬─ the journal has the answer ────────────────────────────────────────────▶ end
 *          ├─ it has an intent: what for and until when stands there ─┐
 *          └─ nothing ──▶ INTENT (the deadline is fixed here) ────────┤
 *                                                                     ▼
 *                                          AWAITING (a time: WAITING) ──▶ RESULT ──▶ end
 *                                                answer, signal, deadline
 *
 * A waiting frame holds no effect, no process and no slot: it is an entry in a list of the run, and a timer if there is
 * a deadline. Deadlines are points in time, not durations, so a resumed run waits only for what is left, and one that
 * is over while nobody carries the run on is noticed by the next life.
 *
 * Signals are recorded when they arrive and matched afterwards, whenever the run has nothing else to do: the oldest
 * signal of a name goes to the frame that began to wait for that name first (and whose schema it fits). The order of
 * the waits is that of their intents, in every life; because a resumed run meets its frames in the order of the
 * workflow, nothing is matched before all of them are met. What was taken is said by the RESULT of the wait alone, so a
 * signal is taken once, by whichever wait's result is durable.
 *
 * A machine that sleeps or whose clock is set tells no timer, so no timer is set for longer than RECHECK_MS. */
#include "flow/wait.h"

#include "base/fault.h"
#include "base/panic.h"
#include "flow/run_int.h"

#include <stdlib.h>

enum { RECHECK_MS = 10 * 60 * 1000, SOON_MS = 60 * 1000 };

enum wait_kind { WAIT_TIME, WAIT_APPROVAL, WAIT_SIGNAL };

struct channel {
    struct str name;
    struct wait_state *first, *last; /* those who wait, in order */
    struct signal *signals, **signals_end;
    struct channel *next_dirty;
    bool dirty;
};

struct signal {
    struct signal *next;
    uint32_t number;
    int64_t time_ms;
    size_t bytes;
    struct box *box; /* the record's data */
};

struct wait_state {
    struct frame *frame;
    struct val wait; /* as recorded; in the frame's arena or in its past */
    enum wait_kind kind;
    int64_t until_ms;               /* INT64_MAX: none */
    uint64_t order;                 /* 0: in no list */
    struct wait_state *prev, *next; /* all */
    struct channel *channel;
    struct wait_state *cprev, *cnext; /* of the channel */
};

static struct wait_state *state_of(struct frame *f)
{
    return f->state;
}

/* ---- channels ---- */

static struct channel *channel_get(struct run *r, struct str name)
{
    struct channel *c = map_get(&r->waits.channels, name);
    if (c)
        return c;
    c = calloc(1, sizeof *c + name.n + 1);
    if (!c)
        PANIC("out of memory");
    memcpy(c + 1, name.p, name.n);
    c->name = str_n((char *)(c + 1), name.n);
    c->signals_end = &c->signals;
    map_put(&r->waits.channels, c->name, c);
    return c;
}

static void channel_dirty(struct run *r, struct channel *c)
{
    if (c->dirty)
        return;
    c->dirty = true;
    c->next_dirty = r->waits.dirty;
    r->waits.dirty = c;
}

static void channel_release(struct run *r, struct channel *c)
{
    if (c->first || c->signals || c->dirty)
        return;
    map_del(&r->waits.channels, c->name);
    free(c);
}

static void signal_free(struct run *r, struct signal *s)
{
    r->waits.nsignals--;
    r->waits.bytes -= s->bytes;
    box_unref(s->box);
    free(s);
}

/* Takes the signal behind `at` out of the channel. */
static void signal_drop(struct run *r, struct channel *c, struct signal **at)
{
    struct signal *s = *at;
    *at = s->next;
    if (!s->next)
        c->signals_end = at;
    signal_free(r, s);
}

/* ---- the list of waits ---- */

static void link_wait(struct run *r, struct wait_state *s, uint64_t order)
{
    struct waits *w = &r->waits;
    struct wait_state *after = w->last;
    s->order = order;
    while (after && after->order > order) /* only where a resumed run meets its frames in another order */
        after = after->prev;
    s->prev = after;
    s->next = after ? after->next : w->first;
    *(after ? &after->next : &w->first) = s;
    *(s->next ? &s->next->prev : &w->last) = s;
    if (s->kind == WAIT_APPROVAL) {
        w->approvals++;
        map_put(&w->by_path, s->frame->path, s->frame);
        return;
    }
    struct channel *c = channel_get(r, val_get_str(&s->wait, STR("signal"), STR("")));
    struct wait_state *before = c->last;
    while (before && before->order > order)
        before = before->cprev;
    s->channel = c;
    s->cprev = before;
    s->cnext = before ? before->cnext : c->first;
    *(before ? &before->cnext : &c->first) = s;
    *(s->cnext ? &s->cnext->cprev : &c->last) = s;
    if (c->signals)
        channel_dirty(r, c);
}

static void unlink_wait(struct frame *f)
{
    struct wait_state *s = state_of(f);
    struct waits *w = &f->run->waits;
    if (!s || !s->order)
        return;
    *(s->prev ? &s->prev->next : &w->first) = s->next;
    *(s->next ? &s->next->prev : &w->last) = s->prev;
    s->order = 0;
    if (s->kind == WAIT_APPROVAL) {
        w->approvals--;
        map_del(&w->by_path, f->path);
        return;
    }
    struct channel *c = s->channel;
    *(s->cprev ? &s->cprev->cnext : &c->first) = s->cnext;
    *(s->cnext ? &s->cnext->cprev : &c->last) = s->cprev;
    s->channel = NULL;
    channel_release(f->run, c);
}

/* ---- ends ---- */

static struct val result_data(struct frame *f, const char *key, const struct val *v, uint32_t signal)
{
    struct val_map m = val_map_new(&f->run->scratch);
    val_map_set(&m, str_c(key), *v);
    if (signal)
        VAL_MAP_SET(&m, "signal", val_int(signal));
    return val_map_done(&m);
}

/* What is too deep or too large was refused when it arrived, so what is recorded here can be. */
static void end_ok(struct frame *f, const struct val *answer, uint32_t signal)
{
    struct val data = result_data(f, "ok", answer, signal);
    run_append(f->run, RECORD_RESULT, f->path, f->attempt, &data);
    unlink_wait(f);
    frame_end(f, true, box_new(answer));
}

static void end_error(struct frame *f, enum rc rc, struct str message)
{
    struct box *e = error_box(rc, STR(""), message, f->attempt, f->parent->path);
    struct val data = result_data(f, "error", &e->val, 0);
    run_append(f->run, RECORD_RESULT, f->path, f->attempt, &data);
    unlink_wait(f);
    frame_end(f, false, e);
}

static struct val signal_answer(struct arena *a, const struct signal *s)
{
    const struct val *data = VAL_GET(&s->box->val, "data");
    struct val_map m = val_map_new(a);
    VAL_MAP_SET(&m, "data", data ? *data : val_null);
    return val_map_done(&m);
}

static bool may_take(const struct wait_state *w, const struct signal *s)
{
    struct arena scratch = {0};
    struct err err;
    const struct val *data = VAL_GET(&s->box->val, "data");
    bool fits = w->frame->status == FRAME_AWAITING && s->time_ms <= w->until_ms &&
                wait_accepts(&w->wait, data ? data : &val_null, &scratch, &err) == RC_OK;
    arena_done(&scratch);
    return fits;
}

/* True when some frame went on. */
static bool match(struct run *r, struct channel *c)
{
    bool any = false;
    for (struct signal **at = &c->signals; *at;) {
        struct wait_state *w = c->first;
        while (w && !may_take(w, *at))
            w = w->cnext;
        if (!w) {
            at = &(*at)->next;
            continue;
        }
        struct val answer = signal_answer(&r->scratch, *at);
        uint32_t number = (*at)->number;
        struct frame *f = w->frame;
        channel_dirty(r, c); /* keeps it until this loop has ended */
        end_ok(f, &answer, number);
        signal_drop(r, c, at);
        any = true;
    }
    return any;
}

bool waits_match(struct run *r)
{
    bool any = false;
    if (r->stopping)
        return false;
    while (r->waits.dirty) {
        struct channel *c = r->waits.dirty;
        any |= match(r, c);
        r->waits.dirty = c->next_dirty;
        c->dirty = false;
        channel_release(r, c);
    }
    if (r->scratch.chunk)
        arena_done(&r->scratch);
    return any;
}

/* ---- waiting ---- */

static void set_timer(struct frame *f)
{
    struct wait_state *s = state_of(f);
    int64_t left = s->until_ms - run_now(f->run);
    left = left < 0 ? 0 : left > RECHECK_MS ? RECHECK_MS : left;
    if (s->kind == WAIT_TIME)
        frame_sleep(f, left);
    else
        frame_timer_set(f, left);
}

static void tell(struct frame *f)
{
    struct wait_state *s = state_of(f);
    struct box *b = box_new(&s->wait);
    frame_event(f, EVENT_WAIT, wait_text(&s->wait, &f->run->scratch).p, b);
    box_unref(b);
}

static enum wait_kind kind_of(const struct val *wait)
{
    struct str what = val_get_str(wait, STR("for"), STR(""));
    return str_is(what, "approval") ? WAIT_APPROVAL : str_is(what, "signal") ? WAIT_SIGNAL : WAIT_TIME;
}

/* `order` as of the intent. */
static void begin(struct frame *f, uint64_t order, int64_t since_ms)
{
    struct wait_state *s = state_of(f);
    s->kind = kind_of(&s->wait);
    f->started_ms = since_ms;
    s->until_ms = val_get_int(&s->wait, STR("until_ms"), s->kind == WAIT_TIME ? 0 : INT64_MAX);
    if (s->until_ms < 0) /* no engine writes that */
        s->until_ms = 0;
    tell(f);
    if (f->run->stopping) {
        frame_park(f);
        return;
    }
    if (s->kind != WAIT_TIME) {
        frame_await(f);
        link_wait(f->run, s, order);
    }
    if (s->until_ms != INT64_MAX)
        set_timer(f);
}

static void start(struct frame *f)
{
    struct wait_state *s = state_of(f);
    struct run *r = f->run;
    int64_t timeout = val_get_int(&s->wait, STR("timeout_ms"), 0), now = run_now(r);
    if (timeout > 0 && timeout < INT64_MAX - now) {
        struct val_map m = val_map_new(&f->arena);
        val_map_merge(&m, &s->wait);
        VAL_MAP_SET(&m, "until_ms", val_int(now + timeout));
        s->wait = val_map_done(&m);
    }
    struct val_map d = val_map_new(&r->scratch);
    VAL_MAP_SET(&d, "wait", s->wait);
    struct val data = val_map_done(&d);
    struct err err;
    if (run_append_value(r, RECORD_INTENT, f->path, f->attempt, &data, &err) != RC_OK) {
        frame_end(f, false, error_box(err.rc, STR(""), str_c(err.msg), f->attempt, f->parent->path));
        return;
    }
    begin(f, r->last_seq + ++r->waits.order, now);
}

static const struct val *recorded(const struct past *p)
{
    const struct val *wait = p && p->intent ? VAL_GET(&p->intent->val, "wait") : NULL;
    return val_is(wait, VAL_OBJECT) ? wait : NULL;
}

static void enter(struct frame *f)
{
    const struct past *p = f->past;
    struct wait_state *s = state_of(f);
    const struct val *known = recorded(p);
    if (!known) {
        f->attempt = p ? p->last_attempt + 1 : 1;
        start(f);
        return;
    }
    s->wait = *known; /* the record stays as long as the run */
    f->attempt = p->last_attempt;
    if (!p->result || p->result_attempt != p->last_attempt) {
        begin(f, p->intent_seq, p->intent_ms);
        return;
    }
    const struct val *ok = VAL_GET(&p->result->val, "ok"), *error = VAL_GET(&p->result->val, "error");
    if (!ok && p->result_seq < f->run->resume_seq && p->failures == 0) { /* what failed is tried again */
        f->attempt++;
        start(f);
        return;
    }
    frame_end(f, ok != NULL, box_new(ok ? ok : error));
}

static void time_is_over(struct frame *f)
{
    struct wait_state *s = state_of(f);
    struct arena *a = &f->run->scratch;
    struct str choice = val_get_str(&s->wait, STR("on_timeout"), STR(""));
    struct val_map m = val_map_new(a);
    if (s->kind == WAIT_TIME) {
        VAL_MAP_SET(&m, "success", val_true);
        VAL_MAP_SET(&m, "until_ms", val_int(s->until_ms));
    } else if (s->kind == WAIT_APPROVAL && choice.n) {
        VAL_MAP_SET(&m, "choice", val_str(choice));
        VAL_MAP_SET(&m, "by", VAL_LIT("timeout"));
        VAL_MAP_SET(&m, "comment", VAL_LIT(""));
        VAL_MAP_SET(&m, "data", val_null);
    } else {
        double seconds = (double)val_get_int(&s->wait, STR("timeout_ms"), 0) / 1000;
        end_error(f, RC_TIMEOUT,
                  s->kind == WAIT_APPROVAL
                      ? arena_printf(a, "nobody answered within %g s", seconds)
                      : arena_printf(a, "no signal `%.*s` within %g s",
                                     STR_ARG(val_get_str(&s->wait, STR("signal"), STR(""))), seconds));
        return;
    }
    struct val v = val_map_done(&m);
    end_ok(f, &v, 0);
}

static void timer(struct frame *f)
{
    struct wait_state *s = state_of(f);
    if (run_now(f->run) < s->until_ms) {
        set_timer(f);
    } else if (s->channel && s->channel->signals && f->run->qhead) {
        frame_timer_set(f, 1); /* not all who wait may have been met yet: first those signals that came in time */
    } else {
        if (s->channel && s->channel->signals)
            match(f->run, s->channel);
        if (f->status != FRAME_ENDED)
            time_is_over(f);
    }
}

static void no_child(struct frame *f, struct frame *c)
{
    (void)c;
    PANIC("wait %.*s has no children", STR_ARG(f->path));
}

static void no_effect(struct frame *f, bool ok, const struct val *result)
{
    (void)ok, (void)result;
    PANIC("wait %.*s has no effects", STR_ARG(f->path));
}

const struct frame_ops wait_ops = {.kind = "wait",
                                   .room = sizeof(struct frame) + sizeof(struct wait_state) + 3 * ROOM_FOR_TEXTS,
                                   .enter = enter,
                                   .child_done = no_child,
                                   .effect_done = no_effect,
                                   .timer = timer,
                                   .done = unlink_wait};

struct frame *frame_wait(struct frame *parent, const char *segment, size_t tag, const struct val *wait)
{
    struct run *r = parent->run;
    struct frame *f = frame_new(r, parent, &wait_ops, path_join(&r->scratch, parent->base, segment));
    f->tag = tag;
    struct wait_state *s = ARENA_NEW(&f->arena, struct wait_state);
    s->frame = f;
    if (!recorded(f->past))
        s->wait = val_copy(&f->arena, wait);
    f->state = s;
    run_queue(f, QUEUED_ENTER);
    return f;
}

const struct val *frame_past_wait(const struct frame *f, const char *segment)
{
    const struct past *p = past_find(f->run, path_join(&f->run->scratch, f->base, segment));
    return recorded(p);
}

/* ---- answers ---- */

static enum rc may_answer(const struct run *r, struct err *err)
{
    if (r->status != RUN_RUNNING || r->cancelling)
        return err_set(err, RC_BUSY, "the run has just ended: %s", run_status_name(r->status));
    if (r->stopping)
        return err_set(err, RC_BUSY, "the run is stopping");
    return RC_OK;
}

enum rc run_answer(struct run *r, struct str path, const struct val *answer, struct err *err)
{
    CHECK_OBJ(r, RUN_MAGIC);
    struct frame *f = map_get(&r->waits.by_path, path);
    struct val v;
    enum rc rc = may_answer(r, err);
    if (rc == RC_OK && (!f || f->status != FRAME_AWAITING))
        rc = err_set(err, RC_NOT_FOUND, "nothing waits for an approval at %.*s", STR_ARG(path));
    rc = rc ? rc : wait_decide(&state_of(f)->wait, answer, run_now(r), &r->scratch, &v, err);
    if (rc == RC_OK)
        end_ok(f, &v, 0);
    if (r->scratch.chunk)
        arena_done(&r->scratch);
    return rc;
}

static void keep_signal(struct run *r, uint32_t number, int64_t time_ms, size_t bytes, struct box *box)
{
    struct signal *s = calloc(1, sizeof *s);
    if (!s)
        PANIC("out of memory");
    *s = (struct signal){.number = number, .time_ms = time_ms, .bytes = bytes, .box = box_ref(box)};
    struct channel *c = channel_get(r, val_get_str(&box->val, STR("signal"), STR("")));
    *c->signals_end = s;
    c->signals_end = &s->next;
    r->waits.nsignals++;
    r->waits.bytes += bytes;
    channel_dirty(r, c);
}

static void remember_id(struct run *r, const struct val *record)
{
    struct str id = val_get_str(record, STR("id"), STR(""));
    if (id.n && !map_get(&r->waits.ids, id))
        map_put(&r->waits.ids, arena_str(&r->arena, id), r);
}

/* Where nobody waits for the name, whoever will may still refuse it, and then leaves it to others. */
static enum rc waiters_accept(struct run *r, struct str name, const struct val *data, struct err *err)
{
    const struct channel *c = map_get(&r->waits.channels, name);
    enum rc rc = RC_OK;
    struct err other;
    for (const struct wait_state *w = c ? c->first : NULL; w; w = w->cnext) {
        enum rc one = wait_accepts(&w->wait, data, &r->scratch, rc ? &other : err);
        if (one == RC_OK)
            return RC_OK;
        rc = rc ? rc : one;
    }
    return rc;
}

static enum rc take_signal(struct run *r, struct str name, const struct val *data, struct str id, struct str by,
                           struct err *err)
{
    struct val record;
    const struct waits *w = &r->waits;
    enum rc rc = wait_signal_known(r->workflow, name, err);
    rc = rc ? rc : waiters_accept(r, name, data, err);
    rc = rc ? rc : wait_signal_record(name, data, id, by, &r->scratch, &record, err);
    if (rc == RC_OK && (w->nsignals >= WAIT_SIGNALS_MAX || w->bytes + val_weight(data) > WAIT_BYTES_MAX))
        rc = err_set(err, RC_LIMIT, "%zu signals are waiting to be taken already; expected at most %d, or %d MB",
                     w->nsignals, WAIT_SIGNALS_MAX, WAIT_BYTES_MAX >> 20);
    if (rc != RC_OK)
        return rc;
    uint32_t number = ++r->waits.numbers;
    run_append(r, RECORD_SIGNAL, STR(""), number, &record);
    struct box *box = box_new(&record);
    keep_signal(r, number, run_now(r), val_weight(data), box);
    remember_id(r, &record);
    box_unref(box);
    r->io->wake(r->io_ctx);
    return RC_OK;
}

enum rc run_signal(struct run *r, struct str name, const struct val *data, struct str id, struct str by,
                   bool *ret_known, struct err *err)
{
    CHECK_OBJ(r, RUN_MAGIC);
    *ret_known = id.n && map_get(&r->waits.ids, id);
    enum rc rc = *ret_known ? RC_OK : may_answer(r, err);
    if (rc == RC_OK && !*ret_known)
        rc = take_signal(r, name, data, id, by, err);
    if (r->scratch.chunk)
        arena_done(&r->scratch);
    return rc;
}

/* ---- the past ---- */

void waits_fold_signal(struct run *r, const struct record *rec, struct box *data)
{
    if (fault_hit("wait.lost")) /* a seeded bug for the simulation to catch, as is the next */
        return;
    if (rec->attempt > r->waits.numbers)
        r->waits.numbers = rec->attempt;
    const struct val *v = VAL_GET(&data->val, "data");
    keep_signal(r, rec->attempt, rec->time_ms, val_weight(v ? v : &val_null), data);
    remember_id(r, &data->val);
}

void waits_fold_result(struct run *r, const struct val *data)
{
    int64_t number = val_get_int(data, STR("signal"), 0);
    if (number <= 0 || fault_hit("wait.twice"))
        return;
    struct map_entry *e;
    for (size_t i = 0; (e = map_next(&r->waits.channels, &i));) {
        struct channel *c = e->value;
        for (struct signal **at = &c->signals; *at; at = &(*at)->next) {
            if ((*at)->number != (uint64_t)number)
                continue;
            signal_drop(r, c, at);
            return;
        }
    }
}

void waits_free(struct run *r)
{
    struct waits *w = &r->waits;
    struct map_entry *e;
    for (size_t i = 0; (e = map_next(&w->channels, &i));) {
        struct channel *c = e->value;
        while (c->signals)
            signal_drop(r, c, &c->signals);
        free(c);
    }
    map_done(&w->channels);
    map_done(&w->by_path);
    map_done(&w->ids);
}

/* ---- the run as a whole ---- */

void run_stay(struct run *r, enum run_stay stay)
{
    r->waits.stay = stay;
    r->io->wake(r->io_ctx);
}

bool waits_keep(const struct run *r)
{
    const struct waits *w = &r->waits;
    if (!r->awaiting)
        return false;
    if (w->stay == STAY_FOR_ANSWERS || (w->stay == STAY_FOR_APPROVALS && w->approvals))
        return true;
    int64_t now = run_now(r);
    for (const struct wait_state *s = w->first; s; s = s->next)
        if (s->until_ms - now <= SOON_MS)
            return true;
    return false;
}

struct box *waits_error(const struct run *r)
{
    struct arena a = {0};
    const struct wait_state *s = r->waits.first;
    struct str what = wait_text(&s->wait, &a), code = val_get_str(&s->wait, STR("for"), STR("wait"));
    if (r->awaiting > 1)
        what = arena_printf(&a, "%.*s; and %zu more wait", STR_ARG(what), r->awaiting - 1);
    struct box *b = error_box(RC_WAITING, code, what, s->frame->attempt, s->frame->parent->path);
    arena_done(&a);
    return b;
}

void run_each_wait(const struct run *r, void (*cb)(void *ctx, const struct run_wait *w), void *ctx)
{
    for (const struct wait_state *s = r->waits.first; s; s = s->next) {
        const struct frame *f = s->frame;
        if (f->status == FRAME_AWAITING)
            cb(ctx, &(struct run_wait){f->path, f->parent->path, &s->wait, f->started_ms});
    }
}
