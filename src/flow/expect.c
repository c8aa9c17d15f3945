/* `expected_outputs`: what a result must hold, field by field, for the step to have succeeded.
 *
 * A field is read as steps.NAME.FIELD would be after the step, so `score`, `data.items[0].id` and the value of a step
 * that returns a plain one (`result`) all work. The values may be templates; they are evaluated when the result is
 * there. */
#include "flow/run_int.h"

#include "data/json.h"

static struct str shown(struct arena *a, const struct val *v)
{
    struct str s = json_text(a, v);
    if (s.n > 200)
        s = arena_printf(a, "%.*s…", (int)str_utf8_valid(str_n(s.p, 200)), s.p);
    return s;
}

/* The result as `x` in `x.FIELD`. */
struct asked {
    struct frame *f;
    const struct val *result;
};

static enum rc resolve(void *ctx, const struct val *key, size_t n, struct arena *a, const struct val **ret,
                       size_t *ret_used, struct err *err)
{
    const struct asked *q = ctx;
    (void)err;
    *ret = scope_of_result(q->f, q->f->def, q->result, key, n, a, ret_used);
    return RC_OK;
}

static const struct val *lacking(void *ctx, const struct val *object, const struct val *key, size_t at, struct arena *a)
{
    return scope_lacking(((const struct asked *)ctx)->f, object, key, at, a);
}

static enum rc read_field(struct frame *f, const struct val *result, struct str field, struct arena *a, struct val *ret,
                          struct err *err)
{
    struct asked q = {f, result};
    struct expr_scope scope = frame_scope(f, true);
    const struct expr *e;
    scope.resolve = resolve;
    scope.count = NULL;
    scope.fields = NULL;
    scope.lacking = lacking;
    scope.ctx = &q;
    enum rc rc = expr_parse(a, arena_printf(a, "result_.%.*s", STR_ARG(field)), 0, 0, &e, err);
    return rc == RC_OK ? expr_eval(e, &scope, a, ret, err) : rc;
}

bool expect_met(struct frame *f, const struct val *result)
{
    struct arena *a = &f->run->scratch;
    for (size_t i = 0; i < f->def->nexpected; i++) {
        const struct step_variable *x = &f->def->expected[i];
        struct expr_scope scope = frame_scope(f, false);
        struct val want, have = val_null;
        struct err err;
        if (tmpl_tree_eval(x->value, &scope, a, &want, &err) != RC_OK ||
            (read_field(f, result, x->name, a, &have, &err) != RC_OK && err.rc != RC_NOT_FOUND)) {
            frame_fail(f, &err);
            return false;
        }
        if (val_eq(&want, &have))
            continue;
        step_fail(f, &(struct failure){.rc = RC_STEP,
                                       .code = STR("unexpected_output"),
                                       .message = arena_printf(a, "`%.*s` is %.*s; expected %.*s (expected_outputs)",
                                                               STR_ARG(x->name), STR_ARG(shown(a, &have)),
                                                               STR_ARG(shown(a, &want)))});
        return false;
    }
    return true;
}
