/* One reading of both keys for the loader and the run, so that what validation let pass fails later only where a
 * template brought something else in. */
#include "step/mocked.h"

#include "agent/agent.h"
#include "flow/frame.h"

static const char error_expected[] =
    "expected a message, or {message, status: 400 to 599, code} of a model's provider, "
    "{message, exit_code: 1 to 255} of a command, {message, code} of a call";

static bool is_template(const struct val *v)
{
    return val_is(v, VAL_STR) && str_find(v->s, STR("{{")) != SIZE_MAX;
}

static bool in_range(const struct val *v, int64_t from, int64_t to)
{
    return val_is(v, VAL_INT) && v->i >= from && v->i <= to;
}

static bool is_type(const struct step_def *s, const char *name)
{
    return strcmp(s->type->name, name) == 0;
}

/* NULL when it is a failure, else what is none. */
static const struct val *wrong(const struct val *v, const struct step_def *s)
{
    if (is_template(v) || val_is(v, VAL_STR))
        return NULL;
    if (!val_is(v, VAL_OBJECT))
        return v;
    bool command = is_type(s, "command"), call = is_type(s, "pipeline");
    for (size_t i = 0; i < v->obj.n; i++) {
        struct str key = v->obj.m[i].key;
        const struct val *one = &v->obj.m[i].val;
        bool known = str_is(key, "message")  ? one->type == VAL_STR
                     : command               ? str_is(key, "exit_code") && in_range(one, 1, 255)
                     : str_is(key, "status") ? !call && in_range(one, 400, 599)
                                             : str_is(key, "code") && one->type == VAL_STR;
        if (!known && !is_template(one))
            return one;
    }
    return NULL;
}

void mocked_check(const struct step_def *s, struct problems *ps)
{
    const struct val *response = VAL_GET(s->source, "mock_response"), *error = VAL_GET(s->source, "mock_error");
    const struct val *bad = error ? wrong(error, s) : NULL;
    if (bad)
        problem_add(ps, false, bad->line, bad->col, "`mock_error` has %s here; %s", val_type_name(bad), error_expected);
    if (response && error)
        problem_add(ps, false, error->line, error->col,
                    "the step has both `mock_response` and `mock_error`; expected one of them");
}

bool mocked_read(struct frame *f, const struct val *config, const struct val **ret)
{
    const struct val *response = VAL_GET(config, "mock_response"), *error = VAL_GET(config, "mock_error");
    const struct val *around = frame_mock(f, agent_plain_path(&f->arena, f->path));
    *ret = around;
    if (!response && !error)
        return true;
    if (error && wrong(error, f->def)) {
        step_failf(f, RC_INVALID, "`mock_error` is no failure; %s", error_expected);
        return false;
    }
    struct val_map m = val_map_new(&f->arena), e = val_map_new(&f->arena);
    if (val_is(error, VAL_OBJECT))
        val_map_merge(&e, error);
    else if (error)
        VAL_MAP_SET(&e, "message", *error);
    if (error)
        VAL_MAP_SET(&m, "error", val_map_done(&e));
    else
        VAL_MAP_SET(&m, "response", *response);
    if (VAL_GET(around, "delay_ms"))
        VAL_MAP_SET(&m, "delay_ms", *VAL_GET(around, "delay_ms"));
    struct val *v = ARENA_NEW(&f->arena, struct val);
    *v = val_map_done(&m);
    *ret = v;
    return true;
}
