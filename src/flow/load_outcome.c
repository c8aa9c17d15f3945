/* Keys of every step that say what becomes of its result: output_to_global, clear_vars, error_output.
 *
 * Variables that they set are known by name before a run, as those of set_variable are. */
#include "flow/load_int.h"

/* A name that templates can read as it stands. */
static bool variable_name(struct loader *l, const struct member *m, const struct val *v, struct str name)
{
    if (load_plain_name(name) && name.n <= LOAD_NAME_MAX)
        return true;
    BAD(l, v, "`%s` has `%s`; expected the name of a variable: letters, digits and `_`", clip(m->key).z, clip(name).z);
    return false;
}

static void output_to_global(struct loader *l, struct step_def *s, const struct member *m)
{
    struct str name;
    if (!load_text(l, m, &name) || !variable_name(l, m, &m->val, name))
        return;
    s->output_to_global = name;
    load_assigned(l, name);
}

/* state.x, global_vars.x and variables.x are x. */
static struct str without_root(struct str name)
{
    static const char *const roots[] = {"state.", "global_vars.", "variables."};
    for (size_t i = 0; i < sizeof roots / sizeof *roots; i++)
        if (str_starts(name, str_c(roots[i])))
            return str_from(name, strlen(roots[i]));
    return name;
}

/* Bytes of the part that `s` begins with, as in `a`, `.a` or `[0]`; 0: it is none. */
static size_t part_length(struct str s, bool first)
{
    size_t n = 1;
    int64_t i;
    while (n < s.n && s.p[n] != '.' && s.p[n] != '[')
        n++;
    if (s.p[0] != '[' || first)
        return load_plain_name(first ? str_n(s.p, n) : str_n(s.p + 1, n - 1)) && (first || s.p[0] == '.') ? n : 0;
    return n > 2 && s.p[n - 1] == ']' && str_to_i64(str_n(s.p + 1, n - 2), &i) && i >= 0 ? n : 0;
}

/* How much of a path such as a.b[0].c is the name of a variable; 0: it is no path. */
static size_t path_head(struct str path)
{
    size_t head = path.n ? part_length(path, true) : 0, n = head;
    for (size_t more = head; more && n < path.n; n += more)
        if (!(more = part_length(str_from(path, n), false)))
            return 0;
    return head;
}

static void clear_vars(struct loader *l, struct step_def *s, const struct member *m)
{
    bool list = m->val.type == VAL_ARRAY;
    size_t n = list ? m->val.arr.n : 1;
    struct str *names = arena_calloc(l->a, n + 1, sizeof *names);
    for (size_t i = 0; i < n; i++) {
        const struct val *v = list ? &m->val.arr.v[i] : &m->val;
        if (v->type != VAL_STR) {
            BAD(l, v, "`clear_vars` has %s; expected a list of names of variables", load_found(v));
            continue;
        }
        struct str path = without_root(v->s);
        struct str name = str_n(path.p, path_head(path));
        if (!name.n || path.n > LOAD_PATH_MAX) {
            BAD(l, v, "`clear_vars` has `%s`; expected the name of a variable, or a path in it such as results.raw[0]",
                clip(path).z);
            continue;
        }
        load_later(l, &(struct later){.kind = LATER_VARIABLE, .step = s, .name = name, .line = v->line, .col = v->col});
        names[s->nclear_vars++] = path;
    }
    s->clear_vars = names;
}

static void error_output(struct loader *l, struct step_def *s, const struct member *m)
{
    struct str name;
    if (!load_text(l, m, &name) || !variable_name(l, m, &m->val, name))
        return;
    if (str_is(name, "success"))
        BAD(l, &m->val, "`error_output` is `success`, which says that the step failed; expected another name");
    else
        s->error_output = name;
}

bool load_outcome_key(struct loader *l, struct step_def *s, struct str key, const struct member *m)
{
    if (str_is(key, "output_to_global"))
        output_to_global(l, s, m);
    else if (str_is(key, "clear_vars"))
        clear_vars(l, s, m);
    else if (str_is(key, "error_output"))
        error_output(l, s, m);
    else
        return false;
    return true;
}

void load_outcome_check(struct loader *l, const struct step_def *s)
{
    const struct val *v = VAL_GET(s->source, "error_output");
    if (s->error_output.n && s->on_error == ON_ERROR_FAIL)
        WARN(l, v,
             "`error_output` has no effect where the step's failure is the list's; expected `on_error: continue`, "
             "{goto: STEP} or {steps: [...]} with it");
}
