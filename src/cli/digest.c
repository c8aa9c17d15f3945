/* One node a path. Attempt numbers inside paths ("loop~2/0", "batch/again:2/task") are taken out: the node of the loop
 * is one, and what its earlier attempt left below it disappears when a later attempt shows up, except for what that
 * cost.
 *
 * Steps that do nothing outside write one record, at their end. Their start is then not known better than the end of
 * what came before, so they show no duration rather than a made-up one. */
#include "cli/digest.h"

#include "base/panic.h"
#include "data/json.h"
#include "flow/away.h"
#include "flow/wait.h"

#include <stdlib.h>

struct digest *digest_new(void)
{
    struct digest *d = calloc(1, sizeof *d);
    if (!d)
        PANIC("out of memory");
    d->root = ARENA_NEW(&d->arena, struct digest_node);
    d->inputs = val_empty_object;
    return d;
}

void digest_free(struct digest *d)
{
    if (!d)
        return;
    map_done(&d->nodes);
    arena_done(&d->arena);
    free(d);
}

/* ---- nodes ---- */

static void hide_children(struct digest_node *n)
{
    n->first = n->last = NULL;
    n->list_number++;
}

static struct digest_node *child(struct digest *d, struct digest_node *parent, struct str path, struct str name)
{
    struct digest_node *n = map_get(&d->nodes, path);
    if (n && n->listed_in == parent->list_number)
        return n;
    if (n) { /* left over from an attempt that no longer counts: comes back into the list, empty */
        hide_children(n);
        n->started_ms = n->ended_ms = 0;
    } else {
        n = ARENA_NEW(&d->arena, struct digest_node);
        n->path = arena_str(&d->arena, path);
        n->name = str_from(n->path, path.n - name.n);
        n->parent = parent;
        map_put(&d->nodes, n->path, n);
    }
    n->next = NULL;
    n->listed_in = parent->list_number;
    *(parent->last ? &parent->last->next : &parent->first) = n;
    parent->last = n;
    return n;
}

/* Numbers go on counting when a step is begun anew; people want to know about this time only. */
static void count_attempt(struct digest_node *n, uint32_t attempt)
{
    if (n->before + attempt > n->last_attempt)
        n->last_attempt = n->before + attempt;
    n->attempts = n->last_attempt - n->void_attempts;
}

/* The node of a path as records have it; it and those above it are made when they are missing. */
static struct digest_node *node_of(struct digest *d, struct str path)
{
    struct digest_node *n = d->root;
    struct buf plain;
    int64_t again = 0;
    buf_init(&plain, path.n + 1);
    while (path.n) {
        size_t slash = str_find(path, STR("/"));
        struct str part = slash == SIZE_MAX ? path : str_n(path.p, slash);
        path = str_from(path, part.n + 1);
        int64_t generation = 1;
        size_t tilde = str_find(part, STR("~"));
        if (path.n && str_starts(part, STR("again:")) && str_to_i64(str_from(part, 6), &again))
            continue;
        if (tilde != SIZE_MAX && str_to_i64(str_from(part, tilde + 1), &generation))
            part.n = tilde;
        if (plain.n)
            buf_addc(&plain, '/');
        buf_add(&plain, part);
        n = child(d, n, buf_str(&plain), part);
        if ((uint32_t)again > n->again) {
            hide_children(n);
            n->again = (uint32_t)again;
            n->before = n->last_attempt;
            n->generation = 0;
        }
        again = 0;
        if (path.n && (uint32_t)generation > n->generation) {
            if (n->generation)
                hide_children(n);
            n->generation = (uint32_t)generation;
            count_attempt(n, n->generation);
        }
    }
    buf_done(&plain);
    return n;
}

static void begin(struct digest_node *n, int64_t time_ms)
{
    bool above = false;
    for (; n->parent; n = n->parent, above = true) {
        if (!n->started_ms)
            n->started_ms = time_ms;
        if (n->status == NODE_VOID || (above && n->status == NODE_RETRYING))
            n->status = NODE_OPEN;
    }
}

