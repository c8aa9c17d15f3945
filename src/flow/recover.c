/* Folding a journal into what a new life of the run must know.
 *
 * Records come in order; each path gets a `struct past`. The tree stays small: when a frame has ended well, all below
 * it is dropped, for its own result says everything that can still be asked; of an iteration of a loop only a bit
 * remains. So after the fold there is one entry for each open frame and for each ended step or failed iteration of an
 * open frame, however long the run was.
 *
 * The engine then walks the workflow again from the top. Each frame looks its path up here: ended ones answer at once,
 * open ones go on, unknown ones start. Because a commit keeps a prefix of the journal, the variables folded here are
 * exactly those at that point, and a decision that left no record left no trace outside either, so it may be taken
 * anew.
 *
 * The frames behind dropped entries are counted here, because no frame will stand for them again.
 *
 * Times are added up, too: a step's `timeout` is for the work on it, so neither the time between two lives nor what a
 * crash undid (all since the newest record) counts, nor while something of it is held or all of it waits for others
 * (step_time.c), and it does not begin anew with each life either.
 *
 * Records that a later RECORD_RESUME declared void (a changed step and those after it) only leave their numbers behind:
 * attempts go on counting, so that no path is written twice. */
#include "flow/run_int.h"

#include "base/fault.h"
#include "base/panic.h"
#include "flow/away.h"
#include "flow/shelf.h"
#include "flow/units.h"

#include <stdlib.h>

enum { PATH_DEPTH_MAX = 300, ATTEMPT_MAX = 1 << 30 };

struct past *past_find(const struct run *r, struct str path)
{
    return map_get(&r->past, path);
}

/* "a/b~3/c" -> parent "a/b~3"; "a/b~3" -> parent "a/b" with k = 3; "a" -> "". */
static struct str parent_path(struct str path, uint32_t *ret_k)
{
    *ret_k = 0;
    for (size_t i = path.n; i-- > 0;) {
        if (path.p[i] == '/')
            return str_n(path.p, i);
        if (path.p[i] == '~') {
            int64_t k;
            if (str_to_i64(str_from(path, i + 1), &k) && k > 0 && k < ATTEMPT_MAX)
                *ret_k = (uint32_t)k;
            return str_n(path.p, i);
        }
    }
    return str_n("", 0);
}

static void *xcalloc(size_t n)
{
    void *p = calloc(1, n);
    if (!p)
        PANIC("out of memory (%zu bytes)", n);
    return p;
}

/* Recurses once a part of the path, whose number run_recover() has bounded. */
static struct past *past_get(struct run *r, struct str path)
{
    struct past *p = past_find(r, path);
    if (p)
        return p;
    p = xcalloc(sizeof *p + path.n + 1);
    char *text = (char *)(p + 1);
    memcpy(text, path.p, path.n);
    p->path = str_n(text, path.n);
    map_put(&r->past, p->path, p);
    if (path.n) {
        uint32_t k;
        struct str up = parent_path(p->path, &k);
        p->parent = past_get(r, up);
        p->next = p->parent->first;
        if (p->next)
            p->next->prev = p;
        p->parent->first = p;
        uint32_t at_least = k ? k : 1;
        if (p->parent->current < at_least) {
            p->parent->current = at_least;
            p->parent->began_ms = r->worked_ms;
            p->parent->resting = p->parent->paused = false;
            p->parent->fresh = false; /* the new attempt has begun */
        }
        if (p->parent->last_attempt < at_least)
            p->parent->last_attempt = at_least;
        p->parent->begun = true;
    }
    return p;
}

static void drop_errors(struct past *p)
{
    for (size_t i = 0; i < p->nerrors; i++)
        box_unref(p->errors[i].box);
    free(p->errors);
    p->errors = NULL;
    p->nerrors = 0;
}

