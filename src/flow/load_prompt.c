/* A prompt, checked and brought into one form: text, or a list of parts {type: static | file | previous_response | …}.
 *
 * The parts stay data: the step evaluates them with the rest of its configuration. Two things must get through that
 * evaluation unchanged and are therefore escaped here: the content of a `raw` part, and a part's condition, which is an
 * expression and not a template. `${name}` is a hole where the step has a variable of that name: so a step that several
 * others are made of (`<<: *NAME`) is filled from the `variables` of each. */
#include "flow/compose.h"
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

static const struct part_kind part_kinds[] = {
#define SUMMARY "summary|max_summary_length|summary_focus|summary_style|max_length|inject_as|prefix|"
    {"static", "content", "|content|raw|inject_as|prefix|"},
    {"file", "path", "|path|variables|encoding|component|transform|" SUMMARY},
    {"previous_response", "step",
     "|step|extract|extract_with|format|post_processing|include_metadata|transform|" SUMMARY},
    {"session_context", NULL, "|session_id|include_last_n|filter|" SUMMARY},
    {"claude_continue", "new_prompt", "|new_prompt|session_id|prefix|"},
    {"variable", "name", "|name|transform|" SUMMARY},
#undef SUMMARY
};

const struct part_kind *part_kind_at(size_t i)
{
    return i < sizeof part_kinds / sizeof *part_kinds ? &part_kinds[i] : NULL;
}

/* `dynamic` is static. NULL: there is none. */
static const struct part_kind *part_kind_find(struct str name)
{
    for (size_t i = 0; part_kind_at(i); i++)
        if (str_is(name, part_kinds[i].name) || (i == 0 && str_is(name, "dynamic")))
            return &part_kinds[i];
    return NULL;
}

static const struct part_kind *part_kind(struct loader *l, const struct val *part)
{
    static const char expected[] =
        "expected static, file, previous_response, session_context, claude_continue or variable";
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
    const struct part_kind *kind = part_kind_find(t->s);
    if (kind)
        return kind;
    for (size_t i = 0; part_kind_at(i); i++)
        nearest_try(&near, str_c(part_kind_at(i)->name));
    BAD(l, t, "unknown type `%s` of a prompt part; %s", clip(t->s).z, load_hint(l, &near, expected));
    return NULL;
}

/* `${name}`, where the step has a variable `name`. */
static struct val own_variables(struct loader *l, const struct step_def *s, const struct val *v)
{
    const struct val *variables = VAL_GET(s->source, "variables");
    struct val out = *v;
    struct str text = v->s, done = STR("");
    bool any = false;
    if (v->type != VAL_STR || !val_is(variables, VAL_OBJECT) || text.n > 64 << 10)
        return out;
    for (size_t at; (at = str_find(text, STR("${"))) != SIZE_MAX;) {
        size_t n = str_find(str_from(text, at), STR("}"));
        struct str name = n == SIZE_MAX ? STR("") : str_n(text.p + at + 2, n - 2);
        bool ours = name.n && val_get(variables, name);
        size_t upto = ours ? at + n + 1 : at + 2;
        done = ours ? arena_printf(l->a, "%.*s%.*s{{ step.variables[\"%.*s\"] }}", STR_ARG(done), (int)at, text.p,
                                   STR_ARG(name))
                    : arena_printf(l->a, "%.*s%.*s", STR_ARG(done), (int)upto, text.p);
        any = any || ours;
        text = str_from(text, upto);
    }
    if (any)
        out.s = arena_printf(l->a, "%.*s%.*s", STR_ARG(done), STR_ARG(text));
    return out;
}

void load_file_ref(struct loader *l, const struct step_def *s, struct str path, uint32_t line, uint32_t col)
{
    if (str_find(path, STR("{{")) != SIZE_MAX || str_find(path, STR("${")) != SIZE_MAX)
        return;
    for (size_t i = 0; i < path.n; i++) /* a pattern, or a directory: what it finds is seen in the run */
        if (strchr("*?[{", path.p[i]) || (path.p[i] == '/' && i + 1 == path.n))
            return;
    for (size_t i = 0; i < l->nfiles; i++) /* a template may be looked at more than once */
        if (l->files[i].line == line && l->files[i].col == col)
            return;
    if (l->nfiles == l->files_cap) {
        size_t cap = l->files_cap ? 2 * l->files_cap : 16;
        struct file_ref *v = arena_calloc(l->a, cap, sizeof *v);
        if (l->nfiles)
            memcpy(v, l->files, l->nfiles * sizeof *v);
        l->files = v;
        l->files_cap = cap;
    }
    l->files[l->nfiles++] = (struct file_ref){path, s, line, col};
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

/* Keys of an extraction that nobody asked for. */
static void part_extraction(struct loader *l, const struct val *part)
{
    const struct val *with = VAL_GET(part, "extract_with"), *names = VAL_GET(part, "post_processing");
    const struct val *only[] = {names, VAL_GET(part, "format"), VAL_GET(part, "include_metadata")};
    for (size_t i = 0; i < sizeof only / sizeof *only && !with; i++)
        if (only[i]) {
            BAD(l, only[i],
                "an extraction is described but not asked for; expected `extract_with: content_extractor` "
                "beside it");
            return;
        }
}

static bool is_name(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] != '_' && !((s.p[i] | 32) >= 'a' && (s.p[i] | 32) <= 'z') && !(i && s.p[i] >= '0' && s.p[i] <= '9'))
            return false;
    return s.n > 0;
}

