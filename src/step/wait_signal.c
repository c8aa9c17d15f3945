/* wait_signal: waits until somebody sends the run a signal of that name, and gives its data.
 *
 * A signal that came before the step began to wait has been kept for it (flow/wait.c). */
#include "data/schema.h"
#include "flow/frame.h"
#include "flow/wait.h"

static const struct step_key keys[] = {
    {"signal", KEY_TEMPLATE, .required = true, .choices = "text", .doc = "The signal's name."},
    {"schema", KEY_DATA, .choices = "any_schema",
     .doc = "JSON Schema of its data; others are refused when they are sent."},
    {"timeout", KEY_DURATION, .fallback = "none", KEY_ABOVE(0),
     .doc = "How long it is waited for, also while nobody runs it."},
    {"signal_name", KEY_TEMPLATE, .doc = "Another spelling of `signal`.", .alias_of = "signal"},
    {0}};

static void check(const struct step_def *s, struct problems *ps)
{
    const struct val *schema = VAL_GET(s->source, "schema"), *name = VAL_GET(s->source, "signal");
    struct err err;
    if (schema && schema_valid(schema, &err) != RC_OK)
        problem_add(ps, false, schema->line, schema->col, "`schema`: %s", err.msg);
    if (val_is(name, VAL_STR) && (!name->s.n || name->s.n > WAIT_NAME_MAX))
        problem_add(ps, false, name->line, name->col, "`signal` is no name; expected 1 to %d bytes", WAIT_NAME_MAX);
}

static bool question(struct frame *f, struct val *ret)
{
    const struct val *c = frame_config(f, false);
    struct str name;
    int64_t timeout;
    if (!c || !frame_text(f, c, "signal", STR(""), &name) ||
        !frame_duration(f, c, "timeout", f->def->timeout_ms, &timeout))
        return false;
    if (!name.n || name.n > WAIT_NAME_MAX) {
        step_failf(f, RC_INVALID, "`signal` has %zu bytes; expected a name of 1 to %d", name.n, WAIT_NAME_MAX);
        return false;
    }
    struct val_map m = val_map_new(frame_scratch(f));
    VAL_MAP_SET(&m, "for", VAL_LIT("signal"));
    VAL_MAP_SET(&m, "signal", val_str(name));
    if (VAL_GET(c, "schema"))
        VAL_MAP_SET(&m, "schema", *VAL_GET(c, "schema"));
    if (timeout)
        VAL_MAP_SET(&m, "timeout_ms", val_int(timeout));
    *ret = val_map_done(&m);
    return true;
}

static void enter(struct frame *f)
{
    struct val wait = val_null;
    if (frame_past_wait(f, "wait:1") || question(f, &wait))
        frame_wait(f, "wait:1", 0, &wait);
}

const struct step_type step_wait_signal = {.name = "wait_signal",
                                           .doc = "Waits for a signal from outside.",
                                           .keys = keys,
                                           .result_doc = "data|error",
                                           .own_timeout = true,
                                           .check = check,
                                           .acts = true,
                                           .enter = enter,
                                           .child_done = step_end_as};
