/* One pass over a syntax tree, with a cursor: no recursion, so depth costs memory and not stack. The languages' files
 * say which node types they want to see and make items of them; what they share is here: the scopes that things stand
 * in, annotations that stand before what they are about, regions that are exported.
 *
 * Scopes need no event at their end: one is over when a node begins behind it. */
#include "code/outliner.h"

#include "base/clock.h"

#include <stdlib.h>

enum { SYMBOLS_MAX = 4096, LOOK_EVERY = 4096, PASS_MS = 10000 };

static const struct outline_lang *const langs[LANG_COUNT] = {
    [LANG_ELIXIR] = &outline_elixir,
    [LANG_PYTHON] = &outline_python,
    [LANG_JAVASCRIPT] = &outline_javascript,
    [LANG_TYPESCRIPT] = &outline_javascript,
    [LANG_TSX] = &outline_javascript,
    [LANG_GO] = &outline_go,
    [LANG_RUST] = &outline_rust,
    [LANG_C] = &outline_c,
    [LANG_JAVA] = &outline_java,
    [LANG_RUBY] = &outline_ruby,
};

/* ---- nodes ---- */

struct str node_text(const struct outliner *o, TSNode n)
{
    if (ts_node_is_null(n))
        return STR("");
    uint32_t from = ts_node_start_byte(n), to = ts_node_end_byte(n);
    if (to > o->source.n || from > to)
        return STR("");
    return str_n(o->source.p + from, to - from);
}

bool node_is(TSNode n, const char *type)
{
    return !ts_node_is_null(n) && strcmp(ts_node_type(n), type) == 0;
}

TSNode node_child(TSNode n, const char *type)
{
    TSNode c = {0};
    uint32_t count = ts_node_is_null(n) ? 0 : ts_node_child_count(n);
    for (uint32_t i = 0; i < count; i++) {
        c = ts_node_child(n, i);
        if (node_is(c, type))
            return c;
    }
    return (TSNode){0};
}

bool node_has_word(const struct outliner *o, TSNode n, const char *word)
{
    uint32_t count = ts_node_child_count(n);
    for (uint32_t i = 0; i < count; i++)
        if (str_is(node_text(o, ts_node_child(n, i)), word))
            return true;
    return false;
}

struct str unquoted(struct str s)
{
    if (s.n >= 2 && (s.p[0] == '"' || s.p[0] == '\'' || s.p[0] == '`' || s.p[0] == '<'))
        return str_n(s.p + 1, s.n - 2);
    return s;
}

/* ---- growing ---- */

#define GROW(o, list, count, cap)                                            \
    do {                                                                     \
        if ((o)->count == (o)->cap) {                                        \
            size_t cap_ = (o)->cap ? (o)->cap * 2 : 16;                      \
            void *more_ = arena_calloc((o)->arena, cap_, sizeof *(o)->list); \
            if ((o)->count)                                                  \
                memcpy(more_, (o)->list, (o)->count * sizeof *(o)->list);    \
            (o)->list = more_, (o)->cap = cap_;                              \
        }                                                                    \
    } while (0)

/* On one line, cut, and valid. */
static struct str tidy(struct outliner *o, struct str s)
{
    bool cut = s.n > TEXT_MAX;
    if (cut)
        s.n = TEXT_MAX;
    s.n = str_utf8_valid(s);
    char *p = arena_alloc(o->arena, s.n + 4);
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        bool space = (unsigned char)s.p[i] <= ' ';
        if (!space)
            p[n++] = s.p[i];
        else if (n && p[n - 1] != ' ')
            p[n++] = ' ';
    }
    while (n && p[n - 1] == ' ')
        n--;
    if (cut)
        memcpy(p + n, "…", 3), n += 3;
    return str_n(p, n);
}

static void push_str(struct outliner *o, struct strs *l, struct str s)
{
    struct str *more = arena_calloc(o->arena, l->n + 1, sizeof *more);
    if (l->n)
        memcpy(more, l->v, l->n * sizeof *more);
    more[l->n] = s;
    *l = (struct strs){more, l->n + 1};
}

/* ---- saying what is there ---- */

struct scope *inner_scope(struct outliner *o)
{
    return o->nscopes ? &o->scopes[o->nscopes - 1] : NULL;
}

/* Nothing but space and comments between the annotation and what comes. */
static bool only_gap(struct outliner *o, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to && i < o->source.n; i++) {
        char c = o->source.p[i];
        if ((unsigned char)c <= ' ')
            continue;
        bool comment = c == '#' || (c == '/' && i + 1 < o->source.n && o->source.p[i + 1] == '/');
        if (!comment)
            return false;
        while (i < to && i < o->source.n && o->source.p[i] != '\n')
            i++;
    }
    return from <= to;
}

