/* A seat goes round: IDLE ─ask─▶ WAITS ─▶ HAS ─leave─▶ LEAVING ─left─▶ IDLE.
 *
 * LEAVING lasts until what the run appended before is durable. If it asks again meanwhile and nobody else wants the
 * workspace, it simply has the turn again, so a run that is alone pays for the lock and not for commits. Else it stands
 * behind the others, and gets the turn when they have had theirs. */
#include "role/turns.h"

#include "base/clock.h"
#include "base/map.h"
#include "base/panic.h"
#include "executor/turn_lock.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { LOOK_MIN_MS = 5, LOOK_MAX_MS = 100 };

struct line { /* of one workspace, in this process */
    struct seat *first, *last, *holder;
    size_t seats;
    char key[TURN_KEY_SIZE];
};

struct seat {
    struct turns *turns;
    struct line *line; /* NULL: it has not asked yet */
    struct seat *prev, *next;
    struct turn_lock lock;
    bool waits, has, leaving;
    uint64_t number;
    int64_t since_ms;
    char *workspace, *run, *run_dir;
    void (*granted)(void *ctx);
    void *ctx;
};

struct turns {
    struct ev_loop *loop;
    int dir;
    char *state_dir, *within;
    struct map lines; /* key -> line */
    ev_id timer;
    int64_t timer_ms;
};

enum rc turns_new(struct ev_loop *loop, const char *state_dir, const char *within, struct turns **ret, struct err *err)
{
    int dir;
    enum rc rc = turn_dir_open(state_dir, &dir, err);
    if (rc)
        return rc;
    struct turns *t = calloc(1, sizeof *t);
    if (!t || !(t->state_dir = strdup(state_dir)) || !(t->within = strdup(within ? within : "")))
        PANIC("out of memory");
    t->loop = loop;
    t->dir = dir;
    *ret = t;
    return RC_OK;
}

void turns_free(struct turns *t)
{
    if (!t)
        return;
    CHECK(!t->lines.n);
    ev_cancel(t->loop, t->timer);
    map_done(&t->lines);
    close(t->dir);
    free(t->state_dir);
    free(t->within);
    free(t);
}

struct seat *seat_new(struct turns *t, struct str workspace, struct str run, void (*granted)(void *ctx), void *ctx)
{
    struct seat *s = calloc(1, sizeof *s);
    if (!s || asprintf(&s->run_dir, "%s/runs/%.*s", t->state_dir, STR_ARG(run)) < 0 ||
        !(s->workspace = strndup(workspace.p, workspace.n)) || !(s->run = strndup(run.p, run.n)))
        PANIC("out of memory");
    s->turns = t;
    s->granted = granted;
    s->ctx = ctx;
    return s;
}

/* The workspace is looked up when it is first wanted: it may have been made by then. */
static void take_place(struct seat *s)
{
    struct turns *t = s->turns;
    if (s->line)
        return;
    turn_lock_init(&s->lock, t->dir, s->workspace, s->run, s->run_dir);
    struct line *l = map_get(&t->lines, str_c(s->lock.key));
    if (!l) {
        l = calloc(1, sizeof *l);
        CHECK(l);
        memcpy(l->key, s->lock.key, sizeof l->key);
        map_put(&t->lines, str_c(l->key), l);
    }
    l->seats++;
    s->line = l;
}

static void line_add(struct seat *s)
{
    struct line *l = s->line;
    s->waits = true;
    s->since_ms = clock_mono_ms();
    s->next = NULL;
    s->prev = l->last;
    *(s->prev ? &s->prev->next : &l->first) = s;
    l->last = s;
}

static void line_remove(struct seat *s)
{
    struct line *l = s->line;
    *(s->prev ? &s->prev->next : &l->first) = s->next;
    *(s->next ? &s->next->prev : &l->last) = s->prev;
    s->prev = s->next = NULL;
    s->waits = false;
}

/* ---- looking again ---- */

static void look(void *ctx);

