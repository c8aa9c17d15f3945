/* The egress process: role/egress.c behind a keeper.
 *
 * Keys come in a sealed memory file, NAME=VALUE lines separated by NUL, written by `treadle serve` before it became the
 * supervisor: neither the supervisor's memory nor any environment ever holds them. */
#include "base/buf.h"
#include "base/fd.h"
#include "base/panic.h"
#include "data/yaml.h"
#include "role/egress.h"
#include "role/keeper.h"
#include "role/roles.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { FIXTURES_MAX = 16 << 20 };

struct state {
    struct role *role;
    struct egress *egress;
    struct keeper *keeper;
    struct arena arena;
};

static enum rc read_fixtures(struct state *s, const char *path, struct val *ret, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    struct buf b;
    buf_init(&b, FIXTURES_MAX);
    enum rc rc =
        fd < 0 || !fd_read_all(fd, &b)
            ? err_set(err, RC_NOT_FOUND, "cannot read %s: %s", path, b.overflow ? "it is too large" : strerror(errno))
            : yaml_parse(&s->arena, arena_str(&s->arena, buf_str(&b)), path, &YAML_LIMITS_DEFAULT, ret, err);
    if (fd >= 0)
        close(fd);
    buf_done(&b);
    return rc;
}

static void op_start(void *ctx, const struct keeper_call *c, port_done *done, void *done_ctx)
{
    struct state *s = ctx;
    egress_start(
        s->egress,
        &(struct effect){
            .id = c->id, .kind = c->kind, .path = c->path, .attempt = c->attempt, .key = c->key, .request = c->request},
        done, done_ctx);
}

static void op_cancel(void *ctx, const struct keeper_call *c)
{
    egress_cancel(((struct state *)ctx)->egress, c->id);
}

static bool op_takes(int64_t kind)
{
    return kind == EFFECT_MODEL;
}

static const struct keeper_ops keeper_ops = {op_takes, op_start, op_cancel, NULL};

static enum rc begin(struct role *r, struct err *err)
{
    struct state *s = calloc(1, sizeof *s);
    CHECK(s);
    s->role = r;
    r->state = s;
    struct val fixtures;
    const char *mock = role_option(r, "mock");
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    if (role_variables(r, err) != RC_OK) /* for the moment until egress_new() takes the keys and removes them */
        return err->rc;
    if (mock && *mock && read_fixtures(s, mock, &fixtures, err) != RC_OK)
        return err->rc;
    enum rc rc = egress_new(&(struct egress_options){.loop = r->loop,
                                                     .mode = mock ? EGRESS_MOCK : EGRESS_LIVE,
                                                     .fixtures = mock && *mock ? &fixtures : NULL},
                            &s->egress, err);
    if (rc != RC_OK)
        return rc;
    s->keeper = keeper_new(r->loop, &keeper_ops, s);
    return RC_OK;
}

static void peer(struct role *r, struct str name, int fd)
{
    (void)name; /* only the engine is linked with it */
    keeper_link(((struct state *)r->state)->keeper, fd);
}

/* The engine has stopped before, so what runs here nobody waits for: calls in flight are given up. */
static void stop(struct role *r)
{
    role_end(r, 0);
}

static void end(struct role *r)
{
    struct state *s = r->state;
    if (!s)
        return;
    keeper_free(s->keeper);
    egress_free(s->egress);
    arena_done(&s->arena);
    free(s);
}

const struct role_def role_egress = {.name = "egress", .begin = begin, .peer = peer, .stop = stop, .end = end};