static void add_usage(struct digest_node *n, const struct val *ok)
{
    const struct val *u = VAL_GET(ok, "usage"), *cost = VAL_GET(ok, "cost_usd");
    if (!val_is(u, VAL_OBJECT))
        return;
    for (; n; n = n->parent) {
        n->calls++;
        n->input_tokens += val_get_int(u, STR("input_tokens"), 0) + val_get_int(u, STR("cache_read_tokens"), 0) +
                           val_get_int(u, STR("cache_write_tokens"), 0);
        n->output_tokens += val_get_int(u, STR("output_tokens"), 0);
        if (val_is_number(cost))
            n->cost_usd += val_to_double(cost, 0);
        else
            n->cost_unknown = true;
    }
}

static void set_error(struct digest *d, struct digest_node *n, const struct val *error)
{
    n->error_class = arena_str(&d->arena, val_get_str(error, STR("class"), STR("")));
    n->error_code = arena_str(&d->arena, val_get_str(error, STR("code"), STR("")));
    n->message = arena_str(&d->arena, val_get_str(error, STR("message"), STR("")));
    n->error_step = arena_str(&d->arena, val_get_str(error, STR("step"), STR("")));
}

static void clear_error(struct digest_node *n)
{
    n->error_class = n->error_code = n->message = n->error_step = str_n("", 0);
}

/* ---- records ---- */

static void add_result(struct digest *d, struct digest_node *n, const struct record *r, const struct val *v)
{
    const struct val *ok = VAL_GET(v, "ok"), *error = VAL_GET(v, "error");
    add_usage(n, ok);
    if (ok) {
        n->status = NODE_OK;
        n->ended_ms = r->time_ms;
        clear_error(n);
        return;
    }
    set_error(d, n, error);
    n->status = val_get_int(v, STR("retry_ms"), -1) >= 0 ? NODE_RETRYING : NODE_FAILED;
    n->ended_ms = n->status == NODE_FAILED ? r->time_ms : 0;
}

static void add_done(struct digest *d, struct digest_node *n, const struct record *r, const struct val *v)
{
    const struct val *ok = VAL_GET(v, "ok"), *error = VAL_GET(v, "error");
    n->ended_ms = r->time_ms;
    if (!ok) {
        n->status = NODE_FAILED;
        set_error(d, n, error);
        return;
    }
    bool went_on = val_get_bool(v, STR("continued"), false) || val_get_bool(v, STR("goto"), false);
    n->status = val_get_bool(v, STR("skipped"), false) ? NODE_SKIPPED : went_on ? NODE_CONTINUED : NODE_OK;
    n->cached = val_get_bool(v, STR("cached"), false);
    n->at_limit = val_get_bool(ok, STR("max_iterations_reached"), false);
    clear_error(n);
    if (went_on && VAL_GET(ok, "error"))
        set_error(d, n, VAL_GET(ok, "error"));
    if (n->parent == d->root) {
        struct val *kept = ARENA_NEW(&d->arena, struct val), whole = *ok;
        struct err ignored; /* a place that is not there stays null */
        (void)!away_put(&d->arena, &whole, VAL_GET(v, "refs"), &ignored);
        if (!away_leave(&d->arena, &whole, arena_str(&d->arena, r->path), r->attempt, AWAY_KEEP, kept))
            *kept = val_copy(&d->arena, &whole);
        n->result = kept;
    }
}

static void make_void(struct digest *d, struct str path, bool forked)
{
    struct digest_node *n = map_get(&d->nodes, path);
    if (!n)
        return;
    hide_children(n);
    clear_error(n);
    n->status = NODE_VOID;
    n->dropped = forked;
    n->void_attempts = n->last_attempt;
    n->attempts = 0;
    n->started_ms = n->ended_ms = 0;
    n->result = NULL;
}

