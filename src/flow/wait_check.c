/* The rules of answering. They look at nothing but what the journal says is waited for, so that the process that
 * carries a run on and one that finds it abandoned decide alike. */
#include "flow/wait.h"

#include "data/date.h"
#include "data/json.h"
#include "data/schema.h"
#include "flow/step.h"

static enum rc data_fits(const struct val *data, struct arena *a, struct err *err)
{
    if (val_depth(data) > WAIT_DATA_DEPTH_MAX)
        return err_set(err, RC_INVALID, "the data is nested too deeply; expected at most %d levels",
                       WAIT_DATA_DEPTH_MAX);
    if (val_weight(data) > WAIT_DATA_MAX || json_text(a, data).n > WAIT_DATA_MAX)
        return err_set(err, RC_INVALID, "the data is too large; expected at most %d KB", WAIT_DATA_MAX >> 10);
    return RC_OK;
}

static enum rc text_fits(struct str s, const char *what, size_t max, struct err *err)
{
    if (s.n > max || str_utf8_valid(s) != s.n)
        return err_set(err, RC_INVALID, "the %s is too long or no UTF-8 text; expected at most %zu bytes", what, max);
    return RC_OK;
}

static enum rc choice_fits(const struct val *choices, struct str choice, struct arena *a, struct err *err)
{
    struct str list = STR("");
    for (size_t i = 0; val_at(choices, i); i++) {
        const struct val *c = val_at(choices, i);
        if (!val_is(c, VAL_STR))
            continue;
        if (str_eq(c->s, choice))
            return RC_OK;
        list = arena_printf(a, "%.*s%s%.*s", STR_ARG(list), list.n ? ", " : "", STR_ARG(c->s));
    }
    return err_set(err, RC_INVALID, "`%.*s` is none of the choices; expected one of: %.*s",
                   choice.n < 100 ? (int)choice.n : 100, choice.p, STR_ARG(list));
}

enum rc wait_decide(const struct val *wait, const struct val *answer, int64_t now_ms, struct arena *a, struct val *ret,
                    struct err *err)
{
    struct str choice = val_get_str(answer, STR("choice"), STR("")), by = val_get_str(answer, STR("by"), STR("")),
               comment = val_get_str(answer, STR("comment"), STR(""));
    const struct val *data = VAL_GET(answer, "data");
    data = data ? data : &val_null;
    enum rc rc = choice_fits(VAL_GET(wait, "choices"), choice, a, err);
    rc = rc ? rc : text_fits(by, "name of who answers", WAIT_TEXT_MAX, err);
    rc = rc ? rc : text_fits(comment, "comment", WAIT_TEXT_MAX, err);
    rc = rc ? rc : data_fits(data, a, err);
    int64_t until = val_get_int(wait, STR("until_ms"), INT64_MAX);
    if (rc == RC_OK && now_ms > until)
        rc = err_set(err, RC_TIMEOUT, "its time was over at %.*s", STR_ARG(date_text(a, until)));
    if (rc != RC_OK)
        return rc;
    struct val_map m = val_map_new(a);
    VAL_MAP_SET(&m, "choice", val_str(choice));
    VAL_MAP_SET(&m, "by", val_str(by));
    VAL_MAP_SET(&m, "comment", val_str(comment));
    VAL_MAP_SET(&m, "data", *data);
    *ret = val_map_done(&m);
    return RC_OK;
}

enum rc wait_accepts(const struct val *wait, const struct val *data, struct arena *a, struct err *err)
{
    const struct val *schema = VAL_GET(wait, "schema");
    if (!schema)
        return RC_OK;
    enum rc rc = schema_check(schema, data, a, err);
    return rc == RC_OK ? rc : err_wrap(err, "the data does not match the step's schema");
}

enum rc wait_signal_record(struct str name, const struct val *data, struct str id, struct str by, struct arena *a,
                           struct val *ret, struct err *err)
{
    enum rc rc = name.n ? RC_OK : err_set(err, RC_INVALID, "a signal needs a name");
    rc = rc ? rc : text_fits(name, "signal's name", WAIT_NAME_MAX, err);
    rc = rc ? rc : text_fits(id, "signal's id", WAIT_NAME_MAX, err);
    rc = rc ? rc : text_fits(by, "name of who sends it", WAIT_TEXT_MAX, err);
    rc = rc ? rc : data_fits(data, a, err);
    if (rc != RC_OK)
        return rc;
    struct val_map m = val_map_new(a);
    VAL_MAP_SET(&m, "signal", val_str(name));
    VAL_MAP_SET(&m, "data", *data);
    if (id.n)
        VAL_MAP_SET(&m, "id", val_str(id));
    if (by.n)
        VAL_MAP_SET(&m, "by", val_str(by));
    *ret = val_map_done(&m);
    return RC_OK;
}

/* Names and types that are computed, and steps of workflows that are read later, may be anything. */
enum rc wait_signal_known(const struct workflow *w, struct str name, struct err *err)
{
    struct str nearest = STR("");
    unsigned best = 4;
    bool any = false;
    for (size_t i = 0; i < w->nall; i++) {
        const struct step_def *d = w->all[i];
        if (d->late_type || str_is(str_c(d->type->name), "pipeline"))
            return RC_OK;
        if (!str_is(str_c(d->type->name), "wait_signal"))
            continue;
        struct str known = val_get_str(d->source, STR("signal"), STR("{{"));
        if (str_eq(known, name) || str_find(known, STR("{{")) != SIZE_MAX)
            return RC_OK;
        unsigned far = known.n < 100 && name.n < 100 ? str_distance(name, known, best) : best;
        if (!nearest.n || far < best)
            nearest = known;
        best = far < best ? far : best;
        any = true;
    }
    int n = name.n < 100 ? (int)name.n : 100;
    if (!any)
        return err_set(err, RC_NOT_FOUND, "no step of this workflow waits for a signal");
    return err_set(err, RC_NOT_FOUND, "no step of this workflow waits for a signal `%.*s`; %s `%.*s`?", n, name.p,
                   best < 4 ? "did you mean" : "expected", STR_ARG(nearest));
}

struct str wait_text(const struct val *wait, struct arena *a)
{
    struct str what = val_get_str(wait, STR("for"), STR(""));
    if (str_is(what, "signal"))
        return arena_printf(a, "signal %.*s", STR_ARG(val_get_str(wait, STR("signal"), STR("?"))));
    if (str_is(what, "time"))
        return arena_printf(a, "until %.*s", STR_ARG(date_text(a, val_get_int(wait, STR("until_ms"), 0))));
    const struct val *choices = VAL_GET(wait, "choices");
    struct str text = val_get_str(wait, STR("message"), STR(""));
    text = arena_printf(a, "%.*s (", STR_ARG(text));
    for (size_t i = 0; val_at(choices, i); i++)
        text = arena_printf(a, "%.*s%s%.*s", STR_ARG(text), i ? ", " : "",
                            STR_ARG(val_is(val_at(choices, i), VAL_STR) ? val_at(choices, i)->s : STR("?")));
    return arena_printf(a, "%.*s)", STR_ARG(text));
}

const char *wait_choice_option(const struct val *wait)
{
    const struct val *choices = VAL_GET(wait, "choices"), *one;
    for (size_t i = 0; (one = val_at(choices, i)); i++)
        if (val_is(one, VAL_STR) && str_is(one->s, "approve"))
            return "";
    return " --choice CHOICE";
}
