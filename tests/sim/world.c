/* What the outside does is a function of the seed and of the frame's path, never of how often Treadle died: a model
 * asked the same thing answers the same. So the results of a run with crashes must equal those of one without. */
#include "sim/world.h"

#include "base/panic.h"
#include "base/sha256.h"
#include "data/json.h"
#include "flow/step.h"
#include "flow/wait.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

__attribute__((format(printf, 2, 3))) static void violate(struct world *w, const char *fmt, ...)
{
    if (w->violation[0])
        return;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(w->violation, sizeof w->violation, fmt, ap);
    va_end(ap);
}

static uint64_t choose(struct world *w, uint64_t n)
{
    return rng_below(&w->choices, n);
}

static struct pending_event *add_event(struct world *w, enum world_event kind, int64_t delay)
{
    if (w->nevents == w->cap) {
        w->cap = w->cap ? w->cap * 2 : 64;
        w->events = realloc(w->events, w->cap * sizeof *w->events);
        CHECK(w->events);
    }
    struct pending_event *e = &w->events[w->nevents++];
    *e = (struct pending_event){.kind = kind, .at = w->now + delay, .order = ++w->order};
    return e;
}

static struct deed *deed_of(struct world *w, struct str path)
{
    struct deed *d = map_get(&w->deeds, path);
    if (!d) {
        d = ARENA_NEW(&w->arena, struct deed);
        snprintf(d->path, sizeof d->path, "%.*s", STR_ARG(path));
        map_put(&w->deeds, str_c(d->path), d);
        struct rng own;
        rng_seed(&own, str_hash(path, 7)); /* the same in every life and every trial */
        d->failures = rng_below(&own, 100) < w->failure_percent ? 1 + (unsigned)rng_below(&own, 2) : 0;
    }
    return d;
}

static void start_effect(void *ctx, const struct effect *e);
static void effect_fires(struct world *w, size_t i);
static void forget_durable(struct world *w, uint64_t batch);
static struct str life_of(void *ctx, enum effect_kind kind);
static void leave_in_order(struct world *w);
static void drop_event(struct world *w, size_t i);
static void executor_may_die(struct world *w);
static struct val session_result(struct world *w, struct arena *a, const struct pending_event *p, bool *ok);

static void note_answer(struct world *w, const struct record *r);
static void note_wait(struct world *w, const struct event *e);
static void turn_left(void *ctx, uint64_t number);

/* ---- what paths say ---- */

/* The last segment, and what is before it. */
static struct str last_segment(struct str path, struct str *ret_rest)
{
    size_t i = path.n;
    while (i && path.p[i - 1] != '/')
        i--;
    *ret_rest = str_n(path.p, i ? i - 1 : 0);
    return str_from(path, i);
}

/* `s7~2` is an attempt at s7. */
static struct str plain_segment(struct str segment)
{
    size_t at = str_find(segment, STR("~"));
    return at == SIZE_MAX ? segment : str_n(segment.p, at);
}

/* A step as it is written, whether or not anything was loaded of it; names are given once. */
static const struct val *step_written(const struct val *in, struct str name)
{
    const struct val *found = NULL;
    if (in->type == VAL_OBJECT && str_eq(val_get_str(in, STR("name"), STR("")), name))
        return in;
    for (size_t i = 0; in->type == VAL_OBJECT && !found && i < in->obj.n; i++)
        found = step_written(&in->obj.m[i].val, name);
    for (size_t i = 0; in->type == VAL_ARRAY && !found && i < in->arr.n; i++)
        found = step_written(&in->arr.v[i], name);
    return found;
}

/* The step that the frame at `path` is an effect of. */
static const struct val *step_of_effect(const struct world *w, struct str path)
{
    struct str step, rest;
    (void)last_segment(path, &step);
    return step_written(w->workflow->source, plain_segment(last_segment(step, &rest)));
}

/* ---- the disk ---- */

static void key_of(const struct record *r, char *out, size_t size)
{
    snprintf(out, size, "%d %u %.*s", r->kind, r->attempt, STR_ARG(r->path));
}

static bool repeats(enum record_kind k)
{
    return k == RECORD_RESUME || k == RECORD_NOTE || k == RECORD_WRITE || k == RECORD_END;
}

static void take(void *ctx, const struct record *r)
{
    struct world *w = ctx;
    if (w->ndisk == w->disk_cap) {
        w->disk_cap = w->disk_cap ? w->disk_cap * 2 : 256;
        w->disk = realloc(w->disk, w->disk_cap * sizeof *w->disk);
        CHECK(w->disk);
    }
    struct world_record *d = &w->disk[w->ndisk++];
    d->r = *r;
    d->r.path = arena_str(&w->arena, r->path);
    d->r.data = arena_str(&w->arena, r->data);
    d->r.seq = ++w->seq;
    d->batch = w->batch + 1;
}

/* The step that ends at path[i], `~N` taken off: its path, its attempt, and what comes below it. */
static struct str step_at(struct str path, size_t i, unsigned *attempt, struct str *below)
{
    struct str step = str_n(path.p, i);
    *below = str_from(path, i);
    *attempt = 1;
    for (size_t k = i; k-- > 0 && path.p[k] != '/';)
        if (path.p[k] == '~') {
            int64_t n = 0;
            CHECK(str_to_i64(str_n(path.p + k + 1, i - k - 1), &n));
            *attempt = (unsigned)n;
            step.n = k;
        }
    return step;
}

