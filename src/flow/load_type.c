/* The keys of a step's type, read through the type's table.
 *
 * Most become the step's configuration, one object whose strings are templates and which is evaluated when the step
 * starts; constants in it are checked now, so that only what depends on the run can fail in the run. Literal keys,
 * conditions and lists of steps go to places of their own, because they are not evaluated with the rest. */
#include "base/panic.h"
#include "flow/load_int.h"

bool load_whole_template(const struct val *v)
{
    if (v->type != VAL_STR)
        return false;
    struct str s = str_trim(v->s);
    return str_starts(s, STR("{{")) && !str_starts(s, STR("{{{{")) && str_ends(s, STR("}}"));
}

/* ---- kinds ---- */

static bool key_wrong(struct loader *l, const struct member *m, const struct val *v, const char *expected)
{
    BAD(l, v, "`%s` is %s; expected %s", clip(m->key).z, load_found(v), expected);
    return false;
}

static bool key_enum(struct loader *l, const struct step_key *row, const struct member *m)
{
    struct str v;
    if (!load_text(l, m, &v))
        return false;
    if (str_has_word(str_c(row->choices), '|', v))
        return true;
    struct nearest near = {.want = v};
    nearest_try_words(&near, row->choices);
    BAD(l, &m->val, "`%s` is `%s`; %s", clip(m->key).z, clip(v).z,
        load_hint(l, &near, nearest_expected(l->ps->a, row->choices)));
    return false;
}

static bool key_strings(struct loader *l, const struct member *m)
{
    const struct val *v = &m->val;
    if (v->type == VAL_STR)
        return true;
    if (v->type != VAL_ARRAY)
        return key_wrong(l, m, v, "text or a list of text");
    bool good = true;
    for (size_t i = 0; i < v->arr.n; i++)
        if (v->arr.v[i].type != VAL_STR)
            good = key_wrong(l, m, &v->arr.v[i],
                             val_is_number(&v->arr.v[i]) || v->arr.v[i].type == VAL_BOOL
                                 ? "only text in this list: put it in quotes"
                                 : "only text in this list");
    return good;
}

static bool key_ints(struct loader *l, const struct step_key *row, const struct member *m)
{
    const struct val *v = &m->val;
    struct step_key one = *row;
    struct err err;
    double x;
    one.kind = KEY_INT;
    size_t n = v->type == VAL_ARRAY ? v->arr.n : 1;
    if (v->type != VAL_ARRAY && v->type != VAL_INT)
        return key_wrong(l, m, v, "an integer or a list of integers");
    bool good = true;
    for (size_t i = 0; i < n; i++) {
        const struct val *item = v->type == VAL_ARRAY ? &v->arr.v[i] : v;
        if (load_whole_template(item))
            continue;
        if (item->type != VAL_INT) {
            good = key_wrong(l, m, item, "only integers in this list");
        } else if (key_number(m->key, &one, item, &x, &err) != RC_OK) {
            BAD(l, item, "%s", err.msg);
            good = false;
        }
    }
    return good;
}

/* Once in a workflow, not once a step. */
static void block_notice(struct loader *l, const struct member *m, const struct key_block *block, const char *why)
{
    struct str text = arena_printf(l->ps->a, "`%s` of %s has no effect: %s", clip(m->key).z, block->name, why);
    for (size_t i = 0; i < l->ps->n; i++)
        if (l->ps->v[i].warning && str_eq(l->ps->v[i].text, text))
            return;
    problem_add(l->ps, true, m->line, m->col, "%s", text.p);
}