/* Keys whose values must be more than of their kind. */
static bool part_value(struct loader *l, const struct member *k)
{
    static const char *const encodings[] = {"utf-8",  "ascii",    "latin-1", "windows-1252",
                                            "utf-16", "utf-16le", "utf-16be"};
    static const char *const spellings[] = {"utf8", "us-ascii", "latin1", "iso-8859-1", "cp1252", "utf16"};
    const struct val *v = &k->val;
    if (str_is(k->key, "inject_as") && !is_name(v->s)) {
        BAD(l, v, "`inject_as` is `%s`; expected a name of letters, digits and _", clip(v->s).z);
        return false;
    }
    if (!str_is(k->key, "encoding") || v->type != VAL_STR || str_find(v->s, STR("{{")) != SIZE_MAX)
        return true;
    struct nearest near = {.want = v->s};
    for (size_t i = 0; i < sizeof encodings / sizeof *encodings; i++) {
        if (str_is(v->s, encodings[i]) || (i < sizeof spellings / sizeof *spellings && str_is(v->s, spellings[i])))
            return true;
        nearest_try(&near, str_c(encodings[i]));
    }
    BAD(l, v, "unknown encoding `%s`; %s", clip(v->s).z,
        load_hint(l, &near, "expected utf-8, ascii, latin-1, windows-1252, utf-16, utf-16le or utf-16be"));
    return false;
}

/* `{% if … %}`, as Jinja and Liquid have it, stays in the text; nobody means that it should. */
void load_foreign_statement(struct loader *l, const struct val *v)
{
    static const char *const words[] = {"if", "for", "set", "elif", "else", "endif", "endfor", "include", "macro"};
    struct str rest = v->type == VAL_STR ? v->s : STR("");
    for (size_t i = 0; v->type == VAL_ARRAY && i < v->arr.n; i++)
        load_foreign_statement(l, &v->arr.v[i]);
    for (size_t i = 0; v->type == VAL_OBJECT && i < v->obj.n; i++)
        load_foreign_statement(l, &v->obj.m[i].val);
    for (size_t at; (at = str_find(rest, STR("{%"))) != SIZE_MAX; rest = str_from(rest, at + 2)) {
        struct str in = str_from(rest, at + 2);
        size_t end = str_find(in, STR("%}")), n = 0;
        if (end == SIZE_MAX)
            return;
        in = str_n(in.p, end);
        in = str_trim(str_from(in, str_starts(in, STR("-"))));
        while (n < in.n && in.p[n] >= 'a' && in.p[n] <= 'z')
            n++;
        for (size_t i = 0; i < sizeof words / sizeof *words; i++)
            if (str_is(str_n(in.p, n), words[i])) {
                WARN(l, v,
                     "`{%% %s … %%}` is no part of templates and stays as text; expected {{#if PATH}}…{{/if}}, "
                     "{{ CONDITION ? \"a\" : \"b\" }}, a `condition` on a step or a part of a prompt, or a for_loop",
                     words[i]);
                return;
            }
    }
}

/* One key of a part; false: it is left out. */
static bool part_key(struct loader *l, const struct step_def *s, const struct part_kind *t, const struct member *k,
                     bool raw, struct val *ret)
{
    const struct step_key *row = key_find(prompt_part_keys, k->key);
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
    if (!row) {
        if (!load_unused_key(l, k, part_unused_keys))
            load_unknown_key(l, k, "a prompt part", prompt_part_keys, NULL);
        return false;
    }
    if (str_find(str_c(t->keys), arena_printf(l->a, "|%.*s|", STR_ARG(k->key))) == SIZE_MAX) {
        problem_add(l->ps, str_is(k->key, "name"), k->line, k->col,
                    "`%s` means nothing in a prompt part of type %s; expected `%s`", clip(k->key).z, t->name,
                    t->needs ? t->needs : "session_id");
        return false;
    }
    if (!load_key_fits(l, prompt_part_keys, row, k) || !part_value(l, k))
        return false;
    if (raw && str_is(k->key, "content"))
        ret->s = escape(l->a, k->val.s);
    else if (row->kind == KEY_TEMPLATE) {
        load_foreign_statement(l, &k->val);
        *ret = own_variables(l, s, &k->val);
    }
    if (str_is(k->key, "path") || str_is(k->key, "variables"))
        *ret = load_dollars(l, ret);
    return true;
}

