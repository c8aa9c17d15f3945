/* JavaScript and TypeScript. A function may have its name from what it is assigned to. Exported is what `export` or
 * CommonJS's `exports` say; methods and fields are public unless they say otherwise. */
#include "code/outliner.h"

#include <ctype.h>

enum {
    FUNCTION = 1,
    GENERATOR,
    SIGNATURE,
    METHOD,
    METHOD_SIGNATURE,
    ABSTRACT_METHOD,
    CLASS,
    ABSTRACT_CLASS,
    CLASS_EXPRESSION,
    INTERFACE,
    TYPE_ALIAS,
    ENUM,
    NAMESPACE,
    MODULE,
    DECLARATOR,
    PAIR,
    ASSIGNMENT,
    FIELD,
    PUBLIC_FIELD,
    IMPORT,
    EXPORT,
    CALL,
    DECORATOR,
    JSX,
    JSX_CLOSED,
    JSX_FRAGMENT
};
static const char *const types[] = {"function_declaration",
                                    "generator_function_declaration",
                                    "function_signature",
                                    "method_definition",
                                    "method_signature",
                                    "abstract_method_signature",
                                    "class_declaration",
                                    "abstract_class_declaration",
                                    "class",
                                    "interface_declaration",
                                    "type_alias_declaration",
                                    "enum_declaration",
                                    "internal_module",
                                    "module",
                                    "variable_declarator",
                                    "pair",
                                    "assignment_expression",
                                    "field_definition",
                                    "public_field_definition",
                                    "import_statement",
                                    "export_statement",
                                    "call_expression",
                                    "decorator",
                                    "jsx_element",
                                    "jsx_self_closing_element",
                                    "jsx_fragment",
                                    NULL};

static bool is_function(TSNode n)
{
    static const char *const kinds[] = {"arrow_function", "function_expression", "generator_function", "function"};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (node_is(n, kinds[i]))
            return true;
    return false;
}

static bool is_hidden(struct outliner *o, TSNode n, struct str name)
{
    TSNode m = node_child(n, "accessibility_modifier");
    struct str said = node_text(o, m);
    return str_starts(name, STR("#")) || str_is(said, "private") || str_is(said, "protected");
}

static struct item *function(struct outliner *o, TSNode name, TSNode n, const char *what)
{
    struct scope *s = inner_scope(o);
    struct str text = unquoted(node_text(o, name));
    struct item *i = ts_node_is_null(name) || !text.n
                         ? NULL
                         : add_named(o, ITEM_FUNCTION, what, text, ts_node_start_point(name).row + 1, n);
    if (i && ((s && s->kind == ITEM_FUNCTION) || is_hidden(o, n, text)))
        i->is_public = false;
    for (uint32_t k = 0; i && k < ts_node_child_count(n); k++)
        if (node_is(ts_node_child(n, k), "decorator"))
            add_annotation(o, i, ts_node_child(n, k));
    return i;
}

static void scoped_function(struct outliner *o, TSNode name, TSNode n, const char *what)
{
    struct item *i = function(o, name, n, what);
    add_scope(o, ITEM_FUNCTION, unquoted(node_text(o, name)), n, i);
}

static void bases(struct outliner *o, TSNode n, struct item *i)
{
    TSNode heritage = node_child(n, "class_heritage");
    if (ts_node_is_null(heritage))
        heritage = node_child(n, "extends_type_clause");
    for (uint32_t k = 0; !ts_node_is_null(heritage) && k < ts_node_named_child_count(heritage); k++) {
        TSNode c = ts_node_named_child(heritage, k);
        if (!node_is(c, "extends_clause") && !node_is(c, "implements_clause")) {
            add_base(o, i, node_text(o, c));
            continue;
        }
        for (uint32_t j = 0; j < ts_node_named_child_count(c); j++)
            if (!node_is(ts_node_named_child(c, j), "type_arguments"))
                add_base(o, i, node_text(o, ts_node_named_child(c, j)));
    }
}