static void past_free(struct past *p)
{
    box_unref(p->open);
    box_unref(p->intent);
    box_unref(p->result);
    box_unref(p->done);
    box_unref(p->late);
    drop_errors(p);
    box_unref(p->newest);
    struct map_entry *e;
    for (size_t i = 0; (e = map_next(&p->vars, &i));) {
        struct past_var *v = e->value;
        box_unref(v->values);
        free(v);
    }
    map_done(&p->vars);
    free(p->passed);
    free(p);
}

/* "a~2" stands for an attempt of a, not for a frame of its own. */
static void count_dropped(struct run *r, const struct past *p)
{
    uint32_t k;
    (void)parent_path(p->path, &k);
    r->totals.frames += k == 0;
}

/* Depth is bounded by the nesting of workflows, but recursion here would trust a file: walk instead. */
static void drop_children(struct run *r, struct past *top)
{
    struct past *p = top;
    while (p != top || p->first) {
        if (p->first) {
            p = p->first;
            continue;
        }
        struct past *up = p->parent;
        up->first = p->next;
        if (p->next)
            p->next->prev = NULL;
        map_del(&r->past, p->path);
        count_dropped(r, p);
        past_free(p);
        p = up;
    }
}

void past_free_all(struct run *r)
{
    struct map_entry *e;
    for (size_t i = 0; (e = map_next(&r->past, &i));)
        past_free(e->value);
    map_done(&r->past);
    map_done(&r->voids);
}

/* A clock that was set back makes it at most the whole wait again; a wait that nobody could have meant is none. */
int64_t past_wait_left(const struct past *p, int64_t wait, int64_t now)
{
    if (wait <= 0 || wait > UNITS_DURATION_MAX_MS || p->result_ms <= now - wait)
        return 0;
    return p->result_ms >= now ? wait : p->result_ms + wait - now;
}

void run_void(struct run *r, struct str path, uint64_t seq, bool forked)
{
    struct void_path *v = map_get(&r->voids, path);
    if (!v) {
        v = ARENA_NEW(&r->arena, struct void_path);
        v->path = arena_str(&r->arena, path);
        map_put(&r->voids, v->path, v);
    }
    if (seq > v->seq)
        v->seq = seq;
    if (forked && seq > v->forked_seq)
        v->forked_seq = seq;
}

/* The newest void that the record lies under: its own path or one above it, at a step's boundary. */
static const struct void_path *void_of(const struct run *r, const struct record *rec)
{
    if (!r->voids.n)
        return NULL;
    for (size_t i = 1; i <= rec->path.n; i++) {
        if (i < rec->path.n && rec->path.p[i] != '/' && rec->path.p[i] != '~')
            continue;
        const struct void_path *v = map_get(&r->voids, str_n(rec->path.p, i));
        if (v && rec->seq < v->seq)
            return v;
    }
    return NULL;
}

/* A void record only makes sure that its step starts with a fresh number. */
static void fold_void(struct run *r, const struct record *rec, const struct void_path *v)
{
    struct past *p = past_get(r, v->path);
    uint32_t k = 1;
    if (rec->path.n == v->path.n) {
        if (rec->kind == RECORD_DONE)
            p->dones = rec->attempt > p->dones ? rec->attempt : p->dones;
        else if (rec->kind != RECORD_WRITE)
            k = rec->attempt;
    } else if (rec->path.p[v->path.n] == '~') {
        struct str rest = str_from(rec->path, v->path.n + 1);
        size_t slash = str_find(rest, STR("/"));
        int64_t n;
        if (str_to_i64(slash == SIZE_MAX ? rest : str_n(rest.p, slash), &n) && n > 0 && n < ATTEMPT_MAX)
            k = (uint32_t)n;
    }
    if (k > p->last_attempt)
        p->last_attempt = k;
}

/* While something of a step was held for a person, or all of it waited, its time stood still. */
static int64_t held_back(const struct run *r, const struct past *p)
{
    return p->paused ? r->worked_ms - (p->paused_ms > p->began_ms ? p->paused_ms : p->began_ms) : 0;
}

