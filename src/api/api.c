/* A request's head is judged before its body is read (api_admit): its token, or, where none is asked for, where it
 * comes from, its Host and its Origin. Then it is matched against the table of routes by its exact path. */
#include "api/api.h"

#include "api/list.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "base/panic.h"
#include "data/json.h"
#include "flow/away.h"
#include "store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

enum { WAIT_MAX_S = 3600, LOOK_MS = 100, RUN_NAME_MAX = 80, WAITING_MAX = 512 /* half of the connections */ };
enum { RESULTS_MAX = 32 << 20 }; /* bytes of records that an answer about a run puts together */

struct pending {
    uint64_t id;
    struct http_exchange *exchange;
    int64_t wait_until; /* a start that waits for the end; 0: no */
};

struct api {
    struct api_options o;
    struct store *store; /* STORE_READ, opened when first needed */
    struct map pending;  /* id -> pending */
    struct waiting *waiting;
    size_t nwaiting;
    uint64_t next;
};

struct waiting { /* answers when the run has ended, or the time is over */
    struct waiting *prev, *next;
    struct api *api;
    struct http_exchange *exchange;
    struct arena arena;
    struct str run;
    int64_t until;
    ev_id timer;
};

/* ---- answers ---- */

static void send_json(struct http_exchange *x, int status, const struct val *v)
{
    struct arena a = {0};
    struct str text = json_text(&a, v);
    http_reply(x, status, status < 400 ? "application/json" : "application/problem+json", text);
    arena_done(&a);
}

static void send_problem(struct http_exchange *x, int status, const char *detail)
{
    struct arena a = {0};
    struct val_map m = val_map_new(&a);
    VAL_MAP_SET(&m, "type", VAL_LIT("about:blank"));
    VAL_MAP_SET(&m, "title", val_str(str_c(http_reason(status))));
    VAL_MAP_SET(&m, "status", val_int(status));
    VAL_MAP_SET(&m, "detail", val_str(str_c(detail)));
    struct val v = val_map_done(&m);
    if (status == 503)
        http_answer_header(x, "Retry-After", "1");
    send_json(x, status, &v);
    arena_done(&a);
}

/* ---- who may ask ---- */

/* "127.0.0.1:7433" and the like: a name that resolves to us by somebody else's will is refused. */
static bool is_loopback(struct str host)
{
    static const char *const names[] = {"localhost", "127.0.0.1", "[::1]"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct str name = str_c(names[i]);
        if (!str_starts(host, name))
            continue;
        struct str rest = str_from(host, name.n);
        int64_t port;
        if (!rest.n || (rest.p[0] == ':' && str_to_i64(str_from(rest, 1), &port) && port > 0 && port < 65536))
            return true;
    }
    return false;
}

/* All tokens are compared, and all bytes of each: the time says nothing. */
static bool has_token(const struct api *a, const struct http_exchange *x)
{
    struct str given = http_header(x, "authorization"), scheme = STR("Bearer ");
    if (given.n <= scheme.n || strncasecmp(given.p, scheme.p, scheme.n) != 0)
        return false;
    struct sha256 h = sha256_of(str_trim(str_from(given, scheme.n)));
    bool found = false;
    for (size_t i = 0; i < a->o.ntokens; i++) {
        unsigned differ = 0;
        for (size_t k = 0; k < sizeof h.b; k++)
            differ |= (unsigned)(h.b[k] ^ a->o.tokens[i].b[k]);
        found |= !differ;
    }
    return found;
}