static void add_spending(struct digest_node *to, const struct digest_node *n)
{
    to->calls += n->calls;
    to->input_tokens += n->input_tokens;
    to->output_tokens += n->output_tokens;
    to->cost_usd += n->cost_usd;
    to->cost_unknown |= n->cost_unknown;
}

static void clear_spending(struct digest_node *n)
{
    n->calls = n->input_tokens = n->output_tokens = 0;
    n->cost_usd = 0;
    n->cost_unknown = false;
}

/* A fork has not paid for what it does not keep. */
static void forget_spending(struct digest *d)
{
    struct map_entry *e;
    clear_spending(d->root);
    for (size_t i = 0; (e = map_next(&d->nodes, &i));) {
        struct digest_node *n = e->value, *top = n;
        while (top->parent != d->root)
            top = top->parent;
        if (top->dropped)
            clear_spending(n);
        else if (n == top)
            add_spending(d->root, n);
    }
    for (struct digest_node *n = d->root->first; n; n = n->next)
        n->dropped = false;
}

/* What had failed is tried again, what was held is asked again. */
static void reopen(struct digest *d)
{
    struct map_entry *e;
    bool again = str_is(d->status, "failed") || str_is(d->status, "cancelled");
    for (size_t i = 0; (e = map_next(&d->nodes, &i));) {
        struct digest_node *n = e->value;
        if (n->status != NODE_HELD && !(again && (n->status == NODE_FAILED || n->status == NODE_RETRYING)))
            continue;
        n->status = NODE_OPEN;
        n->ended_ms = 0;
        clear_error(n);
    }
}

static const struct val *keep(struct digest *d, const struct val *v)
{
    if (!v)
        return NULL;
    struct val *kept = ARENA_NEW(&d->arena, struct val);
    *kept = val_copy(&d->arena, v);
    return kept;
}

static struct str keep_text(struct digest *d, const struct val *v, struct str key)
{
    return arena_str(&d->arena, val_get_str(v, key, STR("")));
}

static void add_run(struct digest *d, const struct record *r, const struct val *v)
{
    d->begun = true;
    d->workflow = keep_text(d, v, STR("workflow"));
    d->workflow_sha256 = keep_text(d, v, STR("workflow_sha256"));
    d->file = keep_text(d, v, STR("file"));
    d->workspace = keep_text(d, v, STR("workspace"));
    d->output_dir = keep_text(d, v, STR("output_dir"));
    d->forked_from = keep_text(d, v, STR("forked_from"));
    d->started_ms = val_get_int(v, STR("started_ms"), r->time_ms);
    if (VAL_GET(v, "inputs"))
        d->inputs = *keep(d, VAL_GET(v, "inputs"));
}

static void add_resume(struct digest *d, const struct record *r, const struct val *v)
{
    struct str sha = keep_text(d, v, STR("workflow_sha256"));
    const struct val *voids = VAL_GET(v, "void");
    if (sha.n)
        d->workflow_sha256 = sha;
    for (size_t i = 0; val_at(voids, i); i++)
        if (val_is(val_at(voids, i), VAL_STR))
            make_void(d, val_at(voids, i)->s, VAL_GET(v, "forked_from"));
    reopen(d);
    d->lives++;
    d->status = str_n("", 0);
    d->error = d->output = NULL;
    if (VAL_GET(v, "forked_from")) {
        forget_spending(d);
        d->inherited_calls = d->root->calls;
        d->inherited_usd = d->root->cost_usd;
        d->resumes = 0;
        d->just_forked = true;
        return;
    }
    if (!d->just_forked) {
        d->resumed_ms = r->time_ms;
        d->resumes++;
    }
    d->just_forked = false;
}

static void add_end(struct digest *d, const struct val *v)
{
    d->status = keep_text(d, v, STR("status"));
    d->error = keep(d, VAL_GET(v, "error"));
    d->output = keep(d, VAL_GET(v, "output"));
}