/* Where others' names may be meant, only what looks like a slip of the pen is an error. */
static void block_unknown(struct loader *l, struct str owner, const struct member *m, const struct key_block *block)
{
    struct nearest near = {.want = m->key};
    struct str list = STR("");
    if (!block->open) {
        load_unknown_key(l, m, arena_printf(l->ps->a, "`%s`", clip(owner).z).p, block->keys, NULL);
        return;
    }
    for (const struct step_key *k = block->keys; k->name; k++) {
        nearest_try(&near, str_c(k->name));
        if (!k->alias_of)
            list = arena_printf(l->ps->a, "%.*s%s%s", STR_ARG(list), list.n ? ", " : "expected one of: ", k->name);
    }
    for (const struct unused_key *k = block->unused; k && k->name; k++)
        nearest_try(&near, str_c(k->name));
    problem_add(l->ps, near.name.n == 0, m->line, m->col, "unknown option `%s` in %s; %s", clip(m->key).z,
                clip(owner).z, load_hint(l, &near, list.p));
}

/* A map, and if it is a block that nobody else reads: its keys. */
static bool key_block_fits(struct loader *l, const struct step_key *row, const struct member *m)
{
    const struct key_block *block = key_block_of(row);
    size_t before = l->ps->errors;
    if (!load_object(l, m))
        return false;
    for (size_t i = 0; block && block->plain && i < m->val.obj.n; i++) {
        const struct member *k = &m->val.obj.m[i];
        const struct step_key *inner = key_find(block->keys, k->key);
        const struct unused_key *unused = block->unused ? key_find_unused(block->unused, k->key) : NULL;
        if (inner && k->val.type != VAL_NULL)
            (void)load_key_fits(l, block->keys, inner, k);
        else if (unused)
            block_notice(l, k, block, unused->why);
        else if (!inner)
            block_unknown(l, m->key, k, block);
    }
    return l->ps->errors == before;
}

/* Is a constant of the right kind? */
bool load_key_fits(struct loader *l, const struct step_key *table, const struct step_key *row, const struct member *m)
{
    struct str text;
    double x;
    bool b;
    bool whole = (row->kind >= KEY_BOOL && row->kind <= KEY_INTS) ||
                 (row->kind == KEY_OBJECT && (!key_block_of(row) || key_block_of(row)->hole));
    if (whole && load_whole_template(&m->val))
        return true;
    switch (row->kind) {
    case KEY_ANY:
    case KEY_DATA:
    case KEY_OPERATIONS:
        return true;
    case KEY_STRING:
        if (!load_text(l, m, &text))
            return false;
        if (str_find(text, STR("{{")) != SIZE_MAX)
            WARN(l, &m->val, "`%s` is taken literally; expected no `{{` in it", clip(m->key).z);
        return true;
    case KEY_TEMPLATE:
        return load_text(l, m, &text);
    case KEY_PROMPT:
        return m->val.type == VAL_STR || m->val.type == VAL_ARRAY ||
               key_wrong(l, m, &m->val, "text, or a list of parts such as {type: static, content: …}");
    case KEY_BOOL:
        return load_bool(l, m, &b);
    case KEY_INT:
    case KEY_NUMBER:
    case KEY_SECONDS:
    case KEY_MS:
    case KEY_DURATION:
    case KEY_SIZE:
        return load_number(l, table, m, &x);
    case KEY_ENUM:
        return key_enum(l, row, m);
    case KEY_STRINGS:
        return key_strings(l, m);
    case KEY_INTS:
        return key_ints(l, row, m);
    case KEY_OBJECT:
        return key_block_fits(l, row, m);
    case KEY_EACH:
        return m->val.type == VAL_STR || m->val.type == VAL_OBJECT ||
               key_wrong(l, m, &m->val, "a word, or a step such as {type: claude, prompt: …}");
    case KEY_COND:
    case KEY_STEPS:
    case KEY_TASKS:
    case KEY_BRANCHES:
        break;
    }
    return true;
}

/* ---- loops and variables ---- */

/* A name that an expression can hold. */
bool load_plain_name(struct str s)
{
    if (s.n == 0 || s.n > LOAD_NAME_MAX || (s.p[0] >= '0' && s.p[0] <= '9'))
        return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
              (unsigned char)c >= 0x80))
            return false;
    }
    return true;
}