struct http_refusal api_admit(const struct api *a, struct http_exchange *x)
{
    struct str host = http_header(x, "host"), origin = http_header(x, "origin"), scheme = STR("http://");
    if (a->o.ntokens) {
        if (has_token(a, x) || str_is(http_path(x), "/healthz"))
            return (struct http_refusal){0};
        http_answer_header(x, "WWW-Authenticate", "Bearer realm=\"treadle\"");
        return (struct http_refusal){401, "this service asks for a token: Authorization: Bearer TOKEN"};
    }
    if (http_local(x))
        return (struct http_refusal){0};
    if (!is_loopback(host))
        return (struct http_refusal){421, "the Host header must name the loopback, as in http://127.0.0.1:7433"};
    if (origin.n && !(str_starts(origin, scheme) && str_eq(str_from(origin, scheme.n), host)))
        return (struct http_refusal){403, "requests from other origins are refused"};
    return (struct http_refusal){0};
}

/* ---- looking ---- */

static enum rc open_store(struct api *a, struct err *err)
{
    return a->store ? RC_OK : store_open(a->o.db, STORE_READ, &a->store, err);
}

struct reading {
    struct store *store;
    struct str run;
    size_t left; /* bytes that may still be read */
    bool over;   /* and there were more */
};

struct reading_each {
    struct reading *x;
    bool (*cb)(void *ctx, const struct record *r);
    void *cb_ctx;
};

static bool read_one(void *ctx, const struct record *r)
{
    struct reading_each *e = ctx;
    e->x->over |= r->data.n > e->x->left;
    if (e->x->over)
        return false;
    e->x->left -= r->data.n;
    return e->cb(e->cb_ctx, r);
}

static enum rc read_each(void *ctx, enum record_kind kind, struct str path, bool below,
                         bool (*cb)(void *ctx, const struct record *r), void *cb_ctx, struct err *err)
{
    struct reading *x = ctx;
    struct reading_each each = {x, cb, cb_ctx};
    enum rc rc = store_each_at(x->store, x->run, kind, path, below, read_one, &each, err);
    return rc == RC_OK && x->over ? err_set(err, RC_LIMIT, "more than %d bytes", RESULTS_MAX) : rc;
}

/* With the iterations of loops in their places; they stand in records of their own. An answer is built in memory, and
 * others are waiting: of results that are too large for that it says so, and leaves them null. */
static enum rc whole_outcome(struct api *a, struct str run, struct arena *arena, struct val *outcome, struct val *ret,
                             struct err *err)
{
    const struct val *refs = VAL_GET(outcome, "refs");
    struct reading reading = {.store = a->store, .run = run, .left = RESULTS_MAX};
    struct away_reader r = {&reading, read_each};
    struct val_map m = val_map_new(arena);
    *ret = *outcome;
    if (!refs)
        return RC_OK;
    enum rc rc = away_put(arena, outcome, refs, err);
    for (size_t i = 0; i < outcome->obj.n; i++)
        if (!str_is(outcome->obj.m[i].key, "refs"))
            val_map_set(&m, outcome->obj.m[i].key, outcome->obj.m[i].val);
    struct val v = val_map_done(&m);
    rc = rc ? rc : away_expand(&r, &v, arena, ret, err);
    if (!reading.over)
        return rc;
    m = val_map_new(arena);
    val_map_merge(&m, &v);
    VAL_MAP_SET(&m, "results_left_out",
                val_str(arena_printf(arena,
                                     "the results are larger than %d MB: what is null in them is left out; "
                                     "`treadle show %.*s --json` writes all of it",
                                     RESULTS_MAX >> 20, STR_ARG(run))));
    *ret = val_map_done(&m);
    return RC_OK;
}

