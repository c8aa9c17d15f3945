/* A conversation: the exchanges of one step become steps of their own, one after the other.
 *
 * An exchange is {prompt, turn, …} with the keys of the type that it is an exchange of, or a prompt alone. What the
 * step says for all (preset, options, session, retries) is put into each; the session has a name by then, because the
 * exchanges would otherwise each have one of their own. Beginning anew is for the first of them, and the form of the
 * answer for the last. */
#include "flow/load_int.h"

struct exchanges {
    struct loader *l;
    const struct step_def *s;
    const struct val *config; /* session_config, or an empty object */
    bool named;               /* the session has a name */
};

struct val load_merged(struct arena *a, const struct val *under, const struct val *over)
{
    struct val_map m = val_map_new(a);
    for (size_t i = 0; i < over->obj.n; i++)
        val_map_add(&m, over->obj.m[i].key, over->obj.m[i].val, over->obj.m[i].line, over->obj.m[i].col);
    for (size_t i = 0; i < under->obj.n; i++)
        val_map_add(&m, under->obj.m[i].key, under->obj.m[i].val, under->obj.m[i].line, under->obj.m[i].col);
    struct val v = val_map_done(&m);
    v.line = over->line;
    v.col = over->col;
    return v;
}

static struct val placed(struct val v, const struct val *at)
{
    v.line = at->line;
    v.col = at->col;
    return v;
}

static bool is_retry(struct str key)
{
    const struct step_key *row = key_find(step_common_keys, key);
    return row && strcmp(key_canonical(step_common_keys, row)->name, "retry") == 0;
}

/* Is this key of the step one for its exchange `i` of `n`? */
static bool is_for(const struct exchanges *x, struct str key, size_t i, size_t n)
{
    if (str_is(key, "continue_session"))
        return i == 0;
    if (str_is(key, "output_schema"))
        return i + 1 == n;
    return is_retry(key) || (key_find(x->s->type->exchange->keys, key) && !str_is(key, "prompt") &&
                             !str_is(key, x->s->type->exchange->variant_key));
}

static void inherit(const struct exchanges *x, const struct val *own, size_t i, size_t n, struct val_map *m)
{
    for (size_t k = 0; k < x->s->source->obj.n; k++) {
        const struct member *given = &x->s->source->obj.m[k];
        const struct val *said = val_get(own, given->key);
        if (!is_for(x, given->key, i, n))
            continue;
        if (!said)
            val_map_add(m, given->key, given->val, given->line, given->col);
        else if (said->type == VAL_OBJECT && given->val.type == VAL_OBJECT)
            val_map_set(m, given->key, load_merged(x->l->a, &given->val, said));
    }
    if (x->named)
        return;
    struct val_map session = val_map_new(x->l->a);
    VAL_MAP_SET(&session, "session_name", val_str(x->s->name));
    VAL_MAP_SET(&session, "persist", val_false);
    struct val name = placed(val_map_done(&session), x->s->source);
    val_map_set(m, STR("session_config"), placed(load_merged(x->l->a, x->config, &name), x->s->source));
}

/* The exchange as a step. False: reported. */
static bool exchange_step(const struct exchanges *x, const struct val *item, size_t i, size_t n, struct val *ret)
{
    struct arena *a = x->l->a;
    const struct val *id = VAL_GET(item, "name") ? VAL_GET(item, "name") : VAL_GET(item, "id");
    const struct val *turn = VAL_GET(item, "turn");
    struct val_map m = val_map_new(a);
    if (item->type != VAL_OBJECT && item->type != VAL_STR) {
        BAD(x->l, item, "an exchange is %s; expected a map such as {prompt: \"…\"}, or a prompt", load_found(item));
        return false;
    }
    struct str name = val_is(turn, VAL_INT)   ? arena_printf(a, "turn_%lld", (long long)turn->i)
                      : val_is(turn, VAL_STR) ? turn->s
                                              : arena_printf(a, "turn_%zu", i + 1);
    if (!id)
        val_map_add(&m, STR("name"), placed(val_str(name), turn ? turn : item), item->line, item->col);
    val_map_add(&m, STR("type"), placed(val_str(str_c(x->s->type->name)), item), item->line, item->col);
    if (item->type == VAL_STR)
        val_map_add(&m, STR("prompt"), *item, item->line, item->col);
    for (size_t k = 0; item->type == VAL_OBJECT && k < item->obj.n; k++) {
        const struct member *o = &item->obj.m[k];
        if (!str_is(o->key, "turn") && !str_is(o->key, "type"))
            val_map_add(&m, o->key, o->val, o->line, o->col);
    }
    inherit(x, item, i, n, &m);
    *ret = placed(val_map_done(&m), item);
    return true;
}

static bool names_session(const struct val *v)
{
    return VAL_GET(v, "session_name") || VAL_GET(v, "session_id");
}

const struct list_def *load_exchanges(struct loader *l, struct step_def *s, const struct val *v, unsigned depth)
{
    struct exchanges x = {.l = l, .s = s, .config = VAL_GET(s->source, "session_config")};
    x.config = val_is(x.config, VAL_OBJECT) ? x.config : &val_empty_object;
    x.named = names_session(s->source) || names_session(x.config);
    const struct val *most = VAL_GET(x.config, "max_session_turns");
    struct val_list steps = val_list_new(l->a);
    if (v->type != VAL_ARRAY) {
        BAD(l, v, "`%s` is %s; expected a list of exchanges such as [{prompt: \"…\"}]", s->type->exchange->variant_key,
            load_found(v));
        return NULL;
    }
    if (val_is(most, VAL_INT) && most->i < (int64_t)v->arr.n)
        BAD(l, most, "`max_session_turns` is %lld; expected at least %zu, as many as the conversation has exchanges",
            (long long)most->i, v->arr.n);
    for (size_t i = 0; i < v->arr.n; i++) {
        struct val step;
        if (exchange_step(&x, &v->arr.v[i], i, v->arr.n, &step))
            val_list_push(&steps, step);
    }
    s->retry = load_retry_default(); /* what was answered is not asked again with the rest: each exchange has it */
    struct val *list = ARENA_NEW(l->a, struct val);
    *list = placed(val_list_done(&steps), v);
    return load_list(l, list, s, STR(""), depth + 1);
}