static void fold_hold(struct run *r, struct past *p)
{
    p->held = true;
    for (; p; p = p->parent) {
        p->paused_ms = p->paused ? p->paused_ms : r->worked_ms;
        p->paused = true;
    }
}

static void fold_rest(const struct run *r, struct past *p, bool rests)
{
    if (rests)
        p->paused_ms = r->worked_ms;
    else
        p->began_ms += held_back(r, p);
    p->paused = rests;
}

/* Resuming a run that had ended in failure opens what failed again (a run that merely crashed goes on failing: what is
 * recorded stands). Where the failure came from below, the same attempt goes on (what its children
 * have done stands); a step that failed by itself needs a new one. */
void past_reopen(struct run *r)
{
    bool again = r->past_failed;
    r->past_failed = false;
    struct map_entry *e;
    for (size_t i = 0; (e = map_next(&r->past, &i));) {
        struct past *p = e->value;
        p->held = false;
        p->began_ms += held_back(r, p);
        p->paused = false;
        if (again)
            p->failures = 0;
        if (!again || !p->done || p->done_ok)
            continue;
        p->fresh = !VAL_GET(&p->done->val, "below");
        p->began_ms = r->worked_ms; /* whoever resumes what failed gives it its time anew */
        box_unref(p->done);
        p->done = NULL;
    }
}

static void fold_resume(struct run *r, const struct record *rec, const struct val *data)
{
    if (r->past_failed)
        r->resume_seq = rec->seq;
    if (val_get_bool(data, STR("force"), false))
        r->force_seq = rec->seq;
    past_reopen(r);
}

static void replace(struct box **slot, struct box *with)
{
    box_unref(*slot);
    *slot = with ? box_ref(with) : NULL;
}

/* The newest result says that the run itself stopped the effect: no failure, and to be done again if it is still
 * wanted. */
bool past_cancelled(const struct past *p)
{
    const struct val *error = p->result ? VAL_GET(&p->result->val, "error") : NULL;
    return str_is(val_get_str(error, STR("class"), STR("")), "cancelled");
}

static void fold_error(struct past *p, const struct record *rec, struct box *data)
{
    if (!p->errors)
        p->errors = xcalloc(EFFECT_ERRORS_MAX * sizeof *p->errors);
    if (p->nerrors == EFFECT_ERRORS_MAX) {
        box_unref(p->errors[0].box);
        memmove(p->errors, p->errors + 1, --p->nerrors * sizeof *p->errors);
    }
    int64_t took = p->intent_attempt == rec->attempt ? rec->time_ms - p->intent_ms : 0;
    p->errors[p->nerrors++] = (struct past_error){rec->attempt, took, box_ref(data)};
}

/* ---- iterations ---- */

enum { PASSED_MAX = 1 << 28 };

static void merge_newest(struct past *loop, const struct val *results)
{
    struct val_map m;
    struct box *b = box_empty();
    m = val_map_new(&b->arena);
    val_map_merge(&m, loop->newest ? &loop->newest->val : NULL);
    val_map_merge(&m, results);
    struct val v = val_map_done(&m);
    b->val = val_copy(&b->arena, &v);
    box_unref(loop->newest);
    loop->newest = b;
}

/* "l/3" is iteration 3 of l, and so is "l/3~2", which lies below it: started again. *ret_top is the entry right below
 * the loop's; false: it is none. */
static bool iteration_of(struct past *p, struct past **ret_top, int64_t *ret_index)
{
    uint32_t again;
    (void)parent_path(p->path, &again);
    struct past *top = again && p->parent ? p->parent : p;
    size_t slash = top->path.n;
    while (slash && top->path.p[slash - 1] != '/')
        slash--;
    *ret_top = top;
    return top->parent && str_to_i64(str_from(top->path, slash), ret_index) && *ret_index >= 0 &&
           *ret_index <= PASSED_MAX;
}

