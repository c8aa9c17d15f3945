/* A workflow file in the modern form of the language: its root, its own keys, its steps (migrate_step.c).
 *
 * Two things are made side by side: the value tree that the file should hold, and edits of its text that should make it
 * so. At the end the edited text is read, and only if it holds that very tree is it handed out. A migration is thus
 * either right or refused; what it cannot rewrite it leaves as it is, for the loader understands it all the same. */
#include "base/buf.h"
#include "data/yaml.h"
#include "flow/migrate_int.h"

enum { ENV_NAMES_MAX = 50 };

/* ---- {{ name }} for an input becomes {{ inputs.name }} ---- */

struct bare {
    const struct val *inputs; /* an object by name */
    struct map taken;         /* names that mean something else somewhere */
};

static void take_names(struct bare *b, const struct val *v)
{
    static char mark;
    if (v->type == VAL_ARRAY)
        for (size_t i = 0; i < v->arr.n; i++)
            take_names(b, &v->arr.v[i]);
    for (size_t i = 0; v->type == VAL_OBJECT && i < v->obj.n; i++) {
        const struct member *k = &v->obj.m[i];
        bool names = str_is(k->key, "variables") || str_is(k->key, "global_vars");
        for (size_t n = 0; names && k->val.type == VAL_OBJECT && n < k->val.obj.n; n++)
            map_put(&b->taken, k->val.obj.m[n].key, &mark);
        bool one = str_is(k->key, "iterator") || str_is(k->key, "as") || str_is(k->key, "name") ||
                   str_is(k->key, "variable") || str_is(k->key, "output_field");
        if (one && k->val.type == VAL_STR)
            map_put(&b->taken, k->val.s, &mark);
        take_names(b, &k->val);
    }
}

/* The hole at `at` ("{{") that begins with the name of an input: the name's place. */
static bool bare_hole(const struct bare *b, struct str s, size_t at, size_t *name, size_t *n)
{
    size_t i = at + 2;
    if (str_starts(str_from(s, at), STR("{{{{")) || (at && s.p[at - 1] == '{'))
        return false;
    while (i < s.n && s.p[i] == ' ')
        i++;
    size_t from = i;
    while (i < s.n && ((s.p[i] | 32) >= 'a' ? (s.p[i] | 32) <= 'z' : (s.p[i] >= '0' && s.p[i] <= '9')))
        i++;
    while (i < s.n &&
           (s.p[i] == '_' || ((s.p[i] | 32) >= 'a' && (s.p[i] | 32) <= 'z') || (s.p[i] >= '0' && s.p[i] <= '9')))
        i++;
    size_t end = i;
    while (i < s.n && s.p[i] == ' ')
        i++;
    if (end == from || i >= s.n || !(s.p[i] == '}' || s.p[i] == '.' || s.p[i] == '['))
        return false;
    struct str word = str_n(s.p + from, end - from);
    *name = from;
    *n = end - from;
    return val_get(b->inputs, word) && !map_get(&b->taken, word);
}

static struct str qualify(struct arena *a, const struct bare *b, struct str s)
{
    struct buf out;
    size_t done = 0, name, n;
    buf_init(&out, SIZE_MAX / 2);
    for (size_t at = 0; at + 1 < s.n; at++)
        if (s.p[at] == '{' && s.p[at + 1] == '{' && bare_hole(b, s, at, &name, &n)) {
            buf_add(&out, str_n(s.p + done, name - done));
            buf_addz(&out, "inputs.");
            done = name;
        }
    if (done) {
        buf_add(&out, str_from(s, done));
        s = arena_str(a, buf_str(&out));
    }
    buf_done(&out);
    return s;
}

