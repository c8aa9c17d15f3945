/* The gateway process: HTTP in. It asks the engine for every change, and reads the journal for the rest. */
#include "api/api.h"
#include "base/log.h"
#include "base/panic.h"
#include "data/json.h"
#include "role/channel.h"
#include "role/roles.h"

#include <stdlib.h>
#include <unistd.h>

enum { BODY_MAX = 16 << 20, LISTENERS_MAX = 9, TOKENS_MAX = 64, DRAIN_MS = 3000 };

struct state;
struct door { /* a listening socket */
    struct state *state;
    int fd;
    bool control; /* beside the journal: who may open that file may ask for everything */
    struct http_server *server;
};

struct state {
    struct role *role;
    struct api *api;
    struct channel *engine;
    struct door doors[LISTENERS_MAX];
    size_t n;
    struct sha256 tokens[TOKENS_MAX];
    size_t ntokens;
};

static struct state *state_of(struct role *r)
{
    if (!r->state) {
        struct state *s = calloc(1, sizeof *s);
        CHECK(s);
        s->role = r;
        r->state = s;
    }
    return r->state;
}

static void on_message(void *ctx, const struct frame *f)
{
    struct state *s = ctx;
    if (f->type == FRAME_ANSWER)
        api_answer(s->api, f->id, f->body);
    else
        log_line(LOG_ERROR, "the engine sends %s, which is not for this role", frame_type_name(f->type));
}

static void on_closed(void *ctx, const char *why)
{
    struct state *s = ctx;
    log_line(LOG_INFO, "the link to the engine has ended: %s", why);
    channel_free(s->engine);
    s->engine = NULL;
    api_engine_lost(s->api);
}

static const struct channel_ops engine_ops = {on_message, on_closed};

static bool ask(void *ctx, uint64_t id, const struct val *request)
{
    struct state *s = ctx;
    struct arena a = {0};
    struct str text = json_text(&a, request);
    bool can = s->engine && text.n <= frame_body_max(FRAME_ASK);
    if (can)
        channel_send(s->engine, FRAME_ASK, id, text);
    arena_done(&a);
    return can;
}

static void peer(struct role *r, struct str name, int fd)
{
    struct state *s = r->state;
    (void)name; /* only the engine is linked with it */
    if (s->engine) {
        channel_free(s->engine);
        api_engine_lost(s->api);
    }
    s->engine = channel_new(r->loop, fd, &engine_ops, s);
}

static void listening(struct role *r, struct str name, int fd)
{
    struct state *s = state_of(r);
    if (s->n == LISTENERS_MAX)
        close(fd);
    else
        s->doors[s->n++] = (struct door){.state = s, .fd = fd, .control = str_is(name, "control")};
}

static struct http_refusal admit(void *ctx, struct http_exchange *x)
{
    const struct door *d = ctx;
    return d->control ? (struct http_refusal){0} : api_admit(d->state->api, x);
}

static void request(void *ctx, struct http_exchange *x)
{
    api_request(((const struct door *)ctx)->state->api, x);
}

/* Their hashes, one after another. A door that was to be locked and whose key cannot be read stays shut. */
static enum rc read_tokens(struct state *s, struct err *err)
{
    if (s->role->secrets < 0)
        return RC_OK;
    ssize_t n = pread(s->role->secrets, s->tokens, sizeof s->tokens, 0);
    if (n <= 0 || n % (ssize_t)sizeof s->tokens[0] != 0)
        return err_set(err, RC_IO, "the tokens cannot be read");
    s->ntokens = (size_t)n / sizeof s->tokens[0];
    close(s->role->secrets);
    s->role->secrets = -1;
    return RC_OK;
}

static enum rc begin(struct role *r, struct err *err)
{
    struct state *s = state_of(r);
    const char *db = role_option(r, "db");
    if (!db || !s->n)
        return err_set(err, RC_USAGE, "--db or a listening socket is missing");
    if (read_tokens(s, err) != RC_OK)
        return err->rc;
    s->api = api_new(&(struct api_options){
        .loop = r->loop, .db = db, .tokens = s->tokens, .ntokens = s->ntokens, .ask = ask, .ctx = s});
    for (size_t i = 0; i < s->n; i++)
        s->doors[i].server = http_server_new(&(struct http_server_options){.loop = r->loop,
                                                                           .fd = s->doors[i].fd,
                                                                           .body_max = BODY_MAX,
                                                                           .admit = admit,
                                                                           .request = request,
                                                                           .ctx = &s->doors[i]});
    return RC_OK;
}

static void over(void *ctx)
{
    role_end(((struct state *)ctx)->role, 0);
}

static void look(void *ctx)
{
    struct state *s = ctx;
    for (size_t i = 0; i < s->n; i++)
        if (http_server_open(s->doors[i].server)) {
            ev_timer(s->role->loop, 20, look, s);
            return;
        }
    over(s);
}

static void stop(struct role *r)
{
    struct state *s = r->state;
    for (size_t i = 0; i < s->n; i++)
        http_server_drain(s->doors[i].server);
    ev_timer(r->loop, DRAIN_MS, over, s);
    look(s);
}

static void end(struct role *r)
{
    struct state *s = r->state;
    if (!s)
        return;
    for (size_t i = 0; i < s->n; i++) {
        if (s->doors[i].server)
            http_server_free(s->doors[i].server);
        else
            close(s->doors[i].fd);
    }
    channel_free(s->engine);
    api_free(s->api);
    free(s);
}

const struct role_def role_gateway = {
    .name = "gateway", .begin = begin, .peer = peer, .listening = listening, .stop = stop, .end = end};
