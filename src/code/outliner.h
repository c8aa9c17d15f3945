#pragma once
/* For the languages' files: what a walk over one syntax tree hands them, and what they make of it. */
#include "code/outline.h"

#include <tree_sitter/api.h>

enum { SCOPES_MAX = 256, ITEMS_MAX = 200000, TEXT_MAX = 400 };

struct scope {
    struct str name; /* qualified */
    uint32_t end;    /* byte */
    enum item_kind kind;
    bool hidden;   /* what stands in it is not public */
    char mode;     /* the language's: Ruby's visibility, … */
    uint32_t item; /* index + 1 of the item it belongs to; 0: none */
};

struct outliner {
    struct arena *arena;
    struct str source;
    enum lang lang;
    const char *const *types; /* of the language: id - 1 -> node type */
    struct item *items;
    size_t nitems, items_cap;
    struct import *imports;
    size_t nimports, imports_cap;
    struct export *exports;
    size_t nexports, exports_cap;
    struct str package;
    struct scope scopes[SCOPES_MAX];
    size_t nscopes;
    struct str *pending; /* annotations met, waiting for the item they stand before */
    size_t npending, pending_cap;
    uint32_t pending_end;
    uint32_t skip;                    /* the language's: a node that begins at this byte - 1 was dealt with */
    uint32_t export_from, export_end; /* items directly in here are exported */
    size_t export_depth;
    bool exporting;
};

/* One language. `types` lists the node types that visit() wants, in the order of its ids, which begin at 1. */
struct outline_lang {
    const char *const *types;
    void (*visit)(struct outliner *o, TSNode n, unsigned id);
    void (*finish)(struct outliner *o); /* after the last node; may be NULL */
};
extern const struct outline_lang outline_elixir, outline_python, outline_javascript, outline_go, outline_rust,
    outline_c, outline_java, outline_ruby;

/* ---- looking at nodes ---- */

struct str node_text(const struct outliner *o, TSNode n); /* borrowed from the source */
#define node_field(n, lit) ts_node_child_by_field_name((n), "" lit, sizeof(lit) - 1)
bool node_is(TSNode n, const char *type); /* false for a null node */
/* The first child of that type, or a null node. */
TSNode node_child(TSNode n, const char *type);
bool node_has_word(const struct outliner *o, TSNode n, const char *word); /* a child whose text that is */
/* Text without the quotes around it. */
struct str unquoted(struct str s);

/* ---- saying what is there ---- */

/* The newest item, to be completed by the caller; NULL: there are too many. `whole` gives end and signature. */
struct item *add_item(struct outliner *o, enum item_kind kind, const char *what, TSNode name, TSNode whole);
struct item *add_named(struct outliner *o, enum item_kind kind, const char *what, struct str name, uint32_t line,
                       TSNode whole);
/* What stands inside `whole` belongs to `name` from now on; `item` may be NULL. */
struct scope *add_scope(struct outliner *o, enum item_kind kind, struct str name, TSNode whole,
                        const struct item *item);
struct import *add_import(struct outliner *o, struct str target, TSNode at, char how);
void add_import_name(struct outliner *o, struct import *i, struct str name);
void add_export(struct outliner *o, struct str name, const char *what, TSNode at);
void add_base(struct outliner *o, struct item *i, struct str name);
void add_annotation(struct outliner *o, struct item *i, TSNode n);
/* An annotation that stands before what it is about. */
void add_pending(struct outliner *o, TSNode n);
/* Items that stand directly between these bytes are exported. */
void export_region(struct outliner *o, TSNode n);
struct scope *inner_scope(struct outliner *o); /* NULL at the top */