/* A new attempt at a step begins only when the one before it has ended, whatever crashed meanwhile. */
static void note_attempt(struct world *w, struct str path, size_t i, const struct record *r)
{
    unsigned attempt;
    struct str below, step = step_at(path, i, &attempt, &below);
    struct attempts *a = map_get(&w->attempts, step);
    if (!a) {
        a = ARENA_NEW(&w->arena, struct attempts);
        a->path = arena_str(&w->arena, step);
        map_put(&w->attempts, a->path, a);
    }
    bool own = below.n == 0;
    if (own && r->kind != RECORD_DONE)
        attempt = r->attempt;
    if (attempt > a->current) {
        if (a->current && !a->ended)
            violate(w, "attempt %u at %.*s began though attempt %u had not ended", attempt, STR_ARG(step), a->current);
        a->current = attempt;
        a->ended = false;
    }
    if (own && (r->kind == RECORD_RESULT || r->kind == RECORD_DONE))
        a->ended = true;
    if (own && r->kind == RECORD_DONE)
        a->handled = false;
    else if (str_starts(below, STR("/on_error:")))
        a->handled = true;
}

/* "a/0/b~2/turn:1" tells of attempt 1 at a and a/0, and of attempt 2 at a/0/b. */
static void note_attempts(struct world *w, const struct record *r)
{
    bool effect = r->kind == RECORD_INTENT || r->kind == RECORD_NOTE || map_get(&w->deeds, r->path);
    for (size_t i = 1; i < r->path.n; i++)
        if (r->path.p[i] == '/')
            note_attempt(w, r->path, i, r);
    if (r->path.n && !effect && r->kind != RECORD_WRITE)
        note_attempt(w, r->path, r->path.n, r);
}

/* What a handler does must not be followed by another try at the step that it handles the failure of. */
static void check_handlers(struct world *w, struct str path)
{
    for (size_t i = 1; i < path.n; i++) {
        if (path.p[i] != '/')
            continue;
        unsigned attempt;
        struct str below, step = step_at(path, i, &attempt, &below);
        const struct attempts *a = map_get(&w->attempts, step);
        if (a && a->handled && !str_starts(below, STR("/on_error:")))
            violate(w, "%.*s is done though the failure of %.*s is being handled", STR_ARG(path), STR_ARG(step));
    }
}

static void made_durable(struct world *w, uint64_t batch)
{
    for (size_t i = 0; i < w->ndisk; i++) {
        const struct record *r = &w->disk[i].r;
        if (w->disk[i].batch != batch)
            continue;
        note_attempts(w, r);
        note_answer(w, r);
        if (r->kind == RECORD_INTENT && map_get(&w->deeds, r->path))
            deed_of(w, r->path)->never = 0;
        char key[300];
        key_of(r, key, sizeof key);
        struct str k = arena_str(&w->arena, str_c(key));
        if (!repeats(r->kind) && map_put(&w->once, k, w))
            violate(w, "record written twice: %s", key);
        if (r->kind == RECORD_RESULT && str_find(r->data, STR("{\"ok\"")) == 0) {
            struct deed *d = map_get(&w->deeds, r->path);
            if (d)
                d->committed = true;
        }
    }
    w->durable = batch;
    forget_durable(w, batch);
    struct deed **at = &w->due;
    while (*at) {
        struct deed *d = *at;
        if (d->due > batch) {
            at = &d->next_due;
            continue;
        }
        if (!d->committed)
            violate(w, "the result of %s was not recorded", d->path);
        d->due = 0;
        *at = d->next_due;
    }
}

static bool intent_durable(const struct world *w, struct str path, uint32_t attempt)
{
    char key[300];
    key_of(&(struct record){.kind = RECORD_INTENT, .path = path, .attempt = attempt}, key, sizeof key);
    return map_get(&w->once, str_c(key)) != NULL;
}

/* ---- effects ---- */

/* Some calls are never answered; a step's timeout comes long before they give up. */
static bool hangs(enum effect_kind kind, struct str path)
{
    return kind == EFFECT_MODEL && str_hash(path, 13) % 10 == 0;
}

static struct val text_of(struct arena *a, const char *key, const char *text)
{
    struct val_map m = val_map_new(a);
    val_map_set(&m, str_c(key), val_str(arena_str(a, str_c(text))));
    return val_map_done(&m);
}