static void drop(struct run *r, struct past *p)
{
    drop_children(r, p);
    *(p->prev ? &p->prev->next : &p->parent->first) = p->next;
    if (p->next)
        p->next->prev = p->prev;
    map_del(&r->past, p->path);
    count_dropped(r, p);
    past_free(p);
}

/* An iteration that has ended well leaves a bit: its results are in the journal, and the loop only counts it. False: it
 * stays as it is. */
static bool pass_iteration(struct run *r, struct past *p, const struct val *done)
{
    struct str how = val_get_str(done, STR("iteration"), STR(""));
    struct past *top;
    int64_t index;
    if (!how.n || !iteration_of(p, &top, &index))
        return false;
    struct past *loop = top->parent;
    size_t at = (size_t)index / 8;
    if (at >= loop->passed_cap) {
        size_t cap = loop->passed_cap ? loop->passed_cap * 2 : 16;
        cap = cap > at ? cap : at + 1;
        uint8_t *more = realloc(loop->passed, cap);
        if (!more)
            PANIC("out of memory (%zu bytes)", cap);
        memset(more + loop->passed_cap, 0, cap - loop->passed_cap);
        loop->passed = more;
        loop->passed_cap = cap;
    }
    uint8_t bit = (uint8_t)(1u << index % 8);
    loop->npassed += !(loop->passed[at] & bit);
    loop->passed[at] |= bit;
    int64_t steps = val_get_int(done, STR("steps"), 0);
    if (steps > 0 && steps < (int64_t)1 << 40 && loop->passed_steps < (int64_t)1 << 40) /* nobody did so many */
        loop->passed_steps += steps;
    if (str_is(how, "again"))
        merge_newest(loop, VAL_GET(done, "ok"));
    drop(r, top);
    return true;
}

void past_forget(struct past *loop, size_t first, size_t last)
{
    for (size_t i = first; i <= last && i / 8 < loop->passed_cap; i++) {
        uint8_t bit = (uint8_t)(1u << i % 8);
        loop->npassed -= (loop->passed[i / 8] & bit) != 0;
        loop->passed[i / 8] &= (uint8_t)~bit;
    }
}

/* A restart of iterations: what is known of those that it includes is about frames that are no more. */
static void fold_restart(struct run *r, struct past *p, const struct val *ok)
{
    const struct val *again = VAL_GET(ok, "again"), *first = val_at(again, 0), *last = val_at(again, 1);
    size_t slash = p->path.n;
    while (slash && p->path.p[slash - 1] != '/')
        slash--;
    if (p->intent || !p->parent || !str_starts(str_from(p->path, slash), STR("restart:")) || !val_is(first, VAL_INT) ||
        !val_is(last, VAL_INT) || first->i < 0 || last->i < first->i)
        return;
    struct past *loop = p->parent, *next;
    past_forget(loop, (size_t)first->i, (size_t)last->i);
    for (struct past *c = loop->first; c; c = next) {
        struct past *top;
        int64_t index;
        next = c->next;
        if (c != p && iteration_of(c, &top, &index) && top == c && index >= first->i && index <= last->i)
            drop(r, c);
    }
}

static void fold_break(struct past *p)
{
    struct past *top;
    int64_t index;
    (iteration_of(p, &top, &index) ? top : p)->parent->broken = true;
}

static void fold_write(struct run *r, const struct val *write)
{
    struct past *scope = past_get(r, val_get_str(write, STR("scope"), STR("")));
    const struct val *set = VAL_GET(write, "set");
    struct box *values = val_is(set, VAL_OBJECT) ? box_new(set) : NULL;
    for (size_t i = 0; values && i < values->val.obj.n; i++) {
        struct str name = values->val.obj.m[i].key;
        struct past_var *v = map_get(&scope->vars, name);
        if (!v) {
            v = xcalloc(sizeof *v + name.n + 1);
            memcpy(v->name, name.p, name.n);
            v->n = name.n;
            map_put(&scope->vars, str_n(v->name, v->n), v);
        }
        box_unref(v->values);
        v->values = box_ref(values);
    }
    box_unref(values);
}

