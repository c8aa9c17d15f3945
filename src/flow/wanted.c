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
    for (size_t i = 0; i < l->nwanted; i++)
        if (l->wanted[i].kind == x.kind && str_eq(l->wanted[i].name, x.name))
            return;
    if (l->nwanted >= LOAD_NAMES_MAX)
        return;
    if (l->nwanted == l->wanted_cap) {
        l->wanted_cap = l->wanted_cap ? 2 * l->wanted_cap : 8;
        struct wanted_input *more = arena_calloc(l->a, l->wanted_cap, sizeof *more);
        if (l->nwanted)
            memcpy(more, l->wanted, l->nwanted * sizeof *more);
        l->wanted = more;
    }
    l->wanted[l->nwanted++] = x;
}

struct asked {
    struct str head, name;
    bool found;
};

static enum rc note_asked(void *ctx, const struct expr_path *path, bool soft, struct err *err)
{
    struct asked *x = ctx;
    (void)soft, (void)err;
    x->found |=
        path->n > 1 && !path->seg[1].index && str_eq(path->seg[0].name, x->head) && str_eq(path->seg[1].name, x->name);
    return RC_OK;
}

static bool asked_by(const struct cond *c, struct asked *x)
{
    struct err err;
    if (c)
        (void)!cond_each_path(c, note_asked, x, &err); /* note_asked never fails */
    return x->found;
}

bool wanted_guarded(const struct reader *r, struct str head, struct str name)
{
    struct asked x = {head, name, false};
    for (const struct step_def *s = r->at; s; s = s->list->owner) {
        size_t slot = 0;
        if (asked_by(s->condition, &x))
            return true;
        for (const struct step_key *k = s->type && s->conds ? s->type->keys : NULL; s != r->at && k && k->name; k++)
            if (k->kind == KEY_COND && !k->alias_of && asked_by(s->conds[slot++], &x))
                return true;
    }
    return false;
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
