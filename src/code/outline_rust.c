/* Rust. Attributes stand before what they are about; `pub` of any reach is public. Names of an impl's functions belong
 * to its type. */
#include "code/outliner.h"

enum { FUNCTION = 1, SIGNATURE, STRUCT, ENUM, UNION, TRAIT, TYPE, IMPL, MOD, MACRO, USE, CRATE, ATTRIBUTE };
static const char *const types[] = {"function_item",   "function_signature_item",
                                    "struct_item",     "enum_item",
                                    "union_item",      "trait_item",
                                    "type_item",       "impl_item",
                                    "mod_item",        "macro_definition",
                                    "use_declaration", "extern_crate_declaration",
                                    "attribute_item",  NULL};
enum { IN_TRAIT = 't' };

static void visibility(struct outliner *o, TSNode n, struct item *i)
{
    const struct scope *s = inner_scope(o);
    if (i)
        i->is_public = i->exported =
            !ts_node_is_null(node_child(n, "visibility_modifier")) || (s && s->mode == IN_TRAIT);
}

static void type(struct outliner *o, TSNode n, enum item_kind kind, const char *what)
{
    struct item *i = add_item(o, kind, what, node_field(n, "name"), n);
    visibility(o, n, i);
    if (kind == ITEM_INTERFACE)
        add_scope(o, kind, node_text(o, node_field(n, "name")), n, i)->mode = IN_TRAIT;
}

static struct str type_name(struct outliner *o, TSNode t)
{
    if (node_is(t, "generic_type"))
        t = node_field(t, "type");
    return node_text(o, t);
}

/* Functions of a trait's implementation are as public as the trait. */
static void impl(struct outliner *o, TSNode n)
{
    TSNode trait = node_field(n, "trait");
    struct str name = type_name(o, node_field(n, "type"));
    if (!ts_node_is_null(trait))
        for (size_t k = o->nitems; k--;)
            if (o->items[k].kind == ITEM_CLASS && str_eq(o->items[k].name, name)) {
                add_base(o, &o->items[k], node_text(o, trait));
                break;
            }
    struct scope *s = add_scope(o, ITEM_CLASS, name, n, NULL);
    s->mode = ts_node_is_null(trait) ? 0 : IN_TRAIT;
}

static void module(struct outliner *o, TSNode n)
{
    TSNode name = node_field(n, "name");
    struct item *i = add_item(o, ITEM_MODULE, "module", name, n);
    visibility(o, n, i);
    if (ts_node_is_null(node_field(n, "body")))
        add_import(o, node_text(o, name), n, 'm');
    else
        add_scope(o, ITEM_MODULE, node_text(o, name), n, i);
}

/* use a::{b, c::{d, e}}: one import for each leaf. Depth is bounded; deeper ones are left out. */
static void use(struct outliner *o, TSNode n, TSNode at, struct str prefix, unsigned depth)
{
    struct str sep = prefix.n ? STR("::") : STR("");
    if (ts_node_is_null(n) || depth > 16)
        return;
    if (node_is(n, "scoped_use_list") || node_is(n, "use_list")) {
        TSNode path = node_is(n, "use_list") ? (TSNode){0} : node_field(n, "path");
        TSNode list = node_is(n, "use_list") ? n : node_field(n, "list");
        if (!ts_node_is_null(path))
            prefix = arena_printf(o->arena, "%.*s%.*s%.*s", STR_ARG(prefix), STR_ARG(sep), STR_ARG(node_text(o, path)));
        for (uint32_t k = 0; !ts_node_is_null(list) && k < ts_node_named_child_count(list); k++)
            use(o, ts_node_named_child(list, k), at, prefix, depth + 1);
        return;
    }
    if (node_is(n, "use_as_clause"))
        n = node_field(n, "path");
    struct str text = node_text(o, n);
    if (node_is(n, "line_comment") || node_is(n, "block_comment"))
        return;
    if (str_is(text, "self"))
        add_import(o, prefix, at, 0);
    else
        add_import(o, arena_printf(o->arena, "%.*s%.*s%.*s", STR_ARG(prefix), STR_ARG(sep), STR_ARG(text)), at, 0);
}

static void visit(struct outliner *o, TSNode n, unsigned id)
{
    const struct scope *s = inner_scope(o);
    struct item *i;
    switch (id) {
    case FUNCTION:
    case SIGNATURE:
        i = add_item(o, ITEM_FUNCTION, s && s->kind != ITEM_FUNCTION && s->kind != ITEM_MODULE ? "method" : "function",
                     node_field(n, "name"), n);
        visibility(o, n, i);
        add_scope(o, ITEM_FUNCTION, node_text(o, node_field(n, "name")), n, i);
        break;
    case STRUCT:
        type(o, n, ITEM_CLASS, "struct");
        break;
    case ENUM:
        type(o, n, ITEM_CLASS, "enum");
        break;
    case UNION:
        type(o, n, ITEM_CLASS, "union");
        break;
    case TRAIT:
        type(o, n, ITEM_INTERFACE, "trait");
        break;
    case TYPE:
        type(o, n, ITEM_CLASS, "type");
        break;
    case IMPL:
        impl(o, n);
        break;
    case MOD:
        module(o, n);
        break;
    case USE:
        use(o, node_field(n, "argument"), n, STR(""), 0);
        break;
    case CRATE:
        add_import(o, node_text(o, node_field(n, "name")), n, 0);
        break;
    case ATTRIBUTE:
        add_pending(o, n);
        break;
    default:
        break; /* a macro is no function, and what is in it is no code yet */
    }
}

const struct outline_lang outline_rust = {types, visit, NULL};
