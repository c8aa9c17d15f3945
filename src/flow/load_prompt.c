/* A prompt as a list of parts: {type: static | file | previous_response, …}, checked and brought into one form.
 *
 * The parts stay data: the step evaluates them with the rest of its configuration. Two things must get through that
 * evaluation unchanged and are therefore escaped here: the content of a `raw` part, and a part's condition, which is an
 * expression and not a template. */
#include "flow/load_int.h"

static struct str escape(struct arena *a, struct str s)
{
    if (str_find(s, STR("{{")) == SIZE_MAX)
        return s;
    char *out = arena_alloc(a, 2 * s.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        out[n++] = s.p[i];
        if (s.p[i] == '{' && i + 1 < s.n && s.p[i + 1] == '{') {
            memcpy(out + n, "{{{", 3);
            n += 3;
            i++;
        }
    }
    return str_n(out, n);
}

static struct val escape_tree(struct arena *a, const struct val *v)
{
    struct val out = *v;
    if (v->type == VAL_STR)
        out.s = escape(a, v->s);
    if (v->type == VAL_ARRAY) {
        struct val_list l = val_list_new(a);
        for (size_t i = 0; i < v->arr.n; i++)
            val_list_push(&l, escape_tree(a, &v->arr.v[i]));
        out = val_list_done(&l);
    }
    if (v->type == VAL_OBJECT) {
        struct val_map m = val_map_new(a);
        for (size_t i = 0; i < v->obj.n; i++)
            val_map_add(&m, v->obj.m[i].key, escape_tree(a, &v->obj.m[i].val), v->obj.m[i].line, v->obj.m[i].col);
        out = val_map_done(&m);
    }
    out.line = v->line;
    out.col = v->col;
    return out;
}

static const struct part_type {
    const char *name, *needs;
    const char *keys; /* beside type and condition, each between bars */
} part_types[] = {
    {"static", "content", "|content|raw|"},
    {"file", "path", "|path|"},
    {"previous_response", "step", "|step|extract|max_length|"},
};

static const struct part_type *part_type(struct loader *l, const struct val *part)
{
    static const char expected[] = "expected static, file or previous_response";
    const struct val *t = VAL_GET(part, "type");
    if (!t) {
        BAD(l, part, "a prompt part has no `type`; %s", expected);
        return NULL;
    }
    if (t->type != VAL_STR) {
        BAD(l, t, "the type of a prompt part is %s; %s", load_found(t), expected);
        return NULL;
    }
    struct nearest near = {.want = t->s};
    for (size_t i = 0; i < sizeof part_types / sizeof *part_types; i++) {
        if (str_is(t->s, part_types[i].name) || (i == 0 && str_is(t->s, "dynamic")))
            return &part_types[i];
        nearest_try(&near, str_c(part_types[i].name));
    }
    BAD(l, t, "unknown type `%s` of a prompt part; %s", clip(t->s).z, load_hint(l, &near, expected));
    return NULL;
}

static void part_file(struct loader *l, const struct step_def *s, const struct val *path)
{
    if (str_find(path->s, STR("{{")) != SIZE_MAX || str_find(path->s, STR("${")) != SIZE_MAX)
        return;
    for (size_t i = 0; i < path->s.n; i++) /* a pattern, or a directory: what it finds is seen in the run */
        if (strchr("*?[{", path->s.p[i]) || (path->s.p[i] == '/' && i + 1 == path->s.n))
            return;
    if (l->nfiles == l->files_cap) {
        size_t cap = l->files_cap ? 2 * l->files_cap : 16;
        struct file_ref *v = arena_calloc(l->a, cap, sizeof *v);
        if (l->nfiles)
            memcpy(v, l->files, l->nfiles * sizeof *v);
        l->files = v;
        l->files_cap = cap;
    }
    l->files[l->nfiles++] = (struct file_ref){path->s, s, path->line, path->col};
}