static struct val qualify_tree(struct arena *a, const struct bare *b, const struct val *v)
{
    struct val out = *v;
    if (v->type == VAL_STR) {
        out.s = qualify(a, b, v->s);
    } else if (v->type == VAL_ARRAY) {
        struct val_list l = val_list_new(a);
        for (size_t i = 0; i < v->arr.n; i++)
            val_list_push(&l, qualify_tree(a, b, &v->arr.v[i]));
        out = val_list_done(&l);
    } else if (v->type == VAL_OBJECT) {
        struct val_map m = val_map_new(a);
        for (size_t i = 0; i < v->obj.n; i++)
            val_map_add(&m, v->obj.m[i].key, qualify_tree(a, b, &v->obj.m[i].val), 0, 0);
        out = val_map_done(&m);
    }
    return out;
}

static void qualify_text(struct migration *g, const struct bare *b)
{
    size_t name, n;
    for (size_t at = 0; at + 1 < g->text.n; at++)
        if (g->text.p[at] == '{' && g->text.p[at + 1] == '{' && bare_hole(b, g->text, at, &name, &n)) {
            edit_replace(g, name, name, STR("inputs."));
            g->changes++;
        }
}

/* ---- keys of the workflow ---- */

static bool in_one_line(const struct migration *g, const struct val *v)
{
    if (v->type == VAL_NULL)
        return false;
    if (v->type == VAL_ARRAY || v->type == VAL_OBJECT)
        return edit_is_flow(g, v);
    size_t at = edit_offset(g, v->line, v->col);
    return at < g->text.n && g->text.p[at] != '|' && g->text.p[at] != '>' && g->text.p[at] != '&' &&
           g->text.p[at] != '*' && g->text.p[at] != '!';
}

/* `input: {a: 1}` to `inputs: {a: {default: 1}}`. */
static struct val old_input(struct migration *g, const struct member *k)
{
    struct val_map m = val_map_new(g->a);
    for (size_t i = 0; i < k->val.obj.n; i++) {
        const struct val *v = &k->val.obj.m[i].val;
        size_t from = edit_offset(g, v->line, v->col);
        bool flow = edit_is_flow(g, &k->val) || v->type == VAL_ARRAY || v->type == VAL_OBJECT;
        size_t to = flow ? edit_value_end(g, from) : edit_scalar_end(g, from);
        struct val_map one = val_map_new(g->a);
        VAL_MAP_SET(&one, "default", *v);
        val_map_set(&m, k->val.obj.m[i].key, val_map_done(&one));
        edit_replace(g, from, from, STR("{default: "));
        edit_replace(g, to, to, STR("}"));
    }
    edit_key(g, k, "inputs");
    return val_map_done(&m);
}

static bool can_wrap_input(const struct migration *g, const struct val *v)
{
    bool can = v->type == VAL_OBJECT && v->obj.n > 0;
    for (size_t i = 0; can && i < v->obj.n; i++)
        can = in_one_line(g, &v->obj.m[i].val);
    return can;
}

static void workflow_key(struct migration *g, struct val_map *m, const struct val *root, const struct member *k)
{
    if (str_is(k->key, "steps")) {
        val_map_set(m, k->key, migrate_steps(g, &k->val));
    } else if (str_is(k->key, "input") && !VAL_GET(root, "inputs") && can_wrap_input(g, &k->val)) {
        VAL_MAP_SET(m, "inputs", old_input(g, k));
    } else if (str_is(k->key, "global_vars") && !VAL_GET(root, "variables")) {
        edit_key(g, k, "variables");
        VAL_MAP_SET(m, "variables", k->val);
    } else if (str_is(k->key, "max_execution_time") && !VAL_GET(root, "limits") && k->val.type == VAL_INT) {
        struct val_map wall = val_map_new(g->a);
        VAL_MAP_SET(&wall, "wall", k->val);
        edit_key(g, k, "limits");
        edit_scalar(g, &k->val, arena_printf(g->a, "{wall: %lld}", (long long)k->val.i));
        VAL_MAP_SET(m, "limits", val_map_done(&wall));
    } else {
        val_map_set(m, k->key, k->val);
    }
}

