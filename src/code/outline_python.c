/* Python. A leading underscore makes a name private; names with two at both ends are the language's own protocol and
 * public. */
#include "code/outliner.h"

enum { FUNCTION = 1, CLASS, DECORATOR, IMPORT, IMPORT_FROM };
static const char *const types[] = {"function_definition", "class_definition",      "decorator",
                                    "import_statement",    "import_from_statement", NULL};

static bool is_private(struct str name)
{
    return str_starts(name, STR("_")) && !(str_starts(name, STR("__")) && str_ends(name, STR("__")) && name.n > 4);
}

static void definition(struct outliner *o, TSNode n, bool class)
{
    const struct scope *s = inner_scope(o);
    bool method = s && s->kind == ITEM_CLASS;
    TSNode name = node_field(n, "name");
    struct item *i = add_item(o, class ? ITEM_CLASS : ITEM_FUNCTION,
                              class    ? "class"
                              : method ? "method"
                                       : "function",
                              name, n);
    if (i) {
        if (is_private(i->name) || (s && s->kind == ITEM_FUNCTION))
            i->is_public = false;
        i->exported = i->is_public && !s;
        TSNode bases = class ? node_field(n, "superclasses") : (TSNode){0};
        uint32_t count = ts_node_is_null(bases) ? 0 : ts_node_named_child_count(bases);
        for (uint32_t k = 0; k < count; k++)
            if (!node_is(ts_node_named_child(bases, k), "keyword_argument"))
                add_base(o, i, node_text(o, ts_node_named_child(bases, k)));
    }
    struct scope *inner = add_scope(o, class ? ITEM_CLASS : ITEM_FUNCTION, node_text(o, name), n, i);
    inner->hidden |= !class || (i && !i->is_public);
}

static struct str module_of(struct outliner *o, TSNode n)
{
    return node_text(o, node_is(n, "aliased_import") ? node_field(n, "name") : n);
}

static void imports(struct outliner *o, TSNode n, bool from)
{
    TSNode module = from ? node_field(n, "module_name") : (TSNode){0};
    struct import *i = from ? add_import(o, node_text(o, module), n, 0) : NULL;
    uint32_t count = ts_node_named_child_count(n);
    for (uint32_t k = 0; k < count; k++) {
        TSNode c = ts_node_named_child(n, k);
        if (from && (ts_node_eq(c, module) || node_is(c, "comment")))
            continue;
        if (!from && (node_is(c, "dotted_name") || node_is(c, "aliased_import")))
            add_import(o, module_of(o, c), n, 0);
        else if (from)
            add_import_name(o, i, node_is(c, "wildcard_import") ? STR("*") : module_of(o, c));
    }
}

static void visit(struct outliner *o, TSNode n, unsigned id)
{
    switch (id) {
    case FUNCTION:
    case CLASS:
        definition(o, n, id == CLASS);
        break;
    case DECORATOR:
        add_pending(o, n);
        break;
    default:
        imports(o, n, id == IMPORT_FROM);
    }
}

const struct outline_lang outline_python = {types, visit, NULL};
