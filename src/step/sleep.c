/* sleep: lets time pass. When it ends is fixed when it begins, so a resumed run sleeps only what is left. */
#include "data/date.h"
#include "flow/frame.h"
#include "flow/units.h"

static const struct step_key keys[] = {
    {"for", KEY_DURATION, .doc = "How long."},
    {"until", KEY_TEMPLATE, .doc = "Until when: a time such as 2026-12-01T09:00:00Z. One that is over is no error."},
    {"duration", KEY_DURATION, .doc = "Another spelling of `for`.", .alias_of = "for"},
    {"duration_seconds", KEY_DURATION, .doc = "Another spelling of `for`.", .alias_of = "for"},
    {"seconds", KEY_DURATION, .doc = "Another spelling of `for`.", .alias_of = "for"},
    {0}};

static void check(const struct step_def *s, struct problems *ps)
{
    const struct val *until = VAL_GET(s->source, "until");
    bool length = VAL_GET(s->source, "for") || VAL_GET(s->source, "duration") ||
                  VAL_GET(s->source, "duration_seconds") || VAL_GET(s->source, "seconds");
    int64_t ms;
    if (length == (until != NULL))
        problem_add(ps, false, s->line, s->col, "step `%.*s` (sleep) has %s; expected one of `for` and `until`",
                    STR_ARG(s->name), until ? "both `for` and `until`" : "neither `for` nor `until`");
    if (val_is(until, VAL_STR) && str_find(until->s, STR("{{")) == SIZE_MAX && !date_parse(until->s, &ms))
        problem_add(ps, false, until->line, until->col,
                    "`until` is no time; expected one such as 2026-12-01T09:00:00Z");
}

static bool deadline(struct frame *f, int64_t *ret)
{
    const struct val *c = frame_config(f, false), *until = c ? VAL_GET(c, "until") : NULL;
    int64_t ms, now = frame_now(f);
    if (!c || !frame_duration(f, c, "for", 0, &ms))
        return false;
    *ret = now + ms;
    if (!until || until->type == VAL_NULL)
        return true;
    if (val_is(until, VAL_INT) && until->i >= 0 && until->i < now + UNITS_DURATION_MAX_MS)
        *ret = until->i; /* milliseconds, as date() makes them */
    else if (!val_is(until, VAL_STR) || !date_parse(until->s, ret) || *ret > now + UNITS_DURATION_MAX_MS) {
        step_failf(f, RC_INVALID, "`until` is no time within ten years; expected one such as 2026-12-01T09:00:00Z");
        return false;
    }
    return true;
}

static void enter(struct frame *f)
{
    struct val wait = val_null;
    int64_t until;
    if (!frame_past_wait(f, "wait:1")) {
        if (!deadline(f, &until))
            return;
        struct val_map m = val_map_new(frame_scratch(f));
        VAL_MAP_SET(&m, "for", VAL_LIT("time"));
        VAL_MAP_SET(&m, "until_ms", val_int(until));
        wait = val_map_done(&m);
    }
    frame_wait(f, "wait:1", 0, &wait);
}

static void child_done(struct frame *f, struct frame *c)
{
    if (!child_ok(c)) {
        step_fail_as(f, c);
        return;
    }
    struct val_map m = val_map_new(&f->arena);
    VAL_MAP_SET(&m, "success", val_true);
    VAL_MAP_SET(&m, "until", val_str(date_text(&f->arena, val_get_int(child_result(c), STR("until_ms"), 0))));
    struct val v = val_map_done(&m);
    step_ok(f, &v);
}

const struct step_type step_sleep = {.name = "sleep",
                                     .aliases = "wait",
                                     .doc = "Lets time pass.",
                                     .keys = keys,
                                     .result_doc = "success|until|error",
                                     .check = check,
                                     .acts = true,
                                     .enter = enter,
                                     .child_done = child_done};