/* Environment variables that templates read by their bare names are listed. */
static void list_env(struct migration *g, struct val_map *m, const struct val *root, const struct workflow *w)
{
    const struct val *listed = VAL_GET(root, "env");
    if (!w || !w->nenv || listed || w->nenv > ENV_NAMES_MAX || !root->obj.n)
        return;
    struct val_list l = val_list_new(g->a);
    struct str text = STR("env: [");
    for (size_t i = 0; i < w->nenv; i++) {
        val_list_push(&l, val_str(arena_str(g->a, w->env[i])));
        text = arena_printf(g->a, "%.*s%s%.*s", STR_ARG(text), i ? ", " : "", STR_ARG(w->env[i]));
    }
    VAL_MAP_SET(m, "env", val_list_done(&l));
    const struct member *first = &root->obj.m[0];
    size_t at = edit_offset(g, first->line, first->col);
    if (edit_is_flow(g, root))
        text = arena_printf(g->a, "%.*s], ", STR_ARG(text));
    else
        text = arena_printf(g->a, "%.*s]\n%*s", STR_ARG(text), (int)first->col - 1 + g->deeper, "");
    edit_replace(g, at, at, text);
    g->changes++;
}

static struct val workflow(struct migration *g, const struct val *root, const struct workflow *w)
{
    struct val_map m = val_map_new(g->a);
    for (size_t i = 0; i < root->obj.n; i++)
        workflow_key(g, &m, root, &root->obj.m[i]);
    list_env(g, &m, root, w);
    return val_map_done(&m);
}

/* ---- the root ---- */

static struct val under(struct migration *g, struct val inner)
{
    struct val_map m = val_map_new(g->a);
    VAL_MAP_SET(&m, "workflow", inner);
    return val_map_done(&m);
}

/* Keys at the root: everything goes one level down. */
static struct val wrap(struct migration *g, const struct val *doc, const struct workflow *w)
{
    if (edit_is_flow(g, doc)) {
        size_t from = edit_offset(g, doc->line, doc->col), to = edit_value_end(g, from);
        edit_replace(g, from, from, STR("{\"workflow\": "));
        edit_replace(g, to, to, STR("}"));
    } else {
        uint32_t first = doc->obj.m[0].line, last = g->lines + 1;
        for (uint32_t n = first; n <= g->lines; n++)
            if (str_starts(str_from(g->text, g->start[n]), STR("...")))
                last = n;
        edit_replace(g, g->start[first], g->start[first], STR("workflow:\n"));
        edit_shift(g, first, last, 2);
        g->deeper = 2;
    }
    struct val inner = workflow(g, doc, w);
    g->changes++;
    return under(g, inner);
}

/* `steps` beside the workflow: its lines move to the end of the workflow's. */
static void move_steps(struct migration *g, const struct val *doc, const struct member *m, const struct member *steps)
{
    uint32_t from = steps->line, to = g->lines + 1, end = g->lines + 1, col = m->val.obj.n ? m->val.obj.m[0].col : 3;
    for (size_t i = 0; i < doc->obj.n; i++) {
        uint32_t line = doc->obj.m[i].line;
        if (line > steps->line && line < to)
            to = line;
        if (line > m->line && line < end)
            end = line;
    }
    struct buf lines;
    buf_init(&lines, SIZE_MAX / 2);
    for (uint32_t n = from; n < to && n <= g->lines; n++) {
        struct str line = str_n(g->text.p + g->start[n], g->start[n + 1] - g->start[n]);
        bool blank;
        (void)edit_indent(g, n, &blank);
        buf_printf(&lines, "%*s", blank ? 0 : (int)col - 1, "");
        buf_add(&lines, line);
    }
    edit_replace(g, g->start[end], g->start[end], arena_str(g->a, buf_str(&lines)));
    buf_done(&lines);
    edit_replace(g, g->start[from], g->start[to], STR(""));
    g->changes++;
}