/* The answer about a run, built in `arena`; false: there is none of that name. */
static bool describe(struct api *a, struct str run, struct arena *arena, struct val *ret, bool *ret_over,
                     struct err *err)
{
    struct run_row row;
    struct val service, outcome;
    struct str text;
    if (open_store(a, err) != RC_OK || store_run(a->store, run, arena, &row, err) != RC_OK)
        return false;
    bool going = str_is(row.status, "queued") || str_is(row.status, "running");
    *ret_over = !going && !str_is(row.status, "interrupted");
    struct str sha = str_n("", 0);
    if (row.service.n && json_parse(arena, row.service, &JSON_LIMITS_DEFAULT, &service, err) == RC_OK)
        sha = val_get_str(&service, STR("outcome"), STR(""));
    if (*ret_over && sha.n && store_blob(a->store, sha, arena, &text, err) == RC_OK &&
        json_parse(arena, text, &JSON_LIMITS_DEFAULT, &outcome, err) == RC_OK &&
        str_eq(val_get_str(&outcome, STR("status"), STR("")), row.status)) {
        return whole_outcome(a, run, arena, &outcome, ret, err) == RC_OK;
    }
    struct val_map m = val_map_new(arena), u = val_map_new(arena);
    VAL_MAP_SET(&m, "run_id", val_str(row.id));
    VAL_MAP_SET(&m, "status", val_str(row.status));
    VAL_MAP_SET(&m, "results", val_empty_object);
    if (row.error.n) {
        struct val_map e = val_map_new(arena);
        VAL_MAP_SET(&e, "message", val_str(row.error));
        VAL_MAP_SET(&m, "error", val_map_done(&e));
    }
    VAL_MAP_SET(&u, "input_tokens", val_int(row.input_tokens));
    VAL_MAP_SET(&u, "output_tokens", val_int(row.output_tokens));
    VAL_MAP_SET(&u, "cost_usd", val_double(row.cost_usd));
    VAL_MAP_SET(&m, "usage", val_map_done(&u));
    /* an outcome that is not durable yet is not told: the row is the earlier one */
    *ret_over = *ret_over && !sha.n && str_is(row.status, "quarantined");
    *ret = val_map_done(&m);
    return true;
}

static void handle_show(struct api *a, struct http_exchange *x, struct str run, const struct val *body)
{
    (void)body;
    struct arena arena = {0};
    struct val v;
    struct err err;
    bool over;
    if (describe(a, run, &arena, &v, &over, &err))
        send_json(x, 200, &v);
    else
        send_problem(x, err.rc == RC_NOT_FOUND ? 404 : 503, err.msg);
    arena_done(&arena);
}

static void handle_list(struct api *a, struct http_exchange *x, struct str run, const struct val *body)
{
    struct arena arena = {0};
    struct val v;
    struct err err;
    (void)run, (void)body;
    if (open_store(a, &err) == RC_OK && list_runs(a->store, http_query(x), &arena, &v, &err) == RC_OK)
        send_json(x, 200, &v);
    else
        send_problem(x, err.rc == RC_INVALID ? 400 : 503, err.msg);
    arena_done(&arena);
}

static void look_again(void *ctx);

static void waiting_free(struct waiting *w)
{
    *(w->prev ? &w->prev->next : &w->api->waiting) = w->next;
    if (w->next)
        w->next->prev = w->prev;
    ev_cancel(w->api->o.loop, w->timer);
    arena_done(&w->arena);
    w->api->nwaiting--;
    free(w);
}

static void look_again(void *ctx)
{
    struct waiting *w = ctx;
    struct arena arena = {0};
    struct val v;
    struct err err;
    bool over = false;
    w->timer = 0;
    bool known = describe(w->api, w->run, &arena, &v, &over, &err);
    if (known && !over && clock_mono_ms() < w->until) {
        w->timer = ev_timer(w->api->o.loop, LOOK_MS, look_again, w);
    } else {
        if (known)
            send_json(w->exchange, over ? 200 : 202, &v);
        else
            send_problem(w->exchange, 503, err.msg);
        waiting_free(w);
    }
    arena_done(&arena);
}

static void wait_for_end(struct api *a, struct http_exchange *x, struct str run, int64_t until)
{
    struct waiting *w = calloc(1, sizeof *w);
    CHECK(w);
    *w = (struct waiting){.next = a->waiting, .api = a, .exchange = x, .until = until};
    w->run = arena_str(&w->arena, run);
    a->nwaiting++;
    if (w->next)
        w->next->prev = w;
    a->waiting = w;
    look_again(w);
}