/* The value given under `name` or an accepted spelling of it. */
static const struct val *given(const struct step_def *s, const char *name)
{
    for (const struct step_key *k = s->type->keys; k->name; k++)
        if (strcmp(k->name, name) == 0 || (k->alias_of && strcmp(k->alias_of, name) == 0)) {
            const struct val *v = val_get(s->source, str_c(k->name));
            if (v)
                return v;
        }
    return NULL;
}

static struct str loop_iterator(struct loader *l, const struct step_def *s)
{
    const struct step_key *row = s->type->loop ? key_find(s->type->keys, STR("iterator")) : NULL;
    const struct val *v = row ? given(s, "iterator") : NULL;
    if (!val_is(v, VAL_STR))
        return str_c(row ? row->fallback : NULL);
    if (load_plain_name(v->s)) {
        load_taken_name(l, "the iterator", "loop", v->s, v->line, v->col);
        return v->s;
    }
    BAD(l, v, "`%s` cannot be the name of an iterator; expected letters, digits and `_`, as in `file`", clip(v->s).z);
    return STR("");
}

/* Names that this step will set, for the checks of names everywhere. */
static void collect_assigned(struct loader *l, struct step_def *s)
{
    const struct val *v = NULL;
    bool sets = strcmp(s->type->name, "set_variable") == 0;
    if (sets || strcmp(s->type->name, "checkpoint") == 0) {
        v = given(s, sets ? "variables" : "state");
        l->names_open |= sets ? !val_is(v, VAL_OBJECT) : given(s, "action") || (v && v->type != VAL_OBJECT);
        for (size_t i = 0; val_is(v, VAL_OBJECT) && i < v->obj.n; i++) {
            const struct member *m = &v->obj.m[i];
            load_assigned(l, m->key);
            load_taken_name(l, "the variable", "state", m->key, m->line, m->col);
            if (!load_plain_name(m->key))
                problem_add(l->ps, true, m->line, m->col,
                            "the variable `%s` can only be read as state[\"%s\"]; expected letters, digits and `_`",
                            clip(m->key).z, clip(m->key).z);
        }
    }
    if (sets && str_is(val_get_str(s->source, STR("scope"), STR("")), "session"))
        l->keeps_variables = true;
    if (given(s, "codebase_context"))
        load_assigned(l, STR("codebase"));
    v = s->type->parts ? given(s, s->type->parts) : NULL;
    for (size_t i = 0; val_is(v, VAL_OBJECT) && i < v->obj.n; i++)
        load_assigned(l, v->obj.m[i].key);
    v = given(s, "output_field"); /* addressable as a name of its own */
    bool literal = val_is(v, VAL_STR) && v->s.n && str_find(v->s, STR("{{")) == SIZE_MAX;
    if (literal)
        load_assigned(l, v->s);
    l->names_open |= v && !literal;
    s->value_name = literal ? v->s : s->type->named_value && !v ? s->name : STR("");
}

/* Keys whose text is an expression when it has no holes: `data_source: steps.scan.files`. */
static bool expression_key(const char *name)
{
    return strcmp(name, "data_source") == 0 || strcmp(name, "expression") == 0 || strcmp(name, "input_source") == 0;
}

/* An input_source that is a file rather than an expression. */
static bool is_data_file(struct str s)
{
    return str_ends(s, STR(".jsonl")) || str_ends(s, STR(".ndjson"));
}

/* STEP:FIELD, an older spelling of STEP.FIELD; previous_response:STEP:FIELD likewise. */
static struct str modern_path(struct loader *l, struct str s)
{
    struct str old = STR("previous_response:");
    if (str_starts(s, old))
        return arena_printf(l->a, "%.*s%.*s", STR_ARG(old), STR_ARG(modern_path(l, str_from(s, old.n))));
    size_t colon = str_find(s, STR(":")), end;
    if (colon == SIZE_MAX || !load_plain_name(str_n(s.p, colon)))
        return s;
    struct str field = str_from(s, colon + 1);
    for (end = 0; end < field.n && field.p[end] != '.' && field.p[end] != '['; end++)
        ;
    if (!load_plain_name(str_n(field.p, end)))
        return s;
    return arena_printf(l->a, "%.*s.%.*s", (int)colon, s.p, STR_ARG(field));
}

