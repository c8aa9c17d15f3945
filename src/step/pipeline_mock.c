/* The response stands for the result, not for what the steps inside would be: of `outputs` only the names count, since
 * there is nothing to follow their paths in. */
#include "step/pipeline_mock.h"

#include "step/mocked.h"

enum { TAG_MOCK = 0x6d6f636b };

#define DELAY "mock:1"

bool call_mock_read(struct frame *f, const struct val **ret)
{
    const struct val *c = frame_config(f, false);
    *ret = NULL;
    if (!c || !frame_mocked(f))
        return c != NULL;
    if (!mocked_read(f, c, ret))
        return false;
    if (!VAL_GET(*ret, "response") && !VAL_GET(*ret, "error"))
        *ret = NULL; /* a delay alone answers nothing */
    return true;
}

void call_mock_begin(struct frame *f, const struct val *mock, void (*answer)(struct frame *f))
{
    struct val wait = val_null;
    int64_t ms = val_get_int(mock, STR("delay_ms"), 0);
    if (ms <= 0) {
        answer(f);
        return;
    }
    if (!frame_past_wait(f, DELAY)) {
        struct val_map m = val_map_new(frame_scratch(f));
        VAL_MAP_SET(&m, "for", VAL_LIT("time"));
        VAL_MAP_SET(&m, "until_ms", val_int(frame_now(f) + ms));
        wait = val_map_done(&m);
    }
    frame_wait(f, DELAY, TAG_MOCK, &wait);
}

bool call_mock_is(const struct frame *child)
{
    return child->tag == TAG_MOCK;
}

/* ---- outputs ---- */

/* The name that an output has in the result; empty: none that is known here. */
static struct str output_name(const struct val *one)
{
    struct str path = str_trim(one->type == VAL_STR ? one->s : val_get_str(one, STR("path"), STR(""))), name = path;
    if (one->type == VAL_STR)
        return path;
    for (size_t i = 0; i < path.n; i++) /* "analysis.score" is called score, "items[0]" items */
        if (path.p[i] == '.')
            name = str_from(path, i + 1);
    size_t bracket = str_find(name, STR("["));
    return val_get_str(one, STR("as"), bracket == SIZE_MAX ? name : str_n(name.p, bracket));
}

/* The i-th name of the outputs; p NULL past the last one. */
static struct str nth_output(const struct val *outputs, size_t i)
{
    bool map = val_is(outputs, VAL_OBJECT) && !VAL_GET(outputs, "path");
    if (map)
        return i < outputs->obj.n ? outputs->obj.m[i].key : (struct str){0};
    if (val_is(outputs, VAL_ARRAY))
        return i < outputs->arr.n ? output_name(&outputs->arr.v[i]) : (struct str){0};
    return outputs && outputs->type != VAL_NULL && i == 0 ? output_name(outputs) : (struct str){0};
}

bool call_mock_result(struct frame *f, const struct val *mock, const struct val *outputs, struct val *ret)
{
    const struct val *response = VAL_GET(mock, "response");
    struct val_map m = val_map_new(&f->arena);
    struct str name = nth_output(outputs, 0);
    *ret = *response;
    if (!name.p)
        return true;
    for (size_t i = 0; name.p; name = nth_output(outputs, ++i)) {
        const struct val *v = val_get(response, name);
        if (!v) {
            step_failf(f, RC_INVALID,
                       "`mock_response` has no `%.*s`, which `outputs` names; expected an object with it",
                       STR_ARG(name));
            return false;
        }
        val_map_set(&m, name, *v);
    }
    *ret = val_map_done(&m);
    return true;
}

static bool is_template(const struct val *v)
{
    return val_is(v, VAL_STR) && str_find(v->s, STR("{{")) != SIZE_MAX;
}

void call_mock_check(const struct step_def *s, struct problems *ps)
{
    const struct val *response = VAL_GET(s->source, "mock_response"), *outputs = VAL_GET(s->source, "outputs");
    mocked_check(s, ps);
    if (!response || is_template(response) || is_template(outputs))
        return;
    for (size_t i = 0; nth_output(outputs, i).p; i++) {
        struct str name = nth_output(outputs, i);
        if (!val_get(response, name) && str_find(name, STR("{{")) == SIZE_MAX)
            problem_add(ps, false, response->line, response->col,
                        "`mock_response` has no `%.*s`, which `outputs` names; expected an object with it",
                        STR_ARG(name));
    }
}