/* ---- asking the engine ---- */

static struct str pending_key(const struct pending *p)
{
    return str_n((const char *)&p->id, sizeof p->id);
}

static void ask(struct api *a, struct http_exchange *x, const char *what, struct str run, const struct val *body,
                int64_t wait_until)
{
    struct arena arena = {0};
    struct val_map m = val_map_new(&arena);
    if (body)
        val_map_merge(&m, body);
    VAL_MAP_SET(&m, "do", val_str(str_c(what)));
    if (run.n)
        VAL_MAP_SET(&m, "run", val_str(run));
    struct val request = val_map_done(&m);
    struct pending *p = calloc(1, sizeof *p);
    CHECK(p);
    *p = (struct pending){.id = ++a->next, .exchange = x, .wait_until = wait_until};
    map_put(&a->pending, pending_key(p), p);
    if (!a->o.ask(a->o.ctx, p->id, &request)) {
        map_del(&a->pending, pending_key(p));
        free(p);
        send_problem(x, 503, "the engine is being restarted; try again");
    }
    arena_done(&arena);
}

static void answer(struct api *a, struct pending *p, int status, const struct val *body)
{
    struct str run = val_get_str(body, STR("run_id"), STR(""));
    if (val_get_bool(body, STR("replayed"), false))
        http_answer_header(p->exchange, "Idempotent-Replayed", "true");
    if (p->wait_until && status < 300 && run.n && a->nwaiting < WAITING_MAX)
        wait_for_end(a, p->exchange, run, p->wait_until);
    else
        send_json(p->exchange, status, body);
}

void api_answer(struct api *a, uint64_t id, struct str text)
{
    struct pending *p = map_del(&a->pending, str_n((const char *)&id, sizeof id));
    struct arena arena = {0};
    struct val v;
    struct err err;
    if (!p)
        return;
    bool good = json_parse(&arena, text, &JSON_LIMITS_DEFAULT, &v, &err) == RC_OK;
    const struct val *body = good ? VAL_GET(&v, "body") : NULL;
    int64_t status = good ? val_get_int(&v, STR("status"), 0) : 0;
    if (body && body->type == VAL_OBJECT && status >= 200 && status <= 599) {
        answer(a, p, (int)status, body);
    } else {
        log_line(LOG_ERROR, "the engine sends what is no answer");
        send_problem(p->exchange, 500, "the engine's answer cannot be read; look what became of it");
    }
    free(p);
    arena_done(&arena);
}

void api_engine_lost(struct api *a)
{
    struct map_entry *e;
    for (size_t i = 0; (e = map_next(&a->pending, &i));) {
        struct pending *p = e->value;
        send_problem(
            p->exchange, 503,
            "the engine died before it answered; the request may have been carried out: look, or repeat it with "
            "the same idempotency_key");
        free(p);
    }
    map_done(&a->pending);
    a->pending = (struct map){0};
}

/* ---- the routes ---- */

static void handle_health(struct api *a, struct http_exchange *x, struct str run, const struct val *body)
{
    (void)a, (void)run, (void)body;
    http_reply(x, 200, "application/json", STR("{\"status\":\"ok\"}"));
}

static void handle_ready(struct api *a, struct http_exchange *x, struct str run, const struct val *body)
{
    ask(a, x, "state", run, body, 0);
}

/* A key of a request's body. null is as if it were not there. */
struct body_key {
    const char *name, *expected;
    unsigned types; /* bits 1 << enum val_type, REQUIRED; 0: any */
};
enum {
    STRING = 1 << VAL_STR,
    BOOLEAN = 1 << VAL_BOOL,
    INTEGER = 1 << VAL_INT,
    NUMBER = INTEGER | 1 << VAL_DOUBLE,
    OBJECT = 1 << VAL_OBJECT,
    REQUIRED = 1 << 30
};

