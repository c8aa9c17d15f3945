/* An answer is made when the command is asked for and delivered by a timer, so that it never comes from inside the
 * call. It is the same for a command that an earlier life began: nothing was run, so nothing can have been half done.
 */
#include "role/port_mock.h"

#include "agent/agent.h"
#include "base/buf.h"
#include "base/panic.h"
#include "data/json.h"

#include <stdlib.h>

struct answer {
    struct port_mock *port;
    struct answer *next, **link;
    uint64_t effect;
    ev_id timer;
    port_done *done;
    void *ctx;
    struct arena a;
    bool ok;
    struct val result;
};

struct port_mock {
    struct port port;
    struct port *inner;
    struct ev_loop *loop;
    struct mock_fixtures *fixtures;
    struct answer *answers;
};

static void answer_free(struct answer *w)
{
    *w->link = w->next;
    if (w->next)
        w->next->link = w->link;
    arena_done(&w->a);
    free(w);
}

static void deliver(void *ctx)
{
    struct answer *w = ctx;
    w->done(w->ctx, w->effect, w->ok, &w->result);
    answer_free(w);
}

/* A shell's text, or the program and its arguments with spaces between. */
static struct str command_text(const struct val *request, struct arena *a)
{
    const struct val *argv = VAL_GET(request, "argv");
    struct str text = val_get_str(request, STR("shell"), STR(""));
    for (size_t i = 0; val_is(argv, VAL_ARRAY) && i < argv->arr.n; i++)
        if (val_is(&argv->arr.v[i], VAL_STR))
            text = arena_printf(a, "%.*s%s%.*s", STR_ARG(text), i ? " " : "", STR_ARG(argv->arr.v[i].s));
    return text;
}

/* The effect stands one segment below its step, whose further attempts have their number behind a tilde. */
static struct str step_of(struct str path, unsigned *attempt)
{
    size_t n = path.n, tilde;
    int64_t nth;
    while (n && path.p[n - 1] != '/')
        n--;
    path.n = n ? n - 1 : path.n;
    for (tilde = path.n; tilde && path.p[tilde - 1] != '~' && path.p[tilde - 1] != '/';)
        tilde--;
    if (!tilde || path.p[tilde - 1] != '~' || !str_to_i64(str_from(path, tilde), &nth) || nth < 2 || nth > INT32_MAX)
        return path;
    *attempt = (unsigned)nth;
    return str_n(path.p, tilde - 1);
}

/* What the step itself says, as a fixture's reply; NULL where it says nothing. */
static const struct val *brought(const struct val *mock, struct arena *a)
{
    const struct val *error = VAL_GET(mock, "error"), *response = VAL_GET(mock, "response");
    if (!error && !response)
        return NULL;
    struct val_map m = val_map_new(a);
    if (error) {
        VAL_MAP_SET(&m, "stderr", val_str(val_get_str(error, STR("message"), STR(""))));
        VAL_MAP_SET(&m, "exit_code", val_int(val_get_int(error, STR("exit_code"), 1)));
    } else if (val_is(response, VAL_STR)) {
        VAL_MAP_SET(&m, "text", *response);
    } else {
        VAL_MAP_SET(&m, "json", response ? *response : val_null);
    }
    struct val *reply = ARENA_NEW(a, struct val);
    *reply = val_map_done(&m);
    return reply;
}