static bool asks_claude(const struct step_def *s)
{
    return s->type && s->type->provider && strcmp(s->type->provider, "claude") == 0;
}

/* What can be said of a part as a whole. */
static void part_whole(struct loader *l, const struct step_def *s, const struct part_kind *t, const struct val *part)
{
    const struct val *path = VAL_GET(part, "path");
    if (strcmp(t->name, "file") == 0)
        load_file_ref(l, s, path->s, path->line, path->col);
    if (VAL_GET(part, "prefix") && VAL_GET(part, "component"))
        BAD(l, VAL_GET(part, "prefix"),
            "`prefix` goes before one text, and a component has several; expected a static "
            "part before this one");
    if (strcmp(t->name, "previous_response") == 0) {
        part_step(l, s, part);
        part_extraction(l, part);
    }
    if (strcmp(t->name, "claude_continue") == 0 && !asks_claude(s))
        BAD(l, part,
            "claude_continue goes on with a session of Claude, and step `%s` asks another model; expected "
            "session_context, which tells what was said",
            clip(s->name).z);
    bool joins =
        strcmp(t->name, "session_context") == 0 || (strcmp(t->name, "claude_continue") == 0 && !s->type->talks);
    if (joins && !VAL_GET(part, "session_id"))
        load_later(l, &(struct later){.kind = LATER_TALK, .step = s, .line = part->line, .col = part->col});
}

static void prompt_part(struct loader *l, const struct step_def *s, const struct val *part, struct val_list *out)
{
    if (part->type != VAL_OBJECT) {
        BAD(l, part, "a prompt part is %s; expected a map such as {type: static, content: \"…\"}", load_found(part));
        return;
    }
    const struct part_kind *t = part_kind(l, part);
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
    const struct val *needed = t->needs ? val_get(part, str_c(t->needs)) : NULL;
    if (t->needs && !needed)
        BAD(l, part, "a prompt part of type %s has no `%s`; expected it", t->name, t->needs);
    else if (val_is(needed, VAL_STR) && needed->s.n == 0 && strcmp(t->needs, "content") != 0)
        BAD(l, needed, "`%s` is empty; expected a %s", t->needs,
            strcmp(t->needs, "path") == 0   ? "path"
            : strcmp(t->needs, "step") == 0 ? "step's name"
                                            : "text");
    if (l->ps->errors > before)
        return;
    part_whole(l, s, t, part);
    struct val done = val_map_done(&m);
    done.line = part->line;
    done.col = part->col;
    val_list_push(out, done);
}

/* A name stands for one text. Parts that may be left out can share one: the run sees which is there. */
static void injected_twice(struct loader *l, const struct val *parts)
{
    struct map seen = {0};
    for (size_t i = 0; i < parts->arr.n; i++) {
        const struct val *part = &parts->arr.v[i], *name = VAL_GET(part, "inject_as");
        if (!val_is(name, VAL_STR) || !name->s.n || VAL_GET(part, "condition"))
            continue;
        const struct val *first = map_put(&seen, name->s, (void *)name);
        if (first)
            BAD(l, name,
                "`inject_as` is `%s` in two parts of this prompt (the other in line %u); expected another name, or a "
                "`condition` on one of them",
                clip(name->s).z, PLACE_LINE(first->line));
    }
    map_done(&seen);
}

struct val load_prompt(struct loader *l, const struct step_def *s, const struct val *v)
{
    struct val_list out = val_list_new(l->a);
    if (v->type == VAL_STR)
        load_foreign_statement(l, v);
    if (v->type != VAL_ARRAY)
        return own_variables(l, s, v);
    if (v->arr.n == 0)
        BAD(l, v, "the prompt is an empty list; expected at least one part such as {type: static, content: \"…\"}");
    for (size_t i = 0; i < v->arr.n; i++)
        prompt_part(l, s, &v->arr.v[i], &out);
    injected_twice(l, v);
    struct val done = val_list_done(&out);
    done.line = v->line;
    done.col = v->col;
    return done;
}