static struct val tool_result(struct world *w, struct arena *a, const struct val *request, bool *ok)
{
    struct str phase = val_get_str(request, STR("phase"), STR("")), tool = val_get_str(request, STR("tool"), STR(""));
    const struct val *plan = VAL_GET(request, "plan"), *input = VAL_GET(request, "input");
    struct val_map m = val_map_new(a);
    *ok = true;
    if (str_is(phase, "prepare")) {
        struct str place = val_get_str(request, STR("place"), STR("")); /* each has files of its own */
        struct str path = val_get_str(input, STR("file_path"), STR("x"));
        struct file *f = file_of(w, arena_printf(a, "%.*s:%.*s", STR_ARG(place), STR_ARG(path)));
        struct val_map p = val_map_new(a);
        struct str seed = arena_printf(a, "%s %.*s", f->hash, STR_ARG(json_canonical(a, input)));
        struct sha256 h = sha256_of(seed);
        struct sha256_hex x = sha256_hex(&h);
        VAL_MAP_SET(&p, "path", val_str(str_c(f->path)));
        VAL_MAP_SET(&p, "before", val_str(arena_str(a, str_c(f->hash))));
        VAL_MAP_SET(&p, "after", val_str(arena_str(a, str_c(x.z))));
        VAL_MAP_SET(&m, "plan", val_map_done(&p));
        return val_map_done(&m);
    }
    if (plan) {
        struct file *f = file_of(w, val_get_str(plan, STR("path"), STR("x")));
        struct str before = val_get_str(plan, STR("before"), STR("")), after = val_get_str(plan, STR("after"), STR(""));
        if (str_is(phase, "settle")) {
            const char *o = str_is(after, f->hash) ? "done" : str_is(before, f->hash) ? "again" : "changed";
            return text_of(a, "outcome", o);
        }
        if (!str_is(before, f->hash))
            violate(w, "file %s changed twice", f->path);
        snprintf(f->hash, sizeof f->hash, "%.*s", STR_ARG(after));
        return text_of(a, "text", "The file has been written.");
    }
    VAL_MAP_SET(&m, "text", val_str(arena_printf(a, "%.*s said so", STR_ARG(tool))));
    VAL_MAP_SET(&m, "is_error", val_false);
    return val_map_done(&m);
}

/* One file for each operation, named by its path, since what matters is that it changes once. */
static struct val files_result(struct world *w, struct arena *a, const struct pending_event *p, bool *ok)
{
    const struct val *request = &p->request->val, *plan = VAL_GET(request, "plan");
    struct str phase = val_get_str(request, STR("phase"), STR(""));
    struct file *f = file_of(w, arena_printf(a, "files of %s", p->path));
    struct val_map m = val_map_new(a), done = val_map_new(a);
    uint64_t h = str_hash(str_c(p->path), 21);
    VAL_MAP_SET(&done, "operation", val_str(val_get_str(request, STR("operation"), STR(""))));
    VAL_MAP_SET(&done, "status", VAL_LIT("completed"));
    if (str_starts(val_get_str(request, STR("operation"), STR("")), STR("stream_")) && !VAL_GET(request, "chunks")) {
        struct val_list ends = val_list_new(a); /* of a file of up to three chunks */
        for (uint64_t i = 0; i < h % 4; i++)
            val_list_push(&ends, val_int((int64_t)i + 1));
        VAL_MAP_SET(&done, "stamp", VAL_LIT("as it was"));
        VAL_MAP_SET(&done, "ends", val_list_done(&ends));
        VAL_MAP_SET(&done, "text",
                    val_str(arena_printf(a, "from %lld\n", (long long)val_get_int(request, STR("from"), 0))));
        *ok = h % 37 != 0;
        return *ok ? val_map_done(&done) : text_of(a, "class", "conflict");
    }
    if (h % 7 == 0 && !str_is(phase, "settle")) {
        *ok = false;
        return text_of(a, "class", "not_found");
    }
    if (str_is(phase, "prepare") && h % 5) {
        struct val_map made = val_map_new(a);
        VAL_MAP_SET(&made, "before", val_str(arena_str(a, str_c(f->hash))));
        VAL_MAP_SET(&made, "after", val_str(arena_printf(a, "%s+", f->hash)));
        VAL_MAP_SET(&m, "plan", val_map_done(&made));
        return val_map_done(&m);
    }
    if (!plan) /* only looked, or there was nothing to do */
        return val_map_done(&done);
    struct str before = val_get_str(plan, STR("before"), STR("?")), after = val_get_str(plan, STR("after"), STR("?"));
    if (str_is(phase, "settle")) {
        const char *o = str_is(after, f->hash) ? "done" : str_is(before, f->hash) ? "again" : "changed";
        VAL_MAP_SET(&m, "outcome", val_str(str_c(o)));
        VAL_MAP_SET(&m, "result", val_map_done(&done));
        return val_map_done(&m);
    }
    if (!str_is(before, f->hash))
        violate(w, "%s changed twice", f->path);
    snprintf(f->hash, sizeof f->hash, "%.*s", STR_ARG(after));
    return val_map_done(&done);
}