static bool migrate_root(struct migration *g, const struct val *doc, const struct workflow *w, struct val *ret)
{
    const struct member *m = val_member(doc, STR("workflow")), *old = m ? NULL : val_member(doc, STR("pipeline"));
    const struct member *steps = val_member(doc, STR("steps"));
    if (!m && !old) {
        if (!doc->obj.n || !(steps || VAL_GET(doc, "name")))
            return false;
        *ret = wrap(g, doc, w);
        return true;
    }
    if (old)
        edit_key(g, old, "workflow");
    m = m ? m : old;
    if (m->val.type != VAL_OBJECT)
        return false;
    bool beside = steps && !VAL_GET(&m->val, "steps") && !edit_is_flow(g, doc);
    struct val inner = workflow(g, &m->val, w);
    struct val_map all = val_map_new(g->a);
    if (beside) { /* its lines are moved as they are: a second migration looks into them */
        struct val_map with = val_map_new(g->a);
        val_map_merge(&with, &inner);
        VAL_MAP_SET(&with, "steps", steps->val);
        inner = val_map_done(&with);
        move_steps(g, doc, m, steps);
    }
    VAL_MAP_SET(&all, "workflow", inner);
    for (size_t i = 0; i < doc->obj.n; i++)
        if (&doc->obj.m[i] != m && !(beside && &doc->obj.m[i] == steps))
            val_map_set(&all, doc->obj.m[i].key, doc->obj.m[i].val);
    *ret = val_map_done(&all);
    return true;
}

/* ---- the way in ---- */

static const struct val *inputs_of(const struct val *doc)
{
    const struct val *root = VAL_GET(doc, "workflow");
    root = root ? root : VAL_GET(doc, "pipeline");
    root = root ? root : doc;
    return VAL_GET(root, "inputs") ? VAL_GET(root, "inputs") : VAL_GET(root, "input");
}

static enum rc migrate_once(struct arena *a, struct str text, const char *file, struct str *ret, size_t *changes,
                            struct err *err)
{
    struct yaml_limits limits = {.depth = 100, .max_size = (size_t)32 << 20, .max_nodes = 4000000};
    struct val doc, meant, got;
    enum rc rc = yaml_parse(a, text, file, &limits, &doc, err);
    if (rc != RC_OK)
        return rc;
    struct problems ps = {.a = a};
    struct workflow *w = workflow_load(text, str_c(file), &ps);
    struct migration g;
    struct bare bare = {.inputs = inputs_of(&doc)};
    edits_init(&g, a, text);
    if (doc.type != VAL_OBJECT || !migrate_root(&g, &doc, w, &meant)) {
        workflow_unref(w);
        return err_set(err, RC_INVALID, "%s: no workflow; expected a map with the key `workflow`", file);
    }
    workflow_unref(w);
    take_names(&bare, &doc);
    qualify_text(&g, &bare);
    meant = qualify_tree(a, &bare, &meant);
    map_done(&bare.taken);
    *ret = edits_apply(&g);
    *changes = g.changes;
    rc = yaml_parse(a, *ret, file, &limits, &got, err);
    if (rc == RC_OK && val_eq(&got, &meant))
        return RC_OK;
    return err_set(err, RC_INVALID,
                   "%s: its layout cannot be rewritten safely%s%s; expected plain block style where older forms stand",
                   file, rc == RC_OK ? "" : ": ", rc == RC_OK ? "" : err->msg);
}

enum rc migrate_text(struct arena *a, struct str text, const char *file, struct str *ret, size_t *changes,
                     struct err *err)
{
    size_t more = 1;
    *changes = 0;
    *ret = text;
    for (int i = 0; i < 3 && more; i++) { /* what was moved may hold older forms itself */
        enum rc rc = migrate_once(a, *ret, file, ret, &more, err);
        if (rc != RC_OK)
            return rc;
        *changes += more;
    }
    return RC_OK;
}
