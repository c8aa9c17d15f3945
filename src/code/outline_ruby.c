/* Ruby. `private` alone changes what follows it in the class; with names, those; before a `def`, that one. */
#include "code/outliner.h"

enum { METHOD = 1, SINGLETON, CLASS, MODULE, SINGLETON_CLASS, CALL, IDENTIFIER };
static const char *const types[] = {"method", "singleton_method", "class", "module", "singleton_class",
                                    "call",   "identifier",       NULL};

static struct item *method(struct outliner *o, TSNode n, bool singleton)
{
    const struct scope *s = inner_scope(o);
    struct item *i = add_item(o, ITEM_FUNCTION, singleton ? "singleton method" : "method", node_field(n, "name"), n);
    if (i && !singleton && s && s->mode)
        i->is_public = false;
    if (i)
        i->exported = i->is_public;
    add_scope(o, ITEM_FUNCTION, node_text(o, node_field(n, "name")), n, i);
    return i;
}

static void class(struct outliner *o, TSNode n, enum item_kind kind, const char *what)
{
    TSNode name = node_field(n, "name"), super = node_field(n, "superclass");
    TSNode last = node_is(name, "scope_resolution") ? node_field(name, "name") : name;
    struct item *i = add_item(o, kind, what, last, n);
    if (i)
        i->exported = true;
    if (!ts_node_is_null(super) && ts_node_named_child_count(super))
        add_base(o, i, node_text(o, ts_node_named_child(super, 0)));
    add_scope(o, kind, node_text(o, name), n, i);
}

/* The innermost class or module. */
static struct scope *class_scope(struct outliner *o)
{
    struct scope *s = inner_scope(o);
    return s && s->kind != ITEM_FUNCTION ? s : NULL;
}

static void set_hidden(struct outliner *o, struct str name, bool hidden)
{
    struct scope *s = class_scope(o);
    for (size_t i = o->nitems; s && i--;)
        if (o->items[i].kind == ITEM_FUNCTION && str_eq(o->items[i].name, name) && str_eq(o->items[i].owner, s->name)) {
            o->items[i].is_public = o->items[i].exported = !hidden;
            return;
        }
}

static void visibility(struct outliner *o, TSNode list, bool hidden)
{
    for (uint32_t k = 0; k < ts_node_named_child_count(list); k++) {
        TSNode c = ts_node_named_child(list, k);
        if (node_is(c, "simple_symbol"))
            set_hidden(o, str_from(node_text(o, c), 1), hidden);
    }
}

static void call(struct outliner *o, TSNode n)
{
    struct str name = node_text(o, node_field(n, "method"));
    TSNode list = node_field(n, "arguments");
    TSNode first = ts_node_is_null(list) ? list : ts_node_named_child(list, 0);
    struct scope *s = class_scope(o);
    if (ts_node_is_null(first) || !ts_node_is_null(node_field(n, "receiver")))
        return;
    if (str_is(name, "require") || str_is(name, "require_relative") || str_is(name, "load")) {
        if (node_is(first, "string") && !ts_node_is_null(node_child(first, "string_content")))
            add_import(o, node_text(o, node_child(first, "string_content")), n,
                       str_is(name, "require_relative") ? 'r' : 0);
    } else if (str_is(name, "autoload")) {
        TSNode second = ts_node_named_child(list, 1);
        if (node_is(second, "string"))
            add_import(o, node_text(o, node_child(second, "string_content")), n, 0);
    } else if (s && s->item && (str_is(name, "include") || str_is(name, "extend") || str_is(name, "prepend"))) {
        add_base(o, &o->items[s->item - 1], node_text(o, first));
    } else if (s && (str_is(name, "private") || str_is(name, "protected") || str_is(name, "private_class_method"))) {
        visibility(o, list, true);
        if (node_is(first, "method")) { /* visited after this: remembered until then */
            s->mode = s->mode ? s->mode : '1';
        }
    } else if (s && str_is(name, "public")) {
        visibility(o, list, false);
    }
}

static void word(struct outliner *o, TSNode n)
{
    struct scope *s = class_scope(o);
    struct str text = node_text(o, n);
    if (!s)
        return;
    if (str_is(text, "private") || str_is(text, "protected")) {
        TSNode parent = ts_node_parent(n);
        if (!node_is(parent, "call"))
            s->mode = 'p';
    } else if (str_is(text, "public") && !node_is(ts_node_parent(n), "call")) {
        s->mode = 0;
    }
}

static void visit(struct outliner *o, TSNode n, unsigned id)
{
    struct scope *s = class_scope(o);
    bool once = s && s->mode == '1';
    switch (id) {
    case METHOD:
        method(o, n, false);
        if (once) /* the scope itself: method() has opened one of its own on top */
            s->mode = 0;
        break;
    case SINGLETON:
        method(o, n, true);
        break;
    case CLASS:
        if (!ts_node_is_null(node_field(n, "name"))) /* else it is the keyword */
            class(o, n, ITEM_CLASS, "class");
        break;
    case MODULE:
        if (!ts_node_is_null(node_field(n, "name")))
            class(o, n, ITEM_MODULE, "module");
        break;
    case SINGLETON_CLASS:
        add_scope(o, ITEM_CLASS, STR("self"), n, NULL);
        break;
    case CALL:
        call(o, n);
        break;
    default:
        word(o, n);
    }
}

const struct outline_lang outline_ruby = {types, visit, NULL};