static struct val read_expression(struct loader *l, const struct step_def *s, const struct val *v)
{
    struct val out = *v;
    out.s = modern_path(l, v->s);
    const struct cond *c = load_cond(l, &out);
    if (c)
        load_later(l, &(struct later){.kind = LATER_COND, .step = s, .cond = c});
    return out;
}

/* ---- the keys ---- */

enum { KEYS_MAX = 64 }; /* rows of a type's table */

struct reading {
    struct val_map config, data;
    const struct cond **conds;
    const struct list_def **lists;
    const struct member *given[KEYS_MAX]; /* by row of the table */
};

static void read_branches(struct loader *l, struct step_def *s, const struct member *m, unsigned depth)
{
    const struct val *v = &m->val;
    if (v->type != VAL_OBJECT || v->obj.n == 0) {
        BAD(l, v, "`%s` is %s; expected a map of names and lists of steps", clip(m->key).z,
            v->type == VAL_OBJECT ? "empty" : load_found(v));
        return;
    }
    if (v->obj.n > LOAD_BRANCHES_MAX) {
        BAD(l, v, "`%s` has %zu lists of steps; expected at most %d", clip(m->key).z, v->obj.n, LOAD_BRANCHES_MAX);
        return;
    }
    struct branch *b = arena_calloc(l->a, v->obj.n, sizeof *b);
    for (size_t i = 0; i < v->obj.n; i++) {
        const struct member *one = &v->obj.m[i];
        if (one->val.type == VAL_NULL)
            problem_add(l->ps, false, one->line, one->col, "`%s` has no value; expected a list of steps",
                        clip(one->key).z);
        else
            b[s->nbranches++] = (struct branch){.name = one->key,
                                                .line = one->line,
                                                .col = one->col,
                                                .list = load_list(l, &one->val, s, STR(""), depth + 1)};
    }
    s->branches = b;
}

static void read_key(struct loader *l, struct step_def *s, struct reading *r, const struct member *m, unsigned depth)
{
    const struct step_key *keys = s->type->keys, *written = key_find(keys, m->key), *row = key_canonical(keys, written);
    const struct member **first = &r->given[row - keys];
    if (*first) {
        problem_add(l->ps, false, m->line, m->col, "`%s` and `%s` mean the same; expected one of them, `%s`",
                    clip((*first)->key).z, clip(m->key).z, row->name);
        return;
    }
    *first = m;
    if (m->val.type == VAL_NULL && row->kind != KEY_ANY && row->kind != KEY_DATA) {
        BAD(l, &m->val, "`%s` has no value; expected %s", clip(m->key).z,
            places_comment(&l->places, m->line) ? "quotes: what begins with # is a comment"
            : row->kind == KEY_STEPS            ? "a list of steps"
            : row->kind == KEY_BRANCHES         ? "a map of names and lists of steps"
                                                : "one, or no such key");
        return;
    }
    struct str name = str_c(row->name);
    size_t slot = row->kind == KEY_COND || row->kind == KEY_STEPS ? step_key_slot(s->type, row->name) : 0;
    if (row->kind == KEY_COND) {
        r->conds[slot] = load_cond(l, &m->val);
    } else if (row->kind == KEY_STEPS) {
        r->lists[slot] = s->type->exchange ? load_exchanges(l, s, &m->val, depth)
                                           : load_list(l, &m->val, s, loop_iterator(l, s), depth + 1);
    } else if (row->kind == KEY_BRANCHES) {
        read_branches(l, s, m, depth);
    } else if (row->kind == KEY_TASKS || (s->type->task && key_find(s->type->task->keys, m->key)) ||
               (s->type->exchange && key_find(s->type->exchange->keys, m->key))) {
        return; /* load_tasks() reads it, or gives it to each task; load_exchanges() likewise */
    } else if (row->kind == KEY_EACH && load_each(l, s, row, &m->val, depth)) {
        return;
    } else if (!load_key_fits(l, s->type->keys, written, m)) {
        return;
    } else if (row->kind == KEY_OPERATIONS) {
        load_operations(l, s, &m->val);
        val_map_add(&r->data, name, m->val, m->line, m->col);
    } else if (row->kind == KEY_STRING || row->kind == KEY_DATA) {
        val_map_add(&r->data, name, m->val, m->line, m->col);
    } else {
        struct val v = m->val;
        if (row->kind == KEY_PROMPT)
            v = load_prompt(l, s, &v);
        else if (row->choices && strcmp(row->choices, "call_config") == 0)
            v = load_call_paths(l, &v);
        else if (row->kind == KEY_ANY && expression_key(row->name) && v.type == VAL_STR &&
                 str_find(v.s, STR("{{")) == SIZE_MAX && !is_data_file(v.s))
            v = read_expression(l, s, &v);
        if (row->kind != KEY_PROMPT && strcmp(row->name, "run") != 0 && strcmp(row->name, "stdin") != 0)
            load_foreign_statement(l, &v); /* a command may well write a template for others */
        val_map_add(&r->config, name, v, m->line, m->col);
    }
}