static void type(struct outliner *o, TSNode n, TSNode name, enum item_kind kind, const char *what)
{
    struct item *i = add_item(o, kind, what, name, n);
    bases(o, n, i);
    for (uint32_t k = 0; i && k < ts_node_child_count(n); k++)
        if (node_is(ts_node_child(n, k), "decorator"))
            add_annotation(o, i, ts_node_child(n, k));
    add_scope(o, kind, node_text(o, name), n, i);
}

/* `exports.f`, `module.exports.f`, `module.exports`; empty: none of them. */
static struct str exported_name(struct outliner *o, TSNode left)
{
    struct str text = node_text(o, left);
    if (str_is(text, "module.exports"))
        return STR("default");
    if (str_starts(text, STR("module.exports.")))
        return str_from(text, 15);
    return str_starts(text, STR("exports.")) ? str_from(text, 8) : STR("");
}

static void commonjs_list(struct outliner *o, TSNode object)
{
    for (uint32_t k = 0; k < ts_node_named_child_count(object); k++) {
        TSNode c = ts_node_named_child(object, k);
        TSNode key = node_is(c, "pair")                ? node_field(c, "key")
                     : node_is(c, "method_definition") ? node_field(c, "name")
                                                       : c;
        if (node_is(key, "property_identifier") || node_is(key, "shorthand_property_identifier") ||
            node_is(key, "string"))
            add_export(o, unquoted(node_text(o, key)), "value", key);
    }
}

static void assignment(struct outliner *o, TSNode n)
{
    TSNode left = node_field(n, "left"), right = node_field(n, "right");
    struct str exported = inner_scope(o) ? STR("") : exported_name(o, left);
    TSNode name = node_is(left, "member_expression") ? node_field(left, "property") : left;
    if (is_function(right) && !str_is(exported, "default")) {
        struct item *i = function(o, name, n, "function");
        if (i)
            i->exported = exported.n > 0;
        add_scope(o, ITEM_FUNCTION, node_text(o, name), n, i);
    } else if (exported.n && node_is(right, "object")) {
        commonjs_list(o, right);
    } else if (exported.n) {
        add_export(o, exported, is_function(right) ? "function" : "value", left);
    }
}

static void export(struct outliner *o, TSNode n)
{
    TSNode source = node_field(n, "source"), clause = node_child(n, "export_clause");
    if (!ts_node_is_null(source))
        add_import(o, unquoted(node_text(o, source)), n, 'x');
    for (uint32_t k = 0; !ts_node_is_null(clause) && k < ts_node_named_child_count(clause); k++) {
        TSNode c = ts_node_named_child(clause, k), alias = node_field(c, "alias");
        add_export(o, node_text(o, ts_node_is_null(alias) ? node_field(c, "name") : alias), "name", c);
    }
    if (node_has_word(o, n, "default") && ts_node_is_null(node_field(n, "declaration"))) {
        TSNode value = node_field(n, "value");
        add_export(o, STR("default"), is_function(value) ? "function" : "value", n);
    } else if (!ts_node_is_null(source) && node_has_word(o, n, "*")) {
        add_export(o, STR("*"), "all", n);
    }
    TSNode declaration = node_field(n, "declaration");
    if (!ts_node_is_null(declaration))
        export_region(o, declaration);
    for (uint32_t k = 0; node_is(declaration, "lexical_declaration") && k < ts_node_named_child_count(declaration);
         k++) {
        TSNode c = ts_node_named_child(declaration, k);
        if (node_is(c, "variable_declarator") && !is_function(node_field(c, "value")) &&
            node_is(node_field(c, "name"), "identifier"))
            add_export(o, node_text(o, node_field(c, "name")), "value", c);
    }
}