/* Tools are asked for in the first turns, as many as the path's hash says. */
static struct val model_result(const struct world *w, struct arena *a, const char *path, const struct val *request)
{
    uint64_t h = str_hash(val_get_str(request, STR("step"), STR("")), 3);
    int64_t turn = val_get_int(request, STR("turn"), 1);
    struct val_map m = val_map_new(a), u = val_map_new(a);
    bool more = VAL_GET(request, "tools") && turn <= (int64_t)(h % 3);
    struct str text = arena_printf(a, "answer of %s", path);
    if (VAL_GET(request, "schema")) /* right at once, or after one, two or too many corrections */
        text = turn > (int64_t)(h % 5) ? STR("{\"a\": 1}") : STR("{}");
    VAL_MAP_SET(&m, "text", val_str(text));
    VAL_MAP_SET(&m, "raw", val_str(text));
    struct val_list calls = val_list_new(a);
    static const char *const tools[] = {"Read", "Write", "Bash", "Edit"};
    for (uint64_t i = 0; more && i < 1 + h / 7 % 2; i++) {
        struct val_map c = val_map_new(a);
        VAL_MAP_SET(&c, "id", val_str(arena_printf(a, "id%llu", (unsigned long long)i)));
        VAL_MAP_SET(&c, "name", val_str(str_c(tools[(h / 11 + i + (uint64_t)turn) % 4])));
        VAL_MAP_SET(&c, "input", text_of(a, "file_path", arena_printf(a, "%s.txt", path).p));
        val_list_push(&calls, val_map_done(&c));
    }
    VAL_MAP_SET(&m, "tool_calls", val_list_done(&calls));
    struct str stop = more                                ? STR("tool_use")
                      : h % 17 == 0 && turn == 1          ? STR("pause")
                      : h % 41 == 0 && w->failure_percent ? STR("refusal")
                                                          : STR("end_turn");
    VAL_MAP_SET(&m, "stop_reason", val_str(stop));
    VAL_MAP_SET(&u, "input_tokens", val_int(10));
    VAL_MAP_SET(&u, "output_tokens", val_int(5));
    VAL_MAP_SET(&m, "usage", val_map_done(&u));
    VAL_MAP_SET(&m, "cost_usd", val_double(0.001));
    return val_map_done(&m);
}

static struct val file_read(struct arena *a, const struct val *request)
{
    static const char *const texts[][2] = {{"sub.yaml", WORLD_WORKFLOW},
                                           {"sub", WORLD_WORKFLOW}, /* a stored one */
                                           {"parts.yaml", "greet:\n  hi: [{type: file, path: p.md}]\n"},
                                           {"rows.csv", "a,b\n1,2\n"}};
    struct val_map m = val_map_new(a);
    struct val_list files = val_list_new(a);
    struct str path = val_get_str(request, STR("path"), STR(""));
    const char *text = "4\n2\n3\n";
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (str_is(path, texts[i][0]))
            text = texts[i][1];
    for (size_t i = 0; i < 3; i++)
        val_list_push(&files, val_str(arena_printf(a, "f%zu.c", i)));
    VAL_MAP_SET(&m, "path", VAL_LIT("/sim/sub.yaml"));
    VAL_MAP_SET(&m, "text", val_str(str_c(text)));
    if (val_get_bool(request, STR("list"), false))
        VAL_MAP_SET(&m, "files", val_list_done(&files));
    return val_map_done(&m);
}

static bool is_apply(const struct pending_event *p)
{
    return str_is(val_get_str(&p->request->val, STR("phase"), STR("apply")), "apply");
}

/* A failure that a crash undid is no failure: the effect will fail once more, so that as many count in each trial. */
static unsigned failures_recorded(const struct world *w, struct str path)
{
    unsigned n = 0;
    for (size_t i = 0; i < w->ndisk; i++)
        n += w->disk[i].r.kind == RECORD_RESULT && str_eq(w->disk[i].r.path, path) &&
             str_starts(w->disk[i].r.data, STR("{\"error\""));
    return n;
}

static struct val effect_result(struct world *w, const struct pending_event *p, struct arena *a, bool *ok)
{
    struct deed *d = deed_of(w, str_c(p->path));
    const struct val *request = &p->request->val;
    bool apply = is_apply(p);
    *ok = true;
    if (p->cancelled) {
        *ok = false;
        return text_of(a, "class", "cancelled");
    }
    if (p->effect == EFFECT_MODEL && str_hash(str_c(p->path), 9) % 40 == 0 && w->failure_percent) {
        *ok = false; /* some questions never get an answer */
        return text_of(a, "class", "invalid_request");
    }
    if (p->effect == EFFECT_CODE && str_hash(str_c(p->path), 11) % 6 == 0 && w->failure_percent) {
        *ok = false; /* a file named there does not exist */
        return text_of(a, "class", "not_found");
    }
    if (hangs(p->effect, str_c(p->path))) {
        *ok = false;
        return text_of(a, "class", "timeout");
    }
    unsigned failed = d->failures ? failures_recorded(w, str_c(p->path)) : 0;
    if (apply && failed < d->failures && p->effect == EFFECT_MODEL) {
        *ok = false;
        return text_of(a, "class", (d->failures - failed) % 2 ? "network" : "rate_limit");
    }
    struct val_map m = val_map_new(a);
    if (writes(p) && !apply)
        return command_phase(w, a, p);
    if (writes(p))
        files_change(w, p, true);
    switch (p->effect) {
    case EFFECT_MODEL:
        return model_result(w, a, p->path, request);
    case EFFECT_TOOL:
        return tool_result(w, a, request, ok);
    case EFFECT_FILES:
        return files_result(w, a, p, ok);
    case EFFECT_WORKSPACE:
        return files_workspace(w, a, request, ok);
    case EFFECT_COMMAND: {
        struct val_map c = val_map_new(a);
        uint64_t h = str_hash(str_c(p->path), 5);
        VAL_MAP_SET(&c, "exit_code", val_int(h % 4 == 0));
        VAL_MAP_SET(&c, "stdout", val_str(STR("out")));
        VAL_MAP_SET(&c, "stderr", val_str(STR("")));
        return val_map_done(&c);
    }
    case EFFECT_READ:
        return file_read(a, request);
    case EFFECT_SESSION:
        return session_result(w, a, p, ok);
    case EFFECT_CACHE: /* what earlier runs have kept is a matter of the entry */
        if (str_hash(str_c(p->path), 23) % 7 == 0) {
            *ok = false;
            return text_of(a, "class", "io");
        }
        if (str_is(val_get_str(request, STR("op"), STR("")), "find")) {
            bool found = str_hash(val_get_str(request, STR("entry"), STR("")), 29) % 3 == 0;
            VAL_MAP_SET(&m, "found", val_bool(found));
            if (found)
                VAL_MAP_SET(&m, "result", text_of(a, "text", "kept by an earlier run"));
        }
        return val_map_done(&m);
    case EFFECT_CHECKPOINT: { /* what was saved by other runs is a matter of the name */
        struct str name = val_get_str(request, STR("name"), STR("")),
                   act = val_get_str(request, STR("action"), STR(""));
        bool recall = str_is(act, "recall"), load = recall || str_is(act, "load"),
             found = recall || str_hash(name, 17) % 2;
        if (load)
            VAL_MAP_SET(&m, "found", val_bool(found));
        if (!load || found)
            VAL_MAP_SET(&m, "saved_ms", val_int(1000));
        if (load && found)
            VAL_MAP_SET(&m, "state",
                        text_of(a, recall ? "kept_0" : arena_printf(a, "v_%.*s", STR_ARG(name)).p, "loaded"));
        return val_map_done(&m);
    }
    case EFFECT_OUTPUT:
        VAL_MAP_SET(&m, "path", VAL_LIT("/out/file"));
        return val_map_done(&m);
    case EFFECT_CODE: {
        struct val_map c = val_map_new(a);
        VAL_MAP_SET(&c, "project_type", VAL_LIT("sim"));
        if (val_get_bool(request, STR("context"), false))
            VAL_MAP_SET(&m, "codebase", val_map_done(&c));
        VAL_MAP_SET(&m, "q", val_empty_array);
        return val_map_done(&m);
    }
    case EFFECT_LOAD:
        break;
    }
    return val_null;
}