/* Was the key written with a slip of the pen? Then that was reported, and saying that it is missing adds nothing. */
static bool misspelt(const struct step_def *s, const struct step_key *key)
{
    for (size_t i = 0; i < s->source->obj.n; i++) {
        struct str name = s->source->obj.m[i].key;
        if (name.n < 64 && !key_find(s->type->keys, name) && !key_find(step_common_keys, name) &&
            str_distance(name, str_c(key->name), 2) <= 2)
            return true;
    }
    return false;
}

static void missing_keys(struct loader *l, const struct step_def *s, const struct reading *r)
{
    for (const struct step_key *k = s->type->keys; k->name; k++)
        if (k->required && !k->alias_of && !r->given[k - s->type->keys] && !misspelt(s, k))
            BAD(l, s->source, "step `%s` (%s) has no `%s`; expected one: %s", clip(s->name).z, s->type->name, k->name,
                k->doc);
}

void load_type_keys(struct loader *l, struct step_def *s, unsigned depth)
{
    size_t rows = 0, conds = 0, lists = 0;
    for (const struct step_key *k = s->type->keys; k->name; k++, rows++) {
        conds += k->kind == KEY_COND && !k->alias_of;
        lists += k->kind == KEY_STEPS && !k->alias_of;
    }
    CHECK(rows <= KEYS_MAX);
    struct reading r = {.config = val_map_new(l->a), .data = val_map_new(l->a)};
    r.conds = conds ? arena_calloc(l->a, conds, sizeof *r.conds) : NULL;
    r.lists = lists ? arena_calloc(l->a, lists, sizeof *r.lists) : NULL;
    size_t before = l->ps->errors;
    for (size_t i = 0; i < s->source->obj.n; i++) {
        const struct member *m = &s->source->obj.m[i];
        if (key_find(s->type->keys, m->key))
            read_key(l, s, &r, m, depth);
    }
    missing_keys(l, s, &r);
    if (s->type->task)
        load_tasks(l, s, &r.config, &r.data, depth);
    collect_assigned(l, s);
    struct val config = val_map_done(&r.config), *data = ARENA_NEW(l->a, struct val);
    *data = val_map_done(&r.data);
    config.line = s->line;
    config.col = s->col;
    s->data = data;
    s->config = load_tree(l, &config);
    if (s->config)
        load_examples(l, s, &config);
    s->conds = (const struct cond *const *)r.conds;
    s->lists = (const struct list_def *const *)r.lists;
    if (s->type->check && s->config && l->ps->errors == before)
        s->type->check(s, l->ps);
}
