/* Elixir. Everything is a call: `defmodule`, `def`, `alias` are told by their names. Clauses of one function that
 * follow each other are each an item, as everywhere each definition is one. Module attributes before a function are its
 * annotations. Any module that is named at all is an import ('u'), for calls need no alias. */
#include "code/outliner.h"

enum { CALL = 1, UNARY, ALIAS };
static const char *const types[] = {"call", "unary_operator", "alias", NULL};

static TSNode first_argument(TSNode call)
{
    TSNode list = node_child(call, "arguments");
    return ts_node_is_null(list) ? list : ts_node_named_child(list, 0);
}

/* def name, def name(a), def name(a) when b, def a + b */
static TSNode function_name(struct outliner *o, TSNode n)
{
    for (int depth = 0; depth < 8 && !ts_node_is_null(n); depth++) {
        if (node_is(n, "identifier") || node_is(n, "alias") || node_is(n, "operator_identifier"))
            return n;
        if (node_is(n, "call")) {
            n = node_field(n, "target");
            if (node_is(n, "call") || str_is(node_text(o, n), "unquote"))
                break; /* def unquote(name)(): the name is known only when it is compiled */
        } else if (node_is(n, "binary_operator")) {
            TSNode op = node_field(n, "operator");
            struct str text = node_text(o, op);
            if (!str_is(text, "when") && !str_is(text, "\\\\"))
                return op;
            n = node_field(n, "left");
        } else if (node_is(n, "unary_operator")) {
            return node_field(n, "operator");
        } else {
            break;
        }
    }
    return (TSNode){0};
}

static void module(struct outliner *o, TSNode n, enum item_kind kind, const char *what)
{
    TSNode name = first_argument(n);
    struct str text = node_text(o, name);
    struct item *i = NULL;
    if (!node_is(name, "alias") && !node_is(name, "dot") && !node_is(name, "identifier"))
        text = STR("");
    const struct scope *outer = inner_scope(o);
    if (text.n && strcmp(what, "implementation") == 0) {
        /* defimpl Protocol, for: Type */
        TSNode words = node_child(node_child(n, "arguments"), "keywords"), pair = node_child(words, "pair");
        struct str type =
            ts_node_is_null(pair) ? (outer ? outer->name : STR("")) : node_text(o, node_field(pair, "value"));
        text = arena_printf(o->arena, "%.*s.%.*s", STR_ARG(text), STR_ARG(type));
    }
    if (text.n)
        i = add_named(o, kind, what, text, ts_node_start_point(name).row + 1, n);
    if (i)
        i->exported = true;
    add_scope(o, kind, text, n, i);
}

static void function(struct outliner *o, TSNode n, const char *what, bool is_public)
{
    TSNode name = function_name(o, first_argument(n));
    struct item *i = add_item(o, ITEM_FUNCTION, what, name, n);
    if (!ts_node_is_null(name))
        o->skip = ts_node_start_byte(name) + 1; /* `defmacro def(call)` defines `def`, and does not use it */
    if (i) {
        i->is_public = i->exported = is_public;
        TSNode body = node_child(n, "do_block");
        struct str text = node_text(o, n);
        size_t stop =
            ts_node_is_null(body) ? str_find(text, STR("\n")) : ts_node_start_byte(body) - ts_node_start_byte(n);
        text.n = stop < text.n ? stop : text.n;
        i->signature = arena_str(o->arena, str_n(text.p, text.n > TEXT_MAX ? TEXT_MAX : text.n));
        i->signature = str_trim(str_n(i->signature.p, str_utf8_valid(i->signature)));
    }
    add_scope(o, ITEM_FUNCTION, node_text(o, name), n, i);
}

/* alias A.B, as: C;  alias A.{B, C};  use X, opts */
static void directive(struct outliner *o, TSNode n, struct str word)
{
    TSNode a = first_argument(n);
    struct scope *s = inner_scope(o);
    if (node_is(a, "alias") || node_is(a, "atom"))
        add_import(o, node_text(o, a), n, word.p[0] == 'a' ? 'a' : 0);
    if (node_is(a, "dot")) {
        TSNode tuple = node_field(a, "right");
        struct str left = node_text(o, node_field(a, "left"));
        for (uint32_t k = 0; node_is(tuple, "tuple") && k < ts_node_named_child_count(tuple); k++)
            add_import(o,
                       arena_printf(o->arena, "%.*s.%.*s", STR_ARG(left),
                                    STR_ARG(node_text(o, ts_node_named_child(tuple, k)))),
                       n, 'a');
    }
    if (str_is(word, "use") && s && s->item && node_is(a, "alias"))
        add_base(o, &o->items[s->item - 1], node_text(o, a));
}

static void call(struct outliner *o, TSNode n)
{
    static const struct {
        const char *word, *what;
        bool is_public;
    } functions[] = {{"def", "function", true},        {"defp", "function", false}, {"defmacro", "macro", true},
                     {"defmacrop", "macro", false},    {"defguard", "guard", true}, {"defguardp", "guard", false},
                     {"defdelegate", "delegate", true}};
    TSNode target = node_field(n, "target");
    if (!node_is(target, "identifier") || ts_node_start_byte(n) + 1 == o->skip)
        return;
    struct str word = node_text(o, target);
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        if (str_is(word, functions[i].word)) {
            function(o, n, functions[i].what, functions[i].is_public);
            return;
        }
    if (str_is(word, "defmodule"))
        module(o, n, ITEM_MODULE, "module");
    else if (str_is(word, "defprotocol"))
        module(o, n, ITEM_INTERFACE, "protocol");
    else if (str_is(word, "defimpl"))
        module(o, n, ITEM_MODULE, "implementation");
    else if (str_is(word, "alias") || str_is(word, "import") || str_is(word, "use") || str_is(word, "require"))
        directive(o, n, word);
}

/* @behaviour X is a base of the module; other attributes wait for a function. */
static void attribute(struct outliner *o, TSNode n)
{
    struct scope *s = inner_scope(o);
    TSNode inner = node_field(n, "operand");
    if (!str_is(node_text(o, node_field(n, "operator")), "@") || ts_node_is_null(inner))
        return;
    struct str name = node_text(o, node_is(inner, "call") ? node_field(inner, "target") : inner);
    if (str_is(name, "behaviour") && s && s->item)
        add_base(o, &o->items[s->item - 1], node_text(o, first_argument(inner)));
    if (s && s->kind == ITEM_FUNCTION)
        return;
    add_pending(o, n);
}

static void visit(struct outliner *o, TSNode n, unsigned id)
{
    if (id == CALL)
        call(o, n);
    else if (id == UNARY)
        attribute(o, n);
    else
        add_import(o, node_text(o, n), n, 'u');
}

const struct outline_lang outline_elixir = {types, visit, NULL};