/* ---- answers ---- */

static struct wish *wish_of(struct world *w, struct str path, struct str name)
{
    struct wish *x = map_get(&w->wishes, path);
    if (!x) {
        x = ARENA_NEW(&w->arena, struct wish);
        snprintf(x->path, sizeof x->path, "%.*s", STR_ARG(path));
        snprintf(x->name, sizeof x->name, "%.*s", STR_ARG(name));
        x->next = w->first_wish;
        w->first_wish = x;
        map_put(&w->wishes, str_c(x->path), x);
    }
    return x;
}

static void plan_answer(struct world *w, const struct wish *x)
{
    if (x->done)
        return;
    struct pending_event *e = add_event(w, WORLD_ANSWER, (int64_t)choose(w, 3000));
    snprintf(e->path, sizeof e->path, "%s", x->path);
    if (choose(w, 8) == 0) { /* and once more */
        e = add_event(w, WORLD_ANSWER, (int64_t)choose(w, 6000));
        snprintf(e->path, sizeof e->path, "%s", x->path);
    }
}

static void note_wait(struct world *w, const struct event *e)
{
    struct str name = val_get_str(e->data, STR("signal"), STR("")), what = val_get_str(e->data, STR("for"), STR(""));
    bool never = str_starts(name, STR("never")) || str_is(val_get_str(e->data, STR("message"), STR("")), "never");
    if (!never && !str_is(what, "time"))
        plan_answer(w, wish_of(w, e->path, name));
}

static struct val signal_data(struct arena *a, const char *name)
{
    struct val_map m = val_map_new(a);
    VAL_MAP_SET(&m, "n", val_str(str_c(name)));
    return val_map_done(&m);
}

static struct val choice_of(struct arena *a, const char *path)
{
    struct val_map m = val_map_new(a);
    VAL_MAP_SET(&m, "choice", str_hash(str_c(path), 21) % 3 ? VAL_LIT("approve") : VAL_LIT("reject"));
    VAL_MAP_SET(&m, "by", VAL_LIT("sim"));
    return val_map_done(&m);
}

/* Somebody speaks to the living run. */
static void give_answer(struct world *w, struct wish *x)
{
    struct arena a = {0};
    struct err err;
    bool known = false;
    enum rc rc;
    if (x->name[0]) {
        struct val v = signal_data(&a, x->name), wrong = val_int(1);
        if (str_starts(str_c(x->name), STR("go_if")) && choose(w, 4) == 0 &&
            run_signal(w->run, str_c(x->name), &wrong, STR(""), STR(""), &known, &err) != RC_OK)
            w->answers[3]++;
        rc = run_signal(w->run, str_c(x->name), &v, str_c(x->path), STR("sim"), &known, &err);
        if (rc != RC_OK && rc != RC_BUSY)
            violate(w, "signal %s was refused: %s", x->name, err.msg);
        w->answers[known ? 2 : rc ? 3 : 0]++;
    } else {
        struct val v = choice_of(&a, x->path);
        rc = run_answer(w->run, str_c(x->path), &v, &err);
        if (rc != RC_OK && rc != RC_BUSY && rc != RC_NOT_FOUND)
            violate(w, "the answer at %s was refused: %s", x->path, err.msg);
        w->answers[rc ? 3 : 0]++;
    }
    arena_done(&a);
}