void add_pending(struct outliner *o, TSNode n)
{
    if (!only_gap(o, o->pending_end, ts_node_start_byte(n)))
        o->npending = 0;
    struct str text = node_text(o, n);
    for (uint32_t i = ts_node_child_count(n); i--;) { /* a comment at its end is none of it */
        TSNode c = ts_node_child(n, i);
        if (ts_node_end_byte(c) > ts_node_start_byte(c) && !ts_node_is_extra(c)) {
            text.n = ts_node_end_byte(c) - ts_node_start_byte(n);
            break;
        }
    }
    GROW(o, pending, npending, pending_cap);
    o->pending[o->npending++] = tidy(o, text);
    o->pending_end = ts_node_end_byte(n);
}

static void take_pending(struct outliner *o, struct item *i, TSNode whole)
{
    if (o->npending && only_gap(o, o->pending_end, ts_node_start_byte(whole)))
        for (size_t k = 0; k < o->npending; k++)
            push_str(o, &i->annotations, o->pending[k]);
    if (o->npending && ts_node_start_byte(whole) >= o->pending_end)
        o->npending = 0;
}

struct item *add_named(struct outliner *o, enum item_kind kind, const char *what, struct str name, uint32_t line,
                       TSNode whole)
{
    if (o->nitems == ITEMS_MAX || !name.n || str_utf8_valid(name) != name.n)
        return NULL;
    GROW(o, items, nitems, items_cap);
    struct item *i = &o->items[o->nitems++];
    const struct scope *s = inner_scope(o);
    TSNode body = node_field(whole, "body");
    struct str text = node_text(o, whole);
    if (!ts_node_is_null(body) && ts_node_start_byte(body) > ts_node_start_byte(whole)) {
        text.n = ts_node_start_byte(body) - ts_node_start_byte(whole);
    } else {
        size_t nl = str_find(text, STR("\n"));
        text.n = nl < text.n ? nl : text.n;
    }
    TSPoint end = ts_node_end_point(whole);
    *i = (struct item){.kind = kind,
                       .what = what,
                       .name = arena_str(o->arena, name),
                       .owner = s ? s->name : STR(""),
                       .line = line,
                       .end_line = end.row + (end.column > 0 || end.row == 0),
                       .is_public = !(s && s->hidden),
                       .signature = tidy(o, text)};
    uint32_t at = ts_node_start_byte(whole);
    i->exported = o->exporting && o->nscopes == o->export_depth && at >= o->export_from && at < o->export_end;
    take_pending(o, i, whole);
    return i;
}

struct item *add_item(struct outliner *o, enum item_kind kind, const char *what, TSNode name, TSNode whole)
{
    if (ts_node_is_null(name))
        return NULL;
    return add_named(o, kind, what, node_text(o, name), ts_node_start_point(name).row + 1, whole);
}

struct scope *add_scope(struct outliner *o, enum item_kind kind, struct str name, TSNode whole, const struct item *item)
{
    const struct scope *outer = inner_scope(o);
    if (o->nscopes == SCOPES_MAX)
        return &o->scopes[SCOPES_MAX - 1];
    name = str_utf8_valid(name) == name.n ? name : STR("");
    struct scope *s = &o->scopes[o->nscopes++];
    *s = (struct scope){.name = outer && outer->name.n
                                    ? arena_printf(o->arena, "%.*s.%.*s", STR_ARG(outer->name), STR_ARG(name))
                                    : arena_str(o->arena, name),
                        .end = ts_node_end_byte(whole),
                        .kind = kind,
                        .hidden = outer && outer->hidden,
                        .item = item ? (uint32_t)(item - o->items) + 1 : 0};
    return s;
}

struct import *add_import(struct outliner *o, struct str target, TSNode at, char how)
{
    if (o->nimports == ITEMS_MAX || !target.n || str_utf8_valid(target) != target.n)
        return NULL;
    GROW(o, imports, nimports, imports_cap);
    struct import *i = &o->imports[o->nimports++];
    *i = (struct import){.target = arena_str(o->arena, target), .line = ts_node_start_point(at).row + 1, .how = how};
    return i;
}

void add_import_name(struct outliner *o, struct import *i, struct str name)
{
    if (i && name.n && str_utf8_valid(name) == name.n && i->names.n < 1000)
        push_str(o, &i->names, arena_str(o->arena, name));
}

