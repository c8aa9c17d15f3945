/* Any text is either refused with places and advice, or becomes a definition that holds together: every step is found
 * by its name, configurations and conditions can be evaluated, and a second load says the same. */
#include "base/buf.h"
#include "base/panic.h"
#include "flow/keys.h"
#include "flow/migrate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Every name means something: text, a number, or an object with a field, by its length. */
static enum rc resolve(void *ctx, const struct val *key, size_t n, struct arena *a, const struct val **ret,
                       size_t *ret_used, struct err *err)
{
    static const struct val number = {.type = VAL_INT, .i = 3}, text = {.type = VAL_STR, .s = {"text", 4}};
    (void)ctx, (void)a;
    CHECK(n > 0 && key[0].type == VAL_STR);
    if (key[0].s.n % 4 == 3)
        return err_set(err, RC_NOT_FOUND, "unknown");
    *ret = key[0].s.n % 2 ? &number : &text;
    *ret_used = n > 2 ? 2 : n;
    return RC_OK;
}

static struct expr_scope fresh_scope(void)
{
    return (struct expr_scope){.resolve = resolve, .fuel = 20000, .max_bytes = 1 << 20};
}

static void check_cond(const struct cond *c, struct arena *a)
{
    struct expr_scope scope = fresh_scope();
    struct err err;
    bool got;
    if (!c)
        return;
    CHECK(c->text.n > 0);
    if (cond_eval(c, &scope, a, &got, &err) == RC_OK)
        CHECK(got == true || got == false);
}

static void check_step(const struct step_def *s, struct arena *a)
{
    struct expr_scope scope = fresh_scope();
    struct err err;
    struct val v;
    CHECK(s->type && s->config && s->data && s->list && s->list->steps[s->index] == s);
    CHECK(list_find(s->list, s->name) == s);
    CHECK(s->retry.max_attempts >= 1 && s->retry.max_delay_ms >= s->retry.delay_ms && s->timeout_ms >= 0);
    CHECK(s->on_error != ON_ERROR_GOTO || (s->goto_index > s->index && s->goto_index < s->list->n));
    CHECK((s->on_error == ON_ERROR_STEPS) == (s->handler != NULL));
    for (size_t i = 0; i < s->ndepends; i++)
        CHECK(s->list->graph && s->depends_on[i] < s->list->n && s->depends_on[i] != s->index);
    if (tmpl_tree_eval(s->config, &scope, a, &v, &err) == RC_OK)
        CHECK(v.type == VAL_OBJECT);
    check_cond(s->condition, a);
    size_t cond = 0, list = 0;
    for (const struct step_key *k = s->type->keys; k->name; k++) {
        if (k->kind == KEY_COND && !k->alias_of) {
            check_cond(s->conds[cond], a);
            CHECK(!k->required || s->conds[cond]);
            cond++;
        } else if (k->kind == KEY_STEPS && !k->alias_of) {
            CHECK(!k->required || s->lists[list]->owner == s);
            list++;
        } else if (k->kind == KEY_BRANCHES && !k->alias_of) {
            for (size_t i = 0; i < s->nbranches; i++)
                CHECK(s->branches[i].list && s->branches[i].list->owner == s && s->branches[i].name.p);
        }
    }
}

static void check_problems(const struct problems *ps)
{
    for (size_t i = 0; i < ps->n; i++) {
        const struct problem *p = &ps->v[i];
        CHECK(p->line > 0 && p->col > 0 && p->text.n > 0);
        CHECK(str_utf8_valid(p->text) == p->text.n);
        CHECK(i == 0 || p[-1].line < p->line || (p[-1].line == p->line && p[-1].col <= p->col));
    }
}

/* What loads still loads when it is in the modern form, which has no older forms itself. */
static void check_migration(struct str text, struct arena *a)
{
    struct str modern, again;
    struct err err;
    size_t changes, more;
    struct problems ps = {.a = a};
    if (migrate_text(a, text, "f.yaml", &modern, &changes, &err) != RC_OK)
        return;
    CHECK(changes || str_eq(text, modern));
    struct workflow *w = workflow_load(modern, STR("f.yaml"), &ps);
    CHECK(w);
    workflow_unref(w);
    if (migrate_text(a, modern, "f.yaml", &again, &more, &err) == RC_OK)
        CHECK(str_eq(modern, again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = {(const char *)data, size};
    struct arena a = {0};
    struct buf shown[2];
    for (int i = 0; i < 2; i++) {
        struct problems ps = {.a = &a};
        struct workflow *w = workflow_load(text, STR("f.yaml"), &ps);
        CHECK((w == NULL) == (ps.errors > 0));
        check_problems(&ps);
        for (size_t k = 0; w && i == 0 && k < w->nall; k++)
            check_step(w->all[k], &a);
        if (w && i == 0) {
            struct val v;
            struct err err;
            if (workflow_inputs(w, NULL, &a, &v, &err) == RC_OK)
                CHECK(v.type == VAL_OBJECT);
            check_migration(text, &a);
        }
        workflow_unref(w);
        buf_init(&shown[i], (size_t)1 << 20);
        problems_print(&shown[i], STR("f.yaml"), text, &ps);
        for (size_t k = 0; k < shown[i].n; k++)
            CHECK((unsigned char)shown[i].p[k] >= 0x20 || shown[i].p[k] == '\n');
    }
    CHECK(str_eq(buf_str(&shown[0]), buf_str(&shown[1])));
    buf_done(&shown[0]);
    buf_done(&shown[1]);
    arena_done(&a);
    return 0;
}