static bool on_disk(const struct world *w, enum record_kind kind, struct str path, uint32_t *attempt)
{
    *attempt = 0;
    for (size_t i = 0; i < w->ndisk; i++)
        if (w->disk[i].r.kind == kind && str_eq(w->disk[i].r.path, path) && w->disk[i].r.attempt > *attempt)
            *attempt = w->disk[i].r.attempt;
    return *attempt;
}

static void write_dead(struct world *w, const struct record *r)
{
    take(w, r);
    w->disk[w->ndisk - 1].batch = 0; /* durable at once */
    w->answers[1]++;
}

/* Somebody writes into the journal of a run that nobody carries on, as `treadle approve` and `signal` do. */
static void answer_dead(struct world *w, struct wish *x)
{
    struct arena a = {0};
    struct err err;
    struct val v, data;
    uint32_t intent, result, number;
    if (x->name[0]) {
        data = signal_data(&a, x->name);
        on_disk(w, RECORD_SIGNAL, STR(""), &number);
        CHECK(wait_signal_record(str_c(x->name), &data, str_c(x->path), STR("sim"), &a, &v, &err) == RC_OK);
        write_dead(w, &(struct record){.kind = RECORD_SIGNAL,
                                       .path = STR(""),
                                       .attempt = number + 1,
                                       .time_ms = w->now,
                                       .data = json_text(&a, &v)});
        x->done = true;
    } else if (on_disk(w, RECORD_INTENT, str_c(x->path), &intent) &&
               (!on_disk(w, RECORD_RESULT, str_c(x->path), &result) || result < intent)) {
        struct val_map m = val_map_new(&a), ok = val_map_new(&a);
        v = choice_of(&a, x->path);
        val_map_merge(&ok, &v);
        VAL_MAP_SET(&ok, "comment", VAL_LIT(""));
        VAL_MAP_SET(&ok, "data", val_null);
        VAL_MAP_SET(&m, "ok", val_map_done(&ok));
        data = val_map_done(&m);
        write_dead(w, &(struct record){.kind = RECORD_RESULT,
                                       .path = str_c(x->path),
                                       .attempt = intent,
                                       .time_ms = w->now,
                                       .data = json_text(&a, &data)});
        x->done = true;
    }
    arena_done(&a);
}

/* What a record that has become durable says about answers: they are not lost from now on, and taken once. */
static void note_answer(struct world *w, const struct record *r)
{
    struct arena a = {0};
    struct val v;
    struct err err;
    bool result = r->kind == RECORD_RESULT && str_ends(r->path, STR("/wait:1"));
    if ((result || r->kind == RECORD_SIGNAL) && json_parse(&a, r->data, &JSON_LIMITS_DEFAULT, &v, &err) == RC_OK) {
        struct wish *x = map_get(&w->wishes, result ? r->path : val_get_str(&v, STR("id"), STR("")));
        if (x && (!result || !x->name[0]))
            x->done = true;
        int64_t number = result ? val_get_int(&v, STR("signal"), 0) : 0;
        if (number && map_put(&w->taken, arena_printf(&w->arena, "%lld", (long long)number), w))
            violate(w, "signal %lld was taken twice, the second time at %.*s", (long long)number, STR_ARG(r->path));
    }
    arena_done(&a);
}

/* A new life: who did not get through tries again, or has written his answer meanwhile. Some come before anybody asks.
 */
static void plan_answers(struct world *w)
{
    for (size_t i = 0; i < w->workflow->nall && !w->ndisk; i++) {
        const struct step_def *d = w->workflow->all[i];
        struct str name = val_get_str(d->source, STR("signal"), STR(""));
        if (str_is(str_c(d->type->name), "wait_signal") && str_starts(name, STR("go")) && choose(w, 3) == 0)
            (void)wish_of(w, arena_printf(&w->arena, "early %.*s", STR_ARG(name)), name);
    }
    for (struct wish *x = w->first_wish; x; x = x->next) {
        if (!x->done && w->ndisk && choose(w, 3) == 0)
            answer_dead(w, x);
        if (x->name[0]) /* those who wait for a choice ask for it again */
            plan_answer(w, x);
    }
}

/* ---- events for people ---- */

static void count_event(void *ctx, const struct event *e)
{
    struct world *w = ctx;
    const struct step_type *t = step_type_find(e->type);
    size_t i = 0;
    while (t && step_type_at(i) != t)
        i++;
    struct coverage *c = &w->cover[t ? i : COVER_EFFECTS];
    switch (e->kind) {
    case EVENT_STARTED:
        c->ran++;
        break;
    case EVENT_FINISHED:
        c->ok++;
        c->continued += str_is(e->detail, "continued");
        break;
    case EVENT_FAILED:
        c->failed++;
        break;
    case EVENT_SKIPPED:
        c->skipped++;
        break;
    case EVENT_RETRY:
        c->retried++;
        break;
    case EVENT_WAIT:
        note_wait(w, e);
        break;
    case EVENT_HELD:
        c->held++;
        if (map_get(&w->deeds, e->path) && deed_of(w, e->path)->never == w->life)
            violate(w, "%.*s is held though it is known not to have begun", STR_ARG(e->path));
        break;
    default:
        break;
    }
}

static void effect_cancelled(void *ctx, uint64_t effect)
{
    struct world *w = ctx;
    struct arena a = {0};
    struct val v = text_of(&a, "class", "cancelled");
    run_effect_done(w->run, effect, false, &v);
    arena_done(&a);
}