static void add_wait(struct digest *d, struct digest_node *n, const struct record *r, const struct val *wait)
{
    n->wait = keep(d, wait);
    n->answer = NULL;
    n->record_path = arena_str(&d->arena, r->path);
    n->record_attempt = r->attempt;
    n->label = wait_text(n->wait, &d->arena);
    n->status = NODE_WAITING;
    n->started_ms = r->time_ms;
    n->ended_ms = 0;
}

static void add_to_node(struct digest *d, const struct record *r, const struct val *v)
{
    struct digest_node *n = node_of(d, r->path);
    begin(n, r->time_ms);
    if (r->kind != RECORD_DONE)
        count_attempt(n, r->attempt);
    switch (r->kind) {
    case RECORD_INTENT:
        n->effect = true;
        if (VAL_GET(v, "wait")) {
            add_wait(d, n, r, VAL_GET(v, "wait"));
            break;
        }
        n->label = keep_text(d, v, STR("label"));
        n->restorable = val_get_bool(VAL_GET(v, "plan"), STR("offline"), false) &&
                        val_is(VAL_GET(VAL_GET(v, "plan"), "snapshot"), VAL_STR);
        n->status = NODE_OPEN;
        n->ended_ms = 0;
        break;
    case RECORD_OPEN:
        n->status = NODE_OPEN;
        n->ended_ms = 0;
        n->items = away_item_count(VAL_GET(v, "config"));
        break;
    case RECORD_RESULT:
        if (n->wait)
            n->answer = keep(d, VAL_GET(v, "ok"));
        if (str_find(n->name, STR(":")) != SIZE_MAX) /* no step: a decision that was recorded, as of the cache */
            n->effect = true;
        add_result(d, n, r, v);
        break;
    case RECORD_DONE:
        add_done(d, n, r, v);
        break;
    case RECORD_NOTE:
        if (VAL_GET(v, "held")) {
            n->status = NODE_HELD;
            n->message = keep_text(d, v, STR("held"));
        }
        if (VAL_GET(v, "turn")) {
            n->turn_wait = keep_text(d, v, STR("why"));
            n->turn_life = d->lives;
        }
        break;
    default:
        break;
    }
}

enum rc digest_add(struct digest *d, const struct record *r, struct err *err)
{
    struct arena a = {0};
    struct val v = val_null;
    enum rc rc = r->data.n ? json_parse(&a, r->data, &JSON_LIMITS_DEFAULT, &v, err) : RC_OK;
    if (rc != RC_OK) {
        arena_done(&a);
        err_wrap(err, "record %llu", (unsigned long long)r->seq);
        return err->rc = RC_CORRUPT;
    }
    d->records++;
    d->last_seq = r->seq;
    d->last_ms = r->time_ms;
    if (r->kind == RECORD_RUN)
        add_run(d, r, &v);
    else if (r->kind == RECORD_RESUME)
        add_resume(d, r, &v);
    else if (r->kind == RECORD_END)
        add_end(d, &v);
    else if (r->path.n)
        add_to_node(d, r, &v);
    else if (r->kind == RECORD_NOTE && VAL_GET(&v, "session"))
        d->mode = keep_text(d, VAL_GET(&v, "session"), STR("mode"));
    arena_done(&a);
    return RC_OK;
}

/* ---- looking ---- */

/* Deeper than any workflow nests, and no recursion that a journal could drive. */
const struct digest_node *digest_next(const struct digest_node *n, const struct digest_node *top)
{
    if (n->first)
        return n->first;
    while (n != top && !n->next)
        n = n->parent;
    return n == top ? NULL : n->next;
}

static struct digest_node *change(struct digest *d, const struct digest_node *n)
{
    return n == d->root ? d->root : map_get(&d->nodes, n->path);
}

