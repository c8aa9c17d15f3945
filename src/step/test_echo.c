/* test_echo: returns what it is given, now or after a while. For tests, dry runs and plumbing. */
#include "flow/frame.h"
#include "flow/units.h"

#include "base/fault.h"
#include "base/panic.h"

static const struct step_key keys[] = {
    {"value", KEY_ANY, .doc = "What the step returns, of any type."},
    {"message", KEY_ANY, .doc = "Another spelling of `value`.", .alias_of = "value"},
    {"fail", KEY_BOOL, .fallback = "false", .doc = "Fail instead of returning."},
    {"error_message", KEY_TEMPLATE, .fallback = "test_echo failed on request", .doc = "What a failure says."},
    {"error", KEY_TEMPLATE, .doc = "Fail with this message."},
    {"delay", KEY_DURATION, .fallback = "0", .doc = "How long it takes."},
    {"delay_ms", KEY_MS, .doc = "As delay, in milliseconds."},
    {0}};

static void finish(struct frame *f)
{
    const struct val *c = frame_config(f, false);
    bool fail;
    struct str message;
    if (!c || !frame_bool(f, c, "fail", VAL_GET(c, "error") != NULL, &fail) ||
        !frame_text(f, c, VAL_GET(c, "error") ? "error" : "error_message", STR("test_echo failed on request"),
                    &message))
        return;
    const struct val *value = VAL_GET(c, "value");
    if (val_is(value, VAL_STR) && str_is(value->s, "poison") && fault_hit("test_echo.poison"))
        PANIC("poisoned at %.*s", STR_ARG(f->path)); /* how tests make a run that kills its engine */
    if (fail)
        step_fail(f, FAILURE(RC_STEP, message));
    else
        step_ok(f, value ? value : &val_null);
}

static bool read_delay(struct frame *f, int64_t *ret)
{
    const struct val *c = frame_config(f, true), *ms = VAL_GET(c, "delay_ms");
    if (!c || !frame_duration(f, c, "delay", 0, ret))
        return false;
    double d = val_to_double(ms, 0);
    if (!(d >= 0 && d < (double)UNITS_DURATION_MAX_MS)) {
        step_failf(f, RC_INVALID, "`delay_ms` is out of range; expected milliseconds from 0 to those of ten years");
        return false;
    }
    if (ms)
        *ret = (int64_t)d;
    return true;
}

/* The time at which it ends is recorded when it begins, as that of a sleep is. */
static void enter(struct frame *f)
{
    struct val wait = val_null;
    int64_t ms;
    if (!VAL_GET(f->def->source, "delay") && !VAL_GET(f->def->source, "delay_ms")) {
        finish(f);
        return;
    }
    if (!read_delay(f, &ms))
        return;
    if (!frame_past_wait(f, "wait:1")) {
        struct val_map m = val_map_new(frame_scratch(f));
        VAL_MAP_SET(&m, "for", VAL_LIT("time"));
        VAL_MAP_SET(&m, "until_ms", val_int(frame_now(f) + ms));
        wait = val_map_done(&m);
    }
    frame_wait(f, "wait:1", 0, &wait);
}

static void child_done(struct frame *f, struct frame *c)
{
    if (child_ok(c))
        finish(f);
    else
        step_fail_as(f, c);
}

const struct step_type step_test_echo = {.name = "test_echo",
                                         .doc = "Returns a value, or fails on request.",
                                         .keys = keys,
                                         .enter = enter,
                                         .child_done = child_done};