static const struct outbox_ops outbox_ops = {start_effect, count_event, effect_cancelled, turn_left};

/* ---- other runs in the workspace ---- */

static bool io_turn_ask(void *ctx, struct turn_holder *who)
{
    struct world *w = ctx;
    if (w->turn_asked || (w->turn_has && !w->turn_leaving))
        violate(w, "the turn is asked for again");
    w->turns++;
    if (w->turn_has && choose(w, 2)) { /* it was not yet free for others, and none of them waits */
        w->turn_leaving = false;
        return true;
    }
    if (!w->turn_has && choose(w, 2)) {
        w->turn_has = true;
        return true;
    }
    snprintf(who->z, sizeof who->z, "run other is writing there");
    w->turns_waited++;
    w->turn_asked = true;
    add_event(w, WORLD_TURN, (int64_t)choose(w, 300));
    return false;
}

static void io_turn_leave(void *ctx)
{
    struct world *w = ctx;
    for (size_t i = w->nevents; w->turn_asked && i-- > 0;)
        if (w->events[i].kind == WORLD_TURN)
            drop_event(w, i);
    bool only_asked = w->turn_asked;
    w->turn_asked = false;
    if (w->turn_has && !w->turn_leaving) {
        w->turn_leaving = true;
        outbox_leave(w->outbox, ++w->turn_number);
    } else if (!only_asked) {
        violate(w, "a turn is left that it has not");
    }
}

static void turn_left(void *ctx, uint64_t number)
{
    struct world *w = ctx;
    if (w->turn_leaving && number == w->turn_number)
        w->turn_has = w->turn_leaving = false;
}

static void turn_comes(struct world *w)
{
    w->turn_asked = w->turn_leaving = false;
    w->turn_has = true;
    run_turn(w->run);
}

/* A command that works in a view of its own needs no turn. */
static bool in_own_view(const struct world *w, const struct pending_event *p)
{
    const struct val *step = p->effect == EFFECT_COMMAND ? step_of_effect(w, str_c(p->path)) : NULL;
    return str_is(val_get_str(step, STR("workspace"), STR("")), "isolated");
}

/* Another run may write there at any time at which this one has not the turn. */
static void check_turn(struct world *w, const struct pending_event *p)
{
    const struct val *q = &p->request->val;
    struct str tool = val_get_str(q, STR("tool"), STR("")), action = val_get_str(q, STR("action"), STR(""));
    bool apart = VAL_GET(q, "place") || in_own_view(w, p);
    bool changes =
        p->effect == EFFECT_COMMAND ||
        (p->effect == EFFECT_TOOL && (str_is(tool, "Write") || str_is(tool, "Edit") || str_is(tool, "Bash"))) ||
        (p->effect == EFFECT_FILES && VAL_GET(q, "plan")) ||
        (p->effect == EFFECT_WORKSPACE && !str_is(action, "isolate"));
    if (changes && !apart && !w->turn_has)
        violate(w, "%s writes to the workspace out of turn", p->path);
}

/* ---- flow/io.h ---- */

static int64_t io_now(void *ctx)
{
    return ((struct world *)ctx)->now;
}
static uint64_t io_random(void *ctx)
{
    return rng_next(&((struct world *)ctx)->rng);
}
static void io_append(void *ctx, const struct record *r)
{
    outbox_append(((struct world *)ctx)->outbox, r);
}
static void io_effect(void *ctx, const struct effect *e)
{
    outbox_effect(((struct world *)ctx)->outbox, e);
}
static void io_emit(void *ctx, const struct event *e)
{
    outbox_event(((struct world *)ctx)->outbox, e);
}
static void io_wake(void *ctx)
{
    ((struct world *)ctx)->woken = true;
}
static void io_timer(void *ctx, uint64_t timer, int64_t ms)
{
    add_event(ctx, WORLD_TIMER, ms)->id = timer;
}

static void io_cancel(void *ctx, uint64_t effect)
{
    struct world *w = ctx;
    w->cover[COVER_CANCELS].cancelled++;
    if (outbox_cancel(w->outbox, effect)) {
        w->woken = true;
        return;
    }
    for (size_t i = 0; i < w->nevents; i++)
        if (w->events[i].kind == WORLD_EFFECT && w->events[i].id == effect && !w->events[i].orphan &&
            !w->events[i].told)
            w->events[i].cancelled = true, w->events[i].at = w->now + (int64_t)choose(w, 100);
}

static const struct flow_io io = {io_now,   io_random, io_append, io_effect,   io_cancel,    life_of,
                                  io_timer, io_emit,   io_wake,   io_turn_ask, io_turn_leave};

/* ---- the life of a world ---- */

void world_init(struct world *w, uint64_t seed, struct workflow *workflow, unsigned failure_percent)
{
    *w = (struct world){.seed = seed, .workflow = workflow, .now = 1000000, .failure_percent = failure_percent};
    w->alone = seed % 4 == 3;
    rng_seed(&w->choices, seed);
    rng_seed(&w->rng, seed ^ 0x5555);
    /* Most keep nothing for later readers, so that everything must be fetched. */
    w->options = (struct run_options){
        .id = STR("sim"), .workflow_sha256 = STR("0"), .shelf_bytes = seed % 3 ? 1 : 0, .keep_bytes = seed % 5 ? 1 : 0};
}