static bool leave(const struct run *r, const struct record *rec, const struct val *ok, const struct val *how,
                  struct arena *a, struct val *ret)
{
    bool all = how->type == VAL_STR;
    size_t keep = all ? SHELF_REST(r->keep_bytes) : r->keep_bytes;
    return (all ? away_leave_all : away_leave)(a, ok, rec->path, rec->attempt, keep, ret);
}

/* What is still asked of a step that has ended well: the variables that it set have been folded, and what its list had
 * let go of is not taken up again. */
static struct box *end_rest(struct run *r, const struct record *rec, struct box *data)
{
    const struct val *ok = VAL_GET(&data->val, "ok");
    const struct val *left = VAL_GET(&data->val, "left");
    if (!left && !VAL_GET(&data->val, "write") && !VAL_GET(&data->val, "also"))
        return box_ref(data);
    struct box *rest = box_empty();
    struct val_map m = val_map_new(&rest->arena);
    for (size_t i = 0; i < data->val.obj.n; i++) {
        const struct member *part = &data->val.obj.m[i];
        struct val v;
        if (str_is(part->key, "write") || str_is(part->key, "also") || str_is(part->key, "refs"))
            continue;
        if (&part->val != ok || !left || !leave(r, rec, ok, left, &rest->arena, &v))
            v = val_copy(&rest->arena, &part->val);
        val_map_set(&m, arena_str(&rest->arena, part->key), v);
    }
    rest->val = val_map_done(&m);
    return rest;
}

/* As opposed to the end of a list, or to that of a failed step whose list goes on at another. */
static bool is_step_end(const struct val *done)
{
    return !VAL_GET(done, "iteration") && !VAL_GET(done, "list") && !VAL_GET(done, "goto");
}

static void fold(struct run *r, const struct record *rec, struct box *data)
{
    struct past *p = past_get(r, rec->path);
    switch (rec->kind) {
    case RECORD_OPEN:
        replace(&p->open, data);
        p->open_attempt = rec->attempt;
        break;
    case RECORD_INTENT:
        replace(&p->intent, data);
        p->intent_attempt = rec->attempt;
        p->intent_seq = rec->seq;
        p->intent_ms = rec->time_ms;
        break;
    case RECORD_RESULT:
        if (fault_hit("recover.forget")) /* a seeded bug for the simulation to catch */
            return;
        replace(&p->result, data);
        p->result_attempt = rec->attempt;
        p->result_seq = rec->seq;
        p->result_ms = rec->time_ms;
        if (VAL_GET(&data->val, "error") && !past_cancelled(p)) {
            p->failures++;
            fold_error(p, rec, data);
        }
        run_count_usage(r, VAL_GET(&data->val, "ok"));
        for (struct past *up = p; up; up = up->parent)
            spending_add(&up->spent, VAL_GET(&data->val, "ok"));
        fold_restart(r, p, VAL_GET(&data->val, "ok"));
        break;
    case RECORD_DONE:
        if (VAL_GET(&data->val, "write"))
            fold_write(r, VAL_GET(&data->val, "write"));
        if (VAL_GET(&data->val, "also"))
            fold_write(r, VAL_GET(&data->val, "also"));
        replace(&p->done, data);
        p->done_ok = VAL_GET(&data->val, "ok") != NULL;
        if (p->parent && leave_of(&data->val) == LEAVE_BREAK)
            fold_break(p);
        p->dones = rec->attempt > p->dones ? rec->attempt : p->dones;
        if (p->done_ok && is_step_end(&data->val))
            r->totals.steps_done++; /* here, because no frame will stand for most of them again */
        if (p->done_ok && pass_iteration(r, p, &data->val))
            return;
        if (p->done_ok) {
            drop_children(r, p);
            free(p->passed);
            p->passed = NULL;
            p->passed_cap = p->npassed = 0;
            p->passed_steps = 0;
            replace(&p->newest, NULL);
            box_unref(p->done);
            p->done = end_rest(r, rec, data);
            if (!VAL_GET(p->open ? &p->open->val : NULL, "error")) /* a handler's is asked for until its step ends */
                replace(&p->open, NULL);
            replace(&p->result, NULL);
            drop_errors(p);
        }
        return; /* the number of a DONE is no attempt */
    case RECORD_NOTE:
        if (VAL_GET(&data->val, "held"))
            fold_hold(r, p);
        if (VAL_GET(&data->val, "late"))
            replace(&p->late, data);
        if (VAL_GET(&data->val, "stopping"))
            r->carried = false;
        if (VAL_GET(&data->val, "rests"))
            fold_rest(r, p, val_get_bool(&data->val, STR("rests"), false));
        if (VAL_GET(&data->val, "turn")) {
            p->resting = str_is(val_get_str(&data->val, STR("turn"), STR("")), "waits");
            p->began_ms = r->worked_ms;
        }
        return;
    default:
        return;
    }
    p->begun = true;
    if (rec->attempt > p->current) {
        p->current = rec->attempt;
        p->began_ms = r->worked_ms;
        p->resting = p->paused = p->fresh = false;
    }
    if (rec->attempt > p->last_attempt)
        p->last_attempt = rec->attempt;
}