static struct val outcome(const struct val *reply, int64_t took_ms, bool late, struct arena *a)
{
    struct val_map m = val_map_new(a);
    const struct val *json = VAL_GET(reply, "json");
    VAL_MAP_SET(&m, "exit_code", val_int(late ? -1 : val_get_int(reply, STR("exit_code"), 0)));
    VAL_MAP_SET(&m, "signal", late ? VAL_LIT("SIGTERM") : val_null);
    VAL_MAP_SET(&m, "stdout",
                val_str(late   ? STR("")
                        : json ? json_text(a, json)
                               : arena_str(a, val_get_str(reply, STR("text"), STR("")))));
    VAL_MAP_SET(&m, "stderr", val_str(late ? STR("") : arena_str(a, val_get_str(reply, STR("stderr"), STR("")))));
    VAL_MAP_SET(&m, "duration_ms", val_int(took_ms));
    VAL_MAP_SET(&m, "timed_out", val_bool(late));
    VAL_MAP_SET(&m, "truncated", val_false);
    VAL_MAP_SET(&m, "sandbox", VAL_LIT("strict")); /* nothing got out */
    return val_map_done(&m);
}

struct val port_mock_outcome(const struct val *mock, struct arena *a)
{
    return outcome(brought(mock, a), 0, false, a);
}

static bool answered(struct port_mock *p, const struct effect *e, port_done *done, void *ctx)
{
    struct arena scratch = {0};
    struct mock_call call = {.provider = STR("command"), .turn = 1, .attempt = e->attempt};
    call.step = agent_plain_path(&scratch, step_of(e->path, &call.attempt));
    call.last_message = command_text(e->request, &scratch);
    const struct mock_fixture *x = mock_fixtures_match_command(p->fixtures, &call);
    const struct val *reply = x ? x->reply : brought(VAL_GET(e->request, "mock"), &scratch);
    if (!reply) {
        arena_done(&scratch);
        return false;
    }
    struct answer *w = calloc(1, sizeof *w);
    CHECK(w);
    *w = (struct answer){
        .port = p, .next = p->answers, .link = &p->answers, .effect = e->id, .done = done, .ctx = ctx, .ok = true};
    if (w->next)
        w->next->link = &w->next;
    p->answers = w;
    int64_t limit = val_get_int(e->request, STR("timeout_ms"), INT64_MAX);
    int64_t delay = x ? x->delay_ms : val_get_int(VAL_GET(e->request, "mock"), STR("delay_ms"), 0);
    bool late = delay >= limit;
    delay = late ? limit : delay;
    w->result = outcome(reply, delay, late, &w->a);
    arena_done(&scratch);
    w->timer = ev_timer(p->loop, delay, deliver, w);
    return true;
}

static void start(struct port *port, const struct effect *e, port_done *done, void *ctx)
{
    struct port_mock *p = (struct port_mock *)port;
    if (e->kind != EFFECT_COMMAND || !answered(p, e, done, ctx))
        p->inner->start(p->inner, e, done, ctx);
}

static void cancel(struct port *port, uint64_t effect)
{
    struct port_mock *p = (struct port_mock *)port;
    for (struct answer *w = p->answers; w; w = w->next) {
        if (w->effect != effect)
            continue;
        struct val_map m = val_map_new(&w->a);
        VAL_MAP_SET(&m, "class", VAL_LIT("cancelled"));
        VAL_MAP_SET(&m, "message", VAL_LIT("cancelled"));
        w->ok = false;
        w->result = val_map_done(&m);
        ev_cancel(p->loop, w->timer);
        w->timer = ev_timer(p->loop, 0, deliver, w);
        return;
    }
    p->inner->cancel(p->inner, effect);
}

static void kept(struct port *port, uint64_t effect)
{
    struct port *inner = ((struct port_mock *)port)->inner;
    if (inner->kept)
        inner->kept(inner, effect);
}

struct port *port_mock(struct ev_loop *loop, struct mock_fixtures *fixtures, struct port *inner)
{
    struct port_mock *p = calloc(1, sizeof *p);
    CHECK(p);
    *p = (struct port_mock){{start, cancel, kept, NULL}, inner, loop, fixtures, NULL};
    return &p->port;
}

void port_mock_free(struct port *port)
{
    struct port_mock *p = (struct port_mock *)port;
    while (p && p->answers) {
        ev_cancel(p->loop, p->answers->timer);
        answer_free(p->answers);
    }
    free(p);
}