static void drop_run(struct world *w)
{
    run_free(w->run);
    outbox_free(w->outbox);
    w->run = NULL;
    w->outbox = NULL;
}

void world_done(struct world *w)
{
    drop_run(w);
    while (w->nevents)
        drop_event(w, w->nevents - 1);
    free(w->events);
    map_done(&w->begun);
    free(w->disk);
    map_done(&w->once);
    map_done(&w->deeds);
    map_done(&w->attempts);
    map_done(&w->files);
    map_done(&w->sessions);
    map_done(&w->wishes);
    map_done(&w->taken);
    arena_done(&w->arena);
}

static void voided(void *ctx, struct str path, bool forked)
{
    (void)forked;
    violate(ctx, "unexpected void of %.*s", STR_ARG(path));
}

void world_start(struct world *w, bool force)
{
    if (w->run) {
        leave_in_order(w);
        drop_run(w);
    }
    for (size_t i = w->nevents; i-- > 0;) /* timers of the life before go; effects have ended, were lost, or go on */
        if (!w->events[i].orphan)
            drop_event(w, i);
    w->life++;
    w->outbox = outbox_new(&outbox_ops, w);
    w->turn_asked = w->turn_has = w->turn_leaving = false;
    w->batch = w->durable = 0; /* the outbox counts from the start of a life */
    w->options.force = force;
    w->options.stay = choose(w, 2) ? STAY_FOR_ANSWERS : STAY_NO;
    plan_answers(w);
    w->run = run_new(w->workflow, &w->options, &io, w);
    struct err err;
    for (size_t i = 0; i < w->ndisk; i++) {
        w->disk[i].batch = 0;
        if (w->disk[i].r.kind == RECORD_RESUME && run_resume_voids(&w->disk[i].r, voided, w, &err) != RC_OK)
            violate(w, "%s", err.msg);
        if (run_recover(w->run, &w->disk[i].r, &err) != RC_OK)
            violate(w, "recovery: %s", err.msg);
    }
    run_start(w->run);
    w->woken = true;
}

/* Retries want their time even when nothing else happens. */
static size_t next_event(struct world *w)
{
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < w->nevents; i++) {
        const struct pending_event *e = &w->events[i], *b = best == SIZE_MAX ? e : &w->events[best];
        if (e->orphan || e->told)
            continue;
        if (best == SIZE_MAX || e->at < b->at || (e->at == b->at && e->order < b->order))
            best = i;
    }
    return best;
}

int64_t world_idle_ms(struct world *w)
{
    return w->woken || next_event(w) == SIZE_MAX ? 0 : w->events[next_event(w)].at - w->now;
}

static void seal(struct world *w)
{
    uint64_t batch = outbox_seal(w->outbox, take, w);
    if (batch) {
        w->batch = batch;
        /* durable in order: not before the one before */
        int64_t delay = (int64_t)choose(w, 30);
        for (size_t i = 0; i < w->nevents; i++)
            if (w->events[i].kind == WORLD_COMMIT && w->events[i].at > w->now + delay)
                delay = w->events[i].at - w->now;
        add_event(w, WORLD_COMMIT, delay)->id = batch;
    } else {
        outbox_release(w->outbox);
    }
}

static void fire(struct world *w)
{
    executor_may_die(w);
    size_t i = next_event(w);
    struct pending_event e = w->events[i];
    if (e.at > w->now)
        w->now = e.at;
    if (e.kind == WORLD_EFFECT) {
        effect_fires(w, i);
        return;
    }
    w->events[i] = w->events[--w->nevents];
    if (e.kind == WORLD_COMMIT) {
        made_durable(w, e.id);
        outbox_committed(w->outbox, e.id);
    } else if (e.kind == WORLD_TIMER) {
        run_timer(w->run, e.id);
    } else if (e.kind == WORLD_TURN) {
        turn_comes(w);
    } else if (run_status(w->run) == RUN_RUNNING) {
        give_answer(w, map_get(&w->wishes, str_c(e.path)));
    }
}

bool world_step(struct world *w)
{
    w->steps++;
    if (w->woken) {
        w->woken = false;
        if (run_work(w->run, 1 + (unsigned)choose(w, 8)))
            w->woken = true;
    } else if (next_event(w) != SIZE_MAX) {
        fire(w);
    } else if (run_status(w->run) == RUN_RUNNING) {
        violate(w, "the run is stuck: nothing will ever happen");
    }
    seal(w);
    run_check(w->run);
    if (w->violation[0])
        return false;
    return run_status(w->run) == RUN_RUNNING || !outbox_empty(w->outbox);
}

struct sha256 world_journal(const struct world *w)
{
    struct buf b;
    buf_init(&b, (size_t)256 << 20);
    for (size_t i = 0; i < w->ndisk; i++) {
        const struct record *r = &w->disk[i].r;
        buf_printf(&b, "%d %u %lld ", r->kind, r->attempt, (long long)r->time_ms);
        buf_add(&b, r->path);
        buf_addc(&b, ' ');
        buf_add(&b, r->data);
        buf_addc(&b, '\n');
    }
    struct sha256 h = sha256_of(buf_str(&b));
    buf_done(&b);
    return h;
}