static void look_in(struct turns *t, int64_t ms)
{
    int64_t at = clock_mono_ms() + ms;
    if (t->timer && t->timer_ms <= at)
        return;
    ev_cancel(t->loop, t->timer);
    t->timer_ms = at;
    t->timer = ev_timer(t->loop, ms, look, t);
}

static void have(struct seat *s)
{
    s->has = true;
    s->line->holder = s;
}

/* The longer somebody has waited, the less it matters to be told at once. */
static int64_t patience(const struct seat *s)
{
    int64_t ms = LOOK_MIN_MS + (clock_mono_ms() - s->since_ms) / 8;
    return ms < LOOK_MAX_MS ? ms : LOOK_MAX_MS;
}

static void look(void *ctx)
{
    struct turns *t = ctx;
    struct map_entry *e;
    char who[TURN_WHO_SIZE];
    t->timer = 0;
    for (size_t i = 0; (e = map_next(&t->lines, &i));) {
        struct line *l = e->value;
        struct seat *s = l->first;
        if (!s || (l->holder && s->lock.ticket >= 0)) /* who leaves it looks */
            continue;
        turn_dir_renew(t->state_dir, t->dir);
        if (l->holder) {
            turn_lock_stand(&s->lock);
        } else if (turn_lock_try(&s->lock, who)) {
            line_remove(s);
            have(s);
            look_in(t, 0); /* the table may have changed */
            s->granted(s->ctx);
            return;
        }
        look_in(t, patience(s));
    }
}

/* ---- asking and leaving ---- */

/* Whoever has the turn keeps it until his command has ended, which is where this process was started; whoever else
 * stands in the line waits for him, too. */
static bool waits_for_us(const struct seat *s, struct turn_holder *who)
{
    char run[TURN_WHO_SIZE];
    struct str rest = str_c(s->turns->within);
    turn_lock_holder(&s->lock, run);
    while (run[0] && rest.n) {
        size_t colon = str_find(rest, STR(":"));
        struct str id = colon == SIZE_MAX ? rest : str_n(rest.p, colon);
        if (str_is(id, run)) {
            snprintf(who->z, sizeof who->z, "run %.80s is writing there", run);
            return true;
        }
        rest = str_from(rest, id.n + 1);
    }
    return false;
}

bool seat_ask(struct seat *s, struct turn_holder *who)
{
    CHECK(!s->waits && (!s->has || s->leaving));
    take_place(s);
    struct line *l = s->line;
    bool alone = !l->first && (!s->has || !turn_lock_wanted(&s->lock));
    if (alone && s->has) {
        s->leaving = false;
        return true;
    }
    if (alone && l->holder) { /* whatever became of his lock's file */
        turn_lock_stand(&s->lock);
        snprintf(who->z, sizeof who->z, "run %.80s is writing there", l->holder->run);
    } else if (alone && turn_lock_try(&s->lock, who->z)) {
        have(s);
        return true;
    }
    if (!alone)
        snprintf(who->z, sizeof who->z, "other runs come first");
    who->in_vain = waits_for_us(s, who);
    line_add(s);
    look_in(s->turns, LOOK_MIN_MS);
    return false;
}

uint64_t seat_leave(struct seat *s)
{
    if (s->waits) {
        line_remove(s);
        if (!s->has)
            turn_lock_leave(&s->lock);
    }
    if (!s->has || s->leaving)
        return 0;
    s->leaving = true;
    return ++s->number;
}

static void leave_now(struct seat *s)
{
    s->has = s->leaving = false;
    s->line->holder = NULL;
    turn_lock_leave(&s->lock);
    if (s->line->first)
        look_in(s->turns, 0);
}

void seat_left(struct seat *s, uint64_t number)
{
    if (s->leaving && number == s->number)
        leave_now(s);
}

void seat_free(struct seat *s)
{
    if (!s)
        return;
    struct line *l = s->line;
    seat_leave(s);
    if (s->has)
        leave_now(s);
    if (l && !--l->seats) {
        map_del(&s->turns->lines, str_c(l->key));
        free(l);
    }
    free(s->workspace);
    free(s->run);
    free(s->run_dir);
    free(s);
}