void add_export(struct outliner *o, struct str name, const char *what, TSNode at)
{
    if (o->nexports == ITEMS_MAX || !name.n || str_utf8_valid(name) != name.n)
        return;
    GROW(o, exports, nexports, exports_cap);
    o->exports[o->nexports++] =
        (struct export){.name = arena_str(o->arena, name), .what = what, .line = ts_node_start_point(at).row + 1};
}

void add_base(struct outliner *o, struct item *i, struct str name)
{
    if (i && name.n && i->bases.n < 1000)
        push_str(o, &i->bases, tidy(o, name));
}

void add_annotation(struct outliner *o, struct item *i, TSNode n)
{
    if (i && i->annotations.n < 1000)
        push_str(o, &i->annotations, tidy(o, node_text(o, n)));
}

void export_region(struct outliner *o, TSNode n)
{
    o->exporting = true;
    o->export_from = ts_node_start_byte(n);
    o->export_end = ts_node_end_byte(n);
    o->export_depth = o->nscopes;
}

/* ---- parsing ---- */

struct parsed {
    TSParser *parser;
    TSTree *tree;
};

static void parsed_done(struct parsed *p)
{
    if (p->tree)
        ts_tree_delete(p->tree);
    if (p->parser)
        ts_parser_delete(p->parser);
}

static enum rc parse(enum lang lang, struct str source, struct parsed *p, struct err *err)
{
    const TSLanguage *grammar;
    *p = (struct parsed){0};
    enum rc rc = lang_grammar(lang, &grammar, err);
    if (rc)
        return rc;
    if (source.n > OUTLINE_FILE_MAX)
        return err_set(err, RC_LIMIT, "larger than %d bytes", OUTLINE_FILE_MAX);
    if (source.n && memchr(source.p, 0, source.n))
        return err_set(err, RC_INVALID, "no text: it has NUL characters");
    p->parser = ts_parser_new();
    if (!ts_parser_set_language(p->parser, grammar))
        return err_set(err, RC_VERSION, "the grammar for %s does not fit; run `make grammars` again", lang_name(lang));
    ts_parser_set_timeout_micros(p->parser, OUTLINE_FILE_US);
    p->tree = ts_parser_parse_string(p->parser, NULL, source.p, (uint32_t)source.n);
    return p->tree ? RC_OK : err_set(err, RC_TIMEOUT, "parsing takes longer than %d s", OUTLINE_FILE_US / 1000000);
}

/* symbol -> id, for the types wanted. */
static unsigned char *symbol_ids(const TSLanguage *grammar, const char *const *types, uint32_t *n)
{
    *n = ts_language_symbol_count(grammar);
    unsigned char *ids = calloc(*n + 1, 1);
    for (uint32_t s = 0; ids && s < *n; s++)
        for (unsigned i = 0; types[i]; i++)
            if (strcmp(ts_language_symbol_name(grammar, (TSSymbol)s), types[i]) == 0 &&
                ts_language_symbol_type(grammar, (TSSymbol)s) == TSSymbolTypeRegular)
                ids[s] = (unsigned char)(i + 1);
    return ids;
}

/* Every node of the tree in order. False: it takes too long. */
static bool each_node(TSNode root, bool (*cb)(void *ctx, TSNode n), void *ctx)
{
    TSTreeCursor c = ts_tree_cursor_new(root);
    int64_t until = clock_mono_ms() + PASS_MS;
    bool go_on = true;
    for (size_t seen = 0; go_on; seen++) {
        go_on = cb(ctx, ts_tree_cursor_current_node(&c)) && (seen % LOOK_EVERY || clock_mono_ms() < until);
        if (!go_on || ts_tree_cursor_goto_first_child(&c))
            continue;
        bool over = false;
        while (!over && !ts_tree_cursor_goto_next_sibling(&c))
            over = !ts_tree_cursor_goto_parent(&c);
        if (over)
            break;
    }
    ts_tree_cursor_delete(&c);
    return go_on;
}

struct pass {
    struct outliner *o;
    const struct outline_lang *lang;
    const unsigned char *ids;
    uint32_t symbols;
};

static bool on_node(void *ctx, TSNode n)
{
    struct pass *p = ctx;
    struct outliner *o = p->o;
    TSSymbol s = ts_node_symbol(n);
    unsigned id = s < p->symbols ? p->ids[s] : 0;
    if (!id)
        return true;
    uint32_t at = ts_node_start_byte(n);
    while (o->nscopes && o->scopes[o->nscopes - 1].end <= at)
        o->nscopes--;
    if (o->exporting && at >= o->export_end)
        o->exporting = false;
    p->lang->visit(o, n, id);
    return true;
}