static void refuse_key(struct http_exchange *x, struct str key, const struct body_key *keys)
{
    char text[400];
    int n = snprintf(text, sizeof text, "unknown key `%.*s`; ", (int)(key.n > 60 ? 60 : key.n), key.p);
    n += snprintf(text + n, sizeof text - n, keys->name ? "expected some of:" : "expected none");
    for (; keys->name; keys++)
        n += snprintf(text + n, sizeof text - n, " %s", keys->name);
    send_problem(x, 400, text);
}

/* A value that were passed over silently could be the one on which all depends, such as an idempotency key. */
static bool known_keys(struct http_exchange *x, const struct val *body, const struct body_key *keys)
{
    for (size_t i = 0; i < body->obj.n; i++) {
        const struct member *m = &body->obj.m[i];
        const struct body_key *k = keys;
        while (k->name && !str_is(m->key, k->name))
            k++;
        if (!k->name) {
            refuse_key(x, m->key, keys);
            return false;
        }
        if (k->types && m->val.type != VAL_NULL && !(k->types >> m->val.type & 1)) {
            char text[200];
            snprintf(text, sizeof text, "`%s` is %s; expected %s", k->name, val_type_name(&m->val), k->expected);
            send_problem(x, 400, text);
            return false;
        }
    }
    for (const struct body_key *k = keys; k->name; k++) {
        const struct val *v = val_get(body, str_c(k->name));
        if ((k->types & REQUIRED) && (!v || v->type == VAL_NULL || (v->type == VAL_STR && !v->s.n))) {
            char text[200];
            snprintf(text, sizeof text, "`%s` is missing; expected %s", k->name, k->expected);
            send_problem(x, 400, text);
            return false;
        }
    }
    return true;
}

/* `wait`: true (an hour at most), or seconds. */
static int64_t wait_of(const struct val *body)
{
    const struct val *w = VAL_GET(body, "wait");
    double s = val_is(w, VAL_BOOL) ? (w->b ? WAIT_MAX_S : 0) : val_is_number(w) ? val_to_double(w, 0) : 0;
    return s <= 0 ? 0 : clock_mono_ms() + (int64_t)((s < WAIT_MAX_S ? s : WAIT_MAX_S) * 1000);
}

static const struct body_key start_keys[] = {{"workflow", "the name of a stored workflow", STRING},
                                             {"workflow_yaml", "the text of a workflow", STRING},
                                             {"files", "an object {path: text}", OBJECT},
                                             {"inputs", "an object", OBJECT},
                                             {"idempotency_key", "a string", STRING},
                                             {"wait", "true, false or seconds", BOOLEAN | NUMBER},
                                             {"priority", "an integer", INTEGER},
                                             {"concurrency_key", "a string", STRING},
                                             {0}};

static void handle_start(struct api *a, struct http_exchange *x, struct str run, const struct val *body)
{
    if (!known_keys(x, body, start_keys))
        return;
    struct arena arena = {0};
    struct val_map m = val_map_new(&arena);
    val_map_merge(&m, body);
    struct str key = http_header(x, "idempotency-key");
    if (key.n && !VAL_GET(body, "idempotency_key"))
        VAL_MAP_SET(&m, "idempotency_key", val_str(key));
    struct val request = val_map_done(&m);
    ask(a, x, "start", run, &request, wait_of(body));
    arena_done(&arena);
}

static void handle_cancel(struct api *a, struct http_exchange *x, struct str run, const struct val *body)
{
    static const struct body_key none[] = {{0}};
    if (known_keys(x, body, none))
        ask(a, x, "cancel", run, NULL, 0);
}

static void handle_resume(struct api *a, struct http_exchange *x, struct str run, const struct val *body)
{
    static const struct body_key keys[] = {{"force", "true or false", BOOLEAN}, {0}};
    if (known_keys(x, body, keys))
        ask(a, x, "resume", run, body, 0);
}

