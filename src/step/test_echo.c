/* test_echo: returns what it is given. For tests, dry runs and plumbing. */
#include "flow/frame.h"

#include "base/fault.h"
#include "base/panic.h"

static const struct step_key keys[] = {
    {"value", KEY_ANY, .doc = "What the step returns, of any type."},
    {"message", KEY_ANY, .doc = "Another spelling of `value`.", .alias_of = "value"},
    {"fail", KEY_BOOL, .fallback = "false", .doc = "Fail instead of returning."},
    {"error_message", KEY_TEMPLATE, .fallback = "test_echo failed on request", .doc = "What a failure says."},
    {"error", KEY_TEMPLATE, .doc = "Fail with this message."},
    {0}};

static void enter(struct frame *f)
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

static void child_done(struct frame *f, struct frame *c)
{
    (void)c;
    PANIC("test_echo %.*s has no children", STR_ARG(f->path));
}

const struct step_type step_test_echo = {.name = "test_echo",
                                         .doc = "Returns a value, or fails on request.",
                                         .keys = keys,
                                         .enter = enter,
                                         .child_done = child_done};
