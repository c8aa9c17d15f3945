/* Both roles live and die with the engine here, so nothing that an earlier life began is known. */
#include "base/panic.h"
#include "role/egress.h"
#include "role/port.h"

#include <stdlib.h>

struct egress_port {
    struct port port;
    struct egress *egress;
};
struct executor_port {
    struct port port;
    struct executor *executor;
};

static bool is_unknown(const struct effect *e, port_done *done, void *ctx)
{
    if (!e->adopt)
        return false;
    struct member class = {.key = STR("class"), .val = VAL_LIT(EFFECT_UNKNOWN)};
    struct val v = {.type = VAL_OBJECT, .obj = {.m = &class, .n = 1}};
    done(ctx, e->id, false, &v);
    return true;
}

static void egress_port_start(struct port *p, const struct effect *e, port_done *done, void *ctx)
{
    if (!is_unknown(e, done, ctx))
        egress_start(((struct egress_port *)p)->egress, e, done, ctx);
}

static void egress_port_cancel(struct port *p, uint64_t effect)
{
    egress_cancel(((struct egress_port *)p)->egress, effect);
}

struct port *port_to_egress(struct egress *g)
{
    struct egress_port *p = calloc(1, sizeof *p);
    CHECK(p);
    *p = (struct egress_port){{egress_port_start, egress_port_cancel, NULL, NULL}, g};
    return &p->port;
}

bool port_is_exec(int64_t kind)
{
    return kind > EFFECT_MODEL && kind < EFFECT_LOAD;
}

enum exec_kind port_exec_kind(enum effect_kind kind)
{
    static const enum exec_kind kinds[] = {
        [EFFECT_COMMAND] = EXEC_COMMAND, [EFFECT_TOOL] = EXEC_TOOL,       [EFFECT_READ] = EXEC_READ,
        [EFFECT_OUTPUT] = EXEC_OUTPUT,   [EFFECT_FILES] = EXEC_FILES,     [EFFECT_CHECKPOINT] = EXEC_CHECKPOINT,
        [EFFECT_CODE] = EXEC_CODE,       [EFFECT_SESSION] = EXEC_SESSION, [EFFECT_WORKSPACE] = EXEC_WORKSPACE,
        [EFFECT_CACHE] = EXEC_CACHE};
    _Static_assert(EFFECT_MODEL == 0 && sizeof kinds / sizeof *kinds == EFFECT_LOAD, "all between are jobs");
    CHECK(port_is_exec(kind));
    return kinds[kind];
}

static void executor_port_start(struct port *p, const struct effect *e, port_done *done, void *ctx)
{
    if (!is_unknown(e, done, ctx))
        executor_start(((struct executor_port *)p)->executor, e->id, port_exec_kind(e->kind), e->request, done, ctx);
}

static void executor_port_cancel(struct port *p, uint64_t effect)
{
    executor_cancel(((struct executor_port *)p)->executor, effect);
}

struct port *port_to_executor(struct executor *x)
{
    struct executor_port *p = calloc(1, sizeof *p);
    CHECK(p);
    *p = (struct executor_port){{executor_port_start, executor_port_cancel, NULL, NULL}, x};
    return &p->port;
}
