#pragma once
/* A door through which a run's effects go out: to egress or the executor in this process, or to one that is a process
 * of its own. The engine cannot tell which.
 *
 * `done` comes exactly once for each start, never from inside it, also after a cancel; `result` is borrowed for the
 * call. An effect that is to be adopted (flow/io.h) and that nobody knows ends as EFFECT_UNKNOWN, or as EFFECT_NEVER;
 * one whose carrier died as class `interrupted`. `kept` says that the result of the effect is durable: whoever holds it
 * may forget it. */
#include "executor/executor.h"
#include "flow/io.h"

typedef void port_done(void *ctx, uint64_t effect, bool ok, const struct val *result);

struct port {
    void (*start)(struct port *p, const struct effect *e, port_done *done, void *ctx);
    void (*cancel)(struct port *p, uint64_t effect); /* an unknown one is ignored */
    void (*kept)(struct port *p, uint64_t effect);   /* NULL: nothing is held */
    struct str (*life)(const struct port *p);        /* flow_io.life; NULL: it is this process */
};

/* In this process. Neither takes ownership; free with free(). */
struct egress;
struct port *port_to_egress(struct egress *g);
struct port *port_to_executor(struct executor *x);
/* Whether the number is that of an effect that the executor carries out, and which kind of job it is there. */
bool port_is_exec(int64_t kind);
enum exec_kind port_exec_kind(enum effect_kind kind);
