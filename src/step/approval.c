/* approval: asks a person, and gives what was chosen.
 *
 * The question is one wait below the step, `wait:1`, whose record holds message, choices and deadline: what is asked
 * does not change once it has been asked. A choice is a result like any other, also `reject`; conditions of later
 * steps, or a switch, say what follows from it. */
#include "base/panic.h"
#include "flow/frame.h"
#include "flow/wait.h"

static const struct step_key keys[] = {
    {"message", KEY_TEMPLATE, .required = true, .doc = "The question."},
    {"choices", KEY_STRINGS, .choices = "answers", .fallback = "[approve, reject]",
     .doc = "The answers that are allowed."},
    {"timeout", KEY_DURATION, .fallback = "none", KEY_ABOVE(0),
     .doc = "How long an answer is waited for, also while nobody runs it."},
    {"on_timeout", KEY_TEMPLATE, .fallback = "fail",
     .doc = "What becomes of it then: `fail`, or one of the choices, which counts as chosen by `timeout`."},
    {"prompt", KEY_TEMPLATE, .doc = "Another spelling of `message`.", .alias_of = "message"},
    {0}};

/* NULL: the choices that there are when none are written. */
static bool is_choice(const struct val *choices, struct str s)
{
    if (!choices)
        return str_is(s, "approve") || str_is(s, "reject");
    for (size_t i = 0; val_at(choices, i); i++)
        if (val_is(val_at(choices, i), VAL_STR) && str_eq(val_at(choices, i)->s, s))
            return true;
    return false;
}

/* NULL: fine. */
static const char *choices_problem(const struct val *choices)
{
    if (!val_is(choices, VAL_ARRAY) || !choices->arr.n || choices->arr.n > WAIT_CHOICES_MAX)
        return "`choices` has no, or too many, entries; expected 1 to 50";
    for (size_t i = 0; i < choices->arr.n; i++) {
        const struct val *c = &choices->arr.v[i];
        if (!val_is(c, VAL_STR) || !c->s.n || c->s.n > WAIT_NAME_MAX)
            return "`choices` has an entry that is no short text; expected text in quotes";
        for (size_t k = 0; k < i; k++)
            if (val_eq(c, &choices->arr.v[k]))
                return "`choices` names one twice; expected each once";
    }
    return NULL;
}

static bool computed(const struct val *v)
{
    if (val_is(v, VAL_STR))
        return str_find(v->s, STR("{{")) != SIZE_MAX;
    for (size_t i = 0; val_is(v, VAL_ARRAY) && i < v->arr.n; i++)
        if (computed(&v->arr.v[i]))
            return true;
    return false;
}

static void check(const struct step_def *s, struct problems *ps)
{
    const struct val *choices = VAL_GET(s->source, "choices"), *late = VAL_GET(s->source, "on_timeout");
    if (choices && computed(choices))
        return;
    const char *problem = choices && choices->type == VAL_ARRAY ? choices_problem(choices) : NULL;
    if (problem)
        problem_add(ps, false, choices->line, choices->col, "%s", problem);
    else if (val_is(late, VAL_STR) && !computed(late) && !str_is(late->s, "fail") && !is_choice(choices, late->s))
        problem_add(ps, false, late->line, late->col,
                    "`on_timeout` is none of the choices; expected `fail` or one of them");
}

static const struct val *as_list(struct frame *f, const struct val *v)
{
    if (v && v->type != VAL_STR)
        return v;
    struct val_list l = val_list_new(&f->arena);
    val_list_push(&l, v ? *v : VAL_LIT("approve"));
    if (!v)
        val_list_push(&l, VAL_LIT("reject"));
    struct val *list = ARENA_NEW(&f->arena, struct val);
    *list = val_list_done(&l);
    return list;
}

static bool question(struct frame *f, struct val *ret)
{
    const struct val *c = frame_config(f, false);
    struct str message, late;
    int64_t timeout;
    if (!c || !frame_text(f, c, "message", STR(""), &message) || !frame_text(f, c, "on_timeout", STR("fail"), &late) ||
        !frame_duration(f, c, "timeout", f->def->timeout_ms, &timeout))
        return false;
    const struct val *choices = as_list(f, VAL_GET(c, "choices"));
    const char *problem = choices_problem(choices);
    bool fails = str_is(late, "fail") && !is_choice(choices, late);
    if (!problem && !fails && !is_choice(choices, late))
        problem = "`on_timeout` is none of the choices; expected `fail` or one of them";
    if (problem) {
        step_failf(f, RC_INVALID, "%s", problem);
        return false;
    }
    struct val_map m = val_map_new(frame_scratch(f));
    VAL_MAP_SET(&m, "for", VAL_LIT("approval"));
    VAL_MAP_SET(&m, "message", val_str(message));
    VAL_MAP_SET(&m, "choices", *choices);
    if (!fails)
        VAL_MAP_SET(&m, "on_timeout", val_str(late));
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

const struct step_type step_approval = {.name = "approval",
                                        .doc = "Asks a person and waits for the answer.",
                                        .keys = keys,
                                        .result_doc = "choice|by|comment|data|error",
                                        .own_timeout = true,
                                        .check = check,
                                        .acts = true,
                                        .enter = enter,
                                        .child_done = step_end_as};