void digest_count(struct digest *d)
{
    for (const struct digest_node *at = d->root; at; at = digest_next(at, d->root)) {
        struct digest_node *n = change(d, at);
        n->total = n->ok = n->failed = n->running = 0;
        n->trouble = false;
        for (const struct digest_node *c = n->first; c; c = c->next) {
            n->total++;
            n->ok += c->status == NODE_OK || c->status == NODE_SKIPPED || c->status == NODE_CONTINUED;
            n->failed += c->status == NODE_FAILED;
            n->running += c->status == NODE_OPEN || c->status == NODE_RETRYING || c->status == NODE_HELD ||
                          c->status == NODE_WAITING;
        }
    }
    for (const struct digest_node *at = digest_next(d->root, d->root); at; at = digest_next(at, d->root)) {
        bool fine = at->status == NODE_OK || at->status == NODE_SKIPPED || at->status == NODE_VOID;
        for (struct digest_node *up = change(d, at); !fine && up && !up->trouble; up = up->parent)
            up->trouble = true;
    }
}

const char *digest_status(const struct digest_node *n, const char *run)
{
    static const char *const names[] = {[NODE_OPEN] = "running",
                                        [NODE_RETRYING] = "retrying",
                                        [NODE_HELD] = "held",
                                        [NODE_WAITING] = "waiting",
                                        [NODE_OK] = "done",
                                        [NODE_SKIPPED] = "skipped",
                                        [NODE_CONTINUED] = "failed, went on",
                                        [NODE_FAILED] = "failed",
                                        [NODE_VOID] = "pending"};
    bool over = !str_is(str_c(run), "running") && !str_is(str_c(run), "starting");
    if (over && n->status == NODE_WAITING && !str_is(str_c(run), "cancelled") && !str_is(str_c(run), "failed"))
        return "waiting";
    if (over && (n->status == NODE_OPEN || n->status == NODE_WAITING || n->status == NODE_RETRYING))
        return str_is(str_c(run), "waiting")     ? "waiting"
               : str_is(str_c(run), "cancelled") ? "cancelled"
                                                 : "interrupted";
    return names[n->status];
}

struct str digest_turn_wait(const struct digest *d, const struct digest_node *n)
{
    return n->status == NODE_OPEN && n->turn_life == d->lives && !d->status.n ? n->turn_wait : str_n("", 0);
}

bool digest_waits(const struct digest_node *n)
{
    bool waits = n->wait && n->status == NODE_WAITING;
    for (const struct digest_node *up = n->parent; waits && up && up->parent; up = up->parent)
        waits = up->status == NODE_OPEN;
    return waits;
}

/* False when steps of that name have several types. */
static bool type_in(const struct workflow *w, struct str name, struct str *type)
{
    for (size_t i = 0; i < w->nall; i++) {
        if (!str_eq(w->all[i]->name, name))
            continue;
        if (type->n && !str_eq(*type, w->all[i]->type_name))
            return false;
        *type = w->all[i]->type_name;
    }
    return true;
}

static bool type_in_all(const struct workflow *w, struct str name, struct str *type)
{
    struct arena a = {0};
    size_t n;
    const struct workflow *const *all = workflow_all(w, &a, &n);
    bool good = true;
    for (size_t i = 0; good && i < n; i++)
        good = type_in(all[i], name, type);
    arena_done(&a);
    return good;
}

struct str digest_type(const struct digest_node *n, const struct workflow *w)
{
    struct str type = {"", 0};
    return w && !n->effect && type_in_all(w, n->name, &type) ? type : str_n("", 0);
}

const struct digest_node *digest_find(const struct digest_node *n, enum node_status status)
{
    const struct digest_node *found = NULL;
    for (const struct digest_node *at = n; at; at = digest_next(at, n)) {
        bool settled = at->status != status;
        for (const struct digest_node *up = at; up != n && !settled;) {
            up = up->parent;
            settled = up->status == NODE_OK || up->status == NODE_SKIPPED || up->status == NODE_CONTINUED;
        }
        if (settled)
            continue;
        bool below = false;
        for (const struct digest_node *up = at; found && up && !below; up = up->parent)
            below = up == found;
        if (!found || below)
            found = at;
    }
    return found;
}
