/* Go. A capital first letter exports; a method belongs to its receiver's type. */
#include "code/outliner.h"

#include <ctype.h>

enum { FUNCTION = 1, METHOD, TYPE_SPEC, TYPE_ALIAS, IMPORT, PACKAGE };
static const char *const types[] = {"function_declaration", "method_declaration", "type_spec", "type_alias",
                                    "import_spec",          "package_clause",     NULL};

static void finish_item(struct item *i)
{
    if (i)
        i->is_public = i->exported = isupper((unsigned char)i->name.p[0]) || (unsigned char)i->name.p[0] >= 0x80;
}

/* (s *Store[T]) -> Store */
static struct str receiver(struct outliner *o, TSNode list)
{
    TSNode p = node_child(list, "parameter_declaration");
    TSNode t = ts_node_is_null(p) ? p : node_field(p, "type");
    while (!ts_node_is_null(t) &&
           (node_is(t, "pointer_type") || node_is(t, "generic_type") || node_is(t, "parenthesized_type")))
        t = ts_node_named_child(t, 0);
    return node_text(o, t);
}

static void type_spec(struct outliner *o, TSNode n)
{
    TSNode type = node_field(n, "type");
    bool interface = node_is(type, "interface_type");
    struct item *i = add_item(o, interface ? ITEM_INTERFACE : ITEM_CLASS,
                              interface                      ? "interface"
                              : node_is(type, "struct_type") ? "struct"
                                                             : "type",
                              node_field(n, "name"), n);
    finish_item(i);
    add_scope(o, interface ? ITEM_INTERFACE : ITEM_CLASS, node_text(o, node_field(n, "name")), n, i);
}

static void visit(struct outliner *o, TSNode n, unsigned id)
{
    struct item *i;
    switch (id) {
    case FUNCTION:
        finish_item(add_item(o, ITEM_FUNCTION, "function", node_field(n, "name"), n));
        add_scope(o, ITEM_FUNCTION, node_text(o, node_field(n, "name")), n, NULL);
        break;
    case METHOD:
        i = add_item(o, ITEM_FUNCTION, "method", node_field(n, "name"), n);
        if (i)
            i->owner = arena_str(o->arena, receiver(o, node_field(n, "receiver")));
        finish_item(i);
        add_scope(o, ITEM_FUNCTION, node_text(o, node_field(n, "name")), n, NULL);
        break;
    case TYPE_SPEC:
    case TYPE_ALIAS:
        type_spec(o, n);
        break;
    case IMPORT:
        add_import(o, unquoted(node_text(o, node_field(n, "path"))), n, 0);
        break;
    default:
        o->package = arena_str(o->arena, node_text(o, ts_node_named_child(n, 0)));
        if (str_utf8_valid(o->package) != o->package.n)
            o->package = STR("");
        add_item(o, ITEM_MODULE, "package", ts_node_named_child(n, 0), n);
    }
}

const struct outline_lang outline_go = {types, visit, NULL};
