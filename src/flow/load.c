/* From the text of a workflow to its definition: the way in, and the keys of the workflow itself.
 *
 * Loading is one pass over the value tree with all problems reported, then a second over names (check.c), which needs
 * every step to exist. The order of keys in the file does not matter: `defaults` and the names that `variables` sets
 * are read before the steps. After any error the half-made workflow is freed; nothing of it is ever run.
 *
 * Hostile files are bounded: size, depth and number of values by the YAML reader, steps and lists here, and once there
 * are very many errors nothing more is looked at. */
#include "base/panic.h"
#include "flow/compose.h"
#include "flow/load_int.h"
#include "flow/units.h"

#include <stdlib.h>

void load_later(struct loader *l, const struct later *x)
{
    if (l->nlater == l->later_cap) {
        size_t cap = l->later_cap ? 2 * l->later_cap : 16;
        struct later *v = arena_calloc(l->a, cap, sizeof *v);
        if (l->nlater)
            memcpy(v, l->later, l->nlater * sizeof *v);
        l->later = v;
        l->later_cap = cap;
    }
    l->later[l->nlater++] = *x;
}

static void push_name(struct loader *l, struct str **v, size_t *n, size_t *cap, struct str name)
{
    for (size_t i = 0; i < *n; i++)
        if (str_eq((*v)[i], name))
            return;
    if (*n >= LOAD_NAMES_MAX)
        return;
    if (*n == *cap) {
        *cap = *cap ? 2 * *cap : 8;
        struct str *more = arena_calloc(l->a, *cap, sizeof *more);
        if (*n)
            memcpy(more, *v, *n * sizeof *more);
        *v = more;
    }
    (*v)[(*n)++] = name;
}

void load_found_env(struct loader *l, struct str name)
{
    push_name(l, &l->found_env, &l->nfound_env, &l->found_env_cap, name);
}

/* Templates read them although they are not listed: from now on they are. */
static void add_found_env(struct loader *l)
{
    struct workflow *w = l->w;
    if (!l->nfound_env)
        return;
    struct str *all = arena_calloc(l->a, w->nenv + l->nfound_env, sizeof *all);
    if (w->nenv)
        memcpy(all, w->env, w->nenv * sizeof *all);
    for (size_t i = 0; i < l->nfound_env; i++)
        all[w->nenv + i] = l->found_env[i];
    w->env = all;
    w->nenv += l->nfound_env;
}

/* Names that mean something of the engine's wherever they stand alone. */
void load_taken_name(struct loader *l, const char *what, const char *way, struct str name, uint32_t line, uint32_t col)
{
    static const char *const taken[][2] = {{"inputs", "the inputs"},         {"env", "the environment"},
                                           {"workflow", "the workflow"},     {"run", "the run"},
                                           {"timestamp", "the run's start"}, {"steps", "the steps' results"},
                                           {"state", "the variables"},       {"variables", "the variables"},
                                           {"global_vars", "the variables"}, {"loop", "the loop and its item"}};
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
        if (str_is(name, taken[i][0]))
            problem_add(l->ps, true, line, col,
                        "%s `%s` can only be read as %s.%s, since `%s` alone means %s; expected another name", what,
                        taken[i][0], way, taken[i][0], taken[i][0], taken[i][1]);
}

void load_assigned(struct loader *l, struct str name)
{
    if (name.n == 0 || map_get(&l->assigned, name))
        return;
    if (l->nnames == l->names_cap) {
        size_t cap = l->names_cap ? 2 * l->names_cap : 32;
        struct str **v = arena_calloc(l->a, cap, sizeof *v);
        if (l->nnames)
            memcpy(v, l->names, l->nnames * sizeof *v);
        l->names = v;
        l->names_cap = cap;
    }
    struct str *kept = ARENA_NEW(l->a, struct str);
    *kept = name;
    l->names[l->nnames++] = kept;
    map_put(&l->assigned, name, kept);
}

/* ---- values of the workflow ---- */