static void import(struct outliner *o, TSNode n)
{
    TSNode source = node_field(n, "source"), clause = node_child(n, "import_clause");
    struct import *i = add_import(o, unquoted(node_text(o, source)), n, 0);
    for (uint32_t k = 0; !ts_node_is_null(clause) && k < ts_node_named_child_count(clause); k++) {
        TSNode c = ts_node_named_child(clause, k);
        if (node_is(c, "identifier"))
            add_import_name(o, i, STR("default"));
        else if (node_is(c, "namespace_import"))
            add_import_name(o, i, STR("*"));
        for (uint32_t j = 0; node_is(c, "named_imports") && j < ts_node_named_child_count(c); j++)
            add_import_name(o, i, node_text(o, node_field(ts_node_named_child(c, j), "name")));
    }
}

/* require("x") and import("x"). */
static void call(struct outliner *o, TSNode n)
{
    struct str f = node_text(o, node_field(n, "function"));
    TSNode list = node_field(n, "arguments");
    if (!str_is(f, "require") && !str_is(f, "import") && !str_is(f, "require.resolve"))
        return;
    if (!ts_node_is_null(list) && node_is(ts_node_named_child(list, 0), "string"))
        add_import(o, unquoted(node_text(o, ts_node_named_child(list, 0))), n, 'r');
}

static void markup(struct outliner *o)
{
    for (size_t k = o->nscopes; k--;)
        if (o->scopes[k].item && o->scopes[k].kind != ITEM_INTERFACE)
            o->items[o->scopes[k].item - 1].markup = true;
}

static void declared(struct outliner *o, TSNode n)
{
    TSNode value = node_field(n, "value"), name = node_field(n, "name");
    if (ts_node_is_null(name))
        name = node_field(n, "key");
    if (ts_node_is_null(name))
        name = node_field(n, "property");
    if (is_function(value))
        scoped_function(o, name, n, node_is(n, "variable_declarator") ? "function" : "method");
    else if (node_is(value, "class") && node_is(n, "variable_declarator"))
        type(o, n, name, ITEM_CLASS, "class");
}

static void visit(struct outliner *o, TSNode n, unsigned id)
{
    switch (id) {
    case FUNCTION:
    case GENERATOR:
    case SIGNATURE:
        scoped_function(o, node_field(n, "name"), n, "function");
        break;
    case METHOD:
    case METHOD_SIGNATURE:
    case ABSTRACT_METHOD:
        scoped_function(o, node_field(n, "name"), n, "method");
        break;
    case CLASS:
    case ABSTRACT_CLASS:
        type(o, n, node_field(n, "name"), ITEM_CLASS, "class");
        break;
    case CLASS_EXPRESSION:
        if (!ts_node_is_null(node_field(n, "body")))
            add_scope(o, ITEM_CLASS, node_text(o, node_field(n, "name")), n, NULL);
        break;
    case INTERFACE:
        type(o, n, node_field(n, "name"), ITEM_INTERFACE, "interface");
        break;
    case TYPE_ALIAS:
        type(o, n, node_field(n, "name"), ITEM_INTERFACE, "type");
        break;
    case ENUM:
        type(o, n, node_field(n, "name"), ITEM_CLASS, "enum");
        break;
    case NAMESPACE:
    case MODULE:
        type(o, n, node_field(n, "name"), ITEM_MODULE, "namespace");
        break;
    case DECLARATOR:
    case PAIR:
    case FIELD:
    case PUBLIC_FIELD:
        declared(o, n);
        break;
    case ASSIGNMENT:
        assignment(o, n);
        break;
    case IMPORT:
        import(o, n);
        break;
    case EXPORT:
        export(o, n);
        break;
    case CALL:
        call(o, n);
        break;
    case DECORATOR:
        add_pending(o, n);
        break;
    default:
        markup(o);
    }
}

/* `export { a }` names an item of the file. */
static void finish(struct outliner *o)
{
    for (size_t e = 0; e < o->nexports; e++)
        for (size_t i = 0; i < o->nitems && o->nexports * o->nitems < 10000000; i++)
            if (!o->items[i].owner.n && str_eq(o->items[i].name, o->exports[e].name)) {
                o->items[i].exported = true;
                o->exports[e].what = "item";
            }
}

const struct outline_lang outline_javascript = {types, visit, finish};