static void handle_approve(struct api *a, struct http_exchange *x, struct str run, const struct val *body)
{
    static const struct body_key keys[] = {
        {"step", "the name or path of the step that asks", STRING | REQUIRED},
        {"choice", "one of the step's choices, such as \"approve\" or \"reject\"", STRING | REQUIRED},
        {"by", "a string", STRING},
        {"comment", "a string", STRING},
        {"data", NULL, 0},
        {0}};
    if (known_keys(x, body, keys))
        ask(a, x, "approve", run, body, 0);
}

static void handle_signal(struct api *a, struct http_exchange *x, struct str run, const struct val *body)
{
    static const struct body_key keys[] = {{"name", "the signal's name", STRING | REQUIRED},
                                           {"data", NULL, 0},
                                           {"id", "a string", STRING},
                                           {"by", "a string", STRING},
                                           {0}};
    if (known_keys(x, body, keys))
        ask(a, x, "signal", run, body, 0);
}

static const struct route {
    const char *method, *path;
    bool body;
    void (*handle)(struct api *a, struct http_exchange *x, struct str run, const struct val *body);
} routes[] = {
#define X(method, path, body, handler, what) {method, path, body, handle_##handler},
#include "api/routes.def"
#undef X
};

static bool path_fits(struct str pattern, struct str path, struct str *run)
{
    size_t hole = str_find(pattern, STR("{run}"));
    if (hole == SIZE_MAX)
        return str_eq(pattern, path);
    struct str before = str_n(pattern.p, hole), after = str_from(pattern, hole + 5);
    if (path.n <= before.n + after.n || !str_starts(path, before) || !str_ends(path, after))
        return false;
    *run = str_n(path.p + before.n, path.n - before.n - after.n);
    return str_portable(*run) && run->n <= RUN_NAME_MAX;
}

static void handle_with_body(struct api *a, const struct route *r, struct http_exchange *x, struct str run)
{
    struct arena arena = {0};
    struct val body = val_empty_object;
    struct err err;
    struct str text = http_body(x), type = http_header(x, "content-type");
    size_t semicolon = str_find(type, STR(";"));
    if (semicolon != SIZE_MAX)
        type.n = semicolon;
    if (text.n && !str_is(str_trim(type), "application/json"))
        send_problem(x, 415, "the body must be JSON, with Content-Type: application/json");
    else if (text.n && json_parse(&arena, text, &JSON_DATA, &body, &err) != RC_OK)
        send_problem(x, 400, err.msg);
    else if (body.type != VAL_OBJECT)
        send_problem(x, 400, "the body must be a JSON object");
    else
        r->handle(a, x, run, &body);
    arena_done(&arena);
}

void api_request(struct api *a, struct http_exchange *x)
{
    char allow[40] = "";
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        const struct route *r = &routes[i];
        struct str run = str_n("", 0);
        if (!path_fits(str_c(r->path), http_path(x), &run))
            continue;
        if (!str_is(http_method(x), r->method)) {
            size_t n = strlen(allow);
            snprintf(allow + n, sizeof allow - n, "%s%s", n ? ", " : "", r->method);
            continue;
        }
        if (r->body)
            handle_with_body(a, r, x, run);
        else
            r->handle(a, x, run, NULL);
        return;
    }
    if (allow[0]) {
        char text[100];
        snprintf(text, sizeof text, "this path takes %s", allow);
        http_answer_header(x, "Allow", allow);
        send_problem(x, 405, text);
    } else {
        send_problem(x, 404, "there is nothing at this path; POST /run_pipeline starts a run");
    }
}

struct api *api_new(const struct api_options *o)
{
    struct api *a = calloc(1, sizeof *a);
    CHECK(a);
    a->o = *o;
    return a;
}

void api_free(struct api *a)
{
    if (!a)
        return;
    struct map_entry *e;
    for (size_t i = 0; (e = map_next(&a->pending, &i));)
        free(e->value);
    map_done(&a->pending);
    while (a->waiting)
        waiting_free(a->waiting);
    if (a->store)
        store_close(a->store);
    free(a);
}