enum rc run_resume_voids(const struct record *resume, void (*cb)(void *ctx, struct str path, bool forked), void *ctx,
                         struct err *err)
{
    struct arena a = {0};
    struct val data;
    enum rc rc = json_parse(&a, resume->data, &JSON_LIMITS_DEFAULT, &data, err);
    const struct val *list = rc ? NULL : VAL_GET(&data, "void");
    for (size_t i = 0; val_at(list, i); i++)
        if (val_is(val_at(list, i), VAL_STR))
            cb(ctx, val_at(list, i)->s, VAL_GET(&data, "forked_from") != NULL);
    arena_done(&a);
    return rc;
}

static bool path_is_sane(const struct record *rec)
{
    size_t parts = 0;
    for (size_t i = 0; i < rec->path.n; i++)
        parts += rec->path.p[i] == '/' || rec->path.p[i] == '~';
    return parts <= PATH_DEPTH_MAX && rec->attempt > 0 && rec->attempt < ATTEMPT_MAX;
}

bool past_interrupted(const struct run *r, struct str path)
{
    const struct past *top = past_find(r, path), *p = top;
    while (p) {
        bool answered = p->result && p->result_attempt == p->intent_attempt;
        if (p->intent && VAL_GET(&p->intent->val, "plan") && !answered)
            return true;
        const struct past *next = p->first;
        for (; !next && p != top; p = p->parent)
            next = p->next;
        p = next;
    }
    return false;
}

int64_t past_worked(const struct run *r, const struct past *p)
{
    return p->resting ? 0 : r->worked_ms - p->began_ms;
}

/* Answers of people may be recorded while nobody carries the run on; what passes until then is nobody's work. Nor is
 * what passes until other runs leave the workspace, while there is nothing else to do. */
static void fold_time(struct run *r, const struct record *rec, const struct val *data)
{
    const struct past *p = rec->kind == RECORD_RESULT ? past_find(r, rec->path) : NULL;
    const struct val *wait = p && p->intent ? VAL_GET(&p->intent->val, "wait") : NULL;
    bool answer = rec->kind == RECORD_SIGNAL || (wait && !str_is(val_get_str(wait, STR("for"), STR("")), "time"));
    int64_t passed, rested = rec->kind == RECORD_NOTE ? val_get_int(data, STR("rested_ms"), 0) : 0;
    if (r->carried && rec->kind != RECORD_RESUME && !answer &&
        !__builtin_sub_overflow(rec->time_ms, r->last_ms, &passed) && passed > 0 && passed < UNITS_DURATION_MAX_MS)
        r->worked_ms += rested >= passed ? 0 : rested > 0 ? passed - rested : passed;
    r->last_ms = rec->time_ms;
    if (rec->kind == RECORD_RUN || rec->kind == RECORD_RESUME || rec->kind == RECORD_END)
        r->carried = rec->kind != RECORD_END;
}

