/* Java. Annotations and visibility are in `modifiers`. What an interface declares is public. */
#include "code/outliner.h"

enum {
    METHOD = 1,
    CONSTRUCTOR,
    COMPACT,
    CLASS,
    INTERFACE,
    ENUM,
    RECORD,
    ANNOTATION,
    ANNOTATION_METHOD,
    IMPORT,
    PACKAGE,
    ANONYMOUS
};
static const char *const types[] = {"method_declaration",
                                    "constructor_declaration",
                                    "compact_constructor_declaration",
                                    "class_declaration",
                                    "interface_declaration",
                                    "enum_declaration",
                                    "record_declaration",
                                    "annotation_type_declaration",
                                    "annotation_type_element_declaration",
                                    "import_declaration",
                                    "package_declaration",
                                    "object_creation_expression",
                                    NULL};

static void modifiers(struct outliner *o, TSNode n, struct item *i)
{
    const struct scope *s = inner_scope(o);
    TSNode list = node_child(n, "modifiers");
    if (!i)
        return;
    bool said = !ts_node_is_null(list) && node_has_word(o, list, "public");
    bool narrowed =
        !ts_node_is_null(list) && (node_has_word(o, list, "private") || node_has_word(o, list, "protected"));
    i->is_public = (said || (s && s->kind == ITEM_INTERFACE && !narrowed)) && !(s && s->hidden);
    i->exported = i->is_public;
    for (uint32_t k = 0; !ts_node_is_null(list) && k < ts_node_named_child_count(list); k++)
        if (strstr(ts_node_type(ts_node_named_child(list, k)), "annotation"))
            add_annotation(o, i, ts_node_named_child(list, k));
}

static void bases(struct outliner *o, TSNode n, struct item *i)
{
    static const char *const parts[] = {"superclass", "super_interfaces", "extends_interfaces"};
    for (size_t p = 0; p < sizeof parts / sizeof *parts; p++) {
        TSNode part = node_child(n, parts[p]), list = node_child(part, "type_list");
        part = ts_node_is_null(list) ? part : list;
        for (uint32_t k = 0; !ts_node_is_null(part) && k < ts_node_named_child_count(part); k++)
            add_base(o, i, node_text(o, ts_node_named_child(part, k)));
    }
}

static void type(struct outliner *o, TSNode n, enum item_kind kind, const char *what)
{
    struct item *i = add_item(o, kind, what, node_field(n, "name"), n);
    modifiers(o, n, i);
    bases(o, n, i);
    add_scope(o, kind, node_text(o, node_field(n, "name")), n, i);
}

static void function(struct outliner *o, TSNode n, const char *what)
{
    struct item *i = add_item(o, ITEM_FUNCTION, what, node_field(n, "name"), n);
    modifiers(o, n, i);
    add_scope(o, ITEM_FUNCTION, node_text(o, node_field(n, "name")), n, i)->hidden = true;
}

/* import static a.b.C.d;  import a.b.*; */
static void import(struct outliner *o, TSNode n)
{
    bool all = !ts_node_is_null(node_child(n, "asterisk"));
    char how = node_has_word(o, n, "static") ? (all ? 'S' : 's') : all ? '*' : 0;
    for (uint32_t k = 0; k < ts_node_named_child_count(n); k++) {
        TSNode c = ts_node_named_child(n, k);
        if (node_is(c, "scoped_identifier") || node_is(c, "identifier"))
            add_import(o, node_text(o, c), n, how);
    }
}

static void visit(struct outliner *o, TSNode n, unsigned id)
{
    switch (id) {
    case METHOD:
    case ANNOTATION_METHOD:
        function(o, n, "method");
        break;
    case CONSTRUCTOR:
    case COMPACT:
        function(o, n, "constructor");
        break;
    case CLASS:
        type(o, n, ITEM_CLASS, "class");
        break;
    case INTERFACE:
        type(o, n, ITEM_INTERFACE, "interface");
        break;
    case ENUM:
        type(o, n, ITEM_CLASS, "enum");
        break;
    case RECORD:
        type(o, n, ITEM_CLASS, "record");
        break;
    case ANNOTATION:
        type(o, n, ITEM_INTERFACE, "annotation");
        break;
    case IMPORT:
        import(o, n);
        break;
    case ANONYMOUS:
        if (!ts_node_is_null(node_child(n, "class_body")))
            add_scope(o, ITEM_CLASS, STR("<anonymous>"), node_child(n, "class_body"), NULL)->hidden = true;
        break;
    default: {
        TSNode name = ts_node_named_child(n, ts_node_named_child_count(n) - 1);
        add_item(o, ITEM_MODULE, "package", name, n);
        if (str_utf8_valid(node_text(o, name)) == node_text(o, name).n)
            o->package = arena_str(o->arena, node_text(o, name));
    }
    }
}

const struct outline_lang outline_java = {types, visit, NULL};