enum rc outline_make(enum lang lang, struct str source, struct arena *a, const struct outline **ret, struct err *err)
{
    struct parsed p;
    enum rc rc = parse(lang, source, &p, err);
    if (rc == RC_OK) {
        struct arena scratch = {0}; /* the outliner itself is large */
        struct outliner *o = ARENA_NEW(&scratch, struct outliner);
        *o = (struct outliner){.arena = a, .source = source, .lang = lang};
        struct pass pass = {.o = o, .lang = langs[lang]};
        unsigned char *ids = symbol_ids(ts_tree_language(p.tree), langs[lang]->types, &pass.symbols);
        pass.ids = ids;
        TSNode root = ts_tree_root_node(p.tree);
        if (!ids || !each_node(root, on_node, &pass)) {
            rc = err_set(err, RC_TIMEOUT, "looking through it takes longer than %d s", PASS_MS / 1000);
        } else {
            if (langs[lang]->finish)
                langs[lang]->finish(o);
            struct outline *out = ARENA_NEW(a, struct outline);
            *out = (struct outline){.items = o->items,
                                    .nitems = o->nitems,
                                    .imports = o->imports,
                                    .nimports = o->nimports,
                                    .exports = o->exports,
                                    .nexports = o->nexports,
                                    .package = o->package,
                                    .errors = ts_node_has_error(root)};
            *ret = out;
        }
        free(ids);
        arena_done(&scratch);
    }
    parsed_done(&p);
    return rc;
}

/* ---- mentions ---- */

struct mentions {
    struct arena *arena;
    struct str source, name;
    struct mention *v;
    size_t n, cap, max;
};

static bool is_identifier(const char *type)
{
    return strstr(type, "identifier") || strcmp(type, "constant") == 0 || strcmp(type, "alias") == 0 ||
           strcmp(type, "word") == 0;
}

static bool on_mention(void *ctx, TSNode n)
{
    struct mentions *m = ctx;
    uint32_t from = ts_node_start_byte(n), to = ts_node_end_byte(n);
    if (to - from != m->name.n || to > m->source.n || ts_node_child_count(n) || !ts_node_is_named(n) ||
        memcmp(m->source.p + from, m->name.p, m->name.n) != 0 || !is_identifier(ts_node_type(n)))
        return true;
    TSPoint at = ts_node_start_point(n);
    if (m->n && m->v[m->n - 1].line == at.row + 1 && m->v[m->n - 1].col == at.column + 1)
        return true; /* a node around another of the same text */
    GROW(m, v, n, cap);
    size_t begin = from, end = to, next = to;
    while (begin && m->source.p[begin - 1] != '\n')
        begin--;
    while (end < m->source.n && m->source.p[end] != '\n')
        end++;
    while (next < m->source.n && (m->source.p[next] == ' ' || m->source.p[next] == '!'))
        next++;
    struct str line = str_trim(str_n(m->source.p + begin, end - begin));
    line.n = line.n > TEXT_MAX ? TEXT_MAX : line.n;
    line.n = str_utf8_valid(line);
    m->v[m->n++] = (struct mention){.line = at.row + 1,
                                    .col = at.column + 1,
                                    .call = next < m->source.n && m->source.p[next] == '(',
                                    .text = arena_str(m->arena, line)};
    return m->n < m->max;
}

enum rc outline_mentions(enum lang lang, struct str source, struct str name, size_t max, struct arena *a,
                         struct mention **ret, size_t *n, struct err *err)
{
    struct parsed p;
    struct mentions m = {.arena = a, .source = source, .name = name, .max = max};
    const struct outline *o = NULL;
    enum rc rc = outline_make(lang, source, a, &o, err); /* to know which of them are definitions */
    if (rc)
        return rc;
    rc = parse(lang, source, &p, err);
    if (rc == RC_OK && !each_node(ts_tree_root_node(p.tree), on_mention, &m) && m.n < max)
        rc = err_set(err, RC_TIMEOUT, "looking through it takes longer than %d s", PASS_MS / 1000);
    parsed_done(&p);
    for (size_t i = 0; rc == RC_OK && i < o->nitems; i++)
        for (size_t k = 0; k < m.n; k++)
            if (o->items[i].line == m.v[k].line && str_eq(o->items[i].name, name)) {
                m.v[k].definition = true;
                break;
            }
    *ret = m.v, *n = m.n;
    return rc;
}