static enum rc recover(struct run *r, const struct record *rec, struct err *err)
{
    CHECK_OBJ(r, RUN_MAGIC);
    CHECK(!r->started);
    if (rec->seq && rec->seq <= r->last_seq)
        return err_set(err, RC_CORRUPT, "record %llu comes after record %llu", (unsigned long long)rec->seq,
                       (unsigned long long)r->last_seq);
    if (!path_is_sane(rec))
        return err_set(err, RC_CORRUPT, "record %llu has a path or a number that no engine writes",
                       (unsigned long long)rec->seq);
    r->last_seq = rec->seq;
    r->journal_bytes += (int64_t)(rec->path.n + rec->data.n);
    struct box *data = box_empty();
    enum rc rc = rec->data.n ? json_parse(&data->arena, rec->data, &JSON_LIMITS_DEFAULT, &data->val, err) : RC_OK;
    if (rc != RC_OK) {
        err_wrap(err, "record %llu (%.*s)", (unsigned long long)rec->seq, STR_ARG(rec->path));
        err->rc = rc = RC_CORRUPT;
        box_unref(data);
        return rc;
    }
    fold_time(r, rec, &data->val);
    const struct val *refs = VAL_GET(&data->val, "refs"), *referring = NULL;
    if (refs && (rec->kind == RECORD_DONE || rec->kind == RECORD_RESULT))
        referring = VAL_GET(&data->val, "ok");
    else if (refs && rec->kind == RECORD_OPEN)
        referring = VAL_GET(&data->val, "partial");
    if (referring &&
        away_put(&data->arena, (struct val *)referring, refs, err) != RC_OK) { /* of the record: nobody else has it */
        err_wrap(err, "record %llu (%.*s)", (unsigned long long)rec->seq, STR_ARG(rec->path));
        box_unref(data);
        return err->rc;
    }
    const struct void_path *v = rec->kind == RECORD_RUN || rec->kind == RECORD_RESUME ? NULL : void_of(r, rec);
    if (rec->kind == RECORD_RESULT) {
        int64_t output = val_get_int(&data->val, STR("output"), 0);
        if (output > 0 && output < INT64_MAX / 2 - r->output_bytes) /* nobody made so much */
            r->output_bytes += output;
        waits_fold_result(r, &data->val); /* what was taken is taken, even if its step starts anew */
    }
    if (v) {
        if (rec->kind == RECORD_RESULT && rec->seq >= v->forked_seq)
            run_count_usage(r, VAL_GET(&data->val, "ok")); /* this run paid for it all the same */
        fold_void(r, rec, v);
    } else if (rec->kind == RECORD_RUN) {
        replace(&r->past_run, data);
    } else if (rec->kind == RECORD_SIGNAL) {
        waits_fold_signal(r, rec, data);
    } else if (rec->kind == RECORD_RESUME) {
        fold_resume(r, rec, &data->val);
    } else if (rec->kind == RECORD_WRITE) {
        fold_write(r, &data->val);
    } else if (rec->kind == RECORD_END) {
        r->end_seq = rec->seq;
        struct str status = val_get_str(&data->val, STR("status"), STR(""));
        r->past_failed = str_is(status, "failed") || str_is(status, "cancelled");
    } else {
        fold(r, rec, data);
    }
    box_unref(data);
    return RC_OK;
}

enum rc run_recover(struct run *r, const struct record *rec, struct err *err)
{
    struct account *before = account_charge(r->own.account);
    enum rc rc = recover(r, rec, err);
    account_charge(before);
    return rc;
}