static void part_step(struct loader *l, const struct step_def *s, const struct val *part)
{
    struct str name = VAL_GET(part, "step")->s, extract = val_get_str(part, STR("extract"), STR("")), field;
    if (str_find(name, STR("{{")) != SIZE_MAX)
        return;
    size_t end = 0;
    while (end < extract.n &&
           (extract.p[end] == '_' || ((extract.p[end] | 32) >= 'a' && (extract.p[end] | 32) <= 'z') ||
            (extract.p[end] >= '0' && extract.p[end] <= '9')))
        end++;
    field = end == extract.n || extract.p[end] == '.' || extract.p[end] == '[' ? str_n(extract.p, end) : STR("");
    const struct val *at = VAL_GET(part, "step");
    load_later(l, &(struct later){
                      .kind = LATER_STEP, .step = s, .name = name, .field = field, .line = at->line, .col = at->col});
}

/* One key of a part; false: it is left out. */
static bool part_key(struct loader *l, const struct step_def *s, const struct part_type *t, const struct member *k,
                     bool raw, struct val *ret)
{
    struct str text;
    bool b;
    int64_t max;
    *ret = k->val;
    if (str_is(k->key, "type")) {
        ret->s = str_c(t->name);
        return true;
    }
    if (str_is(k->key, "condition")) {
        const struct cond *c = load_cond(l, &k->val);
        if (c)
            load_later(l, &(struct later){.kind = LATER_COND, .step = s, .cond = c});
        *ret = escape_tree(l->a, &k->val);
        return true;
    }
    if (!key_find(prompt_part_keys, k->key)) {
        if (!load_unused_key(l, k, part_unused_keys))
            load_unknown_key(l, k, "a prompt part", prompt_part_keys, NULL);
        return false;
    }
    if (str_find(str_c(t->keys), arena_printf(l->a, "|%.*s|", STR_ARG(k->key))) == SIZE_MAX) {
        problem_add(l->ps, false, k->line, k->col, "`%s` means nothing in a prompt part of type %s; expected `%s`",
                    clip(k->key).z, t->name, t->needs);
        return false;
    }
    if (str_is(k->key, "raw"))
        return load_bool(l, k, &b);
    if (str_is(k->key, "max_length"))
        return load_int(l, k, 1, INT32_MAX, &max);
    if (!load_text(l, k, &text))
        return false;
    if (raw && str_is(k->key, "content"))
        ret->s = escape(l->a, text);
    if (str_is(k->key, "path"))
        *ret = load_dollars(l, ret);
    return true;
}

static void prompt_part(struct loader *l, const struct step_def *s, const struct val *part, struct val_list *out)
{
    if (part->type != VAL_OBJECT) {
        BAD(l, part, "a prompt part is %s; expected a map such as {type: static, content: \"…\"}", load_found(part));
        return;
    }
    const struct part_type *t = part_type(l, part);
    if (!t)
        return;
    struct val_map m = val_map_new(l->a);
    size_t before = l->ps->errors;
    bool raw = val_get_bool(part, STR("raw"), false);
    for (size_t i = 0; i < part->obj.n; i++) {
        struct val v;
        if (part_key(l, s, t, &part->obj.m[i], raw, &v))
            val_map_add(&m, part->obj.m[i].key, v, part->obj.m[i].line, part->obj.m[i].col);
    }
    const struct val *needed = val_get(part, str_c(t->needs));
    if (!needed)
        BAD(l, part, "a prompt part of type %s has no `%s`; expected it", t->name, t->needs);
    else if (needed->type == VAL_STR && needed->s.n == 0 && strcmp(t->needs, "content") != 0)
        BAD(l, needed, "`%s` is empty; expected a %s", t->needs,
            strcmp(t->needs, "path") == 0 ? "path" : "step's name");
    if (l->ps->errors > before)
        return;
    if (strcmp(t->needs, "path") == 0)
        part_file(l, s, needed);
    if (strcmp(t->needs, "step") == 0)
        part_step(l, s, part);
    struct val done = val_map_done(&m);
    done.line = part->line;
    done.col = part->col;
    val_list_push(out, done);
}

struct val load_prompt(struct loader *l, const struct step_def *s, const struct val *v)
{
    struct val_list out = val_list_new(l->a);
    if (v->arr.n == 0)
        BAD(l, v, "the prompt is an empty list; expected at least one part such as {type: static, content: \"…\"}");
    for (size_t i = 0; i < v->arr.n; i++)
        prompt_part(l, s, &v->arr.v[i], &out);
    struct val done = val_list_done(&out);
    done.line = v->line;
    done.col = v->col;
    return done;
}