static void workflow_name(struct loader *l, const struct member *m)
{
    struct str s;
    if (!load_text(l, m, &s))
        return;
    bool bad = s.n == 0 || s.n > 2 * LOAD_NAME_MAX;
    for (size_t i = 0; i < s.n; i++)
        bad |= (unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f;
    if (bad)
        BAD(l, &m->val, "`%s` cannot be the name of a workflow; expected 1 to %d printable characters", clip(s).z,
            2 * LOAD_NAME_MAX);
    else
        l->w->name = s;
}

void load_directory(struct loader *l, const struct member *m, struct str *ret)
{
    struct str s;
    if (!load_text(l, m, &s))
        return;
    if (s.n == 0 || memchr(s.p, 0, s.n))
        BAD(l, &m->val, "`%s` is no path; expected a directory such as ./work", clip(m->key).z);
    else if (str_find(s, STR("{{")) != SIZE_MAX)
        BAD(l, &m->val, "`%s` cannot hold a template; expected a fixed path (or use the command line's option)",
            clip(m->key).z);
    else
        *ret = s;
}

/* Older workflows may have both `variables` and `global_vars`; they are one. */
static void read_variables(struct loader *l, const struct member *m)
{
    if (m->val.type == VAL_NULL || !load_object(l, m))
        return;
    for (size_t i = 0; i < m->val.obj.n; i++) {
        const struct member *v = &m->val.obj.m[i];
        load_assigned(l, v->key);
        load_taken_name(l, "the variable", "state", v->key, v->line, v->col);
        if (!val_map_add(&l->variables, v->key, load_dollars(l, &v->val), v->line, v->col))
            problem_add(l->ps, false, v->line, v->col,
                        "`%s` stands in both `variables` and `global_vars`, which mean the same; expected it once",
                        clip(v->key).z);
    }
}

/* `secrets` must not be readable by templates: what a template reads goes into prompts and the journal. */
static void secret_env(struct loader *l, const struct val *root)
{
    for (size_t i = 0; i < l->w->nsecrets; i++)
        for (size_t k = 0; k < l->w->nenv; k++)
            if (str_eq(l->w->secrets[i], l->w->env[k]))
                BAD(l, VAL_GET(root, "env"),
                    "`%s` is in both `secrets` and `env`; expected one: templates may read what is in `env`, never a "
                    "secret",
                    clip(l->w->env[k]).z);
}

/* Egress alone has the keys of providers, so a list with one of them can only disappoint, and late. */
static void provider_keys(struct loader *l, const struct val *root, const char *key, const char *remedy)
{
    static const char *const names[] = {"ANTHROPIC_API_KEY", "CLAUDE_API_KEY", "GEMINI_API_KEY", "OPENAI_API_KEY"};
    const struct val *v = val_get(root, str_c(key));
    struct val one = {.type = VAL_ARRAY, .arr = {v, 1}};
    v = val_is(v, VAL_STR) ? &one : v;
    for (size_t i = 0; val_at(v, i); i++)
        for (size_t k = 0; k < sizeof names / sizeof *names; k++)
            if (val_at(v, i)->type == VAL_STR && str_is(val_at(v, i)->s, names[k]))
                BAD(l, val_at(v, i),
                    "`%s` lists %s, a provider's key, which model steps use without being told and nothing else gets; "
                    "expected it to be left out%s",
                    key, names[k], remedy);
}

/* ---- defaults ---- */

static void default_key(struct loader *l, const struct member *m)
{
    bool on = false;
    const struct step_key *row = key_find(default_keys, m->key);
    if (row && key_is_number(row->kind))
        (void)load_duration(l, default_keys, m, str_is(m->key, "cache_ttl") ? &l->w->cache.ttl_ms : &l->timeout_ms);
    else if (str_is(m->key, "retry"))
        load_retry(l, m, &l->retry);
    else if (str_is(m->key, "retry_on_error")) {
        if (load_bool(l, m, &on)) {
            l->retry.set = true;
            l->retry.max_attempts = on ? 3 : 1;
        }
    } else if (str_is(m->key, "continue_on_error"))
        (void)load_bool(l, m, &l->continue_on_error);
    else if (str_is(m->key, "cache_results"))
        (void)load_bool(l, m, &l->w->cache.results);
    else if (str_is(m->key, "output_dir"))
        load_directory(l, m, &l->w->output_dir);
    else if (row && row->kind == KEY_OBJECT)
        (void)load_key_fits(l, default_keys, row, m);
    else if (row) {
        struct str s;
        (void)load_text(l, m, &s);
    } else if (!load_unused_key(l, m, default_unused_keys))
        load_unknown_key(l, m, "`defaults`", default_keys, NULL);
}

/* What `defaults` says itself wins over what older blocks say about providers. */
static void defaults(struct loader *l, const struct val *root)
{
    const struct member *m = val_member(root, STR("defaults"));
    struct val_map all = val_map_new(l->a);
    load_old_defaults(l, root, &all);
    bool given = m && m->val.type != VAL_NULL && load_object(l, m);
    for (size_t i = 0; given && i < m->val.obj.n; i++)
        default_key(l, &m->val.obj.m[i]);
    if (given)
        val_map_merge(&all, &m->val);
    struct val *whole = ARENA_NEW(l->a, struct val);
    *whole = val_map_done(&all);
    l->w->defaults = whole;
}

/* ---- the workflow ---- */

static void workflow_key(struct loader *l, const struct member *m)
{
    struct workflow *w = l->w;
    const struct step_key *row = key_find(workflow_keys, m->key);
    if (!row) {
        if (str_is(m->key, "$then") || str_is(m->key, "$else")) {
            problem_add(l->ps, false, m->line, m->col, "`%s` stands without `$if`; expected them in one map",
                        clip(m->key).z);
            return;
        }
        if (!load_unused_key(l, m, workflow_unused_keys))
            load_unknown_key(l, m, "the workflow", workflow_keys, NULL);
        return;
    }
    if (str_is(m->key, "name"))
        workflow_name(l, m);
    else if (str_is(m->key, "description"))
        (void)load_text(l, m, &w->description);
    else if (str_is(m->key, "inputs") || str_is(m->key, "input")) {
        if (str_is(m->key, "input"))
            load_older(l, m, "`inputs`, with each value as `default`");
        load_inputs(l, m);
    } else if (str_is(m->key, "variables") || str_is(m->key, "global_vars")) {
        if (str_is(m->key, "global_vars"))
            load_older(l, m, "`variables`");
        read_variables(l, m);
    } else if (str_is(m->key, "output"))
        w->output = load_tree(l, &m->val);
    else if (str_is(m->key, "workspace_dir"))
        load_directory(l, m, &w->workspace_dir);
    else if (str_is(m->key, "output_dir"))
        load_directory(l, m, &w->output_dir);
    else if (str_is(m->key, "budget"))
        load_budget(l, m, &w->budget);
    else if (str_is(m->key, "secrets"))
        (void)load_names(l, m, &w->secrets, &w->nsecrets);
    else if (str_is(m->key, "env"))
        (void)load_names(l, m, &w->env, &w->nenv);
    else if (str_is(m->key, "cache_config"))
        load_cache_config(l, m);
    else if (str_is(m->key, "limits"))
        load_limits(l, m, &w->limits);
    else if (str_is(m->key, "config"))
        (void)load_object(l, m);
    else if (str_is(m->key, "input_schema"))
        load_input_schema(l, m);
    else if (row->kind != KEY_DATA && !str_is(m->key, "defaults") && !str_is(m->key, "steps") && !load_settings(l, m))
        load_old_key(l, m);
}

/* Finds what holds the workflow's keys, in the modern form or an older one. `steps` may stand beside. */
static const struct val *find_root(struct loader *l, const struct val *doc, const struct val **steps)
{
    if (doc->type != VAL_OBJECT) {
        problem_add(l->ps, false, doc->line ? doc->line : 1, doc->col ? doc->col : 1,
                    "the file is %s; expected a map with the key `workflow`",
                    doc->type == VAL_NULL ? "empty" : load_found(doc));
        return NULL;
    }
    const struct member *m = val_member(doc, STR("workflow"));
    const struct member *old = m ? NULL : val_member(doc, STR("pipeline"));
    if (old)
        problem_add(l->ps, true, old->line, old->col, "the root key `pipeline` is an older form; expected `workflow`");
    m = m ? m : old;
    if (!m && (VAL_GET(doc, "steps") || VAL_GET(doc, "name"))) {
        problem_add(l->ps, true, doc->obj.m[0].line, doc->obj.m[0].col,
                    "the workflow's keys stand at the root, an older form; expected them under `workflow:`");
        *steps = VAL_GET(doc, "steps");
        return doc;
    }
    struct nearest near = {.want = doc->obj.n ? doc->obj.m[0].key : STR("")};
    nearest_try(&near, STR("workflow"));
    if (!m) {
        const struct member *first = doc->obj.n ? &doc->obj.m[0] : NULL;
        problem_add(l->ps, false, first ? first->line : 1, first ? first->col : 1,
                    "the file has no `workflow` key%s%s%s; expected `workflow:` with `name` and `steps` below",
                    near.name.n ? " but `" : "", near.name.n ? clip(near.want).z : "", near.name.n ? "`" : "");
        return NULL;
    }
    if (!load_object(l, m))
        return NULL;
    *steps = VAL_GET(&m->val, "steps");
    for (size_t i = 0; i < doc->obj.n; i++) {
        const struct member *k = &doc->obj.m[i];
        if (k == m)
            continue;
        if (str_is(k->key, "steps") && !*steps) {
            *steps = &k->val;
            problem_add(l->ps, true, k->line, k->col,
                        "`steps` stands beside `workflow`, an older form; expected it inside");
        } else if (str_is(k->key, "output")) {
            problem_add(l->ps, true, k->line, k->col, "`output` beside `workflow` has no effect; expected it inside");
        } else if (k->key.n && k->key.p[0] != '.' && !str_starts(k->key, STR("x-"))) {
            problem_add(l->ps, false, k->line, k->col,
                        "unknown key `%s` beside `workflow`; expected nothing else (or a key that begins with x-)",
                        clip(k->key).z);
        }
    }
    return &m->val;
}

/* The keys of the map that is the workflow. `steps` may have been found elsewhere. */
static void load_root(struct loader *l, const struct val *root, const struct val *steps, unsigned depth)
{
    l->w->source = root;
    defaults(l, root);
    static const char *const early[] = {"retry_on_failure", "retry_attempts"}; /* the one makes sense of the other */
    for (size_t i = 0; i < sizeof early / sizeof *early; i++)
        if (val_member(root, str_c(early[i])))
            workflow_key(l, val_member(root, str_c(early[i])));
    for (size_t i = 0; i < root->obj.n; i++)
        if (!str_is(root->obj.m[i].key, early[0]) && !str_is(root->obj.m[i].key, early[1]))
            workflow_key(l, &root->obj.m[i]);
    secret_env(l, root);
    provider_keys(l, root, "env", "");
    provider_keys(l, root, "secrets",
                  " (a program that asks the provider itself can get it in a variable of another name)");
    if (!val_member(root, STR("name")) && !l->inside)
        problem_add(l->ps, false, root->line, root->col,
                    "the workflow has no `name`; expected one, such as `name: review`");
    if (!steps)
        problem_add(l->ps, false, root->line, root->col,
                    "the workflow has no `steps`; expected a list of at least one step");
    else
        l->w->root = load_list(l, steps, NULL, STR(""), depth);
    l->w->keeps_variables = l->keeps_variables;
}

/* Files of prompts that are not there, told together with all that is wrong otherwise. */
static void missing_files(struct loader *l)
{
    struct workflow *w = l->w;
    struct str workspace = w->workspace_dir.n ? w->workspace_dir : STR("./workspace");
    for (size_t i = 0; l->reader && l->reader->there && i < w->nfiles; i++) {
        const struct file_ref *f = &w->files[i];
        if (!workflow_may_make_files(w, f->step) && !l->reader->there(l->reader->ctx, f->path, w->dir, workspace))
            problem_add(l->ps, false, f->line, f->col, NO_PROMPT_FILE, STR_ARG(f->path));
    }
}

/* Around load_root(): what needs all steps. */
static void load_whole(struct loader *l, const struct val *root, const struct val *steps, unsigned depth)
{
    struct workflow *w = l->w;
    l->variables = val_map_new(l->a);
    if (root)
        load_root(l, root, steps, depth);
    struct val all = val_map_done(&l->variables);
    w->variables = load_tree(l, &all);
    if (!w->root)
        return;
    w->all = (const struct step_def *const *)l->all;
    w->nall = l->nall;
    l->bare_inputs |= w->ninputs == 0;
    load_called_files(l);
    load_named_directory(l);
    check_names(l);
    w->files = l->files;
    w->nfiles = l->nfiles;
    if (l->ps->errors) /* else whoever loads it looks for them, and knows the workspace */
        missing_files(l);
    add_found_env(l);
    w->wanted = l->wanted;
    w->nwanted = l->nwanted;
    w->names_open = l->names_open || l->nlate > 0;
    w->places = ARENA_NEW(l->a, struct places);
    *w->places = l->places;
    w->default_retry = l->retry;
    w->default_timeout_ms = l->timeout_ms;
    w->default_continue = l->continue_on_error;
}

/* ---- the way in ---- */

static void load_text_file(struct loader *l, struct composed *c)
{
    struct workflow *w = l->w;
    struct val *doc = ARENA_NEW(l->a, struct val);
    bool good = compose(c, doc);
    compose_done(c);
    w->text = bundle_write(c);
    w->sources = l->ps->sources = c->sources;
    w->nsources = l->ps->nsources = c->n;
    if (!good)
        return;
    places_init_all(&l->places, l->a, c->sources, c->n);
    const struct val *steps = NULL, *root = find_root(l, doc, &steps);
    load_whole(l, root, steps, 0);
}

/* What problems show must live as long as they do. */
static void keep_sources(struct problems *ps)
{
    struct source *kept = arena_calloc(ps->a, ps->nsources + 1, sizeof *kept);
    for (size_t i = 0; i < ps->nsources; i++)
        kept[i] = (struct source){arena_str(ps->a, ps->sources[i].name), arena_str(ps->a, ps->sources[i].text)};
    ps->sources = kept;
}

/* ---- loads ---- */

static struct workflow *workflow_new(struct str file, struct str path, struct str dir)
{
    struct workflow *w = calloc(1, sizeof *w);
    if (!w)
        PANIC("out of memory");
    w->refs = 1;
    w->file = arena_str(&w->arena, file);
    w->path = arena_str(&w->arena, path);
    w->dir = arena_str(&w->arena, dir);
    w->defaults = &val_empty_object;
    w->source = &val_empty_object;
    w->budget = (struct budget){.usd = -1, .tokens = -1};
    return w;
}

static struct loader loader_new(struct workflow *w, struct problems *ps)
{
    return (struct loader){
        .w = w, .a = &w->arena, .ps = ps, .retry = load_retry_default(), .step_usd = -1, .advice = LOAD_ADVICE_MAX};
}

/* The workflow, or NULL when something was wrong with it. */
static struct workflow *loader_done(struct loader *l, size_t errors_before)
{
    map_done(&l->by_name);
    map_done(&l->noticed);
    map_done(&l->assigned);
    map_done(&l->timers);
    load_wanted_done(l);
    if (l->ps->errors == errors_before && l->w->root)
        return l->w;
    workflow_unref(l->w);
    return NULL;
}

struct workflow *load_inner(struct loader *up, const struct val *v, struct str name, unsigned inherits, unsigned depth)
{
    struct workflow *w = workflow_new(up->w->file, STR(""), up->w->dir);
    w->name = name;
    w->sources = up->w->sources;
    w->nsources = up->w->nsources;
    w->found = up->w->found;
    struct loader l = loader_new(w, up->ps);
    l.places = up->places;
    l.advice = up->advice;
    l.inside = true;
    l.inherits = inherits | up->inherits;
    w->inherits_functions = inherits & INHERITS_FUNCTIONS;
    l.reader = up->reader;
    l.open = up->open;
    l.loaded = up->loaded;
    size_t before = up->ps->errors;
    load_whole(&l, v, VAL_GET(v, "steps"), depth + 1);
    up->advice = l.advice;
    return loader_done(&l, before);
}

static struct workflow *load_text_of(const struct workflow_text *t, struct loader *up, unsigned inherits,
                                     const struct load_files *found, const struct workflow_reader *r,
                                     struct problems *ps)
{
    struct workflow *w = workflow_new(t->file, t->path, t->dir);
    w->found = found != NULL;
    struct loader l = loader_new(w, ps);
    struct load_files pinned;
    struct composed c = {.a = &w->arena, .ps = ps, .files = found ? found : r ? r->files : NULL, .n = 1};
    c.sources = arena_calloc(&w->arena, SOURCES_MAX, sizeof *c.sources);
    c.env = val_map_new(&w->arena);
    bool bundle = bundle_read(&w->arena, t->text, &c.sources[0], &pinned);
    if (bundle)
        c.files = &pinned;
    else
        c.sources[0] = (struct source){w->file, arena_str(&w->arena, t->text)};
    struct loaded_files loaded = {0};
    struct open_file open = {.path = w->path, .file = w->file, .up = up ? up->open : NULL};
    l.inherits = inherits;
    w->inherits_functions = inherits & INHERITS_FUNCTIONS;
    l.reader = r;
    l.open = &open;
    l.loaded = up ? up->loaded : &loaded;
    size_t before = ps->errors;
    load_text_file(&l, &c);
    problems_sort(ps);
    keep_sources(ps);
    if (c.used && !bundle && r && r->pinned)
        r->pinned(r->ctx, t, w->text);
    for (struct loaded_file *f = loaded.first; f; f = f->next)
        workflow_unref(f->w);
    return loader_done(&l, before);
}

struct workflow *load_other(struct loader *up, const struct workflow_text *t, unsigned inherits)
{
    for (struct loaded_file *f = up->loaded->first; f; f = f->next)
        if (f->inherits == inherits && str_eq(f->path, t->path))
            return f->w ? workflow_ref(f->w) : NULL;
    struct problems ps = {.a = up->ps->a};
    struct loaded_file *f = ARENA_NEW(up->ps->a, struct loaded_file);
    struct workflow *w = load_text_of(t, up, inherits, NULL, up->reader, &ps);
    for (const struct loaded_file *o = up->loaded->first; o; o = o->next)
        if (str_eq(o->path, t->path))
            problems_drop(&ps, &o->ps);
    *f = (struct loaded_file){up->loaded->first, arena_str(up->ps->a, t->path), inherits, w ? workflow_ref(w) : NULL,
                              ps};
    up->loaded->first = f;
    if (up->reader->problems)
        up->reader->problems(up->reader->ctx, t, &ps);
    return w;
}

struct workflow *workflow_load_with(const struct workflow_text *t, const struct workflow_reader *r, struct problems *ps)
{
    return load_text_of(t, NULL, 0, NULL, r, ps);
}

struct workflow *workflow_load_called(const struct workflow_text *t, unsigned inherits, const struct load_files *files,
                                      struct problems *ps)
{
    static const struct load_files none = {0};
    return load_text_of(t, NULL, inherits, files ? files : &none, NULL, ps);
}

struct workflow *workflow_load(struct str text, struct str file, struct problems *ps)
{
    return load_text_of(&(struct workflow_text){.file = file, .text = text}, NULL, 0, NULL, NULL, ps);
}
