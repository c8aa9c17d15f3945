/* What a workflow reads and neither declares nor sets: whoever starts it must give it.
 *
 * Loading collects these names, each with the place where it is read first: inputs.x where no inputs are declared, a
 * bare name in older files, a variable that only a caller could have set. What asks (`||`, exists, conditions) wants
 * nothing, nor does a step whose own condition, or one around it, asks for the same input: its author knows that it may
 * be missing. Before a first step these names are held against what is given, all at once; so are those of a workflow
 * that is called, when its caller is loaded as far as that is known then, and when the call begins. */
#include "flow/load_int.h"

enum { TOLD_MAX = 380 }; /* bytes of names in one message */

/* ---- collecting ---- */

void load_wanted(struct loader *l, struct wanted_input x)
{
    if (l->nwanted >= LOAD_NAMES_MAX || map_get(&l->wanted_names[x.kind], x.name))
        return;
    if (l->nwanted == l->wanted_cap) {
        l->wanted_cap = l->wanted_cap ? 2 * l->wanted_cap : 8;
        struct wanted_input *more = arena_calloc(l->a, l->wanted_cap, sizeof *more);
        if (l->nwanted)
            memcpy(more, l->wanted, l->nwanted * sizeof *more);
        l->wanted = more;
    }
    map_put(&l->wanted_names[x.kind], x.name, l);
    l->wanted[l->nwanted++] = x;
}

/* What the conditions of a step read. They are gone through once, however much is read in the step and below. */
struct asked {
    const struct step_def *step;
    struct map own[WANTED_VARIABLE + 1];    /* names that `condition` reads, by kind */
    struct map inside[WANTED_VARIABLE + 1]; /* that other conditions of it do, a loop's: they ask for what is inside */
    struct map *now;                        /* those that are being collected */
};

static enum rc note_asked(void *ctx, const struct expr_path *path, bool soft, struct err *err)
{
    struct asked *x = ctx;
    (void)soft, (void)err;
    if (path->n < 2 || path->seg[1].index)
        return RC_OK;
    if (str_is(path->seg[0].name, "inputs"))
        map_put(&x->now[WANTED_INPUT], path->seg[1].name, x);
    else if (str_is(path->seg[0].name, "global_vars"))
        map_put(&x->now[WANTED_VARIABLE], path->seg[1].name, x);
    return RC_OK;
}

static void note_condition(struct asked *x, const struct cond *c)
{
    struct err err;
    if (c)
        (void)!cond_each_path(c, note_asked, x, &err); /* note_asked never fails */
}

static struct asked *asked_by(struct loader *l, const struct step_def *s)
{
    struct asked *x = map_get(&l->asked, str_n((const char *)&s, sizeof s));
    size_t slot = 0;
    if (x)
        return x;
    x = ARENA_NEW(l->ps->a, struct asked);
    x->step = s;
    map_put(&l->asked, str_n((const char *)&x->step, sizeof x->step), x);
    x->now = x->own;
    note_condition(x, s->condition);
    x->now = x->inside;
    for (const struct step_key *k = s->type && s->conds ? s->type->keys : NULL; k && k->name; k++)
        if (k->kind == KEY_COND && !k->alias_of)
            note_condition(x, s->conds[slot++]);
    return x;
}

bool wanted_guarded(const struct reader *r, enum wanted_kind kind, struct str name)
{
    for (const struct step_def *s = r->at; s; s = s->list->owner) {
        const struct asked *x = asked_by(r->l, s);
        if (map_get(&x->own[kind], name) || (s != r->at && map_get(&x->inside[kind], name)))
            return true;
    }
    return false;
}

void load_wanted_done(struct loader *l)
{
    struct map_entry *e;
    for (size_t i = 0; (e = map_next(&l->asked, &i));) {
        struct asked *x = e->value;
        for (size_t k = 0; k <= WANTED_VARIABLE; k++) {
            map_done(&x->own[k]);
            map_done(&x->inside[k]);
        }
    }
    map_done(&l->asked);
    for (size_t k = 0; k <= WANTED_VARIABLE; k++)
        map_done(&l->wanted_names[k]);
}

/* ---- asking ---- */

static bool is_known(const struct workflow *w, const struct wanted_input *x, const struct val *inputs)
{
    switch (x->kind) {
    case WANTED_INPUT:
        break;
    case WANTED_BARE:
        for (size_t i = 0; i < w->nwanted; i++) /* it is told of there */
            if (w->wanted[i].kind == WANTED_INPUT && str_eq(w->wanted[i].name, x->name))
                return true;
        if (w->names_open)
            return true;
        break;
    case WANTED_VARIABLE:
        return w->names_open || w->keeps_variables;
    }
    return val_get(inputs, x->name);
}

