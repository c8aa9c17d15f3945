/* C. What is not `static` is public. The name of a function stands inside its declarator, behind stars and brackets. */
#include "code/outliner.h"

enum { FUNCTION = 1, STRUCT, UNION, ENUM, TYPEDEF, INCLUDE };
static const char *const types[] = {"function_definition",
                                    "struct_specifier",
                                    "union_specifier",
                                    "enum_specifier",
                                    "type_definition",
                                    "preproc_include",
                                    NULL};

/* The identifier that a declarator declares, when it declares a function. */
static TSNode function_name(TSNode d)
{
    bool function = false;
    for (int depth = 0; depth < 64 && !ts_node_is_null(d); depth++) {
        if (node_is(d, "identifier"))
            return function ? d : (TSNode){0};
        if (node_is(d, "function_declarator"))
            function = true;
        TSNode inner = node_field(d, "declarator");
        if (ts_node_is_null(inner) && (node_is(d, "parenthesized_declarator") || node_is(d, "attributed_declarator")))
            for (uint32_t i = 0; i < ts_node_named_child_count(d) && ts_node_is_null(inner); i++) {
                TSNode c = ts_node_named_child(d, i);
                if (node_is(c, "identifier") || strstr(ts_node_type(c), "declarator"))
                    inner = c;
            }
        d = inner;
    }
    return (TSNode){0};
}

static bool is_static(const struct outliner *o, TSNode n)
{
    for (uint32_t i = 0; i < ts_node_child_count(n); i++) {
        TSNode c = ts_node_child(n, i);
        if (node_is(c, "storage_class_specifier") && str_is(node_text(o, c), "static"))
            return true;
    }
    return false;
}

static void record(struct outliner *o, TSNode n, const char *what)
{
    struct item *i;
    if (ts_node_is_null(node_field(n, "body")))
        return;
    i = add_item(o, ITEM_CLASS, what, node_field(n, "name"), n);
    if (i)
        i->exported = true;
}

static void visit(struct outliner *o, TSNode n, unsigned id)
{
    struct item *i;
    TSNode name;
    switch (id) {
    case FUNCTION:
        name = function_name(node_field(n, "declarator"));
        if (!ts_node_is_null(name) && ts_node_start_byte(name) && o->source.p[ts_node_start_byte(name) - 1] == '#')
            break; /* `prefix##name` in a macro that was not seen as one: no name */
        i = add_item(o, ITEM_FUNCTION, "function", name, n);
        if (i)
            i->is_public = i->exported = !is_static(o, n);
        break;
    case STRUCT:
        record(o, n, "struct");
        break;
    case UNION:
        record(o, n, "union");
        break;
    case ENUM:
        record(o, n, "enum");
        break;
    case TYPEDEF:
        if (node_is(node_field(n, "declarator"), "type_identifier")) {
            i = add_item(o, ITEM_CLASS, "typedef", node_field(n, "declarator"), n);
            if (i)
                i->exported = true;
        }
        break;
    default: {
        struct str path = node_text(o, node_field(n, "path"));
        add_import(o, unquoted(path), n, str_starts(path, STR("<")) ? '<' : '"');
    }
    }
}

const struct outline_lang outline_c = {types, visit, NULL};
