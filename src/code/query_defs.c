/* What is defined: functions, classes, interfaces, modules, imports, exports, references. Each answer is a list in the
 * order of files and lines. */
#include "code/query.h"

#include "code/graph.h"

static const int64_t default_limit = 100000;

struct wish {
    struct selection files;
    struct str name, annotation, base;
    bool public_only, exported_only, metadata, methods;
    int64_t limit;
};

static enum rc wish_read(struct code *c, const struct val *crit, struct wish *w, struct err *err)
{
    struct str annotation = crit_text(crit, "with_annotation"), base = crit_text(crit, "with_base_class");
    *w = (struct wish){.name = crit_text(crit, "name"),
                       .annotation = annotation.n ? annotation : crit_text(crit, "with_decorator"),
                       .base = base.n ? base : crit_text(crit, "with_behaviour"),
                       .public_only = crit_bool(crit, "public_only", false),
                       .exported_only = crit_bool(crit, "exported_only", false),
                       .metadata = crit_bool(crit, "extract_metadata", false),
                       .methods = crit_bool(crit, "include_methods", false),
                       .limit = crit_int(crit, "limit", default_limit)};
    if (!w->name.n)
        w->name = crit_text(crit, "pattern");
    return select_read(c, crit, false, &w->files, err);
}

static bool is_word(char ch)
{
    return ch == '_' || (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || (ch >= '0' && ch <= '9');
}

/* "@app.route" is the beginning of "@app.route('/x')"; the marks @ and #[ may be left out. */
static bool annotation_fits(struct str wish, struct str is)
{
    static const char *const marks[] = {"@", "#![", "#["};
    for (size_t i = 0; i < 3; i++) {
        if (str_starts(wish, str_c(marks[i])))
            wish = str_from(wish, strlen(marks[i]));
        if (str_starts(is, str_c(marks[i])))
            is = str_from(is, strlen(marks[i]));
    }
    return wish.n && str_starts(is, wish) && (is.n == wish.n || !is_word(wish.p[wish.n - 1]) || !is_word(is.p[wish.n]));
}

/* "BaseModel" is the end of "pydantic.BaseModel", and what "BaseModel[T]" begins with. */
static bool base_fits(struct str wish, struct str is)
{
    size_t at = str_find(is, wish);
    if (at == SIZE_MAX)
        return false;
    return (at == 0 || !is_word(is.p[at - 1])) && (at + wish.n == is.n || !is_word(is.p[at + wish.n]));
}

static bool any(struct strs l, struct str wish, bool (*fits)(struct str, struct str))
{
    for (size_t i = 0; i < l.n; i++)
        if (fits(wish, l.v[i]))
            return true;
    return wish.n == 0;
}

static bool item_fits(const struct wish *w, const struct item *i)
{
    return name_fits(w->name, i->name) && (!w->public_only || i->is_public) && (!w->exported_only || i->exported) &&
           any(i->annotations, w->annotation, annotation_fits) && any(i->bases, w->base, base_fits);
}

static struct val item_val(struct code *c, const struct code_file *f, const struct item *i, bool metadata)
{
    struct val_map m = val_map_new(c->arena);
    VAL_MAP_SET(&m, "name", val_str(i->name));
    VAL_MAP_SET(&m, "type", val_str(str_c(i->what)));
    VAL_MAP_SET(&m, "file", val_str(f->path));
    VAL_MAP_SET(&m, "line", val_int(i->line));
    VAL_MAP_SET(&m, "public", val_bool(i->is_public));
    if (i->owner.n)
        VAL_MAP_SET(&m, "in", val_str(i->owner));
    if (i->bases.n)
        VAL_MAP_SET(&m, "bases", strs_val(c, i->bases));
    VAL_MAP_SET(&m, "signature", val_str(i->signature));
    if (metadata) {
        VAL_MAP_SET(&m, "end_line", val_int(i->end_line));
        VAL_MAP_SET(&m, "lines", val_int((int64_t)i->end_line - i->line + 1));
        VAL_MAP_SET(&m, "exported", val_bool(i->exported));
        VAL_MAP_SET(&m, "annotations", strs_val(c, i->annotations));
        VAL_MAP_SET(&m, "language", val_str(str_c(lang_name(f->lang))));
    }
    return val_map_done(&m);
}

/* The functions that stand in an item. */
static struct val methods_of(struct code *c, const struct code_file *f, const struct outline *o, const struct item *of)
{
    struct val_list l = val_list_new(c->arena);
    struct str full =
        of->owner.n ? arena_printf(c->arena, "%.*s.%.*s", STR_ARG(of->owner), STR_ARG(of->name)) : of->name;
    for (size_t i = 0; i < o->nitems; i++)
        if (o->items[i].kind == ITEM_FUNCTION && str_eq(o->items[i].owner, full))
            val_list_push(&l, item_val(c, f, &o->items[i], false));
    return val_list_done(&l);
}

/* A function's name stands in its file as it is: most files need not be parsed to look for one. */
static bool may_have(struct code *c, struct code_file *f, struct str name)
{
    struct arena scratch = {0};
    struct str text;
    struct err err;
    bool may = !name.n || memchr(name.p, '*', name.n) || memchr(name.p, '?', name.n) || f->outlined ||
               files_read(&c->root, f->path, OUTLINE_FILE_MAX, &scratch, &text, &err) != RC_OK ||
               str_find(text, name) != SIZE_MAX;
    arena_done(&scratch);
    return may;
}

static enum rc find_items(struct code *c, const struct val *crit, enum item_kind kind, struct val *ret, struct err *err)
{
    struct wish w;
    struct val_list l = val_list_new(c->arena);
    enum rc rc = wish_read(c, crit, &w, err);
    for (size_t i = 0; rc == RC_OK && i < c->files.n && (int64_t)l.n < w.limit; i++) {
        struct code_file *f = &c->files.v[i];
        const struct outline *o = NULL;
        if (!f->lang || !select_has(&w.files, f) || (kind == ITEM_FUNCTION && !may_have(c, f, w.name)))
            continue;
        rc = code_outline(c, f, &o, err);
        for (size_t k = 0; o && k < o->nitems && (int64_t)l.n < w.limit; k++) {
            if (o->items[k].kind != kind || !item_fits(&w, &o->items[k]))
                continue;
            struct val v = item_val(c, f, &o->items[k], w.metadata);
            if (w.methods) {
                struct val_map m = val_map_new(c->arena);
                val_map_merge(&m, &v);
                VAL_MAP_SET(&m, "methods", methods_of(c, f, o, &o->items[k]));
                v = val_map_done(&m);
            }
            val_list_push(&l, v);
        }
    }
    *ret = val_list_done(&l);
    return rc;
}

enum rc query_find_functions(struct code *c, const struct val *crit, struct val *ret, struct err *err)
{
    return find_items(c, crit, ITEM_FUNCTION, ret, err);
}
enum rc query_find_classes(struct code *c, const struct val *crit, struct val *ret, struct err *err)
{
    return find_items(c, crit, ITEM_CLASS, ret, err);
}
enum rc query_find_interfaces(struct code *c, const struct val *crit, struct val *ret, struct err *err)
{
    return find_items(c, crit, ITEM_INTERFACE, ret, err);
}
enum rc query_find_modules(struct code *c, const struct val *crit, struct val *ret, struct err *err)
{
    return find_items(c, crit, ITEM_MODULE, ret, err);
}

/* ---- imports ---- */

enum rc query_find_imports(struct code *c, const struct val *crit, struct val *ret, struct err *err)
{
    struct selection sel;
    const struct graph *g = NULL;
    bool external = crit_bool(crit, "external_only", false), stdlib = crit_bool(crit, "include_stdlib", !external);
    bool grouped = crit_bool(crit, "group_by_package", false);
    int64_t limit = crit_int(crit, "limit", default_limit);
    struct val_list l = val_list_new(c->arena);
    struct groups groups = {.c = c};
    int64_t n = 0;
    enum rc rc = select_read(c, crit, false, &sel, err);
    unsigned langs = 0;
    for (size_t i = 0; rc == RC_OK && i < c->files.n; i++)
        if (c->files.v[i].lang && select_has(&sel, &c->files.v[i]))
            langs |= 1u << c->files.v[i].lang;
    if (rc == RC_OK)
        rc = graph_get(c, langs, &g, err);
    for (size_t i = 0; rc == RC_OK && i < g->nlinks && n < limit; i++) {
        const struct link *k = &g->links[i];
        if (k->how == 'u' || !select_has(&sel, k->from) || (external && (k->to || k->stdlib)) || (k->stdlib && !stdlib))
            continue;
        if (grouped)
            groups_add(&groups, k->package.n ? k->package : k->target, link_val(c, k, 0));
        else
            val_list_push(&l, link_val(c, k, 0));
        n++;
    }
    *ret = grouped ? groups_done(&groups) : val_list_done(&l);
    return rc;
}

/* ---- exports ---- */

static struct val with_field(struct code *c, struct val v, const char *key, struct val x)
{
    struct val_map m = val_map_new(c->arena);
    val_map_merge(&m, &v);
    val_map_set(&m, str_c(key), x);
    return val_map_done(&m);
}

/* What stands between the first brackets of a signature. */
static struct str parameters(struct str s)
{
    size_t open = str_find(s, STR("(")), depth = 0;
    if (open == SIZE_MAX)
        return STR("");
    for (size_t i = open; i < s.n; i++) {
        depth += s.p[i] == '(';
        depth -= s.p[i] == ')';
        if (!depth)
            return str_trim(str_n(s.p + open + 1, i - open - 1));
    }
    return str_from(s, open + 1);
}

static bool is_component(const struct item *i)
{
    return i->kind != ITEM_INTERFACE && i->markup && i->name.p[0] >= 'A' && i->name.p[0] <= 'Z';
}

static bool export_type_fits(struct str type, const struct item *i)
{
    static const char *const kinds[] = {
        [ITEM_FUNCTION] = "function", [ITEM_CLASS] = "class", [ITEM_INTERFACE] = "interface", [ITEM_MODULE] = "module"};
    if (!type.n || str_is(type, "all"))
        return true;
    if (str_is(type, "react_component") || str_is(type, "component"))
        return is_component(i);
    return str_is(type, i->what) || str_is(type, kinds[i->kind]);
}

static struct val export_val(struct code *c, const struct code_file *f, const struct export *e)
{
    struct val_map m = val_map_new(c->arena);
    VAL_MAP_SET(&m, "name", val_str(e->name));
    VAL_MAP_SET(&m, "type", val_str(str_c(e->what)));
    VAL_MAP_SET(&m, "file", val_str(f->path));
    VAL_MAP_SET(&m, "line", val_int(e->line));
    return val_map_done(&m);
}

enum rc query_find_exports(struct code *c, const struct val *crit, struct val *ret, struct err *err)
{
    struct wish w;
    struct str type = crit_text(crit, "type");
    bool props = crit_bool(crit, "with_props", false);
    struct val_list l = val_list_new(c->arena);
    enum rc rc = wish_read(c, crit, &w, err);
    for (size_t i = 0; rc == RC_OK && i < c->files.n && (int64_t)l.n < w.limit; i++) {
        struct code_file *f = &c->files.v[i];
        const struct outline *o = NULL;
        if (!f->lang || !select_has(&w.files, f))
            continue;
        rc = code_outline(c, f, &o, err);
        for (size_t k = 0; o && k < o->nitems && (int64_t)l.n < w.limit; k++) {
            const struct item *x = &o->items[k];
            if (!x->exported || !item_fits(&w, x) || !export_type_fits(type, x))
                continue;
            struct val v = item_val(c, f, x, w.metadata);
            if (is_component(x))
                v = with_field(c, v, "type", VAL_LIT("react_component"));
            val_list_push(&l, props ? with_field(c, v, "props", val_str(parameters(x->signature))) : v);
        }
        for (size_t k = 0; o && k < o->nexports && (int64_t)l.n < w.limit; k++)
            if (!str_is(str_c(o->exports[k].what), "item") && name_fits(w.name, o->exports[k].name) &&
                (!type.n || str_is(type, o->exports[k].what)))
                val_list_push(&l, export_val(c, f, &o->exports[k]));
    }
    *ret = val_list_done(&l);
    return rc;
}

/* ---- references ---- */

static struct val mention_val(struct code *c, const struct code_file *f, const struct mention *m)
{
    struct val_map v = val_map_new(c->arena);
    VAL_MAP_SET(&v, "file", val_str(f->path));
    VAL_MAP_SET(&v, "line", val_int(m->line));
    VAL_MAP_SET(&v, "column", val_int(m->col));
    VAL_MAP_SET(&v, "kind", m->definition ? VAL_LIT("definition") : m->call ? VAL_LIT("call") : VAL_LIT("mention"));
    VAL_MAP_SET(&v, "text", val_str(m->text));
    return val_map_done(&v);
}

static struct val count_val(struct code *c, const struct code_file *f, size_t n)
{
    struct val_map v = val_map_new(c->arena);
    VAL_MAP_SET(&v, "file", val_str(f->path));
    VAL_MAP_SET(&v, "count", val_int((int64_t)n));
    return val_map_done(&v);
}

struct reference_wish {
    struct str name;
    bool lines, calls, definitions;
    int64_t limit;
};

static enum rc references_in(struct code *c, struct code_file *f, const struct reference_wish *w, struct val_list *l,
                             struct err *err)
{
    struct arena scratch = {0};
    struct str text = code_text(c, f, &scratch);
    struct mention *v = NULL;
    size_t n = 0, counted = 0;
    enum rc rc = code_in_time(c, err);
    if (rc == RC_OK && str_find(text, w->name) != SIZE_MAX && code_enter(c, f)) { /* most are not worth parsing */
        rc = outline_mentions(f->lang, text, w->name, 100000, c->arena, &v, &n, err);
        code_leave();
    }
    arena_done(&scratch);
    if (rc == RC_LIMIT || rc == RC_INVALID || (rc == RC_TIMEOUT && code_in_time(c, err) == RC_OK))
        return RC_OK;
    for (size_t i = 0; rc == RC_OK && i < n && (int64_t)l->n < w->limit; i++) {
        if ((w->calls && !v[i].call) || (v[i].definition && !w->definitions))
            continue;
        counted++;
        if (w->lines)
            val_list_push(l, mention_val(c, f, &v[i]));
    }
    if (!w->lines && counted && rc == RC_OK)
        val_list_push(l, count_val(c, f, counted));
    return rc;
}

enum rc query_find_references(struct code *c, const struct val *crit, struct val *ret, struct err *err)
{
    struct selection sel;
    struct reference_wish w = {.name = crit_text(crit, "to_function"),
                               .lines = crit_bool(crit, "include_line_numbers", true),
                               .calls = crit_bool(crit, "calls_only", false),
                               .definitions = crit_bool(crit, "include_definitions", false),
                               .limit = crit_int(crit, "limit", default_limit)};
    struct val_list l = val_list_new(c->arena);
    if (!w.name.n)
        w.name = crit_text(crit, "to");
    for (size_t i = w.name.n; i--;) /* Store.get, Store#get: the last part */
        if (strchr(".#:", w.name.p[i])) {
            w.name = str_from(w.name, i + 1);
            break;
        }
    if (!w.name.n)
        return err_set(err, RC_INVALID, "`to_function` is missing: references to what?");
    enum rc rc = select_read(c, crit, false, &sel, err);
    for (size_t i = 0; rc == RC_OK && i < c->files.n && (int64_t)l.n < w.limit; i++)
        if (c->files.v[i].lang && select_has(&sel, &c->files.v[i]))
            rc = references_in(c, &c->files.v[i], &w, &l, err);
    *ret = val_list_done(&l);
    return rc;
}