struct missing {
    struct str file;           /* of the first */
    struct str place;          /* its place, with which the message begins */
    struct str names, options; /* told; what gives those that an option can give */
    size_t n, left_out;
    bool variables;
};

/* As in "inputs.file (7:12)"; the first, whose place stands before the whole, without. */
static struct str told(struct missing *m, const struct workflow *w, const struct wanted_input *x, struct arena *a)
{
    const char *head = x->kind == WANTED_INPUT ? "inputs." : x->kind == WANTED_VARIABLE ? "global_vars." : "";
    uint32_t line = x->line;
    struct str file = workflow_place(w, &line);
    if (m->n == 0) {
        m->file = file;
        m->place = arena_printf(a, "%.*s:%u:%u", STR_ARG(file), line, x->col);
        return arena_printf(a, "%s%s", head, clip(x->name).z);
    }
    bool same = str_eq(file, m->file);
    return arena_printf(a, "%s%s (%.*s%s%u:%u)", head, clip(x->name).z, same ? 0 : (int)file.n, file.p, same ? "" : ":",
                        line, x->col);
}

static void add_missing(struct missing *m, const struct workflow *w, const struct wanted_input *x, const char *option,
                        struct arena *a)
{
    struct str one = told(m, w, x, a), give = STR("");
    m->variables |= x->kind == WANTED_VARIABLE;
    if (x->kind != WANTED_VARIABLE)
        give = arena_printf(a, "%s%s%s=…", m->options.n ? " " : "", option, clip(x->name).z);
    if (m->names.n + m->options.n + one.n + give.n > TOLD_MAX && m->n) {
        m->left_out++;
        return;
    }
    m->n++;
    m->names = arena_printf(a, "%.*s%s%.*s", STR_ARG(m->names), m->names.n ? ", " : "", STR_ARG(one));
    m->options = arena_printf(a, "%.*s%.*s", STR_ARG(m->options), STR_ARG(give));
}

enum rc workflow_names_known(const struct workflow *w, const struct val *inputs, const char *option, struct err *err)
{
    struct arena a = {0};
    struct missing m = {0};
    for (size_t i = 0; i < w->nwanted; i++)
        if (!is_known(w, &w->wanted[i], inputs))
            add_missing(&m, w, &w->wanted[i], option, &a);
    enum rc rc = RC_OK;
    if (m.n)
        rc = err_set(err, RC_USAGE, "%.*s: nothing gives what the workflow reads: %.*s%s; expected %.*s%s%s",
                     STR_ARG(m.place), STR_ARG(m.names),
                     m.left_out ? arena_printf(&a, " and %zu more", m.left_out).p : "", STR_ARG(m.options),
                     m.options.n ? ", or `inputs` with a default" : "",
                     m.variables ? m.options.n ? ", and global_vars from `variables` or a workflow that calls this one"
                                               : "them in `variables`, or a workflow that calls this one and sets them"
                                 : "");
    arena_done(&a);
    return rc;
}

enum rc workflow_call_known(const struct workflow *w, const struct val *inputs, struct err *err)
{
    struct arena a = {0};
    struct missing m = {0};
    for (size_t i = 0; i < w->nwanted; i++)
        if (w->wanted[i].kind == WANTED_INPUT && !val_get(inputs, w->wanted[i].name))
            add_missing(&m, w, &w->wanted[i], "", &a);
    enum rc rc = RC_OK;
    if (m.n)
        rc = err_set(err, RC_USAGE, "nothing gives %.*s%s, read first at %.*s; expected it in `inputs` of the step",
                     STR_ARG(m.names), m.left_out ? arena_printf(&a, " and %zu more", m.left_out).p : "",
                     STR_ARG(m.place));
    arena_done(&a);
    return rc;
}

struct str workflow_wanted_options(const struct workflow *w, const char *option, struct arena *a)
{
    struct str text = STR("");
    size_t left_out = 0;
    for (size_t i = 0; i < w->nwanted; i++) {
        if (w->wanted[i].kind != WANTED_INPUT)
            continue;
        struct str one = arena_printf(a, "%s%s%s=…", text.n ? " " : "", option, clip(w->wanted[i].name).z);
        if (left_out || (text.n && text.n + one.n > TOLD_MAX))
            left_out++;
        else
            text = arena_printf(a, "%.*s%.*s", STR_ARG(text), STR_ARG(one));
    }
    return left_out ? arena_printf(a, "%.*s and %zu more", STR_ARG(text), left_out) : text;
}
